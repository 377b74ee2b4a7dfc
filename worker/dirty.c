/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/dirty.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

#define CHUNK_PAGES UINT64_C(16384)          /* whose marks are taken away at once: 64 MiB */
#define BATCH_BYTES (UINT64_C(1) << 20)      /* that are written at once */
#define SPAN_PAGES (BATCH_BYTES / GMEM_PAGE) /* of one span, at most */

static uint64_t pages_of(const struct gmem_region *r)
{
	return r->len / GMEM_PAGE;
}

static uint64_t words_of(const struct gmem_region *r)
{
	return (pages_of(r) + 63) / 64;
}

static int alloc_bits(struct dirty *d)
{
	for (unsigned i = 0; i < d->memory->gmem.count; i++) {
		uint64_t words = words_of(&d->memory->gmem.region[i]);

		d->bits[i] = calloc(words, sizeof(uint64_t));
		d->devices[i] = calloc(words, sizeof(uint64_t));
		if (!d->bits[i] || !d->devices[i])
			return -ENOMEM;
	}
	return 0;
}

int dirty_begin(struct dirty *d, struct memory *memory, struct partition *partition, bool runs,
		struct failure *f)
{
	int r;

	*d = (struct dirty){.memory = memory, .partition = partition};
	r = alloc_bits(d);
	d->logged = r == 0 && runs;
	if (d->logged)
		r = gmem_track(&memory->gmem, true);
	if (d->logged && r == 0)
		r = partition_log(partition, &memory->gmem, true);
	if (r < 0) {
		dirty_end(d);
		if (r == -EOPNOTSUPP)
			return fail(f, r,
				    "cannot log which pages the guest writes: the kernel of this "
				    "host, or its driver of the hypervisor, has no log that begins "
				    "full; move the VM quickly, or save it");
		return fail(f, r, "cannot log which pages the guest writes: %s", strerror(-r));
	}
	return 0;
}

void dirty_end(struct dirty *d)
{
	if (!d->memory)
		return;
	if (d->logged) {
		(void)partition_log(d->partition, &d->memory->gmem, false);
		(void)gmem_track(&d->memory->gmem, false);
	}
	for (unsigned i = 0; i < GMEM_REGIONS_MAX; i++) {
		free(d->bits[i]);
		free(d->devices[i]);
	}
	*d = (struct dirty){0};
}

static uint64_t mark_all(struct dirty *d)
{
	uint64_t pages = 0;

	for (unsigned i = 0; i < d->memory->gmem.count; i++) {
		memset(d->bits[i], 0xff, words_of(&d->memory->gmem.region[i]) * sizeof(uint64_t));
		pages += pages_of(&d->memory->gmem.region[i]);
	}
	return pages;
}

int dirty_look(struct dirty *d, uint64_t *ret_pages)
{
	uint64_t pages = 0;

	if (!d->logged) {
		*ret_pages = mark_all(d);
		return 0;
	}

	for (unsigned i = 0; i < d->memory->gmem.count; i++) {
		struct gmem_region *region = &d->memory->gmem.region[i];
		int r = partition_log_get(d->partition, i, d->bits[i]);

		if (r < 0)
			return r;
		gmem_take_written(region, 0, pages_of(region), d->devices[i]);
		for (uint64_t n = 0; n < words_of(region); n++) {
			d->bits[i][n] |= d->devices[i][n];
			pages += (uint64_t)__builtin_popcountll(d->bits[i][n]);
		}
	}
	*ret_pages = pages;
	return 0;
}

/* ---- sending ---- */

struct batch {
	const struct dirty_sink *sink;
	struct failure *f;
	bool fresh;
	unsigned spans, pieces;
	uint64_t bytes;
	struct state_span span[STATE_SPANS_MAX];
	struct iovec piece[STATE_SPANS_MAX];
};

static int flush(struct batch *b)
{
	uint64_t before = b->sink->writer->at;
	int r;

	if (!b->spans)
		return 0;
	r = state_write_pages(b->sink->writer, b->span, b->spans, b->piece, b->f);
	b->spans = b->pieces = 0;
	b->bytes = 0;
	if (r < 0)
		return r;
	return b->sink->pace(b->sink->ctx, b->sink->writer->at - before, b->f);
}

/* Pages that lie together and are all zeros, or all something else. */
static int add(struct batch *b, uint64_t gpa, uint8_t *hva, uint64_t pages, bool zeros)
{
	struct state_span *last = b->spans ? &b->span[b->spans - 1] : NULL;

	/* Fresh memory is not to be touched for zeros. */
	if (zeros && b->fresh)
		return 0;
	if (last && last->zeros == zeros && last->gpa + (uint64_t)last->pages * GMEM_PAGE == gpa) {
		last->pages += (uint32_t)pages;
		if (!zeros)
			b->piece[b->pieces - 1].iov_len += pages * GMEM_PAGE;
	} else {
		b->span[b->spans++] = (struct state_span){gpa, (uint32_t)pages, zeros};
		if (!zeros)
			b->piece[b->pieces++] =
				(struct iovec){.iov_base = hva, .iov_len = pages * GMEM_PAGE};
	}
	b->bytes += zeros ? 0 : pages * GMEM_PAGE;
	return b->spans == STATE_SPANS_MAX || b->bytes >= BATCH_BYTES ? flush(b) : 0;
}

/* [first, end) of a region, which are to be sent. */
static int send_run(struct batch *b, const struct gmem_region *region, uint64_t first, uint64_t end)
{
	uint64_t at = first;
	int r = 0;

	while (r == 0 && at < end) {
		bool zeros = memory_page_is_zero(region->hva + at * GMEM_PAGE);
		uint64_t next = at + 1;

		while (next < end && next - at < SPAN_PAGES &&
		       memory_page_is_zero(region->hva + next * GMEM_PAGE) == zeros)
			next++;
		r = add(b, region->gpa + at * GMEM_PAGE, region->hva + at * GMEM_PAGE, next - at,
			zeros);
		at = next;
	}
	return r;
}

/* The first page from `at` on whose mark is `set`; or `end`. */
static uint64_t find(const uint64_t *bits, uint64_t at, uint64_t end, bool set)
{
	while (at < end) {
		uint64_t word = (set ? bits[at / 64] : ~bits[at / 64]) >> at % 64;

		if (word)
			return min_u64(at + (uint64_t)__builtin_ctzll(word), end);
		at = (at / 64 + 1) * 64;
	}
	return end;
}

/* The part of [first, end), whose pages have marks, that may have been touched; of what is not RAM,
 * all. */
static int send_touched(struct batch *b, const struct memory *m, const struct gmem_region *region,
			uint64_t first, uint64_t end)
{
	uint64_t base = (uint64_t)(region->hva - m->base), at = base + first * GMEM_PAGE;
	uint64_t to = base + end * GMEM_PAGE;
	int r = 0;

	if (!b->fresh || region->hva == m->rom)
		return send_run(b, region, first, end);
	while (r == 0 && at < to) {
		struct memory_piece p = memory_touched(m, at, to);

		r = send_run(b, region, (p.begin - base) / GMEM_PAGE, (p.end - base) / GMEM_PAGE);
		at = p.end;
	}
	return r;
}

static int send_chunk(struct dirty *d, struct batch *b, unsigned index, uint64_t first)
{
	const struct gmem_region *region = &d->memory->gmem.region[index];
	uint64_t end = min_u64(first + CHUNK_PAGES, pages_of(region)), at;
	uint64_t *bits = d->bits[index];
	int r;

	at = find(bits, first, end, true);
	if (at == end)
		return 0;
	r = !d->logged ? 0
		       : partition_log_clear(d->partition, index, first, (uint32_t)(end - first),
					     bits + first / 64);
	if (r < 0)
		return fail(b->f, r, "cannot go on to log which pages the guest writes: %s",
			    strerror(-r));
	memset(d->devices[index] + first / 64, 0, (end - first + 63) / 64 * sizeof(uint64_t));
	while (r == 0 && at < end) {
		uint64_t behind = find(bits, at, end, false);

		r = send_touched(b, d->memory, region, at, behind);
		at = find(bits, behind, end, true);
	}
	return r;
}

int dirty_send(struct dirty *d, const struct dirty_sink *sink, bool fresh, struct failure *f)
{
	struct batch *b = malloc(sizeof(*b));
	int r = 0;

	if (!b)
		return fail(f, -ENOMEM, "cannot send the VM's memory: out of memory");
	b->sink = sink;
	b->f = f;
	b->fresh = fresh;
	b->spans = b->pieces = 0;
	b->bytes = 0;
	for (unsigned i = 0; r == 0 && i < d->memory->gmem.count; i++) {
		uint64_t pages = pages_of(&d->memory->gmem.region[i]);

		for (uint64_t first = 0; r == 0 && first < pages; first += CHUNK_PAGES)
			r = send_chunk(d, b, i, first);
	}
	if (r == 0)
		r = flush(b);
	free(b);
	return r;
}
