/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Calls of another host's API: a connection for each, by a process of oya-tls (lib/peer.h), none of
 * it waited for.
 *
 * Trust: what the other host says is hostile: bounded in size and time, and decoded as JSON; what
 * the values mean is for the owner to check. The token goes into the connection and nowhere else.
 *
 * Threads: the loop's.
 */
#ifndef OYA_HOST_FAR_H
#define OYA_HOST_FAR_H

#include <jansson.h>
#include <stdbool.h>
#include <systemd/sd-event.h>

#include "lib/fail.h"
#include "lib/peer.h"

#define FAR_ANSWER_MAX (1u << 20)
#define FAR_PATIENCE_US UINT64_C(90000000) /* for the whole of a call */

struct far;

struct far_wish {
	const char *helper; /* path of oya-tls */
	const struct peer *peer;
	const char *method, *target;
	const json_t *body;  /* or NULL */
	const char *upgrade; /* the protocol that the connection is to become; or NULL */
	const char *pass;    /* of the other host, for a process that carries its TLS; or NULL */
};

struct far_answer {
	int code;                /* 0; or -errno and the sentence: there is no answer */
	const struct failure *f; /* also of an answer of 400 and above: its sentence */
	bool sent;               /* something of the request: the other host may have done it */
	unsigned status;
	json_t *body; /* NULL: none; the callee may take a reference */
	int fd;       /* of 101: the stream, blocking, which is the callee's; else -1 */
};

/* Called once; the call is freed then. */
typedef void far_done_fn(void *ctx, const struct far_answer *answer);

/* 0: done() follows. Else -errno and the sentence. What the wish names is copied. */
int far_start(sd_event *event, const struct far_wish *wish, far_done_fn *done, void *ctx,
	      struct far **ret_far, struct failure *f);

/* Ends it at once; done() does not follow. NULL is fine. */
void far_cancel(struct far *far);

#endif
