/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/incoming.h"

#include <errno.h>
#include <fcntl.h>
#include <gnutls/crypto.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "host/check.h"
#include "host/cluster_log.h"
#include "host/clustered.h"
#include "host/edit.h"
#include "host/intake.h"
#include "host/luggage.h"
#include "host/network.h"
#include "host/offer.h"
#include "host/store.h"
#include "lib/log.h"
#include "lib/random.h"
#include "lib/tls.h"

#define PASSES_EACH 2u /* a connection that fails is made anew */

struct incoming {
	struct pool_work work;
	struct host *host;
	struct vm *vm;       /* NULL: it is refused already, and looked at for the other reasons */
	struct offer *offer; /* NULL: it was there when the daemon began */
	const struct settings *settings; /* the VM's, or the offer's, or NULL */
	char uuid[GUID_TEXT_LEN];
	struct move move;
	json_t *config, *reasons;
	int r;
	struct failure f;
	sd_event_source *patience;
	char pass[TLS_PASS_LEN + 1]; /* of its connections */
	unsigned passes;             /* how often it counts still */
	unsigned connections;        /* that are to come */
	struct link_fds streams;     /* that wait for the others */
	bool given;                  /* its worker was given them */
	bool removing;          /* it has no worker any more: its lease is asked, its files go */
	bool doubt;             /* its lease does not tell */
	bool here;              /* it does: it has been here */
	bool clustered;         /* its folder is the cluster's */
	incoming_made_fn *made; /* NULL: told */
	void *ctx;
	vm_done_fn *undone; /* or NULL */
	void *undone_ctx;
};

static void incoming_free(struct incoming *i)
{
	sd_event_source_disable_unref(i->patience);
	link_fds_close(&i->streams);
	offer_free(i->offer);
	json_decref(i->config);
	json_decref(i->reasons);
	free(i);
}

static void tell_made(struct incoming *i, struct vm *vm, int r)
{
	incoming_made_fn *made = i->made;

	i->made = NULL;
	if (made)
		made(i->ctx, vm, r, i->reasons, &i->f);
}

static void tell_undone(struct incoming *i, const char *sentence)
{
	vm_done_fn *undone = i->undone;

	i->undone = NULL;
	if (undone)
		undone(i->undone_ctx, sentence);
}

static void in_pool(struct incoming *i, void (*work)(struct pool_work *w),
		    void (*done)(struct pool_work *w))
{
	i->work =
		(struct pool_work){.work = work, .done = done, .lane = i->vm ? &i->vm->lane : NULL};
	pool_submit(i->host->pool, &i->work);
}

/* ---- taken back ---- */

static int remove_folder(struct incoming *i, struct failure *f)
{
	return i->move.storage ? luggage_remove(i->vm->folder, &i->vm->settings->uuid,
						&i->host->uuid, false, f)
			       : 0;
}

/* Unless it has been here. */
static void remove_files(struct pool_work *w)
{
	struct incoming *i = CONTAINER_OF(w, struct incoming, work);
	struct move told = i->move;
	struct failure ignored;
	enum lease_side side =
		vm_lease_side(i->vm->folder, &i->vm->settings->uuid, &i->host->uuid, &i->f);

	i->here = side == LEASE_HERE;
	i->r = side == LEASE_NOT_KNOWN ? -EIO : 0;
	if (i->r < 0 || i->here)
		return;
	i->r = remove_folder(i, &i->f);
	/* Who has never had a stream is not asked for it. */
	told.storage &= i->given || !i->offer;
	if (i->r == 0)
		i->r = move_undo(i->host->state, i->uuid, &told, &i->f);
	(void)store_remove_folder(i->vm->run, &ignored);
}

/* It is one of this host's: it has been here, or nobody can tell. */
static void keep(struct incoming *i)
{
	struct vm *vm = i->vm;

	vm->making = false;
	if (i->r < 0) {
		i->doubt = true;
		snprintf(vm->problem, sizeof(vm->problem),
			 "it came from %.100s, and nobody can tell whether it is here: %.300s",
			 i->move.host, i->f.text);
		log_line_of(LOG_LEVEL_ERROR, vm->log_fields, "%s", vm->problem);
	}
	vm_move(vm, VM_OFF);
	if (i->r < 0) {
		tell_undone(i, vm->problem);
		return;
	}
	incoming_settle(vm);
	vm_lease_free(vm);
}

static void on_removed(struct pool_work *w)
{
	struct incoming *i = CONTAINER_OF(w, struct incoming, work);
	struct vm *vm = i->vm;

	i->removing = false;
	if (i->r < 0 || i->here) {
		keep(i);
		return;
	}
	log_line_of(LOG_LEVEL_INFO, vm->log_fields,
		    "the VM '%s' of %s has not come here; nothing of it is left", vm->name,
		    i->move.host);
	vm->incoming = NULL;
	host_publish(i->host, "vm-removed",
		     json_pack("{s:s, s:s}", "name", vm->name, "uuid", vm->uuid));
	host_remove(i->host, vm);
	tell_undone(i, NULL);
	incoming_free(i);
}

/* From here on nobody can use it. */
static void take_back(struct incoming *i)
{
	if (i->removing)
		return;
	i->removing = i->vm->making = true;
	link_fds_close(&i->streams);
	i->patience = sd_event_source_disable_unref(i->patience);
	in_pool(i, remove_files, on_removed);
}

/* ---- looked at, in the pool ---- */

static int path_in(const char *folder, const char *name, char path[PATH_MAX])
{
	return snprintf(path, PATH_MAX, "%s/%s", folder, name) < PATH_MAX ? 0 : -ENAMETOOLONG;
}

/* The other host's folder becomes ours by a link, or is under our name already. */
static void look_at_folder(struct incoming *i, const char *own)
{
	struct stat here, there;

	if (!offer_is_shared(i->offer)) {
		offer_reason(i->reasons,
			     "its folder %s is not here: both hosts have to reach the same one, "
			     "with its lease, under that path",
			     i->offer->folder);
		return;
	}
	i->move.linked = lstat(own, &here) < 0 && errno == ENOENT;
	if (i->move.linked)
		return;
	if (stat(own, &here) < 0 || stat(i->offer->folder, &there) < 0 ||
	    here.st_dev != there.st_dev || here.st_ino != there.st_ino)
		offer_reason(i->reasons, "there is something else at %s; move it away", own);
}

static void look_at_move(struct incoming *i)
{
	struct failure f;
	struct move old;

	if (!i->settings)
		return;
	if (move_read(i->host->state, i->uuid, &old, &f) < 0)
		offer_reason(i->reasons, "%s", f.text);
	else if (old.state == MOVE_INCOMING || old.state == MOVE_LEAVING)
		offer_reason(i->reasons, "it is on its way here or from here already");
	else
		i->move.was_gone = old.state == MOVE_GONE && !i->move.storage;
}

/* The file first: what it tells of is made behind it. */
static int make(struct incoming *i, const char *own)
{
	struct failure ignored;
	int r = move_write(i->host->state, i->uuid, &i->move, &i->f);

	if (r == 0 && i->move.storage) {
		r = luggage_make(i->offer, i->vm->settings, own, &i->host->uuid, &i->f);
		if (r == -EEXIST || (r < 0 && remove_folder(i, &ignored) == 0))
			(void)move_drop(i->host->state, i->uuid, &ignored);
		return r;
	}
	if (r == 0 && i->move.linked) {
		r = store_link(i->offer->folder, own, &i->f);
		if (r < 0)
			(void)move_undo(i->host->state, i->uuid, &i->move, &ignored);
	}
	return r;
}

static void look(struct pool_work *w)
{
	struct incoming *i = CONTAINER_OF(w, struct incoming, work);
	char vms[PATH_MAX], own[PATH_MAX];
	struct processor here;
	struct failure f;
	bool known;

	i->r = path_in(i->host->state, "vms", vms);
	if (i->r == 0)
		i->r = path_in(vms, i->move.name, own);
	if (i->r < 0) {
		fail(&i->f, i->r, "the path of %s is too long", i->host->state);
		return;
	}
	look_at_move(i);
	if (i->move.storage)
		luggage_judge(i->offer, own, i->reasons);
	else
		look_at_folder(i, own);
	known = check_processor(i->host->launcher.worker, &here, &f) == 0;
	if (!known)
		offer_reason(i->reasons, "%s", f.text);
	offer_look(i->offer, i->settings, i->move.storage ? NULL : i->offer->folder,
		   known ? &here : NULL, i->reasons);
	if (i->config && check_config(i->host->launcher.worker, i->config, &f) < 0)
		offer_reason(i->reasons, "%s", f.text);
	if (i->vm && json_array_size(i->reasons) == 0)
		i->r = make(i, own);
	i->clustered = i->r == 0 && clustered_is(own);
}

/* ---- the worker ---- */

static void join(const struct incoming *i, struct failure *f)
{
	size_t len = (size_t)snprintf(f->text, sizeof(f->text),
				      "this host cannot take the VM '%s': ", i->move.name);
	json_t *reason;
	size_t n;

	json_array_foreach(i->reasons, n, reason)
	{
		if (len < sizeof(f->text))
			len += (size_t)snprintf(f->text + len, sizeof(f->text) - len, "%s%s",
						n ? "; " : "", json_string_value(reason));
	}
}

/* Nothing has been made. */
static void refuse(struct incoming *i)
{
	if (i->vm) {
		i->vm->incoming = NULL;
		host_remove(i->host, i->vm);
		i->settings = NULL;
	}
	if (json_array_size(i->reasons)) {
		i->r = -EEXIST;
		join(i, &i->f);
	}
	tell_made(i, NULL, i->r);
	incoming_free(i);
}

static void on_looked(struct pool_work *w)
{
	struct incoming *i = CONTAINER_OF(w, struct incoming, work);

	if (i->r == 0 && i->host->ends) /* who comes next takes it back */
		i->r = fail(&i->f, -EBUSY, "the daemon of this host ends");
	else if (i->r == 0 && i->vm && json_array_size(i->reasons) == 0) {
		i->vm->making = false;
		i->vm->clustered = i->clustered;
		host_publish(i->host, "vm", vm_show(i->vm));
		i->r = vm_await(i->vm, &i->f);
		if (i->r < 0) {
			tell_made(i, NULL, i->r);
			take_back(i);
		}
		return;
	}
	refuse(i);
}

static int on_patience(sd_event_source *source, uint64_t us, void *ctx)
{
	struct incoming *i = ctx;
	struct failure f;

	(void)source;
	(void)us;
	log_line_of(LOG_LEVEL_WARNING, i->vm->log_fields,
		    "the VM '%s' of %s has not come within %u s: it is taken back", i->vm->name,
		    i->move.host, (unsigned)(INCOMING_PATIENCE_US / 1000000));
	(void)incoming_undo(i->vm, NULL, NULL, &f);
	return 0;
}

static void be_patient(struct incoming *i)
{
	if (!i->patience && !i->undone)
		(void)sd_event_add_time_relative(i->host->event, &i->patience, CLOCK_MONOTONIC,
						 INCOMING_PATIENCE_US, 0, on_patience, i);
}

/* ---- it runs here ---- */

static void drop_file(struct pool_work *w)
{
	struct incoming *i = CONTAINER_OF(w, struct incoming, work);

	i->r = move_drop(i->host->state, i->uuid, &i->f);
	if (i->r < 0)
		log_line(LOG_LEVEL_ERROR,
			 "%s; if the VM '%s' is not running when the daemon starts the next time, "
			 "remove that file before",
			 i->f.text, i->move.name);
}

static void on_dropped(struct pool_work *w)
{
	incoming_free(CONTAINER_OF(w, struct incoming, work));
}

void incoming_settle(struct vm *vm)
{
	struct incoming *i = vm->incoming;

	vm->incoming = NULL;
	vm->leased = true;
	i->patience = sd_event_source_disable_unref(i->patience);
	tell_made(i, vm, 0);
	tell_undone(i, "it runs here already");
	vm_mark_running(vm);
	in_pool(i, drop_file, on_dropped);
}

bool incoming_told(struct vm *vm, const char *state)
{
	struct incoming *i = vm->incoming;

	if (strcmp(state, "running") == 0 || strcmp(state, "paused") == 0) {
		if (vm->clustered)
			cluster_log_add_vm(vm->host, RECORD_CAME, vm->name, "");
		incoming_settle(vm);
		return false;
	}
	if (strcmp(state, "incoming") == 0 && vm->life == VM_INCOMING) {
		if (i->made) {
			i->connections =
				(unsigned)min_u64(i->offer->connections, vm_connections(vm));
			i->passes = PASSES_EACH * i->connections;
		}
		tell_made(i, vm, 0);
		if (!i->given)
			be_patient(i);
	}
	return true;
}

bool incoming_ended(struct vm *vm, bool failed, const char *why)
{
	struct incoming *i = vm->incoming;

	if (!failed) { /* it came, ran, and has ended */
		incoming_settle(vm);
		return false;
	}
	fail(&i->f, -EBUSY, "the VM '%s' has not come here: %s", vm->name, why);
	log_line_of(LOG_LEVEL_WARNING, vm->log_fields, "%s", i->f.text);
	tell_made(i, NULL, -EBUSY);
	snprintf(vm->problem, sizeof(vm->problem), "%s", why);
	take_back(i);
	return true;
}

/* ---- the streams ---- */

unsigned incoming_connections(const struct vm *vm, const char **ret_pass)
{
	const struct incoming *i = vm->incoming;

	*ret_pass = i ? i->pass : "";
	return i ? i->connections : 1;
}

bool incoming_takes_pass(const struct host *h, const char *pass)
{
	struct failure ignored;

	for (const struct list *at = h->vms.next; at != &h->vms; at = at->next) {
		const struct vm *vm = CONTAINER_OF(at, struct vm, link);
		struct incoming *i = vm->incoming;

		if (!i || !i->passes || gnutls_memcmp(i->pass, pass, TLS_PASS_LEN) != 0 ||
		    incoming_may_stream(vm, &ignored) < 0)
			continue;
		i->passes--;
		return true;
	}
	return false;
}

int incoming_may_stream(const struct vm *vm, struct failure *f)
{
	const struct incoming *i = vm->incoming;

	if (!i || vm->life != VM_INCOMING || i->doubt || !vm->worker || i->undone)
		return fail(f, -EBUSY, "the VM '%s' does not wait for a stream: it is %s", vm->name,
			    vm_life_label(vm));
	if (i->given)
		return fail(f, -EBUSY, "the VM '%s' has its stream already", vm->name);
	return 0;
}

/* A daemon that comes back finds it. Without, it is impatient, and the VM does not come. */
static void note_given(const struct vm *vm)
{
	char path[PATH_MAX];
	int fd = -1;

	if (path_in(vm->run, VM_STREAMS_FILE, path) == 0)
		fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd >= 0)
		close(fd);
}

static bool was_given(const struct vm *vm)
{
	char path[PATH_MAX];

	return path_in(vm->run, VM_STREAMS_FILE, path) == 0 && access(path, F_OK) == 0;
}

static void on_streams(void *ctx, json_t *result, const char *sentence)
{
	struct vm *vm = ctx;

	(void)result;
	if (sentence && vm->incoming)
		log_line_of(LOG_LEVEL_WARNING, vm->log_fields,
			    "the worker of the VM '%s' takes no stream: %s", vm->name, sentence);
	if (sentence && vm->incoming && !vm->incoming->removing)
		be_patient(vm->incoming);
}

int incoming_stream(struct vm *vm, int fd, struct failure *f)
{
	struct incoming *i = vm->incoming;
	int r = incoming_may_stream(vm, f);

	if (r < 0) {
		close(fd);
		return r;
	}
	i->streams.fd[i->streams.count++] = fd;
	if (i->streams.count < i->connections)
		return 0;
	r = link_hand(vm->worker,
		      json_pack("{s:s, s:b}", "verb", "incoming", "storage", i->move.storage),
		      &i->streams, on_streams, vm);
	if (r < 0)
		return fail(f, r, "the worker of the VM '%s' cannot be asked: %s", vm->name,
			    strerror(-r));
	i->patience = sd_event_source_disable_unref(i->patience);
	i->given = true;
	note_given(vm);
	return 0;
}

/* ---- the begin and the end ---- */

static void on_cancelled(void *ctx, json_t *result, const char *sentence)
{
	struct vm *vm = ctx;

	(void)result;
	if (sentence && vm->incoming)
		tell_undone(vm->incoming, sentence);
}

/* It may be about to run, and then the other host has asked what became of it: it is not switched
 * off. */
static int cancel_at_worker(struct vm *vm, struct failure *f)
{
	if (vm->worker && link_request(vm->worker, json_pack("{s:s}", "verb", "incoming-cancel"),
				       -1, on_cancelled, vm) == 0)
		return 0;
	vm->incoming->undone = NULL;
	return fail(f, -EBUSY, "the worker of the VM '%s' cannot be asked now", vm->name);
}

int incoming_undo(struct vm *vm, vm_done_fn *done, void *ctx, struct failure *f)
{
	struct incoming *i = vm->incoming;

	if (!i)
		return fail(f, -EBUSY, "the VM '%s' does not come from another host: it is %s",
			    vm->name, vm_life_label(vm));
	if (i->undone)
		return fail(f, -EBUSY, "the VM '%s' is taken back already", vm->name);
	i->undone = done;
	i->undone_ctx = ctx;
	if (i->removing)
		return 0;
	if (i->doubt) {
		take_back(i);
		return 0;
	}
	if (vm->life == VM_STOPPING)
		return 0;
	return i->move.storage && i->given ? cancel_at_worker(vm, f) : vm_off(vm, f);
}

/* What the daemon knows to be in the way. */
static void look_at_host(const struct incoming *i)
{
	const struct host *h = i->host;
	const struct offer *o = i->offer;
	struct port_config *ports;
	struct failure f;
	size_t count;

	if (o->version != OFFER_VERSION)
		offer_reason(i->reasons,
			     "its Oya %s offers VMs otherwise than that of this host, %s", o->oya,
			     OYA_VERSION);
	if (guid_equal(&h->uuid, &(struct guid){0}) || guid_equal(&h->uuid, &o->host_uuid))
		offer_reason(i->reasons,
			     "the two hosts cannot be told from each other by their machine ids");
	if (h->ending)
		offer_reason(i->reasons, "this host ends, and its VMs with it");
	if (host_find(h, o->name) || intake_makes(h, o->name))
		offer_reason(i->reasons, "there is a VM '%s' already", o->name);
	if (!o->settings) {
		offer_reason(i->reasons, "%s", o->why.text);
		return;
	}
	if (host_find_uuid(h, i->uuid))
		offer_reason(i->reasons, "the VM '%s' has the UUID %s already",
			     host_find_uuid(h, i->uuid)->name, i->uuid);
	if (settings_ports(o->settings, &ports, &count, &f) < 0) {
		offer_reason(i->reasons, "%s", f.text);
		return;
	}
	for (size_t n = 0; n < count; n++) {
		if (!network_has(h->network, ports[n].switch_name))
			offer_reason(i->reasons, "there is no switch '%s' for its NIC",
				     ports[n].switch_name);
	}
	free(ports);
}

/* Its name is taken from now on. */
static int reserve(struct incoming *i)
{
	struct host *h = i->host;
	char folder[PATH_MAX];
	struct vm *vm;

	if (snprintf(folder, sizeof(folder), "%s/vms/%s", h->state, i->move.name) >=
	    (int)sizeof(folder))
		return -ENAMETOOLONG;
	vm = vm_new(h, i->move.name, folder, i->offer->settings);
	if (!vm)
		return -ENOMEM;
	i->offer->settings = NULL;
	vm->making = true;
	vm->saved = false;
	vm->life = VM_INCOMING;
	vm->incoming = i;
	i->vm = vm;
	i->config = settings_for_worker(
		vm->settings,
		&(struct vm_places){.name = vm->name,
				    .folder = i->move.storage ? folder : i->offer->folder,
				    .run = vm->run});
	host_add(h, vm);
	return 0;
}

static unsigned count_incoming(const struct host *h)
{
	unsigned count = 0;

	for (struct list *at = h->vms.next; at != &h->vms; at = at->next)
		count += CONTAINER_OF(at, struct vm, link)->incoming != NULL;
	return count;
}

int incoming_start(struct host *h, json_t *body, incoming_made_fn *made, void *ctx,
		   struct failure *f)
{
	struct incoming *i = NULL;
	struct offer *o;
	struct guid pass;
	int r = offer_decode(body, &o, f);

	if (r < 0)
		return r;
	r = random_uuid(&pass);
	if (r < 0)
		fail(f, r, "cannot take the VM: no pass for it can be made: %s", strerror(-r));
	else if (count_incoming(h) >= INCOMING_MAX)
		r = fail(f, -EBUSY, "%u VMs are on their way here already; try again later",
			 INCOMING_MAX);
	else
		i = calloc(1, sizeof(*i));
	if (!i) {
		offer_free(o);
		return r < 0 ? r : fail(f, -ENOMEM, "cannot take the VM: out of memory");
	}
	*i = (struct incoming){.host = h, .offer = o, .settings = o->settings, .connections = 1};
	guid_format(&pass, i->pass);
	i->made = made;
	i->ctx = ctx;
	i->reasons = json_array();
	i->move.state = MOVE_INCOMING;
	i->move.storage = o->storage;
	snprintf(i->move.name, sizeof(i->move.name), "%s", o->name);
	snprintf(i->move.host, sizeof(i->move.host), "%s", o->host);
	if (o->settings)
		guid_format(&o->settings->uuid, i->uuid);
	look_at_host(i);
	if (json_array_size(i->reasons) == 0 && reserve(i) < 0) {
		incoming_free(i);
		return fail(f, -ENOMEM, "cannot take the VM: out of memory");
	}
	in_pool(i, look, on_looked);
	return 0;
}

void incoming_adopt(struct vm *vm, const struct move *m)
{
	struct incoming *i = calloc(1, sizeof(*i));

	if (!i)
		return;
	*i = (struct incoming){.host = vm->host,
			       .vm = vm,
			       .settings = vm->settings,
			       .move = *m,
			       .connections = 1,
			       .given = was_given(vm)};
	snprintf(i->uuid, sizeof(i->uuid), "%s", vm->uuid);
	vm->incoming = i;
	vm->saved = false;
	vm->life = VM_INCOMING;
}

void incoming_look(struct vm *vm)
{
	struct incoming *i = vm->incoming;

	if (i && !i->removing && !i->doubt && !vm_worker_lives(vm)) {
		vm_ended(vm, true, "its worker is not there any more");
	}
}

void incoming_forget(struct vm *vm)
{
	struct incoming *i = vm->incoming;

	if (!i)
		return;
	vm->incoming = NULL;
	fail(&i->f, -EBUSY, "the daemon of this host ends");
	tell_made(i, NULL, -EBUSY);
	tell_undone(i, i->f.text);
	incoming_free(i);
}
