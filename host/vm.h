/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A VM of this host: its settings, and its life (docs/design/host.md). Owned by struct host.
 *
 * Verbs act at once or begin to: 0, or -errno and the sentence that says why not, with everything
 * as it was. What they begin ends with a change of the life, which is told to who waits (vm_wait)
 * and as an event.
 *
 * Trust: the worker is hostile once its guest has broken it. It can end its own VM, tell lies about
 * it, and nothing else.
 *
 * Threads: the loop's. Files of the VM's folder are written by the pool, in the VM's lane.
 *
 * Invariants:
 *  1. a worker is started only from VM_OFF, VM_WAITING and VM_SAVED, in which none lives, and
 *     once from VM_INCOMING, where a VM begins that comes from another host;
 *  2. the life leaves VM_STARTING to VM_STOPPING for VM_OFF or VM_WAITING only when the worker's
 *     end is known;
 *  3. a worker is started only while this host holds the VM's lease, which is freed when its end is
 *     known.
 */
#ifndef OYA_HOST_VM_H
#define OYA_HOST_VM_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "base/list.h"
#include "host/link.h"
#include "host/settings.h"
#include "lib/fail.h"
#include "lib/log.h"
#include "lib/pool.h"

#define VM_FILE "vm.json"
#define VM_RUNNING_FILE "running" /* in its folder: it is to run when the host starts */

/* In its folder below /run: its worker was given the streams by which it comes. */
#define VM_STREAMS_FILE "streams"

enum vm_life {
	VM_OFF,
	VM_WAITING,
	VM_STARTING,
	VM_RUNNING,
	VM_PAUSED,
	VM_STOPPING,
	VM_SAVING,
	VM_SAVED,    /* off, with a state to go on from */
	VM_INCOMING, /* its worker waits for it to come from another host */
	VM_LIVES
};

struct host;
struct launch;
struct saving;
struct incoming;
struct migrate_wish;
struct migration;
struct relocation;

struct vm {
	struct host *host;
	struct list link;
	char name[VM_NAME_MAX + 1];
	char uuid[GUID_TEXT_LEN];
	char log_fields[VM_NAME_MAX + 80]; /* for log_line_of() */
	char *folder, *run;
	struct settings *settings;
	uint64_t version;            /* of the settings: grows with each change */
	unsigned life;               /* enum vm_life */
	char problem[FAIL_TEXT_MAX]; /* why it is off against its user's will; or empty */
	json_t *status;              /* as its worker told it last; NULL: nothing yet */
	json_t *guest;               /* what the guest tells of itself; NULL */
	struct link *worker;         /* NULL: not connected */
	int pidfd;                   /* of the worker, while connected once; -1 */
	struct launch *launch;
	sd_event_source *files;      /* changes in `run` */
	sd_event_source *timer;      /* the next start by itself, or the end of our patience */
	sd_event_source *again;      /* the next try to connect */
	unsigned tries;              /* to connect */
	bool end_told;               /* its worker has closed `end`, and may hold its lock still */
	bool adopted;                /* its worker was up before we were */
	bool leased;                 /* its lease is this host's, or may be */
	uint64_t lease_epoch;        /* that its worker is told */
	uint64_t lease_force;        /* of another host's, which the next start may take; or 0 */
	bool clustered;              /* the cluster decides where it runs: host/clustered.h */
	bool saved;                  /* its folder has a state that it goes on from */
	bool taking;                 /* the state is being removed */
	struct saving *saving;       /* or NULL */
	struct incoming *incoming;   /* it comes from another host; or NULL */
	struct migration *migration; /* it goes to one; or NULL */
	struct migrate_wish *steered; /* what its user wants of a move by the cluster; or NULL */
	struct relocation *relocation; /* its folder goes to another place; or NULL */
	bool making, edited;           /* see edit.h */
	bool plugged;                  /* its NICs have ports, or are given some */
	bool off_wanted;               /* its end is its user's wish */
	bool host_ends;    /* and with it this run, which goes on when the host starts again */
	unsigned crashes;  /* since `crashes_from` */
	uint64_t restarts; /* by itself after a crash, since we began */
	uint64_t crashes_from, started_us; /* monotonic; the second: 0 while off */
	struct log_limit log;
	struct list waiters;
	struct pool_lane lane;
};

/* Makes it known, off; settings are taken. NULL: no memory. */
struct vm *vm_new(struct host *host, const char *name, const char *folder,
		  struct settings *settings);
/* Lets go of it; a worker goes on. */
void vm_free(struct vm *vm);

const char *vm_life_label(const struct vm *vm);
const char *vm_life_text(unsigned life);

/* At the daemon's start: takes over a worker that lives; true when one does. */
bool vm_adopt(struct vm *vm);

int vm_start(struct vm *vm, struct failure *f);

/* Of one that is VM_INCOMING: ports and a worker that waits. */
int vm_await(struct vm *vm, struct failure *f);

/* It is to run when the host starts the next time. */
void vm_mark_running(struct vm *vm);

/* After a crash: whether it is started again. */
bool vm_may_restart(struct vm *vm);

/* At the start of the host, or after a crash. */
int vm_start_later(struct vm *vm, unsigned delay_s);

/* Before it is stopped since the host ends: it is noted as one that ran, and is not started again
 * before. */
void vm_host_ends(struct vm *vm);

/* Asks the guest, by its shutdown service; the answer is the worker's. */
int vm_shutdown(struct vm *vm, bool reboot, const char *reason, link_answer_fn *answer, void *ctx,
		struct failure *f);
/* Switches it off; a worker that does not obey is killed. */
int vm_off(struct vm *vm, struct failure *f);
/* "pause", "resume", "reset", "nmi", or another verb with its arguments, which are taken. */
int vm_ask(struct vm *vm, const char *what, json_t *request, int fd, link_answer_fn *answer,
	   void *ctx, struct failure *f);
/* The same with several descriptors, which are taken. */
int vm_hand(struct vm *vm, const char *what, json_t *request, struct link_fds *fds,
	    link_answer_fn *answer, void *ctx, struct failure *f);
/* How many connections its worker takes for a move, as it told; older ones take 1. */
unsigned vm_connections(const struct vm *vm);

/* done(ctx, NULL) when the life is `goal`, or done(ctx, sentence) when it ends elsewhere; at once
 * if it is so already. */
typedef void vm_done_fn(void *ctx, const char *sentence);
int vm_wait(struct vm *vm, enum vm_life goal, vm_done_fn *done, void *ctx);

/* What the API shows of it, and in a list; NULL: no memory. */
json_t *vm_show_short(const struct vm *vm);
json_t *vm_show(const struct vm *vm);

/* ---- between the files of this room ---- */

/* Moves on, tells it, ends what waits. Fine when it is there already. */
void vm_move(struct vm *vm, enum vm_life life);

/* Writes what the worker needs, watches and launches it. */
int vm_worker_start(struct vm *vm, struct failure *f);
void vm_worker_forget(struct vm *vm);
void vm_worker_kill(struct vm *vm);
/* A worker lives: the lock of its file is held. */
bool vm_worker_lives(const struct vm *vm);
int vm_worker_watch(struct vm *vm);
void vm_worker_connect(struct vm *vm);
/* It is dead: what it said at its end. */
void vm_worker_take_end(struct vm *vm);

/* Its lease, for a start: vm_lease_taken() comes later; and for who comes next. */
int vm_lease_take(struct vm *vm, struct failure *f);
void vm_lease_taken(struct vm *vm, int r, const struct failure *why);
void vm_lease_free(struct vm *vm);
/* Adds what the worker is told of it; -1: no memory. */
int vm_lease_config(const struct vm *vm, json_t *config);
/* On a thread of the pool, or as the daemon starts, when no worker of this host's lives: who has
 * it. An offer of ours is taken back first. */
enum lease_side { LEASE_NOT_KNOWN, LEASE_HERE, LEASE_THERE, LEASE_NOBODYS };
enum lease_side vm_lease_side(const char *folder, const struct guid *vm, const struct guid *me,
			      struct failure *f);
/* On a thread of the pool, or as the daemon starts, when no worker of this host's lives: free, if
 * it is this host's, and with `offers` also if it is one of its offers, which nobody can take then.
 * 0, also without a lease; or -errno and the sentence. */
int vm_lease_give_back(const char *path, const struct guid *vm, const struct guid *me, bool offers,
		       struct failure *f);
/* On a thread of the pool: of a VM that is deleted. 0, or -errno and the sentence when another host
 * has it. */
int vm_lease_remove(const char *folder, const struct guid *vm, const struct guid *me,
		    struct failure *f);

/* The worker has ended: `failed` otherwise than by anybody's wish, and why. */
void vm_ended(struct vm *vm, bool failed, const char *why);
/* The same of one whose VM runs on another host now; `last` is what it tells of its way, or NULL.
 */
void vm_gone(struct vm *vm, const json_t *last);
/* The worker tells its state. */
void vm_told(struct vm *vm, json_t *status);

#endif
