/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The saved state of the IDE channels: amid transfers of each kind, and hostile records. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "devices/storage/ide.h"
#include "tests/lib/memdisk.h"
#include "tests/lib/statetest.h"

#define DISK_BYTES (1u << 20)
#define STATUS_IDLE 0x50
#define STATUS_DATA 0x58
#define STATUS_ERROR 0x51

static const struct scsi_identity identity = {
	.vendor = "Msft", .product = "Virtual Disk", .revision = "1.0", .serial = "one"};

static struct {
	struct ide *ide; /* which the helpers below speak to */
	struct ide *saved;
	struct memdisk *disk, *disc;
	bool line[IDE_CHANNELS];
	unsigned rises;
} f;

static void on_irq(void *ctx, unsigned channel, bool level)
{
	if (!ctx)
		return;
	assert_true(f.line[channel] != level);
	f.line[channel] = level;
	f.rises += level;
}

/* A disk at the first place, a drive at the third. */
static struct ide *make_for(void *ctx)
{
	struct ide_host host = {.irq = on_irq, .ctx = ctx};
	struct ide *ide = ide_new(&host);

	if (ide) {
		assert_int_equal(ide_attach(ide, 0, SCSI_UNIT_DISK, &f.disk->dev, &identity), 0);
		assert_int_equal(ide_attach(ide, 2, SCSI_UNIT_DVD, &f.disc->dev, &identity), 0);
		ide_reset(ide);
	}
	return ide;
}

static void *make(void)
{
	return make_for(NULL);
}

static void drop(void *device)
{
	ide_free(device);
}

static void device_state(void *device, struct record *r)
{
	ide_state(device, r);
}

static int setup(void **state)
{
	(void)state;
	memset(&f, 0, sizeof(f));
	f.disk = memdisk_new(DISK_BYTES, 512);
	f.disc = memdisk_new(DISK_BYTES, 2048);
	for (unsigned i = 0; i < DISK_BYTES; i++) {
		f.disk->data[i] = (uint8_t)(i / 512 + i);
		f.disc->data[i] = (uint8_t)(i / 2048 * 3 + i);
	}
	f.saved = make();
	f.ide = f.saved;
	assert_non_null(f.saved);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	memdisk_complete_all(f.disk);
	memdisk_complete_all(f.disc);
	assert_int_equal(f.disk->broken + f.disc->broken, 0);
	if (f.ide != f.saved)
		ide_free(f.ide);
	ide_free(f.saved);
	memdisk_free(f.disk);
	memdisk_free(f.disc);
	return 0;
}

static uint8_t get(unsigned channel, unsigned reg)
{
	return (uint8_t)ide_read(f.ide, channel, reg, 1);
}

static void set(unsigned channel, unsigned reg, uint8_t value)
{
	ide_write(f.ide, channel, reg, 1, value);
}

static void begin(uint8_t command, uint8_t lba, uint8_t count)
{
	for (unsigned i = 0; i < 2; i++) {
		set(0, 2, i ? count : 0);
		set(0, 3, i ? lba : 0);
		set(0, 4, 0);
		set(0, 5, 0);
	}
	set(0, 6, 0xE0);
	set(0, 7, command);
	memdisk_complete_all(f.disk);
}

static void take(unsigned channel, uint8_t *to, unsigned len)
{
	for (unsigned i = 0; i < len; i += 2)
		le16_store(to + i, (uint16_t)ide_read(f.ide, channel, 0, 2));
}

static void give(unsigned channel, const uint8_t *from, unsigned len)
{
	for (unsigned i = 0; i < len; i += 2)
		ide_write(f.ide, channel, 0, 2, le16_load(from + i));
}

static void begin_packet(unsigned limit)
{
	set(1, 6, 0xA0);
	set(1, 4, (uint8_t)limit);
	set(1, 5, (uint8_t)(limit >> 8));
	set(1, 7, 0xA0);
}

static void packet(const uint8_t cdb[12], unsigned limit)
{
	begin_packet(limit);
	give(1, cdb, 12);
	memdisk_complete_all(f.disc);
}

/* From here on the helpers speak to other channels, which have read the state of the first. */
static void restore(void)
{
	struct ide *fresh = make_for(&f);

	assert_ptr_equal(f.ide, f.saved);
	statetest_same(device_state, f.saved, fresh);
	f.ide = fresh;
}

/* ---- each of what can be under way ---- */

static void idle_channels_come_back_with_their_registers(void **state)
{
	(void)state;
	begin(0x20, 250, 1);
	take(0, (uint8_t[512]){0}, 512);
	ide_write_control(f.ide, 1, 0x02);
	set(0, 2, 0x55);
	set(0, 2, 0x66);
	ide_write_control(f.ide, 0, 0x80);
	restore();
	assert_int_equal(get(0, 2), 0x55);
	set(0, 3, 0);
	assert_int_equal(get(0, 2), 0x66);
	assert_int_equal(get(0, 7), STATUS_IDLE);
	assert_int_equal(get(0, 0), 0);
	packet((const uint8_t[12]){0}, 0);
	assert_int_equal(f.rises, 0);
}

static void a_read_goes_on_where_the_guest_was(void **state)
{
	static uint8_t data[100 * 512];

	(void)state;
	begin(0x24, 7, 100);
	take(0, data, 3 * 512 + 100);
	restore();
	assert_int_equal(f.rises, 1);
	take(0, data + 3 * 512 + 100, 61 * 512 - 100); /* what the buffer held */
	assert_int_equal(f.disk->inflight, 1);
	memdisk_complete_all(f.disk);
	take(0, data + 64 * 512, 36 * 512);
	assert_memory_equal(data, f.disk->data + 7 * 512, sizeof(data));
	assert_int_equal(get(0, 7), STATUS_IDLE);
	assert_false(f.line[0]);
}

static void a_write_goes_on_where_the_guest_was(void **state)
{
	static uint8_t data[65 * 512];

	(void)state;
	for (unsigned i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7 + i / 512);
	begin(0x30, 3, 65);
	give(0, data, 700);
	restore();
	give(0, data + 700, 64 * 512 - 700);
	assert_int_equal(f.disk->inflight, 1);
	memdisk_complete_all(f.disk);
	give(0, data + 64 * 512, 512);
	memdisk_complete_all(f.disk);
	assert_int_equal(get(0, 7), STATUS_IDLE);
	assert_memory_equal(f.disk->data + 3 * 512, data, sizeof(data));
}

static void a_packet_may_have_come_by_half(void **state)
{
	static const uint8_t read[12] = {0x28, 0, 0, 0, 0, 5, 0, 0, 3};
	static uint8_t data[3 * 2048];

	(void)state;
	packet((const uint8_t[12]){0}, 0); /* the medium is new */
	begin_packet(2048);
	give(1, read, 6);
	restore();
	give(1, read + 6, 6);
	for (unsigned i = 0; i < 3; i++) {
		memdisk_complete_all(f.disc);
		assert_int_equal(get(1, 7), STATUS_DATA);
		take(1, data + (size_t)i * 2048, 2048);
	}
	assert_memory_equal(data, f.disc->data + 5 * 2048, sizeof(data));
}

static void a_drive_reads_on_and_a_disk_writes_on_at_once(void **state)
{
	static const uint8_t read[12] = {0x28, 0, 0, 0, 0, 2, 0, 0, 40};
	static uint8_t data[40 * 2048], sector[512];

	(void)state;
	packet((const uint8_t[12]){0}, 0);
	packet(read, 0xFFFF);
	take(1, data, 1000);
	memset(sector, 0x11, sizeof(sector));
	begin(0x30, 9, 1);
	give(0, sector, 100);
	restore();
	for (unsigned at = 1000; at < sizeof(data); at += 2) {
		take(1, data + at, 2);
		memdisk_complete_all(f.disc);
	}
	assert_memory_equal(data, f.disc->data + 2 * 2048, sizeof(data));
	give(0, sector + 100, 412);
	memdisk_complete_all(f.disk);
	assert_memory_equal(f.disk->data + 9 * 512, sector, 512);
}

static void a_drive_still_has_to_tell_its_sense(void **state)
{
	static const uint8_t sense[12] = {0x03, 0, 0, 0, 18};
	uint8_t data[18];

	(void)state;
	packet((const uint8_t[12]){0}, 0);
	assert_int_equal(get(1, 1), 0x64);
	restore();
	assert_int_equal(get(1, 1), 0x64);
	packet(sense, 64);
	take(1, data, 18);
	assert_int_equal(data[2], 6);
	assert_int_equal(data[12], 0x28);
	packet((const uint8_t[12]){0}, 0); /* and is not told of its medium again */
	assert_int_equal(get(1, 7), STATUS_IDLE);
}

static void a_disk_that_went_amid_a_read_stays_gone(void **state)
{
	static uint8_t data[64 * 512];
	struct ide *fresh = make_for(&f);

	(void)state;
	begin(0x24, 0, 100);
	assert_int_equal(ide_set_medium(f.ide, 0, NULL), 0);
	assert_int_equal(ide_set_medium(fresh, 0, NULL), 0);
	assert_int_equal(ide_attach(f.ide, 1, SCSI_UNIT_DVD, NULL, &identity), 0);
	assert_int_equal(ide_attach(fresh, 1, SCSI_UNIT_DVD, NULL, &identity), 0);
	statetest_same(device_state, f.saved, fresh);
	f.ide = fresh;
	take(0, data, sizeof(data));
	assert_memory_equal(data, f.disk->data, sizeof(data));
	assert_int_equal(f.disk->inflight, 0);
	set(0, 6, 0xF0);
	assert_int_equal(get(0, 7), STATUS_ERROR);
}

/* ---- what is refused ---- */

static void an_operation_at_a_medium_has_no_state(void **state)
{
	uint8_t bytes[64];
	struct record r = record_writer(1, bytes, sizeof(bytes));

	(void)state;
	set(0, 6, 0xE0);
	set(0, 2, 1);
	set(0, 7, 0x20);
	ide_state(f.ide, &r);
	assert_false(record_ok(&r));
	assert_string_equal(r.wrong, "an operation of IDE channel 0 is at its medium");
	ide_write_control(f.ide, 0, 0x04);
	ide_write_control(f.ide, 0, 0x00); /* nor one whose answer is dropped */
	r = record_writer(1, NULL, 0);
	ide_state(f.ide, &r);
	assert_false(record_ok(&r));
	memdisk_complete_all(f.disk);
	r = record_writer(1, NULL, 0);
	ide_state(f.ide, &r);
	assert_true(record_ok(&r));
}

static void channels_in_use_read_no_state(void **state)
{
	uint8_t bytes[2048], data[512];
	size_t len = statetest_write(device_state, f.saved, bytes, sizeof(bytes));
	char wrong[RECORD_WRONG_MAX];

	(void)state;
	begin(0x20, 4, 1);
	assert_true(statetest_read(device_state, f.ide, bytes, len, wrong) < 0);
	assert_string_equal(wrong, "IDE channel 0 is in use");
	take(0, data, 512);
	assert_memory_equal(data, f.disk->data + 4 * 512, 512);
}

static void other_units_are_refused(void **state)
{
	struct ide_host host = {0};
	struct ide *other = ide_new(&host);
	uint8_t bytes[2048];
	size_t len = statetest_write(device_state, f.saved, bytes, sizeof(bytes));
	char wrong[RECORD_WRONG_MAX];

	(void)state;
	assert_non_null(other);
	assert_true(statetest_read(device_state, other, bytes, len, wrong) < 0);
	assert_string_equal(wrong, "another unit was at IDE place 0");
	assert_int_equal(ide_attach(other, 0, SCSI_UNIT_DISK, &f.disk->dev, &identity), 0);
	assert_int_equal(ide_attach(other, 2, SCSI_UNIT_DISK, &f.disk->dev, &identity), 0);
	assert_true(statetest_read(device_state, other, bytes, len, wrong) < 0);
	assert_string_equal(wrong, "another unit was at IDE place 2");
	ide_free(other);
}

/* A guest that goes on with what it was at, and then begins anew. */
static void drive_channel(struct ide *ide, unsigned channel)
{
	static uint8_t data[3 * 32768];

	ide_read(ide, channel, 0, 4);
	for (unsigned i = 0; i < 2; i++) {
		ide_read_string(ide, channel, data, sizeof(data));
		memdisk_complete_all(f.disk);
		memdisk_complete_all(f.disc);
		ide_write_string(ide, channel, data, sizeof(data));
		memdisk_complete_all(f.disk);
		memdisk_complete_all(f.disc);
	}
	for (unsigned reg = 1; reg < 8; reg++)
		ide_read(ide, channel, reg, 1);
	ide_read_control(ide, channel);
	for (unsigned drive = 0; drive < 2; drive++) {
		ide_write(ide, channel, 6, 1, drive << 4 | 0xE0);
		ide_write(ide, channel, 7, 1, 0xA0);
		ide_write_string(ide, channel, (const uint8_t[12]){0x03, 0, 0, 0, 18}, 12);
		ide_read_string(ide, channel, data, 18);
	}
	ide_write_control(ide, channel, 0x04);
	ide_write_control(ide, channel, 0x00);
}

static void drive(void *device)
{
	struct ide *ide = device;

	for (unsigned channel = 0; channel < IDE_CHANNELS; channel++)
		drive_channel(ide, channel);
	assert_int_equal(ide_set_medium(ide, 2, NULL), 0);
	assert_int_equal(f.disk->broken + f.disc->broken, 0);
}

static void wrong_records_do_no_harm(void **state)
{
	(void)state;
	packet((const uint8_t[12]){0}, 0);
	packet((const uint8_t[12]){0x28, 0, 0, 0, 0, 0, 0, 0, 17},
	       2048); /* half is at the medium */
	take(1, (uint8_t[32768]){0}, 32768 - 20);
	begin(0x30, 3, 70);
	give(0, (const uint8_t[32]){0}, 32);
	statetest_cut(device_state, f.ide, make, drop);
	statetest_more(device_state, f.ide, make, drop);
	statetest_flip(device_state, f.ide, make, drop, drive);
}

static void wrong_records_of_other_phases_do_no_harm(void **state)
{
	(void)state;
	begin_packet(2048);
	give(1, (const uint8_t[12]){0}, 4);
	begin(0x24, 3, 70);
	take(0, (uint8_t[32768]){0}, 32768 - 20);
	statetest_cut(device_state, f.ide, make, drop);
	statetest_flip(device_state, f.ide, make, drop, drive);
}

static void refuses(const char *field, size_t at, const char *bytes, size_t len, const char *why)
{
	statetest_refuses(device_state, f.ide, make, drop, field, at, bytes, len, why);
}

static void a_transfer_that_would_leave_the_buffer_is_refused(void **state)
{
	(void)state;
	packet((const uint8_t[12]){0}, 0);
	packet((const uint8_t[12]){0x28, 0, 0, 0, 0, 0, 0, 0, 17}, 2048);
	begin(0x24, 3, 70);
	take(0, (uint8_t[1024]){0}, 1000);
	refuses("channel0_phase", 0, "\x04", 1, "more than 3");
	refuses("channel0_served", 0, "\x02", 1, "more than 1");
	refuses("channel0_pos", 0, "\x00\x04", 2, "moves bytes 1024 to 1024");
	refuses("channel0_pos", 1, "\xFF", 1, "moves bytes");
	refuses("channel0_pos", 0, "\xFF\x01", 2, "moves bytes"); /* more than a block */
	refuses("channel0_len", 1, "\x03", 1, "moves bytes");
	refuses("channel0_len", 0, "\x02\x80", 2, "moves bytes 1000 to 1024 of 32770");
	refuses("channel0_block_end", 3, "\x80", 1, "moves bytes");
	refuses("channel0_block_max", 0, "\x00\x00", 2, "blocks of 0 bytes");
	refuses("channel1_block_max", 0, "\x00\x00", 2, "blocks of 0 bytes");
	refuses("channel1_block_max", 2, "\x01", 1, "blocks of");
	refuses("channel0_offset", 0, "\x01", 1, "no such bytes");
	refuses("channel1_offset", 1, "\x82", 1, "no such bytes");
	refuses("channel0_left", 0, "\x01", 1, "no such bytes");
	refuses("channel1_by_packet", 0, "\x00", 1, "blocks of");
	refuses("channel1_served", 0, "\x01", 1, "for what is no drive");
	refuses("channel0_control", 0, "\x02", 1, "its interrupt off");
	refuses("place2_attention", 0, "\x01", 1, "would tell of");
	refuses("place2_sense_key", 0, "\x10", 1, "sense key 16");
	refuses("place1_kind", 0, "\x01", 1, "another unit");
}

static void a_write_that_cannot_be_is_refused(void **state)
{
	(void)state;
	begin(0x30, 3, 70);
	give(0, (const uint8_t[32]){0}, 32);
	refuses("channel0_left", 0, "\x00\x7E", 2, "no such bytes"); /* less than is given */
	refuses("channel0_left", 0, "\x00\x00", 2, "cannot be written");
	refuses("channel0_len", 1, "\x7E", 1, "no such bytes");
	refuses("channel0_by_packet", 0, "\x01", 1, "for what is no drive");
}

static void a_packet_of_another_length_is_refused(void **state)
{
	(void)state;
	begin_packet(2048);
	give(1, (const uint8_t[12]){0}, 4);
	refuses("channel1_len", 0, "\x10", 1, "moves bytes");
	refuses("channel1_block_end", 0, "\x08", 1, "moves bytes");
	refuses("channel1_left", 1, "\x08", 1, "moves bytes");
	refuses("channel1_phase", 0, "\x03", 1, "cannot be written");
}

static void a_disk_that_is_read_only_is_not_written(void **state)
{
	(void)state;
	begin(0x30, 3, 1);
	give(0, (const uint8_t[32]){0}, 32);
	f.disk->dev.read_only = true;
	refuses("channel0_pos", 0, "\x20", 1, "cannot be written");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(idle_channels_come_back_with_their_registers),
		CASE(a_read_goes_on_where_the_guest_was),
		CASE(a_write_goes_on_where_the_guest_was),
		CASE(a_packet_may_have_come_by_half),
		CASE(a_drive_reads_on_and_a_disk_writes_on_at_once),
		CASE(a_drive_still_has_to_tell_its_sense),
		CASE(a_disk_that_went_amid_a_read_stays_gone),
		CASE(an_operation_at_a_medium_has_no_state),
		CASE(channels_in_use_read_no_state),
		CASE(other_units_are_refused),
		CASE(wrong_records_do_no_harm),
		CASE(wrong_records_of_other_phases_do_no_harm),
		CASE(a_transfer_that_would_leave_the_buffer_is_refused),
		CASE(a_write_that_cannot_be_is_refused),
		CASE(a_packet_of_another_length_is_refused),
		CASE(a_disk_that_is_read_only_is_not_written),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
