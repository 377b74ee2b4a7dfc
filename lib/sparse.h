/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Parts of images copied from file to file, so that holes and zeros become holes.
 *
 * Threads: any; calls wait for the disks. They make no system call but pread, pwrite, lseek and
 * fallocate, and allocate nothing: a sandboxed worker makes them too.
 */
#ifndef OYA_LIB_SPARSE_H
#define OYA_LIB_SPARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SPARSE_STEP_BYTES (UINT64_C(1) << 20) /* of a buffer */
#define SPARSE_ALIGN 4096u                    /* of a buffer, and of steps; for O_DIRECT */

/* The next data of a file at or behind `from` and below `end`: true and *ret_from, *ret_to; false:
 * there is none. What cannot tell holes is data. */
bool sparse_next(int fd, uint64_t from, uint64_t end, uint64_t *ret_from, uint64_t *ret_to);

struct sparse_copy {
	int from, to;
	uint8_t *buffer; /* SPARSE_STEP_BYTES, aligned to SPARSE_ALIGN */
	bool fresh;      /* what is copied to is zeros still */
	bool reading;    /* which of the two has failed */
};

/* Copies bytes [at, at + len), which the first has. 0, or -errno: -EIO when the first has become
 * shorter. */
int sparse_copy(struct sparse_copy *c, uint64_t at, uint64_t len);

/* The two halves of it, of at most SPARSE_STEP_BYTES in such a buffer: 0, or -errno. */
int sparse_read(int fd, uint8_t *buffer, uint64_t len, uint64_t at);
int sparse_write(int fd, uint8_t *buffer, uint64_t len, uint64_t at);

bool sparse_is_zero(const uint8_t *bytes, size_t len);

#endif
