/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A heap that fails: the nth allocation of the code under test returns NULL, once.
 *
 * The linker sends malloc, calloc, realloc, free and their kin of a unit test's own objects here
 * (--wrap, see tests/meson.build); shared libraries keep the plain heap. A sanitizer's heap lies
 * behind this one and sees everything.
 *
 * Threads: armed for the calling thread only; the others never fail and are not counted.
 * Limits: a block that a shared library gives or takes is not followed here; the leak sanitizer
 * sees to those.
 */
#ifndef OYA_TESTS_LIB_FAILHEAP_H
#define OYA_TESTS_LIB_FAILHEAP_H

#include <stdbool.h>
#include <stddef.h>

#define FAILHEAP_NEVER (~0ul)
#define FAILHEAP_SITES_MAX 100000ul /* of one sweep */
#define FAILHEAP_BLOCKS_MAX 4096u   /* live at once while armed */

/* Counts allocations from here on and fails number `n`, from 0; FAILHEAP_NEVER fails none. */
void failheap_arm(unsigned long n);

/* Allocations since then go through. How many blocks that were allocated while armed still live. */
size_t failheap_disarm(void);

/* Whether the allocation was reached that had to fail; also after failheap_disarm(). */
bool failheap_failed(void);

/*
 * Runs step(ctx) with allocation 0, 1, 2... failing, until a run meets no failure.
 *
 * A step makes and frees everything itself, on its ways of error too. It returns 0 or a negative
 * errno; -ENOMEM when an allocation failed. Where the code under test has to carry on without
 * memory, the step checks that it did and returns -ENOMEM by failheap_failed().
 *
 * Ends the test (a failure of cmocka) on another answer, on a leaked block, on an error without
 * a failed allocation. Returns how many allocations were failed.
 */
unsigned long failheap_sweep(int (*step)(void *ctx), void *ctx);

#endif
