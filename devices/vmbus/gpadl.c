/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * GPADLs: lists of guest pages that a guest registers as one buffer, by a header message and as
 * many body messages as it takes.
 *
 * Trust: every number is the guest's. Page numbers become host addresses here, once, against the
 * table of RAM; what comes out is a list of extents within guest RAM.
 * Limits: one range per GPADL, VMBUS_GPADLS_MAX of them, VMBUS_GPADL_PAGES_TOTAL pages.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"
#include "base/util.h"
#include "devices/vmbus/internal.h"

#define GPADL_CREATE_FAILED 0xC000000Du /* STATUS_INVALID_PARAMETER */

struct gpadl *gpadl_find(const struct vmbus *bus, uint32_t relid, uint32_t handle)
{
	for (struct list *at = bus->gpadls.next; at != &bus->gpadls; at = at->next) {
		struct gpadl *g = CONTAINER_OF(at, struct gpadl, link);

		if (g->relid == relid && g->handle == handle)
			return g;
	}
	return NULL;
}

static struct gpadl *gpadl_find_partial(const struct vmbus *bus, uint32_t handle)
{
	for (struct list *at = bus->gpadls.next; at != &bus->gpadls; at = at->next) {
		struct gpadl *g = CONTAINER_OF(at, struct gpadl, link);

		if (g->handle == handle && !gpadl_complete(g))
			return g;
	}
	return NULL;
}

bool gpadl_complete(const struct gpadl *g)
{
	return g->pages == g->pages_expected;
}

void gpadl_free(struct vmbus *bus, struct gpadl *g)
{
	list_remove(&g->link);
	bus->gpadl_count--;
	bus->gpadl_pages -= g->pages_expected;
	free(g->extent);
	free(g);
}

uint8_t *gpadl_piece(const struct gpadl *g, uint64_t offset, uint64_t max, uint64_t *ret_len)
{
	unsigned low = 0, high = g->extent_count;
	uint64_t end;

	while (high - low > 1) {
		unsigned middle = low + (high - low) / 2;

		if (g->extent[middle].offset <= offset)
			low = middle;
		else
			high = middle;
	}
	end = low + 1 < g->extent_count ? g->extent[low + 1].offset
					: (uint64_t)g->pages * VMBUS_PAGE;
	*ret_len = min_u64(max, end - offset);
	return g->extent[low].hva + (offset - g->extent[low].offset);
}

int gpadl_add_page(const struct vmbus *bus, struct gpadl *g, uint64_t pfn)
{
	const struct gpadl_extent *last;
	uint8_t *hva;

	if (pfn > UINT64_MAX / VMBUS_PAGE)
		return -EFAULT;
	hva = gmem_span(bus->config.gmem, pfn * VMBUS_PAGE, VMBUS_PAGE);
	if (!hva)
		return -EFAULT;
	last = g->extent_count ? &g->extent[g->extent_count - 1] : NULL;
	if (!last || last->hva + ((uint64_t)g->pages * VMBUS_PAGE - last->offset) != hva) {
		if (g->extent_count == g->extent_room) {
			unsigned room = g->extent_room ? g->extent_room * 2 : 4;
			struct gpadl_extent *grown = realloc(g->extent, room * sizeof(*grown));

			if (!grown)
				return -ENOMEM;
			g->extent = grown;
			g->extent_room = room;
		}
		g->extent[g->extent_count++] = (struct gpadl_extent){
			.offset = (uint64_t)g->pages * VMBUS_PAGE, .hva = hva};
	}
	g->pages++;
	return 0;
}

/* Takes page numbers from the rest of a message; more than expected is a fault. */
static int gpadl_add_pages(const struct vmbus *bus, struct gpadl *g, struct cursor *c)
{
	while (c->left >= sizeof(uint64_t) && !gpadl_complete(g)) {
		int r = gpadl_add_page(bus, g, cursor_u64(c));

		if (r < 0)
			return r;
	}
	return 0;
}

static void gpadl_answer(struct vmbus *bus, uint32_t relid, uint32_t handle, uint32_t status)
{
	struct vmbus_msg_gpadl_created answer = {
		.header.type = VMBUS_MSG_GPADL_CREATED,
		.relid = relid,
		.gpadl = handle,
		.status = status,
	};

	bus_send(bus, &answer, sizeof(answer));
}

/* Ends a GPADL that could not be built; further bodies of it find nothing. */
static void gpadl_refuse(struct vmbus *bus, struct gpadl *g, const char *why)
{
	guestlog_say(bus->config.log, "vmbus", "GPADL %#x of channel %u refused: %s", g->handle,
		     g->relid, why);
	gpadl_answer(bus, g->relid, g->handle, GPADL_CREATE_FAILED);
	gpadl_free(bus, g);
}

static int gpadl_decode_header(const uint8_t *message, size_t len, struct gpadl *ret_g,
			       struct cursor *ret_rest)
{
	struct cursor c = cursor_of(message, len);
	struct vmbus_msg_gpadl_header head;
	const void *p = cursor_take(&c, sizeof(head));
	uint64_t span;
	uint32_t pages;

	if (!p)
		return -EINVAL;
	memcpy(&head, p, sizeof(head));
	*ret_g = (struct gpadl){.handle = head.gpadl, .relid = head.relid};
	ret_g->bytes = cursor_u32(&c);
	ret_g->first_byte = cursor_u32(&c);
	if (!cursor_ok(&c) || head.range_count != 1 ||
	    head.range_bytes < sizeof(struct vmbus_gpa_range))
		return -EINVAL;
	pages = (uint32_t)(head.range_bytes - sizeof(struct vmbus_gpa_range)) / sizeof(uint64_t);
	span = (uint64_t)ret_g->first_byte + ret_g->bytes;
	if (!pages || !ret_g->bytes || ret_g->first_byte >= VMBUS_PAGE ||
	    span > (uint64_t)pages * VMBUS_PAGE)
		return -EINVAL;
	ret_g->pages_expected = pages;
	*ret_rest = c;
	return 0;
}

void gpadl_on_header(struct vmbus *bus, const uint8_t *message, size_t len)
{
	struct gpadl decoded = {0}, *g;
	struct cursor rest;
	int r = gpadl_decode_header(message, len, &decoded, &rest);
	const struct vmbus_channel *ch = channel_by_relid(bus, decoded.relid);

	if (r == 0 && (!ch || ch->state == CHANNEL_UNSEEN || ch->state == CHANNEL_RESCINDED))
		r = -ENOENT;
	if (r == 0 && (gpadl_find(bus, decoded.relid, decoded.handle) ||
		       gpadl_find_partial(bus, decoded.handle)))
		r = -EEXIST;
	if (r == 0 && (bus->gpadl_count >= VMBUS_GPADLS_MAX ||
		       bus->gpadl_pages + decoded.pages_expected > VMBUS_GPADL_PAGES_TOTAL))
		r = -ENOSPC;
	g = r == 0 ? malloc(sizeof(*g)) : NULL;
	if (!g) {
		guestlog_say(bus->config.log, "vmbus", "GPADL %#x of channel %u refused: %s",
			     decoded.handle, decoded.relid, r ? strerror(-r) : "no memory");
		gpadl_answer(bus, decoded.relid, decoded.handle, GPADL_CREATE_FAILED);
		return;
	}
	*g = decoded;
	list_append(&bus->gpadls, &g->link);
	bus->gpadl_count++;
	bus->gpadl_pages += g->pages_expected;
	r = gpadl_add_pages(bus, g, &rest);
	if (r < 0)
		gpadl_refuse(bus, g, "a page is not RAM");
	else if (gpadl_complete(g))
		gpadl_answer(bus, g->relid, g->handle, 0);
}

void gpadl_on_body(struct vmbus *bus, const uint8_t *message, size_t len)
{
	struct cursor c = cursor_of(message, len);
	struct vmbus_msg_gpadl_body head;
	const void *p = cursor_take(&c, sizeof(head));
	struct gpadl *g;

	if (!p)
		return;
	memcpy(&head, p, sizeof(head));
	g = gpadl_find_partial(bus, head.gpadl);
	if (!g) {
		guestlog_say(bus->config.log, "vmbus", "pages for GPADL %#x, which is not begun",
			     head.gpadl);
		return;
	}
	/* Linux numbers its bodies 1, 2, ... ; nothing needs the number, so it is not checked. */
	if (c.left < sizeof(uint64_t) || gpadl_add_pages(bus, g, &c) < 0)
		gpadl_refuse(bus, g, "a page is not RAM, or a message without pages");
	else if (gpadl_complete(g))
		gpadl_answer(bus, g->relid, g->handle, 0);
}

void gpadl_on_teardown(struct vmbus *bus, const struct vmbus_msg_gpadl_teardown *msg)
{
	struct vmbus_msg_gpadl_torndown answer = {
		.header.type = VMBUS_MSG_GPADL_TORNDOWN,
		.gpadl = msg->gpadl,
	};
	struct gpadl *g = gpadl_find(bus, msg->relid, msg->gpadl);
	struct vmbus_channel *ch = channel_by_relid(bus, msg->relid);

	/* A ring that is torn down under its open channel: the channel goes first. */
	if (g && ch && (ch->state == CHANNEL_OPEN || ch->state == CHANNEL_FAULTED) &&
	    ch->up.gpadl == g)
		channel_close(ch);
	if (g)
		gpadl_free(bus, g);
	bus_send(bus, &answer, sizeof(answer));
}

static const struct gpadl *gpadl_of(const struct vmbus_channel *ch, uint32_t handle)
{
	const struct gpadl *g = gpadl_find(ch->bus, ch->relid, handle);

	return g && gpadl_complete(g) ? g : NULL;
}

int64_t vmbus_gpadl_len(const struct vmbus_channel *ch, uint32_t handle)
{
	const struct gpadl *g = gpadl_of(ch, handle);

	return g ? (int64_t)g->bytes : -ENOENT;
}

int vmbus_gpadl_iov(const struct vmbus_channel *ch, uint32_t handle, uint64_t offset, uint64_t len,
		    struct iovec *iov, unsigned max, unsigned *ret_count)
{
	const struct gpadl *g = gpadl_of(ch, handle);
	unsigned n = 0;

	if (!g)
		return -ENOENT;
	if (!range_within(offset, len, g->bytes))
		return -ERANGE;
	offset += g->first_byte;
	while (len) {
		uint64_t piece;
		uint8_t *hva = gpadl_piece(g, offset, len, &piece);

		if (n == max)
			return -E2BIG;
		iov[n++] = (struct iovec){.iov_base = hva, .iov_len = piece};
		offset += piece;
		len -= piece;
	}
	*ret_count = n;
	return 0;
}

void vmbus_gpadl_written(const struct vmbus_channel *ch, uint32_t handle, uint64_t offset,
			 uint64_t len)
{
	const struct gpadl *g = ch->bus->config.gmem->tracked ? gpadl_of(ch, handle) : NULL;

	if (!g || !range_within(offset, len, g->bytes))
		return;
	offset += g->first_byte;
	while (len) {
		uint64_t piece;
		const uint8_t *hva = gpadl_piece(g, offset, len, &piece);

		gmem_written(ch->bus->config.gmem, hva, piece);
		offset += piece;
		len -= piece;
	}
}

static int gpadl_copy(const struct vmbus_channel *ch, uint32_t handle, uint64_t offset,
		      uint8_t *dst, const uint8_t *src, uint64_t len)
{
	const struct gpadl *g = gpadl_of(ch, handle);

	if (!g)
		return -ENOENT;
	if (!range_within(offset, len, g->bytes))
		return -ERANGE;
	offset += g->first_byte;
	while (len) {
		uint64_t piece;
		uint8_t *hva = gpadl_piece(g, offset, len, &piece);

		if (dst) {
			memcpy(dst, hva, piece);
			dst += piece;
		} else {
			memcpy(hva, src, piece);
			gmem_written(ch->bus->config.gmem, hva, piece);
			src += piece;
		}
		offset += piece;
		len -= piece;
	}
	return 0;
}

int vmbus_gpadl_read(const struct vmbus_channel *ch, uint32_t handle, uint64_t offset, void *dst,
		     uint64_t len)
{
	return gpadl_copy(ch, handle, offset, dst, NULL, len);
}

int vmbus_gpadl_write(const struct vmbus_channel *ch, uint32_t handle, uint64_t offset,
		      const void *src, uint64_t len)
{
	return gpadl_copy(ch, handle, offset, NULL, src, len);
}
