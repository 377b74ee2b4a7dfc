/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A VM moves to another worker, mostly on another host, while it runs: the side that it leaves
 * (docs/design/live.md).
 *
 * Steps: a thread sends memory in rounds while the guest runs, asks the loop for a rehearsal, and
 * to stop the guest; sends what is left and the devices; hands over; and the VM has moved. Whatever
 * fails before the other side has the VM lets it go on here.
 *
 * Threads: the loop's, with the lock of the devices held; the thread of its own touches memory, the
 * logs and this structure's atomic members, and what `lock` guards.
 * Trust: the other side may say what it likes; it costs the migration, and at most the VM's going
 * on when it says that it runs.
 */
#ifndef OYA_WORKER_MIGRATE_H
#define OYA_WORKER_MIGRATE_H

#include <jansson.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/guid.h"
#include "base/timerq.h"
#include "lib/fail.h"
#include "worker/descriptors.h"
#include "worker/dirty.h"
#include "worker/luggage.h"
#include "worker/state.h"

#define MIGRATE_DOWNTIME_US 20000u /* that is allowed, unless somebody says otherwise */
#define MIGRATE_DOWNTIME_MAX_US 10000000u

#define MIGRATE_SLOW_NS \
	(UINT64_C(5) * 1000000) /* of which a slowed guest stands still for a part */

struct vm;

struct migrate_wish {
	uint64_t downtime_us; /* allowed */
	bool strict;          /* rather no migration than a longer one; else it may grow */
	uint64_t bandwidth;   /* bytes a second; 0: no limit */
	bool quick;           /* the guest stands still from the first page on */
	bool late;            /* memory may come when it runs there (post-copy) */
	bool storage;         /* the other side has other images, and its own lease */
	bool compress;        /* pages, where that pays */
	struct guid target;   /* the host that it goes to, for the lease */
};

enum migrate_phase {
	MIGRATE_NONE,
	MIGRATE_DISKS, /* before the rounds */
	MIGRATE_ROUNDS,
	MIGRATE_SWITCHING, /* the guest stands still, and can go on here */
	MIGRATE_WAITS,     /* the other side may run it: the lease, or somebody, must say */
	MIGRATE_ASKS,      /* the same, and only migrate_hear() tells */
	MIGRATE_LATE,      /* it runs there, and what is left of its memory goes there */
	MIGRATE_DONE,
	MIGRATE_FAILED,
};

/* Whether memory comes when the VM runs there. */
enum migrate_lateness {
	MIGRATE_LATE_NEVER,
	MIGRATE_LATE_ALLOWED,
	MIGRATE_LATE_IMPOSSIBLE, /* allowed, and the other side cannot */
	MIGRATE_LATE_CHOSEN,
};

/* What became of it on the other side, where its lease cannot tell. */
enum migrate_verdict { MIGRATE_NOT_KNOWN, MIGRATE_HERE, MIGRATE_THERE };

/* What the thread asks of the loop. */
enum migrate_ask {
	MIGRATE_ASK_NOTHING,
	MIGRATE_ASK_REHEARSAL, /* what the devices are now, the guest stopped for that only */
	MIGRATE_ASK_STOP,
};

/* Written by the thread, shown by the loop. */
struct migrate_progress {
	unsigned phase;    /* enum migrate_phase */
	unsigned late;     /* enum migrate_lateness */
	unsigned channels; /* that carry pages */
	uint64_t round, sent_bytes, rate, dirty_rate, promised_us, stopped_us, slowed, pages_left,
		spared_bytes; /* by compression */
};

#define SHOW(m, member, value) __atomic_store_n(&(m)->progress.member, (value), __ATOMIC_RELAXED)
#define SHOWN(m, member) __atomic_load_n(&(m)->progress.member, __ATOMIC_RELAXED)

struct migration {
	struct descriptors links; /* the connection, and others for pages; none: no migration */
	unsigned from;
	struct migrate_wish wish;
	struct migrate_progress progress; /* atomic members */
	struct dirty dirty;
	struct luggage luggage;
	pthread_t thread;
	bool cancel, done; /* atomic */
	bool abandoned;    /* atomic: the VM ends here, whatever the lease says */
	bool frozen;       /* for ASK_STOP */
	int result;
	uint64_t ended; /* how many, for better or worse */
	struct failure failure;

	pthread_mutex_t lock;
	pthread_cond_t answered;
	unsigned ask; /* enum migrate_ask */
	int answer;   /* of the last one; 1: not yet */
	uint64_t stop_ns;
	struct state_image image; /* the answer */
	struct failure ask_failure;
	unsigned verdict; /* enum migrate_verdict */

	struct timer slow; /* writers stand still for a part of each period */
	bool slow_on;
};

void migrate_init(struct migration *m);
/* Ends one that is under way, whatever becomes of it: the VM goes. Without the lock. */
void migrate_done(struct vm *vm);

/* Begins; `links`, connected stream sockets, are the migration's whatever comes of it. 0, or -errno
 * and the sentence. */
int migrate_begin(struct vm *vm, struct descriptors links, const struct migrate_wish *wish,
		  struct failure *f);

/* Gives it up; a VM that waits goes on here, on the word of who says so. 0; -EPROTO: there is none;
 * -EALREADY: the VM runs on the other side. */
int migrate_cancel(struct vm *vm);

/* Of one in MIGRATE_ASKS: whether the VM runs there, and if not, never will by this. 0, or -EPROTO.
 */
int migrate_hear(struct vm *vm, bool there);

/* One is under way: no device comes or goes. */
bool migrate_runs(const struct vm *vm);

/* It has broken off where the other side may run the VM, and stands still until somebody says. */
bool migrate_unsure(const struct vm *vm);

/* What can be done now; the loop calls it before it waits. */
void migrate_step(struct vm *vm);

/* How far it is; null when there is none and none has failed. */
json_t *migrate_status(const struct vm *vm);

/* ---- migrate_talk.c: the thread ---- */

/* Sends the VM. 0: it has moved; or -errno and the sentence. */
int migrate_talk(struct vm *vm, struct failure *f);

/* Asks the loop, and waits for the answer; of a STOP the image is there then. */
int migrate_ask(struct vm *vm, enum migrate_ask ask, struct failure *f);

#endif
