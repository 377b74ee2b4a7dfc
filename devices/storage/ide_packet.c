/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Role, trust, spec: see ide.h. */
#include <string.h>

#include "base/bytes.h"
#include "base/util.h"
#include "devices/storage/ide_priv.h"

#define WORD_GENERAL 0u
#define WORD_CYLINDERS 1u
#define WORD_HEADS 3u
#define WORD_SECTORS 6u
#define WORD_SERIAL 10u
#define WORD_FIRMWARE 23u
#define WORD_MODEL 27u
#define WORD_CAPABILITIES 49u
#define WORD_FIELDS 53u
#define WORD_LBA28 60u
#define WORD_VERSIONS 80u
#define WORD_SETS 82u
#define WORD_SETS_2 83u
#define WORD_ENABLED 85u
#define WORD_ENABLED_2 86u
#define WORD_LBA48 100u

#define GENERAL_ATA 0x0040u /* fixed */
#define GENERAL_DVD 0x8580u /* ATAPI, CD-ROM, removable, packets of 12 bytes */
#define CAPABILITY_LBA 0x0200u
#define VERSIONS_ATA_6 0x0070u
#define SET_PACKET 0x0010u
#define SET_FLUSH 0x5000u
#define SET_LBA48 0x0400u
#define SET_FLUSH_EXT 0x2000u
#define SET_VALID 0x4000u
#define LBA28_MAX 0x0FFFFFFFu
#define CYLINDERS_MAX 16383u
#define HEADS 16u
#define SECTORS 63u

/* Strings have their bytes swapped in pairs and end in spaces. */
static void put_text(uint8_t *sector, unsigned word, unsigned words, const char *text)
{
	size_t len = strlen(text);

	for (unsigned i = 0; i < words * 2; i++)
		sector[word * 2 + (i ^ 1)] = (uint8_t)(i < len ? text[i] : ' ');
}

static void put_word(uint8_t *sector, unsigned word, uint16_t value)
{
	le16_store(sector + (size_t)word * 2, value);
}

static void identify_disk(uint8_t *sector, uint64_t sectors)
{
	uint64_t cylinders = sectors / (HEADS * SECTORS);

	put_word(sector, WORD_GENERAL, GENERAL_ATA);
	put_word(sector, WORD_CYLINDERS, (uint16_t)min_u64(cylinders, CYLINDERS_MAX));
	put_word(sector, WORD_HEADS, HEADS);
	put_word(sector, WORD_SECTORS, SECTORS);
	le32_store(sector + (size_t)WORD_LBA28 * 2, (uint32_t)min_u64(sectors, LBA28_MAX));
	put_word(sector, WORD_SETS_2, SET_VALID | SET_FLUSH_EXT | SET_LBA48 | SET_FLUSH);
	put_word(sector, WORD_ENABLED_2, SET_FLUSH_EXT | SET_LBA48 | SET_FLUSH);
	le64_store(sector + (size_t)WORD_LBA48 * 2, sectors);
}

void ide_identify(struct ide_channel *ch, const struct ide_drive *d)
{
	uint8_t *sector = ch->buffer;
	char model[SCSI_VENDOR_LEN + SCSI_PRODUCT_LEN + 2];
	size_t vendor = strlen(d->scsi.identity.vendor);

	memset(sector, 0, IDE_SECTOR);
	memcpy(model, d->scsi.identity.vendor, vendor);
	model[vendor] = ' ';
	memcpy(model + vendor + 1, d->scsi.identity.product, strlen(d->scsi.identity.product) + 1);
	put_text(sector, WORD_SERIAL, 10, d->scsi.identity.serial);
	put_text(sector, WORD_FIRMWARE, 4, d->scsi.identity.revision);
	put_text(sector, WORD_MODEL, 20, model);
	put_word(sector, WORD_CAPABILITIES, CAPABILITY_LBA);
	put_word(sector, WORD_FIELDS, 1);
	put_word(sector, WORD_VERSIONS, VERSIONS_ATA_6);
	if (d->scsi.kind == SCSI_UNIT_DISK) {
		identify_disk(sector, d->scsi.sectors);
		return;
	}
	put_word(sector, WORD_GENERAL, GENERAL_DVD);
	put_word(sector, WORD_SETS, SET_PACKET);
	put_word(sector, WORD_SETS_2, SET_VALID);
	put_word(sector, WORD_ENABLED, SET_PACKET);
}

static void check(struct ide_channel *ch, struct ide_drive *d, const struct scsi_action *action)
{
	d->sense = *action;
	ide_abort(ch, (uint8_t)(action->key << 4 | IDE_ERROR_ABORTED));
}

void ide_packet_failed(struct ide_channel *ch, struct ide_drive *d, int error)
{
	struct scsi_action action;

	scsi_action_of_errno(SCSI_ACT_READ, error, &action);
	check(ch, d, &action);
}

/* The sense of the last failure goes with its first reading. */
static void send_sense(struct ide_channel *ch, struct ide_drive *d, uint32_t room)
{
	uint8_t sense[SCSI_SENSE_FIXED_BYTES];

	scsi_sense_encode(&d->sense, sense);
	d->sense = (struct scsi_action){0};
	memcpy(ch->buffer, sense, sizeof(sense));
	ide_send(ch, (uint32_t)min_u64(room, sizeof(sense)));
}

static void carry_out(struct ide_channel *ch, struct ide_drive *d, const struct scsi_action *action)
{
	switch (action->kind) {
	case SCSI_ACT_REPLY:
		memcpy(ch->buffer, action->reply, action->reply_len);
		ide_send(ch, action->reply_len);
		break;
	case SCSI_ACT_READ:
		ch->offset = action->offset;
		ch->left = action->len;
		ide_send_medium(ch);
		break;
	case SCSI_ACT_CHECK:
		check(ch, d, action);
		break;
	case SCSI_ACT_LOCK: /* the lock is that of the operating system's driver */
	case SCSI_ACT_EJECT:
	default:
		ide_finish(ch);
		break;
	}
}

void ide_packet(struct ide_channel *ch, struct ide_drive *d)
{
	uint8_t cdb[SCSI_CDB_MAX] = {0};
	struct scsi_action action;

	memcpy(cdb, ch->buffer, IDE_PACKET_BYTES);
	if (cdb[0] == SCSI_REQUEST_SENSE) {
		send_sense(ch, d, cdb[4]);
		return;
	}
	scsi_decode(&d->scsi, cdb, sizeof(cdb), SCSI_TRANSFER_MAX, &action);
	if (action.attention_told)
		d->scsi.attention = SCSI_SENSE_NONE;
	if (action.event_told)
		d->scsi.event = SCSI_MEDIA_NO_EVENT;
	carry_out(ch, d, &action);
}
