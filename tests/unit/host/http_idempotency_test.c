/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requests that come again with their Idempotency-Key.
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

#define THINGS "POST /v1/things HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
#define START "POST /v1/things/a/start HTTP/1.1\r\nHost: x\r\n"
#define NOBODY 65534u

static const struct http_config two = {.keys_max = 2};
static const struct http_config narrow = {.keys_bytes_max = 2000};
static const struct http_config quick = {.keys_ms = 20};

static int set_up(void **state)
{
	*state = httphost_new(NULL);
	return 0;
}

static int set_up_two(void **state)
{
	*state = httphost_new(&two);
	return 0;
}

static int set_up_narrow(void **state)
{
	*state = httphost_new(&narrow);
	return 0;
}

static int set_up_quick(void **state)
{
	*state = httphost_new(&quick);
	return 0;
}

static int tear_down(void **state)
{
	httphost_free(*state);
	return 0;
}

/* Sends a request whose head is `head` and these lines; the answer has to have the status. */
static const char *ask(struct httphost *s, const char *head, const char *key, const char *body,
		       unsigned status)
{
	char bytes[8192], line[32];
	int len = snprintf(bytes, sizeof(bytes),
			   "%sIdempotency-Key: %s\r\nContent-Length: %zu\r\n\r\n%s", head, key,
			   strlen(body), body);

	assert_true((size_t)len < sizeof(bytes));
	snprintf(line, sizeof(line), "HTTP/1.1 %u ", status);
	httphost_talk(s, bytes, (size_t)len, NULL);
	if (strncmp(s->text, line, strlen(line)) != 0)
		print_error("%s%s was answered by: %s\n", head, body, s->text);
	assert_memory_equal(s->text, line, strlen(line));
	return s->text;
}

static const char *make(struct httphost *s, const char *key, const char *body, unsigned status)
{
	return ask(s, THINGS, key, body, status);
}

/* A start that is not answered yet; its connection. */
static int start(struct httphost *s, const char *key)
{
	char bytes[512];
	int fd = httphost_connect(s), len;

	len = snprintf(bytes, sizeof(bytes), START "Idempotency-Key: %s\r\n\r\n", key);
	httphost_send(s, fd, bytes, (size_t)len);
	return fd;
}

static void assert_holds(const char *text, const char *part)
{
	if (!strstr(text, part))
		print_error("'%s' is missing in: %s\n", part, text);
	assert_non_null(strstr(text, part));
}

static void answer_started(struct httphost *s, unsigned status)
{
	struct failure f;

	assert_true(s->laters > 0);
	fail(&f, 0, "it ended so");
	s->laters--;
	if (status >= 400)
		http_fail(s->later[s->laters], status, &f);
	else
		http_reply(s->later[s->laters],
			   &(struct http_reply){.status = status,
						.location = "/v1/jobs/7",
						.etag = "\"4\"",
						.body = json_pack("{s:i}", "id", 7)});
	httphost_settle(s);
}

static void request_that_comes_again_is_done_once(void **state)
{
	struct httphost *s = *state;

	make(s, "k", "{\"a\": 1}", 201);
	for (unsigned i = 0; i < 3; i++) {
		const char *text = make(s, "k", "{\"a\": 1}", 201);

		assert_holds(text, "\r\nLocation: /v1/things/new\r\n");
		assert_holds(text, "\r\nContent-Type: application/json\r\n");
		assert_holds(text, "\r\n\r\n{\"body\":{\"a\":1},\"key\":\"k\"}");
	}
	assert_int_equal(s->calls, 1);
	make(s, "l", "{\"a\": 1}", 201);
	assert_int_equal(s->calls, 2);
}

static void order_of_members_is_no_difference(void **state)
{
	struct httphost *s = *state;

	make(s, "k", "{\"a\": 1, \"b\": [1, {\"c\": 2, \"d\": 3}]}", 201);
	make(s, "k", "{\"b\":[1,{\"d\":3,\"c\":2}],\"a\":1}", 201);
	assert_int_equal(s->calls, 1);
	make(s, "k", "{\"a\": 1, \"b\": [{\"c\": 2, \"d\": 3}, 1]}", 422);
}

static void key_of_another_request_is_refused(void **state)
{
	struct httphost *s = *state;
	const char *text;

	make(s, "k", "{\"a\": 1}", 201);
	text = make(s, "k", "{\"a\": 2}", 422);
	assert_holds(text, "this Idempotency-Key was sent with another request");
	ask(s, START, "k", "", 422);
	make(s, "k", "{\"a\": 1}", 201);
	assert_int_equal(s->calls, 1);
}

static void request_that_is_under_way_is_not_done_beside_itself(void **state)
{
	struct httphost *s = *state;
	int fd = start(s, "k");

	assert_holds(ask(s, START, "k", "", 409), "still under way");
	make(s, "k", "{}", 422);
	answer_started(s, 202);
	assert_holds(httphost_receive(s, fd, NULL), "\r\n\r\n{\"id\":7}");
	close(fd);
	assert_holds(ask(s, START, "k", "", 202), "\r\nLocation: /v1/jobs/7\r\n");
	assert_holds(s->text, "\r\nETag: \"4\"\r\n");
	assert_holds(s->text, "\r\n\r\n{\"id\":7}");
	assert_int_equal(s->calls, 1);
}

static void client_that_was_gone_gets_its_answer_when_it_comes_back(void **state)
{
	struct httphost *s = *state;

	close(start(s, "k"));
	httphost_settle(s);
	ask(s, START, "k", "", 409);
	answer_started(s, 202);
	assert_holds(ask(s, START, "k", "", 202), "\r\n\r\n{\"id\":7}");
	assert_int_equal(s->calls, 1);
}

static void refusal_is_an_answer_like_others(void **state)
{
	struct httphost *s = *state;
	int fd = start(s, "k");

	answer_started(s, 409);
	close(fd);
	assert_holds(ask(s, START, "k", "", 409), "\"detail\":\"it ended so\"");
	assert_holds(s->text, "\r\nContent-Type: application/problem+json\r\n");
	assert_int_equal(s->calls, 1);
}

static void fault_leaves_the_key_free(void **state)
{
	struct httphost *s = *state;
	int fd = start(s, "k");

	answer_started(s, 503);
	assert_holds(httphost_receive(s, fd, NULL), "HTTP/1.1 503 ");
	close(fd);
	fd = start(s, "k");
	assert_int_equal(s->calls, 2);
	answer_started(s, 202);
	close(fd);
	ask(s, START, "k", "", 202);
	assert_int_equal(s->calls, 2);
}

static void request_that_is_no_request_takes_no_key(void **state)
{
	struct httphost *s = *state;

	make(s, "k", "{", 400);
	ask(s, THINGS, "k", "", 400);
	make(s, "k", "{}", 201);
	assert_holds(make(s, "", "{}", 400), "the header Idempotency-Key is empty");
	assert_int_equal(s->calls, 1);
}

static void other_methods_do_not_look_at_keys(void **state)
{
	struct httphost *s = *state;

	for (unsigned i = 1; i <= 2; i++) {
		ask(s, "DELETE /v1/things/a HTTP/1.1\r\nHost: x\r\n", "k", "", 204);
		assert_int_equal(s->calls, i);
	}
}

static void oldest_keys_go(void **state)
{
	struct httphost *s = *state;

	make(s, "1", "{}", 201);
	make(s, "2", "{}", 201);
	make(s, "3", "{}", 201);
	assert_int_equal(s->calls, 3);
	make(s, "2", "{}", 201);
	make(s, "3", "{}", 201);
	assert_int_equal(s->calls, 3);
	make(s, "1", "{}", 201);
	assert_int_equal(s->calls, 4);
}

static void keys_that_are_awaited_stay(void **state)
{
	struct httphost *s = *state;
	int one = start(s, "1"), two_fd = start(s, "2");

	assert_holds(make(s, "3", "{}", 503), "\r\nRetry-After: 1\r\n");
	ask(s, START, "1", "", 409);
	assert_int_equal(s->calls, 2);
	answer_started(s, 202);
	make(s, "3", "{}", 201);
	ask(s, START, "1", "", 409);
	answer_started(s, 202);
	ask(s, START, "1", "", 202);
	close(one);
	close(two_fd);
}

static void bytes_of_keys_are_bounded(void **state)
{
	struct httphost *s = *state;
	char body[1024], most[4096];

	snprintf(body, sizeof(body), "{\"a\": \"%0300d\"}", 0);
	make(s, "1", body, 201);
	make(s, "2", body, 201);
	make(s, "3", body, 201);
	assert_int_equal(s->calls, 3);
	make(s, "3", body, 201);
	assert_int_equal(s->calls, 3);
	make(s, "1", body, 201);
	assert_int_equal(s->calls, 4);
	snprintf(most, sizeof(most), "{\"a\": \"%03000d\"}", 0);
	make(s, "4", most, 503);
	/* Its request has room, its answer has not: it is not kept. */
	snprintf(most, sizeof(most), "{\"a\": \"%01200d\"}", 0);
	make(s, "5", most, 201);
	make(s, "5", most, 201);
	assert_int_equal(s->calls, 6);
}

static void old_keys_are_forgotten(void **state)
{
	struct httphost *s = *state;
	int fd = start(s, "awaited");

	make(s, "k", "{}", 201);
	httphost_pass(s, 40);
	make(s, "k", "{}", 201);
	assert_int_equal(s->calls, 3);
	ask(s, START, "awaited", "", 409);
	close(fd);
}

static void keys_are_their_users_own(void **state)
{
	struct httphost *s = *state;

	if (geteuid() != 0) {
		print_message("only root can be somebody else\n");
		skip();
	}
	make(s, "k", "{\"a\": 1}", 201);
	assert_int_equal(seteuid(NOBODY), 0);
	s->uid = NOBODY;
	make(s, "k", "{\"a\": 2}", 201);
	make(s, "k", "{\"a\": 2}", 201);
	assert_int_equal(seteuid(0), 0);
	s->uid = 0;
	make(s, "k", "{\"a\": 1}", 201);
	assert_int_equal(s->calls, 2);
}

static void service_may_end_before_the_answer(void **state)
{
	struct httphost *s = *state;
	int fd = start(s, "k");

	http_free(s->http);
	s->http = NULL;
	answer_started(s, 202);
	close(fd);
}

/* ---- without memory ---- */

static void count(struct http_request *r, void *owner)
{
	++*(unsigned *)owner;
	http_reply(r, &(struct http_reply){
			      .status = 201, .location = "/x", .body = json_pack("{s:i}", "a", 1)});
}

static enum http_role anybody(void *owner, const struct http_caller *caller,
			      const char *authorization, struct http_identity *ret_identity)
{
	(void)ret_identity;
	(void)owner;
	(void)caller;
	(void)authorization;
	return HTTP_ADMINISTRATOR;
}

/* A service, a request that is made twice, and its end. */
static int twice(void *ctx)
{
	static const char bytes[] = THINGS "Idempotency-Key: k\r\nContent-Length: 2\r\n\r\n{}";
	static const struct http_route route = {
		HTTP_POST, "/v1/things", HTTP_OPERATOR, HTTP_NEEDS_BODY, NULL, NULL, count};
	unsigned calls = 0, good = 0;
	struct http_config config = {
		.route = &route, .routes = 1, .owner = &calls, .role = anybody};
	struct httphost *s = ctx;
	struct failure f;
	bool closed;
	int r = http_new(s->loop, &config, &s->http, &f);

	if (r == 0)
		r = http_listen_unix(s->http, s->listener, &f);
	for (unsigned i = 0; r == 0 && i < 2; i++) {
		httphost_talk(s, bytes, sizeof(bytes) - 1, &closed);
		if (strncmp(s->text, "HTTP/1.1 201 ", 13) == 0)
			good++;
		else
			assert_true(closed || strncmp(s->text, "HTTP/1.1 503 ", 13) == 0);
	}
	http_free(s->http);
	s->http = NULL;
	if (r == 0 && !failheap_failed())
		assert_true(good == 2 && calls == 1);
	return r < 0 ? r : failheap_failed() ? -ENOMEM : 0;
}

static void keys_without_memory_end_well(void **state)
{
	struct httphost *s = *state;

	http_free(s->http);
	s->http = NULL;
	assert_true(failheap_sweep(twice, s) >= 8);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define TWO(name) cmocka_unit_test_setup_teardown(name, set_up_two, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(request_that_comes_again_is_done_once),
		TEST(order_of_members_is_no_difference),
		TEST(key_of_another_request_is_refused),
		TEST(request_that_is_under_way_is_not_done_beside_itself),
		TEST(client_that_was_gone_gets_its_answer_when_it_comes_back),
		TEST(refusal_is_an_answer_like_others),
		TEST(fault_leaves_the_key_free),
		TEST(request_that_is_no_request_takes_no_key),
		TEST(other_methods_do_not_look_at_keys),
		TWO(oldest_keys_go),
		TWO(keys_that_are_awaited_stay),
		cmocka_unit_test_setup_teardown(bytes_of_keys_are_bounded, set_up_narrow,
						tear_down),
		cmocka_unit_test_setup_teardown(old_keys_are_forgotten, set_up_quick, tear_down),
		TEST(keys_are_their_users_own),
		TEST(service_may_end_before_the_answer),
		TEST(keys_without_memory_end_well),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
