/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the parts of direct boot share: boot.c on top, boot_kernel.c, boot_file.c below. */
#ifndef OYA_WORKER_BOOT_PRIV_H
#define OYA_WORKER_BOOT_PRIV_H

#include "worker/boot.h"

#define BOOT_KERNEL_MIN_AT 0x100000u

/* A file of the guest's, open; what it is and its path are for sentences. */
struct boot_file {
	int fd;
	const char *role, *path;
};

/* The size, 1 byte to 4 GiB, of a file that can be loaded. 0, or -errno and the sentence. */
int boot_file_len(const struct boot_file *file, uint64_t *ret_len, struct failure *f);

/* Reads exactly len bytes from `at` on, long pieces by several threads. 0, or -errno and the
 * sentence. */
int boot_file_read(const struct boot_file *file, uint64_t at, uint8_t *to, uint64_t len,
		   struct failure *f);

/* The sentence for what finds no room in guest memory; -ENOSPC. */
int boot_too_small(const struct gmem *gm, const char *what, struct failure *f);

/* A kernel in guest memory. */
struct boot_kernel {
	uint64_t entry;       /* of 64-bit mode */
	uint64_t end;         /* GPA behind all that it needs at first */
	uint32_t ramdisk_max; /* highest address that a RAM disk may reach */
	uint32_t command_line_max;
};

/* Puts the kernel into memory of zeros and what its header tells into the zero page. 0, or -errno
 * and the sentence. */
int boot_kernel_load(const struct boot_source *source, const struct gmem *gm, uint8_t *zero_page,
		     struct boot_kernel *ret_kernel, struct failure *f);

#endif
