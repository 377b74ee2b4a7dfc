/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The target of a request: path and query, decoded; and the table of routes.
 *
 * Trust: hostile. Pure.
 */
#ifndef OYA_HOST_HTTP_TARGET_H
#define OYA_HOST_HTTP_TARGET_H

#include "host/http.h"

struct http_target {
	const char *segment[HTTP_SEGMENTS_MAX]; /* of "/v1/vms": "v1", "vms" */
	unsigned segments;
	struct http_pair query[HTTP_QUERY_MAX];
	unsigned queries;
};

/*
 * Decodes "/path?query". `scratch` has room for the target and its NUL, and has to live as long as
 * what is returned, which points into it. 0, or 400 with a sentence: only origin form, no fragment;
 * escapes are complete and give neither NUL nor '/', all of it is UTF-8, no segment is "." or "..",
 * no name of the query is there twice. '+' is a blank in the query.
 */
unsigned http_target_decode(const char *target, char *scratch, struct http_target *ret_target,
			    struct failure *f);

/* The route of a path and method, or NULL; *ret_methods has a bit for each method that the path
 * has (0: there is no such path), HEAD and OPTIONS with it. */
const struct http_route *http_route_find(const struct http_route *route, size_t routes,
					 const struct http_target *t, enum http_method method,
					 unsigned *ret_methods);

/* The pattern's parameters out of the path that it fits. Names are not copied: they end with '}'.
 */
unsigned http_route_params(const struct http_route *route, const struct http_target *t,
			   struct http_pair *param);

/* Whether text is UTF-8, by its shortest forms and without surrogates. */
bool http_is_utf8(const char *text);
/* Makes it so: what is none becomes question marks. */
void http_clean_utf8(char *text);

#endif
