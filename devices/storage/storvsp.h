/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The synthetic SCSI controller: a VMBus device with block devices as its units, which are disks
 * or DVD-ROM drives, and which come and go while the guest runs.
 *
 * Made by the program that makes the partition, which also owns the bus and the block devices;
 * both outlive the controller.
 *
 * Trust: packets are a hostile guest's, copied in by the bus; each is copied once more into a
 * zeroed structure and checked. Data pages are only ever a source or target of bytes.
 *
 * Threads: all calls, and the completions of the block devices, with the lock of the devices.
 *
 * Invariants:
 *  1. a packet is taken from the ring only when a request slot and a long vector are free, so
 *     that each packet taken is answered without an allocation;
 *  2. a request belongs to one opening of its channel; its answer is dropped once that is over;
 *  3. a slot is free, or at the back end, or waiting at its unit, or kept
 *     there after an error, or waiting to be sent;
 *  4. a sub-channel is offered only while the primary channel is open: when that closes, all of
 *     them are taken back.
 *
 * Spec: abi/storvsc.h; the commands are those of devices/storage/scsi.h.
 */
#ifndef OYA_DEVICES_STORAGE_STORVSP_H
#define OYA_DEVICES_STORAGE_STORVSP_H

#include "base/blockdev.h"
#include "base/guid.h"
#include "base/record.h"
#include "devices/storage/scsi.h"
#include "devices/vmbus/vmbus.h"

#define STORVSP_TARGETS_MAX 2u /* what Linux's driver looks for */
#define STORVSP_QUEUES_MAX 16u /* channels of a controller */

struct storvsp;

/* What the controller tells its owner; any of the calls may be NULL. Nothing may be called back
 * on the controller from within. */
struct storvsp_host_ops {
	/* An operation at a unit's back end has failed with -errno. True: the request is kept, as
	 * if it were under way, until storvsp_retry(). False: the guest is told of the error. */
	bool (*failed)(void *ctx, unsigned target, unsigned lun, enum block_op op, int error);
	/* The guest has ejected the medium of a drive: storvsp_eject() is to be called soon. */
	void (*ejected)(void *ctx, unsigned target, unsigned lun);
};

struct storvsp_config {
	const struct storvsp_host_ops *host; /* or NULL */
	void *host_ctx;
	struct guid instance;
	bool ide; /* for one unit, target 0 LUN 0, which has a place at an IDE channel too */
	unsigned sub_channels_max; /* that a driver may ask for, below STORVSP_QUEUES_MAX */
};

struct storvsp_stats {
	uint64_t reads, read_bytes; /* completed without error */
	uint64_t writes, written_bytes;
	uint64_t flushes;
	uint64_t discards, discarded_bytes;
	uint64_t errors; /* of the back end */
};

/* Makes a controller without units and offers it on the bus. NULL when there is no memory or no
 * room on the bus. */
struct storvsp *storvsp_new(struct vmbus *bus, const struct storvsp_config *config);

/* Takes the offer back and frees the controller and its units. Nothing may be under way: see
 * storvsp_inflight(). */
void storvsp_free(struct storvsp *sp);

/* Adds a unit; blockdev is borrowed until storvsp_detach() returns 0 or the controller is freed.
 * 0; -ERANGE for an address that cannot be; -EEXIST when it is taken; -EINVAL for an identity
 * that scsi_identity_check() refuses or a block device of a wrong shape; -ENOMEM. */
int storvsp_attach(struct storvsp *sp, unsigned target, unsigned lun,
		   const struct blockdev *blockdev, const struct scsi_identity *identity);

/* Adds a DVD-ROM drive with a medium, a read-only block device of 2048-byte sectors borrowed until
 * storvsp_eject() or storvsp_detach() returns 0, or without (NULL). Results as above. */
int storvsp_attach_dvd(struct storvsp *sp, unsigned target, unsigned lun,
		       const struct blockdev *medium, const struct scsi_identity *identity);

/* Removes a unit. From the first call on the guest finds no unit there, and is told to look; kept
 * requests end with their error. 0; -ENOENT; -EBUSY while requests of it are at the back end: call
 * again once they have completed. */
int storvsp_detach(struct storvsp *sp, unsigned target, unsigned lun);

/* Puts a medium into an empty drive. 0; -ENOENT: no drive there; -EEXIST: it is not empty; -EBUSY:
 * its last medium was not let go of; -EINVAL for a block device of a wrong shape. */
int storvsp_insert(struct storvsp *sp, unsigned target, unsigned lun,
		   const struct blockdev *medium);

/* Takes the medium out, which the guest notices from the first call on. 0: the block device is the
 * caller's again; -EBUSY while requests are at it: call again; -ENOENT: no drive or no medium;
 * -EPERM: the guest has locked the drive and is asked to eject, unless force. */
int storvsp_eject(struct storvsp *sp, unsigned target, unsigned lun, bool force);

/* Whether there is a unit with sectors: a disk, or a drive with a medium. */
bool storvsp_has_medium(const struct storvsp *sp, unsigned target, unsigned lun);

/* Tries again what was kept after errors. */
void storvsp_retry(struct storvsp *sp);

/* Number of requests at the back ends, those of a closed channel included; of those kept after an
 * error. */
unsigned storvsp_inflight(const struct storvsp *sp);
unsigned storvsp_held(const struct storvsp *sp);

/* The controller in a saved state: its units must be those that it had, with the media that it had
 * at least. Writing is refused while requests are under way or held. What was read offers its
 * sub-channels, and gives a medium back that the guest had ejected. */
void storvsp_record(struct storvsp *sp, struct record *r);

/* Counters of a unit since it was attached; NULL when there is none. */
const struct storvsp_stats *storvsp_unit_stats(const struct storvsp *sp, unsigned target,
					       unsigned lun);

#endif
