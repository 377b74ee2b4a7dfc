/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One VM in full, and its counters. */
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "cli/cli.h"
#include "cli/format.h"
#include "cli/verbs.h"

#define ABSENT "'oya vm list' shows those that there are"
#define LABEL_WIDTH 12

/* ---- show ---- */

static void put_label(struct command_call *c, const char *label)
{
	fprintf(c->out, "%-*s ", LABEL_WIDTH, label);
}

/* A line "Label:  text"; none when there is no text. */
static void put(struct command_call *c, const char *label, const char *text)
{
	if (!text || !*text)
		return;
	put_label(c, label);
	format_put(c->out, text);
	fputc('\n', c->out);
}

static void put_member(struct command_call *c, const char *label, const json_t *obj,
		       const char *name)
{
	const json_t *value = json_object_get(obj, name);
	char text[32];

	if (json_is_integer(value)) {
		snprintf(text, sizeof(text), "%" JSON_INTEGER_FORMAT, json_integer_value(value));
		put(c, label, text);
	} else {
		put(c, label, json_string_value(value));
	}
}

/* The parts of an object as "name=value ...", in one line. */
static void put_object(struct command_call *c, const char *label, const json_t *obj)
{
	const char *name, *before = "";
	json_t *value;

	if (!json_object_size(obj))
		return;
	put_label(c, label);
	json_object_foreach((json_t *)(uintptr_t)obj, name, value)
	{
		char *text = json_is_string(value) ? NULL : json_dumps(value, JSON_ENCODE_ANY);

		fputs(before, c->out);
		format_put(c->out, name);
		fputc('=', c->out);
		format_put(c->out, text ? text : json_string_value(value));
		before = " ";
		free(text);
	}
	fputc('\n', c->out);
}

static void put_list(struct command_call *c, const char *label, const json_t *list)
{
	json_t *member;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)list, i, member)
	{
		put_object(c, i == 0 ? label : "", member);
	}
}

static void put_texts(struct command_call *c, const char *label, const json_t *texts)
{
	json_t *text;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)texts, i, text)
	{
		put(c, i == 0 ? label : "", json_string_value(text));
	}
}

static void put_memory(struct command_call *c, const json_t *mib)
{
	char text[FORMAT_SIZE_MAX];

	format_bytes((uint64_t)(json_is_integer(mib) ? json_integer_value(mib) : 1024) << 20, text);
	put(c, "Memory:", text);
}

static void put_settings(struct command_call *c, const json_t *settings)
{
	if (json_object_get(settings, "cpus"))
		put_member(c, "Processors:", settings, "cpus");
	else
		put(c, "Processors:", "1");
	put_memory(c, json_object_get(settings, "memory_mib"));
	put_object(c, "Boots:", json_object_get(settings, "boot"));
	put_list(c, "Disks:", json_object_get(settings, "disks"));
	put_list(c, "NICs:", json_object_get(settings, "nics"));
	put_object(c, "Starts:", json_object_get(settings, "start"));
	put_object(c, "Stops:", json_object_get(settings, "stop"));
	put_object(c, "Crashes:", json_object_get(settings, "crash"));
	put_object(c, "Moves:", json_object_get(settings, "migration"));
	put_object(c, "Limits:", json_object_get(settings, "limits"));
	put_member(c, "Notes:", settings, "notes");
	put_texts(c, "Tags:", json_object_get(settings, "tags"));
}

static void put_status(struct command_call *c, const json_t *status)
{
	const json_t *services = json_object_get(status, "integration");

	put_member(c, "Reason:", status, "reason");
	put_member(c, "VMBus:", status, "vmbus");
	put_member(c, "Heartbeat:", json_object_get(services, "heartbeat"), "state");
	put_member(c, "Guest crash:", status, "crash");
}

static void put_guest(struct command_call *c, const json_t *guest)
{
	const char *name;
	json_t *value;

	if (!json_object_size(guest))
		return;
	fputs("The guest tells:\n", c->out);
	json_object_foreach((json_t *)(uintptr_t)guest, name, value)
	{
		const char *text = json_string_value(value);

		fputs("  ", c->out);
		format_put(c->out, name);
		fputs(": ", c->out);
		format_put(c->out, text ? text : "");
		fputc('\n', c->out);
	}
}

/* What the path leads to; NULL: told, or a dry run. */
static json_t *get(struct command_call *c, const char *what)
{
	char target[API_TARGET_MAX];
	const struct api_request request = {.method = "GET", .target = target, .absent = ABSENT};
	struct api_answer answer;

	if (!command_vm_target(c, what, target) || !command_ask(c, &request, &answer))
		return NULL;
	return answer.body;
}

void vm_show(struct command_call *c)
{
	json_t *vm = get(c, "");

	if (vm && c->json) {
		command_print_json(c, vm, false);
	} else if (vm) {
		put_member(c, "Name:", vm, "name");
		put_member(c, "State:", vm, "state");
		put_member(c, "Problem:", vm, "problem");
		if (json_is_true(json_object_get(vm, "clustered")))
			put(c, "Cluster:", "decides where it runs");
		put_member(c, "UUID:", vm, "uuid");
		put_member(c, "Version:", vm, "version");
		put_settings(c, json_object_get(vm, "settings"));
		put_status(c, json_object_get(vm, "status"));
		put_guest(c, json_object_get(vm, "guest"));
	}
	json_decref(vm);
}

void vm_show_place(struct command_call *c, const json_t *place)
{
	const json_t *live = json_object_get(place, "live");

	put_texts(c, "Preferred:", json_object_get(place, "preferred"));
	put_texts(c, "Possible:", json_object_get(place, "possible"));
	put_member(c, "Priority:", place, "priority");
	put_object(c, "Restarts:", json_object_get(place, "restart"));
	put_member(c, "Failback:", place, "failback");
	put(c, "Moves:", !live ? NULL : json_is_true(live) ? "live" : "quick");
	put_member(c, "Group:", place, "anti_affinity");
	put_member(c, "Rather:", place, "prefer_apart");
	put_texts(c, "Apart from:", json_object_get(place, "apart_from"));
	put_object(c, "Probe:", json_object_get(place, "probe"));
	put_texts(c, "Also set:", json_object_get(place, "others"));
}

/* ---- counters ---- */

/* A table of one list of counters: the members of its objects by name. */
struct counters {
	const char *title, *member;
	const char *const *titles, *const *names;
};

static void print_counters(struct command_call *c, const json_t *all, const struct counters *k)
{
	const json_t *list = json_object_get(all, k->member);
	struct table t;
	json_t *row;
	size_t i;

	if (!json_array_size(list))
		return;
	fprintf(c->out, "\n%s\n", k->title);
	table_init(&t, k->titles);
	json_array_foreach((json_t *)(uintptr_t)list, i, row)
	{
		for (size_t n = 0; k->names[n]; n++)
			table_add_json(&t, json_object_get(row, k->names[n]));
	}
	table_end(&t, c->out);
}

static void print_processors(struct command_call *c, const json_t *sums)
{
	static const char *const titles[] = {">EXITS",      ">PORT",          ">MMIO", ">MSR",
					     ">HYPERCALLS", ">INTERRUPTIONS", NULL};
	static const char *const names[] = {"exits", "port",       "mmio",
					    "msr",   "hypercalls", "interruptions"};
	struct table t;

	fputs("Processors\n", c->out);
	table_init(&t, titles);
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		table_add_json(&t, json_object_get(sums, names[i]));
	table_end(&t, c->out);
}

static const char *const disk_titles[] = {">CONTROLLER", ">LUN",    "TYPE",           ">READS",
					  ">READ BYTES", ">WRITES", ">WRITTEN BYTES", ">FLUSHES",
					  ">DISCARDS",   ">ERRORS", "IMAGE",          NULL};
static const char *const disk_names[] = {"controller", "lun",    "type",          "reads",
					 "read_bytes", "writes", "written_bytes", "flushes",
					 "discards",   "errors", "path",          NULL};
static const char *const nic_titles[] = {
	">NIC",  "TYPE",        "LINK",     ">RECEIVED", ">RECEIVED BYTES", ">DROPPED",
	">SENT", ">SENT BYTES", ">DROPPED", ">REFUSED",  ">SPOOFED",        NULL};
static const char *const nic_names[] = {"number",          "type",           "link",
					"received_frames", "received_bytes", "received_dropped",
					"sent_frames",     "sent_bytes",     "sent_dropped",
					"sent_refused",    "sent_spoofed",   NULL};
static const char *const channel_titles[] = {">CHANNEL", "DEVICE", "STATE",    ">SUB",  ">IN",
					     ">OUT",     ">KICKS", ">SIGNALS", ">FULL", NULL};
static const char *const channel_names[] = {"relid",      "device",      "state", "sub_channel",
					    "packets_in", "packets_out", "kicks", "signals",
					    "ring_full",  NULL};

static const struct counters counters[] = {
	{"Disks", "disks", disk_titles, disk_names},
	{"NICs", "nics", nic_titles, nic_names},
	{"Channels", "channels", channel_titles, channel_names},
};

void vm_stat(struct command_call *c)
{
	json_t *all = get(c, "statistics");

	if (all && c->json) {
		command_print_json(c, all, false);
	} else if (all) {
		print_processors(c, json_object_get(all, "processors"));
		for (size_t i = 0; i < ARRAY_LEN(counters); i++)
			print_counters(c, all, &counters[i]);
	}
	json_decref(all);
}
