/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The life of an exchange: head, body, handler, answer.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/http_impl.h"

#define BODY_ROOM_MIN 4096u

struct http_exchange *http_exchange_new(struct http_connection *c, const char *target)
{
	struct http_exchange *x = calloc(1, sizeof(*x));
	size_t len = strlen(target);

	if (!x)
		return NULL;
	x->target = malloc(2 * (len + 1));
	if (!x->target) {
		free(x);
		return NULL;
	}
	memcpy(x->target, target, len + 1);
	x->h = c->l->h;
	x->c = c;
	if (c->tls) {
		snprintf(c->caller.certificate, sizeof(c->caller.certificate), "%s",
			 tls_session_name(c->tls));
		snprintf(c->caller.fingerprint, sizeof(c->caller.fingerprint), "%s",
			 tls_session_fingerprint(c->tls));
	}
	x->r.caller = c->caller;
	x->r.caller.groups = NULL; /* the request may outlive the connection */
	x->r.caller.group_count = 0;
	return x;
}

static void exchange_free(struct http_exchange *x)
{
	http_key_end(x);
	json_decref(x->r.body);
	free(x->target);
	free(x->values);
	free(x->body);
	free(x);
}

/* The body's bytes do not count any more. */
static void drop_body(struct http_exchange *x)
{
	if (x->c)
		x->h->bodies -= x->body_room;
	free(x->body);
	x->body = NULL;
	x->body_len = x->body_room = 0;
}

void http_exchange_detach(struct http_exchange *x)
{
	http_exchange_gone(x);
	if (x->stream)
		http_stream_lost(x->stream);
	if (x->raw)
		http_raw_lost(x->raw);
	if (x->answer)
		MHD_destroy_response(x->answer);
	x->answer = NULL;
	x->stream = NULL;
	x->raw = NULL;
	drop_body(x);
	x->c = NULL;
	x->h = NULL;
	if (!x->held)
		exchange_free(x);
}

void http_exchange_gone(struct http_exchange *x)
{
	x->gone = true;
}

void http_later(struct http_request *r)
{
	((struct http_exchange *)r)->held = true;
}

bool http_gone(const struct http_request *r)
{
	return ((const struct http_exchange *)r)->gone;
}

void http_load(const struct http_request *r, struct http_load *ret_load)
{
	const struct http *h = ((const struct http_exchange *)r)->h;

	*ret_load = (struct http_load){h->count, h->streams};
}

const char *http_param(const struct http_request *r, const char *name)
{
	size_t len = strlen(name);

	for (unsigned i = 0; i < r->params; i++) {
		if (strncmp(r->param[i].name, name, len) == 0 && r->param[i].name[len] == '}')
			return r->param[i].value;
	}
	return NULL;
}

const char *http_query(const struct http_request *r, const char *name)
{
	for (unsigned i = 0; i < r->queries; i++) {
		if (strcmp(r->query[i].name, name) == 0)
			return r->query[i].value;
	}
	return NULL;
}

struct fields {
	struct http_field field[HTTP_FIELDS_MAX];
	unsigned count;
	bool more;
};

static enum MHD_Result on_field(void *owner, enum MHD_ValueKind kind, const char *name,
				size_t name_len, const char *value, size_t value_len)
{
	struct fields *all = owner;

	(void)kind;
	if (all->count == HTTP_FIELDS_MAX) {
		all->more = true;
		return MHD_NO;
	}
	all->field[all->count++] = (struct http_field){name, value, name_len, value_len};
	return MHD_YES;
}

/* ---- the answer ---- */

void http_answer(struct http_exchange *x, unsigned status, struct MHD_Response *response)
{
	http_key_end(x);
	if (!x->c || x->gone) {
		if (response)
			MHD_destroy_response(response);
	} else if (response) {
		x->answer = response;
		x->status = status;
	} else {
		x->gone = true; /* no memory even for an answer: the connection ends without one */
	}
	x->held = false;
	if (x->c)
		http_resume(x->c);
	else
		exchange_free(x);
}

static enum MHD_Result queue(struct http_exchange *x)
{
	enum MHD_Result r = MHD_NO;

	http_await(x->c, !x->stream);
	if (!x->closes || x->raw || http_add_line(x->answer, "Connection", "close"))
		r = MHD_queue_response(x->c->mhd, x->status, x->answer);
	MHD_destroy_response(x->answer);
	x->answer = NULL;
	return r;
}

enum MHD_Result http_exchange_begin(struct http_exchange *x, const char *target, const char *method,
				    const char *version)
{
	struct MHD_Connection *mhd = x->c->mhd;
	struct fields all = {.count = 0};
	struct http_head head = {
		.method = method,
		.version = version,
		.target = target,
		.raw_target = x->target,
		.target_len = strlen(x->target),
		.size = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE)
				->header_size,
		.field = all.field,
		.trimmed = MHD_get_version()[0] != '0',
	};

	x->begun = true;
	MHD_get_connection_values_n(mhd, MHD_HEADER_KIND, on_field, &all);
	head.fields = all.count;
	head.more_fields = all.more;
	http_await(x->c, true);
	if (http_admit(x, &head))
		return MHD_YES;
	if (x->gone)
		return MHD_NO;
	/* Without a body the connection can go on: the answer waits for the last call. */
	return x->closes || x->takes_more ? queue(x) : MHD_YES;
}

/* ---- the body ---- */

/* 0, or the status that tells why there is no room. */
static unsigned make_room(struct http_exchange *x, size_t len)
{
	size_t room = x->body_room ? x->body_room : BODY_ROOM_MIN;
	char *body;

	if (len > HTTP_BODY_MAX - x->body_len)
		return 413;
	while (room < x->body_len + len)
		room *= 2;
	if (room == x->body_room)
		return 0;
	if (x->h->bodies + (room - x->body_room) > HTTP_BODIES_MAX)
		return 503;
	body = realloc(x->body, room);
	if (!body)
		return 503;
	x->h->bodies += room - x->body_room;
	x->body = body;
	x->body_room = room;
	return 0;
}

/* libmicrohttpd takes no answer before a body's end: what is too much is read and thrown away, for
 * as long as the deadline lets it. */
void http_exchange_body(struct http_exchange *x, const char *bytes, size_t len)
{
	if (!x->excess)
		x->excess = make_room(x, len);
	if (x->excess) {
		drop_body(x);
		return;
	}
	memcpy(x->body + x->body_len, bytes, len);
	x->body_len += len;
}

static void refuse(struct http_exchange *x, unsigned status, const char *sentence)
{
	struct failure f;

	fail(&f, 0, "%s", sentence);
	http_refuse(x, status, NULL, &f);
}

/* True when refused. */
static bool refuse_body(struct http_exchange *x)
{
	json_error_t error;
	struct failure f;

	if (x->excess == 413) {
		refuse(x, 413, "the body is longer than 1 MiB");
	} else if (x->excess) {
		refuse(x, 503, "too many bodies are being received; try again");
	} else if (x->body_len) {
		x->r.body = json_loadb(x->body, x->body_len, JSON_REJECT_DUPLICATES, &error);
		drop_body(x);
		if (x->r.body)
			return false;
		fail(&f, 0, "the body is not JSON: line %d, column %d: %s", error.line,
		     error.column, error.text);
		http_refuse(x, 400, NULL, &f);
	} else if (x->r.route->flags & HTTP_NEEDS_BODY) {
		refuse(x, 400, "this request needs a body");
	}
	return x->answer || x->gone;
}

static void call_handler(struct http_exchange *x)
{
	const struct http_config *config = &x->h->config;

	x->called = true;
	http_await(x->c, false);
	if (refuse_body(x) || http_key_begin(x))
		return;
	x->r.route->handle(&x->r, config->owner);
	if (!x->answer && !x->held && !x->gone) {
		if (http_may_log(x->h, &x->h->faults))
			log_line(LOG_LEVEL_ERROR, "http: %s was not answered by its handler",
				 x->r.route->pattern);
		refuse(x, 500, "the service has a fault: this request has no answer");
	}
}

enum MHD_Result http_exchange_finish(struct http_exchange *x)
{
	if (!x->answer && !x->called && !x->gone)
		call_handler(x);
	if (x->gone || x->c->condemned)
		return MHD_NO;
	if (x->answer)
		return queue(x);
	http_suspend(x->c);
	return MHD_YES;
}
