/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SCSI: operation codes, status, sense and the layouts of data that a direct-access unit returns.
 * CDBs and their replies are big endian and are read and written by offset (base/bytes.h), so
 * this header names numbers, not structs.
 * Spec: T10 SAM-5, SPC-4 (primary commands), SBC-3 (block commands).
 */
#ifndef OYA_ABI_SCSI_H
#define OYA_ABI_SCSI_H

enum scsi_opcode {
	SCSI_TEST_UNIT_READY = 0x00,
	SCSI_REQUEST_SENSE = 0x03,
	SCSI_READ_6 = 0x08,
	SCSI_WRITE_6 = 0x0A,
	SCSI_INQUIRY = 0x12,
	SCSI_MODE_SENSE_6 = 0x1A,
	SCSI_START_STOP_UNIT = 0x1B,
	SCSI_PREVENT_ALLOW_REMOVAL = 0x1E,
	SCSI_READ_CAPACITY_10 = 0x25,
	SCSI_READ_10 = 0x28,
	SCSI_WRITE_10 = 0x2A,
	SCSI_VERIFY_10 = 0x2F,
	SCSI_SYNCHRONIZE_CACHE_10 = 0x35,
	SCSI_MODE_SENSE_10 = 0x5A,
	SCSI_READ_16 = 0x88,
	SCSI_WRITE_16 = 0x8A,
	SCSI_VERIFY_16 = 0x8F,
	SCSI_SYNCHRONIZE_CACHE_16 = 0x91,
	SCSI_SERVICE_ACTION_IN_16 = 0x9E,
	SCSI_REPORT_LUNS = 0xA0,
	SCSI_READ_12 = 0xA8,
	SCSI_WRITE_12 = 0xAA,
};

#define SCSI_ACTION_READ_CAPACITY_16 0x10u /* of SERVICE ACTION IN(16) */

enum scsi_status {
	SCSI_STATUS_GOOD = 0x00,
	SCSI_STATUS_CHECK_CONDITION = 0x02,
	SCSI_STATUS_BUSY = 0x08,
};

enum scsi_sense_key {
	SCSI_KEY_NO_SENSE = 0x0,
	SCSI_KEY_MEDIUM_ERROR = 0x3,
	SCSI_KEY_HARDWARE_ERROR = 0x4,
	SCSI_KEY_ILLEGAL_REQUEST = 0x5,
	SCSI_KEY_DATA_PROTECT = 0x7,
};

/* Additional sense code and its qualifier: ASC << 8 | ASCQ. */
enum scsi_sense_code {
	SCSI_SENSE_NONE = 0x0000,
	SCSI_SENSE_WRITE_ERROR = 0x0C00,
	SCSI_SENSE_UNRECOVERED_READ = 0x1100,
	SCSI_SENSE_INVALID_OPCODE = 0x2000,
	SCSI_SENSE_LBA_OUT_OF_RANGE = 0x2100,
	SCSI_SENSE_INVALID_FIELD_IN_CDB = 0x2400,
	SCSI_SENSE_UNIT_NOT_SUPPORTED = 0x2500,
	SCSI_SENSE_WRITE_PROTECTED = 0x2700,
	SCSI_SENSE_SPACE_ALLOCATION_FAILED = 0x2707,
	SCSI_SENSE_SAVING_NOT_SUPPORTED = 0x3900,
	SCSI_SENSE_INTERNAL_FAILURE = 0x4400,
};

#define SCSI_SENSE_FIXED 0x70u      /* response code: current error, fixed format */
#define SCSI_SENSE_DESCRIPTOR 0x72u /* the same in descriptor format */
#define SCSI_SENSE_FIXED_BYTES 18u
#define SCSI_SENSE_DESCRIPTOR_BYTES 8u

#define SCSI_INQUIRY_NO_UNIT 0x7Fu /* qualifier 3: no unit can be here; type unknown */
#define SCSI_INQUIRY_SPC4 0x06u
#define SCSI_INQUIRY_FORMAT 0x02u
#define SCSI_INQUIRY_HISUP 0x10u
#define SCSI_INQUIRY_CMDQUE 0x02u

enum scsi_vpd_page {
	SCSI_VPD_SUPPORTED = 0x00,
	SCSI_VPD_SERIAL = 0x80,
	SCSI_VPD_IDENTIFICATION = 0x83,
	SCSI_VPD_BLOCK_LIMITS = 0xB0,
	SCSI_VPD_BLOCK_CHARACTERISTICS = 0xB1,
	SCSI_VPD_PROVISIONING = 0xB2,
};

#define SCSI_MODE_CACHING 0x08u
#define SCSI_MODE_CONTROL 0x0Au
#define SCSI_MODE_ALL 0x3Fu
#define SCSI_MODE_WRITE_PROTECT 0x80u /* device-specific parameter */
#define SCSI_MODE_DPOFUA 0x10u

#endif
