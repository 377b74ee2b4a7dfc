/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/coverage.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "host/rungs.h"
#include "host/settings.h"
#include "host/store.h"
#include "host/vm.h"

#define DEPTH_MAX 8u /* of volumes that are made of volumes */

/* ---- devices ---- */

/* That of a file "MAJOR:MINOR" below the folder of a device. */
static bool read_device(const char *path, dev_t *ret)
{
	FILE *from = fopen(path, "re");
	unsigned major, minor;
	bool good = from && fscanf(from, "%8u:%8u", &major, &minor) == 2;

	if (from)
		fclose(from);
	if (good)
		*ret = makedev(major, minor);
	return good;
}

static bool is_in(const dev_t *set, unsigned count, dev_t device)
{
	for (unsigned i = 0; i < count; i++)
		if (set[i] == device)
			return true;
	return false;
}

static bool reaches(const char *sys, const dev_t *set, unsigned count, dev_t device,
		    unsigned depth);

/* The parts of a volume; all of them, and one at least. */
static bool parts_reach(const char *sys, const dev_t *set, unsigned count, const char *folder,
			unsigned depth)
{
	char path[PATH_MAX];
	struct dirent *entry;
	bool all = true;
	unsigned parts = 0;
	dev_t part;
	DIR *list;

	snprintf(path, sizeof(path), "%s/slaves", folder);
	list = opendir(path);
	while (list && all && (entry = readdir(list))) {
		if (entry->d_name[0] == '.')
			continue;
		parts++;
		all = snprintf(path, sizeof(path), "%s/slaves/%s/dev", folder, entry->d_name) <
			      (int)sizeof(path) &&
		      read_device(path, &part) && reaches(sys, set, count, part, depth + 1);
	}
	if (list)
		closedir(list);
	return parts && all;
}

static bool reaches(const char *sys, const dev_t *set, unsigned count, dev_t device, unsigned depth)
{
	char folder[PATH_MAX / 2], path[PATH_MAX];
	dev_t whole;

	if (is_in(set, count, device))
		return true;
	if (depth > DEPTH_MAX)
		return false;
	snprintf(folder, sizeof(folder), "%s/dev/block/%u:%u", sys, major(device), minor(device));
	snprintf(path, sizeof(path), "%s/partition", folder);
	if (access(path, F_OK) < 0)
		return parts_reach(sys, set, count, folder, depth);
	snprintf(path, sizeof(path), "%s/../dev", folder);
	return read_device(path, &whole) && reaches(sys, set, count, whole, depth + 1);
}

bool coverage_reaches(const char *sys, const dev_t *set, unsigned count, dev_t device)
{
	return reaches(sys, set, count, device, 0);
}

/* Those that this host sees; units by iSCSI that no kernel carries are nobody's storage. */
static unsigned find_devices(const json_t *devices, dev_t set[RUNGS_DEVICES_MAX])
{
	unsigned count = 0;
	struct stat st;
	json_t *one;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)devices, i, one)
	{
		if (count < RUNGS_DEVICES_MAX && stat(json_string_value(one), &st) == 0 &&
		    S_ISBLK(st.st_mode))
			set[count++] = st.st_rdev;
	}
	return count;
}

/* ---- VMs ---- */

static bool is_written(const json_t *disk)
{
	const char *type = json_string_value(json_object_get(disk, "type"));

	return json_object_get(disk, "file") && !json_is_true(json_object_get(disk, "read_only")) &&
	       !(type && strcmp(type, "dvd") == 0);
}

static int check_disk(const dev_t *set, unsigned count, const char *folder, const char *file,
		      struct failure *f)
{
	char path[PATH_MAX];
	struct stat st;

	if (snprintf(path, sizeof(path), "%s%s%s", file[0] == '/' ? "" : folder,
		     file[0] == '/' ? "" : "/", file) >= (int)sizeof(path))
		return fail(f, -ENAMETOOLONG, "the path of its disk %.80s is too long", file);
	if (stat(path, &st) < 0)
		return fail(f, -errno, "this host does not see its disk %.200s: %s", path,
			    strerror(errno));
	if (coverage_reaches(COVERAGE_SYS, set, count,
			     S_ISBLK(st.st_mode) ? st.st_rdev : st.st_dev))
		return 0;
	return fail(f, -EXDEV,
		    "its disk %.200s lies on no device of '" RUNGS_RESERVATION
		    "', so that a host which was cut off there may still write to it",
		    path);
}

static int read_settings(const char *folder, struct settings **ret_settings, struct failure *f)
{
	char path[PATH_MAX], *text;
	size_t len;
	int r;

	snprintf(path, sizeof(path), "%.4000s/" VM_FILE, folder);
	r = store_read(path, SETTINGS_BYTES_MAX, &text, &len, f);
	if (r < 0)
		return r;
	r = settings_decode(text, len, ret_settings, f);
	free(text);
	return r;
}

int coverage_check(const json_t *devices, const char *folder, struct failure *f)
{
	dev_t set[RUNGS_DEVICES_MAX];
	unsigned count = find_devices(devices, set);
	struct settings *s;
	json_t *disk;
	size_t i;
	int r = read_settings(folder, &s, f);

	if (r < 0)
		return r;
	json_array_foreach(json_object_get(s->root, "disks"), i, disk)
	{
		if (r == 0 && is_written(disk))
			r = check_disk(set, count, folder,
				       json_string_value(json_object_get(disk, "file")), f);
	}
	settings_free(s);
	return r;
}

static json_t *show_vm(const json_t *rungs, const json_t *vm)
{
	const char *folder = json_string_value(json_object_get(vm, "folder"));
	const json_t *devices = rungs_devices(rungs);
	struct failure why = {"the cluster has no fencing by reservations"};
	json_t *names = json_array(), *rung;
	int r = devices ? coverage_check(devices, folder, &why) : -ENOENT;
	size_t i;

	json_array_foreach(json_object_get(rungs, "rungs"), i, rung)
	{
		const char *kind = json_string_value(json_object_get(rung, "kind"));

		if (r == 0 || strcmp(kind, "power") == 0)
			json_array_append(names, json_object_get(rung, "name"));
	}
	return json_pack("{s:O, s:o, s:s?}", "vm", json_object_get(vm, "name"), "rungs", names,
			 "reason", r < 0 ? why.text : NULL);
}

json_t *coverage_show(const json_t *rungs)
{
	json_t *list = json_array(), *vm;
	size_t i;

	json_array_foreach(json_object_get(rungs, "vms"), i, vm)
	{
		json_array_append_new(list, show_vm(rungs, vm));
	}
	return list;
}
