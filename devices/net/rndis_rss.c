/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Receive side scaling as an object of the RNDIS device (rndis.h): how many queues there are, and
 * the driver's key and table.
 *
 * Trust: `in` is a private copy of what the guest wrote; counts and offsets in it are checked
 * against its length before use, and all of it is checked before anything is changed.
 * Spec: NDIS_RECEIVE_SCALE_CAPABILITIES, NDIS_RECEIVE_SCALE_PARAMETERS.
 */
#include <string.h>

#include "base/bytes.h"
#include "base/util.h"
#include "devices/net/rndis.h"

uint32_t rndis_rss_query(const struct rndis_device *dev, const uint8_t *in, size_t in_len,
			 uint8_t *info, size_t room, size_t *ret_len)
{
	struct ndis_rss_capabilities out = {
		.object = {.type = NDIS_OBJECT_RSS_CAPABILITIES, .revision = 2},
		.capabilities = NDIS_RSS_CAN_MESSAGE_INTERRUPTS | NDIS_RSS_CAN_TCP_IP4 |
				NDIS_RSS_CAN_TCP_IP6 | NDIS_RSS_TOEPLITZ,
		.interrupts = dev->queues,
		.queues = dev->queues,
		.table_entries = NDIS_RSS_TABLE_ENTRIES,
	};
	struct ndis_object asked = {.bytes = sizeof(out)};

	if (dev->queues < 2)
		return RNDIS_STATUS_NOT_SUPPORTED;
	/* Linux takes no more bytes than it asks for, which is the structure without its end. */
	if (in_len >= sizeof(asked))
		memcpy(&asked, in, sizeof(asked));
	if (asked.bytes < NDIS_RSS_CAPABILITIES_BYTES_V1 || sizeof(out) > room)
		return RNDIS_STATUS_INVALID_LENGTH;
	out.object.bytes = (uint16_t)min_u32(asked.bytes, sizeof(out));
	memcpy(info, &out, out.object.bytes);
	*ret_len = out.object.bytes;
	return RNDIS_STATUS_SUCCESS;
}

static uint32_t take_table(const struct rndis_device *dev, const struct ndis_rss_parameters *p,
			   const uint8_t *in, size_t in_len, struct rndis_rss *rss)
{
	uint32_t entries = p->table_bytes / sizeof(uint32_t);

	if (p->table_bytes % sizeof(uint32_t) || !entries || entries > NDIS_RSS_TABLE_ENTRIES ||
	    (entries & (entries - 1)) || !range_within(p->table_offset, p->table_bytes, in_len))
		return RNDIS_STATUS_INVALID_LENGTH;
	for (uint32_t i = 0; i < entries; i++) {
		uint32_t queue = le32_load(in + p->table_offset + i * sizeof(uint32_t));

		if (queue >= dev->queues)
			return RNDIS_STATUS_INVALID_DATA;
		rss->table[i] = (uint16_t)queue;
	}
	rss->entries = (uint16_t)entries;
	return RNDIS_STATUS_SUCCESS;
}

static uint32_t take_key(const struct ndis_rss_parameters *p, const uint8_t *in, size_t in_len,
			 struct rndis_rss *rss)
{
	if (p->key_bytes != NDIS_RSS_KEY_BYTES ||
	    !range_within(p->key_offset, p->key_bytes, in_len))
		return RNDIS_STATUS_INVALID_LENGTH;
	memcpy(rss->key, in + p->key_offset, NDIS_RSS_KEY_BYTES);
	return RNDIS_STATUS_SUCCESS;
}

uint32_t rndis_rss_set(struct rndis_device *dev, const uint8_t *in, size_t in_len)
{
	struct rndis_rss rss = dev->rss;
	struct ndis_rss_parameters p;
	uint32_t status = RNDIS_STATUS_SUCCESS;

	if (dev->queues < 2)
		return RNDIS_STATUS_NOT_SUPPORTED;
	if (in_len < sizeof(p))
		return RNDIS_STATUS_INVALID_LENGTH;
	memcpy(&p, in, sizeof(p));
	if (p.object.type != NDIS_OBJECT_RSS_PARAMETERS)
		return RNDIS_STATUS_INVALID_DATA;
	if (p.flags & NDIS_RSS_OFF) {
		dev->rss.on = false;
		return RNDIS_STATUS_SUCCESS;
	}
	if (!(p.flags & NDIS_RSS_HASH_UNCHANGED))
		rss.types = p.hash;
	if (!(rss.types & NDIS_RSS_TOEPLITZ))
		return RNDIS_STATUS_INVALID_DATA;
	if (!(p.flags & NDIS_RSS_TABLE_UNCHANGED))
		status = take_table(dev, &p, in, in_len, &rss);
	if (status == RNDIS_STATUS_SUCCESS && !(p.flags & NDIS_RSS_KEY_UNCHANGED))
		status = take_key(&p, in, in_len, &rss);
	if (status != RNDIS_STATUS_SUCCESS)
		return status;
	/* "Unchanged" of what was never given. */
	if (!rss.entries)
		return RNDIS_STATUS_INVALID_DATA;
	rss.on = true;
	dev->rss = rss;
	return RNDIS_STATUS_SUCCESS;
}
