/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "lib/probe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "lib/ask.h"

#define LINE_MAX_BYTES 256u
#define PORT_DIGITS 5u

/* ---- what is asked ---- */

/* Up to 65535, and nothing behind it. */
static bool take_port(const char *text, in_port_t *ret_port)
{
	uint32_t port = 0;
	size_t len = strspn(text, "0123456789");

	if (!len || len > PORT_DIGITS || text[len])
		return false;
	for (size_t i = 0; i < len; i++)
		port = port * 10 + (uint32_t)(text[i] - '0');
	*ret_port = htons((in_port_t)port);
	return port > 0 && port <= UINT16_MAX;
}

/* "ADDRESS:PORT", which is cut up. */
static bool take_address(char *text, struct probe *p)
{
	char *colon = strrchr(text, ':');

	if (!colon)
		return false;
	*colon = '\0';
	if (text[0] == '[' && colon[-1] == ']') {
		colon[-1] = '\0';
		p->address.v6.sin6_family = AF_INET6;
		return inet_pton(AF_INET6, text + 1, &p->address.v6.sin6_addr) == 1 &&
		       take_port(colon + 1, &p->address.v6.sin6_port);
	}
	p->address.v4.sin_family = AF_INET;
	return inet_pton(AF_INET, text, &p->address.v4.sin_addr) == 1 &&
	       take_port(colon + 1, &p->address.v4.sin_port);
}

/* It becomes a part of a line of the request. */
static bool is_plain(const char *path)
{
	for (; *path; path++) {
		if (*path <= ' ' || *path > '~')
			return false;
	}
	return true;
}

int probe_decode(const char *text, struct probe *ret_probe, struct failure *f)
{
	bool tcp = strncmp(text, "tcp://", 6) == 0;
	struct probe p = {.path = ""};
	char address[PROBE_TEXT_MAX + 1];
	size_t len;

	if (!tcp && strncmp(text, "http://", 7) != 0)
		return fail(f, -EINVAL,
			    "'%.80s' is no probe: it is tcp://ADDRESS:PORT or "
			    "http://ADDRESS:PORT/PATH",
			    text);
	if (strlen(text) > PROBE_TEXT_MAX)
		return fail(f, -EINVAL, "a probe has %u bytes at most", PROBE_TEXT_MAX);
	text += tcp ? 6 : 7;
	len = strcspn(text, "/");
	snprintf(p.host, sizeof(p.host), "%.*s", (int)len, text);
	if (!tcp)
		snprintf(p.path, sizeof(p.path), "%s", text[len] ? text + len : "/");
	memcpy(address, p.host, sizeof(address));
	if ((tcp && text[len]) || !take_address(address, &p))
		return fail(f, -EINVAL,
			    "'%.80s' is no address and port to probe, such as 10.0.0.5:80 or "
			    "[fd00::5]:80",
			    text);
	if (!is_plain(p.path))
		return fail(f, -EINVAL, "the path of a probe has characters that no path has");
	*ret_probe = p;
	return 0;
}

/* ---- asked ---- */

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000) + t.tv_nsec / 1000000;
}

/* 0, -ETIMEDOUT, or -errno. */
static int await(int fd, short events, int64_t until_ms)
{
	struct pollfd p = {.fd = fd, .events = events};
	int n;

	do {
		int64_t left = until_ms - now_ms();

		n = left > 0 ? poll(&p, 1, (int)left) : 0;
	} while (n < 0 && errno == EINTR);
	return n > 0 ? 0 : n == 0 ? -ETIMEDOUT : -errno;
}

static int reach(int fd, const struct probe *p, int64_t until_ms)
{
	socklen_t len =
		p->address.any.sa_family == AF_INET ? sizeof(p->address.v4) : sizeof(p->address.v6);
	int problem = 0, r;

	if (connect(fd, &p->address.any, len) == 0)
		return 0;
	if (errno != EINPROGRESS)
		return -errno;
	r = await(fd, POLLOUT, until_ms);
	len = sizeof(problem);
	if (r == 0 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &problem, &len) < 0)
		r = -errno;
	return r < 0 ? r : -problem;
}

/* Room for an empty line behind it is left. */
static int read_line(int fd, int64_t until_ms, char line[LINE_MAX_BYTES], size_t *ret_len)
{
	size_t len = 0;

	while (len < LINE_MAX_BYTES - 4) {
		int r = await(fd, POLLIN, until_ms);
		ssize_t n = r < 0 ? r : recv(fd, line + len, LINE_MAX_BYTES - 4 - len, 0);
		char *end;

		if (r < 0)
			return r;
		if (n <= 0)
			return n < 0 ? -errno : -ECONNRESET;
		len += (size_t)n;
		end = memmem(line, len, "\r\n", 2);
		if (end) {
			*ret_len = (size_t)(end - line);
			return 0;
		}
	}
	return -EBADMSG;
}

static int ask_page(int fd, const struct probe *p, int64_t until_ms, struct failure *f)
{
	char request[3 * PROBE_TEXT_MAX], line[LINE_MAX_BYTES];
	int n = snprintf(request, sizeof(request),
			 "GET %s HTTP/1.0\r\nHost: %s\r\nConnection: close\r\n\r\n", p->path,
			 p->host);
	struct ask_head head;
	size_t len = 0;
	int r;

	/* It fits into what the kernel keeps for a connection. */
	r = send(fd, request, (size_t)n, MSG_NOSIGNAL) == n ? 0 : -EPIPE;
	if (r == 0)
		r = read_line(fd, until_ms, line, &len);
	if (r < 0)
		return r;
	memcpy(line + len, "\r\n\r\n", 4);
	if (ask_decode_head(line, len + 4, &head) <= 0)
		return -EBADMSG;
	return head.status >= 200 && head.status < 400
		       ? 0
		       : fail(f, -EREMOTEIO, "it says %u", head.status);
}

int probe_run(const struct probe *p, unsigned limit_ms, struct failure *f)
{
	int64_t until_ms = now_ms() + limit_ms;
	int fd = socket(p->address.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int r = fd < 0 ? -errno : reach(fd, p, until_ms);

	if (r == 0 && p->path[0])
		r = ask_page(fd, p, until_ms, f);
	if (fd >= 0)
		close(fd);
	if (r == 0 || r == -EREMOTEIO)
		return r;
	return fail(f, r, "%s",
		    r == -ETIMEDOUT ? "no answer in time"
		    : r == -EBADMSG ? "what it says is no HTTP"
				    : strerror(-r));
}
