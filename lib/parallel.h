/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pieces of one piece of work, shared by the calling thread and some helpers, which have ended on
 * return.
 */
#ifndef OYA_LIB_PARALLEL_H
#define OYA_LIB_PARALLEL_H

#include <stddef.h>

/* Calls piece(ctx, i) once for each i below count, in any order, by up to four threads at once; the
 * calling one does all when no other can be made. The first result below 0, or 0. */
int parallel_do(size_t count, int (*piece)(void *ctx, size_t i), void *ctx);

#endif
