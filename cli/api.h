/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Calls of the host service's API (docs/api). What it refuses becomes one sentence.
 */
#ifndef OYA_CLI_API_H
#define OYA_CLI_API_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "lib/wire.h"
#include "lib/fail.h"

#define API_SOCKET "/run/oya/api"
#define API_TARGET_MAX 512u
#define API_EVENT_MAX (1u << 20)

struct peer;

struct api {
	const char *socket; /* of this host */
	struct peer *host;  /* another one, in place of it; or NULL */
	FILE *told;         /* each call is printed to it; or NULL */
	bool dry;           /* and none is made */
};

struct api_request {
	const char *method, *target;
	const json_t *body; /* or NULL */
	bool patch;         /* it is a merge patch */
	const char *if_match;
	const char *absent; /* what to do when it is not there (404); or NULL */
	const char *hidden; /* a member of the body that nobody is shown; or NULL */
};

struct api_answer {
	unsigned status; /* 0: none, it was a dry run */
	json_t *body;    /* or NULL */
};

/* 0 and an answer of a status below 300; or -errno and the sentence. */
int api_call(const struct api *api, const struct api_request *request,
	     struct api_answer *ret_answer, struct failure *f);

/* Makes a connection a stream of bytes. 0: *w is open, with bytes in it that came already; its fd
 * is -1 in a dry run. */
int api_upgrade(const struct api *api, const char *target, const char *protocol,
		struct wire *w, struct failure *f);

/* ---- events ---- */

struct api_event {
	const char *id, *type, *data; /* good until the next one */
};

struct api_events {
	struct wire wire;
	char *text; /* that has come */
	size_t at, len, room;
	char id[ASK_VALUE_MAX], type[ASK_VALUE_MAX];
};

/* Listens; `after` is the number of the last event that is known, or NULL. 0: it listens, or it is
 * a dry run. */
int api_listen(const struct api *api, const char *after, struct api_events *e, struct failure *f);

/* Waits for the next event, timeout_ms or -1 for ever. 1: there is one; 0: none in time; -errno: it
 * has ended. */
int api_next_event(struct api_events *e, int timeout_ms, struct api_event *ret_event,
		   struct failure *f);

void api_events_done(struct api_events *e);

/* Pure, of a text: takes the first whole event out of the buffer. 1; or 0, more is needed. */
int api_take_event(struct api_events *e, struct api_event *ret_event);

#endif
