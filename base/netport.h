/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The network vtable: one port, a NIC on one side and a back end (tap, passt) on the other.
 * Frames are whole Ethernet frames without FCS, at most NETPORT_FRAME_MAX bytes.
 *
 * Threads: all calls with the lock of the devices held.
 */
#ifndef OYA_BASE_NETPORT_H
#define OYA_BASE_NETPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define NETPORT_FRAME_MAX 65550 /* 64 KiB of IP and an Ethernet header with VLAN tag */

struct netport_ops {
	/* NIC -> back end: sends one frame. 0, -EAGAIN (full: dropped, as a wire would), -errno.
	 * The buffers are only read during the call. */
	int (*send)(void *ctx, const struct iovec *iov, unsigned iov_count, size_t len);
	/* NIC -> back end: whether the NIC takes frames now; while false the back end holds them
	 * in its own queue (the kernel's) and does not spin. */
	void (*want)(void *ctx, bool on);
};

/* The NIC's side, called by the back end. */
struct netport_sink {
	/* Gives one frame to the guest. 0; -EAGAIN when there is no room: the back end keeps the
	 * frame and stops until want(true). */
	int (*receive)(void *owner, const void *frame, size_t len);
	void *owner;
};

struct netport {
	const struct netport_ops *ops;
	void *ctx;
	struct netport_sink sink; /* filled in by the NIC */
};

#endif
