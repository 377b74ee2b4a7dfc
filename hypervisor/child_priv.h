/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of a child's processor share. */
#ifndef OYA_HYPERVISOR_CHILD_PRIV_H
#define OYA_HYPERVISOR_CHILD_PRIV_H

#include "abi/svm.h"
#include "hypervisor/child.h"
#include "hypervisor/cpu.h"

#define LEAVES 32u /* of each range that are found at once */

struct child {
	struct partition *partition;
	struct svm_vmcb *vmcb;
	struct cpu_registers registers;
	struct oya_processor *shared;
	void *fpu;
	uint64_t xcr0, debug[4];
	bool taken;        /* atomic: a processor of ours has it */
	uint8_t in_bytes;  /* of an IN whose value the next run brings; 0: none */
	uint32_t asid_cpu; /* where its address-space number is valid, and in which era */
	uint64_t asid_era;
	uint64_t exits;
	unsigned leaf_count;
	uint8_t first_leaf[2][LEAVES]; /* basic and extended: index + 1 of the first entry */
	struct oya_cpuid leaf[OYA_CPUID_MAX];
};

/* CPUID, and what follows of it. */
void child_cpuid(struct child *c);

/* Reads and writes of MSRs: false: #GP. */
bool child_read_msr(struct child *c, uint32_t msr, uint64_t *ret_value);
bool child_write_msr(struct child *c, uint32_t msr, uint64_t value);

#endif
