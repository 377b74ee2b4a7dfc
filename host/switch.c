/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The switches of the host: what is wanted of each, and the verbs that change it. A verb changes
 * the list, has rules and kernel follow, and on a failure goes the same way back.
 */
#include "host/switch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/switch_priv.h"

#define PICK_BASE UINT32_C(0x0a760000) /* 10.118.0.0 */
#define PICK_PREFIX 24u
#define FAST_END_MS 10000u /* a service that ran for less did not run */

const char *switches_why(const struct switches *s)
{
	static _Thread_local char text[RTNL_WHY_MAX + 4];

	if (!s->nl.why[0])
		return "";
	snprintf(text, sizeof(text), " (%s)", s->nl.why);
	return text;
}

struct switch_item *switches_find(const struct switches *s, const char *name)
{
	for (size_t i = 0; i < s->item_count; i++)
		if (strcmp(s->item[i].config.name, name) == 0)
			return &s->item[i];
	return NULL;
}

struct port_config *switches_find_port(const struct switches *s, const char *id)
{
	for (size_t i = 0; i < s->port_count; i++)
		if (strcmp(s->port[i].id, id) == 0)
			return &s->port[i];
	return NULL;
}

int switches_new(const struct switches_options *options, struct switches **ret, struct failure *f)
{
	struct switches *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return fail(f, -ENOMEM, "cannot look after switches: out of memory");
	s->nl.fd = -1;
	s->options.run_dir = strdup(options->run_dir);
	s->options.state_dir = strdup(options->state_dir);
	s->options.dnsmasq = strdup(options->dnsmasq ? options->dnsmasq : DNSMASQ);
	s->item = calloc(SWITCHES_MAX, sizeof(*s->item));
	if (!s->options.run_dir || !s->options.state_dir || !s->options.dnsmasq || !s->item) {
		switches_free(s);
		return fail(f, -ENOMEM, "cannot look after switches: out of memory");
	}
	r = rtnl_open(&s->nl);
	if (r < 0) {
		switches_free(s);
		return fail(f, r, "cannot reach the kernel's networking by netlink: %s",
			    strerror(-r));
	}
	*ret = s;
	return 0;
}

void switches_free(struct switches *s)
{
	if (!s)
		return;
	for (size_t i = 0; s->item && i < s->item_count; i++)
		dhcp_forget(&s->item[i].dhcp);
	rtnl_close(&s->nl);
	free((char *)(uintptr_t)s->options.run_dir);
	free((char *)(uintptr_t)s->options.state_dir);
	free((char *)(uintptr_t)s->options.dnsmasq);
	free(s->item);
	free(s->port);
	free(s);
}

bool switches_have_vlans(const struct switches *s)
{
	return s->vlans;
}

/* Together with what is there. */
static int check_with(struct switches *s, const struct switch_config *also,
		      const struct port_config *port, struct failure *f)
{
	struct switch_config *all = calloc(s->item_count + 1, sizeof(*all));
	size_t count = s->item_count;
	int r;

	if (!all)
		return fail(f, -ENOMEM, "cannot change the switches: out of memory");
	for (size_t i = 0; i < count; i++)
		all[i] = s->item[i].config;
	if (also)
		all[count++] = *also;
	r = switch_configs_check(all, count, port, port ? 1 : 0, f);
	free(all);
	return r;
}

int switches_apply_rules(struct switches *s, struct failure *f)
{
	struct switch_config *all = calloc(s->item_count + 1, sizeof(*all));
	struct opened opened;
	struct rules rules;
	int r;

	if (!all)
		return fail(f, -ENOMEM, "cannot set the rules of the switches: out of memory");
	for (size_t i = 0; i < s->item_count; i++)
		all[i] = s->item[i].config;
	r = forward_plan(s, &opened, f);
	if (r == 0) {
		rules = (struct rules){
			.switches = all,
			.switch_count = s->item_count,
			.ports = s->port,
			.port_count = s->port_count,
			.opened = opened.name,
			.opened_count = opened.count,
		};
		r = rules_apply(&rules, f);
	}
	/* Doors are opened behind the guard. */
	if (r == 0)
		r = forward_open(s, &opened, f);
	free(all);
	return r;
}

/* The steps of switches_add() behind the rules. */
static int bring_up(struct switches *s, struct switch_item *item, struct failure *f)
{
	bool made = false;
	int r = switch_ensure(s, &item->config, &made, f);
	char ifname[IFNAMSIZ];
	struct failure ignored = {""};

	if (r < 0)
		return r;
	if (item->config.kind == SWITCH_NAT)
		r = switches_apply_rules(s, f); /* forwarding, now that the bridge is there */
	if (r == 0 && item->config.dhcp)
		r = dhcp_ensure(&item->dhcp, &item->config, &s->options, f);
	if (r < 0 && made) {
		switch_ifname(item->config.name, ifname);
		(void)switch_take_down(s, ifname, &ignored);
	}
	return r;
}

int switches_add(struct switches *s, const struct switch_config *config, struct failure *f)
{
	struct switch_item *item;
	struct failure ignored = {""};
	int r = check_with(s, config, NULL, f);

	if (r < 0)
		return r;
	item = &s->item[s->item_count++];
	*item = (struct switch_item){.config = *config, .dhcp.pidfd = -1};
	r = switches_apply_rules(s, f);
	if (r == 0)
		r = bring_up(s, item, f);
	if (r < 0) {
		s->item_count--;
		(void)switches_apply_rules(s, &ignored);
	}
	return r;
}

static int no_switch(const char *name, struct failure *f)
{
	return fail(f, -ENOENT, "there is no switch '%s'; 'oya switch list' names them", name);
}

int switches_remove(struct switches *s, const char *name, struct failure *f)
{
	struct switch_item *item = switches_find(s, name);
	char ifname[IFNAMSIZ];
	int r;

	if (!item)
		return no_switch(name, f);
	for (size_t i = 0; i < s->port_count; i++)
		if (strcmp(s->port[i].switch_name, name) == 0)
			return fail(f, -EBUSY,
				    "cannot remove the switch '%s': the port '%s' is plugged in; "
				    "unplug the VMs first",
				    name, s->port[i].id);
	switch_ifname(name, ifname);
	r = switch_take_down(s, ifname, f);
	if (r < 0)
		return r;
	if (item->config.dhcp)
		dhcp_stop(&item->dhcp, ifname, &s->options);
	*item = s->item[--s->item_count];
	return switches_apply_rules(s, f);
}

/* VLANs of the NIC of the switch that a port is or was plugged into. */
static int follow_uplink(struct switches *s, const char *switch_name, struct failure *f)
{
	struct switch_item *item = switches_find(s, switch_name);

	return item ? switch_uplink_vlans(s, &item->config, f) : 0;
}

int switches_add_port(struct switches *s, const struct port_config *config, struct failure *f)
{
	struct port_config *more;
	struct failure ignored = {""};
	bool made = false;
	int r = check_with(s, NULL, config, f);

	if (r < 0)
		return r;
	if (switches_find_port(s, config->id))
		return fail(f, -EEXIST, "there is a port '%s' already", config->id);
	if (s->port_count == PORTS_MAX)
		return fail(f, -E2BIG, "cannot make a port: %u are there, which is the limit",
			    PORTS_MAX);
	more = reallocarray(s->port, s->port_count + 1, sizeof(*more));
	if (!more)
		return fail(f, -ENOMEM, "cannot make the port '%s': out of memory", config->id);
	s->port = more;
	s->port[s->port_count++] = *config;
	r = switches_apply_rules(s, f);
	if (r == 0)
		r = port_ensure(s, config, &made, f);
	if (r == 0)
		r = follow_uplink(s, config->switch_name, f);
	if (r < 0) {
		if (made)
			(void)port_take_down(s, config->id, &ignored);
		s->port_count--;
		(void)switches_apply_rules(s, &ignored);
	}
	return r;
}

int switches_change_port(struct switches *s, const struct port_config *config, struct failure *f)
{
	struct port_config *port = switches_find_port(s, config->id), before;
	struct failure ignored = {""};
	bool made = false;
	int r;

	if (!port)
		return fail(f, -ENOENT, "there is no port '%s'", config->id);
	r = check_with(s, NULL, config, f);
	if (r < 0)
		return r;
	before = *port;
	*port = *config;
	r = switches_apply_rules(s, f);
	if (r == 0)
		r = port_ensure(s, config, &made, f);
	if (r == 0)
		r = follow_uplink(s, config->switch_name, f);
	if (r == 0)
		r = follow_uplink(s, before.switch_name, f);
	if (r < 0) {
		*port = before;
		(void)port_ensure(s, &before, &made, &ignored);
		(void)switches_apply_rules(s, &ignored);
		(void)follow_uplink(s, config->switch_name, &ignored);
		(void)follow_uplink(s, before.switch_name, &ignored);
	}
	return r;
}

int switches_remove_port(struct switches *s, const char *id, struct failure *f)
{
	struct port_config *port = switches_find_port(s, id);
	char switch_name[SWITCH_NAME_MAX + 1];
	int r, r2;

	if (!port)
		return fail(f, -ENOENT, "there is no port '%s'", id);
	r = port_take_down(s, id, f);
	if (r < 0)
		return r;
	memcpy(switch_name, port->switch_name, sizeof(switch_name));
	*port = s->port[--s->port_count];
	r = switches_apply_rules(s, f);
	r2 = follow_uplink(s, switch_name, f);
	return r < 0 ? r : r2;
}

int switches_pick_network(struct switches *s, uint32_t *ret_address, unsigned *ret_prefix,
			  struct failure *f)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t network = PICK_BASE | i << 8;
		bool overlap = false;
		int r = routes_overlap(&s->nl, network, PICK_PREFIX, 0, &overlap);

		if (r < 0)
			return fail(f, r, "cannot look at the host's routes: %s%s", strerror(-r),
				    switches_why(s));
		if (overlap)
			continue;
		*ret_address = network | 1;
		*ret_prefix = PICK_PREFIX;
		return 0;
	}
	return fail(f, -ENOENT,
		    "cannot find a network for a NAT switch: the host has routes to all of "
		    "10.118.0.0/16; give the switch an 'address'");
}

int switches_probe(struct switches *s, const char *name, struct failure *f)
{
	struct switch_item *item = switches_find(s, name);
	char ifname[IFNAMSIZ];
	struct link bridge, nic;
	int r;

	if (!item)
		return no_switch(name, f);
	switch_ifname(name, ifname);
	r = link_get(&s->nl, ifname, &bridge);
	if (r == 0)
		r = link_get(&s->nl, item->config.nic, &nic);
	if (r == 0)
		r = takeover_probe(&s->nl, bridge.index, nic.carrier);
	return r < 0 ? fail(f, r, "cannot see whether the switch '%s' works: %s%s", name,
			    strerror(-r), switches_why(s))
		     : r;
}

int switches_keep(struct switches *s, const char *name, unsigned *ret_leases, struct failure *f)
{
	char ifname[IFNAMSIZ];
	struct link bridge;
	int r;

	if (!switches_find(s, name))
		return no_switch(name, f);
	switch_ifname(name, ifname);
	r = link_get(&s->nl, ifname, &bridge);
	if (r == 0)
		r = takeover_keep_leases(&s->nl, bridge.index, ret_leases);
	return r < 0 ? fail(f, r, "cannot keep the addresses of the switch '%s': %s%s", name,
			    strerror(-r), switches_why(s))
		     : 0;
}

int switches_dhcp_fd(const struct switches *s, const char *name)
{
	const struct switch_item *item = switches_find(s, name);

	return item ? item->dhcp.pidfd : -1;
}

int switches_dhcp_ended(struct switches *s, const char *name, uint64_t now_ms,
			uint64_t *ret_wait_ms, struct failure *f)
{
	struct switch_item *item = switches_find(s, name);
	struct dhcp *d = item ? &item->dhcp : NULL;
	int r;

	*ret_wait_ms = 0;
	if (!d || !item->config.dhcp)
		return no_switch(name, f);
	if (d->pidfd >= 0) {
		dhcp_reap(d);
		d->fast_ends = now_ms - d->started_ms < FAST_END_MS ? d->fast_ends + 1 : 0;
		*ret_wait_ms = dhcp_wait_ms(d->fast_ends);
		if (*ret_wait_ms)
			return 0;
	}
	r = dhcp_ensure(d, &item->config, &s->options, f);
	if (r < 0) {
		d->fast_ends++;
		*ret_wait_ms = dhcp_wait_ms(d->fast_ends);
	}
	return r;
}
