/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where things go in guest memory: the constants below, then the kernel where it wants to be
 * (16 MiB for Debian's), then the RAM disk as high as it may be, below the MMIO gap.
 *
 * Trust: the files are hostile: they are read whole into private memory, decoded with bounds
 * (linux_image.h), and written through gmem only. A compressed kernel is unpacked in guest
 * memory where it can be: no processor runs then, so what was checked there stays as it is.
 */
#include "worker/boot.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "abi/linux_boot.h"
#include "abi/machine.h"
#include "base/bytes.h"
#include "base/util.h"
#include "worker/linux_image.h"

#define GDT_AT 0x500u
#define ZERO_PAGE_AT 0x7000u
#define PAGE_TABLES_AT 0x9000u /* 6 pages */
#define COMMAND_LINE_AT 0x20000u
#define COMMAND_LINE_ROOM 0x10000u
#define LOW_RAM_END 0xA0000u
#define KERNEL_MIN_AT 0x100000u
#define FILE_MAX (UINT64_C(1) << 32)
#define UNPACKED_MAX ((size_t)1 << 30)
#define TEXT_FILE_OFFSET 0x200000u /* of the first segment, as kernels for x86 are linked */

struct file {
	uint8_t *data;
	size_t len;
};

static void file_done(struct file *file)
{
	free(file->data);
}

/* The size of an open file that can be loaded. 0, or -errno and the sentence. */
static int check_file(int fd, const char *path, const char *role, uint64_t *ret_len,
		      struct failure *f)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return fail(f, -errno, "cannot read the %s %s: %s", role, path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return fail(f, -EINVAL, "the %s %s is not a regular file", role, path);
	if (st.st_size == 0)
		return fail(f, -EINVAL, "the %s %s is empty; copy it anew", role, path);
	if ((uint64_t)st.st_size > FILE_MAX)
		return fail(f, -EFBIG, "the %s %s is larger than 4 GiB", role, path);
	*ret_len = (uint64_t)st.st_size;
	return 0;
}

static int open_file(const char *path, const char *role, struct failure *f)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), r;
	uint64_t len;

	if (fd < 0)
		return fail(f, -errno, "cannot open the %s %s: %s", role, path, strerror(errno));
	r = check_file(fd, path, role, &len, f);
	if (r < 0) {
		close(fd);
		return r;
	}
	return fd;
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

static int read_all(int fd, uint8_t *to, uint64_t len, const char *role, const char *path,
		    struct failure *f)
{
	uint64_t at = 0;

	while (at < len) {
		ssize_t n = pread(fd, to + at, len - at, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail(f, -errno, "cannot read the %s %s: %s", role, path,
				    strerror(errno));
		if (n == 0)
			return fail(f, -EIO, "the %s %s became shorter while it was read", role,
				    path);
		at += (uint64_t)n;
	}
	return 0;
}

static int read_kernel(const struct boot_source *source, struct file *ret_file, struct failure *f)
{
	int fd = source->files.kernel, r;
	uint64_t len;

	r = check_file(fd, source->kernel, "kernel", &len, f);
	if (r < 0)
		return r;
	ret_file->data = malloc(len);
	ret_file->len = len;
	if (!ret_file->data)
		return fail(f, -ENOMEM, "cannot read the kernel %s: out of memory", source->kernel);
	return read_all(fd, ret_file->data, len, "kernel", source->kernel, f);
}

static int too_small(const struct gmem *gm, const char *what, struct failure *f)
{
	uint64_t bytes = 0;

	for (unsigned i = 0; i < gm->count; i++)
		bytes += gm->region[i].len;
	return fail(f, -ENOSPC,
		    "the %s does not fit into the VM's %llu MiB of memory; give it more", what,
		    (unsigned long long)(bytes >> 20));
}

static int load_elf(const struct file *file, const struct gmem *gm, struct boot_entry *entry,
		    uint64_t *ret_end, const char *path, struct failure *f)
{
	struct elf_image image;
	int r = elf_decode(file->data, file->len, &image);

	if (r == -ENOTSUP)
		return fail(f, r, "the kernel %s is not an executable for 64-bit x86", path);
	if (r < 0)
		return fail(f, r, "the kernel %s is damaged or cut short; copy it anew", path);
	*ret_end = 0;
	for (unsigned i = 0; i < image.count; i++) {
		const struct elf_segment *s = &image.segment[i];

		if (s->gpa < KERNEL_MIN_AT || !gmem_span(gm, s->gpa, s->len))
			return too_small(gm, "kernel", f);
		gmem_write(gm, s->gpa, file->data + s->file_at, s->file_len);
		if (s->gpa + s->len > *ret_end)
			*ret_end = s->gpa + s->len;
	}
	entry->rip = image.entry;
	return 0;
}

/* The kernel as it is in the file: it decompresses itself. */
static int load_packed(const struct file *file, const struct bzimage *image, const struct gmem *gm,
		       struct boot_entry *entry, uint64_t *ret_end, struct failure *f)
{
	uint64_t room = image->init_bytes > image->code_len ? image->init_bytes : image->code_len;

	if (image->preferred < KERNEL_MIN_AT || !gmem_span(gm, image->preferred, room))
		return too_small(gm, "kernel", f);
	gmem_write(gm, image->preferred, file->data + image->code_at, image->code_len);
	entry->rip = image->preferred + SETUP_ENTRY_64;
	*ret_end = image->preferred + room;
	return 0;
}

/* Whether the segments of a file at `base` of guest memory can be moved to their places in order:
 * each downwards or not at all, so none onto what has yet to be moved. */
static bool can_settle(const struct elf_image *image, const struct gmem *gm, uint64_t base)
{
	uint64_t file_end = 0, gpa_end = KERNEL_MIN_AT;

	for (unsigned i = 0; i < image->count; i++) {
		const struct elf_segment *s = &image->segment[i];

		if (s->file_at < file_end || s->gpa < gpa_end || s->gpa > base + s->file_at ||
		    !gmem_span(gm, s->gpa, s->len))
			return false;
		file_end = s->file_at + s->file_len;
		gpa_end = s->gpa + s->len;
	}
	return true;
}

/* Moves the segments to their places, and clears what is left of the file around them. */
static void settle(const struct elf_image *image, const struct gmem *gm, uint64_t base, size_t len)
{
	const uint8_t *file = gmem_span(gm, base, len);
	uint64_t at = base, end = base + len;

	for (unsigned i = 0; i < image->count; i++) {
		const struct elf_segment *s = &image->segment[i];

		if (s->gpa != base + s->file_at)
			memmove(gmem_span(gm, s->gpa, s->len), file + s->file_at, s->file_len);
	}
	for (unsigned i = 0; i < image->count; i++) {
		const struct elf_segment *s = &image->segment[i];

		if (s->gpa > at)
			gmem_zero(gm, at, min_u64(s->gpa, end) - at);
		if (s->gpa + s->file_len > at)
			at = s->gpa + s->file_len;
		if (at >= end)
			return;
	}
	gmem_zero(gm, at, end - at);
}

/* The usual way: no buffer, and no copy of the kernel's text. -EAGAIN: this kernel needs
 * load_elf(), and guest memory is all zeros again. */
static int unpack_in_place(const struct boot_source *source, const struct file *packed,
			   const struct bzimage *image, const struct gmem *gm,
			   struct boot_entry *entry, uint64_t *ret_end)
{
	uint64_t base = image->preferred - TEXT_FILE_OFFSET;
	struct elf_image elf;
	uint8_t *file;
	size_t len;
	int r = source->unpack ? image_unpacked_len(packed->data, packed->len, UNPACKED_MAX, &len)
			       : -ENOTSUP;

	if (r < 0)
		return r;
	if (image->preferred < KERNEL_MIN_AT + TEXT_FILE_OFFSET || !gmem_span(gm, base, len))
		return -EAGAIN;
	file = gmem_span(gm, base, len);
	r = image_unpack_to(packed->data, packed->len, file, len);
	if (r < 0)
		return r;
	if (elf_decode(file, len, &elf) < 0 || !can_settle(&elf, gm, base)) {
		gmem_zero(gm, base, len);
		return -EAGAIN;
	}
	settle(&elf, gm, base, len);
	entry->rip = elf.entry;
	*ret_end = elf.segment[elf.count - 1].gpa + elf.segment[elf.count - 1].len;
	return 0;
}

static int unpack_failed(int r, const char *path, struct failure *f)
{
	if (r == -ENOMEM)
		return fail(f, r, "cannot decompress the kernel %s: out of memory", path);
	return fail(f, r, "the kernel %s is damaged or cut short; copy it anew", path);
}

static int unpack_and_copy(const struct boot_source *source, const struct file *packed,
			   const struct gmem *gm, struct boot_entry *entry, uint64_t *ret_end,
			   struct failure *f)
{
	struct file unpacked = {0};
	int r = image_unpack(packed->data, packed->len, UNPACKED_MAX, &unpacked.data,
			     &unpacked.len);

	if (r < 0)
		return unpack_failed(r, source->kernel, f);
	r = load_elf(&unpacked, gm, entry, ret_end, source->kernel, f);
	file_done(&unpacked);
	return r;
}

static int load_bzimage(const struct boot_source *source, const struct file *file,
			const struct bzimage *image, const struct gmem *gm,
			struct boot_entry *entry, uint64_t *ret_end, struct failure *f)
{
	struct file packed = {file->data + image->payload_at, image->payload_len};
	int r = unpack_in_place(source, &packed, image, gm, entry, ret_end);

	/* What we cannot decompress, the guest can. */
	if (r == -ENOTSUP)
		return load_packed(file, image, gm, entry, ret_end, f);
	if (r == -EAGAIN)
		r = unpack_and_copy(source, &packed, gm, entry, ret_end, f);
	else if (r < 0)
		r = unpack_failed(r, source->kernel, f);
	if (r < 0)
		return r;
	/* The kernel needs its work space too: the header tells how much. */
	if (!gmem_span(gm, image->preferred, image->init_bytes))
		return too_small(gm, "kernel", f);
	if (image->preferred + image->init_bytes > *ret_end)
		*ret_end = image->preferred + image->init_bytes;
	return 0;
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
	e820_add(zero_page, MACHINE_ACPI_AREA, KERNEL_MIN_AT - MACHINE_ACPI_AREA, E820_RESERVED);
	for (unsigned i = 0; i < gm->count; i++) {
		uint64_t start = gm->region[i].gpa ? gm->region[i].gpa : KERNEL_MIN_AT;

		e820_add(zero_page, start, gm->region[i].gpa + gm->region[i].len - start, E820_RAM);
	}
}

/* As high as the kernel allows, in the RAM below the gap, above the kernel's end. */
static int load_initrd(const struct boot_source *source, const struct gmem *gm, uint64_t kernel_end,
		       uint64_t max, uint8_t *zero_page, struct failure *f)
{
	uint64_t len, top = min_u64(gm->region[0].len, max + 1), at;
	int r = check_file(source->files.initrd, source->initrd, "initrd", &len, f);

	if (r < 0)
		return r;
	at = len < top ? (top - len) & ~UINT64_C(0xfff) : 0;
	if (at < kernel_end || !gmem_span(gm, at, len))
		return too_small(gm, "initrd", f);
	r = read_all(source->files.initrd, gmem_span(gm, at, len), len, "initrd", source->initrd,
		     f);
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
	struct boot_entry entry;
	uint8_t zero_page[ZERO_PAGE_BYTES];
	uint64_t kernel_end;
	uint32_t ramdisk_max, command_line_max;
	int result; /* of what the thread does, with the sentence */
	struct failure failure;
	bool threaded;
	pthread_t thread;
};

static int load_kernel_file(struct boot_load *load, const struct file *file, struct failure *f)
{
	struct bzimage image = {.ramdisk_max = 0x7fffffff, .command_line_max = 2047};
	const char *path = load->source.kernel;
	uint8_t *zero_page = load->zero_page;
	int r;

	switch (image_kind(file->data, file->len)) {
	case IMAGE_BZIMAGE:
		r = bzimage_decode(file->data, file->len, &image);
		if (r == -ENOTSUP)
			return fail(f, r,
				    "the kernel %s is not for 64-bit x86, or older than "
				    "Linux 3.8",
				    path);
		if (r < 0)
			return fail(f, r, "the kernel %s is damaged or cut short; copy it anew",
				    path);
		memcpy(zero_page + SETUP_SECTORS, file->data + SETUP_SECTORS, image.header_len);
		r = load_bzimage(&load->source, file, &image, load->gm, &load->entry,
				 &load->kernel_end, f);
		break;
	case IMAGE_ELF:
		le16_store(zero_page + SETUP_BOOT_FLAG, 0xAA55);
		le32_store(zero_page + SETUP_MAGIC, SETUP_MAGIC_VALUE);
		le16_store(zero_page + SETUP_VERSION, SETUP_VERSION_MIN);
		r = load_elf(file, load->gm, &load->entry, &load->kernel_end, path, f);
		break;
	default:
		return fail(f, -ENOEXEC,
			    "%s is not a Linux kernel (neither bzImage nor ELF); use "
			    "the vmlinuz from /boot",
			    path);
	}
	load->ramdisk_max = image.ramdisk_max;
	load->command_line_max = image.command_line_max;
	return r;
}

static void *load_kernel(void *arg)
{
	struct boot_load *load = arg;
	struct file file = {0};

	load->result = read_kernel(&load->source, &file, &load->failure);
	if (load->result == 0)
		load->result = load_kernel_file(load, &file, &load->failure);
	file_done(&file);
	return NULL;
}

static int load_rest(struct boot_load *load, struct failure *f)
{
	const struct boot_source *source = &load->source;
	uint8_t *zero_page = load->zero_page;
	int r = 0;

	zero_page[SETUP_LOADER_TYPE] = SETUP_LOADER_UNDEFINED;
	zero_page[SETUP_LOAD_FLAGS] |= SETUP_LOADED_HIGH;
	le64_store(zero_page + ZERO_PAGE_RSDP, source->rsdp);
	fill_e820(zero_page, load->gm);
	if (source->files.initrd >= 0)
		r = load_initrd(source, load->gm, load->kernel_end, load->ramdisk_max, zero_page,
				f);
	if (r == 0)
		r = load_command_line(source->command_line, load->command_line_max, load->gm,
				      zero_page, f);
	if (r == 0 && (load_cpu_tables(load->gm, &load->entry) < 0 ||
		       gmem_write(load->gm, ZERO_PAGE_AT, zero_page, ZERO_PAGE_BYTES) < 0))
		r = too_small(load->gm, "kernel", f);
	load->entry.rsi = ZERO_PAGE_AT;
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
	int r;

	if (load->threaded)
		pthread_join(load->thread, NULL);
	load->threaded = false;
	load->source.rsdp = rsdp;
	r = load->result;
	if (r < 0)
		*f = load->failure;
	else
		r = load_rest(load, f);
	if (r == 0)
		*ret_entry = load->entry;
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
