/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The VM's disks: images opened, put on a SCSI controller, drained and closed.
 *
 * Threads: with the lock of the devices held, but for storage_drain().
 */
#ifndef OYA_WORKER_STORAGE_H
#define OYA_WORKER_STORAGE_H

#include "devices/storage/storvsp.h"
#include "disk/raw.h"
#include "disk/ring.h"
#include "lib/fail.h"
#include "lib/loop.h"
#include "worker/config.h"

struct storage {
	struct disk_ring *ring;
	struct loop_source source;
	struct storvsp *controller;
	unsigned count;
	struct raw_disk *disk[CONFIG_DISKS_MAX];
};

/* Disk n becomes LUN n of target 0. 0, or -errno and the sentence. */
int storage_init(struct storage *s, const struct config *config, struct vmbus *bus,
		 struct loop *loop, struct failure *f);

/* Waits until nothing is under way; the guest is stopped. */
void storage_drain(struct storage *s);

/* After storage_drain(). */
void storage_done(struct storage *s);

#endif
