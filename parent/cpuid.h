/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What CPUID may tell children. */
#ifndef OYA_PARENT_CPUID_H
#define OYA_PARENT_CPUID_H

struct kvm_cpuid2;
struct oya_vcpu;

/* KVM_GET_SUPPORTED_CPUID. */
long oya_cpuid_supported(struct kvm_cpuid2 __user *argument);

/* KVM_SET_CPUID2. */
long oya_cpuid_set(struct oya_vcpu *v, const struct kvm_cpuid2 __user *argument);

#endif
