/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The channel of the SCSI controller, the sequence by which a driver sets it up, and the table
 * of units. See storvsp.h.
 */
#include "devices/storage/storvsp.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/cursor.h"
#include "base/state.h"
#include "base/util.h"
#include "devices/storage/storvsp_priv.h"

#define PACKET_VERSION_MIN 16u /* header and version */

/* Packets taken in one call of ready(), so that one guest cannot hold the thread. */
#define BATCH_MAX 256u

static const char *const state_labels[STORVSP_STATES] = {
	[STORVSP_IDLE] = "idle",       [STORVSP_BEGUN] = "begun", [STORVSP_VERSIONED] = "versioned",
	[STORVSP_QUERIED] = "queried", [STORVSP_READY] = "ready",
};

static const uint32_t state_next[STORVSP_STATES] = {
	[STORVSP_IDLE] = STATE_BIT(STORVSP_IDLE) | STATE_BIT(STORVSP_BEGUN),
	[STORVSP_BEGUN] = STATE_BIT(STORVSP_IDLE) | STATE_BIT(STORVSP_VERSIONED),
	[STORVSP_VERSIONED] = STATE_BIT(STORVSP_IDLE) | STATE_BIT(STORVSP_QUERIED),
	[STORVSP_QUERIED] = STATE_BIT(STORVSP_IDLE) | STATE_BIT(STORVSP_READY),
	[STORVSP_READY] = STATE_BIT(STORVSP_IDLE),
};

static const struct state_table states = {
	.name = "storvsp",
	.count = STORVSP_STATES,
	.labels = state_labels,
	.next = state_next,
};

/* --- the channel's protocol ------------------------------------------------------------- */

static uint32_t advance(struct storvsp *sp, enum storvsp_state to)
{
	return state_move(&states, &sp->state, to) == 0 ? STORVSC_STATUS_OK
							: STORVSC_STATUS_INVALID_STATE;
}

static bool version_supported(uint16_t version)
{
	return version == STORVSC_VERSION_6_2 || version == STORVSC_VERSION_6_0 ||
	       version == STORVSC_VERSION_5_1;
}

static uint32_t query_version(struct storvsp *sp, const struct storvsc_packet *in, uint32_t len,
			      struct storvsc_packet *reply)
{
	if (len < PACKET_VERSION_MIN)
		return STORVSC_STATUS_INVALID_PARAMETER;
	if (!state_allows(&states, sp->state, STORVSP_VERSIONED))
		return STORVSC_STATUS_INVALID_STATE;
	reply->version.major_minor = in->version.major_minor;
	if (!version_supported(in->version.major_minor))
		return STORVSC_STATUS_REVISION_MISMATCH;
	return advance(sp, STORVSP_VERSIONED);
}

static uint32_t query_properties(struct storvsp *sp, struct storvsc_packet *reply)
{
	uint32_t status = advance(sp, STORVSP_QUERIED);

	if (status != STORVSC_STATUS_OK)
		return status;
	reply->properties.max_transfer_bytes = SCSI_TRANSFER_MAX;
	if (sp->config.sub_channels_max) {
		reply->properties.max_sub_channels = (uint16_t)sp->config.sub_channels_max;
		reply->properties.flags = STORVSC_PROPERTY_MULTI_CHANNEL;
	}
	return status;
}

static void take_back_sub_channels(struct storvsp *sp)
{
	for (unsigned i = 1; i < STORVSP_QUEUES_MAX; i++) {
		struct vmbus_channel *offer = sp->queue[i].offer;

		sp->queue[i].offer = NULL;
		if (offer)
			vmbus_rescind(offer);
	}
}

/* All that were asked for, or none. A driver asks once for each opening of the controller. */
static uint32_t create_sub_channels(struct storvsp *sp, unsigned count)
{
	if (sp->state != STORVSP_READY || sp->queue[1].offer)
		return STORVSC_STATUS_INVALID_STATE;
	if (count == 0 || count > sp->config.sub_channels_max)
		return STORVSC_STATUS_INVALID_PARAMETER;
	for (unsigned i = 1; i <= count; i++) {
		if (storvsp_offer_queue(sp, i) < 0) {
			take_back_sub_channels(sp);
			return STORVSC_STATUS_NO_RESOURCES;
		}
	}
	return STORVSC_STATUS_OK;
}

/* A driver takes the answer to a reset to mean that no command is under way any more, so the
 * answer waits for those that are, and packets behind it wait for the answer. */
static void begin_reset(struct storvsp_request *req)
{
	struct storvsp *sp = req->sp;

	if (sp->inflight || sp->held)
		sp->reset = req;
	else
		storvsp_request_finish(req);
}

/* What needs the driver to have finished its set-up; true when it took the request. */
static bool handle_ready_operation(struct storvsp_request *req, const struct vmbus_packet *packet,
				   const struct storvsc_packet *in)
{
	if (req->sp->state != STORVSP_READY) {
		req->reply.status = STORVSC_STATUS_INVALID_STATE;
		return false;
	}
	if (in->operation != STORVSC_OP_EXECUTE_SRB) {
		begin_reset(req);
		return true;
	}
	if (packet->payload_len < STORVSC_SRB_PACKET_MIN) {
		req->reply.status = STORVSC_STATUS_INVALID_PARAMETER;
		return false;
	}
	storvsp_execute(req, packet, &in->srb);
	return true;
}

/* What sets the controller up, on its primary channel only. */
static uint32_t handle_set_up(struct storvsp *sp, const struct storvsc_packet *in, uint32_t len,
			      struct storvsc_packet *reply)
{
	switch (in->operation) {
	case STORVSC_OP_BEGIN_INITIALIZATION:
		return advance(sp, STORVSP_BEGUN);
	case STORVSC_OP_QUERY_PROTOCOL_VERSION:
		return query_version(sp, in, len, reply);
	case STORVSC_OP_QUERY_PROPERTIES:
		return query_properties(sp, reply);
	case STORVSC_OP_END_INITIALIZATION:
		return advance(sp, STORVSP_READY);
	case STORVSC_OP_CREATE_SUB_CHANNELS:
		return create_sub_channels(sp, in->sub_channel_count);
	default:
		return STORVSC_STATUS_INVALID_REQUEST;
	}
}

static void handle_packet(struct storvsp_queue *q, const struct vmbus_packet *packet)
{
	struct cursor payload = cursor_of(packet->payload, packet->payload_len);
	struct storvsp_request *req = storvsp_request_get(q, packet->transaction);
	struct storvsc_packet in;

	cursor_copy_padded(&payload, &in, sizeof(in));
	switch (in.operation) {
	case STORVSC_OP_EXECUTE_SRB:
	case STORVSC_OP_RESET_LUN:
	case STORVSC_OP_RESET_ADAPTER:
	case STORVSC_OP_RESET_BUS:
		if (handle_ready_operation(req, packet, &in))
			return;
		break;
	default:
		req->reply.status =
			q == q->sp->queue
				? handle_set_up(q->sp, &in, packet->payload_len, &req->reply)
				: STORVSC_STATUS_INVALID_REQUEST;
		break;
	}
	storvsp_request_finish(req);
}

static bool packet_check(struct vmbus_channel *ch, const struct vmbus_packet *packet)
{
	if (packet->type != VMBUS_PACKET_INBAND && packet->type != VMBUS_PACKET_GPA_DIRECT) {
		vmbus_channel_fault(ch, "a packet of type %u", packet->type);
		return false;
	}
	if (packet->payload_len < STORVSC_HEADER_BYTES) {
		vmbus_channel_fault(ch, "a packet of %u bytes", packet->payload_len);
		return false;
	}
	if (!packet->wants_completion) {
		vmbus_channel_fault(ch, "a request that wants no answer");
		return false;
	}
	return true;
}

static void receive_batch(struct storvsp_queue *q, struct vmbus_channel *ch)
{
	struct storvsp *sp = q->sp;
	struct vmbus_packet packet;

	/* Each call on the channel may end in its fault and close. */
	for (unsigned n = 0; q->channel == ch; n++) {
		if (sp->reset)
			return; /* its answer resumes */
		if (n == BATCH_MAX) {
			vmbus_channel_resume(ch);
			return;
		}
		if (!list_empty(&q->unsent) || !storvsp_request_available(sp)) {
			sp->stalled = true; /* until a slot is put back */
			return;
		}
		if (vmbus_channel_receive(ch, &packet) < 0 || !packet_check(ch, &packet))
			return;
		handle_packet(q, &packet);
	}
}

static int on_open(void *dev, struct vmbus_channel *ch, const uint8_t *user)
{
	struct storvsp_queue *q = dev;

	(void)user;
	q->channel = ch;
	return 0;
}

static void on_ready(void *dev, struct vmbus_channel *ch)
{
	struct storvsp_queue *q = dev;
	struct storvsp *sp = q->sp;

	sp->in_ready = true;
	if (sp->scan_wanted && q == sp->queue)
		storvsp_ask_scan(sp);
	if (storvsp_send_unsent(q))
		receive_batch(q, ch);
	storvsp_kick(sp);
	sp->in_ready = false;
}

static void put_all(struct list *requests)
{
	struct list *link;

	while ((link = list_pop(requests)))
		storvsp_request_put(CONTAINER_OF(link, struct storvsp_request, link));
}

/* Puts back the requests of the queue on a list; their number. */
static unsigned drop_requests(struct storvsp_queue *q, struct list *requests)
{
	struct list *link = requests->next;
	unsigned count = 0;

	while (link != requests) {
		struct storvsp_request *req = CONTAINER_OF(link, struct storvsp_request, link);

		link = link->next;
		if (req->queue != q)
			continue;
		list_remove(&req->link);
		storvsp_request_put(req);
		count++;
	}
	return count;
}

/* What the queue has at a unit, but for what is at its back end. */
static void drop_at_unit(struct storvsp_queue *q, struct storvsp_unit *unit)
{
	drop_requests(q, &unit->waiting);
	q->sp->held -= drop_requests(q, &unit->held);
	if (q == q->sp->queue)
		unit->scsi.locked = false; /* by a driver that is gone */
}

static void drop_reset(struct storvsp_queue *q)
{
	struct storvsp *sp = q->sp;

	if (!sp->reset || sp->reset->queue != q)
		return;
	storvsp_request_put(sp->reset);
	sp->reset = NULL;
	storvsp_resume_all(sp);
}

static void on_close(void *dev, struct vmbus_channel *ch)
{
	struct storvsp_queue *q = dev;
	struct storvsp *sp = q->sp;

	(void)ch;
	if (q == sp->queue) {
		take_back_sub_channels(sp);
		(void)state_move(&states, &sp->state, STORVSP_IDLE); /* allowed from each state */
	}
	q->channel = NULL;
	q->generation++;
	put_all(&q->unsent);
	for (unsigned target = 0; target < STORVSP_TARGETS_MAX; target++)
		for (unsigned lun = 0; lun < SCSI_LUNS_MAX; lun++)
			if (sp->unit[target][lun])
				drop_at_unit(q, sp->unit[target][lun]);
	drop_reset(q);
}

static void on_reopen(void *dev, struct vmbus_channel *ch)
{
	struct storvsp_queue *q = dev;

	q->channel = ch;
}

static const struct vmbus_device_ops storvsp_ops = {
	.name = "storvsp",
	.open = on_open,
	.ready = on_ready,
	.close = on_close,
	.reopen = on_reopen,
};

int storvsp_offer_queue(struct storvsp *sp, unsigned index)
{
	struct vmbus_offer offer = {
		.instance = sp->config.instance,
		.flags = VMBUS_OFFER_ENUMERATE,
		.sub_channel_index = (uint16_t)index,
		.ops = &storvsp_ops,
		.dev = &sp->queue[index],
	};

	offer.type = sp->config.ide ? (struct guid)STORVSC_IDE_INTERFACE
				    : (struct guid)STORVSC_SCSI_INTERFACE;
	return vmbus_offer_channel(sp->bus, &offer, &sp->queue[index].offer);
}

void storvsp_ask_scan(struct storvsp *sp)
{
	struct storvsc_packet packet = {.operation = STORVSC_OP_ENUMERATE_BUS};
	struct vmbus_channel *ch = sp->queue[0].channel;

	sp->scan_wanted = false;
	if (!ch || sp->state != STORVSP_READY)
		return; /* a driver that sets the controller up looks by itself */
	sp->scan_wanted = vmbus_channel_send(ch, VMBUS_PACKET_INBAND, false, STORVSC_UNASKED,
					     &packet, sizeof(packet)) == -EAGAIN;
	if (!sp->in_ready)
		vmbus_channel_flush(ch);
}

/* --- life ------------------------------------------------------------------------------- */

struct storvsp *storvsp_new(struct vmbus *bus, const struct storvsp_config *config)
{
	struct storvsp *sp = calloc(1, sizeof(*sp));

	if (!sp)
		return NULL;
	assert(config->sub_channels_max < STORVSP_QUEUES_MAX);
	sp->bus = bus;
	sp->config = *config;
	list_init(&sp->kicks);
	for (unsigned i = 0; i < STORVSP_QUEUES_MAX; i++) {
		sp->queue[i].sp = sp;
		list_init(&sp->queue[i].unsent);
	}
	if (storvsp_requests_init(sp) < 0 || storvsp_offer_queue(sp, 0) < 0) {
		storvsp_free(sp);
		return NULL;
	}
	return sp;
}

void storvsp_free(struct storvsp *sp)
{
	if (!sp)
		return;
	if (sp->queue[0].offer)
		vmbus_rescind(sp->queue[0].offer);
	assert(sp->inflight == 0);
	storvsp_units_done(sp);
	storvsp_requests_done(sp);
	free(sp);
}

unsigned storvsp_inflight(const struct storvsp *sp)
{
	return sp->inflight;
}

unsigned storvsp_held(const struct storvsp *sp)
{
	return sp->held;
}
