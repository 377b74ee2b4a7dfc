/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/http_target.h"

#include <string.h>

static unsigned refuse(struct failure *f, const char *sentence)
{
	fail(f, 0, "%s", sentence);
	return 400;
}

/* Bytes of the character at s, 0 where there is none. The second byte's limits exclude long forms,
 * surrogates and what is beyond U+10FFFF. */
static size_t utf8_len(const unsigned char *s)
{
	unsigned char low = s[0] == 0xe0 ? 0xa0 : s[0] == 0xf0 ? 0x90 : 0x80;
	unsigned char high = s[0] == 0xed ? 0x9f : s[0] == 0xf4 ? 0x8f : 0xbf;
	size_t len = s[0] < 0x80   ? 1
		     : s[0] < 0xc2 ? 0
		     : s[0] < 0xe0 ? 2
		     : s[0] < 0xf0 ? 3
		     : s[0] < 0xf5 ? 4
				   : 0;

	for (size_t i = 1; i < len; i++) {
		if (s[i] < low || s[i] > high)
			return 0;
		low = 0x80;
		high = 0xbf;
	}
	return len;
}

bool http_is_utf8(const char *text)
{
	const unsigned char *s = (const unsigned char *)text;

	for (size_t len; *s; s += len) {
		len = utf8_len(s);
		if (!len)
			return false;
	}
	return true;
}

void http_clean_utf8(char *text)
{
	for (size_t len; *text; text += len) {
		len = utf8_len((const unsigned char *)text);
		if (!len) {
			*text = '?';
			len = 1;
		}
	}
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* What a path and a query may hold besides escapes (RFC 3986). */
static bool is_plain(unsigned char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
	       (c && strchr("-._~!$&'()*+,;=:@/?", c));
}

/* Decodes len bytes to *scratch and moves it behind them and a NUL. NULL or the sentence. */
static const char *decode(const char *s, size_t len, bool is_query, char **scratch)
{
	char *out = *scratch, *text = out;

	for (size_t i = 0; i < len; i++) {
		char c = s[i];

		if (c == '%') {
			int high = i + 2 < len ? hex_digit(s[i + 1]) : -1;
			int low = i + 2 < len ? hex_digit(s[i + 2]) : -1;

			if (high < 0 || low < 0)
				return "the target holds an escape that is not %XX";
			c = (char)(high << 4 | low);
			if (!c || (c == '/' && !is_query))
				return "the target holds the escape of a NUL or of a '/'";
			i += 2;
		} else if (!is_plain((unsigned char)c)) {
			return "the target holds a character that has to be escaped";
		} else if (c == '+' && is_query) {
			c = ' ';
		}
		*out++ = c;
	}
	*out++ = '\0';
	*scratch = out;
	return http_is_utf8(text) ? NULL : "the target is not UTF-8";
}

static unsigned decode_path(const char *path, size_t len, char **scratch, struct http_target *t,
			    struct failure *f)
{
	for (size_t at = 0; at < len;) {
		size_t end = at + 1;
		const char *sentence;

		if (t->segments == HTTP_SEGMENTS_MAX)
			return refuse(f, "the path has too many parts");
		while (end < len && path[end] != '/')
			end++;
		t->segment[t->segments] = *scratch;
		sentence = decode(path + at + 1, end - at - 1, false, scratch);
		if (sentence)
			return refuse(f, sentence);
		if (strcmp(t->segment[t->segments], ".") == 0 ||
		    strcmp(t->segment[t->segments], "..") == 0)
			return refuse(f, "the path holds a part that is '.' or '..'");
		t->segments++;
		at = end;
	}
	return 0;
}

static unsigned decode_pair(const char *s, size_t len, char **scratch, struct http_target *t,
			    struct failure *f)
{
	const char *equals = memchr(s, '=', len);
	size_t name_len = equals ? (size_t)(equals - s) : len;
	struct http_pair *pair = &t->query[t->queries];
	const char *sentence;

	pair->name = *scratch;
	sentence = decode(s, name_len, true, scratch);
	/* Without a '=' it is the name's end: there is no room for another. */
	pair->value = equals ? *scratch : *scratch - 1;
	if (!sentence && equals)
		sentence = decode(equals + 1, len - name_len - 1, true, scratch);
	if (sentence)
		return refuse(f, sentence);
	for (unsigned i = 0; i < t->queries; i++) {
		if (strcmp(t->query[i].name, pair->name) == 0)
			return refuse(f, "the query holds a name twice");
	}
	t->queries++;
	return 0;
}

static unsigned decode_query(const char *query, char **scratch, struct http_target *t,
			     struct failure *f)
{
	while (*query) {
		size_t len = strcspn(query, "&");
		unsigned status;

		if (t->queries == HTTP_QUERY_MAX)
			return refuse(f, "the query has too many names");
		status = decode_pair(query, len, scratch, t, f);
		if (status)
			return status;
		query += len + (query[len] == '&');
	}
	return 0;
}

unsigned http_target_decode(const char *target, char *scratch, struct http_target *ret_target,
			    struct failure *f)
{
	struct http_target t = {0};
	size_t path_len = strcspn(target, "?");
	unsigned status;

	if (target[0] != '/')
		return refuse(f, "the target does not begin with '/'");
	status = decode_path(target, path_len, &scratch, &t, f);
	if (!status && target[path_len])
		status = decode_query(target + path_len + 1, &scratch, &t, f);
	if (!status)
		*ret_target = t;
	return status;
}

/* Walks a pattern's parts beside the segments; param may be NULL. */
static bool fits(const char *pattern, const struct http_target *t, struct http_pair *param,
		 unsigned *ret_params)
{
	unsigned params = 0, i = 0;

	for (; *pattern == '/'; i++) {
		size_t len = strcspn(++pattern, "/");

		if (i == t->segments)
			return false;
		if (*pattern == '{') {
			if (!t->segment[i][0])
				return false;
			if (param)
				param[params] = (struct http_pair){pattern + 1, t->segment[i]};
			params++;
		} else if (strlen(t->segment[i]) != len ||
			   memcmp(t->segment[i], pattern, len) != 0) {
			return false;
		}
		pattern += len;
	}
	*ret_params = params;
	return i == t->segments;
}

const struct http_route *http_route_find(const struct http_route *route, size_t routes,
					 const struct http_target *t, enum http_method method,
					 unsigned *ret_methods)
{
	const struct http_route *found = NULL;
	unsigned methods = 0, params;

	for (size_t i = 0; i < routes; i++) {
		const struct http_route *row = &route[i];
		bool whole = !(row->flags & (HTTP_STREAMS | HTTP_UPGRADES));
		bool is_head = method == HTTP_HEAD && row->method == HTTP_GET && whole;

		if (!fits(row->pattern, t, NULL, &params))
			continue;
		methods |= 1u << row->method | 1u << HTTP_OPTIONS;
		if (row->method == HTTP_GET && whole)
			methods |= 1u << HTTP_HEAD;
		if (!found && (row->method == method || is_head))
			found = row;
	}
	*ret_methods = methods;
	return found;
}

unsigned http_route_params(const struct http_route *route, const struct http_target *t,
			   struct http_pair *param)
{
	unsigned params = 0;

	fits(route->pattern, t, param, &params);
	return params;
}
