/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One direction of a channel: a circular buffer in guest memory with its control page.
 *
 * Trust: the control page is the guest's. The peer's index is loaded once into a local and
 * checked; our own index lives in struct ring. Data is copied in one pass (internal.h,
 * invariant 4).
 * Spec: Linux include/linux/hyperv.h, drivers/hv/ring_buffer.c (facts only).
 */
#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "devices/vmbus/internal.h"

/* Fails with -EINVAL when the pages do not lie within the GPADL or hold no data. */
int ring_init(struct ring *r, const struct gmem *gmem, const struct gpadl *g, uint32_t first_page,
	      uint32_t pages)
{
	uint64_t begin = (uint64_t)first_page * VMBUS_PAGE, piece;
	uint8_t *control, *data;

	if (g->first_byte || pages < 2 || !range_within(first_page, pages, g->pages))
		return -EINVAL;
	control = gpadl_piece(g, begin, VMBUS_PAGE, &piece);
	*r = (struct ring){
		.gmem = gmem,
		.gpadl = g,
		.control = (struct vmbus_ring_control *)control,
		.data_offset = begin + VMBUS_PAGE,
		.size = (pages - 1) * VMBUS_PAGE,
	};
	data = gpadl_piece(g, r->data_offset, r->size, &piece);
	if (piece == r->size)
		r->flat = data;
	return 0;
}

static bool index_valid(const struct ring *r, uint32_t index)
{
	return index < r->size && is_aligned(index, 8);
}

/* Bytes that the guest has written and we have not read; -EPROTO for a wild index. */
int ring_used(const struct ring *r, uint32_t *ret_bytes)
{
	uint32_t write = gmem_load32(&r->control->write_index);

	if (!index_valid(r, write))
		return -EPROTO;
	*ret_bytes = write >= r->own_index ? write - r->own_index : r->size - r->own_index + write;
	return 0;
}

/* Room that we may write, counting the byte that keeps full and empty apart; -EPROTO. */
int ring_free(const struct ring *r, uint32_t *ret_bytes)
{
	uint32_t read = gmem_load32(&r->control->read_index);

	if (!index_valid(r, read))
		return -EPROTO;
	*ret_bytes = r->own_index >= read ? r->size - (r->own_index - read) : read - r->own_index;
	return 0;
}

/* One word of the control page, which the guest reads. */
void ring_store(const struct ring *r, uint32_t *word, uint32_t value)
{
	gmem_store32(word, value);
	gmem_written(r->gmem, word, sizeof(*word));
}

uint32_t ring_advance(const struct ring *r, uint32_t index, uint32_t len)
{
	uint64_t next = (uint64_t)index + len;

	return (uint32_t)(next >= r->size ? next - r->size : next);
}

/* The contiguous piece of the data area at index, at most len bytes. */
static uint8_t *ring_piece(const struct ring *r, uint32_t index, uint32_t len, uint32_t *ret_len)
{
	uint64_t piece = min_u32(len, r->size - index);
	uint8_t *p = r->flat ? r->flat + index
			     : gpadl_piece(r->gpadl, r->data_offset + index, piece, &piece);

	*ret_len = (uint32_t)piece;
	return p;
}

void ring_copy_out(const struct ring *r, uint32_t index, void *dst, uint32_t len)
{
	uint8_t *to = dst;

	while (len) {
		uint32_t piece;
		const uint8_t *from = ring_piece(r, index, len, &piece);

		memcpy(to, from, piece);
		to += piece;
		len -= piece;
		index = ring_advance(r, index, piece);
	}
}

void ring_copy_in(const struct ring *r, uint32_t index, const void *src, uint32_t len)
{
	const uint8_t *from = src;

	while (len) {
		uint32_t piece;
		uint8_t *to = ring_piece(r, index, len, &piece);

		memcpy(to, from, piece);
		gmem_written(r->gmem, to, piece);
		from += piece;
		len -= piece;
		index = ring_advance(r, index, piece);
	}
}
