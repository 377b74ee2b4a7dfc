/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ACPI's tables as far as they tell of IOMMUs. Pure: memory is reached through the caller.
 *
 * Trust: the firmware is trusted; lengths and addresses are checked all the same.
 */
#ifndef OYA_HYPERVISOR_IVRS_H
#define OYA_HYPERVISOR_IVRS_H

#include <stddef.h>
#include <stdint.h>

#define IVRS_IOMMUS_MAX 16u

struct ivrs {
	unsigned count;
	uint64_t base[IVRS_IOMMUS_MAX]; /* physical, of the registers; none twice */
};

/* 0; -EBADMSG: a length that does not fit, registers at an odd place; -E2BIG: too many. */
int ivrs_decode(const uint8_t *table, size_t len, struct ivrs *ret_ivrs);

/* len bytes of physical memory; NULL where there are none. */
typedef uint8_t *acpi_map_fn(void *ctx, uint64_t physical, size_t len);

/* The table with this signature, whole; NULL: there is none. rsdp: what the root pointer holds. */
uint8_t *acpi_find(const uint8_t *rsdp, size_t rsdp_len, const char *signature, acpi_map_fn *map,
		   void *ctx, size_t *ret_len);

#endif
