/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "lib/wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/util.h"
#include "lib/peer.h"

#define BODY_ROOM 16384u

static int connect_to(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd, r;

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, strlen(path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	r = -errno;
	close(fd);
	return r;
}

/* A server that has refused by the head alone reads no body: its answer is there even so. */
static int send_all(int fd, const char *bytes, size_t len)
{
	while (len) {
		ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EPIPE || errno == ECONNRESET ? 0 : -errno;
		bytes += n;
		len -= (size_t)n;
	}
	return 0;
}

int wire_send(struct wire *w, int fd, pid_t helper, const struct ask *ask)
{
	size_t len;
	char *text;
	int r;

	w->at = w->len = 0;
	w->fd = fd;
	w->helper = helper;
	text = ask_encode(ask, &len);
	r = text ? send_all(w->fd, text, len) : -ENOMEM;
	free(text);
	if (r < 0)
		wire_close(w);
	return r;
}

int wire_open(struct wire *w, const char *socket, const struct ask *ask)
{
	int fd = connect_to(socket);

	w->fd = -1;
	return fd < 0 ? fd : wire_send(w, fd, 0, ask);
}

void wire_close(struct wire *w)
{
	if (w->fd >= 0 && w->helper)
		peer_close(w->fd, w->helper);
	else if (w->fd >= 0)
		close(w->fd);
	w->fd = -1;
}

static ssize_t receive(int fd, char *to, size_t max)
{
	ssize_t n;

	do
		n = recv(fd, to, max, 0);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

int wire_read_head(struct wire *w, struct ask_head *ret_head)
{
	for (;;) {
		ssize_t n = ask_decode_head(w->bytes, w->len, ret_head);

		if (n > 0)
			w->at = (size_t)n;
		if (n != 0)
			return n < 0 ? (int)n : 0;
		n = receive(w->fd, w->bytes + w->len, sizeof(w->bytes) - w->len);
		if (n <= 0)
			return n < 0 ? (int)n : -ECONNRESET;
		w->len += (size_t)n;
	}
}

ssize_t wire_read(struct wire *w, char *to, size_t max)
{
	size_t held = (size_t)min_u64(w->len - w->at, max);

	if (!held)
		return receive(w->fd, to, max);
	memcpy(to, w->bytes + w->at, held);
	w->at += held;
	return (ssize_t)held;
}

/* Room for more bytes and a NUL. */
static int make_room(char **body, size_t len, size_t *room)
{
	char *more;

	if (*room - len >= 2)
		return 0;
	more = realloc(*body, *room + BODY_ROOM);
	if (!more)
		return -ENOMEM;
	*body = more;
	*room += BODY_ROOM;
	return 0;
}

int wire_read_body(struct wire *w, const struct ask_head *head, size_t max, char **ret_body,
		   size_t *ret_len)
{
	size_t len = 0, room = 0, whole = head->length < 0 ? SIZE_MAX : (size_t)head->length;
	char *body = NULL;
	ssize_t n = 1;
	int r = 0;

	while (r == 0 && n > 0) {
		r = make_room(&body, len, &room);
		if (r < 0)
			break;
		n = len < whole ? wire_read(w, body + len, min_u64(room - len - 1, whole - len))
				: 0;
		if (n < 0)
			r = (int)n;
		else if (n == 0 && head->length >= 0 && len < whole)
			r = -ECONNRESET;
		else if (len + (size_t)n > max)
			r = -EFBIG;
		else
			len += (size_t)n;
	}
	if (r < 0) {
		free(body);
		return r;
	}
	body[len] = '\0';
	*ret_body = body;
	*ret_len = len;
	return 0;
}
