/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fencing tried at a host that runs nothing of the cluster:
 *
 *	asks the host       the host
 *	begin          ->   it is let in nowhere as far as it knows, and starts no VM
 *	cut it off
 *	end            ->   each disk has to refuse a write of nothing; let in again; each has to
 *	                    take one
 *	the engine keeps what has come out
 *
 * Or, where the rungs cut the power, the engine is asked to boot it. An asker that dies leaves a
 * host that is let in again by itself after a while.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/util.h"
#include "host/cluster_impl.h"
#include "host/rungs.h"

#define TRIAL "/v1/cluster/trial"
#define TOOL_S 30u
#define POWER_S 300u /* a host's power off and on */

/* ---- the host that is tried ---- */

static const json_t *devices_of(const struct cluster_task *t)
{
	return json_object_get(t->facts, "devices");
}

/* All of them have to be on that side. */
static int try_write(struct cluster_task *t, const char *self, enum fencing_side wanted)
{
	const struct fencing_agent a = {
		.members = &t->seen, .self = self, .action = "try", .devices = devices_of(t)};
	struct fencing_line l;
	char *text, *at;
	size_t seen = 0;
	int r = fencing_ask_agent(&a, &text, &t->f);

	if (r < 0)
		return r;
	at = text;
	while (r == 0 && fencing_next_line(&at, &l)) {
		seen++;
		if (l.side == FENCING_UNKNOWN)
			r = fail(&t->f, -EIO, "%s", l.why);
		else if (l.side != wanted)
			r = fail(&t->f, -EIO, "%s %s", l.device,
				 wanted == FENCING_OUT
					 ? "still takes writes of the host that was cut off"
					 : "refuses writes of the host that was let in again");
	}
	free(text);
	if (r == 0 && seen != json_array_size(devices_of(t)))
		r = fail(&t->f, -EIO, "the agent has not told of all disks");
	return r;
}

/* It is let in again in any case. */
static int end_trial(struct cluster_task *t)
{
	const char *self = members_find_host(&t->seen, &t->c->host->uuid)->name;
	int r = try_write(t, self, FENCING_OUT), b;
	struct failure why = t->f;

	b = fencing_bring_in(t->c->host->run, &t->seen, self, devices_of(t), true, &t->f);
	if (b == 0 && r == 0)
		return try_write(t, self, FENCING_IN);
	if (r < 0)
		t->f = why;
	return r < 0 ? r : b;
}

static int begin_trial(struct cluster_task *t)
{
	const char *self = members_find_host(&t->seen, &t->c->host->uuid)->name;
	json_t *none = json_array();
	int r = fencing_bring_in(t->c->host->run, &t->seen, self, none, false, &t->f);

	json_decref(none);
	return r;
}

static void on_trial_ended(struct cluster_task *t)
{
	json_t *answer = json_pack("{s:b, s:s?}", "passed", t->r == 0, "reason",
				   t->r < 0 ? t->f.text : NULL);

	t->r = 0;
	fencing_resume(t->c->fencing);
	cluster_end(t, answer);
}

static void on_trial_begun(struct cluster_task *t)
{
	if (t->r < 0)
		fencing_resume(t->c->fencing);
	cluster_end(t, NULL);
}

int cluster_take_trial(struct cluster *c, const json_t *devices, bool ends, cluster_done_fn *done,
		       void *ctx, struct failure *f)
{
	struct cluster_task *t;
	int r = rungs_check_devices(devices, f);

	if (r == 0 && !c->in)
		r = fail(f, -ENOENT, "this host is in no cluster");
	if (r == 0)
		r = fencing_begin_trial(c->fencing, ends, f);
	if (r < 0)
		return r;
	t = cluster_task_new(c);
	if (t)
		t->facts = json_pack("{s:o}", "devices", json_deep_copy(devices));
	if (!t || !t->facts) {
		free(t);
		return fail(f, -ENOMEM, "cannot try fencing: out of memory");
	}
	t->done = done;
	t->ctx = ctx;
	cluster_in_fencing(t, ends ? end_trial : begin_trial,
			   ends ? on_trial_ended : on_trial_begun);
	return 0;
}

/* ---- the one that asks ---- */

static const char *rung_kind(const json_t *rung)
{
	return json_string_value(json_object_get(rung, "kind"));
}

static int choose_rungs(struct cluster_task *t, const json_t *rungs)
{
	const json_t *list = json_object_get(rungs, "rungs");
	bool power = false;
	json_t *rung;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)list, i, rung)
	{
		power |= strcmp(rung_kind(rung), "power") == 0;
	}
	json_object_set(t->facts, "rungs", (json_t *)(uintptr_t)list);
	if (t->force && !power)
		return fail(&t->f, -ENOENT, "the cluster has no fencing by power");
	if (t->force && rungs_devices(rungs))
		return fail(&t->f, -EBUSY,
			    "the engine chooses among the rungs itself, and would cut '%s' off its "
			    "disks alone: remove '" RUNGS_RESERVATION
			    "' first, try the power, and add it again",
			    t->gone);
	if (!t->force && !rungs_devices(rungs))
		return fail(&t->f, -ENOENT,
			    "the cluster has no fencing by reservations; 'power' tries that by "
			    "power, which boots the host");
	if (!t->force)
		json_object_set(t->facts, "devices", rungs_devices(rungs));
	return 0;
}

static int prepare(struct cluster_task *t)
{
	const char *busy;
	json_t *rungs, *one;
	bool online = false;
	size_t i;
	int r = cluster_look(t);

	json_array_foreach(json_object_get(t->answer, "members"), i, one)
	{
		const char *name = json_string_value(json_object_get(one, "name"));

		if (name && strcmp(name, t->gone) == 0)
			online = json_is_true(json_object_get(one, "online"));
	}
	busy = r == 0 ? cluster_find_active(t->answer, t->gone) : NULL;
	if (busy)
		r = fail(&t->f, -EBUSY, "the cluster runs '%.64s' on %s: drain that host first",
			 busy, t->gone);
	else if (r == 0 && !online)
		r = fail(&t->f, -EBUSY, "the host '%s' is not online", t->gone);
	if (r == 0)
		r = fencing_read_rungs(&rungs, &t->f);
	if (r < 0)
		return r;
	r = choose_rungs(t, rungs);
	json_decref(rungs);
	return r;
}

/* Kept by each rung that was tried. */
static int keep(struct cluster_task *t)
{
	const json_t *list = json_object_get(t->facts, "rungs");
	char text[FAIL_TEXT_MAX];
	json_t *rung;
	size_t i;
	int r;

	r = rungs_write_test(text, sizeof(text), time(NULL), t->gone,
			     t->why.text[0] ? t->why.text : NULL);
	json_array_foreach((json_t *)(uintptr_t)list, i, rung)
	{
		const char *const command[] = {"/usr/sbin/crm_resource",
					       "--resource",
					       json_string_value(json_object_get(rung, "name")),
					       "--meta",
					       "--set-parameter",
					       RUNGS_TESTED,
					       "--parameter-value",
					       text,
					       NULL};

		if (r == 0 && strcmp(rung_kind(rung), t->force ? "power" : "reservation") == 0)
			r = engine_tool(command, TOOL_S, NULL, &t->f);
	}
	return r;
}

static void on_kept(struct cluster_task *t)
{
	if (t->r == 0 && t->why.text[0])
		t->r = fail(&t->f, -EIO, "fencing of '%s' does not work: %.400s", t->gone,
			    t->why.text);
	cluster_end(t, NULL);
}

static void on_ended(struct cluster_task *t)
{
	const char *reason = json_string_value(json_object_get(t->answer, "reason"));

	if (!t->why.text[0] && (t->r < 0 || !json_is_true(json_object_get(t->answer, "passed"))))
		fail(&t->why, -EIO, "%.400s", t->r < 0 ? t->f.text : reason ? reason : "it failed");
	cluster_in_pool(t, keep, on_kept);
}

static void call_trial(struct cluster_task *t, bool ends, cluster_then_fn *then)
{
	const struct member *m = members_find(&t->seen, t->gone);

	cluster_call(t, &m->peer, "POST", TRIAL,
		     json_pack("{s:O, s:b}", "devices", devices_of(t), "ends", ends), then);
}

static void on_cut(struct cluster_task *t)
{
	if (t->r < 0)
		t->why = t->f;
	call_trial(t, true, on_ended);
}

static int cut(struct cluster_task *t)
{
	const struct fencing_agent a = {
		.members = &t->seen,
		.self = members_find_host(&t->seen, &t->c->host->uuid)->name,
		.action = "off",
		.plug = t->gone,
		.devices = devices_of(t)};

	return fencing_ask_agent(&a, NULL, &t->f);
}

static void on_begun(struct cluster_task *t)
{
	if (t->r < 0)
		cluster_end(t, NULL);
	else
		cluster_in_pool(t, cut, on_cut);
}

static int boot(struct cluster_task *t)
{
	const char *const command[] = {"/usr/sbin/stonith_admin", "--reboot", t->gone, NULL};

	return engine_tool(command, POWER_S, NULL, &t->f);
}

static void on_booted(struct cluster_task *t)
{
	if (t->r < 0)
		t->why = t->f;
	cluster_in_pool(t, keep, on_kept);
}

static void on_prepared(struct cluster_task *t)
{
	if (t->r < 0)
		cluster_end(t, NULL);
	else if (t->force)
		cluster_in_pool(t, boot, on_booted);
	else
		call_trial(t, false, on_begun);
}

int cluster_test_fencing(struct cluster *c, const char *host, bool power, struct job **ret_job,
			 struct failure *f)
{
	const struct member *m = c->in ? members_find(&c->members, host) : NULL;
	struct cluster_task *t;

	if (!m)
		return fail(f, -ENOENT, "the cluster has no host '%.80s'", host);
	if (guid_equal(&m->host, &c->host->uuid))
		return fail(f, -EINVAL, "a host does not cut itself off: ask another one");
	t = cluster_begin(c, "test-fencing", f);
	if (!t)
		return -EBUSY;
	t->facts = json_object();
	t->force = power; /* the host boots */
	snprintf(t->gone, sizeof(t->gone), "%s", m->name);
	*ret_job = t->job;
	cluster_in_pool(t, prepare, on_prepared);
	return 0;
}
