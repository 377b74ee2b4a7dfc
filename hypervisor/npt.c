/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/npt.h"

#include <errno.h>
#include <stddef.h>

#include "base/util.h"
#include "hypervisor/memory.h"
#include "hypervisor/x86.h"

#define ENTRIES 512u
#define TOP_LEVEL 3u
#define PRESENT (UINT64_C(1) << 0)
#define USER (UINT64_C(1) << 2)    /* nested walks count as a user's */
#define WRITTEN (UINT64_C(1) << 6) /* set by the processor */
#define LARGE (UINT64_C(1) << 7)
#define GONE (UINT64_C(1) << 52) /* was mapped until npt_unmap */
#define ADDRESS UINT64_C(0x000FFFFFFFFFF000)
#define RIGHTS (PRESENT | NPT_WRITE | USER | NPT_NO_EXECUTE)

/* Bytes that an entry of a level covers: 0 is that of 4 KiB pages. */
static uint64_t covers(unsigned level)
{
	return UINT64_C(1) << (12 + 9 * level);
}

static uint64_t *table_at(uint64_t entry)
{
	return physical_to_pointer(entry & ADDRESS);
}

static uint64_t *entry_in(uint64_t *table, uint64_t guest, unsigned level)
{
	return &table[guest / covers(level) % ENTRIES];
}

int npt_init(struct npt *npt, void *(*take)(void *ctx), void *ctx)
{
	*npt = (struct npt){.top = take(ctx), .take = take, .ctx = ctx};
	return npt->top ? 0 : -ENOMEM;
}

uint64_t npt_physical(const struct npt *npt)
{
	return pointer_to_physical(npt->top);
}

/* A table below an entry of this level, with what the entry mapped so far. */
static uint64_t *split(struct npt *npt, uint64_t *entry, unsigned level)
{
	uint64_t *table = npt->take(npt->ctx), old = *entry;

	if (!table)
		return NULL;
	for (uint64_t i = 0; (old & PRESENT) && i < ENTRIES; i++)
		table[i] = ((old & ADDRESS & ~(covers(level) - 1)) + i * covers(level - 1)) |
			   (old & (RIGHTS | WRITTEN)) | (level > 1 ? LARGE : 0);
	old ^= __atomic_exchange_n(entry, pointer_to_physical(table) | PRESENT | NPT_WRITE | USER,
				   __ATOMIC_SEQ_CST);
	for (unsigned i = 0; (old & WRITTEN) && i < ENTRIES; i++) /* just now */
		__atomic_fetch_or(&table[i], WRITTEN, __ATOMIC_SEQ_CST);
	return table;
}

/* The entry of a page of this size; larger ones around it are split. NULL: no memory. */
static uint64_t *reach(struct npt *npt, uint64_t guest, uint64_t bytes, unsigned *ret_level)
{
	uint64_t *table = npt->top, *entry;
	unsigned level = TOP_LEVEL;

	for (entry = entry_in(table, guest, level); covers(level) > bytes;
	     entry = entry_in(table, guest, --level)) {
		table = (*entry & PRESENT) && !(*entry & LARGE) ? table_at(*entry)
								: split(npt, entry, level);
		if (!table)
			return NULL;
	}
	*ret_level = level;
	return entry;
}

static void lock(struct npt *npt)
{
	while (__atomic_test_and_set(&npt->lock, __ATOMIC_ACQUIRE))
		x86_pause();
}

static void unlock(struct npt *npt)
{
	__atomic_clear(&npt->lock, __ATOMIC_RELEASE);
}

uint64_t npt_entry(uint64_t physical, uint64_t flags)
{
	return physical | flags | PRESENT | USER;
}

int npt_map(struct npt *npt, uint64_t guest, uint64_t physical, uint64_t bytes, uint64_t flags)
{
	unsigned level;
	uint64_t *entry;

	lock(npt);
	entry = reach(npt, guest, bytes, &level);
	if (entry)
		*entry = npt_entry(physical, flags) | (level ? LARGE : 0);
	unlock(npt);
	return entry ? 0 : -ENOMEM;
}

int npt_map_table(struct npt *npt, uint64_t guest, const uint64_t *table)
{
	unsigned level;
	uint64_t *entry;

	lock(npt);
	entry = reach(npt, guest, PAGE_2M, &level);
	if (entry)
		*entry = pointer_to_physical(table) | PRESENT | NPT_WRITE | USER;
	unlock(npt);
	return entry ? 0 : -ENOMEM;
}

/* The lowest entry for an address that there is, of any level. */
static uint64_t *lowest(const struct npt *npt, uint64_t guest, unsigned *ret_level)
{
	uint64_t *entry = entry_in(npt->top, guest, TOP_LEVEL);
	unsigned level = TOP_LEVEL;

	while (level && (*entry & PRESENT) && !(*entry & LARGE))
		entry = entry_in(table_at(*entry), guest, --level);
	*ret_level = level;
	return entry;
}

/* The next entry in use from *at on, whatever its size, with *at moved behind it; NULL: none before
 * the end. */
static uint64_t *step(const struct npt *npt, uint64_t *at, uint64_t end, uint64_t *ret_bytes)
{
	uint64_t next = npt_next(npt, *at, end);
	unsigned level;
	uint64_t *entry;

	if (next == UINT64_MAX)
		return NULL;
	entry = lowest(npt, next, &level);
	*ret_bytes = covers(level);
	*at = (next & ~(covers(level) - 1)) + covers(level);
	return entry;
}

void npt_unmap(struct npt *npt, uint64_t start, uint64_t end)
{
	uint64_t *entry, bytes;

	lock(npt);
	while ((entry = step(npt, &start, end, &bytes)))
		__atomic_store_n(entry, (*entry & ~PRESENT) | GONE, __ATOMIC_RELEASE);
	unlock(npt);
}

void npt_forget(struct npt *npt, uint64_t start, uint64_t end, npt_gone_fn *gone, void *ctx)
{
	uint64_t *entry, bytes;

	lock(npt);
	while ((entry = step(npt, &start, end, &bytes))) {
		if (!(*entry & GONE))
			continue;
		gone(ctx, *entry & ADDRESS & ~(bytes - 1), bytes);
		*entry = 0;
	}
	unlock(npt);
}

uint64_t npt_next(const struct npt *npt, uint64_t from, uint64_t end)
{
	unsigned level;

	while (from < end && from < covers(TOP_LEVEL + 1)) {
		if (*lowest(npt, from, &level))
			return from;
		from = (from & ~(covers(level) - 1)) + covers(level);
	}
	return UINT64_MAX;
}

/* The entries of one table, from that of `guest` on. */
static void take_from_table(uint64_t *entry, unsigned count, uint64_t first, uint8_t *bitmap)
{
	for (uint64_t i = first; i < first + count; i++, entry++) {
		if ((*entry & (PRESENT | WRITTEN)) != (PRESENT | WRITTEN))
			continue;
		__atomic_fetch_and(entry, ~WRITTEN, __ATOMIC_SEQ_CST);
		bitmap[i / 8] |= (uint8_t)(1u << i % 8);
	}
}

int npt_take_written(struct npt *npt, uint64_t start, uint64_t pages, uint8_t *bitmap)
{
	uint64_t end = start + pages * PAGE_BYTES, *entry;
	unsigned level;
	int r = 0;

	lock(npt);
	for (uint64_t at = start, next; r == 0 && at < end; at = next) {
		uint64_t table_end = (at & ~(covers(1) - 1)) + covers(1);

		entry = lowest(npt, at, &level);
		next = (at & ~(covers(level) - 1)) + covers(level);
		if (!(*entry & PRESENT) && level)
			continue;
		next = min_u64(table_end, end);
		if (level)
			entry = reach(npt, at, PAGE_BYTES, &level);
		if (entry)
			take_from_table(entry, (unsigned)((next - at) / PAGE_BYTES),
					(at - start) / PAGE_BYTES, bitmap);
		else
			r = -ENOMEM;
	}
	unlock(npt);
	return r;
}

void npt_note_written(const struct npt *npt, uint64_t guest)
{
	unsigned level;

	__atomic_fetch_or(lowest(npt, guest, &level), WRITTEN, __ATOMIC_SEQ_CST);
}

bool npt_find(const struct npt *npt, uint64_t guest, uint64_t *ret_physical, bool *ret_write)
{
	uint64_t *table = npt->top, entry;
	unsigned level = TOP_LEVEL;

	if (guest >= covers(TOP_LEVEL + 1))
		return false;
	for (;;) {
		entry = *entry_in(table, guest, level);
		if (!(entry & PRESENT))
			return false;
		if (level == 0 || (entry & LARGE))
			break;
		table = table_at(entry);
		level--;
	}
	*ret_physical = (entry & ADDRESS & ~(covers(level) - 1)) | (guest & (covers(level) - 1));
	*ret_write = entry & NPT_WRITE;
	return true;
}
