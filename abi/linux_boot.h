/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The x86 boot protocol of Linux: offsets within a bzImage file and within the "zero page" that
 * the kernel is handed.
 * Spec: Linux Documentation/x86/boot.rst and zero-page.rst; protocol 2.12 and later.
 */
#ifndef OYA_ABI_LINUX_BOOT_H
#define OYA_ABI_LINUX_BOOT_H

/* The zero page; the setup header lies at the same offsets in the file. */
#define ZERO_PAGE_BYTES 4096u
#define ZERO_PAGE_VIDEO_COLUMNS 0x007u
#define ZERO_PAGE_VIDEO_LINES 0x00Eu
#define ZERO_PAGE_VIDEO_KIND 0x00Fu
#define ZERO_PAGE_VIDEO_POINTS 0x010u
#define ZERO_PAGE_LFB_WIDTH 0x012u
#define ZERO_PAGE_LFB_HEIGHT 0x014u
#define ZERO_PAGE_LFB_DEPTH 0x016u
#define ZERO_PAGE_LFB_BASE 0x018u
#define ZERO_PAGE_LFB_BYTES 0x01Cu
#define ZERO_PAGE_LFB_PITCH 0x024u
#define ZERO_PAGE_LFB_COLOURS 0x026u /* red, green, blue: bits, then the lowest one */
#define ZERO_PAGE_LFB_CAPABILITIES 0x036u
#define ZERO_PAGE_LFB_BASE_HIGH 0x03Au
#define ZERO_PAGE_RSDP 0x070u
#define ZERO_PAGE_EFI_SIGNATURE 0x1C0u
#define ZERO_PAGE_EFI_SYSTEM_TABLE 0x1C4u
#define ZERO_PAGE_EFI_DESCRIPTOR_BYTES 0x1C8u
#define ZERO_PAGE_EFI_DESCRIPTOR_VERSION 0x1CCu
#define ZERO_PAGE_EFI_MAP 0x1D0u
#define ZERO_PAGE_EFI_MAP_BYTES 0x1D4u
#define ZERO_PAGE_EFI_SYSTEM_TABLE_HIGH 0x1D8u
#define ZERO_PAGE_EFI_MAP_HIGH 0x1DCu
#define ZERO_PAGE_E820_COUNT 0x1E8u
#define ZERO_PAGE_E820 0x2D0u
#define ZERO_PAGE_E820_MAX 128u
#define E820_ENTRY_BYTES 20u
#define E820_RAM 1u
#define E820_RESERVED 2u

#define VIDEO_KIND_TEXT 1u
#define VIDEO_KIND_EFI 0x70u
#define VIDEO_LFB_64_BIT_BASE 2u
#define EFI_SIGNATURE_64 0x34364C45u /* "EL64" */

#define SETUP_SECTORS 0x1F1u
#define SETUP_BOOT_FLAG 0x1FEu /* 0xAA55 */
#define SETUP_JUMP 0x200u      /* its second byte: where the header ends, from 0x202 */
#define SETUP_MAGIC 0x202u     /* "HdrS" */
#define SETUP_VERSION 0x206u
#define SETUP_LOADER_TYPE 0x210u
#define SETUP_LOAD_FLAGS 0x211u
#define SETUP_CODE_AT 0x214u
#define SETUP_RAMDISK 0x218u
#define SETUP_RAMDISK_BYTES 0x21Cu
#define SETUP_COMMAND_LINE 0x228u
#define SETUP_RAMDISK_MAX 0x22Cu
#define SETUP_ALIGNMENT 0x230u
#define SETUP_XLOADFLAGS 0x236u
#define SETUP_COMMAND_LINE_MAX 0x238u
#define SETUP_PAYLOAD_OFFSET 0x248u
#define SETUP_PAYLOAD_BYTES 0x24Cu
#define SETUP_PREFERRED 0x258u
#define SETUP_INIT_BYTES 0x260u
#define SETUP_ROOM_END 0x290u   /* of the zero page's copy */
#define SETUP_HEADER_END 0x264u /* what we read lies before it */

#define SETUP_MAGIC_VALUE 0x53726448u
#define SETUP_VERSION_MIN 0x020Cu
#define SETUP_XLF_64 0x1u
#define SETUP_LOADED_HIGH 0x1u
#define SETUP_LOADER_UNDEFINED 0xFFu
#define SETUP_ENTRY_64 0x200u /* of the protected-mode part */

#endif
