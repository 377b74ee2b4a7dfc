/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The lease of a VM: a file of its folder that says which host runs the VM and writes its disks.
 *
 * Each change is an exchange: under a lock on the file the newest epoch is read, compared with what
 * the caller expects, and the next one is written beside it and flushed. Who expects a stale one is
 * refused. A VM so runs on one host at most, as far as hosts ask before they run it.
 *
 * Threads: any; one at a time with a descriptor and its copies, since the lock is the open file's.
 * Calls wait for the disk, and for the lock. On an open file they make no system call but fcntl,
 * poll, pread, pwrite, fdatasync and clock_gettime, and allocate nothing: a sandboxed worker makes
 * them too.
 *
 * Trust: the file is on a volume that others write to: it is hostile until it is decoded. Who can
 * write it can take the lease anyway.
 *
 * Invariants:
 *  1. the epoch never sinks; of two who expect one epoch, one gets it;
 *  2. a write that is torn leaves the lease as it was;
 *  3. after a write that failed (-EIO) neither outcome may be assumed: the next call with this
 *     struct reads, and writes what it has read once more, until the disk has taken that. What it
 *     tells then is so.
 *
 * Spec: docs/format/lease.md.
 */
#ifndef OYA_LIB_LEASE_H
#define OYA_LIB_LEASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/lease.h"
#include "lib/fail.h"

#define LEASE_FILE "lease" /* in the VM's folder */
#define LEASE_ANY UINT64_MAX
#define LEASE_WAIT_MS 5000u

struct lease {
	enum lease_state state;
	uint64_t epoch;
	struct guid owner, target;
	uint64_t since_s;
};

/* An open one. The caller sets vm and name, which stays his. */
struct lease_file {
	int fd;
	struct guid vm;
	const char *name; /* for sentences: its path */
	unsigned wait_ms; /* for the lock; 0: LEASE_WAIT_MS */
	bool unsure;      /* a write has failed */
};

/* All below: 0, or -errno and the sentence. -ESTALE: the lease is another's, and the sentence says
 * whose, since when, and what to do. -EBUSY: somebody keeps its lock. -EBADMSG: it is no lease, or
 * both slots are damaged. -EPROTONOSUPPORT: another version's. -EIO: invariant 3. */

/* Opens the file of that name. create: makes an empty one where there is none. */
int lease_open(struct lease_file *l, bool create, struct failure *f);
/* Fine when it is not open: fd is -1. */
void lease_close(struct lease_file *l);

/* What it is now. */
int lease_read(struct lease_file *l, struct lease *ret_lease, struct failure *f);

/* From free, or held by `me`, whose worker has ended; with LEASE_ANY at whatever epoch. Or offered
 * to `me` at exactly this epoch. */
int lease_take(struct lease_file *l, const struct guid *me, uint64_t expected, uint64_t *ret_epoch,
	       struct failure *f);
/* Held by `me` at exactly this epoch: offered to another host. */
int lease_offer(struct lease_file *l, const struct guid *me, uint64_t epoch,
		const struct guid *target, uint64_t *ret_epoch, struct failure *f);
/* Held by `me` at exactly this epoch: held by another host, which has a lease file of its own. */
int lease_give(struct lease_file *l, const struct guid *me, uint64_t epoch,
	       const struct guid *target, uint64_t *ret_epoch, struct failure *f);
/* Offered by `me` at exactly this epoch: held again. */
int lease_take_back(struct lease_file *l, const struct guid *me, uint64_t epoch,
		    uint64_t *ret_epoch, struct failure *f);
/* Held by `me` at exactly this epoch: free. */
int lease_free(struct lease_file *l, const struct guid *me, uint64_t epoch, struct failure *f);
/* Whoever has it at this epoch, or at any: held by `me`. For who has made sure that no other host
 * runs the VM. */
int lease_force(struct lease_file *l, const struct guid *me, uint64_t expected, uint64_t *ret_epoch,
		struct failure *f);
/* Held by `me` at exactly this epoch. */
int lease_holds(struct lease_file *l, const struct guid *me, uint64_t epoch, struct failure *f);

/* Of another host than `me`: held by one, or offered by or to one. Where that matters the sentence
 * is lease_tell()'s. */
bool lease_is_others(const struct lease *lease, const struct guid *me);
/* The sentence of -ESTALE, which it returns. */
int lease_tell(const struct lease_file *l, const struct lease *lease, const struct guid *me,
	       uint64_t expected, struct failure *f);

/* The file's bytes, at most LEASE_FILE_BYTES; pure. */
int lease_decode(const struct lease_file *l, const uint8_t *bytes, size_t len,
		 struct lease *ret_lease, struct failure *f);
void lease_encode(const struct lease_file *l, const struct lease *lease,
		  struct lease_slot *ret_slot);

#endif
