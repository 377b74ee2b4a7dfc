/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A VM of the cluster whose live move has failed: it runs on here, and the engine, to which it may
 * run in two places, leaves it alone (`on-fail` of migrate_to is `block`). After a while the engine
 * forgets that failure, looks where the VM is, and does again as it has to: another try of the
 * move, as long as it is wanted. On a host that leaves the VM is stopped first, since the engine
 * would wait for it to go.
 *
 * Threads: the loop's; the engine's program is run in the pool.
 */
#ifndef OYA_HOST_STAY_H
#define OYA_HOST_STAY_H

#include "host/vm.h"

/* In a minute, counted anew each time; also for what a daemon before us may have begun. */
void stay_begin(struct vm *vm);

#endif
