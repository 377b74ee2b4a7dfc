/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Images copied in parts: every byte, and holes. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/sparse.h"

#define MIB (UINT64_C(1) << 20)

struct files {
	struct sparse_copy c;
};

static int nameless(void)
{
	char path[] = "/tmp/oya-sparse-XXXXXX";
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	unlink(path);
	return fd;
}

static int set_up(void **state)
{
	struct files *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->c.from = nameless();
	f->c.to = nameless();
	f->c.buffer = aligned_alloc(SPARSE_ALIGN, SPARSE_STEP_BYTES);
	assert_non_null(f->c.buffer);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct files *f = *state;

	close(f->c.from);
	close(f->c.to);
	free(f->c.buffer);
	free(f);
	return 0;
}

static void put(int fd, const char *text, uint64_t at)
{
	assert_int_equal(pwrite(fd, text, strlen(text), (off_t)at), strlen(text));
}

static void assert_same(const struct files *f, uint64_t size)
{
	uint8_t *one = malloc(size), *other = malloc(size);

	assert_true(one && other);
	assert_int_equal(pread(f->c.from, one, size, 0), size);
	assert_int_equal(pread(f->c.to, other, size, 0), size);
	assert_memory_equal(one, other, size);
	free(one);
	free(other);
}

static uint64_t allocated(int fd)
{
	struct stat st;

	assert_int_equal(fsync(fd), 0); /* what was never written out counts until then */
	assert_int_equal(fstat(fd, &st), 0);
	return (uint64_t)st.st_blocks * 512;
}

static void data_is_found_between_holes(void **state)
{
	struct files *f = *state;
	uint64_t from, to;

	assert_int_equal(ftruncate(f->c.from, (off_t)(8 * MIB)), 0);
	assert_false(sparse_next(f->c.from, 0, 8 * MIB, &from, &to));
	put(f->c.from, "x", 4 * MIB);
	assert_true(sparse_next(f->c.from, 0, 8 * MIB, &from, &to));
	assert_true(from <= 4 * MIB && to > 4 * MIB && to <= 8 * MIB);
	assert_false(sparse_next(f->c.from, to, 8 * MIB, &from, &to));
	assert_false(sparse_next(f->c.from, 8 * MIB, 8 * MIB, &from, &to));
}

static void every_byte_is_copied_and_zeros_take_no_space(void **state)
{
	struct files *f = *state;
	const uint64_t size = 3 * MIB + 700;

	assert_int_equal(ftruncate(f->c.from, (off_t)size), 0);
	assert_int_equal(ftruncate(f->c.to, (off_t)size), 0);
	put(f->c.from, "begin", 0);
	put(f->c.from, "middle", MIB + 4094);
	put(f->c.from, "end", size - 3);
	f->c.fresh = true;
	assert_int_equal(sparse_copy(&f->c, 0, size), 0);
	assert_same(f, size);
	assert_true(allocated(f->c.to) <= 64 << 10);
}

static void what_became_zero_is_zero_in_the_copy_too(void **state)
{
	struct files *f = *state;

	assert_int_equal(ftruncate(f->c.from, (off_t)MIB), 0);
	assert_int_equal(ftruncate(f->c.to, (off_t)MIB), 0);
	for (uint64_t at = 0; at < MIB; at += 512)
		put(f->c.to, "old", at);
	put(f->c.from, "new", 512);
	/* Of a part that is no whole step too. */
	assert_int_equal(sparse_copy(&f->c, 0, 4096 * 3 + 512), 0);
	assert_int_equal(sparse_copy(&f->c, 4096 * 3 + 512, MIB - 4096 * 3 - 512), 0);
	assert_same(f, MIB);
	assert_true(allocated(f->c.to) <= 64 << 10);
}

static void which_side_has_failed_is_told(void **state)
{
	struct files *f = *state;

	assert_int_equal(ftruncate(f->c.from, 4096), 0);
	assert_int_equal(sparse_copy(&f->c, 0, 8192), -EIO);
	assert_true(f->c.reading);
	put(f->c.from, "x", 0);
	close(f->c.to);
	f->c.to = open("/dev/full", O_RDWR);
	assert_int_equal(sparse_copy(&f->c, 0, 4096), -ENOSPC);
	assert_false(f->c.reading);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(data_is_found_between_holes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(every_byte_is_copied_and_zeros_take_no_space,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_became_zero_is_zero_in_the_copy_too, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(which_side_has_failed_is_told, set_up, tear_down),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
