/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the parts of host/cluster.h share: a piece of work of several steps, in the pool, on another
 * host, after a time. */
#ifndef OYA_HOST_CLUSTER_IMPL_H
#define OYA_HOST_CLUSTER_IMPL_H

#include <systemd/sd-event.h>

#include "host/cluster.h"
#include "host/engine.h"
#include "host/far.h"
#include "host/fencing.h"
#include "host/host.h"
#include "host/jobs.h"
#include "lib/pool.h"

#define CLUSTER_NOTE "cluster-joining.json"
#define CLUSTER_NOTE_MAX 4096u
#define CLUSTER_TARGET_MAX 160u

struct cluster {
	struct host *host;
	struct gate *gate;
	struct tls_server *tls;
	const char *listen;
	struct members members;
	bool in; /* a cluster, that of the list */
	struct cluster_task *task;
	sd_event_source *timer;
	struct far *far;         /* asks for a newer list */
	unsigned turn;           /* the member that was asked last, by its id */
	sd_event_source *alerts; /* of the engine */
	json_t *seen;            /* what the engine said last, for metrics; NULL: nothing yet */
	uint64_t seen_us;        /* when, monotonic */
	bool looks;              /* it is being asked for them */
	struct pool_lane lane;
	struct fencing *fencing;
	struct list drains; /* of hosts */
};

typedef void cluster_then_fn(struct cluster_task *t);

/* Steps set `then`, which goes on with r and f, and after a call with status and answer. */
struct cluster_task {
	struct pool_work work;
	struct cluster *c;
	struct job *job;       /* or NULL */
	cluster_done_fn *done; /* in its place; or NULL */
	void *ctx;
	int (*step)(struct cluster_task *t);
	cluster_then_fn *then, *after; /* the next step; what follows a change */
	int r;
	struct failure f, why; /* why: what is undone for */
	struct far *far;
	sd_event_source *timer;
	unsigned status, tries;
	json_t *answer, *facts;
	struct members seen;             /* the list as it was at the begin */
	struct members next;             /* the list that is to be */
	struct member self;              /* who creates or joins; who is to be let in */
	struct peer peer;                /* the host that lets in */
	char gone[MEMBERS_NAME_MAX + 1]; /* who is taken out */
	char token[ACCESS_NAME_MAX + 1]; /* of who joins */
	char key[ENGINE_KEY_TEXT + 1];
	int64_t asked_us;
	unsigned id;         /* whose turn in a change it was */
	bool taken;          /* by one at least */
	struct drain *drain; /* of a host; or NULL */
	bool force, enter;
};

/* That looks at the cluster and changes nothing. NULL: no memory. */
struct cluster_task *cluster_task_new(struct cluster *c);
/* One at a time. NULL: the sentence is there. `what` is the job's; NULL: there is none. */
struct cluster_task *cluster_begin(struct cluster *c, const char *what, struct failure *f);
/* By its r and f; frees it. `answer` is taken. */
void cluster_end(struct cluster_task *t, json_t *answer);

void cluster_in_pool(struct cluster_task *t, int (*step)(struct cluster_task *t),
		     cluster_then_fn *then);
/* The same beside the looks at disks, which may hang. */
void cluster_in_fencing(struct cluster_task *t, int (*step)(struct cluster_task *t),
			cluster_then_fn *then);
void cluster_later(struct cluster_task *t, uint64_t us, cluster_then_fn *then);
/* `body` is taken. */
void cluster_call(struct cluster_task *t, const struct peer *peer, const char *method,
		  const char *target, json_t *body, cluster_then_fn *then);
/* The member behind that id, or the first; not this host. NULL: there is no other. */
const struct member *cluster_next_member(const struct cluster *c, unsigned id);
/* Makes t->next the list in force of all; then(): r is 0 when somebody has taken it. */
void cluster_change(struct cluster_task *t, cluster_then_fn *then);

/* In the pool: takes t->next, for good; the engine follows. */
int cluster_apply(struct cluster_task *t);
/* In the pool: the engine begins with t->next and t->key. */
int cluster_install(struct cluster_task *t);
/* In the pool: there was no cluster. */
int cluster_uninstall(struct cluster_task *t);
/* In the pool: the witness's program runs as a list says; NULL: of no cluster. */
int cluster_run_witness(struct cluster *c, const struct members *next, struct failure *f);
/* In the pool: whether the engine has this host online. */
int cluster_look_online(struct cluster_task *t);
int cluster_write_list(struct cluster *c, const struct members *m, struct failure *f);
/* On the loop, behind either: the list is in force; NULL: there is none. */
void cluster_adopt(struct cluster *c, const struct members *m);

/* In the pool: what the engine says of t->seen, into t->answer (docs/api: Cluster). */
int cluster_look(struct cluster_task *t);

/* A resource that is active, on that host or (NULL) anywhere, of that answer; NULL: none. */
const char *cluster_find_active(const json_t *status, const char *host);

/* Who this host would be: t->self by links of a wish. 0, or -errno and the sentence. */
int cluster_take_self(struct cluster *c, const struct cluster_wish *w, const struct peer *there,
		      struct member *ret_self, struct failure *f);

/* A daemon that comes back: what was begun is undone. */
void cluster_undo(struct cluster *c);

#endif
