/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Verbs of virtual switches. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "cli/cli.h"
#include "cli/format.h"
#include "cli/values.h"
#include "cli/verbs.h"

#define ABSENT "'oya switch list' shows those that there are"

/* ---- list and show ---- */

/* "web db"; "-" when there are none. */
static void add_vms(struct table *t, const json_t *vms)
{
	char *text = strdup(""), *longer;
	json_t *vm;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)vms, i, vm)
	{
		const char *name = json_string_value(vm);

		if (!text || asprintf(&longer, "%s%s%s", text, i ? " " : "", name ? name : "") < 0)
			break;
		free(text);
		text = longer;
	}
	table_add(t, text && *text ? text : "-");
	free(text);
}

static void print_switches(struct command_call *c, const json_t *list)
{
	static const char *const titles[] = {"NAME",    "KIND",      "STATE", "NIC", "ADDRESS",
					     "DHCP TO", "INTERFACE", "VMS",   NULL};
	struct table t;
	json_t *one;
	size_t i;

	table_init(&t, titles);
	json_array_foreach((json_t *)(uintptr_t)list, i, one)
	{
		table_add_json(&t, json_object_get(one, "name"));
		table_add_json(&t, json_object_get(one, "kind"));
		table_add_json(&t, json_object_get(one, "state"));
		table_add_json(&t, json_object_get(one, "nic"));
		table_add_json(&t, json_object_get(one, "address"));
		table_add_json(&t, json_object_get(json_object_get(one, "dhcp"), "last"));
		table_add_json(&t, json_object_get(one, "interface"));
		add_vms(&t, json_object_get(one, "vms"));
	}
	table_end(&t, c->out);
}

static void print_list(struct command_call *c)
{
	json_t *list;

	if (!list_all(c, "switches", &list))
		return;
	if (c->json)
		command_print_json(c, list, c->watch);
	else
		print_switches(c, list);
	if (!c->json && !c->watch && !json_array_size(list))
		fputs("There is no switch yet; the first VM with a NIC makes 'default', and "
		      "'oya switch create --help' tells how to make others.\n",
		      c->err);
	json_decref(list);
}

void switch_list(struct command_call *c)
{
	list_watch(c, print_list);
}

static bool target_of(struct command_call *c, const char *what, char target[API_TARGET_MAX])
{
	char name[API_TARGET_MAX / 2];

	if (!*c->operand[0] || !ask_encode_name(c->operand[0], name, sizeof(name))) {
		command_refuse(c, "'%.80s' is no name of a switch", c->operand[0]);
		return false;
	}
	snprintf(target, API_TARGET_MAX, "/v1/switches/%s%s%s", name, *what ? "/" : "", what);
	return true;
}

static void print_one(struct command_call *c, json_t *one)
{
	json_t *list;

	if (c->json) {
		command_print_json(c, one, false);
		return;
	}
	list = json_pack("[O]", one);
	print_switches(c, list);
	json_decref(list);
}

void switch_show(struct command_call *c)
{
	char target[API_TARGET_MAX];
	const struct api_request request = {.method = "GET", .target = target, .absent = ABSENT};
	struct api_answer answer;

	if (!target_of(c, "", target) || !command_ask(c, &request, &answer))
		return;
	print_one(c, answer.body);
	json_decref(answer.body);
}

/* ---- create ---- */

static int add_texts(const struct command_call *c, json_t *config, struct failure *f)
{
	static const char *const names[] = {"kind", "nic", "address"};
	int r = value_set_text(config, "name", c->operand[0], f);

	for (size_t i = 0; r == 0 && i < ARRAY_LEN(names); i++) {
		const char *text = command_value(c, names[i]);

		if (text)
			r = value_set_text(config, names[i], text, f);
	}
	if (r == 0 && !command_value(c, "kind"))
		r = value_set_text(config, "kind", command_value(c, "nic") ? "external" : "nat", f);
	return r;
}

static int add_dhcp(const struct command_call *c, json_t *config, struct failure *f)
{
	const char *range = command_value(c, "dhcp");
	const char *dash = range ? strchr(range, '-') : NULL;
	json_t *dhcp;

	if (!range)
		return 0;
	if (strcmp(range, "off") == 0)
		dhcp = json_false();
	else if (dash)
		dhcp = json_pack("{s:s%, s:s}", "first", range, (size_t)(dash - range), "last",
				 dash + 1);
	else
		return fail(f, -EINVAL, "--dhcp is 'off' or FIRST-LAST, not '%.80s'", range);
	return json_object_set_new(config, "dhcp", dhcp) < 0
		       ? fail(f, -EINVAL, "--dhcp is not UTF-8 text")
		       : 0;
}

/* What an external switch is tried by. */
static int add_trial(const struct command_call *c, json_t *config, struct failure *f)
{
	const char *wait = command_value(c, "wait");
	json_t *trial = json_object();
	int r = wait ? value_set_number(trial, "wait_s", wait, f) : 0;

	if (command_value(c, "confirm"))
		json_object_set_new(trial, "confirm", json_true());
	if (r == 0 && json_object_size(trial))
		json_object_set(config, "trial", trial);
	json_decref(trial);
	return r;
}

/* NULL: told what is wrong. */
static json_t *config_of_options(struct command_call *c)
{
	const char *mtu = command_value(c, "mtu");
	json_t *config = json_object();
	struct failure f;
	int r = add_texts(c, config, &f);

	if (r == 0 && mtu)
		r = value_set_number(config, "mtu", mtu, &f);
	if (command_value(c, "no-host"))
		json_object_set_new(config, "host", json_false());
	if (r == 0)
		r = add_dhcp(c, config, &f);
	if (r == 0)
		r = add_trial(c, config, &f);
	if (r == 0)
		return config;
	json_decref(config);
	command_refuse(c, "%s", f.text);
	return NULL;
}

void switch_create(struct command_call *c)
{
	json_t *config = config_of_options(c);
	const char *kind = json_string_value(json_object_get(config, "kind"));
	const struct api_request request = {
		.method = "POST", .target = "/v1/switches", .body = config};
	char doing[128];
	struct api_answer answer;

	if (!config)
		return;
	snprintf(doing, sizeof(doing), "making the switch '%.64s'", c->operand[0]);
	if (strcmp(kind, "external") == 0) {
		if (job_begin(c, &request, doing) && !c->json && !c->no_wait)
			fprintf(c->out, "The switch '%s' is made, and the network answers.\n",
				c->operand[0]);
	} else if (command_ask(c, &request, &answer)) {
		if (c->json)
			command_print_json(c, answer.body, false);
		else
			fprintf(c->out,
				"The switch '%s' is made; '--net switch=%s' of 'oya vm "
				"create' gives a VM a NIC on it.\n",
				c->operand[0], c->operand[0]);
		json_decref(answer.body);
	}
	json_decref(config);
}

/* ---- delete and confirm ---- */

static void act(struct command_call *c, const char *method, const char *what, const char *done)
{
	char target[API_TARGET_MAX];
	const struct api_request request = {.method = method, .target = target, .absent = ABSENT};
	struct api_answer answer;

	if (!target_of(c, what, target) || !command_ask(c, &request, &answer))
		return;
	json_decref(answer.body);
	fprintf(c->out, "The switch '%s' %s.\n", c->operand[0], done);
}

void switch_delete(struct command_call *c)
{
	act(c, "DELETE", "", "is removed");
}

void switch_confirm(struct command_call *c)
{
	act(c, "POST", "confirm", "is kept once the network has answered");
}
