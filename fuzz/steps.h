/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Steps of a hostile guest at the whole machine: a byte that says which, then its operands; with
 * the host's own doings in between.
 */
#ifndef OYA_FUZZ_STEPS_H
#define OYA_FUZZ_STEPS_H

#include "fuzz/whole.h"

#define RAW_MAX 96u
#define PAGE_MESSAGE 8u /* where steps put hypercall input */
#define PAGE_DATA 9u
#define PAGE_BUFFERS 16u /* of the NIC, 8 pages each */
#define STEP_INTERRUPTS_MAX 4096u
#define STEP_LINES_MAX 4096u

enum step {
	STEP_BOOT, /* honest: identity, pages, SINT */
	STEP_MSR,
	STEP_READ,
	STEP_HYPERCALL,
	STEP_POST,    /* any bytes as a message */
	STEP_CONNECT, /* honest: contact and offers */
	STEP_OPEN,    /* honest: GPADL and open of a relid */
	STEP_BUFFER,  /* honest: a GPADL of the NIC's buffers */
	STEP_PACKET,  /* honest header, any bytes */
	STEP_SRB,
	STEP_DRAIN, /* the guest has read a ring */
	STEP_INDEX,
	STEP_MEMORY,
	STEP_KICK,
	STEP_TAKE, /* the guest empties its message slots */
	STEP_TIMER,
	STEP_PORT,
	STEP_IOAPIC,
	STEP_PASS, /* time */
	STEP_DISK,
	STEP_FRAME,
	STEP_HOST,
	STEP_CLOSE,
	STEP_CYCLE,
	STEP_COUNT,
};

static void step_boot(struct whole *w, struct cursor *in)
{
	unsigned vp = cursor_u8(in) % WHOLE_VPS;

	hv_msr_write(w->hv, vp, HV_MSR_GUEST_OS_ID, 1);
	must(hv_msr_write(w->hv, vp, HV_MSR_HYPERCALL, 1u << 12 | HV_PAGE_ENABLE) == 0);
	must(hv_msr_write(w->hv, vp, HV_MSR_SIMP, (2 + vp) << 12 | HV_PAGE_ENABLE) == 0);
	must(hv_msr_write(w->hv, vp, HV_MSR_SIEFP, (4 + vp) << 12 | HV_PAGE_ENABLE) == 0);
	must(hv_msr_write(w->hv, vp, HV_MSR_SINT0 + VMBUS_SINT, 0xf3) == 0);
	must(hv_msr_write(w->hv, vp, HV_MSR_SCONTROL, 1) == 0);
}

/* Mostly the registers that there are, and pages that may be RAM. */
static void step_msr(struct whole *w, struct cursor *in)
{
	unsigned vp = cursor_u8(in) % (WHOLE_VPS + 1);
	uint32_t msr = HV_MSR_FIRST + (cursor_u16(in) & 0x1ff);
	uint64_t value = cursor_u64(in), before = 0, after = 0;
	int readable = hv_msr_read(w->hv, vp, msr, &before);

	if (value & 2)
		value = (value & 1) | (value >> 12) % (WHOLE_PAGES + 1) << 12;
	if (hv_msr_write(w->hv, vp, msr, value) < 0)
		must(hv_msr_read(w->hv, vp, msr, &after) == readable && before == after);
}

static void step_read(struct whole *w, struct cursor *in)
{
	unsigned vp = cursor_u8(in) % (WHOLE_VPS + 1);
	uint64_t value;

	(void)hv_msr_read(w->hv, vp, HV_MSR_FIRST + (cursor_u16(in) & 0x3ff), &value);
}

static void step_hypercall(struct whole *w, struct cursor *in)
{
	uint64_t control = cursor_u64(in), input = cursor_u64(in);

	if (control & UINT64_C(1) << 63)
		control = (control & ~UINT64_C(0xffff)) |
			  (control & 1 ? HV_CALL_POST_MESSAGE : HV_CALL_SIGNAL_EVENT);
	if (control & UINT64_C(1) << 62)
		input %= WHOLE_RAM;
	must(hv_hypercall(w->hv, control, input) <= HV_STATUS_INSUFFICIENT_BUFFERS);
}

static uint64_t post(struct whole *w, uint32_t connection, const void *payload, size_t len)
{
	struct hv_post_message m = {
		.connection_id = connection, .message_type = 1, .payload_bytes = (uint32_t)len};

	memcpy(m.payload, payload, min_u64(len, sizeof(m.payload)));
	memcpy(w->ram + PAGE_MESSAGE * 4096, &m, sizeof(m));
	return hv_hypercall(w->hv, HV_CALL_POST_MESSAGE, PAGE_MESSAGE * 4096);
}

static void step_post(struct whole *w, struct cursor *in)
{
	uint8_t bytes[HV_MESSAGE_PAYLOAD] = {0};
	uint8_t type = cursor_u8(in), connection = cursor_u8(in);
	size_t len = cursor_u8(in) % (sizeof(bytes) + 1);

	cursor_copy_padded(in, bytes, min_u64(len, RAW_MAX));
	if (type < 0x80)
		le32_store(bytes, type % 32);
	post(w, connection & 0x80 ? connection : 4, bytes, len);
}

static void step_connect(struct whole *w, struct cursor *in)
{
	struct vmbus_msg_initiate_contact contact = {
		.header.type = VMBUS_MSG_INITIATE_CONTACT,
		.version = VMBUS_VERSION(5, 3),
		.target_vp = cursor_u8(in) % WHOLE_VPS,
	};
	struct vmbus_msg_header offers = {.type = VMBUS_MSG_REQUEST_OFFERS};

	must(post(w, VMBUS_CONNECTION_ID_V5, &contact, sizeof(contact)) == HV_STATUS_SUCCESS);
	must(post(w, VMBUS_CONNECTION_ID_V5, &offers, sizeof(offers)) == HV_STATUS_SUCCESS);
}

static uint32_t take_relid(struct cursor *in)
{
	return 1 + cursor_u8(in) % (WHOLE_RELIDS - 1);
}

static uint32_t area(uint32_t relid)
{
	return WHOLE_AREA_FIRST + (relid - 1) * WHOLE_AREA;
}

static void gpadl(struct whole *w, uint32_t relid, uint32_t handle, uint32_t page, uint32_t pages)
{
	uint8_t msg[28 + 8 * 8] = {0};
	struct vmbus_msg_gpadl_header head = {
		.header.type = VMBUS_MSG_GPADL_HEADER,
		.relid = relid,
		.gpadl = handle,
		.range_bytes = (uint16_t)(8 + pages * 8),
		.range_count = 1,
	};

	memcpy(msg, &head, sizeof(head));
	le32_store(msg + 20, pages * 4096);
	for (uint32_t i = 0; i < pages; i++)
		le64_store(msg + 28 + i * 8, page + i);
	post(w, VMBUS_CONNECTION_ID_V5, msg, 28 + pages * 8);
}

static void step_open(struct whole *w, struct cursor *in)
{
	uint32_t relid = take_relid(in);
	struct vmbus_msg_open open = {
		.header.type = VMBUS_MSG_OPEN,
		.relid = relid,
		.open_id = relid,
		.ring_gpadl = relid,
		.target_vp = cursor_u8(in) % WHOLE_VPS,
		.downstream_page = WHOLE_AREA / 2,
	};

	gpadl(w, relid, relid, area(relid), WHOLE_AREA);
	post(w, VMBUS_CONNECTION_ID_V5, &open, sizeof(open));
}

static void step_buffer(struct whole *w, struct cursor *in)
{
	uint8_t which = cursor_u8(in) & 1;

	gpadl(w, 2, 0x100u + which, PAGE_BUFFERS + which * 8u, 8);
}

/* A packet at the guest's write index, and a kick. */
static void packet(struct whole *w, uint32_t relid, uint16_t type, uint32_t extra,
		   const uint8_t *body, uint32_t len)
{
	uint8_t *ring = w->ram + area(relid) * 4096u;
	uint32_t total = (uint32_t)align_up(16 + len, 8), at = le32_load(ring) % WHOLE_RING & ~7u;
	struct vmbus_packet_header head = {
		.type = type,
		.offset8 = (uint16_t)((16 + extra) / 8),
		.length8 = (uint16_t)(total / 8),
		.flags = VMBUS_PACKET_WANTS_COMPLETION,
		.transaction = at,
	};
	uint8_t bytes[16 + 256] = {0};

	memcpy(bytes, &head, sizeof(head));
	memcpy(bytes + 16, body, len);
	for (uint32_t i = 0; i < total; i++)
		ring[4096 + (at + i) % WHOLE_RING] = bytes[i];
	le32_store(ring, (at + total + 8) % WHOLE_RING);
	hv_hypercall(w->hv, HV_CALL_SIGNAL_EVENT | HV_CONTROL_FAST,
		     VMBUS_SIGNAL_CONNECTION_BASE + relid);
}

static void step_packet(struct whole *w, struct cursor *in)
{
	static const uint16_t types[] = {VMBUS_PACKET_INBAND, VMBUS_PACKET_GPA_DIRECT,
					 VMBUS_PACKET_COMPLETION, VMBUS_PACKET_TRANSFER_PAGES};
	uint32_t relid = take_relid(in), extra = 0;
	uint8_t kind = cursor_u8(in), body[256] = {0};
	uint32_t len = cursor_u8(in) % 200;

	if (kind % 4 == 1) { /* one range, in the data pages or in the input's */
		extra = 24;
		le32_store(body + 4, 1);
		le32_store(body + 8, cursor_u16(in) % 4097);
		le32_store(body + 12, 0);
		le64_store(body + 16, kind & 0x80 ? cursor_u32(in) : PAGE_DATA);
	}
	cursor_copy_padded(in, body + extra, len);
	packet(w, relid, types[kind % 4], extra, body, extra + len);
}

static void step_srb(struct whole *w, struct cursor *in)
{
	struct storvsc_packet p = {.operation = cursor_u8(in) % 12};
	uint8_t body[24 + sizeof(p)] = {0};
	uint32_t bytes = cursor_u16(in) % 4097;

	if (p.operation == STORVSC_OP_QUERY_PROTOCOL_VERSION) {
		p.version.major_minor = STORVSC_VERSION_6_2;
	} else if (p.operation == STORVSC_OP_EXECUTE_SRB) {
		p.srb.cdb_length = 16;
		p.srb.sense_length = 20;
		p.srb.data_transfer_length = bytes;
		p.srb.data_in = cursor_u8(in);
		cursor_copy_padded(in, p.srb.cdb, sizeof(p.srb.cdb));
	}
	le32_store(body + 4, 1);
	le32_store(body + 8, bytes);
	le64_store(body + 16, PAGE_DATA);
	memcpy(body + 24, &p, sizeof(p));
	if (bytes)
		packet(w, 1, VMBUS_PACKET_GPA_DIRECT, 24, body, sizeof(body));
	else
		packet(w, 1, VMBUS_PACKET_INBAND, 0, body + 24, sizeof(p));
}

static void step_drain(struct whole *w, struct cursor *in)
{
	uint32_t relid = take_relid(in);
	uint8_t *down = w->ram + (area(relid) + WHOLE_AREA / 2) * 4096u;

	memcpy(down + 4, down, 4);
	vmbus_signal(w->bus, VMBUS_SIGNAL_CONNECTION_BASE + relid);
}

static void step_index(struct whole *w, struct cursor *in)
{
	uint32_t relid = take_relid(in);
	uint8_t which = cursor_u8(in);
	uint32_t page = area(relid) + (which & 4 ? WHOLE_AREA / 2 : 0), value = cursor_u32(in);

	le32_store(w->ram + page * 4096u + (which & 3) * 4u, which & 0x80 ? value & 0x1ff8 : value);
}

static void step_memory(struct whole *w, struct cursor *in)
{
	uint8_t bytes[RAW_MAX];
	uint64_t gpa = cursor_u32(in) % WHOLE_RAM;
	size_t n = cursor_copy_padded(in, bytes, cursor_u8(in) % (RAW_MAX + 1));

	gmem_write(&w->gmem, gpa, bytes, n);
}

static void step_take(struct whole *w, struct cursor *in)
{
	unsigned vp = cursor_u8(in) % WHOLE_VPS, times = 1 + cursor_u8(in) % 16;
	uint64_t simp = 0;

	hv_msr_read(w->hv, vp, HV_MSR_SIMP, &simp);
	while (times-- && simp >> 12 < WHOLE_PAGES) {
		for (unsigned sint = 0; sint < HV_SINTS; sint++)
			le32_store(w->ram + (simp & ~UINT64_C(0xfff)) + sint * 256u, 0);
		hv_msr_write(w->hv, vp, HV_MSR_EOM, 0);
	}
}

static void step_timer(struct whole *w, struct cursor *in)
{
	unsigned vp = cursor_u8(in) % WHOLE_VPS;
	uint32_t msr = HV_MSR_STIMER0_CONFIG + cursor_u8(in) % HV_STIMERS * 2;

	must(hv_msr_write(w->hv, vp, msr, cursor_u32(in)) == 0);
	must(hv_msr_write(w->hv, vp, msr + 1, cursor_u32(in)) == 0);
}

static void step_port(struct whole *w, struct cursor *in)
{
	uint8_t what = cursor_u8(in), value = cursor_u8(in);
	static const uint8_t typed[] = "typed by the user";

	if ((what & 0xc0) == 0xc0)
		serial_input(w->serial, typed, value % sizeof(typed));
	else if (what & 0x80)
		(void)(what & 1 ? serial_read(w->serial, value & 7) : rtc_read(w->rtc, value & 1));
	else if (what & 0x40)
		serial_write(w->serial, what & 7, value);
	else
		rtc_write(w->rtc, what & 1, value);
}

static void step_ioapic(struct whole *w, struct cursor *in)
{
	uint8_t offset = cursor_u8(in), kind = cursor_u8(in);
	uint32_t value = cursor_u32(in);

	if (kind & 1)
		ioapic_write(w->ioapic, offset, 4, value);
	else if (kind & 2)
		ioapic_eoi(w->ioapic, (uint8_t)value);
	else
		(void)ioapic_read(w->ioapic, value & 0xfff, 1u << (offset & 3));
}

/* A bounded number of expiries; what is due later stays due. */
static void step_pass(struct whole *w, struct cursor *in)
{
	uint64_t end = w->now_ns + ((uint64_t)cursor_u16(in) << cursor_u8(in) % 24);

	for (unsigned i = 0; i < WHOLE_ROUNDS && timerq_next(&w->timers) <= end; i++) {
		if (timerq_next(&w->timers) > w->now_ns)
			w->now_ns = timerq_next(&w->timers);
		timerq_run(&w->timers, w->now_ns);
	}
	if (timerq_next(&w->timers) > end)
		w->now_ns = end;
}

static void step_disk(struct whole *w, struct cursor *in)
{
	static const int errors[] = {0, 0, -EIO, -ENOSPC, -EOPNOTSUPP, -ENODEV};
	uint8_t n = cursor_u8(in), error = cursor_u8(in);

	if (n & 0x80)
		w->disk->limit = n & 1 ? 1 : MEMDISK_INFLIGHT_MAX;
	if (w->disk->inflight)
		memdisk_complete(w->disk, n % w->disk->inflight, errors[error % ARRAY_LEN(errors)]);
}

static void step_frame(struct whole *w, struct cursor *in)
{
	uint8_t frame[1514] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	size_t len = cursor_u16(in) % (sizeof(frame) + 64);
	struct netport_facts facts = {0};
	int r;

	if (len > sizeof(frame)) {
		len = sizeof(frame);
		facts.checksum_valid = true;
	}
	r = w->port.sink.receive(w->port.sink.owner, frame, len, &facts);
	must(r != -EAGAIN || !w->want);
}

static void step_host(struct whole *w, struct cursor *in)
{
	uint8_t what = cursor_u8(in);

	switch (what % 4) {
	case 0:
		netvsp_set_link(w->nic, what & 0x80);
		break;
	case 1:
		if (shutdown_request(w->sd, (enum shutdown_kind)(what >> 4 & 3), "why",
				     what & 0x80) == 0)
			w->requests++;
		break;
	case 2:
		timesync_sync(w->ts);
		break;
	default:
		whole_run_deferred(w);
		break;
	}
}

static void step_close(struct whole *w, struct cursor *in)
{
	struct vmbus_msg_relid close = {.header.type = VMBUS_MSG_CLOSE, .relid = take_relid(in)};
	struct vmbus_msg_gpadl_teardown down = {.header.type = VMBUS_MSG_GPADL_TEARDOWN,
						.relid = close.relid,
						.gpadl = close.relid};
	uint8_t how = cursor_u8(in);

	if (how & 1)
		post(w, VMBUS_CONNECTION_ID_V5, &close, sizeof(close));
	if (how & 4)
		down.gpadl = 0x100u + (how >> 3 & 1);
	if (how & 2)
		post(w, VMBUS_CONNECTION_ID_V5, &down, sizeof(down));
}

static void (*const steps[STEP_COUNT])(struct whole *w, struct cursor *in) = {
	[STEP_BOOT] = step_boot,     [STEP_MSR] = step_msr,
	[STEP_READ] = step_read,     [STEP_HYPERCALL] = step_hypercall,
	[STEP_POST] = step_post,     [STEP_CONNECT] = step_connect,
	[STEP_OPEN] = step_open,     [STEP_BUFFER] = step_buffer,
	[STEP_PACKET] = step_packet, [STEP_SRB] = step_srb,
	[STEP_DRAIN] = step_drain,   [STEP_INDEX] = step_index,
	[STEP_MEMORY] = step_memory, [STEP_TAKE] = step_take,
	[STEP_TIMER] = step_timer,   [STEP_PORT] = step_port,
	[STEP_IOAPIC] = step_ioapic, [STEP_PASS] = step_pass,
	[STEP_DISK] = step_disk,     [STEP_FRAME] = step_frame,
	[STEP_HOST] = step_host,     [STEP_CLOSE] = step_close,
};

static void run_step(struct whole *w, uint8_t step, struct cursor *in)
{
	if (steps[step])
		steps[step](w, in);
	else if (step == STEP_KICK)
		vmbus_signal(w->bus, VMBUS_SIGNAL_CONNECTION_BASE + take_relid(in));
	else
		whole_power_cycle(w);
}

static void check(const struct whole *w)
{
	struct vmbus_channel_info info;
	bool live[WHOLE_ANY_RELID] = {0};

	must(w->disk->broken == 0 && storvsp_inflight(w->sp) >= w->disk->inflight);
	for (uint32_t relid = 0; vmbus_channel_info(w->bus, &relid, &info) == 0; relid++) {
		must(relid < WHOLE_ANY_RELID);
		live[relid] = strcmp(info.state, "open") == 0 || strcmp(info.state, "faulted") == 0;
	}
	for (uint32_t relid = 0; relid < WHOLE_ANY_RELID; relid++)
		must(w->bound[relid] == live[relid]);
}

/* One step, with what must hold afterwards; what the world sees of it is bounded. */
static inline void steps_do(struct whole *w, struct cursor *in, bool look)
{
	uint8_t step = cursor_u8(in);
	uint64_t interrupts = w->interrupts, lines = w->log_lines;

	run_step(w, step % STEP_COUNT, in);
	if (step & 0x80)
		whole_run_deferred(w);
	if (look)
		check(w);
	must(w->interrupts - interrupts <= STEP_INTERRUPTS_MAX);
	must(w->log_lines - lines <= STEP_LINES_MAX);
}

#endif
