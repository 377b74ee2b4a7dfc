/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest for unit tests and fuzzers: RAM on the heap, the real VMBus, and the guest's side of
 * its protocol, with no hypervisor. Everything runs on the caller's thread; what the host wants
 * done later runs in vmguest_run().
 *
 * Helpers end the test (abort) when an honest step fails; hostile steps use the raw calls.
 */
#ifndef OYA_TESTS_LIB_VMGUEST_H
#define OYA_TESTS_LIB_VMGUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "devices/vmbus/bus.h"

#define VMGUEST_VPS 4
#define VMGUEST_INBOX 1024

struct vmguest_message {
	size_t len;
	uint8_t bytes[VMBUS_MESSAGE_MAX];
};

struct vmguest {
	struct gmem gmem;
	struct guestlog log;
	uint8_t *ram;
	uint64_t ram_len;
	uint64_t next_page; /* of the page allocator: a GPA */
	struct vmbus *bus;
	struct vmguest_message inbox[VMGUEST_INBOX]; /* messages of the host, not taken yet */
	unsigned inbox_first, inbox_count;
	bool slot_busy; /* set by a test: the host can post nothing */
	bool deferred;
	uint32_t next_gpadl;
	uint64_t signals[512]; /* per relid: how often the host signalled */
	unsigned faults;       /* lines that the host logged of broken protocols */
	bool verbose;
};

/* The guest's side of one open channel. */
struct vmguest_channel {
	struct vmguest *guest;
	uint32_t relid;
	uint32_t gpadl;
	uint64_t up_gpa, down_gpa; /* control pages */
	uint32_t ring_len;         /* of each data area */
};

struct vmguest_packet {
	uint16_t type, flags;
	uint64_t transaction;
	uint32_t len;      /* of the payload */
	uint32_t head_len; /* bytes between header and payload (transfer pages) */
	uint8_t head[8 + 8 * VMBUS_TRANSFER_RANGES_MAX];
	uint8_t payload[4096];
};

/* A guest with ram_len bytes (a multiple of 4096) at GPA 0. max_version 0: the newest. */
struct vmguest *vmguest_new(uint64_t ram_len, uint32_t max_version);
void vmguest_free(struct vmguest *g);

/* The partition is reset, its RAM zeroed, as after vmguest_new() and the offers made since: cheaper
 * than a new guest, for fuzzers. */
void vmguest_reset(struct vmguest *g);

/* The guest of `from`, which stays as it is, goes on in `to`, which no guest has used: its RAM, the
 * bus and the channels. Before it, the devices of `to` are read from the records of those of
 * `from`. */
void vmguest_go_on(struct vmguest *to, struct vmguest *from);

/* A run of fresh pages; their GPA. */
uint64_t vmguest_alloc(struct vmguest *g, uint64_t bytes);
void *vmguest_at(struct vmguest *g, uint64_t gpa);

/* Runs what the bus deferred. */
void vmguest_run(struct vmguest *g);

/* Sends a raw channel message; the bus's answer code. */
int vmguest_message(struct vmguest *g, uint32_t connection, const void *msg, size_t len);

/* Takes the next message of the host: false when there is none. */
bool vmguest_take(struct vmguest *g, struct vmguest_message *ret);
/* Takes messages until one of `type` comes; aborts when none does. */
void vmguest_expect(struct vmguest *g, uint32_t type, struct vmguest_message *ret);

/* Contact with version (false: refused) and, in _connect, the offers. */
bool vmguest_contact(struct vmguest *g, uint32_t version);
void vmguest_connect(struct vmguest *g);
/* relid of the nth (from 0) offer with this interface type; the offers are taken from the inbox,
 * so call it once per type after vmguest_connect(). 0 when there is none. */
uint32_t vmguest_find_offer(struct vmguest *g, const struct guid *type, unsigned nth);

/* Registers [gpa, gpa + bytes) as a GPADL of relid; the handle. */
uint32_t vmguest_gpadl(struct vmguest *g, uint32_t relid, uint64_t gpa, uint32_t bytes);

/* Opens with rings of ring_pages data pages each way; false when the host refuses. */
bool vmguest_open(struct vmguest *g, uint32_t relid, uint32_t ring_pages,
		  struct vmguest_channel *ret);
void vmguest_close(struct vmguest_channel *ch);

/* Writes a packet and signals. head: bytes between the packet header and the payload. */
void vmguest_send(struct vmguest_channel *ch, uint16_t type, uint16_t flags, uint64_t transaction,
		  const void *head, uint32_t head_len, const void *payload, uint32_t len);
/* In-band, and GPA direct with one range of contiguous pages. Completion requested. */
void vmguest_send_inband(struct vmguest_channel *ch, uint64_t transaction, const void *payload,
			 uint32_t len);
void vmguest_send_gpa(struct vmguest_channel *ch, uint64_t transaction, uint64_t gpa,
		      uint32_t bytes, const void *payload, uint32_t len);
void vmguest_complete(struct vmguest_channel *ch, uint64_t transaction, const void *payload,
		      uint32_t len);
void vmguest_kick(struct vmguest_channel *ch);

/* Takes the next packet of the host; false when there is none. */
bool vmguest_receive(struct vmguest_channel *ch, struct vmguest_packet *ret);

struct vmbus_ring_control *vmguest_up(struct vmguest_channel *ch);
struct vmbus_ring_control *vmguest_down(struct vmguest_channel *ch);

#endif
