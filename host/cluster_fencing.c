/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Disks by which hosts are cut off, added and removed, and tried:
 *
 *	add:    each member that is online is registered at them; then they are reserved for who is;
 *	        then the engine is told. So no write of a host that is let in is refused meanwhile.
 *	remove: the engine is told; each member forgets them; then they are cleared of keys.
 *	try:    a host that runs nothing and has agreed is cut off, tries to write, and is let in
 *	        again.
 *
 * What does not come to its end leaves keys, which the next one finds.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/cluster_impl.h"
#include "host/rungs.h"

#define KEYS "/v1/cluster/keys"
#define CIBADMIN "/usr/sbin/cibadmin"
#define TOOL_S 30u

static const char *self_of(const struct cluster_task *t)
{
	return members_find_host(&t->seen, &t->c->host->uuid)->name;
}

static const json_t *devices_of(const struct cluster_task *t)
{
	return json_object_get(t->facts, "devices");
}

static void end(struct cluster_task *t)
{
	fencing_look_soon(t->c->fencing);
	cluster_end(t, NULL);
}

/* ---- in the pool ---- */

/* Hosts that are to be told: those that are online; the rest finds out when it is back. All, when
 * it does not matter whether they hear it. */
static int find_members(struct cluster_task *t)
{
	json_t *names = json_array(), *one;
	size_t i;
	int r = cluster_look(t);

	if (r == 0 && !json_is_true(json_object_get(t->answer, "quorum")))
		r = fail(&t->f, -EBUSY, "the cluster has no quorum here");
	json_array_foreach(json_object_get(t->answer, "members"), i, one)
	{
		if (t->force || json_is_true(json_object_get(one, "online")))
			json_array_append(names, json_object_get(one, "name"));
	}
	json_object_set_new(t->facts, "told", names);
	return r;
}

/* With what is there already. */
static int prepare_add(struct cluster_task *t)
{
	json_t *wanted = json_object_get(t->facts, "devices"), *rungs, *one;
	int r = find_members(t);
	size_t i;

	if (r == 0)
		r = fencing_read_rungs(&rungs, &t->f);
	if (r < 0)
		return r;
	json_array_foreach(rungs_devices(rungs), i, one)
	{
		if (!rungs_has(wanted, json_string_value(one)))
			json_array_append(wanted, one);
	}
	json_decref(rungs);
	return rungs_check_devices(wanted, &t->f);
}

static int enter(struct cluster_task *t)
{
	return fencing_bring_in(t->c->host->run, &t->seen, self_of(t), devices_of(t), false, &t->f);
}

static int ask_agent(struct cluster_task *t, const char *action, char **ret_text)
{
	const char *plug = json_string_value(json_object_get(t->facts, "plug"));
	const struct fencing_agent a = {.members = &t->seen,
					.self = self_of(t),
					.action = action,
					.plug = plug,
					.devices = devices_of(t)};

	return fencing_ask_agent(&a, ret_text, &t->f);
}

static int reserve(struct cluster_task *t)
{
	char *xml = rungs_encode(&t->seen, devices_of(t));
	const char *const command[] = {CIBADMIN,     "--modify", "--allow-create",
				       "--xml-text", xml,        NULL};
	int r = xml ? ask_agent(t, "register", NULL)
		    : fail(&t->f, -ENOMEM, "cannot tell the engine: out of memory");

	if (r == 0)
		r = engine_tool(command, TOOL_S, NULL, &t->f);
	free(xml);
	return r;
}

static int take_from_engine(struct cluster_task *t)
{
	static const char *const command[] = {CIBADMIN, "--delete", "--xml-text",
					      "<primitive id=\"" RUNGS_RESERVATION "\"/>", NULL};
	int r = find_members(t);
	json_t *rungs;

	if (r == 0)
		r = fencing_read_rungs(&rungs, &t->f);
	if (r < 0)
		return r;
	if (rungs_devices(rungs))
		json_object_set(t->facts, "cleared", rungs_devices(rungs));
	else
		r = fail(&t->f, -ENOENT, "the cluster has no fencing by reservations");
	json_decref(rungs);
	return r < 0 ? r : engine_tool(command, TOOL_S, NULL, &t->f);
}

/* Last, with the key that is there yet; then nobody has one. */
static int clear(struct cluster_task *t)
{
	json_object_set(t->facts, "devices", json_object_get(t->facts, "cleared"));
	return ask_agent(t, "clear", NULL);
}

/* ---- one member after the other ---- */

static void on_told_member(struct cluster_task *t);

static void tell_next(struct cluster_task *t, cluster_then_fn *after)
{
	const json_t *told = json_object_get(t->facts, "told");
	const struct member *m = NULL;

	for (unsigned i = 0; i < t->seen.count; i++) {
		const struct member *one = &t->seen.member[i];

		if (one->id > t->id && rungs_has(told, one->name) && (!m || one->id < m->id) &&
		    !guid_equal(&one->host, &t->c->host->uuid))
			m = one;
	}
	t->after = after;
	if (!m) {
		t->r = 0;
		after(t);
		return;
	}
	t->id = m->id;
	cluster_call(t, &m->peer, "PUT", KEYS, json_pack("{s:O}", "devices", devices_of(t)),
		     on_told_member);
}

static void on_told_member(struct cluster_task *t)
{
	if (t->r < 0 && !t->force) {
		cluster_end(t, NULL);
		return;
	}
	if (t->r < 0) /* it finds out by the engine's configuration */
		job_log(t->c->host, t->job, t->f.text);
	tell_next(t, t->after);
}

/* ---- added ---- */

static void on_all_entered(struct cluster_task *t)
{
	cluster_in_pool(t, reserve, end);
}

static void on_entered(struct cluster_task *t)
{
	if (t->r < 0)
		cluster_end(t, NULL);
	else
		tell_next(t, on_all_entered);
}

static void on_prepared(struct cluster_task *t)
{
	if (t->r < 0)
		cluster_end(t, NULL);
	else
		cluster_in_fencing(t, enter, on_entered);
}

static struct cluster_task *begin(struct cluster *c, const char *what, json_t *facts,
				  struct job **ret_job, struct failure *f)
{
	struct cluster_task *t = NULL;

	if (!facts)
		fail(f, -ENOMEM, "cannot change the cluster: out of memory");
	else if (!c->in)
		fail(f, -ENOENT, "this host is in no cluster");
	else if (!fencing_is_cut(c->fencing, f))
		t = cluster_begin(c, what, f);
	if (!t) {
		json_decref(facts);
		return NULL;
	}
	t->facts = facts;
	*ret_job = t->job;
	return t;
}

int cluster_add_fencing(struct cluster *c, const json_t *devices, struct job **ret_job,
			struct failure *f)
{
	struct cluster_task *t;
	int r = rungs_check_devices(devices, f);

	if (r == 0 && !json_array_size(devices))
		r = fail(f, -EINVAL, "'devices' has no disk");
	if (r < 0)
		return r;
	t = begin(c, "add-fencing", json_pack("{s:o}", "devices", json_deep_copy(devices)), ret_job,
		  f);
	if (!t)
		return -EBUSY;
	cluster_in_pool(t, prepare_add, on_prepared);
	return 0;
}

/* ---- removed ---- */

static void on_all_forgot(struct cluster_task *t)
{
	cluster_in_pool(t, clear, end);
}

static void on_forgot(struct cluster_task *t)
{
	if (t->r < 0)
		end(t);
	else
		tell_next(t, on_all_forgot);
}

static void on_taken(struct cluster_task *t)
{
	if (t->r < 0)
		cluster_end(t, NULL);
	else
		cluster_in_fencing(t, enter, on_forgot);
}

int cluster_remove_fencing(struct cluster *c, const char *name, struct job **ret_job,
			   struct failure *f)
{
	struct cluster_task *t;

	if (strcmp(name, RUNGS_RESERVATION) != 0)
		return fail(f, -ENOENT,
			    "'%.64s' is no fencing that Oya has made: that is '" RUNGS_RESERVATION
			    "'; the engine's own tools remove others",
			    name);
	t = begin(c, "remove-fencing", json_pack("{s:[]}", "devices"), ret_job, f);
	if (!t)
		return -EBUSY;
	t->force = true;
	cluster_in_pool(t, take_from_engine, on_taken);
	return 0;
}

/* ---- a member says where this host is to be let in ---- */

static void on_keys(struct cluster_task *t)
{
	end(t);
}

int cluster_take_keys(struct cluster *c, const json_t *devices, cluster_done_fn *done, void *ctx,
		      struct failure *f)
{
	struct cluster_task *t;
	int r = rungs_check_devices(devices, f);

	if (r < 0)
		return r;
	if (!c->in)
		return fail(f, -ENOENT, "this host is in no cluster");
	if (fencing_is_cut(c->fencing, f))
		return -EBUSY;
	t = cluster_task_new(c);
	if (t)
		t->facts = json_pack("{s:o}", "devices", json_deep_copy(devices));
	if (!t || !t->facts) {
		free(t);
		return fail(f, -ENOMEM, "cannot take the keys: out of memory");
	}
	t->done = done;
	t->ctx = ctx;
	cluster_in_fencing(t, enter, on_keys);
	return 0;
}
