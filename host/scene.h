/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is to be placed in a cluster, and where: what its hosts have and its VMs need, as the
 * engine's configuration has it (the CIB); where VMs are and where the engine would have them, as
 * its simulator says (crm_simulate); and what that means for the loss of a host
 * (docs/design/placement.md).
 *
 * Trust: the engine's words are foreign: bounded, and decoded as such. Pure.
 *
 * Threads: any, an object on one at a time.
 */
#ifndef OYA_HOST_SCENE_H
#define OYA_HOST_SCENE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host/members.h"
#include "host/settings.h"
#include "lib/fail.h"

#define SCENE_VMS_MAX 1024u
#define SCENE_TAGS_MAX 16u /* of a host */
#define SCENE_NUMBER_MAX (UINT64_C(1) << 40)
#define SCENE_TAG "oya-tag-" /* before a tag, in the name of a host's attribute */

struct scene_host {
	char name[MEMBERS_NAME_MAX + 1];
	unsigned id;               /* of its node */
	bool told;                 /* its memory is known to the engine */
	uint64_t memory_mib, cpus; /* that VMs may take */
	char tag[SCENE_TAGS_MAX][VM_NAME_MAX + 1];
	unsigned tags;
};

struct scene_vm {
	char name[VM_NAME_MAX + 1];
	uint64_t memory_mib, cpus;
	bool live; /* it moves as it runs */
};

struct scene {
	struct scene_host host[MEMBERS_MAX];
	struct scene_vm vm[SCENE_VMS_MAX];
	unsigned hosts, vms;
	char strategy[32]; /* by which it places; "": it was never told */
	bool fences;       /* it can fence, and does */
};

/* An object that is large: the caller's heap has it. 0, or -errno and the sentence. */
int scene_decode(const char *text, size_t len, struct scene *ret_scene, struct failure *f);

/* Whether the engine looks at what VMs need; and could: all hosts have told what they have. */
bool scene_counts(const struct scene *s);
bool scene_all_told(const struct scene *s);

/* -1: there is none. */
int scene_find_host(const struct scene *s, const char *name);
int scene_find_vm(const struct scene *s, const char *name);

/* ---- played ---- */

#define SCENE_NOWHERE (-1) /* the engine finds no place for it */
#define SCENE_IDLE (-2)    /* it is not to run, or not the engine's to place */

/* Where all are once the engine has settled. */
struct scene_play {
	bool online[MEMBERS_MAX]; /* and not drained */
	int at[SCENE_VMS_MAX];    /* a host, or one of the above */
};

int scene_decode_play(const struct scene *s, const char *text, size_t len,
		      struct scene_play *ret_play, struct failure *f);

/* What is still on a host that is lost is nowhere. */
void scene_leave(const struct scene *s, struct scene_play *p, const char *host);

/* Memory of a host that no VM has there, in MiB; less than none is possible. */
int64_t scene_free_mib(const struct scene *s, const struct scene_play *p, unsigned host);

/* ---- the loss of a host ---- */

struct scene_loss {
	bool played;   /* the host is online, and can be lost */
	int vm;        /* one that finds no place then; or -1 */
	unsigned more; /* so many besides */
	bool by_rule;  /* for no lack of room: no other host is allowed to it */
};

struct scene_survival {
	struct scene_play base; /* no host is */
	bool quorate;           /* whichever is, the others can go on */
	struct scene_loss loss[MEMBERS_MAX];
};

/* `roomy`: the same loss, when hosts had room without end; NULL: it was not played. One that lacks
 * room goes before one that lacks a host. */
struct scene_loss scene_judge_loss(const struct scene *s, const struct scene_play *base,
				   const struct scene_play *lost, const struct scene_play *roomy);

/* Whether all VMs stay where they are, whatever was changed. 0, or -EBUSY and the sentence. */
int scene_keep(const struct scene *s, const struct scene_play *before,
	       const struct scene_play *after, struct failure *f);

/* Of corosync-quorumtool's words: whether the quorum outlives any one host. */
bool scene_judge_votes(const char *text);

/* "survives", true, false or null; "reason"; "losses": docs/api, Survival. NULL: no memory. */
json_t *scene_tell(const struct scene *s, const struct scene_survival *v);

/* Whether what comes `after` a change may be: 0, or -EBUSY and why not. A VM that would find no
 * place at once is always refused, one that would be lost with a host unless it is forced; what
 * was so `before` is not held against the change. */
int scene_admit(const struct scene *s, const struct scene_survival *before,
		const struct scene_survival *after, bool force, struct failure *f);

/* ---- balance ---- */

/* The two hosts that are online with the least and the most free memory. False: there are none
 * that differ. */
bool scene_ends(const struct scene *s, const struct scene_play *p, unsigned *ret_full,
		unsigned *ret_empty);

/* VMs on `full` that run on as they move, and whose move to `empty` would be worth it: the best
 * ones, best first. How many. */
#define SCENE_CANDIDATES_MAX 8u
unsigned scene_candidates(const struct scene *s, const struct scene_play *p, unsigned full,
			  unsigned empty, int ret_vm[SCENE_CANDIDATES_MAX]);

/* Where the engine has put `vm`, which was free to go, all others staying: a host for which it is
 * worth it; or -1. */
int scene_judge_move(const struct scene *s, const struct scene_play *before,
		     const struct scene_play *after, int vm);

/* Why: what is free before, and then. */
void scene_tell_move(const struct scene *s, const struct scene_play *before, int vm, unsigned to,
		     struct failure *ret_reason);

#endif
