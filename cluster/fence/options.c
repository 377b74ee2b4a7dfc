/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cluster/fence/options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

#define TIMEOUT_S 5u
#define TIMEOUT_MAX_S 300u

void options_init(struct options *o)
{
	*o = (struct options){.action = "off", .timeout_s = TIMEOUT_S};
}

static int put(char *to, size_t room, const char *name, const char *value, struct failure *f)
{
	size_t len = strlen(value);

	if (len == 0 || len >= room)
		return fail(f, -EINVAL,
			    "cannot use %s: it has %zu characters, 1 to %zu are possible", name,
			    len, room - 1);
	memcpy(to, value, len + 1);
	return 0;
}

static int number_of(const char *name, const char *value, unsigned max, unsigned *ret,
		     struct failure *f)
{
	char *end;
	unsigned long n;

	errno = 0;
	n = strtoul(value, &end, 10);
	if (errno || *value < '0' || *value > '9' || *end || n < 1 || n > max)
		return fail(f, -EINVAL, "cannot use %s: \"%.64s\" is no number from 1 to %u", name,
			    value, max);
	*ret = (unsigned)n;
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* In one order on all hosts: of two that cut each other off, the first device decides. */
static int set_devices(struct options *o, char *list, struct failure *f)
{
	char *rest = list, *one;

	o->devices = 0;
	while ((one = strsep(&rest, ", "))) {
		if (!*one)
			continue;
		if (o->devices == OPTIONS_DEVICES_MAX)
			return fail(f, -EINVAL, "cannot use devices: there are more than %u",
				    OPTIONS_DEVICES_MAX);
		if (put(o->device[o->devices], UNIT_NAME_MAX, "devices", one, f) < 0)
			return -EINVAL;
		o->devices++;
	}
	qsort(o->device, o->devices, sizeof(o->device[0]), by_name);
	return 0;
}

static int set_nodes(struct options *o, char *list, struct failure *f)
{
	char *rest = list, *one;

	o->nodes = 0;
	while ((one = strsep(&rest, ";, "))) {
		struct options_node *n = &o->node[o->nodes];
		char *number = strrchr(one, ':');

		if (!*one)
			continue;
		if (!number || o->nodes == OPTIONS_NODES_MAX)
			return fail(
				f, -EINVAL,
				"cannot use nodes: up to %u of the form NAME:NUMBER are possible",
				OPTIONS_NODES_MAX);
		*number++ = '\0';
		if (put(n->name, sizeof(n->name), "nodes", one, f) < 0 ||
		    number_of("nodes", number, RESERVATION_NODE_MAX, &n->number, f) < 0)
			return -EINVAL;
		for (unsigned i = 0; i < o->nodes; i++)
			if (o->node[i].number == n->number || strcmp(o->node[i].name, n->name) == 0)
				return fail(f, -EINVAL,
					    "cannot use nodes: %s and %s have one name or number",
					    o->node[i].name, n->name);
		o->nodes++;
	}
	return 0;
}

int options_set(struct options *o, const char *name, const char *value, struct failure *f)
{
	const struct {
		const char *name;
		char *to;
		size_t room;
	} texts[] = {
		{"action", o->action, sizeof(o->action)},
		{"option", o->action, sizeof(o->action)},
		{"plug", o->plug, sizeof(o->plug)},
		{"port", o->plug, sizeof(o->plug)},
		{"nodename", o->nodename, sizeof(o->nodename)},
		{"self", o->self, sizeof(o->self)},
		{"initiator", o->initiator, sizeof(o->initiator)},
	};
	char list[OPTIONS_VALUE_MAX];

	for (unsigned i = 0; i < ARRAY_LEN(texts); i++)
		if (strcmp(name, texts[i].name) == 0)
			return put(texts[i].to, texts[i].room, name, value, f);
	if (strcmp(name, "timeout") == 0)
		return number_of(name, value, TIMEOUT_MAX_S, &o->timeout_s, f);
	if (strcmp(name, "cluster") == 0) {
		if (guid_parse(value, &o->cluster) < 0)
			return fail(f, -EINVAL, "cannot use cluster: it is no UUID");
		o->has_cluster = true;
		return 0;
	}
	if (strcmp(name, "devices") != 0 && strcmp(name, "nodes") != 0)
		return fail(f, -ENOENT, "there is no option \"%.64s\"", name);
	if (put(list, sizeof(list), name, value, f) < 0)
		return -EINVAL;
	return *name == 'd' ? set_devices(o, list, f) : set_nodes(o, list, f);
}

int options_read(struct options *o, char *text, struct failure *f)
{
	char *line;

	while ((line = strsep(&text, "\n"))) {
		char *value = strchr(line, '=');
		int r;

		if (*line == '#' || !value)
			continue;
		*value++ = '\0';
		r = options_set(o, line, value, f);
		if (r < 0 && r != -ENOENT)
			return r;
	}
	return 0;
}

int options_number(const struct options *o, const char *node, unsigned *ret, struct failure *f)
{
	for (unsigned i = 0; i < o->nodes; i++) {
		if (strcmp(o->node[i].name, node) == 0) {
			*ret = o->node[i].number;
			return 0;
		}
	}
	if (number_of("the host", node, RESERVATION_NODE_MAX, ret, f) < 0)
		return fail(f, -EINVAL, "the host \"%.64s\" is not among the option nodes", node);
	return 0;
}

int options_check(const struct options *o, struct failure *f)
{
	if (!o->devices)
		return fail(f, -EINVAL,
			    "no devices: the option devices names those to be fenced at");
	if (!o->has_cluster)
		return fail(f, -EINVAL, "no cluster: the option cluster has its UUID");
	return 0;
}
