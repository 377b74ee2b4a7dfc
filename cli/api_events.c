/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The stream of events: text/event-stream of the HTML standard, section 9.2.6, as far as the host
 * service writes it: lines end with LF, an event has one line of data.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "cli/api.h"

#define ROOM 16384u

static void keep(const char *value, char to[ASK_VALUE_MAX])
{
	size_t len = strlen(value);

	if (len >= ASK_VALUE_MAX)
		return;
	memcpy(to, value, len + 1);
}

/* The value of a line "name: value"; NULL when it is another's. */
static char *value_of(char *line, const char *name)
{
	size_t len = strlen(name);

	if (strncmp(line, name, len) != 0 || line[len] != ':')
		return NULL;
	return line + len + 1 + (line[len + 1] == ' ');
}

/* The lines of one event, without the empty one; NULL: it has no data. */
static char *take_lines(struct api_events *e, char *text)
{
	char *data = NULL, *line, *value;

	strcpy(e->type, "message");
	while ((line = strsep(&text, "\n"))) {
		if ((value = value_of(line, "id")))
			keep(value, e->id);
		else if ((value = value_of(line, "event")))
			keep(value, e->type);
		else if ((value = value_of(line, "data")))
			data = value;
	}
	return data;
}

int api_take_event(struct api_events *e, struct api_event *ret_event)
{
	for (;;) {
		char *text = e->text ? e->text + e->at : NULL, *data;
		char *end = text ? memmem(text, e->len - e->at, "\n\n", 2) : NULL;

		if (!end)
			return 0;
		*end = '\0';
		e->at = (size_t)(end + 2 - e->text);
		data = take_lines(e, text);
		if (!data)
			continue;
		*ret_event = (struct api_event){.id = e->id, .type = e->type, .data = data};
		return 1;
	}
}

/* More of the text; what has been taken of it makes room. 0 or -errno. */
static int read_more(struct api_events *e)
{
	ssize_t n;

	if (e->at) {
		memmove(e->text, e->text + e->at, e->len - e->at);
		e->len -= e->at;
		e->at = 0;
	}
	if (e->room - e->len < ROOM) {
		char *more = e->len < API_EVENT_MAX ? realloc(e->text, e->room + ROOM) : NULL;

		if (!more)
			return e->len < API_EVENT_MAX ? -ENOMEM : -EFBIG;
		e->text = more;
		e->room += ROOM;
	}
	n = wire_read(&e->wire, e->text + e->len, e->room - e->len);
	if (n <= 0)
		return n < 0 ? (int)n : -ECONNRESET;
	e->len += (size_t)n;
	return 0;
}

int api_next_event(struct api_events *e, int timeout_ms, struct api_event *ret_event,
		   struct failure *f)
{
	for (;;) {
		struct pollfd p = {.fd = e->wire.fd, .events = POLLIN};
		int r = api_take_event(e, ret_event);

		if (r > 0)
			return r;
		if (e->wire.at == e->wire.len) {
			r = poll(&p, 1, timeout_ms);
			if (r < 0 && errno == EINTR)
				continue;
			if (r == 0)
				return 0;
		}
		r = read_more(e);
		if (r < 0)
			return fail(f, r,
				    "the host service has ended its stream of events; "
				    "'journalctl -u oyad' tells why");
	}
}

void api_events_done(struct api_events *e)
{
	wire_close(&e->wire);
	free(e->text);
	e->text = NULL;
}
