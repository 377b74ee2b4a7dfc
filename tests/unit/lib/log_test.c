/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Lines of the log as they come out of standard error, and the limit on their rate. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/log.h"

#define TEXT_MAX 4096

/* Standard error is a file in memory from set-up to tear-down. */
struct capture {
	int saved, file;
	char text[TEXT_MAX];
};

static int capture_begin(void **state)
{
	struct capture *c = calloc(1, sizeof(*c));

	*state = c;
	if (!c)
		return -1;
	c->saved = dup(STDERR_FILENO);
	c->file = memfd_create("stderr", MFD_CLOEXEC);
	if (c->saved < 0 || c->file < 0 || dup2(c->file, STDERR_FILENO) < 0)
		return -1;
	unsetenv("JOURNAL_STREAM");
	log_init("oya-test", LOG_LEVEL_INFO);
	return 0;
}

static int capture_end(void **state)
{
	struct capture *c = *state;

	dup2(c->saved, STDERR_FILENO);
	close(c->saved);
	close(c->file);
	free(c);
	return 0;
}

static const char *written(struct capture *c)
{
	ssize_t len = pread(c->file, c->text, sizeof(c->text) - 1, 0);

	assert_true(len >= 0);
	c->text[len] = '\0';
	return c->text;
}

static void line_begins_with_the_program(void **state)
{
	log_line(LOG_LEVEL_INFO, "disk %d is %s", 3, "full");
	assert_string_equal(written(*state), "oya-test: disk 3 is full\n");
}

static void line_below_the_level_is_not_written(void **state)
{
	log_line(LOG_LEVEL_DEBUG, "detail");
	assert_string_equal(written(*state), "");
	log_init("oya-test", LOG_LEVEL_DEBUG);
	log_line(LOG_LEVEL_DEBUG, "detail");
	assert_string_equal(written(*state), "oya-test: detail\n");
}

static void journal_gets_the_priority_instead_of_the_program(void **state)
{
	char stream[64];
	struct stat st;

	assert_int_equal(fstat(STDERR_FILENO, &st), 0);
	snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)st.st_dev,
		 (unsigned long long)st.st_ino);
	setenv("JOURNAL_STREAM", stream, 1);
	log_init("oya-test", LOG_LEVEL_INFO);
	unsetenv("JOURNAL_STREAM");
	log_line(LOG_LEVEL_ERROR, "broken");
	log_line(LOG_LEVEL_INFO, "well");
	assert_string_equal(written(*state), "<3>broken\n<6>well\n");
}

static void journal_of_another_process_is_not_ours(void **state)
{
	setenv("JOURNAL_STREAM", "8:1234", 1);
	log_init("oya-test", LOG_LEVEL_INFO);
	unsetenv("JOURNAL_STREAM");
	log_line(LOG_LEVEL_ERROR, "broken");
	assert_string_equal(written(*state), "oya-test: broken\n");
}

static void control_characters_cannot_forge_a_line(void **state)
{
	log_line(LOG_LEVEL_INFO, "guest says %s", "a\nb\rc\033[2Jd\177e\tf");
	assert_string_equal(written(*state), "oya-test: guest says a?b?c?[2Jd?e?f\n");
}

static void long_line_is_cut_and_ends_with_a_newline(void **state)
{
	char name[3000];
	const char *text;

	memset(name, 'x', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	log_line(LOG_LEVEL_INFO, "%s", name);
	text = written(*state);
	assert_int_equal(strlen(text), strlen("oya-test: ") + 1023 + 1);
	assert_int_equal(text[strlen(text) - 1], '\n');
	assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
}

static void limit_holds_back_what_passes_the_burst(void **state)
{
	struct log_limit l = {.period_ns = 1000, .burst = 2, .begun_ns = 5000};
	unsigned held;

	(void)state;
	assert_true(log_limit_pass(&l, 5000, &held));
	assert_true(log_limit_pass(&l, 5500, &held));
	assert_false(log_limit_pass(&l, 5500, &held));
	assert_false(log_limit_pass(&l, 5999, &held));
	assert_int_equal(held, 0);
}

static void limit_tells_once_how_many_it_held_back(void **state)
{
	struct log_limit l = {.period_ns = 1000, .burst = 1, .begun_ns = 5000};
	unsigned held;

	(void)state;
	assert_true(log_limit_pass(&l, 5000, &held));
	for (int i = 0; i < 7; i++)
		assert_false(log_limit_pass(&l, 5001, &held));
	assert_true(log_limit_pass(&l, 6000, &held));
	assert_int_equal(held, 7);
	assert_false(log_limit_pass(&l, 6001, &held));
	assert_true(log_limit_pass(&l, 9000, &held));
	assert_int_equal(held, 1);
	assert_true(log_limit_pass(&l, 12000, &held));
	assert_int_equal(held, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define CAPTURED(name) cmocka_unit_test_setup_teardown(name, capture_begin, capture_end)
		CAPTURED(line_begins_with_the_program),
		CAPTURED(line_below_the_level_is_not_written),
		CAPTURED(journal_gets_the_priority_instead_of_the_program),
		CAPTURED(journal_of_another_process_is_not_ours),
		CAPTURED(control_characters_cannot_forge_a_line),
		CAPTURED(long_line_is_cut_and_ends_with_a_newline),
		cmocka_unit_test(limit_holds_back_what_passes_the_burst),
		cmocka_unit_test(limit_tells_once_how_many_it_held_back),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
