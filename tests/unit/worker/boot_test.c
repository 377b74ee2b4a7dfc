/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Direct boot: where things land in guest memory, what the zero page says, and each sentence that
 * a user may read.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#undef fail /* lib/fail.h has one of its own */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "abi/machine.h"
#include "base/util.h"
#include "tests/lib/kernelimage.h"
#include "worker/boot.h"

#define RAM (64u << 20)
#define HIGH (8u << 20)

struct fixture {
	struct gmem gmem;
	uint8_t *ram;
	struct image elf;
	char dir[32], kernel[64], initrd[64];
	struct boot_source source;
	struct boot_entry entry;
	struct failure f;
};

static void put_file(const char *path, const void *data, size_t len)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(fwrite(data, 1, len, file), len);
	assert_int_equal(fclose(file), 0);
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	strcpy(f->dir, "/tmp/boot_test.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->kernel, sizeof(f->kernel), "%s/kernel", f->dir);
	snprintf(f->initrd, sizeof(f->initrd), "%s/initrd", f->dir);
	f->ram = mmap(NULL, RAM + HIGH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(f->ram, MAP_FAILED);
	gmem_add(&f->gmem, 0, RAM, f->ram);
	gmem_add(&f->gmem, MACHINE_HIGH_RAM, HIGH, f->ram + RAM);
	f->elf = image_elf();
	f->source = (struct boot_source){.kernel = f->kernel,
					 .command_line = "console=ttyS0 quiet",
					 .unpack = true,
					 .rsdp = MACHINE_ACPI_AREA};
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	munmap(f->ram, RAM + HIGH);
	free(f->elf.data);
	unlink(f->kernel);
	unlink(f->initrd);
	rmdir(f->dir);
	free(f);
	return 0;
}

static int boot(struct fixture *f)
{
	int r;

	memset(&f->entry, 0x55, sizeof(f->entry));
	strcpy(f->f.text, "nothing was said");
	r = boot_open(f->source.kernel, f->source.initrd, &f->source.files, &f->f);
	if (r < 0)
		return r;
	r = boot_load(&f->source, &f->gmem, &f->entry, &f->f);
	boot_close(&f->source.files);
	return r;
}

static int boot_image(struct fixture *f, const struct image *image)
{
	put_file(f->kernel, image->data, image->len);
	return boot(f);
}

static struct image bzimage(const struct fixture *f, enum packing packing)
{
	struct image packed = image_pack(&f->elf, packing), bz = image_bz(&packed);

	free(packed.data);
	return bz;
}

static void assert_kernel_in_place(const struct fixture *f)
{
	assert_int_equal(f->entry.rip, KERNEL_ENTRY);
	assert_memory_equal(f->ram + KERNEL_AT, f->elf.data + 4096, KERNEL_TEXT_BYTES);
	assert_memory_equal(f->ram + KERNEL_AT + 0x4000, f->elf.data + 4096 + KERNEL_TEXT_BYTES,
			    KERNEL_DATA_BYTES);
	for (uint64_t gpa = KERNEL_AT + 0x4000 + KERNEL_DATA_BYTES; gpa < KERNEL_BSS_END; gpa++)
		assert_int_equal(f->ram[gpa], 0);
}

static const uint8_t *zero_page(const struct fixture *f)
{
	return f->ram + f->entry.rsi;
}

static void an_elf_kernel_is_loaded(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(boot_image(f, &f->elf), 0);
	assert_kernel_in_place(f);
	assert_int_equal(le32_load(zero_page(f) + SETUP_MAGIC), SETUP_MAGIC_VALUE);
	assert_int_equal(zero_page(f)[SETUP_LOADER_TYPE], 0xff);
}

static void a_bzimage_of_every_compression_is_unpacked_by_the_host(void **state)
{
	struct fixture *f = *state;

	for (enum packing p = PACK_GZIP; p < PACKINGS; p++) {
		struct image bz = bzimage(f, p);

		memset(f->ram, 0, RAM);
		assert_int_equal(boot_image(f, &bz), 0);
		assert_kernel_in_place(f);
		assert_memory_equal(zero_page(f) + SETUP_MAGIC, bz.data + SETUP_MAGIC, 8);
		assert_true(zero_page(f)[SETUP_LOAD_FLAGS] & SETUP_LOADED_HIGH);
		assert_int_equal(le16_load(zero_page(f) + SETUP_VERSION), 0x020f);
		free(bz.data);
	}
}

/* As kernels for x86 are linked: text 2 MiB into the file, later segments nearer to it in memory
 * than in the file. The third is moved down, over bytes of the file that belong to nothing. */
static struct image linked_kernel(uint64_t third_gpa)
{
	static const uint64_t file_at[] = {0x200000, 0x204000, 0x210000};
	static const uint64_t gpa[] = {KERNEL_AT, KERNEL_AT + 0x4000, 0};
	struct image i = image_new(0x220000);
	Elf64_Ehdr head = {
		.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
		.e_type = ET_EXEC,
		.e_machine = EM_X86_64,
		.e_entry = KERNEL_ENTRY,
		.e_phoff = sizeof(Elf64_Ehdr),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = ARRAY_LEN(file_at),
	};

	for (size_t n = 0; n < i.len; n++)
		i.data[n] = (uint8_t)(n * 7 + n / 256 + 1);
	memcpy(i.data, &head, sizeof(head));
	for (size_t n = 0; n < ARRAY_LEN(file_at); n++) {
		Elf64_Phdr p = {.p_type = PT_LOAD,
				.p_offset = file_at[n],
				.p_paddr = gpa[n] ? gpa[n] : third_gpa,
				.p_filesz = 0x3000,
				.p_memsz = 0x3800};

		memcpy(i.data + sizeof(head) + n * sizeof(p), &p, sizeof(p));
	}
	return i;
}

static void assert_linked_kernel(const struct fixture *f, const struct image *kernel,
				 uint64_t third_gpa)
{
	static uint8_t expected[0x400000];
	uint64_t base = KERNEL_AT - 0x200000;

	memset(expected, 0, sizeof(expected));
	memcpy(expected + 0x200000, kernel->data + 0x200000, 0x3000);
	memcpy(expected + 0x204000, kernel->data + 0x204000, 0x3000);
	memcpy(expected + (third_gpa - base), kernel->data + 0x210000, 0x3000);
	assert_memory_equal(f->ram + base, expected, sizeof(expected));
	assert_int_equal(f->entry.rip, KERNEL_ENTRY);
}

static void a_kernel_as_they_are_linked_leaves_nothing_of_its_file_around_it(void **state)
{
	static const uint64_t places[] = {
		KERNEL_AT + 0x8000,   /* moved down */
		KERNEL_AT + 0x10000,  /* stays */
		KERNEL_AT + 0xf000,   /* moved down by less than its length */
		KERNEL_AT + 0x100000, /* upwards: by way of a buffer */
	};
	struct fixture *f = *state;

	for (size_t n = 0; n < ARRAY_LEN(places); n++) {
		for (enum packing p = PACK_GZIP; p < PACKINGS; p++) {
			struct image kernel = linked_kernel(places[n]);
			struct image packed = image_pack(&kernel, p), bz = image_bz(&packed);

			memset(f->ram, 0, RAM);
			assert_int_equal(boot_image(f, &bz), 0);
			assert_linked_kernel(f, &kernel, places[n]);
			free(bz.data);
			free(packed.data);
			free(kernel.data);
		}
	}
}

static void a_bzimage_goes_in_packed_when_asked_or_when_its_format_is_unknown(void **state)
{
	struct fixture *f = *state;
	struct image bz = bzimage(f, PACK_XZ);

	f->source.unpack = false;
	for (unsigned n = 0; n < 2; n++) {
		memset(f->ram, 0, RAM);
		assert_int_equal(boot_image(f, &bz), 0);
		assert_int_equal(f->entry.rip, KERNEL_AT + 0x200);
		assert_memory_equal(f->ram + KERNEL_AT, bz.data + BZIMAGE_SETUP_BYTES,
				    bz.len - BZIMAGE_SETUP_BYTES);
		f->source.unpack = true;
		bz.data[BZIMAGE_SETUP_BYTES + 0x300] = 'L';
	}
	free(bz.data);
}

static void the_command_line_and_rsdp_are_in_the_zero_page(void **state)
{
	struct fixture *f = *state;
	const uint8_t *zero;

	assert_int_equal(boot_image(f, &f->elf), 0);
	zero = zero_page(f);
	assert_string_equal((char *)f->ram + le32_load(zero + SETUP_COMMAND_LINE),
			    "console=ttyS0 quiet");
	assert_int_equal(le64_load(zero + ZERO_PAGE_RSDP), MACHINE_ACPI_AREA);
	assert_int_equal(le32_load(zero + SETUP_RAMDISK_BYTES), 0);
}

static void the_memory_map_covers_ram_and_nothing_else(void **state)
{
	struct fixture *f = *state;
	static const struct {
		uint64_t gpa, len;
		uint32_t type;
	} expected[] = {
		{0, 0xA0000, E820_RAM},
		{0xE0000, 0x20000, E820_RESERVED},
		{0x100000, RAM - 0x100000, E820_RAM},
		{MACHINE_HIGH_RAM, HIGH, E820_RAM},
	};
	const uint8_t *zero;

	assert_int_equal(boot_image(f, &f->elf), 0);
	zero = zero_page(f);
	assert_int_equal(zero[ZERO_PAGE_E820_COUNT], ARRAY_LEN(expected));
	for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
		const uint8_t *e = zero + ZERO_PAGE_E820 + i * E820_ENTRY_BYTES;

		assert_int_equal(le64_load(e), expected[i].gpa);
		assert_int_equal(le64_load(e + 8), expected[i].len);
		assert_int_equal(le32_load(e + 16), expected[i].type);
	}
}

/* Walks the tables as a processor does. */
static uint64_t translate(const struct fixture *f, uint64_t address)
{
	uint64_t table = f->entry.cr3, entry = 0;

	for (unsigned level = 4; level >= 2; level--) {
		uint64_t index = address >> (12 + 9 * (level - 1)) & 511;

		entry = le64_load(f->ram + table + index * 8);
		assert_int_equal(entry & 3, 3);
		table = entry & ~UINT64_C(0xfff);
	}
	assert_true(entry & 0x80);
	return (entry & ~UINT64_C(0x1fffff)) + (address & 0x1fffff);
}

static void the_processor_finds_four_gib_mapped_and_flat_segments(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(boot_image(f, &f->elf), 0);
	for (uint64_t address = 0; address < MACHINE_HIGH_RAM; address += 0x1fffff)
		assert_int_equal(translate(f, address), address);
	assert_true(f->entry.gdt_limit >= BOOT_DATA_SELECTOR + 7);
	assert_int_equal(le64_load(f->ram + f->entry.gdt + BOOT_CODE_SELECTOR), 0x00af9b000000ffff);
	assert_int_equal(le64_load(f->ram + f->entry.gdt + BOOT_DATA_SELECTOR), 0x00cf93000000ffff);
}

static void put_initrd(struct fixture *f, size_t len)
{
	struct image initrd = image_new(len);

	memset(initrd.data, 0x99, len);
	put_file(f->initrd, initrd.data, len);
	free(initrd.data);
	f->source.initrd = f->initrd;
}

static void the_initrd_lies_at_the_top_of_low_ram(void **state)
{
	struct fixture *f = *state;
	uint32_t at;

	put_initrd(f, 5000);
	assert_int_equal(boot_image(f, &f->elf), 0);
	at = le32_load(zero_page(f) + SETUP_RAMDISK);
	assert_int_equal(at, RAM - 0x2000);
	assert_int_equal(le32_load(zero_page(f) + SETUP_RAMDISK_BYTES), 5000);
	assert_int_equal(f->ram[at - 1], 0);
	assert_int_equal(f->ram[at], 0x99);
	assert_int_equal(f->ram[at + 4999], 0x99);
	assert_int_equal(f->ram[at + 5000], 0);
}

static void the_initrd_stays_below_what_the_kernel_allows(void **state)
{
	struct fixture *f = *state;
	struct image bz = bzimage(f, PACK_GZIP);
	static const struct {
		uint32_t max;
		int result;
	} limits[] = {
		{0x1ffffff, 0},
		{0xffffffff, 0},
		{KERNEL_AT + KERNEL_INIT_BYTES + 0x1fff, 0},
		{KERNEL_AT + KERNEL_INIT_BYTES + 0xfff, -ENOSPC}, /* would lie in the work space */
		{4999, -ENOSPC},
		{0, -ENOSPC},
	};

	put_initrd(f, 5000);
	for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
		memset(f->ram, 0, RAM);
		le32_store(bz.data + SETUP_RAMDISK_MAX, limits[i].max);
		assert_int_equal(boot_image(f, &bz), limits[i].result);
		if (limits[i].result == 0)
			assert_true(le32_load(zero_page(f) + SETUP_RAMDISK) + UINT64_C(5000) <=
				    min_u64(limits[i].max + UINT64_C(1), RAM));
		else
			assert_non_null(strstr(f->f.text, "the initrd does not fit"));
	}
	free(bz.data);
}

static void an_initrd_that_exactly_fits_is_taken_and_one_byte_more_is_not(void **state)
{
	struct fixture *f = *state;

	put_initrd(f, RAM - KERNEL_BSS_END);
	assert_int_equal(boot_image(f, &f->elf), 0);
	assert_int_equal(le32_load(zero_page(f) + SETUP_RAMDISK), KERNEL_BSS_END);
	memset(f->ram, 0, RAM);
	put_initrd(f, RAM - KERNEL_BSS_END + 1);
	assert_int_equal(boot_image(f, &f->elf), -ENOSPC);
	assert_string_equal(f->f.text, "the initrd does not fit into the VM's 72 MiB of memory; "
				       "give it more");
}

static void a_kernel_that_does_not_fit_is_told_with_the_memory(void **state)
{
	struct fixture *f = *state;
	static const uint64_t wild[] = {
		RAM,        RAM - 4096,      UINT64_MAX - 8999, 0xFFFFF,
		UINT64_MAX, MACHINE_LOW_GAP, UINT64_MAX / 2,    MACHINE_HIGH_RAM + HIGH};
	Elf64_Phdr *text = (Elf64_Phdr *)(void *)(f->elf.data + sizeof(Elf64_Ehdr));

	for (size_t i = 0; i < ARRAY_LEN(wild); i++) {
		text->p_paddr = wild[i];
		assert_int_equal(boot_image(f, &f->elf), -ENOSPC);
		assert_string_equal(f->f.text, "the kernel does not fit into the VM's 72 MiB of "
					       "memory; give it more");
	}
	text->p_paddr = 0x100000;
	text->p_memsz = UINT64_MAX;
	assert_int_equal(boot_image(f, &f->elf), -ENOSPC);
}

static void a_bzimage_with_wild_addresses_does_not_fit(void **state)
{
	struct fixture *f = *state;
	struct image bz = bzimage(f, PACK_GZIP);
	static const uint64_t wild[] = {0, 0xFFFFF, RAM, RAM - 4096, UINT64_MAX, UINT64_MAX - 4096};

	for (size_t i = 0; i < 2 * ARRAY_LEN(wild); i++) {
		f->source.unpack = i % 2;
		le64_store(bz.data + SETUP_PREFERRED, wild[i / 2]);
		/* The unpacked kernel goes where its ELF headers say; a low work space harms
		 * nobody. */
		assert_int_equal(boot_image(f, &bz), i % 2 && wild[i / 2] <= 0xFFFFF ? 0 : -ENOSPC);
	}
	le64_store(bz.data + SETUP_PREFERRED, KERNEL_AT);
	le32_store(bz.data + SETUP_INIT_BYTES, UINT32_MAX);
	assert_int_equal(boot_image(f, &bz), -ENOSPC);
	free(bz.data);
}

static void a_command_line_longer_than_the_kernel_takes_is_refused(void **state)
{
	struct fixture *f = *state;
	struct image bz = bzimage(f, PACK_GZIP);
	char text[2049];

	memset(text, 'x', 2048);
	text[2048] = '\0';
	f->source.command_line = text;
	assert_int_equal(boot_image(f, &bz), -E2BIG);
	assert_string_equal(f->f.text, "the kernel command line has 2048 characters, this kernel "
				       "takes 2047");
	text[2047] = '\0';
	assert_int_equal(boot_image(f, &bz), 0);
	free(bz.data);
}

/* The header may claim more than the room that we give. */
static void a_command_line_never_leaves_its_room(void **state)
{
	struct fixture *f = *state;
	struct image bz = bzimage(f, PACK_GZIP);
	char *text = calloc(1, 0x10001);

	memset(text, 'x', 0x10000);
	f->source.command_line = text;
	le32_store(bz.data + SETUP_COMMAND_LINE_MAX, UINT32_MAX);
	assert_int_equal(boot_image(f, &bz), -E2BIG);
	text[0xffff] = '\0';
	assert_int_equal(boot_image(f, &bz), 0);
	free(text);
	free(bz.data);
}

static void assert_sentence(struct fixture *f, int expected, const char *format)
{
	char text[FAIL_TEXT_MAX];

	memset(f->ram, 0, RAM);
	assert_int_equal(boot(f), expected);
	snprintf(text, sizeof(text), "%s", format);
	assert_non_null(strstr(f->f.text, text));
	assert_non_null(strstr(f->f.text, f->dir));
}

static void files_that_are_no_kernel_are_told_so(void **state)
{
	struct fixture *f = *state;
	struct image bz = bzimage(f, PACK_ZSTD);

	assert_sentence(f, -ENOENT, "No such file or directory");
	put_file(f->kernel, "", 0);
	assert_sentence(f, -EINVAL, "is empty; copy it anew");
	put_file(f->kernel, "#!/bin/sh\nexit 0\n", 17);
	assert_sentence(
		f, -ENOEXEC,
		"is not a Linux kernel (neither bzImage nor ELF); use the vmlinuz from /boot");
	put_file(f->kernel, f->elf.data, 8000);
	assert_sentence(f, -EBADMSG, "is damaged or cut short; copy it anew");
	put_file(f->kernel, bz.data, bz.len - 1);
	assert_sentence(f, -EBADMSG, "is damaged or cut short; copy it anew");
	bz.data[bz.len - 20] ^= 0xff;
	put_file(f->kernel, bz.data, bz.len);
	assert_sentence(f, -EBADMSG, "is damaged or cut short; copy it anew");
	le16_store(bz.data + SETUP_VERSION, 0x0209);
	put_file(f->kernel, bz.data, bz.len);
	assert_sentence(f, -ENOTSUP, "is not for 64-bit x86, or older than Linux 3.8");
	f->elf.data[EI_CLASS] = ELFCLASS32;
	put_file(f->kernel, f->elf.data, f->elf.len);
	assert_sentence(f, -ENOTSUP, "is not an executable for 64-bit x86");
	f->source.kernel = f->dir;
	assert_sentence(f, -EINVAL, "is not a regular file");
	free(bz.data);
}

static void an_initrd_that_cannot_be_read_is_told_so(void **state)
{
	struct fixture *f = *state;

	put_file(f->kernel, f->elf.data, f->elf.len);
	f->source.initrd = f->initrd;
	assert_sentence(f, -ENOENT, "cannot open the initrd");
	put_file(f->initrd, "", 0);
	assert_sentence(f, -EINVAL, "is empty; copy it anew");
	assert_int_equal(truncate(f->initrd, (off_t)1 << 33), 0);
	assert_sentence(f, -EFBIG, "is larger than 4 GiB");
	f->source.initrd = f->dir;
	assert_sentence(f, -EINVAL, "is not a regular file");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_elf_kernel_is_loaded),
		TEST(a_bzimage_of_every_compression_is_unpacked_by_the_host),
		TEST(a_kernel_as_they_are_linked_leaves_nothing_of_its_file_around_it),
		TEST(a_bzimage_goes_in_packed_when_asked_or_when_its_format_is_unknown),
		TEST(the_command_line_and_rsdp_are_in_the_zero_page),
		TEST(the_memory_map_covers_ram_and_nothing_else),
		TEST(the_processor_finds_four_gib_mapped_and_flat_segments),
		TEST(the_initrd_lies_at_the_top_of_low_ram),
		TEST(the_initrd_stays_below_what_the_kernel_allows),
		TEST(an_initrd_that_exactly_fits_is_taken_and_one_byte_more_is_not),
		TEST(a_kernel_that_does_not_fit_is_told_with_the_memory),
		TEST(a_bzimage_with_wild_addresses_does_not_fit),
		TEST(a_command_line_longer_than_the_kernel_takes_is_refused),
		TEST(a_command_line_never_leaves_its_room),
		TEST(files_that_are_no_kernel_are_told_so),
		TEST(an_initrd_that_cannot_be_read_is_told_so),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
