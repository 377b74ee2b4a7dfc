/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The local APIC of a child's processor, in xAPIC and x2APIC mode, with its timer. Pure: times are
 * those of the host's TSC and are given; what a write has to do elsewhere is told.
 *
 * One processor at a time has it but for two things: any may ask whether a message is for it, and
 * post an interrupt.
 *
 * Spec: AMD64 Architecture Programmer's Manual, volume 2, chapter 16.
 */
#ifndef OYA_HYPERVISOR_LAPIC_H
#define OYA_HYPERVISOR_LAPIC_H

#include <stdbool.h>
#include <stdint.h>

#define LAPIC_PAGE 0xFEE00000u
#define LAPIC_MSR_FIRST 0x800u
#define LAPIC_MSR_COUNT 0x40u /* registers, by MSR or 16 bytes apart in the page */

struct lapic {
	uint32_t id, khz; /* of the TSC; the timer counts nanoseconds */
	uint64_t base;    /* MSR_APIC_BASE */
	uint32_t tpr, ldr, dfr, spurious, errors, icr_high, divide, count;
	uint64_t icr;
	uint32_t lvt[6];     /* timer, thermal, counters, LINT0, LINT1, errors */
	uint32_t waiting[8]; /* IRR; atomic */
	uint32_t level[8];   /* TMR; atomic */
	uint32_t served[8];  /* ISR */
	uint64_t deadline;   /* when the timer ends; 0: it does not run */
	uint64_t period;     /* 0: it runs once */
};

/* What a write asks for beyond the register. */
enum lapic_effect {
	LAPIC_NOTHING,
	LAPIC_REFUSED, /* #GP where the write came by MSR */
	LAPIC_SEND,    /* the command in `icr` */
	LAPIC_ENDED,   /* a level-triggered interrupt, whose vector is told */
};

enum lapic_mode {
	LAPIC_FIXED = 0,
	LAPIC_LOWEST = 1,
	LAPIC_NMI = 4,
	LAPIC_INIT = 5,
	LAPIC_STARTUP = 6,
};

struct lapic_message {
	uint32_t to;
	uint8_t vector, mode; /* enum lapic_mode, or one that nobody takes */
	bool logical, level, assert;
};

/* As after INIT; id, khz and base stay. */
void lapic_reset(struct lapic *a);

/* Register: 0 to LAPIC_MSR_COUNT - 1. False: there is none. */
bool lapic_read(const struct lapic *a, uint32_t reg, uint64_t now, uint64_t *ret_value);
enum lapic_effect lapic_write(struct lapic *a, uint32_t reg, uint64_t value, uint64_t now,
			      uint8_t *ret_vector);

bool lapic_is_x2(const struct lapic *a);

/* False: a value that it may not have. */
bool lapic_set_base(struct lapic *a, uint64_t value);

/* Whether it may be put in place of the base, from whatever it was: that one is not lapic_set_base,
 * and changes nothing else. */
bool lapic_base_allowed(uint64_t value);

/* Whether interrupts of the controller of old come through. */
bool lapic_takes_outside(const struct lapic *a);

/* All registers, LAPIC_WORDS_BETWEEN apart, in the form of xAPIC mode; a timer that runs goes on.
 * False: it is of another processor, and nothing is changed. */
#define LAPIC_WORDS_BETWEEN 4u
#define LAPIC_PAGE_WORDS (LAPIC_MSR_COUNT * LAPIC_WORDS_BETWEEN)
void lapic_get_page(const struct lapic *a, uint64_t now, uint32_t *ret_page);
bool lapic_set_page(struct lapic *a, const uint32_t *page, uint64_t now);

/* When the timer is in that mode: it ends then; 0: never. */
void lapic_set_deadline(struct lapic *a, uint64_t deadline);
uint64_t lapic_deadline(const struct lapic *a); /* 0 in other modes */

/* Posts the timer's interrupt if its time has come. */
void lapic_expire(struct lapic *a, uint64_t now);

/* From any processor: false when this one takes none. */
bool lapic_post(struct lapic *a, uint8_t vector, bool level);

/* The vector that goes before all that are served, whatever the priority of the task; -1: none. */
int lapic_next(const struct lapic *a);
void lapic_serve(struct lapic *a, uint8_t vector);

struct lapic_message lapic_message_of_msi(uint64_t address, uint32_t data);
struct lapic_message lapic_message_of_icr(uint64_t icr);
bool lapic_is_for(const struct lapic *a, const struct lapic_message *m);

/* Of a command: those meant beside its destination. */
enum lapic_shorthand { LAPIC_NONE, LAPIC_SELF, LAPIC_ALL, LAPIC_OTHERS };
enum lapic_shorthand lapic_shorthand(uint64_t icr);

#endif
