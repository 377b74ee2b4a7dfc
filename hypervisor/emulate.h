/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The few instructions that we carry out for the parent: stores of a register or a constant to a
 * page that it may not write.
 *
 * Trust: the instruction's bytes and the page tables on the way to them are the parent's; they are
 * read through its nested tables only, and copied before they are looked at.
 */
#ifndef OYA_HYPERVISOR_EMULATE_H
#define OYA_HYPERVISOR_EMULATE_H

#include <stddef.h>
#include <stdint.h>

#include "abi/svm.h"
#include "hypervisor/cpu.h"
#include "hypervisor/npt.h"

/* Reads the store at RIP. The length of the instruction and the value; 0: it is not known. */
unsigned emulate_store(const struct npt *npt, const struct svm_vmcb *v,
		       const struct cpu_registers *r, uint32_t *ret_value);

#endif
