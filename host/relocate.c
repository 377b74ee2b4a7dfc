/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/relocate.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "host/host.h"
#include "host/place.h"
#include "lib/log.h"

#define LOOK_US UINT64_C(500000)

enum step {
	RELOCATE_ASKS,     /* the worker, for its disks */
	RELOCATE_PREPARES, /* the pool: folder and files */
	RELOCATE_HANDS,    /* the pool and the worker: copies of disks, one by one */
	RELOCATE_COPIES,   /* the worker does */
	RELOCATE_COMMITS,  /* the worker is told that from now on both count */
	RELOCATE_CHANGES,  /* the pool: the new folder is the VM's */
	RELOCATE_SWITCHES, /* the worker is told so, and uses it */
	RELOCATE_ADOPTED,  /* of a daemon before us, and the worker has not spoken yet */
	RELOCATE_CLEANS,   /* the pool: what is not the VM's goes */
};

struct relocation {
	struct pool_work work;
	struct vm *vm;
	struct host *host;
	struct job *job; /* NULL: of a daemon before us */
	enum step step;
	struct place place;
	char vms[PATH_MAX], parent[PATH_MAX];
	json_t *images; /* that the worker copies: file, controller, lun */
	size_t handed;
	int copy; /* for the worker; or -1 */
	bool changed, cancelled;
	bool lost; /* the worker has ended */
	int r;
	struct failure f, why;
	sd_event_source *look; /* how far it is */
};

static void relocation_free(struct relocation *m)
{
	sd_event_source_disable_unref(m->look);
	json_decref(m->images);
	if (m->copy >= 0)
		close(m->copy);
	if (m->place.lease >= 0)
		close(m->place.lease);
	free(m);
}

static void in_pool(struct relocation *m, void (*work)(struct pool_work *w),
		    void (*done)(struct pool_work *w))
{
	m->work = (struct pool_work){.work = work, .done = done, .lane = &m->vm->lane};
	pool_submit(m->host->pool, &m->work);
}

static int ask(struct vm *vm, const char *verb, link_answer_fn *answer)
{
	return vm->worker
		       ? link_request(vm->worker, json_pack("{s:s}", "verb", verb), -1, answer, vm)
		       : -ENOTCONN;
}

/* ---- the end ---- */

static void clean(struct pool_work *w)
{
	struct relocation *m = CONTAINER_OF(w, struct relocation, work);

	m->r = place_clean(&m->place, &m->f);
}

static void tell_end(struct relocation *m)
{
	struct vm *vm = m->vm;

	if (m->changed)
		log_line_of(LOG_LEVEL_INFO, vm->log_fields, "the folder of the VM '%s' has moved",
			    vm->name);
	else
		log_line_of(LOG_LEVEL_WARNING, vm->log_fields,
			    "the folder of the VM '%s' was not moved: %s", vm->name, m->why.text);
	if (m->job)
		job_end(m->host, m->job, m->changed ? NULL : m->why.text);
}

static void on_cleaned(struct pool_work *w)
{
	struct relocation *m = CONTAINER_OF(w, struct relocation, work);
	struct vm *vm = m->vm;

	if (m->r < 0) {
		log_line_of(LOG_LEVEL_WARNING, vm->log_fields,
			    "%s; the next start of the daemon tries it again", m->f.text);
		if (m->job)
			job_log(m->host, m->job, m->f.text);
	}
	vm->relocation = NULL;
	vm->edited = false;
	/* It was held for this while. */
	if (!vm_worker_lives(vm) && vm->life != VM_STARTING)
		vm_lease_free(vm);
	tell_end(m);
	host_publish(m->host, "vm", vm_show(vm));
	relocation_free(m);
}

/* Not while the pool has it. */
static void finish(struct relocation *m, const char *why)
{
	m->step = RELOCATE_CLEANS;
	m->look = sd_event_source_disable_unref(m->look);
	if (m->job)
		m->job->cancel = NULL;
	fail(&m->why, -EIO, "%s", why);
	if (!m->changed && m->handed)
		(void)ask(m->vm, "mirror-cancel", NULL);
	in_pool(m, clean, on_cleaned);
}

/* Whether to go on behind a step of the pool or the worker. */
static bool goes_on(struct relocation *m)
{
	if (m->r == 0 && m->cancelled)
		m->r = fail(&m->f, -ECANCELED, "cancelled");
	if (m->r == 0 && m->lost)
		m->r = fail(&m->f, -EBUSY, "its worker has ended");
	if (m->r == 0)
		return true;
	finish(m, m->f.text); /* from here on it is the pool's */
	return false;
}

/* ---- how far it is ---- */

static int on_look(sd_event_source *source, uint64_t us, void *ctx);

static void look_later(struct relocation *m)
{
	m->look = sd_event_source_disable_unref(m->look);
	(void)sd_event_add_time_relative(m->host->event, &m->look, CLOCK_MONOTONIC, LOOK_US, 0,
					 on_look, m->vm);
}

static void show(struct relocation *m, uint64_t done, uint64_t total)
{
	if (m->job && total)
		job_progress(m->host, m->job,
			     (unsigned)((double)min_u64(done, total) * 99.0 / (double)total));
}

static void on_status(void *ctx, json_t *result, const char *sentence)
{
	if (!sentence)
		relocate_told(ctx, result);
}

static int on_look(sd_event_source *source, uint64_t us, void *ctx)
{
	struct vm *vm = ctx;
	struct relocation *m = vm->relocation;

	(void)source;
	(void)us;
	if (m->step == RELOCATE_PREPARES)
		show(m, __atomic_load_n(&m->place.done_bytes, __ATOMIC_RELAXED),
		     __atomic_load_n(&m->place.total_bytes, __ATOMIC_RELAXED));
	else
		(void)ask(vm, "status", on_status);
	look_later(m);
	return 0;
}

/* ---- the new folder is the VM's ---- */

/* Again when the connection has ended before the answer. */
static void tell_switch(struct relocation *m)
{
	int fd = m->place.lease >= 0 ? dup(m->place.lease) : -1;

	if (!m->vm->worker) {
		if (fd >= 0)
			close(fd);
		return;
	}
	(void)link_request(m->vm->worker,
			   json_pack("{s:s, s:I}", "verb", "mirror-switch", "epoch",
				     (json_int_t)m->place.epoch),
			   fd, NULL, NULL);
}

static void change(struct pool_work *w)
{
	struct relocation *m = CONTAINER_OF(w, struct relocation, work);

	m->r = place_change(&m->place, &m->f);
}

static void on_changed(struct pool_work *w)
{
	struct relocation *m = CONTAINER_OF(w, struct relocation, work);

	if (m->r < 0) {
		finish(m, m->f.text);
		return;
	}
	m->changed = true;
	if (!m->place.runs || m->lost) {
		finish(m, "");
		return;
	}
	m->vm->lease_epoch = m->place.epoch;
	m->step = RELOCATE_SWITCHES;
	tell_switch(m);
	look_later(m);
}

static void begin_change(struct relocation *m)
{
	m->step = RELOCATE_CHANGES;
	m->look = sd_event_source_disable_unref(m->look);
	if (m->job)
		m->job->cancel = NULL;
	in_pool(m, change, on_changed);
}

/* ---- the worker's disks ---- */

static void on_committed(void *ctx, json_t *result, const char *sentence)
{
	struct vm *vm = ctx;
	struct relocation *m = vm->relocation;

	(void)result;
	if (!m || m->step != RELOCATE_COMMITS)
		return;
	m->r = sentence ? fail(&m->f, -EIO, "%s", sentence) : 0;
	if (goes_on(m))
		begin_change(m);
}

static void hand_next(struct relocation *m);

static void on_added(void *ctx, json_t *result, const char *sentence)
{
	struct vm *vm = ctx;
	struct relocation *m = vm->relocation;

	(void)result;
	if (!m || m->step != RELOCATE_HANDS)
		return;
	m->r = sentence ? fail(&m->f, -EIO, "%s", sentence) : 0;
	if (goes_on(m))
		hand_next(m);
}

static void make_image(struct pool_work *w)
{
	struct relocation *m = CONTAINER_OF(w, struct relocation, work);
	const json_t *image = json_array_get(m->images, m->handed);

	m->copy = place_make_image(&m->place, json_string_value(json_object_get(image, "file")),
				   &m->f);
	m->r = m->copy < 0 ? m->copy : 0;
}

static void on_image(struct pool_work *w)
{
	struct relocation *m = CONTAINER_OF(w, struct relocation, work);
	json_t *request = json_copy(json_array_get(m->images, m->handed));
	int fd = m->copy;

	m->copy = -1;
	if (!goes_on(m)) {
		json_decref(request);
		if (fd >= 0)
			close(fd);
		return;
	}
	m->handed++;
	(void)json_object_del(request, "file");
	(void)json_object_set_new(request, "verb", json_string("mirror-add"));
	m->r = vm_ask(m->vm, "move", request, fd, on_added, m->vm, &m->f);
	if (m->r < 0)
		finish(m, m->f.text);
}

static void hand_next(struct relocation *m)
{
	if (m->handed < json_array_size(m->images)) {
		m->step = RELOCATE_HANDS;
		in_pool(m, make_image, on_image);
		return;
	}
	if (!m->handed) {
		begin_change(m);
		return;
	}
	m->step = RELOCATE_COPIES;
	(void)on_look(NULL, 0, m->vm);
}

static void prepare(struct pool_work *w)
{
	struct relocation *m = CONTAINER_OF(w, struct relocation, work);

	m->r = place_begin(&m->place, m->vm->settings, m->parent, &m->f);
	if (m->r == 0)
		m->r = place_copy(&m->place, m->images, &m->f);
}

static void on_prepared(struct pool_work *w)
{
	struct relocation *m = CONTAINER_OF(w, struct relocation, work);

	if (!goes_on(m))
		return;
	if (m->place.runs)
		hand_next(m);
	else
		begin_change(m);
}

/* Of its disks those that are in its folder. */
static void on_statistics(void *ctx, json_t *result, const char *sentence)
{
	struct vm *vm = ctx;
	struct relocation *m = vm->relocation;
	size_t i, len = strlen(vm->folder);
	json_t *disk;

	if (!m || m->step != RELOCATE_ASKS)
		return;
	m->r = sentence ? fail(&m->f, -EIO, "%s", sentence) : 0;
	if (!goes_on(m))
		return;
	json_array_foreach(json_object_get(result, "disks"), i, disk)
	{
		const char *path = json_string_value(json_object_get(disk, "path"));
		json_t *controller = json_object_get(disk, "controller");
		json_t *lun = json_object_get(disk, "lun");

		/* Its word may be of a worker that its guest has broken. */
		if (path && strncmp(path, vm->folder, len) == 0 && path[len] == '/' &&
		    !strchr(path + len + 1, '/') && path[len + 1] != '.' &&
		    json_is_integer(controller) && json_is_integer(lun))
			json_array_append_new(m->images,
					      json_pack("{s:s, s:O, s:O}", "file", path + len + 1,
							"controller", controller, "lun", lun));
	}
	m->step = RELOCATE_PREPARES;
	in_pool(m, prepare, on_prepared);
}

/* ---- what the worker tells ---- */

static bool is_one_of(const char *word, const char *const *words)
{
	while (*words && strcmp(word, *words) != 0)
		words++;
	return *words != NULL;
}

void relocate_told(struct vm *vm, const json_t *status)
{
	static const char *const copies[] = {"copying", "closing", "even", "committed", NULL};
	struct relocation *m = vm->relocation;
	const json_t *s = json_object_get(status, "mirror");
	const char *phase = json_string_value(json_object_get(s, "phase"));
	const char *error = json_string_value(json_object_get(s, "error"));
	bool runs = phase && is_one_of(phase, copies);

	if (!m) {
		if (runs) /* nobody waits for it any more */
			(void)ask(vm, "mirror-cancel", NULL);
		return;
	}
	if (m->step == RELOCATE_COPIES && phase) {
		show(m, (uint64_t)json_integer_value(json_object_get(s, "done_bytes")),
		     (uint64_t)json_integer_value(json_object_get(s, "total_bytes")));
		if (strcmp(phase, "even") == 0 &&
		    json_integer_value(json_object_get(s, "disks")) != (json_int_t)m->handed) {
			finish(m, "the copy of a disk failed before the next one was begun");
		} else if (strcmp(phase, "even") == 0) {
			m->step = RELOCATE_COMMITS;
			m->r = ask(vm, "mirror-commit", on_committed);
			if (m->r < 0)
				finish(m, "its worker cannot be asked");
		} else if (!runs) {
			finish(m, error && *error ? error : "its worker gives no reason");
		}
	} else if (m->step == RELOCATE_SWITCHES) {
		if (phase && strcmp(phase, "committed") == 0)
			tell_switch(m);
		else if (!phase || strcmp(phase, "switching") != 0)
			finish(m, "");
	} else if (m->step == RELOCATE_ADOPTED && m->changed) {
		/* Its lease too, if that is all. */
		m->step = RELOCATE_SWITCHES;
		tell_switch(m);
		look_later(m);
	} else if (m->step == RELOCATE_ADOPTED) {
		m->handed = runs;
		finish(m, "the daemon ended amid it");
	}
}

void relocate_ended(struct vm *vm, const char *why)
{
	struct relocation *m = vm->relocation;

	if (!m || !m->place.runs)
		return;
	m->lost = true;
	if (m->step == RELOCATE_COPIES || m->step == RELOCATE_SWITCHES ||
	    m->step == RELOCATE_ADOPTED)
		finish(m, *why ? why : "it has ended");
}

/* ---- the begin ---- */

static void cancel(void *ctx)
{
	struct vm *vm = ctx;
	struct relocation *m = vm->relocation;

	if (!m || m->step >= RELOCATE_CHANGES)
		return;
	m->cancelled = true;
	__atomic_store_n(&m->place.cancel, true, __ATOMIC_RELAXED);
	if (m->step == RELOCATE_COPIES)
		(void)goes_on(m);
}

static struct relocation *relocation_new(struct vm *vm)
{
	struct relocation *m = calloc(1, sizeof(*m));

	if (m)
		m->images = json_array();
	if (!m || !m->images) {
		free(m);
		return NULL;
	}
	m->vm = vm;
	m->host = vm->host;
	m->copy = m->place.lease = -1;
	snprintf(m->vms, sizeof(m->vms), "%s/vms", vm->host->state);
	m->place.vms = m->vms;
	m->place.name = vm->name;
	m->place.vm = vm->settings->uuid;
	m->place.me = vm->host->uuid;
	return m;
}

static const char *not_now(const struct vm *vm)
{
	return vm->migration      ? "it is on its way to another host"
	       : vm->saving       ? "it is being saved"
	       : vm->edited       ? "it is being changed"
	       : vm->host->ending ? "the host ends, and its VMs with it"
	       : vm->life != VM_OFF && vm->life != VM_SAVED && vm->life != VM_RUNNING &&
			       vm->life != VM_PAUSED
		       ? vm_life_label(vm)
	       : vm->taking || vm->incoming ? "it is being changed"
					    : NULL;
}

int relocate_start(struct vm *vm, const char *parent, struct job **ret_job, struct failure *f)
{
	const char *why = not_now(vm);
	struct relocation *m;

	if (why)
		return fail(f, -EBUSY, "cannot move the folder of the VM '%s': %s", vm->name, why);
	m = relocation_new(vm);
	if (m)
		m->job = job_new(vm->host, "move-storage", vm->name);
	if (!m || !m->job) {
		if (m)
			relocation_free(m);
		return fail(
			f, -ENOMEM,
			"cannot move the folder of the VM '%s': out of memory, or too many jobs",
			vm->name);
	}
	snprintf(m->parent, sizeof(m->parent), "%s", parent);
	m->place.runs = vm->life == VM_RUNNING || vm->life == VM_PAUSED;
	m->job->cancel = cancel;
	m->job->ctx = vm;
	vm->relocation = m;
	vm->edited = true;
	*ret_job = m->job;
	look_later(m);
	m->step = m->place.runs ? RELOCATE_ASKS : RELOCATE_PREPARES;
	if (!m->place.runs)
		in_pool(m, prepare, on_prepared);
	else if (ask(vm, "statistics", on_statistics) < 0)
		on_statistics(vm, NULL, "its worker cannot be asked");
	return 0;
}

/* ---- a daemon that comes back, or ends ---- */

static void adopt(struct host *h, const char *name)
{
	struct vm *vm = host_find(h, name);
	struct relocation *m = vm ? relocation_new(vm) : NULL;

	if (!m) {
		log_line(
			LOG_LEVEL_ERROR,
			"the folder of the VM '%s' was being moved, and that VM is not here: look at "
			"%s/vms/" PLACE_NOTE "%s",
			name, h->state, name);
		return;
	}
	if (place_look(&m->place, &m->changed, &m->f) < 0) {
		log_line(LOG_LEVEL_ERROR, "%s", m->f.text);
		relocation_free(m);
		return;
	}
	vm->relocation = m;
	vm->edited = true;
	m->place.runs = vm_worker_lives(vm);
	m->step = RELOCATE_ADOPTED;
	if (!m->place.runs)
		finish(m, "the daemon ended amid it");
	else if (m->changed)
		vm->lease_epoch = m->place.epoch;
}

void relocate_adopt(struct host *h)
{
	char path[PATH_MAX];
	struct dirent *entry;
	DIR *list;

	snprintf(path, sizeof(path), "%s/vms", h->state);
	list = opendir(path);
	while (list && (entry = readdir(list))) {
		if (strncmp(entry->d_name, PLACE_NOTE, strlen(PLACE_NOTE)) == 0)
			adopt(h, entry->d_name + strlen(PLACE_NOTE));
	}
	if (list)
		closedir(list);
}

void relocate_stop(struct vm *vm)
{
	if (vm->relocation)
		__atomic_store_n(&vm->relocation->place.cancel, true, __ATOMIC_RELAXED);
}

void relocate_forget(struct vm *vm)
{
	if (!vm->relocation)
		return;
	relocation_free(vm->relocation);
	vm->relocation = NULL;
}
