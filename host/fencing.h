/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * This host at the disks by which the cluster cuts hosts off (docs/design/fencing.md): it is let in
 * once a cluster with quorum has it online, and finds out when it was cut off: then its VMs are
 * killed and it boots.
 *
 * What it was let in at since it booted is noted in the folder of what runs, with the generation of
 * each disk's keys. A key that is gone while others came or went was taken by another host; a disk
 * that counts from the beginning has lost its keys with its power.
 *
 * Trust: what the agent prints is decoded as foreign: it has spoken to targets. The engine's words
 * are bounded.
 *
 * Threads: the loop's; disks and the engine are the pool's, in one lane, which is no other's: a
 * disk may hang.
 *
 * Invariants:
 *  1. the host is registered only when its engine has it online with a quorum, and not where the
 *     note says that it was let in already and its key is gone;
 *  2. no VM of the cluster starts before it is let in at each disk of the configuration;
 *  3. the note has a disk only after the disk has the key.
 */
#ifndef OYA_HOST_FENCING_H
#define OYA_HOST_FENCING_H

#include <jansson.h>
#include <stdbool.h>

#include "base/list.h"
#include "host/members.h"
#include "lib/fail.h"
#include "lib/pool.h"

#define FENCING_NOTE "fencing.json"
#define FENCING_NOTE_MAX (64u << 10)

struct cluster;
struct fencing;

/* NULL: no memory. */
struct fencing *fencing_new(struct cluster *c);
/* Before the host ends, and after it. NULL is fine. */
void fencing_close(struct fencing *fc);
void fencing_free(struct fencing *fc);

struct pool_lane *fencing_lane(struct fencing *fc);
/* Something has changed: it looks now. */
void fencing_look_soon(struct fencing *fc);
/* This host has left its cluster: the note goes. */
void fencing_leave(struct fencing *fc);
/* Whether it was cut off, and has not booted since; with the sentence. */
bool fencing_is_cut(const struct fencing *fc, struct failure *f);
/* Another host cuts this one off and lets it in again, to see that it works: it does not look, and
 * starts no VM of the cluster, for two minutes at most. `goes_on`: it has begun already. 0, or
 * -errno and the sentence. */
int fencing_begin_trial(struct fencing *fc, bool goes_on, struct failure *f);
/* The host leaves its cluster, whose other hosts take its key: it does not look, until it is told
 * to, or has left. */
void fencing_pause(struct fencing *fc);
void fencing_resume(struct fencing *fc);
/* The disks of the configuration, where a host counts as cut off by these alone: a copy; NULL: by
 * something else too, or no memory. */
json_t *fencing_alone(const struct fencing *fc);

/* The caller's, until done(): with NULL once this host is let in, or why it is not. */
struct fencing_wait {
	struct list link;
	void (*done)(struct fencing_wait *w, const char *sentence);
};
void fencing_wait(struct fencing *fc, struct fencing_wait *w);

/* ---- in the pool ---- */

/* Runs the agent for a host of a list: `plug` may be NULL, and so ret_text. 0, or -errno and the
 * sentence. */
struct fencing_agent {
	const struct members *members;
	const char *self, *action, *plug;
	const json_t *devices;
};
int fencing_ask_agent(const struct fencing_agent *a, char **ret_text, struct failure *f);

/* A line of what the agent prints: a device, and whether the host is let in there. */
enum fencing_side { FENCING_IN, FENCING_OUT, FENCING_UNKNOWN };
struct fencing_line {
	char device[256];
	enum fencing_side side;
	uint32_t generation;
	const char *why; /* of what is not known */
};
/* The next one, which is cut off in *text; false: there is none. */
bool fencing_next_line(char **text, struct fencing_line *ret_line);

/* The engine's configuration. 0, or -errno and the sentence. */
int fencing_read_rungs(json_t **ret_rungs, struct failure *f);

/* In the lane. Registers this host where it is not yet, with `reserve` as who is let in, and takes
 * the note of all else back. */
int fencing_bring_in(const char *run, const struct members *m, const char *self,
		     const json_t *devices, bool reserve, struct failure *f);

/* The list of members has changed: who has gone is cut off, and the engine is told who is there. */
void fencing_follow(const struct members *old, const struct members *next, const char *self);

/* ---- the note: device -> generation; to be freed ---- */

/* NULL: no memory. One of another boot, or that cannot be used, is empty. */
json_t *fencing_decode_note(const char *text, size_t len, const char *boot);

#endif
