/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/api.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/remote.h"

#define ANSWER_MAX (64u << 20)
#define PROBLEM "application/problem+json"

/* ---- what failed ---- */

static int no_connection(const struct api *api, int code, struct failure *f)
{
	switch (code) {
	case -ENOENT:
	case -ECONNREFUSED:
		return fail(f, code,
			    "the host service oyad does not run: nobody listens on %s; "
			    "'systemctl start oyad' starts it, --socket names another socket",
			    api->socket);
	case -EACCES:
	case -EPERM:
		return fail(f, code,
			    "you may not use %s; be root or a member of the group oya, and log in "
			    "anew after you have become one",
			    api->socket);
	case -ENAMETOOLONG:
		return fail(f, code, "the path of the socket %s is too long", api->socket);
	default:
		return fail(f, code, "cannot connect to %s: %s", api->socket, strerror(-code));
	}
}

static int no_answer(const struct api *api, int code, struct failure *f)
{
	const char *where = api->host ? api->host->name : api->socket;

	switch (code) {
	case -ECONNRESET:
		return fail(f, code,
			    "the host service has ended the connection without a whole answer; "
			    "'journalctl -u oyad' tells why");
	case -EBADMSG:
		return fail(f, code, "what listens on %s does not speak the API of oyad", where);
	case -EFBIG:
		return fail(f, code, "the answer is longer than %u MiB", ANSWER_MAX >> 20);
	default:
		return fail(f, code, "no answer from %s: %s", where, strerror(-code));
	}
}

/* The sentence of a problem (RFC 9457), and what to do about it. */
static int refused(unsigned status, const json_t *problem, const char *absent, struct failure *f)
{
	const char *detail = json_string_value(json_object_get(problem, "detail"));
	const char *title = json_string_value(json_object_get(problem, "title"));
	const char *hint = status == 404   ? absent
			   : status == 401 ? "OYA_TOKEN of the environment, or hosts.json, holds it"
					   : NULL;

	if (!detail || !*detail)
		detail = title && *title ? title : NULL;
	if (!detail)
		return fail(f, -EIO, "the host service refuses with status %u and says no more",
			    status);
	return fail(f, -EIO, "%s%s%s", detail, hint ? "; " : "", hint ? hint : "");
}

/* ---- calls ---- */

/* The body as it may be shown; to be freed. */
static char *showable(const struct api_request *request)
{
	json_t *copy = json_copy((json_t *)(uintptr_t)request->body);
	char *text = NULL;

	if (copy && (!request->hidden ||
		     json_object_set_new(copy, request->hidden, json_string("(not shown)")) == 0))
		text = json_dumps(copy, JSON_INDENT(2));
	json_decref(copy);
	return text;
}

static void tell(const struct api *api, const struct ask *ask)
{
	if (!api->told)
		return;
	fprintf(api->told, "%s %s\n", ask->method, ask->target);
	if (ask->if_match)
		fprintf(api->told, "If-Match: %s\n", ask->if_match);
	if (ask->last_event_id)
		fprintf(api->told, "Last-Event-ID: %s\n", ask->last_event_id);
	if (ask->upgrade)
		fprintf(api->told, "Connection: Upgrade\nUpgrade: %s\n", ask->upgrade);
	if (ask->body)
		fprintf(api->told, "Content-Type: %s\n\n%s\n", ask->type, ask->body);
	fputc('\n', api->told);
	fflush(api->told);
}

static int send_request(const struct api *api, struct ask *ask, struct wire *w,
			struct failure *f)
{
	pid_t helper;
	int fd, r;

	w->fd = -1;
	if (!api->host) {
		r = wire_open(w, api->socket, ask);
		return r < 0 ? no_connection(api, r, f) : 0;
	}
	r = remote_connect(api->host, &fd, &helper, f);
	if (r < 0)
		return r;
	if (api->host->token[0])
		ask->token = api->host->token;
	r = wire_send(w, fd, helper, ask);
	return r < 0 ? no_answer(api, r, f) : 0;
}

/* 0 and a head; or the sentence. */
static int send_and_wait(const struct api *api, struct ask *ask, struct wire *w,
			 struct ask_head *ret_head, struct failure *f)
{
	int r = send_request(api, ask, w, f);

	if (r < 0)
		return r;
	r = wire_read_head(w, ret_head);
	if (r == 0)
		return 0;
	wire_close(w);
	return no_answer(api, r, f);
}

/* The body of an answer as JSON; NULL in *ret_body: there is none. */
static int read_json(const struct api *api, struct wire *w, const struct ask_head *head,
		     json_t **ret_body, struct failure *f)
{
	char *text;
	size_t len;
	int r = wire_read_body(w, head, ANSWER_MAX, &text, &len);

	if (r < 0)
		return no_answer(api, r, f);
	*ret_body =
		len ? json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL) : NULL;
	free(text);
	return len && !*ret_body ? no_answer(api, -EBADMSG, f) : 0;
}

/* Takes an answer that is not what was asked for. */
static int read_refusal(const struct api *api, struct wire *w, const struct ask_head *head,
			const char *absent, struct failure *f)
{
	json_t *problem = NULL;
	struct failure ignored;
	int r;

	if (strncmp(head->type, PROBLEM, sizeof(PROBLEM) - 1) == 0)
		(void)read_json(api, w, head, &problem, &ignored);
	r = refused(head->status, problem, absent, f);
	json_decref(problem);
	return r;
}

int api_call(const struct api *api, const struct api_request *request,
	     struct api_answer *ret_answer, struct failure *f)
{
	char *body = request->body ? json_dumps(request->body, JSON_INDENT(2)) : NULL;
	char *shown = NULL;
	struct ask ask = {
		.method = request->method,
		.target = request->target,
		.accept = "application/json, " PROBLEM,
		.if_match = request->if_match,
		.type = request->patch ? "application/merge-patch+json" : "application/json",
		.body = body,
	};
	struct api_answer answer = {0};
	struct ask_head head;
	struct wire w;
	int r = 0;

	if (request->body && !body)
		return fail(f, -ENOMEM, "out of memory");
	if (api->told && request->hidden) {
		ask.body = shown = showable(request);
		tell(api, &ask);
		ask.body = body;
	} else {
		tell(api, &ask);
	}
	if (!api->dry) {
		r = send_and_wait(api, &ask, &w, &head, f);
		if (r == 0) {
			answer.status = head.status;
			r = head.status >= 200 && head.status < 300
				    ? read_json(api, &w, &head, &answer.body, f)
				    : read_refusal(api, &w, &head, request->absent, f);
			wire_close(&w);
		}
	}
	free(shown);
	free(body);
	if (r == 0)
		*ret_answer = answer;
	return r;
}

int api_upgrade(const struct api *api, const char *target, const char *protocol,
		struct wire *w, struct failure *f)
{
	struct ask ask = {.method = "GET", .target = target, .upgrade = protocol};
	struct ask_head head;
	int r;

	w->fd = -1;
	tell(api, &ask);
	if (api->dry)
		return 0;
	r = send_and_wait(api, &ask, w, &head, f);
	if (r < 0 || head.status == 101)
		return r;
	r = read_refusal(api, w, &head, "'oya vm list' shows those that there are", f);
	wire_close(w);
	return r;
}

/* ---- events ---- */

int api_listen(const struct api *api, const char *after, struct api_events *e, struct failure *f)
{
	struct ask ask = {
		.method = "GET",
		.target = "/v1/events",
		.accept = "text/event-stream",
		.last_event_id = after,
	};
	struct ask_head head;
	int r;

	*e = (struct api_events){.wire.fd = -1};
	tell(api, &ask);
	if (api->dry)
		return 0;
	r = send_and_wait(api, &ask, &e->wire, &head, f);
	if (r < 0 || head.status == 200)
		return r;
	r = read_refusal(api, &e->wire, &head, NULL, f);
	wire_close(&e->wire);
	return r;
}
