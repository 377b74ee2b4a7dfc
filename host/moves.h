/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the disk tells of VMs that come from another host or go to one: a file for each, by its
 * UUID, in the folder `moves` of this host's state. It is not in the VM's folder, which both hosts
 * have in common: what it says is of this host alone. Who runs the VM its lease says, not this.
 *
 * A VM's folder is `vms/NAME`, or what a link of that name leads to. A host that takes a VM makes
 * such a link; one that gives it away removes its link, or, when it has the folder itself, keeps
 * the file as a note that it does not list what is there.
 *
 * Invariants:
 *  1. the file is there before anything of a VM that comes is, and until all of it is gone again or
 *     it has run here;
 *  2. a VM that goes leaves this host only behind its file's word that it has gone.
 *
 * Threads: the pool's, or the start of the daemon; all of these may wait for the disk.
 */
#ifndef OYA_HOST_MOVES_H
#define OYA_HOST_MOVES_H

#include <stdbool.h>

#include "base/guid.h"
#include "host/settings.h"
#include "lib/fail.h"

#define MOVES_HOST_MAX 270u

enum move_state {
	MOVE_NONE,
	MOVE_INCOMING, /* it comes, and has not run here */
	MOVE_LEAVING,  /* its worker gives it away */
	MOVE_GONE,     /* it runs elsewhere */
	MOVE_UNDONE,   /* incoming with storage, and never will by that: for who asks */
};

struct move {
	enum move_state state;
	char name[VM_NAME_MAX + 1];
	char host[MOVES_HOST_MAX + 1]; /* the other one, for sentences */
	bool linked;                   /* incoming: vms/NAME is a link that is made for it */
	bool was_gone;                 /* incoming: it had left this host, which has its folder */
	bool storage;                  /* each host has a folder of its own (luggage.h) */
};

/* Pure: the text of a file. 0, or -EINVAL and the sentence. */
int move_decode(const char *text, size_t len, struct move *ret_move, struct failure *f);

/* MOVE_NONE when there is no file. 0, or -errno and the sentence. */
int move_read(const char *state, const char *uuid, struct move *ret_move, struct failure *f);
int move_write(const char *state, const char *uuid, const struct move *m, struct failure *f);
int move_drop(const char *state, const char *uuid, struct failure *f);

/* Takes back what was made for one that comes, its file last; with storage its folder has gone
 * before, and its file tells that. */
int move_undo(const char *state, const char *uuid, const struct move *m, struct failure *f);

/* Of one that is gone: this host lets go of its folder; what the other host uses is not touched.
 * With storage the folder has gone before. */
int move_let_go(const char *state, const char *uuid, const struct move *m, struct failure *f);

/* Whether one that was to come with storage was undone; `forget`: it need not be kept in mind any
 * more. 1, 0, or -errno and the sentence. */
int move_confess(const char *state, const char *uuid, bool forget, struct failure *f);

/* At the start of the daemon: calls for each file. */
void moves_each(const char *state, void (*each)(void *ctx, const char *uuid, const struct move *m),
		void *ctx);

#endif
