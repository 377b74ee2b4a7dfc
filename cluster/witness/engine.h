/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * corosync, as its quorum device sees it: settings, partitions, and the vote that is cast.
 *
 * Threads: one. Calls wait for corosync.
 * Trust: corosync is trusted; numbers of its configuration are bounded here.
 */
#ifndef OYA_CLUSTER_WITNESS_ENGINE_H
#define OYA_CLUSTER_WITNESS_ENGINE_H

#include <corosync/cmap.h>
#include <corosync/votequorum.h>

#include "cluster/witness/record.h"

#define ENGINE_PATH_MAX 4096u

struct engine {
	votequorum_handle_t quorum;
	cmap_handle_t map;
	bool connected;
	bool counted; /* corosync may count a vote: of this program, or of one before it */
	votequorum_ring_id_t ring_id;
	struct witness_ring ring;
	void (*changed)(void *owner); /* ring is another */
	void *owner;
};

/* What corosync.conf says. */
struct engine_settings {
	uint32_t node, timeout_ms, sync_timeout_ms, token_ms;
	char cluster[WITNESS_CLUSTER_MAX];
	char path[ENGINE_PATH_MAX]; /* quorum.device.oya.path; empty: none */
};

/* All: 0, or -errno and the sentence. -ENOTCONN: corosync has gone. */

int engine_open(struct engine *e, struct engine_settings *ret_settings, struct failure *f);
/* Registers as the quorum device and asks to be told of partitions. *ret_fd is readable when
 * engine_dispatch() has something to do. */
int engine_register(struct engine *e, int *ret_fd, struct failure *f);
int engine_dispatch(struct engine *e, struct failure *f);
/* Casts the vote, or says that there is none, for the partition e->ring. One that has changed
 * meanwhile makes no failure: `changed` is called soon. */
int engine_poll(struct engine *e, bool vote, struct failure *f);
/* How many nodes the cluster has; 0: that cannot be read. */
uint32_t engine_nodes(struct engine *e);
/* Takes the vote back, if there is one. */
void engine_close(struct engine *e);

#endif
