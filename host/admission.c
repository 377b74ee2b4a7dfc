/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/admission.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/util.h"
#include "host/cluster.h"
#include "host/engine.h"
#include "host/rehearsal.h"

#define PATIENCE_S 30u

struct order {
	struct pool_work work;
	struct host *host;
	char name[VM_NAME_MAX + 1];
	bool runs, force;
	int r;
	struct failure f;
	vm_done_fn *done;
	void *ctx;
};

/* ---- in the pool ---- */

static int change(struct rehearsal *r, const struct admission *a, struct failure *f)
{
	struct failure ignored;
	int code = rehearsal_copy(r, REHEARSAL_NOW, REHEARSAL_THEN, f);

	if (code == 0 && a->before)
		(void)rehearsal_change(r, REHEARSAL_THEN, a->before, &ignored);
	if (code == 0)
		code = rehearsal_change(r, REHEARSAL_THEN, a->change, f);
	if (code == 0 && a->found)
		code = rehearsal_find(r, REHEARSAL_THEN, a->found, f);
	return code < 0 ? code : rehearsal_look(r, REHEARSAL_THEN, f);
}

int admission_ask(const struct admission *a, struct failure *f)
{
	struct scene_survival before, after;
	struct rehearsal *r;
	int code = rehearsal_new(a->run, &r, f);

	if (code < 0)
		return code;
	if (scene_counts(&r->scene) && r->scene.fences) {
		code = change(r, a, f);
		if (code == 0)
			code = rehearsal_survive(r, REHEARSAL_NOW, &before, f);
		if (code == 0)
			code = rehearsal_survive(r, REHEARSAL_THEN, &after, f);
		if (code == 0)
			code = scene_admit(&r->scene, &before, &after, a->force, f);
	}
	rehearsal_free(r);
	return code;
}

static void tell(struct pool_work *w)
{
	struct order *o = CONTAINER_OF(w, struct order, work);
	char id[VM_NAME_MAX + 4];
	const char *const command[] = {"/usr/sbin/crm_resource",
				       "--resource",
				       id,
				       "--meta",
				       "--set-parameter",
				       "target-role",
				       "--parameter-value",
				       o->runs ? "Started" : "Stopped",
				       NULL};
	const struct admission a = {.run = o->host->run, .change = command, .force = o->force};

	snprintf(id, sizeof(id), "vm-%s", o->name);
	o->r = o->runs ? admission_ask(&a, &o->f) : 0;
	if (o->r == 0)
		o->r = engine_tool(command, PATIENCE_S, NULL, &o->f);
}

/* ---- on the loop ---- */

static void on_told(struct pool_work *w)
{
	struct order *o = CONTAINER_OF(w, struct order, work);
	char sentence[FAIL_TEXT_MAX];

	snprintf(sentence, sizeof(sentence), "the cluster cannot %s the VM '%s': %.380s",
		 o->runs ? "start" : "stop", o->name, o->f.text);
	o->done(o->ctx, o->r < 0 ? sentence : NULL);
	free(o);
}

static int begin(struct host *h, const struct order *wish, const char *name, struct failure *f)
{
	struct order *o;

	if (!cluster_members(h->cluster))
		return fail(f, -ENOENT, "this host is in no cluster");
	if (!vm_name_allowed(name))
		return fail(f, -EINVAL, "'%.80s' is no name of a VM", name);
	o = calloc(1, sizeof(*o));
	if (!o)
		return fail(f, -ENOMEM, "cannot tell the cluster of the VM '%s': out of memory",
			    name);
	*o = *wish;
	o->host = h;
	o->work = (struct pool_work){.work = tell, .done = on_told, .lane = &h->placing};
	snprintf(o->name, sizeof(o->name), "%s", name);
	pool_submit(h->pool, &o->work);
	return 0;
}

int admission_start(struct host *h, const char *name, bool force, vm_done_fn *done, void *ctx,
		    struct failure *f)
{
	const struct order o = {.runs = true, .force = force, .done = done, .ctx = ctx};

	return begin(h, &o, name, f);
}

int admission_stop(struct host *h, const char *name, vm_done_fn *done, void *ctx, struct failure *f)
{
	const struct order o = {.done = done, .ctx = ctx};

	return begin(h, &o, name, f);
}
