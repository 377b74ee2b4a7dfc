/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Heads of the stream and of its records. Trust and spec: state_stream.h.
 *
 *	head:	0 magic, 8 u32 version, 12 u32 bytes of a page, 16 u64 features, 24 u32 zero, 28 CRC
 *	record:	0 u32 type, 4 u16 version, 6 u16 flags, 8 u32 instance, 12 u32 zero,
 *		16 u64 bytes of the body, 24 CRC of the body, 28 CRC of 0 to 27
 *	end:	0 u64 records before it, 8 u32 digest: CRC of all their heads in turn, 12 u32 zero
 */
#include "lib/state_stream.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/util.h"

#define END_BYTES 16u

static const char *const names[STATE_TYPES] = {
	[STATE_END] = "end",
	[STATE_MACHINE] = "machine",
	[STATE_MEMORY] = "memory",
	[STATE_HV] = "hypervisor",
	[STATE_VMBUS] = "vmbus",
	[STATE_CHANNEL] = "channel",
	[STATE_IOAPIC] = "ioapic",
	[STATE_SERIAL] = "serial",
	[STATE_RTC] = "rtc",
	[STATE_PC] = "pc",
	[STATE_IDE] = "ide",
	[STATE_SCSI] = "scsi",
	[STATE_NIC] = "nic",
	[STATE_HEARTBEAT] = "heartbeat",
	[STATE_SHUTDOWN] = "shutdown",
	[STATE_TIMESYNC] = "timesync",
	[STATE_KVP] = "kvp",
	[STATE_KEYBOARD] = "keyboard",
	[STATE_PROCESSOR] = "processor",
	[STATE_PAGES] = "pages",
	[STATE_MARK] = "mark",
	[STATE_REHEARSAL] = "rehearsal",
	[STATE_LANE] = "lane",
	[STATE_LATER] = "later",
	[STATE_BLOCKS] = "blocks",
	[STATE_COMPRESSED] = "compressed",
};

const char *state_type_name(uint32_t type)
{
	return type < STATE_TYPES ? names[type] : NULL;
}

/* Steps over n bytes of the vector, which has at least as many. */
static void skip(struct iovec **pieces, unsigned *count, size_t n)
{
	for (; *count && n >= (*pieces)->iov_len; (*pieces)++, (*count)--)
		n -= (*pieces)->iov_len;
	if (!*count)
		return;
	(*pieces)->iov_base = (uint8_t *)(*pieces)->iov_base + n;
	(*pieces)->iov_len -= n;
}

/* ---- writing ---- */

static int write_all(struct state_writer *w, struct iovec *pieces, unsigned count,
		     struct failure *f)
{
	while (count) {
		ssize_t n = writev(w->fd, pieces, (int)count);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail(f, -errno, "cannot write the state of the VM to %s: %s",
				    w->name, strerror(errno));
		w->at += (uint64_t)n;
		skip(&pieces, &count, (size_t)n);
	}
	return 0;
}

int state_write_begin(struct state_writer *w, int fd, const char *name, uint64_t features,
		      struct failure *f)
{
	uint8_t head[STATE_HEAD_BYTES] = {0};
	struct iovec piece = {.iov_base = head, .iov_len = sizeof(head)};

	*w = (struct state_writer){.fd = fd, .name = name, .features = features};
	memcpy(head, STATE_MAGIC, 8);
	le32_store(head + 8, STATE_VERSION);
	le32_store(head + 12, STATE_PAGE);
	le64_store(head + 16, features);
	le32_store(head + 28, crc32c(0, head, 28));
	return write_all(w, &piece, 1, f);
}

/* The sum covers the first pieces. */
static int write_record(struct state_writer *w, const struct state_record *record,
			const struct iovec *pieces, unsigned count, unsigned summed,
			struct failure *f)
{
	static uint8_t zeros[STATE_ALIGN];
	struct iovec all[STATE_SPANS_MAX + 4];
	uint8_t head[STATE_RECORD_BYTES] = {0};
	uint64_t rest = align_up(record->len, STATE_ALIGN) - record->len;
	uint32_t sum = 0;

	if (count > ARRAY_LEN(all) - 2 || record->len > STATE_BODY_MAX)
		return fail(f, -EMSGSIZE,
			    "cannot write the state of the VM to %s: a record of %llu bytes",
			    w->name, (unsigned long long)record->len);
	for (unsigned i = 0; i < summed; i++)
		sum = crc32c(sum, pieces[i].iov_base, pieces[i].iov_len);
	le32_store(head, record->type);
	le16_store(head + 4, record->version);
	le16_store(head + 6, record->flags);
	le32_store(head + 8, record->instance);
	le64_store(head + 16, record->len);
	le32_store(head + 24, sum);
	le32_store(head + 28, crc32c(0, head, 28));
	if (record->type != STATE_END) {
		w->records++;
		w->digest = crc32c(w->digest, head, sizeof(head));
	}
	all[0] = (struct iovec){.iov_base = head, .iov_len = sizeof(head)};
	if (count)
		memcpy(all + 1, pieces, count * sizeof(*pieces));
	all[count + 1] = (struct iovec){.iov_base = zeros, .iov_len = rest};
	return write_all(w, all, count + 2, f);
}

int state_write(struct state_writer *w, const struct state_record *record,
		const struct iovec *pieces, unsigned count, struct failure *f)
{
	return write_record(w, record, pieces, count, count, f);
}

int state_write_end(struct state_writer *w, struct failure *f)
{
	struct state_record end = {.type = STATE_END, .version = 1, .len = END_BYTES};
	uint8_t body[END_BYTES] = {0};
	struct iovec piece = {.iov_base = body, .iov_len = sizeof(body)};

	le64_store(body, w->records);
	le32_store(body + 8, w->digest);
	return state_write(w, &end, &piece, 1, f);
}

/* ---- reading ---- */

int state_refuse(const struct state_reader *r, struct failure *f, const char *why, ...)
{
	char text[256];
	va_list args;

	va_start(args, why);
	vsnprintf(text, sizeof(text), why, args);
	va_end(args);
	return fail(f, -EBADMSG, "the state in %s cannot be used: %s", r->name, text);
}

/* A read that gave nothing. */
static int ended(const struct state_reader *r, int code, struct failure *f)
{
	if (code)
		return fail(f, -code, "cannot read the state in %s: %s", r->name, strerror(code));
	return state_refuse(r, f, "it ends after %llu bytes, before its end",
			    (unsigned long long)r->at);
}

static int read_all(struct state_reader *r, void *to, uint64_t len, struct failure *f)
{
	uint8_t *at = to;

	while (len) {
		ssize_t n = read(r->fd, at, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return ended(r, n < 0 ? errno : 0, f);
		at += n;
		len -= (uint64_t)n;
		r->at += (uint64_t)n;
	}
	return 0;
}

int state_read_begin(struct state_reader *r, int fd, const char *name, uint64_t features,
		     struct failure *f)
{
	uint8_t head[STATE_HEAD_BYTES];
	int e;

	*r = (struct state_reader){.fd = fd, .name = name};
	e = read_all(r, head, sizeof(head), f);
	if (e < 0)
		return e;
	r->features = le64_load(head + 16);
	if (memcmp(head, STATE_MAGIC, 8) != 0)
		return state_refuse(r, f, "it is no state of a VM");
	if (le32_load(head + 28) != crc32c(0, head, 28))
		return state_refuse(r, f, "the sum of its head is wrong: it was damaged");
	if (le32_load(head + 8) != STATE_VERSION)
		return state_refuse(r, f, "it has version %u, and this Oya knows version %u",
				    le32_load(head + 8), STATE_VERSION);
	if (le32_load(head + 12) != STATE_PAGE || le32_load(head + 24) ||
	    r->features & ~(STATE_LIVE | STATE_LANES | STATE_LATE | STATE_DISKS))
		return state_refuse(r, f, "it has features that this Oya does not know");
	if ((r->features & STATE_LIVE) != features || (!features && r->features))
		return state_refuse(r, f,
				    features ? "it is no stream of a VM that runs"
					     : "it is the stream of a VM that runs, and no file");
	return 0;
}

static int read_end(struct state_reader *r, const struct state_record *record, struct failure *f)
{
	uint64_t records = r->records;
	uint32_t digest = r->digest;
	uint8_t body[END_BYTES];
	int e;

	if (record->len != sizeof(body))
		return state_refuse(r, f, "its end has another length");
	e = state_read_some(r, body, sizeof(body), f);
	if (e == 0)
		e = state_read_done(r, f);
	if (e < 0)
		return e;
	if (le64_load(body) != records || le32_load(body + 8) != digest || le32_load(body + 12))
		return state_refuse(r, f, "records of it are missing, or are others");
	return 0;
}

int state_read_next(struct state_reader *r, struct state_record *ret_record, struct failure *f)
{
	uint8_t head[STATE_RECORD_BYTES];
	struct state_record record;
	int e = read_all(r, head, sizeof(head), f);

	if (e < 0)
		return e;
	if (le32_load(head + 28) != crc32c(0, head, 28))
		return state_refuse(r, f, "the sum of a record's head is wrong: it was damaged");
	record = (struct state_record){
		.type = le32_load(head),
		.version = le16_load(head + 4),
		.flags = le16_load(head + 6),
		.instance = le32_load(head + 8),
		.len = le64_load(head + 16),
	};
	if (le32_load(head + 12) || record.len > STATE_BODY_MAX || record.flags & ~STATE_OPTIONAL)
		return state_refuse(r, f, "a record of type %u has a head that cannot be",
				    record.type);
	r->left = record.len;
	r->sum = 0;
	r->expected = le32_load(head + 24);
	if (record.type == STATE_END)
		e = read_end(r, &record, f);
	if (e < 0)
		return e;
	if (record.type != STATE_END) {
		r->records++;
		r->digest = crc32c(r->digest, head, sizeof(head));
	}
	*ret_record = record;
	return 0;
}

int state_read_some(struct state_reader *r, void *to, uint64_t len, struct failure *f)
{
	int e;

	if (len > r->left)
		return state_refuse(r, f, "a record is shorter than what it holds");
	e = read_all(r, to, len, f);
	if (e < 0)
		return e;
	r->sum = crc32c(r->sum, to, len);
	r->left -= len;
	return 0;
}

int state_read_done(struct state_reader *r, struct failure *f)
{
	uint8_t rest[STATE_ALIGN];
	uint64_t len = align_up(r->at, STATE_ALIGN) - r->at;
	int e;

	if (r->left)
		return state_refuse(r, f, "a record is longer than what it holds");
	if (r->sum != r->expected)
		return state_refuse(r, f, "the sum of a record is wrong: it was damaged");
	e = read_all(r, rest, len, f);
	for (uint64_t i = 0; e == 0 && i < len; i++) {
		if (rest[i])
			e = state_refuse(r, f, "there is something between its records");
	}
	return e;
}

int state_read_pass(struct state_reader *r, struct state_rest *ret_rest, struct failure *f)
{
	struct state_rest rest = {.left = r->left, .sum = r->sum, .expected = r->expected};
	off_t at = lseek(r->fd, 0, SEEK_CUR), end = at < 0 ? at : lseek(r->fd, 0, SEEK_END);
	int e;

	if (end < 0)
		return ended(r, errno, f);
	if (end < at || (uint64_t)(end - at) < r->left) {
		r->at += end < at ? 0 : (uint64_t)(end - at);
		return ended(r, 0, f);
	}
	rest.at = (uint64_t)at;
	if (lseek(r->fd, at + (off_t)r->left, SEEK_SET) < 0)
		return ended(r, errno, f);
	r->at += r->left;
	r->left = 0;
	r->sum = r->expected;
	e = state_read_done(r, f);
	if (e == 0)
		*ret_rest = rest;
	return e;
}

int state_rest_read(struct state_rest *rest, int fd, const char *name, void *to, uint64_t len,
		    struct failure *f)
{
	const struct state_reader r = {.name = name};
	uint8_t *at = to;

	assert(len <= rest->left);
	while (len) {
		ssize_t n = pread(fd, at, len, (off_t)rest->at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return ended(&r, errno, f);
		if (n == 0)
			return state_refuse(&r, f, "it was cut off at %llu bytes meanwhile",
					    (unsigned long long)rest->at);
		rest->sum = crc32c(rest->sum, at, (size_t)n);
		at += n;
		len -= (uint64_t)n;
		rest->at += (uint64_t)n;
		rest->left -= (uint64_t)n;
	}
	if (!rest->left && rest->sum != rest->expected)
		return state_refuse(&r, f, "the sum of a record is wrong: it was damaged");
	return 0;
}

/* ---- memory ---- */

void state_run_encode(const struct state_run *run, uint8_t head[STATE_MEMORY_BYTES])
{
	le64_store(head, run->gpa);
	le32_store(head + 8, (uint32_t)(run->len / STATE_PAGE));
	le32_store(head + 12, run->pad);
}

int state_run_decode(struct state_reader *r, const struct state_record *record,
		     const uint8_t head[STATE_MEMORY_BYTES], struct state_run *ret_run,
		     struct failure *f)
{
	struct state_run m = {
		.gpa = le64_load(head),
		.len = (uint64_t)le32_load(head + 8) * STATE_PAGE,
		.pad = le32_load(head + 12),
	};

	if (m.pad >= STATE_PAGE || record->len != STATE_MEMORY_BYTES + m.pad + m.len)
		return state_refuse(r, f, "a record of memory has another length than it says");
	if (!is_aligned(m.gpa, STATE_PAGE))
		return state_refuse(r, f, "it has memory at %#llx, where no page begins",
				    (unsigned long long)m.gpa);
	if (m.gpa < r->run_end || m.gpa > UINT64_MAX - m.len)
		return state_refuse(r, f, "it has memory at %#llx twice, or out of turn",
				    (unsigned long long)m.gpa);
	m.sure = record->instance == state_run_instance(m.gpa);
	r->run_end = m.gpa + m.len;
	*ret_run = m;
	return 0;
}

/* ---- pages of a VM that runs ---- */

static_assert(STATE_SPANS_HEAD_BYTES + STATE_SPANS_MAX * STATE_SPAN_BYTES < STATE_BODY_MAX,
	      "the list of spans fits into a record");

void state_spans_encode(const struct state_span spans[], unsigned count, uint8_t *list)
{
	for (unsigned i = 0; i < count; i++, list += STATE_SPAN_BYTES) {
		le64_store(list, spans[i].gpa);
		le32_store(list + 8, spans[i].pages);
		le32_store(list + 12, spans[i].zeros ? STATE_SPAN_ZEROS : 0);
	}
}

bool state_spans_decode(const uint8_t *list, unsigned count, struct state_span ret_spans[],
			uint64_t *ret_bytes)
{
	uint64_t bytes = 0;

	for (unsigned i = 0; i < count; i++, list += STATE_SPAN_BYTES) {
		struct state_span *s = &ret_spans[i];

		*s = (struct state_span){.gpa = le64_load(list),
					 .pages = le32_load(list + 8),
					 .zeros = le32_load(list + 12) != 0};
		if (le32_load(list + 12) > STATE_SPAN_ZEROS || !is_aligned(s->gpa, STATE_PAGE) ||
		    !s->pages)
			return false;
		bytes += s->zeros ? 0 : (uint64_t)s->pages * STATE_PAGE;
	}
	*ret_bytes = bytes;
	return true;
}

int state_write_pages(struct state_writer *w, const struct state_span spans[], unsigned count,
		      const struct iovec data[], struct failure *f)
{
	uint8_t head[STATE_SPANS_HEAD_BYTES + STATE_SPANS_MAX * STATE_SPAN_BYTES] = {0};
	struct iovec pieces[STATE_SPANS_MAX + 1];
	struct state_record record = {.type = STATE_PAGES, .version = 1};
	unsigned with_data = 0;

	le32_store(head, count);
	state_spans_encode(spans, count, head + STATE_SPANS_HEAD_BYTES);
	for (unsigned i = 0; i < count; i++) {
		if (spans[i].zeros)
			continue;
		pieces[1 + with_data] = data[with_data];
		record.len += data[with_data++].iov_len;
	}
	pieces[0] = (struct iovec){.iov_base = head,
				   .iov_len = STATE_SPANS_HEAD_BYTES + count * STATE_SPAN_BYTES};
	record.len += pieces[0].iov_len;
	return write_record(w, &record, pieces, with_data + 1, 1, f);
}

int state_read_spans(struct state_reader *r, const struct state_record *record,
		     struct state_span ret_spans[STATE_SPANS_MAX], unsigned *ret_count,
		     struct failure *f)
{
	uint8_t head[STATE_SPANS_HEAD_BYTES], list[STATE_SPANS_MAX * STATE_SPAN_BYTES];
	uint64_t len;
	uint32_t count;
	int e = state_read_some(r, head, sizeof(head), f);

	if (e < 0)
		return e;
	count = le32_load(head);
	if (record->version != 1 || count > STATE_SPANS_MAX || le32_load(head + 4))
		return state_refuse(r, f, "a record of pages has a head that cannot be");
	e = state_read_some(r, list, (uint64_t)count * STATE_SPAN_BYTES, f);
	if (e < 0)
		return e;
	if (r->sum != r->expected)
		return state_refuse(r, f, "the sum of a record is wrong: it was damaged");
	if (!state_spans_decode(list, count, ret_spans, &len))
		return state_refuse(r, f, "a record of pages has a span that cannot be");
	if (len != r->left)
		return state_refuse(r, f, "a record of pages has another length than it says");
	*ret_count = count;
	return 0;
}

int state_read_page_data(struct state_reader *r, struct iovec *pieces, unsigned count,
			 struct failure *f)
{
	while (count) {
		ssize_t n = readv(r->fd, pieces, (int)count);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return ended(r, n < 0 ? errno : 0, f);
		r->at += (uint64_t)n;
		r->left -= (uint64_t)n;
		skip(&pieces, &count, (size_t)n);
	}
	return 0;
}

/* ---- its further connections, and what comes later ---- */

int state_write_lane(struct state_writer *w, const struct state_lane *lane, struct failure *f)
{
	struct state_record record = {.type = STATE_LANE, .version = 1, .len = STATE_LANE_BYTES};
	uint8_t body[STATE_LANE_BYTES];
	struct iovec piece = {.iov_base = body, .iov_len = sizeof(body)};

	memcpy(body, &lane->vm, sizeof(lane->vm));
	le32_store(body + 16, lane->number);
	le32_store(body + 20, lane->count);
	return state_write(w, &record, &piece, 1, f);
}

int state_read_lane(struct state_reader *r, struct state_lane *ret_lane, struct failure *f)
{
	uint8_t body[STATE_LANE_BYTES];
	struct state_record record;
	struct state_lane lane;
	int e = state_read_next(r, &record, f);

	if (e < 0)
		return e;
	if (record.type != STATE_LANE || record.version != 1 || record.len != sizeof(body))
		return state_refuse(r, f, "a connection does not say which one it is");
	e = state_read_some(r, body, sizeof(body), f);
	if (e == 0)
		e = state_read_done(r, f);
	if (e < 0)
		return e;
	memcpy(&lane.vm, body, sizeof(lane.vm));
	lane.number = le32_load(body + 16);
	lane.count = le32_load(body + 20);
	if (lane.count > STATE_LANES_MAX || lane.number >= lane.count)
		return state_refuse(r, f, "a connection has a number that cannot be");
	*ret_lane = lane;
	return 0;
}

int state_write_later(struct state_writer *w, const struct state_later *later, struct failure *f)
{
	struct state_record record = {.type = STATE_LATER, .version = 1};
	uint8_t head[STATE_LATER_BYTES] = {0}, bits[STATE_LATER_PAGES_MAX / 8];
	struct iovec pieces[] = {
		{.iov_base = head, .iov_len = sizeof(head)},
		{.iov_base = bits, .iov_len = later->pages / 8},
	};

	le64_store(head, later->gpa);
	le32_store(head + 8, later->pages);
	for (uint32_t i = 0; i < later->pages / 64; i++)
		le64_store(bits + 8 * (size_t)i, later->bits[i]);
	record.len = sizeof(head) + later->pages / 8;
	return state_write(w, &record, pieces, ARRAY_LEN(pieces), f);
}

int state_read_later(struct state_reader *r, const struct state_record *record,
		     struct state_later *ret_later, struct failure *f)
{
	uint8_t head[STATE_LATER_BYTES];
	int e = state_read_some(r, head, sizeof(head), f);

	if (e < 0)
		return e;
	ret_later->gpa = le64_load(head);
	ret_later->pages = le32_load(head + 8);
	if (record->version != 1 || le32_load(head + 12) || !is_aligned(ret_later->pages, 64) ||
	    ret_later->pages > STATE_LATER_PAGES_MAX || !is_aligned(ret_later->gpa, STATE_PAGE) ||
	    record->len != sizeof(head) + ret_later->pages / 8)
		return state_refuse(r, f,
				    "a record of pages that come later has a head that "
				    "cannot be");
	e = state_read_some(r, ret_later->bits, ret_later->pages / 8, f);
	for (uint32_t i = 0; e == 0 && i < ret_later->pages / 64; i++)
		ret_later->bits[i] = le64_load(&ret_later->bits[i]);
	return e < 0 ? e : state_read_done(r, f);
}

/* ---- disks that come along ---- */

int state_write_blocks(struct state_writer *w, const struct state_blocks *blocks, void *data,
		       struct failure *f)
{
	struct state_record record = {.type = STATE_BLOCKS, .version = 1};
	uint8_t head[STATE_BLOCKS_HEAD_BYTES];
	struct iovec pieces[] = {
		{.iov_base = head, .iov_len = sizeof(head)},
		{.iov_base = data, .iov_len = blocks->zeros ? 0 : blocks->len},
	};

	le32_store(head, blocks->controller);
	le32_store(head + 4, blocks->lun);
	le64_store(head + 8, blocks->offset);
	le32_store(head + 16, blocks->len);
	le32_store(head + 20, blocks->zeros ? STATE_BLOCKS_ZEROS : 0);
	record.len = sizeof(head) + pieces[1].iov_len;
	return state_write(w, &record, pieces, ARRAY_LEN(pieces), f);
}

int state_read_blocks(struct state_reader *r, const struct state_record *record,
		      struct state_blocks *ret_blocks, uint8_t *data, struct failure *f)
{
	uint8_t head[STATE_BLOCKS_HEAD_BYTES];
	struct state_blocks b;
	int e = state_read_some(r, head, sizeof(head), f);

	if (e < 0)
		return e;
	b = (struct state_blocks){.controller = le32_load(head),
				  .lun = le32_load(head + 4),
				  .offset = le64_load(head + 8),
				  .len = le32_load(head + 16),
				  .zeros = le32_load(head + 20) != 0};
	if (record->version != 1 || le32_load(head + 20) > STATE_BLOCKS_ZEROS || !b.len ||
	    b.len > STATE_BLOCKS_MAX || r->left != (b.zeros ? 0 : b.len))
		return state_refuse(r, f, "a piece of a disk has a head that cannot be");
	if (b.zeros)
		memset(data, 0, b.len);
	else
		e = state_read_some(r, data, b.len, f);
	if (e == 0)
		e = state_read_done(r, f);
	if (e == 0)
		*ret_blocks = b;
	return e;
}
