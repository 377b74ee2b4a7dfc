/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/npt.h"

#include <errno.h>
#include <stddef.h>

#include "hypervisor/memory.h"
#include "hypervisor/x86.h"

#define ENTRIES 512u
#define TOP_LEVEL 3u
#define PRESENT (UINT64_C(1) << 0)
#define USER (UINT64_C(1) << 2) /* nested walks count as a user's */
#define LARGE (UINT64_C(1) << 7)
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

int npt_init(struct npt *npt)
{
	npt->top = pool_take(1);
	return npt->top ? 0 : -ENOMEM;
}

uint64_t npt_physical(const struct npt *npt)
{
	return pointer_to_physical(npt->top);
}

/* A table below an entry of this level, with what the entry mapped so far. */
static uint64_t *split(uint64_t *entry, unsigned level)
{
	uint64_t *table = pool_take(1), old = *entry;

	if (!table)
		return NULL;
	for (uint64_t i = 0; (old & PRESENT) && i < ENTRIES; i++)
		table[i] = ((old & ADDRESS & ~(covers(level) - 1)) + i * covers(level - 1)) |
			   (old & RIGHTS) | (level > 1 ? LARGE : 0);
	*entry = pointer_to_physical(table) | PRESENT | NPT_WRITE | USER;
	return table;
}

static int map(struct npt *npt, uint64_t guest, uint64_t physical, uint64_t bytes, uint64_t flags)
{
	uint64_t *table = npt->top, *entry;
	unsigned level = TOP_LEVEL;

	for (entry = entry_in(table, guest, level); covers(level) > bytes;
	     entry = entry_in(table, guest, --level)) {
		table = (*entry & PRESENT) && !(*entry & LARGE) ? table_at(*entry)
								: split(entry, level);
		if (!table)
			return -ENOMEM;
	}
	*entry = physical | flags | PRESENT | USER | (level ? LARGE : 0);
	return 0;
}

int npt_map(struct npt *npt, uint64_t guest, uint64_t physical, uint64_t bytes, uint64_t flags)
{
	int r;

	while (__atomic_test_and_set(&npt->lock, __ATOMIC_ACQUIRE))
		x86_pause();
	r = map(npt, guest, physical, bytes, flags);
	__atomic_clear(&npt->lock, __ATOMIC_RELEASE);
	return r;
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
