/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What migrate.c and migrate_doubt.c have in common: a VM that goes. */
#ifndef OYA_HOST_MIGRATE_PRIV_H
#define OYA_HOST_MIGRATE_PRIV_H

#include <limits.h>

#include "base/guid.h"
#include "host/far.h"
#include "host/link.h"
#include "host/migrate.h"
#include "lib/pool.h"
#include "lib/processor.h"

#define MIGRATE_TARGET_MAX 192u

enum step {
	MIGRATE_LOOKS,    /* the pool, at folder and disks */
	MIGRATE_OFFERS,   /* to the other host */
	MIGRATE_CONNECTS, /* the streams */
	MIGRATE_NOTES,    /* the pool, that it leaves */
	MIGRATE_ASKS,     /* the worker, to begin */
	MIGRATE_MOVES,    /* the worker does */
	MIGRATE_UNDOES,   /* the other host, then the pool */
	MIGRATE_JUDGES,   /* the pool: whose its lease is */
	MIGRATE_DOUBT,    /* that does not tell */
	MIGRATE_GOES,     /* the pool lets go of it */
	MIGRATE_STUCK,    /* it has gone, and cannot be let go of */
};

struct migration {
	struct pool_work work;
	struct vm *vm;
	struct host *host;
	struct job *job; /* NULL: it has ended */
	enum step step;
	struct peer peer; /* without a token when a daemon before us has begun it */
	uint64_t bandwidth, downtime_us;
	bool quick, postcopy, postcopy_must, compress;
	uint64_t epoch; /* of its lease, when its disks go along */
	struct far *far;
	struct move move;
	char proof[GUID_TEXT_LEN], real[PATH_MAX];
	json_t *disks;
	struct processor processor;
	unsigned connections;     /* that are wanted, then those that the other host takes; 0: ? */
	char pass[GUID_TEXT_LEN]; /* of the other host for them; "" */
	struct link_fds streams;
	int r;
	struct failure f;
	sd_event_source *look; /* how far it is */
	bool cancelled;
	bool offered;             /* the other host has something to undo */
	bool noted;               /* the file is there */
	bool crashed;             /* its worker has */
	bool late;                /* it runs there, and its memory follows */
	char lost[FAIL_TEXT_MAX]; /* why that has not followed, when it has gone; or empty */
	enum lease_side side;
	struct guid target; /* the other host, for the lease */
	unsigned waits;     /* how often that was told of it */
	unsigned asks;      /* the same: only the other host knows where it runs */
	bool swept;         /* that host was told twice to undo it */
};

/* On a thread of the pool, in the VM's lane. */
void migrate_in_pool(struct migration *m, void (*work)(struct pool_work *w),
		     void (*done)(struct pool_work *w));
/* A request to the other host: m->r 0, and done() follows; or -errno, and m->f. */
void migrate_call(struct migration *m, const char *method, const char *target, const json_t *body,
		  const char *upgrade, far_done_fn *done);
/* What undoes it there. `known`: that it was undone need not be kept in mind. */
void migrate_undo_target(const struct migration *m, bool known, char target[MIGRATE_TARGET_MAX]);
void migrate_give_up(struct migration *m, const char *why);
/* It is looked at again, by and by. */
void migrate_look_later(struct migration *m);

/* ---- migrate_doubt.c: its disks went along, and whether it runs there only that host knows ----
 */

/* Asks it now and then, of the times that this is called. */
void migrate_ask(struct migration *m);
/* Its user says the move again: that host is asked, by the token that came with this. 0; -errno and
 * the sentence; 1: it is not in doubt. */
int migrate_ask_again(struct vm *vm, const struct migrate_wish *w, struct job **ret_job,
		      struct failure *f);

#endif
