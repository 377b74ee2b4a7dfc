/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The blind guest: it does whatever comes to its mind for as long as it is told (seconds=, seed=),
 * in ring 3 with interrupts off, while a second processor, if
 * there is one, scribbles over the rings and messages that the first one has the host look at.
 *
 * What the host may be made to write goes into the arena, or where no RAM is: the guest must live
 * to tell. What would end the run by design (power off, reset, an INIT to itself) is left out.
 */
#include <string.h>

#include "abi/hv.h"
#include "abi/machine.h"
#include "abi/storvsc.h"
#include "base/bytes.h"
#include "tests/system/guest/vmbus.h"

#define ARENA (UINT64_C(16) << 20)
#define ARENA_PAGES 512u
#define RELIDS 10u
#define AREA_PAGES 8u /* of a relid: half for each direction */
#define AREA_FIRST 64u
#define HANDLES 24u
#define RING_WORDS 5u /* of a control page: indices, mask, pending size, features */
#define POST_PAGE 1u
#define SRB_DATA_PAGES 3u
#define STEPS_PER_LOOK 16u
#define BUSY_KICKS 16u

static uint64_t state_of[2]; /* of the random numbers, by processor */

static uint64_t dice_of(unsigned vp)
{
	uint64_t *s = &state_of[vp];

	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return *s;
}

static uint64_t dice(void)
{
	return dice_of(0);
}

static uint64_t below(uint64_t n)
{
	return dice() % n;
}

static bool one_in(uint64_t n)
{
	return below(n) == 0;
}

/* Any size of number is as likely. */
static uint64_t number(void)
{
	return dice() >> below(64);
}

static uint8_t *arena_page(uint64_t n)
{
	return (uint8_t *)(uintptr_t)(ARENA + n % ARENA_PAGES * PAGE);
}

/* In the arena, or nowhere at all. */
static uint64_t page_number(void)
{
	switch (below(8)) {
	case 0:
		return GPA_NOWHERE / PAGE + number() % (UINT64_C(1) << 36);
	case 1:
		return dice() | UINT64_C(1) << 63;
	case 2:
		return (MACHINE_IOAPIC_BASE + number() % 0x200000) / PAGE;
	default:
		return ARENA / PAGE + below(ARENA_PAGES);
	}
}

static uint32_t area(uint32_t relid)
{
	return AREA_FIRST + relid % RELIDS * AREA_PAGES;
}

/* What only ring 0 may do. */
static uint64_t do_hypercall(uint64_t control, uint64_t input)
{
	return hypercall(control, input);
}

static uint64_t do_msr_read(uint64_t number, uint64_t unused)
{
	uint64_t value;

	(void)unused;
	return (uint64_t)msr_read((uint32_t)number, &value);
}

static uint64_t do_msr_write(uint64_t number, uint64_t value)
{
	return (uint64_t)msr_write((uint32_t)number, value);
}

static uint64_t do_out32(uint64_t port, uint64_t value)
{
	out32((uint16_t)port, (uint32_t)value);
	return 0;
}

static uint64_t do_out8(uint64_t port, uint64_t value)
{
	out8((uint16_t)port, (uint8_t)value);
	return 0;
}

static uint64_t do_in(uint64_t port, uint64_t wide)
{
	return wide ? in32((uint16_t)port) : in8((uint16_t)port);
}

static uint64_t do_time(uint64_t unused, uint64_t unused_too)
{
	(void)unused;
	(void)unused_too;
	return reference_time();
}

static uint64_t post_message(uint32_t connection, const void *payload, uint32_t len)
{
	struct hv_post_message *m = (void *)arena_page(POST_PAGE);

	m->connection_id = connection;
	m->reserved = 0;
	m->message_type = 1;
	m->payload_bytes = len;
	memcpy(m->payload, payload, len < sizeof(m->payload) ? len : sizeof(m->payload));
	return user_ask(do_hypercall, HV_CALL_POST_MESSAGE, (uintptr_t)m);
}

static void op_msr(void)
{
	uint32_t msr = HV_MSR_FIRST + (uint32_t)below(one_in(8) ? 0x400 : 0x110);
	uint64_t value = number();

	if (one_in(3)) {
		user_ask(do_msr_read, one_in(16) ? (uint32_t)number() : msr, 0);
		return;
	}
	if (msr == HV_MSR_HYPERCALL || msr == HV_MSR_REFERENCE_TSC ||
	    msr == HV_MSR_VP_ASSIST_PAGE || msr == HV_MSR_SIMP || msr == HV_MSR_SIEFP)
		value = page_number() << 12 | (value & (msr == HV_MSR_HYPERCALL ? 1 : 0xfff));
	user_ask(do_msr_write, msr, value);
}

static void op_hypercall(void)
{
	uint64_t control = number(), input = number();

	if (!one_in(4))
		control = HV_CALL_POST_MESSAGE + below(2) + (one_in(2) ? HV_CONTROL_FAST : 0);
	if (!one_in(4))
		input = ARENA + below(ARENA_PAGES * PAGE);
	user_ask(do_hypercall, control, input);
}

/* Rubbish as a message, but for lists of pages: those must not name our own. */
static void op_message(void)
{
	uint64_t words[VMBUS_MESSAGE_MAX / 8];

	for (unsigned i = 0; i < VMBUS_MESSAGE_MAX / 8; i++)
		words[i] = i < 6 && (i & 1) ? below(RELIDS) : dice();
	words[0] = below(30) | (one_in(8) ? dice() << 32 : 0);
	if (words[0] % 32 == VMBUS_MSG_GPADL_HEADER || words[0] % 32 == VMBUS_MSG_GPADL_BODY)
		words[0] = VMBUS_MSG_OPEN;
	post_message(one_in(8) ? (uint32_t)number() : 4, words,
		     (uint32_t)below(VMBUS_MESSAGE_MAX + 2));
}

static void op_connect(void)
{
	struct vmbus_msg_initiate_contact contact = {
		.header.type = VMBUS_MSG_INITIATE_CONTACT,
		.version = VMBUS_VERSION(5, 3),
		.target_vp = one_in(8) ? (uint32_t)number() : 0,
		.interrupt_page = VMBUS_SINT,
	};
	struct vmbus_msg_header offers = {.type = VMBUS_MSG_REQUEST_OFFERS};

	user_ask(do_msr_write, HV_MSR_SIMP, ARENA + 2 * PAGE + HV_PAGE_ENABLE);
	user_ask(do_msr_write, HV_MSR_SIEFP, ARENA + 3 * PAGE + HV_PAGE_ENABLE);
	user_ask(do_msr_write, HV_MSR_SINT0 + VMBUS_SINT, VMBUS_VECTOR);
	user_ask(do_msr_write, HV_MSR_SCONTROL, 1);
	post_message(4, &contact, sizeof(contact));
	post_message(4, &offers, sizeof(offers));
}

static void send_gpadl(uint32_t relid, uint32_t handle, uint32_t pages, uint64_t first, bool wild)
{
	uint8_t msg[VMBUS_MESSAGE_MAX] = {0};
	struct vmbus_msg_gpadl_header head = {
		.header.type = VMBUS_MSG_GPADL_HEADER,
		.relid = relid,
		.gpadl = handle,
		.range_bytes = (uint16_t)(8 + pages * 8 + (wild && one_in(4) ? number() : 0)),
		.range_count = wild && one_in(8) ? (uint16_t)number() : 1,
	};
	unsigned n = 0;

	memcpy(msg, &head, sizeof(head));
	le32_store(msg + 20, wild && one_in(4) ? (uint32_t)number() : pages * PAGE);
	le32_store(msg + 24, wild && one_in(4) ? (uint32_t)number() : 0);
	for (; n < pages && n < 26; n++)
		le64_store(msg + 28 + n * 8,
			   wild && one_in(16) ? page_number() : ARENA / PAGE + first + n);
	post_message(4, msg, 28 + n * 8);
	if (n == pages || (wild && one_in(4)))
		return;
	memset(msg, 0, sizeof(msg));
	le32_store(msg, VMBUS_MSG_GPADL_BODY);
	le32_store(msg + 12, handle);
	for (unsigned i = 0; i < 27; i++)
		le64_store(msg + 16 + i * 8, ARENA / PAGE + below(ARENA_PAGES));
	post_message(4, msg, 16 + 27 * 8);
}

static void op_gpadl(void)
{
	send_gpadl((uint32_t)below(RELIDS), (uint32_t)below(HANDLES), (uint32_t)below(50),
		   below(ARENA_PAGES - 60), true);
}

static void op_open(void)
{
	uint32_t relid = 1 + (uint32_t)below(RELIDS - 1);
	struct vmbus_msg_open open = {
		.header.type = VMBUS_MSG_OPEN,
		.relid = relid,
		.open_id = relid,
		.ring_gpadl = one_in(8) ? (uint32_t)below(HANDLES) : 100 + relid,
		.target_vp = one_in(16) ? (uint32_t)number() : 0,
		.downstream_page = one_in(8) ? (uint32_t)number() : AREA_PAGES / 2,
	};

	memset(arena_page(area(relid)), 0, RING_WORDS * 4);
	memset(arena_page(area(relid) + AREA_PAGES / 2), 0, RING_WORDS * 4);
	send_gpadl(relid, 100 + relid, AREA_PAGES, area(relid), false);
	post_message(4, &open, sizeof(open));
}

static void op_close(void)
{
	uint8_t msg[16] = {0};
	uint32_t relid = (uint32_t)below(RELIDS);

	le32_store(msg, one_in(2) ? VMBUS_MSG_CLOSE : VMBUS_MSG_GPADL_TEARDOWN);
	le32_store(msg + 8, relid);
	le32_store(msg + 12, one_in(2) ? 100 + relid : (uint32_t)below(HANDLES));
	post_message(4, msg, sizeof(msg));
}

static void kick(uint32_t relid)
{
	if (one_in(2))
		user_ask(do_out32, MACHINE_HYPERCALL_KICK_PORT, 0x1000 + relid);
	else
		user_ask(do_hypercall, HV_CALL_SIGNAL_EVENT | HV_CONTROL_FAST, 0x1000 + relid);
}

/* A disk request or a network message with pages in the arena; or rubbish. */
static uint32_t make_packet(uint8_t *bytes)
{
	struct vmbus_packet_header head = {.flags = 1, .transaction = dice()};
	struct storvsc_packet p = {.operation = (uint32_t)below(14)};
	uint32_t pages = 1 + (uint32_t)below(SRB_DATA_PAGES), at = sizeof(head);

	head.type = one_in(3) ? VMBUS_PACKET_GPA_DIRECT : (uint16_t)(6 + below(8));
	if (head.type == VMBUS_PACKET_GPA_DIRECT) {
		le32_store(bytes + at, 0);
		le32_store(bytes + at + 4, 1);
		le32_store(bytes + at + 8, one_in(8) ? (uint32_t)number() : pages * PAGE);
		le32_store(bytes + at + 12, one_in(8) ? (uint32_t)number() : 0);
		for (uint32_t i = 0; i < pages; i++)
			le64_store(bytes + at + 16 + i * 8, page_number());
		at += 16 + pages * 8;
	}
	head.offset8 = (uint16_t)(at / 8);
	for (uint32_t i = 0; i < sizeof(p) / 8; i++)
		le64_store(bytes + at + i * 8, number());
	if (!one_in(3)) {
		static const uint8_t codes[] = {0x12, 0x25, 0x28, 0x2a, 0x35, 0x41, 0x42,
						0x88, 0x8a, 0x9e, 0xa0, 0x1a, 0x5e, 0x93};

		p.srb.cdb_length = (uint8_t)(one_in(8) ? dice() : 16);
		p.srb.sense_length = (uint8_t)(one_in(8) ? dice() : 20);
		p.srb.data_in = (uint8_t)below(4);
		p.srb.data_transfer_length = one_in(4) ? (uint32_t)number() : pages * PAGE;
		p.srb.cdb[0] = codes[below(sizeof(codes))];
		for (unsigned i = 1; i < 16; i++)
			p.srb.cdb[i] = one_in(3) ? (uint8_t)dice() : 0;
		if (one_in(2))
			p.operation = STORVSC_OP_EXECUTE_SRB;
		memcpy(bytes + at, &p, sizeof(p));
	} else if (one_in(2)) {
		le32_store(bytes + at, (uint32_t)(one_in(2) ? 100 + below(36) : below(4)));
	}
	at += sizeof(p);
	head.length8 = (uint16_t)(at / 8 + (one_in(64) ? number() : 0));
	memcpy(bytes, &head, sizeof(head));
	return at;
}

/* The four steps that a disk wants before its commands, or the first of a NIC. */
static uint32_t make_start(uint8_t *bytes, unsigned step)
{
	static const uint8_t operations[] = {
		STORVSC_OP_BEGIN_INITIALIZATION, STORVSC_OP_QUERY_PROTOCOL_VERSION,
		STORVSC_OP_QUERY_PROPERTIES, STORVSC_OP_END_INITIALIZATION};
	struct storvsc_packet p = {.operation = operations[step]};
	struct vmbus_packet_header head = {
		.type = VMBUS_PACKET_INBAND,
		.offset8 = 2,
		.length8 = (16 + sizeof(p)) / 8,
		.flags = 1,
		.transaction = step,
	};

	p.version.major_minor = STORVSC_VERSION_6_2;
	memcpy(bytes, &head, sizeof(head));
	memcpy(bytes + sizeof(head), &p, sizeof(p));
	return sizeof(head) + sizeof(p);
}

static void op_packets(void)
{
	static uint8_t bytes[PAGE];
	uint32_t relid = 1 + (uint32_t)below(RELIDS - 1), ring = (AREA_PAGES / 2 - 1) * PAGE;
	uint8_t *up, *down;
	bool start = one_in(8);
	unsigned count = start ? 4 : 1 + (unsigned)below(3);

	if (one_in(2))
		relid = 1;
	up = arena_page(area(relid));
	down = up + AREA_PAGES / 2 * PAGE;
	for (unsigned n = 0; n < count; n++) {
		uint32_t len = start ? make_start(bytes, n) : make_packet(bytes),
			 at = le32_load(up) % ring & ~7u;

		for (uint32_t i = 0; i < len; i += 8)
			le64_store(up + PAGE + (at + i) % ring, le64_load(bytes + i));
		le32_store(up, (at + len + 8) % ring);
	}
	if (one_in(32)) /* indices, mask and pending size of both rings */
		le32_store((one_in(2) ? up : down) + below(RING_WORDS) * 4, (uint32_t)number());
	else
		le32_store(down + 4, le32_load(down));
	kick(relid);
}

static void op_port(void)
{
	uint16_t port = (uint16_t)(one_in(2) ? dice() : 0x70 + below(0x80));

	if (one_in(4))
		port = MACHINE_COM1_PORT + 1 + (uint16_t)below(7);
	if (port == MACHINE_COM1_PORT ||
	    (port >= MACHINE_SLEEP_CONTROL_PORT - 4 && port <= MACHINE_RESET_PORT))
		return;
	switch (below(4)) {
	case 0:
		user_ask(do_in, port, 0);
		break;
	case 1:
		user_ask(do_in, port, 1);
		break;
	case 2:
		user_ask(do_out8, port, (uint8_t)dice());
		break;
	default:
		if (port < MACHINE_COM1_PORT - 4 || port > MACHINE_COM1_PORT + 8)
			user_ask(do_out32, port, (uint32_t)number());
		break;
	}
}

static void op_mmio(void)
{
	uint64_t at = MACHINE_LOW_GAP + below(UINT64_C(0x3c000000));

	if (one_in(2))
		at = MACHINE_IOAPIC_BASE + below(0x1000);
	at &= ~UINT64_C(3);
	if (one_in(2)) {
		mmio_read32(at);
		return;
	}
	if (at - MACHINE_IOAPIC_BASE < 0x1000) {
		/* Fixed delivery: an INIT or SMI to oneself would be the end. */
		mmio_write32(MACHINE_IOAPIC_BASE, (uint32_t)below(0x48));
		mmio_write32(MACHINE_IOAPIC_BASE + 0x10, (uint32_t)dice() & ~0x700u);
	} else {
		mmio_write32(at, (uint32_t)number());
	}
}

static void op_take(void)
{
	for (unsigned sint = 0; sint < HV_SINTS; sint++)
		le32_store(arena_page(2) + sint * 256, 0);
	user_ask(do_msr_write, HV_MSR_EOM, 0);
}

static void op_flood(void)
{
	uint32_t relid = (uint32_t)below(RELIDS);

	for (unsigned i = 0; i < BUSY_KICKS; i++)
		kick(relid);
}

enum { OP_MESSAGE = 2, OP_CONNECT = 3, OP_OPEN = 5, OP_PACKETS = 7, OPS_MAX = 12 };

static void (*const ops[OPS_MAX])(void) = {
	op_msr,   op_hypercall, op_message, op_connect, op_gpadl, op_open,
	op_close, op_packets,   op_port,    op_mmio,    op_take,  op_flood,
};

/* Packets most of all, since they reach the devices; a new connection now and then only, since it
 * closes everything. */
static unsigned choose(void)
{
	unsigned op = one_in(2) ? OP_PACKETS : (unsigned)below(OPS_MAX);

	if ((op == OP_CONNECT || op == OP_MESSAGE) && !one_in(8))
		op = OP_OPEN;
	return op;
}

/* The second processor: what the host reads changes under its hands. */
static void scribble(void)
{
	for (;;) {
		uint64_t d = dice_of(1);
		uint32_t relid = (uint32_t)(d % RELIDS);
		uint8_t *page = arena_page(area(relid) + (d & 64 ? AREA_PAGES / 2 : 0));

		if (d & 128)
			page = arena_page(area(relid) + (d >> 8) % AREA_PAGES);
		if ((d & 0xf00) == 0)
			page = arena_page(POST_PAGE);
		__atomic_store_n((uint32_t *)(void *)(page + (d & 128 ? (d >> 20) % PAGE & ~3u
								      : (d >> 20) % 8 * 4)),
				 (uint32_t)(d >> 40) & (d & 0x1000 ? 0x2ff8 : ~0u),
				 __ATOMIC_RELAXED);
	}
}

static uint64_t argument_number(const char *name, uint64_t otherwise)
{
	const char *at = argument(name);
	uint64_t value = 0;

	if (!at)
		return otherwise;
	for (; *at >= '0' && *at <= '9'; at++)
		value = value * 10 + (uint64_t)(*at - '0');
	return value;
}

static void console_sane(void)
{
	out8(MACHINE_COM1_PORT + 3, 3);
	out8(MACHINE_COM1_PORT + 1, 0);
	out8(MACHINE_COM1_PORT + 4, 3);
}

static uint64_t until;

static uint64_t finish(uint64_t done, uint64_t unused)
{
	(void)unused;
	console_sane();
	print("BLIND done %u\n", done);
	if (hypercall(0x7777, 0) == HV_STATUS_INVALID_CODE)
		print("PASS blind\n");
	else
		print("FAIL blind: hypercalls are gone\n");
	power_off();
}

static void wander(void)
{
	uint64_t done = 0;

	do {
		for (unsigned i = 0; i < STEPS_PER_LOOK; i++)
			ops[choose()]();
		done += STEPS_PER_LOOK;
	} while (user_ask(do_time, 0, 0) < until);
	user_ask(finish, done, 0);
	for (;;)
		;
}

const char *test_blind(void)
{
	uint64_t seed = argument_number("seed", 1);

	until = reference_time() + argument_number("seconds", 2) * UNITS_PER_S;
	state_of[0] = (seed + 1) * UINT64_C(0x9e3779b97f4a7c15);
	state_of[1] = ~state_of[0];
	print("BLIND seed %u\n", seed);
	hv_identify();
	if (argument("two")) {
		REQUIRE(smp_start(), "the second processor did not start");
		second_work = scribble;
		apic_send(1, BLIND_WAKE_VECTOR);
	}
	interrupts_off();
	user_enter(wander);
}
