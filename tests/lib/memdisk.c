/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/lib/memdisk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

static bool request_ok(const struct memdisk *d, const struct block_request *req)
{
	uint64_t sum = 0;

	if (req->op == BLOCK_FLUSH)
		return req->len == 0 && req->iov_count == 0;
	if (req->op == BLOCK_DISCARD || req->op == BLOCK_ZERO)
		sum = req->iov_count ? 0 : req->len;
	for (unsigned i = 0; i < req->iov_count; i++)
		sum += req->iov[i].iov_len;
	return req->len && sum == req->len && is_aligned(req->offset, d->dev.sector_bytes) &&
	       is_aligned(req->len, d->dev.sector_bytes) &&
	       range_within(req->offset, req->len, d->dev.size_bytes) &&
	       !(req->op != BLOCK_READ && d->dev.read_only);
}

static int memdisk_submit(void *ctx, struct block_request *req)
{
	struct memdisk *d = ctx;

	if (d->refuse)
		return d->refuse;
	if (d->inflight >= d->limit)
		return -EAGAIN;
	if (!request_ok(d, req)) {
		d->broken++;
		return -EINVAL;
	}
	if (req->op == BLOCK_DISCARD && !d->dev.discard_bytes)
		return -EOPNOTSUPP;
	d->flushes += req->op == BLOCK_FLUSH;
	d->discards += req->op == BLOCK_DISCARD;
	d->zeroings += req->op == BLOCK_ZERO;
	d->fua_writes += req->op == BLOCK_WRITE && req->fua;
	d->request[d->inflight++] = req;
	return 0;
}

static void memdisk_kick(void *ctx)
{
	struct memdisk *d = ctx;

	d->kicks++;
}

static const struct block_ops memdisk_ops = {
	.submit = memdisk_submit,
	.kick = memdisk_kick,
};

struct memdisk *memdisk_new(uint64_t size_bytes, uint32_t sector_bytes)
{
	struct memdisk *d = calloc(1, sizeof(*d));
	uint8_t *data = calloc(1, size_bytes);

	if (!d || !data) {
		fprintf(stderr, "memdisk: no memory\n");
		abort();
	}
	d->data = data;
	d->dev = (struct blockdev){
		.ops = &memdisk_ops,
		.ctx = d,
		.size_bytes = size_bytes,
		.sector_bytes = sector_bytes,
		.physical_sector_bytes = 4096,
	};
	memdisk_reset(d);
	return d;
}

void memdisk_reset(struct memdisk *d)
{
	if (d->inflight) {
		fprintf(stderr, "memdisk: reset with requests in flight\n");
		abort();
	}
	if (d->dirty_to > d->dirty_from)
		memset(d->data + d->dirty_from, 0, d->dirty_to - d->dirty_from);
	d->dirty_from = d->dev.size_bytes;
	d->dirty_to = 0;
	d->limit = MEMDISK_INFLIGHT_MAX;
	d->refuse = 0;
	d->dev.discard_bytes = 4096;
	d->kicks = d->flushes = d->fua_writes = d->discards = d->zeroings = d->broken = 0;
}

void memdisk_free(struct memdisk *d)
{
	if (!d)
		return;
	free(d->data);
	free(d);
}

static void move_data(struct memdisk *d, struct block_request *req)
{
	uint8_t *at = d->data + req->offset;

	if (req->op != BLOCK_READ && req->op != BLOCK_FLUSH) {
		d->dirty_from = min_u64(d->dirty_from, req->offset);
		if (req->offset + req->len > d->dirty_to)
			d->dirty_to = req->offset + req->len;
	}
	if (req->op == BLOCK_DISCARD || req->op == BLOCK_ZERO)
		memset(at, 0, req->len);

	for (unsigned i = 0; i < req->iov_count; i++) {
		if (req->op == BLOCK_READ)
			memcpy(req->iov[i].iov_base, at, req->iov[i].iov_len);
		else
			memcpy(at, req->iov[i].iov_base, req->iov[i].iov_len);
		at += req->iov[i].iov_len;
	}
}

void memdisk_complete(struct memdisk *d, unsigned n, int error)
{
	struct block_request *req = d->request[n];

	memmove(&d->request[n], &d->request[n + 1], (--d->inflight - n) * sizeof(d->request[0]));
	if (error == 0)
		move_data(d, req);
	else if (error == -EOPNOTSUPP && req->op == BLOCK_DISCARD)
		d->dev.discard_bytes = 0;
	req->done(req, error);
}

void memdisk_complete_all(struct memdisk *d)
{
	while (d->inflight)
		memdisk_complete(d, 0, 0);
}
