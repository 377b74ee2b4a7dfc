/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guest memory in the stream of a state: runs of pages that are not zero.
 *
 * Pages that were never touched are passed over without touching them, where the host's memory
 * tells which these are; pages of zeros are left out, and are zeros where they are read.
 * Threads: any one; the guest stands still.
 */
#ifndef OYA_WORKER_STATE_MEMORY_H
#define OYA_WORKER_STATE_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/fail.h"
#include "lib/state_stream.h"
#include "worker/lazy.h"
#include "worker/memory.h"

#define STATE_LATE_BYTES (2u << 20) /* of pages, in one record of those that come late */

/* Told how far it is: bytes of RAM that were looked at. False: to be given up. */
struct state_progress {
	bool (*at)(void *ctx, uint64_t done_bytes);
	void *ctx;
};

/* 0; -ECANCELED when progress says so; -errno; and the sentence. */
int state_memory_write(const struct memory *m, struct state_writer *w,
		       const struct state_progress *progress, struct failure *f);

/* Zeros in all pages that have anything else, by writing to them: what the hypervisor has mapped
 * are these very pages, so they must stay where they are. Not of RAM where that was done. */
void state_memory_clear(const struct memory *m, bool ram);

/* One record into memory that has been cleared, or to what will be read lazily, once that was
 * opened. */
int state_memory_read(const struct memory *m, struct lazy *lazy, struct state_reader *r,
		      const struct state_record *record, struct failure *f);

/* Pages of a VM that runs elsewhere, and may come again. */
int state_memory_read_pages(const struct memory *m, struct state_reader *r,
			    const struct state_record *record, struct failure *f);

/* Which of them come when it runs here. */
int state_memory_read_later(const struct memory *m, struct lazy *lazy, struct state_reader *r,
			    const struct state_record *record, struct failure *f);

/* These, of which none is touched before it is there, by way of a buffer. */
struct state_late_buffer {
	struct state_span span[STATE_SPANS_MAX];
	uint8_t data[STATE_LATE_BYTES];
};
int state_memory_read_late(const struct memory *m, struct lazy *lazy, struct state_reader *r,
			   const struct state_record *record, struct state_late_buffer *b,
			   struct failure *f);

#endif
