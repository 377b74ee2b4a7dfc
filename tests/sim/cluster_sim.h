/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Hosts, VMs and a cluster's engine in virtual time, for histories of faults. The engine is a model
 * of what Corosync and Pacemaker promise: each host has a view of who is there, which all who are
 * in it take at once, and which is late and may be false for who is cut off or stands still; the
 * lowest host of a view that has a quorum decides; nothing starts while a host of its is silent and
 * has not been fenced. Leases, and the judgement whether the lease of another host may be taken,
 * are the real ones.
 *
 * What is pessimistic: a host that stood still goes on with what it was amid, and believes its old
 * view for a while; fencing and views take random times; what is written of hosts is forgotten at a
 * boot.
 *
 * Rooms: cluster_sim_engine.c decides, cluster_sim_hosts.c carries out, cluster_sim_test.c makes
 * the faults and judges.
 */
#ifndef OYA_TESTS_SIM_CLUSTER_SIM_H
#define OYA_TESTS_SIM_CLUSTER_SIM_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/lease.h"

#define HOSTS_MAX 6u
#define VMS 3u
#define TICK_MS 50u
#define DETECT_MS 2200u /* until a view follows what happened, and up to half as much again */
#define BOOT_MS 4000u
#define NONE (-1)

typedef uint32_t hosts_t; /* a bit for each */

enum known { ABSENT, ONLINE, UNCLEAN, CLEAN };

/* What the engine has written down, a copy on each host. */
struct book {
	uint64_t version;
	enum known host[HOSTS_MAX];
	int at[VMS], to[VMS]; /* where it was last told to run, and where it moves to; or NONE */
};

enum step {
	IDLE,
	START_READ, /* the lease, and the engine is asked */
	START_TAKE, /* the lease */
	START_WORKER,
	STOP_WORKER,
	STOP_FREE,  /* the lease */
	MOVE_OFFER, /* source: the guest stands still from here on */
	MOVE_RUN,   /* source: the word is sent */
	MOVE_WAIT,  /* source: for the answer; the lease decides */
	MOVE_TAKE,  /* target */
};

/* One process of a VM on one host, and what is under way with it. */
struct worker {
	bool runs, stands;
	uint64_t id; /* rises with each start anywhere */
	uint64_t epoch;
	enum step step;
	uint64_t due_ms;
	uint64_t force; /* START: the other's epoch; 0: none */
	int peer;       /* MOVE */
	bool answered;  /* MOVE_WAIT: it runs there */
};

struct sim_host {
	bool power;
	uint64_t boots_ms, thaws_ms; /* 0: it has booted, is not frozen */
	hosts_t deaf;                /* to these */
	bool cut;                    /* from the disks, by a reservation */
	bool fenced;                 /* and does not know it yet */
	bool fresh;                  /* has booted, and was not let in since */
	hosts_t view, next;
	uint64_t next_ms; /* when it will believe `next`; 0: there is none */
	hosts_t lost;     /* were online in its view, and have not been fenced or come back since */
	bool seen_all;    /* since it booted */
	struct book book;
	int fences; /* which host, or NONE */
	uint64_t fences_ms;
	int executor;
	struct worker worker[VMS];
};

struct sim {
	uint64_t seed, history, random, now_ms;
	unsigned hosts;
	bool reservations; /* fencing cuts off the disks; else the power */
	bool fencing_works;
	bool calm; /* no new moves */
	struct sim_host host[HOSTS_MAX];
	struct lease_file lease[VMS];
	uint64_t next_id, last_writer[VMS];
	struct {
		uint64_t starts, forced, refused, fenced, fence_failed, moves, moved, taken_back;
	} count;
};

uint32_t sim_draw(struct sim *s, uint32_t below);
_Noreturn void sim_failed(const struct sim *s, const char *what, int line);
#define SIM_MUST(s, condition)                                 \
	do {                                                   \
		if (!(condition))                              \
			sim_failed((s), #condition, __LINE__); \
	} while (0)

/* ---- cluster_sim_hosts.c ---- */

bool sim_lives(const struct sim *s, unsigned host); /* has power, has booted, is not frozen */
bool sim_hears(const struct sim *s, unsigned one, unsigned other);
void sim_guid(unsigned host, struct guid *ret);
void sim_boot(struct sim *s, unsigned host);
void sim_power_off(struct sim *s, unsigned host);
/* One tick of a host that lives: its steps, its workers' writes. */
void sim_host_tick(struct sim *s, unsigned host);
void sim_begin(struct sim *s, unsigned host, unsigned vm, enum step step, uint32_t within_ms);

/* ---- cluster_sim_engine.c ---- */

bool sim_quorate(const struct sim *s, unsigned host);
/* What host `i` believes of who is there. */
void sim_views(struct sim *s);
void sim_engine_tick(struct sim *s, unsigned host);

#endif
