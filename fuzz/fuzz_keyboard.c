/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A hostile guest on the keyboard's channel, while keys are pressed; the decoders beside it.
 *
 * Input: records: operation (u8), length (u8), then that many bytes.
 */
#include <string.h>

#include "base/cursor.h"
#include "devices/input/keys.h"
#include "fuzz/harness.h"
#include "tests/lib/vmguest.h"

#define STEPS_MAX 200u
#define RAM_BYTES (UINT64_C(256) << 10)
#define RECORD_MAX 256u

struct world {
	struct vmguest *g;
	struct keyboard *k;
	uint32_t relid;
	bool open;
	struct vmguest_channel ch;
};

static void start(struct world *w)
{
	static const struct guid type = KEYBOARD_TYPE;

	must(keyboard_new(w->g->bus, &w->k) == 0);
	vmguest_connect(w->g);
	w->relid = vmguest_find_offer(w->g, &type, 0);
	w->open = vmguest_open(w->g, w->relid, 1, &w->ch);
	must(w->open);
}

static void end(struct world *w)
{
	vmbus_reset(w->g->bus);
	keyboard_free(w->k);
	fuzz_tell(w->g->ram, RAM_BYTES);
	vmguest_reset(w->g);
}

/* Room for the largest message, or the honest ring code of the test guest would overrun. */
static bool room(struct world *w)
{
	const struct vmbus_ring_control *up = vmguest_up(&w->ch);
	uint32_t used = (up->write_index - up->read_index + w->ch.ring_len) % w->ch.ring_len;

	return up->write_index < w->ch.ring_len && up->read_index < w->ch.ring_len &&
	       w->ch.ring_len - used > RECORD_MAX + 64;
}

/* Keys of a text or a chord; strokes as they come. */
static void press(struct world *w, uint8_t op, const struct cursor *c)
{
	struct keystroke strokes[KEYS_STROKES_MAX];
	char text[RECORD_MAX + 1];
	unsigned count = 0, at = 0;
	int r;

	memcpy(text, c->at, c->left);
	text[c->left] = '\0';
	r = op & 0x80 ? keys_from_chord(text, strokes, &count)
		      : keys_from_text(text, strokes, &count, &at);
	must(count <= KEYS_STROKES_MAX && at <= c->left);
	if (r == 0)
		(void)keyboard_press(w->k, strokes, count);
	vmguest_run(w->g);
}

static void step(struct world *w, uint8_t op, struct cursor *c)
{
	struct vmguest_packet packet;

	switch (op % 5) {
	case 0:
		if (w->open)
			vmguest_close(&w->ch);
		w->open = false;
		break;
	case 1: /* a bounded number of times: each takes fresh pages */
		if (!w->open && w->g->next_page + (UINT64_C(64) << 10) < RAM_BYTES)
			w->open = vmguest_open(w->g, w->relid, 1, &w->ch);
		break;
	case 2:
		if (w->open && room(w))
			vmguest_send(&w->ch,
				     op & 0x80 ? VMBUS_PACKET_COMPLETION : VMBUS_PACKET_INBAND,
				     op & 0x40 ? 1 : 0, 5, NULL, 0, c->at, (uint32_t)c->left);
		break;
	case 3:
		for (unsigned n = cursor_u8(c); w->open && n; n--) {
			if (!vmguest_receive(&w->ch, &packet))
				break;
		}
		if (w->open)
			vmguest_kick(&w->ch);
		break;
	case 4:
		press(w, op, c);
		break;
	}
	vmguest_run(w->g);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cursor c = cursor_of(data, size);
	struct keyboard_message message;
	struct keyboard_state state;
	static struct vmguest *guest;
	struct world w;

	if (!guest)
		guest = vmguest_new(RAM_BYTES, 0);
	w = (struct world){.g = guest};
	(void)keyboard_decode(data, size, &message);
	start(&w);
	for (unsigned n = 0; n < STEPS_MAX && c.left >= 2; n++) {
		uint8_t op = cursor_u8(&c);
		size_t len = cursor_u8(&c);
		struct cursor record;

		len = len < c.left ? len : c.left;
		record = cursor_of(c.at, len);
		cursor_take(&c, len);
		step(&w, op, &record);
		keyboard_state(w.k, &state);
		must(state.waiting <= KEYBOARD_QUEUE);
	}
	end(&w);
	return 0;
}
