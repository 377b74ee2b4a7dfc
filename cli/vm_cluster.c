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

/* "30s", "15m", "2h". False: it is none. */
static bool take_span(const char *text, json_int_t *ret_seconds)
{
	static const struct {
		char letter;
		unsigned seconds;
	} units[] = {{'s', 1}, {'m', 60}, {'h', 3600}};
	unsigned count;
	char letter, more;

	if (sscanf(text, "%6u%c%c", &count, &letter, &more) != 2)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		if (letter != units[i].letter)
			continue;
		*ret_seconds = (json_int_t)count * units[i].seconds;
		return true;
	}
	return false;
}

/* "1/15m": so many within so long. */
static int set_restart(json_t *body, const char *text, struct failure *f)
{
	json_int_t seconds;
	unsigned most;
	int len = 0;

	if (sscanf(text, "%4u/%n", &most, &len) == 1 && len && take_span(text + len, &seconds))
		return json_object_set_new(
			body, "restart",
			json_pack("{s:i, s:I}", "most", (int)most, "within", seconds));
	return fail(f, -EINVAL,
		    "--restart is '%s', not a number of times and a time, such as 1/15m", text);
}

static int set_probe(struct command_call *c, json_t *body, struct failure *f)
{
	const char *url = command_value(c, "probe"), *often = command_value(c, "probe-interval");
	const char *failures = command_value(c, "probe-failures");
	json_int_t seconds;
	json_t *probe;
	int r;

	if (!url)
		return often || failures
			       ? fail(f, -EINVAL,
				      "--probe-interval and --probe-failures need --probe")
			       : 0;
	probe = json_object();
	r = value_set_text(probe, "url", url, f);
	if (r == 0 && often && !take_span(often, &seconds))
		r = fail(f, -EINVAL, "--probe-interval is '%s', not a time such as 30s", often);
	if (r == 0 && often)
		r = json_object_set_new(probe, "interval", json_integer(seconds));
	if (r == 0 && failures)
		r = value_set_number(probe, "failures", failures, f);
	if (r == 0)
		return json_object_set_new(body, "probe", probe);
	json_decref(probe);
	return r;
}

/* False: told what is wrong. */
static bool take_options(struct command_call *c, json_t *body)
{
	static const char *const lists[] = {"preferred", "possible", "needs"};
	static const struct {
		const char *option, *key;
	} texts[] = {{"priority", "priority"},
		     {"failback", "failback"},
		     {"anti-affinity", "anti_affinity"},
		     {"prefer-apart", "prefer_apart"}};
	const char *restart = command_value(c, "restart");
	struct failure f = {"out of memory"};
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_LEN(lists); i++) {
		const char *hosts = command_value(c, lists[i]);

		if (hosts)
			r = set_hosts(body, lists[i], hosts, &f);
	}
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(texts); i++) {
		const char *text = command_value(c, texts[i].option);

		if (text)
			r = value_set_text(body, texts[i].key, text, &f);
	}
	if (r == 0 && restart)
		r = set_restart(body, restart, &f);
	if (r == 0)
		r = set_probe(c, body, &f);
	if (r == 0 && command_value(c, "quick"))
		r = json_object_set_new(body, "live", json_false());
	if (r < 0)
		command_refuse(c, "%s", f.text);
	return r == 0;
}

/* Without options: of one that is in the cluster, what is set. False: it is not in there. */
static bool show(struct command_call *c, char target[API_TARGET_MAX])
{
	const struct api_request request = {.method = "GET", .target = target, .absent = ABSENT};
	struct api_answer answer;
	bool clustered;

	if (!command_vm_target(c, "", target) || !command_ask(c, &request, &answer))
		return true;
	clustered = json_is_true(json_object_get(answer.body, "clustered"));
	json_decref(answer.body);
	if (!clustered)
		return false;
	if (command_vm_target(c, "cluster", target) && command_ask(c, &request, &answer)) {
		if (c->json)
			command_print_json(c, answer.body, false);
		else
			vm_show_place(c, answer.body);
		json_decref(answer.body);
	}
	return true;
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
	} else if ((remove || force || json_object_size(body) || !show(c, path)) &&
		   command_vm_target(c, "cluster", path)) {
		snprintf(target, sizeof(target), "%s%s", path, force ? "?force=true" : "");
		request.method = remove ? "DELETE" : "POST";
		request.body = remove ? NULL : body;
		if (command_ask(c, &request, &answer))
			json_decref(answer.body);
	}
	json_decref(body);
}
