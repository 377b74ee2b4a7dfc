/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/frames.h"

#include <errno.h>

#include "base/util.h"
#include "hypervisor/x86.h"

/* A page's word: whose it is, and how often it is lent. */
#define COUNT_BITS 6u
#define OWNER(word) ((word) >> COUNT_BITS)
#define COUNT(word) ((word)&FRAMES_LENT_MAX)
#define WORD(owner, count) ((uint16_t)((owner) << COUNT_BITS | (count)))
#define PARENT 0u
#define OURS 1023u /* or no memory at all */

static uint16_t *words;
static uint64_t word_count;

uint64_t frames_bytes(uint64_t end)
{
	return align_up(end / PAGE_BYTES * sizeof(words[0]), PAGE_BYTES);
}

void frames_init(void *table, uint64_t end)
{
	words = table;
	word_count = end / PAGE_BYTES;
	for (uint64_t i = 0; i < word_count; i++)
		words[i] = WORD(OURS, 0);
}

void frames_add(uint64_t start, uint64_t len)
{
	uint64_t end = (start + len) / PAGE_BYTES;

	for (uint64_t i = align_up(start, PAGE_BYTES) / PAGE_BYTES; i < end && i < word_count; i++)
		words[i] = WORD(PARENT, 0);
}

static bool is_range(uint64_t start, uint64_t len)
{
	return (start | len) % PAGE_BYTES == 0 &&
	       range_within(start / PAGE_BYTES, len / PAGE_BYTES, word_count);
}

static bool exchange(uint64_t i, uint16_t from, uint16_t to)
{
	return __atomic_compare_exchange_n(&words[i], &from, to, false, __ATOMIC_ACQ_REL,
					   __ATOMIC_RELAXED);
}

int frames_take(uint64_t start, uint64_t len)
{
	uint64_t first = start / PAGE_BYTES, end = first + len / PAGE_BYTES;

	if (!is_range(start, len))
		return -EINVAL;
	for (uint64_t i = first; i < end; i++) {
		if (exchange(i, WORD(PARENT, 0), WORD(OURS, 0)))
			continue;
		frames_give_back(start, (i - first) * PAGE_BYTES);
		return -EBUSY;
	}
	return 0;
}

void frames_give_back(uint64_t start, uint64_t len)
{
	for (uint64_t i = start / PAGE_BYTES; i < (start + len) / PAGE_BYTES; i++)
		__atomic_store_n(&words[i], WORD(PARENT, 0), __ATOMIC_RELEASE);
}

static int lend_one(uint64_t i, unsigned partition)
{
	uint16_t word = __atomic_load_n(&words[i], __ATOMIC_ACQUIRE), more;

	do {
		if (word != WORD(PARENT, 0) && OWNER(word) != partition)
			return -EBUSY;
		if (COUNT(word) == FRAMES_LENT_MAX)
			return -EBUSY;
		more = WORD(partition, COUNT(word) + 1);
	} while (!__atomic_compare_exchange_n(&words[i], &word, more, false, __ATOMIC_ACQ_REL,
					      __ATOMIC_ACQUIRE));
	return 0;
}

int frames_lend(uint64_t start, uint64_t len, unsigned partition)
{
	uint64_t first = start / PAGE_BYTES;
	int r = is_range(start, len) ? 0 : -EINVAL;

	for (uint64_t i = first; r == 0 && i < first + len / PAGE_BYTES; i++) {
		r = lend_one(i, partition);
		if (r < 0)
			frames_return(start, (i - first) * PAGE_BYTES);
	}
	return r;
}

void frames_return(uint64_t start, uint64_t len)
{
	for (uint64_t i = start / PAGE_BYTES; i < (start + len) / PAGE_BYTES; i++) {
		uint16_t word = __atomic_load_n(&words[i], __ATOMIC_ACQUIRE), less;

		do
			less = COUNT(word) > 1 ? (uint16_t)(word - 1) : WORD(PARENT, 0);
		while (!__atomic_compare_exchange_n(&words[i], &word, less, false, __ATOMIC_ACQ_REL,
						    __ATOMIC_ACQUIRE));
	}
}
