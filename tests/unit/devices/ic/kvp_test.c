/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Key-value pairs: the walk, its bounds, and the decoder. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "devices/ic/kvp.h"
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
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
