/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Ports of VMs that start and end, and the switch that the first of them may want. */
#include <arpa/inet.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/network_priv.h"
#include "host/switch_priv.h"
#include "lib/log.h"

static bool wants_default(const struct network_work *w)
{
	for (size_t i = 0; i < w->port_count; i++) {
		if (strcmp(w->ports[i].switch_name, NETWORK_DEFAULT) == 0)
			return true;
	}
	return false;
}

/* A NAT switch with a network that nothing on the host has. */
static int add_default(struct network *n, struct failure *f)
{
	char ip[INET_ADDRSTRLEN], text[sizeof(ip) + 4];
	struct switch_config config;
	uint32_t address;
	unsigned prefix;
	json_t *obj;
	int r = switches_pick_network(n->switches, &address, &prefix, f);

	if (r < 0)
		return r;
	ip_text(address, ip);
	snprintf(text, sizeof(text), "%s/%u", ip, prefix);
	obj = json_pack("{s:s, s:s, s:s}", "name", NETWORK_DEFAULT, "kind", "nat", "address", text);
	r = obj ? switch_config_decode(obj, &config, f) : network_no_memory(f);
	json_decref(obj);
	return r < 0 ? r : network_make(n, &config, f);
}

/* One that is there is left of a VM that ended while a NIC came to it: it is taken. */
static int plug(struct network *n, const struct port_config *port, struct failure *f)
{
	int r = switches_add_port(n->switches, port, f);

	return r == -EEXIST ? switches_change_port(n->switches, port, f) : r;
}

static int act_plug(struct network_work *w)
{
	struct network *n = w->network;
	size_t i = 0;
	int r = 0;

	if (wants_default(w) && !network_find_wanted(n, NETWORK_DEFAULT))
		r = add_default(n, &w->f);
	for (; r == 0 && i < w->port_count; i++)
		r = plug(n, &w->ports[i], &w->f);
	if (r == 0)
		return 0;
	/* The last of them has failed. */
	while (i > 1) {
		struct failure ignored;

		(void)switches_remove_port(n->switches, w->ports[--i - 1].id, &ignored);
	}
	return r;
}

static void then_plugged(struct network_work *w)
{
	w->done(w->ctx, w->r, &w->f);
}

static int act_unplug(struct network_work *w)
{
	int r = 0;

	for (size_t i = 0; i < w->port_count; i++) {
		struct failure f;
		int one = switches_remove_port(w->network->switches, w->ports[i].id, &f);

		if (one < 0 && r == 0) {
			r = one;
			w->f = f;
		}
	}
	return r;
}

static void then_unplugged(struct network_work *w)
{
	if (w->r < 0)
		log_line(LOG_LEVEL_WARNING, "%s", w->f.text);
}

int network_plug(struct network *n, struct port_config *ports, size_t count, network_done_fn *done,
		 void *ctx, struct failure *f)
{
	struct network_work *w = network_work_new(n, act_plug, then_plugged);

	if (!w) {
		free(ports);
		return network_no_memory(f);
	}
	w->ports = ports;
	w->port_count = count;
	w->done = done;
	w->ctx = ctx;
	network_submit(w);
	return 0;
}

void network_unplug(struct network *n, struct port_config *ports, size_t count)
{
	struct network_work *w = network_work_new(n, act_unplug, then_unplugged);

	if (!w) {
		free(ports);
		return;
	}
	w->ports = ports;
	w->port_count = count;
	network_submit(w);
}
