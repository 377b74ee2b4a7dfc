/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The log of a cluster: told once, in order, with causes. */
#include "host/story.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#undef fail /* lib/fail.h has one of its own */
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

#define T INT64_C(1764370000000000)
#define MS INT64_C(1000)

static const struct record failover[] = {
	{.at_us = T + 400 * MS, .kind = RECORD_STARTED, .host = "n3", .by = "n2", .vm = "web"},
	{.at_us = T + 10 * MS, .kind = RECORD_LEFT, .host = "n2"}, /* as n1 saw it, and n3 */
	{.at_us = T, .kind = RECORD_LEFT, .host = "n2"},
	{.at_us = T + 80 * MS, .kind = RECORD_FENCED, .host = "n2", .by = "n1"},
	{.at_us = T + 90 * MS, .kind = RECORD_FENCED, .host = "n2", .by = "n1"},
	{.at_us = T + 2400 * MS, .kind = RECORD_STARTED, .host = "n1", .by = "n2", .vm = "db"},
	{.at_us = T + 60000 * MS, .kind = RECORD_BACK, .host = "n2"},
};

/* The sentences of these records, which may be in any order. */
static json_t *tell(const struct record *records, size_t count, int64_t since_us)
{
	struct record copy[32];

	assert_true(count <= ARRAY_LEN(copy));
	memcpy(copy, records, count * sizeof(*records));
	return story_tell(copy, count, since_us);
}

static const char *text_at(const json_t *list, size_t at)
{
	return json_string_value(json_object_get(json_array_get(list, at), "text"));
}

static void a_failover_is_told_once_in_order_with_its_cause_and_times(void **state)
{
	json_t *list = tell(failover, ARRAY_LEN(failover), 0), *cause;

	(void)state;
	assert_int_equal(json_array_size(list), 5);
	assert_string_equal(text_at(list, 0), "n2 left: no token for 1.0 s");
	assert_string_equal(text_at(list, 1), "n2 was fenced by n1, 80 ms after it had left");
	assert_string_equal(text_at(list, 2),
			    "web started on n3, 0.4 s after n2 had left: no token "
			    "for 1.0 s; fenced by n1 in 80 ms");
	assert_string_equal(text_at(list, 3), "db started on n1, 2.4 s after n2 had left: no token "
					      "for 1.0 s; fenced by n1 in 80 ms");
	assert_string_equal(text_at(list, 4), "n2 is there");
	cause = json_object_get(json_array_get(list, 2), "cause");
	assert_true(json_integer_value(json_object_get(cause, "fenced_us")) == T + 80 * MS);
	json_decref(list);
}

static void what_is_older_is_not_told_and_is_a_cause_all_the_same(void **state)
{
	json_t *list = tell(failover, ARRAY_LEN(failover), T + 400 * MS);

	(void)state;
	assert_int_equal(json_array_size(list), 2);
	assert_non_null(strstr(text_at(list, 0), "db started on n1, 2.4 s after n2 had left"));
	json_decref(list);
}

static void a_host_that_is_not_fenced_has_left_in_order(void **state)
{
	static const struct record records[] = {
		{.at_us = T, .kind = RECORD_LEFT, .host = "n2"},
		{.at_us = T + 30000 * MS, .kind = RECORD_BACK, .host = "n2"},
		{.at_us = T + 31000 * MS, .kind = RECORD_FENCED, .host = "n2"},
		{.at_us = T + 32000 * MS, .kind = RECORD_LEFT, .host = "n2"},
	};
	json_t *list = tell(records, ARRAY_LEN(records), 0);

	(void)state;
	assert_string_equal(text_at(list, 0), "n2 left the cluster");
	assert_string_equal(text_at(list, 2), "n2 was fenced by the engine");
	assert_string_equal(text_at(list, 3), "n2 left: it was fenced");
	json_decref(list);
}

static void fencing_that_fails_is_told_again_when_it_succeeds(void **state)
{
	static const struct record records[] = {
		{.at_us = T, .kind = RECORD_LEFT, .host = "n2"},
		{.at_us = T + 100 * MS, .kind = RECORD_NOT_FENCED, .host = "n2", .why = "No data"},
		{.at_us = T + 200 * MS, .kind = RECORD_NOT_FENCED, .host = "n2", .why = "No data"},
		{.at_us = T + 9000 * MS, .kind = RECORD_FENCED, .host = "n2", .by = "n1"},
	};
	json_t *list = tell(records, ARRAY_LEN(records), 0);

	(void)state;
	assert_int_equal(json_array_size(list), 3);
	assert_non_null(strstr(text_at(list, 0), "no token"));
	assert_non_null(strstr(text_at(list, 1), "n2 could not be fenced: No data"));
	assert_string_equal(text_at(list, 2), "n2 was fenced by n1, 9.0 s after it had left");
	json_decref(list);
}

static void a_start_says_what_the_vm_did_before(void **state)
{
	static const struct record records[] = {
		{.at_us = T, .kind = RECORD_STARTED, .host = "n1", .vm = "web"},
		{.at_us = T + 1000 * MS,
		 .kind = RECORD_ENDED,
		 .host = "n1",
		 .vm = "web",
		 .why = "it"},
		{.at_us = T + 2000 * MS, .kind = RECORD_NOT_STARTED, .host = "n1", .vm = "web"},
		{.at_us = T + 3000 * MS, .kind = RECORD_STARTED, .host = "n1", .vm = "web"},
		{.at_us = T + 4000 * MS, .kind = RECORD_STOPPED, .host = "n1", .vm = "web"},
		{.at_us = T + 4050 * MS, .kind = RECORD_STARTED, .host = "n2", .vm = "web"},
		{.at_us = T + 5000 * MS,
		 .kind = RECORD_STARTED,
		 .host = "n2",
		 .by = "n9",
		 .vm = "db"},
		{.at_us = T + 6000 * MS, .kind = RECORD_CAME, .host = "n1", .vm = "db"},
	};
	json_t *list = tell(records, ARRAY_LEN(records), 0);

	(void)state;
	assert_string_equal(text_at(list, 0), "web started on n1");
	assert_string_equal(text_at(list, 1), "web ended on n1: it");
	assert_string_equal(text_at(list, 3),
			    "web started on n1, 2.0 s after it had ended on n1: it");
	assert_string_equal(text_at(list, 4), "web was stopped on n1");
	assert_string_equal(text_at(list, 5),
			    "web started on n2, 50 ms after it was stopped on n1");
	assert_string_equal(text_at(list, 6), "db started on n2; it was on n9, which is off");
	assert_string_equal(text_at(list, 7), "db has come to n1 as it ran");
	json_decref(list);
}

static void of_too_many_the_newest_are_told(void **state)
{
	size_t count = STORY_RECORDS_MAX + 3;
	struct record *records = calloc(count, sizeof(*records));
	json_t *list;

	(void)state;
	assert_non_null(records);
	for (size_t i = 0; i < count; i++) {
		records[i] = (struct record){
			.at_us = T + (int64_t)i, .kind = RECORD_STARTED, .host = "n1", .vm = "web"};
	}
	list = story_tell(records, count, 0);
	assert_int_equal(json_array_size(list), STORY_RECORDS_MAX);
	assert_true(json_integer_value(json_object_get(json_array_get(list, 0), "at_us")) == T + 3);
	json_decref(list);
	free(records);
	list = story_tell(NULL, 0, 0);
	assert_int_equal(json_array_size(list), 0);
	json_decref(list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_failover_is_told_once_in_order_with_its_cause_and_times),
		cmocka_unit_test(what_is_older_is_not_told_and_is_a_cause_all_the_same),
		cmocka_unit_test(a_host_that_is_not_fenced_has_left_in_order),
		cmocka_unit_test(fencing_that_fails_is_told_again_when_it_succeeds),
		cmocka_unit_test(a_start_says_what_the_vm_did_before),
		cmocka_unit_test(of_too_many_the_newest_are_told),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
