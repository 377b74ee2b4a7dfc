// SPDX-License-Identifier: GPL-2.0-or-later
#include "parent/msrs.h"

#include <linux/bitmap.h>
#include <linux/kvm.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/timex.h>
#include <linux/uaccess.h>

#include "parent/vcpu.h"
#include "parent/vm.h"

#define LIST_MAX 256u
#define MSR_TSC 0x10u
#define MSR_MCG_CAP 0x179u
#define MSR_MCG_CTL 0x17Bu
#define MSR_MCE_BANKS 0x400u
#define MCE_REGISTERS 4u /* of a bank; its control first */
#define MCE_BANKS_MASK 0xFFu
#define MCE_HAS_CONTROL BIT_ULL(8)
#define MCE_HAS_RECOVERY BIT_ULL(24)
#define MSR_TSC_DEADLINE 0x6E0u
#define MSR_APIC_BASE 0x1Bu
#define MSR_KVM_WALL_CLOCK 0x11u
#define MSR_KVM_SYSTEM_TIME 0x12u

/* In the order of their numbers. */
static const struct own {
	u32 first, count;
	u64 initial;
	enum { KEPT, CONSTANT, REFUSES } writes;
} own[] = {
	{0x8B, 1, 0x01000065, CONSTANT}, /* microcode: none is to be loaded */
	{0xFE, 1, 0x508, REFUSES},       /* MTRRs: 8, fixed ones, write-combining */
	{MSR_MCG_CAP, 1, 0, REFUSES},    /* machine check: no banks, unless the worker says so */
	{0x17A, 1, 0, KEPT},             /* its status */
	{MSR_MCG_CTL, 1, 0, KEPT},
	{0x1A0, 1, 1, KEPT},     /* fast strings */
	{0x1D9, 1, 0, CONSTANT}, /* debug control: no branch records */
	{0x200, 16, 0, KEPT},    /* MTRRs: the memory is write-back whatever they say */
	{0x250, 1, 0, KEPT},
	{0x258, 2, 0, KEPT},
	{0x268, 8, 0, KEPT},
	{0x2FF, 1, 0, KEPT},
	{MSR_MCE_BANKS, MCE_REGISTERS *OYA_MCE_BANKS, 0, KEPT},
	{0xC0010000, 8, 0, CONSTANT},     /* counters of events, which count none */
	{0xC0010010, 1, 0, CONSTANT},     /* SYSCFG */
	{0xC0010015, 1, 0x1000000, KEPT}, /* HWCR: the TSC counts in all states */
	{0xC001001F, 1, 0, CONSTANT},     /* NB_CFG */
	{0xC0010055, 1, 0, CONSTANT},     /* interrupt pending */
	{0xC0010112, 2, 0, CONSTANT},     /* memory of system management: none */
	{0xC0010114, 1, 0x10, CONSTANT},  /* VM_CR: SVM is switched off */
	{0xC0011020, 1, 0, CONSTANT},     /* LS_CFG */
	{0xC0011022, 1, 0, CONSTANT},     /* DC_CFG */
	{0xC0011029, 1, 2, CONSTANT},     /* DE_CFG: LFENCE serializes */
	{0xC001102A, 1, 0, CONSTANT},     /* BU_CFG2 */
};

struct oya_filter {
	bool denies; /* what no range has */
	unsigned int count;
	struct msr_range {
		u32 flags, first, count;
		unsigned long *allowed;
	} range[KVM_MSR_FILTER_MAX_RANGES];
};

void oya_msrs_init(struct oya_vcpu *v)
{
	unsigned int at = 0, i, n;

	for (i = 0; i < ARRAY_SIZE(own); i++) {
		for (n = 0; n < own[i].count; n++)
			v->msr[at++] = own[i].initial;
	}
	WARN_ON(at > OYA_MSRS);
}

/* Where its value is; NULL: it is not one of these. */
static u64 *find(struct oya_vcpu *v, u32 msr, const struct own **ret_own)
{
	u64 *at = v->msr;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(own); at += own[i++].count) {
		*ret_own = &own[i];
		if (msr - own[i].first < own[i].count)
			return at + (msr - own[i].first);
	}
	return NULL;
}

static bool is_allowed(struct oya_vm *vm, u32 msr, u32 access)
{
	const struct oya_filter *f;
	bool allowed = true;
	unsigned int i;

	rcu_read_lock();
	f = rcu_dereference(vm->filter);
	if (f)
		allowed = !f->denies;
	for (i = 0; f && i < f->count; i++) {
		const struct msr_range *r = &f->range[i];

		if (msr - r->first < r->count && r->flags & access) {
			allowed = test_bit(msr - r->first, r->allowed);
			break;
		}
	}
	rcu_read_unlock();
	return allowed;
}

static enum oya_msr ask(const struct oya_vm *vm, u32 reason, u32 *ret_reason)
{
	*ret_reason = reason;
	return READ_ONCE(vm->msr_reasons) & reason ? OYA_MSR_ASK : OYA_MSR_REFUSED;
}

enum oya_msr oya_msr_access(struct oya_vcpu *v, u32 msr, bool write, u64 *value, u32 *ret_reason)
{
	const struct own *rule;
	u64 *at;

	if (!is_allowed(v->vm, msr, write ? KVM_MSR_FILTER_WRITE : KVM_MSR_FILTER_READ))
		return ask(v->vm, KVM_MSR_EXIT_REASON_FILTER, ret_reason);
	at = find(v, msr, &rule);
	if (!at)
		return ask(v->vm, KVM_MSR_EXIT_REASON_UNKNOWN, ret_reason);
	if (write && rule->writes == REFUSES)
		return ask(v->vm, KVM_MSR_EXIT_REASON_INVAL, ret_reason);
	if (!write)
		*value = *at;
	else if (rule->writes == KEPT)
		*at = *value;
	return OYA_MSR_DONE;
}

static void filter_free(struct oya_filter *f)
{
	unsigned int i;

	for (i = 0; f && i < f->count; i++)
		kfree(f->range[i].allowed);
	kfree(f);
}

void oya_msrs_free(struct oya_vm *vm)
{
	filter_free(rcu_dereference_protected(vm->filter, true));
}

static int add_filter_range(struct oya_filter *f, const struct kvm_msr_filter_range *from)
{
	struct msr_range *r = &f->range[f->count];
	size_t bytes = BITS_TO_LONGS(from->nmsrs) * sizeof(long);

	if (!from->nmsrs)
		return 0;
	if (from->flags & ~(KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE) || !from->flags ||
	    bytes > KVM_MSR_FILTER_MAX_BITMAP_SIZE || from->base + from->nmsrs < from->base)
		return -EINVAL;
	r->allowed = memdup_user((const void __user *)from->bitmap, bytes);
	if (IS_ERR(r->allowed))
		return PTR_ERR(r->allowed);
	r->flags = from->flags;
	r->first = from->base;
	r->count = from->nmsrs;
	f->count++;
	return 0;
}

long oya_msrs_filter(struct oya_vm *vm, const struct kvm_msr_filter __user *argument)
{
	struct kvm_msr_filter wanted;
	struct oya_filter *f;
	unsigned int i;
	int r = 0;

	if (copy_from_user(&wanted, argument, sizeof(wanted)))
		return -EFAULT;
	if (wanted.flags & ~KVM_MSR_FILTER_DEFAULT_DENY)
		return -EINVAL;
	f = kzalloc(sizeof(*f), GFP_KERNEL_ACCOUNT);
	if (!f)
		return -ENOMEM;
	f->denies = wanted.flags & KVM_MSR_FILTER_DEFAULT_DENY;
	for (i = 0; r == 0 && i < KVM_MSR_FILTER_MAX_RANGES; i++)
		r = add_filter_range(f, &wanted.ranges[i]);
	if (r == 0) {
		f = rcu_replace_pointer(vm->filter, f, lockdep_is_held(&vm->lock));
		synchronize_rcu();
	}
	filter_free(f);
	return r;
}

/* Those that are registers of the processor, which the hypervisor has. */
static u64 *find_in_state(struct oya_state *s, u32 msr)
{
	switch (msr) {
	case MSR_IA32_SYSENTER_CS:
		return &s->sysenter_cs;
	case MSR_IA32_SYSENTER_ESP:
		return &s->sysenter_esp;
	case MSR_IA32_SYSENTER_EIP:
		return &s->sysenter_eip;
	case MSR_IA32_CR_PAT:
		return &s->pat;
	case MSR_EFER:
		return &s->efer;
	case MSR_STAR:
		return &s->star;
	case MSR_LSTAR:
		return &s->lstar;
	case MSR_CSTAR:
		return &s->cstar;
	case MSR_SYSCALL_MASK:
		return &s->sfmask;
	case MSR_FS_BASE:
		return &s->fs.base;
	case MSR_GS_BASE:
		return &s->gs.base;
	case MSR_KERNEL_GS_BASE:
		return &s->kernel_gs_base;
	case MSR_APIC_BASE:
		return &s->apic_base;
	case MSR_TSC_DEADLINE:
		return &s->tsc_deadline;
	default:
		return NULL;
	}
}

/* Clocks that KVM brings and we do not: monitors read and switch off without asking. */
static bool is_of_kvm(u32 msr)
{
	return msr == MSR_KVM_WALL_CLOCK || msr == MSR_KVM_SYSTEM_TIME;
}

static bool get(struct oya_vcpu *v, u32 msr, u64 *ret_value)
{
	u64 *at = find_in_state(v->state, msr);
	const struct own *rule;

	if (!at)
		at = find(v, msr, &rule);
	if (msr == MSR_TSC)
		*ret_value = get_cycles() + v->state->tsc_offset;
	else if (at || is_of_kvm(msr))
		*ret_value = at ? *at : 0;
	return at || msr == MSR_TSC || is_of_kvm(msr);
}

/* The worker may set what the child may not. */
static bool set(struct oya_vcpu *v, u32 msr, u64 value)
{
	u64 *at = find_in_state(v->state, msr);
	const struct own *rule;

	if (!at)
		at = find(v, msr, &rule);
	if (msr == MSR_TSC)
		v->state->tsc_offset = value - get_cycles();
	else if (at)
		*at = value;
	return at || msr == MSR_TSC || (is_of_kvm(msr) && !value);
}

/* How many were done, from the first on. */
static long each(struct oya_vcpu *v, struct kvm_msrs __user *argument, bool write)
{
	struct kvm_msr_entry e;
	struct kvm_msrs head;
	u32 i;

	if (copy_from_user(&head, argument, sizeof(head)))
		return -EFAULT;
	if (head.nmsrs > LIST_MAX)
		return -E2BIG;
	for (i = 0; i < head.nmsrs; i++) {
		if (copy_from_user(&e, &argument->entries[i], sizeof(e)))
			return -EFAULT;
		if (!(write ? set(v, e.index, e.data) : get(v, e.index, &e.data)))
			break;
		if (!write && copy_to_user(&argument->entries[i], &e, sizeof(e)))
			return -EFAULT;
	}
	return i;
}

long oya_msrs_get(struct oya_vcpu *v, struct kvm_msrs __user *argument)
{
	long r = oya_vcpu_get_state(v);

	return r < 0 ? r : each(v, argument, false);
}

long oya_msrs_set(struct oya_vcpu *v, struct kvm_msrs __user *argument)
{
	long r = oya_vcpu_get_state(v), done;

	if (r < 0)
		return r;
	done = each(v, argument, true);
	r = done < 0 ? 0 : oya_vcpu_set_state(v);
	return r < 0 ? r : done;
}

/* Those above; of the machine check only what there is without banks. */
static const u32 in_state[] = {
	MSR_TSC,
	MSR_IA32_SYSENTER_CS,
	MSR_IA32_SYSENTER_ESP,
	MSR_IA32_SYSENTER_EIP,
	MSR_IA32_CR_PAT,
	MSR_EFER,
	MSR_STAR,
	MSR_LSTAR,
	MSR_CSTAR,
	MSR_SYSCALL_MASK,
	MSR_KERNEL_GS_BASE,
	MSR_TSC_DEADLINE,
};

long oya_msrs_list(struct kvm_msr_list __user *argument)
{
	u32 list[ARRAY_SIZE(in_state) + OYA_MSRS], count = ARRAY_SIZE(in_state), room, i, n;

	memcpy(list, in_state, sizeof(in_state));
	for (i = 0; i < ARRAY_SIZE(own); i++) {
		for (n = 0; own[i].first != MSR_MCE_BANKS && n < own[i].count; n++)
			list[count++] = own[i].first + n;
	}
	if (get_user(room, &argument->nmsrs) || put_user(count, &argument->nmsrs))
		return -EFAULT;
	if (room < count)
		return -E2BIG;
	return copy_to_user(argument->indices, list, count * sizeof(list[0])) ? -EFAULT : 0;
}

long oya_msrs_mce_supported(u64 __user *argument)
{
	return put_user(MCE_HAS_CONTROL | MCE_HAS_RECOVERY, argument);
}

long oya_msrs_mce_set(struct oya_vcpu *v, const u64 __user *argument)
{
	const struct own *rule;
	u64 value, banks, i;

	if (get_user(value, argument))
		return -EFAULT;
	banks = value & MCE_BANKS_MASK;
	if (!banks || banks > OYA_MCE_BANKS ||
	    value & ~(MCE_BANKS_MASK | MCE_HAS_CONTROL | MCE_HAS_RECOVERY))
		return -EINVAL;
	*find(v, MSR_MCG_CAP, &rule) = value;
	if (value & MCE_HAS_CONTROL)
		*find(v, MSR_MCG_CTL, &rule) = U64_MAX;
	for (i = 0; i < banks; i++)
		*find(v, MSR_MCE_BANKS + i * MCE_REGISTERS, &rule) = U64_MAX;
	return 0;
}
