/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The event loop on real descriptors. epoll_pwait2() goes through the linker to a wrapper here, so
 * that a test can act between the wait and the dispatch, or make the wait fail.
 */
#include "lib/loop.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/lib/failheap.h"

#define MANY 100
#define GIVE_UP_S 60 /* a loop that never stops ends the program */

struct fixture {
	pthread_mutex_t lock;
	struct loop *loop;
	unsigned called;      /* of on_ready() */
	unsigned idle_called; /* of on_idle() */
	unsigned stop_after;  /* on_ready() calls; 0: never */
	void (*after_wait)(struct fixture *f);
	int wait_error;             /* of the next wait; 0: none */
	struct timespec first_wait; /* that the loop asked for */
	bool waited;
	struct loop_source *victim;
	struct loop_source fresh;
	int victim_fd, fresh_fd;
};

static struct fixture *current; /* of the wrapper, which gets no context */

int __real_epoll_pwait2(int fd, struct epoll_event *events, int max, const struct timespec *timeout,
			const sigset_t *mask);
int __wrap_epoll_pwait2(int fd, struct epoll_event *events, int max, const struct timespec *timeout,
			const sigset_t *mask);

int __wrap_epoll_pwait2(int fd, struct epoll_event *events, int max, const struct timespec *timeout,
			const sigset_t *mask)
{
	int n;

	if (timeout && !current->waited)
		current->first_wait = *timeout;
	current->waited = true;
	if (current->wait_error) {
		errno = current->wait_error;
		current->wait_error = 0;
		return -1;
	}
	n = __real_epoll_pwait2(fd, events, max, timeout, mask);
	if (current->after_wait)
		current->after_wait(current);
	return n;
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f || pthread_mutex_init(&f->lock, NULL) != 0 || loop_new(&f->lock, &f->loop) < 0)
		return -1;
	current = f;
	*state = f;
	alarm(GIVE_UP_S);
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	alarm(0);
	loop_free(f->loop);
	pthread_mutex_destroy(&f->lock);
	free(f);
	return 0;
}

static int ready_fd(void)
{
	int fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);

	assert_true(fd >= 0);
	return fd;
}

static void on_ready(void *owner, uint32_t events)
{
	struct fixture *f = owner;

	assert_true(events & (EPOLLIN | EPOLLOUT));
	assert_int_equal(pthread_mutex_trylock(&f->lock), EBUSY); /* held during callbacks */
	if (++f->called == f->stop_after)
		loop_stop(f->loop);
}

static void on_idle(void *owner)
{
	struct fixture *f = owner;

	assert_int_equal(pthread_mutex_trylock(&f->lock), 0); /* not held here */
	pthread_mutex_unlock(&f->lock);
	f->idle_called++;
}

static void stop_on_timer(void *owner)
{
	loop_stop(owner);
}

/* A timer that ends the run `ms` from now. */
static struct timer stop_in_ms(struct fixture *f, unsigned ms)
{
	return (struct timer){.fire = stop_on_timer,
			      .owner = f->loop,
			      .due_ns = loop_now_ns() + ms * UINT64_C(1000000)};
}

static void ready_descriptor_calls_its_owner_with_the_lock_held(void **state)
{
	struct fixture *f = *state;
	struct loop_source s;
	int fd = ready_fd();

	assert_int_equal(loop_add(f->loop, &s, fd, EPOLLIN, on_ready, f), 0);
	f->stop_after = 3; /* level triggered: it stays ready */
	assert_int_equal(loop_run(f->loop, on_idle, f), 0);
	assert_int_equal(f->called, 3);
	assert_true(f->idle_called >= 3);
	loop_remove(&s);
	close(fd);
}

static void timer_ends_the_wait_and_not_before_its_time(void **state)
{
	struct fixture *f = *state;
	struct timer t = stop_in_ms(f, 20);
	uint64_t due_ns = t.due_ns;

	timerq_arm(loop_timers(f->loop), &t, due_ns);
	assert_int_equal(loop_run(f->loop, NULL, NULL), 0);
	assert_true(loop_now_ns() >= due_ns);
	assert_true(timerq_next(loop_timers(f->loop)) == TIMERQ_NEVER);
}

static void a_wait_for_a_timer_is_not_rounded_to_milliseconds(void **state)
{
	struct fixture *f = *state;
	struct timer t = stop_in_ms(f, 0);

	timerq_arm(loop_timers(f->loop), &t, loop_now_ns() + 300000);
	assert_int_equal(loop_run(f->loop, NULL, NULL), 0);
	assert_true(f->waited);
	assert_true(f->first_wait.tv_sec == 0 && f->first_wait.tv_nsec <= 300000);
}

static void *arm_from_outside(void *ctx)
{
	static struct timer t;
	struct fixture *f = ctx;

	pthread_mutex_lock(&f->lock);
	t = stop_in_ms(f, 5);
	timerq_arm(loop_timers(f->loop), &t, t.due_ns);
	pthread_mutex_unlock(&f->lock);
	loop_wake(f->loop);
	return NULL;
}

static void wake_makes_a_waiting_loop_see_a_new_timer(void **state)
{
	struct fixture *f = *state;
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, arm_from_outside, f), 0);
	assert_int_equal(loop_run(f->loop, NULL, NULL), 0); /* no timer: it would wait for ever */
	pthread_join(thread, NULL);
}

static void stop_before_the_run_returns_at_once(void **state)
{
	struct fixture *f = *state;

	loop_stop(f->loop);
	assert_int_equal(loop_run(f->loop, NULL, NULL), 0);
}

static void events_that_are_not_asked_for_do_not_call(void **state)
{
	struct fixture *f = *state;
	struct timer t = stop_in_ms(f, 10);
	struct loop_source s;
	int fd = ready_fd();

	assert_int_equal(loop_add(f->loop, &s, fd, EPOLLIN, on_ready, f), 0);
	assert_int_equal(loop_set_events(&s, 0), 0);
	timerq_arm(loop_timers(f->loop), &t, t.due_ns);
	assert_int_equal(loop_run(f->loop, NULL, NULL), 0);
	assert_int_equal(f->called, 0);
	loop_remove(&s);
	close(fd);
}

static void events_asked_for_again_call(void **state)
{
	struct fixture *f = *state;
	struct loop_source s;
	int fd = ready_fd();

	assert_int_equal(loop_add(f->loop, &s, fd, 0, on_ready, f), 0);
	assert_int_equal(loop_set_events(&s, EPOLLIN | EPOLLOUT), 0);
	f->stop_after = 1;
	assert_int_equal(loop_run(f->loop, NULL, NULL), 0);
	loop_remove(&s);
	assert_int_equal(loop_set_events(&s, EPOLLIN), 0); /* no longer registered: nothing */
	loop_remove(&s);
	close(fd);
}

static void refused_descriptor_leaves_the_source_unregistered(void **state)
{
	struct fixture *f = *state;
	struct loop_source s;
	char path[] = "/tmp/oya-loop-XXXXXX";
	int file = mkstemp(path), fd = ready_fd();

	assert_true(file >= 0);
	unlink(path);
	assert_int_equal(loop_add(f->loop, &s, file, EPOLLIN, on_ready, f), -EPERM);
	assert_int_equal(s.fd, -1);
	loop_remove(&s);
	close(file);
	assert_int_equal(loop_add(f->loop, &s, file, EPOLLIN, on_ready, f), -EBADF);
	assert_int_equal(loop_add(f->loop, &s, fd, EPOLLIN, on_ready, f), 0);
	f->stop_after = 1;
	assert_int_equal(loop_run(f->loop, NULL, NULL), 0);
	loop_remove(&s);
	close(fd);
}

static void many_sources_are_all_served(void **state)
{
	struct fixture *f = *state;
	static struct loop_source s[MANY];
	int fd[MANY];

	for (unsigned i = 0; i < MANY; i++) {
		fd[i] = ready_fd();
		assert_int_equal(
			loop_add(f->loop, &s[i], fd[i], EPOLLIN | EPOLLONESHOT, on_ready, f), 0);
	}
	f->stop_after = MANY; /* each is reported once */
	assert_int_equal(loop_run(f->loop, NULL, NULL), 0);
	assert_int_equal(f->called, MANY);
	for (unsigned i = 0; i < MANY; i++) {
		loop_remove(&s[i]);
		close(fd[i]);
	}
}

static void remove_the_other(void *owner, uint32_t events)
{
	struct loop_source **other = owner;

	(void)events;
	assert_non_null(*other);
	loop_remove(*other);
	*other = NULL;
}

static void source_removed_by_another_of_the_same_batch_is_not_called(void **state)
{
	struct fixture *f = *state;
	struct timer t = stop_in_ms(f, 10);
	struct loop_source s[2], *other[2] = {&s[1], &s[0]};
	int fd[2] = {ready_fd(), ready_fd()};

	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(loop_add(f->loop, &s[i], fd[i], EPOLLIN | EPOLLONESHOT,
					  remove_the_other, &other[i]),
				 0);
	}
	timerq_arm(loop_timers(f->loop), &t, t.due_ns);
	assert_int_equal(loop_run(f->loop, NULL, NULL), 0);
	assert_true(!other[0] != !other[1]); /* one of them was called, the other was gone */
	loop_remove(&s[0]);
	loop_remove(&s[1]);
	close(fd[0]);
	close(fd[1]);
}

static void must_not_be_called(void *owner, uint32_t events)
{
	(void)owner;
	(void)events;
	fail_msg("a source was called that was removed, or for another's event");
}

/* Frees the ready source, and puts a fresh one, which is not ready, into its slot. */
static void *replace_victim(void *ctx)
{
	struct fixture *f = ctx;

	pthread_mutex_lock(&f->lock);
	loop_remove(f->victim);
	free(f->victim);
	close(f->victim_fd);
	f->fresh_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert_int_equal(loop_add(f->loop, &f->fresh, f->fresh_fd, EPOLLIN, must_not_be_called, f),
			 0);
	loop_stop(f->loop);
	pthread_mutex_unlock(&f->lock);
	return NULL;
}

static void replace_from_another_thread(struct fixture *f)
{
	pthread_t thread;

	f->after_wait = NULL;
	assert_int_equal(pthread_create(&thread, NULL, replace_victim, f), 0);
	pthread_join(thread, NULL);
}

static void source_freed_by_another_thread_between_wait_and_dispatch_is_not_called(void **state)
{
	struct fixture *f = *state;
	uint32_t slot;

	f->victim = malloc(sizeof(*f->victim));
	assert_non_null(f->victim);
	f->victim_fd = ready_fd();
	assert_int_equal(loop_add(f->loop, f->victim, f->victim_fd, EPOLLIN, must_not_be_called, f),
			 0);
	slot = f->victim->slot;
	f->after_wait = replace_from_another_thread;
	assert_int_equal(loop_run(f->loop, NULL, NULL), 0);
	assert_null(f->after_wait); /* it ran */
	assert_int_equal(f->fresh.slot, slot);
	loop_remove(&f->fresh);
	close(f->fresh_fd);
}

static void interrupted_wait_is_taken_up_again(void **state)
{
	struct fixture *f = *state;
	struct timer t = stop_in_ms(f, 1);

	timerq_arm(loop_timers(f->loop), &t, t.due_ns);
	f->wait_error = EINTR;
	assert_int_equal(loop_run(f->loop, NULL, NULL), 0);
}

static void failed_wait_ends_the_run_with_its_error(void **state)
{
	struct fixture *f = *state;

	f->wait_error = EBADF;
	assert_int_equal(loop_run(f->loop, NULL, NULL), -EBADF);
	assert_int_equal(pthread_mutex_trylock(&f->lock), 0);
	pthread_mutex_unlock(&f->lock);
}

static void loop_without_descriptors_to_have_is_not_made(void **state)
{
	struct fixture *f = *state;
	struct loop *second = NULL;
	struct rlimit before, none;
	int r;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	for (rlim_t room = 0; room < 2; room++) {
		int lowest = ready_fd();

		close(lowest);
		none = before;
		none.rlim_cur = (rlim_t)lowest + room;
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
		r = loop_new(&f->lock, &second);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
		assert_int_equal(r, -EMFILE);
		assert_null(second);
		r = ready_fd();
		close(r);
		assert_int_equal(r, lowest); /* none is left open */
	}
}

static int make_loop_with_sources(void *ctx)
{
	static struct loop_source s[20];
	struct fixture *f = ctx;
	struct loop *l;
	int fd[20];
	int r = loop_new(&f->lock, &l);

	if (r < 0)
		return r;
	for (unsigned i = 0; i < 20; i++) {
		fd[i] = ready_fd();
		if (r == 0)
			r = loop_add(l, &s[i], fd[i], EPOLLIN, on_ready, f);
	}
	loop_free(l);
	for (unsigned i = 0; i < 20; i++)
		close(fd[i]);
	return r;
}

static void loop_survives_each_failing_allocation(void **state)
{
	/* The loop, its first table of sources, the grown one. */
	assert_int_equal(failheap_sweep(make_loop_with_sources, *state), 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define WITH_LOOP(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		WITH_LOOP(ready_descriptor_calls_its_owner_with_the_lock_held),
		WITH_LOOP(timer_ends_the_wait_and_not_before_its_time),
		WITH_LOOP(a_wait_for_a_timer_is_not_rounded_to_milliseconds),
		WITH_LOOP(wake_makes_a_waiting_loop_see_a_new_timer),
		WITH_LOOP(stop_before_the_run_returns_at_once),
		WITH_LOOP(events_that_are_not_asked_for_do_not_call),
		WITH_LOOP(events_asked_for_again_call),
		WITH_LOOP(refused_descriptor_leaves_the_source_unregistered),
		WITH_LOOP(many_sources_are_all_served),
		WITH_LOOP(source_removed_by_another_of_the_same_batch_is_not_called),
		WITH_LOOP(source_freed_by_another_thread_between_wait_and_dispatch_is_not_called),
		WITH_LOOP(interrupted_wait_is_taken_up_again),
		WITH_LOOP(failed_wait_ends_the_run_with_its_error),
		WITH_LOOP(loop_without_descriptors_to_have_is_not_made),
		WITH_LOOP(loop_survives_each_failing_allocation),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
