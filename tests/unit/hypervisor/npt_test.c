/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Nested page tables, walked as the processor does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>

#include "abi/ivrs.h"
#include "hypervisor/npt.h"
#include "tests/unit/hypervisor/memory_fake.h"

static int set_up(void **state)
{
	struct npt *npt = calloc(1, sizeof(*npt));

	fake_ram = calloc(1, FAKE_BYTES);
	fake_pool_taken = 0;
	fake_pool_limit = FAKE_POOL_PAGES;
	*state = npt;
	return npt && fake_ram ? npt_init(npt, fake_take, NULL) : -1;
}

static int tear_down(void **state)
{
	free(fake_ram);
	free(*state);
	return 0;
}

/* Where the address leads: UINT64_MAX nowhere. */
static uint64_t at(const struct npt *npt, uint64_t guest)
{
	uint64_t physical;
	bool write;

	return npt_find(npt, guest, &physical, &write) ? physical : UINT64_MAX;
}

static bool can_write(const struct npt *npt, uint64_t guest)
{
	uint64_t physical;
	bool write = false;

	return npt_find(npt, guest, &physical, &write) && write;
}

static void pages_of_each_size_lead_where_they_were_mapped_to(void **state)
{
	struct npt *npt = *state;

	assert_int_equal(npt_map(npt, 0x1000, 0x5000, PAGE_BYTES, NPT_WRITE), 0);
	assert_int_equal(npt_map(npt, PAGE_2M * 3, PAGE_2M * 7, PAGE_2M, 0), 0);
	assert_int_equal(npt_map(npt, PAGE_1G * 600, PAGE_1G * 2, PAGE_1G, NPT_WRITE), 0);
	assert_int_equal(at(npt, 0x1fff), 0x5fff);
	assert_int_equal(at(npt, PAGE_2M * 4 - 1), PAGE_2M * 8 - 1);
	assert_int_equal(at(npt, PAGE_1G * 600 + 12345), PAGE_1G * 2 + 12345);
	assert_true(can_write(npt, 0x1000));
	assert_false(can_write(npt, PAGE_2M * 3));
	assert_int_equal(at(npt, 0xfff), UINT64_MAX);
	assert_int_equal(at(npt, 0x2000), UINT64_MAX);
	assert_int_equal(at(npt, PAGE_1G * 601), UINT64_MAX);
	assert_int_equal(at(npt, UINT64_MAX), UINT64_MAX);
}

static void a_hole_in_a_large_page_leaves_the_rest_as_it_was(void **state)
{
	struct npt *npt = *state;

	assert_int_equal(npt_map(npt, PAGE_1G, PAGE_1G, PAGE_1G, NPT_WRITE), 0);
	assert_int_equal(npt_map(npt, PAGE_1G + 0x5000, 0x9000, PAGE_BYTES, NPT_NO_EXECUTE), 0);
	for (uint64_t i = 0; i < PAGE_1G; i += 0x1000) {
		bool hole = i == 0x5000;

		assert_int_equal(at(npt, PAGE_1G + i), hole ? 0x9000 : PAGE_1G + i);
		assert_int_equal(can_write(npt, PAGE_1G + i), !hole);
	}
}

static void without_memory_nothing_changes(void **state)
{
	struct npt *npt = *state;

	assert_int_equal(npt_map(npt, 0, 0, PAGE_1G, NPT_WRITE), 0);
	fake_pool_limit = fake_pool_taken;
	assert_int_equal(npt_map(npt, 0x1000, 0x5000, PAGE_BYTES, 0), -ENOMEM);
	assert_int_equal(at(npt, 0x1000), 0x1000);
	assert_int_equal(npt_map(npt, PAGE_1G * 512, 0, PAGE_1G, 0), -ENOMEM);
	fake_pool_limit = fake_pool_taken + 1;
	assert_int_equal(npt_map(npt, 0x1000, 0x5000, PAGE_BYTES, 0), -ENOMEM);
	assert_int_equal(at(npt, 0x1000), 0x1000);
	assert_int_equal(at(npt, PAGE_1G - 1), PAGE_1G - 1);
}

static void note(void *ctx, uint64_t physical, uint64_t bytes)
{
	uint64_t *sum = ctx;

	sum[0] += physical;
	sum[1] += bytes;
}

static void what_is_unmapped_is_told_once(void **state)
{
	struct npt *npt = *state;
	uint64_t sum[2] = {0, 0};

	assert_int_equal(npt_next(npt, 0, UINT64_MAX), UINT64_MAX);
	assert_int_equal(npt_map(npt, 0x3000, 0x5000, PAGE_BYTES, NPT_WRITE), 0);
	assert_int_equal(npt_map(npt, 0x5000, 0x9000, PAGE_BYTES, 0), 0);
	assert_int_equal(npt_map(npt, PAGE_2M * 3, PAGE_2M * 7, PAGE_2M, NPT_WRITE), 0);
	assert_int_equal(npt_next(npt, 0, UINT64_MAX), 0x3000);
	assert_int_equal(npt_next(npt, 0x3001, UINT64_MAX), 0x3001);
	assert_int_equal(npt_next(npt, 0x4000, UINT64_MAX), 0x5000);
	assert_int_equal(npt_next(npt, 0x6000, UINT64_MAX), PAGE_2M * 3);
	assert_int_equal(npt_map(npt, PAGE_2M * 4, 0xB000, PAGE_BYTES, 0), 0);
	npt_unmap(npt, 0x4000, 0x6000);
	/* A range that begins within a large page takes it, and misses nothing behind it. */
	npt_unmap(npt, PAGE_2M * 3 + 0x5000, PAGE_2M * 5);
	assert_int_equal(at(npt, PAGE_2M * 4), UINT64_MAX);
	assert_int_equal(at(npt, 0x3000), 0x5000);
	assert_int_equal(at(npt, 0x5000), UINT64_MAX);
	assert_int_equal(at(npt, PAGE_2M * 3), UINT64_MAX);
	/* Not free for others until it has been told. */
	assert_int_equal(npt_next(npt, 0x4000, UINT64_MAX), 0x5000);
	npt_forget(npt, 0, PAGE_2M * 5, note, sum);
	assert_int_equal(sum[0], 0x9000 + PAGE_2M * 7 + 0xB000);
	assert_int_equal(sum[1], 2 * PAGE_BYTES + PAGE_2M);
	npt_forget(npt, 0, PAGE_2M * 5, note, sum);
	assert_int_equal(sum[1], 2 * PAGE_BYTES + PAGE_2M);
	assert_int_equal(npt_next(npt, 0x4000, UINT64_MAX), UINT64_MAX);
	assert_int_equal(at(npt, 0x3000), 0x5000);
}

static void a_shared_table_serves_any_chunk_and_goes_without_a_trace(void **state)
{
	struct npt *npt = *state;
	uint64_t *table = fake_take(NULL);

	for (unsigned i = 0; i < 512; i++)
		table[i] = npt_entry(0x7000, NPT_NO_EXECUTE);
	assert_int_equal(npt_map(npt, 0, 0, PAGE_1G, NPT_WRITE), 0);
	assert_int_equal(npt_map_table(npt, PAGE_2M * 2, table), 0);
	assert_int_equal(npt_map_table(npt, PAGE_2M * 5, table), 0);
	assert_int_equal(at(npt, PAGE_2M * 2 + 0x12345), 0x7345);
	assert_int_equal(at(npt, PAGE_2M * 6 - 1), 0x7fff);
	assert_false(can_write(npt, PAGE_2M * 5));
	assert_int_equal(at(npt, PAGE_2M * 3), PAGE_2M * 3);
	assert_int_equal(npt_map(npt, PAGE_2M * 2, PAGE_2M * 2, PAGE_2M, NPT_WRITE), 0);
	assert_int_equal(at(npt, PAGE_2M * 2 + 0x12345), PAGE_2M * 2 + 0x12345);
	assert_true(can_write(npt, PAGE_2M * 2));
	assert_int_equal(at(npt, PAGE_2M * 5), 0x7000);
}

/* What an IOMMU finds, which starts with four levels: UINT64_MAX when it refuses. */
static uint64_t device_at(const struct npt *npt, uint64_t guest, uint64_t right)
{
	uint64_t table = npt_physical(npt), entry = 0;
	unsigned level = 4;

	while (level) {
		unsigned shift = 3 + 9 * level;

		memcpy(&entry, fake_ram + table + (guest >> shift) % 512 * sizeof(entry),
		       sizeof(entry));
		if (!(entry & 1) || !(entry & right))
			return UINT64_MAX;
		table = entry & UINT64_C(0x000FFFFFFFFFF000);
		if (!(entry >> IOMMU_NEXT_LEVEL_AT & 7))
			return (table >> shift << shift) | (guest & ((UINT64_C(1) << shift) - 1));
		assert_int_equal(entry >> IOMMU_NEXT_LEVEL_AT & 7, level - 1);
		level--;
	}
	return UINT64_MAX;
}

static void what_the_parent_loses_its_devices_lose(void **state)
{
	struct npt *npt = *state;
	uint64_t *table = fake_take(NULL);

	for (unsigned i = 0; i < 512; i++)
		table[i] = npt_entry(0x7000, NPT_NO_EXECUTE);
	assert_int_equal(npt_map(npt, 0, 0, PAGE_1G, NPT_WRITE | NPT_DEVICES), 0);
	assert_int_equal(device_at(npt, 12345, IOMMU_WRITE), 12345);
	assert_int_equal(npt_map_table(npt, PAGE_2M * 2, table), 0);
	assert_int_equal(npt_map(npt, 0x5000, 0x7000, PAGE_BYTES, NPT_NO_EXECUTE), 0);
	for (uint64_t right = IOMMU_READ; right <= IOMMU_WRITE; right *= 2) {
		assert_int_equal(device_at(npt, PAGE_2M * 2 + 8, right), UINT64_MAX);
		assert_int_equal(device_at(npt, 0x5008, right), UINT64_MAX);
		assert_int_equal(device_at(npt, 0x4008, right), 0x4008);
		assert_int_equal(device_at(npt, PAGE_2M * 3, right), PAGE_2M * 3);
		assert_int_equal(device_at(npt, PAGE_1G, right), UINT64_MAX);
	}
	assert_int_equal(npt_map(npt, PAGE_2M * 2, PAGE_2M * 2, PAGE_2M, NPT_WRITE | NPT_DEVICES),
			 0);
	assert_int_equal(device_at(npt, PAGE_2M * 2 + 8, IOMMU_WRITE), PAGE_2M * 2 + 8);
}

/* As the processor does when it writes there. */
static void touch(const struct npt *npt, uint64_t guest)
{
	uint64_t *entry = &npt->top[guest >> 39 & 511];

	for (unsigned shift = 30; !(*entry & 0x80) && shift >= 12; shift -= 9) {
		uint64_t *table = physical_to_pointer(*entry & UINT64_C(0x000FFFFFFFFFF000));

		entry = &table[guest >> shift & 511];
	}
	*entry |= 1u << 6;
}

static void pages_that_were_written_are_told_once(void **state)
{
	struct npt *npt = *state;
	uint8_t bits[128] = {0};

	assert_int_equal(npt_map(npt, PAGE_2M, PAGE_2M * 4, PAGE_2M, NPT_WRITE), 0);
	assert_int_equal(npt_map(npt, PAGE_2M * 2, 0x5000, PAGE_BYTES, NPT_WRITE), 0);
	assert_int_equal(npt_take_written(npt, PAGE_2M, 1024, bits), 0);
	assert_int_equal(bits[0] | bits[64], 0);
	assert_int_equal(at(npt, PAGE_2M * 2 - 1), PAGE_2M * 5 - 1);
	touch(npt, PAGE_2M + 0x3000);
	touch(npt, PAGE_2M * 2);
	assert_int_equal(npt_take_written(npt, PAGE_2M, 1024, bits), 0);
	assert_int_equal(bits[0], 1u << 3);
	assert_int_equal(bits[64], 1);
	bits[0] = 0;
	/* From a page within; those before it are told later. */
	touch(npt, PAGE_2M + 0x1000);
	touch(npt, PAGE_2M + 0x4000);
	assert_int_equal(npt_take_written(npt, PAGE_2M + 0x2000, 8, bits), 0);
	assert_int_equal(bits[0], 1u << 2);
	bits[0] = 0;
	assert_int_equal(npt_take_written(npt, PAGE_2M, 8, bits), 0);
	assert_int_equal(bits[0], 1u << 1);
}

static void
a_large_page_that_was_written_is_all_its_pages_also_without_memory_at_first(void **state)
{
	struct npt *npt = *state;
	uint8_t bits[64] = {0};

	assert_int_equal(npt_map(npt, PAGE_2M, PAGE_2M * 4, PAGE_2M, NPT_WRITE), 0);
	touch(npt, PAGE_2M);
	fake_pool_limit = fake_pool_taken;
	assert_int_equal(npt_take_written(npt, PAGE_2M, 512, bits), -ENOMEM);
	fake_pool_limit = FAKE_POOL_PAGES;
	assert_int_equal(npt_take_written(npt, PAGE_2M, 512, bits), 0);
	for (unsigned i = 0; i < sizeof(bits); i++)
		assert_int_equal(bits[i], 0xFF);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(pages_of_each_size_lead_where_they_were_mapped_to),
		TEST(a_hole_in_a_large_page_leaves_the_rest_as_it_was),
		TEST(without_memory_nothing_changes),
		TEST(what_is_unmapped_is_told_once),
		TEST(a_shared_table_serves_any_chunk_and_goes_without_a_trace),
		TEST(what_the_parent_loses_its_devices_lose),
		TEST(pages_that_were_written_are_told_once),
		TEST(a_large_page_that_was_written_is_all_its_pages_also_without_memory_at_first),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
