/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the parts of the IDE channels share: ide.c (registers, movement of data, ATA commands),
 * ide_packet.c (what drives do by packets, and who units say they are) and ide_state.c (saved
 * states). See ide.h. */
#ifndef OYA_DEVICES_STORAGE_IDE_PRIV_H
#define OYA_DEVICES_STORAGE_IDE_PRIV_H

#include "devices/storage/ide.h"

#define IDE_BUFFER 32768u
#define IDE_SECTOR 512u
#define IDE_PACKET_BYTES 12u
#define IDE_PACKET_LIMIT_MAX 0xFFFEu

#define IDE_STATUS_BUSY 0x80u
#define IDE_STATUS_READY 0x40u
#define IDE_STATUS_SEEK 0x10u
#define IDE_STATUS_DATA 0x08u
#define IDE_STATUS_ERROR 0x01u
#define IDE_ERROR_ABORTED 0x04u
#define IDE_ERROR_NO_SECTOR 0x10u
#define IDE_ERROR_UNREADABLE 0x40u
#define IDE_CONTROL_NO_IRQ 0x02u

/* Indices of registers that a command has; the rest is in ide.c. */
#define IDE_REG_COUNT 2u
#define IDE_REG_LOW 3u
#define IDE_REG_MID 4u
#define IDE_REG_HIGH 5u
#define IDE_REASON_COMMAND 1u /* in the count register, of a packet */
#define IDE_REASON_TO_HOST 2u

struct ide_drive {
	bool used;
	const struct blockdev *medium; /* NULL: a drive without one */
	struct scsi_unit scsi;
	struct scsi_action sense; /* of the packet that failed last */
};

enum ide_phase { IDE_IDLE, IDE_PACKET, IDE_IN, IDE_OUT, IDE_BUSY };

struct ide_channel {
	struct ide *ide;
	unsigned index;
	struct ide_drive drive[2];
	uint8_t reg[8][2]; /* as the guest wrote them last, and before that */
	uint8_t control, status, error;
	bool line;
	enum ide_phase phase;
	bool by_packet, writes;
	uint32_t pos, len, block_end; /* within the buffer */
	uint32_t block_max;           /* bytes that move between two interrupts */
	uint64_t offset, left;        /* on the medium: of what the buffer does not hold yet */
	struct ide_drive *served;     /* of the command: the guest may select another meanwhile */
	struct ide_drive *at;         /* whose medium the operation is at */
	bool dropped;                 /* its answer is */
	struct block_request block;
	struct iovec iov;
	uint8_t buffer[IDE_BUFFER];
};

struct ide {
	struct ide_host host;
	struct ide_channel channel[IDE_CHANNELS];
};

/* The interrupt line, as far as the guest lets it through. */
void ide_set_line(struct ide_channel *ch, bool level);

/* Ends of a command. */
void ide_finish(struct ide_channel *ch);
void ide_abort(struct ide_channel *ch, uint8_t error);

/* Moves len bytes of the buffer to the guest, then what is left on the medium. */
void ide_send(struct ide_channel *ch, uint32_t len);
/* The same from the medium on. */
void ide_send_medium(struct ide_channel *ch);

/* A packet has come, and is in the buffer. */
void ide_packet(struct ide_channel *ch, struct ide_drive *d);
/* The medium of a packet's drive has failed. */
void ide_packet_failed(struct ide_channel *ch, struct ide_drive *d, int error);

/* Fills the buffer with a sector that tells who the unit is. */
void ide_identify(struct ide_channel *ch, const struct ide_drive *d);

#endif
