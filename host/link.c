/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/link.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/list.h"
#include "base/util.h"

#define READ_BYTES 16384u

struct request {
	struct list link;
	link_answer_fn *answer;
	void *ctx;
	char *text; /* what has not been sent yet begins at `sent`; NULL: all has */
	size_t len, sent;
	struct link_fds passed; /* go with its first byte */
};

struct link {
	struct link_owner owner;
	int fd;
	sd_event_source *source;
	struct list requests; /* in order; those that are sent wait for their answers */
	unsigned count;
	char *line;
	size_t len, room;
	bool ended; /* told, or about to be */
};

void link_fds_close(struct link_fds *fds)
{
	while (fds->count)
		close(fds->fd[--fds->count]);
}

static void answer(struct request *q, json_t *result, const char *sentence)
{
	link_fds_close(&q->passed);
	if (q->answer)
		q->answer(q->ctx, result, sentence);
	free(q->text);
	free(q);
}

static struct request *take_request(struct link *l)
{
	struct list *first = list_pop(&l->requests);

	if (!first)
		return NULL;
	l->count--;
	return CONTAINER_OF(first, struct request, link);
}

static void end(struct link *l)
{
	if (l->ended)
		return;
	l->ended = true;
	sd_event_source_set_enabled(l->source, SD_EVENT_OFF);
	l->owner.ended(l->owner.ctx);
}

/* One piece of what waits. The bytes that were taken, or -errno. */
static ssize_t send_some(struct link *l, struct request *q)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(LINK_FDS_MAX * sizeof(int))];
	} control = {0};
	size_t passed = q->passed.count * sizeof(int);
	struct iovec iov = {q->text + q->sent, q->len - q->sent};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t n;

	if (passed) {
		struct cmsghdr *head;

		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(passed);
		head = CMSG_FIRSTHDR(&msg);
		head->cmsg_level = SOL_SOCKET;
		head->cmsg_type = SCM_RIGHTS;
		head->cmsg_len = CMSG_LEN(passed);
		memcpy(CMSG_DATA(head), q->passed.fd, passed);
	}
	n = sendmsg(l->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n > 0)
		link_fds_close(&q->passed);
	return n < 0 ? -errno : n;
}

/* 0 when all is sent or the rest waits for the socket, or -errno. */
static int send_all(struct link *l)
{
	uint32_t events = EPOLLIN;
	int r = 0;

	for (struct list *at = l->requests.next; r == 0 && at != &l->requests; at = at->next) {
		struct request *q = CONTAINER_OF(at, struct request, link);

		while (q->text && r == 0) {
			ssize_t n = send_some(l, q);

			if (n == -EAGAIN) {
				events |= EPOLLOUT;
				r = -EAGAIN;
			} else if (n < 0 && n != -EINTR) {
				r = (int)n;
			} else if (n > 0) {
				q->sent += (size_t)n;
			}
			if (q->sent == q->len) {
				free(q->text);
				q->text = NULL;
			}
		}
	}
	sd_event_source_set_io_events(l->source, events);
	return r == -EAGAIN ? 0 : r;
}

/* False: it is no line of the protocol. */
static bool take_line(struct link *l, const char *text, size_t len)
{
	json_t *line = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	json_t *ok = json_object_get(line, "ok"), *result = json_object_get(line, "result");
	const char *event = json_string_value(json_object_get(line, "event"));
	const char *error = json_string_value(json_object_get(line, "error"));
	struct request *q = NULL;
	bool good = true;

	if (event) {
		if (strcmp(event, "status") == 0 && json_is_object(result))
			l->owner.status(l->owner.ctx, result);
	} else if (json_is_boolean(ok) && (q = take_request(l))) {
		answer(q, json_is_true(ok) ? result : NULL,
		       json_is_true(ok) ? NULL : (error ? error : "it gives no reason"));
	} else {
		good = false;
	}
	json_decref(line);
	return good;
}

/* Lines that are complete; false when the link is at its end. */
static bool take_lines(struct link *l)
{
	size_t at = 0;
	char *feed;

	while (!l->ended && (feed = memchr(l->line + at, '\n', l->len - at))) {
		size_t len = (size_t)(feed - l->line) - at;

		if (!take_line(l, l->line + at, len))
			return false;
		at += len + 1;
	}
	l->len -= at;
	memmove(l->line, l->line + at, l->len);
	return !l->ended && l->len < LINK_LINE_MAX;
}

/* More bytes; 0 at the end, or -errno. */
static ssize_t receive(struct link *l)
{
	ssize_t n;

	if (l->room - l->len < READ_BYTES) {
		size_t room = l->room ? 2 * l->room : 2 * READ_BYTES;
		char *line = realloc(l->line, room);

		if (!line)
			return -ENOMEM;
		l->line = line;
		l->room = room;
	}
	n = recv(l->fd, l->line + l->len, READ_BYTES, MSG_DONTWAIT);
	if (n > 0)
		l->len += (size_t)n;
	return n < 0 ? -errno : n;
}

static int on_ready(sd_event_source *source, int fd, uint32_t events, void *owner)
{
	struct link *l = owner;
	bool good = true;
	ssize_t n = -EAGAIN;

	(void)source;
	(void)fd;
	if (events & EPOLLOUT)
		good = send_all(l) == 0;
	if (good && events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		n = receive(l);
	if (n > 0)
		good = take_lines(l);
	else if (n != -EAGAIN && n != -EINTR)
		good = false;
	if (!good)
		end(l);
	return 0;
}

static void watched(void *ctx, json_t *result, const char *sentence)
{
	struct link *l = ctx;

	if (!sentence && json_is_object(result))
		l->owner.status(l->owner.ctx, result);
}

int link_new(sd_event *event, int fd, const struct link_owner *owner, struct link **ret_link)
{
	struct link *l = calloc(1, sizeof(*l));
	int r;

	if (!l) {
		close(fd);
		return -ENOMEM;
	}
	l->owner = *owner;
	l->fd = fd;
	list_init(&l->requests);
	r = sd_event_add_io(event, &l->source, fd, EPOLLIN, on_ready, l);
	if (r >= 0)
		r = link_request(l, json_pack("{s:s}", "verb", "watch"), -1, watched, l);
	if (r < 0) {
		link_free(l);
		return r;
	}
	*ret_link = l;
	return 0;
}

void link_free(struct link *l)
{
	struct request *q;

	if (!l)
		return;
	l->ended = true;
	sd_event_source_unref(l->source);
	while ((q = take_request(l)))
		answer(q, NULL, "the connection to its worker has ended");
	close(l->fd);
	free(l->line);
	free(l);
}

int link_hand(struct link *l, json_t *request, struct link_fds *fds, link_answer_fn *fn, void *ctx)
{
	struct request *q = calloc(1, sizeof(*q));
	char *text = request ? json_dumps(request, JSON_COMPACT) : NULL;
	int r = 0;

	json_decref(request);
	if (!q || !text)
		r = -ENOMEM;
	else if (l->ended)
		r = -ENOTCONN;
	else if (l->count == LINK_REQUESTS_MAX)
		r = -EBUSY;
	if (r < 0) {
		link_fds_close(fds);
		free(text);
		free(q);
		return r;
	}
	q->len = strlen(text);
	text[q->len++] = '\n'; /* in the place of its NUL */
	q->text = text;
	q->passed = *fds;
	fds->count = 0;
	q->answer = fn;
	q->ctx = ctx;
	list_append(&l->requests, &q->link);
	l->count++;
	/* What is wrong with the socket shows at its next event. */
	(void)send_all(l);
	return 0;
}

int link_request(struct link *l, json_t *request, int fd, link_answer_fn *fn, void *ctx)
{
	struct link_fds fds = {.fd = {fd}, .count = fd >= 0};

	return link_hand(l, request, &fds, fn, ctx);
}

int link_connect(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd, r;

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		r = -errno;
		close(fd);
		return r;
	}
	return fd;
}
