/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Raw images on real files, through a real io_uring; each test runs on the temporary directory's
 * file system and on /dev/shm, past the page cache and through it. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/util.h"
#include "disk/raw.h"
#include "tests/lib/failheap.h"

#define IMAGE_BYTES (8u << 20)
#define MODEL_SECTORS (IMAGE_BYTES / 512)
#define MODEL_ROUNDS 120
#define MODEL_BATCH 24

/* What a test is run with. */
struct place {
	const char *dir;
	bool direct;
};

struct fixture {
	struct place place;
	struct disk_ring *ring;
	struct raw_disk *disk;
	char path[256];
};

struct job {
	struct block_request req;
	struct iovec iov[8];
	uint8_t *buffer; /* of its own, as large as the request */
	int result;
	unsigned done;
};

static void on_done(struct block_request *req, int result)
{
	struct job *job = req->owner;

	job->result = result;
	job->done++;
}

static const char *temporary_dir(void)
{
	const char *dir = getenv("TMPDIR");

	return dir ? dir : "/tmp";
}

static void make_file(struct fixture *f, off_t bytes)
{
	int fd;

	snprintf(f->path, sizeof(f->path), "%s/oya-raw-XXXXXX", f->place.dir);
	fd = mkstemp(f->path);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, bytes), 0);
	close(fd);
}

static int open_image(struct fixture *f, bool read_only, struct raw_disk **ret,
		      enum raw_reason *reason)
{
	struct raw_options options = {.read_only = read_only, .direct = f->place.direct};

	return raw_open(f->ring, f->path, &options, ret, reason);
}

static struct fixture make_fixture(const struct place *place)
{
	struct fixture f = {.place = *place};
	int r = disk_ring_new(64, &f.ring);

	if (r == -ENOSYS || r == -EPERM) {
		print_message("io_uring is not permitted here\n");
		skip();
	}
	assert_int_equal(r, 0);
	make_file(&f, IMAGE_BYTES);
	assert_int_equal(open_image(&f, false, &f.disk, NULL), 0);
	return f;
}

static void drop_fixture(struct fixture *f)
{
	raw_close(f->disk);
	assert_int_equal(disk_ring_inflight(f->ring), 0);
	disk_ring_free(f->ring);
	unlink(f->path);
}

static int submit(struct fixture *f, struct job *job)
{
	job->req.done = on_done;
	job->req.owner = job;
	return block_submit(raw_blockdev(f->disk), &job->req);
}

static void wait_for(struct fixture *f, const struct job *job)
{
	struct pollfd p = {.fd = disk_ring_fd(f->ring), .events = POLLIN};

	while (!job->done) {
		assert_int_equal(poll(&p, 1, 10000), 1);
		disk_ring_reap(f->ring);
	}
	assert_int_equal(job->done, 1);
}

static int run(struct fixture *f, struct job *job)
{
	int r = submit(f, job);

	if (r < 0)
		return r;
	assert_int_equal(job->done, 0); /* never from within submit */
	block_kick(raw_blockdev(f->disk));
	wait_for(f, job);
	return job->result;
}

static int run_plain(struct fixture *f, enum block_op op, bool fua, uint64_t offset, void *data,
		     size_t len)
{
	struct job job = {
		.req = {.op = op, .fua = fua, .offset = offset, .len = len, .iov = job.iov},
		.iov = {{.iov_base = data, .iov_len = len}},
	};

	job.req.iov_count = op == BLOCK_READ || op == BLOCK_WRITE;
	return run(f, &job);
}

static void fill(uint8_t *p, size_t len, unsigned seed)
{
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)(i * 13 + (i / 512) * (seed >> 8 | 1) + seed);
}

/* --- requests --------------------------------------------------------------------------- */

static void data_reads_back_with_fua_and_flush(const struct place *place)
{
	struct fixture f = make_fixture(place);
	uint8_t *out = aligned_alloc(4096, 65536), *in = aligned_alloc(4096, 65536);

	assert_true(out && in);
	fill(out, 65536, 1);
	assert_int_equal(run_plain(&f, BLOCK_WRITE, true, 4096, out, 65536), 0);
	assert_int_equal(run_plain(&f, BLOCK_FLUSH, false, 0, NULL, 0), 0);
	assert_int_equal(run_plain(&f, BLOCK_READ, false, 4096, in, 65536), 0);
	assert_memory_equal(out, in, 65536);
	assert_int_equal(run_plain(&f, BLOCK_READ, false, IMAGE_BYTES - 512, in, 512), 0);
	free(out);
	free(in);
	drop_fixture(&f);
}

static void held_ring_is_silent_until_it_is_let_go(const struct place *place)
{
	struct fixture f = make_fixture(place);
	struct pollfd p = {.fd = disk_ring_fd(f.ring), .events = POLLIN};
	uint8_t *bytes = aligned_alloc(4096, 4096);
	struct job held = {.req = {.op = BLOCK_READ, .len = 4096, .iov = held.iov, .iov_count = 1},
			   .iov = {{.iov_base = bytes, .iov_len = 4096}}};
	struct job free_one = held;

	assert_non_null(bytes);
	free_one.req.iov = free_one.iov;
	disk_ring_hold(f.ring);
	assert_int_equal(submit(&f, &held), 0);
	block_kick(raw_blockdev(f.disk));
	assert_int_equal(poll(&p, 1, 200), 0);
	assert_int_equal(held.done, 0);
	disk_ring_let_go(f.ring);
	assert_int_equal(held.done, 1);
	assert_int_equal(held.result, 0);
	assert_int_equal(submit(&f, &free_one), 0);
	block_kick(raw_blockdev(f.disk));
	wait_for(&f, &free_one);
	free(bytes);
	drop_fixture(&f);
}

static void misaligned_vectors_move_their_bytes(const struct place *place)
{
	static const size_t cut[] = {1, 511, 700, 3, 1345, 512, 4096};
	struct fixture f = make_fixture(place);
	struct job job = {.req = {.op = BLOCK_WRITE, .offset = 512, .iov = job.iov}};
	uint8_t *out = malloc(8192), *in = malloc(8192);
	size_t at = 1;

	assert_true(out && in);
	fill(out, 8192, 2);
	for (unsigned i = 0; i < ARRAY_LEN(cut); i++) {
		job.iov[i] = (struct iovec){.iov_base = out + at, .iov_len = cut[i]};
		at += cut[i];
	}
	job.req.iov_count = ARRAY_LEN(cut);
	job.req.len = at - 1;
	assert_int_equal(run(&f, &job), 0);
	assert_int_equal(run_plain(&f, BLOCK_READ, false, 512, in + 3, at - 1), 0);
	assert_memory_equal(out + 1, in + 3, at - 1);
	free(out);
	free(in);
	drop_fixture(&f);
}

/* Longer than a bounce buffer, more of them than there are buffers. */
static void many_long_misaligned_requests_share_the_buffers(const struct place *place)
{
	struct fixture f = make_fixture(place);
	struct job job[12] = {0};
	const size_t len = 600u << 10;
	uint8_t *in = malloc(len + 1);

	assert_non_null(in);
	for (unsigned i = 0; i < ARRAY_LEN(job); i++) {
		job[i].buffer = malloc(len + 1);
		assert_non_null(job[i].buffer);
		fill(job[i].buffer + 1, len, i);
		job[i].iov[0] = (struct iovec){.iov_base = job[i].buffer + 1, .iov_len = len};
		job[i].req = (struct block_request){.op = BLOCK_WRITE,
						    .offset = i * len,
						    .len = len,
						    .iov = job[i].iov,
						    .iov_count = 1};
		assert_int_equal(submit(&f, &job[i]), 0);
	}
	block_kick(raw_blockdev(f.disk));
	for (unsigned i = 0; i < ARRAY_LEN(job); i++) {
		wait_for(&f, &job[i]);
		assert_int_equal(job[i].result, 0);
	}
	for (unsigned i = 0; i < ARRAY_LEN(job); i++) {
		assert_int_equal(run_plain(&f, BLOCK_READ, false, i * len, in + 1, len), 0);
		assert_memory_equal(in + 1, job[i].buffer + 1, len);
		free(job[i].buffer);
	}
	free(in);
	drop_fixture(&f);
}

static void vectors_longer_than_the_kernel_takes_go_in_steps(const struct place *place)
{
	enum { COUNT = 2049 };
	struct fixture f = make_fixture(place);
	uint8_t *out = aligned_alloc(4096, align_up(COUNT * 1024, 4096)), *in = malloc(COUNT * 512);
	struct iovec *iov = calloc(COUNT, sizeof(*iov));
	struct job job = {
		.req = {.op = BLOCK_WRITE, .len = COUNT * 512, .iov = iov, .iov_count = COUNT}};

	assert_true(out && in && iov);
	fill(out, COUNT * 1024, 4);
	for (unsigned i = 0; i < COUNT; i++)
		iov[i] = (struct iovec){.iov_base = out + i * 1024, .iov_len = 512};
	assert_int_equal(run(&f, &job), 0);
	assert_int_equal(run_plain(&f, BLOCK_READ, false, 0, in, COUNT * 512), 0);
	for (unsigned i = 0; i < COUNT; i++)
		assert_memory_equal(in + i * 512, out + i * 1024, 512);
	free(out);
	free(in);
	free(iov);
	drop_fixture(&f);
}

static void requests_of_a_wrong_shape_are_refused(const struct place *place)
{
	struct fixture f = make_fixture(place);
	uint8_t data[1024] = {0};
	struct job job = {
		.req = {.op = BLOCK_READ, .len = 1024, .iov = job.iov, .iov_count = 1},
		.iov = {{.iov_base = data, .iov_len = 512}},
	};

	assert_int_equal(run_plain(&f, BLOCK_READ, false, IMAGE_BYTES, data, 512), -ERANGE);
	assert_int_equal(run_plain(&f, BLOCK_WRITE, false, IMAGE_BYTES - 512, data, 1024), -ERANGE);
	assert_int_equal(run_plain(&f, BLOCK_READ, false, UINT64_MAX - 511, data, 512), -ERANGE);
	assert_int_equal(run_plain(&f, BLOCK_READ, false, 1, data, 512), -EINVAL);
	assert_int_equal(run_plain(&f, BLOCK_READ, false, 0, data, 100), -EINVAL);
	assert_int_equal(run_plain(&f, BLOCK_READ, false, 0, data, 0), -EINVAL);
	assert_int_equal(submit(&f, &job), -EINVAL); /* the vector is shorter than the length */
	assert_int_equal(raw_inflight(f.disk), 0);
	drop_fixture(&f);
}

static void requests_beyond_the_limit_are_sent_back(const struct place *place)
{
	enum { COUNT = 400 };
	struct fixture f = make_fixture(place);
	struct job *job = calloc(COUNT, sizeof(*job));
	uint8_t *data = aligned_alloc(4096, COUNT * 512);
	unsigned taken = 0;

	assert_true(job && data);
	for (unsigned i = 0; i < COUNT; i++) {
		job[i].iov[0] = (struct iovec){.iov_base = data + i * 512, .iov_len = 512};
		job[i].req = (struct block_request){.op = BLOCK_READ,
						    .offset = i * 512,
						    .len = 512,
						    .iov = job[i].iov,
						    .iov_count = 1};
		if (submit(&f, &job[i]) == -EAGAIN)
			break;
		taken++;
	}
	assert_int_equal(taken, 256);
	assert_int_equal(raw_inflight(f.disk), 256);
	block_kick(raw_blockdev(f.disk));
	for (unsigned i = 0; i < taken; i++) {
		wait_for(&f, &job[i]);
		assert_int_equal(job[i].result, 0);
	}
	assert_int_equal(run(&f, &job[taken]), 0);
	free(job);
	free(data);
	drop_fixture(&f);
}

static void file_that_became_shorter_gives_an_error(const struct place *place)
{
	struct fixture f = make_fixture(place);
	uint8_t *data = aligned_alloc(4096, 8192);

	assert_non_null(data);
	assert_int_equal(truncate(f.path, 4096), 0);
	assert_int_equal(run_plain(&f, BLOCK_READ, false, 0, data, 8192), -EIO);
	assert_int_equal(run_plain(&f, BLOCK_READ, false, 8192, data, 512), -EIO);
	assert_int_equal(run_plain(&f, BLOCK_READ, false, 0, data, 4096), 0);
	free(data);
	drop_fixture(&f);
}

static blkcnt_t blocks_of(const struct fixture *f)
{
	struct stat st;

	assert_int_equal(stat(f->path, &st), 0);
	return st.st_blocks;
}

static void assert_filled(const uint8_t *p, size_t len, uint8_t value)
{
	for (size_t i = 0; i < len; i++)
		assert_int_equal(p[i], value);
}

/* Both kinds, up to where the file system has neither. */
static void discarded_and_zeroed_ranges_read_as_zeros(const struct place *place)
{
	struct fixture f = make_fixture(place);
	uint8_t *data = aligned_alloc(4096, 1 << 20);
	blkcnt_t before;
	int r;

	assert_non_null(data);
	memset(data, 0x5A, 1 << 20);
	assert_int_equal(run_plain(&f, BLOCK_WRITE, false, 0, data, 1 << 20), 0);
	assert_int_equal(run_plain(&f, BLOCK_FLUSH, false, 0, NULL, 0), 0);
	if (!raw_blockdev(f.disk)->discard_bytes) {
		print_message("%s: no holes, skipped\n", place->dir);
	} else {
		before = blocks_of(&f);
		assert_int_equal(run_plain(&f, BLOCK_DISCARD, false, 512, NULL, 512 << 10), 0);
		assert_true(blocks_of(&f) < before);
		assert_int_equal(run_plain(&f, BLOCK_READ, false, 0, data, 1 << 20), 0);
		assert_filled(data, 512, 0x5A);
		assert_filled(data + 512, 512 << 10, 0);
		assert_filled(data + 512 + (512 << 10), 512, 0x5A);
	}
	r = run_plain(&f, BLOCK_ZERO, false, 1024 << 9, NULL, 1536);
	assert_true(r == 0 || r == -EOPNOTSUPP);
	assert_int_equal(run_plain(&f, BLOCK_READ, false, 1024 << 9, data, 4096), 0);
	if (r == 0)
		assert_filled(data, 1536, 0);
	assert_filled(data + 1536, 2560, 0x5A);
	assert_int_equal(run_plain(&f, BLOCK_DISCARD, false, IMAGE_BYTES, NULL, 512), -ERANGE);
	assert_int_equal(run_plain(&f, BLOCK_ZERO, false, 0, NULL, 511), -EINVAL);
	free(data);
	drop_fixture(&f);
}

/* --- opening ---------------------------------------------------------------------------- */

static void image_is_written_by_one_and_read_by_many(const struct place *place)
{
	struct fixture f = make_fixture(place);
	struct raw_disk *second, *third;
	enum raw_reason reason;

	assert_int_equal(open_image(&f, false, &second, &reason), -EBUSY);
	assert_int_equal(reason, RAW_REASON_LOCKED);
	assert_int_equal(open_image(&f, true, &second, &reason), -EBUSY);
	raw_close(f.disk);
	f.disk = NULL;
	assert_int_equal(open_image(&f, true, &second, &reason), 0);
	assert_int_equal(open_image(&f, true, &third, &reason), 0);
	assert_int_equal(open_image(&f, false, &f.disk, &reason), -EBUSY);
	raw_close(second);
	assert_int_equal(open_image(&f, false, &f.disk, &reason), -EBUSY);
	raw_close(third);
	assert_int_equal(open_image(&f, false, &f.disk, &reason), 0);
	drop_fixture(&f);
}

static void read_only_image_is_never_written(const struct place *place)
{
	struct fixture f = make_fixture(place);
	uint8_t data[512] = {0};

	raw_close(f.disk);
	assert_int_equal(open_image(&f, true, &f.disk, NULL), 0);
	assert_true(raw_blockdev(f.disk)->read_only);
	assert_int_equal(run_plain(&f, BLOCK_WRITE, false, 0, data, 512), -EROFS);
	assert_int_equal(run_plain(&f, BLOCK_DISCARD, false, 0, NULL, 512), -EROFS);
	assert_int_equal(run_plain(&f, BLOCK_ZERO, false, 0, NULL, 512), -EROFS);
	assert_int_equal(raw_blockdev(f.disk)->discard_bytes, 0);
	assert_int_equal(run_plain(&f, BLOCK_READ, false, 0, data, 512), 0);
	assert_int_equal(run_plain(&f, BLOCK_FLUSH, false, 0, NULL, 0), 0);
	drop_fixture(&f);
}

static void images_of_a_wrong_kind_are_refused_with_the_reason(const struct place *place)
{
	struct fixture f = make_fixture(place);
	struct raw_options options = {.direct = place->direct}, read_only = {.read_only = true};
	struct raw_disk *disk;
	enum raw_reason reason;
	char kept[sizeof(f.path)];
	int fd;

	raw_close(f.disk);
	f.disk = NULL;
	assert_int_equal(truncate(f.path, 1000), 0);
	assert_int_equal(open_image(&f, false, &disk, &reason), -EINVAL);
	assert_int_equal(reason, RAW_REASON_SIZE);
	assert_int_equal(truncate(f.path, 0), 0);
	assert_int_equal(open_image(&f, false, &disk, &reason), -EINVAL);
	assert_int_equal(reason, RAW_REASON_SIZE);
	assert_int_equal(raw_open(f.ring, "/dev/null", &options, &disk, &reason), -EINVAL);
	assert_int_equal(reason, RAW_REASON_TYPE);
	assert_int_equal(raw_open(f.ring, place->dir, &read_only, &disk, &reason), -EINVAL);
	assert_int_equal(reason, RAW_REASON_TYPE);
	memcpy(kept, f.path, sizeof(kept));
	strcat(f.path, "-none");
	assert_int_equal(open_image(&f, false, &disk, &reason), -ENOENT);
	assert_int_equal(reason, RAW_REASON_SYSTEM);
	memcpy(f.path, kept, sizeof(kept));
	unlink(f.path);
	assert_int_equal(mkfifo(f.path, 0600), 0);
	assert_int_equal(open_image(&f, true, &disk, &reason), -EINVAL);
	assert_int_equal(reason, RAW_REASON_TYPE);
	unlink(f.path);
	make_file(&f, IMAGE_BYTES);
	fd = open(f.path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(raw_open_fd(f.ring, fd, &options, &disk, &reason), -EROFS);
	assert_int_equal(reason, RAW_REASON_READ_ONLY);
	close(fd);
	drop_fixture(&f);
}

/* Opens and closes the image that the context names, on a ring of its own. */
static int open_and_close(void *ctx)
{
	const struct fixture *place = ctx;
	struct fixture f = *place;
	int r;

	f.ring = NULL;
	f.disk = NULL;
	r = disk_ring_new(8, &f.ring);
	if (r == 0)
		r = open_image(&f, true, &f.disk, NULL);
	raw_close(f.disk);
	disk_ring_free(f.ring);
	return r;
}

static void image_without_memory_is_not_opened(const struct place *place)
{
	struct fixture f = make_fixture(place);

	raw_close(f.disk);
	f.disk = NULL;
	assert_true(failheap_sweep(open_and_close, &f) >= (place->direct ? 3u : 2u));
	drop_fixture(&f);
}

/* --- a model of the disk ---------------------------------------------------------------- */

static uint32_t random_next(uint64_t *seed)
{
	*seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(*seed >> 33);
}

/* A random request whose vector has random cuts at random alignments; the sectors of a batch do
 * not overlap, since requests in flight together have no order. */
static void random_job(struct job *job, uint64_t *seed, uint64_t first, uint64_t sectors)
{
	uint32_t count = 1 + random_next(seed) % (uint32_t)min_u64(sectors, 600);
	size_t len = count * 512u, at = 0,
	       shift = random_next(seed) % 4 ? 0 : random_next(seed) % 512;
	unsigned n = 0;

	memset(job, 0, sizeof(*job));
	job->buffer = aligned_alloc(4096, align_up(len + 512, 4096));
	assert_non_null(job->buffer);
	while (at < len) {
		size_t piece = random_next(seed) % (len - at) + 1;

		if (shift == 0)
			piece = align_up(piece, 512);
		if (n == ARRAY_LEN(job->iov) - 1)
			piece = len - at;
		job->iov[n++] =
			(struct iovec){.iov_base = job->buffer + shift + at, .iov_len = piece};
		at += piece;
	}
	job->req = (struct block_request){
		.op = random_next(seed) % 2 ? BLOCK_WRITE : BLOCK_READ,
		.fua = random_next(seed) % 16 == 0,
		.offset = (first + random_next(seed) % (sectors - count + 1)) * 512,
		.len = len,
		.iov = job->iov,
		.iov_count = n,
	};
	fill(job->buffer + shift, len, random_next(seed));
}

static void random_requests_agree_with_a_model(const struct place *place)
{
	struct fixture f = make_fixture(place);
	const uint64_t share = MODEL_SECTORS / MODEL_BATCH;
	uint8_t *model = calloc(1, IMAGE_BYTES), *whole = aligned_alloc(4096, IMAGE_BYTES);
	uint64_t seed = 20240607;
	struct job job[MODEL_BATCH];
	uint8_t *data[MODEL_BATCH];

	assert_true(model && whole);
	for (unsigned round = 0; round < MODEL_ROUNDS; round++) {
		for (unsigned i = 0; i < MODEL_BATCH; i++) {
			random_job(&job[i], &seed, i * share, share);
			data[i] = job[i].iov[0].iov_base;
			assert_int_equal(submit(&f, &job[i]), 0);
		}
		block_kick(raw_blockdev(f.disk));
		for (unsigned i = 0; i < MODEL_BATCH; i++) {
			wait_for(&f, &job[i]);
			assert_int_equal(job[i].result, 0);
			if (job[i].req.op == BLOCK_WRITE)
				memcpy(model + job[i].req.offset, data[i], job[i].req.len);
			else
				assert_memory_equal(model + job[i].req.offset, data[i],
						    job[i].req.len);
			free(job[i].buffer);
		}
		if (round % 50 == 0)
			assert_int_equal(run_plain(&f, BLOCK_FLUSH, false, 0, NULL, 0), 0);
	}
	assert_int_equal(run_plain(&f, BLOCK_READ, false, 0, whole, IMAGE_BYTES), 0);
	assert_memory_equal(model, whole, IMAGE_BYTES);
	free(model);
	free(whole);
	drop_fixture(&f);
}

static void ring_of_two_places_serves_many_requests(void **state)
{
	struct fixture f = {.place = {.dir = temporary_dir()}};
	struct job job[40] = {0};
	uint8_t data[40 * 512];
	int r = disk_ring_new(2, &f.ring);

	(void)state;
	if (r == -ENOSYS || r == -EPERM)
		skip();
	assert_int_equal(r, 0);
	make_file(&f, IMAGE_BYTES);
	assert_int_equal(open_image(&f, false, &f.disk, NULL), 0);
	for (unsigned i = 0; i < ARRAY_LEN(job); i++) {
		job[i].iov[0] = (struct iovec){.iov_base = data + i * 512, .iov_len = 512};
		job[i].req = (struct block_request){.op = BLOCK_READ,
						    .offset = i * 512,
						    .len = 512,
						    .iov = job[i].iov,
						    .iov_count = 1};
		assert_int_equal(submit(&f, &job[i]), 0);
	}
	block_kick(raw_blockdev(f.disk));
	for (unsigned i = 0; i < ARRAY_LEN(job); i++) {
		wait_for(&f, &job[i]);
		assert_int_equal(job[i].result, 0);
	}
	drop_fixture(&f);
}

/* --- each test in each place ------------------------------------------------------------ */

/* Tells in the log when a file system cannot do what a place asks for, and the test would only
 * repeat that of the page cache. */
static void run_in_places(void (*test)(const struct place *place))
{
	const struct place places[] = {
		{temporary_dir(), false},
		{temporary_dir(), true},
		{"/dev/shm", false},
		{"/dev/shm", true},
	};

	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		struct fixture f;
		bool direct;

		if (access(places[i].dir, W_OK) < 0) {
			print_message("%s cannot be written: skipped\n", places[i].dir);
			continue;
		}
		f = make_fixture(&places[i]);
		direct = raw_is_direct(f.disk);
		drop_fixture(&f);
		if (direct != places[i].direct)
			print_message("%s: no direct I/O, skipped\n", places[i].dir);
		else
			test(&places[i]);
	}
}

#define IN_PLACES(name)                       \
	static void test_##name(void **state) \
	{                                     \
		(void)state;                  \
		run_in_places(name);          \
	}
#define TEST(name)                                   \
	{                                            \
#name, test_##name, NULL, NULL, NULL \
	}

IN_PLACES(data_reads_back_with_fua_and_flush)
IN_PLACES(held_ring_is_silent_until_it_is_let_go)
IN_PLACES(misaligned_vectors_move_their_bytes)
IN_PLACES(many_long_misaligned_requests_share_the_buffers)
IN_PLACES(vectors_longer_than_the_kernel_takes_go_in_steps)
IN_PLACES(requests_of_a_wrong_shape_are_refused)
IN_PLACES(requests_beyond_the_limit_are_sent_back)
IN_PLACES(file_that_became_shorter_gives_an_error)
IN_PLACES(discarded_and_zeroed_ranges_read_as_zeros)
IN_PLACES(image_is_written_by_one_and_read_by_many)
IN_PLACES(read_only_image_is_never_written)
IN_PLACES(images_of_a_wrong_kind_are_refused_with_the_reason)
IN_PLACES(image_without_memory_is_not_opened)
IN_PLACES(random_requests_agree_with_a_model)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(data_reads_back_with_fua_and_flush),
		TEST(held_ring_is_silent_until_it_is_let_go),
		TEST(misaligned_vectors_move_their_bytes),
		TEST(many_long_misaligned_requests_share_the_buffers),
		TEST(vectors_longer_than_the_kernel_takes_go_in_steps),
		TEST(requests_of_a_wrong_shape_are_refused),
		TEST(requests_beyond_the_limit_are_sent_back),
		TEST(file_that_became_shorter_gives_an_error),
		TEST(discarded_and_zeroed_ranges_read_as_zeros),
		TEST(image_is_written_by_one_and_read_by_many),
		TEST(read_only_image_is_never_written),
		TEST(images_of_a_wrong_kind_are_refused_with_the_reason),
		TEST(image_without_memory_is_not_opened),
		TEST(random_requests_agree_with_a_model),
		cmocka_unit_test(ring_of_two_places_serves_many_requests),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
