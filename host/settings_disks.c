/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Disks of a VM. Where one is that does not say so follows from the list as in worker/config.c;
 * when the list changes, those behind it are told where they were.
 */
#include <errno.h>
#include <jansson.h>
#include <stdint.h>
#include <string.h>

#include "base/util.h"
#include "host/save.h"
#include "host/settings_parts.h"
#include "lib/fields.h"
#include "lib/lease.h"

#define DISKS_MAX 256u /* the worker knows their number better */
#define CONTROLLERS_MAX 4u
#define LUNS_MAX 64u
#define IDE_PLACES 4u

#define NO_MEMORY(f) fail(f, -ENOMEM, "cannot change the VM's disks: out of memory")

/* A name in the VM's folder, or an absolute path: nothing that climbs out of the folder, and none
 * of our own files, which users are told to remove. */
static bool file_allowed(const char *file)
{
	static const char *const own[] = {VM_FILE, VM_RUNNING_FILE, SAVE_FILE, LEASE_FILE};

	for (size_t i = 0; i < ARRAY_LEN(own); i++) {
		if (strcmp(file, own[i]) == 0)
			return false;
	}
	return file[0] == '/' || (file[0] && file[0] != '.' && !strchr(file, '/'));
}

int disks_check(const struct settings *s, struct failure *f)
{
	json_t *list = json_object_get(s->root, "disks"), *disk;
	size_t i;

	if (json_array_size(list) > DISKS_MAX)
		return OR_INVALID(f, "%zu disks, at most %u are possible", json_array_size(list),
				  DISKS_MAX);
	json_array_foreach(list, i, disk)
	{
		json_t *file = json_object_get(disk, "file");

		if (!json_is_object(disk))
			return OR_INVALID(f, "a disk is not an object");
		if (json_object_get(disk, "path"))
			return OR_INVALID(f, "a disk has no setting 'path'; its image is 'file'");
		if (file && !json_is_string(file))
			return OR_INVALID(f, "'file' of a disk has the wrong type");
		if (file && !file_allowed(json_string_value(file)))
			return OR_INVALID(f,
					  "'%.64s' is no file of a disk: a name in the VM's folder "
					  "or an absolute path",
					  json_string_value(file));
	}
	return 0;
}

/* A copy whose 'file' has become the worker's 'path'. */
json_t *settings_disk_for_worker(const json_t *disk, const char *folder)
{
	json_t *copy = json_copy((json_t *)(uintptr_t)disk);
	const char *file = json_string_value(json_object_get(disk, "file"));
	json_t *path;

	if (!copy || !file)
		return copy;
	path = file[0] == '/' ? json_string(file) : json_sprintf("%s/%s", folder, file);
	if (json_object_del(copy, "file") < 0 || json_object_set_new(copy, "path", path) < 0) {
		json_decref(copy);
		return NULL;
	}
	return copy;
}

json_t *disks_for_worker(const struct settings *s, const char *folder)
{
	json_t *list = json_array(), *disk;
	size_t i;

	json_array_foreach(json_object_get(s->root, "disks"), i, disk)
	{
		if (json_array_append_new(list, settings_disk_for_worker(disk, folder)) < 0) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

/* ---- places ---- */

/* A number of a disk; `max`: it has none, or not one of these. */
static unsigned number_of(const json_t *disk, const char *name, unsigned max)
{
	json_int_t n = json_integer_value(json_object_get(disk, name));

	return json_object_get(disk, name) && n >= 0 && n < max ? (unsigned)n : max;
}

static unsigned lowest_free(uint64_t taken)
{
	return ~taken ? (unsigned)__builtin_ctzll(~taken) : LUNS_MAX;
}

/* Of each disk of the list, and the LUNs that are taken. */
static void find_places(const struct settings *s, const json_t *list,
			struct disk_place place[DISKS_MAX], uint64_t taken[CONTROLLERS_MAX])
{
	bool firmware = json_object_get(json_object_get(s->root, "boot"), "firmware") != NULL;
	unsigned ide = 0;
	json_t *disk;
	size_t i;

	memset(taken, 0, CONTROLLERS_MAX * sizeof(taken[0]));
	json_array_foreach((json_t *)(uintptr_t)list, i, disk)
	{
		unsigned c = number_of(disk, "controller", CONTROLLERS_MAX);
		unsigned lun = number_of(disk, "lun", LUNS_MAX);

		if (c == CONTROLLERS_MAX && lun == LUNS_MAX && firmware && ide < IDE_PLACES) {
			place[i] = (struct disk_place){CONTROLLERS_MAX + ide++, 0};
			continue;
		}
		place[i] = (struct disk_place){c == CONTROLLERS_MAX ? 0 : c, lun};
		if (lun < LUNS_MAX)
			taken[place[i].controller] |= UINT64_C(1) << lun;
	}
	for (i = 0; i < json_array_size(list); i++) {
		uint64_t *of = &taken[place[i].controller % CONTROLLERS_MAX];

		if (place[i].lun < LUNS_MAX)
			continue;
		place[i].lun = lowest_free(*of);
		if (place[i].lun < LUNS_MAX)
			*of |= UINT64_C(1) << place[i].lun;
	}
}

static int tell_place(json_t *disk, struct disk_place place)
{
	return json_object_set_new(disk, "controller", json_integer(place.controller)) |
	       json_object_set_new(disk, "lun", json_integer(place.lun));
}

/* The lowest that is free on the disk's controller. */
static int pin(const struct settings *s, const json_t *list, json_t *disk, struct failure *f)
{
	struct disk_place place[DISKS_MAX], own;
	uint64_t taken[CONTROLLERS_MAX];

	find_places(s, list, place, taken);
	own.controller = number_of(disk, "controller", CONTROLLERS_MAX) % CONTROLLERS_MAX;
	own.lun = number_of(disk, "lun", LUNS_MAX);
	if (own.lun == LUNS_MAX)
		own.lun = lowest_free(taken[own.controller]);
	if (own.lun == LUNS_MAX)
		return fail(f, -ENOSPC,
			    "cannot add a disk: controller %u has %u, which is all it "
			    "can have",
			    own.controller, LUNS_MAX);
	return tell_place(disk, own) ? NO_MEMORY(f) : 0;
}

int settings_add_disk(const struct settings *s, const json_t *disk, bool pinned,
		      struct settings **ret_settings, json_t **ret_disk, struct failure *f)
{
	json_t *list = json_deep_copy(json_object_get(s->root, "disks"));
	json_t *added = json_deep_copy(disk);
	int r = 0;

	list = list ? list : json_array();
	if (pinned && json_is_object(added) && json_array_size(list) < DISKS_MAX)
		r = pin(s, list, added, f);
	if (r == 0 && json_array_append(list, added) < 0)
		r = NO_MEMORY(f);
	if (r == 0)
		r = settings_with_list(s, "disks", list, ret_settings, f);
	else
		json_decref(list);
	if (r == 0)
		*ret_disk = added;
	else
		json_decref(added);
	return r;
}

/* Those of SCSI stay where they are when one before them goes. */
static int stay(json_t *list, const struct disk_place place[DISKS_MAX])
{
	json_t *disk;
	size_t i;

	json_array_foreach(list, i, disk)
	{
		if (place[i].controller < CONTROLLERS_MAX && place[i].lun < LUNS_MAX &&
		    tell_place(disk, place[i]))
			return -ENOMEM;
	}
	return 0;
}

/* Its number in the list; the list's length when there is none. */
static size_t index_of(const struct disk_place place[DISKS_MAX], const json_t *list,
		       struct disk_place wanted)
{
	size_t i = 0;

	while (i < json_array_size(list) &&
	       (place[i].controller != wanted.controller || place[i].lun != wanted.lun))
		i++;
	return i;
}

json_t *settings_disk_at(const struct settings *s, struct disk_place wanted)
{
	json_t *list = json_object_get(s->root, "disks");
	struct disk_place place[DISKS_MAX];
	uint64_t taken[CONTROLLERS_MAX];

	find_places(s, list, place, taken);
	return json_array_get(list, index_of(place, list, wanted));
}

int settings_remove_disk(const struct settings *s, struct disk_place wanted,
			 struct settings **ret_settings, json_t **ret_disk, struct failure *f)
{
	json_t *list = json_deep_copy(json_object_get(s->root, "disks"));
	struct disk_place place[DISKS_MAX];
	uint64_t taken[CONTROLLERS_MAX];
	size_t i;
	int r;

	find_places(s, list, place, taken);
	i = index_of(place, list, wanted);
	if (i == json_array_size(list)) {
		json_decref(list);
		return fail(f, -ENOENT, "the VM has no disk at %u:%u", wanted.controller,
			    wanted.lun);
	}
	r = stay(list, place);
	*ret_disk = json_incref(json_array_get(list, i));
	(void)json_array_remove(list, i);
	if (r == 0)
		r = settings_with_list(s, "disks", list, ret_settings, f);
	else
		json_decref(list);
	if (r < 0)
		json_decref(*ret_disk);
	return r == -ENOMEM ? NO_MEMORY(f) : r;
}

json_t *settings_show_disks(const struct settings *s)
{
	json_t *list = json_deep_copy(json_object_get(s->root, "disks")), *disk;
	struct disk_place place[DISKS_MAX];
	uint64_t taken[CONTROLLERS_MAX];
	size_t i;

	find_places(s, list, place, taken);
	json_array_foreach(list, i, disk)
	{
		json_object_set_new(disk, "place",
				    json_sprintf("%u:%u", place[i].controller, place[i].lun));
	}
	return list ? list : json_array();
}
