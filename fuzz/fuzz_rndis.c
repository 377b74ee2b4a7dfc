/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The RNDIS core: the input is a list of messages, each with a length of two bytes before it.
 * Each goes to the control machine, as a data packet to the decoders, and as a frame to those of
 * frames. Checked: replies are whole and of the right size, decoded pieces lie within their
 * message, a table of queues names queues.
 */
#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"
#include "base/netport.h"
#include "base/util.h"
#include "devices/net/flow.h"
#include "devices/net/rndis.h"

#define MESSAGES_MAX 64u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool condition)
{
	if (!condition)
		abort();
}

static void as_control(struct rndis_device *dev, const uint8_t *msg, size_t len)
{
	uint8_t reply[RNDIS_REPLY_MAX];
	struct rndis_header head;
	size_t reply_len = 0;

	if (rndis_control(dev, msg, len, reply, &reply_len) < 0)
		return;
	must(dev->state <= RNDIS_OPERATIONAL);
	must((dev->state == RNDIS_OPERATIONAL) == (dev->filter != 0));
	must(!dev->rss.on || (dev->rss.entries && !(dev->rss.entries & (dev->rss.entries - 1))));
	for (unsigned i = 0; dev->rss.on && i < dev->rss.entries; i++)
		must(dev->rss.table[i] < dev->queues);
	if (!reply_len)
		return;
	must(reply_len >= sizeof(struct rndis_plain_complete) && reply_len <= sizeof(reply));
	memcpy(&head, reply, sizeof(head));
	must(head.len == reply_len && (head.type & RNDIS_COMPLETION));
}

static void as_packet(const uint8_t *msg, size_t len)
{
	struct rndis_packet_view view;
	struct rndis_frame_info info;
	struct rndis_packet head;

	if (len < sizeof(head))
		return;
	memcpy(&head, msg, sizeof(head));
	if (rndis_packet_decode(&head, len, &view) < 0)
		return;
	must(view.len >= sizeof(head) && view.len <= len);
	must(view.data_offset >= sizeof(head) &&
	     range_within(view.data_offset, view.data_len, view.len));
	must(range_within(view.info_offset, view.info_len, view.len));
	must(view.info_len <= RNDIS_INFO_MAX);
	(void)rndis_info_decode(msg + view.info_offset, view.info_len, &info);
}

static void as_frame(const struct rndis_device *dev, uint8_t *frame, size_t len)
{
	struct flow flow = flow_decode(frame, len);

	must(flow.transport < len || !flow.transport);
	must(flow.ip == 0 || flow.ip == 4 || flow.ip == 6);
	(void)flow_hash(frame, &flow, dev->rss.key, UINT32_MAX);
	if (len > 4)
		(void)flow_complete_checksum(frame, len, frame[len - 1] * 8u, frame[len - 2]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct netvsp_stats stats;
	struct rndis_device dev = {
		.mtu = 1500,
		.link_mbps = 1000,
		.link_up = true,
		.stats = &stats,
		.features = NETPORT_CHECKSUM | NETPORT_TCP4 | NETPORT_TCP6,
		.queues = 4,
	};
	struct cursor c = cursor_of(data, size);

	rndis_device_reset(&dev);
	for (unsigned i = 0; i < MESSAGES_MAX && c.left > 2; i++) {
		size_t len = min_u64(cursor_u16(&c), c.left);
		const uint8_t *msg = cursor_take(&c, len);
		/* An allocation of its own, so that a read past the end is seen. */
		uint8_t *copy = malloc(len ? len : 1);

		if (!copy)
			return 0;
		memcpy(copy, msg, len);
		as_control(&dev, copy, len);
		as_packet(copy, len);
		as_frame(&dev, copy, len);
		free(copy);
	}
	return 0;
}
