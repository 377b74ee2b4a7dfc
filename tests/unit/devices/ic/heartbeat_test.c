/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Heartbeat, and with it what all integration components share: versions, order, hostility. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "devices/ic/heartbeat.h"
#include "tests/lib/statetest.h"
#include "tests/unit/devices/ic/icguest.h"

struct fixture {
	struct icguest i;
	struct heartbeat *hb;
	unsigned changes;
	enum heartbeat_health health;
};

static void on_change(void *ctx, enum heartbeat_health health)
{
	struct fixture *f = ctx;

	f->changes++;
	f->health = health;
}

static int setup(void **state)
{
	static const struct guid type = IC_HEARTBEAT_TYPE;
	static struct fixture f;

	memset(&f, 0, sizeof(f));
	icguest_init(&f.i);
	assert_int_equal(heartbeat_new(&f.i.env, on_change, &f, &f.hb), 0);
	icguest_connect(&f.i, &type);
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	heartbeat_free(f->hb);
	assert_int_equal(timerq_next(&f->i.timers), TIMERQ_NEVER);
	vmguest_free(f->i.g);
	return 0;
}

static struct heartbeat_state state_of(const struct fixture *f)
{
	struct heartbeat_state s;

	heartbeat_state(f->hb, &s);
	return s;
}

/* A beat of the host, answered as Linux does. */
static void answer_beat(struct fixture *f)
{
	assert_true(icguest_take(&f->i));
	assert_int_equal(f->i.header.type, IC_HEARTBEAT);
	assert_int_equal(f->i.header.body_bytes, 40);
	le64_store(f->i.body, le64_load(f->i.body) + 1);
	icguest_answer(&f->i, 0);
}

static void beats_every_two_seconds_and_is_ok_when_answered(void **state)
{
	struct fixture *f = *state;

	assert_string_equal(state_of(f).label, "no-contact");
	icguest_negotiate(&f->i, IC_VERSION(3, 0), IC_VERSION(3, 0));
	assert_int_equal(state_of(f).version, IC_VERSION(3, 0));
	answer_beat(f);
	assert_string_equal(state_of(f).label, "ok");
	for (unsigned n = 0; n < 10; n++) {
		icguest_pass(&f->i, HEARTBEAT_PERIOD_NS - 1);
		assert_false(icguest_take(&f->i));
		icguest_pass(&f->i, 1);
		answer_beat(f);
	}
	assert_int_equal(state_of(f).answers, 11);
	assert_int_equal(f->changes, 1);
	assert_int_equal(f->i.g->faults, 0);
}

static void contact_is_lost_after_15_seconds_and_found_again(void **state)
{
	struct fixture *f = *state;

	icguest_negotiate(&f->i, IC_VERSION(3, 0), IC_VERSION(3, 0));
	answer_beat(f);
	icguest_pass(&f->i, 14 * IC_NS_PER_S);
	assert_int_equal(f->health, HEARTBEAT_OK);
	icguest_pass(&f->i, 2 * IC_NS_PER_S);
	assert_int_equal(f->health, HEARTBEAT_LOST);
	answer_beat(f);
	assert_int_equal(f->health, HEARTBEAT_OK);
	assert_false(icguest_take(&f->i)); /* one request at a time */
	assert_int_equal(f->changes, 3);
}

static void a_pause_of_the_vm_is_no_loss_of_contact(void **state)
{
	struct fixture *f = *state;

	icguest_negotiate(&f->i, IC_VERSION(3, 0), IC_VERSION(3, 0));
	answer_beat(f);
	f->i.now_ns += 3600 * IC_NS_PER_S; /* no timer ran */
	icguest_pass(&f->i, 1);
	assert_int_equal(f->health, HEARTBEAT_OK);
	answer_beat(f);
	assert_int_equal(f->changes, 1);
}

static void application_state_is_kept(void **state)
{
	struct fixture *f = *state;

	icguest_negotiate(&f->i, IC_VERSION(3, 0), IC_VERSION(3, 0));
	assert_true(icguest_take(&f->i));
	le64_store(f->i.body, le64_load(f->i.body) + 1);
	le32_store(f->i.body + 8, 2);
	icguest_answer(&f->i, 0);
	assert_int_equal(state_of(f).application_state, 2);
}

static void a_wrong_sequence_or_an_error_is_no_sign_of_life(void **state)
{
	struct fixture *f = *state;

	icguest_negotiate(&f->i, IC_VERSION(1, 0), IC_VERSION(1, 0));
	assert_true(icguest_take(&f->i));
	icguest_answer(&f->i, 0);
	assert_int_equal(state_of(f).health, HEARTBEAT_NO_CONTACT);
	icguest_pass(&f->i, HEARTBEAT_PERIOD_NS);
	assert_true(icguest_take(&f->i));
	le64_store(f->i.body, le64_load(f->i.body) + 1);
	icguest_answer(&f->i, IC_STATUS_FAIL);
	assert_int_equal(state_of(f).health, HEARTBEAT_NO_CONTACT);
	icguest_pass(&f->i, 20 * IC_NS_PER_S);
	assert_int_equal(state_of(f).health, HEARTBEAT_LOST);
	assert_int_equal(f->i.g->faults, 0);
}

static void no_version_in_common_leaves_the_channel_silent(void **state)
{
	struct fixture *f = *state;

	icguest_negotiate(&f->i, IC_VERSION(3, 0), 0);
	icguest_pass(&f->i, 60 * IC_NS_PER_S);
	assert_false(icguest_take(&f->i));
	assert_int_equal(state_of(f).version, 0);
	assert_int_equal(f->i.g->faults, 0);
}

static void a_channel_can_be_closed_and_opened_again(void **state)
{
	struct fixture *f = *state;

	for (unsigned n = 0; n < 3; n++) {
		icguest_negotiate(&f->i, IC_VERSION(3, 0), IC_VERSION(3, 0));
		answer_beat(f);
		assert_int_equal(f->health, HEARTBEAT_OK);
		vmguest_close(&f->i.ch);
		assert_int_equal(f->health, HEARTBEAT_NO_CONTACT);
		assert_int_equal(state_of(f).version, 0);
		icguest_pass(&f->i, 60 * IC_NS_PER_S);
		icguest_open(&f->i);
	}
}

static void an_invented_version_faults_the_channel(void **state)
{
	struct fixture *f = *state;

	assert_true(icguest_take(&f->i));
	f->i.header.body_bytes = 16;
	le16_store(f->i.body, 1);
	le16_store(f->i.body + 2, 1);
	le16_store(f->i.body + 8, 9);
	icguest_answer(&f->i, 0);
	assert_int_equal(f->i.g->faults, 1);
	icguest_pass(&f->i, 60 * IC_NS_PER_S);
	assert_false(icguest_take(&f->i));
	vmguest_close(&f->i.ch);
	icguest_open(&f->i);
	icguest_negotiate(&f->i, IC_VERSION(3, 0), IC_VERSION(3, 0));
	answer_beat(f);
	assert_int_equal(f->health, HEARTBEAT_OK);
}

static void answers_that_do_not_fit_fault_the_channel(void **state)
{
	struct fixture *f = *state;

	for (unsigned n = 0; n < 6; n++) {
		icguest_negotiate(&f->i, IC_VERSION(3, 0), IC_VERSION(3, 0));
		assert_true(icguest_take(&f->i));
		switch (n) {
		case 0:
			f->i.header.type = IC_KVP;
			break;
		case 1:
			f->i.header.transaction++;
			break;
		case 2:
			f->i.header.body_bytes = 8;
			break;
		case 3:
			f->i.header.body_bytes = 0xFFFF;
			break;
		case 4:
			le32_store(f->i.packet.payload + 4, 0xFFFFFFFF);
			break;
		case 5:
			f->i.packet.len = 24;
			break;
		}
		icguest_answer(&f->i, 0);
		assert_int_equal(f->i.g->faults, n + 1);
		assert_int_equal(state_of(f).version, 0);
		vmguest_close(&f->i.ch);
		icguest_open(&f->i);
	}
}

static void an_answer_that_nobody_asked_for_faults_the_channel(void **state)
{
	struct fixture *f = *state;

	icguest_negotiate(&f->i, IC_VERSION(3, 0), IC_VERSION(3, 0));
	answer_beat(f);
	icguest_send(&f->i);
	assert_int_equal(f->i.g->faults, 1);
	assert_int_equal(f->health, HEARTBEAT_NO_CONTACT);
}

static void what_is_no_answer_is_ignored(void **state)
{
	struct fixture *f = *state;

	icguest_negotiate(&f->i, IC_VERSION(3, 0), IC_VERSION(3, 0));
	assert_true(icguest_take(&f->i));
	icguest_send(&f->i); /* still the request */
	assert_int_equal(f->i.g->faults, 0);
	le64_store(f->i.body, le64_load(f->i.body) + 1);
	icguest_answer(&f->i, 0);
	assert_int_equal(f->health, HEARTBEAT_OK);
}

static void decoder_refuses_each_wrong_length(void **state)
{
	uint8_t buf[64] = {1, 0, 0, 0, 56};
	struct ic_message msg;

	(void)state;
	for (size_t len = 0; len <= sizeof(buf); len++)
		assert_int_equal(ic_decode(buf, len, &msg), len < 64 ? -EPROTO : 0);
	buf[18] = 36;
	assert_int_equal(ic_decode(buf, 64, &msg), 0);
	assert_ptr_equal(msg.body, buf + 28);
	buf[18] = 37;
	assert_int_equal(ic_decode(buf, 64, &msg), -EPROTO);
	buf[18] = 0;
	buf[4] = 19;
	assert_int_equal(ic_decode(buf, 64, &msg), -EPROTO);
	buf[4] = 20;
	assert_int_equal(ic_decode(buf, 64, &msg), 0);
	buf[0] = 2;
	assert_int_equal(ic_decode(buf, 64, &msg), -EPROTO);
}

/* ---- saved states ---- */

/* The one whose record others read. */
static struct fixture *saved;

static void record(void *device, struct record *r)
{
	heartbeat_record(((struct fixture *)device)->hb, r);
}

static void *make(void)
{
	struct fixture *f = icguest_elsewhere(sizeof(*f));

	assert_int_equal(heartbeat_new(&f->i.env, on_change, f, &f->hb), 0);
	return f;
}

static void drop(void *device)
{
	struct fixture *f = device;

	heartbeat_free(f->hb);
	icguest_forget(&f->i);
}

static void drive(void *device)
{
	static const struct guid type = IC_HEARTBEAT_TYPE;

	icguest_drive(&((struct fixture *)device)->i, &saved->i, &type, IC_VERSION(3, 0));
}

/* Contact, and 500 ms after a question that is not answered yet. */
static void make_rich(struct fixture *f)
{
	saved = f;
	icguest_negotiate(&f->i, IC_VERSION(3, 0), IC_VERSION(3, 0));
	assert_true(icguest_take(&f->i));
	le64_store(f->i.body, le64_load(f->i.body) + 1);
	le32_store(f->i.body + 8, 2);
	icguest_answer(&f->i, 0);
	icguest_pass(&f->i, HEARTBEAT_PERIOD_NS + 500000000);
}

static void a_state_goes_on_with_the_answer_that_was_due(void **state)
{
	struct fixture *f = *state, *to = make();

	make_rich(f);
	statetest_same(record, f, to);
	assert_int_equal(to->changes, 1);
	assert_int_equal(to->health, HEARTBEAT_OK);
	assert_int_equal(state_of(to).application_state, 2);
	assert_int_equal(state_of(to).version, IC_VERSION(3, 0));
	icguest_go_on(&to->i, &f->i);
	answer_beat(to);
	assert_int_equal(state_of(to).answers, 1);
	icguest_pass(&to->i, 1500000000 - 1);
	assert_false(icguest_take(&to->i));
	icguest_pass(&to->i, 1);
	answer_beat(to);
	assert_int_equal(state_of(to).answers, 2);
	assert_int_equal(to->i.g->faults, 0);
	drop(to);
}

static void silence_goes_on_and_the_time_between_is_none(void **state)
{
	struct fixture *f = *state, *to = make();

	make_rich(f);
	icguest_pass(&f->i, 7500000000); /* 10 s since the answer */
	statetest_same(record, f, to);
	icguest_go_on(&to->i, &f->i);
	icguest_pass(&to->i, 5 * IC_NS_PER_S);
	assert_int_equal(to->health, HEARTBEAT_OK);
	icguest_pass(&to->i, IC_NS_PER_S);
	assert_int_equal(to->health, HEARTBEAT_LOST);
	answer_beat(to);
	assert_int_equal(to->health, HEARTBEAT_OK);
	drop(to);
}

/* closed, negotiating, refused, idle, waiting, faulted */
static void each_state_of_the_channel_comes_back(void **state)
{
	struct fixture *f = *state;

	for (unsigned n = 0; n < 6; n++) {
		struct fixture *to = make();

		if (n == 0)
			vmguest_close(&f->i.ch);
		else if (n == 1)
			icguest_open(&f->i);
		else
			icguest_negotiate(&f->i, IC_VERSION(3, 0), n == 2 ? 0 : IC_VERSION(3, 0));
		if (n == 3)
			answer_beat(f);
		if (n == 5) {
			assert_true(icguest_take(&f->i));
			f->i.header.type = IC_KVP;
			icguest_answer(&f->i, 0);
		}
		statetest_same(record, f, to);
		icguest_go_on(&to->i, &f->i);
		assert_int_equal(to->i.g->faults, 0);
		if (n > 0)
			vmguest_close(&to->i.ch);
		icguest_open(&to->i);
		icguest_negotiate(&to->i, IC_VERSION(3, 0), IC_VERSION(3, 0));
		answer_beat(to);
		assert_int_equal(to->health, HEARTBEAT_OK);
		drop(to);
		if (n >= 2) {
			vmguest_close(&f->i.ch);
			icguest_open(&f->i);
		}
	}
}

static void a_record_that_is_wrong_changes_nothing(void **state)
{
	struct fixture *f = *state;

	make_rich(f);
	statetest_cut(record, f, make, drop);
	statetest_more(record, f, make, drop);
	statetest_flip(record, f, make, drop, drive);
}

static void refuses(const char *field, const char *bytes, size_t len, const char *why)
{
	statetest_refuses(record, saved, make, drop, field, 0, bytes, len, why);
}

static void a_record_that_cannot_be_is_refused(void **state)
{
	struct fixture *f = *state;

	make_rich(f);
	refuses("state", "\x07", 1, "'state' is 7");
	refuses("state", "\x01", 1, "versions");
	refuses("framework_version", "\x01", 1, "versions");
	refuses("message_version", "\0\0\2", 3, "versions");
	refuses("health", "\3", 1, "'health' is 3");
	refuses("silent_ns", "\0\0\0\0\0\1", 6, "beat");
	refuses("timer_left_ns", "\0\0\0\0\0\1", 6, "beat");
	refuses("timer_left_ns", "\xff\xff\xff\xff\xff\xff\xff\xff", 8, "beat");
	vmguest_close(&f->i.ch);
	refuses("message_version", "\1", 1, "versions");
	refuses("health", "\1", 1, "beat");
	refuses("timer_left_ns", "\0", 1, "beat");
	refuses("silent_ns", "\1", 1, "beat");
}

static void an_open_channel_of_a_closed_service_is_dead_until_it_is_closed(void **state)
{
	struct fixture *f = *state, *to = make();

	make_rich(f);
	icguest_go_on(&to->i, &f->i); /* and no record is read */
	assert_int_equal(to->i.g->faults, 1);
	icguest_pass(&to->i, 60 * IC_NS_PER_S);
	assert_int_equal(to->changes, 0);
	vmguest_close(&to->i.ch);
	icguest_open(&to->i);
	icguest_negotiate(&to->i, IC_VERSION(3, 0), IC_VERSION(3, 0));
	answer_beat(to);
	assert_int_equal(to->health, HEARTBEAT_OK);
	drop(to);
}

static void a_service_whose_channel_was_not_open_begins_anew(void **state)
{
	static const struct guid type = IC_HEARTBEAT_TYPE;
	struct fixture *f = *state, *to = make();

	make_rich(f);
	statetest_same(record, f, to);
	icguest_pass(&to->i, 60 * IC_NS_PER_S);
	assert_int_equal(to->health, HEARTBEAT_LOST);
	icguest_connect(&to->i, &type);
	assert_int_equal(to->health, HEARTBEAT_NO_CONTACT);
	icguest_negotiate(&to->i, IC_VERSION(3, 0), IC_VERSION(3, 0));
	answer_beat(to);
	assert_int_equal(to->health, HEARTBEAT_OK);
	assert_int_equal(to->i.g->faults, 0);
	drop(to);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(beats_every_two_seconds_and_is_ok_when_answered),
		CASE(contact_is_lost_after_15_seconds_and_found_again),
		CASE(a_pause_of_the_vm_is_no_loss_of_contact),
		CASE(application_state_is_kept),
		CASE(a_wrong_sequence_or_an_error_is_no_sign_of_life),
		CASE(no_version_in_common_leaves_the_channel_silent),
		CASE(a_channel_can_be_closed_and_opened_again),
		CASE(an_invented_version_faults_the_channel),
		CASE(answers_that_do_not_fit_fault_the_channel),
		CASE(an_answer_that_nobody_asked_for_faults_the_channel),
		CASE(what_is_no_answer_is_ignored),
		cmocka_unit_test(decoder_refuses_each_wrong_length),
		CASE(a_state_goes_on_with_the_answer_that_was_due),
		CASE(silence_goes_on_and_the_time_between_is_none),
		CASE(each_state_of_the_channel_comes_back),
		CASE(a_record_that_is_wrong_changes_nothing),
		CASE(a_record_that_cannot_be_is_refused),
		CASE(an_open_channel_of_a_closed_service_is_dead_until_it_is_closed),
		CASE(a_service_whose_channel_was_not_open_begins_anew),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
