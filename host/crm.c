/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/crm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "host/engine.h"
#include "lib/xml.h"

#define PATIENCE_S 15u

/* ---- its words ---- */

struct look {
	const char *host;
	struct crm_view view;
};

static void on_element(void *ctx, const char *path, const char **attributes)
{
	struct look *l = ctx;
	const char *name;

	if (strcmp(path, "/pacemaker-result/summary/current_dc") == 0) {
		l->view.decides = xml_is_true(attributes, "present") &&
				  xml_is_true(attributes, "with_quorum");
	} else if (strcmp(path, "/pacemaker-result/summary/cluster_options") == 0) {
		l->view.fences = xml_is_true(attributes, "stonith-enabled");
	} else if (strcmp(path, "/pacemaker-result/nodes/node") == 0) {
		name = xml_attribute(attributes, "name");
		if (!name || strcmp(name, l->host) != 0)
			return;
		l->view.known = true;
		/* What is on its way in or out is there. */
		l->view.online |= !xml_attribute(attributes, "online") ||
				  xml_is_true(attributes, "online") ||
				  xml_is_true(attributes, "pending");
		l->view.leaves |= xml_is_true(attributes, "shutdown");
		l->view.unclean |=
			!xml_attribute(attributes, "unclean") || xml_is_true(attributes, "unclean");
	}
}

static void on_end(void *ctx, const char *path, const char *text)
{
	(void)ctx;
	(void)path;
	(void)text;
}

int crm_decode(const char *text, size_t len, const char *host, struct crm_view *ret_view,
	       struct failure *f)
{
	static const struct xml_calls calls = {.begin = on_element, .end = on_end};
	struct look l = {.host = host};
	int r = xml_parse(text, len, &calls, &l, "the status of the cluster", f);

	if (r == 0)
		*ret_view = l.view;
	return r;
}

int crm_judge(const struct crm_view *view, struct failure *f)
{
	if (!view->decides)
		return fail(f, -EBUSY, "the cluster has no quorum or no coordinator here");
	if (!view->fences)
		return fail(f, -EBUSY,
			    "fencing is off in the cluster (stonith-enabled), so that nobody knows "
			    "what it does");
	if (!view->known)
		return fail(f, -EBUSY, "the cluster knows no host of this name");
	if (view->online)
		return fail(f, -EBUSY, "it is online");
	if (view->unclean)
		return fail(f, -EBUSY, "it is silent and has not been fenced");
	return 0;
}

/* ---- questions ---- */

static void ask(struct pool_work *w)
{
	static const char *const command[] = {"/usr/sbin/crm_mon", "--one-shot", "--output-as=xml",
					      "--include=none,summary,options,nodes", NULL};
	struct crm *crm = CONTAINER_OF(w, struct crm, work);

	crm->r = engine_tool(command, PATIENCE_S, &crm->text, &crm->f);
}

static void answer(const struct crm *crm, struct crm_question *q)
{
	struct failure f = crm->f;
	struct crm_view view;
	int r = crm->r;

	if (r == 0)
		r = crm_decode(crm->text, strlen(crm->text), q->host, &view, &f);
	q->done(q, r, &view, &f);
}

static void begin(struct crm *crm);

static void on_told(struct pool_work *w)
{
	struct crm *crm = CONTAINER_OF(w, struct crm, work);

	while (!list_empty(&crm->asked)) {
		struct crm_question *q = CONTAINER_OF(crm->asked.next, struct crm_question, link);

		list_remove(&q->link);
		answer(crm, q);
	}
	free(crm->text);
	crm->text = NULL;
	crm->runs = false;
	if (!list_empty(&crm->waiting))
		begin(crm);
}

static void begin(struct crm *crm)
{
	while (!list_empty(&crm->waiting)) {
		struct list *first = crm->waiting.next;

		list_remove(first);
		list_append(&crm->asked, first);
	}
	crm->runs = true;
	crm->work = (struct pool_work){.work = ask, .done = on_told};
	pool_submit(crm->pool, &crm->work);
}

void crm_init(struct crm *crm, struct pool *pool)
{
	*crm = (struct crm){.pool = pool};
	list_init(&crm->waiting);
	list_init(&crm->asked);
}

void crm_ask(struct crm *crm, struct crm_question *q)
{
	list_append(&crm->waiting, &q->link);
	if (!crm->runs)
		begin(crm);
}
