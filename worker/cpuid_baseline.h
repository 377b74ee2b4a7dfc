/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CPUID of a guest that is to move (docs/design/processor.md): KVM's list as a description, a list
 * with a baseline's features only, and whether a guest that comes with a list can have it here.
 * Called for KVM's list, before cpuid_set_topology(), but for cpuid_fits().
 *
 * Trust: a leaf of another host is hostile. Pure.
 */
#ifndef OYA_WORKER_CPUID_BASELINE_H
#define OYA_WORKER_CPUID_BASELINE_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/fail.h"
#include "lib/processor.h"

void cpuid_describe(const struct kvm_cpuid2 *list, struct processor *ret);

/* Leaves what the baseline has. 0, or -EOPNOTSUPP and the sentence that names what is lacking. */
int cpuid_restrict(struct kvm_cpuid2 *list, const struct processor *p, struct failure *f);

/* Whether a leaf that a guest has elsewhere can be here, where the list is all that a guest can
 * have; else the bits that cannot, and their register. */
bool cpuid_fits(const struct kvm_cpuid2 *ours, const struct kvm_cpuid_entry2 *theirs,
		uint32_t *ret_lacks, unsigned *ret_register);

#endif
