/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/images.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "lib/fields.h"

#define BYTES_PER_MIB (INT64_C(1) << 20)

static size_t count_moved(const json_t *images)
{
	size_t count = 0, i;
	json_t *image;

	json_array_foreach(images, i, image) count += json_object_get(image, "moved") != NULL;
	return count;
}

/* A name in the VM's own folder: what lies elsewhere is somebody's already. */
static int take_one(json_t *disk, const char *brought, json_t *images, struct failure *f)
{
	const char *file = json_string_value(json_object_get(disk, "file"));
	json_t *size = json_object_get(disk, "size_mib"), *from = json_object_get(disk, "from");
	uint64_t mib = 0;
	json_t *image;
	int r;

	if ((size && !json_is_integer(size)) || (from && !json_is_string(from)))
		return OR_INVALID(f, "'%s' of a disk has the wrong type",
				  size && !json_is_integer(size) ? "size_mib" : "from");
	r = field_number(disk, "size_mib", 1, IMAGE_MIB_MAX, &mib, f);
	if (r < 0)
		return r;
	if (!file || strchr(file, '/'))
		return OR_INVALID(f, "a disk with '%s' needs a 'file' in the VM's folder",
				  from ? "from" : "size_mib");
	if (from && !brought)
		return OR_INVALID(f, "a disk cannot be made 'from' another image here");
	image = json_pack("{s:s, s:I}", "file", file, "bytes", (json_int_t)mib * BYTES_PER_MIB);
	if (from)
		json_object_set_new(image, "moved",
				    json_sprintf("%s/%zu", brought, count_moved(images)));
	if (json_array_append_new(images, image) < 0)
		return fail(f, -ENOMEM, "cannot make the VM's images: out of memory");
	(void)json_object_del(disk, "size_mib");
	(void)json_object_del(disk, "from");
	return 0;
}

bool images_are_brought(const json_t *settings)
{
	json_t *disk;
	size_t i;

	json_array_foreach(json_object_get(settings, "disks"), i, disk)
	{
		if (json_object_get(disk, "from"))
			return true;
	}
	return false;
}

int images_take(json_t *settings, const char *brought, json_t **ret_images, struct failure *f)
{
	json_t *images = json_array(), *disk;
	size_t i;
	int r = images ? 0 : -ENOMEM;

	json_array_foreach(json_object_get(settings, "disks"), i, disk)
	{
		if (r == 0 && (json_object_get(disk, "size_mib") || json_object_get(disk, "from")))
			r = take_one(disk, brought, images, f);
	}
	if (r < 0) {
		json_decref(images);
		return r;
	}
	*ret_images = images;
	return 0;
}

static int make_one(int folder, const char *file, int64_t bytes)
{
	int fd = openat(folder, file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	int r = 0;

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, bytes) < 0 || fsync(fd) < 0) {
		r = -errno;
		unlinkat(folder, file, 0);
	}
	close(fd);
	return r;
}

/* Both are on the file system of the host's state, and on its disk already. */
static int move_one(const char *from, int folder, const char *file)
{
	return renameat2(AT_FDCWD, from, folder, file, RENAME_NOREPLACE) < 0 ? -errno : 0;
}

static void remove_first(int folder, const json_t *images, size_t count)
{
	for (size_t i = 0; i < count; i++)
		unlinkat(folder,
			 json_string_value(json_object_get(json_array_get(images, i), "file")), 0);
}

void images_remove(const json_t *images, const char *folder)
{
	int at = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (at < 0)
		return;
	remove_first(at, images, json_array_size(images));
	close(at);
}

int images_make(const json_t *images, const char *folder, struct failure *f)
{
	int at = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = at < 0 ? -errno : 0;
	size_t made = 0;
	const char *file = "";

	for (; r == 0 && made < json_array_size(images); made++) {
		const json_t *image = json_array_get(images, made);

		const char *moved = json_string_value(json_object_get(image, "moved"));

		file = json_string_value(json_object_get(image, "file"));
		r = moved ? move_one(moved, at, file)
			  : make_one(at, file, json_integer_value(json_object_get(image, "bytes")));
		if (r < 0)
			break;
	}
	if (r == 0 && fsync(at) < 0)
		r = -errno;
	if (r < 0)
		remove_first(at, images, made);
	if (at >= 0)
		close(at);
	return r < 0 ? fail(f, r, "cannot make the image %s/%s: %s", folder, file, strerror(-r))
		     : 0;
}
