/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Targets, routes and the small decoders of header values, without a connection.
 */
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
#include "host/http_check.h"
#include "host/http_target.h"

static const struct http_route routes[] = {
	{HTTP_GET, "/v1/vms", HTTP_READER, 0, NULL, NULL, NULL},
	{HTTP_POST, "/v1/vms/import", HTTP_OPERATOR, 0, NULL, NULL, NULL},
	{HTTP_GET, "/v1/vms/{name}", HTTP_READER, 0, NULL, NULL, NULL},
	{HTTP_PUT, "/v1/vms/{name}/disks/{disk}", HTTP_OPERATOR, 0, NULL, NULL, NULL},
	{HTTP_GET, "/v1/events", HTTP_READER, HTTP_STREAMS, NULL, NULL, NULL},
};

static void paths_and_queries_are_decoded(void **state)
{
	char scratch[256];
	struct http_target t;
	struct failure f;

	(void)state;
	assert_int_equal(
		http_target_decode("/v1/a%20b%C3%A4+/?x=1%2b+&y&=z&q=a=b", scratch, &t, &f), 0);
	assert_int_equal(t.segments, 3);
	assert_string_equal(t.segment[0], "v1");
	assert_string_equal(t.segment[1], "a b\xc3\xa4+");
	assert_string_equal(t.segment[2], "");
	assert_int_equal(t.queries, 4);
	assert_string_equal(t.query[0].value, "1+ ");
	assert_string_equal(t.query[1].name, "y");
	assert_string_equal(t.query[1].value, "");
	assert_string_equal(t.query[2].name, "");
	assert_string_equal(t.query[3].value, "a=b");
	assert_int_equal(http_target_decode("/", scratch, &t, &f), 0);
	assert_int_equal(t.segments, 1);
	assert_int_equal(http_target_decode("/v1/..%20", scratch, &t, &f), 0);
	assert_int_equal(http_target_decode("/v1/%2e.", scratch, &t, &f), 400);
	assert_int_equal(http_target_decode("/%4", scratch, &t, &f), 400);
	assert_string_equal(f.text, "the target holds an escape that is not %XX");
}

/* Nothing is written behind it, which a sanitizer sees. */
static void scratch_as_long_as_the_target_is_enough(void **state)
{
	static const char *const target[] = {"/",           "/?",       "/a/b/",     "/?a",
					     "/?a&b&c",     "/?a=&b=",  "/?=&b=&c&", "/a?%41&",
					     "/%41/?a=b&c", "/?a=b=c&d"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(target); i++) {
		char *scratch = malloc(strlen(target[i]) + 1);
		struct http_target t;
		struct failure f;

		assert_non_null(scratch);
		assert_int_equal(http_target_decode(target[i], scratch, &t, &f), 0);
		for (unsigned q = 0; q < t.queries; q++)
			assert_true(strlen(t.query[q].value) <= 3);
		free(scratch);
	}
}

/* As many parts and names as fit, and one more. */
static void parts_and_names_are_counted(void **state)
{
	char target[256] = "", scratch[256];
	struct http_target t;
	struct failure f;

	(void)state;
	for (unsigned i = 0; i < HTTP_SEGMENTS_MAX; i++)
		strcat(target, "/a");
	assert_int_equal(http_target_decode(target, scratch, &t, &f), 0);
	strcat(target, "/");
	assert_int_equal(http_target_decode(target, scratch, &t, &f), 400);
	strcpy(target, "/?");
	for (unsigned i = 0; i < HTTP_QUERY_MAX; i++) {
		char name[] = "a&";

		name[0] = (char)('a' + i);
		strcat(target, name);
	}
	assert_int_equal(http_target_decode(target, scratch, &t, &f), 0);
	strcat(target, "z");
	assert_int_equal(http_target_decode(target, scratch, &t, &f), 400);
}

static const struct http_route *find(const char *path, enum http_method method, unsigned *methods,
				     struct http_pair *param)
{
	static char scratch[256];
	struct http_target t;
	struct failure f;
	const struct http_route *route;

	assert_int_equal(http_target_decode(path, scratch, &t, &f), 0);
	route = http_route_find(routes, ARRAY_LEN(routes), &t, method, methods);
	if (route)
		http_route_params(route, &t, param);
	return route;
}

static void a_path_and_a_method_find_their_route(void **state)
{
	struct http_pair param[HTTP_SEGMENTS_MAX];
	unsigned methods;

	(void)state;
	assert_ptr_equal(find("/v1/vms", HTTP_GET, &methods, param), &routes[0]);
	assert_ptr_equal(find("/v1/vms", HTTP_HEAD, &methods, param), &routes[0]);
	assert_int_equal(methods, 1 << HTTP_GET | 1 << HTTP_HEAD | 1 << HTTP_OPTIONS);
	assert_null(find("/v1/vms", HTTP_POST, &methods, param));
	assert_int_not_equal(methods, 0);
	assert_ptr_equal(find("/v1/vms/import", HTTP_POST, &methods, param), &routes[1]);
	assert_ptr_equal(find("/v1/vms/import", HTTP_GET, &methods, param), &routes[2]);
	assert_ptr_equal(find("/v1/vms/web/disks/0", HTTP_PUT, &methods, param), &routes[3]);
	assert_string_equal(param[0].value, "web");
	assert_string_equal(param[1].value, "0");
	assert_null(find("/v1/events", HTTP_HEAD, &methods, param));
	assert_int_equal(methods, 1 << HTTP_GET | 1 << HTTP_OPTIONS);
}

static void paths_that_do_not_fit_find_none(void **state)
{
	static const char *const path[] = {
		"/",          "/v1",
		"/v1/",       "/v1/vms/",
		"/v1/vms/a/", "/v1/vms/a/disks",
		"/V1/vms",    "//v1/vms",
		"/v1//vms",   "/v1/vms/a/disks/",
	};
	struct http_pair param[HTTP_SEGMENTS_MAX];
	unsigned methods;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(path); i++) {
		assert_null(find(path[i], HTTP_GET, &methods, param));
		assert_int_equal(methods, 0);
	}
}

static void media_types_are_compared_without_their_charset(void **state)
{
	(void)state;
	assert_true(http_media_is("application/json", "application/json"));
	assert_true(http_media_is("Application/JSON ; charset=UTF-8", "application/json"));
	assert_true(http_media_is("application/json;charset=\"utf-8\"", "application/json"));
	assert_false(http_media_is("application/json; charset=latin1", "application/json"));
	assert_false(http_media_is("application/jsonx", "application/json"));
	assert_false(http_media_is("application/json, text/html", "application/json"));
	assert_false(http_media_is("", "application/json"));
}

static bool accepts(const char *value)
{
	struct http_field field = {"Accept", value, 6, strlen(value)};
	struct http_head head = {.field = &field, .fields = 1};

	return http_accepts(&head, "application/json");
}

static void accept_names_types_ranges_and_weights(void **state)
{
	(void)state;
	assert_true(accepts("application/json"));
	assert_true(accepts("text/html, application/json;q=0.5"));
	assert_true(accepts("*/*"));
	assert_true(accepts("application/*;q=1"));
	assert_true(accepts(",, */* ;q=0.001"));
	assert_false(accepts("application/json;q=0"));
	assert_false(accepts("application/json ; v=1; q=0.000, text/html"));
	assert_false(accepts("text/html"));
	assert_false(accepts("text/html;q=0.1,application/xml"));
	assert_false(accepts(""));
	assert_true(http_accepts(&(struct http_head){.fields = 0}, "application/json"));
}

static void etags_are_compared_strongly(void **state)
{
	(void)state;
	assert_true(http_etag_listed("\"7\"", "\"7\""));
	assert_true(http_etag_listed("\"6\", \"7\"", "\"7\""));
	assert_true(http_etag_listed("*", "\"7\""));
	assert_false(http_etag_listed("W/\"7\"", "\"7\""));
	assert_false(http_etag_listed("7", "\"7\""));
	assert_false(http_etag_listed("\"6", "\"7\""));
	assert_false(http_etag_listed("", "\"7\""));
}

static void what_is_not_utf8_becomes_question_marks(void **state)
{
	char text[] = "\xc3\xa4 \xc3 \xff \xe2\x82\xac \xf0\x9f\x98\x80 \xe2\x82";

	(void)state;
	assert_false(http_is_utf8(text));
	http_clean_utf8(text);
	assert_string_equal(text, "\xc3\xa4 ? ? \xe2\x82\xac \xf0\x9f\x98\x80 ??");
	assert_true(http_is_utf8(text));
	assert_false(http_is_utf8("\xf4\x90\x80\x80"));
	assert_false(http_is_utf8("\xe0\x80\x80"));
	assert_true(http_is_utf8(""));
}

static void codes_have_a_status(void **state)
{
	(void)state;
	assert_int_equal(http_status_of(-ENOENT), 404);
	assert_int_equal(http_status_of(-EEXIST), 409);
	assert_int_equal(http_status_of(-ENOSPC), 507);
	assert_int_equal(http_status_of(-EIO), 500);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(paths_and_queries_are_decoded),
		cmocka_unit_test(scratch_as_long_as_the_target_is_enough),
		cmocka_unit_test(parts_and_names_are_counted),
		cmocka_unit_test(a_path_and_a_method_find_their_route),
		cmocka_unit_test(paths_that_do_not_fit_find_none),
		cmocka_unit_test(media_types_are_compared_without_their_charset),
		cmocka_unit_test(accept_names_types_ranges_and_weights),
		cmocka_unit_test(etags_are_compared_strongly),
		cmocka_unit_test(what_is_not_utf8_becomes_question_marks),
		cmocka_unit_test(codes_have_a_status),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
