/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VMs of the cluster spread over its hosts: which moves would even out what hosts have free, and
 * the engine's moves, one after the other (docs/design/placement.md).
 *
 *	plan -> move, wait, let go -> move ... -> end
 *
 * Threads: the loop's; programs are run in the pool.
 */
#ifndef OYA_HOST_BALANCE_H
#define OYA_HOST_BALANCE_H

#include "host/host.h"
#include "lib/fail.h"

struct job;

/* Done later: with {"moves": ...}, which the callee takes, or -errno and the sentence. */
typedef void balance_told_fn(void *ctx, int code, json_t *plan, const struct failure *f);
int balance_plan(struct host *h, balance_told_fn *told, void *ctx, struct failure *f);

/* A plan is made and carried out by the job. 0, or -errno and the sentence. */
int balance_start(struct host *h, struct job **ret_job, struct failure *f);

#endif
