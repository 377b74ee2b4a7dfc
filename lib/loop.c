/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "lib/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define LOOP_BATCH 32
#define LOOP_WAIT_MAX_NS UINT64_C(60000000000)
#define LOOP_WAKE UINT64_MAX /* epoll's data for the wake descriptor */

/*
 * Epoll carries the number of a slot and its generation, never a pointer: a source may be removed
 * and freed by another thread between the wait and the dispatch.
 */
struct slot {
	struct loop_source *source; /* NULL: free */
	uint32_t generation;
};

struct loop {
	pthread_mutex_t *lock;
	struct timerq timers;
	int epoll_fd, wake_fd;
	bool stop, timers_held, held;
	struct slot *slot;
	uint32_t slot_count;
	void (*woken)(void *owner);
	void *woken_owner;
};

void loop_hold_timers(struct loop *l, bool hold)
{
	l->timers_held = hold;
	loop_wake(l);
}

uint64_t loop_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int loop_new(pthread_mutex_t *lock, struct loop **ret_loop)
{
	struct loop *l = calloc(1, sizeof(*l));
	struct epoll_event wake = {.events = EPOLLIN, .data.u64 = LOOP_WAKE};

	if (!l)
		return -ENOMEM;
	l->lock = lock;
	timerq_init(&l->timers);
	l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	l->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (l->epoll_fd < 0 || l->wake_fd < 0 ||
	    epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, l->wake_fd, &wake) < 0) {
		int r = -errno;

		loop_free(l);
		return r;
	}
	*ret_loop = l;
	return 0;
}

void loop_free(struct loop *l)
{
	if (!l)
		return;
	if (l->epoll_fd >= 0)
		close(l->epoll_fd);
	if (l->wake_fd >= 0)
		close(l->wake_fd);
	free(l->slot);
	free(l);
}

struct timerq *loop_timers(struct loop *l)
{
	return &l->timers;
}

static int take_slot(struct loop *l, struct loop_source *s, uint32_t *ret_slot)
{
	uint32_t i = 0, grown_count;
	struct slot *grown;

	while (i < l->slot_count && l->slot[i].source)
		i++;
	if (i == l->slot_count) {
		grown_count = l->slot_count ? l->slot_count * 2 : 16;
		grown = reallocarray(l->slot, grown_count, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		memset(grown + l->slot_count, 0, (grown_count - l->slot_count) * sizeof(*grown));
		l->slot = grown;
		l->slot_count = grown_count;
	}
	l->slot[i].source = s;
	*ret_slot = i;
	return 0;
}

static struct epoll_event event_of(const struct loop_source *s, uint32_t events)
{
	uint64_t generation = s->loop->slot[s->slot].generation;

	return (struct epoll_event){.events = events, .data.u64 = generation << 32 | s->slot};
}

static void give_slot_back(struct loop_source *s)
{
	struct slot *slot = &s->loop->slot[s->slot];

	slot->source = NULL;
	/* One generation is kept out: with the last slot it would read as LOOP_WAKE. */
	slot->generation = (slot->generation + 1) & INT32_MAX;
	s->fd = -1;
}

int loop_add(struct loop *l, struct loop_source *s, int fd, uint32_t events,
	     void (*ready)(void *owner, uint32_t events), void *owner)
{
	struct epoll_event e;
	int r;

	*s = (struct loop_source){
		.loop = l, .fd = -1, .events = events, .ready = ready, .owner = owner};
	r = take_slot(l, s, &s->slot);
	if (r < 0)
		return r;
	s->fd = fd;
	e = event_of(s, events);
	if (!l->held && epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &e) < 0) {
		r = -errno;
		give_slot_back(s);
		return r;
	}
	return 0;
}

/* Whether epoll does not know it now. */
static bool is_held(const struct loop_source *s)
{
	return s->loop->held && !s->kept;
}

int loop_set_events(struct loop_source *s, uint32_t events)
{
	struct epoll_event e;

	if (s->fd < 0 || s->events == events)
		return 0;
	if (is_held(s)) {
		s->events = events;
		return 0;
	}
	e = event_of(s, events);
	if (epoll_ctl(s->loop->epoll_fd, EPOLL_CTL_MOD, s->fd, &e) < 0)
		return -errno;
	s->events = events;
	return 0;
}

void loop_remove(struct loop_source *s)
{
	if (!s->loop || s->fd < 0)
		return;
	if (!is_held(s))
		epoll_ctl(s->loop->epoll_fd, EPOLL_CTL_DEL, s->fd, NULL);
	give_slot_back(s);
}

int loop_keep(struct loop_source *s)
{
	bool held = is_held(s);
	struct epoll_event e = event_of(s, s->events);

	s->kept = true;
	return held && epoll_ctl(s->loop->epoll_fd, EPOLL_CTL_ADD, s->fd, &e) < 0 ? -errno : 0;
}

/* A source whose events are only masked would still be reported when its peer is gone, without
 * end; so it leaves epoll. */
int loop_hold(struct loop *l, bool hold)
{
	int r = 0;

	if (l->held == hold)
		return 0;
	l->held = hold;
	for (uint32_t i = 0; i < l->slot_count; i++) {
		struct loop_source *s = l->slot[i].source;
		struct epoll_event e;

		if (!s || s->fd < 0 || s->kept)
			continue;
		e = event_of(s, s->events);
		if (epoll_ctl(l->epoll_fd, hold ? EPOLL_CTL_DEL : EPOLL_CTL_ADD, s->fd, &e) < 0)
			r = -errno;
	}
	return r;
}

void loop_wake(struct loop *l)
{
	uint64_t one = 1;

	/* The only failure is a counter at its limit: then the loop is awake anyway. */
	if (write(l->wake_fd, &one, sizeof(one)) < 0)
		return;
}

void loop_stop(struct loop *l)
{
	l->stop = true;
	loop_wake(l);
}

void loop_on_wake(struct loop *l, void (*woken)(void *owner), void *owner)
{
	l->woken = woken;
	l->woken_owner = owner;
}

/* Time to the next timer in *ret_wait; false when there is none. */
static bool loop_timeout(struct loop *l, struct timespec *ret_wait)
{
	uint64_t due, now;

	pthread_mutex_lock(l->lock);
	due = l->timers_held ? TIMERQ_NEVER : timerq_next(&l->timers);
	pthread_mutex_unlock(l->lock);
	if (due == TIMERQ_NEVER)
		return false;
	now = loop_now_ns();
	due = due > now ? due - now : 0;
	if (due > LOOP_WAIT_MAX_NS)
		due = LOOP_WAIT_MAX_NS;
	ret_wait->tv_sec = (time_t)(due / 1000000000u);
	ret_wait->tv_nsec = (long)(due % 1000000000u);
	return true;
}

static void loop_dispatch(struct loop *l, const struct epoll_event *batch, int count)
{
	for (int i = 0; i < count; i++) {
		uint64_t key = batch[i].data.u64, drained;
		uint32_t slot = (uint32_t)key;
		struct loop_source *s;

		if (key == LOOP_WAKE) {
			/* Fails only when another wait has taken it already. */
			if (read(l->wake_fd, &drained, sizeof(drained)) <= 0)
				drained = 0;
			continue;
		}
		if (slot >= l->slot_count || l->slot[slot].generation != key >> 32)
			continue;
		s = l->slot[slot].source;
		if (s && !is_held(s))
			s->ready(s->owner, batch[i].events);
	}
}

int loop_run(struct loop *l, void (*idle)(void *owner), void *owner)
{
	while (!l->stop) {
		struct epoll_event batch[LOOP_BATCH];
		struct timespec wait;
		int n;

		if (idle)
			idle(owner);
		if (l->stop)
			break;
		n = epoll_pwait2(l->epoll_fd, batch, LOOP_BATCH,
				 loop_timeout(l, &wait) ? &wait : NULL, NULL);
		if (n < 0 && errno != EINTR)
			return -errno;
		pthread_mutex_lock(l->lock);
		if (l->woken)
			l->woken(l->woken_owner);
		loop_dispatch(l, batch, n);
		if (!l->timers_held)
			timerq_run(&l->timers, loop_now_ns());
		pthread_mutex_unlock(l->lock);
	}
	return 0;
}
