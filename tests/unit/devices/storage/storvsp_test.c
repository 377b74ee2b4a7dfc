/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The SCSI controller's protocol and its commands. */
#include "tests/unit/devices/storage/storvsp_fixture.h"

/* --- the protocol ----------------------------------------------------------------------- */

static void driver_sets_the_controller_up_in_order(void **state)
{
	struct storvsc_packet query = {.operation = STORVSC_OP_QUERY_PROPERTIES}, out;
	struct fixture *f = *state;

	assert_int_equal(ask_operation(f, STORVSC_OP_BEGIN_INITIALIZATION), 0);
	assert_int_equal(ask_version(f, STORVSC_VERSION_5_1), 0);
	out = ask(f, &query);
	assert_int_equal(out.status, 0);
	assert_int_equal(out.properties.max_transfer_bytes, SCSI_TRANSFER_MAX);
	assert_int_equal(ask_operation(f, STORVSC_OP_END_INITIALIZATION), 0);
}

static void unsupported_version_is_refused_and_another_may_follow(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(ask_operation(f, STORVSC_OP_BEGIN_INITIALIZATION), 0);
	assert_int_equal(ask_version(f, STORVSC_VERSION(7, 0)), STORVSC_STATUS_REVISION_MISMATCH);
	assert_int_equal(ask_version(f, STORVSC_VERSION(4, 2)), STORVSC_STATUS_REVISION_MISMATCH);
	assert_int_equal(ask_version(f, STORVSC_VERSION_6_0), 0);
}

static void operations_out_of_order_are_refused(void **state)
{
	struct storvsc_packet version = {.operation = STORVSC_OP_QUERY_PROTOCOL_VERSION};
	struct fixture *f = *state;
	struct vmguest_packet answer;

	vmguest_send_inband(&f->ch, 1, &version, STORVSC_HEADER_BYTES);
	assert_true(vmguest_receive(&f->ch, &answer)); /* rounded up to 16: it has a version, 0 */
	assert_int_equal(le32_load(answer.payload + 8), STORVSC_STATUS_INVALID_STATE);

	assert_int_equal(ask_version(f, STORVSC_VERSION_6_2), STORVSC_STATUS_INVALID_STATE);
	assert_int_equal(ask_operation(f, STORVSC_OP_QUERY_PROPERTIES),
			 STORVSC_STATUS_INVALID_STATE);
	assert_int_equal(ask_operation(f, STORVSC_OP_END_INITIALIZATION),
			 STORVSC_STATUS_INVALID_STATE);
	assert_int_equal(ask_operation(f, STORVSC_OP_RESET_BUS), STORVSC_STATUS_INVALID_STATE);
	set_up(f);
	assert_int_equal(ask_operation(f, STORVSC_OP_BEGIN_INITIALIZATION),
			 STORVSC_STATUS_INVALID_STATE);
}

static void io_before_the_end_of_initialization_is_refused(void **state)
{
	struct storvsc_packet p = rw_of(SCSI_WRITE_10, 0, 0, 8);
	struct fixture *f = *state;
	uint64_t gpa = vmguest_alloc(f->guest, PAGE);
	struct vmguest_packet answer;

	assert_int_equal(ask_operation(f, STORVSC_OP_BEGIN_INITIALIZATION), 0);
	start(f, &p, gpa);
	assert_int_equal(f->disk->inflight, 0);
	assert_true(vmguest_receive(&f->ch, &answer));
	assert_int_equal(le32_load(answer.payload + 8), STORVSC_STATUS_INVALID_STATE);
}

static void unknown_operations_are_refused(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(ask_operation(f, 2), STORVSC_STATUS_INVALID_REQUEST);
	assert_int_equal(ask_operation(f, 0xFFFFFFFF), STORVSC_STATUS_INVALID_REQUEST);
}

static void srb_that_comes_short_is_refused(void **state)
{
	struct storvsc_packet p = rw_of(SCSI_WRITE_10, 0, 0, 8);
	struct fixture *f = *state;
	struct vmguest_packet answer;

	vmguest_send_inband(&f->ch, 77, &p, 40);
	assert_true(vmguest_receive(&f->ch, &answer));
	assert_int_equal(le32_load(answer.payload + 8), STORVSC_STATUS_INVALID_PARAMETER);
	assert_int_equal(f->guest->faults, 0);
}

static void srb_of_an_older_protocol_is_enough(void **state)
{
	const uint8_t cdb[6] = {SCSI_TEST_UNIT_READY};
	struct storvsc_packet p = srb_of(cdb, sizeof(cdb), 0);
	struct fixture *f = *state;
	struct storvsc_srb srb;

	vmguest_send_inband(&f->ch, 77, &p, STORVSC_SRB_PACKET_MIN);
	srb = take(f, 77);
	assert_good(&srb, 0);
}

static void packets_that_no_driver_sends_stop_the_channel(void **state)
{
	struct storvsc_packet p = {.operation = STORVSC_OP_BEGIN_INITIALIZATION};
	struct fixture *f = *state;

	vmguest_send_inband(&f->ch, 1, &p, 8);
	assert_int_equal(f->guest->faults, 1);
	vmguest_close(&f->ch);
	open_channel(f, 1);
	vmguest_send(&f->ch, VMBUS_PACKET_INBAND, 0, 2, NULL, 0, &p, sizeof(p));
	assert_int_equal(f->guest->faults, 2);
	vmguest_close(&f->ch);
	open_channel(f, 1);
	vmguest_complete(&f->ch, 3, &p, sizeof(p));
	assert_int_equal(f->guest->faults, 3);
	vmguest_close(&f->ch);
	open_channel(f, 1);
	set_up(f);
}

/* --- commands --------------------------------------------------------------------------- */

static void written_data_reads_back(void **state)
{
	struct storvsc_packet w = rw_of(SCSI_WRITE_10, 0, 100, 40);
	struct storvsc_packet r = rw_of(SCSI_READ_10, 0, 100, 40);
	struct fixture *f = *state;
	uint64_t from = vmguest_alloc(f->guest, 8 * PAGE), to = vmguest_alloc(f->guest, 8 * PAGE);
	const struct storvsp_stats *stats = storvsp_unit_stats(f->sp, 0, 0);
	struct storvsc_srb srb;

	fill(f, from + 1024, 40 * 512, 3);
	srb = run(f, &w, from + 1024);
	assert_good(&srb, 40 * 512);
	assert_memory_equal(f->disk->data + 100 * 512, vmguest_at(f->guest, from + 1024), 40 * 512);
	srb = run(f, &r, to + 512);
	assert_good(&srb, 40 * 512);
	assert_memory_equal(vmguest_at(f->guest, from + 1024), vmguest_at(f->guest, to + 512),
			    40 * 512);
	assert_int_equal(stats->writes, 1);
	assert_int_equal(stats->written_bytes, 40 * 512);
	assert_int_equal(stats->reads, 1);
	assert_int_equal(stats->read_bytes, 40 * 512);
}

static void longest_scattered_transfer_moves_all_pages(void **state)
{
	struct storvsc_packet p = rw_of(SCSI_WRITE_10, 0, 0, SCSI_TRANSFER_MAX / 512);
	struct fixture *f = *state;
	uint64_t gpa = vmguest_alloc(f->guest, SCSI_TRANSFER_MAX), transaction;
	uint32_t pages = SCSI_TRANSFER_MAX / PAGE;
	struct storvsc_srb srb;

	fill(f, gpa, SCSI_TRANSFER_MAX, 5);
	transaction = start_scattered(f, &p, gpa);
	memdisk_complete_all(f->disk);
	srb = take(f, transaction);
	assert_good(&srb, SCSI_TRANSFER_MAX);
	for (uint32_t i = 0; i < pages; i++)
		assert_memory_equal(f->disk->data + (uint64_t)i * PAGE,
				    vmguest_at(f->guest, gpa + (uint64_t)(pages - 1 - i) * PAGE),
				    PAGE);
}

static void scattered_requests_beyond_the_vectors_wait_and_complete(void **state)
{
	struct storvsc_packet p = rw_of(SCSI_READ_10, 0, 0, 70 * 8);
	struct fixture *f = *state;
	uint64_t gpa = vmguest_alloc(f->guest, 70 * PAGE), first = f->next_transaction + 1;

	for (int i = 0; i < 40; i++)
		start_scattered(f, &p, gpa);
	assert_int_equal(f->disk->inflight, 16);
	while (f->disk->inflight) {
		memdisk_complete_all(f->disk);
		vmguest_run(f->guest);
	}
	for (uint64_t i = 0; i < 40; i++) {
		struct storvsc_srb srb = take(f, first + i);

		assert_good(&srb, 70 * PAGE);
	}
}

static void pages_outside_of_memory_or_too_many_are_invalid(void **state)
{
	struct storvsc_packet p = rw_of(SCSI_READ_10, 0, 0, 8);
	struct fixture *f = *state;
	struct storvsc_srb srb = run(f, &p, RAM_BYTES - 2048);

	assert_int_equal(srb.srb_status, STORVSC_SRB_INVALID_REQUEST);
	assert_int_equal(srb.data_transfer_length, 0);
	p.srb.data_transfer_length = SCSI_TRANSFER_MAX + 512;
	srb = run(f, &p, 0);
	assert_int_equal(srb.srb_status, STORVSC_SRB_INVALID_REQUEST);
	p = rw_of(SCSI_READ_10, 0, 0, 8);
	p.srb.cdb_length = 17;
	srb = run(f, &p, 0);
	assert_int_equal(srb.srb_status, STORVSC_SRB_INVALID_REQUEST);
	assert_int_equal(f->disk->inflight, 0);
}

static void transfer_stays_within_the_shorter_of_both_lengths(void **state)
{
	const uint8_t cdb[6] = {SCSI_INQUIRY, 0, 0, 0, 255, 0};
	struct storvsc_packet p = srb_of(cdb, sizeof(cdb), 255);
	struct fixture *f = *state;
	uint64_t gpa = vmguest_alloc(f->guest, PAGE);
	uint8_t *data = vmguest_at(f->guest, gpa);
	struct storvsc_srb srb;

	memset(data, 0xEE, PAGE);
	p.srb.data_transfer_length = 5;
	vmguest_send_gpa(&f->ch, 900, gpa, 255, &p, sizeof(p));
	srb = take(f, 900);
	assert_good(&srb, 5);
	assert_int_equal(data[4], 69);
	assert_int_equal(data[5], 0xEE);
	memset(data, 0xEE, PAGE);
	p = rw_of(SCSI_READ_10, 0, 0, 8); /* 4096 bytes into a buffer of 1000 */
	vmguest_send_gpa(&f->ch, 901, gpa, 1000, &p, sizeof(p));
	memdisk_complete_all(f->disk);
	srb = take(f, 901);
	assert_int_equal(srb.srb_status, STORVSC_SRB_DATA_OVERRUN);
	assert_int_equal(srb.data_transfer_length, 512);
	assert_int_equal(data[511], 0);
	assert_int_equal(data[512], 0xEE);
	p = rw_of(SCSI_WRITE_10, 0, 0, 1); /* 512 bytes from a buffer of 4096 */
	p.srb.data_transfer_length = PAGE;
	srb = run(f, &p, gpa);
	assert_good(&srb, 512);
}

static void absent_units_answer_inquiry_with_qualifier_3(void **state)
{
	const uint8_t cdb[6] = {SCSI_INQUIRY, 0, 0, 0, 36, 0}, ready[6] = {0};
	struct storvsc_packet p = srb_of(cdb, sizeof(cdb), 36), q = srb_of(ready, sizeof(ready), 0);
	static const uint8_t absent[][3] = {{1, 0, 0}, {7, 0, 0},  {0, 1, 0},  {0, 255, 0},
					    {0, 0, 1}, {0, 0, 63}, {0, 0, 64}, {255, 255, 255}};
	struct fixture *f = *state;
	uint64_t gpa = vmguest_alloc(f->guest, PAGE);
	struct storvsc_srb srb = run(f, &p, gpa);

	assert_good(&srb, 36);
	assert_int_equal(*(uint8_t *)vmguest_at(f->guest, gpa), 0);
	for (size_t i = 0; i < sizeof(absent) / sizeof(absent[0]); i++) {
		p.srb.path = q.srb.path = absent[i][0];
		p.srb.target = q.srb.target = absent[i][1];
		p.srb.lun = q.srb.lun = absent[i][2];
		srb = run(f, &p, gpa);
		assert_good(&srb, 36);
		assert_int_equal(*(uint8_t *)vmguest_at(f->guest, gpa), 0x7F);
		srb = run(f, &q, 0);
		if (absent[i][0] == 0 && absent[i][1] < 2 && absent[i][2] < 64)
			assert_absent(&srb);
		else
			assert_sense(&srb, 5, 0x2500);
	}
}

static void report_luns_lists_the_units_of_path_0_only(void **state)
{
	const uint8_t cdb[12] = {SCSI_REPORT_LUNS, [8] = 4};
	struct storvsc_packet p = srb_of(cdb, sizeof(cdb), 1024);
	struct fixture *f = *state;
	uint64_t gpa = vmguest_alloc(f->guest, PAGE);
	struct vmguest_packet told;
	struct storvsc_srb srb;

	assert_int_equal(storvsp_attach(f->sp, 0, 5, &f->disk->dev, &identity), 0);
	assert_true(vmguest_receive(&f->ch, &told));
	srb = run(f, &p, gpa);
	assert_good(&srb, 8 + 16);
	assert_int_equal(*((uint8_t *)vmguest_at(f->guest, gpa) + 17), 5);
	p.srb.path = 1;
	srb = run(f, &p, gpa);
	assert_good(&srb, 8);
}

static void errors_of_the_disk_become_sense(void **state)
{
	struct storvsc_packet r = rw_of(SCSI_READ_10, 0, 0, 8), w = rw_of(SCSI_WRITE_10, 0, 0, 8);
	struct fixture *f = *state;
	uint64_t gpa = vmguest_alloc(f->guest, PAGE), t;
	struct storvsc_srb srb;

	t = start(f, &r, gpa);
	memdisk_complete(f->disk, 0, -EIO);
	srb = take(f, t);
	assert_sense(&srb, 3, 0x1100);
	t = start(f, &w, gpa);
	memdisk_complete(f->disk, 0, -ENOSPC);
	srb = take(f, t);
	assert_sense(&srb, 7, 0x2707);
	f->disk->refuse = -EROFS;
	srb = run(f, &w, gpa);
	assert_sense(&srb, 7, 0x2700);
	f->disk->refuse = -ENOMEM;
	srb = run(f, &w, gpa);
	assert_int_equal(srb.srb_status, STORVSC_SRB_BUSY);
	assert_int_equal(srb.scsi_status, SCSI_STATUS_BUSY);
	f->disk->refuse = 0;
	assert_int_equal(storvsp_unit_stats(f->sp, 0, 0)->errors, 3);
	assert_int_equal(storvsp_inflight(f->sp), 0);
}

static void addresses_near_the_end_of_numbers_are_out_of_range(void **state)
{
	static const uint8_t opcodes[] = {SCSI_READ_16, SCSI_WRITE_16, SCSI_VERIFY_16,
					  SCSI_SYNCHRONIZE_CACHE_16, SCSI_WRITE_SAME_16};
	static const uint64_t lbas[] = {UINT64_MAX,        UINT64_MAX - 7,    UINT64_MAX / 512,
					UINT64_C(1) << 55, UINT64_C(1) << 63, DISK_BYTES / 512};
	struct fixture *f = *state;
	uint64_t gpa = vmguest_alloc(f->guest, PAGE);

	for (size_t i = 0; i < sizeof(opcodes); i++) {
		for (size_t k = 0; k < sizeof(lbas) / sizeof(lbas[0]); k++) {
			uint8_t cdb[16] = {opcodes[i], [13] = 8};
			struct storvsc_packet p;
			struct storvsc_srb srb;

			be64_store(cdb + 2, lbas[k]);
			p = srb_of(cdb, sizeof(cdb), PAGE);
			srb = run(f, &p, gpa);
			assert_sense(&srb, 5, 0x2100);
		}
	}
	assert_int_equal(f->disk->flushes + f->disk->zeroings, 0);
	assert_int_equal(f->disk->kicks, 0);
}

static void sense_is_cut_to_the_guests_room(void **state)
{
	struct storvsc_packet p = rw_of(SCSI_READ_10, 0, DISK_BYTES / 512, 8);
	struct fixture *f = *state;
	struct storvsc_srb srb;

	p.srb.sense_length = 3;
	srb = run(f, &p, 0);
	assert_int_equal(srb.sense_length, 3);
	assert_int_equal(srb.sense[2], 5);
	assert_int_equal(srb.sense[12], 0);
	p.srb.sense_length = 0;
	srb = run(f, &p, 0);
	assert_int_equal(srb.srb_status, STORVSC_SRB_ERROR);
	assert_int_equal(srb.scsi_status, SCSI_STATUS_CHECK_CONDITION);
	p.srb.sense_length = 255;
	srb = run(f, &p, 0);
	assert_int_equal(srb.sense_length, SCSI_SENSE_FIXED_BYTES);
}

static void force_unit_access_reaches_the_disk(void **state)
{
	struct storvsc_packet w = rw_of(SCSI_WRITE_10, 0x08, 0, 8);
	struct storvsc_packet r = rw_of(SCSI_READ_10, 0x08, 0, 8);
	struct fixture *f = *state;
	uint64_t gpa = vmguest_alloc(f->guest, PAGE), t;
	struct storvsc_srb srb;

	fill(f, gpa, PAGE, 9);
	srb = run(f, &w, gpa);
	assert_good(&srb, PAGE);
	assert_int_equal(f->disk->fua_writes, 1);
	memset(vmguest_at(f->guest, gpa), 0, PAGE);
	t = start(f, &r, gpa);
	assert_int_equal(f->disk->request[0]->op, BLOCK_FLUSH);
	memdisk_complete(f->disk, 0, 0);
	assert_int_equal(f->disk->request[0]->op, BLOCK_READ);
	memdisk_complete(f->disk, 0, 0);
	srb = take(f, t);
	assert_good(&srb, PAGE);
	assert_memory_equal(vmguest_at(f->guest, gpa), f->disk->data, PAGE);
	t = start(f, &r, gpa);
	memdisk_complete(f->disk, 0, -EIO); /* the flush before it */
	srb = take(f, t);
	assert_sense(&srb, 3, 0x0C00);
}

static void synchronize_cache_flushes_the_disk(void **state)
{
	const uint8_t cdb[10] = {SCSI_SYNCHRONIZE_CACHE_10};
	struct storvsc_packet p = srb_of(cdb, sizeof(cdb), 0);
	struct fixture *f = *state;
	struct storvsc_srb srb = run(f, &p, 0);

	assert_good(&srb, 0);
	assert_int_equal(f->disk->flushes, 1);
	assert_int_equal(storvsp_unit_stats(f->sp, 0, 0)->flushes, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FRESH(driver_sets_the_controller_up_in_order),
		FRESH(unsupported_version_is_refused_and_another_may_follow),
		FRESH(operations_out_of_order_are_refused),
		FRESH(io_before_the_end_of_initialization_is_refused),
		FRESH(unknown_operations_are_refused),
		READY(srb_that_comes_short_is_refused),
		READY(srb_of_an_older_protocol_is_enough),
		FRESH(packets_that_no_driver_sends_stop_the_channel),
		READY(written_data_reads_back),
		READY(longest_scattered_transfer_moves_all_pages),
		READY(scattered_requests_beyond_the_vectors_wait_and_complete),
		READY(pages_outside_of_memory_or_too_many_are_invalid),
		READY(transfer_stays_within_the_shorter_of_both_lengths),
		READY(absent_units_answer_inquiry_with_qualifier_3),
		READY(report_luns_lists_the_units_of_path_0_only),
		READY(errors_of_the_disk_become_sense),
		READY(addresses_near_the_end_of_numbers_are_out_of_range),
		READY(sense_is_cut_to_the_guests_room),
		READY(force_unit_access_reaches_the_disk),
		READY(synchronize_cache_flushes_the_disk),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
