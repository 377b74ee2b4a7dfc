/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * HTTP over a stream socket, a connection for each request: what `oya` needs of it and no more.
 *
 * Requests are of HTTP/1.0, so that an answer is a head and then bytes up to the connection's end,
 * also of a stream; of HTTP/1.1 where the connection is to become another protocol's. A library for
 * the whole of HTTP would take longer to load than the rest of the command takes (README.md).
 *
 * Trust: the answer comes from who listens on the socket, which its folder lets nobody else than
 * the host service do, or from a host that the user trusts; it is bounded and decoded all the same.
 */
#ifndef OYA_CLI_HTTP_H
#define OYA_CLI_HTTP_H

#include <stddef.h>
#include <sys/types.h>

#include "lib/ask.h"

/* A connection, and what was read of it and is still to be taken. */
struct http_wire {
	int fd;
	pid_t helper; /* behind it, when it leads to another host; 0 */
	size_t at, len;
	char bytes[ASK_HEAD_MAX];
};

/* Connects and sends. 0, or -errno: -ENAMETOOLONG, or what connect() says. */
int http_open(struct http_wire *w, const char *socket, const struct ask *ask);

/* The same on a connection that is there, which is taken, also when it fails. */
int http_send(struct http_wire *w, int fd, pid_t helper, const struct ask *ask);

/* 0 and the head; or -EBADMSG, -ECONNRESET, or what recv() says. */
int http_read_head(struct http_wire *w, struct ask_head *ret_head);

/* What comes behind it: the number of bytes, 0 at the end, or -errno. */
ssize_t http_read(struct http_wire *w, char *to, size_t max);

/* The whole body, with a NUL behind it, to be freed. 0, or -errno: -EFBIG above `max`,
 * -ECONNRESET when it is shorter than its head says. */
int http_read_body(struct http_wire *w, const struct ask_head *head, size_t max, char **ret_body,
		   size_t *ret_len);

void http_close(struct http_wire *w);

#endif
