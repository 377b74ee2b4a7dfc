/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * UNMAP and WRITE SAME at the SCSI controller: commands that take several operations of the back
 * end, one after the other, and that fall back when it cannot do the fast one. See storvsp.h for
 * trust and invariants.
 *
 * The parameter list and the sector are copied from the guest once; what was checked is what is
 * done.
 */
#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "devices/storage/storvsp_priv.h"

/* --- UNMAP ------------------------------------------------------------------------------ */

static void unmap_next(struct storvsp_request *req)
{
	const struct scsi_range *range = &req->thin.range[req->range_next];

	if (req->range_next == req->range_count || !req->unit->blockdev->discard_bytes) {
		storvsp_finish_good(req, req->moved);
		return;
	}
	storvsp_start(req, &(struct block_request){
				   .op = BLOCK_DISCARD,
				   .offset = range->offset,
				   .len = range->len,
			   });
}

void storvsp_unmap_begin(struct storvsp_request *req, const struct scsi_action *action)
{
	uint8_t list[SCSI_UNMAP_LIST_MAX];
	struct scsi_action check;

	storvsp_copy_from_guest(req, list, action->len);
	req->step = STORVSP_STEP_UNMAP;
	req->moved = action->len;
	req->range_count =
		scsi_unmap_decode(&req->unit->scsi, list, action->len, req->thin.range, &check);
	if (check.kind == SCSI_ACT_CHECK)
		storvsp_finish_check(req, &check);
	else
		unmap_next(req);
}

void storvsp_unmap_done(struct storvsp_request *req, int result)
{
	if (result == -EOPNOTSUPP) { /* it was a hint */
		storvsp_finish_good(req, req->moved);
		return;
	}
	if (result < 0) {
		storvsp_finish_error(req, SCSI_ACT_UNMAP, result);
		return;
	}
	req->unit->stats.discards++;
	req->unit->stats.discarded_bytes += req->step_len;
	req->range_next++;
	unmap_next(req);
}

/* --- WRITE SAME ------------------------------------------------------------------------- */

/* Writes as much as the short vector holds, each of its entries the same few sectors. */
static void write_next(struct storvsp_request *req)
{
	uint32_t left = req->len - req->same_written, len = 0;
	unsigned count = 0;

	while (left && count < STORVSP_IOV_SHORT) {
		uint32_t n = min_u32(left, STORVSP_PATTERN_BYTES);

		req->iov_short[count++] = (struct iovec){req->thin.pattern, n};
		len += n;
		left -= n;
	}
	storvsp_start(req, &(struct block_request){
				   .op = BLOCK_WRITE,
				   .offset = req->offset + req->same_written,
				   .len = len,
				   .iov = req->iov_short,
				   .iov_count = count,
			   });
}

static void start_whole(struct storvsp_request *req, enum block_op op)
{
	storvsp_start(req,
		      &(struct block_request){.op = op, .offset = req->offset, .len = req->len});
}

/* The guest's sector, repeated up to the end of the pattern; true when it is zeros. */
static bool take_pattern(struct storvsp_request *req, bool no_data)
{
	uint32_t sector = req->unit->scsi.sector_bytes;
	uint8_t *p = req->thin.pattern;

	memset(p, 0, STORVSP_PATTERN_BYTES);
	if (no_data)
		return true;
	storvsp_copy_from_guest(req, p, sector);
	req->moved = sector;
	for (uint32_t at = sector; at + sector <= STORVSP_PATTERN_BYTES; at += sector)
		memcpy(p + at, p, sector);
	return p[0] == 0 && memcmp(p, p + 1, STORVSP_PATTERN_BYTES - 1) == 0;
}

void storvsp_same_begin(struct storvsp_request *req, const struct scsi_action *action)
{
	bool zeros = take_pattern(req, action->no_data);

	req->step = STORVSP_STEP_SAME;
	if (!zeros)
		write_next(req);
	else if (action->unmap && req->unit->blockdev->discard_bytes)
		start_whole(req, BLOCK_DISCARD);
	else
		start_whole(req, BLOCK_ZERO);
}

void storvsp_same_done(struct storvsp_request *req, int result)
{
	struct storvsp_stats *stats = &req->unit->stats;
	enum block_op op = req->block.op;

	if (result == -EOPNOTSUPP && op == BLOCK_DISCARD) {
		start_whole(req, BLOCK_ZERO);
		return;
	}
	if (result == -EOPNOTSUPP && op == BLOCK_ZERO) {
		write_next(req);
		return;
	}
	if (result < 0) {
		storvsp_finish_error(req, SCSI_ACT_SAME, result);
		return;
	}
	if (op == BLOCK_WRITE) {
		req->same_written += (uint32_t)req->step_len;
		if (req->same_written < req->len) {
			write_next(req);
			return;
		}
	}
	if (op == BLOCK_DISCARD) {
		stats->discards++;
		stats->discarded_bytes += req->len;
	} else {
		stats->writes++;
		stats->written_bytes += req->len;
	}
	storvsp_finish_good(req, req->moved);
}
