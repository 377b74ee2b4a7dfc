/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The region of a witness on a block device or in a file: opened without a cache, so that what is
 * read is what others have written, and what is written is on the disk. No lock is taken or
 * trusted.
 *
 * Threads: one at a time. Calls wait for the disk, however long that takes.
 * Spec: docs/format/witness.md.
 */
#ifndef OYA_CLUSTER_WITNESS_REGION_H
#define OYA_CLUSTER_WITNESS_REGION_H

#include "cluster/witness/record.h"

struct region {
	int fd;
	const char *path; /* the caller's */
	uint8_t *blocks;  /* WITNESS_REGION_BYTES, aligned */
	struct guid id;
	char cluster[WITNESS_CLUSTER_MAX];
};

/* All: 0, or -errno and the sentence. */

/* Makes it where nothing is but zeros, or where the file is missing or empty. One that is there
 * already for the same cluster stays as it is. */
int region_make(const char *path, const char *cluster, struct failure *f);

int region_open(struct region *r, const char *path, struct failure *f);
/* Fine when it is not open, if fd is -1 and blocks NULL. */
void region_close(struct region *r);

int region_write(struct region *r, const struct witness_record *record, struct failure *f);
/* All slots, as witness_slot_of() has them. */
int region_read(struct region *r, struct witness_seen ret_seen[WITNESS_SLOTS_MAX],
		struct failure *f);

#endif
