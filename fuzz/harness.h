/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the harnesses share. A harness that needs a guest makes it once and puts it back after each
 * input (vmguest_reset(), memdisk_reset()), since making one costs more than most inputs do; so
 * that nothing of an input is left for the next one, it tells what its guest saw, and the replay
 * program compares that between two orders of the inputs.
 */
#ifndef OYA_FUZZ_HARNESS_H
#define OYA_FUZZ_HARNESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Of the replay program; libFuzzer's has none. */
__attribute__((weak)) void fuzz_seen(const void *bytes, size_t len);

/* What the guest or the world saw of the input's run, at its end. */
static inline void fuzz_tell(const void *bytes, size_t len)
{
	if (fuzz_seen)
		fuzz_seen(bytes, len);
}

static inline void must(bool condition)
{
	if (!condition)
		abort();
}

#endif
