/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The VM's NICs, each with its back end: a tap in a bridge, or user-mode networking by passt.
 *
 * Threads: with the lock of the devices held.
 */
#ifndef OYA_WORKER_NETWORK_H
#define OYA_WORKER_NETWORK_H

#include <jansson.h>

#include "base/record.h"
#include "devices/net/netvsp.h"
#include "lib/fail.h"
#include "lib/loop.h"
#include "worker/config.h"

struct nic;

struct network {
	struct vmbus *bus;
	struct loop *loop;
	unsigned cpus;
	unsigned made;                    /* ever, by which instance ids differ */
	struct nic *nic[CONFIG_NICS_MAX]; /* by their numbers; NULL: free */
	struct timer announce;            /* armed while some are to follow */
	unsigned announced;
};

int network_init(struct network *n, const struct config *config, struct vmbus *bus,
		 struct loop *loop, struct failure *f);
void network_done(struct network *n);

/* While the guest runs: a NIC on a tap that somebody else opened. 0 and *ret_number, or
 * -errno and the sentence; fd stays the caller's. `port` has no ifname. */
int network_add(struct network *n, const struct config_port *port, int fd, unsigned *ret_number,
		struct failure *f);
int network_remove(struct network *n, unsigned number, struct failure *f);

/* Tells the switches where the VM's addresses are now, at once and some times more. */
void network_announce(struct network *n);

/* Plugs the cable in, or pulls it. */
int network_set_link(struct network *n, unsigned number, bool up, struct failure *f);

/* NIC `number` in a saved state. One that is read goes to the NIC with its address, whatever its
 * number, which takes up the instance that the guest knows. */
void network_record(struct network *n, unsigned number, struct record *r);

/* A list of objects, one per NIC. */
json_t *network_statistics(const struct network *n);

#endif
