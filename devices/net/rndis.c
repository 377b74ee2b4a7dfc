/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * RNDIS control messages and data packets (rndis.h). The objects that queries and sets name are
 * in rndis_oid.c.
 *
 * Every request that carries a request id is answered, whatever is wrong with the rest of it:
 * drivers wait for the answer without a timeout.
 */
#include "devices/net/rndis.h"

#include <errno.h>
#include <string.h>

#include "base/cursor.h"
#include "base/state.h"
#include "base/util.h"

static const char *const state_labels[] = {"uninitialized", "initialized", "operational"};
static const uint32_t state_next[] = {
	[RNDIS_UNINITIALIZED] = STATE_BIT(RNDIS_INITIALIZED),
	[RNDIS_INITIALIZED] = STATE_BIT(RNDIS_OPERATIONAL) | STATE_BIT(RNDIS_UNINITIALIZED),
	[RNDIS_OPERATIONAL] = STATE_BIT(RNDIS_INITIALIZED) | STATE_BIT(RNDIS_UNINITIALIZED),
};
static const struct state_table states = {
	.name = "rndis",
	.count = ARRAY_LEN(state_labels),
	.labels = state_labels,
	.next = state_next,
};

#define LOOKAHEAD_DEFAULT 256u

void rndis_device_reset(struct rndis_device *dev)
{
	dev->state = RNDIS_UNINITIALIZED;
	dev->filter = 0;
	dev->lookahead = LOOKAHEAD_DEFAULT;
	dev->offloads = (struct rndis_offloads){0};
	dev->rss = (struct rndis_rss){0};
}

/* The request id, which stands right behind the header in every request but the reset. */
static uint32_t request_id(const uint8_t *msg)
{
	return le32_load(msg + sizeof(struct rndis_header));
}

static size_t put_plain(uint8_t *reply, uint32_t type, uint32_t id, uint32_t status)
{
	struct rndis_plain_complete out = {
		.header = {.type = type | RNDIS_COMPLETION, .len = sizeof(out)},
		.request_id = id,
		.status = status,
	};

	memcpy(reply, &out, sizeof(out));
	return sizeof(out);
}

static size_t on_initialize(struct rndis_device *dev, const uint8_t *msg, size_t len,
			    uint8_t *reply)
{
	struct rndis_initialize_complete out = {
		.header = {.type = RNDIS_MSG_INITIALIZE | RNDIS_COMPLETION, .len = sizeof(out)},
		.request_id = request_id(msg),
		.status = RNDIS_STATUS_SUCCESS,
		.major = RNDIS_VERSION_MAJOR,
		.minor = RNDIS_VERSION_MINOR,
		.device_flags = RNDIS_DEVICE_CONNECTIONLESS,
		.medium = RNDIS_MEDIUM_802_3,
		.max_packets = RNDIS_PACKETS_MAX,
		.max_transfer_bytes = RNDIS_TRANSFER_MAX,
		.packet_alignment = 3,
	};

	if (len < sizeof(struct rndis_initialize))
		out.status = RNDIS_STATUS_INVALID_LENGTH;
	else if (dev->state != RNDIS_UNINITIALIZED ||
		 state_move(&states, &dev->state, RNDIS_INITIALIZED) < 0)
		out.status = RNDIS_STATUS_FAILURE;
	memcpy(reply, &out, sizeof(out));
	return sizeof(out);
}

/* The information of a query or set; an RNDIS status. */
static uint32_t request_info(const uint8_t *msg, size_t len, uint32_t *ret_oid,
			     const uint8_t **ret_info, size_t *ret_info_len)
{
	struct rndis_oid_request req;

	if (len < sizeof(req))
		return RNDIS_STATUS_INVALID_LENGTH;
	memcpy(&req, msg, sizeof(req));
	if (req.info_len &&
	    !range_within(req.info_offset, req.info_len, len - sizeof(struct rndis_header)))
		return RNDIS_STATUS_INVALID_LENGTH;
	*ret_oid = req.oid;
	*ret_info = req.info_len ? msg + sizeof(struct rndis_header) + req.info_offset : msg;
	*ret_info_len = req.info_len;
	return RNDIS_STATUS_SUCCESS;
}

static size_t on_query(const struct rndis_device *dev, const uint8_t *msg, size_t len,
		       uint8_t *reply)
{
	struct rndis_query_complete out = {
		.header.type = RNDIS_MSG_QUERY | RNDIS_COMPLETION,
		.request_id = request_id(msg),
	};
	const uint8_t *in = NULL;
	uint32_t oid = 0;
	size_t in_len = 0, info_len = 0;

	memset(reply, 0, RNDIS_REPLY_MAX);
	out.status = request_info(msg, len, &oid, &in, &in_len);
	if (out.status == RNDIS_STATUS_SUCCESS && dev->state == RNDIS_UNINITIALIZED)
		out.status = RNDIS_STATUS_FAILURE;
	if (out.status == RNDIS_STATUS_SUCCESS)
		out.status = rndis_oid_query(dev, oid, in, in_len, reply + sizeof(out),
					     RNDIS_REPLY_MAX - sizeof(out), &info_len);
	if (out.status == RNDIS_STATUS_SUCCESS) {
		out.info_len = (uint32_t)info_len;
		out.info_offset = sizeof(out) - sizeof(struct rndis_header);
	} else {
		/* Linux looks at the offset only: 0 is how it learns of a failure. */
		info_len = 0;
	}
	out.header.len = (uint32_t)(sizeof(out) + info_len);
	memcpy(reply, &out, sizeof(out));
	return out.header.len;
}

static size_t on_set(struct rndis_device *dev, const uint8_t *msg, size_t len, uint8_t *reply)
{
	const uint8_t *in = NULL;
	uint32_t oid = 0, status;
	size_t in_len = 0;

	status = request_info(msg, len, &oid, &in, &in_len);
	if (status == RNDIS_STATUS_SUCCESS && dev->state == RNDIS_UNINITIALIZED)
		status = RNDIS_STATUS_FAILURE;
	if (status == RNDIS_STATUS_SUCCESS)
		status = rndis_oid_set(dev, oid, in, in_len);
	/* The filter is what moves frames: 0 stops them. */
	if (status == RNDIS_STATUS_SUCCESS && oid == RNDIS_OID_PACKET_FILTER)
		(void)state_move(&states, &dev->state,
				 dev->filter ? RNDIS_OPERATIONAL : RNDIS_INITIALIZED);
	return put_plain(reply, RNDIS_MSG_SET, request_id(msg), status);
}

static size_t on_reset(struct rndis_device *dev, uint8_t *reply)
{
	struct rndis_reset_complete out = {
		.header = {.type = RNDIS_MSG_RESET | RNDIS_COMPLETION, .len = sizeof(out)},
		.status = RNDIS_STATUS_SUCCESS,
		.addressing_reset = 1,
	};

	if (dev->state == RNDIS_UNINITIALIZED)
		out.status = RNDIS_STATUS_FAILURE;
	else if (dev->state == RNDIS_OPERATIONAL)
		(void)state_move(&states, &dev->state, RNDIS_INITIALIZED);
	dev->filter = 0;
	memcpy(reply, &out, sizeof(out));
	return sizeof(out);
}

int rndis_control(struct rndis_device *dev, const void *msg, size_t len,
		  uint8_t reply[RNDIS_REPLY_MAX], size_t *ret_len)
{
	const uint8_t *bytes = msg;
	struct rndis_header header;

	if (len < sizeof(header) + sizeof(uint32_t))
		return -EPROTO;
	memcpy(&header, bytes, sizeof(header));
	if (header.len < sizeof(header) + sizeof(uint32_t) || header.len > len)
		return -EPROTO;
	len = header.len;

	switch (header.type) {
	case RNDIS_MSG_INITIALIZE:
		*ret_len = on_initialize(dev, bytes, len, reply);
		return 0;
	case RNDIS_MSG_HALT:
		rndis_device_reset(dev);
		*ret_len = 0;
		return 0;
	case RNDIS_MSG_QUERY:
		*ret_len = on_query(dev, bytes, len, reply);
		return 0;
	case RNDIS_MSG_SET:
		*ret_len = on_set(dev, bytes, len, reply);
		return 0;
	case RNDIS_MSG_RESET:
		*ret_len = on_reset(dev, reply);
		return 0;
	case RNDIS_MSG_KEEPALIVE:
		*ret_len = put_plain(reply, RNDIS_MSG_KEEPALIVE, request_id(bytes),
				     RNDIS_STATUS_SUCCESS);
		return 0;
	default:
		return -EPROTO;
	}
}

size_t rndis_link_message(const struct rndis_device *dev, uint8_t msg[RNDIS_REPLY_MAX])
{
	struct rndis_indicate_status out = {
		.header = {.type = RNDIS_MSG_INDICATE_STATUS, .len = sizeof(out)},
		.status = dev->link_up ? RNDIS_STATUS_MEDIA_CONNECT : RNDIS_STATUS_MEDIA_DISCONNECT,
	};

	memcpy(msg, &out, sizeof(out));
	return sizeof(out);
}

bool rndis_filter_passes(const struct rndis_device *dev, const uint8_t destination[6])
{
	static const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	uint32_t filter = dev->filter;

	if (dev->state != RNDIS_OPERATIONAL)
		return false;
	if (filter & RNDIS_FILTER_PROMISCUOUS)
		return true;
	if (memcmp(destination, broadcast, sizeof(broadcast)) == 0)
		return (filter & RNDIS_FILTER_BROADCAST) != 0;
	if (destination[0] & 1)
		return (filter & (RNDIS_FILTER_MULTICAST | RNDIS_FILTER_ALL_MULTICAST)) != 0;
	return (filter & RNDIS_FILTER_DIRECTED) != 0 &&
	       memcmp(destination, dev->mac, sizeof(dev->mac)) == 0;
}

int rndis_packet_decode(const struct rndis_packet *head, uint64_t left,
			struct rndis_packet_view *ret_view)
{
	const uint32_t base = sizeof(struct rndis_header);
	const uint32_t fixed = sizeof(*head) - sizeof(struct rndis_header);
	struct rndis_packet_view view = {.len = head->header.len};
	uint32_t room;

	if (head->header.type != RNDIS_MSG_PACKET || view.len < sizeof(*head) || view.len > left)
		return -EPROTO;
	room = view.len - base;
	if (head->data_offset < fixed || !range_within(head->data_offset, head->data_len, room))
		return -EPROTO;
	view.data_offset = base + head->data_offset;
	view.data_len = head->data_len;
	if (head->info_len) {
		if (head->info_offset < fixed || head->info_len > RNDIS_INFO_MAX ||
		    !range_within(head->info_offset, head->info_len, room))
			return -EPROTO;
		view.info_offset = base + head->info_offset;
		view.info_len = head->info_len;
	}
	*ret_view = view;
	return 0;
}

static void take_info(uint32_t type, uint32_t value, struct rndis_frame_info *out)
{
	switch (type) {
	case RNDIS_INFO_VLAN:
		/* Theirs: priority in bits 0-2, CFI in 3, VLAN id in 4-15. */
		out->has_vlan = true;
		out->vlan_tci = (uint16_t)((value & 7) << 13 | (value >> 3 & 1) << 12 |
					   (value >> 4 & 0xfff));
		break;
	case RNDIS_INFO_CHECKSUM:
		out->has_checksum = true;
		out->checksum = value;
		break;
	case RNDIS_INFO_LARGE_SEND:
		out->has_large_send = true;
		out->large_send = value;
		break;
	default:
		break;
	}
}

int rndis_info_decode(const void *info, size_t len, struct rndis_frame_info *ret_info)
{
	struct cursor c = cursor_of(info, len);
	struct rndis_frame_info out = {0};

	for (unsigned i = 0; c.left; i++) {
		struct rndis_packet_info head;
		const uint8_t *piece = c.at;

		if (i == RNDIS_INFO_COUNT_MAX || c.left < sizeof(head))
			return -EPROTO;
		memcpy(&head, piece, sizeof(head));
		if (head.len < sizeof(head) || head.value_offset < sizeof(head) ||
		    head.value_offset > head.len || !cursor_take(&c, head.len))
			return -EPROTO;
		if (head.len - head.value_offset >= sizeof(uint32_t))
			take_info(head.type, le32_load(piece + head.value_offset), &out);
	}
	*ret_info = out;
	return 0;
}

struct rndis_packet rndis_packet_head(uint32_t frame_len)
{
	return (struct rndis_packet){
		.header = {.type = RNDIS_MSG_PACKET,
			   .len = (uint32_t)sizeof(struct rndis_packet) + frame_len},
		.data_offset = sizeof(struct rndis_packet) - sizeof(struct rndis_header),
		.data_len = frame_len,
	};
}

static uint8_t *put_note(uint8_t *at, uint32_t type, uint32_t value)
{
	const struct rndis_packet_info info = {
		.len = sizeof(info) + sizeof(value),
		.type = type,
		.value_offset = sizeof(info),
	};

	memcpy(at, &info, sizeof(info));
	le32_store(at + sizeof(info), value);
	return at + info.len;
}

size_t rndis_packet_build(uint8_t head[RNDIS_HEAD_ROOM], size_t least_len, uint32_t frame_len,
			  const struct rndis_frame_notes *notes)
{
	struct rndis_packet packet = rndis_packet_head(frame_len);
	uint8_t *at = head + sizeof(packet);
	uint16_t tci = notes->vlan_tci;
	uint32_t len, gap = 0;

	if (notes->checksum)
		at = put_note(at, RNDIS_INFO_CHECKSUM, notes->checksum);
	if (notes->has_vlan)
		at = put_note(at, RNDIS_INFO_VLAN,
			      (uint32_t)(tci >> 13 | (tci >> 12 & 1) << 3 | (tci & 0xfff) << 4));
	if (notes->has_hash)
		at = put_note(at, RNDIS_INFO_HASH, notes->hash);
	if (notes->part)
		at = put_note(at, RNDIS_INFO_PART, RNDIS_PART_VERSION | (uint32_t)notes->part << 8);
	len = (uint32_t)(at - head) - (uint32_t)sizeof(packet);
	if (len) {
		packet.info_offset = packet.data_offset;
		packet.info_len = len;
	}
	if (least_len > sizeof(packet) + len) {
		gap = (uint32_t)(least_len - sizeof(packet)) - len;
		memset(at, 0, gap);
	}
	packet.data_offset += len + gap;
	packet.header.len += len + gap;
	memcpy(head, &packet, sizeof(packet));
	return sizeof(packet) + len + gap;
}
