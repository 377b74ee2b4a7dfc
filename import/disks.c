/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "import/verbs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

char *image_folder(const struct image *i)
{
	const char *slash = strrchr(i->path, '/');

	if (i->format != FORMAT_VMDK || i->length || !slash)
		return NULL;
	return slash == i->path ? strdup("/") : strndup(i->path, (size_t)(slash - i->path));
}

static int open_image(const char *path, int flags, const struct image *i, struct source *ret,
		      struct failure *f)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | flags), r;
	struct stat st;

	if (fd < 0)
		return fail(f, -errno, "cannot open %s: %s", path, strerror(errno));
	if (fstat(fd, &st) < 0 || (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode)))
		r = fail(f, -EINVAL, "%s is neither a file nor a block device", path);
	else
		r = source_of_file(fd, i ? i->offset : 0, i ? i->length : 0, ret);
	if (r == -ERANGE)
		fail(f, r, "%s is shorter than it was said to be: copy it anew", path);
	if (r < 0)
		close(fd);
	return r;
}

/* Each file of a VMDK that is a text: there, a file, and none that leads on. */
static int check_extents(const struct image *i, const struct inspection *n, struct failure *f)
{
	char *folder = image_folder(i), path[PATH_MAX];
	int r = 0;

	if (n->extent_count == 0) {
		free(folder);
		return 0;
	}
	if (!folder)
		return fail(f, -EINVAL,
			    "%s names other files, which are not with it: unpack the OVA and give "
			    "its description",
			    i->path);
	for (unsigned k = 0; r == 0 && k < n->extent_count; k++) {
		struct source s;

		if (snprintf(path, sizeof(path), "%s/%s", folder, n->extents[k].name) >=
		    (int)sizeof(path))
			r = fail(f, -ENAMETOOLONG, "%s names a file whose path is too long",
				 i->path);
		else
			r = open_image(path, O_NOFOLLOW, NULL, &s, f);
		if (r < 0)
			break;
		if (n->extents[k].sparse && vmdk_extent_check(&s) < 0)
			r = fail(f, -EINVAL, "%s is no part of a VMDK image that is known", path);
		close(s.fd);
	}
	free(folder);
	return r;
}

int disk_check(const struct image *i, struct inspection *scratch, struct failure *f)
{
	struct source s;
	int r = open_image(i->path, 0, i, &s, f);

	if (r < 0)
		return r;
	r = format_inspect(&s, i->format, i->path, scratch, f);
	close(s.fd);
	return r == 0 ? check_extents(i, scratch, f) : r;
}

static int find_format(struct plan_disk *d, struct failure *f)
{
	struct image i = {.path = d->source, .offset = d->offset, .length = d->length};
	struct source s;
	int r;

	if (d->format != FORMAT_NONE)
		return 0;
	r = open_image(d->source, 0, &i, &s, f);
	if (r < 0)
		return r;
	r = format_of(&s, d->source, &d->format, f);
	close(s.fd);
	if (r == 0 && !format_is_image(d->format)) {
		d->format = FORMAT_NONE;
		return fail(f, -EINVAL, "%s is no disk image", d->source);
	}
	return r;
}

static int complete(struct plan *p, struct plan_disk *d, struct inspection *scratch)
{
	struct image i = {.path = d->source, .offset = d->offset, .length = d->length};
	struct failure f = {""};
	int r = find_format(d, &f);

	i.format = d->format;
	if (r == 0)
		r = disk_check(&i, scratch, &f);
	if (r == 0)
		r = qemu_img_info(&i, &d->bytes, &f);
	if (r == -ENOMEM)
		return r;
	if (r < 0)
		plan_refuse(p, "%s", f.text);
	else if (scratch->snapshots)
		plan_warn(p,
			  "the snapshots in %s are left out: the disk is taken over as it is now",
			  d->source);
	return 0;
}

int disks_complete(struct plan *p, struct failure *f)
{
	struct inspection *scratch = malloc(sizeof(*scratch));
	int r = scratch ? 0 : -ENOMEM;

	for (unsigned i = 0; r == 0 && i < p->disk_count; i++)
		r = complete(p, &p->disks[i], scratch);
	free(scratch);
	return r < 0 ? fail(f, r, "cannot look at the disks: out of memory") : 0;
}
