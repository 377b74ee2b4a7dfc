/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * AMD's IOMMU: the table of ACPI that tells of it, its registers, its device table, its commands.
 * Spec: AMD I/O Virtualization Technology (IOMMU) Specification, 48882: 2.2.2 (device table), 2.2.3
 * (page tables), 2.4 (commands), 2.5 (event log), 3.4 (registers), 5.2 (IVRS).
 */
#ifndef OYA_ABI_IVRS_H
#define OYA_ABI_IVRS_H

#include "abi/acpi.h"

#define IVRS_BLOCKS_AT 48u /* behind the header: a word of information, 8 reserved bytes */

/* The kinds of blocks that tell of an IOMMU; one IOMMU may have one of each. */
#define IVRS_IOMMU 0x10u
#define IVRS_IOMMU_MORE 0x11u
#define IVRS_IOMMU_NAMED 0x40u

struct ivrs_block {
	uint8_t kind, flags;
	uint16_t len_bytes;
} OYA_PACKED;
OYA_SIZE(struct ivrs_block, 4);

struct ivrs_iommu {
	struct ivrs_block block;
	uint16_t device, capability;
	uint64_t base; /* of its registers */
	uint16_t segment, info;
	uint32_t features;
} OYA_PACKED;
OYA_SIZE(struct ivrs_iommu, 24);

#define IOMMU_REGISTERS_BYTES 0x4000u
#define IOMMU_DEVICE_TABLE 0x0000u
#define IOMMU_COMMANDS 0x0008u
#define IOMMU_EVENTS 0x0010u
#define IOMMU_CONTROL 0x0018u
#define IOMMU_EXCLUSION_BASE 0x0020u
#define IOMMU_EXCLUSION_LIMIT 0x0028u
#define IOMMU_COMMANDS_HEAD 0x2000u
#define IOMMU_COMMANDS_TAIL 0x2008u
#define IOMMU_EVENTS_HEAD 0x2010u
#define IOMMU_EVENTS_TAIL 0x2018u
#define IOMMU_STATUS 0x2020u

#define IOMMU_CONTROL_ON (1u << 0)
#define IOMMU_CONTROL_EVENTS (1u << 2)
#define IOMMU_CONTROL_COHERENT (1u << 10)
#define IOMMU_CONTROL_COMMANDS (1u << 12)
#define IOMMU_STATUS_EVENTS_LOST (1u << 0)
#define IOMMU_RING_256 (UINT64_C(8) << 56) /* entries, 4 KiB, with the address of a ring */

#define IOMMU_DEVICES 65536u
struct iommu_device {
	uint64_t word[4];
} OYA_PACKED;
OYA_SIZE(struct iommu_device, 32);
#define IOMMU_DEVICE_VALID (UINT64_C(1) << 0)
#define IOMMU_DEVICE_TRANSLATED (UINT64_C(1) << 1)

/* The same bits in an entry of the device table and in one of a page table. */
#define IOMMU_NEXT_LEVEL_AT 9
#define IOMMU_READ (UINT64_C(1) << 61)
#define IOMMU_WRITE (UINT64_C(1) << 62)

struct iommu_ring_entry {
	uint32_t word[4];
} OYA_PACKED;
OYA_SIZE(struct iommu_ring_entry, 16);

/* Commands, in the highest bits of the second word. */
#define IOMMU_COMMAND_WAIT (UINT32_C(1) << 28)
#define IOMMU_COMMAND_FORGET_DEVICE (UINT32_C(2) << 28)
#define IOMMU_COMMAND_FORGET_PAGES (UINT32_C(3) << 28)
#define IOMMU_WAIT_STORES (1u << 0)
#define IOMMU_FORGET_ALL_LOW 0xFFFFF003u /* of the third word: all addresses, tables too */
#define IOMMU_FORGET_ALL_HIGH 0x7FFFFFFFu

#endif
