/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VMDK: either a text (the descriptor) that names the files with the data, or a sparse file that
 * has its descriptor within:
 *
 * at  0 "KDMV"   at 12 capacity in sectors; 0: only its descriptor counts
 * at 28 where the descriptor begins, in sectors   at 36 its sectors
 *
 * The descriptor has lines NAME=VALUE, and one for each extent: ACCESS SECTORS TYPE ["FILE" [AT]].
 */
#include "import/format.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/bytes.h"
#include "base/util.h"

#define HEADER_BYTES 79u
#define SECTOR 512u
#define TEXT_MAX (64u << 10)

struct descriptor {
	const char *name;
	bool extents; /* they count */
	struct inspection *ret;
	struct failure *f;
};

static bool name_allowed(const char *name)
{
	size_t len = strlen(name);

	if (len == 0 || len > FORMAT_EXTENT_NAME_MAX || name[0] == '.')
		return false;
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)name[i];

		/* A colon would make it the name of a protocol to qemu-img. */
		if (c < 0x20 || c == 0x7f || strchr("/\\:", c))
			return false;
	}
	return true;
}

/* ACCESS is behind us. */
static int take_extent(struct descriptor *d, char *rest)
{
	char *type, *file, *end;
	struct extent *e;

	strtok_r(NULL, " \t", &rest); /* sectors */
	type = strtok_r(NULL, " \t", &rest);
	if (type && strcasecmp(type, "ZERO") == 0)
		return 0;
	file = rest ? strchr(rest, '"') : NULL;
	end = file ? strchr(file + 1, '"') : NULL;
	if (!type || !end)
		return fail(d->f, -EINVAL, "%s has a line about an extent that makes no sense",
			    d->name);
	*end = '\0';
	if (strcasecmp(type, "VMFSRDM") == 0 || strcasecmp(type, "VMFSRAW") == 0)
		return fail(d->f, -EINVAL,
			    "%s stands for a device of the old host: copy it by 'qemu-img convert' "
			    "there first",
			    d->name);
	if (!name_allowed(file + 1))
		return fail(d->f, -EINVAL,
			    "%s has its data in a file outside of its own folder: put all its "
			    "files into one folder and change the paths in it",
			    d->name);
	if (d->ret->extent_count == FORMAT_EXTENTS_MAX)
		return fail(d->f, -EINVAL, "%s has more than %u files: make one image of them",
			    d->name, FORMAT_EXTENTS_MAX);
	e = &d->ret->extents[d->ret->extent_count++];
	strcpy(e->name, file + 1);
	e->sparse = strcasecmp(type, "FLAT") != 0 && strcasecmp(type, "VMFS") != 0;
	return 0;
}

static int take_line(struct descriptor *d, char *line)
{
	char *rest = line, *word;

	line += strspn(line, " \t");
	if (strncasecmp(line, "parentCID", 9) == 0) {
		char *value = strchr(line, '=');

		if (value && strncasecmp(value + 1 + strspn(value + 1, " \t"), "ffffffff", 8) != 0)
			return fail(d->f, -EINVAL,
				    "%s is a snapshot, which differs from another image only: "
				    "delete the snapshots on the old system, or clone the VM there",
				    d->name);
		return 0;
	}
	if (strncasecmp(line, "encryption.", 11) == 0)
		return fail(d->f, -EINVAL, "%s is encrypted: decrypt it on the old system first",
			    d->name);
	rest = line;
	word = strtok_r(rest, " \t", &rest);
	if (d->extents && word && rest &&
	    (strcasecmp(word, "RW") == 0 || strcasecmp(word, "RDONLY") == 0 ||
	     strcasecmp(word, "NOACCESS") == 0))
		return take_extent(d, rest);
	return 0;
}

static int decode_text(struct descriptor *d, char *text)
{
	char *rest = text, *line;
	int r = 0;

	while (r == 0 && (line = strsep(&rest, "\r\n")))
		r = take_line(d, line);
	return r;
}

static int read_text(const struct source *s, uint64_t at, uint64_t len, struct descriptor *d)
{
	char *text;
	int r;

	if (len > TEXT_MAX)
		return fail(d->f, -EINVAL, "%s has a descriptor of more than %u bytes", d->name,
			    TEXT_MAX);
	text = malloc((size_t)len + 1);
	if (!text)
		return fail(d->f, -ENOMEM, "cannot look at %s: out of memory", d->name);
	r = source_read(s, at, text, (size_t)len);
	text[len] = '\0'; /* a descriptor within a sparse file is padded by NULs */
	if (r < 0)
		fail(d->f, r, "%s is cut off: copy it anew", d->name);
	else
		r = decode_text(d, text);
	free(text);
	return r;
}

int vmdk_inspect(const struct source *s, const char *name, struct inspection *ret_inspection,
		 struct failure *f)
{
	struct descriptor d = {.name = name, .ret = ret_inspection, .f = f};
	uint8_t h[HEADER_BYTES] = {0};
	uint64_t at, len;
	int r = source_read(s, 0, h, (size_t)min_u64(s->size, sizeof(h)));

	if (r == 0 && memcmp(h, "# Disk DescriptorFile", 21) == 0) {
		d.extents = true;
		return read_text(s, 0, s->size, &d);
	}
	if (r < 0 || memcmp(h, "KDMV", 4) != 0 || s->size < SECTOR)
		return fail(f, -EINVAL, "%s is no VMDK image that is known", name);
	if (le64_load(h + 12) == 0)
		return fail(f, -EINVAL,
			    "%s names other files within: make one image of them by 'qemu-img "
			    "convert' first",
			    name);
	at = le64_load(h + 28);
	len = le64_load(h + 36);
	if (at == 0 || len == 0)
		return 0; /* an extent that is given alone */
	if (at > UINT64_MAX / SECTOR || len > UINT64_MAX / SECTOR)
		return fail(f, -EINVAL, "%s has its descriptor nowhere", name);
	return read_text(s, at * SECTOR, len * SECTOR, &d);
}

int vmdk_extent_check(const struct source *s)
{
	uint8_t h[HEADER_BYTES];
	int r = source_read(s, 0, h, sizeof(h));

	if (r < 0)
		return r;
	/* One without a capacity would lead qemu-img on, to files that nobody has looked at. */
	return memcmp(h, "KDMV", 4) == 0 && le64_load(h + 12) != 0 ? 0 : -EINVAL;
}
