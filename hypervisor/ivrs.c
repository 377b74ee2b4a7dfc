/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/ivrs.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "abi/ivrs.h"
#include "base/bytes.h"
#include "base/util.h"

#define TABLE_BYTES_MAX (1u << 20)
#define SIGNATURE_BYTES 4u
#define XSDT_REVISION 2u

static bool is_known(const struct ivrs *ivrs, uint64_t base)
{
	for (unsigned i = 0; i < ivrs->count; i++) {
		if (ivrs->base[i] == base)
			return true;
	}
	return false;
}

int ivrs_decode(const uint8_t *table, size_t len, struct ivrs *ret_ivrs)
{
	struct ivrs found = {0};
	struct ivrs_iommu iommu;
	size_t at = IVRS_BLOCKS_AT;

	while (range_within(at, sizeof(iommu.block), len)) {
		memcpy(&iommu.block, table + at, sizeof(iommu.block));
		if (iommu.block.len_bytes < sizeof(iommu.block) ||
		    !range_within(at, iommu.block.len_bytes, len))
			return -EBADMSG;
		if (iommu.block.kind == IVRS_IOMMU || iommu.block.kind == IVRS_IOMMU_MORE ||
		    iommu.block.kind == IVRS_IOMMU_NAMED) {
			if (iommu.block.len_bytes < sizeof(iommu))
				return -EBADMSG;
			memcpy(&iommu, table + at, sizeof(iommu));
			if (!iommu.base || iommu.base % IOMMU_REGISTERS_BYTES)
				return -EBADMSG;
			if (!is_known(&found, iommu.base)) {
				if (found.count == IVRS_IOMMUS_MAX)
					return -E2BIG;
				found.base[found.count++] = iommu.base;
			}
		}
		at += iommu.block.len_bytes;
	}
	*ret_ivrs = found;
	return 0;
}

static uint8_t *map_table(acpi_map_fn *map, void *ctx, uint64_t at, size_t *ret_len)
{
	const struct acpi_header *head = (const void *)map(ctx, at, sizeof(*head));
	size_t len = head ? head->len_bytes : 0;

	if (len < sizeof(*head) || len > TABLE_BYTES_MAX)
		return NULL;
	*ret_len = len;
	return map(ctx, at, len);
}

uint8_t *acpi_find(const uint8_t *rsdp, size_t rsdp_len, const char *signature, acpi_map_fn *map,
		   void *ctx, size_t *ret_len)
{
	struct acpi_rsdp root = {0};
	const uint8_t *list;
	size_t len, bytes = sizeof(uint32_t);
	uint64_t at;

	if (rsdp_len < ACPI_RSDP_V1_BYTES)
		return NULL;
	memcpy(&root, rsdp, rsdp_len < sizeof(root) ? rsdp_len : sizeof(root));
	at = root.rsdt;
	if (root.revision >= XSDT_REVISION && root.xsdt) {
		at = root.xsdt;
		bytes = sizeof(uint64_t);
	}
	list = map_table(map, ctx, at, &len);
	for (size_t i = sizeof(struct acpi_header); list && range_within(i, bytes, len);
	     i += bytes) {
		uint8_t *table;

		at = bytes == sizeof(uint64_t) ? le64_load(list + i) : le32_load(list + i);
		table = map_table(map, ctx, at, ret_len);
		if (table && memcmp(table, signature, SIGNATURE_BYTES) == 0)
			return table;
	}
	return NULL;
}
