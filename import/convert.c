/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * convert: this process makes the destination, and takes it away again when the confined one fails
 * or is told to end; the confined one may write that file and read the source.
 */
#include "import/verbs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "import/confine.h"

#define BYTES_MAX (UINT64_C(64) << 40)
#define CONVERT_CPU_S (48u * 3600u)
#define SECTOR 512u

struct task {
	const struct conversion *c;
	int fd; /* of the destination */
};

/* The last one is told when all is on the disk. */
static void tell(unsigned percent)
{
	if (percent == 100)
		return;
	printf("progress %u\n", percent);
	fflush(stdout);
}

static int set_size(const struct task *t, uint64_t bytes, struct failure *f)
{
	int r;

	if (ftruncate(t->fd, (off_t)bytes) == 0)
		return 0;
	r = -errno;
	return r == -EFBIG
		       ? fail(f, r,
			      "cannot make %s %llu bytes long: its file system, or a limit, does "
			      "not have files that large",
			      t->c->destination, (unsigned long long)bytes)
		       : fail(f, r, "cannot make %s %llu bytes long: %s", t->c->destination,
			      (unsigned long long)bytes, strerror(-r));
}

/* Whether the destination shares the source's blocks now. */
static bool clone_file(const struct task *t)
{
	const struct image *i = &t->c->image;
	int fd, r;

	if (i->format != FORMAT_RAW || i->length || i->offset)
		return false;
	fd = open(i->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return false;
	r = ioctl(t->fd, FICLONE, fd);
	close(fd);
	return r == 0;
}

static int convert(const struct task *t, uint64_t bytes, struct failure *f)
{
	int r = set_size(t, bytes, f);

	if (r == 0)
		r = qemu_img_convert(&t->c->image, t->c->destination, tell, f);
	if (r == -ENOSPC || r == -EDQUOT)
		return fail(
			f, r,
			"cannot write %s: no space is left in its file system; the disk holds up "
			"to %llu MiB: make room, or choose another folder",
			t->c->destination, (unsigned long long)(bytes >> 20));
	return r;
}

static int check(const struct task *t, uint64_t *ret_bytes, struct failure *f)
{
	const struct conversion *c = t->c;
	struct inspection *scratch = malloc(sizeof(*scratch));
	int r = scratch ? disk_check(&c->image, scratch, f)
			: fail(f, -ENOMEM, "cannot convert %s: out of memory", c->image.path);

	free(scratch);
	/* It also notices, by its locks, that a VM still uses the image; a clone would not. */
	if (r == 0)
		r = qemu_img_info(&c->image, ret_bytes, f);
	if (r == 0 && *ret_bytes > BYTES_MAX)
		r = fail(f, -EFBIG, "%s holds a disk of more than 64 TiB, the most that Oya has",
			 c->image.path);
	if (r == 0 && c->grow && c->grow < *ret_bytes)
		r = fail(f, -EINVAL,
			 "%s holds a disk of %llu bytes, which cannot be made %llu bytes short",
			 c->image.path, (unsigned long long)*ret_bytes,
			 (unsigned long long)c->grow);
	return r;
}

/* In the confined process. */
static int inside(void *ctx, struct failure *f)
{
	const struct task *t = ctx;
	uint64_t bytes = 0;
	int r = check(t, &bytes, f);

	if (r < 0)
		return r;
	tell(0);
	if (!clone_file(t))
		r = convert(t, align_up(bytes, SECTOR), f);
	if (r == 0)
		r = set_size(t, align_up(t->c->grow ? t->c->grow : bytes, SECTOR), f);
	if (r == 0 && fsync(t->fd) < 0)
		r = fail(f, -errno, "cannot write %s: %s", t->c->destination, strerror(errno));
	return r;
}

static int sync_folder(const char *path, struct failure *f)
{
	char *folder = strdup(path), *slash = folder ? strrchr(folder, '/') : NULL;
	int fd = -1, r = 0;

	if (slash)
		slash[slash == folder] = '\0';
	if (folder)
		fd = open(slash ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) < 0)
		r = fail(f, -errno, "cannot write the folder of %s: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	free(folder);
	return r;
}

static int finish(const struct task *t, struct failure *f)
{
	struct stat st;
	int r = sync_folder(t->c->destination, f);

	if (r == 0 && fstat(t->fd, &st) < 0)
		r = fail(f, -errno, "cannot look at %s: %s", t->c->destination, strerror(errno));
	if (r < 0)
		return r;
	printf("progress 100\ndone %llu\n", (unsigned long long)st.st_size);
	if (fflush(stdout) != 0)
		return fail(f, -EIO, "cannot write to the standard output");
	return 0;
}

int verb_convert(const struct conversion *c, struct failure *f)
{
	struct task t = {.c = c};
	struct conversion absolute = *c;
	struct confine_rules rules = {.write = c->destination, .cpu_s = CONVERT_CPU_S};
	char path[PATH_MAX], *folder;
	int r;

	if (!format_is_image(c->image.format))
		return fail(f, -EINVAL, "'%s' is no format of a disk image", c->image.path);
	if (!realpath(c->image.path, path))
		return fail(f, -errno, "cannot find %s: %s", c->image.path, strerror(errno));
	absolute.image.path = path;
	t.c = &absolute;
	t.fd = open(c->destination, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (t.fd < 0)
		return fail(f, -errno, "cannot make %s: %s", c->destination, strerror(errno));
	folder = image_folder(&absolute.image);
	rules.read[rules.read_count++] = path;
	if (folder)
		rules.read[rules.read_count++] = folder;
	r = confined_run(&rules, inside, &t, f);
	if (r == 0)
		r = finish(&t, f);
	if (r < 0)
		unlink(c->destination);
	close(t.fd);
	free(folder);
	return r;
}
