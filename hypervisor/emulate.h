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

/* 16, 32 or 64. */
unsigned emulate_code_bits(const struct svm_vmcb *v);

#define PAGE_FAULT_PRESENT 1u
#define PAGE_FAULT_WRITE 2u
#define PAGE_FAULT_USER 4u

enum emulate_reach {
	EMULATE_REACHED,
	EMULATE_FAULT,   /* #PF with `error` */
	EMULATE_NOWHERE, /* no memory is there, or it may not be written */
	EMULATE_AGAIN,   /* the tables have changed meanwhile: the guest goes on and comes again */
};

struct emulate_page {
	uint64_t gpa;
	uint32_t error;
	uint8_t *at; /* up to the page's end; valid until the next entry */
};

/* An access of the guest's to data. Protection keys are not looked at. */
enum emulate_reach emulate_reach(const struct npt *npt, const struct svm_vmcb *v, uint64_t linear,
				 bool write, struct emulate_page *ret_page);
/* The same, soon done when it is the one of the last time. One processor at a time has a memo. */
struct access emulate_access_again(const struct npt *npt, const struct svm_vmcb *v,
				   struct emulate_memo *m);

/* After an exit that the guest did not cause. A processor that forgets the shadow of STI when it
 * enters again, as an emulated one does, would take an interrupt before the HLT that follows and
 * then sleep although it was woken. HLT may end at any time, so it is passed over. */
void emulate_pass_halt(const struct npt *npt, struct svm_vmcb *v);

#endif
