/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Channels: offer, open, service, close, rescind; and the packets that go through them.
 *
 * Service: while a device drains the upstream ring its interrupt mask is set, so that the guest
 * does not signal for each packet; after the mask is cleared the ring is looked at once more,
 * since a packet may have come in between.
 *
 * Trust: packet headers are copied once, checked, then used; a broken one faults the channel.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"
#include "base/util.h"
#include "devices/vmbus/internal.h"

#define FAULT_TEXT_MAX 128

static const char *const channel_labels[] = {
	[CHANNEL_UNSEEN] = "unseen",   [CHANNEL_CLOSED] = "closed",       [CHANNEL_OPEN] = "open",
	[CHANNEL_FAULTED] = "faulted", [CHANNEL_RESCINDED] = "rescinded",
};

static const uint32_t channel_next[] = {
	[CHANNEL_UNSEEN] = STATE_BIT(CHANNEL_CLOSED),
	[CHANNEL_CLOSED] =
		STATE_BIT(CHANNEL_OPEN) | STATE_BIT(CHANNEL_RESCINDED) | STATE_BIT(CHANNEL_UNSEEN),
	[CHANNEL_OPEN] = STATE_BIT(CHANNEL_CLOSED) | STATE_BIT(CHANNEL_FAULTED),
	[CHANNEL_FAULTED] = STATE_BIT(CHANNEL_CLOSED),
	[CHANNEL_RESCINDED] = 0,
};

const struct state_table channel_states = {
	.name = "VMBus channel",
	.count = ARRAY_LEN(channel_labels),
	.labels = channel_labels,
	.next = channel_next,
};

static bool channel_live(const struct vmbus_channel *ch)
{
	return ch->state == CHANNEL_OPEN || ch->state == CHANNEL_FAULTED;
}

struct vmbus_channel *channel_by_relid(struct vmbus *bus, uint32_t relid)
{
	return relid <= VMBUS_RELID_MAX ? bus->channel[relid] : NULL;
}

uint32_t channel_connection(const struct vmbus_channel *ch)
{
	return VMBUS_SIGNAL_CONNECTION_BASE + ch->relid;
}

/* Tells the guest of the offer. */
void channel_announce(struct vmbus_channel *ch)
{
	struct vmbus_msg_offer msg = {
		.header.type = VMBUS_MSG_OFFER,
		.interface_type = ch->offer.type,
		.interface_instance = ch->offer.instance,
		.flags = ch->offer.flags,
		.mmio_mib = ch->offer.mmio_mib,
		.sub_channel_index = ch->offer.sub_channel_index,
		.relid = ch->relid,
		.dedicated_interrupt = 1,
		.connection_id = channel_connection(ch),
	};

	if (state_move(&channel_states, &ch->state, CHANNEL_CLOSED) < 0)
		return;
	if (ch->offer.pipe) {
		le32_store(msg.user, VMBUS_PIPE_MODE_MESSAGE);
		memcpy(msg.user + 4, ch->offer.user, VMBUS_OFFER_USER_BYTES - 4);
		msg.flags |= VMBUS_OFFER_NAMED_PIPE;
	} else {
		memcpy(msg.user, ch->offer.user, VMBUS_OFFER_USER_BYTES);
	}
	bus_send(ch->bus, &msg, sizeof(msg));
}

int vmbus_offer_channel(struct vmbus *bus, const struct vmbus_offer *offer,
			struct vmbus_channel **ret_channel)
{
	struct vmbus_channel *ch;
	uint32_t relid = 1;

	while (relid <= VMBUS_RELID_MAX && bus->channel[relid])
		relid++;
	if (relid > VMBUS_RELID_MAX)
		return -ENOSPC;
	ch = calloc(1, sizeof(*ch));
	if (!ch)
		return -ENOMEM;
	ch->bus = bus;
	ch->offer = *offer;
	ch->relid = relid;
	bus->channel[relid] = ch;
	if (relid >= bus->relid_end)
		bus->relid_end = relid + 1;
	if (bus->state == BUS_OFFERED)
		channel_announce(ch);
	*ret_channel = ch;
	return 0;
}

int vmbus_offer_rename(struct vmbus_channel *ch, const struct guid *instance)
{
	if (ch->state != CHANNEL_UNSEEN)
		return -EBUSY;
	ch->offer.instance = *instance;
	return 0;
}

/* Frees the channel and its GPADLs; its relid may be offered anew. */
void channel_release(struct vmbus_channel *ch)
{
	struct vmbus *bus = ch->bus;
	struct list *at = bus->gpadls.next;

	while (at != &bus->gpadls) {
		struct gpadl *g = CONTAINER_OF(at, struct gpadl, link);

		at = at->next;
		if (g->relid == ch->relid)
			gpadl_free(bus, g);
	}
	bus->channel[ch->relid] = NULL;
	while (bus->relid_end && !bus->channel[bus->relid_end - 1])
		bus->relid_end--;
	free(ch);
}

void vmbus_rescind(struct vmbus_channel *ch)
{
	struct vmbus_msg_relid msg = {.header.type = VMBUS_MSG_RESCIND, .relid = ch->relid};

	if (channel_live(ch))
		channel_close(ch);
	if (state_move(&channel_states, &ch->state, CHANNEL_RESCINDED) < 0)
		channel_release(ch); /* the guest never knew it */
	else
		bus_send(ch->bus, &msg, sizeof(msg));
}

static int channel_rings(struct vmbus_channel *ch, const struct vmbus_msg_open *msg)
{
	const struct gpadl *g = gpadl_find(ch->bus, ch->relid, msg->ring_gpadl);
	uint32_t first_down = msg->downstream_page;
	int r;

	if (!g || !gpadl_complete(g) || first_down >= g->pages)
		return -EINVAL;
	r = ring_init(&ch->up, ch->bus->config.gmem, g, 0, first_down);
	if (r == 0)
		r = ring_init(&ch->down, ch->bus->config.gmem, g, first_down,
			      g->pages - first_down);
	return r;
}

static int channel_try_open(struct vmbus_channel *ch, const struct vmbus_msg_open *msg)
{
	struct vmbus *bus = ch->bus;
	int r;

	if (!state_allows(&channel_states, ch->state, CHANNEL_OPEN))
		return -EPROTO;
	if (msg->target_vp >= bus->config.vp_count)
		return -EINVAL;
	r = channel_rings(ch, msg);
	if (r < 0)
		return r;
	ch->target_vp = msg->target_vp;
	ch->resume = ch->signal_wanted = false;
	ch->down.control->feature_bits |= VMBUS_RING_FEATURE_PENDING_SEND;
	r = bus->config.world->bind_kick(bus->config.world_ctx, channel_connection(ch));
	if (r < 0)
		return r;
	state_move(&channel_states, &ch->state, CHANNEL_OPEN);
	r = ch->offer.ops->open(ch->offer.dev, ch, msg->user);
	if (r < 0) {
		ch->state = CHANNEL_CLOSED;
		bus->config.world->unbind_kick(bus->config.world_ctx, channel_connection(ch));
	}
	return r;
}

void channel_open(struct vmbus_channel *ch, const struct vmbus_msg_open *msg)
{
	struct vmbus_msg_open_result answer = {
		.header.type = VMBUS_MSG_OPEN_RESULT,
		.relid = ch->relid,
		.open_id = msg->open_id,
	};
	int r = channel_try_open(ch, msg);

	if (r < 0) {
		guestlog_say(ch->bus->config.log, ch->offer.ops->name,
			     "channel %u could not be opened: %s", ch->relid, strerror(-r));
		answer.status = VMBUS_OPEN_FAILED;
	}
	bus_send(ch->bus, &answer, sizeof(answer));
	if (r == 0) {
		/* The device may have something to say, and packets may wait already. */
		ch->resume = true;
		bus_defer(ch->bus);
	}
}

void channel_close(struct vmbus_channel *ch)
{
	struct vmbus *bus = ch->bus;

	if (!channel_live(ch))
		return;
	state_move(&channel_states, &ch->state, CHANNEL_CLOSED);
	bus->config.world->unbind_kick(bus->config.world_ctx, channel_connection(ch));
	ch->offer.ops->close(ch->offer.dev, ch);
	memset(&ch->up, 0, sizeof(ch->up));
	memset(&ch->down, 0, sizeof(ch->down));
	ch->resume = ch->signal_wanted = false;
}

void vmbus_channel_fault(struct vmbus_channel *ch, const char *why, ...)
{
	char text[FAULT_TEXT_MAX];
	va_list args;

	if (state_move(&channel_states, &ch->state, CHANNEL_FAULTED) < 0)
		return;
	va_start(args, why);
	vsnprintf(text, sizeof(text), why, args);
	va_end(args);
	guestlog_say(ch->bus->config.log, ch->offer.ops->name,
		     "channel %u stopped, the guest broke its protocol: %s", ch->relid, text);
}

/* Did draining make the room that a waiting sender in the guest asked for? The sender may have
 * filled the ring while we drained it, so the room that it found is judged by what it has written
 * up to now. */
static bool channel_sender_waits(struct vmbus_channel *ch)
{
	uint32_t wanted = gmem_load32(&ch->up.control->pending_send_bytes), used, room;

	if (!wanted || ring_used(&ch->up, &used) < 0)
		return false;
	room = ch->up.size - used;
	return room > wanted && room <= wanted + ch->up_taken;
}

static void channel_set_mask(struct vmbus_channel *ch, uint32_t masked)
{
	ring_store(&ch->up, &ch->up.control->interrupt_mask, masked);
	gmem_full_barrier();
}

static bool channel_has_input(const struct vmbus_channel *ch)
{
	uint32_t used;

	return ring_used(&ch->up, &used) < 0 || used > 0;
}

/* Lets the device take what waits; see the head of the file. */
void channel_service(struct vmbus_channel *ch)
{
	unsigned round = 0;

	if (ch->state != CHANNEL_OPEN || ch->in_ready)
		return;
	ch->in_ready = true;
	ring_store(&ch->down, &ch->down.control->pending_send_bytes, 0);
	ch->up_taken = 0;
	do {
		channel_set_mask(ch, 1);
		ch->drained = false;
		ch->offer.ops->ready(ch->offer.dev, ch);
		if (ch->state != CHANNEL_OPEN)
			break;
		channel_set_mask(ch, 0);
	} while (ch->drained && channel_has_input(ch) && ++round < VMBUS_DRAIN_ROUNDS);
	ch->in_ready = false;
	if (ch->state != CHANNEL_OPEN)
		return;
	if (round == VMBUS_DRAIN_ROUNDS)
		vmbus_channel_resume(ch);
	if (channel_sender_waits(ch))
		ch->signal_wanted = true;
	vmbus_channel_flush(ch);
}

void vmbus_channel_flush(struct vmbus_channel *ch)
{
	struct vmbus *bus = ch->bus;

	if (!ch->signal_wanted || !channel_live(ch))
		return;
	ch->signal_wanted = false;
	ch->signals++;
	bus->config.world->signal(bus->config.world_ctx, ch->target_vp, ch->relid);
}

void vmbus_channel_resume(struct vmbus_channel *ch)
{
	ch->resume = true;
	bus_defer(ch->bus);
}

bool vmbus_channel_is_open(const struct vmbus_channel *ch)
{
	return ch->state == CHANNEL_OPEN;
}

uint32_t vmbus_channel_target_vp(const struct vmbus_channel *ch)
{
	return ch->target_vp;
}

struct vmbus *vmbus_channel_bus(const struct vmbus_channel *ch)
{
	return ch->bus;
}

/* Checks a copied packet of len bytes and tells its parts; -EPROTO when they do not fit. */
static int packet_decode(const uint8_t *bytes, uint32_t len, struct vmbus_packet *ret_packet)
{
	struct vmbus_packet_header head;
	struct vmbus_packet p = {0};
	uint32_t payload_at;

	memcpy(&head, bytes, sizeof(head));
	payload_at = head.offset8 * 8u;
	if (payload_at < sizeof(head) || payload_at > len)
		return -EPROTO;
	p.type = head.type;
	p.wants_completion = (head.flags & VMBUS_PACKET_WANTS_COMPLETION) != 0;
	p.transaction = head.transaction;
	p.payload = bytes + payload_at;
	p.payload_len = len - payload_at;
	if (head.type == VMBUS_PACKET_GPA_DIRECT) {
		struct vmbus_gpa_direct direct;
		uint32_t ranges_at = (uint32_t)(sizeof(head) + sizeof(direct));

		if (payload_at < ranges_at)
			return -EPROTO;
		memcpy(&direct, bytes + sizeof(head), sizeof(direct));
		p.ranges = bytes + ranges_at;
		p.ranges_len = payload_at - ranges_at;
		p.range_count = direct.range_count;
		if (p.range_count > p.ranges_len / sizeof(struct vmbus_gpa_range))
			return -EPROTO;
	}
	*ret_packet = p;
	return 0;
}

static int channel_copy_packet(struct vmbus_channel *ch, uint32_t *ret_len)
{
	struct vmbus *bus = ch->bus;
	struct vmbus_packet_header head;
	uint32_t used, len;

	if (ring_used(&ch->up, &used) < 0)
		return -EPROTO;
	if (!used)
		return -EAGAIN;
	if (used < sizeof(head) + VMBUS_PACKET_TRAILER)
		return -EPROTO;
	ring_copy_out(&ch->up, ch->up.own_index, &head, sizeof(head));
	len = head.length8 * 8u;
	if (len < sizeof(head) || len > VMBUS_PACKET_MAX || len > used - VMBUS_PACKET_TRAILER)
		return -EPROTO;
	memcpy(bus->packet, &head, sizeof(head)); /* the copy that was checked */
	ring_copy_out(&ch->up, ring_advance(&ch->up, ch->up.own_index, sizeof(head)),
		      bus->packet + sizeof(head), len - (uint32_t)sizeof(head));
	ch->up.own_index = ring_advance(&ch->up, ch->up.own_index, len + VMBUS_PACKET_TRAILER);
	ring_store(&ch->up, &ch->up.control->read_index, ch->up.own_index);
	ch->up_taken += len + VMBUS_PACKET_TRAILER;
	*ret_len = len;
	return 0;
}

int vmbus_channel_receive(struct vmbus_channel *ch, struct vmbus_packet *ret_packet)
{
	uint32_t len;
	int r;

	if (ch->state != CHANNEL_OPEN)
		return -EPROTO;
	/* A guest that writes as fast as we read must not keep us here: after a ring's worth the
	 * others get their turn. */
	if (ch->up_taken >= ch->up.size) {
		vmbus_channel_resume(ch);
		return -EAGAIN;
	}
	r = channel_copy_packet(ch, &len);
	if (r == 0)
		r = packet_decode(ch->bus->packet, len, ret_packet);
	if (r == -EAGAIN)
		ch->drained = true;
	else if (r < 0)
		vmbus_channel_fault(ch, "a malformed packet or index in its ring");
	else
		ch->packets_in++;
	return r;
}

struct packet_parts {
	uint16_t type;
	uint16_t flags;
	uint64_t transaction;
	const void *extra; /* behind the header */
	uint32_t extra_len;
	const void *payload;
	uint32_t payload_len;
};

/* Room for need bytes, which must leave one free; asks the guest for a signal otherwise. */
static int channel_reserve(struct vmbus_channel *ch, uint32_t need)
{
	uint32_t room;

	if (ring_free(&ch->down, &room) < 0) {
		vmbus_channel_fault(ch, "a wild read index in its ring");
		return -EPROTO;
	}
	if (room > need)
		return 0;
	ring_store(&ch->down, &ch->down.control->pending_send_bytes, need);
	gmem_full_barrier();
	if (ring_free(&ch->down, &room) == 0 && room > need) {
		ring_store(&ch->down, &ch->down.control->pending_send_bytes, 0);
		return 0;
	}
	ch->ring_full++;
	return -EAGAIN;
}

static uint32_t put(struct vmbus_channel *ch, uint32_t index, const void *src, uint32_t len)
{
	ring_copy_in(&ch->down, index, src, len);
	return ring_advance(&ch->down, index, len);
}

static int channel_send_parts(struct vmbus_channel *ch, const struct packet_parts *p)
{
	static const uint8_t zeros[8];
	struct ring *r = &ch->down;
	uint32_t before = r->own_index, at = before;
	uint32_t offset = (uint32_t)sizeof(struct vmbus_packet_header) + p->extra_len;
	uint32_t len = (uint32_t)align_up((uint64_t)offset + p->payload_len, 8);
	struct vmbus_packet_header head = {
		.type = p->type,
		.offset8 = (uint16_t)(offset / 8),
		.length8 = (uint16_t)(len / 8),
		.flags = p->flags,
		.transaction = p->transaction,
	};
	uint64_t trailer = (uint64_t)before << 32;
	int e;

	if (ch->state != CHANNEL_OPEN || p->payload_len > VMBUS_PACKET_MAX)
		return -EPROTO;
	e = channel_reserve(ch, len + VMBUS_PACKET_TRAILER);
	if (e < 0)
		return e;
	at = put(ch, at, &head, sizeof(head));
	at = put(ch, at, p->extra, p->extra_len);
	at = put(ch, at, p->payload, p->payload_len);
	at = put(ch, at, zeros, len - offset - p->payload_len);
	at = put(ch, at, &trailer, sizeof(trailer));
	r->own_index = at;
	ring_store(r, &r->control->write_index, at);
	gmem_full_barrier();
	/* Only the step from empty to not empty is signalled, and only to one who wants it. */
	if (!gmem_load32(&r->control->interrupt_mask) &&
	    gmem_load32(&r->control->read_index) == before)
		ch->signal_wanted = true;
	ch->packets_out++;
	return 0;
}

int vmbus_channel_send(struct vmbus_channel *ch, uint16_t type, bool wants_completion,
		       uint64_t transaction, const void *payload, uint32_t payload_len)
{
	struct packet_parts parts = {
		.type = type,
		.flags = wants_completion ? VMBUS_PACKET_WANTS_COMPLETION : 0,
		.transaction = transaction,
		.payload = payload,
		.payload_len = payload_len,
	};

	return channel_send_parts(ch, &parts);
}

int vmbus_channel_complete(struct vmbus_channel *ch, uint64_t transaction, const void *payload,
			   uint32_t payload_len)
{
	return vmbus_channel_send(ch, VMBUS_PACKET_COMPLETION, false, transaction, payload,
				  payload_len);
}

int vmbus_channel_send_transfer(struct vmbus_channel *ch, uint16_t set_id,
				const struct vmbus_transfer_range *ranges, uint32_t count,
				uint64_t transaction, const void *payload, uint32_t payload_len)
{
	struct {
		struct vmbus_transfer_pages pages;
		struct vmbus_transfer_range range[VMBUS_TRANSFER_RANGES_MAX];
	} OYA_PACKED extra = {.pages = {.set_id = set_id, .range_count = count}};
	struct packet_parts parts = {
		.type = VMBUS_PACKET_TRANSFER_PAGES,
		.flags = VMBUS_PACKET_WANTS_COMPLETION,
		.transaction = transaction,
		.extra = &extra,
		.extra_len = (uint32_t)(sizeof(extra.pages) + count * sizeof(extra.range[0])),
		.payload = payload,
		.payload_len = payload_len,
	};

	if (!count || count > VMBUS_TRANSFER_RANGES_MAX)
		return -EINVAL;
	memcpy(extra.range, ranges, count * sizeof(extra.range[0]));
	return channel_send_parts(ch, &parts);
}

/* Appends a piece of memory, joined with the one before when they are adjacent. */
static int iov_append(struct iovec *iov, unsigned max, unsigned *count, uint8_t *hva, uint64_t len)
{
	struct iovec *last = *count ? &iov[*count - 1] : NULL;

	if (last && (uint8_t *)last->iov_base + last->iov_len == hva) {
		last->iov_len += len;
		return 0;
	}
	if (*count == max)
		return -E2BIG;
	iov[(*count)++] = (struct iovec){.iov_base = hva, .iov_len = len};
	return 0;
}

static int range_iov(const struct vmbus *bus, struct cursor *c, struct iovec *iov, unsigned max,
		     unsigned *count, uint64_t *budget)
{
	uint64_t left = cursor_u32(c), offset = cursor_u32(c);

	if (!cursor_ok(c) || offset >= VMBUS_PAGE)
		return -EINVAL;
	if (left > *budget)
		return -E2BIG;
	*budget -= left;
	while (left) {
		uint64_t pfn = cursor_u64(c), piece = min_u64(left, VMBUS_PAGE - offset);
		uint8_t *hva;
		int r;

		if (!cursor_ok(c))
			return -EINVAL;
		hva = pfn > UINT64_MAX / VMBUS_PAGE
			      ? NULL
			      : gmem_span(bus->config.gmem, pfn * VMBUS_PAGE, VMBUS_PAGE);
		if (!hva)
			return -EFAULT;
		r = iov_append(iov, max, count, hva + offset, piece);
		if (r < 0)
			return r;
		left -= piece;
		offset = 0;
	}
	return 0;
}

int vmbus_packet_iov(const struct vmbus *bus, const struct vmbus_packet *packet, struct iovec *iov,
		     unsigned max, uint64_t max_bytes, unsigned *ret_count, uint64_t *ret_bytes)
{
	struct cursor c = cursor_of(packet->ranges, packet->ranges_len);
	uint64_t budget = max_bytes;
	unsigned count = 0;

	for (uint32_t i = 0; i < packet->range_count; i++) {
		int r = range_iov(bus, &c, iov, max, &count, &budget);

		if (r < 0)
			return r;
	}
	*ret_count = count;
	*ret_bytes = max_bytes - budget;
	return 0;
}
