/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The VM's NICs, each with its back end: a tap in a bridge, or user-mode networking by passt.
 *
 * Threads: with the lock of the devices held.
 */
#ifndef OYA_WORKER_NETWORK_H
#define OYA_WORKER_NETWORK_H

#include <jansson.h>

#include "devices/net/netvsp.h"
#include "lib/fail.h"
#include "lib/loop.h"
#include "worker/config.h"

struct nic;

struct network {
	unsigned count;
	struct nic *nic[CONFIG_NICS_MAX];
};

int network_init(struct network *n, const struct config *config, struct vmbus *bus,
		 struct loop *loop, struct failure *f);
void network_done(struct network *n);

/* A list of objects, one per NIC. */
json_t *network_statistics(const struct network *n);

#endif
