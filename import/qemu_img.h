/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qemu-img as a subprocess, which reads the image formats for us. It is told each format, backing
 * files are switched off, and it inherits the walls of confine.c.
 *
 * Trust: what it prints is bounded and decoded.
 */
#ifndef OYA_IMPORT_QEMU_IMG_H
#define OYA_IMPORT_QEMU_IMG_H

#include <stdint.h>

#include "import/format.h"
#include "lib/fail.h"

struct image {
	const char *path;
	enum format format;
	uint64_t offset, length; /* of the piece of the file that it is; length 0: all of it */
};

/* The size of the disk that it holds. 0, or -errno and the sentence. */
int qemu_img_info(const struct image *i, uint64_t *ret_bytes, struct failure *f);

/* Writes the disk into an existing file of its size that is nothing but zeros. `progress` is called
 * with each new percentage. 0, or -errno and the sentence; -ENOSPC. */
int qemu_img_convert(const struct image *i, const char *destination,
		     void (*progress)(unsigned percent), struct failure *f);

#endif
