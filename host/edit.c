/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/edit.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "host/check.h"
#include "host/clustered.h"
#include "host/host.h"
#include "host/images.h"
#include "host/network.h"
#include "host/store.h"

enum what { CREATE, CHANGE, REMOVE, REMOVE_ALL };

struct edit {
	struct pool_work work;
	struct host *host;
	struct vm *vm;
	enum what what;
	struct guid uuid;
	struct settings *settings; /* the new ones */
	json_t *config;            /* for the worker, to be checked */
	json_t *images;            /* to be made */
	char *text;                /* for the file */
	char vms[PATH_MAX], folder[PATH_MAX];
	int r;
	struct failure f;
	edit_done_fn *done;
	void *ctx;
};

static void edit_free(struct edit *e)
{
	settings_free(e->settings);
	json_decref(e->config);
	json_decref(e->images);
	free(e->text);
	free(e);
}

/* ---- on a thread of the pool ---- */

/* The file comes last: with it there is a VM. */
static int fill_folder(struct edit *e, const char *folder)
{
	int r = images_make(e->images, folder, &e->f);

	if (r < 0)
		return r;
	r = store_write(folder, VM_FILE, e->text, strlen(e->text), &e->f);
	if (r < 0)
		images_remove(e->images, folder);
	return r;
}

/* By a VM that runs on another host, or whose file cannot be used. */
static bool is_taken(const struct edit *e)
{
	char path[PATH_MAX + sizeof(VM_FILE)];

	snprintf(path, sizeof(path), "%s/" VM_FILE, e->folder);
	return access(path, F_OK) == 0;
}

/* A folder that is left of one that was removed, disks kept, is taken as it is. A new one comes
 * with its file, or not at all. */
static int make(struct edit *e)
{
	char new[PATH_MAX];
	int r;

	if (access(e->folder, F_OK) == 0)
		return is_taken(e) ? fail(&e->f, -EEXIST,
					  "there is a VM's " VM_FILE " in %s, which this host does "
					  "not use: move it away",
					  e->folder)
				   : fill_folder(e, e->folder);
	if (snprintf(new, sizeof(new), "%s/" STORE_NEW "%s", e->vms, strrchr(e->folder, '/') + 1) >=
	    (int)sizeof(new))
		return fail(&e->f, -ENAMETOOLONG, "the path of %s is too long", e->folder);
	r = store_make_folder(new, &e->f);
	if (r == 0)
		r = fill_folder(e, new);
	if (r == 0)
		r = store_rename(new, e->folder, &e->f);
	if (r < 0) {
		struct failure ignored;

		(void)store_remove_folder(new, &ignored);
	}
	return r;
}

/* With what a link leads to. */
static int remove_all(struct edit *e)
{
	char real[PATH_MAX];
	struct stat st;
	int r = 0;

	if (lstat(e->folder, &st) == 0 && S_ISLNK(st.st_mode) && realpath(e->folder, real))
		r = store_remove_folder(real, &e->f);
	return r < 0 ? r : store_remove_folder(e->folder, &e->f);
}

static void work(struct pool_work *w)
{
	struct edit *e = CONTAINER_OF(w, struct edit, work);

	e->r = e->config ? check_config(e->host->launcher.worker, e->config, &e->f) : 0;
	if (e->r < 0)
		return;
	switch (e->what) {
	case CREATE:
		e->r = make(e);
		break;
	case CHANGE:
		e->r = fill_folder(e, e->folder);
		break;
	case REMOVE:
		e->r = vm_lease_remove(e->folder, &e->uuid, &e->host->uuid, &e->f);
		if (e->r == 0)
			e->r = store_remove(e->folder, VM_FILE, &e->f);
		if (e->r == 0)
			e->r = store_remove(e->folder, VM_RUNNING_FILE, &e->f);
		/* When nothing else was in it; or it is a link to one that others may have too. */
		if (rmdir(e->folder) < 0 && errno == ENOTDIR)
			(void)unlink(e->folder);
		break;
	case REMOVE_ALL:
		e->r = vm_lease_remove(e->folder, &e->uuid, &e->host->uuid, &e->f);
		if (e->r == 0)
			e->r = remove_all(e);
		break;
	}
}

/* ---- on the loop ---- */

static void take_settings(struct vm *vm, struct edit *e)
{
	settings_free(vm->settings);
	vm->settings = e->settings;
	e->settings = NULL;
	vm->version++;
}

static void done(struct pool_work *w)
{
	struct edit *e = CONTAINER_OF(w, struct edit, work);
	bool gone = e->what == CREATE ? e->r < 0 : e->what != CHANGE && e->r == 0;
	struct vm *vm = e->vm;

	vm->making = vm->edited = false;
	if (gone) {
		if (e->what != CREATE)
			host_publish(e->host, "vm-removed",
				     json_pack("{s:s, s:s}", "name", vm->name, "uuid", vm->uuid));
		host_remove(e->host, vm);
		vm = NULL;
	} else if (e->r == 0) {
		if (e->what == CHANGE)
			take_settings(vm, e);
		host_publish(e->host, "vm", vm_show(vm));
	}
	e->done(e->ctx, vm, e->r, &e->f);
	edit_free(e);
}

static struct edit *edit_new(struct vm *vm, enum what what, edit_done_fn *fn, void *ctx)
{
	struct edit *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	e->work = (struct pool_work){.work = work, .done = done, .lane = &vm->lane};
	e->host = vm->host;
	e->vm = vm;
	e->what = what;
	e->uuid = vm->settings->uuid;
	e->done = fn;
	e->ctx = ctx;
	snprintf(e->vms, sizeof(e->vms), "%s/vms", vm->host->state);
	snprintf(e->folder, sizeof(e->folder), "%s", vm->folder);
	return e;
}

static int submit(struct vm *vm, struct edit *e, struct failure *f)
{
	if (!e || (e->what < REMOVE && (!e->text || !e->config))) {
		if (e)
			edit_free(e);
		return fail(f, -ENOMEM, "cannot change the VM '%s': out of memory", vm->name);
	}
	vm->edited = true;
	pool_submit(vm->host->pool, &e->work);
	return 0;
}

/* What is written, and what the worker is to check. */
static void fill(struct edit *e, const struct settings *s)
{
	const struct vm_places places = {
		.name = e->vm->name, .folder = e->vm->folder, .run = e->vm->run};

	e->text = json_dumps(s->root, JSON_INDENT(2));
	e->config = settings_for_worker(s, &places);
}

int edit_check_switches(const struct host *h, const struct settings *s, struct failure *f)
{
	struct port_config *ports;
	size_t count;
	int r = settings_ports(s, &ports, &count, f);

	if (r < 0)
		return r;
	for (size_t i = 0; r == 0 && i < count; i++) {
		if (!network_has(h->network, ports[i].switch_name))
			r = fail(f, -EINVAL,
				 "there is no switch '%s' for a NIC; 'oya switch list' names them",
				 ports[i].switch_name);
	}
	free(ports);
	return r;
}

/* The settings and images that a client wants of a new VM. */
static int take_wish(const struct host *h, const char *name, const json_t *object,
		     const char *brought, struct settings **ret_settings, json_t **ret_images,
		     struct failure *f)
{
	struct settings *settings;
	json_t *wanted, *images = NULL;
	int r;

	if (!vm_name_allowed(name))
		return fail(f, -EINVAL,
			    "'%.80s' is no name of a VM: 1 to %u letters, digits, dots, dashes and "
			    "underlines, and neither dot nor dash first",
			    name, VM_NAME_MAX);
	if (host_find(h, name))
		return fail(f, -EEXIST, "there is a VM '%s' already", name);
	wanted = json_deep_copy(object);
	r = images_take(wanted, brought, &images, f);
	if (r == 0)
		r = settings_make(wanted, &settings, f);
	json_decref(wanted);
	if (r == 0) {
		r = edit_check_switches(h, settings, f);
		if (r < 0)
			settings_free(settings);
	}
	if (r < 0) {
		json_decref(images);
		return r;
	}
	*ret_settings = settings;
	*ret_images = images;
	return 0;
}

int edit_check_new(const struct host *h, const char *name, const json_t *object, struct failure *f)
{
	struct settings *settings;
	json_t *images;
	int r = take_wish(h, name, object, "", &settings, &images, f);

	if (r < 0)
		return r;
	settings_free(settings);
	json_decref(images);
	return 0;
}

int edit_create(struct host *h, const char *name, const json_t *object, const char *brought,
		edit_done_fn *fn, void *ctx, struct failure *f)
{
	struct settings *settings;
	json_t *images;
	char folder[PATH_MAX];
	struct edit *e;
	struct vm *vm;
	int r = take_wish(h, name, object, brought, &settings, &images, f);

	if (r < 0)
		return r;
	snprintf(folder, sizeof(folder), "%s/vms/%s", h->state, name);
	vm = vm_new(h, name, folder, settings);
	if (!vm) {
		settings_free(settings);
		json_decref(images);
		return fail(f, -ENOMEM, "cannot make the VM '%s': out of memory", name);
	}
	if (host_find_uuid(h, vm->uuid)) {
		r = fail(f, -EEXIST, "the VM '%s' has the UUID %s already",
			 host_find_uuid(h, vm->uuid)->name, vm->uuid);
		vm_free(vm);
		json_decref(images);
		return r;
	}
	vm->making = true;
	host_add(h, vm);
	e = edit_new(vm, CREATE, fn, ctx);
	if (e) {
		e->images = images;
		fill(e, settings);
	} else {
		json_decref(images);
	}
	r = submit(vm, e, f);
	if (r < 0)
		host_remove(h, vm);
	return r;
}

/* How it becomes off. */
static const char *way_off(const struct vm *vm)
{
	return vm->life == VM_SAVED ? "start it, or throw its state away ('oya vm discard')"
				    : "switch it off first";
}

/* Settings that a VM which is not off takes with its next start only; here they are refused, so
 * that nobody takes them for done. */
static int check_running(const struct vm *vm, const json_t *patch, struct failure *f)
{
	static const char *const any_time[] = {"notes", "tags", "start", "stop", "crash"};
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)patch, name, value)
	{
		size_t i = 0;

		while (i < ARRAY_LEN(any_time) && strcmp(any_time[i], name) != 0)
			i++;
		if (i == ARRAY_LEN(any_time))
			return fail(f, -EBUSY, "cannot change '%.32s' of the VM '%s': it is %s; %s",
				    name, vm->name, vm_life_label(vm), way_off(vm));
	}
	return 0;
}

static int check_free(const struct vm *vm, struct failure *f)
{
	if (vm->migration || vm->incoming)
		return fail(f, -EBUSY,
			    "cannot change the VM '%s': it is on its way %s another host", vm->name,
			    vm->migration ? "to" : "from");
	return vm->edited ? fail(f, -EBUSY, "the VM '%s' is being changed by another request",
				 vm->name)
			  : 0;
}

int edit_settle(struct vm *vm, struct settings *settings, json_t *images, edit_done_fn *fn,
		void *ctx, struct failure *f)
{
	struct edit *e = edit_new(vm, CHANGE, fn, ctx);

	if (e) {
		e->settings = settings;
		e->images = images;
		fill(e, settings);
	} else {
		settings_free(settings);
		json_decref(images);
	}
	return submit(vm, e, f);
}

int edit_change(struct vm *vm, const json_t *patch, edit_done_fn *fn, void *ctx, struct failure *f)
{
	struct settings *settings;
	json_t *images = NULL, *wanted;
	int r = check_free(vm, f);

	if (r == 0 && vm->life != VM_OFF)
		r = check_running(vm, patch, f);
	if (r < 0)
		return r;
	wanted = json_deep_copy(patch);
	r = images_take(wanted, NULL, &images, f);
	if (r == 0)
		r = settings_patch(vm->settings, wanted, &settings, f);
	json_decref(wanted);
	if (r == 0) {
		r = edit_check_switches(vm->host, settings, f);
		if (r < 0)
			settings_free(settings);
	}
	if (r < 0) {
		json_decref(images);
		return r;
	}
	return edit_settle(vm, settings, images, fn, ctx, f);
}

int edit_remove(struct vm *vm, bool with_disks, edit_done_fn *fn, void *ctx, struct failure *f)
{
	int r = check_free(vm, f);

	if (r == 0)
		r = clustered_refuse(vm, "delete", f);
	if (r == 0 && vm->life != VM_OFF)
		return fail(f, -EBUSY, "cannot delete the VM '%s': it is %s; %s", vm->name,
			    vm_life_label(vm), way_off(vm));
	return r < 0 ? r : submit(vm, edit_new(vm, with_disks ? REMOVE_ALL : REMOVE, fn, ctx), f);
}
