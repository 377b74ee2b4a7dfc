/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Cycles on the region by a thread of their own, so that who waits for a disk that hangs still
 * tells corosync in time that the vote is gone.
 *
 * Threads: cycle_start() and cycle_end() on one thread, in turns; the region belongs to the other
 * one in between.
 */
#ifndef OYA_CLUSTER_WITNESS_CYCLE_H
#define OYA_CLUSTER_WITNESS_CYCLE_H

#include <pthread.h>
#include <semaphore.h>

#include "cluster/witness/region.h"

struct cycle {
	struct region *region;
	pthread_t thread;
	sem_t wanted;
	int done_fd; /* eventfd: readable when the cycle that was started is done */
	bool running, stop;
	struct witness_record record;
	struct witness_seen seen[WITNESS_SLOTS_MAX];
	int error;
	struct failure failure;
};

/* 0 or -errno. */
int cycle_init(struct cycle *c, struct region *region);
/* Writes the record and reads all slots. None may run. */
void cycle_start(struct cycle *c, const struct witness_record *record);
/* Of one whose done_fd is readable: 0 and c->seen, or -errno and c->failure. */
int cycle_end(struct cycle *c);
/* Waits for the end of one that runs. False: it still runs. */
bool cycle_wait(struct cycle *c, unsigned wait_ms);
/* False: the disk hangs, and the thread with it, until the program ends. Fine when all of it is
 * zero. */
bool cycle_done(struct cycle *c);

#endif
