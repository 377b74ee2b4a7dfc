/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A VM's place in the cluster. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "cli/cli.h"
#include "cli/values.h"
#include "cli/verbs.h"

#define ABSENT "'oya vm list' shows those that run here; ask the host that has it"

/* "a,b" as a list. */
static int set_hosts(json_t *body, const char *key, const char *text, struct failure *f)
{
	json_t *list = json_array();
	char *copy = strdup(text), *rest = copy, *name, *value;
	int r = list && copy ? 0 : -ENOMEM;

	while (r == 0 && value_next_part(&rest, &name, &value)) {
		if (value || !*name)
			r = fail(f, -EINVAL, "--%s is '%s', not names with commas between them",
				 key, text);
		else if (json_array_append_new(list, json_string(name)) < 0)
			r = fail(f, -EINVAL, "--%s is not UTF-8", key);
	}
	free(copy);
	if (r == 0)
		return json_object_set_new(body, key, list);
	json_decref(list);
	return r == -ENOMEM ? fail(f, r, "out of memory") : r;
}

/* "1/15m": so many within so long; s, m and h are units. */
static int set_restart(json_t *body, const char *text, struct failure *f)
{
	static const struct {
		char letter;
		unsigned seconds;
	} units[] = {{'s', 1}, {'m', 60}, {'h', 3600}};
	unsigned most, count;
	char letter, more;

	if (sscanf(text, "%4u/%6u%c%c", &most, &count, &letter, &more) == 3) {
		for (size_t i = 0; i < ARRAY_LEN(units); i++) {
			if (letter == units[i].letter)
				return json_object_set_new(
					body, "restart",
					json_pack("{s:i, s:I}", "most", (int)most, "within",
						  (json_int_t)count * units[i].seconds));
		}
	}
	return fail(f, -EINVAL,
		    "--restart is '%s', not a number of times and a time, such as 1/15m", text);
}

/* False: told what is wrong. */
static bool take_options(struct command_call *c, json_t *body)
{
	static const char *const lists[] = {"preferred", "possible", "needs"};
	const char *priority = command_value(c, "priority");
	const char *restart = command_value(c, "restart");
	struct failure f = {"out of memory"};
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_LEN(lists); i++) {
		const char *hosts = command_value(c, lists[i]);

		if (hosts)
			r = set_hosts(body, lists[i], hosts, &f);
	}
	if (r == 0 && priority)
		r = value_set_text(body, "priority", priority, &f);
	if (r == 0 && restart)
		r = set_restart(body, restart, &f);
	if (r == 0 && command_value(c, "failback"))
		r = json_object_set_new(body, "failback", json_true());
	if (r == 0 && command_value(c, "quick"))
		r = json_object_set_new(body, "live", json_false());
	if (r < 0)
		command_refuse(c, "%s", f.text);
	return r == 0;
}

void vm_cluster(struct command_call *c)
{
	char path[API_TARGET_MAX], target[API_TARGET_MAX + 16];
	struct api_request request = {.method = "POST", .target = target, .absent = ABSENT};
	bool force = command_value(c, "force") != NULL;
	bool remove = command_value(c, "remove") != NULL;
	json_t *body = json_object();
	struct api_answer answer;

	if (!body || !take_options(c, body)) {
		json_decref(body);
		return;
	}
	if (remove && (json_object_size(body) || force)) {
		command_refuse(c, "--remove is given alone");
	} else if (command_vm_target(c, "cluster", path)) {
		snprintf(target, sizeof(target), "%s%s", path, force ? "?force=true" : "");
		request.method = remove ? "DELETE" : "POST";
		request.body = remove ? NULL : body;
		if (command_ask(c, &request, &answer))
			json_decref(answer.body);
	}
	json_decref(body);
}
