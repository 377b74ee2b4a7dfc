/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The NIC on the real bus: the input is a list of steps of a hostile guest and of frames from
 * the network. Checked: no bad memory access, frames of legal length only, nothing in a
 * transfer-page packet outside of the receive buffer, and an answer to every request as long as
 * the channel has not faulted.
 */
#include "base/cursor.h"
#include "base/util.h"
#include "tests/unit/devices/net/nic_fixture.h"

#define STEPS_MAX 200u
#define REOPEN_MAX 4u
#define HOLD_MAX 8u
#define FLOOD_MAX 90u
#define DATA_MAX 512u
#define PENDING_MAX 64u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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
};

static void must(bool condition)
{
	if (!condition)
		abort();
}

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
			uint32_t count = le32_load(p.head + 8), offset = le32_load(p.head + 12);

			must(p.head_len == 16 && offset <= NIC_RX_BYTES &&
			     count <= NIC_RX_BYTES - offset && count <= 1728);
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
	f->asked = f->answered = f->pending = f->hold = 0;
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
	default:
		step_teardown(f);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz f = {.in = cursor_of(data, size), .n = nic_new()};
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
	nic_free(f.n);
	return 0;
}
