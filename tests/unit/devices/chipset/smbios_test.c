/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The SMBIOS structures, found and walked as a guest does. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "abi/machine.h"
#include "abi/smbios.h"
#include "base/bytes.h"
#include "devices/chipset/acpi.h"
#include "devices/chipset/smbios.h"
#include "tests/unit/devices/chipset/tables.h"

#define RAM (UINT64_C(1) << 20)

struct fixture {
	uint8_t *ram;
	struct gmem gm;
	struct smbios_config config;
};

static int setup(void **state)
{
	static struct fixture f;

	memset(&f, 0, sizeof(f));
	f.ram = malloc(RAM);
	assert_non_null(f.ram);
	memset(f.ram, 0xEE, RAM);
	assert_int_equal(gmem_add(&f.gm, 0, RAM, f.ram), 0);
	f.config = (struct smbios_config){
		.bios_version = "1.2.3",
		.bios_date = "06/01/2025",
		.serial = "0000-1111",
		.cpu_manufacturer = "AuthenticAMD",
		.cpus = 4,
		.memory_bytes = UINT64_C(2) << 30,
	};
	assert_int_equal(guid_parse("00112233-4455-6677-8899-aabbccddeeff", &f.config.uuid), 0);
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	free(f->ram);
	return 0;
}

static const struct smbios_entry *find_entry(const struct fixture *f)
{
	for (uint64_t at = 0xF0000; at < 0x100000; at += 16) {
		const uint8_t *p = f->ram + at;

		if (memcmp(p, "_SM_", 4) == 0 && sum_of(p, p[5]) == 0 &&
		    memcmp(p + 16, "_DMI_", 5) == 0 && sum_of(p + 16, 15) == 0)
			return (const struct smbios_entry *)p;
	}
	return NULL;
}

/* Walks all structures; the first of `type`. Checks that the walk ends where the entry says. */
static const uint8_t *find_structure(const struct fixture *f, uint8_t type)
{
	const struct smbios_entry *e = find_entry(f);
	const uint8_t *found = NULL, *p, *end;
	unsigned count = 0, largest = 0;

	assert_non_null(e);
	p = f->ram + e->table;
	end = p + e->table_bytes;
	while (p < end) {
		const uint8_t *start = p;

		if (p[0] == type && !found)
			found = p;
		p += p[1];
		while (p[0] || p[1])
			p++;
		p += 2;
		count++;
		if (p - start > largest)
			largest = (unsigned)(p - start);
		if (start[0] == SMBIOS_END)
			break;
	}
	assert_ptr_equal(p, end);
	assert_int_equal(count, e->structures);
	assert_int_equal(largest, e->largest_structure);
	return found;
}

static const char *string_of(const uint8_t *structure, unsigned number)
{
	const char *s = (const char *)structure + structure[1];

	assert_true(number > 0);
	while (--number)
		s += strlen(s) + 1;
	return s;
}

static void build(struct fixture *f)
{
	uint64_t entry = 0;

	assert_int_equal(smbios_build(&f->config, &f->gm, &entry), 0);
	assert_int_equal(entry, MACHINE_SMBIOS_AREA);
}

static void system_is_the_one_that_guests_recognise(void **state)
{
	struct fixture *f = *state;
	const uint8_t *p;

	build(f);
	p = find_structure(f, SMBIOS_SYSTEM);
	assert_non_null(p);
	assert_string_equal(string_of(p, p[4]), "Microsoft Corporation");
	assert_string_equal(string_of(p, p[5]), "Virtual Machine");
	assert_string_equal(string_of(p, p[6]), "7.0");
	assert_string_equal(string_of(p, p[7]), "0000-1111");
	assert_memory_equal(p + 8,
			    "\x33\x22\x11\x00\x55\x44\x77\x66\x88\x99\xaa\xbb\xcc\xdd\xee\xff", 16);
	assert_string_equal(string_of(p, p[26]), "Virtual Machine");
	p = find_structure(f, SMBIOS_BIOS);
	assert_string_equal(string_of(p, p[4]), "Oya");
	assert_string_equal(string_of(p, p[5]), "1.2.3");
	assert_string_equal(string_of(p, p[8]), "06/01/2025");
	p = find_structure(f, SMBIOS_PROCESSOR);
	assert_int_equal(p[35], 4);
}

static void all_required_structures_are_there(void **state)
{
	static const uint8_t types[] = {0, 1, 2, 3, 4, 16, 17, 32, 127};
	struct fixture *f = *state;

	build(f);
	for (size_t i = 0; i < sizeof(types); i++)
		assert_non_null(find_structure(f, types[i]));
}

static void memory_sizes_cross_over_to_the_wide_fields(void **state)
{
	struct fixture *f = *state;
	const uint8_t *p;

	build(f);
	p = find_structure(f, SMBIOS_MEMORY_DEVICE);
	assert_int_equal(le16_load(p + 12), 2048);
	p = find_structure(f, SMBIOS_MEMORY_ARRAY);
	assert_int_equal(le32_load(p + 7), 2048 * 1024);
	f->config.memory_bytes = UINT64_C(4) << 40;
	build(f);
	p = find_structure(f, SMBIOS_MEMORY_DEVICE);
	assert_int_equal(le16_load(p + 12), 0x7FFF);
	assert_int_equal(le32_load(p + 28), 4 << 20);
	p = find_structure(f, SMBIOS_MEMORY_ARRAY);
	assert_int_equal(le32_load(p + 7), 0x80000000);
	assert_int_equal(le64_load(p + 15), UINT64_C(4) << 40);
}

static void texts_are_optional_and_bounded(void **state)
{
	char text[80];
	struct fixture *f = *state;
	uint64_t entry;
	const uint8_t *p;

	f->config.serial = NULL;
	f->config.cpu_manufacturer = "";
	build(f);
	p = find_structure(f, SMBIOS_SYSTEM);
	assert_int_equal(p[7], 0);
	memset(text, 'x', sizeof(text));
	text[64] = '\0';
	f->config.serial = text;
	build(f);
	p = find_structure(f, SMBIOS_SYSTEM);
	assert_string_equal(string_of(p, p[7]), text);
	text[64] = 'x';
	text[65] = '\0';
	assert_int_equal(smbios_build(&f->config, &f->gm, &entry), -EINVAL);
}

static void wrong_configurations_are_refused(void **state)
{
	struct fixture *f = *state;
	struct gmem none = {0};
	uint64_t entry;

	assert_int_equal(smbios_build(&f->config, &none, &entry), -EFAULT);
	f->config.cpus = 0;
	assert_int_equal(smbios_build(&f->config, &f->gm, &entry), -EINVAL);
	f->config.cpus = 65;
	assert_int_equal(smbios_build(&f->config, &f->gm, &entry), -EINVAL);
}

static void acpi_and_smbios_live_side_by_side(void **state)
{
	struct fixture *f = *state;
	struct acpi_config acpi = {.cpus = 4};
	uint64_t rsdp;

	build(f);
	assert_int_equal(acpi_build(&acpi, &f->gm, &rsdp), 0);
	assert_non_null(find_entry(f));
	build(f);
	assert_memory_equal(f->ram + rsdp, "RSD PTR ", 8);
	assert_int_equal(f->ram[MACHINE_ACPI_AREA - 1], 0xEE);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(system_is_the_one_that_guests_recognise),
		CASE(all_required_structures_are_there),
		CASE(memory_sizes_cross_over_to_the_wide_fields),
		CASE(texts_are_optional_and_bounded),
		CASE(wrong_configurations_are_refused),
		CASE(acpi_and_smbios_live_side_by_side),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
