/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cluster/witness/arbiter.h"

#include <assert.h>

#include "base/state.h"
#include "base/util.h"

#define NS_PER_MS UINT64_C(1000000)
#define RESTART_COUNTS 65536u /* more than writes that may still come from before a restart */
#define CLAIM_HURRY 3u        /* so many times as often */
#define NEWS_HURRY 30u

static const char *const labels[ARBITER_STATES] = {
	[ARBITER_WATCH] = "watch",
	[ARBITER_IDLE] = "idle",
	[ARBITER_CLAIM] = "claim",
	[ARBITER_HOLD] = "hold",
};
static const uint32_t next[ARBITER_STATES] = {
	[ARBITER_WATCH] = STATE_BIT(ARBITER_IDLE),
	[ARBITER_IDLE] = STATE_BIT(ARBITER_WATCH) | STATE_BIT(ARBITER_CLAIM),
	[ARBITER_CLAIM] =
		STATE_BIT(ARBITER_WATCH) | STATE_BIT(ARBITER_IDLE) | STATE_BIT(ARBITER_HOLD),
	[ARBITER_HOLD] = STATE_BIT(ARBITER_IDLE) | STATE_BIT(ARBITER_CLAIM),
};
static const struct state_table table = {"arbiter", ARBITER_STATES, labels, next};

static const enum witness_state told[ARBITER_STATES] = {
	[ARBITER_WATCH] = WITNESS_IDLE,
	[ARBITER_IDLE] = WITNESS_IDLE,
	[ARBITER_CLAIM] = WITNESS_CLAIM,
	[ARBITER_HOLD] = WITNESS_HOLD,
};

static void move(struct arbiter *a, enum arbiter_state to)
{
	int r = a->state == to ? 0 : state_move(&table, &a->state, to);

	assert(r == 0);
	(void)r;
}

const char *arbiter_state_name(const struct arbiter *a)
{
	return state_label(&table, a->state);
}

struct arbiter_settings arbiter_settings_of(uint32_t node, uint32_t timeout_ms,
					    uint32_t sync_timeout_ms)
{
	const uint64_t timeout_ns = timeout_ms * NS_PER_MS, vote_ns = timeout_ns / 2;

	return (struct arbiter_settings){
		.node = node,
		.vote_ns = vote_ns,
		/* Clocks that differ by 5 % are broken. */
		.expire_ns = (vote_ns + timeout_ns) / 20 * 21,
		.contest_ns = sync_timeout_ms * NS_PER_MS,
		.period_ns = timeout_ns / 10,
	};
}

/* At least half of the nodes: with fewer the vote would help nobody. */
static bool is_entitled(const struct arbiter *a)
{
	return a->nodes > 0 && 2u * (unsigned)__builtin_popcount(a->ring.members) >= a->nodes;
}

/* ---- what others do ---- */

static void observe(struct arbiter_peer *p, const struct witness_seen seen[2], uint64_t now_ns)
{
	for (unsigned i = 0; i < 2; i++) {
		if (!p->known || p->seen[i].digest != seen[i].digest)
			p->since_ns = now_ns;
		p->seen[i] = seen[i];
		p->was_good[i] |= seen[i].kind == WITNESS_GOOD;
	}
	p->known = true;
}

/* The read began after `cycle_ns`: who wrote what it found has had no vote since expire_ns. */
static bool is_gone(const struct arbiter *a, const struct arbiter_peer *p)
{
	return a->cycle_ns >= p->since_ns && a->cycle_ns - p->since_ns >= a->set.expire_ns;
}

/* A total order of claims. In front is who had the vote before its partition changed, so that who
 * comes back does not take it away; then the partition with the lowest id. */
static bool goes_before(const struct witness_record *other, const struct arbiter *a)
{
	int low = __builtin_ctz(other->ring.members), own_low = __builtin_ctz(a->ring.members);

	if (other->held != a->held)
		return other->held;
	if (low != own_low)
		return low < own_low;
	if (other->ring.seq != a->ring.seq)
		return other->ring.seq > a->ring.seq;
	return other->node < a->set.node;
}

/* Holds of the partition that this one was before will end: their nodes are yet to hear of it. */
static bool is_ahead(const struct arbiter *a, const struct witness_record *other)
{
	if (other->state == WITNESS_HOLD)
		return !witness_ring_equal(&other->ring, &a->past);
	return goes_before(other, a);
}

enum standing { NOTHING, RIVAL, AHEAD };

/* Either slot may speak: a write that comes late hides one of them at most. */
static enum standing judge(const struct arbiter *a, const struct arbiter_peer *p, unsigned i)
{
	const struct witness_seen *s = &p->seen[i];

	if (s->kind == WITNESS_EMPTY && !p->was_good[i])
		return NOTHING;
	if (s->kind != WITNESS_GOOD)
		return RIVAL;
	if (s->record.state == WITNESS_IDLE || witness_ring_equal(&s->record.ring, &a->ring))
		return NOTHING;
	return is_ahead(a, &s->record) ? AHEAD : RIVAL;
}

/* The first that keeps the vote from this partition; *ret_ahead: one of those goes first. */
static uint32_t find_rival(const struct arbiter *a, bool *ret_ahead)
{
	uint32_t rival = 0;

	*ret_ahead = false;
	for (uint32_t i = 0; i < WITNESS_SLOTS_MAX; i++) {
		const struct arbiter_peer *p = &a->peer[i / 2];
		enum standing found = NOTHING;

		if (1 + i / 2 != a->set.node && !is_gone(a, p))
			found = judge(a, p, i % 2);
		if (found == AHEAD) {
			*ret_ahead = true;
			return 1 + i / 2;
		}
		rival = found == RIVAL && !rival ? 1 + i / 2 : rival;
	}
	return rival;
}

/* ---- events ---- */

void arbiter_init(struct arbiter *a, const struct arbiter_settings *set,
		  const struct witness_seen own[2])
{
	assert(set->node >= 1 && set->node <= WITNESS_NODES_MAX && set->vote_ns < set->expire_ns);
	*a = (struct arbiter){.set = *set, .state = ARBITER_WATCH};
	for (unsigned i = 0; i < 2; i++) {
		uint64_t count = own[i].record.count;

		if (own[i].kind == WITNESS_GOOD && count < WITNESS_COUNT_MAX / 2 &&
		    count + RESTART_COUNTS > a->written.count)
			a->written.count = count + RESTART_COUNTS;
	}
}

static void lapse(struct arbiter *a, uint64_t now_ns)
{
	if (a->state == ARBITER_HOLD && now_ns >= a->until_ns) {
		a->held = false;
		move(a, ARBITER_CLAIM);
	}
}

void arbiter_members(struct arbiter *a, const struct witness_ring *ring, uint32_t nodes,
		     uint64_t now_ns)
{
	bool same = witness_ring_equal(ring, &a->ring);

	lapse(a, now_ns);
	if (!same) {
		a->held = a->state == ARBITER_HOLD || (a->state == ARBITER_CLAIM && a->held);
		if (a->state == ARBITER_HOLD)
			a->past = a->ring;
		a->ring = *ring;
		a->ring_ns = now_ns;
		a->first_ns = 0;
	}
	a->nodes = nodes;
	if (a->state == ARBITER_WATCH)
		return;
	if (!is_entitled(a)) {
		a->held = false;
		move(a, ARBITER_IDLE);
	} else if (!same) {
		move(a, ARBITER_CLAIM);
	}
}

void arbiter_write(struct arbiter *a, uint64_t now_ns, uint64_t since_s,
		   struct witness_record *ret_record)
{
	lapse(a, now_ns);
	if (a->open) {
		a->unsure_ns = now_ns;
		a->first_ns = 0;
	}
	a->open = true;
	a->cycle_ns = now_ns;
	a->written = (struct witness_record){
		.node = a->set.node,
		.count = a->written.count + 1,
		.state = told[a->state],
		.held = a->state == ARBITER_CLAIM && a->held,
		.ring = a->ring,
		.since_s = since_s,
	};
	*ret_record = a->written;
}

/* Whether no write of this node may still come late, over one that lets it in: who reads the slot
 * in between would take it for what it was. */
static bool is_sure(const struct arbiter *a)
{
	return !a->unsure_ns || a->cycle_ns >= a->unsure_ns + a->set.expire_ns;
}

static bool is_written(const struct arbiter *a, const struct witness_seen *own)
{
	const struct witness_record *r = &own->record;

	return own->kind == WITNESS_GOOD && r->count == a->written.count &&
	       r->state == a->written.state && r->held == a->written.held &&
	       witness_ring_equal(&r->ring, &a->written.ring);
}

/* A claim that is in both slots, and was read beside no rival, has the vote. It counts from the
 * first of both: the other one is hidden by a write that comes late, perhaps. */
static void decide(struct arbiter *a, uint64_t now_ns)
{
	bool claims =
		a->written.state != WITNESS_IDLE && witness_ring_equal(&a->written.ring, &a->ring);
	uint64_t first_ns = claims ? a->first_ns : 0;
	bool ahead;

	a->first_ns = claims ? a->cycle_ns : 0;
	a->rival = find_rival(a, &ahead);
	switch ((enum arbiter_state)a->state) {
	case ARBITER_WATCH:
		if (a->cycle_ns > a->steady_ns && a->cycle_ns - a->steady_ns >= a->set.expire_ns)
			move(a, ARBITER_IDLE);
		break;
	case ARBITER_IDLE:
		if (is_entitled(a) && !ahead)
			move(a, ARBITER_CLAIM);
		break;
	case ARBITER_CLAIM:
		if (ahead) {
			move(a, ARBITER_IDLE);
		} else if (!a->rival && first_ns && is_sure(a) &&
			   now_ns < first_ns + a->set.vote_ns) {
			a->until_ns = first_ns + a->set.vote_ns;
			a->held = false;
			move(a, ARBITER_HOLD);
		}
		break;
	case ARBITER_HOLD:
		if (first_ns)
			a->until_ns = first_ns + a->set.vote_ns;
		break;
	case ARBITER_STATES:
		break;
	}
}

void arbiter_read(struct arbiter *a, const struct witness_seen seen[WITNESS_SLOTS_MAX],
		  uint64_t now_ns)
{
	uint32_t own = witness_slot_of(a->set.node, a->written.count);

	lapse(a, now_ns);
	if (!a->read_ns || now_ns - a->read_ns > a->set.vote_ns) {
		a->steady_ns = now_ns;
		a->held = false;
		move(a, ARBITER_WATCH);
	}
	a->read_ns = now_ns;
	for (uint32_t i = 0; i < WITNESS_NODES_MAX; i++) {
		if (i + 1 != a->set.node)
			observe(&a->peer[i], &seen[2 * i], now_ns);
	}
	a->open = false;
	a->own_lost = !is_written(a, &seen[own]);
	if (a->own_lost) {
		a->unsure_ns = now_ns;
		a->first_ns = 0;
	} else {
		decide(a, now_ns);
	}
}

bool arbiter_is_idle(const struct arbiter *a)
{
	return told[a->state] == WITNESS_IDLE;
}

enum arbiter_vote arbiter_vote(struct arbiter *a, uint64_t now_ns)
{
	lapse(a, now_ns);
	if (a->state == ARBITER_HOLD)
		return ARBITER_YES;
	if (a->state == ARBITER_CLAIM && now_ns - a->ring_ns < a->set.contest_ns)
		return ARBITER_UNDECIDED;
	return ARBITER_NO;
}

uint64_t arbiter_pause_ns(const struct arbiter *a)
{
	if (told[a->state] != a->written.state || !witness_ring_equal(&a->written.ring, &a->ring))
		return a->set.period_ns / NEWS_HURRY;
	return a->state == ARBITER_CLAIM ? a->set.period_ns / CLAIM_HURRY : a->set.period_ns;
}

uint64_t arbiter_due_ns(const struct arbiter *a, uint64_t now_ns)
{
	if (a->state == ARBITER_HOLD)
		return a->until_ns;
	if (a->state == ARBITER_CLAIM && now_ns - a->ring_ns < a->set.contest_ns)
		return a->ring_ns + a->set.contest_ns;
	return UINT64_MAX;
}
