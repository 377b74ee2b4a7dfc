/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which pages of a VM's RAM are there, and where those that are not are in the file of its state.
 *
 * Trust: what a run is was checked before (lib/state_stream.h). Places are those of the file of
 * RAM, in bytes, and multiples of a page.
 * Threads: one at a time; `done` may be looked at by others, and pages be put by several at once.
 */
#ifndef OYA_WORKER_LAZY_MAP_H
#define OYA_WORKER_LAZY_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/state_stream.h"
#include "worker/memory.h"

struct lazy_run {
	uint64_t at, len; /* len: never 0 */
	struct state_rest rest;
	bool taken; /* it is being read, or was */
};

struct lazy_map {
	struct lazy_run *run; /* by rising place; none overlaps another */
	size_t count, room;
	uint64_t bytes;       /* of RAM */
	uint64_t total, done; /* bytes of all runs; that are there of them: atomic */
	uint64_t *there;      /* a bit for each page: atomic */
};

/* No page is there, and there are no runs. 0 or -ENOMEM. */
int lazy_map_init(struct lazy_map *map, uint64_t bytes);
void lazy_map_done(struct lazy_map *map);

/* A run behind all others. 0, -ENOMEM, or -EINVAL where it is none. */
int lazy_map_add(struct lazy_map *map, uint64_t at, const struct state_rest *rest);

/* The run with the page; NULL: it is in none, and so is a page of zeros. */
struct lazy_run *lazy_map_find(const struct lazy_map *map, uint64_t at);

/* The first pages of [from, to) that are not there, as many as follow each other; empty: all are.
 */
struct memory_piece lazy_map_absent(const struct lazy_map *map, uint64_t from, uint64_t to);
/* The pages from `at` on that have a bit, `pages` in all, a multiple of 64, are not there: they
 * come by no run. 0, or -EINVAL. */
int lazy_map_expect(struct lazy_map *map, uint64_t at, const uint64_t *bits, uint64_t pages);
/* Pages of [from, to), which were not there, are. */
void lazy_map_put(struct lazy_map *map, uint64_t from, uint64_t to);

#endif
