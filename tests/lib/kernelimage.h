/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Kernel images made in memory for tests: a 64-bit ELF file, its four compressed forms as a kernel
 * build makes them (the length of what comes out in the last four bytes), and a bzImage around
 * either. Everything is static inline; allocation failures abort.
 */
#ifndef OYA_TESTS_LIB_KERNELIMAGE_H
#define OYA_TESTS_LIB_KERNELIMAGE_H

#include <elf.h>
#include <lz4.h>
#include <lzma.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "abi/linux_boot.h"
#include "base/bytes.h"

#define KERNEL_AT 0x1000000u /* physical address of the first segment */
#define KERNEL_ENTRY 0x1000040u
#define KERNEL_TEXT_BYTES 9000u
#define KERNEL_DATA_BYTES 100u
#define KERNEL_BSS_END 0x1005000u
#define KERNEL_INIT_BYTES 0x200000u
#define BZIMAGE_SETUP_BYTES 1024u /* one sector more than the boot sector */

struct image {
	uint8_t *data;
	size_t len;
};

enum packing { PACK_GZIP, PACK_XZ, PACK_ZSTD, PACK_LZ4, PACKINGS };

static inline struct image image_new(size_t len)
{
	struct image i = {.data = calloc(1, len ? len : 1), .len = len};

	if (!i.data)
		abort();
	return i;
}

/* Two segments: text at KERNEL_AT, data with BSS behind it; and a note that is not loaded. */
static inline struct image image_elf(void)
{
	size_t text_at = 4096, data_at = text_at + KERNEL_TEXT_BYTES;
	struct image i = image_new(data_at + KERNEL_DATA_BYTES);
	Elf64_Ehdr head = {
		.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
		.e_type = ET_EXEC,
		.e_machine = EM_X86_64,
		.e_entry = KERNEL_ENTRY,
		.e_phoff = sizeof(Elf64_Ehdr),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = 3,
	};
	Elf64_Phdr segments[3] = {
		{.p_type = PT_LOAD,
		 .p_offset = text_at,
		 .p_paddr = KERNEL_AT,
		 .p_vaddr = 0xffffffff81000000,
		 .p_filesz = KERNEL_TEXT_BYTES,
		 .p_memsz = KERNEL_TEXT_BYTES},
		{.p_type = PT_NOTE, .p_offset = UINT64_MAX, .p_filesz = 1, .p_memsz = 1},
		{.p_type = PT_LOAD,
		 .p_offset = data_at,
		 .p_paddr = KERNEL_AT + 0x4000,
		 .p_filesz = KERNEL_DATA_BYTES,
		 .p_memsz = 0x1000},
	};

	memcpy(i.data, &head, sizeof(head));
	memcpy(i.data + sizeof(head), segments, sizeof(segments));
	for (size_t n = text_at; n < i.len; n++)
		i.data[n] = (uint8_t)(n * 7 + n / 256);
	return i;
}

static inline size_t image_deflate(struct image *out, const struct image *in)
{
	z_stream z = {.next_in = in->data, .avail_in = (uInt)in->len};

	z.next_out = out->data;
	z.avail_out = (uInt)out->len;
	if (deflateInit2(&z, 9, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY) != Z_OK ||
	    deflate(&z, Z_FINISH) != Z_STREAM_END)
		abort();
	deflateEnd(&z);
	return z.total_out; /* gzip ends with the length by itself */
}

static inline size_t image_append_len(struct image *out, size_t at, size_t len)
{
	le32_store(out->data + at, (uint32_t)len);
	return at + 4;
}

static inline size_t image_xz(struct image *out, const struct image *in)
{
	size_t at = 0;

	if (lzma_easy_buffer_encode(6, LZMA_CHECK_CRC32, NULL, in->data, in->len, out->data, &at,
				    out->len) != LZMA_OK)
		abort();
	return image_append_len(out, at, in->len);
}

static inline size_t image_zstd(struct image *out, const struct image *in)
{
	size_t n = ZSTD_compress(out->data, out->len, in->data, in->len, 19);

	if (ZSTD_isError(n))
		abort();
	return image_append_len(out, n, in->len);
}

static inline size_t image_lz4(struct image *out, const struct image *in)
{
	int n = LZ4_compress_default((const char *)in->data, (char *)out->data + 8, (int)in->len,
				     (int)out->len - 16);

	if (n <= 0)
		abort();
	le32_store(out->data, 0x184C2102);
	le32_store(out->data + 4, (uint32_t)n);
	return image_append_len(out, 8 + (size_t)n, in->len);
}

static inline struct image image_pack(const struct image *in, enum packing packing)
{
	struct image out = image_new(in->len * 2 + 1024);

	out.len = packing == PACK_GZIP   ? image_deflate(&out, in)
		  : packing == PACK_XZ   ? image_xz(&out, in)
		  : packing == PACK_ZSTD ? image_zstd(&out, in)
					 : image_lz4(&out, in);
	return out;
}

/* A bzImage whose payload lies at 0x300 of its protected-mode part. */
static inline struct image image_bz(const struct image *payload)
{
	size_t payload_at = 0x300;
	struct image i = image_new(BZIMAGE_SETUP_BYTES + payload_at + payload->len);

	i.data[SETUP_SECTORS] = 1;
	le16_store(i.data + SETUP_BOOT_FLAG, 0xAA55);
	i.data[SETUP_JUMP] = 0xeb;
	i.data[SETUP_JUMP + 1] = 0x6a; /* the header ends at 0x26c */
	le32_store(i.data + SETUP_MAGIC, SETUP_MAGIC_VALUE);
	le16_store(i.data + SETUP_VERSION, 0x020f);
	le16_store(i.data + SETUP_XLOADFLAGS, SETUP_XLF_64);
	le32_store(i.data + SETUP_RAMDISK_MAX, 0x7fffffff);
	le32_store(i.data + SETUP_COMMAND_LINE_MAX, 2047);
	le32_store(i.data + SETUP_PAYLOAD_OFFSET, (uint32_t)payload_at);
	le32_store(i.data + SETUP_PAYLOAD_BYTES, (uint32_t)payload->len);
	le64_store(i.data + SETUP_PREFERRED, KERNEL_AT);
	le32_store(i.data + SETUP_INIT_BYTES, KERNEL_INIT_BYTES);
	memset(i.data + BZIMAGE_SETUP_BYTES, 0x90, payload_at);
	memcpy(i.data + BZIMAGE_SETUP_BYTES + payload_at, payload->data, payload->len);
	return i;
}

#endif
