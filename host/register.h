/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VMs that become the cluster's, and this host's alone again: its engine is told by its own
 * programs, cibadmin and crm_resource.
 *
 * Threads: the loop's; programs are run in the pool.
 */
#ifndef OYA_HOST_REGISTER_H
#define OYA_HOST_REGISTER_H

#include "host/resource.h"
#include "host/vm.h"

/* Makes it the cluster's, or changes its place there; one that runs goes on. `force`: as in struct
 * admission. 0: done(ctx, NULL or a sentence) follows. Else -errno and the sentence. */
int register_vm(struct vm *vm, const struct resource_wish *w, bool force, vm_done_fn *done,
		void *ctx, struct failure *f);

/* The engine stops it, and lets go of it; it is listed here, off. The same. */
int register_undo(struct vm *vm, vm_done_fn *done, void *ctx, struct failure *f);

/* What the engine has of one of the cluster: done() follows with an object, which it takes, or NULL
 * and a sentence. 0, or -errno and the sentence. */
typedef void register_shown_fn(void *ctx, json_t *shown, const char *sentence);
int register_show(struct vm *vm, register_shown_fn *done, void *ctx, struct failure *f);

#endif
