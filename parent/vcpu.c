// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A processor of a partition: KVM's calls of a VCPU. The page that it shares with the hypervisor is
 * the kernel's alone; what the worker maps is struct kvm_run and, behind it, a page of data.
 */
#include <linux/anon_inodes.h>
#include <linux/fs.h>
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "parent/hypercall.h"
#include "parent/registers.h"
#include "parent/vm.h"

#define RUN_PAGES 2u
#define DATA_OFFSET PAGE_SIZE

struct vcpu {
	struct oya_vm *vm;
	u64 number;
	struct mutex lock;
	struct page *shared_page, *state_page;
	struct oya_processor *shared;
	struct oya_state *state; /* valid only between get_state and set_state */
	struct kvm_run *run;
	bool in_waits; /* the worker has been asked for what an IN reads */
};

static long call(struct vcpu *v, u64 number, u64 d, u64 s)
{
	u64 b = v->vm->number;

	return oya_hypercall(number, &b, v->number, d, s);
}

static long get_state(struct vcpu *v)
{
	return call(v, OYA_CALL_GET_STATE, page_to_phys(v->state_page), 0);
}

static long set_state(struct vcpu *v)
{
	return call(v, OYA_CALL_SET_STATE, page_to_phys(v->state_page), 0);
}

static void finish_in(struct vcpu *v)
{
	u64 value = 0;

	memcpy(&value, (u8 *)v->run + DATA_OFFSET, v->shared->bytes);
	v->shared->value = value;
	v->in_waits = false;
}

/* What the worker must do; false: go on. */
static bool take_exit(struct vcpu *v)
{
	const struct oya_processor *p = v->shared;
	struct kvm_run *run = v->run;

	switch (p->exit) {
	case OYA_EXIT_INTERRUPT:
		return false;
	case OYA_EXIT_PORT:
		run->exit_reason = KVM_EXIT_IO;
		run->io.direction = p->write ? KVM_EXIT_IO_OUT : KVM_EXIT_IO_IN;
		run->io.size = p->bytes;
		run->io.port = p->port;
		run->io.count = 1;
		run->io.data_offset = DATA_OFFSET;
		memcpy((u8 *)run + DATA_OFFSET, &p->value, p->bytes);
		v->in_waits = !p->write;
		return true;
	case OYA_EXIT_HALT:
		run->exit_reason = KVM_EXIT_HLT;
		return true;
	case OYA_EXIT_SHUTDOWN:
		run->exit_reason = KVM_EXIT_SHUTDOWN;
		return true;
	case OYA_EXIT_BROKEN:
		run->exit_reason = KVM_EXIT_FAIL_ENTRY;
		run->fail_entry.hardware_entry_failure_reason = p->address;
		run->fail_entry.cpu = raw_smp_processor_id();
		return true;
	default: /* string instructions and memory of devices are not decoded yet */
		run->exit_reason = KVM_EXIT_INTERNAL_ERROR;
		run->internal.suberror = KVM_INTERNAL_ERROR_EMULATION;
		run->internal.ndata = 2;
		run->internal.data[0] = p->exit;
		run->internal.data[1] = p->address;
		return true;
	}
}

/* One entry; an interrupt of ours that comes meanwhile is taken as soon as interrupts are on. */
static long enter(struct vcpu *v)
{
	long r = 0;

	local_irq_disable();
	if (signal_pending(current))
		r = -EINTR;
	else if (!need_resched())
		r = call(v, OYA_CALL_RUN, 0, 0);
	else
		v->shared->exit = OYA_EXIT_INTERRUPT;
	local_irq_enable();
	return r;
}

static long run(struct vcpu *v)
{
	long r;

	if (v->in_waits)
		finish_in(v);
	if (READ_ONCE(v->run->immediate_exit))
		return -EINTR;
	do {
		r = enter(v);
		cond_resched();
	} while (r == 0 && !take_exit(v));
	if (r == -EINTR)
		v->run->exit_reason = KVM_EXIT_INTR;
	return r;
}

static long get_registers(struct vcpu *v, void __user *argument)
{
	struct kvm_regs regs;
	long r = get_state(v);

	if (r < 0)
		return r;
	oya_registers_get(v->state, &regs);
	return copy_to_user(argument, &regs, sizeof(regs)) ? -EFAULT : 0;
}

static long set_registers(struct vcpu *v, const void __user *argument)
{
	struct kvm_regs regs;
	long r;

	if (copy_from_user(&regs, argument, sizeof(regs)))
		return -EFAULT;
	r = get_state(v);
	if (r < 0)
		return r;
	oya_registers_set(v->state, &regs);
	return set_state(v);
}

static long get_system(struct vcpu *v, void __user *argument)
{
	struct kvm_sregs sregs;
	long r = get_state(v);

	if (r < 0)
		return r;
	oya_system_get(v->state, &sregs);
	return copy_to_user(argument, &sregs, sizeof(sregs)) ? -EFAULT : 0;
}

static long set_system(struct vcpu *v, const void __user *argument)
{
	struct kvm_sregs sregs;
	long r;

	if (copy_from_user(&sregs, argument, sizeof(sregs)))
		return -EFAULT;
	r = get_state(v);
	if (r < 0)
		return r;
	oya_system_set(v->state, &sregs);
	return set_state(v);
}

static long set_cpuid(struct vcpu *v, const struct kvm_cpuid2 __user *argument)
{
	struct oya_cpuid *leaves = (void *)v->state;
	struct kvm_cpuid_entry2 e;
	u32 count, i;

	if (get_user(count, &argument->nent))
		return -EFAULT;
	if (count > OYA_CPUID_MAX)
		return -E2BIG;
	for (i = 0; i < count; i++) {
		if (copy_from_user(&e, &argument->entries[i], sizeof(e)))
			return -EFAULT;
		leaves[i] = (struct oya_cpuid){
			.leaf = e.function,
			.sub = e.index,
			.has_sub = e.flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
			.eax = e.eax,
			.ebx = e.ebx,
			.ecx = e.ecx,
			.edx = e.edx,
		};
	}
	return call(v, OYA_CALL_SET_CPUID, page_to_phys(v->state_page), count);
}

static long vcpu_ioctl(struct file *file, unsigned int number, unsigned long argument)
{
	struct vcpu *v = file->private_data;
	void __user *at = (void __user *)argument;
	long r;

	if (mutex_lock_killable(&v->lock))
		return -EINTR;
	switch (number) {
	case KVM_RUN:
		r = run(v);
		break;
	case KVM_GET_REGS:
		r = get_registers(v, at);
		break;
	case KVM_SET_REGS:
		r = set_registers(v, at);
		break;
	case KVM_GET_SREGS:
		r = get_system(v, at);
		break;
	case KVM_SET_SREGS:
		r = set_system(v, at);
		break;
	case KVM_SET_CPUID2:
		r = set_cpuid(v, at);
		break;
	default:
		r = -ENOTTY;
	}
	mutex_unlock(&v->lock);
	return r;
}

static vm_fault_t vcpu_fault(struct vm_fault *fault)
{
	struct vcpu *v = fault->vma->vm_file->private_data;

	if (fault->pgoff >= RUN_PAGES)
		return VM_FAULT_SIGBUS;
	fault->page = virt_to_page((u8 *)v->run + fault->pgoff * PAGE_SIZE);
	get_page(fault->page);
	return 0;
}

static const struct vm_operations_struct vcpu_pages = {.fault = vcpu_fault};

static int vcpu_mmap(struct file *file, struct vm_area_struct *area)
{
	if (area->vm_pgoff + vma_pages(area) > RUN_PAGES)
		return -EINVAL;
	area->vm_ops = &vcpu_pages;
	return 0;
}

static void vcpu_free(struct vcpu *v)
{
	if (v->shared_page)
		__free_page(v->shared_page);
	if (v->state_page)
		__free_page(v->state_page);
	free_pages_exact(v->run, RUN_PAGES * PAGE_SIZE);
	kfree(v);
}

/* The hypervisor has the shared page until the partition ends, so it goes with the VM. */
static int vcpu_close(struct inode *inode, struct file *file)
{
	struct vcpu *v = file->private_data;
	struct oya_vm *vm = v->vm;

	mutex_lock(&vm->lock);
	list_add(&v->shared_page->lru, &vm->shared);
	mutex_unlock(&vm->lock);
	v->shared_page = NULL;
	vcpu_free(v);
	oya_vm_put(vm);
	return 0;
}

static const struct file_operations vcpu_files = {
	.owner = THIS_MODULE,
	.release = vcpu_close,
	.unlocked_ioctl = vcpu_ioctl,
	.mmap = vcpu_mmap,
	.llseek = noop_llseek,
};

static struct vcpu *vcpu_make(struct oya_vm *vm, u64 number)
{
	struct vcpu *v = kzalloc(sizeof(*v), GFP_KERNEL_ACCOUNT);

	if (!v)
		return NULL;
	mutex_init(&v->lock);
	v->vm = vm;
	v->number = number;
	v->run = alloc_pages_exact(RUN_PAGES * PAGE_SIZE, GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	v->shared_page = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	v->state_page = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	if (!v->run || !v->shared_page || !v->state_page) {
		vcpu_free(v);
		return NULL;
	}
	v->shared = page_address(v->shared_page);
	v->state = page_address(v->state_page);
	return v;
}

int oya_vcpu_create(struct oya_vm *vm, u64 number)
{
	u64 b = vm->number;
	struct vcpu *v;
	long r;

	if (number >= OYA_PROCESSORS)
		return -EINVAL;
	v = vcpu_make(vm, number);
	if (!v)
		return -ENOMEM;
	r = oya_vm_call(vm, OYA_CALL_CREATE_PROCESSOR, &b, number, page_to_phys(v->shared_page), 0);
	if (r < 0) {
		vcpu_free(v);
		return r;
	}
	kref_get(&vm->refs);
	r = anon_inode_getfd("oya-vcpu", &vcpu_files, v, O_RDWR | O_CLOEXEC);
	if (r < 0) {
		/* The processor stays with the partition; its number is not to be had again. */
		list_add(&v->shared_page->lru, &vm->shared);
		v->shared_page = NULL;
		vcpu_free(v);
		oya_vm_put(vm); /* never the last: the caller has one */
	}
	return r;
}
