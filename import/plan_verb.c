/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * plan: one confined process reads the description alone; then paths are known, and another one,
 * which may read those and nothing else, reads the disks and prints. Between them stands this
 * process, which decodes nothing.
 */
#include "import/verbs.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "import/confine.h"
#include "import/libvirt.h"
#include "import/ovf.h"
#include "lib/xml.h"

#define DESCRIPTION_CPU_S 30u
#define DISKS_CPU_S 120u

struct task {
	char file[PATH_MAX], folder[PATH_MAX]; /* absolute */
	enum format format;
	bool any_path; /* it may name any file of this host: somebody said that it is libvirt's */
	struct plan *plan;
};

/* VM's name of a file's: without its folder and ending. */
static void name_of_file(struct plan *p, const char *file)
{
	const char *base = strrchr(file, '/') + 1, *dot = strrchr(base, '.');
	char name[NAME_MAX + 1];

	snprintf(name, sizeof(name), "%.*s",
		 dot && dot > base ? (int)(dot - base) : (int)strlen(base), base);
	plan_set_name(p, name);
}

/* By its first element, behind declarations and comments. The decoder says when it is neither. */
static enum format which_xml(const char *text)
{
	const char *end;

	for (;;) {
		text += strspn(text, " \t\r\n\xef\xbb\xbf");
		if (strncmp(text, "<?", 2) == 0)
			end = strstr(text, "?>");
		else if (strncmp(text, "<!--", 4) == 0)
			end = strstr(text, "-->");
		else
			break;
		if (!end)
			break;
		text = end + 2;
		text += *text == '>';
	}
	return strncmp(text, "<domain", 7) == 0 ? FORMAT_LIBVIRT : FORMAT_OVF;
}

static int decode_xml(const struct source *s, struct task *t, struct failure *f)
{
	size_t len = (size_t)s->size;
	char *text = NULL;
	int r = 0;

	if (s->size > XML_BYTES_MAX)
		return fail(f, -EFBIG, "%s is longer than %u bytes", t->file, XML_BYTES_MAX);
	text = malloc(len + 1);
	if (!text)
		return fail(f, -ENOMEM, "cannot read %s: out of memory", t->file);
	r = source_read(s, 0, text, len);
	text[len] = '\0';
	if (t->format == FORMAT_XML)
		t->format = which_xml(text);
	if (r < 0)
		fail(f, r, "cannot read %s: %s", t->file, strerror(-r));
	else if (t->format == FORMAT_LIBVIRT)
		r = libvirt_decode(text, len, t->plan, f);
	else
		r = ovf_decode(text, len, t->plan, f);
	free(text);
	return r;
}

static int decode(const struct source *s, struct task *t, struct failure *f)
{
	struct plan_disk *d;
	int r = 0;

	if (t->format == FORMAT_NONE)
		r = format_of(s, t->file, &t->format, f);
	if (r < 0)
		return r;
	if (t->format == FORMAT_OVA)
		return ova_decode(s, t->plan, f);
	if (!format_is_image(t->format))
		return decode_xml(s, t, f);
	t->plan->kind = PLAN_IMAGE;
	d = plan_add_disk(t->plan, t->file);
	if (d)
		d->format = t->format;
	return 0;
}

/* In the first confined process. */
static int read_description(void *ctx, struct failure *f)
{
	struct task *t = ctx;
	int fd = open(t->file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), r;
	struct source s;

	if (fd < 0)
		return fail(f, -errno, "cannot open %s: %s", t->file, strerror(errno));
	name_of_file(t->plan, t->file);
	r = source_of_file(fd, 0, 0, &s);
	if (r < 0)
		fail(f, r, "cannot read %s: %s", t->file, strerror(-r));
	else
		r = decode(&s, t, f);
	close(fd);
	return r;
}

/* In the second one. */
static int read_disks(void *ctx, struct failure *f)
{
	struct task *t = ctx;
	json_t *o = NULL;
	int r = disks_complete(t->plan, f);

	if (r < 0)
		return r;
	if (t->plan->disk_count == 0 && t->plan->refusals.count == 0)
		plan_warn(t->plan, "the VM has no disk that is taken over");
	o = plan_json(t->plan);
	if (!o)
		return fail(f, -ENOMEM,
			    "cannot tell the plan: out of memory, or a path is not UTF-8");
	json_dumpf(o, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(o);
	return 0;
}

/* A reference of an OVF is within its folder, whatever links there are. */
static int look_below(const char *folder, const char *path, struct stat *st)
{
	struct open_how how = {.flags = O_PATH | O_CLOEXEC,
			       .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
	int at = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC), fd, r = 0;

	if (at < 0)
		return -errno;
	fd = (int)syscall(SYS_openat2, at, path, &how, sizeof(how));
	if (fd < 0 || fstat(fd, st) < 0)
		r = -errno;
	if (fd >= 0)
		close(fd);
	close(at);
	return r;
}

static int resolve(const struct task *t, struct plan_disk *d)
{
	char path[PATH_MAX];
	struct stat st;
	int r;

	if (t->plan->kind == PLAN_IMAGE || t->plan->kind == PLAN_OVA) {
		strcpy(d->source, t->file);
		return 0;
	}
	if (t->plan->kind == PLAN_OVF) {
		r = look_below(t->folder, d->source, &st);
		if (r < 0)
			return r;
	}
	if (d->source[0] != '/') {
		if (snprintf(path, sizeof(path), "%s/%s", strcmp(t->folder, "/") ? t->folder : "",
			     d->source) >= (int)sizeof(path))
			return -ENAMETOOLONG;
		strcpy(d->source, path);
	}
	if (t->plan->kind == PLAN_LIBVIRT && stat(d->source, &st) < 0)
		return -errno;
	return S_ISREG(st.st_mode) || (t->plan->kind == PLAN_LIBVIRT && S_ISBLK(st.st_mode))
		       ? 0
		       : -EINVAL;
}

/* By what the first process says it is, which may be hostile. An OVF that is one of libvirt's, or
 * that has taken its decoder over, reaches no file but by the name that it was given. */
static int check_kind(const struct task *t, struct failure *f)
{
	switch (t->plan->kind) {
	case PLAN_IMAGE:
	case PLAN_OVA:
	case PLAN_OVF:
		return 0;
	case PLAN_LIBVIRT:
		break;
	default:
		return fail(f, -EIO, "%s broke its decoder", t->file);
	}
	return t->any_path ? 0
			   : fail(f, -EINVAL,
				  "%s is a domain of libvirt's, which may name any file of this "
				  "host: if it comes from whom you trust, let its name end in .xml",
				  t->file);
}

static void resolve_all(struct task *t)
{
	struct plan *p = t->plan;

	for (unsigned i = 0; i < p->disk_count;) {
		struct plan_disk *d = &p->disks[i];
		int r = resolve(t, d);

		if (r == 0) {
			i++;
			continue;
		}
		if (r == -EXDEV || r == -ELOOP)
			plan_refuse(p,
				    "the file '%.256s' is not in the description's own folder: put "
				    "the disk there, not a link to it",
				    d->source);
		else if (r == -EINVAL)
			plan_refuse(p, "'%.256s' is no file: name the disk's file", d->source);
		else
			plan_refuse(p,
				    "the file '%.256s' of a disk cannot be found: %s; put it there "
				    "first",
				    d->source, strerror(-r));
		plan_drop_disk(p, i);
	}
}

/* Adds what may be read of the disks; the texts are the caller's to free. */
static void allow_disks(const struct plan *p, struct confine_rules *rules, char **folders)
{
	for (unsigned i = 0; i < p->disk_count; i++) {
		const struct plan_disk *d = &p->disks[i];
		struct image image = {.path = d->source, .format = d->format, .length = d->length};
		size_t len = strlen(d->source);

		if (image.format == FORMAT_NONE && len > 5 &&
		    strcasecmp(d->source + len - 5, ".vmdk") == 0)
			image.format = FORMAT_VMDK;
		rules->read[rules->read_count++] = d->source;
		folders[i] = image_folder(&image);
		if (folders[i])
			rules->read[rules->read_count++] = folders[i];
	}
}

static int run(struct task *t, struct plan *shared, struct failure *f)
{
	struct confine_rules first = {.read = {t->file},
				      .read_count = 1,
				      .cpu_s = DESCRIPTION_CPU_S},
			     second = {.cpu_s = DISKS_CPU_S};
	char *folders[PLAN_DISKS_MAX] = {NULL};
	struct plan *own = malloc(sizeof(*own));
	int r;

	if (!own)
		return fail(f, -ENOMEM, "cannot read %s: out of memory", t->file);
	t->plan = shared;
	r = confined_run(&first, read_description, t, f);
	memcpy(own, shared, sizeof(*own));
	t->plan = own;
	if (r == 0)
		r = check_kind(t, f);
	if (r == 0) {
		plan_check(own);
		resolve_all(t);
		allow_disks(own, &second, folders);
		r = confined_run(&second, read_disks, t, f);
	}
	for (unsigned i = 0; i < PLAN_DISKS_MAX; i++)
		free(folders[i]);
	free(own);
	return r;
}

int verb_plan(const char *file, enum format format, struct failure *f)
{
	struct task t = {.format = format};
	struct plan *shared;
	struct stat st;
	int r;

	if (!realpath(file, t.file) || stat(t.file, &st) < 0)
		return fail(f, -errno, "cannot find %s: %s", file, strerror(errno));
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return fail(f, -EINVAL, "%s is neither a file nor a block device", file);
	t.any_path = format == FORMAT_LIBVIRT ||
		     (strlen(t.file) > 4 && strcasecmp(t.file + strlen(t.file) - 4, ".xml") == 0);
	strcpy(t.folder, t.file);
	strrchr(t.folder, '/')[strrchr(t.folder, '/') == t.folder] = '\0';
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (shared == MAP_FAILED)
		return fail(f, -ENOMEM, "cannot read %s: out of memory", file);
	r = run(&t, shared, f);
	munmap(shared, sizeof(*shared));
	return r;
}
