/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The topology leaves, read as guests read them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "worker/cpuid.h"

/* What a kernel tells of an Intel and an AMD host at once; the newer way for leaf 0xB. */
static const struct kvm_cpuid_entry2 host[] = {
	{.function = 0, .eax = 0x1f},
	{.function = 1, .ebx = 0x11ff0800, .edx = 1u << 28},
	{.function = 4, .index = 0, .eax = 0xfc004121}, /* L1, of 8 */
	{.function = 4, .index = 3, .eax = 0xfc1fc163}, /* L3 */
	{.function = 4, .index = 4, .eax = 0},
	{.function = 0xb, .index = 0},
	{.function = 0x1f, .index = 0, .eax = 5, .ebx = 9},
	{.function = 0x40000000, .eax = 0x40000001},
	{.function = 0x40000001, .eax = 0xff},
	{.function = 0x80000008, .eax = 0x3030, .ecx = 0x300f5},
	{.function = 0x8000001d, .index = 0, .eax = 0x4121},
	{.function = 0x8000001d, .index = 3, .eax = 0x1c163},
	{.function = 0x8000001e, .eax = 99, .ebx = 0x1ff, .ecx = 0x3ff},
	{.function = 0x80000026, .eax = 3},
};

static struct kvm_cpuid2 *list;

static int setup(void **state)
{
	(void)state;
	list = calloc(1, sizeof(*list) + sizeof(host) +
				 2 * CPUID_TOPOLOGY_ENTRIES * sizeof(struct kvm_cpuid_entry2));
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

static const struct kvm_cpuid_entry2 *leaf(uint32_t function, uint32_t index)
{
	for (uint32_t i = 0; i < list->nent; i++) {
		if (list->entries[i].function == function && list->entries[i].index == index)
			return &list->entries[i];
	}
	return NULL;
}

static void set(unsigned index, unsigned cpus, unsigned threads, unsigned span)
{
	struct cpu_topology t = {.cpus = cpus, .threads = threads, .cache_span = span};

	cpuid_set_topology(list, index, &t);
}

static void sixteen_processors_are_cores_of_one_socket(void **state)
{
	(void)state;
	set(5, 16, 1, 0);
	assert_int_equal(leaf(1, 0)->ebx, 0x05100800);
	assert_true(leaf(1, 0)->ecx >> 31);
	assert_int_equal(leaf(4, 0)->eax, 0x3c000121);
	assert_int_equal(leaf(4, 3)->eax, 0x3c03c163);
	assert_int_equal(leaf(4, 4)->eax, 0);
	assert_int_equal(leaf(0xb, 0)->eax, 0);
	assert_int_equal(leaf(0xb, 0)->ebx, 1);
	assert_int_equal(leaf(0xb, 0)->ecx, 0x100);
	assert_int_equal(leaf(0xb, 0)->edx, 5);
	assert_int_equal(leaf(0xb, 1)->eax, 4);
	assert_int_equal(leaf(0xb, 1)->ebx, 16);
	assert_int_equal(leaf(0xb, 1)->ecx, 0x201);
	assert_int_equal(leaf(0xb, 2)->ecx, 2);
	assert_int_equal(leaf(0x80000008, 0)->ecx, 0x3400f);
	assert_int_equal(leaf(0x8000001d, 0)->eax, 0x121);
	assert_int_equal(leaf(0x8000001d, 3)->eax, 0x3c163);
	assert_int_equal(leaf(0x8000001e, 0)->eax, 5);
	assert_int_equal(leaf(0x8000001e, 0)->ebx, 5);
	assert_int_equal(leaf(0x8000001e, 0)->ecx, 0);
}

static void threads_share_a_core_and_its_caches(void **state)
{
	(void)state;
	set(5, 6, 2, 0);
	assert_int_equal(leaf(4, 0)->eax, 0x0c004121);
	assert_int_equal(leaf(4, 3)->eax, 0x0c01c163);
	assert_int_equal(leaf(0xb, 0)->eax, 1);
	assert_int_equal(leaf(0xb, 0)->ebx, 2);
	assert_int_equal(leaf(0xb, 1)->eax, 3);
	assert_int_equal(leaf(0xb, 1)->ebx, 6);
	assert_int_equal(leaf(0x8000001e, 0)->ebx, 0x102);
	assert_int_equal(leaf(0x8000001d, 0)->eax, 0x4121);
}

static void threads_of_an_amd_processor_show_where_the_host_lacks_the_leaf(void **state)
{
	(void)state;
	list->entries[0].ecx = 0x444d4163;
	list->entries[list->nent - 1] = (struct kvm_cpuid_entry2){.function = 0x80000001};
	list->entries[list->nent - 2] =
		(struct kvm_cpuid_entry2){.function = 0x80000000, .eax = 0x80000008};
	set(3, 4, 2, 0);
	assert_int_equal(leaf(0x80000000, 0)->eax, 0x8000001e);
	assert_int_equal(leaf(0x80000001, 0)->ecx, 1 << 22);
	assert_int_equal(leaf(0x8000001e, 0)->eax, 3);
	assert_int_equal(leaf(0x8000001e, 0)->ebx, 0x101);
}

static void the_feature_of_threads_is_set_where_the_host_lists_the_leaf_alone(void **state)
{
	(void)state;
	list->entries[0].ecx = 0x444d4163;
	list->entries[list->nent - 1] = (struct kvm_cpuid_entry2){.function = 0x80000001};
	set(3, 4, 1, 0);
	assert_int_equal(leaf(0x80000001, 0)->ecx, 0);
	set(3, 4, 2, 0);
	assert_int_equal(leaf(0x80000001, 0)->ecx, 1 << 22);
	assert_int_equal(leaf(0x8000001e, 0)->ebx, 0x101);
}

static void the_last_cache_ends_where_a_node_does(void **state)
{
	(void)state;
	set(0, 16, 1, 4);
	assert_int_equal(leaf(4, 3)->eax, 0x3c00c163);
	assert_int_equal(leaf(0x8000001d, 3)->eax, 0xc163);
}

static void a_single_processor_is_alone(void **state)
{
	(void)state;
	set(0, 1, 1, 0);
	assert_int_equal(leaf(1, 0)->ebx, 0x00010800);
	assert_int_equal(leaf(1, 0)->edx, 0);
	assert_int_equal(leaf(0xb, 1)->eax, 0);
	assert_int_equal(leaf(0xb, 1)->ebx, 1);
	assert_int_equal(leaf(4, 3)->eax, 0x163);
}

static void sixty_four_processors_fit(void **state)
{
	(void)state;
	set(63, 64, 1, 0);
	assert_int_equal(leaf(1, 0)->ebx, 0x3f400800);
	assert_int_equal(leaf(4, 0)->eax, 0xfc000121);
	assert_int_equal(leaf(0xb, 1)->eax, 6);
	assert_int_equal(leaf(0xb, 1)->ebx, 64);
	assert_int_equal(leaf(0x80000008, 0)->ecx, 0x3603f);
}

static void foreign_hypervisors_and_topologies_go(void **state)
{
	(void)state;
	set(0, 2, 1, 0);
	assert_null(leaf(0x40000000, 0));
	assert_null(leaf(0x40000001, 0));
	assert_null(leaf(0x1f, 0));
	assert_null(leaf(0x80000026, 0));
	assert_int_equal(list->nent, ARRAY_LEN(host) - 5 + 3);
}

static void an_old_processor_gets_no_leaf_beyond_its_last(void **state)
{
	(void)state;
	list->entries[0].eax = 5;
	set(0, 2, 1, 0);
	assert_null(leaf(0xb, 0));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(sixteen_processors_are_cores_of_one_socket),
		CASE(threads_share_a_core_and_its_caches),
		CASE(threads_of_an_amd_processor_show_where_the_host_lacks_the_leaf),
		CASE(the_feature_of_threads_is_set_where_the_host_lists_the_leaf_alone),
		CASE(the_last_cache_ends_where_a_node_does),
		CASE(a_single_processor_is_alone),
		CASE(sixty_four_processors_fit),
		CASE(foreign_hypervisors_and_topologies_go),
		CASE(an_old_processor_gets_no_leaf_beyond_its_last),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
