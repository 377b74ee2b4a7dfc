/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A VM that comes from another worker while it runs there: the side that it comes to
 * (docs/design/live.md). The worker was made with the same configuration, has everything open, and
 * waits for a connection.
 *
 * Threads: the loop's, with the lock of the devices held; a thread of its own reads the stream, and
 * takes the lock while a record is laid over a device.
 * Trust: the stream is hostile: what is wrong with it ends this worker, and nothing else.
 */
#ifndef OYA_WORKER_INCOMING_H
#define OYA_WORKER_INCOMING_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/fail.h"

struct vm;

struct incoming {
	int fd; /* -1: nothing came yet */
	bool started;
	bool done;          /* atomic: the thread touches the VM no more */
	uint64_t stands_ns; /* when the guest was known to stand still */
	pthread_t thread;
	struct failure failure;
};

void incoming_init(struct incoming *in);

/* fd, a connected stream socket, is the VM's whatever comes of it. 0, or -errno and the sentence.
 */
int incoming_begin(struct vm *vm, int fd, struct failure *f);

/* Tells the thread to end; whether it has, or there is none. */
bool incoming_ended(struct vm *vm);

/* Ends it, when there is one. Without the lock. */
void incoming_done(struct vm *vm);

#endif
