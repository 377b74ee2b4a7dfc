/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One port in the kernel: its tap, and how that is plugged in. */
#include <errno.h>
#include <string.h>

#include "host/switch_priv.h"

static int told(struct switches *s, int code, const char *doing, const struct port_config *c,
		struct failure *f)
{
	return fail(f, code, "cannot %s the port '%s': %s%s", doing, c->id, strerror(-code),
		    switches_why(s));
}

static void vlans_of(const struct port_config *c, struct vlan_set *ret)
{
	unsigned pvid = c->vlan_mode == PORT_VLAN_NONE ? SWITCH_VLAN : c->vlan;

	*ret = (struct vlan_set){.pvid = (uint16_t)pvid};
	if (c->vlan_mode == PORT_VLAN_TRUNK)
		memcpy(ret->member, c->trunk, sizeof(ret->member));
	if (!pvid)
		return;
	ret->member[pvid / 64] |= UINT64_C(1) << pvid % 64;
	ret->untagged[pvid / 64] |= UINT64_C(1) << pvid % 64;
}

static int plug(struct switches *s, const struct port_config *c, const struct link *tap,
		const struct link *bridge, struct failure *f)
{
	unsigned mtu = c->mtu ? c->mtu : bridge->mtu;
	struct vlan_set vlans;
	int r = 0;

	if (tap->mtu != mtu)
		r = link_set_mtu(&s->nl, tap->index, mtu);
	if (r < 0)
		return told(s, r, "set the MTU of", c, f);
	if (tap->master != bridge->index)
		r = link_set_master(&s->nl, tap->index, bridge->index);
	if (r < 0)
		return told(s, r, "plug in", c, f);
	if (tap->master != bridge->index ? c->isolated : tap->isolated != c->isolated)
		r = link_set_isolated(&s->nl, tap->index, c->isolated);
	if (r < 0)
		return told(s, r, "isolate", c, f);
	vlans_of(c, &vlans);
	if (s->vlans)
		r = link_set_vlans(&s->nl, tap->index, false, &vlans);
	return r < 0 ? told(s, r, "set the VLANs of", c, f) : 0;
}

static int find_bridge(struct switches *s, const struct port_config *c, struct link *ret,
		       struct failure *f)
{
	char ifname[IFNAMSIZ];
	int r;

	switch_ifname(c->switch_name, ifname);
	r = link_get(&s->nl, ifname, ret);
	if (r < 0)
		return fail(f, r, "cannot plug the port '%s' into the switch '%s': %s", c->id,
			    c->switch_name,
			    r == -ENODEV ? "its bridge is not there" : strerror(-r));
	s->vlans = ret->vlan_filtering > 0;
	if (c->vlan_mode != PORT_VLAN_NONE && !s->vlans)
		return fail(f, -EOPNOTSUPP,
			    "cannot give the port '%s' a VLAN: this host's kernel has no VLAN "
			    "filtering for bridges (CONFIG_BRIDGE_VLAN_FILTERING)",
			    c->id);
	return 0;
}

static int set_limit(struct switches *s, const struct port_config *c, const struct link *tap,
		     struct failure *f)
{
	int r = link_set_rate(&s->nl, tap, c->receive_kbit);

	if (r == -EOPNOTSUPP)
		return fail(f, r,
			    "cannot limit what the port '%s' receives: this host's kernel has no "
			    "token bucket filter (CONFIG_NET_SCH_TBF); set 'receive_kbit' to none",
			    c->id);
	return r < 0 ? told(s, r, "limit what comes to", c, f) : 0;
}

static int configure(struct switches *s, const struct port_config *c, const struct link *tap,
		     const struct link *bridge, bool made, struct failure *f)
{
	int r = 0;

	if (made)
		(void)link_mute_ipv6(&s->nl, tap->index); /* -EAFNOSUPPORT is fine */
	r = set_limit(s, c, tap, f);
	if (r < 0)
		return r;
	if (bridge)
		r = plug(s, c, tap, bridge, f);
	else if (tap->master)
		r = link_set_master(&s->nl, tap->index, 0);
	if (r < 0 && !bridge)
		told(s, r, "unplug", c, f);
	if (r == 0 && !tap->up) {
		r = link_set_up(&s->nl, tap->index);
		if (r < 0)
			told(s, r, "bring up", c, f);
	}
	return r;
}

/* The tap, made or as it is. */
static int find_tap(struct switches *s, const struct port_config *c, struct link *ret,
		    bool *ret_made, struct failure *f)
{
	char ifname[IFNAMSIZ];
	int r;

	port_ifname(c->id, ifname);
	r = link_get(&s->nl, ifname, ret);
	*ret_made = r == -ENODEV;
	if (r < 0 && !*ret_made)
		return told(s, r, "look at", c, f);
	if (!*ret_made && strcmp(ret->kind, "tun") != 0)
		return fail(f, -EEXIST,
			    "cannot make the port '%s': an interface '%s' is there that is no tap; "
			    "names that begin with %s are oyad's, rename or remove it",
			    c->id, ifname, TAP_PREFIX);
	if (!*ret_made && ret->owner == c->owner)
		return 0;
	s->nl.why[0] = '\0';
	r = link_make_tap(ifname, c->owner);
	if (r < 0)
		return told(s, r, *ret_made ? "make the tap of" : "change the owner of", c, f);
	r = link_get(&s->nl, ifname, ret);
	return r < 0 ? told(s, r, "look at", c, f) : 0;
}

int port_ensure(struct switches *s, const struct port_config *c, bool *ret_made, struct failure *f)
{
	struct link tap, bridge = {0}, *plugged = c->switch_name[0] ? &bridge : NULL;
	bool made = false;
	int r = plugged ? find_bridge(s, c, &bridge, f) : 0;

	if (r == 0)
		r = find_tap(s, c, &tap, &made, f);
	if (r < 0)
		return r;
	r = configure(s, c, &tap, plugged, made, f);
	if (r == 0)
		*ret_made = made;
	else if (made)
		(void)link_delete(&s->nl, tap.index);
	return r;
}

int port_take_down(struct switches *s, const char *id, struct failure *f)
{
	char ifname[IFNAMSIZ];
	struct link tap;
	int r;

	port_ifname(id, ifname);
	r = link_get(&s->nl, ifname, &tap);
	if (r == -ENODEV)
		return 0;
	if (r == 0)
		r = link_delete(&s->nl, tap.index);
	return r < 0 ? fail(f, r, "cannot delete the tap '%s': %s%s", ifname, strerror(-r),
			    switches_why(s))
		     : 0;
}
