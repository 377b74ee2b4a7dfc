/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Decompression of kernels by the host: the formats that distributions build with. The length of
 * what comes out stands in the last four bytes of what goes in (of gzip by its own format, of
 * the others by the kernel's build); it is a hint that must prove right.
 */
#include <errno.h>
#include <lz4.h>
#include <lzma.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "base/bytes.h"
#include "base/util.h"
#include "lib/parallel.h"
#include "worker/linux_image.h"

#define LZ4_MAGIC_BYTES 4u
#define LZ4_LEGACY_BLOCK (8u << 20)
#define LZ4_BLOCKS_MAX 128u                 /* 1 GiB */
#define XZ_MEMORY_MAX (UINT64_C(512) << 20) /* kernels are built with up to 128 MiB */

struct span {
	const uint8_t *in;
	size_t in_len;
	uint8_t *out;
	size_t out_len;
};

static int unpack_gzip(struct span s)
{
	z_stream z = {
		.next_in = (Bytef *)(uintptr_t)s.in,
		.avail_in = (uInt)s.in_len,
		.next_out = s.out,
		.avail_out = (uInt)s.out_len,
	};
	int r;

	if (inflateInit2(&z, 16 + MAX_WBITS) != Z_OK)
		return -ENOMEM;
	r = inflate(&z, Z_FINISH);
	inflateEnd(&z);
	return r == Z_STREAM_END && z.total_out == s.out_len ? 0 : -EBADMSG;
}

static int unpack_xz(struct span s)
{
	uint64_t memory = XZ_MEMORY_MAX;
	size_t in_at = 0, out_at = 0;
	lzma_ret r = lzma_stream_buffer_decode(&memory, 0, NULL, s.in, &in_at, s.in_len, s.out,
					       &out_at, s.out_len);

	if (r == LZMA_MEM_ERROR)
		return -ENOMEM;
	return r == LZMA_OK && out_at == s.out_len ? 0 : -EBADMSG;
}

/* The stream is shorter than the input: the length field follows it. */
static int unpack_zstd(struct span s)
{
	size_t frame = ZSTD_findFrameCompressedSize(s.in, s.in_len), n;

	if (ZSTD_isError(frame))
		return -EBADMSG;
	n = ZSTD_decompress(s.out, s.out_len, s.in, frame);
	return !ZSTD_isError(n) && n == s.out_len ? 0 : -EBADMSG;
}

/* LZ4's blocks stand alone, and all but the last give 8 MiB: so threads can share them. */
struct lz4_work {
	struct span s;
	size_t count;
	struct lz4_block {
		size_t at;
		uint32_t len;
	} block[LZ4_BLOCKS_MAX];
};

static int lz4_find_blocks(struct lz4_work *work)
{
	size_t at = LZ4_MAGIC_BYTES;

	work->count = (work->s.out_len + LZ4_LEGACY_BLOCK - 1) / LZ4_LEGACY_BLOCK;
	if (work->count > LZ4_BLOCKS_MAX)
		return -EBADMSG;
	for (size_t i = 0; i < work->count; i++) {
		uint32_t len;

		if (!range_within(at, 4, work->s.in_len))
			return -EBADMSG;
		len = le32_load(work->s.in + at);
		at += 4;
		if (len > LZ4_COMPRESSBOUND(LZ4_LEGACY_BLOCK) ||
		    !range_within(at, len, work->s.in_len))
			return -EBADMSG;
		work->block[i] = (struct lz4_block){.at = at, .len = len};
		at += len;
	}
	return 0;
}

static int lz4_block(void *ctx, size_t i)
{
	const struct lz4_work *work = ctx;
	const struct lz4_block *block = &work->block[i];
	size_t to = i * LZ4_LEGACY_BLOCK;
	int room = (int)min_u64(work->s.out_len - to, LZ4_LEGACY_BLOCK);
	int n = LZ4_decompress_safe((const char *)work->s.in + block->at, (char *)work->s.out + to,
				    (int)block->len, room);

	return n == room ? 0 : -EBADMSG;
}

static int unpack_lz4(struct span s)
{
	struct lz4_work work = {.s = s};
	int r = lz4_find_blocks(&work);

	return r < 0 ? r : parallel_do(work.count, lz4_block, &work);
}

static const struct format {
	uint8_t magic[6];
	size_t magic_len;
	int (*unpack)(struct span s);
} formats[] = {
	{{0x1f, 0x8b}, 2, unpack_gzip},
	{{0xfd, '7', 'z', 'X', 'Z', 0}, 6, unpack_xz},
	{{0x28, 0xb5, 0x2f, 0xfd}, 4, unpack_zstd},
	{{0x02, 0x21, 0x4c, 0x18}, 4, unpack_lz4},
};

static const struct format *find_format(const uint8_t *in, size_t len)
{
	for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
		if (len > formats[i].magic_len + 4 &&
		    memcmp(in, formats[i].magic, formats[i].magic_len) == 0)
			return &formats[i];
	}
	return NULL;
}

int image_unpacked_len(const uint8_t *packed, size_t len, size_t max, size_t *ret_len)
{
	uint32_t out_len;

	if (!find_format(packed, len))
		return -ENOTSUP;
	out_len = le32_load(packed + len - 4);
	if (!out_len)
		return -EBADMSG;
	if (out_len > max)
		return -E2BIG;
	*ret_len = out_len;
	return 0;
}

int image_unpack_to(const uint8_t *packed, size_t len, uint8_t *out, size_t out_len)
{
	const struct format *format = find_format(packed, len);
	struct span s = {.in = packed, .in_len = len, .out = out, .out_len = out_len};

	return format ? format->unpack(s) : -ENOTSUP;
}

int image_unpack(const uint8_t *packed, size_t len, size_t max, uint8_t **ret_data, size_t *ret_len)
{
	size_t out_len;
	uint8_t *out;
	int r = image_unpacked_len(packed, len, max, &out_len);

	if (r < 0)
		return r;
	out = malloc(out_len);
	if (!out)
		return -ENOMEM;
	r = image_unpack_to(packed, len, out, out_len);
	if (r < 0) {
		free(out);
		return r;
	}
	*ret_data = out;
	*ret_len = out_len;
	return 0;
}
