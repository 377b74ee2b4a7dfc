/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Descriptions of processors: read, intersected, and told in names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#undef fail /* lib/fail.h has one of its own */
#include "lib/processor.h"

enum { W1_ECX = 0, W7_EBX = 2, WD_XCR0 = 7 }; /* places of words that are asked for by name below */

static struct processor level(const char *name)
{
	json_t *text = json_string(name);
	struct processor p = {.vendor = "?"};
	struct failure f;

	assert_int_equal(processor_decode_baseline(text, &p, &f), 0);
	json_decref(text);
	return p;
}

static int decode(const char *text, struct processor *ret, struct failure *f)
{
	json_t *object = json_loads(text, 0, NULL);
	int r = processor_decode("the file", object, ret, f);

	assert_non_null(object);
	json_decref(object);
	return r;
}

static void words_have_the_places_that_the_tests_take_them_for(void **state)
{
	(void)state;
	assert_string_equal(processor_words[W1_ECX].name, "1.ecx");
	assert_string_equal(processor_words[W7_EBX].name, "7.ebx");
	assert_string_equal(processor_words[WD_XCR0].name, "d.0.eax");
}

static void a_description_is_read_as_it_was_written(void **state)
{
	struct processor p = level("x86-64-v4"), again;
	struct failure f;
	json_t *object;

	(void)state;
	strcpy(p.vendor, "GenuineIntel");
	p.phys_bits = 46;
	object = processor_encode(&p);
	assert_int_equal(processor_decode("the file", object, &again, &f), 0);
	json_decref(object);
	assert_memory_equal(&p, &again, sizeof(p));
}

static void what_is_no_description_is_refused(void **state)
{
	static const char *const wrong[] = {
		"{}",
		"[]",
		"{\"vendor\": 1}",
		"{\"vendor\": \"AuthenticAMDx\"}",
		"{\"vendor\": \"\", \"version\": 2}",
		"{\"vendor\": \"\", \"model\": 1}",
		"{\"vendor\": \"\", \"physical_bits\": 31}",
		"{\"vendor\": \"\", \"physical_bits\": 53}",
		"{\"vendor\": \"\", \"words\": {\"1.ecx\": -1}}",
		"{\"vendor\": \"\", \"words\": {\"1.ecx\": 4294967296}}",
		"{\"vendor\": \"\", \"words\": {\"1.ecx\": \"1\"}}",
	};
	struct processor p = {.vendor = "untouched"};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct failure f = {""};

		assert_int_equal(decode(wrong[i], &p, &f), -EINVAL);
		assert_true(f.text[0]);
		assert_string_equal(p.vendor, "untouched");
	}
}

static void bits_that_no_guest_can_take_along_are_dropped(void **state)
{
	struct processor p;
	struct failure f;

	(void)state;
	assert_int_equal(
		decode("{\"vendor\": \"\", \"words\": {\"1.ecx\": 4294967295, \"x\": 1}}", &p, &f),
		0);
	assert_int_equal(p.word[W1_ECX], processor_words[W1_ECX].mask);
	assert_false(p.word[W1_ECX] >> 5 & 1); /* virtualization */
	assert_false(p.word[W1_ECX] >> 31);
}

static void levels_grow_and_need_nothing_that_they_lack(void **state)
{
	static const char *const all[] = {"x86-64-v1", "x86-64-v2", "x86-64-v3", "x86-64-v4"};
	char text[256];

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		struct processor p = level(all[i]), settled = p;

		processor_settle(&settled);
		assert_memory_equal(&p, &settled, sizeof(p));
		if (i) {
			struct processor less = level(all[i - 1]);

			assert_false(processor_lacks(&p, &less, text, sizeof(text)));
			assert_true(processor_lacks(&less, &p, text, sizeof(text)));
		}
	}
}

static void a_level_that_does_not_exist_is_refused(void **state)
{
	json_t *text = json_string("x86-64-v5");
	struct processor p;
	struct failure f;

	(void)state;
	assert_int_equal(processor_decode_baseline(text, &p, &f), -EINVAL);
	assert_non_null(strstr(f.text, "x86-64-v5"));
	json_decref(text);
}

static void an_intersection_has_what_both_have_and_the_smaller_sizes(void **state)
{
	struct processor a = level("x86-64-v4"), b = level("x86-64-v3");
	struct failure f;

	(void)state;
	a.phys_bits = 46;
	b.phys_bits = 39;
	b.word[W1_ECX] |= 1u << 21;
	assert_int_equal(processor_intersect(&a, &b, &f), 0);
	assert_int_equal(a.phys_bits, 39);
	b.word[W1_ECX] &= ~(1u << 21);
	assert_memory_equal(a.word, b.word, sizeof(a.word));
	b.phys_bits = 0;
	assert_int_equal(processor_intersect(&b, &a, &f), 0);
	assert_int_equal(b.phys_bits, 39);
}

static void without_xsave_there_is_neither_avx_nor_its_state(void **state)
{
	struct processor a = level("x86-64-v4"), b = a;
	struct failure f;

	(void)state;
	b.word[W1_ECX] &= ~(1u << 26);
	assert_int_equal(processor_intersect(&a, &b, &f), 0);
	assert_int_equal(a.word[WD_XCR0], 0);
	assert_int_equal(a.word[W1_ECX], level("x86-64-v2").word[W1_ECX] | 1u << 22);
	assert_int_equal(a.word[W7_EBX], 1u << 3 | 1u << 8); /* BMI */
}

static void without_the_state_of_avx_512_there_is_none_of_it(void **state)
{
	struct processor p = level("x86-64-v4");

	(void)state;
	p.word[WD_XCR0] &= ~(1u << 6);
	processor_settle(&p);
	assert_int_equal(p.word[W7_EBX], level("x86-64-v3").word[W7_EBX]);
	assert_int_equal(p.word[WD_XCR0], 7);
}

static void processors_of_two_makers_have_no_baseline(void **state)
{
	struct processor a = {.vendor = "GenuineIntel"}, b = {.vendor = "AuthenticAMD"};
	struct failure f;

	(void)state;
	assert_int_equal(processor_intersect(&a, &b, &f), -EINVAL);
	assert_non_null(strstr(f.text, "GenuineIntel"));
	assert_non_null(strstr(f.text, "AuthenticAMD"));
}

static void what_is_lacking_is_named(void **state)
{
	struct processor here = level("x86-64-v3"), there = here;
	char text[128], more[512];

	(void)state;
	strcpy(here.vendor, "AuthenticAMD");
	assert_false(processor_lacks(&here, &there, text, sizeof(text)));
	there.word[W7_EBX] |= 1u << 16 | 1u << 4;
	assert_true(processor_lacks(&here, &there, text, sizeof(text)));
	assert_string_equal(text, "CPUID.7.ebx[4], avx512f");
	here.phys_bits = 39;
	there.phys_bits = 46;
	assert_true(processor_lacks(&here, &there, text, sizeof(text)));
	assert_string_equal(text, "physical addresses of 46 bits, CPUID.7.ebx[4], avx512f");
	assert_false(processor_lacks(&there, &there, text, sizeof(text)));
	memset(there.word, 0xff, sizeof(there.word));
	assert_true(processor_lacks(&here, &there, text, sizeof(text)));
	assert_int_equal(strlen(text), sizeof(text) - 1);
	assert_true(processor_lacks(&here, &there, more, sizeof(more)));
	assert_non_null(strstr(more, " more"));
	strcpy(there.vendor, "another");
	assert_true(processor_lacks(&here, &there, text, sizeof(text)));
	assert_non_null(strstr(text, "the maker 'another': it is of 'AuthenticAMD'"));
	processor_name_bits(7, 0, PROCESSOR_EBX, 1u << 5, text, sizeof(text));
	assert_string_equal(text, "avx2");
	processor_name_bits(9, 0, PROCESSOR_EBX, 1u << 5, text, sizeof(text));
	assert_string_equal(text, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words_have_the_places_that_the_tests_take_them_for),
		cmocka_unit_test(a_description_is_read_as_it_was_written),
		cmocka_unit_test(what_is_no_description_is_refused),
		cmocka_unit_test(bits_that_no_guest_can_take_along_are_dropped),
		cmocka_unit_test(levels_grow_and_need_nothing_that_they_lack),
		cmocka_unit_test(a_level_that_does_not_exist_is_refused),
		cmocka_unit_test(an_intersection_has_what_both_have_and_the_smaller_sizes),
		cmocka_unit_test(without_xsave_there_is_neither_avx_nor_its_state),
		cmocka_unit_test(without_the_state_of_avx_512_there_is_none_of_it),
		cmocka_unit_test(processors_of_two_makers_have_no_baseline),
		cmocka_unit_test(what_is_lacking_is_named),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("processor", tests, NULL, NULL);
}
