/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VMs that come from another host: looked at, made known, given a worker that waits, and the stream
 * by which the other host's worker gives the VM to it. What does not come to run here leaves
 * nothing: neither files nor ports.
 *
 * Whether it has come is told by its lease, which its worker takes before it runs: who has ended
 * and holds it has been here.
 *
 * Threads: the loop's; files are the pool's, in the VM's lane.
 */
#ifndef OYA_HOST_INCOMING_H
#define OYA_HOST_INCOMING_H

#include <jansson.h>
#include <stdbool.h>

#include "host/host.h"
#include "host/moves.h"
#include "host/vm.h"

#define INCOMING_MAX 16u                        /* at the same time */
#define INCOMING_PATIENCE_US UINT64_C(60000000) /* until all streams are there */

/* r: 0: its worker waits; or -errno with the sentence, and of -EEXIST all reasons as a list. */
typedef void incoming_made_fn(void *ctx, struct vm *vm, int r, json_t *reasons,
			      const struct failure *f);

/* 0: made() follows. Else -errno and the sentence. */
int incoming_start(struct host *h, json_t *offer, incoming_made_fn *made, void *ctx,
		   struct failure *f);

/* How many connections there are to be, and by what pass (lib/tls.h) they get a process for their
 * TLS; "": by none. */
unsigned incoming_connections(const struct vm *vm, const char **ret_pass);
/* Whether a VM that waits for connections has given that pass out; it is good for so many only. */
bool incoming_takes_pass(const struct host *h, const char *pass);

/* Whether it can be given a stream now; and gives it one, which is taken. Its worker gets them when
 * all are there, in the order in which they came. 0, or -errno and the sentence. */
int incoming_may_stream(const struct vm *vm, struct failure *f);
int incoming_stream(struct vm *vm, int fd, struct failure *f);

/* Takes it back. 0: done(ctx, NULL or why not) follows. */
int incoming_undo(struct vm *vm, vm_done_fn *done, void *ctx, struct failure *f);

/* At the daemon's start: a VM whose file says that it is incoming. */
void incoming_adopt(struct vm *vm, const struct move *m);
/* Behind vm_adopt(): one without a worker has ended. */
void incoming_look(struct vm *vm);

/* ---- for host/vm.c ---- */

/* What the worker tells: true when it is not running yet. */
bool incoming_told(struct vm *vm, const char *state);
/* The worker has ended, or did not come up. True: its lease is asked, and the VM goes unless it has
 * been here. */
bool incoming_ended(struct vm *vm, bool failed, const char *why);
/* Its user has decided that it runs here. */
void incoming_settle(struct vm *vm);
void incoming_forget(struct vm *vm);

#endif
