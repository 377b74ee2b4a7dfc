/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a boot loader that follows Multiboot2 hands over: a list of tags.
 * Spec: Multiboot2 Specification version 2.0.
 */
#ifndef OYA_ABI_MULTIBOOT2_H
#define OYA_ABI_MULTIBOOT2_H

/* Of the header in the image, for the assembler too. */
#define MULTIBOOT2_HEADER_MAGIC 0xE85250D6
#define MULTIBOOT2_ARCH_I386 0
#define MULTIBOOT2_HEADER_TAG_END 0
#define MULTIBOOT2_HEADER_TAG_MODULE_ALIGN 6
#define MULTIBOOT2_HEADER_TAG_RELOCATABLE 10
#define MULTIBOOT2_PREFER_HIGHEST 2
#define MULTIBOOT2_BOOT_MAGIC 0x36D76289

#ifndef __ASSEMBLER__
#include <assert.h>
#include <stdint.h>

#include "abi/packed.h"

#define MULTIBOOT2_TAG_ALIGN 8u

enum multiboot2_tag_type {
	MULTIBOOT2_TAG_END = 0,
	MULTIBOOT2_TAG_COMMAND_LINE = 1,
	MULTIBOOT2_TAG_MODULE = 3,
	MULTIBOOT2_TAG_MEMORY_MAP = 6,
	MULTIBOOT2_TAG_FRAMEBUFFER = 8,
	MULTIBOOT2_TAG_EFI64 = 12,
	MULTIBOOT2_TAG_RSDP_OLD = 14,
	MULTIBOOT2_TAG_RSDP_NEW = 15,
	MULTIBOOT2_TAG_EFI_MEMORY_MAP = 17,
};

struct multiboot2_tag {
	uint32_t type, len; /* len: with this header, without the padding */
} OYA_PACKED;
OYA_SIZE(struct multiboot2_tag, 8);

struct multiboot2_module {
	struct multiboot2_tag tag;
	uint32_t start, end;
	/* its command line, ended by a zero byte */
} OYA_PACKED;
OYA_SIZE(struct multiboot2_module, 16);

struct multiboot2_memory_map {
	struct multiboot2_tag tag;
	uint32_t entry_len, entry_version;
} OYA_PACKED;
OYA_SIZE(struct multiboot2_memory_map, 16);

struct multiboot2_memory {
	uint64_t base, len;
	uint32_t type, zero; /* types are those of E820 */
} OYA_PACKED;
OYA_SIZE(struct multiboot2_memory, 24);

struct multiboot2_efi64 {
	struct multiboot2_tag tag;
	uint64_t system_table;
} OYA_PACKED;
OYA_SIZE(struct multiboot2_efi64, 16);

struct multiboot2_efi_memory_map {
	struct multiboot2_tag tag;
	uint32_t descriptor_len, descriptor_version;
	/* the descriptors */
} OYA_PACKED;
OYA_SIZE(struct multiboot2_efi_memory_map, 16);

#define MULTIBOOT2_FRAMEBUFFER_RGB 1u
#define MULTIBOOT2_FRAMEBUFFER_TEXT 2u

struct multiboot2_framebuffer {
	struct multiboot2_tag tag;
	uint64_t address;
	uint32_t pitch, width, height;
	uint8_t bits_per_pixel, kind;
	uint16_t reserved;
	uint8_t red_at, red_bits, green_at, green_bits, blue_at, blue_bits; /* of RGB */
} OYA_PACKED;
OYA_SIZE(struct multiboot2_framebuffer, 38);

#endif
#endif
