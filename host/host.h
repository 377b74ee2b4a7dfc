/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the daemon has: its folders, its VMs, and what they need of each other. */
#ifndef OYA_HOST_HOST_H
#define OYA_HOST_HOST_H

#include <jansson.h>
#include <stdbool.h>
#include <systemd/sd-event.h>

#include "base/guid.h"
#include "base/list.h"
#include "host/capacity.h"
#include "host/crm.h"
#include "host/launch.h"
#include "lib/fail.h"
#include "lib/pool.h"

struct network;
struct vm;
struct ending;
struct cluster;

struct host {
	sd_event *event;
	struct pool *pool;
	sd_event_source *pool_source;
	struct launcher launcher;
	struct network *network;
	const char *state, *run; /* folders */
	struct guid uuid;        /* of this host, for leases; zero: it has none */
	struct list vms;         /* by name */
	unsigned vm_count;
	struct list jobs; /* oldest first */
	uint64_t job_last;
	unsigned jobs_running, jobs_ended;
	const char *importer; /* path of oya-import */
	struct list intakes;
	uint64_t intake_last;
	struct ending *ending;   /* the host ends; or NULL */
	struct cluster *cluster; /* NULL: it does not listen, and can be in none */
	struct crm crm;          /* questions to the cluster's engine */
	struct list clusterings; /* starts that the cluster asked for */
	struct capacity capacity;
	struct pool_lane placing;  /* in which the cluster's placement is looked at and changed */
	bool tells, balances;      /* capacity.h, balance.h: under way */
	struct failure not_told;   /* why the engine does not know this host; or "" */
	struct pool_lane log_lane; /* of the cluster's log */
	uint64_t failovers;        /* VMs of hosts that were off, started here since we began */
	int64_t failover_s;        /* when the last one was; 0: none */
	bool first;                /* the first start of the daemon since the host's */
	bool ends;                 /* the daemon does: nothing more begins */
	const char *connector;     /* path of oya-tls */
	int (*reboot)(void);       /* at once, as by a loss of power; 0 or -errno; NULL: no way */
	/* Tells all who listen; `data` is taken. */
	void (*publish)(void *ctx, const char *type, json_t *data);
	void *publish_ctx;
};

/* Reads the folders, takes over workers that live, starts what is to be started. 0, or -errno and
 * the sentence. */
struct host_places {
	const char *state, *run;                   /* folders */
	const char *worker, *importer, *connector; /* programs */
	struct capacity capacity;                  /* for VMs of a cluster */
};
int host_init(struct host *h, const struct host_places *places, sd_event *event, struct failure *f);
/* Makes the host's UUID of its machine id. 0, or -errno: it has none, and starts no VM. */
int host_uuid_init(struct host *h);
/* Workers go on. */
void host_done(struct host *h);

/* By UUID as its text; NULL: none. */
struct vm *host_find_uuid(const struct host *h, const char *uuid);
struct vm *host_find(const struct host *h, const char *name);
void host_add(struct host *h, struct vm *vm);
/* Lets go of it, and frees it. */
void host_remove(struct host *h, struct vm *vm);
void host_publish(struct host *h, const char *type, json_t *data);

#endif
