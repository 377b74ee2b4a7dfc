/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/steer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/util.h"
#include "host/cluster.h"
#include "host/engine.h"
#include "host/host.h"
#include "lib/log.h"

#define CRM_RESOURCE "/usr/sbin/crm_resource"
#define PATIENCE_S 30u
#define LASTS "--lifetime=PT2H10M" /* the engine's wish to have it there */
#define MOST_S 7200
/* One look at whether the engine has done all, so that the daemon's end waits no longer for one. */
#define LOOK "--timeout=3"
#define LOOK_S 2
#define LOOK_PATIENCE_S 20u

struct steering {
	struct pool_work work;
	struct host *host;
	struct job *job;
	const struct migrate_wish *wish; /* the VM's, as long as that is here */
	char name[VM_NAME_MAX + 1], id[VM_NAME_MAX + 4], node[VM_NAME_MAX + 1];
	bool asked, over;
	int64_t until_s;
	int r;
	struct failure f;
};

static int64_t now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec;
}

/* ---- in the pool ---- */

/* Where the engine has it in the end. */
static int judge(struct steering *s)
{
	const char *const command[] = {CRM_RESOURCE, "--resource", s->id,
				       "--locate",   "--quiet",    NULL};
	char *text, *others;
	int r = engine_tool(command, PATIENCE_S, &text, &s->f);

	if (r < 0)
		return r;
	others = text + strcspn(text, "\n");
	others += strspn(others, "\n");
	text[strcspn(text, " \n")] = '\0';
	if (*others) /* a move that failed may have left it on both, to the engine: host/stay.h */
		r = fail(
			&s->f, -EIO,
			"the move has failed, and it runs on where it was; 'crm_mon -1rf' shows why");
	else if (strcmp(text, s->node) != 0)
		r = fail(&s->f, -EIO, "the engine has it on '%.80s'; 'crm_mon -1rf' shows why",
			 text);
	free(text);
	return r;
}

static int ask(struct steering *s)
{
	const char *const move[] = {CRM_RESOURCE, "--resource", s->id, "--move",
				    "--node",     s->node,      LASTS, NULL};

	s->asked = true;
	s->until_s = now_s() + MOST_S;
	return engine_tool(move, PATIENCE_S, NULL, &s->f);
}

/* 0: all is done; -EAGAIN: not yet. */
static int look(struct steering *s)
{
	static const char *const settle[] = {CRM_RESOURCE, "--wait", LOOK, NULL};
	int64_t began_s = now_s();
	int r = engine_tool(settle, LOOK_PATIENCE_S, NULL, &s->f);

	return r < 0 && now_s() - began_s >= LOOK_S && now_s() < s->until_s ? -EAGAIN : r;
}

static void work(struct pool_work *w)
{
	struct steering *s = CONTAINER_OF(w, struct steering, work);
	const char *const clear[] = {CRM_RESOURCE, "--resource", s->id, "--clear",
				     "--node",     s->node,      NULL};
	struct failure f;

	s->r = s->asked ? 0 : ask(s);
	if (s->r == 0)
		s->r = look(s);
	s->over = s->r != -EAGAIN;
	if (s->r == 0)
		s->r = judge(s);
	if (s->over && engine_tool(clear, PATIENCE_S, NULL, &f) < 0)
		log_line(LOG_LEVEL_WARNING, "the VM '%s' stays bound to %s for two hours: %s",
			 s->name, s->node, f.text);
}

/* ---- on the loop ---- */

/* The move itself was a job of its own: what it tells of itself is of this one too. */
static void take_details(struct steering *s)
{
	const struct job *move = NULL;

	for (struct list *l = s->job->link.next; l != &s->host->jobs; l = l->next) {
		const struct job *job = CONTAINER_OF(l, struct job, link);

		if (job->details && strcmp(job->what, "migrate") == 0 &&
		    strcmp(job->vm, s->name) == 0)
			move = job;
	}
	if (move)
		job_details(s->host, s->job, json_incref(move->details));
}

static void done(struct pool_work *w)
{
	struct steering *s = CONTAINER_OF(w, struct steering, work);
	struct vm *vm = host_find(s->host, s->name);
	char sentence[FAIL_TEXT_MAX];

	if (!s->over && !s->host->ends) {
		pool_submit(s->host->pool, &s->work);
		return;
	}
	/* It may have gone, and come back to be sent on. */
	if (vm && vm->steered == s->wish) {
		free(vm->steered);
		vm->steered = NULL;
	}
	take_details(s);
	snprintf(sentence, sizeof(sentence), "the VM '%s' has not moved to %s: %.300s", s->name,
		 s->node, s->f.text);
	job_end(s->host, s->job, s->r < 0 ? sentence : NULL);
	free(s);
}

static int check(const struct vm *vm, const char *node, struct failure *f)
{
	struct peer peer;
	int r = cluster_peer(vm->host->cluster, node, &peer, f);

	explicit_bzero(&peer, sizeof(peer));
	if (r < 0)
		return r;
	if (vm->steered || vm->migration)
		return fail(f, -EBUSY, "the VM '%s' is on its way to another host already",
			    vm->name);
	if (vm->life != VM_RUNNING && vm->life != VM_PAUSED)
		return fail(f, -EBUSY, "the VM '%s' is %s; the cluster moves those that run",
			    vm->name, vm_life_label(vm));
	return 0;
}

int steer_start(struct vm *vm, const char *node, const struct migrate_wish *w, struct job **ret_job,
		struct failure *f)
{
	int r = check(vm, node, f);
	struct steering *s = r == 0 ? calloc(1, sizeof(*s)) : NULL;
	struct migrate_wish *wish = s ? malloc(sizeof(*wish)) : NULL;

	if (r < 0)
		return r;
	if (wish)
		s->job = job_new(vm->host, "cluster-move", vm->name);
	if (!wish || !s->job) {
		free(wish);
		free(s);
		return fail(f, -ENOMEM, "cannot move the VM '%s': out of memory", vm->name);
	}
	*wish = *w;
	vm->steered = wish;
	s->wish = wish;
	s->host = vm->host;
	s->work = (struct pool_work){.work = work, .done = done};
	snprintf(s->name, sizeof(s->name), "%s", vm->name);
	snprintf(s->id, sizeof(s->id), "vm-%s", vm->name);
	snprintf(s->node, sizeof(s->node), "%s", node);
	*ret_job = s->job;
	pool_submit(vm->host->pool, &s->work);
	return 0;
}

void steer_take(struct vm *vm, struct migrate_wish *ret_wish)
{
	if (vm->steered)
		*ret_wish = *vm->steered;
	else
		*ret_wish = (struct migrate_wish){.connections = 1};
}
