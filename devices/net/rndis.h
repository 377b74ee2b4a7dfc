/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The RNDIS device inside of the NIC: a pure core that takes one control message and makes the
 * reply, and the decoders of data packets. It knows nothing of VMBus, buffers or frames' bytes.
 *
 * Called by devices/net/netvsp*.c.
 * Trust: every message is a private copy of what a hostile guest wrote; each length and offset is
 * checked here, against the copy, before use.
 * Spec: MS-RNDIS 2.2; abi/rndis.h.
 */
#ifndef OYA_DEVICES_NET_RNDIS_H
#define OYA_DEVICES_NET_RNDIS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/rndis.h"

#define RNDIS_CONTROL_MAX 4608u    /* bytes of a control message that is taken */
#define RNDIS_REPLY_MAX 512u       /* bytes of a reply, at most */
#define RNDIS_TRANSFER_MAX 131072u /* bytes of one transfer with its packets */
#define RNDIS_PACKETS_MAX 8u       /* packets in one transfer that we ask for */
#define RNDIS_INFO_MAX 1024u       /* bytes of per-packet information that are taken */
#define RNDIS_INFO_COUNT_MAX 32u   /* pieces of it */

enum rndis_state {
	RNDIS_UNINITIALIZED,
	RNDIS_INITIALIZED, /* answers queries, moves no frames to the guest */
	RNDIS_OPERATIONAL, /* the packet filter is not 0 */
};

/* All directions as the guest sees them: received means towards the guest. */
struct netvsp_stats {
	uint64_t received_frames, received_bytes;
	uint64_t received_dropped; /* filtered, no driver, too long */
	uint64_t received_held;    /* the back end was told to wait */
	uint64_t sent_frames, sent_bytes;
	uint64_t sent_dropped; /* the back end was full */
	uint64_t sent_refused; /* malformed, too long, no driver */
	uint64_t sent_spoofed; /* another's address as the source, where that is forbidden */
};

/* What the guest has switched on. */
struct rndis_offloads {
	bool receive_checksum; /* takes our word for checksums */
	bool coalesce_ip4, coalesce_ip6;
};

/* Receive side scaling: table[hash % entries] is a queue. entries is a power of 2 while on. */
struct rndis_rss {
	bool on;
	uint32_t types; /* NDIS_RSS_... */
	uint16_t entries;
	uint16_t table[NDIS_RSS_TABLE_ENTRIES];
	uint8_t key[NDIS_RSS_KEY_BYTES];
};

struct rndis_device {
	unsigned state; /* enum rndis_state */
	uint32_t filter;
	uint32_t lookahead;
	bool link_up;
	struct rndis_offloads offloads;
	struct rndis_rss rss;
	/* Fixed by the owner. */
	unsigned features; /* NETPORT_... that the back end takes, and gives when it may */
	uint32_t queues;   /* at most */
	uint8_t mac[6];
	uint32_t mtu;
	uint32_t link_mbps;
	const struct netvsp_stats *stats;
};

/* Back to what a device is before its first message; what the owner fixed stays. */
void rndis_device_reset(struct rndis_device *dev);

/* Acts on one control message. 0: *ret_len bytes of reply stand in reply (0 for none, which is
 * right for a halt); -EPROTO: too malformed to be answered. */
int rndis_control(struct rndis_device *dev, const void *msg, size_t len,
		  uint8_t reply[RNDIS_REPLY_MAX], size_t *ret_len);

/* Makes the message that tells the guest of the link. */
size_t rndis_link_message(const struct rndis_device *dev, uint8_t msg[RNDIS_REPLY_MAX]);

/* Whether the filter passes a frame with this destination. */
bool rndis_filter_passes(const struct rndis_device *dev, const uint8_t destination[6]);

/* A data packet; offsets count from the begin of the message. */
struct rndis_packet_view {
	uint32_t len; /* of the message */
	uint32_t data_offset, data_len;
	uint32_t info_offset, info_len; /* 0 when there is none */
};

/* Decodes the head of a message that begins in a transfer with `left` bytes left in it;
 * 0, or -EPROTO. A view says nothing outside of [0, left). */
int rndis_packet_decode(const struct rndis_packet *head, uint64_t left,
			struct rndis_packet_view *ret_view);

/* What the per-packet information asks for. */
struct rndis_frame_info {
	bool has_vlan, has_checksum, has_large_send;
	uint16_t vlan_tci;
	uint32_t checksum;
	uint32_t large_send;
};

/* Decodes [info, info + len); 0, or -EPROTO. Unknown types are passed over. */
int rndis_info_decode(const void *info, size_t len, struct rndis_frame_info *ret_info);

/* The head of a data packet with a frame of frame_len bytes right behind it. */
struct rndis_packet rndis_packet_head(uint32_t frame_len);

/* Beside a frame to the guest. */
struct rndis_frame_notes {
	bool has_vlan, has_hash;
	uint16_t vlan_tci;
	uint32_t checksum; /* RNDIS_RECEIVE_CHECKSUM_..., 0: nothing is known */
	uint32_t hash;
	uint8_t part; /* RNDIS_PART_..., 0: the frame is whole */
};

/* Bytes that the head of a packet to the guest may take, all notes included. */
#define RNDIS_HEAD_ROOM 172u

/* Writes the head of a packet with frame_len bytes behind it, and the notes; its length, which is
 * at least least_len (up to RNDIS_HEAD_ROOM). */
size_t rndis_packet_build(uint8_t head[RNDIS_HEAD_ROOM], size_t least_len, uint32_t frame_len,
			  const struct rndis_frame_notes *notes);

/* rndis_oid.c: fill info (room bytes) and *ret_len, return an RNDIS status. `in` is the
 * request's own information. */
uint32_t rndis_oid_query(const struct rndis_device *dev, uint32_t oid, const uint8_t *in,
			 size_t in_len, uint8_t *info, size_t room, size_t *ret_len);
uint32_t rndis_oid_set(struct rndis_device *dev, uint32_t oid, const uint8_t *in, size_t in_len);

/* rndis_rss.c: the same for receive side scaling. */
uint32_t rndis_rss_query(const struct rndis_device *dev, const uint8_t *in, size_t in_len,
			 uint8_t *info, size_t room, size_t *ret_len);
uint32_t rndis_rss_set(struct rndis_device *dev, const uint8_t *in, size_t in_len);

#endif
