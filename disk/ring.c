/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "disk/ring.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Completions run in one call, so that a fast disk cannot hold the event loop. */
#define REAP_MAX 1024u

struct disk_ring {
	struct io_uring uring;
	int event_fd;
	unsigned inflight;
	bool reaping;
	struct list backlog; /* operations that the submission queue had no place for */
};

int disk_ring_new(unsigned entries, struct disk_ring **ret_ring)
{
	struct disk_ring *ring = calloc(1, sizeof(*ring));
	int r;

	if (!ring)
		return -ENOMEM;
	list_init(&ring->backlog);
	ring->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (ring->event_fd < 0) {
		r = -errno;
		goto fail_ring;
	}
	r = io_uring_queue_init(entries, &ring->uring, 0);
	if (r < 0)
		goto fail_event;
	r = io_uring_register_eventfd(&ring->uring, ring->event_fd);
	if (r < 0)
		goto fail_uring;
	*ret_ring = ring;
	return 0;

fail_uring:
	io_uring_queue_exit(&ring->uring);
fail_event:
	close(ring->event_fd);
fail_ring:
	free(ring);
	return r;
}

void disk_ring_free(struct disk_ring *ring)
{
	if (!ring)
		return;
	assert(ring->inflight == 0);
	io_uring_queue_exit(&ring->uring);
	close(ring->event_fd);
	free(ring);
}

int disk_ring_fd(const struct disk_ring *ring)
{
	return ring->event_fd;
}

unsigned disk_ring_inflight(const struct disk_ring *ring)
{
	return ring->inflight;
}

/* Makes the descriptor readable, so that the event loop comes back. */
static void wake(struct disk_ring *ring)
{
	uint64_t one = 1;
	ssize_t n;

	do
		n = write(ring->event_fd, &one, sizeof(one));
	while (n < 0 && errno == EINTR);
	/* Else the counter is at its maximum: it is readable already. */
}

static bool prepare(struct disk_ring *ring, struct disk_op *op)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->uring);

	if (!sqe)
		return false;
	switch (op->kind) {
	case DISK_OP_READ:
		io_uring_prep_readv2(sqe, op->fd, op->iov, op->iov_count, op->offset, op->rw_flags);
		break;
	case DISK_OP_WRITE:
		io_uring_prep_writev2(sqe, op->fd, op->iov, op->iov_count, op->offset,
				      op->rw_flags);
		break;
	case DISK_OP_SYNC:
		io_uring_prep_fsync(sqe, op->fd, IORING_FSYNC_DATASYNC);
		break;
	case DISK_OP_DISCARD:
		io_uring_prep_fallocate(sqe, op->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
					(off_t)op->offset, (off_t)op->len);
		break;
	case DISK_OP_ZERO:
		io_uring_prep_fallocate(sqe, op->fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
					(off_t)op->offset, (off_t)op->len);
		break;
	}
	io_uring_sqe_set_data(sqe, op);
	return true;
}

void disk_ring_queue(struct disk_ring *ring, struct disk_op *op)
{
	ring->inflight++;
	if (!list_empty(&ring->backlog) || !prepare(ring, op))
		list_append(&ring->backlog, &op->link);
}

static void prepare_backlog(struct disk_ring *ring)
{
	struct list *link;

	while ((link = list_pop(&ring->backlog))) {
		if (!prepare(ring, CONTAINER_OF(link, struct disk_op, link))) {
			list_insert_before(ring->backlog.next, link);
			return;
		}
	}
}

void disk_ring_kick(struct disk_ring *ring)
{
	if (ring->reaping)
		return; /* once for all, at its end */
	for (;;) {
		int r;

		prepare_backlog(ring);
		if (!io_uring_sq_ready(&ring->uring))
			return;
		r = io_uring_submit(&ring->uring);
		if (r > 0 || r == -EINTR)
			continue;
		/* No memory, or completions must be reaped first: come back. Whatever else the
		 * kernel says means that the ring itself is broken. */
		if (r != 0 && r != -EAGAIN && r != -EBUSY)
			abort();
		wake(ring);
		return;
	}
}

/* Runs `done` of what has completed; how many. */
static unsigned run_completed(struct disk_ring *ring)
{
	struct io_uring_cqe *cqe;
	unsigned n = 0;

	ring->reaping = true;
	while (n < REAP_MAX && io_uring_peek_cqe(&ring->uring, &cqe) == 0) {
		struct disk_op *op = io_uring_cqe_get_data(cqe);
		int result = cqe->res;

		io_uring_cqe_seen(&ring->uring, cqe);
		ring->inflight--;
		n++;
		op->done(op, result);
	}
	ring->reaping = false;
	disk_ring_kick(ring);
	return n;
}

void disk_ring_reap(struct disk_ring *ring)
{
	uint64_t count;
	ssize_t got;

	/* Before the completions are looked at: one that comes later sets it again. */
	do
		got = read(ring->event_fd, &count, sizeof(count));
	while (got < 0 && errno == EINTR);
	if (run_completed(ring) == REAP_MAX)
		wake(ring);
}

void disk_ring_hold(struct disk_ring *ring)
{
	io_uring_cq_eventfd_toggle(&ring->uring, false);
}

void disk_ring_let_go(struct disk_ring *ring)
{
	bool much = io_uring_cq_ready(&ring->uring) && run_completed(ring) == REAP_MAX;

	io_uring_cq_eventfd_toggle(&ring->uring, true);
	/* The kernel posts a completion and then looks at the flag; here it is the other way round.
	 */
	atomic_thread_fence(memory_order_seq_cst);
	if (much || io_uring_cq_ready(&ring->uring))
		wake(ring);
}
