/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Long frames that the back end reads straight to the sections that they will get. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/util.h"
#include "tests/unit/devices/net/nic_frames.h"

#define MOST NETPORT_FRAME_MAX
#define BEGIN 1518u                               /* bytes of a frame that the NIC looks at */
#define PART (NIC_LONG_SECTION - RNDIS_HEAD_ROOM) /* bytes of a frame in one section */

static uint8_t frame[MOST + 4000], got[MOST + 4000];

static struct nic *long_started(void)
{
	struct nic *n = nic_new_with(NIC_OFFLOADS, (struct netvsp_config){0});

	nic_long_rx(n);
	nic_up(n);
	if (nic_set_offloads(n, NDIS_CHECKSUM_BOTH, NDIS_OFFLOAD_ON, NDIS_OFFLOAD_ON) != 0)
		abort();
	return n;
}

/* A frame no two sections of which are alike. */
static void long_frame(uint8_t *f, size_t len)
{
	nic_tcp_frame(f, len);
	for (size_t i = NIC_TCP_HEADERS; i < len; i++)
		f[i] = (uint8_t)(i * 7 + i / 251);
}

static unsigned room(struct nic *n, struct iovec iov[NETPORT_ROOM_MAX])
{
	size_t begin = 0;
	unsigned count = n->port.sink.room(n->port.sink.owner, iov, &begin);

	if (count)
		assert_int_equal(begin, BEGIN);
	return count;
}

static bool has_room(struct nic *n)
{
	struct iovec iov[NETPORT_ROOM_MAX];

	return room(n, iov) > 0;
}

/* Places a frame of len bytes and looks at what comes; with a tag in it or not. */
static void check_length(struct nic *n, size_t len, bool tagged)
{
	size_t tag = tagged ? ETHERNET_TAG : 0;
	struct vmguest_packet p;
	uint32_t value = 0;
	unsigned count;

	long_frame(frame + tag, len - tag);
	if (tagged) {
		memmove(frame, frame + tag, ETHERNET_ADDRESSES);
		be16_store(frame + ETHERNET_ADDRESSES, ETHERTYPE_VLAN);
		be16_store(frame + ETHERNET_HEADER, 0xa005);
	}
	assert_true(nic_place(n, frame, len, &nic_long_facts));
	assert_true(vmguest_receive(&n->ch, &p));
	assert_int_equal(nic_parts(n, &p, got, &count), len - tag);
	assert_int_equal(count, (len + PART - 1) / PART);
	long_frame(frame, len - tag);
	assert_memory_equal(got, frame, len - tag);
	for (unsigned i = 0; i < count; i++) {
		const uint8_t *msg = vmguest_at(n->guest, n->rx + le32_load(p.head + 12 + i * 8));

		assert_true(nic_note(msg, RNDIS_INFO_CHECKSUM, &value));
		assert_int_equal(value,
				 RNDIS_RECEIVE_CHECKSUM_TCP | RNDIS_RECEIVE_CHECKSUM_TCP_INVALID);
		assert_int_equal(nic_note(msg, RNDIS_INFO_VLAN, &value), tagged);
	}
	nic_complete(n, p.transaction);
}

static void placed_frame_of_any_length_is_whole(void **state)
{
	struct nic *n = long_started();

	(void)state;
	for (size_t around = 0; around * PART < MOST; around++) {
		size_t middle = around ? around * PART : BEGIN;

		for (size_t len = middle - 5; len <= middle + 5; len++) {
			check_length(n, len, false);
			check_length(n, len, true);
		}
	}
	check_length(n, MOST, false);
	check_length(n, MOST, true);
	assert_int_equal(netvsp_get_stats(n->dev)->received_dropped, 0);
	assert_int_equal(n->guest->faults, 0);
	nic_free(n);
}

/* Sections come back in another order than they went, and short frames lie between. */
static void placed_frames_are_whole_in_sections_of_any_order(void **state)
{
	struct nic *n = long_started();
	uint64_t held[3] = {0};
	struct vmguest_packet p;
	unsigned count;

	(void)state;
	for (unsigned i = 0; i < 60; i++) {
		uint8_t small[60];

		nic_frame(small, sizeof(small));
		small[20] = (uint8_t)i;
		assert_true(nic_place(n, small, sizeof(small), &(struct netport_facts){0}));
		assert_true(vmguest_receive(&n->ch, &p));
		assert_int_equal(nic_parts(n, &p, got, &count), sizeof(small));
		assert_memory_equal(got, small, sizeof(small));
		if (held[i % 3])
			nic_complete(n, held[i % 3]);
		held[i % 3] = p.transaction;
		check_length(n, 9000 + i * 900, i & 1);
	}
	assert_int_equal(n->guest->faults, 0);
	nic_free(n);
}

static void placed_frame_that_does_not_pass_takes_no_section(void **state)
{
	struct nic *n = long_started();
	struct netport_facts facts = nic_long_facts;
	struct iovec before[NETPORT_ROOM_MAX], after[NETPORT_ROOM_MAX];
	unsigned count = room(n, before);
	struct vmguest_packet p;

	(void)state;
	assert_true(count > 0);
	long_frame(frame, sizeof(frame));
	/* Too long; another's address; of no kind that was asked for, and of none. */
	assert_true(nic_place(n, frame, MOST + 1, &nic_long_facts));
	frame[5] ^= 1;
	assert_true(nic_place(n, frame, 20000, &nic_long_facts));
	frame[5] ^= 1;
	facts.segments = UINT8_MAX;
	assert_true(nic_place(n, frame, 20000, &facts));
	facts.segments = 0;
	assert_true(nic_place(n, frame, 20000, &facts));
	assert_false(vmguest_receive(&n->ch, &p));
	assert_int_equal(netvsp_get_stats(n->dev)->received_dropped, 4);
	assert_int_equal(netvsp_get_stats(n->dev)->received_frames, 0);
	assert_int_equal(room(n, after), count);
	assert_memory_equal(after, before, count * sizeof(before[0]));
	check_length(n, 20000, false);
	nic_free(n);
}

static void there_is_no_room_while_long_frames_would_not_come(void **state)
{
	struct nic *n = nic_new_with(NIC_OFFLOADS, (struct netvsp_config){0});

	(void)state;
	assert_false(has_room(n));
	nic_long_rx(n);
	nic_up(n);
	assert_false(has_room(n));
	assert_int_equal(nic_set_offloads(n, NDIS_CHECKSUM_BOTH, 0, NDIS_OFFLOAD_ON), 0);
	assert_true(has_room(n));
	netvsp_set_link(n->dev, false);
	assert_false(has_room(n));
	netvsp_set_link(n->dev, true);
	assert_true(has_room(n));
	assert_int_equal(nic_set_offloads(n, NDIS_CHECKSUM_BOTH, 0, NDIS_OFFLOAD_OFF), 0);
	assert_false(has_room(n));
	assert_int_equal(nic_set_offloads(n, NDIS_CHECKSUM_BOTH, 0, NDIS_OFFLOAD_ON), 0);
	assert_true(has_room(n));
	vmguest_close(&n->ch);
	assert_false(has_room(n));
	nic_free(n);
	/* Eight sections are less than a longest frame may need. */
	n = nic_started((struct netvsp_config){0});
	assert_false(has_room(n));
	nic_free(n);
}

static void without_free_sections_a_long_frame_is_held_as_ever(void **state)
{
	struct nic *n = long_started();
	struct vmguest_packet p;
	unsigned count;

	(void)state;
	long_frame(frame, MOST);
	assert_true(nic_place(n, frame, 60000, &nic_long_facts));
	assert_true(vmguest_receive(&n->ch, &p));
	assert_int_equal(nic_parts(n, &p, got, &count), 60000);
	assert_false(nic_place(n, frame, 60000, &nic_long_facts));
	assert_int_equal(nic_receive_facts(n, frame, 60000, &nic_long_facts), -EAGAIN);
	assert_false(n->want);
	nic_complete(n, p.transaction);
	assert_true(n->want);
	check_length(n, 60000, false);
	nic_free(n);
}

/* The batch is sent before a frame is read that might not have its places in it. */
static void batch_of_placed_frames_is_ended_in_time(void **state)
{
	struct nic *n = nic_new_with(NIC_OFFLOADS, (struct netvsp_config){0});
	const struct netport_sink *sink = &n->port.sink;
	struct iovec iov[NETPORT_ROOM_MAX];
	struct vmguest_packet p;
	uint8_t small[60];
	size_t begin;

	(void)state;
	n->rx = vmguest_alloc(n->guest, 68u * NIC_LONG_SECTION);
	n->rx_gpadl = vmguest_gpadl(n->guest, n->relid, n->rx, 68u * NIC_LONG_SECTION);
	nic_up(n);
	assert_int_equal(nic_set_offloads(n, NDIS_CHECKSUM_BOTH, 0, NDIS_OFFLOAD_ON), 0);
	nic_frame(small, sizeof(small));
	for (unsigned i = 0; i < 56; i++)
		assert_int_equal(sink->receive(sink->owner, small, sizeof(small), NULL), 0);
	assert_false(vmguest_receive(&n->ch, &p));
	assert_true(sink->room(sink->owner, iov, &begin) > 0);
	assert_true(vmguest_receive(&n->ch, &p));
	assert_int_equal(le32_load(p.head + 4), 56);
	nic_free(n);
}

static void guest_that_writes_to_its_sections_changes_the_rest_only(void **state)
{
	struct nic *n = long_started();
	const struct netport_sink *sink = &n->port.sink;
	struct iovec iov[NETPORT_ROOM_MAX];
	struct vmguest_packet p;
	size_t begin = 0;
	unsigned count;

	(void)state;
	long_frame(frame, 20000);
	assert_true(sink->room(sink->owner, iov, &begin) > 0);
	memset(vmguest_at(n->guest, n->rx), 0xee, NIC_LONG_RX_BYTES);
	sink->receive_placed(sink->owner, frame, 20000, &nic_long_facts);
	sink->flush(sink->owner);
	assert_true(vmguest_receive(&n->ch, &p));
	assert_int_equal(nic_parts(n, &p, got, &count), 20000);
	assert_memory_equal(got, frame, BEGIN);
	for (size_t i = BEGIN; i < 20000; i++)
		assert_int_equal(got[i], 0xee);
	assert_int_equal(n->guest->faults, 0);
	nic_free(n);
}

static void buffer_that_vanished_has_no_room(void **state)
{
	struct nic *n = long_started();
	struct vmbus_msg_gpadl_teardown msg = {
		.header.type = VMBUS_MSG_GPADL_TEARDOWN, .relid = n->relid, .gpadl = n->rx_gpadl};

	(void)state;
	assert_true(has_room(n));
	vmguest_message(n->guest, 4, &msg, sizeof(msg));
	assert_false(has_room(n));
	nic_free(n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(placed_frame_of_any_length_is_whole),
		cmocka_unit_test(placed_frames_are_whole_in_sections_of_any_order),
		cmocka_unit_test(placed_frame_that_does_not_pass_takes_no_section),
		cmocka_unit_test(there_is_no_room_while_long_frames_would_not_come),
		cmocka_unit_test(without_free_sections_a_long_frame_is_held_as_ever),
		cmocka_unit_test(batch_of_placed_frames_is_ended_in_time),
		cmocka_unit_test(guest_that_writes_to_its_sections_changes_the_rest_only),
		cmocka_unit_test(buffer_that_vanished_has_no_room),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
