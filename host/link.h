/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The connection to a worker's control socket (docs/format/control.md): requests out, answers and
 * news back, none of it waited for.
 *
 * Trust: a worker whose guest has broken it says what it likes. Lines are bounded, decoded as
 * JSON, and what has no place in the protocol ends the link; what the values mean is for the owner
 * to check. It can neither make us wait nor grow without a limit.
 *
 * Threads: the loop's.
 */
#ifndef OYA_HOST_LINK_H
#define OYA_HOST_LINK_H

#include <jansson.h>
#include <systemd/sd-event.h>

#include "lib/fail.h"

#define LINK_LINE_MAX (1u << 20)
#define LINK_REQUESTS_MAX 64u
#define LINK_FDS_MAX 8u /* with one request */

struct link;

/* Of these only `ended`, which comes last, may free the link. */
struct link_owner {
	/* The worker tells its status, unasked or as the answer to the first request. */
	void (*status)(void *ctx, json_t *status);
	/* The link has ended, by the worker's end or its fault; it is freed by the owner. */
	void (*ended)(void *ctx);
	void *ctx;
};

/* `result` is NULL when the request failed or nothing came with it; `sentence` is NULL when it was
 * done, else why not: the worker's own words, or that the link has ended. */
typedef void link_answer_fn(void *ctx, json_t *result, const char *sentence);

/* Takes fd, a connected stream socket, and begins to watch. 0, or -errno with fd closed. */
int link_new(sd_event *event, int fd, const struct link_owner *owner, struct link **ret_link);

/* What has not been answered is answered with a sentence first. NULL is fine. */
void link_free(struct link *l);

/* Sends a request, an object that is taken, with a descriptor that is taken too (-1: none). 0, or
 * -errno when it cannot be sent, and `answer` is not called. */
int link_request(struct link *l, json_t *request, int fd, link_answer_fn *answer, void *ctx);

/* Descriptors that belong together, in order. */
struct link_fds {
	int fd[LINK_FDS_MAX];
	unsigned count;
};

/* Closes them; none are left. */
void link_fds_close(struct link_fds *fds);

/* The same with several descriptors, all of which are taken: `fds` has none any more. */
int link_hand(struct link *l, json_t *request, struct link_fds *fds, link_answer_fn *answer,
	      void *ctx);

/* Connects to a socket. The descriptor, or -errno: -ENOENT and -ECONNREFUSED when no worker
 * listens there. */
int link_connect(const char *path);

#endif
