/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/memory.h"

#include <errno.h>

#include "base/util.h"
#include "hypervisor/x86.h"

#define CPUID_EXTENDED 0x80000001u
#define CPUID_GIB_PAGES (1u << 26) /* of EDX */
#define FIRST_MAP_END (UINT64_C(4) << 30)
#define ENTRIES 512u
#define TABLE UINT64_C(0x3)
#define LARGE_PAGE UINT64_C(0x83)

extern uint8_t hv_image_end[];
extern uint64_t physical_map[];

static uint64_t load_base_at;
static uint64_t pool_next, pool_end; /* addresses in the image's map */
static bool pool_lock;               /* atomic */

void memory_init(uint64_t load_base)
{
	load_base_at = load_base;
	pool_next = align_up((uint64_t)(uintptr_t)hv_image_end, PAGE_BYTES);
	pool_end = HV_VIRTUAL_AT + HV_BYTES;
}

uint64_t hv_physical_start(void)
{
	return load_base_at;
}

uint64_t pointer_to_physical(const void *at)
{
	uint64_t address = (uint64_t)(uintptr_t)at;

	return address >= HV_VIRTUAL_AT ? address - HV_VIRTUAL_AT + load_base_at
					: address - PHYSICAL_AT;
}

bool memory_has_large_pages(void)
{
	return x86_cpuid(CPUID_EXTENDED, 0).edx & CPUID_GIB_PAGES;
}

int memory_map(uint64_t end)
{
	for (uint64_t at = FIRST_MAP_END; at < end && !memory_has_large_pages(); at += PAGE_1G) {
		uint64_t *table = pool_take(1);

		if (!table)
			return -ENOMEM;
		for (unsigned i = 0; i < ENTRIES; i++)
			table[i] = (at + i * PAGE_2M) | LARGE_PAGE;
		physical_map[at / PAGE_1G] = pointer_to_physical(table) | TABLE;
	}
	return 0;
}

static void *take(uint64_t bytes, uint64_t align)
{
	uint64_t at;

	while (__atomic_test_and_set(&pool_lock, __ATOMIC_ACQUIRE))
		x86_pause();
	at = align_up(pool_next, align);
	if (at > pool_end || bytes > pool_end - at)
		at = 0;
	else
		pool_next = at + bytes;
	__atomic_clear(&pool_lock, __ATOMIC_RELEASE);
	return at ? memset((void *)(uintptr_t)at, 0, bytes) : NULL;
}

void *pool_take(unsigned pages)
{
	return take((uint64_t)pages * PAGE_BYTES, PAGE_BYTES);
}

void *pool_take_stack(void)
{
	return take(STACK_BYTES, STACK_BYTES);
}

unsigned pool_left(void)
{
	return (unsigned)((pool_end - pool_next) / PAGE_BYTES);
}

void *memcpy(void *to, const void *from, size_t len)
{
	size_t words = len / sizeof(uint64_t), bytes = len % sizeof(uint64_t);
	void *at = to;

	__asm__ volatile("rep movsq" : "+D"(at), "+S"(from), "+c"(words) : : "memory");
	__asm__ volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(bytes) : : "memory");
	return to;
}

void *memmove(void *to, const void *from, size_t len)
{
	uint8_t *t = (uint8_t *)to + len;
	const uint8_t *f = (const uint8_t *)from + len;

	if ((uintptr_t)to <= (uintptr_t)from || (uintptr_t)to >= (uintptr_t)f)
		return memcpy(to, from, len);
	t--;
	f--;
	__asm__ volatile("std; rep movsb; cld" : "+D"(t), "+S"(f), "+c"(len) : : "memory");
	return to;
}

void *memset(void *to, int byte, size_t len)
{
	size_t words = len / sizeof(uint64_t), bytes = len % sizeof(uint64_t);
	uint64_t word = (uint8_t)byte * UINT64_C(0x0101010101010101);
	void *at = to;

	__asm__ volatile("rep stosq" : "+D"(at), "+c"(words) : "a"(word) : "memory");
	__asm__ volatile("rep stosb" : "+D"(at), "+c"(bytes) : "a"(word) : "memory");
	return to;
}

int memcmp(const void *a, const void *b, size_t len)
{
	const uint8_t *x = a, *y = b;

	for (size_t i = 0; i < len; i++) {
		if (x[i] != y[i])
			return x[i] < y[i] ? -1 : 1;
	}
	return 0;
}
