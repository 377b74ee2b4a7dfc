/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Threads for what may wait: files, images, subprocesses. The loop's thread hands work in and gets
 * each end back, so it never waits itself.
 *
 * Invariants:
 *  1. work of one lane is done one at a time, in the order in which it came; other lanes do not
 *     wait for it;
 *  2. `done` runs on the thread that calls pool_collect(), once for each piece, in the order in
 *     which they ended.
 */
#ifndef OYA_LIB_POOL_H
#define OYA_LIB_POOL_H

#include <stdbool.h>

#include "base/list.h"

struct pool;

/* What must be done in order; zeroed at first, and there until its work has been collected. */
struct pool_lane {
	bool busy;
};

/* One piece of work; part of a larger object of the caller's, which stays until `done`. */
struct pool_work {
	void (*work)(struct pool_work *w); /* on a thread of the pool */
	void (*done)(struct pool_work *w); /* may free it, and submit more */
	struct pool_lane *lane;            /* NULL: none */
	struct list link;
};

/* 0, or -errno. */
int pool_new(unsigned threads, struct pool **ret_pool);

/* Does and collects what is left first. NULL is fine. */
void pool_free(struct pool *p);

/* Readable while there is something to collect; level-triggered. */
int pool_fd(const struct pool *p);

void pool_submit(struct pool *p, struct pool_work *w);
void pool_collect(struct pool *p);

#endif
