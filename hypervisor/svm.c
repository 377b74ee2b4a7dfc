/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/svm.h"

#include <stddef.h>
#include <string.h>

#include "hypervisor/x86.h"

void svm_trap_msr(uint8_t *bitmap, uint32_t msr, bool read, bool write)
{
	uint32_t range = msr < SVM_MSR_RANGE ? 0 : msr >= 0xC0010000u ? 2 : 1;
	uint32_t bit = (range * SVM_MSR_RANGE + msr % SVM_MSR_RANGE) * 2;
	uint8_t both = (uint8_t)(3u << bit % 8);

	bitmap[bit / 8] &= (uint8_t)~both;
	bitmap[bit / 8] |= (uint8_t)((read | write << 1) << bit % 8);
}

struct svm_segment svm_segment(uint16_t selector, uint16_t attributes, uint32_t limit)
{
	return (struct svm_segment){.selector = selector, .attributes = attributes, .limit = limit};
}

void svm_set_reset(struct svm_vmcb *v, struct cpu_registers *registers)
{
	const uint16_t data =
		SVM_SEGMENT_PRESENT | SVM_SEGMENT_USER | SVM_SEGMENT_WRITE | SVM_SEGMENT_ACCESSED;

	memset(&v->es, 0, sizeof(*v) - offsetof(struct svm_vmcb, es));
	memset(registers, 0, sizeof(*registers));
	v->interrupt_shadow = v->exit_event = v->event = 0;
	v->cs = svm_segment(0, data | SVM_SEGMENT_CODE, 0xFFFF);
	v->ds = v->es = v->fs = v->gs = v->ss = svm_segment(0, data, 0xFFFF);
	v->gdtr.limit = v->idtr.limit = 0xFFFF;
	v->ldtr = svm_segment(0, SVM_SEGMENT_PRESENT | SVM_SEGMENT_LDT, 0xFFFF);
	v->tr = svm_segment(0, SVM_SEGMENT_PRESENT | SVM_SEGMENT_TSS_BUSY, 0xFFFF);
	v->efer = EFER_SVME;
	v->cr0 = CR0_ET | CR0_NW | CR0_CD;
	v->rflags = RFLAGS_FIXED;
	v->dr6 = 0xFFFF0FF0;
	v->dr7 = 0x400;
	v->pat = PAT_RESET;
	/* CPUID's family, as RDX has after a reset. */
	registers->rdx = x86_cpuid(1, 0).eax;
}

void svm_get_general(const struct svm_vmcb *v, const struct cpu_registers *r, uint64_t *ret_general)
{
	memcpy(ret_general, r, sizeof(*r));
	ret_general[0] = v->rax;
	ret_general[4] = v->rsp;
}

void svm_set_general(struct svm_vmcb *v, struct cpu_registers *r, const uint64_t *general)
{
	memcpy(r, general, sizeof(*r));
	v->rax = general[0];
	v->rsp = general[4];
}

void svm_inject(struct svm_vmcb *v, unsigned exception, bool has_error)
{
	v->event = SVM_EVENT_VALID | SVM_EVENT_EXCEPTION | exception |
		   (has_error ? SVM_EVENT_ERROR : 0);
}
