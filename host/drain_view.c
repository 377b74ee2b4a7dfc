/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/drain_view.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "host/settings.h"
#include "lib/xml.h"

#define PREFIX "vm-" /* of the names of resources (docs/design/cluster.md) */
#define AGENT "ocf:oya:vm"

struct look {
	const char *host;
	json_t *view, *vms;
};

json_t *drain_find(const json_t *list, const char *name)
{
	json_t *one;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)list, i, one)
	{
		const char *own = json_string_value(json_object_get(one, "name"));

		if (own && strcmp(own, name) == 0)
			return one;
	}
	return NULL;
}

/* The VM's name in that of a resource; NULL: it is none of ours. */
static const char *vm_of(const char *resource)
{
	return resource && strncmp(resource, PREFIX, strlen(PREFIX)) == 0 &&
			       vm_name_allowed(resource + strlen(PREFIX))
		       ? resource + strlen(PREFIX)
		       : NULL;
}

/* ---- crm_simulate ---- */

static void on_node(struct look *l, const char **attributes)
{
	const char *name = xml_attribute(attributes, "name");

	if (!name || strcmp(name, l->host) != 0)
		return;
	json_object_set_new(l->view, "online", json_boolean(xml_is_true(attributes, "online")));
	json_object_set_new(l->view, "standby", json_boolean(xml_is_true(attributes, "standby")));
}

static void on_resource(struct look *l, const char **attributes)
{
	const char *agent = xml_attribute(attributes, "resource_agent");
	const char *name = vm_of(xml_attribute(attributes, "id"));
	const char *role = xml_attribute(attributes, "role");
	bool moving;

	if (!name || !agent || strcmp(agent, AGENT) != 0 || drain_find(l->vms, name) ||
	    json_array_size(l->vms) >= DRAIN_VMS_MAX)
		return;
	/* "Starting", "Migrating" and the like are told by either. */
	moving = xml_attribute(attributes, "pending") ||
		 (role && strcmp(role, "Started") != 0 && strcmp(role, "Stopped") != 0);
	json_array_append_new(l->vms, json_pack("{s:s, s:n, s:b, s:b, s:n, s:n}", "name", name,
						"host", "moving", moving, "failed",
						xml_is_true(attributes, "failed"), "to", "way"));
}

/* Of the resource that has come last. */
static void on_place(struct look *l, const char **attributes)
{
	json_t *vm = json_array_get(l->vms, json_array_size(l->vms) - 1);
	const char *known = json_string_value(json_object_get(vm, "host"));
	const char *name = xml_attribute(attributes, "name");

	if (vm && name && !(known && strcmp(known, l->host) == 0))
		json_object_set_new(vm, "host", json_string(name));
}

static void on_action(struct look *l, const char **attributes)
{
	const char *name = vm_of(xml_attribute(attributes, "resource"));
	const char *what = xml_attribute(attributes, "action");
	const char *to = xml_attribute(attributes, "dest");
	json_t *vm = name && what ? drain_find(l->vms, name) : NULL;
	const char *way = "stopped";

	if (!vm)
		return;
	if (strcmp(what, "stop") == 0)
		way = "nowhere";
	else if (strcmp(what, "migrate") == 0)
		way = "live";
	if (!to && strcmp(what, "stop") != 0)
		to = xml_attribute(attributes, "node");
	json_object_set_new(vm, "way", json_string(way));
	json_object_set_new(vm, "to", to ? json_string(to) : json_null());
}

static void on_begin(void *ctx, const char *path, const char **attributes)
{
	struct look *l = ctx;

	if (xml_path_ends(path, "/cluster_status/nodes/node"))
		on_node(l, attributes);
	else if (xml_path_ends(path, "/resource"))
		on_resource(l, attributes);
	else if (xml_path_ends(path, "/resource/node"))
		on_place(l, attributes);
	else if (xml_path_ends(path, "/actions/rsc_action"))
		on_action(l, attributes);
}

static void on_end(void *ctx, const char *path, const char *text)
{
	(void)ctx;
	(void)path;
	(void)text;
}

int drain_view_decode(const char *text, size_t len, const char *host, json_t **ret_view,
		      struct failure *f)
{
	static const struct xml_calls calls = {.begin = on_begin, .end = on_end};
	struct look l = {.host = host, .vms = json_array()};
	int r;

	l.view = json_pack("{s:b, s:b, s:o}", "online", 0, "standby", 0, "vms", l.vms);
	if (!l.view)
		return fail(f, -ENOMEM, "cannot read what the engine would do: out of memory");
	r = xml_parse(text, len, &calls, &l, "what the engine would do", f);
	if (r == 0)
		*ret_view = l.view;
	else
		json_decref(l.view);
	return r;
}

/* ---- crm_mon ---- */

/* Of "vm-web_migrate_to_0" what is before its task; false: it is no VM's. */
static bool take_name(const char *key, const char *task, char name[VM_NAME_MAX + 1])
{
	char text[VM_NAME_MAX + 64], mark[64];
	char *end = NULL;

	snprintf(text, sizeof(text), "%s", key);
	snprintf(mark, sizeof(mark), "_%s_", task);
	/* The last: a name may have the same in it. */
	for (char *at = strstr(text, mark); at; at = strstr(at + 1, mark))
		end = at;
	if (!end)
		return false;
	*end = '\0';
	if (!vm_of(text))
		return false;
	snprintf(name, VM_NAME_MAX + 1, "%.*s", (int)VM_NAME_MAX, vm_of(text));
	return true;
}

static void on_failure(void *ctx, const char *path, const char **attributes)
{
	static const struct {
		const char *task, *words;
	} tasks[] = {{"start", "has not started on"},
		     {"stop", "could not be stopped on"},
		     {"migrate_to", "could not go live from"},
		     {"migrate_from", "could not come live to"},
		     {"monitor", "was found failed on"}};
	const char *key = xml_attribute(attributes, "op_key");
	const char *task = xml_attribute(attributes, "task");
	const char *node = xml_attribute(attributes, "node");
	const char *call = xml_attribute(attributes, "call");
	const char *reason = xml_attribute(attributes, "exitreason");
	char name[VM_NAME_MAX + 1], sentence[FAIL_TEXT_MAX], id[2 * VM_NAME_MAX + 128];
	json_t *list = ctx;

	if (!xml_path_ends(path, "/failures/failure") || !key || !task || !node ||
	    json_array_size(list) >= DRAIN_FAILURES_MAX || !take_name(key, task, name))
		return;
	if (!reason || !*reason)
		reason = xml_attribute(attributes, "exitstatus");
	snprintf(id, sizeof(id), "%s %.*s %.20s", key, (int)VM_NAME_MAX, node, call ? call : "");
	for (size_t i = 0; i < ARRAY_LEN(tasks); i++) {
		if (strcmp(task, tasks[i].task) != 0)
			continue;
		snprintf(sentence, sizeof(sentence), "the VM '%s' %s %.64s: %.300s", name,
			 tasks[i].words, node, reason ? reason : "no reason is told");
		json_array_append_new(list,
				      json_pack("{s:s, s:s}", "key", id, "problem", sentence));
	}
}

int drain_failures_decode(const char *text, size_t len, json_t **ret_list, struct failure *f)
{
	static const struct xml_calls calls = {.begin = on_failure, .end = on_end};
	json_t *list = json_array();
	int r = list ? xml_parse(text, len, &calls, list, "what the engine says of failures", f)
		     : fail(f, -ENOMEM, "cannot read failures: out of memory");

	if (r == 0)
		*ret_list = list;
	else
		json_decref(list);
	return r;
}
