/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Key-value pairs: the walk, its bounds, and the decoder. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <stdlib.h>

#include "abi/state.h"
#include "devices/ic/kvp.h"
#include "tests/lib/failheap.h"
#include "tests/lib/statetest.h"
#include "tests/unit/devices/ic/icguest.h"

struct fixture {
	struct icguest i;
	struct kvp *kvp;
};

static int setup(void **state)
{
	static const struct guid type = IC_KVP_TYPE;
	static struct fixture f;

	memset(&f, 0, sizeof(f));
	icguest_init(&f.i);
	assert_int_equal(kvp_new(&f.i.env, &f.kvp), 0);
	icguest_connect(&f.i, &type);
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	kvp_free(f->kvp);
	assert_int_equal(timerq_next(&f->i.timers), TIMERQ_NEVER);
	vmguest_free(f->i.g);
	return 0;
}

static struct kvp_state state_of(const struct fixture *f)
{
	struct kvp_state s;

	kvp_state(f->kvp, &s);
	return s;
}

static void fill(uint8_t *body, uint32_t type, const char *key, const char *value)
{
	le32_store(body + 8, type);
	le32_store(body + 12, (uint32_t)utf16_from_utf8(key, body + 20, 512));
	le32_store(body + 16, (uint32_t)utf16_from_utf8(value, body + 532, 2048));
}

/* Takes the question for `index` of a pool and answers it with a pair, or with a status. */
static void answer_in(struct fixture *f, uint8_t pool, uint32_t index, const char *key,
		      const char *value, uint32_t status)
{
	assert_true(icguest_take(&f->i));
	assert_int_equal(f->i.header.type, IC_KVP);
	assert_int_equal(f->i.header.body_bytes, 2580);
	assert_int_equal(f->i.body[0], IC_KVP_ENUMERATE);
	assert_int_equal(f->i.body[1], pool);
	assert_int_equal(le32_load(f->i.body + 4), index);
	if (key)
		fill(f->i.body, IC_KVP_STRING, key, value);
	icguest_answer(&f->i, status);
}

static void answer(struct fixture *f, uint32_t index, const char *key, const char *value,
		   uint32_t status)
{
	answer_in(f, IC_KVP_POOL_AUTO, index, key, value, status);
}

/* The pools behind the automatic one are empty. */
static void end_walk(struct fixture *f)
{
	answer_in(f, IC_KVP_POOL_EXTERNAL, 0, NULL, NULL, IC_STATUS_NO_MORE_ITEMS);
	answer_in(f, IC_KVP_POOL_GUEST, 0, NULL, NULL, IC_STATUS_NO_MORE_ITEMS);
	answer_in(f, IC_KVP_POOL_PARAMETERS, 0, NULL, NULL, IC_STATUS_NO_MORE_ITEMS);
	assert_false(icguest_take(&f->i));
}

static void start(struct fixture *f)
{
	icguest_negotiate(&f->i, IC_VERSION(3, 0), IC_VERSION(4, 0));
	icguest_pass(&f->i, KVP_FIRST_NS - 1);
	assert_false(icguest_take(&f->i));
	icguest_pass(&f->i, 1);
}

static void a_walk_collects_all_pairs(void **state)
{
	struct fixture *f = *state;
	const char *key, *value;

	start(f);
	answer(f, 0, "FullyQualifiedDomainName", "g\xC3\xA4st.example", 0);
	assert_null(kvp_get(f->kvp, IC_KVP_POOL_AUTO,
			    "FullyQualifiedDomainName")); /* not before the end */
	assert_string_equal(state_of(f).label, "walking");
	answer(f, 1, "OSName", "Debian", 0);
	answer(f, 2, NULL, NULL, IC_STATUS_NO_MORE_ITEMS);
	end_walk(f);
	assert_string_equal(kvp_get(f->kvp, IC_KVP_POOL_AUTO, "FullyQualifiedDomainName"),
			    "g\xC3\xA4st.example");
	assert_string_equal(kvp_get(f->kvp, IC_KVP_POOL_AUTO, "OSName"), "Debian");
	assert_null(kvp_get(f->kvp, IC_KVP_POOL_AUTO, "osname"));
	assert_int_equal(kvp_entry(f->kvp, IC_KVP_POOL_AUTO, 1, &key, &value), 0);
	assert_string_equal(key, "OSName");
	assert_int_equal(kvp_entry(f->kvp, IC_KVP_POOL_AUTO, 2, &key, &value), -ENOENT);
	assert_int_equal(state_of(f).entries, 2);
	assert_int_equal(state_of(f).walks, 1);
	assert_false(state_of(f).truncated);
}

static void walks_repeat_and_replace_the_pairs(void **state)
{
	struct fixture *f = *state;

	start(f);
	answer(f, 0, "OSName", "old", 0);
	answer(f, 1, NULL, NULL, IC_STATUS_NO_MORE_ITEMS);
	end_walk(f);
	icguest_pass(&f->i, KVP_PERIOD_NS);
	answer(f, 0, "OSName", "new", 0);
	assert_string_equal(kvp_get(f->kvp, IC_KVP_POOL_AUTO, "OSName"), "old");
	answer(f, 1, NULL, NULL, IC_STATUS_NO_MORE_ITEMS);
	end_walk(f);
	assert_string_equal(kvp_get(f->kvp, IC_KVP_POOL_AUTO, "OSName"), "new");
	assert_int_equal(state_of(f).entries, 1);
}

static void a_failed_walk_leaves_the_last_pairs(void **state)
{
	struct fixture *f = *state;

	start(f);
	answer(f, 0, "OSName", "old", 0);
	answer(f, 1, NULL, NULL, IC_STATUS_NO_MORE_ITEMS);
	end_walk(f);
	icguest_pass(&f->i, KVP_PERIOD_NS);
	answer(f, 0, "Other", "x", 0);
	answer(f, 1, NULL, NULL, IC_STATUS_FAIL);
	assert_string_equal(kvp_get(f->kvp, IC_KVP_POOL_AUTO, "OSName"), "old");
	assert_int_equal(state_of(f).walks, 1);
	icguest_pass(&f->i, KVP_PERIOD_NS);
	answer(f, 0, NULL, NULL, IC_STATUS_NO_MORE_ITEMS);
	end_walk(f);
	assert_int_equal(state_of(f).entries, 0);
}

static void an_absent_daemon_means_one_waiting_request(void **state)
{
	struct fixture *f = *state;

	/* Not even the offer of versions is read before the daemon comes. */
	icguest_pass(&f->i, 600 * IC_NS_PER_S);
	start(f);
	icguest_pass(&f->i, 600 * IC_NS_PER_S);
	answer(f, 0, "OSName", "late", 0);
	answer(f, 1, NULL, NULL, IC_STATUS_NO_MORE_ITEMS);
	end_walk(f);
	assert_string_equal(kvp_get(f->kvp, IC_KVP_POOL_AUTO, "OSName"), "late");
	assert_int_equal(f->i.g->faults, 0);
}

static void closing_the_channel_forgets_the_pairs(void **state)
{
	struct fixture *f = *state;

	start(f);
	answer(f, 0, "OSName", "x", 0);
	answer(f, 1, NULL, NULL, IC_STATUS_NO_MORE_ITEMS);
	end_walk(f);
	vmguest_close(&f->i.ch);
	assert_null(kvp_get(f->kvp, IC_KVP_POOL_AUTO, "OSName"));
	assert_string_equal(state_of(f).label, "off");
	icguest_open(&f->i);
	start(f);
	answer(f, 0, "OSName", "y", 0);
	vmguest_close(&f->i.ch); /* in the middle of a walk */
	icguest_open(&f->i);
	start(f);
	answer(f, 0, NULL, NULL, IC_STATUS_NO_MORE_ITEMS);
	end_walk(f);
	assert_int_equal(state_of(f).entries, 0);
}

static void a_guest_that_never_ends_is_cut_off(void **state)
{
	struct fixture *f = *state;
	char key[16];

	start(f);
	for (unsigned n = 0; n <= KVP_ENTRIES_MAX; n++) {
		snprintf(key, sizeof(key), "key%u", n);
		answer(f, n, key, "v", 0);
	}
	end_walk(f);
	assert_int_equal(state_of(f).entries, KVP_ENTRIES_MAX);
	assert_true(state_of(f).truncated);
}

static void long_texts_are_bounded_by_the_table(void **state)
{
	static char value[1000];
	struct fixture *f = *state;
	unsigned n = 0;

	memset(value, 'v', sizeof(value) - 1);
	start(f);
	while (!state_of(f).truncated && n < 100) {
		answer(f, n, "k", value, 0);
		n++;
	}
	end_walk(f);
	assert_true(state_of(f).truncated);
	assert_int_equal(state_of(f).entries, KVP_TEXT_BYTES / 1002);
}

static void values_of_unknown_type_are_left_out_but_counted(void **state)
{
	struct fixture *f = *state;

	start(f);
	for (uint32_t n = 0; n <= 2 * KVP_ENTRIES_MAX; n++) {
		assert_true(icguest_take(&f->i));
		assert_int_equal(le32_load(f->i.body + 4), n);
		fill(f->i.body, 99, "k", "v");
		icguest_answer(&f->i, 0);
	}
	end_walk(f);
	assert_int_equal(state_of(f).entries, 0);
	assert_int_equal(state_of(f).walks, 1);
}

static void each_pool_has_pairs_of_its_own(void **state)
{
	struct fixture *f = *state;

	start(f);
	answer(f, 0, "OSName", "x", 0);
	answer(f, 1, NULL, NULL, IC_STATUS_NO_MORE_ITEMS);
	answer_in(f, IC_KVP_POOL_EXTERNAL, 0, "k", "host", 0);
	answer_in(f, IC_KVP_POOL_EXTERNAL, 1, NULL, NULL, IC_STATUS_NO_MORE_ITEMS);
	answer_in(f, IC_KVP_POOL_GUEST, 0, "k", "guest", 0);
	assert_null(kvp_get(f->kvp, IC_KVP_POOL_GUEST, "k"));
	answer_in(f, IC_KVP_POOL_GUEST, 1, NULL, NULL, IC_STATUS_FAIL);
	assert_false(icguest_take(&f->i));
	assert_string_equal(kvp_get(f->kvp, IC_KVP_POOL_EXTERNAL, "k"), "host");
	assert_null(kvp_get(f->kvp, IC_KVP_POOL_GUEST, "k"));
	assert_int_equal(state_of(f).entries, 1);
	assert_int_equal(state_of(f).walks, 0);
}

/* Takes a request to change a pair and answers it; its texts as a guest reads them. */
static void take_change(struct fixture *f, uint8_t operation, uint8_t pool, const char *key,
			const char *value, uint32_t status)
{
	unsigned at = operation == IC_KVP_SET ? 16 : 8;
	char text[KVP_VALUE_TEXT_MAX];

	assert_true(icguest_take(&f->i));
	assert_int_equal(f->i.header.body_bytes, 2580);
	assert_int_equal(f->i.body[0], operation);
	assert_int_equal(f->i.body[1], pool);
	assert_int_equal(le32_load(f->i.body + at - (operation == IC_KVP_SET ? 8 : 4)),
			 2 * (strlen(key) + 1));
	assert_true(utf8_from_utf16(f->i.body + at, 512, text, sizeof(text)) >= 0);
	assert_string_equal(text, key);
	if (value) {
		assert_int_equal(le32_load(f->i.body + 4), IC_KVP_STRING);
		assert_int_equal(le32_load(f->i.body + 12), 2 * (strlen(value) + 1));
		assert_true(utf8_from_utf16(f->i.body + 528, 2048, text, sizeof(text)) >= 0);
		assert_string_equal(text, value);
	}
	icguest_answer(&f->i, status);
}

static void changes_come_in_order_and_before_the_next_walk(void **state)
{
	struct fixture *f = *state;

	start(f);
	answer(f, 0, NULL, NULL, IC_STATUS_NO_MORE_ITEMS);
	end_walk(f);
	assert_int_equal(kvp_change(f->kvp, IC_KVP_POOL_EXTERNAL, "a", "1"), 0);
	assert_int_equal(kvp_change(f->kvp, IC_KVP_POOL_PARAMETERS, "b", ""), 0);
	assert_int_equal(kvp_change(f->kvp, IC_KVP_POOL_GUEST, "c", NULL), 0);
	assert_string_equal(state_of(f).label, "changing");
	assert_int_equal(state_of(f).changes_waiting, 3);
	take_change(f, IC_KVP_SET, IC_KVP_POOL_EXTERNAL, "a", "1", 0);
	take_change(f, IC_KVP_SET, IC_KVP_POOL_PARAMETERS, "b", "", 0);
	take_change(f, IC_KVP_DELETE, IC_KVP_POOL_GUEST, "c", NULL, IC_STATUS_NO_MORE_ITEMS);
	assert_int_equal(state_of(f).changes_made, 2);
	assert_int_equal(state_of(f).changes_failed, 1);
	answer(f, 0, NULL, NULL, IC_STATUS_NO_MORE_ITEMS);
	answer_in(f, IC_KVP_POOL_EXTERNAL, 0, "a", "1", 0);
	answer_in(f, IC_KVP_POOL_EXTERNAL, 1, NULL, NULL, IC_STATUS_NO_MORE_ITEMS);
	answer_in(f, IC_KVP_POOL_GUEST, 0, NULL, NULL, IC_STATUS_NO_MORE_ITEMS);
	answer_in(f, IC_KVP_POOL_PARAMETERS, 0, NULL, NULL, IC_STATUS_NO_MORE_ITEMS);
	assert_string_equal(kvp_get(f->kvp, IC_KVP_POOL_EXTERNAL, "a"), "1");
}

static void a_change_interrupts_a_walk_which_begins_anew(void **state)
{
	struct fixture *f = *state;

	start(f);
	answer(f, 0, "OSName", "x", 0);
	assert_int_equal(kvp_change(f->kvp, IC_KVP_POOL_EXTERNAL, "k", "v"), 0);
	answer(f, 1, "Other", "x", 0);
	take_change(f, IC_KVP_SET, IC_KVP_POOL_EXTERNAL, "k", "v", 0);
	answer(f, 0, "OSName", "y", 0);
	answer(f, 1, NULL, NULL, IC_STATUS_NO_MORE_ITEMS);
	end_walk(f);
	assert_int_equal(state_of(f).entries, 1);
}

static void changes_that_cannot_be_are_refused(void **state)
{
	static char longest[1024], key[256], wide[256 * 3 + 1];
	struct fixture *f = *state;

	assert_int_equal(kvp_change(f->kvp, IC_KVP_POOL_EXTERNAL, "k", "v"), -ENOTCONN);
	start(f);
	memset(longest, 'v', sizeof(longest) - 1);
	memset(key, 'k', sizeof(key) - 1);
	for (unsigned i = 0; i < 256; i++)
		memcpy(wide + 3 * i, "\xE4\xB8\xAD", 3);
	assert_int_equal(kvp_change(f->kvp, IC_KVP_POOL_AUTO, "k", "v"), -EPERM);
	assert_int_equal(kvp_change(f->kvp, (enum ic_kvp_pool)4, "k", "v"), -EPERM);
	assert_int_equal(kvp_change(f->kvp, IC_KVP_POOL_EXTERNAL, "", "v"), -EMSGSIZE);
	assert_int_equal(kvp_change(f->kvp, IC_KVP_POOL_EXTERNAL, longest, "v"), -EMSGSIZE);
	assert_int_equal(kvp_change(f->kvp, IC_KVP_POOL_EXTERNAL, wide, NULL), -EMSGSIZE);
	assert_int_equal(kvp_change(f->kvp, IC_KVP_POOL_EXTERNAL, key, longest), 0);
	for (unsigned i = 1; i < KVP_CHANGES_MAX; i++)
		assert_int_equal(kvp_change(f->kvp, IC_KVP_POOL_EXTERNAL, "k", wide), 0);
	assert_int_equal(kvp_change(f->kvp, IC_KVP_POOL_EXTERNAL, "k", NULL), -ENOSPC);
	vmguest_close(&f->i.ch);
	assert_int_equal(state_of(f).changes_waiting, 0);
	assert_int_equal(state_of(f).changes_failed, KVP_CHANGES_MAX);
}

static void the_longest_change_arrives_whole(void **state)
{
	static char value[1024], key[256];
	struct fixture *f = *state;

	start(f);
	memset(value, 'v', sizeof(value) - 1);
	memset(key, 'k', sizeof(key) - 1);
	answer(f, 0, NULL, NULL, IC_STATUS_FAIL);
	assert_int_equal(kvp_change(f->kvp, IC_KVP_POOL_EXTERNAL, key, value), 0);
	take_change(f, IC_KVP_SET, IC_KVP_POOL_EXTERNAL, key, value, 0);
	assert_int_equal(state_of(f).changes_made, 1);
}

static void wild_sizes_fault_the_channel(void **state)
{
	struct fixture *f = *state;

	start(f);
	assert_true(icguest_take(&f->i));
	fill(f->i.body, IC_KVP_STRING, "k", "v");
	le32_store(f->i.body + 16, 0x80000000);
	icguest_answer(&f->i, 0);
	assert_int_equal(f->i.g->faults, 1);
	assert_string_equal(state_of(f).label, "off");
	icguest_pass(&f->i, 100 * IC_NS_PER_S);
	vmguest_close(&f->i.ch);
	icguest_open(&f->i);
	start(f);
	answer(f, 0, "OSName", "x", 0);
}

static void decoder_checks_each_length(void **state)
{
	static uint8_t body[2580];
	static char key[KVP_KEY_TEXT_MAX], value[KVP_VALUE_TEXT_MAX];

	(void)state;
	fill(body, IC_KVP_STRING, "key", "value");
	for (size_t len = 0; len < 532 + 12; len++)
		assert_int_equal(kvp_decode(body, len, key, value), -EPROTO);
	assert_int_equal(kvp_decode(body, 532 + 12, key, value), 0);
	assert_string_equal(key, "key");
	assert_string_equal(value, "value");
	le32_store(body + 12, 514);
	assert_int_equal(kvp_decode(body, sizeof(body), key, value), -EPROTO);
	le32_store(body + 12, 7);
	assert_int_equal(kvp_decode(body, sizeof(body), key, value), -EPROTO);
	le32_store(body + 12, 8);
	le32_store(body + 16, 2049);
	assert_int_equal(kvp_decode(body, sizeof(body), key, value), -EPROTO);
}

static void decoder_fits_the_longest_texts(void **state)
{
	static uint8_t body[2580];
	static char key[KVP_KEY_TEXT_MAX], value[KVP_VALUE_TEXT_MAX];

	(void)state;
	memset(body, 0xEE, sizeof(body)); /* three bytes of UTF-8 each, and no NUL */
	le32_store(body + 8, IC_KVP_STRING);
	le32_store(body + 12, 512);
	le32_store(body + 16, 2048);
	assert_int_equal(kvp_decode(body, sizeof(body), key, value), 0);
	assert_int_equal(strlen(key), 768);
	assert_int_equal(strlen(value), 3072);
}

static void decoder_turns_numbers_into_text(void **state)
{
	static uint8_t body[2580];
	static char key[KVP_KEY_TEXT_MAX], value[KVP_VALUE_TEXT_MAX];

	(void)state;
	fill(body, IC_KVP_U32, "k", "");
	le32_store(body + 532, UINT32_MAX);
	le32_store(body + 16, 4);
	assert_int_equal(kvp_decode(body, sizeof(body), key, value), 0);
	assert_string_equal(value, "4294967295");
	le32_store(body + 16, 3);
	assert_int_equal(kvp_decode(body, sizeof(body), key, value), -EPROTO);
	le32_store(body + 8, IC_KVP_U64);
	le64_store(body + 532, UINT64_MAX);
	le32_store(body + 16, 8);
	assert_int_equal(kvp_decode(body, sizeof(body), key, value), 0);
	assert_string_equal(value, "18446744073709551615");
	le32_store(body + 16, 7);
	assert_int_equal(kvp_decode(body, sizeof(body), key, value), -EPROTO);
}

/* ---- saved states ---- */

/* The one whose record others read. */
static struct fixture *saved;

static void record(void *device, struct record *r)
{
	kvp_record(((struct fixture *)device)->kvp, r);
}

static void *make(void)
{
	struct fixture *f = icguest_elsewhere(sizeof(*f));

	assert_int_equal(kvp_new(&f->i.env, &f->kvp), 0);
	return f;
}

static void drop(void *device)
{
	struct fixture *f = device;

	kvp_free(f->kvp);
	icguest_forget(&f->i);
}

static void drive(void *device)
{
	static const struct guid type = IC_KVP_TYPE;

	icguest_drive(&((struct fixture *)device)->i, &saved->i, &type, IC_VERSION(4, 0));
}

/* A walk whose second question is not answered, and changes that wait for it. */
static void make_rich(struct fixture *f)
{
	saved = f;
	start(f);
	answer(f, 0, "OSName", "Debian", 0);
	assert_int_equal(kvp_change(f->kvp, IC_KVP_POOL_EXTERNAL, "a", "1"), 0);
	assert_int_equal(kvp_change(f->kvp, IC_KVP_POOL_PARAMETERS, "b", ""), 0);
	assert_int_equal(kvp_change(f->kvp, IC_KVP_POOL_GUEST, "c", NULL), 0);
}

static void take_the_three(struct fixture *f)
{
	take_change(f, IC_KVP_SET, IC_KVP_POOL_EXTERNAL, "a", "1", 0);
	take_change(f, IC_KVP_SET, IC_KVP_POOL_PARAMETERS, "b", "", 0);
	take_change(f, IC_KVP_DELETE, IC_KVP_POOL_GUEST, "c", NULL, 0);
	answer(f, 0, "OSName", "new", 0);
	answer(f, 1, NULL, NULL, IC_STATUS_NO_MORE_ITEMS);
	end_walk(f);
	assert_string_equal(kvp_get(f->kvp, IC_KVP_POOL_AUTO, "OSName"), "new");
	assert_int_equal(state_of(f).changes_made, 3);
	assert_int_equal(f->i.g->faults, 0);
}

static void changes_that_wait_are_made_after_a_restore(void **state)
{
	struct fixture *f = *state, *to = make();

	make_rich(f);
	statetest_same(record, f, to);
	icguest_go_on(&to->i, &f->i);
	assert_int_equal(state_of(to).changes_waiting, 3);
	answer(to, 1, "Other", "x", 0); /* the question of the walk before */
	take_the_three(to);
	drop(to);
}

static void a_change_that_is_under_way_is_not_made_twice(void **state)
{
	struct fixture *f = *state, *to = make();

	make_rich(f);
	answer(f, 1, "Other", "x", 0);
	assert_string_equal(state_of(f).label, "changing");
	statetest_same(record, f, to);
	icguest_go_on(&to->i, &f->i);
	take_the_three(to);
	drop(to);
}

static void a_walk_begins_anew_after_a_restore(void **state)
{
	struct fixture *f = *state, *to = make();

	start(f);
	answer(f, 0, "OSName", "old", 0);
	answer(f, 1, "Other", "x", 0);
	statetest_same(record, f, to);
	icguest_go_on(&to->i, &f->i);
	answer(to, 2, "Third", "x", 0);
	answer(to, 0, "OSName", "new", 0);
	answer(to, 1, NULL, NULL, IC_STATUS_NO_MORE_ITEMS);
	end_walk(to);
	assert_int_equal(state_of(to).entries, 1);
	assert_string_equal(kvp_get(to->kvp, IC_KVP_POOL_AUTO, "OSName"), "new");
	icguest_pass(&to->i, KVP_PERIOD_NS);
	answer(to, 0, NULL, NULL, IC_STATUS_NO_MORE_ITEMS);
	end_walk(to);
	drop(to);
}

static void one_that_rested_walks_at_once_after_a_restore(void **state)
{
	struct fixture *f = *state, *to = make();

	start(f);
	answer(f, 0, NULL, NULL, IC_STATUS_NO_MORE_ITEMS);
	end_walk(f);
	statetest_same(record, f, to);
	icguest_go_on(&to->i, &f->i);
	assert_false(icguest_take(&to->i));
	icguest_pass(&to->i, 0);
	answer(to, 0, "OSName", "x", 0);
	answer(to, 1, NULL, NULL, IC_STATUS_NO_MORE_ITEMS);
	end_walk(to);
	assert_int_equal(state_of(to).walks, 1);
	drop(to);
}

static void the_most_and_longest_changes_come_back(void **state)
{
	static char value[1024], key[256];
	struct fixture *f = *state, *to = make();

	start(f);
	memset(value, 'v', sizeof(value) - 1);
	memset(key, 'k', sizeof(key) - 1);
	for (unsigned i = 0; i < KVP_CHANGES_MAX; i++)
		assert_int_equal(kvp_change(f->kvp, IC_KVP_POOL_EXTERNAL, key, value), 0);
	statetest_same(record, f, to);
	assert_int_equal(kvp_change(to->kvp, IC_KVP_POOL_EXTERNAL, "k", "v"), -ENOSPC);
	drop(to);
}

static void a_record_that_is_wrong_changes_nothing(void **state)
{
	struct fixture *f = *state;

	make_rich(f);
	statetest_cut(record, f, make, drop);
	statetest_more(record, f, make, drop);
	statetest_flip(record, f, make, drop, drive);
	answer(f, 1, "Other", "x", 0); /* and while the changes are under way */
	statetest_cut(record, f, make, drop);
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
	refuses("state", "\3", 1, "walk");
	refuses("walk", "\0", 1, "walk");
	refuses("walk", "\1", 1, "walk");
	refuses("walk", "\4", 1, "'walk' is 4");
	refuses("changes", "\x11", 1, "'changes' is 17");
	refuses("pool", "\2", 1, "nobody may change");
	refuses("pool", "\4", 1, "'pool' is 4");
	refuses("key", "\0", 1, "key of a change");
	refuses("value", "\0", 1, "value of a change");
}

static void a_change_of_no_key_or_a_long_one_is_refused(void **state)
{
	static const uint8_t name[] = {3, 'k', 'e', 'y', RECORD_BYTES, 1, 0, 0, 0, 'a'};
	struct fixture *f = *state;
	uint8_t bytes[4096], longer[8192];
	char wrong[RECORD_WRONG_MAX];
	size_t len, at = 0;

	make_rich(f);
	len = statetest_write(record, f, bytes, sizeof(bytes));
	while (memcmp(bytes + at, name, sizeof(name)) != 0)
		at++;
	at += sizeof(name);
	for (unsigned n = 0; n <= 512; n += 256) { /* characters, of which 255 fit */
		struct fixture *to = make();

		memcpy(longer, bytes, at - 1);
		le32_store(longer + at - 5, n);
		memset(longer + at - 1, 'k', n);
		memcpy(longer + at - 1 + n, bytes + at, len - at);
		assert_true(statetest_read(record, to, longer, len - 1 + n, wrong) < 0);
		assert_non_null(strstr(wrong, n == 0     ? "nobody may change"
					      : n == 256 ? "key of a change"
							 : "more than 511"));
		assert_int_equal(state_of(to).changes_waiting, 0);
		drop(to);
	}
}

/* A service that is made, reads the record, and goes. */
static int read_once(void *ctx)
{
	struct fixture *f = ctx;
	static uint8_t bytes[4096];
	static size_t len;
	struct record r;
	struct kvp *kvp;
	int e;

	if (!len)
		len = statetest_write(record, saved, bytes, sizeof(bytes));
	e = kvp_new(&f->i.env, &kvp);
	if (e < 0)
		return e;
	r = record_reader(1, bytes, len);
	kvp_record(kvp, &r);
	kvp_free(kvp);
	return record_end(&r) < 0 ? -ENOMEM : 0;
}

static void a_record_without_memory_is_refused(void **state)
{
	struct fixture *f = *state, *to = make();

	make_rich(f);
	assert_int_equal(read_once(to), 0);
	assert_true(failheap_sweep(read_once, to) > 5);
	drop(to);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_walk_collects_all_pairs),
		CASE(walks_repeat_and_replace_the_pairs),
		CASE(a_failed_walk_leaves_the_last_pairs),
		CASE(an_absent_daemon_means_one_waiting_request),
		CASE(closing_the_channel_forgets_the_pairs),
		CASE(a_guest_that_never_ends_is_cut_off),
		CASE(long_texts_are_bounded_by_the_table),
		CASE(values_of_unknown_type_are_left_out_but_counted),
		CASE(each_pool_has_pairs_of_its_own),
		CASE(changes_come_in_order_and_before_the_next_walk),
		CASE(a_change_interrupts_a_walk_which_begins_anew),
		CASE(changes_that_cannot_be_are_refused),
		CASE(the_longest_change_arrives_whole),
		CASE(wild_sizes_fault_the_channel),
		cmocka_unit_test(decoder_checks_each_length),
		cmocka_unit_test(decoder_fits_the_longest_texts),
		cmocka_unit_test(decoder_turns_numbers_into_text),
		CASE(changes_that_wait_are_made_after_a_restore),
		CASE(a_change_that_is_under_way_is_not_made_twice),
		CASE(a_walk_begins_anew_after_a_restore),
		CASE(one_that_rested_walks_at_once_after_a_restore),
		CASE(the_most_and_longest_changes_come_back),
		CASE(a_record_that_is_wrong_changes_nothing),
		CASE(a_record_that_cannot_be_is_refused),
		CASE(a_change_of_no_key_or_a_long_one_is_refused),
		CASE(a_record_without_memory_is_refused),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
