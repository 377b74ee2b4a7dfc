/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The NIC as a record of a saved state (netvsp.h).
 *
 * Both directions go by a copy of the NIC: what is written is tidied up there, and what is read is
 * checked there, all of it, before any of it becomes the NIC's. The copy is a fixed size, by
 * NETVSP_SECTIONS_MAX.
 *
 * The channels come after the record, and maybe never: until the primary one is reopened the
 * protocol's state is kept aside and the NIC counts as closed, so that nobody talks through a
 * channel that is not there (internal.h, invariant 7).
 *
 * Trust: what is read is hostile. The buffers of the guest that it names are looked up at each use
 * anyway; sections, chains and tables are checked here, since nobody does later.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "devices/net/internal.h"

struct copy {
	struct netvsp nic;
	uint32_t generation[NETVSP_SECTIONS_MAX];
	uint16_t free_stack[NETVSP_SECTIONS_MAX];
	uint16_t next[NETVSP_SECTIONS_MAX];
	bool met[NETVSP_SECTIONS_MAX]; /* sections whose place is known */
};

/* What nobody looks at any more is made the same in every record. */
static void tidy(struct netvsp *nic)
{
	if (nic->kept)
		nic->state = nic->kept;
	for (uint32_t i = 0; i < nic->free_count; i++)
		nic->next[nic->free_stack[i]] = NETVSP_NO_NEXT;
	for (unsigned i = 0; i < NETVSP_QUEUES; i++) {
		struct netvsp_queue *q = &nic->queue[i];

		if (!q->batch.count)
			q->batch.first = 0;
		if (!q->pending) {
			q->pending_transaction = 0;
			q->pending_len = 0;
		}
	}
}

static struct copy *copy_of(const struct netvsp *nic)
{
	struct copy *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->nic = *nic;
	c->nic.generation = c->generation;
	c->nic.free_stack = c->free_stack;
	c->nic.next = c->next;
	memcpy(c->generation, nic->generation, sizeof(c->generation));
	memcpy(c->free_stack, nic->free_stack, sizeof(c->free_stack));
	memcpy(c->next, nic->next, sizeof(c->next));
	tidy(&c->nic);
	return c;
}

/* ---- fields ---- */

static void protocol_fields(struct record *r, struct netvsp *nic)
{
	record_limited(r, "state", &nic->state, NETVSP_RUNNING);
	record_u32(r, "message_bytes", &nic->message_bytes);
	record_u64(r, "capabilities", &nic->capabilities);
	record_limited(r, "queues", &nic->queues, nic->config.queues);
	record_u32(r, "send_gpadl", &nic->tx_gpadl);
	record_u32(r, "send_sections", &nic->tx_sections);
}

static void section_fields(struct record *r, struct netvsp *nic)
{
	uint32_t section_bytes = nic->section_bytes;
	size_t free_len = nic->free_count * sizeof(uint16_t);
	unsigned known = NETVSP_SECTIONS_MAX;

	/* A section that is no longer there, after a smaller buffer, keeps its generation. */
	while (known && !nic->generation[known - 1])
		known--;
	record_u32(r, "section_bytes", &section_bytes);
	if (section_bytes != nic->section_bytes)
		record_refuse(r, "a section has %u bytes, here it has %u", section_bytes,
			      nic->section_bytes);
	record_u32(r, "receive_gpadl", &nic->rx_gpadl);
	record_u16(r, "receive_set", &nic->rx_set_id);
	record_limited(r, "sections", &nic->section_count, NETVSP_SECTIONS_MAX);
	record_limited(r, "generations", &known, NETVSP_SECTIONS_MAX);
	record_u32s(r, "generation", nic->generation, known);
	record_some_bytes(r, "free", nic->free_stack, &free_len,
			  nic->section_count * sizeof(uint16_t));
	if (free_len % sizeof(uint16_t))
		record_refuse(r, "half a section is free");
	nic->free_count = (uint32_t)(free_len / sizeof(uint16_t));
	record_bytes(r, "next", nic->next, nic->section_count * sizeof(uint16_t));
}

/* Where the bytes of a batch lie follows from its chain. */
static void batch_fields(struct record *r, struct netvsp_batch *b)
{
	uint32_t bytes[NETVSP_RANGES_MAX] = {0};

	for (unsigned i = 0; i < b->count; i++)
		bytes[i] = b->range[i].byte_count;
	record_limited(r, "batch", &b->count, NETVSP_RANGES_MAX);
	record_u16(r, "batch_first", &b->first);
	record_u32s(r, "batch_bytes", bytes, b->count);
	for (unsigned i = 0; i < b->count; i++)
		b->range[i].byte_count = bytes[i];
}

static void queue_fields(struct record *r, struct netvsp_queue *q)
{
	size_t len = q->pending_len;

	batch_fields(r, &q->batch);
	record_bool(r, "pending", &q->pending);
	record_u64(r, "pending_transaction", &q->pending_transaction);
	record_some_bytes(r, "pending_answer", q->pending_payload, &len,
			  sizeof(q->pending_payload));
	q->pending_len = (uint32_t)len;
}

static void reply_fields(struct record *r, struct netvsp *nic)
{
	record_limited(r, "replies", &nic->reply_count, NETVSP_REPLIES_MAX);
	for (unsigned i = 0; i < nic->reply_count; i++) {
		struct netvsp_reply *reply =
			&nic->reply[(nic->reply_first + i) % NETVSP_REPLIES_MAX];

		record_some_bytes(r, "reply", reply->bytes, &reply->len, sizeof(reply->bytes));
		if (!reply->len)
			record_refuse(r, "a reply is empty");
	}
}

static void rndis_fields(struct record *r, struct rndis_device *dev)
{
	struct rndis_rss *rss = &dev->rss;
	uint32_t features = dev->features;
	unsigned entries = rss->entries;

	record_limited(r, "rndis_state", &dev->state, RNDIS_OPERATIONAL);
	record_u32(r, "filter", &dev->filter);
	record_u32(r, "lookahead", &dev->lookahead);
	record_bool(r, "link_up", &dev->link_up);
	record_u32(r, "features", &features);
	/* The guest has been told of them, and sends by them without asking again. */
	if (features & ~dev->features)
		record_refuse(r, "the guest has offloads that its network has not");
	record_bool(r, "receive_checksum", &dev->offloads.receive_checksum);
	record_bool(r, "coalesce_ip4", &dev->offloads.coalesce_ip4);
	record_bool(r, "coalesce_ip6", &dev->offloads.coalesce_ip6);
	record_bool(r, "rss", &rss->on);
	record_u32(r, "rss_types", &rss->types);
	record_limited(r, "rss_entries", &entries, NDIS_RSS_TABLE_ENTRIES);
	rss->entries = (uint16_t)entries;
	record_bytes(r, "rss_table", rss->table, entries * sizeof(rss->table[0]));
	record_bytes(r, "rss_key", rss->key, sizeof(rss->key));
}

static void fields(struct record *r, struct netvsp *nic)
{
	protocol_fields(r, nic);
	section_fields(r, nic);
	for (unsigned i = 0; i < nic->queues; i++)
		queue_fields(r, &nic->queue[i]);
	reply_fields(r, nic);
	rndis_fields(r, &nic->rndis);
}

/* ---- what must hold of what was read ---- */

static void check_protocol(struct record *r, const struct netvsp *nic)
{
	bool agreed = nic->state >= NETVSP_AGREED, running = nic->state == NETVSP_RUNNING;

	if (nic->message_bytes != NVSP_MESSAGE_BYTES_V1 &&
	    nic->message_bytes != NVSP_MESSAGE_BYTES_V6_1 &&
	    (nic->message_bytes || nic->state != NETVSP_CLOSED))
		record_refuse(r, "messages of %u bytes", nic->message_bytes);
	if (!nic->queues || (nic->queues > 1 && !agreed))
		record_refuse(r, "%u queues in this state", nic->queues);
	if (nic->tx_sections == NVSP_NO_SECTION || (nic->tx_sections && !agreed))
		record_refuse(r, "a send buffer in this state");
	if (running ? nic->section_count < NETVSP_SECTIONS_MIN : nic->section_count > 0)
		record_refuse(r, "%u sections in this state", nic->section_count);
	if (nic->reply_count && !running)
		record_refuse(r, "replies in this state");
	if (nic->queue[0].pending && nic->state == NETVSP_CLOSED)
		record_refuse(r, "a completion in this state");
}

static bool power_of_two(unsigned n)
{
	return n && !(n & (n - 1));
}

static void check_rndis(struct record *r, const struct netvsp *nic)
{
	const struct rndis_device *dev = &nic->rndis;
	const struct rndis_offloads *o = &dev->offloads;
	const struct rndis_rss *rss = &dev->rss;
	unsigned needs = (o->receive_checksum ? NETPORT_CHECKSUM : 0) |
			 (o->coalesce_ip4 ? NETPORT_TCP4 : 0) |
			 (o->coalesce_ip6 ? NETPORT_TCP6 : 0);

	if (dev->state != RNDIS_UNINITIALIZED && nic->state < NETVSP_AGREED)
		record_refuse(r, "RNDIS talks in this state");
	if ((dev->state == RNDIS_OPERATIONAL) != (dev->filter != 0))
		record_refuse(r, "the filter is not that of its state");
	if (needs & ~dev->features)
		record_refuse(r, "an offload is on that its network has not");
	if (rss->entries ? !power_of_two(rss->entries) : rss->on)
		record_refuse(r, "a table of %u queues", rss->entries);
	for (unsigned i = 0; i < rss->entries; i++) {
		if (rss->table[i] >= nic->config.queues)
			record_refuse(r, "its table names queue %u", rss->table[i]);
	}
}

/* Walks the chain that begins at `first`: how many sections it has and the last, and where the
 * ranges of a batch lie; 0 when one is wild or has its place already. */
static unsigned walk(struct copy *c, unsigned first, struct netvsp_batch *batch)
{
	unsigned count = 0;

	for (unsigned at = first; at != NETVSP_NO_NEXT; at = c->next[at]) {
		if (at >= c->nic.section_count || c->met[at] || count == NETVSP_RANGES_MAX)
			return 0;
		c->met[at] = true;
		if (batch) {
			batch->last = (uint16_t)at;
			batch->range[count].byte_offset = at * c->nic.section_bytes;
		}
		count++;
	}
	return count;
}

static void check_batch(struct record *r, struct copy *c, struct netvsp_batch *b)
{
	if (b->count && walk(c, b->first, b) != b->count)
		record_refuse(r, "the sections of a batch are not what it counts");
	for (unsigned i = 0; i < b->count; i++) {
		if (b->range[i].byte_count > c->nic.section_bytes)
			record_refuse(r, "a section holds %u bytes", b->range[i].byte_count);
	}
}

/* Each section is in one place: free, or in a batch, or under way behind one of an odd generation.
 */
static void check_sections(struct record *r, struct copy *c)
{
	struct netvsp *nic = &c->nic;
	uint32_t placed = nic->free_count;

	for (uint32_t i = 0; i < nic->free_count; i++) {
		uint16_t at = c->free_stack[i];

		if (at >= nic->section_count || c->met[at]) {
			record_refuse(r, "section %u is free twice, or is none", at);
			return;
		}
		c->met[at] = true;
	}
	for (unsigned i = 0; i < nic->queues; i++) {
		check_batch(r, c, &nic->queue[i].batch);
		placed += nic->queue[i].batch.count;
	}
	for (uint32_t i = 0; i < NETVSP_SECTIONS_MAX; i++) {
		unsigned count = c->generation[i] & 1 ? walk(c, i, NULL) : 0;

		if (c->generation[i] & 1 && !count)
			record_refuse(r, "section %u is under way and elsewhere", i);
		placed += count;
	}
	if (placed != nic->section_count)
		record_refuse(r, "%u of %u sections have a place", placed, nic->section_count);
}

/* ---- reading ---- */

static void take_queue(struct netvsp_queue *q, const struct netvsp_queue *from)
{
	q->batch = from->batch;
	q->pending = from->pending;
	q->pending_transaction = from->pending_transaction;
	q->pending_len = from->pending_len;
	memcpy(q->pending_payload, from->pending_payload, sizeof(q->pending_payload));
}

/* Cannot fail: the sub-channels have been offered. */
static void become(struct netvsp *nic, const struct copy *c)
{
	const struct netvsp *from = &c->nic;

	nic->kept = from->state;
	nic->message_bytes = from->message_bytes;
	nic->capabilities = from->capabilities;
	nic->tx_gpadl = from->tx_gpadl;
	nic->tx_sections = from->tx_sections;
	nic->rx_gpadl = from->rx_gpadl;
	nic->rx_set_id = from->rx_set_id;
	nic->section_count = from->section_count;
	nic->free_count = from->free_count;
	memcpy(nic->generation, c->generation, sizeof(c->generation));
	memcpy(nic->free_stack, c->free_stack, sizeof(c->free_stack));
	memcpy(nic->next, c->next, sizeof(c->next));
	for (unsigned i = 0; i < nic->queues; i++)
		take_queue(&nic->queue[i], &from->queue[i]);
	memcpy(nic->reply, from->reply, sizeof(nic->reply));
	nic->reply_count = from->reply_count;
	nic->rndis = from->rndis;
}

static void take(struct netvsp *nic, struct record *r, struct copy *c)
{
	if (nic->state != NETVSP_CLOSED || nic->kept || nic->queues > 1) {
		record_refuse(r, "a driver has used the NIC");
		return;
	}
	fields(r, &c->nic);
	if (record_end(r) < 0)
		return;
	check_protocol(r, &c->nic);
	check_rndis(r, &c->nic);
	check_sections(r, c);
	if (!record_ok(r))
		return;
	if (netvsp_sub_offer(nic, c->nic.queues - 1) < c->nic.queues - 1) {
		netvsp_sub_rescind(nic);
		record_refuse(r, "its sub-channels cannot be offered");
		return;
	}
	become(nic, c);
}

void netvsp_state(struct netvsp *nic, struct record *r)
{
	struct copy *c = copy_of(nic);

	if (!c)
		record_refuse(r, "there is no memory");
	else if (r->reads)
		take(nic, r, c);
	else
		fields(r, &c->nic);
	free(c);
}

/* ---- the channels that were open ---- */

void netvsp_state_forget(struct netvsp *nic)
{
	if (!nic->kept)
		return;
	nic->kept = NETVSP_CLOSED;
	netvsp_rx_revoke(nic);
	nic->tx_sections = 0;
	netvsp_sub_rescind(nic);
}

void netvsp_reopen(void *dev, struct vmbus_channel *ch)
{
	struct netvsp_queue *q = dev;
	struct netvsp *nic = q->nic;

	if (q != &nic->queue[0]) {
		/* Maybe before the primary one; data alone goes through it, and none does without.
		 */
		q->ch = ch;
		return;
	}
	if (!nic->kept) {
		vmbus_channel_fault(ch, "it is open, but the NIC's state is that of a closed one");
		return;
	}
	q->ch = ch;
	nic->state = nic->kept;
	nic->kept = NETVSP_CLOSED;
}

int netvsp_set_instance(struct netvsp *nic, const struct guid *instance)
{
	int r = nic->state == NETVSP_CLOSED && !nic->kept
			? vmbus_offer_rename(nic->queue[0].offer, instance)
			: -EBUSY;

	if (r == 0)
		nic->config.instance = *instance;
	return r;
}
