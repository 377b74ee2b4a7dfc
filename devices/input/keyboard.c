/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Role, trust, threads, invariants: see keyboard.h. */
#include "devices/input/keyboard.h"

#include <errno.h>
#include <stdlib.h>

#include "base/cursor.h"
#include "base/state.h"
#include "base/util.h"

#define VERSION KEYBOARD_VERSION(1, 0)

enum keyboard_phase {
	KEYBOARD_CLOSED,
	KEYBOARD_OPENED, /* no version is agreed on */
	KEYBOARD_READY,
};

struct keyboard {
	struct vmbus_channel *channel;
	unsigned phase; /* enum keyboard_phase */
	uint16_t leds;
	uint64_t sent;
	struct keyboard_response response; /* type 0: none waits for room in the ring */
	unsigned first, count;             /* of the queue */
	struct keystroke queue[KEYBOARD_QUEUE];
};

static const char *const labels[] = {
	[KEYBOARD_CLOSED] = "closed",
	[KEYBOARD_OPENED] = "opened",
	[KEYBOARD_READY] = "ready",
};

/* A guest may ask for a version again, another one too. */
static const uint32_t next[] = {
	[KEYBOARD_CLOSED] = STATE_BIT(KEYBOARD_OPENED),
	[KEYBOARD_OPENED] = STATE_BIT(KEYBOARD_READY) | STATE_BIT(KEYBOARD_CLOSED),
	[KEYBOARD_READY] = STATE_BIT(KEYBOARD_OPENED) | STATE_BIT(KEYBOARD_CLOSED),
};

static const struct state_table states = {
	.name = "keyboard",
	.count = ARRAY_LEN(labels),
	.labels = labels,
	.next = next,
};

int keyboard_decode(const uint8_t *payload, size_t len, struct keyboard_message *ret_message)
{
	struct cursor c = cursor_of(payload, len);
	struct keyboard_message m = {.type = (enum keyboard_message_type)cursor_u32(&c)};

	switch (m.type) {
	case KEYBOARD_REQUEST:
		m.version = cursor_u32(&c);
		break;
	case KEYBOARD_LEDS:
		m.leds = cursor_u16(&c);
		break;
	case KEYBOARD_RESPONSE:
	case KEYBOARD_EVENT:
	default:
		return cursor_ok(&c) ? -ENOTSUP : -EPROTO;
	}
	if (!cursor_ok(&c))
		return -EPROTO;
	*ret_message = m;
	return 0;
}

static int send(struct keyboard *k, const void *message, uint32_t len)
{
	return vmbus_channel_send(k->channel, VMBUS_PACKET_INBAND, false, 0, message, len);
}

/* Sends what waits, as far as there is room. */
static void drain(struct keyboard *k)
{
	if (k->response.type) {
		if (send(k, &k->response, sizeof(k->response)) < 0)
			return;
		if (k->response.status == KEYBOARD_ACCEPTED)
			state_move(&states, &k->phase, KEYBOARD_READY);
		k->response.type = 0;
	}
	while (k->phase == KEYBOARD_READY && k->count) {
		const struct keystroke *s = &k->queue[k->first];
		struct keyboard_event event = {
			.type = KEYBOARD_EVENT, .code = s->code, .flags = s->flags};

		if (send(k, &event, sizeof(event)) < 0)
			return;
		k->first = (k->first + 1) % KEYBOARD_QUEUE;
		k->count--;
		k->sent++;
	}
}

static void handle(struct keyboard *k, const struct vmbus_packet *packet)
{
	struct keyboard_message m;

	if (packet->type != VMBUS_PACKET_INBAND)
		return; /* the driver completes nothing that we ask for */
	if (keyboard_decode(packet->payload, packet->payload_len, &m) < 0) {
		vmbus_channel_fault(k->channel, "a packet that is no message of a keyboard");
		return;
	}
	if (packet->wants_completion) /* nobody is known to wait for it, should there be no room */
		(void)vmbus_channel_complete(k->channel, packet->transaction, NULL, 0);
	if (m.type == KEYBOARD_LEDS) {
		k->leds = m.leds;
		return;
	}
	if (k->phase == KEYBOARD_READY)
		state_move(&states, &k->phase, KEYBOARD_OPENED);
	k->count = 0;
	k->response = (struct keyboard_response){
		.type = KEYBOARD_RESPONSE,
		.status = m.version == VERSION ? KEYBOARD_ACCEPTED : 0,
	};
	drain(k);
}

static void on_ready(void *dev, struct vmbus_channel *ch)
{
	struct keyboard *k = dev;
	struct vmbus_packet packet;

	drain(k);
	while (vmbus_channel_receive(ch, &packet) == 0)
		handle(k, &packet);
}

static void on_close(void *dev, struct vmbus_channel *ch)
{
	struct keyboard *k = dev;

	(void)ch;
	state_move(&states, &k->phase, KEYBOARD_CLOSED);
	k->count = 0;
	k->leds = 0;
	k->response.type = 0;
}

static int on_open(void *dev, struct vmbus_channel *ch, const uint8_t *user)
{
	struct keyboard *k = dev;
	int r;

	(void)user;
	if (k->phase != KEYBOARD_CLOSED) /* a saved state told so of a channel that was not open */
		on_close(k, ch);
	r = state_move(&states, &k->phase, KEYBOARD_OPENED);
	if (r < 0)
		return r;
	k->channel = ch;
	k->sent = 0;
	return 0;
}

static void on_reopen(void *dev, struct vmbus_channel *ch)
{
	struct keyboard *k = dev;

	k->channel = ch;
	if (k->phase == KEYBOARD_CLOSED)
		vmbus_channel_fault(ch, "its channel was open and the keyboard was not");
}

static const struct vmbus_device_ops device = {
	.name = "keyboard",
	.open = on_open,
	.ready = on_ready,
	.close = on_close,
	.reopen = on_reopen,
};

int keyboard_press(struct keyboard *k, const struct keystroke *strokes, unsigned count)
{
	if (k->phase != KEYBOARD_READY || !vmbus_channel_is_open(k->channel))
		return -ENOTCONN;
	if (count > KEYBOARD_QUEUE - k->count)
		return -ENOSPC;
	for (unsigned i = 0; i < count; i++)
		k->queue[(k->first + k->count++) % KEYBOARD_QUEUE] = strokes[i];
	drain(k);
	vmbus_channel_flush(k->channel);
	return 0;
}

void keyboard_state(const struct keyboard *k, struct keyboard_state *ret_state)
{
	*ret_state = (struct keyboard_state){
		.label = state_label(&states, k->phase),
		.sent = k->sent,
		.waiting = k->count,
		.leds = k->leds,
	};
}

int keyboard_new(struct vmbus *bus, struct keyboard **ret_keyboard)
{
	struct keyboard *k = calloc(1, sizeof(*k));
	struct vmbus_offer offer = {
		.type = KEYBOARD_TYPE,
		.instance = KEYBOARD_INSTANCE,
		.ops = &device,
		.dev = k,
	};
	int r;

	if (!k)
		return -ENOMEM;
	r = vmbus_offer_channel(bus, &offer, &k->channel);
	if (r < 0) {
		free(k);
		return r;
	}
	*ret_keyboard = k;
	return 0;
}

void keyboard_free(struct keyboard *k)
{
	if (!k)
		return;
	vmbus_rescind(k->channel);
	free(k);
}

/* What waits is for a guest that drives the keyboard. */
static bool fits(const struct keyboard *k)
{
	const struct keyboard_response *p = &k->response;

	if (p->type ? p->type != KEYBOARD_RESPONSE ||
			      (p->status != 0 && p->status != KEYBOARD_ACCEPTED) ||
			      k->phase != KEYBOARD_OPENED
		    : p->status != 0)
		return false;
	return (!k->count || k->phase == KEYBOARD_READY) &&
	       (!k->leds || k->phase != KEYBOARD_CLOSED);
}

static void queue_fields(struct keyboard *k, struct record *r)
{
	record_limited(r, "keystrokes", &k->count, KEYBOARD_QUEUE);
	for (unsigned i = 0; i < k->count && record_ok(r); i++) {
		struct keystroke *s = &k->queue[(k->first + i) % KEYBOARD_QUEUE];

		record_u16(r, "code", &s->code);
		record_u16(r, "flags", &s->flags);
	}
}

void keyboard_record(struct keyboard *k, struct record *r)
{
	struct keyboard copy = *k;
	uint32_t type = k->response.type, status = type ? k->response.status : 0;

	record_limited(r, "phase", &copy.phase, KEYBOARD_READY);
	record_u16(r, "leds", &copy.leds);
	record_u32(r, "response_type", &type);
	record_u32(r, "response_status", &status);
	copy.response = (struct keyboard_response){.type = type, .status = status};
	queue_fields(&copy, r);
	if (!fits(&copy))
		record_refuse(r, "what waits does not fit its phase '%s'",
			      state_label(&states, copy.phase));
	if (record_end(r) == 0 && r->reads)
		*k = copy;
}
