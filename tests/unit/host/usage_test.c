/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/usage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define TOUCHED (16u << 20)
#define TAIL                                                                     \
	" S 1 7 7 0 -1 4194560 900 0 2 0 250 50 0 0 20 0 4 0 12345 999999 1000 " \
	"18446744073709551615 1 1 0 0 0 0"

static void times_and_pages_are_found_behind_any_name(void **state)
{
	static const char *const texts[] = {"7 (oya-worker)" TAIL "\n", "7 (a) 9 (b)" TAIL,
					    "7 ())) S 1 2)" TAIL};
	struct usage u;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		assert_int_equal(usage_decode(texts[i], 100, 4096, &u), 0);
		assert_int_equal(u.cpu_us, 3000000);
		assert_int_equal(u.resident_bytes, 4096000);
	}
}

static void what_is_cut_is_refused_and_changes_nothing(void **state)
{
	static const char *const texts[] = {
		"", "7 (x", "7 (x)", "7 (x) S 1 7 7 0 -1 1 2 3 4 5 250 50",
		"7 (x) S 1 7 7 0 -1 1 2 3 4 5 none 50 0 0 0 0 0 0 0 0 1"};
	struct usage u = {1, 2};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_int_equal(usage_decode(texts[i], 100, 4096, &u), -EBADMSG);
	assert_int_equal(u.cpu_us, 1);
	assert_int_equal(u.resident_bytes, 2);
}

static int open_process(pid_t pid)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);

	assert_true(fd >= 0);
	return fd;
}

/* The kernel counts memory in lots of many pages. */
static void memory_that_was_touched_is_counted(void **state)
{
	char *memory = malloc(TOUCHED);
	int fd = open_process(getpid());
	struct usage u;

	(void)state;
	assert_non_null(memory);
	memset(memory, 1, TOUCHED);
	assert_int_equal(usage_read(fd, &u), 0);
	assert_true(u.resident_bytes > TOUCHED / 2 && u.resident_bytes < 64 * TOUCHED);
	close(fd);
	free(memory);
}

static void a_process_that_has_ended_is_not_read(void **state)
{
	pid_t child = fork();
	struct usage u;
	int fd;

	(void)state;
	if (child == 0)
		_exit(0);
	fd = open_process(child);
	waitpid(child, NULL, 0);
	assert_int_equal(usage_read(fd, &u), -ESRCH);
	close(fd);
	assert_true(usage_read(fd, &u) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(times_and_pages_are_found_behind_any_name),
		cmocka_unit_test(what_is_cut_is_refused_and_changes_nothing),
		cmocka_unit_test(memory_that_was_touched_is_counted),
		cmocka_unit_test(a_process_that_has_ended_is_not_read),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
