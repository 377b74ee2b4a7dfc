/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Saved VMs: the state of one is the file SAVE_FILE of its folder, and the VM goes on from it at
 * its next start, once.
 *
 * Saving: the file is made under a name of what is not finished; the worker writes it and stands
 * still; it gets its name, for good; the worker is stopped. Up to the name the VM can go on as if
 * nothing had been, and does so when anything fails; from there on it never does.
 * Starting: the worker reads the file and stands still; the file loses its name, for good; the
 * worker goes on. What ends before that leaves the VM saved.
 *
 * Threads: the loop's; files are the pool's, in the VM's lane.
 */
#ifndef OYA_HOST_SAVE_H
#define OYA_HOST_SAVE_H

#include <stdbool.h>

#include "host/jobs.h"
#include "host/vm.h"

#define SAVE_FILE "saved.state"

/* Whether a folder has a saved state. */
bool save_exists(const char *folder);

/* At the daemon's start: removes what was not finished. It may wait for the disk. */
void save_clean(const char *folder);

/* Begins; the job ends when the VM is saved, or is as it was. 0, or -errno and the sentence. */
int save_start(struct vm *vm, struct job **ret_job, struct failure *f);

/* What the worker tells: true when it was of saving or of a restored state, which is dealt with. */
bool save_told(struct vm *vm, const char *state, const json_t *status);

/* The worker has ended: what was under way fails, or has come to its end. */
void save_ended(struct vm *vm, const char *why);

/* The daemon ends, and the pool has nothing left: who comes next finds the worker as it is. */
void save_forget(struct vm *vm);

/* Throws the state of a VM that is saved away: it is off then. done(ctx, NULL or a sentence). */
int save_discard(struct vm *vm, vm_done_fn *done, void *ctx, struct failure *f);

#endif
