/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The network vtable: one port, a NIC on one side and a back end (tap, passt) on the other.
 * Frames are whole Ethernet frames without FCS, at most NETPORT_FRAME_MAX bytes. Beside a frame
 * go facts about it: a checksum that is still missing, segments that it is to be cut into.
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

/* What one side takes off the other. */
#define NETPORT_CHECKSUM 1u /* frames whose TCP or UDP checksum is missing */
#define NETPORT_TCP4 2u     /* TCP over IPv4 longer than the MTU; with NETPORT_CHECKSUM only */
#define NETPORT_TCP6 4u

#define NETPORT_ROOM_MAX 64u /* pieces of guest memory that a frame may be read to */

struct netport_facts {
	/* The sum from checksum_start to the end goes to checksum_start + checksum_offset, where
	 * the pseudo header's stands. */
	bool checksum_missing;
	bool checksum_valid;     /* was found right */
	uint8_t segments;        /* 0: none; else NETPORT_TCP4 or NETPORT_TCP6 */
	uint16_t segment_bytes;  /* of TCP payload */
	uint16_t header_len;     /* up to the end of the TCP header, 0: unknown */
	uint16_t checksum_start; /* offsets within the frame */
	uint16_t checksum_offset;
};

struct netport_ops {
	/* NIC -> back end: sends one frame. 0, -EAGAIN (full: dropped, as a wire would), -errno.
	 * The buffers are only read during the call. Facts of features that the port has; offsets
	 * and lengths in them lie within the frame. */
	int (*send)(void *ctx, const struct iovec *iov, unsigned iov_count, size_t len,
		    const struct netport_facts *facts);
	/* NIC -> back end: whether the NIC takes frames now; while false the back end holds them
	 * in its own queue (the kernel's) and does not spin. */
	void (*want)(void *ctx, bool on);
	/* NIC -> back end: what frames to the NIC may have from now on. May be NULL. */
	void (*accept)(void *ctx, unsigned features);
	/* NIC -> back end: gives what has come, if the NIC wants any, and ends the batch: answers
	 * to what was just sent then need no interrupt of their own. May be NULL. */
	void (*pull)(void *ctx);
};

/* The NIC's side, called by the back end. */
struct netport_sink {
	/* Gives one frame to the guest; the NIC may write into it, but not if it is held.
	 * 0; -EAGAIN when there is no room: the back end keeps the frame and stops until
	 * want(true). */
	int (*receive)(void *owner, void *frame, size_t len, const struct netport_facts *facts);
	/* Where the back end may put what comes behind the first *ret_head bytes of the next
	 * frame, so that a long one is copied once: how many pieces, enough for any frame; 0 when
	 * it takes a frame in one piece only. They are the guest's, so nothing may be read back
	 * from them, and they are void with the next call of either side. May be NULL. */
	unsigned (*room)(void *owner, struct iovec iov[NETPORT_ROOM_MAX], size_t *ret_head);
	/* The same as receive() for a frame longer than that, of which *ret_head bytes are at
	 * `head`. It is never held. */
	void (*receive_placed)(void *owner, void *head, size_t len,
			       const struct netport_facts *facts);
	/* Ends a batch of frames: the guest is told. */
	void (*flush)(void *owner);
	void *owner;
};

struct netport {
	const struct netport_ops *ops;
	void *ctx;
	unsigned features;        /* that frames to the back end may have */
	struct netport_sink sink; /* filled in by the NIC */
};

#endif
