/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The host's store of images, and VMs that come from other systems. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/format.h"
#include "cli/verbs.h"

#define DOING_MAX 320

static void print_images(struct command_call *c, const json_t *list)
{
	static const char *const titles[] = {"NAME", ">SIZE", ">USED", NULL};
	char text[FORMAT_SIZE_MAX];
	struct table t;
	json_t *image;
	size_t i;

	table_init(&t, titles);
	json_array_foreach((json_t *)(uintptr_t)list, i, image)
	{
		json_int_t bytes = json_integer_value(json_object_get(image, "bytes"));
		json_int_t used = json_integer_value(json_object_get(image, "allocated_bytes"));

		table_add_json(&t, json_object_get(image, "name"));
		format_bytes((uint64_t)bytes, text);
		table_add(&t, text);
		format_bytes((uint64_t)used, text);
		table_add(&t, text);
	}
	table_end(&t, c->out);
	if (!json_array_size(list))
		fputs("There is no image yet; 'oya image import NAME FILE' makes one.\n", c->err);
}

void image_list(struct command_call *c)
{
	const struct api_request request = {.method = "GET", .target = "/v1/images"};
	struct api_answer answer;

	if (!command_ask(c, &request, &answer))
		return;
	if (c->json)
		command_print_json(c, json_object_get(answer.body, "images"), false);
	else
		print_images(c, json_object_get(answer.body, "images"));
	json_decref(answer.body);
}

/* An object with `file`, from our folder on, and `name` when there is one; NULL: told. */
static json_t *body_of(struct command_call *c, const char *file, const char *name)
{
	json_t *body = json_object();
	struct failure f;
	int r = command_set_file(c, body, "file", file, &f);

	if (r == 0 && name && json_object_set_new(body, "name", json_string(name)) < 0)
		r = fail(&f, -EINVAL, "the name is not UTF-8 text");
	if (r == 0)
		return body;
	json_decref(body);
	command_refuse(c, "%s", f.text);
	return NULL;
}

void image_import(struct command_call *c)
{
	json_t *body = body_of(c, c->operand[1], c->operand[0]);
	const struct api_request request = {.method = "POST", .target = "/v1/images", .body = body};
	char doing[DOING_MAX];

	snprintf(doing, sizeof(doing), "importing the image '%.80s'", c->operand[0]);
	if (body && job_begin(c, &request, doing) && !c->json && !c->no_wait)
		fprintf(c->out,
			"The image '%s' is there; 'oya vm create NAME --image %s' makes a VM of "
			"it.\n",
			c->operand[0], c->operand[0]);
	json_decref(body);
}

void image_delete(struct command_call *c)
{
	char name[API_TARGET_MAX / 2], target[API_TARGET_MAX];
	const struct api_request request = {.method = "DELETE", .target = target};
	struct api_answer answer;

	if (!ask_encode_name(c->operand[0], name, sizeof(name))) {
		command_refuse(c, "'%.80s' is too long", c->operand[0]);
		return;
	}
	snprintf(target, sizeof(target), "/v1/images/%s", name);
	if (!command_ask(c, &request, &answer))
		return;
	json_decref(answer.body);
	fprintf(c->out, "The image '%s' is removed; VMs that were made of it stay.\n",
		c->operand[0]);
}

/* ---- VMs of other systems ---- */

static void tell_imported(struct command_call *c, const json_t *job)
{
	const char *name = json_string_value(json_object_get(job, "vm"));

	if (c->json)
		command_print_json(c, job, false);
	else if (name)
		fprintf(c->out,
			"The VM '%s' is made; 'oya vm show %s' shows it, 'oya vm start %s' starts it.\n",
			name, name, name);
}

void vm_import(struct command_call *c)
{
	json_t *body = body_of(c, c->operand[0], command_value(c, "name")), *job = NULL;
	const struct api_request request = {.method = "POST", .target = "/v1/import", .body = body};
	struct api_answer answer;
	char doing[DOING_MAX];

	snprintf(doing, sizeof(doing), "importing %.250s", c->operand[0]);
	if (body && c->no_wait) {
		(void)job_begin(c, &request, doing);
	} else if (body && command_ask(c, &request, &answer)) {
		if (job_follow(c, answer.body, doing, &job))
			tell_imported(c, job);
		json_decref(job);
	}
	json_decref(body);
}
