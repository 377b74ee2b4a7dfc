/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <poll.h>
#include <unistd.h>

#include "base/util.h"
#include "lib/pool.h"
#define TEST(name) cmocka_unit_test(name)

#define PIECES 200u

struct piece {
	struct pool_work work;
	struct pool *pool;
	unsigned number;
	unsigned *in_lane; /* atomic: at work */
	unsigned *order;   /* what has begun in the lane */
	unsigned began_as;
	bool worked, done, again;
};

static void work(struct pool_work *w)
{
	struct piece *p = CONTAINER_OF(w, struct piece, work);

	p->worked = true;
	if (!p->in_lane)
		return;
	if (__atomic_add_fetch(p->in_lane, 1, __ATOMIC_SEQ_CST) != 1)
		p->worked = false; /* two at once */
	p->began_as = __atomic_fetch_add(p->order, 1, __ATOMIC_SEQ_CST);
	__atomic_sub_fetch(p->in_lane, 1, __ATOMIC_SEQ_CST);
}

static void done(struct pool_work *w)
{
	struct piece *p = CONTAINER_OF(w, struct piece, work);

	p->done = true;
	if (p->again) {
		p->again = p->done = false;
		pool_submit(p->pool, w);
	}
}

static void collect_until(struct pool *pool, const bool *end)
{
	struct pollfd fd = {.fd = pool_fd(pool), .events = POLLIN};

	while (!*end) {
		assert_int_equal(poll(&fd, 1, 10000), 1);
		pool_collect(pool);
	}
}

static void work_of_a_lane_is_done_one_at_a_time_and_in_order(void **state)
{
	static struct piece piece[PIECES];
	struct pool_lane lane[2] = {0};
	unsigned in_lane[2] = {0}, order[2] = {0};
	struct pool *pool;

	(void)state;
	assert_int_equal(pool_new(4, &pool), 0);
	for (unsigned i = 0; i < PIECES; i++) {
		piece[i] = (struct piece){
			.work = {.work = work, .done = done, .lane = &lane[i % 2]},
			.number = i / 2,
			.in_lane = &in_lane[i % 2],
			.order = &order[i % 2],
		};
		pool_submit(pool, &piece[i].work);
	}
	for (unsigned i = 0; i < PIECES; i++) {
		collect_until(pool, &piece[i].done);
		assert_true(piece[i].worked);
		assert_int_equal(piece[i].began_as, piece[i].number);
	}
	pool_free(pool);
}

static void what_is_left_is_done_before_the_end(void **state)
{
	static struct piece piece[PIECES];
	struct pool *pool;

	(void)state;
	assert_int_equal(pool_new(2, &pool), 0);
	for (unsigned i = 0; i < PIECES; i++) {
		piece[i] = (struct piece){
			.work = {.work = work, .done = done}, .pool = pool, .again = i % 3 == 0};
		pool_submit(pool, &piece[i].work);
	}
	pool_free(pool);
	for (unsigned i = 0; i < PIECES; i++)
		assert_true(piece[i].worked && piece[i].done && !piece[i].again);
	pool_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(work_of_a_lane_is_done_one_at_a_time_and_in_order),
		TEST(what_is_left_is_done_before_the_end),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
