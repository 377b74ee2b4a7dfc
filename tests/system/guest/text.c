/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The serial port as a printer, the command line, and what the compiler expects of a library. */
#include <stdarg.h>
#include <string.h>

#include "abi/linux_boot.h"
#include "abi/machine.h"
#include "base/bytes.h"
#include "tests/system/guest/guest.h"

const uint8_t *zero_page;

/* A loop of these must not become a call of itself; clang sees to that by -ffreestanding. */
#ifdef __clang__
#define NO_PATTERNS
#else
#define NO_PATTERNS __attribute__((optimize("no-tree-loop-distribute-patterns")))
#endif

NO_PATTERNS void *memcpy(void *to, const void *from, size_t len)
{
	for (size_t i = 0; i < len; i++)
		((uint8_t *)to)[i] = ((const uint8_t *)from)[i];
	return to;
}

NO_PATTERNS void *memset(void *to, int value, size_t len)
{
	for (size_t i = 0; i < len; i++)
		((uint8_t *)to)[i] = (uint8_t)value;
	return to;
}

NO_PATTERNS int memcmp(const void *a, const void *b, size_t len)
{
	const uint8_t *x = a, *y = b;

	for (size_t i = 0; i < len; i++) {
		if (x[i] != y[i])
			return x[i] - y[i];
	}
	return 0;
}

NO_PATTERNS size_t strlen(const char *text)
{
	size_t len = 0;

	while (text[len])
		len++;
	return len;
}

static void put(const char *text)
{
	for (; *text; text++)
		out8(MACHINE_COM1_PORT, (uint8_t)*text);
}

static void put_number(uint64_t value, unsigned base)
{
	char text[24];
	size_t at = sizeof(text) - 1;

	text[at] = '\0';
	do {
		text[--at] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value);
	put(text + at);
}

void print(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	for (; *format; format++) {
		if (*format != '%') {
			out8(MACHINE_COM1_PORT, (uint8_t)*format);
			continue;
		}
		format++;
		if (*format == 's')
			put(va_arg(args, const char *));
		else
			put_number(va_arg(args, uint64_t), *format == 'x' ? 16 : 10);
	}
	va_end(args);
}

bool word_equal(const char *word, const char *with)
{
	size_t len = strlen(with);

	return memcmp(word, with, len) == 0 && (word[len] == '\0' || word[len] == ' ');
}

const char *argument(const char *name)
{
	const char *at = (const char *)(uintptr_t)le32_load(zero_page + SETUP_COMMAND_LINE);
	size_t len = strlen(name);

	for (; *at; at++) {
		if (memcmp(at, name, len) == 0 && at[len] == '=')
			return at + len + 1;
	}
	return NULL;
}
