/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's RAM: one memfd, mapped once, seen by the guest below and above the MMIO gap.
 * The memfd can be handed to another process (save, migration, a back end of its own).
 */
#ifndef OYA_WORKER_MEMORY_H
#define OYA_WORKER_MEMORY_H

#include <stdint.h>

#include "base/gmem.h"
#include "lib/fail.h"

struct memory {
	int fd;
	uint8_t *base;
	uint64_t bytes;
	struct gmem gmem;
};

/* bytes is a multiple of 4096. */
int memory_init(struct memory *m, uint64_t bytes, struct failure *f);
void memory_done(struct memory *m);

/* Gives all pages back to the host: the guest reads zeros. 0 or -errno. */
int memory_clear(struct memory *m);

#endif
