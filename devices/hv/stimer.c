/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Synthetic timers: four for each VP, which count in the partition's reference time.
 *
 * A timer is armed on the program's queue by the monotonic clock, for at most ARM_MAX ahead, and
 * compared with the reference time when that fires: however far the two clocks drift apart, no
 * timer expires early, and none more than the drift of a second late.
 *
 * A one-shot timer loses its enable bit when it expires. A message whose slot is taken, or whose
 * SynIC is off, waits in the timer until a slot may be free; a write to either register drops it.
 * A periodic timer with such a message stands still until it is delivered. Periods that were
 * missed are skipped, lazy or not: the next expiry lies on the grid of the first. That is what
 * the specification allows a lazy timer; one that is not lazy would get shorter periods to catch
 * up, but a guest that was not run has no use for a burst of ticks.
 *
 * Trust: both registers are the guest's. A shorter period than PERIOD_MIN would let a guest keep
 * the program's loop busy. A one-shot in the past costs the guest an exit each.
 * Spec: TLFS, chapter "Timers".
 */
#include "devices/hv/internal.h"

#define TICK_NS 100u               /* of the reference time */
#define PERIOD_MIN UINT64_C(1000)  /* 100 us */
#define ARM_MAX UINT64_C(10000000) /* 1 s */
#define FIRST_VECTOR 16u           /* 0-15 belong to exceptions */
#define CONFIG_KEPT                                                                       \
	(HV_STIMER_ENABLE | HV_STIMER_PERIODIC | HV_STIMER_LAZY | HV_STIMER_AUTO_ENABLE | \
	 HV_STIMER_VECTOR_MASK | HV_STIMER_DIRECT | HV_STIMER_SINT_MASK)

bool stimer_offered(const struct hv *hv)
{
	return hv->config.timers && hv->config.clock;
}

static uint64_t config_kept(const struct hv *hv)
{
	return hv->config.timers_by_message ? CONFIG_KEPT & ~HV_STIMER_DIRECT : CONFIG_KEPT;
}

static uint64_t reference_now(const struct hv *hv)
{
	return hv->config.world->reference_time(hv->config.world_ctx);
}

static uint8_t vector_of(const struct hv_stimer *t)
{
	return (uint8_t)((t->config & HV_STIMER_VECTOR_MASK) >> HV_STIMER_VECTOR_SHIFT);
}

static unsigned sint_of(const struct hv_stimer *t)
{
	return (unsigned)((t->config & HV_STIMER_SINT_MASK) >> HV_STIMER_SINT_SHIFT);
}

/* SINT 0 is no target of messages; the vectors of exceptions are none of interrupts. */
static bool has_target(const struct hv_stimer *t)
{
	return t->config & HV_STIMER_DIRECT ? vector_of(t) >= FIRST_VECTOR : sint_of(t) != 0;
}

/* Puts the timer on the queue for due_ref, or for a look at the clock on the way there. */
static void arm(struct hv_stimer *t, uint64_t now_ref)
{
	const struct hv_config *c = &t->hv->config;
	uint64_t ahead = t->due_ref - now_ref, now_ns = c->clock->monotonic_ns(c->clock_ctx);

	if (ahead > ARM_MAX)
		ahead = ARM_MAX;
	timerq_arm(c->timers, &t->timer, now_ns + ahead * TICK_NS);
}

static void arm_next_period(struct hv_stimer *t, uint64_t now_ref)
{
	uint64_t period = t->count < PERIOD_MIN ? PERIOD_MIN : t->count;

	if (now_ref > t->due_ref)
		t->due_ref += (now_ref - t->due_ref) / period * period;
	if (__builtin_add_overflow(t->due_ref, period, &t->due_ref))
		t->due_ref = UINT64_MAX;
	arm(t, now_ref);
}

/* False while there is no room for the message. */
static bool deliver(struct hv_stimer *t, uint64_t now_ref)
{
	const struct hv_stimer_payload payload = {
		.timer = t->index, .expiration_time = t->due_ref, .delivery_time = now_ref};

	if (t->config & HV_STIMER_DIRECT) {
		vp_interrupt(t->hv, t->vp, vector_of(t));
		return true;
	}
	return hv_post(t->hv, t->vp, sint_of(t), HV_MESSAGE_TIMER_EXPIRED, &payload,
		       sizeof(payload)) == 0;
}

static void deliver_or_wait(struct hv_stimer *t, uint64_t now_ref)
{
	t->pending = !deliver(t, now_ref);
	if (!t->pending && (t->config & HV_STIMER_ENABLE))
		arm_next_period(t, now_ref);
}

/* Expires the timer, or arms it when it is not due yet. */
static void advance(struct hv_stimer *t)
{
	uint64_t now_ref = reference_now(t->hv);

	if (now_ref < t->due_ref) {
		arm(t, now_ref);
		return;
	}
	if (!(t->config & HV_STIMER_PERIODIC))
		t->config &= ~HV_STIMER_ENABLE;
	deliver_or_wait(t, now_ref);
}

static void on_timer(void *owner)
{
	advance(owner);
}

/* After a write to either register: what ran or waited before is forgotten. */
static void restart(struct hv_stimer *t)
{
	timerq_disarm(&t->timer);
	t->pending = false;
	if (!has_target(t))
		t->config &= ~HV_STIMER_ENABLE;
	if (!(t->config & HV_STIMER_ENABLE) || !t->count)
		return;
	if (t->config & HV_STIMER_PERIODIC) {
		t->due_ref = reference_now(t->hv);
		arm_next_period(t, t->due_ref);
	} else {
		t->due_ref = t->count;
		advance(t);
	}
}

static void write_count(struct hv_stimer *t, uint64_t value)
{
	t->count = value;
	if (!value)
		t->config &= ~HV_STIMER_ENABLE;
	else if (t->config & HV_STIMER_AUTO_ENABLE)
		t->config |= HV_STIMER_ENABLE;
}

bool stimer_msr(const struct hv *hv, uint32_t msr)
{
	return stimer_offered(hv) && msr >= HV_MSR_STIMER0_CONFIG && msr <= HV_MSR_STIMER3_COUNT;
}

static unsigned index_of(uint32_t msr)
{
	return (msr - HV_MSR_STIMER0_CONFIG) / 2;
}

static bool is_count(uint32_t msr)
{
	return (msr - HV_MSR_STIMER0_CONFIG) % 2;
}

uint64_t stimer_read(const struct hv *hv, unsigned vp, uint32_t msr)
{
	const struct hv_stimer *t = &hv->stimer[vp][index_of(msr)];

	return is_count(msr) ? t->count : t->config;
}

void stimer_write(struct hv *hv, unsigned vp, uint32_t msr, uint64_t value)
{
	struct hv_stimer *t = &hv->stimer[vp][index_of(msr)];

	if (is_count(msr))
		write_count(t, value);
	else
		t->config = value & config_kept(hv);
	restart(t);
}

void stimer_slots_free(struct hv *hv, unsigned vp)
{
	for (unsigned i = 0; i < HV_STIMERS; i++) {
		struct hv_stimer *t = &hv->stimer[vp][i];

		if (t->pending)
			deliver_or_wait(t, reference_now(hv));
	}
}

/* A message waits of a timer that has counted: a one-shot has lost its enable bit by then. */
static bool may_wait(const struct hv_stimer *t)
{
	bool on = t->config & HV_STIMER_ENABLE, periodic = t->config & HV_STIMER_PERIODIC;

	return t->count && !(t->config & HV_STIMER_DIRECT) && has_target(t) && on == periodic;
}

void stimer_fields(const struct hv *hv, struct record *r, struct hv_stimer_fields *t)
{
	struct hv_stimer as;

	record_u64(r, "config", &t->config);
	record_u64(r, "count", &t->count);
	record_u64(r, "due", &t->due_ref);
	record_bool(r, "pending", &t->pending);
	as = (struct hv_stimer){.config = t->config, .count = t->count};
	if ((t->config & ~config_kept(hv)) || ((t->config & HV_STIMER_ENABLE) && !has_target(&as)))
		record_refuse(r, "a synthetic timer has the configuration %#llx",
			      (unsigned long long)t->config);
	if (!stimer_offered(hv) && (t->config || t->count))
		record_refuse(r, "it has synthetic timers, which the VM is not offered");
	if (t->pending && !may_wait(&as))
		record_refuse(r, "a message waits of a synthetic timer that sends none");
}

void stimer_apply(struct hv_stimer *t, const struct hv_stimer_fields *fields)
{
	t->config = fields->config;
	t->count = fields->count;
	t->due_ref = fields->due_ref;
	t->pending = fields->pending;
	if (t->pending || !(t->config & HV_STIMER_ENABLE) || !t->count)
		return;
	/* One that was due meanwhile fires from the queue, when the processors run. */
	arm(t, t->due_ref < reference_now(t->hv) ? t->due_ref : reference_now(t->hv));
}

void stimer_reset_all(struct hv *hv)
{
	for (unsigned vp = 0; vp < hv->config.vp_count; vp++) {
		for (unsigned i = 0; i < HV_STIMERS; i++) {
			struct hv_stimer *t = &hv->stimer[vp][i];

			timerq_disarm(&t->timer);
			*t = (struct hv_stimer){
				.hv = hv,
				.vp = (uint8_t)vp,
				.index = (uint8_t)i,
				.timer = {.fire = on_timer, .owner = t},
			};
		}
	}
}
