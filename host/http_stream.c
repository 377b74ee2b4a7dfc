/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Event streams: what is sent is buffered here until libmicrohttpd asks for it.
 *
 * A stream has two sides: libmicrohttpd's response (`served`) and the owner (`owned`). It is freed
 * when both are done.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/http_impl.h"

#define ROOM_MIN 1024u
#define BLOCK_BYTES 4096u
#define ALIVE_ACCURACY_US 10000u

struct http_stream {
	struct http *h;
	struct http_exchange *x; /* NULL when its connection is gone */
	bool served, owned;
	bool ends;    /* the owner has ended it: what is buffered still goes out */
	bool dropped; /* too slow: nothing goes out any more */
	char *bytes;
	size_t from, to, room; /* bytes[from..to) wait */
	uint64_t moved_us;     /* when libmicrohttpd last took some, or found none */
	uint64_t sent_us;      /* when the owner, or the timer, last gave some */
	sd_event_source *alive, *telling;
	void (*gone)(void *owner);
	void *owner;
};

static void maybe_free(struct http_stream *s)
{
	if (s->served || s->owned)
		return;
	free(s->bytes);
	free(s);
}

/* The owner's side ends. */
static void disown(struct http_stream *s)
{
	s->alive = sd_event_source_disable_unref(s->alive);
	s->telling = sd_event_source_disable_unref(s->telling);
	s->owned = false;
}

static void tell(struct http_stream *s)
{
	void (*gone)(void *owner) = s->gone;
	void *owner = s->owner;

	disown(s);
	maybe_free(s);
	gone(owner);
}

static int on_telling(sd_event_source *source, void *owner)
{
	(void)source;
	tell(owner);
	return 0;
}

/* The connection ends under the owner, which is told by the loop, or at once when that ends. */
void http_stream_lost(struct http_stream *s)
{
	struct http *h = s->h;

	s->x = NULL;
	h->streams--;
	if (!s->owned)
		return;
	s->alive = sd_event_source_disable_unref(s->alive);
	if (h->ending || sd_event_source_set_enabled(s->telling, SD_EVENT_ONESHOT) < 0)
		tell(s);
}

static void drop(struct http_stream *s)
{
	char text[HTTP_CALLER_TEXT_MAX];

	if (s->dropped || !s->x)
		return;
	s->dropped = true;
	if (http_may_log(s->h, &s->h->clients))
		log_line(LOG_LEVEL_WARNING,
			 "http: an event stream of %s was ended: its client does not read",
			 http_caller_text(&s->x->r.caller, text));
	http_cut(s->x->c);
}

/* Room for len more bytes. */
static bool make_room(struct http_stream *s, size_t len)
{
	size_t held = s->to - s->from, room = s->room ? s->room : ROOM_MIN;
	char *bytes;

	if (len > HTTP_STREAM_BUFFER_MAX - held)
		return false;
	if (s->from && s->room - s->to < len) {
		memmove(s->bytes, s->bytes + s->from, held);
		s->from = 0;
		s->to = held;
	}
	while (room - s->to < len)
		room *= 2;
	if (room == s->room)
		return true;
	bytes = realloc(s->bytes, room);
	if (!bytes)
		return false;
	s->bytes = bytes;
	s->room = room;
	return true;
}

static int append(struct http_stream *s, const char *text, size_t len)
{
	if (!s->x || s->dropped)
		return -EPIPE;
	if (!make_room(s, len)) {
		drop(s);
		return -EPIPE;
	}
	memcpy(s->bytes + s->to, text, len);
	s->to += len;
	s->sent_us = http_now_us(s->h);
	http_resume(s->x->c);
	return 0;
}

/* Called by libmicrohttpd when the connection can take more. */
static ssize_t on_read(void *owner, uint64_t position, char *to, size_t max)
{
	struct http_stream *s = owner;
	size_t len = min_u64(s->to - s->from, max);

	(void)position;
	if (!s->x || s->x->gone || s->dropped)
		return MHD_CONTENT_READER_END_WITH_ERROR;
	s->moved_us = http_now_us(s->h);
	if (len) {
		memcpy(to, s->bytes + s->from, len);
		s->from += len;
		if (s->from == s->to)
			s->from = s->to = 0;
		return (ssize_t)len;
	}
	if (s->ends)
		return MHD_CONTENT_READER_END_OF_STREAM;
	http_suspend(s->x->c);
	return 0;
}

static void on_served(void *owner)
{
	struct http_stream *s = owner;

	s->served = false;
	maybe_free(s);
}

/* A comment now and then lets both sides see that the other is there. */
static int on_alive(sd_event_source *source, uint64_t us, void *owner)
{
	struct http_stream *s = owner;
	uint64_t now = http_now_us(s->h), period_us = s->h->config.alive_ms * 1000;

	(void)us;
	if (s->from < s->to && now - s->moved_us > s->h->config.idle_ms * 1000)
		drop(s);
	else if (now - s->sent_us >= period_us)
		append(s, ":\n\n", 3);
	if (!s->dropped) {
		sd_event_source_set_time(source, now + period_us);
		sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	}
	return 0;
}

static struct MHD_Response *make_response(struct http_stream *s)
{
	struct MHD_Response *response = MHD_create_response_from_callback(
		MHD_SIZE_UNKNOWN, BLOCK_BYTES, on_read, s, on_served);

	if (!response)
		return NULL;
	s->served = true;
	if (http_add_line(response, "Content-Type", "text/event-stream") &&
	    http_add_line(response, "Cache-Control", "no-store") &&
	    http_add_line(response, "X-Content-Type-Options", "nosniff"))
		return response;
	MHD_destroy_response(response);
	return NULL;
}

static struct http_stream *stream_new(struct http *h)
{
	struct http_stream *s = calloc(1, sizeof(*s));
	uint64_t now = http_now_us(h);

	if (!s)
		return NULL;
	s->h = h;
	s->owned = true;
	s->moved_us = s->sent_us = now;
	if (sd_event_add_defer(h->loop, &s->telling, on_telling, s) < 0 ||
	    sd_event_source_set_enabled(s->telling, SD_EVENT_OFF) < 0 ||
	    sd_event_add_time(h->loop, &s->alive, CLOCK_MONOTONIC, now + h->config.alive_ms * 1000,
			      0, on_alive, s) < 0) {
		disown(s);
		maybe_free(s);
		return NULL;
	}
	return s;
}

int http_stream_open(struct http_request *r, void (*gone)(void *owner), void *owner,
		     struct http_stream **ret_stream)
{
	struct http_exchange *x = (struct http_exchange *)r;
	struct MHD_Response *response = NULL;
	struct http_stream *s = NULL;
	struct failure f;

	if (!x->c || x->gone) {
		http_answer(x, 503, NULL);
		return -EPIPE;
	}
	if (x->h->streams == HTTP_STREAMS_MAX) {
		fail(&f, 0, "there are %u event streams already; end one of them",
		     HTTP_STREAMS_MAX);
		http_refuse(x, 503, NULL, &f);
		return -EBUSY;
	}
	s = stream_new(x->h);
	if (s)
		response = make_response(s);
	if (!response) {
		if (s) {
			disown(s);
			maybe_free(s);
		}
		fail(&f, 0, "out of memory");
		http_refuse(x, 503, NULL, &f);
		return -ENOMEM;
	}
	s->gone = gone;
	s->owner = owner;
	s->x = x;
	x->stream = s;
	x->closes = true;
	x->h->streams++;
	*ret_stream = s;
	http_answer(x, 200, response);
	return 0;
}

int http_stream_send(struct http_stream *s, uint64_t id, const char *event, const char *data)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	bool bad;
	int r = -EPIPE;

	if (out) {
		if (id)
			fprintf(out, "id: %" PRIu64 "\n", id);
		fprintf(out, "event: %s\n", event);
		do {
			size_t line = strcspn(data, "\r\n");

			fprintf(out, "data: %.*s\n", (int)line, data);
			data += line;
		} while (*data++);
		fputc('\n', out);
		bad = ferror(out);
		if (fclose(out) == 0 && !bad)
			r = append(s, text, len);
	}
	if (r < 0)
		drop(s);
	free(text);
	return r;
}

void http_stream_close(struct http_stream *s)
{
	if (!s)
		return;
	s->ends = true;
	disown(s);
	if (s->x)
		http_resume(s->x->c);
	maybe_free(s);
}
