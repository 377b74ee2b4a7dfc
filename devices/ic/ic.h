/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the integration components have in common: the offer, the agreement on versions, and one
 * request at a time with its answer.
 *
 * Role: a component embeds struct ic, which is the device that VMBus sees; nobody else uses this
 * file but for the environment and the version queries.
 *
 * Trust: answers are hostile. ic_decode() checks the lengths of both headers against the packet;
 * the component checks the body. What no honest driver sends faults the channel, and only that.
 *
 * Threads: all calls with the lock of the devices held.
 *
 * Invariants:
 *  1. at most one request is unanswered: state IC_WAITING;
 *  2. versions are those that we offered, or 0 before they are agreed on.
 *
 * Spec: abi/ic.h.
 */
#ifndef OYA_DEVICES_IC_IC_H
#define OYA_DEVICES_IC_IC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/ic.h"
#include "base/irq.h"
#include "base/record.h"
#include "base/timerq.h"
#include "devices/vmbus/vmbus.h"

#define IC_VERSION(major, minor) ((uint32_t)(major) << 16 | (uint32_t)(minor))
#define IC_VERSIONS_MAX 8u
#define IC_BODY_MAX 2580u /* the longest message, of key-value pairs */

#define IC_NS_PER_S UINT64_C(1000000000)

/* What a component is given; kept by value, the pointers must outlive it. */
struct ic_env {
	struct vmbus *bus;
	struct timerq *timers; /* in the time of clock->monotonic_ns */
	const struct clock_ops *clock;
	void *clock_ctx;
};

enum ic_state {
	IC_CLOSED,
	IC_OPENED, /* nothing sent yet */
	IC_NEGOTIATING,
	IC_IDLE,
	IC_WAITING, /* for the answer to a request */
	IC_REFUSED, /* no version in common: the channel stays silent */
	IC_FAULTED, /* the guest broke the protocol: dead until it closes the channel */
};

struct ic_message {
	struct ic_header header;
	const uint8_t *body; /* header.body_bytes, within the packet */
};

struct ic_ops {
	/* Versions are agreed on: requests may be sent. */
	void (*ready)(void *owner);
	/* The answer to the request; the next may be sent from here. Not 0: its contents are what
	 * no honest driver sends. */
	int (*answer)(void *owner, const struct ic_message *msg);
	/* The channel closed or is dead; a request under way will have no answer. Once for each
	 * time that the channel was opened. */
	void (*closed)(void *owner);
};

/* Static: VMBus may know the name of a device for longer than the device lives. */
struct ic_service {
	struct vmbus_device_ops device; /* IC_DEVICE(name) */
	struct guid type, instance;
	uint16_t request_type;    /* enum ic_message_type */
	const uint32_t *versions; /* IC_VERSION, low to high */
	unsigned version_count;
};

struct ic {
	const struct ic_ops *ops;
	const struct ic_service *service;
	void *owner;
	struct vmbus_channel *channel;
	unsigned state; /* enum ic_state */
	uint8_t transaction;
	uint32_t framework_version, message_version;
};

/* What VMBus calls; here for IC_DEVICE only. */
int ic_on_open(void *dev, struct vmbus_channel *ch, const uint8_t *user);
void ic_on_ready(void *dev, struct vmbus_channel *ch);
void ic_on_close(void *dev, struct vmbus_channel *ch);
void ic_on_reopen(void *dev, struct vmbus_channel *ch);

#define IC_DEVICE(text)                                                                         \
	{                                                                                       \
		.name = (text), .open = ic_on_open, .ready = ic_on_ready, .close = ic_on_close, \
		.reopen = ic_on_reopen,                                                         \
	}

/* Offers the service. ops, service and owner are kept by reference. 0, -ENOSPC or -ENOMEM. */
int ic_init(struct ic *ic, struct vmbus *bus, const struct ic_service *service,
	    const struct ic_ops *ops, void *owner);

/* Takes the offer back; ops->closed() runs when the channel was open. Fine on a zeroed ic. */
void ic_done(struct ic *ic);

/* Sends a request. 0; -ENOTCONN before versions are agreed on; -EBUSY while another waits; -EAGAIN
 * when the ring is full; -EPROTO on a broken channel; -EMSGSIZE. */
int ic_request(struct ic *ic, const void *body, size_t len);

enum ic_state ic_state(const struct ic *ic);
const char *ic_state_label(const struct ic *ic);

/* IC_VERSION of the service that was agreed on, 0 for none. */
uint32_t ic_message_version(const struct ic *ic);

/* The service in a saved state: what a component's record begins with. It is read into `fields`,
 * which the component applies when the rest of its record was right too. */
struct ic_fields {
	unsigned state; /* enum ic_state */
	uint8_t transaction;
	uint32_t framework_version, message_version;
};
struct ic_fields ic_fields(const struct ic *ic, struct record *r);
void ic_apply(struct ic *ic, const struct ic_fields *fields);

/* Versions are agreed on: requests may be sent, and the component's timers run. */
static inline bool ic_agreed(const struct ic_fields *fields)
{
	return fields->state == IC_IDLE || fields->state == IC_WAITING;
}

/* Checks the headers of a packet. 0; -EPROTO for lengths that do not fit. Pure. */
int ic_decode(const uint8_t *payload, size_t len, struct ic_message *ret_msg);

static inline uint64_t ic_now_ns(const struct ic_env *env)
{
	return env->clock->monotonic_ns(env->clock_ctx);
}

#endif
