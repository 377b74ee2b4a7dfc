/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/vm.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/state.h"
#include "base/util.h"
#include "host/cluster_log.h"
#include "host/clustered.h"
#include "host/host.h"
#include "host/incoming.h"
#include "host/migrate.h"
#include "host/network.h"
#include "host/relocate.h"
#include "host/save.h"
#include "host/store.h"
#include "lib/log.h"

#define US_PER_S UINT64_C(1000000)
#define RESTART_DELAY_US US_PER_S
#define OFF_PATIENCE_US (30 * US_PER_S)
#define START_PATIENCE_US (60 * US_PER_S) /* also with an image on a slow volume */
#define GUEST_FACTS_MAX 128u
#define LOG_PERIOD_NS UINT64_C(10000000000)
#define LOG_BURST 20u

static const char *const labels[] = {
	[VM_OFF] = "off",         [VM_WAITING] = "waiting", [VM_STARTING] = "starting",
	[VM_RUNNING] = "running", [VM_PAUSED] = "paused",   [VM_STOPPING] = "stopping",
	[VM_SAVING] = "saving",   [VM_SAVED] = "saved",     [VM_INCOMING] = "incoming",
};

#define ENDED (STATE_BIT(VM_OFF) | STATE_BIT(VM_WAITING) | STATE_BIT(VM_SAVED))

static const uint32_t next[] = {
	[VM_OFF] = STATE_BIT(VM_STARTING) | STATE_BIT(VM_WAITING) | STATE_BIT(VM_SAVED),
	[VM_WAITING] = STATE_BIT(VM_STARTING) | STATE_BIT(VM_OFF) | STATE_BIT(VM_SAVED),
	[VM_STARTING] = STATE_BIT(VM_RUNNING) | STATE_BIT(VM_PAUSED) | STATE_BIT(VM_STOPPING) |
			STATE_BIT(VM_SAVING) | ENDED,
	[VM_RUNNING] = STATE_BIT(VM_PAUSED) | STATE_BIT(VM_STOPPING) | STATE_BIT(VM_SAVING) | ENDED,
	[VM_PAUSED] = STATE_BIT(VM_RUNNING) | STATE_BIT(VM_STOPPING) | STATE_BIT(VM_SAVING) | ENDED,
	[VM_STOPPING] = ENDED,
	[VM_SAVING] = STATE_BIT(VM_RUNNING) | STATE_BIT(VM_PAUSED) | STATE_BIT(VM_STOPPING) | ENDED,
	[VM_SAVED] = STATE_BIT(VM_STARTING) | STATE_BIT(VM_WAITING) | STATE_BIT(VM_OFF),
	[VM_INCOMING] =
		STATE_BIT(VM_RUNNING) | STATE_BIT(VM_PAUSED) | STATE_BIT(VM_STOPPING) | ENDED,
};

static const struct state_table lives = {
	.name = "VM",
	.count = ARRAY_LEN(labels),
	.labels = labels,
	.next = next,
};

struct waiter {
	struct list link;
	enum vm_life goal;
	vm_done_fn *done;
	void *ctx;
};

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * US_PER_S + (uint64_t)t.tv_nsec / 1000;
}

struct vm *vm_new(struct host *host, const char *name, const char *folder,
		  struct settings *settings)
{
	struct vm *vm = calloc(1, sizeof(*vm));

	if (!vm)
		return NULL;
	vm->host = host;
	vm->pidfd = -1;
	vm->log = (struct log_limit){.period_ns = LOG_PERIOD_NS, .burst = LOG_BURST};
	vm->settings = settings;
	vm->version = 1;
	list_init(&vm->waiters);
	snprintf(vm->name, sizeof(vm->name), "%s", name);
	guid_format(&settings->uuid, vm->uuid);
	snprintf(vm->log_fields, sizeof(vm->log_fields), "OYA_VM=%s\nOYA_VM_UUID=%s", vm->name,
		 vm->uuid);
	vm->folder = strdup(folder);
	vm->saved = save_exists(folder);
	vm->clustered = clustered_is(folder);
	vm->life = vm->saved ? VM_SAVED : VM_OFF;
	if (asprintf(&vm->run, "%s/vm/%s", host->run, vm->uuid) < 0)
		vm->run = NULL;
	if (!vm->folder || !vm->run) {
		vm->settings = NULL;
		vm_free(vm);
		return NULL;
	}
	return vm;
}

static void wake(struct waiter *w, const char *sentence)
{
	list_remove(&w->link);
	w->done(w->ctx, sentence);
	free(w);
}

void vm_free(struct vm *vm)
{
	if (!vm)
		return;
	while (!list_empty(&vm->waiters))
		wake(CONTAINER_OF(vm->waiters.next, struct waiter, link),
		     "the VM is no longer here");
	save_forget(vm);
	incoming_forget(vm);
	migrate_forget(vm);
	relocate_forget(vm);
	vm_worker_forget(vm);
	sd_event_source_disable_unref(vm->timer);
	sd_event_source_disable_unref(vm->stay);
	if (list_linked(&vm->link))
		list_remove(&vm->link);
	settings_free(vm->settings);
	free(vm->steered);
	free(vm->folder);
	free(vm->run);
	free(vm);
}

const char *vm_life_label(const struct vm *vm)
{
	return state_label(&lives, vm->life);
}

const char *vm_life_text(unsigned life)
{
	return state_label(&lives, life);
}

/* Ends those whose goal is reached, and those that it cannot be reached any more. */
static void wake_waiters(struct vm *vm)
{
	struct list *at = vm->waiters.next;

	while (at != &vm->waiters) {
		struct waiter *w = CONTAINER_OF(at, struct waiter, link);
		bool over = vm->life == VM_OFF || vm->life == VM_WAITING || vm->life == VM_SAVED;

		at = at->next;
		if (vm->life == (unsigned)w->goal || (over && w->goal == VM_OFF))
			wake(w, NULL);
		else if (over)
			wake(w, vm->problem[0] ? vm->problem : "it has been switched off");
	}
}

/* What it is to be when the host starts the next time. */
struct mark {
	struct pool_work work;
	bool running;
	char folder[];
};

static void write_mark(struct pool_work *w)
{
	struct mark *m = CONTAINER_OF(w, struct mark, work);
	struct failure f = {""};
	int r = m->running ? store_write(m->folder, VM_RUNNING_FILE, "", 0, &f)
			   : store_remove(m->folder, VM_RUNNING_FILE, &f);

	if (r < 0)
		log_line(LOG_LEVEL_WARNING, "%s; at the next start of the host it is taken for %s",
			 f.text, m->running ? "off" : "running");
}

static void free_mark(struct pool_work *w)
{
	free(CONTAINER_OF(w, struct mark, work));
}

static void mark_running(struct vm *vm, bool running)
{
	size_t len = strlen(vm->folder) + 1;
	struct mark *m;

	if ((vm->host_ends && !running) || vm->clustered)
		return;
	m = calloc(1, sizeof(*m) + len);
	if (!m)
		return;
	m->work = (struct pool_work){.work = write_mark, .done = free_mark, .lane = &vm->lane};
	m->running = running;
	memcpy(m->folder, vm->folder, len);
	pool_submit(vm->host->pool, &m->work);
}

void vm_mark_running(struct vm *vm)
{
	mark_running(vm, true);
}

void vm_move(struct vm *vm, enum vm_life life)
{
	unsigned suppressed;

	if (vm->life == (unsigned)life)
		return;
	if (state_move(&lives, &vm->life, life) < 0) {
		log_line_of(LOG_LEVEL_ERROR, vm->log_fields,
			    "the VM '%s' is %s and cannot become %s", vm->name, vm_life_label(vm),
			    state_label(&lives, life));
		return;
	}
	if (log_limit_pass(&vm->log, now_us() * 1000, &suppressed)) /* a worker may flap */
		log_line_of(LOG_LEVEL_INFO, vm->log_fields, "the VM '%s' is %s%s%s", vm->name,
			    vm_life_label(vm), vm->problem[0] ? ": " : "", vm->problem);
	host_publish(vm->host, "vm", vm_show(vm));
	wake_waiters(vm);
}

int vm_wait(struct vm *vm, enum vm_life goal, vm_done_fn *done, void *ctx)
{
	struct waiter *w;

	if (vm->life == (unsigned)goal) {
		done(ctx, NULL);
		return 0;
	}
	w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	w->goal = goal;
	w->done = done;
	w->ctx = ctx;
	list_append(&vm->waiters, &w->link);
	return 0;
}

static int wrong_life(const struct vm *vm, const char *what, struct failure *f)
{
	return fail(f, -EBUSY, "cannot %s the VM '%s': it is %s", what, vm->name,
		    vm_life_label(vm));
}

static int set_timer(struct vm *vm, uint64_t delay_us,
		     int (*due)(sd_event_source *source, uint64_t us, void *ctx))
{
	vm->timer = sd_event_source_disable_unref(vm->timer);
	return sd_event_add_time_relative(vm->host->event, &vm->timer, CLOCK_MONOTONIC, delay_us, 0,
					  due, vm);
}

/* ---- starts ---- */

static int on_start_patience(sd_event_source *source, uint64_t us, void *ctx)
{
	struct vm *vm = ctx;

	(void)source;
	(void)us;
	if ((vm->life == VM_STARTING || vm->life == VM_INCOMING) && !vm_worker_lives(vm))
		vm_ended(vm, true, "its worker did not come up; its log tells why");
	return 0;
}

static int launch_it(struct vm *vm, struct failure *f)
{
	int r = vm_worker_start(vm, f);

	if (r < 0)
		return r;
	vm->started_us = now_us();
	(void)set_timer(vm, START_PATIENCE_US, on_start_patience);
	return 0;
}

/* Its NICs have their ports: the worker comes last. */
static void on_plugged(void *ctx, int r, const struct failure *why)
{
	struct failure f = {""};
	struct vm *vm = ctx;

	vm->plugged = r == 0;
	if (r < 0) {
		vm_ended(vm, true, why->text);
		return;
	}
	if (vm->life == VM_STOPPING)
		vm_ended(vm, vm->incoming != NULL, "it was told to end");
	else if (launch_it(vm, &f) < 0)
		vm_ended(vm, true, f.text);
}

static int plug(struct vm *vm, struct failure *f)
{
	struct port_config *ports;
	size_t count;
	int r = settings_ports(vm->settings, &ports, &count, f);

	if (r < 0)
		return r;
	if (count)
		return network_plug(vm->host->network, ports, count, on_plugged, vm, f);
	free(ports);
	return launch_it(vm, f);
}

void vm_lease_taken(struct vm *vm, int r, const struct failure *why)
{
	struct failure f = *why;

	if (r == 0)
		migrate_started(vm);
	if (r == 0 && vm->life == VM_STOPPING) {
		vm_ended(vm, false, "");
		return;
	}
	if (r == 0)
		r = plug(vm, &f);
	if (r == 0)
		mark_running(vm, true);
	else
		vm_ended(vm, true, f.text);
}

/* First the lease, by which nothing is changed when another host has it. */
static int begin(struct vm *vm, struct failure *f)
{
	int r;

	if (vm->saving)
		return fail(f, -EBUSY, "cannot start the VM '%s': it is being saved", vm->name);
	/* It would lose the lease that it has. */
	if (vm_worker_lives(vm))
		return fail(f, -EBUSY, "cannot start the VM '%s': a worker of it lives already",
			    vm->name);
	r = vm_lease_take(vm, f);
	if (r < 0)
		return r;
	vm->timer = sd_event_source_disable_unref(vm->timer);
	vm->problem[0] = '\0';
	vm->off_wanted = vm->adopted = vm->host_ends = false;
	vm_move(vm, VM_STARTING);
	return 0;
}

int vm_await(struct vm *vm, struct failure *f)
{
	return plug(vm, f);
}

static void unplug(struct vm *vm)
{
	struct port_config *ports;
	struct failure f;
	size_t count;

	if (vm->plugged && settings_ports(vm->settings, &ports, &count, &f) == 0)
		network_unplug(vm->host->network, ports, count);
	vm->plugged = false;
}

int vm_start(struct vm *vm, struct failure *f)
{
	int r;

	if (vm->edited)
		return fail(f, -EBUSY, "cannot start the VM '%s': it is being changed", vm->name);
	if (vm->host->ending)
		return fail(f, -EBUSY,
			    "cannot start the VM '%s': the host ends, and its VMs with it",
			    vm->name);
	if ((vm->life != VM_OFF && vm->life != VM_WAITING && vm->life != VM_SAVED) || vm->taking)
		return wrong_life(vm, "start", f);
	r = migrate_settle(vm, f);
	if (r < 0)
		return r;
	if (vm->incoming)
		incoming_settle(vm);
	vm->crashes = 0;
	return begin(vm, f);
}

/* What it is without a worker. */
static enum vm_life vm_at_rest(const struct vm *vm)
{
	return vm->saved ? VM_SAVED : VM_OFF;
}

static int on_restart(sd_event_source *source, uint64_t us, void *ctx)
{
	struct vm *vm = ctx;
	struct failure f = {""};

	(void)source;
	(void)us;
	if (begin(vm, &f) < 0) {
		snprintf(vm->problem, sizeof(vm->problem), "%s", f.text);
		vm_move(vm, vm_at_rest(vm));
	}
	return 0;
}

bool vm_may_restart(struct vm *vm)
{
	const struct settings *s = vm->settings;
	uint64_t now = now_us();

	if (s->crash != CRASH_RESTART || vm->off_wanted || vm->host_ends || vm->clustered)
		return false;
	if (!vm->crashes || now - vm->crashes_from > s->crash_within_s * US_PER_S) {
		vm->crashes = 0;
		vm->crashes_from = now;
	}
	return ++vm->crashes <= s->crash_most;
}

void vm_ended(struct vm *vm, bool failed, const char *why)
{
	bool was_up = vm->life != VM_STARTING || vm->adopted, held;

	vm->timer = sd_event_source_disable_unref(vm->timer);
	vm_worker_forget(vm);
	unplug(vm);
	vm->started_us = 0;
	if (vm->incoming && incoming_ended(vm, failed, why))
		return;
	relocate_ended(vm, why);
	held = migrate_ended(vm, failed, why);
	if (vm->clustered && was_up && !held && !vm->off_wanted && vm->life != VM_STOPPING)
		cluster_log_add_vm(vm->host, RECORD_ENDED, vm->name, why);
	if (vm->leased && !held)
		vm_lease_free(vm);
	if (!failed || vm->off_wanted) {
		mark_running(vm, false);
		vm_move(vm, vm_at_rest(vm));
		save_ended(vm, why);
		return;
	}
	if (!held)
		snprintf(vm->problem, sizeof(vm->problem), "%s", why);
	if (was_up && !held && vm_may_restart(vm) &&
	    set_timer(vm, RESTART_DELAY_US, on_restart) >= 0) {
		vm->restarts++;
		vm_move(vm, VM_WAITING);
	} else {
		vm_move(vm, vm_at_rest(vm));
	}
	save_ended(vm, why);
}

void vm_gone(struct vm *vm, const json_t *last)
{
	vm->timer = sd_event_source_disable_unref(vm->timer);
	vm_worker_forget(vm);
	unplug(vm);
	vm->started_us = 0;
	migrate_gone(vm, last);
}

/* When the worker began, which made its file empty then. */
static uint64_t began_us(const struct stat *end)
{
	uint64_t now = now_us();
	struct timespec real;
	int64_t age_us;

	clock_gettime(CLOCK_REALTIME, &real);
	age_us = (real.tv_sec - end->st_mtim.tv_sec) * (int64_t)US_PER_S +
		 (real.tv_nsec - end->st_mtim.tv_nsec) / 1000;
	return age_us < 0 || (uint64_t)age_us >= now ? now : now - (uint64_t)age_us;
}

bool vm_adopt(struct vm *vm)
{
	char path[PATH_MAX];
	struct stat end;

	snprintf(path, sizeof(path), "%s/end", vm->run);
	if (stat(path, &end) < 0)
		return false;
	vm->leased = !vm->incoming;
	if (vm_worker_watch(vm) < 0 || !vm_worker_lives(vm)) {
		/* It has ended while nobody looked: as if it ended now. */
		vm_worker_take_end(vm);
		return false;
	}
	vm->started_us = began_us(&end);
	vm->adopted = true;
	if (!vm->incoming)
		vm_move(vm, VM_STARTING);
	vm_worker_connect(vm);
	return true;
}

int vm_start_later(struct vm *vm, unsigned delay_s)
{
	int r = set_timer(vm, delay_s * US_PER_S, on_restart);

	if (r >= 0)
		vm_move(vm, VM_WAITING);
	return r < 0 ? r : 0;
}

void vm_host_ends(struct vm *vm)
{
	mark_running(vm, true);
	vm->host_ends = true;
}

/* ---- what the worker tells ---- */

/* The guest's words: a bounded number of texts. */
static bool are_facts(json_t *result)
{
	const char *name;
	json_t *value;

	if (!json_is_object(result) || json_object_size(result) > GUEST_FACTS_MAX)
		return false;
	json_object_foreach(result, name, value)
	{
		if (!json_is_string(value))
			return false;
	}
	return true;
}

static void on_guest(void *ctx, json_t *result, const char *sentence)
{
	struct vm *vm = ctx;

	if (sentence || !are_facts(result) || json_equal(result, vm->guest))
		return;
	json_decref(vm->guest);
	vm->guest = json_incref(result);
	host_publish(vm->host, "vm", vm_show(vm));
}

void vm_told(struct vm *vm, json_t *status)
{
	const char *state = json_string_value(json_object_get(status, "state"));

	json_decref(vm->status);
	vm->status = json_incref(status);
	(void)link_request(vm->worker, json_pack("{s:s}", "verb", "guest"), -1, on_guest, vm);
	if (state && vm->incoming && incoming_told(vm, state))
		return;
	migrate_told(vm, status);
	relocate_told(vm, status);
	if (!state || vm->life == VM_STOPPING || save_told(vm, state, status))
		return;
	if (strcmp(state, "running") == 0)
		vm_move(vm, VM_RUNNING);
	else if (strcmp(state, "paused") == 0)
		vm_move(vm, VM_PAUSED);
}

/* ---- verbs ---- */

int vm_hand(struct vm *vm, const char *what, json_t *request, struct link_fds *fds,
	    link_answer_fn *answer, void *ctx, struct failure *f)
{
	int r = -ENOTCONN;

	if ((vm->life == VM_RUNNING || vm->life == VM_PAUSED) && vm->worker) {
		r = link_hand(vm->worker, request, fds, answer, ctx);
	} else {
		json_decref(request);
		link_fds_close(fds);
	}
	if (r == -ENOTCONN)
		return wrong_life(vm, what, f);
	return r < 0 ? fail(f, r, "cannot %s the VM '%s': %s", what, vm->name, strerror(-r)) : 0;
}

int vm_ask(struct vm *vm, const char *what, json_t *request, int fd, link_answer_fn *answer,
	   void *ctx, struct failure *f)
{
	struct link_fds fds = {.fd = {fd}, .count = fd >= 0};

	return vm_hand(vm, what, request, &fds, answer, ctx, f);
}

unsigned vm_connections(const struct vm *vm)
{
	json_int_t n = json_integer_value(json_object_get(vm->status, "connections"));

	return n < 1 ? 1 : n > LINK_FDS_MAX ? LINK_FDS_MAX : (unsigned)n;
}

int vm_shutdown(struct vm *vm, bool reboot, const char *reason, link_answer_fn *answer, void *ctx,
		struct failure *f)
{
	const char *verb = reboot ? "reboot" : "shutdown";

	return vm_ask(vm, reboot ? "reboot" : "shut down",
		      json_pack("{s:s, s:s}", "verb", verb, "reason", reason), -1, answer, ctx, f);
}

static int on_patience(sd_event_source *source, uint64_t us, void *ctx)
{
	struct vm *vm = ctx;

	(void)source;
	(void)us;
	log_line_of(LOG_LEVEL_WARNING, vm->log_fields,
		    "the worker of the VM '%s' does not end: it is killed", vm->name);
	vm_worker_kill(vm);
	return 0;
}

int vm_off(struct vm *vm, struct failure *f)
{
	if (vm->life == VM_WAITING) {
		vm->timer = sd_event_source_disable_unref(vm->timer);
		mark_running(vm, false);
		vm_move(vm, vm_at_rest(vm));
		return 0;
	}
	if (vm->life == VM_OFF || vm->life == VM_SAVED)
		return wrong_life(vm, "switch off", f);
	vm->off_wanted = true;
	if (!vm->worker ||
	    link_request(vm->worker, json_pack("{s:s}", "verb", "stop"), -1, NULL, NULL) < 0)
		vm_worker_kill(vm);
	vm_move(vm, VM_STOPPING);
	(void)set_timer(vm, OFF_PATIENCE_US, on_patience);
	return 0;
}

json_t *vm_show(const struct vm *vm)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:b, s:I, s:O, s:O?, s:O?}", "name", vm->name,
			 "uuid", vm->uuid, "state", vm_life_label(vm), "problem", vm->problem,
			 "clustered", vm->clustered, "version", (json_int_t)vm->version, "settings",
			 vm->settings->root, "status", vm->status, "guest", vm->guest);
}

json_t *vm_show_short(const struct vm *vm)
{
	const json_t *services = json_object_get(vm->status, "integration");
	json_t *heartbeat = json_object_get(json_object_get(services, "heartbeat"), "state");

	json_t *stop = json_object_get(vm->settings->root, "stop");

	return json_pack("{s:s, s:s, s:s, s:s, s:O?, s:O?, s:O?, s:O?, s:O?}", "name", vm->name,
			 "uuid", vm->uuid, "state", vm_life_label(vm), "problem", vm->problem,
			 "stop", json_object_get(stop, "action"), "cpus",
			 json_object_get(vm->settings->root, "cpus"), "memory_mib",
			 json_object_get(vm->settings->root, "memory_mib"), "heartbeat",
			 json_is_string(heartbeat) ? heartbeat : NULL, "address",
			 json_object_get(vm->guest, "NetworkAddressIPv4"));
}
