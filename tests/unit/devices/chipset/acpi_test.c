/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ACPI tables, walked as a guest walks them: scan, checksums, pointers, contents. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "abi/acpi.h"
#include "abi/machine.h"
#include "base/bytes.h"
#include "devices/chipset/acpi.h"
#include "tests/unit/devices/chipset/tables.h"

#define RAM (UINT64_C(1) << 20)

struct fixture {
	uint8_t *ram;
	struct gmem gm;
};

static int setup(void **state)
{
	static struct fixture f;

	memset(&f, 0, sizeof(f));
	f.ram = malloc(RAM);
	assert_non_null(f.ram);
	memset(f.ram, 0xEE, RAM);
	assert_int_equal(gmem_add(&f.gm, 0, RAM, f.ram), 0);
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	free(f->ram);
	return 0;
}

/* A table within the area with the right checksum; its length. */
static size_t check_table(const struct fixture *f, uint64_t gpa, const char *signature)
{
	uint32_t len;

	assert_true(gpa >= MACHINE_ACPI_AREA && gpa % 16 == 0);
	assert_memory_equal(f->ram + gpa, signature, 4);
	len = le32_load(f->ram + gpa + 4);
	assert_true(len >= 36 && gpa + len <= MACHINE_ACPI_AREA + MACHINE_ACPI_AREA_BYTES);
	assert_int_equal(sum_of(f->ram + gpa, len), 0);
	assert_memory_equal(f->ram + gpa + 10, "OYA   ", 6);
	return len;
}

/* Finds the RSDP as guests do; GPA of the nth table of the XSDT. */
static uint64_t find(const struct fixture *f, unsigned nth)
{
	uint64_t xsdt, at = 0xE0000;
	size_t len;

	while (at < 0x100000 && memcmp(f->ram + at, "RSD PTR ", 8) != 0)
		at += 16;
	assert_true(at < 0x100000);
	assert_int_equal(sum_of(f->ram + at, 20), 0);
	assert_int_equal(sum_of(f->ram + at, 36), 0);
	assert_int_equal(f->ram[at + 15], 2);
	xsdt = le64_load(f->ram + at + 24);
	len = check_table(f, xsdt, "XSDT");
	assert_true(36 + 8 * (nth + 1) <= len);
	return le64_load(f->ram + xsdt + 36 + 8 * nth);
}

static void build(struct fixture *f, unsigned cpus)
{
	struct acpi_config config = {.cpus = cpus};
	uint64_t rsdp = 0;

	assert_int_equal(acpi_build(&config, &f->gm, &rsdp), 0);
	assert_int_equal(rsdp, MACHINE_ACPI_AREA);
}

static void fadt_tells_the_ports_of_the_machine(void **state)
{
	struct fixture *f = *state;
	const struct acpi_fadt *fadt;
	uint64_t gpa;

	build(f, 1);
	gpa = find(f, 0);
	assert_int_equal(check_table(f, gpa, "FACP"), 276);
	fadt = (const struct acpi_fadt *)(f->ram + gpa);
	assert_int_equal(fadt->flags, 0x100431);
	assert_int_equal(fadt->boot_flags, 0x5);
	assert_int_equal(fadt->century, 0x32);
	assert_int_equal(fadt->reset.space, 1);
	assert_int_equal(fadt->reset.bit_width, 8);
	assert_int_equal(fadt->reset.address, MACHINE_RESET_PORT);
	assert_int_equal(fadt->reset_value, 1);
	assert_int_equal(fadt->sleep_control.address, 0x604);
	assert_int_equal(fadt->sleep_status.address, 0x605);
	assert_int_equal(fadt->dsdt, fadt->x_dsdt);
	check_table(f, fadt->x_dsdt, "DSDT");
}

static const uint8_t *find_bytes(const uint8_t *p, size_t len, const void *what, size_t what_len)
{
	for (; len >= what_len; p++, len--) {
		if (memcmp(p, what, what_len) == 0)
			return p;
	}
	return NULL;
}

static void dsdt_agrees_with_the_map_of_the_machine(void **state)
{
	/* AML of: _HID "VMBus"; a DWord producer window; I/O ranges; the package of _S5. */
	static const char vmbus[] = "_HID\x0DVMBus";
	uint8_t window[26] = {0x87, 0x17, 0x00, 0x00, 0x0C, 0x01};
	uint8_t com1[8] = {0x47, 0x01, 0xF8, 0x03, 0xF8, 0x03, 0x01, 0x08};
	uint8_t gsi[9] = {0x89, 0x06, 0x00, 0x03, 0x01, MACHINE_COM1_GSI, 0, 0, 0};
	uint8_t clock[8] = {0x47, 0x01, 0x70, 0x00, 0x70, 0x00, 0x01, 0x02};
	static const uint8_t s5[] = {'_', 'S', '5', '_', 0x12, 0x07, 0x04, 0x0A, 0x05};
	struct fixture *f = *state;
	const uint8_t *dsdt;
	size_t len;

	build(f, 1);
	dsdt = f->ram + le64_load(f->ram + find(f, 0) + 140);
	len = le32_load(dsdt + 4);
	le32_store(window + 10, (uint32_t)MACHINE_VMBUS_WINDOW);
	le32_store(window + 14, (uint32_t)(MACHINE_VMBUS_WINDOW + MACHINE_VMBUS_WINDOW_BYTES - 1));
	le32_store(window + 22, (uint32_t)MACHINE_VMBUS_WINDOW_BYTES);
	assert_non_null(find_bytes(dsdt, len, vmbus, sizeof(vmbus)));
	assert_non_null(find_bytes(dsdt, len, "ACPI0004", 9));
	assert_non_null(find_bytes(dsdt, len, window, sizeof(window)));
	assert_int_equal(MACHINE_COM1_PORT, 0x3F8);
	assert_non_null(find_bytes(dsdt, len, com1, sizeof(com1)));
	assert_non_null(find_bytes(dsdt, len, gsi, sizeof(gsi)));
	assert_int_equal(MACHINE_RTC_PORT, 0x70);
	assert_non_null(find_bytes(dsdt, len, clock, sizeof(clock)));
	assert_int_equal(MACHINE_SLEEP_TYPE_S5, 5);
	assert_non_null(find_bytes(dsdt, len, s5, sizeof(s5)));
}

static void madt_lists_each_cpu_and_the_ioapic(void **state)
{
	struct fixture *f = *state;

	for (unsigned cpus = 1; cpus <= 64; cpus += 21) {
		const uint8_t *p;
		uint64_t gpa;
		size_t len;

		build(f, cpus);
		gpa = find(f, 1);
		len = check_table(f, gpa, "APIC");
		assert_int_equal(len, 44 + 8 * cpus + 12);
		p = f->ram + gpa;
		assert_int_equal(le32_load(p + 36), 0xFEE00000);
		assert_int_equal(le32_load(p + 40), 0); /* no 8259 */
		p += 44;
		for (unsigned i = 0; i < cpus; i++, p += 8) {
			uint8_t want[8] = {0, 8, (uint8_t)i, (uint8_t)i, 1};

			assert_memory_equal(p, want, sizeof(want));
		}
		assert_int_equal(p[0], 1);
		assert_int_equal(p[1], 12);
		assert_int_equal(le32_load(p + 4), 0xFEC00000);
		assert_int_equal(le32_load(p + 8), 0);
	}
}

static void full_hardware_has_a_pic_and_power_management(void **state)
{
	struct fixture *f = *state;
	struct acpi_config config = {.area = 0x80000, .pc = true, .cpus = 2};
	const struct acpi_fadt *fadt;
	const struct acpi_madt *madt;
	const uint8_t *xsdt, *override;
	uint64_t rsdp;

	assert_int_equal(acpi_build(&config, &f->gm, &rsdp), 0);
	assert_int_equal(rsdp, 0x80000);
	xsdt = f->ram + le64_load(f->ram + rsdp + 24);
	fadt = (const void *)(f->ram + le64_load(xsdt + 36));
	madt = (const void *)(f->ram + le64_load(xsdt + 44));
	assert_int_equal(sum_of((const uint8_t *)fadt, sizeof(*fadt)), 0);
	assert_int_equal(fadt->flags & ACPI_FADT_HW_REDUCED, 0);
	assert_int_equal(fadt->sci_interrupt, 9);
	assert_int_equal(fadt->pm1a_event, 0x600);
	assert_int_equal(fadt->pm1a_control, 0x604);
	assert_int_equal(fadt->pm_timer, 0x608);
	assert_int_equal(fadt->sleep_control.address, 0);
	assert_int_equal(fadt->facs % 64, 0);
	assert_memory_equal(f->ram + fadt->facs, "FACS\x40", 5);
	assert_int_equal(madt->flags, ACPI_MADT_PCAT_COMPAT);
	override = (const uint8_t *)madt + sizeof(*madt) + 2 * sizeof(struct acpi_madt_lapic) +
		   sizeof(struct acpi_madt_ioapic);
	assert_memory_equal(override, "\2\12\0\0\2\0\0\0\0\0", 10);
	assert_memory_equal(override + 10, "\2\12\0\11\11\0\0\0\15\0", 10);
	assert_int_equal(sum_of((const uint8_t *)madt, madt->header.len_bytes), 0);
}

static void tables_stay_within_their_area(void **state)
{
	struct fixture *f = *state;

	build(f, 64);
	assert_int_equal(f->ram[MACHINE_ACPI_AREA - 1], 0xEE);
	assert_int_equal(f->ram[MACHINE_ACPI_AREA + MACHINE_ACPI_AREA_BYTES], 0xEE);
}

static void guests_without_nodes_hear_of_none(void **state)
{
	struct fixture *f = *state;
	uint64_t xsdt;

	build(f, 64);
	xsdt = le64_load(f->ram + MACHINE_ACPI_AREA + 24);
	assert_int_equal(check_table(f, xsdt, "XSDT"), 36 + 2 * 8);
}

static void srat_places_processors_and_memory_on_both_sides_of_the_gap(void **state)
{
	struct fixture *f = *state;
	struct acpi_config config = {
		.cpus = 3,
		.node_count = 2,
		.node = {{UINT64_C(1) << 30, 1}, {UINT64_C(4) << 30, 2}},
	};
	/* Node, base, length of each piece of memory. */
	static const uint64_t memory[3][3] = {
		{0, 0, UINT64_C(1) << 30},
		{1, UINT64_C(1) << 30, UINT64_C(2) << 30},
		{1, UINT64_C(4) << 30, UINT64_C(2) << 30},
	};
	uint64_t rsdp, gpa;
	const uint8_t *at;
	unsigned cpu = 0, piece = 0;
	size_t len;

	assert_int_equal(acpi_build(&config, &f->gm, &rsdp), 0);
	gpa = find(f, 2);
	len = check_table(f, gpa, "SRAT");
	assert_int_equal(le32_load(f->ram + gpa + 36), 1);
	for (at = f->ram + gpa + 48; at < f->ram + gpa + len; at += at[1]) {
		if (at[0] == 0) {
			assert_int_equal(at[1], 16);
			assert_int_equal(at[3], cpu);
			assert_int_equal(at[2], cpu++ ? 1 : 0);
			assert_int_equal(le32_load(at + 4), 1);
			continue;
		}
		assert_int_equal(at[0], 1);
		assert_int_equal(at[1], 40);
		assert_true(piece < 3);
		assert_int_equal(le32_load(at + 2), memory[piece][0]);
		assert_int_equal(le64_load(at + 8), memory[piece][1]);
		assert_int_equal(le64_load(at + 16), memory[piece][2]);
		assert_int_equal(le32_load(at + 28), 1);
		piece++;
	}
	assert_int_equal(cpu, 3);
	assert_int_equal(piece, 3);
}

static void slit_has_a_row_for_each_node(void **state)
{
	static const uint8_t distances[] = {10, 20, 20, 20, 10, 20, 20, 20, 10};
	struct fixture *f = *state;
	struct acpi_config config = {
		.cpus = 1,
		.node_count = 3,
		.node = {{1 << 20, 1}, {1 << 20, 0}, {1 << 20, 0}},
	};
	uint64_t rsdp, gpa;

	assert_int_equal(acpi_build(&config, &f->gm, &rsdp), 0);
	gpa = find(f, 3);
	assert_int_equal(check_table(f, gpa, "SLIT"), 44 + 9);
	assert_int_equal(le64_load(f->ram + gpa + 36), 3);
	assert_memory_equal(f->ram + gpa + 44, distances, 9);
}

static void the_most_nodes_and_processors_stay_within_the_area(void **state)
{
	struct fixture *f = *state;
	struct acpi_config config = {.cpus = MACHINE_CPUS_MAX, .node_count = ACPI_NODES_MAX};
	uint64_t rsdp;

	for (unsigned i = 0; i < ACPI_NODES_MAX; i++)
		config.node[i] = (struct acpi_node){UINT64_C(1) << 40, 8};
	assert_int_equal(acpi_build(&config, &f->gm, &rsdp), 0);
	assert_int_equal(check_table(f, find(f, 2), "SRAT"), 48 + 64 * 16 + 9 * 40);
	assert_int_equal(f->ram[MACHINE_ACPI_AREA + MACHINE_ACPI_AREA_BYTES], 0xEE);
}

static void wrong_configurations_are_refused(void **state)
{
	struct fixture *f = *state;
	struct acpi_config config = {.cpus = 0};
	struct gmem none = {0};
	uint64_t rsdp = 7;

	assert_int_equal(acpi_build(&config, &f->gm, &rsdp), -EINVAL);
	config.cpus = 65;
	assert_int_equal(acpi_build(&config, &f->gm, &rsdp), -EINVAL);
	config.cpus = 1;
	assert_int_equal(acpi_build(&config, &none, &rsdp), -EFAULT);
	config.node_count = ACPI_NODES_MAX + 1;
	assert_int_equal(acpi_build(&config, &f->gm, &rsdp), -EINVAL);
	config.node_count = 1;
	config.node[0] = (struct acpi_node){1 << 20, 2};
	assert_int_equal(acpi_build(&config, &f->gm, &rsdp), -EINVAL);
	config.node[0].cpus = UINT32_MAX;
	assert_int_equal(acpi_build(&config, &f->gm, &rsdp), -EINVAL);
	assert_int_equal(rsdp, 7);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(fadt_tells_the_ports_of_the_machine),
		CASE(dsdt_agrees_with_the_map_of_the_machine),
		CASE(madt_lists_each_cpu_and_the_ioapic),
		CASE(full_hardware_has_a_pic_and_power_management),
		CASE(tables_stay_within_their_area),
		CASE(guests_without_nodes_hear_of_none),
		CASE(srat_places_processors_and_memory_on_both_sides_of_the_gap),
		CASE(slit_has_a_row_for_each_node),
		CASE(the_most_nodes_and_processors_stay_within_the_area),
		CASE(wrong_configurations_are_refused),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
