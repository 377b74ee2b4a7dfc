/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A VM's settings: the input is the text of vm.json and, behind the first NUL, a change or a new
 * VM as a client sends it.
 *
 * Checked: what is accepted keeps its limits and comes back from its text; a change leaves what it
 * was made of alone and does nothing when it is made twice; the worker is told what is its, of
 * disks in the VM's folder or by an absolute path, and where its sockets are by us alone; what is
 * refused comes with a sentence.
 */
#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "base/util.h"
#include "fuzz/harness.h"
#include "host/settings.h"
#include "lib/random.h"

static const struct vm_places places = {.name = "vm", .folder = "/vms/vm", .run = "/run/vm"};

/* In place of the real ones: a harness depends on its input alone. */
int random_uuid(struct guid *ret_uuid)
{
	return guid_parse("6ba7b810-9dad-41d1-80b4-00c04fd430c8", ret_uuid);
}

int random_mac(uint8_t ret_mac[6])
{
	static const uint8_t mac[6] = {0x00, 0x15, 0x5d, 0x00, 0x00, 0x01};

	memcpy(ret_mac, mac, sizeof(mac));
	return 0;
}

static void check_limits(const struct settings *s)
{
	const char *uuid = json_string_value(json_object_get(s->root, "uuid"));
	const char *notes = json_string_value(json_object_get(s->root, "notes"));
	struct guid g;

	must(json_integer_value(json_object_get(s->root, "version")) == SETTINGS_VERSION);
	must(uuid && guid_parse(uuid, &g) == 0 && guid_equal(&g, &s->uuid));
	must(!notes || strlen(notes) <= 4096);
	must(s->start <= START_ALWAYS && s->start_delay_s <= 86400);
	must(s->stop <= STOP_OFF && s->stop_timeout_s >= 1 && s->stop_timeout_s <= 86400);
	must(s->crash <= CRASH_LEAVE && s->crash_most >= 1 && s->crash_most <= 1000);
	must(s->crash_within_s >= 1 && s->crash_within_s <= 86400);
	must(s->cpu_percent <= 102400 && s->cpu_weight >= 1 && s->cpu_weight <= 10000);
}

static bool same(const struct settings *a, const struct settings *b)
{
	return json_equal(a->root, b->root) && guid_equal(&a->uuid, &b->uuid) &&
	       a->start == b->start && a->start_delay_s == b->start_delay_s && a->stop == b->stop &&
	       a->stop_timeout_s == b->stop_timeout_s && a->crash == b->crash &&
	       a->crash_most == b->crash_most && a->crash_within_s == b->crash_within_s &&
	       a->cpu_percent == b->cpu_percent && a->cpu_weight == b->cpu_weight;
}

/* A name in the folder, or absolute as the settings have it. */
static void check_path(const char *path, const char *file)
{
	size_t len = strlen(places.folder);

	if (file[0] == '/') {
		must(strcmp(path, file) == 0);
		return;
	}
	must(strncmp(path, places.folder, len) == 0 && path[len] == '/');
	must(strcmp(path + len + 1, file) == 0);
	must(file[0] && file[0] != '.' && !strchr(file, '/'));
}

static void check_disks(const json_t *disks, const json_t *settings)
{
	size_t i;
	json_t *disk;

	must(json_array_size(disks) == json_array_size(settings));
	json_array_foreach((json_t *)(uintptr_t)disks, i, disk)
	{
		const json_t *file = json_object_get(json_array_get(settings, i), "file");
		const json_t *path = json_object_get(disk, "path");

		must(!json_object_get(disk, "file") && !file == !path);
		if (path)
			check_path(json_string_value(path), json_string_value(file));
	}
}

static void check_for_worker(const struct settings *s)
{
	static const char *const never[] = {"device", "console", "sandbox", "user", "notes",
					    "tags",   "start",   "stop",    "crash"};
	json_t *before = json_deep_copy(s->root), *config = settings_for_worker(s, &places);

	must(before && config && json_equal(before, s->root));
	for (size_t i = 0; i < ARRAY_LEN(never); i++)
		must(!json_object_get(config, never[i]));
	must(strcmp(json_string_value(json_object_get(config, "name")), "vm") == 0);
	must(strcmp(json_string_value(json_object_get(config, "control")), "/run/vm/control") == 0);
	must(strcmp(json_string_value(json_object_get(config, "end")), "/run/vm/end") == 0);
	must(json_is_array(json_object_get(config, "nics")));
	check_disks(json_object_get(config, "disks"), json_object_get(s->root, "disks"));
	json_decref(config);
	json_decref(before);
}

static void check(const struct settings *s)
{
	char *text = json_dumps(s->root, JSON_COMPACT);
	struct settings *again = NULL;
	struct failure f;

	check_limits(s);
	must(text && settings_decode(text, strlen(text), &again, &f) == 0 && same(s, again));
	settings_free(again);
	free(text);
	check_for_worker(s);
}

static void change(const struct settings *s, const json_t *patch)
{
	json_t *before = json_deep_copy(s->root);
	struct settings *changed = NULL, *twice = NULL;
	struct failure f = {""};

	if (settings_patch(s, patch, &changed, &f) < 0) {
		must(!changed && f.text[0]);
	} else {
		check(changed);
		must(guid_equal(&changed->uuid, &s->uuid));
		must(settings_patch(changed, patch, &twice, &f) == 0 && same(changed, twice));
		settings_free(twice);
		settings_free(changed);
	}
	must(json_equal(before, s->root));
	json_decref(before);
}

static void make(const json_t *object)
{
	json_t *before = json_deep_copy(object);
	struct settings *s = NULL;
	struct failure f = {""};

	if (settings_make(object, &s, &f) < 0)
		must(!s && f.text[0]);
	else
		check(s);
	must(json_equal(before, object));
	json_decref(before);
	settings_free(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *end = memchr(data, '\0', size);
	size_t len = end ? (size_t)(end - data) : size;
	json_t *sent = NULL;
	struct settings *s = NULL;
	struct failure f = {""};

	if (end)
		sent = json_loadb((const char *)end + 1, size - len - 1, JSON_REJECT_DUPLICATES,
				  NULL);
	if (sent)
		make(sent);
	if (settings_decode((const char *)data, len, &s, &f) < 0) {
		must(!s && f.text[0]);
	} else {
		check(s);
		if (sent)
			change(s, sent);
	}
	settings_free(s);
	json_decref(sent);
	return 0;
}
