/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/guestlog.h"

#include <stdarg.h>
#include <stdio.h>

#define GUESTLOG_TEXT_MAX 256

void guestlog_say(const struct guestlog *log, const char *device, const char *format, ...)
{
	char text[GUESTLOG_TEXT_MAX];
	va_list args;

	if (!log || !log->write)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	log->write(log->ctx, device, text);
}
