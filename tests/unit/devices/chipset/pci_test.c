/* SPDX-License-Identifier: GPL-2.0-or-later */
/* PCI configuration: which functions are found, and what of them can be written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "devices/chipset/pci.h"

static struct pci pci;

static int setup(void **state)
{
	(void)state;
	pci_reset(&pci);
	return 0;
}

static uint32_t read_at(unsigned device, unsigned function, unsigned reg, unsigned bytes)
{
	pci_write_address(&pci, 0x80000000u | device << 11 | function << 8 | (reg & 0xFC));
	return pci_read_data(&pci, reg & 3, bytes);
}

static void write_at(unsigned device, unsigned function, unsigned reg, unsigned bytes,
		     uint32_t value)
{
	pci_write_address(&pci, 0x80000000u | device << 11 | function << 8 | (reg & 0xFC));
	pci_write_data(&pci, reg & 3, bytes, value);
}

static void functions_of_a_piix4_are_found(void **state)
{
	(void)state;
	assert_int_equal(read_at(0, 0, 0, 4), 0x71928086);
	assert_int_equal(read_at(7, 0, 0, 4), 0x71108086);
	assert_int_equal(read_at(7, 0, 0x0E, 1), 0x80);
	assert_int_equal(read_at(7, 1, 0x0A, 2), 0x0101);
	assert_int_equal(read_at(7, 3, 0x40, 4), 0x601);
}

static void nothing_else_is_there(void **state)
{
	(void)state;
	assert_int_equal(read_at(1, 0, 0, 4), UINT32_MAX);
	assert_int_equal(read_at(7, 2, 0, 2), 0xFFFF);
	pci_write_address(&pci, 0x80010000u); /* bus 1 */
	assert_int_equal(pci_read_data(&pci, 0, 4), UINT32_MAX);
	pci_write_address(&pci, 0);
	assert_int_equal(pci_read_data(&pci, 0, 4), UINT32_MAX);
}

static void windows_cannot_be_moved(void **state)
{
	(void)state;
	write_at(7, 1, 0x20, 4, UINT32_MAX);
	assert_int_equal(read_at(7, 1, 0x20, 4), 0);
	write_at(7, 3, 0x40, 4, 0xB001);
	assert_int_equal(read_at(7, 3, 0x40, 4), 0x601);
	write_at(0, 0, 0, 4, 0);
	assert_int_equal(read_at(0, 0, 0, 4), 0x71928086);
}

static void other_registers_hold_what_is_written(void **state)
{
	(void)state;
	write_at(7, 0, 0x62, 2, 0x0B0A);
	assert_int_equal(read_at(7, 0, 0x60, 4), 0x0B0A0000);
	write_at(7, 0, 0x63, 4, 0x44332211); /* it goes round within the word */
	assert_int_equal(read_at(7, 0, 0x60, 4), 0x11443322);
}

static void the_address_reads_back_without_what_is_reserved(void **state)
{
	(void)state;
	pci_write_address(&pci, UINT32_MAX);
	assert_int_equal(pci_read_address(&pci), 0x80FFFFFC);
}

#define CASE(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(functions_of_a_piix4_are_found),
		CASE(nothing_else_is_there),
		CASE(windows_cannot_be_moved),
		CASE(other_registers_hold_what_is_written),
		CASE(the_address_reads_back_without_what_is_reserved),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
