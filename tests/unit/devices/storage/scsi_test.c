/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The pure SCSI decoder: what each command comes to, and what is refused. */
#include <errno.h>
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

#define SECTORS 2048u

static const uint64_t luns = 0x8000000000000005u; /* 0, 2 and 63 */

static struct scsi_unit unit_of(uint32_t sector_bytes)
{
	return (struct scsi_unit){
		.identity = {.vendor = "Oya",
			     .product = "Virtual Disk",
			     .revision = "1.0",
			     .serial = "serial-1"},
		.sectors = SECTORS,
		.sector_bytes = sector_bytes,
		.physical_sector_bytes = 4096,
		.luns = &luns,
	};
}

static struct scsi_action transfer_16(const struct scsi_unit *unit, uint8_t opcode, uint8_t flags,
				      uint64_t lba, uint32_t count, uint32_t data_len)
{
	uint8_t cdb[16] = {opcode, flags};

	be64_store(cdb + 2, lba);
	be32_store(cdb + 10, count);
	return act(unit, cdb, sizeof(cdb), data_len);
}

static void transfers_of_each_length_are_decoded(void **state)
{
	struct scsi_unit unit = unit_of(512);
	const uint8_t six[] = {SCSI_READ_6, 0, 1, 2, 3, 0};
	const uint8_t ten[] = {SCSI_WRITE_10, 0, 0, 0, 1, 2, 0, 0, 3, 0};
	const uint8_t twelve[] = {SCSI_READ_12, 0, 0, 0, 1, 2, 0, 0, 0, 3, 0, 0};
	struct scsi_action a;

	(void)state;
	a = act(&unit, six, sizeof(six), 4096);
	assert_int_equal(a.kind, SCSI_ACT_READ);
	assert_int_equal(a.offset, 0x102 * 512);
	assert_int_equal(a.len, 3 * 512);
	a = act(&unit, ten, sizeof(ten), 4096);
	assert_int_equal(a.kind, SCSI_ACT_WRITE);
	assert_int_equal(a.offset, 0x102 * 512);
	assert_int_equal(a.len, 3 * 512);
	assert_false(a.fua);
	a = act(&unit, twelve, sizeof(twelve), 4096);
	assert_int_equal(a.kind, SCSI_ACT_READ);
	a = transfer_16(&unit, SCSI_WRITE_16, 0x08, 0x102, 3, 4096);
	assert_int_equal(a.kind, SCSI_ACT_WRITE);
	assert_int_equal(a.offset, 0x102 * 512);
	assert_true(a.fua);
}

static void six_byte_transfer_of_zero_sectors_means_256(void **state)
{
	struct scsi_unit unit = unit_of(512);
	const uint8_t cdb[] = {SCSI_READ_6, 0, 0, 0, 0, 0};
	struct scsi_action a = act(&unit, cdb, sizeof(cdb), 1 << 20);

	(void)state;
	assert_int_equal(a.kind, SCSI_ACT_READ);
	assert_int_equal(a.len, 256 * 512);
}

static void six_byte_transfer_has_address_bits_where_others_have_flags(void **state)
{
	struct scsi_unit unit = unit_of(512);
	const uint8_t cdb[] = {SCSI_WRITE_6, 0x28, 0, 0, 1, 0};
	struct scsi_action a;

	(void)state;
	unit.sectors = 1u << 21;
	a = act(&unit, cdb, sizeof(cdb), 512);
	assert_int_equal(a.kind, SCSI_ACT_WRITE);
	assert_int_equal(a.offset, UINT64_C(0x080000) * 512);
	assert_false(a.fua);
}

static void sectors_of_4096_bytes_scale_offset_and_length(void **state)
{
	struct scsi_unit unit = unit_of(4096);
	struct scsi_action a = transfer_16(&unit, SCSI_READ_16, 0, 7, 2, 8192);

	(void)state;
	assert_int_equal(a.offset, 7 * 4096);
	assert_int_equal(a.len, 8192);
}

static void lba_near_2_to_the_64_is_out_of_range(void **state)
{
	struct scsi_unit unit = unit_of(512);
	struct scsi_action a;

	(void)state;
	a = transfer_16(&unit, SCSI_READ_16, 0, UINT64_MAX, 1, 4096);
	check_is(&a, 5, 0x2100);
	a = transfer_16(&unit, SCSI_WRITE_16, 0, UINT64_MAX - 7, 8, 4096);
	check_is(&a, 5, 0x2100);
	a = transfer_16(&unit, SCSI_READ_16, 0, SECTORS - 1, 2, 4096);
	check_is(&a, 5, 0x2100);
	a = transfer_16(&unit, SCSI_READ_16, 0, 0, UINT32_MAX, UINT32_MAX);
	check_is(&a, 5, 0x2100);
	a = transfer_16(&unit, SCSI_SYNCHRONIZE_CACHE_16, 0, UINT64_MAX, 1, 0);
	check_is(&a, 5, 0x2100);
	a = transfer_16(&unit, SCSI_VERIFY_16, 0, SECTORS, 1, 0);
	check_is(&a, 5, 0x2100);
}

static void transfer_of_no_sectors_succeeds_up_to_the_end(void **state)
{
	struct scsi_unit unit = unit_of(512);
	struct scsi_action a = transfer_16(&unit, SCSI_READ_16, 0, SECTORS, 0, 4096);

	(void)state;
	assert_int_equal(a.kind, SCSI_ACT_DONE);
	a = transfer_16(&unit, SCSI_READ_16, 0, SECTORS + 1, 0, 4096);
	check_is(&a, 5, 0x2100);
}

static void transfer_longer_than_announced_is_refused(void **state)
{
	struct scsi_unit unit = unit_of(512);
	struct scsi_action a;

	(void)state;
	unit.sectors = 1u << 20;
	a = transfer_16(&unit, SCSI_READ_16, 0, 0, SCSI_TRANSFER_MAX / 512 + 1, UINT32_MAX);
	check_is(&a, 5, 0x2400);
	a = transfer_16(&unit, SCSI_READ_16, 0, 0, SCSI_TRANSFER_MAX / 512, UINT32_MAX);
	assert_int_equal(a.kind, SCSI_ACT_READ);
}

static void read_into_a_short_buffer_is_cut_to_whole_sectors(void **state)
{
	struct scsi_unit unit = unit_of(512);
	struct scsi_action a = transfer_16(&unit, SCSI_READ_16, 0, 0, 4, 1100);

	(void)state;
	assert_int_equal(a.kind, SCSI_ACT_READ);
	assert_int_equal(a.len, 1024);
	assert_true(a.truncated);
	a = transfer_16(&unit, SCSI_READ_16, 0, 0, 1, 511);
	assert_int_equal(a.kind, SCSI_ACT_DONE);
	assert_true(a.truncated);
}

static void write_from_a_short_buffer_is_refused_whole(void **state)
{
	struct scsi_unit unit = unit_of(512);
	struct scsi_action a = transfer_16(&unit, SCSI_WRITE_16, 0, 0, 4, 2047);

	(void)state;
	check_is(&a, 5, 0x2400);
}

static void write_to_a_read_only_unit_is_write_protected(void **state)
{
	struct scsi_unit unit = unit_of(512);
	struct scsi_action a;

	(void)state;
	unit.read_only = true;
	a = transfer_16(&unit, SCSI_WRITE_16, 0, 0, 1, 512);
	check_is(&a, 7, 0x2700);
	a = transfer_16(&unit, SCSI_READ_16, 0, 0, 1, 512);
	assert_int_equal(a.kind, SCSI_ACT_READ);
}

static void protection_and_byte_check_are_refused(void **state)
{
	struct scsi_unit unit = unit_of(512);
	struct scsi_action a = transfer_16(&unit, SCSI_READ_16, 0x20, 0, 1, 512);

	(void)state;
	check_is(&a, 5, 0x2400);
	a = transfer_16(&unit, SCSI_VERIFY_16, 0x02, 0, 1, 512);
	check_is(&a, 5, 0x2400);
	a = transfer_16(&unit, SCSI_VERIFY_16, 0, 0, 1, 0);
	assert_int_equal(a.kind, SCSI_ACT_DONE);
}

static void synchronize_cache_is_a_flush(void **state)
{
	struct scsi_unit unit = unit_of(512);
	const uint8_t ten[10] = {SCSI_SYNCHRONIZE_CACHE_10};
	struct scsi_action a = act(&unit, ten, sizeof(ten), 0);

	(void)state;
	assert_int_equal(a.kind, SCSI_ACT_FLUSH);
	a = transfer_16(&unit, SCSI_SYNCHRONIZE_CACHE_16, 0, 0, 0, 0);
	assert_int_equal(a.kind, SCSI_ACT_FLUSH);
}

static void short_cdb_and_naca_are_refused(void **state)
{
	struct scsi_unit unit = unit_of(512);
	uint8_t cdb[16] = {SCSI_READ_16};
	struct scsi_action a = act(&unit, cdb, 15, 512);

	(void)state;
	check_is(&a, 5, 0x2400);
	cdb[15] = 0x04;
	a = act(&unit, cdb, 16, 512);
	check_is(&a, 5, 0x2400);
	a = act(&unit, cdb, 0, 512);
	check_is(&a, 5, 0x2000);
}

static void commands_not_offered_have_an_invalid_opcode(void **state)
{
	/* MODE SELECT, RESERVE, PERSISTENT RESERVE IN and OUT, no command. */
	static const uint8_t refused[] = {0x15, 0x55, 0x16, 0x17, 0x5E, 0x5F, 0xFF};
	struct scsi_unit unit = unit_of(512);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		uint8_t cdb[16] = {refused[i]};
		struct scsi_action a = act(&unit, cdb, sizeof(cdb), 512);

		check_is(&a, 5, 0x2000);
	}
}

static void simple_commands_succeed_without_data(void **state)
{
	static const uint8_t simple[] = {SCSI_TEST_UNIT_READY, SCSI_START_STOP_UNIT,
					 SCSI_PREVENT_ALLOW_REMOVAL};
	struct scsi_unit unit = unit_of(512);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(simple); i++) {
		uint8_t cdb[6] = {simple[i]};

		assert_int_equal(act(&unit, cdb, sizeof(cdb), 0).kind, SCSI_ACT_DONE);
	}
}

static void inquiry_tells_who_the_unit_is(void **state)
{
	struct scsi_unit unit = unit_of(512);
	const uint8_t cdb[6] = {SCSI_INQUIRY, 0, 0, 0, 255, 0};
	struct scsi_action a = act(&unit, cdb, sizeof(cdb), 255);

	(void)state;
	assert_int_equal(a.kind, SCSI_ACT_REPLY);
	assert_int_equal(a.reply_len, a.reply[4] + 5);
	assert_int_equal(a.reply[0], 0);
	assert_true(a.reply[2] >= 5);
	assert_memory_equal(a.reply + 8, "Oya     Virtual Disk    1.0 ", 28);
}

static void inquiry_of_a_page_without_asking_for_pages_is_refused(void **state)
{
	struct scsi_unit unit = unit_of(512);
	const uint8_t cdb[6] = {SCSI_INQUIRY, 0, 0x83, 0, 255, 0};
	struct scsi_action a = act(&unit, cdb, sizeof(cdb), 255);

	(void)state;
	check_is(&a, 5, 0x2400);
}

static void replies_are_cut_to_allocation_and_buffer(void **state)
{
	struct scsi_unit unit = unit_of(512);
	uint8_t cdb[6] = {SCSI_INQUIRY, 0, 0, 0, 36, 0};

	(void)state;
	assert_int_equal(act(&unit, cdb, sizeof(cdb), 255).reply_len, 36);
	assert_int_equal(act(&unit, cdb, sizeof(cdb), 5).reply_len, 5);
	assert_int_equal(act(&unit, cdb, sizeof(cdb), 0).reply_len, 0);
	cdb[4] = 0;
	assert_int_equal(act(&unit, cdb, sizeof(cdb), 255).reply_len, 0);
}

static struct scsi_action vpd(const struct scsi_unit *unit, uint8_t page)
{
	const uint8_t cdb[6] = {SCSI_INQUIRY, 1, page, 0, 255, 0};

	return act(unit, cdb, sizeof(cdb), 255);
}

static void each_vital_product_page_that_is_listed_is_there(void **state)
{
	struct scsi_unit unit = unit_of(512);
	struct scsi_action list = vpd(&unit, 0);

	(void)state;
	assert_int_equal(list.reply_len, 4 + list.reply[3]);
	assert_int_equal(list.reply[3], 6);
	for (unsigned i = 0; i < list.reply[3]; i++) {
		struct scsi_action a = vpd(&unit, list.reply[4 + i]);

		assert_int_equal(a.kind, SCSI_ACT_REPLY);
		assert_int_equal(a.reply[1], list.reply[4 + i]);
		assert_int_equal(a.reply_len, 4 + be16_load(a.reply + 2));
	}
	list = vpd(&unit, 0x81);
	check_is(&list, 5, 0x2400);
}

static void identification_never_changes(void **state)
{
	/* Guests have this number in their configuration: it is an interface. */
	static const uint8_t naa[8] = {0x3E, 0x42, 0x68, 0x71, 0xA1, 0xFF, 0x0C, 0x92};
	struct scsi_unit unit = unit_of(512);
	struct scsi_action a = vpd(&unit, SCSI_VPD_IDENTIFICATION), b;

	(void)state;
	assert_int_equal(a.reply[5], 3);
	assert_memory_equal(a.reply + 8, naa, sizeof(naa));
	assert_memory_equal(a.reply + 20, "Oya     Virtual Disk    serial-1", 32);
	strcpy(unit.identity.revision, "2.0");
	b = vpd(&unit, SCSI_VPD_IDENTIFICATION);
	assert_memory_equal(a.reply, b.reply, a.reply_len);
	strcpy(unit.identity.serial, "serial-2");
	b = vpd(&unit, SCSI_VPD_IDENTIFICATION);
	assert_memory_not_equal(a.reply + 8, b.reply + 8, 8);
}

static void longest_serial_fits_its_pages(void **state)
{
	struct scsi_unit unit = unit_of(512);
	struct scsi_action a;

	(void)state;
	memset(unit.identity.serial, 'x', SCSI_SERIAL_LEN);
	assert_int_equal(scsi_identity_check(&unit.identity), 0);
	a = vpd(&unit, SCSI_VPD_SERIAL);
	assert_int_equal(a.reply_len, 4 + SCSI_SERIAL_LEN);
	a = vpd(&unit, SCSI_VPD_IDENTIFICATION);
	assert_int_equal(a.reply_len, 4 + 12 + 4 + 24 + SCSI_SERIAL_LEN);
}

static void block_limits_announce_the_longest_transfer(void **state)
{
	struct scsi_unit unit = unit_of(512);
	struct scsi_action a = vpd(&unit, SCSI_VPD_BLOCK_LIMITS);

	(void)state;
	assert_int_equal(be16_load(a.reply + 6), 8);
	assert_int_equal(be32_load(a.reply + 8), SCSI_TRANSFER_MAX / 512);
}

static void capacity_10_saturates_and_16_does_not(void **state)
{
	struct scsi_unit unit = unit_of(512);
	const uint8_t ten[10] = {SCSI_READ_CAPACITY_10};
	uint8_t sixteen[16] = {SCSI_SERVICE_ACTION_IN_16, 0x10, [13] = 32};
	struct scsi_action a = act(&unit, ten, sizeof(ten), 8);

	(void)state;
	assert_int_equal(be32_load(a.reply), SECTORS - 1);
	assert_int_equal(be32_load(a.reply + 4), 512);
	unit.sectors = UINT64_C(1) << 33;
	a = act(&unit, ten, sizeof(ten), 8);
	assert_int_equal(be32_load(a.reply), UINT32_MAX);
	a = act(&unit, sixteen, sizeof(sixteen), 32);
	assert_int_equal(a.reply_len, 32);
	assert_int_equal(be64_load(a.reply), (UINT64_C(1) << 33) - 1);
	assert_int_equal(be32_load(a.reply + 8), 512);
	assert_int_equal(a.reply[13], 3);
	sixteen[1] = 0x11;
	a = act(&unit, sixteen, sizeof(sixteen), 32);
	check_is(&a, 5, 0x2400);
}

static void mode_sense_tells_of_write_cache_and_fua(void **state)
{
	struct scsi_unit unit = unit_of(512);
	uint8_t six[6] = {SCSI_MODE_SENSE_6, 8, 0x08, 0, 255, 0};
	const uint8_t ten[10] = {SCSI_MODE_SENSE_10, 8, 0x3F, 0, 0, 0, 0, 0, 255, 0};
	struct scsi_action a = act(&unit, six, sizeof(six), 255);

	(void)state;
	assert_int_equal(a.reply_len, 24);
	assert_int_equal(a.reply[0], 23);
	assert_int_equal(a.reply[2], 0x10);
	assert_int_equal(a.reply[4], 0x08);
	assert_int_equal(a.reply[6], 0x04);
	unit.read_only = true;
	a = act(&unit, ten, sizeof(ten), 255);
	assert_int_equal(a.reply_len, 8 + 20 + 12);
	assert_int_equal(be16_load(a.reply), a.reply_len - 2);
	assert_int_equal(a.reply[3], 0x90);
	assert_int_equal(a.reply[8], 0x08);
	assert_int_equal(a.reply[28], 0x0A);
	six[2] = 0x48; /* changeable: nothing */
	a = act(&unit, six, sizeof(six), 255);
	assert_int_equal(a.reply[6], 0);
	six[2] = 0xC8;
	a = act(&unit, six, sizeof(six), 255);
	check_is(&a, 5, 0x3900);
	six[2] = 0x1C;
	a = act(&unit, six, sizeof(six), 255);
	check_is(&a, 5, 0x2400);
}

static void report_luns_lists_the_target(void **state)
{
	struct scsi_unit unit = unit_of(512);
	uint8_t cdb[12] = {SCSI_REPORT_LUNS, [8] = 4};
	struct scsi_action a = act(&unit, cdb, sizeof(cdb), 1024);

	(void)state;
	assert_int_equal(a.reply_len, 8 + 3 * 8);
	assert_int_equal(be32_load(a.reply), 3 * 8);
	assert_int_equal(a.reply[9], 0);
	assert_int_equal(a.reply[17], 2);
	assert_int_equal(a.reply[25], 63);
	cdb[2] = 1; /* well-known units */
	assert_int_equal(act(&unit, cdb, sizeof(cdb), 1024).reply_len, 8);
	cdb[2] = 3;
	a = act(&unit, cdb, sizeof(cdb), 1024);
	check_is(&a, 5, 0x2400);
	cdb[2] = 0;
	cdb[8] = 0;
	cdb[9] = 15;
	a = act(&unit, cdb, sizeof(cdb), 1024);
	check_is(&a, 5, 0x2400);
}

static void report_luns_of_a_full_target_fits(void **state)
{
	static const uint64_t full = UINT64_MAX;
	struct scsi_unit unit = unit_of(512);
	const uint8_t cdb[12] = {SCSI_REPORT_LUNS, [8] = 4};

	(void)state;
	unit.luns = &full;
	assert_int_equal(act(&unit, cdb, sizeof(cdb), 1024).reply_len, SCSI_REPLY_MAX);
}

static void request_sense_has_none_in_both_formats(void **state)
{
	struct scsi_unit unit = unit_of(512);
	uint8_t cdb[6] = {SCSI_REQUEST_SENSE, 0, 0, 0, 252, 0};
	struct scsi_action a = act(&unit, cdb, sizeof(cdb), 252);

	(void)state;
	assert_int_equal(a.reply_len, 18);
	assert_int_equal(a.reply[0], 0x70);
	assert_int_equal(a.reply[2], 0);
	cdb[1] = 1;
	a = act(&unit, cdb, sizeof(cdb), 252);
	assert_int_equal(a.reply_len, 8);
	assert_int_equal(a.reply[0], 0x72);
}

static void absent_unit_answers_inquiry_and_report_luns_only(void **state)
{
	const uint8_t inquiry[6] = {SCSI_INQUIRY, 0, 0, 0, 36, 0};
	const uint8_t page[6] = {SCSI_INQUIRY, 1, 0x83, 0, 36, 0};
	const uint8_t report[12] = {SCSI_REPORT_LUNS, [8] = 4};
	const uint8_t ready[6] = {SCSI_TEST_UNIT_READY};
	struct scsi_action a;

	(void)state;
	scsi_decode_absent(0, inquiry, sizeof(inquiry), 36, &a);
	assert_int_equal(a.kind, SCSI_ACT_REPLY);
	assert_int_equal(a.reply_len, 36);
	assert_int_equal(a.reply[0], 0x7F);
	scsi_decode_absent(0, page, sizeof(page), 36, &a);
	assert_int_equal(a.reply_len, 4);
	assert_int_equal(a.reply[0], 0x7F);
	assert_int_equal(a.reply[1], 0x83);
	scsi_decode_absent(0, page, 5, 36, &a);
	check_is(&a, 5, 0x2400);
	scsi_decode_absent(0, report, sizeof(report), 1024, &a);
	assert_int_equal(a.reply_len, 8);
	assert_int_equal(be32_load(a.reply), 0);
	scsi_decode_absent(2, report, sizeof(report), 1024, &a);
	assert_int_equal(a.reply_len, 16);
	scsi_decode_absent(0, ready, sizeof(ready), 0, &a);
	check_is(&a, 5, 0x2500);
	scsi_decode_absent(0, ready, 0, 0, &a);
	check_is(&a, 5, 0x2500);
}

static void errors_of_the_back_end_become_sense(void **state)
{
	struct scsi_action a;
	uint8_t sense[SCSI_SENSE_FIXED_BYTES];

	(void)state;
	scsi_action_of_errno(SCSI_ACT_READ, -EIO, &a);
	check_is(&a, 3, 0x1100);
	scsi_sense_encode(&a, sense);
	assert_int_equal(sense[0], 0x70);
	assert_int_equal(sense[2], 3);
	assert_int_equal(sense[7], 10);
	assert_int_equal(sense[12], 0x11);
	scsi_action_of_errno(SCSI_ACT_WRITE, -EIO, &a);
	check_is(&a, 3, 0x0C00);
	scsi_action_of_errno(SCSI_ACT_WRITE, -EROFS, &a);
	check_is(&a, 7, 0x2700);
	scsi_action_of_errno(SCSI_ACT_WRITE, -ENOSPC, &a);
	check_is(&a, 7, 0x2707);
	scsi_action_of_errno(SCSI_ACT_READ, -ERANGE, &a);
	check_is(&a, 5, 0x2100);
	scsi_action_of_errno(SCSI_ACT_READ, -ENODEV, &a);
	check_is(&a, 4, 0x4400);
}

static void identity_must_be_terminated_printable_text(void **state)
{
	struct scsi_identity id = unit_of(512).identity, bad;

	(void)state;
	assert_int_equal(scsi_identity_check(&id), 0);
	bad = id;
	bad.serial[0] = '\0';
	assert_int_equal(scsi_identity_check(&bad), -EINVAL);
	bad = id;
	bad.product[3] = '\n';
	assert_int_equal(scsi_identity_check(&bad), -EINVAL);
	bad = id;
	memset(bad.vendor, 'x', sizeof(bad.vendor));
	assert_int_equal(scsi_identity_check(&bad), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(transfers_of_each_length_are_decoded),
		cmocka_unit_test(six_byte_transfer_of_zero_sectors_means_256),
		cmocka_unit_test(six_byte_transfer_has_address_bits_where_others_have_flags),
		cmocka_unit_test(sectors_of_4096_bytes_scale_offset_and_length),
		cmocka_unit_test(lba_near_2_to_the_64_is_out_of_range),
		cmocka_unit_test(transfer_of_no_sectors_succeeds_up_to_the_end),
		cmocka_unit_test(transfer_longer_than_announced_is_refused),
		cmocka_unit_test(read_into_a_short_buffer_is_cut_to_whole_sectors),
		cmocka_unit_test(write_from_a_short_buffer_is_refused_whole),
		cmocka_unit_test(write_to_a_read_only_unit_is_write_protected),
		cmocka_unit_test(protection_and_byte_check_are_refused),
		cmocka_unit_test(synchronize_cache_is_a_flush),
		cmocka_unit_test(short_cdb_and_naca_are_refused),
		cmocka_unit_test(commands_not_offered_have_an_invalid_opcode),
		cmocka_unit_test(simple_commands_succeed_without_data),
		cmocka_unit_test(inquiry_tells_who_the_unit_is),
		cmocka_unit_test(inquiry_of_a_page_without_asking_for_pages_is_refused),
		cmocka_unit_test(replies_are_cut_to_allocation_and_buffer),
		cmocka_unit_test(each_vital_product_page_that_is_listed_is_there),
		cmocka_unit_test(identification_never_changes),
		cmocka_unit_test(longest_serial_fits_its_pages),
		cmocka_unit_test(block_limits_announce_the_longest_transfer),
		cmocka_unit_test(capacity_10_saturates_and_16_does_not),
		cmocka_unit_test(mode_sense_tells_of_write_cache_and_fua),
		cmocka_unit_test(report_luns_lists_the_target),
		cmocka_unit_test(report_luns_of_a_full_target_fits),
		cmocka_unit_test(request_sense_has_none_in_both_formats),
		cmocka_unit_test(absent_unit_answers_inquiry_and_report_luns_only),
		cmocka_unit_test(errors_of_the_back_end_become_sense),
		cmocka_unit_test(identity_must_be_terminated_printable_text),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
