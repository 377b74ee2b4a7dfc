/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The stream of a VM's state on a descriptor: a head, records with their sums, an end that tells
 * how many there were and the digest of their heads. What is in a record is the caller's.
 *
 * Threads: none of its own; calls wait for the descriptor.
 * Trust: a stream that is read is hostile. Lengths are limited before anything is allocated or
 * read, and nothing counts before its sum was right.
 * Spec: docs/format/state.md.
 */
#ifndef OYA_LIB_STATE_STREAM_H
#define OYA_LIB_STATE_STREAM_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "abi/guid.h"
#include "abi/state.h"
#include "lib/fail.h"

#define STATE_PAGE 4096u
#define STATE_PIECES_MAX 64u /* of one record that is written */

struct state_writer {
	int fd;
	const char *name; /* of what is written, for sentences */
	uint64_t at, records;
	uint64_t features;
	uint32_t digest;
};

struct state_record {
	uint32_t type; /* enum state_type */
	uint16_t version, flags;
	uint32_t instance;
	uint64_t len; /* of its body */
};

struct state_reader {
	int fd;
	const char *name;
	uint64_t at, records;
	uint64_t features;
	uint32_t digest;
	uint32_t sum, expected; /* of the body that is being read */
	uint64_t left;          /* of it */
	uint64_t run_end;       /* of memory that it has: more of it comes behind */
};

/* What was passed over of a record of a file, to be read later. */
struct state_rest {
	uint64_t at, left;      /* where it is in the file; bytes */
	uint32_t sum, expected; /* of the body before it; of all of it */
};

/* 0, or -errno and the sentence; so do all below. Features: 0, or STATE_LIVE and more. */
int state_write_begin(struct state_writer *w, int fd, const char *name, uint64_t features,
		      struct failure *f);
/* A record with a body of up to STATE_PIECES_MAX - 2 pieces; `record->len` is their sum. */
int state_write(struct state_writer *w, const struct state_record *record,
		const struct iovec *pieces, unsigned count, struct failure *f);
int state_write_end(struct state_writer *w, struct failure *f);

/* A stream that is no file (0) or none of a VM that runs (STATE_LIVE) is refused; which features it
 * has besides is in the reader then. */
int state_read_begin(struct state_reader *r, int fd, const char *name, uint64_t features,
		     struct failure *f);
/* The head of the next record; of the last one (STATE_END) all was checked. */
int state_read_next(struct state_reader *r, struct state_record *ret_record, struct failure *f);
/* The next len bytes of its body: as many as it has left, at most. */
int state_read_some(struct state_reader *r, void *to, uint64_t len, struct failure *f);
/* The body has been read to its end: whether its sum was right. */
int state_read_done(struct state_reader *r, struct failure *f);
/* Instead of these two: the rest of its body is passed over, which the file must have. */
int state_read_pass(struct state_reader *r, struct state_rest *ret_rest, struct failure *f);
/* The next len bytes of what was passed over, as many as it has left at most, of a descriptor whose
 * place stays as it is; with the last of them the sum must be right. Any thread. */
int state_rest_read(struct state_rest *rest, int fd, const char *name, void *to, uint64_t len,
		    struct failure *f);

/* A record of memory: which pages, and how many zeros come before them. */
struct state_run {
	uint64_t gpa, len; /* multiples of STATE_PAGE */
	uint32_t pad;      /* less than STATE_PAGE */
	bool sure;         /* also before the body's sum was looked at: the record's head says it */
};
/* The instance of its record. */
static inline uint32_t state_run_instance(uint64_t gpa)
{
	return (uint32_t)(gpa / STATE_PAGE);
}
void state_run_encode(const struct state_run *run, uint8_t head[STATE_MEMORY_BYTES]);
/* What a record's body begins with; whether it has the length that it says, and comes behind all
 * memory before it. */
int state_run_decode(struct state_reader *r, const struct state_record *record,
		     const uint8_t head[STATE_MEMORY_BYTES], struct state_run *ret_run,
		     struct failure *f);

/* Memory of a VM that runs: adjacent pages of a record of pages. */
struct state_span {
	uint64_t gpa; /* a multiple of STATE_PAGE */
	uint32_t pages;
	bool zeros;
};
/* The list of spans in a record: STATE_SPAN_BYTES of each. */
void state_spans_encode(const struct state_span spans[], unsigned count, uint8_t *list);
/* False: there is one that cannot be. How many bytes those have that are not zeros. */
bool state_spans_decode(const uint8_t *list, unsigned count, struct state_span ret_spans[],
			uint64_t *ret_bytes);
/* `data` has a piece for each span that is not zeros. */
int state_write_pages(struct state_writer *w, const struct state_span spans[], unsigned count,
		      const struct iovec data[], struct failure *f);
/* Which spans the record has, whose sum is right then; what follows is read by the next. */
int state_read_spans(struct state_reader *r, const struct state_record *record,
		     struct state_span ret_spans[STATE_SPANS_MAX], unsigned *ret_count,
		     struct failure *f);
int state_read_page_data(struct state_reader *r, struct iovec *pieces, unsigned count,
			 struct failure *f);

/* A further connection of a VM that runs. */
struct state_lane {
	struct guid vm;
	uint32_t number, count; /* from 0 on; of all, at most STATE_LANES_MAX */
};
/* The next record must be that. */
int state_write_lane(struct state_writer *w, const struct state_lane *lane, struct failure *f);
int state_read_lane(struct state_reader *r, struct state_lane *ret_lane, struct failure *f);

/* Pages of a VM that come when it runs. */
struct state_later {
	uint64_t gpa;   /* of the first, a multiple of STATE_PAGE */
	uint32_t pages; /* a multiple of 64 */
	uint64_t bits[STATE_LATER_PAGES_MAX / 64];
};
int state_write_later(struct state_writer *w, const struct state_later *later, struct failure *f);
int state_read_later(struct state_reader *r, const struct state_record *record,
		     struct state_later *ret_later, struct failure *f);

/* A piece of a disk. */
struct state_blocks {
	uint32_t controller, lun;
	uint64_t offset;
	uint32_t len; /* at most STATE_BLOCKS_MAX, and never 0 */
	bool zeros;
};
/* `data`: NULL when they are zeros. */
int state_write_blocks(struct state_writer *w, const struct state_blocks *blocks, void *data,
		       struct failure *f);
/* What it says, and its bytes, zeros too, into a buffer of STATE_BLOCKS_MAX; the sum was right
 * then. Whether there is such a disk and so much of it the caller knows. */
int state_read_blocks(struct state_reader *r, const struct state_record *record,
		      struct state_blocks *ret_blocks, uint8_t *data, struct failure *f);

/* A sentence about what is read. -EBADMSG. */
__attribute__((format(printf, 3, 4))) int state_refuse(const struct state_reader *r,
						       struct failure *f, const char *why, ...);

/* Name of a type; NULL: there is none. */
const char *state_type_name(uint32_t type);

#endif
