/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Routes, roles, bodies and replies, by raw bytes on a connection.
 */
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
#include <unistd.h>

#include "base/util.h"
#include "tests/lib/failheap.h"
#include "tests/lib/httphost.h"

#define HOST "Host: x\r\n"
#define JSON "Content-Type: application/json\r\n"

static int set_up(void **state)
{
	*state = httphost_new(NULL);
	return 0;
}

static int tear_down(void **state)
{
	httphost_free(*state);
	return 0;
}

/* Sends the lines and an empty one; what comes has to begin with the status. */
static const char *ask(struct httphost *s, const char *head, unsigned status)
{
	char bytes[8192], line[32];
	int len = snprintf(bytes, sizeof(bytes), "%s\r\n", head);

	snprintf(line, sizeof(line), "HTTP/1.1 %u ", status);
	httphost_talk(s, bytes, (size_t)len, NULL);
	if (strncmp(s->text, line, strlen(line)) != 0)
		print_error("%swas answered by: %s\n", head, s->text);
	assert_memory_equal(s->text, line, strlen(line));
	return s->text;
}

static const char *post(struct httphost *s, const char *lines, const char *body, unsigned status)
{
	char head[4096];

	/* The empty line comes from here, as the body follows it. */
	snprintf(head, sizeof(head),
		 "POST /v1/things HTTP/1.1\r\n" HOST "%sContent-Length: %zu\r\n\r\n%s", lines,
		 strlen(body), body);
	return ask(s, head, status);
}

static void assert_holds(const char *text, const char *part)
{
	if (!strstr(text, part))
		print_error("'%s' is missing in: %s\n", part, text);
	assert_non_null(strstr(text, part));
}

static void a_reply_has_its_body_type_and_etag(void **state)
{
	const char *text = ask(*state, "GET /v1/things?limit=5&after=a%26b HTTP/1.1\r\n" HOST, 200);

	assert_holds(text, "\r\nContent-Type: application/json\r\n");
	assert_holds(text, "\r\nETag: \"7\"\r\n");
	assert_holds(text, "\r\nCache-Control: no-cache\r\n");
	assert_holds(text, "\r\n\r\n{\"limit\":\"5\",\"after\":\"a&b\"}");
}

static void an_etag_that_the_client_has_is_answered_by_304(void **state)
{
	const char *text = ask(
		*state, "GET /v1/things HTTP/1.1\r\n" HOST "If-None-Match: \"6\", \"7\"\r\n", 304);

	assert_holds(text, "\r\nETag: \"7\"\r\n");
	assert_string_equal(strstr(text, "\r\n\r\n"), "\r\n\r\n");
	ask(*state, "GET /v1/things HTTP/1.1\r\n" HOST "If-None-Match: \"6\"\r\n", 200);
}

static void head_is_get_without_the_body(void **state)
{
	const char *text = ask(*state, "HEAD /v1/things HTTP/1.1\r\n" HOST, 200);

	assert_holds(text, "\r\nContent-Length: 31\r\n");
	assert_string_equal(strstr(text, "\r\n\r\n"), "\r\n\r\n");
	assert_int_equal(((struct httphost *)*state)->calls, 1);
}

static void options_tells_the_methods_of_a_path(void **state)
{
	assert_holds(ask(*state, "OPTIONS /v1/things HTTP/1.1\r\n" HOST, 204),
		     "\r\nAllow: GET, HEAD, POST, OPTIONS\r\n");
	assert_holds(ask(*state, "OPTIONS /v1/events HTTP/1.1\r\n" HOST, 204),
		     "\r\nAllow: GET, OPTIONS\r\n");
	ask(*state, "OPTIONS /nothing HTTP/1.1\r\n" HOST, 404);
	assert_int_equal(((struct httphost *)*state)->calls, 0);
}

static void a_problem_tells_status_and_sentence(void **state)
{
	const char *text = ask(*state, "GET /nothing HTTP/1.1\r\n" HOST, 404);

	assert_holds(text, "\r\nContent-Type: application/problem+json\r\n");
	assert_holds(text, "{\"type\":\"about:blank\",\"title\":\"Not Found\",\"status\":404,"
			   "\"detail\":\"there is no such path\"}");
	assert_holds(ask(*state, "GET /v1/things/absent HTTP/1.1\r\n" HOST, 404),
		     "\"detail\":\"there is no thing 'absent'\"");
}

static void another_method_is_told_which_there_are(void **state)
{
	assert_holds(ask(*state, "PUT /v1/things/a HTTP/1.1\r\n" HOST, 405),
		     "\r\nAllow: GET, HEAD, PATCH, DELETE, OPTIONS\r\n");
	ask(*state, "BREW /v1/things HTTP/1.1\r\n" HOST, 405);
	ask(*state, "get /v1/things HTTP/1.1\r\n" HOST, 405);
	ask(*state, "HEAD /v1/events HTTP/1.1\r\n" HOST, 405);
	ask(*state, "TRACE /v1/things HTTP/1.1\r\n" HOST, 405);
	ask(*state, "CONNECT /v1/things HTTP/1.1\r\n" HOST, 405);
}

static void parameters_of_the_path_are_decoded(void **state)
{
	assert_holds(ask(*state, "GET /v1/things/a%20b%c3%a4 HTTP/1.1\r\n" HOST, 200),
		     "{\"name\":\"a b\xc3\xa4\"}");
	ask(*state, "GET /v1/things/ HTTP/1.1\r\n" HOST, 404);
}

static void a_query_that_the_route_does_not_list_is_refused(void **state)
{
	assert_holds(ask(*state, "GET /v1/things?limi=5 HTTP/1.1\r\n" HOST, 400),
		     "the query may hold: limit after; there is no 'limi'");
	ask(*state, "GET /v1/things? HTTP/1.1\r\n" HOST, 200);
	ask(*state, "GET /v1/things?= HTTP/1.1\r\n" HOST, 400);
	assert_holds(ask(*state, "GET /v1/things/a?x=1 HTTP/1.1\r\n" HOST, 400),
		     "this path takes no query");
}

static void roles_are_asked_for_and_held_against_the_route(void **state)
{
	struct httphost *s = *state;

	s->role = HTTP_UNKNOWN;
	assert_holds(ask(s, "GET /v1/things HTTP/1.1\r\n" HOST, 401),
		     "\r\nWWW-Authenticate: Bearer\r\n");
	s->role = HTTP_STRANGER;
	assert_holds(ask(s, "GET /nothing HTTP/1.1\r\n" HOST, 403), "has no access to this host");
	assert_holds(s->text, "\r\nConnection: close\r\n");
	s->role = HTTP_READER;
	ask(s, "GET /v1/things HTTP/1.1\r\n" HOST, 200);
	ask(s, "DELETE /v1/things/a HTTP/1.1\r\n" HOST, 403);
	s->role = HTTP_OPERATOR;
	ask(s, "DELETE /v1/things/a HTTP/1.1\r\n" HOST, 204);
	ask(s, "GET /v1/secret HTTP/1.1\r\n" HOST, 403);
	s->role = HTTP_ADMINISTRATOR;
	ask(s, "GET /v1/secret HTTP/1.1\r\n" HOST "Authorization: Bearer t\r\n", 200);
	assert_string_equal(s->authorization, "Bearer t");
	ask(s,
	    "GET /v1/secret HTTP/1.1\r\n" HOST "Authorization: Bearer t\r\nAuthorization: "
	    "Bearer u\r\n",
	    400);
}

static void root_and_members_of_the_group_are_administrators(void **state)
{
	struct http_caller caller = {.uid = 1000};
	struct http_identity who = {0};

	(void)state;
	assert_int_equal(http_role_of(NULL, &caller, NULL, &who), HTTP_STRANGER);
	caller.in_group = true;
	assert_int_equal(http_role_of(NULL, &caller, NULL, &who), HTTP_ADMINISTRATOR);
	caller = (struct http_caller){.uid = 0};
	assert_int_equal(http_role_of(NULL, &caller, NULL, &who), HTTP_ADMINISTRATOR);
	caller.remote = true;
	assert_int_equal(http_role_of(NULL, &caller, NULL, &who), HTTP_UNKNOWN);
}

static void limited_callers_have_only_the_routes_that_are_made_for_them(void **state)
{
	struct httphost *s = *state;

	s->limited = true;
	ask(s, "GET /v1/things HTTP/1.1\r\n" HOST, 200);
	assert_holds(ask(s, "GET /v1/secret HTTP/1.1\r\n" HOST, 403), "some of the VMs only");
	s->limited = false;
	ask(s, "GET /v1/secret HTTP/1.1\r\n" HOST, 200);
}

static void one_who_was_wrong_too_often_waits(void **state)
{
	struct httphost *s = *state;

	s->role = HTTP_HELD_BACK;
	assert_holds(ask(s, "GET /v1/things HTTP/1.1\r\n" HOST, 429), "\r\nRetry-After: 60\r\n");
	s->role = HTTP_UNKNOWN;
	assert_holds(ask(s, "GET /v1/things HTTP/1.1\r\n" HOST "Authorization: x\r\n", 401),
		     "the token is unknown or has expired");
	assert_int_equal(s->calls, 0);
}

static void a_body_is_json_that_arrives_whole(void **state)
{
	const char *text =
		post(*state, JSON "Idempotency-Key: k1\r\n", "{\"a\": [1, \"\\u00e4\"]}", 201);

	assert_holds(text, "\r\nLocation: /v1/things/new\r\n");
	assert_holds(text, "{\"body\":{\"a\":[1,\"\xc3\xa4\"]},\"key\":\"k1\"}");
	post(*state, "Content-Type: application/json; charset=utf-8\r\n", "[]", 201);
}

static void a_body_that_is_no_json_is_refused(void **state)
{
	static const char *const body[] = {
		"{\"a\": 1, \"a\": 2}", "{\"a\"",   "{} {}",          "5", "{\"a\": \"\xff\"}",
		"{\"a\": \"\\u0000\"}", "{'a': 1}", "\xef\xbb\xbf{}",
	};

	for (size_t i = 0; i < ARRAY_LEN(body); i++)
		assert_holds(post(*state, JSON, body[i], 400), "the body is not JSON: line 1");
	assert_int_equal(((struct httphost *)*state)->calls, 0);
}

static void a_body_of_another_kind_is_refused(void **state)
{
	post(*state, "", "{}", 415);
	post(*state, "Content-Type: text/plain\r\n", "{}", 415);
	post(*state, "Content-Type: application/json; charset=utf-16\r\n", "{}", 415);
	post(*state, JSON "Content-Encoding: gzip\r\n", "{}", 415);
	post(*state, JSON JSON, "{}", 400);
	assert_holds(post(*state, JSON, "", 400), "this request needs a body");
}

static void a_merge_patch_is_told_from_json(void **state)
{
	assert_holds(ask(*state,
			 "PATCH /v1/things/a HTTP/1.1\r\n" HOST
			 "Content-Type: application/merge-patch+json\r\nIf-Match: \"3\"\r\n"
			 "Content-Length: 2\r\n\r\n{}",
			 200),
		     "{\"body\":true,\"merge\":true,\"match\":\"\\\"3\\\"\"}");
	assert_holds(ask(*state, "PATCH /v1/things/a HTTP/1.1\r\n" HOST, 200),
		     "{\"body\":false,\"merge\":false,\"match\":\"none\"}");
}

static void accept_has_to_name_what_is_sent(void **state)
{
	ask(*state, "GET /v1/things HTTP/1.1\r\n" HOST "Accept: text/html\r\n", 406);
	ask(*state, "GET /v1/things HTTP/1.1\r\n" HOST "Accept: text/html\r\nAccept: */*\r\n", 200);
	ask(*state, "GET /v1/events HTTP/1.1\r\n" HOST "Accept: application/json\r\n", 406);
	assert_holds(ask(*state, "GET /metrics HTTP/1.1\r\n" HOST "Accept: text/plain\r\n", 200),
		     "\r\nContent-Type: text/plain; version=0.0.4\r\n");
}

static void headers_that_are_kept_are_single_and_short(void **state)
{
	char head[1024] = "DELETE /v1/things/a HTTP/1.1\r\n" HOST "Idempotency-Key: ";

	memset(strchr(head, '\0'), 'k', 300);
	strcat(head, "\r\n");
	ask(*state, head, 400);
	ask(*state,
	    "DELETE /v1/things/a HTTP/1.1\r\n" HOST "If-Match: \"1\"\r\nIf-Match: \"2\"\r\n", 400);
}

/* One by its length, at once; one of chunks, at its end. */
static void a_body_above_the_limit_is_refused(void **state)
{
	enum { CHUNK = 0x10000 };
	static char chunk[CHUNK + 16];
	struct httphost *s = *state;
	int fd = httphost_connect(s);
	bool closed;

	ask(s, "POST /v1/things HTTP/1.1\r\n" HOST JSON "Content-Length: 1048577\r\n", 413);
	strcpy(chunk,
	       "POST /v1/things HTTP/1.1\r\n" HOST JSON "Transfer-Encoding: chunked\r\n\r\n");
	httphost_send(s, fd, chunk, strlen(chunk));
	strcpy(chunk, "10000\r\n");
	memset(chunk + 7, ' ', CHUNK);
	memcpy(chunk + 7 + CHUNK, "\r\n", 2);
	for (unsigned i = 0; i < 17; i++)
		httphost_send(s, fd, chunk, CHUNK + 9);
	assert_string_equal(httphost_receive(s, fd, &closed), "");
	httphost_send(s, fd, "0\r\n\r\n", 5);
	assert_memory_equal(httphost_receive(s, fd, &closed), "HTTP/1.1 413 ", 13);
	assert_true(closed);
	assert_int_equal(s->calls, 0);
	close(fd);
}

static void a_body_at_the_limit_is_taken(void **state)
{
	static char bytes[HTTP_BODY_MAX + 512];
	struct httphost *s = *state;
	char *end = stpcpy(bytes, "POST /v1/things HTTP/1.1\r\n" HOST JSON
				  "Content-Length: 1048576\r\n\r\n[");

	memset(end, ' ', HTTP_BODY_MAX);
	end[HTTP_BODY_MAX - 2] = ']';
	httphost_talk(s, bytes, (size_t)(end - bytes) + HTTP_BODY_MAX - 1, NULL);
	assert_memory_equal(s->text, "HTTP/1.1 201 ", 13);
}

/* Many bodies that do not end: those that would need too much memory are refused in the end. */
static void bodies_together_are_bounded(void **state)
{
	enum { CLIENTS = 20, PART = 900000 };
	static char bytes[PART + 512];
	struct httphost *s = *state;
	unsigned refused = 0, taken = 0;
	int fd[CLIENTS];

	strcpy(bytes, "POST /v1/things HTTP/1.1\r\n" HOST JSON "Content-Length: 900001\r\n\r\n[");
	memset(strchr(bytes, '\0'), ' ', PART - 1);
	for (unsigned i = 0; i < CLIENTS; i++) {
		fd[i] = httphost_connect(s);
		httphost_send(s, fd[i], bytes, strlen(bytes));
	}
	for (unsigned i = 0; i < CLIENTS; i++) {
		httphost_send(s, fd[i], "]", 1);
		httphost_receive(s, fd[i], NULL);
		taken += !strncmp(s->text, "HTTP/1.1 201 ", 13);
		refused += !strncmp(s->text, "HTTP/1.1 503 ", 13);
		close(fd[i]);
	}
	assert_int_equal(taken, 16);
	assert_int_equal(refused, 4);
	post(s, JSON, "{}", 201);
}

static void expectations_are_met_or_refused(void **state)
{
	struct httphost *s = *state;
	int fd = httphost_connect(s);
	static const char head[] = "POST /v1/things HTTP/1.1\r\n" HOST JSON
				   "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n";

	httphost_send(s, fd, head, strlen(head));
	assert_string_equal(httphost_receive(s, fd, NULL), "HTTP/1.1 100 Continue\r\n\r\n");
	httphost_send(s, fd, "{}", 2);
	assert_memory_equal(httphost_receive(s, fd, NULL), "HTTP/1.1 201 ", 13);
	close(fd);
	post(s, JSON "Expect: tea\r\n", "{}", 417);
	/* Refused by its head: nothing is to be sent. */
	post(s, "Expect: 100-continue\r\n", "{}", 415);
}

/* Requests of one connection, good and refused ones, sent at once. */
static void a_connection_serves_requests_in_turn(void **state)
{
	static const char bytes[] =
		"GET /v1/things HTTP/1.1\r\n" HOST "\r\n"
		"GET /nothing HTTP/1.1\r\n" HOST "\r\n"
		"POST /v1/things HTTP/1.1\r\n" HOST JSON "Content-Length: 2\r\n\r\n{}"
		"DELETE /v1/things/a HTTP/1.1\r\n" HOST "\r\n"
		"GET /v1/things/b HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n"
		"GET /v1/things/c HTTP/1.1\r\n" HOST "\r\n";
	static const char *const line[] = {"HTTP/1.1 200 ", "HTTP/1.1 404 ", "HTTP/1.1 201 ",
					   "HTTP/1.1 204 ", "{\"name\":\"b\"}"};
	struct httphost *s = *state;
	const char *at = s->text;
	bool closed;

	httphost_talk(s, bytes, sizeof(bytes) - 1, &closed);
	for (size_t i = 0; i < ARRAY_LEN(line); i++) {
		at = strstr(at, line[i]);
		assert_non_null(at);
		at += strlen(line[i]);
	}
	assert_string_equal(at, "");
	assert_true(closed);
}

static void a_handler_that_forgets_to_answer_is_our_fault(void **state)
{
	assert_holds(ask(*state, "GET /v1/silent HTTP/1.1\r\n" HOST, 500),
		     "application/problem+json");
}

static void a_client_that_stops_sending_gets_answers_that_are_ready(void **state)
{
	static const char bytes[] = "GET /v1/things HTTP/1.1\r\n" HOST "\r\n"
				    "GET /v1/things/a HTTP/1.1\r\n" HOST "\r\n";
	struct httphost *s = *state;
	int fd = httphost_connect(s);
	bool closed;

	assert_int_equal(send(fd, bytes, sizeof(bytes) - 1, 0), sizeof(bytes) - 1);
	shutdown(fd, SHUT_WR);
	assert_memory_equal(httphost_receive(s, fd, &closed), "HTTP/1.1 200 ", 13);
	assert_holds(s->text, "{\"name\":\"a\"}");
	assert_true(closed);
	close(fd);
}

/* A service, a request with all that is kept of one, and its end; each allocation fails once. */
static int one_request(void *ctx)
{
	static const char bytes[] = "PATCH /v1/things/a HTTP/1.1\r\n" HOST JSON
				    "If-Match: \"3\"\r\nContent-Length: 2\r\n\r\n{}";
	struct http_config config = {.routes = 0, .group = (gid_t)-1};
	struct httphost *s = ctx;
	struct http *h = NULL;
	sd_event *loop;
	struct failure f;
	bool closed;
	int r;

	assert_int_equal(sd_event_new(&loop), 0);
	r = http_new(loop, &config, &h, &f);
	if (r == 0)
		r = http_listen_unix(h, s->listener, &f);
	http_free(h);
	sd_event_unref(loop);
	if (r < 0)
		return r;
	httphost_talk(s, bytes, sizeof(bytes) - 1, &closed);
	if (strncmp(s->text, "HTTP/1.1 200 ", 13) == 0)
		return 0;
	/* Without memory it is refused, or ended where not even an answer could be made. */
	if (s->text[0] && strncmp(s->text, "HTTP/1.1 503 ", 13) != 0)
		print_error("answered by: %s\n", s->text);
	assert_true(closed || strncmp(s->text, "HTTP/1.1 503 ", 13) == 0);
	return failheap_failed() ? -ENOMEM : -EIO;
}

static void a_request_without_memory_ends_well(void **state)
{
	assert_true(failheap_sweep(one_request, *state) >= 5);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_reply_has_its_body_type_and_etag),
		TEST(an_etag_that_the_client_has_is_answered_by_304),
		TEST(head_is_get_without_the_body),
		TEST(options_tells_the_methods_of_a_path),
		TEST(a_problem_tells_status_and_sentence),
		TEST(another_method_is_told_which_there_are),
		TEST(parameters_of_the_path_are_decoded),
		TEST(a_query_that_the_route_does_not_list_is_refused),
		TEST(roles_are_asked_for_and_held_against_the_route),
		TEST(root_and_members_of_the_group_are_administrators),
		TEST(limited_callers_have_only_the_routes_that_are_made_for_them),
		TEST(one_who_was_wrong_too_often_waits),
		TEST(a_body_is_json_that_arrives_whole),
		TEST(a_body_that_is_no_json_is_refused),
		TEST(a_body_of_another_kind_is_refused),
		TEST(a_merge_patch_is_told_from_json),
		TEST(accept_has_to_name_what_is_sent),
		TEST(headers_that_are_kept_are_single_and_short),
		TEST(a_body_above_the_limit_is_refused),
		TEST(a_body_at_the_limit_is_taken),
		TEST(bodies_together_are_bounded),
		TEST(expectations_are_met_or_refused),
		TEST(a_connection_serves_requests_in_turn),
		TEST(a_handler_that_forgets_to_answer_is_our_fault),
		TEST(a_client_that_stops_sending_gets_answers_that_are_ready),
		TEST(a_request_without_memory_ends_well),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
