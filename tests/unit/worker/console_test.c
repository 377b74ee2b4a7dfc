/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The console on a real loop and a real serial port: bytes in both directions, and that a client
 * who is gone leaves the loop at rest.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#undef fail /* lib/fail.h has one of its own */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/util.h"
#include "worker/console.h"

#define REST_NS UINT64_C(50000000)
#define TURNS_AT_REST 20u /* of the loop in that time; a busy one makes thousands */

#define REG_DATA 0
#define REG_FCR 2
#define REG_LSR 5
#define LSR_DATA_READY 1u

struct fixture {
	pthread_mutex_t lock;
	struct loop *loop;
	struct console *console;
	struct serial_host host;
	struct serial *port;
	struct config config;
	unsigned turns;
	struct timer end;
	bool ended;
	int reader; /* read from in each turn of the loop; -1: nobody reads */
	uint8_t *got;
	size_t got_len, got_max;
};

static void port_output(void *ctx, const uint8_t *bytes, size_t n)
{
	console_serial_ops.output(((struct fixture *)ctx)->console, bytes, n);
}

static void port_irq(void *ctx, bool level)
{
	(void)ctx;
	(void)level;
}

static void port_room(void *ctx)
{
	console_serial_ops.input_room(((struct fixture *)ctx)->console);
}

static struct fixture *fixture_new(enum config_console kind)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct failure failure;

	pthread_mutex_init(&f->lock, NULL);
	f->config.console = kind;
	f->reader = -1;
	f->host = (struct serial_host){port_output, port_irq, port_room};
	assert_int_equal(loop_new(&f->lock, &f->loop), 0);
	assert_int_equal(console_new(&f->config, f->loop, &f->console, &failure), 0);
	assert_int_equal(serial_new(&f->host, f, &f->port), 0);
	console_set_port(f->console, f->port);
	serial_write(f->port, REG_FCR, 1);
	return f;
}

static int set_up(void **state)
{
	*state = fixture_new(CONSOLE_NONE);
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	console_free(f->console);
	serial_free(f->port);
	loop_free(f->loop);
	free(f);
	return 0;
}

static void end_of_time(void *owner)
{
	((struct fixture *)owner)->ended = true;
}

static void turn(void *owner)
{
	struct fixture *f = owner;

	ssize_t n = f->reader < 0 ? 0
				  : recv(f->reader, f->got + f->got_len, f->got_max - f->got_len,
					 MSG_DONTWAIT);

	f->turns++;
	f->got_len += n > 0 ? (size_t)n : 0;
	if (f->ended)
		loop_stop(f->loop);
}

static void run_out(struct fixture *f)
{
	f->end = (struct timer){.fire = end_of_time, .owner = f};
	timerq_arm(loop_timers(f->loop), &f->end, loop_now_ns() + REST_NS);
	assert_int_equal(loop_run(f->loop, turn, f), 0);
}

static int attach(struct fixture *f)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(console_attach(f->console, pair[0]), 0);
	return pair[1];
}

static void guest_writes(struct fixture *f, const char *text)
{
	for (; *text; text++)
		serial_write(f->port, REG_DATA, (uint8_t)*text);
}

static void output_reaches_the_client_and_what_came_before_it(void **state)
{
	struct fixture *f = *state;
	char text[32] = "";
	int fd;

	guest_writes(f, "before, ");
	fd = attach(f);
	guest_writes(f, "after");
	run_out(f);
	assert_int_equal(read(fd, text, sizeof(text) - 1), 13);
	assert_string_equal(text, "before, after");
	assert_in_range(f->turns, 1, TURNS_AT_REST);
	close(fd);
}

struct typist {
	struct fixture *f;
	struct timer next;
	const char *text;
};

static void type_next(void *owner)
{
	struct typist *t = owner;

	serial_write(t->f->port, REG_DATA, (uint8_t)*t->text++);
	if (*t->text)
		timerq_arm(loop_timers(t->f->loop), &t->next, loop_now_ns() + 50000);
}

static void bytes_that_come_one_by_one_go_out_together(void **state)
{
	struct typist t = {.f = *state, .text = "one by one"};
	char got[32];
	int pair[2];
	ssize_t n;

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(console_attach(t.f->console, pair[0]), 0);
	t.next = (struct timer){.fire = type_next, .owner = &t};
	timerq_arm(loop_timers(t.f->loop), &t.next, loop_now_ns());
	run_out(t.f);
	n = recv(pair[1], got, sizeof(got), MSG_DONTWAIT);
	assert_in_range(n, 2, 10); /* all ten, where this thread is not held up for long */
	assert_memory_equal(got, "one by one", (size_t)n);
	close(pair[1]);
}

static void output_that_waits_goes_out_when_it_is_flushed(void **state)
{
	struct fixture *f = *state;
	char text[8] = "";
	int fd = attach(f);

	guest_writes(f, "now");
	loop_hold_timers(f->loop, true);
	console_flush(f->console);
	loop_hold_timers(f->loop, false);
	run_out(f);
	assert_int_equal(read(fd, text, sizeof(text)), 3);
	close(fd);
}

static void what_nobody_reads_is_kept_up_to_the_backlog(void **state)
{
	struct fixture *f = *state;

	f->got_max = CONSOLE_BACKLOG + 1;
	f->got = calloc(1, f->got_max);
	for (unsigned i = 0; i < CONSOLE_BACKLOG + 100; i++)
		serial_write(f->port, REG_DATA, (uint8_t)(i / 100));
	f->reader = attach(f);
	run_out(f);
	assert_int_equal(f->got_len, CONSOLE_BACKLOG);
	for (unsigned i = 0; i < CONSOLE_BACKLOG; i++)
		assert_int_equal(f->got[i], (uint8_t)((i + 100) / 100));
	free(f->got);
	close(f->reader);
}

static unsigned guest_reads(struct fixture *f, uint8_t *bytes, unsigned max)
{
	unsigned n = 0;

	while (n < max && (serial_read(f->port, REG_LSR) & LSR_DATA_READY))
		bytes[n++] = serial_read(f->port, REG_DATA);
	return n;
}

/* As `echo ... | oya run` does: the client is gone before the guest reads. */
static void input_outlives_its_client_and_leaves_the_loop_at_rest(void **state)
{
	struct fixture *f = *state;
	uint8_t sent[200], got[256];
	int fd = attach(f);

	for (unsigned i = 0; i < sizeof(sent); i++)
		sent[i] = (uint8_t)i;
	assert_int_equal(write(fd, sent, sizeof(sent)), sizeof(sent));
	close(fd);
	run_out(f);
	assert_in_range(f->turns, 1, TURNS_AT_REST);
	assert_int_equal(guest_reads(f, got, sizeof(got)), sizeof(sent));
	assert_memory_equal(got, sent, sizeof(sent));
}

static void output_to_a_client_that_is_gone_leaves_the_loop_at_rest(void **state)
{
	struct fixture *f = *state;
	int fd = attach(f);

	close(fd);
	guest_writes(f, "is anybody there?");
	run_out(f);
	assert_in_range(f->turns, 1, TURNS_AT_REST);
	fd = attach(f); /* and the next one is served */
	close(fd);
}

static void a_client_gone_from_a_terminal_leaves_the_loop_at_rest(void **state)
{
	struct fixture *f;
	int fd;

	(void)state;
	if (access("/dev/ptmx", R_OK | W_OK) < 0)
		skip();
	f = fixture_new(CONSOLE_PTY);
	assert_non_null(console_pty(f->console));
	fd = attach(f);
	guest_writes(f, "x");
	close(fd);
	run_out(f);
	assert_in_range(f->turns, 1, TURNS_AT_REST);
	tear_down((void **)&f);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(output_reaches_the_client_and_what_came_before_it),
		TEST(bytes_that_come_one_by_one_go_out_together),
		TEST(output_that_waits_goes_out_when_it_is_flushed),
		TEST(what_nobody_reads_is_kept_up_to_the_backlog),
		TEST(input_outlives_its_client_and_leaves_the_loop_at_rest),
		TEST(output_to_a_client_that_is_gone_leaves_the_loop_at_rest),
		cmocka_unit_test(a_client_gone_from_a_terminal_leaves_the_loop_at_rest),
	};

	signal(SIGPIPE, SIG_IGN); /* as the worker does */
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
