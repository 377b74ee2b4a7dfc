/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the parts of host/drain.h share: a task (host/cluster_impl.h) with what it follows. */
#ifndef OYA_HOST_DRAIN_IMPL_H
#define OYA_HOST_DRAIN_IMPL_H

#include "host/cluster_impl.h"
#include "host/drain.h"
#include "host/drain_view.h"

#define DRAIN_STANDBY "standby"

/* `gone` of the task is the host's name. */
struct drain {
	struct list link; /* of the cluster */
	struct cluster_task *t;
	json_t *view, *failures; /* what the engine says */
	json_t *vms;             /* that the host's oyad lists; NULL: it does not answer */
	json_t *names;           /* of the VMs that are followed */
	json_t *told, *seen;     /* failures, and names of VMs that have arrived: told already */
	unsigned quiet;          /* looks at an engine with nothing left to do */
	bool back, follows, cancelled;
	bool stood; /* in standby, as it was seen */
};

/* A member's text; "" when there is none. */
const char *drain_text(const json_t *object, const char *name);
/* Whether the host is that: "online", "standby". */
bool drain_is(const struct drain *d, const char *name);
json_t *drain_vms(const struct drain *d);

/* ---- steps, in the pool ---- */

/* What the engine does next, and what has failed. */
int drain_look(struct cluster_task *t);
/* What it would do, were the host in standby; what has failed up to now is told already. */
int drain_look_ahead(struct cluster_task *t);
/* Standby begins; the names are noted for those who come back. */
int drain_leave(struct cluster_task *t);
int drain_end_standby(struct cluster_task *t);
/* The same of a host that is drained; `back`: VMs that left are drawn back and followed. */
int drain_come_back(struct cluster_task *t);
/* They are drawn no more. */
int drain_let_go(struct cluster_task *t);

#endif
