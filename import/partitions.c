/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * MBR: boot code up to 440, four entries of 16 bytes at 446, 0x55 0xaa at 510. An entry:
 * at 0 0x80 when active   at 4 type   at 8 first sector (4)   at 12 sectors (4)
 * An extended one (types 5, 0xf, 0x85) has a sector like it at its begin, with a partition relative
 * to that sector, and the next such sector relative to the first of them.
 *
 * GPT, in sector 1: "EFI PART"   at 12 bytes of this header   at 16 its CRC, counted with zeros
 * there at 72 first sector of the entries (8)   at 80 how many (4)   at 84 bytes of one (4)   at 88
 * their CRC An entry: at 0 type (16)   at 32 first sector (8)   at 40 last one (8)
 */
#include "import/partitions.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/bytes.h"
#include "base/util.h"

#define SECTOR 512u
#define CODE_BYTES 440u
#define ENTRIES_AT 446u
#define CHAIN_MAX 64u
#define GPT_HEADER_MIN 92u
#define GPT_ENTRIES_MAX 1024u
#define GPT_ENTRY_MIN 128u
#define GPT_ENTRY_MAX 4096u
#define GPT_BYTES_MAX (1u << 20)

#define TYPE_GPT 0xee
#define TYPE_ESP 0xef

static const uint8_t esp[16] = {0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11,
				0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b};
static const uint8_t bios_boot[16] = {'H', 'a', 'h', '!', 'I', 'd', 'o', 'n',
				      't', 'N', 'e', 'e', 'd', 'E', 'F', 'I'};

/* Those that do not lie within the image are left out. */
static struct partition *add(const struct source *s, struct partitions *p, uint64_t first,
			     uint64_t sectors)
{
	struct partition *one;

	if (p->count == PARTITIONS_MAX || sectors == 0 ||
	    !range_within(first, sectors, s->size / SECTOR)) {
		p->damaged = true;
		return NULL;
	}
	one = &p->list[p->count++];
	*one = (struct partition){.offset = first * SECTOR, .length = sectors * SECTOR};
	return one;
}

static bool is_extended(uint8_t type)
{
	return type == 0x05 || type == 0x0f || type == 0x85;
}

static int decode_chain(const struct source *s, uint64_t begin, struct partitions *p)
{
	uint64_t at = begin;

	for (unsigned i = 0; i < CHAIN_MAX; i++) {
		uint8_t sector[SECTOR];
		const uint8_t *entry = sector + ENTRIES_AT, *next = entry + 16;
		int r = source_read(s, at * SECTOR, sector, sizeof(sector));

		if (r == -ERANGE || (r == 0 && le16_load(sector + 510) != 0xaa55)) {
			p->damaged = true;
			return 0;
		}
		if (r < 0)
			return r;
		if (entry[4])
			add(s, p, at + le32_load(entry + 8), le32_load(entry + 12));
		if (!is_extended(next[4]))
			return 0;
		at = begin + le32_load(next + 8);
	}
	p->damaged = true;
	return 0;
}

static int decode_mbr(const struct source *s, const uint8_t *sector, struct partitions *p)
{
	int r = 0;

	p->table = TABLE_MBR;
	for (unsigned i = 0; r == 0 && i < 4; i++) {
		const uint8_t *entry = sector + ENTRIES_AT + 16 * i;
		struct partition *one;

		if (entry[4] == 0)
			continue;
		if (is_extended(entry[4])) {
			r = decode_chain(s, le32_load(entry + 8), p);
			continue;
		}
		one = add(s, p, le32_load(entry + 8), le32_load(entry + 12));
		if (!one)
			continue;
		one->active = entry[0] == 0x80;
		one->use = entry[4] == TYPE_ESP ? PARTITION_ESP : PARTITION_OTHER;
	}
	return r;
}

/* Whether it is a header that is whole. */
static bool header_is_good(uint8_t *h, uint32_t *ret_count, uint32_t *ret_bytes)
{
	uint32_t len = le32_load(h + 12), crc = le32_load(h + 16);

	if (memcmp(h, "EFI PART", 8) != 0 || len < GPT_HEADER_MIN || len > SECTOR)
		return false;
	le32_store(h + 16, 0);
	*ret_count = le32_load(h + 80);
	*ret_bytes = le32_load(h + 84);
	return crc32(0, h, len) == crc && *ret_count <= GPT_ENTRIES_MAX &&
	       *ret_bytes >= GPT_ENTRY_MIN && *ret_bytes <= GPT_ENTRY_MAX &&
	       *ret_count * *ret_bytes <= GPT_BYTES_MAX;
}

static void take_entry(const struct source *s, const uint8_t *entry, struct partitions *p)
{
	static const uint8_t unused[16];
	uint64_t first = le64_load(entry + 32), last = le64_load(entry + 40);
	struct partition *one;

	if (memcmp(entry, unused, sizeof(unused)) == 0)
		return;
	if (last < first || last == UINT64_MAX) {
		p->damaged = true;
		return;
	}
	one = add(s, p, first, last - first + 1);
	if (one && memcmp(entry, esp, sizeof(esp)) == 0)
		one->use = PARTITION_ESP;
	else if (one && memcmp(entry, bios_boot, sizeof(bios_boot)) == 0)
		one->use = PARTITION_BIOS_BOOT;
}

/* The header in this sector; false: it is none that is whole. */
static int decode_gpt(const struct source *s, uint64_t sector, struct partitions *p, bool *ret_good)
{
	uint8_t h[SECTOR], *entries;
	uint32_t count, bytes, crc;
	uint64_t at;
	int r = source_read(s, sector * SECTOR, h, sizeof(h));

	*ret_good = false;
	if (r < 0 || !header_is_good(h, &count, &bytes))
		return r == -ERANGE ? 0 : r;
	at = le64_load(h + 72);
	crc = le32_load(h + 88);
	if (at > s->size / SECTOR)
		return 0;
	entries = malloc((size_t)count * bytes + 1);
	if (!entries)
		return -ENOMEM;
	r = source_read(s, at * SECTOR, entries, (size_t)count * bytes);
	if (r == 0 && crc32(0, entries, count * bytes) == crc) {
		*ret_good = true;
		p->table = TABLE_GPT;
		for (uint32_t i = 0; i < count; i++)
			take_entry(s, entries + (size_t)i * bytes, p);
	}
	free(entries);
	return r == -ERANGE ? 0 : r;
}

static bool has(const uint8_t *bytes, size_t len, const char *word)
{
	return memmem(bytes, len, word, strlen(word)) != NULL;
}

int partitions_decode(const struct source *s, struct partitions *ret_partitions)
{
	struct partitions *p = ret_partitions;
	uint8_t sector[SECTOR];
	bool gpt = false, good = false;
	int r = source_read(s, 0, sector, sizeof(sector));

	memset(p, 0, sizeof(*p));
	if (r == -ERANGE)
		return 0;
	if (r < 0 || le16_load(sector + 510) != 0xaa55)
		return r;
	for (unsigned i = 0; i < CODE_BYTES; i++)
		p->boot_code = p->boot_code || sector[i] != 0;
	p->grub = has(sector, CODE_BYTES, "GRUB ");
	for (unsigned i = 0; i < 4; i++)
		gpt = gpt || sector[ENTRIES_AT + 16 * i + 4] == TYPE_GPT;
	if (!gpt)
		return decode_mbr(s, sector, p);
	r = decode_gpt(s, 1, p, &good);
	/* The copy at the end, where the first one was written over. */
	if (r == 0 && !good)
		r = decode_gpt(s, s->size / SECTOR - 1, p, &good);
	if (r == 0 && !good)
		p->damaged = true;
	return r;
}

enum boots partitions_boot(const struct partitions *p)
{
	bool starts = p->grub, esp_found = false;

	for (unsigned i = 0; i < p->count; i++) {
		starts = starts || p->list[i].active || p->list[i].use == PARTITION_BIOS_BOOT;
		esp_found = esp_found || p->list[i].use == PARTITION_ESP;
	}
	if (p->boot_code && starts)
		return BOOTS_BIOS;
	if (esp_found)
		return BOOTS_UEFI;
	return p->boot_code || p->damaged ? BOOTS_UNKNOWN : BOOTS_NO;
}
