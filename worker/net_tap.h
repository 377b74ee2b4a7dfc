/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A NIC's back end on a tap interface of the host: for bridges and routed networks.
 *
 * Ownership: the worker opens it, gives the port to a NIC, and registers the descriptor with its
 * event loop: level-triggered, readable while net_tap_wants_read().
 * Trust: frames are bytes that pass through.
 * Threads: all calls with the lock of the devices held.
 */
#ifndef OYA_WORKER_NET_TAP_H
#define OYA_WORKER_NET_TAP_H

#include <stdbool.h>
#include <stddef.h>

#include "base/netport.h"

struct net_tap;

struct net_tap_config {
	const char *ifname; /* an existing tap, or one that will be made */
	unsigned mtu;       /* of the interface, where we may set it; 0: as it is */
	/* net_tap_wants_read() changed; may come from within any call of the NIC. */
	void (*poll_changed)(void *ctx);
	void *ctx;
};

/* Opens the interface and brings it up. 0 and *ret; or -errno, with a sentence for the user in
 * err (err_len bytes with the closing NUL). */
int net_tap_open(const struct net_tap_config *config, struct net_tap **ret, char *err,
		 size_t err_len);

/* The same for a descriptor that somebody else has opened: a tap without packet information, with
 * or without the header of virtio. It stays the caller's: we take a duplicate. */
int net_tap_adopt(const struct net_tap_config *config, int fd, struct net_tap **ret, char *err,
		  size_t err_len);

/* The NIC must have been freed before. NULL is fine. */
void net_tap_close(struct net_tap *tap);

struct netport *net_tap_port(struct net_tap *tap);
int net_tap_fd(const struct net_tap *tap);
bool net_tap_wants_read(const struct net_tap *tap);

/* Gives a bounded batch of frames to the NIC. */
void net_tap_readable(struct net_tap *tap);

#endif
