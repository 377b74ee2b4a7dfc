/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The lease of a VM (lib/lease.h) and its life: taken before each start, freed when the worker's
 * end is known. The files are the pool's, in the VM's lane: what was freed is so before it is taken
 * again.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-id128.h>
#include <unistd.h>

#include "base/util.h"
#include "host/host.h"
#include "host/store.h"
#include "host/vm.h"
#include "lib/lease.h"
#include "lib/log.h"

/* Of whom the machine's id is made into an id that does not tell it. */
#define APPLICATION SD_ID128_MAKE(a7, 12, 5f, 60, e3, 4b, 4d, 0b, 9c, 0e, 5d, 8a, 21, f7, c6, 94)

struct leasing {
	struct pool_work work;
	struct vm *vm; /* NULL: it is freed, and may be gone */
	struct guid uuid, me;
	uint64_t epoch, force;
	int result;
	struct failure f;
	char name[VM_NAME_MAX + 1];
	char path[];
};

int host_uuid_init(struct host *h)
{
	char text[GUID_TEXT_LEN];
	sd_id128_t id;
	int r = sd_id128_get_machine_app_specific(APPLICATION, &id);

	if (r < 0)
		return r;
	snprintf(text, sizeof(text), SD_ID128_UUID_FORMAT_STR, SD_ID128_FORMAT_VAL(id));
	return guid_parse(text, &h->uuid);
}

static int check_host(const struct host *h, struct failure *f)
{
	static const struct guid nobody;

	return guid_equal(&h->uuid, &nobody)
		       ? fail(f, -ENOTUNIQ,
			      "this host cannot be told from others: it has no machine id; "
			      "'systemd-machine-id-setup' makes one, then start oyad anew")
		       : 0;
}

static struct leasing *leasing_new(struct vm *vm, void (*work)(struct pool_work *w),
				   void (*done)(struct pool_work *w))
{
	size_t len = strlen(vm->folder) + sizeof("/" LEASE_FILE);
	struct leasing *l = calloc(1, sizeof(*l) + len);

	if (!l)
		return NULL;
	l->work = (struct pool_work){.work = work, .done = done, .lane = &vm->lane};
	l->uuid = vm->settings->uuid;
	l->me = vm->host->uuid;
	snprintf(l->name, sizeof(l->name), "%s", vm->name);
	snprintf(l->path, len, "%s/" LEASE_FILE, vm->folder);
	return l;
}

/* ---- taken ---- */

/* Our own offer, of a worker that ended amid a migration: who was to take it comes too late then.
 */
static void take_back(struct leasing *l, struct lease_file *file)
{
	struct lease now;

	l->result = lease_read(file, &now, &l->f);
	if (l->result == 0 && now.state == LEASE_OFFERED && guid_equal(&now.owner, &l->me))
		l->result = lease_take_back(file, &l->me, now.epoch, &l->epoch, &l->f);
}

static void take(struct pool_work *w)
{
	struct leasing *l = CONTAINER_OF(w, struct leasing, work);
	struct lease_file file = {.fd = -1, .vm = l->uuid, .name = l->path};

	l->result = lease_open(&file, true, &l->f);
	if (l->result == 0)
		take_back(l, &file);
	if (l->result == 0)
		l->result = l->force ? lease_force(&file, &l->me, l->force, &l->epoch, &l->f)
				     : lease_take(&file, &l->me, LEASE_ANY, &l->epoch, &l->f);
	lease_close(&file);
}

static void on_taken(struct pool_work *w)
{
	struct leasing *l = CONTAINER_OF(w, struct leasing, work);
	struct vm *vm = l->vm;
	struct failure f = {""};

	vm->lease_epoch = l->epoch;
	/* What the disk says of a write that failed is not known. */
	vm->leased = l->result == 0 || l->result == -EIO;
	if (l->result < 0)
		fail(&f, l->result, "cannot start the VM '%s': %s", vm->name, l->f.text);
	vm_lease_taken(vm, l->result, &f);
	free(l);
}

int vm_lease_take(struct vm *vm, struct failure *f)
{
	struct leasing *l;
	struct failure why;
	int r = check_host(vm->host, &why);

	if (r < 0)
		return fail(f, r, "cannot start the VM '%s': %s", vm->name, why.text);
	l = leasing_new(vm, take, on_taken);
	if (!l)
		return fail(f, -ENOMEM, "cannot start the VM '%s': out of memory", vm->name);
	l->vm = vm;
	l->force = vm->lease_force;
	vm->lease_force = 0;
	pool_submit(vm->host->pool, &l->work);
	return 0;
}

/* ---- freed ---- */

/* Whatever the epoch: no worker of this host's lives. What is offered may be taken any time. */
int vm_lease_give_back(const char *path, const struct guid *vm, const struct guid *me, bool offers,
		       struct failure *f)
{
	struct lease_file file = {.fd = -1, .vm = *vm, .name = path};
	struct lease now = {.state = LEASE_FREE};
	int r = lease_open(&file, false, f);

	if (r == 0)
		r = lease_read(&file, &now, f);
	if (r == 0 && offers && now.state == LEASE_OFFERED && guid_equal(&now.owner, me)) {
		r = lease_take_back(&file, me, now.epoch, &now.epoch, f);
		if (r == 0)
			now.state = LEASE_HELD;
		else if (r == -ESTALE) /* it was taken at last */
			r = 0;
	}
	if (r == 0 && now.state == LEASE_HELD && guid_equal(&now.owner, me))
		r = lease_free(&file, me, now.epoch, f);
	lease_close(&file);
	return r == -ENOENT ? 0 : r;
}

static void give_free(struct pool_work *w)
{
	struct leasing *l = CONTAINER_OF(w, struct leasing, work);

	if (vm_lease_give_back(l->path, &l->uuid, &l->me, false, &l->f) < 0)
		log_line(
			LOG_LEVEL_WARNING,
			"the lease of the VM '%s' is not freed, and no other host can start it: %s",
			l->name, l->f.text);
}

static void on_freed(struct pool_work *w)
{
	free(CONTAINER_OF(w, struct leasing, work));
}

void vm_lease_free(struct vm *vm)
{
	struct leasing *l;
	struct failure f;

	vm->leased = false;
	/* A worker that holds out keeps it. */
	if (check_host(vm->host, &f) < 0 || vm_worker_lives(vm))
		return;
	l = leasing_new(vm, give_free, on_freed);
	if (l)
		pool_submit(vm->host->pool, &l->work);
	else
		log_line_of(LOG_LEVEL_WARNING, vm->log_fields,
			    "the lease of the VM '%s' is not freed: out of memory", vm->name);
}

int vm_lease_config(const struct vm *vm, json_t *config)
{
	char me[GUID_TEXT_LEN];

	guid_format(&vm->host->uuid, me);
	/* One that comes is told the epoch by the other host's worker. */
	return json_object_set_new(
		config, "lease",
		json_pack("{s:o, s:o*, s:s}", "path", json_sprintf("%s/" LEASE_FILE, vm->folder),
			  "epoch", vm->incoming ? NULL : json_integer((json_int_t)vm->lease_epoch),
			  "host", me));
}

/* ---- a VM that moves ---- */

enum lease_side vm_lease_side(const char *folder, const struct guid *vm, const struct guid *me,
			      struct failure *f)
{
	struct lease_file file = {.fd = -1, .vm = *vm};
	char path[PATH_MAX];
	struct lease now;
	uint64_t epoch;
	int r;

	if (snprintf(path, sizeof(path), "%s/" LEASE_FILE, folder) >= (int)sizeof(path)) {
		fail(f, -ENAMETOOLONG, "the path of %s is too long", folder);
		return LEASE_NOT_KNOWN;
	}
	file.name = path;
	r = lease_open(&file, false, f);
	if (r == -ENOENT)
		return LEASE_NOBODYS;
	if (r == 0)
		r = lease_read(&file, &now, f);
	if (r == 0 && now.state == LEASE_OFFERED && guid_equal(&now.owner, me)) {
		r = lease_take_back(&file, me, now.epoch, &epoch, f);
		if (r == 0 || r == -ESTALE)
			r = lease_read(&file, &now, f);
	}
	lease_close(&file);
	if (r < 0)
		return LEASE_NOT_KNOWN;
	if (now.state != LEASE_HELD)
		return LEASE_NOBODYS;
	return guid_equal(&now.owner, me) ? LEASE_HERE : LEASE_THERE;
}

int vm_lease_reclaim(const char *folder, const struct guid *vm, const struct guid *me,
		     struct failure *f)
{
	struct lease_file file = {.fd = -1, .vm = *vm};
	char path[PATH_MAX];
	uint64_t epoch;
	int r;

	if (snprintf(path, sizeof(path), "%s/" LEASE_FILE, folder) >= (int)sizeof(path))
		return fail(f, -ENAMETOOLONG, "the path of %s is too long", folder);
	file.name = path;
	r = lease_open(&file, true, f);
	if (r == 0)
		r = lease_force(&file, me, LEASE_ANY, &epoch, f);
	if (r == 0)
		r = lease_free(&file, me, epoch, f);
	lease_close(&file);
	return r;
}

/* ---- a VM that goes ---- */

int vm_lease_remove(const char *folder, const struct guid *vm, const struct guid *me,
		    struct failure *f)
{
	struct lease_file file = {.fd = -1, .vm = *vm};
	char path[PATH_MAX];
	struct lease now;
	struct failure why;
	int r;

	if (snprintf(path, sizeof(path), "%s/" LEASE_FILE, folder) >= (int)sizeof(path))
		return fail(f, -ENAMETOOLONG, "the path of %s is too long", folder);
	file.name = path;
	if (lease_open(&file, false, &why) == -ENOENT)
		return 0;
	/* One that cannot be read keeps nobody from it. */
	r = file.fd >= 0 && lease_read(&file, &now, &why) == 0 && lease_is_others(&now, me)
		    ? lease_tell(&file, &now, me, LEASE_ANY, &why)
		    : 0;
	lease_close(&file);
	if (r < 0)
		return fail(f, -EBUSY, "cannot delete the VM: %s", why.text);
	return store_remove(folder, LEASE_FILE, f);
}
