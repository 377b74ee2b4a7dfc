/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The instruction that a processor is about to carry out, through its page tables of each mode. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "hypervisor/emulate.h"
#include "hypervisor/x86.h"
#include "tests/unit/hypervisor/memory_fake.h"

#define PRESENT_WRITE UINT64_C(3)
#define LARGE (1u << 7)
#define TABLES (4u << 20)
#define CODE_AT (8u << 20)

/* Guest tables at 4 MiB: one page of code at a linear address, or the first of two. */
struct guest {
	struct npt npt;
	struct svm_vmcb v;
};

static int set_up(void **state)
{
	struct guest *g = calloc(1, sizeof(*g));
	uint64_t tables = TABLES;
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
	g->v.cr0 = CR0_PE | CR0_PG;
	g->v.cs.attributes = SVM_SEGMENT_LONG;
	g->v.rip = 0xffc;
	return r;
}

static int tear_down(void **state)
{
	free(fake_ram);
	free(*state);
	return 0;
}

static unsigned len_at_rip(const struct guest *g)
{
	return emulate_access(&g->npt, &g->v).len;
}

static void the_instruction_is_read_through_both_tables(void **state)
{
	struct guest *g = *state;

	memcpy(fake_ram + CODE_AT + 0xffc, "\x89\x07\x44\x89", 4);
	assert_int_equal(len_at_rip(g), 2);
	/* Over the end of the page: once nothing is there, once the rest. */
	g->v.rip = 0xffe;
	assert_int_equal(len_at_rip(g), 0);
	le64_store(fake_ram + TABLES + 3 * 4096 + 8, (CODE_AT + 0x5000) | PRESENT_WRITE);
	fake_ram[CODE_AT + 0x5000] = 0x0f;
	assert_int_equal(len_at_rip(g), 3);
	assert_int_equal(emulate_access(&g->npt, &g->v).reg, 9);
}

static void tables_that_lead_nowhere_give_no_instruction(void **state)
{
	struct guest *g = *state;

	memcpy(fake_ram + CODE_AT + 0xffc, "\x89\x07", 2);
	g->v.cr3 = PAGE_1G; /* not mapped */
	assert_int_equal(len_at_rip(g), 0);
	g->v.cr3 = TABLES;
	le64_store(fake_ram + TABLES + 4096, UINT64_C(0x000ffffffffff000) | 1);
	assert_int_equal(len_at_rip(g), 0);
}

static void large_pages_end_the_walk(void **state)
{
	struct guest *g = *state;

	memcpy(fake_ram + CODE_AT + 0xffc, "\x89\x07", 2);
	le64_store(fake_ram + TABLES + 2 * 4096, CODE_AT | LARGE | PRESENT_WRITE);
	assert_int_equal(len_at_rip(g), 2);
}

static void modes_of_32_bits_have_tables_of_their_own(void **state)
{
	struct guest *g = *state;

	memcpy(fake_ram + CODE_AT + 0xffc, "\x89\x07", 2);
	g->v.efer = 0;
	g->v.cs.attributes = SVM_SEGMENT_32;
	g->v.cs.base = CODE_AT;
	/* Without paging. */
	g->v.cr0 = CR0_PE;
	assert_int_equal(len_at_rip(g), 2);
	/* Two levels of 4 bytes an entry; a page of 4 MiB where CR4 allows it. */
	g->v.cr0 |= CR0_PG;
	g->v.cs.base = 0;
	le32_store(fake_ram + TABLES, (TABLES + 4096) | PRESENT_WRITE);
	le32_store(fake_ram + TABLES + 4096, CODE_AT | PRESENT_WRITE);
	assert_int_equal(len_at_rip(g), 2);
	le32_store(fake_ram + TABLES, CODE_AT | LARGE | PRESENT_WRITE);
	assert_int_equal(len_at_rip(g), 0);
	g->v.cr4 = CR4_PSE;
	assert_int_equal(len_at_rip(g), 2);
	/* Three levels of 8 bytes. */
	g->v.cr4 = CR4_PAE;
	le64_store(fake_ram + TABLES, (TABLES + 4096) | 1);
	le64_store(fake_ram + TABLES + 4096, CODE_AT | LARGE | PRESENT_WRITE);
	assert_int_equal(len_at_rip(g), 2);
}

static void halt_in_the_shadow_of_sti_is_passed_over(void **state)
{
	struct guest *g = *state;

	fake_ram[CODE_AT + 0xffc] = 0xf4;
	emulate_pass_halt(&g->npt, &g->v);
	assert_int_equal(g->v.rip, 0xffc);
	g->v.interrupt_shadow = 1;
	emulate_pass_halt(&g->npt, &g->v);
	assert_int_equal(g->v.rip, 0xffd);
	assert_int_equal(g->v.interrupt_shadow, 0);
	/* Another instruction keeps its shadow. */
	g->v.interrupt_shadow = 1;
	emulate_pass_halt(&g->npt, &g->v);
	assert_int_equal(g->v.rip, 0xffd);
	assert_int_equal(g->v.interrupt_shadow, 1);
}

static void data_is_reached_with_the_rights_of_its_page(void **state)
{
	struct guest *g = *state;
	struct emulate_page page;
	uint8_t bitmap = 0;

	assert_int_equal(emulate_reach(&g->npt, &g->v, 8, false, &page), EMULATE_REACHED);
	assert_ptr_equal(page.at, fake_ram + CODE_AT + 8);
	/* It is noted that the page was used; and when it is written, that in both tables. */
	assert_int_equal(le64_load(fake_ram + TABLES + 3 * 4096), CODE_AT | PRESENT_WRITE | 0x20);
	assert_int_equal(npt_take_written(&g->npt, CODE_AT, 1, &bitmap), 0);
	bitmap = 0;
	g->v.cr0 |= CR0_WP;
	assert_int_equal(emulate_reach(&g->npt, &g->v, 8, true, &page), EMULATE_FAULT);
	assert_int_equal(page.error, PAGE_FAULT_PRESENT | PAGE_FAULT_WRITE);
	g->v.cr0 &= ~CR0_WP;
	assert_int_equal(emulate_reach(&g->npt, &g->v, 8, true, &page), EMULATE_REACHED);
	assert_int_equal(le64_load(fake_ram + TABLES + 3 * 4096), CODE_AT | PRESENT_WRITE | 0x60);
	assert_int_equal(npt_take_written(&g->npt, CODE_AT, 1, &bitmap), 0);
	assert_int_equal(bitmap, 1);
	g->v.cpl = 3;
	assert_int_equal(emulate_reach(&g->npt, &g->v, 8, false, &page), EMULATE_FAULT);
	assert_int_equal(page.error, PAGE_FAULT_PRESENT | PAGE_FAULT_USER);
	assert_int_equal(emulate_reach(&g->npt, &g->v, 4096, false, &page), EMULATE_FAULT);
	assert_int_equal(page.error, PAGE_FAULT_USER);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

/* A memo is no more than a shorter way to what is there now. */
static void an_instruction_met_before_is_looked_at_again(void **state)
{
	struct guest *g = *state;
	struct emulate_memo memo = {0};
	uint64_t *entry = (uint64_t *)(void *)(fake_ram + TABLES + 3 * 4096);

	g->v.rip = 0x100;
	memcpy(fake_ram + CODE_AT + 0x100, "\x89\x07", 2);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(emulate_access_again(&g->npt, &g->v, &memo).len, 2);
	/* Other bytes, another page, another table of nested pages, another mode, nothing. */
	memcpy(fake_ram + CODE_AT + 0x100, "\x44\x89\x07", 3);
	assert_int_equal(emulate_access_again(&g->npt, &g->v, &memo).reg, 8);
	*entry = (CODE_AT + 0x5000) | PRESENT_WRITE;
	memcpy(fake_ram + CODE_AT + 0x5100, "\x88\x1f", 2);
	assert_int_equal(emulate_access_again(&g->npt, &g->v, &memo).reg, 3);
	memcpy(fake_ram + CODE_AT + 0x6100, "\x88\x17", 2);
	assert_int_equal(npt_map(&g->npt, CODE_AT + 0x5000, CODE_AT + 0x6000, PAGE_BYTES, 0), 0);
	assert_int_equal(emulate_access_again(&g->npt, &g->v, &memo).reg, 2);
	g->v.cs.attributes = SVM_SEGMENT_32;
	memcpy(fake_ram + CODE_AT + 0x6100, "\xa2\x00\x00\x00\x00", 5);
	assert_int_equal(emulate_access_again(&g->npt, &g->v, &memo).len, 5);
	*entry = 0;
	assert_int_equal(emulate_access_again(&g->npt, &g->v, &memo).len, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_instruction_met_before_is_looked_at_again),
		TEST(the_instruction_is_read_through_both_tables),
		TEST(tables_that_lead_nowhere_give_no_instruction),
		TEST(large_pages_end_the_walk),
		TEST(halt_in_the_shadow_of_sti_is_passed_over),
		TEST(modes_of_32_bits_have_tables_of_their_own),
		TEST(data_is_reached_with_the_rights_of_its_page),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
