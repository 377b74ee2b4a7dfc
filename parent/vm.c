// SPDX-License-Identifier: GPL-2.0-or-later
#include "parent/vm.h"

#include <asm/irq_vectors.h>
#include <asm/tsc.h>
#include <linux/anon_inodes.h>
#include <linux/fs.h>
#include <linux/gfp.h>
#include <linux/io.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "parent/device.h"
#include "parent/hypercall.h"
#include "parent/irqs.h"
#include "parent/vcpu.h"

#define CHUNK_ORDER (ilog2(OYA_CHUNK_BYTES) - PAGE_SHIFT)

/* A chunk for the hypervisor. While it has it, nothing here touches it. */
static struct page *take_chunk(void)
{
	return alloc_pages(GFP_KERNEL_ACCOUNT | __GFP_NOWARN, CHUNK_ORDER);
}

int oya_vm_donate(struct oya_vm *vm)
{
	struct page *chunk = take_chunk();
	u64 b = vm->number;
	long r;

	if (!chunk)
		return -ENOMEM;
	r = oya_hypercall(OYA_CALL_DONATE, &b, page_to_phys(chunk), 0, 0);
	if (r < 0)
		__free_pages(chunk, CHUNK_ORDER);
	else
		list_add(&chunk->lru, &vm->chunks);
	return r;
}

long oya_vm_call(struct oya_vm *vm, u64 number, u64 *b, u64 c, u64 d, u64 s)
{
	u64 first = *b;
	long r = oya_hypercall(number, b, c, d, s);

	while (r == -ENOMEM && oya_vm_donate(vm) == 0) {
		*b = first;
		r = oya_hypercall(number, b, c, d, s);
	}
	return r;
}

/* False: the hypervisor gives nothing back. */
static bool end_partition(struct oya_vm *vm)
{
	u64 b;
	long r;

	do {
		b = vm->number;
		r = oya_hypercall(OYA_CALL_DESTROY, &b, 0, 0, 0);
		cond_resched();
	} while (r == -EAGAIN || r == -EBUSY);
	return !WARN_ON(r < 0);
}

static void vm_release(struct kref *refs)
{
	struct oya_vm *vm = container_of(refs, struct oya_vm, refs);
	struct page *chunk, *next;
	unsigned int i;

	oya_irqs_free(vm);
	/* What it does not give back must not be used: better lost than shared. */
	if (!end_partition(vm))
		return;
	for (i = 0; i < OYA_PROCESSORS; i++) {
		if (vm->vcpu[i])
			oya_vcpu_free(vm->vcpu[i]);
	}
	list_for_each_entry_safe(chunk, next, &vm->chunks, lru)
	{
		list_del(&chunk->lru);
		__free_pages(chunk, CHUNK_ORDER);
	}
	for (i = 0; i < OYA_SLOTS; i++)
		oya_memory_unpin(&vm->slot[i]);
	oya_events_free(vm);
	oya_msrs_free(vm);
	__free_page(vm->list);
	kvfree(vm);
}

void oya_vm_put(struct oya_vm *vm)
{
	kref_put(&vm->refs, vm_release);
}

static int vm_close(struct inode *inode, struct file *file)
{
	oya_vm_put(file->private_data);
	return 0;
}

static long set_memory(struct oya_vm *vm, const void __user *argument)
{
	struct kvm_userspace_memory_region region;

	if (copy_from_user(&region, argument, sizeof(region)))
		return -EFAULT;
	return oya_memory_set(vm, &region);
}

static long enable(struct oya_vm *vm, const void __user *argument)
{
	struct kvm_enable_cap cap;
	unsigned int i;

	if (copy_from_user(&cap, argument, sizeof(cap)))
		return -EFAULT;
	if (cap.flags)
		return -EINVAL;
	switch (cap.cap) {
	case KVM_CAP_SPLIT_IRQCHIP:
		/* The end of each level-triggered interrupt is told, so the number of pins, which
		 * the worker gives, does not matter. */
		if (vm->has_apics)
			return -EEXIST;
		for (i = 0; i < OYA_PROCESSORS; i++) {
			if (vm->vcpu[i])
				return -EEXIST;
		}
		vm->has_apics = true;
		return 0;
	case KVM_CAP_X86_USER_SPACE_MSR:
		if (cap.args[0] & ~(u64)OYA_MSR_REASONS)
			return -EINVAL;
		WRITE_ONCE(vm->msr_reasons, cap.args[0]);
		return 0;
	case KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2:
		if (cap.args[0] & ~(u64)OYA_LOG_FLAGS || cap.args[0] == KVM_DIRTY_LOG_INITIALLY_SET)
			return -EINVAL;
		vm->clears_log = cap.args[0] & KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE;
		vm->log_begins_full = cap.args[0] & KVM_DIRTY_LOG_INITIALLY_SET;
		return 0;
	default:
		return -EINVAL;
	}
}

static long set_event(struct oya_vm *vm, const void __user *argument)
{
	struct kvm_ioeventfd event;

	if (copy_from_user(&event, argument, sizeof(event)))
		return -EFAULT;
	return oya_event_set(vm, &event);
}

static long call_locked(struct oya_vm *vm, unsigned int number, unsigned long argument)
{
	void __user *at = (void __user *)argument;

	switch (number) {
	case KVM_CREATE_VCPU:
		return oya_vcpu_create(vm, argument);
	case KVM_SET_USER_MEMORY_REGION:
		return set_memory(vm, at);
	case KVM_ENABLE_CAP:
		return enable(vm, at);
	case KVM_X86_SET_MSR_FILTER:
		return oya_msrs_filter(vm, at);
	case KVM_GET_DIRTY_LOG:
		return oya_memory_log(vm, at);
	case KVM_CLEAR_DIRTY_LOG:
		return oya_memory_clear_log(vm, at);
	case KVM_IOEVENTFD:
		return set_event(vm, at);
	case KVM_SET_GSI_ROUTING:
		return oya_irq_routes(vm, at);
	case KVM_IRQFD:
		return oya_irq_descriptor(vm, at);
	case KVM_SET_TSS_ADDR: /* of Intel's real mode */
	case KVM_SET_IDENTITY_MAP_ADDR:
		return 0;
	default:
		return -ENOTTY;
	}
}

static long vm_ioctl(struct file *file, unsigned int number, unsigned long argument)
{
	struct oya_vm *vm = file->private_data;
	void __user *at = (void __user *)argument;
	long r;

	if (number == KVM_SIGNAL_MSI)
		return oya_irq_message(vm, at);
	if (number == KVM_IRQ_LINE || number == KVM_IRQ_LINE_STATUS)
		return oya_irq_line(vm, at, number == KVM_IRQ_LINE_STATUS);
	if (number == KVM_CHECK_EXTENSION)
		return oya_extension(argument);
	if (mutex_lock_killable(&vm->lock))
		return -EINTR;
	r = call_locked(vm, number, argument);
	mutex_unlock(&vm->lock);
	return r;
}

static const struct file_operations vm_files = {
	.owner = THIS_MODULE,
	.release = vm_close,
	.unlocked_ioctl = vm_ioctl,
	.llseek = noop_llseek,
};

static int make_partition(struct oya_vm *vm)
{
	struct page *chunk = take_chunk();
	u64 b;
	long r;

	if (!chunk)
		return -ENOMEM;
	b = page_to_phys(chunk);
	r = oya_hypercall(OYA_CALL_CREATE, &b, tsc_khz, RESCHEDULE_VECTOR, 0);
	if (r < 0) {
		__free_pages(chunk, CHUNK_ORDER);
		return r;
	}
	vm->number = b;
	list_add(&chunk->lru, &vm->chunks);
	return 0;
}

int oya_vm_create(void)
{
	struct oya_vm *vm = kvzalloc(sizeof(*vm), GFP_KERNEL_ACCOUNT);
	int r = -ENOMEM;

	if (!vm)
		return -ENOMEM;
	kref_init(&vm->refs);
	mutex_init(&vm->lock);
	INIT_LIST_HEAD(&vm->chunks);
	INIT_LIST_HEAD(&vm->descriptors);
	hash_init(vm->events);
	vm->list = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	if (vm->list)
		r = make_partition(vm);
	if (r < 0) {
		if (vm->list)
			__free_page(vm->list);
		kvfree(vm);
		return r;
	}
	r = anon_inode_getfd("oya-vm", &vm_files, vm, O_RDWR | O_CLOEXEC);
	if (r < 0)
		oya_vm_put(vm);
	return r;
}
