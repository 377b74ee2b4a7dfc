// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The run of a processor: it is entered until the worker has something to do.
 *
 * Its timer is the hypervisor's to count, and ours to be on time for: a timer of the machine's on
 * the same processor ends the run, and the hypervisor then finds out that the time has come. One
 * that halts waits here, until another brings it an interrupt (`ready`, and a call of oya_wake),
 * its timer ends or the worker has a signal.
 */
#include <asm/tsc.h>
#include <linux/sched/signal.h>
#include <linux/signal.h>
#include <linux/string.h>
#include <linux/timex.h>
#include <linux/version.h>

#include "parent/hypercall.h"
#include "parent/registers.h"
#include "parent/vcpu.h"
#include "parent/vm.h"

#define TIMER_MOST_MS 600000u /* then it is armed anew */
#define VALUE_BYTES 8u
#define DR6_STEP BIT(14)

enum next { ENTER, WAIT, LEAVE };

static enum hrtimer_restart on_timer(struct hrtimer *timer)
{
	struct oya_vcpu *v = container_of(timer, struct oya_vcpu, timer);

	WRITE_ONCE(v->expired, true);
	rcuwait_wake_up(&v->wait);
	return HRTIMER_NORESTART;
}

void oya_run_init(struct oya_vcpu *v)
{
	rcuwait_init(&v->wait);
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 13, 0)
	hrtimer_setup(&v->timer, on_timer, CLOCK_MONOTONIC, HRTIMER_MODE_REL_PINNED_HARD);
#else
	hrtimer_init(&v->timer, CLOCK_MONOTONIC, HRTIMER_MODE_REL_PINNED_HARD);
	v->timer.function = on_timer;
#endif
}

void oya_run_done(struct oya_vcpu *v)
{
	hrtimer_cancel(&v->timer);
}

void oya_wake(struct oya_vm *vm, u64 whom)
{
	u64 first = whom == OYA_WAKE_MANY ? 0 : whom - 1, i;
	u64 end = whom == OYA_WAKE_MANY ? OYA_PROCESSORS : whom;

	if (whom == OYA_WAKE_NONE)
		return;
	for (i = first; i < end && i < OYA_PROCESSORS; i++) {
		struct oya_vcpu *v = READ_ONCE(vm->vcpu[i]);

		if (v && READ_ONCE(v->shared->ready))
			rcuwait_wake_up(&v->wait);
	}
}

/* The deadline is of the machine's TSC. One that has passed needs no timer: it is found at the
 * next entry. With interrupts off, so that the timer is where the processor will run. */
static void arm(struct oya_vcpu *v)
{
	u64 deadline = v->shared->deadline, now, left;
	int cpu = smp_processor_id();

	if (deadline == v->armed && v->armed_on == cpu && (!deadline || hrtimer_active(&v->timer)))
		return;
	v->armed = deadline;
	v->armed_on = cpu;
	v->expired = false;
	if (!deadline) {
		hrtimer_try_to_cancel(&v->timer); /* one that comes nevertheless does no harm */
		return;
	}
	now = get_cycles();
	if (deadline <= now) {
		v->expired = true;
		return;
	}
	left = min(deadline - now, (u64)tsc_khz * TIMER_MOST_MS);
	hrtimer_start(&v->timer, ns_to_ktime(div_u64(left * NSEC_PER_MSEC, tsc_khz)),
		      HRTIMER_MODE_REL_PINNED_HARD);
}

/* One entry; an interrupt of ours that comes meanwhile is taken as soon as interrupts are on. */
static long enter(struct oya_vcpu *v)
{
	long r = 0;

	local_irq_disable();
	arm(v);
	if (signal_pending(current))
		r = -EINTR;
	else if (!need_resched())
		r = oya_vcpu_call(v, OYA_CALL_RUN, 0, 0);
	else
		v->shared->exit = OYA_EXIT_INTERRUPT;
	local_irq_enable();
	return r;
}

/* 0 or -EINTR. */
static long wait(struct oya_vcpu *v)
{
	long r;

	local_irq_disable();
	arm(v);
	local_irq_enable();
	r = rcuwait_wait_event(&v->wait, READ_ONCE(v->shared->ready) || READ_ONCE(v->expired),
			       TASK_INTERRUPTIBLE);
	/* Who sets it from now on has posted before, and the next entry finds that. */
	WRITE_ONCE(v->shared->ready, 0);
	return r;
}

static enum next fail(struct oya_vcpu *v)
{
	struct kvm_run *run = v->run;

	run->exit_reason = KVM_EXIT_INTERNAL_ERROR;
	run->internal.suberror = KVM_INTERNAL_ERROR_EMULATION;
	run->internal.ndata = 2;
	run->internal.data[0] = v->shared->exit;
	run->internal.data[1] = v->shared->address;
	return LEAVE;
}

static enum next exit_port(struct oya_vcpu *v)
{
	const struct oya_processor *p = v->shared;
	struct kvm_run *run = v->run;

	if (p->write && oya_event_signal(v->vm, true, p->port, p->bytes, p->value))
		return ENTER;
	run->exit_reason = KVM_EXIT_IO;
	run->io.direction = p->write ? KVM_EXIT_IO_OUT : KVM_EXIT_IO_IN;
	run->io.size = p->bytes;
	run->io.port = p->port;
	run->io.count = 1;
	run->io.data_offset = OYA_DATA_OFFSET;
	memcpy((u8 *)run + OYA_DATA_OFFSET, &p->value, VALUE_BYTES);
	v->question = p->write ? OYA_ASKED_NOTHING : OYA_ASKED_PORT;
	return LEAVE;
}

static enum next exit_port_string(struct oya_vcpu *v)
{
	const struct oya_processor *p = v->shared;
	struct kvm_run *run = v->run;

	if (!p->count)
		return fail(v);
	run->exit_reason = KVM_EXIT_IO;
	run->io.direction = p->write ? KVM_EXIT_IO_OUT : KVM_EXIT_IO_IN;
	run->io.size = p->bytes;
	run->io.port = p->port;
	run->io.count = p->count;
	run->io.data_offset = OYA_DATA_OFFSET;
	memcpy((u8 *)run + OYA_DATA_OFFSET, p->data, OYA_STRING_BYTES);
	v->question = p->write ? OYA_ASKED_NOTHING : OYA_ASKED_PORT_STRING;
	return LEAVE;
}

static enum next exit_memory(struct oya_vcpu *v)
{
	const struct oya_processor *p = v->shared;
	struct kvm_run *run = v->run;

	if (!p->bytes)
		return fail(v);
	if (p->write && oya_event_signal(v->vm, false, p->address, p->bytes, p->value))
		return ENTER;
	run->exit_reason = KVM_EXIT_MMIO;
	run->mmio.phys_addr = p->address;
	run->mmio.len = p->bytes;
	run->mmio.is_write = p->write;
	memcpy(run->mmio.data, &p->value, VALUE_BYTES);
	v->question = p->write ? OYA_ASKED_NOTHING : OYA_ASKED_MEMORY;
	return LEAVE;
}

static enum next exit_msr(struct oya_vcpu *v)
{
	struct oya_processor *p = v->shared;
	struct kvm_run *run = v->run;
	u64 value = p->value;
	u32 reason = 0;
	enum oya_msr done = oya_msr_access(v, p->port, p->write, &value, &reason);

	p->value = value;
	p->fault = done == OYA_MSR_REFUSED;
	if (done != OYA_MSR_ASK)
		return ENTER;
	run->exit_reason = p->write ? KVM_EXIT_X86_WRMSR : KVM_EXIT_X86_RDMSR;
	run->msr.error = 0;
	run->msr.reason = reason;
	run->msr.index = p->port;
	run->msr.data = value;
	v->question = OYA_ASKED_MSR;
	return LEAVE;
}

static enum next exit_debug(struct oya_vcpu *v)
{
	struct kvm_debug_exit_arch *to = &v->run->debug.arch;
	const struct oya_state *s = v->state;

	if (oya_vcpu_get_state(v) < 0)
		return fail(v);
	v->run->exit_reason = KVM_EXIT_DEBUG;
	to->exception = v->shared->port;
	to->pc = s->cs.base + s->rip;
	to->dr6 = s->debug[6] | (to->exception == DB_VECTOR ? DR6_STEP : 0);
	to->dr7 = s->debug[7];
	return LEAVE;
}

static enum next take_exit(struct oya_vcpu *v)
{
	const struct oya_processor *p = v->shared;
	struct kvm_run *run = v->run;

	switch (p->exit) {
	case OYA_EXIT_INTERRUPT:
	case OYA_EXIT_TIMER:
		return ENTER;
	case OYA_EXIT_WAKE:
		oya_wake(v->vm, p->value);
		return ENTER;
	case OYA_EXIT_PORT:
		return exit_port(v);
	case OYA_EXIT_PORT_STRING:
		return exit_port_string(v);
	case OYA_EXIT_MEMORY:
		return exit_memory(v);
	case OYA_EXIT_MSR:
		return exit_msr(v);
	case OYA_EXIT_HALT:
		run->exit_reason = KVM_EXIT_HLT;
		return v->vm->has_apics ? WAIT : LEAVE;
	case OYA_EXIT_EOI:
		run->exit_reason = KVM_EXIT_IOAPIC_EOI;
		run->eoi.vector = p->value;
		return LEAVE;
	case OYA_EXIT_WINDOW:
		run->exit_reason = KVM_EXIT_IRQ_WINDOW_OPEN;
		return LEAVE;
	case OYA_EXIT_TPR:
		run->exit_reason = KVM_EXIT_SET_TPR;
		return LEAVE;
	case OYA_EXIT_DEBUG:
		return exit_debug(v);
	case OYA_EXIT_SHUTDOWN:
		run->exit_reason = KVM_EXIT_SHUTDOWN;
		return LEAVE;
	case OYA_EXIT_BROKEN:
		run->exit_reason = KVM_EXIT_FAIL_ENTRY;
		run->fail_entry.hardware_entry_failure_reason = p->address;
		run->fail_entry.cpu = raw_smp_processor_id();
		return LEAVE;
	default: /* of a hypervisor that is newer */
		return fail(v);
	}
}

/* What the worker was asked for. */
static void take_answer(struct oya_vcpu *v)
{
	struct oya_processor *p = v->shared;
	const void *from = NULL;

	switch (v->question) {
	case OYA_ASKED_NOTHING:
		return;
	case OYA_ASKED_PORT:
		from = (u8 *)v->run + OYA_DATA_OFFSET;
		break;
	case OYA_ASKED_PORT_STRING:
		memcpy(p->data, (u8 *)v->run + OYA_DATA_OFFSET, OYA_STRING_BYTES);
		v->question = OYA_ASKED_NOTHING;
		return;
	case OYA_ASKED_MEMORY:
		from = v->run->mmio.data;
		break;
	case OYA_ASKED_MSR:
		from = &v->run->msr.data;
		p->fault = READ_ONCE(v->run->msr.error) != 0;
		break;
	}
	memcpy(&p->value, from, VALUE_BYTES);
	v->question = OYA_ASKED_NOTHING;
}

static int take_registers(struct oya_vcpu *v)
{
	u64 valid = READ_ONCE(v->run->kvm_valid_regs), dirty = READ_ONCE(v->run->kvm_dirty_regs);
	struct kvm_regs regs;

	if ((valid | dirty) & ~(u64)KVM_SYNC_X86_REGS)
		return -EINVAL;
	if (!dirty)
		return 0;
	regs = v->run->s.regs.regs;
	oya_registers_set(v->shared->general, &v->shared->rip, &v->shared->rflags, &regs);
	v->shared->changed = 1;
	v->run->kvm_dirty_regs = 0;
	return 0;
}

static void show_registers(struct oya_vcpu *v)
{
	const struct oya_processor *p = v->shared;
	struct oya_state *s = v->state;

	if (!(READ_ONCE(v->run->kvm_valid_regs) & KVM_SYNC_X86_REGS))
		return;
	/* Interrupts come without them, and of what was changed the hypervisor may not know yet. */
	if (p->exit != OYA_EXIT_INTERRUPT)
		oya_registers_get(p->general, p->rip, p->rflags, &v->run->s.regs.regs);
	else if (!p->changed && oya_vcpu_get_state(v) == 0)
		oya_registers_get(s->general, s->rip, s->rflags, &v->run->s.regs.regs);
}

/* What the worker asks for with each run, and what it is told after it. */
static void take_wishes(struct oya_vcpu *v)
{
	v->shared->window = READ_ONCE(v->run->request_interrupt_window) != 0;
	if (!v->vm->has_apics)
		v->shared->cr8 = READ_ONCE(v->run->cr8) & 0xF;
}

static void show_interrupts(struct oya_vcpu *v)
{
	const struct oya_processor *p = v->shared;
	struct kvm_run *run = v->run;

	run->ready_for_interrupt_injection = !!(p->takes & OYA_TAKES_INTERRUPT);
	run->if_flag = !!(p->takes & OYA_INTERRUPTS_ON);
	run->cr8 = p->cr8;
	run->apic_base = p->apic_base;
	run->flags = 0;
}

static long run_on(struct oya_vcpu *v)
{
	enum next next = ENTER;
	long r = 0;

	if (READ_ONCE(v->run->immediate_exit)) {
		r = oya_vcpu_call(v, OYA_CALL_RUN, OYA_RUN_FINISH, 0);
		r = r < 0 ? r : -EINTR;
	}
	while (r == 0 && next != LEAVE) {
		r = next == WAIT ? wait(v) : enter(v);
		if (r == 0)
			next = next == WAIT ? ENTER : take_exit(v);
		cond_resched();
	}
	if (r == -EINTR)
		v->run->exit_reason = KVM_EXIT_INTR;
	return r;
}

long oya_run(struct oya_vcpu *v)
{
	sigset_t before;
	long r;

	r = take_registers(v);
	if (r < 0)
		return r;
	take_answer(v);
	take_wishes(v);
	if (v->has_signals)
		sigprocmask(SIG_SETMASK, &v->signals, &before);
	r = run_on(v);
	if (v->has_signals)
		sigprocmask(SIG_SETMASK, &before, NULL);
	show_interrupts(v);
	show_registers(v);
	return r;
}
