/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The interrupt and clock vtables that devices are given.
 */
#ifndef OYA_BASE_IRQ_H
#define OYA_BASE_IRQ_H

#include <stdint.h>

struct irq_ops {
	/* Delivers a message-signalled interrupt, x86 format; safe from any thread. */
	void (*msi)(void *ctx, uint64_t address, uint32_t data);
};

struct clock_ops {
	/* Monotonic nanoseconds: the time of timer queues. */
	uint64_t (*monotonic_ns)(void *ctx);
	/* Time of day: nanoseconds since 1970-01-01 UTC. */
	uint64_t (*wall_ns)(void *ctx);
};

#endif
