/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/gmem.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "base/util.h"

int gmem_add(struct gmem *gm, uint64_t gpa, uint64_t len, void *hva)
{
	uint64_t end;

	if (!len || !is_aligned(gpa | len, 4096) || __builtin_add_overflow(gpa, len, &end))
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
	return 0;
}

int gmem_zero(const struct gmem *gm, uint64_t gpa, uint64_t len)
{
	void *dst = gmem_span(gm, gpa, len);

	if (!dst)
		return -EFAULT;
	memset(dst, 0, len);
	return 0;
}
