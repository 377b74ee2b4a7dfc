/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Routes of places in the cluster: whether it survives the loss of a host, VMs started where there
 * is room, and balance. */
#include <errno.h>
#include <stdlib.h>

#include "base/util.h"
#include "host/admission.h"
#include "host/api.h"
#include "host/balance.h"
#include "host/cluster.h"
#include "host/rehearsal.h"

struct look {
	struct pool_work work;
	struct http_request *r;
	const char *run;
	json_t *survival;
	int code;
	struct failure f;
};

/* ---- survival ---- */

static void look(struct pool_work *w)
{
	struct look *l = CONTAINER_OF(w, struct look, work);
	struct scene_survival survival;
	struct rehearsal *rehearsal;

	l->code = rehearsal_new(l->run, &rehearsal, &l->f);
	if (l->code < 0)
		return;
	l->code = rehearsal_survive(rehearsal, REHEARSAL_NOW, &survival, &l->f);
	if (l->code == 0) {
		l->survival = scene_tell(&rehearsal->scene, &survival);
		if (!l->survival)
			l->code = fail(&l->f, -ENOMEM, "cannot look at the cluster: out of memory");
	}
	rehearsal_free(rehearsal);
}

static void answer(void *ctx, int code, json_t *body, const struct failure *f)
{
	struct http_request *r = ctx;

	if (code < 0)
		api_fail(r, code, f);
	else
		http_reply(r, &(struct http_reply){.status = 200, .body = body});
}

static void on_looked(struct pool_work *w)
{
	struct look *l = CONTAINER_OF(w, struct look, work);

	answer(l->r, l->code, l->survival, &l->f);
	free(l);
}

void api_get_survival(struct http_request *r, void *owner)
{
	struct api *api = owner;
	struct look *l;
	struct failure f;

	if (!cluster_members(api->host->cluster)) {
		fail(&f, -ENOENT, "this host is in no cluster");
		http_fail(r, 404, &f);
		return;
	}
	l = calloc(1, sizeof(*l));
	http_later(r);
	if (!l) {
		fail(&f, -ENOMEM, "cannot look at the cluster: out of memory");
		api_fail(r, -ENOMEM, &f);
		return;
	}
	*l = (struct look){.r = r, .run = api->host->run};
	l->work = (struct pool_work){.work = look, .done = on_looked, .lane = &api->host->placing};
	pool_submit(api->host->pool, &l->work);
}

/* ---- balance ---- */

void api_plan_balance(struct http_request *r, void *owner)
{
	struct api *api = owner;
	struct failure f;
	int code;

	http_later(r);
	code = balance_plan(api->host, answer, r, &f);
	if (code < 0)
		api_fail(r, code, &f);
}

void api_balance(struct http_request *r, void *owner)
{
	struct api *api = owner;
	struct job *job;
	struct failure f;
	int code = balance_start(api->host, &job, &f);

	if (code < 0)
		api_fail(r, code, &f);
	else
		api_accept(r, job);
}

/* ---- VMs ---- */

static void on_told(void *ctx, const char *sentence)
{
	api_conclude(ctx, sentence, 409);
}

void api_start_in_cluster(struct http_request *r, void *owner)
{
	struct api *api = owner;
	struct failure f;
	bool force;
	int code;

	if (!api_flag(r, "force", &force))
		return;
	http_later(r);
	code = admission_start(api->host, http_param(r, "vm"), force, on_told, r, &f);
	if (code < 0)
		api_fail(r, code, &f);
}

void api_stop_in_cluster(struct http_request *r, void *owner)
{
	struct api *api = owner;
	struct failure f;
	int code;

	http_later(r);
	code = admission_stop(api->host, http_param(r, "vm"), on_told, r, &f);
	if (code < 0)
		api_fail(r, code, &f);
}
