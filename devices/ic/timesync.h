/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Time synchronisation: tells the guest the host's time of day; at the start as an order to set
 * its clock, then every five seconds as a sample for a guest that disciplines its clock by it.
 *
 * Role: owned by the worker, which calls timesync_sync() when the guest's time may have jumped:
 * after a resume, a restore or a migration.
 *
 * Trust, threads: see ic.h. Answers carry nothing that is used.
 */
#ifndef OYA_DEVICES_IC_TIMESYNC_H
#define OYA_DEVICES_IC_TIMESYNC_H

#include <stdint.h>

#include "devices/ic/ic.h"

#define TIMESYNC_PERIOD_NS (5 * IC_NS_PER_S)

struct timesync;

struct timesync_host {
	/* The partition's reference counter, in units of 100 ns, as the guest reads it now. */
	uint64_t (*reference_100ns)(void *ctx);
};

struct timesync_state {
	const char *label; /* of the channel's state */
	uint32_t version;  /* IC_VERSION; 0 before it is agreed on */
	uint64_t syncs;    /* orders and samples since the channel was opened */
	uint64_t samples;
};

/* host is kept by reference. 0, -ENOMEM or -ENOSPC. */
int timesync_new(const struct ic_env *env, const struct timesync_host *host, void *ctx,
		 struct timesync **ret_timesync);
void timesync_free(struct timesync *ts);

/* Makes the next message an order to set the clock, sent as soon as may be. */
void timesync_sync(struct timesync *ts);

void timesync_state(const struct timesync *ts, struct timesync_state *ret_state);

/* In a saved state; read into one whose channel no guest has opened. The next message is an order,
 * by a timer that is due at once. */
void timesync_record(struct timesync *timesync, struct record *r);

#endif
