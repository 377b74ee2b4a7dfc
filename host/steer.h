/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VMs of the cluster that their user sends to another host (docs/design/cluster.md): the engine is
 * asked to move one, and asks this host's agent for it; what the user wants of the move waits here
 * until then.
 *
 *	wish kept -> crm_resource --move -> (agent -> clustered_migrate takes the wish) -> settled
 *		-> crm_resource --clear
 *
 * The engine's wish to have it there has an end of its own, should this daemon not come to clear
 *it.
 *
 * Threads: the loop's; the engine's programs are run in the pool.
 */
#ifndef OYA_HOST_STEER_H
#define OYA_HOST_STEER_H

#include "host/jobs.h"
#include "host/migrate.h"
#include "host/vm.h"

/* `w` without a peer. The job ends when the engine has it on that member, or has not moved it. 0,
 * or -errno and the sentence. */
int steer_start(struct vm *vm, const char *node, const struct migrate_wish *w, struct job **ret_job,
		struct failure *f);

/* What was wanted, but the peer; all as usual where nobody has asked. */
void steer_take(struct vm *vm, struct migrate_wish *ret_wish);

#endif
