/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The decoders of kernel images: each honest form, each truncation, wild offsets.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "tests/lib/kernelimage.h"
#include "worker/linux_image.h"

#define MAX_BYTES (1u << 20)

struct fixture {
	struct image elf, bz;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct image packed;

	f->elf = image_elf();
	packed = image_pack(&f->elf, PACK_GZIP);
	f->bz = image_bz(&packed);
	free(packed.data);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	free(f->elf.data);
	free(f->bz.data);
	free(f);
	return 0;
}

/* A copy of exactly len bytes, so that the sanitizer sees each byte read past them. */
static uint8_t *cut(const struct image *i, size_t len)
{
	uint8_t *copy = malloc(len ? len : 1);

	memcpy(copy, i->data, len);
	return copy;
}

static void kinds_are_told_apart(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(image_kind(f->elf.data, f->elf.len), IMAGE_ELF);
	assert_int_equal(image_kind(f->bz.data, f->bz.len), IMAGE_BZIMAGE);
	assert_int_equal(image_kind(f->bz.data, SETUP_HEADER_END - 1), IMAGE_UNKNOWN);
	assert_int_equal(image_kind(f->elf.data, 3), IMAGE_UNKNOWN);
	assert_int_equal(image_kind(f->elf.data, 0), IMAGE_UNKNOWN);
	f->bz.data[SETUP_BOOT_FLAG] ^= 1;
	assert_int_equal(image_kind(f->bz.data, f->bz.len), IMAGE_UNKNOWN);
}

static void a_bzimage_is_decoded(void **state)
{
	struct fixture *f = *state;
	struct bzimage b;

	assert_int_equal(bzimage_decode(f->bz.data, f->bz.len, &b), 0);
	assert_int_equal(b.header_len, 0x26c - SETUP_SECTORS);
	assert_int_equal(b.code_at, BZIMAGE_SETUP_BYTES);
	assert_int_equal(b.code_len, f->bz.len - BZIMAGE_SETUP_BYTES);
	assert_int_equal(b.payload_at, BZIMAGE_SETUP_BYTES + 0x300);
	assert_int_equal(b.payload_at + b.payload_len, f->bz.len);
	assert_int_equal(b.preferred, KERNEL_AT);
	assert_int_equal(b.init_bytes, KERNEL_INIT_BYTES);
	assert_int_equal(b.ramdisk_max, 0x7fffffff);
	assert_int_equal(b.command_line_max, 2047);
}

static void a_bzimage_cut_at_any_byte_is_damaged(void **state)
{
	struct fixture *f = *state;

	for (size_t len = 0; len < f->bz.len; len++) {
		uint8_t *copy = cut(&f->bz, len);
		struct bzimage b = {.code_at = 77};

		assert_int_equal(bzimage_decode(copy, len, &b), -EBADMSG);
		assert_int_equal(b.code_at, 77);
		free(copy);
	}
}

static void a_bzimage_with_wild_offsets_is_damaged(void **state)
{
	struct fixture *f = *state;
	static const uint32_t wild[] = {0x7fffffff, 0x80000000, 0xffffffff, 0xfffffd00};
	struct bzimage b;

	for (size_t i = 0; i < ARRAY_LEN(wild); i++) {
		uint32_t offset = le32_load(f->bz.data + SETUP_PAYLOAD_OFFSET);
		uint32_t bytes = le32_load(f->bz.data + SETUP_PAYLOAD_BYTES);

		le32_store(f->bz.data + SETUP_PAYLOAD_OFFSET, wild[i]);
		assert_int_equal(bzimage_decode(f->bz.data, f->bz.len, &b), -EBADMSG);
		le32_store(f->bz.data + SETUP_PAYLOAD_OFFSET, offset);
		le32_store(f->bz.data + SETUP_PAYLOAD_BYTES, wild[i]);
		assert_int_equal(bzimage_decode(f->bz.data, f->bz.len, &b), -EBADMSG);
		le32_store(f->bz.data + SETUP_PAYLOAD_BYTES, bytes);
	}
	le32_store(f->bz.data + SETUP_PAYLOAD_BYTES, 0);
	assert_int_equal(bzimage_decode(f->bz.data, f->bz.len, &b), -EBADMSG);
}

static void more_setup_sectors_than_the_file_has_are_damage(void **state)
{
	struct fixture *f = *state;
	struct bzimage b;

	f->bz.data[SETUP_SECTORS] = 0xff;
	assert_int_equal(bzimage_decode(f->bz.data, f->bz.len, &b), -EBADMSG);
	f->bz.data[SETUP_SECTORS] = 0; /* means 4: the payload then lies elsewhere, or nowhere */
	assert_int_equal(bzimage_decode(f->bz.data, 5 * 512, &b), -EBADMSG);
}

static void the_header_never_exceeds_its_room_in_the_zero_page(void **state)
{
	struct fixture *f = *state;
	struct bzimage b;

	for (unsigned jump = 0; jump < 256; jump++) {
		f->bz.data[SETUP_JUMP + 1] = (uint8_t)jump;
		assert_int_equal(bzimage_decode(f->bz.data, f->bz.len, &b), 0);
		assert_true(SETUP_SECTORS + b.header_len <= SETUP_ROOM_END);
	}
}

static void old_protocols_and_32_bit_kernels_are_not_supported(void **state)
{
	struct fixture *f = *state;
	struct bzimage b;

	le16_store(f->bz.data + SETUP_VERSION, 0x020b);
	assert_int_equal(bzimage_decode(f->bz.data, f->bz.len, &b), -ENOTSUP);
	le16_store(f->bz.data + SETUP_VERSION, 0x020c);
	assert_int_equal(bzimage_decode(f->bz.data, f->bz.len, &b), 0);
	le16_store(f->bz.data + SETUP_XLOADFLAGS, 0xfffe);
	assert_int_equal(bzimage_decode(f->bz.data, f->bz.len, &b), -ENOTSUP);
}

static void an_elf_file_is_decoded(void **state)
{
	struct fixture *f = *state;
	struct elf_image e;

	assert_int_equal(elf_decode(f->elf.data, f->elf.len, f->elf.len, &e), 0);
	assert_int_equal(e.count, 2);
	assert_int_equal(e.entry, KERNEL_ENTRY);
	assert_int_equal(e.segment[0].file_at, 4096);
	assert_int_equal(e.segment[0].gpa, KERNEL_AT);
	assert_int_equal(e.segment[1].file_len, KERNEL_DATA_BYTES);
	assert_int_equal(e.segment[1].len, 0x1000);
}

static void an_elf_file_cut_at_any_byte_is_damaged(void **state)
{
	struct fixture *f = *state;

	for (size_t len = 0; len < f->elf.len; len++) {
		uint8_t *copy = cut(&f->elf, len);
		struct elf_image e;

		assert_int_equal(elf_decode(copy, len, len, &e), -EBADMSG);
		free(copy);
	}
}

/* The table must lie in what is there, the segments in what the file has. */
static void an_elf_file_is_decoded_by_its_head(void **state)
{
	struct fixture *f = *state;
	size_t head = sizeof(Elf64_Ehdr) + 3 * sizeof(Elf64_Phdr);
	struct elf_image e;

	assert_int_equal(elf_decode(f->elf.data, head, f->elf.len, &e), 0);
	assert_int_equal(e.count, 2);
	assert_int_equal(elf_decode(f->elf.data, head - 1, f->elf.len, &e), -ENOTSUP);
	assert_int_equal(elf_decode(f->elf.data, head, f->elf.len - 1, &e), -EBADMSG);
}

static Elf64_Ehdr *head_of(struct fixture *f)
{
	return (Elf64_Ehdr *)(void *)f->elf.data;
}

static Elf64_Phdr *segment_of(struct fixture *f, unsigned n)
{
	return (Elf64_Phdr *)(void *)(f->elf.data + sizeof(Elf64_Ehdr)) + n;
}

static void elf_files_of_another_kind_are_not_supported(void **state)
{
	struct fixture *f = *state;
	Elf64_Ehdr good = *head_of(f);
	struct elf_image e;

	head_of(f)->e_ident[EI_CLASS] = ELFCLASS32;
	assert_int_equal(elf_decode(f->elf.data, f->elf.len, f->elf.len, &e), -ENOTSUP);
	*head_of(f) = good;
	head_of(f)->e_ident[EI_DATA] = ELFDATA2MSB;
	assert_int_equal(elf_decode(f->elf.data, f->elf.len, f->elf.len, &e), -ENOTSUP);
	*head_of(f) = good;
	head_of(f)->e_machine = EM_AARCH64;
	assert_int_equal(elf_decode(f->elf.data, f->elf.len, f->elf.len, &e), -ENOTSUP);
	*head_of(f) = good;
	head_of(f)->e_type = ET_DYN;
	assert_int_equal(elf_decode(f->elf.data, f->elf.len, f->elf.len, &e), -ENOTSUP);
	*head_of(f) = good;
	head_of(f)->e_ident[1] = 'X';
	assert_int_equal(elf_decode(f->elf.data, f->elf.len, f->elf.len, &e), -EBADMSG);
}

static void wild_program_headers_are_damage(void **state)
{
	struct fixture *f = *state;
	Elf64_Ehdr good = *head_of(f);
	static const uint64_t wild[] = {UINT64_MAX, UINT64_MAX - 55, UINT64_C(1) << 63, 1u << 20};
	struct elf_image e;

	for (size_t i = 0; i < ARRAY_LEN(wild); i++) {
		head_of(f)->e_phoff = wild[i];
		assert_int_equal(elf_decode(f->elf.data, f->elf.len, f->elf.len, &e), -EBADMSG);
	}
	*head_of(f) = good;
	head_of(f)->e_phentsize = 1;
	assert_int_equal(elf_decode(f->elf.data, f->elf.len, f->elf.len, &e), -EBADMSG);
	*head_of(f) = good;
	head_of(f)->e_phnum = 0xffff;
	assert_int_equal(elf_decode(f->elf.data, f->elf.len, f->elf.len, &e), -EBADMSG);
	head_of(f)->e_phnum = 0;
	assert_int_equal(elf_decode(f->elf.data, f->elf.len, f->elf.len, &e), -EBADMSG);
}

static void wild_segments_are_damage(void **state)
{
	struct fixture *f = *state;
	Elf64_Phdr good = *segment_of(f, 0), *s = segment_of(f, 0);
	struct elf_image e;

	s->p_offset = UINT64_MAX;
	assert_int_equal(elf_decode(f->elf.data, f->elf.len, f->elf.len, &e), -EBADMSG);
	*s = good;
	s->p_filesz = s->p_memsz = UINT64_MAX;
	assert_int_equal(elf_decode(f->elf.data, f->elf.len, f->elf.len, &e), -EBADMSG);
	*s = good;
	s->p_memsz = s->p_filesz - 1;
	assert_int_equal(elf_decode(f->elf.data, f->elf.len, f->elf.len, &e), -EBADMSG);
	*s = good;
	s->p_memsz = 0; /* nothing to load: it is passed over */
	s->p_offset = UINT64_MAX;
	assert_int_equal(elf_decode(f->elf.data, f->elf.len, f->elf.len, &e), 0);
	assert_int_equal(e.count, 1);
	segment_of(f, 2)->p_type = PT_NOTE;
	assert_int_equal(elf_decode(f->elf.data, f->elf.len, f->elf.len, &e), -EBADMSG);
}

static void too_many_segments_are_not_supported(void **state)
{
	struct fixture *f = *state;
	struct elf_image e;

	for (unsigned n = 1; n <= ELF_SEGMENTS_MAX; n++)
		*segment_of(f, n) = *segment_of(f, 0);
	head_of(f)->e_phnum = ELF_SEGMENTS_MAX;
	assert_int_equal(elf_decode(f->elf.data, f->elf.len, f->elf.len, &e), 0);
	assert_int_equal(e.count, ELF_SEGMENTS_MAX);
	head_of(f)->e_phnum = ELF_SEGMENTS_MAX + 1;
	assert_int_equal(elf_decode(f->elf.data, f->elf.len, f->elf.len, &e), -ENOTSUP);
}

static void every_compression_is_undone(void **state)
{
	struct fixture *f = *state;

	for (enum packing p = PACK_GZIP; p < PACKINGS; p++) {
		struct image packed = image_pack(&f->elf, p);
		uint8_t *out = NULL;
		size_t len = 0;

		assert_int_equal(image_unpack(packed.data, packed.len, MAX_BYTES, &out, &len), 0);
		assert_int_equal(len, f->elf.len);
		assert_memory_equal(out, f->elf.data, len);
		free(out);
		free(packed.data);
	}
}

static void a_compressed_kernel_cut_at_any_byte_is_refused(void **state)
{
	struct fixture *f = *state;

	for (enum packing p = PACK_GZIP; p < PACKINGS; p++) {
		struct image packed = image_pack(&f->elf, p);

		for (size_t len = 0; len < packed.len; len++) {
			uint8_t *copy = cut(&packed, len), *out = NULL;
			size_t out_len;

			assert_true(image_unpack(copy, len, MAX_BYTES, &out, &out_len) < 0);
			assert_null(out);
			free(copy);
		}
		free(packed.data);
	}
}

static void a_compressed_kernel_with_a_wrong_length_is_refused(void **state)
{
	struct fixture *f = *state;
	static const uint32_t lengths[] = {0, 1, 4096, MAX_BYTES, MAX_BYTES + 1, UINT32_MAX};

	for (enum packing p = PACK_GZIP; p < PACKINGS; p++) {
		struct image packed = image_pack(&f->elf, p);

		for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
			int expected = lengths[i] > MAX_BYTES ? -E2BIG : -EBADMSG, r;
			uint8_t *out = NULL;
			size_t len;

			le32_store(packed.data + packed.len - 4, lengths[i]);
			r = image_unpack(packed.data, packed.len, MAX_BYTES, &out, &len);
			assert_int_equal(r, expected);
			assert_null(out);
		}
		free(packed.data);
	}
}

static void damaged_bytes_never_read_or_write_out_of_bounds(void **state)
{
	struct fixture *f = *state;

	for (enum packing p = PACK_GZIP; p < PACKINGS; p++) {
		struct image packed = image_pack(&f->elf, p);

		for (size_t at = 0; at < packed.len; at++) {
			uint8_t *out = NULL;
			size_t len;

			packed.data[at] ^= 0xff;
			if (image_unpack(packed.data, packed.len, MAX_BYTES, &out, &len) == 0)
				assert_int_equal(len, f->elf.len);
			free(out);
			packed.data[at] ^= 0xff;
		}
		free(packed.data);
	}
}

/* LZ4's legacy frame has a block for each 8 MiB; threads share them. */
static void lz4_in_several_blocks_is_undone_and_each_block_is_checked(void **state)
{
	size_t blocks = 3, block = 8u << 20, len = (blocks - 1) * block + 12345, at = 4;
	struct image plain = image_new(len), packed = image_new(len + 1024);
	size_t block_at[3];
	uint8_t *out = NULL;
	size_t out_len;

	(void)state;
	for (size_t i = 0; i < len; i++)
		plain.data[i] = (uint8_t)(i / 1000);
	le32_store(packed.data, 0x184C2102);
	for (size_t i = 0; i < blocks; i++) {
		int room = (int)(i + 1 < blocks ? block : len - i * block);
		int n = LZ4_compress_default((const char *)plain.data + i * block,
					     (char *)packed.data + at + 4, room,
					     (int)(packed.len - at - 8));

		assert_true(n > 0);
		le32_store(packed.data + at, (uint32_t)n);
		block_at[i] = at + 4;
		at += 4 + (size_t)n;
	}
	packed.len = image_append_len(&packed, at, len);
	assert_int_equal(image_unpack(packed.data, packed.len, len, &out, &out_len), 0);
	assert_int_equal(out_len, len);
	assert_memory_equal(out, plain.data, len);
	free(out);
	out = NULL;
	for (size_t i = 0; i < blocks; i++) {
		uint8_t kept = packed.data[block_at[i]];

		packed.data[block_at[i]] = 0xff; /* more literals than there are bytes */
		memset(packed.data + block_at[i] + 1, 0xff, 16);
		assert_int_equal(image_unpack(packed.data, packed.len, len, &out, &out_len),
				 -EBADMSG);
		assert_null(out);
		packed.data[block_at[i]] = kept;
	}
	free(packed.data);
	free(plain.data);
}

static void other_compressions_are_not_supported(void **state)
{
	uint8_t lzma[64] = {0x5d, 0, 0}, bzip2[64] = {'B', 'Z', 'h'}, *out;
	size_t len;

	(void)state;
	assert_int_equal(image_unpack(lzma, sizeof(lzma), MAX_BYTES, &out, &len), -ENOTSUP);
	assert_int_equal(image_unpack(bzip2, sizeof(bzip2), MAX_BYTES, &out, &len), -ENOTSUP);
	assert_int_equal(image_unpack(bzip2, 0, MAX_BYTES, &out, &len), -ENOTSUP);
}

/* The header of a stream may ask for a dictionary of 4 GiB. */
static void an_xz_stream_that_wants_much_memory_is_refused(void **state)
{
	struct fixture *f = *state;
	lzma_options_lzma options;
	lzma_filter filters[] = {{LZMA_FILTER_LZMA2, &options}, {LZMA_VLI_UNKNOWN, NULL}};
	struct image packed = image_new(f->elf.len * 2);
	uint8_t *out = NULL, *filter;
	size_t at = 0, len;
	uint32_t crc;

	assert_false(lzma_lzma_preset(&options, 0));
	assert_int_equal(lzma_stream_buffer_encode(filters, LZMA_CHECK_CRC32, NULL, f->elf.data,
						   f->elf.len, packed.data, &at, packed.len),
			 LZMA_OK);
	/* Behind the stream's header of 12 bytes a block's: size, flags, sizes, then filter id
	 * 0x21 with one byte of properties, then its CRC. */
	filter = memmem(packed.data + 12, packed.data[12] * 4u, "\x21\x01", 2);
	assert_non_null(filter);
	filter[2] = 40; /* 4 GiB - 1 */
	crc = lzma_crc32(packed.data + 12, packed.data[12] * 4u, 0);
	le32_store(packed.data + 12 + packed.data[12] * 4u, crc);
	packed.len = image_append_len(&packed, at, f->elf.len);
	assert_int_equal(image_unpack(packed.data, packed.len, MAX_BYTES, &out, &len), -EBADMSG);
	assert_null(out);
	free(packed.data);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(kinds_are_told_apart),
		TEST(a_bzimage_is_decoded),
		TEST(a_bzimage_cut_at_any_byte_is_damaged),
		TEST(a_bzimage_with_wild_offsets_is_damaged),
		TEST(more_setup_sectors_than_the_file_has_are_damage),
		TEST(the_header_never_exceeds_its_room_in_the_zero_page),
		TEST(old_protocols_and_32_bit_kernels_are_not_supported),
		TEST(an_elf_file_is_decoded),
		TEST(an_elf_file_cut_at_any_byte_is_damaged),
		TEST(an_elf_file_is_decoded_by_its_head),
		TEST(elf_files_of_another_kind_are_not_supported),
		TEST(wild_program_headers_are_damage),
		TEST(wild_segments_are_damage),
		TEST(too_many_segments_are_not_supported),
		TEST(every_compression_is_undone),
		TEST(a_compressed_kernel_cut_at_any_byte_is_refused),
		TEST(a_compressed_kernel_with_a_wrong_length_is_refused),
		TEST(damaged_bytes_never_read_or_write_out_of_bounds),
		TEST(lz4_in_several_blocks_is_undone_and_each_block_is_checked),
		TEST(other_compressions_are_not_supported),
		TEST(an_xz_stream_that_wants_much_memory_is_refused),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
