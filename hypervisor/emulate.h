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

/* `len` 0: it is not one that is known, or cannot be read. */
struct access emulate_access(const struct npt *npt, const struct svm_vmcb *v);

/* A piece of the guest's memory within one page, at a linear address; NULL: it is not there. `segment`
 * overrides: see emulate_segment. */
void *emulate_memory(const struct npt *npt, const struct svm_vmcb *v, uint64_t linear, size_t len);
const struct svm_segment *emulate_segment(const struct npt *npt, const struct svm_vmcb *v);

#endif
