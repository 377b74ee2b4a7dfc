/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/store.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOLDERS_OPEN 16

int store_make_folder(const char *path, struct failure *f)
{
	int r = mkdir(path, 0700) < 0 ? -errno : 0;

	if (r == 0)
		r = store_flush_parent(path);
	return r < 0 && r != -EEXIST
		       ? fail(f, r, "cannot make the folder %s: %s", path, strerror(-r))
		       : 0;
}

int store_link(const char *target, const char *path, struct failure *f)
{
	int r = symlink(target, path) < 0 ? -errno : store_flush_parent(path);

	return r < 0 ? fail(f, r, "cannot make the link %s: %s", path, strerror(-r)) : 0;
}

static bool is_one_file(const char *one, const char *other)
{
	struct stat a, b;

	return lstat(one, &a) == 0 && lstat(other, &b) == 0 && a.st_dev == b.st_dev &&
	       a.st_ino == b.st_ino;
}

/* What has the new name already is not replaced. Where the file system cannot rename so (NFS), a
 * file has both names for a moment, and the name may have been given by a request whose answer was
 * lost. */
static int rename_anew(const char *from, const char *to)
{
	int r;

	if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL)
		return -errno;
	r = link(from, to) < 0 ? -errno : 0;
	if (r < 0 && (r != -EEXIST || !is_one_file(from, to)))
		return r;
	return unlink(from) < 0 ? -errno : 0;
}

int store_rename(const char *from, const char *to, struct failure *f)
{
	int r = rename_anew(from, to);

	if (r == 0) {
		r = store_flush_parent(to);
		if (r < 0)
			(void)rename_anew(to, from);
	}
	return r < 0 ? fail(f, r, "cannot rename %s to %s: %s", from, to, strerror(-r)) : 0;
}

int store_exchange(const char *one, const char *other, struct failure *f)
{
	int r = renameat2(AT_FDCWD, one, AT_FDCWD, other, RENAME_EXCHANGE) < 0 ? -errno : 0;

	if (r == 0) {
		r = store_flush_parent(other);
		if (r < 0)
			(void)renameat2(AT_FDCWD, one, AT_FDCWD, other, RENAME_EXCHANGE);
	}
	return r < 0 ? fail(f, r, "cannot exchange %s and %s: %s", one, other, strerror(-r)) : 0;
}

int store_remove(const char *folder, const char *name, struct failure *f)
{
	char path[PATH_MAX];
	int r = 0;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	if (unlink(path) < 0 && errno != ENOENT)
		r = -errno;
	if (r == 0)
		r = store_flush_parent(path);
	return r < 0 ? fail(f, r, "cannot remove %s: %s", path, strerror(-r)) : 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path) < 0 ? -errno : 0;
}

int store_remove_folder(const char *path, struct failure *f)
{
	int r = nftw(path, remove_one, FOLDERS_OPEN, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);

	if (r == -1)
		r = -errno;
	if (r == 0)
		r = store_flush_parent(path);
	return r < 0 && r != -ENOENT
		       ? fail(f, r, "cannot remove the folder %s: %s", path, strerror(-r))
		       : 0;
}
