/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Time messages: order first, then samples, in the layout of the version. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "devices/ic/timesync.h"
#include "tests/lib/statetest.h"
#include "tests/unit/devices/ic/icguest.h"

struct fixture {
	struct icguest i;
	struct timesync *ts;
};

static uint64_t reference(void *ctx)
{
	const struct fixture *f = ctx;

	return f->i.now_ns / 100 + 7;
}

static const struct timesync_host host = {.reference_100ns = reference};

static int setup(void **state)
{
	static const struct guid type = IC_TIMESYNC_TYPE;
	static struct fixture f;

	memset(&f, 0, sizeof(f));
	icguest_init(&f.i);
	assert_int_equal(timesync_new(&f.i.env, &host, &f, &f.ts), 0);
	timesync_sync(f.ts); /* fine without a channel */
	icguest_connect(&f.i, &type);
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	timesync_free(f->ts);
	assert_int_equal(timerq_next(&f->i.timers), TIMERQ_NEVER);
	vmguest_free(f->i.g);
	return 0;
}

static uint64_t host_time(const struct fixture *f)
{
	return (ICGUEST_EPOCH_NS + f->i.now_ns) / 100 + IC_TIMESYNC_EPOCH;
}

static void take_v4(struct fixture *f, uint8_t flags)
{
	assert_true(icguest_take(&f->i));
	assert_int_equal(f->i.header.type, IC_TIMESYNC);
	assert_int_equal(f->i.header.body_bytes, 24);
	assert_int_equal(le64_load(f->i.body), host_time(f));
	assert_int_equal(le64_load(f->i.body + 8), f->i.now_ns / 100 + 7);
	assert_int_equal(f->i.body[16], flags);
}

static void version_4_sends_an_order_then_samples(void **state)
{
	struct fixture *f = *state;
	struct timesync_state s;

	icguest_negotiate(&f->i, IC_VERSION(3, 0), IC_VERSION(4, 0));
	take_v4(f, IC_TIMESYNC_SYNC);
	icguest_answer(&f->i, 0);
	for (unsigned n = 0; n < 3; n++) {
		icguest_pass(&f->i, TIMESYNC_PERIOD_NS);
		take_v4(f, IC_TIMESYNC_SAMPLE);
		icguest_answer(&f->i, 0);
		assert_false(icguest_take(&f->i));
	}
	timesync_state(f->ts, &s);
	assert_int_equal(s.syncs, 1);
	assert_int_equal(s.samples, 3);
	assert_int_equal(s.version, IC_VERSION(4, 0));
}

static void older_versions_have_their_layout(void **state)
{
	struct fixture *f = *state;

	icguest_negotiate(&f->i, IC_VERSION(1, 0), IC_VERSION(3, 0));
	assert_true(icguest_take(&f->i));
	assert_int_equal(f->i.header.body_bytes, 25);
	assert_int_equal(le64_load(f->i.body), host_time(f));
	assert_int_equal(le64_load(f->i.body + 8), 0);
	assert_int_equal(f->i.body[24], IC_TIMESYNC_SYNC);
}

static void an_order_can_be_asked_for(void **state)
{
	struct fixture *f = *state;

	icguest_negotiate(&f->i, IC_VERSION(3, 0), IC_VERSION(4, 0));
	take_v4(f, IC_TIMESYNC_SYNC);
	timesync_sync(f->ts); /* the first is not answered yet */
	assert_int_equal(f->i.g->faults, 0);
	icguest_answer(&f->i, 0);
	take_v4(f, IC_TIMESYNC_SYNC);
	icguest_answer(&f->i, 0);
	timesync_sync(f->ts);
	take_v4(f, IC_TIMESYNC_SYNC);
}

static void a_guest_that_does_not_answer_gets_no_more(void **state)
{
	struct fixture *f = *state;

	icguest_negotiate(&f->i, IC_VERSION(3, 0), IC_VERSION(4, 0));
	icguest_pass(&f->i, 100 * IC_NS_PER_S);
	assert_true(icguest_take(&f->i));
	assert_false(icguest_take(&f->i));
	icguest_answer(&f->i, IC_STATUS_FAIL);
	icguest_pass(&f->i, TIMESYNC_PERIOD_NS);
	assert_true(icguest_take(&f->i));
	assert_int_equal(f->i.body[16], IC_TIMESYNC_SAMPLE);
}

/* ---- saved states ---- */

/* The one whose record others read. */
static struct fixture *saved;

static void record(void *device, struct record *r)
{
	timesync_record(((struct fixture *)device)->ts, r);
}

static void *make(void)
{
	struct fixture *f = icguest_elsewhere(sizeof(*f));

	assert_int_equal(timesync_new(&f->i.env, &host, f, &f->ts), 0);
	return f;
}

static void drop(void *device)
{
	struct fixture *f = device;

	timesync_free(f->ts);
	icguest_forget(&f->i);
}

static void drive(void *device)
{
	static const struct guid type = IC_TIMESYNC_TYPE;

	icguest_drive(&((struct fixture *)device)->i, &saved->i, &type, IC_VERSION(4, 0));
}

static void an_order_goes_out_at_once_after_a_restore(void **state)
{
	struct fixture *f = *state, *to = make();

	icguest_negotiate(&f->i, IC_VERSION(3, 0), IC_VERSION(4, 0));
	take_v4(f, IC_TIMESYNC_SYNC);
	icguest_answer(&f->i, 0);
	icguest_pass(&f->i, IC_NS_PER_S);
	statetest_same(record, f, to);
	icguest_go_on(&to->i, &f->i);
	assert_false(icguest_take(&to->i)); /* from the timer, when the processors run */
	icguest_pass(&to->i, 0);
	take_v4(to, IC_TIMESYNC_SYNC);
	icguest_answer(&to->i, 0);
	icguest_pass(&to->i, TIMESYNC_PERIOD_NS);
	take_v4(to, IC_TIMESYNC_SAMPLE);
	assert_int_equal(to->i.g->faults, 0);
	drop(to);
}

static void an_order_follows_the_answer_that_is_owed(void **state)
{
	struct fixture *f = *state, *to = make();

	icguest_negotiate(&f->i, IC_VERSION(3, 0), IC_VERSION(4, 0));
	statetest_same(record, f, to);
	icguest_go_on(&to->i, &f->i);
	icguest_pass(&to->i, IC_NS_PER_S);
	assert_true(icguest_take(&to->i)); /* that of the host before */
	assert_false(icguest_take(&to->i));
	icguest_answer(&to->i, 0);
	take_v4(to, IC_TIMESYNC_SYNC);
	drop(to);
}

static void a_closed_service_stays_still(void **state)
{
	struct fixture *f = *state, *to = make();

	vmguest_close(&f->i.ch);
	statetest_same(record, f, to);
	assert_int_equal(timerq_next(&to->i.timers), TIMERQ_NEVER);
	drop(to);
}

static void a_record_that_is_wrong_changes_nothing(void **state)
{
	struct fixture *f = *state;

	saved = f;
	icguest_negotiate(&f->i, IC_VERSION(3, 0), IC_VERSION(4, 0));
	statetest_cut(record, f, make, drop);
	statetest_more(record, f, make, drop);
	statetest_flip(record, f, make, drop, drive);
	statetest_refuses(record, f, make, drop, "message_version", 0, "\1", 1, "versions");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(version_4_sends_an_order_then_samples),
		CASE(older_versions_have_their_layout),
		CASE(an_order_can_be_asked_for),
		CASE(a_guest_that_does_not_answer_gets_no_more),
		CASE(an_order_goes_out_at_once_after_a_restore),
		CASE(an_order_follows_the_answer_that_is_owed),
		CASE(a_closed_service_stays_still),
		CASE(a_record_that_is_wrong_changes_nothing),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
