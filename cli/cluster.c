/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Verbs of the cluster: set up, joined, left, shown. */
#include <string.h>
#include <time.h>

#include "cli/format.h"
#include "cli/verbs.h"

#define ABSENT "'oya cluster create' makes one, 'oya cluster join' joins one"
#define DOING_MAX 160

/* A body with the option --link. */
static json_t *body_of(const struct command_call *c, const char *key, const char *value)
{
	json_t *links = json_array(), *body = json_pack("{s:s}", key, value);
	const char *link;
	unsigned at = 0;

	while ((link = command_next_value(c, "link", &at)))
		json_array_append_new(links, json_string(link));
	if (json_array_size(links))
		json_object_set(body, "links", links);
	json_decref(links);
	return body;
}

/* Makes a token for the next host, and prints it. */
static void print_token(struct command_call *c)
{
	const struct api_request request = {.method = "POST", .target = "/v1/cluster/tokens"};
	struct api_answer answer;
	const char *token;

	if (!command_ask(c, &request, &answer))
		return;
	token = json_string_value(json_object_get(answer.body, "token"));
	if (c->json) {
		command_print_json(c, answer.body, false);
	} else {
		fputs("On the next host, within an hour, once:\n  oya cluster join ", c->out);
		format_put(c->out, token ? token : "-");
		fputc('\n', c->out);
	}
	json_decref(answer.body);
}

void cluster_token(struct command_call *c)
{
	print_token(c);
}

void cluster_create(struct command_call *c)
{
	json_t *body = body_of(c, "name", c->operand[0]), *job = NULL;
	const struct api_request request = {
		.method = "POST", .target = "/v1/cluster", .body = body};

	if (!body) {
		command_refuse(c, "'%.80s' is no name of a cluster", c->operand[0]);
		return;
	}
	if (job_begin_for(c, &request, "making the cluster", &job) && !c->no_wait) {
		if (!c->json)
			fprintf(c->out,
				"This host is the first of the cluster '%s'.\n"
				"It has NO FENCING yet: it will not restart VMs of a host that "
				"falls silent.\n",
				c->operand[0]);
		print_token(c);
	}
	json_decref(job);
	json_decref(body);
}

void cluster_join(struct command_call *c)
{
	json_t *body = body_of(c, "token", c->operand[0]);
	const struct api_request request = {
		.method = "POST", .target = "/v1/cluster/join", .body = body, .hidden = "token"};

	if (!body)
		command_refuse(c, "this is no token of a cluster");
	else if (job_begin(c, &request, "joining the cluster") && !c->json && !c->no_wait)
		fputs("This host is a member of the cluster.\n", c->out);
	json_decref(body);
}

static void forced(const struct command_call *c, const char *path, char target[API_TARGET_MAX])
{
	snprintf(target, API_TARGET_MAX, "%s%s", path,
		 command_value(c, "force") ? "?force=true" : "");
}

static void take_out(struct command_call *c, const char *host, const char *doing, const char *done)
{
	char name[API_TARGET_MAX / 2], path[API_TARGET_MAX - 16], target[API_TARGET_MAX];
	const struct api_request request = {.method = "DELETE",
					    .target = target,
					    .absent = "'oya cluster status' shows the hosts"};

	if (!ask_encode_name(host, name, sizeof(name))) {
		command_refuse(c, "'%.80s' is no name of a host", host);
		return;
	}
	snprintf(path, sizeof(path), "/v1/cluster/members/%s", name);
	forced(c, path, target);
	if (job_begin(c, &request, doing) && !c->json && !c->no_wait)
		fputs(done, c->out);
}

void cluster_remove(struct command_call *c)
{
	take_out(c, c->operand[0], "removing the host", "The host is no member any more.\n");
}

void cluster_leave(struct command_call *c)
{
	const struct api_request request = {.method = "GET", .target = "/v1/host"};
	struct api_answer answer;
	const char *name;

	if (!command_ask(c, &request, &answer))
		return;
	name = json_string_value(json_object_get(answer.body, "name"));
	take_out(c, name ? name : "", "leaving the cluster", "This host is in no cluster.\n");
	json_decref(answer.body);
}

void cluster_destroy(struct command_call *c)
{
	char target[API_TARGET_MAX];
	const struct api_request request = {.method = "DELETE", .target = target, .absent = ABSENT};

	forced(c, "/v1/cluster", target);
	if (job_begin(c, &request, "ending the cluster") && !c->json && !c->no_wait)
		fputs("The cluster is no more; VMs and their disks stay.\n", c->out);
}

void cluster_witness(struct command_call *c)
{
	bool none = strcmp(c->operand[0], "none") == 0;
	json_t *body = NULL;
	struct api_request request = {.method = none ? "DELETE" : "PUT",
				      .target = "/v1/cluster/witness",
				      .absent = ABSENT};

	if (c->operands != (none ? 1 : 2)) {
		command_refuse(c, "a witness is 'disk PATH', 'share PATH' or 'none'");
		return;
	}
	if (!none)
		body = json_pack("{s:s, s:s}", "kind", c->operand[0], "path", c->operand[1]);
	request.body = body;
	if (!none && !body)
		command_refuse(c, "'%.80s' is no path", c->operand[1]);
	else if (job_begin(c, &request, "setting the witness") && !c->json && !c->no_wait)
		fputs(none ? "The cluster has no witness.\n" : "The cluster has a witness.\n",
		      c->out);
	json_decref(body);
}

/* ---- status ---- */

static void put_links(struct table *t, const json_t *links)
{
	char text[160] = "";
	json_t *one;
	size_t i, len = 0;

	json_array_foreach((json_t *)(uintptr_t)links, i, one)
	{
		const json_t *connected = json_object_get(one, "connected");

		if (len < sizeof(text))
			len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s%s",
						i ? ", " : "",
						json_string_value(json_object_get(one, "address")),
						json_is_false(connected) ? " (CUT)" : "");
	}
	table_add(t, text);
}

static void print_hosts(struct command_call *c, const json_t *list)
{
	static const char *const titles[] = {"HOST", "STATE", "LINKS", "API", NULL};
	struct table t;
	json_t *one;
	size_t i;

	table_init(&t, titles);
	json_array_foreach((json_t *)(uintptr_t)list, i, one)
	{
		bool online = json_is_true(json_object_get(one, "online"));

		table_add_json(&t, json_object_get(one, "name"));
		table_add(&t, json_is_true(json_object_get(one, "unclean"))   ? "silent, not fenced"
			      : !online                                       ? "offline"
			      : json_is_true(json_object_get(one, "standby")) ? "drained"
									      : "online");
		put_links(&t, json_object_get(one, "links"));
		table_add_json(&t, json_object_get(one, "api"));
	}
	table_end(&t, c->out);
}

static void print_resources(struct command_call *c, const json_t *list)
{
	static const char *const titles[] = {"RESOURCE", "STATE", "HOST", "AGENT", NULL};
	struct table t;
	json_t *one;
	size_t i;

	if (!json_array_size(list))
		return;
	fputc('\n', c->out);
	table_init(&t, titles);
	json_array_foreach((json_t *)(uintptr_t)list, i, one)
	{
		const char *host = json_string_value(json_object_get(one, "host"));

		table_add_json(&t, json_object_get(one, "name"));
		if (json_is_true(json_object_get(one, "failed")))
			table_add(&t, "failed");
		else
			table_add_json(&t, json_object_get(one, "state"));
		table_add(&t, host ? host : "-");
		table_add_json(&t, json_object_get(one, "agent"));
	}
	table_end(&t, c->out);
}

static void put_line(struct command_call *c, const char *label, const char *words)
{
	fprintf(c->out, "%-12s ", label);
	format_put(c->out, words ? words : "-");
	fputc('\n', c->out);
}

static void print_alarms(struct command_call *c, const json_t *list)
{
	json_t *one;
	size_t i;

	if (json_array_size(list))
		fputs("\nAlarms:\n", c->out);
	json_array_foreach((json_t *)(uintptr_t)list, i, one)
	{
		const char *text = json_string_value(json_object_get(one, "text"));

		fputs("  ", c->out);
		format_put(c->out, text ? text : "-");
		fputc('\n', c->out);
	}
}

static void print_status(struct command_call *c, const json_t *s, const json_t *survival)
{
	char text[256];

	put_line(c, "Cluster:", json_string_value(json_object_get(s, "name")));
	snprintf(text, sizeof(text), "%s: %s",
		 json_is_true(json_object_get(s, "quorum")) ? "yes" : "NO",
		 json_string_value(json_object_get(s, "quorum_reason")));
	put_line(c, "Quorum:", text);
	put_line(c, "Witness:", json_string_value(json_object_get(s, "witness")));
	put_line(c, "Coordinator:", json_string_value(json_object_get(s, "coordinator")));
	snprintf(text, sizeof(text), "%s: VMs of a host that falls silent are NOT restarted",
		 json_array_size(json_object_get(s, "rungs")) ? "DOES NOT WORK" : "NONE");
	put_line(c, "Fencing:", json_is_true(json_object_get(s, "fencing")) ? "configured" : text);
	cluster_print_survival(c, survival);
	fputc('\n', c->out);
	print_hosts(c, json_object_get(s, "members"));
	print_resources(c, json_object_get(s, "resources"));
	cluster_put_fencing(c, s);
	print_alarms(c, json_object_get(s, "alarms"));
}

void cluster_status(struct command_call *c)
{
	const struct api_request request = {
		.method = "GET", .target = "/v1/cluster", .absent = ABSENT};
	struct api_answer answer;
	json_t *survival;

	if (!command_ask(c, &request, &answer))
		return;
	survival = cluster_survival(c);
	if (c->json) {
		json_object_set(answer.body, "survival", survival);
		command_print_json(c, answer.body, false);
	} else {
		print_status(c, answer.body, survival);
	}
	json_decref(survival);
	json_decref(answer.body);
}
