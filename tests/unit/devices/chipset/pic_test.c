/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The pair of PICs: initialisation, priorities, the cascade, ends of interrupts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "devices/chipset/pic.h"

static struct pic pic;

/* As a BIOS sets it up: vectors from 08 and 70 on, nothing masked. */
static int setup(void **state)
{
	(void)state;
	pic_reset(&pic);
	for (unsigned chip = 0; chip < 2; chip++) {
		pic_write(&pic, chip, 0, 0x11);
		pic_write(&pic, chip, 1, chip ? 0x70 : 0x08);
		pic_write(&pic, chip, 1, chip ? 2 : 4);
		pic_write(&pic, chip, 1, 1);
	}
	return 0;
}

static void nothing_interrupts_after_power_on(void **state)
{
	(void)state;
	pic_reset(&pic);
	pic_set_irq(&pic, 0, true);
	assert_false(pic_pending(&pic));
	assert_int_equal(pic_read(&pic, 0, 1), 0xFF);
}

static void an_edge_interrupts_once(void **state)
{
	(void)state;
	pic_set_irq(&pic, 0, true);
	assert_true(pic_pending(&pic));
	assert_int_equal(pic_acknowledge(&pic), 0x08);
	pic_write(&pic, 0, 0, 0x20);
	assert_false(pic_pending(&pic));
	pic_set_irq(&pic, 0, false);
	pic_set_irq(&pic, 0, true);
	assert_true(pic_pending(&pic));
}

static void a_line_that_falls_before_it_was_taken_is_spurious(void **state)
{
	(void)state;
	pic_set_irq(&pic, 3, true);
	pic_set_irq(&pic, 3, false);
	assert_false(pic_pending(&pic));
	assert_int_equal(pic_acknowledge(&pic), 0x08 + 7);
}

static void a_level_line_interrupts_until_it_falls(void **state)
{
	(void)state;
	pic_write_edge(&pic, 1, 0x04);
	pic_set_irq(&pic, 10, true);
	assert_int_equal(pic_acknowledge(&pic), 0x72);
	pic_write(&pic, 1, 0, 0x20);
	pic_write(&pic, 0, 0, 0x20);
	assert_true(pic_pending(&pic));
	pic_set_irq(&pic, 10, false);
	assert_false(pic_pending(&pic));
}

static void the_second_chip_comes_through_the_first(void **state)
{
	(void)state;
	pic_set_irq(&pic, 14, true);
	assert_int_equal(pic_acknowledge(&pic), 0x76);
	pic_write(&pic, 0, 0, 0x0B);
	pic_write(&pic, 1, 0, 0x0B);
	assert_int_equal(pic_read(&pic, 0, 0), 0x04);
	assert_int_equal(pic_read(&pic, 1, 0), 0x40);
}

static void a_line_in_service_holds_lower_ones_back(void **state)
{
	(void)state;
	pic_set_irq(&pic, 4, true);
	assert_int_equal(pic_acknowledge(&pic), 0x0C);
	pic_set_irq(&pic, 5, true);
	assert_false(pic_pending(&pic));
	pic_set_irq(&pic, 1, true);
	assert_true(pic_pending(&pic));
	pic_write(&pic, 0, 1, 0x02);
	assert_false(pic_pending(&pic));
	pic_write(&pic, 0, 0, 0x64); /* the end of line 4 */
	assert_int_equal(pic_acknowledge(&pic), 0x0D);
}

static void automatic_end_leaves_nothing_in_service(void **state)
{
	(void)state;
	pic_write(&pic, 0, 0, 0x11);
	pic_write(&pic, 0, 1, 0x20);
	pic_write(&pic, 0, 1, 4);
	pic_write(&pic, 0, 1, 3);
	pic_set_irq(&pic, 6, true);
	assert_int_equal(pic_acknowledge(&pic), 0x26);
	pic_set_irq(&pic, 7, true);
	assert_int_equal(pic_acknowledge(&pic), 0x27);
}

static void lines_beyond_the_pair_do_nothing(void **state)
{
	(void)state;
	pic_set_irq(&pic, 16, true);
	pic_set_irq(&pic, UINT32_MAX, true);
	assert_false(pic_pending(&pic));
	pic_write_edge(&pic, 0, 0xFF);
	assert_int_equal(pic_read_edge(&pic, 0), 0xF8);
}

#define CASE(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(nothing_interrupts_after_power_on),
		CASE(an_edge_interrupts_once),
		CASE(a_line_that_falls_before_it_was_taken_is_spurious),
		CASE(a_level_line_interrupts_until_it_falls),
		CASE(the_second_chip_comes_through_the_first),
		CASE(a_line_in_service_holds_lower_ones_back),
		CASE(automatic_end_leaves_nothing_in_service),
		CASE(lines_beyond_the_pair_do_nothing),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
