/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The host itself, and what happens on it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "cli/format.h"
#include "cli/remote.h"
#include "cli/verbs.h"
#include "lib/processor.h"

void host_show(struct command_call *c)
{
	static const struct {
		const char *label, *name;
	} lines[] = {
		{"Name:", "name"},     {"UUID:", "uuid"},       {"Oya:", "version"},
		{"Kernel:", "kernel"}, {"Processors:", "cpus"}, {"VMs:", "vms"},
	};
	const char *certificate;
	const struct api_request request = {.method = "GET", .target = "/v1/host"};
	struct api_answer answer;
	char text[FORMAT_SIZE_MAX];

	if (!command_ask(c, &request, &answer))
		return;
	if (c->json) {
		command_print_json(c, answer.body, false);
		json_decref(answer.body);
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		const json_t *value = json_object_get(answer.body, lines[i].name);
		const char *words = json_string_value(value);

		fprintf(c->out, "%-12s ", lines[i].label);
		if (json_is_integer(value))
			fprintf(c->out, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
		else
			format_put(c->out, words ? words : "-");
		fputc('\n', c->out);
	}
	format_bytes((uint64_t)json_integer_value(json_object_get(answer.body, "memory_bytes")),
		     text);
	fprintf(c->out, "%-12s %s\n", "Memory:", text);
	certificate = json_string_value(json_object_get(answer.body, "certificate"));
	if (certificate) {
		fprintf(c->out, "%-12s SHA256 ", "Certificate:");
		format_put(c->out, certificate);
		fputc('\n', c->out);
	}
	json_decref(answer.body);
}

/* ---- its processor ---- */

static int read_description(const char *path, struct processor *ret, struct failure *f)
{
	json_error_t error;
	json_t *object = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
	int r;

	if (!object)
		return fail(f, -EINVAL, "cannot read the processor of %s: %s", path, error.text);
	r = processor_decode(path, object, ret, f);
	json_decref(object);
	return r;
}

static void print_common(struct command_call *c)
{
	struct processor all, one;
	struct failure f;
	json_t *object;
	int r = read_description(c->operand[0], &all, &f);

	for (unsigned i = 1; r == 0 && i < c->operands; i++) {
		r = read_description(c->operand[i], &one, &f);
		if (r == 0)
			r = processor_intersect(&all, &one, &f);
	}
	if (r < 0) {
		command_fail(c, &f);
		return;
	}
	object = processor_encode(&all);
	command_print_json(c, object, false);
	json_decref(object);
}

void host_processor(struct command_call *c)
{
	const struct api_request request = {.method = "GET", .target = "/v1/host/processor"};
	struct api_answer answer;

	if (c->operands) {
		print_common(c);
	} else if (command_ask(c, &request, &answer)) {
		command_print_json(c, answer.body, false);
		json_decref(answer.body);
	}
}

/* ---- other hosts ---- */

/* It is the one that the user has named. */
static int compare(const struct peer *host, const char *found, const char *wanted,
		   struct failure *f)
{
	if (strcmp(found, wanted) == 0)
		return hosts_pin(host, found, f);
	return fail(f, -EPERM, "the certificate of %s has another fingerprint: SHA256 %s",
		    host->name, found);
}

void host_trust(struct command_call *c)
{
	const char *given = command_value(c, "fingerprint");
	char wanted[PEER_FINGERPRINT_LEN + 1], found[PEER_FINGERPRINT_LEN + 1];
	struct peer host;
	struct failure f;
	int r;

	if (given && !peer_decode_fingerprint(given, wanted)) {
		command_refuse(c, "'%.80s' is no fingerprint of 64 hexadecimal digits", given);
		return;
	}
	r = hosts_find(c->operand[0], &host, &f);
	if (r == 0 && c->api.dry) {
		fprintf(c->out, "hosts.json: the fingerprint of %s\n", host.name);
		return;
	}
	if (r == 0)
		r = remote_look(&host, found, &f);
	if (r == 0)
		r = given ? compare(&host, found, wanted, &f) : remote_ask_trust(&host, found, &f);
	if (r < 0)
		command_fail(c, &f);
}

void host_stop_vms(struct command_call *c)
{
	const struct api_request request = {.method = "POST", .target = "/v1/host/stop-vms"};

	if (job_begin(c, &request, "stopping the VMs of this host") && !c->json && !c->no_wait)
		fputs("All VMs of this host are off.\n", c->out);
}

/* ---- events ---- */

/* A word about what the data are about. */
static void put_member(struct command_call *c, const char *before, const json_t *data,
		       const char *name)
{
	const char *text = json_string_value(json_object_get(data, name));

	if (!text || !*text)
		return;
	fputs(before, c->out);
	format_put(c->out, text);
}

static void print_event(struct command_call *c, const struct api_event *event)
{
	json_t *data = json_loads(event->data, JSON_DECODE_ANY, NULL);

	if (c->json) {
		json_t *all = json_pack("{s:s, s:s, s:o?}", "id", event->id, "event", event->type,
					"data", json_incref(data));

		command_print_json(c, all, true);
		json_decref(all);
	} else {
		format_put(c->out, event->id);
		fputs("  ", c->out);
		format_put(c->out, event->type);
		put_member(c, " ", data, "name");
		put_member(c, " ", data, "what");
		put_member(c, " of ", data, "vm");
		put_member(c, ": ", data, "state");
		put_member(c, ": ", data, "problem");
		fputc('\n', c->out);
		fflush(c->out);
	}
	json_decref(data);
}

void events_follow(struct command_call *c)
{
	const char *after = command_value(c, "after");
	struct api_events events;
	struct api_event event;
	struct failure f;
	int r;

	if (after && (!*after || after[strspn(after, "0123456789")] || strlen(after) > 20)) {
		command_refuse(c, "'%.80s' is no number of an event", after);
		return;
	}
	r = api_listen(&c->api, after, &events, &f);
	while (r >= 0 && !c->api.dry) {
		r = api_next_event(&events, -1, &event, &f);
		if (r > 0)
			print_event(c, &event);
	}
	if (r < 0)
		command_fail(c, &f);
	api_events_done(&events);
}
