/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A stream of a saved state as a file or a peer brings it. The input is records, each of a type,
 * flags, an instance, a length and its bytes, up to one of type END; then changes: a place and a
 * value. The harness makes the stream, since nobody finds sums by chance.
 *
 * Checked: a stream that nobody has changed is read as it was written, to its end; one that was
 * changed is refused.
 */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cursor.h"
#include "base/record.h"
#include "base/util.h"
#include "fuzz/harness.h"
#include "lib/state_stream.h"

#define RECORDS_MAX 32u
#define BODY_MAX 512u
#define STREAM_MAX (RECORDS_MAX * (BODY_MAX + 64u) + 256u)

struct written {
	struct state_record record;
	uint8_t body[BODY_MAX];
};

static struct written list[RECORDS_MAX];

/* A file in memory, emptied. */
static int file(void)
{
	static int fd = -1;

	if (fd < 0)
		fd = memfd_create("stream", MFD_CLOEXEC);
	must(fd >= 0 && ftruncate(fd, 0) == 0 && lseek(fd, 0, SEEK_SET) == 0);
	return fd;
}

static unsigned take_records(struct cursor *in)
{
	unsigned count = 0;

	while (count < RECORDS_MAX && in->left) {
		struct written *w = &list[count];
		uint8_t type = cursor_u8(in);

		if (type == STATE_END)
			break;
		w->record = (struct state_record){.type = type,
						  .version = 1,
						  .flags = cursor_u8(in) & STATE_OPTIONAL,
						  .instance = cursor_u16(in),
						  .len = cursor_u16(in) % BODY_MAX};
		cursor_copy_padded(in, w->body, w->record.len);
		count++;
	}
	return count;
}

static void write_stream(int fd, unsigned count)
{
	struct state_writer w;
	struct failure f;

	must(state_write_begin(&w, fd, "x", 0, &f) == 0);
	for (unsigned i = 0; i < count; i++) {
		/* In two pieces, as memory is. */
		uint64_t half = list[i].record.len / 2;
		struct iovec pieces[] = {
			{.iov_base = list[i].body, .iov_len = half},
			{.iov_base = list[i].body + half, .iov_len = list[i].record.len - half},
		};

		must(state_write(&w, &list[i].record, pieces, 2, &f) == 0);
	}
	must(state_write_end(&w, &f) == 0);
}

static bool change(int fd, struct cursor *in)
{
	uint64_t len = (uint64_t)lseek(fd, 0, SEEK_END);
	bool changed = false;

	for (unsigned i = 0; i < 4 && in->left; i++) {
		uint64_t at = cursor_u16(in) % len;
		uint8_t value = cursor_u8(in), was;

		must(pread(fd, &was, 1, (off_t)at) == 1 && pwrite(fd, &value, 1, (off_t)at) == 1);
		changed |= was != value;
	}
	return changed;
}

/* What a body says of fields is looked at as well: any bytes may be some. */
static void look(const uint8_t *body, size_t len)
{
	struct record r = record_reader(1, body, len);
	struct record_field field;
	uint8_t sum = 0;

	while (record_next(&r, &field) == 0) {
		for (size_t i = 0; i < field.len; i++)
			sum ^= field.value[i];
	}
	fuzz_tell(&sum, 1);
}

static bool read_stream(int fd, unsigned count, bool changed)
{
	struct state_reader r;
	struct state_record record;
	struct failure f;
	uint8_t body[STREAM_MAX];
	unsigned n = 0;

	must(lseek(fd, 0, SEEK_SET) == 0);
	if (state_read_begin(&r, fd, "x", 0, &f) < 0)
		return false;
	for (;;) {
		if (state_read_next(&r, &record, &f) < 0)
			return false;
		if (record.type == STATE_END)
			return n == count;
		if (record.len > sizeof(body) || state_read_some(&r, body, record.len, &f) < 0 ||
		    state_read_done(&r, &f) < 0)
			return false;
		look(body, record.len);
		must(changed || (n < count && memcmp(body, list[n].body, record.len) == 0 &&
				 record.len == list[n].record.len));
		n++;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cursor in = cursor_of(data, size);
	unsigned count = take_records(&in);
	int fd = file();
	bool changed;

	write_stream(fd, count);
	changed = change(fd, &in);
	/* Two changes may undo each other. */
	if (!changed)
		must(read_stream(fd, count, false));
	else
		(void)read_stream(fd, count, true);
	return 0;
}
