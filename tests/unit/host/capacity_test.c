/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the cluster is told of a host and its VMs: what differs, and no more. */
#include "host/capacity.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#undef fail /* lib/fail.h has one of its own */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "tests/lib/failheap.h"

static struct scene scene;
static const struct scene_vm web = {.name = "web", .memory_mib = 512, .cpus = 2};

static struct scene_host host(uint64_t memory_mib, const char *tag)
{
	struct scene_host h = {
		.name = "n1", .id = 7, .told = true, .memory_mib = memory_mib, .cpus = 16};

	if (tag)
		snprintf(h.tag[h.tags++], sizeof(h.tag[0]), "%s", tag);
	return h;
}

/* As the engine has it: n1 with the tag ssd, and web. */
static int setup(void **state)
{
	(void)state;
	memset(&scene, 0, sizeof(scene));
	scene.host[scene.hosts++] = host(4096, "ssd");
	scene.vm[scene.vms++] = web;
	return 0;
}

static void assert_written(const struct scene_host *h, const struct scene_vm *vm, const char *part)
{
	char *text = capacity_encode(&scene, h, vm, vm ? 1 : 0);

	assert_non_null(text);
	if (!part)
		assert_string_equal(text, "");
	else if (!strstr(text, part))
		print_error("no %s in %s\n", part, text);
	assert_true(!part || strstr(text, part));
	free(text);
}

static void what_the_engine_knows_is_not_written_again(void **state)
{
	struct scene_host h = host(4096, "ssd");
	struct scene_vm other = {.name = "other", .memory_mib = 1};

	(void)state;
	assert_written(&h, &web, NULL);
	assert_written(&h, &other, NULL); /* it is not the engine's yet */
	snprintf(h.name, sizeof(h.name), "n2");
	assert_written(&h, NULL, NULL); /* it has no such host yet */
}

static void what_differs_is_written(void **state)
{
	struct scene_host h = host(2048, "ssd");
	struct scene_vm grown = web;

	(void)state;
	assert_written(&h, &web,
		       "<nodes><node id=\"7\" uname=\"n1\"><utilization id=\"oya-7-has\"><nvpair "
		       "id=\"oya-7-memory\" name=\"memory\" value=\"2048\"/>");
	h = host(4096, "gpu");
	assert_written(&h, &web, "name=\"oya-tag-gpu\" value=\"true\"/>");
	assert_written(&h, &web, "name=\"oya-tag-ssd\" value=\"false\"/>");
	h = host(4096, "ssd");
	grown.memory_mib = 1024;
	assert_written(&h, &grown,
		       "<configuration><resources><primitive id=\"vm-web\"><utilization "
		       "id=\"vm-web-needs\"><nvpair id=\"vm-web-needs-memory\" name=\"memory\" "
		       "value=\"1024\"/>");
	scene.host[0].told = false;
	assert_written(&h, &web, "<nodes>");
}

static void options_are_checked(void **state)
{
	static const char *const wrong[] = {"", "0", "-5", "5x", "5 ", "1099511627777"};
	struct capacity c = {.memory_mib = 0};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		assert_false(capacity_take_memory(&c, wrong[i]));
	assert_true(capacity_take_memory(&c, "4096") && c.memory_mib == 4096);
	assert_false(capacity_add_tag(&c, "a b") || capacity_add_tag(&c, ""));
	for (unsigned i = 0; i < SCENE_TAGS_MAX; i++)
		assert_true(capacity_add_tag(&c, "ssd"));
	assert_false(capacity_add_tag(&c, "ssd"));
	assert_int_equal(capacity_default_mib(65536), 65536 - 4096 - 512);
	assert_int_equal(capacity_default_mib(65537), 65536 - 4096 - 512);
	assert_int_equal(capacity_default_mib(1024), 512);
}

static int encode(void *ctx)
{
	struct scene_host h = host(1, NULL);
	char *text = capacity_encode(&scene, &h, &web, 1);

	(void)ctx;
	free(text);
	return text ? 0 : -ENOMEM;
}

static void encoding_survives_a_failing_heap(void **state)
{
	(void)state;
	(void)failheap_sweep(encode, NULL); /* the stream's memory is the C library's */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(what_the_engine_knows_is_not_written_again, setup),
		cmocka_unit_test_setup(what_differs_is_written, setup),
		cmocka_unit_test(options_are_checked),
		cmocka_unit_test_setup(encoding_survives_a_failing_heap, setup),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
