/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * HTTP of the host service: requests in, replies, event streams and raw streams out.
 *
 * libmicrohttpd reads and writes the connections; this layer accepts them, checks the form of each
 * request (host/http_check.h), finds its route, holds the caller against the route's role, reads
 * the body as JSON and calls the route's function. It knows nothing of VMs.
 *
 * Ownership: a handler's request belongs to this layer and is good until it is answered. Exactly
 * one of http_reply(), http_reply_text(), http_fail(), http_stream_open() and http_upgrade() ends
 * it: within the handler, or later when the handler has called http_later() before it returns.
 * A request whose client is gone stays good until it is ended; what ends it then does nothing.
 *
 * Context: all of it on the loop's thread, and nothing of it waits. http_free() and
 * http_listen_*() are not called from a handler.
 *
 * Trust: every byte of a client is hostile. What a handler sees has passed: percent-encoding is
 * decoded to UTF-8 without NUL, a path parameter holds no '/' and is neither "." nor "..", JSON has
 * no key twice. Everything else about the values is the handler's to check.
 */
#ifndef OYA_HOST_HTTP_H
#define OYA_HOST_HTTP_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

#include "lib/fail.h"

#define HTTP_CONNECTIONS_MAX 256u     /* of all listeners */
#define HTTP_USER_CONNECTIONS_MAX 64u /* of one user other than root, or of one address */
#define HTTP_CALLER_TEXT_MAX 64u
#define HTTP_CERTIFICATE_NAME_MAX 64u
#define HTTP_FINGERPRINT_LEN 64u
#define HTTP_MEMBER_NAME_MAX 64u
#define HTTP_STREAMS_MAX 64u
#define HTTP_POOL_BYTES                                                          \
	(32u << 10) /* of a connection, for the head of a request and of a reply \
		     */
#define HTTP_HEAD_MAX (16u << 10)
#define HTTP_TARGET_MAX 4096u
#define HTTP_FIELDS_MAX 64u /* header lines */
#define HTTP_BODY_MAX (1u << 20)
#define HTTP_BODIES_MAX (16u << 20) /* of all requests that are being received */
#define HTTP_SEGMENTS_MAX 16u
#define HTTP_QUERY_MAX 16u
#define HTTP_VALUE_MAX 255u /* of Idempotency-Key and Last-Event-ID */
#define HTTP_KEYS_MAX 1024u /* idempotency keys that are kept, the oldest go */
#define HTTP_KEYS_BYTES_MAX (8u << 20)
#define HTTP_KEYS_MS UINT64_C(86400000)
#define HTTP_STREAM_BUFFER_MAX (1u << 20)
#define HTTP_IDLE_MS 60000u
#define HTTP_ALIVE_MS 15000u

struct http;
struct http_stream;
struct tls_server;

enum http_method {
	HTTP_GET,
	HTTP_HEAD, /* routes never name it: it is there where GET is */
	HTTP_POST,
	HTTP_PUT,
	HTTP_PATCH,
	HTTP_DELETE,
	HTTP_OPTIONS, /* nor this one, which every path has */
	HTTP_METHODS
};

/* What a caller may do; each role may do what those before it may. */
enum http_role {
	HTTP_HELD_BACK, /* it has said too often what is wrong: 429 */
	HTTP_UNKNOWN,   /* it did not say who it is: 401 */
	HTTP_STRANGER,  /* it has no access: 403 */
	HTTP_JOINER,    /* a host that may become a member of the cluster, and nothing else */
	HTTP_READER,
	HTTP_OPERATOR,
	HTTP_ADMINISTRATOR
};

/* Who has connected. On a Unix socket as the kernel tells (SO_PEERCRED, SO_PEERGROUPS); the pid is
 * for the log: it may be another process's by now. */
struct http_caller {
	bool remote; /* by TLS; what the kernel tells of local ones is not there then */
	uid_t uid;
	gid_t gid;
	pid_t pid;
	bool in_group;       /* of the configuration */
	const gid_t *groups; /* only there while the role is asked for */
	unsigned group_count;
	uint64_t peer; /* the uid; or what counts as one address: of IPv6 the first 64 bits */
	char address[HTTP_CALLER_TEXT_MAX]; /* of a remote one */
	char certificate[HTTP_CERTIFICATE_NAME_MAX +
			 1]; /* the name in one that was verified, or "" */
	char fingerprint[HTTP_FINGERPRINT_LEN + 1]; /* of one that was shown, or "" */
};

enum http_route_flag {
	HTTP_TAKES_BODY = 1,
	HTTP_NEEDS_BODY = 2,
	HTTP_STREAMS = 4,   /* answers with events: text/event-stream */
	HTTP_TEXT = 8,      /* answers with text/plain */
	HTTP_UPGRADES = 16, /* becomes a stream of bytes: the request has to name `protocol` */
	HTTP_SCOPED =
		32,      /* leaves out what a limited caller may not see; others are closed to it */
	HTTP_SECRET = 64 /* its answer is not kept */
};

/* What the owner knows of a caller besides its role. */
struct http_identity {
	uint64_t who; /* 0: nothing */
	bool limited; /* to some of what there is */
	char member[HTTP_MEMBER_NAME_MAX + 1]; /* of the cluster: its name; or "" */
};

struct http_pair {
	const char *name, *value;
};

struct http_request {
	enum http_method method;
	const struct http_route *route;
	const char *path; /* as it came, percent-encoded, without the query */
	struct http_pair param[HTTP_SEGMENTS_MAX];
	unsigned params;
	struct http_pair query[HTTP_QUERY_MAX];
	unsigned queries;
	json_t *body;     /* NULL: none; belongs to the request */
	bool merge_patch; /* the body is application/merge-patch+json */
	/* Headers, NULL where they are absent. */
	const char *if_match, *if_none_match, *idempotency_key, *last_event_id;
	struct http_caller caller;
	enum http_role role;
	struct http_identity identity;
};

/* One row of the table of routes. Where several patterns fit a path, the first row with the
 * request's method is taken. */
struct http_route {
	enum http_method method;
	const char *pattern; /* "/v1/vms/{name}/start" */
	enum http_role role; /* the least that may call it */
	unsigned flags;
	const char *query;    /* names that its query may hold: "limit after"; NULL: none */
	const char *protocol; /* with HTTP_UPGRADES */
	void (*handle)(struct http_request *r, void *owner);
};

struct http_config {
	const struct http_route *route; /* they, and what they point to, outlive the http */
	size_t routes;
	void *owner; /* of the handlers */
	/* Whose members are administrators beside root; (gid_t)-1: nobody's. */
	gid_t group;
	/* Who the caller is; `authorization` is that header's value or NULL, as it is when a
	 * client is let in before it has sent anything. *ret_identity is zero at first. NULL:
	 * http_role_of(). */
	enum http_role (*role)(void *owner, const struct http_caller *caller,
			       const char *authorization, struct http_identity *ret_identity);
	/* 0 takes the figure above; tests have other ones. */
	unsigned connections_max, user_connections_max, keys_max;
	size_t keys_bytes_max;
	uint64_t idle_ms, alive_ms, keys_ms;
};

/* Root and members of the group are administrators, others strangers. */
enum http_role http_role_of(void *owner, const struct http_caller *caller,
			    const char *authorization, struct http_identity *ret_identity);

/* "uid 1000", or the address; for the log. */
const char *http_caller_text(const struct http_caller *caller, char text[HTTP_CALLER_TEXT_MAX]);

/* 0 and *ret_http, or -errno with a sentence. The loop is referenced. */
int http_new(sd_event *loop, const struct http_config *config, struct http **ret_http,
	     struct failure *f);

/* Takes clients of a listening Unix stream socket, which stays the caller's and must not be closed
 * before http_free(). It is made non-blocking. */
int http_listen_unix(struct http *h, int fd, struct failure *f);

/* Takes clients of a listening TCP socket, by TLS; both stay the caller's and outlive the http. */
int http_listen_tls(struct http *h, int fd, struct tls_server *tls, struct failure *f);

/* Closes all connections. Streams are told that they are gone before it returns; requests that
 * were left for later may still be ended afterwards. NULL is fine. */
void http_free(struct http *h);

/* ---- requests ---- */

/* The value of {name} in the route's pattern, which has to have it. */
const char *http_param(const struct http_request *r, const char *name);
/* The value of a name of the query, or NULL. */
const char *http_query(const struct http_request *r, const char *name);

/* The answer comes after the handler's return. The client may go meanwhile. */
void http_later(struct http_request *r);
/* Whether nobody waits for the answer any more. */
bool http_gone(const struct http_request *r);

/* What of the service is taken, within a handler. */
struct http_load {
	unsigned connections, streams;
};
void http_load(const struct http_request *r, struct http_load *ret_load);

/* ---- replies ---- */

struct http_reply {
	unsigned status;
	json_t *body;     /* taken over; NULL: none */
	const char *etag; /* with its quotes */
	const char *location;
	unsigned retry_after_s; /* 0: not told */
};

/* A GET or HEAD whose If-None-Match names the ETag of a reply of 200 is answered by 304. */
void http_reply(struct http_request *r, const struct http_reply *reply);

/* A reply of 200 with a text that is there already, which is copied: application/json, or what
 * another `type` says of a route with HTTP_TEXT. */
void http_reply_text(struct http_request *r, const char *type, const char *text, size_t len);

/* The sentence as application/problem+json. */
void http_fail(struct http_request *r, unsigned status, const struct failure *f);
/* The same with each of several reasons as a sentence of its own; a list, or NULL. */
void http_fail_for(struct http_request *r, unsigned status, const struct failure *f,
		   json_t *reasons);

/* The status that fits a negative errno. */
unsigned http_status_of(int code);

/* Whether an If-Match or If-None-Match names the ETag, by strong comparison; "*" names all. */
bool http_etag_listed(const char *list, const char *etag);

/* ---- event streams (text/event-stream) ---- */

/*
 * Ends the request by turning its connection into a stream of events. 0 and *ret_stream; or -errno
 * after the request has been ended by a failure (too many streams, no memory, client gone).
 *
 * gone(owner) is called once, from the loop, when the client has gone or was too slow; the stream
 * is the caller's no more then. It is not called after http_stream_close(), nor from within
 * http_stream_send().
 */
int http_stream_open(struct http_request *r, void (*gone)(void *owner), void *owner,
		     struct http_stream **ret_stream);

/* Queues an event; id 0 is none. `event` and `data` have no NUL; lines of data are sent as such,
 * `event` is one line. -EPIPE when the stream ends for it: its buffer is full, or memory. */
int http_stream_send(struct http_stream *s, uint64_t id, const char *event, const char *data);

/* Ends the stream, after what was sent has gone out. NULL is fine. */
void http_stream_close(struct http_stream *s);

/* ---- raw streams ---- */

/*
 * Ends a request of a route with HTTP_UPGRADES by 101. opened() is called once, from the loop or
 * from http_free(): with the connection, which is the owner's to close from then on, non-blocking,
 * and the bytes that the client sent behind its request; or with -1 when the client had gone or
 * memory was short.
 */
void http_upgrade(struct http_request *r,
		  void (*opened)(void *owner, int fd, const void *early, size_t len), void *owner);

#endif
