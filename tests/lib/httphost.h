/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A small service on the HTTP layer, its loop, and clients that speak raw bytes. All of it runs on
 * the caller's thread: httphost_settle() turns the loop until nothing is ready.
 *
 * Helpers abort when a step fails that has to work.
 */
#ifndef OYA_TESTS_LIB_HTTPHOST_H
#define OYA_TESTS_LIB_HTTPHOST_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "host/events.h"
#include "host/http.h"

#define HTTPHOST_LATER_MAX 8u
#define HTTPHOST_TEXT_MAX (4u << 20)

struct httphost {
	sd_event *loop;
	struct http *http;
	struct events *events;
	int listener;
	struct sockaddr_un address;
	socklen_t address_len;
	enum http_role role;    /* of all who come */
	bool limited;           /* so are they */
	uid_t uid;              /* of them; the caller's */
	char authorization[64]; /* that came last */
	unsigned calls;         /* of handlers */
	struct http_request *later[HTTPHOST_LATER_MAX];
	unsigned laters;
	struct http_stream *stream; /* of the last request for one */
	unsigned streams_gone;
	int raw; /* the last one that was opened; -1: none */
	unsigned raws, raws_lost;
	char early[256];
	size_t early_len;
	char text[HTTPHOST_TEXT_MAX]; /* what httphost_talk() got */
};

/*
 * Routes: /v1/things GET ("limit after", the only one for limited callers), POST (needs a body,
 * answers with it); /v1/things/{name} GET, PATCH (takes a body), DELETE; /v1/things/{name}/start
 * POST (later); /v1/things/{name}/console GET (upgrade to oya-console); /v1/events, /v1/stream GET
 * (events, a stream of the test's); /v1/secret GET (administrators); /v1/silent GET (a handler that
 * forgets); /metrics GET (text). NULL for config's figures takes those of http.h.
 */
struct httphost *httphost_new(const struct http_config *figures);
void httphost_free(struct httphost *s);

/* Turns the loop until nothing is ready, or until `ms` have passed if that is not 0. */
void httphost_settle(struct httphost *s);
void httphost_pass(struct httphost *s, unsigned ms);

int httphost_connect(struct httphost *s);
void httphost_send(struct httphost *s, int fd, const void *bytes, size_t len);
/* What has come, as a string; *ret_closed (unless NULL) tells whether the end has been reached. */
const char *httphost_receive(struct httphost *s, int fd, bool *ret_closed);

/* A connection of its own: sends, receives what comes, and closes. */
const char *httphost_talk(struct httphost *s, const void *bytes, size_t len, bool *ret_closed);

#endif
