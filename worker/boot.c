/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where things go in guest memory: the constants below, then the kernel (boot_kernel.c), then the
 * RAM disk as high as it may be, below the MMIO gap.
 */
#include "worker/boot.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "abi/linux_boot.h"
#include "abi/machine.h"
#include "base/bytes.h"
#include "base/util.h"
#include "worker/boot_priv.h"

#define GDT_AT 0x500u
#define ZERO_PAGE_AT 0x7000u
#define PAGE_TABLES_AT 0x9000u /* 6 pages */
#define COMMAND_LINE_AT 0x20000u
#define COMMAND_LINE_ROOM 0x10000u
#define LOW_RAM_END 0xA0000u

static int open_file(const char *path, const char *role, struct failure *f)
{
	struct boot_file file = {open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), role, path};
	uint64_t len;
	int r;

	if (file.fd < 0)
		return fail(f, -errno, "cannot open the %s %s: %s", role, path, strerror(errno));
	r = boot_file_len(&file, &len, f);
	if (r < 0) {
		close(file.fd);
		return r;
	}
	return file.fd;
}

int boot_open(const char *kernel, const char *initrd, struct boot_files *ret_files,
	      struct failure *f)
{
	struct boot_files files = {.kernel = open_file(kernel, "kernel", f), .initrd = -1};

	if (files.kernel < 0)
		return files.kernel;
	if (initrd) {
		files.initrd = open_file(initrd, "initrd", f);
		if (files.initrd < 0) {
			close(files.kernel);
			return files.initrd;
		}
	}
	*ret_files = files;
	return 0;
}

void boot_close(struct boot_files *files)
{
	if (files->kernel >= 0)
		close(files->kernel);
	if (files->initrd >= 0)
		close(files->initrd);
	*files = (struct boot_files){-1, -1};
}

static void e820_add(uint8_t *zero_page, uint64_t gpa, uint64_t len, uint32_t type)
{
	uint8_t *e =
		zero_page + ZERO_PAGE_E820 + zero_page[ZERO_PAGE_E820_COUNT] * E820_ENTRY_BYTES;

	le64_store(e, gpa);
	le64_store(e + 8, len);
	le32_store(e + 16, type);
	zero_page[ZERO_PAGE_E820_COUNT]++;
}

static void fill_e820(uint8_t *zero_page, const struct gmem *gm)
{
	e820_add(zero_page, 0, LOW_RAM_END, E820_RAM);
	e820_add(zero_page, MACHINE_ACPI_AREA, BOOT_KERNEL_MIN_AT - MACHINE_ACPI_AREA,
		 E820_RESERVED);
	for (unsigned i = 0; i < gm->count; i++) {
		uint64_t start = gm->region[i].gpa ? gm->region[i].gpa : BOOT_KERNEL_MIN_AT;

		e820_add(zero_page, start, gm->region[i].gpa + gm->region[i].len - start, E820_RAM);
	}
}

/* As high as the kernel allows, in the RAM below the gap, above the kernel's end. */
static int load_initrd(const struct boot_source *source, const struct gmem *gm, uint64_t kernel_end,
		       uint64_t max, uint8_t *zero_page, struct failure *f)
{
	struct boot_file file = {source->files.initrd, "initrd", source->initrd};
	uint64_t len, top = min_u64(gm->region[0].len, max + 1), at;
	int r = boot_file_len(&file, &len, f);

	if (r < 0)
		return r;
	at = len < top ? (top - len) & ~UINT64_C(0xfff) : 0;
	if (at < kernel_end || !gmem_span(gm, at, len))
		return boot_too_small(gm, "initrd", f);
	r = boot_file_read(&file, 0, gmem_span(gm, at, len), len, f);
	if (r < 0)
		return r;
	le32_store(zero_page + SETUP_RAMDISK, (uint32_t)at);
	le32_store(zero_page + SETUP_RAMDISK_BYTES, (uint32_t)len);
	return 0;
}

static int load_command_line(const char *text, uint32_t max, const struct gmem *gm,
			     uint8_t *zero_page, struct failure *f)
{
	size_t len = strlen(text);

	if (len > max || len >= COMMAND_LINE_ROOM)
		return fail(f, -E2BIG,
			    "the kernel command line has %zu characters, this kernel takes %u", len,
			    max);
	le32_store(zero_page + SETUP_COMMAND_LINE, COMMAND_LINE_AT);
	return gmem_write(gm, COMMAND_LINE_AT, text, len + 1);
}

/* Flat segments (accessed bits set: some processors' emulation wants to write them otherwise)
 * and a one-to-one map of the first 4 GiB in 2 MiB pages. */
static int load_cpu_tables(const struct gmem *gm, struct boot_entry *entry)
{
	static const uint64_t gdt[] = {
		0, 0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x008f8b000000ffff, 0};
	uint64_t *tables = gmem_span(gm, PAGE_TABLES_AT, 6 * 4096);

	if (!tables || gmem_write(gm, GDT_AT, gdt, sizeof(gdt)) < 0)
		return -EFAULT;
	tables[0] = (PAGE_TABLES_AT + 4096) | 3;
	for (uint64_t i = 0; i < 4; i++)
		tables[512 + i] = (PAGE_TABLES_AT + (2 + i) * 4096) | 3;
	for (uint64_t i = 0; i < 4 * 512; i++)
		tables[1024 + i] = i << 21 | 0x83;
	entry->cr3 = PAGE_TABLES_AT;
	entry->gdt = GDT_AT;
	entry->gdt_limit = sizeof(gdt) - 1;
	return 0;
}

struct boot_load {
	struct boot_source source;
	const struct gmem *gm;
	struct boot_kernel kernel;
	uint8_t zero_page[ZERO_PAGE_BYTES];
	int result; /* of what the thread does, with the sentence */
	struct failure failure;
	bool threaded;
	pthread_t thread;
};

static void *load_kernel(void *arg)
{
	struct boot_load *load = arg;

	load->result = boot_kernel_load(&load->source, load->gm, load->zero_page, &load->kernel,
					&load->failure);
	return NULL;
}

static int load_rest(struct boot_load *load, struct boot_entry *entry, struct failure *f)
{
	const struct boot_source *source = &load->source;
	const struct boot_kernel *kernel = &load->kernel;
	uint8_t *zero_page = load->zero_page;
	int r = 0;

	zero_page[SETUP_LOADER_TYPE] = SETUP_LOADER_UNDEFINED;
	zero_page[SETUP_LOAD_FLAGS] |= SETUP_LOADED_HIGH;
	le64_store(zero_page + ZERO_PAGE_RSDP, source->rsdp);
	fill_e820(zero_page, load->gm);
	if (source->files.initrd >= 0)
		r = load_initrd(source, load->gm, kernel->end, kernel->ramdisk_max, zero_page, f);
	if (r == 0)
		r = load_command_line(source->command_line, kernel->command_line_max, load->gm,
				      zero_page, f);
	if (r == 0 && (load_cpu_tables(load->gm, entry) < 0 ||
		       gmem_write(load->gm, ZERO_PAGE_AT, zero_page, ZERO_PAGE_BYTES) < 0))
		r = boot_too_small(load->gm, "kernel", f);
	entry->rip = kernel->entry;
	entry->rsi = ZERO_PAGE_AT;
	return r;
}

int boot_begin(const struct boot_source *source, const struct gmem *gm, struct boot_load **ret_load,
	       struct failure *f)
{
	struct boot_load *load = calloc(1, sizeof(*load));

	if (!load)
		return fail(f, -ENOMEM, "cannot load the kernel %s: out of memory", source->kernel);
	load->source = *source;
	load->gm = gm;
	load->threaded = pthread_create(&load->thread, NULL, load_kernel, load) == 0;
	if (!load->threaded)
		load_kernel(load);
	*ret_load = load;
	return 0;
}

int boot_finish(struct boot_load *load, uint64_t rsdp, struct boot_entry *ret_entry,
		struct failure *f)
{
	struct boot_entry entry = {0};
	int r;

	if (load->threaded)
		pthread_join(load->thread, NULL);
	load->threaded = false;
	load->source.rsdp = rsdp;
	r = load->result;
	if (r < 0)
		*f = load->failure;
	else
		r = load_rest(load, &entry, f);
	if (r == 0)
		*ret_entry = entry;
	return r;
}

void boot_end(struct boot_load *load)
{
	if (!load)
		return;
	if (load->threaded)
		pthread_join(load->thread, NULL);
	free(load);
}

int boot_load(const struct boot_source *source, const struct gmem *gm, struct boot_entry *ret_entry,
	      struct failure *f)
{
	struct boot_load *load = NULL;
	int r = boot_begin(source, gm, &load, f);

	if (r == 0)
		r = boot_finish(load, source->rsdp, ret_entry, f);
	boot_end(load);
	return r;
}
