/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Runs of oya-import, as shells that print what a broken one might. */
#include "host/importer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define TURN_US 5000000

struct seen {
	unsigned calls, percents[8];
	bool ended;
	int r;
	char line[256];
	size_t len;
	struct failure f;
};

static sd_event *loop;

static int set_up(void **state)
{
	sigset_t set;

	(void)state;
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return sd_event_new(&loop) < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
	(void)state;
	sd_event_unref(loop);
	return 0;
}

static void on_progress(void *ctx, unsigned percent)
{
	struct seen *s = ctx;

	if (s->calls < 8)
		s->percents[s->calls] = percent;
	s->calls++;
}

static void on_ended(void *ctx, int r, const char *line, const struct failure *f)
{
	struct seen *s = ctx;

	s->ended = true;
	s->r = r;
	s->len = strlen(line);
	memcpy(s->line, line, s->len < 255 ? s->len + 1 : 255);
	s->f = *f;
}

static struct importer *begin(const char *script, struct seen *s)
{
	const char *arguments[] = {"-c", script, NULL};
	const struct importer_events events = {on_progress, on_ended, s};
	struct importer *i = NULL;
	struct failure f;

	memset(s, 0, sizeof(*s));
	assert_int_equal(importer_start(loop, "/bin/sh", arguments, &events, &i, &f), 0);
	return i;
}

static void finish(const struct seen *s)
{
	for (unsigned n = 0; n < 1000 && !s->ended; n++)
		assert_true(sd_event_run(loop, TURN_US) >= 0);
	assert_true(s->ended);
}

static void run(const char *script, struct seen *s)
{
	(void)begin(script, s);
	finish(s);
}

static void progress_and_the_last_line_are_told(void **state)
{
	struct seen s = {0};

	(void)state;
	run("echo progress 1; echo progress 50; echo done 7", &s);
	assert_int_equal(s.r, 0);
	assert_int_equal(s.calls, 2);
	assert_int_equal(s.percents[1], 50);
	assert_string_equal(s.line, "done 7");
}

static void progress_that_is_none_is_left_out(void **state)
{
	struct seen s = {0};

	(void)state;
	run("echo progress 101; echo progress x; echo progress 5x; echo progress -1; echo 'progress '",
	    &s);
	assert_int_equal(s.r, 0);
	assert_int_equal(s.calls, 0);
	assert_string_equal(s.line, "");
}

static void its_sentence_is_that_of_the_failure(void **state)
{
	struct seen s = {0};

	(void)state;
	run("echo 'oya-import: cannot read a: it is torn' >&2; exit 1", &s);
	assert_int_equal(s.r, -EIO);
	assert_string_equal(s.f.text, "cannot read a: it is torn");
	run("exit 3", &s);
	assert_string_equal(s.f.text, "oya-import ended by status 3");
	run("kill -9 $$", &s);
	assert_string_equal(s.f.text, "oya-import ended by signal 9");
}

static void a_line_without_an_end_is_refused(void **state)
{
	struct seen s = {0};

	(void)state;
	run("head -c 3000000 /dev/zero | tr '\\0' x; echo; echo done 1", &s);
	assert_int_equal(s.r, -EPROTO);
	run("head -c 1000000 /dev/zero | tr '\\0' x; echo", &s);
	assert_int_equal(s.r, 0);
	assert_int_equal(s.len, 1000000);
	run("printf 'done 1'", &s);
	assert_int_equal(s.r, 0);
	assert_string_equal(s.line, "");
}

static void one_that_is_cancelled_ends_so(void **state)
{
	struct seen s = {0};
	struct importer *i = begin("exec sleep 600", &s);

	(void)state;
	importer_cancel(i);
	finish(&s);
	assert_int_equal(s.r, -ECANCELED);
}

static void one_that_is_killed_tells_nothing(void **state)
{
	struct seen s = {0};
	struct importer *i = begin("exec sleep 600", &s);

	(void)state;
	importer_kill(i);
	assert_true(sd_event_run(loop, 1000) >= 0);
	assert_false(s.ended);
	importer_kill(NULL);
}

static void a_program_that_is_not_there_is_told(void **state)
{
	const char *arguments[] = {"plan", NULL};
	const struct importer_events events = {on_progress, on_ended, NULL};
	struct importer *i = NULL;
	struct failure f;

	(void)state;
	assert_int_equal(importer_start(loop, "/nowhere/oya-import", arguments, &events, &i, &f),
			 -ENOENT);
	assert_string_equal(f.text, "cannot run /nowhere/oya-import: No such file or directory");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(progress_and_the_last_line_are_told),
		cmocka_unit_test(progress_that_is_none_is_left_out),
		cmocka_unit_test(its_sentence_is_that_of_the_failure),
		cmocka_unit_test(a_line_without_an_end_is_refused),
		cmocka_unit_test(one_that_is_cancelled_ends_so),
		cmocka_unit_test(one_that_is_killed_tells_nothing),
		cmocka_unit_test(a_program_that_is_not_there_is_told),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
