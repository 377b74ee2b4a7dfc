/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The parent's kernel: where it goes, what it is told, and each refusal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "abi/linux_boot.h"
#include "hypervisor/frames.h"
#include "hypervisor/load.h"
#include "tests/lib/kernelimage.h"
#include "tests/unit/hypervisor/memory_fake.h"

#define KERNEL_MODULE_AT (4u << 20)
#define INITRD_AT (8u << 20)
#define INITRD_BYTES 5000u

struct fixture {
	struct boot_info info;
	struct image file;
};

static void put_module(struct fixture *f, unsigned n, uint64_t at, const void *data, size_t len)
{
	memcpy(fake_ram + at, data, len);
	f->info.module[n].start = at;
	f->info.module[n].len = len;
	f->info.module_count = n + 1;
}

static void put_initrd(struct fixture *f, uint64_t at)
{
	static uint8_t initrd[INITRD_BYTES];

	memset(initrd, 0x77, sizeof(initrd));
	put_module(f, 1, at, initrd, sizeof(initrd));
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct image elf = image_elf(), packed = image_pack(&elf, PACK_LZ4);

	fake_ram = calloc(1, FAKE_BYTES);
	*state = f;
	if (!f || !fake_ram)
		return -1;
	f->file = image_bz(&packed);
	free(elf.data);
	free(packed.data);
	f->info.range[0] = (struct boot_range){0, 0x9fc00, E820_RAM};
	f->info.range[1] = (struct boot_range){0x9fc00, 0x400, E820_RESERVED};
	f->info.range[2] = (struct boot_range){0x100000, FAKE_BYTES - 0x100000, E820_RAM};
	f->info.range_count = 3;
	strcpy(f->info.module[0].line, "root=/dev/vda");
	put_module(f, 0, KERNEL_MODULE_AT, f->file.data, f->file.len);
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	free(f->file.data);
	free(f);
	free(fake_ram);
	return 0;
}

static uint32_t e820_at(const uint8_t *zero_page, uint64_t address)
{
	uint32_t type = 0;

	for (unsigned i = 0; i < zero_page[ZERO_PAGE_E820_COUNT]; i++) {
		const uint8_t *e = zero_page + ZERO_PAGE_E820 + i * E820_ENTRY_BYTES;

		if (address - le64_load(e) < le64_load(e + 8)) {
			assert_int_equal(type, 0); /* no place twice */
			type = le32_load(e + 16);
		}
	}
	return type;
}

static void the_kernel_goes_where_it_wants_and_is_told_of_our_holes(void **state)
{
	struct fixture *f = *state;
	const uint8_t *z;
	struct load load;

	put_initrd(f, INITRD_AT);
	assert_null(load_parent(&f->info, 0, &load));
	assert_int_equal(load.entry, KERNEL_AT);
	assert_memory_equal(fake_ram + KERNEL_AT, f->file.data + BZIMAGE_SETUP_BYTES,
			    f->file.len - BZIMAGE_SETUP_BYTES);
	z = fake_ram + load.zero_page;
	assert_int_equal(le32_load(z + SETUP_MAGIC), SETUP_MAGIC_VALUE);
	assert_string_equal(fake_ram + le32_load(z + SETUP_COMMAND_LINE), "root=/dev/vda");
	assert_int_equal(le32_load(z + SETUP_RAMDISK), INITRD_AT);
	assert_int_equal(le32_load(z + SETUP_RAMDISK_BYTES), INITRD_BYTES);
	assert_true(load.low_page && load.low_page < 0xA0000);
	for (uint64_t at = 0; at < FAKE_BYTES; at += PAGE_BYTES) {
		bool ours = (at >= FAKE_HV_AT && at < FAKE_HV_AT + HV_BYTES) ||
			    at - load.frames_at < load.frames_len || at == load.low_page;
		bool ram = at < 0x9fc00 || at >= 0x100000;

		assert_int_equal(e820_at(z, at), !ram ? 0 : ours ? E820_RESERVED : E820_RAM);
	}
	assert_int_equal(e820_at(z, 0x9fc00), E820_RESERVED);
	assert_int_equal(load.memory_end, FAKE_BYTES);
	assert_true(load.frames_len >= frames_bytes(FAKE_BYTES));
	assert_int_equal(load.frames_at % PAGE_2M, 0);
	assert_int_equal(load.frames_len % PAGE_BYTES, 0);
}

static void an_initrd_in_the_kernels_way_is_moved(void **state)
{
	struct fixture *f = *state;
	struct load load;
	uint32_t at;

	put_initrd(f, KERNEL_AT + 0x1000);
	assert_null(load_parent(&f->info, 0, &load));
	at = le32_load(fake_ram + load.zero_page + SETUP_RAMDISK);
	assert_true(at >= KERNEL_AT + KERNEL_INIT_BYTES || at + INITRD_BYTES <= KERNEL_AT);
	assert_true(at >= FAKE_HV_AT + HV_BYTES || at + INITRD_BYTES <= FAKE_HV_AT);
	assert_int_equal(fake_ram[at], 0x77);
	assert_int_equal(fake_ram[at + INITRD_BYTES - 1], 0x77);
}

static void a_kernel_whose_place_is_taken_goes_elsewhere(void **state)
{
	struct fixture *f = *state;
	struct load load;

	/* The firmware has something at 16 MiB. */
	f->info.range[2].len = KERNEL_AT + 0x1000 - 0x100000;
	f->info.range[3] =
		(struct boot_range){KERNEL_AT + 0x2000, FAKE_BYTES - KERNEL_AT - 0x2000, E820_RAM};
	f->info.range_count = 4;
	assert_null(load_parent(&f->info, 0, &load));
	assert_int_not_equal(load.entry, KERNEL_AT);
	assert_int_equal(le32_load(fake_ram + load.zero_page + SETUP_CODE_AT), load.entry);
	assert_memory_equal(fake_ram + load.entry, f->file.data + BZIMAGE_SETUP_BYTES, 512);
	assert_true(load.entry >= FAKE_HV_AT + HV_BYTES ||
		    load.entry + KERNEL_INIT_BYTES <= FAKE_HV_AT);
}

static void the_table_of_devices_lies_behind_that_of_pages(void **state)
{
	struct fixture *f = *state;
	struct load load;

	assert_null(load_parent(&f->info, PAGE_2M, &load));
	assert_int_equal(load.devices_at, load.frames_at + frames_bytes(FAKE_BYTES));
	assert_int_equal(load.devices_at % PAGE_BYTES, 0);
	assert_true(load.devices_at + PAGE_2M <= load.frames_at + load.frames_len);
	assert_int_equal(load.memory_top, FAKE_BYTES);
}

static void each_refusal_is_a_sentence(void **state)
{
	struct fixture *f = *state;
	struct load load;

	f->info.range_count = 2;
	assert_string_equal(load_parent(&f->info, 0, &load),
			    "there is no room in memory for the parent's kernel");
	f->info.range_count = 3;
	f->info.range[2].len = 0x200000; /* enough for the kernel alone, and not at its place */
	put_initrd(f, INITRD_AT);
	f->info.module[1].len = 0x180000;
	assert_non_null(load_parent(&f->info, 0, &load));
	f->info.module[0].len = 100;
	assert_string_equal(load_parent(&f->info, 0, &load),
			    "the parent's kernel is damaged, or the boot loader has unpacked it");
	f->info.module_count = 0;
	assert_string_equal(load_parent(&f->info, 0, &load),
			    "the boot entry names no kernel for the parent");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_kernel_goes_where_it_wants_and_is_told_of_our_holes),
		TEST(an_initrd_in_the_kernels_way_is_moved),
		TEST(a_kernel_whose_place_is_taken_goes_elsewhere),
		TEST(the_table_of_devices_lies_behind_that_of_pages),
		TEST(each_refusal_is_a_sentence),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
