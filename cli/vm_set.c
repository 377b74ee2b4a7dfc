/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `oya vm set`: KEY=VALUE become a merge patch (RFC 7396) of the settings. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "cli/values.h"
#include "cli/verbs.h"

#define KEY_MAX 128u

/* How the value of a setting is written; that of another one is JSON, or else a text. */
static const struct {
	const char *key;
	enum { TEXT, NUMBER, MEMORY, LIST, JSON, EITHER } kind;
} known[] = {
	{"cpus", NUMBER},
	{"memory", MEMORY},
	{"memory_mib", NUMBER},
	{"processor", EITHER},
	{"memory_pages", TEXT},
	{"threads", NUMBER},
	{"notes", TEXT},
	{"tags", LIST},
	{"start.action", TEXT},
	{"start.delay", NUMBER},
	{"stop.action", TEXT},
	{"stop.timeout", NUMBER},
	{"crash.action", TEXT},
	{"crash.most", NUMBER},
	{"crash.within", NUMBER},
	{"migration.postcopy", TEXT},
	{"limits.cpu_percent", NUMBER},
	{"limits.cpu_weight", NUMBER},
	{"boot", JSON},
	{"boot.kernel", TEXT},
	{"boot.initrd", TEXT},
	{"boot.append", TEXT},
	{"boot.firmware", TEXT},
	{"disks", JSON},
	{"nics", JSON},
	{"numa", JSON},
	{"pin", JSON},
	{"controllers", NUMBER},
	{"scsi_queues", NUMBER},
	{"disk_timeout", NUMBER},
	{"enlightenments", JSON},
	{"vmbus_max_version", TEXT},
};

const char *vm_known_key(unsigned i)
{
	return i < ARRAY_LEN(known) ? known[i].key : NULL;
}

/* "a,b" */
static int set_list(json_t *obj, const char *key, const char *text, struct failure *f)
{
	char *copy = strdup(text), *rest = copy, *part;
	json_t *list = json_array();
	int r = copy ? 0 : fail(f, -ENOMEM, "out of memory");

	while (r == 0 && (part = strsep(&rest, ","))) {
		if (*part && json_array_append_new(list, json_string(part)) < 0)
			r = fail(f, -EINVAL, "the %s is not UTF-8 text", key);
	}
	if (r == 0)
		r = json_object_set(obj, key, list);
	json_decref(list);
	free(copy);
	return r;
}

static int set_memory(json_t *obj, const char *text, struct failure *f)
{
	json_int_t mib;
	int r = value_memory(text, &mib, f);

	return r < 0 ? r : json_object_set_new(obj, "memory_mib", json_integer(mib));
}

static int set_json(json_t *obj, const char *key, const char *text, struct failure *f)
{
	json_error_t error;
	json_t *value = json_loads(text, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);

	if (!value)
		return fail(f, -EINVAL, "the value of %s is not JSON: %s", key, error.text);
	return json_object_set_new(obj, key, value);
}

/* What is not known here may be known to the host service. */
static int set_any(json_t *obj, const char *key, const char *text, struct failure *f)
{
	struct failure ignored;

	if (set_json(obj, key, text, &ignored) == 0)
		return 0;
	return value_set_text(obj, key, text, f);
}

/* `key` is the whole of it, `last` the part in obj. */
static int set_value(json_t *obj, const char *key, const char *last, const char *value,
		     struct failure *f)
{
	size_t i = 0;

	while (i < ARRAY_LEN(known) && strcmp(known[i].key, key) != 0)
		i++;
	if (!*value) /* back to its default */
		return json_object_set_new(
			obj, i < ARRAY_LEN(known) && known[i].kind == MEMORY ? "memory_mib" : last,
			json_null());
	if (i == ARRAY_LEN(known))
		return set_any(obj, last, value, f);
	switch (known[i].kind) {
	case NUMBER:
		return value_set_number(obj, last, value, f);
	case MEMORY:
		return set_memory(obj, value, f);
	case LIST:
		return set_list(obj, last, value, f);
	case JSON:
		return set_json(obj, last, value, f);
	case EITHER:
		return set_any(obj, last, value, f);
	case TEXT:
	default:
		return value_set_text(obj, last, value, f);
	}
}

/* The object that has the last part of a key, made where it is missing; NULL: another value is
 * there. */
static json_t *object_of(json_t *patch, char *key, char **ret_last)
{
	char *dot;

	while ((dot = strchr(key, '.'))) {
		json_t *inner;

		*dot = '\0';
		inner = json_object_get(patch, key);
		if (!inner) {
			json_object_set_new(patch, key, json_object());
			inner = json_object_get(patch, key);
		}
		if (!json_is_object(inner))
			return NULL;
		patch = inner;
		key = dot + 1;
	}
	*ret_last = key;
	return patch;
}

static int add(json_t *patch, const char *operand, struct failure *f)
{
	const char *equals = strchr(operand, '=');
	size_t len = equals ? (size_t)(equals - operand) : 0;
	char key[KEY_MAX], parts[KEY_MAX], *last = parts;
	json_t *obj;

	if (!equals)
		return fail(f, -EINVAL, "'%.80s' is not KEY=VALUE", operand);
	snprintf(key, sizeof(key), "%.*s", len < KEY_MAX ? (int)len : 0, operand);
	if (!key[0] || key[0] == '.' || key[len - 1] == '.' || strstr(key, ".."))
		return fail(f, -EINVAL, "'%.80s' begins with no name of a setting", operand);
	memcpy(parts, key, sizeof(parts));
	obj = object_of(patch, parts, &last);
	if (!obj)
		return fail(f, -EINVAL, "'%s' lies within a setting that is set as a whole", key);
	if (json_object_get(obj, last))
		return fail(f, -EINVAL, "'%s' is given twice", key);
	return set_value(obj, key, last, equals + 1, f);
}

json_t *vm_patch_of_operands(struct command_call *c, char **operand, unsigned count)
{
	json_t *patch = json_object();
	struct failure f;

	for (unsigned i = 0; i < count; i++) {
		if (add(patch, operand[i], &f) == 0)
			continue;
		json_decref(patch);
		command_refuse(c, "%s", f.text);
		return NULL;
	}
	return patch;
}

void vm_set(struct command_call *c)
{
	json_t *patch = vm_patch_of_operands(c, c->operand + 1, c->operands - 1);
	const char *version = command_value(c, "if-match");
	char target[API_TARGET_MAX], etag[ASK_VALUE_MAX];
	struct api_request request = {.method = "PATCH",
				      .target = target,
				      .body = patch,
				      .patch = true,
				      .absent = "'oya vm list' shows those that there are"};
	struct api_answer answer;

	if (!patch)
		return;
	snprintf(etag, sizeof(etag), "\"%.100s\"", version ? version : "");
	request.if_match = version ? etag : NULL;
	if (command_vm_target(c, "", target) && command_ask(c, &request, &answer)) {
		if (c->json)
			command_print_json(c, answer.body, false);
		else
			fprintf(c->out,
				"The VM '%s' is changed; its settings are of version "
				"%" JSON_INTEGER_FORMAT " now.\n",
				c->operand[0],
				json_integer_value(json_object_get(answer.body, "version")));
		json_decref(answer.body);
	}
	json_decref(patch);
}
