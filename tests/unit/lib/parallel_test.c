/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Work shared by threads: every piece once, also where no thread can be made. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "base/util.h"
#include "lib/parallel.h"

#define PIECES 1000u

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *),
			  void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *),
			  void *arg);

static int threads_left;

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *),
			  void *arg)
{
	return threads_left-- > 0 ? __real_pthread_create(thread, attr, start, arg) : EAGAIN;
}

struct pieces {
	unsigned done[PIECES];
	size_t bad; /* from this piece on they fail */
};

static int piece(void *ctx, size_t i)
{
	struct pieces *p = ctx;

	__atomic_fetch_add(&p->done[i], 1, __ATOMIC_RELAXED);
	return i >= p->bad ? -EIO : (int)i;
}

static int share(struct pieces *p, size_t count, int threads)
{
	memset(p->done, 0, sizeof(p->done));
	threads_left = threads;
	return parallel_do(count, piece, p);
}

static void each_piece_is_done_once_with_any_number_of_threads(void **state)
{
	static const size_t counts[] = {0, 1, 2, 3, 4, 5, PIECES};
	struct pieces p = {.bad = PIECES};

	(void)state;
	for (int threads = 0; threads <= 3; threads++) {
		for (size_t n = 0; n < ARRAY_LEN(counts); n++) {
			assert_int_equal(share(&p, counts[n], threads), 0);
			for (size_t i = 0; i < PIECES; i++)
				assert_int_equal(p.done[i], i < counts[n]);
		}
	}
}

static void a_failure_is_told_and_the_other_pieces_are_done(void **state)
{
	struct pieces p = {.bad = 7};

	(void)state;
	for (int threads = 0; threads <= 3; threads++) {
		assert_int_equal(share(&p, PIECES, threads), -EIO);
		for (size_t i = 0; i < PIECES; i++)
			assert_int_equal(p.done[i], 1);
	}
}

static void no_more_threads_than_pieces_or_four(void **state)
{
	struct pieces p = {.bad = PIECES};

	(void)state;
	share(&p, 1, 10);
	assert_int_equal(threads_left, 10);
	share(&p, 2, 10);
	assert_int_equal(threads_left, 9);
	share(&p, PIECES, 10);
	assert_int_equal(threads_left, 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_piece_is_done_once_with_any_number_of_threads),
		cmocka_unit_test(a_failure_is_told_and_the_other_pieces_are_done),
		cmocka_unit_test(no_more_threads_than_pieces_or_four),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
