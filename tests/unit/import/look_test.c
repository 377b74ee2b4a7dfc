/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Disks with tables, file systems and initramfs that the tools of a distribution made. */
#include "tests/unit/import/room.h"

#define MBR_ACTIVE "label: dos\nstart=2048,type=83,bootable\n"
#define GPT_ESP \
	"label: gpt\nstart=2048,size=4096,type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B\nstart=8192\n"
#define GPT_BIOS \
	"label: gpt\nstart=2048,size=4096,type=21686148-6449-6E6F-744E-656564454649\nstart=8192\n"
#define PART1 (2048u * 512)
#define PART2 (8192u * 512)

/* A disk of 40 MiB by sfdisk, with GRUB's word in its boot code when asked. */
static void make_disk(const struct room *r, const char *table, bool code)
{
	room_sh(r, "rm -f d.raw && truncate -s 40M d.raw && printf '%s' | sfdisk -q d.raw", table);
	if (code)
		room_sh(r, "printf '\\353\\143GRUB ' | dd of=d.raw conv=notrunc");
}

/* A root with this kernel; its initramfs has the microcode first and is packed by `pack`. */
static void make_root(const struct room *r, const char *pack, const char *modules)
{
	room_sh(r,
		"rm -rf root tree micro && mkdir -p root/boot root/etc tree/lib/modules/6.1.0-9/scsi "
		"micro/kernel/x86 && echo x >root/boot/vmlinuz-6.1.0-9 && echo old >root/boot/vmlinuz-5.10.0-1 && "
		"head -c 300000 /dev/urandom >micro/kernel/x86/GenuineIntel.bin && "
		"for m in %s; do head -c 20000 /dev/zero >tree/lib/modules/6.1.0-9/scsi/$m; done && "
		"echo UUID=x / ext4 >root/etc/fstab && "
		"{ (cd micro && find . | cpio -o -H newc --quiet); "
		"(cd tree && find . | cpio -o -H newc --quiet) | %s; } "
		">root/boot/initrd.img-6.1.0-9",
		modules, pack);
}

static void put_root(const struct room *r, unsigned offset)
{
	room_sh(r, "mkfs.ext4 -q -d root -E offset=%u d.raw 20M", offset);
}

static json_t *look(struct room *r)
{
	struct call c = {.verb = call_look, .file = "d.raw"};

	room_run(r, &c);
	return room_json(r);
}

static void expect_boots(struct room *r, const char *word)
{
	json_t *o = look(r);

	if (strcmp(json_string_value(json_object_get(o, "boots")), word) != 0)
		fail_msg("not %s: %s", word, r->out);
	assert_int_equal(sentence_count(o, "refusals"), strcmp(word, "uefi") == 0);
	if (strcmp(word, "uefi") == 0)
		assert_true(has_sentence(o, "refusals",
					 "boots by UEFI only, which Oya does not have yet"));
	json_decref(o);
}

static void who_starts_a_disk_is_told(void **state)
{
	struct room *r = *state;

	make_disk(r, MBR_ACTIVE, true);
	expect_boots(r, "bios");
	make_disk(r, MBR_ACTIVE, false);
	expect_boots(r, "no");
	make_disk(r, GPT_BIOS, true);
	expect_boots(r, "bios");
	make_disk(r, GPT_ESP, false);
	expect_boots(r, "uefi");
	/* Installed for both. */
	make_disk(r, GPT_ESP, true);
	expect_boots(r, "bios");
	room_sh(r, "dd if=/dev/zero of=d.raw bs=440 count=1 conv=notrunc && "
		   "printf '\\353\\143' | dd of=d.raw conv=notrunc && sfdisk -q --delete d.raw");
	expect_boots(r, "unknown");
	room_sh(r, "truncate -s 0 d.raw && truncate -s 1M d.raw");
	expect_boots(r, "no");
}

static void a_gpt_is_found_by_its_copy(void **state)
{
	struct room *r = *state;

	make_disk(r, GPT_ESP, false);
	room_sh(r, "dd if=/dev/zero of=d.raw bs=512 seek=1 count=1 conv=notrunc");
	expect_boots(r, "uefi");
}

static void an_initramfs_with_the_drivers_is_fine(void **state)
{
	static const char *const packs[] = {"cat",     "gzip",  "xz --check=crc32",
					    "zstd -q", "bzip2", "lzma"};
	struct room *r = *state;

	for (size_t i = 0; i < sizeof(packs) / sizeof(packs[0]); i++) {
		json_t *o;

		make_disk(r, MBR_ACTIVE, true);
		make_root(r, packs[i], "hv_vmbus.ko hv_storvsc.ko.xz ext4.ko");
		put_root(r, PART1);
		o = look(r);
		if (sentence_count(o, "warnings") || sentence_count(o, "refusals"))
			fail_msg("%s: %s", packs[i], r->out);
		assert_string_equal(json_string_value(json_object_get(o, "boots")), "bios");
		json_decref(o);
	}
}

static void an_initramfs_without_the_drivers_is_warned_of(void **state)
{
	static const char *const packs[] = {"cat", "gzip", "xz --check=crc32", "zstd -q"};
	struct room *r = *state;

	for (size_t i = 0; i < sizeof(packs) / sizeof(packs[0]); i++) {
		json_t *o;

		make_disk(r, GPT_BIOS, true);
		make_root(r, packs[i], "ext4.ko virtio_blk.ko hv_vmbus.ko");
		put_root(r, PART2);
		o = look(r);
		if (!has_sentence(o, "warnings", "kernel 6.1.0-9 lacks hv_storvsc"))
			fail_msg("%s: %s", packs[i], r->out);
		assert_true(has_sentence(o, "warnings", "/etc/initramfs-tools/modules"));
		assert_int_equal(sentence_count(o, "refusals"), 0);
		json_decref(o);
	}
}

static void drivers_within_the_kernel_are_fine(void **state)
{
	struct room *r = *state;
	json_t *o;

	make_disk(r, MBR_ACTIVE, true);
	make_root(r, "gzip", "ext4.ko");
	room_sh(r, "printf 'CONFIG_MODULES=y\\nCONFIG_HYPERV=y\\nCONFIG_HYPERV_STORAGE=y\\n' "
		   ">root/boot/config-6.1.0-9");
	put_root(r, PART1);
	o = look(r);
	assert_int_equal(sentence_count(o, "warnings"), 0);
	json_decref(o);
	room_sh(r, "printf 'CONFIG_MODULES=y\\n# CONFIG_HYPERV is not set\\n' "
		   ">root/boot/config-6.1.0-9");
	make_disk(r, MBR_ACTIVE, true);
	put_root(r, PART1);
	o = look(r);
	assert_true(has_sentence(o, "refusals", "has no driver for disks of Hyper-V"));
	json_decref(o);
}

static void a_partition_for_boot_is_looked_into(void **state)
{
	struct room *r = *state;
	json_t *o;

	make_disk(r, MBR_ACTIVE, true);
	make_root(r, "gzip", "ext4.ko");
	room_sh(r, "mv root/boot/* root/ && mv root/initrd.img-6.1.0-9 root/initramfs-6.1.0-9.img");
	put_root(r, PART1);
	o = look(r);
	assert_true(has_sentence(o, "warnings", "dracut -f --add-drivers"));
	json_decref(o);
}

static void names_of_the_old_disks_are_warned_of(void **state)
{
	struct room *r = *state;
	json_t *o;

	make_disk(r, MBR_ACTIVE, true);
	make_root(r, "gzip", "hv_storvsc.ko hv_vmbus.ko");
	room_sh(r, "printf '# a\\n  /dev/vda1 / ext4\\n' >root/etc/fstab");
	put_root(r, PART1);
	o = look(r);
	assert_true(has_sentence(o, "warnings", "/etc/fstab on partition 1 names disks"));
	json_decref(o);
}

static void other_file_systems_are_told(void **state)
{
	struct room *r = *state;
	json_t *o;

	make_disk(r, MBR_ACTIVE, true);
	room_sh(r, "printf XFSB | dd of=d.raw bs=512 seek=2048 conv=notrunc");
	o = look(r);
	assert_true(has_sentence(o, "warnings", "partition 1 (XFS) could not be looked into"));
	json_decref(o);
	room_sh(r, "printf '\\0\\0\\0\\0' | dd of=d.raw bs=512 seek=2048 conv=notrunc && "
		   "printf LABELONE | dd of=d.raw bs=512 seek=2049 conv=notrunc");
	o = look(r);
	assert_true(has_sentence(o, "warnings", "partition 1 (LVM)"));
	json_decref(o);
}

static void what_is_damaged_is_told_or_left_out(void **state)
{
	struct room *r = *state;
	json_t *o;

	make_disk(r, MBR_ACTIVE, true);
	make_root(r, "gzip", "hv_storvsc.ko hv_vmbus.ko");
	room_sh(r,
		"truncate -s 400000 root/boot/initrd.img-6.1.0-9 && "
		"printf 1234 | dd of=root/boot/initrd.img-6.1.0-9 bs=1 seek=302000 conv=notrunc");
	put_root(r, PART1);
	json_decref(look(r));
	/* The group descriptors and what follows, the super block stays. */
	room_sh(r, "dd if=/dev/urandom of=d.raw bs=4096 seek=257 count=200 conv=notrunc");
	o = look(r);
	assert_int_equal(sentence_count(o, "refusals"), 0);
	json_decref(o);
}

/* A gigabyte and a half of zeros in 1.5 MB. */
static void an_initramfs_that_unpacks_without_end_is_given_up(void **state)
{
	struct room *r = *state;
	json_t *o;

	make_disk(r, MBR_ACTIVE, true);
	make_root(r, "gzip", "ext4.ko");
	room_sh(r,
		"truncate -s 600M tree/a && (cd tree && find . | cpio -o -H newc --quiet) | gzip -1 "
		">root/boot/initrd.img-6.1.0-9");
	put_root(r, PART1);
	o = look(r);
	assert_true(has_sentence(o, "warnings", "could not be looked into"));
	json_decref(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, room_setup, room_teardown)
		T(who_starts_a_disk_is_told),
		T(a_gpt_is_found_by_its_copy),
		T(an_initramfs_with_the_drivers_is_fine),
		T(an_initramfs_without_the_drivers_is_warned_of),
		T(drivers_within_the_kernel_are_fine),
		T(a_partition_for_boot_is_looked_into),
		T(names_of_the_old_disks_are_warned_of),
		T(other_file_systems_are_told),
		T(what_is_damaged_is_told_or_left_out),
		T(an_initramfs_that_unpacks_without_end_is_given_up),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
