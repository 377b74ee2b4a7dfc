/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Raw images and block devices: the disk's bytes are the file's bytes.
 *
 * Opened by a program, given to a controller as a struct blockdev.
 *
 * Trust: the path or descriptor is the administrator's; the bytes are a guest's and are never
 * looked at: raw is said by the configuration, not found out.
 *
 * Threads: all calls with the lock of the devices held; completions come from disk_ring_reap().
 *
 * Invariants:
 *  1. an image is open for writing once, or for reading any number of times (a lock on the open
 *     file, which works between programs and hosts as far as the file system's locks do);
 *  2. a request completes with 0 only when all of its bytes have moved;
 *  3. no request allocates;
 *  4. after a flush has failed in the page cache no flush succeeds any more, since the kernel
 *     may have dropped what could not be written; the image must be opened anew.
 */
#ifndef OYA_DISK_RAW_H
#define OYA_DISK_RAW_H

#include <stdbool.h>

#include "base/blockdev.h"
#include "disk/ring.h"

#define RAW_INFLIGHT_MAX 256u /* requests of a disk */

struct raw_disk;

struct raw_options {
	bool read_only;
	bool direct;   /* past the page cache, where the file system can */
	bool unlocked; /* another has it; nothing is written before raw_lock() */
	/* What the guest is told: 512, 2048 or 4096; 0: as the device has it, of a file 512. */
	uint32_t sector_bytes;
};

/* Why an image was not opened, beside the errno. */
enum raw_reason {
	RAW_REASON_SYSTEM,    /* the errno says it all */
	RAW_REASON_TYPE,      /* -EINVAL: neither a regular file nor a block device */
	RAW_REASON_SIZE,      /* -EINVAL: empty, or not a multiple of the sector size */
	RAW_REASON_SECTOR,    /* -EINVAL: a sector size that guests cannot be told, or one that is
			       * smaller than the device's */
	RAW_REASON_LOCKED,    /* -EBUSY: in use by another */
	RAW_REASON_READ_ONLY, /* -EROFS: to be written, but the device or descriptor is not */
};

/* Opens the image at path. 0 and *ret_disk, or -errno and *ret_reason (which may be NULL). */
int raw_open(struct disk_ring *ring, const char *path, const struct raw_options *options,
	     struct raw_disk **ret_disk, enum raw_reason *ret_reason);

/* The same for a descriptor that somebody else opened, at least for reading. On success it is the
 * disk's, and its flags O_NONBLOCK and O_DIRECT have been set as needed. */
int raw_open_fd(struct disk_ring *ring, int fd, const struct raw_options *options,
		struct raw_disk **ret_disk, enum raw_reason *ret_reason);

/* Takes the lock of invariant 1, or gives it up. 0, -EBUSY or -errno. */
int raw_lock(struct raw_disk *disk);
void raw_unlock(struct raw_disk *disk);

/* Closes the image; nothing may be in flight. NULL is fine. */
void raw_close(struct raw_disk *disk);

/* The disk's block device, valid until raw_close(). */
const struct blockdev *raw_blockdev(const struct raw_disk *disk);

/* Whether it goes past the page cache. */
bool raw_is_direct(const struct raw_disk *disk);

/* Everything that was written is on the disk when it returns 0: waits for it, on any thread while
 * nothing is in flight. An error is kept, and fails the guest's flushes from then on. */
int raw_sync(struct raw_disk *disk);

/* ---- another image in its place ---- */

/* Who brings what is written to another image. ended(): a request other than a read has come to its
 * end, well or not, in reaping: true: it is kept, and raw_end() follows. */
struct raw_watcher {
	bool (*ended)(void *ctx, struct block_request *req, int result);
	void *ctx;
};

/* NULL: nobody. What is kept is given back nevertheless. */
void raw_watch(struct raw_disk *disk, const struct raw_watcher *watcher);
/* Ends a request that was kept. */
void raw_end(struct block_request *req, int result);

/* New requests wait. Once those that were under way have ended it is still. */
void raw_hold(struct raw_disk *disk);
bool raw_is_still(const struct raw_disk *disk);
/* They are carried out. */
void raw_let_go(struct raw_disk *disk);

/* The disk, which is still, goes on with the image of `by`, which has as many bytes and is freed;
 * its own is closed. */
void raw_replace(struct raw_disk *disk, struct raw_disk *by);

/* For who reads and writes it beside the ring, as O_DIRECT wants it (raw_is_direct()). */
int raw_fd(const struct raw_disk *disk);

unsigned raw_inflight(const struct raw_disk *disk);
uint64_t raw_completed(const struct raw_disk *disk); /* since it was opened */

#endif
