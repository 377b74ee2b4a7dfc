/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "lib/parallel.h"

#include <pthread.h>
#include <stdbool.h>

#define HELPERS 3u

struct work {
	int (*piece)(void *ctx, size_t i);
	void *ctx;
	size_t count;
	size_t next; /* atomic */
	int result;  /* atomic: 0, or the first failure */
};

static void *take_pieces(void *arg)
{
	struct work *work = arg;
	size_t i;

	while ((i = __atomic_fetch_add(&work->next, 1, __ATOMIC_RELAXED)) < work->count) {
		int none = 0, r = work->piece(work->ctx, i);

		if (r < 0)
			__atomic_compare_exchange_n(&work->result, &none, r, false,
						    __ATOMIC_RELAXED, __ATOMIC_RELAXED);
	}
	return NULL;
}

int parallel_do(size_t count, int (*piece)(void *ctx, size_t i), void *ctx)
{
	struct work work = {.piece = piece, .ctx = ctx, .count = count};
	pthread_t helper[HELPERS];
	size_t helpers = 0;

	while (helpers < HELPERS && helpers + 1 < count &&
	       pthread_create(&helper[helpers], NULL, take_pieces, &work) == 0)
		helpers++;
	take_pieces(&work);
	while (helpers > 0)
		pthread_join(helper[--helpers], NULL);
	return work.result;
}
