/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * MODE SENSE: the caching page (there is a write cache: guests must flush) and the control page
 * of a disk, the capabilities of a drive.
 * Nothing can be changed, so MODE SELECT does not exist. Part of the pure decoder (scsi.h).
 *
 * Spec: SPC-4 6.13, 7.5; SBC-3 6.5.
 */
#include <string.h>

#include "base/bytes.h"
#include "base/util.h"
#include "devices/storage/scsi_priv.h"

#define CACHING_BYTES 20u
#define CACHING_WRITE_CACHE 0x04u
#define CONTROL_BYTES 12u
#define CONTROL_NO_SAVED_LOG 0x02u       /* log parameters are not saved */
#define CONTROL_UNRESTRICTED_ORDER 0x10u /* the guest orders its commands itself */

#define CAPABILITIES_BYTES 22u
#define CAPABILITIES_READS 0x0Bu /* CD-R, CD-RW, DVD-ROM */
#define CAPABILITIES_KB_S 11080u /* DVD at eight times its speed */
#define CAPABILITIES_BUFFER_KB 512u

#define SUBPAGE_ALL 0xFFu

enum page_control {
	PAGE_CURRENT,
	PAGE_CHANGEABLE,
	PAGE_DEFAULT,
	PAGE_SAVED,
};

/* Each page is put with its header; of changeable values all bits are clear. */
static uint32_t put_caching(uint8_t *at, enum page_control control)
{
	at[0] = SCSI_MODE_CACHING;
	at[1] = CACHING_BYTES - 2;
	if (control != PAGE_CHANGEABLE)
		at[2] = CACHING_WRITE_CACHE;
	return CACHING_BYTES;
}

static uint32_t put_control(uint8_t *at, enum page_control control)
{
	at[0] = SCSI_MODE_CONTROL;
	at[1] = CONTROL_BYTES - 2;
	if (control != PAGE_CHANGEABLE) {
		at[2] = CONTROL_NO_SAVED_LOG;
		at[3] = CONTROL_UNRESTRICTED_ORDER;
	}
	return CONTROL_BYTES;
}

static uint32_t put_capabilities(uint8_t *at, enum page_control control)
{
	at[0] = SCSI_MODE_CAPABILITIES;
	at[1] = CAPABILITIES_BYTES - 2;
	if (control == PAGE_CHANGEABLE)
		return CAPABILITIES_BYTES;
	at[2] = CAPABILITIES_READS;
	at[6] = SCSI_TRAY | SCSI_CAN_EJECT | SCSI_CAN_LOCK;
	be16_store(at + 8, CAPABILITIES_KB_S);
	be16_store(at + 12, CAPABILITIES_BUFFER_KB);
	be16_store(at + 14, CAPABILITIES_KB_S);
	return CAPABILITIES_BYTES;
}

/* Length of the pages; 0 when there is no such page. */
static uint32_t put_pages(const struct scsi_unit *unit, uint8_t *at, uint8_t page,
			  enum page_control control)
{
	uint32_t len = 0;

	if (unit->kind == SCSI_UNIT_DVD) {
		bool wanted = page == SCSI_MODE_CAPABILITIES || page == SCSI_MODE_ALL;

		return wanted ? put_capabilities(at, control) : 0;
	}
	if (page == SCSI_MODE_CACHING || page == SCSI_MODE_ALL)
		len += put_caching(at + len, control);
	if (page == SCSI_MODE_CONTROL || page == SCSI_MODE_ALL)
		len += put_control(at + len, control);
	return len;
}

void scsi_decode_mode_sense(const struct scsi_unit *unit, const struct scsi_command *cmd,
			    struct scsi_action *ret_action)
{
	bool ten = cmd->cdb[0] == SCSI_MODE_SENSE_10;
	uint32_t header = ten ? 8 : 4;
	uint32_t allocation = ten ? be16_load(cmd->cdb + 7) : cmd->cdb[4];
	enum page_control control = cmd->cdb[2] >> 6;
	uint8_t page = cmd->cdb[2] & 0x3F;
	uint8_t subpage = cmd->cdb[3];
	bool disk = unit->kind == SCSI_UNIT_DISK;
	uint8_t specific = disk ? SCSI_MODE_DPOFUA : 0;
	uint8_t *reply = scsi_reply_begin(ret_action);
	uint32_t len;

	if (control == PAGE_SAVED) {
		scsi_check(ret_action, SCSI_KEY_ILLEGAL_REQUEST, SCSI_SENSE_SAVING_NOT_SUPPORTED);
		return;
	}
	len = put_pages(unit, reply + header, page, control);
	if (len == 0 || (subpage != 0 && subpage != SUBPAGE_ALL)) {
		scsi_check_field(ret_action);
		return;
	}
	if (disk && unit->read_only)
		specific |= SCSI_MODE_WRITE_PROTECT;
	len += header;
	if (ten) {
		be16_store(reply, (uint16_t)(len - 2));
		reply[3] = specific;
	} else {
		reply[0] = (uint8_t)(len - 1);
		reply[2] = specific;
	}
	scsi_reply_end(ret_action, cmd, len, allocation);
}
