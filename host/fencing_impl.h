/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the parts of host/fencing.h share; all of it in the pool, in the lane of fencing. */
#ifndef OYA_HOST_FENCING_IMPL_H
#define OYA_HOST_FENCING_IMPL_H

#include "host/fencing.h"

#define FENCING_BOOT_MAX 64

int fencing_look_online(const char *self, struct failure *f);

/* The note of this boot, to be freed. */
int fencing_read_note(const char *run, json_t **ret_note, struct failure *f);
int fencing_write_note(const char *run, const json_t *note, struct failure *f);
/* Takes what is none of these devices out of it. */
void fencing_drop(json_t *note, const json_t *devices);

/* What the agent tells of `who->devices` into the note. *ret_gone: a device whose key another host
 * has taken; else empty. */
int fencing_check(const struct fencing_agent *who, json_t *note, char ret_gone[256],
		  struct failure *f);
/* Registers the host at those of `who->devices` that the note has not. */
int fencing_enter(const struct fencing_agent *who, json_t *note, bool reserve, struct failure *f);

#endif
