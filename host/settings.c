/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/settings.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "host/settings_parts.h"
#include "lib/fields.h"
#include "lib/random.h"

#define MEMORY_MIB 1024u
#define NOTES_MAX 4096u
#define TAGS_MAX 32u
#define TAG_MAX 64u
#define DELAY_MAX_S 86400u
#define STOP_TIMEOUT_S 120u
#define CRASH_MOST 3u
#define CRASH_MOST_MAX 1000u
#define CRASH_WITHIN_S 3600u
#define CPU_PERCENT_MAX 102400u
#define CPU_WEIGHT 100u
#define CPU_WEIGHT_MAX 10000u

/* Settings that are the worker's, under the same names. */
static const char *const handed_on[] = {
	"processor",         "cpus",        "memory_mib",   "memory_pages",
	"threads",           "numa",        "pin",          "boot",
	"controllers",       "scsi_queues", "disk_timeout", "enlightenments",
	"vmbus_max_version",
};

static const struct field fields[] = {
	{"version", JSON_INTEGER},
	{"uuid", JSON_STRING},
	{"notes", JSON_STRING},
	{"tags", JSON_ARRAY},
	{"start", JSON_OBJECT},
	{"stop", JSON_OBJECT},
	{"crash", JSON_OBJECT},
	{"limits", JSON_OBJECT},
	{"migration", JSON_OBJECT},
	{"disks", JSON_ARRAY},
	{"nics", JSON_ARRAY},
	{"processor", JSON_NULL},
	{"cpus", JSON_INTEGER},
	{"memory_mib", JSON_INTEGER},
	{"memory_pages", JSON_STRING},
	{"threads", JSON_INTEGER},
	{"numa", JSON_ARRAY},
	{"pin", JSON_ARRAY},
	{"boot", JSON_OBJECT},
	{"controllers", JSON_INTEGER},
	{"scsi_queues", JSON_INTEGER},
	{"disk_timeout", JSON_INTEGER},
	{"enlightenments", JSON_OBJECT},
	{"vmbus_max_version", JSON_STRING},
};

bool vm_name_allowed(const char *name)
{
	static const char set[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._";
	size_t len = strspn(name, set);

	return len >= 1 && len <= VM_NAME_MAX && !name[len] && name[0] != '.' && name[0] != '-';
}

static int decode_start(json_t *obj, struct settings *s, struct failure *f)
{
	static const struct field known[] = {{"action", JSON_STRING}, {"delay", JSON_INTEGER}};
	static const char *const actions[] = {
		[START_NEVER] = "never", [START_RESTORE] = "restore", [START_ALWAYS] = "always"};
	unsigned action = START_RESTORE;
	uint64_t delay = 0;
	int r = obj ? fields_check(obj, "'start'", known, ARRAY_LEN(known), f) : 0;

	if (r == 0)
		r = field_word(obj, "action", "'start'", actions, ARRAY_LEN(actions), &action, f);
	if (r == 0)
		r = field_number(obj, "delay", 0, DELAY_MAX_S, &delay, f);
	s->start = (enum start_action)action;
	s->start_delay_s = (unsigned)delay;
	return r;
}

static int decode_stop(json_t *obj, struct settings *s, struct failure *f)
{
	static const struct field known[] = {{"action", JSON_STRING}, {"timeout", JSON_INTEGER}};
	static const char *const actions[] = {
		[STOP_SHUTDOWN] = "shutdown", [STOP_OFF] = "off", [STOP_SAVE] = "save"};
	unsigned action = STOP_SHUTDOWN;
	uint64_t timeout = STOP_TIMEOUT_S;
	int r = obj ? fields_check(obj, "'stop'", known, ARRAY_LEN(known), f) : 0;

	if (r == 0)
		r = field_word(obj, "action", "'stop'", actions, ARRAY_LEN(actions), &action, f);
	if (r == 0)
		r = field_number(obj, "timeout", 1, DELAY_MAX_S, &timeout, f);
	s->stop = (enum stop_action)action;
	s->stop_timeout_s = (unsigned)timeout;
	return r;
}

static int decode_crash(json_t *obj, struct settings *s, struct failure *f)
{
	static const struct field known[] = {
		{"action", JSON_STRING}, {"most", JSON_INTEGER}, {"within", JSON_INTEGER}};
	static const char *const actions[] = {[CRASH_RESTART] = "restart", [CRASH_LEAVE] = "leave"};
	unsigned action = CRASH_RESTART;
	uint64_t most = CRASH_MOST, within = CRASH_WITHIN_S;
	int r = obj ? fields_check(obj, "'crash'", known, ARRAY_LEN(known), f) : 0;

	if (r == 0)
		r = field_word(obj, "action", "'crash'", actions, ARRAY_LEN(actions), &action, f);
	if (r == 0)
		r = field_number(obj, "most", 1, CRASH_MOST_MAX, &most, f);
	if (r == 0)
		r = field_number(obj, "within", 1, DELAY_MAX_S, &within, f);
	s->crash = (enum crash_action)action;
	s->crash_most = (unsigned)most;
	s->crash_within_s = (unsigned)within;
	return r;
}

static int decode_limits(json_t *obj, struct settings *s, struct failure *f)
{
	static const struct field known[] = {{"cpu_percent", JSON_INTEGER},
					     {"cpu_weight", JSON_INTEGER}};
	uint64_t percent = 0, weight = CPU_WEIGHT;
	int r = obj ? fields_check(obj, "'limits'", known, ARRAY_LEN(known), f) : 0;

	if (r == 0)
		r = field_number(obj, "cpu_percent", 1, CPU_PERCENT_MAX, &percent, f);
	if (r == 0)
		r = field_number(obj, "cpu_weight", 1, CPU_WEIGHT_MAX, &weight, f);
	s->cpu_percent = (unsigned)percent;
	s->cpu_weight = (unsigned)weight;
	return r;
}

static int decode_migration(json_t *obj, struct settings *s, struct failure *f)
{
	static const struct field known[] = {{"postcopy", JSON_STRING}};
	static const char *const words[] = {"never", "allowed"};
	unsigned postcopy = 0;
	int r = obj ? fields_check(obj, "'migration'", known, ARRAY_LEN(known), f) : 0;

	if (r == 0)
		r = field_word(obj, "postcopy", "'migration'", words, ARRAY_LEN(words), &postcopy,
			       f);
	s->postcopy = postcopy;
	return r;
}

static int check_words(json_t *root, struct failure *f)
{
	json_t *tags = json_object_get(root, "tags"), *tag;
	const char *notes = json_string_value(json_object_get(root, "notes"));
	size_t i;

	if (notes && strlen(notes) > NOTES_MAX)
		return OR_INVALID(f, "'notes' are longer than %u bytes", NOTES_MAX);
	if (json_array_size(tags) > TAGS_MAX)
		return OR_INVALID(f, "%zu tags, at most %u are possible", json_array_size(tags),
				  TAGS_MAX);
	json_array_foreach(tags, i, tag)
	{
		size_t len = json_string_length(tag);

		if (!json_is_string(tag) || !len || len > TAG_MAX)
			return OR_INVALID(f, "a tag is a text of 1 to %u bytes", TAG_MAX);
	}
	return 0;
}

static int decode(struct settings *s, struct failure *f)
{
	json_t *root = s->root;
	const char *uuid = json_string_value(json_object_get(root, "uuid"));
	uint64_t version = 0;
	int r = fields_check(root, "the VM", fields, ARRAY_LEN(fields), f);

	if (r == 0)
		r = field_number(root, "version", SETTINGS_VERSION, SETTINGS_VERSION, &version, f);
	if (r == 0 && !version)
		return OR_INVALID(f, "it has no 'version'; this oyad reads version %d",
				  SETTINGS_VERSION);
	if (r == 0 && (!uuid || guid_parse(uuid, &s->uuid) < 0))
		return OR_INVALID(f, "'%.48s' is no UUID", uuid ? uuid : "");
	if (r == 0)
		r = decode_start(json_object_get(root, "start"), s, f);
	if (r == 0)
		r = decode_stop(json_object_get(root, "stop"), s, f);
	if (r == 0)
		r = decode_crash(json_object_get(root, "crash"), s, f);
	if (r == 0)
		r = decode_limits(json_object_get(root, "limits"), s, f);
	if (r == 0)
		r = decode_migration(json_object_get(root, "migration"), s, f);
	if (r == 0)
		r = check_words(root, f);
	if (r == 0)
		r = disks_check(s, f);
	if (r == 0)
		r = nics_check(s, f);
	return r;
}

/* Takes root, also when it fails. */
static int of_root(json_t *root, struct settings **ret_settings, struct failure *f)
{
	struct settings *s = calloc(1, sizeof(*s));
	int r;

	if (!s || !root) {
		free(s);
		json_decref(root);
		return fail(f, -ENOMEM, "cannot read the VM's configuration: out of memory");
	}
	s->root = root;
	r = decode(s, f);
	if (r < 0) {
		settings_free(s);
		return r;
	}
	*ret_settings = s;
	return 0;
}

int settings_decode(const char *text, size_t len, struct settings **ret_settings, struct failure *f)
{
	json_error_t error;
	json_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);

	if (!root)
		return OR_INVALID(f, "line %d is not JSON: %s", error.line, error.text);
	return of_root(root, ret_settings, f);
}

static json_t *new_uuid(void)
{
	char text[GUID_TEXT_LEN];
	struct guid g;

	if (random_uuid(&g) < 0)
		return NULL;
	guid_format(&g, text);
	return json_string(text);
}

int settings_make(const json_t *object, struct settings **ret_settings, struct failure *f)
{
	json_t *root = json_deep_copy(object);
	int r = 0;

	if (json_is_object(root) && !json_object_get(root, "version"))
		r = json_object_set_new(root, "version", json_integer(SETTINGS_VERSION));
	if (r == 0 && json_is_object(root) && !json_object_get(root, "uuid"))
		r = json_object_set_new(root, "uuid", new_uuid());
	if (r == 0)
		r = nics_give_addresses(root);
	if (r < 0) {
		json_decref(root);
		return fail(f, -ENOMEM, "cannot make the VM's configuration: out of memory");
	}
	return of_root(root, ret_settings, f);
}

/* RFC 7396; 0 or -ENOMEM. */
static int merge(json_t *target, const json_t *patch)
{
	const char *name;
	json_t *value;
	int r = 0;

	json_object_foreach((json_t *)(uintptr_t)patch, name, value)
	{
		json_t *now = json_object_get(target, name);

		if (r < 0)
			break;
		if (json_is_null(value)) {
			(void)json_object_del(target, name);
		} else if (!json_is_object(value)) {
			r = json_object_set_new(target, name, json_deep_copy(value));
		} else {
			if (!json_is_object(now)) {
				r = json_object_set_new(target, name, json_object());
				now = json_object_get(target, name);
			}
			r = r < 0 ? r : merge(now, value);
		}
	}
	return r < 0 ? -ENOMEM : 0;
}

int settings_patch(const struct settings *s, const json_t *patch, struct settings **ret_settings,
		   struct failure *f)
{
	json_t *root = json_deep_copy(s->root);

	if (!json_is_object(patch)) {
		json_decref(root);
		return OR_INVALID(f, "a change is not an object");
	}
	if (!root || merge(root, patch) < 0 || nics_give_addresses(root) < 0) {
		json_decref(root);
		return fail(f, -ENOMEM, "cannot change the VM's configuration: out of memory");
	}
	if (!json_equal(json_object_get(root, "uuid"), json_object_get(s->root, "uuid"))) {
		json_decref(root);
		return OR_INVALID(f, "'uuid' cannot be changed");
	}
	return of_root(root, ret_settings, f);
}

int settings_with_list(const struct settings *s, const char *name, json_t *list,
		       struct settings **ret_settings, struct failure *f)
{
	json_t *root = json_deep_copy(s->root);

	if (!root || json_object_set_new(root, name, list) < 0) {
		json_decref(root);
		return fail(f, -ENOMEM, "cannot change the VM's configuration: out of memory");
	}
	return of_root(root, ret_settings, f);
}

void settings_free(struct settings *s)
{
	if (!s)
		return;
	json_decref(s->root);
	free(s);
}

/* A member that is a number, checked as it was decoded or by the worker. */
static uint64_t number_of(const struct settings *s, const char *name, uint64_t otherwise)
{
	const json_t *value = json_object_get(s->root, name);

	return json_is_integer(value) && json_integer_value(value) > 0
		       ? (uint64_t)json_integer_value(value)
		       : otherwise;
}

uint64_t settings_memory_mib(const struct settings *s)
{
	return number_of(s, "memory_mib", MEMORY_MIB);
}

uint64_t settings_cpus(const struct settings *s)
{
	return number_of(s, "cpus", 1);
}

static int hand_on(json_t *config, const json_t *root)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_LEN(handed_on); i++) {
		json_t *value = json_object_get(root, handed_on[i]);

		if (value)
			r = json_object_set(config, handed_on[i], value);
	}
	return r;
}

json_t *settings_for_worker(const struct settings *s, const struct vm_places *p)
{
	json_t *config = json_pack("{s:i, s:s, s:O, s:o, s:o, s:o, s:o}", "version", 1, "name",
				   p->name, "uuid", json_object_get(s->root, "uuid"), "disks",
				   disks_for_worker(s, p->folder), "control",
				   json_sprintf("%s/control", p->run), "end",
				   json_sprintf("%s/end", p->run), "nics", nics_for_worker(s));

	/* So that disks can be added later. */
	if (config && json_object_set_new(config, "controllers", json_integer(1)) < 0) {
		json_decref(config);
		return NULL;
	}
	if (config && hand_on(config, s->root) < 0) {
		json_decref(config);
		return NULL;
	}
	return config;
}
