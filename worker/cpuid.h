/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The topology that a processor tells of itself: one socket of cores with one or two threads. The
 * APIC id of a processor is its index, so threads of a core follow each other.
 */
#ifndef OYA_WORKER_CPUID_H
#define OYA_WORKER_CPUID_H

#include <linux/kvm.h>
#include <stdint.h>

struct cpu_topology {
	unsigned cpus;
	unsigned threads;    /* of a core: 1 or 2, divides cpus */
	unsigned cache_span; /* processors that share the last cache, a power of two; 0: all */
};

#define CPUID_ENTRIES_MAX 256u /* of a list, as KVM takes it */

/* The most entries that cpuid_set_topology() adds. */
#define CPUID_TOPOLOGY_ENTRIES 4u

/* Makes of KVM's list that of processor `index`: hypervisor leaves go, the leaves of topology are
 * ours. There is room for CPUID_TOPOLOGY_ENTRIES more. */
void cpuid_set_topology(struct kvm_cpuid2 *list, unsigned index, const struct cpu_topology *t);

/* A list that is made already, of another processor, becomes that of `index`. */
void cpuid_set_index(struct kvm_cpuid2 *list, unsigned index, const struct cpu_topology *t);

#endif
