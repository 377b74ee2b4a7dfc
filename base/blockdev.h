/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The block vtable: what a disk controller asks of an image and what an image format offers.
 * Implemented in disk/, used by devices/. Requests complete asynchronously, in any order.
 *
 * Ownership: the caller owns the request and its iovec until `done` was called; the buffers are
 * guest memory or the caller's own. `done` runs on the thread that drives the back end's event
 * loop, with the lock of the devices held, never from within submit().
 *
 * Units: offset and length in bytes, multiples of the block device's sector size.
 */
#ifndef OYA_BASE_BLOCKDEV_H
#define OYA_BASE_BLOCKDEV_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

enum block_op {
	BLOCK_READ,
	BLOCK_WRITE,
	BLOCK_FLUSH, /* all writes completed before it are on stable storage afterwards */
	/* Both make the range read as zeros, without data and without an iovec. A discard gives its
	 * space back; zeroing keeps it. Neither is stable before a flush. -EOPNOTSUPP, with nothing
	 * changed, when the image cannot: BLOCK_WRITE always can. */
	BLOCK_DISCARD,
	BLOCK_ZERO,
};

struct gmem;

struct block_request {
	enum block_op op;
	bool fua; /* write: stable before it completes */
	uint64_t offset;
	uint64_t len; /* sum of the iovec; 0 for a flush; of a discard or zeroing any */
	/* The back end may step over the bytes that it has moved, and change nothing else in the
	 * entries: after an error the request can be given to it again with what is left. */
	struct iovec *iov;
	unsigned iov_count;
	const struct gmem
		*gmem; /* in which the pieces lie: what is read is marked; NULL: not there */
	void (*done)(struct block_request *req, int result); /* 0 or -errno */
	void *owner;                                         /* the caller's */
	void *backend; /* the back end's, while it is in flight */
};

struct block_ops {
	/* Starts req. 0: `done` will be called once. -EAGAIN: too many in flight, try after a
	 * completion. Another -errno: refused, `done` will not be called. */
	int (*submit)(void *ctx, struct block_request *req);
	/* Pushes what was submitted to the kernel; called once after a batch. */
	void (*kick)(void *ctx);
};

struct blockdev {
	const struct block_ops *ops;
	void *ctx;
	uint64_t size_bytes;
	uint32_t sector_bytes;          /* 512 or 4096, of a DVD 2048: what the guest is told */
	uint32_t physical_sector_bytes; /* best granularity of writes */
	bool read_only;
	/* Best granularity of a discard, a multiple of sector_bytes; 0: it cannot, or must not.
	 * Becomes 0 when the first discard shows that it cannot. */
	uint32_t discard_bytes;
};

static inline int block_submit(const struct blockdev *dev, struct block_request *req)
{
	return dev->ops->submit(dev->ctx, req);
}

static inline void block_kick(const struct blockdev *dev)
{
	dev->ops->kick(dev->ctx);
}

#endif
