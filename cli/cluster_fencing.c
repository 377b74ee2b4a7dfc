/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Verbs of a cluster's fencing. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cli/format.h"
#include "cli/verbs.h"

#define ABSENT "'oya cluster fencing' shows what there is"

static const char *text_of(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text ? text : "";
}

void cluster_add_fencing(struct command_call *c)
{
	json_t *list = json_array(), *body = json_pack("{s:o}", "devices", list);
	const struct api_request request = {
		.method = "POST", .target = "/v1/cluster/fencing", .body = body, .absent = ABSENT};

	for (unsigned i = 0; i < c->operands; i++)
		json_array_append_new(list, json_string(c->operand[i]));
	if (job_begin(c, &request, "letting the hosts in") && !c->json && !c->no_wait)
		fputs("Hosts can be cut off these disks; 'oya cluster test-fencing' proves it.\n",
		      c->out);
	json_decref(body);
}

/* False: told that it is no name. */
static bool put_target(struct command_call *c, const char *before, const char *after,
		       char target[API_TARGET_MAX])
{
	char name[API_TARGET_MAX / 2];

	if (!ask_encode_name(c->operand[0], name, sizeof(name))) {
		command_refuse(c, "'%.80s' is no name", c->operand[0]);
		return false;
	}
	snprintf(target, API_TARGET_MAX, "%s%s%s", before, name, after);
	return true;
}

void cluster_remove_fencing(struct command_call *c)
{
	char target[API_TARGET_MAX];
	const struct api_request request = {.method = "DELETE", .target = target, .absent = ABSENT};

	if (put_target(c, "/v1/cluster/fencing/", "", target) &&
	    job_begin(c, &request, "clearing the disks") && !c->json && !c->no_wait)
		fputs("The disks are cleared of keys.\n", c->out);
}

void cluster_test_fencing(struct command_call *c)
{
	char target[API_TARGET_MAX];
	json_t *body = json_pack("{s:b}", "power", command_value(c, "power") != NULL);
	const struct api_request request = {.method = "POST",
					    .target = target,
					    .body = body,
					    .absent = "'oya cluster status' shows the hosts"};

	if (put_target(c, "/v1/cluster/members/", "/test-fencing", target) &&
	    job_begin(c, &request, "cutting the host off") && !c->json && !c->no_wait)
		fprintf(c->out, "%s was cut off%s.\n", c->operand[0],
			command_value(c, "power") ? " and boots"
						  : ", could not write, and is let in again");
	json_decref(body);
}

/* ---- shown ---- */

static void put_proof(const json_t *tested, char text[200])
{
	time_t at = (time_t)json_integer_value(json_object_get(tested, "at"));
	char when[32] = "";
	struct tm tm;

	if (!json_is_object(tested)) {
		snprintf(text, 200, "NEVER TESTED");
		return;
	}
	if (localtime_r(&at, &tm))
		strftime(when, sizeof(when), "%Y-%m-%d %H:%M", &tm);
	if (json_is_true(json_object_get(tested, "passed")))
		snprintf(text, 200, "worked on %s at %s", when, text_of(tested, "host"));
	else
		snprintf(text, 200, "FAILED on %s at %s: %.120s", when, text_of(tested, "host"),
			 text_of(tested, "reason"));
}

static void print_rungs(struct command_call *c, const json_t *rungs)
{
	static const char *const titles[] = {"FENCING", "KIND", "AGENT", "DISKS", "TEST", NULL};
	char text[200];
	struct table t;
	json_t *one;
	size_t i;

	table_init(&t, titles);
	json_array_foreach((json_t *)(uintptr_t)rungs, i, one)
	{
		size_t disks = json_array_size(json_object_get(one, "devices"));

		table_add_json(&t, json_object_get(one, "name"));
		table_add_json(&t, json_object_get(one, "kind"));
		table_add_json(&t, json_object_get(one, "agent"));
		snprintf(text, sizeof(text), "%zu", disks);
		table_add(&t, disks ? text : "-");
		put_proof(json_object_get(one, "tested"), text);
		table_add(&t, text);
	}
	table_end(&t, c->out);
}

/* Those that nothing cuts off are told loudly: they stay where they are. */
static void print_uncovered(struct command_call *c, const json_t *coverage)
{
	json_t *one;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)coverage, i, one)
	{
		if (json_array_size(json_object_get(one, "rungs")))
			continue;
		fputs("\nNOT COVERED: ", c->out);
		format_put(c->out, text_of(one, "vm"));
		fputs(" is NOT started elsewhere when its host falls silent: ", c->out);
		format_put(c->out, text_of(one, "reason"));
		fputc('\n', c->out);
	}
}

void cluster_put_fencing(struct command_call *c, const json_t *status)
{
	const json_t *rungs = json_object_get(status, "rungs");

	if (json_array_size(rungs)) {
		fputc('\n', c->out);
		print_rungs(c, rungs);
	}
	print_uncovered(c, json_object_get(status, "coverage"));
}

static void print_coverage(struct command_call *c, const json_t *coverage)
{
	static const char *const titles[] = {"VM", "CUT OFF BY", NULL};
	struct table t;
	json_t *one;
	size_t i;

	fputc('\n', c->out);
	table_init(&t, titles);
	json_array_foreach((json_t *)(uintptr_t)coverage, i, one)
	{
		json_t *names = json_object_get(one, "rungs"), *name;
		char text[200] = "";
		size_t k, len = 0;

		json_array_foreach(names, k, name)
		{
			if (len < sizeof(text))
				len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s",
							k ? ", " : "", json_string_value(name));
		}
		table_add_json(&t, json_object_get(one, "vm"));
		table_add(&t, text[0] ? text : "NOTHING");
	}
	table_end(&t, c->out);
}

void cluster_fencing(struct command_call *c)
{
	const struct api_request request = {.method = "GET",
					    .target = "/v1/cluster",
					    .absent = "'oya cluster create' makes one"};
	struct api_answer answer;

	if (!command_ask(c, &request, &answer))
		return;
	if (c->json) {
		json_t *shown =
			json_pack("{s:O, s:O}", "rungs", json_object_get(answer.body, "rungs"),
				  "coverage", json_object_get(answer.body, "coverage"));

		command_print_json(c, shown, false);
		json_decref(shown);
	} else {
		const json_t *coverage = json_object_get(answer.body, "coverage");

		print_rungs(c, json_object_get(answer.body, "rungs"));
		if (json_array_size(coverage))
			print_coverage(c, coverage);
		print_uncovered(c, coverage);
	}
	json_decref(answer.body);
}
