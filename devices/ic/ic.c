/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Role, trust, threads, invariants: see ic.h.
 *
 * Versions go out from low to high, as Hyper-V sends them: the oldest guests look at places in the
 * list and not at values.
 */
#include "devices/ic/ic.h"

#include <errno.h>
#include <string.h>

#include "base/cursor.h"
#include "base/state.h"
#include "base/util.h"

#define IC_HEADERS (sizeof(struct ic_pipe_header) + sizeof(struct ic_header))

static const uint32_t framework_versions[] = {IC_VERSION(1, 0), IC_VERSION(3, 0)};

static const char *const labels[] = {
	[IC_CLOSED] = "closed",   [IC_OPENED] = "opened",   [IC_NEGOTIATING] = "negotiating",
	[IC_IDLE] = "idle",       [IC_WAITING] = "waiting", [IC_REFUSED] = "refused",
	[IC_FAULTED] = "faulted",
};

#define END (STATE_BIT(IC_CLOSED) | STATE_BIT(IC_FAULTED))

static const uint32_t next[] = {
	[IC_CLOSED] = STATE_BIT(IC_OPENED),
	[IC_OPENED] = STATE_BIT(IC_NEGOTIATING) | END,
	[IC_NEGOTIATING] = STATE_BIT(IC_IDLE) | STATE_BIT(IC_REFUSED) | END,
	[IC_IDLE] = STATE_BIT(IC_WAITING) | END,
	[IC_WAITING] = STATE_BIT(IC_IDLE) | END,
	[IC_REFUSED] = END,
	[IC_FAULTED] = STATE_BIT(IC_CLOSED),
};

static const struct state_table states = {
	.name = "integration component",
	.count = ARRAY_LEN(labels),
	.labels = labels,
	.next = next,
};

int ic_decode(const uint8_t *payload, size_t len, struct ic_message *ret_msg)
{
	struct cursor c = cursor_of(payload, len);
	const void *pipe_bytes = cursor_take(&c, sizeof(struct ic_pipe_header));
	const void *header_bytes = cursor_take(&c, sizeof(struct ic_header));
	struct ic_pipe_header pipe;
	struct ic_message msg;

	if (!cursor_ok(&c))
		return -EPROTO;
	memcpy(&pipe, pipe_bytes, sizeof(pipe));
	memcpy(&msg.header, header_bytes, sizeof(msg.header));
	if (pipe.type != IC_PIPE_DATA || pipe.len_bytes < sizeof(msg.header) ||
	    pipe.len_bytes - sizeof(msg.header) > c.left ||
	    msg.header.body_bytes > pipe.len_bytes - sizeof(msg.header))
		return -EPROTO;
	msg.body = c.at;
	*ret_msg = msg;
	return 0;
}

static struct ic_version version_of(uint32_t v)
{
	return (struct ic_version){.major = (uint16_t)(v >> 16), .minor = (uint16_t)v};
}

static int send(struct ic *ic, uint16_t type, const void *body, size_t len)
{
	uint8_t packet[IC_HEADERS + IC_BODY_MAX];
	struct ic_pipe_header pipe = {
		.type = IC_PIPE_DATA,
		.len_bytes = (uint32_t)(sizeof(struct ic_header) + len),
	};
	struct ic_header header = {
		.framework = version_of(ic->framework_version),
		.type = type,
		.message = version_of(ic->message_version),
		.body_bytes = (uint16_t)len,
		.transaction = (uint8_t)(ic->transaction + 1),
		.flags = IC_FLAG_TRANSACTION | IC_FLAG_REQUEST,
	};
	int r;

	memcpy(packet, &pipe, sizeof(pipe));
	memcpy(packet + sizeof(pipe), &header, sizeof(header));
	memcpy(packet + IC_HEADERS, body, len);
	r = vmbus_channel_send(ic->channel, VMBUS_PACKET_INBAND, false, header.transaction, packet,
			       (uint32_t)(IC_HEADERS + len));
	if (r < 0)
		return r;
	ic->transaction = header.transaction;
	vmbus_channel_flush(ic->channel);
	return 0;
}

static void negotiate(struct ic *ic)
{
	struct {
		struct ic_negotiate head;
		struct ic_version versions[ARRAY_LEN(framework_versions) + IC_VERSIONS_MAX];
	} OYA_PACKED body = {
		.head.framework_count = ARRAY_LEN(framework_versions),
		.head.message_count = (uint16_t)ic->service->version_count,
	};
	unsigned count = 0;

	for (unsigned i = 0; i < ARRAY_LEN(framework_versions); i++)
		body.versions[count++] = version_of(framework_versions[i]);
	for (unsigned i = 0; i < ic->service->version_count && i < IC_VERSIONS_MAX; i++)
		body.versions[count++] = version_of(ic->service->versions[i]);
	/* Without room the state stays and the bus calls again. */
	if (send(ic, IC_NEGOTIATE, &body, sizeof(body.head) + count * sizeof(body.versions[0])) ==
	    0)
		state_move(&states, &ic->state, IC_NEGOTIATING);
}

static bool offered(const uint32_t *versions, unsigned count, uint32_t v)
{
	for (unsigned i = 0; i < count; i++) {
		if (versions[i] == v)
			return true;
	}
	return false;
}

static int negotiate_answer(struct ic *ic, const struct ic_message *msg)
{
	struct cursor c = cursor_of(msg->body, msg->header.body_bytes);
	uint16_t framework_count = cursor_u16(&c);
	uint16_t message_count = cursor_u16(&c);
	uint32_t framework, message;

	cursor_u32(&c);
	if (!cursor_ok(&c))
		return -EPROTO;
	if (framework_count != 1 || message_count != 1)
		return state_move(&states, &ic->state, IC_REFUSED);
	framework = (uint32_t)cursor_u16(&c) << 16;
	framework |= cursor_u16(&c);
	message = (uint32_t)cursor_u16(&c) << 16;
	message |= cursor_u16(&c);
	if (!cursor_ok(&c) ||
	    !offered(framework_versions, ARRAY_LEN(framework_versions), framework) ||
	    !offered(ic->service->versions, ic->service->version_count, message))
		return -EPROTO;
	ic->framework_version = framework;
	ic->message_version = message;
	state_move(&states, &ic->state, IC_IDLE);
	ic->ops->ready(ic->owner);
	return 0;
}

static int handle_answer(struct ic *ic, const struct ic_message *msg)
{
	uint16_t type = ic->state == IC_NEGOTIATING ? IC_NEGOTIATE : ic->service->request_type;

	/* The services have no requests of the guest; what is no answer is of no use. */
	if (!(msg->header.flags & IC_FLAG_RESPONSE))
		return 0;
	if ((ic->state != IC_NEGOTIATING && ic->state != IC_WAITING) || msg->header.type != type ||
	    msg->header.transaction != ic->transaction)
		return -EPROTO;
	if (ic->state == IC_NEGOTIATING)
		return negotiate_answer(ic, msg);
	state_move(&states, &ic->state, IC_IDLE);
	return ic->ops->answer(ic->owner, msg);
}

static void handle_packet(struct ic *ic, const struct vmbus_packet *packet)
{
	struct ic_message msg;

	if (packet->type != VMBUS_PACKET_INBAND ||
	    ic_decode(packet->payload, packet->payload_len, &msg) < 0)
		vmbus_channel_fault(ic->channel, "a packet that is no message");
	else if (handle_answer(ic, &msg) < 0)
		vmbus_channel_fault(ic->channel, "an answer of type %u that does not fit",
				    msg.header.type);
}

void ic_on_ready(void *dev, struct vmbus_channel *ch)
{
	struct ic *ic = dev;
	struct vmbus_packet packet;

	if (ic->state == IC_OPENED)
		negotiate(ic);
	while (vmbus_channel_receive(ch, &packet) == 0)
		handle_packet(ic, &packet);
	if (vmbus_channel_is_open(ch))
		return;
	ic->framework_version = ic->message_version = 0;
	if (state_move(&states, &ic->state, IC_FAULTED) == 0)
		ic->ops->closed(ic->owner);
}

int ic_on_open(void *dev, struct vmbus_channel *ch, const uint8_t *user)
{
	struct ic *ic = dev;
	int r;

	(void)user;
	if (ic->state != IC_CLOSED) /* a saved state told so of a channel that was not open */
		ic_on_close(ic, ch);
	r = state_move(&states, &ic->state, IC_OPENED);
	if (r < 0)
		return r;
	ic->channel = ch;
	return 0; /* the bus calls ready(), where the first message goes out */
}

void ic_on_close(void *dev, struct vmbus_channel *ch)
{
	struct ic *ic = dev;
	bool told = ic->state == IC_FAULTED;

	(void)ch;
	ic->framework_version = ic->message_version = 0;
	if (state_move(&states, &ic->state, IC_CLOSED) == 0 && !told)
		ic->ops->closed(ic->owner);
}

void ic_on_reopen(void *dev, struct vmbus_channel *ch)
{
	struct ic *ic = dev;

	ic->channel = ch;
	if (ic->state == IC_CLOSED || ic->state == IC_FAULTED)
		vmbus_channel_fault(ch, "its channel was open and the service was not");
}

struct ic_fields ic_fields(const struct ic *ic, struct record *r)
{
	struct ic_fields f = {ic->state, ic->transaction, ic->framework_version,
			      ic->message_version};

	record_limited(r, "state", &f.state, IC_FAULTED);
	record_u8(r, "transaction", &f.transaction);
	record_u32(r, "framework_version", &f.framework_version);
	record_u32(r, "message_version", &f.message_version);
	if (ic_agreed(&f) ? !offered(framework_versions, ARRAY_LEN(framework_versions),
				     f.framework_version) ||
				    !offered(ic->service->versions, ic->service->version_count,
					     f.message_version)
			  : f.framework_version || f.message_version)
		record_refuse(r, "its versions do not fit its state");
	return f;
}

void ic_apply(struct ic *ic, const struct ic_fields *f)
{
	ic->state = f->state;
	ic->transaction = f->transaction;
	ic->framework_version = f->framework_version;
	ic->message_version = f->message_version;
}

int ic_init(struct ic *ic, struct vmbus *bus, const struct ic_service *service,
	    const struct ic_ops *ops, void *owner)
{
	struct vmbus_offer offer = {
		.type = service->type,
		.instance = service->instance,
		.pipe = true,
		.ops = &service->device,
		.dev = ic,
	};

	memset(ic, 0, sizeof(*ic));
	ic->ops = ops;
	ic->service = service;
	ic->owner = owner;
	return vmbus_offer_channel(bus, &offer, &ic->channel);
}

void ic_done(struct ic *ic)
{
	if (ic->channel)
		vmbus_rescind(ic->channel);
	ic->channel = NULL;
}

int ic_request(struct ic *ic, const void *body, size_t len)
{
	int r;

	if (len > IC_BODY_MAX)
		return -EMSGSIZE;
	if (ic->state == IC_WAITING)
		return -EBUSY;
	if (!state_allows(&states, ic->state, IC_WAITING))
		return -ENOTCONN;
	r = send(ic, ic->service->request_type, body, len);
	if (r == 0)
		state_move(&states, &ic->state, IC_WAITING);
	return r;
}

enum ic_state ic_state(const struct ic *ic)
{
	return (enum ic_state)ic->state;
}

const char *ic_state_label(const struct ic *ic)
{
	return state_label(&states, ic->state);
}

uint32_t ic_message_version(const struct ic *ic)
{
	return ic->message_version;
}
