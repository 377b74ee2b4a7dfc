/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A disk of a VM that is off becomes larger; what is on it stays, and its guest makes use of the
 * rest. Never smaller: that would cut off what is on it.
 *
 * Threads: the loop's; the image is changed in the pool, under the lock that workers take on it.
 */
#ifndef OYA_HOST_RESIZE_H
#define OYA_HOST_RESIZE_H

#include <stdint.h>

#include "host/edit.h"
#include "host/settings.h"

/* To `mib`. 0: done() follows. Else -errno and the sentence. */
int resize_disk(struct vm *vm, struct disk_place place, uint64_t mib, edit_done_fn *done, void *ctx,
		struct failure *f);

#endif
