/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The objects of the RNDIS device: what queries read and sets write (rndis.h); those of receive
 * side scaling are in rndis_rss.c.
 *
 * Offloads are offered as far as the back end has them. Coalescing is the offload of the receive
 * side that lets long frames through; Linux switches it off when it forwards.
 * Spec: NDIS general, 802.3 and TCP/IP offload OIDs.
 */
#include <string.h>

#include "base/bytes.h"
#include "base/netport.h"
#include "base/util.h"
#include "devices/net/flow.h"
#include "devices/net/rndis.h"

/* Of a frame that is cut for the guest: less than the length field of IP, whatever the headers. */
#define LARGE_SEND_BYTES 64000u
#define LARGE_SEND_SEGMENTS 2u
#define VENDOR_ID_NONE 0xFFFFFFu
#define DRIVER_VERSION_NDIS 0x0600u
#define MULTICAST_LIST_MAX 32u
#define BUFFER_SPACE (1024u * 1024u)
/* NDIS_MAC_OPTION_COPY_LOOKAHEAD_DATA | _TRANSFERS_NOT_PEND | _NO_LOOPBACK */
#define MAC_OPTIONS 0x000Bu

static uint32_t get_mtu(const struct rndis_device *dev)
{
	return dev->mtu;
}

static uint32_t get_frame_max(const struct rndis_device *dev)
{
	return dev->mtu + ETHERNET_HEADER;
}

static uint32_t get_link_speed(const struct rndis_device *dev)
{
	return (uint32_t)min_u64((uint64_t)dev->link_mbps * 10000, UINT32_MAX);
}

static uint32_t get_filter(const struct rndis_device *dev)
{
	return dev->filter;
}

static uint32_t get_lookahead(const struct rndis_device *dev)
{
	return dev->lookahead;
}

static uint32_t get_disconnected(const struct rndis_device *dev)
{
	return dev->link_up ? 0 : 1;
}

static uint32_t get_sent(const struct rndis_device *dev)
{
	return (uint32_t)dev->stats->sent_frames;
}

static uint32_t get_received(const struct rndis_device *dev)
{
	return (uint32_t)dev->stats->received_frames;
}

static uint32_t get_sent_refused(const struct rndis_device *dev)
{
	return (uint32_t)dev->stats->sent_refused;
}

/* Objects of one 32-bit number: from get, or fixed when that is NULL. */
static const struct {
	uint32_t oid;
	uint32_t fixed;
	uint32_t (*get)(const struct rndis_device *dev);
} numbers[] = {
	{RNDIS_OID_HARDWARE_STATUS, 0, NULL},
	{RNDIS_OID_MEDIA_SUPPORTED, RNDIS_MEDIUM_802_3, NULL},
	{RNDIS_OID_MEDIA_IN_USE, RNDIS_MEDIUM_802_3, NULL},
	{RNDIS_OID_MAXIMUM_LOOKAHEAD, 0, get_mtu},
	{RNDIS_OID_MAXIMUM_FRAME_SIZE, 0, get_mtu},
	{RNDIS_OID_LINK_SPEED, 0, get_link_speed},
	{RNDIS_OID_TRANSMIT_BUFFER_SPACE, BUFFER_SPACE, NULL},
	{RNDIS_OID_RECEIVE_BUFFER_SPACE, BUFFER_SPACE, NULL},
	{RNDIS_OID_TRANSMIT_BLOCK_SIZE, 1, NULL},
	{RNDIS_OID_RECEIVE_BLOCK_SIZE, 1, NULL},
	{RNDIS_OID_VENDOR_ID, VENDOR_ID_NONE, NULL},
	{RNDIS_OID_PACKET_FILTER, 0, get_filter},
	{RNDIS_OID_CURRENT_LOOKAHEAD, 0, get_lookahead},
	{RNDIS_OID_MAXIMUM_TOTAL_SIZE, 0, get_frame_max},
	{RNDIS_OID_MAC_OPTIONS, MAC_OPTIONS, NULL},
	{RNDIS_OID_MEDIA_CONNECT_STATUS, 0, get_disconnected},
	{RNDIS_OID_MAXIMUM_SEND_PACKETS, RNDIS_PACKETS_MAX, NULL},
	{RNDIS_OID_VENDOR_DRIVER_VERSION, 0x10000, NULL},
	{RNDIS_OID_FRAMES_SENT, 0, get_sent},
	{RNDIS_OID_FRAMES_RECEIVED, 0, get_received},
	{RNDIS_OID_SEND_ERRORS, 0, get_sent_refused},
	{RNDIS_OID_RECEIVE_ERRORS, 0, NULL},
	/* Drops of ours happen before the NIC for all that a guest can tell. */
	{RNDIS_OID_RECEIVE_NO_BUFFER, 0, NULL},
	{RNDIS_OID_MAXIMUM_LIST_SIZE, MULTICAST_LIST_MAX, NULL},
	{RNDIS_OID_RECEIVE_ALIGNMENT_ERRORS, 0, NULL},
	{RNDIS_OID_SEND_ONE_COLLISION, 0, NULL},
	{RNDIS_OID_SEND_MORE_COLLISIONS, 0, NULL},
};

/* Objects of another shape, for the list of all. */
static const uint32_t others[] = {
	RNDIS_OID_SUPPORTED_LIST,   RNDIS_OID_VENDOR_DESCRIPTION, RNDIS_OID_DRIVER_VERSION,
	RNDIS_OID_FRIENDLY_NAME,    RNDIS_OID_PERMANENT_ADDRESS,  RNDIS_OID_CURRENT_ADDRESS,
	RNDIS_OID_MULTICAST_LIST,   RNDIS_OID_OFFLOAD_CURRENT,    RNDIS_OID_OFFLOAD_PARAMETERS,
	RNDIS_OID_OFFLOAD_HARDWARE, RNDIS_OID_RSS_CAPABILITIES,   RNDIS_OID_RSS_PARAMETERS,
};

static uint32_t put(uint8_t *info, size_t room, const void *src, size_t len, size_t *ret_len)
{
	if (len > room)
		return RNDIS_STATUS_FAILURE;
	memcpy(info, src, len);
	*ret_len = len;
	return RNDIS_STATUS_SUCCESS;
}

static uint32_t query_list(uint8_t *info, size_t room, size_t *ret_len)
{
	uint32_t list[ARRAY_LEN(numbers) + ARRAY_LEN(others)];
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		list[n++] = numbers[i].oid;
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		list[n++] = others[i];
	return put(info, room, list, sizeof(list), ret_len);
}

static uint32_t query_friendly_name(uint8_t *info, size_t room, size_t *ret_len)
{
	/* The name that guests know to mean "no name of its own". */
	static const char name[] = "Network Adapter";
	uint16_t wide[sizeof(name)];

	for (size_t i = 0; i < sizeof(name); i++)
		wide[i] = (uint8_t)name[i];
	return put(info, room, wide, sizeof(wide), ret_len);
}

static void fill_offloads(unsigned features, struct ndis_offload *o)
{
	const uint32_t e = NDIS_ENCAPSULATION_802_3;

	if (features & NETPORT_CHECKSUM) {
		o->send_ip4_encapsulation = o->receive_ip4_encapsulation = e;
		o->send_ip6_encapsulation = o->receive_ip6_encapsulation = e;
		o->send_ip4_checksum = NDIS_SEND_CHECKSUM_IP4;
		o->send_ip6_checksum = NDIS_SEND_CHECKSUM_IP6;
		o->receive_ip4_checksum = NDIS_RECEIVE_CHECKSUM_IP4;
		o->receive_ip6_checksum = NDIS_RECEIVE_CHECKSUM_IP6;
	}
	if (features & NETPORT_TCP4) {
		o->large_send_ip4_encapsulation = e;
		o->large_send_ip4_bytes = LARGE_SEND_BYTES;
		o->large_send_ip4_segments = LARGE_SEND_SEGMENTS;
		o->coalesce_ip4 = 1;
	}
	if (features & NETPORT_TCP6) {
		o->large_send_ip6_encapsulation = e;
		o->large_send_ip6_bytes = LARGE_SEND_BYTES;
		o->large_send_ip6_segments = LARGE_SEND_SEGMENTS;
		o->large_send_ip6_options = NDIS_LARGE_SEND_IP6_OPTIONS;
		o->coalesce_ip6 = 1;
	}
}

/* The structure that the driver asks for, with its own head. The query must succeed, since Linux
 * gives up the device when it fails. */
static uint32_t query_offloads(const struct rndis_device *dev, const uint8_t *in, size_t in_len,
			       uint8_t *info, size_t room, size_t *ret_len)
{
	struct ndis_offload all = {0};
	struct ndis_object object = {
		.type = NDIS_OBJECT_OFFLOAD,
		.revision = 1,
		.bytes = NDIS_OFFLOAD_BYTES_V1,
	};

	if (in_len >= sizeof(object)) {
		memcpy(&object, in, sizeof(object));
		if (object.type != NDIS_OBJECT_OFFLOAD || object.revision < 1)
			return RNDIS_STATUS_INVALID_DATA;
	}
	if (object.bytes < NDIS_OFFLOAD_BYTES_V1 || object.bytes > room)
		return RNDIS_STATUS_INVALID_LENGTH;
	fill_offloads(dev->features, &all);
	all.object = object;
	memset(info, 0, object.bytes);
	memcpy(info, &all, min_u64(object.bytes, sizeof(all)));
	*ret_len = object.bytes;
	return RNDIS_STATUS_SUCCESS;
}

uint32_t rndis_oid_query(const struct rndis_device *dev, uint32_t oid, const uint8_t *in,
			 size_t in_len, uint8_t *info, size_t room, size_t *ret_len)
{
	static const char vendor[] = "Oya virtual network adapter";
	const uint16_t driver_version = DRIVER_VERSION_NDIS;

	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		uint32_t v;

		if (numbers[i].oid != oid)
			continue;
		v = numbers[i].get ? numbers[i].get(dev) : numbers[i].fixed;
		return put(info, room, &v, sizeof(v), ret_len);
	}
	switch (oid) {
	case RNDIS_OID_SUPPORTED_LIST:
		return query_list(info, room, ret_len);
	case RNDIS_OID_VENDOR_DESCRIPTION:
		return put(info, room, vendor, sizeof(vendor), ret_len);
	case RNDIS_OID_DRIVER_VERSION:
		return put(info, room, &driver_version, sizeof(driver_version), ret_len);
	case RNDIS_OID_FRIENDLY_NAME:
		return query_friendly_name(info, room, ret_len);
	case RNDIS_OID_PERMANENT_ADDRESS:
	case RNDIS_OID_CURRENT_ADDRESS:
		return put(info, room, dev->mac, sizeof(dev->mac), ret_len);
	case RNDIS_OID_MULTICAST_LIST:
		*ret_len = 0;
		return RNDIS_STATUS_SUCCESS;
	case RNDIS_OID_OFFLOAD_CURRENT:
	case RNDIS_OID_OFFLOAD_HARDWARE:
		return query_offloads(dev, in, in_len, info, room, ret_len);
	case RNDIS_OID_RSS_CAPABILITIES:
		return rndis_rss_query(dev, in, in_len, info, room, ret_len);
	default:
		return RNDIS_STATUS_NOT_SUPPORTED;
	}
}

/* 0: as it is. */
static bool wish_fits(uint8_t wish, uint8_t max)
{
	return wish <= max;
}

static void take_wish(uint8_t wish, bool on, bool *flag)
{
	if (wish)
		*flag = on;
}

/* All or nothing: a wish for what is not there refuses the whole set. */
static uint32_t set_offloads(struct rndis_device *dev, const uint8_t *in, size_t in_len)
{
	struct ndis_offload_parameters p = {0};
	uint8_t checksum, large4, large6, off = NDIS_OFFLOAD_OFF;

	if (in_len < sizeof(p.object))
		return RNDIS_STATUS_INVALID_LENGTH;
	memcpy(&p, in, min_u64(in_len, sizeof(p)));
	if (p.object.type != NDIS_OBJECT_DEFAULT)
		return RNDIS_STATUS_INVALID_DATA;
	checksum = dev->features & NETPORT_CHECKSUM ? NDIS_CHECKSUM_BOTH : off;
	large4 = dev->features & NETPORT_TCP4 ? NDIS_OFFLOAD_ON : off;
	large6 = dev->features & NETPORT_TCP6 ? NDIS_OFFLOAD_ON : off;
	if (!wish_fits(p.ip4_checksum, off) || !wish_fits(p.large_send_v1, off) ||
	    !wish_fits(p.tcp4_checksum, checksum) || !wish_fits(p.udp4_checksum, checksum) ||
	    !wish_fits(p.tcp6_checksum, checksum) || !wish_fits(p.udp6_checksum, checksum) ||
	    !wish_fits(p.large_send_v2_ip4, large4) || !wish_fits(p.large_send_v2_ip6, large6) ||
	    !wish_fits(p.coalesce_ip4, large4) || !wish_fits(p.coalesce_ip6, large6))
		return RNDIS_STATUS_NOT_SUPPORTED;
	take_wish(p.tcp4_checksum, p.tcp4_checksum >= NDIS_CHECKSUM_RECEIVE,
		  &dev->offloads.receive_checksum);
	take_wish(p.coalesce_ip4, p.coalesce_ip4 == NDIS_OFFLOAD_ON, &dev->offloads.coalesce_ip4);
	take_wish(p.coalesce_ip6, p.coalesce_ip6 == NDIS_OFFLOAD_ON, &dev->offloads.coalesce_ip6);
	return RNDIS_STATUS_SUCCESS;
}

uint32_t rndis_oid_set(struct rndis_device *dev, uint32_t oid, const uint8_t *in, size_t in_len)
{
	switch (oid) {
	case RNDIS_OID_PACKET_FILTER:
		if (in_len < sizeof(uint32_t))
			return RNDIS_STATUS_INVALID_LENGTH;
		dev->filter = le32_load(in);
		return RNDIS_STATUS_SUCCESS;
	case RNDIS_OID_CURRENT_LOOKAHEAD:
		if (in_len < sizeof(uint32_t))
			return RNDIS_STATUS_INVALID_LENGTH;
		dev->lookahead = le32_load(in);
		return RNDIS_STATUS_SUCCESS;
	case RNDIS_OID_MULTICAST_LIST:
		/* All of multicast passes when any does; the guest's stack sorts it out. */
		return in_len % 6 ? RNDIS_STATUS_INVALID_LENGTH : RNDIS_STATUS_SUCCESS;
	case RNDIS_OID_NETWORK_ADDRESSES:
		return RNDIS_STATUS_SUCCESS;
	case RNDIS_OID_OFFLOAD_PARAMETERS:
		return set_offloads(dev, in, in_len);
	case RNDIS_OID_RSS_PARAMETERS:
		return rndis_rss_set(dev, in, in_len);
	default:
		return RNDIS_STATUS_NOT_SUPPORTED;
	}
}
