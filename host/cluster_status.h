/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The state of a cluster as the API shows it, of what the engine's programs print.
 *
 * Trust: their words are bounded by who reads them, and decoded as foreign ones. Pure.
 */
#ifndef OYA_HOST_CLUSTER_STATUS_H
#define OYA_HOST_CLUSTER_STATUS_H

#include <jansson.h>
#include <stddef.h>

#include "host/members.h"
#include "lib/fail.h"

/* Of a list alone: nobody is online. NULL: no memory. */
json_t *cluster_status_new(const struct members *m);

/* The XML of crm_mon --inactive; len 0: the engine says nothing. 0, or -errno and the sentence. */
int cluster_status_take_engine(json_t *status, const struct members *m, const char *text,
			       size_t len, struct failure *f);
/* What corosync-cfgtool -n prints. */
void cluster_status_take_links(json_t *status, const char *text);
/* What corosync-quorumtool -s prints. */
void cluster_status_take_witness(json_t *status, const char *text);

#endif
