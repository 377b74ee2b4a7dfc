/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "lib/fail.h"

#include <stdarg.h>
#include <stdio.h>

int fail(struct failure *f, int code, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(f->text, sizeof(f->text), format, args);
	va_end(args);
	return code;
}
