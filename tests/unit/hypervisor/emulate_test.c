/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Stores to a page that cannot be written: how long they are, and what they store. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/util.h"
#include "hypervisor/decode.h"
#include "hypervisor/emulate.h"
#include "tests/unit/hypervisor/memory_fake.h"

#define PRESENT_WRITE UINT64_C(3)
#define CODE_AT (8u << 20)

static void stores_are_told_apart_with_their_lengths(void **state)
{
	static const struct {
		uint8_t bytes[12];
		unsigned len, reg;
		bool constant;
		uint32_t value;
	} known[] = {
		{{0x89, 0x07}, 2, 0, false, 0},                               /* mov %eax,(%rdi) */
		{{0x89, 0x37}, 2, 6, false, 0},                               /* mov %esi,(%rdi) */
		{{0x44, 0x89, 0x0f}, 3, 9, false, 0},                         /* mov %r9d,(%rdi) */
		{{0x89, 0x87, 0, 0xc0, 0x5f, 0xff}, 6, 0, false, 0},          /* ...(%rdi) */
		{{0x89, 0x04, 0x25, 0x80, 0xb0, 0x5f, 0xff}, 7, 0, false, 0}, /* absolute */
		{{0x89, 0x05, 1, 2, 3, 4}, 6, 0, false, 0},                   /* (%rip) */
		{{0x41, 0x89, 0x54, 0x24, 0x10}, 5, 2, false, 0},             /* 16(%r12) */
		{{0xc7, 0x07, 1, 2, 3, 4}, 6, 0, true, 0x04030201},
		{{0xc7, 0x04, 0x25, 0xb0, 0xb0, 0x5f, 0xff, 0, 0, 0, 0}, 11, 0, true, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		struct store s = store_decode(known[i].bytes, sizeof(known[i].bytes));

		assert_int_equal(s.len, known[i].len);
		assert_int_equal(s.constant, known[i].constant);
		assert_int_equal(s.constant ? s.value : s.reg,
				 known[i].constant ? known[i].value : known[i].reg);
		/* Cut short it is none, and nothing behind it is read. */
		for (unsigned len = 0; len < s.len; len++) {
			uint8_t *cut = malloc(len ? len : 1);

			assert_non_null(cut);
			memcpy(cut, known[i].bytes, len);
			assert_int_equal(store_decode(cut, len).len, 0);
			free(cut);
		}
	}
}

static void other_instructions_are_not_known(void **state)
{
	static const uint8_t other[][4] = {
		{0x8b, 0x07},             /* a load */
		{0x89, 0xc8},             /* between registers */
		{0x48, 0x89, 0x07},       /* of 64 bits */
		{0x66, 0x89, 0x07},       /* of 16 bits */
		{0xc7, 0x4f, 0x10, 0x00}, /* C7 /1 */
		{0x0f, 0x05},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(other); i++)
		assert_int_equal(store_decode(other[i], 4).len, 0);
}

/* Guest tables at 4 MiB: one page of code at a linear address, or the first of two. */
struct guest {
	struct npt npt;
	struct svm_vmcb v;
	struct cpu_registers r;
};

static int set_up(void **state)
{
	struct guest *g = calloc(1, sizeof(*g));
	uint64_t tables = 4u << 20;
	int r;

	*state = g;
	fake_ram = calloc(1, FAKE_BYTES);
	fake_pool_taken = 0;
	if (!g || !fake_ram || npt_init(&g->npt, fake_take, NULL) < 0)
		return -1;
	r = npt_map(&g->npt, 0, 0, PAGE_1G, NPT_WRITE);
	for (unsigned level = 0; level < 3; level++)
		le64_store(fake_ram + tables + level * 4096, (tables + (level + 1) * 4096) | 1);
	le64_store(fake_ram + tables + 3 * 4096, CODE_AT | PRESENT_WRITE);
	g->v.cr3 = tables;
	g->v.efer = EFER_LMA;
	g->v.cs.attributes = SVM_SEGMENT_LONG;
	g->v.rip = 0xffc;
	g->v.rax = 0x1122334455667788;
	g->r.r9 = 99;
	return r;
}

static int tear_down(void **state)
{
	free(fake_ram);
	free(*state);
	return 0;
}

static void the_instruction_is_read_through_both_tables(void **state)
{
	struct guest *g = *state;
	uint32_t value = 0;

	memcpy(fake_ram + CODE_AT + 0xffc, "\x89\x07\x44\x89", 4);
	assert_int_equal(emulate_store(&g->npt, &g->v, &g->r, &value), 2);
	assert_int_equal(value, 0x55667788);
	/* Over the end of the page: once nothing is there, once the rest. */
	g->v.rip = 0xffe;
	assert_int_equal(emulate_store(&g->npt, &g->v, &g->r, &value), 0);
	le64_store(fake_ram + (4u << 20) + 3 * 4096 + 8, (CODE_AT + 0x5000) | PRESENT_WRITE);
	fake_ram[CODE_AT + 0x5000] = 0x0f;
	assert_int_equal(emulate_store(&g->npt, &g->v, &g->r, &value), 3);
	assert_int_equal(value, 99);
}

static void tables_that_lead_nowhere_give_no_instruction(void **state)
{
	struct guest *g = *state;
	uint32_t value = 0;

	memcpy(fake_ram + CODE_AT + 0xffc, "\x89\x07", 2);
	g->v.cr3 = PAGE_1G; /* not mapped */
	assert_int_equal(emulate_store(&g->npt, &g->v, &g->r, &value), 0);
	g->v.cr3 = 4u << 20;
	le64_store(fake_ram + (4u << 20) + 4096, UINT64_C(0x000ffffffffff000) | 1);
	assert_int_equal(emulate_store(&g->npt, &g->v, &g->r, &value), 0);
	g->v.efer = 0; /* 64-bit mode only */
	assert_int_equal(emulate_store(&g->npt, &g->v, &g->r, &value), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stores_are_told_apart_with_their_lengths),
		cmocka_unit_test(other_instructions_are_not_known),
		TEST(the_instruction_is_read_through_both_tables),
		TEST(tables_that_lead_nowhere_give_no_instruction),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
