/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the boot loader told, copied out of its memory, which the parent's kernel may overwrite.
 *
 * Trust: the boot loader is trusted as the firmware is; lengths are checked all the same.
 */
#ifndef OYA_HYPERVISOR_BOOT_INFO_H
#define OYA_HYPERVISOR_BOOT_INFO_H

#include <stddef.h>
#include <stdint.h>

#include "abi/multiboot2.h"

#define BOOT_RANGES_MAX 120u /* the zero page takes 128; ours split some */
#define BOOT_LINE_MAX 2048u
#define BOOT_MODULES_MAX 2u
#define BOOT_EFI_MAP_MAX 16384u

struct boot_range {
	uint64_t start, len;
	uint32_t type; /* of E820 */
};

struct boot_module {
	uint64_t start, len;
	char line[BOOT_LINE_MAX];
};

struct boot_info {
	char line[BOOT_LINE_MAX]; /* our own command line */
	unsigned range_count;
	struct boot_range range[BOOT_RANGES_MAX];
	unsigned module_count; /* the kernel, then perhaps an initrd */
	struct boot_module module[BOOT_MODULES_MAX];
	uint8_t rsdp[64]; /* a copy of ACPI's root pointer; rsdp_len 0: none was told */
	uint32_t rsdp_len;
	uint64_t efi_system_table; /* 0: no EFI */
	uint32_t efi_descriptor_len, efi_descriptor_version, efi_map_len;
	uint8_t efi_map[BOOT_EFI_MAP_MAX];
	struct multiboot2_framebuffer framebuffer; /* tag.len 0: none */
};

/* 0; -EBADMSG: a tag that does not fit; -E2BIG: more ranges, modules or text than there is room
 * for. `info` is zeroed first. */
int boot_info_decode(const uint8_t *tags, size_t len, struct boot_info *info);

#endif
