/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The event loop under several threads that add, change, remove and free sources and timers at
 * random while it runs. The seed is printed; OYA_SIM_SEED repeats a run's choices.
 */
#include "lib/loop.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#define THREADS 3u
#define ROUNDS 20000u /* of each thread */
#define SLOTS 24u     /* sources of each thread, at most */
#define GIVE_UP_S 300 /* a loop that never stops ends the program */

struct world {
	pthread_mutex_t lock;
	struct loop *loop;
	uint64_t called, fired; /* with the lock held */
};

/* A source and a timer on the heap; `live` is set while it is registered. */
struct thing {
	struct loop_source source;
	struct timer timer;
	struct world *world;
	int fd;
	bool live;
};

struct actor {
	struct world *world;
	uint64_t random;
	struct thing *thing[SLOTS];
};

static uint64_t next_random(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

static void on_ready(void *owner, uint32_t events)
{
	struct thing *t = owner;
	uint64_t count;

	(void)events;
	if (!t->live)
		abort(); /* removed, and called all the same */
	if (read(t->fd, &count, sizeof(count)) != (ssize_t)sizeof(count))
		abort(); /* nobody else reads: this was another source's event */
	t->world->called++;
}

static void on_timer(void *owner)
{
	struct thing *t = owner;

	if (!t->live)
		abort();
	t->world->fired++;
}

static struct thing *thing_new(struct world *w)
{
	struct thing *t = calloc(1, sizeof(*t));

	if (!t)
		abort();
	t->world = w;
	t->live = true;
	t->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	t->timer.fire = on_timer;
	t->timer.owner = t;
	if (t->fd < 0 || loop_add(w->loop, &t->source, t->fd, EPOLLIN, on_ready, t) < 0)
		abort();
	return t;
}

static void thing_free(struct thing *t)
{
	if (!t)
		return;
	t->live = false;
	loop_remove(&t->source);
	timerq_disarm(&t->timer);
	close(t->fd);
	free(t);
}

/* One step on one of the actor's things, with the lock held. */
static void act(struct actor *a)
{
	uint64_t choice = next_random(&a->random);
	struct thing **t = &a->thing[choice % SLOTS];
	uint64_t one = 1;

	if (!*t) {
		*t = thing_new(a->world);
		return;
	}
	switch (choice >> 32 & 7) {
	case 0:
	case 1:
		thing_free(*t);
		*t = NULL;
		break;
	case 2:
		if (loop_set_events(&(*t)->source, choice >> 36 & 1 ? EPOLLIN : 0) < 0)
			abort();
		break;
	case 3:
		timerq_arm(loop_timers(a->world->loop), &(*t)->timer,
			   loop_now_ns() + (choice >> 40) % 100000);
		loop_wake(a->world->loop);
		break;
	default:
		if (write((*t)->fd, &one, sizeof(one)) < 0)
			abort();
		break;
	}
}

static void *actor_run(void *ctx)
{
	struct actor *a = ctx;

	for (unsigned i = 0; i < ROUNDS; i++) {
		pthread_mutex_lock(&a->world->lock);
		act(a);
		pthread_mutex_unlock(&a->world->lock);
		if (i % 64 == 0)
			sched_yield();
	}
	pthread_mutex_lock(&a->world->lock);
	for (unsigned i = 0; i < SLOTS; i++)
		thing_free(a->thing[i]);
	pthread_mutex_unlock(&a->world->lock);
	return NULL;
}

static void *loop_thread(void *ctx)
{
	struct world *w = ctx;

	return (void *)(intptr_t)loop_run(w->loop, NULL, NULL);
}

/* On the loop's thread, which is the one that may. */
static void stop_loop(void *owner)
{
	loop_stop(owner);
}

static uint64_t seed(void)
{
	const char *given = getenv("OYA_SIM_SEED");
	uint64_t s = given ? strtoull(given, NULL, 0) : loop_now_ns();

	print_message("# OYA_SIM_SEED=%llu\n", (unsigned long long)s);
	return s ? s : 1;
}

static void sources_and_timers_come_and_go_while_the_loop_runs(void **state)
{
	static struct actor actor[THREADS];
	struct world w = {.lock = PTHREAD_MUTEX_INITIALIZER};
	pthread_t thread[THREADS], runner;
	uint64_t random = seed();
	struct timer stop = {.fire = stop_loop};
	void *result;

	(void)state;
	alarm(GIVE_UP_S);
	assert_int_equal(loop_new(&w.lock, &w.loop), 0);
	stop.owner = w.loop;
	assert_int_equal(pthread_create(&runner, NULL, loop_thread, &w), 0);
	for (unsigned i = 0; i < THREADS; i++) {
		actor[i] = (struct actor){.world = &w, .random = next_random(&random) | 1};
		assert_int_equal(pthread_create(&thread[i], NULL, actor_run, &actor[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	pthread_mutex_lock(&w.lock);
	timerq_arm(loop_timers(w.loop), &stop, 0);
	pthread_mutex_unlock(&w.lock);
	loop_wake(w.loop);
	pthread_join(runner, &result);
	assert_int_equal((intptr_t)result, 0);
	assert_true(w.called > 0);
	assert_true(w.fired > 0);
	assert_true(timerq_next(loop_timers(w.loop)) == TIMERQ_NEVER);
	loop_free(w.loop);
	alarm(0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sources_and_timers_come_and_go_while_the_loop_runs),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
