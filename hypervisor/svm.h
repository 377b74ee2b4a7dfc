/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the parent's processors and those of children have in common as SVM sees them. */
#ifndef OYA_HYPERVISOR_SVM_H
#define OYA_HYPERVISOR_SVM_H

#include <stdbool.h>
#include <stdint.h>

#include "abi/svm.h"
#include "hypervisor/cpu.h"

/* Into the guest and, with its next exit, back: svm_run.S. */
void svm_run(uint64_t vmcb, struct cpu_registers *registers);

/* Whether reads and writes of an MSR of the bitmap's ranges come out. */
void svm_trap_msr(uint8_t *bitmap, uint32_t msr, bool read, bool write);

struct svm_segment svm_segment(uint16_t selector, uint16_t attributes, uint32_t limit);

/* Registers as after INIT, but for CS and RIP. What is intercepted stays. */
void svm_set_reset(struct svm_vmcb *v, struct cpu_registers *registers);

/* Those of general use, in the order of their encoding: rax to r15. */
void svm_get_general(const struct svm_vmcb *v, const struct cpu_registers *r,
		     uint64_t *ret_general);
void svm_set_general(struct svm_vmcb *v, struct cpu_registers *r, const uint64_t *general);

/* Past an instruction of known length, or as long as the processor tells. */
static inline void svm_skip(struct svm_vmcb *v, unsigned bytes)
{
	v->rip = v->next_rip ? v->next_rip : v->rip + bytes;
	v->interrupt_shadow = 0;
}

/* An exception at the next entry; with an error code: of 0. */
void svm_inject(struct svm_vmcb *v, unsigned exception, bool has_error);

#endif
