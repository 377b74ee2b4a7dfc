/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From what the kernel has to what is wanted. First the rules, so that nothing is let in meanwhile;
 * then what is missing or different; then what is too much.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "host/switch_priv.h"

static void count_failure(struct switches_report *report, const struct failure *f)
{
	if (report->failed++ == 0)
		report->first = *f;
}

/* The new lists, with the services that run already. Nothing is changed on failure. */
static int take_lists(struct switches *s, const struct switch_config *switches, size_t switch_count,
		      const struct port_config *ports, size_t port_count, struct failure *f)
{
	struct switch_item *item = calloc(SWITCHES_MAX, sizeof(*item));
	struct port_config *port = calloc(port_count + 1, sizeof(*port));

	if (!item || !port) {
		free(item);
		free(port);
		return fail(f, -ENOMEM, "cannot look after the switches: out of memory");
	}
	for (size_t i = 0; i < switch_count; i++) {
		struct switch_item *before = switches_find(s, switches[i].name);

		item[i] = (struct switch_item){.config = switches[i], .dhcp.pidfd = -1};
		if (before && switches[i].dhcp) {
			item[i].dhcp = before->dhcp;
			before->dhcp.pidfd = -1;
		}
	}
	for (size_t i = 0; i < s->item_count; i++)
		dhcp_forget(&s->item[i].dhcp);
	if (port_count)
		memcpy(port, ports, port_count * sizeof(*port));
	free(s->item);
	free(s->port);
	s->item = item;
	s->item_count = switch_count;
	s->port = port;
	s->port_count = port_count;
	return 0;
}

static bool wants_bridge(const struct switches *s, const char *ifname)
{
	char wanted[IFNAMSIZ];

	for (size_t i = 0; i < s->item_count; i++) {
		switch_ifname(s->item[i].config.name, wanted);
		if (strcmp(wanted, ifname) == 0)
			return true;
	}
	return false;
}

static void remove_leftovers(struct switches *s, struct switches_report *report)
{
	struct link *link = NULL;
	size_t count = 0;
	struct failure f = {""};
	int r = link_list(&s->nl, 0, &link, &count);

	if (r < 0) {
		fail(&f, r, "cannot list the host's interfaces: %s%s", strerror(-r),
		     switches_why(s));
		count_failure(report, &f);
		return;
	}
	for (size_t i = 0; i < count; i++) {
		const char *name = link[i].name;

		if (strcmp(link[i].kind, "tun") == 0 &&
		    strncmp(name, TAP_PREFIX, strlen(TAP_PREFIX)) == 0 &&
		    !switches_find_port(s, name + strlen(TAP_PREFIX)))
			r = port_take_down(s, name + strlen(TAP_PREFIX), &f);
		else if (strcmp(link[i].kind, "bridge") == 0 &&
			 strncmp(name, BRIDGE_PREFIX, strlen(BRIDGE_PREFIX)) == 0 &&
			 !wants_bridge(s, name))
			r = switch_take_down(s, name, &f);
		else
			continue;
		if (r < 0)
			count_failure(report, &f);
		else
			report->removed++;
	}
	free(link);
}

/* NICs that leave one switch for another are free only after the first has gone: so bridges that
 * are not wanted go before new ones come. Taps stay until their guards are there. */
static void ensure_all(struct switches *s, struct switches_report *report)
{
	bool made, bad[SWITCHES_MAX] = {false};
	struct failure f = {""};

	for (size_t i = 0; i < s->item_count; i++) {
		struct switch_item *item = &s->item[i];
		int r;

		made = false;
		r = switch_ensure(s, &item->config, &made, &f);
		bad[i] = r < 0;
		report->made += made;
		if (r == 0 && item->config.dhcp)
			r = dhcp_ensure(&item->dhcp, &item->config, &s->options, &f);
		if (r < 0)
			count_failure(report, &f);
	}
	for (size_t i = 0; i < s->port_count; i++) {
		made = false;
		if (port_ensure(s, &s->port[i], &made, &f) < 0)
			count_failure(report, &f);
		report->made += made;
	}
	for (size_t i = 0; i < s->item_count; i++)
		if (!bad[i] && switch_uplink_vlans(s, &s->item[i].config, &f) < 0)
			count_failure(report, &f);
}

int switches_reconcile(struct switches *s, const struct switch_config *switches,
		       size_t switch_count, const struct port_config *ports, size_t port_count,
		       struct switches_report *ret, struct failure *f)
{
	int r = switch_configs_check(switches, switch_count, ports, port_count, f);
	struct failure last = {""};

	*ret = (struct switches_report){0};
	if (r == 0)
		r = take_lists(s, switches, switch_count, ports, port_count, f);
	if (r == 0)
		r = switches_apply_rules(s, f);
	if (r < 0)
		return r;
	remove_leftovers(s, ret);
	dhcp_stop_others(switches, switch_count, &s->options);
	ensure_all(s, ret);
	/* Bridges and routes are there now, which tell what has to forward. */
	if (forward_wanted(s) && switches_apply_rules(s, &last) < 0)
		count_failure(ret, &last);
	if (ret->failed)
		*f = ret->first;
	return ret->failed ? -EIO : 0;
}
