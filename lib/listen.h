/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Listening Unix sockets.
 */
#ifndef OYA_LIB_LISTEN_H
#define OYA_LIB_LISTEN_H

#include "lib/fail.h"

struct listener {
	int fd;     /* -1: none */
	int folder; /* of the socket: its end is removed through it, whatever the root is by then */
	char name[108];
};

/* Listens at path, readable and writable by the owner only; a socket that nobody listens on any
 * more is replaced, one in use or another kind of file is not. `role` is for the sentence.
 * 0 and *ret_listener, or -errno. */
int listen_unix(const char *path, const char *role, struct listener *ret_listener,
		struct failure *f);

/* Removes the socket's file only: of a process that ends as it is. Any thread. */
void listener_forget(const struct listener *l);

/* Closes it and removes the socket's file. Fine when there is none. */
void listener_done(struct listener *l);

#endif
