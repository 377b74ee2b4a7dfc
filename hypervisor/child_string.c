/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * String instructions on ports. Each exit is one element: an OUTS is done but for its effect, an
 * INS when its value has come. The memory is reached anew when it is written, since between two
 * runs the parent may have taken it away, and the child may have changed its page tables.
 *
 * Not carried out: an element that lies across two pages, or where no memory is.
 *
 * Spec: AMD64 Architecture Programmer's Manual, volume 2, 15.10.2 (EXITINFO1).
 */
#include <string.h>

#include "hypervisor/child_priv.h"
#include "hypervisor/emulate.h"
#include "hypervisor/svm.h"
#include "hypervisor/x86.h"

#define INFO_IN (1u << 0)
#define INFO_REPEATS (1u << 3)
#define INFO_BYTES(info) ((uint8_t)((info) >> 4 & 7))
#define INFO_ADDRESS_16 (1u << 7)
#define INFO_ADDRESS_32 (1u << 8)
#define EXCEPTION_PF 14u

/* The bits of RCX, RSI and RDI that count. */
static uint64_t address_mask(uint64_t info)
{
	if (info & INFO_ADDRESS_16)
		return UINT16_MAX;
	return info & INFO_ADDRESS_32 ? UINT32_MAX : UINT64_MAX;
}

static uint64_t changed(uint64_t value, uint64_t by, uint64_t mask)
{
	/* Writing 32 bits of a register clears the others. */
	return mask == UINT16_MAX ? (value & ~mask) | ((value + by) & mask) : (value + by) & mask;
}

static void step(struct child *c, uint64_t info)
{
	uint64_t *index = info & INFO_IN ? &c->registers.rdi : &c->registers.rsi;
	uint64_t mask = address_mask(info), by = INFO_BYTES(info);

	*index = changed(*index, c->vmcb->rflags & RFLAGS_DF ? -by : by, mask);
	if (info & INFO_REPEATS) {
		c->registers.rcx = changed(c->registers.rcx, UINT64_MAX, mask);
		if (c->registers.rcx & mask)
			return;
	}
	c->vmcb->rip = c->vmcb->exit_info_2;
	c->vmcb->interrupt_shadow = 0;
}

/* False: the child has a page fault, or there is no memory (`ret_at` NULL). */
static bool reach(struct child *c, uint64_t info, void **ret_at)
{
	const struct npt *npt = &c->partition->npt;
	struct svm_vmcb *v = c->vmcb;
	bool in = info & INFO_IN;
	uint64_t index = (in ? c->registers.rdi : c->registers.rsi) & address_mask(info);
	const struct svm_segment *s = in ? &v->es : emulate_segment(npt, v);
	uint64_t linear = emulate_linear(v, s, index);
	uint32_t error;

	*ret_at = NULL;
	switch (emulate_reach(npt, v, linear, INFO_BYTES(info), in, ret_at, &error)) {
	case EMULATE_REACHED:
		return true;
	case EMULATE_FAULTS:
		v->cr2 = linear;
		svm_inject(v, EXCEPTION_PF, true);
		v->event |= (uint64_t)error << SVM_EVENT_ERROR_AT;
		*ret_at = c; /* not NULL */
		return false;
	case EMULATE_ELSEWHERE:
		break;
	}
	return false;
}

enum child_string child_string_begin(struct child *c)
{
	uint64_t info = c->vmcb->exit_info_1;
	void *at;

	if ((info & INFO_REPEATS) && !(c->registers.rcx & address_mask(info))) {
		c->vmcb->rip = c->vmcb->exit_info_2;
		return CHILD_STRING_DONE;
	}
	if (!reach(c, info, &at))
		return at ? CHILD_STRING_DONE : CHILD_STRING_UNKNOWN;
	c->string = info;
	if (info & INFO_IN)
		return CHILD_STRING_LEAVES;
	c->shared->value = 0;
	memcpy(&c->shared->value, at, INFO_BYTES(info));
	step(c, info);
	return CHILD_STRING_LEAVES;
}

void child_string_end(struct child *c, uint64_t value)
{
	void *at;

	if (!reach(c, c->string, &at))
		return;
	memcpy(at, &value, INFO_BYTES(c->string));
	step(c, c->string);
}
