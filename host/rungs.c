/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/rungs.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/guid.h"
#include "base/util.h"
#include "lib/xml.h"

#define MONITOR_S 60u

/* ---- decoded ---- */

struct reading {
	json_t *rungs, *vms;
	json_t *of; /* the resource that the next values are of; NULL: one that matters not */
	unsigned levels, weak; /* levels of the ladder; those that reservations alone carry */
	bool failed;           /* memory was short, or there is too much of it: it is not whole */
};

static bool is(const char **attributes, const char *name, const char *value)
{
	const char *text = xml_attribute(attributes, name);

	return text && strcmp(text, value) == 0;
}

static void on_primitive(struct reading *r, const char **attributes)
{
	const char *name = xml_attribute(attributes, "id");
	const char *type = xml_attribute(attributes, "type");
	json_t *list = NULL;

	r->of = NULL;
	if (!name || !type)
		return;
	if (is(attributes, "class", "stonith")) {
		list = r->rungs;
		r->failed |= json_array_size(list) >= RUNGS_MAX;
		r->of = json_pack("{s:s, s:s, s:s, s:[], s:s, s:n}", "name", name, "kind",
				  strcmp(type, RUNGS_AGENT) == 0 ? "reservation" : "power", "agent",
				  type, "devices", "nodes", "", "tested");
	} else if (is(attributes, "provider", "oya") && strcmp(type, "vm") == 0) {
		list = r->vms;
		r->failed |= json_array_size(list) >= RUNGS_VMS_MAX;
		r->of = json_pack("{s:s, s:s}", "name", name, "folder", "");
	}
	if (!list)
		return;
	if (r->failed) {
		json_decref(r->of);
		r->of = NULL;
	} else if (json_array_append_new(list, r->of) < 0) {
		r->of = NULL;
		r->failed = true;
	}
}

static json_t *split_devices(const char *text)
{
	json_t *list = json_array();
	const char *at = text;

	while (*at) {
		size_t len = strcspn(at, ", ");

		if (len && (json_array_size(list) == RUNGS_DEVICES_MAX ||
			    json_array_append_new(list, json_stringn(at, len)) < 0)) {
			json_decref(list);
			return NULL;
		}
		at += len + (at[len] != '\0');
	}
	return list;
}

static void put(struct reading *r, const char *name, json_t *value)
{
	r->failed |= json_object_set_new(r->of, name, value) < 0;
}

static void on_value(struct reading *r, const char **attributes)
{
	const char *name = xml_attribute(attributes, "name");
	const char *value = xml_attribute(attributes, "value");
	bool vm = r->of && json_object_get(r->of, "folder");

	if (!r->of || !name || !value)
		return;
	if (vm && strcmp(name, "folder") == 0)
		put(r, "folder", json_string(value));
	else if (!vm && strcmp(name, "devices") == 0)
		put(r, "devices", split_devices(value));
	else if (!vm && strcmp(name, "nodes") == 0)
		put(r, "nodes", json_string(value));
	else if (!vm && strcmp(name, RUNGS_TESTED) == 0)
		put(r, "tested", rungs_read_test(value));
}

static void on_level(struct reading *r, const char **attributes)
{
	const char *devices = xml_attribute(attributes, "devices");

	r->levels++;
	if (devices && strcmp(devices, RUNGS_RESERVATION) == 0)
		r->weak++;
}

static void on_begin(void *ctx, const char *path, const char **attributes)
{
	struct reading *r = ctx;

	if (xml_path_ends(path, "/primitive"))
		on_primitive(r, attributes);
	else if (xml_path_ends(path, "/primitive/instance_attributes/nvpair") ||
		 xml_path_ends(path, "/primitive/meta_attributes/nvpair"))
		on_value(r, attributes);
	else if (xml_path_ends(path, "/fencing-topology/fencing-level"))
		on_level(r, attributes);
}

static void on_end(void *ctx, const char *path, const char *text)
{
	(void)ctx;
	(void)path;
	(void)text;
}

int rungs_decode(const char *text, size_t len, json_t **ret_rungs, struct failure *f)
{
	static const struct xml_calls calls = {.begin = on_begin, .end = on_end};
	struct reading read = {.rungs = json_array(), .vms = json_array()};
	int r = xml_parse(text, len, &calls, &read, "the configuration of the cluster", f);
	json_t *root;

	if (r == 0 && read.failed)
		r = fail(f, -E2BIG,
			 "the configuration of the cluster has more than %u rungs, %u disks or %u "
			 "VMs, or memory is short",
			 RUNGS_MAX, RUNGS_DEVICES_MAX, RUNGS_VMS_MAX);
	if (r < 0) {
		json_decref(read.rungs);
		json_decref(read.vms);
		return r;
	}
	root = json_pack("{s:o, s:o, s:b}", "rungs", read.rungs, "vms", read.vms, "alone",
			 !read.levels || read.weak);
	if (!root)
		return fail(f, -ENOMEM, "cannot read the cluster's configuration: out of memory");
	*ret_rungs = root;
	return 0;
}

json_t *rungs_devices(const json_t *rungs)
{
	json_t *rung;
	size_t i;

	json_array_foreach(json_object_get(rungs, "rungs"), i, rung)
	{
		const char *name = json_string_value(json_object_get(rung, "name"));

		if (name && strcmp(name, RUNGS_RESERVATION) == 0)
			return json_object_get(rung, "devices");
	}
	return NULL;
}

bool rungs_has(const json_t *devices, const char *device)
{
	json_t *one;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)devices, i, one)
	{
		const char *name = json_string_value(one);

		if (name && strcmp(name, device) == 0)
			return true;
	}
	return false;
}

/* ---- encoded ---- */

int rungs_check_devices(const json_t *devices, struct failure *f)
{
	json_t *one;
	size_t i;

	if (json_array_size(devices) > RUNGS_DEVICES_MAX)
		return fail(f, -EINVAL, "'devices' has %zu disks, allowed are %u",
			    json_array_size(devices), RUNGS_DEVICES_MAX);
	json_array_foreach((json_t *)(uintptr_t)devices, i, one)
	{
		const char *name = json_string_value(one);

		if (!name || strlen(name) > RUNGS_DEVICE_MAX || strpbrk(name, ", \t\n<>&\"'") ||
		    (strncmp(name, "/dev/", 5) != 0 && strncmp(name, "iscsi://", 8) != 0))
			return fail(f, -EINVAL,
				    "'%.80s' of 'devices' is no disk: /dev/disk/by-id/NAME or "
				    "iscsi://HOST/TARGET/LUN",
				    name ? name : "");
	}
	return 0;
}

/* What was written to it; NULL: no memory. */
static char *finish(FILE *to, char **text)
{
	bool good = !ferror(to);

	if (fclose(to) == 0 && good)
		return *text;
	free(*text);
	return NULL;
}

char *rungs_write_devices(const json_t *devices)
{
	char *text = NULL;
	size_t len, i;
	FILE *to = open_memstream(&text, &len);
	json_t *one;

	if (!to)
		return NULL;
	json_array_foreach((json_t *)(uintptr_t)devices, i, one)
	{
		fprintf(to, "%s%s", i ? "," : "", json_string_value(one));
	}
	return finish(to, &text);
}

char *rungs_write_nodes(const struct members *m)
{
	char *text = NULL;
	size_t len;
	FILE *to = open_memstream(&text, &len);

	if (!to)
		return NULL;
	for (unsigned i = 0; i < m->count; i++)
		fprintf(to, "%s%s:%u", i ? ";" : "", m->member[i].name, m->member[i].id);
	return finish(to, &text);
}

static void put_pair(FILE *to, const char *name, const char *value)
{
	fprintf(to, "<nvpair id=\"" RUNGS_RESERVATION "-%s\" name=\"%s\" value=\"%s\"/>", name,
		name, value);
}

char *rungs_encode(const struct members *m, const json_t *devices)
{
	char uuid[GUID_TEXT_LEN], *text = NULL;
	char *disks = rungs_write_devices(devices), *nodes = rungs_write_nodes(m);
	size_t len;
	FILE *to = disks && nodes ? open_memstream(&text, &len) : NULL;

	if (to) {
		guid_format(&m->uuid, uuid);
		fputs("<cib><configuration><resources><primitive id=\"" RUNGS_RESERVATION
		      "\" class=\"stonith\" type=\"" RUNGS_AGENT
		      "\"><instance_attributes id=\"" RUNGS_RESERVATION "-options\">",
		      to);
		put_pair(to, "devices", disks);
		put_pair(to, "cluster", uuid);
		put_pair(to, "nodes", nodes);
		put_pair(to, "pcmk_reboot_action", "off");
		fprintf(to,
			"</instance_attributes><operations><op id=\"" RUNGS_RESERVATION
			"-monitor\" name=\"monitor\" interval=\"%us\" timeout=\"%us\"/>"
			"</operations></primitive></resources></configuration></cib>",
			MONITOR_S, MONITOR_S);
		text = finish(to, &text);
	}
	free(disks);
	free(nodes);
	return text;
}

/* ---- what a test has shown ---- */

int rungs_write_test(char *text, size_t room, int64_t at_s, const char *host, const char *reason)
{
	return snprintf(text, room, "%" PRId64 " %s %s", at_s, host, reason ? reason : "passed") <
			       (int)room
		       ? 0
		       : -E2BIG;
}

json_t *rungs_read_test(const char *text)
{
	char host[MEMBERS_NAME_MAX + 1];
	long long at;
	int used = 0;
	bool passed;

	if (sscanf(text, "%19lld %64[A-Za-z0-9._-] %n", &at, host, &used) != 2 || !used || at < 0)
		return json_null();
	passed = strcmp(text + used, "passed") == 0;
	return json_pack("{s:I, s:s, s:b, s:s?}", "at", (json_int_t)at, "host", host, "passed",
			 passed, "reason", passed ? NULL : text + used);
}
