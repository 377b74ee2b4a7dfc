/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the engine says of the cluster: hosts, quorum, fencing, resources, links. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "host/cluster_status.h"
#include "lib/xml.h"

#define RESOURCES_MAX 1024u

/* ---- crm_mon ---- */

static void on_node(json_t *status, const char **attributes)
{
	static const char *const words[] = {"online", "standby", "unclean"};
	const char *name = xml_attribute(attributes, "name");
	json_t *one;
	size_t i;

	json_array_foreach(json_object_get(status, "members"), i, one)
	{
		const char *own = json_string_value(json_object_get(one, "name"));

		for (size_t k = 0; name && own && strcmp(name, own) == 0 && k < ARRAY_LEN(words);
		     k++)
			json_object_set_new(one, words[k],
					    json_boolean(xml_is_true(attributes, words[k])));
	}
}

static void on_resource(json_t *status, const char **attributes)
{
	const char *agent = xml_attribute(attributes, "resource_agent");
	const char *name = xml_attribute(attributes, "id");
	const char *role = xml_attribute(attributes, "role");
	const char *wanted = xml_attribute(attributes, "target_role");
	json_t *list = json_object_get(status, "resources");

	if (!agent || !name)
		return;
	if (strncmp(agent, "stonith:", 8) == 0) {
		if (xml_is_true(attributes, "failed") || xml_is_true(attributes, "blocked"))
			json_object_set_new(status, "fence_device_failed", json_string(name));
		else
			json_object_set_new(status, "fence_devices", json_true());
	} else if (json_array_size(list) < RESOURCES_MAX) {
		json_array_append_new(
			list, json_pack("{s:s, s:s, s:s, s:b, s:b, s:b, s:n}", "name", name,
					"agent", agent, "state", role ? role : "unknown", "failed",
					xml_is_true(attributes, "failed"), "blocked",
					xml_is_true(attributes, "blocked"), "stop_wanted",
					wanted && strcmp(wanted, "Stopped") == 0, "host"));
	}
}

/* Of the resource that has come last. */
static void on_host_of_resource(json_t *status, const char **attributes)
{
	json_t *list = json_object_get(status, "resources");
	const char *name = xml_attribute(attributes, "name");

	if (name && json_array_size(list))
		json_object_set_new(json_array_get(list, json_array_size(list) - 1), "host",
				    json_string(name));
}

static json_t *find(const json_t *list, const char *name, size_t len)
{
	json_t *one;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)list, i, one)
	{
		const char *own = json_string_value(json_object_get(one, "name"));

		if (own && strlen(own) == len && memcmp(own, name, len) == 0)
			return one;
	}
	return NULL;
}

/* "vm-web_start_0": the resource's name, the action, its interval. */
static void on_failure(json_t *status, const char **attributes)
{
	const char *key = xml_attribute(attributes, "op_key");
	const char *why = xml_attribute(attributes, "exitreason");
	size_t len = key ? strlen(key) : 0;
	json_t *one;

	for (unsigned cuts = 0; len && cuts < 2;)
		cuts += key[--len] == '_';
	one = len && why && *why && strcmp(why, "none") != 0
		      ? find(json_object_get(status, "resources"), key, len)
		      : NULL;
	if (one)
		json_object_set_new(one, "problem", json_string(why));
}

/* The newest event of a host comes first. */
static void on_fencing(json_t *status, const char **attributes)
{
	const char *target = xml_attribute(attributes, "target");
	const char *word = xml_attribute(attributes, "status");
	const char *reason = xml_attribute(attributes, "exit-reason");
	const char *why = reason ? reason : xml_attribute(attributes, "extended-status");
	json_t *one =
		target ? find(json_object_get(status, "members"), target, strlen(target)) : NULL;

	if (!one || !word || json_object_get(one, "fencing_failed") || strcmp(word, "pending") == 0)
		return;
	json_object_set_new(one, "fencing_failed",
			    strcmp(word, "failed") != 0 ? json_null()
			    : why && *why               ? json_string(why)
					  : json_string("the engine gives no reason"));
}

static void on_begin(void *ctx, const char *path, const char **attributes)
{
	json_t *status = ctx;
	const char *name;

	if (xml_path_ends(path, "/summary/current_dc")) {
		name = xml_is_true(attributes, "present") ? xml_attribute(attributes, "name")
							  : NULL;
		json_object_set_new(status, "coordinator", name ? json_string(name) : json_null());
		json_object_set_new(status, "quorum",
				    json_boolean(name && xml_is_true(attributes, "with_quorum")));
	} else if (xml_path_ends(path, "/summary/cluster_options")) {
		/* In maintenance the engine restarts nothing, whoever is cut off. */
		json_object_set_new(status, "fence_enabled",
				    json_boolean(xml_is_true(attributes, "stonith-enabled") &&
						 !xml_is_true(attributes, "maintenance-mode")));
	} else if (xml_path_ends(path, "/nodes/node")) {
		on_node(status, attributes);
	} else if (xml_path_ends(path, "/resource")) {
		on_resource(status, attributes);
	} else if (xml_path_ends(path, "/resource/node")) {
		on_host_of_resource(status, attributes);
	} else if (xml_path_ends(path, "/failures/failure")) {
		on_failure(status, attributes);
	} else if (xml_path_ends(path, "/fence_history/fence_event")) {
		on_fencing(status, attributes);
	}
}

static void on_end(void *ctx, const char *path, const char *text)
{
	(void)ctx;
	(void)path;
	(void)text;
}

static void put_words(json_t *status, const struct members *m)
{
	bool devices = json_is_true(json_object_get(status, "fence_devices"));
	bool enabled = json_is_true(json_object_get(status, "fence_enabled"));
	bool witness = members_witness_votes(m);
	unsigned online = 0, needed = m->count == 2 && !witness ? 1 : m->count / 2 + 1;
	char text[160];
	json_t *one;
	size_t i;

	json_array_foreach(json_object_get(status, "members"), i, one)
	{
		online += json_is_true(json_object_get(one, "online"));
	}
	snprintf(text, sizeof(text), "%u of %u hosts are online, %u %s needed%s", online, m->count,
		 needed, needed == 1 ? "is" : "are",
		 witness         ? ", or half of them and the witness"
		 : m->count == 2 ? " once both have seen each other"
				 : "");
	json_object_set_new(status, "quorum_reason", json_string(text));
	json_object_set_new(status, "fencing", json_boolean(devices && enabled));
	json_object_del(status, "fence_devices");
	json_object_del(status, "fence_enabled");
}

json_t *cluster_status_new(const struct members *m)
{
	json_t *list = json_array();
	char uuid[GUID_TEXT_LEN];

	guid_format(&m->uuid, uuid);
	for (unsigned i = 0; i < m->count; i++) {
		const struct member *one = &m->member[i];
		json_t *links = json_array();

		for (unsigned k = 0; k < one->links; k++)
			json_array_append_new(links, json_pack("{s:s, s:n}", "address",
							       one->link[k], "connected"));
		json_array_append_new(list, json_pack("{s:s, s:i, s:s, s:b, s:b, s:b, s:o}", "name",
						      one->name, "id", (int)one->id, "api",
						      one->peer.name, "online", 0, "standby", 0,
						      "unclean", 0, "links", links));
	}
	return json_pack("{s:s, s:s, s:I, s:n, s:b, s:s?, s:b, s:o, s:[], s:[], s:[]}", "name",
			 m->name, "uuid", uuid, "number", (json_int_t)m->number, "coordinator",
			 "quorum", 0, "witness", m->witness[0] ? m->witness : NULL, "fencing", 0,
			 "members", list, "resources", "rungs", "coverage");
}

int cluster_status_take_engine(json_t *status, const struct members *m, const char *text,
			       size_t len, struct failure *f)
{
	static const struct xml_calls calls = {.begin = on_begin, .end = on_end};
	int r = len ? xml_parse(text, len, &calls, status, "the status of the cluster", f) : 0;

	put_words(status, m);
	return r;
}

/* ---- corosync-cfgtool -n ---- */

void cluster_status_take_links(json_t *status, const char *text)
{
	json_t *of = NULL, *one;
	unsigned id, number;
	size_t i;

	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		line += strspn(line, " \t");
		if (sscanf(line, "nodeid: %9u", &id) == 1) {
			of = NULL;
			json_array_foreach(json_object_get(status, "members"), i, one)
			{
				if (json_integer_value(json_object_get(one, "id")) == id)
					of = json_object_get(one, "links");
			}
		} else if (sscanf(line, "LINK: %9u", &number) == 1 && json_array_get(of, number)) {
			const char *end = strchr(line, '\n');
			const char *cut = strstr(line, "disconnected");

			json_object_set_new(json_array_get(of, number), "connected",
					    json_boolean(!(cut && (!end || cut < end))));
		}
	}
}

/* ---- corosync-quorumtool -s ---- */

/* A witness is the node 0 of the table, and each node's third column tells whether it has its vote
 * by it: "A,V,NMW", where N stands before what is not. */
void cluster_status_take_witness(json_t *status, const char *text)
{
	char flags[32], last[32];
	bool there = false, votes = false;

	for (const char *line = text; line; line = strchr(line, '\n')) {
		const char *end;

		line += *line == '\n';
		end = line + strcspn(line, "\n");
		if (sscanf(line, " 0 %*u %31s", last) == 1 && strcmp(last, "Qdevice") == 0)
			there = true;
		else if (sscanf(line, " %*u %*u %31s", flags) == 1 && end - line >= 7 &&
			 memcmp(end - 7, "(local)", 7) == 0)
			votes = strncmp(flags, "A,V", 3) == 0;
	}
	json_object_set_new(status, "witness_vote",
			    there ? json_string(votes ? "votes" : "lost") : json_null());
}
