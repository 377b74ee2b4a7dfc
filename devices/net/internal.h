/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The structures that the files of the NIC share; nobody else includes this.
 *
 * Invariants:
 *  1. the state is RUNNING exactly while the guest has given a receive buffer that it has not
 *     revoked, and queue[0].ch is open;
 *  2. a receive section is busy exactly while its generation is odd; free_stack holds the
 *     others, free_count of them;
 *  3. a section's transaction id is generation << 32 | index, so that an old or invented
 *     completion never frees a section;
 *  4. while a queue has a pending completion nothing is taken off its ring: a request is either
 *     in the ring, or answered, or the one that is pending;
 *  5. the last NETVSP_CONTROL_RESERVE sections are for control messages only, so that frames
 *     cannot starve the answers that drivers wait for without a timeout.
 */
#ifndef OYA_DEVICES_NET_INTERNAL_H
#define OYA_DEVICES_NET_INTERNAL_H

#include "abi/netvsc.h"
#include "base/state.h"
#include "devices/net/netvsp.h"

#define NETVSP_QUEUES 1u           /* channels; sub-channels will raise it */
#define NETVSP_SECTIONS_MAX 16384u /* of the receive buffer: 27 MiB at MTU 1500 */
#define NETVSP_SECTIONS_MIN 8u
#define NETVSP_SECTION_BYTES 1728u /* least size of a receive section */
#define NETVSP_SEND_SECTION_BYTES 6144u
#define NETVSP_CONTROL_RESERVE 2u
#define NETVSP_REPLIES_MAX 8u /* control messages that wait for room */
#define NETVSP_IOV_MAX 128u   /* pieces of guest memory in one transfer */
#define NETVSP_TRANSFER_PACKETS_MAX 32u
#define NETVSP_BURST 256u          /* packets taken before others get their turn */
#define NETVSP_RESUME_SECTIONS 64u /* free again before the back end goes on */
#define NETVSP_MDL_CHAIN_MAX 34u   /* what the guest is told */

#define ETHERNET_HEADER 14u
#define ETHERNET_TAG 4u

enum netvsp_state {
	NETVSP_CLOSED,
	NETVSP_OPEN,    /* waits for a version */
	NETVSP_AGREED,  /* on a version */
	NETVSP_RUNNING, /* has a receive buffer: RNDIS may talk */
};

struct netvsp_queue {
	struct netvsp *nic;
	struct vmbus_channel *ch; /* while open, else NULL */
	bool pending;             /* a completion that found no room in the ring */
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
	struct vmbus_channel *offer;
	struct netport *port;
	struct netvsp_stats stats;
	struct rndis_device rndis;
	struct netvsp_queue queue[NETVSP_QUEUES];
	unsigned state; /* enum netvsp_state */
	uint32_t message_bytes;
	uint32_t frame_max;
	bool wanting; /* what the back end was told last */

	uint32_t section_bytes; /* of a receive section, by the MTU */
	uint32_t rx_gpadl;
	uint16_t rx_set_id;
	uint32_t section_count, free_count;
	uint32_t *generation; /* NETVSP_SECTIONS_MAX of each */
	uint16_t *free_stack;

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
int netvsp_rx_frame(void *owner, const void *frame, size_t len);
void netvsp_rx_update_want(struct netvsp *nic);
/* A control message of rndis, which was written to the slot of netvsp_reply_slot(). */
struct netvsp_reply *netvsp_reply_slot(struct netvsp *nic);
void netvsp_reply_queue(struct netvsp *nic, size_t len);
void netvsp_reply_flush(struct netvsp *nic);

/* netvsp_tx.c: from the guest. An RNDIS transfer; its NVSP status. */
uint32_t netvsp_tx_transfer(struct netvsp *nic, const struct vmbus_packet *packet,
			    const struct nvsp_rndis *msg);

#endif
