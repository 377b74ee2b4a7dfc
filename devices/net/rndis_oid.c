/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The objects of the RNDIS device: what queries read and sets write (rndis.h).
 *
 * Adding an offload or RSS means a row or a case here, and its effect in netvsp_tx.c or
 * netvsp_rx.c.
 * Spec: NDIS general, 802.3 and TCP/IP offload OIDs.
 */
#include <string.h>

#include "base/bytes.h"
#include "base/util.h"
#include "devices/net/rndis.h"

#define ETHERNET_HEADER 14u
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
	RNDIS_OID_OFFLOAD_HARDWARE,
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

/* No offloads: the structure that the driver asks for, with its own head and nothing set. The
 * query must succeed, since Linux gives up the device when it fails. */
static uint32_t query_offloads(const uint8_t *in, size_t in_len, uint8_t *info, size_t room,
			       size_t *ret_len)
{
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
	memset(info, 0, object.bytes);
	memcpy(info, &object, sizeof(object));
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
		return query_offloads(in, in_len, info, room, ret_len);
	default:
		return RNDIS_STATUS_NOT_SUPPORTED;
	}
}

/* Success for whatever leaves all offloads off. */
static uint32_t set_offloads(const uint8_t *in, size_t in_len)
{
	struct ndis_offload_parameters p = {0};
	const uint8_t wishes[] = {
		offsetof(struct ndis_offload_parameters, ip4_checksum),
		offsetof(struct ndis_offload_parameters, tcp4_checksum),
		offsetof(struct ndis_offload_parameters, udp4_checksum),
		offsetof(struct ndis_offload_parameters, tcp6_checksum),
		offsetof(struct ndis_offload_parameters, udp6_checksum),
		offsetof(struct ndis_offload_parameters, large_send_v1),
		offsetof(struct ndis_offload_parameters, large_send_v2_ip4),
		offsetof(struct ndis_offload_parameters, large_send_v2_ip6),
		offsetof(struct ndis_offload_parameters, coalesce_ip4),
		offsetof(struct ndis_offload_parameters, coalesce_ip6),
	};

	if (in_len < sizeof(p.object))
		return RNDIS_STATUS_INVALID_LENGTH;
	memcpy(&p, in, min_u64(in_len, sizeof(p)));
	if (p.object.type != NDIS_OBJECT_DEFAULT)
		return RNDIS_STATUS_INVALID_DATA;
	for (size_t i = 0; i < ARRAY_LEN(wishes); i++) {
		if (((const uint8_t *)&p)[wishes[i]] > NDIS_OFFLOAD_OFF)
			return RNDIS_STATUS_NOT_SUPPORTED;
	}
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
		return set_offloads(in, in_len);
	default:
		return RNDIS_STATUS_NOT_SUPPORTED;
	}
}
