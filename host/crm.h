/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the cluster engine (Pacemaker) says of the hosts of its cluster, by its program crm_mon.
 *
 * Trust: the engine decides; its words are bounded and decoded all the same.
 *
 * Threads: the loop's; the program is run in the pool. What decodes is pure.
 */
#ifndef OYA_HOST_CRM_H
#define OYA_HOST_CRM_H

#include <stdbool.h>
#include <stddef.h>

#include "base/list.h"
#include "lib/fail.h"
#include "lib/pool.h"

struct crm_view {
	bool decides; /* it has a coordinator and a quorum */
	bool fences;  /* it is set up to cut off a silent host */
	bool known;   /* the host is of its cluster */
	bool online;
	bool unclean; /* silent, and not cut off yet */
	bool leaves;  /* in order: its engine ends once nothing runs there */
};

/* The XML of crm_mon, as to one host. 0, or -errno and the sentence. */
int crm_decode(const char *text, size_t len, const char *host, struct crm_view *ret_view,
	       struct failure *f);

/* Whether the host certainly runs nothing: it was fenced, or has left. 0; -EBUSY and why not. */
int crm_judge(const struct crm_view *view, struct failure *f);

/* ---- asked ---- */

/* The caller's, until done() is called. */
struct crm_question {
	struct list link;
	const char *host;
	/* r: 0 and the view; or -errno and the sentence. */
	void (*done)(struct crm_question *q, int r, const struct crm_view *view,
		     const struct failure *f);
};

/* The questions of a host. Those that wait are answered by one run of the program, which begins
 * after they were asked. */
struct crm {
	struct pool *pool;
	struct pool_work work;
	struct list waiting, asked;
	bool runs;
	char *text;
	int r;
	struct failure f;
};

void crm_init(struct crm *crm, struct pool *pool);
void crm_ask(struct crm *crm, struct crm_question *q);

#endif
