/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The cluster that this host is in: set up, joined and left; and its members, among whom each
 * change of the list goes round (docs/design/members.md).
 *
 * Trust: another host is nobody until its certificate is the one of a member, or of a token. What
 * it says is decoded as hostile. A host that joins is told the key of the links.
 *
 * Threads: the loop's. Files and the engine are the pool's, in one lane.
 *
 * Invariants:
 *  1. one change at a time on a host; whoever wants another is refused;
 *  2. the list in force is on the disk;
 *  3. of hosts that reach each other two do not make different lists of one number: the one of the
 *     lowest id that answers has to take a list first.
 */
#ifndef OYA_HOST_CLUSTER_H
#define OYA_HOST_CLUSTER_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "host/gate.h"
#include "host/members.h"
#include "lib/fail.h"
#include "lib/peer.h"

struct cluster;
struct fencing;
struct host;
struct job;
struct tls_server;

#define CLUSTER_TOKEN_PREFIX "OYA1."
#define CLUSTER_TOKEN_S 3600
#define CLUSTER_CLOCKS_US INT64_C(2000000) /* by which those of two hosts may differ */

/* `listen`: "ADDRESS:PORT" of the API. Reads the list; one that cannot be used is told, and the
 * host is in no cluster until it can. 0, or -errno and the sentence. */
int cluster_new(struct host *h, struct gate *gate, struct tls_server *tls, const char *listen,
		struct cluster **ret_cluster, struct failure *f);
/* Before the host ends, and after it. NULL is fine. */
void cluster_close(struct cluster *c);
void cluster_free(struct cluster *c);

/* NULL: it is in none. `c` may be NULL: it does not listen. */
const struct members *cluster_members(const struct cluster *c);

/* What lets this host in and finds out that it was cut off; NULL: it is in no cluster. */
struct fencing *cluster_fencing(const struct cluster *c);

/* How the member of that node name is called, as a member. 0; -ENOENT and the sentence. */
int cluster_peer(const struct cluster *c, const char *node, struct peer *ret_peer,
		 struct failure *f);

/* ---- what an administrator wants: a job, or -errno and the sentence ---- */

struct cluster_wish {
	const char *name, *token; /* of a new cluster; of one to join */
	char link[MEMBERS_LINKS_MAX][INET6_ADDRSTRLEN];
	unsigned links; /* 0: told by the way to the API */
};

int cluster_create(struct cluster *c, const struct cluster_wish *w, struct job **ret_job,
		   struct failure *f);
int cluster_join(struct cluster *c, const struct cluster_wish *w, struct job **ret_job,
		 struct failure *f);
/* The host itself leaves, or another one that is dead is taken out. */
int cluster_remove(struct cluster *c, const char *name, bool force, struct job **ret_job,
		   struct failure *f);
/* "disk" or "share", and its path; NULL: none any more. */
int cluster_set_witness(struct cluster *c, const char *kind, const char *path, struct job **ret_job,
			struct failure *f);
int cluster_destroy(struct cluster *c, bool force, struct job **ret_job, struct failure *f);

/* Disks of the rung of reservations: more of them; or none, by the rung's name. */
int cluster_add_fencing(struct cluster *c, const json_t *devices, struct job **ret_job,
			struct failure *f);
int cluster_remove_fencing(struct cluster *c, const char *name, struct job **ret_job,
			   struct failure *f);

/* Tries the rungs at a host that runs nothing: reservations; or (`power`) what boots it. */
int cluster_test_fencing(struct cluster *c, const char *host, bool power, struct job **ret_job,
			 struct failure *f);

/* The word for a joining host, of a token of the gate. NULL: no memory. */
char *cluster_write_token(const struct cluster *c, const char *token);

/* ---- what hosts want of each other ---- */

/* Done later: with the answer, which the callee takes, or -errno and the sentence. */
typedef void cluster_done_fn(void *ctx, int code, json_t *answer, const struct failure *f);

/* A member has a list that is newer. */
int cluster_take(struct cluster *c, const struct members *m, cluster_done_fn *done, void *ctx,
		 struct failure *f);
/* A host asks whether it can join (`enter`: it does). The token is used up when it has. */
int cluster_admit(struct cluster *c, json_t *facts, bool enter, const char *token,
		  cluster_done_fn *done, void *ctx, struct failure *f);
/* A member says at which disks this host is to be let in; those alone. */
int cluster_take_keys(struct cluster *c, const json_t *devices, cluster_done_fn *done, void *ctx,
		      struct failure *f);
/* A member tries this host's fencing: from now on, or the end of it: {"passed", "reason"}. */
int cluster_take_trial(struct cluster *c, const json_t *devices, bool ends, cluster_done_fn *done,
		       void *ctx, struct failure *f);
/* What the engine says. */
int cluster_status(struct cluster *c, cluster_done_fn *done, void *ctx, struct failure *f);

/* What it said last, and when (monotonic); NULL: nothing yet. It is asked anew by the second, for
 * the next who wants to know, unless it was just now. `c` may be NULL. */
const json_t *cluster_seen(const struct cluster *c, uint64_t *ret_us);
void cluster_look_again(struct cluster *c, uint64_t now_us);

#endif
