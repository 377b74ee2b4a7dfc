/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/dirty.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

#define CHUNK_PAGES UINT64_C(16384)          /* whose marks are taken away at once: 64 MiB */
#define SHARED_PAGES UINT64_C(4096)          /* the same, when several connections share them */
#define NEAR_PAGES UINT64_C(16)              /* that come with one that is waited for */
#define BATCH_BYTES (UINT64_C(1) << 20)      /* that are written at once */
#define SPAN_PAGES (BATCH_BYTES / GMEM_PAGE) /* of one span, at most */

static_assert(2 * BATCH_BYTES <= COMPRESSED_BYTES_MAX, "what is written at once is one record");

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

	*d = (struct dirty){
		.memory = memory, .partition = partition, .lock = PTHREAD_MUTEX_INITIALIZER};
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
		free(d->told[i]);
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
	uint64_t before = b->sink->writer->at, bytes = b->bytes;
	int r;

	if (!b->spans)
		return 0;
	r = compressor_write(b->sink->compressor, b->sink->writer, b->span, b->spans, b->piece,
			     bytes, b->f);
	b->spans = b->pieces = 0;
	b->bytes = 0;
	if (r == 0)
		r = b->sink->pace(b->sink->ctx, b->sink->writer->at - before, b->f);
	compressor_took(b->sink->compressor, bytes);
	return r;
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

static int send_chunk(struct dirty *d, struct batch *b, unsigned index, uint64_t first,
		      uint64_t end)
{
	const struct gmem_region *region = &d->memory->gmem.region[index];
	uint64_t *bits = d->bits[index], at;
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

static struct batch *new_batch(const struct dirty_sink *sink, bool fresh, struct failure *f)
{
	struct batch *b = malloc(sizeof(*b));

	if (!b) {
		fail(f, -ENOMEM, "cannot send the VM's memory: out of memory");
		return NULL;
	}
	compressor_round(sink->compressor);
	b->sink = sink;
	b->f = f;
	b->fresh = fresh;
	b->spans = b->pieces = 0;
	b->bytes = 0;
	return b;
}

/* What all connections send together, a chunk at a time. */
struct round {
	struct dirty *d;
	bool fresh;
	uint64_t chunk_pages;
	pthread_mutex_t lock; /* of what follows */
	unsigned region;
	uint64_t first;
	int result; /* of who failed first, and why */
	struct failure *f;
};

struct carrier {
	struct round *round;
	const struct dirty_sink *sink;
	pthread_t thread;
};

static bool is_later(const struct dirty *d, const struct gmem_region *region)
{
	return d->later && region->hva != d->memory->rom;
}

static bool next_chunk(struct round *n, unsigned *ret_region, uint64_t *ret_first,
		       uint64_t *ret_end)
{
	const struct gmem *gmem = &n->d->memory->gmem;
	bool found = false;

	pthread_mutex_lock(&n->lock);
	while (n->result == 0 && n->region < gmem->count && !found) {
		uint64_t pages = pages_of(&gmem->region[n->region]);

		found = n->first < pages && !is_later(n->d, &gmem->region[n->region]);
		if (found) {
			*ret_region = n->region;
			*ret_first = n->first;
			*ret_end = n->first = min_u64(n->first + n->chunk_pages, pages);
		} else {
			n->region++;
			n->first = 0;
		}
	}
	pthread_mutex_unlock(&n->lock);
	return found;
}

static void *carry(void *arg)
{
	struct carrier *c = arg;
	struct round *n = c->round;
	struct failure f = {""};
	struct batch *b = new_batch(c->sink, n->fresh, &f);
	uint64_t first = 0, end = 0;
	unsigned region = 0;
	int r = b ? 0 : -ENOMEM;

	while (r == 0 && next_chunk(n, &region, &first, &end))
		r = send_chunk(n->d, b, region, first, end);
	if (r == 0)
		r = flush(b);
	free(b);
	if (r < 0) {
		pthread_mutex_lock(&n->lock);
		if (n->result == 0) {
			n->result = r;
			*n->f = f;
		}
		pthread_mutex_unlock(&n->lock);
	}
	return NULL;
}

int dirty_send(struct dirty *d, const struct dirty_sink sinks[], unsigned count, bool fresh,
	       struct failure *f)
{
	struct round n = {.d = d,
			  .fresh = fresh,
			  .chunk_pages = count > 1 ? SHARED_PAGES : CHUNK_PAGES,
			  .lock = PTHREAD_MUTEX_INITIALIZER,
			  .f = f};
	struct carrier c[STATE_LANES_MAX] = {{.round = &n, .sink = &sinks[0]}};
	unsigned began = 1;

	for (unsigned i = 1; i < count; i++)
		c[i] = (struct carrier){.round = &n, .sink = &sinks[i]};
	/* With fewer threads it takes longer, and no more. */
	while (began < count && pthread_create(&c[began].thread, NULL, carry, &c[began]) == 0)
		began++;
	carry(&c[0]);
	while (began > 1)
		pthread_join(c[--began].thread, NULL);
	return n.result;
}

/* ---- what comes later ---- */

static int alloc_told(struct dirty *d)
{
	for (unsigned i = 0; i < d->memory->gmem.count; i++) {
		if (!d->told[i])
			d->told[i] = calloc(words_of(&d->memory->gmem.region[i]), sizeof(uint64_t));
		if (!d->told[i])
			return -ENOMEM;
	}
	return 0;
}

/* The marks of a region from a word on that are new, and are told of then. How many there are. */
static uint64_t take_new(struct dirty *d, unsigned index, uint64_t word, struct state_later *later)
{
	uint64_t fresh = 0;

	for (uint64_t i = 0; i < later->pages / 64; i++) {
		uint64_t *told = &d->told[index][word + i];

		later->bits[i] = d->bits[index][word + i] & ~*told;
		*told |= later->bits[i];
		fresh += (uint64_t)__builtin_popcountll(later->bits[i]);
	}
	return fresh;
}

int dirty_tell_later(struct dirty *d, struct state_writer *w, struct failure *f)
{
	struct state_later later;
	int r = d->later ? 0 : alloc_told(d);

	if (r < 0)
		return fail(f, r, "cannot send the VM's memory: out of memory");
	d->later = true;
	for (unsigned i = 0; i < d->memory->gmem.count; i++) {
		const struct gmem_region *region = &d->memory->gmem.region[i];
		uint64_t words = is_later(d, region) ? words_of(region) : 0, at;

		for (at = 0; r == 0 && at < words; at += STATE_LATER_PAGES_MAX / 64) {
			uint64_t fresh, most = STATE_LATER_PAGES_MAX / 64;

			later.gpa = region->gpa + at * 64 * GMEM_PAGE;
			later.pages = (uint32_t)(64 * min_u64(words - at, most));
			fresh = take_new(d, i, at, &later);
			__atomic_fetch_add(&d->left, fresh, __ATOMIC_RELAXED);
			r = fresh ? state_write_later(w, &later, f) : 0;
		}
	}
	return r;
}

/* Takes the marks of adjacent pages of [first, end) of a region. False: there are none. */
static bool take_run(struct dirty *d, unsigned index, uint64_t first, uint64_t end,
		     uint64_t *ret_first, uint64_t *ret_end)
{
	uint64_t *bits = d->bits[index], from = find(bits, first, end, true), to;

	if (from == end)
		return false;
	to = find(bits, from, min_u64(end, from + SPAN_PAGES), false);
	for (uint64_t page = from; page < to; page++)
		bits[page / 64] &= ~(UINT64_C(1) << page % 64);
	__atomic_fetch_sub(&d->left, to - from, __ATOMIC_RELAXED);
	*ret_first = from;
	*ret_end = to;
	return true;
}

/* The next ones that nobody has taken. */
static bool take_next(struct dirty *d, unsigned *ret_region, uint64_t *ret_first, uint64_t *ret_end)
{
	const struct gmem *gmem = &d->memory->gmem;
	bool found = false;

	pthread_mutex_lock(&d->lock);
	while (d->region < gmem->count && !found) {
		const struct gmem_region *region = &gmem->region[d->region];

		found = is_later(d, region) &&
			take_run(d, d->region, d->page, pages_of(region), ret_first, ret_end);
		*ret_region = d->region;
		d->page = found ? *ret_end : 0;
		d->region += !found;
	}
	pthread_mutex_unlock(&d->lock);
	return found;
}

int dirty_push(struct dirty *d, const struct dirty_sink *sink, struct failure *f)
{
	struct batch *b = new_batch(sink, false, f);
	uint64_t first = 0, end = 0;
	unsigned region = 0;
	int r = b ? 0 : -ENOMEM;

	while (r == 0 && take_next(d, &region, &first, &end))
		r = send_run(b, &d->memory->gmem.region[region], first, end);
	if (r == 0)
		r = flush(b);
	free(b);
	return r;
}

static const struct gmem_region *region_at(const struct dirty *d, uint64_t gpa)
{
	for (unsigned i = 0; i < d->memory->gmem.count; i++) {
		const struct gmem_region *region = &d->memory->gmem.region[i];

		if (is_later(d, region) && gpa >= region->gpa && gpa - region->gpa < region->len)
			return region;
	}
	return NULL;
}

int dirty_push_near(struct dirty *d, const struct dirty_sink *sink, uint64_t gpa, struct failure *f)
{
	const struct gmem_region *region = region_at(d, gpa);
	struct batch *b = region ? new_batch(sink, false, f) : NULL;
	uint64_t at, end, first = 0;
	int r = 0;

	if (!region)
		return fail(f, -EINVAL, "the other host wants memory that the VM has not");
	if (!b)
		return -ENOMEM;
	at = (gpa - region->gpa) / GMEM_PAGE & ~(NEAR_PAGES - 1);
	end = min_u64(at + NEAR_PAGES, pages_of(region));
	while (r == 0 && at < end) {
		uint64_t to = end;
		bool found;

		pthread_mutex_lock(&d->lock);
		found = take_run(d, (unsigned)(region - d->memory->gmem.region), at, end, &first,
				 &to);
		pthread_mutex_unlock(&d->lock);
		r = found ? send_run(b, region, first, to) : 0;
		at = found ? to : end;
	}
	if (r == 0)
		r = flush(b);
	free(b);
	return r;
}
