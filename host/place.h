/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The folder of a VM changes its place: files are copied to another folder, and `vms/NAME` becomes
 * a link to it, or the folder itself when that is to be in `vms`.
 *
 *	begin -> copy, images -> change -> clean          begin -> ... -> clean
 *
 * What is not the VM is `vms/.new-place-NAME`: before the change what it leads to is the new
 *folder, as far as that is there; the change exchanges the two names, in one step of the file
 *system; from then on it is the old one. Cleaning removes what it leads to, and it. The new folder
 *has the file
 * `.new-place`, its mark, as the first that is made in it and the last that goes: by it one sees
 * which of the two is the new one, and that a folder was made here.
 *
 * Leases (docs/format/lease.md): the old one is held by this host until it is gone; the new one is
 * an epoch ahead.
 *
 * Threads: the pool's, in the VM's lane, or the start of the daemon; all of these wait for disks.
 */
#ifndef OYA_HOST_PLACE_H
#define OYA_HOST_PLACE_H

#include <jansson.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/guid.h"
#include "host/settings.h"
#include "lib/fail.h"

#define PLACE_NOTE ".new-place-" /* in `vms`, and the VM's name */

struct place {
	const char *vms, *name; /* the caller's, who sets these five */
	struct guid vm, me;
	bool runs; /* a worker has the VM: images are its, and it has the lease */
	char own[PATH_MAX], note[PATH_MAX]; /* vms/NAME, vms/.new-place-NAME */
	char from[PATH_MAX], to[PATH_MAX];  /* the two folders, without links */
	uint64_t total_bytes, done_bytes;   /* atomic: of copy */
	bool cancel;                        /* atomic */
	uint64_t epoch;                     /* of the new lease */
	int lease;                          /* the new one, open; or -1 */
};

/* Looks whether it can be, and makes the new folder in `parent`. 0, or -errno and the sentence,
 * with nothing made. */
int place_begin(struct place *p, const struct settings *s, const char *parent, struct failure *f);

/* Copies all files but those of the list, which the worker copies. 0, or -errno and the sentence.
 */
int place_copy(struct place *p, const json_t *images, struct failure *f);

/* Makes the file of an image, as large as the old one, and opens it for writing. The descriptor, or
 * -errno and the sentence. */
int place_make_image(const struct place *p, const char *name, struct failure *f);

/* All is copied: the new folder is the VM's. 0, or -errno and the sentence, and the old one is. */
int place_change(struct place *p, struct failure *f);

/* Removes what is not the VM's, and closes. 0, or -errno and the sentence: the next start tries it
 * again. */
int place_clean(struct place *p, struct failure *f);

/* The same for what a daemon before us has left. *ret_changed: the folder had changed already; then
 * the new lease is opened, if there is one. */
int place_look(struct place *p, bool *ret_changed, struct failure *f);

/* At the daemon's start, of each VM: the mark of a move that is clean but for that goes. */
void place_unmark(const char *vms, const char *name);

#endif
