/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "devices/storage/scsi.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/util.h"
#include "devices/storage/scsi_priv.h"

#define CDB_CONTROL_NACA 0x04u
#define CDB_FUA 0x08u
#define CDB_BYTE_CHECK 0x06u
#define CDB_PROTECT_SHIFT 5

#define REPORT_LUNS_ALLOCATION_MIN 16u
#define REPORT_LUNS_HEADER 8u

void scsi_check(struct scsi_action *action, enum scsi_sense_key key, enum scsi_sense_code code)
{
	action->kind = SCSI_ACT_CHECK;
	action->key = key;
	action->code = code;
}

void scsi_check_field(struct scsi_action *action)
{
	scsi_check(action, SCSI_KEY_ILLEGAL_REQUEST, SCSI_SENSE_INVALID_FIELD_IN_CDB);
}

uint8_t *scsi_reply_begin(struct scsi_action *action)
{
	memset(action->reply, 0, sizeof(action->reply));
	return action->reply;
}

void scsi_reply_end(struct scsi_action *action, const struct scsi_command *cmd, uint32_t made,
		    uint32_t allocation)
{
	action->kind = SCSI_ACT_REPLY;
	action->reply_len = min_u32(min_u32(made, allocation), cmd->data_len);
}

/* Bytes of a CDB, by the group of its operation code; 0 for groups that no command here is in. */
static size_t cdb_bytes(uint8_t opcode)
{
	static const uint8_t bytes[8] = {6, 10, 10, 0, 16, 12, 0, 0};

	return bytes[opcode >> 5];
}

/* Start and length in sectors of the block commands. */
static void decode_extent(const struct scsi_command *cmd, uint64_t *ret_lba, uint32_t *ret_count)
{
	const uint8_t *c = cmd->cdb;

	switch (cmd->len) {
	case 6:
		*ret_lba = be32_load(c) & 0x1FFFFF;
		*ret_count = c[4] ? c[4] : 256;
		break;
	case 10:
		*ret_lba = be32_load(c + 2);
		*ret_count = be16_load(c + 7);
		break;
	case 12:
		*ret_lba = be32_load(c + 2);
		*ret_count = be32_load(c + 6);
		break;
	default:
		*ret_lba = be64_load(c + 2);
		*ret_count = be32_load(c + 10);
		break;
	}
}

bool scsi_decode_extent(const struct scsi_unit *unit, const struct scsi_command *cmd,
			uint64_t *ret_lba, uint32_t *ret_count, struct scsi_action *ret_action)
{
	decode_extent(cmd, ret_lba, ret_count);
	if (range_within(*ret_lba, *ret_count, unit->sectors))
		return true;
	scsi_check(ret_action, SCSI_KEY_ILLEGAL_REQUEST, SCSI_SENSE_LBA_OUT_OF_RANGE);
	return false;
}

/* No unit here is formatted with protection information, so none may be asked for. */
bool scsi_protection_check(const struct scsi_command *cmd, struct scsi_action *action)
{
	if (cmd->cdb[1] >> CDB_PROTECT_SHIFT == 0)
		return true;
	scsi_check_field(action);
	return false;
}

static bool is_write(uint8_t opcode)
{
	return opcode == SCSI_WRITE_6 || opcode == SCSI_WRITE_10 || opcode == SCSI_WRITE_12 ||
	       opcode == SCSI_WRITE_16;
}

void scsi_decode_transfer(const struct scsi_unit *unit, const struct scsi_command *cmd,
			  struct scsi_action *ret_action)
{
	bool write = is_write(cmd->cdb[0]);
	uint64_t lba, bytes;
	uint32_t count;

	/* In a 6-byte CDB the bits of protection and FUA are reserved or part of the address. */
	if (cmd->len > 6) {
		if (!scsi_protection_check(cmd, ret_action))
			return;
		ret_action->fua = (cmd->cdb[1] & CDB_FUA) != 0;
	}
	if (!scsi_decode_extent(unit, cmd, &lba, &count, ret_action))
		return;
	if (write && unit->read_only) {
		scsi_check(ret_action, SCSI_KEY_DATA_PROTECT, SCSI_SENSE_WRITE_PROTECTED);
		return;
	}
	bytes = (uint64_t)count * unit->sector_bytes;
	if (bytes > SCSI_TRANSFER_MAX || (write && bytes > cmd->data_len)) {
		/* Half a write would leave the guest in doubt about what is on the disk. */
		scsi_check_field(ret_action);
		return;
	}
	if (bytes > cmd->data_len) {
		ret_action->truncated = true;
		bytes = cmd->data_len & ~(uint64_t)(unit->sector_bytes - 1);
	}
	if (bytes == 0) {
		ret_action->kind = SCSI_ACT_DONE;
		return;
	}
	ret_action->kind = write ? SCSI_ACT_WRITE : SCSI_ACT_READ;
	ret_action->offset = lba * unit->sector_bytes;
	ret_action->len = (uint32_t)bytes;
}

static void decode_verify(const struct scsi_unit *unit, const struct scsi_command *cmd,
			  struct scsi_action *ret_action)
{
	uint64_t lba;
	uint32_t count;

	if (!scsi_protection_check(cmd, ret_action))
		return;
	if (cmd->cdb[1] & CDB_BYTE_CHECK) {
		scsi_check_field(ret_action);
		return;
	}
	if (scsi_decode_extent(unit, cmd, &lba, &count, ret_action))
		ret_action->kind = SCSI_ACT_DONE;
}

static void decode_synchronize(const struct scsi_unit *unit, const struct scsi_command *cmd,
			       struct scsi_action *ret_action)
{
	uint64_t lba;
	uint32_t count;

	if (scsi_decode_extent(unit, cmd, &lba, &count, ret_action))
		ret_action->kind = SCSI_ACT_FLUSH;
}

static void decode_nothing(const struct scsi_unit *unit, const struct scsi_command *cmd,
			   struct scsi_action *ret_action)
{
	(void)unit;
	(void)cmd;
	ret_action->kind = SCSI_ACT_DONE;
}

/* Sense always goes out with the status, so none is ever kept for this command. */
void scsi_decode_request_sense(const struct scsi_unit *unit, const struct scsi_command *cmd,
			       struct scsi_action *ret_action)
{
	uint8_t *sense = scsi_reply_begin(ret_action);
	uint32_t made = SCSI_SENSE_FIXED_BYTES;

	(void)unit;
	if (cmd->cdb[1] & 1) {
		made = SCSI_SENSE_DESCRIPTOR_BYTES;
		sense[0] = SCSI_SENSE_DESCRIPTOR;
	} else {
		struct scsi_action none = {.key = SCSI_KEY_NO_SENSE, .code = SCSI_SENSE_NONE};

		scsi_sense_encode(&none, sense);
	}
	scsi_reply_end(ret_action, cmd, made, cmd->cdb[4]);
}

void scsi_decode_capacity_10(const struct scsi_unit *unit, const struct scsi_command *cmd,
			     struct scsi_action *ret_action)
{
	uint8_t *reply = scsi_reply_begin(ret_action);

	be32_store(reply, (uint32_t)min_u64(unit->sectors - 1, UINT32_MAX));
	be32_store(reply + 4, unit->sector_bytes);
	scsi_reply_end(ret_action, cmd, 8, 8);
}

static void decode_service_action_in(const struct scsi_unit *unit, const struct scsi_command *cmd,
				     struct scsi_action *ret_action)
{
	uint32_t ratio = unit->physical_sector_bytes / unit->sector_bytes;
	uint8_t *reply;

	if ((cmd->cdb[1] & 0x1F) != SCSI_ACTION_READ_CAPACITY_16) {
		scsi_check_field(ret_action);
		return;
	}
	reply = scsi_reply_begin(ret_action);
	be64_store(reply, unit->sectors - 1);
	be32_store(reply + 8, unit->sector_bytes);
	reply[13] = (uint8_t)(__builtin_ctz(ratio) & 0xF);
	if (unit->discard_bytes)
		reply[14] = SCSI_CAPACITY_LBPME | SCSI_CAPACITY_LBPRZ;
	scsi_reply_end(ret_action, cmd, 32, be32_load(cmd->cdb + 10));
}

static void report_luns(uint64_t luns, const struct scsi_command *cmd,
			struct scsi_action *ret_action)
{
	uint32_t allocation = be32_load(cmd->cdb + 6);
	uint8_t select = cmd->cdb[2];
	uint32_t made = REPORT_LUNS_HEADER;
	uint8_t *reply;

	if (select > 2 || allocation < REPORT_LUNS_ALLOCATION_MIN) {
		scsi_check_field(ret_action);
		return;
	}
	if (select == 1) /* well-known units only: there are none */
		luns = 0;
	reply = scsi_reply_begin(ret_action);
	for (unsigned lun = 0; lun < SCSI_LUNS_MAX; lun++) {
		if (!(luns >> lun & 1))
			continue;
		reply[made + 1] = (uint8_t)lun;
		made += 8;
	}
	be32_store(reply, made - REPORT_LUNS_HEADER);
	scsi_reply_end(ret_action, cmd, made, allocation);
}

void scsi_decode_report_luns(const struct scsi_unit *unit, const struct scsi_command *cmd,
			     struct scsi_action *ret_action)
{
	report_luns(*unit->luns, cmd, ret_action);
}

static scsi_decode_function *find_decoder(uint8_t opcode)
{
	static const struct {
		uint8_t opcode;
		scsi_decode_function *decode;
	} table[] = {
		{SCSI_READ_10, scsi_decode_transfer},
		{SCSI_WRITE_10, scsi_decode_transfer},
		{SCSI_READ_16, scsi_decode_transfer},
		{SCSI_WRITE_16, scsi_decode_transfer},
		{SCSI_SYNCHRONIZE_CACHE_10, decode_synchronize},
		{SCSI_SYNCHRONIZE_CACHE_16, decode_synchronize},
		{SCSI_UNMAP, scsi_decode_unmap},
		{SCSI_WRITE_SAME_10, scsi_decode_write_same},
		{SCSI_WRITE_SAME_16, scsi_decode_write_same},
		{SCSI_READ_6, scsi_decode_transfer},
		{SCSI_WRITE_6, scsi_decode_transfer},
		{SCSI_READ_12, scsi_decode_transfer},
		{SCSI_WRITE_12, scsi_decode_transfer},
		{SCSI_TEST_UNIT_READY, decode_nothing},
		{SCSI_INQUIRY, scsi_decode_inquiry},
		{SCSI_READ_CAPACITY_10, scsi_decode_capacity_10},
		{SCSI_SERVICE_ACTION_IN_16, decode_service_action_in},
		{SCSI_MODE_SENSE_6, scsi_decode_mode_sense},
		{SCSI_MODE_SENSE_10, scsi_decode_mode_sense},
		{SCSI_VERIFY_10, decode_verify},
		{SCSI_VERIFY_16, decode_verify},
		{SCSI_REQUEST_SENSE, scsi_decode_request_sense},
		{SCSI_REPORT_LUNS, scsi_decode_report_luns},
		{SCSI_START_STOP_UNIT, decode_nothing},
		{SCSI_PREVENT_ALLOW_REMOVAL, decode_nothing},
	};

	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		if (table[i].opcode == opcode)
			return table[i].decode;
	return NULL;
}

static scsi_decode_function *decoder_of(const struct scsi_unit *unit, uint8_t opcode)
{
	if (unit->kind == SCSI_UNIT_DVD)
		return scsi_dvd_knows(opcode) ? scsi_decode_dvd : NULL;
	return find_decoder(opcode);
}

void scsi_action_init(struct scsi_action *action)
{
	memset(action, 0, offsetof(struct scsi_action, reply));
}

/* Copies the part of the CDB that its operation code defines; false when it is not all there or
 * wants an auto-contingent allegiance, which no unit here offers. */
static bool command_init(struct scsi_command *cmd, const uint8_t *cdb, size_t cdb_len,
			 uint32_t data_len)
{
	*cmd = (struct scsi_command){.len = cdb_bytes(cdb[0]), .data_len = data_len};
	if (cmd->len == 0 || cmd->len > cdb_len)
		return false;
	memcpy(cmd->cdb, cdb, cmd->len);
	return (cmd->cdb[cmd->len - 1] & CDB_CONTROL_NACA) == 0;
}

void scsi_decode(const struct scsi_unit *unit, const uint8_t *cdb, size_t cdb_len,
		 uint32_t data_len, struct scsi_action *ret_action)
{
	scsi_decode_function *decode = cdb_len ? decoder_of(unit, cdb[0]) : NULL;
	struct scsi_command cmd;

	scsi_action_init(ret_action);
	if (!decode)
		scsi_check(ret_action, SCSI_KEY_ILLEGAL_REQUEST, SCSI_SENSE_INVALID_OPCODE);
	else if (!command_init(&cmd, cdb, cdb_len, data_len))
		scsi_check_field(ret_action);
	else
		decode(unit, &cmd, ret_action);
}

void scsi_decode_absent(uint64_t luns, const uint8_t *cdb, size_t cdb_len, uint32_t data_len,
			struct scsi_action *ret_action)
{
	uint8_t opcode = cdb_len ? cdb[0] : SCSI_TEST_UNIT_READY;
	struct scsi_command cmd;

	scsi_action_init(ret_action);
	if (opcode != SCSI_INQUIRY && opcode != SCSI_REPORT_LUNS)
		scsi_check(ret_action, SCSI_KEY_ILLEGAL_REQUEST, SCSI_SENSE_UNIT_NOT_SUPPORTED);
	else if (!command_init(&cmd, cdb, cdb_len, data_len))
		scsi_check_field(ret_action);
	else if (opcode == SCSI_INQUIRY)
		scsi_decode_inquiry_absent(&cmd, ret_action);
	else
		report_luns(luns, &cmd, ret_action);
}

void scsi_action_of_errno(enum scsi_action_kind kind, int error, struct scsi_action *ret_action)
{
	scsi_action_init(ret_action);
	switch (error) {
	case -EIO:
		scsi_check(ret_action, SCSI_KEY_MEDIUM_ERROR,
			   kind == SCSI_ACT_READ ? SCSI_SENSE_UNRECOVERED_READ
						 : SCSI_SENSE_WRITE_ERROR);
		break;
	case -EROFS:
	case -EPERM:
		scsi_check(ret_action, SCSI_KEY_DATA_PROTECT, SCSI_SENSE_WRITE_PROTECTED);
		break;
	case -ENOSPC:
	case -EDQUOT:
		scsi_check(ret_action, SCSI_KEY_DATA_PROTECT, SCSI_SENSE_SPACE_ALLOCATION_FAILED);
		break;
	case -ERANGE:
		scsi_check(ret_action, SCSI_KEY_ILLEGAL_REQUEST, SCSI_SENSE_LBA_OUT_OF_RANGE);
		break;
	default:
		scsi_check(ret_action, SCSI_KEY_HARDWARE_ERROR, SCSI_SENSE_INTERNAL_FAILURE);
		break;
	}
}

void scsi_sense_encode(const struct scsi_action *action, uint8_t sense[SCSI_SENSE_FIXED_BYTES])
{
	memset(sense, 0, SCSI_SENSE_FIXED_BYTES);
	sense[0] = SCSI_SENSE_FIXED;
	sense[2] = (uint8_t)action->key;
	sense[7] = SCSI_SENSE_FIXED_BYTES - 8;
	be16_store(sense + 12, (uint16_t)action->code);
}
