/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Timers of the devices: a sorted queue whose clock is passed in, so that tests run it in
 * virtual time. The owner of the queue looks at timerq_next() after each call into device code
 * and wakes up by then.
 *
 * Times are nanoseconds of the owner's monotonic clock. Single-threaded: the caller holds the
 * lock that guards the devices.
 */
#ifndef OYA_BASE_TIMERQ_H
#define OYA_BASE_TIMERQ_H

#include <stdint.h>

#include "base/list.h"

#define TIMERQ_NEVER UINT64_MAX

struct timer {
	struct list link; /* owned by the queue */
	uint64_t due_ns;
	void (*fire)(void *owner);
	void *owner;
};

struct timerq {
	struct list sorted;
};

void timerq_init(struct timerq *q);

/* (Re)arms t for due_ns; t->fire and t->owner are set by its owner before. */
void timerq_arm(struct timerq *q, struct timer *t, uint64_t due_ns);

/* Takes t off its queue; nothing happens when it is not armed. */
void timerq_disarm(struct timer *t);

/* Nanoseconds until t is due, 0 when it is late, TIMERQ_NEVER when it is not armed; and t armed
 * (or disarmed) by such a number, however large: for states that are saved. */
uint64_t timerq_left(const struct timer *t, uint64_t now_ns);
void timerq_arm_left(struct timerq *q, struct timer *t, uint64_t now_ns, uint64_t left_ns);

/* Due time of the first timer, TIMERQ_NEVER when there is none. */
uint64_t timerq_next(const struct timerq *q);

/* Fires each timer due at now_ns, in order of time; a timer may arm itself anew. */
void timerq_run(struct timerq *q, uint64_t now_ns);

#endif
