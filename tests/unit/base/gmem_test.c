/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Guest memory: the table of regions and the bounds of each access. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/gmem.h"

#define PAGE 4096u
#define HIGH_GPA UINT64_C(0x100000000)

static uint8_t low[2 * PAGE], high[PAGE];

/* Two regions with a hole between them, as a PC has. */
static struct gmem two_regions(void)
{
	struct gmem gm = {0};

	memset(low, 0, sizeof(low));
	memset(high, 0, sizeof(high));
	assert_int_equal(gmem_add(&gm, 0, sizeof(low), low), 0);
	assert_int_equal(gmem_add(&gm, HIGH_GPA, sizeof(high), high), 0);
	return gm;
}

static void add_refuses_what_breaks_the_table(void **state)
{
	struct gmem gm = two_regions();

	(void)state;
	assert_int_equal(gmem_add(&gm, HIGH_GPA + PAGE, 0, low), -EINVAL);
	assert_int_equal(gmem_add(&gm, HIGH_GPA + PAGE, 100, low), -EINVAL);
	assert_int_equal(gmem_add(&gm, HIGH_GPA + PAGE + 8, PAGE, low), -EINVAL);
	assert_int_equal(gmem_add(&gm, HIGH_GPA, PAGE, low), -EINVAL); /* overlaps */
	assert_int_equal(gmem_add(&gm, PAGE * 4, PAGE, low), -EINVAL); /* not behind the last */
	assert_int_equal(gmem_add(&gm, UINT64_MAX - PAGE + 1, PAGE, low), -EINVAL); /* wraps */
	assert_int_equal(gm.count, 2);
}

static void add_takes_a_region_right_behind_the_last(void **state)
{
	struct gmem gm = two_regions();

	(void)state;
	assert_int_equal(gmem_add(&gm, HIGH_GPA + PAGE, PAGE, low), 0);
	assert_ptr_equal(gmem_span(&gm, HIGH_GPA + PAGE, 1), low);
}

static void add_refuses_one_region_too_many(void **state)
{
	struct gmem gm = {0};

	(void)state;
	for (unsigned i = 0; i < GMEM_REGIONS_MAX; i++)
		assert_int_equal(gmem_add(&gm, i * PAGE, PAGE, low), 0);
	assert_int_equal(gmem_add(&gm, GMEM_REGIONS_MAX * PAGE, PAGE, low), -ENOSPC);
	assert_int_equal(gm.count, GMEM_REGIONS_MAX);
}

static void span_reaches_to_the_last_byte_and_no_further(void **state)
{
	struct gmem gm = two_regions();

	(void)state;
	assert_ptr_equal(gmem_span(&gm, 0, sizeof(low)), low);
	assert_null(gmem_span(&gm, 0, sizeof(low) + 1));
	assert_ptr_equal(gmem_span(&gm, sizeof(low) - 1, 1), low + sizeof(low) - 1);
	assert_null(gmem_span(&gm, sizeof(low) - 1, 2));
	assert_null(gmem_span(&gm, sizeof(low), 1));
	assert_ptr_equal(gmem_span(&gm, HIGH_GPA, PAGE), high);
	assert_null(gmem_span(&gm, HIGH_GPA - 1, 2));
}

static void span_refuses_sums_that_wrap(void **state)
{
	struct gmem gm = two_regions();

	(void)state;
	assert_null(gmem_span(&gm, 1, UINT64_MAX));
	assert_null(gmem_span(&gm, UINT64_MAX, 1));
	assert_null(gmem_span(&gm, UINT64_MAX, UINT64_MAX));
	assert_null(gmem_span(&gm, HIGH_GPA, UINT64_MAX - HIGH_GPA + 2));
}

static void read_and_write_carry_the_bytes(void **state)
{
	struct gmem gm = two_regions();
	char out[6] = {0};

	(void)state;
	assert_int_equal(gmem_write(&gm, PAGE - 2, "hello", 6), 0);
	assert_memory_equal(low + PAGE - 2, "hello", 6);
	assert_int_equal(gmem_read(&gm, PAGE - 2, out, 6), 0);
	assert_string_equal(out, "hello");
	assert_int_equal(gmem_zero(&gm, PAGE - 1, 2), 0);
	assert_memory_equal(low + PAGE - 2, "h\0\0lo", 6);
}

static void failed_access_changes_nothing(void **state)
{
	struct gmem gm = two_regions();
	uint8_t out[8], before[8];

	(void)state;
	memset(out, 0xaa, sizeof(out));
	memset(before, 0xaa, sizeof(before));
	memset(low + sizeof(low) - 4, 0x55, 4);
	assert_int_equal(gmem_read(&gm, sizeof(low) - 4, out, 8), -EFAULT);
	assert_memory_equal(out, before, sizeof(out));
	assert_int_equal(gmem_write(&gm, sizeof(low) - 4, before, 8), -EFAULT);
	assert_int_equal(gmem_zero(&gm, sizeof(low) - 4, 8), -EFAULT);
	assert_memory_equal(low + sizeof(low) - 4, "\x55\x55\x55\x55", 4);
}

static void shared_words_are_stored_and_loaded(void **state)
{
	struct gmem gm = two_regions();
	uint32_t *word = gmem_span(&gm, HIGH_GPA + 8, 4);

	(void)state;
	gmem_store32(word, 0x01020304);
	gmem_full_barrier();
	assert_int_equal(gmem_load32(word), 0x01020304);
	assert_memory_equal(high + 8, "\4\3\2\1", 4);
}

static uint64_t marks(struct gmem *gm, unsigned region)
{
	uint64_t bits = 0;

	gmem_take_written(&gm->region[region], 0, gm->region[region].len / GMEM_PAGE, &bits);
	return bits;
}

static void written_pages_are_marked_once_tracked(void **state)
{
	struct gmem gm = two_regions();
	uint8_t *span = gmem_span(&gm, HIGH_GPA, 1);

	(void)state;
	assert_int_equal(gmem_write(&gm, HIGH_GPA, "x", 1), 0); /* nobody is told */
	assert_int_equal(gmem_track(&gm, true), 0);
	assert_int_equal(marks(&gm, 0) | marks(&gm, 1), 0);
	assert_int_equal(gmem_write(&gm, HIGH_GPA, "x", 1), 0);
	assert_int_equal(marks(&gm, 0), 0);
	assert_int_equal(marks(&gm, 1), 1);
	assert_int_equal(marks(&gm, 1), 0); /* they were taken */
	assert_int_equal(gmem_zero(&gm, 0, 4), 0);
	assert_int_equal(marks(&gm, 0), 1);
	gmem_written(&gm, span, 1);
	assert_int_equal(marks(&gm, 1), 1);
	assert_int_equal(gmem_track(&gm, false), 0);
	gmem_written(&gm, span, 1);
	assert_int_equal(gmem_track(&gm, true), 0);
	assert_int_equal(marks(&gm, 0) | marks(&gm, 1), 0);
	gmem_track_done(&gm);
}

static void a_write_across_pages_marks_each_of_them(void **state)
{
	static uint8_t memory[200 * GMEM_PAGE];
	struct gmem gm = {0};
	uint64_t bits[4] = {0};

	(void)state;
	assert_int_equal(gmem_add(&gm, 0, sizeof(memory), memory), 0);
	assert_int_equal(gmem_track(&gm, true), 0);
	gmem_written(&gm, memory + 64 * GMEM_PAGE - 1, GMEM_PAGE + 2);
	gmem_written(&gm, memory + sizeof(memory) - 1, 1);
	/* From the second word on first. */
	gmem_take_written(&gm.region[0], 64, 136, bits);
	assert_int_equal(bits[0], 0);
	assert_int_equal(bits[1], 3);
	assert_int_equal(bits[3], 1 << 7);
	gmem_take_written(&gm.region[0], 0, 64, bits);
	assert_true(bits[0] == UINT64_C(1) << 63);
	gmem_track_done(&gm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(add_refuses_what_breaks_the_table),
		cmocka_unit_test(add_takes_a_region_right_behind_the_last),
		cmocka_unit_test(add_refuses_one_region_too_many),
		cmocka_unit_test(span_reaches_to_the_last_byte_and_no_further),
		cmocka_unit_test(span_refuses_sums_that_wrap),
		cmocka_unit_test(read_and_write_carry_the_bytes),
		cmocka_unit_test(failed_access_changes_nothing),
		cmocka_unit_test(shared_words_are_stored_and_loaded),
		cmocka_unit_test(written_pages_are_marked_once_tracked),
		cmocka_unit_test(a_write_across_pages_marks_each_of_them),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
