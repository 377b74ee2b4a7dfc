/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What comes from elsewhere: VMs of other systems, and images that are copied or converted. Each is
 * a job that brings all of it into a folder of its own, beside the VMs' folders; only then a VM or
 * the store of images has it, in one step.
 *
 *	survey -> plan (what is in the file) -> folder -> convert each image -> look -> hand over ->
 *	clean
 *
 * Threads: the loop's; folders are made in the pool, images by oya-import.
 *
 * Invariants:
 *  1. until it is handed over, nothing but its own folder has changed, and that is removed when it
 *     fails, is cancelled, or (at the next start) the daemon ends meanwhile;
 *  2. a name that is wanted for a VM or an image is nobody else's until the job has ended.
 */
#ifndef OYA_HOST_INTAKE_H
#define OYA_HOST_INTAKE_H

#include <jansson.h>
#include <stdbool.h>

#include "host/host.h"
#include "lib/fail.h"

#define INTAKES_MAX 8u /* at the same time */

struct job;
struct vm;

enum intake_kind {
	INTAKE_VM,     /* settings: of a VM to be made, with disks `from` elsewhere */
	INTAKE_DISK,   /* settings: a disk `from` elsewhere, for a VM that is there */
	INTAKE_IMAGE,  /* file: for the store of images */
	INTAKE_IMPORT, /* file: a VM of another system */
};

struct intake_wish {
	enum intake_kind kind;
	const char *name; /* of the VM or the image; of INTAKE_IMPORT NULL: the file's own */
	const json_t *settings;
	const char *file;
};

/* Told once: its job; or NULL, -errno and the sentence, and nothing was begun. */
typedef void intake_begun_fn(void *ctx, struct job *job, int r, const struct failure *f);

/* 0: begun() follows. Else -errno and the sentence. */
int intake_start(struct host *h, const struct intake_wish *w, intake_begun_fn *begun, void *ctx,
		 struct failure *f);

/* Whether a VM of that name is under way. */
bool intake_makes(const struct host *h, const char *name);

/* The daemon ends: none goes on, then, once the pool has nothing left to do, none is left. */
void intakes_stop(struct host *h);
void intakes_done(struct host *h);

#endif
