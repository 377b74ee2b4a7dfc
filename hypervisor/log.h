/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the hypervisor tells: a ring of text that the parent may read, and a serial port when the
 * command line names one. Any processor may log.
 */
#ifndef OYA_HYPERVISOR_LOG_H
#define OYA_HYPERVISOR_LOG_H

#include <stdarg.h>
#include <stdint.h>

/* `ring`: whole pages of zeros, struct oya_log of abi/oya.h. port 0: no serial port. */
void log_init(void *ring, uint32_t bytes, uint16_t port);

/* One line, without its newline. Conversions: %s, %u, %lx (with 0x), %%. */
__attribute__((format(printf, 1, 2))) void log_line(const char *format, ...);

/* The same though another processor may be in the midst of a line, for good; with its text, cut to
 * `room` bytes and zero-filled. For panic(). */
__attribute__((format(printf, 3, 0))) void log_last(char *ret_text, uint32_t room,
						    const char *format, va_list list);

#endif
