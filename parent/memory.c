// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Memory slots: the worker's pages are pinned for as long as they are mapped, since the
 * hypervisor's tables do not follow the kernel's.
 */
#include <linux/bitmap.h>
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "parent/hypercall.h"
#include "parent/vm.h"

#define KEPT_FREE_PAGES ((64l << 20) / PAGE_SIZE)
#define LARGE_PAGES (OYA_CHUNK_BYTES / PAGE_SIZE)
#define FLAGS (KVM_MEM_READONLY | KVM_MEM_LOG_DIRTY_PAGES)
#define LOG_STEP 64u /* pages, of the calls of the log */

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
	kvfree(slot->written);
	*slot = (struct oya_slot){};
}

static int pin(struct oya_slot *slot)
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
		part = pin_user_pages_fast(slot->at + slot->count * PAGE_SIZE, part,
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

/* The slot is gone when this fails. */
static int map(struct oya_vm *vm, struct oya_slot *slot)
{
	u64 flags = slot->flags & KVM_MEM_READONLY ? 0 : OYA_MAP_WRITE;
	unsigned long done = 0;
	long part = 0;

	while (part >= 0 && done < slot->count) {
		part = map_some(vm, slot, done, flags);
		if (part > 0)
			done += part;
		cond_resched();
	}
	if (part >= 0)
		return 0;
	unmap(vm, slot);
	oya_memory_unpin(slot);
	return part;
}

/* Adds what the hypervisor knows of to the bits here. */
static int gather(struct oya_vm *vm, struct oya_slot *slot)
{
	unsigned long first, part, i;
	long r = 0;

	for (first = 0; r == 0 && first < slot->count; first += part) {
		u64 b = vm->number, *list = page_address(vm->list);

		part = min(slot->count - first, (unsigned long)OYA_WRITTEN_MAX);
		memset(list, 0, DIV_ROUND_UP(part, BITS_PER_BYTE));
		list[(part - 1) / BITS_PER_LONG] = 0;
		r = oya_vm_call(vm, OYA_CALL_TAKE_WRITTEN, &b, slot->guest + first * PAGE_SIZE,
				page_to_phys(vm->list), part);
		for (i = 0; i < BITS_TO_LONGS(part); i++)
			slot->written[first / BITS_PER_LONG + i] |= list[i];
		cond_resched();
	}
	return r;
}

static int set_flags(struct oya_vm *vm, struct oya_slot *slot, u32 flags)
{
	bool logs = flags & KVM_MEM_LOG_DIRTY_PAGES;
	int r;

	slot->flags = flags;
	if (!logs) {
		kvfree(slot->written);
		slot->written = NULL;
	}
	if (!logs || slot->written)
		return 0;
	slot->written = kvcalloc(BITS_TO_LONGS(slot->count), sizeof(long), GFP_KERNEL_ACCOUNT);
	if (!slot->written)
		return -ENOMEM;
	/* What was before does not count. */
	r = gather(vm, slot);
	if (r == 0 && vm->log_begins_full)
		bitmap_set(slot->written, 0, slot->count);
	else if (r == 0)
		bitmap_zero(slot->written, slot->count);
	return r;
}

static bool overlaps(const struct oya_vm *vm, const struct oya_slot *but, u64 guest, u64 bytes)
{
	unsigned int i;

	for (i = 0; i < OYA_SLOTS; i++) {
		const struct oya_slot *s = &vm->slot[i];

		if (s != but && s->bytes && guest < s->guest + s->bytes && s->guest < guest + bytes)
			return true;
	}
	return false;
}

/* Of a slot in use the address may change, and whether it is logged. */
static int change(struct oya_vm *vm, struct oya_slot *slot,
		  const struct kvm_userspace_memory_region *to)
{
	int r = 0;

	if (to->memory_size != slot->bytes || to->userspace_addr != slot->at ||
	    (to->flags ^ slot->flags) & KVM_MEM_READONLY)
		return -EINVAL;
	if (to->guest_phys_addr != slot->guest) {
		unmap(vm, slot);
		slot->guest = to->guest_phys_addr;
		r = map(vm, slot);
	}
	return r < 0 ? r : set_flags(vm, slot, to->flags);
}

static int add(struct oya_vm *vm, struct oya_slot *slot,
	       const struct kvm_userspace_memory_region *from)
{
	int r;

	slot->guest = from->guest_phys_addr;
	slot->bytes = from->memory_size;
	slot->at = from->userspace_addr;
	slot->flags = from->flags;
	r = pin(slot);
	if (r < 0) {
		oya_memory_unpin(slot);
		return r;
	}
	r = map(vm, slot);
	return r < 0 ? r : set_flags(vm, slot, from->flags);
}

int oya_memory_set(struct oya_vm *vm, const struct kvm_userspace_memory_region *region)
{
	struct oya_slot *slot;

	if (region->slot >= OYA_SLOTS || region->flags & ~FLAGS ||
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
	if (overlaps(vm, slot, region->guest_phys_addr, region->memory_size))
		return -EEXIST;
	return slot->bytes ? change(vm, slot, region) : add(vm, slot, region);
}

static struct oya_slot *find_logged(struct oya_vm *vm, u32 number)
{
	return number < OYA_SLOTS && vm->slot[number].written ? &vm->slot[number] : NULL;
}

long oya_memory_log(struct oya_vm *vm, const struct kvm_dirty_log __user *argument)
{
	struct kvm_dirty_log log;
	struct oya_slot *slot;
	int r;

	if (copy_from_user(&log, argument, sizeof(log)))
		return -EFAULT;
	slot = find_logged(vm, log.slot);
	if (!slot)
		return -ENOENT;
	r = gather(vm, slot);
	if (r < 0)
		return r;
	if (copy_to_user(log.dirty_bitmap, slot->written,
			 BITS_TO_LONGS(slot->count) * sizeof(long)))
		return -EFAULT;
	if (!vm->clears_log)
		bitmap_zero(slot->written, slot->count);
	return 0;
}

/* What is written between the two calls stays with the hypervisor, so of the bits here none is lost
 * that the worker does not know. */
long oya_memory_clear_log(struct oya_vm *vm, const struct kvm_clear_dirty_log __user *argument)
{
	struct kvm_clear_dirty_log log;
	const unsigned long __user *from;
	struct oya_slot *slot;
	unsigned long word, i;

	if (copy_from_user(&log, argument, sizeof(log)))
		return -EFAULT;
	slot = find_logged(vm, log.slot);
	if (!slot)
		return -ENOENT;
	if (log.first_page % LOG_STEP || log.first_page > slot->count ||
	    log.num_pages > slot->count - log.first_page ||
	    (log.num_pages % LOG_STEP && log.first_page + log.num_pages != slot->count))
		return -EINVAL;
	from = log.dirty_bitmap;
	for (i = 0; i < BITS_TO_LONGS(log.num_pages); i++) {
		if (get_user(word, &from[i]))
			return -EFAULT;
		slot->written[log.first_page / BITS_PER_LONG + i] &= ~word;
	}
	return 0;
}
