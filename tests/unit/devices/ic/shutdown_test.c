/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shutdown requests: flags, versions, the answer. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "devices/ic/shutdown.h"
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
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
