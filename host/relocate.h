/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VMs whose folder goes to another place of this host, with their disks, while they run or are off
 * (docs/design/storage.md). The files are place.c's; of a VM that runs the worker copies the disks.
 *
 *	folder -> files -> disks even -> committed -> changed -> switched -> the old one goes
 *
 * Up to `changed` whatever fails leaves the VM where it was; from there on it is in the new place.
 * A daemon that comes back finds by the folders which it is, and does what is left.
 *
 * Threads: the loop's; files are the pool's, in the VM's lane. The VM is `edited` meanwhile.
 */
#ifndef OYA_HOST_RELOCATE_H
#define OYA_HOST_RELOCATE_H

#include <jansson.h>

#include "host/jobs.h"
#include "host/vm.h"

/* Begins; `parent` is the folder in which its folder is to be. The job ends when it is there, or is
 * as it was. 0, or -errno and the sentence. */
int relocate_start(struct vm *vm, const char *parent, struct job **ret_job, struct failure *f);

/* At the daemon's start, behind vm_adopt() of all: what was not finished is. */
void relocate_adopt(struct host *h);
/* The daemon ends: what takes long is given up. */
void relocate_stop(struct vm *vm);

/* ---- for host/vm.c ---- */

/* What the worker tells; its end. */
void relocate_told(struct vm *vm, const json_t *status);
void relocate_ended(struct vm *vm, const char *why);
void relocate_forget(struct vm *vm);

#endif
