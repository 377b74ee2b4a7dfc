/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A processor's registers, from the hypervisor's form to KVM's and back. */
#ifndef OYA_PARENT_REGISTERS_H
#define OYA_PARENT_REGISTERS_H

#include <linux/kvm.h>

#include "abi/oya.h"

/* `general` has 16, in the order of their encoding. */
void oya_registers_get(const u64 *general, u64 rip, u64 rflags, struct kvm_regs *to);
void oya_registers_set(u64 *general, u64 *rip, u64 *rflags, const struct kvm_regs *from);
void oya_system_get(const struct oya_state *s, struct kvm_sregs *to);
void oya_system_set(struct oya_state *s, const struct kvm_sregs *from);

#endif
