// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A processor of a partition: KVM's calls of a VCPU. The page that it shares with the hypervisor is
 * the kernel's alone; what the worker maps is struct kvm_run and, behind it, a page of data.
 */
#include "parent/vcpu.h"

#include <asm/tsc.h>
#include <linux/anon_inodes.h>
#include <linux/fs.h>
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "parent/cpuid.h"
#include "parent/hypercall.h"
#include "parent/registers.h"
#include "parent/state.h"
#include "parent/vm.h"

long oya_vcpu_call(struct oya_vcpu *v, u64 number, u64 d, u64 s)
{
	u64 b = v->vm->number;

	return oya_hypercall(number, &b, v->number, d, s);
}

long oya_vcpu_get_state(struct oya_vcpu *v)
{
	return oya_vcpu_call(v, OYA_CALL_GET_STATE, page_to_phys(v->state_page), 0);
}

long oya_vcpu_set_state(struct oya_vcpu *v)
{
	return oya_vcpu_call(v, OYA_CALL_SET_STATE, page_to_phys(v->state_page), 0);
}

static long get_registers(struct oya_vcpu *v, void __user *argument)
{
	const struct oya_state *s = v->state;
	struct kvm_regs regs;
	long r = oya_vcpu_get_state(v);

	if (r < 0)
		return r;
	oya_registers_get(s->general, s->rip, s->rflags, &regs);
	return copy_to_user(argument, &regs, sizeof(regs)) ? -EFAULT : 0;
}

static long set_registers(struct oya_vcpu *v, const void __user *argument)
{
	struct oya_state *s = v->state;
	struct kvm_regs regs;
	long r;

	if (copy_from_user(&regs, argument, sizeof(regs)))
		return -EFAULT;
	r = oya_vcpu_get_state(v);
	if (r < 0)
		return r;
	oya_registers_set(s->general, &s->rip, &s->rflags, &regs);
	return oya_vcpu_set_state(v);
}

static long get_system(struct oya_vcpu *v, void __user *argument)
{
	struct kvm_sregs sregs;
	long r = oya_vcpu_get_state(v);

	if (r < 0)
		return r;
	oya_system_get(v->state, &sregs);
	oya_state_get_vector(v, &sregs);
	return copy_to_user(argument, &sregs, sizeof(sregs)) ? -EFAULT : 0;
}

static long set_system(struct oya_vcpu *v, const void __user *argument)
{
	struct kvm_sregs sregs;
	long r;

	if (copy_from_user(&sregs, argument, sizeof(sregs)))
		return -EFAULT;
	r = oya_vcpu_get_state(v);
	if (r < 0)
		return r;
	oya_system_set(v->state, &sregs);
	oya_state_set_vector(v, &sregs);
	return oya_vcpu_set_state(v);
}

/* The offset of the TSC is the one attribute. */
static long reach_attribute(struct oya_vcpu *v, unsigned int number, const void __user *argument)
{
	struct kvm_device_attr attr;
	u64 __user *at;
	u64 offset;
	long r;

	if (copy_from_user(&attr, argument, sizeof(attr)))
		return -EFAULT;
	if (attr.flags || attr.group != KVM_VCPU_TSC_CTRL || attr.attr != KVM_VCPU_TSC_OFFSET)
		return -ENXIO;
	if (number == KVM_HAS_DEVICE_ATTR)
		return 0;
	at = u64_to_user_ptr(attr.addr);
	if (number == KVM_SET_DEVICE_ATTR && get_user(offset, at))
		return -EFAULT;
	r = oya_vcpu_get_state(v);
	if (r < 0)
		return r;
	if (number == KVM_GET_DEVICE_ATTR)
		return put_user(v->state->tsc_offset, at);
	v->state->tsc_offset = offset;
	return oya_vcpu_set_state(v);
}

/* Those that end a run, and others. */
static long set_signals(struct oya_vcpu *v, const void __user *argument)
{
	const struct kvm_signal_mask __user *from = argument;
	sigset_t signals;
	u32 len;

	v->has_signals = false;
	if (!argument)
		return 0;
	if (get_user(len, &from->len))
		return -EFAULT;
	if (len != sizeof(signals))
		return -EINVAL;
	if (copy_from_user(&signals, from->sigset, sizeof(signals)))
		return -EFAULT;
	sigdelsetmask(&signals, sigmask(SIGKILL) | sigmask(SIGSTOP));
	v->signals = signals;
	v->has_signals = true;
	return 0;
}

static long call_registers(struct oya_vcpu *v, unsigned int number, void __user *at)
{
	switch (number) {
	case KVM_GET_REGS:
		return get_registers(v, at);
	case KVM_SET_REGS:
		return set_registers(v, at);
	case KVM_GET_SREGS:
		return get_system(v, at);
	case KVM_SET_SREGS:
		return set_system(v, at);
	case KVM_GET_MSRS:
		return oya_msrs_get(v, at);
	case KVM_SET_MSRS:
		return oya_msrs_set(v, at);
	case KVM_SET_CPUID2:
		return oya_cpuid_set(v, at);
	case KVM_GET_TSC_KHZ:
		return tsc_khz;
	case KVM_X86_SETUP_MCE:
		return oya_msrs_mce_set(v, at);
	case KVM_SET_SIGNAL_MASK:
		return set_signals(v, at);
	case KVM_HAS_DEVICE_ATTR:
	case KVM_GET_DEVICE_ATTR:
	case KVM_SET_DEVICE_ATTR:
		return reach_attribute(v, number, at);
	default:
		return oya_state_call(v, number, at);
	}
}

static long vcpu_ioctl(struct file *file, unsigned int number, unsigned long argument)
{
	struct oya_vcpu *v = file->private_data;
	long r;

	if (mutex_lock_killable(&v->lock))
		return -EINTR;
	if (number == KVM_RUN)
		r = argument ? -EINVAL : oya_run(v);
	else
		r = call_registers(v, number, (void __user *)argument);
	mutex_unlock(&v->lock);
	return r;
}

static vm_fault_t vcpu_fault(struct vm_fault *fault)
{
	struct oya_vcpu *v = fault->vma->vm_file->private_data;

	if (fault->pgoff >= OYA_RUN_PAGES)
		return VM_FAULT_SIGBUS;
	fault->page = virt_to_page((u8 *)v->run + fault->pgoff * PAGE_SIZE);
	get_page(fault->page);
	return 0;
}

static const struct vm_operations_struct vcpu_pages = {.fault = vcpu_fault};

static int vcpu_mmap(struct file *file, struct vm_area_struct *area)
{
	if (area->vm_pgoff + vma_pages(area) > OYA_RUN_PAGES)
		return -EINVAL;
	area->vm_ops = &vcpu_pages;
	return 0;
}

void oya_vcpu_free(struct oya_vcpu *v)
{
	oya_run_done(v);
	if (v->shared_page)
		__free_page(v->shared_page);
	if (v->state_page)
		__free_page(v->state_page);
	if (v->run)
		free_pages_exact(v->run, OYA_RUN_PAGES * PAGE_SIZE);
	kfree(v);
}

/* The hypervisor has the shared page until the partition ends, so all goes with the VM. */
static int vcpu_close(struct inode *inode, struct file *file)
{
	struct oya_vcpu *v = file->private_data;

	oya_vm_put(v->vm);
	return 0;
}

static const struct file_operations vcpu_files = {
	.owner = THIS_MODULE,
	.release = vcpu_close,
	.unlocked_ioctl = vcpu_ioctl,
	.mmap = vcpu_mmap,
	.llseek = noop_llseek,
};

static struct oya_vcpu *vcpu_make(struct oya_vm *vm, u64 number)
{
	struct oya_vcpu *v = kzalloc(sizeof(*v), GFP_KERNEL_ACCOUNT);

	if (!v)
		return NULL;
	mutex_init(&v->lock);
	v->vm = vm;
	v->number = number;
	oya_run_init(v);
	oya_msrs_init(v);
	v->run = alloc_pages_exact(OYA_RUN_PAGES * PAGE_SIZE, GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	v->shared_page = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	v->state_page = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	if (!v->run || !v->shared_page || !v->state_page) {
		oya_vcpu_free(v);
		return NULL;
	}
	v->shared = page_address(v->shared_page);
	v->state = page_address(v->state_page);
	return v;
}

int oya_vcpu_create(struct oya_vm *vm, u64 number)
{
	u64 b = vm->number, page;
	struct oya_vcpu *v;
	long r;

	if (number >= OYA_PROCESSORS)
		return -EINVAL;
	if (vm->vcpu[number])
		return -EEXIST;
	v = vcpu_make(vm, number);
	if (!v)
		return -ENOMEM;
	page = page_to_phys(v->shared_page) | (vm->has_apics ? OYA_PROCESSOR_APIC : 0);
	r = oya_vm_call(vm, OYA_CALL_CREATE_PROCESSOR, &b, number, page, 0);
	if (r < 0) {
		oya_vcpu_free(v);
		return r;
	}
	/* From now on it stays with the partition; without a file its number is not to be had. */
	WRITE_ONCE(vm->vcpu[number], v);
	kref_get(&vm->refs);
	r = anon_inode_getfd("oya-vcpu", &vcpu_files, v, O_RDWR | O_CLOEXEC);
	if (r < 0)
		oya_vm_put(vm); /* never the last: the caller has one */
	return r;
}
