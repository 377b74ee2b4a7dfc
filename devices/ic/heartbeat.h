/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Heartbeat: asks the guest every two seconds whether it lives.
 *
 * Role: owned by the worker, which shows the health of the guest and may restart it.
 *
 * Trust, threads: see ic.h. A guest can pretend to live; it cannot make more of this than that.
 */
#ifndef OYA_DEVICES_IC_HEARTBEAT_H
#define OYA_DEVICES_IC_HEARTBEAT_H

#include <stdint.h>

#include "devices/ic/ic.h"

#define HEARTBEAT_PERIOD_NS (2 * IC_NS_PER_S)
#define HEARTBEAT_LOST_NS (15 * IC_NS_PER_S) /* without an answer for so long: lost */

enum heartbeat_health {
	HEARTBEAT_NO_CONTACT, /* the guest has no driver, or not yet */
	HEARTBEAT_OK,
	HEARTBEAT_LOST,
};

struct heartbeat;

struct heartbeat_state {
	enum heartbeat_health health;
	const char *label;          /* of health */
	uint32_t version;           /* IC_VERSION; 0 before it is agreed on */
	uint64_t answers;           /* since the channel was opened */
	uint64_t last_answer_ns;    /* monotonic; the time of agreement before the first answer; of
				     * a saved state perhaps before the clock began: it wraps */
	uint32_t application_state; /* as the guest tells: 0 unknown, 1 healthy, 2 critical */
};

/* changed may be NULL; it is called after each change of health. 0, -ENOMEM or -ENOSPC. */
int heartbeat_new(const struct ic_env *env,
		  void (*changed)(void *ctx, enum heartbeat_health health), void *ctx,
		  struct heartbeat **ret_heartbeat);
void heartbeat_free(struct heartbeat *hb);

void heartbeat_state(const struct heartbeat *hb, struct heartbeat_state *ret_state);

/* In a saved state; read into one whose channel no guest has opened. Of a health that is not
 * no-contact changed() is called. Time in which the VM stood still is no silence. */
void heartbeat_record(struct heartbeat *heartbeat, struct record *r);

#endif
