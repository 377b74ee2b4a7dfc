/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/console.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include "base/util.h"
#include "lib/listen.h"

#define WRITE_CHUNK 4096u /* what a pipe that is writable takes without blocking */
#define READ_CHUNK 256u

/* A guest writes byte by byte: what comes within this time goes out in one piece, since each
 * write wakes this loop and the reader, which costs more than the guest's exit. */
#define GATHER_NS UINT64_C(5000000)
#define GATHER_BYTES 2048u /* more than this does not wait */

struct console {
	struct loop *loop;
	struct serial *port;
	enum config_console kind;
	int in_fd, out_fd; /* -1: none */
	struct listener socket;
	bool own_fds, is_pty;
	bool more_input; /* its end was not met yet */
	bool out_always; /* a regular file: epoll cannot watch it, and it never blocks */
	struct loop_source in, out, listener;
	struct timer gather; /* armed while output waits for more */
	char pty[64];
	int pty_side; /* the other end, held open: reading fails while nobody is there otherwise */
	uint8_t pending[READ_CHUNK]; /* input that the port had no room for */
	size_t pending_at, pending_len;
	uint64_t head, tail; /* of the backlog, running counts */
	uint8_t backlog[CONSOLE_BACKLOG];
};

static void on_input(void *owner, uint32_t events);
static void on_output(void *owner, uint32_t events);

/*
 * A descriptor is watched only while we have use for it: one whose other end is gone is always
 * ready, whatever events were asked for, and would keep the loop busy for nothing.
 */
static int watch_input(struct console *c)
{
	if (c->in.fd >= 0)
		return 0;
	return loop_add(c->loop, &c->in, c->in_fd, EPOLLIN, on_input, c);
}

static int watch_output(struct console *c)
{
	if (c->out.fd >= 0)
		return 0;
	return loop_add(c->loop, &c->out, c->out_fd, EPOLLOUT, on_output, c);
}

static void detach(struct console *c)
{
	timerq_disarm(&c->gather);
	loop_remove(&c->in);
	loop_remove(&c->out);
	if (c->own_fds) {
		if (c->out_fd >= 0 && c->out_fd != c->in_fd)
			close(c->out_fd);
		if (c->in_fd >= 0)
			close(c->in_fd);
	}
	c->in_fd = c->out_fd = -1;
	c->own_fds = c->is_pty = c->out_always = c->more_input = false;
	c->pending_len = 0;
}

/* The other end is gone: a socket waits for the next one, standard input just ends. */
static void on_end(struct console *c)
{
	if (c->own_fds && !c->is_pty)
		detach(c);
	else
		loop_remove(&c->in);
	c->more_input = false;
}

/* Writes what it takes without blocking; true when nothing is left. */
static bool write_some(struct console *c)
{
	while (c->tail != c->head) {
		size_t at = c->tail % CONSOLE_BACKLOG;
		size_t len = min_u64(c->head - c->tail, CONSOLE_BACKLOG - at);
		ssize_t n =
			write(c->out_fd, c->backlog + at, len < WRITE_CHUNK ? len : WRITE_CHUNK);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno != EAGAIN; /* nobody reads any more: keep the backlog */
		c->tail += (uint64_t)n;
		if (!c->out_always)
			break; /* a blocking descriptor is asked again before each write */
	}
	return c->tail == c->head;
}

static void on_output(void *owner, uint32_t events)
{
	struct console *c = owner;

	(void)events;
	if (write_some(c))
		loop_remove(&c->out);
}

static void give_pending(struct console *c)
{
	if (!c->port)
		return;
	while (c->pending_len) {
		size_t n = serial_input(c->port, c->pending + c->pending_at, c->pending_len);

		if (!n)
			return;
		c->pending_at += n;
		c->pending_len -= n;
	}
}

static void on_input(void *owner, uint32_t events)
{
	struct console *c = owner;
	ssize_t n;

	(void)events;
	n = read(c->in_fd, c->pending, READ_CHUNK);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0) {
		on_end(c);
		return;
	}
	c->pending_at = 0;
	c->pending_len = (size_t)n;
	give_pending(c);
	if (c->pending_len)
		loop_remove(&c->in);
}

static void put_out(void *owner)
{
	struct console *c = owner;

	timerq_disarm(&c->gather);
	if (c->out_always)
		write_some(c);
	else
		watch_output(c); /* without memory for it, with the next byte */
}

static void console_output(void *ctx, const uint8_t *bytes, size_t n)
{
	struct console *c = ctx;

	for (size_t i = 0; i < n; i++)
		c->backlog[c->head++ % CONSOLE_BACKLOG] = bytes[i];
	if (c->head - c->tail > CONSOLE_BACKLOG)
		c->tail = c->head - CONSOLE_BACKLOG;
	if (c->out_fd < 0)
		return;
	if (c->head - c->tail >= GATHER_BYTES) {
		put_out(c);
	} else if (!list_linked(&c->gather.link)) {
		timerq_arm(loop_timers(c->loop), &c->gather, loop_now_ns() + GATHER_NS);
		loop_wake(c->loop);
	}
}

static void console_input_room(void *ctx)
{
	struct console *c = ctx;

	give_pending(c);
	if (!c->pending_len && c->more_input)
		watch_input(c);
}

const struct serial_host console_serial_ops = {
	.output = console_output,
	.input_room = console_input_room,
};

/* The two directions get a descriptor each, as epoll watches one only once. */
static int watch(struct console *c)
{
	int r = watch_output(c);

	if (r == -EPERM) { /* a regular file or /dev/null */
		c->out_always = true;
		write_some(c);
	} else if (r < 0) {
		return r;
	}
	r = watch_input(c);
	c->more_input = r == 0;
	if (r == -EPERM) /* input from a file: none */
		return 0;
	if (r < 0)
		loop_remove(&c->out);
	return r;
}

int console_attach(struct console *c, int fd)
{
	int second = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	int r;

	if (second < 0)
		return -errno;
	detach(c);
	c->in_fd = fd;
	c->out_fd = second;
	c->own_fds = true;
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	r = watch(c);
	if (r < 0) {
		c->in_fd = -1; /* stays the caller's */
		close(second);
		c->out_fd = -1;
	}
	return r;
}

static void on_connect(void *owner, uint32_t events)
{
	struct console *c = owner;
	int fd = accept4(c->socket.fd, NULL, NULL, SOCK_CLOEXEC);

	(void)events;
	if (fd >= 0 && console_attach(c, fd) < 0)
		close(fd);
}

static int open_socket(struct console *c, const char *path, struct failure *f)
{
	int r = listen_unix(path, "console", &c->socket, f);

	if (r < 0)
		return r;
	r = loop_add(c->loop, &c->listener, c->socket.fd, EPOLLIN, on_connect, c);
	return r < 0 ? fail(f, r, "cannot watch the console's socket: %s", strerror(-r)) : 0;
}

static int open_pty(struct console *c, struct failure *f)
{
	int fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	struct termios raw;

	if (fd < 0 || grantpt(fd) < 0 || unlockpt(fd) < 0 ||
	    ptsname_r(fd, c->pty, sizeof(c->pty)) != 0)
		return fail(f, -errno, "cannot open a pseudo terminal for the console: %s",
			    strerror(errno));
	c->pty_side = open(c->pty, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (c->pty_side >= 0 && tcgetattr(c->pty_side, &raw) == 0) {
		cfmakeraw(&raw);
		tcsetattr(c->pty_side, TCSANOW, &raw);
	}
	if (console_attach(c, fd) < 0)
		return fail(f, -EIO, "cannot watch the console's pseudo terminal");
	c->is_pty = true;
	return 0;
}

int console_new(const struct config *config, struct loop *loop, struct console **ret_console,
		struct failure *f)
{
	struct console *c = calloc(1, sizeof(*c));
	int r = 0;

	if (!c)
		return fail(f, -ENOMEM, "cannot make the console: out of memory");
	c->loop = loop;
	c->kind = config->console;
	c->in_fd = c->out_fd = c->pty_side = c->socket.fd = -1;
	c->in.fd = c->out.fd = c->listener.fd = -1;
	c->gather = (struct timer){.fire = put_out, .owner = c};
	if (c->kind == CONSOLE_SOCKET)
		r = open_socket(c, config->console_path, f);
	if (c->kind == CONSOLE_PTY)
		r = open_pty(c, f);
	if (c->kind == CONSOLE_STDIO) {
		c->in_fd = STDIN_FILENO;
		c->out_fd = STDOUT_FILENO;
		r = watch(c);
		if (r < 0)
			fail(f, r, "cannot watch standard input and output: %s", strerror(-r));
	}
	if (r < 0) {
		console_free(c);
		return r;
	}
	*ret_console = c;
	return 0;
}

void console_free(struct console *c)
{
	if (!c)
		return;
	detach(c);
	loop_remove(&c->listener);
	listener_done(&c->socket);
	if (c->pty_side >= 0)
		close(c->pty_side);
	free(c);
}

void console_set_port(struct console *c, struct serial *port)
{
	c->port = port;
}

void console_forget(const struct console *c)
{
	listener_forget(&c->socket);
}

int console_socket_folder(const struct console *c)
{
	return c->socket.fd >= 0 ? c->socket.folder : -1;
}

const char *console_pty(const struct console *c)
{
	return c->pty[0] ? c->pty : NULL;
}

void console_flush(struct console *c)
{
	if (list_linked(&c->gather.link))
		put_out(c);
}

void console_drain(struct console *c)
{
	struct pollfd p = {.fd = c->out_fd, .events = POLLOUT};

	while (c->out_fd >= 0 && c->tail != c->head && poll(&p, 1, 100) == 1 &&
	       (p.revents & POLLOUT)) {
		uint64_t before = c->tail;

		write_some(c);
		if (c->tail == before)
			break;
	}
}
