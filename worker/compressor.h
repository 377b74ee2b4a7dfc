/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writes pages to a connection of a VM that moves, compressed where that pays.
 *
 * Threads: one at a time.
 */
#ifndef OYA_WORKER_COMPRESSOR_H
#define OYA_WORKER_COMPRESSOR_H

#include "worker/compress_pays.h"
#include "worker/compressed.h"

struct compressor {
	struct compress_pays pays;
	uint64_t began_ns;     /* pages go as they are since then; 0: they do not */
	uint64_t spared_bytes; /* in all */
	struct compressed_body body;
};

/* NULL: out of memory. With the calls below NULL is one that compresses nothing. */
struct compressor *compressor_new(void);
void compressor_free(struct compressor *c);

void compressor_round(struct compressor *c);
/* No trials from now on: the guest stands still. */
void compressor_steady(struct compressor *c);
/* What comes next will be compressed. */
bool compressor_on(const struct compressor *c);
uint64_t compressor_spared(const struct compressor *c);

/* As state_write_pages(); `bytes` is what `data` has, COMPRESSED_BYTES_MAX at most. */
int compressor_write(struct compressor *c, struct state_writer *w, const struct state_span spans[],
		     unsigned count, const struct iovec data[], uint64_t bytes, struct failure *f);
/* The connection has taken these bytes, and whoever limits its rate lets more follow. */
void compressor_took(struct compressor *c, uint64_t bytes);

#endif
