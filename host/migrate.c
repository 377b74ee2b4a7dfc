/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/migrate_priv.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/util.h"
#include "host/check.h"
#include "host/far.h"
#include "host/host.h"
#include "host/luggage.h"
#include "host/offer.h"
#include "host/stay.h"
#include "host/store.h"
#include "lib/log.h"

#define WAITS_TOLD 3u
#define LOOK_US UINT64_C(500000)
#define PROTOCOL "oya-migration"
#define ALMOST 99u              /* percent, until it has gone */
#define POSTCOPY_CONNECTIONS 2u /* one of them for what the guest waits for */

static void end_job(struct migration *m, const char *sentence)
{
	if (m->job)
		job_end(m->host, m->job, sentence);
	m->job = NULL;
}

static void migration_free(struct migration *m)
{
	far_cancel(m->far);
	sd_event_source_disable_unref(m->look);
	link_fds_close(&m->streams);
	json_decref(m->disks);
	explicit_bzero(&m->peer, sizeof(m->peer));
	free(m);
}

void migrate_in_pool(struct migration *m, void (*work)(struct pool_work *w),
		     void (*done)(struct pool_work *w))
{
	m->work = (struct pool_work){.work = work, .done = done, .lane = &m->vm->lane};
	pool_submit(m->host->pool, &m->work);
}

static void call_off(struct vm *vm)
{
	if (vm->worker)
		(void)link_request(vm->worker, json_pack("{s:s}", "verb", "migrate-cancel"), -1,
				   NULL, NULL);
}

/* ---- undone ---- */

static void clean(struct pool_work *w)
{
	struct migration *m = CONTAINER_OF(w, struct migration, work);
	struct failure f;

	offer_clean(m->vm->folder, m->proof);
	m->r = m->noted ? move_drop(m->host->state, m->vm->uuid, &f) : 0;
	if (m->r < 0)
		log_line(LOG_LEVEL_ERROR, "%s; remove it by hand", f.text);
}

/* It is as it was; one that crashed meanwhile is started as its settings say. */
static void on_clean(struct pool_work *w)
{
	struct migration *m = CONTAINER_OF(w, struct migration, work);
	struct vm *vm = m->vm;
	bool restart = m->crashed && vm_may_restart(vm);

	vm->migration = NULL;
	log_line_of(LOG_LEVEL_WARNING, vm->log_fields, "the VM '%s' was not moved to %s: %s",
		    vm->name, m->move.host, m->f.text);
	end_job(m, m->f.text);
	migration_free(m);
	if (vm->clustered)
		stay_begin(vm);
	vm->restarts += restart;
	if (restart && vm_start_later(vm, 1) < 0)
		log_line_of(LOG_LEVEL_ERROR, vm->log_fields,
			    "cannot start the VM '%s': out of memory", vm->name);
}

void migrate_undo_target(const struct migration *m, bool known, char target[MIGRATE_TARGET_MAX])
{
	int len = snprintf(target, MIGRATE_TARGET_MAX, "/v1/incoming/%s", m->vm->name);

	if (m->move.storage)
		snprintf(target + len, MIGRATE_TARGET_MAX - (size_t)len, "?uuid=%s%s", m->vm->uuid,
			 known ? "&known=yes" : "");
}

static void on_undone(void *ctx, const struct far_answer *a)
{
	struct migration *m = ctx;
	char target[MIGRATE_TARGET_MAX];
	struct failure why = m->f;

	m->far = NULL;
	/* It keeps in mind that it was undone, until it hears that this is known. */
	if (m->move.storage && a->code == 0 && a->status == 204 && !m->swept) {
		m->swept = true;
		migrate_undo_target(m, true, target);
		migrate_call(m, "DELETE", target, NULL, NULL, on_undone);
		m->f = why;
		if (m->r == 0)
			return;
	}
	if (a->code < 0 || (a->status != 204 && a->status != 404))
		log_line_of(LOG_LEVEL_WARNING, m->vm->log_fields,
			    "the VM '%s' cannot be undone on %s: %s", m->vm->name, m->peer.name,
			    a->f->text);
	migrate_in_pool(m, clean, on_clean);
}

void migrate_call(struct migration *m, const char *method, const char *target, const json_t *body,
		  const char *upgrade, far_done_fn *done)
{
	struct far_wish wish = {.helper = m->host->connector,
				.peer = &m->peer,
				.method = method,
				.target = target,
				.body = body,
				.upgrade = upgrade};

	/* Who a member of the cluster is its daemon sees by its certificate, so TLS is there. */
	if (upgrade && m->pass[0] && !m->peer.identity)
		wish.pass = m->pass;
	m->r = far_start(m->host->event, &wish, done, m, &m->far, &m->f);
}

/* By m->f. Not while the pool has it. */
static void undo(struct migration *m)
{
	char target[MIGRATE_TARGET_MAX];
	struct failure why = m->f;

	m->step = MIGRATE_UNDOES;
	far_cancel(m->far);
	m->far = NULL;
	m->look = sd_event_source_disable_unref(m->look);
	if (m->job)
		m->job->cancel = NULL;
	link_fds_close(&m->streams);
	migrate_undo_target(m, true, target);
	if (m->offered && (m->peer.token[0] || m->peer.identity)) {
		migrate_call(m, "DELETE", target, NULL, NULL, on_undone);
		m->f = why;
		if (m->r == 0)
			return;
	}
	migrate_in_pool(m, clean, on_clean);
}

void migrate_give_up(struct migration *m, const char *why)
{
	fail(&m->f, -EIO, "%s", why);
	undo(m);
}

/* Whether to go on. */
static bool goes_on(struct migration *m)
{
	bool runs = m->vm->life == VM_RUNNING || m->vm->life == VM_PAUSED;

	if (m->r == 0 && m->cancelled)
		m->r = fail(&m->f, -ECANCELED, "it was cancelled");
	if (m->r == 0 && !runs)
		m->r = fail(&m->f, -EBUSY, "it is %s", vm_life_label(m->vm));
	if (m->r == 0)
		return true;
	undo(m);
	return false;
}

/* ---- what the worker tells ---- */

static int on_look(sd_event_source *source, uint64_t us, void *ctx);

void migrate_look_later(struct migration *m)
{
	m->look = sd_event_source_disable_unref(m->look);
	(void)sd_event_add_time_relative(m->host->event, &m->look, CLOCK_MONOTONIC, LOOK_US, 0,
					 on_look, m->vm);
}

/* Numbers of the worker's word. */
static void show(struct migration *m, const json_t *s)
{
	static const char *const numbers[] = {"round",        "total_bytes",    "sent_bytes",
					      "spared_bytes", "rate",           "dirty_rate",
					      "promised_us",  "stopped_us",     "pages_left",
					      "disk_bytes",   "disk_sent_bytes"};
	const char *phase = json_string_value(json_object_get(s, "phase"));
	json_int_t total = json_integer_value(json_object_get(s, "total_bytes")) +
			   json_integer_value(json_object_get(s, "disk_bytes"));
	json_int_t sent = json_integer_value(json_object_get(s, "sent_bytes"));
	json_t *details =
		json_pack("{s:s, s:s}", "host", m->move.host, "phase", phase ? phase : "rounds");

	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		json_t *value = json_object_get(s, numbers[i]);

		if (json_is_integer(value) && json_integer_value(value) >= 0)
			(void)json_object_set(details, numbers[i], value);
	}
	if (m->connections)
		(void)json_object_set_new(details, "connections",
					  json_integer((json_int_t)m->connections));
	if (!m->job) {
		json_decref(details);
		return;
	}
	if (total > 0 && sent >= 0) {
		double percent = (double)sent * 100.0 / (double)total;

		m->job->percent = percent < ALMOST ? (unsigned)percent : ALMOST;
	}
	job_details(m->host, m->job, details);
}

void migrate_told(struct vm *vm, const json_t *status)
{
	struct migration *m = vm->migration;
	const json_t *s = json_object_get(status, "migrate");
	const char *phase = json_string_value(json_object_get(s, "phase"));
	const char *error = json_string_value(json_object_get(s, "error"));

	if (!m || m->step != MIGRATE_MOVES || vm->life == VM_STOPPING)
		return;
	if (json_is_object(s))
		show(m, s);
	if (!phase) {
		if (vm->adopted)
			migrate_give_up(m, "its worker does not move it any more");
	} else if (strcmp(phase, "failed") == 0) {
		migrate_give_up(m, error && *error ? error : "its worker gives no reason");
	} else if (strcmp(phase, "postcopy") == 0) {
		m->late = true;
		if (m->job)
			m->job->cancel = NULL;
	} else if (strcmp(phase, "asks") == 0) {
		migrate_ask(m);
	} else if (strcmp(phase, "waits") == 0) {
		/* For a moment every VM does that. */
		if (++m->waits == WAITS_TOLD && m->job)
			job_log(m->host, m->job,
				"the other host does not answer: the VM stands still until its "
				"lease tells where it runs");
	}
}

static void on_progress(void *ctx, json_t *result, const char *sentence)
{
	struct vm *vm = ctx;

	if (!sentence)
		migrate_told(vm, result);
	if (vm->migration && vm->migration->step == MIGRATE_MOVES)
		migrate_look_later(vm->migration);
}

static int on_look(sd_event_source *source, uint64_t us, void *ctx)
{
	struct vm *vm = ctx;

	(void)source;
	(void)us;
	if (vm->migration->step == MIGRATE_DOUBT) {
		migrate_ask(vm->migration);
		return 0;
	}
	if (!vm->worker ||
	    link_request(vm->worker, json_pack("{s:s}", "verb", "status"), -1, on_progress, vm) < 0)
		migrate_look_later(vm->migration);
	return 0;
}

/* ---- the worker's turn ---- */

static void on_asked(void *ctx, json_t *result, const char *sentence)
{
	struct vm *vm = ctx;
	struct migration *m = vm->migration;

	(void)result;
	if (!m || m->step != MIGRATE_ASKS)
		return;
	if (sentence) {
		migrate_give_up(m, sentence);
		return;
	}
	m->step = MIGRATE_MOVES;
	(void)on_look(NULL, 0, vm);
	if (m->cancelled) /* before there was anything to cancel */
		call_off(vm);
}

/* The file of the other host's to look for has served. */
static void note(struct pool_work *w)
{
	struct migration *m = CONTAINER_OF(w, struct migration, work);

	offer_clean(m->vm->folder, m->proof);
	m->r = move_write(m->host->state, m->vm->uuid, &m->move, &m->f);
}

static void on_noted(struct pool_work *w)
{
	struct migration *m = CONTAINER_OF(w, struct migration, work);
	char target[GUID_TEXT_LEN];
	json_t *request;

	m->noted = true;
	if (!goes_on(m))
		return;
	m->step = MIGRATE_ASKS;
	guid_format(&m->target, target);
	request = json_pack(
		"{s:s, s:s, s:I, s:b, s:o*, s:o*, s:o*, s:o*}", "verb", "migrate", "target", target,
		"bandwidth", (json_int_t)m->bandwidth, "quick", m->quick, "downtime_us",
		m->downtime_us ? json_integer((json_int_t)m->downtime_us) : NULL, "postcopy",
		m->postcopy ? json_true() : NULL, "storage", m->move.storage ? json_true() : NULL,
		"compress", json_boolean(m->compress));
	m->r = vm_hand(m->vm, "move", request, &m->streams, on_asked, m->vm, &m->f);
	if (m->r < 0)
		undo(m);
}

/* ---- the other host ---- */

static bool answered(struct migration *m, const struct far_answer *a, unsigned status)
{
	m->far = NULL;
	m->r = 0;
	if (a->code < 0)
		m->r = fail(&m->f, a->code, "%s", a->f->text);
	else if (a->status >= 400)
		m->r = fail(&m->f, -EIO, "%s: %.420s", m->peer.name, a->f->text);
	else if (a->status != status)
		m->r = fail(&m->f, -EIO, "%s answers with status %u", m->peer.name, a->status);
	return goes_on(m);
}

static void on_stream(void *ctx, const struct far_answer *a);

/* One after the other, so that both sides have them in the same order. */
static void connect_next(struct migration *m)
{
	char target[MIGRATE_TARGET_MAX];

	m->step = MIGRATE_CONNECTS;
	snprintf(target, sizeof(target), "/v1/incoming/%s/stream", m->vm->name);
	migrate_call(m, "POST", target, NULL, PROTOCOL, on_stream);
	if (m->r < 0)
		undo(m);
}

static void on_stream(void *ctx, const struct far_answer *a)
{
	struct migration *m = ctx;

	if (a->fd >= 0)
		m->streams.fd[m->streams.count++] = a->fd;
	if (!answered(m, a, 101))
		return;
	if (m->streams.count < m->connections) {
		connect_next(m);
		return;
	}
	m->step = MIGRATE_NOTES;
	migrate_in_pool(m, note, on_noted);
}

/* How the other host takes it; older ones do not say, and take one connection. */
static int take_way(struct migration *m, const json_t *body)
{
	const char *host = json_string_value(json_object_get(body, "host_uuid"));
	const char *pass = json_string_value(json_object_get(body, "pass"));
	json_int_t most = json_integer_value(json_object_get(body, "connections"));
	struct guid g;

	if (!host || guid_parse(host, &m->target) < 0)
		return fail(&m->f, -EIO, "the other host does not say by what UUID leases name it");
	if (pass && guid_parse(pass, &g) == 0)
		guid_format(&g, m->pass);
	if (most < (json_int_t)m->connections)
		m->connections = most > 1 ? (unsigned)most : 1;
	if (m->postcopy_must && m->connections < POSTCOPY_CONNECTIONS)
		return fail(&m->f, -EIO,
			    "the other host takes one connection only, and post-copy needs two; "
			    "update it, or move the VM without");
	m->postcopy = m->postcopy && m->connections >= POSTCOPY_CONNECTIONS;
	return 0;
}

static void on_offered(void *ctx, const struct far_answer *a)
{
	struct migration *m = ctx;

	/* Without an answer it may have been taken all the same. */
	m->offered = a->code < 0 ? a->sent : a->status < 400;
	if (!answered(m, a, 201))
		return;
	m->r = take_way(m, a->body);
	if (m->r < 0)
		undo(m);
	else
		connect_next(m);
}

static json_t *encode_offer(const struct migration *m)
{
	char uuid[GUID_TEXT_LEN];
	struct utsname name;

	uname(&name);
	guid_format(&m->host->uuid, uuid);
	/* Older hosts know of no other number than 1. */
	return json_pack(
		"{s:i, s:s, s:s, s:s, s:s, s:s, s:s, s:O, s:O, s:o, s:o*, s:o*}", "version",
		OFFER_VERSION, "oya", OYA_VERSION, "name", m->vm->name, "host", name.nodename,
		"host_uuid", uuid, "folder", m->real, "proof", m->proof, "settings",
		m->vm->settings->root, "disks", m->disks, "processor",
		processor_encode(&m->processor), "connections",
		m->connections > 1 ? json_integer((json_int_t)m->connections) : NULL, "storage",
		m->move.storage ? json_pack("{s:I}", "epoch", (json_int_t)m->epoch) : NULL);
}

/* What the guest may use by its baseline. Without one the workers compare what it has been given,
 * which may be less than this host has. */
static int look_at_processor(struct migration *m)
{
	json_t *baseline = json_object_get(m->vm->settings->root, "processor");
	struct processor here;
	int r = check_processor(m->host->launcher.worker, &here, &m->f);

	m->processor = (struct processor){0};
	if (r == 0 && baseline)
		r = processor_decode_baseline(baseline, &m->processor, &m->f);
	if (r == 0)
		snprintf(m->processor.vendor, sizeof(m->processor.vendor), "%s", here.vendor);
	return r;
}

static void look(struct pool_work *w)
{
	struct migration *m = CONTAINER_OF(w, struct migration, work);

	m->r = look_at_processor(m);
	if (m->r == 0 && m->move.storage)
		m->r = luggage_look(m->vm->folder, m->vm->settings, &m->host->uuid, &m->epoch,
				    &m->f);
	if (m->r == 0)
		m->r = offer_make(m->vm->folder, m->vm->settings, m->move.storage, m->proof,
				  &m->disks, m->real, &m->f);
}

static void on_looked(struct pool_work *w)
{
	struct migration *m = CONTAINER_OF(w, struct migration, work);
	json_t *offer;

	if (!goes_on(m))
		return;
	m->step = MIGRATE_OFFERS;
	offer = encode_offer(m);
	if (offer)
		migrate_call(m, "POST", "/v1/incoming", offer, NULL, on_offered);
	else
		m->r = fail(&m->f, -ENOMEM, "out of memory");
	json_decref(offer);
	if (m->r < 0)
		undo(m);
}

/* ---- the begin ---- */

static void cancel(void *ctx)
{
	struct vm *vm = ctx;
	struct migration *m = vm->migration;

	if (!m || m->step >= MIGRATE_UNDOES)
		return;
	m->cancelled = true;
	if (m->step == MIGRATE_OFFERS || m->step == MIGRATE_CONNECTS) {
		m->offered = true; /* it may have been taken */
		(void)goes_on(m);
	} else if (m->step == MIGRATE_MOVES) {
		call_off(vm);
	}
}

static struct migration *migration_new(struct vm *vm)
{
	struct migration *m = calloc(1, sizeof(*m));

	if (m)
		m->job = job_new(vm->host, "migrate", vm->name);
	if (!m || !m->job) {
		free(m);
		return NULL;
	}
	m->vm = vm;
	m->host = vm->host;
	m->job->cancel = cancel;
	m->job->ctx = vm;
	vm->migration = m;
	return m;
}

static void take_wish(struct migration *m, const struct migrate_wish *w)
{
	uint64_t wanted = w->connections;

	m->peer = w->peer;
	m->bandwidth = w->bandwidth;
	m->downtime_us = w->downtime_us;
	m->quick = w->quick;
	m->compress = w->compress;
	m->postcopy_must = w->postcopy == POSTCOPY_YES;
	m->move.storage = w->storage;
	m->postcopy = m->postcopy_must || (w->postcopy == POSTCOPY_AS_SET &&
					   m->vm->settings->postcopy && !w->quick && !w->storage);
	if (m->postcopy && wanted < POSTCOPY_CONNECTIONS)
		wanted = POSTCOPY_CONNECTIONS;
	m->connections = (unsigned)min_u64(wanted, vm_connections(m->vm));
}

int migrate_start(struct vm *vm, const struct migrate_wish *w, struct job **ret_job,
		  struct failure *f)
{
	struct migration *m;
	int r = vm->migration ? migrate_ask_again(vm, w, ret_job, f) : 1;

	if (r <= 0)
		return r;
	if (vm->migration || vm->saving || vm->edited || vm->host->ending ||
	    (vm->life != VM_RUNNING && vm->life != VM_PAUSED))
		return fail(f, -EBUSY, "cannot move the VM '%s': %s", vm->name,
			    vm->migration ? "it is on its way to another host already"
			    : vm->saving  ? "it is being saved"
			    : vm->edited  ? "it is being changed"
			    : vm->host->ending
				    ? "the host ends, and its VMs with it"
				    : "it does not run, and what is off needs no more than its "
				      "folder there");
	if (w->postcopy == POSTCOPY_YES && vm_connections(vm) < POSTCOPY_CONNECTIONS)
		return fail(f, -EBUSY,
			    "cannot move the VM '%s' by post-copy: its worker is of an older "
			    "version, which has none; it is another one with the VM's next start",
			    vm->name);
	m = migration_new(vm);
	if (!m)
		return fail(f, -ENOMEM, "cannot move the VM '%s': out of memory, or too many jobs",
			    vm->name);
	take_wish(m, w);
	m->move.state = MOVE_LEAVING;
	snprintf(m->move.name, sizeof(m->move.name), "%s", vm->name);
	snprintf(m->move.host, sizeof(m->move.host), "%s", w->peer.name);
	*ret_job = m->job;
	migrate_in_pool(m, look, on_looked);
	return 0;
}

/* ---- a daemon that comes back ---- */

void migrate_adopt(struct vm *vm, const struct move *move)
{
	struct migration *m = migration_new(vm);

	if (!m)
		return;
	m->move = *move;
	snprintf(m->peer.name, sizeof(m->peer.name), "%s", move->host);
	m->noted = true;
	m->step = MIGRATE_MOVES;
	migrate_look_later(m);
}

void migrate_look(struct vm *vm)
{
	if (vm->migration && vm->migration->step == MIGRATE_MOVES && !vm_worker_lives(vm))
		(void)migrate_ended(vm, true, "its worker is not there any more");
}

/* ---- its end ---- */

static void judge(struct pool_work *w)
{
	struct migration *m = CONTAINER_OF(w, struct migration, work);

	m->side = vm_lease_side(m->vm->folder, &m->vm->settings->uuid, &m->host->uuid, &m->f);
}

static void on_judged(struct pool_work *w)
{
	struct migration *m = CONTAINER_OF(w, struct migration, work);
	struct vm *vm = m->vm;

	if (m->side == LEASE_THERE && !m->move.storage) {
		migrate_gone(vm, NULL);
		return;
	}
	if (m->side == LEASE_THERE)
		fail(&m->f, -EBUSY, "only that host knows; say the move again, and it is asked");
	if (m->side == LEASE_NOT_KNOWN || m->side == LEASE_THERE) {
		m->step = MIGRATE_DOUBT;
		snprintf(vm->problem, sizeof(vm->problem),
			 "it was on its way to %.100s, and nobody can tell where it is: %.300s",
			 m->move.host, m->f.text);
		end_job(m, vm->problem);
		host_publish(m->host, "vm", vm_show(vm));
		if (m->move.storage)
			migrate_look_later(m);
		return;
	}
	vm_lease_free(vm);
	migrate_give_up(m, vm->problem[0] ? vm->problem : "it has ended");
}

bool migrate_ended(struct vm *vm, bool failed, const char *why)
{
	struct migration *m = vm->migration;
	bool given = m && (m->step == MIGRATE_ASKS || m->step == MIGRATE_MOVES);

	/* What the pool has comes to its end first, and finds the VM as it is then. */
	if (m && (m->step == MIGRATE_OFFERS || m->step == MIGRATE_CONNECTS))
		migrate_give_up(m, *why ? why : "it has ended");
	if (!given)
		return false;
	m->crashed = failed;
	m->step = MIGRATE_JUDGES;
	m->look = sd_event_source_disable_unref(m->look);
	if (failed)
		snprintf(vm->problem, sizeof(vm->problem), "%s", why);
	migrate_in_pool(m, judge, on_judged);
	return true;
}

/* The word is on the disk before anything else goes, so that a daemon that comes back goes on. */
static void let_go(struct pool_work *w)
{
	struct migration *m = CONTAINER_OF(w, struct migration, work);
	struct failure ignored;

	m->move.state = MOVE_GONE;
	m->r = move_write(m->host->state, m->vm->uuid, &m->move, &m->f);
	if (m->r < 0)
		return;
	(void)store_remove_folder(m->vm->run, &ignored);
	if (m->move.storage)
		m->r = luggage_remove(m->vm->folder, &m->vm->settings->uuid, &m->host->uuid, true,
				      &m->f);
	if (m->r == 0)
		m->r = move_let_go(m->host->state, m->vm->uuid, &m->move, &m->f);
}

static void on_let_go(struct pool_work *w)
{
	struct migration *m = CONTAINER_OF(w, struct migration, work);
	struct vm *vm = m->vm;

	if (m->r < 0) {
		m->step = MIGRATE_STUCK;
		vm->making = false;
		snprintf(vm->problem, sizeof(vm->problem),
			 "it runs on %.120s, and is still here: %.320s", m->move.host, m->f.text);
		vm_move(vm, VM_OFF);
		end_job(m, vm->problem);
		return;
	}
	log_line_of(LOG_LEVEL_INFO, vm->log_fields, "the VM '%s' has gone to %s", vm->name,
		    m->move.host);
	host_publish(m->host, "vm-removed",
		     json_pack("{s:s, s:s}", "name", vm->name, "uuid", vm->uuid));
	vm->migration = NULL;
	host_remove(m->host, vm);
	end_job(m, m->lost[0] ? m->lost : NULL);
	migration_free(m);
}

/* Post-copy: what the VM there has not got is gone with its worker here. */
static void note_lost(struct migration *m, const json_t *last)
{
	const char *error = json_string_value(json_object_get(last, "error"));

	if (error)
		snprintf(m->lost, sizeof(m->lost), "%s", error);
	else if (m->late)
		snprintf(m->lost, sizeof(m->lost),
			 "its worker here has ended without a word, perhaps before all of its "
			 "memory had followed: look on %s whether it runs",
			 m->move.host);
}

void migrate_gone(struct vm *vm, const json_t *last)
{
	struct migration *m = vm->migration;

	if (!m) { /* somebody else has asked the worker to */
		m = migration_new(vm);
		if (!m)
			return;
		snprintf(m->move.name, sizeof(m->move.name), "%s", vm->name);
		snprintf(m->move.host, sizeof(m->move.host), "another host");
	}
	far_cancel(m->far);
	m->far = NULL;
	m->look = sd_event_source_disable_unref(m->look);
	if (m->job)
		m->job->cancel = NULL;
	if (json_is_object(last))
		show(m, last);
	note_lost(m, last);
	m->step = MIGRATE_GOES;
	vm->making = true;
	migrate_in_pool(m, let_go, on_let_go);
}

static void on_dropped(struct pool_work *w)
{
	migration_free(CONTAINER_OF(w, struct migration, work));
}

int migrate_settle(struct vm *vm, struct failure *f)
{
	struct migration *m = vm->migration;

	if (!m)
		return 0;
	if (m->step != MIGRATE_DOUBT)
		return fail(f, -EBUSY, "cannot start the VM '%s': %s %s", vm->name,
			    m->step == MIGRATE_STUCK ? "it runs on" : "it is on its way to",
			    m->move.host);
	m->look = sd_event_source_disable_unref(m->look);
	far_cancel(m->far);
	m->far = NULL;
	if (m->move.storage) /* its lease decides: migrate_started() */
		return 0;
	vm->migration = NULL;
	migrate_in_pool(m, clean, on_dropped);
	return 0;
}

void migrate_started(struct vm *vm)
{
	struct migration *m = vm->migration;

	if (!m || m->step != MIGRATE_DOUBT)
		return;
	vm->migration = NULL;
	migrate_in_pool(m, clean, on_dropped);
}

void migrate_forget(struct vm *vm)
{
	if (!vm->migration)
		return;
	migration_free(vm->migration);
	vm->migration = NULL;
}
