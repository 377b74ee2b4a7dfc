/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `oya vm create`: options become the settings object of a VM (docs/format/vm.md). Whether they
 * make sense together is for the host service to say.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/values.h"
#include "cli/verbs.h"

/* A name that begins in our folder, which is not that of the host service; on another host there is
 * no such folder. */
int command_set_file(const struct command_call *c, json_t *obj, const char *key, const char *name,
		     struct failure *f)
{
	char folder[PATH_MAX], *path = NULL;
	int r;

	if (!*name)
		return fail(f, -EINVAL, "the name of a file is empty");
	if (name[0] == '/')
		return value_set_text(obj, key, name, f);
	if (c->api.host)
		return fail(f, -EINVAL,
			    "'%.200s' is no file of the host %s: name it by its whole path there",
			    name, c->api.host->name);
	if (!getcwd(folder, sizeof(folder)))
		return fail(f, -errno, "cannot tell the folder of %s: %s", name, strerror(errno));
	if (name[0] == '.' && name[1] == '/')
		name += 2;
	if (asprintf(&path, "%s/%s", strcmp(folder, "/") == 0 ? "" : folder, name) < 0)
		return fail(f, -ENOMEM, "out of memory");
	r = value_set_text(obj, key, path, f);
	free(path);
	return r;
}

int command_set_image(const struct command_call *c, json_t *obj, const char *key, const char *name,
		      struct failure *f)
{
	return strchr(name, '/') ? command_set_file(c, obj, key, name, f)
				 : value_set_text(obj, key, name, f);
}

int vm_set_image(const struct command_call *c, json_t *disk, const char *new_name,
		 struct failure *f)
{
	const char *text = json_string_value(json_object_get(disk, "file"));
	char *name = text ? strdup(text) : NULL;
	json_int_t mib = 0;
	int r = 0;

	if (!text) /* an empty drive */
		return 0;
	if (!name)
		return fail(f, -ENOMEM, "out of memory");
	if (!json_object_get(disk, "type") && value_is_size(name)) {
		r = value_size(name, &mib, f);
		if (r == 0 && !new_name)
			r = fail(f, -EINVAL, "a new disk needs --name, that of its image");
		if (r == 0 && (json_object_set_new(disk, "file", json_string(new_name)) < 0 ||
			       json_object_set_new(disk, "size_mib", json_integer(mib)) < 0))
			r = fail(f, -ENOMEM, "out of memory");
	} else {
		r = command_set_file(c, disk, "file", name, f);
	}
	free(name);
	return r;
}

/* The first disk, made of --image. */
static int add_image(const struct command_call *c, json_t *disks, struct failure *f)
{
	const char *image = command_value(c, "image"), *size = command_value(c, "size");
	json_t *disk;
	json_int_t mib = 0;
	int r = size ? value_size(size, &mib, f) : 0;

	if (r == 0 && size && !image)
		return fail(f, -EINVAL, "--size is of --image; --disk SIZE makes an empty disk");
	if (r < 0 || !image)
		return r;
	disk = json_pack("{s:s}", "file", "disk0.raw");
	r = command_set_image(c, disk, "from", image, f);
	if (r == 0 && size)
		json_object_set_new(disk, "size_mib", json_integer(mib));
	json_array_append_new(disks, disk);
	return r;
}

/* Disks and drives in the order in which they were given, which is that of booting. */
static int add_disks(const struct command_call *c, json_t *settings, struct failure *f)
{
	json_t *disks = json_array();
	int r = add_image(c, disks, f);

	for (unsigned i = 0; r == 0 && i < c->givens; i++) {
		const char *option = c->given[i].option->name;
		bool dvd = strcmp(option, "dvd") == 0;
		json_t *disk = NULL;
		char name[32];

		if (!dvd && strcmp(option, "disk") != 0)
			continue;
		r = value_unit(c->given[i].value, dvd, "file", &disk, f);
		snprintf(name, sizeof(name), "disk%zu.raw", json_array_size(disks));
		if (r == 0)
			r = vm_set_image(c, disk, name, f);
		json_array_append_new(disks, disk);
	}
	if (r == 0 && json_array_size(disks))
		json_object_set(settings, "disks", disks);
	json_decref(disks);
	return r;
}

/* Without a word on it a VM is on the default switch. */
static int add_nics(const struct command_call *c, json_t *settings, struct failure *f)
{
	json_t *nics = json_array();
	const char *text;
	unsigned at = 0;
	bool none = false;
	int r = 0;

	while (r == 0 && (text = command_next_value(c, "net", &at))) {
		json_t *nic = NULL;

		if (strcmp(text, "none") == 0) {
			none = true;
			continue;
		}
		r = value_nic(text, &nic, f);
		if (r == 0)
			json_array_append_new(nics, nic);
	}
	if (r == 0 && none && json_array_size(nics))
		r = fail(f, -EINVAL, "'none' is no NIC beside others");
	if (r == 0 && !none && !json_array_size(nics)) {
		json_t *nic = NULL;

		r = value_nic("switch=default", &nic, f);
		json_array_append_new(nics, nic);
	}
	if (r == 0 && json_array_size(nics))
		json_object_set(settings, "nics", nics);
	json_decref(nics);
	return r;
}

static int set_append(const struct command_call *c, json_t *boot, struct failure *f)
{
	const char *text;
	unsigned at = 0;
	int r = 0;

	while (r == 0 && (text = command_next_value(c, "append", &at))) {
		const char *before = json_string_value(json_object_get(boot, "append"));
		json_t *joined =
			json_sprintf("%s%s%s", before ? before : "", before ? " " : "", text);

		if (json_object_set_new(boot, "append", joined) < 0)
			r = fail(f, -EINVAL, "the append is not UTF-8 text");
	}
	return r;
}

/* Of its disks, unless a kernel is given. */
static int add_boot(const struct command_call *c, json_t *settings, struct failure *f)
{
	const char *kernel = command_value(c, "kernel"), *initrd = command_value(c, "initrd");
	const char *firmware = command_value(c, "firmware");
	json_t *boot = json_object();
	int r = 0;

	if (kernel)
		r = command_set_file(c, boot, "kernel", kernel, f);
	if (r == 0 && initrd)
		r = command_set_file(c, boot, "initrd", initrd, f);
	if (r == 0 && (firmware || !kernel))
		r = value_set_text(boot, "firmware", firmware ? firmware : "bios", f);
	if (r == 0)
		r = set_append(c, boot, f);
	if (r == 0)
		json_object_set(settings, "boot", boot);
	json_decref(boot);
	return r;
}

static int add_words(const struct command_call *c, json_t *settings, struct failure *f)
{
	const char *notes = command_value(c, "notes"), *tag;
	json_t *tags = json_array();
	unsigned at = 0;
	int r = notes ? value_set_text(settings, "notes", notes, f) : 0;

	while (r == 0 && (tag = command_next_value(c, "tag", &at))) {
		if (json_array_append_new(tags, json_string(tag)) < 0)
			r = fail(f, -EINVAL, "the tag is not UTF-8 text");
	}
	if (r == 0 && json_array_size(tags))
		json_object_set(settings, "tags", tags);
	json_decref(tags);
	return r;
}

static int add_size(const struct command_call *c, json_t *settings, struct failure *f)
{
	const char *cpus = command_value(c, "cpus"), *memory = command_value(c, "memory");
	json_int_t mib;
	int r = cpus ? value_set_number(settings, "cpus", cpus, f) : 0;

	if (r == 0 && memory) {
		r = value_memory(memory, &mib, f);
		if (r == 0)
			json_object_set_new(settings, "memory_mib", json_integer(mib));
	}
	return r;
}

json_t *vm_settings_of_options(struct command_call *c)
{
	json_t *settings = json_object();
	struct failure f;
	int r = value_set_text(settings, "name", c->operand[0], &f);

	if (r == 0)
		r = add_size(c, settings, &f);
	if (r == 0)
		r = add_boot(c, settings, &f);
	if (r == 0)
		r = add_disks(c, settings, &f);
	if (r == 0)
		r = add_nics(c, settings, &f);
	if (r == 0)
		r = add_words(c, settings, &f);
	if (r == 0)
		return settings;
	json_decref(settings);
	command_refuse(c, "%s", f.text);
	return NULL;
}

void vm_create(struct command_call *c)
{
	json_t *settings = vm_settings_of_options(c);
	const struct api_request request = {
		.method = "POST", .target = "/v1/vms", .body = settings};
	bool start = command_value(c, "start") != NULL, made, later = false;
	struct api_answer answer = {0};
	char doing[128];

	if (!settings)
		return;
	if (command_value(c, "image")) {
		snprintf(doing, sizeof(doing), "making the VM '%.80s'", c->operand[0]);
		made = job_begin(c, &request, doing);
		later = c->no_wait;
		start = start && !later;
	} else {
		made = command_ask(c, &request, &answer);
	}
	json_decref(settings);
	if (made && answer.body && c->json && !start)
		command_print_json(c, answer.body, false);
	else if (made && !c->json && !later && !start)
		fprintf(c->out, "The VM '%s' is made; 'oya vm start %s' starts it.\n",
			c->operand[0], c->operand[0]);
	json_decref(answer.body);
	if (start && c->status == 0)
		vm_start(c);
	if (made && start && c->status)
		fprintf(c->err, "oya: the VM '%s' is made, though; 'oya vm start %s' tries again\n",
			c->operand[0], c->operand[0]);
}
