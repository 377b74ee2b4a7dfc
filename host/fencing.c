/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The watch: host/fencing.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "host/cluster_impl.h"
#include "host/fencing_impl.h"
#include "host/rungs.h"
#include "host/store.h"
#include "host/vm.h"
#include "lib/log.h"

#define LOOK_US UINT64_C(5000000)
#define SOON_US UINT64_C(500000) /* while somebody waits */
#define TRIAL_US UINT64_C(120000000)
#define STRANGE_MAX 2u /* looks in a row, until the members are asked */

/* One look, in the lane. */
struct look {
	struct pool_work work;
	struct fencing *of;
	struct members m;
	char self[MEMBERS_NAME_MAX + 1];
	const char *run;
	bool vms;     /* VMs of the cluster run here */
	bool strange; /* and its engine does not have it online */
	bool entered; /* at all disks of the configuration */
	json_t *note, *rungs;
	char gone[256]; /* a disk at which another host has taken the key */
	int r;
	struct failure f;
};

struct fencing {
	struct cluster *c;
	struct pool_lane lane;
	struct pool_work leaving;
	sd_event_source *timer;
	struct look *look; /* under way */
	struct far *far;   /* a member is asked whether it takes this host for off */
	unsigned turn;     /* the member that was asked last, by its id */
	unsigned strange;  /* looks in a row */
	json_t *rungs;     /* as they were read last */
	bool again;        /* asked for while it looked */
	bool entered;      /* as it looked last */
	bool cut;
	bool paused;        /* others take its key, and it is no matter */
	struct failure why; /* what is wrong, as it was told last */
	struct list waiting;
};

/* ---- cut off ---- */

/* What runs here may write no more; the host begins anew. */
static void end_host(struct fencing *fc)
{
	struct host *h = fc->c->host;
	int r;

	for (struct list *at = h->vms.next; at != &h->vms; at = at->next)
		vm_worker_kill(CONTAINER_OF(at, struct vm, link));
	r = h->reboot ? h->reboot() : -EOPNOTSUPP;
	if (r < 0)
		log_line(LOG_LEVEL_ERROR, "this host cannot be booted: %s; do it", strerror(-r));
}

static void cut_off(struct fencing *fc, const char *why)
{
	fc->cut = true;
	fail(&fc->why, -EBADE, "this host was cut off: %.300s; it boots before it is let in again",
	     why);
	log_line(LOG_LEVEL_ERROR, "%s", fc->why.text);
	end_host(fc);
}

bool fencing_is_cut(const struct fencing *fc, struct failure *f)
{
	if (fc->cut)
		*f = fc->why;
	return fc->cut;
}

/* ---- the members' word ---- */

/* They have fenced this host, or let it go, and its VMs run: another host may start them. */
static bool is_off(const json_t *answer, const char *self)
{
	json_t *one;
	size_t i;

	if (!json_is_true(json_object_get(answer, "quorum")) ||
	    !json_is_true(json_object_get(answer, "fencing")))
		return false;
	json_array_foreach(json_object_get(answer, "members"), i, one)
	{
		const char *name = json_string_value(json_object_get(one, "name"));

		if (name && strcmp(name, self) == 0)
			return json_is_false(json_object_get(one, "online")) &&
			       json_is_false(json_object_get(one, "unclean"));
	}
	return false;
}

static void on_member(void *ctx, const struct far_answer *a)
{
	struct fencing *fc = ctx;
	const struct members *m = cluster_members(fc->c);
	const struct member *self = m ? members_find_host(m, &fc->c->host->uuid) : NULL;

	fc->far = NULL;
	if (a->code == 0 && a->status == 200 && self && is_off(a->body, self->name))
		cut_off(fc, "the other hosts have it off, and it runs VMs of the cluster");
}

/* One after the other. */
static void ask_member(struct fencing *fc)
{
	const struct member *next;
	struct peer peer;
	struct failure f;
	const struct far_wish wish = {.helper = fc->c->host->connector,
				      .peer = &peer,
				      .method = "GET",
				      .target = "/v1/cluster"};

	next = cluster_next_member(fc->c, fc->turn);
	if (!next || fc->far)
		return;
	fc->turn = next->id;
	peer = next->peer;
	peer.identity = fc->c->host->state;
	(void)far_start(fc->c->host->event, &wish, on_member, fc, &fc->far, &f);
}

/* ---- a look ---- */

/* A disk that was taken out of the configuration has no keys any more. */
static void judge_gone(struct look *l)
{
	const json_t *devices = rungs_devices(l->rungs);

	if (!l->gone[0] || !l->rungs || rungs_has(devices, l->gone))
		return;
	json_object_del(l->note, l->gone);
	l->gone[0] = '\0';
}

static int check_noted(struct look *l)
{
	struct fencing_agent a = {.members = &l->m, .self = l->self};
	json_t *devices, *generation;
	const char *name;
	int r;

	if (!json_object_size(l->note))
		return 0;
	devices = json_array();
	json_object_foreach(l->note, name, generation)
	{
		json_array_append_new(devices, json_string(name));
	}
	a.devices = devices;
	r = fencing_check(&a, l->note, l->gone, &l->f);
	json_decref(devices);
	return r;
}

/* In its own cluster it is not online, while it runs VMs of it. */
static void look_strange(struct look *l)
{
	struct failure ignored;

	l->strange = l->vms && fencing_look_online(l->self, &ignored) < 0;
}

static void look(struct pool_work *w)
{
	struct look *l = CONTAINER_OF(w, struct look, work);
	const struct fencing_agent who = {.members = &l->m, .self = l->self};
	struct fencing_agent a = who;
	struct failure why = {""};
	json_t *before = NULL;
	int r;

	l->r = fencing_read_note(l->run, &l->note, &l->f);
	if (l->r < 0)
		return;
	before = json_deep_copy(l->note);
	l->r = check_noted(l);
	r = fencing_read_rungs(&l->rungs, &why);
	judge_gone(l);
	look_strange(l);
	if (r == 0 && !l->gone[0]) {
		a.devices = rungs_devices(l->rungs);
		fencing_drop(l->note, a.devices);
		r = fencing_enter(&a, l->note, true, &why);
		l->entered = r == 0;
	}
	if (!json_equal(before, l->note) && fencing_write_note(l->run, l->note, &l->f) < 0) {
		l->entered = false;
		l->r = -EIO;
	}
	json_decref(before);
	if (l->r == 0 && r < 0) {
		l->r = r;
		l->f = why;
	}
}

/* ---- on the loop ---- */

static void wake(struct fencing *fc, const char *sentence)
{
	while (!list_empty(&fc->waiting)) {
		struct fencing_wait *w = CONTAINER_OF(fc->waiting.next, struct fencing_wait, link);

		list_remove(&w->link);
		w->done(w, sentence);
	}
}

/* Each trouble once. */
static void tell(struct fencing *fc, const struct failure *why)
{
	if (strcmp(fc->why.text, why->text) != 0 && why->text[0])
		log_line(LOG_LEVEL_WARNING, "fencing: %s", why->text);
	fc->why = *why;
}

static void take(struct fencing *fc, struct look *l)
{
	static const struct failure none = {""};

	if (l->rungs) {
		json_decref(fc->rungs);
		fc->rungs = json_incref(l->rungs);
	}
	if (l->gone[0]) {
		char why[400];

		snprintf(why, sizeof(why), "another host has taken its key at %s", l->gone);
		cut_off(fc, why);
	} else {
		tell(fc, l->r < 0 ? &l->f : &none);
	}
	fc->entered = l->entered && !fc->cut;
	fc->strange = l->strange ? fc->strange + 1 : 0;
	if (fc->strange >= STRANGE_MAX && !fc->cut && !fc->c->task) /* it may be leaving */
		ask_member(fc);
	if (fc->cut)
		wake(fc, fc->why.text);
	else if (l->entered)
		wake(fc, NULL);
	else if (l->rungs && l->r != -EAGAIN) /* the engine is asked again */
		wake(fc, l->f.text);
}

static void start_timer(struct fencing *fc, uint64_t us)
{
	sd_event_source_set_time_relative(fc->timer, us);
	sd_event_source_set_enabled(fc->timer, SD_EVENT_ONESHOT);
}

static void on_looked(struct pool_work *w)
{
	struct look *l = CONTAINER_OF(w, struct look, work);
	struct fencing *fc = l->of;

	fc->look = NULL;
	if (cluster_members(fc->c) && !fc->cut && !fc->paused)
		take(fc, l);
	json_decref(l->note);
	json_decref(l->rungs);
	free(l);
	if (!fc->timer || fc->paused)
		return;
	start_timer(fc, fc->again ? 0 : list_empty(&fc->waiting) ? LOOK_US : SOON_US);
	fc->again = false;
}

static bool runs_vms(const struct host *h)
{
	for (struct list *at = h->vms.next; at != &h->vms; at = at->next) {
		const struct vm *vm = CONTAINER_OF(at, struct vm, link);

		if (vm->clustered && vm->life != VM_OFF && vm->life != VM_SAVED)
			return true;
	}
	return false;
}

static void begin(struct fencing *fc)
{
	const struct members *m = cluster_members(fc->c);
	const struct member *self = m ? members_find_host(m, &fc->c->host->uuid) : NULL;
	struct look *l = self ? calloc(1, sizeof(*l)) : NULL;

	if (!l) {
		start_timer(fc, LOOK_US);
		return;
	}
	l->of = fc;
	l->m = *m;
	l->run = fc->c->host->run;
	l->vms = runs_vms(fc->c->host);
	memcpy(l->self, self->name, sizeof(l->self));
	l->work = (struct pool_work){.work = look, .done = on_looked, .lane = &fc->lane};
	fc->look = l;
	pool_submit(fc->c->host->pool, &l->work);
}

static int on_timer(sd_event_source *source, uint64_t us, void *ctx)
{
	struct fencing *fc = ctx;

	(void)source;
	(void)us;
	fc->paused = false;
	if (!fc->cut) {
		begin(fc);
		return 0;
	}
	end_host(fc); /* it has not ended yet */
	wake(fc, fc->why.text);
	start_timer(fc, LOOK_US);
	return 0;
}

void fencing_look_soon(struct fencing *fc)
{
	if (fc->look)
		fc->again = true;
	else if (fc->timer && !fc->paused)
		start_timer(fc, 0);
}

int fencing_begin_trial(struct fencing *fc, bool goes_on, struct failure *f)
{
	if (fencing_is_cut(fc, f))
		return -EBUSY;
	if (goes_on && !fc->paused)
		return fail(f, -EBUSY, "no trial of this host's fencing is under way");
	if (runs_vms(fc->c->host))
		return fail(f, -EBUSY, "this host runs VMs of the cluster: drain it first");
	fencing_pause(fc);
	start_timer(fc, TRIAL_US);
	return 0;
}

void fencing_pause(struct fencing *fc)
{
	fc->paused = true;
	fc->entered = false;
	sd_event_source_set_enabled(fc->timer, SD_EVENT_OFF);
}

void fencing_resume(struct fencing *fc)
{
	fc->paused = false;
	fencing_look_soon(fc);
}

void fencing_wait(struct fencing *fc, struct fencing_wait *w)
{
	if (fc->entered) {
		w->done(w, NULL);
		return;
	}
	list_append(&fc->waiting, &w->link);
	fencing_look_soon(fc);
}

json_t *fencing_alone(const struct fencing *fc)
{
	const json_t *rungs = fc ? fc->rungs : NULL;

	return json_is_true(json_object_get(rungs, "alone")) ? json_deep_copy(rungs_devices(rungs))
							     : NULL;
}

struct pool_lane *fencing_lane(struct fencing *fc)
{
	return &fc->lane;
}

/* ---- left ---- */

static void forget(struct pool_work *w)
{
	struct fencing *fc = CONTAINER_OF(w, struct fencing, leaving);
	struct failure f;

	if (store_remove(fc->c->host->run, FENCING_NOTE, &f) < 0)
		log_line(LOG_LEVEL_WARNING, "%s", f.text);
}

static void on_forgotten(struct pool_work *w)
{
	w->work = NULL;
}

void fencing_leave(struct fencing *fc)
{
	json_decref(fc->rungs);
	fc->rungs = NULL;
	fc->entered = false;
	fencing_resume(fc);
	wake(fc, "this host has left its cluster");
	if (fc->cut || fc->leaving.work)
		return;
	fc->leaving = (struct pool_work){.work = forget, .done = on_forgotten, .lane = &fc->lane};
	pool_submit(fc->c->host->pool, &fc->leaving);
}

/* ---- life ---- */

struct fencing *fencing_new(struct cluster *c)
{
	struct fencing *fc = calloc(1, sizeof(*fc));

	if (!fc)
		return NULL;
	fc->c = c;
	list_init(&fc->waiting);
	if (sd_event_add_time_relative(c->host->event, &fc->timer, CLOCK_MONOTONIC, SOON_US, 0,
				       on_timer, fc) < 0) {
		free(fc);
		return NULL;
	}
	return fc;
}

void fencing_close(struct fencing *fc)
{
	if (!fc)
		return;
	fc->timer = sd_event_source_disable_unref(fc->timer);
	far_cancel(fc->far);
	fc->far = NULL;
	wake(fc, "the host service ends");
}

void fencing_free(struct fencing *fc)
{
	if (!fc)
		return;
	json_decref(fc->rungs);
	free(fc);
}
