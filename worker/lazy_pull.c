/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory of a VM that has come before it: post-copy (lazy.h, docs/design/live.md).
 *
 * The thread asks for each page that somebody touches before it is there; pages that come, asked
 * for or not, are put by who reads the connections (incoming_lanes.c). A page that was never sent
 * and is not to come is zeros.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/move_message.h"
#include "worker/lazy.h"

#define BITS 64u

/* ---- before it may be touched ---- */

/* Drops what is there of adjacent pages. 0 or -errno. */
static int drop(const struct lazy *l, uint64_t at, const uint64_t *bits, uint64_t pages)
{
	uint64_t first = 0, end;
	int r = 0;

	while (r == 0 && first < pages) {
		while (first < pages && !(bits[first / BITS] >> first % BITS & 1))
			first++;
		for (end = first; end < pages && bits[end / BITS] >> end % BITS & 1;)
			end++;
		if (end > first)
			r = memory_drop(l->memory, at + first * STATE_PAGE, at + end * STATE_PAGE);
		first = end;
	}
	return r;
}

int lazy_expect(struct lazy *l, const uint8_t *hva, const uint64_t *bits, uint64_t pages)
{
	uint64_t at = (uint64_t)(hva - l->memory->base);
	int r;

	if (!l->expects)
		lazy_map_put(&l->map, 0, l->map.bytes);
	l->expects = true;
	r = lazy_map_expect(&l->map, at, bits, pages);
	return r < 0 ? r : drop(l, at, bits, pages);
}

/* ---- the thread ---- */

/* Once it may be touched. */
static int ask(struct lazy *l, uint64_t at, struct failure *f)
{
	struct memory_piece p = lazy_map_absent(&l->map, at, at + STATE_PAGE);
	uint64_t len;

	if (p.begin == p.end)
		return lazy_place_zeros(l, at, f);
	return move_send(l->link, MOVE_WANT,
			 gmem_address(&l->memory->gmem, l->memory->base + at, &len), NULL, f);
}

static int wait_for_something(const struct lazy *l, struct failure *f)
{
	struct pollfd what[] = {{.fd = l->fd, .events = POLLIN}, {.fd = l->kick, .events = POLLIN}};
	uint64_t count;

	if (poll(what, 2, -1) < 0 && errno != EINTR)
		return fail(f, -errno, "cannot wait for the memory of the VM: %s", strerror(errno));
	if (what[1].revents && read(l->kick, &count, sizeof(count)) < 0 && errno != EAGAIN)
		return fail(f, -errno, "cannot wait for the memory of the VM: %s", strerror(errno));
	return 0;
}

static void tell_whole(const struct lazy *l)
{
	struct failure ignored;

	(void)move_send(l->link, MOVE_WHOLE, 0, NULL, &ignored);
}

static void *pull_thread(void *arg)
{
	struct lazy *l = arg;
	struct failure f;
	bool told = false;
	int r = 0;

	while (r == 0 && !__atomic_load_n(&l->stop, __ATOMIC_ACQUIRE)) {
		r = lazy_serve_all(l, ask, &f);
		if (r == 0 && !told && lazy_whole(l)) {
			told = true;
			tell_whole(l);
			shutdown(l->link, SHUT_RD); /* who reads it need not wait for its end */
		}
		if (r == 0)
			r = wait_for_something(l, &f);
	}
	if (r < 0)
		lazy_lose(l, f.text);
	if (!told)
		tell_whole(l);
	if (__atomic_load_n(&l->finish, __ATOMIC_ACQUIRE)) {
		lazy_release(l);
		__atomic_store_n(&l->done, true, __ATOMIC_RELEASE);
		loop_wake(l->loop);
	}
	return NULL;
}

int lazy_pull(struct lazy *l, int link, struct loop *loop, struct failure *f)
{
	int r = 0;

	l->name = "the other host";
	l->loop = loop;
	l->link = fcntl(link, F_DUPFD_CLOEXEC, 0);
	l->kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (l->link < 0 || l->kick < 0)
		r = -errno;
	/* Before the thread: the next page that comes is not for whoever may touch them. */
	__atomic_store_n(&l->pulls, r == 0, __ATOMIC_RELEASE);
	if (r == 0)
		r = lazy_start(l, pull_thread);
	if (r < 0)
		fail(f, r, "cannot wait for the memory of the VM: %s", strerror(-r));
	return r;
}

/* ---- who brings it ---- */

bool lazy_pulls(const struct lazy *l)
{
	return __atomic_load_n(&l->pulls, __ATOMIC_ACQUIRE);
}

int lazy_arrived(struct lazy *l, const uint8_t *hva, const uint8_t *data, uint64_t len,
		 struct failure *f)
{
	int r = lazy_place(l, (uint64_t)(hva - l->memory->base), data, len, f);

	if (r == 0 && lazy_whole(l))
		lazy_kick(l);
	return r;
}

bool lazy_whole(const struct lazy *l)
{
	return __atomic_load_n(&l->map.done, __ATOMIC_ACQUIRE) == l->map.total;
}

_Noreturn void lazy_lose(struct lazy *l, const char *sentence)
{
	/* One of us tells it. */
	if (!__atomic_exchange_n(&l->is_lost, true, __ATOMIC_ACQ_REL)) {
		l->lost(l->owner, sentence);
		abort();
	}
	for (;;)
		poll(NULL, 0, -1);
}

void lazy_finish(struct lazy *l)
{
	__atomic_store_n(&l->finish, true, __ATOMIC_RELEASE);
	__atomic_store_n(&l->stop, true, __ATOMIC_RELEASE);
	lazy_kick(l);
}

void lazy_cease(struct lazy *l)
{
	if (!l->began || l->ceased)
		return;
	__atomic_store_n(&l->stop, true, __ATOMIC_RELEASE);
	lazy_kick(l);
	pthread_join(l->thread, NULL);
	l->ceased = true;
}
