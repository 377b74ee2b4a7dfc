/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/compressor.h"

#include <stdlib.h>

#include "lib/loop.h"

struct compressor *compressor_new(void)
{
	return calloc(1, sizeof(struct compressor));
}

void compressor_free(struct compressor *c)
{
	free(c);
}

void compressor_round(struct compressor *c)
{
	if (c)
		compress_round(&c->pays);
}

void compressor_steady(struct compressor *c)
{
	if (c)
		c->pays.steady = true;
}

bool compressor_on(const struct compressor *c)
{
	return c && c->pays.on;
}

uint64_t compressor_spared(const struct compressor *c)
{
	return c ? c->spared_bytes : 0;
}

/* The first block of the pages: what compressing it gives is not used. */
static void take_sample(struct compressor *c, const struct iovec data[], uint64_t now_ns)
{
	static const struct state_span block = {.pages = PAYS_LEAST / STATE_PAGE};
	uint64_t then_ns;

	compressed_encode(&block, 1, data, &c->body);
	then_ns = loop_now_ns();
	compress_packed(&c->pays, PAYS_LEAST, c->body.len, then_ns - now_ns, then_ns);
}

static int write_compressed(struct compressor *c, struct state_writer *w,
			    const struct state_span spans[], unsigned count,
			    const struct iovec data[], uint64_t bytes, uint64_t now_ns,
			    struct failure *f)
{
	struct state_record record = {.type = STATE_COMPRESSED, .version = 1};
	struct iovec piece = {.iov_base = c->body.bytes};
	uint64_t then_ns;

	compressed_encode(spans, count, data, &c->body);
	piece.iov_len = record.len = c->body.len;
	then_ns = loop_now_ns();
	compress_packed(&c->pays, bytes, c->body.len, then_ns - now_ns, then_ns);
	c->spared_bytes += bytes > c->body.len ? bytes - c->body.len : 0;
	return state_write(w, &record, &piece, 1, f);
}

int compressor_write(struct compressor *c, struct state_writer *w, const struct state_span spans[],
		     unsigned count, const struct iovec data[], uint64_t bytes, struct failure *f)
{
	uint64_t now_ns = c && bytes ? loop_now_ns() : 0;
	enum compress_way way = now_ns ? compress_way(&c->pays, bytes, now_ns) : COMPRESS_NOT;

	if (way == COMPRESS_ALL)
		return write_compressed(c, w, spans, count, data, bytes, now_ns, f);
	if (way == COMPRESS_SAMPLE)
		take_sample(c, data, now_ns);
	if (now_ns)
		c->began_ns = loop_now_ns();
	return state_write_pages(w, spans, count, data, f);
}

void compressor_took(struct compressor *c, uint64_t bytes)
{
	uint64_t now_ns;

	if (!c || !c->began_ns)
		return;
	now_ns = loop_now_ns();
	compress_went(&c->pays, bytes, now_ns - c->began_ns, now_ns);
	c->began_ns = 0;
}
