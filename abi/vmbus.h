/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VMBus: channel messages, ring buffers and packets, as guests of Hyper-V speak them.
 * Spec: the layouts are public in Linux include/linux/hyperv.h and in microsoft/openvmm
 * (vm/devices/vmbus/vmbus_core); all integers little endian.
 */
#ifndef OYA_ABI_VMBUS_H
#define OYA_ABI_VMBUS_H

#include "abi/guid.h"
#include "abi/packed.h"

/* Connections of HvPostMessage: 1 up to version 4.1, 4 from 5.0 on. */
#define VMBUS_CONNECTION_ID 1u
#define VMBUS_CONNECTION_ID_V5 4u
#define VMBUS_SINT 2u
#define VMBUS_MESSAGE_TYPE 1u /* in the SynIC message header */
#define VMBUS_MESSAGE_MAX 240u

#define VMBUS_VERSION(major, minor) ((uint32_t)(major) << 16 | (uint32_t)(minor))

enum vmbus_message_type {
	VMBUS_MSG_OFFER = 1,
	VMBUS_MSG_RESCIND = 2,
	VMBUS_MSG_REQUEST_OFFERS = 3,
	VMBUS_MSG_ALL_OFFERS_DELIVERED = 4,
	VMBUS_MSG_OPEN = 5,
	VMBUS_MSG_OPEN_RESULT = 6,
	VMBUS_MSG_CLOSE = 7,
	VMBUS_MSG_GPADL_HEADER = 8,
	VMBUS_MSG_GPADL_BODY = 9,
	VMBUS_MSG_GPADL_CREATED = 10,
	VMBUS_MSG_GPADL_TEARDOWN = 11,
	VMBUS_MSG_GPADL_TORNDOWN = 12,
	VMBUS_MSG_RELID_RELEASED = 13,
	VMBUS_MSG_INITIATE_CONTACT = 14,
	VMBUS_MSG_VERSION_RESPONSE = 15,
	VMBUS_MSG_UNLOAD = 16,
	VMBUS_MSG_UNLOAD_RESPONSE = 17,
	VMBUS_MSG_MODIFY_CHANNEL = 22,
	VMBUS_MSG_MODIFY_CHANNEL_RESPONSE = 24,
};

struct vmbus_msg_header {
	uint32_t type;
	uint32_t padding;
} OYA_PACKED;
OYA_SIZE(struct vmbus_msg_header, 8);

struct vmbus_msg_initiate_contact {
	struct vmbus_msg_header header;
	uint32_t version;
	uint32_t target_vp;
	uint64_t interrupt_page; /* from 5.0 on its low byte is the SINT for messages */
	uint64_t monitor_page[2];
} OYA_PACKED;
OYA_SIZE(struct vmbus_msg_initiate_contact, 40);

enum vmbus_connection_status {
	VMBUS_CONNECTION_OK = 0,
	VMBUS_CONNECTION_LOW_RESOURCES = 1,
	VMBUS_CONNECTION_FAILED = 2,
};

struct vmbus_msg_version_response {
	struct vmbus_msg_header header;
	uint8_t supported;
	uint8_t status;
	uint16_t padding;
	uint32_t connection_id; /* for the guest's further messages, from 5.0 on */
} OYA_PACKED;
OYA_SIZE(struct vmbus_msg_version_response, 16);

#define VMBUS_OFFER_USER_BYTES 120u
#define VMBUS_OFFER_ENUMERATE 0x0001u
#define VMBUS_OFFER_NAMED_PIPE 0x0010u
#define VMBUS_PIPE_MODE_MESSAGE 4u

struct vmbus_msg_offer {
	struct vmbus_msg_header header;
	struct guid interface_type;
	struct guid interface_instance;
	uint64_t reserved[2];
	uint16_t flags;
	uint16_t mmio_mib;
	uint8_t user[VMBUS_OFFER_USER_BYTES]; /* of a pipe: mode (u32) first */
	uint16_t sub_channel_index;
	uint16_t reserved2;
	uint32_t relid;
	uint8_t monitor_id;
	uint8_t monitor_allocated;
	uint16_t dedicated_interrupt; /* bit 0 */
	uint32_t connection_id;
} OYA_PACKED;
OYA_SIZE(struct vmbus_msg_offer, 196);
OYA_OFFSET(struct vmbus_msg_offer, relid, 184);

struct vmbus_msg_relid { /* rescind, close, relid released */
	struct vmbus_msg_header header;
	uint32_t relid;
} OYA_PACKED;
OYA_SIZE(struct vmbus_msg_relid, 12);

struct vmbus_msg_open {
	struct vmbus_msg_header header;
	uint32_t relid;
	uint32_t open_id;
	uint32_t ring_gpadl;
	uint32_t target_vp;
	uint32_t downstream_page; /* first page of the host-to-guest ring within the GPADL */
	uint8_t user[VMBUS_OFFER_USER_BYTES];
} OYA_PACKED;
OYA_SIZE(struct vmbus_msg_open, 148);

struct vmbus_msg_open_result {
	struct vmbus_msg_header header;
	uint32_t relid;
	uint32_t open_id;
	uint32_t status; /* 0 is success */
} OYA_PACKED;
OYA_SIZE(struct vmbus_msg_open_result, 20);

#define VMBUS_OPEN_FAILED 0xC0000001u /* STATUS_UNSUCCESSFUL */

struct vmbus_msg_gpadl_header {
	struct vmbus_msg_header header;
	uint32_t relid;
	uint32_t gpadl;
	uint16_t range_bytes; /* of all ranges, body messages included */
	uint16_t range_count;
	/* then the first bytes of the ranges: each u32 byte count, u32 byte offset, u64 PFNs */
} OYA_PACKED;
OYA_SIZE(struct vmbus_msg_gpadl_header, 20);

struct vmbus_msg_gpadl_body {
	struct vmbus_msg_header header;
	uint32_t number;
	uint32_t gpadl;
	/* then u64 PFNs */
} OYA_PACKED;
OYA_SIZE(struct vmbus_msg_gpadl_body, 16);

struct vmbus_msg_gpadl_created {
	struct vmbus_msg_header header;
	uint32_t relid;
	uint32_t gpadl;
	uint32_t status; /* 0 is success */
} OYA_PACKED;
OYA_SIZE(struct vmbus_msg_gpadl_created, 20);

struct vmbus_msg_gpadl_teardown {
	struct vmbus_msg_header header;
	uint32_t relid;
	uint32_t gpadl;
} OYA_PACKED;
OYA_SIZE(struct vmbus_msg_gpadl_teardown, 16);

struct vmbus_msg_gpadl_torndown {
	struct vmbus_msg_header header;
	uint32_t gpadl;
} OYA_PACKED;
OYA_SIZE(struct vmbus_msg_gpadl_torndown, 12);

struct vmbus_msg_modify_channel {
	struct vmbus_msg_header header;
	uint32_t relid;
	uint32_t target_vp;
} OYA_PACKED;
OYA_SIZE(struct vmbus_msg_modify_channel, 16);

struct vmbus_msg_modify_channel_response {
	struct vmbus_msg_header header;
	uint32_t relid;
	uint32_t status;
} OYA_PACKED;
OYA_SIZE(struct vmbus_msg_modify_channel_response, 16);

/* A GPA range, in GPADLs and in GPA-direct packets; u64 page frame numbers follow. */
struct vmbus_gpa_range {
	uint32_t byte_count;
	uint32_t byte_offset; /* within the first page */
} OYA_PACKED;
OYA_SIZE(struct vmbus_gpa_range, 8);

#define VMBUS_PAGE 4096u

/* Control page of a ring; the data begins one page further. */
struct vmbus_ring_control {
	uint32_t write_index;        /* offset of the next byte that the sender writes */
	uint32_t read_index;         /* offset of the next byte that the receiver reads */
	uint32_t interrupt_mask;     /* set by the receiver: do not signal me */
	uint32_t pending_send_bytes; /* set by a sender that waits for so much room */
	uint32_t reserved[12];
	uint32_t feature_bits; /* bit 0: pending_send_bytes is honoured */
	uint8_t padding[VMBUS_PAGE - 68];
}; /* not packed: its words are accessed atomically, and lie naturally anyway */
OYA_SIZE(struct vmbus_ring_control, 4096);
OYA_OFFSET(struct vmbus_ring_control, feature_bits, 64);

#define VMBUS_RING_FEATURE_PENDING_SEND 1u

enum vmbus_packet_type {
	VMBUS_PACKET_INBAND = 6,
	VMBUS_PACKET_TRANSFER_PAGES = 7,
	VMBUS_PACKET_GPA_DIRECT = 9,
	VMBUS_PACKET_COMPLETION = 11,
};

#define VMBUS_PACKET_WANTS_COMPLETION 1u

struct vmbus_packet_header {
	uint16_t type;
	uint16_t offset8; /* of the payload, in units of 8 bytes from the header */
	uint16_t length8; /* header and payload, in units of 8 bytes */
	uint16_t flags;
	uint64_t transaction;
} OYA_PACKED;
OYA_SIZE(struct vmbus_packet_header, 16);

#define VMBUS_PACKET_TRAILER 8u /* after each packet: the sender's old write index << 32 */

/* Behind the header of a GPA-direct packet; then range_count ranges, then the payload. */
struct vmbus_gpa_direct {
	uint32_t reserved;
	uint32_t range_count;
} OYA_PACKED;
OYA_SIZE(struct vmbus_gpa_direct, 8);

/* Behind the header of a transfer-page packet. */
struct vmbus_transfer_pages {
	uint16_t set_id;
	uint8_t sender_owns_set;
	uint8_t reserved;
	uint32_t range_count;
} OYA_PACKED;
OYA_SIZE(struct vmbus_transfer_pages, 8);

struct vmbus_transfer_range {
	uint32_t byte_count;
	uint32_t byte_offset;
} OYA_PACKED;
OYA_SIZE(struct vmbus_transfer_range, 8);

#endif
