/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The guest's RAM: its place around the gap, what clears it, and what the host cannot give. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#undef fail /* lib/fail.h has one of its own */
#include <string.h>

#include "abi/machine.h"
#include "base/util.h"
#include "worker/memory.h"

#define GIB (UINT64_C(1) << 30)

static void memory_lies_on_both_sides_of_the_gap(void **state)
{
	struct config config = {.memory_bytes = 4 * GIB};
	struct failure f;
	struct memory m;

	(void)state;
	assert_int_equal(memory_init(&m, &config, &f), 0);
	assert_int_equal(m.gmem.count, 2);
	assert_int_equal(m.gmem.region[0].len, 3 * GIB);
	assert_int_equal(m.gmem.region[1].gpa, MACHINE_HIGH_RAM);
	assert_int_equal(m.gmem.region[1].len, GIB);
	assert_ptr_equal(m.gmem.region[1].hva, m.base + 3 * GIB);
	memory_done(&m);
	memory_done(&m);
}

static void cleared_memory_reads_as_zeros(void **state)
{
	static const enum config_pages kinds[] = {PAGES_TRANSPARENT, PAGES_4K};
	struct failure f;
	struct memory m;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		struct config config = {.memory_bytes = 64 << 20, .memory_pages = kinds[i]};

		assert_int_equal(memory_init(&m, &config, &f), 0);
		memset(m.base + 4096, 0x55, 8192);
		assert_int_equal(memory_clear(&m), 0);
		assert_int_equal(m.base[4096] | m.base[12287], 0);
		memory_done(&m);
	}
}

/* More than any pool has. */
static void a_short_pool_is_told_with_what_sets_it(void **state)
{
	struct config config = {.memory_bytes = GIB << 12, .memory_pages = PAGES_2M};
	struct failure f = {""};
	struct memory m;

	(void)state;
	assert_true(memory_init(&m, &config, &f) < 0);
	assert_non_null(strstr(f.text, "in pages of 2 MiB: "));
	assert_true(strstr(f.text, "2097152 are needed and ") || strstr(f.text, "no such pages"));
	assert_int_equal(m.fd, -1);
	config.memory_pages = PAGES_1G;
	assert_true(memory_init(&m, &config, &f) < 0);
	assert_non_null(strstr(f.text, "in pages of 1 GiB: "));
}

static void a_node_that_the_host_has_not_is_told(void **state)
{
	struct config config = {
		.memory_bytes = 64 << 20,
		.node_count = 1,
		.node = {{.memory_bytes = 64 << 20, .cpus = 1, .host_node = 1000}},
	};
	struct failure f = {""};
	struct memory m;

	(void)state;
	assert_true(memory_init(&m, &config, &f) < 0);
	assert_non_null(
		strstr(f.text, "cannot place the memory of node 0 on the host's node 1000"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_lies_on_both_sides_of_the_gap),
		cmocka_unit_test(cleared_memory_reads_as_zeros),
		cmocka_unit_test(a_short_pool_is_told_with_what_sets_it),
		cmocka_unit_test(a_node_that_the_host_has_not_is_told),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
