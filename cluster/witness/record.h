/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The bytes of a witness's region: the head and the slots of the nodes.
 *
 * Trust: the bytes are anybody's who reaches the disk; what comes out of a decoder makes sense.
 * Threads: any; pure. Spec: docs/format/witness.md.
 */
#ifndef OYA_CLUSTER_WITNESS_RECORD_H
#define OYA_CLUSTER_WITNESS_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/witness.h"
#include "lib/fail.h"

/* A partition as corosync names it. Two are the same when all of it is. */
struct witness_ring {
	uint64_t seq;
	uint32_t node;
	uint32_t members; /* bit n - 1 for id n */
};

struct witness_record {
	uint32_t node;
	uint64_t count;
	enum witness_state state;
	bool held;
	struct witness_ring ring;
	uint64_t since_s;
};

/* What is in one of a node's blocks. `digest` changes with the bytes. */
struct witness_seen {
	enum witness_kind { WITNESS_EMPTY, WITNESS_GOOD, WITNESS_BAD } kind;
	uint64_t digest;
	struct witness_record record; /* GOOD */
};

/* Where its record of this count goes: an index of slots, whose blocks begin behind the head. */
unsigned witness_slot_of(uint32_t node, uint64_t count);

bool witness_ring_equal(const struct witness_ring *a, const struct witness_ring *b);

/* A head; the cluster's name is shorter than WITNESS_CLUSTER_MAX. */
void witness_encode_head(const struct guid *region, const char *cluster,
			 struct witness_head *ret_head);
/* 0; -ENODATA: all zero; -EBADMSG: no head; -EPROTONOSUPPORT. `name` is for the sentence. */
int witness_decode_head(const char *name, const uint8_t bytes[WITNESS_RECORD_BYTES],
			struct guid *ret_region, char ret_cluster[WITNESS_CLUSTER_MAX],
			struct failure *f);

void witness_encode_slot(const struct guid *region, const struct witness_record *record,
			 struct witness_slot *ret_slot);
/* A slot of `node`, of this region. BAD: torn, another's, or it contradicts itself. */
void witness_decode_slot(const struct guid *region, uint32_t node,
			 const uint8_t bytes[WITNESS_RECORD_BYTES], struct witness_seen *ret_seen);

const char *witness_state_name(enum witness_state state);

#endif
