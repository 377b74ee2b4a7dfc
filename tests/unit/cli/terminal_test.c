/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The console on a pseudo-terminal: keys, commands, the terminal's state. */
#include "cli/terminal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define PATIENCE_MS 20000

struct fixture {
	int user;  /* the master of the pseudo-terminal: what a person types and sees */
	int slave; /* of which the relay has both ends */
	int guest; /* the other end of the serial line */
	struct terminal t;
	unsigned pressed;
	pthread_t thread;
};

static void press(void *owner)
{
	struct fixture *x = owner;

	x->pressed++;
}

static void leave(void *owner)
{
	struct fixture *x = owner;

	terminal_leave(&x->t);
}

static const struct terminal_key keys[] = {{'x', "count", press}, {'q', "leave", leave}};

static void *relay(void *owner)
{
	struct fixture *x = owner;

	terminal_relay(&x->t);
	return NULL;
}

static void setup(struct fixture *x, const char *early)
{
	int pair[2];

	*x = (struct fixture){.user = posix_openpt(O_RDWR | O_NOCTTY)};
	assert_true(x->user >= 0);
	assert_int_equal(grantpt(x->user), 0);
	assert_int_equal(unlockpt(x->user), 0);
	x->slave = open(ptsname(x->user), O_RDWR | O_NOCTTY);
	assert_true(x->slave >= 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	x->guest = pair[1];
	x->t = (struct terminal){
		.guest = pair[0],
		.in = x->slave,
		.out = x->slave,
		.err = x->slave,
		.stop = eventfd(0, 0),
		.early = early,
		.early_len = strlen(early),
		.keys = keys,
		.key_count = 2,
		.owner = x,
	};
	assert_int_equal(pthread_create(&x->thread, NULL, relay, x), 0);
}

static void teardown(struct fixture *x)
{
	close(x->t.guest);
	close(x->t.stop);
	close(x->slave);
	close(x->user);
	if (x->guest >= 0)
		close(x->guest);
}

/* Reads until the text has come. */
static void expect(int fd, const char *text)
{
	char seen[4096] = "";
	size_t len = 0;

	while (!memmem(seen, len, text, strlen(text))) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		ssize_t n;

		assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
		n = read(fd, seen + len, sizeof(seen) - len);
		assert_true(n > 0);
		len += (size_t)n;
	}
}

static void type(const struct fixture *x, const char *text)
{
	assert_int_equal(write(x->user, text, strlen(text)), strlen(text));
}

static void keys_reach_the_guest_and_its_text_the_screen(void **state)
{
	struct fixture x;

	(void)state;
	setup(&x, "hello before, ");
	expect(x.user, "Ctrl-] ? lists the commands of this console\r\nhello before, ");
	type(&x, "abc\x03");
	expect(x.guest, "abc\x03");
	assert_int_equal(write(x.guest, "login: ", 7), 7);
	expect(x.user, "login: ");
	type(&x, "\x1dq");
	pthread_join(x.thread, NULL);
	teardown(&x);
}

static void the_escape_begins_a_command_and_sends_itself(void **state)
{
	struct fixture x;

	(void)state;
	setup(&x, "");
	expect(x.user, "lists the commands");
	type(&x, "\x1dxa");
	expect(x.guest, "a");
	type(&x, "\x1d\x1d");
	expect(x.guest, "\x1d");
	type(&x, "\x1d?");
	expect(x.user, "x count, q leave, Ctrl-] itself");
	type(&x, "\x1dqlost");
	pthread_join(x.thread, NULL);
	assert_int_equal(x.pressed, 1);
	teardown(&x);
}

static void the_end_of_the_guest_ends_it_and_the_terminal_is_as_before(void **state)
{
	struct termios before, after;
	struct fixture x;

	(void)state;
	setup(&x, "");
	expect(x.user, "lists the commands");
	before = x.t.before;
	assert_int_equal(tcgetattr(x.slave, &after), 0);
	assert_false(after.c_lflag & ICANON);
	assert_int_equal(write(x.guest, "last words", 10), 10);
	close(x.guest);
	x.guest = -1;
	expect(x.user, "last words");
	pthread_join(x.thread, NULL);
	assert_int_equal(tcgetattr(x.slave, &after), 0);
	assert_true(after.c_lflag & ICANON);
	assert_int_equal(after.c_lflag, before.c_lflag);
	assert_int_equal(after.c_iflag, before.c_iflag);
	assert_int_equal(after.c_oflag, before.c_oflag);
	teardown(&x);
}

static void it_ends_when_it_is_told_to_stop(void **state)
{
	uint64_t one = 1;
	struct fixture x;

	(void)state;
	setup(&x, "");
	expect(x.user, "lists the commands");
	assert_int_equal(write(x.t.stop, &one, sizeof(one)), sizeof(one));
	pthread_join(x.thread, NULL);
	teardown(&x);
}

static void the_end_of_a_file_does_not_end_it_and_has_no_escape(void **state)
{
	int pair[2], pipe_ends[2], out[2];
	struct terminal t;
	pthread_t thread;
	struct fixture x = {0};

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(pipe(pipe_ends), 0);
	assert_int_equal(pipe(out), 0);
	t = (struct terminal){.guest = pair[0],
			      .in = pipe_ends[0],
			      .out = out[1],
			      .err = out[1],
			      .stop = -1,
			      .keys = keys,
			      .key_count = 2,
			      .owner = &x};
	x.t = t;
	assert_int_equal(pthread_create(&thread, NULL, relay, &x), 0);
	assert_int_equal(write(pipe_ends[1], "a\x1dxb", 4), 4);
	close(pipe_ends[1]);
	expect(pair[1], "a\x1dxb");
	assert_int_equal(write(pair[1], "still there", 11), 11);
	expect(out[0], "still there");
	close(pair[1]);
	pthread_join(thread, NULL);
	assert_int_equal(x.pressed, 0);
	close(pair[0]);
	close(pipe_ends[0]);
	close(out[0]);
	close(out[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_reach_the_guest_and_its_text_the_screen),
		cmocka_unit_test(the_escape_begins_a_command_and_sends_itself),
		cmocka_unit_test(the_end_of_the_guest_ends_it_and_the_terminal_is_as_before),
		cmocka_unit_test(it_ends_when_it_is_told_to_stop),
		cmocka_unit_test(the_end_of_a_file_does_not_end_it_and_has_no_escape),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
