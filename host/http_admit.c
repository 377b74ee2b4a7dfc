/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whether a request is let in, by its head: its form, who sends it, the route, the body's kind.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "host/http_impl.h"
#include "lib/log.h"

static const char *const method_names[HTTP_METHODS] = {
	[HTTP_GET] = "GET",         [HTTP_HEAD] = "HEAD",   [HTTP_POST] = "POST",
	[HTTP_PUT] = "PUT",         [HTTP_PATCH] = "PATCH", [HTTP_DELETE] = "DELETE",
	[HTTP_OPTIONS] = "OPTIONS",
};

/* Answered, or without memory even for that. */
static bool has_ended(const struct http_exchange *x)
{
	return x->answer || x->gone;
}

static void refuse(struct http_exchange *x, unsigned status, const char *sentence)
{
	struct failure f;

	fail(&f, 0, "%s", sentence);
	http_refuse(x, status, NULL, &f);
}

static void refuse_role(struct http_exchange *x, bool has_told)
{
	static const struct http_line challenge[] = {{"WWW-Authenticate", "Bearer"}, {NULL, NULL}};
	static const struct http_line pause[] = {{"Retry-After", "60"}, {NULL, NULL}};
	char text[HTTP_CALLER_TEXT_MAX];
	struct failure f;

	x->closes = true;
	if (x->r.role == HTTP_HELD_BACK) {
		fail(&f, 0, "too many wrong tokens have come from here; wait for a minute");
		http_refuse(x, 429, pause, &f);
	} else if (x->r.role == HTTP_UNKNOWN) {
		fail(&f, 0, "%s",
		     has_told ? "the token is unknown or has expired"
			      : "tell who you are by a token or a certificate");
		http_refuse(x, 401, challenge, &f);
	} else {
		fail(&f, 0,
		     "%s has no access to this host; become a member of its administrators' "
		     "group, or have an administrator give you a token",
		     http_caller_text(&x->r.caller, text));
		http_refuse(x, 403, NULL, &f);
	}
}

/* Who it is, and whether it may be here at all. True when refused. */
static bool refuse_caller(struct http_exchange *x, const struct http_head *head)
{
	const struct http_config *config = &x->h->config;
	struct http_caller caller = x->c->caller;
	const char *authorization, *origin;
	struct failure f;
	unsigned status;

	if ((status = http_check_single(head, "authorization", &authorization, &f)) ||
	    (status = http_check_single(head, "origin", &origin, &f))) {
		http_refuse(x, status, NULL, &f);
		return true;
	}
	/* A browser shows its user's certificate to us also for the pages of others. */
	if (origin)
		caller.certificate[0] = caller.fingerprint[0] = '\0';
	x->r.role = config->role(config->owner, &caller, authorization, &x->r.identity);
	x->c->outsider = x->r.role < HTTP_JOINER;
	if (!x->c->outsider)
		return false;
	refuse_role(x, authorization != NULL);
	return true;
}

/* "GET, HEAD" of the bits of methods. */
static void write_methods(unsigned methods, char *text, size_t room)
{
	size_t len = 0;

	text[0] = '\0';
	for (unsigned i = 0; i < HTTP_METHODS; i++) {
		if (methods & 1u << i)
			len += (size_t)snprintf(text + len, room - len, "%s%s", len ? ", " : "",
						method_names[i]);
	}
}

static void answer_options(struct http_exchange *x, unsigned methods)
{
	struct MHD_Response *response =
		MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
	char allow[64];

	write_methods(methods, allow, sizeof(allow));
	if (response && !http_add_line(response, "Allow", allow)) {
		MHD_destroy_response(response);
		response = NULL;
	}
	http_answer(x, 204, response);
}

static void refuse_method(struct http_exchange *x, const char *method, unsigned methods)
{
	char allow[64];
	struct http_line more[] = {{"Allow", allow}, {NULL, NULL}};
	struct failure f;

	write_methods(methods, allow, sizeof(allow));
	fail(&f, 0, "%.16s is none of the methods of this path: %s", method, allow);
	http_refuse(x, 405, more, &f);
}

/* Whether the route lists the query's name. */
static bool is_listed(const char *names, const char *name)
{
	size_t len = strlen(name);

	for (; names && *names; names += strcspn(names, " ")) {
		names += strspn(names, " ");
		if (len && strncmp(names, name, len) == 0 && strchr(" ", names[len]))
			return true;
	}
	return false;
}

static bool refuse_query(struct http_exchange *x)
{
	struct failure f;

	for (unsigned i = 0; i < x->r.queries; i++) {
		if (is_listed(x->r.route->query, x->r.query[i].name))
			continue;
		if (x->r.route->query)
			fail(&f, 0, "the query may hold: %s; there is no '%.64s'",
			     x->r.route->query, x->r.query[i].name);
		else
			fail(&f, 0, "this path takes no query");
		http_refuse(x, 400, NULL, &f);
		return true;
	}
	return false;
}

static void take_target(struct http_exchange *x, const struct http_target *t,
			const struct http_route *route)
{
	x->r.route = route;
	x->r.params = http_route_params(route, t, x->r.param);
	memcpy(x->r.query, t->query, sizeof(t->query));
	x->r.queries = t->queries;
	x->target[strcspn(x->target, "?")] = '\0';
	x->r.path = x->target;
}

/* What members of the cluster change here is in the log. */
static void tell_member(const struct http_exchange *x)
{
	char text[HTTP_CALLER_TEXT_MAX];

	if (x->r.identity.member[0] && x->r.method != HTTP_GET && x->r.method != HTTP_HEAD)
		log_line(LOG_LEVEL_INFO, "the member '%s' of the cluster (%s) asks: %s %s",
			 x->r.identity.member, http_caller_text(&x->r.caller, text),
			 method_names[x->r.method], x->r.path);
}

/* Finds the route; true when refused or answered. */
static bool refuse_route(struct http_exchange *x, const char *method)
{
	const struct http_config *config = &x->h->config;
	enum http_method m = 0;
	const struct http_route *route;
	struct http_target t;
	struct failure f;
	unsigned methods, status;

	if (strlen(x->target) > HTTP_TARGET_MAX) {
		refuse(x, 414, "the target of the request is longer than 4096 bytes");
		return true;
	}
	status = http_target_decode(x->target, x->target + strlen(x->target) + 1, &t, &f);
	if (status) {
		http_refuse(x, status, NULL, &f);
		return true;
	}
	while (m < HTTP_METHODS && strcmp(method, method_names[m]) != 0)
		m++;
	route = http_route_find(config->route, config->routes, &t, m, &methods);
	if (!methods)
		refuse(x, 404, "there is no such path");
	else if (m == HTTP_OPTIONS)
		answer_options(x, methods);
	else if (!route)
		refuse_method(x, method, methods);
	if (has_ended(x))
		return true;
	x->r.method = m;
	take_target(x, &t, route);
	if (x->r.role < route->role)
		refuse(x, 403, "your role does not allow this");
	else if (x->r.identity.limited && !(route->flags & HTTP_SCOPED))
		refuse(x, 403, "this is not for those who may see some of the VMs only");
	if (!has_ended(x))
		tell_member(x);
	return has_ended(x) || refuse_query(x);
}

static bool refuse_accept(struct http_exchange *x, const struct http_head *head)
{
	unsigned flags = x->r.route->flags;
	const char *type = flags & HTTP_STREAMS ? "text/event-stream"
			   : flags & HTTP_TEXT  ? "text/plain"
						: "application/json";
	struct failure f;

	if (flags & HTTP_UPGRADES || http_accepts(head, type))
		return false;
	fail(&f, 0, "the answer is of the type %s, which the header Accept does not name", type);
	http_refuse(x, 406, NULL, &f);
	return true;
}

static bool refuse_upgrade(struct http_exchange *x, const struct http_head *head)
{
	const char *protocol = x->r.route->protocol, *upgrade, *connection = "";
	struct http_line more[] = {{"Upgrade", protocol}, {NULL, NULL}};
	struct failure f;
	unsigned status;

	if (!(x->r.route->flags & HTTP_UPGRADES))
		return false;
	if ((status = http_check_single(head, "upgrade", &upgrade, &f)) ||
	    (status = http_check_single(head, "connection", &connection, &f))) {
		http_refuse(x, status, NULL, &f);
		return true;
	}
	if (!x->framing.old && upgrade && http_token_listed(upgrade, protocol) && connection &&
	    http_token_listed(connection, "upgrade"))
		return false;
	fail(&f, 0, "this path becomes a stream: ask for 'Upgrade: %s'", protocol);
	http_refuse(x, 426, more, &f);
	return true;
}

/* What the head tells about the body. */
static bool refuse_body(struct http_exchange *x, const struct http_head *head)
{
	const char *type, *coding, *expect;
	unsigned status, flags = x->r.route->flags;
	struct failure f;

	if ((status = http_check_single(head, "content-type", &type, &f)) ||
	    (status = http_check_single(head, "content-encoding", &coding, &f)) ||
	    (status = http_check_single(head, "expect", &expect, &f))) {
		http_refuse(x, status, NULL, &f);
		return true;
	}
	if (expect && strcasecmp(expect, "100-continue") != 0) {
		refuse(x, 417, "the header Expect can be '100-continue' only");
		return true;
	}
	if (!x->takes_more)
		return false;
	x->r.merge_patch = type && http_media_is(type, "application/merge-patch+json");
	if (!(flags & (HTTP_TAKES_BODY | HTTP_NEEDS_BODY)) || x->r.method == HTTP_HEAD)
		refuse(x, 400, "this request takes no body");
	else if (x->framing.length > HTTP_BODY_MAX)
		refuse(x, 413, "the body is longer than 1 MiB");
	else if (coding)
		refuse(x, 415, "the body cannot be encoded (Content-Encoding)");
	else if (!x->r.merge_patch && !(type && http_media_is(type, "application/json")))
		refuse(x, 415, "the body has to be of the type application/json");
	return has_ended(x);
}

/* Copies what the handler may want to see; true when refused. */
static bool refuse_values(struct http_exchange *x, const struct http_head *head)
{
	static const char *const name[] = {"if-match", "if-none-match", "idempotency-key",
					   "last-event-id"};
	const char **to[] = {&x->r.if_match, &x->r.if_none_match, &x->r.idempotency_key,
			     &x->r.last_event_id};
	const char *value[ARRAY_LEN(name)];
	size_t room = 0;
	unsigned status = 0;
	struct failure f;
	char *at;

	for (size_t i = 0; i < ARRAY_LEN(name); i++) {
		status = http_check_single(head, name[i], &value[i], &f);
		if (!status && i >= 2 && value[i] && strlen(value[i]) > HTTP_VALUE_MAX) {
			status = 400;
			fail(&f, 0, "the header %s is longer than %u bytes", name[i],
			     HTTP_VALUE_MAX);
		}
		if (status) {
			http_refuse(x, status, NULL, &f);
			return true;
		}
		room += value[i] ? strlen(value[i]) + 1 : 0;
	}
	if (!room)
		return false;
	at = x->values = malloc(room);
	if (!at) {
		refuse(x, 503, "out of memory");
		return true;
	}
	for (size_t i = 0; i < ARRAY_LEN(name); i++) {
		if (!value[i])
			continue;
		*to[i] = at;
		at = stpcpy(at, value[i]) + 1;
	}
	return false;
}

/* Form and framing; what is wrong here ends the connection. */
static bool refuse_form(struct http_exchange *x, const struct http_head *head)
{
	struct failure f;
	unsigned status = http_check_form(head, &f);

	if (!status)
		status = http_check_framing(head, &x->framing, &f);
	if (status) {
		x->closes = true;
		http_refuse(x, status, NULL, &f);
		return true;
	}
	x->takes_more = x->framing.chunked || x->framing.length > 0;
	/* Nothing that follows a body of chunks, which libmicrohttpd delimits less strictly than
	 * others do, is taken for a request; nor anything behind an old one. */
	x->closes = x->framing.chunked || x->framing.old;
	return false;
}

bool http_admit(struct http_exchange *x, const struct http_head *head)
{
	return !(refuse_form(x, head) || refuse_caller(x, head) || refuse_route(x, head->method) ||
		 refuse_accept(x, head) || refuse_upgrade(x, head) || refuse_body(x, head) ||
		 refuse_values(x, head));
}
