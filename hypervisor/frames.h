/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whose a page of memory is: the parent's, ours, or the parent's and lent to one partition, as
 * often as that one has it mapped. Two bytes a page. Any processor may ask and change.
 */
#ifndef OYA_HYPERVISOR_FRAMES_H
#define OYA_HYPERVISOR_FRAMES_H

#include <stdbool.h>
#include <stdint.h>

#define FRAMES_LENT_MAX 63u /* times that a partition may have one page */

/* Bytes of the table for memory below `end`. */
uint64_t frames_bytes(uint64_t end);

/* Called once: all below `end` is no memory until frames_add tells otherwise. */
void frames_init(void *table, uint64_t end);
void frames_add(uint64_t start, uint64_t len);

/* From the parent to us, all or nothing: -EBUSY when a page is not the parent's alone. */
int frames_take(uint64_t start, uint64_t len);
void frames_give_back(uint64_t start, uint64_t len);

/* One page, or all of a large one; partition: 1 to 1022. -EBUSY: it is not the parent's, or lent to
 * another, or too often. */
int frames_lend(uint64_t start, uint64_t len, unsigned partition);
void frames_return(uint64_t start, uint64_t len);

#endif
