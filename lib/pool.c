/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "lib/pool.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/util.h"

struct pool {
	pthread_mutex_t lock; /* of all below */
	pthread_cond_t wake;  /* there is work, or the end */
	struct list waiting, ended;
	bool ends;
	int fd;
	unsigned count;
	pthread_t thread[];
};

/* The first whose lane is free, taken; NULL: none. */
static struct pool_work *next(struct pool *p)
{
	for (struct list *at = p->waiting.next; at != &p->waiting; at = at->next) {
		struct pool_work *w = CONTAINER_OF(at, struct pool_work, link);

		if (w->lane && w->lane->busy)
			continue;
		if (w->lane)
			w->lane->busy = true;
		list_remove(at);
		return w;
	}
	return NULL;
}

static void *serve(void *arg)
{
	struct pool *p = arg;
	const uint64_t one = 1;

	pthread_mutex_lock(&p->lock);
	for (;;) {
		struct pool_work *w = next(p);

		if (!w && p->ends)
			break;
		if (!w) {
			pthread_cond_wait(&p->wake, &p->lock);
			continue;
		}
		pthread_mutex_unlock(&p->lock);
		w->work(w);
		pthread_mutex_lock(&p->lock);
		if (w->lane) {
			w->lane->busy = false;
			pthread_cond_signal(&p->wake);
		}
		list_append(&p->ended, &w->link);
		(void)!write(p->fd, &one, sizeof(one));
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

int pool_new(unsigned threads, struct pool **ret_pool)
{
	struct pool *p = calloc(1, sizeof(*p) + threads * sizeof(p->thread[0]));
	int r = 0;

	if (!p)
		return -ENOMEM;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->wake, NULL);
	list_init(&p->waiting);
	list_init(&p->ended);
	p->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (p->fd < 0)
		r = -errno;
	while (r == 0 && p->count < threads) {
		r = -pthread_create(&p->thread[p->count], NULL, serve, p);
		p->count += r == 0;
	}
	if (r < 0 && !p->count) {
		pool_free(p);
		return r;
	}
	*ret_pool = p;
	return 0;
}

void pool_free(struct pool *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->ends = true;
	pthread_cond_broadcast(&p->wake);
	pthread_mutex_unlock(&p->lock);
	for (unsigned i = 0; i < p->count; i++)
		pthread_join(p->thread[i], NULL);
	p->count = 0;
	pool_collect(p);
	if (p->fd >= 0)
		close(p->fd);
	pthread_cond_destroy(&p->wake);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

int pool_fd(const struct pool *p)
{
	return p->fd;
}

void pool_submit(struct pool *p, struct pool_work *w)
{
	bool last = !p->count; /* it is being freed */

	if (last) {
		w->work(w);
		w->done(w);
		return;
	}
	pthread_mutex_lock(&p->lock);
	list_append(&p->waiting, &w->link);
	pthread_cond_signal(&p->wake);
	pthread_mutex_unlock(&p->lock);
}

void pool_collect(struct pool *p)
{
	uint64_t count;

	(void)!read(p->fd, &count, sizeof(count));
	for (;;) {
		struct list *first;

		pthread_mutex_lock(&p->lock);
		first = list_pop(&p->ended);
		pthread_mutex_unlock(&p->lock);
		if (!first)
			return;
		struct pool_work *w = CONTAINER_OF(first, struct pool_work, link);

		w->done(w);
	}
}
