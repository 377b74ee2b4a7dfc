/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The worker's event loop: descriptors and a queue of timers, on epoll.
 *
 * The daemons use sd-event; the worker has its own since it lives once per VM: see
 * docs/design/worker.md for the figures (memory, start, system calls that the sandbox must allow).
 *
 * Threads: loop_run() on one thread, which holds `lock` during callbacks and not while it waits.
 * Registration from any thread with the lock held, and so timers, followed by loop_wake().
 */
#ifndef OYA_LIB_LOOP_H
#define OYA_LIB_LOOP_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/timerq.h"

struct loop;

struct loop_source {
	struct loop *loop;
	int fd; /* not owned; -1 when not registered */
	uint32_t slot;
	uint32_t events;
	bool kept;                                   /* served while the others are held */
	void (*ready)(void *owner, uint32_t events); /* EPOLLIN and so on */
	void *owner;
};

/* The lock is the caller's. 0 and *ret_loop, or -errno. */
int loop_new(pthread_mutex_t *lock, struct loop **ret_loop);
void loop_free(struct loop *l);

/* The queue of timers that the loop serves, in nanoseconds of CLOCK_MONOTONIC. */
struct timerq *loop_timers(struct loop *l);
uint64_t loop_now_ns(void);

/* While held, no timer fires; afterwards those that are due fire at once, late. */
void loop_hold_timers(struct loop *l, bool hold);

/* While held, only sources that loop_keep() was called for are served; what came for the others
 * meanwhile is served afterwards. Timers have a hold of their own. 0, or -errno and some are not
 * held, or stay so. */
int loop_hold(struct loop *l, bool hold);
int loop_keep(struct loop_source *s);

/* Registers s->fd for `events`; the source must stay where it is until removed. 0 or -errno. An
 * eventfd that only says "again" may be registered with EPOLLET, and need not be read then. */
int loop_add(struct loop *l, struct loop_source *s, int fd, uint32_t events,
	     void (*ready)(void *owner, uint32_t events), void *owner);
int loop_set_events(struct loop_source *s, uint32_t events);
/* The source may be freed afterwards: events that were fetched already are dropped. */
void loop_remove(struct loop_source *s);

/* Makes loop_run() look at its timers and at `idle` again; safe from any thread and in handlers
 * of signals. */
void loop_wake(struct loop *l);

/* woken(owner) runs with the lock after each wait, before the callbacks. */
void loop_on_wake(struct loop *l, void (*woken)(void *owner), void *owner);

/* Runs until loop_stop(). idle(owner) runs without the lock before each wait. */
int loop_run(struct loop *l, void (*idle)(void *owner), void *owner);
/* From a callback or `idle`: on the loop's thread only. */
void loop_stop(struct loop *l);

#endif
