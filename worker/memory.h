/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's RAM: one memfd, mapped once, seen by the guest below and above the MMIO gap.
 * The memfd can be handed to another process (save, migration, a back end of its own).
 * The parts of the guest's nodes follow each other in it.
 */
#ifndef OYA_WORKER_MEMORY_H
#define OYA_WORKER_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/gmem.h"
#include "lib/fail.h"
#include "worker/config.h"

struct memory {
	int fd;
	uint8_t *base;
	uint8_t *rom; /* below 4 GiB, with firmware; else NULL */
	uint64_t bytes;
	enum config_pages pages;
	struct gmem gmem;
};

/* Memory of the size, pages and places that config names; 0, or -errno and the sentence. */
int memory_init(struct memory *m, const struct config *config, struct failure *f);
void memory_done(struct memory *m);

/* A page of guest memory, which may change while it is looked at. */
bool memory_page_is_zero(const uint8_t *page);

/* The first piece of [from, to) of the file of RAM that may have been touched; empty: nothing has.
 */
struct memory_piece {
	uint64_t begin, end;
};
struct memory_piece memory_touched(const struct memory *m, uint64_t from, uint64_t to);

/* Gives pages of the file of RAM back to the host: they read as zeros. Not those of a pool. 0 or
 * -errno. */
int memory_drop(const struct memory *m, uint64_t from, uint64_t to);

/* Gives all pages back to the host (those of a pool are taken anew): the guest reads zeros. 0 or
 * -errno. */
int memory_clear(struct memory *m);

#endif
