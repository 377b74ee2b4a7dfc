/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The SCSI controller's limits, its channel's closing, units that come and go. */
#include "tests/lib/failheap.h"
#include "tests/unit/devices/storage/storvsp_fixture.h"

/* --- limits and life -------------------------------------------------------------------- */

static void requests_beyond_the_slots_wait_and_are_kicked_once(void **state)
{
	struct storvsc_packet p = rw_of(SCSI_READ_10, 0, 0, 1);
	struct fixture *f = *state;
	uint64_t gpa = vmguest_alloc(f->guest, PAGE), first = f->next_transaction + 1;
	unsigned kicks;

	for (int i = 0; i < 256 + 20; i++)
		start(f, &p, gpa);
	assert_int_equal(f->disk->inflight, 256);
	kicks = f->disk->kicks;
	memdisk_complete_all(f->disk); /* wants to go on, when the bus lets it */
	assert_int_equal(f->disk->kicks, kicks);
	vmguest_run(f->guest);
	assert_int_equal(f->disk->inflight, 20);
	assert_int_equal(f->disk->kicks, kicks + 1);
	memdisk_complete_all(f->disk);
	for (uint64_t i = 0; i < 256 + 20; i++) {
		struct storvsc_srb srb = take(f, first + i);

		assert_good(&srb, 512);
	}
	assert_silent(f);
}

static void long_queue_is_served_in_turns_to_its_end(void **state)
{
	const uint8_t cdb[6] = {SCSI_TEST_UNIT_READY};
	struct storvsc_packet r = rw_of(SCSI_READ_10, 0, 0, 1), p = srb_of(cdb, sizeof(cdb), 0);
	struct fixture *f = *state;
	uint64_t gpa = vmguest_alloc(f->guest, PAGE), first = f->next_transaction + 1;

	for (int i = 0; i < 256; i++)
		start(f, &r, gpa);
	for (int i = 0; i < 300; i++) /* no slot: they stay in the ring */
		start(f, &p, 0);
	memdisk_complete_all(f->disk);
	vmguest_run(f->guest);
	for (uint64_t i = 0; i < 256 + 300; i++)
		take(f, first + i);
	assert_silent(f);
}

static void answers_wait_for_room_in_the_ring(void **state)
{
	const uint8_t cdb[6] = {SCSI_TEST_UNIT_READY};
	struct storvsc_packet p = srb_of(cdb, sizeof(cdb), 0);
	struct fixture *f = *state;
	struct vmguest_packet answer;
	uint64_t first;
	unsigned taken = 0;

	vmguest_close(&f->ch);
	open_channel(f, 1);
	set_up(f);
	first = f->next_transaction + 1;
	for (int i = 0; i < 80; i++)
		start(f, &p, 0);
	for (int round = 0; round < 10 && taken < 80; round++) {
		while (vmguest_receive(&f->ch, &answer)) {
			assert_int_equal(answer.transaction, first + taken);
			taken++;
		}
		vmguest_kick(&f->ch); /* there is room now */
	}
	assert_int_equal(taken, 80);
}

static void answers_that_waited_leave_with_a_later_completion(void **state)
{
	const uint8_t cdb[6] = {SCSI_TEST_UNIT_READY};
	struct storvsc_packet p = srb_of(cdb, sizeof(cdb), 0), r = rw_of(SCSI_READ_10, 0, 0, 1);
	struct fixture *f = *state;
	struct vmguest_packet answer;
	unsigned taken = 0;

	vmguest_close(&f->ch);
	open_channel(f, 1);
	set_up(f);
	start(f, &r, vmguest_alloc(f->guest, PAGE));
	for (int i = 0; i < 60; i++)
		start(f, &p, 0);
	while (vmguest_receive(&f->ch, &answer))
		taken++;
	memdisk_complete_all(f->disk); /* no kick of the guest: this alone moves things on */
	vmguest_run(f->guest);
	while (vmguest_receive(&f->ch, &answer))
		taken++;
	assert_int_equal(taken, 61);
}

static void requests_the_disk_has_no_room_for_wait(void **state)
{
	struct storvsc_packet p = rw_of(SCSI_READ_10, 0, 0, 1);
	struct fixture *f = *state;
	uint64_t gpa = vmguest_alloc(f->guest, PAGE), first = f->next_transaction + 1;

	f->disk->limit = 2;
	for (int i = 0; i < 6; i++)
		start(f, &p, gpa);
	assert_int_equal(f->disk->inflight, 2);
	assert_int_equal(storvsp_inflight(f->sp), 2);
	memdisk_complete_all(f->disk);
	for (uint64_t i = 0; i < 6; i++) {
		struct storvsc_srb srb = take(f, first + i);

		assert_good(&srb, 512);
	}
}

static void disk_without_any_room_makes_the_guest_try_again(void **state)
{
	struct storvsc_packet p = rw_of(SCSI_READ_10, 0, 0, 1);
	struct fixture *f = *state;
	struct storvsc_srb srb;

	f->disk->limit = 0;
	srb = run(f, &p, 0);
	assert_int_equal(srb.srb_status, STORVSC_SRB_BUSY);
	assert_int_equal(srb.scsi_status, SCSI_STATUS_BUSY);
}

static void reset_is_answered_when_nothing_is_under_way(void **state)
{
	struct storvsc_packet r = rw_of(SCSI_READ_10, 0, 0, 1);
	struct storvsc_packet reset = {.operation = STORVSC_OP_RESET_BUS};
	struct fixture *f = *state;
	uint64_t gpa = vmguest_alloc(f->guest, PAGE), first = f->next_transaction + 1;

	start(f, &r, gpa);
	start(f, &r, gpa);
	start(f, &reset, 0);
	start(f, &r, gpa); /* behind the reset: not begun before its answer */
	assert_int_equal(f->disk->inflight, 2);
	assert_silent(f);
	memdisk_complete(f->disk, 1, 0);
	take(f, first + 1);
	assert_silent(f);
	memdisk_complete(f->disk, 0, 0);
	take(f, first);
	take(f, first + 2);
	vmguest_run(f->guest);
	assert_int_equal(f->disk->inflight, 1);
	memdisk_complete_all(f->disk);
	take(f, first + 3);
	assert_int_equal(ask_operation(f, STORVSC_OP_RESET_LUN), 0);
	assert_int_equal(ask_operation(f, STORVSC_OP_RESET_ADAPTER), 0);
}

static void close_during_io_drops_the_answers(void **state)
{
	struct storvsc_packet r = rw_of(SCSI_READ_10, 0, 0, 1), ready;
	struct storvsc_packet reset = {.operation = STORVSC_OP_RESET_BUS};
	const uint8_t cdb[6] = {SCSI_TEST_UNIT_READY};
	struct fixture *f = *state;
	uint64_t gpa = vmguest_alloc(f->guest, PAGE);
	struct storvsc_srb srb;

	f->disk->limit = 3;
	for (int i = 0; i < 5; i++) /* three at the disk, two waiting */
		start(f, &r, gpa);
	start(f, &reset, 0);
	vmguest_close(&f->ch);
	assert_int_equal(storvsp_inflight(f->sp), 3);
	open_channel(f, RING_PAGES);
	set_up(f);
	ready = srb_of(cdb, sizeof(cdb), 0);
	srb = run(f, &ready, 0); /* completes the old ones too */
	assert_good(&srb, 0);
	assert_int_equal(storvsp_inflight(f->sp), 0);
	assert_silent(f);
}

static void answers_that_waited_die_with_their_channel(void **state)
{
	const uint8_t cdb[6] = {SCSI_TEST_UNIT_READY};
	struct storvsc_packet p = srb_of(cdb, sizeof(cdb), 0);
	struct fixture *f = *state;

	vmguest_close(&f->ch);
	open_channel(f, 1);
	set_up(f);
	for (int i = 0; i < 60; i++) /* more than the ring holds */
		start(f, &p, 0);
	vmguest_close(&f->ch);
	open_channel(f, RING_PAGES);
	assert_silent(f);
	set_up(f);
	assert_silent(f);
}

static void close_between_flush_and_read_starts_no_read(void **state)
{
	struct storvsc_packet r = rw_of(SCSI_READ_10, 0x08, 0, 8);
	struct fixture *f = *state;

	start(f, &r, vmguest_alloc(f->guest, PAGE));
	assert_int_equal(f->disk->request[0]->op, BLOCK_FLUSH);
	vmguest_close(&f->ch);
	memdisk_complete(f->disk, 0, 0);
	assert_int_equal(f->disk->inflight, 0);
	assert_int_equal(storvsp_inflight(f->sp), 0);
}

static void slots_of_a_closed_channel_serve_the_next_one(void **state)
{
	struct storvsc_packet r = rw_of(SCSI_READ_10, 0, 0, 1);
	struct storvsc_packet begin = {.operation = STORVSC_OP_BEGIN_INITIALIZATION};
	struct fixture *f = *state;
	uint64_t gpa = vmguest_alloc(f->guest, PAGE);
	struct vmguest_packet answer;

	for (int i = 0; i < 256; i++)
		start(f, &r, gpa);
	vmguest_close(&f->ch);
	open_channel(f, RING_PAGES);
	vmguest_send_inband(&f->ch, 5000, &begin, sizeof(begin));
	assert_silent(f); /* each slot is at the disk still */
	memdisk_complete(f->disk, 100, 0);
	vmguest_run(f->guest);
	assert_true(vmguest_receive(&f->ch, &answer));
	assert_int_equal(answer.transaction, 5000);
}

static void partition_reset_during_io_leaves_nothing_behind(void **state)
{
	struct storvsc_packet r = rw_of(SCSI_READ_10, 0, 0, 1);
	struct fixture *f = *state;

	start(f, &r, vmguest_alloc(f->guest, PAGE));
	vmbus_reset(f->guest->bus);
	assert_int_equal(storvsp_inflight(f->sp), 1);
	memdisk_complete_all(f->disk);
	assert_int_equal(storvsp_inflight(f->sp), 0);
}

static void ring_torn_down_during_io_closes_the_channel(void **state)
{
	struct storvsc_packet r = rw_of(SCSI_READ_10, 0, 0, 1);
	struct fixture *f = *state;
	struct vmbus_msg_gpadl_teardown msg = {
		.header.type = VMBUS_MSG_GPADL_TEARDOWN, .relid = f->relid, .gpadl = f->ch.gpadl};
	uint64_t gpa = vmguest_alloc(f->guest, PAGE), t;
	struct storvsc_srb srb;

	start(f, &r, gpa);
	assert_int_equal(vmguest_message(f->guest, VMBUS_CONNECTION_ID_V5, &msg, sizeof(msg)), 0);
	assert_int_equal(vmguest_message(f->guest, VMBUS_CONNECTION_ID_V5, &msg, sizeof(msg)), 0);
	assert_int_equal(storvsp_inflight(f->sp), 1);
	memdisk_complete_all(f->disk);
	assert_int_equal(storvsp_inflight(f->sp), 0);
	open_channel(f, RING_PAGES);
	set_up(f);
	t = start(f, &r, gpa);
	memdisk_complete_all(f->disk);
	srb = take(f, t);
	assert_good(&srb, 512);
}

static void detached_unit_is_gone_once_its_requests_are(void **state)
{
	struct storvsc_packet r = rw_of(SCSI_READ_10, 0, 0, 1);
	struct fixture *f = *state;
	uint64_t gpa = vmguest_alloc(f->guest, PAGE), t = start(f, &r, gpa);
	struct vmguest_packet told;
	struct storvsc_srb srb;

	assert_int_equal(storvsp_detach(f->sp, 0, 0), -EBUSY);
	assert_true(vmguest_receive(&f->ch, &told));
	assert_int_equal(storvsp_attach(f->sp, 0, 0, &f->disk->dev, &identity), -EEXIST);
	memdisk_complete_all(f->disk);
	srb = take(f, t);
	assert_good(&srb, 512);
	srb = run(f, &r, gpa);
	assert_absent(&srb);
	assert_int_equal(storvsp_detach(f->sp, 0, 0), 0);
	assert_int_equal(storvsp_detach(f->sp, 0, 0), -ENOENT);
	assert_null(storvsp_unit_stats(f->sp, 0, 0));
	assert_int_equal(storvsp_attach(f->sp, 0, 0, &f->disk->dev, &identity), 0);
	assert_true(vmguest_receive(&f->ch, &told));
	srb = run(f, &r, gpa);
	assert_good(&srb, 512);
}

static void attach_refuses_what_cannot_be_a_unit(void **state)
{
	struct fixture *f = *state;
	struct scsi_identity bad = identity;
	struct blockdev dev = f->disk->dev;

	assert_int_equal(storvsp_attach(f->sp, 2, 0, &dev, &identity), -ERANGE);
	assert_int_equal(storvsp_attach(f->sp, 0, 64, &dev, &identity), -ERANGE);
	assert_int_equal(storvsp_attach(f->sp, 0, 0, &dev, &identity), -EEXIST);
	bad.serial[0] = '\0';
	assert_int_equal(storvsp_attach(f->sp, 0, 1, &dev, &bad), -EINVAL);
	dev.sector_bytes = 1024;
	assert_int_equal(storvsp_attach(f->sp, 0, 1, &dev, &identity), -EINVAL);
	dev = f->disk->dev;
	dev.size_bytes = 511;
	assert_int_equal(storvsp_attach(f->sp, 0, 1, &dev, &identity), -EINVAL);
	dev = f->disk->dev;
	dev.physical_sector_bytes = 3000;
	assert_int_equal(storvsp_attach(f->sp, 0, 1, &dev, &identity), -EINVAL);
	assert_int_equal(storvsp_detach(f->sp, 9, 9), -ENOENT);
}

/* --- without memory ----------------------------------------------------------------------- */

/* One life of a controller; the guest and the disk are the caller's. */
static int live(void *ctx)
{
	struct storvsp_config config = {.instance = {.b = {1}}};
	struct fixture *f = ctx;
	struct storvsp *sp = storvsp_new(f->guest->bus, &config);
	int r = sp ? storvsp_attach(sp, 0, 0, &f->disk->dev, &identity) : -ENOMEM;

	storvsp_free(sp);
	return r;
}

static void controller_without_memory_is_not_made(void **state)
{
	struct fixture f = {0};

	(void)state;
	f.guest = vmguest_new(RAM_BYTES, 0);
	f.disk = memdisk_new(DISK_BYTES, 512);
	assert_true(failheap_sweep(live, &f) >= 4);
	vmguest_free(f.guest);
	memdisk_free(f.disk);
}

static void scattered_requests_make_do_with_the_first_vector(void **state)
{
	struct storvsc_packet p = rw_of(SCSI_READ_10, 0, 0, 70 * 8);
	struct fixture *f = *state;
	uint64_t gpa = vmguest_alloc(f->guest, 70 * PAGE), first = f->next_transaction + 1;

	for (uint64_t i = 0; i < 3; i++) {
		failheap_arm(1); /* number 0 is the guest's own */
		start_scattered(f, &p, gpa);
		failheap_disarm();
		assert_true(failheap_failed());
		assert_int_equal(f->disk->inflight, 1);
	}
	for (uint64_t i = 0; i < 3; i++) {
		struct storvsc_srb srb;

		assert_int_equal(f->disk->inflight, 1);
		memdisk_complete(f->disk, 0, 0);
		failheap_arm(0);
		vmguest_run(f->guest);
		failheap_disarm();
		srb = take(f, first + i);
		assert_good(&srb, 70 * PAGE);
	}
	assert_silent(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		READY(requests_beyond_the_slots_wait_and_are_kicked_once),
		READY(long_queue_is_served_in_turns_to_its_end),
		READY(answers_wait_for_room_in_the_ring),
		READY(answers_that_waited_leave_with_a_later_completion),
		READY(requests_the_disk_has_no_room_for_wait),
		READY(disk_without_any_room_makes_the_guest_try_again),
		READY(reset_is_answered_when_nothing_is_under_way),
		READY(close_during_io_drops_the_answers),
		READY(answers_that_waited_die_with_their_channel),
		READY(close_between_flush_and_read_starts_no_read),
		READY(slots_of_a_closed_channel_serve_the_next_one),
		READY(partition_reset_during_io_leaves_nothing_behind),
		READY(ring_torn_down_during_io_closes_the_channel),
		READY(detached_unit_is_gone_once_its_requests_are),
		READY(attach_refuses_what_cannot_be_a_unit),
		cmocka_unit_test(controller_without_memory_is_not_made),
		READY(scattered_requests_make_do_with_the_first_vector),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
