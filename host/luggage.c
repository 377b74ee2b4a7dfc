/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/luggage.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "host/store.h"
#include "host/vm.h"
#include "lib/lease.h"

#define SPARE_BYTES (UINT64_C(64) << 20) /* beside its data */

static int path_in(const char *folder, const char *name, char path[PATH_MAX], struct failure *f)
{
	return snprintf(path, PATH_MAX, "%s/%s", folder, name) < PATH_MAX
		       ? 0
		       : fail(f, -ENAMETOOLONG, "the path of %.80s in %.200s is too long", name,
			      folder);
}

static const char *file_of(const json_t *disk)
{
	return json_string_value(json_object_get(disk, "file"));
}

/* ---- the source ---- */

static int look_at_disks(const struct settings *s, struct failure *f)
{
	json_t *disk;
	size_t i;

	json_array_foreach(json_object_get(s->root, "disks"), i, disk)
	{
		const char *file = file_of(disk);
		const char *type = json_string_value(json_object_get(disk, "type"));

		if (file && strchr(file, '/'))
			return fail(f, -EINVAL,
				    "the image %s is not in its folder, and does not come along; "
				    "bring it there, or take it out of the VM",
				    file);
		if (file && (json_is_true(json_object_get(disk, "read_only")) ||
			     (type && strcmp(type, "dvd") == 0)))
			return fail(f, -EROFS,
				    "the image %s is only read, and does not come along; eject it, "
				    "or take it out of the VM",
				    file);
	}
	return 0;
}

static bool is_image(const struct settings *s, const char *name)
{
	json_t *disk;
	size_t i;

	json_array_foreach(json_object_get(s->root, "disks"), i, disk)
	{
		if (file_of(disk) && strcmp(file_of(disk), name) == 0)
			return true;
	}
	return false;
}

/* What is made anew there, or is of no use to it. */
static bool is_known(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strcmp(name, VM_FILE) == 0 ||
	       strcmp(name, VM_RUNNING_FILE) == 0 || strcmp(name, LEASE_FILE) == 0 ||
	       strncmp(name, STORE_NEW, strlen(STORE_NEW)) == 0;
}

static int look_at_files(const char *folder, const struct settings *s, struct failure *f)
{
	DIR *list = opendir(folder);
	struct dirent *entry;
	int r = 0;

	if (!list)
		return fail(f, -errno, "cannot read the folder %s: %s", folder, strerror(errno));
	while (r == 0 && (entry = readdir(list))) {
		if (!is_known(entry->d_name) && !is_image(s, entry->d_name))
			r = fail(f, -EINVAL,
				 "%s/%s is no disk of its settings, and does not come along; move "
				 "it away",
				 folder, entry->d_name);
	}
	closedir(list);
	return r;
}

int luggage_look(const char *folder, const struct settings *s, const struct guid *me,
		 uint64_t *ret_epoch, struct failure *f)
{
	struct lease_file l = {.fd = -1, .vm = s->uuid};
	char path[PATH_MAX];
	struct lease now;
	int r = look_at_disks(s, f);

	if (r == 0)
		r = look_at_files(folder, s, f);
	if (r == 0)
		r = path_in(folder, LEASE_FILE, path, f);
	if (r < 0)
		return r;
	l.name = path;
	r = lease_open(&l, false, f);
	if (r == 0)
		r = lease_read(&l, &now, f);
	if (r == 0 && (now.state != LEASE_HELD || !guid_equal(&now.owner, me)))
		r = lease_tell(&l, &now, me, LEASE_ANY, f);
	lease_close(&l);
	if (r == 0)
		*ret_epoch = now.epoch;
	return r;
}

/* ---- the destination ---- */

void luggage_judge(const struct offer *o, const char *folder, json_t *reasons)
{
	uint64_t data = SPARE_BYTES, room;
	char parent[PATH_MAX];
	struct statvfs v;
	struct stat st;

	if (lstat(folder, &st) == 0)
		offer_reason(reasons, "there is something at %s already; move it away", folder);
	for (size_t i = 0; i < o->disks; i++) {
		if (__builtin_add_overflow(data, o->disk[i].data, &data))
			data = UINT64_MAX;
	}
	snprintf(parent, sizeof(parent), "%.*s", (int)(strrchr(folder, '/') - folder), folder);
	if (statvfs(parent, &v) < 0) {
		offer_reason(reasons, "cannot look at the room of %s: %s", parent, strerror(errno));
		return;
	}
	room = (uint64_t)v.f_bavail * v.f_frsize;
	if (data > room)
		offer_reason(reasons,
			     "its disks need %" PRIu64 " MiB at %s, and %" PRIu64 " MiB are free",
			     data >> 20, parent, room >> 20);
}

/* As large as the other one, and empty. */
static int make_image(const char *folder, const char *name, uint64_t bytes, struct failure *f)
{
	char path[PATH_MAX];
	int r = path_in(folder, name, path, f), fd;

	if (r < 0)
		return r;
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return fail(f, errno == EEXIST ? -EINVAL : -errno, "cannot make %s: %s", path,
			    strerror(errno));
	if (ftruncate(fd, (off_t)bytes) < 0 || fsync(fd) < 0)
		r = fail(f, -errno, "cannot make %s of %" PRIu64 " bytes: %s", path, bytes,
			 strerror(errno));
	close(fd);
	return r;
}

static int make_images(const struct offer *o, const struct settings *s, const char *folder,
		       struct failure *f)
{
	json_t *disk;
	size_t i;
	int r = 0;

	json_array_foreach(json_object_get(s->root, "disks"), i, disk)
	{
		const char *file = file_of(disk);

		if (r == 0 && file && (strchr(file, '/') || !o->disk[i].there))
			r = fail(f, -EINVAL, "the image %s does not come along", file);
		else if (r == 0 && file)
			r = make_image(folder, file, o->disk[i].bytes, f);
	}
	return r;
}

static int make_lease(const struct offer *o, const struct settings *s, const char *folder,
		      const struct guid *me, struct failure *f)
{
	const struct lease offered = {.state = LEASE_OFFERED,
				      .epoch = o->epoch + 1,
				      .owner = o->host_uuid,
				      .target = *me};
	struct lease_file l = {.fd = -1, .vm = s->uuid};
	struct lease_slot slots[LEASE_SLOTS] = {0};
	char path[PATH_MAX];
	int r = path_in(folder, LEASE_FILE, path, f);

	l.name = path;
	if (r == 0)
		r = lease_open(&l, true, f);
	if (r < 0)
		return r;
	lease_encode(&l, &offered, &slots[offered.epoch % LEASE_SLOTS]);
	if (pwrite(l.fd, slots, sizeof(slots), 0) != (ssize_t)sizeof(slots) || fsync(l.fd) < 0)
		r = fail(f, -EIO, "cannot write its lease %s: %s", path, strerror(errno));
	lease_close(&l);
	return r;
}

int luggage_make(const struct offer *o, const struct settings *s, const char *folder,
		 const struct guid *me, struct failure *f)
{
	char *text = json_dumps(s->root, JSON_INDENT(2));
	int r = 0;

	if (!text)
		return fail(f, -ENOMEM, "cannot make the folder %s: out of memory", folder);
	if (mkdir(folder, 0700) < 0)
		r = fail(f, -errno, "cannot make the folder %s: %s", folder, strerror(errno));
	if (r == 0)
		r = make_lease(o, s, folder, me, f);
	if (r == 0)
		r = make_images(o, s, folder, f);
	/* By this one it is a VM's. */
	if (r == 0)
		r = store_write(folder, VM_FILE, text, strlen(text), f);
	if (r == 0 && store_flush_parent(folder) < 0)
		r = fail(f, -errno, "cannot flush the folder of %s: %s", folder, strerror(errno));
	free(text);
	return r;
}

/* ---- either ---- */

/* Whether it may go: by its lease; or it has not become a VM's. */
static int judge(const char *folder, const struct guid *vm, const struct guid *me, bool gone,
		 struct failure *f)
{
	struct lease_file l = {.fd = -1, .vm = *vm};
	char path[PATH_MAX];
	struct lease now;
	bool good;
	int r = path_in(folder, VM_FILE, path, f);

	if (r == 0 && !gone && access(path, F_OK) < 0 && errno == ENOENT)
		return 0;
	if (r == 0)
		r = path_in(folder, LEASE_FILE, path, f);
	l.name = path;
	if (r == 0)
		r = lease_open(&l, false, f);
	if (r == 0)
		r = lease_read(&l, &now, f);
	lease_close(&l);
	if (r < 0)
		return r;
	good = gone ? now.state == LEASE_HELD && !guid_equal(&now.owner, me)
		    : now.state == LEASE_OFFERED && guid_equal(&now.target, me);
	return good ? 0
		    : fail(f, -EBUSY, "the folder %s is left: its lease says that it is %s", folder,
			   gone ? "not another host's" : "not one that has not come");
}

static int empty(const char *folder, struct failure *f)
{
	DIR *list = opendir(folder);
	struct dirent *entry;
	int r = 0;

	if (!list)
		return fail(f, -errno, "cannot read the folder %s: %s", folder, strerror(errno));
	while (r == 0 && (entry = readdir(list))) {
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
		    strcmp(entry->d_name, LEASE_FILE) != 0 &&
		    unlinkat(dirfd(list), entry->d_name, 0) < 0)
			r = fail(f, -errno, "cannot remove %s/%s: %s", folder, entry->d_name,
				 strerror(errno));
	}
	closedir(list);
	return r;
}

int luggage_remove(const char *folder, const struct guid *vm, const struct guid *me, bool gone,
		   struct failure *f)
{
	char real[PATH_MAX];
	int r = 0;

	if (!realpath(folder, real)) {
		if (errno != ENOENT)
			return fail(f, -errno, "cannot find %s: %s", folder, strerror(errno));
	} else if (rmdir(real) < 0) {
		r = judge(real, vm, me, gone, f);
		if (r == 0)
			r = empty(real, f);
		if (r == 0)
			r = store_remove_folder(real, f);
	}
	/* A link that leads nowhere. */
	if (r == 0 && unlink(folder) < 0 && errno != ENOENT)
		r = fail(f, -errno, "cannot remove %s: %s", folder, strerror(errno));
	if (r == 0)
		(void)store_flush_parent(folder);
	return r;
}
