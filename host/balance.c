/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/balance.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "host/cluster.h"
#include "host/engine.h"
#include "host/jobs.h"
#include "host/rehearsal.h"
#include "lib/log.h"

#define CRM_RESOURCE "/usr/sbin/crm_resource"
#define MOVES_MAX 32u
#define PATIENCE_S 30u
#define LOOKS_MAX 360u /* of 10 s: the engine's patience with a move */

struct move {
	char vm[VM_NAME_MAX + 1], id[VM_NAME_MAX + 4];
	char from[MEMBERS_NAME_MAX + 1], to[MEMBERS_NAME_MAX + 1];
	uint64_t memory_mib;
	struct failure why;
};

struct balance {
	struct pool_work work;
	struct host *host;
	struct job *job; /* NULL: it is only planned */
	balance_told_fn *told;
	void *ctx;
	struct move move[MOVES_MAX];
	unsigned moves, at, looks;
	bool goes; /* the engine has been told of the move */
	bool cancelled;
	int r;
	struct failure f;
};

/* ---- which moves, in the pool ---- */

static int set(struct rehearsal *r, enum rehearsal_copy which, const char *vm, const char *key,
	       const char *value, struct failure *f)
{
	char id[VM_NAME_MAX + 4];
	const char *const command[] = {
		CRM_RESOURCE, "--resource",        id,    "--meta", "--set-parameter",
		key,          "--parameter-value", value, NULL};

	snprintf(id, sizeof(id), "vm-%s", vm);
	return rehearsal_change(r, which, command, f);
}

/* Where the engine puts one VM when it alone may go, and comes last; -1: nowhere that is worth it.
 */
static int try(struct rehearsal *r, const struct scene_play *base, int vm,
	       struct scene_play *ret_after, int *ret_to, struct failure *f)
{
	const char *name = r->scene.vm[vm].name;
	int code = rehearsal_copy(r, REHEARSAL_NOW, REHEARSAL_THEN, f);

	if (code == 0)
		code = set(r, REHEARSAL_THEN, name, "resource-stickiness", "0", f);
	if (code == 0)
		code = set(r, REHEARSAL_THEN, name, "priority", "-1000", f);
	if (code == 0)
		code = rehearsal_play(r, REHEARSAL_THEN, NULL, ret_after, f);
	if (code == 0)
		*ret_to = scene_judge_move(&r->scene, base, ret_after, vm);
	return code;
}

static void add(struct balance *b, const struct scene *s, const struct scene_play *base, int vm,
		int to)
{
	struct move *m = &b->move[b->moves++];

	*m = (struct move){.memory_mib = s->vm[vm].memory_mib};
	snprintf(m->vm, sizeof(m->vm), "%s", s->vm[vm].name);
	snprintf(m->id, sizeof(m->id), "vm-%s", s->vm[vm].name);
	snprintf(m->from, sizeof(m->from), "%s", s->host[base->at[vm]].name);
	snprintf(m->to, sizeof(m->to), "%s", s->host[to].name);
	scene_tell_move(s, base, vm, (unsigned)to, &m->why);
}

/* One more move, after which the copy is as if it were done; false: there is none. */
static bool step(struct balance *b, struct rehearsal *r, struct scene_play *base)
{
	int vm[SCENE_CANDIDATES_MAX], to = -1;
	struct scene_play after;
	unsigned full, empty, count;

	if (b->moves == MOVES_MAX || !scene_ends(&r->scene, base, &full, &empty))
		return false;
	count = scene_candidates(&r->scene, base, full, empty, vm);
	for (unsigned i = 0; i < count; i++) {
		b->r = try(r, base, vm[i], &after, &to, &b->f);
		if (b->r < 0)
			return false;
		if (to < 0)
			continue;
		add(b, &r->scene, base, vm[i], to);
		b->r = rehearsal_settle(r, REHEARSAL_THEN, &b->f);
		if (b->r == 0)
			b->r = rehearsal_copy(r, REHEARSAL_AFTER, REHEARSAL_NOW, &b->f);
		if (b->r == 0)
			b->r = set(r, REHEARSAL_NOW, r->scene.vm[vm[i]].name, "resource-stickiness",
				   "INFINITY", &b->f);
		*base = after;
		return b->r == 0;
	}
	return false;
}

static void plan(struct pool_work *w)
{
	struct balance *b = CONTAINER_OF(w, struct balance, work);
	struct scene_play base;
	struct rehearsal *r;

	b->r = rehearsal_new(b->host->run, &r, &b->f);
	if (b->r < 0)
		return;
	if (!scene_counts(&r->scene))
		b->r = fail(&b->f, -EBUSY,
			    "the cluster does not look at what VMs need (placement-strategy), or "
			    "not all of its hosts have told it yet what they have");
	if (b->r == 0)
		b->r = rehearsal_play(r, REHEARSAL_NOW, NULL, &base, &b->f);
	while (b->r == 0 && step(b, r, &base))
		;
	rehearsal_free(r);
}

/* ---- a move, in the pool ---- */

/* Whether it has come, once the engine is at rest. */
static int look(const struct move *m, struct failure *f)
{
	const char *const where[] = {CRM_RESOURCE, "--resource", m->id,
				     "--locate",   "--quiet",    NULL};
	char *text;
	int r = engine_tool(where, PATIENCE_S, &text, f);

	if (r < 0)
		return r;
	text[strcspn(text, " \n")] = '\0';
	if (strcmp(text, m->to) != 0)
		r = fail(f, -EIO, "the engine has it on '%.64s'", text);
	free(text);
	return r;
}

/* Again and again until the engine is at rest, so that the daemon can end meanwhile. The engine's
 * own rule for it ends by itself, should nobody be there to take it away. */
static void carry_out(struct pool_work *w)
{
	struct balance *b = CONTAINER_OF(w, struct balance, work);
	const struct move *m = &b->move[b->at];
	const char *const go[] = {CRM_RESOURCE, "--resource",      m->id, "--move", "--node",
				  m->to,        "--lifetime=PT1H", NULL};
	static const char *const rest[] = {CRM_RESOURCE, "--wait", "--timeout=10", NULL};
	const char *const let_go[] = {CRM_RESOURCE, "--resource", m->id, "--clear", NULL};
	struct failure why;

	b->r = b->goes ? 0 : engine_tool(go, PATIENCE_S, NULL, &b->f);
	if (b->r < 0)
		return;
	b->goes = true;
	if (engine_tool(rest, PATIENCE_S, NULL, &why) < 0 && ++b->looks < LOOKS_MAX)
		return;
	b->goes = false;
	b->looks = 0;
	b->r = look(m, &b->f);
	if (engine_tool(let_go, PATIENCE_S, NULL, &why) < 0 && b->r == 0) {
		b->r = -EIO;
		b->f = why;
	}
}

/* ---- on the loop ---- */

static void end(struct balance *b, const char *sentence)
{
	if (sentence)
		log_line(LOG_LEVEL_WARNING, "balance: %s", sentence);
	b->host->balances = false;
	job_end(b->host, b->job, sentence);
	free(b);
}

static void on_carried_out(struct pool_work *w);

static void next(struct balance *b)
{
	if (b->at == b->moves || b->host->ends || (b->cancelled && !b->goes)) {
		end(b, b->at == b->moves ? NULL
		       : b->host->ends   ? "the host service ends"
					 : "it was cancelled; what has moved stays where it is");
		return;
	}
	b->work = (struct pool_work){.work = carry_out, .done = on_carried_out};
	pool_submit(b->host->pool, &b->work);
}

static void on_carried_out(struct pool_work *w)
{
	struct balance *b = CONTAINER_OF(w, struct balance, work);
	const struct move *m = &b->move[b->at];
	char sentence[FAIL_TEXT_MAX];

	if (b->r < 0) {
		snprintf(sentence, sizeof(sentence), "the VM '%s' does not move to %s: %.300s",
			 m->vm, m->to, b->f.text);
		end(b, sentence);
		return;
	}
	if (b->goes) {
		next(b);
		return;
	}
	snprintf(sentence, sizeof(sentence), "%s has moved from %s to %s: %.200s", m->vm, m->from,
		 m->to, m->why.text);
	job_log(b->host, b->job, sentence);
	b->at++;
	job_progress(b->host, b->job, 100 * b->at / b->moves);
	next(b);
}

static void on_planned(struct pool_work *w)
{
	struct balance *b = CONTAINER_OF(w, struct balance, work);

	if (b->r < 0)
		end(b, b->f.text);
	else
		next(b);
}

static void cancel(void *ctx)
{
	struct balance *b = ctx;

	b->cancelled = true;
}

static struct balance *balance_new(struct host *h, struct failure *f)
{
	struct balance *b;

	if (!cluster_members(h->cluster)) {
		fail(f, -ENOENT, "this host is in no cluster");
		return NULL;
	}
	b = calloc(1, sizeof(*b));
	if (b)
		b->host = h;
	else
		fail(f, -ENOMEM, "cannot balance the cluster: out of memory");
	return b;
}

int balance_start(struct host *h, struct job **ret_job, struct failure *f)
{
	struct balance *b;

	if (h->balances)
		return fail(f, -EBUSY, "the cluster is being balanced by this host just now");
	b = balance_new(h, f);
	if (!b)
		return cluster_members(h->cluster) ? -ENOMEM : -ENOENT;
	b->job = job_new(h, "balance-cluster", "");
	if (!b->job) {
		free(b);
		return fail(f, -ENOMEM, "cannot balance the cluster: too many jobs");
	}
	b->job->cancel = cancel;
	b->job->ctx = b;
	h->balances = true;
	*ret_job = b->job;
	b->work = (struct pool_work){.work = plan, .done = on_planned, .lane = &h->placing};
	pool_submit(h->pool, &b->work);
	return 0;
}

/* ---- only told ---- */

static json_t *show(const struct balance *b)
{
	json_t *moves = json_array();

	for (unsigned i = 0; i < b->moves; i++) {
		const struct move *m = &b->move[i];

		json_array_append_new(moves,
				      json_pack("{s:s, s:I, s:s, s:s, s:s}", "vm", m->vm,
						"memory_mib", (json_int_t)m->memory_mib, "from",
						m->from, "to", m->to, "reason", m->why.text));
	}
	return json_pack("{s:o}", "moves", moves);
}

static void on_only_planned(struct pool_work *w)
{
	struct balance *b = CONTAINER_OF(w, struct balance, work);

	b->told(b->ctx, b->r, b->r < 0 ? NULL : show(b), &b->f);
	free(b);
}

int balance_plan(struct host *h, balance_told_fn *told, void *ctx, struct failure *f)
{
	struct balance *b = balance_new(h, f);

	if (!b)
		return cluster_members(h->cluster) ? -ENOMEM : -ENOENT;
	b->told = told;
	b->ctx = ctx;
	b->work = (struct pool_work){.work = plan, .done = on_only_planned, .lane = &h->placing};
	pool_submit(h->pool, &b->work);
	return 0;
}
