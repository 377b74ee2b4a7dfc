/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Towards the guest: sections of the receive buffer, frames and RNDIS replies in them.
 *
 * Frames are written to sections and collect in the batch of their queue; a flush puts the
 * batch's sections into the ring as one transfer-page packet, and they are busy until the guest
 * completes that packet's transaction (internal.h, invariants 2, 3 and 5). A frame longer than
 * the MTU, which comes only while the guest coalesces, lies in several sections.
 *
 * Trust: the guest may rewrite the receive buffer at will; nothing is read back from it.
 */
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/util.h"
#include "devices/net/internal.h"

#define SECTION_PIECES 24u /* of host memory that one section may lie in */

static void sections_reset(struct netvsp *nic)
{
	for (unsigned i = 0; i < NETVSP_QUEUES; i++)
		nic->queue[i].batch.count = 0;
	for (uint32_t i = 0; i < nic->section_count; i++) {
		if (nic->generation[i] & 1)
			nic->generation[i]++;
		/* Top of the stack is section 0. */
		nic->free_stack[i] = (uint16_t)(nic->section_count - 1 - i);
	}
	nic->free_count = nic->section_count;
}

int netvsp_rx_buffer(struct netvsp *nic, uint32_t gpadl, uint16_t id)
{
	int64_t len = vmbus_gpadl_len(nic->queue[0].ch, gpadl);

	if (len < 0)
		return -ENOENT;
	if ((uint64_t)len / nic->section_bytes < NETVSP_SECTIONS_MIN)
		return -ENOSPC;
	nic->rx_gpadl = gpadl;
	nic->rx_set_id = id;
	nic->section_count =
		(uint32_t)min_u64((uint64_t)len / nic->section_bytes, NETVSP_SECTIONS_MAX);
	sections_reset(nic);
	return 0;
}

void netvsp_rx_revoke(struct netvsp *nic)
{
	sections_reset(nic);
	nic->section_count = nic->free_count = 0;
	nic->reply_count = 0;
}

static void chain_free(struct netvsp *nic, uint16_t first)
{
	for (uint16_t at = first; at != NETVSP_NO_NEXT; at = nic->next[at])
		nic->free_stack[nic->free_count++] = at;
}

void netvsp_rx_forget(struct netvsp_queue *q)
{
	if (q->batch.count)
		chain_free(q->nic, q->batch.first);
	q->batch.count = 0;
}

int netvsp_rx_completed(struct netvsp_queue *q, uint64_t transaction)
{
	struct netvsp *nic = q->nic;
	uint32_t index = (uint32_t)transaction, generation = (uint32_t)(transaction >> 32);

	/* What was under way when the buffer was revoked. */
	if (nic->state != NETVSP_RUNNING)
		return 0;
	if (index >= nic->section_count || !(generation & 1) ||
	    nic->generation[index] != generation) {
		vmbus_channel_fault(q->ch, "a completion of no transaction of ours");
		return -EPROTO;
	}
	nic->generation[index]++;
	chain_free(nic, (uint16_t)index);
	return 0;
}

/* Writes head and body to section `index`; -EPROTO when the buffer vanished. Together at most
 * section_bytes. */
static int section_write(struct netvsp *nic, uint32_t index, const struct iovec *parts,
			 unsigned count, size_t len)
{
	struct iovec to[SECTION_PIECES];
	struct vmbus_channel *ch = nic->queue[0].ch;
	unsigned pieces = 0, at = 0;
	int r = vmbus_gpadl_iov(ch, nic->rx_gpadl, (uint64_t)index * nic->section_bytes, len, to,
				SECTION_PIECES, &pieces);

	if (r < 0) {
		vmbus_channel_fault(ch, "the receive buffer is gone");
		return -EPROTO;
	}
	for (unsigned i = 0; i < count; i++) {
		const uint8_t *from = parts[i].iov_base;
		size_t left = parts[i].iov_len;

		while (left) {
			size_t n = min_u64(left, to[at].iov_len);

			memcpy(to[at].iov_base, from, n);
			to[at].iov_base = (uint8_t *)to[at].iov_base + n;
			to[at].iov_len -= n;
			if (!to[at].iov_len)
				at++;
			from += n;
			left -= n;
		}
	}
	return 0;
}

/* Takes the top of the stack, written by section_write(), into the batch. */
static void batch_add(struct netvsp_queue *q, size_t len)
{
	struct netvsp *nic = q->nic;
	struct netvsp_batch *b = &q->batch;
	uint16_t index = nic->free_stack[--nic->free_count];

	nic->next[index] = NETVSP_NO_NEXT;
	if (b->count)
		nic->next[b->last] = index;
	else
		b->first = index;
	b->last = index;
	b->range[b->count++] = (struct vmbus_transfer_range){
		.byte_count = (uint32_t)len,
		.byte_offset = index * nic->section_bytes,
	};
}

/* Puts the batch into the ring; -EAGAIN when there is no room, -EPROTO when the guest broke the
 * channel. */
static int batch_send(struct netvsp_queue *q, uint32_t channel)
{
	struct netvsp *nic = q->nic;
	struct netvsp_batch *b = &q->batch;
	union {
		struct nvsp_rndis rndis;
		uint8_t bytes[NVSP_MESSAGE_BYTES_V6_1];
	} msg = {.bytes = {0}};
	uint64_t transaction;
	int r;

	if (!b->count)
		return 0;
	msg.rndis = (struct nvsp_rndis){
		.type = NVSP_MSG_RNDIS,
		.channel = channel,
		.section = NVSP_NO_SECTION,
	};
	transaction = (uint64_t)(nic->generation[b->first] + 1) << 32 | b->first;
	r = vmbus_channel_send_transfer(q->ch, nic->rx_set_id, b->range, b->count, transaction,
					&msg, nic->message_bytes);
	if (r == -EPROTO)
		netvsp_rx_forget(q);
	if (r < 0)
		return r;
	nic->generation[b->first]++;
	b->count = 0;
	return 0;
}

void netvsp_rx_flush(void *owner)
{
	struct netvsp *nic = owner;

	for (unsigned i = 0; i < nic->queues; i++) {
		struct netvsp_queue *q = &nic->queue[i];

		if (!q->batch.count || !q->ch)
			continue;
		if (batch_send(q, NVSP_CHANNEL_DATA) == 0)
			vmbus_channel_flush(q->ch);
	}
}

struct incoming {
	const uint8_t *frame;
	size_t len;
	size_t untagged; /* the first bytes that come before a tag that was taken out; 0: none */
	struct rndis_frame_notes notes;
	struct netvsp_queue *q;
};

static bool frame_passes(const struct netvsp *nic, const uint8_t *frame, size_t len,
			 unsigned segments)
{
	const struct rndis_offloads *o = &nic->rndis.offloads;

	if (nic->state != NETVSP_RUNNING || len < ETHERNET_HEADER || !nic->rndis.link_up ||
	    !rndis_filter_passes(&nic->rndis, frame))
		return false;
	switch (segments) {
	case 0:
		return len <= nic->frame_max;
	case NETPORT_TCP4:
		return o->coalesce_ip4 && len <= NETPORT_FRAME_MAX;
	case NETPORT_TCP6:
		return o->coalesce_ip6 && len <= NETPORT_FRAME_MAX;
	default:
		return false;
	}
}

/* The checksum of a whole frame is completed here, since the guest may send it on; that of a
 * coalesced one is not, since no guest that forwards coalesces. */
static void note_checksum(const struct netvsp *nic, uint8_t *frame, size_t len,
			  const struct netport_facts *facts, const struct flow *flow,
			  struct rndis_frame_notes *notes)
{
	bool good = facts->checksum_valid;

	if (facts->checksum_missing) {
		good = facts->segments || flow_complete_checksum(frame, len, facts->checksum_start,
								 facts->checksum_offset) == 0;
	}
	if (!good || !nic->rndis.offloads.receive_checksum || !flow->transport)
		return;
	notes->checksum = flow->protocol == FLOW_TCP ? RNDIS_RECEIVE_CHECKSUM_TCP
						     : RNDIS_RECEIVE_CHECKSUM_UDP;
	if (facts->segments && facts->checksum_missing)
		notes->checksum |= RNDIS_RECEIVE_CHECKSUM_TCP_INVALID;
}

static void note_tag(const struct netvsp *nic, struct incoming *in)
{
	if (!(nic->capabilities & NVSP_CAPABILITY_VLAN) ||
	    in->len < ETHERNET_HEADER + ETHERNET_TAG ||
	    be16_load(in->frame + ETHERNET_ADDRESSES) != ETHERTYPE_VLAN)
		return;
	in->notes.has_vlan = true;
	in->notes.vlan_tci = be16_load(in->frame + ETHERNET_HEADER);
	in->untagged = ETHERNET_ADDRESSES;
}

static void choose_queue(struct netvsp *nic, const struct flow *flow, struct incoming *in)
{
	const struct rndis_rss *rss = &nic->rndis.rss;
	struct netvsp_queue *q;

	in->q = &nic->queue[0];
	if (!rss->on || nic->queues == 1)
		return;
	in->notes.hash = flow_hash(in->frame, flow, rss->key, rss->types);
	in->notes.has_hash = in->notes.hash != 0;
	q = &nic->queue[rss->table[in->notes.hash & (rss->entries - 1u)]];
	if (q->ch && vmbus_channel_is_open(q->ch))
		in->q = q;
}

/* Writes [at, at + len) of the frame, its tag left out, as one part. */
static int write_part(struct netvsp *nic, struct incoming *in, size_t at, size_t len)
{
	uint8_t head[RNDIS_HEAD_ROOM];
	size_t head_len = rndis_packet_build(head, (uint32_t)len, &in->notes);
	const uint8_t *body = in->frame + (in->untagged ? ETHERNET_TAG : 0) + at;
	size_t before = at < in->untagged ? in->untagged - at : 0;
	struct iovec parts[3] = {
		{.iov_base = head, .iov_len = head_len},
		{.iov_base = (uint8_t *)(uintptr_t)in->frame + at, .iov_len = before},
		{.iov_base = (uint8_t *)(uintptr_t)body + before, .iov_len = len - before},
	};
	int r = section_write(nic, nic->free_stack[nic->free_count - 1], parts, 3, head_len + len);

	if (r == 0)
		batch_add(in->q, head_len + len);
	return r;
}

static size_t parts_of(const struct netvsp *nic, size_t len)
{
	size_t room = nic->section_bytes - RNDIS_HEAD_ROOM;

	return (len + room - 1) / room;
}

/* 0 when there are sections for the frame, and places in the batch; -EAGAIN. */
static int make_room(struct netvsp *nic, const struct incoming *in)
{
	size_t count = parts_of(nic, in->len);

	if (in->q->batch.count + count > NETVSP_RANGES_MAX)
		netvsp_rx_flush(nic);
	return nic->free_count < count + NETVSP_CONTROL_RESERVE ||
			       in->q->batch.count + count > NETVSP_RANGES_MAX
		       ? -EAGAIN
		       : 0;
}

static int write_frame(struct netvsp *nic, struct incoming *in)
{
	size_t room = nic->section_bytes - RNDIS_HEAD_ROOM, at = 0;
	size_t len = in->len - (in->untagged ? ETHERNET_TAG : 0);
	bool many = len > room;

	while (at < len) {
		size_t n = min_u64(len - at, room);
		int r;

		if (many)
			in->notes.part =
				(uint8_t)(RNDIS_PART_OF_MANY | (at ? 0 : RNDIS_PART_FIRST) |
					  (at + n < len ? 0 : RNDIS_PART_LAST));
		r = write_part(nic, in, at, n);
		if (r < 0)
			return r;
		at += n;
	}
	return 0;
}

int netvsp_rx_frame(void *owner, void *frame, size_t len, const struct netport_facts *facts)
{
	static const struct netport_facts none;
	struct netvsp *nic = owner;
	struct incoming in = {.frame = frame, .len = len};
	struct flow flow;

	if (!facts)
		facts = &none;
	if (!frame_passes(nic, frame, len, facts->segments)) {
		nic->stats.received_dropped++;
		return 0;
	}
	flow = flow_decode(frame, len);
	choose_queue(nic, &flow, &in);
	if (make_room(nic, &in) < 0) {
		netvsp_rx_flush(nic);
		nic->stats.received_held++;
		nic->wanting = false;
		nic->port->ops->want(nic->port->ctx, false);
		return -EAGAIN;
	}
	note_tag(nic, &in);
	note_checksum(nic, frame, len, facts, &flow, &in.notes);
	if (write_frame(nic, &in) < 0) {
		nic->stats.received_dropped++;
		return 0;
	}
	nic->stats.received_frames++;
	nic->stats.received_bytes += len;
	return 0;
}

/* Tells the back end to go on once there is some room, or once nobody wants the frames and they
 * are to be dropped rather than to grow old. Comes last in any call: the back end may give
 * frames from within. */
void netvsp_rx_update_want(struct netvsp *nic)
{
	uint32_t enough;

	netvsp_rx_flush(nic);
	if (nic->wanting)
		return;
	enough = min_u32(nic->section_count / 4, NETVSP_RESUME_SECTIONS) + NETVSP_CONTROL_RESERVE;
	if (nic->state == NETVSP_RUNNING && vmbus_channel_is_open(nic->queue[0].ch)) {
		if (nic->free_count < enough + 1)
			return;
		for (unsigned i = 0; i < nic->queues; i++) {
			if (nic->queue[i].batch.count)
				return;
		}
	}
	nic->wanting = true;
	nic->port->ops->want(nic->port->ctx, true);
}

void netvsp_rx_update_features(struct netvsp *nic)
{
	const struct rndis_offloads *o = &nic->rndis.offloads;
	unsigned features = 0;

	/* Missing checksums are completed here, or belong to coalesced frames. */
	if (nic->state == NETVSP_RUNNING && o->receive_checksum)
		features = NETPORT_CHECKSUM;
	if (features && (nic->capabilities & NVSP_CAPABILITY_RSC))
		features |=
			(o->coalesce_ip4 ? NETPORT_TCP4 : 0) | (o->coalesce_ip6 ? NETPORT_TCP6 : 0);
	if (features == nic->accepted)
		return;
	nic->accepted = features;
	if (nic->port->ops->accept)
		nic->port->ops->accept(nic->port->ctx, features);
}

struct netvsp_reply *netvsp_reply_slot(struct netvsp *nic)
{
	if (nic->reply_count == NETVSP_REPLIES_MAX)
		return NULL;
	return &nic->reply[(nic->reply_first + nic->reply_count) % NETVSP_REPLIES_MAX];
}

void netvsp_reply_queue(struct netvsp *nic, size_t len)
{
	struct netvsp_reply *slot = netvsp_reply_slot(nic);

	slot->len = len;
	nic->reply_count++;
	netvsp_reply_flush(nic);
}

/* A reply goes alone; frames that came before it are sent first. */
static int reply_send(struct netvsp *nic, const struct netvsp_reply *reply)
{
	struct netvsp_queue *q = &nic->queue[0];
	struct iovec part = {.iov_base = (uint8_t *)(uintptr_t)reply->bytes, .iov_len = reply->len};
	int r = batch_send(q, NVSP_CHANNEL_DATA);

	if (r < 0 || !nic->free_count)
		return r < 0 ? r : -EAGAIN;
	r = section_write(nic, nic->free_stack[nic->free_count - 1], &part, 1, reply->len);
	if (r < 0)
		return r;
	batch_add(q, reply->len);
	r = batch_send(q, NVSP_CHANNEL_CONTROL);
	if (r < 0)
		netvsp_rx_forget(q);
	return r;
}

void netvsp_reply_flush(struct netvsp *nic)
{
	while (nic->state == NETVSP_RUNNING && nic->reply_count) {
		if (reply_send(nic, &nic->reply[nic->reply_first]) < 0)
			return;
		nic->reply_first = (nic->reply_first + 1) % NETVSP_REPLIES_MAX;
		nic->reply_count--;
	}
}
