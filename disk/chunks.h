/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which chunks of a disk have been written: marked behind each write. Who takes a chunk off and
 * reads it while a write of it is under way finds it marked again afterwards.
 *
 * Threads: marked and taken on any, at the same time.
 */
#ifndef OYA_DISK_CHUNKS_H
#define OYA_DISK_CHUNKS_H

#include <stdbool.h>
#include <stdint.h>

#define CHUNK_BYTES (UINT64_C(64) << 10)

struct chunks {
	uint64_t *bits; /* atomic */
	uint64_t count;
	uint64_t marked; /* atomic: how many are */
};

/* None is marked. 0 or -ENOMEM. */
int chunks_init(struct chunks *c, uint64_t size_bytes);
/* NULL bits are fine. */
void chunks_done(struct chunks *c);

/* Marks what [offset, offset + len) touches; what lies behind the end is left out. */
void chunks_mark(struct chunks *c, uint64_t offset, uint64_t len);

uint64_t chunks_marked(const struct chunks *c);

/* Takes the first run of marked chunks at or behind chunk `from`, `most` of them at most: true and
 * *ret_from, *ret_count; false: there is none. */
bool chunks_take(struct chunks *c, uint64_t from, uint64_t most, uint64_t *ret_from,
		 uint64_t *ret_count);

#endif
