/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Units that come and go while the guest runs, media that change, requests kept after an error. */
#include "tests/unit/devices/storage/storvsp_fixture.h"

#define DVD_BYTES (1u << 20)

/* What the controller asks its owner. */
struct owner {
	bool keep;
	unsigned failures, ejections, lun;
	enum block_op op;
	int error;
};

static struct owner owner;

static bool on_failed(void *ctx, unsigned target, unsigned lun, enum block_op op, int error)
{
	struct owner *o = ctx;

	assert_int_equal(target, 0);
	o->failures++;
	o->lun = lun;
	o->op = op;
	o->error = error;
	return o->keep;
}

static void on_ejected(void *ctx, unsigned target, unsigned lun)
{
	struct owner *o = ctx;

	assert_int_equal(target, 0);
	o->ejections++;
	o->lun = lun;
}

static const struct storvsp_host_ops host = {.failed = on_failed, .ejected = on_ejected};

static int make_owned(void **state)
{
	owner = (struct owner){.keep = true};
	fixture_config.host = &host;
	fixture_config.host_ctx = &owner;
	return make_ready(state);
}

static int unmake_owned(void **state)
{
	fixture_config.host = NULL;
	return unmake(state);
}

#define OWNED(test) cmocka_unit_test_setup_teardown(test, make_owned, unmake_owned)

static bool told_to_scan(struct fixture *f)
{
	struct vmguest_packet packet;

	if (!vmguest_receive(&f->ch, &packet))
		return false;
	assert_int_equal(packet.type, VMBUS_PACKET_INBAND);
	assert_int_equal(packet.flags, 0);
	assert_int_equal(packet.transaction, STORVSC_UNASKED);
	assert_int_equal(packet.len, sizeof(struct storvsc_packet));
	assert_int_equal(le32_load(packet.payload), STORVSC_OP_ENUMERATE_BUS);
	return true;
}

static struct storvsc_srb run_at(struct fixture *f, uint8_t lun, const uint8_t *cdb, uint8_t len,
				 uint32_t bytes, uint64_t gpa)
{
	struct storvsc_packet p = srb_of(cdb, len, bytes);

	p.srb.lun = lun;
	return run(f, &p, gpa);
}

static struct storvsc_srb test_ready(struct fixture *f, uint8_t lun)
{
	const uint8_t cdb[6] = {SCSI_TEST_UNIT_READY};

	return run_at(f, lun, cdb, sizeof(cdb), 0, 0);
}

/* --- hot add and remove ------------------------------------------------------------------- */

static void guest_is_told_of_units_that_come_and_go(void **state)
{
	struct fixture *f = *state;
	struct storvsc_srb srb;
	uint64_t signals = f->guest->signals[f->relid];

	assert_int_equal(storvsp_attach(f->sp, 0, 9, &f->disk->dev, &identity), 0);
	assert_int_equal(f->guest->signals[f->relid], signals + 1);
	assert_true(told_to_scan(f));
	srb = test_ready(f, 9);
	assert_good(&srb, 0);
	assert_int_equal(storvsp_detach(f->sp, 0, 9), 0);
	assert_true(told_to_scan(f));
	srb = test_ready(f, 9);
	assert_absent(&srb);
	assert_silent(f);
}

static void guest_that_sets_up_is_not_told(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(storvsp_attach(f->sp, 0, 9, &f->disk->dev, &identity), 0);
	assert_silent(f);
	set_up(f);
	assert_silent(f);
}

static void word_of_a_unit_waits_for_room_in_the_ring(void **state)
{
	const uint8_t cdb[6] = {SCSI_TEST_UNIT_READY};
	struct storvsc_packet p = srb_of(cdb, sizeof(cdb), 0);
	struct fixture *f = *state;
	struct vmguest_packet answer;
	unsigned taken = 0, told = 0;

	vmguest_close(&f->ch);
	open_channel(f, 1);
	set_up(f);
	for (int i = 0; i < 60; i++) /* more than the ring holds */
		start(f, &p, 0);
	assert_int_equal(storvsp_attach(f->sp, 0, 9, &f->disk->dev, &identity), 0);
	for (int round = 0; round < 10; round++) {
		while (vmguest_receive(&f->ch, &answer)) {
			if (answer.type == VMBUS_PACKET_INBAND)
				told++;
			else
				taken++;
		}
		vmguest_kick(&f->ch);
	}
	assert_int_equal(taken, 60);
	assert_int_equal(told, 1);
}

static void only_addresses_of_the_first_bus_are_told_to_be_gone(void **state)
{
	const uint8_t cdb[6] = {SCSI_TEST_UNIT_READY};
	struct storvsc_packet p = srb_of(cdb, sizeof(cdb), 0);
	struct fixture *f = *state;
	struct storvsc_srb srb;

	p.srb.path = 1; /* Linux would remove 0:0:0 */
	srb = run(f, &p, 0);
	assert_sense(&srb, 5, 0x2500);
	p.srb.path = 0;
	p.srb.lun = 64;
	srb = run(f, &p, 0);
	assert_sense(&srb, 5, 0x2500);
	p.srb.lun = 63;
	srb = run(f, &p, 0);
	assert_absent(&srb);
}

static void every_lun_of_a_controller_can_have_a_disk(void **state)
{
	const uint8_t cdb[12] = {SCSI_REPORT_LUNS, [8] = 4};
	struct fixture *f = *state;
	uint64_t gpa = vmguest_alloc(f->guest, PAGE);
	struct storvsc_srb srb;

	vmguest_close(&f->ch);
	for (unsigned lun = 1; lun < 64; lun++)
		assert_int_equal(storvsp_attach(f->sp, 0, lun, &f->disk->dev, &identity), 0);
	open_channel(f, RING_PAGES);
	set_up(f);
	srb = run_at(f, 0, cdb, sizeof(cdb), 1024, gpa);
	assert_good(&srb, 8 + 64 * 8);
	srb = test_ready(f, 63);
	assert_good(&srb, 0);
}

/* --- requests kept after an error ----------------------------------------------------------- */

static void failed_write_is_kept_and_tried_again(void **state)
{
	struct storvsc_packet w = rw_of(SCSI_WRITE_10, 0, 8, 16);
	struct fixture *f = *state;
	uint64_t gpa = vmguest_alloc(f->guest, 2 * PAGE), t;
	struct storvsc_srb srb;

	fill(f, gpa, 2 * PAGE, 4);
	t = start(f, &w, gpa);
	memdisk_complete(f->disk, 0, -ENOSPC);
	assert_silent(f);
	assert_int_equal(owner.failures, 1);
	assert_int_equal(owner.op, BLOCK_WRITE);
	assert_int_equal(owner.error, -ENOSPC);
	assert_int_equal(storvsp_inflight(f->sp), 0);
	assert_int_equal(storvsp_held(f->sp), 1);
	storvsp_retry(f->sp);
	assert_int_equal(storvsp_held(f->sp), 0);
	memdisk_complete(f->disk, 0, -ENOSPC); /* there is no room yet */
	assert_int_equal(storvsp_held(f->sp), 1);
	assert_silent(f);
	storvsp_retry(f->sp);
	memdisk_complete_all(f->disk);
	srb = take(f, t);
	assert_good(&srb, 2 * PAGE);
	assert_memory_equal(f->disk->data + PAGE, vmguest_at(f->guest, gpa), 2 * PAGE);
	assert_int_equal(storvsp_unit_stats(f->sp, 0, 0)->written_bytes, 2 * PAGE);
	assert_int_equal(storvsp_unit_stats(f->sp, 0, 0)->errors, 0);
}

static void what_had_moved_before_the_error_is_not_moved_again(void **state)
{
	struct storvsc_packet w = rw_of(SCSI_WRITE_10, 0, 8, 24);
	struct fixture *f = *state;
	uint64_t gpa = vmguest_alloc(f->guest, 3 * PAGE), t;
	struct block_request *req;
	struct storvsc_srb srb;

	fill(f, gpa, 3 * PAGE, 4);
	t = start_scattered(f, &w, gpa);
	req = f->disk->request[0];
	assert_int_equal(req->iov_count, 3);
	/* The back end wrote a page and a sector. */
	memcpy(f->disk->data + PAGE, req->iov[0].iov_base, PAGE);
	memcpy(f->disk->data + 2 * PAGE, req->iov[1].iov_base, 512);
	req->iov[0].iov_len = 0;
	req->iov[1].iov_base = (uint8_t *)req->iov[1].iov_base + 512;
	req->iov[1].iov_len -= 512;
	memdisk_complete(f->disk, 0, -EIO);
	storvsp_retry(f->sp);
	assert_int_equal(f->disk->request[0]->offset, 2 * PAGE + 512);
	assert_int_equal(f->disk->request[0]->len, 2 * PAGE - 512);
	memdisk_complete_all(f->disk);
	srb = take(f, t);
	assert_good(&srb, 3 * PAGE);
	for (unsigned i = 0; i < 3; i++)
		assert_memory_equal(f->disk->data + (1 + i) * PAGE,
				    vmguest_at(f->guest, gpa + (2 - i) * PAGE), PAGE);
}

static void other_operations_are_kept_too(void **state)
{
	const uint8_t sync[10] = {SCSI_SYNCHRONIZE_CACHE_10};
	const uint8_t same[10] = {SCSI_WRITE_SAME_10, [8] = 64};
	struct storvsc_packet p = srb_of(sync, sizeof(sync), 0);
	struct storvsc_packet s = srb_of(same, sizeof(same), 512);
	struct storvsc_packet r = rw_of(SCSI_READ_10, 8, 0, 8);
	struct fixture *f = *state;
	uint64_t gpa = vmguest_alloc(f->guest, PAGE), t = start(f, &p, 0);
	struct storvsc_srb srb;

	memdisk_complete(f->disk, 0, -EIO);
	assert_int_equal(owner.op, BLOCK_FLUSH);
	storvsp_retry(f->sp);
	memdisk_complete_all(f->disk);
	srb = take(f, t);
	assert_good(&srb, 0);
	fill(f, gpa, 512, 9);
	t = start(f, &s, gpa);
	memdisk_complete(f->disk, 0, -ENOSPC);
	storvsp_retry(f->sp);
	memdisk_complete_all(f->disk);
	srb = take(f, t);
	assert_good(&srb, 512);
	assert_memory_equal(f->disk->data + 63 * 512, vmguest_at(f->guest, gpa), 512);
	t = start(f, &r, gpa); /* a flush, then the read */
	memdisk_complete(f->disk, 0, 0);
	memdisk_complete(f->disk, 0, -EIO);
	assert_int_equal(owner.op, BLOCK_READ);
	storvsp_retry(f->sp);
	memdisk_complete_all(f->disk);
	srb = take(f, t);
	assert_good(&srb, PAGE);
}

static void owner_may_let_the_guest_know_of_the_error(void **state)
{
	struct storvsc_packet w = rw_of(SCSI_WRITE_10, 0, 0, 8);
	struct fixture *f = *state;
	uint64_t gpa = vmguest_alloc(f->guest, PAGE), t = start(f, &w, gpa);
	struct storvsc_srb srb;

	owner.keep = false;
	memdisk_complete(f->disk, 0, -ENOSPC);
	srb = take(f, t);
	assert_sense(&srb, 7, 0x2707);
	assert_int_equal(owner.failures, 1);
}

static void refusal_of_a_retry_is_told_to_the_guest(void **state)
{
	struct storvsc_packet w = rw_of(SCSI_WRITE_10, 0, 0, 8);
	struct fixture *f = *state;
	uint64_t gpa = vmguest_alloc(f->guest, PAGE), t = start(f, &w, gpa);
	struct storvsc_srb srb;

	memdisk_complete(f->disk, 0, -EIO);
	f->disk->refuse = -EIO;
	storvsp_retry(f->sp);
	srb = take(f, t);
	assert_sense(&srb, 3, 0x0C00);
	assert_int_equal(storvsp_held(f->sp), 0);
}

static void reset_waits_for_what_is_kept(void **state)
{
	struct storvsc_packet w = rw_of(SCSI_WRITE_10, 0, 0, 8);
	struct storvsc_packet reset = {.operation = STORVSC_OP_RESET_BUS};
	struct fixture *f = *state;
	uint64_t gpa = vmguest_alloc(f->guest, PAGE), t = start(f, &w, gpa);

	memdisk_complete(f->disk, 0, -EIO);
	start(f, &reset, 0);
	assert_silent(f);
	storvsp_retry(f->sp);
	memdisk_complete_all(f->disk);
	take(f, t);
	take(f, t + 1);
}

static void kept_requests_go_with_their_unit_or_their_channel(void **state)
{
	struct storvsc_packet w = rw_of(SCSI_WRITE_10, 0, 0, 8);
	struct fixture *f = *state;
	uint64_t gpa = vmguest_alloc(f->guest, PAGE), t = start(f, &w, gpa);
	struct storvsc_srb srb;

	memdisk_complete(f->disk, 0, -EIO);
	assert_int_equal(storvsp_detach(f->sp, 0, 0), 0);
	srb = take(f, t);
	assert_sense(&srb, 3, 0x0C00);
	assert_true(told_to_scan(f));
	assert_int_equal(storvsp_held(f->sp), 0);
	assert_int_equal(storvsp_attach(f->sp, 0, 0, &f->disk->dev, &identity), 0);
	assert_true(told_to_scan(f));
	start(f, &w, gpa);
	memdisk_complete(f->disk, 0, -EIO);
	assert_int_equal(storvsp_held(f->sp), 1);
	vmguest_close(&f->ch);
	assert_int_equal(storvsp_held(f->sp), 0);
	storvsp_retry(f->sp);
	assert_int_equal(f->disk->inflight, 0);
}

/* --- drives --------------------------------------------------------------------------------- */

static struct memdisk *medium_new(uint8_t mark)
{
	struct memdisk *d = memdisk_new(DVD_BYTES, SCSI_DVD_SECTOR_BYTES);

	d->dev.read_only = true;
	d->dev.discard_bytes = 0;
	memset(d->data, mark, DVD_BYTES);
	return d;
}

static uint8_t event_of(struct fixture *f, uint8_t *ret_status)
{
	const uint8_t cdb[10] = {SCSI_GET_EVENT_STATUS, 1, [4] = 0x10, [8] = 8};
	uint64_t gpa = vmguest_alloc(f->guest, PAGE);
	uint8_t *reply = vmguest_at(f->guest, gpa);
	struct storvsc_srb srb = run_at(f, 1, cdb, sizeof(cdb), 8, gpa);

	assert_good(&srb, 8);
	*ret_status = reply[5];
	return reply[4];
}

static struct storvsc_srb start_stop(struct fixture *f, uint8_t what)
{
	const uint8_t cdb[6] = {SCSI_START_STOP_UNIT, [4] = what};

	return run_at(f, 1, cdb, sizeof(cdb), 0, 0);
}

static struct storvsc_srb lock(struct fixture *f, uint8_t on)
{
	const uint8_t cdb[6] = {SCSI_PREVENT_ALLOW_REMOVAL, [4] = on};

	return run_at(f, 1, cdb, sizeof(cdb), 0, 0);
}

static uint8_t read_mark(struct fixture *f, struct memdisk *medium)
{
	const uint8_t cdb[10] = {SCSI_READ_10, [5] = 3, [8] = 2};
	struct storvsc_packet p = srb_of(cdb, sizeof(cdb), 2 * SCSI_DVD_SECTOR_BYTES);
	uint64_t gpa = vmguest_alloc(f->guest, PAGE), t;
	struct storvsc_srb srb;

	p.srb.lun = 1;
	t = start(f, &p, gpa);
	memdisk_complete_all(medium);
	srb = take(f, t);
	assert_good(&srb, 2 * SCSI_DVD_SECTOR_BYTES);
	return *(uint8_t *)vmguest_at(f->guest, gpa);
}

static void medium_is_put_in_read_taken_out_and_another_one_seen(void **state)
{
	struct memdisk *first = medium_new(1), *second = medium_new(2);
	struct fixture *f = *state;
	struct storvsc_srb srb;
	uint8_t status;

	assert_int_equal(storvsp_attach_dvd(f->sp, 0, 1, NULL, &identity), 0);
	assert_true(told_to_scan(f));
	srb = test_ready(f, 1);
	assert_sense(&srb, 2, 0x3A00);
	assert_int_equal(event_of(f, &status), SCSI_MEDIA_NO_EVENT);
	assert_int_equal(status, 0);
	assert_int_equal(storvsp_insert(f->sp, 0, 1, &first->dev), 0);
	assert_true(storvsp_has_medium(f->sp, 0, 1));
	assert_int_equal(storvsp_insert(f->sp, 0, 1, &second->dev), -EEXIST);
	assert_int_equal(event_of(f, &status), SCSI_MEDIA_NEW);
	assert_int_equal(status, 2);
	assert_int_equal(event_of(f, &status), SCSI_MEDIA_NO_EVENT);
	srb = test_ready(f, 1);
	assert_sense(&srb, 6, 0x2800);
	srb = test_ready(f, 1);
	assert_good(&srb, 0);
	assert_int_equal(read_mark(f, first), 1);
	assert_int_equal(storvsp_eject(f->sp, 0, 1, false), 0);
	assert_int_equal(storvsp_eject(f->sp, 0, 1, false), -ENOENT);
	assert_int_equal(event_of(f, &status), SCSI_MEDIA_REMOVED);
	srb = test_ready(f, 1);
	assert_sense(&srb, 2, 0x3A00);
	assert_int_equal(storvsp_insert(f->sp, 0, 1, &second->dev), 0);
	srb = test_ready(f, 1);
	assert_sense(&srb, 6, 0x2800);
	assert_int_equal(read_mark(f, second), 2);
	assert_int_equal(storvsp_detach(f->sp, 0, 1), 0);
	memdisk_free(first);
	memdisk_free(second);
}

static void medium_being_read_stays_until_the_read_has_ended(void **state)
{
	const uint8_t cdb[10] = {SCSI_READ_10, [8] = 1};
	struct storvsc_packet p = srb_of(cdb, sizeof(cdb), SCSI_DVD_SECTOR_BYTES);
	struct memdisk *medium = medium_new(1);
	struct fixture *f = *state;
	uint64_t gpa = vmguest_alloc(f->guest, PAGE), t;
	struct storvsc_srb srb;

	assert_int_equal(storvsp_attach_dvd(f->sp, 0, 1, &medium->dev, &identity), 0);
	assert_true(told_to_scan(f));
	test_ready(f, 1);
	p.srb.lun = 1;
	t = start(f, &p, gpa);
	assert_int_equal(storvsp_eject(f->sp, 0, 1, false), -EBUSY);
	assert_false(storvsp_has_medium(f->sp, 0, 1));
	assert_int_equal(storvsp_insert(f->sp, 0, 1, &medium->dev), -EBUSY);
	memdisk_complete_all(medium);
	srb = take(f, t);
	assert_good(&srb, SCSI_DVD_SECTOR_BYTES);
	srb = run(f, &p, gpa);
	assert_sense(&srb, 2, 0x3A00);
	assert_int_equal(storvsp_eject(f->sp, 0, 1, false), 0);
	memdisk_free(medium);
}

static void guest_ejects_unless_it_has_locked_the_drive(void **state)
{
	struct memdisk *medium = medium_new(1);
	struct fixture *f = *state;
	struct storvsc_srb srb;
	uint8_t status;

	assert_int_equal(storvsp_attach_dvd(f->sp, 0, 1, &medium->dev, &identity), 0);
	assert_true(told_to_scan(f));
	assert_int_equal(event_of(f, &status), SCSI_MEDIA_NEW);
	srb = lock(f, 1);
	assert_good(&srb, 0);
	srb = start_stop(f, 2);
	assert_sense(&srb, 5, 0x5302);
	assert_int_equal(storvsp_eject(f->sp, 0, 1, false), -EPERM);
	assert_int_equal(event_of(f, &status), SCSI_MEDIA_EJECT_REQUEST);
	assert_int_equal(status, 2);
	srb = lock(f, 0);
	assert_good(&srb, 0);
	srb = start_stop(f, 3); /* load: it is */
	assert_good(&srb, 0);
	srb = start_stop(f, 2);
	assert_good(&srb, 0);
	assert_int_equal(owner.ejections, 1);
	assert_int_equal(owner.lun, 1);
	srb = test_ready(f, 1);
	assert_sense(&srb, 2, 0x3A00);
	srb = start_stop(f, 2); /* nothing to eject */
	assert_good(&srb, 0);
	assert_int_equal(owner.ejections, 1);
	assert_int_equal(storvsp_eject(f->sp, 0, 1, false), 0);
	assert_int_equal(storvsp_insert(f->sp, 0, 1, &medium->dev), 0);
	lock(f, 1);
	assert_int_equal(storvsp_eject(f->sp, 0, 1, true), 0);
	assert_int_equal(storvsp_insert(f->sp, 0, 1, &medium->dev), 0);
	vmguest_close(&f->ch); /* the driver's lock goes with it */
	assert_int_equal(storvsp_eject(f->sp, 0, 1, false), 0);
	memdisk_free(medium);
}

static void only_a_medium_fits_into_only_a_drive(void **state)
{
	struct memdisk *medium = medium_new(1);
	struct fixture *f = *state;

	assert_int_equal(storvsp_attach_dvd(f->sp, 0, 0, NULL, &identity), -EEXIST);
	assert_int_equal(storvsp_attach_dvd(f->sp, 0, 64, NULL, &identity), -ERANGE);
	assert_int_equal(storvsp_attach_dvd(f->sp, 0, 1, &f->disk->dev, &identity), -EINVAL);
	assert_int_equal(storvsp_insert(f->sp, 0, 0, &medium->dev), -ENOENT);
	assert_int_equal(storvsp_insert(f->sp, 0, 1, &medium->dev), -ENOENT);
	assert_int_equal(storvsp_eject(f->sp, 0, 0, true), -ENOENT);
	assert_int_equal(storvsp_attach(f->sp, 0, 1, &medium->dev, &identity), -EINVAL);
	assert_int_equal(storvsp_attach_dvd(f->sp, 0, 1, NULL, &identity), 0);
	assert_int_equal(storvsp_insert(f->sp, 0, 1, &f->disk->dev), -EINVAL);
	medium->dev.read_only = false;
	assert_int_equal(storvsp_insert(f->sp, 0, 1, &medium->dev), -EINVAL);
	memdisk_free(medium);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		READY(guest_is_told_of_units_that_come_and_go),
		FRESH(guest_that_sets_up_is_not_told),
		READY(word_of_a_unit_waits_for_room_in_the_ring),
		READY(only_addresses_of_the_first_bus_are_told_to_be_gone),
		READY(every_lun_of_a_controller_can_have_a_disk),
		OWNED(failed_write_is_kept_and_tried_again),
		OWNED(what_had_moved_before_the_error_is_not_moved_again),
		OWNED(other_operations_are_kept_too),
		OWNED(owner_may_let_the_guest_know_of_the_error),
		OWNED(refusal_of_a_retry_is_told_to_the_guest),
		OWNED(reset_waits_for_what_is_kept),
		OWNED(kept_requests_go_with_their_unit_or_their_channel),
		READY(medium_is_put_in_read_taken_out_and_another_one_seen),
		READY(medium_being_read_stays_until_the_read_has_ended),
		OWNED(guest_ejects_unless_it_has_locked_the_drive),
		READY(only_a_medium_fits_into_only_a_drive),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
