/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VMs of the cluster: what the agent of the engine asks for (docs/design/cluster.md). The engine
 * decides where such a VM runs; its folder is one that all hosts reach, and is listed here, by a
 * link, as long as the engine has it here.
 *
 *	look (settings, lease) -> [the engine: is its holder off?] -> link -> known -> start
 *	stop: as its settings say -> lease free -> link removed -> unknown
 *
 * Invariants:
 *  1. a lease that another host holds is taken only when the engine says, after the lease was read,
 *     that it has fenced that host or let it go; and only while the lease is as it was read;
 *  2. once `stop` has been answered, no start that was asked for before it begins a worker;
 *  3. such a VM is started by nothing but the engine: not by a user, not after a crash, not when
 *     the host starts.
 *
 * Threads: the loop's; files and the engine are asked in the pool.
 */
#ifndef OYA_HOST_CLUSTERED_H
#define OYA_HOST_CLUSTERED_H

#include <stdbool.h>

#include "base/guid.h"
#include "host/host.h"
#include "host/vm.h"

#define CLUSTERED_FILE "clustered" /* in the folder of a VM of the cluster */

/* Whether the folder of a VM of this host is the cluster's: a link, and marked. */
bool clustered_is(const char *folder);

/* 0: done(ctx, NULL) follows when it runs, done(ctx, sentence) when it does not. Else -errno and
 * the sentence. */
int clustered_start(struct host *h, const char *name, const struct guid *uuid, const char *folder,
		    vm_done_fn *done, void *ctx, struct failure *f);

/* The same, when it does not run here and is not listed any more; at once when it is not here. */
int clustered_stop(struct host *h, const char *name, const struct guid *uuid, vm_done_fn *done,
		   void *ctx, struct failure *f);

/* At the first start of the daemon since the host's: the engine will say where it runs. Its lease is
 * free then, if it was this host's, and it is not listed. Waits for the disk. */
void clustered_put_away(const struct host *h, const char *name, const struct guid *uuid);

/* Why a user cannot do that with a VM of the cluster: -EBUSY and the sentence; 0: it is none. */
int clustered_refuse(const struct vm *vm, const char *what, struct failure *f);

#endif
