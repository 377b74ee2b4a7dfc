/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A partition for tests and fuzzers: two VPs, little RAM, and a world that remembers what it was
 * told. Everything is static inline, so that each test needs this file alone.
 */
#ifndef OYA_TESTS_UNIT_DEVICES_HV_HVGUEST_H
#define OYA_TESTS_UNIT_DEVICES_HV_HVGUEST_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "devices/hv/hv.h"

#define HVGUEST_RAM 0x10000u
#define HVGUEST_VPS 2u
#define HVGUEST_TSC_HZ UINT64_C(2600000000)
#define HVGUEST_APIC_HZ UINT64_C(1000000000)
#define HVGUEST_TSC_OFFSET 77
#define HVGUEST_KICK_PORT 0xE0u
#define HVGUEST_CALL_PORT 0xE4u

struct hvguest {
	struct gmem gmem;
	uint8_t *ram;
	struct hv_config config;
	struct hv *hv;
	int result; /* of message and event */
	uint64_t reference_time;
	unsigned messages, events, crashes, interrupts, slots_free;
	uint32_t message_connection, event_connection;
	size_t message_len;
	uint8_t message[HV_MESSAGE_PAYLOAD];
	struct hv_crash crash;
	uint64_t msi_address;
	uint32_t msi_data;
	unsigned free_sints;  /* a bit per SINT that slot_free named */
	struct timerq timers; /* unused before hvguest_offer_stimers() */
	uint64_t now_ns;
};

static inline uint64_t hvguest_time(void *ctx)
{
	return ((struct hvguest *)ctx)->reference_time;
}

static inline int hvguest_on_message(void *ctx, uint32_t connection_id, const void *payload,
				     size_t len)
{
	struct hvguest *g = ctx;

	if (len > sizeof(g->message))
		abort();
	g->messages++;
	g->message_connection = connection_id;
	g->message_len = len;
	memcpy(g->message, payload, len);
	return g->result;
}

static inline int hvguest_on_event(void *ctx, uint32_t connection_id)
{
	struct hvguest *g = ctx;

	g->events++;
	g->event_connection = connection_id;
	return g->result;
}

static inline void hvguest_on_slot_free(void *ctx, unsigned sint)
{
	struct hvguest *g = ctx;

	if (sint >= HV_SINTS)
		abort();
	g->slots_free++;
	g->free_sints |= 1u << sint;
}

static inline void hvguest_on_crash(void *ctx, const struct hv_crash *crash)
{
	struct hvguest *g = ctx;

	if (!memchr(crash->text, '\0', sizeof(crash->text)))
		abort();
	g->crashes++;
	g->crash = *crash;
}

static inline void hvguest_on_msi(void *ctx, uint64_t address, uint32_t data)
{
	struct hvguest *g = ctx;

	g->interrupts++;
	g->msi_address = address;
	g->msi_data = data;
}

static inline uint64_t hvguest_now_ns(void *ctx)
{
	return ((struct hvguest *)ctx)->now_ns;
}

static inline struct hvguest *hvguest_new(bool reference_tsc)
{
	static const struct hv_world_ops world = {hvguest_time, hvguest_on_message,
						  hvguest_on_event, hvguest_on_slot_free,
						  hvguest_on_crash};
	static const struct irq_ops irq = {hvguest_on_msi};
	struct hvguest *g = calloc(1, sizeof(*g));

	if (!g)
		abort();
	g->ram = aligned_alloc(4096, HVGUEST_RAM);
	if (!g->ram || gmem_add(&g->gmem, 0, HVGUEST_RAM, g->ram) < 0)
		abort();
	memset(g->ram, 0, HVGUEST_RAM);
	timerq_init(&g->timers);
	g->config = (struct hv_config){
		.vp_count = HVGUEST_VPS,
		.tsc_hz = HVGUEST_TSC_HZ,
		.apic_hz = HVGUEST_APIC_HZ,
		.reference_tsc = reference_tsc,
		.tsc_offset = HVGUEST_TSC_OFFSET,
		.kick_port = HVGUEST_KICK_PORT,
		.call_port = HVGUEST_CALL_PORT,
		.gmem = &g->gmem,
		.irq = &irq,
		.irq_ctx = g,
		.world = &world,
		.world_ctx = g,
	};
	if (hv_new(&g->config, &g->hv) < 0)
		abort();
	return g;
}

static inline void hvguest_free(struct hvguest *g)
{
	hv_free(g->hv);
	free(g->ram);
	free(g);
}

/* Makes the partition anew, with synthetic timers in virtual time. */
static inline void hvguest_offer_stimers(struct hvguest *g)
{
	static const struct clock_ops clock = {.monotonic_ns = hvguest_now_ns};

	hv_free(g->hv);
	g->config.timers = &g->timers;
	g->config.clock = &clock;
	g->config.clock_ctx = g;
	if (hv_new(&g->config, &g->hv) < 0)
		abort();
}

static inline void hvguest_offer_stimers_by_message(struct hvguest *g)
{
	g->config.timers_by_message = true;
	hvguest_offer_stimers(g);
}

/* Time passes on both clocks, and what is due fires, each timer at its time. */
static inline void hvguest_pass(struct hvguest *g, uint64_t ticks)
{
	uint64_t end_ns = g->now_ns + ticks * 100, due;

	while ((due = timerq_next(&g->timers)) <= end_ns && due != TIMERQ_NEVER) {
		uint64_t step = due > g->now_ns ? (due - g->now_ns + 99) / 100 : 0;

		g->now_ns += step * 100;
		g->reference_time += step;
		timerq_run(&g->timers, g->now_ns);
	}
	if (end_ns > g->now_ns) {
		g->reference_time += (end_ns - g->now_ns) / 100;
		g->now_ns = end_ns;
	}
}

static inline void *hvguest_at(struct hvguest *g, uint64_t gpa)
{
	return g->ram + gpa;
}

#endif
