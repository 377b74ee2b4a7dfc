/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/lib/fakeapi.h"

#include <ctype.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void require(bool good, const char *what)
{
	if (good)
		return;
	perror(what);
	abort();
}

/* A head, and a body as long as it says. */
static void read_request(int fd, char *text)
{
	size_t len = 0, whole = FAKEAPI_REQUEST_MAX;

	while (len < whole && len + 1 < FAKEAPI_REQUEST_MAX) {
		ssize_t n = recv(fd, text + len, FAKEAPI_REQUEST_MAX - 1 - len, 0);
		const char *end, *length;

		if (n <= 0)
			break;
		len += (size_t)n;
		text[len] = '\0';
		end = strstr(text, "\r\n\r\n");
		length = strstr(text, "Content-Length: ");
		if (end)
			whole = (size_t)(end + 4 - text) +
				(length ? strtoul(length + 16, NULL, 10) : 0);
	}
}

static const struct fakeapi_answer *answer_of(struct fakeapi *a, const char *request)
{
	for (size_t i = 0; i < a->count; i++) {
		const char *begin = a->answers[i].request;

		if (!a->used[i] && strncmp(request, begin, strlen(begin)) == 0) {
			a->used[i] = true;
			return &a->answers[i];
		}
	}
	fprintf(stderr, "nobody expected: %s\n", request);
	return NULL;
}

/* What the guest of a console would do. */
static void echo(int fd)
{
	char bytes[256];
	ssize_t n = recv(fd, bytes, sizeof(bytes), 0);

	for (ssize_t i = 0; i < n; i++)
		bytes[i] = (char)toupper(bytes[i]);
	if (n > 0)
		(void)!send(fd, bytes, (size_t)n, MSG_NOSIGNAL);
	else
		shutdown(fd, SHUT_RDWR);
}

static void serve(struct fakeapi *a, int fd)
{
	char *text = a->seen[a->seen_count++];
	const struct fakeapi_answer *answer;

	read_request(fd, text);
	answer = answer_of(a, text);
	if (answer)
		(void)!send(fd, answer->answer, strlen(answer->answer), MSG_NOSIGNAL);
	if (answer && answer->stays)
		a->open[a->open_count++] = fd;
	else
		close(fd);
}

static void *run(void *owner)
{
	struct fakeapi *a = owner;

	for (;;) {
		struct pollfd p[1 + FAKEAPI_REQUESTS_MAX] = {{.fd = a->fd, .events = POLLIN}};
		unsigned open = a->open_count;
		int fd;

		for (unsigned i = 0; i < open; i++)
			p[1 + i] = (struct pollfd){.fd = a->open[i], .events = POLLIN};
		if (poll(p, 1 + open, -1) < 0)
			continue;
		for (unsigned i = 0; i < open; i++) {
			if (p[1 + i].revents & POLLIN)
				echo(a->open[i]);
			if (p[1 + i].revents & (POLLHUP | POLLERR)) {
				close(a->open[i]);
				a->open[i] = -1;
			}
		}
		if (!p[0].revents)
			continue;
		fd = accept(a->fd, NULL, NULL);
		if (fd < 0)
			return NULL;
		if (a->seen_count < FAKEAPI_REQUESTS_MAX)
			serve(a, fd);
		else
			close(fd);
	}
}

void fakeapi_start(struct fakeapi *a, const struct fakeapi_answer *answers, size_t count)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	memset(a, 0, sizeof(*a));
	a->answers = answers;
	a->count = count;
	strcpy(a->folder, "/tmp/oya-fakeapi-XXXXXX");
	require(mkdtemp(a->folder) != NULL, "mkdtemp");
	snprintf(a->path, sizeof(a->path), "%s/api", a->folder);
	strcpy(address.sun_path, a->path);
	a->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	require(a->fd >= 0 && bind(a->fd, (struct sockaddr *)&address, sizeof(address)) == 0 &&
			listen(a->fd, 16) == 0,
		"listen");
	require(pthread_create(&a->thread, NULL, run, a) == 0, "pthread_create");
}

bool fakeapi_stop(struct fakeapi *a)
{
	bool all = a->seen_count == a->count;

	shutdown(a->fd, SHUT_RDWR);
	pthread_join(a->thread, NULL);
	close(a->fd);
	for (unsigned i = 0; i < a->open_count; i++) {
		if (a->open[i] >= 0)
			close(a->open[i]);
	}
	unlink(a->path);
	rmdir(a->folder);
	for (size_t i = 0; i < a->count; i++)
		all = all && a->used[i];
	return all;
}
