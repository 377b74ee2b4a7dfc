/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The end of the host: each VM is stopped as its settings say (`stop`), at the same time, and noted
 * as one that ran, so that `start` does as it says when the host starts again. Meanwhile none is
 * started.
 *
 * The same of one VM, which the cluster wants elsewhere or off.
 *
 * Threads: the loop's.
 *
 * Invariants:
 *  1. it ends, whatever guests and workers do: a guest has the time of its settings, its worker a
 *     minute more;
 *  2. what is noted of a VM for the host's next start does not change while it is stopped.
 */
#ifndef OYA_HOST_ENDING_H
#define OYA_HOST_ENDING_H

#include "host/host.h"
#include "host/vm.h"
#include "lib/fail.h"

struct job;

/* Stops one VM alone in the same way, and notes nothing of it. 0: done(ctx, NULL) follows when it is
 * off or saved, done(ctx, sentence) when that cannot be or it is no longer here. */
int ending_start_one(struct vm *vm, vm_done_fn *done, void *ctx, struct failure *f);

/* Begins; or joins the one that is under way. 0 and the job that follows it, or -errno and the
 * sentence. */
int ending_start(struct host *h, struct job **ret_job, struct failure *f);

#endif
