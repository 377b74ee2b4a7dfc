/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual switches of the host, and the ports by which VMs are plugged into them.
 *
 * A switch is a Linux bridge, a port a tap interface; guards and address translation are one
 * nftables table `oya` per family. The kernel holds all of it, so it works on while the daemon is
 * away; what is wanted is in `struct switch_config` and `struct port_config`, which the caller
 * keeps (host.json) and hands to switches_reconcile() at its start.
 *
 * Ownership: interfaces whose names begin with "oya-" (bridges) or "oyat" (taps), and the tables
 * `oya`, are ours: they are made, changed and removed here and by nobody else.
 * Blocking: nothing here may be called by the loop's thread, but for what says so. A call takes
 * milliseconds (netlink) to some ten milliseconds (nftables, which takes all ports each time); one
 * that starts the DHCP service 150 ms more, one that ends it up to 2 s, and one that deletes an
 * interface what the kernel waits for its readers, some ten milliseconds.
 * Threads: one call at a time on a `struct switches`; any thread, of the network namespace in
 * which it was made.
 * Trust: configurations come decoded and checked (switch_config_decode); the kernel is trusted.
 * Errors: -errno and a sentence; what a call that failed had made is undone.
 *
 * Invariants (docs/design/switches.md):
 * 1. A port's guards are in the kernel before the port is in a bridge.
 * 2. What is as wanted is not touched: a reconciliation loses no frame.
 * 3. Rules change in one transaction: no frame meets half of them.
 * 4. An address of the host is always on the NIC or on its bridge, in between on both.
 */
#ifndef OYA_HOST_SWITCH_H
#define OYA_HOST_SWITCH_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/guid.h"
#include "lib/fail.h"

#define SWITCH_NAME_MAX 32u
#define SWITCHES_MAX 64u
#define PORT_ID_MAX 11u
#define PORTS_MAX 4096u
#define VLAN_MAX 4094u

enum switch_kind {
	SWITCH_EXTERNAL, /* with a NIC of the host */
	SWITCH_INTERNAL, /* VMs and the host */
	SWITCH_PRIVATE,  /* VMs alone */
	SWITCH_NAT,      /* VMs, the host, and through it what the host reaches */
};

/* IPv4 addresses are in the host's byte order. */
struct switch_config {
	char name[SWITCH_NAME_MAX + 1];
	enum switch_kind kind;
	char nic[IFNAMSIZ]; /* external: the NIC */
	bool host;          /* external: the host goes on using the NIC, by the bridge */
	uint32_t address;   /* internal, nat: the host's; 0: none (internal alone) */
	unsigned prefix;    /* bits of its network */
	bool dhcp;          /* nat: addresses and names by dnsmasq */
	uint32_t dhcp_first, dhcp_last;
	unsigned lease_s;
	unsigned mtu; /* 0: as the kernel or the NIC has it */
};

enum port_vlan {
	PORT_VLAN_NONE, /* untagged frames alone, of the switch's own VLAN (1) */
	PORT_VLAN_ACCESS,
	PORT_VLAN_TRUNK,
};

struct port_config {
	char id[PORT_ID_MAX + 1];
	char switch_name[SWITCH_NAME_MAX + 1]; /* "": not plugged in */
	uint32_t owner;                        /* uid that may open the tap */
	uint8_t mac[6];                        /* the VM's, for the guard; zero: not known */
	bool spoof_guard;                      /* drop what comes from another MAC */
	bool dhcp_guard;                       /* drop what only DHCP servers and routers send */
	bool isolated; /* not among each other: to ports that are not isolated alone */
	enum port_vlan vlan_mode;
	uint16_t vlan;      /* access: its VLAN; trunk: that of untagged frames, 0: none */
	uint64_t trunk[64]; /* trunk: bit n: VLAN n */
	uint64_t send_kbit, receive_kbit; /* limits of the VM, per second; 0: none */
	unsigned mtu;                     /* 0: as its switch */
};

/* Configurations: pure. */

struct json_t;

/* Reads a member of 'switches' or 'ports'. 0 and *ret, or -EINVAL and the sentence. */
int switch_config_decode(struct json_t *obj, struct switch_config *ret, struct failure *f);
int port_config_decode(struct json_t *obj, struct port_config *ret, struct failure *f);
/* A new object that decodes to the same; NULL: out of memory. */
struct json_t *switch_config_encode(const struct switch_config *c);
struct json_t *port_config_encode(const struct port_config *c);

/* What each may be is checked by decoding; this is what they are together: names that are there
 * twice, two switches on one NIC or with one network, ports of a switch that is not there. */
int switch_configs_check(const struct switch_config *switches, size_t switch_count,
			 const struct port_config *ports, size_t port_count, struct failure *f);

/* The bridge of a switch: "oya-" and its name, or what is left of it and a digest. */
void switch_ifname(const char *name, char ret[IFNAMSIZ]);
/* The tap of a port. */
void port_ifname(const char *id, char ret[IFNAMSIZ]);
/* The id of a VM's NIC: always the same for the same two. */
void port_id_of(const struct guid *vm, unsigned nic, char ret[PORT_ID_MAX + 1]);

/* The kernel's side. */

struct switches;

struct switches_options {
	const char *run_dir;   /* for the DHCP services' files until the next boot; exists */
	const char *state_dir; /* for their leases; exists */
	const char *dnsmasq;   /* the program; NULL: /usr/sbin/dnsmasq */
};

/* Opens netlink, changes nothing. 0 and *ret, or -errno and the sentence. */
int switches_new(const struct switches_options *options, struct switches **ret, struct failure *f);
/* Leaves the kernel's state, and the DHCP services, as they are. */
void switches_free(struct switches *s);

/* What switches_reconcile() did, and what it could not. */
struct switches_report {
	unsigned made, removed; /* interfaces */
	unsigned failed;        /* objects that are not as wanted */
	struct failure first;   /* of the failures */
};

/* Brings the kernel to what is wanted: makes and changes what differs, removes what is ours and
 * not wanted. Goes on behind an object that fails. 0; or the first failure's -errno with *f. */
int switches_reconcile(struct switches *s, const struct switch_config *switches,
		       size_t switch_count, const struct port_config *ports, size_t port_count,
		       struct switches_report *ret, struct failure *f);

/* Makes a switch. An external one takes over the NIC's addresses and routes: the caller then goes
 * on with a trial (below), and with switches_remove() if that fails. */
int switches_add(struct switches *s, const struct switch_config *config, struct failure *f);
/* -EBUSY while ports are plugged in. The host's addresses go back to the NIC. -ENOENT. */
int switches_remove(struct switches *s, const char *name, struct failure *f);

/* Makes the tap, and plugs it in where the configuration has a switch. -EEXIST. */
int switches_add_port(struct switches *s, const struct port_config *config, struct failure *f);
/* Changes a port while it runs: plugs it elsewhere or nowhere, VLANs, guards, limits. -ENOENT. */
int switches_change_port(struct switches *s, const struct port_config *config, struct failure *f);
/* Unplugs and deletes it; a worker that has it open sees its end. -ENOENT. */
int switches_remove_port(struct switches *s, const char *id, struct failure *f);

/* Of this kernel, once known: false before the first switch was made or found. */
bool switches_have_vlans(const struct switches *s);

/* An address and a network for a NAT switch that meets no route of the host's. 0, -ENOENT. */
int switches_pick_network(struct switches *s, uint32_t *ret_address, unsigned *ret_prefix,
			  struct failure *f);

/* The trial of an external switch: it is kept when the network answers through it and, where
 * asked for, the caller has confirmed; else taken back. Pure but for switches_probe(). */

enum trial_state { TRIAL_WAITING, TRIAL_KEPT, TRIAL_FAILED };

struct switch_trial {
	enum trial_state state;
	uint64_t deadline_ms;
	bool confirm;             /* the caller has to */
	bool answered, confirmed; /* so far */
};

void switch_trial_begin(struct switch_trial *t, uint64_t now_ms, uint64_t wait_ms, bool confirm);
/* Takes what is known now; the caller comes back every few 100 ms while it waits, and removes the
 * switch once it has failed. */
enum trial_state switch_trial_step(struct switch_trial *t, uint64_t now_ms, bool answers,
				   bool confirmed);

/* Whether a gateway of the host answers through the external switch; without a gateway, whether
 * its NIC has a link. 1, 0 (not yet: it is asked), or -errno and the sentence. */
int switches_probe(struct switches *s, const char *name, struct failure *f);
/* Ends the trial for the kernel: IPv4 addresses of a lease stay for good, since the service that
 * renewed them knows the NIC alone. *ret_leases: how many there were. */
int switches_keep(struct switches *s, const char *name, unsigned *ret_leases, struct failure *f);

/* The DHCP services are processes of their own, which outlive us and are found again. */

/* A descriptor that is readable when the service has ended, for the loop; -1: there is none. It
 * stays ours. May be called by the loop's thread. */
int switches_dhcp_fd(const struct switches *s, const char *name);
/* The service ended, or the time that this returned has come. Starts it again, or tells in
 * *ret_wait_ms after which time to come back: 0 when it runs. now_ms: of CLOCK_MONOTONIC. */
int switches_dhcp_ended(struct switches *s, const char *name, uint64_t now_ms,
			uint64_t *ret_wait_ms, struct failure *f);

#endif
