/* SPDX-License-Identifier: GPL-2.0-or-later */
/* HTTP as a client speaks it: requests, heads of answers, names in targets. */
#include "lib/ask.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static ssize_t decode(const char *text, struct ask_head *head)
{
	return ask_decode_head(text, strlen(text), head);
}

static void a_head_tells_status_length_type_and_etag(void **state)
{
	static const char text[] = "HTTP/1.1 201 Created\r\n"
				   "content-LENGTH: 12\r\n"
				   "Content-Type:application/json\r\n"
				   "ETag: \t\"7\"\r\n"
				   "X-Other: a: b\r\n"
				   "\r\n"
				   "the body";
	struct ask_head head;

	(void)state;
	assert_int_equal(decode(text, &head), sizeof(text) - 1 - strlen("the body"));
	assert_int_equal(head.status, 201);
	assert_int_equal(head.length, 12);
	assert_string_equal(head.type, "application/json");
	assert_string_equal(head.etag, "\"7\"");
	assert_int_equal(decode("HTTP/1.0 204 \r\n\r\n", &head), 17);
	assert_int_equal(head.length, -1);
	assert_string_equal(head.etag, "");
}

static void a_head_that_is_cut_anywhere_is_not_whole_yet(void **state)
{
	static const char text[] = "HTTP/1.0 200 OK\r\nContent-Length: 3\r\nETag: x\r\n\r\n";
	struct ask_head head = {.status = 7};

	(void)state;
	for (size_t len = 0; len < sizeof(text) - 1; len++)
		assert_int_equal(ask_decode_head(text, len, &head), 0);
	assert_int_equal(head.status, 7);
	assert_int_equal(ask_decode_head(text, sizeof(text) - 1, &head), sizeof(text) - 1);
}

static void what_is_no_head_is_refused(void **state)
{
	static const char *const bad[] = {
		"SSH-2.0-OpenSSH\r\n\r\n",
		"HTTP/2 200\r\n\r\n",
		"HTTP/1.0 20\r\n\r\n",
		"HTTP/1.0 2x0 OK\r\n\r\n",
		"HTTP/1.0 099 OK\r\n\r\n",
		"\r\n\r\n",
		"HTTP/1.0 200 OK\r\nno colon\r\n\r\n",
		"HTTP/1.0 200 OK\r\n: no name\r\n\r\n",
		"HTTP/1.0 200 OK\r\nContent-Length: -1\r\n\r\n",
		"HTTP/1.0 200 OK\r\nContent-Length: \r\n\r\n",
		"HTTP/1.0 200 OK\r\nContent-Length: 9999999999999999999\r\n\r\n",
		"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
	};
	static char endless[ASK_HEAD_MAX];
	struct ask_head head;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(decode(bad[i], &head), -EBADMSG);
	memset(endless, 'a', sizeof(endless));
	assert_int_equal(ask_decode_head(endless, sizeof(endless), &head), -EBADMSG);
}

static void a_name_cannot_leave_its_part_of_the_target(void **state)
{
	char to[32];

	(void)state;
	assert_true(ask_encode_name("web-1_a.b~", to, sizeof(to)));
	assert_string_equal(to, "web-1_a.b~");
	assert_true(ask_encode_name("a/b?c d\r\n%\xc3", to, sizeof(to)));
	assert_string_equal(to, "a%2Fb%3Fc%20d%0D%0A%25%C3");
	assert_false(ask_encode_name("", to, sizeof(to)));
	assert_false(ask_encode_name("0123456789012345678901234567890123456789", to, sizeof(to)));
}

static void a_request_has_what_was_asked_for_and_no_more(void **state)
{
	static const char plain[] = "GET /v1/vms HTTP/1.0\r\nHost: localhost\r\n\r\n";
	const struct ask short_one = {.method = "GET", .target = "/v1/vms"};
	const struct ask long_one = {.method = "POST",
				     .target = "/v1/x",
				     .accept = "application/json",
				     .upgrade = "oya-migration",
				     .token = "oya_1",
				     .type = "application/json",
				     .body = "{}"};
	char *text;
	size_t len;

	(void)state;
	text = ask_encode(&short_one, &len);
	assert_int_equal(len, sizeof(plain) - 1);
	assert_string_equal(text, plain);
	free(text);
	text = ask_encode(&long_one, &len);
	assert_int_equal(strlen(text), len);
	assert_string_equal(text, "POST /v1/x HTTP/1.1\r\nHost: localhost\r\n"
				  "Accept: application/json\r\n"
				  "Connection: Upgrade\r\nUpgrade: oya-migration\r\n"
				  "Authorization: Bearer oya_1\r\n"
				  "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}");
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_head_tells_status_length_type_and_etag),
		cmocka_unit_test(a_head_that_is_cut_anywhere_is_not_whole_yet),
		cmocka_unit_test(what_is_no_head_is_refused),
		cmocka_unit_test(a_request_has_what_was_asked_for_and_no_more),
		cmocka_unit_test(a_name_cannot_leave_its_part_of_the_target),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
