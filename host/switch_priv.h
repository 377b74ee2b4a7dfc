/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the switches share; nobody else includes it. */
#ifndef OYA_HOST_SWITCH_PRIV_H
#define OYA_HOST_SWITCH_PRIV_H

#include <netinet/in.h>

#include "host/rtnl.h"
#include "host/switch.h"

#define OUR_PREFIX "oya"
#define BRIDGE_PREFIX "oya-"
#define TAP_PREFIX "oyat"
#define SWITCH_VLAN 1u /* of untagged frames, where nobody chose another */
#define SWITCH_PATH_MAX 256u
#define DNSMASQ "/usr/sbin/dnsmasq"
#define OPENED_MAX 16u
#define FNV_BEGIN UINT64_C(0xcbf29ce484222325)

static inline uint32_t mask_of(unsigned prefix)
{
	return prefix ? ~UINT32_C(0) << (32 - prefix) : 0;
}

const char *switch_kind_text(enum switch_kind kind);
void ip_text(uint32_t address, char ret[INET_ADDRSTRLEN]);
/* Of the bridge of a switch without a NIC: always the same for a name. */
void switch_mac(const char *name, uint8_t ret[6]);

/* Rules (switch_rules.c). */

struct rules {
	const struct switch_config *switches;
	size_t switch_count;
	const struct port_config *ports;
	size_t port_count;
	/* NICs that forward for us alone: only what a VM began may come in by them. */
	const char (*opened)[IFNAMSIZ];
	size_t opened_count;
};

/* The commands for nftables that replace all of our rules by these. Pure. NULL: out of memory. */
char *rules_text(const struct rules *r);
/* Carries them out, in one transaction. */
int rules_apply(const struct rules *r, struct failure *f);

/* Interfaces (switch_link.c). */

struct link {
	int index;
	int master; /* index of its bridge, 0: none */
	uint32_t mtu;
	bool up, carrier, isolated;
	char name[IFNAMSIZ];
	char kind[16];  /* "bridge", "tun", "" */
	char qdisc[16]; /* at its root */
	uint8_t mac[6];
	int vlan_filtering; /* of a bridge; -1: this kernel has none */
	uint32_t owner;     /* of a tap; UINT32_MAX: anyone */
};

/* Members of a VLAN, as bitmaps. */
struct vlan_set {
	uint64_t member[64], untagged[64];
	uint16_t pvid; /* 0: none */
};

/* 0 and *ret; -ENODEV: there is none. */
int link_get(struct rtnl *n, const char *name, struct link *ret);
/* All interfaces that satisfy `ours` by their names, or are ports of `master` where that is not 0;
 * to be freed. */
int link_list(struct rtnl *n, int master, struct link **ret, size_t *ret_count);

/* With VLANs where the kernel has them. */
int link_make_bridge(struct rtnl *n, const char *name, const uint8_t mac[6], unsigned mtu);
int link_delete(struct rtnl *n, int index);
int link_set_up(struct rtnl *n, int index);
int link_set_mtu(struct rtnl *n, int index, unsigned mtu);
/* master 0: out of its bridge. */
int link_set_master(struct rtnl *n, int index, int master);
int link_set_isolated(struct rtnl *n, int index, bool on);
int link_set_alias(struct rtnl *n, int index, const char *text);
/* No IPv6 address by itself: for what only carries frames. */
int link_mute_ipv6(struct rtnl *n, int index);
/* A persistent tap for workers of this user, which is down; one that nobody has open may be there
 * already. */
int link_make_tap(const char *name, uint32_t owner);

/* Brings the VLANs of a port (self: of the bridge itself) to `wanted`. */
int link_set_vlans(struct rtnl *n, int index, bool self, const struct vlan_set *wanted);

/* Limits what leaves the host by the interface; 0: no limit, given what it has now. -EOPNOTSUPP:
 * this kernel cannot. */
int link_set_rate(struct rtnl *n, const struct link *link, uint64_t kbit);

/* The IPv4 address of an interface; others on it go. address 0: none at all. */
int link_set_address(struct rtnl *n, int index, uint32_t address, unsigned prefix);

/* Addresses and routes (switch_takeover.c). */

/* Gives addresses and routes of one interface to another, in an order in which the host has each
 * of them at any time. Addresses of one link (fe80::) are given and kept. */
int takeover_move(struct rtnl *n, int from, int to);
/* Settings of the IP stack that are one interface's. Best effort. */
void takeover_copy_settings(const char *from, const char *to);
/* Whether something is reached by the bridge: 1, 0, -errno. */
int takeover_probe(struct rtnl *n, int bridge, bool carrier);
/* Whether the host has an address on the interface, but for those of one link. */
int takeover_has_addresses(struct rtnl *n, int index, bool *ret);
/* IPv4 addresses that would end stay; how many. */
int takeover_keep_leases(struct rtnl *n, int bridge, unsigned *ret_count);

/* Whether a route of the host's meets this network, but for those of `except` (an index). */
int routes_overlap(struct rtnl *n, uint32_t network, unsigned prefix, int except, bool *ret);
/* Names of the interfaces of default routes of IPv4. */
int routes_uplinks(struct rtnl *n, char (*ret)[IFNAMSIZ], size_t max, size_t *ret_count);

/* A setting /proc/sys/net/<family>/conf/<ifname>/<key>, a number. 0 or -errno. */
int setting_read(const char *family, const char *ifname, const char *key, int *ret);
int setting_write(const char *family, const char *ifname, const char *key, int value);

/* The DHCP and name service of a NAT switch (switch_dhcp.c). */

struct dhcp {
	int pidfd; /* -1: does not run */
	uint64_t started_ms;
	unsigned fast_ends; /* in a row */
};

/* The configuration of dnsmasq. Pure. NULL: out of memory. */
char *dhcp_text(const struct switch_config *c, const char *state_dir);
/* Has the service run with this configuration: the one that runs already, or a new one. */
int dhcp_ensure(struct dhcp *d, const struct switch_config *c,
		const struct switches_options *options, struct failure *f);
/* Ends it and removes its files; leases stay. */
void dhcp_stop(struct dhcp *d, const char *ifname, const struct switches_options *options);
/* Ends those that no switch of the list wants. */
void dhcp_stop_others(const struct switch_config *switches, size_t count,
		      const struct switches_options *options);
/* Its end has been seen: waits for it where it is our child. */
void dhcp_reap(struct dhcp *d);
/* Lets it run on, unwatched. */
void dhcp_forget(struct dhcp *d);
/* How long to wait before the next start of a service that ended `fast_ends` times at once. */
uint64_t dhcp_wait_ms(unsigned fast_ends);

/* Switches (switch.c, switch_port.c, switch_reconcile.c). */

struct switch_item {
	struct switch_config config;
	struct dhcp dhcp;
};

struct switches {
	struct rtnl nl;
	struct switches_options options; /* texts are ours */
	bool vlans;                      /* this kernel has them */
	struct switch_item *item;
	size_t item_count;
	struct port_config *port;
	size_t port_count;
};

struct switch_item *switches_find(const struct switches *s, const char *name);
struct port_config *switches_find_port(const struct switches *s, const char *id);

/* NICs that forward for NAT switches alone (switch_forward.c). */
struct opened {
	char name[OPENED_MAX][IFNAMSIZ];
	size_t count;
};
bool forward_wanted(const struct switches *s);
/* Which ones it takes. Changes nothing. */
int forward_plan(struct switches *s, struct opened *ret, struct failure *f);
/* Opens these and the bridges, closes those of before. */
int forward_open(struct switches *s, const struct opened *opened, struct failure *f);

/* Rules, and forwarding, for what s has now. */
int switches_apply_rules(struct switches *s, struct failure *f);

/* Makes the bridge or changes what differs; what was made is undone on failure. */
int switch_ensure(struct switches *s, const struct switch_config *c, bool *ret_made,
		  struct failure *f);
/* Gives its NIC back, and deletes it. 0 also when there is none. */
int switch_take_down(struct switches *s, const char *ifname, struct failure *f);
/* VLANs of the NIC of an external switch: all that its ports have. */
int switch_uplink_vlans(struct switches *s, const struct switch_config *c, struct failure *f);

int port_ensure(struct switches *s, const struct port_config *c, bool *ret_made, struct failure *f);
int port_take_down(struct switches *s, const char *id, struct failure *f);

/* " (...)" with the kernel's words on the last error, or "". */
const char *switches_why(const struct switches *s);

#endif
