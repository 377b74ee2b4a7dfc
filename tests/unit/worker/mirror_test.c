/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Images that are copied while they are used, on real files and a real ring, with a VM that does
 * not run: the test writes in the guest's place. */
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
#include <unistd.h>

#include "disk/chunks.h"
#include "tests/lib/failheap.h"
#include "tests/lib/stillvm.h"
#include "worker/mirror.h"

#define IMAGE_BYTES (4u << 20)
#define WRITE_BYTES 4096u
#define TURNS_MAX 20000

struct set {
	struct stillvm *s;
	int image, copy; /* ours */
	unsigned failures;
};

struct write {
	struct block_request req;
	struct iovec iov;
	uint8_t data[WRITE_BYTES];
	bool done;
	int result;
};

static int nameless(void)
{
	char path[] = "/tmp/oya-mirror-XXXXXX";
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	unlink(path);
	assert_int_equal(ftruncate(fd, IMAGE_BYTES), 0);
	return fd;
}

/* Another open file of it, with a lock of its own. */
static int opened(int fd)
{
	char path[64];
	int again;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = open(path, O_RDWR | O_CLOEXEC);
	assert_true(again >= 0);
	return again;
}

static void on_failed(void *ctx, const char *sentence, bool hangs)
{
	(void)sentence;
	(void)hangs;
	((struct set *)ctx)->failures++;
}

static int set_up(void **state)
{
	struct set *t = calloc(1, sizeof(*t));
	struct config_disk disk = {.lun = 0};
	struct failure f;

	assert_non_null(t);
	t->s = stillvm_new();
	t->s->config.scsi_queues = 1;
	t->s->config.controllers = 1;
	t->s->vm.state = VM_PAUSED;
	t->image = nameless();
	t->copy = nameless();
	assert_int_equal(storage_init(&t->s->vm.storage, &t->s->config, t->s->vm.machine.bus, NULL,
				      t->s->vm.loop, &f),
			 0);
	t->s->vm.storage.failed = on_failed;
	t->s->vm.storage.ctx = t;
	assert_int_equal(pwrite(t->image, "begin", 5, 3 << 20), 5);
	assert_int_equal(storage_add(&t->s->vm.storage, &disk, opened(t->image), &f), 0);
	*state = t;
	return 0;
}

static int tear_down(void **state)
{
	struct set *t = *state;

	mirror_done(&t->s->vm);
	storage_drain(&t->s->vm.storage);
	storage_done(&t->s->vm.storage);
	stillvm_free(t->s);
	close(t->image);
	close(t->copy);
	free(t);
	return 0;
}

static const struct blockdev *disk_of(const struct set *t)
{
	return raw_blockdev(t->s->vm.storage.controller[0]->place[0].image);
}

/* As the loop does between two waits. */
static void turn(struct set *t)
{
	struct vm *vm = &t->s->vm;

	pthread_mutex_lock(&vm->lock);
	storage_settle(&vm->storage);
	mirror_step(vm);
	pthread_mutex_unlock(&vm->lock);
}

static enum mirror_phase now(const struct mirror *m)
{
	return (enum mirror_phase)__atomic_load_n(&m->phase, __ATOMIC_ACQUIRE);
}

static void turn_until(struct set *t, enum mirror_phase phase)
{
	struct mirror *m = &t->s->vm.mirror;
	bool last = phase == MIRROR_DONE || phase == MIRROR_FAILED;

	for (int n = 0; n < TURNS_MAX && (now(m) != phase || (last && m->runs)); n++) {
		turn(t);
		poll(NULL, 0, 1);
	}
	assert_int_equal(now(m), phase);
}

static void on_written(struct block_request *req, int result)
{
	struct write *w = req->owner;

	w->done = true;
	w->result = result;
}

static void write_at(struct set *t, struct write *w, uint64_t offset, uint8_t byte)
{
	memset(w->data, byte, sizeof(w->data));
	w->iov = (struct iovec){.iov_base = w->data, .iov_len = sizeof(w->data)};
	w->req = (struct block_request){.op = BLOCK_WRITE,
					.offset = offset,
					.len = sizeof(w->data),
					.iov = &w->iov,
					.iov_count = 1,
					.done = on_written,
					.owner = w};
	w->done = false;
	pthread_mutex_lock(&t->s->vm.lock);
	assert_int_equal(block_submit(disk_of(t), &w->req), 0);
	block_kick(disk_of(t));
	pthread_mutex_unlock(&t->s->vm.lock);
}

static void wait_written(struct set *t, struct write *w)
{
	for (int n = 0; n < TURNS_MAX && !w->done; n++) {
		turn(t);
		poll(NULL, 0, 1);
	}
	assert_true(w->done);
}

static void assert_same(const struct set *t, bool same)
{
	uint8_t *one = malloc(IMAGE_BYTES), *other = malloc(IMAGE_BYTES);

	assert_true(one && other);
	assert_int_equal(pread(t->image, one, IMAGE_BYTES, 0), IMAGE_BYTES);
	assert_int_equal(pread(t->copy, other, IMAGE_BYTES, 0), IMAGE_BYTES);
	assert_int_equal(memcmp(one, other, IMAGE_BYTES) == 0, same);
	free(one);
	free(other);
}

static int add(struct set *t, int fd, struct failure *f)
{
	int r;

	pthread_mutex_lock(&t->s->vm.lock);
	r = mirror_add(&t->s->vm, 0, 0, fd, f);
	pthread_mutex_unlock(&t->s->vm.lock);
	return r;
}

static void begin(struct set *t)
{
	struct failure f;

	assert_int_equal(add(t, opened(t->copy), &f), 0);
}

static void what_is_written_meanwhile_is_in_the_copy_when_it_is_answered(void **state)
{
	static struct write w[8];
	struct set *t = *state;
	struct failure f;

	for (unsigned n = 0; n < 8; n++)
		write_at(t, &w[n], n * 3 * CHUNK_BYTES, (uint8_t)(n + 1));
	begin(t);
	for (unsigned n = 0; n < 8; n++)
		wait_written(t, &w[n]);
	turn_until(t, MIRROR_EVEN);
	assert_same(t, true);
	for (unsigned n = 0; n < 32; n++) {
		write_at(t, &w[0], n * 5 * WRITE_BYTES, (uint8_t)(n + 17));
		wait_written(t, &w[0]);
		assert_int_equal(w[0].result, 0);
		assert_same(t, true);
	}
	assert_int_equal(mirror_commit(&t->s->vm, &f), 0);
	assert_int_equal(mirror_switch(&t->s->vm, -1, 0, &f), 0);
	write_at(t, &w[1], 0, 0xee); /* it waits, and goes to the new one */
	turn_until(t, MIRROR_DONE);
	wait_written(t, &w[1]);
	assert_same(t, false);
	assert_int_equal(pread(t->copy, w[0].data, 1, 0), 1);
	assert_int_equal(w[0].data[0], 0xee);
}

static void words_are_for_their_phases(void **state)
{
	struct set *t = *state;
	struct failure f;
	int small = nameless();

	assert_int_equal(mirror_commit(&t->s->vm, &f), -EPROTO);
	assert_int_equal(mirror_cancel(&t->s->vm), -EPROTO);
	assert_int_equal(add(t, -1, &f), -EINVAL);
	assert_int_equal(ftruncate(small, 512), 0);
	assert_int_equal(add(t, opened(small), &f), -EINVAL);
	assert_int_equal(mirror_add(&t->s->vm, 0, 9, opened(small), &f), -ENOENT);
	close(small);
	begin(t);
	assert_int_equal(add(t, opened(t->image), &f), -EEXIST);
	turn_until(t, MIRROR_EVEN);
	assert_int_equal(mirror_switch(&t->s->vm, -1, 0, &f), -EPROTO);
	assert_int_equal(mirror_commit(&t->s->vm, &f), 0);
	assert_int_equal(mirror_commit(&t->s->vm, &f), -EPROTO);
	assert_int_equal(add(t, opened(t->image), &f), -EBUSY);
	assert_int_equal(mirror_cancel(&t->s->vm), 0);
	turn_until(t, MIRROR_FAILED);
	begin(t); /* again */
	turn_until(t, MIRROR_EVEN);
}

static void a_cancelled_copy_gives_back_what_it_kept(void **state)
{
	static struct write w[16];
	struct set *t = *state;

	begin(t);
	turn_until(t, MIRROR_EVEN);
	for (unsigned n = 0; n < 16; n++)
		write_at(t, &w[n], n * WRITE_BYTES, 1);
	assert_int_equal(mirror_cancel(&t->s->vm), 0);
	turn_until(t, MIRROR_FAILED);
	for (unsigned n = 0; n < 16; n++) {
		wait_written(t, &w[n]);
		assert_int_equal(w[n].result, 0);
	}
	assert_int_equal(t->s->vm.storage.kept, 0);
}

static int begin_and_end(void *ctx)
{
	struct set *t = ctx;
	int fd = opened(t->copy), r;
	struct failure f;

	r = add(t, fd, &f);
	if (r == 0) {
		assert_int_equal(mirror_cancel(&t->s->vm), 0);
		turn_until(t, MIRROR_FAILED);
	}
	return r;
}

static void without_memory_nothing_is_copied_and_nothing_kept(void **state)
{
	assert_true(failheap_sweep(begin_and_end, *state) >= 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			what_is_written_meanwhile_is_in_the_copy_when_it_is_answered, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(words_are_for_their_phases, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_cancelled_copy_gives_back_what_it_kept, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(without_memory_nothing_is_copied_and_nothing_kept,
						set_up, tear_down),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
