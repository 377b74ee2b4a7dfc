/* SPDX-License-Identifier: GPL-2.0-or-later */
/* CPUID with the features of a baseline only, and the leaves of another host held against ours. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#undef fail /* lib/fail.h has one of its own */
#include "base/util.h"
#include "worker/cpuid_baseline.h"

#define XSAVE (1u << 26)
#define AVX (1u << 28)

static const struct kvm_cpuid_entry2 host[] = {
	{.function = 0, .eax = 0x20, .ebx = 0x756e6547, .ecx = 0x6c65746e, .edx = 0x49656e69},
	{.function = 1,
	 .eax = 0x806f8,
	 .ebx = 0x800,
	 .ecx = 0x00982201 | XSAVE | AVX | 1u << 15,
	 .edx = 0x078bfbff},
	{.function = 7, .index = 0, .eax = 2, .ebx = 1u << 5 | 1u << 16 | 1u << 3, .edx = 1u << 29},
	{.function = 7, .index = 2, .edx = 1},
	{.function = 0xa, .eax = 0x08300802},
	{.function = 0xd, .index = 0, .eax = 0xe7, .ebx = 2432, .ecx = 2432},
	{.function = 0xd, .index = 1, .eax = 0xf, .ebx = 2432, .ecx = 0x1800},
	{.function = 0xd, .index = 2, .eax = 256, .ebx = 576},
	{.function = 0xd, .index = 5, .eax = 64, .ebx = 832},
	{.function = 0xd, .index = 6, .eax = 512, .ebx = 896},
	{.function = 0xd, .index = 7, .eax = 1024, .ebx = 1408},
	{.function = 0xd, .index = 11, .eax = 16, .ecx = 1},
	{.function = 0x80000000, .eax = 0x80000008},
	{.function = 0x80000001, .ecx = 1, .edx = 0x20100800},
	{.function = 0x80000008, .eax = 0x302e},
};

static struct kvm_cpuid2 *list;

static int setup(void **state)
{
	(void)state;
	list = calloc(1, sizeof(*list) + sizeof(host));
	assert_non_null(list);
	memcpy(list->entries, host, sizeof(host));
	list->nent = ARRAY_LEN(host);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	free(list);
	return 0;
}

static struct kvm_cpuid_entry2 *leaf(uint32_t function, uint32_t index)
{
	for (uint32_t i = 0; i < list->nent; i++) {
		if (list->entries[i].function == function && list->entries[i].index == index)
			return &list->entries[i];
	}
	return NULL;
}

static void a_host_is_described_by_what_a_guest_can_take_along(void **state)
{
	struct processor p;

	(void)state;
	cpuid_describe(list, &p);
	assert_string_equal(p.vendor, "GenuineIntel");
	assert_int_equal(p.phys_bits, 46);
	assert_int_equal(p.word[0], 0x00982201 | XSAVE | AVX);
	assert_int_equal(p.word[7], 0xe7);
	assert_int_equal(p.word[4], 0); /* not ARCH_CAPABILITIES */
}

static void a_guest_sees_no_feature_beyond_its_baseline(void **state)
{
	struct processor p;
	struct failure f;

	(void)state;
	cpuid_describe(list, &p);
	p.word[2] &= ~(1u << 16);
	p.word[7] &= ~0xe0u;
	p.phys_bits = 40;
	assert_int_equal(cpuid_restrict(list, &p, &f), 0);
	assert_int_equal(leaf(0, 0)->eax, 0xd);
	assert_int_equal(leaf(1, 0)->eax, 0x806f8);
	assert_int_equal(leaf(1, 0)->ecx, 0x00982201 | XSAVE | AVX);
	assert_int_equal(leaf(7, 0)->ebx, 1u << 5 | 1u << 3);
	assert_int_equal(leaf(7, 0)->edx, 0);
	assert_null(leaf(7, 2));
	assert_null(leaf(0xa, 0));
	assert_int_equal(leaf(0xd, 0)->eax, 7);
	assert_int_equal(leaf(0xd, 0)->ecx, 832);
	assert_int_equal(leaf(0xd, 1)->ecx, 0);
	assert_non_null(leaf(0xd, 2));
	assert_null(leaf(0xd, 5));
	assert_null(leaf(0xd, 11));
	assert_int_equal(leaf(0x80000008, 0)->eax, 0x3028);
}

static void without_xsave_nothing_of_it_is_left(void **state)
{
	struct processor p;
	struct failure f;

	(void)state;
	cpuid_describe(list, &p);
	p.word[0] &= ~XSAVE;
	processor_settle(&p);
	assert_int_equal(cpuid_restrict(list, &p, &f), 0);
	assert_int_equal(leaf(0xd, 0)->eax, 0);
	assert_int_equal(leaf(0xd, 0)->ecx, 0);
	assert_null(leaf(0xd, 2));
	assert_int_equal(leaf(1, 0)->ecx & AVX, 0);
}

static void a_baseline_that_the_host_lacks_is_refused_by_name(void **state)
{
	struct processor p;
	struct failure f;

	(void)state;
	cpuid_describe(list, &p);
	p.word[0] |= 1u << 12;
	assert_int_equal(cpuid_restrict(list, &p, &f), -EOPNOTSUPP);
	assert_non_null(strstr(f.text, "fma"));
}

static bool fits(struct kvm_cpuid_entry2 theirs)
{
	uint32_t lacks;
	unsigned which;

	return cpuid_fits(list, &theirs, &lacks, &which);
}

static void a_guest_of_elsewhere_fits_where_there_is_as_much(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < list->nent; i++)
		assert_true(fits(list->entries[i]));
	/* Another model, fewer features, smaller sizes. */
	assert_true(fits((struct kvm_cpuid_entry2){.function = 1, .eax = 0x306a9, .ecx = XSAVE}));
	assert_true(fits((struct kvm_cpuid_entry2){.function = 7, .eax = 1, .ebx = 1u << 3}));
	assert_true(fits((struct kvm_cpuid_entry2){.function = 0xd, .eax = 7, .ecx = 832}));
	assert_true(fits((struct kvm_cpuid_entry2){.function = 0x80000008, .eax = 0x3027}));
	assert_true(fits((struct kvm_cpuid_entry2){.function = 0xa}));
	assert_true(fits((struct kvm_cpuid_entry2){.function = 0x1234}));
}

static void a_guest_of_elsewhere_does_not_fit_where_something_is_lacking(void **state)
{
	static const struct kvm_cpuid_entry2 wrong[] = {
		{.function = 0, .ebx = 0x68747541, .ecx = 0x444d4163, .edx = 0x69746e65},
		{.function = 1, .ecx = 1u << 12},
		{.function = 7, .ebx = 1u << 30},
		{.function = 7, .index = 1, .eax = 1u << 4},
		{.function = 0xa, .eax = 0x08300803},
		{.function = 0xd, .index = 0, .eax = 0x207},
		{.function = 0xd, .index = 0, .eax = 7, .ecx = 4096},
		{.function = 0xd, .index = 2, .eax = 256, .ebx = 640}, /* at another place */
		{.function = 0x14, .eax = 1},
		{.function = 0x40000000, .eax = 0x40000005},
		{.function = 0x80000008, .eax = 0x3034},
		{.function = 0x80000008, .eax = 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		assert_false(fits(wrong[i]));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_host_is_described_by_what_a_guest_can_take_along),
		CASE(a_guest_sees_no_feature_beyond_its_baseline),
		CASE(without_xsave_nothing_of_it_is_left),
		CASE(a_baseline_that_the_host_lacks_is_refused_by_name),
		CASE(a_guest_of_elsewhere_fits_where_there_is_as_much),
		CASE(a_guest_of_elsewhere_does_not_fit_where_something_is_lacking),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("cpuid_baseline", tests, NULL, NULL);
}
