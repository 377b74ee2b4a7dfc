/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Nested page tables: guest-physical to physical addresses. Tables come from the pool. Any
 * processor may map and look; to make a change of what was mapped seen (by a flush of the
 * processors' TLBs) is the caller's business.
 */
#ifndef OYA_HYPERVISOR_NPT_H
#define OYA_HYPERVISOR_NPT_H

#include <stdbool.h>
#include <stdint.h>

#define NPT_WRITE (UINT64_C(1) << 1)
#define NPT_NO_EXECUTE (UINT64_C(1) << 63)

struct npt {
	uint64_t *top; /* 512 entries, four levels */
	bool lock;     /* atomic: one processor at a time changes them */
};

/* 0 or -ENOMEM. */
int npt_init(struct npt *npt);
uint64_t npt_physical(const struct npt *npt);

/* Maps the page of `bytes` (4 KiB, 2 MiB, 1 GiB; both addresses aligned to it) with the rights of
 * `flags`, in place of what was there; larger pages around it are split. 0 or -ENOMEM. */
int npt_map(struct npt *npt, uint64_t guest, uint64_t physical, uint64_t bytes, uint64_t flags);

/* Where a guest-physical address leads; false when it is not mapped. */
bool npt_find(const struct npt *npt, uint64_t guest, uint64_t *ret_physical, bool *ret_write);

#endif
