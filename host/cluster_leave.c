/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Hosts that leave, that are taken out, and the end of a cluster. A host that leaves stops its
 * engine first, so that the others take it for gone and not for dead.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "host/cluster_alarms.h"
#include "host/cluster_impl.h"
#include "host/cluster_status.h"
#include "host/coverage.h"
#include "host/rungs.h"

#define TOOL_S 30u
#define SEEN_US UINT64_C(1000000) /* what is no older is new enough for metrics */

static void on_gone(struct cluster_task *t)
{
	if (t->r == 0)
		cluster_adopt(t->c, NULL);
	else
		fencing_resume(t->c->fencing);
	cluster_end(t, NULL);
}

static int stop_engine(struct cluster_task *t)
{
	return engine_stop(t->c->host->run, &t->f);
}

static int start_engine(struct cluster_task *t)
{
	return engine_start(t->c->host->run, &t->f);
}

/* ---- what stands in the way ---- */

const char *cluster_find_active(const json_t *status, const char *host)
{
	json_t *one;
	size_t i;

	json_array_foreach(json_object_get(status, "resources"), i, one)
	{
		const char *where = json_string_value(json_object_get(one, "host"));

		if (where && (!host || strcmp(where, host) == 0))
			return json_string_value(json_object_get(one, "name"));
	}
	return NULL;
}

static int check_drained(const struct cluster_task *t, const char *host, struct failure *f)
{
	const char *name = cluster_find_active(t->answer, host);

	return name ? fail(f, -EBUSY,
			   "the cluster runs '%.64s' %s%.64s: move it ('oya host drain' moves all "
			   "of a host) or stop it, or use --force",
			   name, host ? "on " : "here", host ? host : "")
		    : 0;
}

static int check_dead(const struct cluster_task *t, const char *host, struct failure *f)
{
	json_t *one;
	size_t i;

	if (!json_is_true(json_object_get(t->answer, "quorum")))
		return fail(f, -EBUSY,
			    "the cluster has no quorum here: the hosts on the other side may go "
			    "on; --force if they certainly do not");
	json_array_foreach(json_object_get(t->answer, "members"), i, one)
	{
		const char *name = json_string_value(json_object_get(one, "name"));

		if (!name || strcmp(name, host) != 0)
			continue;
		if (json_is_true(json_object_get(one, "online")))
			return fail(f, -EBUSY,
				    "the host '%s' is online: 'oya cluster leave' there lets it go",
				    host);
		if (json_is_true(json_object_get(one, "unclean")))
			return fail(f, -EBUSY,
				    "the host '%s' is silent and has not been fenced: it may still "
				    "run VMs; --force if it certainly does not",
				    host);
	}
	return 0;
}

/* Their keys would stay, and be a stranger's to the next cluster. */
static int check_disks(const struct cluster_task *t, struct failure *f)
{
	return rungs_devices(t->answer)
		       ? fail(f, -EBUSY,
			      "the cluster has keys at disks: 'oya cluster remove-fencing " RUNGS_RESERVATION
			      "' clears them; --force leaves them")
		       : 0;
}

/* ---- leaving ---- */

static void on_started(struct cluster_task *t)
{
	if (t->r == 0)
		t->f = t->why;
	t->r = -EIO;
	fencing_resume(t->c->fencing);
	cluster_end(t, NULL);
}

static void on_told(struct cluster_task *t)
{
	if (t->r == 0 || t->force) {
		cluster_in_pool(t, cluster_uninstall, on_gone);
		return;
	}
	t->why = t->f;
	cluster_in_pool(t, start_engine, on_started);
}

static void on_stopped(struct cluster_task *t)
{
	if (t->r == 0) {
		cluster_change(t, on_told);
		return;
	}
	fencing_resume(t->c->fencing);
	cluster_end(t, NULL);
}

static void leave(struct cluster_task *t)
{
	if (t->r == 0 && !t->force)
		t->r = check_drained(t, t->gone, &t->f);
	if (t->r == 0 && !t->force && !t->next.count)
		t->r = check_disks(t, &t->f);
	if (t->r < 0 && !t->force) {
		cluster_end(t, NULL);
		return;
	}
	fencing_pause(t->c->fencing);
	if (!t->next.count)
		cluster_in_pool(t, cluster_uninstall, on_gone);
	else
		cluster_in_pool(t, stop_engine, on_stopped);
}

/* ---- taken out ---- */

static void on_removed(struct cluster_task *t)
{
	cluster_end(t, NULL);
}

static void take_out(struct cluster_task *t)
{
	if (t->r == 0 && !t->force)
		t->r = check_dead(t, t->gone, &t->f);
	if (t->r < 0 && !t->force)
		cluster_end(t, NULL);
	else
		cluster_change(t, on_removed);
}

int cluster_remove(struct cluster *c, const char *name, bool force, struct job **ret_job,
		   struct failure *f)
{
	const struct member *gone = c->in ? members_find(&c->members, name) : NULL;
	struct cluster_task *t;

	if (!gone)
		return fail(f, -ENOENT,
			    c->in ? "the cluster has no host '%.80s'"
				  : "this host, and so '%.80s', is in no cluster",
			    name);
	t = cluster_begin(c, "leave-cluster", f);
	if (!t)
		return -EBUSY;
	/* It is there; the list of nobody is for nobody. */
	(void)members_remove(&c->members, name, &t->next, f);
	snprintf(t->gone, sizeof(t->gone), "%s", gone->name);
	t->force = force;
	*ret_job = t->job;
	cluster_in_pool(t, cluster_look,
			guid_equal(&gone->host, &c->host->uuid) ? leave : take_out);
	return 0;
}

/* ---- the end of it ---- */

static void on_all_told(struct cluster_task *t)
{
	cluster_in_pool(t, cluster_uninstall, on_gone);
}

static int check_all(const struct cluster_task *t, struct failure *f)
{
	json_t *one;
	size_t i;

	json_array_foreach(json_object_get(t->answer, "members"), i, one)
	{
		if (!json_is_true(json_object_get(one, "online")))
			return fail(f, -EBUSY,
				    "the host '%.64s' is not online and would keep its part of the "
				    "cluster: --force leaves it so",
				    json_string_value(json_object_get(one, "name")));
	}
	return check_drained(t, NULL, f) < 0 ? -EBUSY : check_disks(t, f);
}

static void destroy(struct cluster_task *t)
{
	if (t->r == 0 && !t->force)
		t->r = check_all(t, &t->f);
	if (t->r < 0 && !t->force)
		cluster_end(t, NULL);
	else
		cluster_change(t, on_all_told);
}

int cluster_destroy(struct cluster *c, bool force, struct job **ret_job, struct failure *f)
{
	const struct member *self = c->in ? members_find_host(&c->members, &c->host->uuid) : NULL;
	struct cluster_task *t;

	if (!self)
		return fail(f, -ENOENT, "this host is in no cluster");
	t = cluster_begin(c, "destroy-cluster", f);
	if (!t)
		return -EBUSY;
	/* A list of this host alone: the others see that they are in it no more. */
	t->next = c->members;
	t->next.number++;
	t->next.count = 1;
	t->next.member[0] = *self;
	t->force = force;
	*ret_job = t->job;
	cluster_in_pool(t, cluster_look, destroy);
	return 0;
}

/* ---- the state of it ---- */

/* What it is told of fencing, and whose storage that cuts off. */
static void look_at_rungs(struct cluster_task *t)
{
	struct failure ignored;
	json_t *rungs;

	if (fencing_read_rungs(&rungs, &ignored) < 0)
		return;
	json_object_set(t->answer, "rungs", json_object_get(rungs, "rungs"));
	json_object_set_new(t->answer, "coverage", coverage_show(rungs));
	json_decref(rungs);
}

/* An engine that does not answer is told by what is missing. */
int cluster_look(struct cluster_task *t)
{
	static const char *const monitor[] = {"/usr/sbin/crm_mon", "--one-shot", "--output-as=xml",
					      "--inactive", NULL};
	static const char *const links[] = {"/usr/sbin/corosync-cfgtool", "-n", NULL};
	static const char *const votes[] = {"/usr/sbin/corosync-quorumtool", "-s", NULL};
	struct failure ignored;
	char *text = NULL;
	int r;

	json_decref(t->answer);
	t->answer = cluster_status_new(&t->seen);
	if (!t->answer)
		return fail(&t->f, -ENOMEM, "cannot look at the cluster: out of memory");
	if (engine_tool(links, TOOL_S, &text, &ignored) == 0)
		cluster_status_take_links(t->answer, text);
	free(text);
	text = NULL;
	if (engine_tool(votes, TOOL_S, &text, &ignored) == 0) /* or there is no quorum */
		cluster_status_take_witness(t->answer, text);
	free(text);
	text = NULL;
	(void)engine_tool(monitor, TOOL_S, &text, &ignored);
	r = cluster_status_take_engine(t->answer, &t->seen, text ? text : "",
				       text ? strlen(text) : 0, &t->f);
	free(text);
	if (r == 0)
		look_at_rungs(t);
	if (r == 0 && json_object_set_new(t->answer, "alarms", cluster_alarms(t->answer)) < 0)
		r = fail(&t->f, -ENOMEM, "cannot look at the cluster: out of memory");
	return r;
}

static void on_looked(struct cluster_task *t)
{
	cluster_end(t, t->r == 0 ? json_incref(t->answer) : NULL);
}

int cluster_status(struct cluster *c, cluster_done_fn *done, void *ctx, struct failure *f)
{
	struct cluster_task *t = c->in ? cluster_task_new(c) : NULL;

	if (!t)
		return c->in ? fail(f, -ENOMEM, "cannot look at the cluster: out of memory")
			     : fail(f, -ENOENT, "this host is in no cluster");
	t->done = done;
	t->ctx = ctx;
	cluster_in_pool(t, cluster_look, on_looked);
	return 0;
}

/* ---- what it was last, for metrics ---- */

static void on_seen(struct cluster_task *t)
{
	struct cluster *c = t->c;

	c->looks = false;
	if (t->r == 0) {
		json_decref(c->seen);
		c->seen = json_incref(t->answer);
		sd_event_now(c->host->event, CLOCK_MONOTONIC, &c->seen_us);
	}
	cluster_end(t, NULL);
}

void cluster_look_again(struct cluster *c, uint64_t now_us)
{
	struct cluster_task *t;

	if (!c || !c->in || c->looks || (c->seen && now_us - c->seen_us < SEEN_US))
		return;
	t = cluster_task_new(c);
	if (!t)
		return;
	c->looks = true;
	cluster_in_pool(t, cluster_look, on_seen);
}

const json_t *cluster_seen(const struct cluster *c, uint64_t *ret_us)
{
	if (!c || !c->in || !c->seen)
		return NULL;
	*ret_us = c->seen_us;
	return c->seen;
}
