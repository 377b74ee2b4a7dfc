/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Calls of another host's API, where oya-tls is a shell that says what a hostile host might. */
#include "host/far.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"

#define TURN_US 5000000
#define GOOD \
	"echo good; exec >&-; while read line && [ \"$line\" != \"$(printf '\\r')\" ]; do :; done\n"

struct seen {
	bool done;
	int code, fd;
	unsigned status;
	bool sent;
	char text[FAIL_TEXT_MAX], name[32];
};

static sd_event *loop;
static char program[40];
static struct peer peer;

static int set_up(void **state)
{
	struct failure f;
	sigset_t set;

	(void)state;
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	strcpy(program, "/tmp/oya-far-XXXXXX");
	close(mkstemp(program));
	assert_int_equal(peer_decode_name("server:1", &peer, &f), 0);
	strcpy(peer.token, "oya_secret");
	return sd_event_new(&loop) < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
	(void)state;
	sd_event_unref(loop);
	return unlink(program);
}

static void on_done(void *ctx, const struct far_answer *a)
{
	struct seen *s = ctx;
	const char *name = json_string_value(json_object_get(a->body, "name"));

	assert_false(s->done);
	s->done = true;
	s->code = a->code;
	s->status = a->status;
	s->fd = a->fd;
	s->sent = a->sent;
	if (a->f)
		snprintf(s->text, sizeof(s->text), "%s", a->f->text);
	snprintf(s->name, sizeof(s->name), "%s", name ? name : "");
}

static struct far *begin(const char *script, const char *upgrade, struct seen *s)
{
	const struct far_wish wish = {program, &peer, "POST", "/v1/x", NULL, upgrade, NULL};
	FILE *file = fopen(program, "we");
	struct far *far = NULL;
	struct failure f;

	memset(s, 0, sizeof(*s));
	fprintf(file, "#!/bin/sh\n%s\n", script);
	fclose(file);
	chmod(program, 0700);
	assert_int_equal(far_start(loop, &wish, on_done, s, &far, &f), 0);
	return far;
}

static void run(const char *script, const char *upgrade, struct seen *s)
{
	(void)begin(script, upgrade, s);
	for (unsigned n = 0; n < 1000 && !s->done; n++)
		assert_true(sd_event_run(loop, TURN_US) >= 0);
	assert_true(s->done);
}

static void an_answer_is_status_and_json(void **state)
{
	struct seen s;

	(void)state;
	run(GOOD
	    "printf 'HTTP/1.1 201 Created\\r\\nContent-Length: 14\\r\\n\\r\\n{\"name\":\"web\"}' >&0; "
	    "sleep 60",
	    NULL, &s);
	assert_int_equal(s.code, 0);
	assert_int_equal(s.status, 201);
	assert_string_equal(s.name, "web");
	assert_int_equal(s.fd, -1);
	/* In pieces, up to the end of the connection. */
	run(GOOD
	    "for part in 'HTTP/1.0 2' '00 OK\\r' '\\n\\r\\n{\"name\"' ':\"db\"}'; do printf \"$part\" >&0; "
	    "sleep 0.02; done",
	    NULL, &s);
	assert_int_equal(s.status, 200);
	assert_string_equal(s.name, "db");
	run(GOOD
	    "printf 'HTTP/1.1 204 No Content\\r\\nContent-Length: 0\\r\\n\\r\\n' >&0; sleep 60",
	    NULL, &s);
	assert_int_equal(s.status, 204);
}

static void a_refusal_has_its_sentence(void **state)
{
	struct seen s;

	(void)state;
	run(GOOD "printf 'HTTP/1.1 409 Conflict\\r\\nContent-Type: application/problem+json\\r\\n"
		 "Content-Length: 16\\r\\n\\r\\n{\"detail\":\"why\"}' >&0; sleep 60",
	    "oya-migration", &s);
	assert_int_equal(s.code, 0);
	assert_int_equal(s.status, 409);
	assert_string_equal(s.text, "why");
	run(GOOD "printf 'HTTP/1.1 500 No\\r\\nContent-Length: 0\\r\\n\\r\\n' >&0", NULL, &s);
	assert_non_null(strstr(s.text, "server:1 refuses with status 500"));
}

static void a_stream_has_all_that_came_behind_the_head(void **state)
{
	char bytes[8] = "";
	struct seen s;

	(void)state;
	run(GOOD
	    "printf 'HTTP/1.1 101 Switching\\r\\nUpgrade: oya-migration\\r\\n\\r\\nhello\\n' >&0",
	    "oya-migration", &s);
	assert_int_equal(s.status, 101);
	assert_true(s.fd >= 0);
	assert_int_equal(read(s.fd, bytes, 6), 6);
	assert_string_equal(bytes, "hello\n");
	assert_int_equal(read(s.fd, bytes, 6), 0); /* the program ends with the stream */
	close(s.fd);
}

static void what_is_no_answer_is_told_so(void **state)
{
	static const struct {
		const char *script, *part;
		bool sent;
	} bad[] = {
		{"echo failed 'Connection refused'", "cannot connect to server:1", false},
		{"echo changed 00", "is another one", false},
		{"exit 1", "without a word", false},
		{"yes good | tr -d '\\n'", "without a word", false},
		{GOOD "exit", "has ended without a whole one", true},
		{GOOD "printf 'HTTP/1.1 200 OK\\r\\nContent-Length: 9\\r\\n\\r\\n{}' >&0",
		 "without a whole one", true},
		{GOOD "printf 'SSH-2.0\\r\\n\\r\\n' >&0", "does not speak the API", true},
		{GOOD "printf 'HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\n{]' >&0",
		 "does not speak the API", true},
		{GOOD "printf 'HTTP/1.0 200 OK\\r\\n\\r\\n' >&0; yes '\"' >&0", "longer than 1 MiB",
		 true},
		{GOOD "yes >&0", "does not speak the API", true},
	};
	struct seen s;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		run(bad[i].script, NULL, &s);
		assert_true(s.code < 0);
		assert_int_equal(s.sent, bad[i].sent);
		if (!strstr(s.text, bad[i].part))
			fail_msg("%s: '%s'", bad[i].script, s.text);
		assert_null(strstr(s.text, "oya_secret"));
	}
}

static void a_call_that_is_cancelled_tells_nothing_any_more(void **state)
{
	struct far *far;
	struct seen s;

	(void)state;
	far = begin("sleep 600", NULL, &s);
	far_cancel(far);
	for (unsigned n = 0; n < 3; n++)
		assert_true(sd_event_run(loop, 100000) >= 0);
	assert_false(s.done);
	far_cancel(NULL);
}

static void a_program_that_is_not_there_is_told_at_once(void **state)
{
	const struct far_wish wish = {"/nowhere/oya-tls", &peer, "GET", "/", NULL, NULL, NULL};
	struct failure f;
	struct far *far;

	(void)state;
	assert_int_equal(far_start(loop, &wish, on_done, NULL, &far, &f), -ENOENT);
	assert_non_null(strstr(f.text, "/nowhere/oya-tls"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_answer_is_status_and_json),
		cmocka_unit_test(a_refusal_has_its_sentence),
		cmocka_unit_test(a_stream_has_all_that_came_behind_the_head),
		cmocka_unit_test(what_is_no_answer_is_told_so),
		cmocka_unit_test(a_call_that_is_cancelled_tells_nothing_any_more),
		cmocka_unit_test(a_program_that_is_not_there_is_told_at_once),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
