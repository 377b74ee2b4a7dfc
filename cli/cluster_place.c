/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Verbs of places in the cluster: VMs started where there is room, and balance; and whether it
 * survives. */
#include <string.h>

#include "cli/format.h"
#include "cli/verbs.h"

#define ABSENT "'oya cluster create' makes one, 'oya cluster join' joins one"

/* ---- survival ---- */

json_t *cluster_survival(struct command_call *c)
{
	const struct api_request request = {.method = "GET", .target = "/v1/cluster/survival"};
	struct api_answer answer = {.body = NULL};
	struct failure f;

	if (api_call(&c->api, &request, &answer, &f) < 0)
		return json_pack("{s:n, s:s, s:[]}", "survives", "reason", f.text, "losses");
	return answer.body;
}

void cluster_print_survival(struct command_call *c, const json_t *survival)
{
	const json_t *survives = json_object_get(survival, "survives");
	const char *reason = json_string_value(json_object_get(survival, "reason"));

	fputs("Survives the loss of any one host: ", c->out);
	if (json_is_true(survives))
		fputs("yes", c->out);
	else if (json_is_false(survives))
		fputs("NO: because ", c->out);
	else
		fputs("unknown: ", c->out);
	if (reason)
		format_put(c->out, reason);
	fputc('\n', c->out);
}

/* ---- VMs ---- */

static void tell(struct command_call *c, const char *what, const char *query)
{
	char name[API_TARGET_MAX / 2], target[API_TARGET_MAX];
	const struct api_request request = {.method = "POST", .target = target, .absent = ABSENT};
	struct api_answer answer;

	if (!ask_encode_name(c->operand[0], name, sizeof(name))) {
		command_refuse(c, "'%.80s' is no name of a VM", c->operand[0]);
		return;
	}
	snprintf(target, sizeof(target), "/v1/cluster/vms/%s/%s%s", name, what, query);
	if (command_ask(c, &request, &answer))
		json_decref(answer.body);
}

void cluster_start(struct command_call *c)
{
	tell(c, "start", command_value(c, "force") ? "?force=true" : "");
}

void cluster_stop(struct command_call *c)
{
	tell(c, "stop", "");
}

/* ---- balance ---- */

static void print_moves(struct command_call *c, const json_t *moves)
{
	static const char *const titles[] = {"VM", ">MEMORY", "FROM", "TO", "WHY", NULL};
	char size[FORMAT_SIZE_MAX];
	struct table t;
	json_t *one;
	size_t i;

	if (!json_array_size(moves)) {
		fputs("No move is worth it.\n", c->out);
		return;
	}
	table_init(&t, titles);
	json_array_foreach((json_t *)(uintptr_t)moves, i, one)
	{
		json_int_t mib = json_integer_value(json_object_get(one, "memory_mib"));

		table_add_json(&t, json_object_get(one, "vm"));
		format_bytes((uint64_t)mib << 20, size);
		table_add(&t, size);
		table_add_json(&t, json_object_get(one, "from"));
		table_add_json(&t, json_object_get(one, "to"));
		table_add_json(&t, json_object_get(one, "reason"));
	}
	table_end(&t, c->out);
}

/* What would move is shown in a dry run too: looking changes nothing. */
void cluster_balance(struct command_call *c)
{
	const struct api_request look = {
		.method = "GET", .target = "/v1/cluster/balance", .absent = ABSENT};
	const struct api_request request = {
		.method = "POST", .target = "/v1/cluster/balance", .absent = ABSENT};
	bool dry = c->api.dry, more;
	struct api_answer answer;

	c->api.dry = false;
	more = command_ask(c, &look, &answer);
	c->api.dry = dry;
	if (!more)
		return;
	if (c->json && dry)
		command_print_json(c, answer.body, false);
	else if (!c->json)
		print_moves(c, json_object_get(answer.body, "moves"));
	more = json_array_size(json_object_get(answer.body, "moves")) > 0 || c->json;
	json_decref(answer.body);
	if (more)
		(void)job_begin(c, &request, "balancing the cluster");
}
