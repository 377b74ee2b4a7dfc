/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * HTTP over a stream socket, a connection for each request, by a client that waits: `oya`, and the
 * agents of the cluster.
 *
 * Requests are of HTTP/1.0, so that an answer is a head and then bytes up to the connection's end,
 * also of a stream; of HTTP/1.1 where the connection is to become another protocol's. A library for
 * the whole of HTTP would take longer to load than the rest of a command takes (cli/README.md).
 *
 * Trust: the answer comes from who listens on the socket, which its folder lets nobody else than
 * the host service do, or from a host that the user trusts; it is bounded and decoded all the same.
 */
#ifndef OYA_LIB_WIRE_H
#define OYA_LIB_WIRE_H

#include <stddef.h>
#include <sys/types.h>

#include "lib/ask.h"

/* A connection, and what was read of it and is still to be taken. */
struct wire {
	int fd;
	pid_t helper; /* behind it, when it leads to another host; 0 */
	size_t at, len;
	char bytes[ASK_HEAD_MAX];
};

/* Connects and sends. 0, or -errno: -ENAMETOOLONG, or what connect() says. */
int wire_open(struct wire *w, const char *socket, const struct ask *ask);

/* The same on a connection that is there, which is taken, also when it fails. */
int wire_send(struct wire *w, int fd, pid_t helper, const struct ask *ask);

/* 0 and the head; or -EBADMSG, -ECONNRESET, or what recv() says. */
int wire_read_head(struct wire *w, struct ask_head *ret_head);

/* What comes behind it: the number of bytes, 0 at the end, or -errno. */
ssize_t wire_read(struct wire *w, char *to, size_t max);

/* The whole body, with a NUL behind it, to be freed. 0, or -errno: -EFBIG above `max`,
 * -ECONNRESET when it is shorter than its head says. */
int wire_read_body(struct wire *w, const struct ask_head *head, size_t max, char **ret_body,
		   size_t *ret_len);

void wire_close(struct wire *w);

#endif
