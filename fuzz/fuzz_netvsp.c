/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The NIC on the real bus: the input is a list of steps of a hostile guest and of frames from
 * the network. Checked: no bad memory access, frames of legal length only, facts about them
 * within them, nothing in a transfer-page packet outside of the receive buffer, and an answer to
 * every request as long as the channel has not faulted.
 */
#include "base/cursor.h"
#include "base/util.h"
#include "fuzz/harness.h"
#include "tests/unit/devices/net/nic_fixture.h"

/* Room for longest frames, which may then be placed, and little more. */
#define RX_BYTES (14u * 8192)

#define STEPS_MAX 60u
#define REOPEN_MAX 2u
#define HOLD_MAX 8u
#define FLOOD_MAX 24u
#define DATA_MAX 256u
#define PENDING_MAX 64u

#define QUEUES 3u

enum step {
	STEP_UP,       /* an honest start, if nothing was started */
	STEP_RAW,      /* an NVSP message as the input has it */
	STEP_TRANSFER, /* RNDIS by GPA ranges */
	STEP_SECTION,  /* RNDIS in the send buffer, and ranges */
	STEP_FRAME,    /* from the network */
	STEP_COMPLETE, /* a section that the guest holds */
	STEP_INVENT,   /* a completion of anything */
	STEP_REOPEN,
	STEP_HOLD, /* do not look at the host's packets for some steps */
	STEP_FLOOD,
	STEP_LINK,
	STEP_TEARDOWN,
	STEP_OFFLOADS, /* an honest set of offloads */
	STEP_QUEUES,   /* sub-channels, and a table */
	STEP_LONG,     /* a frame with facts, which may lie */
	STEP_SUB,      /* a message of a sub-channel */
	STEP_COUNT,
};

struct fuzz {
	struct cursor in;
	struct nic *n;
	bool up;
	unsigned opened, hold;
	unsigned asked, answered;
	unsigned pending;
	uint64_t transaction[PENDING_MAX];
	unsigned subs;
	struct vmguest_channel sub[QUEUES];
};

static void tame(struct fuzz *f)
{
	struct vmbus_ring_control *up = vmguest_up(&f->n->ch), *down = vmguest_down(&f->n->ch);

	if (up->write_index >= f->n->ch.ring_len || up->write_index % 8)
		up->write_index = 0;
	if (down->read_index >= f->n->ch.ring_len || down->read_index % 8)
		down->read_index = 0;
}

static void drain(struct fuzz *f)
{
	struct vmguest_packet p;

	for (unsigned i = 0; i < 4096 && vmguest_receive(&f->n->ch, &p); i++) {
		if (p.type == VMBUS_PACKET_COMPLETION) {
			f->answered++;
		} else if (p.type == VMBUS_PACKET_TRANSFER_PAGES) {
			uint32_t ranges = le32_load(p.head + 4);

			must(ranges && p.head_len == 8 + ranges * 8);
			for (uint32_t k = 0; k < ranges; k++) {
				uint32_t len = le32_load(p.head + 8 + k * 8);
				uint32_t offset = le32_load(p.head + 12 + k * 8);

				must(offset <= RX_BYTES && len <= RX_BYTES - offset && len <= 8192);
			}
			if (f->pending < PENDING_MAX)
				f->transaction[f->pending++] = p.transaction;
		}
		if (vmguest_down(&f->n->ch)->write_index == vmguest_down(&f->n->ch)->read_index)
			vmguest_kick(&f->n->ch);
	}
}

/* Input bytes to guest memory; how many. */
static uint32_t fill(struct fuzz *f, uint64_t gpa)
{
	size_t len = min_u64(cursor_u16(&f->in) % (DATA_MAX + 1), f->in.left);
	const void *from = cursor_take(&f->in, len);

	if (from)
		memcpy(vmguest_at(f->n->guest, gpa), from, len);
	return (uint32_t)len;
}

static void step_raw(struct fuzz *f)
{
	size_t len = min_u64(cursor_u8(&f->in) % 64, f->in.left);
	const void *from = cursor_take(&f->in, len);

	f->asked++;
	vmguest_send_inband(&f->n->ch, ++f->n->transaction, from, (uint32_t)len);
}

static void step_transfer(struct fuzz *f, bool section)
{
	struct nic *n = f->n;
	struct nvsp_rndis msg = {.type = NVSP_MSG_RNDIS, .section = NVSP_NO_SECTION};
	uint8_t wire[NVSP_MESSAGE_BYTES_V6_1] = {0};
	uint32_t offset, len;

	msg.channel = cursor_u8(&f->in) % 3;
	if (section) {
		msg.section = cursor_u8(&f->in) % 12;
		msg.section_bytes = fill(f, n->tx + min_u64(msg.section, 9) * NIC_TX_SECTION);
		if (cursor_u8(&f->in) == 255)
			msg.section_bytes = cursor_u32(&f->in);
	}
	memcpy(wire, &msg, sizeof(msg));
	offset = cursor_u16(&f->in) % 4096;
	len = fill(f, n->scratch + offset);
	f->asked++;
	if (section && !len)
		vmguest_send_inband(&n->ch, ++n->transaction, wire, sizeof(wire));
	else
		vmguest_send_gpa(&n->ch, ++n->transaction, n->scratch + offset, len, wire,
				 sizeof(wire));
}

static void step_frame(struct fuzz *f)
{
	uint8_t frame[1600] = {0};
	size_t len = cursor_u16(&f->in) % sizeof(frame);
	uint8_t kind = cursor_u8(&f->in);

	nic_frame(frame, sizeof(frame));
	if (kind & 1)
		memset(frame, 0xff, 6);
	if (nic_receive(f->n, frame, len) == -EAGAIN)
		must(!f->n->want);
}

static void step_complete(struct fuzz *f)
{
	unsigned count = cursor_u8(&f->in) % (PENDING_MAX + 1);

	while (count-- && f->pending)
		nic_complete(f->n, f->transaction[--f->pending]);
}

static void step_reopen(struct fuzz *f)
{
	if (f->opened == REOPEN_MAX)
		return;
	f->opened++;
	vmguest_close(&f->n->ch);
	must(vmguest_open(f->n->guest, f->n->relid, NIC_RING_PAGES, &f->n->ch));
	f->up = false;
	f->asked = f->answered = f->pending = f->hold = f->subs = 0;
	f->n->guest->faults = 0;
}

static void step_up(struct fuzz *f)
{
	if (f->up || f->asked || f->n->guest->faults)
		return;
	drain(f);
	f->up = true;
	nic_up(f->n);
}

static void step_flood(struct fuzz *f)
{
	unsigned count = cursor_u8(&f->in) % FLOOD_MAX;
	uint8_t msg[NVSP_MESSAGE_BYTES_V6_1] = {0};

	msg[0] = cursor_u8(&f->in);
	while (count--) {
		f->asked++;
		vmguest_send_inband(&f->n->ch, ++f->n->transaction, msg, sizeof(msg));
	}
}

static void step_teardown(struct fuzz *f)
{
	struct vmbus_msg_gpadl_teardown msg = {.header.type = VMBUS_MSG_GPADL_TEARDOWN,
					       .relid = f->n->relid,
					       .gpadl = f->n->rx_gpadl};

	if (cursor_u8(&f->in) & 1)
		msg.gpadl = f->n->tx_gpadl;
	/* An honest start needs them. */
	f->up = true;
	vmguest_message(f->n->guest, 4, &msg, sizeof(msg));
}

static void step_offloads(struct fuzz *f)
{
	struct ndis_offload_parameters p = {.object = {NDIS_OBJECT_DEFAULT, 3, sizeof(p)}};
	uint8_t *at = vmguest_at(f->n->guest, f->n->scratch);
	struct rndis_oid_request msg = {
		.header = {.type = RNDIS_MSG_SET, .len = sizeof(msg) + sizeof(p)},
		.oid = RNDIS_OID_OFFLOAD_PARAMETERS,
		.info_len = sizeof(p),
		.info_offset = sizeof(msg) - sizeof(struct rndis_header),
	};
	struct nvsp_rndis wire = {NVSP_MSG_RNDIS, NVSP_CHANNEL_CONTROL, NVSP_NO_SECTION, 0};
	uint8_t on = cursor_u8(&f->in);

	p.tcp4_checksum = on & 7;
	p.large_send_v2_ip4 = p.large_send_v2_ip6 = on >> 3 & 3;
	p.coalesce_ip4 = p.coalesce_ip6 = on >> 5 & 3;
	memcpy(at, &msg, sizeof(msg));
	memcpy(at + sizeof(msg), &p, sizeof(p));
	f->asked++;
	vmguest_send_gpa(&f->n->ch, ++f->n->transaction, f->n->scratch, msg.header.len, &wire,
			 sizeof(wire));
}

/* Asks for sub-channels and opens those that are offered. */
static void step_queues(struct fuzz *f)
{
	struct nvsp_sub_channel msg = {NVSP_MSG_SUB_CHANNEL, cursor_u8(&f->in) & 1,
				       cursor_u8(&f->in) & 3};
	struct vmguest_message m;
	uint32_t relid[QUEUES];

	if (f->subs)
		return;
	while (vmguest_take(f->n->guest, &m)) {
	}
	f->asked++;
	vmguest_send_inband(&f->n->ch, ++f->n->transaction, &msg, sizeof(msg));
	for (unsigned i = 0; i < QUEUES - 1; i++)
		relid[i] = vmguest_find_offer(f->n->guest, &nic_guid, i);
	for (unsigned i = 0; i < QUEUES - 1 && relid[i]; i++)
		must(vmguest_open(f->n->guest, relid[i], 2, &f->sub[f->subs++]));
}

/* As a back end does it that reads a frame to its place; false when there is none. */
static bool place(struct fuzz *f, uint8_t *frame, size_t len, const struct netport_facts *facts)
{
	const struct netport_sink *sink = &f->n->port.sink;
	struct iovec iov[NETPORT_ROOM_MAX];
	size_t begin = 0, at;
	unsigned count = sink->room(sink->owner, iov, &begin);

	must(count <= NETPORT_ROOM_MAX);
	if (!count)
		return false;
	at = begin;
	for (unsigned i = 0; i < count; i++) {
		size_t left = at < len ? len - at : 0;

		memset(iov[i].iov_base, 0x5a, min_u64(left, iov[i].iov_len));
		at += iov[i].iov_len;
	}
	must(at >= NETPORT_FRAME_MAX);
	if (len <= begin)
		return false;
	sink->receive_placed(sink->owner, frame, len, facts);
	return true;
}

static void step_long(struct fuzz *f)
{
	static uint8_t frame[9000];
	struct netport_facts facts = {
		.checksum_missing = cursor_u8(&f->in) & 1,
		.segments = cursor_u8(&f->in) & 7,
		.segment_bytes = cursor_u16(&f->in),
		.checksum_start = cursor_u16(&f->in),
		.checksum_offset = cursor_u16(&f->in),
	};
	size_t len = cursor_u16(&f->in) % sizeof(frame), given = min_u64(f->in.left, 64);
	const void *from = cursor_take(&f->in, given);
	uint8_t how;

	nic_frame(frame, 14);
	if (from)
		memcpy(frame + 12, from, given);
	how = cursor_u8(&f->in);
	/* Of a placed frame there is no more than its begin to be looked at. */
	if (!(how & 2) || !place(f, frame, how & 4 ? len * 8 : len, &facts))
		(void)f->n->port.sink.receive(f->n->port.sink.owner, frame, len, &facts);
	if (how & 1)
		f->n->port.sink.flush(f->n->port.sink.owner);
}

static void step_sub(struct fuzz *f)
{
	uint8_t which = cursor_u8(&f->in);
	struct nvsp_rndis msg = {cursor_u8(&f->in) + 100u, which >> 4, NVSP_NO_SECTION, 0};
	struct vmguest_channel *ch;
	struct vmguest_packet p;

	if (!f->subs)
		return;
	ch = &f->sub[which % f->subs];
	vmguest_send_gpa(ch, ++f->n->transaction, f->n->scratch, 100, &msg, sizeof(msg));
	if (which & 8)
		vmguest_complete(ch, cursor_u64(&f->in), &msg, 8);
	while (vmguest_receive(ch, &p)) {
	}
}

static void run_step(struct fuzz *f, unsigned step)
{
	switch (step) {
	case STEP_UP:
		step_up(f);
		break;
	case STEP_RAW:
		step_raw(f);
		break;
	case STEP_TRANSFER:
	case STEP_SECTION:
		step_transfer(f, step == STEP_SECTION);
		break;
	case STEP_FRAME:
		step_frame(f);
		break;
	case STEP_COMPLETE:
		step_complete(f);
		break;
	case STEP_INVENT:
		nic_complete(f->n, cursor_u64(&f->in));
		break;
	case STEP_REOPEN:
		step_reopen(f);
		break;
	case STEP_HOLD:
		if (!f->hold)
			f->hold = HOLD_MAX;
		break;
	case STEP_FLOOD:
		step_flood(f);
		break;
	case STEP_LINK:
		netvsp_set_link(f->n->dev, cursor_u8(&f->in) & 1);
		break;
	case STEP_TEARDOWN:
		step_teardown(f);
		break;
	case STEP_OFFLOADS:
		step_offloads(f);
		break;
	case STEP_QUEUES:
		step_queues(f);
		break;
	case STEP_LONG:
		step_long(f);
		break;
	default:
		step_sub(f);
		break;
	}
}

/* The NIC is made once: a bus that is reset leaves nothing in it but its counters and the parity
 * of its sections. */
static struct nic *start(void)
{
	static struct nic *n;

	if (!n)
		n = nic_new_with(NETPORT_CHECKSUM | NETPORT_TCP4 | NETPORT_TCP6,
				 (struct netvsp_config){.queues = QUEUES});
	else
		nic_connect(n);
	n->rx = vmguest_alloc(n->guest, RX_BYTES);
	n->rx_gpadl = vmguest_gpadl(n->guest, n->relid, n->rx, RX_BYTES);
	n->send_result = 0;
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz f = {.in = cursor_of(data, size), .n = start()};
	bool torn = false;

	for (unsigned i = 0; i < STEPS_MAX && f.in.left; i++) {
		unsigned step = cursor_u8(&f.in) % STEP_COUNT;

		/* The buffers are gone for good, so there is no honest start any more. */
		torn = torn || step == STEP_TEARDOWN;
		if (torn && step == STEP_UP)
			continue;
		tame(&f);
		run_step(&f, step);
		if (f.hold && --f.hold)
			continue;
		drain(&f);
	}
	tame(&f);
	vmguest_kick(&f.n->ch);
	drain(&f);
	if (!f.n->guest->faults)
		must(f.asked == f.answered);
	netvsp_set_link(f.n->dev, true);
	vmguest_reset(f.n->guest);
	return 0;
}
