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
#include <stdio.h>
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
	assert_has(xml, "name=\"stop\" interval=\"0ms\" timeout=\"240s\"/>");
	assert_has(xml, "name=\"OCF_CHECK_LEVEL\" value=\"10\"/>");
	assert_has(xml, "<utilization id=\"vm-web-needs\">");
	assert_has(xml, "name=\"memory\" value=\"2048\"/>");
	assert_has(xml, "name=\"cpu\" value=\"4\"/></utilization>");
	assert_has(xml, "name=\"migrate_to\" interval=\"0ms\" timeout=\"3600s\" on-fail=\"block\"");
	assert_null(strstr(xml, "rsc_location"));
	assert_null(strstr(xml, "probe"));
	assert_null(strstr(xml, "window"));
	free(xml);
}

static void hosts_become_rules(void **state)
{
	char *xml = encode(
		"{\"live\": false, \"preferred\": [\"n1\", \"n2\"], \"possible\": [\"n1\", \"n3\"], "
		"\"priority\": \"high\", \"failback\": \"immediate\", "
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

static void a_window_becomes_hours_and_parts_of_hours(void **state)
{
	static const struct {
		const char *window, *specs;
	} cases[] = {
		{"22:00-23:00", "22-22,;"},
		{"22:00-05:00", "22-23,;0-4,;"},
		{"22:00-00:00", "22-23,;"},
		{"00:00-05:00", "0-4,;"},
		{"22:30-05:10", "22,30-59;23-23,;0-4,;5,0-9;"},
		{"22:10-22:50", "22,10-49;"},
		{"23:40-00:10", "23,40-59;0,0-9;"},
		{"22:40-22:10", "22,40-59;23-23,;0-21,;22,0-9;"},
	};
	unsigned from, from_minute, until, until_minute;
	char specs[RESOURCE_SPECS_MAX], *xml;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(sscanf(cases[i].window, "%2u:%2u-%2u:%2u", &from, &from_minute,
					&until, &until_minute),
				 4);
		resource_window_specs(from * 60 + from_minute, until * 60 + until_minute, specs);
		assert_string_equal(specs, cases[i].specs);
	}
	xml = encode("{\"failback\": \"22:30-05:10\"}");
	assert_has(xml, "<meta_attributes id=\"vm-web-window\" score=\"1\"><rule "
			"id=\"vm-web-window-rule\" score=\"0\" boolean-op=\"or\"><date_expression "
			"id=\"vm-web-window-0\" operation=\"date_spec\"><date_spec "
			"id=\"vm-web-window-0-at\" hours=\"22\" minutes=\"30-59\"/>");
	assert_has(xml, "name=\"resource-stickiness\" value=\"100000\"/>");
	free(xml);
}

static void a_probe_becomes_a_monitor_and_its_parameters(void **state)
{
	char *xml = encode("{\"probe\": {\"url\": \"http://10.0.0.5:80/a&b\", "
			   "\"interval\": 60, \"failures\": 5}}");

	(void)state;
	assert_has(xml, "name=\"probe\" value=\"http://10.0.0.5:80/a&#38;b\"/>");
	assert_has(xml, "name=\"probe_failures\" value=\"5\"/>");
	assert_has(xml, "<op id=\"vm-web-probe\" name=\"monitor\" interval=\"60001ms\"");
	assert_has(xml, "name=\"OCF_CHECK_LEVEL\" value=\"20\"/>");
	free(xml);
}

static void a_group_is_one_constraint_of_its_vms(void **state)
{
	struct resource_wish w;
	struct failure f;
	char *xml;

	(void)state;
	assert_int_equal(decode("{\"anti_affinity\": \"db\"}", &w, &f), 0);
	xml = resource_encode_group("web", &w);
	assert_has(xml, "<rsc_colocation id=\"apart-db\" score=\"-INFINITY\"><resource_set "
			"id=\"apart-db-vms\"><resource_ref id=\"vm-web\"/>");
	free(xml);
	assert_int_equal(decode("{\"prefer_apart\": \"db\"}", &w, &f), 0);
	xml = resource_encode_group("web", &w);
	assert_has(xml, "<rsc_colocation id=\"rather-apart-db\" score=\"-10000\">");
	free(xml);
}

static void a_change_takes_out_each_part_and_puts_in_what_is_wanted(void **state)
{
	struct resource_wish w;
	struct failure f;
	char *xml;

	(void)state;
	assert_int_equal(decode("{\"preferred\": [\"n1\"]}", &w, &f), 0);
	xml = resource_encode_change(&web, &w);
	assert_true(strncmp(xml, "<diff format=\"2\">", 17) == 0);
	assert_has(xml, "<change operation=\"delete\" path=\"/cib/configuration/constraints/"
			"rsc_location[@id='vm-web-hosts']\"/><change operation=\"create\" "
			"position=\"0\" path=\"/cib/configuration/constraints\"><rsc_location ");
	assert_has(xml, "<change operation=\"delete\" path=\"/cib/configuration/resources/"
			"primitive[@id='vm-web']/operations/op[@id='vm-web-probe']\"/>");
	assert_null(strstr(xml, "<op id=\"vm-web-probe\""));
	assert_has(xml, "primitive[@id='vm-web']/meta_attributes[@id='vm-web-window']\"/>");
	assert_has(xml, "/meta_attributes[@id='vm-web-meta']\"><nvpair "
			"id=\"vm-web-meta-priority\"");
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
		"{\"failback\": true}",
		"{\"failback\": \"yes\"}",
		"{\"failback\": \"22:00\"}",
		"{\"failback\": \"22:00-24:00\"}",
		"{\"failback\": \"22:60-23:00\"}",
		"{\"failback\": \"2:00-3:00\"}",
		"{\"failback\": \"22:00-22:29\"}",
		"{\"failback\": \"22:00-22:00\"}",
		"{\"failback\": \"22:00-23:00 \"}",
		"{\"failback\": \"22:00- 3:00\"}",
		"{\"anti_affinity\": \"a b\"}",
		"{\"anti_affinity\": \"a\", \"prefer_apart\": \"b\"}",
		"{\"prefer_apart\": \"<x>\"}",
		"{\"probe\": {}}",
		"{\"probe\": {\"url\": \"ftp://10.0.0.5:21\"}}",
		"{\"probe\": {\"url\": \"tcp://10.0.0.5:21\", \"interval\": 0}}",
		"{\"probe\": {\"url\": \"tcp://10.0.0.5:21\", \"interval\": 3601}}",
		"{\"probe\": {\"url\": \"tcp://10.0.0.5:21\", \"failures\": 0}}",
		"{\"probe\": {\"url\": \"tcp://10.0.0.5:21\", \"times\": 1}}",
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
	char *change = xml ? resource_encode_change(&web, w) : NULL;
	bool good = change != NULL;

	free(xml);
	free(change);
	return good ? 0 : -ENOMEM;
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
		cmocka_unit_test(a_window_becomes_hours_and_parts_of_hours),
		cmocka_unit_test(a_probe_becomes_a_monitor_and_its_parameters),
		cmocka_unit_test(a_group_is_one_constraint_of_its_vms),
		cmocka_unit_test(a_change_takes_out_each_part_and_puts_in_what_is_wanted),
		cmocka_unit_test(what_is_no_wish_is_refused),
		cmocka_unit_test(encoding_survives_a_failing_heap),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
