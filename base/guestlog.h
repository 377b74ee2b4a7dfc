/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How device code tells of what a guest did: through a vtable, rate-limited by the receiver,
 * since the guest decides how often it happens.
 */
#ifndef OYA_BASE_GUESTLOG_H
#define OYA_BASE_GUESTLOG_H

struct guestlog {
	void (*write)(void *ctx, const char *device, const char *text);
	void *ctx;
};

__attribute__((format(printf, 3, 4))) void
guestlog_say(const struct guestlog *log, const char *device, const char *format, ...);

#endif
