/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is asked of the engine's programs as a host is drained, and what they are told. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "host/drain_impl.h"

#define SIMULATE "/usr/sbin/crm_simulate"
#define MONITOR "/usr/sbin/crm_mon"
#define ATTRIBUTE "/usr/sbin/crm_attribute"
#define CIBADMIN "/usr/sbin/cibadmin"
#define DRAINED "oya-drained" /* names of the VMs that left */
#define TOOL_S 30u
#define RETURN_S 3600 /* for which VMs are drawn back at most, whoever dies */
#define NAMES_BYTES_MAX (96u << 10)
#define XML_MAX (120u << 10)

const char *drain_text(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text ? text : "";
}

bool drain_is(const struct drain *d, const char *name)
{
	return json_is_true(json_object_get(d->view, name));
}

json_t *drain_vms(const struct drain *d)
{
	return json_object_get(d->view, "vms");
}

/* ---- the engine's programs, in the pool ---- */

/* Sets what the engine keeps of the host; NULL: removes it. `copy`: of a file in place of the
 * configuration in force, by its variable; or NULL. */
static int set_attribute(const struct cluster_task *t, const char *copy, const char *name,
			 const char *value, struct failure *f)
{
	const char *const command[] = {"/usr/bin/env", copy ? copy : "",
				       ATTRIBUTE,      "--node",
				       t->gone,        "--lifetime",
				       "forever",      "--name",
				       name,           value ? "--update" : "--delete",
				       value,          NULL};

	return engine_tool(copy ? command : command + 2, TOOL_S, NULL, f);
}

/* The XML among a program's warnings, which come the same way: from its begin on, cut at its end.
 */
static const char *find_xml(char *text)
{
	static const char end[] = "</pacemaker-result>";
	char *begin = strstr(text, "<pacemaker-result"), *behind = strstr(text, end);

	if (!begin || !behind)
		return text;
	behind[sizeof(end) - 1] = '\0';
	return begin;
}

static int simulate(struct cluster_task *t, const char *const *command, struct failure *f)
{
	json_t *view = NULL;
	const char *xml;
	char *text;
	int r = engine_tool(command, TOOL_S, &text, f);

	if (r < 0)
		return r;
	xml = find_xml(text);
	r = drain_view_decode(xml, strlen(xml), t->gone, &view, f);
	free(text);
	if (r < 0)
		return r;
	json_decref(t->drain->view);
	t->drain->view = view;
	return 0;
}

int drain_look(struct cluster_task *t)
{
	static const char *const live[] = {SIMULATE, "--live-check", "--run", "--output-as=xml",
					   NULL};
	static const char *const monitor[] = {MONITOR, "--one-shot", "--output-as=xml",
					      "--include=none,failures", NULL};
	int r = simulate(t, live, &t->f);
	json_t *failures = NULL;
	struct failure ignored; /* the next look tells them */
	const char *xml;
	char *text;

	if (r < 0 || engine_tool(monitor, TOOL_S, &text, &ignored) < 0)
		return r;
	xml = find_xml(text);
	if (drain_failures_decode(xml, strlen(xml), &failures, &ignored) == 0) {
		json_decref(t->drain->failures);
		t->drain->failures = failures;
	}
	free(text);
	return 0;
}

/* What it would do, were the host in standby: by a copy of its configuration. */
static int try_standby(struct cluster_task *t)
{
	char path[PATH_MAX], variable[PATH_MAX + 16];
	const char *const save[] = {SIMULATE,       "--live-check", "--quiet",
				    "--save-input", path,           NULL};
	const char *const ahead[] = {SIMULATE, "--xml-file",      path,
				     "--run",  "--output-as=xml", NULL};
	int r;

	snprintf(path, sizeof(path), "%.*s/drain.xml", PATH_MAX - 16, t->c->host->run);
	snprintf(variable, sizeof(variable), "CIB_file=%s", path);
	(void)unlink(path);
	r = engine_tool(save, TOOL_S, NULL, &t->f);
	if (r == 0)
		r = set_attribute(t, variable, DRAIN_STANDBY, "on", &t->f);
	if (r == 0)
		r = simulate(t, ahead, &t->f);
	(void)unlink(path);
	return r;
}

int drain_look_ahead(struct cluster_task *t)
{
	struct drain *d = t->drain;
	bool standby;
	int r = drain_look(t);

	if (r < 0)
		return r;
	json_array_extend(d->told, d->failures);
	standby = drain_is(d, DRAIN_STANDBY);
	r = try_standby(t);
	if (r == 0) /* it is as it is, not as it was tried */
		json_object_set_new(d->view, DRAIN_STANDBY, json_boolean(standby));
	return r;
}

/* ---- VMs drawn back, in the pool ---- */

/* The constraint's id is of the host; one of before goes. */
int drain_let_go(struct cluster_task *t)
{
	char xml[MEMBERS_NAME_MAX + 64];
	const char *const command[] = {CIBADMIN, "--delete", "--xml-text", xml, NULL};
	struct failure ignored; /* there may be none */

	snprintf(xml, sizeof(xml), "<rsc_location id=\"oya-return-%s\"/>", t->gone);
	(void)engine_tool(command, TOOL_S, NULL, &ignored);
	return 0;
}

static char *encode_return(const struct cluster_task *t)
{
	char *text = NULL, until[32];
	size_t len, i;
	FILE *to = open_memstream(&text, &len);
	time_t end = time(NULL) + RETURN_S;
	struct tm tm;
	json_t *name;

	if (!to)
		return NULL;
	strftime(until, sizeof(until), "%Y-%m-%d %H:%M:%SZ", gmtime_r(&end, &tm));
	fprintf(to, "<constraints><rsc_location id=\"oya-return-%s\">", t->gone);
	fprintf(to, "<resource_set id=\"oya-return-%s-vms\">", t->gone);
	json_array_foreach(t->drain->names, i, name)
	{
		fprintf(to, "<resource_ref id=\"vm-%s\"/>", json_string_value(name));
	}
	fprintf(to,
		"</resource_set><rule id=\"oya-return-%s-rule\" score=\"INFINITY\" "
		"boolean-op=\"and\"><expression id=\"oya-return-%s-host\" attribute=\"#uname\" "
		"operation=\"eq\" value=\"%s\"/><date_expression id=\"oya-return-%s-end\" "
		"operation=\"lt\" end=\"%s\"/></rule></rsc_location></constraints>",
		t->gone, t->gone, t->gone, t->gone, until);
	if (fclose(to) == 0 && len <= XML_MAX)
		return text;
	free(text);
	return NULL;
}

static int draw_back(struct cluster_task *t)
{
	char *xml = encode_return(t);
	const char *const command[] = {CIBADMIN,     "--modify", "--allow-create",
				       "--xml-text", xml,        NULL};
	int r = xml ? engine_tool(command, TOOL_S, NULL, &t->f)
		    : fail(&t->f, -ENOMEM, "cannot have VMs come back: out of memory, or too many");

	free(xml);
	return r;
}

/* ---- the changes, in the pool ---- */

/* The names of those that leave; NULL: no memory, or too many. */
static char *join_names(const json_t *names)
{
	char *text = NULL;
	size_t len, i;
	FILE *to = open_memstream(&text, &len);
	json_t *name;

	if (!to)
		return NULL;
	json_array_foreach((json_t *)(uintptr_t)names, i, name)
	{
		fprintf(to, "%s%s", i ? " " : "", json_string_value(name));
	}
	if (fclose(to) == 0 && len <= NAMES_BYTES_MAX)
		return text;
	free(text);
	return NULL;
}

int drain_leave(struct cluster_task *t)
{
	char *names = join_names(t->drain->names);
	int r = 0;

	if (!names)
		r = fail(&t->f, -ENOMEM, "cannot note the VMs that leave: out of memory");
	/* Of a host that is drained already it is known. */
	if (r == 0 && !drain_is(t->drain, DRAIN_STANDBY))
		r = set_attribute(t, NULL, DRAINED, names, &t->f);
	free(names);
	if (r < 0)
		return r;
	(void)drain_let_go(t);
	return set_attribute(t, NULL, DRAIN_STANDBY, "on", &t->f);
}

int drain_end_standby(struct cluster_task *t)
{
	struct failure ignored;
	int r = set_attribute(t, NULL, DRAIN_STANDBY, NULL, &t->f);

	if (r == 0)
		(void)set_attribute(t, NULL, DRAINED, NULL, &ignored);
	return r;
}

/* Those of the note that run elsewhere. */
static int take_drained(struct cluster_task *t)
{
	const char *const command[] = {ATTRIBUTE, "--node", t->gone,   "--lifetime", "forever",
				       "--name",  DRAINED,  "--query", "--quiet",    NULL};
	struct failure ignored; /* there may be no note */
	char *text, *rest, *name;

	if (engine_tool(command, TOOL_S, &text, &ignored) < 0)
		return 0;
	for (name = strtok_r(text, " \n", &rest); name; name = strtok_r(NULL, " \n", &rest)) {
		const json_t *vm = drain_find(drain_vms(t->drain), name);

		if (*drain_text(vm, "host") && strcmp(drain_text(vm, "host"), t->gone) != 0)
			json_array_append_new(t->drain->names, json_string(name));
	}
	free(text);
	return json_array_size(t->drain->names) ? draw_back(t) : 0;
}

int drain_come_back(struct cluster_task *t)
{
	int r = drain_look(t);

	if (r == 0 && !drain_is(t->drain, DRAIN_STANDBY))
		r = fail(&t->f, -EBUSY, "the host '%s' is not drained", t->gone);
	if (r == 0 && t->drain->back && !drain_is(t->drain, "online"))
		r = fail(&t->f, -EBUSY,
			 "the host '%s' is offline, so that no VM can come back to it: bring it "
			 "back first, or resume it without --failback",
			 t->gone);
	if (r < 0)
		return r;
	json_array_extend(t->drain->told, t->drain->failures);
	(void)drain_let_go(t);
	if (t->drain->back)
		r = take_drained(t);
	if (r == 0)
		r = drain_end_standby(t);
	if (r < 0)
		(void)drain_let_go(t);
	return r;
}
