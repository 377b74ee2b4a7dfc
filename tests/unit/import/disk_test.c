/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Partition tables, initramfs and texts of a Linux, in memory. */
#include "tests/unit/import/room.h"

#include <errno.h>

#include "base/bytes.h"
#include "import/linux_disk.h"
#include "import/partitions.h"
#include "tests/lib/failheap.h"

#define SECTORS 64u

static uint8_t disk[SECTORS * 512];
static struct partitions parts;

static void entry(unsigned sector, unsigned i, uint8_t active, uint8_t type, uint32_t first,
		  uint32_t count)
{
	uint8_t *e = disk + sector * 512 + 446 + 16 * i;

	le16_store(disk + sector * 512 + 510, 0xaa55);
	e[0] = active;
	e[4] = type;
	le32_store(e + 8, first);
	le32_store(e + 12, count);
}

static void decode(void)
{
	struct source s = source_of_memory(disk, sizeof(disk));

	assert_int_equal(partitions_decode(&s, &parts), 0);
}

static void logical_partitions_are_found(void **state)
{
	(void)state;
	memset(disk, 0, sizeof(disk));
	disk[0] = 0xeb;
	entry(0, 0, 0x80, 0x83, 2, 4);
	entry(0, 1, 0, 0x0f, 10, 50);
	entry(10, 0, 0, 0x83, 1, 5);
	entry(10, 1, 0, 0x05, 20, 10);
	entry(30, 0, 0, 0xef, 2, 6);
	decode();
	assert_int_equal(parts.count, 3);
	assert_true(parts.list[0].active && parts.list[0].offset == 1024);
	assert_true(parts.list[1].offset == 11 * 512 && parts.list[1].length == 5 * 512);
	assert_true(parts.list[2].offset == 32 * 512 && parts.list[2].length == 6 * 512);
	assert_false(parts.damaged);
	assert_int_equal(partitions_boot(&parts), BOOTS_BIOS);
}

static void tables_that_lead_astray_are_cut(void **state)
{
	(void)state;
	memset(disk, 0, sizeof(disk));
	entry(0, 0, 0, 0x83, 60, 5);
	entry(0, 1, 0, 0x83, UINT32_MAX, UINT32_MAX);
	decode();
	assert_true(parts.count == 0 && parts.damaged);
	/* A chain that bites its tail. */
	memset(disk, 0, sizeof(disk));
	entry(0, 0, 0, 0x05, 10, 50);
	entry(10, 0, 0, 0x83, 1, 5);
	entry(10, 1, 0, 0x05, 0, 10);
	decode();
	assert_true(parts.count <= PARTITIONS_MAX && parts.damaged);
	memset(disk, 0, sizeof(disk));
	entry(0, 0, 0, 0x05, 1000, 50);
	decode();
	assert_true(parts.count == 0 && parts.damaged);
	memset(disk, 0, sizeof(disk));
	entry(0, 0, 0, 0xee, 1, 63);
	decode();
	assert_true(parts.table == TABLE_NONE && parts.damaged);
	assert_int_equal(partitions_boot(&parts), BOOTS_UNKNOWN);
}

/* Members of an archive that is not compressed. */
struct cpio {
	uint8_t bytes[65536];
	size_t len, at;
};

static void cpio_add(struct cpio *c, const char *name, size_t file)
{
	c->len +=
		(size_t)snprintf((char *)c->bytes + c->len, 200, "070701%048x%08zx%032x%08zx%08x%s",
				 0, file, 0, strlen(name) + 1, 0, name) +
		1;
	c->len = (c->len + 3) & ~(size_t)3;
	c->len += (file + 3) & ~(size_t)3;
}

static long cpio_read(void *ctx, void *buf, size_t len)
{
	struct cpio *c = ctx;

	/* Little at a time. */
	len = len < 777 ? len : 777;
	len = len < c->len - c->at ? len : c->len - c->at;
	memcpy(buf, c->bytes + c->at, len);
	c->at += len;
	return (long)len;
}

static int cpio_look(struct cpio *c, struct drivers *d)
{
	struct stream s = {cpio_read, c};

	c->at = 0;
	return initrd_look(&s, d);
}

static void archives_behind_one_another_are_read(void **state)
{
	struct cpio *c = calloc(1, sizeof(*c));
	struct drivers d = {0};

	(void)state;
	assert_non_null(c);
	cpio_add(c, "kernel/x86/microcode/AuthenticAMD.bin", 5000);
	cpio_add(c, "TRAILER!!!", 0);
	c->len += 512;
	cpio_add(c, "lib/modules/hv_vmbus.ko.zst", 3);
	cpio_add(c, "hv_storvsc.txt", 3);
	cpio_add(c, "TRAILER!!!", 0);
	assert_int_equal(cpio_look(c, &d), 0);
	assert_true(d.bus && !d.storage);
	c->len += 100;
	cpio_add(c, "a/hv_storvsc.ko", 1);
	cpio_add(c, "TRAILER!!!", 0);
	assert_int_equal(cpio_look(c, &d), 0);
	assert_true(d.bus && d.storage);
	free(c);
}

static void archives_that_are_cut_are_refused(void **state)
{
	struct cpio *c = calloc(1, sizeof(*c));
	struct drivers d = {0};
	size_t len;

	(void)state;
	assert_non_null(c);
	assert_int_equal(cpio_look(c, &d), -ENOTSUP);
	cpio_add(c, "a", 100);
	cpio_add(c, "TRAILER!!!", 0);
	len = c->len;
	for (c->len = 1; c->len < len - 3; c->len++)
		assert_true(cpio_look(c, &d) < 0);
	c->len = len;
	assert_int_equal(cpio_look(c, &d), 0);
	memset(c->bytes + 94, 'f', 8);
	assert_int_equal(cpio_look(c, &d), -EBADMSG);
	strcpy((char *)c->bytes, "anything else, which is no archive");
	assert_true(cpio_look(c, &d) < 0);
	free(c);
}

static void configurations_are_read_by_line(void **state)
{
	(void)state;
	assert_int_equal(kernel_config_says("CONFIG_HYPERV=m\n", "CONFIG_HYPERV"), DRIVER_MODULE);
	assert_int_equal(kernel_config_says("A=1\nCONFIG_HYPERV=y", "CONFIG_HYPERV"),
			 DRIVER_BUILT_IN);
	assert_int_equal(kernel_config_says("# CONFIG_HYPERV is not set\nCONFIG_HYPERV_X=y\n",
					    "CONFIG_HYPERV"),
			 DRIVER_NONE);
	assert_int_equal(kernel_config_says("", "CONFIG_HYPERV"), DRIVER_NONE);
	assert_true(fstab_has_old_names("UUID=1 /\n/dev/xvda2 /home"));
	assert_false(fstab_has_old_names("# /dev/vda\n/dev/sda1 /\n"));
	assert_false(fstab_has_old_names(""));
}

static int sweep_step(void *ctx)
{
	struct source s = source_of_memory(disk, sizeof(disk));
	struct drivers d;
	int r;

	memset(disk, 0, sizeof(disk));
	entry(0, 0, 0, 0xee, 1, 63);
	r = partitions_decode(&s, &parts);
	return r < 0 ? r : cpio_look(ctx, &d);
}

static void disks_survive_a_heap_that_fails(void **state)
{
	struct cpio *c = calloc(1, sizeof(*c));

	(void)state;
	assert_non_null(c);
	cpio_add(c, "TRAILER!!!", 0);
	assert_true(failheap_sweep(sweep_step, c) >= 1);
	free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(logical_partitions_are_found),
		cmocka_unit_test(tables_that_lead_astray_are_cut),
		cmocka_unit_test(archives_behind_one_another_are_read),
		cmocka_unit_test(archives_that_are_cut_are_refused),
		cmocka_unit_test(configurations_are_read_by_line),
		cmocka_unit_test(disks_survive_a_heap_that_fails),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
