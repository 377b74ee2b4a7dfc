/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What only SVM's instructions can do. Spec: AMD64 Architecture Programmer's Manual, volume 2, 15.
 */
#include <stddef.h>

#include "hypervisor/svm.h"
#include "hypervisor/virt.h"
#include "hypervisor/x86.h"

#define CPUID_EXTENDED 0x80000001u
#define CPUID_SVM (1u << 2) /* of ECX */

const struct virt *virt;

static const char *missing(void)
{
	if (!(x86_cpuid(CPUID_EXTENDED, 0).ecx & CPUID_SVM))
		return "this processor has no SVM";
	if (x86_rdmsr(SVM_MSR_VM_CR) & SVM_VM_CR_DISABLED)
		return "SVM is switched off in the firmware";
	if (!(x86_cpuid(SVM_CPUID_FEATURES, 0).edx & SVM_CPUID_NESTED_PAGING))
		return "this processor has no nested paging";
	return NULL;
}

static void enable(uint64_t host_save)
{
	x86_wrmsr(MSR_EFER, x86_rdmsr(MSR_EFER) | EFER_NXE | EFER_SVME);
	x86_wrmsr(SVM_MSR_HSAVE, host_save);
	__asm__ volatile("clgi");
}

static uint32_t address_spaces(void)
{
	return x86_cpuid(SVM_CPUID_FEATURES, 0).ebx;
}

static void load(uint64_t block)
{
	__asm__ volatile("vmload %0" : : "a"(block) : "memory");
}

static void save(uint64_t block)
{
	__asm__ volatile("vmsave %0" : : "a"(block) : "memory");
}

static void take_nmi(void)
{
	__asm__ volatile("stgi; nop; clgi" : : : "memory");
}

static void take_all(void)
{
	__asm__ volatile("stgi; sti; nop; nop; cli; clgi" : : : "memory");
}

const struct virt svm_virt = {
	.missing = missing,
	.enable = enable,
	.address_spaces = address_spaces,
	.run = svm_run,
	.load = load,
	.save = save,
	.take_nmi = take_nmi,
	.take_all = take_all,
};

const char *virt_choose(void)
{
	virt = &svm_virt;
	return virt->missing();
}
