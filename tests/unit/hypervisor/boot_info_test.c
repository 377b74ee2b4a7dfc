/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The boot loader's tags: what is taken from them, and that a broken one is no more than an error.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/util.h"
#include "hypervisor/boot_info.h"

struct tags {
	uint8_t bytes[8192];
	size_t len;
};

static void begin(struct tags *t)
{
	memset(t, 0, sizeof(*t));
	t->len = 8;
}

/* A tag of `type` with its header filled in and a body. */
static void add(struct tags *t, uint32_t type, const void *body, size_t len)
{
	le32_store(t->bytes + t->len, type);
	le32_store(t->bytes + t->len + 4, (uint32_t)(8 + len));
	memcpy(t->bytes + t->len + 8, body, len);
	t->len += align_up(8 + len, 8);
}

static void add_module(struct tags *t, uint32_t start, uint32_t end, const char *line)
{
	uint8_t body[8 + 64] = {0};

	le32_store(body, start);
	le32_store(body + 4, end);
	strcpy((char *)body + 8, line);
	add(t, MULTIBOOT2_TAG_MODULE, body, 8 + strlen(line) + 1);
}

static void add_map(struct tags *t, unsigned entries)
{
	size_t len = 8 + entries * 24;
	uint8_t *body = calloc(1, len);

	assert_non_null(body);
	le32_store(body, 24);
	for (unsigned i = 0; i < entries; i++) {
		le64_store(body + 8 + i * 24, i * 0x1000);
		le64_store(body + 8 + i * 24 + 8, 0x800);
		le32_store(body + 8 + i * 24 + 16, 1 + i % 2);
	}
	add(t, MULTIBOOT2_TAG_MEMORY_MAP, body, len);
	free(body);
}

static void make(struct tags *t)
{
	uint64_t system_table = 0x7fee1000;
	const char old[20] = "RSD PTR old.", newer[36] = "RSD PTR newer";

	begin(t);
	add(t, MULTIBOOT2_TAG_COMMAND_LINE, "serial", 7);
	add_module(t, 0x100000, 0x900000, "root=/dev/vda quiet");
	add_module(t, 0x900000, 0xa00000, "");
	add_map(t, 3);
	add(t, MULTIBOOT2_TAG_EFI64, &system_table, 8);
	add(t, MULTIBOOT2_TAG_RSDP_OLD, old, sizeof(old));
	add(t, MULTIBOOT2_TAG_RSDP_NEW, newer, sizeof(newer));
	add(t, 77, "unknown", 7);
	add(t, MULTIBOOT2_TAG_END, "", 0);
}

static int decode(const struct tags *t, size_t len, struct boot_info *info)
{
	/* No byte more than told: a sanitizer sees what is read behind it. */
	uint8_t *copy = malloc(len ? len : 1);
	int r;

	assert_non_null(copy);
	memcpy(copy, t->bytes, len);
	r = boot_info_decode(copy, len, info);
	free(copy);
	return r;
}

static void what_the_loader_tells_is_taken(void **state)
{
	static struct boot_info info;
	struct tags t;

	(void)state;
	make(&t);
	assert_int_equal(decode(&t, t.len, &info), 0);
	assert_string_equal(info.line, "serial");
	assert_int_equal(info.module_count, 2);
	assert_int_equal(info.module[0].start, 0x100000);
	assert_int_equal(info.module[0].len, 0x800000);
	assert_string_equal(info.module[0].line, "root=/dev/vda quiet");
	assert_string_equal(info.module[1].line, "");
	assert_int_equal(info.range_count, 3);
	assert_int_equal(info.range[2].start, 0x2000);
	assert_int_equal(info.range[1].type, 2);
	assert_int_equal(info.efi_system_table, 0x7fee1000);
	assert_int_equal(info.rsdp_len, 36);
	assert_memory_equal(info.rsdp, "RSD PTR newer", 13);
}

static void tags_cut_at_any_byte_are_an_error(void **state)
{
	static struct boot_info info;
	struct tags t;

	(void)state;
	make(&t);
	for (size_t len = 0; len < t.len; len++)
		assert_int_equal(decode(&t, len, &info), -EBADMSG);
}

static void lengths_that_lie_are_an_error(void **state)
{
	static const uint32_t lengths[] = {0, 1, 7, 0x7fffffff, 0xfffffff8, 0xffffffff};
	static struct boot_info info;
	struct tags t;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
		make(&t);
		le32_store(t.bytes + 8 + 4, lengths[i]);
		assert_int_equal(decode(&t, t.len, &info), -EBADMSG);
	}
	begin(&t);
	add_module(&t, 0x2000, 0x1000, "ends before it starts");
	add(&t, MULTIBOOT2_TAG_END, "", 0);
	assert_int_equal(decode(&t, t.len, &info), -EBADMSG);
}

static void more_than_there_is_room_for_is_an_error(void **state)
{
	static struct boot_info info;
	char line[BOOT_LINE_MAX + 1];
	struct tags t;

	(void)state;
	begin(&t);
	add_map(&t, BOOT_RANGES_MAX);
	add(&t, MULTIBOOT2_TAG_END, "", 0);
	assert_int_equal(decode(&t, t.len, &info), 0);
	begin(&t);
	add_map(&t, BOOT_RANGES_MAX + 1);
	add(&t, MULTIBOOT2_TAG_END, "", 0);
	assert_int_equal(decode(&t, t.len, &info), -E2BIG);
	begin(&t);
	for (unsigned i = 0; i <= BOOT_MODULES_MAX; i++)
		add_module(&t, 0x1000, 0x2000, "");
	assert_int_equal(decode(&t, t.len, &info), -E2BIG);
	memset(line, 'x', sizeof(line));
	begin(&t);
	add(&t, MULTIBOOT2_TAG_COMMAND_LINE, line, sizeof(line));
	assert_int_equal(decode(&t, t.len, &info), -E2BIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_the_loader_tells_is_taken),
		cmocka_unit_test(tags_cut_at_any_byte_are_an_error),
		cmocka_unit_test(lengths_that_lie_are_an_error),
		cmocka_unit_test(more_than_there_is_room_for_is_an_error),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
