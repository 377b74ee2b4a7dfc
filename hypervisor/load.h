/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Puts the parent's kernel, its initrd and what they are told where the boot protocol has them. */
#ifndef OYA_HYPERVISOR_LOAD_H
#define OYA_HYPERVISOR_LOAD_H

#include <stdint.h>

#include "hypervisor/boot_info.h"

struct load {
	uint32_t entry;     /* of 32-bit mode, physical */
	uint32_t zero_page; /* physical */
	uint32_t low_page;  /* of ours, below 1 MiB */
	uint64_t frames_at; /* physical, of ours: the table of frames.h; at a multiple of 2 MiB */
	uint64_t frames_len;
	uint64_t devices_at; /* in the same range, of the size that was asked for */
	uint64_t memory_end; /* behind the last byte of memory that we know the owner of */
	uint64_t memory_top; /* and of all */
};

/* NULL, or the sentence. The modules' memory may be written over. devices_len: of the IOMMU's
 * table. */
const char *load_parent(const struct boot_info *info, uint64_t devices_len, struct load *ret_load);

#endif
