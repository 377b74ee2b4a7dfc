/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VHDX, as far as it tells whether an image is a difference to another one: the region table at
 * 192 KiB names the metadata's place, whose table names the file parameters' place.
 */
#include "import/format.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

#define REGIONS_AT (192u << 10)
#define TABLE_BYTES (64u << 10)
#define REGIONS_MAX 2047u
#define ITEMS_MAX 2047u
#define ENTRY_BYTES 32u
#define HAS_PARENT 2u

static const uint8_t metadata_region[16] = {0x06, 0xa2, 0x7c, 0x8b, 0x90, 0x47, 0x9a, 0x4b,
					    0xb8, 0xfe, 0x57, 0x5f, 0x05, 0x0f, 0x88, 0x6e};
static const uint8_t file_parameters[16] = {0x37, 0x67, 0xa1, 0xca, 0x36, 0xfa, 0x43, 0x4d,
					    0xb3, 0xb6, 0x33, 0xf0, 0xaa, 0x44, 0xe7, 0x6b};

/* The entry of a table that begins with this GUID; NULL: it has none. */
static const uint8_t *find(const uint8_t *table, unsigned at, unsigned count, const uint8_t *guid)
{
	for (unsigned i = 0; i < count && at + ENTRY_BYTES <= TABLE_BYTES; i++, at += ENTRY_BYTES) {
		if (memcmp(table + at, guid, 16) == 0)
			return table + at;
	}
	return NULL;
}

/* Region table: "regi", checksum, count, 0; then entries of GUID, place (8 bytes), length (4).
 * Metadata table: "metadata", 0, count (2 bytes), 0 up to 32; then entries of GUID, place (4). */
static int read_flags(const struct source *s, uint8_t *table, uint32_t *ret_flags)
{
	const uint8_t *entry;
	uint64_t metadata;
	uint32_t count;
	uint8_t item[8];
	int r = source_read(s, REGIONS_AT, table, TABLE_BYTES);

	if (r < 0)
		return r;
	count = le32_load(table + 8);
	if (memcmp(table, "regi", 4) != 0 || count > REGIONS_MAX)
		return -EBADMSG;
	entry = find(table, 16, count, metadata_region);
	if (!entry)
		return -EBADMSG;
	metadata = le64_load(entry + 16);
	r = source_read(s, metadata, table, TABLE_BYTES);
	if (r < 0)
		return r;
	count = le16_load(table + 10);
	if (memcmp(table, "metadata", 8) != 0 || count > ITEMS_MAX)
		return -EBADMSG;
	entry = find(table, 32, count, file_parameters);
	if (!entry)
		return -EBADMSG;
	/* No wrap: a whole table could be read at `metadata`. */
	r = source_read(s, metadata + le32_load(entry + 16), item, sizeof(item));
	if (r == 0)
		*ret_flags = le32_load(item + 4);
	return r;
}

int vhdx_inspect(const struct source *s, const char *name, struct failure *f)
{
	uint8_t *table = malloc(TABLE_BYTES);
	uint32_t flags = 0;
	char magic[8];
	int r = table ? source_read(s, 0, magic, sizeof(magic)) : -ENOMEM;

	if (r == 0 && memcmp(magic, "vhdxfile", 8) != 0)
		r = -EBADMSG;
	if (r == 0)
		r = read_flags(s, table, &flags);
	free(table);
	if (r == -ENOMEM)
		return fail(f, r, "cannot look at %s: out of memory", name);
	if (r < 0)
		return fail(f, -EINVAL, "%s is no VHDX image, or a damaged one: copy it anew",
			    name);
	if (flags & HAS_PARENT)
		return fail(f, -EINVAL,
			    "%s is a checkpoint, which differs from another image only: merge it "
			    "on the old system first",
			    name);
	return 0;
}
