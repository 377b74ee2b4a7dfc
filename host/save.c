/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/save.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/host.h"
#include "host/store.h"
#include "lib/log.h"

#define NEW_FILE STORE_NEW SAVE_FILE
#define LOOK_US UINT64_C(500000)

enum step {
	SAVE_OPENS,  /* the file, by the pool */
	SAVE_ASKS,   /* the worker, to begin */
	SAVE_WRITES, /* the worker does */
	SAVE_NAMES,  /* the pool, the file */
	SAVE_STOPS,  /* the worker ends */
};

struct saving {
	struct pool_work work;
	struct vm *vm;
	struct job *job; /* NULL: it has ended */
	enum step step;
	bool cancelled; /* what the worker says of it from now on may be from before */
	int fd, result;
	struct failure f;
	sd_event_source *look; /* how far it is */
	char folder[];
};

bool save_exists(const char *folder)
{
	char path[PATH_MAX];

	return snprintf(path, sizeof(path), "%s/%s", folder, SAVE_FILE) < (int)sizeof(path) &&
	       access(path, F_OK) == 0;
}

void save_clean(const char *folder)
{
	char path[PATH_MAX];
	struct failure f;

	if (snprintf(path, sizeof(path), "%s/%s", folder, NEW_FILE) >= (int)sizeof(path) ||
	    access(path, F_OK) < 0)
		return;
	if (store_remove(folder, NEW_FILE, &f) < 0)
		log_line(LOG_LEVEL_WARNING, "%s", f.text);
}

/* ---- its files ---- */

static int path_in(const char *folder, const char *name, char path[PATH_MAX])
{
	return snprintf(path, PATH_MAX, "%s/%s", folder, name) < PATH_MAX ? 0 : -ENAMETOOLONG;
}

static void open_file(struct pool_work *w)
{
	struct saving *s = CONTAINER_OF(w, struct saving, work);
	char path[PATH_MAX];

	s->result = path_in(s->folder, NEW_FILE, path);
	if (s->result == 0) {
		/* Whatever is there, a link of somebody's too, is not written to. */
		(void)unlink(path);
		s->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		s->result = s->fd < 0 ? -errno : 0;
	}
	if (s->result < 0)
		fail(&s->f, s->result, "cannot make the file %s/%s: %s", s->folder, NEW_FILE,
		     strerror(-s->result));
}

static void name_file(struct pool_work *w)
{
	struct saving *s = CONTAINER_OF(w, struct saving, work);
	char from[PATH_MAX], to[PATH_MAX];

	s->result = path_in(s->folder, NEW_FILE, from);
	if (s->result == 0)
		s->result = path_in(s->folder, SAVE_FILE, to);
	if (s->result == 0)
		s->result = store_rename(from, to, &s->f);
	/* What has the name and cannot lose it is saved: a guest that went on would be restored to
	 * what it was before. */
	if (s->result < 0 && s->result != -EEXIST && save_exists(s->folder))
		s->result = 0;
}

static void drop_file(struct pool_work *w)
{
	struct saving *s = CONTAINER_OF(w, struct saving, work);
	struct failure f;

	if (store_remove(s->folder, NEW_FILE, &f) < 0)
		log_line(LOG_LEVEL_WARNING, "%s", f.text);
}

static void on_dropped(struct pool_work *w)
{
	free(CONTAINER_OF(w, struct saving, work));
}

static void submit(struct saving *s, void (*work)(struct pool_work *w),
		   void (*done)(struct pool_work *w))
{
	s->work.work = work;
	s->work.done = done;
	s->work.lane = &s->vm->lane;
	pool_submit(s->vm->host->pool, &s->work);
}

/* ---- its end ---- */

static void end_job(struct saving *s, const char *sentence)
{
	if (s->job)
		job_end(s->vm->host, s->job, sentence);
	s->job = NULL;
}

/* The VM goes on; what there is of the file goes. Not while the pool has it. */
static void give_up(struct saving *s, const char *why)
{
	struct vm *vm = s->vm;

	vm->saving = NULL;
	sd_event_source_disable_unref(s->look);
	log_line_of(LOG_LEVEL_WARNING, vm->log_fields, "the VM '%s' was not saved: %s", vm->name,
		    why);
	end_job(s, why);
	if (s->fd >= 0)
		close(s->fd);
	submit(s, drop_file, on_dropped);
}

/* The worker is to let the guest go on. */
static void call_off(struct vm *vm)
{
	if (vm->worker)
		(void)link_request(vm->worker, json_pack("{s:s}", "verb", "save-cancel"), -1, NULL,
				   NULL);
}

static void stop_worker(struct vm *vm)
{
	struct failure f;

	if (vm_off(vm, &f) < 0)
		log_line_of(LOG_LEVEL_ERROR, vm->log_fields, "%s", f.text);
}

static void on_named(struct pool_work *w)
{
	struct saving *s = CONTAINER_OF(w, struct saving, work);
	struct vm *vm = s->vm;

	if (s->result < 0) {
		call_off(vm);
		give_up(s, s->f.text);
		return;
	}
	vm->saved = true;
	s->step = SAVE_STOPS;
	if (vm->life == VM_SAVING) {
		stop_worker(vm);
		return;
	}
	/* The worker has ended meanwhile. */
	if (vm->life == VM_OFF)
		vm_move(vm, VM_SAVED);
	save_ended(vm, NULL);
}

/* ---- its steps ---- */

static int on_look(sd_event_source *source, uint64_t us, void *ctx);

static void look_later(struct saving *s)
{
	s->look = sd_event_source_disable_unref(s->look);
	(void)sd_event_add_time_relative(s->vm->host->event, &s->look, CLOCK_MONOTONIC, LOOK_US, 0,
					 on_look, s->vm);
}

static void on_progress(void *ctx, json_t *result, const char *sentence)
{
	struct vm *vm = ctx;
	struct saving *s = vm->saving;
	const json_t *save = json_object_get(result, "save");
	json_int_t done = json_integer_value(json_object_get(save, "done_bytes"));
	json_int_t total = json_integer_value(json_object_get(save, "total_bytes"));

	if (sentence || !s || s->step != SAVE_WRITES)
		return;
	if (s->job && total > 0 && done >= 0 && done <= total)
		job_progress(vm->host, s->job, (unsigned)((double)done * 100.0 / (double)total));
	look_later(s);
}

static int on_look(sd_event_source *source, uint64_t us, void *ctx)
{
	struct vm *vm = ctx;

	(void)source;
	(void)us;
	if (vm->worker)
		(void)link_request(vm->worker, json_pack("{s:s}", "verb", "status"), -1,
				   on_progress, vm);
	return 0;
}

static void on_asked(void *ctx, json_t *result, const char *sentence)
{
	struct vm *vm = ctx;
	struct saving *s = vm->saving;

	(void)result;
	if (!s || s->step != SAVE_ASKS)
		return;
	if (sentence) {
		give_up(s, sentence);
		return;
	}
	s->step = SAVE_WRITES;
	vm_move(vm, VM_SAVING);
	look_later(s);
	if (s->cancelled) /* before there was anything to cancel */
		call_off(vm);
}

static void on_opened(struct pool_work *w)
{
	struct saving *s = CONTAINER_OF(w, struct saving, work);
	struct vm *vm = s->vm;
	int fd = s->fd, r;

	s->step = SAVE_ASKS;
	s->fd = -1;
	if (s->result < 0) {
		give_up(s, s->f.text);
		return;
	}
	r = vm_ask(vm, "save", json_pack("{s:s}", "verb", "save"), fd, on_asked, vm, &s->f);
	if (r < 0)
		give_up(s, s->f.text);
}

static void on_cancel(void *ctx)
{
	struct vm *vm = ctx;

	/* Whoever has the name is saved. */
	if (!vm->saving || vm->saving->step >= SAVE_NAMES)
		return;
	vm->saving->cancelled = true;
	call_off(vm);
}

int save_start(struct vm *vm, struct job **ret_job, struct failure *f)
{
	size_t len = strlen(vm->folder) + 1;
	struct saving *s;

	if (vm->saving || vm->edited || vm->migration ||
	    (vm->life != VM_RUNNING && vm->life != VM_PAUSED))
		return fail(f, -EBUSY, "cannot save the VM '%s': it is %s", vm->name,
			    vm->saving      ? "being saved already"
			    : vm->migration ? "on its way to another host"
			    : vm->edited    ? "being changed"
					    : vm_life_label(vm));
	s = calloc(1, sizeof(*s) + len);
	if (s)
		s->job = job_new(vm->host, "save", vm->name);
	if (!s || !s->job) {
		free(s);
		return fail(f, -ENOMEM, "cannot save the VM '%s': out of memory, or too many jobs",
			    vm->name);
	}
	s->vm = vm;
	s->fd = -1;
	memcpy(s->folder, vm->folder, len);
	vm->saving = s;
	s->job->cancel = on_cancel;
	s->job->ctx = vm;
	*ret_job = s->job;
	submit(s, open_file, on_opened);
	return 0;
}

void save_ended(struct vm *vm, const char *why)
{
	struct saving *s = vm->saving;

	/* What the pool has comes to its end first. */
	if (!s || s->step == SAVE_OPENS || s->step == SAVE_NAMES)
		return;
	if (s->step != SAVE_STOPS) {
		give_up(s, why ? why : "it has ended");
		return;
	}
	vm->saving = NULL;
	sd_event_source_disable_unref(s->look);
	end_job(s, NULL);
	free(s);
}

void save_forget(struct vm *vm)
{
	if (!vm->saving)
		return;
	sd_event_source_disable_unref(vm->saving->look);
	free(vm->saving);
	vm->saving = NULL;
}

/* ---- what the worker tells ---- */

static void on_saved(struct vm *vm)
{
	struct saving *s = vm->saving;

	/* Of one that was cancelled the file gets no name: its guest may run on already. */
	if (s && s->step == SAVE_WRITES && !s->cancelled) {
		s->step = SAVE_NAMES;
		submit(s, name_file, on_named);
	} else if (!s && vm->saved) { /* the daemon ended amid it */
		vm_move(vm, VM_SAVING);
		stop_worker(vm);
	} else if (!s) {
		call_off(vm);
	}
}

/* Its worker has read the state: it may go on once nobody can read it again. What makes a file a
 * saved state is its name; so that goes first, and comes back when the disk does not take it. */
struct taking {
	struct pool_work work;
	struct vm *vm;
	int result;
	struct failure f;
	vm_done_fn *done; /* of who throws it away; NULL: it is restored */
	void *ctx;
	char folder[];
};

static void remove_state(struct pool_work *w)
{
	struct taking *t = CONTAINER_OF(w, struct taking, work);
	char from[PATH_MAX], to[PATH_MAX];

	t->result = path_in(t->folder, SAVE_FILE, from);
	if (t->result == 0)
		t->result = path_in(t->folder, NEW_FILE, to);
	if (t->result < 0) {
		fail(&t->f, t->result, "the path of %s is too long", t->folder);
		return;
	}
	(void)unlink(to);
	t->result = store_rename(from, to, &t->f);
	if (t->result == -ENOENT) /* somebody has removed it already */
		t->result = 0;
	else if (t->result == 0 && unlink(to) < 0)
		log_line(LOG_LEVEL_WARNING,
			 "cannot remove %s: %s; it goes when the VM is saved again, or the daemon "
			 "starts",
			 to, strerror(errno));
}

/* A worker that cannot be told is told by who finds it so (save_told()). */
static void go_on(struct vm *vm)
{
	if (vm->worker)
		(void)link_request(vm->worker, json_pack("{s:s}", "verb", "resume"), -1, NULL,
				   NULL);
}

static void on_taken(struct pool_work *w)
{
	struct taking *t = CONTAINER_OF(w, struct taking, work);
	struct vm *vm = t->vm;

	vm->taking = false;
	if (t->result == 0)
		vm->saved = false;
	if (t->done) {
		if (t->result == 0)
			vm_move(vm, VM_OFF);
		t->done(t->ctx, t->result < 0 ? t->f.text : NULL);
	} else if (t->result < 0) {
		snprintf(vm->problem, sizeof(vm->problem), "%s", t->f.text);
		stop_worker(vm);
	} else {
		go_on(vm);
	}
	free(t);
}

static int take_state(struct vm *vm, vm_done_fn *done, void *ctx)
{
	size_t len = strlen(vm->folder) + 1;
	struct taking *t = calloc(1, sizeof(*t) + len);

	if (!t)
		return -ENOMEM;
	t->work = (struct pool_work){.work = remove_state, .done = on_taken, .lane = &vm->lane};
	t->vm = vm;
	t->done = done;
	t->ctx = ctx;
	memcpy(t->folder, vm->folder, len);
	vm->taking = true;
	pool_submit(vm->host->pool, &t->work);
	return 0;
}

bool save_told(struct vm *vm, const char *state, const json_t *status)
{
	struct saving *s = vm->saving;
	const char *error;

	if (strcmp(state, "saved") == 0) {
		on_saved(vm);
		return true;
	}
	if (strcmp(state, "saving") == 0) {
		vm_move(vm, VM_SAVING);
		return true;
	}
	if (json_is_true(json_object_get(status, "restored")) && vm->life == VM_STARTING) {
		if (!vm->saved) /* the daemon ended amid it */
			go_on(vm);
		else if (!vm->taking && take_state(vm, NULL, NULL) < 0)
			stop_worker(vm);
		return true;
	}
	if (s && s->step == SAVE_WRITES) {
		error = json_string_value(
			json_object_get(json_object_get(status, "save"), "error"));
		give_up(s, error && *error ? error : "the worker has given it up");
	}
	return false;
}

int save_discard(struct vm *vm, vm_done_fn *done, void *ctx, struct failure *f)
{
	if (vm->life != VM_SAVED || vm->taking || vm->edited)
		return fail(f, -EBUSY, "cannot throw the saved state of the VM '%s' away: it is %s",
			    vm->name, vm->life == VM_SAVED ? "being changed" : vm_life_label(vm));
	if (take_state(vm, done, ctx) < 0)
		return fail(f, -ENOMEM,
			    "cannot throw the saved state of the VM '%s' away: out of memory",
			    vm->name);
	return 0;
}
