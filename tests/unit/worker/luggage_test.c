/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Disks that go along with a VM: what is sent of one, and what the other side makes of it, on real
 * files and a real ring. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#undef fail /* lib/fail.h has one of its own */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/failheap.h"
#include "tests/lib/stillvm.h"
#include "worker/luggage.h"

#define IMAGE_BYTES ((8 << 20) + 512)
#define WRITE_BYTES 4096u
#define TURNS_MAX 5000

/* Two VMs, each with a disk; and the stream between them. */
struct set {
	struct stillvm *s[2];
	int image[2], stream;
	struct luggage luggage;
	struct state_writer writer;
	struct dirty_sink sink;
	uint64_t paced;
	bool written;
};

static struct failure f;

static int nameless(void)
{
	char path[] = "/tmp/oya-luggage-XXXXXX";
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	unlink(path);
	assert_int_equal(ftruncate(fd, IMAGE_BYTES), 0);
	return fd;
}

static int opened(int fd)
{
	char path[64];
	int again;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = open(path, O_RDWR | O_CLOEXEC);
	assert_true(again >= 0);
	return again;
}

static struct storage *storage_of(struct set *t, unsigned which)
{
	return &t->s[which]->vm.storage;
}

static int count(void *ctx, uint64_t bytes, struct failure *failure)
{
	(void)failure;
	((struct set *)ctx)->paced += bytes;
	return 0;
}

static int set_up(void **state)
{
	struct set *t = calloc(1, sizeof(*t));

	assert_non_null(t);
	for (unsigned i = 0; i < 2; i++) {
		struct config_disk disk = {.lun = 5};
		struct stillvm *s = stillvm_new();

		t->s[i] = s;
		s->config.scsi_queues = s->config.controllers = 1;
		t->image[i] = nameless();
		assert_int_equal(storage_init(storage_of(t, i), &s->config, s->vm.machine.bus, NULL,
					      s->vm.loop, &f),
				 0);
		assert_int_equal(storage_add(storage_of(t, i), &disk, opened(t->image[i]), &f), 0);
	}
	t->stream = memfd_create("stream", MFD_CLOEXEC);
	assert_int_equal(
		state_write_begin(&t->writer, t->stream, "x", STATE_LIVE | STATE_DISKS, &f), 0);
	t->sink = (struct dirty_sink){.writer = &t->writer, .pace = count, .ctx = t};
	*state = t;
	return 0;
}

static int tear_down(void **state)
{
	struct set *t = *state;

	luggage_end(&t->luggage);
	for (unsigned i = 0; i < 2; i++) {
		storage_drain(storage_of(t, i));
		storage_done(storage_of(t, i));
		stillvm_free(t->s[i]);
		close(t->image[i]);
	}
	close(t->stream);
	free(t);
	return 0;
}

static void put(int fd, const char *text, uint64_t at)
{
	assert_int_equal(pwrite(fd, text, strlen(text), (off_t)at), strlen(text));
}

/* All that was sent so far, to the other side. 0, or the first refusal. */
static int carry(struct set *t)
{
	struct state_record record;
	struct state_reader r;
	int e;

	assert_int_equal(state_write_end(&t->writer, &f), 0);
	assert_int_equal(lseek(t->stream, 0, SEEK_SET), 0);
	assert_int_equal(state_read_begin(&r, t->stream, "x", STATE_LIVE, &f), 0);
	while ((e = state_read_next(&r, &record, &f)) == 0 && record.type != STATE_END) {
		e = luggage_take(storage_of(t, 1), &r, &record, &f);
		if (e < 0)
			return e;
	}
	return e;
}

static void assert_same(const struct set *t)
{
	uint8_t *bytes[2];

	for (unsigned i = 0; i < 2; i++) {
		bytes[i] = malloc(IMAGE_BYTES);
		assert_non_null(bytes[i]);
		assert_int_equal(pread(t->image[i], bytes[i], IMAGE_BYTES, 0), IMAGE_BYTES);
	}
	assert_memory_equal(bytes[0], bytes[1], IMAGE_BYTES);
	free(bytes[0]);
	free(bytes[1]);
}

static void on_written(struct block_request *req, int result)
{
	assert_int_equal(result, 0);
	((struct set *)req->owner)->written = true;
}

/* As the guest does. */
static void guest_writes(struct set *t, uint64_t offset, uint8_t byte)
{
	static uint8_t data[WRITE_BYTES];
	struct iovec iov = {.iov_base = data, .iov_len = sizeof(data)};
	struct block_request req = {.op = BLOCK_WRITE,
				    .offset = offset,
				    .len = sizeof(data),
				    .iov = &iov,
				    .iov_count = 1,
				    .done = on_written,
				    .owner = t};
	const struct blockdev *dev = raw_blockdev(storage_of(t, 0)->controller[0]->place[5].image);

	memset(data, byte, sizeof(data));
	t->written = false;
	pthread_mutex_lock(&t->s[0]->vm.lock);
	assert_int_equal(block_submit(dev, &req), 0);
	block_kick(dev);
	for (int n = 0; n < TURNS_MAX && !t->written; n++) {
		storage_settle(storage_of(t, 0));
		disk_ring_reap(storage_of(t, 0)->ring);
		poll(NULL, 0, 1);
	}
	pthread_mutex_unlock(&t->s[0]->vm.lock);
	assert_true(t->written);
}

static void data_goes_first_then_what_was_written_and_holes_stay_holes(void **state)
{
	struct set *t = *state;
	struct stat st;

	put(t->image[0], "begin", 0);
	put(t->image[0], "far behind", 5 << 20);
	put(t->image[0], "end", IMAGE_BYTES - 3);
	assert_int_equal(luggage_begin(&t->luggage, storage_of(t, 0), &f), 0);
	luggage_look(&t->luggage);
	assert_true(t->luggage.total_bytes >= 3 * CHUNK_BYTES &&
		    t->luggage.total_bytes < IMAGE_BYTES / 2);
	assert_int_equal(luggage_send(&t->luggage, &t->sink, true, &f), 0);
	assert_int_equal(luggage_left(&t->luggage), 0);
	guest_writes(t, 3 << 20, 0x5a);
	guest_writes(t, (5 << 20) + CHUNK_BYTES - WRITE_BYTES, 0x77);
	assert_true(luggage_left(&t->luggage) == 2 * CHUNK_BYTES);
	assert_int_equal(luggage_send(&t->luggage, &t->sink, false, &f), 0);
	assert_int_equal(luggage_left(&t->luggage), 0);
	assert_true(t->paced > 0 && t->luggage.sent_bytes >= t->paced);
	assert_int_equal(carry(t), 0);
	assert_same(t);
	assert_int_equal(fstat(t->image[1], &st), 0);
	assert_true(st.st_blocks * 512 < 1 << 20);
}

static void what_has_become_zeros_is_zeros_there(void **state)
{
	struct set *t = *state;

	assert_int_equal(luggage_begin(&t->luggage, storage_of(t, 0), &f), 0);
	guest_writes(t, 1 << 20, 0x11);
	assert_int_equal(luggage_send(&t->luggage, &t->sink, true, &f), 0);
	guest_writes(t, 1 << 20, 0);
	assert_int_equal(luggage_send(&t->luggage, &t->sink, false, &f), 0);
	assert_int_equal(carry(t), 0);
	assert_same(t);
}

static void bytes_of_a_disk_that_there_is_not_are_refused(void **state)
{
	static uint8_t bytes[512] = {1};
	static const struct state_blocks bad[] = {
		{.controller = 0, .lun = 4, .len = 512},
		{.controller = 0, .lun = 64, .len = 512},
		{.controller = 1, .lun = 5, .len = 512},
		{.controller = UINT32_MAX, .lun = UINT32_MAX, .len = 512},
		{.lun = 5, .offset = IMAGE_BYTES, .len = 512},
		{.lun = 5, .offset = IMAGE_BYTES - 256, .len = 512},
		{.lun = 5, .offset = UINT64_MAX - 255, .len = 512},
	};
	struct set *t = *state;
	struct stat st;

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		assert_int_equal(ftruncate(t->stream, 0), 0);
		assert_int_equal(lseek(t->stream, 0, SEEK_SET), 0);
		assert_int_equal(
			state_write_begin(&t->writer, t->stream, "x", STATE_LIVE | STATE_DISKS, &f),
			0);
		assert_int_equal(state_write_blocks(&t->writer, &bad[i], bytes, &f), 0);
		assert_int_equal(carry(t), -EBADMSG);
	}
	assert_int_equal(fstat(t->image[1], &st), 0);
	assert_true(st.st_size == IMAGE_BYTES && st.st_blocks == 0);
}

static void a_disk_that_is_only_read_does_not_go_along(void **state)
{
	struct set *t = *state;
	struct config_disk disk = {.lun = 6, .read_only = true};

	assert_int_equal(storage_add(storage_of(t, 0), &disk, nameless(), &f), 0);
	assert_int_equal(luggage_begin(&t->luggage, storage_of(t, 0), &f), -EROFS);
	assert_int_equal(t->luggage.count, 0);
	guest_writes(t, 0, 1);
}

static int begin_and_end(void *ctx)
{
	struct set *t = ctx;
	int r = luggage_begin(&t->luggage, storage_of(t, 0), &f);

	luggage_end(&t->luggage);
	return r;
}

static void without_memory_nothing_begins(void **state)
{
	assert_true(failheap_sweep(begin_and_end, *state) >= 3);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(data_goes_first_then_what_was_written_and_holes_stay_holes),
		TEST(what_has_become_zeros_is_zeros_there),
		TEST(bytes_of_a_disk_that_there_is_not_are_refused),
		TEST(a_disk_that_is_only_read_does_not_go_along),
		TEST(without_memory_nothing_begins),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
