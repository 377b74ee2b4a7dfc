/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The synthetic SCSI controller: packets between a guest's storage driver and its host, carried
 * in VMBus packets. Data travels as GPA-direct ranges beside the packet, never inside it.
 * Spec: the layouts are public in Linux drivers/scsi/storvsc_drv.c and in microsoft/openvmm
 * (vm/devices/storage/storvsp_protocol); all integers little endian.
 */
#ifndef OYA_ABI_STORVSC_H
#define OYA_ABI_STORVSC_H

#include "abi/guid.h"
#include "abi/packed.h"

/* Interface type of the offer: ba6163d9-04a1-4d29-b605-72e2ffb1dc7f. */
#define STORVSC_SCSI_INTERFACE GUID_INIT(0xba6163d9, 0x04a1, 0x4d29, 0xb605, 0x72e2ffb1dc7f)

/* Of a unit at an IDE channel, which has a controller of its own:
 * 32412632-86cb-44a2-9b5c-50d1417354f5. Bytes 5:4 of the instance are the target. */
#define STORVSC_IDE_INTERFACE GUID_INIT(0x32412632, 0x86cb, 0x44a2, 0x9b5c, 0x50d1417354f5)

#define STORVSC_VERSION(major, minor) ((uint16_t)((major) << 8 | (minor)))
#define STORVSC_VERSION_5_1 STORVSC_VERSION(5, 1)
#define STORVSC_VERSION_6_0 STORVSC_VERSION(6, 0)
#define STORVSC_VERSION_6_2 STORVSC_VERSION(6, 2)

#define STORVSC_UNASKED 0u /* transaction of a packet that is no answer */

enum storvsc_operation {
	STORVSC_OP_COMPLETE_IO = 1, /* of every answer */
	STORVSC_OP_EXECUTE_SRB = 3,
	STORVSC_OP_RESET_LUN = 4,
	STORVSC_OP_RESET_ADAPTER = 5,
	STORVSC_OP_RESET_BUS = 6,
	STORVSC_OP_BEGIN_INITIALIZATION = 7,
	STORVSC_OP_END_INITIALIZATION = 8,
	STORVSC_OP_QUERY_PROTOCOL_VERSION = 9,
	STORVSC_OP_QUERY_PROPERTIES = 10,
	STORVSC_OP_ENUMERATE_BUS = 11, /* of the host, unasked: units have come or gone */
	STORVSC_OP_CREATE_SUB_CHANNELS = 13,
};

/* Status of an answer: NTSTATUS numbers. */
enum storvsc_status {
	STORVSC_STATUS_OK = 0,
	STORVSC_STATUS_BUFFER_OVERFLOW = 0x80000005,
	STORVSC_STATUS_BUSY = 0x80000011,
	STORVSC_STATUS_INVALID_PARAMETER = 0xC000000D,
	STORVSC_STATUS_INVALID_REQUEST = 0xC0000010,
	STORVSC_STATUS_REVISION_MISMATCH = 0xC0000059,
	STORVSC_STATUS_NO_RESOURCES = 0xC000009A,
	STORVSC_STATUS_INVALID_STATE = 0xC0000184,
	STORVSC_STATUS_IO_ERROR = 0xC0000185,
};

/* SRB status: a number in the low six bits, marks above. */
#define STORVSC_SRB_SUCCESS 0x01u
#define STORVSC_SRB_ERROR 0x04u
#define STORVSC_SRB_BUSY 0x05u
#define STORVSC_SRB_INVALID_REQUEST 0x06u
#define STORVSC_SRB_DATA_OVERRUN 0x12u
#define STORVSC_SRB_INVALID_LUN 0x20u
#define STORVSC_SRB_AUTOSENSE_VALID 0x80u

#define STORVSC_CDB_MAX 16u
#define STORVSC_SENSE_MAX 20u

struct storvsc_srb {
	uint16_t length; /* of this structure */
	uint8_t srb_status;
	uint8_t scsi_status;
	uint8_t port;
	uint8_t path;
	uint8_t target;
	uint8_t lun;
	uint8_t cdb_length;
	uint8_t sense_length;
	uint8_t data_in; /* 0 guest to disk, 1 disk to guest, 2 no data */
	uint8_t reserved;
	uint32_t data_transfer_length;
	union {
		uint8_t cdb[STORVSC_CDB_MAX];
		uint8_t sense[STORVSC_SENSE_MAX];
	} OYA_PACKED;
	/* from protocol 5.1 on */
	uint16_t reserved2;
	uint8_t queue_tag;
	uint8_t queue_action;
	uint32_t flags;
	uint32_t timeout_s;
	uint32_t queue_sort_key;
} OYA_PACKED;
OYA_SIZE(struct storvsc_srb, 52);
OYA_OFFSET(struct storvsc_srb, data_transfer_length, 12);
OYA_OFFSET(struct storvsc_srb, cdb, 16);
OYA_OFFSET(struct storvsc_srb, flags, 40);

#define STORVSC_PROPERTY_MULTI_CHANNEL 0x1u

struct storvsc_properties {
	uint32_t reserved;
	uint16_t max_sub_channels;
	uint16_t reserved2;
	uint32_t flags;
	uint32_t max_transfer_bytes;
	uint64_t reserved3;
} OYA_PACKED;
OYA_SIZE(struct storvsc_properties, 24);

struct storvsc_version {
	uint16_t major_minor;
	uint16_t revision;
} OYA_PACKED;
OYA_SIZE(struct storvsc_version, 4);

struct storvsc_packet {
	uint32_t operation;
	uint32_t flags;
	uint32_t status;
	union {
		struct storvsc_srb srb;
		struct storvsc_properties properties;
		struct storvsc_version version;
		uint16_t sub_channel_count;
	} OYA_PACKED;
} OYA_PACKED;
OYA_SIZE(struct storvsc_packet, 64);
OYA_OFFSET(struct storvsc_packet, srb, 12);

/* How much of a packet must have come for it to mean anything. */
#define STORVSC_HEADER_BYTES 12u
#define STORVSC_SRB_PACKET_MIN 48u /* header and the SRB of protocols before 5.1 */

#endif
