/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/record.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

#define US_PER_S INT64_C(1000000)
#define WHAT "cannot use a record of the cluster"

static const char *const kinds[RECORD_KINDS] = {
	[RECORD_LEFT] = "left",       [RECORD_BACK] = "back",
	[RECORD_FENCED] = "fenced",   [RECORD_NOT_FENCED] = "not-fenced",
	[RECORD_STARTED] = "started", [RECORD_NOT_STARTED] = "not-started",
	[RECORD_STOPPED] = "stopped", [RECORD_ENDED] = "ended",
	[RECORD_CAME] = "came",
};

const char *record_kind_text(unsigned kind)
{
	return kind < RECORD_KINDS ? kinds[kind] : "";
}

void record_set_why(struct record *r, const char *why)
{
	size_t len = strnlen(why, RECORD_WHY_MAX + 1);

	if (len > RECORD_WHY_MAX) {
		/* Up to the begin of the character that is cut. */
		len = RECORD_WHY_MAX;
		while (len && ((unsigned char)why[len] & 0xc0) == 0x80)
			len--;
	}
	memcpy(r->why, why, len);
	r->why[len] = '\0';
}

/* ---- as JSON ---- */

json_t *record_to_json(const struct record *r)
{
	json_t *object = json_pack("{s:I, s:s, s:s}", "at_us", (json_int_t)r->at_us, "kind",
				   record_kind_text(r->kind), "host", r->host);
	const struct {
		const char *name, *value;
	} more[] = {{"by", r->by}, {"vm", r->vm}, {"why", r->why}};

	for (size_t i = 0; object && i < ARRAY_LEN(more); i++) {
		if (more[i].value[0] &&
		    json_object_set_new(object, more[i].name, json_string(more[i].value)) < 0) {
			json_decref(object);
			return NULL;
		}
	}
	return object;
}

static bool take_name(json_t *object, const char *name, char to[VM_NAME_MAX + 1])
{
	const char *value = json_string_value(json_object_get(object, name));

	static_assert(VM_NAME_MAX == MEMBERS_NAME_MAX, "names of hosts and VMs are alike");
	if (value && !vm_name_allowed(value))
		return false;
	snprintf(to, VM_NAME_MAX + 1, "%s", value ? value : "");
	return true;
}

int record_of_json(json_t *object, struct record *ret_record, struct failure *f)
{
	const char *kind = json_string_value(json_object_get(object, "kind"));
	const char *why = json_string_value(json_object_get(object, "why"));
	struct record r = {.at_us = json_integer_value(json_object_get(object, "at_us"))};

	while (r.kind < RECORD_KINDS && (!kind || strcmp(kind, kinds[r.kind]) != 0))
		r.kind++;
	if (r.at_us <= 0 || r.at_us > RECORD_US_MAX)
		return fail(f, -EINVAL, WHAT ": 'at_us' is no time");
	if (r.kind == RECORD_KINDS)
		return fail(f, -EINVAL, WHAT ": its kind is '%.32s'", kind ? kind : "");
	if (!take_name(object, "host", r.host) || !take_name(object, "by", r.by) ||
	    !take_name(object, "vm", r.vm) || !r.host[0] ||
	    (r.kind >= RECORD_STARTED) != (r.vm[0] != '\0'))
		return fail(f, -EINVAL, WHAT ": it does not name who it is about");
	record_set_why(&r, why ? why : "");
	*ret_record = r;
	return 0;
}

/* ---- of an alert ---- */

/* The value of a name; NULL: it is not there. Behind the last value there is a NUL. */
static const char *value_of(const char *bytes, size_t len, const char *name)
{
	size_t begin = strlen(name);

	for (const char *at = bytes; at < bytes + len; at += strlen(at) + 1) {
		if (strncmp(at, name, begin) == 0 && at[begin] == '=')
			return at + begin + 1;
	}
	return NULL;
}

static int64_t number_of(const char *bytes, size_t len, const char *name, int64_t most)
{
	const char *text = value_of(bytes, len, name);
	char *end = NULL;
	long long value = text ? strtoll(text, &end, 10) : -1;

	return text && *text && !*end && value >= 0 && value <= most ? value : -1;
}

/* "Operation reboot of n2 by n1 for pacemaker-controld.17@n3: No data available (ref=...)" */
static void take_fencing(struct record *r, const char *words)
{
	const char *by = strstr(words, " by "), *why = by ? strstr(by, ": ") : NULL;
	char text[RECORD_WHY_MAX + 1];
	size_t len = by ? strcspn(by + 4, " ") : 0;

	if (by && len <= MEMBERS_NAME_MAX)
		snprintf(r->by, sizeof(r->by), "%.*s", (int)len, by + 4);
	if (!vm_name_allowed(r->by)) /* "<no-one>" */
		r->by[0] = '\0';
	if (r->kind != RECORD_NOT_FENCED || !why)
		return;
	snprintf(text, sizeof(text), "%s", why + 2);
	words = strstr(text, " (ref=");
	if (words)
		text[words - text] = '\0';
	record_set_why(r, text);
}

static int take_kind(struct record *r, const char *kind, const char *words, int64_t status)
{
	if (strcmp(kind, "node") == 0 && strcmp(words, "lost") == 0) {
		r->kind = RECORD_LEFT;
	} else if (strcmp(kind, "node") == 0 && strcmp(words, "member") == 0) {
		r->kind = RECORD_BACK;
	} else if (strcmp(kind, "fencing") == 0 && strncmp(words, "Operation on of ", 16) != 0) {
		r->kind = status == 0 ? RECORD_FENCED : RECORD_NOT_FENCED;
		take_fencing(r, words);
	} else {
		return -ENOENT;
	}
	return 0;
}

int record_of_alert(const char *bytes, size_t len, struct record *ret_record, struct failure *f)
{
	struct record record = {.at_us = 0};
	const char *kind, *host, *words;
	int64_t s, us;

	if (!len || bytes[len - 1])
		return fail(f, -EINVAL, "cannot use an alert of the engine: it has no end");
	kind = value_of(bytes, len, "kind");
	host = value_of(bytes, len, "node");
	words = value_of(bytes, len, "desc");
	s = number_of(bytes, len, "timestamp_epoch", RECORD_US_MAX / US_PER_S - 1);
	us = number_of(bytes, len, "timestamp_usec", US_PER_S - 1);
	if (!kind || !host || !words || !vm_name_allowed(host) || s <= 0)
		return fail(f, -EINVAL,
			    "cannot use an alert of the engine: something of it is missing");
	record.at_us = s * US_PER_S + (us < 0 ? 0 : us);
	snprintf(record.host, sizeof(record.host), "%s", host);
	if (take_kind(&record, kind, words, number_of(bytes, len, "rc", INT32_MAX)) < 0)
		return -ENOENT;
	*ret_record = record;
	return 0;
}
