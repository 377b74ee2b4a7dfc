/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Verbs of tokens. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/format.h"
#include "cli/verbs.h"

static void add_names(struct table *t, const json_t *vms)
{
	char text[256] = "";
	json_t *name;
	size_t i, len = 0;

	json_array_foreach((json_t *)(uintptr_t)vms, i, name)
	{
		if (len < sizeof(text))
			len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s",
						i ? "," : "", json_string_value(name));
	}
	table_add(t, json_is_array(vms) ? text : "all");
}

static void add_end(struct table *t, const json_t *value)
{
	time_t at = (time_t)json_integer_value(value);

	table_add_time(t, value);
	table_add(t, at <= time(NULL) ? "expired" : "valid");
}

static void print_tokens(struct command_call *c, json_t *list)
{
	static const char *const titles[] = {"NAME",    "ROLE",  "VMS", "CREATED",
					     "EXPIRES", "STATE", NULL};
	struct table t;
	json_t *token;
	size_t i;

	table_init(&t, titles);
	json_array_foreach(list, i, token)
	{
		table_add_json(&t, json_object_get(token, "name"));
		table_add_json(&t, json_object_get(token, "role"));
		add_names(&t, json_object_get(token, "vms"));
		table_add_time(&t, json_object_get(token, "created"));
		add_end(&t, json_object_get(token, "expires"));
	}
	table_end(&t, c->out);
}

void token_list(struct command_call *c)
{
	json_t *list;

	if (!list_all(c, "tokens", &list))
		return;
	if (c->json)
		command_print_json(c, list, false);
	else
		print_tokens(c, list);
	json_decref(list);
}

/* NULL: told what is wrong. */
static json_t *body_of_options(struct command_call *c)
{
	const char *role = command_value(c, "role"), *days = command_value(c, "days"), *vm;
	json_t *vms = json_array(), *body;
	unsigned at = 0;

	if (days && (!*days || strlen(days) > 9 || days[strspn(days, "0123456789")])) {
		command_refuse(c, "'%.80s' is no number of days", days);
		json_decref(vms);
		return NULL;
	}
	while ((vm = command_next_value(c, "vm", &at)))
		json_array_append_new(vms, json_string(vm));
	body = json_pack("{s:s, s:s}", "name", c->operand[0], "role", role ? role : "reader");
	if (json_array_size(vms))
		json_object_set(body, "vms", vms);
	if (days)
		json_object_set_new(body, "days", json_integer(atoi(days)));
	json_decref(vms);
	if (!body)
		command_refuse(c, "'%.80s' is no name of a token", c->operand[0]);
	return body;
}

void token_create(struct command_call *c)
{
	json_t *body = body_of_options(c);
	const struct api_request request = {.method = "POST", .target = "/v1/tokens", .body = body};
	struct api_answer answer;
	const char *token;

	if (!body)
		return;
	if (command_ask(c, &request, &answer)) {
		token = json_string_value(json_object_get(answer.body, "token"));
		if (c->json) {
			command_print_json(c, answer.body, false);
		} else {
			format_put(c->out, token ? token : "-");
			fputc('\n', c->out);
		}
		json_decref(answer.body);
	}
	json_decref(body);
}

void token_delete(struct command_call *c)
{
	char name[API_TARGET_MAX / 2], target[API_TARGET_MAX];
	const struct api_request request = {.method = "DELETE",
					    .target = target,
					    .absent =
						    "'oya token list' shows those that there are"};
	struct api_answer answer;

	if (!ask_encode_name(c->operand[0], name, sizeof(name))) {
		command_refuse(c, "'%.80s' is no name of a token", c->operand[0]);
		return;
	}
	snprintf(target, sizeof(target), "/v1/tokens/%s", name);
	if (command_ask(c, &request, &answer))
		json_decref(answer.body);
}
