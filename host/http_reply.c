/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Replies and problems (RFC 9457).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/http_impl.h"

bool http_add_line(struct MHD_Response *response, const char *name, const char *value)
{
	return MHD_add_response_header(response, name, value) == MHD_YES;
}

/* A response with the lines that all have. The text is copied, or freed where it is jansson's. */
static struct MHD_Response *make(char *text, size_t len, enum MHD_ResponseMemoryMode mode,
				 const char *type, bool cacheable)
{
	struct MHD_Response *response = MHD_create_response_from_buffer(len, text, mode);

	if (!response) {
		if (mode == MHD_RESPMEM_MUST_FREE)
			free(text);
		return NULL;
	}
	if (http_add_line(response, "Cache-Control", cacheable ? "no-cache" : "no-store") &&
	    http_add_line(response, "X-Content-Type-Options", "nosniff") &&
	    (!type || http_add_line(response, "Content-Type", type)))
		return response;
	MHD_destroy_response(response);
	return NULL;
}

static struct MHD_Response *make_json(json_t *body, const char *type, bool cacheable)
{
	struct MHD_Response *response = NULL;
	char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;

	if (text)
		response = make(text, strlen(text), MHD_RESPMEM_MUST_COPY, type, cacheable);
	free(text);
	return response;
}

/* ---- problems ---- */

static const char *title_of(unsigned status)
{
	const char *title = MHD_get_reason_phrase_for(status);

	return title ? title : "Problem";
}

/* The sentence as JSON: a cut character, or what no text is, becomes question marks. */
static json_t *sentence(const struct failure *f)
{
	char text[FAIL_TEXT_MAX];

	snprintf(text, sizeof(text), "%s", f->text);
	http_clean_utf8(text);
	return json_string(text);
}

static void refuse(struct http_exchange *x, unsigned status, const struct http_line *more,
		   const struct failure *f, json_t *reasons)
{
	json_t *problem = json_pack("{s:s, s:s, s:i, s:o, s:O*}", "type", "about:blank", "title",
				    title_of(status), "status", (int)status, "detail", sentence(f),
				    "reasons", reasons);
	static const char type[] = "application/problem+json";
	struct MHD_Response *response = make_json(problem, type, false);

	if (problem)
		http_key_keep(x, status, type, problem, NULL);
	json_decref(problem);
	if (status == 503 && response && !http_add_line(response, "Retry-After", "1")) {
		MHD_destroy_response(response);
		response = NULL;
	}
	for (; response && more && more->name; more++) {
		if (http_add_line(response, more->name, more->value))
			continue;
		MHD_destroy_response(response);
		response = NULL;
	}
	if (x->h && status >= 500 && status != 505 && http_may_log(x->h, &x->h->faults))
		log_line(LOG_LEVEL_WARNING, "http: %s: %u: %s",
			 x->r.route ? x->r.route->pattern : "a request", status, f->text);
	http_answer(x, status, response);
}

void http_refuse(struct http_exchange *x, unsigned status, const struct http_line *more,
		 const struct failure *f)
{
	refuse(x, status, more, f, NULL);
}

void http_fail_for(struct http_request *r, unsigned status, const struct failure *f,
		   json_t *reasons)
{
	refuse((struct http_exchange *)r, status, NULL, f, reasons);
}

void http_fail(struct http_request *r, unsigned status, const struct failure *f)
{
	http_refuse((struct http_exchange *)r, status, NULL, f);
}

unsigned http_status_of(int code)
{
	static const struct {
		int code;
		unsigned status;
	} table[] = {
		{-EINVAL, 400},       {-ENOENT, 404},    {-EEXIST, 409},     {-EBUSY, 409},
		{-EALREADY, 409},     {-ENOTEMPTY, 409}, {-EPERM, 403},      {-EACCES, 403},
		{-ENAMETOOLONG, 400}, {-ERANGE, 400},    {-ESTALE, 412},     {-ETIMEDOUT, 504},
		{-ENOSPC, 507},       {-EDQUOT, 507},    {-ENOMEM, 503},     {-EAGAIN, 503},
		{-EMFILE, 503},       {-ENOTSUP, 501},   {-EADDRINUSE, 409}, {-ENODEV, 400},
	};

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		if (table[i].code == code)
			return table[i].status;
	}
	return 500;
}

/* ---- replies ---- */

bool http_etag_listed(const char *list, const char *etag)
{
	size_t len = strlen(etag);

	if (strcmp(list, "*") == 0)
		return true;
	while (*(list += strspn(list, " \t,"))) {
		bool weak = strncmp(list, "W/", 2) == 0;
		const char *start = list + (weak ? 2 : 0);
		const char *end = *start == '"' ? strchr(start + 1, '"') : NULL;

		if (!end)
			return false;
		if (!weak && (size_t)(end + 1 - start) == len && memcmp(start, etag, len) == 0)
			return true;
		list = end + 1;
	}
	return false;
}

static bool add_lines(struct MHD_Response *response, const struct http_reply *reply)
{
	char seconds[16];

	snprintf(seconds, sizeof(seconds), "%u", reply->retry_after_s);
	return (!reply->etag || http_add_line(response, "ETag", reply->etag)) &&
	       (!reply->location || http_add_line(response, "Location", reply->location)) &&
	       (!reply->retry_after_s || http_add_line(response, "Retry-After", seconds));
}

void http_reply(struct http_request *r, const struct http_reply *reply)
{
	bool unchanged = reply->status == 200 && r->method <= HTTP_HEAD && reply->etag &&
			 r->if_none_match && http_etag_listed(r->if_none_match, reply->etag);
	static const char type[] = "application/json";
	struct MHD_Response *response;

	if (unchanged || !reply->body)
		response = make(NULL, 0, MHD_RESPMEM_PERSISTENT, NULL, reply->etag);
	else
		response = make_json(reply->body, type, reply->etag);
	http_key_keep((struct http_exchange *)r, reply->status, type, reply->body, reply);
	json_decref(reply->body);
	if (response && !add_lines(response, reply)) {
		MHD_destroy_response(response);
		response = NULL;
	}
	http_answer((struct http_exchange *)r, unchanged ? 304 : reply->status, response);
}

void http_reply_kept(struct http_exchange *x, const struct http_kept *a)
{
	const struct http_reply lines = {.etag = a->etag, .location = a->location};
	struct MHD_Response *response =
		make(a->text, a->text ? strlen(a->text) : 0, MHD_RESPMEM_MUST_COPY,
		     a->text ? a->type : NULL, a->etag);

	if (response && !add_lines(response, &lines)) {
		MHD_destroy_response(response);
		response = NULL;
	}
	http_answer(x, a->status, response);
}

void http_reply_text(struct http_request *r, const char *type, const char *text, size_t len)
{
	struct MHD_Response *response =
		make((char *)(uintptr_t)text, len, MHD_RESPMEM_MUST_COPY, type, false);

	http_answer((struct http_exchange *)r, 200, response);
}
