/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * NVSP: the messages between a network driver in a guest and the host's NIC, carried in VMBus
 * packets. RNDIS messages travel inside of it (abi/rndis.h).
 * Spec: the layouts are public in Linux drivers/net/hyperv/hyperv_net.h and in microsoft/openvmm
 * (vm/devices/net/netvsp); all integers little endian.
 */
#ifndef OYA_ABI_NETVSC_H
#define OYA_ABI_NETVSC_H

#include "abi/packed.h"

#define NVSP_VERSION_1 0x00002u
#define NVSP_VERSION_2 0x30002u
#define NVSP_VERSION_4 0x40000u
#define NVSP_VERSION_5 0x50000u
#define NVSP_VERSION_6 0x60000u
#define NVSP_VERSION_6_1 0x60001u

/* Size of every message, padding included; Windows drivers insist on it. */
#define NVSP_MESSAGE_BYTES_V1 28u
#define NVSP_MESSAGE_BYTES_V6_1 40u

enum nvsp_message_type {
	NVSP_MSG_INIT = 1,
	NVSP_MSG_INIT_COMPLETE = 2,
	NVSP_MSG_NDIS_VERSION = 100,
	NVSP_MSG_RECEIVE_BUFFER = 101,
	NVSP_MSG_RECEIVE_BUFFER_COMPLETE = 102,
	NVSP_MSG_REVOKE_RECEIVE_BUFFER = 103,
	NVSP_MSG_SEND_BUFFER = 104,
	NVSP_MSG_SEND_BUFFER_COMPLETE = 105,
	NVSP_MSG_REVOKE_SEND_BUFFER = 106,
	NVSP_MSG_RNDIS = 107,
	NVSP_MSG_RNDIS_COMPLETE = 108,
	NVSP_MSG_NDIS_CONFIG = 125, /* from version 2 on */
	NVSP_MSG_SWITCH_DATA_PATH = 129,
	NVSP_MSG_SUB_CHANNEL = 133, /* request and its completion; from version 5 on */
	NVSP_MSG_SEND_TABLE = 134,  /* to the guest: which queue sends what */
};

enum nvsp_status {
	NVSP_STATUS_SUCCESS = 1,
	NVSP_STATUS_FAILURE = 2,
	NVSP_STATUS_VERSION_TOO_NEW = 3,
	NVSP_STATUS_VERSION_TOO_OLD = 4,
	NVSP_STATUS_BAD_RNDIS = 5,
	NVSP_STATUS_BUSY = 6,
	NVSP_STATUS_VERSION_UNSUPPORTED = 7,
};

/* The transfer-page set of the receive buffer, and the number that the guest gives it. */
#define NVSP_RECEIVE_BUFFER_ID 0xCAFEu

struct nvsp_init {
	uint32_t type;
	uint32_t min_version;
	uint32_t max_version;
} OYA_PACKED;
OYA_SIZE(struct nvsp_init, 12);

struct nvsp_init_complete {
	uint32_t type;
	uint32_t version;
	uint32_t max_mdl_chain; /* pieces of memory in one data packet */
	uint32_t status;
} OYA_PACKED;
OYA_SIZE(struct nvsp_init_complete, 16);

struct nvsp_ndis_config {
	uint32_t type;
	uint32_t mtu; /* of the frame: Ethernet header included */
	uint32_t reserved;
	uint64_t capabilities;
} OYA_PACKED;
OYA_SIZE(struct nvsp_ndis_config, 20);

#define NVSP_CAPABILITY_VLAN (UINT64_C(1) << 3)
#define NVSP_CAPABILITY_RSC (UINT64_C(1) << 7)

/* Receive buffer and send buffer alike; a revocation carries the id at `gpadl`'s place. */
struct nvsp_buffer {
	uint32_t type;
	uint32_t gpadl;
	uint16_t id;
} OYA_PACKED;
OYA_SIZE(struct nvsp_buffer, 10);

struct nvsp_receive_buffer_complete {
	uint32_t type;
	uint32_t status;
	uint32_t part_count; /* drivers take only 1, at offset 0 */
	uint32_t offset;
	uint32_t section_bytes;
	uint32_t section_count;
	uint32_t end_offset;
} OYA_PACKED;
OYA_SIZE(struct nvsp_receive_buffer_complete, 28);

struct nvsp_send_buffer_complete {
	uint32_t type;
	uint32_t status;
	uint32_t section_bytes;
} OYA_PACKED;
OYA_SIZE(struct nvsp_send_buffer_complete, 12);

#define NVSP_CHANNEL_DATA 0u
#define NVSP_CHANNEL_CONTROL 1u
#define NVSP_NO_SECTION 0xFFFFFFFFu

struct nvsp_rndis {
	uint32_t type;
	uint32_t channel;       /* NVSP_CHANNEL_... */
	uint32_t section;       /* of the send buffer; what it holds comes before the GPA ranges */
	uint32_t section_bytes; /* used of it */
} OYA_PACKED;
OYA_SIZE(struct nvsp_rndis, 16);

struct nvsp_rndis_complete {
	uint32_t type;
	uint32_t status;
} OYA_PACKED;
OYA_SIZE(struct nvsp_rndis_complete, 8);

#define NVSP_SUB_CHANNEL_ALLOCATE 1u

struct nvsp_sub_channel {
	uint32_t type;
	uint32_t operation; /* 1: allocate; in the completion: status */
	uint32_t count;
} OYA_PACKED;
OYA_SIZE(struct nvsp_sub_channel, 12);

/* A flow goes out by the queue that stands at its hash modulo the number of entries. */
#define NVSP_SEND_TABLE_ENTRIES 16u

struct nvsp_send_table {
	uint32_t type;
	uint32_t count;  /* NVSP_SEND_TABLE_ENTRIES, each of 32 bits */
	uint32_t offset; /* of the first, from the begin of the message */
} OYA_PACKED;
OYA_SIZE(struct nvsp_send_table, 12);

#endif
