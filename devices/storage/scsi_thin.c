/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * UNMAP and WRITE SAME: how guests give space back and zero it. Part of the pure decoder (scsi.h).
 *
 * UNMAP is a hint: a unit that has turned out not to be thin takes it as well, and nothing comes
 * of it, since the guest may have learnt of UNMAP before.
 *
 * Spec: SBC-3 5.28 (UNMAP), 5.43 and 5.44 (WRITE SAME).
 */
#include "base/bytes.h"
#include "base/util.h"
#include "devices/storage/scsi_priv.h"

static bool writable(const struct scsi_unit *unit, struct scsi_action *ret_action)
{
	if (unit->read_only)
		scsi_check(ret_action, SCSI_KEY_DATA_PROTECT, SCSI_SENSE_WRITE_PROTECTED);
	return !unit->read_only;
}

void scsi_decode_unmap(const struct scsi_unit *unit, const struct scsi_command *cmd,
		       struct scsi_action *ret_action)
{
	uint32_t len = be16_load(cmd->cdb + 7);

	if (cmd->cdb[1] & SCSI_UNMAP_ANCHOR) {
		scsi_check_field(ret_action);
	} else if (!writable(unit, ret_action)) {
		return;
	} else if (len == 0) {
		ret_action->kind = SCSI_ACT_DONE;
	} else if (len < SCSI_UNMAP_HEADER_BYTES || len > SCSI_UNMAP_LIST_MAX) {
		scsi_check(ret_action, SCSI_KEY_ILLEGAL_REQUEST, SCSI_SENSE_PARAMETER_LIST_LENGTH);
	} else if (len > cmd->data_len) {
		scsi_check_field(ret_action);
	} else {
		ret_action->kind = SCSI_ACT_UNMAP;
		ret_action->len = len;
	}
}

void scsi_decode_write_same(const struct scsi_unit *unit, const struct scsi_command *cmd,
			    struct scsi_action *ret_action)
{
	bool no_data = cmd->cdb[0] == SCSI_WRITE_SAME_16 && cmd->cdb[1] & SCSI_SAME_NO_DATA;
	uint8_t refused = SCSI_SAME_ANCHOR | SCSI_SAME_LBDATA;
	uint64_t lba, bytes;
	uint32_t count;

	if (cmd->cdb[0] == SCSI_WRITE_SAME_10)
		refused |= SCSI_SAME_NO_DATA;
	if (!scsi_protection_check(cmd, ret_action))
		return;
	if (cmd->cdb[1] & refused) {
		scsi_check_field(ret_action);
		return;
	}
	if (!scsi_decode_extent(unit, cmd, &lba, &count, ret_action) || !writable(unit, ret_action))
		return;
	bytes = (uint64_t)count * unit->sector_bytes;
	if (bytes == 0 || bytes > SCSI_SAME_BYTES_MAX ||
	    (!no_data && cmd->data_len < unit->sector_bytes)) {
		scsi_check_field(ret_action);
		return;
	}
	ret_action->kind = SCSI_ACT_SAME;
	ret_action->unmap = (cmd->cdb[1] & SCSI_SAME_UNMAP) != 0;
	ret_action->no_data = no_data;
	ret_action->offset = lba * unit->sector_bytes;
	ret_action->len = (uint32_t)bytes;
}

static unsigned refuse_list(struct scsi_action *ret_action, enum scsi_sense_code code)
{
	scsi_check(ret_action, SCSI_KEY_ILLEGAL_REQUEST, code);
	return 0;
}

unsigned scsi_unmap_decode(const struct scsi_unit *unit, const uint8_t *list, uint32_t len,
			   struct scsi_range ret_ranges[SCSI_UNMAP_RANGES_MAX],
			   struct scsi_action *ret_action)
{
	uint32_t descriptors;
	uint64_t sum = 0;
	unsigned made = 0;

	scsi_action_init(ret_action);
	if (len < SCSI_UNMAP_HEADER_BYTES)
		return refuse_list(ret_action, SCSI_SENSE_PARAMETER_LIST_LENGTH);
	descriptors = be16_load(list + 2);
	/* The length of all that follows it is known from the command; drivers disagree on it. */
	if (descriptors > len - SCSI_UNMAP_HEADER_BYTES)
		return refuse_list(ret_action, SCSI_SENSE_PARAMETER_LIST_LENGTH);
	descriptors /= SCSI_UNMAP_DESCRIPTOR_BYTES; /* an incomplete one is to be ignored */
	if (descriptors > SCSI_UNMAP_RANGES_MAX)
		return refuse_list(ret_action, SCSI_SENSE_INVALID_FIELD_IN_PARAMETERS);
	for (uint32_t i = 0; i < descriptors; i++) {
		const uint8_t *d = list + SCSI_UNMAP_HEADER_BYTES + i * SCSI_UNMAP_DESCRIPTOR_BYTES;
		uint64_t lba = be64_load(d);
		uint32_t count = be32_load(d + 8);

		if (!range_within(lba, count, unit->sectors))
			return refuse_list(ret_action, SCSI_SENSE_LBA_OUT_OF_RANGE);
		sum += (uint64_t)count * unit->sector_bytes; /* at most 64 times 2^44 */
		if (sum > SCSI_UNMAP_BYTES_MAX)
			return refuse_list(ret_action, SCSI_SENSE_INVALID_FIELD_IN_PARAMETERS);
		if (count == 0)
			continue;
		ret_ranges[made++] = (struct scsi_range){
			.offset = lba * unit->sector_bytes,
			.len = (uint64_t)count * unit->sector_bytes,
		};
	}
	ret_action->kind = SCSI_ACT_DONE;
	return made;
}
