/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The NIC in a record of a saved state: what goes on, and records that lie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/failheap.h"
#include "tests/lib/statetest.h"
#include "tests/unit/devices/net/nic_reopen.h"

#define LONG_FRAME 20000u
#define FLOWS 6u
#define REPLIES 3u

static uint8_t record[STATETEST_ROOM];

static void state_of(void *device, struct record *r)
{
	struct nic *n = device;

	netvsp_state(n->dev, r);
}

static void drop(void *device)
{
	nic_free(device);
}

static void *fresh(void)
{
	return nic_new_unused(NIC_OFFLOADS, (struct netvsp_config){.queues = NIC_QUEUES});
}

/* What the guest of rich() has not completed. */
struct owed {
	uint64_t transaction[8];
	unsigned count;
};

/* The host finds no room in the ring, all of which was read. */
static void fill(struct vmguest_channel *ch)
{
	struct vmbus_ring_control *down = vmguest_down(ch);

	down->read_index = (down->write_index + 8) % ch->ring_len;
}

static void owe(struct vmguest_channel sub[NIC_QUEUES], struct owed *owed)
{
	struct vmguest_packet p;

	for (unsigned i = 0; i < NIC_QUEUES; i++) {
		while (vmguest_receive(&sub[i], &p)) {
			assert_int_equal(p.type, VMBUS_PACKET_TRANSFER_PAGES);
			assert_true(owed->count < ARRAY_LEN(owed->transaction));
			owed->transaction[owed->count++] = p.transaction;
		}
	}
}

/* A control message that the NIC answers. */
static void ask(struct nic *n, uint64_t transaction)
{
	struct nvsp_rndis msg = {NVSP_MSG_RNDIS, NVSP_CHANNEL_CONTROL, NVSP_NO_SECTION, 0};
	const uint32_t alive[3] = {RNDIS_MSG_KEEPALIVE, sizeof(alive), 0x77};

	memcpy(vmguest_at(n->guest, n->scratch), alive, sizeof(alive));
	vmguest_send_gpa(&n->ch, transaction, n->scratch, sizeof(alive), &msg, sizeof(msg));
}

/* A NIC with something of everything under way. */
static struct nic *rich(struct vmguest_channel sub[NIC_QUEUES], struct owed *owed)
{
	struct nic *n = nic_started_queues(NIC_OFFLOADS, sub);
	static uint8_t frame[LONG_FRAME];
	struct nic_rss s = nic_rss();

	owed->count = 0;
	assert_int_equal(nic_set_offloads(n, NDIS_CHECKSUM_BOTH, 0, NDIS_OFFLOAD_ON), 0);
	assert_int_equal(nic_set_rss(n, &s), 0);
	nic_tcp_frame(frame, sizeof(frame));
	assert_true(nic_place(n, frame, sizeof(frame), &nic_long_facts));
	nic_flow_frame(frame, 99);
	assert_int_equal(nic_receive(n, frame, 60), 0);
	owe(sub, owed);
	assert_int_equal(owed->count, 2);
	fill(&n->ch);
	ask(n, 0x4711);
	for (uint16_t port = 1; port <= FLOWS; port++) {
		nic_flow_frame(frame, port);
		assert_int_equal(n->port.sink.receive(n->port.sink.owner, frame, 60, NULL), 0);
	}
	netvsp_set_link(n->dev, false);
	netvsp_set_link(n->dev, true);
	assert_int_equal(n->guest->faults, 0);
	return n;
}

static void complete(struct vmguest_channel *ch, uint64_t transaction)
{
	const struct nvsp_rndis_complete done = {NVSP_MSG_RNDIS_COMPLETE, NVSP_STATUS_SUCCESS};

	vmguest_complete(ch, transaction, &done, sizeof(done));
}

/* Takes and completes what the NIC sends by one channel: how many frames and replies. */
static void collect(struct nic *n, struct vmguest_channel *ch, unsigned *frames, unsigned *replies)
{
	struct vmguest_packet p;

	while (vmguest_receive(ch, &p)) {
		uint32_t count = le32_load(p.head + 4);

		assert_int_equal(p.type, VMBUS_PACKET_TRANSFER_PAGES);
		assert_int_equal(le16_load(p.head), NVSP_RECEIVE_BUFFER_ID);
		for (uint32_t i = 0; i < count; i++) {
			const uint8_t *msg =
				vmguest_at(n->guest, n->rx + le32_load(p.head + 12 + i * 8));

			assert_int_equal(le32_load(msg + 4), le32_load(p.head + 8 + i * 8));
			*(le32_load(msg) == RNDIS_MSG_PACKET ? frames : replies) += 1;
		}
		complete(ch, p.transaction);
	}
}

/* Frames that fit at once, which are taken and completed then. */
static unsigned capacity(struct nic *n, struct vmguest_channel sub[NIC_QUEUES])
{
	unsigned count = 0, frames = 0, replies = 0;
	uint8_t frame[60];

	nic_flow_frame(frame, 1);
	while (nic_receive(n, frame, sizeof(frame)) == 0)
		count++;
	for (unsigned i = 0; i < NIC_QUEUES; i++)
		collect(n, &sub[i], &frames, &replies);
	assert_int_equal(frames, count);
	assert_int_equal(replies, 0);
	return count;
}

static void nic_goes_on_where_it_stood(void **state)
{
	struct vmguest_channel was[NIC_QUEUES], sub[NIC_QUEUES];
	struct owed owed;
	struct nic *from = rich(was, &owed), *n = fresh();
	unsigned frames = 0, replies = 0;
	struct vmguest_packet p;

	(void)state;
	statetest_same(state_of, from, n);
	memcpy(n->guest->ram, from->guest->ram, n->guest->ram_len);
	assert_int_equal(nic_reopen(n, sub), NIC_QUEUES);
	assert_int_equal(n->rx_gpadl, from->rx_gpadl);
	assert_int_equal(n->accepted, NIC_OFFLOADS);
	assert_true(vmguest_receive(&sub[0], &p));
	assert_int_equal(p.type, VMBUS_PACKET_COMPLETION);
	assert_int_equal(p.transaction, 0x4711);
	assert_int_equal(p.len, NVSP_MESSAGE_BYTES_V6_1);
	assert_int_equal(le32_load(p.payload + 4), NVSP_STATUS_SUCCESS);
	for (unsigned i = 0; i < NIC_QUEUES; i++)
		collect(n, &sub[i], &frames, &replies);
	assert_int_equal(frames, FLOWS);
	assert_int_equal(replies, REPLIES);
	for (unsigned i = 0; i < owed.count; i++)
		complete(&sub[0], owed.transaction[i]);
	assert_int_equal(capacity(n, sub), NIC_LONG_SECTIONS - 2);
	ask(n, 0x4712);
	/* The answer is on its way before the request is completed. */
	assert_true(vmguest_receive(&sub[0], &p));
	assert_int_equal(p.type, VMBUS_PACKET_TRANSFER_PAGES);
	complete(&sub[0], p.transaction);
	assert_true(vmguest_receive(&sub[0], &p));
	assert_int_equal(p.transaction, 0x4712);
	assert_int_equal(n->guest->faults, 0);
	/* Each number is good once. */
	complete(&sub[0], owed.transaction[0]);
	assert_int_equal(n->guest->faults, 1);
	nic_free(n);
	nic_free(from);
}

static void flows_go_by_the_table_that_was_read(void **state)
{
	struct vmguest_channel was[NIC_QUEUES], sub[NIC_QUEUES];
	struct owed owed;
	struct nic *from = rich(was, &owed), *n = fresh();
	struct vmguest_packet p;
	uint8_t frame[60];
	unsigned seen = 0;

	(void)state;
	statetest_same(state_of, from, n);
	nic_reopen(n, sub);
	for (unsigned i = 0; i < NIC_QUEUES; i++) {
		while (vmguest_receive(&sub[i], &p)) {
			if (p.type == VMBUS_PACKET_TRANSFER_PAGES)
				complete(&sub[i], p.transaction);
		}
	}
	for (uint16_t port = 1; port <= FLOWS; port++) {
		nic_flow_frame(frame, port);
		assert_int_equal(nic_receive(n, frame, sizeof(frame)), 0);
	}
	for (unsigned i = 0; i < NIC_QUEUES; i++)
		seen |= (unsigned)vmguest_receive(&sub[i], &p) << i;
	assert_int_equal(seen, 7);
	nic_free(n);
	nic_free(from);
}

static void sub_channel_may_be_reopened_first(void **state)
{
	const struct nvsp_rndis data = {NVSP_MSG_RNDIS, NVSP_CHANNEL_DATA, 0, 100};
	struct vmguest_channel was[NIC_QUEUES], sub[NIC_QUEUES];
	uint32_t relid[NIC_QUEUES];
	struct owed owed;
	struct nic *from = rich(was, &owed), *n = fresh();
	uint8_t frame[60];

	(void)state;
	statetest_same(state_of, from, n);
	assert_int_equal(nic_find_all(n, relid), NIC_QUEUES);
	nic_reopen_some(n, relid, 1, NIC_QUEUES, sub);
	nic_flow_frame(frame, 1);
	assert_int_equal(nic_receive(n, frame, sizeof(frame)), 0);
	for (unsigned i = 1; i < NIC_QUEUES; i++)
		vmguest_send_inband(&sub[i], 5, &data, sizeof(data));
	assert_int_equal(n->accepted, 0);
	n->relid = relid[0];
	nic_open(n);
	/* It was opened, rather than reopened: a driver begins. */
	nic_up(n);
	assert_int_equal(n->guest->faults, 0);
	nic_free(n);
	nic_free(from);
}

/* As a driver has it that changes its MTU. */
static void number_outlives_a_buffer_that_was_revoked(void **state)
{
	const uint32_t revoke[2] = {NVSP_MSG_REVOKE_RECEIVE_BUFFER, NVSP_RECEIVE_BUFFER_ID};
	struct nic *from = nic_new_with(NIC_OFFLOADS, (struct netvsp_config){0}), *n;
	struct vmguest_channel sub[NIC_QUEUES];
	struct vmguest_packet p;
	uint8_t frame[60];
	uint64_t before;

	(void)state;
	nic_long_rx(from);
	nic_up(from);
	nic_frame(frame, sizeof(frame));
	assert_int_equal(nic_receive(from, frame, sizeof(frame)), 0);
	assert_true(vmguest_receive(&from->ch, &p));
	before = p.transaction;
	nic_tell(from, revoke, sizeof(revoke));
	n = nic_new_unused(NIC_OFFLOADS, (struct netvsp_config){0});
	statetest_same(state_of, from, n);
	assert_int_equal(nic_reopen(n, sub), 1);
	complete(&n->ch, before); /* too late is no lie */
	assert_int_equal(nic_give_rx(n, n->rx_gpadl), NVSP_STATUS_SUCCESS);
	assert_int_equal(nic_receive(n, frame, sizeof(frame)), 0);
	assert_true(vmguest_receive(&n->ch, &p));
	assert_int_not_equal(p.transaction, before);
	assert_int_equal((uint32_t)p.transaction, (uint32_t)before);
	assert_int_equal(n->guest->faults, 0);
	nic_free(n);
	nic_free(from);
}

static void nic_that_no_driver_has_opened_is_one_again(void **state)
{
	struct nic *from = fresh(), *n = fresh();

	(void)state;
	netvsp_set_link(from->dev, false);
	statetest_same(state_of, from, n);
	assert_false(netvsp_link(n->dev));
	nic_connect(n);
	nic_up(n);
	nic_free(n);
	nic_free(from);
}

static void frames_and_the_link_between_reading_and_reopening_do_no_harm(void **state)
{
	struct vmguest_channel was[NIC_QUEUES], sub[NIC_QUEUES];
	struct owed owed;
	struct nic *from = rich(was, &owed), *n = fresh();
	struct iovec iov[NETPORT_ROOM_MAX];
	unsigned frames = 0, replies = 0;
	struct vmguest_packet p;
	uint8_t frame[60];
	size_t begin;

	(void)state;
	statetest_same(state_of, from, n);
	memcpy(n->guest->ram, from->guest->ram, n->guest->ram_len);
	nic_flow_frame(frame, 1);
	assert_int_equal(nic_receive(n, frame, sizeof(frame)), 0);
	assert_int_equal(n->port.sink.room(n->port.sink.owner, iov, &begin), 0);
	assert_int_equal(netvsp_get_stats(n->dev)->received_dropped, 1);
	netvsp_set_link(n->dev, false);
	nic_reopen(n, sub);
	assert_true(vmguest_receive(&sub[0], &p));
	for (unsigned i = 0; i < NIC_QUEUES; i++)
		collect(n, &sub[i], &frames, &replies);
	assert_int_equal(frames, FLOWS);
	assert_int_equal(replies, REPLIES + 1);
	nic_free(n);
	nic_free(from);
}

static void state_whose_channels_stay_closed_ends_with_the_next_driver(void **state)
{
	struct vmguest_channel sub[NIC_QUEUES];
	struct owed owed;
	struct nic *from = rich(sub, &owed), *n = fresh();
	uint32_t count;

	(void)state;
	statetest_same(state_of, from, n);
	nic_connect(n);
	nic_long_rx(n);
	nic_up(n);
	sub[0] = sub[1] = sub[2] = n->ch;
	assert_int_equal(capacity(n, sub), NIC_LONG_SECTIONS - 2);
	assert_int_equal(nic_allocate(n, NVSP_SUB_CHANNEL_ALLOCATE, 2, &count),
			 NVSP_STATUS_SUCCESS);
	assert_int_equal(count, 2);
	assert_int_equal(n->guest->faults, 0);
	nic_free(n);
	nic_free(from);
}

static void channel_that_the_state_does_not_know_is_faulted(void **state)
{
	struct vmguest_channel sub[NIC_QUEUES];
	struct nic *from = fresh(), *n = fresh();

	(void)state;
	statetest_same(state_of, from, n);
	assert_int_equal(nic_reopen(n, sub), 1);
	assert_int_equal(n->guest->faults, 1);
	vmguest_close(&n->ch);
	assert_true(vmguest_open(n->guest, n->relid, NIC_RING_PAGES, &n->ch));
	nic_up(n);
	nic_free(n);
	nic_free(from);
}

/* A guest and a network that go on with whatever was read; then a driver that begins anew. */
static void drive(void *device)
{
	struct vmguest_channel sub[NIC_QUEUES];
	static uint8_t frame[LONG_FRAME];
	struct vmguest_packet p;
	struct nic *n = device;
	unsigned count;

	nic_flow_frame(frame, 1);
	nic_receive(n, frame, 60);
	count = nic_reopen(n, sub);
	nic_tcp_frame(frame, sizeof(frame));
	for (unsigned round = 0; round < 3; round++) {
		netvsp_set_link(n->dev, !netvsp_link(n->dev));
		for (uint16_t port = 1; port <= 8; port++) {
			nic_flow_frame(frame, port);
			nic_receive(n, frame, 60);
		}
		nic_place(n, frame, sizeof(frame), &nic_long_facts);
		for (unsigned i = 0; i < count; i++) {
			for (unsigned k = 0; k < 20 && vmguest_receive(&sub[i], &p); k++)
				complete(&sub[i], p.transaction);
		}
		ask(n, round);
	}
	vmguest_close(&n->ch);
	if (!vmguest_open(n->guest, n->relid, NIC_RING_PAGES, &n->ch))
		abort();
	netvsp_set_link(n->dev, true);
	while (vmguest_receive(&n->ch, &p)) {
	}
	nic_up(n);
}

static void record_that_was_cut_is_refused(void **state)
{
	struct vmguest_channel sub[NIC_QUEUES];
	struct owed owed;
	struct nic *from = rich(sub, &owed);

	(void)state;
	statetest_cut(state_of, from, fresh, drop);
	nic_free(from);
}

static void record_with_a_changed_byte_is_refused_or_does_no_harm(void **state)
{
	struct vmguest_channel sub[NIC_QUEUES];
	struct owed owed;
	struct nic *from = rich(sub, &owed);

	(void)state;
	statetest_flip(state_of, from, fresh, drop, drive);
	nic_free(from);
}

/* Reads [record, record + len) into a NIC that must refuse it for this reason. */
static void refused(void *into, size_t len, const char *why)
{
	struct record r = record_reader(1, record, len);

	state_of(into, &r);
	assert_false(record_ok(&r));
	if (!strstr(r.wrong, why))
		fail_msg("'%s' where '%s' is expected", r.wrong, why);
}

struct lie {
	const char *name;
	unsigned nth;
	const char *bytes;
	size_t len;
	const char *why;
};

#define LIE(name, nth, bytes, why)                       \
	{                                                \
		name, nth, bytes, sizeof(bytes) - 1, why \
	}

static void fields_that_do_not_fit_are_refused(void **state)
{
	static const struct lie lies[] = {
		LIE("state", 0, "\0\0\0\0", "in this state"),
		LIE("state", 0, "\2\0\0\0", "in this state"),
		LIE("state", 0, "\4\0\0\0", "more than"),
		LIE("message_bytes", 0, "\51\0\0\0", "messages of 41"),
		LIE("queues", 0, "\0\0\0\0", "expected"),
		LIE("queues", 0, "\4\0\0\0", "more than 3"),
		LIE("send_sections", 0, "\xff\xff\xff\xff", "a send buffer"),
		LIE("section_bytes", 0, "\300\6\0\0", "a section has 1728 bytes"),
		LIE("sections", 0, "\1\100\0\0", "more than 16384"),
		LIE("generations", 0, "\1\100\0\0", "more than 16384"),
		LIE("free", 0, "\0", "half a section"),
		LIE("free", 0, "", "have a place"),
		LIE("free", 0, "\17\0\17\0", "free twice"),
		LIE("free", 0, "\20\0", "free twice, or is none"),
		LIE("batch", 0, "\101\0\0\0", "more than 64"),
		LIE("batch_first", 0, "\377\377", "what it counts"),
		LIE("batch_first", 0, "\20\0", "what it counts"),
		LIE("pending_answer", 0, "0123456789012345678901234567890123456789x",
		    "more than 40"),
		LIE("replies", 0, "\11\0\0\0", "more than 8"),
		LIE("reply", 0, "", "a reply is empty"),
		LIE("rndis_state", 0, "\1\0\0\0", "the filter"),
		LIE("filter", 0, "\0\0\0\0", "the filter"),
		LIE("features", 0, "\17\0\0\0", "offloads that its network has not"),
		LIE("rss_entries", 0, "\201\0\0\0", "more than 128"),
	};
	struct vmguest_channel sub[NIC_QUEUES];
	struct owed owed;
	struct nic *from = rich(sub, &owed), *n = fresh();

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lies); i++) {
		const struct lie *l = &lies[i];
		size_t len = statetest_write(state_of, from, record, sizeof(record));

		len = nic_edit(record, len, l->name, l->nth, l->bytes, l->len);
		refused(n, len, l->why);
	}
	statetest_same(state_of, from, n);
	nic_free(n);
	nic_free(from);
}

/* The record of `from` with one number of a field of many changed. */
static size_t with_number(struct nic *from, const char *name, size_t at, uint32_t value,
			  size_t width)
{
	size_t len = statetest_write(state_of, from, record, sizeof(record)), bytes;
	uint8_t *field = nic_field(record, len, name, 0, &bytes);

	assert_true((at + 1) * width <= bytes);
	memcpy(field + at * width, &value, width);
	return len;
}

static void chains_that_lie_are_refused(void **state)
{
	struct vmguest_channel sub[NIC_QUEUES];
	struct owed owed;
	struct nic *from = rich(sub, &owed), *n = fresh();
	size_t len = statetest_write(state_of, from, record, sizeof(record)), bytes;
	uint32_t under_way = (uint32_t)owed.transaction[0], first, free_one;
	uint32_t number = (uint32_t)(owed.transaction[0] >> 32);

	(void)state;
	first = le16_load(nic_field(record, len, "batch_first", 0, &bytes));
	free_one = le16_load(nic_field(record, len, "free", 0, &bytes));
	refused(n, with_number(from, "next", first, first, 2), "what it counts");
	refused(n, with_number(from, "next", first, free_one, 2), "what it counts");
	refused(n, with_number(from, "next", first, 0xfffe, 2), "what it counts");
	refused(n, with_number(from, "next", under_way, under_way, 2), "and elsewhere");
	refused(n, with_number(from, "next", under_way, first, 2), "and elsewhere");
	refused(n, with_number(from, "next", under_way, NIC_LONG_SECTIONS, 2), "and elsewhere");
	refused(n, with_number(from, "next", under_way, 0xffff, 2), "have a place");
	refused(n, with_number(from, "generation", under_way, number + 1, 4), "have a place");
	refused(n, with_number(from, "batch_bytes", 0, NIC_LONG_SECTION + 1, 4), "a section holds");
	statetest_same(state_of, from, n);
	nic_free(n);
	nic_free(from);
}

/* The section that waits in a batch, one that is free, and one that there is not. */
static void numbers_that_lie_are_refused(void **state)
{
	const uint32_t known = NIC_LONG_SECTIONS + 1;
	struct vmguest_channel sub[NIC_QUEUES];
	struct owed owed;
	struct nic *from = rich(sub, &owed), *n = fresh();
	size_t len = statetest_write(state_of, from, record, sizeof(record)), bytes;
	uint32_t number[NIC_LONG_SECTIONS + 1] = {0}, lies[3] = {0, 0, NIC_LONG_SECTIONS};

	(void)state;
	lies[0] = le16_load(nic_field(record, len, "batch_first", 0, &bytes));
	lies[1] = le16_load(nic_field(record, len, "free", 0, &bytes));
	for (unsigned i = 0; i < ARRAY_LEN(lies); i++) {
		uint8_t *field;

		len = statetest_write(state_of, from, record, sizeof(record));
		field = nic_field(record, len, "generation", 0, &bytes);
		memset(number, 0, sizeof(number));
		memcpy(number, field, bytes);
		number[lies[i]] |= 1;
		len = nic_edit(record, len, "generations", 0, &known, sizeof(known));
		len = nic_edit(record, len, "generation", 0, number, sizeof(number));
		refused(n, len, "under way and elsewhere");
	}
	nic_free(n);
	nic_free(from);
}

static void tables_that_lie_are_refused(void **state)
{
	static const uint8_t twelve[4] = {12}, none[4] = {0}, table[24] = {0};
	struct vmguest_channel sub[NIC_QUEUES];
	struct owed owed;
	struct nic *from = rich(sub, &owed), *n = fresh();
	size_t len;

	(void)state;
	refused(n, with_number(from, "rss_table", 31, NIC_QUEUES, 2), "names queue 3");
	len = statetest_write(state_of, from, record, sizeof(record));
	len = nic_edit(record, len, "rss_entries", 0, twelve, sizeof(twelve));
	len = nic_edit(record, len, "rss_table", 0, table, sizeof(table));
	refused(n, len, "a table of 12");
	len = nic_edit(record, len, "rss_entries", 0, none, sizeof(none));
	len = nic_edit(record, len, "rss_table", 0, NULL, 0);
	refused(n, len, "a table of 0");
	nic_free(n);
	nic_free(from);
}

static void nic_with_less_refuses_what_it_does_not_have(void **state)
{
	struct nic *from = nic_new_with(NETPORT_CHECKSUM, (struct netvsp_config){.queues = 2});
	struct nic *less = nic_new_unused(0, (struct netvsp_config){.queues = 2});
	struct nic *narrow = nic_new_unused(NETPORT_CHECKSUM, (struct netvsp_config){0});
	size_t len = statetest_write(state_of, from, record, sizeof(record));
	uint32_t count;

	(void)state;
	refused(less, len, "offloads that its network has not");
	len = nic_edit(record, len, "features", 0, "\0\0\0\0", 4);
	len = nic_edit(record, len, "receive_checksum", 0, "\1", 1);
	refused(less, len, "an offload is on");
	nic_up(from);
	assert_int_equal(nic_allocate(from, NVSP_SUB_CHANNEL_ALLOCATE, 1, &count),
			 NVSP_STATUS_SUCCESS);
	len = statetest_write(state_of, from, record, sizeof(record));
	refused(narrow, len, "more than 1");
	/* Not into one that is in use, either. */
	refused(from, len, "a driver has used");
	nic_free(narrow);
	nic_free(less);
	nic_free(from);
}

static size_t memory_record_len;

static int read_with_little_memory(void *ctx)
{
	struct record r = record_reader(1, record, memory_record_len);
	struct nic *n = ctx;
	struct vmbus_channel_info info;
	uint32_t relid = 2;

	netvsp_state(n->dev, &r);
	if (record_ok(&r)) {
		/* Only what is refused leaves it fresh for the next time. */
		netvsp_free(n->dev);
		n->dev = NULL;
		return 0;
	}
	assert_true(failheap_failed());
	assert_int_equal(vmbus_channel_info(n->guest->bus, &relid, &info), -ENOENT);
	return -ENOMEM;
}

static void nic_without_memory_refuses_and_stays_as_it_was(void **state)
{
	struct vmguest_channel sub[NIC_QUEUES];
	struct owed owed;
	struct nic *from = rich(sub, &owed), *n = fresh();

	(void)state;
	memory_record_len = statetest_write(state_of, from, record, sizeof(record));
	assert_int_equal(failheap_sweep(read_with_little_memory, n), NIC_QUEUES);
	nic_free(n);
	nic_free(from);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nic_goes_on_where_it_stood),
		cmocka_unit_test(flows_go_by_the_table_that_was_read),
		cmocka_unit_test(sub_channel_may_be_reopened_first),
		cmocka_unit_test(number_outlives_a_buffer_that_was_revoked),
		cmocka_unit_test(nic_that_no_driver_has_opened_is_one_again),
		cmocka_unit_test(frames_and_the_link_between_reading_and_reopening_do_no_harm),
		cmocka_unit_test(state_whose_channels_stay_closed_ends_with_the_next_driver),
		cmocka_unit_test(channel_that_the_state_does_not_know_is_faulted),
		cmocka_unit_test(record_that_was_cut_is_refused),
		cmocka_unit_test(record_with_a_changed_byte_is_refused_or_does_no_harm),
		cmocka_unit_test(fields_that_do_not_fit_are_refused),
		cmocka_unit_test(chains_that_lie_are_refused),
		cmocka_unit_test(numbers_that_lie_are_refused),
		cmocka_unit_test(tables_that_lie_are_refused),
		cmocka_unit_test(nic_with_less_refuses_what_it_does_not_have),
		cmocka_unit_test(nic_without_memory_refuses_and_stays_as_it_was),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
