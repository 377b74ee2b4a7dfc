/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SMBIOS structures that this machine has. After each structure come its strings, NUL-terminated,
 * and one more NUL; string fields hold 1-based numbers of these strings, 0 for none.
 * Spec: DMTF DSP0134, version 2.8.
 */
#ifndef OYA_ABI_SMBIOS_H
#define OYA_ABI_SMBIOS_H

#include "abi/guid.h"
#include "abi/packed.h"

struct smbios_entry {
	char anchor[4];   /* "_SM_" */
	uint8_t checksum; /* of all len_bytes */
	uint8_t len_bytes;
	uint8_t major;
	uint8_t minor;
	uint16_t largest_structure;
	uint8_t revision;
	uint8_t formatted[5];
	char dmi_anchor[5];   /* "_DMI_" */
	uint8_t dmi_checksum; /* of the 15 bytes from dmi_anchor on */
	uint16_t table_bytes;
	uint32_t table;
	uint16_t structures;
	uint8_t bcd_revision;
} OYA_PACKED;
OYA_SIZE(struct smbios_entry, 31);
OYA_OFFSET(struct smbios_entry, dmi_anchor, 16);
OYA_OFFSET(struct smbios_entry, table, 24);

#define SMBIOS_MAJOR 2u
#define SMBIOS_MINOR 8u

enum smbios_type {
	SMBIOS_BIOS = 0,
	SMBIOS_SYSTEM = 1,
	SMBIOS_BOARD = 2,
	SMBIOS_CHASSIS = 3,
	SMBIOS_PROCESSOR = 4,
	SMBIOS_MEMORY_ARRAY = 16,
	SMBIOS_MEMORY_DEVICE = 17,
	SMBIOS_BOOT = 32,
	SMBIOS_END = 127,
};

struct smbios_header {
	uint8_t type;
	uint8_t len_bytes; /* without the strings */
	uint16_t handle;
} OYA_PACKED;
OYA_SIZE(struct smbios_header, 4);

struct smbios_bios {
	struct smbios_header header;
	uint8_t vendor;
	uint8_t version;
	uint16_t segment;
	uint8_t date;
	uint8_t rom_size;
	uint64_t characteristics;
	uint8_t characteristics_ext[2];
	uint8_t major, minor;
	uint8_t ec_major, ec_minor;
} OYA_PACKED;
OYA_SIZE(struct smbios_bios, 24);

#define SMBIOS_BIOS_NO_CHARACTERISTICS 0x08u
#define SMBIOS_BIOS_EXT_VIRTUAL 0x10u /* in the second extension byte */

struct smbios_system {
	struct smbios_header header;
	uint8_t manufacturer;
	uint8_t product;
	uint8_t version;
	uint8_t serial;
	struct guid uuid;
	uint8_t wake_up;
	uint8_t sku;
	uint8_t family;
} OYA_PACKED;
OYA_SIZE(struct smbios_system, 27);

#define SMBIOS_WAKE_UP_POWER_SWITCH 6u

struct smbios_board {
	struct smbios_header header;
	uint8_t manufacturer;
	uint8_t product;
	uint8_t version;
	uint8_t serial;
	uint8_t asset_tag;
	uint8_t features;
	uint8_t location;
	uint16_t chassis;
	uint8_t board_type;
	uint8_t contained;
} OYA_PACKED;
OYA_SIZE(struct smbios_board, 15);

#define SMBIOS_BOARD_HOSTING 0x01u
#define SMBIOS_BOARD_MOTHERBOARD 0x0Au

struct smbios_chassis {
	struct smbios_header header;
	uint8_t manufacturer;
	uint8_t chassis_type;
	uint8_t version;
	uint8_t serial;
	uint8_t asset_tag;
	uint8_t boot_state, power_state, thermal_state;
	uint8_t security;
	uint32_t oem;
	uint8_t height;
	uint8_t power_cords;
	uint8_t contained, contained_len;
	uint8_t sku;
} OYA_PACKED;
OYA_SIZE(struct smbios_chassis, 22);

#define SMBIOS_CHASSIS_DESKTOP 3u
#define SMBIOS_STATE_SAFE 3u
#define SMBIOS_SECURITY_NONE 3u

struct smbios_processor {
	struct smbios_header header;
	uint8_t socket;
	uint8_t processor_type;
	uint8_t family;
	uint8_t manufacturer;
	uint64_t id;
	uint8_t version;
	uint8_t voltage;
	uint16_t external_mhz, max_mhz, current_mhz;
	uint8_t status;
	uint8_t upgrade;
	uint16_t cache1, cache2, cache3;
	uint8_t serial, asset_tag, part;
	uint8_t cores, cores_enabled, threads;
	uint16_t characteristics;
	uint16_t family2;
} OYA_PACKED;
OYA_SIZE(struct smbios_processor, 42);

#define SMBIOS_PROCESSOR_CENTRAL 3u
#define SMBIOS_PROCESSOR_UNKNOWN 2u
#define SMBIOS_PROCESSOR_ENABLED 0x41u
#define SMBIOS_PROCESSOR_64BIT 0x0004u
#define SMBIOS_NONE16 0xFFFFu

struct smbios_memory_array {
	struct smbios_header header;
	uint8_t location;
	uint8_t use;
	uint8_t error_correction;
	uint32_t capacity_kib; /* 0x80000000: see capacity_bytes */
	uint16_t error_handle;
	uint16_t devices;
	uint64_t capacity_bytes;
} OYA_PACKED;
OYA_SIZE(struct smbios_memory_array, 23);

#define SMBIOS_ARRAY_BOARD 3u
#define SMBIOS_ARRAY_SYSTEM_MEMORY 3u
#define SMBIOS_ARRAY_NO_CORRECTION 3u
#define SMBIOS_ARRAY_EXTENDED 0x80000000u
#define SMBIOS_NO_ERROR_HANDLE 0xFFFEu

struct smbios_memory_device {
	struct smbios_header header;
	uint16_t array;
	uint16_t error_handle;
	uint16_t total_width, data_width;
	uint16_t size_mib; /* 0x7FFF: see extended_mib */
	uint8_t form;
	uint8_t set;
	uint8_t locator, bank;
	uint8_t memory_type;
	uint16_t detail;
	uint16_t speed;
	uint8_t manufacturer, serial, asset_tag, part;
	uint8_t rank;
	uint32_t extended_mib;
	uint16_t configured_speed;
	uint16_t min_mv, max_mv, configured_mv;
} OYA_PACKED;
OYA_SIZE(struct smbios_memory_device, 40);
OYA_OFFSET(struct smbios_memory_device, extended_mib, 28);

#define SMBIOS_DEVICE_EXTENDED 0x7FFFu
#define SMBIOS_DEVICE_UNKNOWN 2u

struct smbios_boot {
	struct smbios_header header;
	uint8_t reserved[6];
	uint8_t status;
} OYA_PACKED;
OYA_SIZE(struct smbios_boot, 11);

struct smbios_end {
	struct smbios_header header;
} OYA_PACKED;
OYA_SIZE(struct smbios_end, 4);

#endif
