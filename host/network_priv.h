/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the network share; nobody else includes it. */
#ifndef OYA_HOST_NETWORK_PRIV_H
#define OYA_HOST_NETWORK_PRIV_H

#include <systemd/sd-event.h>

#include "base/list.h"
#include "host/network.h"
#include "lib/pool.h"

/* A switch as the lane has it. */
struct wanted {
	struct switch_config config;
	bool kept; /* else on trial */
};

struct network {
	struct host *host;
	struct pool_lane lane;
	struct list shown; /* by name: the loop's copy of `wanted` */
	bool known;        /* there was a host.json */
	/* Of the lane, and of network_new(). */
	struct switches *switches; /* NULL: nobody has needed it */
	struct wanted wanted[SWITCHES_MAX];
	size_t wanted_count;
	bool changed; /* the list of switches, or a DHCP service: to be shown */
};

struct shown {
	struct list link;
	struct network *network;
	struct switch_config config;
	bool kept;
	/* Its trial. */
	struct switch_trial trial;
	bool confirmed;
	network_done_fn *tried;
	void *tried_ctx;
	sd_event_source *timer; /* the next step of it, or the next start of the DHCP service */
	sd_event_source *dhcp;  /* the end of that */
};

struct snapshot {
	struct switch_config config;
	bool kept;
	int dhcp_fd; /* a copy; -1 */
};

/* Something for the lane; freed behind then(). */
struct network_work {
	struct pool_work work;
	struct network *network;
	int (*act)(struct network_work *w);   /* in the pool: 0, or -errno and w->f */
	void (*then)(struct network_work *w); /* on the loop */
	int r;
	struct failure f;
	struct switch_config config; /* or its name alone */
	struct network_trial_wish wish;
	struct port_config *ports;
	size_t port_count;
	uint64_t wait_ms;
	bool answers;
	int code; /* why a trial failed */
	struct failure reason;
	network_done_fn *done;
	void *ctx;
	/* What the lane has behind it. */
	bool changed;
	size_t now_count;
	struct snapshot now[SWITCHES_MAX];
};

uint64_t network_now_ms(void);
struct network_work *network_work_new(struct network *n, int (*act)(struct network_work *w),
				      void (*then)(struct network_work *w));
void network_submit(struct network_work *w);
struct shown *network_find(const struct network *n, const char *name);

/* In the lane: the switches that are kept. */
int network_write_file(struct network *n, struct failure *f);

/* Its DHCP service has ended, or the time for the next try has come. */
void network_restart_dhcp(struct shown *s);

/* In the lane: makes a switch; one that is not external is kept at once. */
int network_make(struct network *n, const struct switch_config *config, struct failure *f);
struct wanted *network_find_wanted(struct network *n, const char *name);

int network_no_memory(struct failure *f);

#endif
