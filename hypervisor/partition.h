/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A child partition: the memory that the parent has given up for it (chunks, for its tables and
 * processors), what of the parent's memory is mapped for it, and its processors.
 *
 * Who has found a partition holds it until partition_put; only then can it go.
 */
#ifndef OYA_HYPERVISOR_PARTITION_H
#define OYA_HYPERVISOR_PARTITION_H

#include <stdbool.h>
#include <stdint.h>

#include "hypervisor/npt.h"

#define PARTITIONS_MAX 512u
#define PROCESSORS_MAX 256u
#define CHUNKS_MAX 512u

struct child;

struct partition {
	uint64_t serial; /* no other has or had it */
	unsigned number; /* 1 to PARTITIONS_MAX */
	bool lock;       /* of all below; taken by lock_take */
	bool ends;       /* nothing new may begin */
	uint32_t khz;    /* of the TSC */
	uint8_t kick;    /* vector of the parent's that ends a run */
	struct npt npt;
	uint64_t next, end; /* free in the newest chunk, physical */
	unsigned chunk_count;
	uint64_t chunk[CHUNKS_MAX];
	struct child *child[PROCESSORS_MAX]; /* atomic, set once */
	unsigned child_end;                  /* atomic: their numbers are below */
};

/* 0 and the number, or a negative errno: what is said of the calls in abi/oya.h. */
int partition_create(uint64_t chunk, uint64_t khz, uint64_t kick, unsigned *ret_number);
int partition_donate(struct partition *p, uint64_t chunk);
int partition_map(struct partition *p, uint64_t guest, const volatile uint64_t *list,
		  uint64_t pages, uint64_t *ret_done);
int partition_unmap(struct partition *p, uint64_t guest, uint64_t bytes);
int partition_take_written(struct partition *p, uint64_t guest, uint64_t pages, uint8_t *bitmap);
int partition_destroy(uint64_t number);

struct partition *partition_get(uint64_t number);
void partition_put(struct partition *p);
unsigned partition_count(void);

/* Pages of zeros, one behind another, for as long as the partition lives; NULL: donate more. With
 * the lock held. */
void *partition_take(struct partition *p, unsigned pages);

#endif
