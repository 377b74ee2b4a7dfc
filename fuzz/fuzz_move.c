/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What comes on the socket of a VM that moves. The input is a first byte that says which side it
 * plays:
 *
 *   even: the source. Records of pages with spans as they come, each with the right sums, and as
 *   many bytes behind them as the input says; records of a further connection, of pages that come
 *   later and of pieces of disks, of any bytes; the rest are changes: a place and a value. With 2
 *   the stream is that of a further connection.
 *   odd: the destination. The bytes of messages; of each the first says whether its sum is made
 *   right.
 *
 * Checked: spans that are given out are aligned, not empty, and as many as their bytes; so are
 * pages that come later; a connection has a number that can be; a piece of a disk fits into its
 * buffer; a message that is given out has a
 * kind that exists and a text that may be shown.
 */
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "abi/move.h"
#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/cursor.h"
#include "base/util.h"
#include "fuzz/harness.h"
#include "lib/move_message.h"
#include "lib/state_stream.h"

#define RECORDS_MAX 8u
#define SPANS_MAX 20u
#define PAGES_MAX 40u /* of all spans of a record, of which there are bytes */

static uint8_t pages[PAGES_MAX * STATE_PAGE];

/* ---- a stream ---- */

/* A record of pages as somebody writes it who knows the sums and nothing else. */
static void write_record(int fd, struct cursor *in)
{
	uint8_t record[STATE_RECORD_BYTES] = {0};
	uint8_t list[STATE_SPANS_HEAD_BYTES + SPANS_MAX * STATE_SPAN_BYTES] = {0};
	uint32_t count = cursor_u8(in) % (SPANS_MAX + 1), told = count + (cursor_u8(in) == 0xff);
	size_t len = STATE_SPANS_HEAD_BYTES + count * STATE_SPAN_BYTES;
	size_t data = (size_t)(cursor_u8(in) % (PAGES_MAX + 1)) * STATE_PAGE;

	le32_store(list, told);
	for (uint32_t i = 0; i < count; i++) {
		uint8_t *at = list + STATE_SPANS_HEAD_BYTES + (size_t)i * STATE_SPAN_BYTES;

		le64_store(at, (uint64_t)cursor_u16(in) << 11);
		le32_store(at + 8, cursor_u8(in) % 8u);
		le32_store(at + 12, cursor_u8(in) % 3u);
	}
	le32_store(record, STATE_PAGES);
	le16_store(record + 4, 1);
	le64_store(record + 16, len + data);
	le32_store(record + 24, crc32c(0, list, len));
	le32_store(record + 28, crc32c(0, record, 28));
	must(write(fd, record, sizeof(record)) == sizeof(record));
	must(write(fd, list, len) == (ssize_t)len);
	must(write(fd, pages, data) == (ssize_t)data);
}

/* The same by our own writer, which is read back. */
static void write_pages(struct state_writer *w, struct cursor *in)
{
	struct state_span span[SPANS_MAX];
	struct iovec data[SPANS_MAX];
	unsigned count = 1 + cursor_u8(in) % (SPANS_MAX - 1), with_data = 0;
	struct failure f;

	for (unsigned i = 0; i < count; i++) {
		uint8_t what = cursor_u8(in);

		span[i] = (struct state_span){
			.gpa = (uint64_t)cursor_u16(in) * STATE_PAGE,
			.pages = 1 + what % 2u,
			.zeros = what & 0x80,
		};
		if (!span[i].zeros)
			data[with_data++] = (struct iovec){
				.iov_base = pages, .iov_len = (size_t)span[i].pages * STATE_PAGE};
	}
	must(state_write_pages(w, span, count, data, &f) == 0);
}

/* One of those that have a short body, with any. */
static void write_short(int fd, struct cursor *in, uint32_t type)
{
	uint8_t record[STATE_RECORD_BYTES] = {0}, body[256] = {0};
	uint64_t len = cursor_u8(in) & ~7u, given = cursor_u8(in);

	cursor_copy_padded(in, body, given < len ? given : len);
	le32_store(record, type);
	le16_store(record + 4, 1);
	le64_store(record + 16, len);
	le32_store(record + 24, crc32c(0, body, len));
	le32_store(record + 28, crc32c(0, record, 28));
	must(write(fd, record, sizeof(record)) == sizeof(record));
	must(write(fd, body, len) == (ssize_t)len);
}

static void change(int fd, struct cursor *in)
{
	uint64_t len = (uint64_t)lseek(fd, 0, SEEK_END);

	for (unsigned i = 0; i < 4 && in->left; i++) {
		off_t at = (off_t)(cursor_u32(in) % len);
		uint8_t value = cursor_u8(in);

		must(pwrite(fd, &value, 1, at) == 1);
	}
}

static int read_pages(struct state_reader *r, const struct state_record *record, struct failure *f)
{
	static uint8_t to[STATE_BODY_MAX];
	struct state_span span[STATE_SPANS_MAX];
	struct iovec piece = {.iov_base = to};
	unsigned count;
	int e = state_read_spans(r, record, span, &count, f);

	if (e < 0)
		return e;
	must(count <= STATE_SPANS_MAX);
	for (unsigned i = 0; i < count; i++) {
		must(span[i].pages && is_aligned(span[i].gpa, STATE_PAGE));
		piece.iov_len += span[i].zeros ? 0 : (size_t)span[i].pages * STATE_PAGE;
	}
	must(piece.iov_len == r->left && piece.iov_len <= sizeof(to));
	fuzz_tell(&count, sizeof(count));
	e = state_read_page_data(r, &piece, piece.iov_len ? 1 : 0, f);
	return e < 0 ? e : state_read_done(r, f);
}

static int read_later(struct state_reader *r, const struct state_record *record, struct failure *f)
{
	static struct state_later later;
	int e = state_read_later(r, record, &later, f);

	if (e < 0)
		return e;
	must(later.pages <= STATE_LATER_PAGES_MAX && later.pages % 64 == 0);
	must(is_aligned(later.gpa, STATE_PAGE) && r->left == 0);
	fuzz_tell(later.bits, later.pages / 8);
	return 0;
}

static int read_blocks(struct state_reader *r, const struct state_record *record, struct failure *f)
{
	static uint8_t to[STATE_BLOCKS_MAX];
	struct state_blocks b;
	int e = state_read_blocks(r, record, &b, to, f);

	if (e < 0)
		return e;
	must(b.len && b.len <= sizeof(to) && r->left == 0);
	fuzz_tell(to, b.len);
	return 0;
}

static int read_lane(struct state_reader *r, struct failure *f)
{
	struct state_lane lane;
	int e = state_read_lane(r, &lane, f);

	if (e < 0)
		return e;
	must(lane.number < lane.count && lane.count <= STATE_LANES_MAX);
	fuzz_tell(&lane, sizeof(lane));
	return 0;
}

static void read_stream(int fd, bool lane)
{
	static uint8_t body[STATE_BODY_MAX];
	struct state_reader r;
	struct state_record record;
	struct failure f;
	int e;

	must(lseek(fd, 0, SEEK_SET) == 0);
	e = state_read_begin(&r, fd, "x", STATE_LIVE, &f);
	if (e == 0 && lane)
		e = read_lane(&r, &f);
	while (e == 0) {
		e = state_read_next(&r, &record, &f);
		if (e < 0 || record.type == STATE_END)
			return;
		if (record.type == STATE_PAGES || record.type == STATE_LATER ||
		    record.type == STATE_BLOCKS) {
			e = record.type == STATE_PAGES   ? read_pages(&r, &record, &f)
			    : record.type == STATE_LATER ? read_later(&r, &record, &f)
							 : read_blocks(&r, &record, &f);
			continue;
		}
		e = state_read_some(&r, body, record.len, &f);
		if (e == 0)
			e = state_read_done(&r, &f);
	}
}

static void play_source(struct cursor *in, bool lane)
{
	static int fd = -1;
	struct state_writer w;
	struct failure f;

	if (fd < 0)
		fd = memfd_create("stream", MFD_CLOEXEC);
	must(fd >= 0 && ftruncate(fd, 0) == 0 && lseek(fd, 0, SEEK_SET) == 0);
	must(state_write_begin(&w, fd, "x", STATE_LIVE, &f) == 0);
	for (unsigned i = 0; i < RECORDS_MAX && in->left; i++) {
		uint8_t what = cursor_u8(in);

		if (what == 0)
			break;
		if (what & 1)
			write_pages(&w, in);
		else if (what & 4)
			write_short(fd, in,
				    what & 16  ? STATE_BLOCKS
				    : what & 8 ? STATE_LANE
					       : STATE_LATER);
		else
			write_record(fd, in);
	}
	must(state_write_end(&w, &f) == 0);
	change(fd, in);
	read_stream(fd, lane);
}

/* ---- messages ---- */

static void play_target(struct cursor *in)
{
	struct move_message m;
	struct failure f;
	int pair[2];

	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	for (unsigned i = 0; i < RECORDS_MAX && in->left; i++) {
		bool right = cursor_u8(in) & 1;
		uint8_t head[MOVE_HEAD_BYTES] = {0}, text[64];
		size_t len;

		if (right)
			le32_store(head, MOVE_MAGIC);
		cursor_copy_padded(in, head + 4, 2);
		cursor_copy_padded(in, head + 8, 2);
		cursor_copy_padded(in, head + 16, 1);
		len = head[16] % sizeof(text);
		if (right)
			le32_store(head + 20, crc32c(0, head, 20));
		cursor_copy_padded(in, text, len);
		must(send(pair[0], head, sizeof(head), 0) == sizeof(head));
		must(send(pair[0], text, len, 0) == (ssize_t)len);
	}
	close(pair[0]);
	while (move_receive(pair[1], &m, &f) == 0) {
		must(m.kind && m.kind < MOVE_KINDS && strlen(m.text) <= MOVE_TEXT_MAX);
		for (const char *c = m.text; *c; c++)
			must((unsigned char)*c >= 0x20 && *c != 0x7f);
		fuzz_tell(&m.kind, sizeof(m.kind));
	}
	close(pair[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cursor in = cursor_of(data, size);

	uint8_t side = cursor_u8(&in);

	if (side & 1)
		play_target(&in);
	else
		play_source(&in, side & 2);
	return 0;
}
