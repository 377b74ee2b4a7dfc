/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Decoders of kernel images: what is where in a bzImage or an ELF file. Pure: they look at bytes
 * and change nothing.
 *
 * Trust: the file is hostile; every offset and length that comes out lies within it.
 */
#ifndef OYA_WORKER_LINUX_IMAGE_H
#define OYA_WORKER_LINUX_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#define ELF_SEGMENTS_MAX 16u

struct bzimage {
	uint32_t header_len;            /* bytes from SETUP_SECTORS on that go into the zero page */
	size_t code_at, code_len;       /* protected-mode part within the file */
	size_t payload_at, payload_len; /* the compressed kernel within the file */
	uint64_t preferred;
	uint64_t init_bytes;  /* that the kernel needs at its address before it can allocate */
	uint32_t ramdisk_max; /* highest address that a RAM disk may reach */
	uint32_t command_line_max;
};

struct elf_segment {
	uint64_t file_at, file_len, gpa, len; /* len >= file_len; the rest is zero */
};

struct elf_image {
	uint64_t entry;
	unsigned count;
	struct elf_segment segment[ELF_SEGMENTS_MAX];
};

enum image_kind { IMAGE_UNKNOWN, IMAGE_BZIMAGE, IMAGE_ELF };

enum image_kind image_kind(const uint8_t *file, size_t len);

/* 0; -EBADMSG: cut short or damaged; -ENOTSUP: no 64-bit kernel, or a protocol before 2.12. */
int bzimage_decode(const uint8_t *file, size_t len, struct bzimage *ret_image);

/* `file` is the first len bytes of a file of file_len. 0; -EBADMSG; -ENOTSUP: not a 64-bit x86
 * executable, with too many segments, or their table is not in those bytes. */
int elf_decode(const uint8_t *file, size_t len, uint64_t file_len, struct elf_image *ret_image);

/* How much comes out of gzip, xz, zstd or LZ4 (legacy frame), told apart by their magic numbers:
 * 1 to max bytes. 0; -ENOTSUP: another format; -EBADMSG; -E2BIG. */
int image_unpacked_len(const uint8_t *packed, size_t len, size_t max, size_t *ret_len);

/* Decompresses to `out`, which is to be filled exactly; out_len is what image_unpacked_len() gave.
 * LZ4 is done by several threads, which have ended on return. 0; -EBADMSG; -ENOMEM. */
int image_unpack_to(const uint8_t *packed, size_t len, uint8_t *out, size_t out_len);

/* Both, to *ret_data, which is malloc'ed. */
int image_unpack(const uint8_t *packed, size_t len, size_t max, uint8_t **ret_data,
		 size_t *ret_len);

#endif
