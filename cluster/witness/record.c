/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cluster/witness/record.h"

#include <errno.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/guid.h"
#include "base/util.h"

#define SUMMED_BYTES offsetof(struct witness_slot, sum)

static const struct guid nobody;

static bool all_zero(const void *bytes, size_t len)
{
	const uint8_t *at = bytes;

	while (len && !at[len - 1])
		len--;
	return len == 0;
}

unsigned witness_slot_of(uint32_t node, uint64_t count)
{
	return 2 * (node - 1) + (count & 1);
}

bool witness_ring_equal(const struct witness_ring *a, const struct witness_ring *b)
{
	return a->seq == b->seq && a->node == b->node && a->members == b->members;
}

const char *witness_state_name(enum witness_state state)
{
	static const char *const names[WITNESS_STATES] = {
		[WITNESS_IDLE] = "has no vote and wants none",
		[WITNESS_CLAIM] = "wants the vote",
		[WITNESS_HOLD] = "has the vote",
	};

	return names[state];
}

/* ---- the head ---- */

void witness_encode_head(const struct guid *region, const char *cluster,
			 struct witness_head *ret_head)
{
	size_t len = strnlen(cluster, WITNESS_CLUSTER_MAX - 1);

	*ret_head = (struct witness_head){
		.magic = WITNESS_HEAD_MAGIC,
		.version = WITNESS_VERSION,
		.nodes = WITNESS_NODES_MAX,
		.region = *region,
	};
	memcpy(ret_head->cluster, cluster, len);
	ret_head->sum = crc32c(0, ret_head, SUMMED_BYTES);
}

/* The name of a cluster goes to terminals and journals. */
static bool is_name(const uint8_t name[WITNESS_CLUSTER_MAX])
{
	size_t len = strnlen((const char *)name, WITNESS_CLUSTER_MAX);

	if (len == 0 || len == WITNESS_CLUSTER_MAX ||
	    !all_zero(name + len, WITNESS_CLUSTER_MAX - len))
		return false;
	for (size_t i = 0; i < len; i++) {
		if (name[i] < 0x20 || name[i] > 0x7e)
			return false;
	}
	return true;
}

int witness_decode_head(const char *name, const uint8_t bytes[WITNESS_RECORD_BYTES],
			struct guid *ret_region, char ret_cluster[WITNESS_CLUSTER_MAX],
			struct failure *f)
{
	struct witness_head h;

	memcpy(&h, bytes, sizeof(h));
	if (all_zero(&h, sizeof(h)))
		return fail(f, -ENODATA,
			    "%s is empty; make a witness there with 'oya-witness --init %s'", name,
			    name);
	if (memcmp(h.magic, WITNESS_HEAD_MAGIC, sizeof(h.magic)) != 0 ||
	    h.sum != crc32c(0, &h, SUMMED_BYTES))
		return fail(f, -EBADMSG,
			    "%s holds something that is no witness; name the right disk or file",
			    name);
	if (h.version != WITNESS_VERSION)
		return fail(f, -EPROTONOSUPPORT,
			    "the witness %s is of version %u, and this program knows version %u; "
			    "update it",
			    name, h.version, WITNESS_VERSION);
	if (h.nodes != WITNESS_NODES_MAX || guid_equal(&h.region, &nobody) || !is_name(h.cluster) ||
	    !all_zero(h.zero, sizeof(h.zero)))
		return fail(f, -EBADMSG,
			    "the witness %s contradicts itself; once the cluster is down, zero its "
			    "first block and make it anew",
			    name);
	*ret_region = h.region;
	memcpy(ret_cluster, h.cluster, sizeof(h.cluster));
	return 0;
}

/* ---- slots ---- */

void witness_encode_slot(const struct guid *region, const struct witness_record *record,
			 struct witness_slot *ret_slot)
{
	*ret_slot = (struct witness_slot){
		.magic = WITNESS_SLOT_MAGIC,
		.version = WITNESS_VERSION,
		.node = record->node,
		.region = *region,
		.count = record->count,
		.state = record->state,
		.held = record->held,
		.ring_seq = record->ring.seq,
		.ring_node = record->ring.node,
		.members = record->ring.members,
		.since_s = record->since_s,
	};
	ret_slot->sum = crc32c(0, ret_slot, SUMMED_BYTES);
}

/* Who is not idle is in a partition, and only a claim tells what was before. */
static bool makes_sense(const struct witness_slot *s, uint32_t node)
{
	return s->node == node && s->count > 0 && s->count <= WITNESS_COUNT_MAX &&
	       s->state < WITNESS_STATES && s->held <= (s->state == WITNESS_CLAIM) &&
	       (s->state == WITNESS_IDLE || s->members & UINT32_C(1) << (node - 1)) &&
	       all_zero(s->zero, sizeof(s->zero));
}

void witness_decode_slot(const struct guid *region, uint32_t node,
			 const uint8_t bytes[WITNESS_RECORD_BYTES], struct witness_seen *ret_seen)
{
	struct witness_slot s;
	uint32_t sum;

	memcpy(&s, bytes, sizeof(s));
	sum = crc32c(0, &s, SUMMED_BYTES);
	*ret_seen = (struct witness_seen){.digest = (uint64_t)sum << 32 | s.sum};
	if (all_zero(&s, sizeof(s))) {
		ret_seen->kind = WITNESS_EMPTY;
		return;
	}
	ret_seen->kind = WITNESS_BAD;
	if (memcmp(s.magic, WITNESS_SLOT_MAGIC, sizeof(s.magic)) != 0 || s.sum != sum ||
	    s.version != WITNESS_VERSION || !guid_equal(&s.region, region) ||
	    !makes_sense(&s, node))
		return;
	ret_seen->kind = WITNESS_GOOD;
	ret_seen->record = (struct witness_record){
		.node = s.node,
		.count = s.count,
		.state = (enum witness_state)s.state,
		.held = s.held,
		.ring = {.seq = s.ring_seq, .node = s.ring_node, .members = s.members},
		.since_s = s.since_s,
	};
}
