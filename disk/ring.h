/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One io_uring for all disks of a worker: operations are queued, pushed to the kernel in one
 * system call by disk_ring_kick(), and complete in disk_ring_reap() when the event loop finds
 * the descriptor readable.
 *
 * Owned by the program; the image formats of this folder queue operations on it.
 *
 * Threads: all calls with the lock of the devices held; the kernel runs the I/O.
 *
 * Invariants:
 *  1. an operation queued completes once, in disk_ring_reap() and nowhere else;
 *  2. while an operation is queued or at the kernel, or the backlog is not empty, the descriptor
 *     becomes readable sooner or later, unless the ring is held.
 */
#ifndef OYA_DISK_RING_H
#define OYA_DISK_RING_H

#include <stdint.h>
#include <sys/uio.h>

#include "base/list.h"

struct disk_ring;

enum disk_op_kind {
	DISK_OP_READ,
	DISK_OP_WRITE,
	DISK_OP_SYNC,    /* data, and what is needed to find it again */
	DISK_OP_DISCARD, /* len bytes become a hole */
	DISK_OP_ZERO,    /* len bytes become zeros that keep their space */
};

/* Owned by its submitter, who leaves it alone until `done`; so is what iov points to. */
struct disk_op {
	struct list link; /* the ring's */
	enum disk_op_kind kind;
	int fd;
	const struct iovec *iov;
	unsigned iov_count;
	uint64_t offset;
	uint64_t len;                                 /* of a discard or zeroing */
	int rw_flags;                                 /* RWF_... */
	void (*done)(struct disk_op *op, int result); /* bytes or 0, or -errno */
};

/* Makes a ring whose submission queue has `entries` (a power of two) places; more operations than
 * that wait within. 0 and *ret_ring, or -ENOMEM, -EMFILE, ...; -ENOSYS or -EPERM when the kernel
 * has no io_uring or does not permit it here (sysctl kernel.io_uring_disabled, a seccomp filter):
 * there is no other way to do I/O, so the caller tells the user to allow it. */
int disk_ring_new(unsigned entries, struct disk_ring **ret_ring);

/* Nothing may be under way. NULL is fine. */
void disk_ring_free(struct disk_ring *ring);

/* The descriptor to wait on for reading; disk_ring_reap() makes it unreadable again. */
int disk_ring_fd(const struct disk_ring *ring);

/* Queues op for the next kick. */
void disk_ring_queue(struct disk_ring *ring, struct disk_op *op);

/* Pushes what was queued to the kernel. */
void disk_ring_kick(struct disk_ring *ring);

/* Runs `done` of what has completed, then pushes what those calls queued. */
void disk_ring_reap(struct disk_ring *ring);

/* While the event loop is awake it may hold the ring: completions do not touch the descriptor,
 * and so cost no system calls. Before it waits it lets go; what has completed until then is reaped.
 */
void disk_ring_hold(struct disk_ring *ring);
void disk_ring_let_go(struct disk_ring *ring);

/* Operations queued or at the kernel. */
unsigned disk_ring_inflight(const struct disk_ring *ring);

#endif
