/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The witness's arbiters of 2 to 16 nodes against histories at random, with virtual time: cuts that
 * nodes notice at different times, daemons that stand still (also between decision and vote), hosts
 * that stand still, die and come back, disks that hang, fail, tear writes or carry them out late or
 * twice, for one node or for all. A daemon that dies leaves its vote to corosync.
 *
 * A history ends with peace: no more faults, and a while later exactly one partition has the vote.
 *
 * OYA_SIM_SEED and OYA_SIM_HISTORIES choose another run.
 *
 * Invariants, at each step:
 *  1. nodes that corosync counts the vote at are of one partition;
 *  2. at the end all nodes of one partition with half of the nodes have it, if there is one.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "cluster/witness/arbiter.h"

#define HISTORIES_DEFAULT 3000u
#define NODES_MAX 16u
#define STEP_MS 10u
#define NS_PER_MS UINT64_C(1000000)
#define TIMEOUT_MS 3000u
#define SYNC_MS 3000u
#define WILD_MS 40000u
#define PEACE_MS 30000u
#define NOTICE_MS 2500u /* by when corosync has noticed another partition */
#define LATE_MS 4000u   /* by which a write that failed may still come */
#define NEVER UINT64_MAX

#define MUST(s, condition) must(s, condition, #condition, __LINE__)

enum io { IO_NONE, IO_WRITE, IO_READ, IO_FAILED };

struct node {
	bool alive;
	uint64_t thaw_ms;         /* the daemon stands still until then */
	uint64_t host_thaw_ms;    /* corosync too */
	uint64_t disk_back_ms;    /* its way to the disk hangs until then */
	struct witness_ring ring; /* corosync's */
	struct witness_ring soon; /* what it will notice */
	uint64_t notice_ms;
	bool told; /* the daemon has it */
	bool cast; /* corosync counts the vote */
	uint64_t cast_end_ms;
	bool poll_waits; /* decided, not yet sent */
	struct witness_ring poll_ring;
	struct arbiter arbiter;
	uint64_t next_ms;
	enum io io;
	uint64_t io_ms, io_begun_ms; /* when it is done */
	uint64_t land_ms;            /* when the write reaches the disk */
	unsigned sampled;
	struct witness_record record;
	struct witness_seen read[WITNESS_SLOTS_MAX];
	bool doubled; /* a write of it is to come once more */
};

struct late {
	uint64_t at_ms;
	struct witness_record record;
	struct witness_seen seen; /* it landed once before; or EMPTY */
};

struct sim {
	unsigned count;
	uint64_t seed, random, now_ms, seq, digest;
	bool wild;
	struct node node[NODES_MAX];
	struct witness_seen disk[WITNESS_SLOTS_MAX];
	struct late late[64];
	unsigned late_count;
	uint32_t group[NODES_MAX];
	uint64_t votes, takeovers;
};

static void must(struct sim *s, bool condition, const char *what, int line)
{
	if (condition)
		return;
	printf("not ok 1 - one_partition_at_most_has_the_vote_in_random_histories\n"
	       "# line %d: %s; seed %llu, at %llu ms, %u nodes\n",
	       line, what, (unsigned long long)s->seed, (unsigned long long)s->now_ms, s->count);
	fflush(stdout);
	abort();
}

static uint32_t draw(struct sim *s, uint32_t below)
{
	s->random ^= s->random << 13;
	s->random ^= s->random >> 7;
	s->random ^= s->random << 17;
	return (uint32_t)(s->random >> 20) % below;
}

static uint64_t now_ns(const struct sim *s)
{
	return s->now_ms * NS_PER_MS;
}

/* ---- the disk ---- */

static void land(struct sim *s, const struct witness_record *r)
{
	struct witness_seen *slot = &s->disk[witness_slot_of(r->node, r->count)];

	slot->kind = s->wild && draw(s, 200) == 0 ? WITNESS_BAD : WITNESS_GOOD;
	slot->digest = ++s->digest;
	slot->record = *r;
}

static void land_late(struct sim *s, const struct witness_record *r)
{
	if (s->late_count < ARRAY_LEN(s->late))
		s->late[s->late_count++] =
			(struct late){.at_ms = s->now_ms + draw(s, LATE_MS), .record = *r};
}

/* The disk carries out what has landed once more, later: one of a node at a time. */
static void land_twice(struct sim *s, struct node *n)
{
	if (n->doubled || s->late_count == ARRAY_LEN(s->late))
		return;
	n->doubled = true;
	s->late[s->late_count++] =
		(struct late){.at_ms = s->now_ms + draw(s, LATE_MS),
			      .record = n->record,
			      .seen = s->disk[witness_slot_of(n->record.node, n->record.count)]};
}

static void late_writes(struct sim *s)
{
	for (unsigned i = 0; i < s->late_count;) {
		if (s->now_ms < s->late[i].at_ms) {
			i++;
			continue;
		}
		if (s->late[i].seen.kind == WITNESS_EMPTY) {
			land(s, &s->late[i].record);
		} else {
			s->disk[witness_slot_of(s->late[i].record.node, s->late[i].record.count)] =
				s->late[i].seen;
			s->node[s->late[i].record.node - 1].doubled = false;
		}
		s->late[i] = s->late[--s->late_count];
	}
}

static void io_begin(struct sim *s, struct node *n)
{
	arbiter_write(&n->arbiter, now_ns(s), 0, &n->record);
	n->io = IO_WRITE;
	n->io_begun_ms = s->now_ms;
	n->io_ms = s->now_ms + draw(s, s->wild && draw(s, 50) == 0 ? 3000 : 40);
	n->land_ms = s->now_ms + draw(s, (uint32_t)(n->io_ms - s->now_ms) + 1);
}

/* The disk goes on, whatever the daemon does. */
static void io_step(struct sim *s, struct node *n)
{
	if (n->io == IO_NONE || n->io == IO_FAILED || s->now_ms < n->disk_back_ms)
		return;
	if (n->io == IO_WRITE && n->land_ms <= s->now_ms) {
		n->land_ms = NEVER;
		if (s->wild && draw(s, 100) == 0) {
			land_late(s, &n->record);
			n->io = draw(s, 2) ? IO_FAILED : n->io; /* or it is told to be done */
			n->io_ms = s->now_ms;
			return;
		}
		land(s, &n->record);
		if (s->wild && draw(s, 20) == 0)
			land_twice(s, n);
	}
	if (n->io == IO_WRITE && n->io_ms <= s->now_ms) {
		n->io = IO_READ;
		n->io_begun_ms = s->now_ms;
		n->io_ms = s->now_ms + draw(s, 40);
		n->sampled = 0;
	}
	while (n->io == IO_READ && n->sampled < WITNESS_SLOTS_MAX &&
	       s->now_ms >= n->io_begun_ms +
				    (n->io_ms - n->io_begun_ms) * n->sampled / WITNESS_SLOTS_MAX) {
		n->read[n->sampled] = s->disk[n->sampled];
		n->sampled++;
	}
}

/* ---- the daemon and its corosync ---- */

static void poll_corosync(struct sim *s, struct node *n, bool vote, const struct witness_ring *ring)
{
	if (!witness_ring_equal(ring, &n->ring))
		return;
	s->takeovers += vote && !n->cast;
	n->cast = vote;
	n->cast_end_ms = s->now_ms + TIMEOUT_MS;
}

static void cast_vote(struct sim *s, struct node *n)
{
	enum arbiter_vote vote = arbiter_vote(&n->arbiter, now_ns(s));

	if (vote == ARBITER_UNDECIDED)
		return;
	if (vote == ARBITER_YES && s->wild && draw(s, 400) == 0) {
		n->poll_waits = true;
		n->poll_ring = n->arbiter.ring;
		n->thaw_ms = s->now_ms + draw(s, 9000);
		return;
	}
	poll_corosync(s, n, vote == ARBITER_YES, &n->arbiter.ring);
}

static void reboot_daemon(struct sim *s, unsigned i);

static void daemon_step(struct sim *s, struct node *n)
{
	uint64_t due;

	if (n->poll_waits) {
		n->poll_waits = false;
		if (arbiter_vote(&n->arbiter, now_ns(s)) != ARBITER_YES) {
			reboot_daemon(s, n->arbiter.set.node - 1); /* the kernel has ended it */
			return;
		}
		poll_corosync(s, n, true, &n->poll_ring);
	}
	if (!n->told) {
		n->told = true;
		arbiter_members(&n->arbiter, &n->ring, s->count, now_ns(s));
		n->next_ms = s->now_ms;
		cast_vote(s, n);
	}
	if (n->io == IO_FAILED) {
		n->io = IO_NONE;
	} else if (n->io == IO_READ && n->sampled == WITNESS_SLOTS_MAX && n->io_ms <= s->now_ms) {
		n->io = IO_NONE;
		arbiter_read(&n->arbiter, n->read, now_ns(s));
		n->next_ms = (n->arbiter.cycle_ns + arbiter_pause_ns(&n->arbiter)) / NS_PER_MS;
		cast_vote(s, n);
	}
	due = arbiter_due_ns(&n->arbiter, now_ns(s));
	if (s->now_ms < n->next_ms && now_ns(s) < due)
		return;
	if (s->now_ms >= n->next_ms) {
		if (n->io == IO_NONE)
			io_begin(s, n);
		n->next_ms = s->now_ms + n->arbiter.set.period_ns / NS_PER_MS;
	}
	cast_vote(s, n);
}

static void node_step(struct sim *s, struct node *n)
{
	if (!n->alive)
		return;
	io_step(s, n);
	if (n->cast && s->now_ms >= n->cast_end_ms)
		n->cast = false;
	if (s->now_ms < n->host_thaw_ms)
		return;
	if (s->now_ms >= n->notice_ms) {
		n->notice_ms = NEVER;
		n->ring = n->soon;
		n->told = false;
		n->cast = false;
	}
	if (s->now_ms >= n->thaw_ms)
		daemon_step(s, n);
}

/* ---- faults ---- */

/* Each group of nodes that live and hear each other is a partition, as each will notice. */
static void regroup(struct sim *s)
{
	struct witness_ring ring[NODES_MAX] = {{0}};

	for (unsigned i = 0; i < s->count; i++) {
		struct witness_ring *r = &ring[s->group[i]];

		if (!s->node[i].alive)
			continue;
		r->node = r->node ? r->node : i + 1;
		r->seq = r->seq ? r->seq : ++s->seq;
		r->members |= UINT32_C(1) << i;
	}
	for (unsigned i = 0; i < s->count; i++) {
		struct node *n = &s->node[i];
		const struct witness_ring *r = &ring[s->group[i]];

		if (!n->alive || (n->soon.members == r->members && n->soon.node == r->node))
			continue;
		n->soon = *r;
		n->notice_ms = s->now_ms + draw(s, NOTICE_MS);
	}
}

static void die(struct sim *s, struct node *n)
{
	if (n->io == IO_WRITE && n->land_ms != NEVER && draw(s, 2))
		land_late(s, &n->record);
	*n = (struct node){.alive = false, .notice_ms = NEVER, .doubled = n->doubled};
}

static void boot(struct sim *s, unsigned i)
{
	struct node *n = &s->node[i];
	struct arbiter_settings set = arbiter_settings_of(i + 1, TIMEOUT_MS, SYNC_MS);

	*n = (struct node){.alive = true, .told = true, .notice_ms = NEVER, .doubled = n->doubled};
	arbiter_init(&n->arbiter, &set, &s->disk[2 * i]);
	n->next_ms = s->now_ms + draw(s, 500);
}

/* The daemon dies and begins anew: corosync still has what it cast. */
static void reboot_daemon(struct sim *s, unsigned i)
{
	struct node *n = &s->node[i], before = *n;

	die(s, n);
	boot(s, i);
	n->host_thaw_ms = before.host_thaw_ms;
	n->disk_back_ms = before.disk_back_ms;
	n->ring = before.ring;
	n->soon = before.soon;
	n->notice_ms = before.notice_ms;
	n->told = false;
	n->cast = before.cast;
	n->cast_end_ms = before.cast_end_ms;
}

static void split(struct sim *s)
{
	unsigned ways = 1 + draw(s, draw(s, 3) ? 2 : 4);

	for (unsigned i = 0; i < s->count; i++)
		s->group[i] = draw(s, ways);
}

static void fault(struct sim *s)
{
	unsigned i = draw(s, s->count);
	struct node *n = &s->node[i];
	uint64_t until = s->now_ms + draw(s, 9000);

	switch (draw(s, 9)) {
	case 0:
		die(s, n);
		break;
	case 1:
	case 2:
		if (!n->alive)
			boot(s, i);
		break;
	case 3:
		split(s);
		break;
	case 4:
		n->thaw_ms = until;
		break;
	case 5: /* its peers notice, and it notices once it goes on */
		n->thaw_ms = n->host_thaw_ms = until;
		break;
	case 6:
		n->disk_back_ms = until;
		break;
	case 7:
		for (unsigned j = 0; draw(s, 3) == 0 && j < s->count; j++)
			s->node[j].disk_back_ms = until;
		break;
	case 8:
		if (n->alive)
			reboot_daemon(s, i);
		break;
	}
	regroup(s);
}

/* ---- histories ---- */

static void check_votes(struct sim *s)
{
	const struct node *first = NULL;

	for (unsigned i = 0; i < s->count; i++) {
		const struct node *n = &s->node[i];

		if (!n->alive || !n->cast)
			continue;
		s->votes++;
		first = first ? first : n;
		MUST(s, witness_ring_equal(&first->ring, &n->ring));
	}
}

static void run_until(struct sim *s, uint64_t end_ms)
{
	for (; s->now_ms < end_ms; s->now_ms += STEP_MS) {
		if (s->wild && draw(s, 150) == 0)
			fault(s);
		late_writes(s);
		for (unsigned i = 0; i < s->count; i++) {
			node_step(s, &s->node[(i + s->now_ms / STEP_MS) % s->count]);
			check_votes(s);
		}
	}
}

static void end_in_peace(struct sim *s)
{
	unsigned have = 0, half = 0, of_half = 0;

	s->wild = false;
	for (unsigned i = 0; i < s->count; i++) {
		struct node *n = &s->node[i];

		n->thaw_ms = n->host_thaw_ms = n->disk_back_ms = 0;
		if (!n->alive && draw(s, 2))
			boot(s, i);
	}
	regroup(s);
	run_until(s, s->now_ms + PEACE_MS);
	for (unsigned i = 0; i < s->count; i++) {
		const struct node *n = &s->node[i];
		unsigned size = (unsigned)__builtin_popcount(n->ring.members);

		if (!n->alive)
			continue;
		half += 2 * size >= s->count;
		if (n->cast) {
			have++;
			of_half = size;
		}
	}
	MUST(s, have == of_half && (half == 0) == (have == 0));
}

static void history(struct sim *s, uint64_t seed)
{
	*s = (struct sim){.seed = seed,
			  .random = seed * 2654435761u + 88172645463325252u,
			  .now_ms = 1000,
			  .wild = true,
			  .votes = s->votes,
			  .takeovers = s->takeovers};
	for (unsigned i = 0; i < 8; i++)
		draw(s, 2);
	s->count = draw(s, 3) ? 2 + draw(s, 4) : 2 + draw(s, NODES_MAX - 1);
	for (unsigned i = 0; i < s->count; i++)
		boot(s, i);
	regroup(s);
	run_until(s, WILD_MS);
	end_in_peace(s);
}

int main(void)
{
	const char *seed = getenv("OYA_SIM_SEED"), *wanted = getenv("OYA_SIM_HISTORIES");
	uint64_t first = seed ? strtoull(seed, NULL, 10) : 1;
	unsigned histories = wanted ? (unsigned)strtoul(wanted, NULL, 10) : HISTORIES_DEFAULT;
	static struct sim s;

	printf("1..1\n# seeds %llu to %llu\n", (unsigned long long)first,
	       (unsigned long long)first + histories - 1);
	fflush(stdout);
	for (unsigned i = 0; i < histories; i++)
		history(&s, first + i);
	printf("# the vote began %llu times, and was there at %llu steps of nodes\n"
	       "ok 1 - one_partition_at_most_has_the_vote_in_random_histories\n",
	       (unsigned long long)s.takeovers, (unsigned long long)s.votes);
	return s.votes && s.takeovers ? EXIT_SUCCESS : EXIT_FAILURE;
}
