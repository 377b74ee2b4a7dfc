/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is where in a bzImage, the usual form of a Linux kernel. Pure: it looks at bytes and changes
 * nothing. Freestanding.
 *
 * Trust: the file is hostile; every offset and length that comes out lies within it.
 */
#ifndef OYA_BASE_BZIMAGE_H
#define OYA_BASE_BZIMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bzimage {
	uint32_t header_len;            /* bytes from SETUP_SECTORS on that go into the zero page */
	size_t code_at, code_len;       /* protected-mode part within the file */
	size_t payload_at, payload_len; /* the compressed kernel within the file */
	uint64_t preferred;
	uint64_t init_bytes;  /* that the kernel needs at its address before it can allocate */
	uint32_t ramdisk_max; /* highest address that a RAM disk may reach */
	uint32_t command_line_max;
};

/* By its magic numbers. */
bool bzimage_is(const uint8_t *file, size_t len);

/* 0; -EBADMSG: cut short or damaged; -ENOTSUP: no 64-bit kernel, or a protocol before 2.12. */
int bzimage_decode(const uint8_t *file, size_t len, struct bzimage *ret_image);

#endif
