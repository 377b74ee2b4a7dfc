/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A firmware's ACPI tables at the hypervisor: the input is memory that begins with the root
 * pointer. Checked: what is found lies within it, and no IOMMU is told twice.
 */
#include <stdlib.h>
#include <string.h>

#include "abi/ivrs.h"
#include "base/util.h"
#include "fuzz/harness.h"
#include "hypervisor/ivrs.h"

struct memory {
	uint8_t *bytes;
	size_t len;
};

static uint8_t *map(void *ctx, uint64_t physical, size_t len)
{
	const struct memory *m = ctx;

	return range_within(physical, len, m->len) ? m->bytes + physical : NULL;
}

static void try_table(const uint8_t *table, size_t len)
{
	struct ivrs ivrs;

	if (ivrs_decode(table, len, &ivrs) < 0)
		return;
	must(ivrs.count <= IVRS_IOMMUS_MAX);
	for (unsigned i = 0; i < ivrs.count; i++) {
		must(ivrs.base[i] && ivrs.base[i] % IOMMU_REGISTERS_BYTES == 0);
		for (unsigned j = 0; j < i; j++)
			must(ivrs.base[i] != ivrs.base[j]);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct memory m = {malloc(size + 1), size};
	size_t len = 0;
	uint8_t *table;

	if (!m.bytes)
		return 0;
	memcpy(m.bytes, data, size);
	table = acpi_find(m.bytes, size, "IVRS", map, &m, &len);
	must(!table || range_within((uint64_t)(table - m.bytes), len, size));
	if (table)
		try_table(table, len);
	try_table(m.bytes, size);
	free(m.bytes);
	return 0;
}
