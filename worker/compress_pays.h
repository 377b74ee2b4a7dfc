/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whether it pays to compress the pages that go over a connection: while what that costs is less
 * than what it saves of the time that the link takes (docs/design/live.md).
 *
 *	off	pages go as they are, which tells what the link takes for a byte; now and then a
 *		block is compressed beside that, for a sample of what it would cost and save
 *	on	pages are compressed, which tells what that costs and saves; now and then some go
 *		as they are, for the link
 *
 * Trials take one part of PAYS_SHARE of the time at most.
 *
 * Threads: that of the connection. The clock is the caller's.
 */
#ifndef OYA_WORKER_COMPRESS_PAYS_H
#define OYA_WORKER_COMPRESS_PAYS_H

#include <stdbool.h>
#include <stdint.h>

#define PAYS_SHARE 128u
#define PAYS_LEAST 65536u /* bytes: what is shorter says nothing */

enum compress_way {
	COMPRESS_NOT,
	COMPRESS_SAMPLE, /* pages go as they are, and what it would be is to be told */
	COMPRESS_ALL,
};

struct compress_pays {
	bool on;
	bool steady;          /* no time is to be lost with trials */
	uint64_t due_ns;      /* when the other way is tried next */
	uint64_t round_bytes; /* of pages in this round */
	uint64_t link_ns, link_bytes;
	uint64_t pack_ns, pack_bytes, packed_bytes; /* from, to */
};

/* A round begins. */
void compress_round(struct compress_pays *p);
/* How the next `bytes` of pages are to go. */
enum compress_way compress_way(struct compress_pays *p, uint64_t bytes, uint64_t now_ns);
/* Pages went as they are, and the connection took them in so long. */
void compress_went(struct compress_pays *p, uint64_t bytes, uint64_t ns, uint64_t now_ns);
/* Pages were compressed, or a sample of them was. */
void compress_packed(struct compress_pays *p, uint64_t bytes, uint64_t packed_bytes, uint64_t ns,
		     uint64_t now_ns);

#endif
