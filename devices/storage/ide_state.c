/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a saved state has of the IDE channels. Role, trust, spec: see ide.h.
 *
 * Between commands a channel has its registers only: what the last transfer has left behind is
 * looked at by nobody. Bytes of the buffer are in it as far as the guest has yet to take them, or
 * has given them; they are read to where they belong, since a new channel's buffer means nothing.
 */
#include <string.h>

#include "base/util.h"
#include "devices/storage/ide_priv.h"

#define PART "channel"
#define SENSE_KEY_MAX 0xFu

/* A transfer between the guest and the buffer. */
struct saved_transfer {
	bool by_packet;
	unsigned served; /* which drive */
	unsigned pos, len, block_end, block_max;
	uint64_t offset, left;
};

struct saved_drive {
	uint16_t attention, code;
	uint8_t key;
};

struct saved_channel {
	uint8_t reg[8][2];
	uint8_t control, status, error;
	bool line;
	unsigned phase;
	struct saved_transfer transfer;
	struct saved_drive drive[2];
};

enum kind { KIND_NONE, KIND_DISK, KIND_DVD, KIND_LAST = KIND_DVD };

static enum kind kind_of(const struct ide_drive *d)
{
	if (!d->used)
		return KIND_NONE;
	return d->scsi.kind == SCSI_UNIT_DVD ? KIND_DVD : KIND_DISK;
}

/* ---- checks ---- */

/* What the guest may move next is within the buffer, and not nothing. */
static bool fits(const struct saved_transfer *t)
{
	return t->pos < t->block_end && t->block_end <= t->len && t->len <= IDE_BUFFER &&
	       t->block_end - t->pos <= t->block_max;
}

static bool packet_fits(const struct saved_transfer *t)
{
	return t->by_packet && t->len == IDE_PACKET_BYTES && t->block_end == IDE_PACKET_BYTES &&
	       !t->left;
}

/* Bytes on the medium lie there when they are asked for, or the command fails (start()); what is
 * in the buffer is counted by what is left of a write, but not of a read. */
static bool medium_fits(const struct saved_transfer *t, enum kind kind, bool writes)
{
	uint32_t sector = t->by_packet ? SCSI_DVD_SECTOR_BYTES : IDE_SECTOR;

	if (!writes && !t->left)
		return true;
	return t->by_packet == (kind == KIND_DVD) && t->offset % sector == 0 &&
	       t->left % sector == 0 && (!writes || t->len == min_u64(t->left, IDE_BUFFER));
}

static void check_transfer(const struct ide_channel *ch, const struct saved_channel *s,
			   struct record *r)
{
	const struct saved_transfer *t = &s->transfer;
	const struct ide_drive *served = &ch->drive[t->served];
	enum kind kind = kind_of(served);
	bool writes = s->phase == IDE_OUT;

	if (t->by_packet ? t->block_max < 2 || t->block_max > IDE_PACKET_LIMIT_MAX
			 : t->block_max != IDE_SECTOR)
		record_refuse(r, "IDE channel %u moves blocks of %u bytes", ch->index,
			      t->block_max);
	if (!fits(t) || (s->phase == IDE_PACKET && !packet_fits(t)))
		record_refuse(r, "IDE channel %u moves bytes %u to %u of %u", ch->index, t->pos,
			      t->block_end, t->len);
	if (t->by_packet && kind != KIND_DVD)
		record_refuse(r, "IDE channel %u has a packet for what is no drive", ch->index);
	if (writes && (t->by_packet || !t->left || served->scsi.read_only))
		record_refuse(r, "IDE channel %u writes what cannot be written", ch->index);
	if (!medium_fits(t, kind, writes))
		record_refuse(r, "IDE channel %u has no such bytes on a medium", ch->index);
}

static void check_channel(const struct ide_channel *ch, const struct saved_channel *s,
			  struct record *r)
{
	if (s->line && (s->control & IDE_CONTROL_NO_IRQ))
		record_refuse(r, "IDE channel %u interrupts with its interrupt off", ch->index);
	for (unsigned i = 0; i < 2; i++) {
		const struct saved_drive *d = &s->drive[i];

		if (d->attention != SCSI_SENSE_NONE && d->attention != SCSI_SENSE_MEDIUM_CHANGED)
			record_refuse(r, "a drive of IDE channel %u would tell of 0x%x", ch->index,
				      d->attention);
		if (d->key > SENSE_KEY_MAX)
			record_refuse(r, "a drive of IDE channel %u has the sense key %u",
				      ch->index, d->key);
	}
}

/* ---- fields ---- */

static void drive_fields(const struct ide_channel *ch, struct saved_channel *s, unsigned i,
			 struct record *r)
{
	struct saved_drive *d = &s->drive[i];
	unsigned place = ch->index * 2 + i, kind = kind_of(&ch->drive[i]);

	record_limited(r, record_name_of("place", place, "kind").text, &kind, KIND_LAST);
	if (kind != kind_of(&ch->drive[i]))
		record_refuse(r, "another unit was at IDE place %u", place);
	if (kind != KIND_DVD)
		return;
	record_u16(r, record_name_of("place", place, "attention").text, &d->attention);
	record_u8(r, record_name_of("place", place, "sense_key").text, &d->key);
	record_u16(r, record_name_of("place", place, "sense_code").text, &d->code);
}

static void transfer_fields(struct ide_channel *ch, struct saved_channel *s, struct record *r)
{
	struct saved_transfer *t = &s->transfer;
	bool in = s->phase == IDE_IN;
	size_t count;

	record_bool(r, record_name_of(PART, ch->index, "by_packet").text, &t->by_packet);
	record_limited(r, record_name_of(PART, ch->index, "served").text, &t->served, 1);
	record_u32(r, record_name_of(PART, ch->index, "pos").text, &t->pos);
	record_u32(r, record_name_of(PART, ch->index, "len").text, &t->len);
	record_u32(r, record_name_of(PART, ch->index, "block_end").text, &t->block_end);
	record_u32(r, record_name_of(PART, ch->index, "block_max").text, &t->block_max);
	record_u64(r, record_name_of(PART, ch->index, "offset").text, &t->offset);
	record_u64(r, record_name_of(PART, ch->index, "left").text, &t->left);
	check_transfer(ch, s, r);
	if (!record_ok(r))
		return;
	count = in ? t->len - t->pos : t->pos;
	record_bytes(r, record_name_of(PART, ch->index, "data").text,
		     ch->buffer + (in ? t->pos : 0), count);
}

static void channel_fields(struct ide_channel *ch, struct saved_channel *s, struct record *r)
{
	drive_fields(ch, s, 0, r);
	drive_fields(ch, s, 1, r);
	record_bytes(r, record_name_of(PART, ch->index, "registers").text, s->reg, sizeof(s->reg));
	record_u8(r, record_name_of(PART, ch->index, "control").text, &s->control);
	record_u8(r, record_name_of(PART, ch->index, "status").text, &s->status);
	record_u8(r, record_name_of(PART, ch->index, "error").text, &s->error);
	record_bool(r, record_name_of(PART, ch->index, "line").text, &s->line);
	record_limited(r, record_name_of(PART, ch->index, "phase").text, &s->phase, IDE_OUT);
	check_channel(ch, s, r);
	if (s->phase != IDE_IDLE && record_ok(r))
		transfer_fields(ch, s, r);
}

/* ---- both directions ---- */

static void save(const struct ide_channel *ch, struct saved_channel *s)
{
	*s = (struct saved_channel){
		.control = ch->control,
		.status = ch->status,
		.error = ch->error,
		.line = ch->line,
		.phase = ch->phase,
		.transfer = {.by_packet = ch->by_packet,
			     .served = ch->served == &ch->drive[1],
			     .pos = ch->pos,
			     .len = ch->len,
			     .block_end = ch->block_end,
			     .block_max = ch->block_max,
			     .offset = ch->offset,
			     .left = ch->left},
	};
	memcpy(s->reg, ch->reg, sizeof(s->reg));
	for (unsigned i = 0; i < 2; i++)
		s->drive[i] = (struct saved_drive){
			.attention = (uint16_t)ch->drive[i].scsi.attention,
			.key = (uint8_t)ch->drive[i].sense.key,
			.code = (uint16_t)ch->drive[i].sense.code,
		};
}

static void load(struct ide_channel *ch, const struct saved_channel *s)
{
	const struct saved_transfer *t = &s->transfer;

	memcpy(ch->reg, s->reg, sizeof(ch->reg));
	ch->control = s->control;
	ch->status = s->status;
	ch->error = s->error;
	ch->phase = (enum ide_phase)s->phase;
	for (unsigned i = 0; i < 2; i++) {
		struct ide_drive *d = &ch->drive[i];

		d->scsi.attention = (enum scsi_sense_code)s->drive[i].attention;
		d->sense.key = (enum scsi_sense_key)s->drive[i].key;
		d->sense.code = (enum scsi_sense_code)s->drive[i].code;
	}
	if (s->phase != IDE_IDLE) {
		ch->by_packet = t->by_packet;
		ch->writes = s->phase == IDE_OUT;
		ch->served = &ch->drive[t->served];
		ch->pos = t->pos;
		ch->len = t->len;
		ch->block_end = t->block_end;
		ch->block_max = t->block_max;
		ch->offset = t->offset;
		ch->left = t->left;
	}
	ide_set_line(ch, s->line);
}

void ide_state(struct ide *ide, struct record *r)
{
	struct saved_channel saved[IDE_CHANNELS];

	for (unsigned i = 0; i < IDE_CHANNELS; i++) {
		struct ide_channel *ch = &ide->channel[i];

		if (ch->at)
			record_refuse(r, "an operation of IDE channel %u is at its medium", i);
		if (r->reads && ch->phase != IDE_IDLE)
			record_refuse(r, "IDE channel %u is in use", i);
		save(ch, &saved[i]);
		if (record_ok(r))
			channel_fields(ch, &saved[i], r);
	}
	if (!r->reads || record_end(r) < 0)
		return;
	for (unsigned i = 0; i < IDE_CHANNELS; i++)
		load(&ide->channel[i], &saved[i]);
}
