/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A hostile guest on the channels of the integration components: it opens and closes, lets time
 * pass, answers honestly up to changes of single bytes, and sends messages of its own.
 *
 * Input: records: operation (u8), channel (u8), length (u16), then that many bytes.
 */
#include <errno.h>
#include <string.h>

#include "base/cursor.h"
#include "devices/ic/heartbeat.h"
#include "devices/ic/kvp.h"
#include "devices/ic/shutdown.h"
#include "devices/ic/timesync.h"
#include "fuzz/harness.h"
#include "tests/lib/vmguest.h"

#define CHANNELS 4u
#define STEPS_MAX 100u
#define RAM_BYTES (UINT64_C(256) << 10)
#define RECORD_MAX 2700u

struct world {
	struct vmguest *g;
	struct timerq timers;
	uint64_t now_ns;
	struct heartbeat *hb;
	struct shutdown *sd;
	struct timesync *ts;
	struct kvp *kvp;
	uint32_t relid[CHANNELS];
	bool open[CHANNELS];
	struct vmguest_channel ch[CHANNELS];
	struct vmguest_packet packet[CHANNELS]; /* taken last */
	int requests;                           /* shutdowns that wait for their end */
};

static uint64_t monotonic(void *ctx)
{
	const struct world *w = ctx;

	return w->now_ns;
}

static uint64_t wall(void *ctx)
{
	const struct world *w = ctx;

	return UINT64_C(1700000000000000000) + w->now_ns;
}

static uint64_t reference(void *ctx)
{
	return monotonic(ctx) / 100;
}

static void answered(void *ctx, int result, uint32_t status)
{
	struct world *w = ctx;

	(void)result;
	(void)status;
	w->requests--;
	must(w->requests == 0);
}

static const struct clock_ops clock_ops = {.monotonic_ns = monotonic, .wall_ns = wall};
static const struct timesync_host timesync_host = {.reference_100ns = reference};
static const struct shutdown_host shutdown_host = {.answered = answered};

static void start(struct world *w)
{
	static const struct guid types[CHANNELS] = {
		IC_HEARTBEAT_TYPE,
		IC_SHUTDOWN_TYPE,
		IC_TIMESYNC_TYPE,
		IC_KVP_TYPE,
	};
	struct ic_env env = {.timers = &w->timers, .clock = &clock_ops, .clock_ctx = w};

	env.bus = w->g->bus;
	timerq_init(&w->timers);
	must(heartbeat_new(&env, NULL, NULL, &w->hb) == 0);
	must(shutdown_new(&env, &shutdown_host, w, &w->sd) == 0);
	must(timesync_new(&env, &timesync_host, w, &w->ts) == 0);
	must(kvp_new(&env, &w->kvp) == 0);
	vmguest_connect(w->g);
	for (unsigned i = 0; i < CHANNELS; i++)
		w->relid[i] = vmguest_find_offer(w->g, &types[i], 0);
	for (unsigned i = 0; i < CHANNELS; i++) {
		w->open[i] = vmguest_open(w->g, w->relid[i], 3, &w->ch[i]);
		must(w->open[i]);
	}
	vmguest_run(w->g);
}

static void pass(struct world *w, uint64_t ns)
{
	uint64_t end = w->now_ns + ns;

	for (unsigned i = 0; i < 64 && timerq_next(&w->timers) <= end; i++) {
		if (timerq_next(&w->timers) > w->now_ns)
			w->now_ns = timerq_next(&w->timers);
		timerq_run(&w->timers, w->now_ns);
		vmguest_run(w->g);
	}
	if (end > w->now_ns)
		w->now_ns = end;
}

/* Room for the largest message, or the honest ring code of the test guest would overrun. */
static bool room(struct world *w, unsigned i)
{
	const struct vmbus_ring_control *up = vmguest_up(&w->ch[i]);
	uint32_t used = (up->write_index - up->read_index + w->ch[i].ring_len) % w->ch[i].ring_len;

	return up->write_index < w->ch[i].ring_len && up->read_index < w->ch[i].ring_len &&
	       w->ch[i].ring_len - used > RECORD_MAX + 64;
}

/* Sends the last message back as an answer, after changes: pairs of u16 offset, u8 value. */
static void answer(struct world *w, unsigned i, struct cursor *c)
{
	struct vmguest_packet *p = &w->packet[i];

	if (p->len < 28 || p->len > RECORD_MAX || !room(w, i))
		return;
	p->payload[25] = IC_FLAG_TRANSACTION | IC_FLAG_RESPONSE;
	if (le16_load(p->payload + 12) == IC_NEGOTIATE) {
		memmove(p->payload + 36 + 4, p->payload + p->len - 4 - p->len % 8, 4);
		le16_store(p->payload + 28, 1);
		le16_store(p->payload + 30, 1);
	} else if (i == 0) {
		le64_store(p->payload + 28, le64_load(p->payload + 28) + 1);
	}
	while (c->left >= 3) {
		uint16_t at = cursor_u16(c);
		uint8_t value = cursor_u8(c);

		p->payload[at % p->len] = value;
	}
	vmguest_send(&w->ch[i], VMBUS_PACKET_INBAND, 0, p->transaction, NULL, 0, p->payload,
		     p->len);
}

/* Sets or deletes a pair: the pool, the length of the key, then key and value. */
static void change(struct world *w, uint8_t op, struct cursor *c)
{
	enum ic_kvp_pool pool = (enum ic_kvp_pool)(cursor_u8(c) % 6);
	size_t key_len = cursor_u16(c);
	char key[RECORD_MAX + 1], value[RECORD_MAX + 1];

	key_len = key_len < c->left ? key_len : c->left;
	memcpy(key, c->at, key_len);
	key[key_len] = '\0';
	memcpy(value, c->at + key_len, c->left - key_len);
	value[c->left - key_len] = '\0';
	(void)kvp_change(w->kvp, pool, key, op & 0x80 ? NULL : value);
	vmguest_run(w->g);
}

static void step(struct world *w, uint8_t op, unsigned i, struct cursor *c)
{
	switch (op % 10) {
	case 0:
		if (w->open[i])
			vmguest_close(&w->ch[i]);
		w->open[i] = false;
		break;
	case 1: /* a bounded number of times: each takes fresh pages */
		if (!w->open[i] && w->g->next_page + (UINT64_C(64) << 10) < RAM_BYTES) {
			w->open[i] = vmguest_open(w->g, w->relid[i], 3, &w->ch[i]);
			w->packet[i].len = 0;
			vmguest_run(w->g);
		}
		break;
	case 2:
		pass(w, (uint64_t)cursor_u16(c) * UINT64_C(10000000));
		break;
	case 3:
		if (w->open[i])
			vmguest_receive(&w->ch[i], &w->packet[i]);
		break;
	case 4:
	case 5:
		if (w->open[i])
			answer(w, i, c);
		break;
	case 6:
		if (w->open[i] && room(w, i))
			vmguest_send(&w->ch[i],
				     op & 0x80 ? VMBUS_PACKET_COMPLETION : VMBUS_PACKET_INBAND, 0,
				     0, NULL, 0, c->at, (uint32_t)c->left);
		break;
	case 7:
		if (shutdown_request(w->sd, (enum shutdown_kind)(op >> 4 & 3), "why", op & 0x80) ==
		    0)
			w->requests++;
		vmguest_run(w->g);
		break;
	case 8:
		timesync_sync(w->ts);
		vmguest_run(w->g);
		break;
	case 9:
		change(w, op, c);
		break;
	}
}

static void look(const struct world *w)
{
	const char *key, *value;

	for (unsigned pool = 0; pool < IC_KVP_POOLS; pool++) {
		for (unsigned n = 0; kvp_entry(w->kvp, pool, n, &key, &value) == 0; n++) {
			must(n < KVP_ENTRIES_MAX);
			must(strlen(key) < KVP_KEY_TEXT_MAX);
			must(strlen(value) < KVP_VALUE_TEXT_MAX);
		}
	}
}

static void fuzz_decoders(const uint8_t *data, size_t size)
{
	static char key[KVP_KEY_TEXT_MAX], value[KVP_VALUE_TEXT_MAX];
	struct ic_message msg;

	if (ic_decode(data, size, &msg) == 0)
		must(msg.body >= data && msg.body + msg.header.body_bytes <= data + size);
	kvp_decode(data, size, key, value);
}

/* The services are small, and what they remember of the guest outlives a reset by design: they
 * are made anew. */
static void end(struct world *w)
{
	fuzz_tell(w->g->ram, RAM_BYTES);
	vmbus_reset(w->g->bus);
	heartbeat_free(w->hb);
	shutdown_free(w->sd);
	timesync_free(w->ts);
	kvp_free(w->kvp);
	must(timerq_next(&w->timers) == TIMERQ_NEVER);
	vmguest_reset(w->g);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct vmguest *guest;
	static struct world w;
	struct cursor c = cursor_of(data, size);

	if (!guest)
		guest = vmguest_new(RAM_BYTES, 0);
	w = (struct world){.g = guest};
	fuzz_decoders(data, size);
	start(&w);
	for (unsigned n = 0; n < STEPS_MAX && c.left >= 4; n++) {
		uint8_t op = cursor_u8(&c);
		unsigned channel = cursor_u8(&c) % CHANNELS;
		size_t len = cursor_u16(&c) % RECORD_MAX;
		struct cursor record;

		len = len < c.left ? len : c.left;
		record = cursor_of(c.at, len);
		cursor_take(&c, len);
		step(&w, op, channel, &record);
		look(&w);
	}
	end(&w);
	return 0;
}
