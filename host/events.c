/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/events.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"

struct event {
	char *type, *data;
	char *vm; /* that it is about; NULL */
	size_t bytes;
};

/* event[(id - first) % kept] is the event `id` for oldest <= id < next. */
struct events {
	unsigned kept;
	uint64_t first, oldest, next;
	size_t bytes; /* of all that are kept */
	struct list listeners;
	events_sight_fn *sight; /* NULL: all is seen */
	void *sight_ctx;
	struct event event[];
};

struct listener {
	struct list all;
	struct http_stream *stream;
	uint64_t who;
};

static struct event *event_of(struct events *e, uint64_t id)
{
	return &e->event[(id - e->first) % e->kept];
}

static void event_done(struct event *event)
{
	free(event->type);
	free(event->data);
	free(event->vm);
	*event = (struct event){0};
}

static void forget_oldest(struct events *e)
{
	struct event *event = event_of(e, e->oldest++);

	e->bytes -= event->bytes;
	event_done(event);
}

static void listener_free(struct listener *l)
{
	list_remove(&l->all);
	free(l);
}

static void on_gone(void *owner)
{
	listener_free(owner);
}

static void send_gap(struct events *e, struct http_stream *stream)
{
	char data[64];

	snprintf(data, sizeof(data), "{\"next\":%" PRIu64 "}", e->next);
	http_stream_send(stream, e->next - 1, "gap", data);
}

/* ---- publishing ---- */

static enum events_sight sight_of(const struct events *e, const struct listener *l, const char *vm)
{
	return e->sight ? e->sight(e->sight_ctx, l->who, vm) : EVENTS_SEEN;
}

static void dismiss(struct listener *l)
{
	http_stream_close(l->stream);
	listener_free(l);
}

/* Those who are too slow are told so by their stream, later. */
static void tell_all(struct events *e, uint64_t id, const struct event *event)
{
	for (struct list *at = e->listeners.next, *next; at != &e->listeners; at = next) {
		struct listener *l = CONTAINER_OF(at, struct listener, all);
		enum events_sight sight = sight_of(e, l, event ? event->vm : NULL);

		next = at->next;
		if (sight == EVENTS_ENDED)
			dismiss(l);
		else if (!event)
			send_gap(e, l->stream);
		else if (sight == EVENTS_SEEN)
			http_stream_send(l->stream, id, event->type, event->data);
	}
}

void events_set_sight(struct events *e, events_sight_fn *sight, void *ctx)
{
	e->sight = sight;
	e->sight_ctx = ctx;
}

void events_look_again(struct events *e)
{
	for (struct list *at = e->listeners.next, *next; at != &e->listeners; at = next) {
		struct listener *l = CONTAINER_OF(at, struct listener, all);

		next = at->next;
		if (sight_of(e, l, NULL) == EVENTS_ENDED)
			dismiss(l);
	}
}

/* The VM that an event of the type is about; NULL: none. */
static const char *vm_of(const char *type, const json_t *data)
{
	bool is_vm = strcmp(type, "vm") == 0 || strcmp(type, "vm-removed") == 0;
	const char *name = is_vm ? "name" : strcmp(type, "job") == 0 ? "vm" : NULL;
	const char *vm = name ? json_string_value(json_object_get(data, name)) : NULL;

	return vm && *vm ? vm : NULL;
}

/* The number is used up: whoever takes up before it is told of the gap as well. */
static uint64_t lose(struct events *e)
{
	while (e->oldest < e->next)
		forget_oldest(e);
	e->oldest = ++e->next;
	tell_all(e, 0, NULL);
	return 0;
}

uint64_t events_publish(struct events *e, const char *type, json_t *data)
{
	const char *vm = vm_of(type, data);
	struct event event = {.vm = vm ? strdup(vm) : NULL};
	bool whole = !vm || event.vm;

	event.data = data ? json_dumps(data, JSON_COMPACT) : NULL;
	json_decref(data);
	event.type = strdup(type);
	event.bytes = event.data ? strlen(event.data) + strlen(type) + 1 : 0;
	if (!whole || !event.data || !event.type || event.bytes > EVENT_BYTES_MAX) {
		event_done(&event);
		return lose(e);
	}
	while (e->next - e->oldest == e->kept || e->bytes + event.bytes > EVENTS_BYTES_MAX)
		forget_oldest(e);
	e->bytes += event.bytes;
	*event_of(e, e->next++) = event;
	tell_all(e, e->next - 1, &event);
	return e->next - 1;
}

/* ---- listening ---- */

/* The number behind a Last-Event-ID; 0 when it is none. */
static uint64_t decode_id(const char *text)
{
	size_t len = strspn(text, "0123456789");

	return len && len < 20 && !text[len] ? strtoull(text, NULL, 10) + 1 : 0;
}

static void replay(struct events *e, const struct listener *l, uint64_t from)
{
	if (from < e->oldest || from > e->next) {
		send_gap(e, l->stream);
		return;
	}
	for (; from < e->next; from++) {
		const struct event *event = event_of(e, from);

		if (sight_of(e, l, event->vm) == EVENTS_SEEN)
			http_stream_send(l->stream, from, event->type, event->data);
	}
}

void events_listen(struct events *e, struct http_request *r)
{
	struct listener *l = calloc(1, sizeof(*l));
	uint64_t from = r->last_event_id ? decode_id(r->last_event_id) : e->next,
		 who = r->identity.who;
	struct failure f;

	if (!l) {
		fail(&f, -ENOMEM, "cannot listen to events: out of memory");
		http_fail(r, 503, &f);
		return;
	}
	if (http_stream_open(r, on_gone, l, &l->stream) < 0) {
		free(l);
		return;
	}
	l->who = who;
	list_append(&e->listeners, &l->all);
	replay(e, l, from);
}

/* ---- life ---- */

int events_new(unsigned kept, uint64_t first, struct events **ret_events)
{
	struct events *e;

	if (!kept || kept > EVENTS_KEPT_MAX)
		kept = EVENTS_KEPT_MAX;
	e = calloc(1, sizeof(*e) + kept * sizeof(e->event[0]));
	if (!e)
		return -ENOMEM;
	e->kept = kept;
	e->first = e->oldest = e->next = first ? first : 1;
	list_init(&e->listeners);
	*ret_events = e;
	return 0;
}

void events_free(struct events *e)
{
	if (!e)
		return;
	while (!list_empty(&e->listeners))
		dismiss(CONTAINER_OF(e->listeners.next, struct listener, all));
	while (e->oldest < e->next)
		forget_oldest(e);
	free(e);
}
