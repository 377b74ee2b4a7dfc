/* SPDX-License-Identifier: GPL-2.0-or-later */
/* UNMAP and WRITE SAME at the controller: their steps at the back end, and the ways out when it
 * cannot do them. */
#include "tests/unit/devices/storage/storvsp_fixture.h"

static struct storvsc_packet unmap_of(struct fixture *f, uint64_t gpa, unsigned ranges)
{
	uint8_t cdb[10] = {SCSI_UNMAP}, *list = vmguest_at(f->guest, gpa);
	uint16_t len = (uint16_t)(8 + 16 * ranges);

	be16_store(cdb + 7, len);
	memset(list, 0, len);
	be16_store(list, (uint16_t)(len - 2));
	be16_store(list + 2, (uint16_t)(len - 8));
	for (unsigned i = 0; i < ranges; i++) {
		be64_store(list + 8 + 16 * i, 64 * i);
		be32_store(list + 16 + 16 * i, 8);
	}
	return srb_of(cdb, sizeof(cdb), len);
}

static struct storvsc_packet same_of(uint8_t flags, uint32_t lba, uint32_t count)
{
	uint8_t cdb[16] = {SCSI_WRITE_SAME_16, flags};

	be32_store(cdb + 6, lba);
	be32_store(cdb + 10, count);
	return srb_of(cdb, sizeof(cdb), flags & SCSI_SAME_NO_DATA ? 0 : 512);
}

static void assert_all(const uint8_t *p, size_t len, uint8_t value)
{
	for (size_t i = 0; i < len; i++)
		assert_int_equal(p[i], value);
}

static void unmap_discards_each_range(void **state)
{
	struct fixture *f = *state;
	uint64_t gpa = vmguest_alloc(f->guest, PAGE);
	struct storvsc_packet p = unmap_of(f, gpa, 3);
	struct storvsc_srb srb;

	memset(f->disk->data, 0x5A, DISK_BYTES);
	srb = run(f, &p, gpa);
	assert_good(&srb, 8 + 3 * 16);
	assert_int_equal(f->disk->discards, 3);
	for (unsigned i = 0; i < 3; i++) {
		assert_all(f->disk->data + i * 64 * 512, 8 * 512, 0);
		assert_all(f->disk->data + i * 64 * 512 + 8 * 512, 56 * 512, 0x5A);
	}
	assert_int_equal(storvsp_unit_stats(f->sp, 0, 0)->discards, 3);
	assert_int_equal(storvsp_unit_stats(f->sp, 0, 0)->discarded_bytes, 3 * 8 * 512);
}

static void unmap_list_is_read_once(void **state)
{
	struct fixture *f = *state;
	uint64_t gpa = vmguest_alloc(f->guest, PAGE);
	struct storvsc_packet p = unmap_of(f, gpa, 2);
	uint64_t transaction = start(f, &p, gpa);
	struct storvsc_srb srb;

	memset(vmguest_at(f->guest, gpa), 0xFF, PAGE);
	memdisk_complete_all(f->disk);
	srb = take(f, transaction);
	assert_good(&srb, 8 + 2 * 16);
	assert_int_equal(f->disk->discards, 2);
}

static void unmap_that_the_disk_cannot_do_succeeds_as_a_hint(void **state)
{
	struct fixture *f = *state;
	uint64_t gpa = vmguest_alloc(f->guest, PAGE);
	struct storvsc_packet p = unmap_of(f, gpa, 3);
	uint64_t transaction = start(f, &p, gpa);
	struct storvsc_srb srb;

	memdisk_complete(f->disk, 0, -EOPNOTSUPP);
	srb = take(f, transaction);
	assert_good(&srb, 8 + 3 * 16);
	assert_int_equal(storvsp_unit_stats(f->sp, 0, 0)->errors, 0);
	srb = run(f, &p, gpa);
	assert_good(&srb, 8 + 3 * 16);
	assert_int_equal(f->disk->discards, 1);
}

static void unmap_reports_errors_of_the_disk_and_of_its_list(void **state)
{
	struct fixture *f = *state;
	uint64_t gpa = vmguest_alloc(f->guest, PAGE), transaction;
	struct storvsc_packet p = unmap_of(f, gpa, 2);
	struct storvsc_srb srb;

	transaction = start(f, &p, gpa);
	memdisk_complete(f->disk, 0, 0);
	memdisk_complete(f->disk, 0, -EIO);
	srb = take(f, transaction);
	assert_sense(&srb, 3, 0x0C00);
	be64_store((uint8_t *)vmguest_at(f->guest, gpa) + 24, DISK_BYTES / 512);
	srb = run(f, &p, gpa);
	assert_sense(&srb, 5, 0x2100);
	assert_int_equal(f->disk->discards, 2);
}

static void unmap_waits_for_room_at_the_disk(void **state)
{
	struct storvsc_packet r = rw_of(SCSI_READ_10, 0, 0, 8);
	struct fixture *f = *state;
	uint64_t gpa = vmguest_alloc(f->guest, PAGE), data = vmguest_alloc(f->guest, PAGE);
	struct storvsc_packet p = unmap_of(f, gpa, 2);
	uint64_t first, second;
	struct storvsc_srb srb;

	f->disk->limit = 1;
	first = start(f, &r, data);
	second = start(f, &p, gpa);
	assert_int_equal(f->disk->discards, 0);
	memdisk_complete_all(f->disk);
	srb = take(f, first);
	assert_good(&srb, PAGE);
	srb = take(f, second);
	assert_good(&srb, 8 + 2 * 16);
	assert_int_equal(f->disk->discards, 2);
}

static void unmap_of_a_closed_channel_goes_no_further(void **state)
{
	struct fixture *f = *state;
	uint64_t gpa = vmguest_alloc(f->guest, PAGE);
	struct storvsc_packet p = unmap_of(f, gpa, 3);

	start(f, &p, gpa);
	vmguest_close(&f->ch);
	memdisk_complete_all(f->disk);
	assert_int_equal(f->disk->discards, 1);
	assert_int_equal(storvsp_inflight(f->sp), 0);
}

static void write_same_of_zeros_is_zeroed_or_discarded(void **state)
{
	struct storvsc_packet keep = same_of(0, 8, 1000), give = same_of(SCSI_SAME_UNMAP, 8, 1000);
	struct storvsc_packet none = same_of(SCSI_SAME_NO_DATA, 2000, 8);
	struct fixture *f = *state;
	uint64_t gpa = vmguest_alloc(f->guest, PAGE);
	struct storvsc_srb srb;

	memset(f->disk->data, 0x5A, DISK_BYTES);
	srb = run(f, &keep, gpa);
	assert_good(&srb, 512);
	assert_int_equal(f->disk->zeroings, 1);
	assert_all(f->disk->data, 8 * 512, 0x5A);
	assert_all(f->disk->data + 8 * 512, 1000 * 512, 0);
	assert_int_equal(f->disk->data[1008 * 512], 0x5A);
	srb = run(f, &give, gpa);
	assert_good(&srb, 512);
	assert_int_equal(f->disk->discards, 1);
	srb = run(f, &none, gpa);
	assert_good(&srb, 0);
	assert_int_equal(f->disk->zeroings, 2);
	assert_all(f->disk->data + 2000 * 512, 8 * 512, 0);
}

static void write_same_falls_back_to_writing_zeros_in_pieces(void **state)
{
	struct storvsc_packet p = same_of(SCSI_SAME_UNMAP, 8, 1025);
	struct fixture *f = *state;
	uint64_t gpa = vmguest_alloc(f->guest, PAGE), transaction;
	unsigned pieces = 0;
	struct storvsc_srb srb;

	memset(f->disk->data, 0x5A, DISK_BYTES);
	transaction = start(f, &p, gpa);
	memdisk_complete(f->disk, 0, -EOPNOTSUPP);
	memdisk_complete(f->disk, 0, -EOPNOTSUPP);
	for (; f->disk->inflight; pieces++) {
		assert_int_equal(f->disk->request[0]->op, BLOCK_WRITE);
		assert_true(f->disk->request[0]->len <= 256 << 10);
		memdisk_complete(f->disk, 0, 0);
	}
	srb = take(f, transaction);
	assert_good(&srb, 512);
	assert_int_equal(pieces, 3);
	assert_int_equal(f->disk->data[8 * 512 - 1], 0x5A);
	assert_all(f->disk->data + 8 * 512, 1025 * 512, 0);
	assert_int_equal(f->disk->data[1033 * 512], 0x5A);
	assert_int_equal(storvsp_unit_stats(f->sp, 0, 0)->writes, 1);
}

static void write_same_of_other_data_repeats_the_sector(void **state)
{
	struct storvsc_packet p = same_of(SCSI_SAME_UNMAP, 5, 601);
	struct fixture *f = *state;
	uint64_t gpa = vmguest_alloc(f->guest, 2 * PAGE) + PAGE - 100;
	struct storvsc_srb srb;

	fill(f, gpa, 512, 9);
	srb = run(f, &p, gpa);
	assert_good(&srb, 512);
	assert_int_equal(f->disk->discards + f->disk->zeroings, 0);
	for (unsigned i = 0; i < 601; i++)
		assert_memory_equal(f->disk->data + (5 + i) * 512, vmguest_at(f->guest, gpa), 512);
	assert_all(f->disk->data + 606 * 512, 512, 0);
}

static void write_same_reports_an_error_of_any_piece(void **state)
{
	struct storvsc_packet p = same_of(0, 0, 1024);
	struct fixture *f = *state;
	uint64_t gpa = vmguest_alloc(f->guest, PAGE), transaction;
	struct storvsc_srb srb;

	fill(f, gpa, 512, 1);
	transaction = start(f, &p, gpa);
	memdisk_complete(f->disk, 0, 0);
	memdisk_complete(f->disk, 0, -ENOSPC);
	srb = take(f, transaction);
	assert_sense(&srb, 7, 0x2707);
	assert_int_equal(f->disk->inflight, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		READY(unmap_discards_each_range),
		READY(unmap_list_is_read_once),
		READY(unmap_that_the_disk_cannot_do_succeeds_as_a_hint),
		READY(unmap_reports_errors_of_the_disk_and_of_its_list),
		READY(unmap_waits_for_room_at_the_disk),
		READY(unmap_of_a_closed_channel_goes_no_further),
		READY(write_same_of_zeros_is_zeroed_or_discarded),
		READY(write_same_falls_back_to_writing_zeros_in_pieces),
		READY(write_same_of_other_data_repeats_the_sector),
		READY(write_same_reports_an_error_of_any_piece),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
