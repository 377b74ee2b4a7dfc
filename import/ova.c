/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A tar file's members. Blocks of 512 bytes; a header has
 *
 * at   0 name (100)   at 124 size: octal digits (12), or binary when the first bit is set
 * at 148 sum of the header's bytes, with spaces in its place, octal (8)   at 156 type
 * at 257 "ustar"      at 345 what stands before the name (155)
 *
 * Types: '0' or NUL a file; 'x' a pax header for the next member, lines "LEN KEY=VALUE\n";
 * 'L' its long name, as GNU has it.
 */
#include "import/ovf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/util.h"
#include "lib/xml.h"

#define BLOCK 512u
#define MEMBERS_MAX 1024u
#define EXTRA_MAX 8192u /* of a pax header or a long name */

/* What headers before a member's own say of it. */
struct extra {
	char name[256];
	uint64_t size;
	bool has_size;
};

static int number(const uint8_t *field, size_t len, uint64_t *ret)
{
	uint64_t v = 0;
	size_t i = 0;

	if (field[0] & 0x80) {
		for (i = 1; i < len; i++) {
			if (v >> 56)
				return -EBADMSG;
			v = v << 8 | field[i];
		}
		*ret = v;
		return field[0] == 0x80 ? 0 : -EBADMSG;
	}
	while (i < len && field[i] == ' ')
		i++;
	for (; i < len && field[i] >= '0' && field[i] <= '7'; i++)
		v = v << 3 | (uint64_t)(field[i] - '0');
	*ret = v;
	return i == len || field[i] == '\0' || field[i] == ' ' ? 0 : -EBADMSG;
}

static bool sum_is_right(const uint8_t *h)
{
	uint64_t told, sum = 0;

	for (unsigned i = 0; i < BLOCK; i++)
		sum += i >= 148 && i < 156 ? ' ' : h[i];
	return number(h + 148, 8, &told) == 0 && told == sum;
}

/* A name that is cut would be another one: it becomes none. */
static void take_name(char to[256], const char *text, size_t len)
{
	size_t n = strnlen(text, len);

	if (n >= 256)
		n = 0;
	memcpy(to, text, n);
	to[n] = '\0';
}

static int decode_pax(char *text, size_t len, struct extra *e)
{
	for (size_t at = 0; at < len && text[at];) {
		char *key, *value, *end;
		unsigned long line = strtoul(text + at, &end, 10);

		if (line > len - at || line < (size_t)(end - text) - at + 2 || *end != ' ')
			return -EBADMSG;
		key = end + 1;
		if (text[at + line - 1] != '\n')
			return -EBADMSG;
		text[at + line - 1] = '\0';
		value = strchr(key, '=');
		if (value && strncmp(key, "path=", 5) == 0) {
			take_name(e->name, value + 1, strlen(value + 1));
		} else if (value && strncmp(key, "size=", 5) == 0) {
			e->size = strtoull(value + 1, &end, 10);
			e->has_size = true;
			if (*end)
				return -EBADMSG;
		} else if (value && strncmp(key, "GNU.sparse", 10) == 0) {
			return -EBADMSG;
		}
		at += line;
	}
	return 0;
}

static int read_extra(const struct source *s, char type, const struct tar_member *m,
		      struct extra *e)
{
	char text[EXTRA_MAX + 1];
	int r = m->length <= EXTRA_MAX ? 0 : -EBADMSG;

	if (r == 0)
		r = source_read(s, m->offset, text, (size_t)m->length);
	if (r < 0)
		return r;
	text[m->length] = '\0';
	if (type == 'x')
		return decode_pax(text, (size_t)m->length, e);
	take_name(e->name, text, (size_t)m->length);
	return 0;
}

static int decode_header(const uint8_t *h, uint64_t at, struct tar_member *m)
{
	char name[101], prefix[156];
	int r = sum_is_right(h) ? number(h + 124, 12, &m->length) : -EBADMSG;

	if (r < 0)
		return r;
	take_name(m->name, (const char *)h, 100);
	if (memcmp(h + 257, "ustar\0", 6) == 0 && h[345]) {
		snprintf(name, sizeof(name), "%.100s", m->name);
		snprintf(prefix, sizeof(prefix), "%.155s", (const char *)h + 345);
		if (snprintf(m->name, sizeof(m->name), "%s/%s", prefix, name) >=
		    (int)sizeof(m->name))
			m->name[0] = '\0';
	}
	m->offset = at + BLOCK;
	m->regular = h[156] == '0' || h[156] == '\0';
	return 0;
}

int tar_next(const struct source *s, uint64_t *at, struct tar_member *ret_member)
{
	struct extra e = {0};

	for (unsigned headers = 0; headers < 8; headers++) {
		struct tar_member m = {0};
		uint8_t h[BLOCK];
		int r;

		if (*at >= s->size)
			return 0; /* without the blocks of zeros at its end */
		r = source_read(s, *at, h, sizeof(h));
		if (r == 0 && memcmp(h, (const uint8_t[BLOCK]){0}, BLOCK) == 0)
			return 0;
		if (r == 0)
			r = decode_header(h, *at, &m);
		if (r < 0)
			return r;
		if (h[156] != 'x' && h[156] != 'L' && h[156] != 'g' && e.has_size)
			m.length = e.size;
		if (!range_within(m.offset, m.length, s->size))
			return -EBADMSG;
		*at = m.offset + align_up(m.length, BLOCK);
		if (h[156] == 'x' || h[156] == 'L') {
			r = read_extra(s, (char)h[156], &m, &e);
			if (r < 0)
				return r;
		} else if (h[156] != 'g') {
			if (e.name[0])
				memcpy(m.name, e.name, sizeof(m.name));
			*ret_member = m;
			return 1;
		}
	}
	return -EBADMSG;
}

static const char *without_dot(const char *name)
{
	return strncmp(name, "./", 2) == 0 ? name + 2 : name;
}

static int find_member(const struct source *s, const char *name, const char *end,
		       struct tar_member *m)
{
	uint64_t at = 0;

	for (unsigned i = 0; i < MEMBERS_MAX; i++) {
		int r = tar_next(s, &at, m);
		size_t len = strlen(m->name);

		if (r <= 0)
			return r < 0 ? r : -ENOENT;
		if (!m->regular)
			continue;
		if (name && strcmp(without_dot(m->name), without_dot(name)) == 0)
			return 0;
		if (end && len > strlen(end) && strcasecmp(m->name + len - strlen(end), end) == 0)
			return 0;
	}
	return -ENOENT;
}

static int find_disks(const struct source *s, struct plan *p, struct failure *f)
{
	for (unsigned i = 0; i < p->disk_count;) {
		struct plan_disk *d = &p->disks[i];
		struct tar_member m = {0};
		int r = find_member(s, d->source, NULL, &m);

		if (r < 0 && r != -ENOENT)
			return fail(f, r, "the OVA is damaged or cut off: copy it anew");
		if (r == 0 && m.length > 0) {
			d->offset = m.offset;
			d->length = m.length;
			i++;
			continue;
		}
		plan_refuse(p, "the OVA has no file '%.256s' for a disk: export the VM anew",
			    d->source);
		plan_drop_disk(p, i);
	}
	return 0;
}

int ova_decode(const struct source *s, struct plan *p, struct failure *f)
{
	struct tar_member m = {0};
	int r = find_member(s, NULL, ".ovf", &m);
	char *text;

	if (r == -ENOENT)
		return fail(f, r, "the tar file has no description (.ovf) in it: it is no OVA");
	if (r < 0)
		return fail(f, r, "the OVA is damaged or cut off: copy it anew");
	if (m.length > XML_BYTES_MAX)
		return fail(f, -EFBIG, "the description is longer than %u bytes", XML_BYTES_MAX);
	text = malloc((size_t)m.length + 1);
	if (!text)
		return fail(f, -ENOMEM, "cannot read the description: out of memory");
	r = source_read(s, m.offset, text, (size_t)m.length);
	if (r < 0)
		fail(f, r, "cannot read the description: %s", strerror(-r));
	else
		r = ovf_decode(text, (size_t)m.length, p, f);
	free(text);
	p->kind = PLAN_OVA;
	return r == 0 ? find_disks(s, p, f) : r;
}
