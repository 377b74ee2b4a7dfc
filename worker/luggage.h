/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The disks of a VM that goes to a host with which it has no folder in common: they come along with
 * its memory (docs/design/live.md). What is data goes first, then what was written meanwhile, as
 * pages of memory do; the last of it when the guest stands still.
 *
 * Threads: luggage_begin() and luggage_end() with the lock of the devices held; the others are
 * called by one thread, of the migration or of what comes, without it: no disk comes or goes.
 * Trust: what comes is hostile: it is written to images of the VM only, and within them.
 *
 * Invariant: a chunk is marked behind the write that touched it, and taken off before it is read.
 */
#ifndef OYA_WORKER_LUGGAGE_H
#define OYA_WORKER_LUGGAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "disk/chunks.h"
#include "lib/fail.h"
#include "lib/state_stream.h"
#include "worker/dirty.h"
#include "worker/storage.h"

struct luggage_disk {
	struct storage_place *place;
	uint32_t controller, lun;
	struct chunks chunks;
};

struct luggage {
	struct luggage_disk *disk;
	unsigned count;
	uint8_t *buffer;
	uint64_t total_bytes, sent_bytes; /* atomic, for who looks; data as it was found */
};

/* ---- the side that it leaves ---- */

/* From now on what is written is marked. 0, or -errno and the sentence, and nothing has begun. */
int luggage_begin(struct luggage *l, const struct storage *s, struct failure *f);
/* Fine when it never began. */
void luggage_end(struct luggage *l);

/* Marks all that is data. */
void luggage_look(struct luggage *l);
/* Bytes that are marked; the guest may be marking others. */
uint64_t luggage_left(const struct luggage *l);
/* Sends what is marked, once over each disk. `fresh`: the other side has zeros only. 0, or -errno
 * and the sentence. */
int luggage_send(struct luggage *l, const struct dirty_sink *sink, bool fresh, struct failure *f);

/* ---- the side that it comes to ---- */

/* A record of it. 0, or -errno and the sentence. */
int luggage_take(const struct storage *s, struct state_reader *r, const struct state_record *record,
		 struct failure *f);

#endif
