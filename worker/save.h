/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A VM writes its state to a file and stands still from then on, until it is stopped or told to go
 * on as if nothing had been.
 *
 * Steps: the processors pause; the disks end what is under way; all sources of the loop but the
 * control socket's are held; the devices' records are made at once; a thread writes the memory and
 * them, and flushes the file and the images.
 *
 * Threads: the loop's, with the lock of the devices held; the thread of its own touches the
 * memory, the images and this structure's atomic members only.
 */
#ifndef OYA_WORKER_SAVE_H
#define OYA_WORKER_SAVE_H

#include <jansson.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/fail.h"
#include "worker/state.h"

struct vm;

struct saver {
	int fd;              /* -1: nothing is saved */
	unsigned from;       /* enum vm_state before it */
	bool started;        /* the thread */
	bool cancel, done;   /* atomic */
	uint64_t done_bytes; /* atomic */
	int result;
	uint64_t ended; /* how many, for better or worse */
	pthread_t thread;
	struct state_image image;
	struct failure failure; /* of the last one; "" */
};

/* Begins; fd is the saver's whatever comes of it. 0, or -errno and the sentence. */
int save_begin(struct vm *vm, int fd, struct failure *f);

/* Gives it up, or lets a VM that was saved go on. 0, or -EPROTO. */
int save_cancel(struct vm *vm);

/* What can be done now; the loop calls it before it waits. */
void save_step(struct vm *vm);

/* How far it is; null when nothing is saved and nothing has failed. */
json_t *save_status(const struct vm *vm);

#endif
