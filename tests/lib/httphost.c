/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/lib/httphost.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/util.h"

#define TURNS_MAX 100000u /* of the loop until nothing is ready */

static void must(bool condition, const char *what)
{
	if (condition)
		return;
	fprintf(stderr, "httphost: cannot %s: %s\n", what, strerror(errno));
	abort();
}

/* ---- handlers ---- */

static void list_things(struct http_request *r, void *owner)
{
	const char *limit = http_query(r, "limit"), *after = http_query(r, "after");
	struct httphost *s = owner;

	s->calls++;
	http_reply(r, &(struct http_reply){
			      .status = 200,
			      .etag = "\"7\"",
			      .body = json_pack("{s:s, s:s}", "limit", limit ? limit : "none",
						"after", after ? after : "none"),
		      });
}

static void make_thing(struct http_request *r, void *owner)
{
	struct httphost *s = owner;

	s->calls++;
	http_reply(r, &(struct http_reply){
			      .status = 201,
			      .location = "/v1/things/new",
			      .body = json_pack("{s:O, s:s}", "body", r->body, "key",
						r->idempotency_key ? r->idempotency_key : "none"),
		      });
}

static void show_thing(struct http_request *r, void *owner)
{
	struct httphost *s = owner;
	struct failure f;

	s->calls++;
	if (strcmp(http_param(r, "name"), "absent") == 0) {
		fail(&f, -ENOENT, "there is no thing '%s'", http_param(r, "name"));
		http_fail(r, http_status_of(-ENOENT), &f);
		return;
	}
	http_reply(r, &(struct http_reply){
			      .status = 200,
			      .body = json_pack("{s:s}", "name", http_param(r, "name")),
		      });
}

static void change_thing(struct http_request *r, void *owner)
{
	struct httphost *s = owner;

	s->calls++;
	http_reply(r, &(struct http_reply){
			      .status = 200,
			      .body = json_pack("{s:b, s:b, s:s}", "body", r->body != NULL, "merge",
						r->merge_patch, "match",
						r->if_match ? r->if_match : "none"),
		      });
}

static void delete_thing(struct http_request *r, void *owner)
{
	struct httphost *s = owner;

	s->calls++;
	http_reply(r, &(struct http_reply){.status = 204});
}

static void start_thing(struct http_request *r, void *owner)
{
	struct httphost *s = owner;

	s->calls++;
	if (s->laters == HTTPHOST_LATER_MAX) {
		http_reply(r, &(struct http_reply){.status = 202});
		return;
	}
	http_later(r);
	s->later[s->laters++] = r;
}

static void opened(void *owner, int fd, const void *early, size_t len)
{
	struct httphost *s = owner;

	if (fd < 0) {
		s->raws_lost++;
		return;
	}
	if (s->raw >= 0)
		close(s->raw);
	s->raw = fd;
	s->raws++;
	s->early_len = min_u64(len, sizeof(s->early));
	if (s->early_len)
		memcpy(s->early, early, s->early_len);
}

static void open_console(struct http_request *r, void *owner)
{
	struct httphost *s = owner;

	s->calls++;
	http_upgrade(r, opened, s);
}

static void listen_to_events(struct http_request *r, void *owner)
{
	struct httphost *s = owner;

	s->calls++;
	events_listen(s->events, r);
}

static void stream_gone(void *owner)
{
	struct httphost *s = owner;

	s->streams_gone++;
	s->stream = NULL;
}

static void open_stream(struct http_request *r, void *owner)
{
	struct httphost *s = owner;

	s->calls++;
	http_stream_close(s->stream);
	s->stream = NULL;
	http_stream_open(r, stream_gone, s, &s->stream);
}

static void show_secret(struct http_request *r, void *owner)
{
	struct httphost *s = owner;

	s->calls++;
	http_reply(r, &(struct http_reply){.status = 200, .body = json_object()});
}

static void forget(struct http_request *r, void *owner)
{
	struct httphost *s = owner;

	(void)r;
	s->calls++;
}

static void show_metrics(struct http_request *r, void *owner)
{
	struct httphost *s = owner;

	s->calls++;
	http_reply_text(r, "text/plain; version=0.0.4", "up 1\n", 5);
}

static const struct http_route routes[] = {
	{HTTP_GET, "/v1/things", HTTP_READER, HTTP_SCOPED, "limit after", NULL, list_things},
	{HTTP_POST, "/v1/things", HTTP_OPERATOR, HTTP_NEEDS_BODY, NULL, NULL, make_thing},
	{HTTP_GET, "/v1/things/{name}", HTTP_READER, 0, NULL, NULL, show_thing},
	{HTTP_PATCH, "/v1/things/{name}", HTTP_OPERATOR, HTTP_TAKES_BODY, NULL, NULL, change_thing},
	{HTTP_DELETE, "/v1/things/{name}", HTTP_OPERATOR, 0, NULL, NULL, delete_thing},
	{HTTP_POST, "/v1/things/{name}/start", HTTP_OPERATOR, 0, NULL, NULL, start_thing},
	{HTTP_GET, "/v1/things/{name}/console", HTTP_OPERATOR, HTTP_UPGRADES, NULL, "oya-console",
	 open_console},
	{HTTP_GET, "/v1/events", HTTP_READER, HTTP_STREAMS, NULL, NULL, listen_to_events},
	{HTTP_GET, "/v1/stream", HTTP_READER, HTTP_STREAMS, NULL, NULL, open_stream},
	{HTTP_GET, "/v1/secret", HTTP_ADMINISTRATOR, 0, NULL, NULL, show_secret},
	{HTTP_GET, "/v1/silent", HTTP_READER, 0, NULL, NULL, forget},
	{HTTP_GET, "/metrics", HTTP_READER, HTTP_TEXT, NULL, NULL, show_metrics},
};

static enum http_role role_of(void *owner, const struct http_caller *caller,
			      const char *authorization, struct http_identity *ret_identity)
{
	struct httphost *s = owner;

	ret_identity->limited = s->limited;

	must(caller->uid == s->uid && caller->pid == getpid(), "know who comes");
	snprintf(s->authorization, sizeof(s->authorization), "%s",
		 authorization ? authorization : "");
	return s->role;
}

/* ---- life ---- */

/* A socket whose name the kernel chooses, without a file. */
static void start_listening(struct httphost *s)
{
	s->address.sun_family = AF_UNIX;
	s->address_len = sizeof(s->address);
	s->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	must(bind(s->listener, (struct sockaddr *)&s->address, sizeof(sa_family_t)) == 0 &&
		     getsockname(s->listener, (struct sockaddr *)&s->address, &s->address_len) ==
			     0 &&
		     listen(s->listener, 512) == 0,
	     "listen");
}

struct httphost *httphost_new(const struct http_config *figures)
{
	struct httphost *s = calloc(1, sizeof(*s));
	struct http_config config = figures ? *figures : (struct http_config){0};
	struct failure f;

	must(s && sd_event_new(&s->loop) >= 0, "make a loop");
	s->raw = -1;
	s->role = HTTP_ADMINISTRATOR;
	s->uid = getuid();
	start_listening(s);
	config.route = routes;
	config.routes = ARRAY_LEN(routes);
	config.owner = s;
	config.group = (gid_t)-1;
	config.role = role_of;
	must(events_new(4, 100, &s->events) == 0, "make events");
	must(http_new(s->loop, &config, &s->http, &f) == 0, "make the HTTP layer");
	must(http_listen_unix(s->http, s->listener, &f) == 0, "serve the socket");
	return s;
}

void httphost_free(struct httphost *s)
{
	http_free(s->http);
	events_free(s->events);
	http_stream_close(s->stream);
	while (s->laters)
		http_reply(s->later[--s->laters], &(struct http_reply){.status = 202});
	if (s->raw >= 0)
		close(s->raw);
	close(s->listener);
	sd_event_unref(s->loop);
	free(s);
}

void httphost_settle(struct httphost *s)
{
	unsigned turns = 0;

	while (sd_event_run(s->loop, 0) > 0)
		must(++turns < TURNS_MAX, "come to rest");
}

void httphost_pass(struct httphost *s, unsigned ms)
{
	uint64_t now, end;

	must(sd_event_now(s->loop, CLOCK_MONOTONIC, &now) >= 0, "tell the time");
	end = now + ms * UINT64_C(1000);
	while (now < end) {
		sd_event_run(s->loop, end - now);
		sd_event_now(s->loop, CLOCK_MONOTONIC, &now);
	}
	httphost_settle(s);
}

/* ---- clients ---- */

int httphost_connect(struct httphost *s)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	must(fd >= 0 && connect(fd, (struct sockaddr *)&s->address, s->address_len) == 0,
	     "connect");
	return fd;
}

void httphost_send(struct httphost *s, int fd, const void *bytes, size_t len)
{
	const char *at = bytes;

	while (len) {
		ssize_t n = send(fd, at, len, MSG_NOSIGNAL);

		if (n < 0 && errno != EAGAIN)
			break; /* the service has closed it */
		httphost_settle(s);
		if (n > 0) {
			at += n;
			len -= (size_t)n;
		}
	}
	httphost_settle(s);
}

const char *httphost_receive(struct httphost *s, int fd, bool *ret_closed)
{
	size_t len = 0;
	ssize_t n;

	for (;;) {
		httphost_settle(s);
		n = recv(fd, s->text + len, sizeof(s->text) - 1 - len, 0);
		if (n <= 0)
			break;
		len += (size_t)n;
	}
	s->text[len] = '\0';
	if (ret_closed)
		*ret_closed = n == 0 || errno != EAGAIN;
	return s->text;
}

const char *httphost_talk(struct httphost *s, const void *bytes, size_t len, bool *ret_closed)
{
	int fd = httphost_connect(s);

	httphost_send(s, fd, bytes, len);
	httphost_receive(s, fd, ret_closed);
	close(fd);
	httphost_settle(s);
	return s->text;
}
