/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What this host has seen of its cluster (host/record.h): kept in a file of which the older half
 * goes when it is full, and told to who asks. Records are oyad's own, of VMs, and those of the
 * engine's alerts, which its agent sends to a socket.
 *
 * Trust: the socket is the engine's user's alone. The file is decoded as foreign.
 *
 * Threads: the loop's; the file is the pool's, in one lane.
 */
#ifndef OYA_HOST_CLUSTER_LOG_H
#define OYA_HOST_CLUSTER_LOG_H

#include <jansson.h>
#include <systemd/sd-event.h>

#include "host/host.h"
#include "host/record.h"

#define CLUSTER_LOG "cluster-log"          /* in the folder of the host's state; behind it: .old */
#define CLUSTER_LOG_BYTES_MAX (256u << 10) /* of each of both */
#define CLUSTER_LOG_ALERTS "engine"        /* the socket, in the daemon's folder for what runs */

/* Of a host in a cluster; else nothing. Without a time it is now, without a host it is this one. */
void cluster_log_add(struct host *h, const struct record *r);

/* The same of a VM of this host's, now; `why` may be "". */
void cluster_log_add_vm(struct host *h, enum record_kind kind, const char *vm, const char *why);

/* In the pool: the records later than that, the oldest first; NULL: no memory. */
json_t *cluster_log_read(const char *state, int64_t since_us);

/* Takes alerts from now on. 0, or -errno and the sentence. */
int cluster_log_listen(struct host *h, sd_event_source **ret_source, struct failure *f);
/* Its end; NULL is fine. An alert that comes then waits for the next daemon. */
void cluster_log_deafen(const struct host *h, sd_event_source *source);

#endif
