/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What lasts: answers that come later, event streams, raw streams; and clients that are slow, many
 * or gone.
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
#include <sys/resource.h>
#include <unistd.h>

#include "base/util.h"
#include "tests/lib/failheap.h"
#include "tests/lib/httphost.h"

#define HOST "Host: x\r\n"
#define START "POST /v1/things/a/start HTTP/1.1\r\n" HOST "\r\n"
#define LIST "GET /v1/things HTTP/1.1\r\n" HOST "\r\n"
#define STREAM "GET /v1/stream HTTP/1.1\r\n" HOST "\r\n"
#define CONSOLE                                      \
	"GET /v1/things/a/console HTTP/1.1\r\n" HOST \
	"Connection: keep-alive, Upgrade\r\nUpgrade: oya-console\r\n\r\n"

static const struct http_config quick = {.idle_ms = 200, .alive_ms = 40};
static const struct http_config few = {.connections_max = 8, .user_connections_max = 8};

static int set_up(void **state)
{
	*state = httphost_new(NULL);
	return 0;
}

static int set_up_quick(void **state)
{
	*state = httphost_new(&quick);
	return 0;
}

static int set_up_few(void **state)
{
	*state = httphost_new(&few);
	return 0;
}

static int tear_down(void **state)
{
	httphost_free(*state);
	return 0;
}

static int start(struct httphost *s, const char *bytes)
{
	int fd = httphost_connect(s);

	httphost_send(s, fd, bytes, strlen(bytes));
	return fd;
}

static void assert_status(struct httphost *s, int fd, const char *status)
{
	httphost_receive(s, fd, NULL);
	assert_memory_equal(s->text, "HTTP/1.1 ", 9);
	assert_memory_equal(s->text + 9, status, 3);
}

static void accept_later(struct httphost *s)
{
	assert_true(s->laters > 0);
	http_reply(s->later[--s->laters], &(struct http_reply){.status = 202});
}

static void assert_closed(struct httphost *s, int fd)
{
	bool closed;

	httphost_receive(s, fd, &closed);
	assert_true(closed);
	close(fd);
}

/* ---- later ---- */

static void an_answer_can_come_later_and_others_do_not_wait(void **state)
{
	struct httphost *s = *state;
	int fd = start(s, START), other = start(s, LIST);

	assert_int_equal(s->laters, 1);
	assert_status(s, other, "200");
	assert_string_equal(httphost_receive(s, fd, NULL), "");
	assert_string_equal(http_param(s->later[0], "name"), "a");
	accept_later(s);
	assert_status(s, fd, "202");
	httphost_send(s, fd, LIST, strlen(LIST));
	assert_status(s, fd, "200");
	close(fd);
	close(other);
}

static void an_answer_to_a_client_that_is_gone_does_nothing(void **state)
{
	struct httphost *s = *state;
	int fd = start(s, START), half = start(s, START);

	assert_false(http_gone(s->later[0]));
	close(fd);
	shutdown(half, SHUT_WR);
	httphost_settle(s);
	assert_int_equal(s->laters, 2);
	assert_true(http_gone(s->later[0]));
	assert_true(http_gone(s->later[1]));
	assert_string_equal(http_param(s->later[0], "name"), "a");
	accept_later(s);
	accept_later(s);
	assert_closed(s, half);
}

static void requests_that_follow_wait_for_the_answer(void **state)
{
	struct httphost *s = *state;
	int fd = start(s, START START LIST);

	assert_int_equal(s->laters, 1);
	assert_int_equal(s->calls, 1);
	accept_later(s);
	httphost_settle(s);
	assert_int_equal(s->calls, 2);
	accept_later(s);
	httphost_settle(s);
	assert_int_equal(s->calls, 3);
	assert_status(s, fd, "202");
	close(fd);
}

/* The request, a stream and an upgrade of clients that are gone, ended when nobody is there. */
static void a_late_failure_or_stream_to_nobody_does_nothing(void **state)
{
	struct httphost *s = *state;
	struct http_stream *stream;
	struct failure f;

	close(start(s, START));
	close(start(s, START));
	httphost_settle(s);
	assert_int_equal(s->laters, 2);
	fail(&f, 0, "too late");
	http_fail(s->later[--s->laters], 500, &f);
	assert_int_equal(http_stream_open(s->later[--s->laters], NULL, NULL, &stream), -EPIPE);
}

static void all_ends_while_answers_are_awaited(void **state)
{
	struct httphost *s = *state;
	int fd[4] = {start(s, START), start(s, STREAM), start(s, "GET /v1/things"), start(s, LIST)};

	http_free(s->http);
	s->http = NULL;
	assert_int_equal(s->streams_gone, 1);
	assert_true(http_gone(s->later[0]));
	accept_later(s);
	for (size_t i = 0; i < ARRAY_LEN(fd); i++)
		assert_closed(s, fd[i]);
}

/* ---- event streams ---- */

static void a_stream_carries_events_as_they_come(void **state)
{
	struct httphost *s = *state;
	int fd = start(s, STREAM);

	assert_status(s, fd, "200");
	assert_non_null(strstr(s->text, "\r\nContent-Type: text/event-stream\r\n"));
	assert_int_equal(http_stream_send(s->stream, 7, "vm", "{\"a\":1}"), 0);
	assert_string_equal(httphost_receive(s, fd, NULL),
			    "1F\r\nid: 7\nevent: vm\ndata: {\"a\":1}\n\n\r\n");
	assert_int_equal(http_stream_send(s->stream, 0, "vm", "two\nlines\n"), 0);
	assert_non_null(strstr(httphost_receive(s, fd, NULL),
			       "\nevent: vm\ndata: two\ndata: lines\ndata: \n\n\r\n"));
	http_stream_close(s->stream);
	s->stream = NULL;
	assert_closed(s, fd);
	assert_string_equal(s->text, "0\r\n\r\n");
	assert_int_equal(s->streams_gone, 0);
}

static void a_stream_whose_client_goes_is_told_once(void **state)
{
	struct httphost *s = *state;
	int fd = start(s, STREAM);

	assert_non_null(s->stream);
	close(fd);
	httphost_settle(s);
	assert_int_equal(s->streams_gone, 1);
	assert_null(s->stream);
}

static void a_client_that_does_not_read_is_let_go(void **state)
{
	static char data[60000];
	struct httphost *s = *state;
	int fd = start(s, STREAM), other = start(s, LIST);
	unsigned sent = 0;

	memset(data, 'x', sizeof(data) - 1);
	while (s->stream && sent < 100 && http_stream_send(s->stream, 1, "vm", data) == 0) {
		sent++;
		httphost_settle(s);
	}
	assert_true(sent >= HTTP_STREAM_BUFFER_MAX / sizeof(data));
	assert_true(sent < 100);
	assert_int_equal(s->streams_gone, 0); /* not from within http_stream_send() */
	assert_int_equal(http_stream_send(s->stream, 1, "vm", "{}"), -EPIPE);
	httphost_settle(s);
	assert_int_equal(s->streams_gone, 1);
	assert_status(s, other, "200");
	assert_closed(s, fd);
	close(other);
}

/* It reads nothing of the little that it is sent, but its socket's buffer takes it for a while. */
static void a_stream_that_stands_still_ends(void **state)
{
	static char data[200000];
	struct httphost *s = *state;
	int fd = start(s, STREAM);

	memset(data, 'x', sizeof(data) - 1);
	for (unsigned i = 0; i < 4; i++)
		http_stream_send(s->stream, 1, "vm", data);
	httphost_pass(s, 500);
	assert_int_equal(s->streams_gone, 1);
	close(fd);
}

static void a_quiet_stream_carries_comments(void **state)
{
	struct httphost *s = *state;
	int fd = start(s, STREAM);

	httphost_receive(s, fd, NULL);
	for (unsigned comments = 0; comments < 3; comments++) {
		while (!httphost_receive(s, fd, NULL)[0])
			httphost_pass(s, 40);
		assert_memory_equal(s->text, "3\r\n:\n\n\r\n", 8);
	}
	assert_int_equal(s->streams_gone, 0);
	close(fd);
}

static void streams_are_counted(void **state)
{
	struct httphost *s = *state;
	int fd[HTTP_STREAMS_MAX], last;

	for (size_t i = 0; i < ARRAY_LEN(fd); i++)
		fd[i] = start(s, "GET /v1/events HTTP/1.1\r\n" HOST "\r\n");
	last = start(s, STREAM);
	assert_status(s, last, "503");
	assert_non_null(strstr(s->text, "\r\nRetry-After: 1\r\n"));
	close(fd[0]);
	httphost_settle(s);
	httphost_send(s, last, STREAM, strlen(STREAM));
	assert_status(s, last, "200");
	for (size_t i = 1; i < ARRAY_LEN(fd); i++)
		close(fd[i]);
	close(last);
}

/* ---- events ---- */

static int listen_from(struct httphost *s, const char *last_id)
{
	char head[256] = "GET /v1/events HTTP/1.1\r\n" HOST;

	if (last_id)
		snprintf(head + strlen(head), sizeof(head) - strlen(head), "Last-Event-ID: %s\r\n",
			 last_id);
	strcat(head, "\r\n");
	return start(s, head);
}

/* The numbers and types of the events that come, such as "100 vm, 101 vm". */
static void assert_events(struct httphost *s, int fd, const char *expected)
{
	char told[256] = "";
	const char *at;

	httphost_receive(s, fd, NULL);
	at = s->text;
	while ((at = strstr(at, "id: "))) {
		unsigned id;
		char type[16];

		assert_int_equal(sscanf(at, "id: %u\nevent: %15s", &id, type), 2);
		snprintf(told + strlen(told), sizeof(told) - strlen(told), "%s%u %s",
			 told[0] ? ", " : "", id, type);
		at++;
	}
	assert_string_equal(told, expected);
}

static void events_reach_all_who_listen(void **state)
{
	struct httphost *s = *state;
	int one, two;

	assert_int_equal(events_publish(s->events, "before", json_object()), 100);
	one = listen_from(s, NULL);
	two = listen_from(s, NULL);
	assert_int_equal(events_publish(s->events, "vm", json_pack("{s:i}", "a", 1)), 101);
	assert_events(s, one, "101 vm");
	assert_events(s, two, "101 vm");
	close(one);
	assert_int_equal(events_publish(s->events, "vm", json_object()), 102);
	assert_events(s, two, "102 vm");
	close(two);
}

static void a_listener_takes_up_where_it_was(void **state)
{
	struct httphost *s = *state;
	int fd;

	for (unsigned i = 0; i < 6; i++)
		events_publish(s->events, "vm", json_object());
	/* The last four are kept: 102 to 105. */
	fd = listen_from(s, "101");
	assert_events(s, fd, "102 vm, 103 vm, 104 vm, 105 vm");
	events_publish(s->events, "job", json_object());
	assert_events(s, fd, "106 job");
	close(fd);
	fd = listen_from(s, "106");
	assert_events(s, fd, "");
	close(fd);
}

static void a_listener_that_has_missed_events_is_told_of_a_gap(void **state)
{
	static const char *const id[] = {"100", "0", "106", "9999", "18446744073709551615",
					 "-1",  "x", "",    "1 ",   "99999999999999999999999"};
	struct httphost *s = *state;

	for (unsigned i = 0; i < 6; i++)
		events_publish(s->events, "vm", json_object());
	for (size_t i = 0; i < ARRAY_LEN(id); i++) {
		int fd = listen_from(s, id[i]);

		assert_events(s, fd, "105 gap");
		assert_non_null(strstr(s->text, "data: {\"next\":106}"));
		close(fd);
		httphost_settle(s);
	}
}

static void an_event_that_is_too_long_leaves_a_gap(void **state)
{
	static char text[EVENT_BYTES_MAX];
	struct httphost *s = *state;
	int fd = listen_from(s, NULL);

	memset(text, 'x', sizeof(text) - 1);
	assert_int_equal(events_publish(s->events, "vm", json_object()), 100);
	assert_int_equal(events_publish(s->events, "vm", json_pack("{s:s}", "a", text)), 0);
	assert_int_equal(events_publish(s->events, "vm", NULL), 0);
	assert_int_equal(events_publish(s->events, "vm", json_object()), 103);
	assert_events(s, fd, "100 vm, 101 gap, 102 gap, 103 vm");
	close(fd);
	fd = listen_from(s, "100");
	assert_events(s, fd, "103 gap");
	close(fd);
}

/* What is kept is bounded in bytes too, so that a replay fits the buffer of a stream. */
static void kept_events_fit_a_stream(void **state)
{
	static char text[EVENT_BYTES_MAX - 100];
	struct httphost *s = *state;
	struct events *events;
	int fd;

	memset(text, 'x', sizeof(text) - 1);
	assert_int_equal(events_new(4096, 1, &events), 0);
	events_free(s->events);
	s->events = events;
	for (unsigned i = 0; i < 20; i++)
		events_publish(events, "vm", json_pack("{s:s}", "a", text));
	fd = listen_from(s, "12");
	assert_events(s, fd, "13 vm, 14 vm, 15 vm, 16 vm, 17 vm, 18 vm, 19 vm, 20 vm");
	close(fd);
	fd = listen_from(s, "11");
	assert_events(s, fd, "20 gap");
	close(fd);
}

static int keep_events(void *ctx)
{
	struct events *e;
	int r = events_new(2, 1, &e);

	(void)ctx;
	if (r < 0)
		return r;
	for (unsigned i = 0; i < 3; i++) {
		if (!events_publish(e, "vm", json_object()))
			r = -ENOMEM;
	}
	events_free(e);
	return r;
}

static void events_without_memory_are_a_gap(void **state)
{
	(void)state;
	assert_true(failheap_sweep(keep_events, NULL) >= 4);
}

/* ---- raw streams ---- */

static void a_connection_becomes_a_raw_stream_with_what_came_early(void **state)
{
	struct httphost *s = *state;
	int fd = start(s, CONSOLE "early");
	char got[16];

	assert_int_equal(s->raws, 1);
	assert_status(s, fd, "101");
	assert_non_null(strstr(s->text, "\r\nUpgrade: oya-console\r\n"));
	assert_int_equal(s->early_len, 5);
	assert_memory_equal(s->early, "early", 5);
	/* It hangs on nothing of the service's any more. */
	http_free(s->http);
	s->http = NULL;
	assert_int_equal(write(s->raw, "hello", 5), 5);
	assert_int_equal(read(fd, got, sizeof(got)), 5);
	assert_int_equal(write(fd, "there", 5), 5);
	assert_int_equal(read(s->raw, got, sizeof(got)), 5);
	assert_memory_equal(got, "there", 5);
	assert_true(read(s->raw, got, 1) < 0 && errno == EAGAIN);
	close(fd);
	assert_int_equal(read(s->raw, got, 1), 0);
}

static void a_stream_that_is_not_asked_for_is_refused(void **state)
{
	static const char *const lines[] = {
		" HTTP/1.1\r\n" HOST "\r\n",
		" HTTP/1.1\r\n" HOST "Upgrade: oya-console\r\n\r\n",
		" HTTP/1.1\r\n" HOST "Connection: upgrade\r\n\r\n",
		" HTTP/1.1\r\n" HOST "Connection: upgrade\r\nUpgrade: websocket\r\n\r\n",
		" HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: oya-console\r\n\r\n",
	};
	struct httphost *s = *state;
	char bytes[256];

	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		snprintf(bytes, sizeof(bytes), "GET /v1/things/a/console%s", lines[i]);
		httphost_talk(s, bytes, strlen(bytes), NULL);
		assert_memory_equal(s->text, "HTTP/1.1 426 ", 13);
		assert_non_null(strstr(s->text, "\r\nUpgrade: oya-console\r\n"));
	}
	assert_int_equal(s->calls, 0);
}

/* ---- slow, many, gone ---- */

/* A byte now and then does not keep a head, a body or an idle connection open. */
static void a_client_that_drips_is_let_go(void **state)
{
	static const char *const begun[] = {
		"",
		"G",
		"GET /v1/things HTTP/1.1\r\nHost:",
		"PATCH /v1/things/a HTTP/1.1\r\n" HOST
		"Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{",
		LIST,
		"\r\n\r\n"};
	struct httphost *s = *state;
	int fd[ARRAY_LEN(begun)];

	for (size_t i = 0; i < ARRAY_LEN(begun); i++)
		fd[i] = start(s, begun[i]);
	for (unsigned ms = 0; ms < 500; ms += 20) {
		for (size_t i = 0; i < ARRAY_LEN(begun); i++)
			httphost_send(s, fd[i], i == 5 ? "\n" : " ", 1);
		httphost_pass(s, 20);
	}
	for (size_t i = 0; i < ARRAY_LEN(begun); i++)
		assert_closed(s, fd[i]);
}

static void a_client_that_does_not_read_its_answer_is_let_go(void **state)
{
	static char chunk[1 << 16];
	struct httphost *s = *state;
	int fd = httphost_connect(s);
	char byte;
	ssize_t n = 1;

	/* Answers fill the socket's buffer; then the connection stands still. */
	memset(chunk, 0, sizeof(chunk));
	for (size_t at = 0; at + strlen(LIST) < sizeof(chunk); at += strlen(LIST))
		memcpy(chunk + at, LIST, strlen(LIST));
	for (unsigned i = 0; i < 200 && n > 0; i++) {
		n = send(fd, chunk, strlen(chunk), MSG_NOSIGNAL);
		httphost_settle(s);
	}
	assert_int_equal(n, -1);
	httphost_pass(s, 500);
	while ((n = recv(fd, &byte, 1, 0)) > 0)
		continue;
	assert_true(n == 0 || errno != EAGAIN);
	close(fd);
}

static void requests_that_are_being_worked_on_have_no_deadline(void **state)
{
	struct httphost *s = *state;
	int fd = start(s, START);

	httphost_pass(s, 500);
	accept_later(s);
	assert_status(s, fd, "202");
	close(fd);
}

static void idle_clients_make_room_for_new_ones(void **state)
{
	struct httphost *s = *state;
	int fd[20], busy = start(s, START);

	for (size_t i = 0; i < ARRAY_LEN(fd); i++) {
		fd[i] = start(s, i % 2 ? LIST : "GET /v1/th");
		if (i % 2)
			assert_status(s, fd[i], "200");
	}
	accept_later(s);
	assert_status(s, busy, "202");
	for (size_t i = 0; i < 13; i++)
		assert_closed(s, fd[i]);
	for (size_t i = 13; i < ARRAY_LEN(fd); i++)
		close(fd[i]);
	close(busy);
}

static void busy_clients_make_no_room(void **state)
{
	struct httphost *s = *state;
	int fd[8], more;

	for (size_t i = 0; i < ARRAY_LEN(fd); i++)
		fd[i] = start(s, START);
	more = start(s, LIST);
	assert_closed(s, more);
	while (s->laters)
		accept_later(s);
	httphost_settle(s);
	more = start(s, LIST);
	assert_status(s, more, "200");
	close(more);
	for (size_t i = 0; i < ARRAY_LEN(fd); i++)
		close(fd[i]);
}

static void strangers_have_half_of_the_connections(void **state)
{
	struct httphost *s = *state;
	int stranger[6], known[4];
	bool closed;

	s->role = HTTP_STRANGER;
	for (size_t i = 0; i < ARRAY_LEN(stranger); i++)
		stranger[i] = start(s, "GET /v1/th");
	assert_closed(s, stranger[0]);
	assert_closed(s, stranger[1]);
	s->role = HTTP_READER;
	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		known[i] = start(s, LIST);
		assert_status(s, known[i], "200");
	}
	for (size_t i = 2; i < ARRAY_LEN(stranger); i++) {
		httphost_receive(s, stranger[i], &closed);
		assert_false(closed);
		close(stranger[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		close(known[i]);
}

/* Hundreds that drip do not keep one from its answer. */
static void slow_clients_do_not_starve_others(void **state)
{
	struct httphost *s = *state;
	int fd[400], one;

	for (size_t i = 0; i < ARRAY_LEN(fd); i++) {
		fd[i] = start(s, "GET /v1/things HTTP/1.1\r\nA: ");
		httphost_send(s, fd[i], "b", 1);
	}
	one = start(s, LIST);
	assert_status(s, one, "200");
	close(one);
	for (size_t i = 0; i < ARRAY_LEN(fd); i++)
		close(fd[i]);
}

/* No descriptor is left for a client: it waits, and nothing spins. */
static void a_client_waits_while_descriptors_are_short(void **state)
{
	struct httphost *s = *state;
	struct rlimit before, none;
	int fd = httphost_connect(s);
	unsigned turns = 0;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	none.rlim_cur = (rlim_t)fd;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	while (sd_event_run(s->loop, 0) > 0)
		turns++;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_true(turns < 10);
	httphost_send(s, fd, LIST, strlen(LIST));
	assert_string_equal(httphost_receive(s, fd, NULL), "");
	httphost_pass(s, 150);
	assert_status(s, fd, "200");
	close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define FEW(name) cmocka_unit_test_setup_teardown(name, set_up_few, tear_down)
#define QUICK(name) cmocka_unit_test_setup_teardown(name, set_up_quick, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_answer_can_come_later_and_others_do_not_wait),
		TEST(an_answer_to_a_client_that_is_gone_does_nothing),
		TEST(requests_that_follow_wait_for_the_answer),
		TEST(a_late_failure_or_stream_to_nobody_does_nothing),
		TEST(all_ends_while_answers_are_awaited),
		TEST(a_stream_carries_events_as_they_come),
		TEST(a_stream_whose_client_goes_is_told_once),
		TEST(a_client_that_does_not_read_is_let_go),
		QUICK(a_stream_that_stands_still_ends),
		QUICK(a_quiet_stream_carries_comments),
		TEST(streams_are_counted),
		TEST(events_reach_all_who_listen),
		TEST(a_listener_takes_up_where_it_was),
		TEST(a_listener_that_has_missed_events_is_told_of_a_gap),
		TEST(an_event_that_is_too_long_leaves_a_gap),
		TEST(kept_events_fit_a_stream),
		TEST(events_without_memory_are_a_gap),
		TEST(a_connection_becomes_a_raw_stream_with_what_came_early),
		TEST(a_stream_that_is_not_asked_for_is_refused),
		QUICK(a_client_that_drips_is_let_go),
		QUICK(a_client_that_does_not_read_its_answer_is_let_go),
		QUICK(requests_that_are_being_worked_on_have_no_deadline),
		FEW(idle_clients_make_room_for_new_ones),
		FEW(busy_clients_make_no_room),
		FEW(strangers_have_half_of_the_connections),
		TEST(slow_clients_do_not_starve_others),
		TEST(a_client_waits_while_descriptors_are_short),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
