/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The synthetic NIC: a VMBus device that speaks NVSP and RNDIS to the guest's network driver and
 * whole Ethernet frames to a back end (base/netport.h).
 *
 * Threads: every call with the lock of the devices held.
 * Trust: the guest is hostile, its messages and buffers are checked in devices/net; frames of the
 * back end are bytes that pass through.
 * Spec: abi/netvsc.h, abi/rndis.h; devices/net/README.md.
 */
#ifndef OYA_DEVICES_NET_NETVSP_H
#define OYA_DEVICES_NET_NETVSP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/guid.h"
#include "base/netport.h"
#include "base/record.h"
#include "devices/net/rndis.h"
#include "devices/vmbus/vmbus.h"

#define NETVSP_MTU_DEFAULT 1500u
#define NETVSP_MTU_MIN 68u
#define NETVSP_MTU_MAX (NETPORT_FRAME_MAX - 18u) /* 14 of Ethernet, 4 of a VLAN tag */

struct netvsp_config {
	struct guid instance;
	uint8_t mac[6];
	uint32_t mtu;       /* 0: NETVSP_MTU_DEFAULT */
	uint32_t link_mbps; /* what the guest is told; 0: 10000 */
	uint32_t queues;    /* channels that the guest may have; 0: 1, at most 8 */
	bool spoof_guard;   /* frames of the guest with another source than mac are dropped */
};

struct netvsp;

/* Offers a NIC with its link up. Fills in port->sink; the port must outlive the NIC, and the
 * back end may give frames from now on: those that no driver waits for are dropped.
 * NULL when there is no memory, no relid left, or the configuration makes no sense. */
struct netvsp *netvsp_new(struct vmbus *bus, const struct netvsp_config *config,
			  struct netport *port);

/* Takes the offer back and lets go of the port. NULL is fine. */
void netvsp_free(struct netvsp *nic);

/* Plugs or unplugs the cable. */
void netvsp_set_link(struct netvsp *nic, bool up);
bool netvsp_link(const struct netvsp *nic);

const struct netvsp_stats *netvsp_get_stats(const struct netvsp *nic);

/* The NIC in a record of a saved state: its protocols, both buffers, which sections are free or
 * with the guest, frames and answers that have not gone out, and the link as it was plugged.
 *
 * Reading: a NIC that no driver has used, of the same configuration, on a bus whose guest is not
 * connected yet, since sub-channels are offered again. Until the bus reopens the primary channel
 * the NIC counts as closed: frames are dropped, and a change of the link is told later. The back
 * end learns what frames may have once ready() has come. Takes memory of a fixed size for the
 * call; a record is refused as well when there is none. */
void netvsp_state(struct netvsp *nic, struct record *r);

/* Before it is read: the instance by which the guest knows the NIC. 0, or -EBUSY once it was used.
 */
int netvsp_set_instance(struct netvsp *nic, const struct guid *instance);

#endif
