/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SynIC and VMBus as a guest drives them. */
#ifndef OYA_TESTS_SYSTEM_GUEST_VMBUS_H
#define OYA_TESTS_SYSTEM_GUEST_VMBUS_H

#include "abi/vmbus.h"
#include "tests/system/guest/guest.h"

#define VMBUS_VECTOR 0xF3u
#define RING_PAGES 3u
#define PACKET_MAX 4096u

struct message {
	uint32_t len;
	uint8_t bytes[VMBUS_MESSAGE_MAX];
};

struct channel {
	uint32_t relid, connection_id, gpadl;
	unsigned target_vp;
	struct vmbus_ring_control *up, *down; /* their data begin one page further */
};

struct packet {
	uint16_t type, flags;
	uint64_t transaction;
	uint32_t len;
	uint8_t payload[PACKET_MAX];
};

/* Switches this processor's SynIC on. vp is its index. */
void synic_enable(unsigned vp);

/* Interrupts of the SINT and event flags found set in them, by processor. Several messages and
 * flags may share an interrupt. */
extern volatile uint64_t synic_interrupts[2], synic_events[2];

/* Agrees on the newest version up to max; messages go to target_vp. The version, 0 for none. */
uint32_t vmbus_connect(uint32_t max, unsigned target_vp);
void vmbus_post(const void *message, uint32_t len);
void vmbus_expect(uint32_t type, struct message *ret); /* waits; drops what comes before it */

/* Asks for the offers and keeps them; their number. */
unsigned vmbus_take_offers(void);
const struct vmbus_msg_offer *vmbus_offer(const struct guid *type);
const struct vmbus_msg_offer *vmbus_offer_at(unsigned n);

/* NULL, or why it failed. The channel's interrupts go to target_vp. */
const char *channel_open(struct channel *ch, const struct guid *type, unsigned target_vp);
/* Closes, tears the GPADL down, opens anew with empty rings. */
const char *channel_reopen(struct channel *ch);
void channel_signal(const struct channel *ch); /* through the hypercall page */

/* One packet; head is what stands before the payload, such as GPA ranges. */
void channel_send(struct channel *ch, uint16_t type, uint16_t flags, uint64_t transaction,
		  const void *head, uint32_t head_len, const void *payload, uint32_t len);
bool channel_receive(struct channel *ch, struct packet *ret);
void channel_wait(struct channel *ch, struct packet *ret);

#endif
