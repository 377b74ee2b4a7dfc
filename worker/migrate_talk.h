/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the thread of a migration has on its stack, and shares with those that it makes: of each
 * connection one writes at a time.
 */
#ifndef OYA_WORKER_MIGRATE_TALK_H
#define OYA_WORKER_MIGRATE_TALK_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "worker/migrate.h"

struct talk {
	struct vm *vm;
	struct migration *m;
	struct failure *f;
	unsigned lanes; /* connections that are used; the first is the VM's stream */
	uint64_t features;
	struct state_writer writer[STATE_LANES_MAX];
	struct dirty_sink sink[STATE_LANES_MAX];
	pthread_mutex_t pace_lock;
	uint64_t pace_from, paced;      /* since when, how many bytes */
	uint64_t fixed_ns, image_bytes; /* as rehearsed */
	uint64_t looked_ns, left;       /* dirty pages then */
	uint64_t least_ns, least_at_ns; /* the best promise, and when it came */
	unsigned stubborn;              /* rounds since then */
	uint32_t mark;                  /* the last one */
	bool may_late, late;            /* memory may come later; it does */
	bool offered;                   /* the lease */
	uint64_t memory_bytes,
		link_bytes; /* of pages in the last round, and how many they became */

	/* migrate_late.c: who sends what is waited for, once the other side may wait */
	bool serves;
	pthread_t server;
	int why_not; /* once that has ended. 0: the other side needs no more */
	struct failure server_failure;
};

/* What a further connection begins with; or the first one anew, behind the VM's stream. */
int talk_open_lane(struct talk *t, unsigned number, struct failure *f);

/* As dirty_sink.pace: without a wait, but counted. */
int talk_count(void *ctx, uint64_t bytes, struct failure *f);
/* What was not sent while there was nothing to send is not made good. */
void talk_pace_anew(struct talk *t);

/* ---- migrate_late.c ---- */

/* Begins to send what the other side waits for. 0, or -errno and the sentence. */
int late_serve(struct talk *t);
/* The VM does not run there: ends that. Fine when it never began. */
void late_cease(struct talk *t);
/* The VM runs there: sends all the rest, until the other side needs no more. What went wrong with
 * it costs the VM there, and is told in t->f. */
void late_push(struct talk *t);

#endif
