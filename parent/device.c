// SPDX-License-Identifier: GPL-2.0-or-later
#include "parent/device.h"

#include <linux/fs.h>
#include <linux/kvm.h>
#include <linux/miscdevice.h>
#include <linux/module.h>

#include "parent/cpuid.h"
#include "parent/vm.h"

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
		return 1;
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

int oya_device_init(void)
{
	return misc_register(&device);
}

void oya_device_done(void)
{
	misc_deregister(&device);
}
