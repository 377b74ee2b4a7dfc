/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Towards the guest: sections of the receive buffer, frames and RNDIS replies in them.
 *
 * Frames are written to sections and collect in the batch of their queue; a flush puts the
 * batch's sections into the ring as one transfer-page packet, and they are busy until the guest
 * completes that packet's transaction (internal.h, invariants 2, 3 and 5). A frame longer than
 * the MTU, which comes only while the guest coalesces, lies in several sections.
 *
 * Of such a frame the back end may read all but the first frame_max bytes straight to the free
 * sections that it will get (netvsp_rx_room()). Every decision is by those first bytes, which we
 * hold; a frame that does not pass leaves its rest in free sections, where it means nothing.
 *
 * Trust: the guest may rewrite the receive buffer at will; nothing is read back from it.
 */
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/util.h"
#include "devices/net/internal.h"

#define SECTION_PIECES 24u /* of host memory that one section may lie in */

/* Where the bytes of a frame begin that were put into their section before its head is known: a
 * tag that is taken out leaves room for the longest head. */
#define PLACED_AT (RNDIS_HEAD_ROOM - ETHERNET_TAG)

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
			gmem_written(vmbus_gmem(nic->bus), to[at].iov_base, n);
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
	uint8_t *frame;
	size_t len;
	size_t held;                    /* bytes at `frame`; the rest is in its sections */
	struct rndis_frame_notes notes; /* has_vlan: the tag is to be taken out of the frame */
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
	size_t tag = !at && in->notes.has_vlan ? ETHERNET_TAG : 0;
	size_t before = tag ? ETHERNET_ADDRESSES : 0;
	size_t own = at < in->held ? min_u64(len, in->held - at) : 0;
	size_t least = in->held < in->len ? PLACED_AT + tag : 0;
	uint8_t head[RNDIS_HEAD_ROOM];
	size_t head_len = rndis_packet_build(head, least, (uint32_t)(len - tag), &in->notes);
	struct iovec parts[3] = {{.iov_base = head, .iov_len = head_len}};
	int r;

	if (own) {
		parts[1] = (struct iovec){.iov_base = in->frame + at, .iov_len = before};
		parts[2] = (struct iovec){.iov_base = in->frame + at + before + tag,
					  .iov_len = own - before - tag};
		own -= tag;
	}
	r = section_write(nic, nic->free_stack[nic->free_count - 1], parts, 3, head_len + own);
	if (r == 0)
		batch_add(in->q, head_len + len - tag);
	return r;
}

/* Bytes of a frame that one section has room for. */
static size_t part_bytes(const struct netvsp *nic)
{
	return nic->section_bytes - RNDIS_HEAD_ROOM;
}

static size_t parts_of(const struct netvsp *nic, size_t len)
{
	return (len + part_bytes(nic) - 1) / part_bytes(nic);
}

/* Whether the batch has places for `count` more sections; it may be sent to get them. */
static bool batch_takes(struct netvsp_queue *q, size_t count)
{
	if (q->batch.count + count > NETVSP_RANGES_MAX)
		netvsp_rx_flush(q->nic);
	return q->batch.count + count <= NETVSP_RANGES_MAX;
}

static bool sections_suffice(const struct netvsp *nic, size_t count)
{
	return nic->free_count >= count + NETVSP_CONTROL_RESERVE;
}

static int write_frame(struct netvsp *nic, struct incoming *in)
{
	size_t room = part_bytes(nic);

	for (size_t at = 0; at < in->len; at += room) {
		size_t n = min_u64(in->len - at, room);
		int r;

		if (in->len > room)
			in->notes.part =
				(uint8_t)(RNDIS_PART_OF_MANY | (at ? 0 : RNDIS_PART_FIRST) |
					  (at + n < in->len ? 0 : RNDIS_PART_LAST));
		r = write_part(nic, in, at, n);
		if (r < 0)
			return r;
	}
	return 0;
}

/* 0 when the frame is in a batch or dropped, -EAGAIN when there is no room for it. */
static int take_frame(struct netvsp *nic, struct incoming *in, const struct netport_facts *facts)
{
	size_t count = parts_of(nic, in->len);
	struct flow flow;

	if (!frame_passes(nic, in->frame, in->len, facts->segments)) {
		nic->stats.received_dropped++;
		return 0;
	}
	flow = flow_decode(in->frame, in->held);
	choose_queue(nic, &flow, in);
	if (!batch_takes(in->q, count) || !sections_suffice(nic, count))
		return -EAGAIN;
	note_tag(nic, in);
	note_checksum(nic, in->frame, in->held, facts, &flow, &in->notes);
	if (write_frame(nic, in) < 0) {
		nic->stats.received_dropped++;
		return 0;
	}
	nic->stats.received_frames++;
	nic->stats.received_bytes += in->len;
	return 0;
}

int netvsp_rx_frame(void *owner, void *frame, size_t len, const struct netport_facts *facts)
{
	static const struct netport_facts none;
	struct netvsp *nic = owner;
	struct incoming in = {.frame = frame, .len = len, .held = len};

	if (take_frame(nic, &in, facts ? facts : &none) == 0)
		return 0;
	netvsp_rx_flush(nic);
	nic->stats.received_held++;
	nic->wanting = false;
	nic->port->ops->want(nic->port->ctx, false);
	return -EAGAIN;
}

/* The sections on top of the stack, which the next frame gets whatever its queue: they are not
 * taken off it, so a frame that needs fewer or none has nothing to give back. */
unsigned netvsp_rx_room(void *owner, struct iovec iov[NETPORT_ROOM_MAX], size_t *ret_head)
{
	struct netvsp *nic = owner;
	size_t count = parts_of(nic, NETPORT_FRAME_MAX), skip = nic->frame_max;
	unsigned pieces = 0;

	/* With the cable out the guest is not to see even what it will not be given. */
	if (!nic->rndis.link_up || !(nic->accepted & (NETPORT_TCP4 | NETPORT_TCP6)))
		return 0;
	for (unsigned i = 0; i < nic->queues; i++) {
		if (nic->queue[i].ch && !batch_takes(&nic->queue[i], count))
			return 0;
	}
	if (nic->state != NETVSP_RUNNING || !sections_suffice(nic, count))
		return 0;
	for (size_t i = 0; i < count; i++, skip = 0) {
		uint64_t section = nic->free_stack[nic->free_count - 1 - i];
		unsigned n = 0;

		if (vmbus_gpadl_iov(nic->queue[0].ch, nic->rx_gpadl,
				    section * nic->section_bytes + PLACED_AT + skip,
				    part_bytes(nic) - skip, iov + pieces, NETPORT_ROOM_MAX - pieces,
				    &n) < 0)
			return 0;
		pieces += n;
	}
	*ret_head = nic->frame_max;
	return pieces;
}

void netvsp_rx_placed(void *owner, void *head, size_t len, const struct netport_facts *facts)
{
	struct netvsp *nic = owner;
	struct incoming in = {.frame = head, .len = len, .held = nic->frame_max};
	size_t count = parts_of(nic, len);

	for (size_t i = 0; i < count && i < nic->free_count; i++)
		vmbus_gpadl_written(nic->queue[0].ch, nic->rx_gpadl,
				    (uint64_t)nic->free_stack[nic->free_count - 1 - i] *
					    nic->section_bytes,
				    nic->section_bytes);
	/* The place for it was seen to before it was read, so this is a frame lost by a fault. */
	if (take_frame(nic, &in, facts) < 0)
		nic->stats.received_dropped++;
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
