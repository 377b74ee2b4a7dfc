/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/compressed.h"

#include <assert.h>
#include <errno.h>
#include <lz4.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cursor.h"
#include "base/util.h"

static uint64_t blocks_of(uint64_t bytes)
{
	return (bytes + STATE_COMPRESSED_BLOCK_BYTES - 1) / STATE_COMPRESSED_BLOCK_BYTES;
}

/* ---- out of pages ---- */

struct gather {
	const struct iovec *piece;
	size_t used; /* of it */
};

/* The next len bytes, which there are. */
static void gather_copy(struct gather *g, uint8_t *to, size_t len)
{
	while (len) {
		size_t n = min_u64(len, g->piece->iov_len - g->used);

		memcpy(to, (const uint8_t *)g->piece->iov_base + g->used, n);
		to += n;
		len -= n;
		g->used += n;
		if (g->used == g->piece->iov_len)
			*g = (struct gather){.piece = g->piece + 1};
	}
}

/* A block of len bytes of pages; the bytes that it has then. */
static uint32_t encode_block(const uint8_t *from, uint32_t len, uint8_t *to)
{
	int n = LZ4_compress_default((const char *)from, (char *)to, (int)len, (int)len - 1);

	if (n > 0)
		return (uint32_t)n;
	memcpy(to, from, len);
	return len;
}

void compressed_encode(const struct state_span spans[], unsigned count, const struct iovec data[],
		       struct compressed_body *ret_body)
{
	uint8_t *list = ret_body->bytes + STATE_SPANS_HEAD_BYTES, *sizes, *to;
	struct gather g = {.piece = data};
	uint64_t left = 0;

	for (unsigned i = 0; i < count; i++)
		left += spans[i].zeros ? 0 : (uint64_t)spans[i].pages * STATE_PAGE;
	assert(count <= STATE_SPANS_MAX && left <= COMPRESSED_BYTES_MAX);
	le32_store(ret_body->bytes, count);
	le32_store(ret_body->bytes + 4, (uint32_t)blocks_of(left));
	state_spans_encode(spans, count, list);
	sizes = list + (size_t)count * STATE_SPAN_BYTES;
	to = sizes + blocks_of(left) * 4;
	for (; left; sizes += 4) {
		uint32_t len = (uint32_t)min_u64(left, STATE_COMPRESSED_BLOCK_BYTES), n;

		gather_copy(&g, ret_body->copy, len);
		n = encode_block(ret_body->copy, len, to);
		le32_store(sizes, n);
		to += n;
		left -= len;
	}
	ret_body->len = (uint64_t)(to - ret_body->bytes);
}

/* ---- and back ---- */

/* A block that is to be len bytes of pages. */
static bool decode_block(struct cursor *in, uint32_t n, uint8_t *to, uint32_t len)
{
	const uint8_t *from = n && n <= len ? cursor_take(in, n) : NULL;

	if (!from)
		return false;
	if (n < len)
		return LZ4_decompress_safe((const char *)from, (char *)to, (int)n, (int)len) ==
		       (int)len;
	memcpy(to, from, len);
	return true;
}

int compressed_decode(const uint8_t *body, uint64_t len, struct compressed_pages *ret_pages,
		      const char **ret_why)
{
	struct cursor in = cursor_of(body, len);
	uint32_t count = cursor_u32(&in), blocks = cursor_u32(&in);
	const uint8_t *list, *sizes;
	uint8_t *to = ret_pages->data;
	uint64_t left;

	*ret_why = "a record of compressed pages has a head that cannot be";
	if (count > STATE_SPANS_MAX || blocks > STATE_COMPRESSED_BLOCKS_MAX)
		return -EBADMSG;
	list = cursor_take(&in, (size_t)count * STATE_SPAN_BYTES);
	sizes = cursor_take(&in, (size_t)blocks * 4);
	if (!cursor_ok(&in))
		return -EBADMSG;
	*ret_why = "a record of compressed pages has a span that cannot be";
	if (!state_spans_decode(list, count, ret_pages->span, &left))
		return -EBADMSG;
	*ret_why = "a record of compressed pages has more or fewer blocks than its pages fill";
	if (blocks != blocks_of(left))
		return -EBADMSG;
	*ret_why = "a block of compressed pages is not what its length says";
	for (; left; sizes += 4) {
		uint32_t block = (uint32_t)min_u64(left, STATE_COMPRESSED_BLOCK_BYTES);

		if (!decode_block(&in, le32_load(sizes), to, block))
			return -EBADMSG;
		to += block;
		left -= block;
	}
	*ret_why = "a record of compressed pages is longer than what it holds";
	if (in.left)
		return -EBADMSG;
	ret_pages->count = count;
	return 0;
}
