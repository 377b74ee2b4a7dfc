/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The bus with three greedy devices, against a guest whose every message, ring byte and signal
 * comes from the input; the devices receive, look at ranges and GPADLs, answer, fault, refuse and
 * take their offers back, also from within their calls.
 *
 * Checked besides memory: a device is open exactly while its channel is, ranges and GPADLs lie in
 * RAM, the host posts and signals within bounds (tests/lib/vmguest.c aborts).
 */
#include <errno.h>
#include <string.h>

#include "base/cursor.h"
#include "base/util.h"
#include "fuzz/harness.h"
#include "tests/lib/vmguest.h"

#define RAM_BYTES (48u * 4096u)
#define DEVICES 3u
#define STEPS_MAX 200u
#define AREA_PAGES 8u /* of guest RAM per relid, for honest opens */
#define RAW_MAX 255u
#define IOVS 8u

enum step {
	STEP_CONTACT,
	STEP_OFFERS,
	STEP_RAW_MESSAGE,
	STEP_GPADL,
	STEP_OPEN,
	STEP_HONEST_OPEN,
	STEP_RELID_MESSAGE,
	STEP_TEARDOWN,
	STEP_UNLOAD,
	STEP_MODIFY,
	STEP_MEMORY,
	STEP_INDEX,
	STEP_PACKET,
	STEP_SIGNAL,
	STEP_TAKE,
	STEP_SLOT,
	STEP_OFFER,
	STEP_RESCIND,
	STEP_HOST_SEND,
	STEP_MOOD,
	STEP_COUNT,
};

enum mood {
	MOOD_ECHO,
	MOOD_ONE_AT_A_TIME,
	MOOD_DEAF, /* ready() takes nothing and asks to be called again */
	MOOD_FAULT,
	MOOD_RESCIND, /* from within ready() */
	MOOD_REFUSE,  /* to open */
	MOOD_TRANSFER,
	MOOD_SEND_IN_CLOSE,
	MOOD_COUNT,
};

struct fuzz;

struct device {
	struct fuzz *f;
	struct vmbus_channel *offered, *open;
	enum mood mood;
};

struct fuzz {
	struct cursor in;
	struct vmguest *g;
	struct device device[DEVICES];
};

static void touch(struct fuzz *f, const struct iovec *iov, unsigned count, uint64_t bytes)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < count; i++) {
		const uint8_t *base = iov[i].iov_base;

		must(base >= f->g->ram && base + iov[i].iov_len <= f->g->ram + RAM_BYTES);
		sum += iov[i].iov_len;
	}
	must(sum == bytes);
}

/* The payload's first words say which GPADL and where. */
static void use_gpadl(struct fuzz *f, struct vmbus_channel *ch, const struct vmbus_packet *p)
{
	struct cursor c = cursor_of(p->payload, p->payload_len);
	uint32_t handle = cursor_u32(&c), offset = cursor_u32(&c), len = cursor_u32(&c) & 0x3fff;
	static uint8_t bytes[0x4000];
	struct iovec iov[IOVS];
	unsigned count;
	int64_t size = vmbus_gpadl_len(ch, handle);
	int r;

	r = vmbus_gpadl_read(ch, handle, offset, bytes, len);
	must(size < 0 ? r == -ENOENT : (r == 0) == range_within(offset, len, (uint64_t)size));
	if (r == 0)
		must(vmbus_gpadl_write(ch, handle, offset, bytes, len) == 0);
	if (vmbus_gpadl_iov(ch, handle, offset, len, iov, IOVS, &count) == 0)
		touch(f, iov, count, len);
}

static void look(struct device *d, struct vmbus_channel *ch, const struct vmbus_packet *p)
{
	struct iovec iov[IOVS];
	unsigned count;
	uint64_t bytes;

	must(p->payload_len <= VMBUS_PACKET_MAX && p->payload_len % 8 == 0);
	if (p->type == VMBUS_PACKET_GPA_DIRECT &&
	    vmbus_packet_iov(vmbus_channel_bus(ch), p, iov, IOVS, 1u << 20, &count, &bytes) == 0)
		touch(d->f, iov, count, bytes);
	if (p->payload_len >= 12)
		use_gpadl(d->f, ch, p);
}

static void answer(struct device *d, struct vmbus_channel *ch, const struct vmbus_packet *p)
{
	struct vmbus_transfer_range range = {.byte_count = p->payload_len};
	uint8_t copy[256];
	uint32_t len = min_u32(p->payload_len, sizeof(copy));

	memcpy(copy, p->payload, len);
	if (d->mood == MOOD_TRANSFER)
		vmbus_channel_send_transfer(ch, 1, &range, 1, p->transaction, copy, len);
	else
		vmbus_channel_complete(ch, p->transaction, copy, len);
}

static int device_open(void *dev, struct vmbus_channel *ch, const uint8_t *user)
{
	struct device *d = dev;

	must(!d->open && d->offered == ch && user);
	if (d->mood == MOOD_REFUSE)
		return -EBUSY;
	vmbus_channel_send(ch, VMBUS_PACKET_INBAND, true, 1, "hello", 5);
	d->open = ch;
	return 0;
}

static void device_ready(void *dev, struct vmbus_channel *ch)
{
	struct device *d = dev;
	struct vmbus_packet p;

	must(d->open == ch);
	if (d->mood == MOOD_DEAF) {
		d->mood = MOOD_ECHO;
		vmbus_channel_resume(ch);
		return;
	}
	while (vmbus_channel_receive(ch, &p) == 0) {
		look(d, ch, &p);
		answer(d, ch, &p);
		if (d->mood == MOOD_FAULT)
			vmbus_channel_fault(ch, "the input says so");
		if (d->mood == MOOD_RESCIND) {
			d->offered = NULL;
			vmbus_rescind(ch);
			return;
		}
		if (d->mood == MOOD_ONE_AT_A_TIME) {
			vmbus_channel_resume(ch);
			return;
		}
	}
}

static void device_close(void *dev, struct vmbus_channel *ch)
{
	struct device *d = dev;

	must(d->open == ch);
	if (d->mood == MOOD_SEND_IN_CLOSE) {
		must(vmbus_channel_send(ch, VMBUS_PACKET_INBAND, false, 0, "bye", 3) == -EPROTO);
		vmbus_channel_resume(ch);
		vmbus_channel_flush(ch);
		vmbus_channel_fault(ch, "closed already");
	}
	d->open = NULL;
}

static const struct vmbus_device_ops device_ops = {
	.name = "greedy", .open = device_open, .ready = device_ready, .close = device_close};

static void step_offer(struct fuzz *f, struct device *d)
{
	struct vmbus_offer offer = {.ops = &device_ops, .dev = d, .pipe = (f->in.left & 1) != 0};

	if (!d->offered)
		must(vmbus_offer_channel(f->g->bus, &offer, &d->offered) == 0);
}

static void step_rescind(struct device *d)
{
	struct vmbus_channel *ch = d->offered;

	d->offered = NULL;
	if (ch)
		vmbus_rescind(ch);
	must(!d->open);
}

static uint32_t take_relid(struct fuzz *f)
{
	uint8_t b = cursor_u8(&f->in);

	return b < 0xf0 ? b % 6 : b * 2u;
}

static uint32_t take_handle(struct fuzz *f)
{
	return cursor_u8(&f->in) % 16;
}

static void step_contact(struct fuzz *f)
{
	static const uint32_t versions[] = {VMBUS_VERSION(5, 3), VMBUS_VERSION(4, 0),
					    VMBUS_VERSION(2, 4), VMBUS_VERSION(6, 0)};
	uint8_t b = cursor_u8(&f->in);
	struct vmbus_msg_initiate_contact msg = {
		.header.type = VMBUS_MSG_INITIATE_CONTACT,
		.version = versions[b % ARRAY_LEN(versions)],
		.target_vp = b >> 5,
	};

	vmbus_message(f->g->bus, b & 4 ? 1 : 4, &msg, sizeof(msg));
}

static void step_raw_message(struct fuzz *f)
{
	uint8_t bytes[VMBUS_MESSAGE_MAX + 8] = {0};
	uint8_t type = cursor_u8(&f->in), connection = cursor_u8(&f->in);
	size_t len = cursor_u8(&f->in) % sizeof(bytes), n;

	n = cursor_copy_padded(&f->in, bytes, len);
	if (n >= 4 && type < 0x80)
		le32_store(bytes, type % 32);
	vmbus_message(f->g->bus, connection, bytes, len);
}

/* A header, and as many bodies as the input has: pages, bytes and offset as it says. */
static void step_gpadl(struct fuzz *f)
{
	uint8_t msg[VMBUS_MESSAGE_MAX] = {0};
	struct vmbus_msg_gpadl_header head = {.header.type = VMBUS_MSG_GPADL_HEADER};
	struct vmbus_msg_gpadl_body body = {.header.type = VMBUS_MSG_GPADL_BODY};
	unsigned pages = cursor_u8(&f->in) % 40, sent = cursor_u8(&f->in) % 27;
	uint8_t first = cursor_u8(&f->in), kind = cursor_u8(&f->in);
	uint64_t pfn = first;

	head.relid = take_relid(f);
	body.gpadl = head.gpadl = take_handle(f);
	head.range_bytes = (uint16_t)(8 + pages * 8 + (kind & 7));
	head.range_count = kind & 8 ? 2 : 1;
	memcpy(msg, &head, sizeof(head));
	le32_store(msg + 20, kind & 16 ? cursor_u32(&f->in) : pages * 4096);
	le32_store(msg + 24, kind & 32 ? cursor_u16(&f->in) : 0);
	for (unsigned i = 0; i < sent; i++, pfn += kind & 64 ? 2 : 1)
		le64_store(msg + 28 + i * 8, pfn);
	vmbus_message(f->g->bus, 4, msg, 28 + sent * 8);
	while (sent < pages && !(kind & 128)) {
		memcpy(msg, &body, sizeof(body));
		for (unsigned i = 0; i < 28; i++, pfn++)
			le64_store(msg + 16 + i * 8, pfn);
		vmbus_message(f->g->bus, 4, msg, 16 + 28 * 8);
		sent += 28;
	}
}

static void open_message(struct fuzz *f, uint32_t relid, uint32_t handle, uint32_t down)
{
	struct vmbus_msg_open msg = {
		.header.type = VMBUS_MSG_OPEN,
		.relid = relid,
		.open_id = relid,
		.ring_gpadl = handle,
		.target_vp = cursor_u8(&f->in) % (VMGUEST_VPS + 1),
		.downstream_page = down,
	};

	vmbus_message(f->g->bus, 4, &msg, sizeof(msg));
}

static void step_open(struct fuzz *f)
{
	uint32_t relid = take_relid(f), handle = take_handle(f);
	uint32_t down = cursor_u8(&f->in);

	open_message(f, relid, handle, down < 0xf0 ? down % 12 : down << 24);
}

/* Rings where STEP_PACKET writes them: in the area of the relid. */
static void step_honest_open(struct fuzz *f)
{
	uint32_t relid = 1 + cursor_u8(&f->in) % 5;
	uint8_t msg[28 + AREA_PAGES * 8] = {0};
	struct vmbus_msg_gpadl_header head = {
		.header.type = VMBUS_MSG_GPADL_HEADER,
		.relid = relid,
		.gpadl = 0x100 + relid,
		.range_bytes = 8 + AREA_PAGES * 8,
		.range_count = 1,
	};

	memcpy(msg, &head, sizeof(head));
	le32_store(msg + 20, AREA_PAGES * 4096);
	for (unsigned i = 0; i < AREA_PAGES; i++)
		le64_store(msg + 28 + i * 8, relid * AREA_PAGES + i);
	memset(f->g->ram + relid * AREA_PAGES * 4096u, 0, AREA_PAGES * 4096u);
	vmbus_message(f->g->bus, 4, msg, sizeof(msg));
	open_message(f, relid, head.gpadl, AREA_PAGES / 2);
}

static void step_relid_message(struct fuzz *f)
{
	struct vmbus_msg_relid msg = {
		.header.type = cursor_u8(&f->in) & 1 ? VMBUS_MSG_CLOSE : VMBUS_MSG_RELID_RELEASED};

	msg.relid = take_relid(f);
	vmbus_message(f->g->bus, 4, &msg, sizeof(msg));
}

static void step_teardown(struct fuzz *f)
{
	struct vmbus_msg_gpadl_teardown msg = {.header.type = VMBUS_MSG_GPADL_TEARDOWN};

	msg.relid = take_relid(f);
	msg.gpadl = cursor_u8(&f->in);
	msg.gpadl = msg.gpadl & 0x80 ? 0x100 + msg.relid : msg.gpadl % 16;
	vmbus_message(f->g->bus, 4, &msg, sizeof(msg));
}

static void step_modify(struct fuzz *f)
{
	struct vmbus_msg_modify_channel msg = {.header.type = VMBUS_MSG_MODIFY_CHANNEL};

	msg.relid = take_relid(f);
	msg.target_vp = cursor_u8(&f->in) % (VMGUEST_VPS + 1);
	vmbus_message(f->g->bus, 4, &msg, sizeof(msg));
}

static void step_memory(struct fuzz *f)
{
	uint8_t bytes[RAW_MAX];
	uint64_t gpa = cursor_u32(&f->in) % RAM_BYTES;
	size_t n = cursor_copy_padded(&f->in, bytes, cursor_u8(&f->in));

	gmem_write(&f->g->gmem, gpa, bytes, n);
}

/* Words of a control page: 0 write, 1 read, 2 mask, 3 pending. */
static void step_index(struct fuzz *f)
{
	uint8_t which = cursor_u8(&f->in);
	uint32_t relid = 1 + which / 8 % 5, value = cursor_u32(&f->in);
	uint64_t page = relid * AREA_PAGES + (which & 4 ? AREA_PAGES / 2 : 0);

	le32_store(f->g->ram + page * 4096 + (which & 3) * 4u,
		   which & 0x80 ? value & 0x3ff8 : value);
}

/* A packet at the guest's write index, its header as the input says; the index moves on. */
static void step_packet(struct fuzz *f)
{
	uint32_t relid = 1 + cursor_u8(&f->in) % 5, ring = (AREA_PAGES / 2 - 1) * 4096u, at;
	uint8_t *control = f->g->ram + relid * AREA_PAGES * 4096u, body[16 + RAW_MAX * 8] = {0};
	uint8_t kind = cursor_u8(&f->in), words = cursor_u8(&f->in);
	uint32_t total = 16u + words * 8u;
	struct vmbus_packet_header head = {
		.type = kind & 1 ? VMBUS_PACKET_GPA_DIRECT : VMBUS_PACKET_INBAND,
		.offset8 = kind & 2 ? cursor_u8(&f->in) : 2,
		.length8 = kind & 4 ? cursor_u16(&f->in) : (uint16_t)(total / 8),
		.flags = 1,
		.transaction = kind,
	};

	memcpy(body, &head, sizeof(head));
	cursor_copy_padded(&f->in, body + 16, min_u32(cursor_u8(&f->in), total - 16));
	at = le32_load(control) % ring;
	for (uint32_t i = 0; i < total; i++)
		control[4096 + (at + i) % ring] = body[i];
	le32_store(control, (at + total + 8) % ring);
	if (kind & 0x80)
		vmbus_signal(f->g->bus, VMBUS_SIGNAL_CONNECTION_BASE + relid);
}

static void step_host_send(struct fuzz *f)
{
	struct device *d = &f->device[cursor_u8(&f->in) % DEVICES];
	uint8_t bytes[RAW_MAX];
	uint32_t len = cursor_u8(&f->in);

	memset(bytes, 0x77, sizeof(bytes));
	if (!d->open)
		return;
	vmbus_channel_send(d->open, VMBUS_PACKET_INBAND, true, len, bytes, len);
	vmbus_channel_flush(d->open);
}

static void step_take(struct fuzz *f)
{
	struct vmguest_message m;

	for (unsigned n = cursor_u8(&f->in); n && vmguest_take(f->g, &m); n--)
		;
}

static void step_guest(struct fuzz *f, uint8_t step)
{
	struct vmbus_msg_header header = {.type = VMBUS_MSG_REQUEST_OFFERS};

	switch (step) {
	case STEP_CONTACT:
		step_contact(f);
		break;
	case STEP_OFFERS:
		vmbus_message(f->g->bus, 4, &header, sizeof(header));
		break;
	case STEP_RAW_MESSAGE:
		step_raw_message(f);
		break;
	case STEP_GPADL:
		step_gpadl(f);
		break;
	case STEP_OPEN:
		step_open(f);
		break;
	case STEP_HONEST_OPEN:
		step_honest_open(f);
		break;
	case STEP_RELID_MESSAGE:
		step_relid_message(f);
		break;
	case STEP_TEARDOWN:
		step_teardown(f);
		break;
	case STEP_UNLOAD:
		header.type = VMBUS_MSG_UNLOAD;
		vmbus_message(f->g->bus, 4, &header, sizeof(header));
		break;
	case STEP_MODIFY:
		step_modify(f);
		break;
	case STEP_MEMORY:
		step_memory(f);
		break;
	case STEP_INDEX:
		step_index(f);
		break;
	default:
		step_packet(f);
		break;
	}
}

static void step_host(struct fuzz *f, uint8_t step)
{
	struct device *d;

	switch (step) {
	case STEP_SIGNAL:
		vmbus_signal(f->g->bus, VMBUS_SIGNAL_CONNECTION_BASE + take_relid(f));
		break;
	case STEP_TAKE:
		step_take(f);
		break;
	case STEP_SLOT:
		f->g->slot_busy = !f->g->slot_busy;
		vmbus_slot_free(f->g->bus);
		break;
	case STEP_OFFER:
		step_offer(f, &f->device[cursor_u8(&f->in) % DEVICES]);
		break;
	case STEP_RESCIND:
		step_rescind(&f->device[cursor_u8(&f->in) % DEVICES]);
		break;
	case STEP_HOST_SEND:
		step_host_send(f);
		break;
	default:
		d = &f->device[cursor_u8(&f->in) % DEVICES];
		d->mood = cursor_u8(&f->in) % MOOD_COUNT;
		break;
	}
}

/* A device is open exactly while its channel is. */
static void check(struct fuzz *f)
{
	struct vmbus_channel_info info;
	unsigned live = 0, open = 0;

	for (uint32_t relid = 0, last = 0; vmbus_channel_info(f->g->bus, &relid, &info) == 0;
	     relid++) {
		must(relid > last && info.relid == relid);
		last = relid;
		live += strcmp(info.state, "open") == 0 || strcmp(info.state, "faulted") == 0;
	}
	for (unsigned i = 0; i < DEVICES; i++)
		open += f->device[i].open != NULL;
	must(live == open);
}

/* The guest is made once and put back; the offers are made anew, so that they have the relids and
 * states that they had. */
static void reset(struct fuzz *f)
{
	vmbus_reset(f->g->bus);
	for (unsigned i = 0; i < DEVICES; i++) {
		must(!f->device[i].open);
		step_rescind(&f->device[i]);
	}
	fuzz_tell(f->g->ram, RAM_BYTES);
	fuzz_tell(f->g->signals, sizeof(f->g->signals));
	vmguest_reset(f->g);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct vmguest *guest;
	struct fuzz f = {.in = cursor_of(data, size)};

	if (!guest)
		guest = vmguest_new(RAM_BYTES, 0);
	f.g = guest;
	for (unsigned i = 0; i < DEVICES; i++) {
		f.device[i].f = &f;
		step_offer(&f, &f.device[i]);
	}
	for (unsigned n = 0; n < STEPS_MAX && f.in.left; n++) {
		uint8_t step = cursor_u8(&f.in), kind = step % STEP_COUNT;

		if (kind < STEP_SIGNAL)
			step_guest(&f, kind);
		else
			step_host(&f, kind);
		if (step & 0x80 || n % 8 == 0)
			vmguest_run(f.g);
		check(&f);
	}
	reset(&f);
	return 0;
}
