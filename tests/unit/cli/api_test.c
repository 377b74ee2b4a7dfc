/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Calls of the API: what is sent, what comes back, and the sentences of what fails. */
#include "cli/api.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "tests/lib/fakeapi.h"

static struct fakeapi server;

/* Calls GET /v1/x with one answer written down. */
static int get(const char *text, const char *absent, struct api_answer *answer, struct failure *f)
{
	const struct fakeapi_answer answers[] = {{"GET /v1/x ", text, false}};
	const struct api_request request = {.method = "GET", .target = "/v1/x", .absent = absent};
	struct api api;
	int r;

	fakeapi_start(&server, answers, 1);
	api = (struct api){.socket = server.path};
	r = api_call(&api, &request, answer, f);
	assert_true(fakeapi_stop(&server));
	return r;
}

static void refused(const char *text, const char *sentence)
{
	struct api_answer answer;
	struct failure f;

	assert_true(get(text, "look elsewhere", &answer, &f) < 0);
	assert_string_equal(f.text, sentence);
}

static void an_answer_is_json_or_nothing(void **state)
{
	struct api_answer answer;
	struct failure f;

	(void)state;
	assert_int_equal(get(FAKEAPI_JSON("200 OK", "{\"a\": 1}"), NULL, &answer, &f), 0);
	assert_int_equal(answer.status, 200);
	assert_int_equal(json_integer_value(json_object_get(answer.body, "a")), 1);
	json_decref(answer.body);
	assert_int_equal(get("HTTP/1.0 204 No Content\r\n\r\n", NULL, &answer, &f), 0);
	assert_int_equal(answer.status, 204);
	assert_null(answer.body);
	assert_string_equal(server.seen[0], "GET /v1/x HTTP/1.0\r\nHost: localhost\r\nAccept: "
					    "application/json, application/problem+json\r\n\r\n");
}

static void a_body_is_sent_with_its_type_and_version(void **state)
{
	const struct fakeapi_answer answers[] = {
		{"PATCH /v1/x ", FAKEAPI_JSON("200 OK", "{}"), false}};
	json_t *body = json_pack("{s:i}", "cpus", 2);
	const struct api_request request = {.method = "PATCH",
					    .target = "/v1/x",
					    .body = body,
					    .patch = true,
					    .if_match = "\"3\""};
	struct api_answer answer;
	struct failure f;
	struct api api;

	(void)state;
	fakeapi_start(&server, answers, 1);
	api = (struct api){.socket = server.path};
	assert_int_equal(api_call(&api, &request, &answer, &f), 0);
	assert_true(fakeapi_stop(&server));
	json_decref(answer.body);
	json_decref(body);
	assert_non_null(strstr(server.seen[0], "\r\nIf-Match: \"3\"\r\n"));
	assert_non_null(
		strstr(server.seen[0], "\r\nContent-Type: application/merge-patch+json\r\n"));
	assert_non_null(strstr(server.seen[0], "\r\n\r\n{\n  \"cpus\": 2\n}"));
}

static void a_problem_becomes_a_sentence(void **state)
{
	(void)state;
	refused(FAKEAPI_PROBLEM("409 Conflict", "it is running"), "it is running");
	refused(FAKEAPI_PROBLEM("404 Not Found", "there is no VM 'x'"),
		"there is no VM 'x'; look elsewhere");
	refused("HTTP/1.0 500 Oh\r\nContent-Type: application/problem+json; charset=utf-8\r\n\r\n"
		"{\"title\": \"Internal Server Error\"}",
		"Internal Server Error");
	refused("HTTP/1.0 502 Oh\r\nContent-Type: text/html\r\n\r\n<html>",
		"the host service refuses with status 502 and says no more");
	refused("HTTP/1.0 500 Oh\r\nContent-Type: application/problem+json\r\n\r\n{\"title",
		"the host service refuses with status 500 and says no more");
}

static void what_is_no_answer_is_told(void **state)
{
	static const char short_of[] =
		"the host service has ended the connection without a whole answer; "
		"'journalctl -u oyad' tells why";
	struct api_answer answer;
	struct failure f;

	(void)state;
	refused("", short_of);
	refused("HTTP/1.0 200 O", short_of);
	refused("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n{}", short_of);
	assert_int_equal(get("220 mail\r\n\r\n", NULL, &answer, &f), -EBADMSG);
	assert_non_null(strstr(f.text, "does not speak the API of oyad"));
	assert_int_equal(get(FAKEAPI_JSON("200 OK", "{]"), NULL, &answer, &f), -EBADMSG);
}

static void nobody_who_listens_is_told_with_the_remedy(void **state)
{
	const struct api_request request = {.method = "GET", .target = "/v1/x"};
	struct api api = {.socket = "/nowhere/api"};
	struct api_answer answer;
	struct failure f;

	(void)state;
	assert_int_equal(api_call(&api, &request, &answer, &f), -ENOENT);
	assert_string_equal(f.text, "the host service oyad does not run: nobody listens on "
				    "/nowhere/api; 'systemctl start oyad' starts it, --socket "
				    "names another socket");
}

static void a_dry_run_tells_the_call_and_makes_none(void **state)
{
	json_t *body = json_pack("{s:s}", "name", "web");
	const struct api_request request = {.method = "POST", .target = "/v1/vms", .body = body};
	struct api api = {.socket = "/nowhere/api", .dry = true};
	struct api_answer answer;
	struct failure f;
	char *text;
	size_t len;

	(void)state;
	api.told = open_memstream(&text, &len);
	assert_int_equal(api_call(&api, &request, &answer, &f), 0);
	fclose(api.told);
	assert_int_equal(answer.status, 0);
	assert_string_equal(text, "POST /v1/vms\nContent-Type: application/json\n\n"
				  "{\n  \"name\": \"web\"\n}\n\n");
	free(text);
	json_decref(body);
}

/* ---- events ---- */

static void events_come_one_by_one_however_they_are_cut(void **state)
{
	static const char text[] = ":\n\nid: 5\nevent: vm\ndata: {\"a\":1}\n\n:\n\n"
				   "event: nothing\n\nid:6\ndata:x\n\n";
	struct api_event event;

	(void)state;
	for (size_t cut = 0; cut < sizeof(text); cut++) {
		struct api_events e = {.text = strdup(text), .len = cut};
		unsigned got = 0;

		for (int pass = 0; pass < 2; pass++) {
			while (api_take_event(&e, &event)) {
				assert_string_equal(event.id, got ? "6" : "5");
				assert_string_equal(event.type, got ? "message" : "vm");
				assert_string_equal(event.data, got ? "x" : "{\"a\":1}");
				got++;
			}
			e.len = sizeof(text) - 1;
		}
		assert_int_equal(got, 2);
		free(e.text);
	}
}

static void a_stream_tells_its_end(void **state)
{
	const struct fakeapi_answer answers[] = {
		{"GET /v1/events ", FAKEAPI_EVENTS("id: 8\nevent: vm\ndata: {}\n\nid: 9\n"),
		 false}};
	struct api_events events;
	struct api_event event;
	struct failure f;
	struct api api;

	(void)state;
	fakeapi_start(&server, answers, 1);
	api = (struct api){.socket = server.path};
	assert_int_equal(api_listen(&api, "7", &events, &f), 0);
	assert_int_equal(api_next_event(&events, -1, &event, &f), 1);
	assert_string_equal(event.id, "8");
	assert_int_equal(api_next_event(&events, -1, &event, &f), -ECONNRESET);
	assert_non_null(strstr(f.text, "has ended its stream of events"));
	api_events_done(&events);
	assert_true(fakeapi_stop(&server));
	assert_non_null(strstr(server.seen[0], "\r\nLast-Event-ID: 7\r\n"));
}

static void an_upgrade_leaves_what_came_with_it(void **state)
{
	const struct fakeapi_answer answers[] = {
		{"GET /v1/x ",
		 "HTTP/1.1 101 Switching Protocols\r\nUpgrade: oya-console\r\n\r\nlogin: ", true},
		{"GET /v1/x ", FAKEAPI_PROBLEM("409 Conflict", "it is off"), false},
	};
	struct wire wire;
	struct failure f;
	struct api api;

	(void)state;
	fakeapi_start(&server, answers, ARRAY_LEN(answers));
	api = (struct api){.socket = server.path};
	assert_int_equal(api_upgrade(&api, "/v1/x", "oya-console", &wire, &f), 0);
	assert_memory_equal(wire.bytes + wire.at, "login: ", wire.len - wire.at);
	wire_close(&wire);
	assert_true(api_upgrade(&api, "/v1/x", "oya-console", &wire, &f) < 0);
	assert_string_equal(f.text, "it is off");
	assert_true(fakeapi_stop(&server));
	assert_string_equal(server.seen[0], "GET /v1/x HTTP/1.1\r\nHost: localhost\r\nConnection: "
					    "Upgrade\r\nUpgrade: oya-console\r\n\r\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_answer_is_json_or_nothing),
		cmocka_unit_test(a_body_is_sent_with_its_type_and_version),
		cmocka_unit_test(a_problem_becomes_a_sentence),
		cmocka_unit_test(what_is_no_answer_is_told),
		cmocka_unit_test(nobody_who_listens_is_told_with_the_remedy),
		cmocka_unit_test(a_dry_run_tells_the_call_and_makes_none),
		cmocka_unit_test(events_come_one_by_one_however_they_are_cut),
		cmocka_unit_test(a_stream_tells_its_end),
		cmocka_unit_test(an_upgrade_leaves_what_came_with_it),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
