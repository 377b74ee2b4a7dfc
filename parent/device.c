// SPDX-License-Identifier: GPL-2.0-or-later
#include "parent/device.h"

#include <asm/cpufeature.h>
#include <linux/fs.h>
#include <linux/kvm.h>
#include <linux/miscdevice.h>
#include <linux/module.h>

#include "parent/cpuid.h"
#include "parent/irqs.h"
#include "parent/msrs.h"
#include "parent/state.h"
#include "parent/vm.h"

static bool as_kvm;
module_param_named(kvm, as_kvm, bool, 0444);
MODULE_PARM_DESC(kvm, "also be /dev/kvm");

int oya_extension(unsigned long which)
{
	switch (which) {
	case KVM_CAP_USER_MEMORY:
	case KVM_CAP_DESTROY_MEMORY_REGION_WORKS:
	case KVM_CAP_JOIN_MEMORY_REGIONS_WORKS:
	case KVM_CAP_READONLY_MEM:
	case KVM_CAP_IMMEDIATE_EXIT:
	case KVM_CAP_EXT_CPUID:
	case KVM_CAP_GET_TSC_KHZ:
	case KVM_CAP_VCPU_ATTRIBUTES:
	case KVM_CAP_CHECK_EXTENSION_VM:
	case KVM_CAP_ENABLE_CAP_VM:
	case KVM_CAP_SET_TSS_ADDR:
	case KVM_CAP_SPLIT_IRQCHIP:
	case KVM_CAP_SIGNAL_MSI:
	case KVM_CAP_IOEVENTFD:
	case KVM_CAP_IOEVENTFD_ANY_LENGTH:
	case KVM_CAP_X86_MSR_FILTER:
	/* The APICs alone: the rest of an irqchip is the worker's, by KVM_CAP_SPLIT_IRQCHIP. */
	case KVM_CAP_IRQCHIP:
	case KVM_CAP_IRQ_INJECT_STATUS:
	case KVM_CAP_IRQFD:
	case KVM_CAP_TSC_DEADLINE_TIMER:
	case KVM_CAP_HLT:
	case KVM_CAP_MP_STATE:
	case KVM_CAP_USER_NMI:
	case KVM_CAP_VCPU_EVENTS:
	case KVM_CAP_DEBUGREGS:
	case KVM_CAP_XSAVE:
	case KVM_CAP_SET_IDENTITY_MAP_ADDR:
	case KVM_CAP_SET_GUEST_DEBUG:
	case KVM_CAP_X86_ROBUST_SINGLESTEP:
		return 1;
	case KVM_CAP_SET_GUEST_DEBUG2:
		return OYA_GUEST_DEBUG;
	case KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2:
		return OYA_LOG_FLAGS;
	case KVM_CAP_XSAVE2: /* no state that a child may have lies behind the page */
		return sizeof(struct kvm_xsave);
	case KVM_CAP_XCRS:
		return boot_cpu_has(X86_FEATURE_XSAVE);
	case KVM_CAP_IRQ_ROUTING:
		return OYA_ROUTES;
	case KVM_CAP_MCE:
		return OYA_MCE_BANKS;
	case KVM_CAP_X86_USER_SPACE_MSR:
		return OYA_MSR_REASONS;
	case KVM_CAP_SYNC_REGS:
		return KVM_SYNC_X86_REGS;
	case KVM_CAP_NR_MEMSLOTS:
		return OYA_SLOTS;
	case KVM_CAP_NR_VCPUS:
	case KVM_CAP_MAX_VCPUS:
	case KVM_CAP_MAX_VCPU_ID:
		return OYA_PROCESSORS;
	default:
		return 0;
	}
}

static long device_ioctl(struct file *file, unsigned int number, unsigned long argument)
{
	switch (number) {
	case KVM_GET_API_VERSION:
		return KVM_API_VERSION;
	case KVM_CHECK_EXTENSION:
		return oya_extension(argument);
	case KVM_GET_VCPU_MMAP_SIZE:
		return 2 * PAGE_SIZE;
	case KVM_CREATE_VM:
		return argument ? -EINVAL : oya_vm_create();
	case KVM_GET_SUPPORTED_CPUID:
		return oya_cpuid_supported((struct kvm_cpuid2 __user *)argument);
	case KVM_GET_MSR_INDEX_LIST:
		return oya_msrs_list((struct kvm_msr_list __user *)argument);
	case KVM_X86_GET_MCE_CAP_SUPPORTED:
		return oya_msrs_mce_supported((u64 __user *)argument);
	default:
		return -ENOTTY;
	}
}

static const struct file_operations files = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = device_ioctl,
	.llseek = noop_llseek,
};

static struct miscdevice device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "oya",
	.fops = &files,
	.mode = 0600,
};

/* For monitors that know no other name. */
static struct miscdevice device_kvm = {
	.minor = KVM_MINOR,
	.name = "kvm",
	.fops = &files,
	.mode = 0600,
};

int oya_device_init(void)
{
	int r = misc_register(&device);

	if (r < 0 || !as_kvm)
		return r;
	r = misc_register(&device_kvm);
	if (r < 0)
		misc_deregister(&device);
	return r;
}

void oya_device_done(void)
{
	if (as_kvm)
		misc_deregister(&device_kvm);
	misc_deregister(&device);
}
