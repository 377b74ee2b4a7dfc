/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * INS and OUTS of children, as many elements an exit as lie in one page. The processor has checked
 * the right to the port; segments and pages are checked here, those of INS before the port is
 * read, so that a fault loses nothing.
 *
 * Trust: registers, tables and bytes are the child's. Memory is found anew when the parent has
 * answered, since other processors of the child may have changed its tables.
 */
#include <string.h>

#include "base/util.h"
#include "hypervisor/child_priv.h"
#include "hypervisor/emulate.h"
#include "hypervisor/svm.h"
#include "hypervisor/virt.h"
#include "hypervisor/x86.h"

#define RCX 1u
#define RSI 6u
#define RDI 7u
#define EXCEPTION_SS 12u
#define EXCEPTION_GP 13u
#define EXCEPTION_PF 14u
#define EVENT_CODE_AT 32

static void fault(struct child *c, unsigned vector, uint32_t code)
{
	svm_inject(c->vmcb, vector, true);
	c->vmcb->event |= (uint64_t)code << EVENT_CODE_AT;
}

/* In long mode an address need only be one; elsewhere the segment decides. */
static bool segment_allows(const struct svm_vmcb *v, enum access_segment number, uint64_t offset,
			   unsigned bytes, bool write)
{
	const struct svm_segment *s = &(&v->es)[number];
	bool is_code = s->attributes & SVM_SEGMENT_CODE, down;
	uint64_t last = offset + bytes - 1;

	if (!(s->attributes & SVM_SEGMENT_PRESENT))
		return false;
	if (write && (is_code || !(s->attributes & SVM_SEGMENT_WRITE)))
		return false;
	if (!write && is_code && !(s->attributes & SVM_SEGMENT_WRITE))
		return false;
	down = !is_code && (s->attributes & SVM_SEGMENT_DOWN);
	if (!down)
		return last <= s->limit;
	return offset > s->limit &&
	       last <= (s->attributes & SVM_SEGMENT_32 ? UINT32_MAX : UINT16_MAX);
}

/* False: the fault is injected. */
static bool find_linear(struct child *c, enum access_segment number, uint64_t offset,
			unsigned bytes, bool write, uint64_t *ret_linear)
{
	const struct svm_vmcb *v = c->vmcb;
	uint64_t base = (&v->es)[number].base, linear;
	bool ok;

	if (emulate_code_bits(v) == 64) {
		unsigned up = v->cr4 & CR4_LA57 ? 7 : 16;

		linear = (number >= ACCESS_FS ? base : 0) + offset;
		ok = (uint64_t)((int64_t)(linear << up) >> up) == linear &&
		     (uint64_t)((int64_t)((linear + bytes - 1) << up) >> up) == linear + bytes - 1;
	} else {
		linear = (uint32_t)(base + offset);
		ok = segment_allows(v, number, offset, bytes, write);
	}
	if (!ok)
		fault(c, number == ACCESS_SS ? EXCEPTION_SS : EXCEPTION_GP, 0);
	*ret_linear = linear;
	return ok;
}

/* Memory of the child to `data`, or from there; at most two pages. With `data` NULL it is only
 * looked whether that could be. What is not EMULATE_REACHED has its fault injected. */
static enum emulate_reach copy(struct child *c, uint64_t linear, unsigned bytes, bool write,
			       uint8_t *data)
{
	for (unsigned done = 0; done < bytes;) {
		uint64_t at = linear + done;
		unsigned part = (unsigned)min_u64(bytes - done, PAGE_BYTES - at % PAGE_BYTES);
		struct emulate_page page;
		enum emulate_reach r;

		if (emulate_code_bits(c->vmcb) != 64)
			at = (uint32_t)at;
		r = emulate_reach(&c->partition->npt, c->vmcb, at, write, &page);
		if (r == EMULATE_FAULT) {
			c->vmcb->cr2 = at;
			fault(c, EXCEPTION_PF, page.error);
		}
		if (r != EMULATE_REACHED)
			return r;
		if (data && write)
			memcpy(page.at, data + done, part);
		else if (data)
			memcpy(data + done, page.at, part);
		done += part;
	}
	return EMULATE_REACHED;
}

/* Elements of this exit: those of the page, upwards; one that crosses its end goes alone. */
static unsigned count_of(const struct child *c, const struct access *a, uint64_t offset,
			 uint64_t linear, uint64_t left)
{
	uint64_t n = min_u64(PAGE_BYTES - linear % PAGE_BYTES, OYA_STRING_BYTES) / a->bytes;
	uint64_t to_end = access_mask(a->address) - offset;

	if (!a->repeat || (c->vmcb->rflags & RFLAGS_DF))
		return 1;
	/* Nor past what an address can say, or the end of the segment. */
	n = min_u64(min_u64(n, left), to_end / a->bytes);
	if (emulate_code_bits(c->vmcb) != 64 && n &&
	    !segment_allows(c->vmcb, a->write ? ACCESS_ES : a->segment, offset,
			    (unsigned)n * a->bytes, a->write))
		n = 1;
	return n ? (unsigned)n : 1;
}

/* Past so many elements; behind the last one, past the instruction. */
static void advance(struct child *c, uint64_t general[16], unsigned count)
{
	const struct access *a = &c->access;
	uint64_t step = (uint64_t)count * a->bytes, *at = &general[a->write ? RDI : RSI];
	uint64_t left = 0;

	access_set_register(at, a->address, c->vmcb->rflags & RFLAGS_DF ? *at - step : *at + step);
	if (a->repeat) {
		left = (general[RCX] - count) & access_mask(a->address);
		access_set_register(&general[RCX], a->address, left);
	}
	c->vmcb->interrupt_shadow = 0;
	if (!left)
		c->vmcb->rip += a->len;
	svm_set_general(c->vmcb, &c->registers, general);
}

/* Where the next element is; false: a fault. *ret_left 0: there is none. */
static bool find_element(struct child *c, const uint64_t general[16], uint64_t *ret_offset,
			 uint64_t *ret_linear, uint64_t *ret_left)
{
	const struct access *a = &c->access;
	uint64_t mask = access_mask(a->address);

	*ret_left = !a->repeat ? 1 : general[RCX] & mask;
	*ret_offset = general[a->write ? RDI : RSI] & mask;
	return !*ret_left || find_linear(c, a->write ? ACCESS_ES : a->segment, *ret_offset,
					 a->bytes, a->write, ret_linear);
}

static bool leave(struct child *c, unsigned count)
{
	c->shared->exit = OYA_EXIT_PORT_STRING;
	c->shared->count = count;
	return false;
}

bool child_exit_port_string(struct child *c)
{
	const struct access *a = &c->access;
	uint64_t general[16], offset, linear, left;
	enum emulate_reach r;
	unsigned count;

	c->access = emulate_access(&c->partition->npt, c->vmcb);
	/* Else another processor of the child has changed it since. */
	if (a->op != (c->shared->write ? ACCESS_OUT_STRING : ACCESS_IN_STRING) || !a->len ||
	    a->bytes != c->shared->bytes)
		return leave(c, 0);
	/* Those two are in the control block only when they have been put there. */
	if (a->segment >= ACCESS_FS)
		virt->save(pointer_to_physical(c->vmcb));
	svm_get_general(c->vmcb, &c->registers, general);
	if (!find_element(c, general, &offset, &linear, &left))
		return true;
	if (!left) {
		c->vmcb->rip += a->len;
		return true;
	}
	count = count_of(c, a, offset, linear, left);
	r = copy(c, linear, count * a->bytes, a->write, a->write ? NULL : c->shared->data);
	if (r != EMULATE_REACHED)
		return r == EMULATE_NOWHERE ? leave(c, 0) : true;
	c->count = count;
	if (a->write)
		c->unfinished = CHILD_INS;
	else
		advance(c, general, count);
	return leave(c, count);
}

void child_finish_port_string(struct child *c)
{
	uint64_t general[16], offset, linear, left;

	svm_get_general(c->vmcb, &c->registers, general);
	if (!find_element(c, general, &offset, &linear, &left) || left < c->count)
		return;
	if (copy(c, linear, c->count * c->access.bytes, true, c->shared->data) == EMULATE_REACHED)
		advance(c, general, c->count);
}
