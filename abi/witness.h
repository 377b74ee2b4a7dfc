/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The region of a witness, on a disk or in a file that all nodes of a cluster share: a head, and
 * two slots for each node, which that node alone writes, in turn. Little endian; each begins a
 * block of 4096 bytes, whose other bytes are 0. Spec: docs/format/witness.md.
 */
#ifndef OYA_ABI_WITNESS_H
#define OYA_ABI_WITNESS_H

#include "abi/guid.h"
#include "abi/packed.h"

#define WITNESS_HEAD_MAGIC "OYAWITHD" /* 8 bytes */
#define WITNESS_SLOT_MAGIC "OYAWITSL" /* 8 bytes */
#define WITNESS_VERSION 1u
#define WITNESS_NODES_MAX 16u                     /* node ids from 1 on */
#define WITNESS_SLOTS_MAX (2 * WITNESS_NODES_MAX) /* those of id n are blocks 2n - 1 and 2n */
#define WITNESS_BLOCK_BYTES 4096u
#define WITNESS_RECORD_BYTES 512u
#define WITNESS_REGION_BYTES ((1 + WITNESS_SLOTS_MAX) * WITNESS_BLOCK_BYTES)
#define WITNESS_CLUSTER_MAX 128u
#define WITNESS_COUNT_MAX UINT64_C(0x7fffffffffffffff)

enum witness_state { WITNESS_IDLE = 0, WITNESS_CLAIM = 1, WITNESS_HOLD = 2, WITNESS_STATES };

struct witness_head {
	uint8_t magic[8];
	uint32_t version;
	uint32_t nodes; /* with slots behind it: WITNESS_NODES_MAX */
	struct guid region;
	uint8_t cluster[WITNESS_CLUSTER_MAX]; /* its name, closed by a NUL */
	uint8_t zero[348];
	uint32_t sum; /* CRC-32C of what is before it */
} OYA_PACKED;
OYA_SIZE(struct witness_head, WITNESS_RECORD_BYTES);
OYA_OFFSET(struct witness_head, region, 16);
OYA_OFFSET(struct witness_head, cluster, 32);
OYA_OFFSET(struct witness_head, sum, 508);

struct witness_slot {
	uint8_t magic[8];
	uint32_t version;
	uint32_t node;
	struct guid region; /* of the head */
	uint64_t count;     /* of writes; never goes back */
	uint32_t state;     /* enum witness_state */
	uint32_t held;      /* CLAIM: 1: had the vote as its partition changed */
	uint64_t ring_seq;  /* of the partition: corosync's ring, */
	uint32_t ring_node; /* its representative, */
	uint32_t members;   /* its nodes: bit n - 1 for id n */
	uint64_t since_s;   /* since 1970 by the clock of who wrote it; for people */
	uint8_t zero[436];
	uint32_t sum; /* CRC-32C of what is before it */
} OYA_PACKED;
OYA_SIZE(struct witness_slot, WITNESS_RECORD_BYTES);
OYA_OFFSET(struct witness_slot, region, 16);
OYA_OFFSET(struct witness_slot, count, 32);
OYA_OFFSET(struct witness_slot, ring_seq, 48);
OYA_OFFSET(struct witness_slot, members, 60);
OYA_OFFSET(struct witness_slot, sum, 508);

#endif
