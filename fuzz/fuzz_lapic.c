/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A child at its local APIC: registers in both modes, messages, time. Checked after each step: an
 * interrupt that is offered may be taken, vectors of exceptions never are, a timer that has come
 * is no longer in the past, the number stays.
 *
 * Input: records: operation (u8), register (u8), value (u64).
 */
#include <string.h>

#include "base/cursor.h"
#include "fuzz/harness.h"
#include "hypervisor/lapic.h"

#define STEPS_MAX 400u
#define ID 5u
#define KHZ 2000000u
#define FIRST_VECTOR 16u
#define BASE_START (LAPIC_PAGE | 0x800u)

struct world {
	struct lapic a;
	uint64_t now;
};

static bool is_in(const uint32_t *set, unsigned vector)
{
	return set[vector / 32] >> vector % 32 & 1;
}

static void check(const struct lapic *a)
{
	int next = lapic_next(a);

	must(a->id == ID && a->khz == KHZ && a->tpr <= UINT8_MAX);
	must(!((a->waiting[0] | a->served[0]) & 0xFFFF));
	must((a->base & ~UINT64_C(0xC00)) == LAPIC_PAGE);
	must(!lapic_is_x2(a) || (a->base & 0x800));
	must(!a->period || a->deadline);
	must(next == -1 || (next >= (int)FIRST_VECTOR && next <= UINT8_MAX));
	if (next < 0)
		return;
	must(is_in(a->waiting, (unsigned)next) && (a->spurious & 0x100));
	for (unsigned i = (unsigned)next & 0xF0; i <= UINT8_MAX; i++)
		must(!is_in(a->served, i));
}

static void write_register(struct world *w, uint32_t reg, uint64_t value)
{
	uint8_t vector = 0;
	struct lapic_message m;
	struct lapic before = w->a;

	switch (lapic_write(&w->a, reg, value, w->now, &vector)) {
	case LAPIC_REFUSED:
		must(memcmp(&before, &w->a, sizeof(before)) == 0);
		break;
	case LAPIC_ENDED:
		must(is_in(before.served, vector) && is_in(before.level, vector) &&
		     !is_in(w->a.served, vector));
		break;
	case LAPIC_SEND:
		m = lapic_message_of_icr(w->a.icr);
		must(m.mode <= 7 && lapic_shorthand(w->a.icr) <= LAPIC_OTHERS);
		if (m.mode <= LAPIC_LOWEST && lapic_is_for(&w->a, &m))
			(void)lapic_post(&w->a, m.vector, m.level);
		break;
	case LAPIC_NOTHING:
		break;
	}
}

static void take(struct world *w)
{
	int next = lapic_next(&w->a);

	if (next < 0)
		return;
	lapic_serve(&w->a, (uint8_t)next);
	must(is_in(w->a.served, (unsigned)next) && lapic_next(&w->a) != next);
}

static void pass(struct world *w, uint64_t time)
{
	w->now += time >> 20;
	lapic_expire(&w->a, w->now);
	must(!w->a.deadline || w->a.deadline > w->now);
}

static void step(struct world *w, uint8_t op, uint8_t reg, uint64_t value)
{
	struct lapic_message m;
	uint64_t read = 0;

	switch (op % 8) {
	case 0:
	case 1:
		write_register(w, reg % LAPIC_MSR_COUNT, value);
		break;
	case 2:
		if (lapic_read(&w->a, reg % LAPIC_MSR_COUNT, w->now, &read))
			must(lapic_is_x2(&w->a) || read <= UINT32_MAX);
		break;
	case 3:
		m = lapic_message_of_msi(LAPIC_PAGE | (value & 0xFFFFC), (uint32_t)(value >> 20));
		if (m.mode <= LAPIC_LOWEST && lapic_is_for(&w->a, &m))
			must(!lapic_post(&w->a, m.vector, m.level) || m.vector >= FIRST_VECTOR);
		break;
	case 4:
		take(w);
		break;
	case 5:
		pass(w, value);
		break;
	case 6:
		lapic_set_deadline(&w->a, value >> 20);
		must(lapic_deadline(&w->a) == 0 || lapic_deadline(&w->a) == value >> 20);
		break;
	case 7:
		(void)lapic_set_base(&w->a, reg & 1 ? value : LAPIC_PAGE | (reg & 0xEu) << 8);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cursor c = cursor_of(data, size);
	struct world w = {.a = {.id = ID, .khz = KHZ, .base = BASE_START}, .now = 1};

	lapic_reset(&w.a);
	for (unsigned n = 0; n < STEPS_MAX && c.left >= 2; n++) {
		uint8_t op = cursor_u8(&c), reg = cursor_u8(&c);

		step(&w, op, reg, cursor_u64(&c));
		check(&w.a);
	}
	fuzz_tell(&w.a, sizeof(w.a));
	return 0;
}
