/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/resource_read.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "lib/xml.h"

#define OTHERS_MAX 64u
#define GROUP_VMS_MAX 1024u
#define APART "apart-"
#define RATHER_APART "rather-apart-"
#define DAY (24 * 60u) /* minutes */

/* Of meta attributes. */
enum block { BLOCK_OTHER, BLOCK_META, BLOCK_WINDOW };

/* What is being read. */
struct reading {
	char id[VM_NAME_MAX + 4];
	struct resource_found *found;
	enum block block; /* that is open */
	bool hosts;       /* within our rules of hosts */
	const char *list; /* that a rule is of */
	json_t *group;    /* that is open */
	bool stays, failed;
	char specs[RESOURCE_SPECS_MAX]; /* of the window */
};

void resource_query(const char *name, const struct resource_wish *w,
		    char to[RESOURCE_QUERY_MAX + 1])
{
	char group[RESOURCE_GROUP_MAX + 1] = "";

	if (w && w->apart[0])
		resource_group_id(w, group);
	snprintf(to, RESOURCE_QUERY_MAX + 1,
		 "//primitive[@id='vm-%s']|//rsc_location[@rsc='vm-%s']|//rsc_colocation"
		 "[@rsc='vm-%s' or @with-rsc='vm-%s' or resource_set/resource_ref/@id='vm-%s' or "
		 "@id='%s']|//crm_config",
		 name, name, name, name, name, group);
}

/* ---- kept ---- */

static void set(struct reading *r, json_t *in, const char *key, json_t *value)
{
	r->failed |= json_object_set_new(in, key, value) < 0;
}

static void append(struct reading *r, json_t *to, const char *text)
{
	r->failed |= json_array_append_new(to, json_string(text)) < 0;
}

/* What no wish can say. */
__attribute__((format(printf, 2, 3))) static void tell(struct reading *r, const char *format, ...)
{
	json_t *others = json_object_get(r->found->shown, "others");
	char text[256];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (json_array_size(others) < OTHERS_MAX)
		append(r, others, text);
}

static const char *get(const char **attributes, const char *name)
{
	const char *value = xml_attribute(attributes, name);

	return value ? value : "";
}

/* Digits alone, up to 9 of them; -1: it is another thing. */
static json_int_t number(const char *text)
{
	size_t len = strspn(text, "0123456789");

	return len && len <= 9 && !text[len] ? atol(text) : -1;
}

/* ---- the primitive ---- */

static bool is_own(const struct reading *r, const char **attributes, const char *after)
{
	const char *id = get(attributes, "id");
	size_t len = strlen(r->id);

	return strncmp(id, r->id, len) == 0 && strcmp(id + len, after) == 0;
}

static void on_primitive(struct reading *r, const char **attributes)
{
	r->found->known |= is_own(r, attributes, "");
}

static void on_meta(struct reading *r, const char **attributes)
{
	r->block = is_own(r, attributes, "-meta")     ? BLOCK_META
		   : is_own(r, attributes, "-window") ? BLOCK_WINDOW
						      : BLOCK_OTHER;
	r->found->ours |= r->block == BLOCK_META;
}

static json_t *probe_of(struct reading *r)
{
	json_t *probe = json_object_get(r->found->shown, "probe");

	if (!probe) {
		probe = json_object();
		set(r, r->found->shown, "probe", probe);
	}
	return json_object_get(r->found->shown, "probe");
}

static void on_parameter(struct reading *r, const char **attributes)
{
	const char *name = get(attributes, "name"), *value = get(attributes, "value");

	if (strcmp(name, "probe") == 0)
		set(r, probe_of(r), "url", json_string(value));
	else if (strcmp(name, "probe_failures") == 0 && number(value) >= 0)
		set(r, probe_of(r), "failures", json_integer(number(value)));
}

static void on_operation(struct reading *r, const char **attributes)
{
	const char *interval = get(attributes, "interval");
	unsigned ms;

	if (!is_own(r, attributes, "-probe"))
		return;
	if (sscanf(interval, "%9ums", &ms) == 1 && strstr(interval, "ms"))
		set(r, probe_of(r), "interval", json_integer(ms / 1000));
	else
		tell(r, "the probe's interval is %.40s", interval);
}

static void on_date_spec(struct reading *r, const char **attributes)
{
	size_t len = strlen(r->specs), count = 0;

	while (attributes[count])
		count++;
	if (r->block != BLOCK_WINDOW)
		return;
	/* An id, hours and perhaps minutes; one that has more is no part of a window of ours. */
	snprintf(r->specs + len, sizeof(r->specs) - len, "%.16s,%.16s%s;", get(attributes, "hours"),
		 get(attributes, "minutes"),
		 count > (xml_attribute(attributes, "minutes") ? 6 : 4) ? "!" : "");
}

static void on_setting(struct reading *r, const char **attributes)
{
	const char *name = get(attributes, "name"), *value = get(attributes, "value");
	json_t *shown = r->found->shown, *restart = json_object_get(shown, "restart");
	const char *word = resource_priority_word(value);
	json_int_t count = number(value);

	if (strcmp(name, "resource-stickiness") == 0) {
		if (r->block != BLOCK_WINDOW)
			r->stays = strstr(value, "INFINITY") || count >= RESOURCE_PREFERRED;
	} else if (strcmp(name, "allow-migrate") == 0) {
		set(r, shown, "live", json_boolean(strcmp(value, "true") == 0));
	} else if (strcmp(name, "priority") == 0 && word) {
		set(r, shown, "priority", json_string(word));
	} else if (strcmp(name, "migration-threshold") == 0 && count > 0) {
		set(r, restart, "most", json_integer(count - 1));
	} else if (strcmp(name, "failure-timeout") == 0 && count > 0) {
		set(r, restart, "within", json_integer(count));
	} else {
		tell(r, "%.60s is %.100s", name, value);
	}
}

/* ---- constraints ---- */

static void on_location(struct reading *r, const char **attributes)
{
	const char *node = xml_attribute(attributes, "node");

	r->hosts = is_own(r, attributes, "-hosts");
	if (!r->hosts && node)
		tell(r, "%.80s: %.20s on %.80s", get(attributes, "id"), get(attributes, "score"),
		     node);
	else if (!r->hosts)
		tell(r, "%.80s: by rules of its own", get(attributes, "id"));
}

static void on_rule(struct reading *r, const char **attributes)
{
	r->list = strcmp(get(attributes, "score"), "-INFINITY") == 0 ? "possible" : "preferred";
}

static void on_expression(struct reading *r, const char **attributes)
{
	const char *wanted = r->list && strcmp(r->list, "possible") == 0 ? "ne" : "eq";
	json_t *list = r->list ? json_object_get(r->found->shown, r->list) : NULL;

	if (!r->hosts)
		return;
	if (strcmp(get(attributes, "attribute"), "#uname") == 0 &&
	    strcmp(get(attributes, "operation"), wanted) == 0 &&
	    json_array_size(list) < RESOURCE_HOSTS_MAX)
		append(r, list, get(attributes, "value"));
	else
		tell(r, "%s-hosts has a rule that is none of Oya's", r->id);
}

static void on_colocation(struct reading *r, const char **attributes)
{
	const char *id = get(attributes, "id"), *one = get(attributes, "rsc");

	r->group = NULL;
	if (strncmp(id, APART, strlen(APART)) == 0 ||
	    strncmp(id, RATHER_APART, strlen(RATHER_APART)) == 0) {
		set(r, r->found->groups, id, json_array());
		r->group = json_object_get(r->found->groups, id);
	} else {
		tell(r, "%.80s: %.20s with %.80s", id, get(attributes, "score"),
		     strcmp(one, r->id) == 0 ? get(attributes, "with-rsc")
		     : *one                  ? one
					     : "a set");
	}
}

static void on_group_vm(struct reading *r, const char **attributes)
{
	const char *id = get(attributes, "id");

	if (r->group && strncmp(id, "vm-", 3) == 0 && json_array_size(r->group) < GROUP_VMS_MAX)
		append(r, r->group, id + 3);
}

static void on_begin(void *ctx, const char *path, const char **attributes)
{
	static const char root[] = "/xpath-query/";
	static const struct {
		const char *path;
		void (*take)(struct reading *r, const char **attributes);
	} all[] = {
		{"primitive", on_primitive},
		{"primitive/operations/op/instance_attributes/nvpair", on_parameter},
		{"primitive/meta_attributes", on_meta},
		{"primitive/meta_attributes/rule/date_expression/date_spec", on_date_spec},
		{"primitive/meta_attributes/nvpair", on_setting},
		{"primitive/operations/op", on_operation},
		{"rsc_location", on_location},
		{"rsc_location/rule", on_rule},
		{"rsc_location/rule/expression", on_expression},
		{"rsc_colocation", on_colocation},
		{"rsc_colocation/resource_set/resource_ref", on_group_vm},
	};

	if (strncmp(path, root, sizeof(root) - 1) != 0)
		return;
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		if (strcmp(path + sizeof(root) - 1, all[i].path) == 0)
			all[i].take(ctx, attributes);
	}
}

static void on_end(void *ctx, const char *path, const char *text)
{
	(void)ctx;
	(void)path;
	(void)text;
}

/* ---- together ---- */

/* "H-H,M-M;": hours and minutes from the first to the last; minutes may be absent. */
struct spec {
	unsigned first_hour, last_hour, first_minute, last_minute;
};

static struct spec take_spec(const char *text)
{
	const char *comma = strchr(text, ',');
	struct spec s = {.last_minute = 59};

	if (sscanf(text, "%2u-%2u", &s.first_hour, &s.last_hour) == 1)
		s.last_hour = s.first_hour;
	if (comma)
		(void)sscanf(comma + 1, "%2u-%2u", &s.first_minute, &s.last_minute);
	return s;
}

/* The window begins with the first of its rule and ends with the last. */
static void put_window(struct reading *r)
{
	size_t at = strlen(r->specs) - 1;
	char text[RESOURCE_WINDOW_TEXT], specs[RESOURCE_SPECS_MAX];
	struct spec first = take_spec(r->specs), last;
	unsigned from, until;

	while (at && r->specs[at - 1] != ';')
		at--;
	last = take_spec(r->specs + at);
	from = (first.first_hour * 60 + first.first_minute) % DAY;
	until = (last.last_hour * 60 + last.last_minute + 1) % DAY;
	resource_window_specs(from, until, specs);
	resource_window_text(from, until, text);
	if (strcmp(specs, r->specs) == 0)
		set(r, r->found->shown, "failback", json_string(text));
	else
		tell(r, "%s-window has a rule that is none of Oya's", r->id);
}

static void put_groups(struct reading *r)
{
	json_t *shown = r->found->shown, *group, *vm;
	const char *id;
	size_t i;

	json_object_foreach(r->found->groups, id, group)
	{
		bool strict = strncmp(id, APART, strlen(APART)) == 0, in = false;
		json_t *others = json_array();

		json_array_foreach(group, i, vm)
		{
			if (strcmp(json_string_value(vm), r->id + 3) == 0)
				in = true;
			else
				append(r, others, json_string_value(vm));
		}
		if (in) {
			set(r, shown, strict ? "anti_affinity" : "prefer_apart",
			    json_string(id + strlen(strict ? APART : RATHER_APART)));
			set(r, shown, "apart_from", json_incref(others));
		}
		json_decref(others);
	}
}

void resource_found_done(struct resource_found *found)
{
	json_decref(found->shown);
	json_decref(found->groups);
	*found = (struct resource_found){.shown = NULL};
}

int resource_read(const char *text, size_t len, const char *name, struct resource_found *ret_found,
		  struct failure *f)
{
	static const struct xml_calls calls = {.begin = on_begin, .end = on_end};
	struct resource_found found = {.shown = json_pack("{s:[], s:[], s:{}, s:[]}", "preferred",
							  "possible", "restart", "others"),
				       .groups = json_object()};
	struct reading r = {.found = &found};
	int code = found.shown && found.groups ? 0 : fail(f, -ENOMEM, "out of memory");

	snprintf(r.id, sizeof(r.id), "vm-%s", name);
	if (code == 0)
		code = xml_parse(text, len, &calls, &r, "the engine's configuration", f);
	if (code == 0 && r.specs[0])
		put_window(&r);
	else if (code == 0)
		set(&r, found.shown, "failback", json_string(r.stays ? "off" : "immediate"));
	if (code == 0)
		put_groups(&r);
	if (code == 0 && r.failed)
		code = fail(f, -ENOMEM, "out of memory");
	if (code < 0)
		resource_found_done(&found);
	else
		*ret_found = found;
	return code;
}
