/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The bus in a saved state (bus.h).
 *
 * A bus that was made anew numbers its channels in the order of their offers; one whose devices
 * have come and gone has other numbers, and the guest knows those. So each channel moves to the
 * relid of its record.
 *
 * Trust: records are hostile. Pages are looked up in guest RAM one by one, as when a guest
 * registers them; rings are made by the code that opens channels.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "devices/vmbus/internal.h"

#define BUS_STATE_LAST BUS_OFFERED
#define CHANNEL_STATE_LAST CHANNEL_RESCINDED

/* ---- buffers of the guest ---- */

/* Pages that follow each other: the first one's number, and how many. */
struct run {
	uint64_t pfn, count;
};

/* Cuts the pages of a GPADL into runs; their number. NULL only counts. */
static unsigned runs_of(const struct vmbus *bus, const struct gpadl *g, struct run *runs)
{
	uint64_t end = (uint64_t)g->pages * VMBUS_PAGE, at = 0;
	unsigned n = 0;

	while (at < end) {
		uint64_t piece, within;
		const uint8_t *hva = gpadl_piece(g, at, end - at, &piece);
		uint64_t gpa = gmem_address(bus->config.gmem, hva, &within);

		piece = min_u64(piece, within);
		if (!piece)
			break; /* cannot be: an extent lies in RAM */
		if (runs)
			runs[n] = (struct run){gpa / VMBUS_PAGE, piece / VMBUS_PAGE};
		n++;
		at += piece;
	}
	return n;
}

static int add_run(const struct vmbus *bus, struct gpadl *g, const struct run *run)
{
	if (!run->count || run->count > g->pages_expected - g->pages)
		return -EBADMSG;
	for (uint64_t i = 0; i < run->count; i++) {
		int r = gpadl_add_page(bus, g, run->pfn + i);

		if (r < 0)
			return r;
	}
	return 0;
}

static void gpadl_pages_fields(struct vmbus *bus, struct gpadl *g, struct record *r)
{
	unsigned count = r->reads ? 0 : runs_of(bus, g, NULL);
	struct run *runs;

	record_limited(r, "runs", &count, g->pages_expected);
	runs = calloc(count ? count : 1, sizeof(*runs));
	if (!runs || !record_ok(r)) {
		free(runs);
		record_refuse(r, "there is no memory for the pages of GPADL %#x", g->handle);
		return;
	}
	if (!r->reads)
		runs_of(bus, g, runs);
	record_u64s(r, "pages", &runs->pfn, count * sizeof(*runs) / sizeof(uint64_t));
	for (unsigned i = 0; r->reads && record_ok(r) && i < count; i++) {
		if (add_run(bus, g, &runs[i]) < 0)
			record_refuse(r, "GPADL %#x has a page that is no RAM, or too many",
				      g->handle);
	}
	free(runs);
}

static void gpadl_fields(struct vmbus *bus, struct gpadl *g, struct record *r)
{
	record_u32(r, "handle", &g->handle);
	record_u32(r, "relid", &g->relid);
	record_u32(r, "expected", &g->pages_expected);
	record_u32(r, "first_byte", &g->first_byte);
	record_u32(r, "bytes", &g->bytes);
	if (r->reads &&
	    (!g->pages_expected || g->pages_expected > VMBUS_GPADL_PAGES_TOTAL ||
	     g->first_byte >= VMBUS_PAGE || !g->bytes ||
	     (uint64_t)g->first_byte + g->bytes > (uint64_t)g->pages_expected * VMBUS_PAGE))
		record_refuse(r, "GPADL %#x has an impossible size", g->handle);
	gpadl_pages_fields(bus, g, r);
}

static void gpadl_read(struct vmbus *bus, struct record *r)
{
	struct gpadl *g = calloc(1, sizeof(*g));

	if (!g) {
		record_refuse(r, "there is no memory for a GPADL");
		return;
	}
	gpadl_fields(bus, g, r);
	if (bus->gpadl_pages + g->pages_expected > VMBUS_GPADL_PAGES_TOTAL ||
	    gpadl_find(bus, g->relid, g->handle))
		record_refuse(r, "GPADL %#x is there twice, or one too many", g->handle);
	if (!record_ok(r)) {
		free(g->extent);
		free(g);
		return;
	}
	list_append(&bus->gpadls, &g->link);
	bus->gpadl_count++;
	bus->gpadl_pages += g->pages_expected;
}

static void gpadls_fields(struct vmbus *bus, struct record *r)
{
	unsigned count = bus->gpadl_count;

	record_limited(r, "gpadls", &count, VMBUS_GPADLS_MAX);
	if (r->reads) {
		for (unsigned i = 0; i < count && record_ok(r); i++)
			gpadl_read(bus, r);
		return;
	}
	for (struct list *at = bus->gpadls.next; at != &bus->gpadls; at = at->next)
		gpadl_fields(bus, CONTAINER_OF(at, struct gpadl, link), r);
}

/* ---- messages that wait for the guest's slot ---- */

static void message_read(struct vmbus *bus, struct record *r)
{
	struct queued_message *m = calloc(1, sizeof(*m));

	if (!m) {
		record_refuse(r, "there is no memory for a message");
		return;
	}
	record_some_bytes(r, "message", m->bytes, &m->len, sizeof(m->bytes));
	if (!record_ok(r)) {
		free(m);
		return;
	}
	list_append(&bus->queue, &m->link);
	bus->queue_len++;
}

static void queue_fields(struct vmbus *bus, struct record *r)
{
	unsigned count = bus->queue_len;

	record_limited(r, "messages", &count, VMBUS_QUEUE_MAX);
	if (r->reads) {
		for (unsigned i = 0; i < count && record_ok(r); i++)
			message_read(bus, r);
		return;
	}
	for (struct list *at = bus->queue.next; at != &bus->queue; at = at->next) {
		struct queued_message *m = CONTAINER_OF(at, struct queued_message, link);

		record_some_bytes(r, "message", m->bytes, &m->len, sizeof(m->bytes));
	}
}

/* ---- the bus ---- */

void vmbus_record(struct vmbus *bus, struct record *r)
{
	unsigned state = bus->state, target_vp = bus->target_vp;
	uint32_t version = bus->version;

	if (r->reads && (bus->state != BUS_DISCONNECTED || bus->gpadl_count || bus->queue_len))
		record_refuse(r, "the bus is in use already");
	record_limited(r, "state", &state, BUS_STATE_LAST);
	record_u32(r, "version", &version);
	record_limited(r, "target_vp", &target_vp, bus->config.vp_count - 1);
	if (r->reads &&
	    (state == BUS_DISCONNECTED ? version != 0 : !bus_version_known(bus, version)))
		record_refuse(r, "version %#x of VMBus does not fit its state", version);
	gpadls_fields(bus, r);
	queue_fields(bus, r);
	if (!r->reads)
		return;
	if (record_end(r) < 0) {
		while (!list_empty(&bus->gpadls))
			gpadl_free(bus, CONTAINER_OF(bus->gpadls.next, struct gpadl, link));
		bus_drop_queue(bus);
		return;
	}
	bus->state = state;
	bus->version = version;
	bus->target_vp = target_vp;
}

/* ---- channels ---- */

struct channel_fields {
	struct guid type, instance;
	uint16_t index;
	unsigned state, target_vp;
	bool signal_wanted;
	uint32_t gpadl, first_down, up_index, down_index; /* of one that is live */
};

static bool is_live(unsigned state)
{
	return state == CHANNEL_OPEN || state == CHANNEL_FAULTED;
}

static void channel_fields(const struct vmbus *bus, struct channel_fields *c, struct record *r)
{
	record_bytes(r, "type", &c->type, sizeof(c->type));
	record_bytes(r, "instance", &c->instance, sizeof(c->instance));
	record_u16(r, "sub_channel", &c->index);
	record_limited(r, "state", &c->state, CHANNEL_STATE_LAST);
	record_limited(r, "target_vp", &c->target_vp, bus->config.vp_count - 1);
	if (!is_live(c->state))
		return;
	record_bool(r, "signal_wanted", &c->signal_wanted);
	record_u32(r, "ring_gpadl", &c->gpadl);
	record_u32(r, "downstream_page", &c->first_down);
	record_u32(r, "upstream_index", &c->up_index);
	record_u32(r, "downstream_index", &c->down_index);
}

static void channel_write(const struct vmbus *bus, const struct vmbus_channel *ch, struct record *r)
{
	struct channel_fields c = {
		.type = ch->offer.type,
		.instance = ch->offer.instance,
		.index = ch->offer.sub_channel_index,
		.state = ch->state,
		.target_vp = ch->target_vp,
	};

	if (is_live(ch->state)) {
		c.signal_wanted = ch->signal_wanted;
		c.gpadl = ch->up.gpadl->handle;
		c.first_down = (uint32_t)(ch->down.data_offset / VMBUS_PAGE) - 1;
		c.up_index = ch->up.own_index;
		c.down_index = ch->down.own_index;
	}
	channel_fields(bus, &c, r);
}

static struct vmbus_channel *find_offer(const struct vmbus *bus, const struct channel_fields *c)
{
	for (uint32_t relid = 1; relid < bus->relid_end; relid++) {
		struct vmbus_channel *ch = bus->channel[relid];

		if (ch && !ch->restored && guid_equal(&ch->offer.type, &c->type) &&
		    guid_equal(&ch->offer.instance, &c->instance) &&
		    ch->offer.sub_channel_index == c->index)
			return ch;
	}
	return NULL;
}

/* A device that left while the guest was not looking; the guest will release the relid. */
static const struct vmbus_device_ops gone_ops = {.name = "gone"};

static struct vmbus_channel *make_gone(struct vmbus *bus, const struct channel_fields *c)
{
	struct vmbus_channel *ch = calloc(1, sizeof(*ch));

	if (!ch)
		return NULL;
	ch->bus = bus;
	ch->offer.type = c->type;
	ch->offer.instance = c->instance;
	ch->offer.sub_channel_index = c->index;
	ch->offer.ops = &gone_ops;
	return ch;
}

static uint32_t free_relid(const struct vmbus *bus)
{
	uint32_t relid = 1;

	while (relid <= VMBUS_RELID_MAX && bus->channel[relid])
		relid++;
	return relid;
}

static void put_at(struct vmbus *bus, struct vmbus_channel *ch, uint32_t relid)
{
	bus->channel[relid] = ch;
	if (!ch)
		return;
	ch->relid = relid;
	if (relid >= bus->relid_end)
		bus->relid_end = relid + 1;
}

/* Moves a channel to its relid; who is there takes its old place, or a free one. */
static int move_to(struct vmbus *bus, struct vmbus_channel *ch, uint32_t relid)
{
	struct vmbus_channel *there = bus->channel[relid];
	uint32_t other = ch->relid ? ch->relid : free_relid(bus);

	if (there == ch)
		return 0;
	if (there && other > VMBUS_RELID_MAX)
		return -ENOSPC;
	if (ch->relid || there)
		put_at(bus, there, other);
	put_at(bus, ch, relid);
	return 0;
}

static int make_rings(struct vmbus_channel *ch, const struct channel_fields *c, uint32_t relid,
		      struct ring *ret_up, struct ring *ret_down)
{
	const struct gpadl *g = gpadl_find(ch->bus, relid, c->gpadl);
	int r;

	if (!g || !gpadl_complete(g) || c->first_down >= g->pages)
		return -EINVAL;
	r = ring_init(ret_up, ch->bus->config.gmem, g, 0, c->first_down);
	if (r == 0)
		r = ring_init(ret_down, ch->bus->config.gmem, g, c->first_down,
			      g->pages - c->first_down);
	if (r < 0)
		return r;
	if (c->up_index >= ret_up->size || !is_aligned(c->up_index, 8) ||
	    c->down_index >= ret_down->size || !is_aligned(c->down_index, 8))
		return -EINVAL;
	ret_up->own_index = c->up_index;
	ret_down->own_index = c->down_index;
	return 0;
}

static int bind_again(struct vmbus_channel *ch)
{
	const struct vmbus_config *config = &ch->bus->config;

	if (!ch->offer.ops->reopen)
		return -EOPNOTSUPP;
	return config->world->bind_kick(config->world_ctx, channel_connection(ch));
}

static void channel_read(struct vmbus *bus, uint32_t relid, struct record *r)
{
	struct channel_fields c = {.state = CHANNEL_UNSEEN};
	struct ring up = {0}, down = {0};
	struct vmbus_channel *ch;

	channel_fields(bus, &c, r);
	if (!relid || relid > VMBUS_RELID_MAX ||
	    (bus->channel[relid] && bus->channel[relid]->restored))
		record_refuse(r, "there is no place for a channel %u", relid);
	if (bus->state == BUS_DISCONNECTED && c.state != CHANNEL_UNSEEN)
		record_refuse(r, "the guest knows channel %u and is not connected", relid);
	if (record_end(r) < 0)
		return;
	ch = c.state == CHANNEL_RESCINDED ? make_gone(bus, &c) : find_offer(bus, &c);
	if (!ch) {
		char instance[GUID_TEXT_LEN];

		guid_format(&c.instance, instance);
		record_refuse(r, "the VM has no device %s", instance);
		return;
	}
	if (is_live(c.state) && make_rings(ch, &c, relid, &up, &down) < 0)
		record_refuse(r, "the rings of channel %u are not in a buffer of it", relid);
	else if (move_to(bus, ch, relid) < 0)
		record_refuse(r, "there is no place for a channel %u", relid);
	if (!record_ok(r)) {
		if (c.state == CHANNEL_RESCINDED)
			free(ch);
		return;
	}
	ch->restored = true;
	ch->target_vp = c.target_vp;
	ch->state = is_live(c.state) ? CHANNEL_CLOSED : c.state;
	if (!is_live(c.state))
		return;
	if (bind_again(ch) < 0) {
		record_refuse(r, "channel %u cannot be opened again", relid);
		return;
	}
	ch->up = up;
	ch->down = down;
	ch->signal_wanted = c.signal_wanted;
	ch->state = c.state;
	ch->offer.ops->reopen(ch->offer.dev, ch);
}

void vmbus_channel_record(struct vmbus *bus, uint32_t relid, struct record *r)
{
	if (r->reads)
		channel_read(bus, relid, r);
	else
		channel_write(bus, channel_by_relid(bus, relid), r);
}

void vmbus_restored(struct vmbus *bus)
{
	for (uint32_t relid = 1; relid < bus->relid_end; relid++) {
		struct vmbus_channel *ch = bus->channel[relid];

		if (!ch)
			continue;
		if (ch->state == CHANNEL_OPEN)
			vmbus_channel_resume(ch);
		else if (ch->state == CHANNEL_UNSEEN && bus->state == BUS_OFFERED)
			channel_announce(ch);
		vmbus_channel_flush(ch);
	}
	bus_post_queued(bus);
}
