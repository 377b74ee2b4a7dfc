/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the hypervisor tells: a ring of text that the parent may read, and a serial port when the
 * command line names one. Any processor may log.
 */
#ifndef OYA_HYPERVISOR_LOG_H
#define OYA_HYPERVISOR_LOG_H

#include <stdbool.h>
#include <stdint.h>

/* `ring`: whole pages of zeros, struct oya_log of abi/oya.h. port 0: no serial port. */
void log_init(void *ring, uint32_t bytes, uint16_t port);

/* One line, without its newline. Conversions: %s, %u, %lx (with 0x), %%. */
__attribute__((format(printf, 1, 2))) void log_line(const char *format, ...);

/* The last line; stops this processor, and the others at their next exit. */
__attribute__((format(printf, 1, 2))) _Noreturn void panic(const char *format, ...);
bool panicked(void);

#endif
