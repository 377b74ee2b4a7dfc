/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The NIC's life and its NVSP messages; data goes on in netvsp_tx.c and netvsp_rx.c.
 *
 * Every packet that asks for a completion gets one, whatever it says: drivers wait for it
 * without a timeout. Only bytes that no driver sends fault the channel.
 */
#include "devices/net/netvsp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"
#include "base/util.h"
#include "devices/net/internal.h"

const struct guid netvsp_type = GUID_INIT(0xf8615163, 0xdf3e, 0x46c5, 0x913f, 0xf2d2f965ed0e);

static const char *const state_labels[] = {"closed", "open", "version agreed", "running"};
static const uint32_t state_next[] = {
	[NETVSP_CLOSED] = STATE_BIT(NETVSP_OPEN),
	[NETVSP_OPEN] = STATE_BIT(NETVSP_AGREED) | STATE_BIT(NETVSP_CLOSED),
	[NETVSP_AGREED] = STATE_BIT(NETVSP_RUNNING) | STATE_BIT(NETVSP_CLOSED),
	[NETVSP_RUNNING] = STATE_BIT(NETVSP_AGREED) | STATE_BIT(NETVSP_CLOSED),
};
static const struct state_table states = {
	.name = "netvsp",
	.count = ARRAY_LEN(state_labels),
	.labels = state_labels,
	.next = state_next,
};

/* Newest first. */
static const uint32_t versions[] = {
	NVSP_VERSION_6_1, NVSP_VERSION_6, NVSP_VERSION_5,
	NVSP_VERSION_4,   NVSP_VERSION_2, NVSP_VERSION_1,
};

static int pending_flush(struct netvsp_queue *q)
{
	int r;

	if (!q->pending)
		return 0;
	r = vmbus_channel_complete(q->ch, q->pending_transaction, q->pending_payload,
				   q->pending_len);
	if (r != -EAGAIN)
		q->pending = false;
	return r;
}

int netvsp_complete(struct netvsp_queue *q, uint64_t transaction, const void *message, uint32_t len,
		    uint32_t padded_len)
{
	q->pending_transaction = transaction;
	q->pending_len = padded_len;
	memset(q->pending_payload, 0, sizeof(q->pending_payload));
	memcpy(q->pending_payload, message, len);
	q->pending = true;
	return pending_flush(q);
}

static uint32_t on_init(struct netvsp *nic, const struct nvsp_init *msg, uint32_t *ret_version)
{
	for (size_t i = 0; i < ARRAY_LEN(versions); i++) {
		uint32_t v = versions[i];

		if (v < msg->min_version || v > msg->max_version)
			continue;
		/* Not again while it runs: that way leads by the revocation of its buffer. */
		if (nic->state != NETVSP_OPEN ||
		    state_move(&states, &nic->state, NETVSP_AGREED) < 0)
			return NVSP_STATUS_FAILURE;
		*ret_version = v;
		nic->message_bytes =
			v >= NVSP_VERSION_6_1 ? NVSP_MESSAGE_BYTES_V6_1 : NVSP_MESSAGE_BYTES_V1;
		return NVSP_STATUS_SUCCESS;
	}
	if (msg->min_version > versions[0])
		return NVSP_STATUS_VERSION_TOO_NEW;
	if (msg->max_version < versions[ARRAY_LEN(versions) - 1])
		return NVSP_STATUS_VERSION_TOO_OLD;
	return NVSP_STATUS_VERSION_UNSUPPORTED;
}

static uint32_t on_receive_buffer(struct netvsp *nic, const struct nvsp_buffer *msg)
{
	if (!state_allows(&states, nic->state, NETVSP_RUNNING))
		return NVSP_STATUS_FAILURE;
	if (netvsp_rx_buffer(nic, msg->gpadl, msg->id) < 0)
		return NVSP_STATUS_FAILURE;
	return state_move(&states, &nic->state, NETVSP_RUNNING) < 0 ? NVSP_STATUS_FAILURE
								    : NVSP_STATUS_SUCCESS;
}

static void on_revoke_receive_buffer(struct netvsp *nic)
{
	if (nic->state != NETVSP_RUNNING)
		return;
	netvsp_rx_revoke(nic);
	(void)state_move(&states, &nic->state, NETVSP_AGREED);
}

static uint32_t on_send_buffer(struct netvsp *nic, const struct nvsp_buffer *msg)
{
	int64_t len;

	if (nic->state < NETVSP_AGREED || nic->tx_sections)
		return NVSP_STATUS_FAILURE;
	len = vmbus_gpadl_len(nic->queue[0].ch, msg->gpadl);
	if (len < NETVSP_SEND_SECTION_BYTES)
		return NVSP_STATUS_FAILURE;
	nic->tx_gpadl = msg->gpadl;
	nic->tx_sections =
		(uint32_t)min_u64((uint64_t)len / NETVSP_SEND_SECTION_BYTES, NVSP_NO_SECTION - 1);
	return NVSP_STATUS_SUCCESS;
}

/* A message as it came, zeros behind its end. */
union message {
	uint32_t type;
	struct nvsp_init init;
	struct nvsp_buffer buffer;
	struct nvsp_rndis rndis;
	struct nvsp_ndis_config config;
	struct nvsp_sub_channel sub_channel;
	uint8_t bytes[NVSP_MESSAGE_BYTES_V6_1];
};

union answer {
	struct nvsp_init_complete init;
	struct nvsp_receive_buffer_complete receive_buffer;
	struct nvsp_send_buffer_complete send_buffer;
	struct nvsp_rndis_complete rndis;
	struct nvsp_sub_channel sub_channel;
};

static void answer_receive_buffer(struct netvsp *nic, const union message *msg, union answer *out)
{
	struct nvsp_receive_buffer_complete c = {
		.type = NVSP_MSG_RECEIVE_BUFFER_COMPLETE,
		.status = on_receive_buffer(nic, &msg->buffer),
	};

	if (c.status == NVSP_STATUS_SUCCESS) {
		c.part_count = 1;
		c.section_bytes = nic->section_bytes;
		c.section_count = nic->section_count;
		c.end_offset = nic->section_bytes * nic->section_count;
	}
	out->receive_buffer = c;
}

static void answer_sub_channel(struct netvsp *nic, const union message *msg, union answer *out)
{
	uint32_t count = 0;

	if (msg->sub_channel.operation == NVSP_SUB_CHANNEL_ALLOCATE)
		count = netvsp_sub_allocate(nic, msg->sub_channel.count);
	out->sub_channel = (struct nvsp_sub_channel){
		.type = NVSP_MSG_SUB_CHANNEL,
		.operation = count ? NVSP_STATUS_SUCCESS : NVSP_STATUS_FAILURE,
		.count = count,
	};
}

/* Acts on a message of the primary channel; the length of its answer before padding, 0 for an empty
 * completion. */
static uint32_t act(struct netvsp *nic, const struct vmbus_packet *packet, const union message *msg,
		    union answer *out)
{
	uint32_t version = 0;

	switch (msg->type) {
	case NVSP_MSG_INIT:
		out->init.type = NVSP_MSG_INIT_COMPLETE;
		out->init.max_mdl_chain = NETVSP_MDL_CHAIN_MAX;
		out->init.status = on_init(nic, &msg->init, &version);
		out->init.version = version;
		return sizeof(out->init);
	case NVSP_MSG_RECEIVE_BUFFER:
		answer_receive_buffer(nic, msg, out);
		return sizeof(out->receive_buffer);
	case NVSP_MSG_REVOKE_RECEIVE_BUFFER:
		on_revoke_receive_buffer(nic);
		return 0;
	case NVSP_MSG_SEND_BUFFER:
		out->send_buffer.type = NVSP_MSG_SEND_BUFFER_COMPLETE;
		out->send_buffer.status = on_send_buffer(nic, &msg->buffer);
		if (out->send_buffer.status == NVSP_STATUS_SUCCESS)
			out->send_buffer.section_bytes = NETVSP_SEND_SECTION_BYTES;
		return sizeof(out->send_buffer);
	case NVSP_MSG_REVOKE_SEND_BUFFER:
		nic->tx_sections = 0;
		return 0;
	case NVSP_MSG_RNDIS:
		out->rndis.type = NVSP_MSG_RNDIS_COMPLETE;
		out->rndis.status = netvsp_tx_transfer(nic, packet, &msg->rndis);
		return sizeof(out->rndis);
	case NVSP_MSG_SUB_CHANNEL:
		answer_sub_channel(nic, msg, out);
		return sizeof(out->sub_channel);
	case NVSP_MSG_NDIS_CONFIG:
		nic->capabilities = msg->config.capabilities;
		return 0;
	case NVSP_MSG_NDIS_VERSION:
	case NVSP_MSG_SWITCH_DATA_PATH:
		return 0;
	default:
		guestlog_say(vmbus_log(nic->bus), "netvsp", "unknown NVSP message %u", msg->type);
		return 0;
	}
}

static int on_message(struct netvsp_queue *q, const struct vmbus_packet *packet)
{
	struct netvsp *nic = q->nic;
	struct cursor c = cursor_of(packet->payload, packet->payload_len);
	union message msg;
	union answer answer = {0};
	uint32_t len = 0, padded;

	if (cursor_copy_padded(&c, &msg, sizeof(msg)) < sizeof(msg.type)) {
		vmbus_channel_fault(q->ch, "an NVSP message without a type");
		return -EPROTO;
	}
	/* A sub-channel carries data only. */
	if (q == &nic->queue[0] || msg.type == NVSP_MSG_RNDIS)
		len = act(nic, packet, &msg, &answer);
	if (!packet->wants_completion)
		return 0;
	padded = msg.type == NVSP_MSG_INIT ? NVSP_MESSAGE_BYTES_V1 : nic->message_bytes;
	return netvsp_complete(q, packet->transaction, &answer, len, len ? padded : 0);
}

static int on_packet(struct netvsp_queue *q, const struct vmbus_packet *packet)
{
	switch (packet->type) {
	case VMBUS_PACKET_COMPLETION:
		return netvsp_rx_completed(q, packet->transaction);
	case VMBUS_PACKET_INBAND:
	case VMBUS_PACKET_GPA_DIRECT:
		return on_message(q, packet);
	default:
		vmbus_channel_fault(q->ch, "a packet of type %u", packet->type);
		return -EPROTO;
	}
}

static int queue_service(struct netvsp_queue *q)
{
	struct vmbus_packet packet;
	int r = pending_flush(q);

	for (unsigned i = 0; r == 0 && i < NETVSP_BURST; i++) {
		r = vmbus_channel_receive(q->ch, &packet);
		if (r == 0)
			r = on_packet(q, &packet);
	}
	if (r == 0)
		vmbus_channel_resume(q->ch);
	return r;
}

/* Acknowledgements are often there as soon as the frames have been sent. */
static void pull(struct netvsp *nic)
{
	if (nic->sent && nic->port->ops->pull)
		nic->port->ops->pull(nic->port->ctx);
	nic->sent = false;
}

static void netvsp_ready(void *dev, struct vmbus_channel *ch)
{
	struct netvsp_queue *q = dev;

	if (q->ch != ch)
		return;
	queue_service(q);
	pull(q->nic);
	netvsp_reply_flush(q->nic);
	netvsp_rx_update_features(q->nic);
	netvsp_rx_update_want(q->nic);
}

static void drain(struct netvsp_queue *q)
{
	while (queue_service(q) == 0)
		;
	vmbus_channel_flush(q->ch);
}

static int sub_open(struct netvsp_queue *q, struct vmbus_channel *ch)
{
	if (!q->nic->queue[0].ch || !q->offer)
		return -EPROTO;
	q->ch = ch;
	q->pending = false;
	netvsp_rx_forget(q);
	netvsp_sub_opened(q->nic);
	return 0;
}

static int netvsp_open(void *dev, struct vmbus_channel *ch, const uint8_t *user)
{
	struct netvsp_queue *q = dev;
	int r;

	(void)user;
	if (q != &q->nic->queue[0])
		return sub_open(q, ch);
	netvsp_state_forget(q->nic);
	r = state_move(&states, &q->nic->state, NETVSP_OPEN);
	if (r < 0)
		return r;
	q->ch = ch;
	q->pending = false;
	q->nic->message_bytes = NVSP_MESSAGE_BYTES_V1;
	q->nic->capabilities = 0;
	rndis_device_reset(&q->nic->rndis);
	return 0;
}

static void netvsp_close(void *dev, struct vmbus_channel *ch)
{
	struct netvsp_queue *q = dev;
	struct netvsp *nic = q->nic;

	if (q->ch != ch)
		return;
	if (q != &nic->queue[0]) {
		netvsp_rx_forget(q);
		q->ch = NULL;
		q->pending = false;
		netvsp_rx_update_want(nic);
		return;
	}
	on_revoke_receive_buffer(nic);
	nic->tx_sections = 0;
	rndis_device_reset(&nic->rndis);
	(void)state_move(&states, &nic->state, NETVSP_CLOSED);
	netvsp_sub_rescind(nic);
	q->ch = NULL;
	q->pending = false;
	netvsp_rx_update_features(nic);
	netvsp_rx_update_want(nic);
}

const struct vmbus_device_ops netvsp_ops = {
	.name = "netvsp",
	.open = netvsp_open,
	.ready = netvsp_ready,
	.close = netvsp_close,
	.reopen = netvsp_reopen,
};

static bool config_complete(struct netvsp_config *c)
{
	if (!c->mtu)
		c->mtu = NETVSP_MTU_DEFAULT;
	if (!c->link_mbps)
		c->link_mbps = 10000;
	if (!c->queues)
		c->queues = 1;
	return c->mtu >= NETVSP_MTU_MIN && c->mtu <= NETVSP_MTU_MAX && c->queues <= NETVSP_QUEUES;
}

/* Room for the longest frame that is not coalesced; more where frames are longer than that. */
static uint32_t section_bytes(const struct netvsp *nic, unsigned features)
{
	uint32_t least = features & (NETPORT_TCP4 | NETPORT_TCP6) ? NETVSP_LONG_SECTION_BYTES
								  : NETVSP_SECTION_BYTES;
	uint32_t bytes = (uint32_t)align_up(nic->frame_max + RNDIS_HEAD_ROOM, 64);

	return bytes < least ? least : bytes;
}

static struct netvsp *netvsp_alloc(const struct netvsp_config *config, unsigned features)
{
	struct netvsp *nic = calloc(1, sizeof(*nic));

	if (!nic)
		return NULL;
	nic->config = *config;
	nic->generation = calloc(NETVSP_SECTIONS_MAX, sizeof(*nic->generation));
	nic->free_stack = calloc(NETVSP_SECTIONS_MAX, sizeof(*nic->free_stack));
	nic->next = calloc(NETVSP_SECTIONS_MAX, sizeof(*nic->next));
	if (!nic->generation || !nic->free_stack || !nic->next || !config_complete(&nic->config)) {
		netvsp_free(nic);
		return NULL;
	}
	nic->frame_max = nic->config.mtu + ETHERNET_HEADER + ETHERNET_TAG;
	nic->section_bytes = section_bytes(nic, features);
	nic->queues = 1;
	for (unsigned i = 0; i < NETVSP_QUEUES; i++)
		nic->queue[i].nic = nic;
	nic->rndis.mtu = nic->config.mtu;
	nic->rndis.link_mbps = nic->config.link_mbps;
	nic->rndis.link_up = true;
	nic->rndis.features = features;
	nic->rndis.queues = nic->config.queues;
	nic->rndis.stats = &nic->stats;
	memcpy(nic->rndis.mac, config->mac, sizeof(nic->rndis.mac));
	rndis_device_reset(&nic->rndis);
	return nic;
}

struct netvsp *netvsp_new(struct vmbus *bus, const struct netvsp_config *config,
			  struct netport *port)
{
	struct netvsp *nic = netvsp_alloc(config, port->features);
	struct vmbus_offer offer = {
		.type = netvsp_type,
		.instance = config->instance,
		.flags = VMBUS_OFFER_ENUMERATE,
		.ops = &netvsp_ops,
	};

	if (!nic)
		return NULL;
	offer.dev = &nic->queue[0];
	nic->bus = bus;
	if (vmbus_offer_channel(bus, &offer, &nic->queue[0].offer) < 0) {
		netvsp_free(nic);
		return NULL;
	}
	nic->port = port;
	port->sink = (struct netport_sink){
		.receive = netvsp_rx_frame,
		.room = netvsp_rx_room,
		.receive_placed = netvsp_rx_placed,
		.flush = netvsp_rx_flush,
		.owner = nic,
	};
	nic->wanting = true;
	port->ops->want(port->ctx, true);
	return nic;
}

void netvsp_free(struct netvsp *nic)
{
	if (!nic)
		return;
	/* A driver that loses its device waits for what it has sent. */
	for (unsigned i = 0; i < nic->queues; i++) {
		if (nic->queue[i].ch)
			drain(&nic->queue[i]);
	}
	netvsp_sub_rescind(nic);
	if (nic->queue[0].offer)
		vmbus_rescind(nic->queue[0].offer);
	if (nic->port)
		nic->port->sink = (struct netport_sink){0};
	free(nic->generation);
	free(nic->free_stack);
	free(nic->next);
	free(nic);
}

void netvsp_set_link(struct netvsp *nic, bool up)
{
	unsigned state = nic->kept ? nic->kept : nic->state;
	struct netvsp_reply *slot;

	if (nic->rndis.link_up == up)
		return;
	nic->rndis.link_up = up;
	/* A driver that has not come so far asks for the link's state itself. */
	if (state != NETVSP_RUNNING || nic->rndis.state == RNDIS_UNINITIALIZED)
		return;
	slot = netvsp_reply_slot(nic);
	if (!slot)
		return;
	netvsp_reply_queue(nic, rndis_link_message(&nic->rndis, slot->bytes));
	if (nic->queue[0].ch)
		vmbus_channel_flush(nic->queue[0].ch);
}

bool netvsp_link(const struct netvsp *nic)
{
	return nic->rndis.link_up;
}

const struct netvsp_stats *netvsp_get_stats(const struct netvsp *nic)
{
	return &nic->stats;
}
