/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/state_memory.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "abi/machine.h"
#include "base/util.h"

#define RUN_BYTES (UINT64_C(4) << 20) /* of one record */
#define PROGRESS_BYTES (UINT64_C(16) << 20)

static_assert(RUN_BYTES + STATE_PAGE + STATE_MEMORY_BYTES <= STATE_BODY_MAX,
	      "a run is no record too long");

struct walk {
	const struct memory *m;
	struct state_writer *w;
	const struct state_progress *progress;
	struct failure *f;
	uint64_t done, told;
};

static int write_run(struct walk *k, uint64_t gpa, uint8_t *hva, uint64_t len)
{
	static uint8_t zeros[STATE_PAGE];
	uint8_t head[STATE_MEMORY_BYTES];
	uint64_t begin = k->w->at + STATE_RECORD_BYTES + STATE_MEMORY_BYTES;
	uint32_t pad = (uint32_t)(align_up(begin, STATE_PAGE) - begin);
	struct iovec pieces[] = {
		{.iov_base = head, .iov_len = sizeof(head)},
		{.iov_base = zeros, .iov_len = pad},
		{.iov_base = hva, .iov_len = len},
	};
	struct state_record record = {.type = STATE_MEMORY,
				      .version = 1,
				      .instance = state_run_instance(gpa),
				      .len = STATE_MEMORY_BYTES + pad + len};

	state_run_encode(&(struct state_run){.gpa = gpa, .len = len, .pad = pad}, head);
	return state_write(k->w, &record, pieces, ARRAY_LEN(pieces), k->f);
}

static int tell(struct walk *k, uint64_t done)
{
	k->done += done;
	if (!k->progress || k->done - k->told < PROGRESS_BYTES)
		return 0;
	k->told = k->done;
	return k->progress->at(k->progress->ctx, k->done)
		       ? 0
		       : fail(k->f, -ECANCELED, "the state of the VM was not written: cancelled");
}

/* [hva, hva + len) may have been touched. */
static int write_span(struct walk *k, uint64_t gpa, uint8_t *hva, uint64_t len)
{
	uint64_t at = 0;
	int r = 0;

	while (r == 0 && at < len) {
		uint64_t run = 0, before = at;

		while (at < len && memory_page_is_zero(hva + at))
			at += STATE_PAGE;
		while (at + run < len && run < RUN_BYTES && !memory_page_is_zero(hva + at + run))
			run += STATE_PAGE;
		if (run)
			r = write_run(k, gpa + at, hva + at, run);
		at += run;
		if (r == 0)
			r = tell(k, at - before);
	}
	return r;
}

/* [from, to) of the file of RAM, from which `gpa` counts: what of it there is. */
static int write_file(struct walk *k, uint64_t gpa, uint64_t from, uint64_t to)
{
	uint64_t at = from;
	int r = 0;

	while (r == 0 && at < to) {
		struct memory_piece p = memory_touched(k->m, at, to);

		r = tell(k, p.begin - at);
		if (r == 0)
			r = write_span(k, gpa + (p.begin - from), k->m->base + p.begin,
				       p.end - p.begin);
		at = p.end;
	}
	return r;
}

int state_memory_write(const struct memory *m, struct state_writer *w,
		       const struct state_progress *progress, struct failure *f)
{
	struct walk k = {.m = m, .w = w, .progress = progress, .f = f};
	int r = 0;

	for (unsigned i = 0; r == 0 && i < m->gmem.count; i++) {
		const struct gmem_region *region = &m->gmem.region[i];

		if (region->hva == m->rom) {
			r = write_span(&k, region->gpa, region->hva, region->len);
		} else {
			uint64_t from = (uint64_t)(region->hva - m->base);

			r = write_file(&k, region->gpa, from, from + region->len);
		}
	}
	return r;
}

static void clear_span(uint8_t *hva, uint64_t len)
{
	for (uint64_t at = 0; at < len; at += STATE_PAGE) {
		if (!memory_page_is_zero(hva + at))
			memset(hva + at, 0, STATE_PAGE);
	}
}

void state_memory_clear(const struct memory *m, bool ram)
{
	if (m->rom)
		clear_span(m->rom, MACHINE_ROM_BYTES);
	for (uint64_t at = 0; ram && at < m->bytes;) {
		struct memory_piece p = memory_touched(m, at, m->bytes);

		clear_span(m->base + p.begin, p.end - p.begin);
		at = p.end;
	}
}

static bool is_ram(const struct memory *m, const uint8_t *at)
{
	return at >= m->base && at < m->base + m->bytes;
}

static int pass(struct lazy *lazy, struct state_reader *r, const uint8_t *hva, struct failure *f)
{
	struct state_rest rest;
	int e = state_read_pass(r, &rest, f);

	if (e == 0 && lazy_add(lazy, hva, &rest) < 0)
		e = fail(f, -ENOMEM, "cannot read the state in %s: no memory for the list of it",
			 r->name);
	return e;
}

int state_memory_read(const struct memory *m, struct lazy *lazy, struct state_reader *r,
		      const struct state_record *record, struct failure *f)
{
	uint8_t head[STATE_MEMORY_BYTES], pad[STATE_PAGE];
	struct state_run run;
	uint8_t *to;
	bool ram;
	int e = state_read_some(r, head, sizeof(head), f);

	if (e == 0)
		e = state_run_decode(r, record, head, &run, f);
	if (e < 0)
		return e;
	to = gmem_span(&m->gmem, run.gpa, run.len);
	if (!to)
		return state_refuse(r, f, "it has memory at %#llx, where the VM has none",
				    (unsigned long long)run.gpa);
	ram = is_ram(m, to);
	e = state_read_some(r, pad, run.pad, f);
	if (e == 0 && lazy_opened(lazy) && ram && run.sure && run.len)
		return pass(lazy, r, to, f);
	if (e == 0)
		e = state_read_some(r, to, run.len, f);
	if (e == 0 && lazy_opened(lazy) && ram)
		lazy_put(lazy, to, run.len);
	return e < 0 ? e : state_read_done(r, f);
}

int state_memory_read_pages(const struct memory *m, struct state_reader *r,
			    const struct state_record *record, struct failure *f)
{
	struct state_span span[STATE_SPANS_MAX];
	struct iovec data[STATE_SPANS_MAX];
	unsigned count = 0, with_data = 0;
	int e = state_read_spans(r, record, span, &count, f);

	for (unsigned i = 0; e == 0 && i < count; i++) {
		uint64_t len = (uint64_t)span[i].pages * STATE_PAGE;
		uint8_t *to = gmem_span(&m->gmem, span[i].gpa, len);

		if (!to)
			e = state_refuse(r, f, "it has memory at %#llx, where the VM has none",
					 (unsigned long long)span[i].gpa);
		else if (span[i].zeros)
			clear_span(to, len);
		else
			data[with_data++] = (struct iovec){.iov_base = to, .iov_len = len};
	}
	if (e == 0)
		e = state_read_page_data(r, data, with_data, f);
	return e < 0 ? e : state_read_done(r, f);
}

int state_memory_read_later(const struct memory *m, struct lazy *lazy, struct state_reader *r,
			    const struct state_record *record, struct failure *f)
{
	struct state_later later;
	uint8_t *at;
	int e = state_read_later(r, record, &later, f);

	if (e < 0)
		return e;
	at = gmem_span(&m->gmem, later.gpa, (uint64_t)later.pages * STATE_PAGE);
	if (!at || !is_ram(m, at) || !later.pages)
		return state_refuse(r, f, "memory at %#llx, which the VM has not, is to come later",
				    (unsigned long long)later.gpa);
	if (!lazy_opened(lazy))
		return state_refuse(r, f, "memory is to come later, which was not agreed on");
	e = lazy_expect(lazy, at, later.bits, later.pages);
	return e < 0 ? fail(f, e, "cannot wait for the memory of the VM: %s", strerror(-e)) : 0;
}

static int fill_buffer(struct state_reader *r, const struct state_record *record,
		       struct state_buffer *b, struct failure *f)
{
	struct compressed_pages *p = &b->pages;
	struct iovec data = {.iov_base = p->data};
	const char *why;
	int e;

	if (record->type == STATE_COMPRESSED) {
		if (record->version != 1 || record->len > sizeof(b->body))
			return state_refuse(r, f,
					    "a record of compressed pages is too long, or has "
					    "another version");
		e = state_read_some(r, b->body, record->len, f);
		if (e == 0)
			e = state_read_done(r, f);
		if (e == 0 && compressed_decode(b->body, record->len, p, &why) < 0)
			e = state_refuse(r, f, "%s", why);
		return e;
	}
	e = state_read_spans(r, record, p->span, &p->count, f);
	if (e == 0 && r->left > sizeof(p->data))
		e = state_refuse(r, f, "a record of pages that come late is too long");
	data.iov_len = r->left;
	if (e == 0)
		e = state_read_page_data(r, &data, data.iov_len ? 1 : 0, f);
	return e < 0 ? e : state_read_done(r, f);
}

int state_memory_read_buffered(const struct memory *m, struct lazy *lazy, struct state_reader *r,
			       const struct state_record *record, struct state_buffer *b,
			       struct failure *f)
{
	const uint8_t *from = b->pages.data;
	int e = fill_buffer(r, record, b, f);

	for (unsigned i = 0; e == 0 && i < b->pages.count; i++) {
		const struct state_span *span = &b->pages.span[i];
		uint64_t len = (uint64_t)span->pages * STATE_PAGE;
		uint8_t *to = gmem_span(&m->gmem, span->gpa, len);

		if (!to || (lazy && !is_ram(m, to)))
			return state_refuse(r, f, "it has memory at %#llx, where the VM has none",
					    (unsigned long long)span->gpa);
		if (lazy)
			e = lazy_arrived(lazy, to, span->zeros ? NULL : from, len, f);
		else if (span->zeros)
			clear_span(to, len);
		else
			memcpy(to, from, len);
		from += span->zeros ? 0 : len;
	}
	return e;
}
