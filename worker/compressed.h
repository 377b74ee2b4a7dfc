/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The body of a record of compressed pages (abi/state.h): out of pages, and back.
 *
 * Threads: none of its own.
 * Trust: a body that is decoded is hostile: nothing is read beyond its bytes, nothing written
 * beyond its pages, whose number is limited before. Pages that are encoded may be written by the
 * guest meanwhile: each is copied first, and the copy is compressed.
 * Spec: docs/format/state.md.
 */
#ifndef OYA_WORKER_COMPRESSED_H
#define OYA_WORKER_COMPRESSED_H

#include <stdint.h>

#include "lib/state_stream.h"

#define COMPRESSED_BYTES_MAX \
	(STATE_COMPRESSED_BLOCKS_MAX * STATE_COMPRESSED_BLOCK_BYTES) /* of pages, in one record */
#define COMPRESSED_BODY_MAX                                            \
	(STATE_SPANS_HEAD_BYTES + STATE_SPANS_MAX * STATE_SPAN_BYTES + \
	 STATE_COMPRESSED_BLOCKS_MAX * 4u + COMPRESSED_BYTES_MAX)

struct compressed_body {
	uint8_t copy[STATE_COMPRESSED_BLOCK_BYTES]; /* of a block's pages */
	uint64_t len;
	uint8_t bytes[COMPRESSED_BODY_MAX];
};

struct compressed_pages {
	unsigned count;
	struct state_span span[STATE_SPANS_MAX];
	uint8_t data[COMPRESSED_BYTES_MAX]; /* of those that are not zeros, in turn */
};

/* `data` has a piece for each span that is not zeros, and these have COMPRESSED_BYTES_MAX at most.
 */
void compressed_encode(const struct state_span spans[], unsigned count, const struct iovec data[],
		       struct compressed_body *ret_body);

/* 0; or -EBADMSG, and why in a few words. */
int compressed_decode(const uint8_t *body, uint64_t len, struct compressed_pages *ret_pages,
		      const char **ret_why);

#endif
