/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the parts of the SCSI decoder share: scsi.c (dispatch, block commands), scsi_inquiry.c
 * (who the unit is), scsi_mode.c (mode pages), scsi_thin.c (UNMAP, WRITE SAME) and scsi_dvd.c (a
 * drive).
 */
#ifndef OYA_DEVICES_STORAGE_SCSI_PRIV_H
#define OYA_DEVICES_STORAGE_SCSI_PRIV_H

#include "devices/storage/scsi.h"

/* A command whose CDB is as long as its operation code says, the rest zeros. */
struct scsi_command {
	uint8_t cdb[SCSI_CDB_MAX];
	size_t len;
	uint32_t data_len;
};

typedef void scsi_decode_function(const struct scsi_unit *unit, const struct scsi_command *cmd,
				  struct scsi_action *ret_action);

void scsi_check(struct scsi_action *action, enum scsi_sense_key key, enum scsi_sense_code code);
void scsi_check_field(struct scsi_action *action);

/* Zeroes all of an action but the reply, which scsi_reply_begin() does where one is made. */
void scsi_action_init(struct scsi_action *action);

/* Start and length in sectors of a block command; false, and a CHECK, when they are not within
 * the unit. */
bool scsi_decode_extent(const struct scsi_unit *unit, const struct scsi_command *cmd,
			uint64_t *ret_lba, uint32_t *ret_count, struct scsi_action *ret_action);

/* False, and a CHECK, when the command asks for protection information. */
bool scsi_protection_check(const struct scsi_command *cmd, struct scsi_action *ret_action);

/* Begins a reply: the zeroed buffer of SCSI_REPLY_MAX bytes. */
uint8_t *scsi_reply_begin(struct scsi_action *action);

/* Ends it: `made` bytes, cut to the command's allocation length and the guest's buffer. */
void scsi_reply_end(struct scsi_action *action, const struct scsi_command *cmd, uint32_t made,
		    uint32_t allocation);

scsi_decode_function scsi_decode_transfer, scsi_decode_capacity_10, scsi_decode_request_sense,
	scsi_decode_report_luns;

/* A drive's commands: whether there is one, and decoding one that there is. */
bool scsi_dvd_knows(uint8_t opcode);
scsi_decode_function scsi_decode_dvd;

void scsi_decode_inquiry(const struct scsi_unit *unit, const struct scsi_command *cmd,
			 struct scsi_action *ret_action);
void scsi_decode_inquiry_absent(const struct scsi_command *cmd, struct scsi_action *ret_action);
void scsi_decode_unmap(const struct scsi_unit *unit, const struct scsi_command *cmd,
		       struct scsi_action *ret_action);
void scsi_decode_write_same(const struct scsi_unit *unit, const struct scsi_command *cmd,
			    struct scsi_action *ret_action);
void scsi_decode_mode_sense(const struct scsi_unit *unit, const struct scsi_command *cmd,
			    struct scsi_action *ret_action);

#endif
