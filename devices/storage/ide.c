/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Role, trust, invariants, spec: see ide.h. */
#include "devices/storage/ide.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "devices/storage/ide_priv.h"

#define REG_DATA 0u
#define REG_ERROR 1u /* written: features */
#define REG_DEVICE 6u
#define REG_STATUS 7u /* written: command */
#define DEVICE_SECOND 0x10u
#define DEVICE_LBA 0x40u
#define CONTROL_RESET 0x04u
#define CONTROL_PREVIOUS 0x80u /* reads of registers give what was written before */
#define ERROR_DIAGNOSED 0x01u  /* after a reset: no failure */
#define SIGNATURE_PACKET_MID 0x14u
#define SIGNATURE_PACKET_HIGH 0xEBu

enum command {
	COMMAND_DEVICE_RESET = 0x08,
	COMMAND_READ = 0x20,
	COMMAND_READ_EXT = 0x24,
	COMMAND_WRITE = 0x30,
	COMMAND_WRITE_EXT = 0x34,
	COMMAND_VERIFY = 0x40,
	COMMAND_DIAGNOSTIC = 0x90,
	COMMAND_SET_GEOMETRY = 0x91,
	COMMAND_PACKET = 0xA0,
	COMMAND_IDENTIFY_PACKET = 0xA1,
	COMMAND_IDLE = 0xE1,
	COMMAND_FLUSH = 0xE7,
	COMMAND_FLUSH_EXT = 0xEA,
	COMMAND_IDENTIFY = 0xEC,
	COMMAND_SET_FEATURES = 0xEF,
};

static struct ide_drive *selected(struct ide_channel *ch)
{
	struct ide_drive *d = &ch->drive[ch->reg[REG_DEVICE][0] & DEVICE_SECOND ? 1 : 0];

	return d->used ? d : NULL;
}

void ide_set_line(struct ide_channel *ch, bool level)
{
	level = level && !(ch->control & IDE_CONTROL_NO_IRQ);
	if (ch->line == level)
		return;
	ch->line = level;
	if (ch->ide->host.irq)
		ch->ide->host.irq(ch->ide->host.ctx, ch->index, level);
}

static void set_reg(struct ide_channel *ch, unsigned reg, uint8_t value)
{
	ch->reg[reg][0] = ch->reg[reg][1] = value;
}

/* Who the drive is, in the registers. */
static void set_signature(struct ide_channel *ch, const struct ide_drive *d)
{
	bool packet = d && d->scsi.kind == SCSI_UNIT_DVD;

	set_reg(ch, IDE_REG_COUNT, 1);
	set_reg(ch, IDE_REG_LOW, 1);
	set_reg(ch, IDE_REG_MID, packet ? SIGNATURE_PACKET_MID : 0);
	set_reg(ch, IDE_REG_HIGH, packet ? SIGNATURE_PACKET_HIGH : 0);
}

static void reset_channel(struct ide_channel *ch)
{
	ide_set_line(ch, false);
	ch->status = IDE_STATUS_READY | IDE_STATUS_SEEK;
	ch->error = ERROR_DIAGNOSED;
	ch->phase = IDE_IDLE;
	ch->pos = ch->len = ch->block_end = 0;
	ch->left = 0;
	set_reg(ch, REG_DEVICE, 0);
	set_signature(ch, selected(ch));
	if (!ch->at)
		return;
	ch->dropped = true;
	ch->phase = IDE_BUSY;
	ch->status = IDE_STATUS_BUSY;
}

/* --- ends of commands ------------------------------------------------------------------- */

static void end(struct ide_channel *ch, uint8_t status, bool interrupt)
{
	ch->phase = IDE_IDLE;
	ch->status = IDE_STATUS_READY | IDE_STATUS_SEEK | status;
	if (ch->by_packet)
		set_reg(ch, IDE_REG_COUNT, IDE_REASON_COMMAND | IDE_REASON_TO_HOST);
	ide_set_line(ch, interrupt);
}

void ide_finish(struct ide_channel *ch)
{
	end(ch, 0, true);
}

void ide_abort(struct ide_channel *ch, uint8_t error)
{
	ch->error = error;
	end(ch, IDE_STATUS_ERROR, true);
}

static void medium_failed(struct ide_channel *ch, struct ide_drive *d, int error)
{
	if (ch->by_packet)
		ide_packet_failed(ch, d, error);
	else
		ide_abort(ch, IDE_ERROR_UNREADABLE);
}

/* --- movement of data ------------------------------------------------------------------- */

/* Asks the guest to move the next bytes of the buffer. */
static void ask(struct ide_channel *ch, bool interrupt)
{
	uint32_t block = (uint32_t)min_u64(ch->len - ch->pos, ch->block_max);

	ch->block_end = ch->pos + block;
	ch->phase = ch->writes ? IDE_OUT : IDE_IN;
	ch->status = IDE_STATUS_READY | IDE_STATUS_SEEK | IDE_STATUS_DATA;
	if (ch->by_packet) {
		set_reg(ch, IDE_REG_COUNT, IDE_REASON_TO_HOST);
		set_reg(ch, IDE_REG_MID, (uint8_t)block);
		set_reg(ch, IDE_REG_HIGH, (uint8_t)(block >> 8));
	}
	ide_set_line(ch, interrupt);
}

void ide_send(struct ide_channel *ch, uint32_t len)
{
	if (!len) {
		ide_finish(ch);
		return;
	}
	ch->writes = false;
	ch->pos = 0;
	ch->len = len;
	ask(ch, true);
}

/* Lets the guest fill the buffer with what is to be written next. */
static void ask_sectors(struct ide_channel *ch, bool interrupt)
{
	ch->pos = 0;
	ch->len = (uint32_t)min_u64(ch->left, IDE_BUFFER);
	ask(ch, interrupt);
}

static void on_done(struct block_request *block, int result)
{
	struct ide_channel *ch = block->owner;
	struct ide_drive *d = ch->at;

	ch->at = NULL;
	if (ch->dropped) {
		ch->dropped = false;
		reset_channel(ch);
		return;
	}
	ch->offset += block->len;
	ch->left -= block->len;
	if (result < 0)
		medium_failed(ch, d, result);
	else if (block->op == BLOCK_READ)
		ide_send(ch, (uint32_t)block->len);
	else if (ch->left)
		ask_sectors(ch, true);
	else
		ide_finish(ch);
}

static void start(struct ide_channel *ch, struct ide_drive *d, enum block_op op, uint32_t len)
{
	int r = 0;

	if (!d->medium || !range_within(ch->offset, len, d->medium->size_bytes))
		r = -EIO; /* the medium has been changed meanwhile */
	ch->phase = IDE_BUSY;
	ch->status = IDE_STATUS_BUSY;
	ch->iov = (struct iovec){.iov_base = ch->buffer, .iov_len = len};
	ch->block = (struct block_request){
		.op = op,
		.offset = len ? ch->offset : 0,
		.len = len,
		.iov = &ch->iov,
		.iov_count = len ? 1 : 0,
		.done = on_done,
		.owner = ch,
	};
	ch->at = d;
	if (r == 0)
		r = block_submit(d->medium, &ch->block);
	if (r == 0) {
		block_kick(d->medium);
		return;
	}
	ch->at = NULL;
	medium_failed(ch, d, r);
}

void ide_send_medium(struct ide_channel *ch)
{
	start(ch, ch->served, BLOCK_READ, (uint32_t)min_u64(ch->left, IDE_BUFFER));
}

/* The guest has moved all that it was asked for. */
static void moved(struct ide_channel *ch)
{
	if (ch->phase == IDE_PACKET)
		ide_packet(ch, ch->served);
	else if (ch->pos < ch->len)
		ask(ch, true);
	else if (ch->phase == IDE_OUT)
		start(ch, ch->served, BLOCK_WRITE, ch->len);
	else if (ch->left)
		ide_send_medium(ch);
	else
		end(ch, 0, ch->by_packet);
}

static uint32_t read_data(struct ide_channel *ch, unsigned bytes)
{
	uint32_t value = 0;

	if (ch->phase != IDE_IN)
		return 0;
	for (unsigned i = 0; i < bytes && ch->pos < ch->block_end; i++)
		value |= (uint32_t)ch->buffer[ch->pos++] << 8 * i;
	if (ch->pos == ch->block_end)
		moved(ch);
	return value;
}

static void write_data(struct ide_channel *ch, unsigned bytes, uint32_t value)
{
	if (ch->phase != IDE_OUT && ch->phase != IDE_PACKET)
		return;
	for (unsigned i = 0; i < bytes && ch->pos < ch->block_end; i++)
		ch->buffer[ch->pos++] = (uint8_t)(value >> 8 * i);
	if (ch->pos == ch->block_end)
		moved(ch);
}

/* --- commands --------------------------------------------------------------------------- */

/* Takes the extent from the registers; false when it is not within the disk. */
static bool take_extent(struct ide_channel *ch, const struct ide_drive *d, bool ext)
{
	uint64_t lba = ch->reg[IDE_REG_LOW][0] | (uint64_t)ch->reg[IDE_REG_MID][0] << 8 |
		       (uint64_t)ch->reg[IDE_REG_HIGH][0] << 16;
	uint32_t count = ch->reg[IDE_REG_COUNT][0];

	if (!(ch->reg[REG_DEVICE][0] & DEVICE_LBA))
		return false;
	if (ext) {
		lba |= (uint64_t)ch->reg[IDE_REG_LOW][1] << 24 |
		       (uint64_t)ch->reg[IDE_REG_MID][1] << 32 |
		       (uint64_t)ch->reg[IDE_REG_HIGH][1] << 40;
		count |= (uint32_t)ch->reg[IDE_REG_COUNT][1] << 8;
		count = count ? count : 0x10000;
	} else {
		lba |= (uint64_t)(ch->reg[REG_DEVICE][0] & 0xF) << 24;
		count = count ? count : 0x100;
	}
	if (!range_within(lba, count, d->scsi.sectors))
		return false;
	ch->offset = lba * IDE_SECTOR;
	ch->left = (uint64_t)count * IDE_SECTOR;
	ch->block_max = IDE_SECTOR;
	return true;
}

static void transfer(struct ide_channel *ch, struct ide_drive *d, bool ext, bool writes)
{
	ch->writes = writes;
	if (!take_extent(ch, d, ext))
		ide_abort(ch, IDE_ERROR_NO_SECTOR);
	else if (!writes)
		ide_send_medium(ch);
	else if (d->scsi.read_only)
		ide_abort(ch, IDE_ERROR_ABORTED);
	else
		ask_sectors(ch, false);
}

static void disk_command(struct ide_channel *ch, struct ide_drive *d, uint8_t command)
{
	switch (command) {
	case COMMAND_READ:
	case COMMAND_READ + 1: /* without retries */
	case COMMAND_READ_EXT:
		transfer(ch, d, command == COMMAND_READ_EXT, false);
		break;
	case COMMAND_WRITE:
	case COMMAND_WRITE + 1:
	case COMMAND_WRITE_EXT:
		transfer(ch, d, command == COMMAND_WRITE_EXT, true);
		break;
	case COMMAND_VERIFY:
		if (take_extent(ch, d, false))
			ide_finish(ch);
		else
			ide_abort(ch, IDE_ERROR_NO_SECTOR);
		break;
	case COMMAND_FLUSH:
	case COMMAND_FLUSH_EXT:
		start(ch, d, BLOCK_FLUSH, 0);
		break;
	case COMMAND_IDENTIFY:
		ide_identify(ch, d);
		ch->block_max = IDE_SECTOR;
		ide_send(ch, IDE_SECTOR);
		break;
	case COMMAND_SET_GEOMETRY:
	case COMMAND_SET_FEATURES:
	case COMMAND_IDLE:
		ide_finish(ch);
		break;
	default:
		ide_abort(ch, IDE_ERROR_ABORTED);
		break;
	}
}

static void begin_packet(struct ide_channel *ch)
{
	uint32_t limit = ch->reg[IDE_REG_MID][0] | (uint32_t)ch->reg[IDE_REG_HIGH][0] << 8;

	ch->block_max = limit > 1 ? limit & IDE_PACKET_LIMIT_MAX : IDE_PACKET_LIMIT_MAX;
	ch->by_packet = true;
	ch->phase = IDE_PACKET;
	ch->pos = 0;
	ch->len = ch->block_end = IDE_PACKET_BYTES;
	ch->status = IDE_STATUS_READY | IDE_STATUS_SEEK | IDE_STATUS_DATA;
	set_reg(ch, IDE_REG_COUNT, IDE_REASON_COMMAND);
}

static void drive_command(struct ide_channel *ch, struct ide_drive *d, uint8_t command)
{
	switch (command) {
	case COMMAND_PACKET:
		begin_packet(ch);
		break;
	case COMMAND_IDENTIFY_PACKET:
		ide_identify(ch, d);
		ch->block_max = IDE_SECTOR;
		ide_send(ch, IDE_SECTOR);
		break;
	case COMMAND_DEVICE_RESET:
		set_signature(ch, d);
		end(ch, 0, false);
		break;
	case COMMAND_SET_FEATURES:
		ide_finish(ch);
		break;
	default: /* IDENTIFY and READ too: a host tells drives from disks by it */
		set_signature(ch, d);
		ide_abort(ch, IDE_ERROR_ABORTED);
		break;
	}
}

static void command(struct ide_channel *ch, uint8_t value)
{
	struct ide_drive *d = selected(ch);

	if (!d || ch->phase == IDE_BUSY)
		return;
	ide_set_line(ch, false);
	ch->error = 0;
	ch->by_packet = ch->writes = false;
	ch->offset = ch->left = 0;
	ch->served = d;
	if (value == COMMAND_DIAGNOSTIC) {
		reset_channel(ch);
		ide_set_line(ch, true);
	} else if (d->scsi.kind == SCSI_UNIT_DISK) {
		disk_command(ch, d, value);
	} else {
		drive_command(ch, d, value);
	}
}

/* --- registers -------------------------------------------------------------------------- */

static uint8_t status(struct ide_channel *ch)
{
	return selected(ch) ? ch->status : 0;
}

uint32_t ide_read(struct ide *ide, unsigned channel, unsigned reg, unsigned bytes)
{
	struct ide_channel *ch = &ide->channel[channel % IDE_CHANNELS];

	if (!ch->drive[0].used && !ch->drive[1].used)
		return 0;
	switch (reg & 7) {
	case REG_DATA:
		return read_data(ch, bytes);
	case REG_ERROR:
		return ch->error;
	case REG_STATUS:
		ide_set_line(ch, false);
		return status(ch);
	default:
		return ch->reg[reg & 7][ch->control & CONTROL_PREVIOUS ? 1 : 0];
	}
}

void ide_write(struct ide *ide, unsigned channel, unsigned reg, unsigned bytes, uint32_t value)
{
	struct ide_channel *ch = &ide->channel[channel % IDE_CHANNELS];

	switch (reg & 7) {
	case REG_DATA:
		write_data(ch, bytes, value);
		break;
	case REG_STATUS:
		command(ch, (uint8_t)value);
		break;
	default:
		if (ch->phase == IDE_BUSY)
			break;
		ch->control &= (uint8_t)~CONTROL_PREVIOUS;
		ch->reg[reg & 7][1] = ch->reg[reg & 7][0];
		ch->reg[reg & 7][0] = (uint8_t)value;
		break;
	}
}

void ide_read_string(struct ide *ide, unsigned channel, uint8_t *to, uint32_t len)
{
	struct ide_channel *ch = &ide->channel[channel % IDE_CHANNELS];

	while (len && ch->phase == IDE_IN) {
		uint32_t n = (uint32_t)min_u64(len, ch->block_end - ch->pos);

		memcpy(to, ch->buffer + ch->pos, n);
		ch->pos += n;
		to += n;
		len -= n;
		if (ch->pos == ch->block_end)
			moved(ch);
	}
	memset(to, 0, len);
}

void ide_write_string(struct ide *ide, unsigned channel, const uint8_t *from, uint32_t len)
{
	struct ide_channel *ch = &ide->channel[channel % IDE_CHANNELS];

	while (len && (ch->phase == IDE_OUT || ch->phase == IDE_PACKET)) {
		uint32_t n = (uint32_t)min_u64(len, ch->block_end - ch->pos);

		memcpy(ch->buffer + ch->pos, from, n);
		ch->pos += n;
		from += n;
		len -= n;
		if (ch->pos == ch->block_end)
			moved(ch);
	}
}

uint8_t ide_read_control(struct ide *ide, unsigned channel)
{
	return status(&ide->channel[channel % IDE_CHANNELS]);
}

void ide_write_control(struct ide *ide, unsigned channel, uint8_t value)
{
	struct ide_channel *ch = &ide->channel[channel % IDE_CHANNELS];
	bool resets = (ch->control & CONTROL_RESET) && !(value & CONTROL_RESET);

	ch->control = value;
	if (value & IDE_CONTROL_NO_IRQ)
		ide_set_line(ch, false);
	if (value & CONTROL_RESET)
		ch->status = IDE_STATUS_BUSY;
	if (resets)
		reset_channel(ch);
}

/* --- units ------------------------------------------------------------------------------ */

static struct ide_drive *drive_at(struct ide *ide, unsigned place)
{
	return &ide->channel[place / 2].drive[place % 2];
}

static void put_medium(struct ide_drive *d, const struct blockdev *medium)
{
	bool dvd = d->scsi.kind == SCSI_UNIT_DVD;

	d->medium = medium;
	d->scsi.sectors = medium ? medium->size_bytes / d->scsi.sector_bytes : 0;
	d->scsi.attention = dvd && medium ? SCSI_SENSE_MEDIUM_CHANGED : SCSI_SENSE_NONE;
}

int ide_attach(struct ide *ide, unsigned place, enum scsi_unit_kind kind,
	       const struct blockdev *medium, const struct scsi_identity *identity)
{
	static const uint64_t first_lun = 1;
	uint32_t sector = kind == SCSI_UNIT_DVD ? SCSI_DVD_SECTOR_BYTES : IDE_SECTOR;
	struct ide_drive *d;

	if (place >= IDE_PLACES)
		return -ERANGE;
	d = drive_at(ide, place);
	if (d->used)
		return -EEXIST;
	if (medium && medium->sector_bytes != sector)
		return -ENOTSUP;
	*d = (struct ide_drive){
		.used = true,
		.scsi = {.identity = *identity,
			 .kind = kind,
			 .sector_bytes = sector,
			 .physical_sector_bytes = sector,
			 .read_only = kind == SCSI_UNIT_DVD || medium->read_only,
			 .luns = &first_lun},
	};
	put_medium(d, medium);
	return 0;
}

int ide_set_medium(struct ide *ide, unsigned place, const struct blockdev *medium)
{
	struct ide_drive *d;

	if (place >= IDE_PLACES)
		return -ERANGE;
	d = drive_at(ide, place);
	if (!d->used)
		return 0;
	if (ide->channel[place / 2].at == d)
		return -EBUSY;
	put_medium(d, medium);
	d->used = medium || d->scsi.kind == SCSI_UNIT_DVD;
	return 0;
}

/* --- life ------------------------------------------------------------------------------- */

void ide_reset(struct ide *ide)
{
	for (unsigned i = 0; i < IDE_CHANNELS; i++) {
		struct ide_channel *ch = &ide->channel[i];

		ch->control = 0;
		memset(ch->reg, 0, sizeof(ch->reg));
		reset_channel(ch);
	}
}

struct ide *ide_new(const struct ide_host *host)
{
	struct ide *ide = calloc(1, sizeof(*ide));

	if (!ide)
		return NULL;
	ide->host = *host;
	for (unsigned i = 0; i < IDE_CHANNELS; i++) {
		ide->channel[i].ide = ide;
		ide->channel[i].index = i;
	}
	ide_reset(ide);
	return ide;
}

void ide_free(struct ide *ide)
{
	free(ide);
}
