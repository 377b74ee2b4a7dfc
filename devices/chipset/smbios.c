/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Role, trust, spec: see smbios.h.
 *
 * The table is made in a buffer of fixed size and copied out whole; an overflow of the buffer is
 * remembered and reported once, at the end.
 */
#include "devices/chipset/smbios.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "abi/machine.h"
#include "abi/smbios.h"
#include "base/util.h"

#define TABLE_BYTES_MAX 2048u
#define TABLE_OFFSET 32u /* of the structures, behind the entry point */
#define MIB (UINT64_C(1) << 20)

#define HANDLE_CHASSIS 0x0300u
#define HANDLE_MEMORY_ARRAY 0x1000u

static const char manufacturer[] = "Microsoft Corporation";
static const char product[] = "Virtual Machine";
static const char product_version[] = "7.0";

struct table {
	uint8_t bytes[TABLE_BYTES_MAX];
	size_t len;
	uint16_t structures;
	uint16_t largest;
	uint8_t strings; /* of this structure, in text[] */
	const char *text[8];
	bool failed;
};

/* Number by which the structure refers to the text; 0 for none. */
static uint8_t string_add(struct table *t, const char *text)
{
	if (!text || !*text)
		return 0;
	if (strnlen(text, SMBIOS_TEXT_MAX + 1) > SMBIOS_TEXT_MAX ||
	    t->strings == ARRAY_LEN(t->text)) {
		t->failed = true;
		return 0;
	}
	t->text[t->strings++] = text;
	return t->strings;
}

static void bytes_add(struct table *t, const void *bytes, size_t len)
{
	if (t->failed || !range_within(t->len, len, sizeof(t->bytes))) {
		t->failed = true;
		return;
	}
	memcpy(t->bytes + t->len, bytes, len);
	t->len += len;
}

/* Ends a structure: its formatted part, then the strings that string_add() collected. */
static void structure_add(struct table *t, void *structure, enum smbios_type type, size_t len,
			  uint16_t handle)
{
	struct smbios_header *h = structure;
	size_t start = t->len;

	h->type = (uint8_t)type;
	h->len_bytes = (uint8_t)len;
	h->handle = handle;
	bytes_add(t, structure, len);
	for (unsigned i = 0; i < t->strings; i++)
		bytes_add(t, t->text[i], strlen(t->text[i]) + 1);
	bytes_add(t, "\0", t->strings ? 1 : 2);
	t->strings = 0;
	t->structures++;
	if (t->len - start > t->largest)
		t->largest = (uint16_t)(t->len - start);
}

static void add_bios(struct table *t, const struct smbios_config *config)
{
	struct smbios_bios s = {
		.vendor = string_add(t, "Oya"),
		.version = string_add(t, config->bios_version),
		.segment = (uint16_t)(MACHINE_SMBIOS_AREA >> 4),
		.date = string_add(t, config->bios_date),
		.characteristics = SMBIOS_BIOS_NO_CHARACTERISTICS,
		.characteristics_ext = {0, SMBIOS_BIOS_EXT_VIRTUAL},
		.major = 0xFF, /* no release number */
		.minor = 0xFF,
		.ec_major = 0xFF,
		.ec_minor = 0xFF,
	};

	structure_add(t, &s, SMBIOS_BIOS, sizeof(s), 0x0000);
}

static void add_system(struct table *t, const struct smbios_config *config)
{
	struct smbios_system s = {
		.manufacturer = string_add(t, manufacturer),
		.product = string_add(t, product),
		.version = string_add(t, product_version),
		.serial = string_add(t, config->serial),
		.uuid = config->uuid,
		.wake_up = SMBIOS_WAKE_UP_POWER_SWITCH,
		.family = string_add(t, product),
	};

	structure_add(t, &s, SMBIOS_SYSTEM, sizeof(s), 0x0100);
}

static void add_board(struct table *t, const struct smbios_config *config)
{
	struct smbios_board s = {
		.manufacturer = string_add(t, manufacturer),
		.product = string_add(t, product),
		.version = string_add(t, product_version),
		.serial = string_add(t, config->serial),
		.features = SMBIOS_BOARD_HOSTING,
		.chassis = HANDLE_CHASSIS,
		.board_type = SMBIOS_BOARD_MOTHERBOARD,
	};

	structure_add(t, &s, SMBIOS_BOARD, sizeof(s), 0x0200);
}

static void add_chassis(struct table *t, const struct smbios_config *config)
{
	struct smbios_chassis s = {
		.manufacturer = string_add(t, manufacturer),
		.chassis_type = SMBIOS_CHASSIS_DESKTOP,
		.version = string_add(t, product_version),
		.serial = string_add(t, config->serial),
		.asset_tag = string_add(t, config->asset_tag),
		.boot_state = SMBIOS_STATE_SAFE,
		.power_state = SMBIOS_STATE_SAFE,
		.thermal_state = SMBIOS_STATE_SAFE,
		.security = SMBIOS_SECURITY_NONE,
	};

	structure_add(t, &s, SMBIOS_CHASSIS, sizeof(s), HANDLE_CHASSIS);
}

static void add_processor(struct table *t, const struct smbios_config *config)
{
	struct smbios_processor s = {
		.socket = string_add(t, "CPU 0"),
		.processor_type = SMBIOS_PROCESSOR_CENTRAL,
		.family = SMBIOS_PROCESSOR_UNKNOWN,
		.manufacturer = string_add(t, config->cpu_manufacturer),
		.status = SMBIOS_PROCESSOR_ENABLED,
		.upgrade = SMBIOS_PROCESSOR_UNKNOWN,
		.cache1 = SMBIOS_NONE16,
		.cache2 = SMBIOS_NONE16,
		.cache3 = SMBIOS_NONE16,
		.cores = (uint8_t)config->cpus,
		.cores_enabled = (uint8_t)config->cpus,
		.threads = (uint8_t)config->cpus,
		.characteristics = SMBIOS_PROCESSOR_64BIT,
		.family2 = SMBIOS_PROCESSOR_UNKNOWN,
	};

	structure_add(t, &s, SMBIOS_PROCESSOR, sizeof(s), 0x0400);
}

static void add_memory_array(struct table *t, const struct smbios_config *config)
{
	struct smbios_memory_array s = {
		.location = SMBIOS_ARRAY_BOARD,
		.use = SMBIOS_ARRAY_SYSTEM_MEMORY,
		.error_correction = SMBIOS_ARRAY_NO_CORRECTION,
		.error_handle = SMBIOS_NO_ERROR_HANDLE,
		.devices = 1,
	};

	if (config->memory_bytes / 1024 < SMBIOS_ARRAY_EXTENDED) {
		s.capacity_kib = (uint32_t)(config->memory_bytes / 1024);
	} else {
		s.capacity_kib = SMBIOS_ARRAY_EXTENDED;
		s.capacity_bytes = config->memory_bytes;
	}
	structure_add(t, &s, SMBIOS_MEMORY_ARRAY, sizeof(s), HANDLE_MEMORY_ARRAY);
}

static void add_memory_device(struct table *t, const struct smbios_config *config)
{
	uint64_t mib = config->memory_bytes / MIB;
	struct smbios_memory_device s = {
		.array = HANDLE_MEMORY_ARRAY,
		.error_handle = SMBIOS_NO_ERROR_HANDLE,
		.total_width = SMBIOS_NONE16,
		.data_width = SMBIOS_NONE16,
		.form = SMBIOS_DEVICE_UNKNOWN,
		.locator = string_add(t, "M0"),
		.memory_type = SMBIOS_DEVICE_UNKNOWN,
		.detail = 1u << SMBIOS_DEVICE_UNKNOWN,
	};

	if (mib < SMBIOS_DEVICE_EXTENDED) {
		s.size_mib = (uint16_t)mib;
	} else {
		s.size_mib = SMBIOS_DEVICE_EXTENDED;
		s.extended_mib = (uint32_t)min_u64(mib, INT32_MAX);
	}
	structure_add(t, &s, SMBIOS_MEMORY_DEVICE, sizeof(s), 0x1100);
}

static void add_rest(struct table *t)
{
	struct smbios_boot boot = {0};
	struct smbios_end end = {0};

	structure_add(t, &boot, SMBIOS_BOOT, sizeof(boot), 0x2000);
	structure_add(t, &end, SMBIOS_END, sizeof(end), 0x7F00);
}

static uint8_t negated_sum(const void *bytes, size_t len)
{
	const uint8_t *p = bytes;
	uint8_t sum = 0;

	for (size_t i = 0; i < len; i++)
		sum = (uint8_t)(sum - p[i]);
	return sum;
}

static int put_entry(const struct gmem *gm, const struct table *t)
{
	struct smbios_entry e = {
		.len_bytes = sizeof(e),
		.major = SMBIOS_MAJOR,
		.minor = SMBIOS_MINOR,
		.largest_structure = t->largest,
		.table_bytes = (uint16_t)t->len,
		.table = (uint32_t)(MACHINE_SMBIOS_AREA + TABLE_OFFSET),
		.structures = t->structures,
		.bcd_revision = SMBIOS_MAJOR << 4 | SMBIOS_MINOR,
	};

	memcpy(e.anchor, "_SM_", sizeof(e.anchor));
	memcpy(e.dmi_anchor, "_DMI_", sizeof(e.dmi_anchor));
	e.dmi_checksum =
		negated_sum(e.dmi_anchor, sizeof(e) - offsetof(struct smbios_entry, dmi_anchor));
	e.checksum = negated_sum(&e, sizeof(e));
	return gmem_write(gm, MACHINE_SMBIOS_AREA, &e, sizeof(e));
}

int smbios_build(const struct smbios_config *config, const struct gmem *gm, uint64_t *ret_entry)
{
	struct table t = {0};
	int err;

	static_assert(TABLE_OFFSET + TABLE_BYTES_MAX <= MACHINE_SMBIOS_AREA_BYTES,
		      "area too small");
	static_assert(sizeof(struct smbios_entry) <= TABLE_OFFSET, "entry point too long");

	if (!config->cpus || config->cpus > MACHINE_CPUS_MAX)
		return -EINVAL;
	add_bios(&t, config);
	add_system(&t, config);
	add_board(&t, config);
	add_chassis(&t, config);
	add_processor(&t, config);
	add_memory_array(&t, config);
	add_memory_device(&t, config);
	add_rest(&t);
	if (t.failed)
		return -EINVAL;
	err = gmem_zero(gm, MACHINE_SMBIOS_AREA, MACHINE_SMBIOS_AREA_BYTES);
	if (!err)
		err = gmem_write(gm, MACHINE_SMBIOS_AREA + TABLE_OFFSET, t.bytes, t.len);
	if (!err)
		err = put_entry(gm, &t);
	if (!err)
		*ret_entry = MACHINE_SMBIOS_AREA;
	return err;
}
