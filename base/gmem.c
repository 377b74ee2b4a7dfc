/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/gmem.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

int gmem_add(struct gmem *gm, uint64_t gpa, uint64_t len, void *hva)
{
	uint64_t end;

	if (!len || !is_aligned(gpa | len, GMEM_PAGE) || __builtin_add_overflow(gpa, len, &end))
		return -EINVAL;
	if (gm->count == GMEM_REGIONS_MAX)
		return -ENOSPC;
	if (gm->count) {
		const struct gmem_region *last = &gm->region[gm->count - 1];

		if (gpa < last->gpa + last->len)
			return -EINVAL;
	}
	gm->region[gm->count++] = (struct gmem_region){.gpa = gpa, .len = len, .hva = hva};
	return 0;
}

void *gmem_span(const struct gmem *gm, uint64_t gpa, uint64_t len)
{
	for (unsigned i = 0; i < gm->count; i++) {
		const struct gmem_region *r = &gm->region[i];

		if (gpa >= r->gpa && range_within(gpa - r->gpa, len, r->len))
			return r->hva + (gpa - r->gpa);
	}
	return NULL;
}

uint64_t gmem_address(const struct gmem *gm, const uint8_t *hva, uint64_t *ret_len)
{
	*ret_len = 0;
	for (unsigned i = 0; i < gm->count; i++) {
		const struct gmem_region *r = &gm->region[i];

		if (hva >= r->hva && (uint64_t)(hva - r->hva) < r->len) {
			*ret_len = r->len - (uint64_t)(hva - r->hva);
			return r->gpa + (uint64_t)(hva - r->hva);
		}
	}
	return 0;
}

int gmem_read(const struct gmem *gm, uint64_t gpa, void *dst, uint64_t len)
{
	const void *src = gmem_span(gm, gpa, len);

	if (!src)
		return -EFAULT;
	memcpy(dst, src, len);
	return 0;
}

int gmem_write(const struct gmem *gm, uint64_t gpa, const void *src, uint64_t len)
{
	void *dst = gmem_span(gm, gpa, len);

	if (!dst)
		return -EFAULT;
	memcpy(dst, src, len);
	gmem_written(gm, dst, len);
	return 0;
}

int gmem_zero(const struct gmem *gm, uint64_t gpa, uint64_t len)
{
	void *dst = gmem_span(gm, gpa, len);

	if (!dst)
		return -EFAULT;
	memset(dst, 0, len);
	gmem_written(gm, dst, len);
	return 0;
}

/* ---- pages that were written ---- */

static uint64_t words_of(const struct gmem_region *r)
{
	return (r->len / GMEM_PAGE + 63) / 64;
}

int gmem_track(struct gmem *gm, bool on)
{
	for (unsigned i = 0; on && i < gm->count; i++) {
		struct gmem_region *r = &gm->region[i];

		if (!r->written)
			r->written = malloc(words_of(r) * sizeof(uint64_t));
		if (!r->written)
			return -ENOMEM;
		memset(r->written, 0, words_of(r) * sizeof(uint64_t));
	}
	__atomic_store_n(&gm->tracked, on, __ATOMIC_SEQ_CST);
	return 0;
}

void gmem_track_done(struct gmem *gm)
{
	gm->tracked = false;
	for (unsigned i = 0; i < gm->count; i++) {
		free(gm->region[i].written);
		gm->region[i].written = NULL;
	}
}

void gmem_mark(const struct gmem *gm, const void *hva, uint64_t len)
{
	const uint8_t *at = hva;

	for (unsigned i = 0; len && i < gm->count; i++) {
		const struct gmem_region *r = &gm->region[i];
		uint64_t first, last;

		if (at < r->hva || (uint64_t)(at - r->hva) >= r->len)
			continue;
		first = (uint64_t)(at - r->hva) / GMEM_PAGE;
		last = ((uint64_t)(at - r->hva) + len - 1) / GMEM_PAGE;
		for (uint64_t page = first; page <= last; page++)
			__atomic_fetch_or(&r->written[page / 64], UINT64_C(1) << page % 64,
					  __ATOMIC_RELEASE);
		return;
	}
}

void gmem_take_written(struct gmem_region *region, uint64_t first, uint64_t count, uint64_t *bits)
{
	uint64_t end = min_u64((first + count + 63) / 64, words_of(region));

	for (uint64_t i = first / 64; i < end; i++) {
		/* Most words have none: they are not written to. */
		if (__atomic_load_n(&region->written[i], __ATOMIC_RELAXED))
			bits[i] |= __atomic_exchange_n(&region->written[i], 0, __ATOMIC_ACQ_REL);
	}
}
