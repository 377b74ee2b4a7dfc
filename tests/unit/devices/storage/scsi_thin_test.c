/* SPDX-License-Identifier: GPL-2.0-or-later */
/* UNMAP and WRITE SAME in the pure decoder, and what a thin unit says of itself. */
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

#define SECTORS (UINT64_C(1) << 33)

static const uint64_t luns = 1;

static struct scsi_unit thin_unit(void)
{
	return (struct scsi_unit){
		.identity = {"Oya", "Virtual Disk", "1.0", "serial-1"},
		.sectors = SECTORS,
		.sector_bytes = 512,
		.physical_sector_bytes = 4096,
		.discard_bytes = 4096,
		.luns = &luns,
	};
}

static struct scsi_action unmap(const struct scsi_unit *unit, uint16_t len, uint32_t data_len)
{
	uint8_t cdb[10] = {SCSI_UNMAP};

	be16_store(cdb + 7, len);
	return act(unit, cdb, sizeof(cdb), data_len);
}

static struct scsi_action same(const struct scsi_unit *unit, uint8_t flags, uint64_t lba,
			       uint32_t count, uint32_t data_len)
{
	uint8_t cdb[16] = {SCSI_WRITE_SAME_16, flags};

	be64_store(cdb + 2, lba);
	be32_store(cdb + 10, count);
	return act(unit, cdb, sizeof(cdb), data_len);
}

static void put_header(uint8_t *list, unsigned descriptors)
{
	be16_store(list, (uint16_t)(6 + descriptors * 16));
	be16_store(list + 2, (uint16_t)(descriptors * 16));
}

static void put_range(uint8_t *list, unsigned n, uint64_t lba, uint32_t count)
{
	be64_store(list + 8 + 16 * n, lba);
	be32_store(list + 16 + 16 * n, count);
}

static void unmap_wants_a_list_of_a_possible_length(void **state)
{
	struct scsi_unit unit = thin_unit();
	struct scsi_action a = unmap(&unit, 24, 24);

	(void)state;
	assert_int_equal(a.kind, SCSI_ACT_UNMAP);
	assert_int_equal(a.len, 24);
	a = unmap(&unit, SCSI_UNMAP_LIST_MAX, SCSI_UNMAP_LIST_MAX);
	assert_int_equal(a.kind, SCSI_ACT_UNMAP);
	a = unmap(&unit, 0, 0);
	assert_int_equal(a.kind, SCSI_ACT_DONE);
	a = unmap(&unit, 7, 4096);
	check_is(&a, 5, 0x1A00);
	a = unmap(&unit, SCSI_UNMAP_LIST_MAX + 1, 65536);
	check_is(&a, 5, 0x1A00);
	a = unmap(&unit, 24, 23);
	check_is(&a, 5, 0x2400);
}

static void thin_commands_on_a_read_only_unit_are_write_protected(void **state)
{
	struct scsi_unit unit = thin_unit();
	struct scsi_action a;

	(void)state;
	unit.read_only = true;
	a = unmap(&unit, 24, 24);
	check_is(&a, 7, 0x2700);
	a = same(&unit, SCSI_SAME_UNMAP, 0, 8, 512);
	check_is(&a, 7, 0x2700);
}

static void unmap_list_gives_the_ranges_that_are_not_empty(void **state)
{
	struct scsi_range ranges[SCSI_UNMAP_RANGES_MAX];
	struct scsi_unit unit = thin_unit();
	struct scsi_action a;
	uint8_t list[8 + 3 * 16] = {0};

	(void)state;
	put_header(list, 3);
	put_range(list, 0, 8, 16);
	put_range(list, 1, SECTORS, 0);
	put_range(list, 2, SECTORS - 1, 1);
	assert_int_equal(scsi_unmap_decode(&unit, list, sizeof(list), ranges, &a), 2);
	assert_int_equal(a.kind, SCSI_ACT_DONE);
	assert_int_equal(ranges[0].offset, 8 * 512);
	assert_int_equal(ranges[0].len, 16 * 512);
	assert_int_equal(ranges[1].offset, (SECTORS - 1) * 512);
	assert_int_equal(ranges[1].len, 512);
	/* The tail of an incomplete descriptor does not count. */
	be16_store(list + 2, 31);
	assert_int_equal(scsi_unmap_decode(&unit, list, sizeof(list), ranges, &a), 1);
}

static void unmap_range_past_the_end_is_refused_whole(void **state)
{
	struct scsi_range ranges[SCSI_UNMAP_RANGES_MAX];
	struct scsi_unit unit = thin_unit();
	struct scsi_action a;
	uint8_t list[8 + 2 * 16] = {0};

	(void)state;
	put_header(list, 2);
	put_range(list, 0, 0, 8);
	put_range(list, 1, SECTORS - 1, 2);
	assert_int_equal(scsi_unmap_decode(&unit, list, sizeof(list), ranges, &a), 0);
	check_is(&a, 5, 0x2100);
	put_range(list, 1, UINT64_MAX, 1);
	assert_int_equal(scsi_unmap_decode(&unit, list, sizeof(list), ranges, &a), 0);
	check_is(&a, 5, 0x2100);
}

static void unmap_of_more_than_the_limits_is_refused(void **state)
{
	struct scsi_range ranges[SCSI_UNMAP_RANGES_MAX];
	struct scsi_unit unit = thin_unit();
	struct scsi_action a;
	uint8_t list[8 + 65 * 16] = {0};

	(void)state;
	put_header(list, 65);
	assert_int_equal(scsi_unmap_decode(&unit, list, sizeof(list), ranges, &a), 0);
	check_is(&a, 5, 0x2600);
	put_header(list, 64);
	for (unsigned i = 0; i < 64; i++)
		put_range(list, i, 0, SCSI_UNMAP_BYTES_MAX / 512 / 64);
	assert_int_equal(scsi_unmap_decode(&unit, list, sizeof(list), ranges, &a), 64);
	put_range(list, 63, 0, SCSI_UNMAP_BYTES_MAX / 512 / 64 + 1);
	assert_int_equal(scsi_unmap_decode(&unit, list, sizeof(list), ranges, &a), 0);
	check_is(&a, 5, 0x2600);
}

static void unmap_descriptors_longer_than_the_list_are_refused(void **state)
{
	struct scsi_range ranges[SCSI_UNMAP_RANGES_MAX];
	struct scsi_unit unit = thin_unit();
	struct scsi_action a;
	uint8_t list[8 + 16] = {0};

	(void)state;
	put_header(list, 2);
	assert_int_equal(scsi_unmap_decode(&unit, list, sizeof(list), ranges, &a), 0);
	check_is(&a, 5, 0x1A00);
	assert_int_equal(scsi_unmap_decode(&unit, list, 7, ranges, &a), 0);
	check_is(&a, 5, 0x1A00);
}

static void write_same_is_decoded_with_and_without_data(void **state)
{
	struct scsi_unit unit = thin_unit();
	const uint8_t ten[10] = {SCSI_WRITE_SAME_10, SCSI_SAME_UNMAP, 0, 0, 1, 2, 0, 0, 3, 0};
	struct scsi_action a = act(&unit, ten, sizeof(ten), 512);

	(void)state;
	assert_int_equal(a.kind, SCSI_ACT_SAME);
	assert_int_equal(a.offset, 0x102 * 512);
	assert_int_equal(a.len, 3 * 512);
	assert_true(a.unmap);
	assert_false(a.no_data);
	a = same(&unit, SCSI_SAME_NO_DATA, SECTORS - 8, 8, 0);
	assert_int_equal(a.kind, SCSI_ACT_SAME);
	assert_true(a.no_data);
	assert_false(a.unmap);
	a = same(&unit, 0, 0, 8, 511);
	check_is(&a, 5, 0x2400);
}

static void write_same_outside_its_limits_is_refused(void **state)
{
	struct scsi_unit unit = thin_unit();
	const uint8_t ten[10] = {SCSI_WRITE_SAME_10, SCSI_SAME_NO_DATA, 0, 0, 0, 0, 0, 0, 3, 0};
	struct scsi_action a = act(&unit, ten, sizeof(ten), 512);

	(void)state;
	check_is(&a, 5, 0x2400);
	a = same(&unit, 0, 0, 0, 512);
	check_is(&a, 5, 0x2400);
	a = same(&unit, 0, SECTORS - 1, 2, 512);
	check_is(&a, 5, 0x2100);
	a = same(&unit, 0, 0, SCSI_SAME_BYTES_MAX / 512 + 1, 512);
	check_is(&a, 5, 0x2400);
	a = same(&unit, SCSI_SAME_ANCHOR, 0, 8, 512);
	check_is(&a, 5, 0x2400);
	a = same(&unit, 0x02, 0, 8, 512);
	check_is(&a, 5, 0x2400);
	a = same(&unit, 0x20, 0, 8, 512);
	check_is(&a, 5, 0x2400);
}

static struct scsi_action page_of(const struct scsi_unit *unit, uint8_t page)
{
	const uint8_t cdb[6] = {SCSI_INQUIRY, 1, page, 0, 255, 0};

	return act(unit, cdb, sizeof(cdb), 255);
}

static void only_a_thin_unit_says_that_it_can_unmap(void **state)
{
	const uint8_t capacity[16] = {[0] = SCSI_SERVICE_ACTION_IN_16, [1] = 0x10, [13] = 32};
	struct scsi_unit unit = thin_unit();
	struct scsi_action a = page_of(&unit, SCSI_VPD_BLOCK_LIMITS);

	(void)state;
	assert_int_equal(be32_load(a.reply + 20), SCSI_UNMAP_BYTES_MAX / 512);
	assert_int_equal(be32_load(a.reply + 24), SCSI_UNMAP_RANGES_MAX);
	assert_int_equal(be32_load(a.reply + 28), 8);
	assert_int_equal(be64_load(a.reply + 36), SCSI_SAME_BYTES_MAX / 512);
	a = page_of(&unit, SCSI_VPD_PROVISIONING);
	assert_int_equal(a.reply[5], 0xE4);
	assert_int_equal(a.reply[6], 2);
	a = act(&unit, capacity, sizeof(capacity), 32);
	assert_int_equal(a.reply[14], 0xC0);

	unit.discard_bytes = 0;
	a = page_of(&unit, SCSI_VPD_BLOCK_LIMITS);
	assert_int_equal(be32_load(a.reply + 20), 0);
	assert_int_equal(be32_load(a.reply + 24), 0);
	a = page_of(&unit, SCSI_VPD_PROVISIONING);
	assert_int_equal(be32_load(a.reply + 4), 0);
	a = act(&unit, capacity, sizeof(capacity), 32);
	assert_int_equal(a.reply[14], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(unmap_wants_a_list_of_a_possible_length),
		cmocka_unit_test(thin_commands_on_a_read_only_unit_are_write_protected),
		cmocka_unit_test(unmap_list_gives_the_ranges_that_are_not_empty),
		cmocka_unit_test(unmap_range_past_the_end_is_refused_whole),
		cmocka_unit_test(unmap_of_more_than_the_limits_is_refused),
		cmocka_unit_test(unmap_descriptors_longer_than_the_list_are_refused),
		cmocka_unit_test(write_same_is_decoded_with_and_without_data),
		cmocka_unit_test(write_same_outside_its_limits_is_refused),
		cmocka_unit_test(only_a_thin_unit_says_that_it_can_unmap),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
