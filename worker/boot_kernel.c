/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel into guest memory, where it wants to be (16 MiB for Debian's).
 *
 * Trust: the file is hostile. What is decoded is read into private memory first, with bounds
 * (linux_image.h); segments of an ELF file go straight to their places, which were checked. A
 * compressed kernel is unpacked in guest memory where it can be: no processor runs then, so what
 * was checked there stays as it is.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "abi/linux_boot.h"
#include "base/bytes.h"
#include "base/util.h"
#include "worker/boot_priv.h"
#include "worker/linux_image.h"

#define UNPACKED_MAX ((size_t)1 << 30)
#define TEXT_FILE_OFFSET 0x200000u /* of the first segment, as kernels for x86 are linked */
#define RAMDISK_MAX_DEFAULT 0x7fffffffu
#define COMMAND_LINE_MAX_DEFAULT 2047u
#define HEAD_MAX (UINT64_C(64) << 10) /* of a file: what tells its kind, an ELF file's headers */

/* A load under way: the file, as much of it as has been read (its head, or all), and what came of
 * it. */
struct load {
	const struct boot_source *source;
	const struct gmem *gm;
	struct boot_file file;
	uint64_t file_len;
	uint8_t *data;
	size_t len;
	struct boot_kernel kernel;
};

static int damaged(const struct load *l, struct failure *f)
{
	return fail(f, -EBADMSG, "the kernel %s is damaged or cut short; copy it anew",
		    l->file.path);
}

/* Reads the first len bytes. */
static int read_start(struct load *l, uint64_t len, struct failure *f)
{
	free(l->data);
	l->data = malloc(len);
	l->len = len;
	if (!l->data)
		return fail(f, -ENOMEM, "cannot read the kernel %s: out of memory", l->file.path);
	return boot_file_read(&l->file, 0, l->data, len, f);
}

/* Segments to their places: out of `unpacked`, or where that is NULL out of the file. */
static int load_segments(struct load *l, const struct elf_image *image, const uint8_t *unpacked,
			 struct failure *f)
{
	l->kernel.entry = image->entry;
	for (unsigned i = 0; i < image->count; i++) {
		const struct elf_segment *s = &image->segment[i];
		uint8_t *to = gmem_span(l->gm, s->gpa, s->len);
		int r = 0;

		if (s->gpa < BOOT_KERNEL_MIN_AT || !to)
			return boot_too_small(l->gm, "kernel", f);
		if (unpacked)
			memcpy(to, unpacked + s->file_at, s->file_len);
		else
			r = boot_file_read(&l->file, s->file_at, to, s->file_len, f);
		if (r < 0)
			return r;
		if (s->gpa + s->len > l->kernel.end)
			l->kernel.end = s->gpa + s->len;
	}
	return 0;
}

/* An ELF file in `data`, of which `len` bytes are there. */
static int load_elf(struct load *l, const uint8_t *data, size_t len, uint64_t file_len,
		    const uint8_t *unpacked, struct failure *f)
{
	struct elf_image image;
	int r = elf_decode(data, len, file_len, &image);

	if (r == -ENOTSUP)
		return fail(f, r, "the kernel %s is not an executable for 64-bit x86",
			    l->file.path);
	return r < 0 ? damaged(l, f) : load_segments(l, &image, unpacked, f);
}

/* The kernel as it is in the file: it decompresses itself. */
static int load_packed(struct load *l, const struct bzimage *image, struct failure *f)
{
	uint64_t room = image->init_bytes > image->code_len ? image->init_bytes : image->code_len;

	if (image->preferred < BOOT_KERNEL_MIN_AT || !gmem_span(l->gm, image->preferred, room))
		return boot_too_small(l->gm, "kernel", f);
	gmem_write(l->gm, image->preferred, l->data + image->code_at, image->code_len);
	l->kernel.entry = image->preferred + SETUP_ENTRY_64;
	l->kernel.end = image->preferred + room;
	return 0;
}

/* Whether the segments of a file at `base` of guest memory can be moved to their places in order:
 * each downwards or not at all, so none onto what has yet to be moved. */
static bool can_settle(const struct elf_image *image, const struct gmem *gm, uint64_t base)
{
	uint64_t file_end = 0, gpa_end = BOOT_KERNEL_MIN_AT;

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
 * unpack_and_copy(), and guest memory is all zeros again. */
static int unpack_in_place(struct load *l, const struct bzimage *image)
{
	const uint8_t *packed = l->data + image->payload_at;
	uint64_t base = image->preferred - TEXT_FILE_OFFSET;
	struct elf_image elf;
	uint8_t *file;
	size_t len;
	int r = l->source->unpack
			? image_unpacked_len(packed, image->payload_len, UNPACKED_MAX, &len)
			: -ENOTSUP;

	if (r < 0)
		return r;
	file = gmem_span(l->gm, base, len);
	if (image->preferred < BOOT_KERNEL_MIN_AT + TEXT_FILE_OFFSET || !file)
		return -EAGAIN;
	r = image_unpack_to(packed, image->payload_len, file, len);
	if (r < 0)
		return r;
	if (elf_decode(file, len, len, &elf) < 0 || !can_settle(&elf, l->gm, base)) {
		gmem_zero(l->gm, base, len);
		return -EAGAIN;
	}
	settle(&elf, l->gm, base, len);
	l->kernel.entry = elf.entry;
	l->kernel.end = elf.segment[elf.count - 1].gpa + elf.segment[elf.count - 1].len;
	return 0;
}

static int unpack_failed(const struct load *l, int r, struct failure *f)
{
	if (r == -ENOMEM)
		return fail(f, r, "cannot decompress the kernel %s: out of memory", l->file.path);
	return damaged(l, f);
}

static int unpack_and_copy(struct load *l, const struct bzimage *image, struct failure *f)
{
	uint8_t *unpacked = NULL;
	size_t len;
	int r = image_unpack(l->data + image->payload_at, image->payload_len, UNPACKED_MAX,
			     &unpacked, &len);

	if (r < 0)
		return unpack_failed(l, r, f);
	r = load_elf(l, unpacked, len, len, unpacked, f);
	free(unpacked);
	return r;
}

static int load_bzimage(struct load *l, const struct bzimage *image, struct failure *f)
{
	int r = unpack_in_place(l, image);

	/* What we cannot decompress, the guest can. */
	if (r == -ENOTSUP)
		return load_packed(l, image, f);
	if (r == -EAGAIN)
		r = unpack_and_copy(l, image, f);
	else if (r < 0)
		r = unpack_failed(l, r, f);
	if (r < 0)
		return r;
	/* The kernel needs its work space too: the header tells how much. */
	if (!gmem_span(l->gm, image->preferred, image->init_bytes))
		return boot_too_small(l->gm, "kernel", f);
	if (image->preferred + image->init_bytes > l->kernel.end)
		l->kernel.end = image->preferred + image->init_bytes;
	return 0;
}

static int read_bzimage(struct load *l, uint8_t *zero_page, struct failure *f)
{
	struct bzimage image;
	int r = read_start(l, l->file_len, f);

	if (r < 0)
		return r;
	r = bzimage_decode(l->data, l->len, &image);
	if (r == -ENOTSUP)
		return fail(f, r, "the kernel %s is not for 64-bit x86, or older than Linux 3.8",
			    l->file.path);
	if (r < 0)
		return damaged(l, f);
	memcpy(zero_page + SETUP_SECTORS, l->data + SETUP_SECTORS, image.header_len);
	l->kernel.ramdisk_max = image.ramdisk_max;
	l->kernel.command_line_max = image.command_line_max;
	return load_bzimage(l, &image, f);
}

static int read_elf(struct load *l, uint8_t *zero_page, struct failure *f)
{
	le16_store(zero_page + SETUP_BOOT_FLAG, 0xAA55);
	le32_store(zero_page + SETUP_MAGIC, SETUP_MAGIC_VALUE);
	le16_store(zero_page + SETUP_VERSION, SETUP_VERSION_MIN);
	l->kernel.ramdisk_max = RAMDISK_MAX_DEFAULT;
	l->kernel.command_line_max = COMMAND_LINE_MAX_DEFAULT;
	return load_elf(l, l->data, l->len, l->file_len, NULL, f);
}

int boot_kernel_load(const struct boot_source *source, const struct gmem *gm, uint8_t *zero_page,
		     struct boot_kernel *ret_kernel, struct failure *f)
{
	struct load l = {
		.source = source,
		.gm = gm,
		.file = {source->files.kernel, "kernel", source->kernel},
	};
	int r = boot_file_len(&l.file, &l.file_len, f);

	if (r == 0)
		r = read_start(&l, min_u64(l.file_len, HEAD_MAX), f);
	if (r == 0) {
		switch (image_kind(l.data, l.len)) {
		case IMAGE_BZIMAGE:
			r = read_bzimage(&l, zero_page, f);
			break;
		case IMAGE_ELF:
			r = read_elf(&l, zero_page, f);
			break;
		case IMAGE_UNKNOWN:
		default:
			r = fail(f, -ENOEXEC,
				 "%s is not a Linux kernel (neither bzImage nor ELF); use the "
				 "vmlinuz from /boot",
				 source->kernel);
		}
	}
	free(l.data);
	if (r == 0)
		*ret_kernel = l.kernel;
	return r;
}
