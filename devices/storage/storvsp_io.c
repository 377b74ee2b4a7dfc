/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requests of the SCSI controller: slots, the way from a command to the back end, and the way
 * of its answer back. See storvsp.h for trust and invariants.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "devices/storage/storvsp_priv.h"

static void on_block_done(struct block_request *block, int result);
static void step_done(struct storvsp_request *req, int result);

/* --- slots ------------------------------------------------------------------------------ */

/* Makes sure that a long vector is free, making one within the limit. */
static bool long_available(struct storvsp *sp)
{
	struct iovec *made;

	if (sp->long_free_count)
		return true;
	if (sp->long_made == STORVSP_LONG_MAX)
		return false;
	made = calloc(STORVSP_IOV_LONG, sizeof(*made));
	if (!made)
		return false; /* one exists at least: it comes back with a completion */
	sp->long_made++;
	sp->long_free[sp->long_free_count++] = made;
	return true;
}

int storvsp_requests_init(struct storvsp *sp)
{
	/* The slot freed last is taken first: slots that a quiet disk never needs stay untouched.
	 */
	for (unsigned i = 0; i < STORVSP_SLOTS; i++)
		sp->free_slot[i] = (uint16_t)(STORVSP_SLOTS - 1 - i);
	sp->free_count = STORVSP_SLOTS;
	return long_available(sp) ? 0 : -ENOMEM;
}

void storvsp_requests_done(struct storvsp *sp)
{
	while (sp->long_free_count)
		free(sp->long_free[--sp->long_free_count]);
}

bool storvsp_request_available(struct storvsp *sp)
{
	return sp->free_count && long_available(sp);
}

struct storvsp_request *storvsp_request_get(struct storvsp_queue *queue, uint64_t transaction)
{
	struct storvsp *sp = queue->sp;
	struct storvsp_request *req = &sp->slot[sp->free_slot[--sp->free_count]];

	memset(req, 0, offsetof(struct storvsp_request, iov_short));
	req->sp = sp;
	req->queue = queue;
	req->generation = queue->generation;
	req->transaction = transaction;
	req->reply.operation = STORVSC_OP_COMPLETE_IO;
	return req;
}

void storvsp_resume_all(struct storvsp *sp)
{
	sp->stalled = false;
	for (unsigned i = 0; i < STORVSP_QUEUES_MAX; i++) {
		if (sp->queue[i].channel)
			vmbus_channel_resume(sp->queue[i].channel);
	}
}

void storvsp_request_put(struct storvsp_request *req)
{
	struct storvsp *sp = req->sp;

	if (req->longer)
		sp->long_free[sp->long_free_count++] = req->longer;
	req->longer = NULL;
	sp->free_slot[sp->free_count++] = (uint16_t)(req - sp->slot);
	if (sp->stalled)
		storvsp_resume_all(sp);
}

/* --- answers ---------------------------------------------------------------------------- */

/* True when the answer is on its way or has nobody to go to. */
static bool send_reply(struct storvsp_request *req)
{
	int r = vmbus_channel_complete(req->queue->channel, req->transaction, &req->reply,
				       sizeof(req->reply));

	if (r == -EAGAIN)
		return false;
	storvsp_request_put(req);
	return true;
}

bool storvsp_send_unsent(struct storvsp_queue *q)
{
	struct list *link;

	while ((link = list_pop(&q->unsent))) {
		if (!send_reply(CONTAINER_OF(link, struct storvsp_request, link))) {
			list_insert_before(q->unsent.next, link);
			return false;
		}
	}
	return true;
}

void storvsp_request_finish(struct storvsp_request *req)
{
	struct storvsp_queue *q = req->queue;

	if (req->generation != q->generation) {
		storvsp_request_put(req);
		return;
	}
	/* Behind those that wait, if any: there may be room for them by now. */
	list_append(&q->unsent, &req->link);
	(void)storvsp_send_unsent(q);
}

static void finish_srb(struct storvsp_request *req, uint8_t srb_status, uint8_t scsi_status,
		       uint32_t status, uint32_t moved)
{
	req->reply.status = status;
	req->reply.srb.srb_status = srb_status;
	req->reply.srb.scsi_status = scsi_status;
	req->reply.srb.data_transfer_length = moved;
	storvsp_request_finish(req);
}

void storvsp_finish_good(struct storvsp_request *req, uint32_t moved)
{
	if (req->truncated)
		finish_srb(req, STORVSC_SRB_DATA_OVERRUN, SCSI_STATUS_GOOD,
			   STORVSC_STATUS_BUFFER_OVERFLOW, moved);
	else
		finish_srb(req, STORVSC_SRB_SUCCESS, SCSI_STATUS_GOOD, STORVSC_STATUS_OK, moved);
}

static void finish_busy(struct storvsp_request *req)
{
	finish_srb(req, STORVSC_SRB_BUSY, SCSI_STATUS_BUSY, STORVSC_STATUS_BUSY, 0);
}

static void finish_invalid(struct storvsp_request *req)
{
	finish_srb(req, STORVSC_SRB_INVALID_REQUEST, SCSI_STATUS_GOOD,
		   STORVSC_STATUS_INVALID_PARAMETER, 0);
}

void storvsp_finish_check(struct storvsp_request *req, const struct scsi_action *action)
{
	uint8_t sense[SCSI_SENSE_FIXED_BYTES];
	uint8_t srb_status = req->absent ? STORVSC_SRB_INVALID_LUN : STORVSC_SRB_ERROR;

	scsi_sense_encode(action, sense);
	if (req->sense_max) {
		uint8_t len = (uint8_t)min_u32(req->sense_max, sizeof(sense));

		memcpy(req->reply.srb.sense, sense, len);
		req->reply.srb.sense_length = len;
		srb_status |= STORVSC_SRB_AUTOSENSE_VALID;
	}
	finish_srb(req, srb_status, SCSI_STATUS_CHECK_CONDITION, STORVSC_STATUS_IO_ERROR, 0);
}

/* A command for a unit that is not there. Linux removes the unit of this number on the first bus
 * when it sees the SRB status, so it is for addresses on that bus alone. */
static void finish_absent(struct storvsp_request *req, const struct scsi_action *action)
{
	const struct storvsc_srb *reply = &req->reply.srb;

	req->absent = reply->path == 0 && reply->target < STORVSP_TARGETS_MAX &&
		      reply->lun < SCSI_LUNS_MAX;
	storvsp_finish_check(req, action);
}

static enum scsi_action_kind kind_of(enum block_op op)
{
	return op == BLOCK_READ    ? SCSI_ACT_READ
	       : op == BLOCK_WRITE ? SCSI_ACT_WRITE
				   : SCSI_ACT_FLUSH;
}

void storvsp_finish_error(struct storvsp_request *req, enum scsi_action_kind kind, int error)
{
	struct scsi_action check;

	if (error == -ENOMEM || error == -EAGAIN) {
		finish_busy(req);
		return;
	}
	req->unit->stats.errors++;
	scsi_action_of_errno(kind, error, &check);
	storvsp_finish_check(req, &check);
}

static void finish_block(struct storvsp_request *req, int result)
{
	struct storvsp_stats *stats = &req->unit->stats;

	if (result < 0) {
		storvsp_finish_error(req, kind_of(req->block.op), result);
		return;
	}
	if (req->block.op == BLOCK_READ) {
		stats->reads++;
		stats->read_bytes += req->step_len;
	} else if (req->block.op == BLOCK_WRITE) {
		stats->writes++;
		stats->written_bytes += req->step_len;
	} else {
		stats->flushes++;
	}
	storvsp_finish_good(req, (uint32_t)req->step_len);
}

/* --- the back end ----------------------------------------------------------------------- */

/* Gives the request to the back end; false when that has no room now. */
static bool submit(struct storvsp_request *req)
{
	struct storvsp_unit *unit = req->unit;
	int r = block_submit(unit->blockdev, &req->block);

	if (r == -EAGAIN && unit->inflight)
		return false;
	if (r < 0) {
		step_done(req, r);
		return true;
	}
	unit->inflight++;
	req->sp->inflight++;
	if (!list_linked(&unit->kick))
		list_append(&req->sp->kicks, &unit->kick);
	return true;
}

static void start(struct storvsp_request *req)
{
	struct storvsp_unit *unit = req->unit;

	if (!list_empty(&unit->waiting) || !submit(req))
		list_append(&unit->waiting, &req->link);
}

static void start_waiting(struct storvsp_unit *unit)
{
	struct list *link;

	while ((link = list_pop(&unit->waiting))) {
		if (!submit(CONTAINER_OF(link, struct storvsp_request, link))) {
			list_insert_before(unit->waiting.next, link);
			return;
		}
	}
}

void storvsp_start(struct storvsp_request *req, const struct block_request *block)
{
	req->block = *block;
	req->step_len = block->len;
	req->block.done = on_block_done;
	req->block.owner = req;
	start(req);
}

/* Starts the operation on the unit's block device, with the data that the request carries. */
static void start_block(struct storvsp_request *req, enum block_op op, bool fua)
{
	bool flush = op == BLOCK_FLUSH;
	struct block_request block = {
		.op = op,
		.fua = fua,
		.offset = flush ? 0 : req->offset,
		.len = flush ? 0 : req->len,
		.iov = req->longer ? req->longer : req->iov_short,
		.iov_count = flush ? 0 : req->iov_count,
		.gmem = vmbus_gmem(req->sp->bus),
	};

	storvsp_start(req, &block);
}

/* Goes on with a command whose operation has ended, or could not begin. */
static void step_done(struct storvsp_request *req, int result)
{
	switch (req->step) {
	case STORVSP_STEP_FLUSH_FIRST:
		req->step = STORVSP_STEP_ONLY;
		if (result == 0)
			start_block(req, BLOCK_READ, false);
		else
			finish_block(req, result);
		break;
	case STORVSP_STEP_UNMAP:
		storvsp_unmap_done(req, result);
		break;
	case STORVSP_STEP_SAME:
		storvsp_same_done(req, result);
		break;
	case STORVSP_STEP_ONLY:
		finish_block(req, result);
		break;
	}
}

/* Keeps a request whose operation has failed, when the owner wants that. The back end has stepped
 * over what it has moved, so that the rest can be tried again. */
static bool hold(struct storvsp_request *req, int error)
{
	const struct storvsp_config *config = &req->sp->config;
	struct storvsp_unit *unit = req->unit;
	struct block_request *block = &req->block;
	uint64_t left = 0;

	if (unit->leaving || !config->host || !config->host->failed)
		return false;
	while (block->iov_count && block->iov->iov_len == 0) {
		block->iov++;
		block->iov_count--;
	}
	for (unsigned i = 0; i < block->iov_count; i++)
		left += block->iov[i].iov_len;
	if ((block->op == BLOCK_READ || block->op == BLOCK_WRITE) && left == 0)
		return false;
	if (!config->host->failed(config->host_ctx, unit->target, unit->lun, block->op, error))
		return false;
	if (left) {
		block->offset += block->len - left;
		block->len = left;
	}
	req->error = error;
	list_append(&unit->held, &req->link);
	req->sp->held++;
	return true;
}

void storvsp_restart(struct storvsp_request *req)
{
	start(req);
}

void storvsp_give_up_held(struct storvsp_unit *unit)
{
	struct list *link;

	while ((link = list_pop(&unit->held))) {
		struct storvsp_request *req = CONTAINER_OF(link, struct storvsp_request, link);

		req->sp->held--;
		storvsp_finish_error(req, kind_of(req->block.op), req->error);
	}
}

/* What becomes possible when a request has left the back end. */
static void after_completion(struct storvsp *sp, struct storvsp_unit *unit)
{
	start_waiting(unit);
	storvsp_settle(sp);
}

void storvsp_settle(struct storvsp *sp)
{
	if (sp->reset && sp->inflight == 0 && sp->held == 0) {
		struct storvsp_request *reset = sp->reset;

		sp->reset = NULL;
		storvsp_request_finish(reset);
		storvsp_resume_all(sp);
	}
	if (sp->in_ready)
		return;
	storvsp_kick(sp);
	for (unsigned i = 0; i < STORVSP_QUEUES_MAX; i++) {
		if (sp->queue[i].channel)
			vmbus_channel_flush(sp->queue[i].channel);
	}
}

static void on_block_done(struct block_request *block, int result)
{
	struct storvsp_request *req = block->owner;
	struct storvsp_unit *unit = req->unit;
	struct storvsp *sp = req->sp;

	sp->inflight--;
	unit->inflight--;
	if (req->generation != req->queue->generation)
		storvsp_request_put(req);
	else if (result == 0 || result == -EOPNOTSUPP || !hold(req, result))
		step_done(req, result);
	after_completion(sp, unit);
}

void storvsp_kick(struct storvsp *sp)
{
	struct list *link;

	while ((link = list_pop(&sp->kicks)))
		block_kick(CONTAINER_OF(link, struct storvsp_unit, kick)->blockdev);
}

/* --- commands --------------------------------------------------------------------------- */

/* Maps the packet's pages; 0 and *ret_bytes, or -errno for ranges that no driver sends. */
static int map_data(struct storvsp_request *req, const struct vmbus_packet *packet,
		    uint64_t *ret_bytes)
{
	struct storvsp *sp = req->sp;
	int r;

	*ret_bytes = 0;
	if (packet->type != VMBUS_PACKET_GPA_DIRECT)
		return 0;
	r = vmbus_packet_iov(sp->bus, packet, req->iov_short, STORVSP_IOV_SHORT, SCSI_TRANSFER_MAX,
			     &req->iov_count, ret_bytes);
	if (r != -E2BIG)
		return r;
	req->longer = sp->long_free[--sp->long_free_count]; /* there is one: invariant 1 */
	return vmbus_packet_iov(sp->bus, packet, req->longer, STORVSP_IOV_LONG, SCSI_TRANSFER_MAX,
				&req->iov_count, ret_bytes);
}

/* Cuts the vector to len bytes, which it has at least. */
static void trim_iov(struct storvsp_request *req, uint64_t len)
{
	struct iovec *iov = req->longer ? req->longer : req->iov_short;
	unsigned count = 0;

	while (len && count < req->iov_count) {
		if (iov[count].iov_len > len)
			iov[count].iov_len = len;
		len -= iov[count].iov_len;
		count++;
	}
	req->iov_count = count;
}

static void copy_to_guest(struct storvsp_request *req, const uint8_t *data, size_t len)
{
	const struct iovec *iov = req->longer ? req->longer : req->iov_short;

	for (unsigned i = 0; len && i < req->iov_count; i++) {
		size_t n = min_u64(len, iov[i].iov_len);

		memcpy(iov[i].iov_base, data, n);
		gmem_written(vmbus_gmem(req->sp->bus), iov[i].iov_base, n);
		data += n;
		len -= n;
	}
}

void storvsp_copy_from_guest(const struct storvsp_request *req, void *data, size_t len)
{
	const struct iovec *iov = req->longer ? req->longer : req->iov_short;
	uint8_t *to = data;

	for (unsigned i = 0; len && i < req->iov_count; i++) {
		size_t n = min_u64(len, iov[i].iov_len);

		memcpy(to, iov[i].iov_base, n);
		to += n;
		len -= n;
	}
}

/* The unit that an SRB is for. The path counts as well: there is one bus, and a driver looks for
 * disks on eight of them. */
static struct storvsp_unit *find_unit(const struct storvsp *sp, const struct storvsc_srb *srb)
{
	struct storvsp_unit *unit;

	if (srb->path != 0 || srb->target >= STORVSP_TARGETS_MAX || srb->lun >= SCSI_LUNS_MAX)
		return NULL;
	unit = sp->unit[srb->target][srb->lun];
	return unit && !unit->leaving ? unit : NULL;
}

static uint64_t luns_at(const struct storvsp *sp, const struct storvsc_srb *srb)
{
	return srb->path == 0 && srb->target < STORVSP_TARGETS_MAX ? sp->luns[srb->target] : 0;
}

static void carry_out(struct storvsp_request *req, const struct scsi_action *action)
{
	req->truncated = action->truncated;
	req->offset = action->offset;
	req->len = action->len;
	switch (action->kind) {
	case SCSI_ACT_DONE:
		storvsp_finish_good(req, 0);
		break;
	case SCSI_ACT_REPLY:
		copy_to_guest(req, action->reply, action->reply_len);
		storvsp_finish_good(req, action->reply_len);
		break;
	case SCSI_ACT_READ:
		trim_iov(req, action->len);
		if (action->fua)
			req->step = STORVSP_STEP_FLUSH_FIRST;
		start_block(req, action->fua ? BLOCK_FLUSH : BLOCK_READ, false);
		break;
	case SCSI_ACT_WRITE:
		trim_iov(req, action->len);
		start_block(req, BLOCK_WRITE, action->fua);
		break;
	case SCSI_ACT_FLUSH:
		start_block(req, BLOCK_FLUSH, false);
		break;
	case SCSI_ACT_UNMAP:
		storvsp_unmap_begin(req, action);
		break;
	case SCSI_ACT_SAME:
		storvsp_same_begin(req, action);
		break;
	case SCSI_ACT_EJECT:
		storvsp_guest_ejects(req->unit, req->sp);
		storvsp_finish_good(req, 0);
		break;
	case SCSI_ACT_LOCK:
		req->unit->scsi.locked = action->lock;
		storvsp_finish_good(req, 0);
		break;
	case SCSI_ACT_CHECK:
		if (req->unit)
			storvsp_finish_check(req, action);
		else
			finish_absent(req, action);
		break;
	}
}

/* Decodes a command for a unit; what the guest is told of now needs no second telling. */
static void decode_for_unit(struct storvsp_unit *unit, const struct storvsc_srb *srb,
			    uint32_t data_len, struct scsi_action *ret_action)
{
	unit->scsi.discard_bytes = unit->blockdev ? unit->blockdev->discard_bytes : 0;
	scsi_decode(&unit->scsi, srb->cdb, srb->cdb_length, data_len, ret_action);
	if (ret_action->attention_told)
		unit->scsi.attention = SCSI_SENSE_NONE;
	if (ret_action->event_told)
		unit->scsi.event = SCSI_MEDIA_NO_EVENT;
}

void storvsp_execute(struct storvsp_request *req, const struct vmbus_packet *packet,
		     const struct storvsc_srb *srb)
{
	struct storvsp *sp = req->sp;
	struct storvsc_srb *reply = &req->reply.srb;
	struct scsi_action action;
	uint64_t bytes;
	uint32_t data_len;

	reply->length = sizeof(*reply);
	reply->path = srb->path;
	reply->target = srb->target;
	reply->lun = srb->lun;
	req->sense_max = srb->sense_length;
	if (srb->cdb_length > STORVSC_CDB_MAX || map_data(req, packet, &bytes) < 0) {
		finish_invalid(req);
		return;
	}
	data_len = (uint32_t)min_u64(bytes, srb->data_transfer_length);
	req->unit = find_unit(sp, srb);
	if (req->unit)
		decode_for_unit(req->unit, srb, data_len, &action);
	else
		scsi_decode_absent(luns_at(sp, srb), srb->cdb, srb->cdb_length, data_len, &action);
	carry_out(req, &action);
}
