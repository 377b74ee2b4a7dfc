/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Role, limits, trust, spec: see pit.h. */
#include "devices/chipset/pit.h"

#include <string.h>

#define NS_PER_S 1000000000u
#define MODE_PORT 3u
#define ACCESS_LATCH 0u
#define ACCESS_LOW 1u
#define ACCESS_HIGH 2u
#define ACCESS_BOTH 3u
#define SELECT_READ_BACK 3u
#define READ_BACK_NO_COUNT 0x20u
#define READ_BACK_NO_STATUS 0x10u
#define STATUS_OUT 0x80u
#define STATUS_NOT_LOADED 0x40u
#define SPEAKER_GATE 0x01u
#define SPEAKER_WRITABLE 0x03u
#define SPEAKER_REFRESH 0x10u
#define SPEAKER_OUT 0x20u
#define REFRESH_NS 15085u

#define LOAD_MAX 0x10000u
#define MODE_LAST 5u

enum mode { MODE_TERMINAL, MODE_ONE_SHOT, MODE_RATE, MODE_SQUARE };

static uint64_t now_ns(const struct pit *p)
{
	return p->host.clock->monotonic_ns(p->host.clock_ctx);
}

/* Pulses of the counter's clock since it was loaded. */
static uint64_t pulses(const struct pit *p, const struct pit_counter *c)
{
	return (uint64_t)((unsigned __int128)(now_ns(p) - c->start_ns) * PIT_HZ / NS_PER_S);
}

static bool is_periodic(const struct pit_counter *c)
{
	return c->mode == MODE_RATE || c->mode == MODE_SQUARE;
}

static bool output(const struct pit *p, const struct pit_counter *c)
{
	uint64_t n = pulses(p, c);

	if (!c->load)
		return c->mode != MODE_TERMINAL;
	switch (c->mode) {
	case MODE_TERMINAL:
	case MODE_ONE_SHOT:
		return n >= c->load;
	case MODE_RATE:
		return n % c->load != c->load - 1;
	case MODE_SQUARE:
		return n % c->load < (c->load + 1) / 2;
	default:
		return true;
	}
}

static uint16_t count(const struct pit *p, const struct pit_counter *c)
{
	uint64_t n = pulses(p, c);

	if (!c->load)
		return 0;
	switch (c->mode) {
	case MODE_RATE:
		return (uint16_t)(c->load - n % c->load);
	case MODE_SQUARE: /* it counts by two, twice a period */
		return (uint16_t)(c->load - n * 2 % c->load);
	default:
		return (uint16_t)(c->load - n);
	}
}

static uint64_t period_ns(const struct pit_counter *c)
{
	uint64_t ns = (uint64_t)c->load * NS_PER_S / PIT_HZ;

	return ns < PIT_PERIOD_MIN_NS ? PIT_PERIOD_MIN_NS : ns;
}

static void disarm(struct pit *p)
{
	if (p->armed)
		timerq_disarm(&p->timer);
	p->armed = p->asleep = false;
}

static void arm(struct pit *p, uint64_t due_ns)
{
	p->due_ns = due_ns;
	p->armed = true;
	timerq_arm(p->host.timers, &p->timer, due_ns);
}

static void fire(void *owner)
{
	struct pit *p = owner;
	const struct pit_counter *c = &p->counter[0];
	uint64_t now = now_ns(p), period = period_ns(c);

	p->armed = false;
	if (!p->host.heard(p->host.ctx)) {
		p->asleep = is_periodic(c);
		return;
	}
	if (is_periodic(c)) {
		uint64_t due = p->due_ns + period;

		arm(p, due > now ? due : now + period); /* what was missed is skipped */
	}
	p->host.tick(p->host.ctx);
}

void pit_wake(struct pit *p)
{
	if (!p->asleep || !p->host.heard(p->host.ctx))
		return;
	p->asleep = false;
	arm(p, now_ns(p) + period_ns(&p->counter[0]));
}

static void start(struct pit *p, unsigned index)
{
	struct pit_counter *c = &p->counter[index];

	c->start_ns = now_ns(p);
	if (index != 0)
		return;
	disarm(p);
	if (is_periodic(c) || c->mode == MODE_TERMINAL)
		arm(p, c->start_ns + period_ns(c));
}

static void write_counter(struct pit *p, unsigned index, uint8_t value)
{
	struct pit_counter *c = &p->counter[index];
	uint32_t load;

	if (c->access == ACCESS_BOTH && !c->write_high) {
		c->write_low = value;
		c->write_high = true;
		return;
	}
	load = c->access == ACCESS_LOW ? value : (uint32_t)value << 8;
	if (c->access == ACCESS_BOTH)
		load |= c->write_low;
	c->write_high = false;
	c->load = load ? load : LOAD_MAX;
	start(p, index);
}

static void latch_count(struct pit *p, struct pit_counter *c)
{
	if (c->latched)
		return;
	c->latch = count(p, c);
	c->latched = true;
}

static void read_back(struct pit *p, uint8_t value)
{
	for (unsigned i = 0; i < PIT_COUNTERS; i++) {
		struct pit_counter *c = &p->counter[i];

		if (!(value & 2u << i))
			continue;
		if (!(value & READ_BACK_NO_COUNT))
			latch_count(p, c);
		if ((value & READ_BACK_NO_STATUS) || c->status_latched)
			continue;
		c->status = (uint8_t)(c->access << 4 | c->mode << 1);
		c->status |= output(p, c) ? STATUS_OUT : 0;
		c->status |= c->load ? 0 : STATUS_NOT_LOADED;
		c->status_latched = true;
	}
}

static void write_mode(struct pit *p, uint8_t value)
{
	unsigned select = value >> 6;
	struct pit_counter *c;

	if (select == SELECT_READ_BACK) {
		read_back(p, value);
		return;
	}
	c = &p->counter[select];
	if ((value >> 4 & 3) == ACCESS_LATCH) {
		latch_count(p, c);
		return;
	}
	c->access = value >> 4 & 3;
	c->mode = value >> 1 & 7;
	if (c->mode > MODE_LAST)
		c->mode -= 4; /* the upper bit of modes 2 and 3 is not looked at */
	c->load = 0;
	c->write_high = c->read_high = c->latched = c->status_latched = false;
	if (select == 0)
		disarm(p);
}

void pit_write(struct pit *p, unsigned port, uint8_t value)
{
	if ((port & 3) == MODE_PORT)
		write_mode(p, value);
	else
		write_counter(p, port & 3, value);
}

uint8_t pit_read(struct pit *p, unsigned port)
{
	struct pit_counter *c;
	uint16_t value;
	bool high;

	if ((port & 3) == MODE_PORT)
		return 0xFF;
	c = &p->counter[port & 3];
	if (c->status_latched) {
		c->status_latched = false;
		return c->status;
	}
	value = c->latched ? c->latch : count(p, c);
	high = c->access == ACCESS_HIGH || (c->access == ACCESS_BOTH && c->read_high);
	if (c->access == ACCESS_BOTH)
		c->read_high = !c->read_high;
	if (c->access != ACCESS_BOTH || high)
		c->latched = false;
	return (uint8_t)(high ? value >> 8 : value);
}

uint8_t pit_read_speaker(struct pit *p)
{
	uint8_t value = p->speaker;

	if (now_ns(p) / REFRESH_NS & 1)
		value |= SPEAKER_REFRESH;
	if (output(p, &p->counter[2]))
		value |= SPEAKER_OUT;
	return value;
}

void pit_write_speaker(struct pit *p, uint8_t value)
{
	bool rises = (value & SPEAKER_GATE) && !(p->speaker & SPEAKER_GATE);

	p->speaker = value & SPEAKER_WRITABLE;
	if (rises)
		start(p, 2);
}

/* ---- saved state ---- */

void pit_save(const struct pit *p, struct pit_saved *ret_saved)
{
	*ret_saved = (struct pit_saved){
		.left_ns = p->armed ? timerq_left(&p->timer, now_ns(p)) : TIMERQ_NEVER,
		.asleep = p->asleep,
		.speaker = p->speaker,
	};
	memcpy(ret_saved->counter, p->counter, sizeof(p->counter));
	for (unsigned i = 0; i < PIT_COUNTERS; i++)
		ret_saved->passed_ns[i] =
			p->counter[i].load ? now_ns(p) - p->counter[i].start_ns : 0;
}

static void check_counter(const struct pit_counter *c, unsigned i, struct record *r)
{
	if (c->mode > MODE_LAST)
		record_refuse(r, "counter %u has the mode %u", i, c->mode);
	if (c->access < ACCESS_LOW || c->access > ACCESS_BOTH)
		record_refuse(r, "counter %u is accessed in the way %u", i, c->access);
	if (c->load > LOAD_MAX)
		record_refuse(r, "counter %u counts from %u", i, c->load);
}

/* Its end of the time is never near: no sum of times wraps. */
static void check_interrupt(const struct pit_saved *s, struct record *r)
{
	const struct pit_counter *c = &s->counter[0];
	bool comes = s->left_ns != TIMERQ_NEVER;

	if ((comes || s->asleep) && !c->load)
		record_refuse(r, "the timer interrupts without a count");
	else if (comes && !is_periodic(c) && c->mode != MODE_TERMINAL)
		record_refuse(r, "the timer interrupts in the mode %u", c->mode);
	else if (comes && s->left_ns > period_ns(c))
		record_refuse(r, "the timer interrupts later than it could");
	else if (s->asleep && (comes || !is_periodic(c)))
		record_refuse(r, "the timer sleeps that has no reason to");
}

static void counter_fields(struct pit_saved *s, unsigned i, struct record *r)
{
	struct pit_counter *c = &s->counter[i];

	record_u8(r, record_name_of("pit", i, "mode").text, &c->mode);
	record_u8(r, record_name_of("pit", i, "access").text, &c->access);
	record_u32(r, record_name_of("pit", i, "load").text, &c->load);
	record_u64(r, record_name_of("pit", i, "passed_ns").text, &s->passed_ns[i]);
	record_bool(r, record_name_of("pit", i, "write_high").text, &c->write_high);
	record_bool(r, record_name_of("pit", i, "read_high").text, &c->read_high);
	record_bool(r, record_name_of("pit", i, "latched").text, &c->latched);
	record_bool(r, record_name_of("pit", i, "status_latched").text, &c->status_latched);
	record_u8(r, record_name_of("pit", i, "write_low").text, &c->write_low);
	record_u8(r, record_name_of("pit", i, "status").text, &c->status);
	record_u16(r, record_name_of("pit", i, "latch").text, &c->latch);
	check_counter(c, i, r);
}

void pit_fields(struct pit_saved *s, struct record *r)
{
	for (unsigned i = 0; i < PIT_COUNTERS; i++)
		counter_fields(s, i, r);
	record_u64(r, "pit_left_ns", &s->left_ns);
	record_bool(r, "pit_asleep", &s->asleep);
	record_u8(r, "pit_speaker", &s->speaker);
	check_interrupt(s, r);
	if (s->speaker & (uint8_t)~SPEAKER_WRITABLE)
		record_refuse(r, "the speaker's port is 0x%x", s->speaker);
}

void pit_load(struct pit *p, const struct pit_saved *s)
{
	uint64_t now = now_ns(p);

	disarm(p);
	memcpy(p->counter, s->counter, sizeof(p->counter));
	/* Of a host that was up for longer than this one it is below zero, and wraps back. */
	for (unsigned i = 0; i < PIT_COUNTERS; i++)
		p->counter[i].start_ns = now - s->passed_ns[i];
	p->asleep = s->asleep;
	p->speaker = s->speaker;
	if (s->left_ns != TIMERQ_NEVER)
		arm(p, now + s->left_ns);
}

void pit_reset(struct pit *p)
{
	disarm(p);
	memset(p->counter, 0, sizeof(p->counter));
	for (unsigned i = 0; i < PIT_COUNTERS; i++)
		p->counter[i].access = ACCESS_BOTH;
	p->speaker = 0;
}

void pit_init(struct pit *p, const struct pit_host *host)
{
	memset(p, 0, sizeof(*p));
	p->host = *host;
	p->timer.fire = fire;
	p->timer.owner = p;
	pit_reset(p);
}

void pit_done(struct pit *p)
{
	disarm(p);
}
