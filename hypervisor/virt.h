/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The processor's virtualization: all that only instructions of one kind of processor can do stands
 * in one table. SVM's is the one there is (svm_machine.c).
 *
 * A control block is in SVM's form (abi/svm.h), whatever the kind: state, intercepts, exit codes,
 * events. A table for another kind of processor translates in `run`, so that nobody else differs.
 */
#ifndef OYA_HYPERVISOR_VIRT_H
#define OYA_HYPERVISOR_VIRT_H

#include <stdint.h>

#include "hypervisor/cpu.h"

struct virt {
	/* NULL, or why this machine cannot have a hypervisor: the end of a sentence. */
	const char *(*missing)(void);

	/* On each processor, once; its own state is kept in the page `host_save` (physical) while a
	 * guest runs. From then on no interrupt of any kind comes. */
	void (*enable)(uint64_t host_save);

	/* How many address spaces a processor tells apart, ours among them. */
	uint32_t (*address_spaces)(void);

	/* Into the guest of a control block (physical) and, with its next exit, back. */
	void (*run)(uint64_t block, struct cpu_registers *registers);

	/* FS, GS, TR, LDTR and the MSRs of system calls, which `run` leaves alone. */
	void (*load)(uint64_t block);
	void (*save)(uint64_t block);

	/* Lets an NMI that is held back come, to our own handler; or interrupts too. */
	void (*take_nmi)(void);
	void (*take_all)(void);
};

extern const struct virt svm_virt;

/* The one of this processor, once virt_choose has found it. */
extern const struct virt *virt;

/* NULL, or why there is none. */
const char *virt_choose(void);

#endif
