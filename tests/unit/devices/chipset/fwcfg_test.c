/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What firmware is told: items, the directory of files, reads behind the end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "devices/chipset/fwcfg.h"

#include <errno.h>

static struct fwcfg fw;

static int setup(void **state)
{
	(void)state;
	fwcfg_reset(&fw);
	return 0;
}

static void read_item(uint16_t key, void *to, size_t len)
{
	uint8_t *bytes = to;

	fwcfg_select(&fw, key);
	for (size_t i = 0; i < len; i++)
		bytes[i] = fwcfg_read(&fw);
}

static void it_tells_who_it_is(void **state)
{
	char text[5] = "";

	(void)state;
	read_item(0, text, 4);
	assert_string_equal(text, "QEMU");
	read_item(1, text, 4);
	assert_int_equal(text[0], 1);
}

static void files_are_found_by_the_directory(void **state)
{
	uint8_t directory[4 + 2 * 64];
	char text[8];

	(void)state;
	assert_int_equal(fwcfg_add_file(&fw, "etc/one", "first", 6), 0);
	assert_int_equal(fwcfg_add_file(&fw, "two", "second", 7), 0);
	read_item(0x19, directory, sizeof(directory));
	assert_int_equal(be32_load(directory), 2);
	assert_int_equal(be32_load(directory + 4 + 64), 7);
	assert_string_equal((const char *)directory + 4 + 64 + 8, "two");
	read_item(be16_load(directory + 4 + 64 + 4), text, 8);
	assert_string_equal(text, "second");
	assert_int_equal(text[7], 0);
}

static void what_is_not_there_reads_as_zeros(void **state)
{
	uint8_t bytes[2000];

	(void)state;
	read_item(0xFFFF, bytes, sizeof(bytes));
	read_item(0x19, bytes, sizeof(bytes));
	for (size_t i = 0; i < sizeof(bytes); i++)
		assert_int_equal(bytes[i], 0);
}

static void what_finds_no_room_is_refused(void **state)
{
	static const uint8_t large[FWCFG_BYTES_MAX];
	char name[FWCFG_NAME_MAX + 1];

	(void)state;
	memset(name, 'n', sizeof(name));
	name[FWCFG_NAME_MAX] = '\0';
	assert_int_equal(fwcfg_add_file(&fw, name, "", 1), -EINVAL);
	assert_int_equal(fwcfg_add(&fw, 5, large, sizeof(large)), -ENOSPC);
	for (unsigned i = 0; i < FWCFG_FILES_MAX; i++)
		assert_int_equal(fwcfg_add_file(&fw, "name", "x", 1), 0);
	assert_int_equal(fwcfg_add_file(&fw, "name", "x", 1), -ENOSPC);
}

#define CASE(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(it_tells_who_it_is),
		CASE(files_are_found_by_the_directory),
		CASE(what_is_not_there_reads_as_zeros),
		CASE(what_finds_no_room_is_refused),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
