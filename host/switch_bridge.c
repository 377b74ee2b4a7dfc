/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One switch in the kernel: its bridge, its NIC, the host's address. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/switch_priv.h"

/* The host has no part in it. */
static bool is_closed(const struct switch_config *c)
{
	return c->kind == SWITCH_PRIVATE || (c->kind == SWITCH_EXTERNAL && !c->host);
}

static int told(struct switches *s, int code, const char *doing, const struct switch_config *c,
		struct failure *f)
{
	return fail(f, code, "cannot %s the switch '%s': %s%s", doing, c->name, strerror(-code),
		    switches_why(s));
}

static void add_vlan(uint64_t map[64], unsigned vlan)
{
	map[vlan / 64] |= UINT64_C(1) << vlan % 64;
}

int switch_uplink_vlans(struct switches *s, const struct switch_config *c, struct failure *f)
{
	struct vlan_set v = {.pvid = SWITCH_VLAN};
	struct link nic;
	int r;

	if (!s->vlans || c->kind != SWITCH_EXTERNAL)
		return 0;
	for (size_t i = 0; i < s->port_count; i++) {
		const struct port_config *p = &s->port[i];

		if (strcmp(p->switch_name, c->name) != 0)
			continue;
		if (p->vlan)
			add_vlan(v.member, p->vlan);
		for (unsigned k = 0; p->vlan_mode == PORT_VLAN_TRUNK && k < 64; k++)
			v.member[k] |= p->trunk[k];
	}
	add_vlan(v.member, SWITCH_VLAN);
	add_vlan(v.untagged, SWITCH_VLAN);
	r = link_get(&s->nl, c->nic, &nic);
	if (r == 0)
		r = link_set_vlans(&s->nl, nic.index, false, &v);
	return r < 0 ? told(s, r, "set the VLANs of the NIC of", c, f) : 0;
}

/* Takes a NIC out of a bridge, with what the host has on the bridge. */
static int release_nic(struct rtnl *n, int bridge, int nic)
{
	int r = takeover_move(n, bridge, nic);
	int r2 = link_set_master(n, nic, 0);

	/* Routes of IPv6 may want the interface to be by itself first. */
	if (r < 0 && r2 == 0)
		r = takeover_move(n, bridge, nic);
	return r < 0 ? r : r2;
}

/* Ports that are neither taps nor the switch's NIC: of a configuration before. */
static int release_others(struct switches *s, const struct link *bridge, const char *nic)
{
	struct link *port = NULL;
	size_t count = 0;
	int r = link_list(&s->nl, bridge->index, &port, &count);

	for (size_t i = 0; i < count && r == 0; i++)
		if (strncmp(port[i].name, TAP_PREFIX, strlen(TAP_PREFIX)) != 0 &&
		    strcmp(port[i].name, nic) != 0)
			r = release_nic(&s->nl, bridge->index, port[i].index);
	free(port);
	return r;
}

static int check_nic(struct switches *s, const struct switch_config *c, const struct link *nic,
		     int bridge, struct failure *f)
{
	bool used = false;
	int r;

	if (nic->master && nic->master != bridge)
		return fail(f, -EBUSY,
			    "cannot use the NIC '%s' for the switch '%s': it is part of another "
			    "bridge or bond; name that one instead, or take the NIC out of it",
			    c->nic, c->name);
	if (c->mtu > nic->mtu)
		return fail(f, -EINVAL,
			    "cannot give the switch '%s' an MTU of %u: its NIC '%s' has %u; raise "
			    "that first",
			    c->name, c->mtu, c->nic, nic->mtu);
	if (c->host)
		return 0;
	r = takeover_has_addresses(&s->nl, nic->index, &used);
	if (r < 0)
		return told(s, r, "look at the NIC of", c, f);
	if (used)
		return fail(f, -EBUSY,
			    "cannot use the NIC '%s' for the switch '%s' alone: the host has "
			    "addresses on it; set 'host' to true, so that both use it, or remove "
			    "them",
			    c->nic, c->name);
	return 0;
}

static int take_nic(struct switches *s, const struct switch_config *c, const struct link *bridge,
		    struct failure *f)
{
	struct link nic;
	bool fresh;
	int r = link_get(&s->nl, c->nic, &nic);

	if (r < 0)
		return fail(f, r, "cannot use the NIC '%s' for the switch '%s': %s", c->nic,
			    c->name, r == -ENODEV ? "there is none of that name" : strerror(-r));
	r = check_nic(s, c, &nic, bridge->index, f);
	if (r < 0)
		return r;
	fresh = nic.master != bridge->index;
	if (fresh && c->host)
		takeover_copy_settings(nic.name, bridge->name);
	if (!nic.up)
		r = link_set_up(&s->nl, nic.index);
	if (r == 0 && fresh)
		r = link_set_master(&s->nl, nic.index, bridge->index);
	if (r < 0)
		return fail(f, r,
			    "cannot make the NIC '%s' a port of the switch '%s': %s%s; wireless "
			    "NICs cannot be ports: use a switch of kind nat",
			    c->nic, c->name, strerror(-r), switches_why(s));
	r = switch_uplink_vlans(s, c, f);
	if (r == 0 && c->host) {
		r = takeover_move(&s->nl, nic.index, bridge->index);
		if (r < 0)
			told(s, r, "move the host's addresses and routes to", c, f);
	}
	if (r < 0 && fresh)
		(void)release_nic(&s->nl, bridge->index, nic.index);
	return r;
}

/* What the host has on the bridge itself. */
static int set_host_side(struct switches *s, const struct switch_config *c,
			 const struct link *bridge, struct failure *f)
{
	struct vlan_set v = {0};
	int r = 0;

	if (!is_closed(c)) {
		v.pvid = SWITCH_VLAN;
		add_vlan(v.member, SWITCH_VLAN);
		add_vlan(v.untagged, SWITCH_VLAN);
	}
	if (s->vlans)
		r = link_set_vlans(&s->nl, bridge->index, true, &v);
	if (r < 0)
		return told(s, r, "set the VLANs of", c, f);
	if (c->kind != SWITCH_EXTERNAL)
		r = link_set_address(&s->nl, bridge->index, c->address, c->prefix);
	return r < 0 ? told(s, r, "set the host's address on", c, f) : 0;
}

static int configure(struct switches *s, const struct switch_config *c, struct link *bridge,
		     bool made, struct failure *f)
{
	char alias[64];
	int r = 0;

	if (made) {
		snprintf(alias, sizeof(alias), "oya switch %s", c->name);
		(void)link_set_alias(&s->nl, bridge->index, alias); /* for people only */
		if (is_closed(c))
			(void)link_mute_ipv6(&s->nl, bridge->index); /* -EAFNOSUPPORT is fine */
	}
	r = release_others(s, bridge, c->kind == SWITCH_EXTERNAL ? c->nic : "");
	if (r < 0)
		return told(s, r, "give a NIC back that was part of", c, f);
	if (!made && c->mtu && c->mtu != bridge->mtu)
		r = link_set_mtu(&s->nl, bridge->index, c->mtu);
	if (r < 0)
		return told(s, r, "set the MTU of", c, f);
	if (!bridge->up)
		r = link_set_up(&s->nl, bridge->index);
	if (r < 0)
		return told(s, r, "bring up", c, f);
	r = set_host_side(s, c, bridge, f);
	if (r == 0 && c->kind == SWITCH_EXTERNAL)
		r = take_nic(s, c, bridge, f);
	return r;
}

/* Makes the bridge as the NIC is, so that the host is the same to its network. */
static int make(struct switches *s, const struct switch_config *c, const char *ifname,
		struct failure *f)
{
	struct link nic;
	unsigned mtu = c->mtu;
	uint8_t mac[6];
	int r;

	switch_mac(c->name, mac);
	if (c->kind == SWITCH_EXTERNAL) {
		r = link_get(&s->nl, c->nic, &nic);
		if (r < 0)
			return fail(f, r, "cannot use the NIC '%s' for the switch '%s': %s", c->nic,
				    c->name,
				    r == -ENODEV ? "there is none of that name" : strerror(-r));
		memcpy(mac, nic.mac, sizeof(mac));
		mtu = mtu ? mtu : nic.mtu;
	}
	r = link_make_bridge(&s->nl, ifname, mac, mtu);
	return r < 0 ? told(s, r, "make the bridge of", c, f) : 0;
}

static int check_network(struct switches *s, const struct switch_config *c, int bridge,
			 struct failure *f)
{
	char text[INET_ADDRSTRLEN];
	bool overlap = false;
	int r;

	if (!c->address)
		return 0;
	r = routes_overlap(&s->nl, c->address & mask_of(c->prefix), c->prefix, bridge, &overlap);
	if (r < 0)
		return told(s, r, "look at the host's routes for", c, f);
	ip_text(c->address, text);
	if (overlap)
		return fail(f, -EADDRINUSE,
			    "cannot give the switch '%s' the network of %s/%u: a route of the host "
			    "leads there; choose another 'address'",
			    c->name, text, c->prefix);
	return 0;
}

int switch_ensure(struct switches *s, const struct switch_config *c, bool *ret_made,
		  struct failure *f)
{
	char ifname[IFNAMSIZ];
	struct failure ignored = {""};
	struct link bridge;
	bool made;
	int r;

	switch_ifname(c->name, ifname);
	r = link_get(&s->nl, ifname, &bridge);
	made = r == -ENODEV;
	if (r < 0 && !made)
		return told(s, r, "look at", c, f);
	if (!made && strcmp(bridge.kind, "bridge") != 0)
		return fail(f, -EEXIST,
			    "cannot make the switch '%s': an interface '%s' is there that is no "
			    "bridge; names that begin with %s are oyad's, rename or remove it",
			    c->name, ifname, BRIDGE_PREFIX);
	r = check_network(s, c, made ? 0 : bridge.index, f);
	if (r == 0 && made)
		r = make(s, c, ifname, f);
	if (r < 0)
		return r;
	if (made) {
		r = link_get(&s->nl, ifname, &bridge);
		if (r < 0)
			return told(s, r, "look at", c, f);
	}
	s->vlans = bridge.vlan_filtering > 0;
	r = configure(s, c, &bridge, made, f);
	if (r < 0 && made)
		(void)switch_take_down(s, ifname, &ignored);
	if (r == 0)
		*ret_made = made;
	return r;
}

int switch_take_down(struct switches *s, const char *ifname, struct failure *f)
{
	struct link bridge, *port = NULL;
	size_t count = 0;
	int r = link_get(&s->nl, ifname, &bridge);

	if (r == -ENODEV || (r == 0 && strcmp(bridge.kind, "bridge") != 0))
		return 0;
	if (r == 0)
		r = link_list(&s->nl, bridge.index, &port, &count);
	for (size_t i = 0; i < count && r == 0; i++)
		r = strncmp(port[i].name, TAP_PREFIX, strlen(TAP_PREFIX)) == 0
			    ? link_set_master(&s->nl, port[i].index, 0)
			    : release_nic(&s->nl, bridge.index, port[i].index);
	free(port);
	if (r == 0)
		r = link_delete(&s->nl, bridge.index);
	return r < 0 ? fail(f, r, "cannot remove the bridge '%s': %s%s", ifname, strerror(-r),
			    switches_why(s))
		     : 0;
}
