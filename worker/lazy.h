/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A VM that is made of a saved state goes on before its memory has been read: a thread reads what
 * the guest or a device touches first, and all else meanwhile.
 *
 * By userfaultfd, for missing pages of the RAM's mapping: who touches one waits, whether the
 * guest, a thread of ours or the kernel for either. Only where the hypervisor is Linux's, which
 * takes pages from the mapping as they are needed, and pages are not of the host's pool; elsewhere
 * memory is read at once.
 *
 * Invariants:
 *  1. no page is used before the sum of its whole run was found right;
 *  2. a page that cannot be had is never released with anything else: the VM ends where it is;
 *  3. the thread never touches the VM's memory itself, and takes no lock: whoever holds one may
 *     be waiting for it;
 *  4. nobody but this process has touched that memory: what is there already was put there here.
 *
 * Trust: the file is hostile, and may change or be cut off while it is read.
 * Threads: the loop's; the one of its own has the map, the buffers and both descriptors from
 * lazy_begin() to lazy_end().
 */
#ifndef OYA_WORKER_LAZY_H
#define OYA_WORKER_LAZY_H

#include <jansson.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/fail.h"
#include "lib/loop.h"
#include "worker/lazy_map.h"
#include "worker/memory.h"

/* A run that was read, or is being read. */
struct lazy_buffer {
	uint8_t *data;
	struct lazy_run *run; /* NULL: none */
	uint64_t placed;      /* bytes of it from its beginning that are there */
};

struct lazy {
	int fd;   /* of userfaultfd; -1: memory is read at once, or was */
	int file; /* of the state, from lazy_begin() on; else -1 */
	const char *name;
	const struct memory *memory;
	struct lazy_map map;
	struct lazy_buffer now, ahead; /* for who waits; in turn */
	size_t next;                   /* run that may be read ahead */
	bool began;
	bool stop, done; /* atomic */
	pthread_t thread;
	struct loop *loop; /* woken when all is there */
	/* A page cannot be had, and somebody may wait for it: ends the process. On the thread. */
	void (*lost)(void *owner, const char *sentence);
	void *owner;
};

void lazy_init(struct lazy *l);

/* Before the sandbox: memory will be read lazily, if it can be. All of it is given back then, and
 * nobody may touch it before lazy_begin(). */
void lazy_open(struct lazy *l, struct memory *memory);
bool lazy_opened(const struct lazy *l);

/* Before lazy_begin(): a run at `hva`, of what a state's record has left. 0, or -errno. */
int lazy_add(struct lazy *l, const uint8_t *hva, const struct state_rest *rest);
/* Pages that were read at once. */
void lazy_put(struct lazy *l, const uint8_t *hva, uint64_t len);

/* From now on memory may be touched. The file stays the caller's. 0, or -errno and the sentence. */
int lazy_begin(struct lazy *l, int file, const char *name, struct loop *loop, struct failure *f);

/* Whether memory is being read. */
bool lazy_runs(const struct lazy *l);

/* Ends it, whatever is missing, which is zeros from now on: nobody needs it any more, and nothing
 * is at a disk. */
void lazy_end(struct lazy *l);

/* How far it is; null when it is not being read. */
json_t *lazy_status(const struct lazy *l);

#endif
