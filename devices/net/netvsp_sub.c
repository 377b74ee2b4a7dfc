/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sub-channels of the NIC: offered when the guest asks for them, taken back when the primary
 * channel closes, as a driver expects that starts anew.
 */
#include <string.h>

#include "base/bytes.h"
#include "base/util.h"
#include "devices/net/internal.h"

uint32_t netvsp_sub_offer(struct netvsp *nic, uint32_t wanted)
{
	struct vmbus_offer offer = {
		.type = netvsp_type,
		.instance = nic->config.instance,
		.flags = VMBUS_OFFER_ENUMERATE,
		.ops = &netvsp_ops,
	};
	uint32_t n;

	for (n = 0; n < wanted; n++) {
		struct netvsp_queue *q = &nic->queue[n + 1];

		offer.dev = q;
		offer.sub_channel_index = (uint16_t)(n + 1);
		if (vmbus_offer_channel(nic->bus, &offer, &q->offer) < 0)
			break;
	}
	nic->queues = 1 + n;
	return n;
}

uint32_t netvsp_sub_allocate(struct netvsp *nic, uint32_t wanted)
{
	if (nic->state != NETVSP_RUNNING || nic->queues > 1)
		return 0;
	return netvsp_sub_offer(nic, min_u32(wanted, nic->config.queues - 1));
}

void netvsp_sub_rescind(struct netvsp *nic)
{
	for (unsigned i = 1; i < NETVSP_QUEUES; i++) {
		struct vmbus_channel *offer = nic->queue[i].offer;

		nic->queue[i].offer = NULL;
		if (offer)
			vmbus_rescind(offer);
	}
	nic->queues = 1;
}

/* When there is no room in the ring the guest stays with a table of its own. */
void netvsp_sub_opened(struct netvsp *nic)
{
	uint8_t bytes[NVSP_MESSAGE_BYTES_V6_1 + NVSP_SEND_TABLE_ENTRIES * sizeof(uint32_t)] = {0};
	struct nvsp_send_table msg = {
		.type = NVSP_MSG_SEND_TABLE,
		.count = NVSP_SEND_TABLE_ENTRIES,
		.offset = nic->message_bytes,
	};
	uint32_t len = nic->message_bytes + NVSP_SEND_TABLE_ENTRIES * (uint32_t)sizeof(uint32_t);

	for (unsigned i = 0; i < nic->queues; i++) {
		if (!nic->queue[i].ch)
			return;
	}
	memcpy(bytes, &msg, sizeof(msg));
	for (uint32_t i = 0; i < NVSP_SEND_TABLE_ENTRIES; i++)
		le32_store(bytes + msg.offset + i * sizeof(uint32_t), i % nic->queues);
	if (vmbus_channel_send(nic->queue[0].ch, VMBUS_PACKET_INBAND, false, 0, bytes, len) == 0)
		vmbus_channel_flush(nic->queue[0].ch);
}
