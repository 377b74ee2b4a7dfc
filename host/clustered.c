/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/clustered.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/util.h"
#include "host/cluster.h"
#include "host/cluster_log.h"
#include "host/coverage.h"
#include "host/ending.h"
#include "host/fencing.h"
#include "host/incoming.h"
#include "host/migrate.h"
#include "host/moves.h"
#include "host/save.h"
#include "host/stay.h"
#include "host/steer.h"
#include "host/store.h"
#include "lib/lease.h"
#include "lib/log.h"

/* A start that is under way, up to the VM's own. */
struct clustering {
	struct pool_work work;
	struct list link;
	struct host *host;
	char name[VM_NAME_MAX + 1];
	char uuid[GUID_TEXT_LEN];
	struct guid guid;
	char folder[PATH_MAX], vms[PATH_MAX], own[PATH_MAX];
	struct settings *settings;
	uint64_t force;    /* the epoch of another host's lease, which may be taken; or 0 */
	struct guid owner; /* that host */
	char holder[MEMBERS_NAME_MAX + 1]; /* its name */
	struct crm_question question;
	struct fencing_wait wait;
	json_t *devices; /* that were all that cut the holder off; or NULL */
	bool stopped;    /* meanwhile */
	bool begun;      /* its worker is on its way */
	int r;
	struct failure f;
	vm_done_fn *done;
	void *ctx;
};

bool clustered_is(const char *folder)
{
	char path[PATH_MAX];
	struct stat st;

	return lstat(folder, &st) == 0 && S_ISLNK(st.st_mode) &&
	       snprintf(path, sizeof(path), "%s/" CLUSTERED_FILE, folder) < (int)sizeof(path) &&
	       access(path, F_OK) == 0;
}

int clustered_refuse(const struct vm *vm, const char *what, struct failure *f)
{
	return vm->clustered
		       ? fail(f, -EBUSY,
			      "cannot %s the VM '%s': the cluster decides that; ask it ('crm_resource "
			      "--resource vm-%s', or 'oya vm migrate' to a member), or take the VM "
			      "out of it",
			      what, vm->name, vm->name)
		       : 0;
}

/* ---- looked at, in the pool ---- */

static int in_folder(const char *folder, const char *name, char path[PATH_MAX], struct failure *f)
{
	return snprintf(path, PATH_MAX, "%s/%s", folder, name) < PATH_MAX
		       ? 0
		       : fail(f, -ENAMETOOLONG, "the path of %s is too long", folder);
}

int clustered_read(const char *folder, const struct guid *vm, struct settings **ret_settings,
		   struct failure *f)
{
	char path[PATH_MAX], uuid[GUID_TEXT_LEN], *text;
	struct settings *settings;
	struct failure why;
	size_t len;
	int r = in_folder(folder, VM_FILE, path, f);

	if (r == 0)
		r = store_read(path, SETTINGS_BYTES_MAX, &text, &len, f);
	if (r < 0)
		return r;
	r = settings_decode(text, len, &settings, &why);
	free(text);
	if (r < 0)
		return fail(f, r, "%s: %s", path, why.text);
	if (guid_equal(&settings->uuid, vm)) {
		*ret_settings = settings;
		return 0;
	}
	guid_format(&settings->uuid, uuid);
	settings_free(settings);
	return fail(f, -EINVAL, "the VM in %s has another UUID: %s", folder, uuid);
}

/* Before the engine is asked, so that what it says is newer. */
static int look_at_lease(struct clustering *c)
{
	struct lease_file file = {.fd = -1, .vm = c->guid};
	char path[PATH_MAX];
	struct lease now;
	int r = in_folder(c->folder, LEASE_FILE, path, &c->f);

	if (r < 0)
		return r;
	file.name = path;
	r = lease_open(&file, false, &c->f);
	if (r == -ENOENT)
		return 0;
	if (r == 0)
		r = lease_read(&file, &now, &c->f);
	/* Our own offer is taken back as it is taken: no worker of ours lives. */
	if (r == 0 && lease_is_others(&now, &c->host->uuid) &&
	    !guid_equal(&now.owner, &c->host->uuid)) {
		c->force = now.epoch;
		c->owner = now.owner;
	}
	lease_close(&file);
	return r;
}

static void look(struct pool_work *w)
{
	struct clustering *c = CONTAINER_OF(w, struct clustering, work);

	c->r = clustered_read(c->folder, &c->guid, &c->settings, &c->f);
	if (c->r == 0)
		c->r = look_at_lease(c);
}

/* ---- listed here, in the pool ---- */

/* What a move has left behind is of the time before the VM was the cluster's. */
static int drop_note(struct clustering *c)
{
	struct move m;
	int r = move_read(c->host->state, c->uuid, &m, &c->f);

	if (r < 0 || m.state == MOVE_NONE)
		return r;
	if (m.state != MOVE_GONE)
		return fail(&c->f, -EBUSY, "it is on its way to or from another host");
	return move_drop(c->host->state, c->uuid, &c->f);
}

/* By a link to the very folder; one that leads nowhere is replaced. */
static int list_here(struct clustering *c)
{
	char path[PATH_MAX], target[PATH_MAX];
	ssize_t n = readlink(c->own, target, sizeof(target) - 1);
	struct stat st;
	int r = in_folder(c->folder, CLUSTERED_FILE, path, &c->f);

	if (r == 0 && access(path, F_OK) < 0)
		r = store_write(c->folder, CLUSTERED_FILE, "", 0, &c->f);
	if (r < 0)
		return r;
	if (n >= 0) {
		target[n] = '\0';
		if (strcmp(target, c->folder) == 0)
			return 0;
		if (stat(c->own, &st) < 0)
			r = store_remove(c->vms, c->name, &c->f);
	}
	if (r == 0 && lstat(c->own, &st) == 0)
		return fail(&c->f, -EEXIST, "there is something else at %s; move it away", c->own);
	return r < 0 ? r : store_link(c->folder, c->own, &c->f);
}

static void enlist(struct pool_work *w)
{
	struct clustering *c = CONTAINER_OF(w, struct clustering, work);

	c->r = drop_note(c);
	if (c->r == 0 && c->devices)
		c->r = coverage_check(c->devices, c->folder, &c->f);
	if (c->r == 0)
		c->r = list_here(c);
}

/* ---- started ---- */

static void clustering_free(struct clustering *c)
{
	list_remove(&c->link);
	settings_free(c->settings);
	json_decref(c->devices);
	free(c);
}

/* For the log of the cluster. */
static void note(struct clustering *c, const char *why)
{
	struct record r = {.kind = why ? RECORD_NOT_STARTED : RECORD_STARTED};

	snprintf(r.vm, sizeof(r.vm), "%s", c->name);
	snprintf(r.by, sizeof(r.by), "%s", c->holder);
	record_set_why(&r, why ? why : "");
	if (!why && c->force) {
		c->host->failovers++;
		c->host->failover_s = time(NULL);
	}
	cluster_log_add(c->host, &r);
}

static void give_up(struct clustering *c)
{
	char sentence[FAIL_TEXT_MAX];

	note(c, c->f.text);

	snprintf(sentence, sizeof(sentence), "cannot start the VM '%s' here: %.400s", c->name,
		 c->f.text);
	log_line(LOG_LEVEL_ERROR, "%s", sentence);
	c->done(c->ctx, sentence);
	clustering_free(c);
}

/* The VM as it is known now; made known if it is not. NULL: why. */
static struct vm *take_in(struct clustering *c)
{
	struct vm *vm = host_find(c->host, c->name);

	if (!vm && host_find_uuid(c->host, c->uuid)) {
		fail(&c->f, -EEXIST, "the VM '%s' has the UUID %s already",
		     host_find_uuid(c->host, c->uuid)->name, c->uuid);
		return NULL;
	}
	if (vm)
		return vm;
	vm = vm_new(c->host, c->name, c->own, c->settings);
	if (!vm) {
		fail(&c->f, -ENOMEM, "out of memory");
		return NULL;
	}
	c->settings = NULL;
	host_add(c->host, vm);
	host_publish(c->host, "vm", vm_show(vm));
	return vm;
}

/* One that was listed here, off, may have been changed by another host. */
static void renew(struct vm *vm, struct clustering *c)
{
	if (!c->settings || (vm->life != VM_OFF && vm->life != VM_SAVED))
		return;
	settings_free(vm->settings);
	vm->settings = c->settings;
	c->settings = NULL;
	vm->version++;
	vm->saved = save_exists(vm->folder);
	vm_move(vm, vm->saved ? VM_SAVED : VM_OFF);
}

static int begin(struct clustering *c, struct vm *vm)
{
	int r;

	if (vm->making)
		return fail(&c->f, -EBUSY, "it is being made or put away");
	if (strcmp(vm->uuid, c->uuid) != 0)
		return fail(&c->f, -EEXIST, "there is another VM of that name, with the UUID %s",
			    vm->uuid);
	vm->clustered = true; /* its link was looked at */
	if (vm->life == VM_RUNNING || vm->life == VM_PAUSED || vm->life == VM_STARTING)
		return 0;
	renew(vm, c);
	vm->lease_force = c->force;
	r = vm_start(vm, &c->f);
	c->begun = r == 0;
	if (r < 0)
		vm->lease_force = 0;
	return r;
}

static void on_up(void *ctx, const char *sentence)
{
	struct clustering *c = ctx;

	if (c->begun && !c->host->ends)
		note(c, sentence);
	c->done(c->ctx, sentence);
	clustering_free(c);
}

/* What it waited for is there: whether it is still wanted. */
static bool is_wanted(struct clustering *c)
{
	if (c->r == 0 && (c->stopped || c->host->ends))
		c->r = fail(&c->f, -ECANCELED, "it was told to stop meanwhile");
	return c->r == 0;
}

static void on_listed(struct pool_work *w)
{
	struct clustering *c = CONTAINER_OF(w, struct clustering, work);
	struct vm *vm = is_wanted(c) ? take_in(c) : NULL;

	if (vm && begin(c, vm) < 0)
		vm = NULL;
	if (!vm) {
		give_up(c);
		return;
	}
	if (vm->life == VM_PAUSED)
		on_up(c, NULL);
	else if (vm_wait(vm, VM_RUNNING, on_up, c) < 0)
		on_up(c, "out of memory");
}

static void go_on(struct clustering *c)
{
	c->work = (struct pool_work){.work = enlist, .done = on_listed};
	pool_submit(c->host->pool, &c->work);
}

static void on_answer(struct crm_question *q, int r, const struct crm_view *view,
		      const struct failure *f)
{
	struct clustering *c = CONTAINER_OF(q, struct clustering, question);
	struct failure why = *f;

	c->r = r < 0 ? r : crm_judge(view, &why);
	if (c->r < 0)
		fail(&c->f, c->r, "%s holds its lease, and %.300s", c->holder, why.text);
	if (!is_wanted(c)) {
		give_up(c);
		return;
	}
	c->devices = fencing_alone(cluster_fencing(c->host->cluster));
	log_line(LOG_LEVEL_WARNING,
		 "the lease of the VM '%s' was held by %s, which the cluster has fenced or let go: "
		 "it is taken",
		 c->name, c->holder);
	go_on(c);
}

/* Of the host that holds the lease the engine has to know that it is off. */
static void ask_engine(struct clustering *c)
{
	const struct members *all = cluster_members(c->host->cluster);
	const struct member *holder = all ? members_find_host(all, &c->owner) : NULL;
	char uuid[GUID_TEXT_LEN];

	if (!holder) {
		guid_format(&c->owner, uuid);
		c->r = fail(
			&c->f, -ENOENT,
			"the host %s is no member of this host's cluster, and holds its lease; "
			"stop the VM there, or, once that host is certainly off, remove the file "
			"%s/" LEASE_FILE,
			uuid, c->folder);
		give_up(c);
		return;
	}
	snprintf(c->holder, sizeof(c->holder), "%s", holder->name);
	c->question = (struct crm_question){.host = c->holder, .done = on_answer};
	crm_ask(&c->host->crm, &c->question);
}

static void on_let_in(struct fencing_wait *w, const char *sentence)
{
	struct clustering *c = CONTAINER_OF(w, struct clustering, wait);

	if (sentence)
		c->r = fail(&c->f, -EBUSY, "%.300s", sentence);
	if (!is_wanted(c))
		give_up(c);
	else if (c->force)
		ask_engine(c);
	else
		go_on(c);
}

static void on_looked(struct pool_work *w)
{
	struct clustering *c = CONTAINER_OF(w, struct clustering, work);
	struct fencing *fencing = cluster_fencing(c->host->cluster);

	c->wait.done = on_let_in;
	if (is_wanted(c) && fencing)
		fencing_wait(fencing, &c->wait);
	else
		on_let_in(&c->wait, NULL);
}

int clustered_start(struct host *h, const char *name, const struct guid *uuid, const char *folder,
		    vm_done_fn *done, void *ctx, struct failure *f)
{
	struct clustering *c;

	if (!vm_name_allowed(name))
		return fail(f, -EINVAL, "'%.80s' is no name of a VM", name);
	if (folder[0] != '/' || strlen(folder) >= PATH_MAX)
		return fail(f, -EINVAL, "'folder' is not the path of the folder of the VM '%s'",
			    name);
	c = calloc(1, sizeof(*c));
	if (!c)
		return fail(f, -ENOMEM, "cannot start the VM '%s' here: out of memory", name);
	c->work = (struct pool_work){.work = look, .done = on_looked};
	c->host = h;
	c->guid = *uuid;
	guid_format(uuid, c->uuid);
	c->done = done;
	c->ctx = ctx;
	snprintf(c->name, sizeof(c->name), "%s", name);
	snprintf(c->folder, sizeof(c->folder), "%s", folder);
	if (in_folder(h->state, "vms", c->vms, f) < 0 || in_folder(c->vms, name, c->own, f) < 0) {
		free(c);
		return -ENAMETOOLONG;
	}
	list_append(&h->clusterings, &c->link);
	pool_submit(h->pool, &c->work);
	return 0;
}

/* ---- stopped ---- */

struct leaving {
	struct pool_work work;
	struct host *host;
	struct vm *vm;
	char name[VM_NAME_MAX + 1], uuid[GUID_TEXT_LEN];
	bool ran;
	int r;
	struct failure f;
	vm_done_fn *done; /* or NULL */
	void *ctx;
};

static void tell_left(struct leaving *l, const char *sentence)
{
	if (l->done)
		l->done(l->ctx, sentence);
	free(l);
}

/* Behind its lease, which is freed in the same lane. */
static void unlist(struct pool_work *w)
{
	struct leaving *l = CONTAINER_OF(w, struct leaving, work);
	char vms[PATH_MAX];

	l->r = in_folder(l->host->state, "vms", vms, &l->f);
	if (l->r == 0)
		l->r = store_remove(vms, l->name, &l->f);
}

static void on_unlisted(struct pool_work *w)
{
	struct leaving *l = CONTAINER_OF(w, struct leaving, work);
	struct vm *vm = l->vm;

	/* It does not run, whatever is left of it. */
	if (l->r < 0)
		log_line(LOG_LEVEL_WARNING, "%s", l->f.text);
	host_publish(l->host, "vm-removed",
		     json_pack("{s:s, s:s}", "name", vm->name, "uuid", vm->uuid));
	host_remove(l->host, vm);
	tell_left(l, NULL);
}

static void leave(struct leaving *l, struct vm *vm)
{
	if (l->ran)
		cluster_log_add_vm(l->host, RECORD_STOPPED, vm->name, "");
	l->vm = vm;
	l->work = (struct pool_work){.work = unlist, .done = on_unlisted, .lane = &vm->lane};
	vm->making = true; /* from here on nobody can use it */
	pool_submit(l->host->pool, &l->work);
}

static void on_stopped(void *ctx, const char *sentence)
{
	struct leaving *l = ctx;
	struct vm *vm = sentence ? NULL : host_find(l->host, l->name);

	if (sentence)
		tell_left(l, sentence);
	else if (vm && vm->clustered && !vm->migration) /* whose end comes yet */
		leave(l, vm);
	else
		tell_left(l, NULL);
}

/* One that was to come does not run here; unless nobody can tell, since the daemon ends. */
static void on_gone(void *ctx, const char *sentence)
{
	struct leaving *l = ctx;

	tell_left(l, l->host->ends ? sentence : NULL);
}

static int stop_now(struct vm *vm, struct leaving *l, struct failure *f)
{
	struct failure ignored;

	if (vm->incoming) {
		if (vm_wait(vm, VM_OFF, on_gone, l) < 0)
			return fail(f, -ENOMEM, "cannot stop the VM '%s': out of memory", vm->name);
		(void)incoming_undo(vm, NULL, NULL, &ignored); /* or it is being undone */
		return 0;
	}
	if (vm->making)
		return fail(f, -EBUSY, "cannot stop the VM '%s': it is being changed", vm->name);
	l->ran = vm->life != VM_OFF && vm->life != VM_SAVED;
	if (l->ran)
		return ending_start_one(vm, on_stopped, l, f);
	on_stopped(l, NULL);
	return 0;
}

static struct leaving *leaving_new(struct host *h, const char *name, const char *uuid)
{
	struct leaving *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->host = h;
	snprintf(l->name, sizeof(l->name), "%s", name);
	snprintf(l->uuid, sizeof(l->uuid), "%s", uuid);
	return l;
}

static void call_off(struct host *h, const char *name)
{
	for (struct list *at = h->clusterings.next; at != &h->clusterings; at = at->next) {
		struct clustering *c = CONTAINER_OF(at, struct clustering, link);

		if (strcmp(c->name, name) == 0)
			c->stopped = true;
	}
}

int clustered_stop(struct host *h, const char *name, const struct guid *uuid, vm_done_fn *done,
		   void *ctx, struct failure *f)
{
	struct vm *vm = host_find(h, name);
	char text[GUID_TEXT_LEN];
	struct leaving *l;
	int r;

	guid_format(uuid, text);
	call_off(h, name);
	if (!vm || strcmp(vm->uuid, text) != 0) {
		done(ctx, NULL);
		return 0;
	}
	l = leaving_new(h, name, text);
	if (!l)
		return fail(f, -ENOMEM, "cannot stop the VM '%s': out of memory", name);
	l->done = done;
	l->ctx = ctx;
	r = stop_now(vm, l, f);
	if (r < 0)
		free(l);
	return r;
}

/* ---- moved ---- */

int clustered_migrate(struct host *h, const char *name, const struct guid *uuid, const char *node,
		      struct job **ret_job, struct failure *f)
{
	struct vm *vm = host_find(h, name);
	struct migrate_wish wish;
	int r;

	if (!vm || !vm->clustered || !guid_equal(&vm->settings->uuid, uuid))
		return fail(f, -EBUSY, "the VM '%.80s' of the cluster is not here", name);
	steer_take(vm, &wish);
	r = cluster_peer(h->cluster, node, &wish.peer, f);
	if (r == 0)
		r = migrate_start(vm, &wish, ret_job, f);
	if (r < 0)
		stay_begin(vm);
	return r;
}

/* ---- put away ---- */

void clustered_put_away(const struct host *h, const char *name, const struct guid *uuid)
{
	char vms[PATH_MAX], folder[PATH_MAX], path[PATH_MAX];
	struct failure f;
	int r = in_folder(h->state, "vms", vms, &f);

	if (r == 0)
		r = in_folder(vms, name, folder, &f);
	if (r == 0)
		r = in_folder(folder, LEASE_FILE, path, &f);
	if (r == 0)
		r = vm_lease_give_back(path, uuid, &h->uuid, true, &f);
	if (r == 0)
		r = store_remove(vms, name, &f);
	if (r < 0)
		log_line(LOG_LEVEL_WARNING, "%s", f.text);
}
