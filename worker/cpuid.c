/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CPUID of a virtual processor: what KVM supports here, with the topology of one socket of
 * single-threaded cores. KVM's own leaves go: a guest that sees them takes KVM for its hypervisor
 * (facts of Linux: it picks the highest base).
 */
#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "worker/partition.h"

#define CPUID_ENTRIES_MAX 256u
#define ECX1_HYPERVISOR (1u << 31)
#define EDX1_HTT (1u << 28)
#define HV_LEAF_FIRST 0x40000000u
#define HV_LEAF_LAST 0x400000ffu

/* Bits that hold the numbers 0 .. count - 1. */
static unsigned bits_for(unsigned count)
{
	unsigned bits = 0;

	while ((1u << bits) < count)
		bits++;
	return bits;
}

static void fix_leaf_b(struct kvm_cpuid_entry2 *e, unsigned index, unsigned count)
{
	e->edx = index;
	e->ecx = e->index & 0xff;
	e->eax = e->ebx = 0;
	if (e->index == 0) { /* threads of a core */
		e->ebx = 1;
		e->ecx |= 1u << 8;
	} else if (e->index == 1) { /* cores of the socket */
		e->eax = bits_for(count);
		e->ebx = count;
		e->ecx |= 2u << 8;
	}
}

static void fix_entry(struct kvm_cpuid_entry2 *e, unsigned index, unsigned count)
{
	switch (e->function) {
	case 1:
		e->ebx = (e->ebx & 0xffff) | count << 16 | index << 24;
		e->ecx |= ECX1_HYPERVISOR;
		e->edx = count > 1 ? e->edx | EDX1_HTT : e->edx & ~EDX1_HTT;
		break;
	case 4: /* Intel: cores of the package; caches of one core, the last level of all */
		e->eax &= 0x00003fff;
		e->eax |= (count - 1) << 26;
		if (((e->eax >> 5) & 7) == 3)
			e->eax |= (count - 1) << 14;
		break;
	case 0xb:
	case 0x1f:
		fix_leaf_b(e, index, count);
		break;
	case 0x80000008:
		e->ecx = (count - 1) | bits_for(count) << 12;
		break;
	case 0x8000001d: /* AMD: the same of its caches */
		e->eax &= 0x00003fff;
		if (((e->eax >> 5) & 7) == 3)
			e->eax |= (count - 1) << 14;
		break;
	case 0x8000001e:
		e->eax = index;
		e->ebx = index;
		e->ecx = 0;
		break;
	default:
		break;
	}
}

int partition_cpuid(int device_fd, unsigned index, unsigned count, unsigned extra,
		    struct kvm_cpuid2 **ret_cpuid, struct failure *f)
{
	size_t entry = sizeof(struct kvm_cpuid_entry2);
	struct kvm_cpuid2 *c = calloc(1, sizeof(*c) + (CPUID_ENTRIES_MAX + extra) * entry);
	uint32_t kept = 0;

	if (!c)
		return fail(f, -ENOMEM, "cannot make a processor: out of memory");
	c->nent = CPUID_ENTRIES_MAX;
	if (ioctl(device_fd, KVM_GET_SUPPORTED_CPUID, c) < 0) {
		int r = fail(f, -errno, "cannot ask KVM for its processor features: %s",
			     strerror(errno));

		free(c);
		return r;
	}
	for (uint32_t i = 0; i < c->nent; i++) {
		struct kvm_cpuid_entry2 e = c->entries[i];

		if (e.function >= HV_LEAF_FIRST && e.function <= HV_LEAF_LAST)
			continue;
		fix_entry(&e, index, count);
		c->entries[kept++] = e;
	}
	c->nent = kept;
	*ret_cpuid = c;
	return 0;
}
