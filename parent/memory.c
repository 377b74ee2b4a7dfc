// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Memory slots: the worker's pages are pinned for as long as they are mapped, since the
 * hypervisor's tables do not follow the kernel's.
 */
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include "parent/hypercall.h"
#include "parent/vm.h"

#define KEPT_FREE_PAGES ((64l << 20) / PAGE_SIZE)
#define LARGE_PAGES (OYA_CHUNK_BYTES / PAGE_SIZE)

void oya_memory_unpin(struct oya_slot *slot)
{
	if (slot->pages) {
		unpin_user_pages_dirty_lock(slot->pages, slot->count, true);
		kvfree(slot->pages);
	}
	if (slot->mm) {
		account_locked_vm(slot->mm, slot->bytes >> PAGE_SHIFT, false);
		mmdrop(slot->mm);
	}
	*slot = (struct oya_slot){};
}

static int pin(struct oya_slot *slot, unsigned long at)
{
	unsigned long want = slot->bytes >> PAGE_SHIFT;
	int r = account_locked_vm(current->mm, want, true);

	if (r < 0)
		return r;
	mmgrab(current->mm);
	slot->mm = current->mm;
	slot->pages = kvcalloc(want, sizeof(slot->pages[0]), GFP_KERNEL_ACCOUNT);
	if (!slot->pages)
		return -ENOMEM;
	while (slot->count < want) {
		int part = min(want - slot->count, LARGE_PAGES);

		/* Better refused than paid for by a process that the kernel picks. */
		if (si_mem_available() < KEPT_FREE_PAGES)
			return -ENOMEM;
		part = pin_user_pages_fast(at + slot->count * PAGE_SIZE, part,
					   FOLL_WRITE | FOLL_LONGTERM, slot->pages + slot->count);
		if (part <= 0)
			return part ? part : -EFAULT;
		slot->count += part;
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	}
	return 0;
}

/* Whether the pages from `first` on are one large page, for an address that is aligned so. */
static bool is_large(const struct oya_slot *slot, unsigned long first)
{
	u64 start = page_to_pfn(slot->pages[first]);
	unsigned long i;

	if (((slot->guest >> PAGE_SHIFT) + first) % LARGE_PAGES || start % LARGE_PAGES ||
	    slot->count - first < LARGE_PAGES)
		return false;
	for (i = 1; i < LARGE_PAGES; i++) {
		if (page_to_pfn(slot->pages[first + i]) != start + i)
			return false;
	}
	return true;
}

/* The pages from `first` on that one call takes; how many were mapped, or a negative errno. */
static long map_some(struct oya_vm *vm, const struct oya_slot *slot, unsigned long first, u64 flags)
{
	u64 *list = page_address(vm->list), guest = slot->guest + first * PAGE_SIZE;
	unsigned long count, i;
	u64 b = vm->number;
	long r;

	if (is_large(slot, first)) {
		list[0] = page_to_phys(slot->pages[first]);
		r = oya_vm_call(vm, OYA_CALL_MAP, &b, guest | flags | OYA_MAP_LARGE,
				page_to_phys(vm->list), 1);
		return r < 0 ? r : LARGE_PAGES;
	}
	/* Up to where a large page may begin. */
	count = min(slot->count - first, LARGE_PAGES - (guest >> PAGE_SHIFT) % LARGE_PAGES);
	for (i = 0; i < count; i++)
		list[i] = page_to_phys(slot->pages[first + i]);
	for (i = 0; i < count; i += b) {
		b = vm->number;
		r = oya_hypercall(OYA_CALL_MAP, &b, (guest + i * PAGE_SIZE) | flags,
				  page_to_phys(vm->list), count - i);
		if (r == -ENOMEM)
			r = oya_vm_donate(vm);
		if (r < 0)
			return r;
		memmove(list, list + b, (count - i - b) * sizeof(list[0]));
	}
	return count;
}

static void unmap(struct oya_vm *vm, const struct oya_slot *slot)
{
	u64 at, b;

	for (at = slot->guest; at < slot->guest + slot->bytes;) {
		u64 part =
			min(OYA_CHUNK_BYTES - at % OYA_CHUNK_BYTES, slot->guest + slot->bytes - at);

		b = vm->number;
		WARN_ON(oya_hypercall(OYA_CALL_UNMAP, &b, at, part, 0) < 0);
		at += part;
		cond_resched();
	}
}

static int add(struct oya_vm *vm, struct oya_slot *slot, unsigned long at, u64 flags)
{
	unsigned long done = 0;
	int r = pin(slot, at);

	while (r == 0 && done < slot->count) {
		long part = map_some(vm, slot, done, flags);

		if (part < 0)
			r = part;
		else
			done += part;
		cond_resched();
	}
	if (r < 0) {
		unmap(vm, slot);
		oya_memory_unpin(slot);
	}
	return r;
}

static bool overlaps(const struct oya_vm *vm, u64 guest, u64 bytes)
{
	unsigned int i;

	for (i = 0; i < OYA_SLOTS; i++) {
		const struct oya_slot *s = &vm->slot[i];

		if (s->bytes && guest < s->guest + s->bytes && s->guest < guest + bytes)
			return true;
	}
	return false;
}

int oya_memory_set(struct oya_vm *vm, const struct kvm_userspace_memory_region *region)
{
	struct oya_slot *slot;

	if (region->slot >= OYA_SLOTS || region->flags & ~KVM_MEM_READONLY ||
	    (region->guest_phys_addr | region->memory_size | region->userspace_addr) % PAGE_SIZE ||
	    region->guest_phys_addr + region->memory_size < region->guest_phys_addr ||
	    region->memory_size >> 40)
		return -EINVAL;
	slot = &vm->slot[region->slot];
	if (!region->memory_size) {
		if (!slot->bytes)
			return -EINVAL;
		unmap(vm, slot);
		oya_memory_unpin(slot);
		return 0;
	}
	if (slot->bytes || overlaps(vm, region->guest_phys_addr, region->memory_size))
		return -EEXIST;
	slot->guest = region->guest_phys_addr;
	slot->bytes = region->memory_size;
	return add(vm, slot, region->userspace_addr,
		   region->flags & KVM_MEM_READONLY ? 0 : OYA_MAP_WRITE);
}
