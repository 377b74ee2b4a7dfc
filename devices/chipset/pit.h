/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The 8254 timer with its three counters, and the port by which the third one's gate is set and its
 * output read.
 *
 * Role: part of the machine that boots by firmware (pc.h). Firmware and boot loaders count time by
 * the interrupt of the first counter and measure the processor's clock with the third.
 *
 * Limits: counts are computed from the clock when they are read. Counter 0 interrupts in modes 0, 2
 * and 3, at most once in PIT_PERIOD_MIN_NS; binary counts only; the gate of counter 2 begins a
 * count anew and holds none.
 *
 * Trust: register values are a hostile guest's. Threads: all calls with the lock of the devices.
 * Spec: Intel 8254 data sheet.
 */
#ifndef OYA_DEVICES_CHIPSET_PIT_H
#define OYA_DEVICES_CHIPSET_PIT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/irq.h"
#include "base/record.h"
#include "base/timerq.h"

#define PIT_COUNTERS 3u
#define PIT_HZ 1193182u
#define PIT_PERIOD_MIN_NS 100000u

struct pit_counter {
	uint8_t mode, access;
	uint32_t load; /* 1..65536; 0: not loaded yet */
	uint64_t start_ns;
	bool write_high, read_high;   /* the next byte is the upper one */
	bool latched, status_latched; /* the value is held until it was read */
	uint8_t write_low, status;
	uint16_t latch;
};

struct pit_host {
	const struct clock_ops *clock;
	void *clock_ctx;
	struct timerq *timers;
	void (*tick)(void *ctx); /* counter 0 interrupts: an edge */
	/* Whether somebody would hear of it. Operating systems that need no ticks leave the counter
	 * on and mask its interrupt, so that else each idle guest would cost its host 18 a second.
	 */
	bool (*heard)(void *ctx);
	void *ctx;
};

struct pit {
	struct pit_host host;
	struct timer timer;
	bool armed;
	bool asleep;     /* periodic, but not heard */
	uint64_t due_ns; /* when counter 0 interrupts next */
	struct pit_counter counter[PIT_COUNTERS];
	uint8_t speaker;
};

void pit_init(struct pit *p, const struct pit_host *host);
void pit_reset(struct pit *p);
void pit_done(struct pit *p);

/* The interrupt may be heard again. */
void pit_wake(struct pit *p);

/* Port 0 to 2: a counter; 3: the mode. */
uint8_t pit_read(struct pit *p, unsigned port);
void pit_write(struct pit *p, unsigned port, uint8_t value);
uint8_t pit_read_speaker(struct pit *p);
void pit_write_speaker(struct pit *p, uint8_t value);

/*
 * What a saved state has of it, in the record of the PC: read into a copy, which is only good when
 * the record is. When it is loaded, the counters go on from where they stood, and the interrupt
 * comes when what it had left is over. Whoever loads it then calls pit_wake().
 */
struct pit_saved {
	struct pit_counter counter[PIT_COUNTERS]; /* without start_ns */
	uint64_t passed_ns[PIT_COUNTERS];         /* since they were loaded */
	uint64_t left_ns;                         /* TIMERQ_NEVER: no interrupt comes */
	bool asleep;
	uint8_t speaker;
};

void pit_save(const struct pit *p, struct pit_saved *ret_saved);
void pit_fields(struct pit_saved *s, struct record *r);
void pit_load(struct pit *p, const struct pit_saved *s);

#endif
