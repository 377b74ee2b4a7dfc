/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/partition.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "abi/oya.h"
#include "base/util.h"
#include "hypervisor/child.h"
#include "hypervisor/cpu.h"
#include "hypervisor/frames.h"
#include "hypervisor/iommu.h"
#include "hypervisor/memory.h"
#include "hypervisor/parent.h"
#include "hypervisor/x86.h"

#define GUEST_END (UINT64_C(1) << 48)
#define KHZ_MAX 20000000u
#define FIRST_VECTOR 32u
#define DESTROY_STEP 8u /* ranges of 2 MiB in a call */

static struct {
	struct partition *p;
	unsigned users; /* that have found it and not put it back */
} slots[PARTITIONS_MAX];
static unsigned count;
static uint64_t serial;
static bool slots_lock; /* atomic; held for a few instructions */

static void lock_slots(void)
{
	while (__atomic_test_and_set(&slots_lock, __ATOMIC_ACQUIRE))
		x86_pause();
}

static void unlock_slots(void)
{
	__atomic_clear(&slots_lock, __ATOMIC_RELEASE);
}

struct partition *partition_get(uint64_t number)
{
	struct partition *p;

	if (number - 1 >= PARTITIONS_MAX)
		return NULL;
	lock_slots();
	p = slots[number - 1].p;
	if (p)
		slots[number - 1].users++;
	unlock_slots();
	return p;
}

void partition_put(struct partition *p)
{
	lock_slots();
	slots[p->number - 1].users--;
	unlock_slots();
}

unsigned partition_count(void)
{
	return __atomic_load_n(&count, __ATOMIC_RELAXED);
}

/* A chunk of the parent's becomes ours, all zeros. */
static int take_chunk(uint64_t at)
{
	int r = at % OYA_CHUNK_BYTES ? -EINVAL : frames_take(at, OYA_CHUNK_BYTES);

	if (r < 0)
		return r;
	r = parent_hide_chunk(at);
	if (r < 0) {
		frames_give_back(at, OYA_CHUNK_BYTES);
		return r;
	}
	cpu_flush_everywhere();
	iommu_flush();
	memset(physical_to_pointer(at), 0, OYA_CHUNK_BYTES);
	return 0;
}

static void release_chunk(uint64_t at)
{
	memset(physical_to_pointer(at), 0, OYA_CHUNK_BYTES);
	parent_show_chunk(at);
}

static void *take_table(void *ctx)
{
	return partition_take(ctx, 1);
}

void *partition_take(struct partition *p, unsigned pages)
{
	uint64_t at = p->next, bytes = (uint64_t)pages * PAGE_BYTES;

	if (p->end - at < bytes)
		return NULL;
	p->next = at + bytes;
	return physical_to_pointer(at);
}

int partition_create(uint64_t chunk, uint64_t khz, uint64_t kick, unsigned *ret_number)
{
	struct partition *p = physical_to_pointer(chunk);
	unsigned i;
	int r = -EINVAL;

	if (khz - 1 < KHZ_MAX && kick - FIRST_VECTOR <= UINT8_MAX - FIRST_VECTOR)
		r = take_chunk(chunk);
	if (r < 0)
		return r;
	p->khz = (uint32_t)khz;
	p->kick = (uint8_t)kick;
	p->chunk[p->chunk_count++] = chunk;
	p->next = chunk + align_up(sizeof(*p), PAGE_BYTES);
	p->end = chunk + OYA_CHUNK_BYTES;
	(void)npt_init(&p->npt, take_table, p); /* there is room */
	lock_slots();
	for (i = 0; i < PARTITIONS_MAX && slots[i].p; i++)
		;
	if (i < PARTITIONS_MAX) {
		p->number = i + 1;
		p->serial = ++serial;
		slots[i].p = p;
		slots[i].users = 0;
		count++;
	}
	unlock_slots();
	*ret_number = i + 1;
	if (i < PARTITIONS_MAX)
		return 0;
	release_chunk(chunk);
	cpu_flush_everywhere();
	iommu_flush();
	frames_give_back(chunk, OYA_CHUNK_BYTES);
	return -ENOSPC;
}

int partition_donate(struct partition *p, uint64_t chunk)
{
	int r = -ENOSPC;

	lock_take(&p->lock);
	if (p->ends)
		r = -ENOENT;
	else if (p->chunk_count < CHUNKS_MAX)
		r = take_chunk(chunk);
	if (r == 0) {
		p->chunk[p->chunk_count++] = chunk;
		p->next = chunk;
		p->end = chunk + OYA_CHUNK_BYTES;
	}
	lock_release(&p->lock);
	return r;
}

static int map_one(struct partition *p, uint64_t guest, uint64_t at, uint64_t bytes,
		   uint64_t rights)
{
	int r;

	if (at % bytes)
		return -EINVAL;
	if (npt_next(&p->npt, guest, guest + bytes) != UINT64_MAX)
		return -EEXIST;
	r = frames_lend(at, bytes, p->number);
	if (r < 0)
		return r;
	r = npt_map(&p->npt, guest, at, bytes, rights);
	if (r < 0)
		frames_return(at, bytes);
	return r;
}

int partition_map(struct partition *p, uint64_t guest, const volatile uint64_t *list,
		  uint64_t pages, uint64_t *ret_done)
{
	uint64_t bytes = guest & OYA_MAP_LARGE ? PAGE_2M : PAGE_BYTES;
	uint64_t rights = guest & OYA_MAP_WRITE ? NPT_WRITE : 0;
	int r = 0;

	guest &= ~(uint64_t)(OYA_MAP_WRITE | OYA_MAP_LARGE);
	*ret_done = 0;
	if (guest % bytes || pages > OYA_LIST_MAX || !range_within(guest, pages * bytes, GUEST_END))
		return -EINVAL;
	lock_take(&p->lock);
	if (p->ends)
		r = -ENOENT;
	while (r == 0 && *ret_done < pages) {
		r = map_one(p, guest + *ret_done * bytes, list[*ret_done], bytes, rights);
		if (r == 0)
			++*ret_done;
	}
	lock_release(&p->lock);
	return r;
}

static void give_back(void *ctx, uint64_t physical, uint64_t bytes)
{
	(void)ctx;
	frames_return(physical, bytes);
}

int partition_unmap(struct partition *p, uint64_t guest, uint64_t bytes)
{
	if ((guest | bytes) % PAGE_BYTES || bytes > OYA_CHUNK_BYTES ||
	    !range_within(guest, bytes, GUEST_END))
		return -EINVAL;
	lock_take(&p->lock);
	npt_unmap(&p->npt, guest, guest + bytes);
	/* A page may be another's only when no processor can reach it any more. */
	cpu_flush_everywhere();
	npt_forget(&p->npt, guest, guest + bytes, give_back, NULL);
	lock_release(&p->lock);
	return 0;
}

int partition_take_written(struct partition *p, uint64_t guest, uint64_t pages, uint8_t *bitmap)
{
	int r;

	if (guest % PAGE_BYTES || pages > OYA_WRITTEN_MAX ||
	    !range_within(guest, pages * PAGE_BYTES, GUEST_END))
		return -EINVAL;
	lock_take(&p->lock);
	r = p->ends ? -ENOENT : npt_take_written(&p->npt, guest, pages, bitmap);
	/* From now on a write is told anew. */
	cpu_flush_everywhere();
	lock_release(&p->lock);
	return r;
}

static bool is_alone(const struct partition *p)
{
	bool alone;

	lock_slots();
	alone = slots[p->number - 1].users == 1;
	unlock_slots();
	return alone;
}

/* True when nothing is mapped any more. No processor of it runs, and their address-space numbers
 * are not used again without a flush. */
static bool unmap_some(struct partition *p)
{
	uint64_t at = 0;

	for (unsigned i = 0; i < DESTROY_STEP && at != UINT64_MAX; i++) {
		at = npt_next(&p->npt, 0, UINT64_MAX);
		if (at == UINT64_MAX)
			break;
		npt_unmap(&p->npt, at, at + PAGE_2M);
		npt_forget(&p->npt, at, at + PAGE_2M, give_back, NULL);
	}
	return at == UINT64_MAX;
}

/* All that it had is the parent's again. The first chunk holds the list of the others. */
static void release_chunks(struct partition *p)
{
	uint64_t first = p->chunk[0];

	for (unsigned i = p->chunk_count; i-- > 1;)
		release_chunk(p->chunk[i]);
	cpu_flush_everywhere();
	iommu_flush();
	for (unsigned i = p->chunk_count; i-- > 1;)
		frames_give_back(p->chunk[i], OYA_CHUNK_BYTES);
	release_chunk(first);
	cpu_flush_everywhere();
	iommu_flush();
	frames_give_back(first, OYA_CHUNK_BYTES);
}

/* The pages that processors share with the parent. */
static void return_shared(struct partition *p)
{
	for (unsigned i = 0; i < PROCESSORS_MAX; i++) {
		if (p->child[i])
			frames_return(child_shared(p->child[i]), PAGE_BYTES);
	}
}

int partition_destroy(uint64_t number)
{
	struct partition *p = partition_get(number);
	int r = 0;

	if (!p)
		return -ENOENT;
	/* Who finds it from now on lets it be; who has found it before is counted. */
	lock_take(&p->lock);
	p->ends = true;
	lock_release(&p->lock);
	if (!is_alone(p))
		r = -EBUSY;
	else if (!unmap_some(p))
		r = -EAGAIN;
	lock_slots();
	if (r == 0 && slots[number - 1].users > 1)
		r = -EBUSY;
	slots[number - 1].users--;
	if (r == 0) {
		slots[number - 1].p = NULL;
		count--;
	}
	unlock_slots();
	if (r == 0) {
		return_shared(p);
		release_chunks(p);
	}
	return r;
}
