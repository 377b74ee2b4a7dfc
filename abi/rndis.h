/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * RNDIS as guests of Hyper-V speak it: control messages, data packets, object identifiers.
 * Spec: MS-RNDIS; NDIS offload structures: public in Linux drivers/net/hyperv/hyperv_net.h.
 * All integers little endian. Offsets within a message count from behind struct rndis_header.
 */
#ifndef OYA_ABI_RNDIS_H
#define OYA_ABI_RNDIS_H

#include "abi/packed.h"

#define RNDIS_COMPLETION 0x80000000u /* or'ed to the type of the request */

enum rndis_message_type {
	RNDIS_MSG_PACKET = 1,
	RNDIS_MSG_INITIALIZE = 2,
	RNDIS_MSG_HALT = 3, /* has no completion */
	RNDIS_MSG_QUERY = 4,
	RNDIS_MSG_SET = 5,
	RNDIS_MSG_RESET = 6,
	RNDIS_MSG_INDICATE_STATUS = 7,
	RNDIS_MSG_KEEPALIVE = 8,
};

#define RNDIS_STATUS_SUCCESS 0x00000000u
#define RNDIS_STATUS_MEDIA_CONNECT 0x4001000Bu
#define RNDIS_STATUS_MEDIA_DISCONNECT 0x4001000Cu
#define RNDIS_STATUS_FAILURE 0xC0000001u
#define RNDIS_STATUS_NOT_SUPPORTED 0xC00000BBu
#define RNDIS_STATUS_INVALID_LENGTH 0xC0010014u
#define RNDIS_STATUS_INVALID_DATA 0xC0010015u

#define RNDIS_VERSION_MAJOR 1u
#define RNDIS_VERSION_MINOR 0u
#define RNDIS_DEVICE_CONNECTIONLESS 1u
#define RNDIS_MEDIUM_802_3 0u

struct rndis_header {
	uint32_t type;
	uint32_t len; /* of the message, header included */
} OYA_PACKED;
OYA_SIZE(struct rndis_header, 8);

struct rndis_initialize {
	struct rndis_header header;
	uint32_t request_id;
	uint32_t major;
	uint32_t minor;
	uint32_t max_transfer_bytes;
} OYA_PACKED;
OYA_SIZE(struct rndis_initialize, 24);

struct rndis_initialize_complete {
	struct rndis_header header;
	uint32_t request_id;
	uint32_t status;
	uint32_t major;
	uint32_t minor;
	uint32_t device_flags;
	uint32_t medium;
	uint32_t max_packets;        /* in one message */
	uint32_t max_transfer_bytes; /* of one message */
	uint32_t packet_alignment;   /* a power of 2: its exponent */
	uint32_t reserved[2];
} OYA_PACKED;
OYA_SIZE(struct rndis_initialize_complete, 52);

/* Query and set: the information lies at info_offset. */
struct rndis_oid_request {
	struct rndis_header header;
	uint32_t request_id;
	uint32_t oid;
	uint32_t info_len;
	uint32_t info_offset; /* from request_id */
	uint32_t reserved;
} OYA_PACKED;
OYA_SIZE(struct rndis_oid_request, 28);

struct rndis_query_complete {
	struct rndis_header header;
	uint32_t request_id;
	uint32_t status;
	uint32_t info_len;
	uint32_t info_offset; /* from request_id; drivers refuse less than 16 */
} OYA_PACKED;
OYA_SIZE(struct rndis_query_complete, 24);

/* Completion of set and keep-alive. */
struct rndis_plain_complete {
	struct rndis_header header;
	uint32_t request_id;
	uint32_t status;
} OYA_PACKED;
OYA_SIZE(struct rndis_plain_complete, 16);

struct rndis_reset_complete {
	struct rndis_header header;
	uint32_t status;
	uint32_t addressing_reset; /* 1: filter and multicast list have to be set anew */
} OYA_PACKED;
OYA_SIZE(struct rndis_reset_complete, 16);

struct rndis_indicate_status {
	struct rndis_header header;
	uint32_t status;
	uint32_t buffer_len;
	uint32_t buffer_offset;
} OYA_PACKED;
OYA_SIZE(struct rndis_indicate_status, 20);

struct rndis_packet {
	struct rndis_header header;
	uint32_t data_offset; /* offsets count from this field */
	uint32_t data_len;
	uint32_t oob_offset;
	uint32_t oob_len;
	uint32_t oob_count;
	uint32_t info_offset; /* per-packet information */
	uint32_t info_len;
	uint32_t vc_handle;
	uint32_t reserved;
} OYA_PACKED;
OYA_SIZE(struct rndis_packet, 44);
OYA_OFFSET(struct rndis_packet, info_offset, 28);

/* One piece of per-packet information; its value lies at value_offset from its begin. */
struct rndis_packet_info {
	uint32_t len;  /* this header and the value */
	uint32_t type; /* bit 31: of the driver's private numbers */
	uint32_t value_offset;
} OYA_PACKED;
OYA_SIZE(struct rndis_packet_info, 12);

enum rndis_packet_info_type {
	RNDIS_INFO_CHECKSUM = 0,
	RNDIS_INFO_LARGE_SEND = 2,
	RNDIS_INFO_VLAN = 6,
	RNDIS_INFO_HASH = 8,
};

/* Of the private numbers: which part of a coalesced frame this is. */
#define RNDIS_INFO_PART 0x80000001u

/* RNDIS_INFO_CHECKSUM out of the guest: what is to be filled in. The field holds the sum of the
 * pseudo header already. */
#define RNDIS_SEND_CHECKSUM_IP4 0x01u
#define RNDIS_SEND_CHECKSUM_IP6 0x02u
#define RNDIS_SEND_CHECKSUM_TCP 0x04u
#define RNDIS_SEND_CHECKSUM_UDP 0x08u
#define RNDIS_SEND_CHECKSUM_IP_HEADER 0x10u
#define RNDIS_SEND_CHECKSUM_OFFSET_SHIFT 16 /* of the TCP or UDP header, 10 bits */

/* To the guest: what was found right; "value invalid": right, but not written into the frame. */
#define RNDIS_RECEIVE_CHECKSUM_TCP 0x08u
#define RNDIS_RECEIVE_CHECKSUM_UDP 0x10u
#define RNDIS_RECEIVE_CHECKSUM_TCP_INVALID 0x80u

/* RNDIS_INFO_LARGE_SEND, version 2. */
#define RNDIS_LARGE_SEND_MSS_MASK 0xFFFFFu
#define RNDIS_LARGE_SEND_OFFSET_SHIFT 20 /* of the TCP header, 10 bits */
#define RNDIS_LARGE_SEND_V2 0x40000000u
#define RNDIS_LARGE_SEND_IP6 0x80000000u
#define RNDIS_OFFSET_MASK 0x3FFu

#define RNDIS_PART_VERSION 1u
#define RNDIS_PART_OF_MANY 1u
#define RNDIS_PART_FIRST 2u
#define RNDIS_PART_LAST 4u

#define RNDIS_FILTER_DIRECTED 0x0001u
#define RNDIS_FILTER_MULTICAST 0x0002u
#define RNDIS_FILTER_ALL_MULTICAST 0x0004u
#define RNDIS_FILTER_BROADCAST 0x0008u
#define RNDIS_FILTER_PROMISCUOUS 0x0020u

enum rndis_oid {
	RNDIS_OID_SUPPORTED_LIST = 0x00010101,
	RNDIS_OID_HARDWARE_STATUS = 0x00010102,
	RNDIS_OID_MEDIA_SUPPORTED = 0x00010103,
	RNDIS_OID_MEDIA_IN_USE = 0x00010104,
	RNDIS_OID_MAXIMUM_LOOKAHEAD = 0x00010105,
	RNDIS_OID_MAXIMUM_FRAME_SIZE = 0x00010106,
	RNDIS_OID_LINK_SPEED = 0x00010107, /* in units of 100 bit/s */
	RNDIS_OID_TRANSMIT_BUFFER_SPACE = 0x00010108,
	RNDIS_OID_RECEIVE_BUFFER_SPACE = 0x00010109,
	RNDIS_OID_TRANSMIT_BLOCK_SIZE = 0x0001010A,
	RNDIS_OID_RECEIVE_BLOCK_SIZE = 0x0001010B,
	RNDIS_OID_VENDOR_ID = 0x0001010C,
	RNDIS_OID_VENDOR_DESCRIPTION = 0x0001010D,
	RNDIS_OID_PACKET_FILTER = 0x0001010E,
	RNDIS_OID_CURRENT_LOOKAHEAD = 0x0001010F,
	RNDIS_OID_DRIVER_VERSION = 0x00010110,
	RNDIS_OID_MAXIMUM_TOTAL_SIZE = 0x00010111,
	RNDIS_OID_MAC_OPTIONS = 0x00010113,
	RNDIS_OID_MEDIA_CONNECT_STATUS = 0x00010114, /* 0 is connected */
	RNDIS_OID_MAXIMUM_SEND_PACKETS = 0x00010115,
	RNDIS_OID_VENDOR_DRIVER_VERSION = 0x00010116,
	RNDIS_OID_NETWORK_ADDRESSES = 0x00010118,
	RNDIS_OID_RSS_CAPABILITIES = 0x00010203,
	RNDIS_OID_RSS_PARAMETERS = 0x00010204,
	RNDIS_OID_CONFIG_PARAMETER = 0x0001021B,
	RNDIS_OID_FRAMES_SENT = 0x00020101,
	RNDIS_OID_FRAMES_RECEIVED = 0x00020102,
	RNDIS_OID_SEND_ERRORS = 0x00020103,
	RNDIS_OID_RECEIVE_ERRORS = 0x00020104,
	RNDIS_OID_RECEIVE_NO_BUFFER = 0x00020105,
	RNDIS_OID_FRIENDLY_NAME = 0x00020216,
	RNDIS_OID_PERMANENT_ADDRESS = 0x01010101,
	RNDIS_OID_CURRENT_ADDRESS = 0x01010102,
	RNDIS_OID_MULTICAST_LIST = 0x01010103,
	RNDIS_OID_MAXIMUM_LIST_SIZE = 0x01010104,
	RNDIS_OID_RECEIVE_ALIGNMENT_ERRORS = 0x01020101,
	RNDIS_OID_SEND_ONE_COLLISION = 0x01020102,
	RNDIS_OID_SEND_MORE_COLLISIONS = 0x01020103,
};

/* Outside of what an enumeration of C11 may hold. */
#define RNDIS_OID_OFFLOAD_CURRENT 0xFC01020Bu
#define RNDIS_OID_OFFLOAD_PARAMETERS 0xFC01020Cu
#define RNDIS_OID_OFFLOAD_HARDWARE 0xFC01020Du

/* Head of every structure of NDIS 6. */
struct ndis_object {
	uint8_t type;
	uint8_t revision;
	uint16_t bytes;
} OYA_PACKED;
OYA_SIZE(struct ndis_object, 4);

#define NDIS_OBJECT_DEFAULT 0x80u
#define NDIS_OBJECT_OFFLOAD 0xA7u
#define NDIS_OBJECT_RSS_CAPABILITIES 0x88u
#define NDIS_OBJECT_RSS_PARAMETERS 0x89u
/* Structure of the offload capabilities at revisions 1 (NDIS 6.0) and 3 (NDIS 6.30). */
#define NDIS_OFFLOAD_BYTES_V1 112u
#define NDIS_OFFLOAD_BYTES_V3 156u

#define NDIS_ENCAPSULATION_802_3 2u
/* With options of IP and TCP; of revision 3. */
#define NDIS_SEND_CHECKSUM_IP4 0x055u /* TCP, UDP, with options */
#define NDIS_SEND_CHECKSUM_IP6 0x055u
#define NDIS_RECEIVE_CHECKSUM_IP4 0x055u
#define NDIS_RECEIVE_CHECKSUM_IP6 0x055u
#define NDIS_LARGE_SEND_IP6_OPTIONS 0x005u

struct ndis_offload {
	struct ndis_object object;
	uint32_t send_ip4_encapsulation, send_ip4_checksum;
	uint32_t receive_ip4_encapsulation, receive_ip4_checksum;
	uint32_t send_ip6_encapsulation, send_ip6_checksum;
	uint32_t receive_ip6_encapsulation, receive_ip6_checksum;
	uint32_t large_send_v1[4];
	uint32_t ipsec_v1[7];
	uint32_t large_send_ip4_encapsulation;
	uint32_t large_send_ip4_bytes;
	uint32_t large_send_ip4_segments; /* at least */
	uint32_t large_send_ip6_encapsulation;
	uint32_t large_send_ip6_bytes;
	uint32_t large_send_ip6_segments;
	uint32_t large_send_ip6_options;
	uint32_t flags;
	uint32_t ipsec_v2[8];
	uint8_t coalesce_ip4; /* NDIS 6.30 */
	uint8_t coalesce_ip6;
	uint16_t padding;
	uint32_t encapsulated[2];
} OYA_PACKED;
OYA_SIZE(struct ndis_offload, NDIS_OFFLOAD_BYTES_V3);
OYA_OFFSET(struct ndis_offload, large_send_ip4_encapsulation, 80);
OYA_OFFSET(struct ndis_offload, ipsec_v2, NDIS_OFFLOAD_BYTES_V1);
OYA_OFFSET(struct ndis_offload, coalesce_ip4, 144);

/* What a driver wants of the offloads; 0: as it is, 1: off, more: some way of on. */
struct ndis_offload_parameters {
	struct ndis_object object;
	uint8_t ip4_checksum;
	uint8_t tcp4_checksum;
	uint8_t udp4_checksum;
	uint8_t tcp6_checksum;
	uint8_t udp6_checksum;
	uint8_t large_send_v1;
	uint8_t ipsec_v1;
	uint8_t large_send_v2_ip4;
	uint8_t large_send_v2_ip6;
	uint8_t connection_ip4;
	uint8_t connection_ip6;
	uint8_t padding;
	uint32_t flags;
	uint8_t ipsec_v2;
	uint8_t ipsec_v2_ip4;
	uint8_t coalesce_ip4;
	uint8_t coalesce_ip6;
	uint8_t encapsulated_task;
	uint8_t encapsulation_types;
	uint8_t padding2[2];
} OYA_PACKED;
OYA_SIZE(struct ndis_offload_parameters, 28);
OYA_OFFSET(struct ndis_offload_parameters, flags, 16);
OYA_OFFSET(struct ndis_offload_parameters, coalesce_ip4, 22);

#define NDIS_OFFLOAD_OFF 1u
#define NDIS_OFFLOAD_ON 2u /* of large send and coalescing */
#define NDIS_CHECKSUM_SEND 2u
#define NDIS_CHECKSUM_RECEIVE 3u
#define NDIS_CHECKSUM_BOTH 4u

/* Receive side scaling. */
#define NDIS_RSS_TOEPLITZ 0x00000001u
#define NDIS_RSS_IP4 0x00000100u
#define NDIS_RSS_TCP_IP4 0x00000200u
#define NDIS_RSS_IP6 0x00000400u
#define NDIS_RSS_TCP_IP6 0x00001000u

/* The capabilities have bits of their own for the types. */
#define NDIS_RSS_CAN_TCP_IP4 0x00000100u
#define NDIS_RSS_CAN_TCP_IP6 0x00000200u
#define NDIS_RSS_CAN_MESSAGE_INTERRUPTS 0x01000000u

struct ndis_rss_capabilities {
	struct ndis_object object;
	uint32_t capabilities;
	uint32_t interrupts;
	uint32_t queues;
	uint16_t table_entries; /* revision 2 */
	uint16_t padding;       /* which Linux leaves out */
} OYA_PACKED;
OYA_SIZE(struct ndis_rss_capabilities, 20);
#define NDIS_RSS_CAPABILITIES_BYTES_V1 16u

#define NDIS_RSS_KEY_BYTES 40u
#define NDIS_RSS_TABLE_ENTRIES 128u /* of 32 bits */

/* Offsets count from the begin of the structure. */
struct ndis_rss_parameters {
	struct ndis_object object;
	uint16_t flags;
	uint16_t base_processor;
	uint32_t hash; /* NDIS_RSS_TOEPLITZ and types */
	uint16_t table_bytes;
	uint16_t padding;
	uint32_t table_offset;
	uint16_t key_bytes;
	uint16_t padding2;
	uint32_t key_offset;
} OYA_PACKED;
OYA_SIZE(struct ndis_rss_parameters, 28);
OYA_OFFSET(struct ndis_rss_parameters, table_offset, 16);
OYA_OFFSET(struct ndis_rss_parameters, key_offset, 24);

#define NDIS_RSS_HASH_UNCHANGED 0x0002u
#define NDIS_RSS_TABLE_UNCHANGED 0x0004u
#define NDIS_RSS_KEY_UNCHANGED 0x0008u
#define NDIS_RSS_OFF 0x0010u

#endif
