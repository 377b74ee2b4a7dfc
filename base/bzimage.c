/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/bzimage.h"

#include <errno.h>

#include "abi/linux_boot.h"
#include "base/bytes.h"
#include "base/util.h"

bool bzimage_is(const uint8_t *file, size_t len)
{
	return len >= SETUP_HEADER_END && le16_load(file + SETUP_BOOT_FLAG) == 0xAA55 &&
	       le32_load(file + SETUP_MAGIC) == SETUP_MAGIC_VALUE;
}

int bzimage_decode(const uint8_t *file, size_t len, struct bzimage *ret_image)
{
	struct bzimage b = {0};
	size_t sectors;
	uint32_t payload_at;

	if (!bzimage_is(file, len))
		return -EBADMSG;
	if (le16_load(file + SETUP_VERSION) < SETUP_VERSION_MIN ||
	    !(le16_load(file + SETUP_XLOADFLAGS) & SETUP_XLF_64))
		return -ENOTSUP;
	/* No more than the zero page has room for before its next field. */
	b.header_len = min_u32(SETUP_MAGIC + file[SETUP_JUMP + 1], SETUP_ROOM_END) - SETUP_SECTORS;
	sectors = file[SETUP_SECTORS] ? file[SETUP_SECTORS] : 4u;
	b.code_at = (sectors + 1) * 512;
	if (b.code_at >= len || !range_within(SETUP_SECTORS, b.header_len, b.code_at))
		return -EBADMSG;
	b.code_len = len - b.code_at;
	payload_at = le32_load(file + SETUP_PAYLOAD_OFFSET);
	b.payload_len = le32_load(file + SETUP_PAYLOAD_BYTES);
	if (!b.payload_len || !range_within(payload_at, b.payload_len, b.code_len))
		return -EBADMSG;
	b.payload_at = b.code_at + payload_at;
	b.preferred = le64_load(file + SETUP_PREFERRED);
	b.init_bytes = le32_load(file + SETUP_INIT_BYTES);
	b.ramdisk_max = le32_load(file + SETUP_RAMDISK_MAX);
	b.command_line_max = le32_load(file + SETUP_COMMAND_LINE_MAX);
	*ret_image = b;
	return 0;
}
