/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A SCSI unit, a disk or a DVD-ROM drive, as a pure function: a command and the unit's properties
 * give what is to be done; nothing is touched.
 *
 * Called by the controllers (storvsp). Trust: CDB and lengths are the guest's, copied in by the
 * caller; the decoder checks all of them, so that an action can be carried out as it stands.
 *
 * Invariants of a decoded action:
 *  1. READ and WRITE: [offset, offset + len) lies within the unit, both are multiples of the
 *     sector size, 0 < len <= data_len, len <= SCSI_TRANSFER_MAX; never WRITE when read-only;
 *  2. REPLY: reply_len <= data_len and <= SCSI_REPLY_MAX; bytes not set are zero;
 *  3. UNMAP: SCSI_UNMAP_HEADER_BYTES <= len <= data_len, len <= SCSI_UNMAP_LIST_MAX; SAME: offset
 *     and len as of a WRITE but for their limit SCSI_SAME_BYTES_MAX, and data_len holds a sector
 *     unless no_data; neither when read-only;
 *  4. EJECT and LOCK come from a drive only; READ from one with a medium only;
 *  5. the same command and unit always give the same action.
 *
 * Spec: SPC-4, SBC-3; MMC-6 for the drive.
 */
#ifndef OYA_DEVICES_STORAGE_SCSI_H
#define OYA_DEVICES_STORAGE_SCSI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/scsi.h"

#define SCSI_CDB_MAX 16u
#define SCSI_LUNS_MAX 64u                        /* of a target: what Hyper-V allows a controller */
#define SCSI_REPLY_MAX (8u + 8u * SCSI_LUNS_MAX) /* the longest: REPORT LUNS */
#define SCSI_TRANSFER_MAX (8u << 20)
#define SCSI_UNMAP_RANGES_MAX 64u       /* of one command */
#define SCSI_UNMAP_BYTES_MAX (1u << 30) /* their sum */
#define SCSI_SAME_BYTES_MAX (64u << 20) /* of one WRITE SAME */
#define SCSI_UNMAP_LIST_MAX \
	(SCSI_UNMAP_HEADER_BYTES + SCSI_UNMAP_RANGES_MAX * SCSI_UNMAP_DESCRIPTOR_BYTES)

#define SCSI_DVD_SECTOR_BYTES 2048u

#define SCSI_VENDOR_LEN 8u
#define SCSI_PRODUCT_LEN 16u
#define SCSI_REVISION_LEN 4u
#define SCSI_SERIAL_LEN 64u

/* Who a unit says it is: printable ASCII, NUL-terminated. The guest's persistent names are made
 * of vendor, product and serial, so they never change in the life of a disk. */
struct scsi_identity {
	char vendor[SCSI_VENDOR_LEN + 1];
	char product[SCSI_PRODUCT_LEN + 1];
	char revision[SCSI_REVISION_LEN + 1];
	char serial[SCSI_SERIAL_LEN + 1];
};

enum scsi_unit_kind { SCSI_UNIT_DISK, SCSI_UNIT_DVD };

struct scsi_unit {
	struct scsi_identity identity;
	enum scsi_unit_kind kind;
	uint64_t sectors;               /* at least 1; of a drive without a medium 0 */
	uint32_t sector_bytes;          /* 512 or 4096; of a drive 2048 */
	uint32_t physical_sector_bytes; /* a power of two, at least sector_bytes */
	bool read_only;
	uint32_t discard_bytes; /* granularity of UNMAP; 0: the unit is not thin */
	const uint64_t *luns;   /* of the target: bit n is set when LUN n is there */
	/* Of a drive: */
	bool locked;                    /* the guest has forbidden to take the medium out */
	enum scsi_sense_code attention; /* what the next command is told, or NONE */
	enum scsi_media_event event;    /* what the guest has not asked for yet */
};

enum scsi_action_kind {
	SCSI_ACT_DONE,  /* good status, no data */
	SCSI_ACT_REPLY, /* good status, reply_len bytes for the guest */
	SCSI_ACT_READ,
	SCSI_ACT_WRITE,
	SCSI_ACT_FLUSH,
	SCSI_ACT_UNMAP, /* len bytes of the guest's are for scsi_unmap_decode() */
	SCSI_ACT_SAME,  /* one sector of the guest's, for all of the extent */
	SCSI_ACT_EJECT, /* good status; the medium goes */
	SCSI_ACT_LOCK,  /* good status; the unit is locked, or not: lock */
	SCSI_ACT_CHECK, /* check condition: key and code */
};

struct scsi_action {
	enum scsi_action_kind kind;
	bool fua;       /* write: stable before good status; read: flush before it */
	bool truncated; /* read: the command asks for more than the guest's buffer holds */
	bool unmap;     /* same: the extent may be discarded if its sector is zeros */
	bool no_data;   /* same: zeros, the guest has sent no sector */
	bool lock;
	bool attention_told, event_told; /* the guest knows it now: it is to be forgotten */
	uint64_t offset;                 /* bytes */
	uint32_t len;                    /* bytes */
	enum scsi_sense_key key;
	enum scsi_sense_code code;
	uint32_t reply_len;
	uint8_t reply[SCSI_REPLY_MAX]; /* valid up to reply_len */
};

/* Decodes a command for a unit. cdb holds cdb_len bytes, of which 16 are looked at; data_len is
 * the size of the guest's data buffer. */
void scsi_decode(const struct scsi_unit *unit, const uint8_t *cdb, size_t cdb_len,
		 uint32_t data_len, struct scsi_action *ret_action);

/* The same for an address where no unit is; luns: those of the target that was addressed. */
void scsi_decode_absent(uint64_t luns, const uint8_t *cdb, size_t cdb_len, uint32_t data_len,
			struct scsi_action *ret_action);

struct scsi_range {
	uint64_t offset, len; /* bytes */
};

/* Decodes an UNMAP's parameter list, of the length that its action tells. Gives the ranges to be
 * discarded, none of them empty, all within the unit, their sum at most SCSI_UNMAP_BYTES_MAX; or
 * no range, and *ret_action a CHECK. ret_action is DONE or CHECK. */
unsigned scsi_unmap_decode(const struct scsi_unit *unit, const uint8_t *list, uint32_t len,
			   struct scsi_range ret_ranges[SCSI_UNMAP_RANGES_MAX],
			   struct scsi_action *ret_action);

/* Sense of a back end's -errno for a read, write or flush (kind). */
void scsi_action_of_errno(enum scsi_action_kind kind, int error, struct scsi_action *ret_action);

/* Writes fixed-format sense. */
void scsi_sense_encode(const struct scsi_action *action, uint8_t sense[SCSI_SENSE_FIXED_BYTES]);

/* 0 when each string is terminated, printable ASCII, and there is a serial; else -EINVAL. */
int scsi_identity_check(const struct scsi_identity *identity);

#endif
