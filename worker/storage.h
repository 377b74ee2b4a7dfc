/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The VM's disks and drives: images opened, put on SCSI controllers, added and removed while the
 * guest runs, drained and closed.
 *
 * Threads: with the lock of the devices held, but for storage_drain().
 *
 * Trust: images and descriptors are the administrator's. A descriptor that comes while the guest
 * runs is checked as one of the start is; nothing is opened by its name then.
 *
 * Invariants:
 *  1. a place holds what its controller has a unit for, and nothing else;
 *  2. an image is closed only once its controller has let go of it (storage_settle());
 *  3. where a unit is decides its serial number, unless it was given one.
 */
#ifndef OYA_WORKER_STORAGE_H
#define OYA_WORKER_STORAGE_H

#include <jansson.h>

#include "devices/storage/ide.h"
#include "devices/storage/storvsp.h"
#include "disk/raw.h"
#include "disk/ring.h"
#include "lib/fail.h"
#include "lib/loop.h"
#include "worker/config.h"

/* storage_watch.c */
struct storage_watch {
	uint64_t completed; /* when it was looked at last */
	unsigned silent;    /* how often it has not answered since */
	bool hangs;
};

/* A unit's place; empty when there is none. */
struct storage_place {
	bool used;
	bool leaving;  /* the unit goes when its requests have ended */
	bool ejecting; /* its medium does */
	bool copied;   /* not before it has been (mirror.h) */
	struct config_disk config;
	struct raw_disk *image; /* NULL: a drive without a medium */
	struct storage_watch watch;
};

#define STORAGE_CONTROLLERS_MAX (CONFIG_IDE_FIRST + CONFIG_IDE_PLACES)

struct storage_controller {
	struct storage *storage;
	unsigned number;
	struct storvsp *scsi;
	struct storage_place place[CONFIG_LUNS_MAX];
};

struct storage {
	const struct config *config;
	struct disk_ring *ring;
	struct loop *loop;
	struct loop_source source;
	struct ide *ide; /* with firmware: has what is at IDE places as well; not owned */
	struct storage_controller *controller[STORAGE_CONTROLLERS_MAX]; /* NULL: there is none */
	bool unlocked; /* another worker may have the disks */
	bool unsettled;
	unsigned kept;         /* requests, until a copy has them too (mirror.h) */
	bool watched, hanging; /* storage_watch.c */
	struct timer look;
	/* A disk has failed and its requests are kept, or it hangs: the VM is to be paused. From
	 * within the devices: only to be noted. */
	void (*failed)(void *ctx, const char *sentence, bool hangs);
	/* No disk hangs any more. */
	void (*answered)(void *ctx);
	void *ctx;
};

/* Opens the disks of the configuration. 0, or -errno and the sentence. The caller sets failed,
 * answered and ctx afterwards. */
int storage_init(struct storage *s, const struct config *config, struct vmbus *bus, struct ide *ide,
		 struct loop *loop, struct failure *f);

/* The disk or drive at a place; NULL and the sentence: there is none. It stays there until it is
 * removed. */
struct storage_place *storage_place(struct storage *s, unsigned controller, unsigned lun,
				    struct failure *f);

/* Opens another image as that of the place is; fd is the image's whatever comes of it. */
int storage_open_copy(struct storage *s, const struct storage_place *p, int fd,
		      struct raw_disk **ret_image, struct failure *f);

/* Waits until nothing is under way; the guest is stopped. */
void storage_drain(struct storage *s);

/* Whether nothing is under way. */
bool storage_idle(const struct storage *s);

/* Whether nothing is under way in the controllers either, and no unit or medium is leaving; how
 * many requests are kept after errors. */
bool storage_quiet(const struct storage *s);
unsigned storage_held(const struct storage *s);

/* What was written is on the disks when it returns 0; else -errno and the sentence. While the
 * storage is quiet and stays so, on any thread. */
int storage_sync(const struct storage *s, struct failure *f);

/* Takes the disks from whoever had them, or gives them away: nothing is under way. Fine when it is
 * so already. 0, or -errno and the sentence, and none is taken. */
int storage_lock(struct storage *s, struct failure *f);
void storage_unlock(struct storage *s);

/* After storage_drain(). */
void storage_done(struct storage *s);

/* Takes what the disks have done meanwhile, and does what waited for requests to end: the loop
 * calls it before it waits. */
void storage_settle(struct storage *s);

/* Looks for disks that do not answer within the time that the configuration gives them: the loop
 * calls it before it waits. */
void storage_watch(struct storage *s);
void storage_watch_anew(struct storage *s);

/* Tries again what was kept after errors, and gives disks that hang their time anew. */
void storage_retry(struct storage *s);

/* For messages. */
const char *storage_name(const struct config_disk *d);

/* Adds a unit; config->lun may be CONFIG_LUN_ANY. fd: of the image or medium, -1 for an empty
 * drive; it is the storage's whatever comes of it. The texts of config are so on success, and
 * config is zeroed then but for its place. 0, or -errno and the sentence. */
int storage_add(struct storage *s, struct config_disk *config, int fd, struct failure *f);

/* Removes a unit. *ret_done: its image is closed already, else that follows. */
int storage_remove(struct storage *s, unsigned controller, unsigned lun, bool *ret_done,
		   struct failure *f);

/* Changes the medium of a drive. name: of the medium, for messages; may be NULL. fd as above. */
int storage_insert(struct storage *s, unsigned controller, unsigned lun, const char *name, int fd,
		   struct failure *f);
int storage_eject(struct storage *s, unsigned controller, unsigned lun, bool force, bool *ret_done,
		  struct failure *f);

/* An array with the counters of all units. */
json_t *storage_statistics(const struct storage *s);

#endif
