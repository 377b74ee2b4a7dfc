/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How sizes, disks and NICs are written, and what they become. */
#include "cli/values.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

static void becomes(json_t *got, const char *expected)
{
	json_t *wanted = json_loads(expected, 0, NULL);

	assert_non_null(wanted);
	if (!json_equal(got, wanted)) {
		char *text = json_dumps(got, JSON_COMPACT);

		fail_msg("it became %s", text);
	}
	json_decref(wanted);
	json_decref(got);
}

static void sizes_have_units(void **state)
{
	struct failure f;
	json_int_t mib = 0;

	(void)state;
	assert_int_equal(value_memory("512M", &mib, &f), 0);
	assert_int_equal(mib, 512);
	assert_int_equal(value_memory("4G", &mib, &f), 0);
	assert_int_equal(mib, 4096);
	assert_int_equal(value_size("2T", &mib, &f), 0);
	assert_int_equal(mib, 2 * 1024 * 1024);
	assert_int_equal(value_memory("4194303G", &mib, &f), 0);
}

static void what_is_no_size_is_refused(void **state)
{
	static const char *const bad[] = {
		"",   "M",   "-1G", "+1G", " 1G",  "0x1G", "1",
		"1K", "1GB", "1g",  "1 G", "1.5G", "1T",   "99999999999999999999G"};
	struct failure f;
	json_int_t mib = 7;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(value_memory(bad[i], &mib, &f), -EINVAL);
	assert_int_equal(mib, 7);
	assert_int_equal(value_memory("1X", &mib, &f), -EINVAL);
	assert_string_equal(f.text, "'1X' is no size: M and G are its units");
	assert_int_equal(value_size("1X", &mib, &f), -EINVAL);
	assert_string_equal(f.text, "'1X' is no size: M, G and T are its units");
	assert_int_equal(value_size("4096T", &mib, &f), -EINVAL);
	assert_string_equal(f.text, "'4096T' is more than any VM can have");
}

static void a_size_is_told_from_the_name_of_a_file(void **state)
{
	(void)state;
	assert_true(value_is_size("20G"));
	assert_true(value_is_size("1T"));
	assert_false(value_is_size("20"));
	assert_false(value_is_size("20G.raw"));
	assert_false(value_is_size("./20G"));
	assert_false(value_is_size("G"));
	assert_false(value_is_size(""));
}

static void a_disk_has_options_behind_its_file(void **state)
{
	struct failure f;
	json_t *unit;

	(void)state;
	assert_int_equal(value_unit("a.raw", false, "file", &unit, &f), 0);
	becomes(unit, "{\"file\": \"a.raw\"}");
	assert_int_equal(
		value_unit("a.raw,ro,cache=none,lun=3,on-error=report", false, "path", &unit, &f),
		0);
	becomes(unit, "{\"path\": \"a.raw\", \"read_only\": true, \"cache\": \"none\", "
		      "\"lun\": 3, \"on_error\": \"report\"}");
	assert_int_equal(value_unit("a,rw", false, "file", &unit, &f), -EINVAL);
	assert_string_equal(f.text, "a disk has no option 'rw'");
	assert_int_equal(value_unit("a,lun=x", false, "file", &unit, &f), -EINVAL);
	assert_int_equal(value_unit("\xff", false, "file", &unit, &f), -EINVAL);
	assert_string_equal(f.text, "the file is not UTF-8 text");
}

static void a_drive_can_be_empty(void **state)
{
	struct failure f;
	json_t *unit;

	(void)state;
	assert_int_equal(value_unit("a.iso,lun=1", true, "file", &unit, &f), 0);
	becomes(unit, "{\"type\": \"dvd\", \"file\": \"a.iso\", \"lun\": 1}");
	assert_int_equal(value_unit("empty", true, "file", &unit, &f), 0);
	becomes(unit, "{\"type\": \"dvd\"}");
}

static void a_nic_is_of_a_type_and_has_forwards(void **state)
{
	struct failure f;
	json_t *nic;

	(void)state;
	assert_int_equal(value_nic("user", &nic, &f), 0);
	becomes(nic, "{\"type\": \"user\"}");
	assert_int_equal(value_nic("user,forward=tcp:2222:22,forward=tcp:80:80", &nic, &f), 0);
	becomes(nic, "{\"type\": \"user\", \"forward\": [\"tcp:2222:22\", \"tcp:80:80\"]}");
	assert_int_equal(value_nic("tap=t0,mtu=9000,spoof-guard,mac=00:15:5d:00:00:01", &nic, &f),
			 0);
	becomes(nic,
		"{\"type\": \"tap\", \"ifname\": \"t0\", \"mtu\": 9000, \"spoof_guard\": true, "
		"\"mac\": \"00:15:5d:00:00:01\"}");
	assert_int_equal(value_nic("bridge", &nic, &f), -EINVAL);
	assert_string_equal(f.text, "a NIC has no option 'bridge'");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes_have_units),
		cmocka_unit_test(what_is_no_size_is_refused),
		cmocka_unit_test(a_size_is_told_from_the_name_of_a_file),
		cmocka_unit_test(a_disk_has_options_behind_its_file),
		cmocka_unit_test(a_drive_can_be_empty),
		cmocka_unit_test(a_nic_is_of_a_type_and_has_forwards),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
