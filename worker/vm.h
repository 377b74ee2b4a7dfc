/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One virtual machine from its configuration to its end.
 *
 * States: built -> running <-> paused; from these two a reset goes through `resetting` back to
 * running, and everything ends in stopped. A VM whose state is being written is `saving`, and then
 * `saved`: it stands still until it stops, or goes back to where it was (save.h). One that is made
 * of a state begins as paused. One that comes from another host is `incoming` until it runs; there
 * it was `switching` at last, and then `moved`, which ends it (migrate.h, incoming.h). In all of
 * these the loop goes on until the disks have done what was under way, however long that takes. The
 * loop's thread owns them; processors and control clients only leave a request, which the loop
 * carries out between two waits.
 */
#ifndef OYA_WORKER_VM_H
#define OYA_WORKER_VM_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/fail.h"
#include "lib/lease.h"
#include "lib/loop.h"
#include "worker/config.h"
#include "worker/console.h"
#include "worker/incoming.h"
#include "worker/integration.h"
#include "worker/lazy.h"
#include "worker/machine.h"
#include "worker/memory.h"
#include "worker/migrate.h"
#include "worker/mirror.h"
#include "worker/network.h"
#include "worker/save.h"
#include "worker/storage.h"

enum vm_state {
	VM_BUILT,
	VM_RUNNING,
	VM_PAUSED,
	VM_RESETTING,
	VM_STOPPED,
	/* In these no device is touched: vm_stands_still(). */
	VM_SAVING,
	VM_SAVED,
	VM_INCOMING,  /* it runs elsewhere, and is to come */
	VM_SWITCHING, /* it stands still for the last of its way elsewhere */
	VM_MOVED,
};

/* What changes seldom, and whoever watches the VM wants to hear of. */
struct vm_news {
	unsigned state;
	uint32_t vmbus;
	uint64_t resets, crashes;
	uint64_t guest;             /* how often what the guest tells of itself was read */
	uint64_t saves, migrations; /* that have ended, for better or worse */
	bool unsure;                /* nobody here knows where it runs */
	unsigned mirror;            /* its phase */
	const char *heartbeat, *shutdown;
};

struct vm {
	const struct config *config;
	pthread_mutex_t lock; /* of the devices */
	struct loop *loop;
	int device_fd;
	struct boot_files files;
	struct firmware firmware;
	struct memory memory;
	struct lazy lazy; /* what is to be read of it */
	struct partition partition;
	struct vcpus *vcpus;
	struct machine machine;
	struct console *console;
	struct storage storage;
	struct network network;
	struct integration integration;
	struct saver saver;
	struct migration migration;
	struct mirror mirror;
	struct incoming incoming;
	struct lease_file lease; /* fd -1: it has none */
	uint64_t lease_epoch;    /* at which it is ours, or offered by us */
	int state_fd;   /* of the state that it is made of, until that has been read; else -1 */
	bool restored;  /* it waits to be resumed for the first time */
	unsigned state; /* enum vm_state */
	bool want_stop, want_reset, want_pause;
	bool disk_failed;              /* it is paused for that; reason tells of it */
	bool disk_hangs;               /* the same, and it goes on when the disk answers */
	bool failed;                   /* it ended otherwise than by the guest's or a user's wish */
	char reason[256];              /* why it stopped or was reset last */
	char crash[HV_CRASH_TEXT_MAX]; /* what the guest said when it crashed last; "" for never */
	struct log_limit crash_limit;
	uint64_t resets, crashes;
	struct vcpu_stats past; /* counts of earlier runs */
	void (*tell)(void *owner);
	void *tell_owner;
	struct vm_news told;
};

/* Opens and makes everything; nothing runs yet. 0, or -errno and the sentence. */
int vm_new(const struct config *config, struct vm **ret_vm, struct failure *f);
void vm_free(struct vm *vm);

/* Runs the guest until it ends. 0 when it powered off or was told to; -errno and the sentence
 * when it broke or could not start. */
int vm_run(struct vm *vm, struct failure *f);

/* Requests, from the loop's thread with the lock held: 0, or -EPROTO in a state that does not
 * allow it. Reset and stop happen before the loop waits again. */
int vm_pause(struct vm *vm);
int vm_resume(struct vm *vm);
int vm_request_reset(struct vm *vm, const char *reason);
int vm_request_stop(struct vm *vm, const char *reason);

/* Ends it as one that failed, for the reason given; any state. */
void vm_request_end(struct vm *vm, const char *reason);

/* For save.c and migrate.c, as the requests above. A VM that runs or is paused stands still, in
 * `saving` or `switching`; and goes back to the state that it had; and is saved. */
int vm_freeze(struct vm *vm, enum vm_state in, unsigned *ret_from, struct failure *f);
void vm_thaw(struct vm *vm, unsigned to);
void vm_saved(struct vm *vm);
/* It is another worker's, and this one ends. */
void vm_moved(struct vm *vm);
/* One that was incoming runs, or is paused. 0, or -errno and the sentence. */
int vm_arrived(struct vm *vm, bool paused, struct failure *f);
/* Whether it is none that runs or is paused: only verbs that touch no device are allowed. */
bool vm_stands_still(const struct vm *vm);

/* tell(owner), from the loop's thread with the lock held, soon after each change of the news; NULL:
 * nobody is told. */
void vm_on_news(struct vm *vm, void (*tell)(void *owner), void *owner);

/* lost(owner, sentence) when memory of a VM that was restored cannot be read: it must end the
 * process at once, since processors and devices may wait for that memory, with the lock or without.
 * From a thread of its own, before vm_free() returns. To be set before vm_run(). */
void vm_on_lost(struct vm *vm, void (*lost)(void *owner, const char *sentence), void *owner);

/* A non-maskable interrupt for every processor. */
int vm_nmi(struct vm *vm);

const char *vm_state_label(const struct vm *vm);
struct vcpu_stats vm_vcpu_stats(const struct vm *vm);

#endif
