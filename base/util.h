/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Small arithmetic and layout helpers. Freestanding.
 */
#ifndef OYA_BASE_UTIL_H
#define OYA_BASE_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline uint32_t min_u32(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

/* Rounds v up to a power of two; the result wraps to 0 where it would pass 2^64. */
static inline uint64_t align_up(uint64_t v, uint64_t pow2)
{
	return (v + pow2 - 1) & ~(pow2 - 1);
}

static inline bool is_aligned(uint64_t v, uint64_t pow2)
{
	return (v & (pow2 - 1)) == 0;
}

/* True when [off, off + len) lies within [0, size): no sum that could wrap. */
static inline bool range_within(uint64_t off, uint64_t len, uint64_t size)
{
	return off <= size && len <= size - off;
}

#endif
