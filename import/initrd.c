/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A member of an archive that is not compressed (newc): "070701" or "070702", then fields of 8
 * hexadecimal digits, at 54 the file's bytes, at 94 the name's with its NUL; the name; the file;
 * both filled up to 4 bytes. The last member's name is TRAILER!!!, and zeros may follow.
 */
#include "import/initrd.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

#define BUFFER (64u << 10)
#define HEADER 110u
#define NAME_BYTES_MAX 4096u

struct reader {
	const struct stream *s;
	uint8_t bytes[BUFFER];
	size_t at, end;
	uint64_t position; /* in the stream, of bytes[at] */
	int error;         /* of the stream */
	uint64_t taken;    /* by libarchive */
};

static void fill(struct reader *r)
{
	memmove(r->bytes, r->bytes + r->at, r->end - r->at);
	r->end -= r->at;
	r->at = 0;
	while (r->end < BUFFER && r->error == 0) {
		long n = r->s->read(r->s->ctx, r->bytes + r->end, BUFFER - r->end);

		if (n <= 0) {
			r->error = n < 0 ? (int)n : 0;
			break;
		}
		r->end += (size_t)n;
	}
}

/* At least len bytes to look at, of at most BUFFER; NULL: fewer are left. */
static const uint8_t *peek(struct reader *r, size_t len)
{
	if (r->end - r->at < len)
		fill(r);
	return r->end - r->at >= len ? r->bytes + r->at : NULL;
}

/* False: fewer are left. */
static bool skip(struct reader *r, uint64_t len)
{
	while (len > 0) {
		size_t n;

		if (r->at == r->end && !peek(r, 1))
			return false;
		n = (size_t)min_u64(len, r->end - r->at);
		r->at += n;
		r->position += n;
		len -= n;
	}
	return true;
}

static void take_name(const char *path, struct drivers *d)
{
	const char *name = strrchr(path, '/');

	name = name ? name + 1 : path;
	/* .ko, .ko.xz, .ko.zst, .ko.gz */
	d->storage = d->storage || strncmp(name, "hv_storvsc.ko", 13) == 0;
	d->bus = d->bus || strncmp(name, "hv_vmbus.ko", 11) == 0;
}

static int hex(const uint8_t *digits, uint32_t *ret)
{
	char text[9], *end;

	memcpy(text, digits, 8);
	text[8] = '\0';
	*ret = (uint32_t)strtoul(text, &end, 16);
	return end == text + 8 && text[0] != '-' && text[0] != '+' && text[0] != ' ' ? 0 : -EBADMSG;
}

/* 1: a member was taken, 0: it was the last. */
static int take_member(struct reader *r, struct drivers *d)
{
	const uint8_t *h = peek(r, HEADER);
	char name[NAME_BYTES_MAX + 1];
	uint32_t file, len;

	if (!h || (memcmp(h, "070701", 6) != 0 && memcmp(h, "070702", 6) != 0) ||
	    hex(h + 54, &file) < 0 || hex(h + 94, &len) < 0 || len == 0 || len > NAME_BYTES_MAX)
		return -EBADMSG;
	h = peek(r, HEADER + len);
	if (!h)
		return -EBADMSG;
	memcpy(name, h + HEADER, len);
	name[len] = '\0';
	skip(r, HEADER + len);
	if (!skip(r, align_up(r->position, 4) - r->position) || !skip(r, file))
		return -EBADMSG;
	if (strcmp(name, "TRAILER!!!") == 0)
		return 0;
	take_name(name, d);
	return skip(r, align_up(r->position, 4) - r->position) ? 1 : -EBADMSG;
}

/* One that is not compressed. */
static int take_plain(struct reader *r, struct drivers *d)
{
	int more = 1;

	while (more == 1) {
		if (r->position > INITRD_BYTES_MAX)
			return -EFBIG;
		more = take_member(r, d);
	}
	return more;
}

static la_ssize_t on_read(struct archive *a, void *ctx, const void **ret_bytes)
{
	struct reader *r = ctx;
	size_t n;

	(void)a;
	if (r->at == r->end)
		fill(r);
	n = r->end - r->at;
	*ret_bytes = r->bytes + r->at;
	r->at = r->end;
	r->taken += n;
	return (la_ssize_t)n;
}

static int list(struct archive *a, struct reader *r, struct drivers *d)
{
	struct archive_entry *entry;
	int code;

	while ((code = archive_read_next_header(a, &entry)) == ARCHIVE_OK || code == ARCHIVE_WARN) {
		const char *name = archive_entry_pathname(entry);

		if (name)
			take_name(name, d);
		if (d->storage && d->bus)
			return 0;
		/* What a member says of its length is skipped next. */
		if (archive_filter_bytes(a, 0) > INITRD_BYTES_MAX ||
		    archive_entry_size(entry) > (int64_t)INITRD_BYTES_MAX)
			return -EFBIG;
	}
	return code == ARCHIVE_EOF ? 0 : r->error < 0 ? r->error : -EBADMSG;
}

/* Of the filters those that libarchive has within: others would start programs. */
static int take_packed(struct reader *r, struct drivers *d)
{
	struct archive *a = archive_read_new();
	int code = -ENOMEM;

	if (!a)
		return code;
	if (archive_read_support_format_cpio(a) == ARCHIVE_OK) {
		archive_read_support_filter_gzip(a);
		archive_read_support_filter_bzip2(a);
		archive_read_support_filter_xz(a);
		archive_read_support_filter_lzma(a);
		archive_read_support_filter_zstd(a);
		archive_read_support_filter_lz4(a);
		code = archive_read_open(a, r, NULL, on_read, NULL) == ARCHIVE_OK ? list(a, r, d)
										  : -ENOTSUP;
	}
	archive_read_free(a);
	return code;
}

static int look(struct reader *r, struct drivers *d, bool packed)
{
	for (bool any = false;; any = true) {
		const uint8_t *h;
		int code;

		while ((h = peek(r, 1)) && *h == 0 && r->position <= INITRD_BYTES_MAX)
			skip(r, 1);
		h = peek(r, 6);
		if (!h)
			return r->error < 0 ? r->error : any ? 0 : -ENOTSUP;
		if (memcmp(h, "070701", 6) != 0 && memcmp(h, "070702", 6) != 0)
			return packed ? take_packed(r, d) : -ENOTSUP;
		code = take_plain(r, d);
		if (code < 0)
			return r->error < 0 ? r->error : code;
	}
}

static int read_all(const struct stream *s, bool packed, struct drivers *ret_drivers)
{
	struct reader *r = calloc(1, sizeof(*r));
	struct drivers d = {0};
	int code;

	if (!r)
		return -ENOMEM;
	r->s = s;
	code = look(r, &d, packed);
	free(r);
	if (code == 0)
		*ret_drivers = d;
	return code;
}

int initrd_look(const struct stream *s, struct drivers *ret_drivers)
{
	return read_all(s, true, ret_drivers);
}

int initrd_look_plain(const struct stream *s, struct drivers *ret_drivers)
{
	return read_all(s, false, ret_drivers);
}
