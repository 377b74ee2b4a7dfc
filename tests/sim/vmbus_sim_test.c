/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest and its host on one bus, step after random step: contact, open, send, answer late,
 * close, tear down, rescind, offer anew, unload. The guest is honest, and as lazy as Linux is: it
 * signals only from empty to not empty, and looks at a ring only when signalled, so that a lost
 * wake-up shows as an answer that never comes.
 *
 * OYA_SIM_SEED and OYA_SIM_STEPS choose another run.
 *
 * Invariants, after each step or each time that everything has come to rest:
 *  1. each packet is answered exactly once, unless its channel closed;
 *  2. relids are unique among the offers that the guest knows;
 *  3. a device is open exactly while its channel is;
 *  4. no channel is ever faulted;
 *  5. at the end nothing is left (the leak sanitizer tells).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bytes.h"
#include "base/util.h"
#include "tests/lib/vmguest.h"

#define STEPS_DEFAULT 200000u
#define DEVICES 6u
#define RELIDS 24u /* areas of guest RAM; rescinded ones may wait for their release */
#define RING_PAGES 2u
#define RING_BYTES (RING_PAGES * 4096u)
#define AREA_PAGES (2 * (RING_PAGES + 1))
#define HELD_MAX 40u /* answers that a device keeps back */
#define IN_FLIGHT_MAX 512u
#define REST_PERIOD 500u /* steps between two times of rest */
#define ROUNDS_MAX 10000u

#define MUST(condition) must(condition, #condition, __LINE__)

struct sim;

struct device {
	struct sim *sim;
	struct vmbus_channel *offered, *open;
	bool late;    /* keeps answers back */
	bool asleep;  /* takes no packets */
	bool starved; /* left packets in the ring for want of room */
	uint64_t held[HELD_MAX];
	unsigned held_count;
};

enum view { /* of the guest, for each relid */
	    VIEW_UNKNOWN,
	    VIEW_OFFERED,
	    VIEW_GPADL_WAITS,
	    VIEW_GPADL,
	    VIEW_OPEN_WAITS,
	    VIEW_OPEN,
	    VIEW_TEARDOWN_WAITS,
};

struct view_channel {
	enum view state;
	uint32_t gpadl;
	uint64_t signals_seen;
	bool blocked; /* waits for room in the upstream ring */
	unsigned in_flight;
	uint64_t transaction[IN_FLIGHT_MAX];
};

struct sim {
	struct vmguest *g;
	struct device device[DEVICES];
	struct view_channel view[RELIDS];
	bool connected, connecting;
	uint64_t seed, random, steps, step;
	uint64_t next_transaction;
	uint32_t next_gpadl;
	uint64_t sent, answered, lost, opens, rescinds, unloads;
};

static struct sim *current;

static void must(bool condition, const char *what, int line)
{
	if (condition)
		return;
	printf("not ok 1 - a_random_guest_and_host_keep_the_invariants\n"
	       "# line %d: %s; seed %llu, step %llu\n",
	       line, what, (unsigned long long)current->seed, (unsigned long long)current->step);
	fflush(stdout);
	abort();
}

static uint32_t draw(struct sim *s, uint32_t below)
{
	s->random ^= s->random << 13;
	s->random ^= s->random >> 7;
	s->random ^= s->random << 17;
	return (uint32_t)(s->random >> 20) % below;
}

/* ---- the host's devices ---- */

static void flush_held(struct device *d, unsigned leave)
{
	while (d->open && d->held_count > leave) {
		if (vmbus_channel_complete(d->open, d->held[0], "answer", 6) < 0)
			return;
		memmove(d->held, d->held + 1, --d->held_count * sizeof(d->held[0]));
	}
}

static int device_open(void *dev, struct vmbus_channel *ch, const uint8_t *user)
{
	struct device *d = dev;

	(void)user;
	MUST(!d->open && !d->held_count);
	d->open = ch;
	d->starved = false;
	return 0;
}

static void device_ready(void *dev, struct vmbus_channel *ch)
{
	struct device *d = dev;
	struct vmbus_packet p;

	MUST(d->open == ch);
	flush_held(d, d->late ? HELD_MAX / 2 : 0);
	d->starved = d->asleep || d->held_count == HELD_MAX;
	while (!d->starved && vmbus_channel_receive(ch, &p) == 0) {
		MUST(p.payload_len >= 8 && le64_load(p.payload) == p.transaction);
		if (!p.wants_completion)
			continue;
		d->held[d->held_count++] = p.transaction;
		if (!d->late)
			flush_held(d, 0);
		d->starved = d->held_count == HELD_MAX;
	}
}

static void device_close(void *dev, struct vmbus_channel *ch)
{
	struct device *d = dev;

	MUST(d->open == ch);
	d->open = NULL;
	d->held_count = 0;
}

static const struct vmbus_device_ops device_ops = {
	.name = "sim", .open = device_open, .ready = device_ready, .close = device_close};

static void host_answers(struct device *d, unsigned leave)
{
	if (!d->open)
		return;
	flush_held(d, leave);
	vmbus_channel_flush(d->open);
	if (d->starved && !d->asleep && d->held_count < HELD_MAX)
		vmbus_channel_resume(d->open);
}

static void host_offers(struct device *d)
{
	struct vmbus_offer offer = {.ops = &device_ops, .dev = d};

	if (!d->offered)
		MUST(vmbus_offer_channel(d->sim->g->bus, &offer, &d->offered) == 0);
}

static void host_rescinds(struct device *d)
{
	struct vmbus_channel *ch = d->offered;

	if (!ch)
		return;
	d->offered = NULL;
	d->sim->rescinds++;
	vmbus_rescind(ch);
	MUST(!d->open);
}

/* ---- the guest ---- */

static struct vmbus_ring_control *up_of(struct sim *s, uint32_t relid)
{
	return vmguest_at(s->g, (1 + relid * AREA_PAGES) * UINT64_C(4096));
}

static struct vmbus_ring_control *down_of(struct sim *s, uint32_t relid)
{
	return vmguest_at(s->g, (1 + relid * AREA_PAGES + AREA_PAGES / 2) * UINT64_C(4096));
}

static void forget(struct sim *s, struct view_channel *v)
{
	s->lost += v->in_flight;
	v->in_flight = 0;
	v->blocked = false;
}

static void send_relid(struct sim *s, uint32_t type, uint32_t relid)
{
	struct vmbus_msg_relid msg = {.header.type = type, .relid = relid};

	vmbus_message(s->g->bus, 4, &msg, sizeof(msg));
}

static void guest_registers(struct sim *s, uint32_t relid)
{
	uint8_t msg[28 + AREA_PAGES * 8] = {0};
	struct vmbus_msg_gpadl_header head = {
		.header.type = VMBUS_MSG_GPADL_HEADER,
		.relid = relid,
		.gpadl = ++s->next_gpadl,
		.range_bytes = 8 + AREA_PAGES * 8,
		.range_count = 1,
	};

	memset(up_of(s, relid), 0, AREA_PAGES * 4096u);
	memcpy(msg, &head, sizeof(head));
	le32_store(msg + 20, AREA_PAGES * 4096u);
	for (uint32_t i = 0; i < AREA_PAGES; i++)
		le64_store(msg + 28 + i * 8, 1 + relid * AREA_PAGES + i);
	s->view[relid].gpadl = head.gpadl;
	s->view[relid].state = VIEW_GPADL_WAITS;
	vmbus_message(s->g->bus, 4, msg, sizeof(msg));
}

static void guest_opens(struct sim *s, uint32_t relid)
{
	struct vmbus_msg_open msg = {
		.header.type = VMBUS_MSG_OPEN,
		.relid = relid,
		.open_id = relid,
		.ring_gpadl = s->view[relid].gpadl,
		.target_vp = draw(s, VMGUEST_VPS),
		.downstream_page = AREA_PAGES / 2,
	};

	memset(up_of(s, relid), 0, AREA_PAGES * 4096u);
	s->view[relid].state = VIEW_OPEN_WAITS;
	vmbus_message(s->g->bus, 4, &msg, sizeof(msg));
}

static void guest_closes(struct sim *s, uint32_t relid)
{
	send_relid(s, VMBUS_MSG_CLOSE, relid);
	forget(s, &s->view[relid]);
	s->view[relid].state = VIEW_GPADL;
}

static void guest_tears_down(struct sim *s, uint32_t relid)
{
	struct vmbus_msg_gpadl_teardown msg = {.header.type = VMBUS_MSG_GPADL_TEARDOWN,
					       .relid = relid,
					       .gpadl = s->view[relid].gpadl};

	s->view[relid].state = VIEW_TEARDOWN_WAITS;
	vmbus_message(s->g->bus, 4, &msg, sizeof(msg));
}

static void guest_kicks(struct sim *s, uint32_t relid)
{
	vmbus_signal(s->g->bus, VMBUS_SIGNAL_CONNECTION_BASE + relid);
}

static void put(uint8_t *data, uint32_t at, const void *bytes, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++)
		data[(at + i) % RING_BYTES] = ((const uint8_t *)bytes)[i];
}

static uint32_t room_of(const struct vmbus_ring_control *c)
{
	return RING_BYTES - (c->write_index + RING_BYTES - c->read_index) % RING_BYTES;
}

/* One packet; when the ring has no room, asks for a signal as Linux does. A `post` wants no answer,
 * so that nothing but the room in the ring can wake its sender. */
static void guest_sends(struct sim *s, uint32_t relid, bool post)
{
	struct view_channel *v = &s->view[relid];
	struct vmbus_ring_control *up = up_of(s, relid);
	uint8_t *data = (uint8_t *)up + 4096;
	uint32_t total = 24 + draw(s, 120) * 8, before = up->write_index;
	uint64_t id = ++s->next_transaction;
	struct vmbus_packet_header head = {
		.type = VMBUS_PACKET_INBAND,
		.offset8 = 2,
		.length8 = (uint16_t)(total / 8),
		.flags = post ? 0 : VMBUS_PACKET_WANTS_COMPLETION,
		.transaction = id,
	};

	if (v->blocked || v->in_flight == IN_FLIGHT_MAX)
		return;
	if (room_of(up) <= total + 8) {
		up->pending_send_bytes = total + 8;
		v->blocked = true;
		return;
	}
	put(data, before, &head, sizeof(head));
	put(data, before + 16, &id, sizeof(id));
	up->write_index = (before + total + 8) % RING_BYTES;
	if (!post) {
		v->transaction[v->in_flight++] = id;
		s->sent++;
	}
	if (!up->interrupt_mask && up->read_index == before)
		guest_kicks(s, relid);
}

static void guest_gets_answer(struct sim *s, struct view_channel *v, uint64_t id)
{
	unsigned n = 0;

	while (n < v->in_flight && v->transaction[n] != id)
		n++;
	MUST(n < v->in_flight); /* else never sent, or answered twice */
	v->transaction[n] = v->transaction[--v->in_flight];
	s->answered++;
}

/* Everything in the ring, when the host signalled. */
static void guest_receives(struct sim *s, uint32_t relid)
{
	struct view_channel *v = &s->view[relid];
	struct vmbus_ring_control *down = down_of(s, relid), *up = up_of(s, relid);
	struct vmguest_channel ch = {.guest = s->g,
				     .relid = relid,
				     .up_gpa = (uint64_t)((uint8_t *)up - s->g->ram),
				     .down_gpa = (uint64_t)((uint8_t *)down - s->g->ram),
				     .ring_len = RING_BYTES};
	uint32_t before = room_of(down), wanted;
	struct vmguest_packet p;

	if (v->state != VIEW_OPEN || s->g->signals[relid] == v->signals_seen)
		return;
	v->signals_seen = s->g->signals[relid];
	down->interrupt_mask = 1;
	while (vmguest_receive(&ch, &p)) {
		MUST(p.type == VMBUS_PACKET_COMPLETION && p.len == 8);
		guest_gets_answer(s, v, p.transaction);
	}
	down->interrupt_mask = 0;
	if (v->blocked && room_of(up) > up->pending_send_bytes) {
		v->blocked = false;
		up->pending_send_bytes = 0;
	}
	wanted = down->pending_send_bytes;
	if (wanted && before <= wanted && room_of(down) > wanted)
		guest_kicks(s, relid);
}

/* As a new kernel: what was said before is gone. */
static void guest_starts_anew(struct sim *s)
{
	for (uint32_t relid = 0; relid < RELIDS; relid++) {
		forget(s, &s->view[relid]);
		s->view[relid].state = VIEW_UNKNOWN;
	}
	s->g->inbox_count = 0;
	s->connected = s->connecting = false;
}

static void guest_contacts(struct sim *s)
{
	struct vmbus_msg_initiate_contact msg = {.header.type = VMBUS_MSG_INITIATE_CONTACT,
						 .version = VMBUS_VERSION(5, 3)};

	guest_starts_anew(s);
	s->connecting = true;
	vmbus_message(s->g->bus, 4, &msg, sizeof(msg));
}

static void guest_unloads(struct sim *s)
{
	struct vmbus_msg_header msg = {.type = VMBUS_MSG_UNLOAD};

	guest_starts_anew(s);
	s->unloads++;
	vmbus_message(s->g->bus, 4, &msg, sizeof(msg));
}

static void guest_releases(struct sim *s, uint32_t relid)
{
	struct view_channel *v = &s->view[relid];

	MUST(v->state != VIEW_UNKNOWN);
	forget(s, v);
	send_relid(s, VMBUS_MSG_CLOSE, relid);
	guest_tears_down(s, relid); /* an answer to it is ignored later */
	v->state = VIEW_UNKNOWN;
	send_relid(s, VMBUS_MSG_RELID_RELEASED, relid);
}

static void on_offer(struct sim *s, const struct vmguest_message *m)
{
	uint32_t relid = le32_load(m->bytes + offsetof(struct vmbus_msg_offer, relid));

	MUST(relid && relid < RELIDS && s->view[relid].state == VIEW_UNKNOWN);
	s->view[relid].state = VIEW_OFFERED;
}

static void on_answer(struct sim *s, uint32_t relid, enum view waits, enum view good, enum view bad,
		      uint32_t status)
{
	struct view_channel *v = &s->view[relid];

	MUST(relid < RELIDS);
	if (v->state == waits)
		v->state = status ? bad : good;
	if (v->state == VIEW_OPEN && waits == VIEW_OPEN_WAITS) {
		s->opens++;
		v->signals_seen = s->g->signals[relid] - 1; /* it may have come already */
	}
}

static void on_torn_down(struct sim *s, uint32_t gpadl)
{
	for (uint32_t relid = 0; relid < RELIDS; relid++) {
		if (s->view[relid].state == VIEW_TEARDOWN_WAITS && s->view[relid].gpadl == gpadl)
			s->view[relid].state = VIEW_OFFERED;
	}
}

static bool guest_reads_message(struct sim *s)
{
	struct vmbus_msg_header request = {.type = VMBUS_MSG_REQUEST_OFFERS};
	struct vmguest_message m;
	uint32_t relid;

	if (!vmguest_take(s->g, &m))
		return false;
	relid = le32_load(m.bytes + 8);
	switch (le32_load(m.bytes)) {
	case VMBUS_MSG_VERSION_RESPONSE:
		MUST(s->connecting && m.bytes[8]);
		s->connecting = false;
		s->connected = true;
		vmbus_message(s->g->bus, 4, &request, sizeof(request));
		break;
	case VMBUS_MSG_OFFER:
		on_offer(s, &m);
		break;
	case VMBUS_MSG_RESCIND:
		guest_releases(s, relid);
		break;
	case VMBUS_MSG_GPADL_CREATED:
		on_answer(s, relid, VIEW_GPADL_WAITS, VIEW_GPADL, VIEW_OFFERED,
			  le32_load(m.bytes + 16));
		break;
	case VMBUS_MSG_OPEN_RESULT:
		on_answer(s, relid, VIEW_OPEN_WAITS, VIEW_OPEN, VIEW_GPADL,
			  le32_load(m.bytes + 16));
		break;
	case VMBUS_MSG_GPADL_TORNDOWN:
		on_torn_down(s, relid);
		break;
	default:
		break;
	}
	return true;
}

static void guest_acts(struct sim *s, uint32_t relid)
{
	bool post = draw(s, 3) == 0;

	switch (s->view[relid].state) {
	case VIEW_OFFERED:
		guest_registers(s, relid);
		break;
	case VIEW_GPADL:
		if (draw(s, 4))
			guest_opens(s, relid);
		else
			guest_tears_down(s, relid);
		break;
	case VIEW_OPEN:
		if (draw(s, 60) == 0)
			guest_closes(s, relid);
		else if (draw(s, 200) == 0)
			guest_tears_down(s, relid), forget(s, &s->view[relid]);
		else
			for (unsigned n = draw(s, 40); n; n--)
				guest_sends(s, relid, post);
		break;
	default:
		break;
	}
}

/* ---- the course of things ---- */

static void run_deferred(struct sim *s)
{
	if (!s->g->deferred)
		return;
	s->g->deferred = false;
	vmbus_run_deferred(s->g->bus);
}

static void check(struct sim *s)
{
	struct vmbus_channel_info info;
	unsigned open = 0, live = 0;

	for (uint32_t relid = 1; vmbus_channel_info(s->g->bus, &relid, &info) == 0; relid++)
		live += strcmp(info.state, "open") == 0;
	for (unsigned i = 0; i < DEVICES; i++)
		open += s->device[i].open != NULL;
	MUST(live == open);
	MUST(s->g->faults == 0);
}

static bool holds_answers(const struct sim *s)
{
	for (unsigned i = 0; i < DEVICES; i++) {
		if (s->device[i].held_count)
			return true;
	}
	return false;
}

/* Nothing new is begun until nobody has anything to do; then every packet has its answer. */
static void come_to_rest(struct sim *s)
{
	uint64_t before, after = 0;
	unsigned rounds = 0;

	s->g->slot_busy = false;
	vmbus_slot_free(s->g->bus);
	do {
		before = after;
		while (guest_reads_message(s))
			;
		for (unsigned i = 0; i < DEVICES; i++) {
			s->device[i].asleep = false;
			host_answers(&s->device[i], 0);
		}
		run_deferred(s);
		for (uint32_t relid = 1; relid < RELIDS; relid++)
			guest_receives(s, relid);
		after = s->answered;
		MUST(++rounds < ROUNDS_MAX);
	} while (before != after || s->g->deferred || s->g->inbox_count || holds_answers(s));
	for (uint32_t relid = 1; relid < RELIDS; relid++) {
		struct view_channel *v = &s->view[relid];

		if (v->state == VIEW_OPEN)
			MUST(v->in_flight == 0 && !v->blocked);
	}
}

static void one_step(struct sim *s)
{
	struct device *d = &s->device[draw(s, DEVICES)];
	uint32_t relid = 1 + draw(s, DEVICES + 3), what = draw(s, 1000);

	if (what < 450)
		guest_acts(s, relid);
	else if (what < 700)
		guest_receives(s, relid);
	else if (what < 800)
		guest_reads_message(s);
	else if (what < 880)
		run_deferred(s);
	else if (what < 940)
		host_answers(d, draw(s, HELD_MAX));
	else if (what < 950)
		d->late = !d->late;
	else if (what < 960)
		d->asleep = !d->asleep;
	else if (what < 970)
		host_offers(d);
	else if (what < 974)
		host_rescinds(d);
	else if (what < 985)
		s->g->slot_busy = !s->g->slot_busy, vmbus_slot_free(s->g->bus);
	else if (what == 999 && draw(s, 4) == 0)
		guest_unloads(s);
	else if (what == 998 || (!s->connected && !s->connecting))
		guest_contacts(s);
}

static uint64_t from_environment(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text && *text ? strtoull(text, NULL, 0) : otherwise;
}

int main(void)
{
	static struct sim sim;
	struct sim *s = current = &sim;

	s->seed = from_environment("OYA_SIM_SEED", (uint64_t)time(NULL));
	s->steps = from_environment("OYA_SIM_STEPS", STEPS_DEFAULT);
	s->random = s->seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
	printf("1..1\n# seed %llu, %llu steps\n", (unsigned long long)s->seed,
	       (unsigned long long)s->steps);
	s->g = vmguest_new((1 + RELIDS * AREA_PAGES) * UINT64_C(4096), 0);
	for (unsigned i = 0; i < DEVICES; i++) {
		s->device[i].sim = s;
		host_offers(&s->device[i]);
	}
	for (s->step = 1; s->step <= s->steps; s->step++) {
		one_step(s);
		check(s);
		if (s->step % REST_PERIOD == 0)
			come_to_rest(s);
	}
	come_to_rest(s);
	for (unsigned i = 0; i < DEVICES; i++)
		host_rescinds(&s->device[i]);
	vmguest_free(s->g);
	for (uint32_t relid = 0; relid < RELIDS; relid++)
		forget(s, &s->view[relid]);
	MUST(s->sent == s->answered + s->lost);
	printf("# %llu sent, %llu answered, %llu lost with their channel, %llu opens, "
	       "%llu rescinds, %llu unloads\n"
	       "ok 1 - a_random_guest_and_host_keep_the_invariants\n",
	       (unsigned long long)s->sent, (unsigned long long)s->answered,
	       (unsigned long long)s->lost, (unsigned long long)s->opens,
	       (unsigned long long)s->rescinds, (unsigned long long)s->unloads);
	return 0;
}
