/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The SCSI decoder: any unit, CDB and data length; the invariants of an action must hold.
 * Input: flags, sectors (u64), data length (u32), CDB; an UNMAP's parameter list behind its CDB.
 */
#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"
#include "base/util.h"
#include "devices/storage/scsi.h"

#define FLAG_4096 0x01u
#define FLAG_READ_ONLY 0x02u
#define FLAG_ABSENT 0x04u
#define FLAG_THIN 0x08u
#define FLAG_DVD 0x10u
#define FLAG_LOCKED 0x20u /* of a drive */
#define FLAG_EMPTY 0x40u
#define FLAG_CHANGED 0x80u
#define UNMAP_CDB_BYTES 10u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool condition)
{
	if (!condition)
		abort();
}

static void check(const struct scsi_unit *unit, const struct scsi_action *a, uint32_t data_len)
{
	uint64_t size = unit->sectors * unit->sector_bytes;

	switch (a->kind) {
	case SCSI_ACT_WRITE:
		must(!unit->read_only && !a->truncated);
		__attribute__((fallthrough));
	case SCSI_ACT_READ:
		must(range_within(a->offset, a->len, size));
		must(is_aligned(a->offset | a->len, unit->sector_bytes));
		must(a->len > 0 && a->len <= data_len && a->len <= SCSI_TRANSFER_MAX);
		break;
	case SCSI_ACT_REPLY:
		must(a->reply_len <= data_len && a->reply_len <= SCSI_REPLY_MAX);
		break;
	case SCSI_ACT_CHECK:
		must(a->key != SCSI_KEY_NO_SENSE && a->code != SCSI_SENSE_NONE);
		break;
	case SCSI_ACT_SAME:
		must(!unit->read_only && range_within(a->offset, a->len, size));
		must(is_aligned(a->offset | a->len, unit->sector_bytes));
		must(a->len > 0 && a->len <= SCSI_SAME_BYTES_MAX);
		must(a->no_data || data_len >= unit->sector_bytes);
		break;
	case SCSI_ACT_UNMAP:
		must(!unit->read_only && a->len <= data_len);
		must(a->len >= SCSI_UNMAP_HEADER_BYTES && a->len <= SCSI_UNMAP_LIST_MAX);
		break;
	case SCSI_ACT_EJECT:
		must(unit->kind == SCSI_UNIT_DVD && !unit->locked && unit->sectors);
		break;
	case SCSI_ACT_LOCK:
		must(unit->kind == SCSI_UNIT_DVD);
		break;
	case SCSI_ACT_DONE:
	case SCSI_ACT_FLUSH:
		break;
	default:
		abort();
	}
}

/* The list is allocated as long as it is, so that a byte past its end is found. */
static void check_list(const struct scsi_unit *unit, uint32_t len, const uint8_t *data, size_t size)
{
	struct scsi_range ranges[SCSI_UNMAP_RANGES_MAX];
	uint8_t *list = calloc(1, len);
	struct scsi_action a;
	uint64_t sum = 0;
	unsigned count;

	if (!list)
		return;
	memcpy(list, data, size < len ? size : len);
	count = scsi_unmap_decode(unit, list, len, ranges, &a);
	free(list);
	must(count <= SCSI_UNMAP_RANGES_MAX);
	must(a.kind == SCSI_ACT_DONE || (a.kind == SCSI_ACT_CHECK && count == 0));
	for (unsigned i = 0; i < count; i++) {
		must(ranges[i].len > 0);
		must(range_within(ranges[i].offset, ranges[i].len,
				  unit->sectors * unit->sector_bytes));
		must(is_aligned(ranges[i].offset | ranges[i].len, unit->sector_bytes));
		sum += ranges[i].len;
	}
	must(sum <= SCSI_UNMAP_BYTES_MAX);
}

static bool same(const struct scsi_action *a, const struct scsi_action *b)
{
	return a->kind == b->kind && a->fua == b->fua && a->truncated == b->truncated &&
	       a->unmap == b->unmap && a->no_data == b->no_data && a->lock == b->lock &&
	       a->attention_told == b->attention_told && a->event_told == b->event_told &&
	       a->offset == b->offset && a->len == b->len && a->key == b->key &&
	       a->code == b->code && a->reply_len == b->reply_len &&
	       (a->kind != SCSI_ACT_REPLY || memcmp(a->reply, b->reply, a->reply_len) == 0);
}

static void decode(const struct scsi_unit *unit, bool absent, const struct cursor *cdb,
		   uint32_t data_len, struct scsi_action *ret)
{
	if (absent)
		scsi_decode_absent(*unit->luns, cdb->at, cdb->left, data_len, ret);
	else
		scsi_decode(unit, cdb->at, cdb->left, data_len, ret);
}

static void make_drive(struct scsi_unit *unit, uint8_t flags)
{
	unit->kind = SCSI_UNIT_DVD;
	unit->sector_bytes = unit->physical_sector_bytes = SCSI_DVD_SECTOR_BYTES;
	unit->discard_bytes = 0;
	unit->read_only = true;
	unit->locked = (flags & FLAG_LOCKED) != 0;
	if (flags & FLAG_CHANGED) {
		unit->attention = SCSI_SENSE_MEDIUM_CHANGED;
		unit->event = SCSI_MEDIA_NEW;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cursor c = cursor_of(data, size);
	uint8_t flags = cursor_u8(&c), sense[SCSI_SENSE_FIXED_BYTES];
	uint64_t sectors = cursor_u64(&c), luns = sectors | 1;
	uint32_t data_len = cursor_u32(&c);
	struct scsi_unit unit = {
		.identity = {"Oya", "Virtual Disk", "1.0", "fuzzed"},
		.sector_bytes = flags & FLAG_4096 ? 4096 : 512,
		.physical_sector_bytes = 4096,
		.discard_bytes = flags & FLAG_THIN ? 4096 : 0,
		.read_only = (flags & FLAG_READ_ONLY) != 0,
		.luns = &luns,
	};
	struct scsi_action a, b;

	if (!cursor_ok(&c))
		return 0;
	if (flags & FLAG_DVD)
		make_drive(&unit, flags);
	/* What a block device can have: its size in bytes is a positive int64. */
	unit.sectors = sectors % ((uint64_t)INT64_MAX / unit.sector_bytes) + 1;
	if (flags & FLAG_DVD && flags & FLAG_EMPTY)
		unit.sectors = 0;
	/* Bytes that the decoder forgets to set must not decide anything. */
	memset(&a, 0x00, sizeof(a));
	memset(&b, 0xFF, sizeof(b));
	decode(&unit, flags & FLAG_ABSENT, &c, data_len, &a);
	decode(&unit, flags & FLAG_ABSENT, &c, data_len, &b);
	must(same(&a, &b));
	check(&unit, &a, data_len);
	if (a.kind == SCSI_ACT_UNMAP)
		check_list(&unit, a.len, c.at + UNMAP_CDB_BYTES, c.left - UNMAP_CDB_BYTES);
	if (flags & FLAG_ABSENT)
		must(a.kind == SCSI_ACT_REPLY || a.kind == SCSI_ACT_CHECK);
	scsi_sense_encode(&a, sense);
	return 0;
}
