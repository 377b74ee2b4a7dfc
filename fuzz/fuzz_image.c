/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Kernel images: the input is a file. Checked: what the decoders tell lies within the file, and
 * what is unpacked within its limit.
 */
#include <stdlib.h>

#include "abi/linux_boot.h"
#include "base/util.h"
#include "worker/linux_image.h"

#define UNPACKED_MAX (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool condition)
{
	if (!condition)
		abort();
}

static void try_elf(const uint8_t *data, size_t size)
{
	struct elf_image e;

	if (elf_decode(data, size, size, &e) < 0)
		return;
	must(e.count && e.count <= ELF_SEGMENTS_MAX);
	for (unsigned i = 0; i < e.count; i++)
		must(range_within(e.segment[i].file_at, e.segment[i].file_len, size) &&
		     e.segment[i].file_len <= e.segment[i].len);
}

static void try_unpack(const uint8_t *data, size_t size)
{
	uint8_t *out;
	size_t len;

	if (image_unpack(data, size, UNPACKED_MAX, &out, &len) < 0)
		return;
	must(len && len <= UNPACKED_MAX);
	try_elf(out, len);
	free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bzimage b;

	try_elf(data, size);
	if (bzimage_decode(data, size, &b) == 0) {
		must(range_within(b.payload_at, b.payload_len, size) &&
		     range_within(b.code_at, b.code_len, size) &&
		     range_within(SETUP_SECTORS, b.header_len, size) &&
		     SETUP_SECTORS + b.header_len <= SETUP_ROOM_END);
		try_unpack(data + b.payload_at, b.payload_len);
	}
	try_unpack(data, size);
	return 0;
}
