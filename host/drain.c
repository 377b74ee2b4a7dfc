/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/drain.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "host/drain_impl.h"
#include "host/vm.h"

#define LOOK_US UINT64_C(1000000)
#define LOOKS_MAX 120u /* in a row that fail: the coordinator may be another one soon */
#define QUIET_LOOKS 2u /* in which there is nothing left to do */

void drain_free(struct drain *d)
{
	if (!d)
		return;
	list_remove(&d->link);
	json_decref(d->view);
	json_decref(d->failures);
	json_decref(d->vms);
	json_decref(d->names);
	json_decref(d->told);
	json_decref(d->seen);
	free(d);
}

/* ---- followed, on the loop ---- */

static const char *host_of(const struct drain *d, const char *vm)
{
	return drain_text(drain_find(drain_vms(d), vm), "host");
}

/* Whether it is where it is to be: away from the host, or back on it. */
static bool has_arrived(const struct drain *d, const char *vm)
{
	const json_t *one = drain_find(drain_vms(d), vm);
	const char *host = drain_text(one, "host");

	return *host && !json_is_true(json_object_get(one, "moving")) &&
	       !json_is_true(json_object_get(one, "failed")) &&
	       (strcmp(host, d->t->gone) == 0) == d->back;
}

static bool is_left(const struct drain *d)
{
	json_t *name;
	size_t i;

	json_array_foreach(d->names, i, name)
	{
		const json_t *vm = drain_find(drain_vms(d), json_string_value(name));

		if (json_is_true(json_object_get(vm, "moving")) || *drain_text(vm, "way"))
			return true;
	}
	return false;
}

static bool has_text(const json_t *list, const char *text)
{
	json_t *one;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)list, i, one)
	{
		if (strcmp(json_string_value(one), text) == 0)
			return true;
	}
	return false;
}

static void tell_failures(struct cluster_task *t)
{
	struct drain *d = t->drain;
	json_t *one, *old;
	size_t i, k;

	json_array_foreach(d->failures, i, one)
	{
		bool known = false;

		json_array_foreach(d->told, k, old)
		{
			known |= strcmp(drain_text(old, "key"), drain_text(one, "key")) == 0;
		}
		if (known || json_array_append(d->told, one) < 0)
			continue;
		job_log(t->c->host, t->job, drain_text(one, "problem"));
	}
}

/* Those that have arrived since the last look, in one sentence. */
static void tell_moves(struct cluster_task *t)
{
	struct drain *d = t->drain;
	size_t total = json_array_size(d->names), len = 0, i;
	char text[FAIL_TEXT_MAX] = "", names[FAIL_TEXT_MAX - 80] = "";
	unsigned done = 0;
	json_t *name;

	json_array_foreach(d->names, i, name)
	{
		const char *vm = json_string_value(name);

		if (!has_arrived(d, vm))
			continue;
		done++;
		if (has_text(d->seen, vm) || json_array_append(d->seen, name) < 0 ||
		    len >= sizeof(names) - 1)
			continue;
		len += (size_t)snprintf(names + len, sizeof(names) - len, "%s'%s' runs on %s",
					len ? ", " : "", vm, host_of(d, vm));
	}
	if (!len)
		return;
	snprintf(text, sizeof(text), "%s: %u of %zu VMs %s", names, done, total,
		 d->back ? "are back" : "have moved");
	job_log(t->c->host, t->job, text);
	job_progress(t->c->host, t->job, (unsigned)(done * 100 / total));
}

/* The first that is not where it is to be; NULL: there is none. One that was to be stopped by force
 * may run nowhere. */
static const char *first_missing(const struct drain *d)
{
	json_t *name;
	size_t i;

	json_array_foreach(d->names, i, name)
	{
		const char *vm = json_string_value(name);

		if (!has_arrived(d, vm) && !(d->t->force && !*host_of(d, vm)))
			return vm;
	}
	return NULL;
}

static void finish(struct cluster_task *t)
{
	cluster_end(t, NULL);
}

static void conclude(struct cluster_task *t)
{
	const struct drain *d = t->drain;
	const char *missing = first_missing(d), *where = missing ? host_of(d, missing) : "";

	if (d->back) {
		if (missing)
			job_log(t->c->host, t->job,
				"not all are back: the others may not run there, or there is no "
				"room ('oya cluster status' shows where they are)");
		cluster_in_pool(t, drain_let_go, finish);
		return;
	}
	if (missing && *where)
		t->r = fail(
			&t->f, -EIO,
			"the VM '%s' is still on %s, and the engine does nothing more about it: "
			"'oya job show' and 'oya cluster status' tell what has failed",
			missing, where);
	else if (missing)
		t->r = fail(&t->f, -EIO,
			    "the VM '%s' has left %s and runs nowhere: 'oya cluster status' tells "
			    "what has failed; 'oya host resume %s' lets it run there again",
			    missing, t->gone, t->gone);
	cluster_end(t, NULL);
}

/* All that are on the host; those that come to it meanwhile leave it too. */
static void take_leaving(struct drain *d)
{
	json_t *vm;
	size_t i;

	json_array_foreach(drain_vms(d), i, vm)
	{
		if (strcmp(drain_text(vm, "host"), d->t->gone) == 0 &&
		    !has_text(d->names, drain_text(vm, "name")))
			json_array_append(d->names, json_object_get(vm, "name"));
	}
}

static void look_again(struct cluster_task *t);

/* What the engine has told now. */
static void follow(struct cluster_task *t)
{
	struct drain *d = t->drain;

	if (!d->back)
		take_leaving(d);
	tell_failures(t);
	tell_moves(t);
	d->quiet = is_left(d) ? 0 : d->quiet + 1;
	if (d->quiet >= QUIET_LOOKS)
		conclude(t);
	else
		cluster_later(t, LOOK_US, look_again);
}

static void on_cancelled(struct cluster_task *t)
{
	if (t->r == 0)
		t->r = fail(&t->f, -ECANCELED,
			    "it was cancelled: VMs that have moved stay where they are");
	cluster_end(t, NULL);
}

static void on_looked(struct cluster_task *t);

static void look_again(struct cluster_task *t)
{
	cluster_in_pool(t, drain_look, on_looked);
}

/* It tells nothing now: the coordinator may be another one soon. */
static void wait_for_it(struct cluster_task *t)
{
	const struct failure why = t->f;

	if (++t->tries < LOOKS_MAX) {
		cluster_later(t, LOOK_US, look_again);
		return;
	}
	t->r = fail(&t->f, -EIO, "the engine may go on with it, but does not tell how far: %.300s",
		    t->r < 0 ? why.text : "the host is not in standby");
	cluster_end(t, NULL);
}

static void on_looked(struct cluster_task *t)
{
	struct drain *d = t->drain;
	bool stands = t->r == 0 && drain_is(d, DRAIN_STANDBY);

	if (d->cancelled) {
		cluster_in_pool(t, drain_end_standby, on_cancelled);
	} else if (t->r < 0 || (!d->back && !stands && !d->stood)) {
		wait_for_it(t);
	} else if (!d->back && !stands) {
		t->r = fail(&t->f, -ECANCELED, "the host '%s' was resumed meanwhile", t->gone);
		cluster_end(t, NULL);
	} else {
		t->tries = 0;
		d->stood = stands;
		follow(t);
	}
}

static void on_changed(struct cluster_task *t)
{
	if (t->r < 0 || !t->drain->follows)
		cluster_end(t, NULL);
	else
		look_again(t);
}

/* ---- what the host itself lists ---- */

static void on_listed(struct cluster_task *t)
{
	json_t *vms = json_object_get(t->answer, "vms");

	if (t->r == 0 && json_is_array(vms))
		t->drain->vms = json_incref(vms);
	t->r = 0;
	t->after(t);
}

/* The plan is there; then() when the host has told its VMs, or that it does not. */
static void ask_host(struct cluster_task *t, cluster_then_fn *then)
{
	const struct member *m = members_find(&t->seen, t->gone);
	struct host *h = t->c->host;

	t->after = then;
	if (!guid_equal(&m->host, &h->uuid)) {
		cluster_call(t, &m->peer, "GET", "/v1/vms?limit=1000", NULL, on_listed);
		return;
	}
	t->drain->vms = json_array();
	for (struct list *at = h->vms.next; at != &h->vms; at = at->next)
		json_array_append_new(t->drain->vms,
				      vm_show_short(CONTAINER_OF(at, struct vm, link)));
	then(t);
}

/* ---- a plan ---- */

static const char *way_of(const struct drain *d, const json_t *vm)
{
	const char *way = drain_text(vm, "way");
	const json_t *listed = drain_find(d->vms, drain_text(vm, "name"));

	if (!*way)
		return "stays";
	if (strcmp(way, "stopped") != 0)
		return way;
	return strcmp(drain_text(listed, "stop"), "save") == 0 ? "saved" : "restarted";
}

/* What is the cluster's, wherever it is, is not the host's own. The host is another one: only what
 * could be a VM is shown. */
static json_t *list_own(const struct drain *d)
{
	json_t *own = d->vms ? json_array() : json_null(), *vm;
	size_t i;

	json_array_foreach(d->vms, i, vm)
	{
		if (vm_name_allowed(drain_text(vm, "name")) &&
		    !drain_find(drain_vms(d), drain_text(vm, "name")))
			json_array_append_new(own, json_pack("{s:s, s:s}", "name",
							     drain_text(vm, "name"), "state",
							     drain_text(vm, "state")));
	}
	return own;
}

static void show_plan(struct cluster_task *t)
{
	const struct drain *d = t->drain;
	json_t *going = json_array(), *vm;
	size_t i;

	json_array_foreach(drain_vms(d), i, vm)
	{
		if (strcmp(drain_text(vm, "host"), t->gone) == 0)
			json_array_append_new(going, json_pack("{s:O, s:O, s:s}", "name",
							       json_object_get(vm, "name"), "to",
							       json_object_get(vm, "to"), "way",
							       way_of(d, vm)));
	}
	cluster_end(t, json_pack("{s:s, s:b, s:b, s:o, s:o}", "host", t->gone, "online",
				 drain_is(d, "online"), "drained", drain_is(d, DRAIN_STANDBY),
				 "vms", going, "stay", list_own(d)));
}

static void on_foreseen(struct cluster_task *t)
{
	if (t->r < 0)
		cluster_end(t, NULL);
	else
		ask_host(t, show_plan);
}

/* ---- begun ---- */

/* Who does the same for that host already; NULL: nobody. */
static const struct job *find_job(const struct cluster *c, const char *host, const char *what)
{
	for (const struct list *at = c->drains.next; at != &c->drains; at = at->next) {
		const struct cluster_task *t = CONTAINER_OF(at, struct drain, link)->t;

		if (t->job && strcmp(t->gone, host) == 0 && strcmp(t->job->what, what) == 0)
			return t->job;
	}
	return NULL;
}

/* `what` is the job's; NULL: there is none. */
static int drain_new(struct cluster *c, const char *host, const char *what,
		     struct cluster_task **ret_task, struct failure *f)
{
	const struct members *m = cluster_members(c);
	const struct job *same = what ? find_job(c, host, what) : NULL;
	struct cluster_task *t;
	struct drain *d;

	if (!m || !members_find(m, host))
		return fail(f, -ENOENT,
			    m ? "the cluster has no host '%.80s'"
			      : "this host, and so '%.80s', is in no cluster",
			    host);
	if (same)
		return fail(f, -EBUSY, "that is under way for the host '%s': job %" PRIu64, host,
			    same->id);
	t = cluster_task_new(c);
	d = t ? calloc(1, sizeof(*d)) : NULL;
	if (d && what)
		t->job = job_new(c->host, what, "");
	if (!d || (what && !t->job)) {
		free(d);
		free(t);
		return fail(f, -ENOMEM,
			    "cannot look after the host '%s': out of memory, or too many jobs",
			    host);
	}
	*d = (struct drain){.t = t,
			    .names = json_array(),
			    .told = json_array(),
			    .seen = json_array(),
			    .failures = json_array()};
	list_append(&c->drains, &d->link);
	t->drain = d;
	snprintf(t->gone, sizeof(t->gone), "%s", host);
	*ret_task = t;
	return 0;
}

int drain_plan(struct cluster *c, const char *host, cluster_done_fn *done, void *ctx,
	       struct failure *f)
{
	struct cluster_task *t;
	int r = drain_new(c, host, NULL, &t, f);

	if (r < 0)
		return r;
	t->done = done;
	t->ctx = ctx;
	cluster_in_pool(t, drain_look_ahead, on_foreseen);
	return 0;
}

/* Before anything changes. */
static int check(const struct cluster_task *t, struct failure *f)
{
	const struct drain *d = t->drain;
	json_t *vm;
	size_t i;

	if (d->cancelled)
		return fail(f, -ECANCELED, "it was cancelled");
	if (!drain_is(d, "online"))
		return fail(f, -EBUSY, "the host '%s' is offline: the cluster runs nothing there",
			    t->gone);
	json_array_foreach(drain_vms(d), i, vm)
	{
		const char *name = drain_text(vm, "name");

		if (strcmp(drain_text(vm, "host"), t->gone) == 0 && !t->force &&
		    strcmp(drain_text(vm, "way"), "nowhere") == 0)
			return fail(
				f, -EBUSY,
				"the VM '%s' can run on no other host now: make room on "
				"another one, let it run elsewhere ('oya vm cluster %s "
				"--possible'), or stop it; --force drains the host and stops it",
				name, name);
	}
	return 0;
}

static void tell_own(struct cluster_task *t)
{
	json_t *own = list_own(t->drain), *vm;
	char text[FAIL_TEXT_MAX];
	size_t i;

	if (!json_is_array(own))
		job_log(t->c->host, t->job,
			"the host's oyad does not answer: whether it has VMs that are not the "
			"cluster's is not known");
	json_array_foreach(own, i, vm)
	{
		snprintf(text, sizeof(text),
			 "the VM '%.64s' is not the cluster's and stays on %s: it is %.32s",
			 drain_text(vm, "name"), t->gone, drain_text(vm, "state"));
		job_log(t->c->host, t->job, text);
	}
	json_decref(own);
}

static void on_ready(struct cluster_task *t)
{
	t->r = check(t, &t->f);
	if (t->r < 0) {
		cluster_end(t, NULL);
		return;
	}
	tell_own(t);
	take_leaving(t->drain);
	cluster_in_pool(t, drain_leave, on_changed);
}

static void on_weighed(struct cluster_task *t)
{
	if (t->r < 0)
		cluster_end(t, NULL);
	else
		ask_host(t, on_ready);
}

static void cancel(void *ctx)
{
	struct cluster_task *t = ctx;

	t->drain->cancelled = true;
}

int drain_start(struct cluster *c, const char *host, bool force, struct job **ret_job,
		struct failure *f)
{
	struct cluster_task *t;
	int r = drain_new(c, host, "drain-host", &t, f);

	if (r < 0)
		return r;
	t->force = force;
	t->drain->follows = true;
	t->job->cancel = cancel;
	t->job->ctx = t;
	*ret_job = t->job;
	cluster_in_pool(t, drain_look_ahead, on_weighed);
	return 0;
}

int drain_resume(struct cluster *c, const char *host, bool back, struct job **ret_job,
		 struct failure *f)
{
	struct cluster_task *t;
	int r = drain_new(c, host, "resume-host", &t, f);

	if (r < 0)
		return r;
	t->drain->back = t->drain->follows = back;
	*ret_job = t->job;
	cluster_in_pool(t, drain_come_back, on_changed);
	return 0;
}
