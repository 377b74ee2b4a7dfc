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
#include "worker/compressed.h"
#include "worker/lazy.h"
#include "worker/memory.h"

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

/* Pages by way of a buffer: when they are compressed, or when with `lazy`, which may be NULL, none
 * may be touched before it is there. A record has as many as the buffer. */
struct state_buffer {
	struct compressed_pages pages;
	uint8_t body[COMPRESSED_BODY_MAX];
};
int state_memory_read_buffered(const struct memory *m, struct lazy *lazy, struct state_reader *r,
			       const struct state_record *record, struct state_buffer *b,
			       struct failure *f);

#endif
