/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The pages of a VM that runs which are to be sent, again: what processors have written, by KVM's
 * log, and what devices have, by gmem's marks.
 *
 * A mark is taken away before its page is read, so what is written meanwhile is marked anew.
 *
 * Pages that are told of as coming later (post-copy) are each sent once: whoever takes the mark
 * sends it.
 *
 * Threads: one, but for dirty_begin() and dirty_end(), which want the lock of the devices, and for
 * dirty_push() and dirty_push_near(), which any number may be in.
 */
#ifndef OYA_WORKER_DIRTY_H
#define OYA_WORKER_DIRTY_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/fail.h"
#include "lib/state_stream.h"
#include "worker/compressor.h"
#include "worker/memory.h"
#include "worker/partition.h"

struct dirty {
	struct memory *memory;
	struct partition *partition;
	bool logged; /* else the guest stands still, and each page is sent once */
	uint64_t *bits[GMEM_REGIONS_MAX];    /* as they were looked at last */
	uint64_t *devices[GMEM_REGIONS_MAX]; /* of these, and not sent yet: of devices */
	uint64_t *told[GMEM_REGIONS_MAX];    /* that come later, and the other side knows */
	bool later;                          /* there are such: of RAM, none is sent before */
	pthread_mutex_t lock;                /* of the marks, once they are pushed */
	unsigned region;                     /* from here on there may be some */
	uint64_t page;
	uint64_t left; /* atomic: that are to be pushed */
};

/* Begins: all pages are to be sent. `runs`: the guest does, and what it writes is to be known. 0,
 * or -errno and the sentence. */
int dirty_begin(struct dirty *d, struct memory *memory, struct partition *partition, bool runs,
		struct failure *f);
/* Nothing is logged any more. Fine when it never began. */
void dirty_end(struct dirty *d);

/* Looks which there are now, and counts them. 0 or -errno. */
int dirty_look(struct dirty *d, uint64_t *ret_pages);

/* What is done with what is to be sent, in pieces: it is written to a connection, and waits as long
 * as it must. 0, or -errno and the sentence, which ends it. */
struct dirty_sink {
	struct state_writer *writer;
	int (*pace)(void *ctx, uint64_t bytes, struct failure *f); /* that were just written */
	void *ctx;
	struct compressor *compressor; /* or NULL */
};

/* Sends those that were seen last, over all `count` connections at once: a thread for each but the
 * first. `fresh`: the other side has nothing but zeros yet. 0, or -errno and the sentence. */
int dirty_send(struct dirty *d, const struct dirty_sink sinks[], unsigned count, bool fresh,
	       struct failure *f);

/* Tells which pages of RAM come later: of those that were seen last, the ones that it has not told
 * of. 0, or -errno and the sentence. */
int dirty_tell_later(struct dirty *d, struct state_writer *w, struct failure *f);

/* ---- the guest stands still, or has gone ---- */

/* All that come later, until none is left. 0, or -errno and the sentence. */
int dirty_push(struct dirty *d, const struct dirty_sink *sink, struct failure *f);
/* Those at and about a guest's address, at once; none when they have gone. -EINVAL where there is
 * no RAM. */
int dirty_push_near(struct dirty *d, const struct dirty_sink *sink, uint64_t gpa,
		    struct failure *f);

#endif
