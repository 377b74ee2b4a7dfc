/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Integration components: small services over VMBus channels in pipe mode. The host asks, the
 * guest sends the same message back with its answer filled in.
 * Spec: the layouts are public in Linux include/linux/hyperv.h, include/uapi/linux/hyperv.h and in
 * microsoft/openvmm (vm/devices/hyperv_ic_protocol); all integers little endian.
 */
#ifndef OYA_ABI_IC_H
#define OYA_ABI_IC_H

#include "abi/guid.h"
#include "abi/packed.h"

/* Interface types, and the instances by which Hyper-V offers them. */
#define IC_SHUTDOWN_TYPE GUID_INIT(0x0e0b6031, 0x5213, 0x4934, 0x818b, 0x38d90ced39db)
#define IC_SHUTDOWN_INSTANCE GUID_INIT(0xb6650ff7, 0x33bc, 0x4840, 0x8048, 0xe0676786f393)
#define IC_TIMESYNC_TYPE GUID_INIT(0x9527e630, 0xd0ae, 0x497b, 0xadce, 0xe80ab0175caf)
#define IC_TIMESYNC_INSTANCE GUID_INIT(0x2dd1ce17, 0x079e, 0x403c, 0xb352, 0xa1921ee207ee)
#define IC_HEARTBEAT_TYPE GUID_INIT(0x57164f39, 0x9115, 0x4e78, 0xab55, 0x382f3bd5422d)
#define IC_HEARTBEAT_INSTANCE GUID_INIT(0xfd149e91, 0x82e0, 0x4a7d, 0xafa6, 0x2a4166cbd7c0)
#define IC_KVP_TYPE GUID_INIT(0xa9a0f4e7, 0x5a45, 0x4d96, 0xb827, 0x8a841e8c03e6)
#define IC_KVP_INSTANCE GUID_INIT(0x242ff919, 0x07db, 0x4180, 0x9c2e, 0xb86cb68c8c55)

struct ic_pipe_header {
	uint32_t type;
	uint32_t len_bytes; /* of what follows */
} OYA_PACKED;
OYA_SIZE(struct ic_pipe_header, 8);

#define IC_PIPE_DATA 1u

struct ic_version {
	uint16_t major;
	uint16_t minor;
} OYA_PACKED;
OYA_SIZE(struct ic_version, 4);

enum ic_message_type {
	IC_NEGOTIATE = 0,
	IC_HEARTBEAT = 1,
	IC_KVP = 2,
	IC_SHUTDOWN = 3,
	IC_TIMESYNC = 4,
};

#define IC_FLAG_TRANSACTION 1u /* wants an answer */
#define IC_FLAG_REQUEST 2u
#define IC_FLAG_RESPONSE 4u

#define IC_STATUS_OK 0u
#define IC_STATUS_FAIL 0x80004005u
#define IC_STATUS_NO_MORE_ITEMS 0x80070103u

struct ic_header {
	struct ic_version framework;
	uint16_t type;
	struct ic_version message;
	uint16_t body_bytes;
	uint32_t status;
	uint8_t transaction;
	uint8_t flags;
	uint8_t reserved[2];
} OYA_PACKED;
OYA_SIZE(struct ic_header, 20);
OYA_OFFSET(struct ic_header, status, 12);

/* Then the framework's versions and the message versions; in the answer one of each. */
struct ic_negotiate {
	uint16_t framework_count;
	uint16_t message_count;
	uint32_t reserved;
} OYA_PACKED;
OYA_SIZE(struct ic_negotiate, 8);

struct ic_heartbeat {
	uint64_t sequence; /* the answer: one more */
	uint32_t application_state;
	uint32_t reserved[7];
} OYA_PACKED;
OYA_SIZE(struct ic_heartbeat, 40);

#define IC_SHUTDOWN_FORCE 1u
#define IC_SHUTDOWN_REBOOT 2u    /* from 3.1 on */
#define IC_SHUTDOWN_HIBERNATE 4u /* from 3.2 on */
#define IC_SHUTDOWN_REASON_PLANNED 0x80000000u
#define IC_SHUTDOWN_TEXT_BYTES 2048u

struct ic_shutdown {
	uint32_t reason;
	uint32_t timeout_s;
	uint32_t flags;
	uint8_t text[IC_SHUTDOWN_TEXT_BYTES]; /* UTF-16 */
} OYA_PACKED;
OYA_SIZE(struct ic_shutdown, 2060);

#define IC_TIMESYNC_SYNC 1u   /* set the clock now */
#define IC_TIMESYNC_SAMPLE 2u /* for a guest that disciplines its clock by itself */

/* 100 ns units from 1601-01-01 to 1970-01-01. */
#define IC_TIMESYNC_EPOCH UINT64_C(116444736000000000)

struct ic_timesync { /* before 4.0 */
	uint64_t host_time;
	uint64_t guest_time;
	uint64_t round_trip;
	uint8_t flags;
} OYA_PACKED;
OYA_SIZE(struct ic_timesync, 25);

struct ic_timesync_v4 {
	uint64_t host_time;
	uint64_t reference_time; /* the partition's reference counter at that time */
	uint8_t flags;
	uint8_t leap;
	uint8_t stratum;
	uint8_t reserved[5];
} OYA_PACKED;
OYA_SIZE(struct ic_timesync_v4, 24);

enum ic_kvp_operation {
	IC_KVP_GET = 0,
	IC_KVP_SET = 1,
	IC_KVP_DELETE = 2,
	IC_KVP_ENUMERATE = 3,
};

enum ic_kvp_pool {
	IC_KVP_POOL_EXTERNAL = 0,
	IC_KVP_POOL_GUEST = 1,
	IC_KVP_POOL_AUTO = 2,
	IC_KVP_POOL_PARAMETERS = 3,
	IC_KVP_POOLS = 4, /* that are known here */
};

enum ic_kvp_value_type {
	IC_KVP_STRING = 1,
	IC_KVP_U32 = 4,
	IC_KVP_U64 = 8,
};

#define IC_KVP_KEY_BYTES 512u
#define IC_KVP_VALUE_BYTES 2048u

struct ic_kvp_enumerate {
	uint8_t operation;
	uint8_t pool;
	uint16_t padding;
	uint32_t index;
	uint32_t value_type;
	uint32_t key_bytes; /* UTF-16, the closing NUL counted */
	uint32_t value_bytes;
	uint8_t key[IC_KVP_KEY_BYTES];
	uint8_t value[IC_KVP_VALUE_BYTES];
} OYA_PACKED;
OYA_SIZE(struct ic_kvp_enumerate, 2580);
OYA_OFFSET(struct ic_kvp_enumerate, key, 20);

struct ic_kvp_set {
	uint8_t operation;
	uint8_t pool;
	uint16_t padding;
	uint32_t value_type;
	uint32_t key_bytes;
	uint32_t value_bytes;
	uint8_t key[IC_KVP_KEY_BYTES];
	uint8_t value[IC_KVP_VALUE_BYTES];
	uint32_t unused; /* messages of all operations have the same length */
} OYA_PACKED;
OYA_SIZE(struct ic_kvp_set, 2580);
OYA_OFFSET(struct ic_kvp_set, key, 16);

struct ic_kvp_delete {
	uint8_t operation;
	uint8_t pool;
	uint16_t padding;
	uint32_t key_bytes;
	uint8_t key[IC_KVP_KEY_BYTES];
	uint8_t unused[2060];
} OYA_PACKED;
OYA_SIZE(struct ic_kvp_delete, 2580);
OYA_OFFSET(struct ic_kvp_delete, key, 8);

#endif
