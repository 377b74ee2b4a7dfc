/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/stay.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/util.h"
#include "host/cluster.h"
#include "host/clustered.h"
#include "host/engine.h"
#include "host/host.h"
#include "lib/log.h"

#define AFTER_US 60000000u
#define PATIENCE_S 60u

struct forgetting {
	struct pool_work work;
	struct crm_question question;
	struct host *host;
	struct guid guid;
	char name[VM_NAME_MAX + 1], id[VM_NAME_MAX + 4], self[MEMBERS_NAME_MAX + 1];
	int r;
	struct failure f;
};

static void forget(struct pool_work *w)
{
	struct forgetting *g = CONTAINER_OF(w, struct forgetting, work);
	const char *const command[] = {"/usr/sbin/crm_resource",
				       "--cleanup",
				       "--resource",
				       g->id,
				       "--operation",
				       "migrate_to",
				       "--interval",
				       "0",
				       NULL};

	g->r = engine_tool(command, PATIENCE_S, NULL, &g->f);
}

static void on_forgotten(struct pool_work *w)
{
	struct forgetting *g = CONTAINER_OF(w, struct forgetting, work);

	if (g->r < 0)
		log_line(LOG_LEVEL_WARNING,
			 "the engine may leave %s alone since a move has failed, until "
			 "'crm_resource --cleanup --resource %s': %s",
			 g->id, g->id, g->f.text);
	free(g);
}

static void on_stopped(void *ctx, const char *sentence)
{
	struct forgetting *g = ctx;

	if (sentence)
		log_line(LOG_LEVEL_WARNING, "%s", sentence);
	g->work = (struct pool_work){.work = forget, .done = on_forgotten};
	pool_submit(g->host->pool, &g->work);
}

/* The engine would wait for it, and the host for the engine. */
static void on_answer(struct crm_question *q, int r, const struct crm_view *view,
		      const struct failure *f)
{
	struct forgetting *g = CONTAINER_OF(q, struct forgetting, question);
	struct failure why;

	(void)f;
	if (r < 0 || !view->leaves) {
		on_stopped(g, NULL);
		return;
	}
	log_line(LOG_LEVEL_WARNING,
		 "the VM '%s' was not moved, and this host leaves: it is stopped, and starts on "
		 "another",
		 g->name);
	if (clustered_stop(g->host, g->name, &g->guid, on_stopped, g, &why) < 0)
		on_stopped(g, why.text);
}

static int on_time(sd_event_source *source, uint64_t us, void *ctx)
{
	struct vm *vm = ctx;
	const struct members *all = cluster_members(vm->host->cluster);
	const struct member *self = all ? members_find_host(all, &vm->host->uuid) : NULL;
	struct forgetting *g = self ? calloc(1, sizeof(*g)) : NULL;

	(void)source;
	(void)us;
	vm->stay = sd_event_source_disable_unref(vm->stay);
	if (!g)
		return 0;
	g->host = vm->host;
	g->guid = vm->settings->uuid;
	snprintf(g->name, sizeof(g->name), "%s", vm->name);
	snprintf(g->id, sizeof(g->id), "vm-%s", vm->name);
	snprintf(g->self, sizeof(g->self), "%s", self->name);
	g->question = (struct crm_question){.host = g->self, .done = on_answer};
	crm_ask(&vm->host->crm, &g->question);
	return 0;
}

void stay_begin(struct vm *vm)
{
	vm->stay = sd_event_source_disable_unref(vm->stay);
	(void)sd_event_add_time_relative(vm->host->event, &vm->stay, CLOCK_MONOTONIC, AFTER_US, 0,
					 on_time, vm);
}
