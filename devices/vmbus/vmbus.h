/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VMBus as devices see it: a device registers an offer with a table of calls and talks through
 * the channels that the guest opens.
 *
 * Threads: everything with the lock of the devices held; calls into a device come from the bus
 * with the same lock held.
 *
 * Trust: what vmbus_channel_receive() gives is a private copy of bytes that a hostile guest
 * wrote: sizes are checked by the bus, contents by the device.
 *
 * Faults: a device that meets bytes which no honest driver sends calls vmbus_channel_fault():
 * the channel is dead until the guest closes it; other channels go on.
 *
 * Spec: abi/vmbus.h.
 */
#ifndef OYA_DEVICES_VMBUS_VMBUS_H
#define OYA_DEVICES_VMBUS_VMBUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "abi/vmbus.h"
#include "base/gmem.h"
#include "base/guestlog.h"
#include "base/guid.h"

struct vmbus;
struct vmbus_channel;

/* Largest packet that is taken from a guest, header included. A guest's longest: a storage
 * request of 8 MiB in 4 KiB pages and a GPA-direct header. */
#define VMBUS_PACKET_MAX 20480u

struct vmbus_packet {
	uint16_t type; /* enum vmbus_packet_type */
	bool wants_completion;
	uint64_t transaction;
	const uint8_t *payload;
	uint32_t payload_len;  /* bytes, a multiple of 8: the sender's length rounded up */
	const uint8_t *ranges; /* GPA-direct only: range_count ranges in wire form, checked to */
	uint32_t ranges_len;   /* lie within the packet, but neither their pages nor lengths */
	uint32_t range_count;
};

struct vmbus_device_ops {
	const char *name; /* for messages, e.g. "storvsp" */
	/* The guest opens the channel: 0, or -errno, which the guest sees as a failed open.
	 * user: VMBUS_OFFER_USER_BYTES bytes from the guest's open message. */
	int (*open)(void *dev, struct vmbus_channel *ch, const uint8_t *user);
	/* The guest signalled: packets wait, or room was made in the ring to the guest, or both.
	 * The device receives until -EAGAIN, or returns early when it has no room for more work
	 * and calls vmbus_channel_resume() once it has. */
	void (*ready)(void *dev, struct vmbus_channel *ch);
	/* The channel closes (guest's wish, fault is followed by it, unload, reset): the device
	 * forgets ch before it returns. Work under way may go on; its completion is dropped. */
	void (*close)(void *dev, struct vmbus_channel *ch);
	/* The channel was open when the state was written; the device's own state has been read. */
	void (*reopen)(void *dev, struct vmbus_channel *ch);
};

struct vmbus_offer {
	struct guid type;
	struct guid instance;
	uint16_t flags; /* VMBUS_OFFER_... */
	uint16_t mmio_mib;
	uint16_t sub_channel_index;           /* 0 for a primary channel */
	bool pipe;                            /* named pipe in message mode */
	uint8_t user[VMBUS_OFFER_USER_BYTES]; /* pipe: at most 116 bytes of it go out */
	const struct vmbus_device_ops *ops;
	void *dev;
};

/* Offers a channel; a guest that is connected learns of it at once (hot add, sub-channels).
 * 0 and *ret_channel, or -ENOSPC when no relid is free, -ENOMEM. */
int vmbus_offer_channel(struct vmbus *bus, const struct vmbus_offer *offer,
			struct vmbus_channel **ret_channel);

/* Gives an offer that no guest has seen another instance: that of a saved state. 0 or -EBUSY. */
int vmbus_offer_rename(struct vmbus_channel *ch, const struct guid *instance);

/* Takes the offer back: the device's close() runs when the channel is open, then the guest is
 * told. The channel must not be used by the device afterwards. */
void vmbus_rescind(struct vmbus_channel *ch);

/* Takes the next packet off the guest's ring. 0 and *ret_packet, valid until the next call on any
 * channel of the bus; -EAGAIN when there is none, or when other devices get their turn first (the
 * bus calls ready() again); -EPROTO when the ring is broken (faulted). */
int vmbus_channel_receive(struct vmbus_channel *ch, struct vmbus_packet *ret_packet);

/* Puts a packet into the ring to the guest. 0; -EAGAIN when there is no room (ready() is called
 * once there is); -EPROTO when the channel is not open or faulted. The guest is signalled when
 * the bus leaves ready(), or by vmbus_channel_flush() outside of it. */
int vmbus_channel_send(struct vmbus_channel *ch, uint16_t type, bool wants_completion,
		       uint64_t transaction, const void *payload, uint32_t payload_len);

/* The same for a completion of the guest's packet. */
int vmbus_channel_complete(struct vmbus_channel *ch, uint64_t transaction, const void *payload,
			   uint32_t payload_len);

/* The same for one transfer-page packet with 1 to VMBUS_TRANSFER_RANGES_MAX ranges. */
#define VMBUS_TRANSFER_RANGES_MAX 64u
int vmbus_channel_send_transfer(struct vmbus_channel *ch, uint16_t set_id,
				const struct vmbus_transfer_range *ranges, uint32_t count,
				uint64_t transaction, const void *payload, uint32_t payload_len);

/* Signals the guest of what was sent since the last signal, when it wants to know. */
void vmbus_channel_flush(struct vmbus_channel *ch);

/* Asks the bus to call ready() again soon, because the device can take work again. */
void vmbus_channel_resume(struct vmbus_channel *ch);

/* Declares the channel broken by the guest; one line tells why. */
__attribute__((format(printf, 2, 3))) void vmbus_channel_fault(struct vmbus_channel *ch,
							       const char *why, ...);

bool vmbus_channel_is_open(const struct vmbus_channel *ch);

/* Guest's VP that the channel's interrupts go to; the version that was agreed on. */
uint32_t vmbus_channel_target_vp(const struct vmbus_channel *ch);
uint32_t vmbus_version(const struct vmbus *bus);
const struct gmem *vmbus_gmem(const struct vmbus *bus);
const struct guestlog *vmbus_log(const struct vmbus *bus);
struct vmbus *vmbus_channel_bus(const struct vmbus_channel *ch);

/* A walk over the GPA ranges of a packet: host pieces of guest memory.
 * Fills iov with at most max entries covering at most max_bytes; adjacent pages are joined.
 * 0 with *ret_count and *ret_bytes; -EFAULT for a page outside RAM; -E2BIG when max or max_bytes
 * does not suffice; -EINVAL for a malformed range. */
int vmbus_packet_iov(const struct vmbus *bus, const struct vmbus_packet *packet, struct iovec *iov,
		     unsigned max, uint64_t max_bytes, unsigned *ret_count, uint64_t *ret_bytes);

/* A GPADL of this channel (netvsc's buffers). The handle is the guest's number.
 * Length in bytes, or -ENOENT. */
int64_t vmbus_gpadl_len(const struct vmbus_channel *ch, uint32_t handle);

/* Copies between a buffer and [offset, offset + len) of a GPADL of this channel.
 * 0, -ENOENT, or -ERANGE with nothing copied. */
int vmbus_gpadl_read(const struct vmbus_channel *ch, uint32_t handle, uint64_t offset, void *dst,
		     uint64_t len);
int vmbus_gpadl_write(const struct vmbus_channel *ch, uint32_t handle, uint64_t offset,
		      const void *src, uint64_t len);

/* The piece has been written to by way of its host pieces (gmem_written). */
void vmbus_gpadl_written(const struct vmbus_channel *ch, uint32_t handle, uint64_t offset,
			 uint64_t len);

/* Host pieces of [offset, offset + len) of a GPADL; 0 with *ret_count, -ENOENT, -ERANGE, -E2BIG. */
int vmbus_gpadl_iov(const struct vmbus_channel *ch, uint32_t handle, uint64_t offset, uint64_t len,
		    struct iovec *iov, unsigned max, unsigned *ret_count);

#endif
