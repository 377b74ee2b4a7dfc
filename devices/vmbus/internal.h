/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The structures that the files of this folder share; nobody else includes this.
 *
 * Invariants:
 *  1. bus->channel[relid] is the channel with that relid, or NULL;
 *  2. a channel in state OPEN or FAULTED has a ring GPADL, `opened` was answered with success by
 *     its device, and its kick is bound; in any other state none of this holds;
 *  3. a GPADL that is a ring of such a channel is freed only after the channel was closed;
 *  4. indices that the host owns (read of the upstream, write of the downstream ring) live here;
 *     the guest's copies are written, never read.
 */
#ifndef OYA_DEVICES_VMBUS_INTERNAL_H
#define OYA_DEVICES_VMBUS_INTERNAL_H

#include "base/list.h"
#include "base/state.h"
#include "devices/vmbus/bus.h"

#define VMBUS_RELID_MAX 511u
#define VMBUS_GPADLS_MAX 1024u          /* of one guest */
#define VMBUS_GPADL_PAGES_TOTAL 262144u /* of one guest: 1 GiB of buffers */
#define VMBUS_QUEUE_MAX 2048u           /* messages that wait for the guest's slot */
#define VMBUS_DRAIN_ROUNDS 8u           /* before other devices get their turn */

struct gpadl_extent {
	uint64_t offset; /* within the GPADL's pages */
	uint8_t *hva;    /* contiguous up to the next extent */
};

struct gpadl {
	struct list link;
	uint32_t handle;
	uint32_t relid;
	uint32_t pages_expected;
	uint32_t pages;      /* received so far */
	uint32_t first_byte; /* offset of the buffer in its first page */
	uint32_t bytes;      /* of the buffer */
	unsigned extent_count, extent_room;
	struct gpadl_extent *extent;
};

struct ring {
	const struct gmem *gmem;
	const struct gpadl *gpadl;
	struct vmbus_ring_control *control;
	uint64_t data_offset; /* of the data area within the GPADL's pages */
	uint32_t size;        /* of the data area, bytes */
	uint32_t own_index;   /* host's index: read of upstream, write of downstream */
	uint8_t *flat;        /* the data area, when it is contiguous here; else NULL */
};

enum channel_state {
	CHANNEL_UNSEEN, /* offered, but the guest was not told */
	CHANNEL_CLOSED, /* the guest knows it */
	CHANNEL_OPEN,
	CHANNEL_FAULTED,   /* the guest broke it; it waits for the guest's close */
	CHANNEL_RESCINDED, /* taken back; waits for the guest's release of the relid */
};

struct vmbus_channel {
	struct vmbus *bus;
	struct vmbus_offer offer;
	uint32_t relid;
	unsigned state; /* enum channel_state */
	uint32_t target_vp;
	struct ring up, down; /* guest to host, host to guest */
	bool drained;         /* the device saw an empty ring since ready() began */
	bool resume;          /* service again when deferred work runs */
	bool signal_wanted;   /* the guest is to be signalled at the next flush */
	bool in_ready;
	bool restored;     /* by its record */
	uint64_t up_taken; /* bytes taken off the upstream ring since draining began */
	uint64_t packets_in, packets_out, kicks, signals, ring_full;
};

enum bus_state {
	BUS_DISCONNECTED,
	BUS_CONNECTED, /* a version was agreed on */
	BUS_OFFERED,   /* the guest asked for the offers and learns of new ones */
};

struct queued_message {
	struct list link;
	size_t len;
	uint8_t bytes[VMBUS_MESSAGE_MAX];
};

struct vmbus {
	struct vmbus_config config;
	unsigned state; /* enum bus_state */
	uint32_t version;
	uint32_t target_vp;
	struct vmbus_channel *channel[VMBUS_RELID_MAX + 1];
	uint32_t relid_end; /* every channel's relid is less */
	struct list gpadls;
	unsigned gpadl_count;
	uint64_t gpadl_pages;
	struct list queue; /* of struct queued_message */
	unsigned queue_len;
	bool deferred;
	uint8_t packet[VMBUS_PACKET_MAX];
};

/* bus.c */
void bus_send(struct vmbus *bus, const void *message, size_t len);
void bus_post_queued(struct vmbus *bus);
void bus_drop_queue(struct vmbus *bus);
bool bus_version_known(const struct vmbus *bus, uint32_t version);
void bus_defer(struct vmbus *bus);

/* channel.c */
extern const struct state_table channel_states;
struct vmbus_channel *channel_by_relid(struct vmbus *bus, uint32_t relid);
void channel_announce(struct vmbus_channel *ch);
void channel_open(struct vmbus_channel *ch, const struct vmbus_msg_open *msg);
void channel_close(struct vmbus_channel *ch);
void channel_release(struct vmbus_channel *ch);
void channel_service(struct vmbus_channel *ch);
uint32_t channel_connection(const struct vmbus_channel *ch);

/* gpadl.c */
struct gpadl *gpadl_find(const struct vmbus *bus, uint32_t relid, uint32_t handle);
bool gpadl_complete(const struct gpadl *g);
void gpadl_on_header(struct vmbus *bus, const uint8_t *message, size_t len);
void gpadl_on_body(struct vmbus *bus, const uint8_t *message, size_t len);
void gpadl_on_teardown(struct vmbus *bus, const struct vmbus_msg_gpadl_teardown *msg);
void gpadl_free(struct vmbus *bus, struct gpadl *g);
/* The next page of g; -EFAULT when it is no RAM, -ENOMEM. g has room for it. */
int gpadl_add_page(const struct vmbus *bus, struct gpadl *g, uint64_t pfn);
/* The contiguous piece at `offset` of the pages: its address, *ret_len bytes up to max. */
uint8_t *gpadl_piece(const struct gpadl *g, uint64_t offset, uint64_t max, uint64_t *ret_len);

/* ring.c */
int ring_init(struct ring *r, const struct gmem *gmem, const struct gpadl *g, uint32_t first_page,
	      uint32_t pages);
int ring_used(const struct ring *upstream, uint32_t *ret_bytes);
int ring_free(const struct ring *downstream, uint32_t *ret_bytes);
void ring_copy_out(const struct ring *r, uint32_t index, void *dst, uint32_t len);
void ring_copy_in(const struct ring *r, uint32_t index, const void *src, uint32_t len);
void ring_store(const struct ring *r, uint32_t *word, uint32_t value);
uint32_t ring_advance(const struct ring *r, uint32_t index, uint32_t len);

#endif
