/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A block device in memory for tests: requests stay in flight until the test completes them, in
 * any order, with success or failure.
 */
#ifndef OYA_TESTS_LIB_MEMDISK_H
#define OYA_TESTS_LIB_MEMDISK_H

#include "base/blockdev.h"

#define MEMDISK_INFLIGHT_MAX 1024u

struct memdisk {
	struct blockdev dev;
	uint8_t *data;
	unsigned limit; /* of requests in flight: more are refused with -EAGAIN */
	int refuse;     /* -errno of each submission, 0 for none */
	unsigned inflight;
	struct block_request *request[MEMDISK_INFLIGHT_MAX];     /* oldest first */
	unsigned kicks, flushes, fua_writes, discards, zeroings; /* counted as they are submitted */
	unsigned broken;               /* requests that a controller must never make */
	uint64_t dirty_from, dirty_to; /* bytes that were written since the disk was new */
};

/* A zeroed disk; ends the test when there is no memory. */
struct memdisk *memdisk_new(uint64_t size_bytes, uint32_t sector_bytes);
void memdisk_free(struct memdisk *d);

/* As after memdisk_new(); nothing may be in flight. */
void memdisk_reset(struct memdisk *d);

/* Completes the nth request in flight; error is 0 or -errno. */
void memdisk_complete(struct memdisk *d, unsigned n, int error);

/* Completes all, those submitted meanwhile included. */
void memdisk_complete_all(struct memdisk *d);

#endif
