/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * String instructions of children: INS and OUTS, as many elements an exit as lie in one page; MOVS
 * and STOS on memory where a device is, one element an exit. Of a repetition the rest comes when
 * the child is entered again, at the same instruction, and interrupts before it. The processor has
 * checked the right to the port; segments and pages are checked here, those that are written before
 * the port or the device is read, so that a fault loses nothing.
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

void child_decode(struct child *c)
{
	c->access = emulate_access(&c->partition->npt, c->vmcb);
	/* Those two are in the control block only when they have been put there. */
	if (c->access.segment >= ACCESS_FS)
		virt->save(pointer_to_physical(c->vmcb));
}

/* The end of a string that is written, or the one that is read. */
static enum access_segment segment_of(const struct access *a, bool write)
{
	return write ? ACCESS_ES : a->segment;
}

static uint64_t offset_of(const struct access *a, const uint64_t general[16], bool write)
{
	return general[write ? RDI : RSI] & access_mask(a->address);
}

static uint64_t linear_of(const struct svm_vmcb *v, enum access_segment number, uint64_t offset)
{
	uint64_t base = (&v->es)[number].base;

	if (emulate_code_bits(v) != 64)
		return (uint32_t)(base + offset);
	return number >= ACCESS_FS ? base + offset : offset;
}

bool child_is_whole(const struct child *c, enum access_segment segment, uint64_t offset,
		    uint64_t gpa)
{
	uint64_t at = linear_of(c->vmcb, segment, offset) % PAGE_BYTES;

	return at == gpa % PAGE_BYTES && at + c->access.bytes <= PAGE_BYTES;
}

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

static uint64_t left_of(const struct access *a, const uint64_t general[16])
{
	return a->repeat ? general[RCX] & access_mask(a->address) : 1;
}

static bool is_address(const struct svm_vmcb *v, uint64_t linear)
{
	unsigned up = v->cr4 & CR4_LA57 ? 7 : 16;

	return (uint64_t)((int64_t)(linear << up) >> up) == linear;
}

/* What the next element writes, or what it reads. False: the fault is injected. In long mode an
 * address need only be one; elsewhere the segment decides. */
static bool find_element(struct child *c, const uint64_t general[16], bool write,
			 uint64_t *ret_linear)
{
	const struct access *a = &c->access;
	enum access_segment segment = segment_of(a, write);
	uint64_t offset = offset_of(a, general, write);
	uint64_t linear = linear_of(c->vmcb, segment, offset);
	bool ok =
		emulate_code_bits(c->vmcb) == 64
			? is_address(c->vmcb, linear) && is_address(c->vmcb, linear + a->bytes - 1)
			: segment_allows(c->vmcb, segment, offset, a->bytes, write);

	if (!ok)
		fault(c, segment == ACCESS_SS ? EXCEPTION_SS : EXCEPTION_GP, 0);
	*ret_linear = linear;
	return ok;
}

/* Elements of this exit: those of the page, upwards; one that crosses its end goes alone. */
static unsigned count_of(const struct child *c, const uint64_t general[16], uint64_t linear)
{
	const struct access *a = &c->access;
	uint64_t n = min_u64(PAGE_BYTES - linear % PAGE_BYTES, OYA_STRING_BYTES) / a->bytes;
	uint64_t offset = offset_of(a, general, a->write);
	uint64_t to_end = access_mask(a->address) - offset;

	if (!a->repeat || (c->vmcb->rflags & RFLAGS_DF))
		return 1;
	/* Nor past what an address can say, or the end of the segment. */
	n = min_u64(min_u64(n, left_of(a, general)), to_end / a->bytes);
	if (emulate_code_bits(c->vmcb) != 64 && n &&
	    !segment_allows(c->vmcb, segment_of(a, a->write), offset, (unsigned)n * a->bytes,
			    a->write))
		n = 1;
	return n ? (unsigned)n : 1;
}

/* Past so many elements; behind the last one, past the instruction. */
static void advance(struct child *c, uint64_t general[16], unsigned count)
{
	const struct access *a = &c->access;
	uint64_t step = (uint64_t)count * a->bytes, left = 0;

	if (c->vmcb->rflags & RFLAGS_DF)
		step = -step;
	if (a->write)
		access_set_register(&general[RDI], a->address, general[RDI] + step);
	if (a->op == ACCESS_MOVE_STRING || a->op == ACCESS_OUT_STRING)
		access_set_register(&general[RSI], a->address, general[RSI] + step);
	if (a->repeat) {
		left = (general[RCX] - count) & access_mask(a->address);
		access_set_register(&general[RCX], a->address, left);
	}
	c->vmcb->interrupt_shadow = 0;
	if (!left)
		c->vmcb->rip += a->len;
	svm_set_general(c->vmcb, &c->registers, general);
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
	uint64_t general[16], linear;
	enum emulate_reach r;
	unsigned count;

	child_decode(c);
	/* Else another processor of the child has changed it since. */
	if (a->op != (c->shared->write ? ACCESS_OUT_STRING : ACCESS_IN_STRING) ||
	    a->bytes != c->shared->bytes)
		return leave(c, 0);
	svm_get_general(c->vmcb, &c->registers, general);
	if (!left_of(a, general)) {
		c->vmcb->rip += a->len;
		return true;
	}
	if (!find_element(c, general, a->write, &linear))
		return true;
	count = count_of(c, general, linear);
	r = copy(c, linear, count * a->bytes, a->write, a->write ? NULL : c->shared->data);
	if (r != EMULATE_REACHED)
		return r == EMULATE_NOWHERE ? leave(c, 0) : true;
	c->count = count;
	if (a->write)
		c->unfinished = CHILD_STRING;
	else
		advance(c, general, count);
	return leave(c, count);
}

/* `bytes` in the shared page is 0, as of what is not done. */
bool child_exit_memory_string(struct child *c, uint64_t gpa, bool write)
{
	const struct access *a = &c->access;
	enum emulate_reach r = EMULATE_REACHED;
	uint64_t general[16], linear, value = 0;

	c->shared->exit = OYA_EXIT_MEMORY;
	svm_get_general(c->vmcb, &c->registers, general);
	/* What is no longer what it was when it came out. */
	if (!left_of(a, general) || (a->op == ACCESS_STORE_STRING && !write) ||
	    !child_is_whole(c, segment_of(a, write), offset_of(a, general, write), gpa))
		return false;
	if (a->op == ACCESS_STORE_STRING) {
		value = access_stored(a, general);
	} else {
		if (!find_element(c, general, !write, &linear))
			return true;
		r = copy(c, linear, a->bytes, !write, write ? (uint8_t *)&value : NULL);
	}
	if (r != EMULATE_REACHED)
		return r != EMULATE_NOWHERE;
	c->shared->bytes = a->bytes;
	c->shared->value = value;
	c->count = 1;
	if (write)
		advance(c, general, 1);
	else
		c->unfinished = CHILD_STRING;
	return false;
}

void child_finish_string(struct child *c, uint64_t value)
{
	const struct access *a = &c->access;
	uint8_t *data = a->op == ACCESS_IN_STRING ? c->shared->data : (uint8_t *)&value;
	uint64_t general[16], linear;

	svm_get_general(c->vmcb, &c->registers, general);
	if (left_of(a, general) < c->count || !find_element(c, general, true, &linear))
		return;
	if (copy(c, linear, c->count * a->bytes, true, data) == EMULATE_REACHED)
		advance(c, general, c->count);
}
