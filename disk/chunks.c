/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "disk/chunks.h"

#include <errno.h>
#include <stdlib.h>

#include "base/util.h"

#define WORD_BITS 64u

int chunks_init(struct chunks *c, uint64_t size_bytes)
{
	uint64_t count = size_bytes / CHUNK_BYTES + (size_bytes % CHUNK_BYTES != 0);

	*c = (struct chunks){.count = count};
	c->bits = calloc(count / WORD_BITS + 1, sizeof(*c->bits));
	return c->bits ? 0 : -ENOMEM;
}

void chunks_done(struct chunks *c)
{
	free(c->bits);
	*c = (struct chunks){.bits = NULL};
}

void chunks_mark(struct chunks *c, uint64_t offset, uint64_t len)
{
	uint64_t at = offset / CHUNK_BYTES, last;

	if (!len || at >= c->count)
		return;
	last = min_u64(c->count - 1,
		       (offset + min_u64(len - 1, UINT64_MAX - offset)) / CHUNK_BYTES);
	for (; at <= last; at++) {
		uint64_t bit = UINT64_C(1) << at % WORD_BITS;

		/* Behind the write, so that who takes it off reads what was written. */
		if (!(__atomic_fetch_or(&c->bits[at / WORD_BITS], bit, __ATOMIC_SEQ_CST) & bit))
			__atomic_add_fetch(&c->marked, 1, __ATOMIC_RELAXED);
	}
}

uint64_t chunks_marked(const struct chunks *c)
{
	return __atomic_load_n(&c->marked, __ATOMIC_RELAXED);
}

static bool take_one(struct chunks *c, uint64_t at)
{
	uint64_t bit = UINT64_C(1) << at % WORD_BITS;

	if (!(__atomic_fetch_and(&c->bits[at / WORD_BITS], ~bit, __ATOMIC_SEQ_CST) & bit))
		return false;
	__atomic_sub_fetch(&c->marked, 1, __ATOMIC_RELAXED);
	return true;
}

bool chunks_take(struct chunks *c, uint64_t from, uint64_t most, uint64_t *ret_from,
		 uint64_t *ret_count)
{
	uint64_t count = 0;

	while (from < c->count) {
		uint64_t word = __atomic_load_n(&c->bits[from / WORD_BITS], __ATOMIC_RELAXED) >>
				from % WORD_BITS;

		if (!word)
			from = (from / WORD_BITS + 1) * WORD_BITS;
		else if (!(word & 1))
			from += (unsigned)__builtin_ctzll(word);
		else
			break;
	}
	while (from + count < c->count && count < most && take_one(c, from + count))
		count++;
	*ret_from = from;
	*ret_count = count;
	return count > 0;
}
