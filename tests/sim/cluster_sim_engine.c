/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the engine decides: views, fencing, and where VMs run. */
#include "tests/sim/cluster_sim.h"

#include <string.h>

static unsigned count(hosts_t hosts)
{
	return (unsigned)__builtin_popcount(hosts);
}

static hosts_t all(const struct sim *s)
{
	return (1u << s->hosts) - 1;
}

/* Two hosts: each alone has a quorum once it has seen the other; fencing decides between them. */
bool sim_quorate(const struct sim *s, unsigned host)
{
	const struct sim_host *h = &s->host[host];

	if (s->hosts == 2)
		return h->seen_all;
	return count(h->view) * 2 > s->hosts;
}

static bool hear_each_other(const struct sim *s, unsigned a, unsigned b)
{
	return sim_hears(s, a, b) && sim_hears(s, b, a);
}

/* Those who live fall into groups in which each hears each. */
static hosts_t group_of(const struct sim *s, unsigned host)
{
	hosts_t taken = 0, group;

	for (unsigned first = 0; first < s->hosts; first++) {
		if (taken >> first & 1 || !sim_lives(s, first))
			continue;
		group = 0;
		for (unsigned i = first; i < s->hosts; i++) {
			bool fits = sim_lives(s, i) && !(taken >> i & 1);

			for (unsigned j = 0; fits && j < s->hosts; j++)
				fits = !(group >> j & 1) || hear_each_other(s, i, j);
			if (fits)
				group |= 1u << i;
		}
		taken |= group;
		if (group >> host & 1)
			return group;
	}
	return 1u << host;
}

/* A ring is formed by all who are in it, at once. */
static void agree(struct sim *s, hosts_t group)
{
	for (unsigned i = 0; i < s->hosts; i++) {
		struct sim_host *h = &s->host[i];

		if (!(group >> i & 1))
			continue;
		for (unsigned j = 0; j < s->hosts; j++) {
			if (h->view >> j & 1 && h->book.host[j] == ONLINE)
				h->lost |= 1u << j;
		}
		h->lost &= ~group;
		h->view = group;
		h->next_ms = 0;
		h->seen_all |= group == all(s);
	}
}

void sim_views(struct sim *s)
{
	for (unsigned i = 0; i < s->hosts; i++) {
		struct sim_host *h = &s->host[i];
		hosts_t group;

		if (!sim_lives(s, i))
			continue;
		group = group_of(s, i);
		if (group == h->view) {
			h->next_ms = 0;
		} else if (!h->next_ms || group != h->next) {
			h->next = group;
			h->next_ms = s->now_ms + DETECT_MS + sim_draw(s, DETECT_MS / 2);
		} else if (s->now_ms >= h->next_ms) {
			agree(s, group);
		}
	}
}

/* ---- the book ---- */

/* To all who see the same; how many have it. */
static unsigned write_down(struct sim *s, unsigned host)
{
	struct sim_host *h = &s->host[host];
	unsigned copies = 0;

	h->book.version++;
	for (unsigned i = 0; i < s->hosts; i++) {
		struct sim_host *other = &s->host[i];

		if (!(h->view >> i & 1) || !sim_lives(s, i) || other->view != h->view ||
		    !hear_each_other(s, host, i))
			continue;
		other->book = h->book;
		copies++;
	}
	return copies;
}

/* The newest of a view is everybody's. */
static void read_up(struct sim *s, unsigned host)
{
	struct sim_host *h = &s->host[host];

	for (unsigned i = 0; i < s->hosts; i++) {
		const struct sim_host *other = &s->host[i];

		if (h->view >> i & 1 && sim_lives(s, i) && other->view == h->view &&
		    other->book.version > h->book.version)
			h->book = other->book;
	}
}

/* ---- fencing ---- */

static void cut_off(struct sim *s, unsigned victim)
{
	s->host[victim].fenced = true;
	if (s->reservations)
		s->host[victim].cut = true;
	else
		sim_power_off(s, victim);
	s->count.fenced++;
}

/* For better or worse. Who is cut off itself cuts off nobody. */
static void end_fencing(struct sim *s, unsigned host)
{
	struct sim_host *h = &s->host[host];
	unsigned victim = (unsigned)h->fences, executor = (unsigned)h->executor;

	h->fences = NONE;
	if (!s->fencing_works || !sim_lives(s, executor) || s->host[executor].cut ||
	    sim_draw(s, 10) == 0) {
		s->count.fence_failed++;
		return;
	}
	cut_off(s, victim);
	for (unsigned i = 0; i < s->hosts; i++) {
		if (h->view >> i & 1)
			s->host[i].lost &= ~(1u << victim);
	}
	h->book.host[victim] = CLEAN;
	write_down(s, host);
}

static int any_of(struct sim *s, hosts_t hosts)
{
	unsigned nth;

	if (!hosts)
		return NONE;
	nth = sim_draw(s, count(hosts));
	for (unsigned i = 0;; i++) {
		if (hosts >> i & 1 && nth-- == 0)
			return (int)i;
	}
}

/* Whoever of the view has seen a host go knows that it is silent, whatever the newest book says. */
static hosts_t lost(const struct sim *s, unsigned host)
{
	const struct sim_host *h = &s->host[host];
	hosts_t all_lost = 0;

	for (unsigned i = 0; i < s->hosts; i++) {
		if (h->view >> i & 1 && sim_lives(s, i) && s->host[i].view == h->view)
			all_lost |= s->host[i].lost;
	}
	return all_lost;
}

/* True: a host of the cluster is not known to be off or here. */
static bool fences(struct sim *s, unsigned host)
{
	struct sim_host *h = &s->host[host];
	unsigned first = sim_draw(s, s->hosts);
	bool silent = false;

	if (h->fences != NONE && s->now_ms >= h->fences_ms)
		end_fencing(s, host);
	for (unsigned n = 0; n < s->hosts; n++) {
		unsigned i = (first + n) % s->hosts;

		/* At the cluster's first start nobody knows what others do. */
		if (!(h->view >> i & 1) && h->book.host[i] != UNCLEAN &&
		    (h->book.host[i] != CLEAN || lost(s, host) >> i & 1)) {
			h->book.host[i] = UNCLEAN;
			write_down(s, host);
		}
		if (h->book.host[i] != UNCLEAN)
			continue;
		silent = true;
		if (h->fences != NONE)
			continue;
		h->fences = (int)i;
		h->executor = any_of(s, h->view & ~(1u << i));
		h->fences_ms = s->now_ms + 20 + sim_draw(s, 2000);
		if (h->executor == NONE)
			h->fences = NONE;
	}
	return silent;
}

/* ---- who comes ---- */

/* A host that has just booted is allowed to the disks again. One that was fenced and lives finds
 * out by itself, not by being let in. */
static void let_in(struct sim *s, unsigned host, unsigned who)
{
	struct sim_host *h = &s->host[host], *other = &s->host[who];

	if (!sim_lives(s, who) || other->view != h->view || other->fenced)
		return;
	other->cut = other->fresh = false;
	h->book.host[who] = ONLINE;
	write_down(s, host);
}

/* ---- VMs ---- */

static bool busy(const struct worker *w)
{
	return w->runs || w->step != IDLE;
}

static bool decides_on(const struct sim *s, const struct sim_host *h, unsigned vm)
{
	for (unsigned i = 0; i < s->hosts; i++) {
		/* Who is of the view and does not answer may be amid something. */
		if (h->view >> i & 1 && (!sim_lives(s, i) || s->host[i].view != h->view))
			return false;
		if (h->view >> i & 1 && s->host[i].worker[vm].step != IDLE)
			return false;
	}
	return true;
}

static void move(struct sim *s, unsigned host, unsigned vm, unsigned from)
{
	struct sim_host *h = &s->host[host];
	int to = any_of(s, h->view & ~(1u << from));

	if (s->calm || to == NONE || h->book.host[to] != ONLINE || sim_draw(s, 100))
		return;
	h->book.at[vm] = (int)from;
	h->book.to[vm] = to;
	write_down(s, host);
	s->host[from].worker[vm].peer = to;
	sim_begin(s, from, vm, MOVE_OFFER, 1000);
	s->count.moves++;
}

static void place(struct sim *s, unsigned host, unsigned vm)
{
	struct sim_host *h = &s->host[host];
	unsigned running = 0, from = 0;
	int to;

	if (!decides_on(s, h, vm))
		return;
	for (unsigned i = 0; i < s->hosts; i++) {
		/* Who is cut off writes nothing, and is about to find out. */
		if (h->book.host[i] == ONLINE && !s->host[i].cut && busy(&s->host[i].worker[vm])) {
			from = i;
			running++;
		}
	}
	SIM_MUST(s, running <= 1);
	if (running) {
		move(s, host, vm, from);
		return;
	}
	to = any_of(s, h->view);
	if (h->book.host[to] != ONLINE)
		return;
	h->book.at[vm] = to;
	h->book.to[vm] = NONE;
	write_down(s, host);
	sim_begin(s, (unsigned)to, vm, START_READ, 500);
}

/* Without a quorum all that runs here stops. */
static void stop_all(struct sim *s, unsigned host)
{
	for (unsigned vm = 0; vm < VMS; vm++) {
		struct worker *w = &s->host[host].worker[vm];

		if (w->runs && w->step == IDLE)
			sim_begin(s, host, vm, STOP_WORKER, 2000);
	}
}

void sim_engine_tick(struct sim *s, unsigned host)
{
	struct sim_host *h = &s->host[host];
	bool silent;

	if (!sim_quorate(s, host)) {
		if (h->book.version)
			stop_all(s, host);
		return;
	}
	read_up(s, host);
	if (h->view & ((1u << host) - 1)) /* another one decides */
		return;
	if (h->book.host[host] == UNCLEAN) /* not who decides */
		h->book.host[host] = CLEAN;
	silent = fences(s, host);
	for (unsigned i = 0; i < s->hosts; i++) {
		/* That a host has booted is always seen, however short it was away. */
		if (h->view >> i & 1 && h->book.host[i] != UNCLEAN &&
		    (h->book.host[i] != ONLINE || s->host[i].fresh))
			let_in(s, host, i);
	}
	for (unsigned vm = 0; !silent && vm < VMS; vm++)
		place(s, host, vm);
}
