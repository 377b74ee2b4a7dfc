/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who has the vote of the witness: arbiters of two nodes on one disk, step by step. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#undef fail /* lib/fail.h has one of its own */
#include <string.h>

#include "cluster/witness/arbiter.h"

#define MS UINT64_C(1000000)
#define PERIOD_MS 300u
#define BOTH 3u

struct pair {
	uint64_t now_ms, digest;
	struct arbiter node[2];
	bool blind[2];
	struct witness_seen disk[WITNESS_SLOTS_MAX];
};

static void put(struct pair *p, const struct witness_record *r)
{
	p->disk[witness_slot_of(r->node, r->count)] =
		(struct witness_seen){.kind = WITNESS_GOOD, .digest = ++p->digest, .record = *r};
}

static void cycle(struct pair *p, unsigned i)
{
	struct witness_record r;

	arbiter_write(&p->node[i], p->now_ms * MS, 0, &r);
	if (p->blind[i])
		return;
	put(p, &r);
	arbiter_read(&p->node[i], p->disk, p->now_ms * MS);
}

static void run(struct pair *p, uint64_t for_ms, bool first, bool second)
{
	for (uint64_t end = p->now_ms + for_ms; p->now_ms < end; p->now_ms += PERIOD_MS) {
		if (first)
			cycle(p, 0);
		if (second)
			cycle(p, 1);
	}
}

static void join(struct pair *p, unsigned i, uint64_t seq, uint32_t members)
{
	const struct witness_ring ring = {
		.seq = seq, .node = members & 1 ? 1 : 2, .members = members};

	arbiter_members(&p->node[i], &ring, 2, p->now_ms * MS);
}

static enum arbiter_vote vote(struct pair *p, unsigned i)
{
	return arbiter_vote(&p->node[i], p->now_ms * MS);
}

static void begin(struct pair *p, unsigned i)
{
	const struct arbiter_settings set = arbiter_settings_of(i + 1, 3000, 3000);

	arbiter_init(&p->node[i], &set, &p->disk[2 * i]);
}

/* Both in one partition, with the vote. */
static struct pair whole(void)
{
	struct pair p = {.now_ms = 1000};

	begin(&p, 0);
	begin(&p, 1);
	join(&p, 0, 1, BOTH);
	join(&p, 1, 1, BOTH);
	run(&p, 7000, true, true);
	assert_int_equal(vote(&p, 0), ARBITER_YES);
	assert_int_equal(vote(&p, 1), ARBITER_YES);
	return p;
}

static void who_begins_has_no_vote_before_it_has_watched(void **state)
{
	struct pair p = {.now_ms = 1000};

	(void)state;
	begin(&p, 0);
	join(&p, 0, 1, BOTH);
	run(&p, 4500, true, false);
	assert_int_equal(vote(&p, 0), ARBITER_NO);
	run(&p, 2000, true, false);
	assert_int_equal(vote(&p, 0), ARBITER_YES);
}

static void of_two_halves_that_live_the_one_with_the_lowest_id_gets_it(void **state)
{
	struct pair p = whole();

	(void)state;
	join(&p, 1, 3, 2);
	assert_int_equal(vote(&p, 1), ARBITER_UNDECIDED);
	run(&p, 600, true, true);
	assert_int_equal(vote(&p, 0), ARBITER_YES); /* it has not heard yet */
	assert_int_equal(vote(&p, 1), ARBITER_UNDECIDED);
	join(&p, 0, 2, 1);
	assert_int_equal(vote(&p, 0), ARBITER_UNDECIDED);
	run(&p, 1200, true, true);
	assert_int_equal(vote(&p, 0), ARBITER_YES);
	assert_int_equal(vote(&p, 1), ARBITER_NO);
}

static void a_dead_half_is_waited_for(void **state)
{
	struct pair p = whole();

	(void)state;
	p.now_ms += 2200;
	join(&p, 1, 3, 2);
	cycle(&p, 1);
	run(&p, 2000, false, true);
	assert_int_not_equal(vote(&p, 1), ARBITER_YES);
	run(&p, 8000, false, true);
	assert_int_equal(vote(&p, 1), ARBITER_YES);
}

static void who_comes_back_does_not_take_it_away(void **state)
{
	struct pair p = whole();

	(void)state;
	join(&p, 1, 3, 2);
	run(&p, 8000, false, true);
	assert_int_equal(vote(&p, 1), ARBITER_YES);
	begin(&p, 0);
	join(&p, 0, 4, 1);
	run(&p, 12000, true, true);
	assert_int_equal(vote(&p, 0), ARBITER_NO);
	assert_int_equal(vote(&p, 1), ARBITER_YES);
}

static void who_does_not_reach_the_disk_loses_it_in_time(void **state)
{
	struct pair p = whole();
	uint64_t due = arbiter_due_ns(&p.node[0], p.now_ms * MS);

	(void)state;
	p.blind[0] = true;
	p.now_ms = due / MS - 1;
	assert_int_equal(vote(&p, 0), ARBITER_YES);
	p.now_ms = due / MS;
	assert_int_equal(vote(&p, 0), ARBITER_NO);
}

static void a_cycle_that_ends_after_the_lapse_does_not_renew(void **state)
{
	struct pair p = whole();
	struct witness_record r;

	(void)state;
	arbiter_write(&p.node[0], p.now_ms * MS, 0, &r);
	put(&p, &r);
	p.now_ms += 1600;
	arbiter_read(&p.node[0], p.disk, p.now_ms * MS);
	assert_int_equal(vote(&p, 0), ARBITER_NO);
}

static void a_cycle_of_another_partition_decides_nothing(void **state)
{
	struct pair p = whole();
	struct witness_record r;

	(void)state;
	join(&p, 0, 2, 1);
	p.disk[2].kind = p.disk[3].kind = WITNESS_EMPTY;
	arbiter_write(&p.node[0], p.now_ms * MS, 0, &r);
	put(&p, &r);
	join(&p, 0, 4, 1);
	arbiter_read(&p.node[0], p.disk, p.now_ms * MS);
	assert_int_not_equal(vote(&p, 0), ARBITER_YES);
}

/* Of one slot: what was there before its node claimed comes once more. */
static void an_old_write_that_comes_late_is_no_release(void **state)
{
	struct pair p = whole();
	struct witness_record idle = p.disk[0].record;

	(void)state;
	idle.state = WITNESS_IDLE;
	idle.count -= 8;
	join(&p, 1, 3, 2);
	for (unsigned i = 0; i < 12; i++, p.now_ms += PERIOD_MS) {
		cycle(&p, 0);
		put(&p, &idle);
		cycle(&p, 1);
		assert_int_not_equal(vote(&p, 1), ARBITER_YES);
	}
	assert_int_equal(vote(&p, 0), ARBITER_YES);
}

static void a_claim_that_is_in_one_slot_is_not_enough(void **state)
{
	struct pair p = whole();

	(void)state;
	join(&p, 0, 4, BOTH);
	join(&p, 1, 4, BOTH);
	cycle(&p, 1);
	cycle(&p, 1);
	cycle(&p, 0);
	assert_int_not_equal(vote(&p, 0), ARBITER_YES);
	cycle(&p, 0);
	assert_int_equal(vote(&p, 0), ARBITER_YES);
}

static void a_vote_counts_from_the_cycle_before_the_last(void **state)
{
	struct pair p = whole();
	uint64_t last_ns = p.node[0].cycle_ns, due = arbiter_due_ns(&p.node[0], p.now_ms * MS);

	(void)state;
	assert_int_equal(due, last_ns - PERIOD_MS * MS + p.node[0].set.vote_ns);
	p.blind[0] = true;
	cycle(&p, 0);
	p.blind[0] = false;
	cycle(&p, 0); /* both in one slot: alone it says nothing */
	assert_int_equal(arbiter_due_ns(&p.node[0], p.now_ms * MS), due);
	cycle(&p, 0);
	assert_true(arbiter_due_ns(&p.node[0], p.now_ms * MS) > due);
}

static void who_had_a_failed_write_does_not_enter(void **state)
{
	struct pair p = whole();

	(void)state;
	p.blind[0] = true;
	cycle(&p, 0);
	p.blind[0] = false;
	p.now_ms += PERIOD_MS;
	join(&p, 0, 4, BOTH);
	join(&p, 1, 4, BOTH);
	run(&p, 900, true, true);
	assert_int_not_equal(vote(&p, 0), ARBITER_YES);
	assert_int_equal(vote(&p, 1), ARBITER_YES);
	run(&p, 6000, true, true);
	assert_int_equal(vote(&p, 0), ARBITER_YES);
}

static void a_disk_that_loses_writes_gives_no_vote(void **state)
{
	struct pair p = whole();
	struct witness_record r;

	(void)state;
	for (unsigned i = 0; i < 8; i++, p.now_ms += PERIOD_MS) {
		arbiter_write(&p.node[0], p.now_ms * MS, 0, &r);
		arbiter_read(&p.node[0], p.disk, p.now_ms * MS);
	}
	assert_true(p.node[0].own_lost);
	assert_int_equal(vote(&p, 0), ARBITER_NO);
}

static void less_than_half_of_the_nodes_want_no_vote(void **state)
{
	const struct witness_ring ring = {.seq = 5, .node = 1, .members = 1};
	struct pair p = whole();

	(void)state;
	arbiter_members(&p.node[0], &ring, 3, p.now_ms * MS);
	assert_int_equal(vote(&p, 0), ARBITER_NO);
	run(&p, 9000, true, false);
	assert_int_equal(vote(&p, 0), ARBITER_NO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_begins_has_no_vote_before_it_has_watched),
		cmocka_unit_test(of_two_halves_that_live_the_one_with_the_lowest_id_gets_it),
		cmocka_unit_test(a_dead_half_is_waited_for),
		cmocka_unit_test(who_comes_back_does_not_take_it_away),
		cmocka_unit_test(who_does_not_reach_the_disk_loses_it_in_time),
		cmocka_unit_test(a_cycle_that_ends_after_the_lapse_does_not_renew),
		cmocka_unit_test(a_cycle_of_another_partition_decides_nothing),
		cmocka_unit_test(an_old_write_that_comes_late_is_no_release),
		cmocka_unit_test(a_claim_that_is_in_one_slot_is_not_enough),
		cmocka_unit_test(a_vote_counts_from_the_cycle_before_the_last),
		cmocka_unit_test(who_had_a_failed_write_does_not_enter),
		cmocka_unit_test(a_disk_that_loses_writes_gives_no_vote),
		cmocka_unit_test(less_than_half_of_the_nodes_want_no_vote),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
