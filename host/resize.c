/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/resize.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "host/host.h"

struct resize {
	struct pool_work work;
	struct vm *vm;
	char path[PATH_MAX];
	uint64_t mib;
	int r;
	struct failure f;
	edit_done_fn *done;
	void *ctx;
};

/* As a worker that writes to it has it (disk/raw.c). */
static int lock(int fd)
{
	struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	return fcntl(fd, F_OFD_SETLK, &whole) < 0 ? -errno : 0;
}

static int grow(int fd, const struct resize *z, struct failure *f)
{
	uint64_t bytes = z->mib << 20;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return fail(f, -errno, "cannot look at the image %s: %s", z->path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return fail(f, -EINVAL,
			    "%s is a device, which becomes larger where it was made, not here",
			    z->path);
	if ((uint64_t)st.st_size > bytes)
		return fail(f, -EINVAL,
			    "the image %s has %" PRIu64
			    " MiB; it is not made smaller, since that would cut off what is on it",
			    z->path, ((uint64_t)st.st_size + (1u << 20) - 1) >> 20);
	if (lock(fd) < 0)
		return fail(f, -EBUSY, "the image %s is in use by another VM", z->path);
	if (ftruncate(fd, (off_t)bytes) < 0 || fsync(fd) < 0)
		return fail(f, -errno, "cannot make the image %s larger: %s", z->path,
			    strerror(errno));
	return 0;
}

static void work(struct pool_work *w)
{
	struct resize *z = CONTAINER_OF(w, struct resize, work);
	int fd = open(z->path, O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	if (fd < 0) {
		z->r = fail(&z->f, -errno, "cannot open the image %s: %s", z->path,
			    strerror(errno));
		return;
	}
	z->r = grow(fd, z, &z->f);
	close(fd);
}

static void on_done(struct pool_work *w)
{
	struct resize *z = CONTAINER_OF(w, struct resize, work);

	z->vm->edited = false;
	z->done(z->ctx, z->vm, z->r, &z->f);
	free(z);
}

/* The image of a disk that can have another size. */
static int find_image(const struct vm *vm, struct disk_place place, char path[PATH_MAX],
		      struct failure *f)
{
	json_t *disk = settings_disk_at(vm->settings, place), *known;
	const char *text, *type;
	int r = 0;

	if (!disk)
		return fail(f, -ENOENT, "the VM '%s' has no disk at %u:%u", vm->name,
			    place.controller, place.lun);
	type = json_string_value(json_object_get(disk, "type"));
	known = settings_disk_for_worker(disk, vm->folder);
	text = json_string_value(json_object_get(known, "path"));
	if (!text || (type && strcmp(type, "dvd") == 0) ||
	    json_is_true(json_object_get(disk, "read_only")))
		r = fail(f, -EINVAL,
			 "%u:%u of the VM '%s' is a drive, or read-only: it has no size to change",
			 place.controller, place.lun, vm->name);
	else
		snprintf(path, PATH_MAX, "%s", text);
	json_decref(known);
	return r;
}

int resize_disk(struct vm *vm, struct disk_place place, uint64_t mib, edit_done_fn *done, void *ctx,
		struct failure *f)
{
	struct resize *z;
	int r;

	if (vm->edited)
		return fail(f, -EBUSY, "the VM '%s' is being changed by another request", vm->name);
	if (vm->life != VM_OFF)
		return fail(f, -EBUSY,
			    "cannot change the size of a disk of the VM '%s': it is %s; switch it "
			    "off first",
			    vm->name, vm_life_label(vm));
	z = calloc(1, sizeof(*z));
	r = z ? find_image(vm, place, z->path, f) : fail(f, -ENOMEM, "out of memory");
	if (r < 0) {
		free(z);
		return r;
	}
	z->work = (struct pool_work){.work = work, .done = on_done, .lane = &vm->lane};
	z->vm = vm;
	z->mib = mib;
	z->done = done;
	z->ctx = ctx;
	vm->edited = true;
	pool_submit(vm->host->pool, &z->work);
	return 0;
}
