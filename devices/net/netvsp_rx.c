/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Towards the guest: sections of the receive buffer, frames and RNDIS replies in them.
 *
 * A section is written, its number goes into the ring as a transfer-page packet, and it is busy
 * until the guest completes that packet's transaction (internal.h, invariants 2, 3 and 5).
 *
 * Trust: the guest may rewrite the receive buffer at will; nothing is read back from it.
 */
#include <errno.h>

#include "base/util.h"
#include "devices/net/internal.h"

static void sections_reset(struct netvsp *nic)
{
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
	nic->free_stack[nic->free_count++] = (uint16_t)index;
	return 0;
}

/* Sends head and body in one section; -EAGAIN when there is no section or no room in the ring,
 * -EPROTO when the guest broke the channel. Together at most section_bytes. */
static int section_send(struct netvsp *nic, uint32_t channel, const void *head, size_t head_len,
			const void *body, size_t body_len)
{
	struct vmbus_channel *ch = nic->queue[0].ch;
	struct vmbus_transfer_range range = {.byte_count = (uint32_t)(head_len + body_len)};
	union {
		struct nvsp_rndis rndis;
		uint8_t bytes[NVSP_MESSAGE_BYTES_V6_1];
	} msg = {.bytes = {0}};
	uint32_t index, reserve = channel == NVSP_CHANNEL_DATA ? NETVSP_CONTROL_RESERVE : 0;
	uint64_t transaction;
	int r;

	if (nic->free_count <= reserve)
		return -EAGAIN;
	index = nic->free_stack[nic->free_count - 1];
	range.byte_offset = index * nic->section_bytes;
	r = vmbus_gpadl_write(ch, nic->rx_gpadl, range.byte_offset, head, head_len);
	if (r == 0 && body_len)
		r = vmbus_gpadl_write(ch, nic->rx_gpadl, range.byte_offset + head_len, body,
				      body_len);
	if (r < 0) {
		vmbus_channel_fault(ch, "the receive buffer is gone");
		return -EPROTO;
	}
	msg.rndis = (struct nvsp_rndis){
		.type = NVSP_MSG_RNDIS,
		.channel = channel,
		.section = NVSP_NO_SECTION,
	};
	transaction = (uint64_t)(nic->generation[index] + 1) << 32 | index;
	r = vmbus_channel_send_transfer(ch, nic->rx_set_id, &range, transaction, &msg,
					nic->message_bytes);
	if (r < 0)
		return r;
	nic->generation[index]++;
	nic->free_count--;
	return 0;
}

int netvsp_rx_frame(void *owner, const void *frame, size_t len)
{
	struct netvsp *nic = owner;
	struct rndis_packet head;
	int r;

	if (nic->state != NETVSP_RUNNING || len < ETHERNET_HEADER || len > nic->frame_max ||
	    !nic->rndis.link_up || !rndis_filter_passes(&nic->rndis, frame)) {
		nic->stats.received_dropped++;
		return 0;
	}
	head = rndis_packet_head((uint32_t)len);
	r = section_send(nic, NVSP_CHANNEL_DATA, &head, sizeof(head), frame, len);
	if (r == -EAGAIN) {
		nic->stats.received_held++;
		nic->wanting = false;
		nic->port->ops->want(nic->port->ctx, false);
		return -EAGAIN;
	}
	if (r < 0) {
		nic->stats.received_dropped++;
		return 0;
	}
	nic->stats.received_frames++;
	nic->stats.received_bytes += len;
	vmbus_channel_flush(nic->queue[0].ch);
	return 0;
}

/* Tells the back end to go on once there is some room, or once nobody wants the frames and they
 * are to be dropped rather than to grow old. Comes last in any call: the back end may give
 * frames from within. */
void netvsp_rx_update_want(struct netvsp *nic)
{
	uint32_t enough;

	if (nic->wanting)
		return;
	enough = min_u32(nic->section_count / 4, NETVSP_RESUME_SECTIONS) + NETVSP_CONTROL_RESERVE;
	if (nic->state == NETVSP_RUNNING && vmbus_channel_is_open(nic->queue[0].ch) &&
	    nic->free_count < enough + 1)
		return;
	nic->wanting = true;
	nic->port->ops->want(nic->port->ctx, true);
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

void netvsp_reply_flush(struct netvsp *nic)
{
	while (nic->state == NETVSP_RUNNING && nic->reply_count) {
		const struct netvsp_reply *reply = &nic->reply[nic->reply_first];

		if (section_send(nic, NVSP_CHANNEL_CONTROL, reply->bytes, reply->len, NULL, 0) < 0)
			return;
		nic->reply_first = (nic->reply_first + 1) % NETVSP_REPLIES_MAX;
		nic->reply_count--;
	}
}
