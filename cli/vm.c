/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Verbs of VMs: listed, started, stopped, removed. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/format.h"
#include "cli/verbs.h"

#define ABSENT "'oya vm list' shows those that there are"
#define DOING_MAX 128

/* ---- list ---- */

static void add_memory(struct table *t, const json_t *mib)
{
	char text[FORMAT_SIZE_MAX];

	/* The settings' own default. */
	format_bytes((uint64_t)(json_is_integer(mib) ? json_integer_value(mib) : 1024) << 20, text);
	table_add(t, text);
}

static void add_vm(struct table *t, const json_t *vm, bool problem)
{
	const json_t *cpus = json_object_get(vm, "cpus");

	table_add_json(t, json_object_get(vm, "name"));
	table_add_json(t, json_object_get(vm, "state"));
	if (json_is_integer(cpus))
		table_add_json(t, cpus);
	else
		table_add(t, "1");
	add_memory(t, json_object_get(vm, "memory_mib"));
	table_add_json(t, json_object_get(vm, "heartbeat"));
	table_add_json(t, json_object_get(vm, "address"));
	if (problem)
		table_add_json(t, json_object_get(vm, "problem"));
}

/* The column of problems is there when a VM has one. */
static void print_vms(struct command_call *c, json_t *list)
{
	static const char *const titles[] = {"NAME",      "STATE",   ">CPUS",   ">MEMORY",
					     "HEARTBEAT", "ADDRESS", "PROBLEM", NULL};
	static const char *const plain[] = {"NAME",      "STATE",   ">CPUS", ">MEMORY",
					    "HEARTBEAT", "ADDRESS", NULL};
	bool problem = false;
	struct table t;
	json_t *vm;
	size_t i;

	json_array_foreach(list, i, vm)
	{
		const char *text = json_string_value(json_object_get(vm, "problem"));

		problem = problem || (text && *text);
	}
	table_init(&t, problem ? titles : plain);
	json_array_foreach(list, i, vm)
	{
		add_vm(&t, vm, problem);
	}
	table_end(&t, c->out);
	if (!json_array_size(list) && !c->watch)
		fputs("There is no VM yet; 'oya vm create --help' tells how to make one.\n",
		      c->err);
}

static void print_list(struct command_call *c)
{
	json_t *list;

	if (!list_all(c, "vms", &list))
		return;
	if (c->json)
		command_print_json(c, list, c->watch);
	else
		print_vms(c, list);
	json_decref(list);
}

void vm_list(struct command_call *c)
{
	list_watch(c, print_list);
}

/* ---- start and stop ---- */

void vm_start(struct command_call *c)
{
	char target[API_TARGET_MAX], doing[DOING_MAX];
	const struct api_request request = {.method = "POST", .target = target, .absent = ABSENT};

	snprintf(doing, sizeof(doing), "starting the VM '%.80s'", c->operand[0]);
	if (!command_vm_target(c, "start", target) || !job_begin(c, &request, doing) || c->json ||
	    c->no_wait)
		return;
	fprintf(c->out, "The VM '%s' runs; 'oya console %s' leads to its console.\n", c->operand[0],
		c->operand[0]);
}

static json_t *body_of_stop(struct command_call *c)
{
	const char *reason = command_value(c, "reason");
	json_t *body = json_object();

	if (command_value(c, "off"))
		json_object_set_new(body, "off", json_true());
	if (reason && json_object_set_new(body, "reason", json_string(reason)) < 0)
		command_refuse(c, "the reason is not UTF-8 text");
	if (json_object_size(body) && c->status == 0)
		return body;
	json_decref(body);
	return NULL;
}

void vm_stop(struct command_call *c)
{
	char target[API_TARGET_MAX], doing[DOING_MAX];
	struct api_request request = {.method = "POST", .target = target, .absent = ABSENT};
	json_t *body = body_of_stop(c);

	request.body = body;
	snprintf(doing, sizeof(doing), "stopping the VM '%.80s'", c->operand[0]);
	if (c->status == 0 && command_vm_target(c, "stop", target) &&
	    job_begin(c, &request, doing) && !c->json && !c->no_wait)
		fprintf(c->out, "The VM '%s' is off.\n", c->operand[0]);
	json_decref(body);
}

void vm_save(struct command_call *c)
{
	char target[API_TARGET_MAX], doing[DOING_MAX];
	const struct api_request request = {.method = "POST", .target = target, .absent = ABSENT};

	snprintf(doing, sizeof(doing), "saving the VM '%.80s'", c->operand[0]);
	if (command_vm_target(c, "save", target) && job_begin(c, &request, doing) && !c->json &&
	    !c->no_wait)
		fprintf(c->out, "The VM '%s' is saved; 'oya vm start %s' lets it go on.\n",
			c->operand[0], c->operand[0]);
}

/* ---- what is done at once ---- */

static void act(struct command_call *c, const char *what, const char *done)
{
	char target[API_TARGET_MAX];
	const struct api_request request = {.method = "POST", .target = target, .absent = ABSENT};
	struct api_answer answer;

	if (!command_vm_target(c, what, target) || !command_ask(c, &request, &answer))
		return;
	json_decref(answer.body);
	fprintf(c->out, "The VM '%s' %s.\n", c->operand[0], done);
}

void vm_pause(struct command_call *c)
{
	act(c, "pause", "is paused");
}

void vm_resume(struct command_call *c)
{
	act(c, "resume", "runs");
}

void vm_reset(struct command_call *c)
{
	act(c, "reset", "begins anew");
}

void vm_reboot(struct command_call *c)
{
	act(c, "reboot", "was asked to restart itself");
}

void vm_nmi(struct command_call *c)
{
	act(c, "nmi", "got an NMI on every processor");
}

void vm_discard(struct command_call *c)
{
	char target[API_TARGET_MAX];
	const struct api_request request = {.method = "DELETE", .target = target, .absent = ABSENT};
	struct api_answer answer;

	if (!command_vm_target(c, "state", target) || !command_ask(c, &request, &answer))
		return;
	json_decref(answer.body);
	fprintf(c->out, "The saved state of the VM '%s' is gone; it is off.\n", c->operand[0]);
}

void vm_delete(struct command_call *c)
{
	const char *disks = command_value(c, "disks"), *version = command_value(c, "if-match");
	char path[API_TARGET_MAX], target[API_TARGET_MAX + 32], etag[ASK_VALUE_MAX];
	struct api_request request = {.method = "DELETE", .target = target, .absent = ABSENT};
	struct api_answer answer;
	bool all = disks && strcmp(disks, "delete") == 0;

	if (disks && !all && strcmp(disks, "keep") != 0) {
		command_refuse(c, "--disks is keep or delete, not '%.80s'", disks);
		return;
	}
	if (!command_vm_target(c, "", path))
		return;
	snprintf(target, sizeof(target), "%s%s%s", path, disks ? "?disks=" : "",
		 disks ? disks : "");
	snprintf(etag, sizeof(etag), "\"%.100s\"", version ? version : "");
	request.if_match = version ? etag : NULL;
	if (!command_ask(c, &request, &answer))
		return;
	json_decref(answer.body);
	fprintf(c->out, "The VM '%s' is removed%s.\n", c->operand[0],
		all ? " with its folder" : "; its disks are kept");
}
