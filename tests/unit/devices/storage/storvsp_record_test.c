/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The SCSI controller in a saved state. */
#include "tests/lib/statetest.h"
#include "tests/unit/devices/storage/storvsp_fixture.h"

static void go(void *device, struct record *r)
{
	storvsp_record(device, r);
}

/* A controller that no guest has seen, with a disk and a drive. */
struct fresh {
	struct vmguest *guest;
	struct memdisk *disk, *medium;
	struct storvsp *sp;
};

static struct fresh made;

static void *make_fresh(void)
{
	made.guest = vmguest_new(16 * PAGE, 0);
	made.disk = memdisk_new(64 * 512, 512);
	made.medium = memdisk_new(2048 * 4, 2048);
	made.medium->dev.read_only = true;
	made.sp = storvsp_new(made.guest->bus, &fixture_config);
	assert_non_null(made.sp);
	assert_int_equal(storvsp_attach(made.sp, 0, 0, &made.disk->dev, &identity), 0);
	assert_int_equal(storvsp_attach_dvd(made.sp, 0, 1, &made.medium->dev, &identity), 0);
	return made.sp;
}

static void drop_fresh(void *sp)
{
	storvsp_free(sp);
	vmguest_free(made.guest);
	memdisk_free(made.disk);
	memdisk_free(made.medium);
}

static void drive(void *sp)
{
	vmbus_restored(made.guest->bus);
	vmguest_run(made.guest);
	storvsp_retry(sp);
	(void)storvsp_eject(sp, 0, 1, true);
}

static struct memdisk *add_drive(struct fixture *f)
{
	struct memdisk *medium = memdisk_new(2048 * 4, 2048);

	medium->dev.read_only = true;
	assert_int_equal(storvsp_attach_dvd(f->sp, 0, 1, &medium->dev, &identity), 0);
	return medium;
}

/* A driver that has set it up and has sub-channels. */
static void ask_sub_channels(struct fixture *f)
{
	struct storvsc_packet in = {.operation = STORVSC_OP_CREATE_SUB_CHANNELS,
				    .sub_channel_count = 2};

	assert_int_equal(ask(f, &in).status, 0);
}

static void a_controller_in_use_is_read_the_same(void **state)
{
	struct fixture *f = *state;
	struct memdisk *medium;

	ask_sub_channels(f);
	medium = add_drive(f); /* which the guest is told of */
	make_fresh();
	statetest_same(go, f->sp, made.sp);
	drop_fresh(made.sp);
	statetest_cut(go, f->sp, make_fresh, drop_fresh);
	statetest_more(go, f->sp, make_fresh, drop_fresh);
	statetest_flip(go, f->sp, make_fresh, drop_fresh, drive);
	assert_int_equal(storvsp_detach(f->sp, 0, 1), 0);
	memdisk_free(medium);
}

static void a_medium_that_was_ejected_stays_out(void **state)
{
	struct fixture *f = *state;
	struct memdisk *medium = add_drive(f);

	assert_int_equal(storvsp_eject(f->sp, 0, 1, true), 0);
	make_fresh();
	assert_true(storvsp_has_medium(made.sp, 0, 1));
	statetest_same(go, f->sp, made.sp);
	assert_false(storvsp_has_medium(made.sp, 0, 1));
	drop_fresh(made.sp);
	assert_int_equal(storvsp_detach(f->sp, 0, 1), 0);
	memdisk_free(medium);
}

static void what_does_not_fit_is_refused(void **state)
{
	static const uint8_t one = 1, two = 2, many = 99;
	struct fixture *f = *state;
	struct memdisk *medium = add_drive(f);

	statetest_refuses(go, f->sp, make_fresh, drop_fresh, "units", 0, &one, 1,
			  "disks and drives");
	statetest_refuses(go, f->sp, make_fresh, drop_fresh, "lun", 0, &two, 1,
			  "the VM has no disk at");
	statetest_refuses(go, f->sp, make_fresh, drop_fresh, "queues", 0, &many, 1, "more than");
	statetest_refuses(go, f->sp, make_fresh, drop_fresh, "state", 0, &many, 1, "more than");
	assert_int_equal(storvsp_detach(f->sp, 0, 1), 0);
	memdisk_free(medium);
}

static void nothing_is_written_while_requests_are_under_way(void **state)
{
	static const uint8_t read_10[10] = {0x28, [8] = 1};
	struct storvsc_packet in = srb_of(read_10, sizeof(read_10), 512);
	struct fixture *f = *state;
	struct record r = record_writer(1, NULL, 0);

	in.srb.data_in = 1;
	vmguest_send_gpa(&f->ch, 5, vmguest_alloc(f->guest, PAGE), 512, &in, sizeof(in));
	assert_int_equal(storvsp_inflight(f->sp), 1);
	storvsp_record(f->sp, &r);
	assert_int_equal(record_end(&r), -ENOSPC);
	assert_non_null(strstr(r.wrong, "under way"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_controller_in_use_is_read_the_same, make_ready,
						unmake),
		cmocka_unit_test_setup_teardown(a_medium_that_was_ejected_stays_out, make_ready,
						unmake),
		cmocka_unit_test_setup_teardown(what_does_not_fit_is_refused, make_ready, unmake),
		cmocka_unit_test_setup_teardown(nothing_is_written_while_requests_are_under_way,
						make_ready, unmake),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
