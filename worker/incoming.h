/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A VM that comes from another worker while it runs there: the side that it comes to
 * (docs/design/live.md). The worker was made with the same configuration, has everything open, and
 * waits for a connection, or several.
 *
 * Threads: the loop's, with the lock of the devices held; a thread of its own reads the stream, and
 * takes the lock while a record is laid over a device; one for each further connection reads pages
 * from it.
 * Trust: the streams are hostile: what is wrong with them ends this worker, and nothing else.
 */
#ifndef OYA_WORKER_INCOMING_H
#define OYA_WORKER_INCOMING_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "abi/state.h"
#include "lib/fail.h"
#include "worker/descriptors.h"

struct vm;

/* A connection with pages. */
struct incoming_lane {
	struct vm *vm;
	int fd;
	pthread_t thread;
	/* under the lock of the lanes: */
	bool known;      /* it has said which one it is */
	uint32_t number; /* then */
	uint32_t mark;   /* all that is before this one is there */
	bool ended;      /* nothing more comes */
};

struct incoming {
	struct descriptors links; /* the first is the VM's stream; none: nothing came yet */
	bool storage;             /* its disks come along */
	bool wet;                 /* and something of them has not been flushed */
	bool started;
	bool done;          /* atomic: the thread touches the VM no more */
	bool arrived;       /* atomic: the same, but for memory that is still to come */
	bool stop;          /* atomic: connections that end are no news */
	uint64_t stands_ns; /* when the guest was known to stand still */
	pthread_t thread;
	struct failure failure;

	uint64_t features; /* of the stream */
	unsigned lanes;    /* threads of further connections */
	struct incoming_lane
		lane[STATE_LANES_MAX]; /* from 1 on; the first, when memory comes late */
	pthread_mutex_t lock;          /* of these; no other is taken under it */
	pthread_cond_t moved;
	int lane_result; /* of the first that failed, and why */
	struct failure lane_failure;
};

void incoming_init(struct incoming *in);

/* `links`, connected stream sockets, are the VM's whatever comes of it. storage: its images are
 * empty, and come along. 0, or -errno and the sentence. */
int incoming_begin(struct vm *vm, struct descriptors links, bool storage, struct failure *f);

/* Tells the thread to end; whether it has, or there is none, or it touches no device any more. */
bool incoming_ended(struct vm *vm);
/* The thread has ended, or there is none. */
bool incoming_over(const struct vm *vm);
/* The VM runs, and memory still comes to it. */
bool incoming_late(const struct vm *vm);

/* Ends it, when there is one; of memory that still comes, nobody waits for any then. Without the
 * lock. */
void incoming_done(struct vm *vm);

/* ---- incoming_lanes.c: the further connections ---- */

/* Their threads. 0, or -errno and the sentence. */
int lanes_begin(struct vm *vm, struct failure *f);
/* All that was before the mark has come by them. 0, or -errno and the sentence. */
int lanes_await(struct vm *vm, uint32_t mark, struct failure *f);
/* From now on memory may be touched: what is not there is asked for on the last one. 0, or -errno
 * and the sentence. */
int lanes_pull(struct vm *vm, struct failure *f);
/* The VM runs: the rest of its memory, also by the first connection. */
void lanes_take_rest(struct vm *vm);
/* Whoever waits for them waits no more. */
void lanes_stop(struct incoming *in);
/* Waits for their threads. */
void lanes_join(struct incoming *in);

#endif
