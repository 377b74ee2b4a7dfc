/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Decoders of kernel images: which kind it is, and what is where in an ELF file; base/bzimage.h has
 * the other kind. Pure: they look at bytes and change nothing.
 *
 * Trust: the file is hostile; every offset and length that comes out lies within it.
 */
#ifndef OYA_WORKER_LINUX_IMAGE_H
#define OYA_WORKER_LINUX_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#include "base/bzimage.h"

#define ELF_SEGMENTS_MAX 16u

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
