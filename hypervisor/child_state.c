/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The registers of a child's processor, as the parent reads and sets them; CPUID and MSRs. */
#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "hypervisor/child_priv.h"
#include "hypervisor/fpu.h"
#include "hypervisor/svm.h"
#include "hypervisor/x86.h"

#define EFER_CHILD (EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE)
#define CR4_CHILD \
	UINT64_C(0x00FF0FFF) /* bits that a processor of today may have; it checks them itself */
#define RFLAGS_CHILD UINT64_C(0x003F7FD7)
#define CPUID_EXTENDED_FIRST 0x80000000u
#define CPUID_1_OSXSAVE (1u << 27)
#define CPUID_1_APIC (1u << 9) /* of EDX */
#define CPUID_7_OSPKE (1u << 4)
#define CPUID_XSAVE 0xDu
#define SEGMENTS_BYTES (10 * sizeof(struct oya_segment))

_Static_assert(sizeof(struct oya_segment) == sizeof(struct svm_segment), "copied as they are");

void child_get_state(struct child *c, struct oya_state *ret_state)
{
	const struct svm_vmcb *v = c->vmcb;
	uint64_t general[16];

	child_settle(c);
	*ret_state = (struct oya_state){
		.rip = v->rip,
		.rflags = v->rflags,
		.cr0 = v->cr0,
		.cr2 = v->cr2,
		.cr3 = v->cr3,
		.cr4 = v->cr4,
		.efer = v->efer & ~EFER_SVME,
		.xcr0 = c->xcr0,
		.debug = {c->debug[0], c->debug[1], c->debug[2], c->debug[3], 0, 0, v->dr6, v->dr7},
		.star = v->star,
		.lstar = v->lstar,
		.cstar = v->cstar,
		.sfmask = v->sfmask,
		.kernel_gs_base = v->kernel_gs_base,
		.sysenter_cs = v->sysenter_cs,
		.sysenter_esp = v->sysenter_esp,
		.sysenter_eip = v->sysenter_eip,
		.pat = v->pat,
		.tsc_offset = v->tsc_offset,
		.event = v->event,
		.interrupt_shadow = v->interrupt_shadow & 1,
	};
	child_get_activity(c, ret_state);
	ret_state->apic_base = c->lapic.base;
	ret_state->tsc_deadline = lapic_deadline(&c->lapic);
	if (ret_state->tsc_deadline)
		ret_state->tsc_deadline += v->tsc_offset;
	svm_get_general(v, &c->registers, general);
	memcpy(ret_state->general, general, sizeof(general));
	memcpy(&ret_state->es, &v->es, SEGMENTS_BYTES);
	ret_state->ss.attributes = (uint16_t)((v->ss.attributes & ~SVM_SEGMENT_PRIVILEGE) |
					      v->cpl << SVM_SEGMENT_PRIVILEGE_AT);
}

static bool pat_allowed(uint64_t pat)
{
	for (unsigned i = 0; i < 64; i += 8) {
		uint64_t type = pat >> i & 0xFF;

		if (type > 7 || type == 2 || type == 3)
			return false;
	}
	return true;
}

/* What would be ours to get wrong; the rest the processor refuses by itself, and with it the run.
 */
static bool is_sane(const struct oya_state *s)
{
	return !(s->efer & ~EFER_CHILD) && !(s->cr4 & ~CR4_CHILD) && !(s->rflags & ~RFLAGS_CHILD) &&
	       fpu_xcr0_allowed(s->xcr0) && pat_allowed(s->pat) && s->cr8 <= SVM_VINTR_TPR &&
	       (fpu_has_xsave() || !(s->cr4 & CR4_OSXSAVE)) && !(s->debug[7] >> 32) &&
	       s->interrupt_shadow <= 1 && s->activity <= OYA_WAITS_FOR_SIPI &&
	       !(s->nmi & ~(uint64_t)(OYA_NMI_PENDING | OYA_NMI_MASKED)) &&
	       lapic_base_allowed(s->apic_base);
}

int child_set_state(struct child *c, const struct oya_state *s)
{
	struct svm_vmcb *v = c->vmcb;
	uint64_t general[16];

	if (!is_sane(s))
		return -EINVAL;
	v->rip = s->rip;
	v->rflags = s->rflags | RFLAGS_FIXED;
	v->cr0 = s->cr0;
	v->cr2 = s->cr2;
	v->cr3 = s->cr3;
	v->cr4 = s->cr4;
	v->vintr = (v->vintr & ~(uint64_t)SVM_VINTR_TPR) | s->cr8;
	v->efer = s->efer | EFER_SVME;
	c->xcr0 = s->xcr0;
	memcpy(c->debug, s->debug, sizeof(c->debug));
	v->dr6 = s->debug[6];
	v->dr7 = s->debug[7];
	v->star = s->star;
	v->lstar = s->lstar;
	v->cstar = s->cstar;
	v->sfmask = s->sfmask;
	v->kernel_gs_base = s->kernel_gs_base;
	v->sysenter_cs = s->sysenter_cs;
	v->sysenter_esp = s->sysenter_esp;
	v->sysenter_eip = s->sysenter_eip;
	v->pat = s->pat;
	v->tsc_offset = s->tsc_offset;
	v->event = s->event;
	v->interrupt_shadow = s->interrupt_shadow;
	memcpy(general, s->general, sizeof(general));
	svm_set_general(v, &c->registers, general);
	memcpy(&v->es, &s->es, SEGMENTS_BYTES);
	v->cpl = s->ss.attributes >> SVM_SEGMENT_PRIVILEGE_AT & 3;
	c->unfinished = CHILD_DONE;
	child_set_activity(c, s);
	c->lapic.base = s->apic_base;
	lapic_set_deadline(&c->lapic, s->tsc_deadline ? s->tsc_deadline - s->tsc_offset : 0);
	c->asid_era = 0; /* other page tables, other rights */
	return 0;
}

void child_get_fpu(struct child *c, void *ret_page)
{
	fpu_get_page(c->fpu, ret_page);
}

int child_set_fpu(struct child *c, const void *page)
{
	return fpu_set_page(c->fpu, page) ? 0 : -EINVAL;
}

int child_get_apic(struct child *c, void *ret_page)
{
	if (!c->has_apic)
		return -ENOENT;
	lapic_get_page(&c->lapic, x86_rdtsc(), ret_page);
	return 0;
}

int child_set_apic(struct child *c, const void *page)
{
	struct svm_vmcb *v = c->vmcb;

	if (!c->has_apic)
		return -ENOENT;
	if (!lapic_set_page(&c->lapic, page, x86_rdtsc()))
		return -EINVAL;
	v->vintr = (v->vintr & ~(uint64_t)SVM_VINTR_TPR) | c->lapic.tpr >> 4;
	return 0;
}

int child_set_cpuid(struct child *c, const struct oya_cpuid *leaves, uint64_t count)
{
	memset(c->first_leaf, 0, sizeof(c->first_leaf));
	memcpy(c->leaf, leaves, count * sizeof(leaves[0]));
	c->leaf_count = (unsigned)count;
	for (unsigned i = c->leaf_count; i-- > 0;) {
		bool extended = leaves[i].leaf >= CPUID_EXTENDED_FIRST;
		uint32_t n = leaves[i].leaf - (extended ? CPUID_EXTENDED_FIRST : 0);

		if (n < LEAVES)
			c->first_leaf[extended][n] = (uint8_t)(i + 1);
	}
	return 0;
}

static const struct oya_cpuid *find_leaf(const struct child *c, uint32_t leaf, uint32_t sub)
{
	bool extended = leaf >= CPUID_EXTENDED_FIRST;
	uint32_t n = leaf - (extended ? CPUID_EXTENDED_FIRST : 0);
	unsigned i = 0;

	if (n < LEAVES) {
		if (!c->first_leaf[extended][n])
			return NULL;
		i = c->first_leaf[extended][n] - 1u;
	}
	for (; i < c->leaf_count; i++) {
		const struct oya_cpuid *l = &c->leaf[i];

		if (l->leaf == leaf && (!l->has_sub || l->sub == sub))
			return l;
	}
	return NULL;
}

/* What registers have switched on. */
static void apply_registers(const struct child *c, uint32_t leaf, uint32_t sub,
			    struct cpu_registers *r)
{
	if (leaf == 1) {
		r->rcx |= c->vmcb->cr4 & CR4_OSXSAVE ? CPUID_1_OSXSAVE : 0;
		r->rdx &= c->lapic.base & APIC_BASE_ENABLED ? UINT32_MAX : ~CPUID_1_APIC;
	}
	if (leaf == 7 && sub == 0 && (c->vmcb->cr4 & CR4_PKE))
		r->rcx |= CPUID_7_OSPKE;
	else if (leaf == CPUID_XSAVE && sub <= 1 && r->rbx)
		r->rbx = fpu_area_bytes(c->xcr0, sub == 1);
}

void child_cpuid(struct child *c)
{
	static const struct oya_cpuid none;
	uint32_t leaf = (uint32_t)c->vmcb->rax, sub = (uint32_t)c->registers.rcx;
	const struct oya_cpuid *l = find_leaf(c, leaf, sub);

	if (!l)
		l = &none;
	c->vmcb->rax = l->eax;
	c->registers.rbx = l->ebx;
	c->registers.rcx = l->ecx;
	c->registers.rdx = l->edx;
	apply_registers(c, leaf, sub, &c->registers);
}

enum child_msr child_read_msr(struct child *c, uint32_t msr, uint64_t *ret_value)
{
	switch (msr) {
	case MSR_TSC:
		*ret_value = x86_rdtsc() + c->vmcb->tsc_offset;
		return CHILD_MSR_DONE;
	case MSR_EFER:
		*ret_value = c->vmcb->efer & ~EFER_SVME;
		return CHILD_MSR_DONE;
	case MSR_PAT:
		*ret_value = c->vmcb->pat;
		return CHILD_MSR_DONE;
	default:
		return child_read_apic_msr(c, msr, ret_value);
	}
}

enum child_msr child_write_msr(struct child *c, uint32_t msr, uint64_t value)
{
	struct svm_vmcb *v = c->vmcb;

	switch (msr) {
	case MSR_TSC:
		v->tsc_offset = value - x86_rdtsc();
		return CHILD_MSR_DONE;
	case MSR_EFER:
		/* LMA is the processor's, and long mode does not change while pages are on. */
		if ((value & ~EFER_CHILD) || ((v->cr0 & CR0_PG) && ((value ^ v->efer) & EFER_LME)))
			return CHILD_MSR_REFUSED;
		v->efer = (value & ~EFER_LMA) | (v->efer & EFER_LMA) | EFER_SVME;
		c->asid_era = 0;
		return CHILD_MSR_DONE;
	case MSR_PAT:
		if (!pat_allowed(value))
			return CHILD_MSR_REFUSED;
		v->pat = value;
		return CHILD_MSR_DONE;
	default:
		return child_write_apic_msr(c, msr, value);
	}
}
