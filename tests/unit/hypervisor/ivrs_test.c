/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ACPI's tables, as far as they tell of IOMMUs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "abi/ivrs.h"
#include "base/util.h"
#include "hypervisor/ivrs.h"

#define FIRST UINT64_C(0xFED80000)

struct table {
	uint8_t bytes[2048];
	size_t len;
};

static struct table empty_table(void)
{
	struct table t = {.len = IVRS_BLOCKS_AT};

	memcpy(t.bytes, "IVRS", 4);
	return t;
}

static void add(struct table *t, uint8_t kind, uint16_t len, uint64_t base)
{
	struct ivrs_iommu b = {.block = {kind, 0, len}, .base = base};

	memcpy(t->bytes + t->len, &b, sizeof(b));
	t->len += len;
}

static void each_iommu_is_told_once_and_other_blocks_are_passed_over(void **state)
{
	struct table t = empty_table();
	struct ivrs ivrs;

	(void)state;
	add(&t, IVRS_IOMMU, 32, FIRST);
	add(&t, IVRS_IOMMU_MORE, 40, FIRST);
	add(&t, 0x20, 32, 12345);
	add(&t, IVRS_IOMMU_NAMED, 40, FIRST + 0x100000);
	assert_int_equal(ivrs_decode(t.bytes, t.len, &ivrs), 0);
	assert_int_equal(ivrs.count, 2);
	assert_int_equal(ivrs.base[0], FIRST);
	assert_int_equal(ivrs.base[1], FIRST + 0x100000);
}

static void a_table_that_does_not_fit_is_refused(void **state)
{
	struct table t = empty_table();
	struct ivrs ivrs;

	(void)state;
	add(&t, IVRS_IOMMU, 32, FIRST);
	for (size_t len = IVRS_BLOCKS_AT + sizeof(struct ivrs_block); len < t.len; len++)
		assert_int_equal(ivrs_decode(t.bytes, len, &ivrs), -EBADMSG);
	t = empty_table();
	add(&t, IVRS_IOMMU, sizeof(struct ivrs_iommu) - 1, FIRST);
	assert_int_equal(ivrs_decode(t.bytes, t.len, &ivrs), -EBADMSG);
	t = empty_table();
	add(&t, 0x20, 0, 0);
	t.len += 4;
	assert_int_equal(ivrs_decode(t.bytes, t.len, &ivrs), -EBADMSG);
	t = empty_table();
	add(&t, IVRS_IOMMU, 32, FIRST + 8);
	assert_int_equal(ivrs_decode(t.bytes, t.len, &ivrs), -EBADMSG);
	t = empty_table();
	for (unsigned i = 0; i <= IVRS_IOMMUS_MAX; i++)
		add(&t, IVRS_IOMMU, 32, FIRST + i * UINT64_C(0x100000));
	assert_int_equal(ivrs_decode(t.bytes, t.len, &ivrs), -E2BIG);
}

struct memory {
	uint8_t bytes[4096];
};

static uint8_t *map(void *ctx, uint64_t physical, size_t len)
{
	struct memory *m = ctx;

	return range_within(physical, len, sizeof(m->bytes)) ? m->bytes + physical : NULL;
}

static void put(struct memory *m, size_t at, const char *signature, uint32_t len)
{
	struct acpi_header h = {.len_bytes = len};

	memcpy(h.signature, signature, 4);
	memcpy(m->bytes + at, &h, sizeof(h));
}

static void the_table_is_found_by_the_old_list_and_by_the_new(void **state)
{
	struct acpi_rsdp root = {.rsdt = 512};
	const uint32_t old_list[] = {0xFFFFFFF0, 1024, 2048};
	const uint64_t new_list[] = {UINT64_MAX, 1024, 2048};
	struct memory m = {0};
	size_t len = 0;

	(void)state;
	put(&m, 512, "RSDT", sizeof(struct acpi_header) + sizeof(old_list));
	memcpy(m.bytes + 512 + sizeof(struct acpi_header), old_list, sizeof(old_list));
	put(&m, 700, "XSDT", sizeof(struct acpi_header) + sizeof(new_list));
	memcpy(m.bytes + 700 + sizeof(struct acpi_header), new_list, sizeof(new_list));
	put(&m, 1024, "APIC", 64);
	put(&m, 2048, "IVRS", 100);
	assert_ptr_equal(acpi_find((const void *)&root, ACPI_RSDP_V1_BYTES, "IVRS", map, &m, &len),
			 m.bytes + 2048);
	assert_int_equal(len, 100);
	assert_null(acpi_find((const void *)&root, ACPI_RSDP_V1_BYTES, "DMAR", map, &m, &len));
	assert_null(acpi_find((const void *)&root, ACPI_RSDP_V1_BYTES - 1, "IVRS", map, &m, &len));
	root = (struct acpi_rsdp){.revision = 2, .rsdt = 3000, .xsdt = 700};
	assert_ptr_equal(acpi_find((const void *)&root, sizeof(root), "IVRS", map, &m, &len),
			 m.bytes + 2048);
	put(&m, 2048, "IVRS", sizeof(m.bytes));
	assert_null(acpi_find((const void *)&root, sizeof(root), "IVRS", map, &m, &len));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_iommu_is_told_once_and_other_blocks_are_passed_over),
		cmocka_unit_test(a_table_that_does_not_fit_is_refused),
		cmocka_unit_test(the_table_is_found_by_the_old_list_and_by_the_new),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
