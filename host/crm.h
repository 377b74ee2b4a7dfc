/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the cluster engine (Pacemaker) says of the hosts of its cluster, by its program crm_mon.
 *
 * Trust: the engine decides; its words are bounded and decoded all the same.
 *
 * Threads: crm_ask() waits, for the pool; the rest is pure.
 */
#ifndef OYA_HOST_CRM_H
#define OYA_HOST_CRM_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/fail.h"

struct crm_view {
	bool decides; /* it has a coordinator and a quorum */
	bool fences;  /* it is set up to cut off a silent host */
	bool known;   /* the host is of its cluster */
	bool online;
	bool unclean; /* silent, and not cut off yet */
};

/* The XML of crm_mon, as to one host. 0, or -errno and the sentence. */
int crm_decode(const char *text, size_t len, const char *host, struct crm_view *ret_view,
	       struct failure *f);

/* Whether the host certainly runs nothing: it was fenced, or has left. 0; -EBUSY and why not. */
int crm_judge(const struct crm_view *view, const char *host, struct failure *f);

/* Asks now. 0, or -errno and the sentence. */
int crm_ask(const char *host, struct crm_view *ret_view, struct failure *f);

#endif
