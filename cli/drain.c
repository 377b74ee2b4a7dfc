/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Hosts of the cluster that are drained, and resumed. */
#include <string.h>

#include "base/util.h"
#include "cli/format.h"
#include "cli/verbs.h"

#define ABSENT "'oya cluster status' shows the hosts"

/* "/v1/cluster/members/HOST/drain" of the first operand; false: told. */
static bool drain_target(struct command_call *c, const char *query, char target[API_TARGET_MAX])
{
	char name[API_TARGET_MAX / 2];

	if (!ask_encode_name(c->operand[0], name, sizeof(name))) {
		command_refuse(c, "'%.80s' is no name of a host", c->operand[0]);
		return false;
	}
	snprintf(target, API_TARGET_MAX, "/v1/cluster/members/%s/drain%s", name, query);
	return true;
}

/* ---- the plan ---- */

static const char *words_of(const char *way)
{
	static const char *const words[][2] = {
		{"live", "live"},
		{"saved", "saved, and goes on there"},
		{"restarted", "stopped, and started there"},
		{"nowhere", "can go NOWHERE: would be stopped"},
	};

	for (size_t i = 0; way && i < ARRAY_LEN(words); i++) {
		if (strcmp(way, words[i][0]) == 0)
			return words[i][1];
	}
	return "stays: the engine leaves it alone";
}

static void print_own(struct command_call *c, const json_t *list)
{
	json_t *vm;
	size_t i;

	if (!json_is_array(list)) {
		fputs("The host's oyad does not answer: whether it has VMs that are not the "
		      "cluster's is not known.\n",
		      c->out);
		return;
	}
	json_array_foreach((json_t *)(uintptr_t)list, i, vm)
	{
		fputs(i ? ", " : "Not the cluster's, and stay: ", c->out);
		format_put(c->out, json_string_value(json_object_get(vm, "name")));
		fputs(" (", c->out);
		format_put(c->out, json_string_value(json_object_get(vm, "state")));
		fputc(')', c->out);
	}
	if (json_array_size(list))
		fputc('\n', c->out);
}

static void print_plan(struct command_call *c, const json_t *plan)
{
	static const char *const titles[] = {"VM", "TO", "HOW", NULL};
	const json_t *list = json_object_get(plan, "vms");
	struct table t;
	json_t *vm;
	size_t i;

	if (!json_array_size(list)) {
		fputs("The cluster runs no VM there.\n", c->out);
	} else {
		table_init(&t, titles);
		json_array_foreach((json_t *)(uintptr_t)list, i, vm)
		{
			table_add_json(&t, json_object_get(vm, "name"));
			table_add_json(&t, json_object_get(vm, "to"));
			table_add(&t, words_of(json_string_value(json_object_get(vm, "way"))));
		}
		table_end(&t, c->out);
	}
	print_own(c, json_object_get(plan, "stay"));
	fflush(c->out);
}

/* For people; and in a dry run, since it changes nothing. */
static bool show_plan(struct command_call *c)
{
	char target[API_TARGET_MAX];
	const struct api_request request = {.method = "GET", .target = target, .absent = ABSENT};
	const struct api as_is = c->api;
	struct api_answer answer;
	bool good;

	if (!as_is.dry && (c->json || c->no_wait))
		return true;
	if (!drain_target(c, "", target))
		return false;
	if (as_is.dry)
		c->api.told = NULL;
	c->api.dry = false;
	good = command_ask(c, &request, &answer);
	c->api = as_is;
	if (!good)
		return false;
	if (c->json)
		command_print_json(c, answer.body, false);
	else
		print_plan(c, answer.body);
	json_decref(answer.body);
	return true;
}

/* ---- verbs ---- */

static void resume(struct command_call *c, bool back)
{
	char target[API_TARGET_MAX];
	const struct api_request request = {.method = "DELETE", .target = target, .absent = ABSENT};

	if (drain_target(c, back ? "?failback=true" : "", target) &&
	    job_begin(c, &request, "resuming the host") && !c->json && !c->no_wait)
		fputs("The host takes VMs again.\n", c->out);
}

void host_drain(struct command_call *c)
{
	char target[API_TARGET_MAX];
	const struct api_request request = {.method = "POST", .target = target, .absent = ABSENT};

	if (command_value(c, "cancel"))
		resume(c, false);
	else if (drain_target(c, command_value(c, "force") ? "?force=true" : "", target) &&
		 show_plan(c) && job_begin(c, &request, "draining the host") && !c->json &&
		 !c->no_wait)
		fputs("The host is drained: the cluster runs no VM there until 'oya host "
		      "resume'.\n",
		      c->out);
}

void host_resume(struct command_call *c)
{
	const char *when = command_value(c, "failback");

	if (when && strcmp(when, "immediate") != 0 && strcmp(when, "off") != 0)
		command_refuse(c, "--failback is '%.80s', allowed are immediate and off", when);
	else
		resume(c, when && strcmp(when, "immediate") == 0);
}
