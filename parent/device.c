// SPDX-License-Identifier: GPL-2.0-or-later
#include "parent/device.h"

#include <linux/fs.h>
#include <linux/kvm.h>
#include <linux/miscdevice.h>
#include <linux/module.h>

#include "parent/vm.h"

static int extension(unsigned long which)
{
	switch (which) {
	case KVM_CAP_USER_MEMORY:
	case KVM_CAP_DESTROY_MEMORY_REGION_WORKS:
	case KVM_CAP_JOIN_MEMORY_REGIONS_WORKS:
	case KVM_CAP_READONLY_MEM:
	case KVM_CAP_IMMEDIATE_EXIT:
		return 1;
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
		return extension(argument);
	case KVM_GET_VCPU_MMAP_SIZE:
		return 2 * PAGE_SIZE;
	case KVM_CREATE_VM:
		return argument ? -EINVAL : oya_vm_create();
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
