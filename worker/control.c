/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/control.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/listen.h"
#include "lib/log.h"
#include "worker/control_verbs.h"
#include "worker/vm.h"

struct client {
	struct control *all;
	int fd;                    /* -1: the place is free */
	struct descriptors passed; /* that the client sent and no verb has taken yet */
	bool watches;
	struct loop_source source;
	size_t len;
	char line[CONTROL_LINE_MAX];
};

struct control {
	struct vm *vm;
	struct listener socket;
	struct loop_source source;
	struct client client[CONTROL_CLIENTS_MAX];
};

static void drop(struct client *c)
{
	loop_remove(&c->source);
	descriptors_close(&c->passed);
	close(c->fd);
	c->fd = -1;
	c->len = 0;
	c->watches = false;
}

/* A line is short against a socket's buffer: a client that does not read what it is told is let go
 * rather than waited for. */
static int send_line(struct client *c, json_t *answer)
{
	char *text = answer ? json_dumps(answer, JSON_COMPACT) : NULL;
	size_t len = text ? strlen(text) : 0;
	int r = -ENOMEM;

	if (text) {
		text[len++] = '\n';
		r = send(c->fd, text, len, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)len ? 0 : -EIO;
	}
	free(text);
	json_decref(answer);
	return r;
}

/* The connection becomes the console's; what follows on it is the guest's serial line. */
static void become_console(struct client *c)
{
	int fd = c->fd;

	loop_remove(&c->source);
	descriptors_close(&c->passed);
	c->fd = -1;
	c->len = 0;
	c->watches = false;
	if (console_attach(c->all->vm->console, fd) < 0)
		close(fd);
}

/* What has changed, to all who watch. */
static void tell(void *owner)
{
	struct control *all = owner;
	json_t *status = control_status(all->vm);

	for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		struct client *c = &all->client[i];

		if (c->watches &&
		    send_line(c, json_pack("{s:s, s:O}", "event", "status", "result", status)) < 0)
			drop(c);
	}
	json_decref(status);
}

static void watch(struct client *c)
{
	c->watches = true;
	vm_on_news(c->all->vm, tell, c->all);
}

/* Answers the lines that are complete; false when the client is gone. */
static bool answer_lines(struct client *c)
{
	char *end;

	while ((end = memchr(c->line, '\n', c->len))) {
		size_t len = (size_t)(end - c->line);
		enum control_turn turn = CONTROL_STAYS;
		json_t *answer = control_answer(c->all->vm, c->line, len, &c->passed, &turn);

		if (send_line(c, answer) < 0) {
			drop(c);
			return false;
		}
		if (turn == CONTROL_BECOMES_CONSOLE) {
			become_console(c);
			return false;
		}
		if (turn == CONTROL_WATCHES)
			watch(c);
		c->len -= len + 1;
		memmove(c->line, end + 1, c->len);
	}
	return true;
}

/* Keeps the descriptors of the last message that has any; the kernel closes those for which there
 * is no room. */
static void take_passed(struct client *c, struct cmsghdr *head)
{
	size_t count = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);

	descriptors_close(&c->passed);
	c->passed.count = (unsigned)count;
	memcpy(c->passed.fd, CMSG_DATA(head), count * sizeof(int));
}

/* Receives more of a line, and the descriptors that come with it. */
static ssize_t receive(struct client *c)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(DESCRIPTORS_MAX * sizeof(int))];
	} control = {0};
	struct iovec iov = {c->line + c->len, sizeof(c->line) - c->len};
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	ssize_t n = recvmsg(c->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	struct cmsghdr *head = n > 0 ? CMSG_FIRSTHDR(&msg) : NULL;

	if (head && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS)
		take_passed(c, head);
	return n;
}

static void on_client(void *owner, uint32_t events)
{
	struct client *c = owner;
	ssize_t n = receive(c);

	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		drop(c);
		return;
	}
	c->len += (size_t)n;
	if (answer_lines(c) && c->len == sizeof(c->line))
		drop(c); /* a line longer than any request */
}

static void on_connect(void *owner, uint32_t events)
{
	struct control *all = owner;
	int fd = accept4(all->socket.fd, NULL, NULL, SOCK_CLOEXEC);

	(void)events;
	if (fd < 0)
		return;
	for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		struct client *c = &all->client[i];

		if (c->fd >= 0)
			continue;
		if (loop_add(all->vm->loop, &c->source, fd, EPOLLIN, on_client, c) < 0)
			break;
		c->fd = fd;
		if (loop_keep(&c->source) < 0)
			drop(c);
		return;
	}
	close(fd);
}

int control_new(const char *path, struct vm *vm, struct control **ret_control, struct failure *f)
{
	struct control *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return fail(f, -ENOMEM, "cannot make the control socket: out of memory");
	c->vm = vm;
	c->source.fd = -1;
	for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++)
		c->client[i] = (struct client){.all = c, .fd = -1, .source.fd = -1};
	r = listen_unix(path, "control", &c->socket, f);
	if (r < 0) {
		free(c);
		return r;
	}
	r = loop_add(vm->loop, &c->source, c->socket.fd, EPOLLIN, on_connect, c);
	if (r == 0)
		r = loop_keep(&c->source);
	if (r < 0) {
		control_free(c);
		return fail(f, r, "cannot watch the control socket %s: %s", path, strerror(-r));
	}
	*ret_control = c;
	return 0;
}

void control_forget(const struct control *c)
{
	listener_forget(&c->socket);
}

int control_socket_folder(const struct control *c)
{
	return c->socket.folder;
}

void control_free(struct control *c)
{
	if (!c)
		return;
	vm_on_news(c->vm, NULL, NULL);
	for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		if (c->client[i].fd >= 0)
			drop(&c->client[i]);
	}
	loop_remove(&c->source);
	listener_done(&c->socket);
	free(c);
}
