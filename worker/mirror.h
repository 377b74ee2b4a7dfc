/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Images of the VM are copied to others while the guest uses them, and take their place
 * (docs/design/storage.md).
 *
 * A thread copies what is data, then what was written meanwhile, again and again. When little is
 * left, requests that change an image are kept until the copy has them too: from then on copies
 * and images are even, and stay so, and whoever asked for it may say which of them the VM has. Up
 * to its word (mirror_commit()) a copy that fails ends this, and the guest does not notice; from
 * there on it is a failure of the disk.
 *
 * Threads: the loop's, with the lock of the devices held; the thread of its own copies, and takes
 * `lock`, which is inside of it. Of requests it sees copies only.
 *
 * Invariants:
 *  1. what is copied is read behind the write: a chunk is marked when its write has ended, and a
 *     request that is kept is copied when it has;
 *  2. while it is even, each request that has been answered is in both;
 *  3. what is kept is given back, whatever becomes of the copy or its thread.
 */
#ifndef OYA_WORKER_MIRROR_H
#define OYA_WORKER_MIRROR_H

#include <jansson.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/timerq.h"
#include "lib/fail.h"
#include "worker/config.h"

struct vm;
struct mirror_disk;

enum mirror_phase {
	MIRROR_NONE,
	MIRROR_COPYING,
	MIRROR_CLOSING,   /* what changes an image is kept until the copy has it too */
	MIRROR_EVEN,      /* nothing else is left */
	MIRROR_COMMITTED, /* and a copy that fails is the disk's failure */
	MIRROR_SWITCHING, /* new requests wait; the images change when the others have ended */
	MIRROR_DONE,
	MIRROR_FAILED,
};

struct mirror {
	unsigned phase;                   /* enum mirror_phase; atomic: changed with the lock */
	bool runs;                        /* it has disks, and a thread */
	uint64_t total_bytes, done_bytes; /* atomic */
	struct list disks;                /* with the lock */
	unsigned count;                   /* how many; also behind their end */
	uint8_t *buffer;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t work;
	bool ends;                   /* the thread is to */
	bool ended;                  /* it does, and touches nothing any more */
	bool quiet;                  /* it has nothing to do */
	struct mirror_disk *stalled; /* its copy cannot be written, and counts; or NULL */
	int error;                   /* why */
	bool told;                   /* that is */
	struct timer look;           /* whether copies answer */
	struct failure failure;
};

void mirror_init(struct mirror *m);
/* Ends what is under way: the VM goes, with the images that it has. */
void mirror_done(struct vm *vm);

/* Begins, or adds a disk to what is under way; fd, open for writing, is the mirror's whatever comes
 * of it, and reads as zeros. 0, or -errno and the sentence. */
int mirror_add(struct vm *vm, unsigned controller, unsigned lun, int fd, struct failure *f);

/* From EVEN. From here on both are whole until one of the next two. 0, or -errno and the sentence.
 */
int mirror_commit(struct vm *vm, struct failure *f);
/* From COMMITTED: the copies are the images, soon. A VM with a lease has this one from now on, at
 * this epoch, also where no disk was copied; it is the VM's whatever comes of it. */
int mirror_switch(struct vm *vm, int lease_fd, uint64_t epoch, struct failure *f);
/* The copies are forgotten, soon. 0, or -EPROTO. */
int mirror_cancel(struct vm *vm);

/* The VM is resumed: tries again what a copy that counts has failed in. */
void mirror_retry(struct vm *vm);

/* One is under way: no disk comes or goes, and the VM is neither saved nor migrated. */
bool mirror_runs(const struct vm *vm);

/* What can be done now; the loop calls it before it waits. */
void mirror_step(struct vm *vm);

/* How far it is; null when there was none. */
json_t *mirror_status(const struct vm *vm);

#endif
