/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hypervisor/memory.h for tests: physical memory is an array, the hypervisor's range lies in it,
 * and the pool can run dry.
 */
#ifndef OYA_TESTS_UNIT_HYPERVISOR_MEMORY_FAKE_H
#define OYA_TESTS_UNIT_HYPERVISOR_MEMORY_FAKE_H

#include <stdint.h>
#include <string.h>

#include "hypervisor/memory.h"
#include "hypervisor/x86.h"

#define FAKE_BYTES (64u << 20)
#define FAKE_HV_AT (32u << 20)
#define FAKE_POOL_AT (FAKE_HV_AT + (1u << 20))
#define FAKE_POOL_PAGES 600u

static uint8_t *fake_ram;
static unsigned fake_pool_taken, fake_pool_limit = FAKE_POOL_PAGES;

void *physical_to_pointer(uint64_t physical)
{
	return fake_ram + physical;
}

uint64_t pointer_to_physical(const void *at)
{
	return (uint64_t)((const uint8_t *)at - fake_ram);
}

uint64_t hv_physical_start(void)
{
	return FAKE_HV_AT;
}

void *pool_take(unsigned pages)
{
	uint8_t *at = fake_ram + FAKE_POOL_AT + fake_pool_taken * PAGE_BYTES;

	if (pages > fake_pool_limit - fake_pool_taken)
		return NULL;
	fake_pool_taken += pages;
	return memset(at, 0, (size_t)pages * PAGE_BYTES);
}

static inline void *fake_take(void *ctx)
{
	(void)ctx;
	return pool_take(1);
}

#endif
