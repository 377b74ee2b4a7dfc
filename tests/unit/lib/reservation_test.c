/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Persistent reservations: replies, keys, and hosts that are let in and cut off at a unit that is
 * as the standard has it; with attentions, targets that know less, and two that cut each other. */
#include "lib/reservation.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#undef fail /* lib/fail.h has one of its own */
#include <errno.h>
#include <string.h>

#include "abi/scsi.h"
#include "base/bytes.h"
#include "base/util.h"

#define NEXUS_MAX 4u
#define NONE NEXUS_MAX

static const struct guid cluster = GUID_INIT(0x6ba7b810, 0x9dad, 0x11d1, 0x80b4, 0x00c04fd430c8);
static const struct guid other = GUID_INIT(0x6ba7b811, 0x9dad, 0x11d1, 0x80b4, 0x00c04fd430c8);

/* ---- a unit ---- */

struct target {
	uint64_t key[NEXUS_MAX]; /* of who is registered; 0: it is not */
	unsigned holder;
	uint8_t type;
	uint32_t generation;
	bool aborts;         /* knows PREEMPT AND ABORT */
	bool forgets;        /* does not know APTPL */
	unsigned kept;       /* registrations with it */
	bool keeps_keys;     /* says that it preempts, and does not */
	unsigned attentions; /* that are to be told */
	unsigned dead_after; /* commands */
	unsigned strike_at;  /* before that command another is cut off */
	struct path *striker;
	uint64_t struck;
};

struct path {
	struct reservation_unit unit;
	struct target *target;
	unsigned nexus;
};

static void preempt(struct target *t, unsigned nexus, uint64_t key)
{
	if (t->keeps_keys)
		return;
	if (t->holder != NONE && t->key[t->holder] == key)
		t->holder = nexus;
	for (unsigned i = 0; i < NEXUS_MAX; i++)
		if (t->key[i] == key)
			t->key[i] = 0;
	t->generation++;
}

static uint8_t out(struct target *t, unsigned nexus, const struct reservation_command *c)
{
	uint64_t key = be64_load(c->out + PR_OUT_ACTION_KEY);

	if (c->cdb[0] == SCSI_WRITE_10)
		return t->holder == NONE || t->key[nexus] ? SCSI_STATUS_GOOD : PR_STATUS_CONFLICT;
	if (c->cdb[1] == PR_REGISTER_AND_IGNORE) {
		t->key[nexus] = key;
		t->generation++;
		return SCSI_STATUS_GOOD;
	}
	if (!t->key[nexus] || be64_load(c->out) != t->key[nexus])
		return PR_STATUS_CONFLICT;
	if (c->cdb[1] == PR_CLEAR) {
		memset(t->key, 0, sizeof(t->key));
		t->holder = NONE;
		t->generation++;
		return SCSI_STATUS_GOOD;
	}
	if (c->cdb[1] == PR_RESERVE) {
		if (t->holder != NONE && t->holder != nexus)
			return PR_STATUS_CONFLICT;
		t->holder = nexus;
		t->type = c->cdb[2];
	} else {
		preempt(t, nexus, key);
	}
	return SCSI_STATUS_GOOD;
}

static void in(const struct target *t, struct reservation_command *c)
{
	size_t len = PR_REPLY_HEAD_BYTES;

	be32_store(c->in, t->generation);
	if (c->cdb[1] == PR_READ_KEYS) {
		for (unsigned i = 0; i < NEXUS_MAX; i++) {
			if (t->key[i]) {
				be64_store(c->in + len, t->key[i]);
				len += PR_KEY_BYTES;
			}
		}
	} else if (t->holder != NONE) {
		memset(c->in + len, 0, PR_RESERVATION_BYTES);
		be64_store(c->in + len, t->key[t->holder]);
		c->in[len + PR_RESERVATION_SCOPE_TYPE] = t->type;
		len += PR_RESERVATION_BYTES;
	}
	be32_store(c->in + 4, (uint32_t)(len - PR_REPLY_HEAD_BYTES));
	c->in_len = len;
}

static int carry(struct reservation_unit *unit, struct reservation_command *c, struct failure *f)
{
	struct path *p = CONTAINER_OF(unit, struct path, unit);
	struct target *t = p->target;

	if (t->strike_at && p != t->striker && --t->strike_at == 0 &&
	    t->key[t->striker->nexus]) /* else it gets a conflict */
		preempt(t, t->striker->nexus, t->struck);
	if (t->dead_after-- == 0)
		return fail(f, -EIO, "%s does not answer", unit->name);
	c->status = SCSI_STATUS_GOOD;
	if (t->attentions) {
		t->attentions--;
		c->status = SCSI_STATUS_CHECK_CONDITION;
		c->sense_key = SCSI_KEY_UNIT_ATTENTION;
	} else if (c->cdb[0] == PR_OPCODE_IN) {
		in(t, c);
	} else if (c->cdb[1] == PR_PREEMPT_AND_ABORT && !t->aborts) {
		c->status = SCSI_STATUS_CHECK_CONDITION;
		c->sense_key = SCSI_KEY_ILLEGAL_REQUEST;
	} else if ((c->out[PR_OUT_FLAGS] & PR_OUT_APTPL) && t->forgets) {
		c->status = SCSI_STATUS_CHECK_CONDITION;
		c->sense_key = SCSI_KEY_ILLEGAL_REQUEST;
	} else {
		t->kept += c->out[PR_OUT_FLAGS] & PR_OUT_APTPL;
		c->status = out(t, p->nexus, c);
	}
	return 0;
}

static struct target target;
static struct path a = {{"the disk", carry}, &target, 0}, b = {{"the disk", carry}, &target, 1};
static uint64_t key_a, key_b;
static struct failure f;

static int fresh(void **state)
{
	(void)state;
	target = (struct target){.holder = NONE, .aborts = true, .dead_after = ~0u};
	key_a = reservation_key(&cluster, 1);
	key_b = reservation_key(&cluster, 2);
	f.text[0] = '\0';
	return 0;
}

static void both_enter(void)
{
	assert_int_equal(reservation_enter(&a.unit, key_a, &f), 0);
	assert_int_equal(reservation_enter(&b.unit, key_b, &f), 0);
}

/* ---- replies ---- */

static void reply_that_is_cut_short_is_refused(void **state)
{
	uint8_t bytes[24] = {0};
	struct reservation_keys keys;
	struct reservation_held held;

	(void)state;
	be32_store(bytes + 4, 16);
	assert_int_equal(reservation_decode_keys(bytes, 24, &keys), 0);
	assert_int_equal(keys.count, 2);
	assert_int_equal(reservation_decode_held(bytes, 24, &held), 0);
	for (size_t len = 0; len < 24; len++) {
		assert_int_equal(reservation_decode_keys(bytes, len, &keys), -EBADMSG);
		assert_int_equal(reservation_decode_held(bytes, len, &held), -EBADMSG);
	}
}

static void keys_that_are_too_many_are_no_answer(void **state)
{
	uint8_t bytes[RESERVATION_REPLY_MAX] = {0};
	struct reservation_keys keys;

	(void)state;
	be32_store(bytes + 4, (RESERVATION_KEYS_MAX + 1) * 8);
	assert_int_equal(reservation_decode_keys(bytes, sizeof(bytes), &keys), -E2BIG);
	be32_store(bytes + 4, 0xfffffff8);
	assert_int_equal(reservation_decode_keys(bytes, sizeof(bytes), &keys), -E2BIG);
	be32_store(bytes + 4, 12);
	assert_int_equal(reservation_decode_keys(bytes, sizeof(bytes), &keys), -EBADMSG);
}

static void reservation_of_a_part_is_refused(void **state)
{
	uint8_t bytes[24] = {0};
	struct reservation_held held;

	(void)state;
	be32_store(bytes + 4, 16);
	bytes[8 + PR_RESERVATION_SCOPE_TYPE] = 0x15;
	assert_int_equal(reservation_decode_held(bytes, 24, &held), -EBADMSG);
}

static void key_tells_the_cluster(void **state)
{
	(void)state;
	assert_true(reservation_same_cluster(key_a, key_b));
	assert_int_not_equal(key_a, key_b);
	assert_false(reservation_same_cluster(key_a, reservation_key(&other, 1)));
	assert_false(reservation_same_cluster(key_a, 1));
}

/* ---- in and out ---- */

static void host_that_is_cut_off_is_no_longer_registered(void **state)
{
	(void)state;
	both_enter();
	assert_int_equal(reservation_evict(&b.unit, key_b, key_a, &f), 0);
	assert_int_equal(target.key[0], 0);
	assert_int_equal(target.holder, 1); /* it was a's */
	assert_int_equal(reservation_check(&b.unit, key_b, &f), 0);
	assert_int_equal(reservation_check(&a.unit, key_a, &f), -EBADE);
	assert_int_equal(reservation_evict(&a.unit, key_a, key_b, &f), -EBADE);
	assert_int_equal(reservation_evict(&b.unit, key_b, key_a, &f), 0); /* once more */
}

static void target_without_abort_is_preempted(void **state)
{
	(void)state;
	target.aborts = false;
	both_enter();
	assert_int_equal(reservation_evict(&a.unit, key_a, key_b, &f), 0);
	assert_int_equal(target.key[1], 0);
}

static void target_that_keeps_the_key_is_no_success(void **state)
{
	(void)state;
	both_enter();
	target.keeps_keys = true;
	assert_int_equal(reservation_evict(&a.unit, key_a, key_b, &f), -EIO);
}

static void unit_that_dies_at_any_command_is_no_success(void **state)
{
	unsigned commands = 0;

	(void)state;
	for (;; commands++) {
		fresh(NULL);
		both_enter();
		target.dead_after = commands;
		if (reservation_evict(&a.unit, key_a, key_b, &f) == 0)
			break;
		assert_string_equal(f.text, "the disk does not answer");
	}
	assert_int_equal(commands, 5); /* two looks and the preemption */
}

static void attentions_are_passed_over_but_not_without_end(void **state)
{
	(void)state;
	both_enter();
	target.attentions = 3;
	assert_int_equal(reservation_evict(&a.unit, key_a, key_b, &f), 0);
	target.attentions = ~0u;
	assert_int_equal(reservation_check(&a.unit, key_a, &f), -EIO);
}

static void disk_of_others_is_not_touched(void **state)
{
	(void)state;
	target.key[2] = reservation_key(&other, 1);
	assert_int_equal(reservation_enter(&a.unit, key_a, &f), -EEXIST);
	assert_int_equal(target.key[0], 0);
	target.key[2] = 0;
	both_enter();
	target.key[2] = 0x1234;
	assert_int_equal(reservation_evict(&a.unit, key_a, key_b, &f), -EEXIST);
	assert_int_equal(target.key[1], key_b);
}

static void disk_that_is_not_reserved_fences_nobody(void **state)
{
	(void)state;
	both_enter();
	target.holder = NONE;
	assert_int_equal(reservation_evict(&a.unit, key_a, key_b, &f), -ENOLCK);
	target.holder = 0;
	target.type = 1; /* write exclusive */
	assert_int_equal(reservation_evict(&a.unit, key_a, key_b, &f), -EEXIST);
}

static void of_two_that_cut_each_other_one_wins(void **state)
{
	(void)state;
	for (unsigned at = 1; at <= 5; at++) {
		fresh(NULL);
		both_enter();
		target.strike_at = at;
		target.striker = &b;
		target.struck = key_a;
		if (at <= 3) {
			assert_int_equal(reservation_evict(&a.unit, key_a, key_b, &f), -EBADE);
			assert_int_equal(target.key[1], key_b);
		} else {
			assert_int_equal(reservation_evict(&a.unit, key_a, key_b, &f), 0);
			assert_int_equal(target.key[0], key_a);
		}
	}
}

static void session_that_is_lent_a_key_is_none_of_a_host_that_was_cut_off(void **state)
{
	struct path session = {{"the disk", carry}, &target, 2};

	(void)state;
	both_enter();
	assert_int_equal(reservation_lend(&session.unit, key_a, &f), 0);
	assert_int_equal(target.key[2], key_a);
	for (unsigned at = 1; at <= 4; at++) {
		fresh(NULL);
		both_enter();
		target.strike_at = at;
		target.striker = &b;
		target.struck = key_a;
		assert_int_equal(reservation_lend(&session.unit, key_a, &f), -EBADE);
		assert_int_equal(target.key[2], 0);
		assert_int_equal(target.key[0], 0);
	}
}

static void hosts_that_join_are_refused_nothing_until_one_reserves_for_them(void **state)
{
	(void)state;
	assert_int_equal(reservation_join(&a.unit, key_a, &f), 0);
	assert_int_equal(target.holder, NONE);
	assert_int_equal(reservation_try_write(&b.unit, &f), 0);
	assert_int_equal(reservation_join(&b.unit, key_b, &f), 0);
	assert_int_equal(reservation_enter(&a.unit, key_a, &f), 0);
	assert_int_equal(target.holder, 0);
	assert_int_equal(reservation_try_write(&b.unit, &f), 0);
	assert_int_equal(reservation_evict(&a.unit, key_a, key_b, &f), 0);
	assert_int_equal(reservation_try_write(&b.unit, &f), -EBADE);
}

static void keys_outlive_the_targets_power_where_it_can(void **state)
{
	(void)state;
	both_enter();
	assert_int_equal(target.kept, 2);
	fresh(NULL);
	target.forgets = true;
	both_enter();
	assert_int_equal(target.kept, 0);
	assert_true(target.key[0] == key_a && target.key[1] == key_b);
}

static void disk_that_is_cleared_is_anybodys_and_one_of_others_is_not_cleared(void **state)
{
	(void)state;
	both_enter();
	assert_int_equal(reservation_clear(&b.unit, key_b, &f), 0);
	assert_int_equal(target.key[0] | target.key[1], 0);
	assert_int_equal(reservation_try_write(&a.unit, &f), 0);
	assert_int_equal(reservation_clear(&b.unit, key_b, &f), 0); /* once more */
	target.key[2] = reservation_key(&other, 1);
	assert_int_equal(reservation_clear(&b.unit, key_b, &f), -EEXIST);
	fresh(NULL);
	both_enter();
	assert_int_equal(reservation_evict(&a.unit, key_a, key_b, &f), 0);
	assert_int_equal(reservation_clear(&b.unit, key_b, &f), -EBADE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup(name, fresh)
		TEST(reply_that_is_cut_short_is_refused),
		TEST(keys_that_are_too_many_are_no_answer),
		TEST(reservation_of_a_part_is_refused),
		TEST(key_tells_the_cluster),
		TEST(host_that_is_cut_off_is_no_longer_registered),
		TEST(target_without_abort_is_preempted),
		TEST(target_that_keeps_the_key_is_no_success),
		TEST(unit_that_dies_at_any_command_is_no_success),
		TEST(attentions_are_passed_over_but_not_without_end),
		TEST(disk_of_others_is_not_touched),
		TEST(disk_that_is_not_reserved_fences_nobody),
		TEST(of_two_that_cut_each_other_one_wins),
		TEST(session_that_is_lent_a_key_is_none_of_a_host_that_was_cut_off),
		TEST(hosts_that_join_are_refused_nothing_until_one_reserves_for_them),
		TEST(keys_outlive_the_targets_power_where_it_can),
		TEST(disk_that_is_cleared_is_anybodys_and_one_of_others_is_not_cleared),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
