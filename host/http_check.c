/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/http_check.h"

#include <string.h>
#include <strings.h>

#define LENGTH_DIGITS_MAX 18 /* below 2^63 */
#define HOST_MAX 255

static bool is_token_byte(unsigned char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
	       (c && strchr("!#$%&'*+-.^_`|~", c));
}

static bool is_token(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (!is_token_byte((unsigned char)s[i]))
			return false;
	}
	return len > 0;
}

/* Visible characters, blanks and bytes of other alphabets; a CR that no LF follows is none. */
static bool is_value(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)s[i];

		if ((c < ' ' && c != '\t') || c == 0x7f)
			return false;
	}
	return true;
}

static unsigned refuse(struct failure *f, unsigned status, const char *sentence)
{
	fail(f, 0, "%s", sentence);
	return status;
}

/* "METHOD SP target SP HTTP/1.x CRLF", and nothing else between. */
static bool line_is_tight(const struct http_head *h)
{
	uintptr_t method = (uintptr_t)h->method, target = (uintptr_t)h->target;
	uintptr_t version = (uintptr_t)h->version;

	if (!is_token(h->method, strlen(h->method)) || target != method + strlen(h->method) + 1 ||
	    version != target + h->target_len + 1)
		return false;
	for (size_t i = 0; i < h->target_len; i++) {
		if ((unsigned char)h->raw_target[i] <= ' ')
			return false;
	}
	return true;
}

/* Fields one behind the other, each "name: value CRLF", then CRLF. Where values are trimmed, room
 * is left behind them; those versions refuse NUL and bare CR themselves. */
static bool fields_are_tight(const struct http_head *h)
{
	uintptr_t at = (uintptr_t)h->version + strlen("HTTP/1.1") + 2;
	uintptr_t end = (uintptr_t)h->method + h->size;

	for (unsigned i = 0; i < h->fields; i++) {
		const struct http_field *field = &h->field[i];
		uintptr_t value = (uintptr_t)field->value;

		/* libmicrohttpd passes over blanks only between the colon and the value. */
		if ((uintptr_t)field->name < at || (!h->trimmed && (uintptr_t)field->name != at) ||
		    value < (uintptr_t)field->name + field->name_len + 1 || value > end)
			return false;
		at = value + field->value_len + 2;
	}
	return at + 2 == end || (h->trimmed && at + 2 < end);
}

unsigned http_check_form(const struct http_head *h, struct failure *f)
{
	if (h->size > HTTP_HEAD_MAX)
		return refuse(f, 431, "the head of the request is longer than 16 KiB");
	if (h->more_fields)
		return refuse(f, 431, "the request has more than 64 headers");
	if (!line_is_tight(h))
		return refuse(f, 400, "the request line is not 'METHOD target HTTP/1.1'");
	if (strcmp(h->version, "HTTP/1.1") != 0 && strcmp(h->version, "HTTP/1.0") != 0)
		return refuse(f, 505, "only HTTP/1.1 and HTTP/1.0 are spoken here");
	for (unsigned i = 0; i < h->fields; i++) {
		if (!is_token(h->field[i].name, h->field[i].name_len))
			return refuse(f, 400, "the name of a header is not a token");
		if (!is_value(h->field[i].value, h->field[i].value_len))
			return refuse(f, 400, "the value of a header holds a control character");
	}
	if (!fields_are_tight(h))
		return refuse(f, 400,
			      "the headers hold a folded line, a NUL or a line that does not end "
			      "with CR and LF");
	return 0;
}

unsigned http_check_single(const struct http_head *h, const char *name, const char **ret_value,
			   struct failure *f)
{
	const char *found = NULL;

	for (unsigned i = 0; i < h->fields; i++) {
		if (strcasecmp(h->field[i].name, name) != 0)
			continue;
		if (found) {
			fail(f, 0, "the header %s is there more than once", name);
			return 400;
		}
		found = h->field[i].value;
	}
	*ret_value = found;
	return 0;
}

/* A name or an address with a port, or nothing; what else may stand there has no use here. */
static bool is_host(const char *s)
{
	size_t len = strcspn(s, " \t");

	if (len > HOST_MAX || s[len + strspn(s + len, " \t")])
		return false;
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)s[i];

		if (!strchr("-._~:[]%", c) && !(c >= '0' && c <= '9') && !(c >= 'A' && c <= 'Z') &&
		    !(c >= 'a' && c <= 'z'))
			return false;
	}
	return true;
}

static bool decode_length(const char *s, uint64_t *ret_length)
{
	size_t len = strspn(s, "0123456789");
	uint64_t length = 0;

	if (!len || len > LENGTH_DIGITS_MAX || s[len])
		return false;
	for (size_t i = 0; i < len; i++)
		length = length * 10 + (uint64_t)(s[i] - '0');
	*ret_length = length;
	return true;
}

unsigned http_check_framing(const struct http_head *h, struct http_framing *ret_framing,
			    struct failure *f)
{
	struct http_framing framing = {.old = strcmp(h->version, "HTTP/1.0") == 0};
	const char *host, *length, *coding;
	unsigned status;

	if ((status = http_check_single(h, "host", &host, f)) ||
	    (status = http_check_single(h, "content-length", &length, f)) ||
	    (status = http_check_single(h, "transfer-encoding", &coding, f)))
		return status;
	if (!host && !framing.old)
		return refuse(f, 400, "the header Host is missing");
	if (host && !is_host(host))
		return refuse(f, 400, "the header Host is not a name with a port");
	if (coding && length)
		return refuse(f, 400, "Transfer-Encoding and Content-Length exclude each other");
	if (coding && (framing.old || strcasecmp(coding, "chunked") != 0))
		return refuse(f, 400, "Transfer-Encoding can be 'chunked' only, in HTTP/1.1");
	if (length && !decode_length(length, &framing.length))
		return refuse(f, 400, "Content-Length is not a number");
	framing.chunked = coding != NULL;
	*ret_framing = framing;
	return 0;
}

/* Whether s begins with the word, up to a blank, a delimiter or the end. */
static bool word_is(const char *s, size_t len, const char *word)
{
	while (len && (s[len - 1] == ' ' || s[len - 1] == '\t'))
		len--;
	return len == strlen(word) && strncasecmp(s, word, len) == 0;
}

static const char *skip_blanks(const char *s)
{
	return s + strspn(s, " \t");
}

bool http_media_is(const char *value, const char *type)
{
	size_t len = strcspn(value, ";");
	const char *parameter;

	if (!word_is(value, len, type))
		return false;
	if (!value[len])
		return true;
	parameter = skip_blanks(value + len + 1);
	return word_is(parameter, strlen(parameter), "charset=utf-8") ||
	       word_is(parameter, strlen(parameter), "charset=\"utf-8\"");
}

/* A weight of nothing but zeros refuses the type. */
static bool weight_is_zero(const char *s)
{
	if (*s++ != '0')
		return false;
	if (*s == '.')
		s += 1 + strspn(s + 1, "0");
	return !*s || strchr(";, \t", *s);
}

/* One element of an Accept: a range and its parameters. */
static bool range_takes(const char *s, size_t len, const char *type)
{
	size_t word = strcspn(s, ";,"), major = strcspn(type, "/");
	char all[64];

	memcpy(all, type, major);
	strcpy(all + major, "/*");
	for (size_t at = word; at < len; at += 1 + strcspn(s + at + 1, ";,")) {
		const char *name = skip_blanks(s + at + 1);

		if ((name[0] == 'q' || name[0] == 'Q') && name[1] == '=' &&
		    weight_is_zero(name + 2))
			return false;
	}
	return word_is(s, word, type) || word_is(s, word, all) || word_is(s, word, "*/*");
}

static bool list_takes(const char *s, const char *type)
{
	while (*(s = skip_blanks(s))) {
		size_t len = strcspn(s, ",");

		if (len && range_takes(s, len, type))
			return true;
		s += len + (s[len] == ',');
	}
	return false;
}

bool http_accepts(const struct http_head *h, const char *type)
{
	bool asked = false;

	for (unsigned i = 0; i < h->fields; i++) {
		if (strcasecmp(h->field[i].name, "accept") != 0)
			continue;
		asked = true;
		if (list_takes(h->field[i].value, type))
			return true;
	}
	return !asked;
}

bool http_token_listed(const char *list, const char *token)
{
	while (*(list = skip_blanks(list))) {
		size_t len = strcspn(list, ",");

		if (word_is(list, len, token))
			return true;
		list += len + (list[len] == ',');
	}
	return false;
}
