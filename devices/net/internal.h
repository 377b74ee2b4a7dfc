/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The structures that the files of the NIC share; nobody else includes this.
 *
 * Invariants:
 *  1. the state is RUNNING exactly while the guest has given a receive buffer that it has not
 *     revoked, and queue[0].ch is open;
 *  2. a receive section is free (in free_stack), or in the batch of a queue, or under way to the
 *     guest: in the chain, by `next`, of the first section of its packet. The generation of that
 *     first one is odd, those of all other sections are even;
 *  3. a packet's transaction id is generation << 32 | index of its first section, so that an old
 *     or invented completion never frees a section;
 *  4. while a queue has a pending completion nothing is taken off its ring: a request is either
 *     in the ring, or answered, or the one that is pending;
 *  5. the last NETVSP_CONTROL_RESERVE sections are for control messages only, so that frames
 *     cannot starve the answers that drivers wait for without a timeout;
 *  6. queue[0] is the primary channel; a sub-channel has an offer only while queue[0] is open, or
 *     7 holds;
 *  7. while `kept` is not NETVSP_CLOSED a state has been read and queue[0] was not reopened since:
 *     the state is CLOSED, and what belongs to `kept` (sections, replies, RNDIS) is there but
 * rests.
 */
#ifndef OYA_DEVICES_NET_INTERNAL_H
#define OYA_DEVICES_NET_INTERNAL_H

#include "abi/netvsc.h"
#include "base/state.h"
#include "devices/net/flow.h"
#include "devices/net/netvsp.h"

#define NETVSP_QUEUES 8u           /* channels of one NIC, at most: what Linux asks for */
#define NETVSP_SECTIONS_MAX 16384u /* of the receive buffer: 27 MiB at MTU 1500 */
#define NETVSP_SECTIONS_MIN 8u
#define NETVSP_SECTION_BYTES 1728u      /* least size of a receive section */
#define NETVSP_LONG_SECTION_BYTES 8192u /* where frames longer than the MTU come, in parts */
#define NETVSP_SEND_SECTION_BYTES 6144u
#define NETVSP_CONTROL_RESERVE 2u
#define NETVSP_REPLIES_MAX 8u /* control messages that wait for room */
#define NETVSP_IOV_MAX 128u   /* pieces of guest memory in one transfer */
#define NETVSP_TRANSFER_PACKETS_MAX 32u
#define NETVSP_BURST 256u          /* packets taken before others get their turn */
#define NETVSP_RESUME_SECTIONS 64u /* free again before the back end goes on */
#define NETVSP_MDL_CHAIN_MAX 34u   /* what the guest is told */
#define NETVSP_RANGES_MAX 64u      /* sections in one packet to the guest; old drivers' limit */
#define NETVSP_HEAD_MAX 192u       /* bytes of a frame from the guest that are copied */
#define NETVSP_NO_NEXT 0xFFFFu

enum netvsp_state {
	NETVSP_CLOSED,
	NETVSP_OPEN,    /* waits for a version */
	NETVSP_AGREED,  /* on a version */
	NETVSP_RUNNING, /* has a receive buffer: RNDIS may talk */
};

/* Frames in their sections that the guest has not been told of. */
struct netvsp_batch {
	unsigned count;
	uint16_t first, last; /* sections */
	struct vmbus_transfer_range range[NETVSP_RANGES_MAX];
};

struct netvsp_queue {
	struct netvsp *nic;
	struct vmbus_channel *offer; /* NULL: a sub-channel that was not asked for */
	struct vmbus_channel *ch;    /* while open, else NULL */
	struct netvsp_batch batch;
	bool pending; /* a completion that found no room in the ring */
	uint64_t pending_transaction;
	uint32_t pending_len;
	uint8_t pending_payload[NVSP_MESSAGE_BYTES_V6_1];
};

struct netvsp_reply {
	size_t len;
	uint8_t bytes[RNDIS_REPLY_MAX];
};

struct netvsp {
	struct netvsp_config config;
	struct vmbus *bus;
	struct netport *port;
	struct netvsp_stats stats;
	struct rndis_device rndis;
	struct netvsp_queue queue[NETVSP_QUEUES];
	unsigned queues; /* that are in use: 1, and the sub-channels that the guest asked for */
	unsigned state;  /* enum netvsp_state */
	unsigned kept;   /* the state of a record that was read, until queue[0] is reopened */
	uint32_t message_bytes;
	uint64_t capabilities; /* of the driver: NVSP_CAPABILITY_... */
	unsigned accepted;     /* what the back end was told that frames may have */
	uint32_t frame_max;
	bool wanting; /* what the back end was told last */
	bool sent;    /* frames, since the back end was asked last for what has come */

	uint32_t section_bytes; /* of a receive section, by the MTU */
	uint32_t rx_gpadl;
	uint16_t rx_set_id;
	uint32_t section_count, free_count;
	uint32_t *generation; /* NETVSP_SECTIONS_MAX of each */
	uint16_t *free_stack;
	uint16_t *next;

	uint32_t tx_gpadl;
	uint32_t tx_sections; /* 0: no send buffer */

	struct netvsp_reply reply[NETVSP_REPLIES_MAX];
	unsigned reply_first, reply_count;
	uint8_t control[RNDIS_CONTROL_MAX];
};

/* netvsp.c: answers the packet of `transaction`; 0, -EAGAIN (pending now: stop), -EPROTO. */
int netvsp_complete(struct netvsp_queue *q, uint64_t transaction, const void *message, uint32_t len,
		    uint32_t padded_len);

/* netvsp_rx.c: towards the guest. */
int netvsp_rx_buffer(struct netvsp *nic, uint32_t gpadl, uint16_t id);
void netvsp_rx_revoke(struct netvsp *nic);
int netvsp_rx_completed(struct netvsp_queue *q, uint64_t transaction);
int netvsp_rx_frame(void *owner, void *frame, size_t len, const struct netport_facts *facts);
unsigned netvsp_rx_room(void *owner, struct iovec iov[NETPORT_ROOM_MAX], size_t *ret_head);
void netvsp_rx_placed(void *owner, void *head, size_t len, const struct netport_facts *facts);
void netvsp_rx_flush(void *owner);
/* The queue's channel is gone: what waits in its batch is lost. */
void netvsp_rx_forget(struct netvsp_queue *q);
void netvsp_rx_update_want(struct netvsp *nic);
/* Tells the back end what frames may have, after what the guest has switched on. */
void netvsp_rx_update_features(struct netvsp *nic);
/* A control message of rndis, which was written to the slot of netvsp_reply_slot(). */
struct netvsp_reply *netvsp_reply_slot(struct netvsp *nic);
void netvsp_reply_queue(struct netvsp *nic, size_t len);
void netvsp_reply_flush(struct netvsp *nic);

/* netvsp_tx.c: from the guest. An RNDIS transfer; its NVSP status. */
uint32_t netvsp_tx_transfer(struct netvsp *nic, const struct vmbus_packet *packet,
			    const struct nvsp_rndis *msg);

/* netvsp_sub.c: sub-channels. The guest asks for `wanted` of them: how many are offered. */
uint32_t netvsp_sub_allocate(struct netvsp *nic, uint32_t wanted);
/* Offers `wanted`, fewer than the NIC may have queues, where none is offered: how many there are.
 */
uint32_t netvsp_sub_offer(struct netvsp *nic, uint32_t wanted);
/* Takes them all back. */
void netvsp_sub_rescind(struct netvsp *nic);
/* One was opened: the guest gets its table once all are. */
void netvsp_sub_opened(struct netvsp *nic);

/* netvsp_state.c: the channel was open when the state was written that has been read. */
void netvsp_reopen(void *dev, struct vmbus_channel *ch);
/* A driver begins: what was kept is none of its. */
void netvsp_state_forget(struct netvsp *nic);

extern const struct vmbus_device_ops netvsp_ops;
extern const struct guid netvsp_type;

#endif
