/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Nested page tables: guest-physical to physical addresses. Tables come from where the owner says.
 * Any processor may map and look; to make a change of what was mapped seen (by a flush of the
 * processors' TLBs) is the caller's business.
 */
#ifndef OYA_HYPERVISOR_NPT_H
#define OYA_HYPERVISOR_NPT_H

#include <stdbool.h>
#include <stdint.h>

#define NPT_WRITE (UINT64_C(1) << 1)
#define NPT_NO_EXECUTE (UINT64_C(1) << 63)

struct npt {
	uint64_t *top;            /* 512 entries, four levels */
	bool lock;                /* atomic: one processor at a time changes them */
	void *(*take)(void *ctx); /* a page of zeros, or NULL */
	void *ctx;
};

/* 0 or -ENOMEM. */
int npt_init(struct npt *npt, void *(*take)(void *ctx), void *ctx);
uint64_t npt_physical(const struct npt *npt);

/* Maps the page of `bytes` (4 KiB, 2 MiB, 1 GiB; both addresses aligned to it) with the rights of
 * `flags`, in place of what was there; larger pages around it are split. 0 or -ENOMEM. */
int npt_map(struct npt *npt, uint64_t guest, uint64_t physical, uint64_t bytes, uint64_t flags);

/* In place of what was there; larger pages around it are split: 2 MiB led through a table of 512
 * entries of 4 KiB, which others may share: nothing smaller may be mapped there afterwards. */
int npt_map_table(struct npt *npt, uint64_t guest, const uint64_t *table);

/* One entry of such a table. */
uint64_t npt_entry(uint64_t physical, uint64_t flags);

/* The pages of [start, end) that are mapped, large ones whole, are no longer; each is told to
 * `gone` by npt_forget, which must follow once no processor can use them any more. */
void npt_unmap(struct npt *npt, uint64_t start, uint64_t end);
typedef void npt_gone_fn(void *ctx, uint64_t physical, uint64_t bytes);
void npt_forget(struct npt *npt, uint64_t start, uint64_t end, npt_gone_fn *gone, void *ctx);

/* The first address in [from, end) that is mapped, or was until npt_unmap; UINT64_MAX: none. */
uint64_t npt_next(const struct npt *npt, uint64_t from, uint64_t end);

/* Sets in `bitmap` the pages of 4 KiB from `start` on that were written since they were taken from
 * here last, or mapped. Large pages are split. Translations that processors have kept must then
 * be flushed. 0 or -ENOMEM, with the pages so far. */
int npt_take_written(struct npt *npt, uint64_t start, uint64_t pages, uint8_t *bitmap);

/* What the processor does when it writes there itself; for pages that are mapped. */
void npt_note_written(const struct npt *npt, uint64_t guest);

/* Where a guest-physical address leads; false when it is not mapped. */
bool npt_find(const struct npt *npt, uint64_t guest, uint64_t *ret_physical, bool *ret_write);

#endif
