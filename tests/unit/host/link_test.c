/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#undef fail /* lib/fail.h has one of its own */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/link.h"

/* A link, its loop, and the worker's end of its socket. */
struct set {
	sd_event *event;
	struct link *link;
	int worker;
	unsigned statuses, ended, answers;
	char state[32], sentence[128];
	json_t *result;
};

static void on_status(void *ctx, json_t *status)
{
	struct set *s = ctx;
	const char *state = json_string_value(json_object_get(status, "state"));

	s->statuses++;
	snprintf(s->state, sizeof(s->state), "%s", state ? state : "?");
}

static void on_ended(void *ctx)
{
	struct set *s = ctx;

	s->ended++;
	link_free(s->link);
	s->link = NULL;
}

static void on_answer(void *ctx, json_t *result, const char *sentence)
{
	struct set *s = ctx;

	s->answers++;
	json_decref(s->result);
	s->result = json_incref(result);
	snprintf(s->sentence, sizeof(s->sentence), "%s", sentence ? sentence : "");
}

static int set_up(void **state)
{
	struct set *s = calloc(1, sizeof(*s));
	const struct link_owner owner = {on_status, on_ended, s};
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_true(sd_event_new(&s->event) >= 0);
	assert_int_equal(link_new(s->event, pair[0], &owner, &s->link), 0);
	s->worker = pair[1];
	*state = s;
	return 0;
}

static int tear_down(void **state)
{
	struct set *s = *state;

	link_free(s->link);
	json_decref(s->result);
	close(s->worker);
	sd_event_unref(s->event);
	free(s);
	return 0;
}

static void turn(struct set *s)
{
	while (sd_event_run(s->event, 0) > 0)
		;
}

static void assert_asked(struct set *s, const char *expected)
{
	char text[4096];
	ssize_t n = recv(s->worker, text, sizeof(text) - 1, MSG_DONTWAIT);

	assert_true(n > 0);
	text[n] = '\0';
	assert_string_equal(text, expected);
}

static void tell(struct set *s, const char *text)
{
	assert_int_equal(write(s->worker, text, strlen(text)), strlen(text));
	turn(s);
}

static void link_watches_and_hands_each_status_on(void **state)
{
	struct set *s = *state;

	assert_asked(s, "{\"verb\":\"watch\"}\n");
	tell(s, "{\"ok\":true,\"result\":{\"state\":\"running\"}}\n");
	assert_string_equal(s->state, "running");
	tell(s, "{\"event\":\"status\",\"result\":{\"state\":\"paused\"}}\n{\"event\":\"new\"}\n");
	assert_string_equal(s->state, "paused");
	assert_int_equal(s->statuses, 2);
	assert_int_equal(s->ended, 0);
}

static void answers_come_in_order_with_news_between(void **state)
{
	struct set *s = *state;

	assert_asked(s, "{\"verb\":\"watch\"}\n");
	assert_int_equal(link_request(s->link, json_pack("{s:s}", "verb", "a"), -1, on_answer, s),
			 0);
	assert_int_equal(link_request(s->link, json_pack("{s:s}", "verb", "b"), -1, on_answer, s),
			 0);
	turn(s);
	assert_asked(s, "{\"verb\":\"a\"}\n{\"verb\":\"b\"}\n");
	tell(s,
	     "{\"ok\":true}\n{\"ok\":true,\"result\":5}\n{\"event\":\"status\",\"result\":{}}\n");
	assert_int_equal(s->answers, 1);
	assert_int_equal(json_integer_value(s->result), 5);
	tell(s, "{\"ok\":false,\"error\":\"it is pau");
	assert_int_equal(s->answers, 1);
	tell(s, "sed\"}\n");
	assert_int_equal(s->answers, 2);
	assert_string_equal(s->sentence, "it is paused");
}

static void descriptor_goes_along(void **state)
{
	struct set *s = *state;
	char text[256];
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = {text, sizeof(text)};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control.bytes,
			     .msg_controllen = sizeof(control.bytes)};
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	assert_asked(s, "{\"verb\":\"watch\"}\n");
	assert_int_equal(link_request(s->link, json_pack("{s:s}", "verb", "x"), fd, on_answer, s),
			 0);
	turn(s);
	assert_true(recvmsg(s->worker, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) > 0);
	assert_non_null(CMSG_FIRSTHDR(&msg));
	assert_int_equal(CMSG_FIRSTHDR(&msg)->cmsg_type, SCM_RIGHTS);
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
	close(fd);
}

/* In their order, and only with the first byte; the caller has none any more. */
static void several_descriptors_go_along(void **state)
{
	struct set *s = *state;
	struct link_fds fds = {.count = LINK_FDS_MAX};
	int pipes[LINK_FDS_MAX], got[LINK_FDS_MAX], pair[2];
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(got))];
	} control;
	char text[256], byte;
	struct iovec iov = {text, sizeof(text)};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control.bytes,
			     .msg_controllen = sizeof(control.bytes)};

	assert_asked(s, "{\"verb\":\"watch\"}\n");
	for (unsigned i = 0; i < LINK_FDS_MAX; i++) {
		assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
		pipes[i] = pair[0];
		fds.fd[i] = pair[1];
	}
	assert_int_equal(link_hand(s->link, json_pack("{s:s}", "verb", "x"), &fds, on_answer, s),
			 0);
	assert_int_equal(fds.count, 0);
	turn(s);
	assert_true(recvmsg(s->worker, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) > 0);
	assert_int_equal(CMSG_FIRSTHDR(&msg)->cmsg_len, CMSG_LEN(sizeof(got)));
	memcpy(got, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(got));
	for (unsigned i = 0; i < LINK_FDS_MAX; i++) {
		byte = (char)i;
		assert_int_equal(write(got[i], &byte, 1), 1);
		close(got[i]);
		assert_int_equal(read(pipes[i], text, 2), 1);
		assert_int_equal(text[0], byte);
		assert_int_equal(read(pipes[i], text, 1), 0); /* nobody else has it */
		close(pipes[i]);
	}
}

static void descriptors_of_a_request_that_is_refused_are_closed(void **state)
{
	struct set *s = *state;
	struct link_fds fds = {.count = 1};
	int pair[2];
	char byte;

	while (link_request(s->link, json_pack("{s:s}", "verb", "a"), -1, on_answer, s) == 0)
		;
	assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
	fds.fd[0] = pair[1];
	assert_int_equal(link_hand(s->link, json_object(), &fds, on_answer, s), -EBUSY);
	assert_int_equal(fds.count, 0);
	assert_int_equal(read(pair[0], &byte, 1), 0);
	close(pair[0]);
}

static void end_of_the_worker_answers_what_waits(void **state)
{
	struct set *s = *state;

	assert_int_equal(link_request(s->link, json_pack("{s:s}", "verb", "a"), -1, on_answer, s),
			 0);
	shutdown(s->worker, SHUT_RDWR);
	turn(s);
	assert_int_equal(s->ended, 1);
	assert_int_equal(s->answers, 1);
	assert_string_equal(s->sentence, "the connection to its worker has ended");
}

static void assert_ends_by(struct set *s, const char *text)
{
	tell(s, text);
	assert_int_equal(s->ended, 1);
}

static void line_that_is_no_json_ends_the_link(void **state)
{
	assert_ends_by(*state, "running\n");
}

static void answer_to_nothing_ends_the_link(void **state)
{
	assert_ends_by(*state, "{\"ok\":true}\n{\"ok\":true}\n");
}

static void line_without_end_ends_the_link(void **state)
{
	struct set *s = *state;
	static char text[65536];

	memset(text, ' ', sizeof(text));
	fcntl(s->worker, F_SETFL, O_NONBLOCK);
	for (unsigned i = 0; i < 64 && !s->ended; i++) {
		(void)!write(s->worker, text, sizeof(text));
		turn(s);
	}
	assert_int_equal(s->ended, 1);
}

static void worker_that_does_not_read_costs_a_bounded_number_of_requests(void **state)
{
	struct set *s = *state;
	unsigned n = 0;

	while (n < 1000 &&
	       link_request(s->link, json_pack("{s:s}", "verb", "a"), -1, on_answer, s) == 0)
		n++;
	assert_int_equal(n, LINK_REQUESTS_MAX - 1); /* and the one that watches */
	assert_int_equal(link_request(s->link, json_object(), -1, on_answer, s), -EBUSY);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(link_watches_and_hands_each_status_on),
		TEST(answers_come_in_order_with_news_between),
		TEST(descriptor_goes_along),
		TEST(several_descriptors_go_along),
		TEST(descriptors_of_a_request_that_is_refused_are_closed),
		TEST(end_of_the_worker_answers_what_waits),
		TEST(line_that_is_no_json_ends_the_link),
		TEST(answer_to_nothing_ends_the_link),
		TEST(line_without_end_ends_the_link),
		TEST(worker_that_does_not_read_costs_a_bounded_number_of_requests),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
