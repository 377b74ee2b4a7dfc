/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/http.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/util.h"
#include "cli/remote.h"

#define BODY_ROOM 16384u
#define LENGTH_DIGITS_MAX 18u /* below 2^63 */

/* ---- decoding ---- */

/* "HTTP/1.x NNN words" */
static bool decode_status(const char *line, size_t len, unsigned *ret_status)
{
	static const char version[] = "HTTP/1.";
	const char *digits = line + sizeof(version) + 1;

	if (len < sizeof(version) + 4 || strncmp(line, version, sizeof(version) - 1) != 0 ||
	    digits[-1] != ' ')
		return false;
	*ret_status = 0;
	for (int i = 0; i < 3; i++) {
		if (digits[i] < '0' || digits[i] > '9')
			return false;
		*ret_status = *ret_status * 10 + (unsigned)(digits[i] - '0');
	}
	return *ret_status >= 100;
}

static bool decode_length(const char *value, size_t len, int64_t *ret_length)
{
	int64_t length = 0;

	if (!len || len > LENGTH_DIGITS_MAX)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (value[i] < '0' || value[i] > '9')
			return false;
		length = length * 10 + (value[i] - '0');
	}
	*ret_length = length;
	return true;
}

/* One of longer length than we keep is of no use to us. */
static void keep(const char *value, size_t len, char to[HTTP_VALUE_MAX])
{
	if (len < HTTP_VALUE_MAX) {
		memcpy(to, value, len);
		to[len] = '\0';
	}
}

/* "name: value"; false when it is none, or says what we cannot follow. */
static bool decode_field(const char *line, size_t len, struct http_head *head)
{
	const char *colon = memchr(line, ':', len), *value;
	size_t name_len = colon ? (size_t)(colon - line) : 0, value_len;

	if (!name_len)
		return false;
	value = colon + 1;
	while (value < line + len && (*value == ' ' || *value == '\t'))
		value++;
	value_len = (size_t)(line + len - value);
	if (name_len == 14 && strncasecmp(line, "content-length", name_len) == 0)
		return decode_length(value, value_len, &head->length);
	if (name_len == 17 && strncasecmp(line, "transfer-encoding", name_len) == 0)
		return false; /* which no answer to HTTP/1.0 has */
	if (name_len == 4 && strncasecmp(line, "etag", name_len) == 0)
		keep(value, value_len, head->etag);
	else if (name_len == 12 && strncasecmp(line, "content-type", name_len) == 0)
		keep(value, value_len, head->type);
	return true;
}

/* Where the line that begins at `at` ends, which one within len does. */
static size_t line_end(const char *bytes, size_t len, size_t at)
{
	while (at + 1 < len && (bytes[at] != '\r' || bytes[at + 1] != '\n'))
		at++;
	return at;
}

ssize_t http_decode_head(const char *bytes, size_t len, struct http_head *ret_head)
{
	struct http_head head = {.length = -1};
	size_t at = 0, end = line_end(bytes, len, 0);

	while (end + 1 < len) {
		if (end == at && at) { /* an empty line */
			*ret_head = head;
			return (ssize_t)end + 2;
		}
		if (at == 0 ? !decode_status(bytes, end, &head.status)
			    : !decode_field(bytes + at, end - at, &head))
			return -EBADMSG;
		at = end + 2;
		end = line_end(bytes, len, at);
	}
	return len < HTTP_HEAD_MAX ? 0 : -EBADMSG;
}

bool http_encode(const char *name, char *to, size_t room)
{
	static const char plain[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";
	size_t len = 0;

	for (; *name; name++) {
		if (len + 4 > room)
			return false;
		if (strchr(plain, *name))
			to[len++] = *name;
		else
			len += (size_t)sprintf(to + len, "%%%02X", (unsigned char)*name);
	}
	to[len] = '\0';
	return len > 0;
}

/* ---- the connection ---- */

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

/* The request as text, to be freed; its length in *ret_len. NULL: no memory. */
static char *encode(const struct http_ask *a, size_t *ret_len)
{
	char *text = NULL;
	FILE *f = open_memstream(&text, ret_len);

	if (!f)
		return NULL;
	fprintf(f, "%s %s HTTP/1.%c\r\nHost: localhost\r\n", a->method, a->target,
		a->upgrade ? '1' : '0');
	if (a->accept)
		fprintf(f, "Accept: %s\r\n", a->accept);
	if (a->upgrade)
		fprintf(f, "Connection: Upgrade\r\nUpgrade: %s\r\n", a->upgrade);
	if (a->token)
		fprintf(f, "Authorization: Bearer %s\r\n", a->token);
	if (a->if_match)
		fprintf(f, "If-Match: %s\r\n", a->if_match);
	if (a->last_event_id)
		fprintf(f, "Last-Event-ID: %s\r\n", a->last_event_id);
	if (a->body)
		fprintf(f, "Content-Type: %s\r\nContent-Length: %zu\r\n", a->type, strlen(a->body));
	fprintf(f, "\r\n%s", a->body ? a->body : "");
	if (fclose(f) == 0)
		return text;
	free(text);
	return NULL;
}

int http_send(struct http_wire *w, int fd, pid_t helper, const struct http_ask *ask)
{
	size_t len;
	char *text;
	int r;

	w->at = w->len = 0;
	w->fd = fd;
	w->helper = helper;
	text = encode(ask, &len);
	r = text ? send_all(w->fd, text, len) : -ENOMEM;
	free(text);
	if (r < 0)
		http_close(w);
	return r;
}

int http_open(struct http_wire *w, const char *socket, const struct http_ask *ask)
{
	int fd = connect_to(socket);

	w->fd = -1;
	return fd < 0 ? fd : http_send(w, fd, 0, ask);
}

void http_close(struct http_wire *w)
{
	if (w->fd >= 0 && w->helper)
		remote_close(w->fd, w->helper);
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

int http_read_head(struct http_wire *w, struct http_head *ret_head)
{
	for (;;) {
		ssize_t n = http_decode_head(w->bytes, w->len, ret_head);

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

ssize_t http_read(struct http_wire *w, char *to, size_t max)
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

int http_read_body(struct http_wire *w, const struct http_head *head, size_t max, char **ret_body,
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
		n = len < whole ? http_read(w, body + len, min_u64(room - len - 1, whole - len))
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
