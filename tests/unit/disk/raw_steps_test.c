/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Raw images on a ring that is played by the test: short transfers, interruptions and errors,
 * which a healthy kernel hardly ever gives. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/util.h"
#include "disk/raw.h"

#define IMAGE_BYTES (1u << 20)
#define QUEUE_MAX 64

struct disk_ring {
	struct disk_op *queue[QUEUE_MAX];
	unsigned count;
};

void disk_ring_queue(struct disk_ring *ring, struct disk_op *op)
{
	assert_true(ring->count < QUEUE_MAX);
	ring->queue[ring->count++] = op;
}

void disk_ring_kick(struct disk_ring *ring)
{
	(void)ring;
}

struct fixture {
	struct disk_ring ring;
	struct raw_disk *disk;
	struct block_request req;
	struct iovec iov[4];
	uint8_t memory[8192] __attribute__((aligned(4096)));
	uint8_t expected[8192];
	int result;
	unsigned done;
};

static void on_done(struct block_request *req, int result)
{
	struct fixture *f = req->owner;

	f->result = result;
	f->done++;
}

static void open_disk(struct fixture *f, bool direct)
{
	const char *dir = getenv("TMPDIR");
	struct raw_options options = {.direct = direct};
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/oya-raw-XXXXXX", dir ? dir : "/tmp");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	unlink(path);
	for (unsigned i = 0; i < sizeof(f->expected); i++)
		f->expected[i] = (uint8_t)(i * 7 + i / 512);
	assert_int_equal(ftruncate(fd, IMAGE_BYTES), 0);
	assert_int_equal(pwrite(fd, f->expected, sizeof(f->expected), 0), sizeof(f->expected));
	assert_int_equal(raw_open_fd(&f->ring, fd, &options, &f->disk, NULL), 0);
}

static int make(void **state)
{
	struct fixture *f = aligned_alloc(4096, align_up(sizeof(*f), 4096));

	assert_non_null(f);
	memset(f, 0, sizeof(*f));
	open_disk(f, false);
	*state = f;
	return 0;
}

static int make_direct(void **state)
{
	struct fixture *f = aligned_alloc(4096, align_up(sizeof(*f), 4096));

	assert_non_null(f);
	memset(f, 0, sizeof(*f));
	open_disk(f, true);
	*state = f;
	return 0;
}

static int unmake(void **state)
{
	struct fixture *f = *state;

	raw_close(f->disk);
	free(f);
	return 0;
}

static int submit(struct fixture *f, enum block_op op, uint64_t len, bool fua)
{
	f->req = (struct block_request){.op = op,
					.fua = fua,
					.len = len,
					.iov = f->iov,
					.iov_count = op == BLOCK_READ || op == BLOCK_WRITE ? 2 : 0,
					.done = on_done,
					.owner = f};
	/* Two pieces, cut where no sector ends. */
	f->iov[0] = (struct iovec){.iov_base = f->memory, .iov_len = 700};
	f->iov[1] = (struct iovec){.iov_base = f->memory + 700, .iov_len = len - 700};
	f->done = 0;
	return block_submit(raw_blockdev(f->disk), &f->req);
}

/* Completes the first operation: `result` when negative, else by moving at most so many bytes. */
static void complete(struct fixture *f, int result)
{
	struct disk_op *op = f->ring.queue[0];

	assert_true(f->ring.count > 0);
	memmove(f->ring.queue, f->ring.queue + 1, --f->ring.count * sizeof(f->ring.queue[0]));
	if (result > 0 && op->kind != DISK_OP_SYNC) {
		struct iovec iov[8];
		size_t left = (size_t)result;
		unsigned n = 0;

		for (; n < op->iov_count && left; n++) {
			iov[n] = op->iov[n];
			iov[n].iov_len = min_u64(iov[n].iov_len, left);
			left -= iov[n].iov_len;
		}
		result = (int)(op->kind == DISK_OP_READ
				       ? preadv(op->fd, iov, (int)n, (off_t)op->offset)
				       : pwritev(op->fd, iov, (int)n, (off_t)op->offset));
	}
	op->done(op, result);
}

static void short_reads_go_on_where_they_stopped(void **state)
{
	static const int pieces[] = {1, 698, 1, 1, 511, 2000, 1000};
	struct fixture *f = *state;

	assert_int_equal(submit(f, BLOCK_READ, 4096, false), 0);
	for (unsigned i = 0; i < ARRAY_LEN(pieces); i++) {
		complete(f, pieces[i]);
		assert_int_equal(f->done, i == ARRAY_LEN(pieces) - 1);
	}
	assert_int_equal(f->result, 0);
	assert_memory_equal(f->memory, f->expected, 4096);
}

static void short_writes_go_on_where_they_stopped(void **state)
{
	struct fixture *f = *state;
	uint8_t back[4096];

	memset(f->memory, 0x5A, sizeof(f->memory));
	assert_int_equal(submit(f, BLOCK_WRITE, 4096, false), 0);
	complete(f, 700);
	complete(f, 1);
	complete(f, 4096);
	assert_int_equal(f->done, 1);
	assert_int_equal(f->result, 0);
	assert_int_equal(submit(f, BLOCK_READ, 4096, false), 0);
	memset(f->memory, 0, sizeof(f->memory));
	complete(f, 4096);
	memset(back, 0x5A, sizeof(back));
	assert_memory_equal(f->memory, back, sizeof(back));
}

static void short_direct_transfers_go_on_at_a_sector(void **state)
{
	struct fixture *f = *state;

	if (!raw_is_direct(f->disk))
		skip();
	assert_int_equal(submit(f, BLOCK_READ, 4096, false), 0);
	assert_int_equal(f->ring.queue[0]->iov_count, 1); /* the aligned buffer */
	complete(f, 1024);
	assert_int_equal(f->ring.queue[0]->offset, 1024);
	/* Past the page cache a test cannot read odd lengths: it only says that it did. */
	f->ring.queue[0]->done(f->ring.queue[0], 511);
	f->ring.count--;
	memmove(f->ring.queue, f->ring.queue + 1, f->ring.count * sizeof(f->ring.queue[0]));
	assert_int_equal(f->ring.queue[0]->offset, 1024);
	complete(f, 3072);
	assert_int_equal(f->done, 1);
	assert_int_equal(f->result, 0);
	assert_memory_equal(f->memory, f->expected, 4096);
}

static void interruptions_are_tried_again_but_not_for_ever(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(submit(f, BLOCK_READ, 4096, false), 0);
	for (int i = 0; i < 16; i++)
		complete(f, i % 2 ? -EINTR : -EAGAIN);
	assert_int_equal(f->done, 0);
	complete(f, 512); /* progress: the count begins anew */
	for (int i = 0; i < 16; i++)
		complete(f, -EAGAIN);
	assert_int_equal(f->done, 0);
	complete(f, -EAGAIN);
	assert_int_equal(f->done, 1);
	assert_int_equal(f->result, -EIO);
}

static void errors_end_the_request(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(submit(f, BLOCK_WRITE, 4096, false), 0);
	complete(f, 512);
	complete(f, -ENOSPC);
	assert_int_equal(f->done, 1);
	assert_int_equal(f->result, -ENOSPC);
	assert_int_equal(submit(f, BLOCK_WRITE, 4096, false), 0);
	complete(f, 0);
	assert_int_equal(f->result, -EIO);
	assert_int_equal(raw_inflight(f->disk), 0);
}

static void flush_that_failed_in_the_page_cache_fails_for_ever(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(submit(f, BLOCK_FLUSH, 0, false), 0);
	complete(f, 0);
	assert_int_equal(f->result, 0);
	assert_int_equal(submit(f, BLOCK_FLUSH, 0, false), 0);
	complete(f, -EIO);
	assert_int_equal(f->result, -EIO);
	assert_int_equal(submit(f, BLOCK_FLUSH, 0, false), -EIO);
	assert_int_equal(submit(f, BLOCK_WRITE, 4096, true), -EIO);
	assert_int_equal(submit(f, BLOCK_WRITE, 4096, false), 0);
	complete(f, 4096);
	assert_int_equal(f->result, 0);
}

static void fua_write_without_space_can_be_tried_again(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(submit(f, BLOCK_WRITE, 4096, true), 0);
	assert_true(f->ring.queue[0]->rw_flags & RWF_DSYNC);
	complete(f, -ENOSPC);
	assert_int_equal(f->result, -ENOSPC);
	assert_int_equal(submit(f, BLOCK_WRITE, 4096, true), 0);
	complete(f, 4096);
	assert_int_equal(f->result, 0);
	assert_int_equal(submit(f, BLOCK_WRITE, 4096, true), 0);
	complete(f, -EIO);
	assert_int_equal(submit(f, BLOCK_FLUSH, 0, false), -EIO);
}

static void flush_that_failed_past_the_page_cache_can_be_tried_again(void **state)
{
	struct fixture *f = *state;

	if (!raw_is_direct(f->disk))
		skip();
	assert_int_equal(submit(f, BLOCK_FLUSH, 0, false), 0);
	complete(f, -EIO);
	assert_int_equal(f->result, -EIO);
	assert_int_equal(submit(f, BLOCK_FLUSH, 0, false), 0);
	complete(f, 0);
	assert_int_equal(f->result, 0);
}

static void first_discard_that_cannot_be_done_is_the_last(void **state)
{
	struct fixture *f = *state;

	if (!raw_blockdev(f->disk)->discard_bytes)
		skip();
	assert_int_equal(submit(f, BLOCK_ZERO, 4096, false), 0);
	assert_int_equal(f->ring.queue[0]->len, 4096);
	complete(f, -EOPNOTSUPP);
	assert_int_equal(f->result, -EOPNOTSUPP);
	assert_int_not_equal(raw_blockdev(f->disk)->discard_bytes, 0);
	assert_int_equal(submit(f, BLOCK_DISCARD, 4096, false), 0);
	complete(f, -EINTR);
	complete(f, -ENOSPC);
	assert_int_equal(f->result, -ENOSPC);
	assert_int_equal(submit(f, BLOCK_DISCARD, 4096, false), 0);
	complete(f, -EINVAL);
	assert_int_equal(f->result, -EOPNOTSUPP);
	assert_int_equal(raw_blockdev(f->disk)->discard_bytes, 0);
	assert_int_equal(submit(f, BLOCK_DISCARD, 4096, false), -EOPNOTSUPP);
}

#define CACHED(test) cmocka_unit_test_setup_teardown(test, make, unmake)
#define DIRECT(test) cmocka_unit_test_setup_teardown(test, make_direct, unmake)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CACHED(first_discard_that_cannot_be_done_is_the_last),
		CACHED(short_reads_go_on_where_they_stopped),
		CACHED(short_writes_go_on_where_they_stopped),
		DIRECT(short_direct_transfers_go_on_at_a_sector),
		CACHED(interruptions_are_tried_again_but_not_for_ever),
		CACHED(errors_end_the_request),
		CACHED(flush_that_failed_in_the_page_cache_fails_for_ever),
		CACHED(fua_write_without_space_can_be_tried_again),
		DIRECT(flush_that_failed_past_the_page_cache_can_be_tried_again),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
