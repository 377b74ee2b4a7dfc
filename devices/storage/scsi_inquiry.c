/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * INQUIRY: who a unit is, and its vital product data. Part of the pure decoder (scsi.h).
 *
 * Invariant: what is derived from the identity (page 83) is the same for ever, since guests name
 * disks by it; the formula is never changed.
 *
 * Spec: SPC-4 6.6 and 7.8, SBC-3 6.6.
 */
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/util.h"
#include "devices/storage/scsi_priv.h"

#define INQUIRY_EVPD 0x01u
#define INQUIRY_BYTES 74u /* up to the version descriptors */
#define INQUIRY_SHORT_BYTES 36u
#define VPD_HEADER 4u
#define VPD_BLOCK_BYTES 60u /* body of pages B0 and B1 */

#define DESIGNATOR_BINARY 1u
#define DESIGNATOR_ASCII 2u
#define DESIGNATOR_T10 1u
#define DESIGNATOR_NAA 3u
#define NAA_LOCAL (UINT64_C(3) << 60)

#define STANDARD_SAM5 0x00A0u
#define STANDARD_SPC4 0x0460u
#define STANDARD_SBC3 0x04C0u
#define STANDARD_MMC6 0x04E0u

static const uint8_t vpd_pages[] = {SCSI_VPD_SUPPORTED,
				    SCSI_VPD_SERIAL,
				    SCSI_VPD_IDENTIFICATION,
				    SCSI_VPD_BLOCK_LIMITS,
				    SCSI_VPD_BLOCK_CHARACTERISTICS,
				    SCSI_VPD_PROVISIONING};
#define VPD_PAGES_OF_DVD 3u /* the first ones: the others are of block devices */

/* Puts text into a field of len bytes, filled up with spaces. */
static void put_text(uint8_t *field, size_t len, const char *text)
{
	size_t n = strnlen(text, len);

	memset(field, ' ', len);
	memcpy(field, text, n);
}

static bool text_ok(const char *text, size_t size)
{
	size_t len = strnlen(text, size);

	if (len == size)
		return false;
	for (size_t i = 0; i < len; i++)
		if (text[i] < ' ' || text[i] > '~')
			return false;
	return true;
}

int scsi_identity_check(const struct scsi_identity *id)
{
	if (!text_ok(id->vendor, sizeof(id->vendor)) || !text_ok(id->product, sizeof(id->product)))
		return -EINVAL;
	if (!text_ok(id->revision, sizeof(id->revision)) ||
	    !text_ok(id->serial, sizeof(id->serial)))
		return -EINVAL;
	return id->serial[0] ? 0 : -EINVAL;
}

static uint64_t hash_text(uint64_t hash, const char *text, size_t max)
{
	size_t len = strnlen(text, max);

	/* FNV-1a; a zero byte parts one text from the next. */
	for (size_t i = 0; i <= len; i++) {
		hash ^= i < len ? (uint8_t)text[i] : 0;
		hash *= UINT64_C(0x100000001B3);
	}
	return hash;
}

/* A name of 60 bits in the NAA's locally assigned form. */
static uint64_t naa_of(const struct scsi_identity *id)
{
	uint64_t hash = UINT64_C(0xCBF29CE484222325);

	hash = hash_text(hash, id->vendor, SCSI_VENDOR_LEN);
	hash = hash_text(hash, id->product, SCSI_PRODUCT_LEN);
	hash = hash_text(hash, id->serial, SCSI_SERIAL_LEN);
	/* The low bits of FNV mix poorly into the high ones that the NAA nibble displaces. */
	hash ^= hash >> 33;
	hash *= UINT64_C(0xFF51AFD7ED558CCD);
	hash ^= hash >> 33;
	return NAA_LOCAL | (hash & ((UINT64_C(1) << 60) - 1));
}

static uint32_t make_standard(const struct scsi_unit *unit, uint8_t *reply)
{
	if (unit->kind == SCSI_UNIT_DVD)
		reply[1] = SCSI_INQUIRY_REMOVABLE;
	reply[2] = SCSI_INQUIRY_SPC4;
	reply[3] = SCSI_INQUIRY_FORMAT | SCSI_INQUIRY_HISUP;
	reply[4] = INQUIRY_BYTES - 5;
	reply[7] = SCSI_INQUIRY_CMDQUE;
	put_text(reply + 8, SCSI_VENDOR_LEN, unit->identity.vendor);
	put_text(reply + 16, SCSI_PRODUCT_LEN, unit->identity.product);
	put_text(reply + 32, SCSI_REVISION_LEN, unit->identity.revision);
	be16_store(reply + 58, STANDARD_SAM5);
	be16_store(reply + 60, STANDARD_SPC4);
	be16_store(reply + 62, unit->kind == SCSI_UNIT_DVD ? STANDARD_MMC6 : STANDARD_SBC3);
	return INQUIRY_BYTES;
}

/* Page 83: body of two designators, both of the unit itself. */
static uint32_t make_identification(const struct scsi_identity *id, uint8_t *body)
{
	size_t serial_len = strnlen(id->serial, SCSI_SERIAL_LEN);
	uint8_t *t10 = body + 12;

	body[0] = DESIGNATOR_BINARY;
	body[1] = DESIGNATOR_NAA;
	body[3] = 8;
	be64_store(body + 4, naa_of(id));
	t10[0] = DESIGNATOR_ASCII;
	t10[1] = DESIGNATOR_T10;
	t10[3] = (uint8_t)(SCSI_VENDOR_LEN + SCSI_PRODUCT_LEN + serial_len);
	put_text(t10 + 4, SCSI_VENDOR_LEN, id->vendor);
	put_text(t10 + 12, SCSI_PRODUCT_LEN, id->product);
	memcpy(t10 + 28, id->serial, serial_len);
	return 12 + 4 + t10[3];
}

static uint32_t make_block_limits(const struct scsi_unit *unit, uint8_t *body)
{
	be16_store(body + 2, (uint16_t)(unit->physical_sector_bytes / unit->sector_bytes));
	be32_store(body + 4, SCSI_TRANSFER_MAX / unit->sector_bytes);
	body[0] = SCSI_LIMITS_WSNZ;
	be64_store(body + 32, SCSI_SAME_BYTES_MAX / unit->sector_bytes);
	if (unit->discard_bytes) {
		be32_store(body + 16, SCSI_UNMAP_BYTES_MAX / unit->sector_bytes);
		be32_store(body + 20, SCSI_UNMAP_RANGES_MAX);
		be32_store(body + 24, unit->discard_bytes / unit->sector_bytes);
	}
	return VPD_BLOCK_BYTES;
}

/* Body of a vital product data page; false when there is no such page. */
static bool make_vpd(const struct scsi_unit *unit, uint8_t page, uint8_t *body, uint32_t *ret_len)
{
	uint32_t pages = unit->kind == SCSI_UNIT_DVD ? VPD_PAGES_OF_DVD : sizeof(vpd_pages);

	if (!memchr(vpd_pages, page, pages))
		return false;
	switch (page) {
	case SCSI_VPD_SUPPORTED:
		memcpy(body, vpd_pages, pages);
		*ret_len = pages;
		return true;
	case SCSI_VPD_SERIAL:
		*ret_len = (uint32_t)strnlen(unit->identity.serial, SCSI_SERIAL_LEN);
		memcpy(body, unit->identity.serial, *ret_len);
		return true;
	case SCSI_VPD_IDENTIFICATION:
		*ret_len = make_identification(&unit->identity, body);
		return true;
	case SCSI_VPD_BLOCK_LIMITS:
		*ret_len = make_block_limits(unit, body);
		return true;
	case SCSI_VPD_BLOCK_CHARACTERISTICS:
		body[1] = 1; /* no rotation: guests need not sort by address */
		*ret_len = VPD_BLOCK_BYTES;
		return true;
	case SCSI_VPD_PROVISIONING:
		*ret_len = 4;
		if (unit->discard_bytes) { /* else fully provisioned: nothing to unmap */
			body[1] = SCSI_PROVISIONING_LBPU | SCSI_PROVISIONING_LBPWS |
				  SCSI_PROVISIONING_LBPWS10 | SCSI_PROVISIONING_LBPRZ;
			body[2] = SCSI_PROVISIONING_THIN;
		}
		return true;
	default:
		return false;
	}
}

void scsi_decode_inquiry(const struct scsi_unit *unit, const struct scsi_command *cmd,
			 struct scsi_action *ret_action)
{
	uint32_t allocation = be16_load(cmd->cdb + 3);
	uint8_t page = cmd->cdb[2];
	uint8_t *reply = scsi_reply_begin(ret_action);
	uint32_t len;

	if (unit->kind == SCSI_UNIT_DVD)
		reply[0] = SCSI_INQUIRY_DVD;
	if (!(cmd->cdb[1] & INQUIRY_EVPD)) {
		if (cmd->cdb[1] || page)
			scsi_check_field(ret_action);
		else
			scsi_reply_end(ret_action, cmd, make_standard(unit, reply), allocation);
		return;
	}
	if (!make_vpd(unit, page, reply + VPD_HEADER, &len)) {
		scsi_check_field(ret_action);
		return;
	}
	reply[1] = page;
	be16_store(reply + 2, (uint16_t)len);
	scsi_reply_end(ret_action, cmd, VPD_HEADER + len, allocation);
}

/* Guests tell an address without a unit by the first byte; an error status would make Linux's
 * driver remove a disk that is there. */
void scsi_decode_inquiry_absent(const struct scsi_command *cmd, struct scsi_action *ret_action)
{
	uint32_t allocation = be16_load(cmd->cdb + 3);
	uint8_t *reply = scsi_reply_begin(ret_action);

	reply[0] = SCSI_INQUIRY_NO_UNIT;
	if (cmd->cdb[1] & INQUIRY_EVPD) {
		reply[1] = cmd->cdb[2];
		scsi_reply_end(ret_action, cmd, VPD_HEADER, allocation);
		return;
	}
	reply[2] = SCSI_INQUIRY_SPC4;
	reply[3] = SCSI_INQUIRY_FORMAT;
	reply[4] = INQUIRY_SHORT_BYTES - 5;
	memset(reply + 8, ' ', INQUIRY_SHORT_BYTES - 8);
	scsi_reply_end(ret_action, cmd, INQUIRY_SHORT_BYTES, allocation);
}
