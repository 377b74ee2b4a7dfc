/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/compress_pays.h"

#include "base/util.h"

#define BATCH_BYTES (UINT64_C(1) << 20)  /* that go at once, about */
#define SETTLE_BYTES (UINT64_C(8) << 20) /* of a round, that vanish into buffers */
#define LASTS 4u                         /* times what is added: what is older fades */
#define LEAST_GAIN 8u                    /* of the link's time: an eighth */
#define SAMPLE_MOST_NS UINT64_C(2000000) /* what takes longer was interrupted */

/* What a trial of the other way takes. */
static uint64_t trial_ns(const struct compress_pays *p)
{
	if (p->on)
		return (uint64_t)((unsigned __int128)p->link_ns * BATCH_BYTES / p->link_bytes);
	return min_u64((uint64_t)((unsigned __int128)p->pack_ns * PAYS_LEAST / p->pack_bytes),
		       SAMPLE_MOST_NS);
}

static bool pays(const struct compress_pays *p)
{
	/* All in ns, times link_bytes * pack_bytes. */
	unsigned __int128 link = (unsigned __int128)p->link_ns * p->pack_bytes;
	unsigned __int128 spared, costs = (unsigned __int128)p->pack_ns * p->link_bytes;

	if (!p->link_bytes || p->packed_bytes >= p->pack_bytes)
		return false;
	spared = (unsigned __int128)p->link_ns * (p->pack_bytes - p->packed_bytes);
	return spared > costs + link / LEAST_GAIN;
}

static void judge(struct compress_pays *p, bool tried, uint64_t now_ns)
{
	bool was = p->on;

	p->on = pays(p);
	if (tried || p->on != was)
		p->due_ns = now_ns + PAYS_SHARE * trial_ns(p);
}

void compress_round(struct compress_pays *p)
{
	p->round_bytes = 0;
}

enum compress_way compress_way(struct compress_pays *p, uint64_t bytes, uint64_t now_ns)
{
	bool due = !p->steady && now_ns >= p->due_ns && bytes >= PAYS_LEAST;

	/* What a short round sends goes into buffers at once, and says nothing of the link. */
	if (p->on)
		return due && p->round_bytes >= SETTLE_BYTES ? COMPRESS_NOT : COMPRESS_ALL;
	return due && p->link_bytes ? COMPRESS_SAMPLE : COMPRESS_NOT;
}

void compress_went(struct compress_pays *p, uint64_t bytes, uint64_t ns, uint64_t now_ns)
{
	p->round_bytes += bytes;
	if (bytes < PAYS_LEAST)
		return;
	for (; p->link_bytes > LASTS * bytes; p->link_bytes /= 2)
		p->link_ns /= 2;
	p->link_ns += ns;
	p->link_bytes += bytes;
	if (p->on)
		judge(p, true, now_ns);
}

void compress_packed(struct compress_pays *p, uint64_t bytes, uint64_t packed_bytes, uint64_t ns,
		     uint64_t now_ns)
{
	bool sample = !p->on;

	if (sample)
		p->pack_ns = p->pack_bytes = p->packed_bytes = 0;
	else
		p->round_bytes += bytes;
	if (bytes < PAYS_LEAST)
		return;
	for (; p->pack_bytes > LASTS * bytes; p->pack_bytes /= 2) {
		p->pack_ns /= 2;
		p->packed_bytes /= 2;
	}
	p->pack_ns += ns;
	p->pack_bytes += bytes;
	p->packed_bytes += packed_bytes;
	judge(p, sample, now_ns);
}
