/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Kicks: an eventfd per open channel, which the kernel signals when the guest writes the
 * channel's connection id to the kick port, without an exit to user space.
 *
 * Threads: with the lock of the devices held.
 */
#ifndef OYA_WORKER_KICKS_H
#define OYA_WORKER_KICKS_H

#include <stdint.h>

#include "base/list.h"
#include "lib/loop.h"
#include "worker/partition.h"

struct kicks {
	struct loop *loop;
	struct list all;
	void (*kicked)(void *ctx, uint32_t connection_id);
	void *ctx;
};

void kicks_init(struct kicks *k, struct loop *loop,
		void (*kicked)(void *ctx, uint32_t connection_id), void *ctx);

/* 0 or -errno. */
int kicks_bind(struct kicks *k, struct partition *p, uint32_t connection_id);
void kicks_unbind(struct kicks *k, struct partition *p, uint32_t connection_id);

#endif
