/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pages that come by further connections (incoming.h): each is a stream of its own, which says
 * first of which VM it is and which one.
 *
 * Invariants:
 *  1. a mark is answered when all connections have delivered what came before it, and nothing is
 *     sent behind it before it is answered: so what came last of a page is what was sent last;
 *  2. once memory may be touched, pages are put by userfaultfd only, and none that is there.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/guid.h"
#include "worker/incoming.h"
#include "worker/vm.h"

/* ---- their threads ---- */

/* Which one it is. 0, or -errno and the sentence. */
static int introduce(struct incoming_lane *l, struct state_reader *r, struct failure *f)
{
	struct incoming *in = &l->vm->incoming;
	struct state_lane said;
	int e = state_read_begin(r, l->fd, "a connection of the other host", STATE_LIVE, f);

	if (e == 0)
		e = state_read_lane(r, &said, f);
	if (e < 0)
		return e;
	if (r->features != in->features || !guid_equal(&said.vm, &l->vm->config->uuid))
		return state_refuse(r, f, "it is one of another VM");
	if (said.count != in->links.count)
		return state_refuse(r, f, "there are %u connections there, and %u here", said.count,
				    in->links.count);
	pthread_mutex_lock(&in->lock);
	for (unsigned i = 0; i < in->links.count; i++) {
		if (in->lane[i].known && in->lane[i].number == said.number)
			e = state_refuse(r, f, "there are two with the number %u", said.number);
	}
	if ((said.number == 0) != (l == &in->lane[0]))
		e = state_refuse(r, f, "it has the number %u, and is another", said.number);
	l->known = e == 0;
	l->number = said.number;
	pthread_mutex_unlock(&in->lock);
	return e;
}

/* Whether memory may be touched already. */
static bool reach(struct incoming_lane *l, uint32_t mark, bool ended)
{
	struct incoming *in = &l->vm->incoming;
	bool pulls;

	pthread_mutex_lock(&in->lock);
	pulls = lazy_pulls(&l->vm->lazy);
	l->mark = mark;
	l->ended = ended;
	pthread_cond_broadcast(&in->moved);
	pthread_mutex_unlock(&in->lock);
	return pulls;
}

static int read_pages(struct incoming_lane *l, struct state_reader *r,
		      const struct state_record *record, struct state_buffer *b, struct failure *f)
{
	struct vm *vm = l->vm;

	if (lazy_pulls(&vm->lazy))
		return state_memory_read_buffered(&vm->memory, &vm->lazy, r, record, b, f);
	if (record->type == STATE_COMPRESSED)
		return state_memory_read_buffered(&vm->memory, NULL, r, record, b, f);
	return state_memory_read_pages(&vm->memory, r, record, f);
}

/* To its end. 0, or -errno and the sentence. */
static int read_lane(struct incoming_lane *l, struct state_buffer *b, struct failure *f)
{
	struct state_record record;
	struct state_reader r;
	int e = introduce(l, &r, f);

	while (e == 0) {
		e = state_read_next(&r, &record, f);
		if (e < 0 || record.type == STATE_END)
			break;
		if (record.type == STATE_PAGES || record.type == STATE_COMPRESSED) {
			e = read_pages(l, &r, &record, b, f);
		} else if (record.type == STATE_MARK) {
			e = state_read_done(&r, f);
			if (e == 0)
				(void)reach(l, record.instance, false);
		} else {
			e = state_refuse(&r, f, "a record of kind %u has no place there",
					 record.type);
		}
	}
	return e;
}

/* Notes why, for who waits for pages before memory may be touched. False: it may be, already. */
static bool note_failure(struct incoming *in, const struct lazy *lazy, int code,
			 const struct failure *f)
{
	bool pulls;

	pthread_mutex_lock(&in->lock);
	pulls = lazy_pulls(lazy);
	if (!pulls && in->lane_result == 0) {
		in->lane_result = code;
		in->lane_failure = *f;
	}
	pthread_cond_broadcast(&in->moved);
	pthread_mutex_unlock(&in->lock);
	return !pulls;
}

/* It has ended before its end. */
static void fail_lane(struct incoming_lane *l, int code, const struct failure *f)
{
	struct incoming *in = &l->vm->incoming;
	struct lazy *lazy = &l->vm->lazy;
	struct failure why;

	if (__atomic_load_n(&in->stop, __ATOMIC_ACQUIRE))
		return;
	if (note_failure(in, lazy, code, f)) {
		shutdown(in->links.fd[0], SHUT_RD);
		return;
	}
	if (lazy_whole(lazy))
		return;
	fail(&why, code,
	     "the VM '%s' has lost memory that was not here yet: %s; it is to be started anew, as "
	     "after a cut of the power",
	     l->vm->config->name, f->text);
	lazy_lose(lazy, why.text);
}

static void *lane_thread(void *arg)
{
	struct incoming_lane *l = arg;
	struct state_buffer *b = malloc(sizeof(*b));
	struct failure f = {"out of memory"};
	int e = b ? read_lane(l, b, &f) : -ENOMEM;

	free(b);
	if (e < 0)
		fail_lane(l, e, &f);
	/* On the last one comes what is asked for, until all is there. */
	if (reach(l, l->mark, true) && e == 0 && l->number == l->vm->incoming.links.count - 1)
		fail_lane(l, fail(&f, -EBADMSG, "the other host answers no more"), &f);
	return NULL;
}

int lanes_begin(struct vm *vm, struct failure *f)
{
	struct incoming *in = &vm->incoming;

	for (unsigned i = 1; i < in->links.count; i++) {
		int r;

		in->lane[i] = (struct incoming_lane){.vm = vm, .fd = in->links.fd[i]};
		r = -pthread_create(&in->lane[i].thread, NULL, lane_thread, &in->lane[i]);
		if (r < 0)
			return fail(f, r, "no thread for a connection: %s", strerror(-r));
		in->lanes++;
	}
	return 0;
}

void lanes_stop(struct incoming *in)
{
	pthread_mutex_lock(&in->lock);
	__atomic_store_n(&in->stop, true, __ATOMIC_RELEASE);
	pthread_cond_broadcast(&in->moved);
	pthread_mutex_unlock(&in->lock);
	for (unsigned i = 1; i < in->links.count; i++)
		shutdown(in->links.fd[i], SHUT_RD);
}

void lanes_join(struct incoming *in)
{
	for (; in->lanes; in->lanes--)
		pthread_join(in->lane[in->lanes].thread, NULL);
}

/* ---- who waits for them ---- */

/* 1: all have reached it; 0: not yet; -errno. With the lock. */
static int reached(const struct incoming *in, uint32_t mark, struct failure *f)
{
	int r = 1;

	if (in->lane_result < 0) {
		*f = in->lane_failure;
		return in->lane_result;
	}
	for (unsigned i = 1; i <= in->lanes; i++) {
		const struct incoming_lane *l = &in->lane[i];

		if (l->mark != mark && (l->ended || __atomic_load_n(&in->stop, __ATOMIC_RELAXED)))
			return fail(f, -EBADMSG, "a connection has ended before the others");
		if (l->mark != mark)
			r = 0;
	}
	return r;
}

int lanes_await(struct vm *vm, uint32_t mark, struct failure *f)
{
	struct incoming *in = &vm->incoming;
	int r;

	pthread_mutex_lock(&in->lock);
	while ((r = reached(in, mark, f)) == 0)
		pthread_cond_wait(&in->moved, &in->lock);
	pthread_mutex_unlock(&in->lock);
	return r < 0 ? r : 0;
}

/* ---- memory that comes late ---- */

int lanes_pull(struct vm *vm, struct failure *f)
{
	struct incoming *in = &vm->incoming;
	int fd = -1, r;

	/* Under the lock: one that fails does so before, and is seen here, or after, and ends the
	 * VM, which cannot be without it. */
	pthread_mutex_lock(&in->lock);
	for (unsigned i = 1; i <= in->lanes; i++) {
		if (in->lane[i].known && in->lane[i].number == in->links.count - 1 &&
		    !in->lane[i].ended)
			fd = in->lane[i].fd;
	}
	r = in->lane_result;
	if (r < 0)
		*f = in->lane_failure;
	else if (fd < 0)
		r = fail(f, -EBADMSG, "memory comes later, and nobody can be asked for it");
	else
		r = lazy_pull(&vm->lazy, fd, vm->loop, f);
	pthread_mutex_unlock(&in->lock);
	return r;
}

void lanes_take_rest(struct vm *vm)
{
	struct incoming_lane *l = &vm->incoming.lane[0];

	*l = (struct incoming_lane){.vm = vm, .fd = vm->incoming.links.fd[0]};
	lane_thread(l);
}
