/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The registers of floating point and vectors, which are always a guest's: we use none. They are
 * exchanged when a processor goes from the parent to a child and back.
 */
#ifndef OYA_HYPERVISOR_FPU_H
#define OYA_HYPERVISOR_FPU_H

#include <stdbool.h>
#include <stdint.h>

#define FPU_X87 1u /* of XCR0: what it is after a reset */

/* On each processor, before any other. */
void fpu_init(void);

bool fpu_has_xsave(void);

/* Pages of an area. */
unsigned fpu_pages(void);

/* Whether a guest may have this XCR0. */
bool fpu_xcr0_allowed(uint64_t xcr0);

/* Bytes of the area of XSAVE or, compact, of XSAVEC with these states. */
uint32_t fpu_area_bytes(uint64_t xcr0, bool compact);

/* An area as after a reset. */
void fpu_reset(void *area);

/* A page of the standard form, as far as it has room, from an area and to it. False: it is not one
 * that can be loaded, and the area is as it was. */
void fpu_get_page(const void *area, void *ret_page);
bool fpu_set_page(void *area, const void *page);

/* From the registers to `from`, and from `to` to them. *from_xcr0 is what was, to_xcr0 what is to
 * be. */
void fpu_exchange(void *from, uint64_t *from_xcr0, const void *to, uint64_t to_xcr0);

/* States of the parent's that XSAVES would show: out of a child's reach from one call to the
 * other. */
uint64_t fpu_hide_supervisor_states(void);
void fpu_show_supervisor_states(uint64_t xss);

#endif
