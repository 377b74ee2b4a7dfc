/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VMBus as the program that makes the partition sees it: making the bus, what it needs of the
 * world, and what the world tells it. Devices use vmbus.h.
 *
 * Threads: every call with the lock of the devices held.
 */
#ifndef OYA_DEVICES_VMBUS_BUS_H
#define OYA_DEVICES_VMBUS_BUS_H

#include <stddef.h>
#include <stdint.h>

#include "base/record.h"
#include "devices/vmbus/vmbus.h"

/* Connection id that the guest signals for a channel: this plus the relid. Guest ABI. */
#define VMBUS_SIGNAL_CONNECTION_BASE 0x1000u

struct vmbus_world_ops {
	/* Puts a message into the VMBus slot of a VP: 0, or -EAGAIN while the slot is taken (the
	 * world calls vmbus_slot_free() when that changes), or -errno while the VP's SynIC is off
	 * (likewise). */
	int (*post)(void *ctx, uint32_t vp, const void *message, size_t len);
	/* Raises an event flag of the VMBus SINT at a VP. */
	void (*signal)(void *ctx, uint32_t vp, uint32_t flag);
	/* A channel opens or closes: connect the guest's signal of connection_id to
	 * vmbus_signal() by the shortest way there is. 0 or -errno (the open fails). */
	int (*bind_kick)(void *ctx, uint32_t connection_id);
	void (*unbind_kick)(void *ctx, uint32_t connection_id);
	/* Wants vmbus_run_deferred() to be called soon, but not from within this call. */
	void (*defer)(void *ctx);
};

struct vmbus_config {
	const struct vmbus_world_ops *world;
	void *world_ctx;
	const struct gmem *gmem;
	const struct guestlog *log;
	uint32_t vp_count;
	uint32_t max_version; /* 0: the newest that we know */
};

/* 0 and *ret_bus, or -ENOMEM. The config's pointers must outlive the bus. */
int vmbus_new(const struct vmbus_config *config, struct vmbus **ret_bus);

/* Devices must have been freed or have no further use for their channels. NULL is fine. */
void vmbus_free(struct vmbus *bus);

/* A message of the guest to connection 1 or 4, already copied out of its memory.
 * 0, or -EINVAL (the guest sees a failed hypercall): too short or of no known type. */
int vmbus_message(struct vmbus *bus, uint32_t connection_id, const void *message, size_t len);

/* The guest signalled a connection; unknown ones are ignored: 0 or -ENOENT. */
int vmbus_signal(struct vmbus *bus, uint32_t connection_id);

/* A VMBus message slot became free, or a VP's SynIC was switched on. */
void vmbus_slot_free(struct vmbus *bus);

void vmbus_run_deferred(struct vmbus *bus);

/* The partition is reset: all channels close, the guest is no longer connected. */
void vmbus_reset(struct vmbus *bus);

/* The bus in a saved state: a record of its own, and one for each channel, whose instance is the
 * relid. They are read into a bus that no guest has used, in that order, behind those of the
 * devices, which have offered their sub-channels by then; a channel finds its offer by instance
 * and index. At the end vmbus_restored(), once the partition is whole: guests that wait are
 * signalled, and learn of offers that the state did not have. */
void vmbus_record(struct vmbus *bus, struct record *r);
void vmbus_channel_record(struct vmbus *bus, uint32_t relid, struct record *r);
void vmbus_restored(struct vmbus *bus);

struct vmbus_channel_info {
	uint32_t relid;
	const char *device;
	const char *state;
	uint16_t sub_channel_index;
	uint64_t packets_in, packets_out, kicks, signals, ring_full;
};

/* Walks the channels: the first with relid >= *relid; 0 and *relid set to its relid, or -ENOENT. */
int vmbus_channel_info(const struct vmbus *bus, uint32_t *relid,
		       struct vmbus_channel_info *ret_info);

#endif
