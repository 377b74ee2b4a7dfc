/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/log.h"

#include <stdbool.h>
#include <stddef.h>

#include "abi/oya.h"
#include "hypervisor/x86.h"

#define UART_DATA 0
#define UART_LINE_STATUS 5
#define UART_MAY_SEND 0x20
#define UART_TRIES 100000u
#define LOCK_TRIES 1000000u

static struct oya_log *told;
static uint16_t serial;
static bool lock; /* atomic */

void log_init(void *ring, uint32_t bytes, uint16_t port)
{
	told = ring;
	told->room = bytes - (uint32_t)sizeof(*told);
	serial = port;
}

static void send(char c)
{
	for (unsigned i = 0; i < UART_TRIES; i++) {
		if (x86_inb((uint16_t)(serial + UART_LINE_STATUS)) & UART_MAY_SEND)
			break;
	}
	x86_outb((uint16_t)(serial + UART_DATA), (uint8_t)c);
}

static void put(char c)
{
	if (told) {
		told->text[told->written % told->room] = c;
		told->written++;
	}
	if (serial && c == '\n')
		send('\r');
	if (serial)
		send(c);
}

static void put_text(const char *text)
{
	while (*text)
		put(*text++);
}

static void put_number(uint64_t value, unsigned base)
{
	char digits[24];
	unsigned n = 0;

	do {
		digits[n++] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value);
	while (n)
		put(digits[--n]);
}

__attribute__((format(printf, 1, 0))) static void put_line(const char *format, va_list list)
{
	put_text("oya-hv: ");
	for (; *format; format++) {
		if (*format != '%') {
			put(*format);
			continue;
		}
		switch (*++format) {
		case 's':
			put_text(va_arg(list, const char *));
			break;
		case 'u':
			put_number(va_arg(list, uint32_t), 10);
			break;
		case 'l': /* %lx, of 64 bits, so that the compiler can check */
			format++;
			put_text("0x");
			put_number(va_arg(list, uint64_t), 16);
			break;
		default:
			put(*format);
		}
	}
	put('\n');
}

void log_line(const char *format, ...)
{
	va_list list;

	while (__atomic_test_and_set(&lock, __ATOMIC_ACQUIRE))
		x86_pause();
	va_start(list, format);
	put_line(format, list);
	va_end(list);
	__atomic_clear(&lock, __ATOMIC_RELEASE);
}

void log_last(char *ret_text, uint32_t room, const char *format, va_list list)
{
	uint64_t start;

	for (unsigned i = 0; __atomic_test_and_set(&lock, __ATOMIC_ACQUIRE) && i < LOCK_TRIES; i++)
		x86_pause();
	start = told ? told->written : 0;
	put_line(format, list);
	for (uint32_t i = 0; i < room; i++)
		ret_text[i] = told && start + i + 1 < told->written && i + 1 < room
				      ? told->text[(start + i) % told->room]
				      : '\0';
	__atomic_clear(&lock, __ATOMIC_RELEASE);
}
