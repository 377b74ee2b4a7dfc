/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Records of a cluster: encoded and decoded, and made of the engine's alerts. */
#include "host/record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#undef fail /* lib/fail.h has one of its own */
#include <errno.h>
#include <string.h>

#include "base/util.h"

#define AT "timestamp_epoch=1764370000\0timestamp_usec=5\0"
#define ALERT(text, to, f) record_of_alert(text, sizeof(text) - 1, to, f)
#define FENCING(words, rc) "kind=fencing\0node=n2\0desc=" words "\0rc=" rc "\0" AT

static void a_record_comes_back_from_its_encoding(void **state)
{
	struct record r = {.at_us = 1764370000000005,
			   .kind = RECORD_NOT_STARTED,
			   .host = "n1",
			   .by = "n2",
			   .vm = "web",
			   .why = "its disk is not there"};
	struct record back;
	struct failure f;
	json_t *object = record_to_json(&r);

	(void)state;
	assert_int_equal(record_of_json(object, &back, &f), 0);
	assert_memory_equal(&r.at_us, &back.at_us, sizeof(r.at_us));
	assert_int_equal(back.kind, r.kind);
	assert_string_equal(back.by, "n2");
	assert_string_equal(back.vm, "web");
	assert_string_equal(back.why, r.why);
	json_decref(object);
}

static void what_is_no_record_is_refused(void **state)
{
	static const char *const texts[] = {
		"[]",
		"{}",
		"{\"at_us\": 0, \"kind\": \"left\", \"host\": \"n1\"}",
		"{\"at_us\": 9007199254740993, \"kind\": \"left\", \"host\": \"n1\"}",
		"{\"at_us\": 1, \"kind\": \"else\", \"host\": \"n1\"}",
		"{\"at_us\": 1, \"kind\": \"left\"}",
		"{\"at_us\": 1, \"kind\": \"left\", \"host\": \"../n1\"}",
		"{\"at_us\": 1, \"kind\": \"left\", \"host\": \"n1\", \"vm\": \"web\"}",
		"{\"at_us\": 1, \"kind\": \"started\", \"host\": \"n1\"}",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		json_t *object = json_loads(texts[i], 0, NULL);
		struct failure f = {""};
		struct record r;

		assert_int_equal(record_of_json(object, &r, &f), -EINVAL);
		assert_true(f.text[0]);
		json_decref(object);
	}
}

static void words_are_cut_between_characters(void **state)
{
	struct record r = {.why = ""};
	char words[RECORD_WHY_MAX + 2];

	(void)state;
	memset(words, 'a', sizeof(words));
	words[RECORD_WHY_MAX - 1] = (char)0xc3;
	words[RECORD_WHY_MAX] = (char)0xa9;
	words[RECORD_WHY_MAX + 1] = '\0';
	record_set_why(&r, words);
	assert_int_equal(strlen(r.why), RECORD_WHY_MAX - 1);
	words[RECORD_WHY_MAX - 1] = '\0';
	record_set_why(&r, words);
	assert_int_equal(strlen(r.why), RECORD_WHY_MAX - 1);
}

static void alerts_of_hosts_and_fencing_are_records(void **state)
{
	struct failure f;
	struct record r;

	(void)state;
	assert_int_equal(ALERT("kind=node\0node=n2\0desc=lost\0" AT, &r, &f), 0);
	assert_int_equal(r.kind, RECORD_LEFT);
	assert_string_equal(r.host, "n2");
	assert_true(r.at_us == INT64_C(1764370000000005));
	assert_int_equal(ALERT("kind=node\0node=n2\0desc=member\0" AT, &r, &f), 0);
	assert_int_equal(r.kind, RECORD_BACK);
	assert_int_equal(
		ALERT(FENCING("Operation reboot of n2 by n1 for x.17@n3: OK (ref=6)", "0"), &r, &f),
		0);
	assert_int_equal(r.kind, RECORD_FENCED);
	assert_string_equal(r.by, "n1");
	assert_string_equal(r.why, "");
	assert_int_equal(
		ALERT(FENCING("Operation off of n2 by <no-one> for x.17@n3: No data (ref=6)", "61"),
		      &r, &f),
		0);
	assert_int_equal(r.kind, RECORD_NOT_FENCED);
	assert_string_equal(r.by, "");
	assert_string_equal(r.why, "No data");
}

static void other_alerts_are_none_and_broken_ones_are_refused(void **state)
{
	struct failure f;
	struct record r;

	(void)state;
	assert_int_equal(ALERT("kind=node\0node=n2\0desc=else\0" AT, &r, &f), -ENOENT);
	assert_int_equal(ALERT("kind=resource\0node=n2\0desc=ok\0" AT, &r, &f), -ENOENT);
	assert_int_equal(ALERT(FENCING("Operation on of n2 by n1 for x@n3: OK", "0"), &r, &f),
			 -ENOENT);
	assert_int_equal(ALERT("", &r, &f), -EINVAL);
	assert_int_equal(ALERT("kind=node", &r, &f), -EINVAL);
	assert_int_equal(ALERT("kind=node\0node=n2\0desc=lost\0", &r, &f), -EINVAL);
	assert_int_equal(ALERT("kind=node\0node=a b\0desc=lost\0" AT, &r, &f), -EINVAL);
	assert_int_equal(
		ALERT("kind=node\0node=n2\0desc=lost\0timestamp_epoch=99999999999999\0", &r, &f),
		-EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_record_comes_back_from_its_encoding),
		cmocka_unit_test(what_is_no_record_is_refused),
		cmocka_unit_test(words_are_cut_between_characters),
		cmocka_unit_test(alerts_of_hosts_and_fencing_are_records),
		cmocka_unit_test(other_alerts_are_none_and_broken_ones_are_refused),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
