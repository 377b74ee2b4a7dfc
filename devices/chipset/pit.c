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
	c->load = load ? load : 0x10000u;
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
	if (c->mode > 5)
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
