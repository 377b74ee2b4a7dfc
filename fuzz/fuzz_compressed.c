/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The body of a record of compressed pages, as who sends a VM writes it. The input is a first byte
 * that says whose it is:
 *
 *   even: anybody's, the bytes that follow.
 *   odd: our own: spans, each a byte; a length, and so many bytes that the pages have over and
 * over; the rest are changes: a place and a value.
 *
 * Checked: what is taken has as many pages as its spans say, aligned and within what there is room
 * for; our own, when nobody has changed it, is as it was written.
 */
#include <string.h>

#include "base/cursor.h"
#include "base/util.h"
#include "fuzz/harness.h"
#include "worker/compressed.h"

#define SPANS_MAX 16u
#define PAGES_MAX 48u /* of all spans, of which there are bytes */
#define PIECE_MAX 64u

static struct compressed_body body;
static struct compressed_pages pages;
static uint8_t memory[PAGES_MAX * STATE_PAGE];

static bool look(void)
{
	const char *why;
	uint64_t bytes = 0;

	if (compressed_decode(body.bytes, body.len, &pages, &why) < 0) {
		must(why && *why);
		return false;
	}
	must(pages.count <= STATE_SPANS_MAX);
	for (unsigned i = 0; i < pages.count; i++) {
		must(pages.span[i].pages && is_aligned(pages.span[i].gpa, STATE_PAGE));
		bytes += pages.span[i].zeros ? 0 : (uint64_t)pages.span[i].pages * STATE_PAGE;
	}
	must(bytes <= sizeof(pages.data));
	fuzz_tell(pages.data, bytes);
	return true;
}

/* So many bytes of memory, of what the input repeats. */
static void fill(struct cursor *in, uint64_t bytes)
{
	uint8_t piece[PIECE_MAX];
	size_t len = 1 + cursor_u8(in) % PIECE_MAX;

	cursor_copy_padded(in, piece, len);
	for (uint64_t i = 0; i < bytes; i++)
		memory[i] = piece[i % len];
}

static void write_own(struct cursor *in)
{
	struct state_span span[SPANS_MAX];
	struct iovec data[SPANS_MAX];
	unsigned count = cursor_u8(in) % (SPANS_MAX + 1), with_data = 0;
	uint64_t used = 0, gpa = 0;

	for (unsigned i = 0; i < count; i++) {
		uint8_t what = cursor_u8(in);
		uint32_t n = 1 + what % (PAGES_MAX / SPANS_MAX);

		span[i] = (struct state_span){.gpa = gpa, .pages = n, .zeros = what & 0x80};
		gpa += (uint64_t)n * STATE_PAGE;
		if (span[i].zeros)
			continue;
		data[with_data++] = (struct iovec){memory + used, (size_t)n * STATE_PAGE};
		used += (uint64_t)n * STATE_PAGE;
	}
	fill(in, used);
	compressed_encode(span, count, data, &body);
	must(look() && pages.count == count && memcmp(pages.data, memory, used) == 0);
	for (unsigned i = 0; i < count; i++)
		must(pages.span[i].gpa == span[i].gpa && pages.span[i].zeros == span[i].zeros);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cursor in = cursor_of(data, size);

	if (cursor_u8(&in) & 1) {
		write_own(&in);
		for (unsigned i = 0; i < 4 && in.left; i++)
			body.bytes[cursor_u16(&in) % body.len] = cursor_u8(&in);
	} else {
		body.len = min_u64(in.left, sizeof(body.bytes));
		memcpy(body.bytes, in.at, body.len);
	}
	(void)look();
	return 0;
}
