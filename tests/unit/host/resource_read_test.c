/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the engine's configuration says of a VM, as it was told and as others have changed it. */
#include "host/resource_read.h"

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

static struct resource_found read_all(const char *text)
{
	struct resource_found found;
	struct failure f;

	assert_int_equal(resource_read(text, strlen(text), "web", &found, &f), 0);
	return found;
}

/* What cibadmin finds after resource_encode(): the children of sections, side by side. */
static char *as_found(const struct resource_wish *w)
{
	static const struct resource web = {
		.name = "web", .uuid = "u", .folder = "/shared/web", .stop_s = 60};
	static const char *const sections[] = {
		"<cib>",       "</cib>",       "<configuration>", "</configuration>",
		"<resources>", "</resources>", "<constraints>",   "</constraints>"};
	char *xml = resource_encode(&web, w),
	     *group = w->apart[0] ? resource_encode_group("web", w) : NULL;
	size_t room = strlen(xml) + (group ? strlen(group) : 0) + 64;
	char *all = calloc(1, room);

	snprintf(all, room, "<xpath-query>%s%s</xpath-query>", xml, group ? group : "");
	for (size_t i = 0; i < ARRAY_LEN(sections); i++) {
		for (char *at; (at = strstr(all, sections[i]));)
			memmove(at, at + strlen(sections[i]), strlen(at + strlen(sections[i])) + 1);
	}
	free(xml);
	free(group);
	return all;
}

static struct resource_found read_back(const char *wish)
{
	json_t *body = json_loads(wish, 0, NULL);
	struct resource_found found;
	struct resource_wish w;
	struct failure f;
	char *all;

	assert_int_equal(resource_decode(body, &w, &f), 0);
	json_decref(body);
	all = as_found(&w);
	found = read_all(all);
	free(all);
	return found;
}

static void assert_shown(const struct resource_found *found, const char *wanted)
{
	json_t *object = json_loads(wanted, 0, NULL);
	char *text = json_dumps(found->shown, JSON_COMPACT);

	assert_non_null(object);
	if (!json_equal(found->shown, object))
		print_error("shown is %s\n", text);
	assert_true(json_equal(found->shown, object));
	json_decref(object);
	free(text);
}

static void a_wish_is_shown_as_it_was_told(void **state)
{
	struct resource_found found = read_back("{}");

	(void)state;
	assert_true(found.known && found.ours);
	assert_shown(&found, "{\"preferred\": [], \"possible\": [], \"priority\": \"normal\", "
			     "\"failback\": \"off\", \"restart\": {\"most\": 1, \"within\": 900}, "
			     "\"live\": true, \"others\": []}");
	resource_found_done(&found);
	found = read_back("{\"preferred\": [\"n2\", \"n1\"], \"possible\": [\"n1\", \"n2\"], "
			  "\"priority\": \"high\", \"failback\": \"22:30-05:10\", \"live\": false, "
			  "\"restart\": {\"most\": 3, \"within\": 60}, \"anti_affinity\": \"db\", "
			  "\"probe\": {\"url\": \"http://10.0.0.5:80/a?b&c\", \"interval\": 60}}");
	assert_shown(&found,
		     "{\"preferred\": [\"n2\", \"n1\"], \"possible\": [\"n1\", \"n2\"], "
		     "\"priority\": \"high\", \"failback\": \"22:30-05:10\", \"live\": false, "
		     "\"restart\": {\"most\": 3, \"within\": 60}, \"anti_affinity\": \"db\", "
		     "\"apart_from\": [], \"others\": [], \"probe\": {\"url\": "
		     "\"http://10.0.0.5:80/a?b&c\", \"interval\": 60, \"failures\": 3}}");
	resource_found_done(&found);
	found = read_back("{\"failback\": \"immediate\", \"prefer_apart\": \"db\"}");
	assert_string_equal(json_string_value(json_object_get(found.shown, "failback")),
			    "immediate");
	assert_string_equal(json_string_value(json_object_get(found.shown, "prefer_apart")), "db");
	resource_found_done(&found);
}

static void every_window_is_read_back(void **state)
{
	char wish[64], text[RESOURCE_WINDOW_TEXT];

	(void)state;
	for (unsigned from = 0; from < 1440; from += 37) {
		for (unsigned length = RESOURCE_WINDOW_MIN; length < 1440; length += 41) {
			struct resource_found found;

			resource_window_text(from, (from + length) % 1440, text);
			snprintf(wish, sizeof(wish), "{\"failback\": \"%s\"}", text);
			found = read_back(wish);
			assert_string_equal(
				json_string_value(json_object_get(found.shown, "failback")), text);
			resource_found_done(&found);
		}
	}
}

#define PAIR(name, value) "<nvpair id=\"x\" name=\"" name "\" value=\"" value "\"/>"

static void what_others_have_set_is_told_and_not_lost(void **state)
{
	static const char *const wanted[] = {
		"priority is 15",
		"target-role is Stopped",
		"failure-timeout is 15min",
		"the probe's interval is 30s",
		"cli-prefer-vm-web: INFINITY on n2",
		"far: by rules of its own",
		"vm-web-hosts has a rule that is none of Oya's",
		"near: 50 with vm-db",
		"near2: 60 with vm-db",
		"vm-web-window has a rule that is none of Oya's",
	};
	struct resource_found found = read_all(
		"<xpath-query><crm_config/><primitive id=\"vm-web\"><meta_attributes "
		"id=\"vm-web-meta\">" PAIR("priority", "15") PAIR("target-role", "Stopped") PAIR(
			"failure-timeout",
			"15min") "</meta_attributes><meta_attributes id=\"vm-web-window\"><rule><date_expression>"
				 "<date_spec id=\"x\" hours=\"22\" minutes=\"1-59\"/><date_spec id=\"y\" hours=\"3\" "
				 "weekdays=\"1\"/></date_expression></rule></meta_attributes><operations><op "
				 "id=\"vm-web-probe\" interval=\"30s\"/></operations></primitive>"
				 "<rsc_location id=\"cli-prefer-vm-web\" node=\"n2\" score=\"INFINITY\"/>"
				 "<rsc_location id=\"far\"><rule score=\"1\"><expression/></rule></rsc_location>"
				 "<rsc_location id=\"vm-web-hosts\"><rule score=\"5\"><expression "
				 "attribute=\"#uname\" operation=\"eq\" value=\"n3\"/><expression "
				 "attribute=\"rack\" operation=\"eq\" value=\"7\"/></rule></rsc_location>"
				 "<rsc_colocation id=\"near\" score=\"50\" rsc=\"vm-web\" with-rsc=\"vm-db\"/>"
				 "<rsc_colocation id=\"near2\" score=\"60\" rsc=\"vm-db\" with-rsc=\"vm-web\"/>"
				 "<rsc_colocation id=\"apart-g\"><resource_set><resource_ref id=\"vm-a\"/>"
				 "<resource_ref id=\"vm-web\"/></resource_set></rsc_colocation>"
				 "<rsc_colocation id=\"apart-h\"><resource_set><resource_ref id=\"vm-b\"/>"
				 "</resource_set></rsc_colocation></xpath-query>");
	json_t *others = json_object_get(found.shown, "others");

	(void)state;
	assert_int_equal(json_array_size(others), ARRAY_LEN(wanted));
	for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
		bool told = false;

		for (size_t n = 0; n < json_array_size(others); n++)
			told |= strcmp(json_string_value(json_array_get(others, n)), wanted[i]) ==
				0;
		if (!told)
			print_error("it is not told: %s\n", wanted[i]);
		assert_true(told);
	}
	assert_null(json_object_get(found.shown, "failback"));
	assert_string_equal(json_string_value(json_object_get(found.shown, "anti_affinity")), "g");
	assert_int_equal(json_array_size(json_object_get(found.shown, "apart_from")), 1);
	assert_int_equal(json_array_size(json_object_get(found.groups, "apart-h")), 1);
	resource_found_done(&found);
}

static void a_vm_that_it_does_not_have_is_not_known(void **state)
{
	struct resource_found found = read_all("<crm_config/>");

	(void)state;
	assert_false(found.known || found.ours);
	resource_found_done(&found);
	found = read_all("<xpath-query><primitive id=\"vm-web2\"/></xpath-query>");
	assert_false(found.known);
	resource_found_done(&found);
	/* One that somebody else has made has its parts elsewhere. */
	found = read_all("<xpath-query><primitive id=\"vm-web\"><meta_attributes "
			 "id=\"vm-web-meta_attributes\"/></primitive></xpath-query>");
	assert_true(found.known && !found.ours);
	resource_found_done(&found);
}

static void what_is_no_configuration_is_refused(void **state)
{
	static const char *const wrong[] = {"", "<a>", "<!DOCTYPE a><a/>", "{}"};
	struct resource_found found;
	struct failure f;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		assert_int_equal(resource_read(wrong[i], strlen(wrong[i]), "web", &found, &f),
				 -EINVAL);
}

static int step(void *ctx)
{
	struct resource_found found;
	const char *all = ctx;
	struct failure f;
	int r = resource_read(all, strlen(all), "web", &found, &f);

	if (r == 0)
		resource_found_done(&found);
	return r;
}

static void reading_survives_a_failing_heap(void **state)
{
	struct resource_wish w = {.apart = "db", .probe = "tcp://10.0.0.5:80"};
	char *all = as_found(&w);

	(void)state;
	assert_true(failheap_sweep(step, all) > 0);
	free(all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_wish_is_shown_as_it_was_told),
		cmocka_unit_test(every_window_is_read_back),
		cmocka_unit_test(what_others_have_set_is_told_and_not_lost),
		cmocka_unit_test(a_vm_that_it_does_not_have_is_not_known),
		cmocka_unit_test(what_is_no_configuration_is_refused),
		cmocka_unit_test(reading_survives_a_failing_heap),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
