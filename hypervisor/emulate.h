/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a guest's processor is about to do with memory: the bytes at RIP, by its page tables.
 *
 * Trust: the bytes and the page tables on the way to them are the guest's; they are read through
 * its nested tables only, and copied before they are looked at.
 */
#ifndef OYA_HYPERVISOR_EMULATE_H
#define OYA_HYPERVISOR_EMULATE_H

#include <stddef.h>
#include <stdint.h>

#include "abi/svm.h"
#include "hypervisor/decode.h"
#include "hypervisor/npt.h"

#define EMULATE_LEVELS 5u

/* An instruction and all that led to it: it is known again while all of that is still so. Zeros:
 * none yet. */
struct emulate_memo {
	uint64_t rip, cr0, cr3, cr4, efer, changes;
	uint16_t cs_attributes;
	unsigned levels;
	const volatile uint64_t *entry_at[EMULATE_LEVELS];
	uint64_t entry[EMULATE_LEVELS];
	const uint8_t *code; /* NULL: there is none */
	uint64_t bytes[2];
	struct access access;
};

/* `len` 0: it is not one that is known, or cannot be read. */
struct access emulate_access(const struct npt *npt, const struct svm_vmcb *v);

/* The same, soon done when it is the one of the last time. One processor at a time has a memo. */
struct access emulate_access_again(const struct npt *npt, const struct svm_vmcb *v,
				   struct emulate_memo *m);

/* After an exit that the guest did not cause. A processor that forgets the shadow of STI when it
 * enters again, as an emulated one does, would take an interrupt before the HLT that follows and
 * then sleep although it was woken. HLT may end at any time, so it is passed over. */
void emulate_pass_halt(const struct npt *npt, struct svm_vmcb *v);
/* The segment that the instruction at RIP names for its source: DS, or an override. */
const struct svm_segment *emulate_segment(const struct npt *npt, const struct svm_vmcb *v);

/* The linear address of an offset in a segment. */
uint64_t emulate_linear(const struct svm_vmcb *v, const struct svm_segment *segment,
			uint64_t offset);

/* Memory as an instruction at this privilege reaches it, by the guest's tables and rights; the
 * pointer is good until the processor leaves the hypervisor. What accesses note in page tables (A
 * and D) is not noted. */
enum emulate_reach {
	EMULATE_REACHED,
	EMULATE_FAULTS,    /* a page fault of the guest's, with this error code */
	EMULATE_ELSEWHERE, /* no memory, or none that may be written, or parts of two pages */
};
enum emulate_reach emulate_reach(const struct npt *npt, const struct svm_vmcb *v, uint64_t linear,
				 size_t len, bool write, void **ret_at, uint32_t *ret_error);

#endif
