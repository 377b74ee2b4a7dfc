// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The parent partition's driver: it finds the hypervisor, shows what it tells, and offers its
 * children as KVM does.
 */
#include <linux/module.h>

#include <asm/processor.h>

#include "parent/device.h"
#include "parent/hypercall.h"
#include "parent/show.h"

static bool hypervisor_is_there(void)
{
	unsigned int eax, ebx, ecx, edx;

	cpuid(OYA_CPUID, &eax, &ebx, &ecx, &edx);
	return eax == OYA_INTERFACE_VERSION && ebx == OYA_CPUID_EBX && ecx == OYA_CPUID_ECX &&
	       edx == OYA_CPUID_EDX;
}

static int __init oya_init(void)
{
	int r;

	if (!hypervisor_is_there()) {
		pr_err("oya_kvm: this system does not run as the parent partition of oya-hv; boot the entry of the role\n");
		return -ENODEV;
	}
	r = oya_show_init();
	if (r < 0)
		return r;
	r = oya_device_init();
	if (r < 0)
		oya_show_done();
	return r;
}

static void __exit oya_exit(void)
{
	oya_device_done();
	oya_show_done();
}

module_init(oya_init);
module_exit(oya_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Parent partition of the Oya hypervisor");
