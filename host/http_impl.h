/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the HTTP layer share: listeners, connections and exchanges.
 *
 * A connection is there from accept until libmicrohttpd has closed it. An exchange is one request
 * with its answer: libmicrohttpd's part of it (`attached`) ends with the answer or the connection,
 * the handler's (`held`) with what ends the request. It is freed when both have ended.
 *
 * Invariants:
 * 1. A connection without anything to do for libmicrohttpd is suspended, so that it is not looked
 *    at; while it is, `hangup` watches whether the client goes.
 * 2. libmicrohttpd is told `answer` only from on_request(): queuing it elsewhere would run the
 *    connection below whoever called http_reply().
 * 3. Deadlines are ours: libmicrohttpd's begin anew with each byte. In `waiting` are the
 *    connections on which the client or the network is to do something, the oldest first.
 */
#ifndef OYA_HOST_HTTP_IMPL_H
#define OYA_HOST_HTTP_IMPL_H

#include <microhttpd.h>

#include "base/list.h"
#include "host/http.h"
#include "host/http_check.h"
#include "host/http_target.h"
#include "host/tls.h"
#include "lib/log.h"

#define HTTP_CLOSING_MAX 32u /* connections that are cut and not cleaned up yet */

struct http {
	sd_event *loop;
	struct http_config config;
	struct http_listener *listener; /* a chain */
	struct list connections, waiting;
	unsigned count, streams;
	bool ending;
	size_t bodies;    /* bytes of bodies that are being received */
	struct list keys; /* idempotency keys, the oldest first */
	unsigned key_count;
	size_t key_bytes;
	sd_event_source *deadline;
	struct log_limit clients, faults, library; /* what clients cause; our troubles; its words */
};

struct http_listener {
	struct http *h;
	struct http_listener *next;
	struct MHD_Daemon *mhd;
	struct tls_server *tls; /* NULL: of a Unix socket */
	int fd;
	sd_event_source *accept, *again, *io, *timer;
	bool kicked; /* there is something to do that libmicrohttpd does not tell of */
};

struct http_connection {
	struct http_listener *l;
	struct list all;     /* in http.connections */
	struct list waiting; /* in http.waiting, when the client has to act by `deadline_us` */
	uint64_t deadline_us;
	int fd;                  /* libmicrohttpd's; with TLS the plain side */
	struct tls_session *tls; /* or NULL */
	struct http_caller caller;
	gid_t *groups; /* the caller's */
	bool outsider; /* nothing but a token or a certificate would give it a role */
	struct MHD_Connection *mhd;
	struct http_exchange *x;
	sd_event_source *hangup;
	bool suspended;
	bool condemned; /* shut down by us: it is gone as soon as libmicrohttpd looks */
};

struct http_exchange {
	struct http_request r; /* first: what handlers see */
	struct http *h;
	struct http_connection *c; /* NULL when not attached */
	bool begun, called;
	bool held;       /* by a handler, for later */
	bool gone;       /* the client gets no answer */
	bool closes;     /* the connection ends with the answer */
	bool takes_more; /* a body follows */
	unsigned excess; /* it was too much and is thrown away until its end: the answer's status */
	struct http_framing framing;
	char *target; /* as it came; behind its NUL, room for it decoded */
	char *values; /* of the headers that are kept */
	char *body;
	size_t body_len, body_room;
	struct MHD_Response *answer;
	unsigned status;
	struct http_stream *stream;
	struct http_raw *raw;
	struct http_key *key; /* its idempotency key, until it is answered; NULL */
};

/* ---- http.c ---- */

uint64_t http_now_us(const struct http *h);
/* Lets libmicrohttpd run in the loop's next turn. */
void http_kick(struct http_listener *l);
/* Sets a connection aside until http_resume(), or lets it go on; each only once in a row. */
void http_suspend(struct http_connection *c);
void http_resume(struct http_connection *c);
/* Ends a connection from outside of libmicrohttpd's calls. */
void http_cut(struct http_connection *c);
/* The client has to act from now on, within the idle time; or has not. */
void http_await(struct http_connection *c, bool awaits);
bool http_may_log(struct http *h, struct log_limit *l);

/* ---- http_caller.c ---- */

/* Who has connected to a Unix socket; *ret_groups is to be freed when the connection is. */
int http_caller_ask(int fd, gid_t group, struct http_caller *ret_caller, gid_t **ret_groups);
/* The same of a TCP socket. */
int http_caller_ask_remote(int fd, struct http_caller *ret_caller);
/* Lets one more in, perhaps by cutting one that is idle. NULL, or the sentence why it is one too
 * many. */
const char *http_make_room_for(struct http *h, const struct http_caller *caller, bool outsider);
/* The client that has been idle for the longest time, or sends a head for as long, makes room. */
bool http_make_room(struct http *h, bool outsiders_only);

/* ---- http_exchange.c ---- */

struct http_exchange *http_exchange_new(struct http_connection *c, const char *target);
/* The head is there, more of the body, all of it. */
enum MHD_Result http_exchange_begin(struct http_exchange *x, const char *target, const char *method,
				    const char *version);
void http_exchange_body(struct http_exchange *x, const char *bytes, size_t len);
enum MHD_Result http_exchange_finish(struct http_exchange *x);
/* libmicrohttpd is done with it. */
void http_exchange_detach(struct http_exchange *x);
/* The client will not get an answer. */
void http_exchange_gone(struct http_exchange *x);

/* Makes `response` the answer and ends the request; NULL, for want of memory, ends the connection.
 */
void http_answer(struct http_exchange *x, unsigned status, struct MHD_Response *response);

/* ---- http_admit.c ---- */

/* False when the request has been answered by its head alone (or is gone, without memory). */
bool http_admit(struct http_exchange *x, const struct http_head *head);

/* ---- http_reply.c ---- */

struct http_line {
	const char *name, *value;
};

/* An answer without a handler; `more` ends with a NULL name, or is NULL. */
void http_refuse(struct http_exchange *x, unsigned status, const struct http_line *more,
		 const struct failure *f);
/* Adds a line to a response; false when memory is short or the value cannot be one. */
bool http_add_line(struct MHD_Response *response, const char *name, const char *value);

/* An answer that is kept; `type` is a constant, the others are NULL where there is none. */
struct http_kept {
	unsigned status;
	const char *type;
	char *text, *etag, *location;
};
void http_reply_kept(struct http_exchange *x, const struct http_kept *answer);

/* ---- http_idempotency.c ---- */

/* True when the request's key has answered or refused it; else the handler is to be called. */
bool http_key_begin(struct http_exchange *x);
/* Keeps the answer for those who come with the key again. `reply`, for its lines, may be NULL. */
void http_key_keep(struct http_exchange *x, unsigned status, const char *type, const json_t *body,
		   const struct http_reply *reply);
/* The request has been answered: a key whose answer was not kept is free again. */
void http_key_end(struct http_exchange *x);
void http_keys_free(struct http *h);

/* ---- http_stream.c, http_upgrade.c ---- */

void http_stream_lost(struct http_stream *s);
void http_raw_lost(struct http_raw *raw);

#endif
