/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/lib/vmguest.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/util.h"

#define PAGE 4096u

static void must(bool condition, const char *what)
{
	if (condition)
		return;
	fprintf(stderr, "vmguest: %s\n", what);
	abort();
}

static int world_post(void *ctx, uint32_t vp, const void *message, size_t len)
{
	struct vmguest *g = ctx;
	struct vmguest_message *m;

	must(vp < VMGUEST_VPS && len <= VMBUS_MESSAGE_MAX, "the host posts out of bounds");
	if (g->slot_busy || g->inbox_count == VMGUEST_INBOX)
		return -EAGAIN;
	m = &g->inbox[(g->inbox_first + g->inbox_count++) % VMGUEST_INBOX];
	m->len = len;
	memcpy(m->bytes, message, len);
	return 0;
}

static void world_signal(void *ctx, uint32_t vp, uint32_t flag)
{
	struct vmguest *g = ctx;

	must(vp < VMGUEST_VPS && flag < ARRAY_LEN(g->signals), "the host signals out of bounds");
	g->signals[flag]++;
}

static int world_bind(void *ctx, uint32_t connection_id)
{
	(void)ctx;
	(void)connection_id;
	return 0;
}

static void world_unbind(void *ctx, uint32_t connection_id)
{
	(void)ctx;
	(void)connection_id;
}

static void world_defer(void *ctx)
{
	struct vmguest *g = ctx;

	g->deferred = true;
}

static const struct vmbus_world_ops world_ops = {
	.post = world_post,
	.signal = world_signal,
	.bind_kick = world_bind,
	.unbind_kick = world_unbind,
	.defer = world_defer,
};

static void log_write(void *ctx, const char *device, const char *text)
{
	struct vmguest *g = ctx;

	if (strstr(text, "broke its protocol"))
		g->faults++;
	if (g->verbose)
		fprintf(stderr, "# %s: %s\n", device, text);
}

/* The guest's own state as it is at first. */
static void vmguest_power_on(struct vmguest *g)
{
	memset(g->ram, 0, g->ram_len);
	memset(g->signals, 0, sizeof(g->signals));
	g->next_page = PAGE;
	g->next_gpadl = 0xe1e10;
	g->inbox_first = g->inbox_count = 0;
	g->slot_busy = g->deferred = false;
	g->faults = 0;
}

void vmguest_reset(struct vmguest *g)
{
	vmbus_reset(g->bus);
	vmguest_power_on(g);
}

struct vmguest *vmguest_new(uint64_t ram_len, uint32_t max_version)
{
	struct vmguest *g = calloc(1, sizeof(*g));
	struct vmbus_config config;

	must(g != NULL, "no memory");
	g->ram = aligned_alloc(PAGE, ram_len);
	must(g->ram != NULL, "no memory");
	g->ram_len = ram_len;
	vmguest_power_on(g);
	g->log = (struct guestlog){.write = log_write, .ctx = g};
	must(gmem_add(&g->gmem, 0, ram_len, g->ram) == 0, "RAM of a wrong size");
	config = (struct vmbus_config){
		.world = &world_ops,
		.world_ctx = g,
		.gmem = &g->gmem,
		.log = &g->log,
		.vp_count = VMGUEST_VPS,
		.max_version = max_version,
	};
	must(vmbus_new(&config, &g->bus) == 0, "no memory");
	return g;
}

void vmguest_free(struct vmguest *g)
{
	if (!g)
		return;
	vmbus_free(g->bus);
	free(g->ram);
	free(g);
}

#define RECORD_ROOM (256u * 1024)

static void bus_record(struct vmguest *g, struct record *r, uint32_t relid)
{
	if (relid)
		vmbus_channel_record(g->bus, relid, r);
	else
		vmbus_record(g->bus, r);
	must(record_end(r) == 0, r->wrong);
}

/* The record of the bus, or of a channel. */
static void move_record(struct vmguest *to, struct vmguest *from, uint32_t relid)
{
	uint8_t *bytes = malloc(RECORD_ROOM);
	struct record r = record_writer(1, bytes, RECORD_ROOM);

	must(bytes != NULL, "no memory");
	bus_record(from, &r, relid);
	r = record_reader(1, bytes, r.used);
	bus_record(to, &r, relid);
	free(bytes);
}

void vmguest_go_on(struct vmguest *to, struct vmguest *from)
{
	struct vmbus_channel_info info;

	must(to->ram_len == from->ram_len, "guests of different RAM");
	memcpy(to->ram, from->ram, from->ram_len);
	to->next_page = from->next_page;
	to->next_gpadl = from->next_gpadl;
	memcpy(to->inbox, from->inbox, sizeof(to->inbox));
	to->inbox_first = from->inbox_first;
	to->inbox_count = from->inbox_count;
	to->slot_busy = from->slot_busy;
	move_record(to, from, 0);
	for (uint32_t relid = 1; vmbus_channel_info(from->bus, &relid, &info) == 0; relid++)
		move_record(to, from, relid);
	vmbus_restored(to->bus);
	vmguest_run(to);
}

uint64_t vmguest_alloc(struct vmguest *g, uint64_t bytes)
{
	uint64_t gpa = g->next_page;

	g->next_page += align_up(bytes, PAGE);
	must(g->next_page <= g->ram_len, "out of guest RAM");
	return gpa;
}

void *vmguest_at(struct vmguest *g, uint64_t gpa)
{
	return g->ram + gpa;
}

void vmguest_run(struct vmguest *g)
{
	for (int i = 0; g->deferred && i < 1000; i++) {
		g->deferred = false;
		vmbus_run_deferred(g->bus);
	}
}

int vmguest_message(struct vmguest *g, uint32_t connection, const void *msg, size_t len)
{
	int r = vmbus_message(g->bus, connection, msg, len);

	vmguest_run(g);
	return r;
}

bool vmguest_take(struct vmguest *g, struct vmguest_message *ret)
{
	if (!g->inbox_count)
		return false;
	*ret = g->inbox[g->inbox_first];
	g->inbox_first = (g->inbox_first + 1) % VMGUEST_INBOX;
	g->inbox_count--;
	vmbus_slot_free(g->bus);
	return true;
}

void vmguest_expect(struct vmguest *g, uint32_t type, struct vmguest_message *ret)
{
	while (vmguest_take(g, ret)) {
		if (le32_load(ret->bytes) == type)
			return;
	}
	must(false, "the host did not answer");
}

bool vmguest_contact(struct vmguest *g, uint32_t version)
{
	struct vmbus_msg_initiate_contact contact = {
		.header.type = VMBUS_MSG_INITIATE_CONTACT,
		.version = version,
		.interrupt_page = VMBUS_SINT,
	};
	struct vmbus_msg_version_response answer;
	struct vmguest_message m;

	vmguest_message(g, version >= VMBUS_VERSION(5, 0) ? 4 : 1, &contact, sizeof(contact));
	vmguest_expect(g, VMBUS_MSG_VERSION_RESPONSE, &m);
	memcpy(&answer, m.bytes, sizeof(answer));
	return answer.supported != 0;
}

void vmguest_connect(struct vmguest *g)
{
	struct vmbus_msg_header request = {.type = VMBUS_MSG_REQUEST_OFFERS};

	must(vmguest_contact(g, VMBUS_VERSION(5, 3)), "version 5.3 is refused");
	vmguest_message(g, 4, &request, sizeof(request));
}

uint32_t vmguest_find_offer(struct vmguest *g, const struct guid *type, unsigned nth)
{
	for (unsigned i = 0; i < g->inbox_count; i++) {
		const struct vmguest_message *m = &g->inbox[(g->inbox_first + i) % VMGUEST_INBOX];
		struct vmbus_msg_offer offer;

		if (le32_load(m->bytes) != VMBUS_MSG_OFFER)
			continue;
		memcpy(&offer, m->bytes, sizeof(offer));
		if (guid_equal(&offer.interface_type, type) && nth-- == 0)
			return offer.relid;
	}
	return 0;
}

uint32_t vmguest_gpadl(struct vmguest *g, uint32_t relid, uint64_t gpa, uint32_t bytes)
{
	uint32_t pages = (uint32_t)align_up(bytes, PAGE) / PAGE, sent = 0, n;
	uint8_t msg[VMBUS_MESSAGE_MAX] = {0};
	struct vmbus_msg_gpadl_header head = {
		.header.type = VMBUS_MSG_GPADL_HEADER,
		.relid = relid,
		.gpadl = ++g->next_gpadl,
		.range_bytes = (uint16_t)(8 + pages * 8),
		.range_count = 1,
	};
	struct vmbus_msg_gpadl_created created;
	struct vmguest_message m;
	uint32_t number = 0;

	memcpy(msg, &head, sizeof(head));
	le32_store(msg + 20, bytes);
	for (n = 0; n < 26 && sent < pages; n++, sent++)
		le64_store(msg + 28 + n * 8, gpa / PAGE + sent);
	vmguest_message(g, 4, msg, 28 + n * 8);
	while (sent < pages) {
		struct vmbus_msg_gpadl_body body = {
			.header.type = VMBUS_MSG_GPADL_BODY,
			.number = ++number,
			.gpadl = head.gpadl,
		};

		memcpy(msg, &body, sizeof(body));
		for (n = 0; n < 28 && sent < pages; n++, sent++)
			le64_store(msg + 16 + n * 8, gpa / PAGE + sent);
		vmguest_message(g, 4, msg, 16 + n * 8);
	}
	vmguest_expect(g, VMBUS_MSG_GPADL_CREATED, &m);
	memcpy(&created, m.bytes, sizeof(created));
	must(created.gpadl == head.gpadl && created.status == 0, "a GPADL is refused");
	return head.gpadl;
}

bool vmguest_open(struct vmguest *g, uint32_t relid, uint32_t ring_pages,
		  struct vmguest_channel *ret)
{
	uint32_t bytes = 2 * (ring_pages + 1) * PAGE;
	uint64_t gpa = vmguest_alloc(g, bytes);
	struct vmbus_msg_open open = {
		.header.type = VMBUS_MSG_OPEN,
		.relid = relid,
		.open_id = relid,
		.downstream_page = ring_pages + 1,
	};
	struct vmbus_msg_open_result result;
	struct vmguest_message m;

	memset(vmguest_at(g, gpa), 0, bytes);
	open.ring_gpadl = vmguest_gpadl(g, relid, gpa, bytes);
	*ret = (struct vmguest_channel){
		.guest = g,
		.relid = relid,
		.gpadl = open.ring_gpadl,
		.up_gpa = gpa,
		.down_gpa = gpa + bytes / 2,
		.ring_len = ring_pages * PAGE,
	};
	vmguest_message(g, 4, &open, sizeof(open));
	vmguest_expect(g, VMBUS_MSG_OPEN_RESULT, &m);
	memcpy(&result, m.bytes, sizeof(result));
	return result.status == 0;
}

void vmguest_close(struct vmguest_channel *ch)
{
	struct vmbus_msg_relid msg = {.header.type = VMBUS_MSG_CLOSE, .relid = ch->relid};
	struct vmbus_msg_gpadl_teardown down = {
		.header.type = VMBUS_MSG_GPADL_TEARDOWN,
		.relid = ch->relid,
		.gpadl = ch->gpadl,
	};
	struct vmguest_message m;

	vmguest_message(ch->guest, 4, &msg, sizeof(msg));
	vmguest_message(ch->guest, 4, &down, sizeof(down));
	vmguest_expect(ch->guest, VMBUS_MSG_GPADL_TORNDOWN, &m);
}

struct vmbus_ring_control *vmguest_up(struct vmguest_channel *ch)
{
	return vmguest_at(ch->guest, ch->up_gpa);
}

struct vmbus_ring_control *vmguest_down(struct vmguest_channel *ch)
{
	return vmguest_at(ch->guest, ch->down_gpa);
}

/* What lies before the end of the data area, of len bytes at `at`. */
static uint32_t ring_piece(const struct vmguest_channel *ch, uint32_t at, uint32_t len)
{
	return len < ch->ring_len - at ? len : ch->ring_len - at;
}

static uint32_t ring_put(struct vmguest_channel *ch, uint32_t at, const void *src, uint32_t len)
{
	uint8_t *data = (uint8_t *)vmguest_up(ch) + PAGE;
	uint32_t first = ring_piece(ch, at, len);

	if (!len)
		return at;
	memcpy(data + at, src, first);
	memcpy(data, (const uint8_t *)src + first, len - first);
	return (at + len) % ch->ring_len;
}

static uint32_t ring_get(struct vmguest_channel *ch, uint32_t at, void *dst, uint32_t len)
{
	const uint8_t *data = (uint8_t *)vmguest_down(ch) + PAGE;
	uint32_t first = ring_piece(ch, at, len);

	memcpy(dst, data + at, first);
	memcpy((uint8_t *)dst + first, data, len - first);
	return (at + len) % ch->ring_len;
}

void vmguest_kick(struct vmguest_channel *ch)
{
	vmbus_signal(ch->guest->bus, VMBUS_SIGNAL_CONNECTION_BASE + ch->relid);
	vmguest_run(ch->guest);
}

void vmguest_send(struct vmguest_channel *ch, uint16_t type, uint16_t flags, uint64_t transaction,
		  const void *head, uint32_t head_len, const void *payload, uint32_t len)
{
	static const uint8_t zeros[8];
	uint32_t total = (uint32_t)align_up(16 + head_len + (uint64_t)len, 8);
	struct vmbus_packet_header header = {
		.type = type,
		.offset8 = (uint16_t)((16 + head_len) / 8),
		.length8 = (uint16_t)(total / 8),
		.flags = flags,
		.transaction = transaction,
	};
	struct vmbus_ring_control *up = vmguest_up(ch);
	uint32_t before = up->write_index, at = before;
	uint64_t trailer = (uint64_t)before << 32;

	at = ring_put(ch, at, &header, sizeof(header));
	at = ring_put(ch, at, head, head_len);
	at = ring_put(ch, at, payload, len);
	at = ring_put(ch, at, zeros, total - 16 - head_len - len);
	at = ring_put(ch, at, &trailer, sizeof(trailer));
	up->write_index = at;
	vmguest_kick(ch);
}

void vmguest_send_inband(struct vmguest_channel *ch, uint64_t transaction, const void *payload,
			 uint32_t len)
{
	vmguest_send(ch, VMBUS_PACKET_INBAND, VMBUS_PACKET_WANTS_COMPLETION, transaction, NULL, 0,
		     payload, len);
}

void vmguest_send_gpa(struct vmguest_channel *ch, uint64_t transaction, uint64_t gpa,
		      uint32_t bytes, const void *payload, uint32_t len)
{
	uint32_t offset = (uint32_t)(gpa % PAGE);
	uint32_t pages = (uint32_t)align_up((uint64_t)offset + bytes, PAGE) / PAGE;
	uint32_t head_len = 16 + pages * 8;
	uint8_t *head = calloc(1, head_len);

	must(head != NULL, "no memory");
	le32_store(head + 4, 1);
	le32_store(head + 8, bytes);
	le32_store(head + 12, offset);
	for (uint32_t i = 0; i < pages; i++)
		le64_store(head + 16 + i * 8, gpa / PAGE + i);
	vmguest_send(ch, VMBUS_PACKET_GPA_DIRECT, VMBUS_PACKET_WANTS_COMPLETION, transaction, head,
		     head_len, payload, len);
	free(head);
}

void vmguest_complete(struct vmguest_channel *ch, uint64_t transaction, const void *payload,
		      uint32_t len)
{
	vmguest_send(ch, VMBUS_PACKET_COMPLETION, 0, transaction, NULL, 0, payload, len);
}

bool vmguest_receive(struct vmguest_channel *ch, struct vmguest_packet *ret)
{
	struct vmbus_ring_control *down = vmguest_down(ch);
	struct vmbus_packet_header header;
	uint32_t at = down->read_index, len;

	if (down->write_index == at)
		return false;
	must(down->write_index < ch->ring_len, "the host's write index is wild");
	at = ring_get(ch, at, &header, sizeof(header));
	len = (header.length8 - header.offset8) * 8u;
	*ret = (struct vmguest_packet){
		.type = header.type,
		.flags = header.flags,
		.transaction = header.transaction,
		.len = len,
		.head_len = header.offset8 * 8u - 16,
	};
	must(ret->head_len <= sizeof(ret->head) && len <= sizeof(ret->payload), "packet too long");
	at = ring_get(ch, at, ret->head, ret->head_len);
	at = ring_get(ch, at, ret->payload, len);
	down->read_index = (at + 8) % ch->ring_len;
	return true;
}
