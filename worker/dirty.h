/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The pages of a VM that runs which are to be sent, again: what processors have written, by KVM's
 * log, and what devices have, by gmem's marks.
 *
 * A mark is taken away before its page is read, so what is written meanwhile is marked anew.
 *
 * Threads: one, but for dirty_begin() and dirty_end(), which want the lock of the devices.
 */
#ifndef OYA_WORKER_DIRTY_H
#define OYA_WORKER_DIRTY_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/fail.h"
#include "lib/state_stream.h"
#include "worker/memory.h"
#include "worker/partition.h"

struct dirty {
	struct memory *memory;
	struct partition *partition;
	bool logged; /* else the guest stands still, and each page is sent once */
	uint64_t *bits[GMEM_REGIONS_MAX];    /* as they were looked at last */
	uint64_t *devices[GMEM_REGIONS_MAX]; /* of these, and not sent yet: of devices */
};

/* Begins: all pages are to be sent. `runs`: the guest does, and what it writes is to be known. 0,
 * or -errno and the sentence. */
int dirty_begin(struct dirty *d, struct memory *memory, struct partition *partition, bool runs,
		struct failure *f);
/* Nothing is logged any more. Fine when it never began. */
void dirty_end(struct dirty *d);

/* Looks which there are now, and counts them. 0 or -errno. */
int dirty_look(struct dirty *d, uint64_t *ret_pages);

/* What is done with what is to be sent, in pieces: it is written, and waits as long as it must. 0,
 * or -errno and the sentence, which ends it. */
struct dirty_sink {
	struct state_writer *writer;
	int (*pace)(void *ctx, uint64_t bytes, struct failure *f); /* that were just written */
	void *ctx;
};

/* Sends those that were seen last. `fresh`: the other side has nothing but zeros yet. 0, or -errno
 * and the sentence. */
int dirty_send(struct dirty *d, const struct dirty_sink *sink, bool fresh, struct failure *f);

#endif
