/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The host's switches as the service has them: kept in `host.json`, made in the kernel by
 * host/switch.h, shown and changed by the API; and the ports of VMs that are up.
 *
 * Threads: the loop's. What waits for the kernel is done by the pool in one lane, so what is asked
 * for happens in the order in which it was asked for.
 *
 * Invariants:
 *  1. a switch is in host.json once it is kept, and out of it before it goes;
 *  2. a VM's ports are there before its worker is, and go after it;
 *  3. an external switch that is on trial is taken back when it fails, and by the next start of
 *     the service when that dies.
 */
#ifndef OYA_HOST_NETWORK_H
#define OYA_HOST_NETWORK_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "host/switch.h"
#include "lib/fail.h"

#define NETWORK_DEFAULT "default" /* the NAT switch that is made when the first VM wants it */

struct host;
struct network;

/* Reads host.json. 0, or -errno and the sentence. */
int network_new(struct host *h, struct network **ret, struct failure *f);
/* Brings the kernel to what is wanted, with the ports of VMs whose workers live. Nothing is done
 * on a host that never had a switch. */
void network_start(struct network *n);
/* The kernel's side stays as it is. Called when the pool has ended. NULL is fine. */
void network_free(struct network *n);

/* r: 0, or -errno with the sentence. */
typedef void network_done_fn(void *ctx, int r, const struct failure *f);

struct network_trial_wish {
	unsigned wait_s; /* until the network must have answered */
	bool confirm;    /* and the caller must have confirmed */
};

/* Makes a switch; an external one is kept after its trial. 0: done() follows. */
int network_add(struct network *n, const struct switch_config *config,
		const struct network_trial_wish *wish, network_done_fn *done, void *ctx,
		struct failure *f);
/* -EBUSY while VMs have NICs on it. 0: done() follows. */
int network_remove(struct network *n, const char *name, network_done_fn *done, void *ctx,
		   struct failure *f);
/* A client has reached the host through the switch that is on trial. */
int network_confirm(struct network *n, const char *name, struct failure *f);

/* The ports of a VM that starts; taken. 0: done() follows. */
int network_plug(struct network *n, struct port_config *ports, size_t count, network_done_fn *done,
		 void *ctx, struct failure *f);
/* Of one that has ended; taken. */
void network_unplug(struct network *n, struct port_config *ports, size_t count);

/* Whether VMs can be given NICs on it. */
bool network_has(const struct network *n, const char *name);

/* What the API shows: of one, NULL when there is none; of all, behind a name. */
json_t *network_show(const struct network *n, const char *name);
json_t *network_list(const struct network *n);

#endif
