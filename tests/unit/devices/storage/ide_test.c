/* SPDX-License-Identifier: GPL-2.0-or-later */
/* IDE channels: who is there, sectors in both directions, packets, errors, resets. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "devices/storage/ide.h"
#include "tests/lib/failheap.h"
#include "tests/lib/memdisk.h"

#define DISK_BYTES (1u << 20)
#define STATUS_IDLE 0x50
#define STATUS_DATA 0x58
#define STATUS_BUSY 0x80
#define STATUS_ERROR 0x51

static const struct scsi_identity identity = {
	.vendor = "Msft", .product = "Virtual Disk", .revision = "1.0", .serial = "one"};

static struct {
	struct ide *ide;
	struct memdisk *disk, *disc;
	bool line[IDE_CHANNELS];
	unsigned rises;
} f;

static void on_irq(void *ctx, unsigned channel, bool level)
{
	(void)ctx;
	assert_true(f.line[channel] != level);
	f.line[channel] = level;
	f.rises += level;
}

/* A disk at the first place, a drive at the third. */
static int setup(void **state)
{
	struct ide_host host = {.irq = on_irq};

	(void)state;
	memset(&f, 0, sizeof(f));
	f.ide = ide_new(&host);
	f.disk = memdisk_new(DISK_BYTES, 512);
	f.disc = memdisk_new(DISK_BYTES, 2048);
	assert_non_null(f.ide);
	for (unsigned i = 0; i < DISK_BYTES; i++) {
		f.disk->data[i] = (uint8_t)(i / 512 + i);
		f.disc->data[i] = (uint8_t)(i / 2048 * 3 + i);
	}
	assert_int_equal(ide_attach(f.ide, 0, SCSI_UNIT_DISK, &f.disk->dev, &identity), 0);
	assert_int_equal(ide_attach(f.ide, 2, SCSI_UNIT_DVD, &f.disc->dev, &identity), 0);
	ide_reset(f.ide);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	memdisk_complete_all(f.disk);
	memdisk_complete_all(f.disc);
	ide_free(f.ide);
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

static void begin(uint8_t command, uint64_t lba, unsigned count)
{
	for (int i = 1; i >= 0; i--) { /* what is for addresses of 48 bits comes first */
		set(0, 2, (uint8_t)(count >> 8 * i));
		set(0, 3, (uint8_t)(lba >> 24 * i));
		set(0, 4, (uint8_t)(lba >> (24 * i + 8)));
		set(0, 5, (uint8_t)(lba >> (24 * i + 16)));
	}
	set(0, 6, 0xE0);
	set(0, 7, command);
}

static void take(unsigned channel, uint8_t *to, unsigned len)
{
	for (unsigned i = 0; i < len; i += 2)
		le16_store(to + i, (uint16_t)ide_read(f.ide, channel, 0, 2));
}

static void give(unsigned channel, const uint8_t *from, unsigned len)
{
	for (unsigned i = 0; i < len; i += 4)
		ide_write(f.ide, channel, 0, 4, le32_load(from + i));
}

static void packet(const uint8_t cdb[12], unsigned limit)
{
	set(1, 6, 0xA0);
	set(1, 4, (uint8_t)limit);
	set(1, 5, (uint8_t)(limit >> 8));
	set(1, 7, 0xA0);
	assert_int_equal(get(1, 7), STATUS_DATA);
	give(1, cdb, 12);
}

static void places_tell_who_is_there(void **state)
{
	uint8_t sector[512];

	(void)state;
	begin(0xEC, 0, 0);
	assert_int_equal(get(0, 7), STATUS_DATA);
	take(0, sector, 512);
	assert_int_equal(get(0, 7), STATUS_IDLE);
	assert_memory_equal(sector + 54, "sMtfV riutlaD si k", 18);
	assert_int_equal(le32_load(sector + 120), DISK_BYTES / 512);
	assert_int_equal(le64_load(sector + 200), DISK_BYTES / 512);
	set(0, 6, 0xF0); /* nobody */
	assert_int_equal(get(0, 7), 0);
	set(0, 7, 0xEC);
	assert_int_equal(get(0, 7), 0);
	set(1, 6, 0xA0);
	set(1, 7, 0xEC);
	assert_int_equal(get(1, 7), STATUS_ERROR);
	assert_int_equal(get(1, 4) | get(1, 5) << 8, 0xEB14);
	set(1, 7, 0xA1);
	take(1, sector, 512);
	assert_int_equal(le16_load(sector), 0x8580);
}

static void registers_read_back(void **state)
{
	(void)state;
	set(0, 6, 0xA0);
	set(0, 2, 0x55);
	set(0, 3, 0xAA);
	assert_int_equal(get(0, 2), 0x55);
	assert_int_equal(get(0, 3), 0xAA);
	assert_int_equal(get(0, 6), 0xA0);
	set(0, 2, 0x66);
	ide_write_control(f.ide, 0, 0x80);
	assert_int_equal(get(0, 2), 0x55);
}

static void sectors_are_read_with_an_interrupt_each(void **state)
{
	static uint8_t data[100 * 512];

	(void)state;
	begin(0x24, 7, 100);
	assert_int_equal(ide_read_control(f.ide, 0), STATUS_BUSY);
	assert_int_equal(f.disk->inflight, 1);
	memdisk_complete_all(f.disk);
	take(0, data, 64 * 512); /* what the buffer holds */
	assert_int_equal(ide_read_control(f.ide, 0), STATUS_BUSY);
	memdisk_complete_all(f.disk);
	take(0, data + 64 * 512, 36 * 512);
	assert_memory_equal(data, f.disk->data + 7 * 512, sizeof(data));
	assert_int_equal(get(0, 7), STATUS_IDLE);
	assert_false(f.line[0]);
}

static void sectors_are_written(void **state)
{
	static uint8_t data[65 * 512];

	(void)state;
	memset(data, 0x5A, sizeof(data));
	begin(0x30, 3, 65);
	assert_int_equal(get(0, 7), STATUS_DATA);
	give(0, data, 64 * 512);
	assert_int_equal(ide_read_control(f.ide, 0), STATUS_BUSY);
	memdisk_complete_all(f.disk);
	assert_int_equal(ide_read_control(f.ide, 0), STATUS_DATA);
	give(0, data, 512);
	memdisk_complete_all(f.disk);
	assert_int_equal(get(0, 7), STATUS_IDLE);
	assert_memory_equal(f.disk->data + 3 * 512, data, sizeof(data));
	assert_int_equal(f.disk->dirty_to, 68 * 512);
	begin(0xE7, 0, 0);
	memdisk_complete_all(f.disk);
	assert_int_equal(f.disk->flushes, 1);
}

static void strings_move_as_single_accesses_do(void **state)
{
	static uint8_t data[70 * 512 + 6];

	(void)state;
	begin(0x24, 2, 64);
	memdisk_complete_all(f.disk);
	data[64 * 512] = 7;
	ide_read_string(f.ide, 0, data, 64 * 512 + 6); /* zeros behind the end */
	assert_memory_equal(data, f.disk->data + 2 * 512, 64 * 512);
	assert_int_equal(data[64 * 512], 0);
	begin(0x34, 0, 2);
	memset(data, 9, sizeof(data));
	ide_write_string(f.ide, 0, data, 1025);
	memdisk_complete_all(f.disk);
	assert_memory_equal(f.disk->data, data, 1024);
	assert_int_equal(get(0, 7), STATUS_IDLE);
	ide_write_string(f.ide, 0, data, 512);
	assert_int_equal(f.disk->inflight, 0);
}

static void what_lies_outside_is_refused(void **state)
{
	(void)state;
	begin(0x20, DISK_BYTES / 512 - 1, 2);
	assert_int_equal(get(0, 7), STATUS_ERROR);
	assert_int_equal(get(0, 1), 0x10);
	begin(0x34, UINT64_C(0xFFFFFFFFFFFF), 0);
	assert_int_equal(get(0, 7), STATUS_ERROR);
	set(0, 6, 0xA0); /* cylinder, head and sector */
	set(0, 7, 0x20);
	assert_int_equal(get(0, 7), STATUS_ERROR);
	begin(0xC8, 0, 1); /* DMA */
	assert_int_equal(get(0, 1), 0x04);
	assert_int_equal(f.disk->inflight, 0);
}

static void errors_of_the_disk_are_told(void **state)
{
	(void)state;
	begin(0x20, 0, 1);
	memdisk_complete(f.disk, 0, -EIO);
	assert_true(f.line[0]);
	assert_int_equal(get(0, 7), STATUS_ERROR);
	assert_int_equal(get(0, 1), 0x40);
	assert_false(f.line[0]);
	f.disk->refuse = -ENOSPC;
	begin(0x20, 0, 1);
	assert_int_equal(get(0, 7), STATUS_ERROR);
	f.disk->dev.read_only = true;
}

static void a_reset_drops_what_is_under_way(void **state)
{
	(void)state;
	begin(0x20, 0, 1);
	ide_write_control(f.ide, 0, 0x04);
	ide_write_control(f.ide, 0, 0x00);
	assert_int_equal(get(0, 7), STATUS_BUSY);
	set(0, 7, 0xEC); /* nobody listens */
	assert_int_equal(ide_set_medium(f.ide, 0, NULL), -EBUSY);
	memdisk_complete_all(f.disk);
	assert_int_equal(get(0, 7), STATUS_IDLE);
	assert_int_equal(ide_read(f.ide, 0, 0, 2), 0);
	assert_false(f.line[0]);
}

static void no_interrupt_comes_while_it_is_switched_off(void **state)
{
	(void)state;
	ide_write_control(f.ide, 0, 0x02);
	begin(0x20, 0, 1);
	memdisk_complete_all(f.disk);
	assert_int_equal(f.rises, 0);
}

static void another_drive_gets_nothing_of_a_command_under_way(void **state)
{
	uint8_t data[512];

	(void)state;
	assert_int_equal(ide_attach(f.ide, 1, SCSI_UNIT_DVD, NULL, &identity), 0);
	begin(0x30, 1, 1);
	set(0, 6, 0xF0);
	memset(data, 1, sizeof(data));
	give(0, data, 512);
	assert_int_equal(f.disk->inflight, 1);
	memdisk_complete_all(f.disk);
	assert_memory_equal(f.disk->data + 512, data, 512);
}

static void a_drive_moves_blocks_of_the_size_that_is_asked_for(void **state)
{
	static const uint8_t read[12] = {0x28, 0, 0, 0, 0, 5, 0, 0, 20};
	static const uint8_t ready[12] = {0};
	static uint8_t data[20 * 2048];

	(void)state;
	packet(ready, 0);
	assert_int_equal(get(1, 7), STATUS_ERROR); /* the medium is new */
	assert_int_equal(get(1, 1), 0x64);
	packet(ready, 0);
	assert_int_equal(get(1, 7), STATUS_IDLE);
	packet(read, 2048);
	for (unsigned i = 0; i < 20; i++) {
		memdisk_complete_all(f.disc);
		assert_int_equal(get(1, 7), STATUS_DATA);
		assert_int_equal(get(1, 2), 2);
		assert_int_equal(get(1, 4) | get(1, 5) << 8, 2048);
		take(1, data + (size_t)i * 2048, 2048);
	}
	assert_int_equal(get(1, 7), STATUS_IDLE);
	assert_int_equal(get(1, 2), 3);
	assert_memory_equal(data, f.disc->data + 5 * 2048, sizeof(data));
}

static void a_drive_tells_its_sense_once(void **state)
{
	static const uint8_t sense[12] = {0x03, 0, 0, 0, 18};
	uint8_t data[18];

	(void)state;
	assert_int_equal(ide_set_medium(f.ide, 2, NULL), 0);
	packet((const uint8_t[12]){0x28, 0, 0, 0, 0, 0, 0, 0, 1}, 2048);
	assert_int_equal(get(1, 7), STATUS_ERROR);
	packet(sense, 64);
	take(1, data, 18);
	assert_int_equal(data[2], 2);
	assert_int_equal(data[12], 0x3A);
	packet(sense, 64);
	take(1, data, 18);
	assert_int_equal(data[2], 0);
}

static void a_disc_that_goes_under_way_ends_the_command(void **state)
{
	static const uint8_t read[12] = {0x28, 0, 0, 0, 0, 0, 0, 0, 32};
	static uint8_t data[32768];

	(void)state;
	packet((const uint8_t[12]){0}, 0);
	packet(read, 0x8000);
	memdisk_complete_all(f.disc);
	assert_int_equal(ide_set_medium(f.ide, 2, NULL), 0);
	take(1, data, sizeof(data));
	assert_int_equal(get(1, 7), STATUS_ERROR);
}

static void places_are_checked(void **state)
{
	(void)state;
	assert_int_equal(ide_attach(f.ide, 0, SCSI_UNIT_DISK, &f.disk->dev, &identity), -EEXIST);
	assert_int_equal(ide_attach(f.ide, 4, SCSI_UNIT_DISK, &f.disk->dev, &identity), -ERANGE);
	assert_int_equal(ide_attach(f.ide, 3, SCSI_UNIT_DISK, &f.disc->dev, &identity), -ENOTSUP);
	assert_int_equal(ide_set_medium(f.ide, 9, NULL), -ERANGE);
	assert_int_equal(ide_set_medium(f.ide, 3, NULL), 0);
}

static int make(void *ctx)
{
	struct ide_host host = {0};
	struct ide *ide = ide_new(&host);

	(void)ctx;
	ide_free(ide);
	return ide ? 0 : -ENOMEM;
}

static void memory_may_be_short(void **state)
{
	(void)state;
	assert_int_equal(failheap_sweep(make, NULL), 1);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(places_tell_who_is_there),
		CASE(registers_read_back),
		CASE(sectors_are_read_with_an_interrupt_each),
		CASE(sectors_are_written),
		CASE(strings_move_as_single_accesses_do),
		CASE(what_lies_outside_is_refused),
		CASE(errors_of_the_disk_are_told),
		CASE(a_reset_drops_what_is_under_way),
		CASE(no_interrupt_comes_while_it_is_switched_off),
		CASE(another_drive_gets_nothing_of_a_command_under_way),
		CASE(a_drive_moves_blocks_of_the_size_that_is_asked_for),
		CASE(a_drive_tells_its_sense_once),
		CASE(a_disc_that_goes_under_way_ends_the_command),
		CASE(places_are_checked),
		cmocka_unit_test(memory_may_be_short),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
