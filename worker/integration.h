/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The integration services of a VM: heartbeat, shutdown, time synchronisation, key-value pairs;
 * and its keyboard.
 *
 * Threads: with the lock of the devices held.
 */
#ifndef OYA_WORKER_INTEGRATION_H
#define OYA_WORKER_INTEGRATION_H

#include "devices/ic/heartbeat.h"
#include "devices/ic/kvp.h"
#include "devices/ic/shutdown.h"
#include "devices/ic/timesync.h"
#include "devices/input/keyboard.h"
#include "lib/fail.h"
#include "lib/loop.h"
#include "worker/machine.h"

struct integration {
	struct heartbeat *heartbeat;
	struct shutdown *shutdown;
	struct timesync *timesync;
	struct kvp *kvp;
	struct keyboard *keyboard;
};

int integration_init(struct integration *in, struct machine *machine, struct failure *f);
void integration_done(struct integration *in);

#endif
