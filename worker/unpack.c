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
#include "worker/linux_image.h"

#define LZ4_LEGACY_BLOCK (8u << 20)
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

static int unpack_lz4(struct span s)
{
	size_t at = 4, made = 0;

	while (made < s.out_len) {
		size_t room = s.out_len - made;
		uint32_t block;
		int n;

		if (!range_within(at, 4, s.in_len))
			return -EBADMSG;
		block = le32_load(s.in + at);
		at += 4;
		if (block > LZ4_COMPRESSBOUND(LZ4_LEGACY_BLOCK) ||
		    !range_within(at, block, s.in_len))
			return -EBADMSG;
		n = LZ4_decompress_safe((const char *)s.in + at, (char *)s.out + made, (int)block,
					(int)min_u64(room, LZ4_LEGACY_BLOCK));
		if (n <= 0)
			return -EBADMSG;
		at += block;
		made += (size_t)n;
	}
	return 0;
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

int image_unpack(const uint8_t *packed, size_t len, size_t max, uint8_t **ret_data, size_t *ret_len)
{
	const struct format *format = find_format(packed, len);
	struct span s = {.in = packed, .in_len = len};
	int r;

	if (!format)
		return -ENOTSUP;
	s.out_len = le32_load(packed + len - 4);
	if (!s.out_len)
		return -EBADMSG;
	if (s.out_len > max)
		return -E2BIG;
	s.out = malloc(s.out_len);
	if (!s.out)
		return -ENOMEM;
	r = format->unpack(s);
	if (r < 0) {
		free(s.out);
		return r;
	}
	*ret_data = s.out;
	*ret_len = s.out_len;
	return 0;
}
