/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the fence agent is told. */
#include "cluster/fence/options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#undef fail /* lib/fail.h has one of its own */
#include <errno.h>
#include <string.h>

static struct options o;
static struct failure f;

static int fresh(void **state)
{
	(void)state;
	options_init(&o);
	return 0;
}

static void lines_of_the_engine_are_taken_and_its_own_are_passed_over(void **state)
{
	char text[] = "# fence\naction=off\nnodename=n2\npcmk_host_map=x\nrubbish\n"
		      "devices=/dev/b,/dev/a\ncluster=6ba7b810-9dad-11d1-80b4-00c04fd430c8\n"
		      "nodes=n1:1;n2:2\ntimeout=7\n";
	unsigned number;

	(void)state;
	assert_int_equal(options_read(&o, text, &f), 0);
	assert_string_equal(o.action, "off");
	assert_string_equal(o.nodename, "n2");
	assert_int_equal(o.timeout_s, 7);
	assert_int_equal(o.devices, 2);
	assert_string_equal(o.device[0], "/dev/a"); /* one order on all hosts */
	assert_int_equal(options_number(&o, "n2", &number, &f), 0);
	assert_int_equal(number, 2);
	assert_int_equal(options_number(&o, "9", &number, &f), 0);
	assert_int_equal(number, 9);
	assert_int_equal(options_number(&o, "n3", &number, &f), -EINVAL);
	assert_int_equal(options_check(&o, &f), 0);
}

static void values_that_make_no_sense_are_refused(void **state)
{
	static const struct {
		const char *name, *value;
		int r;
	} wrong[] = {
		{"timeout", "0", -EINVAL},        {"timeout", "5s", -EINVAL},
		{"timeout", "-1", -EINVAL},       {"timeout", "99999999999999999999", -EINVAL},
		{"cluster", "x", -EINVAL},        {"nodes", "n1", -EINVAL},
		{"nodes", "n1:0", -EINVAL},       {"nodes", "n1:65536", -EINVAL},
		{"nodes", "n1:1;n1:2", -EINVAL},  {"nodes", "n1:1;n2:1", -EINVAL},
		{"nodes", ":1", -EINVAL},         {"devices", "", -EINVAL},
		{"no-such-option", "1", -ENOENT},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		f.text[0] = '\0';
		assert_int_equal(options_set(&o, wrong[i].name, wrong[i].value, &f), wrong[i].r);
		assert_true(f.text[0]);
	}
	assert_int_equal(options_check(&o, &f), -EINVAL);
}

static void lists_have_an_end(void **state)
{
	char list[OPTIONS_VALUE_MAX + 2];

	(void)state;
	memset(list, 'a', sizeof(list));
	list[sizeof(list) - 1] = '\0';
	assert_int_equal(options_set(&o, "devices", list, &f), -EINVAL);
	list[UNIT_NAME_MAX] = '\0';
	assert_int_equal(options_set(&o, "devices", list, &f), -EINVAL);
	for (unsigned i = 0; i <= OPTIONS_DEVICES_MAX; i++)
		memcpy(list + 2 * i, "a,", 3);
	assert_int_equal(options_set(&o, "devices", list, &f), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup(name, fresh)
		TEST(lines_of_the_engine_are_taken_and_its_own_are_passed_over),
		TEST(values_that_make_no_sense_are_refused),
		TEST(lists_have_an_end),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
