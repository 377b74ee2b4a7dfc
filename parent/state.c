// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What a processor has beside its registers. The page of the state is also that through which the
 * FPU and the APIC come and go, so nothing of it holds across a call of the hypervisor.
 *
 * Spec: Documentation/virt/kvm/api.rst of the kernel; AMD64 Architecture Programmer's Manual,
 * volume 2, 15.20 (events) and volume 5, appendix B (the area of FXSAVE).
 */
#include "parent/state.h"

#include <asm/cpufeature.h>
#include <linux/bitmap.h>
#include <linux/io.h>
#include <linux/kvm.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "parent/vcpu.h"
#include "parent/vm.h"

/* An event on its way, as in SVM's control block. */
#define EVENT_VALID BIT_ULL(31)
#define EVENT_HAS_ERROR BIT_ULL(11)
#define EVENT_TYPE_AT 8
#define EVENT_ERROR_AT 32
#define EVENT_INTERRUPT 0u
#define EVENT_NMI 2u
#define EVENT_EXCEPTION 3u
#define EVENT_SOFTWARE 4u
#define EXCEPTIONS 32u
#define NMI_VECTOR 2u

#define FX_CONTROL 0u
#define FX_STATUS 2u
#define FX_TAGS 4u
#define FX_OPCODE 6u
#define FX_RIP 8u
#define FX_RDP 16u
#define FX_MXCSR 24u
#define FX_X87 32u
#define FX_XMM 160u
#define FX_HEADER 512u
#define FX_VALID 3u /* x87 and SSE are there */

static unsigned int event_type(u64 event)
{
	return event >> EVENT_TYPE_AT & 7;
}

static u64 make_event(unsigned int type, u8 vector)
{
	return EVENT_VALID | (u64)type << EVENT_TYPE_AT | vector;
}

/* A vector that the worker brought, and that was not taken yet. */
static bool has_vector(const struct oya_vcpu *v, u8 *ret_vector)
{
	*ret_vector = v->shared->interrupt;
	return !v->vm->has_apics && v->shared->interrupt & OYA_INTERRUPT;
}

static void show_event(const struct oya_vcpu *v, struct kvm_vcpu_events *to)
{
	u64 event = v->state->event;

	if (!(event & EVENT_VALID))
		return;
	switch (event_type(event)) {
	case EVENT_NMI:
		to->nmi.injected = 1;
		break;
	case EVENT_EXCEPTION:
		to->exception.injected = 1;
		to->exception.nr = event;
		to->exception.has_error_code = !!(event & EVENT_HAS_ERROR);
		to->exception.error_code = event >> EVENT_ERROR_AT;
		break;
	default:
		to->interrupt.injected = 1;
		to->interrupt.nr = event;
		to->interrupt.soft = event_type(event) == EVENT_SOFTWARE;
	}
}

static long get_events(struct oya_vcpu *v, void __user *argument)
{
	struct kvm_vcpu_events events = {};
	long r = oya_vcpu_get_state(v);
	u8 vector;

	if (r < 0)
		return r;
	show_event(v, &events);
	if (!events.interrupt.injected && has_vector(v, &vector)) {
		events.interrupt.injected = 1;
		events.interrupt.nr = vector;
	}
	events.interrupt.shadow =
		v->state->interrupt_shadow ? KVM_X86_SHADOW_INT_MOV_SS | KVM_X86_SHADOW_INT_STI : 0;
	events.nmi.pending = !!(v->state->nmi & OYA_NMI_PENDING);
	events.nmi.masked = !!(v->state->nmi & OYA_NMI_MASKED);
	events.flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW;
	return copy_to_user(argument, &events, sizeof(events)) ? -EFAULT : 0;
}

/* There is room for one event; an interrupt gives way and comes as one that was just brought. */
static void take_event(struct oya_vcpu *v, const struct kvm_vcpu_events *from)
{
	u64 event = 0;

	v->shared->interrupt = 0;
	if (from->exception.injected) {
		event = make_event(EVENT_EXCEPTION, from->exception.nr);
		if (from->exception.has_error_code)
			event |= EVENT_HAS_ERROR | (u64)from->exception.error_code
							   << EVENT_ERROR_AT;
	} else if (from->nmi.injected) {
		event = make_event(EVENT_NMI, NMI_VECTOR);
	}
	if (from->interrupt.injected && event)
		v->shared->interrupt = OYA_INTERRUPT | from->interrupt.nr;
	else if (from->interrupt.injected)
		event = make_event(from->interrupt.soft ? EVENT_SOFTWARE : EVENT_INTERRUPT,
				   from->interrupt.nr);
	v->state->event = event;
}

static long set_events(struct oya_vcpu *v, const void __user *argument)
{
	struct kvm_vcpu_events events;
	struct oya_state *s = v->state;
	long r;

	if (copy_from_user(&events, argument, sizeof(events)))
		return -EFAULT;
	/* Without system management there is no state of it, and what INIT and SIPI bring is taken
	 * at once. */
	if (events.flags & ~(KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SIPI_VECTOR |
			     KVM_VCPUEVENT_VALID_SHADOW))
		return -EINVAL;
	if (events.exception.injected &&
	    (events.exception.nr >= EXCEPTIONS || events.exception.nr == NMI_VECTOR))
		return -EINVAL;
	r = oya_vcpu_get_state(v);
	if (r < 0)
		return r;
	take_event(v, &events);
	if (events.flags & KVM_VCPUEVENT_VALID_SHADOW)
		s->interrupt_shadow = !!events.interrupt.shadow;
	if (events.flags & KVM_VCPUEVENT_VALID_NMI_PENDING)
		s->nmi = events.nmi.pending ? OYA_NMI_PENDING : 0;
	s->nmi &= ~(u64)OYA_NMI_MASKED;
	if (events.nmi.masked)
		s->nmi |= OYA_NMI_MASKED;
	return oya_vcpu_set_state(v);
}

void oya_state_get_vector(struct oya_vcpu *v, struct kvm_sregs *to)
{
	u64 event = v->state->event;
	u8 vector = event;

	if ((event & EVENT_VALID && event_type(event) == EVENT_INTERRUPT) || has_vector(v, &vector))
		__set_bit(vector, (unsigned long *)to->interrupt_bitmap);
}

void oya_state_set_vector(struct oya_vcpu *v, const struct kvm_sregs *from)
{
	unsigned int vector =
		find_first_bit((const unsigned long *)from->interrupt_bitmap, KVM_NR_INTERRUPTS);

	if (vector >= KVM_NR_INTERRUPTS)
		return;
	if (v->state->event & EVENT_VALID)
		v->shared->interrupt = OYA_INTERRUPT | vector;
	else
		v->state->event = make_event(EVENT_INTERRUPT, vector);
}

static long get_area(struct oya_vcpu *v)
{
	return oya_vcpu_call(v, OYA_CALL_GET_FPU, page_to_phys(v->state_page), 0);
}

static long set_area(struct oya_vcpu *v)
{
	return oya_vcpu_call(v, OYA_CALL_SET_FPU, page_to_phys(v->state_page), 0);
}

static long get_fpu(struct oya_vcpu *v, void __user *argument)
{
	const u8 *area = page_address(v->state_page);
	struct kvm_fpu fpu = {};
	unsigned int i;
	long r = get_area(v);

	if (r < 0)
		return r;
	for (i = 0; i < ARRAY_SIZE(fpu.fpr); i++)
		memcpy(fpu.fpr[i], area + FX_X87 + i * sizeof(fpu.fpr[i]), sizeof(fpu.fpr[i]));
	memcpy(fpu.xmm, area + FX_XMM, sizeof(fpu.xmm));
	memcpy(&fpu.fcw, area + FX_CONTROL, sizeof(fpu.fcw));
	memcpy(&fpu.fsw, area + FX_STATUS, sizeof(fpu.fsw));
	memcpy(&fpu.ftwx, area + FX_TAGS, sizeof(fpu.ftwx));
	memcpy(&fpu.last_opcode, area + FX_OPCODE, sizeof(fpu.last_opcode));
	memcpy(&fpu.last_ip, area + FX_RIP, sizeof(fpu.last_ip));
	memcpy(&fpu.last_dp, area + FX_RDP, sizeof(fpu.last_dp));
	memcpy(&fpu.mxcsr, area + FX_MXCSR, sizeof(fpu.mxcsr));
	return copy_to_user(argument, &fpu, sizeof(fpu)) ? -EFAULT : 0;
}

static long set_fpu(struct oya_vcpu *v, const void __user *argument)
{
	u8 *area = page_address(v->state_page);
	struct kvm_fpu fpu;
	unsigned int i;
	long r;

	if (copy_from_user(&fpu, argument, sizeof(fpu)))
		return -EFAULT;
	r = get_area(v);
	if (r < 0)
		return r;
	for (i = 0; i < ARRAY_SIZE(fpu.fpr); i++)
		memcpy(area + FX_X87 + i * sizeof(fpu.fpr[i]), fpu.fpr[i], sizeof(fpu.fpr[i]));
	memcpy(area + FX_XMM, fpu.xmm, sizeof(fpu.xmm));
	memcpy(area + FX_CONTROL, &fpu.fcw, sizeof(fpu.fcw));
	memcpy(area + FX_STATUS, &fpu.fsw, sizeof(fpu.fsw));
	memcpy(area + FX_TAGS, &fpu.ftwx, sizeof(fpu.ftwx));
	memcpy(area + FX_OPCODE, &fpu.last_opcode, sizeof(fpu.last_opcode));
	memcpy(area + FX_RIP, &fpu.last_ip, sizeof(fpu.last_ip));
	memcpy(area + FX_RDP, &fpu.last_dp, sizeof(fpu.last_dp));
	memcpy(area + FX_MXCSR, &fpu.mxcsr, sizeof(fpu.mxcsr));
	area[FX_HEADER] |= FX_VALID;
	return set_area(v);
}

static long get_xsave(struct oya_vcpu *v, void __user *argument)
{
	long r = get_area(v);

	if (r < 0)
		return r;
	return copy_to_user(argument, page_address(v->state_page), sizeof(struct kvm_xsave))
		       ? -EFAULT
		       : 0;
}

static long set_xsave(struct oya_vcpu *v, const void __user *argument)
{
	if (copy_from_user(page_address(v->state_page), argument, sizeof(struct kvm_xsave)))
		return -EFAULT;
	return set_area(v);
}

static long get_xcrs(struct oya_vcpu *v, void __user *argument)
{
	struct kvm_xcrs xcrs = {.nr_xcrs = 1};
	long r = oya_vcpu_get_state(v);

	if (r < 0)
		return r;
	xcrs.xcrs[0].value = v->state->xcr0;
	return copy_to_user(argument, &xcrs, sizeof(xcrs)) ? -EFAULT : 0;
}

static long set_xcrs(struct oya_vcpu *v, const void __user *argument)
{
	struct kvm_xcrs xcrs;
	unsigned int i;
	long r;

	if (copy_from_user(&xcrs, argument, sizeof(xcrs)))
		return -EFAULT;
	if (xcrs.nr_xcrs > KVM_MAX_XCRS || xcrs.flags)
		return -EINVAL;
	r = oya_vcpu_get_state(v);
	if (r < 0)
		return r;
	for (i = 0; i < xcrs.nr_xcrs; i++) {
		if (xcrs.xcrs[i].xcr == 0)
			v->state->xcr0 = xcrs.xcrs[i].value;
	}
	return oya_vcpu_set_state(v);
}

static long get_apic(struct oya_vcpu *v, void __user *argument)
{
	long r = oya_vcpu_call(v, OYA_CALL_GET_APIC, page_to_phys(v->state_page), 0);

	if (r < 0)
		return r == -ENOENT ? -EINVAL : r;
	return copy_to_user(argument, page_address(v->state_page), sizeof(struct kvm_lapic_state))
		       ? -EFAULT
		       : 0;
}

static long set_apic(struct oya_vcpu *v, const void __user *argument)
{
	long r;

	if (copy_from_user(page_address(v->state_page), argument, sizeof(struct kvm_lapic_state)))
		return -EFAULT;
	r = oya_vcpu_call(v, OYA_CALL_SET_APIC, page_to_phys(v->state_page), 0);
	return r == -ENOENT ? -EINVAL : r;
}

static long get_activity(struct oya_vcpu *v, void __user *argument)
{
	static const u32 states[] = {
		[OYA_RUNNABLE] = KVM_MP_STATE_RUNNABLE,
		[OYA_HALTED] = KVM_MP_STATE_HALTED,
		[OYA_WAITS_FOR_SIPI] = KVM_MP_STATE_UNINITIALIZED,
	};
	struct kvm_mp_state state;
	long r = oya_vcpu_get_state(v);

	if (r < 0)
		return r;
	state.mp_state = states[v->state->activity];
	return copy_to_user(argument, &state, sizeof(state)) ? -EFAULT : 0;
}

static long set_activity(struct oya_vcpu *v, const void __user *argument)
{
	struct kvm_mp_state state;
	u64 activity;
	long r;

	if (copy_from_user(&state, argument, sizeof(state)))
		return -EFAULT;
	switch (state.mp_state) {
	case KVM_MP_STATE_RUNNABLE:
		activity = OYA_RUNNABLE;
		break;
	case KVM_MP_STATE_HALTED:
		activity = OYA_HALTED;
		break;
	case KVM_MP_STATE_UNINITIALIZED:
	case KVM_MP_STATE_INIT_RECEIVED:
		activity = OYA_WAITS_FOR_SIPI;
		break;
	default:
		return -EINVAL;
	}
	/* Without an APIC who halts, and who begins, is the worker's business. */
	if (!v->vm->has_apics && activity != OYA_RUNNABLE)
		return -EINVAL;
	r = oya_vcpu_get_state(v);
	if (r < 0)
		return r;
	v->state->activity = activity;
	return oya_vcpu_set_state(v);
}

static long get_debug(struct oya_vcpu *v, void __user *argument)
{
	struct kvm_debugregs regs = {};
	long r = oya_vcpu_get_state(v);

	if (r < 0)
		return r;
	memcpy(regs.db, v->state->debug, sizeof(regs.db));
	regs.dr6 = v->state->debug[6];
	regs.dr7 = v->state->debug[7];
	return copy_to_user(argument, &regs, sizeof(regs)) ? -EFAULT : 0;
}

static long set_debug(struct oya_vcpu *v, const void __user *argument)
{
	struct kvm_debugregs regs;
	long r;

	if (copy_from_user(&regs, argument, sizeof(regs)))
		return -EFAULT;
	if (regs.flags || regs.dr6 >> 32 || regs.dr7 >> 32)
		return -EINVAL;
	r = oya_vcpu_get_state(v);
	if (r < 0)
		return r;
	memcpy(v->state->debug, regs.db, sizeof(regs.db));
	v->state->debug[6] = regs.dr6;
	v->state->debug[7] = regs.dr7;
	return oya_vcpu_set_state(v);
}

static long send_nmi(struct oya_vcpu *v)
{
	long r = oya_vcpu_get_state(v);

	if (r < 0)
		return r;
	v->state->nmi |= OYA_NMI_PENDING;
	return oya_vcpu_set_state(v);
}

static long bring_vector(struct oya_vcpu *v, const void __user *argument)
{
	struct kvm_interrupt interrupt;

	if (copy_from_user(&interrupt, argument, sizeof(interrupt)))
		return -EFAULT;
	if (interrupt.irq >= KVM_NR_INTERRUPTS)
		return -EINVAL;
	if (v->vm->has_apics && v->shared->interrupt & OYA_INTERRUPT)
		return -EEXIST;
	v->shared->interrupt = OYA_INTERRUPT | interrupt.irq;
	return 0;
}

/* Accesses to the TPR are not told one by one, so there is nothing to switch on. */
static long report_tpr(const void __user *argument)
{
	struct kvm_tpr_access_ctl control;

	if (copy_from_user(&control, argument, sizeof(control)))
		return -EFAULT;
	return control.enabled ? -EINVAL : 0;
}

static long set_virtual_apic(const void __user *argument)
{
	struct kvm_vapic_addr address;

	if (copy_from_user(&address, argument, sizeof(address)))
		return -EFAULT;
	return address.vapic_addr ? -EINVAL : 0;
}

/* While it is stepped a processor takes no interrupts, whether the worker asks for that or not. */
static long set_guest_debug(struct oya_vcpu *v, const void __user *argument)
{
	struct kvm_guest_debug debug;
	u8 watch = 0;

	if (copy_from_user(&debug, argument, sizeof(debug)))
		return -EFAULT;
	if (debug.control & ~OYA_GUEST_DEBUG)
		return -EINVAL;
	if (debug.control & KVM_GUESTDBG_ENABLE) {
		watch |= debug.control & KVM_GUESTDBG_SINGLESTEP ? OYA_DEBUG_STEP : 0;
		watch |= debug.control & KVM_GUESTDBG_USE_SW_BP ? OYA_DEBUG_BREAKPOINTS : 0;
	}
	v->shared->debug = watch;
	return 0;
}

long oya_state_call(struct oya_vcpu *v, unsigned int number, void __user *argument)
{
	switch (number) {
	case KVM_GET_VCPU_EVENTS:
		return get_events(v, argument);
	case KVM_SET_VCPU_EVENTS:
		return set_events(v, argument);
	case KVM_GET_FPU:
		return get_fpu(v, argument);
	case KVM_SET_FPU:
		return set_fpu(v, argument);
	case KVM_GET_XSAVE:
	case KVM_GET_XSAVE2:
		return get_xsave(v, argument);
	case KVM_SET_XSAVE:
		return set_xsave(v, argument);
	case KVM_GET_XCRS:
		return boot_cpu_has(X86_FEATURE_XSAVE) ? get_xcrs(v, argument) : -EINVAL;
	case KVM_SET_XCRS:
		return boot_cpu_has(X86_FEATURE_XSAVE) ? set_xcrs(v, argument) : -EINVAL;
	case KVM_GET_LAPIC:
		return get_apic(v, argument);
	case KVM_SET_LAPIC:
		return set_apic(v, argument);
	case KVM_GET_MP_STATE:
		return get_activity(v, argument);
	case KVM_SET_MP_STATE:
		return set_activity(v, argument);
	case KVM_GET_DEBUGREGS:
		return get_debug(v, argument);
	case KVM_SET_DEBUGREGS:
		return set_debug(v, argument);
	case KVM_SET_GUEST_DEBUG:
		return set_guest_debug(v, argument);
	case KVM_NMI:
		return send_nmi(v);
	case KVM_INTERRUPT:
		return bring_vector(v, argument);
	case KVM_TPR_ACCESS_REPORTING:
		return report_tpr(argument);
	case KVM_SET_VAPIC_ADDR:
		return set_virtual_apic(argument);
	default:
		return -ENOTTY;
	}
}
