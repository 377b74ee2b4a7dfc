/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the engine is told of a VM. */
#include "host/resource.h"

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

static const struct resource web = {.name = "web",
				    .uuid = "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
				    .folder = "/shared/\"a&b\"",
				    .stop_s = 240,
				    .memory_mib = 2048,
				    .cpus = 4};

static int decode(const char *text, struct resource_wish *w, struct failure *f)
{
	json_t *body = json_loads(text, 0, NULL);
	int r = resource_decode(body, w, f);

	json_decref(body);
	return r;
}

static char *encode(const char *text)
{
	struct resource_wish w;
	struct failure f;
	char *xml;

	assert_int_equal(decode(text, &w, &f), 0);
	xml = resource_encode(&web, &w);
	assert_non_null(xml);
	return xml;
}

static void assert_has(const char *xml, const char *part)
{
	if (!strstr(xml, part))
		print_error("no %s in %s\n", part, xml);
	assert_non_null(strstr(xml, part));
}

static void a_wish_for_nothing_is_one_with_defaults(void **state)
{
	char *xml = encode("{}");

	(void)state;
	assert_has(xml, "<primitive id=\"vm-web\" class=\"ocf\" provider=\"oya\" type=\"vm\">");
	assert_has(xml, "name=\"folder\" value=\"/shared/&#34;a&#38;b&#34;\"/>");
	assert_has(xml, "name=\"allow-migrate\" value=\"true\"/>");
	assert_has(xml, "name=\"priority\" value=\"10\"/>");
	assert_has(xml, "name=\"migration-threshold\" value=\"2\"/>");
	assert_has(xml, "name=\"failure-timeout\" value=\"900\"/>");
	assert_has(xml, "name=\"resource-stickiness\" value=\"100000\"/>");
	assert_has(xml, "name=\"stop\" interval=\"0s\" timeout=\"240s\"/>");
	assert_has(xml, "name=\"OCF_CHECK_LEVEL\" value=\"10\"/>");
	assert_has(xml, "<utilization id=\"vm-web-needs\">");
	assert_has(xml, "name=\"memory\" value=\"2048\"/>");
	assert_has(xml, "name=\"cpu\" value=\"4\"/></utilization>");
	assert_null(strstr(xml, "rsc_location"));
	free(xml);
}

static void hosts_become_rules(void **state)
{
	char *xml = encode(
		"{\"live\": false, \"preferred\": [\"n1\", \"n2\"], \"possible\": [\"n1\", \"n3\"], "
		"\"priority\": \"high\", \"failback\": true, "
		"\"restart\": {\"most\": 0, \"within\": 60}}");

	(void)state;
	assert_has(xml, "<rsc_location id=\"vm-web-hosts\" rsc=\"vm-web\">");
	assert_has(xml, "<rule id=\"vm-web-preferred-0\" score=\"1000\"><expression "
			"id=\"vm-web-preferred-is-0\" attribute=\"#uname\" operation=\"eq\" "
			"value=\"n1\"/></rule>");
	assert_has(xml, "<rule id=\"vm-web-preferred-1\" score=\"999\">");
	assert_has(xml, "<rule id=\"vm-web-possible\" score=\"-INFINITY\" boolean-op=\"and\">");
	assert_has(xml, "id=\"vm-web-possible-is-1\" attribute=\"#uname\" operation=\"ne\" "
			"value=\"n3\"/></rule></rsc_location>");
	assert_has(xml, "name=\"allow-migrate\" value=\"false\"/>");
	assert_has(xml, "name=\"priority\" value=\"20\"/>");
	assert_has(xml, "name=\"resource-stickiness\" value=\"1\"/>");
	assert_has(xml, "name=\"migration-threshold\" value=\"1\"/>");
	free(xml);
}

static void a_tag_that_it_needs_keeps_it_from_hosts_without(void **state)
{
	char *xml = encode("{\"needs\": [\"ssd\", \"gpu\"]}");

	(void)state;
	assert_has(xml, "<rule id=\"vm-web-needs-0\" score=\"-INFINITY\"><expression "
			"id=\"vm-web-needs-is-0\" attribute=\"oya-tag-ssd\" operation=\"ne\" "
			"value=\"true\"/></rule>");
	assert_has(xml, "attribute=\"oya-tag-gpu\"");
	free(xml);
}

static void what_is_no_wish_is_refused(void **state)
{
	static const char *const wrong[] = {
		"{\"preferred\": [\"a b\"]}",
		"{\"preferred\": [1]}",
		"{\"preferred\": \"n1\"}",
		"{\"possible\": [\"<x>\"]}",
		("{\"possible\": [\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\","
		 "\"a\",\"a\",\"a\",\"a\",\"a\",\"a\"]}"),
		"{\"priority\": \"highest\"}",
		"{\"needs\": [\"a/b\"]}",
		"{\"restart\": {\"most\": 1001}}",
		"{\"restart\": {\"within\": 604801}}",
		"{\"restart\": {\"times\": 1}}",
		"{\"failback\": \"yes\"}",
		"{\"more\": 1}",
	};
	struct resource_wish w;
	struct failure f;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		f.text[0] = '\0';
		assert_int_equal(decode(wrong[i], &w, &f), -EINVAL);
		assert_true(f.text[0]);
	}
}

static int step(void *ctx)
{
	const struct resource_wish *w = ctx;
	char *xml = resource_encode(&web, w);

	free(xml);
	return xml ? 0 : -ENOMEM;
}

static void encoding_survives_a_failing_heap(void **state)
{
	struct resource_wish w;
	struct failure f;

	(void)state;
	assert_int_equal(decode("{\"preferred\": [\"n1\"]}", &w, &f), 0);
	/* The stream's heap is the library's own: here it is only that nothing leaks. */
	(void)failheap_sweep(step, &w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_wish_for_nothing_is_one_with_defaults),
		cmocka_unit_test(hosts_become_rules),
		cmocka_unit_test(a_tag_that_it_needs_keeps_it_from_hosts_without),
		cmocka_unit_test(what_is_no_wish_is_refused),
		cmocka_unit_test(encoding_survives_a_failing_heap),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
