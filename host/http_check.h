/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The form of a request's head, held against RFC 9112 more strictly than libmicrohttpd does.
 *
 * libmicrohttpd (0.9.75) takes heads that other parsers read differently: lines that end with a
 * bare LF, folded lines, NUL within a value or a target, blanks before a colon, several blanks in
 * the request line, Content-Length beside Transfer-Encoding, several of either. It has split them
 * up when we get to see them, but in place: method, target, version, names and values are pointers
 * into one buffer, and the size of the head is told. So http_check_form() sees from the addresses
 * whether anything lies between the parts besides what has to.
 *
 * Trust: hostile. Pure.
 */
#ifndef OYA_HOST_HTTP_CHECK_H
#define OYA_HOST_HTTP_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host/http.h"
#include "lib/fail.h"

struct http_field {
	const char *name, *value; /* as libmicrohttpd points to them: each ends with NUL */
	size_t name_len, value_len;
};

struct http_head {
	const char *method, *version;
	const char *target;     /* where it began */
	const char *raw_target; /* a copy from before libmicrohttpd split it up */
	size_t target_len;
	size_t size; /* of the head, from the method to the empty line's end */
	const struct http_field *field;
	unsigned fields;
	bool more_fields; /* than HTTP_FIELDS_MAX */
	bool trimmed;     /* blanks behind values have been taken off, as versions from 1.0 do */
};

/* How the body is delimited. */
struct http_framing {
	bool chunked;
	uint64_t length; /* when not chunked */
	bool old;        /* HTTP/1.0 */
};

/* All of these: 0, or the status of the answer after which the connection is closed, with a
 * sentence. */
unsigned http_check_form(const struct http_head *h, struct failure *f);
unsigned http_check_framing(const struct http_head *h, struct http_framing *ret_framing,
			    struct failure *f);

/* The only field of that name, which is given in lower case. 0 and *ret_value, NULL when there is
 * none; or 400 when there are several. */
unsigned http_check_single(const struct http_head *h, const char *name, const char **ret_value,
			   struct failure *f);

/* Whether a Content-Type is that type, with no parameter but charset=utf-8. */
bool http_media_is(const char *value, const char *type);

/* Whether the Accept fields, when there are any, let a reply of that type pass. */
bool http_accepts(const struct http_head *h, const char *type);

/* Whether a list of tokens, such as Connection's, holds the token. */
bool http_token_listed(const char *list, const char *token);

#endif
