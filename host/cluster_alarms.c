/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/cluster_alarms.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define TEXT_MAX 512u

enum kind {
	NO_FENCING,
	FENCING_FAILED,
	HOST_SILENT,
	HOST_OFFLINE,
	NO_QUORUM,
	WITNESS_LOST,
	RESOURCE_BLOCKED,
	RESOURCE_FAILED,
	RESOURCE_STOPPED
};

const char *const cluster_alarm_kinds[] = {
	[NO_FENCING] = "no-fencing",
	[FENCING_FAILED] = "fencing-failed",
	[HOST_SILENT] = "host-silent",
	[HOST_OFFLINE] = "host-offline",
	[NO_QUORUM] = "no-quorum",
	[WITNESS_LOST] = "witness-lost",
	[RESOURCE_BLOCKED] = "resource-blocked",
	[RESOURCE_FAILED] = "resource-failed",
	[RESOURCE_STOPPED] = "resource-stopped",
	NULL,
};

static const char *text_of(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text ? text : "";
}

static bool is(const json_t *object, const char *name)
{
	return json_is_true(json_object_get(object, name));
}

/* `about`: a host or a resource; or "". */
__attribute__((format(printf, 4, 5))) static void add(json_t *list, enum kind kind,
						      const char *about, const char *format, ...)
{
	char text[TEXT_MAX];
	va_list args;

	if (json_array_size(list) == CLUSTER_ALARMS_MAX)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "kind", cluster_alarm_kinds[kind],
					      "about", about, "text", text));
}

static void look_at_host(json_t *list, const json_t *host)
{
	const char *name = text_of(host, "name"), *why = text_of(host, "fencing_failed");

	if (is(host, "online"))
		return;
	if (*why)
		add(list, FENCING_FAILED, name,
		    "%s could not be fenced: %.200s; what it ran starts nowhere else until it is, or "
		    "until somebody who has made sure that it is off says so ('stonith_admin "
		    "--confirm %s')",
		    name, why, name);
	else if (is(host, "unclean"))
		add(list, HOST_SILENT, name, "%s is silent and has not been fenced yet", name);
	else
		add(list, HOST_OFFLINE, name, "%s is offline", name);
}

static void look_at_resource(json_t *list, const json_t *one)
{
	const char *name = text_of(one, "name"), *host = text_of(one, "host");
	const char *problem = text_of(one, "problem");

	if (is(one, "blocked"))
		add(list, RESOURCE_BLOCKED, name,
		    "%s is blocked%s%s: the engine does nothing with it%s%.200s; 'crm_resource "
		    "--cleanup --resource %s' has it try again",
		    name, *host ? " on " : "", host, *problem ? ": " : "", problem, name);
	else if (is(one, "failed"))
		add(list, RESOURCE_FAILED, name, "%s has failed%s%s%s%.200s", name,
		    *host ? " on " : "", host, *problem ? ": " : "", problem);
	else if (strcmp(text_of(one, "state"), "Stopped") == 0 && !is(one, "stop_wanted"))
		add(list, RESOURCE_STOPPED, name, "%s runs nowhere, and is to run%s%.200s", name,
		    *problem ? ": " : "", problem);
}

json_t *cluster_alarms(const json_t *status)
{
	json_t *list = json_array(), *one;
	size_t i;

	if (!list)
		return NULL;
	if (!is(status, "quorum"))
		add(list, NO_QUORUM, "", "there is no quorum: %s; VMs do not run without one",
		    text_of(status, "quorum_reason"));
	if (!is(status, "fencing") && !*text_of(status, "fence_device_failed"))
		add(list, NO_FENCING, "",
		    "there is no fencing: VMs of a host that falls silent are not started "
		    "elsewhere");
	if (*text_of(status, "fence_device_failed"))
		add(list, FENCING_FAILED, text_of(status, "fence_device_failed"),
		    "the fence device %.100s has failed: 'crm_mon -1rf' tells why",
		    text_of(status, "fence_device_failed"));
	if (strcmp(text_of(status, "witness_vote"), "lost") == 0)
		add(list, WITNESS_LOST, "",
		    "the witness gives no vote: with the next host that is lost there may be no "
		    "quorum");
	json_array_foreach(json_object_get(status, "members"), i, one)
	{
		look_at_host(list, one);
	}
	json_array_foreach(json_object_get(status, "resources"), i, one)
	{
		look_at_resource(list, one);
	}
	return list;
}
