/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A host that its VMs leave, and to which they come back (docs/design/drain.md). The engine moves
 * them and keeps the state: the host's attribute `standby`. A job here only follows.
 *
 *	drain:  what would be done -> the host in standby -> followed until the engine has no more
 *	resume: [VMs that were drained are drawn back ->] standby ends [-> followed -> let go of]
 *
 * Invariants:
 *  1. no VM is stopped for good by it unless forced: a host with one that can go nowhere is refused
 *     before anything changes;
 *  2. a job that ends early, with its daemon say, leaves the engine to go on.
 *
 * Threads: the loop's; the engine is asked in the pool.
 */
#ifndef OYA_HOST_DRAIN_H
#define OYA_HOST_DRAIN_H

#include <stdbool.h>

#include "host/cluster.h"

struct drain;

/* What would be done (docs/api: Drain). 0: done() follows; or -errno and the sentence. */
int drain_plan(struct cluster *c, const char *host, cluster_done_fn *done, void *ctx,
	       struct failure *f);

/* force: VMs that can go nowhere are stopped. A job, or -errno and the sentence. */
int drain_start(struct cluster *c, const char *host, bool force, struct job **ret_job,
		struct failure *f);
/* back: VMs that left come back now, and not only as each one's settings say. The same. */
int drain_resume(struct cluster *c, const char *host, bool back, struct job **ret_job,
		 struct failure *f);

/* NULL is fine. */
void drain_free(struct drain *d);

#endif
