/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What hosts do: starts, stops, moves and the writes of guests. */
#include "tests/sim/cluster_sim.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/guid.h"
#include "host/crm.h"

#define LOOK_MS 3000u

bool sim_lives(const struct sim *s, unsigned host)
{
	const struct sim_host *h = &s->host[host];

	return h->power && !h->boots_ms && !h->thaws_ms;
}

bool sim_hears(const struct sim *s, unsigned one, unsigned other)
{
	return !(s->host[one].deaf >> other & 1);
}

void sim_guid(unsigned host, struct guid *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->b[0] = (uint8_t)(host + 1);
}

void sim_boot(struct sim *s, unsigned host)
{
	struct sim_host *h = &s->host[host];
	uint64_t version = h->book.version;
	hosts_t deaf = h->deaf;
	bool cut = h->cut;

	memset(h, 0, sizeof(*h));
	h->power = h->fresh = true;
	h->boots_ms = s->now_ms + BOOT_MS + sim_draw(s, BOOT_MS);
	h->book.version = version;
	h->deaf = deaf;
	h->cut = cut;
	h->view = 1u << host;
	h->fences = NONE;
	for (unsigned vm = 0; vm < VMS; vm++)
		h->book.at[vm] = h->book.to[vm] = NONE;
}

void sim_power_off(struct sim *s, unsigned host)
{
	s->host[host].power = false;
	s->host[host].thaws_ms = 0;
}

void sim_begin(struct sim *s, unsigned host, unsigned vm, enum step step, uint32_t within_ms)
{
	struct worker *w = &s->host[host].worker[vm];

	w->step = step;
	w->due_ms = s->now_ms + 1 + sim_draw(s, within_ms);
}

/* ---- start ---- */

/* As host/clustered.c does it: the lease is read, then the engine is asked. */
static void start_read(struct sim *s, unsigned host, unsigned vm)
{
	struct sim_host *h = &s->host[host];
	struct worker *w = &h->worker[vm];
	struct guid me;
	struct lease now;
	struct failure f;

	sim_guid(host, &me);
	SIM_MUST(s, lease_read(&s->lease[vm], &now, &f) == 0);
	w->force = 0;
	if (lease_is_others(&now, &me) && !guid_equal(&now.owner, &me)) {
		unsigned owner = now.owner.b[0] - 1u;
		struct crm_view view = {
			.decides = sim_quorate(s, host),
			.fences = true,
			.known = true,
			.online = h->book.host[owner] == ONLINE,
			.unclean = h->book.host[owner] != CLEAN,
		};

		if (crm_judge(&view, &f) < 0) {
			s->count.refused++;
			w->step = IDLE;
			return;
		}
		w->force = now.epoch;
	}
	sim_begin(s, host, vm, START_TAKE, 300);
}

/* Free, or one's own, also if it was offered: as host/vm_lease.c does it. */
static int take_own(struct sim *s, unsigned vm, const struct guid *me, uint64_t *ret_epoch)
{
	struct lease now;
	struct failure f;
	int r = lease_read(&s->lease[vm], &now, &f);

	if (r == 0 && now.state == LEASE_OFFERED && guid_equal(&now.owner, me))
		r = lease_take_back(&s->lease[vm], me, now.epoch, &now.epoch, &f);
	return r < 0 ? r : lease_take(&s->lease[vm], me, LEASE_ANY, ret_epoch, &f);
}

static void start_take(struct sim *s, unsigned host, unsigned vm)
{
	struct worker *w = &s->host[host].worker[vm];
	struct failure f;
	struct guid me;
	int r;

	sim_guid(host, &me);
	if (s->host[host].cut)
		r = -EIO;
	else if (w->force)
		r = lease_force(&s->lease[vm], &me, w->force, &w->epoch, &f);
	else
		r = take_own(s, vm, &me, &w->epoch);
	w->step = IDLE;
	if (r < 0)
		return;
	s->count.forced += w->force != 0;
	sim_begin(s, host, vm, START_WORKER, 500);
}

static void start_worker(struct sim *s, unsigned host, unsigned vm)
{
	struct worker *w = &s->host[host].worker[vm];
	struct failure f;
	struct guid me;

	sim_guid(host, &me);
	w->step = IDLE;
	if (lease_holds(&s->lease[vm], &me, w->epoch, &f) < 0)
		return;
	w->runs = true;
	w->stands = false;
	w->id = ++s->next_id;
	s->count.starts++;
}

/* ---- stop ---- */

static void stop_free(struct sim *s, unsigned host, unsigned vm)
{
	struct worker *w = &s->host[host].worker[vm];
	struct failure f;
	struct guid me;
	struct lease now;

	sim_guid(host, &me);
	w->step = IDLE;
	if (s->host[host].cut || lease_read(&s->lease[vm], &now, &f) < 0)
		return;
	if (now.state == LEASE_FREE || !guid_equal(&now.owner, &me))
		return;
	/* Of an offer the exchange decides. */
	if (now.state == LEASE_OFFERED &&
	    lease_take_back(&s->lease[vm], &me, now.epoch, &now.epoch, &f) < 0)
		return;
	(void)lease_free(&s->lease[vm], &me, now.epoch, &f);
}

/* ---- moves ---- */

/* The guest stands still, all is there; from here on the lease decides. */
static void move_offer(struct sim *s, unsigned host, unsigned vm)
{
	struct worker *w = &s->host[host].worker[vm];
	struct guid me, there;
	struct failure f;

	sim_guid(host, &me);
	sim_guid((unsigned)w->peer, &there);
	w->step = IDLE;
	if (!w->runs || s->host[host].cut ||
	    lease_offer(&s->lease[vm], &me, w->epoch, &there, &w->epoch, &f) < 0)
		return;
	w->stands = true;
	w->answered = false;
	sim_begin(s, host, vm, MOVE_RUN, 200);
}

static void move_run(struct sim *s, unsigned host, unsigned vm)
{
	struct worker *w = &s->host[host].worker[vm];
	unsigned peer = (unsigned)w->peer;
	struct worker *there = &s->host[peer].worker[vm];

	/* What was sent may come late, or never. */
	if (sim_lives(s, peer) && sim_hears(s, peer, host) && there->step == IDLE && !there->runs) {
		there->epoch = w->epoch;
		there->peer = (int)host;
		sim_begin(s, peer, vm, MOVE_TAKE, 400);
	}
	sim_begin(s, host, vm, MOVE_WAIT, 800);
}

static void move_take(struct sim *s, unsigned host, unsigned vm)
{
	struct worker *w = &s->host[host].worker[vm];
	unsigned peer = (unsigned)w->peer;
	struct worker *there = &s->host[peer].worker[vm];
	struct failure f;
	struct guid me;

	sim_guid(host, &me);
	w->step = IDLE;
	if (s->host[host].cut || lease_take(&s->lease[vm], &me, w->epoch, &w->epoch, &f) < 0)
		return;
	w->runs = true;
	w->stands = false;
	w->id = ++s->next_id;
	s->count.moved++;
	if (sim_lives(s, peer) && sim_hears(s, peer, host) && there->step == MOVE_WAIT)
		there->answered = true;
}

static void move_wait(struct sim *s, unsigned host, unsigned vm)
{
	struct worker *w = &s->host[host].worker[vm];
	struct guid me;
	struct lease now;
	struct failure f;

	sim_guid(host, &me);
	if (w->answered) {
		w->runs = false;
		w->step = IDLE;
		return;
	}
	sim_begin(s, host, vm, MOVE_WAIT, 500);
	if (s->host[host].cut)
		return;
	if (lease_take_back(&s->lease[vm], &me, w->epoch, &w->epoch, &f) == 0) {
		w->stands = false;
		w->step = IDLE;
		s->count.taken_back++;
	} else if (lease_read(&s->lease[vm], &now, &f) == 0 && now.epoch > w->epoch) {
		w->runs = false;
		w->step = IDLE;
	}
}

/* ---- all ---- */

static void step(struct sim *s, unsigned host, unsigned vm)
{
	struct worker *w = &s->host[host].worker[vm];

	switch (w->step) {
	case IDLE:
		return;
	case START_READ:
		start_read(s, host, vm);
		return;
	case START_TAKE:
		start_take(s, host, vm);
		return;
	case START_WORKER:
		start_worker(s, host, vm);
		return;
	case STOP_WORKER:
		w->runs = false;
		sim_begin(s, host, vm, STOP_FREE, 100);
		return;
	case STOP_FREE:
		stop_free(s, host, vm);
		return;
	case MOVE_OFFER:
		move_offer(s, host, vm);
		return;
	case MOVE_RUN:
		move_run(s, host, vm);
		return;
	case MOVE_WAIT:
		move_wait(s, host, vm);
		return;
	case MOVE_TAKE:
		move_take(s, host, vm);
		return;
	}
}

/* The disk takes it; who was followed by another writer is one too many. */
static void guest_writes(struct sim *s, unsigned host, unsigned vm)
{
	const struct worker *w = &s->host[host].worker[vm];

	if (!w->runs || w->stands || s->host[host].cut)
		return;
	SIM_MUST(s, w->id >= s->last_writer[vm]);
	s->last_writer[vm] = w->id;
}

/* A host looks whether it is still allowed to the disks, now and then, and ends when it is not. */
static bool looks_and_ends(struct sim *s, unsigned host)
{
	if (!s->host[host].fenced || sim_draw(s, LOOK_MS / TICK_MS))
		return false;
	sim_power_off(s, host);
	return true;
}

void sim_host_tick(struct sim *s, unsigned host)
{
	if (looks_and_ends(s, host))
		return;
	for (unsigned vm = 0; vm < VMS; vm++) {
		struct worker *w = &s->host[host].worker[vm];

		/* What was under way is written before anything is found out. */
		guest_writes(s, host, vm);
		if (w->step != IDLE && s->now_ms >= w->due_ms)
			step(s, host, vm);
		guest_writes(s, host, vm);
	}
}
