/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Role, trust, spec: see fwcfg.h.
 *
 * The directory is big endian: the number of files, then for each its size, its key, two bytes of
 * nothing and its name.
 */
#include "devices/chipset/fwcfg.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/util.h"

#define KEY_SIGNATURE 0x00u
#define KEY_INTERFACE 0x01u
#define KEY_DIRECTORY 0x19u
#define KEY_FIRST_FILE 0x20u
#define INTERFACE_TRADITIONAL 1u
#define ENTRY_BYTES 64u

static_assert(sizeof(((struct fwcfg *)0)->directory) == 4 + FWCFG_FILES_MAX * ENTRY_BYTES, "room");

static int add(struct fwcfg *f, uint16_t key, const char *name, const void *bytes, size_t len)
{
	struct fwcfg_item *item = &f->item[f->count];

	if (f->count == ARRAY_LEN(f->item) || !range_within(f->used, len, sizeof(f->bytes)))
		return -ENOSPC;
	*item = (struct fwcfg_item){.key = key, .at = f->used, .len = (uint32_t)len};
	memcpy(item->name, name, strlen(name));
	memcpy(f->bytes + f->used, bytes, len);
	f->used += item->len;
	f->count++;
	return 0;
}

int fwcfg_add(struct fwcfg *f, uint16_t key, const void *bytes, size_t len)
{
	return add(f, key, "", bytes, len);
}

int fwcfg_add_file(struct fwcfg *f, const char *name, const void *bytes, size_t len)
{
	uint8_t *entry = f->directory + 4 + f->files * ENTRY_BYTES;
	uint16_t key = (uint16_t)(KEY_FIRST_FILE + f->files);
	int r;

	if (strlen(name) >= FWCFG_NAME_MAX)
		return -EINVAL;
	if (f->files == FWCFG_FILES_MAX)
		return -ENOSPC;
	r = add(f, key, name, bytes, len);
	if (r < 0)
		return r;
	be32_store(entry, (uint32_t)len);
	be16_store(entry + 4, key);
	memcpy(entry + 8, name, strlen(name));
	be32_store(f->directory, ++f->files);
	return 0;
}

void fwcfg_select(struct fwcfg *f, uint16_t key)
{
	f->place = (struct fwcfg_place){.key = key};
}

static uint8_t byte_at(const uint8_t *bytes, uint32_t len, uint32_t at)
{
	return at < len ? bytes[at] : 0;
}

uint8_t fwcfg_read(struct fwcfg *f)
{
	uint32_t at = f->place.offset;

	if (at < UINT32_MAX)
		f->place.offset++;
	if (f->place.key == KEY_DIRECTORY)
		return byte_at(f->directory, 4 + f->files * ENTRY_BYTES, at);
	for (unsigned i = 0; i < f->count; i++) {
		if (f->item[i].key == f->place.key)
			return byte_at(f->bytes + f->item[i].at, f->item[i].len, at);
	}
	return 0;
}

void fwcfg_fields(struct fwcfg_place *place, struct record *r)
{
	record_u16(r, "fwcfg_key", &place->key);
	record_u32(r, "fwcfg_offset", &place->offset);
}

void fwcfg_reset(struct fwcfg *f)
{
	static const uint8_t interface[4] = {INTERFACE_TRADITIONAL};

	memset(f, 0, sizeof(*f));
	(void)fwcfg_add(f, KEY_SIGNATURE, "QEMU", 4); /* there is room */
	(void)fwcfg_add(f, KEY_INTERFACE, interface, sizeof(interface));
}
