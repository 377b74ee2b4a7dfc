/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `oya top` against a host service that answers what is written down here. */
#include "cli/command.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "base/util.h"
#include "tests/lib/fakeapi.h"
#include "tests/lib/runoya.h"

#define PATIENCE_MS 20000
#define LIST                                                                                           \
	{                                                                                              \
		"GET /v1/vms?limit=1000 ",                                                             \
			FAKEAPI_JSON(                                                                  \
				"200 OK",                                                              \
				"{\"vms\": [{\"name\": \"idle\", \"state\": \"off\", \"cpus\": null, " \
				"\"memory_mib\": null}, {\"name\": \"web\", \"state\": \"running\", "  \
				"\"cpus\": 2, \"memory_mib\": 512}], \"next\": null}"),                \
			false                                                                          \
	}
#define COUNTERS(cpu, exits, reads, bytes)                                                     \
	{                                                                                      \
		"GET /v1/vms/web/statistics ",                                                 \
			FAKEAPI_JSON("200 OK", "{\"processors\": {\"exits\": " exits           \
					       "}, \"disks\": [{\"reads\": " reads             \
					       ", \"writes\": 0, \"read_bytes\": " bytes       \
					       ", \"written_bytes\": 0}], "                    \
					       "\"nics\": [], \"worker\": {\"cpu_usec\": " cpu \
					       ", \"resident_bytes\": 1048576}}"),             \
			false                                                                  \
	}

static struct fakeapi server;

static struct oya_run run(const char *words, const struct fakeapi_answer *answers, size_t count)
{
	struct oya_run r;

	fakeapi_start(&server, answers, count);
	r = oya_run(words, server.path);
	if (!fakeapi_stop(&server))
		fail_msg("%s: not all was asked for as expected; %s", words, r.err);
	return r;
}

static void two_looks_make_a_table_of_rates(void **state)
{
	static const struct fakeapi_answer answers[] = {
		LIST, COUNTERS("1000000", "500", "10", "1000000"), LIST,
		COUNTERS("1100000", "1500", "12", "41000000")};
	struct oya_run r = run("top --once --delay 0.2 --socket %s", answers, ARRAY_LEN(answers));
	double cpu, operations, mb, net, exits;
	const char *web = strstr(r.out, "web ");

	(void)state;
	assert_int_equal(r.status, 0);
	assert_non_null(web);
	assert_int_equal(sscanf(web, "web running 2 %lf 512 MiB 1 MiB %lf %lf %lf %lf", &cpu,
				&operations, &mb, &net, &exits),
			 5);
	/* In a little more than the 0.2 s: at most 50 %, 10, 200 MB, 5000 a second. */
	assert_true(cpu > 1 && cpu <= 50.1);
	assert_true(operations <= 10 && mb > 4 && mb <= 200.1 && net < 0.01);
	assert_true(exits > 100 && exits <= 5000);
	/* The busiest first. */
	assert_true(web < strstr(r.out, "idle "));
	oya_run_done(&r);
}

static void counters_that_went_back_have_no_rate(void **state)
{
	static const struct fakeapi_answer answers[] = {
		LIST, COUNTERS("1000000", "500", "10", "10"), LIST, COUNTERS("0", "5", "1", "1")};
	struct oya_run r = run("top --delay 0.1 --socket %s", answers, ARRAY_LEN(answers));
	char cells[4][16];

	(void)state;
	assert_int_equal(sscanf(strstr(r.out, "web "), "web running 2 %15s 512 MiB 1 MiB %15s %15s",
				cells[0], cells[1], cells[2]),
			 3);
	for (int i = 0; i < 3; i++)
		assert_string_equal(cells[i], "-");
	oya_run_done(&r);
}

static void a_delay_that_makes_no_sense_is_refused(void **state)
{
	static const char *const words[] = {"top --delay 0",    "top --delay x",  "top --delay nan",
					    "top --delay 4000", "top --delay 1s", "top web"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		struct oya_run r = oya_run(words[i], "");

		assert_int_equal(r.status, 2);
		assert_string_equal(r.out, "");
		oya_run_done(&r);
	}
}

/* ---- on a terminal ---- */

static void expect(int fd, const char *text)
{
	static char seen[65536];
	size_t len = 0;

	while (!strstr(seen, text)) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		ssize_t n;

		if (poll(&p, 1, PATIENCE_MS) <= 0 || len + 1 >= sizeof(seen))
			fail_msg("no '%s' within '%s'", text, seen);
		n = read(fd, seen + len, sizeof(seen) - 1 - len);
		if (n <= 0)
			fail_msg("it ends without '%s': '%s'", text, seen);
		len += (size_t)n;
		seen[len] = '\0';
	}
	memset(seen, 0, sizeof(seen));
}

static _Noreturn void child_on(const char *terminal)
{
	char *argv[] = {(char *)(uintptr_t) "top",
			(char *)(uintptr_t) "--delay",
			(char *)(uintptr_t) "60",
			(char *)(uintptr_t) "--socket",
			server.path,
			NULL};
	int fd = open(terminal, O_RDWR);

	for (int i = 0; i < 3; i++)
		dup2(fd, i);
	_exit(command_main(5, argv, stdout, stderr));
}

static void on_a_terminal_keys_sort_and_end_it(void **state)
{
	static const struct fakeapi_answer answers[] = {LIST, COUNTERS("1", "1", "1", "1")};
	struct termios before = {0}, after = {0};
	int master = posix_openpt(O_RDWR | O_NOCTTY), slave, status;
	pid_t child;

	(void)state;
	assert_true(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
	slave = open(ptsname(master), O_RDWR | O_NOCTTY);
	assert_int_equal(tcgetattr(slave, &before), 0);
	fakeapi_start(&server, answers, ARRAY_LEN(answers));
	child = fork();
	assert_true(child >= 0);
	if (child == 0)
		child_on(ptsname(master));
	expect(master, "sorted by cpu");
	assert_int_equal(write(master, "s", 1), 1);
	expect(master, "sorted by memory");
	assert_int_equal(write(master, "q", 1), 1);
	expect(master, "\033[?1049l");
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	assert_int_equal(tcgetattr(slave, &after), 0);
	assert_memory_equal(&before, &after, sizeof(before));
	assert_true(fakeapi_stop(&server));
	close(slave);
	close(master);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_looks_make_a_table_of_rates),
		cmocka_unit_test(counters_that_went_back_have_no_rate),
		cmocka_unit_test(a_delay_that_makes_no_sense_is_refused),
		cmocka_unit_test(on_a_terminal_keys_sort_and_end_it),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
