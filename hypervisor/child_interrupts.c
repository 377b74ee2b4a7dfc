/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Interrupts of children: who sends one, whom it reaches, when it is taken.
 *
 * A sender posts, then looks whether the processor waits or runs: one that waits is told of to the
 * parent, one that runs elsewhere is made to come out by an interrupt of the parent's. The
 * processor says that it waits or runs, then looks at what was posted. So no order of the two
 * loses an interrupt.
 */
#include <errno.h>

#include "hypervisor/apic.h"
#include "hypervisor/child_priv.h"
#include "hypervisor/svm.h"
#include "hypervisor/x86.h"

#define CHILD_NMI 1u
#define CHILD_INIT 2u
#define CHILD_SIPI 4u
#define VECTOR_NMI 2u
#define SIPI_SELECTOR_AT 8
#define SIPI_BASE_AT 12
#define RESET_CS 0xF000u
#define RESET_CS_BASE 0xFFFF0000u
#define RESET_RIP 0xFFF0u
#define MESSAGE_PAGES 0xFFF00000u
#define APIC_BASE_FIRST (1u << 8)
#define APIC_BASE_X2 (1u << 10)
#define REGISTER_STRIDE 16u
#define TPR_CLASS_AT 4

/* Whether the processor takes a virtual interrupt also when its priority equals the TPR, as an
 * emulated one does: found out by the first window that opens too early. */
static bool takes_equal;

static void reset(struct child *c, bool is_first)
{
	svm_set_reset(c->vmcb, &c->registers);
	c->vmcb->cs.selector = RESET_CS;
	c->vmcb->cs.base = RESET_CS_BASE;
	c->vmcb->rip = RESET_RIP;
	c->activity = is_first ? OYA_RUNNABLE : OYA_WAITS_FOR_SIPI;
	c->nmi_masked = false;
	c->asid_era = 0;
}

void child_init_interrupts(struct child *c, bool has_apic)
{
	bool is_first = c->number == 0;

	c->has_apic = has_apic;
	c->lapic.id = c->number;
	c->lapic.khz = c->partition->khz;
	c->lapic.base = LAPIC_PAGE | APIC_BASE_ENABLED | (is_first ? APIC_BASE_FIRST : 0);
	lapic_reset(&c->lapic);
	reset(c, is_first || !has_apic);
}

static unsigned events(const struct child *c)
{
	return __atomic_load_n(&c->events, __ATOMIC_SEQ_CST);
}

static bool leave(struct child *c, enum oya_exit exit, uint64_t value)
{
	c->shared->exit = exit;
	c->shared->value = value;
	return false;
}

/* Whoever must be woken for what was posted; or the processor comes out of the child. */
static uint32_t poke(struct child *c)
{
	uint32_t on;

	if (__atomic_exchange_n(&c->waits, false, __ATOMIC_SEQ_CST)) {
		((volatile struct oya_processor *)c->shared)->ready = 1;
		return c->number + 1;
	}
	on = __atomic_load_n(&c->running_on, __ATOMIC_SEQ_CST);
	if (on && !__atomic_exchange_n(&c->kicked, true, __ATOMIC_SEQ_CST))
		apic_interrupt(on - 1, c->partition->kick);
	return OYA_WAKE_NONE;
}

static bool accept(struct child *c, const struct lapic_message *m)
{
	unsigned event;

	switch (m->mode) {
	case LAPIC_FIXED:
	case LAPIC_LOWEST:
		return lapic_post(&c->lapic, m->vector, m->level);
	case LAPIC_NMI:
		event = CHILD_NMI;
		break;
	case LAPIC_INIT:
		event = m->assert ? CHILD_INIT : 0;
		break;
	case LAPIC_STARTUP:
		__atomic_store_n(&c->sipi, m->vector, __ATOMIC_SEQ_CST);
		event = CHILD_SIPI;
		break;
	default:
		return false;
	}
	__atomic_fetch_or(&c->events, event, __ATOMIC_SEQ_CST);
	return event != 0;
}

/* How many take it, and whom to wake for it. */
static unsigned deliver(struct partition *p, const struct child *from,
			const struct lapic_message *m, enum lapic_shorthand shorthand,
			uint32_t *ret_wake)
{
	unsigned end = __atomic_load_n(&p->child_end, __ATOMIC_ACQUIRE), taken = 0;

	*ret_wake = OYA_WAKE_NONE;
	for (unsigned i = 0; i < end && !(taken && m->mode == LAPIC_LOWEST); i++) {
		struct child *c = __atomic_load_n(&p->child[i], __ATOMIC_ACQUIRE);
		uint32_t wake;

		if (!c || !c->has_apic || (shorthand == LAPIC_SELF && c != from) ||
		    (shorthand == LAPIC_OTHERS && c == from) ||
		    (shorthand == LAPIC_NONE && !lapic_is_for(&c->lapic, m)) || !accept(c, m))
			continue;
		taken++;
		wake = poke(c);
		if (wake)
			*ret_wake = *ret_wake ? OYA_WAKE_MANY : wake;
	}
	return taken;
}

int child_message(struct partition *p, uint64_t address, uint64_t data, uint64_t *ret_wake)
{
	struct lapic_message m = lapic_message_of_msi(address, (uint32_t)data);
	uint32_t wake;
	unsigned taken;

	if ((address & MESSAGE_PAGES) != LAPIC_PAGE || data >> 32)
		return -EINVAL;
	taken = deliver(p, NULL, &m, LAPIC_NONE, &wake);
	*ret_wake = wake;
	return taken ? 0 : -ESRCH;
}

static bool command(struct child *c)
{
	struct lapic_message m = lapic_message_of_icr(c->lapic.icr);
	uint32_t wake;

	deliver(c->partition, c, &m, lapic_shorthand(c->lapic.icr), &wake);
	return wake ? leave(c, OYA_EXIT_WAKE, wake) : true;
}

/* Tells the parent of a deadline for which it would not come in time: it comes when it was told,
 * once. */
static bool check_timer(struct child *c, uint64_t now)
{
	uint64_t deadline = c->lapic.deadline;

	return deadline && (c->told <= now || deadline < c->told) ? leave(c, OYA_EXIT_TIMER, 0)
								  : true;
}

static enum child_msr write_register(struct child *c, uint32_t reg, uint64_t value)
{
	uint64_t now = x86_rdtsc();
	uint8_t vector = 0;
	bool on = true;

	switch (lapic_write(&c->lapic, reg, value, now, &vector)) {
	case LAPIC_REFUSED:
		return CHILD_MSR_REFUSED;
	case LAPIC_SEND:
		on = command(c);
		break;
	case LAPIC_ENDED:
		on = leave(c, OYA_EXIT_EOI, vector);
		break;
	case LAPIC_NOTHING:
		on = check_timer(c, now);
		break;
	}
	return on ? CHILD_MSR_DONE : CHILD_MSR_LEAVES;
}

static bool is_register(const struct child *c, uint32_t msr)
{
	return lapic_is_x2(&c->lapic) && msr - LAPIC_MSR_FIRST < LAPIC_MSR_COUNT;
}

enum child_msr child_read_apic_msr(struct child *c, uint32_t msr, uint64_t *ret_value)
{
	if (msr == MSR_APIC_BASE) {
		*ret_value = c->lapic.base;
	} else if (!c->has_apic) {
		return CHILD_MSR_OTHER;
	} else if (msr == MSR_TSC_DEADLINE) {
		*ret_value = lapic_deadline(&c->lapic);
		if (*ret_value)
			*ret_value += c->vmcb->tsc_offset;
	} else if (!is_register(c, msr)) {
		return CHILD_MSR_OTHER;
	} else if (!lapic_read(&c->lapic, msr - LAPIC_MSR_FIRST, x86_rdtsc(), ret_value)) {
		return CHILD_MSR_REFUSED;
	}
	return CHILD_MSR_DONE;
}

/* An APIC of the worker's has no x2APIC mode. */
static bool set_base(struct child *c, uint64_t value)
{
	return (c->has_apic || !(value & APIC_BASE_X2)) && lapic_set_base(&c->lapic, value);
}

enum child_msr child_write_apic_msr(struct child *c, uint32_t msr, uint64_t value)
{
	if (msr == MSR_APIC_BASE)
		return set_base(c, value) ? CHILD_MSR_DONE : CHILD_MSR_REFUSED;
	if (!c->has_apic)
		return CHILD_MSR_OTHER;
	if (msr == MSR_TSC_DEADLINE) {
		lapic_set_deadline(&c->lapic, value ? value - c->vmcb->tsc_offset : 0);
		return check_timer(c, x86_rdtsc()) ? CHILD_MSR_DONE : CHILD_MSR_LEAVES;
	}
	return is_register(c, msr) ? write_register(c, msr - LAPIC_MSR_FIRST, value)
				   : CHILD_MSR_OTHER;
}

bool child_has_apic_page(const struct child *c)
{
	return c->has_apic && (c->lapic.base & APIC_BASE_ENABLED) && !lapic_is_x2(&c->lapic);
}

/* What is not a whole register reads as 0, and writes nothing. */
bool child_reach_apic(struct child *c, const struct access *a, uint64_t offset)
{
	bool whole = a->bytes == 4 && offset % REGISTER_STRIDE == 0;
	uint32_t reg = (uint32_t)(offset / REGISTER_STRIDE);
	uint64_t general[16], value = 0;

	svm_get_general(c->vmcb, &c->registers, general);
	if (a->write)
		return !whole ||
		       write_register(c, reg, access_stored(a, general)) != CHILD_MSR_LEAVES;
	if (!whole || !lapic_read(&c->lapic, reg, x86_rdtsc(), &value))
		value = 0;
	access_load(a, general, value);
	svm_set_general(c->vmcb, &c->registers, general);
	return true;
}

/* INIT and SIPI. */
static void take_events(struct child *c)
{
	unsigned found =
		__atomic_fetch_and(&c->events, ~(CHILD_INIT | CHILD_SIPI), __ATOMIC_SEQ_CST);

	if (found & CHILD_INIT) {
		__atomic_fetch_and(&c->events, ~CHILD_NMI, __ATOMIC_SEQ_CST);
		reset(c, c->lapic.base & APIC_BASE_FIRST);
		lapic_reset(&c->lapic);
	}
	if ((found & CHILD_SIPI) && c->activity == OYA_WAITS_FOR_SIPI) {
		uint8_t page = __atomic_load_n(&c->sipi, __ATOMIC_SEQ_CST);

		c->vmcb->cs.selector = (uint16_t)(page << SIPI_SELECTOR_AT);
		c->vmcb->cs.base = (uint64_t)page << SIPI_BASE_AT;
		c->vmcb->rip = 0;
		c->activity = OYA_RUNNABLE;
	}
}

static bool is_above_tpr(const struct child *c, int vector)
{
	return vector >= 0 && (uint32_t)vector >> 4 > c->lapic.tpr >> TPR_CLASS_AT;
}

/* The vector that goes before what is served and the TPR; -1: none. */
static int next_vector(const struct child *c)
{
	int vector = lapic_next(&c->lapic);

	return is_above_tpr(c, vector) ? vector : -1;
}

/* What the parent has put into the shared page. */
static const volatile struct oya_processor *asked(const struct child *c)
{
	return c->shared;
}

static bool listens(const struct child *c)
{
	return !c->has_apic || lapic_takes_outside(&c->lapic);
}

/* The vector of a controller outside, when the child lets it through; -1: none. */
static int outside_vector(const struct child *c)
{
	uint32_t interrupt = asked(c)->interrupt;

	return (interrupt & OYA_INTERRUPT) && listens(c) ? (int)(interrupt & UINT8_MAX) : -1;
}

static bool is_open(const struct child *c)
{
	const struct svm_vmcb *v = c->vmcb;

	/* One that is stepped takes none: its handlers would be stepped too, and see the trap flag.
	 */
	return !(v->event & SVM_EVENT_VALID) && (v->rflags & RFLAGS_IF) &&
	       !(v->interrupt_shadow & 1) && !(c->watch & OYA_DEBUG_STEP);
}

/* Whether the parent has the next word: which vector. */
static bool takes_outside(const struct child *c)
{
	return is_open(c) && listens(c) && !(asked(c)->interrupt & OYA_INTERRUPT);
}

/* Of one that halts or waits for a SIPI. */
static bool is_roused(struct child *c)
{
	unsigned found = events(c);

	if (c->activity == OYA_WAITS_FOR_SIPI)
		return found & (CHILD_INIT | CHILD_SIPI);
	return (found & CHILD_INIT) || ((found & CHILD_NMI) && !c->nmi_masked) ||
	       (c->vmcb->event & SVM_EVENT_VALID) ||
	       ((c->vmcb->rflags & RFLAGS_IF) && (next_vector(c) >= 0 || outside_vector(c) >= 0));
}

/* False: nothing that it waits for is there; from now on who brings it tells the parent. */
static bool rouse(struct child *c)
{
	lapic_expire(&c->lapic, x86_rdtsc());
	if (c->activity == OYA_HALTED && asked(c)->window && takes_outside(c))
		return leave(c, OYA_EXIT_WINDOW, 0);
	__atomic_store_n(&c->waits, true, __ATOMIC_SEQ_CST);
	if (!is_roused(c))
		return leave(c, OYA_EXIT_HALT, 0);
	__atomic_store_n(&c->waits, false, __ATOMIC_SEQ_CST);
	if (c->activity == OYA_HALTED)
		c->activity = OYA_RUNNABLE;
	return true;
}

bool child_may_run(struct child *c)
{
	if (!c->has_apic)
		return true;
	for (;;) {
		take_events(c);
		if (c->activity == OYA_RUNNABLE)
			return true;
		if (!rouse(c))
			return false;
	}
}

bool child_halt(struct child *c)
{
	if (!c->has_apic)
		return leave(c, OYA_EXIT_HALT, 0);
	c->activity = OYA_HALTED;
	return rouse(c);
}

static void inject(struct child *c, int vector)
{
	c->vmcb->event = SVM_EVENT_VALID | SVM_EVENT_INTR | (unsigned)vector;
}

/* Comes out of the child when it takes interrupts of more than this priority of the TPR, or any. */
static void open_window(struct child *c, enum child_window window, uint64_t above)
{
	struct svm_vmcb *v = c->vmcb;

	c->window = window;
	v->intercept_1 |= SVM_INTERCEPT_VINTR;
	if (window == CHILD_OUTSIDE) {
		v->vintr |= SVM_VINTR_IRQ | SVM_VINTR_IGNORE_TPR | SVM_VINTR_PRIORITY;
		return;
	}
	if (__atomic_load_n(&takes_equal, __ATOMIC_RELAXED))
		above--;
	v->vintr |= SVM_VINTR_IRQ | above << SVM_VINTR_PRIORITY_AT;
}

/* The next interrupt, now or as soon as the child can take it. */
static void offer_interrupt(struct child *c)
{
	struct svm_vmcb *v = c->vmcb;
	int vector = c->has_apic ? lapic_next(&c->lapic) : -1, outside = outside_vector(c);
	uint64_t tpr = c->has_apic ? c->lapic.tpr >> TPR_CLASS_AT : asked(c)->cr8 & SVM_VINTR_TPR;

	v->vintr &= ~(uint64_t)(SVM_VINTR_IRQ | SVM_VINTR_PRIORITY | SVM_VINTR_TPR |
				SVM_VINTR_IGNORE_TPR);
	v->vintr |= tpr;
	v->intercept_1 &= ~SVM_INTERCEPT_VINTR;
	c->window = CHILD_NO_WINDOW;
	if (outside >= 0 && is_open(c)) {
		inject(c, outside);
		c->shared->interrupt = 0;
		outside = -1;
	} else if (vector >= 0 && is_open(c) && is_above_tpr(c, vector)) {
		inject(c, vector);
		lapic_serve(&c->lapic, (uint8_t)vector);
		vector = -1;
	}
	if (c->watch & OYA_DEBUG_STEP)
		return;
	if (outside >= 0 || (asked(c)->window && listens(c)))
		open_window(c, CHILD_OUTSIDE, 0);
	else if (vector >= 0)
		open_window(c, CHILD_APIC, (uint64_t)vector >> 4);
	else if (!c->has_apic && tpr)
		open_window(c, CHILD_TPR, tpr);
}

static void offer_nmi(struct child *c)
{
	if (!(events(c) & CHILD_NMI) || c->nmi_masked || (c->vmcb->event & SVM_EVENT_VALID) ||
	    (c->watch & OYA_DEBUG_STEP))
		return;
	__atomic_fetch_and(&c->events, ~CHILD_NMI, __ATOMIC_SEQ_CST);
	c->vmcb->event = SVM_EVENT_VALID | SVM_EVENT_NMI | VECTOR_NMI;
	c->vmcb->intercept_1 |= SVM_INTERCEPT_IRET;
	c->nmi_masked = true;
}

/* False: the next period begins, and the parent does not know. */
static bool expire(struct child *c)
{
	uint64_t now = x86_rdtsc();

	lapic_expire(&c->lapic, now);
	return check_timer(c, now);
}

/* What came from others, with an APIC. */
static bool take_posted(struct child *c, uint32_t cpu)
{
	__atomic_store_n(&c->kicked, false, __ATOMIC_SEQ_CST);
	__atomic_store_n(&c->running_on, cpu + 1, __ATOMIC_SEQ_CST);
	if (events(c) & (CHILD_INIT | CHILD_SIPI))
		return leave(c, OYA_EXIT_INTERRUPT, 0);
	return !c->lapic.deadline || expire(c);
}

bool child_before_entry(struct child *c, uint32_t cpu)
{
	bool on = !c->has_apic || take_posted(c, cpu);

	if (on) {
		offer_nmi(c);
		if (asked(c)->window && takes_outside(c))
			on = leave(c, OYA_EXIT_WINDOW, 0);
	}
	if (on)
		offer_interrupt(c);
	else /* the TPR of the block is that of the last entry, and may be older than the APIC's */
		__atomic_store_n(&c->running_on, 0, __ATOMIC_SEQ_CST);
	return on;
}

void child_after_entry(struct child *c)
{
	uint32_t class = c->vmcb->vintr & SVM_VINTR_TPR;

	if (!c->has_apic)
		return;
	__atomic_store_n(&c->running_on, 0, __ATOMIC_SEQ_CST);
	if (c->lapic.tpr >> TPR_CLASS_AT != class)
		c->lapic.tpr = class << TPR_CLASS_AT;
}

/* IRET is about to be done: one NMI may be nested on its last instruction, which is harmless. */
void child_end_nmi(struct child *c)
{
	c->nmi_masked = false;
	c->vmcb->intercept_1 &= ~SVM_INTERCEPT_IRET;
}

bool child_window_open(struct child *c)
{
	uint64_t tpr = c->vmcb->vintr & SVM_VINTR_TPR;

	if (c->window == CHILD_APIC && next_vector(c) < 0)
		__atomic_store_n(&takes_equal, true, __ATOMIC_RELAXED);
	if (c->window != CHILD_TPR)
		return true;
	if (tpr < asked(c)->cr8)
		return leave(c, OYA_EXIT_TPR, 0);
	__atomic_store_n(&takes_equal, true, __ATOMIC_RELAXED);
	return true;
}

void child_tell_interrupts(struct child *c)
{
	c->shared->takes = (takes_outside(c) ? OYA_TAKES_INTERRUPT : 0) |
			   (c->vmcb->rflags & RFLAGS_IF ? OYA_INTERRUPTS_ON : 0);
	c->shared->cr8 = c->vmcb->vintr & SVM_VINTR_TPR;
	c->shared->apic_base = c->lapic.base;
}

void child_settle(struct child *c)
{
	if (c->has_apic)
		take_events(c);
}

void child_get_activity(const struct child *c, struct oya_state *to)
{
	to->activity = c->activity;
	to->cr8 = c->has_apic ? c->lapic.tpr >> TPR_CLASS_AT : c->vmcb->vintr & SVM_VINTR_TPR;
	to->nmi = (events(c) & CHILD_NMI ? OYA_NMI_PENDING : 0) |
		  (c->nmi_masked ? OYA_NMI_MASKED : 0);
}

void child_set_activity(struct child *c, const struct oya_state *from)
{
	c->activity = (enum oya_activity)from->activity;
	/* Only the run says that it waits: it may not come to that now. */
	__atomic_store_n(&c->waits, false, __ATOMIC_SEQ_CST);
	c->nmi_masked = from->nmi & OYA_NMI_MASKED;
	if (from->nmi & OYA_NMI_PENDING)
		__atomic_fetch_or(&c->events, CHILD_NMI, __ATOMIC_SEQ_CST);
	else
		__atomic_fetch_and(&c->events, ~CHILD_NMI, __ATOMIC_SEQ_CST);
	if (c->lapic.tpr >> TPR_CLASS_AT != from->cr8)
		c->lapic.tpr = (uint32_t)from->cr8 << TPR_CLASS_AT;
	if (c->nmi_masked)
		c->vmcb->intercept_1 |= SVM_INTERCEPT_IRET;
	else
		c->vmcb->intercept_1 &= ~SVM_INTERCEPT_IRET;
}
