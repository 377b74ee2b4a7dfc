/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/memory.h"

#include "base/util.h"
#include "hypervisor/x86.h"

extern uint8_t hv_image_end[];

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
