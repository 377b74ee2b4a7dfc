/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Listening Unix sockets.
 */
#ifndef OYA_LIB_LISTEN_H
#define OYA_LIB_LISTEN_H

#include "lib/fail.h"

/* Listens at path, readable and writable by the owner only; a socket that nobody listens on any
 * more is replaced, one in use or another kind of file is not. `role` is for the sentence.
 * 0 and *ret_fd, or -errno. */
int listen_unix(const char *path, const char *role, int *ret_fd, struct failure *f);

#endif
