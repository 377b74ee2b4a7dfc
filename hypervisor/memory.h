/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The hypervisor's own memory: where things are, and a pool of pages.
 *
 * All physical memory is mapped one to one from PHYSICAL_AT on; the image itself at its link
 * address. The image, its stacks and the pool are one range, HV_BYTES from the load address on,
 * which the parent does not see.
 */
#ifndef OYA_HYPERVISOR_MEMORY_H
#define OYA_HYPERVISOR_MEMORY_H

#define HV_VIRTUAL_AT 0xFFFFFFFF80000000 /* where the image is linked */
#define HV_BYTES 0x400000                /* image and pool: two large pages */
#define PHYSICAL_AT 0xFFFF800000000000   /* the map of physical memory */
#define PHYSICAL_BYTES 0x8000000000      /* 512 GiB of it */
#define STACK_BYTES 0x4000

#ifndef __ASSEMBLER__
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where a physical address below PHYSICAL_BYTES lies in the map. */
#if __STDC_HOSTED__ /* a test, whose memory lies elsewhere */
void *physical_to_pointer(uint64_t physical);
#else
static inline void *physical_to_pointer(uint64_t physical)
{
	return (void *)(uintptr_t)(PHYSICAL_AT + physical);
}
#endif

/* Physical address of a thing in the image or the map. */
uint64_t pointer_to_physical(const void *at);

/* Whether pages can be of 1 GiB. */
bool memory_has_large_pages(void);

/* Without them: the map of physical memory up to `end`; before, it is of 4 GiB. 0 or -ENOMEM. */
int memory_map(uint64_t end);

/* The range that the parent must not see. */
uint64_t hv_physical_start(void);

/* Called once, before any other: where the boot loader has put the image. */
void memory_init(uint64_t load_base);

/* Whole pages of zeros, one behind another, for good; NULL when the pool has no more. Any processor
 * may ask. */
void *pool_take(unsigned pages);

/* The same for a stack, which is aligned to its size. */
void *pool_take_stack(void);
unsigned pool_left(void);

/* The compiler may call these. */
void *memcpy(void *to, const void *from, size_t len);
void *memmove(void *to, const void *from, size_t len);
void *memset(void *to, int byte, size_t len);
int memcmp(const void *a, const void *b, size_t len);
#endif
#endif
