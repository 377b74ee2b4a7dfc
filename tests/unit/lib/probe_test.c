/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Probes of services: what is one, and which answers count. */
#include "lib/probe.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#undef fail /* lib/fail.h has one of its own */
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/util.h"

#define LIMIT_MS 20000u /* of what is to answer: a busy machine */

static void what_is_a_probe_is_taken(void **state)
{
	static const struct {
		const char *text, *host, *path;
		int family;
	} cases[] = {
		{"tcp://10.0.0.5:80", "10.0.0.5:80", "", AF_INET},
		{"tcp://[fd00::5]:65535", "[fd00::5]:65535", "", AF_INET6},
		{"http://10.0.0.5:8080", "10.0.0.5:8080", "/", AF_INET},
		{"http://[::1]:1/a?b=c", "[::1]:1", "/a?b=c", AF_INET6},
	};
	struct failure f;
	struct probe p;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(probe_decode(cases[i].text, &p, &f), 0);
		assert_string_equal(p.host, cases[i].host);
		assert_string_equal(p.path, cases[i].path);
		assert_int_equal(p.address.any.sa_family, cases[i].family);
	}
}

static void what_is_no_probe_is_refused(void **state)
{
	static const char *const wrong[] = {
		"",
		"10.0.0.5:80",
		"https://10.0.0.5:80/",
		"tcp://",
		"tcp://10.0.0.5",
		"tcp://10.0.0.5:",
		"tcp://10.0.0.5:0",
		"tcp://10.0.0.5:65536",
		"tcp://10.0.0.5:999999999999",
		"tcp://10.0.0.5:8x",
		"tcp://:80",
		"tcp://localhost:80",
		"tcp://10.0.0.5:80/",
		"tcp://[fd00::5:80",
		"tcp://fd00::5:80",
		"tcp://[fe80::1%eth0]:80",
		"http://10.0.0.5:80/a b",
		"http://10.0.0.5:80/a\r\nHost: x",
		"http://10.0.0.5:80/\xc3\xa4",
	};
	char text[PROBE_TEXT_MAX + 2];
	struct failure f;
	struct probe p;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		f.text[0] = '\0';
		assert_int_equal(probe_decode(wrong[i], &p, &f), -EINVAL);
		assert_true(f.text[0]);
	}
	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	memcpy(text, "http://10.0.0.5:80/", 19);
	assert_int_equal(probe_decode(text, &p, &f), -EINVAL);
	text[PROBE_TEXT_MAX] = '\0';
	assert_int_equal(probe_decode(text, &p, &f), 0);
}

/* ---- services ---- */

/* Takes one connection, and says that. */
struct service {
	int fd;
	const char *answer;
	char seen[512], text[64];
	pthread_t thread;
};

static void *serve(void *ctx)
{
	struct service *s = ctx;
	int fd = accept(s->fd, NULL, NULL);
	ssize_t n = recv(fd, s->seen, sizeof(s->seen) - 1, 0);

	s->seen[n > 0 ? n : 0] = '\0';
	(void)!write(fd, s->answer, strlen(s->answer));
	close(fd);
	return NULL;
}

static void service_open(struct service *s, const char *answer)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);

	*s = (struct service){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
			      .answer = answer};
	assert_int_equal(bind(s->fd, (struct sockaddr *)&address, len), 0);
	assert_int_equal(listen(s->fd, 1), 0);
	assert_int_equal(getsockname(s->fd, (struct sockaddr *)&address, &len), 0);
	snprintf(s->text, sizeof(s->text), "127.0.0.1:%u", ntohs(address.sin_port));
}

static int ask(const char *kind, const char *text, const char *path, unsigned limit_ms,
	       struct failure *f)
{
	char all[128];
	struct probe p;

	snprintf(all, sizeof(all), "%s://%s%s", kind, text, path);
	assert_int_equal(probe_decode(all, &p, f), 0);
	return probe_run(&p, limit_ms, f);
}

static void answers_of_200_to_399_count_alone(void **state)
{
	static const struct {
		const char *answer;
		int result;
		const char *why;
	} cases[] = {
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 0, NULL},
		{"HTTP/1.0 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n", 0, NULL},
		{"HTTP/1.1 399 \r\n", 0, NULL},
		{"HTTP/1.1 400 Bad\r\n\r\n", -EREMOTEIO, "it says 400"},
		{"HTTP/1.1 503 Busy\r\n\r\n", -EREMOTEIO, "it says 503"},
		{"HTTP/1.1 199 x\r\n\r\n", -EREMOTEIO, "it says 199"},
		{"SSH-2.0-server\r\n", -EBADMSG, "no HTTP"},
		{"\r\n", -EBADMSG, "no HTTP"},
		{"HTTP/1.1 200", -ECONNRESET, "reset"},
		{"", -ECONNRESET, "reset"},
	};
	struct failure f;
	struct service s;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		service_open(&s, cases[i].answer);
		assert_int_equal(pthread_create(&s.thread, NULL, serve, &s), 0);
		assert_int_equal(ask("http", s.text, "/health", LIMIT_MS, &f), cases[i].result);
		assert_int_equal(pthread_join(s.thread, NULL), 0);
		assert_true(strncmp(s.seen, "GET /health HTTP/1.0\r\nHost: 127.0.0.1:", 38) == 0);
		if (cases[i].why)
			assert_non_null(strstr(f.text, cases[i].why));
		close(s.fd);
	}
}

static void an_endless_line_is_read_to_its_limit(void **state)
{
	char line[2000];
	struct failure f;
	struct service s;

	(void)state;
	memset(line, 'H', sizeof(line) - 1);
	line[sizeof(line) - 1] = '\0';
	service_open(&s, line);
	assert_int_equal(pthread_create(&s.thread, NULL, serve, &s), 0);
	assert_int_equal(ask("http", s.text, "/", LIMIT_MS, &f), -EBADMSG);
	assert_int_equal(pthread_join(s.thread, NULL), 0);
	close(s.fd);
}

static void a_port_that_takes_connections_answers_by_tcp(void **state)
{
	struct failure f;
	struct service s;

	(void)state;
	service_open(&s, NULL); /* the kernel takes them, though nobody accepts */
	assert_int_equal(ask("tcp", s.text, "", LIMIT_MS, &f), 0);
	close(s.fd);
	assert_int_equal(ask("tcp", s.text, "", LIMIT_MS, &f), -ECONNREFUSED);
	assert_non_null(strstr(f.text, "refused"));
}

static void silence_ends_with_the_limit(void **state)
{
	struct failure f;
	struct service s;

	(void)state;
	service_open(&s, NULL);
	assert_int_equal(ask("http", s.text, "/", 50, &f), -ETIMEDOUT);
	assert_non_null(strstr(f.text, "no answer"));
	close(s.fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_a_probe_is_taken),
		cmocka_unit_test(what_is_no_probe_is_refused),
		cmocka_unit_test(answers_of_200_to_399_count_alone),
		cmocka_unit_test(an_endless_line_is_read_to_its_limit),
		cmocka_unit_test(a_port_that_takes_connections_answers_by_tcp),
		cmocka_unit_test(silence_ends_with_the_limit),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
