/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whether the cluster has room for one more VM: a change of the engine's configuration is made on a
 * copy first, and refused when a VM would find no place then, at once or with the loss of a host
 * (docs/design/placement.md).
 *
 * Threads: the loop's where not told otherwise; programs are run in the pool.
 */
#ifndef OYA_HOST_ADMISSION_H
#define OYA_HOST_ADMISSION_H

#include <stdbool.h>

#include "host/host.h"
#include "host/vm.h"

struct admission {
	const char *run;           /* the daemon's folder */
	const char *const *before; /* a command whose failure means nothing; or NULL */
	const char *const *change; /* the command that is to be allowed: a path, arguments, NULL */
	const char *found;         /* as rehearsal_find() wants it; or NULL */
	bool force;                /* also when it takes what is kept for the loss of a host */
};

/* In the pool, in the lane host.placing. 0, or -errno and the sentence. Without fencing, or as long
 * as the engine places without looking at memory, there is nothing to keep. */
int admission_ask(const struct admission *a, struct failure *f);

/* The engine starts a VM of the cluster, somewhere, or stops it. 0: done(ctx, NULL or a sentence)
 * follows, once the engine has been told. Else -errno and the sentence. */
int admission_start(struct host *h, const char *name, bool force, vm_done_fn *done, void *ctx,
		    struct failure *f);
int admission_stop(struct host *h, const char *name, vm_done_fn *done, void *ctx,
		   struct failure *f);

#endif
