/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ACPI tables that this machine has, all integers little endian.
 * Spec: ACPI 6.3: 5.2.5 (RSDP), 5.2.6 (header), 5.2.8 (XSDT), 5.2.9 (FADT), 5.2.12 (MADT), 5.2.16
 * (SRAT), 5.2.17 (SLIT).
 */
#ifndef OYA_ABI_ACPI_H
#define OYA_ABI_ACPI_H

#include "abi/packed.h"

struct acpi_rsdp {
	char signature[8]; /* "RSD PTR " */
	uint8_t checksum;  /* of the first 20 bytes */
	char oem_id[6];
	uint8_t revision;
	uint32_t rsdt;
	uint32_t len_bytes;
	uint64_t xsdt;
	uint8_t extended_checksum; /* of all 36 bytes */
	uint8_t reserved[3];
} OYA_PACKED;
OYA_SIZE(struct acpi_rsdp, 36);
OYA_OFFSET(struct acpi_rsdp, xsdt, 24);

#define ACPI_RSDP_V1_BYTES 20u

struct acpi_header {
	char signature[4];
	uint32_t len_bytes;
	uint8_t revision;
	uint8_t checksum;
	char oem_id[6];
	char oem_table_id[8];
	uint32_t oem_revision;
	char creator_id[4];
	uint32_t creator_revision;
} OYA_PACKED;
OYA_SIZE(struct acpi_header, 36);

/* Generic address: a register and where it lies. */
struct acpi_address {
	uint8_t space;
	uint8_t bit_width;
	uint8_t bit_offset;
	uint8_t access;
	uint64_t address;
} OYA_PACKED;
OYA_SIZE(struct acpi_address, 12);

#define ACPI_SPACE_IO 1u
#define ACPI_ACCESS_BYTE 1u

struct acpi_fadt {
	struct acpi_header header;
	uint32_t facs;
	uint32_t dsdt;
	uint8_t reserved0;
	uint8_t pm_profile;
	uint16_t sci_interrupt;
	/* All 0 on reduced hardware, up to the alarms. */
	uint32_t smi_command;
	uint8_t acpi_enable, acpi_disable, s4_bios, pstate_control;
	uint32_t pm1a_event, pm1b_event, pm1a_control, pm1b_control, pm2_control, pm_timer;
	uint32_t gpe0, gpe1;
	uint8_t pm1_event_len, pm1_control_len, pm2_control_len, pm_timer_len;
	uint8_t gpe0_len, gpe1_len, gpe1_base, cstate_control;
	uint16_t c2_latency, c3_latency;
	uint8_t unused_cache[6];
	uint8_t day_alarm;
	uint8_t month_alarm;
	uint8_t century; /* CMOS index */
	uint16_t boot_flags;
	uint8_t reserved1;
	uint32_t flags;
	struct acpi_address reset;
	uint8_t reset_value;
	uint16_t arm_boot_flags;
	uint8_t minor_version;
	uint64_t x_facs;
	uint64_t x_dsdt;
	struct acpi_address unused_x[8]; /* PM1a event block to GPE1 block */
	struct acpi_address sleep_control;
	struct acpi_address sleep_status;
	uint8_t hypervisor_vendor[8];
} OYA_PACKED;
OYA_SIZE(struct acpi_fadt, 276);
OYA_OFFSET(struct acpi_fadt, sci_interrupt, 46);
OYA_OFFSET(struct acpi_fadt, pm1a_event, 56);
OYA_OFFSET(struct acpi_fadt, pm_timer, 76);
OYA_OFFSET(struct acpi_fadt, pm1_event_len, 88);
OYA_OFFSET(struct acpi_fadt, c2_latency, 96);
OYA_OFFSET(struct acpi_fadt, century, 108);
OYA_OFFSET(struct acpi_fadt, boot_flags, 109);
OYA_OFFSET(struct acpi_fadt, flags, 112);
OYA_OFFSET(struct acpi_fadt, reset, 116);
OYA_OFFSET(struct acpi_fadt, x_dsdt, 140);
OYA_OFFSET(struct acpi_fadt, sleep_control, 244);
OYA_OFFSET(struct acpi_fadt, hypervisor_vendor, 268);

#define ACPI_NO_C2 101u /* latencies above the limits: there is no such state */
#define ACPI_NO_C3 1001u

struct acpi_facs {
	char signature[4]; /* "FACS" */
	uint32_t len_bytes;
	uint32_t hardware_signature, waking_vector, global_lock, flags;
	uint64_t x_waking_vector;
	uint8_t version;
	uint8_t reserved[31];
} OYA_PACKED;
OYA_SIZE(struct acpi_facs, 64);

#define ACPI_FADT_REVISION 6u
#define ACPI_FADT_MINOR 3u
#define ACPI_PM_PROFILE_SERVER 4u
#define ACPI_BOOT_LEGACY_DEVICES 0x0001u
#define ACPI_BOOT_NO_VGA 0x0004u
#define ACPI_FADT_WBINVD 0x00000001u
#define ACPI_FADT_NO_FIXED_POWER_BUTTON 0x00000010u
#define ACPI_FADT_NO_FIXED_SLEEP_BUTTON 0x00000020u
#define ACPI_FADT_RESET_REGISTER 0x00000400u
#define ACPI_FADT_HW_REDUCED 0x00100000u

struct acpi_madt {
	struct acpi_header header;
	uint32_t lapic;
	uint32_t flags;
} OYA_PACKED;
OYA_SIZE(struct acpi_madt, 44);

#define ACPI_MADT_REVISION 5u
#define ACPI_MADT_PCAT_COMPAT 1u /* two 8259 as well */
#define ACPI_MADT_TYPE_LAPIC 0u
#define ACPI_MADT_TYPE_IOAPIC 1u
#define ACPI_MADT_TYPE_OVERRIDE 2u
#define ACPI_MADT_LAPIC_ENABLED 1u

struct acpi_madt_lapic {
	uint8_t type;
	uint8_t len_bytes;
	uint8_t processor_uid;
	uint8_t apic_id;
	uint32_t flags;
} OYA_PACKED;
OYA_SIZE(struct acpi_madt_lapic, 8);

struct acpi_madt_ioapic {
	uint8_t type;
	uint8_t len_bytes;
	uint8_t id;
	uint8_t reserved;
	uint32_t address;
	uint32_t gsi_base;
} OYA_PACKED;
OYA_SIZE(struct acpi_madt_ioapic, 12);

/* An interrupt of the ISA bus that is not at the IOAPIC's pin of its number, or not as one expects
 * it there. */
struct acpi_madt_override {
	uint8_t type;
	uint8_t len_bytes;
	uint8_t bus; /* 0: ISA */
	uint8_t source;
	uint32_t gsi;
	uint16_t flags;
} OYA_PACKED;
OYA_SIZE(struct acpi_madt_override, 10);

#define ACPI_MADT_LEVEL_HIGH 0x000Du

struct acpi_srat {
	struct acpi_header header;
	uint32_t one; /* for systems before ACPI 2.0 */
	uint64_t reserved;
} OYA_PACKED;
OYA_SIZE(struct acpi_srat, 48);

#define ACPI_SRAT_REVISION 3u
#define ACPI_SRAT_TYPE_LAPIC 0u
#define ACPI_SRAT_TYPE_MEMORY 1u
#define ACPI_SRAT_ENABLED 1u

struct acpi_srat_lapic {
	uint8_t type;
	uint8_t len_bytes;
	uint8_t node; /* low byte */
	uint8_t apic_id;
	uint32_t flags;
	uint8_t sapic_eid;
	uint8_t node_high[3];
	uint32_t clock_domain;
} OYA_PACKED;
OYA_SIZE(struct acpi_srat_lapic, 16);

struct acpi_srat_memory {
	uint8_t type;
	uint8_t len_bytes;
	uint32_t node;
	uint16_t reserved0;
	uint64_t base;
	uint64_t bytes;
	uint32_t reserved1;
	uint32_t flags;
	uint64_t reserved2;
} OYA_PACKED;
OYA_SIZE(struct acpi_srat_memory, 40);

struct acpi_slit {
	struct acpi_header header;
	uint64_t nodes; /* then a row of distances for each */
} OYA_PACKED;
OYA_SIZE(struct acpi_slit, 44);

#define ACPI_SLIT_REVISION 1u
#define ACPI_SLIT_SELF 10u
#define ACPI_SLIT_OTHER 20u

#endif
