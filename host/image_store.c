/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/image_store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/settings.h"
#include "host/store.h"

#define SUFFIX ".raw"
#define BYTES_PER_BLOCK 512

bool image_name_allowed(const char *name)
{
	return vm_name_allowed(name);
}

int image_path(const char *state, const char *name, char *ret_path, size_t room)
{
	int n = snprintf(ret_path, room, "%s/images/%s" SUFFIX, state, name);

	return n < 0 || (size_t)n >= room ? -ENAMETOOLONG : 0;
}

/* The name of an image from that of its file; false: it is none. */
static bool take_name(const char *file, char name[VM_NAME_MAX + 1])
{
	size_t len = strlen(file), suffix = strlen(SUFFIX);

	if (len <= suffix || len - suffix > VM_NAME_MAX || strcmp(file + len - suffix, SUFFIX) != 0)
		return false;
	memcpy(name, file, len - suffix);
	name[len - suffix] = '\0';
	return image_name_allowed(name);
}

static json_t *show(int folder, const char *file)
{
	char name[VM_NAME_MAX + 1];
	struct stat st;

	if (!take_name(file, name) || fstatat(folder, file, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
	    !S_ISREG(st.st_mode))
		return NULL;
	return json_pack("{s:s, s:I, s:I}", "name", name, "bytes", (json_int_t)st.st_size,
			 "allocated_bytes", (json_int_t)st.st_blocks * BYTES_PER_BLOCK);
}

int images_list(const char *state, json_t **ret_list, struct failure *f)
{
	json_t *list = json_array(), *one;
	struct dirent **entries;
	char folder[PATH_MAX];
	int count, at;

	snprintf(folder, sizeof(folder), "%s/images", state);
	count = scandir(folder, &entries, NULL, alphasort);
	if (count < 0 && errno != ENOENT) {
		json_decref(list);
		return fail(f, -errno, "cannot read the folder %s: %s", folder, strerror(errno));
	}
	at = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; i < count; i++) {
		one = at >= 0 ? show(at, entries[i]->d_name) : NULL;
		if (one)
			json_array_append_new(list, one);
		free(entries[i]);
	}
	if (at >= 0)
		close(at);
	if (count >= 0)
		free(entries);
	*ret_list = list;
	return 0;
}

int image_add(const char *state, const char *name, const char *file, struct failure *f)
{
	char folder[PATH_MAX], path[PATH_MAX];
	int r = image_path(state, name, path, sizeof(path));

	if (r < 0)
		return fail(f, r, "the path of the image '%s' is too long", name);
	snprintf(folder, sizeof(folder), "%s/images", state);
	r = store_make_folder(folder, f);
	return r < 0 ? r : store_rename(file, path, f);
}

int image_remove(const char *state, const char *name, struct failure *f)
{
	char folder[PATH_MAX], path[PATH_MAX], file[VM_NAME_MAX + sizeof(SUFFIX)];

	if (!image_name_allowed(name) || image_path(state, name, path, sizeof(path)) < 0 ||
	    access(path, F_OK) < 0)
		return fail(f, -ENOENT, "there is no image '%.80s'; 'oya image list' names them",
			    name);
	snprintf(folder, sizeof(folder), "%s/images", state);
	snprintf(file, sizeof(file), "%s" SUFFIX, name);
	return store_remove(folder, file, f);
}
