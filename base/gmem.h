/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guest memory: the only way by which device code reaches the guest's RAM.
 *
 * Owned by the program that makes the partition; devices get a const pointer. The table of
 * regions never changes while devices run, so a span stays valid for the life of the VM.
 *
 * Trust: the guest changes these bytes at any moment. Copy once (gmem_read, gmem_load32), check
 * the copy, then act on the copy. A span is for bulk data whose value decides nothing.
 *
 * While the pages that devices write are tracked (live migration), who writes through a span says
 * so behind the write, by gmem_written(): who takes a page's mark and copies the page before the
 * write is done finds it marked again. gmem_write and gmem_zero say it themselves.
 *
 * Invariants:
 *  1. regions do not overlap and are sorted by gpa; gpa and len are multiples of 4096;
 *  2. gpa + len does not wrap.
 */
#ifndef OYA_BASE_GMEM_H
#define OYA_BASE_GMEM_H

#include <stdbool.h>
#include <stdint.h>

#define GMEM_REGIONS_MAX 8
#define GMEM_PAGE 4096u

struct gmem_region {
	uint64_t gpa;
	uint64_t len;
	uint8_t *hva;
	uint64_t *written; /* a bit for each page, once they are tracked; else NULL */
};

struct gmem {
	unsigned count;
	bool tracked; /* atomic */
	struct gmem_region region[GMEM_REGIONS_MAX];
};

/* Adds a region behind the last one; -EINVAL when an invariant would break, -ENOSPC when full. */
int gmem_add(struct gmem *gm, uint64_t gpa, uint64_t len, void *hva);

/* Host address of [gpa, gpa + len) when it lies wholly within one region, else NULL. */
void *gmem_span(const struct gmem *gm, uint64_t gpa, uint64_t len);

/* The guest's address of a byte within a region, and how many of the region begin there. */
uint64_t gmem_address(const struct gmem *gm, const uint8_t *hva, uint64_t *ret_len);

/* Copies guest memory in or out; 0, or -EFAULT with nothing copied. */
int gmem_read(const struct gmem *gm, uint64_t gpa, void *dst, uint64_t len);
int gmem_write(const struct gmem *gm, uint64_t gpa, const void *src, uint64_t len);

/* Zeroes guest memory; 0, or -EFAULT with nothing changed. */
int gmem_zero(const struct gmem *gm, uint64_t gpa, uint64_t len);

/* Begins to track the pages that are written, none of them marked, or ends it. With the lock of the
 * devices held, so that nobody is amid a write. 0, or -ENOMEM. */
int gmem_track(struct gmem *gm, bool on);
void gmem_track_done(struct gmem *gm);

/* Adds the marks of the pages [first, first + count) of a region to those of `bits`, which begin
 * with the region's first page, and takes them away. Both are multiples of 64, or reach the
 * region's end. Any thread. */
void gmem_take_written(struct gmem_region *region, uint64_t first, uint64_t count, uint64_t *bits);

void gmem_mark(const struct gmem *gm, const void *hva, uint64_t len);

/* [hva, hva + len), which lies within a span, has been written. */
static inline void gmem_written(const struct gmem *gm, const void *hva, uint64_t len)
{
	if (__builtin_expect(__atomic_load_n(&gm->tracked, __ATOMIC_RELAXED), false))
		gmem_mark(gm, hva, len);
}

/* One load or store of a word that the guest shares; p lies within a span and is aligned. */
static inline uint32_t gmem_load32(const uint32_t *p)
{
	return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static inline void gmem_store32(uint32_t *p, uint32_t v)
{
	__atomic_store_n(p, v, __ATOMIC_RELEASE);
}

/* Orders earlier stores before later loads of shared words (ring index, then mask). */
static inline void gmem_full_barrier(void)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

#endif
