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
#define STAYS 100000 /* more than any host is preferred */
#define PREFERRED 1000
#define START_S 120u
#define MONITOR_S 30u
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

int resource_decode(json_t *body, struct resource_wish *ret_wish, struct failure *f)
{
	static const struct field fields[] = {
		{"preferred", JSON_ARRAY}, {"possible", JSON_ARRAY}, {"priority", JSON_STRING},
		{"failback", JSON_TRUE},   {"restart", JSON_OBJECT}, {"live", JSON_TRUE},
		{"needs", JSON_ARRAY},
	};
	struct resource_wish w = {
		.priority = RESOURCE_NORMAL, .live = true, .restarts = 1, .within_s = 900};
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
		r = take_restart(json_object_get(body, "restart"), &w, f);
	if (r < 0)
		return r;
	field_bool(body, "failback", &w.failback);
	field_bool(body, "live", &w.live);
	*ret_wish = w;
	return 0;
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

static void put_number(FILE *to, const char *name, const char *key, uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, value);
	put_pair(to, name, "meta", key, text);
}

static void put_operation(FILE *to, const char *name, const char *what, unsigned interval_s,
			  unsigned timeout_s)
{
	fprintf(to, "<op id=\"vm-%s-%s-%u\" name=\"%s\" interval=\"%us\" timeout=\"%us\"%s", name,
		what, interval_s, what, interval_s, timeout_s, interval_s == 60 ? ">" : "/>");
	if (interval_s != 60)
		return;
	/* The one that asks the guest. */
	fprintf(to, "<instance_attributes id=\"vm-%s-deep\">", name);
	put_pair(to, name, "deep", "OCF_CHECK_LEVEL", "10");
	fputs("</instance_attributes></op>", to);
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

static void put_primitive(FILE *to, const struct resource *r, const struct resource_wish *w)
{
	static const unsigned ranks[] = {
		[RESOURCE_LOW] = 0, [RESOURCE_NORMAL] = 10, [RESOURCE_HIGH] = 20};

	fprintf(to, "<primitive id=\"vm-%s\" class=\"ocf\" provider=\"oya\" type=\"vm\">", r->name);
	fprintf(to, "<instance_attributes id=\"vm-%s-values\">", r->name);
	put_pair(to, r->name, "value", "name", r->name);
	put_pair(to, r->name, "value", "uuid", r->uuid);
	put_pair(to, r->name, "value", "folder", r->folder);
	fprintf(to, "</instance_attributes><meta_attributes id=\"vm-%s-meta\">", r->name);
	put_pair(to, r->name, "meta", "allow-migrate", w->live ? "true" : "false");
	put_number(to, r->name, "priority", ranks[w->priority]);
	put_number(to, r->name, "resource-stickiness", w->failback ? 1 : STAYS);
	put_number(to, r->name, "migration-threshold", w->restarts + 1);
	put_number(to, r->name, "failure-timeout", w->within_s);
	fputs("</meta_attributes>", to);
	resource_put_needs(to, r->name, r->memory_mib, r->cpus);
	fputs("<operations>", to);
	put_operation(to, r->name, "start", 0, START_S);
	put_operation(to, r->name, "stop", 0, r->stop_s);
	put_operation(to, r->name, "migrate_to", 0, MIGRATE_S);
	put_operation(to, r->name, "migrate_from", 0, MONITOR_S);
	put_operation(to, r->name, "monitor", 10, MONITOR_S);
	put_operation(to, r->name, "monitor", 60, MONITOR_S);
	fputs("</operations></primitive>", to);
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

static void put_places(FILE *to, const char *name, const struct resource_wish *w)
{
	if (!w->preferred.count && !w->possible.count && !w->needs.count)
		return;
	fprintf(to, "<rsc_location id=\"vm-%s-hosts\" rsc=\"vm-%s\">", name, name);
	for (unsigned i = 0; i < w->preferred.count; i++) {
		fprintf(to, "<rule id=\"vm-%s-preferred-%u\" score=\"%u\">", name, i,
			PREFERRED - i);
		put_expression(to, name, "preferred", i, "eq", w->preferred.name[i]);
		fputs("</rule>", to);
	}
	for (unsigned i = 0; i < w->needs.count; i++)
		put_tag(to, name, i, w->needs.name[i]);
	if (w->possible.count)
		fprintf(to, "<rule id=\"vm-%s-possible\" score=\"-INFINITY\" boolean-op=\"and\">",
			name);
	for (unsigned i = 0; i < w->possible.count; i++)
		put_expression(to, name, "possible", i, "ne", w->possible.name[i]);
	fprintf(to, "%s</rsc_location>", w->possible.count ? "</rule>" : "");
}

char *resource_encode(const struct resource *r, const struct resource_wish *w)
{
	char *text = NULL;
	size_t len;
	FILE *to = open_memstream(&text, &len);
	bool good;

	if (!to)
		return NULL;
	fputs("<cib><configuration><resources>", to);
	put_primitive(to, r, w);
	fputs("</resources><constraints>", to);
	put_places(to, r->name, w);
	fputs("</constraints></configuration></cib>", to);
	good = !ferror(to);
	if (fclose(to) == 0 && good)
		return text;
	free(text);
	return NULL;
}
