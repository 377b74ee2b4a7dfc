/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who has the vote of the witness: each node decides for itself, by what it writes into its own
 * slot and then reads in those of the others. Pure: time, partition and disk are passed in.
 *
 * A cycle is arbiter_write(), the write of that record to the disk, a read of all slots, and
 * arbiter_read(). A cycle that failed on the way just is not ended. Between cycles
 * arbiter_members() and arbiter_vote() may be called at any time.
 *
 * Invariants (docs/design/witness.md has the reasons):
 *  1. two nodes whose arbiter_vote() is YES at one moment are of the same partition;
 *  2. YES is for `vote_ns` from the beginning of the first of the last two cycles that ended well;
 *  3. YES begins only with two cycles, one behind the other, that wrote a claim for this partition,
 *     one in each of the node's slots, and found it there; and the second found no rival;
 *  4. it goes on only with two such cycles of which the second ended before it had lapsed;
 *  5. nobody enters who has not read all slots, without a gap of vote_ns, for expire_ns, or of
 *     whom a cycle has failed in that time;
 *  6. a node counts as gone only after both of its slots were the same for `expire_ns`, which is
 *     more than vote_ns and what corosync adds.
 *
 * Times are nanoseconds of CLOCK_BOOTTIME. Trust: slots are hostile, decoded by record.c.
 */
#ifndef OYA_CLUSTER_WITNESS_ARBITER_H
#define OYA_CLUSTER_WITNESS_ARBITER_H

#include <stdbool.h>
#include <stdint.h>

#include "cluster/witness/record.h"

enum arbiter_state {
	ARBITER_WATCH, /* learns what the others do, for expire_ns: it began, or could not read */
	ARBITER_IDLE,  /* it may not have the vote, or another partition has it or goes first */
	ARBITER_CLAIM, /* it wants the vote */
	ARBITER_HOLD,
	ARBITER_STATES
};

enum arbiter_vote {
	ARBITER_NO,
	ARBITER_YES,
	ARBITER_UNDECIDED, /* the partition is new: corosync should wait a little */
};

struct arbiter_settings {
	uint32_t node;       /* id: 1 to WITNESS_NODES_MAX */
	uint64_t vote_ns;    /* how long the vote lasts */
	uint64_t expire_ns;  /* after which a slot that is the same counts as gone */
	uint64_t contest_ns; /* for which a new partition may be undecided */
	uint64_t period_ns;  /* between cycles */
};

/* From corosync's timeouts of its quorum device, in milliseconds. */
struct arbiter_settings arbiter_settings_of(uint32_t node, uint32_t timeout_ms,
					    uint32_t sync_timeout_ms);

/* What is known of another node's slots. */
struct arbiter_peer {
	bool known, was_good[2];
	struct witness_seen seen[2];
	uint64_t since_ns; /* when both were read first as they are */
};

struct arbiter {
	struct arbiter_settings set;
	unsigned state;                 /* enum arbiter_state */
	struct witness_ring ring, past; /* past: in which it last had the vote */
	uint32_t nodes;                 /* of the cluster */
	bool held;
	uint64_t ring_ns, cycle_ns;  /* when it changed; when the newest cycle began */
	uint64_t first_ns;           /* when the cycle before began, if it ended as 3. says; or 0 */
	uint64_t until_ns;           /* HOLD: when it lapses */
	uint64_t read_ns, steady_ns; /* of the newest read, of the first of those without a gap */
	uint64_t unsure_ns;          /* when a cycle failed last: its write may come late */
	bool open;                   /* a cycle has begun, and not ended well */
	struct witness_record written; /* of the newest cycle */
	uint32_t rival;                /* id of the node that keeps it from the vote; 0: none */
	bool own_lost;                 /* the newest cycle did not find what it wrote */
	struct arbiter_peer peer[WITNESS_NODES_MAX];
};

/* own: what the node's slots hold as it begins. */
void arbiter_init(struct arbiter *a, const struct arbiter_settings *set,
		  const struct witness_seen own[2]);

/* The node is in this partition now, of a cluster of so many nodes. */
void arbiter_members(struct arbiter *a, const struct witness_ring *ring, uint32_t nodes,
		     uint64_t now_ns);

/* Begins a cycle: what to write. */
void arbiter_write(struct arbiter *a, uint64_t now_ns, uint64_t since_s,
		   struct witness_record *ret_record);
/* Ends it: all slots, as read after the write was done. */
void arbiter_read(struct arbiter *a, const struct witness_seen seen[WITNESS_SLOTS_MAX],
		  uint64_t now_ns);

/* Whether the next record says that it is idle: corosync must not count its vote any more. */
bool arbiter_is_idle(const struct arbiter *a);
/* What to tell corosync now. */
enum arbiter_vote arbiter_vote(struct arbiter *a, uint64_t now_ns);
/* How long to wait from the beginning of this cycle to the next. */
uint64_t arbiter_pause_ns(const struct arbiter *a);
/* Until when arbiter_vote() stays as it is, by itself. UINT64_MAX: for good. */
uint64_t arbiter_due_ns(const struct arbiter *a, uint64_t now_ns);

const char *arbiter_state_name(const struct arbiter *a);

#endif
