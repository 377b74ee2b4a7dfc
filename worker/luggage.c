/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/luggage.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "lib/sparse.h"

#define RUN_CHUNKS (STATE_BLOCKS_MAX / CHUNK_BYTES)

static_assert(STATE_BLOCKS_MAX <= SPARSE_STEP_BYTES, "a piece fits into a buffer");

static uint64_t size_of(const struct storage_place *p)
{
	return raw_blockdev(p->image)->size_bytes;
}

/* ---- the side that it leaves ---- */

static bool on_ended(void *ctx, struct block_request *req, int result)
{
	struct luggage_disk *d = ctx;

	(void)result; /* a part of what has failed may have been written */
	if (req->op != BLOCK_FLUSH)
		chunks_mark(&d->chunks, req->offset, req->len);
	return false;
}

static int add(struct luggage *l, struct storage_place *p, uint32_t controller, uint32_t lun,
	       struct failure *f)
{
	struct luggage_disk *d = &l->disk[l->count];

	if (p->config.read_only || p->config.dvd)
		return fail(f, -EROFS,
			    "the disk %.160s is only read, and does not come along; eject it, or "
			    "take it out of the VM",
			    storage_name(&p->config));
	*d = (struct luggage_disk){.place = p, .controller = controller, .lun = lun};
	if (chunks_init(&d->chunks, size_of(p)) < 0)
		return fail(f, -ENOMEM, "cannot send the disks: out of memory");
	l->count++;
	raw_watch(p->image, &(struct raw_watcher){.ended = on_ended, .ctx = d});
	return 0;
}

int luggage_begin(struct luggage *l, const struct storage *s, struct failure *f)
{
	const unsigned most = STORAGE_CONTROLLERS_MAX * CONFIG_LUNS_MAX;
	int r = 0;

	*l = (struct luggage){.disk = calloc(most, sizeof(*l->disk)),
			      .buffer = aligned_alloc(SPARSE_ALIGN, STATE_BLOCKS_MAX)};
	if (!l->disk || !l->buffer)
		r = fail(f, -ENOMEM, "cannot send the disks: out of memory");
	for (unsigned i = 0; r == 0 && i < most; i++) {
		struct storage_controller *c = s->controller[i / CONFIG_LUNS_MAX];
		struct storage_place *p = c ? &c->place[i % CONFIG_LUNS_MAX] : NULL;

		if (p && p->used && p->image)
			r = add(l, p, i / CONFIG_LUNS_MAX, i % CONFIG_LUNS_MAX, f);
	}
	if (r < 0)
		luggage_end(l);
	return r;
}

void luggage_end(struct luggage *l)
{
	for (unsigned i = 0; i < l->count; i++) {
		raw_watch(l->disk[i].place->image, NULL);
		chunks_done(&l->disk[i].chunks);
	}
	free(l->disk);
	free(l->buffer);
	l->disk = NULL;
	l->buffer = NULL;
	l->count = 0;
}

void luggage_look(struct luggage *l)
{
	for (unsigned i = 0; i < l->count; i++) {
		struct luggage_disk *d = &l->disk[i];
		uint64_t at = 0, from, to;

		while (sparse_next(raw_fd(d->place->image), at, size_of(d->place), &from, &to)) {
			chunks_mark(&d->chunks, from, to - from);
			at = to;
		}
	}
	__atomic_store_n(&l->total_bytes, luggage_left(l), __ATOMIC_RELAXED);
}

uint64_t luggage_left(const struct luggage *l)
{
	uint64_t chunks = 0;

	for (unsigned i = 0; i < l->count; i++)
		chunks += chunks_marked(&l->disk[i].chunks);
	return chunks * CHUNK_BYTES;
}

static int send_run(struct luggage *l, const struct luggage_disk *d, uint64_t at, uint64_t len,
		    const struct dirty_sink *sink, bool fresh, struct failure *f)
{
	struct state_blocks b = {.controller = d->controller,
				 .lun = d->lun,
				 .offset = at,
				 .len = (uint32_t)min_u64(len, size_of(d->place) - at)};
	int r = sparse_read(raw_fd(d->place->image), l->buffer, b.len, at);

	if (r < 0)
		return fail(f, r, "the disk %.160s cannot be read: %s",
			    storage_name(&d->place->config), strerror(-r));
	__atomic_fetch_add(&l->sent_bytes, len, __ATOMIC_RELAXED);
	b.zeros = sparse_is_zero(l->buffer, b.len);
	if (b.zeros && fresh)
		return 0;
	r = state_write_blocks(sink->writer, &b, l->buffer, f);
	return r < 0 ? r : sink->pace(sink->ctx, b.zeros ? 0 : b.len, f);
}

int luggage_send(struct luggage *l, const struct dirty_sink *sink, bool fresh, struct failure *f)
{
	int r = 0;

	for (unsigned i = 0; r == 0 && i < l->count; i++) {
		struct luggage_disk *d = &l->disk[i];
		uint64_t at = 0, from, count;

		while (r == 0 && chunks_take(&d->chunks, at, RUN_CHUNKS, &from, &count)) {
			at = from + count;
			r = send_run(l, d, from * CHUNK_BYTES, count * CHUNK_BYTES, sink, fresh, f);
		}
	}
	return r;
}

/* ---- the side that it comes to ---- */

/* NULL and the sentence: there is no such disk, or not so much of it. */
static const struct storage_place *find_place(const struct storage *s, const struct state_blocks *b,
					      const struct state_reader *r, struct failure *f)
{
	const struct storage_controller *c =
		b->controller < STORAGE_CONTROLLERS_MAX ? s->controller[b->controller] : NULL;
	const struct storage_place *p = c && b->lun < CONFIG_LUNS_MAX ? &c->place[b->lun] : NULL;

	if (p && p->used && p->image && range_within(b->offset, b->len, size_of(p)))
		return p;
	(void)state_refuse(r, f, "it has bytes of a disk that the VM does not have");
	return NULL;
}

int luggage_take(const struct storage *s, struct state_reader *r, const struct state_record *record,
		 struct failure *f)
{
	uint8_t *buffer = aligned_alloc(SPARSE_ALIGN, STATE_BLOCKS_MAX);
	const struct storage_place *p;
	struct state_blocks b;
	int e = buffer ? state_read_blocks(r, record, &b, buffer, f)
		       : fail(f, -ENOMEM, "cannot take the disks: out of memory");

	if (e == 0) {
		p = find_place(s, &b, r, f);
		e = p ? sparse_write(raw_fd(p->image), buffer, b.len, b.offset) : -EBADMSG;
		if (p && e < 0)
			fail(f, e, "the disk %.160s cannot be written: %s",
			     storage_name(&p->config), strerror(-e));
	}
	free(buffer);
	return e;
}
