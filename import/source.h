/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bytes at places: of a file or of a piece of it, or of memory for tests and fuzzers.
 *
 * Trust: what is read is hostile; a read that does not lie within the source as a whole fails.
 */
#ifndef OYA_IMPORT_SOURCE_H
#define OYA_IMPORT_SOURCE_H

#include <stddef.h>
#include <stdint.h>

struct source {
	int fd;               /* -1: of memory */
	const uint8_t *bytes; /* of memory */
	uint64_t base;        /* where it begins in the file */
	uint64_t size;
};

/* Of `length` bytes of the file from `offset` on; 0: all that follow. 0, -ERANGE when they are not
 * in it, or -errno. The descriptor stays the caller's. */
int source_of_file(int fd, uint64_t offset, uint64_t length, struct source *ret_source);

struct source source_of_memory(const void *bytes, size_t len);

/* All of it, or nothing: 0, -ERANGE when it is not all within the source, or -errno. */
int source_read(const struct source *s, uint64_t at, void *buf, size_t len);

#endif
