/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/place.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "host/store.h"
#include "host/vm.h"
#include "lib/lease.h"
#include "lib/sparse.h"

#define MARK STORE_NEW "place"

/* Of the folder as it is now. */
typedef int each_file(struct place *p, const char *name, void *ctx, struct failure *f);

static int path_in(const char *folder, const char *name, char path[PATH_MAX], struct failure *f)
{
	return snprintf(path, PATH_MAX, "%s/%s", folder, name) < PATH_MAX
		       ? 0
		       : fail(f, -ENAMETOOLONG, "the path of %.80s in %.200s is too long", name,
			      folder);
}

static bool exists(const char *folder, const char *name)
{
	char path[PATH_MAX];
	struct failure ignored;

	return path_in(folder, name, path, &ignored) == 0 && access(path, F_OK) == 0;
}

/* Files that are made anew, or belong to what never came to its end. */
static bool is_left(const char *name)
{
	return strcmp(name, LEASE_FILE) == 0 || strcmp(name, VM_RUNNING_FILE) == 0 ||
	       strncmp(name, STORE_NEW, strlen(STORE_NEW)) == 0;
}

static int for_each(struct place *p, each_file *each, void *ctx, struct failure *f)
{
	DIR *list = opendir(p->from);
	struct dirent *entry;
	int r = 0;

	if (!list)
		return fail(f, -errno, "cannot read the folder %s: %s", p->from, strerror(errno));
	while (r == 0 && (entry = readdir(list))) {
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
		    !is_left(entry->d_name))
			r = each(p, entry->d_name, ctx, f);
	}
	closedir(list);
	return r;
}

/* ---- begin ---- */

static int look_at_file(struct place *p, const char *name, void *ctx, struct failure *f)
{
	char path[PATH_MAX];
	struct stat st;
	int r = path_in(p->from, name, path, f);

	(void)ctx;
	if (r == 0 && lstat(path, &st) < 0)
		return fail(f, -errno, "cannot look at %s: %s", path, strerror(errno));
	if (r == 0 && !S_ISREG(st.st_mode))
		return fail(f, -EINVAL,
			    "%s is not a regular file, and would not move with the VM; move it "
			    "away first",
			    path);
	return r;
}

/* A path that leads into the old folder otherwise than by its name here would lead nowhere. */
static int look_at_disks(const struct place *p, const struct settings *s, struct failure *f)
{
	json_t *disk;
	size_t i;

	json_array_foreach(json_object_get(s->root, "disks"), i, disk)
	{
		const char *file = json_string_value(json_object_get(disk, "file"));
		char real[PATH_MAX];

		if (!file || !strchr(file, '/') || !realpath(file, real))
			continue;
		if (strncmp(real, p->from, strlen(p->from)) == 0 && real[strlen(p->from)] == '/')
			return fail(f, -EINVAL,
				    "its settings name the image %s by its path, which moves; name "
				    "it %s ('oya vm set') first",
				    file, strrchr(real, '/') + 1);
	}
	return 0;
}

static int find_paths(struct place *p, const char *parent, struct failure *f)
{
	char real[PATH_MAX], vms[PATH_MAX], note[NAME_MAX + 1];
	struct stat st;
	int r = path_in(p->vms, p->name, p->own, f);

	snprintf(note, sizeof(note), PLACE_NOTE "%s", p->name);
	if (r == 0)
		r = path_in(p->vms, note, p->note, f);
	if (r < 0)
		return r;
	if (!realpath(p->own, p->from) || !realpath(p->vms, vms))
		return fail(f, -errno, "cannot find %s: %s", p->own, strerror(errno));
	if (!parent)
		return 0;
	if (!realpath(parent, real) || stat(real, &st) < 0 || !S_ISDIR(st.st_mode))
		return fail(f, -ENOENT, "there is no folder %s; make it first", parent);
	r = path_in(real, p->name, p->to, f);
	if (r < 0)
		return r;
	if (strcmp(p->from, p->to) == 0)
		return fail(f, -EEXIST, "its folder is in %s already", parent);
	if (strncmp(real, p->from, strlen(p->from)) == 0 &&
	    (real[strlen(p->from)] == '/' || !real[strlen(p->from)]))
		return fail(f, -EINVAL, "%s is within its folder", parent);
	/* There the exchange gives it its name. */
	if (strcmp(real, vms) == 0) {
		snprintf(p->to, sizeof(p->to), "%s", p->note);
		return 0;
	}
	if (lstat(p->to, &st) == 0)
		return fail(f, -EEXIST, "there is something at %s already", p->to);
	return 0;
}

/* From here on what was made is found again. */
static int make_folder(struct place *p, struct failure *f)
{
	int r = strcmp(p->to, p->note) == 0 ? 0 : store_link(p->to, p->note, f), fd;
	char mark[PATH_MAX];

	if (r < 0)
		return r;
	if (mkdir(p->to, 0700) < 0)
		return fail(f, -errno, "cannot make the folder %s: %s", p->to, strerror(errno));
	/* In one step, unlike store_write(). */
	r = path_in(p->to, MARK, mark, f);
	if (r < 0)
		return r;
	fd = open(mark, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return fail(f, -errno, "cannot make %s: %s", mark, strerror(errno));
	close(fd);
	r = store_flush_parent(mark);
	if (r == 0)
		r = store_flush_parent(p->to);
	return r < 0 ? fail(f, r, "cannot flush the folder %s: %s", p->to, strerror(-r)) : 0;
}

static void open_lease_at(struct lease_file *l, const struct place *p, char path[PATH_MAX])
{
	struct failure ignored;

	(void)path_in(p->from, LEASE_FILE, path, &ignored);
	*l = (struct lease_file){.fd = -1, .vm = p->vm, .name = path};
}

/* So that no other host starts it meanwhile. */
static int hold_old(const struct place *p, struct failure *f)
{
	struct lease_file l;
	char path[PATH_MAX];
	uint64_t epoch;
	int r;

	if (p->runs)
		return 0;
	open_lease_at(&l, p, path);
	r = lease_open(&l, true, f);
	if (r == 0)
		r = lease_take(&l, &p->me, LEASE_ANY, &epoch, f);
	lease_close(&l);
	return r;
}

int place_begin(struct place *p, const struct settings *s, const char *parent, struct failure *f)
{
	struct failure ignored;
	int r = find_paths(p, parent, f);

	p->lease = -1;
	if (r == 0) /* what could not be cleaned then */
		r = place_clean(p, f);
	if (r == 0)
		r = for_each(p, look_at_file, NULL, f);
	if (r == 0)
		r = look_at_disks(p, s, f);
	if (r < 0)
		return r;
	r = make_folder(p, f);
	/* With the note there it is freed whatever comes. */
	if (r == 0)
		r = hold_old(p, f);
	if (r < 0)
		(void)place_clean(p, &ignored);
	return r;
}

/* ---- copies ---- */

struct copying {
	const json_t *images;
	uint8_t *buffer; /* NULL: bytes are counted only */
};

static bool is_of_worker(const json_t *images, const char *name)
{
	json_t *image;
	size_t i;

	json_array_foreach(images, i, image)
	{
		if (strcmp(json_string_value(json_object_get(image, "file")), name) == 0)
			return true;
	}
	return false;
}

/* As a worker that writes to it has it (disk/raw.c). */
static int lock(int fd)
{
	struct flock whole = {.l_type = F_RDLCK, .l_whence = SEEK_SET};

	return fcntl(fd, F_OFD_SETLK, &whole) < 0 ? -EBUSY : 0;
}

static int copy_data(struct place *p, struct sparse_copy *c, uint64_t size)
{
	uint64_t at = 0, from, to;
	int r = 0;

	while (r == 0 && sparse_next(c->from, at, size, &from, &to)) {
		at = from + min_u64(to - from, SPARSE_STEP_BYTES);
		r = __atomic_load_n(&p->cancel, __ATOMIC_RELAXED) ? -ECANCELED
								  : sparse_copy(c, from, at - from);
		__atomic_add_fetch(&p->done_bytes, at - from, __ATOMIC_RELAXED);
	}
	return r;
}

/* Open both; to: -1: is to be made. */
static int copy_open(struct place *p, const char *name, int from, uint8_t *buffer,
		     struct failure *f)
{
	struct sparse_copy c = {.from = from, .to = -1, .buffer = buffer, .fresh = true};
	char path[PATH_MAX];
	struct stat st;
	int r = path_in(p->to, name, path, f);

	if (r < 0)
		return r;
	if (fstat(from, &st) < 0)
		return fail(f, -errno, "cannot look at %s/%s: %s", p->from, name, strerror(errno));
	if (lock(from) < 0)
		return fail(f, -EBUSY, "%s/%s is in use by another VM or program", p->from, name);
	c.to = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (c.to < 0)
		return fail(f, -errno, "cannot make %s: %s", path, strerror(errno));
	if (fchmod(c.to, st.st_mode & 07777) < 0 || fchown(c.to, st.st_uid, st.st_gid) < 0 ||
	    ftruncate(c.to, st.st_size) < 0)
		r = -errno;
	if (r == 0)
		r = copy_data(p, &c, (uint64_t)st.st_size);
	if (r == 0 && fsync(c.to) < 0)
		r = -errno;
	close(c.to);
	if (r == -ECANCELED)
		return fail(f, r, "cancelled");
	if (r < 0 && c.reading)
		return fail(f, r, "cannot read %s/%s: %s", p->from, name, strerror(-r));
	return r < 0 ? fail(f, r, "cannot write %s: %s", path, strerror(-r)) : 0;
}

static int copy_file(struct place *p, const char *name, void *ctx, struct failure *f)
{
	struct copying *c = ctx;
	char path[PATH_MAX];
	struct stat st;
	int r = path_in(p->from, name, path, f), fd;

	if (r < 0 || is_of_worker(c->images, name))
		return r;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return fail(f, -errno, "cannot open %s: %s", path, strerror(errno));
	if (c->buffer)
		r = copy_open(p, name, fd, c->buffer, f);
	else if (fstat(fd, &st) == 0)
		__atomic_add_fetch(&p->total_bytes, (uint64_t)st.st_blocks * 512, __ATOMIC_RELAXED);
	close(fd);
	return r;
}

int place_copy(struct place *p, const json_t *images, struct failure *f)
{
	struct copying c = {.images = images};
	int r = for_each(p, copy_file, &c, f);

	if (r < 0)
		return r;
	c.buffer = aligned_alloc(SPARSE_ALIGN, SPARSE_STEP_BYTES);
	r = c.buffer ? for_each(p, copy_file, &c, f)
		     : fail(f, -ENOMEM, "cannot copy its files: out of memory");
	free(c.buffer);
	return r;
}

int place_make_image(const struct place *p, const char *name, struct failure *f)
{
	char from[PATH_MAX], to[PATH_MAX];
	struct stat st;
	int r = path_in(p->from, name, from, f), fd = -1;

	if (r == 0)
		r = path_in(p->to, name, to, f);
	if (r < 0)
		return r;
	if (stat(from, &st) < 0)
		return fail(f, -errno, "cannot look at %s: %s", from, strerror(errno));
	fd = open(to, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return fail(f, -errno, "cannot make %s: %s", to, strerror(errno));
	if (fchmod(fd, st.st_mode & 07777) == 0 && fchown(fd, st.st_uid, st.st_gid) == 0 &&
	    ftruncate(fd, st.st_size) == 0 && fsync(fd) == 0)
		return fd;
	r = fail(f, -errno, "cannot make %s: %s", to, strerror(errno));
	close(fd);
	return r;
}

/* ---- change ---- */

static int is_copied(struct place *p, const char *name, void *ctx, struct failure *f)
{
	(void)ctx;
	return exists(p->to, name)
		       ? 0
		       : fail(f, -EAGAIN,
			      "%s has come into %s while it was copied; take it out, or try again",
			      name, p->from);
}

/* The old one is held by us, and stays so. A VM that is off has its new one free. */
static int make_lease(struct place *p, struct failure *f)
{
	struct lease_file old, new = {.fd = -1, .vm = p->vm};
	struct lease now = {.state = LEASE_FREE};
	char from[PATH_MAX], to[PATH_MAX];
	struct lease_slot slots[LEASE_SLOTS] = {0};
	int r = path_in(p->to, LEASE_FILE, to, f);

	open_lease_at(&old, p, from);
	new.name = to;
	if (r == 0)
		r = lease_open(&old, false, f);
	if (r == 0)
		r = lease_read(&old, &now, f);
	if (r == 0 && (now.state != LEASE_HELD || !guid_equal(&now.owner, &p->me)))
		r = lease_tell(&old, &now, &p->me, LEASE_ANY, f);
	lease_close(&old);
	if (r < 0)
		return r;
	r = lease_open(&new, true, f);
	lease_encode(&new, &now, &slots[now.epoch % LEASE_SLOTS]);
	if (r == 0 && pwrite(new.fd, slots, sizeof(slots), 0) != (ssize_t)sizeof(slots))
		r = fail(f, -EIO, "cannot write its lease %s: %s", to, strerror(errno));
	if (r == 0)
		r = lease_take(&new, &p->me, now.epoch, &p->epoch, f);
	if (r == 0 && !p->runs)
		r = lease_free(&new, &p->me, p->epoch, f);
	p->lease = new.fd;
	return r;
}

int place_change(struct place *p, struct failure *f)
{
	int r = for_each(p, is_copied, NULL, f);

	if (r == 0)
		r = make_lease(p, f);
	if (r == 0 && exists(p->from, VM_RUNNING_FILE))
		r = store_write(p->to, VM_RUNNING_FILE, "", 0, f);
	if (r == 0 && store_flush_parent(p->note) < 0)
		r = fail(f, -errno, "cannot flush %s: %s", p->vms, strerror(errno));
	if (r == 0)
		r = store_exchange(p->note, p->own, f);
	/* What has the name and cannot lose it is the VM's. */
	return r < 0 && exists(p->own, MARK) ? 0 : r;
}

/* ---- clean ---- */

/* What the note leads to, without links; "" when there is nothing. */
static int other_folder(const struct place *p, char path[PATH_MAX], bool *ret_link,
			struct failure *f)
{
	struct stat st;

	path[0] = '\0';
	*ret_link = false;
	if (lstat(p->note, &st) < 0)
		return errno == ENOENT
			       ? 0
			       : fail(f, -errno, "cannot look at %s: %s", p->note, strerror(errno));
	*ret_link = S_ISLNK(st.st_mode);
	if (!realpath(p->note, path)) {
		path[0] = '\0';
		if (errno != ENOENT)
			return fail(f, -errno, "cannot find what %s leads to: %s", p->note,
				    strerror(errno));
	}
	return 0;
}

/* One that was made here, its mark last; one that was not is left alone, unless it is empty. */
static int remove_made(const char *folder, struct failure *f)
{
	DIR *list = exists(folder, MARK) ? opendir(folder) : NULL;
	struct dirent *entry;
	int r = 0;

	while (r == 0 && list && (entry = readdir(list))) {
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
		    strcmp(entry->d_name, MARK) != 0 && unlinkat(dirfd(list), entry->d_name, 0) < 0)
			r = fail(f, -errno, "cannot remove %s/%s: %s", folder, entry->d_name,
				 strerror(errno));
	}
	if (list)
		closedir(list);
	if (r == 0 && list)
		r = store_remove(folder, MARK, f);
	if (r == 0 && rmdir(folder) == 0)
		(void)store_flush_parent(folder);
	return r;
}

static int remove_note(const struct place *p, bool link, struct failure *f)
{
	const char *name = strrchr(p->note, '/') + 1;

	return link ? store_remove(p->vms, name, f) : 0;
}

int place_clean(struct place *p, struct failure *f)
{
	bool changed = exists(p->own, MARK), link;
	char other[PATH_MAX];
	int r = p->note[0] ? other_folder(p, other, &link, f) : -ENOENT;

	if (p->lease >= 0)
		close(p->lease);
	p->lease = -1;
	if (r == -ENOENT) /* it has not begun */
		return 0;
	/* Not before the disk has the change for good. */
	if (r == 0 && changed && store_flush_parent(p->own) < 0)
		r = fail(f, -errno, "cannot flush %s: %s", p->vms, strerror(errno));
	if (r == 0 && other[0])
		r = changed ? store_remove_folder(other, f) : remove_made(other, f);
	if (r == 0)
		r = remove_note(p, link, f);
	/* So long it is known which was the new one. */
	return r == 0 && changed ? store_remove(p->own, MARK, f) : r;
}

int place_look(struct place *p, bool *ret_changed, struct failure *f)
{
	int r = find_paths(p, NULL, f);

	p->lease = -1;
	if (r < 0)
		return r;
	*ret_changed = exists(p->own, MARK);
	if (*ret_changed) {
		struct lease_file l;
		char path[PATH_MAX];
		struct lease now;

		open_lease_at(&l, p, path);
		r = lease_open(&l, false, f);
		if (r == 0)
			r = lease_read(&l, &now, f);
		p->lease = l.fd;
		p->epoch = r == 0 ? now.epoch : 0;
	}
	return r;
}

void place_unmark(const char *vms, const char *name)
{
	char path[PATH_MAX];
	struct stat st;

	if (snprintf(path, sizeof(path), "%s/" PLACE_NOTE "%s", vms, name) >= (int)sizeof(path) ||
	    lstat(path, &st) == 0)
		return;
	if (snprintf(path, sizeof(path), "%s/%s/" MARK, vms, name) < (int)sizeof(path))
		(void)unlink(path);
}
