/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The end: what happened goes to the log, the serial port and a text screen; all processors stop;
 * a while later the machine resets, so that it comes back, and the next start of ours tells.
 */
#ifndef OYA_HYPERVISOR_PANIC_H
#define OYA_HYPERVISOR_PANIC_H

#include <stdbool.h>
#include <stdint.h>

/* The last line, in the form of log_line. Any processor, at any time. */
__attribute__((format(printf, 1, 2))) _Noreturn void panic(const char *format, ...);
bool panicked(void);

/* Once: a page of ours that no boot loader clears. Logs what a last start of ours has left there.
 */
void panic_keep_in(uint32_t page);

_Noreturn void reset_machine(void);

#endif
