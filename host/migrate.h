/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VMs that go to another host while they run (docs/design/live.md): the source's daemon. It makes
 * the other host an offer, gets a stream to it, and hands that to the worker, which does the rest.
 *
 *	look (own disks and folder) -> offer -> stream -> note on the disk -> worker -> gone
 *
 * Up to the worker's turn nothing of the VM has changed; what fails is undone on the other host.
 * From there on the VM leaves this host by the worker's word "moved", or when a worker that has
 * ended without it has lost the VM's lease to the other host.
 *
 * Trust: the client delegates its own token for the other host, which is kept as long as this takes
 * and told to nobody.
 *
 * Threads: the loop's; files are the pool's, in the VM's lane.
 */
#ifndef OYA_HOST_MIGRATE_H
#define OYA_HOST_MIGRATE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "host/jobs.h"
#include "host/moves.h"
#include "host/vm.h"
#include "lib/peer.h"

/* Whether the guest may go before all of its memory has, when it writes too fast otherwise. */
enum migrate_postcopy { POSTCOPY_AS_SET, POSTCOPY_NO, POSTCOPY_YES };

struct migrate_wish {
	struct peer peer;
	uint64_t bandwidth;   /* bytes a second at most; 0: no limit */
	bool quick;           /* the guest stands still on its way */
	bool storage;         /* its folder's disks go along: the hosts have none in common */
	uint64_t downtime_us; /* the guest may stand still; 0: the worker knows */
	uint64_t connections; /* at most, where both hosts take so many; 1 to LINK_FDS_MAX */
	enum migrate_postcopy postcopy; /* with YES it must be possible */
	bool compress;                  /* its memory, where the worker finds that it pays */
};

/* Begins; the job ends when the VM runs there, or is as it was. 0, or -errno and the sentence. */
int migrate_start(struct vm *vm, const struct migrate_wish *w, struct job **ret_job,
		  struct failure *f);

/* At the daemon's start: its file says that it leaves. */
void migrate_adopt(struct vm *vm, const struct move *m);
/* Behind vm_adopt(): of one without a worker nobody can tell where it is. */
void migrate_look(struct vm *vm);

/* ---- for host/vm.c ---- */

/* What the worker tells. */
void migrate_told(struct vm *vm, const json_t *status);
/* The worker has ended without the word that it has given its VM away. True: the lease is asked
 * first where the VM is; what is to follow then follows. */
bool migrate_ended(struct vm *vm, bool failed, const char *why);
/* The worker has ended, and its VM runs on the other host: it leaves this one. `last` is what its
 * file tells of it, or NULL. */
void migrate_gone(struct vm *vm, const json_t *last);
/* Its user starts it: 0 when that can be, or -errno and the sentence. */
int migrate_settle(struct vm *vm, struct failure *f);
/* The lease was got for that: what was in doubt is so no more. */
void migrate_started(struct vm *vm);
void migrate_forget(struct vm *vm);

#endif
