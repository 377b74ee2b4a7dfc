/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/resource.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "host/scene.h"
#include "lib/fields.h"

#define WHAT "the VM's place in the cluster"
#define STAYS 100000  /* more than any host is preferred */
#define RATHER -10000 /* likewise, but less than what runs stays */
#define START_S 120u
#define MONITOR_S 30u
#define DAY (24 * 60u)  /* minutes */
#define MIGRATE_S 3600u /* a large one on a slow link */

static const char *const priorities[] = {"low", "normal", "high"};

/* ---- what a client wants ---- */

/* `what`: a host or a tag. */
static int take_names(json_t *body, const char *key, const char *what, struct resource_hosts *to,
		      struct failure *f)
{
	json_t *list = json_object_get(body, key), *host;
	size_t i;

	if (json_array_size(list) > RESOURCE_HOSTS_MAX)
		return fail(f, -EINVAL, "'%s' has %zu %ss, allowed are %u", key,
			    json_array_size(list), what, RESOURCE_HOSTS_MAX);
	json_array_foreach(list, i, host)
	{
		const char *name = json_string_value(host);

		/* Names of hosts and tags are as those of VMs. */
		if (!name || !vm_name_allowed(name))
			return fail(f, -EINVAL, "'%s' has '%.80s', which is no name of a %s", key,
				    name ? name : "", what);
		snprintf(to->name[to->count++], sizeof(to->name[0]), "%s", name);
	}
	return 0;
}

static int take_restart(json_t *restart, struct resource_wish *w, struct failure *f)
{
	static const struct field fields[] = {{"most", JSON_INTEGER}, {"within", JSON_INTEGER}};
	int r;

	if (!restart)
		return 0;
	r = fields_check_of(WHAT, restart, "'restart'", fields, ARRAY_LEN(fields), f);
	if (r == 0)
		r = field_number(restart, "most", 0, RESOURCE_RESTARTS_MAX, &w->restarts, f);
	if (r == 0)
		r = field_number(restart, "within", 1, RESOURCE_WITHIN_MAX_S, &w->within_s, f);
	return r;
}

/* "HH:MM-" or "HH:MM" and the end, in minutes of the day; the end of that, or NULL. */
static const char *take_time(const char *text, char end, unsigned *ret_minutes)
{
	unsigned hours, minutes;
	int len = 0;

	if (strspn(text, "0123456789") != 2 ||
	    sscanf(text, "%2u:%2u%n", &hours, &minutes, &len) != 2 || len != 5 ||
	    text[len] != end || hours > 23 || minutes > 59)
		return NULL;
	*ret_minutes = hours * 60 + minutes;
	return text + len;
}

static int take_failback(json_t *body, struct resource_wish *w, struct failure *f)
{
	const char *text = json_string_value(json_object_get(body, "failback")), *second;

	if (!text || strcmp(text, "off") == 0)
		return 0;
	if (strcmp(text, "immediate") == 0) {
		w->failback = RESOURCE_RETURNS;
		return 0;
	}
	second = take_time(text, '-', &w->from);
	if (!second || !take_time(second + 1, '\0', &w->until))
		return fail(f, -EINVAL,
			    "'failback' is '%.40s', not off, immediate or a time of the day such "
			    "as 22:00-05:30",
			    text);
	if ((w->until + DAY - w->from) % DAY < RESOURCE_WINDOW_MIN)
		return fail(
			f, -EINVAL,
			"'failback' is '%s', of less than %u minutes, in which the engine might "
			"not look",
			text, RESOURCE_WINDOW_MIN);
	w->failback = RESOURCE_RETURNS_AT;
	return 0;
}

static int take_group(json_t *body, struct resource_wish *w, struct failure *f)
{
	const char *strict = json_string_value(json_object_get(body, "anti_affinity"));
	const char *rather = json_string_value(json_object_get(body, "prefer_apart"));
	const char *group = strict ? strict : rather;

	if (strict && rather)
		return fail(f, -EINVAL, "'anti_affinity' and 'prefer_apart' exclude each other");
	if (group && !vm_name_allowed(group))
		return fail(f, -EINVAL, "'%.80s' is no name of a group of VMs", group);
	snprintf(w->apart, sizeof(w->apart), "%s", group ? group : "");
	w->rather = rather != NULL;
	return 0;
}

static int take_probe(json_t *probe, struct resource_wish *w, struct failure *f)
{
	static const struct field fields[] = {
		{"url", JSON_STRING}, {"interval", JSON_INTEGER}, {"failures", JSON_INTEGER}};
	struct probe decoded;
	const char *url;
	int r;

	if (!probe)
		return 0;
	url = json_string_value(json_object_get(probe, "url"));
	r = fields_check_of(WHAT, probe, "'probe'", fields, ARRAY_LEN(fields), f);
	if (r == 0)
		r = field_number(probe, "interval", 1, RESOURCE_PROBE_MAX_S, &w->probe_s, f);
	if (r == 0)
		r = field_number(probe, "failures", 1, RESOURCE_PROBE_FAILURES_MAX,
				 &w->probe_failures, f);
	if (r == 0)
		r = url ? probe_decode(url, &decoded, f) : fail(f, -EINVAL, "'probe' has no 'url'");
	if (r == 0)
		snprintf(w->probe, sizeof(w->probe), "%s", url);
	return r;
}

int resource_decode(json_t *body, struct resource_wish *ret_wish, struct failure *f)
{
	static const struct field fields[] = {
		{"preferred", JSON_ARRAY},      {"possible", JSON_ARRAY},
		{"priority", JSON_STRING},      {"failback", JSON_STRING},
		{"restart", JSON_OBJECT},       {"live", JSON_TRUE},
		{"anti_affinity", JSON_STRING}, {"prefer_apart", JSON_STRING},
		{"probe", JSON_OBJECT},         {"needs", JSON_ARRAY},
	};
	struct resource_wish w = {.priority = RESOURCE_NORMAL,
				  .live = true,
				  .restarts = 1,
				  .within_s = 900,
				  .probe_s = 30,
				  .probe_failures = 3};
	int r = fields_check_of(WHAT, body, "the request", fields, ARRAY_LEN(fields), f);

	if (r == 0)
		r = take_names(body, "preferred", "host", &w.preferred, f);
	if (r == 0)
		r = take_names(body, "possible", "host", &w.possible, f);
	if (r == 0)
		r = take_names(body, "needs", "tag", &w.needs, f);
	if (r == 0)
		r = field_word(body, "priority", "the request", priorities, ARRAY_LEN(priorities),
			       &w.priority, f);
	if (r == 0)
		r = take_failback(body, &w, f);
	if (r == 0)
		r = take_restart(json_object_get(body, "restart"), &w, f);
	if (r == 0)
		r = take_group(body, &w, f);
	if (r == 0)
		r = take_probe(json_object_get(body, "probe"), &w, f);
	if (r < 0)
		return r;
	field_bool(body, "live", &w.live);
	*ret_wish = w;
	return 0;
}

/* ---- words ---- */

static const unsigned ranks[] = {[RESOURCE_LOW] = 0, [RESOURCE_NORMAL] = 10, [RESOURCE_HIGH] = 20};

const char *resource_priority_word(const char *value)
{
	char text[24];

	for (size_t i = 0; i < ARRAY_LEN(ranks); i++) {
		snprintf(text, sizeof(text), "%u", ranks[i]);
		if (strcmp(text, value) == 0)
			return priorities[i];
	}
	return NULL;
}

void resource_group_id(const struct resource_wish *w, char to[RESOURCE_GROUP_MAX + 1])
{
	snprintf(to, RESOURCE_GROUP_MAX + 1, "%s-%s", w->rather ? "rather-apart" : "apart",
		 w->apart);
}

void resource_window_text(unsigned from, unsigned until, char to[RESOURCE_WINDOW_TEXT])
{
	snprintf(to, RESOURCE_WINDOW_TEXT, "%02u:%02u-%02u:%02u", from / 60 % 24, from % 60,
		 until / 60 % 24, until % 60);
}

/* Hours from..until-1, which may go over midnight. */
static int put_hours(char *to, size_t room, unsigned from, unsigned until)
{
	if (from == until)
		return 0;
	if (from < until)
		return snprintf(to, room, "%u-%u,;", from, until - 1);
	return until ? snprintf(to, room, "%u-23,;0-%u,;", from, until - 1)
		     : snprintf(to, room, "%u-23,;", from);
}

/* The engine's rules know hours and minutes, but no times between two: a part of the first hour,
 * whole hours, a part of the last. */
void resource_window_specs(unsigned from, unsigned until, char to[RESOURCE_SPECS_MAX])
{
	unsigned first = from / 60, last = until / 60;
	size_t at = 0, room = RESOURCE_SPECS_MAX;

	to[0] = '\0';
	if (first == last && from < until) {
		snprintf(to, room, "%u,%u-%u;", first, from % 60, until % 60 - 1);
		return;
	}
	if (from % 60)
		at += (size_t)snprintf(to, room, "%u,%u-59;", first, from % 60);
	if (from % 60)
		first = (first + 1) % 24;
	at += (size_t)put_hours(to + at, room - at, first, last);
	if (until % 60)
		snprintf(to + at, room - at, "%u,0-%u;", last, until % 60 - 1);
}

/* ---- what the engine is told ---- */

static void put_escaped(FILE *to, const char *text)
{
	for (; *text; text++) {
		if (strchr("<>&\"'", *text) || (unsigned char)*text < ' ')
			fprintf(to, "&#%d;", (unsigned char)*text);
		else
			fputc(*text, to);
	}
}

/* `kind` keeps ids apart. */
static void put_pair(FILE *to, const char *name, const char *kind, const char *key,
		     const char *value)
{
	fprintf(to, "<nvpair id=\"vm-%s-%s-%s\" name=\"%s\" value=\"", name, kind, key, key);
	put_escaped(to, value);
	fputs("\"/>", to);
}

/* ---- its parts ---- */

/* What has them. */
enum part { PART_VALUES, PART_META, PART_OPERATIONS, PART_PRIMITIVE, PART_CONSTRAINTS };

/* Paths, in which '*' stands for the VM's name. */
#define PRIMITIVE "/cib/configuration/resources/primitive[@id='vm-*']"
static const char *const paths[] = {
	[PART_VALUES] = PRIMITIVE "/instance_attributes[@id='vm-*-values']",
	[PART_META] = PRIMITIVE "/meta_attributes[@id='vm-*-meta']",
	[PART_OPERATIONS] = PRIMITIVE "/operations",
	[PART_PRIMITIVE] = PRIMITIVE,
	[PART_CONSTRAINTS] = "/cib/configuration/constraints",
};

/* Of a change each part of the VM is taken out and put in anew; else those of one parent follow
 * each other. */
struct writer {
	FILE *to;
	const char *name;
	bool change;
	enum part only;
};

static void put_path(const struct writer *w, enum part part)
{
	for (const char *at = paths[part]; *at; at++) {
		if (*at == '*')
			fputs(w->name, w->to);
		else
			fputc(*at, w->to);
	}
}

/* Whether the part is to be written; it ends with end(). */
static bool begin(const struct writer *w, enum part part, const char *tag, const char *after,
		  bool wanted)
{
	if (!w->change)
		return wanted && part == w->only;
	fputs("<change operation=\"delete\" path=\"", w->to);
	put_path(w, part);
	fprintf(w->to, "/%s[@id='vm-%s-%s']\"/>", tag, w->name, after);
	if (!wanted)
		return false;
	fputs("<change operation=\"create\" position=\"0\" path=\"", w->to);
	put_path(w, part);
	fputs("\">", w->to);
	return true;
}

static void end(const struct writer *w)
{
	if (w->change)
		fputs("</change>", w->to);
}

static void put_value(const struct writer *w, enum part part, const char *key, const char *value)
{
	const char *kind = part == PART_META ? "meta" : "value";
	char after[64];

	snprintf(after, sizeof(after), "%s-%s", kind, key);
	if (!begin(w, part, "nvpair", after, value != NULL))
		return;
	put_pair(w->to, w->name, kind, key, value);
	end(w);
}

static void put_number(const struct writer *w, enum part part, const char *key, uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, value);
	put_value(w, part, key, text);
}

struct operation {
	const char *id, *name;
	uint64_t interval_ms;
	unsigned timeout_s;
	const char *level;   /* of a monitor that asks the guest; or NULL */
	const char *on_fail; /* or NULL: as usual */
	const char *probe;   /* and how often it may fail; or NULL */
	uint64_t failures;
};

static void put_operation(const struct writer *w, const struct operation *o, bool wanted)
{
	char failures[24];

	if (!begin(w, PART_OPERATIONS, "op", o->id, wanted))
		return;
	fprintf(w->to, "<op id=\"vm-%s-%s\" name=\"%s\" interval=\"%" PRIu64 "ms\" timeout=\"%us\"",
		w->name, o->id, o->name, o->interval_ms, o->timeout_s);
	if (o->on_fail)
		fprintf(w->to, " on-fail=\"%s\"", o->on_fail);
	if (o->level) {
		fprintf(w->to, "><instance_attributes id=\"vm-%s-%s-level\">", w->name, o->id);
		put_pair(w->to, w->name, o->id, "OCF_CHECK_LEVEL", o->level);
		/* Parameters of the VM itself would have the engine start it anew. */
		if (o->probe) {
			put_pair(w->to, w->name, o->id, "probe", o->probe);
			snprintf(failures, sizeof(failures), "%" PRIu64, o->failures);
			put_pair(w->to, w->name, o->id, "probe_failures", failures);
		}
		fputs("</instance_attributes></op>", w->to);
	} else {
		fputs("/>", w->to);
	}
	end(w);
}

void resource_put_needs(FILE *to, const char *name, uint64_t memory_mib, uint64_t cpus)
{
	fprintf(to, "<utilization id=\"vm-%s-needs\">", name);
	fprintf(to, "<nvpair id=\"vm-%s-needs-memory\" name=\"memory\" value=\"%" PRIu64 "\"/>",
		name, memory_mib);
	fprintf(to, "<nvpair id=\"vm-%s-needs-cpu\" name=\"cpu\" value=\"%" PRIu64 "\"/>", name,
		cpus);
	fputs("</utilization>", to);
}

static void put_operations(const struct writer *w, const struct resource *r,
			   const struct resource_wish *wish)
{
	const struct operation all[] = {
		{"start-0", "start", .timeout_s = START_S},
		{"stop-0", "stop", .timeout_s = r->stop_s},
		{"migrate_to-0", "migrate_to", .timeout_s = MIGRATE_S, .on_fail = "block"},
		{"migrate_from-0", "migrate_from", .timeout_s = MONITOR_S},
		{"monitor-10", "monitor", 10000, MONITOR_S, .level = NULL},
		{"monitor-60", "monitor", 60000, MONITOR_S, .level = "10"},
	};
	/* The engine tells monitors apart by their intervals, so this one has an odd one. */
	const struct operation probe = {"probe",
					"monitor",
					wish->probe_s * 1000 + 1,
					MONITOR_S,
					.level = "20",
					.probe = wish->probe,
					.failures = wish->probe_failures};

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		put_operation(w, &all[i], true);
	put_operation(w, &probe, wish->probe[0]);
}

static void put_needs(const struct writer *w, const struct resource *r)
{
	if (!begin(w, PART_PRIMITIVE, "utilization", "needs", true))
		return;
	resource_put_needs(w->to, w->name, r->memory_mib, r->cpus);
	end(w);
}

/* It stays where it runs but within that time. */
static void put_window(const struct writer *w, const struct resource_wish *wish)
{
	char specs[RESOURCE_SPECS_MAX], *rest = specs, *one;
	unsigned i = 0;

	if (!begin(w, PART_PRIMITIVE, "meta_attributes", "window",
		   wish->failback == RESOURCE_RETURNS_AT))
		return;
	resource_window_specs(wish->from, wish->until, specs);
	fprintf(w->to,
		"<meta_attributes id=\"vm-%s-window\" score=\"1\"><rule id=\"vm-%s-window-rule\" "
		"score=\"0\" boolean-op=\"or\">",
		w->name, w->name);
	while ((one = strsep(&rest, ";")) && *one) {
		char *minutes = strchr(one, ',');

		*minutes++ = '\0';
		fprintf(w->to,
			"<date_expression id=\"vm-%s-window-%u\" operation=\"date_spec\"><date_spec "
			"id=\"vm-%s-window-%u-at\" hours=\"%s\"",
			w->name, i, w->name, i, one);
		if (*minutes)
			fprintf(w->to, " minutes=\"%s\"", minutes);
		fputs("/></date_expression>", w->to);
		i++;
	}
	fputs("</rule>", w->to);
	put_pair(w->to, w->name, "window", "resource-stickiness", "1");
	fputs("</meta_attributes>", w->to);
	end(w);
}

static void put_expression(FILE *to, const char *name, const char *rule, unsigned i,
			   const char *operation, const char *host)
{
	fprintf(to,
		"<expression id=\"vm-%s-%s-is-%u\" attribute=\"#uname\" operation=\"%s\" "
		"value=\"%s\"/>",
		name, rule, i, operation, host);
}

/* A host without it is none for the VM. */
static void put_tag(FILE *to, const char *name, unsigned i, const char *tag)
{
	fprintf(to,
		"<rule id=\"vm-%s-needs-%u\" score=\"-INFINITY\"><expression id=\"vm-%s-needs-is-%u\" "
		"attribute=\"" SCENE_TAG "%s\" operation=\"ne\" value=\"true\"/></rule>",
		name, i, name, i, tag);
}

static void put_places(const struct writer *w, const struct resource_wish *wish)
{
	FILE *to = w->to;

	if (!begin(w, PART_CONSTRAINTS, "rsc_location", "hosts",
		   wish->preferred.count || wish->possible.count || wish->needs.count))
		return;
	fprintf(to, "<rsc_location id=\"vm-%s-hosts\" rsc=\"vm-%s\">", w->name, w->name);
	for (unsigned i = 0; i < wish->preferred.count; i++) {
		fprintf(to, "<rule id=\"vm-%s-preferred-%u\" score=\"%u\">", w->name, i,
			RESOURCE_PREFERRED - i);
		put_expression(to, w->name, "preferred", i, "eq", wish->preferred.name[i]);
		fputs("</rule>", to);
	}
	for (unsigned i = 0; i < wish->needs.count; i++)
		put_tag(to, w->name, i, wish->needs.name[i]);
	if (wish->possible.count)
		fprintf(to, "<rule id=\"vm-%s-possible\" score=\"-INFINITY\" boolean-op=\"and\">",
			w->name);
	for (unsigned i = 0; i < wish->possible.count; i++)
		put_expression(to, w->name, "possible", i, "ne", wish->possible.name[i]);
	fprintf(to, "%s</rsc_location>", wish->possible.count ? "</rule>" : "");
	end(w);
}

static void put_parts(const struct writer *w, const struct resource *r,
		      const struct resource_wish *wish)
{
	put_value(w, PART_VALUES, "name", r->name);
	put_value(w, PART_VALUES, "uuid", r->uuid);
	put_value(w, PART_VALUES, "folder", r->folder);
	put_value(w, PART_META, "allow-migrate", wish->live ? "true" : "false");
	put_number(w, PART_META, "priority", ranks[wish->priority]);
	put_number(w, PART_META, "resource-stickiness",
		   wish->failback == RESOURCE_RETURNS ? 1 : STAYS);
	put_number(w, PART_META, "migration-threshold", wish->restarts + 1);
	put_number(w, PART_META, "failure-timeout", wish->within_s);
	put_operations(w, r, wish);
	put_needs(w, r);
	put_window(w, wish);
	put_places(w, wish);
}

/* ---- together ---- */

/* The text of a stream; NULL: no memory. */
static char *finish(FILE *to, char *const *text)
{
	bool good = !ferror(to);

	if (fclose(to) == 0 && good)
		return *text;
	free(*text);
	return NULL;
}

char *resource_encode(const struct resource *r, const struct resource_wish *wish)
{
	char *text = NULL;
	size_t len;
	struct writer w = {.to = open_memstream(&text, &len), .name = r->name};
	static const struct {
		const char *before, *name, *after;
	} around[] = {
		[PART_VALUES] = {"<instance_attributes id=\"vm-", "-values\">",
				 "</instance_attributes>"},
		[PART_META] = {"<meta_attributes id=\"vm-", "-meta\">", "</meta_attributes>"},
		[PART_OPERATIONS] = {"<operations>", NULL, "</operations>"},
		[PART_PRIMITIVE] = {"", NULL, "</primitive></resources>"},
		[PART_CONSTRAINTS] = {"<constraints>", NULL, "</constraints>"},
	};

	if (!w.to)
		return NULL;
	fprintf(w.to,
		"<cib><configuration><resources><primitive id=\"vm-%s\" class=\"ocf\" "
		"provider=\"oya\" type=\"vm\">",
		r->name);
	for (unsigned part = 0; part < ARRAY_LEN(around); part++) {
		w.only = (enum part)part;
		fputs(around[part].before, w.to);
		if (around[part].name)
			fprintf(w.to, "%s%s", r->name, around[part].name);
		put_parts(&w, r, wish);
		fputs(around[part].after, w.to);
	}
	fputs("</configuration></cib>", w.to);
	return finish(w.to, &text);
}

char *resource_encode_change(const struct resource *r, const struct resource_wish *wish)
{
	char *text = NULL;
	size_t len;
	struct writer w = {.to = open_memstream(&text, &len), .name = r->name, .change = true};

	if (!w.to)
		return NULL;
	fputs("<diff format=\"2\">", w.to);
	put_parts(&w, r, wish);
	fputs("</diff>", w.to);
	return finish(w.to, &text);
}

char *resource_encode_group(const char *name, const struct resource_wish *wish)
{
	char *text = NULL, id[RESOURCE_GROUP_MAX + 1];
	size_t len;
	FILE *to = open_memstream(&text, &len);

	if (!to)
		return NULL;
	resource_group_id(wish, id);
	fprintf(to, "<cib><configuration><constraints><rsc_colocation id=\"%s\" score=\"", id);
	if (wish->rather)
		fprintf(to, "%d", RATHER);
	else
		fputs("-INFINITY", to);
	fprintf(to,
		"\"><resource_set id=\"%s-vms\"><resource_ref id=\"vm-%s\"/></resource_set>"
		"</rsc_colocation></constraints></configuration></cib>",
		id, name);
	return finish(to, &text);
}
