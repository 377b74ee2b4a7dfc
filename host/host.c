/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/host.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "host/clustered.h"
#include "host/incoming.h"
#include "host/intake.h"
#include "host/jobs.h"
#include "host/luggage.h"
#include "host/migrate.h"
#include "host/moves.h"
#include "host/network.h"
#include "host/offer.h"
#include "host/place.h"
#include "host/relocate.h"
#include "host/save.h"
#include "host/stay.h"
#include "host/store.h"
#include "host/vm.h"
#include "lib/log.h"

#define THREADS 4u

static int on_work(sd_event_source *source, int fd, uint32_t events, void *ctx)
{
	struct host *h = ctx;

	(void)source;
	(void)fd;
	(void)events;
	pool_collect(h->pool);
	return 0;
}

void host_publish(struct host *h, const char *type, json_t *data)
{
	if (h->publish)
		h->publish(h->publish_ctx, type, data);
	else
		json_decref(data);
}

struct vm *host_find(const struct host *h, const char *name)
{
	for (struct list *at = h->vms.next; at != &h->vms; at = at->next) {
		struct vm *vm = CONTAINER_OF(at, struct vm, link);

		if (strcmp(vm->name, name) == 0)
			return vm;
	}
	return NULL;
}

struct vm *host_find_uuid(const struct host *h, const char *uuid)
{
	for (struct list *at = h->vms.next; at != &h->vms; at = at->next) {
		struct vm *vm = CONTAINER_OF(at, struct vm, link);

		if (strcmp(vm->uuid, uuid) == 0)
			return vm;
	}
	return NULL;
}

void host_add(struct host *h, struct vm *vm)
{
	struct list *at = h->vms.next;

	while (at != &h->vms && strcmp(CONTAINER_OF(at, struct vm, link)->name, vm->name) < 0)
		at = at->next;
	list_insert_before(at, &vm->link);
	h->vm_count++;
}

void host_remove(struct host *h, struct vm *vm)
{
	h->vm_count--;
	vm_free(vm);
}

/* What its file tells of a VM whose worker is not there, as the lease knows better. */
static int ask_lease(const struct host *h, const char *folder, const struct settings *s,
		     const char *uuid, struct move *m, struct failure *f)
{
	bool comes = m->state == MOVE_INCOMING;

	switch (vm_lease_side(folder, &s->uuid, &h->uuid, f)) {
	case LEASE_NOT_KNOWN:
		log_line(LOG_LEVEL_ERROR, "%s", f->text);
		return 0;
	case LEASE_THERE:
		/* It was given away, and whether it was taken that host alone knows. */
		if (m->storage && !comes)
			return 0;
		m->state = comes ? MOVE_INCOMING : MOVE_GONE;
		return comes ? 0 : move_write(h->state, uuid, m, f);
	case LEASE_NOBODYS:
		if (comes)
			return 0;
		break;
	case LEASE_HERE:
		break;
	}
	m->state = MOVE_NONE;
	return move_drop(h->state, uuid, f);
}

/* Whether a VM with these settings is here, and whether it comes or goes. */
static bool look_at_move(const struct host *h, const char *folder, const struct settings *s,
			 struct move *ret)
{
	char uuid[GUID_TEXT_LEN], end[PATH_MAX];
	struct failure f;
	int r;

	guid_format(&s->uuid, uuid);
	r = move_read(h->state, uuid, ret, &f);
	if (r == 0 && (ret->state == MOVE_INCOMING || ret->state == MOVE_LEAVING) &&
	    snprintf(end, sizeof(end), "%s/vm/%s/end", h->run, uuid) < (int)sizeof(end) &&
	    access(end, F_OK) < 0)
		r = ask_lease(h, folder, s, uuid, ret, &f);
	if (r == 0)
		return ret->state != MOVE_GONE;
	/* Its lease keeps it from running twice. */
	log_line(LOG_LEVEL_ERROR, "%s", f.text);
	*ret = (struct move){.state = MOVE_NONE};
	return true;
}

static int remove_folder(const struct host *h, const char *uuid, const struct move *m,
			 struct failure *f)
{
	char folder[PATH_MAX];
	struct guid vm;

	if (guid_parse(uuid, &vm) < 0 ||
	    snprintf(folder, sizeof(folder), "%s/vms/%s", h->state, m->name) >= (int)sizeof(folder))
		return fail(f, -EINVAL, "the path of %s is too long", h->state);
	return luggage_remove(folder, &vm, &h->uuid, m->state == MOVE_GONE, f);
}

/* What has gone, or has not come, leaves nothing. */
static void finish_move(void *ctx, const char *uuid, const struct move *m)
{
	struct host *h = ctx;
	struct failure f;
	int r = 0;

	if (m->state == MOVE_UNDONE)
		return;
	if (m->storage && m->state != MOVE_LEAVING && !host_find_uuid(h, uuid))
		r = remove_folder(h, uuid, m, &f);
	if (r == 0 && m->state == MOVE_GONE)
		r = move_let_go(h->state, uuid, m, &f);
	else if (r == 0 && !host_find_uuid(h, uuid))
		r = m->state == MOVE_INCOMING && !m->storage ? move_undo(h->state, uuid, m, &f)
							     : move_drop(h->state, uuid, &f);
	if (r < 0)
		log_line(LOG_LEVEL_ERROR, "%s", f.text);
}

/* A VM whose file cannot be read is told of, and left alone. */
static void load(struct host *h, const char *folder, const char *name)
{
	struct settings *settings = NULL;
	struct failure f;
	char path[PATH_MAX], *text;
	struct move move;
	struct vm *vm;
	size_t len;
	int r;

	if (snprintf(path, sizeof(path), "%s/%s", folder, VM_FILE) >= (int)sizeof(path) ||
	    access(path, F_OK) < 0)
		return;
	r = store_read(path, SETTINGS_BYTES_MAX, &text, &len, &f);
	if (r == 0) {
		r = settings_decode(text, len, &settings, &f);
		free(text);
	}
	if (r < 0) {
		log_line(LOG_LEVEL_ERROR, "the VM '%s' is left out: %s: %s", name, path, f.text);
		return;
	}
	if (h->first && clustered_is(folder)) {
		clustered_put_away(h, name, &settings->uuid);
		settings_free(settings);
		return;
	}
	if (!look_at_move(h, folder, settings, &move)) {
		settings_free(settings);
		return;
	}
	vm = vm_new(h, name, folder, settings);
	if (vm && host_find_uuid(h, vm->uuid)) {
		/* They would share a worker's files, and so a worker. */
		log_line(LOG_LEVEL_ERROR, "the VM '%s' is left out: the VM '%s' has its UUID %s",
			 name, host_find_uuid(h, vm->uuid)->name, vm->uuid);
		vm_free(vm);
		return;
	}
	if (vm) {
		save_clean(folder);
		if (move.state != MOVE_INCOMING) /* that is the other host's offer */
			offer_clean(folder, NULL);
		if (move.state == MOVE_INCOMING)
			incoming_adopt(vm, &move);
		else if (move.state == MOVE_LEAVING)
			migrate_adopt(vm, &move);
		host_add(h, vm);
		return;
	}
	settings_free(settings);
	log_line(LOG_LEVEL_ERROR, "the VM '%s' is left out: out of memory", name);
}

static int load_all(struct host *h, struct failure *f)
{
	char folder[PATH_MAX], path[PATH_MAX];
	struct dirent *entry;
	DIR *list;

	snprintf(folder, sizeof(folder), "%s/vms", h->state);
	if (store_make_folder(folder, f) < 0)
		return -EIO;
	list = opendir(folder);
	if (!list)
		return fail(f, -errno, "cannot read the folder %s: %s", folder, strerror(errno));
	while ((entry = readdir(list))) {
		if (snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name) >=
		    (int)sizeof(path))
			continue;
		if (strncmp(entry->d_name, PLACE_NOTE, strlen(PLACE_NOTE)) == 0)
			continue;
		/* Of a VM whose making was never answered. */
		if (strncmp(entry->d_name, STORE_NEW, strlen(STORE_NEW)) == 0)
			(void)store_remove_folder(path, f);
		else if (vm_name_allowed(entry->d_name)) {
			place_unmark(folder, entry->d_name);
			load(h, path, entry->d_name);
		}
	}
	closedir(list);
	return 0;
}

/* Of a VM whose worker does not live. */
static void start_by_itself(struct vm *vm)
{
	const struct settings *s = vm->settings;
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", vm->folder, VM_RUNNING_FILE);
	if ((vm->life != VM_OFF && vm->life != VM_SAVED) || vm->migration ||
	    s->start == START_NEVER || (s->start == START_RESTORE && access(path, F_OK) < 0))
		return;
	if (vm_start_later(vm, s->start_delay_s) < 0)
		log_line(LOG_LEVEL_ERROR, "cannot start the VM '%s': out of memory", vm->name);
}

static void adopt(struct vm *vm)
{
	if (vm->clustered)
		stay_begin(vm);
	if (vm_adopt(vm))
		return;
	incoming_look(vm);
	migrate_look(vm);
}

/* Whether this is the first start since the host's: /run was empty. */
static bool is_first_start(const struct host *h)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/vm", h->run);
	return mkdir(path, 0700) == 0;
}

int host_init(struct host *h, const struct host_places *places, sd_event *event, struct failure *f)
{
	int r;

	h->event = event;
	h->state = places->state;
	h->run = places->run;
	h->importer = places->importer;
	h->connector = places->connector;
	h->capacity = places->capacity;
	list_init(&h->vms);
	list_init(&h->jobs);
	list_init(&h->intakes);
	list_init(&h->clusterings);
	if (store_make_folder(h->state, f) < 0 || store_make_folder(h->run, f) < 0)
		return -EIO;
	h->first = is_first_start(h);
	r = host_uuid_init(h);
	if (r < 0)
		log_line(LOG_LEVEL_ERROR,
			 "this host has no machine id, and starts no VM: %s; "
			 "'systemd-machine-id-setup' makes one",
			 strerror(-r));
	r = pool_new(THREADS, &h->pool);
	crm_init(&h->crm, h->pool);
	if (r >= 0)
		r = sd_event_add_io(event, &h->pool_source, pool_fd(h->pool), EPOLLIN, on_work, h);
	if (r >= 0)
		r = launcher_init(&h->launcher, event, places->worker);
	if (r < 0)
		return fail(f, r, "cannot start: %s", strerror(-r));
	r = network_new(h, &h->network, f);
	if (r == 0)
		r = load_all(h, f);
	if (r == 0)
		moves_each(h->state, finish_move, h);
	if (r < 0)
		return r;
	/* Ports of those that live first: what no VM wants is removed. */
	for (struct list *at = h->vms.next; at != &h->vms; at = at->next)
		adopt(CONTAINER_OF(at, struct vm, link));
	relocate_adopt(h);
	network_start(h->network);
	for (struct list *at = h->vms.next; h->first && at != &h->vms; at = at->next) {
		struct vm *vm = CONTAINER_OF(at, struct vm, link);

		if (vm->incoming || vm->migration)
			continue;
		vm_lease_free(vm); /* it may have been held as the power went */
		start_by_itself(vm);
	}
	return 0;
}

void host_done(struct host *h)
{
	h->ends = true;
	/* Who waits for a worker may need the pool, and what is under way in it is about VMs. */
	for (struct list *at = h->vms.next; at != &h->vms; at = at->next) {
		vm_worker_forget(CONTAINER_OF(at, struct vm, link));
		relocate_stop(CONTAINER_OF(at, struct vm, link));
	}
	intakes_stop(h);
	pool_free(h->pool);
	intakes_done(h);
	while (!list_empty(&h->vms))
		host_remove(h, CONTAINER_OF(h->vms.next, struct vm, link));
	network_free(h->network);
	jobs_done(h);
	sd_event_source_disable_unref(h->pool_source);
	launcher_done(&h->launcher);
}
