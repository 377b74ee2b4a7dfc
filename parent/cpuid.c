// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What children may be told: what this processor has, of that what the hypervisor carries through
 * for a child, and what it brings itself (the x2APIC, its deadline timer).
 *
 * Spec: AMD64 Architecture Programmer's Manual, volume 3, appendix E.
 */
#include "parent/cpuid.h"

#include <asm/processor.h>
#include <linux/io.h>
#include <linux/kvm.h>
#include <linux/mm.h>
#include <linux/uaccess.h>

#include "parent/vcpu.h"

#define ALL 0xFFFFFFFFu
#define EXTENDED 0x80000000u
#define LEAF_XSAVE 0xDu
#define STATES 0xE7u /* x87, SSE, AVX, AVX-512 */
#define FIRST_STATE 2u
#define LAST_STATE 7u
#define CACHES 8u
#define SIGNIFICANT KVM_CPUID_FLAG_SIGNIFCANT_INDEX

/* Of each register what passes, and of ECX of leaf 1 what is added. */
static const struct leaf {
	u32 leaf, sub, flags, eax, ebx, ecx, edx;
} leaves[] = {
	{0, 0, 0, ALL, ALL, ALL, ALL},
	/* SSE3 PCLMUL SSSE3 FMA CX16 PCID SSE4 MOVBE POPCNT AES XSAVE AVX F16C RDRAND; all up to
	 * SSE2 but DS and ACPI, and HTT. */
	{1, 0, 0, ALL, ALL, 0x76DA3203 & ~(1u << 21), 0x178BFBFF},
	{6, 0, 0, 4, 0, 0, 0}, /* ARAT: the timer runs always */
	/* FSGSBASE BMI1 AVX2 SMEP BMI2 ERMS INVPCID AVX-512 RDSEED ADX SMAP CLFLUSHOPT CLWB SHA;
	 * VBMI UMIP GFNI VAES VPCLMULQDQ VNNI BITALG VPOPCNTDQ; FSRM. */
	{7, 0, SIGNIFICANT, 0, 0xF1BF07A9 & ~(1u << 22), 0x5F46, 0x10},
	{LEAF_XSAVE, 0, SIGNIFICANT, STATES, ALL, ALL, 0},
	{LEAF_XSAVE, 1, SIGNIFICANT, 7, ALL, 0, 0}, /* XSAVEOPT XSAVEC XGETBV with ECX 1 */
	{EXTENDED, 0, 0, ALL, ALL, ALL, ALL},
	/* LAHF ABM SSE4A misaligned SSE, PREFETCHW, FMA4 TBM XOP TOPOEXT; SYSCALL NX MMXEXT
	 * FFXSR 1-GiB pages LM 3DNOW beside those of leaf 1. */
	{EXTENDED + 1, 0, 0, ALL, ALL, 0x6109F3, 0xE7D3FBFF},
	{EXTENDED + 2, 0, 0, ALL, ALL, ALL, ALL},
	{EXTENDED + 3, 0, 0, ALL, ALL, ALL, ALL},
	{EXTENDED + 4, 0, 0, ALL, ALL, ALL, ALL},
	{EXTENDED + 5, 0, 0, ALL, ALL, ALL, ALL},
	{EXTENDED + 6, 0, 0, ALL, ALL, ALL, ALL},
	{EXTENDED + 7, 0, 0, 0, 0, 0, 1u << 8}, /* the TSC counts in all states */
	{EXTENDED + 8, 0, 0, 0xFFFF, 5, 0, 0},  /* CLZERO, and XSAVE of error pointers */
	{EXTENDED + 0x19, 0, 0, ALL, ALL, 0, 0},
	{EXTENDED + 0x1A, 0, 0, ALL, 0, 0, 0},
	{EXTENDED + 0x21, 0, 0, 0x44, 0, 0, 0}, /* LFENCE serializes, a null selector clears */
};

#define LEAF_1_ECX (1u << 21 | 1u << 24 | 1u << 31) /* x2APIC, deadline timer, hypervisor */
#define BASIC_LAST LEAF_XSAVE
#define EXTENDED_LAST (EXTENDED + 0x21)
#define LEAF_CACHES (EXTENDED + 0x1D)

struct list {
	struct kvm_cpuid2 __user *to;
	u32 room, used;
};

static struct kvm_cpuid_entry2 ask(u32 leaf, u32 sub, u32 flags)
{
	struct kvm_cpuid_entry2 e = {.function = leaf, .index = sub, .flags = flags};

	cpuid_count(leaf, sub, &e.eax, &e.ebx, &e.ecx, &e.edx);
	return e;
}

static int add(struct list *l, const struct kvm_cpuid_entry2 *e)
{
	if (l->used >= l->room)
		return -E2BIG;
	return copy_to_user(&l->to->entries[l->used++], e, sizeof(*e)) ? -EFAULT : 0;
}

static struct kvm_cpuid_entry2 ask_masked(const struct leaf *from)
{
	struct kvm_cpuid_entry2 e = ask(from->leaf, from->sub, from->flags);

	e.eax &= from->eax;
	e.ebx &= from->ebx;
	e.ecx &= from->ecx;
	e.edx &= from->edx;
	if (e.function == 0)
		e.eax = min(e.eax, BASIC_LAST);
	else if (e.function == EXTENDED)
		e.eax = min(e.eax, EXTENDED_LAST);
	else if (e.function == 1)
		e.ecx |= LEAF_1_ECX;
	return e;
}

/* Leaves of which there are several, whose end the processor tells. */
static int add_states(struct list *l)
{
	u32 has = cpuid_eax(LEAF_XSAVE) & STATES, i;
	int r = 0;

	for (i = FIRST_STATE; r == 0 && i <= LAST_STATE; i++) {
		struct kvm_cpuid_entry2 e = ask(LEAF_XSAVE, i, SIGNIFICANT);

		if (has >> i & 1)
			r = add(l, &e);
	}
	return r;
}

static int add_caches(struct list *l)
{
	int r = 0;
	u32 i;

	for (i = 0; r == 0 && i < CACHES; i++) {
		struct kvm_cpuid_entry2 e = ask(LEAF_CACHES, i, SIGNIFICANT);

		r = add(l, &e);
		if (!(e.eax & 0x1F))
			break;
	}
	return r;
}

long oya_cpuid_supported(struct kvm_cpuid2 __user *argument)
{
	u32 basic = cpuid_eax(0), extended = cpuid_eax(EXTENDED), i;
	struct list l = {.to = argument};
	int r = 0;

	if (get_user(l.room, &argument->nent))
		return -EFAULT;
	for (i = 0; r == 0 && i < ARRAY_SIZE(leaves); i++) {
		struct kvm_cpuid_entry2 e = ask_masked(&leaves[i]);

		if (e.function > (e.function >= EXTENDED ? extended : basic))
			continue;
		r = add(&l, &e);
	}
	if (r == 0 && basic >= LEAF_XSAVE)
		r = add_states(&l);
	if (r == 0 && extended >= LEAF_CACHES)
		r = add_caches(&l);
	if (r == 0 && put_user(l.used, &argument->nent))
		r = -EFAULT;
	return r;
}

long oya_cpuid_set(struct oya_vcpu *v, const struct kvm_cpuid2 __user *argument)
{
	struct oya_cpuid *to = page_address(v->state_page);
	struct kvm_cpuid_entry2 e;
	u32 count, i;

	if (get_user(count, &argument->nent))
		return -EFAULT;
	if (count > OYA_CPUID_MAX)
		return -E2BIG;
	for (i = 0; i < count; i++) {
		if (copy_from_user(&e, &argument->entries[i], sizeof(e)))
			return -EFAULT;
		to[i] = (struct oya_cpuid){
			.leaf = e.function,
			.sub = e.index,
			.has_sub = e.flags & SIGNIFICANT,
			.eax = e.eax,
			.ebx = e.ebx,
			.ecx = e.ecx,
			.edx = e.edx,
		};
	}
	return oya_vcpu_call(v, OYA_CALL_SET_CPUID, page_to_phys(v->state_page), count);
}
