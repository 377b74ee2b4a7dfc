/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "lib/ask.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define LENGTH_DIGITS_MAX 18u /* below 2^63 */

/* ---- decoding ---- */

/* "HTTP/1.x NNN words" */
static bool decode_status(const char *line, size_t len, unsigned *ret_status)
{
	static const char version[] = "HTTP/1.";
	const char *digits = line + sizeof(version) + 1;

	if (len < sizeof(version) + 4 || strncmp(line, version, sizeof(version) - 1) != 0 ||
	    digits[-1] != ' ')
		return false;
	*ret_status = 0;
	for (int i = 0; i < 3; i++) {
		if (digits[i] < '0' || digits[i] > '9')
			return false;
		*ret_status = *ret_status * 10 + (unsigned)(digits[i] - '0');
	}
	return *ret_status >= 100;
}

static bool decode_length(const char *value, size_t len, int64_t *ret_length)
{
	int64_t length = 0;

	if (!len || len > LENGTH_DIGITS_MAX)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (value[i] < '0' || value[i] > '9')
			return false;
		length = length * 10 + (value[i] - '0');
	}
	*ret_length = length;
	return true;
}

/* One of longer length than we keep is of no use to us. */
static void keep(const char *value, size_t len, char to[ASK_VALUE_MAX])
{
	if (len < ASK_VALUE_MAX) {
		memcpy(to, value, len);
		to[len] = '\0';
	}
}

/* "name: value"; false when it is none, or says what we cannot follow. */
static bool decode_field(const char *line, size_t len, struct ask_head *head)
{
	const char *colon = memchr(line, ':', len), *value;
	size_t name_len = colon ? (size_t)(colon - line) : 0, value_len;

	if (!name_len)
		return false;
	value = colon + 1;
	while (value < line + len && (*value == ' ' || *value == '\t'))
		value++;
	value_len = (size_t)(line + len - value);
	if (name_len == 14 && strncasecmp(line, "content-length", name_len) == 0)
		return decode_length(value, value_len, &head->length);
	if (name_len == 17 && strncasecmp(line, "transfer-encoding", name_len) == 0)
		return false; /* which no answer to HTTP/1.0 has */
	if (name_len == 4 && strncasecmp(line, "etag", name_len) == 0)
		keep(value, value_len, head->etag);
	else if (name_len == 12 && strncasecmp(line, "content-type", name_len) == 0)
		keep(value, value_len, head->type);
	return true;
}

/* Where the line that begins at `at` ends, which one within len does. */
static size_t line_end(const char *bytes, size_t len, size_t at)
{
	while (at + 1 < len && (bytes[at] != '\r' || bytes[at + 1] != '\n'))
		at++;
	return at;
}

ssize_t ask_decode_head(const char *bytes, size_t len, struct ask_head *ret_head)
{
	struct ask_head head = {.length = -1};
	size_t at = 0, end = line_end(bytes, len, 0);

	while (end + 1 < len) {
		if (end == at && at) { /* an empty line */
			*ret_head = head;
			return (ssize_t)end + 2;
		}
		if (at == 0 ? !decode_status(bytes, end, &head.status)
			    : !decode_field(bytes + at, end - at, &head))
			return -EBADMSG;
		at = end + 2;
		end = line_end(bytes, len, at);
	}
	return len < ASK_HEAD_MAX ? 0 : -EBADMSG;
}

/* ---- encoding ---- */

bool ask_encode_name(const char *name, char *to, size_t room)
{
	static const char plain[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";
	size_t len = 0;

	for (; *name; name++) {
		if (len + 4 > room)
			return false;
		if (strchr(plain, *name))
			to[len++] = *name;
		else
			len += (size_t)sprintf(to + len, "%%%02X", (unsigned char)*name);
	}
	to[len] = '\0';
	return len > 0;
}

char *ask_encode(const struct ask *a, size_t *ret_len)
{
	char *text = NULL;
	FILE *f = open_memstream(&text, ret_len);

	if (!f)
		return NULL;
	fprintf(f, "%s %s HTTP/1.%c\r\nHost: localhost\r\n", a->method, a->target,
		a->upgrade ? '1' : '0');
	if (a->accept)
		fprintf(f, "Accept: %s\r\n", a->accept);
	if (a->upgrade)
		fprintf(f, "Connection: Upgrade\r\nUpgrade: %s\r\n", a->upgrade);
	if (a->token)
		fprintf(f, "Authorization: Bearer %s\r\n", a->token);
	if (a->if_match)
		fprintf(f, "If-Match: %s\r\n", a->if_match);
	if (a->last_event_id)
		fprintf(f, "Last-Event-ID: %s\r\n", a->last_event_id);
	if (a->body)
		fprintf(f, "Content-Type: %s\r\nContent-Length: %zu\r\n", a->type, strlen(a->body));
	fprintf(f, "\r\n%s", a->body ? a->body : "");
	if (fclose(f) == 0)
		return text;
	free(text);
	return NULL;
}
