/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is refused for its form, by raw bytes on a connection; each form is one that libmicrohttpd
 * by itself lets through, or answers without a handler.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#undef fail /* lib/fail.h has one of its own */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "tests/lib/httphost.h"

/* cmocka's fail_msg() would call ours. */
#define FAIL(...)                          \
	do {                               \
		print_error(__VA_ARGS__);  \
		_fail(__FILE__, __LINE__); \
	} while (0)

struct form {
	const char *bytes;
	size_t len;
	const char *sentence; /* of our answer; NULL: libmicrohttpd refuses it in each version */
	unsigned status;
};

/* A literal, which may hold NULs. */
#define FORM(status, sentence, text)                     \
	{                                                \
		text, sizeof(text) - 1, sentence, status \
	}
#define GET "GET /v1/things HTTP/1.1\r\nHost: x\r\n"
#define POST "POST /v1/things HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
#define NEXT "GET /v1/things HTTP/1.1\r\nHost: x\r\n\r\n"

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

/* What libmicrohttpd refuses by itself differs between its versions: 400, another status, or the
 * end alone. */
static bool is_refused_as_told(const char *text, const struct form *form)
{
	char line[32];

	if (!strstr(text, "application/problem+json"))
		return !text[0] || strncmp(text, "HTTP/1.1 4", 10) == 0 ||
		       strncmp(text, "HTTP/1.1 505 ", 13) == 0;
	snprintf(line, sizeof(line), "HTTP/1.1 %u ", form->status);
	return strncmp(text, line, strlen(line)) == 0 && form->sentence &&
	       strstr(text, form->sentence);
}

/* Each is refused by its status and sentence, no handler sees it, and the connection ends. */
static void assert_refused(struct httphost *s, const struct form *form, size_t forms)
{
	for (size_t i = 0; i < forms; i++, form++) {
		bool closed;

		httphost_talk(s, form->bytes, form->len, &closed);
		if (!is_refused_as_told(s->text, form) || !closed || s->calls)
			FAIL("form %zu (%s) was answered by: %s%s\n", i, form->bytes, s->text,
			     closed ? "" : " (open)");
	}
}

static void framing_that_is_ambiguous_is_refused(void **state)
{
	static const struct form form[] = {
		FORM(400, "exclude each other",
		     POST "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" NEXT),
		FORM(400, "exclude each other",
		     POST "Transfer-Encoding: xchunked\r\nContent-Length: 3\r\n\r\n{}\n"),
		FORM(400, "content-length is there more than once",
		     POST "Content-Length: 2\r\nContent-Length: 0\r\n\r\n{}"),
		FORM(400, "content-length is there more than once",
		     POST "Content-Length: 2\r\ncontent-length: 2\r\n\r\n{}"),
		FORM(400, "transfer-encoding is there more than once",
		     POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n"
			  "0\r\n\r\n"),
		FORM(400, "'chunked' only", POST "Transfer-Encoding: identity\r\n\r\n{}"),
		FORM(400, "'chunked' only",
		     POST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
		FORM(400, "'chunked' only", POST "Transfer-Encoding: \"chunked\"\r\n\r\n"),
		FORM(400, "control character", POST "Transfer-Encoding: \vchunked\r\n\r\n"),
		FORM(400, "not a token", POST "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n"),
		FORM(400, "not a token", POST "Content-Length : 3\r\n\r\n" NEXT),
		FORM(400, "not a token", POST "Content-Length\t: 3\r\n\r\n" NEXT),
		FORM(400, "'chunked' only",
		     "POST /v1/things HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
		FORM(400, "Content-Length is not a number",
		     POST "Content-Length: 0000000000000000002\r\n\r\n{}"),
	};

	assert_refused(*state, form, ARRAY_LEN(form));
}

/* libmicrohttpd answers these by itself, before anybody is asked. */
static void lengths_that_are_no_numbers_are_refused(void **state)
{
	static const struct form form[] = {
		FORM(400, NULL, POST "Content-Length: 2, 2\r\n\r\n{}"),
		FORM(400, NULL, POST "Content-Length: +2\r\n\r\n{}"),
		FORM(400, NULL, POST "Content-Length: -2\r\n\r\n{}"),
		FORM(400, NULL, POST "Content-Length: 0x2\r\n\r\n{}"),
		FORM(400, NULL, POST "Content-Length:\r\n\r\n"),
		FORM(413, NULL, POST "Content-Length: 99999999999999999999999\r\n\r\n"),
		FORM(400, NULL, POST "Transfer-Encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n"),
		FORM(400, NULL, POST "Transfer-Encoding: chunked\r\n\r\n2 \r\n{}\r\n0\r\n\r\n"),
		FORM(400, NULL, POST "Transfer-Encoding: chunked\r\n\r\n2\r\n{}0\r\n\r\n"),
	};

	assert_refused(*state, form, ARRAY_LEN(form));
}

static void lines_that_parsers_read_differently_are_refused(void **state)
{
	static const struct form form[] = {
		FORM(400, "folded line", GET "A: b\r\n c\r\n\r\n"),
		FORM(400, "folded line", GET "A: b\r\n\tc\r\n\r\n"),
		FORM(400, "not a token", "GET /v1/things HTTP/1.1\r\n Host: x\r\n\r\n"),
		FORM(400, "folded line", POST "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n"),
		FORM(400, "CR and LF", "GET /v1/things HTTP/1.1\nHost: x\n\n"),
		FORM(400, "CR and LF", "GET /v1/things HTTP/1.1\nHost: x\r\n\r\n"),
		FORM(400, "CR and LF", GET "A: b\nC: d\r\n\r\n"),
		FORM(400, "CR and LF", GET "A: b\nContent-Length: 5\r\n\r\n"),
		FORM(400, "CR and LF", GET "A: b\r\n\n"),
		FORM(400, "CR and LF", GET "A: b\n\r\n"),
		FORM(400, "control character", GET "A: b\rC: d\r\n\r\n"),
		FORM(400, "control character", GET "A: b\r\r\n\r\n"),
		FORM(400, "control character", GET "A: \x01\r\n\r\n"),
		FORM(400, "control character", GET "A: \x7f\r\n\r\n"),
		FORM(400, "a NUL", GET "A: b\0C: d\r\n\r\n"),
		FORM(400, "a NUL", GET "A: \0\r\n\r\n"),
		FORM(400, "a NUL", GET "\0A: b\r\n\r\n"),
		FORM(400, "a NUL", GET "A: b\r\n\0C: d\r\n\r\n"),
		FORM(400, NULL, GET "A\0B: d\r\n\r\n"),
		FORM(400, NULL, GET "abc\r\n\r\n"),
		FORM(400, "folded line", GET ": abc\r\n\r\n"),
		FORM(400, "not a token", GET "A B: c\r\n\r\n"),
		FORM(400, "not a token", GET "A\x80: c\r\n\r\n"),
		FORM(400, "not a token", GET "A\r: c\r\n\r\n"),
	};

	assert_refused(*state, form, ARRAY_LEN(form));
}

static void request_lines_that_are_not_tight_are_refused(void **state)
{
	static const struct form form[] = {
		FORM(400, "request line", "GET  /v1/things HTTP/1.1\r\nHost: x\r\n\r\n"),
		FORM(400, "request line", "GET /v1/things  HTTP/1.1\r\nHost: x\r\n\r\n"),
		FORM(400, "request line", "GET /v1/\rthings HTTP/1.1\r\nHost: x\r\n\r\n"),
		FORM(400, "request line", "GET /v1/ things HTTP/1.1\r\nHost: x\r\n\r\n"),
		FORM(400, "request line", "GET /v1/things\0/b HTTP/1.1\r\nHost: x\r\n\r\n"),
		FORM(400, "request line", "G\0T /v1/things HTTP/1.1\r\nHost: x\r\n\r\n"),
		FORM(400, "request line", "G@T /v1/things HTTP/1.1\r\nHost: x\r\n\r\n"),
		FORM(400, NULL, "GET\t/v1/things\tHTTP/1.1\r\nHost: x\r\n\r\n"),
		FORM(400, NULL, " GET /v1/things HTTP/1.1\r\nHost: x\r\n\r\n"),
		FORM(400, NULL, "GET /v1/things HTTP/1.1 \r\nHost: x\r\n\r\n"),
		FORM(400, NULL, "GET /v1/things\r\n"),
		FORM(505, NULL, "GET /v1/things HTTP/0.9\r\nHost: x\r\n\r\n"),
		FORM(505, "only HTTP/1.1", "GET /v1/things HTTP/1.2\r\nHost: x\r\n\r\n"),
		FORM(505, NULL, "GET /v1/things HTTP/2.0\r\nHost: x\r\n\r\n"),
		FORM(505, NULL, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
		FORM(400, NULL, "GET /v1/things http/1.1\r\nHost: x\r\n\r\n"),
		FORM(400, NULL, "GET /v1/things HTTP/1.10\r\nHost: x\r\n\r\n"),
	};

	assert_refused(*state, form, ARRAY_LEN(form));
}

static void host_is_there_once_and_is_a_name(void **state)
{
	static const struct form form[] = {
		FORM(400, "Host is missing", "GET /v1/things HTTP/1.1\r\n\r\n"),
		FORM(400, "Host is missing", "GET /v1/things HTTP/1.1\r\nHostx: y\r\n\r\n"),
		FORM(400, "host is there more than once", GET "Host: x\r\n\r\n"),
		FORM(400, "not a name with a port",
		     "GET /v1/things HTTP/1.1\r\nHost: x, y\r\n\r\n"),
		FORM(400, "not a name with a port", "GET /v1/things HTTP/1.1\r\nHost: x/y\r\n\r\n"),
		FORM(400, "not a name with a port", "GET /v1/things HTTP/1.1\r\nHost: a@x\r\n\r\n"),
	};

	assert_refused(*state, form, ARRAY_LEN(form));
}

/* With a handler that is not called the connection may go on: the form is a clear one. */
static void targets_are_paths_in_origin_form(void **state)
{
	static const char *const target[] = {
		"http://x/v1/things",
		"x:443",
		"*",
		"v1/things",
		"/v1/things#a",
		"/v1/%",
		"/v1/%4",
		"/v1/%zz",
		"/v1/things/a%00b",
		"/v1/things/a%2fb",
		"/v1/things/a%2Fb",
		"/v1/things/..",
		"/v1/things/%2e%2e",
		"/v1/things/.",
		"/v1/things/%ff",
		"/v1/things/%c0%af",
		"/v1/things/%ed%a0%80",
		"/v1/things/a\"b",
		"/v1/things/a<b",
		"/v1/things/a\\b",
		"/v1/things/\xc3\xa4",
		"/v1/things?limit=%00",
		"/v1/things?li%",
		"/v1/things?limit=1&limit=2",
		"/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a",
		"//v1/../things",
	};
	struct httphost *s = *state;
	char request[256];

	for (size_t i = 0; i < ARRAY_LEN(target); i++) {
		int len = snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: x\r\n\r\n",
				   target[i]);

		httphost_talk(s, request, (size_t)len, NULL);
		if (strncmp(s->text, "HTTP/1.1 400 ", 13) != 0)
			FAIL("%s was answered by: %s", target[i], s->text);
	}
	assert_int_equal(s->calls, 0);
}

static void heads_that_are_too_long_are_refused(void **state)
{
	static char bytes[64 << 10];
	char *end;
	struct httphost *s = *state;
	bool closed;

	/* Too long for us, then for libmicrohttpd. */
	for (size_t len = 5000; len < 60000; len += 50000) {
		end = stpcpy(bytes, "GET /");
		memset(end, 'a', len);
		strcpy(end + len, " HTTP/1.1\r\nHost: x\r\n\r\n");
		httphost_talk(s, bytes, strlen(bytes), &closed);
		assert_memory_equal(s->text, "HTTP/1.1 414 ", 13);
	}
	for (size_t len = 20000; len < 60000; len += 30000) {
		end = stpcpy(bytes, GET "A: ");
		memset(end, 'a', len);
		strcpy(end + len, "\r\n\r\n");
		httphost_talk(s, bytes, strlen(bytes), &closed);
		assert_memory_equal(s->text, "HTTP/1.1 431 ", 13);
		assert_true(closed);
	}
	for (unsigned fields = 64; fields < 10000; fields += 9000) {
		end = stpcpy(bytes, GET);
		for (unsigned i = 0; i < fields; i++)
			end = stpcpy(end, "a:b\r\n");
		strcpy(end, "\r\n");
		httphost_talk(s, bytes, strlen(bytes), &closed);
		assert_memory_equal(s->text, "HTTP/1.1 431 ", 13);
		assert_true(closed);
	}
	assert_int_equal(s->calls, 0);
}

/* libmicrohttpd splits these up by itself, and runs out of memory over it. */
static void queries_and_cookies_without_end_only_end_the_connection(void **state)
{
	static char bytes[32 << 10];
	char *end;
	struct httphost *s = *state;
	bool closed;

	end = stpcpy(bytes, "GET /v1/things?");
	for (unsigned i = 0; i < 7000; i++)
		end = stpcpy(end, "a&");
	strcpy(end, " HTTP/1.1\r\nHost: x\r\n\r\n");
	httphost_talk(s, bytes, strlen(bytes), &closed);
	assert_true(closed);
	end = stpcpy(bytes, GET "Cookie: ");
	for (unsigned i = 0; i < 7000; i++)
		end = stpcpy(end, "a;");
	strcpy(end, "\r\nContent-Length: 5\r\n\r\nabcde");
	httphost_talk(s, bytes, strlen(bytes), &closed);
	assert_true(closed);
	assert_int_equal(s->calls, 0);
}

/* An answer, then no second one although bytes of another request came along. */
static void assert_one_answer(struct httphost *s, const char *bytes, const char *line)
{
	bool closed;

	httphost_talk(s, bytes, strlen(bytes), &closed);
	assert_memory_equal(s->text, line, strlen(line));
	assert_null(strstr(s->text + 1, "HTTP/1.1 "));
	assert_non_null(strstr(s->text, "Connection: close"));
	assert_true(closed);
}

/* What libmicrohttpd takes between chunks, others may read otherwise. */
static void nothing_behind_a_body_of_chunks_is_a_request(void **state)
{
	assert_one_answer(*state,
			  POST "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n" NEXT,
			  "HTTP/1.1 201 ");
	assert_one_answer(*state, POST "Transfer-Encoding: CHUNKED\r\n\r\n2;a\n{}\n0\n\n" NEXT,
			  "HTTP/1.1 ");
	assert_one_answer(*state,
			  POST "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n"
			       "Content-Length: 5\r\n\r\n" NEXT,
			  "HTTP/1.1 201 ");
	assert_one_answer(
		*state,
		"POST /nothing HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" NEXT,
		"HTTP/1.1 404 ");
}

static void an_old_request_ends_its_connection_whatever_it_asks_for(void **state)
{
	assert_one_answer(*state, "GET /v1/things HTTP/1.0\r\n\r\n" NEXT, "HTTP/1.1 200 ");
	assert_one_answer(*state, "GET /v1/things HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" NEXT,
			  "HTTP/1.1 200 ");
	assert_one_answer(*state, "GET /nothing HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" NEXT,
			  "HTTP/1.1 404 ");
}

static void a_body_where_none_is_taken_ends_the_connection(void **state)
{
	assert_one_answer(*state, GET "Content-Length: 40\r\n\r\n" NEXT, "HTTP/1.1 400 ");
	assert_one_answer(
		*state,
		"DELETE /v1/things/a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}" NEXT,
		"HTTP/1.1 400 ");
}

static void clear_forms_pass(void **state)
{
	static const char *const form[] = {
		GET "\r\n",
		"\r\n" GET "\r\n",
		GET "A:b\r\nC: \t d \r\nE:\r\nContent-Length: 0\r\n\r\n",
		"GET /v1/things HTTP/1.1\r\nhOST:\r\n\r\n",
		"GET /v1/things HTTP/1.1\r\nHost: [::1]:80 \r\n\r\n",
		"GET /v1/things?limit=5&after=a%20b+%c3%a4/? HTTP/1.1\r\nHost: x\r\n\r\n",
		GET "A: \x80\xff\r\nCookie: a=b; c=d\r\n\r\n",
		"GET /%76%31/things HTTP/1.1\r\nHost: x\r\n\r\n",
	};
	struct httphost *s = *state;
	bool closed;

	for (size_t i = 0; i < ARRAY_LEN(form); i++) {
		httphost_talk(s, form[i], strlen(form[i]), &closed);
		if (strncmp(s->text, "HTTP/1.1 200 ", 13) != 0 || closed)
			FAIL("form %zu was answered by: %s", i, s->text);
	}
	assert_int_equal(s->calls, ARRAY_LEN(form));
}

/* Byte by byte, so that every state of the parser meets the end of what has come. */
static void a_request_in_pieces_is_the_same_request(void **state)
{
	static const char bytes[] = GET "A: b\r\n\r\n" NEXT "GET /v1/things HTTP/1.1\r\n\r\n";
	struct httphost *s = *state;
	int fd = httphost_connect(s);
	unsigned answers = 0;

	for (size_t i = 0; i < sizeof(bytes) - 1; i++)
		httphost_send(s, fd, bytes + i, 1);
	httphost_receive(s, fd, NULL);
	for (const char *at = s->text; (at = strstr(at, "HTTP/1.1 200 ")); at++)
		answers++;
	assert_int_equal(answers, 2);
	assert_non_null(strstr(s->text, "HTTP/1.1 400 "));
	close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(framing_that_is_ambiguous_is_refused),
		TEST(lengths_that_are_no_numbers_are_refused),
		TEST(lines_that_parsers_read_differently_are_refused),
		TEST(request_lines_that_are_not_tight_are_refused),
		TEST(host_is_there_once_and_is_a_name),
		TEST(targets_are_paths_in_origin_form),
		TEST(heads_that_are_too_long_are_refused),
		TEST(queries_and_cookies_without_end_only_end_the_connection),
		TEST(nothing_behind_a_body_of_chunks_is_a_request),
		TEST(an_old_request_ends_its_connection_whatever_it_asks_for),
		TEST(a_body_where_none_is_taken_ends_the_connection),
		TEST(clear_forms_pass),
		TEST(a_request_in_pieces_is_the_same_request),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
