/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/story.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SAME_US INT64_C(10000000)  /* within which hosts tell of one and the same thing */
#define FENCE_US INT64_C(60000000) /* a host that was not fenced by then has left in order */
#define TEXT_MAX 640u
#define SPAN_MAX 32u

struct story {
	struct record *record; /* in the order of time, each once */
	size_t count;
};

/* ---- looked for ---- */

static bool is_of(const struct record *r, unsigned kind, const char *host)
{
	return r->kind == kind && strcmp(r->host, host) == 0;
}

/* The last one of a kind about a host before `at`, which nothing of the kind `over` follows. */
static const struct record *before(const struct story *s, size_t at, unsigned kind,
				   const char *host, unsigned over)
{
	const struct record *r = &s->record[at];

	for (size_t i = at; i-- && r->at_us - s->record[i].at_us <= STORY_CAUSE_US;) {
		if (is_of(&s->record[i], kind, host))
			return &s->record[i];
		if (is_of(&s->record[i], over, host))
			break;
	}
	return NULL;
}

/* The last that is known of a VM before `at`; NULL: nothing. */
static const struct record *last_of_vm(const struct story *s, size_t at)
{
	const struct record *r = &s->record[at];

	for (size_t i = at; i-- && r->at_us - s->record[i].at_us <= STORY_CAUSE_US;) {
		if (strcmp(s->record[i].vm, r->vm) == 0 && s->record[i].kind != RECORD_NOT_STARTED)
			return &s->record[i];
	}
	return NULL;
}

/* Whether the engine has the host cut off soon after, or tries to. */
static bool is_silent(const struct story *s, size_t at)
{
	const struct record *r = &s->record[at];

	for (size_t i = at + 1; i < s->count; i++) {
		const struct record *next = &s->record[i];

		if (next->at_us - r->at_us > FENCE_US || is_of(next, RECORD_BACK, r->host))
			break;
		if (is_of(next, RECORD_FENCED, r->host) || is_of(next, RECORD_NOT_FENCED, r->host))
			return true;
	}
	return false;
}

/* ---- told ---- */

/* "80 ms", "2.4 s" */
static void put_span(int64_t us, char text[SPAN_MAX])
{
	if (us < 0)
		us = 0;
	if (us < 100000)
		snprintf(text, SPAN_MAX, "%d ms", (int)(us / 1000));
	else
		snprintf(text, SPAN_MAX, "%lld.%lld s", (long long)(us / 1000000),
			 (long long)(us / 100000 % 10));
}

static void tell_left(const struct story *s, size_t at, char text[TEXT_MAX])
{
	const struct record *r = &s->record[at];

	if (before(s, at, RECORD_FENCED, r->host, RECORD_BACK))
		snprintf(text, TEXT_MAX, "%s left: it was fenced", r->host);
	else if (is_silent(s, at))
		snprintf(text, TEXT_MAX, "%s left: no token for %u.%u s", r->host,
			 MEMBERS_TOKEN_MS / 1000, MEMBERS_TOKEN_MS / 100 % 10);
	else
		snprintf(text, TEXT_MAX, "%s left the cluster", r->host);
}

static void tell_fenced(const struct story *s, size_t at, char text[TEXT_MAX])
{
	const struct record *r = &s->record[at];
	const struct record *left = before(s, at, RECORD_LEFT, r->host, RECORD_BACK);
	char span[SPAN_MAX];
	int len = snprintf(text, TEXT_MAX, "%s was fenced by %s", r->host,
			   r->by[0] ? r->by : "the engine");

	if (!left)
		return;
	put_span(r->at_us - left->at_us, span);
	snprintf(text + len, TEXT_MAX - (size_t)len, ", %s after it had left", span);
}

/* Of a VM whose host is off: the whole of what led to it. */
static json_t *tell_failover(const struct story *s, size_t at, char text[TEXT_MAX])
{
	const struct record *r = &s->record[at], *fenced = NULL;
	const struct record *left = before(s, at, RECORD_LEFT, r->by, RECORD_BACK);
	char span[SPAN_MAX];
	int len;

	if (!left) {
		snprintf(text, TEXT_MAX, "%s started on %s; it was on %s, which is off", r->vm,
			 r->host, r->by);
		return NULL;
	}
	put_span(r->at_us - left->at_us, span);
	len = snprintf(text, TEXT_MAX, "%s started on %s, %s after %s had left", r->vm, r->host,
		       span, r->by);
	fenced = before(s, at, RECORD_FENCED, r->by, RECORD_BACK);
	if (fenced && fenced->at_us >= left->at_us) {
		put_span(fenced->at_us - left->at_us, span);
		snprintf(text + len, TEXT_MAX - (size_t)len,
			 ": no token for %u.%u s; fenced by %s in %s", MEMBERS_TOKEN_MS / 1000,
			 MEMBERS_TOKEN_MS / 100 % 10, fenced->by[0] ? fenced->by : "the engine",
			 span);
	}
	return json_pack("{s:s, s:I, s:o}", "host", r->by, "left_us", (json_int_t)left->at_us,
			 "fenced_us",
			 fenced ? json_integer((json_int_t)fenced->at_us) : json_null());
}

/* Of a VM that nobody had. */
static void tell_start(const struct story *s, size_t at, char text[TEXT_MAX])
{
	const struct record *r = &s->record[at], *last = last_of_vm(s, at);
	char span[SPAN_MAX];
	int len = snprintf(text, TEXT_MAX, "%s started on %s", r->vm, r->host);

	if (!last || (last->kind != RECORD_ENDED && last->kind != RECORD_STOPPED))
		return;
	put_span(r->at_us - last->at_us, span);
	snprintf(text + len, TEXT_MAX - (size_t)len, ", %s after it %s on %s%s%s", span,
		 last->kind == RECORD_ENDED ? "had ended" : "was stopped", last->host,
		 last->why[0] ? ": " : "", last->why);
}

static json_t *tell_text(const struct story *s, size_t at, char text[TEXT_MAX])
{
	const struct record *r = &s->record[at];

	switch (r->kind) {
	case RECORD_LEFT:
		tell_left(s, at, text);
		break;
	case RECORD_BACK:
		snprintf(text, TEXT_MAX, "%s is there", r->host);
		break;
	case RECORD_FENCED:
		tell_fenced(s, at, text);
		break;
	case RECORD_NOT_FENCED:
		snprintf(text, TEXT_MAX,
			 "%s could not be fenced: %s; until it is, what it ran starts nowhere else",
			 r->host, r->why[0] ? r->why : "the engine gives no reason");
		break;
	case RECORD_STARTED:
		if (r->by[0])
			return tell_failover(s, at, text);
		tell_start(s, at, text);
		break;
	case RECORD_CAME:
		snprintf(text, TEXT_MAX, "%s has come to %s as it ran", r->vm, r->host);
		break;
	case RECORD_STOPPED:
		snprintf(text, TEXT_MAX, "%s was stopped on %s", r->vm, r->host);
		break;
	default:
		snprintf(text, TEXT_MAX, "%s %s %s: %s", r->vm,
			 r->kind == RECORD_ENDED ? "ended on" : "could not be started on", r->host,
			 r->why);
		break;
	}
	return NULL;
}

static int tell_one(const struct story *s, size_t at, json_t *list)
{
	const struct record *r = &s->record[at];
	char text[TEXT_MAX] = "";
	json_t *cause = tell_text(s, at, text), *entry = record_to_json(r);

	if (!entry || json_object_set_new(entry, "text", json_string(text)) < 0 ||
	    (cause && json_object_set(entry, "cause", cause) < 0)) {
		json_decref(cause);
		json_decref(entry);
		return -1;
	}
	json_decref(cause);
	return json_array_append_new(list, entry);
}

/* ---- in order, each once ---- */

static int compare(const void *one, const void *other)
{
	const struct record *a = one, *b = other;

	if (a->at_us != b->at_us)
		return a->at_us < b->at_us ? -1 : 1;
	return a->kind != b->kind ? (a->kind < b->kind ? -1 : 1) : strcmp(a->host, b->host);
}

/* Who comes and goes, and who is fenced, each host tells for itself. */
static bool is_known(const struct story *s, const struct record *r)
{
	bool comes = r->kind == RECORD_LEFT || r->kind == RECORD_BACK;

	if (r->vm[0])
		return false;
	for (size_t i = s->count; i-- && r->at_us - s->record[i].at_us <= SAME_US;) {
		const struct record *one = &s->record[i];
		bool came = one->kind == RECORD_LEFT || one->kind == RECORD_BACK;

		if (!one->vm[0] && came == comes && strcmp(one->host, r->host) == 0)
			return one->kind == r->kind;
	}
	return false;
}

json_t *story_tell(struct record *records, size_t count, int64_t since_us)
{
	struct story s = {.count = 0};
	json_t *list = json_array();
	int r = list ? 0 : -1;

	if (count)
		qsort(records, count, sizeof(*records), compare);
	if (count > STORY_RECORDS_MAX) {
		records += count - STORY_RECORDS_MAX;
		count = STORY_RECORDS_MAX;
	}
	s.record = records;
	for (size_t i = 0; i < count; i++) {
		if (!is_known(&s, &records[i]))
			s.record[s.count++] = records[i];
	}
	for (size_t i = 0; r == 0 && i < s.count; i++) {
		if (s.record[i].at_us > since_us)
			r = tell_one(&s, i, list);
	}
	if (r == 0)
		return list;
	json_decref(list);
	return NULL;
}
