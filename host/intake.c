/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/intake.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "host/edit.h"
#include "host/hotplug.h"
#include "host/image_store.h"
#include "host/importer.h"
#include "host/intake_plan.h"
#include "host/jobs.h"
#include "host/store.h"
#include "host/vm.h"

#define FOLDER STORE_NEW "intake-"
#define NUMBER_BYTES 24
#define ALMOST 99u /* percent, until it has been handed over */

struct intake {
	struct list link;
	struct host *host;
	struct job *job; /* NULL: not yet */
	intake_begun_fn *begun;
	void *ctx;
	enum intake_kind kind;
	char name[VM_NAME_MAX + 1]; /* of the VM or the image; empty: not known yet */
	char file[PATH_MAX];        /* INTAKE_IMPORT */
	char taken[PATH_MAX];       /* what must not be there yet; or empty */
	char folder[PATH_MAX];
	json_t *settings;
	struct intake_source *source;
	size_t count, at;          /* sources, and the one that is worked on */
	struct importer *importer; /* that runs; or NULL */
	struct pool_work work;
	bool cancelled;
	int r;
	struct failure f;
};

static const char *const whats[] = {[INTAKE_VM] = "create",
				    [INTAKE_DISK] = "add-disk",
				    [INTAKE_IMAGE] = "import-image",
				    [INTAKE_IMPORT] = "import"};

/* ---- the end ---- */

static void intake_free(struct intake *i)
{
	list_remove(&i->link);
	json_decref(i->settings);
	free(i->source);
	free(i);
}

static void clean(struct pool_work *w)
{
	struct intake *i = CONTAINER_OF(w, struct intake, work);
	struct failure ignored;

	(void)store_remove_folder(i->folder, &ignored);
}

static void on_clean(struct pool_work *w)
{
	struct intake *i = CONTAINER_OF(w, struct intake, work);

	job_end(i->host, i->job, i->r < 0 ? i->f.text : NULL);
	intake_free(i);
}

static void in_pool(struct intake *i, void (*work)(struct pool_work *w),
		    void (*done)(struct pool_work *w))
{
	i->work = (struct pool_work){.work = work, .done = done};
	pool_submit(i->host->pool, &i->work);
}

/* By i->r and i->f. */
static void end(struct intake *i)
{
	i->job->cancel = NULL;
	in_pool(i, clean, on_clean);
}

/* Whether to go on. */
static bool goes_on(struct intake *i)
{
	if (i->r == 0 && i->cancelled)
		i->r = fail(&i->f, -ECANCELED, "it was cancelled");
	if (i->r < 0)
		end(i);
	return i->r == 0;
}

static void cancel(void *ctx)
{
	struct intake *i = ctx;

	i->cancelled = true;
	if (i->importer)
		importer_cancel(i->importer);
}

/* ---- runs of oya-import ---- */

/* How far all is, from how far the source at hand is. */
static void on_progress(void *ctx, unsigned percent)
{
	struct intake *i = ctx;
	double all = 0, done = 0;

	for (size_t n = 0; n < i->count; n++) {
		all += (double)i->source[n].bytes;
		done += n < i->at ? (double)i->source[n].bytes : 0;
	}
	done += (double)i->source[i->at].bytes * percent / 100;
	percent = all > 0 ? (unsigned)(done * 100 / all) : percent;
	job_progress(i->host, i->job, percent < ALMOST ? percent : ALMOST);
}

static void no_progress(void *ctx, unsigned percent)
{
	(void)ctx;
	(void)percent;
}

static void run(struct intake *i, const char *const *arguments,
		void (*progress)(void *ctx, unsigned percent),
		void (*ended)(void *ctx, int r, const char *line, const struct failure *f))
{
	const struct importer_events events = {.progress = progress, .ended = ended, .ctx = i};

	i->r = importer_start(i->host->event, i->host->importer, arguments, &events, &i->importer,
			      &i->f);
	if (i->r < 0)
		end(i);
}

/* Of each ended(): whether it went well; else it has been dealt with. */
static bool went_well(struct intake *i, int r, const struct failure *f)
{
	i->importer = NULL;
	i->r = r;
	if (r < 0)
		i->f = *f;
	return goes_on(i);
}

/* ---- handing over ---- */

static void on_handed_over(void *ctx, struct vm *vm, int r, const struct failure *f)
{
	struct intake *i = ctx;

	(void)vm;
	i->r = r;
	if (r < 0)
		i->f = *f;
	end(i);
}

static void add_image(struct pool_work *w)
{
	struct intake *i = CONTAINER_OF(w, struct intake, work);
	char file[PATH_MAX + 4];

	snprintf(file, sizeof(file), "%s/0", i->folder);
	i->r = image_add(i->host->state, i->name, file, &i->f);
}

static void on_image(struct pool_work *w)
{
	end(CONTAINER_OF(w, struct intake, work));
}

static void hand_over(struct intake *i)
{
	struct vm *vm;

	i->job->cancel = NULL;
	switch (i->kind) {
	case INTAKE_IMAGE:
		in_pool(i, add_image, on_image);
		return;
	case INTAKE_VM:
	case INTAKE_IMPORT:
		i->r = edit_create(i->host, i->name, i->settings, i->folder, on_handed_over, i,
				   &i->f);
		break;
	case INTAKE_DISK:
		vm = host_find(i->host, i->name);
		i->r = vm && !vm->making
			       ? hotplug_add_disk(
					 vm,
					 json_array_get(json_object_get(i->settings, "disks"), 0),
					 i->folder, on_handed_over, i, &i->f)
			       : fail(&i->f, -ENOENT, "there is no VM '%s' any more", i->name);
	}
	if (i->r < 0)
		end(i);
}

/* ---- looking into what was brought ---- */

static void log_all(struct intake *i, const json_t *sentences)
{
	json_t *sentence;
	size_t n;

	json_array_foreach((json_t *)(uintptr_t)sentences, n, sentence)
	{
		if (json_is_string(sentence))
			job_log(i->host, i->job, json_string_value(sentence));
	}
}

/* A VM that cannot boot is not made; an image may serve for something else. */
static void on_looked(void *ctx, int r, const char *line, const struct failure *f)
{
	struct intake *i = ctx;
	const char *boots;
	json_t *found = NULL;

	if (!went_well(i, r, f))
		return;
	i->r = intake_plan_decode(line, &found, &i->f);
	log_all(i, json_object_get(found, "warnings"));
	boots = json_string_value(json_object_get(found, "boots"));
	if (boots && strcmp(boots, "no") == 0)
		job_log(i->host, i->job,
			"nothing on its first disk starts an operating system: a VM needs a DVD or "
			"a kernel to start from");
	if (i->kind == INTAKE_IMAGE)
		log_all(i, json_object_get(found, "refusals"));
	else if (i->r == 0)
		i->r = intake_plan_refused(found, &i->f);
	json_decref(found);
	if (goes_on(i))
		hand_over(i);
}

static void look(struct intake *i)
{
	char path[PATH_MAX + 4];
	const char *arguments[] = {"look", path, NULL};

	if (i->kind != INTAKE_IMAGE && i->kind != INTAKE_IMPORT) {
		hand_over(i);
		return;
	}
	snprintf(path, sizeof(path), "%s/0", i->folder);
	run(i, arguments, no_progress, on_looked);
}

/* ---- bringing ---- */

static void convert(struct intake *i);

static void on_converted(void *ctx, int r, const char *line, const struct failure *f)
{
	struct intake *i = ctx;

	(void)line;
	if (!went_well(i, r, f))
		return;
	i->at++;
	convert(i);
}

/* The source at hand; behind the last one it goes on. */
static void convert(struct intake *i)
{
	char path[PATH_MAX + NUMBER_BYTES], offset[NUMBER_BYTES], length[NUMBER_BYTES];
	char grow[NUMBER_BYTES];
	const struct intake_source *s = &i->source[i->at];
	const char *arguments[11] = {"convert"};
	unsigned n = 1;

	if (i->at == i->count) {
		look(i);
		return;
	}
	snprintf(path, sizeof(path), "%s/%zu", i->folder, i->at);
	snprintf(offset, sizeof(offset), "%" PRIu64, s->offset);
	snprintf(length, sizeof(length), "%" PRIu64, s->length);
	snprintf(grow, sizeof(grow), "%" PRIu64, s->grow);
	arguments[n++] = s->path;
	arguments[n++] = s->format;
	arguments[n++] = path;
	if (s->length) {
		arguments[n++] = "--offset";
		arguments[n++] = offset;
		arguments[n++] = "--length";
		arguments[n++] = length;
	}
	if (s->grow) {
		arguments[n++] = "--grow";
		arguments[n++] = grow;
	}
	run(i, arguments, on_progress, on_converted);
}

static void make_folder(struct pool_work *w)
{
	struct intake *i = CONTAINER_OF(w, struct intake, work);

	i->r = store_make_folder(i->folder, &i->f);
	for (size_t n = 0; i->r == 0 && n < i->count; n++) {
		struct intake_source *s = &i->source[n];
		struct stat st;

		if (stat(s->path, &st) < 0)
			i->r = fail(&i->f, -errno, "cannot read the image %s: %s", s->path,
				    strerror(errno));
		else if (!s->bytes)
			s->bytes = (uint64_t)st.st_size;
		if (i->r == 0 && s->grow && s->grow < s->bytes)
			i->r = fail(&i->f, -EINVAL,
				    "the image %s is a disk of %" PRIu64
				    " MiB, which 'size_mib' cannot make smaller",
				    s->path, (s->bytes + (1u << 20) - 1) >> 20);
	}
}

static void on_folder(struct pool_work *w)
{
	struct intake *i = CONTAINER_OF(w, struct intake, work);

	i->at = 0;
	if (goes_on(i))
		convert(i);
}

/* ---- planning ---- */

static void plan(struct intake *i);

/* *ret_found is the caller's to free, also on failure. */
static int decode_plan(struct intake *i, const char *line, json_t **ret_found)
{
	int r = intake_plan_decode(line, ret_found, &i->f);

	if (r == 0)
		log_all(i, json_object_get(*ret_found, "warnings"));
	return r < 0 ? r : intake_plan_refused(*ret_found, &i->f);
}

static void on_planned(void *ctx, int r, const char *line, const struct failure *f)
{
	struct intake *i = ctx;
	json_t *found = NULL;

	if (!went_well(i, r, f))
		return;
	i->r = decode_plan(i, line, &found);
	if (i->r == 0 && json_array_size(json_object_get(found, "disks")) != 1)
		i->r = fail(&i->f, -EINVAL,
			    "%s is not an image of one disk; 'oya vm import' takes whole VMs",
			    i->source[i->at].path);
	if (i->r == 0)
		i->r = intake_plan_disk(found, 0, &i->source[i->at], &i->f);
	json_decref(found);
	if (goes_on(i)) {
		i->at++;
		plan(i);
	}
}

/* The next image whose format is not known; behind the last one it goes on. */
static void plan(struct intake *i)
{
	const char *arguments[3] = {"plan"};

	while (i->at < i->count && i->source[i->at].format[0])
		i->at++;
	if (i->at == i->count) {
		in_pool(i, make_folder, on_folder);
		return;
	}
	arguments[1] = i->source[i->at].path;
	run(i, arguments, no_progress, on_planned);
}

static int no_image(const char *name, struct failure *f)
{
	return fail(f, -ENOENT,
		    "there is no image '%.80s'; 'oya image list' names them, and a file is named "
		    "by its whole path",
		    name);
}

/* Sources for each disk of the settings that is `from` elsewhere: an image's name, or a path. */
static int take_sources(struct intake *i, struct failure *f)
{
	json_t *disks = json_object_get(i->settings, "disks"), *disk;
	size_t n;

	i->source = calloc(json_array_size(disks) + 1, sizeof(*i->source));
	if (!i->source)
		return fail(f, -ENOMEM, "out of memory");
	json_array_foreach(disks, n, disk)
	{
		const char *from = json_string_value(json_object_get(disk, "from"));
		struct intake_source *s = &i->source[i->count];
		bool store = from && from[0] != '/';

		if (!from)
			continue;
		if (i->count++ == INTAKE_SOURCES_MAX)
			return fail(f, -EINVAL, "more than %u images at once", INTAKE_SOURCES_MAX);
		s->grow = (uint64_t)json_integer_value(json_object_get(disk, "size_mib")) << 20;
		if (store && (!image_name_allowed(from) ||
			      image_path(i->host->state, from, s->path, sizeof(s->path)) < 0))
			return no_image(from, f);
		if (store)
			snprintf(s->format, sizeof(s->format), "raw");
		else if ((size_t)snprintf(s->path, sizeof(s->path), "%s", from) >= sizeof(s->path))
			return fail(f, -ENAMETOOLONG, "the path of an image is too long");
	}
	return 0;
}

/* ---- VMs of other systems ---- */

/* What the plan has becomes settings and sources. */
static int take_plan(struct intake *i, const json_t *found, struct failure *f)
{
	const char *name = json_string_value(json_object_get(found, "name"));
	size_t count = json_array_size(json_object_get(found, "disks"));
	int r = 0;

	if (count > INTAKE_SOURCES_MAX)
		return fail(f, -EINVAL, "%s has %zu disks, at most %u are possible", i->file, count,
			    INTAKE_SOURCES_MAX);
	if (!i->name[0])
		snprintf(i->name, sizeof(i->name), "%s", name ? name : "");
	snprintf(i->job->vm, sizeof(i->job->vm), "%s", i->name);
	i->source = calloc(count + 1, sizeof(*i->source));
	i->settings = intake_plan_settings(found);
	if (!i->source || !i->settings)
		return fail(f, -ENOMEM, "out of memory");
	for (i->count = 0; r == 0 && i->count < count; i->count++)
		r = intake_plan_disk(found, i->count, &i->source[i->count], f);
	return r < 0 ? r : edit_check_new(i->host, i->name, i->settings, f);
}

static void on_vm_planned(void *ctx, int r, const char *line, const struct failure *f)
{
	struct intake *i = ctx;
	json_t *found = NULL;

	if (!went_well(i, r, f))
		return;
	i->r = decode_plan(i, line, &found);
	if (i->r == 0)
		i->r = take_plan(i, found, &i->f);
	json_decref(found);
	if (goes_on(i))
		plan(i);
}

/* ---- the begin ---- */

static struct intake *find(const struct host *h, const char *name, bool images)
{
	for (struct list *at = h->intakes.next; at != &h->intakes; at = at->next) {
		struct intake *i = CONTAINER_OF(at, struct intake, link);

		if (i->kind != INTAKE_DISK && (i->kind == INTAKE_IMAGE) == images &&
		    strcmp(i->name, name) == 0)
			return i;
	}
	return NULL;
}

bool intake_makes(const struct host *h, const char *name)
{
	return find(h, name, false) != NULL;
}

static int check_image(const struct host *h, const char *name, struct failure *f)
{
	if (!image_name_allowed(name))
		return fail(f, -EINVAL,
			    "'%.80s' is no name of an image: letters, digits, dots, dashes and "
			    "underlines, and neither dot nor dash first",
			    name);
	return find(h, name, true) ? fail(f, -EEXIST, "the image '%s' is being made already", name)
				   : 0;
}

/* A VM of another system, whose name may be in its file only. */
static int check_import(const struct host *h, const char *name, struct failure *f)
{
	if (!name)
		return 0;
	if (!vm_name_allowed(name))
		return fail(f, -EINVAL, "'%.80s' is no name of a VM", name);
	return host_find(h, name) ? fail(f, -EEXIST, "there is a VM '%s' already", name) : 0;
}

/* What can be known at once to be in the way. */
static int check(const struct host *h, const struct intake_wish *w, struct failure *f)
{
	unsigned count = 0;

	for (struct list *at = h->intakes.next; at != &h->intakes; at = at->next)
		count++;
	if (count >= INTAKES_MAX)
		return fail(f, -EBUSY,
			    "%u imports are under way already; try again when one has ended",
			    count);
	if (w->file && w->file[0] != '/')
		return fail(f, -EINVAL, "'%.200s' is no absolute path of a file", w->file);
	if (w->kind == INTAKE_IMAGE)
		return check_image(h, w->name, f);
	if (w->kind == INTAKE_DISK)
		return hotplug_check_disk(host_find(h, w->name), w->settings, f);
	if (w->name && intake_makes(h, w->name))
		return fail(f, -EEXIST, "a VM '%s' is being made already", w->name);
	return w->kind == INTAKE_VM ? edit_check_new(h, w->name, w->settings, f)
				    : check_import(h, w->name, f);
}

static int fill(struct intake *i, const struct intake_wish *w, struct failure *f)
{
	const char *file = json_string_value(json_object_get(w->settings, "file"));
	int n = 0;

	if (snprintf(i->folder, sizeof(i->folder), "%s/vms/" FOLDER "%" PRIu64, i->host->state,
		     ++i->host->intake_last) >= (int)sizeof(i->folder))
		return fail(f, -ENAMETOOLONG, "the path of %s is too long", i->host->state);
	snprintf(i->name, sizeof(i->name), "%s", w->name ? w->name : "");
	if (w->file)
		snprintf(i->file, sizeof(i->file), "%s", w->file);
	switch (w->kind) {
	case INTAKE_VM:
		i->settings = json_deep_copy(w->settings);
		break;
	case INTAKE_DISK:
		i->settings = json_pack("{s:[o]}", "disks", json_deep_copy(w->settings));
		n = snprintf(i->taken, sizeof(i->taken), "%s/%s",
			     host_find(i->host, w->name)->folder, file);
		break;
	case INTAKE_IMAGE:
		i->settings = json_pack("{s:[{s:s}]}", "disks", "from", w->file);
		n = image_path(i->host->state, w->name, i->taken, sizeof(i->taken));
		break;
	case INTAKE_IMPORT:
		return 0;
	}
	if (!i->settings)
		return fail(f, -ENOMEM, "cannot begin: out of memory");
	if (n < 0 || (size_t)n >= sizeof(i->taken))
		return fail(f, -ENAMETOOLONG, "the path of what is to be made is too long");
	return take_sources(i, f);
}

/* What is there on the disk, before anything is begun. */
static void survey(struct pool_work *w)
{
	struct intake *i = CONTAINER_OF(w, struct intake, work);
	json_t *disk;
	size_t n;

	if (i->kind == INTAKE_IMAGE && access(i->taken, F_OK) == 0)
		i->r = fail(&i->f, -EEXIST, "there is an image '%s' already", i->name);
	else if (i->taken[0] && access(i->taken, F_OK) == 0)
		i->r = fail(&i->f, -EEXIST, "there is a file %s already", i->taken);
	json_array_foreach(json_object_get(i->settings, "disks"), n, disk)
	{
		const char *from = json_string_value(json_object_get(disk, "from"));
		char path[PATH_MAX];

		if (i->r == 0 && from && from[0] != '/' &&
		    (image_path(i->host->state, from, path, sizeof(path)) < 0 ||
		     access(path, F_OK) < 0))
			i->r = no_image(from, &i->f);
	}
}

static void on_surveyed(struct pool_work *w)
{
	struct intake *i = CONTAINER_OF(w, struct intake, work);
	const char *arguments[3] = {"plan", i->file};

	if (i->r == 0)
		i->job = job_new(i->host, whats[i->kind], i->kind == INTAKE_IMAGE ? "" : i->name);
	if (i->r == 0 && !i->job)
		i->r = fail(&i->f, -ENOMEM, "cannot begin: out of memory, or too many jobs");
	i->begun(i->ctx, i->job, i->r, &i->f);
	if (i->r < 0) {
		intake_free(i);
		return;
	}
	i->job->cancel = cancel;
	i->job->ctx = i;
	if (!goes_on(i)) /* the daemon ends */
		return;
	if (i->kind == INTAKE_IMPORT)
		run(i, arguments, no_progress, on_vm_planned);
	else
		plan(i);
}

int intake_start(struct host *h, const struct intake_wish *w, intake_begun_fn *begun, void *ctx,
		 struct failure *f)
{
	struct intake *i;
	int r = check(h, w, f);

	if (r < 0)
		return r;
	i = calloc(1, sizeof(*i));
	if (!i)
		return fail(f, -ENOMEM, "cannot begin: out of memory");
	i->host = h;
	i->kind = w->kind;
	i->begun = begun;
	i->ctx = ctx;
	list_append(&h->intakes, &i->link);
	r = fill(i, w, f);
	if (r < 0)
		intake_free(i);
	else
		in_pool(i, survey, on_surveyed);
	return r;
}

void intakes_stop(struct host *h)
{
	for (struct list *at = h->intakes.next; at != &h->intakes; at = at->next) {
		struct intake *i = CONTAINER_OF(at, struct intake, link);

		i->cancelled = true;
		importer_kill(i->importer);
		i->importer = NULL;
	}
}

void intakes_done(struct host *h)
{
	while (!list_empty(&h->intakes))
		intake_free(CONTAINER_OF(h->intakes.next, struct intake, link));
}
