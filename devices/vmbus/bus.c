/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The bus: connection, versions, messages from and to the guest.
 *
 * States: disconnected -> connected (a version was agreed on) -> offered (the guest has asked for
 * the offers). INITIATE_CONTACT in any state begins anew, as a kexec'd kernel expects; UNLOAD and
 * a reset of the partition go back to disconnected.
 *
 * Trust: messages come as private copies; each handler takes its struct from a bounded cursor.
 */
#include "devices/vmbus/bus.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"
#include "base/util.h"
#include "devices/vmbus/internal.h"

static const char *const bus_labels[] = {
	[BUS_DISCONNECTED] = "disconnected",
	[BUS_CONNECTED] = "connected",
	[BUS_OFFERED] = "offered",
};

static const uint32_t bus_next[] = {
	[BUS_DISCONNECTED] = STATE_BIT(BUS_CONNECTED) | STATE_BIT(BUS_DISCONNECTED),
	[BUS_CONNECTED] = STATE_BIT(BUS_OFFERED) | STATE_BIT(BUS_DISCONNECTED),
	[BUS_OFFERED] = STATE_BIT(BUS_DISCONNECTED),
};

static const struct state_table bus_states = {
	.name = "VMBus connection",
	.count = ARRAY_LEN(bus_labels),
	.labels = bus_labels,
	.next = bus_next,
};

/* Newest first. */
static const uint32_t versions[] = {
	VMBUS_VERSION(5, 3), VMBUS_VERSION(5, 2), VMBUS_VERSION(5, 1), VMBUS_VERSION(5, 0),
	VMBUS_VERSION(4, 1), VMBUS_VERSION(4, 0), VMBUS_VERSION(3, 0), VMBUS_VERSION(2, 4),
};

int vmbus_new(const struct vmbus_config *config, struct vmbus **ret_bus)
{
	struct vmbus *bus = calloc(1, sizeof(*bus));

	if (!bus)
		return -ENOMEM;
	bus->config = *config;
	if (!bus->config.max_version)
		bus->config.max_version = versions[0];
	list_init(&bus->gpadls);
	list_init(&bus->queue);
	*ret_bus = bus;
	return 0;
}

void bus_drop_queue(struct vmbus *bus)
{
	struct list *at;

	while ((at = list_pop(&bus->queue)))
		free(CONTAINER_OF(at, struct queued_message, link));
	bus->queue_len = 0;
}

void vmbus_free(struct vmbus *bus)
{
	if (!bus)
		return;
	vmbus_reset(bus);
	for (uint32_t relid = 1; relid < bus->relid_end; relid++) {
		if (bus->channel[relid])
			channel_release(bus->channel[relid]);
	}
	free(bus);
}

void bus_post_queued(struct vmbus *bus)
{
	while (!list_empty(&bus->queue)) {
		struct queued_message *m =
			CONTAINER_OF(bus->queue.next, struct queued_message, link);

		if (bus->config.world->post(bus->config.world_ctx, bus->target_vp, m->bytes,
					    m->len) < 0)
			return;
		list_remove(&m->link);
		bus->queue_len--;
		free(m);
	}
}

/* Queues a message for the guest and posts what the slot takes. A guest that never reads its
 * messages loses the newest ones. */
void bus_send(struct vmbus *bus, const void *message, size_t len)
{
	struct queued_message *m = bus->queue_len < VMBUS_QUEUE_MAX ? malloc(sizeof(*m)) : NULL;

	if (!m) {
		guestlog_say(bus->config.log, "vmbus", "a message is lost: %u wait already",
			     bus->queue_len);
		return;
	}
	memcpy(m->bytes, message, len);
	m->len = len;
	list_append(&bus->queue, &m->link);
	bus->queue_len++;
	bus_post_queued(bus);
}

void bus_defer(struct vmbus *bus)
{
	if (bus->deferred)
		return;
	bus->deferred = true;
	bus->config.world->defer(bus->config.world_ctx);
}

void vmbus_slot_free(struct vmbus *bus)
{
	bus_post_queued(bus);
}

void vmbus_run_deferred(struct vmbus *bus)
{
	bus->deferred = false;
	for (uint32_t relid = 1; relid < bus->relid_end; relid++) {
		struct vmbus_channel *ch = bus->channel[relid];

		if (ch && ch->resume) {
			ch->resume = false;
			channel_service(ch);
		}
	}
}

int vmbus_signal(struct vmbus *bus, uint32_t connection_id)
{
	struct vmbus_channel *ch =
		connection_id > VMBUS_SIGNAL_CONNECTION_BASE
			? channel_by_relid(bus, connection_id - VMBUS_SIGNAL_CONNECTION_BASE)
			: NULL;

	if (!ch)
		return -ENOENT;
	ch->kicks++;
	channel_service(ch);
	return 0;
}

/* Everything of the guest's connection goes; the offers stay. */
static void bus_disconnect(struct vmbus *bus)
{
	for (uint32_t relid = 1; relid < bus->relid_end; relid++) {
		struct vmbus_channel *ch = bus->channel[relid];

		if (!ch)
			continue;
		channel_close(ch);
		if (ch->state == CHANNEL_RESCINDED)
			channel_release(ch);
		else
			ch->state = CHANNEL_UNSEEN;
	}
	while (!list_empty(&bus->gpadls))
		gpadl_free(bus, CONTAINER_OF(bus->gpadls.next, struct gpadl, link));
	bus_drop_queue(bus);
	bus->state = BUS_DISCONNECTED;
	bus->version = 0;
}

void vmbus_reset(struct vmbus *bus)
{
	bus_disconnect(bus);
	bus->target_vp = 0;
	/* What was put off went with the channels, and the world may have forgotten that we asked:
	 * the next one must ask again. */
	bus->deferred = false;
}

bool bus_version_known(const struct vmbus *bus, uint32_t version)
{
	for (size_t i = 0; i < ARRAY_LEN(versions); i++) {
		if (versions[i] == version)
			return version <= bus->config.max_version;
	}
	return false;
}

static bool version_offered(const struct vmbus *bus, uint32_t version, uint32_t connection_id)
{
	uint32_t expected =
		version >= VMBUS_VERSION(5, 0) ? VMBUS_CONNECTION_ID_V5 : VMBUS_CONNECTION_ID;

	return connection_id == expected && bus_version_known(bus, version);
}

static void on_initiate_contact(struct vmbus *bus, uint32_t connection_id,
				const struct vmbus_msg_initiate_contact *msg)
{
	struct vmbus_msg_version_response answer = {
		.header.type = VMBUS_MSG_VERSION_RESPONSE,
	};

	bus_disconnect(bus);
	bus->target_vp = msg->target_vp < bus->config.vp_count ? msg->target_vp : 0;
	if (bus->target_vp == msg->target_vp && version_offered(bus, msg->version, connection_id)) {
		state_move(&bus_states, &bus->state, BUS_CONNECTED);
		bus->version = msg->version;
		answer.supported = 1;
		answer.status = VMBUS_CONNECTION_OK;
		answer.connection_id = connection_id;
		guestlog_say(bus->config.log, "vmbus", "the guest connected, version %u.%u",
			     msg->version >> 16, msg->version & 0xffff);
	}
	bus_send(bus, &answer, sizeof(answer));
}

static void on_request_offers(struct vmbus *bus)
{
	struct vmbus_msg_header end = {.type = VMBUS_MSG_ALL_OFFERS_DELIVERED};

	if (state_move(&bus_states, &bus->state, BUS_OFFERED) < 0)
		return;
	for (uint32_t relid = 1; relid < bus->relid_end; relid++) {
		if (bus->channel[relid] && bus->channel[relid]->state == CHANNEL_UNSEEN)
			channel_announce(bus->channel[relid]);
	}
	bus_send(bus, &end, sizeof(end));
}

static void on_open(struct vmbus *bus, const struct vmbus_msg_open *msg)
{
	struct vmbus_channel *ch = channel_by_relid(bus, msg->relid);
	struct vmbus_msg_open_result refusal = {
		.header.type = VMBUS_MSG_OPEN_RESULT,
		.relid = msg->relid,
		.open_id = msg->open_id,
		.status = VMBUS_OPEN_FAILED,
	};

	if (ch && ch->state != CHANNEL_UNSEEN)
		channel_open(ch, msg);
	else
		bus_send(bus, &refusal, sizeof(refusal));
}

static void on_modify(struct vmbus *bus, const struct vmbus_msg_modify_channel *msg)
{
	struct vmbus_channel *ch = channel_by_relid(bus, msg->relid);
	struct vmbus_msg_modify_channel_response answer = {
		.header.type = VMBUS_MSG_MODIFY_CHANNEL_RESPONSE,
		.relid = msg->relid,
	};

	if (ch && ch->state == CHANNEL_OPEN && msg->target_vp < bus->config.vp_count)
		ch->target_vp = msg->target_vp;
	else
		answer.status = VMBUS_OPEN_FAILED;
	if (bus->version >= VMBUS_VERSION(5, 3))
		bus_send(bus, &answer, sizeof(answer));
}

static void on_relid(struct vmbus *bus, uint32_t type, const struct vmbus_msg_relid *msg)
{
	struct vmbus_channel *ch = channel_by_relid(bus, msg->relid);

	if (!ch)
		return;
	if (type == VMBUS_MSG_CLOSE)
		channel_close(ch);
	else if (ch->state == CHANNEL_RESCINDED)
		channel_release(ch);
}

static void on_unload(struct vmbus *bus)
{
	struct vmbus_msg_header answer = {.type = VMBUS_MSG_UNLOAD_RESPONSE};

	bus_disconnect(bus);
	bus_send(bus, &answer, sizeof(answer));
}

/* The shortest message of each type that is taken from a guest; 0: not taken. */
static size_t message_min(uint32_t type)
{
	switch (type) {
	case VMBUS_MSG_REQUEST_OFFERS:
	case VMBUS_MSG_UNLOAD:
		return sizeof(struct vmbus_msg_header);
	case VMBUS_MSG_OPEN:
		return sizeof(struct vmbus_msg_open);
	case VMBUS_MSG_CLOSE:
	case VMBUS_MSG_RELID_RELEASED:
		return sizeof(struct vmbus_msg_relid);
	case VMBUS_MSG_GPADL_HEADER:
		return sizeof(struct vmbus_msg_gpadl_header);
	case VMBUS_MSG_GPADL_BODY:
		return sizeof(struct vmbus_msg_gpadl_body);
	case VMBUS_MSG_GPADL_TEARDOWN:
		return sizeof(struct vmbus_msg_gpadl_teardown);
	case VMBUS_MSG_INITIATE_CONTACT:
		return sizeof(struct vmbus_msg_initiate_contact);
	case VMBUS_MSG_MODIFY_CHANNEL:
		return sizeof(struct vmbus_msg_modify_channel);
	default:
		return 0;
	}
}

/* Any message but contact and unload needs a connection. */
static void bus_dispatch(struct vmbus *bus, uint32_t type, const uint8_t *bytes, size_t len)
{
	union {
		struct vmbus_msg_open open;
		struct vmbus_msg_relid relid;
		struct vmbus_msg_gpadl_teardown teardown;
		struct vmbus_msg_modify_channel modify;
	} msg;
	struct cursor c = cursor_of(bytes, len);

	cursor_copy_padded(&c, &msg, sizeof(msg));
	switch (type) {
	case VMBUS_MSG_REQUEST_OFFERS:
		on_request_offers(bus);
		break;
	case VMBUS_MSG_OPEN:
		on_open(bus, &msg.open);
		break;
	case VMBUS_MSG_CLOSE:
	case VMBUS_MSG_RELID_RELEASED:
		on_relid(bus, type, &msg.relid);
		break;
	case VMBUS_MSG_GPADL_HEADER:
		gpadl_on_header(bus, bytes, len);
		break;
	case VMBUS_MSG_GPADL_BODY:
		gpadl_on_body(bus, bytes, len);
		break;
	case VMBUS_MSG_GPADL_TEARDOWN:
		gpadl_on_teardown(bus, &msg.teardown);
		break;
	case VMBUS_MSG_MODIFY_CHANNEL:
		on_modify(bus, &msg.modify);
		break;
	default:
		break;
	}
}

int vmbus_message(struct vmbus *bus, uint32_t connection_id, const void *message, size_t len)
{
	uint32_t type;
	size_t min;

	if (len < sizeof(struct vmbus_msg_header) || len > VMBUS_MESSAGE_MAX)
		return -EINVAL;
	type = le32_load(message);
	min = message_min(type);
	if (!min || len < min) {
		guestlog_say(bus->config.log, "vmbus", "message of type %u and %zu bytes refused",
			     type, len);
		return -EINVAL;
	}
	if (type == VMBUS_MSG_INITIATE_CONTACT) {
		struct vmbus_msg_initiate_contact msg;

		memcpy(&msg, message, sizeof(msg));
		on_initiate_contact(bus, connection_id, &msg);
	} else if (type == VMBUS_MSG_UNLOAD) {
		on_unload(bus);
	} else if (bus->state != BUS_DISCONNECTED) {
		bus_dispatch(bus, type, message, len);
	}
	return 0;
}

int vmbus_channel_info(const struct vmbus *bus, uint32_t *relid,
		       struct vmbus_channel_info *ret_info)
{
	for (uint32_t i = *relid; i < bus->relid_end; i++) {
		const struct vmbus_channel *ch = bus->channel[i];

		if (!ch)
			continue;
		*relid = i;
		*ret_info = (struct vmbus_channel_info){
			.relid = i,
			.device = ch->offer.ops->name,
			.state = state_label(&channel_states, ch->state),
			.sub_channel_index = ch->offer.sub_channel_index,
			.packets_in = ch->packets_in,
			.packets_out = ch->packets_out,
			.kicks = ch->kicks,
			.signals = ch->signals,
			.ring_full = ch->ring_full,
		};
		return 0;
	}
	return -ENOENT;
}

uint32_t vmbus_version(const struct vmbus *bus)
{
	return bus->version;
}

const struct gmem *vmbus_gmem(const struct vmbus *bus)
{
	return bus->config.gmem;
}

const struct guestlog *vmbus_log(const struct vmbus *bus)
{
	return bus->config.log;
}
