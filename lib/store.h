/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Small files read and written as a whole, so that what was said to be done is on the disk.
 *
 * Threads: any; all may wait for the disk.
 *
 * Invariants:
 *  1. a file is replaced as a whole: readers find the old text or the new one, also after a power
 *     cut; the new one is on the disk on return;
 *  2. what begins with ".new-" is of something that did not come to its end.
 */
#ifndef OYA_LIB_STORE_H
#define OYA_LIB_STORE_H

#include <stddef.h>

#include "lib/fail.h"

#define STORE_NEW ".new-"

/* The whole of a regular file of at most `max` bytes, with a NUL behind it; freed by the caller.
 * 0, or -errno and the sentence; -ENOENT when it is not there. */
int store_read(const char *path, size_t max, char **ret_text, size_t *ret_len, struct failure *f);

/* Writes the file `name` of a folder. 0, or -errno and the sentence, with the old one as it was. */
int store_write(const char *folder, const char *name, const char *text, size_t len,
		struct failure *f);

/* Flushes the folder of a path, so that what was made or removed in it stays so. 0 or -errno. */
int store_flush_parent(const char *path);

#endif
