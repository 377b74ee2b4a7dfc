/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The decoder of a DVD-ROM drive's commands. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/util.h"
#include "devices/storage/scsi.h"
#include "tests/unit/devices/storage/scsi_fixture.h"

#define SECTORS 1000u

static const uint64_t luns = 1;

static struct scsi_unit drive(uint64_t sectors)
{
	return (struct scsi_unit){
		.identity = {"Oya", "DVD", "1.0", "drive-1"},
		.kind = SCSI_UNIT_DVD,
		.sectors = sectors,
		.sector_bytes = 2048,
		.physical_sector_bytes = 2048,
		.read_only = true,
		.luns = &luns,
	};
}

#define ACT(unit, data_len, ...) \
	act(unit, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}), data_len)

static void drive_says_that_it_is_one(void **state)
{
	struct scsi_unit unit = drive(0);
	struct scsi_action a = ACT(&unit, 96, SCSI_INQUIRY, 0, 0, 0, 96, 0);

	(void)state;
	assert_int_equal(a.kind, SCSI_ACT_REPLY);
	assert_int_equal(a.reply[0], 0x05);
	assert_int_equal(a.reply[1], 0x80);
	a = ACT(&unit, 96, SCSI_INQUIRY, 1, 0, 0, 96, 0);
	assert_int_equal(a.reply_len, 4 + 3);
	assert_int_equal(a.reply[0], 0x05);
	a = ACT(&unit, 96, SCSI_INQUIRY, 1, SCSI_VPD_SERIAL, 0, 96, 0);
	assert_memory_equal(a.reply + 4, "drive-1", 7);
	a = ACT(&unit, 96, SCSI_INQUIRY, 1, SCSI_VPD_BLOCK_LIMITS, 0, 96, 0);
	check_is(&a, 5, 0x2400);
}

static void sectors_of_2048_bytes_are_read(void **state)
{
	struct scsi_unit unit = drive(SECTORS);
	struct scsi_action a = ACT(&unit, 8192, SCSI_READ_10, 0, 0, 0, 0, 9, 0, 0, 4, 0);

	(void)state;
	assert_int_equal(a.kind, SCSI_ACT_READ);
	assert_int_equal(a.offset, 9 * 2048);
	assert_int_equal(a.len, 8192);
	a = ACT(&unit, 8192, SCSI_READ_12, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 1, 0, 0);
	check_is(&a, 5, 0x2100);
	a = ACT(&unit, 8192, SCSI_WRITE_10, 0, 0, 0, 0, 9, 0, 0, 4, 0);
	check_is(&a, 5, 0x2000);
	a = ACT(&unit, 8, SCSI_READ_CAPACITY_10, 0, 0, 0, 0, 0, 0, 0, 0, 0);
	assert_int_equal(be32_load(a.reply), SECTORS - 1);
	assert_int_equal(be32_load(a.reply + 4), 2048);
}

static void empty_drive_is_not_ready(void **state)
{
	struct scsi_unit unit = drive(0);
	struct scsi_action a = ACT(&unit, 0, SCSI_TEST_UNIT_READY, 0, 0, 0, 0, 0);

	(void)state;
	check_is(&a, 2, 0x3A00);
	a = ACT(&unit, 2048, SCSI_READ_10, 0, 0, 0, 0, 0, 0, 0, 1, 0);
	check_is(&a, 2, 0x3A00);
	a = ACT(&unit, 8, SCSI_READ_CAPACITY_10, 0, 0, 0, 0, 0, 0, 0, 0, 0);
	check_is(&a, 2, 0x3A00);
	a = ACT(&unit, 12, SCSI_READ_TOC, 0, 0, 0, 0, 0, 0, 0, 12, 0);
	check_is(&a, 2, 0x3A00);
	a = ACT(&unit, 18, SCSI_REQUEST_SENSE, 0, 0, 0, 18, 0);
	assert_int_equal(a.kind, SCSI_ACT_REPLY);
}

static void new_medium_is_told_once_to_commands_of_the_medium(void **state)
{
	struct scsi_unit unit = drive(SECTORS);
	struct scsi_action a;

	(void)state;
	unit.attention = SCSI_SENSE_MEDIUM_CHANGED;
	a = ACT(&unit, 96, SCSI_INQUIRY, 0, 0, 0, 96, 0);
	assert_false(a.attention_told);
	a = ACT(&unit, 0, SCSI_TEST_UNIT_READY, 0, 0, 0, 0, 0);
	check_is(&a, 6, 0x2800);
	assert_true(a.attention_told);
	unit.attention = SCSI_SENSE_NONE;
	a = ACT(&unit, 0, SCSI_TEST_UNIT_READY, 0, 0, 0, 0, 0);
	assert_int_equal(a.kind, SCSI_ACT_DONE);
}

static void events_are_given_when_polled_and_room_is_there(void **state)
{
	struct scsi_unit unit = drive(SECTORS);
	struct scsi_action a;

	(void)state;
	unit.event = SCSI_MEDIA_NEW;
	a = ACT(&unit, 8, SCSI_GET_EVENT_STATUS, 0, 0, 0, 0x10, 0, 0, 0, 8, 0);
	check_is(&a, 5, 0x2400);
	a = ACT(&unit, 4, SCSI_GET_EVENT_STATUS, 1, 0, 0, 0x10, 0, 0, 0, 4, 0);
	assert_int_equal(a.reply_len, 4);
	assert_false(a.event_told);
	a = ACT(&unit, 8, SCSI_GET_EVENT_STATUS, 1, 0, 0, 0x02, 0, 0, 0, 8, 0);
	assert_int_equal(a.reply_len, 4);
	assert_int_equal(a.reply[2], 0x80);
	assert_int_equal(a.reply[3], 0x10);
	a = ACT(&unit, 8, SCSI_GET_EVENT_STATUS, 1, 0, 0, 0x10, 0, 0, 0, 8, 0);
	assert_memory_equal(a.reply, ((const uint8_t[]){0, 6, 4, 0x10, 2, 2, 0, 0}), 8);
	assert_true(a.event_told);
}

static void table_of_contents_has_one_track_and_the_lead_out(void **state)
{
	const uint8_t whole[] = {0, 18, 1, 1,    0,    0x14, 1, 0, 0,    0,
				 0, 0,  0, 0x14, 0xAA, 0,    0, 0, 0x03, 0xE8};
	const uint8_t lead_out[] = {0, 10, 1, 1, 0, 0x14, 0xAA, 0, 0, 0, 15, 25};
	struct scsi_unit unit = drive(SECTORS);
	struct scsi_action a = ACT(&unit, 64, SCSI_READ_TOC, 0, 0, 0, 0, 0, 0, 0, 64, 0);

	(void)state;
	assert_int_equal(a.reply_len, sizeof(whole));
	assert_memory_equal(a.reply, whole, sizeof(whole));
	a = ACT(&unit, 64, SCSI_READ_TOC, 2, 0, 0, 0, 0, 0xAA, 0, 64, 0);
	assert_int_equal(a.reply_len, sizeof(lead_out));
	assert_memory_equal(a.reply, lead_out, sizeof(lead_out)); /* 1150 frames: 0:15.25 */
	a = ACT(&unit, 64, SCSI_READ_TOC, 0, 1, 0, 0, 0, 0, 0, 64, 0);
	assert_int_equal(a.reply_len, 12);
	a = ACT(&unit, 64, SCSI_READ_TOC, 0, 0, 0, 0, 0, 0, 0, 64, 0x40); /* where it once was */
	assert_int_equal(a.reply_len, 12);
	a = ACT(&unit, 64, SCSI_READ_TOC, 0, 2, 0, 0, 0, 0, 0, 64, 0);
	check_is(&a, 5, 0x2400);
	a = ACT(&unit, 64, SCSI_READ_TOC, 0, 0, 0, 0, 0, 2, 0, 64, 0);
	check_is(&a, 5, 0x2400);
	a = ACT(&unit, 2, SCSI_READ_TOC, 0, 0, 0, 0, 0, 0, 0, 64, 0);
	assert_int_equal(a.reply_len, 2);
}

static void configuration_tells_the_profile_of_the_medium(void **state)
{
	struct scsi_unit unit = drive(SECTORS);
	struct scsi_action a = ACT(&unit, 256, SCSI_GET_CONFIGURATION, 0, 0, 0, 0, 0, 0, 1, 0, 0);
	uint32_t all = a.reply_len;

	(void)state;
	assert_int_equal(a.kind, SCSI_ACT_REPLY);
	assert_int_equal(be32_load(a.reply), all - 4);
	assert_int_equal(be16_load(a.reply + 6), 0x10);
	unit = drive(0);
	a = ACT(&unit, 256, SCSI_GET_CONFIGURATION, 0, 0, 0, 0, 0, 0, 1, 0, 0);
	assert_int_equal(a.reply_len, all);
	assert_int_equal(be16_load(a.reply + 6), 0);
	a = ACT(&unit, 256, SCSI_GET_CONFIGURATION, 1, 0, 0, 0, 0, 0, 1, 0, 0);
	assert_int_equal(a.reply_len, all - 12 - 8);
	a = ACT(&unit, 256, SCSI_GET_CONFIGURATION, 2, 0, 3, 0, 0, 0, 1, 0, 0);
	assert_int_equal(a.reply_len, 8 + 8);
	assert_int_equal(a.reply[12], 0x29);
	a = ACT(&unit, 256, SCSI_GET_CONFIGURATION, 2, 0x12, 0x34, 0, 0, 0, 1, 0, 0);
	assert_int_equal(a.reply_len, 8);
	a = ACT(&unit, 256, SCSI_GET_CONFIGURATION, 3, 0, 0, 0, 0, 0, 1, 0, 0);
	check_is(&a, 5, 0x2400);
}

static void capabilities_and_disc_are_told(void **state)
{
	struct scsi_unit unit = drive(SECTORS);
	struct scsi_action a = ACT(&unit, 128, SCSI_MODE_SENSE_10, 0, 0x2A, 0, 0, 0, 0, 0, 128, 0);

	(void)state;
	assert_int_equal(a.reply_len, 8 + 22);
	assert_int_equal(a.reply[3], 0);
	assert_int_equal(a.reply[8], 0x2A);
	assert_int_equal(a.reply[10] & 0x08, 0x08);
	assert_int_equal(a.reply[14], 0x29);
	a = ACT(&unit, 128, SCSI_MODE_SENSE_6, 0, 0x3F, 0, 128, 0);
	assert_int_equal(a.reply_len, 4 + 22);
	a = ACT(&unit, 128, SCSI_MODE_SENSE_6, 0, 0x08, 0, 128, 0);
	check_is(&a, 5, 0x2400);
	a = ACT(&unit, 34, SCSI_READ_DISC_INFORMATION, 0, 0, 0, 0, 0, 0, 0, 34, 0);
	assert_int_equal(a.reply_len, 34);
	assert_int_equal(a.reply[2], 0x0E);
	a = ACT(&unit, 34, SCSI_READ_DISC_INFORMATION, 1, 0, 0, 0, 0, 0, 0, 34, 0);
	check_is(&a, 5, 0x2400);
}

static void disks_know_no_commands_of_drives(void **state)
{
	struct scsi_unit unit = drive(SECTORS);
	struct scsi_action a;

	(void)state;
	unit.kind = SCSI_UNIT_DISK;
	a = ACT(&unit, 64, SCSI_READ_TOC, 0, 0, 0, 0, 0, 0, 0, 64, 0);
	check_is(&a, 5, 0x2000);
	a = ACT(&unit, 64, SCSI_START_STOP_UNIT, 0, 0, 0, 2, 0);
	assert_int_equal(a.kind, SCSI_ACT_DONE);
}

/* RESERVE, RELEASE, PERSISTENT RESERVE IN and OUT: no unit offers them, none may pretend to. */
static void reservations_are_refused(void **state)
{
	static const uint8_t opcodes[] = {0x16, 0x17, 0x56, 0x57, 0x5E, 0x5F};
	struct scsi_unit unit = drive(SECTORS);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(opcodes); i++) {
		uint8_t cdb[10] = {opcodes[i]};
		struct scsi_action a;

		unit.kind = SCSI_UNIT_DISK;
		a = act(&unit, cdb, sizeof(cdb), 64);
		check_is(&a, 5, 0x2000);
		unit.kind = SCSI_UNIT_DVD;
		a = act(&unit, cdb, sizeof(cdb), 64);
		check_is(&a, 5, 0x2000);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(drive_says_that_it_is_one),
		cmocka_unit_test(sectors_of_2048_bytes_are_read),
		cmocka_unit_test(empty_drive_is_not_ready),
		cmocka_unit_test(new_medium_is_told_once_to_commands_of_the_medium),
		cmocka_unit_test(events_are_given_when_polled_and_room_is_there),
		cmocka_unit_test(table_of_contents_has_one_track_and_the_lead_out),
		cmocka_unit_test(configuration_tells_the_profile_of_the_medium),
		cmocka_unit_test(capabilities_and_disc_are_told),
		cmocka_unit_test(disks_know_no_commands_of_drives),
		cmocka_unit_test(reservations_are_refused),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
