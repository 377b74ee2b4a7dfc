/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * MSRs of children that the hypervisor does not answer by itself: the worker's, by KVM's filter;
 * those that are kept here, and have no effect; none.
 */
#ifndef OYA_PARENT_MSRS_H
#define OYA_PARENT_MSRS_H

#include <linux/types.h>

#define OYA_MSRS 96u /* room for the values that are kept */
#define OYA_MCE_BANKS 10u

struct kvm_msr_filter;
struct kvm_msr_list;
struct kvm_msrs;
struct oya_vcpu;
struct oya_vm;

enum oya_msr {
	OYA_MSR_DONE,
	OYA_MSR_REFUSED,
	OYA_MSR_ASK, /* the worker; *ret_reason is told: KVM_MSR_EXIT_REASON_... */
};

void oya_msrs_init(struct oya_vcpu *v);
enum oya_msr oya_msr_access(struct oya_vcpu *v, u32 msr, bool write, u64 *value, u32 *ret_reason);

/* KVM's calls; the first with the VM's lock held. */
long oya_msrs_filter(struct oya_vm *vm, const struct kvm_msr_filter __user *argument);
void oya_msrs_free(struct oya_vm *vm);
long oya_msrs_get(struct oya_vcpu *v, struct kvm_msrs __user *argument);
long oya_msrs_set(struct oya_vcpu *v, struct kvm_msrs __user *argument);
long oya_msrs_list(struct kvm_msr_list __user *argument);

/* Machine checks: none ever comes, but the registers are there. */
long oya_msrs_mce_supported(u64 __user *argument);
long oya_msrs_mce_set(struct oya_vcpu *v, const u64 __user *argument);

#endif
