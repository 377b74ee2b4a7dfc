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

#include "parent/hypercall.h"

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

static void destroy(struct oya_vm *vm)
{
	struct page *chunk, *next;
	u64 b;
	long r;

	do {
		b = vm->number;
		r = oya_hypercall(OYA_CALL_DESTROY, &b, 0, 0, 0);
		cond_resched();
	} while (r == -EAGAIN || r == -EBUSY);
	/* What the hypervisor does not give back must not be used: better lost than shared. */
	if (WARN_ON(r < 0))
		return;
	list_for_each_entry_safe(chunk, next, &vm->chunks, lru)
	{
		list_del(&chunk->lru);
		__free_pages(chunk, CHUNK_ORDER);
	}
	list_for_each_entry_safe(chunk, next, &vm->shared, lru)
	{
		list_del(&chunk->lru);
		__free_page(chunk);
	}
}

static void vm_release(struct kref *refs)
{
	struct oya_vm *vm = container_of(refs, struct oya_vm, refs);
	unsigned int i;

	destroy(vm);
	for (i = 0; i < OYA_SLOTS; i++)
		oya_memory_unpin(&vm->slot[i]);
	__free_page(vm->list);
	kfree(vm);
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

static long vm_ioctl(struct file *file, unsigned int number, unsigned long argument)
{
	struct oya_vm *vm = file->private_data;
	long r;

	if (mutex_lock_killable(&vm->lock))
		return -EINTR;
	switch (number) {
	case KVM_CREATE_VCPU:
		r = oya_vcpu_create(vm, argument);
		break;
	case KVM_SET_USER_MEMORY_REGION:
		r = set_memory(vm, (const void __user *)argument);
		break;
	default:
		r = -ENOTTY;
	}
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
	struct oya_vm *vm = kzalloc(sizeof(*vm), GFP_KERNEL_ACCOUNT);
	int r = -ENOMEM;

	if (!vm)
		return -ENOMEM;
	kref_init(&vm->refs);
	mutex_init(&vm->lock);
	INIT_LIST_HEAD(&vm->chunks);
	INIT_LIST_HEAD(&vm->shared);
	vm->list = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	if (vm->list)
		r = make_partition(vm);
	if (r < 0) {
		if (vm->list)
			__free_page(vm->list);
		kfree(vm);
		return r;
	}
	r = anon_inode_getfd("oya-vm", &vm_files, vm, O_RDWR | O_CLOEXEC);
	if (r < 0)
		oya_vm_put(vm);
	return r;
}
