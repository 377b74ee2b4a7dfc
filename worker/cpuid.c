/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CPUID of a virtual processor: what KVM supports here, with our topology. KVM's own leaves go: a
 * guest that sees them takes KVM for its hypervisor (facts of Linux: it picks the highest base).
 *
 * The extended topology leaf is written anew, since newer kernels tell of it as empty: a guest
 * then takes each processor for a socket. Whose leaf it is otherwise (Intel 4, AMD 8000_0008,
 * 8000_001D and 8000_001E) follows from what KVM lists.
 *
 * Spec: Intel SDM volume 2, CPUID; AMD APM volume 3, appendix E.
 */
#include "worker/cpuid.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "worker/cpuid_baseline.h"
#include "worker/partition.h"

#define ECX1_HYPERVISOR (1u << 31)
#define EDX1_HTT (1u << 28)
#define HV_LEAF_FIRST 0x40000000u
#define HV_LEAF_LAST 0x400000ffu
#define LEAF_TOPOLOGY 0xbu
#define LEAF_AMD_TOPOLOGY 0x8000001eu
#define ECX0_AMD 0x444d4163u /* "cAMD" */
#define ECX_TOPOLOGY_EXTENSIONS (1u << 22)
#define LEVEL_THREADS 1u
#define LEVEL_CORES 2u
#define CACHE_LEVEL(eax) ((eax) >> 5 & 7)
#define CACHE_SHARED_MASK (0xfffu << 14)
#define LAST_CACHE_LEVEL 3u

/* Bits that hold the numbers 0 .. count - 1. */
static unsigned bits_for(unsigned count)
{
	unsigned bits = 0;

	while ((1u << bits) < count)
		bits++;
	return bits;
}

/* The numbers of processors that share a cache, minus one. */
static uint32_t shared_by(uint32_t eax, const struct cpu_topology *t)
{
	unsigned span = t->threads;

	if (CACHE_LEVEL(eax) == LAST_CACHE_LEVEL)
		span = t->cache_span ? t->cache_span : 1u << bits_for(t->cpus);
	return ((span > t->threads ? span : t->threads) - 1) << 14;
}

static void fix_entry(struct kvm_cpuid_entry2 *e, unsigned index, const struct cpu_topology *t)
{
	unsigned cores = t->cpus / t->threads;

	switch (e->function) {
	case 1:
		e->ebx = (e->ebx & 0xffff) | t->cpus << 16 | index << 24;
		e->ecx |= ECX1_HYPERVISOR;
		e->edx = t->cpus > 1 ? e->edx | EDX1_HTT : e->edx & ~EDX1_HTT;
		break;
	case 4: /* ids of cores in the package; whoever has no cache there has an empty leaf */
		if (!(e->eax & 0x1f))
			break;
		e->eax &= 0x3fffu;
		e->eax |= ((1u << bits_for(cores)) - 1) << 26 | shared_by(e->eax, t);
		break;
	case 0x80000008:
		e->ecx = (e->ecx & ~0xf0ffu) | (t->cpus - 1) | bits_for(t->cpus) << 12;
		break;
	case 0x8000001d:
		if (!(e->eax & 0x1f))
			break;
		e->eax = (e->eax & ~CACHE_SHARED_MASK) | shared_by(e->eax, t);
		break;
	case LEAF_AMD_TOPOLOGY:
		e->eax = index;
		e->ebx = index / t->threads | (t->threads - 1) << 8;
		e->ecx = 0; /* one node: ACPI tells of those of memory */
		break;
	default:
		break;
	}
}

/* Threads of an AMD processor show in leaf 8000_001E alone, which an emulated host may lack or
 * list without the feature; the feature tells of CPUID and of nothing else. */
static void add_amd_threads(struct kvm_cpuid2 *list, unsigned index, const struct cpu_topology *t)
{
	struct kvm_cpuid_entry2 e = {.function = LEAF_AMD_TOPOLOGY};
	bool amd = false, there = false;

	for (uint32_t i = 0; i < list->nent; i++) {
		amd |= list->entries[i].function == 0 && list->entries[i].ecx == ECX0_AMD;
		there |= list->entries[i].function == LEAF_AMD_TOPOLOGY;
	}
	if (!amd || t->threads == 1)
		return;
	for (uint32_t i = 0; i < list->nent; i++) {
		struct kvm_cpuid_entry2 *entry = &list->entries[i];

		if (entry->function == 0x80000000 && entry->eax < LEAF_AMD_TOPOLOGY)
			entry->eax = LEAF_AMD_TOPOLOGY;
		if (entry->function == 0x80000001)
			entry->ecx |= ECX_TOPOLOGY_EXTENSIONS;
	}
	if (there)
		return;
	fix_entry(&e, index, t);
	list->entries[list->nent++] = e;
}

static bool is_dropped(uint32_t function)
{
	return (function >= HV_LEAF_FIRST && function <= HV_LEAF_LAST) ||
	       function == LEAF_TOPOLOGY || function == 0x1f || function == 0x80000026;
}

static void add_level(struct kvm_cpuid2 *list, unsigned index, unsigned level, unsigned kind,
		      unsigned shift, unsigned count)
{
	list->entries[list->nent++] = (struct kvm_cpuid_entry2){
		.function = LEAF_TOPOLOGY,
		.index = level,
		.flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
		.eax = shift,
		.ebx = count,
		.ecx = kind << 8 | level,
		.edx = index,
	};
}

void cpuid_set_topology(struct kvm_cpuid2 *list, unsigned index, const struct cpu_topology *t)
{
	uint32_t kept = 0, basic = 0;
	unsigned shift = bits_for(t->threads);

	for (uint32_t i = 0; i < list->nent; i++) {
		struct kvm_cpuid_entry2 e = list->entries[i];

		if (e.function == 0)
			basic = e.eax;
		if (is_dropped(e.function))
			continue;
		fix_entry(&e, index, t);
		list->entries[kept++] = e;
	}
	list->nent = kept;
	add_amd_threads(list, index, t);
	if (basic < LEAF_TOPOLOGY)
		return;
	add_level(list, index, 0, LEVEL_THREADS, shift, t->threads);
	add_level(list, index, 1, LEVEL_CORES, shift + bits_for(t->cpus / t->threads), t->cpus);
	add_level(list, index, 2, 0, 0, 0);
}

void cpuid_set_index(struct kvm_cpuid2 *list, unsigned index, const struct cpu_topology *t)
{
	for (uint32_t i = 0; i < list->nent; i++) {
		struct kvm_cpuid_entry2 *e = &list->entries[i];

		if (e->function == 1)
			e->ebx = (e->ebx & 0xffffff) | index << 24;
		if (e->function == LEAF_TOPOLOGY)
			e->edx = index;
		if (e->function == LEAF_AMD_TOPOLOGY)
			fix_entry(e, index, t);
	}
}

int partition_cpuid(int device_fd, const struct cpuid_wish *wish, struct kvm_cpuid2 **ret_cpuid,
		    struct failure *f)
{
	size_t room = CPUID_ENTRIES_MAX + CPUID_TOPOLOGY_ENTRIES + wish->extra;
	struct kvm_cpuid2 *c = calloc(1, sizeof(*c) + room * sizeof(struct kvm_cpuid_entry2));

	if (!c)
		return fail(f, -ENOMEM, "cannot make a processor: out of memory");
	c->nent = CPUID_ENTRIES_MAX;
	if (ioctl(device_fd, KVM_GET_SUPPORTED_CPUID, c) < 0) {
		int r = fail(f, -errno, "cannot ask KVM for its processor features: %s",
			     strerror(errno));

		free(c);
		return r;
	}
	if (wish->baseline) {
		int r = cpuid_restrict(c, wish->baseline, f);

		if (r < 0) {
			free(c);
			return r;
		}
	}
	if (wish->topology)
		cpuid_set_topology(c, wish->index, wish->topology);
	*ret_cpuid = c;
	return 0;
}
