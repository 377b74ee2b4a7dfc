/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shutdown requests: flags, versions, the answer. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "devices/ic/shutdown.h"
#include "tests/lib/statetest.h"
#include "tests/unit/devices/ic/icguest.h"

struct fixture {
	struct icguest i;
	struct shutdown *sd;
	unsigned answers;
	int result;
	uint32_t status;
};

static void on_answered(void *ctx, int result, uint32_t status)
{
	struct fixture *f = ctx;

	f->answers++;
	f->result = result;
	f->status = status;
}

static const struct shutdown_host host = {.answered = on_answered};

static int setup(void **state)
{
	static const struct guid type = IC_SHUTDOWN_TYPE;
	static struct fixture f;

	memset(&f, 0, sizeof(f));
	icguest_init(&f.i);
	assert_int_equal(shutdown_new(&f.i.env, &host, &f, &f.sd), 0);
	assert_int_equal(shutdown_request(f.sd, SHUTDOWN_OFF, NULL, false), -ENOTCONN);
	icguest_connect(&f.i, &type);
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	unsigned answers = f->answers;

	shutdown_free(f->sd);
	assert_int_equal(f->answers, answers);
	vmguest_free(f->i.g);
	return 0;
}

static void each_kind_has_its_flags(void **state)
{
	static const uint32_t flags[3][2] = {{0, 1}, {2, 3}, {4, 5}};
	struct fixture *f = *state;
	unsigned sent = 0;

	icguest_negotiate(&f->i, IC_VERSION(3, 0), IC_VERSION(3, 2));
	for (unsigned kind = 0; kind < 3; kind++) {
		for (unsigned force = 0; force < 2; force++) {
			assert_int_equal(
				shutdown_request(f->sd, (enum shutdown_kind)kind, "Bye", force), 0);
			assert_true(icguest_take(&f->i));
			assert_int_equal(f->i.header.type, IC_SHUTDOWN);
			assert_int_equal(f->i.header.body_bytes, 2060);
			assert_int_equal(le32_load(f->i.body), 0x80000000);
			assert_int_equal(le32_load(f->i.body + 8), flags[kind][force]);
			assert_memory_equal(f->i.body + 12, "B\0y\0e\0\0\0", 8);
			icguest_answer(&f->i, 0);
			assert_int_equal(f->answers, ++sent);
			assert_int_equal(f->result, 0);
		}
	}
}

static void a_refusal_brings_the_status(void **state)
{
	struct fixture *f = *state;

	icguest_negotiate(&f->i, IC_VERSION(3, 0), IC_VERSION(3, 2));
	assert_int_equal(shutdown_request(f->sd, SHUTDOWN_HIBERNATE, NULL, false), 0);
	assert_int_equal(shutdown_request(f->sd, SHUTDOWN_OFF, NULL, false), -EBUSY);
	assert_true(icguest_take(&f->i));
	icguest_answer(&f->i, IC_STATUS_FAIL);
	assert_int_equal(f->result, -ECANCELED);
	assert_int_equal(f->status, IC_STATUS_FAIL);
	assert_int_equal(shutdown_request(f->sd, SHUTDOWN_OFF, NULL, false), 0);
}

static void old_guests_are_not_asked_what_they_cannot_do(void **state)
{
	struct fixture *f = *state;
	struct shutdown_state s;

	assert_int_equal(shutdown_request(f->sd, SHUTDOWN_OFF, NULL, false), -ENOTCONN);
	icguest_negotiate(&f->i, IC_VERSION(1, 0), IC_VERSION(3, 0));
	assert_int_equal(shutdown_request(f->sd, SHUTDOWN_REBOOT, NULL, false), -EOPNOTSUPP);
	assert_int_equal(shutdown_request(f->sd, SHUTDOWN_HIBERNATE, NULL, false), -EOPNOTSUPP);
	assert_int_equal(shutdown_request(f->sd, SHUTDOWN_OFF, NULL, false), 0);
	shutdown_state(f->sd, &s);
	assert_int_equal(s.version, IC_VERSION(3, 0));
	assert_int_equal(s.requests, 1);
	assert_string_equal(s.label, "waiting");
}

static void a_channel_that_closes_ends_the_request(void **state)
{
	struct fixture *f = *state;

	icguest_negotiate(&f->i, IC_VERSION(3, 0), IC_VERSION(3, 2));
	assert_int_equal(shutdown_request(f->sd, SHUTDOWN_OFF, NULL, false), 0);
	vmguest_close(&f->i.ch);
	assert_int_equal(f->answers, 1);
	assert_int_equal(f->result, -ECONNRESET);
	assert_int_equal(shutdown_request(f->sd, SHUTDOWN_OFF, NULL, false), -ENOTCONN);
}

static void a_fault_ends_the_request_once(void **state)
{
	struct fixture *f = *state;

	icguest_negotiate(&f->i, IC_VERSION(3, 0), IC_VERSION(3, 2));
	assert_int_equal(shutdown_request(f->sd, SHUTDOWN_OFF, NULL, false), 0);
	assert_true(icguest_take(&f->i));
	f->i.header.type = IC_TIMESYNC;
	icguest_answer(&f->i, 0);
	assert_int_equal(f->answers, 1);
	assert_int_equal(f->result, -ECONNRESET);
	assert_int_equal(shutdown_request(f->sd, SHUTDOWN_OFF, NULL, false), -ENOTCONN);
	vmguest_close(&f->i.ch);
	assert_int_equal(f->answers, 1);
}

static void a_wild_ring_index_refuses_the_request(void **state)
{
	struct fixture *f = *state;

	icguest_negotiate(&f->i, IC_VERSION(3, 0), IC_VERSION(3, 2));
	vmguest_down(&f->i.ch)->read_index = 0x7FFFFFFF;
	assert_int_equal(shutdown_request(f->sd, SHUTDOWN_OFF, NULL, false), -EPROTO);
	assert_int_equal(f->answers, 0);
	assert_int_equal(f->i.g->faults, 1);
}

static void a_long_reason_is_cut(void **state)
{
	static char reason[5000];
	struct fixture *f = *state;

	memset(reason, 'x', sizeof(reason) - 1);
	icguest_negotiate(&f->i, IC_VERSION(3, 0), IC_VERSION(3, 2));
	assert_int_equal(shutdown_request(f->sd, SHUTDOWN_OFF, reason, false), 0);
	assert_true(icguest_take(&f->i));
	assert_int_equal(le16_load(f->i.body + 12 + 2044), 'x');
	assert_int_equal(le16_load(f->i.body + 12 + 2046), 0);
}

/* ---- saved states ---- */

/* The one whose record others read. */
static struct fixture *saved;

static void record(void *device, struct record *r)
{
	shutdown_record(((struct fixture *)device)->sd, r);
}

static void *make(void)
{
	struct fixture *f = icguest_elsewhere(sizeof(*f));

	assert_int_equal(shutdown_new(&f->i.env, &host, f, &f->sd), 0);
	return f;
}

static void drop(void *device)
{
	struct fixture *f = device;

	shutdown_free(f->sd);
	icguest_forget(&f->i);
}

static void drive(void *device)
{
	static const struct guid type = IC_SHUTDOWN_TYPE;

	icguest_drive(&((struct fixture *)device)->i, &saved->i, &type, IC_VERSION(3, 2));
}

static void make_rich(struct fixture *f)
{
	saved = f;
	icguest_negotiate(&f->i, IC_VERSION(3, 0), IC_VERSION(3, 2));
	assert_int_equal(shutdown_request(f->sd, SHUTDOWN_REBOOT, "Bye", false), 0);
}

static void a_request_that_waits_is_answered_after_a_restore(void **state)
{
	struct fixture *f = *state, *to = make();

	make_rich(f);
	statetest_same(record, f, to);
	icguest_go_on(&to->i, &f->i);
	assert_int_equal(to->answers, 0);
	assert_int_equal(shutdown_request(to->sd, SHUTDOWN_OFF, NULL, false), -EBUSY);
	assert_true(icguest_take(&to->i));
	assert_int_equal(le32_load(to->i.body + 8), IC_SHUTDOWN_REBOOT);
	icguest_answer(&to->i, IC_STATUS_FAIL);
	assert_int_equal(to->answers, 1);
	assert_int_equal(to->result, -ECANCELED);
	assert_int_equal(shutdown_request(to->sd, SHUTDOWN_HIBERNATE, NULL, false), 0);
	assert_true(icguest_take(&to->i));
	icguest_answer(&to->i, 0);
	assert_int_equal(to->answers, 2);
	assert_int_equal(to->i.g->faults, 0);
	drop(to);
}

static void a_service_that_waits_for_a_request_comes_back(void **state)
{
	struct fixture *f = *state, *to = make();

	icguest_negotiate(&f->i, IC_VERSION(1, 0), IC_VERSION(3, 0));
	statetest_same(record, f, to);
	icguest_go_on(&to->i, &f->i);
	assert_int_equal(shutdown_request(to->sd, SHUTDOWN_REBOOT, NULL, false), -EOPNOTSUPP);
	assert_int_equal(shutdown_request(to->sd, SHUTDOWN_OFF, NULL, false), 0);
	drop(to);
}

static void a_request_of_a_channel_that_was_not_open_ends(void **state)
{
	static const struct guid type = IC_SHUTDOWN_TYPE;
	struct fixture *f = *state, *to = make();

	make_rich(f);
	statetest_same(record, f, to);
	assert_int_equal(shutdown_request(to->sd, SHUTDOWN_OFF, NULL, false), -EBUSY);
	icguest_connect(&to->i, &type);
	assert_int_equal(to->answers, 1);
	assert_int_equal(to->result, -ECONNRESET);
	icguest_negotiate(&to->i, IC_VERSION(3, 0), IC_VERSION(3, 2));
	assert_int_equal(shutdown_request(to->sd, SHUTDOWN_OFF, NULL, false), 0);
	drop(to);
}

static void a_record_that_is_wrong_changes_nothing(void **state)
{
	struct fixture *f = *state;

	make_rich(f);
	statetest_cut(record, f, make, drop);
	statetest_more(record, f, make, drop);
	statetest_flip(record, f, make, drop, drive);
}

static void a_record_that_cannot_be_is_refused(void **state)
{
	struct fixture *f = *state;

	make_rich(f);
	statetest_refuses(record, f, make, drop, "state", 0, "\3", 1, "request that waits");
	statetest_refuses(record, f, make, drop, "pending", 0, "\0", 1, "request that waits");
	statetest_refuses(record, f, make, drop, "message_version", 0, "\3", 1, "versions");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(each_kind_has_its_flags),
		CASE(a_refusal_brings_the_status),
		CASE(old_guests_are_not_asked_what_they_cannot_do),
		CASE(a_channel_that_closes_ends_the_request),
		CASE(a_fault_ends_the_request_once),
		CASE(a_wild_ring_index_refuses_the_request),
		CASE(a_long_reason_is_cut),
		CASE(a_request_that_waits_is_answered_after_a_restore),
		CASE(a_service_that_waits_for_a_request_comes_back),
		CASE(a_request_of_a_channel_that_was_not_open_ends),
		CASE(a_record_that_is_wrong_changes_nothing),
		CASE(a_record_that_cannot_be_is_refused),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
