/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the engine would do: its configuration is copied into files, where it can be changed by its
 * own tools, and played by its own simulator (docs/design/placement.md). The engine itself is asked
 * for the copy, and is not touched.
 *
 * Trust: its configuration has passwords of fence devices: the copies are root's alone.
 *
 * Threads: the pool's, an object on one at a time; all of it waits for programs.
 */
#ifndef OYA_HOST_REHEARSAL_H
#define OYA_HOST_REHEARSAL_H

#include <limits.h>

#include "host/scene.h"

/* Copies of the configuration. */
enum rehearsal_copy {
	REHEARSAL_NOW,   /* as it is */
	REHEARSAL_THEN,  /* as it would be */
	REHEARSAL_AFTER, /* what REHEARSAL_THEN comes to, once the engine has settled */
	REHEARSAL_ROOMY, /* hosts have room without end */
	REHEARSAL_COPIES
};

struct rehearsal {
	char folder[PATH_MAX], path[REHEARSAL_COPIES][PATH_MAX], said[PATH_MAX];
	struct scene scene;
};

/* `run`: the daemon's folder, of which one is made at a time: in the lane host.placing. The scene
 * is that of now. 0, or -errno and the sentence. */
int rehearsal_new(const char *run, struct rehearsal **ret_rehearsal, struct failure *f);
/* NULL is fine. */
void rehearsal_free(struct rehearsal *r);

int rehearsal_copy(struct rehearsal *r, enum rehearsal_copy from, enum rehearsal_copy to,
		   struct failure *f);
/* By a tool of the engine's, as it would change the engine: a path, arguments, NULL. */
int rehearsal_change(struct rehearsal *r, enum rehearsal_copy which, const char *const *command,
		     struct failure *f);
/* The same of the engine itself, when all VMs stay where they are. */
int rehearsal_change_engine(struct rehearsal *r, const char *const *command, struct failure *f);
/* A new resource of it is found running: "RESOURCE_monitor_0@HOST=0". */
int rehearsal_find(struct rehearsal *r, enum rehearsal_copy which, const char *found,
		   struct failure *f);
/* REHEARSAL_AFTER becomes what a copy comes to. Slow when much is to be done: the simulator writes
 * each step of it down. */
int rehearsal_settle(struct rehearsal *r, enum rehearsal_copy which, struct failure *f);
/* The scene becomes that of a copy. */
int rehearsal_look(struct rehearsal *r, enum rehearsal_copy which, struct failure *f);

/* Where all are once the engine has settled; `lost`: a host that falls silent; or NULL. */
int rehearsal_play(struct rehearsal *r, enum rehearsal_copy which, const char *lost,
		   struct scene_play *ret_play, struct failure *f);
/* The same for the loss of each host that is online. */
int rehearsal_survive(struct rehearsal *r, enum rehearsal_copy which,
		      struct scene_survival *ret_survival, struct failure *f);

#endif
