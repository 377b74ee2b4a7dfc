/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a processor has beside its registers, in KVM's form: events, FPU, APIC, debug registers. */
#ifndef OYA_PARENT_STATE_H
#define OYA_PARENT_STATE_H

#include <linux/types.h>

struct kvm_sregs;
struct oya_vcpu;

/* Of KVM_SET_GUEST_DEBUG. */
#define OYA_GUEST_DEBUG                                                           \
	(KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_USE_SW_BP | \
	 KVM_GUESTDBG_BLOCKIRQ)

/* One of KVM's calls of a VCPU; -ENOTTY: none of these. With the processor's lock held. */
long oya_state_call(struct oya_vcpu *v, unsigned int number, void __user *argument);

/* The part of sregs that is no register: the vector that is on its way. Between getting and setting
 * the state. */
void oya_state_get_vector(struct oya_vcpu *v, struct kvm_sregs *to);
void oya_state_set_vector(struct oya_vcpu *v, const struct kvm_sregs *from);

#endif
