/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Disks and NICs of a VM, which come and go while it runs. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/format.h"
#include "cli/values.h"
#include "cli/verbs.h"

#define ABSENT "'oya vm list' shows those that there are"

/* "/v1/vms/NAME/WHAT/OPERAND" of the first two operands. */
static bool target_of(struct command_call *c, const char *what, char target[API_TARGET_MAX])
{
	char text[API_TARGET_MAX / 2], end[API_TARGET_MAX];

	if (!ask_encode_name(c->operand[1], text, sizeof(text))) {
		command_refuse(c, "'%.80s' is too long", c->operand[1]);
		return false;
	}
	snprintf(end, sizeof(end), "%s/%s", what, text);
	return command_vm_target(c, end, target);
}

/* ---- lists ---- */

static void print_disks(struct command_call *c, const json_t *list)
{
	static const char *const titles[] = {"PLACE", "TYPE", "FILE", "CACHE", NULL};
	struct table t;
	json_t *disk;
	size_t i;

	table_init(&t, titles);
	json_array_foreach((json_t *)(uintptr_t)list, i, disk)
	{
		const char *type = json_string_value(json_object_get(disk, "type"));
		const char *cache = json_string_value(json_object_get(disk, "cache"));

		table_add_json(&t, json_object_get(disk, "place"));
		table_add(&t, type ? type : "disk");
		table_add_json(&t, json_object_get(disk, "file"));
		table_add(&t, cache ? cache : "none");
	}
	table_end(&t, c->out);
}

static void print_nics(struct command_call *c, const json_t *list)
{
	static const char *const titles[] = {"MAC", "TYPE", "SWITCH", "VLAN", NULL};
	struct table t;
	json_t *nic;
	size_t i;

	table_init(&t, titles);
	json_array_foreach((json_t *)(uintptr_t)list, i, nic)
	{
		table_add_json(&t, json_object_get(nic, "mac"));
		table_add_json(&t, json_object_get(nic, "type"));
		table_add_json(&t, json_object_get(nic, "switch"));
		table_add_json(&t, json_object_get(nic, "vlan"));
	}
	table_end(&t, c->out);
}

static void list(struct command_call *c, const char *what,
		 void (*print)(struct command_call *c, const json_t *list))
{
	char target[API_TARGET_MAX];
	const struct api_request request = {.method = "GET", .target = target, .absent = ABSENT};
	struct api_answer answer;

	if (!command_vm_target(c, what, target) || !command_ask(c, &request, &answer))
		return;
	if (c->json)
		command_print_json(c, json_object_get(answer.body, what), false);
	else
		print(c, json_object_get(answer.body, what));
	json_decref(answer.body);
}

void disk_list(struct command_call *c)
{
	list(c, "disks", print_disks);
}

void nic_list(struct command_call *c)
{
	list(c, "nics", print_nics);
}

/* ---- add and remove ---- */

/* Takes the unit, which is NULL when `f` tells why. */
static void add(struct command_call *c, const char *what, json_t *unit, const struct failure *f)
{
	char target[API_TARGET_MAX];
	const struct api_request request = {
		.method = "POST", .target = target, .body = unit, .absent = ABSENT};
	struct api_answer answer;

	if (!unit) {
		command_refuse(c, "%s", f->text);
		return;
	}
	if (command_vm_target(c, what, target) && command_ask(c, &request, &answer)) {
		if (c->json)
			command_print_json(c, answer.body, false);
		else
			fprintf(c->out, "The VM '%s' has it.\n", c->operand[0]);
		json_decref(answer.body);
	}
	json_decref(unit);
}

/* The name of a copy: that of the file with another end. */
static void name_copy(const char *of, char *name, size_t room)
{
	const char *slash = strrchr(of, '/'), *dot;

	of = slash ? slash + 1 : of;
	dot = strrchr(of, '.');
	snprintf(name, room, "%.*s.raw", (int)(dot ? dot - of : (long)strlen(of)), of);
}

/* A copy of what the disk's file names becomes its image; a job. */
static void add_copy(struct command_call *c)
{
	char target[API_TARGET_MAX], name[256], doing[128];
	struct api_request request = {.method = "POST", .target = target, .absent = ABSENT};
	json_t *disk = NULL;
	struct failure f;
	int r = value_unit(c->operand[1], false, "file", &disk, &f);
	char *from = r == 0 ? strdup(json_string_value(json_object_get(disk, "file"))) : NULL;

	if (r == 0 && !from)
		r = fail(&f, -ENOMEM, "out of memory");
	if (r == 0) {
		name_copy(from, name, sizeof(name));
		r = value_set_text(disk, "file",
				   command_value(c, "name") ? command_value(c, "name") : name, &f);
	}
	if (r == 0)
		r = command_set_image(c, disk, "from", from, &f);
	request.body = disk;
	snprintf(doing, sizeof(doing), "copying a disk for the VM '%.80s'", c->operand[0]);
	if (r < 0)
		command_refuse(c, "%s", f.text);
	else if (command_vm_target(c, "disks", target) && job_begin(c, &request, doing) &&
		 !c->json && !c->no_wait)
		fprintf(c->out, "The VM '%s' has it.\n", c->operand[0]);
	json_decref(disk);
	free(from);
}

void disk_resize(struct command_call *c)
{
	char target[API_TARGET_MAX], path[API_TARGET_MAX + 8];
	struct api_request request = {.method = "POST", .target = path, .absent = ABSENT};
	struct api_answer answer;
	struct failure f;
	json_int_t mib;

	if (value_size(c->operand[2], &mib, &f) < 0) {
		command_refuse(c, "%s", f.text);
		return;
	}
	if (!target_of(c, "disks", target))
		return;
	snprintf(path, sizeof(path), "%s/resize", target);
	request.body = json_pack("{s:I}", "size_mib", mib);
	if (command_ask(c, &request, &answer)) {
		if (c->json)
			command_print_json(c, answer.body, false);
		else
			fprintf(c->out,
				"The disk %s of the VM '%s' has %s now; its guest makes use of it.\n",
				c->operand[1], c->operand[0], c->operand[2]);
		json_decref(answer.body);
	}
	json_decref((json_t *)(uintptr_t)request.body);
}

void disk_add(struct command_call *c)
{
	bool dvd = command_value(c, "dvd") != NULL;
	json_t *disk = NULL;
	struct failure f;
	int r;

	if (command_value(c, "copy")) {
		add_copy(c);
		return;
	}
	r = value_unit(c->operand[1], dvd, "file", &disk, &f);

	if (r == 0)
		r = vm_set_image(c, disk, command_value(c, "name"), &f);
	if (r < 0) {
		json_decref(disk);
		disk = NULL;
	}
	add(c, "disks", disk, &f);
}

void nic_add(struct command_call *c)
{
	json_t *nic = NULL;
	struct failure f;

	(void)value_nic(c->operand[1], &nic, &f);
	add(c, "nics", nic, &f);
}

static void remove_unit(struct command_call *c, const char *what, const char *done)
{
	char target[API_TARGET_MAX];
	const struct api_request request = {.method = "DELETE", .target = target, .absent = ABSENT};
	struct api_answer answer;

	if (!target_of(c, what, target) || !command_ask(c, &request, &answer))
		return;
	json_decref(answer.body);
	fprintf(c->out, "The VM '%s' %s.\n", c->operand[0], done);
}

void disk_remove(struct command_call *c)
{
	remove_unit(c, "disks", "has it no more; its image is kept");
}

void nic_remove(struct command_call *c)
{
	remove_unit(c, "nics", "has it no more");
}
