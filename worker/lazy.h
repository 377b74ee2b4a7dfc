/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A VM that is made of a saved state goes on before its memory has been read: a thread reads what
 * the guest or a device touches first, and all else meanwhile. One that has come from another host
 * before its memory (post-copy) does the same: the thread asks that host for what is touched, and
 * others put what comes (lazy_pull.c).
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
 * Trust: the file is hostile, and may change or be cut off while it is read; so is the other host.
 * Threads: the loop's; the one of its own has the map, the buffers and both descriptors from
 * lazy_begin() to lazy_end(); of a VM that has come, any may be in lazy_arrived().
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
	bool expects;    /* memory comes from another host; before it may be touched */
	bool pulls;      /* atomic: the same, from then on */
	bool ceased;     /* the thread has ended for that */
	bool finish;     /* atomic: nobody puts pages any more */
	bool is_lost;    /* atomic: somebody is about to end the process */
	int kick;        /* an eventfd: there is something to look at; -1 */
	int link;        /* to whom has the pages; -1 */
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

/* ---- memory that comes from another host: lazy_pull.c ---- */

/* Before memory may be touched: the pages from `hva` on that have a bit come later; what is there
 * of them is dropped. 0 or -errno. */
int lazy_expect(struct lazy *l, const uint8_t *hva, const uint64_t *bits, uint64_t pages);
/* From now on memory may be touched: what is touched is asked for over `link`, a connection of
 * which a copy is kept. 0, or -errno and the sentence. */
int lazy_pull(struct lazy *l, int link, struct loop *loop, struct failure *f);
bool lazy_pulls(const struct lazy *l);
/* Pages have come, or zeros (NULL); those that are there stay. Any thread. */
int lazy_arrived(struct lazy *l, const uint8_t *hva, const uint8_t *data, uint64_t len,
		 struct failure *f);
/* Whether all have come. Any thread. */
bool lazy_whole(const struct lazy *l);
/* They cannot be had: the process ends. Any thread; does not return. */
_Noreturn void lazy_lose(struct lazy *l, const char *sentence);
/* All have come, and nobody is in lazy_arrived() any more. */
void lazy_finish(struct lazy *l);
/* Nobody waits for memory any more: tells the other host. lazy_end() is to follow, once nobody is
 * in lazy_arrived(). */
void lazy_cease(struct lazy *l);

/* Of both ways. What is missing of [at, at + len) of RAM, of `data` or zeros. */
int lazy_place(struct lazy *l, uint64_t at, const uint8_t *data, uint64_t len, struct failure *f);
/* A page that is there, or was never anything but zeros: who waits for it goes on. */
int lazy_place_zeros(struct lazy *l, uint64_t at, struct failure *f);
/* fault(l, at, f) for each page that somebody waits for now. 0, or what it gave, or -errno. */
int lazy_serve_all(struct lazy *l, int (*fault)(struct lazy *l, uint64_t at, struct failure *f),
		   struct failure *f);
/* Begins to be told who waits, and the thread. 0 or -errno. */
int lazy_start(struct lazy *l, void *(*thread)(void *));
/* The thread of lazy_pull() has something to look at. */
void lazy_kick(const struct lazy *l);
/* Closing it lets who waits for a page of zeros go on. */
void lazy_release(struct lazy *l);

/* ---- of either ---- */

/* Whether memory is being read. */
bool lazy_runs(const struct lazy *l);

/* Ends it, whatever is missing, which is zeros from now on: nobody needs it any more, and nothing
 * is at a disk. */
void lazy_end(struct lazy *l);

/* When all is there: nothing of it is kept. Nobody is in lazy_finish(). */
void lazy_settle(struct lazy *l);

/* How far it is; null when it is not being read. */
json_t *lazy_status(const struct lazy *l);

#endif
