/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/terminal.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define ESCAPE 0x1d /* Ctrl-] */
#define CHUNK 4096
#define CHUNK_OF_A_FILE 64 /* a pipe or a file would fill the guest's serial port at once */

static void write_out(int fd, const char *bytes, size_t len)
{
	while (len) {
		ssize_t n = write(fd, bytes, len);

		if (n < 0 && errno != EINTR && errno != EAGAIN)
			return;
		if (n > 0) {
			bytes += n;
			len -= (size_t)n;
		}
	}
}

static void send_all(int fd, const char *bytes, size_t len)
{
	while (len) {
		ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		bytes += n;
		len -= (size_t)n;
	}
}

/* ---- keys ---- */

static void list_keys(const struct terminal *t)
{
	dprintf(t->err, "\r\noya: ");
	for (size_t i = 0; i < t->key_count; i++)
		dprintf(t->err, "%c %s, ", t->keys[i].key, t->keys[i].text);
	dprintf(t->err, "Ctrl-] itself\r\n");
}

static void command(struct terminal *t, char key)
{
	for (size_t i = 0; i < t->key_count; i++) {
		if (t->keys[i].key == key) {
			t->keys[i].press(t->owner);
			return;
		}
	}
	list_keys(t);
}

/* Keys to the guest; those after the escape to us. Only a terminal has an escape. */
static void type(struct terminal *t, const char *bytes, size_t len)
{
	for (size_t i = 0; i < len && !t->left; i++) {
		bool escape = t->raw && bytes[i] == ESCAPE;

		if (t->escaped) {
			t->escaped = false;
			if (!escape) {
				command(t, bytes[i]);
				continue;
			}
		} else if (escape) {
			t->escaped = true;
			continue;
		}
		send_all(t->guest, &bytes[i], 1);
	}
}

void terminal_leave(struct terminal *t)
{
	t->left = true;
}

/* ---- carrying bytes ---- */

static bool from_guest(const struct terminal *t)
{
	char bytes[CHUNK];
	ssize_t n = recv(t->guest, bytes, sizeof(bytes), 0);

	if (n <= 0)
		return n < 0 && errno == EINTR;
	write_out(t->out, bytes, (size_t)n);
	return true;
}

static bool from_user(struct terminal *t)
{
	char bytes[CHUNK];
	ssize_t n = read(t->in, bytes, t->raw ? sizeof(bytes) : CHUNK_OF_A_FILE);

	if (n <= 0)
		return false;
	type(t, bytes, (size_t)n);
	return true;
}

static void carry(struct terminal *t)
{
	struct pollfd p[] = {
		{.fd = t->guest, .events = POLLIN},
		{.fd = t->in, .events = POLLIN},
		{.fd = t->stop, .events = POLLIN},
	};

	write_out(t->out, t->early, t->early_len);
	while (!t->left) {
		if (poll(p, 3, -1) < 0) {
			if (errno != EINTR)
				return;
			continue;
		}
		if (p[2].revents)
			return;
		if (p[0].revents && !from_guest(t))
			return;
		if (p[1].revents && !from_user(t))
			p[1].fd = -1; /* the end of input is not the end of the VM */
	}
}

static void make_raw(struct terminal *t)
{
	struct termios raw;

	if (!isatty(t->in) || tcgetattr(t->in, &t->before) < 0)
		return;
	raw = t->before;
	cfmakeraw(&raw);
	t->raw = tcsetattr(t->in, TCSANOW, &raw) == 0;
	if (t->raw)
		dprintf(t->err, "oya: Ctrl-] ? lists the commands of this console\r\n");
}

void terminal_relay(struct terminal *t)
{
	t->escaped = t->left = false;
	make_raw(t);
	carry(t);
	if (t->raw)
		tcsetattr(t->in, TCSANOW, &t->before);
	t->raw = false;
}

bool terminal_take_keys(int fd, struct termios *ret_before)
{
	struct termios keys;

	if (!isatty(fd) || tcgetattr(fd, ret_before) < 0)
		return false;
	keys = *ret_before;
	keys.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	return tcsetattr(fd, TCSANOW, &keys) == 0;
}

int terminal_take_signals(sigset_t *ret_before)
{
	sigset_t taken;

	sigemptyset(&taken);
	sigaddset(&taken, SIGTERM);
	sigaddset(&taken, SIGINT);
	sigaddset(&taken, SIGHUP);
	sigprocmask(SIG_BLOCK, &taken, ret_before);
	return signalfd(-1, &taken, SFD_CLOEXEC);
}

void terminal_give_signals(int fd, const sigset_t *before)
{
	if (fd >= 0)
		close(fd);
	sigprocmask(SIG_SETMASK, before, NULL);
}
