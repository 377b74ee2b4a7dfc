/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Bytes between two stream sockets, both ways, until either ends. */
#ifndef OYA_HOST_RELAY_H
#define OYA_HOST_RELAY_H

#include <stddef.h>
#include <systemd/sd-event.h>

struct relay;

/* Takes both descriptors, also when it fails; it ends and frees itself, and calls ended(ctx) then.
 * `early` has come from `a` already; the first line of `b` is not passed on. 0 and *ret_relay, or
 * -errno. */
int relay_start(sd_event *event, int a, int b, const void *early, size_t early_len,
		void (*ended)(void *ctx), void *ctx, struct relay **ret_relay);

/* Ends it before its time. */
void relay_stop(struct relay *r);

#endif
