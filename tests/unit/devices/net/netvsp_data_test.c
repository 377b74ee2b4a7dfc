/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Frames through the NIC in both directions, and guests that lie about them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/devices/net/nic_fixture.h"

/* Sends what stands in a section of the send buffer, with GPA ranges of len bytes behind it when
 * len is not 0. */
static uint32_t send_section(struct nic *n, uint32_t section, uint32_t bytes, uint64_t gpa,
			     uint32_t len)
{
	struct nvsp_rndis msg = {.type = NVSP_MSG_RNDIS,
				 .channel = NVSP_CHANNEL_DATA,
				 .section = section,
				 .section_bytes = bytes};
	struct vmguest_packet p;
	uint8_t wire[40] = {0};

	memcpy(wire, &msg, sizeof(msg));
	if (len)
		vmguest_send_gpa(&n->ch, ++n->transaction, gpa, len, wire, sizeof(wire));
	else
		vmguest_send_inband(&n->ch, ++n->transaction, wire, sizeof(wire));
	assert_true(vmguest_receive(&n->ch, &p));
	assert_int_equal(p.type, VMBUS_PACKET_COMPLETION);
	assert_int_equal(p.transaction, n->transaction);
	assert_int_equal(le32_load(p.payload), NVSP_MSG_RNDIS_COMPLETE);
	return le32_load(p.payload + 4);
}

static uint8_t *section_at(struct nic *n, uint32_t section)
{
	return vmguest_at(n->guest, n->tx + (uint64_t)section * NIC_TX_SECTION);
}

static struct nic *started(void)
{
	struct nic *n = nic_new();

	nic_up(n);
	return n;
}

static void frame_in_a_send_section_goes_out_whole(void **state)
{
	struct nic *n = started();
	uint8_t expect[1514];

	(void)state;
	nic_frame(expect, sizeof(expect));
	assert_int_equal(send_section(n, 3, nic_packet(section_at(n, 3), 1514), 0, 0),
			 NVSP_STATUS_SUCCESS);
	assert_int_equal(n->sent, 1);
	assert_int_equal(n->sent_len, 1514);
	assert_memory_equal(n->frame, expect, sizeof(expect));
	assert_int_equal(netvsp_get_stats(n->dev)->sent_bytes, 1514);
	nic_free(n);
}

static void frame_in_gpa_ranges_goes_out_whole(void **state)
{
	struct nic *n = started();
	uint64_t gpa = n->scratch + 4096 - 100; /* head and frame cross pages */
	uint8_t expect[1000];

	(void)state;
	nic_frame(expect, sizeof(expect));
	assert_int_equal(nic_transfer(n, NVSP_CHANNEL_DATA, gpa,
				      nic_packet(vmguest_at(n->guest, gpa), 1000), NULL),
			 NVSP_STATUS_SUCCESS);
	assert_int_equal(n->sent_len, 1000);
	assert_memory_equal(n->frame, expect, sizeof(expect));
	nic_free(n);
}

static void frame_with_its_head_in_a_section_and_data_in_ranges_goes_out(void **state)
{
	struct nic *n = started();
	uint8_t packet[2000], expect[900];
	uint32_t len = nic_packet(packet, 900), first;

	(void)state;
	nic_frame(expect, sizeof(expect));
	/* A whole packet before it in the section, as Linux batches. */
	first = nic_packet(section_at(n, 0), 60);
	memcpy(section_at(n, 0) + first, packet, sizeof(struct rndis_packet));
	memcpy(vmguest_at(n->guest, n->scratch), packet + sizeof(struct rndis_packet), 900);
	assert_int_equal(send_section(n, 0, first + (uint32_t)sizeof(struct rndis_packet),
				      n->scratch, len - (uint32_t)sizeof(struct rndis_packet)),
			 NVSP_STATUS_SUCCESS);
	assert_int_equal(n->sent, 2);
	assert_int_equal(n->sent_len, 900);
	assert_memory_equal(n->frame, expect, sizeof(expect));
	nic_free(n);
}

static void eight_packets_in_one_section_go_out(void **state)
{
	struct nic *n = started();
	uint32_t at = 0;

	(void)state;
	for (int i = 0; i < 8; i++) {
		uint32_t len = nic_packet(section_at(n, 1) + at, 101), padded = (len + 7) & ~7u;

		le32_store(section_at(n, 1) + at + 4, padded);
		at += padded;
	}
	assert_int_equal(send_section(n, 1, at, 0, 0), NVSP_STATUS_SUCCESS);
	assert_int_equal(n->sent, 8);
	assert_int_equal(n->sent_len, 101);
	nic_free(n);
}

static void endless_packets_in_one_transfer_are_refused(void **state)
{
	struct nic *n = started();
	uint32_t at = 0;

	(void)state;
	while (at + 58 <= NIC_TX_SECTION)
		at += nic_packet(section_at(n, 1) + at, 14);
	assert_int_equal(send_section(n, 1, at, 0, 0), NVSP_STATUS_BAD_RNDIS);
	assert_int_equal(n->sent, 32);
	nic_free(n);
}

static void vlan_tag_beside_the_frame_is_put_into_it(void **state)
{
	struct nic *n = started();
	uint8_t *at = section_at(n, 0);
	struct rndis_packet head = rndis_packet_head(64);
	struct rndis_packet_info info = {.len = 16, .type = RNDIS_INFO_VLAN, .value_offset = 12};
	uint8_t frame[64];

	(void)state;
	head.header.len += 16;
	head.data_offset += 16;
	head.info_offset = sizeof(head) - 8;
	head.info_len = 16;
	memcpy(at, &head, sizeof(head));
	memcpy(at + sizeof(head), &info, sizeof(info));
	le32_store(at + sizeof(head) + 12, 5 | 0x123 << 4); /* priority 5, VLAN 0x123 */
	nic_frame(frame, sizeof(frame));
	memcpy(at + sizeof(head) + 16, frame, sizeof(frame));
	assert_int_equal(send_section(n, 0, head.header.len, 0, 0), NVSP_STATUS_SUCCESS);
	assert_int_equal(n->sent_len, 68);
	assert_memory_equal(n->frame, frame, 12);
	assert_int_equal(be16_load(n->frame + 12), 0x8100);
	assert_int_equal(be16_load(n->frame + 14), 5 << 13 | 0x123);
	assert_memory_equal(n->frame + 16, frame + 12, 52);
	nic_free(n);
}

static void full_back_end_drops_the_frame_and_the_guest_goes_on(void **state)
{
	struct nic *n = started();

	(void)state;
	n->send_result = -EAGAIN;
	assert_int_equal(send_section(n, 0, nic_packet(section_at(n, 0), 64), 0, 0),
			 NVSP_STATUS_SUCCESS);
	assert_int_equal(netvsp_get_stats(n->dev)->sent_dropped, 1);
	assert_int_equal(netvsp_get_stats(n->dev)->sent_frames, 0);
	nic_free(n);
}

static void frame_longer_than_the_mtu_is_refused(void **state)
{
	struct nic *n = started();

	(void)state;
	assert_int_equal(send_section(n, 0, nic_packet(section_at(n, 0), 1518), 0, 0),
			 NVSP_STATUS_SUCCESS);
	assert_int_equal(send_section(n, 0, nic_packet(section_at(n, 0), 1519), 0, 0),
			 NVSP_STATUS_FAILURE);
	assert_int_equal(send_section(n, 0, nic_packet(section_at(n, 0), 13), 0, 0),
			 NVSP_STATUS_FAILURE);
	assert_int_equal(n->sent, 1);
	assert_int_equal(netvsp_get_stats(n->dev)->sent_refused, 2);
	nic_free(n);
}

static void data_before_rndis_is_initialized_is_refused(void **state)
{
	struct nic *n = nic_new();

	(void)state;
	nic_version(n, NVSP_VERSION_6_1, NVSP_VERSION_6_1);
	nic_give_rx(n, n->rx_gpadl);
	nic_give_tx(n, n->tx_gpadl);
	assert_int_equal(send_section(n, 0, nic_packet(section_at(n, 0), 64), 0, 0),
			 NVSP_STATUS_FAILURE);
	assert_int_equal(n->sent, 0);
	nic_free(n);
}

static void wild_section_numbers_and_sizes_are_refused(void **state)
{
	static const uint32_t wild[][2] = {
		{10, 100},        {0xFFFFFFFE, 100}, {0, 6145}, {0, 0xFFFFFFFF},
		{0x80000000, 44}, {0, 43},           {0, 0},    {0xFFFFFFFF, 100},
	};
	struct nic *n = started();

	(void)state;
	nic_packet(section_at(n, 0), 64);
	for (size_t i = 0; i < sizeof(wild) / sizeof(wild[0]); i++)
		assert_int_equal(send_section(n, wild[i][0], wild[i][1], 0, 0),
				 NVSP_STATUS_BAD_RNDIS);
	assert_int_equal(n->sent, 0);
	assert_int_equal(n->guest->faults, 0);
	nic_free(n);
}

static void wild_packet_heads_are_refused(void **state)
{
	/* Offset of a field in the head, value. */
	static const uint32_t wild[][2] = {
		{0, 2},           {0, 0x80000001}, {4, 0},           {4, 43},
		{4, 0xFFFFFFFF},  {4, 109},        {8, 0},           {8, 35},
		{8, 0xFFFFFFF8},  {8, 101},        {12, 0xFFFFFFFF}, {12, 65},
		{32, 0xFFFFFFFF}, {32, 1},         {28, 0xFFFFFFFF},
	};
	struct nic *n = started();

	(void)state;
	for (size_t i = 0; i < sizeof(wild) / sizeof(wild[0]); i++) {
		uint32_t len = nic_packet(section_at(n, 0), 64);

		assert_int_equal(len, 108);
		le32_store(section_at(n, 0) + 32, 0);
		if (wild[i][0] == 28)
			le32_store(section_at(n, 0) + 32, 16);
		le32_store(section_at(n, 0) + wild[i][0], wild[i][1]);
		assert_int_equal(send_section(n, 0, len, 0, 0), NVSP_STATUS_BAD_RNDIS);
	}
	assert_int_equal(n->sent, 0);
	nic_free(n);
}

static void ranges_outside_of_memory_are_refused(void **state)
{
	struct nic *n = started();

	(void)state;
	assert_int_equal(nic_transfer(n, NVSP_CHANNEL_DATA, NIC_RAM, 108, NULL),
			 NVSP_STATUS_BAD_RNDIS);
	assert_int_equal(nic_transfer(n, NVSP_CHANNEL_DATA, n->scratch, 131073, NULL),
			 NVSP_STATUS_BAD_RNDIS);
	assert_int_equal(nic_transfer(n, NVSP_CHANNEL_DATA, n->scratch, 0, NULL),
			 NVSP_STATUS_BAD_RNDIS);
	assert_int_equal(nic_transfer(n, 2, n->scratch, 108, NULL), NVSP_STATUS_BAD_RNDIS);
	assert_int_equal(n->sent, 0);
	nic_free(n);
}

static void received_frame_comes_as_a_packet_in_a_section(void **state)
{
	struct nic *n = started();
	struct rndis_packet head = rndis_packet_head(1514);
	uint8_t frame[1514], got[1728];
	struct vmguest_packet p;
	uint64_t signals = n->guest->signals[n->relid];

	(void)state;
	nic_frame(frame, sizeof(frame));
	assert_int_equal(nic_receive(n, frame, sizeof(frame)), 0);
	assert_int_equal(n->guest->signals[n->relid], signals + 1);
	assert_true(vmguest_receive(&n->ch, &p));
	assert_int_equal(le32_load(p.payload + 4), NVSP_CHANNEL_DATA);
	assert_int_equal(p.flags, VMBUS_PACKET_WANTS_COMPLETION);
	assert_int_equal(nic_section(n, &p, got, sizeof(got)), sizeof(head) + 1514);
	assert_memory_equal(got, &head, sizeof(head));
	assert_memory_equal(got + sizeof(head), frame, sizeof(frame));
	nic_complete(n, p.transaction);
	assert_int_equal(n->guest->faults, 0);
	assert_int_equal(netvsp_get_stats(n->dev)->received_bytes, 1514);
	nic_free(n);
}

static void frames_are_filtered_as_the_guest_asked(void **state)
{
	struct nic *n = started();
	const struct netvsp_stats *s = netvsp_get_stats(n->dev);
	uint8_t frame[1519];

	(void)state;
	nic_frame(frame, sizeof(frame));
	nic_filter(n, RNDIS_FILTER_DIRECTED);
	assert_int_equal(nic_receive(n, frame, 64), 0);
	assert_int_equal(s->received_frames, 1);
	frame[5] ^= 1;
	assert_int_equal(nic_receive(n, frame, 64), 0);
	memset(frame, 0xff, 6);
	assert_int_equal(nic_receive(n, frame, 64), 0);
	frame[0] = 0x33;
	assert_int_equal(nic_receive(n, frame, 64), 0);
	assert_int_equal(nic_receive(n, frame, 13), 0);
	assert_int_equal(s->received_frames, 1);
	assert_int_equal(s->received_dropped, 4);
	nic_free(n);

	n = started();
	s = netvsp_get_stats(n->dev);
	nic_filter(n, RNDIS_FILTER_PROMISCUOUS);
	assert_int_equal(nic_receive(n, frame, 1518), 0);
	assert_int_equal(nic_receive(n, frame, 1519), 0);
	assert_int_equal(s->received_frames, 1);
	nic_filter(n, 0);
	nic_free(n);
}

static void all_sections_busy_holds_the_back_end_until_some_return(void **state)
{
	struct nic *n = started();
	uint64_t transaction[NIC_RX_SECTIONS];
	struct vmguest_packet p;
	unsigned count = 0, again = 0;
	uint8_t frame[64];

	(void)state;
	nic_frame(frame, sizeof(frame));
	while (nic_receive(n, frame, sizeof(frame)) == 0) {
		assert_true(vmguest_receive(&n->ch, &p));
		transaction[count++] = p.transaction;
	}
	assert_int_equal(count, NIC_RX_SECTIONS - 2);
	assert_false(n->want);
	memcpy(n->kept_frame, frame, sizeof(frame));
	n->kept = true;
	/* Control still gets through. */
	assert_int_equal(nic_filter(n, NIC_FILTER), RNDIS_STATUS_SUCCESS);
	assert_false(n->want);
	while (!n->want) {
		assert_true(again < count);
		nic_complete(n, transaction[again++]);
	}
	assert_false(n->kept);
	assert_true(vmguest_receive(&n->ch, &p));
	assert_int_equal(p.type, VMBUS_PACKET_TRANSFER_PAGES);
	assert_int_equal(n->guest->faults, 0);
	nic_free(n);
}

static void full_ring_holds_the_back_end_until_there_is_room(void **state)
{
	struct nic *n = started();
	struct vmguest_packet p;
	uint8_t frame[64];
	uint64_t transaction;

	(void)state;
	/* Fill the ring with answers that nobody takes, then leave more requests in the other
	 * one than are taken in one go. */
	nic_frame(frame, sizeof(frame));
	memcpy(n->kept_frame, frame, sizeof(frame));
	for (unsigned i = 0; i < 800; i++) {
		uint8_t msg[40] = {NVSP_MSG_SUB_CHANNEL};

		vmguest_send_inband(&n->ch, ++n->transaction, msg, sizeof(msg));
		if (i % 8 == 0 && n->want && nic_receive(n, frame, sizeof(frame)) == -EAGAIN)
			n->kept = true;
	}
	assert_false(n->want);
	transaction = 0;
	while (vmguest_receive(&n->ch, &p)) {
		do {
			if (p.type == VMBUS_PACKET_COMPLETION)
				transaction = p.transaction;
			else
				nic_complete(n, p.transaction);
		} while (vmguest_receive(&n->ch, &p));
		vmguest_kick(&n->ch);
	}
	assert_true(n->want);
	assert_false(n->kept);
	/* Not one answer was lost. */
	assert_int_equal(transaction, n->transaction);
	assert_int_equal(n->guest->faults, 0);
	nic_free(n);
}

static void invented_completion_faults_the_channel(void **state)
{
	static const uint64_t invented[] = {
		0, 1, UINT64_MAX, 1ull << 32 | 0xFFFF, 3ull << 32 | 5, 1ull << 32 | 5};

	(void)state;
	for (size_t i = 0; i < sizeof(invented) / sizeof(invented[0]); i++) {
		struct nic *n = started();

		nic_complete(n, invented[i]);
		assert_int_equal(n->guest->faults, 1);
		nic_free(n);
	}
}

static void second_completion_faults_the_channel(void **state)
{
	struct nic *n = started();
	struct vmguest_packet p, later;
	uint8_t frame[64];

	(void)state;
	nic_frame(frame, sizeof(frame));
	nic_receive(n, frame, sizeof(frame));
	assert_true(vmguest_receive(&n->ch, &p));
	nic_complete(n, p.transaction);
	/* The section is in use again when the old number comes back. */
	nic_receive(n, frame, sizeof(frame));
	assert_true(vmguest_receive(&n->ch, &later));
	assert_true(later.transaction != p.transaction);
	assert_int_equal(n->guest->faults, 0);
	nic_complete(n, p.transaction);
	assert_int_equal(n->guest->faults, 1);
	/* A dead channel takes no frames but does not hold the back end either. */
	assert_int_equal(nic_receive(n, frame, sizeof(frame)), 0);
	assert_true(n->want);
	nic_free(n);
}

static void completion_after_revocation_is_ignored(void **state)
{
	struct nvsp_buffer revoke = {.type = NVSP_MSG_REVOKE_RECEIVE_BUFFER};
	struct nic *n = started();
	struct vmguest_packet p;
	uint8_t frame[64];

	(void)state;
	nic_frame(frame, sizeof(frame));
	nic_receive(n, frame, sizeof(frame));
	assert_true(vmguest_receive(&n->ch, &p));
	nic_tell(n, &revoke, sizeof(revoke));
	nic_complete(n, p.transaction);
	assert_int_equal(n->guest->faults, 0);
	nic_free(n);
}

static void receive_buffer_torn_down_in_use_faults_the_channel(void **state)
{
	struct nic *n = started();
	struct vmbus_msg_gpadl_teardown msg = {
		.header.type = VMBUS_MSG_GPADL_TEARDOWN, .relid = n->relid, .gpadl = n->rx_gpadl};
	uint8_t frame[64];

	(void)state;
	vmguest_message(n->guest, 4, &msg, sizeof(msg));
	msg.gpadl = n->tx_gpadl;
	vmguest_message(n->guest, 4, &msg, sizeof(msg));
	assert_int_equal(send_section(n, 0, 108, 0, 0), NVSP_STATUS_BAD_RNDIS);
	nic_frame(frame, sizeof(frame));
	assert_int_equal(nic_receive(n, frame, sizeof(frame)), 0);
	assert_int_equal(n->guest->faults, 1);
	nic_free(n);
}

static void unanswered_control_replies_are_bounded(void **state)
{
	uint32_t msg[3] = {RNDIS_MSG_KEEPALIVE, sizeof(msg), 1};
	struct nic *n = started();
	unsigned busy = 0, good = 0;

	(void)state;
	memcpy(vmguest_at(n->guest, n->scratch), msg, sizeof(msg));
	for (unsigned i = 0; i < NIC_RX_SECTIONS + 20; i++) {
		uint32_t s = nic_transfer(n, NVSP_CHANNEL_CONTROL, n->scratch, sizeof(msg), NULL);

		busy += s == NVSP_STATUS_BUSY;
		good += s == NVSP_STATUS_SUCCESS;
	}
	assert_int_equal(good, NIC_RX_SECTIONS + 8);
	assert_int_equal(busy, 12);
	nic_free(n);
}

static void malformed_control_is_refused(void **state)
{
	struct nic *n = started();
	uint8_t *at = vmguest_at(n->guest, n->scratch);

	(void)state;
	le32_store(at, RNDIS_MSG_QUERY);
	le32_store(at + 4, 5000);
	assert_int_equal(nic_transfer(n, NVSP_CHANNEL_CONTROL, n->scratch, 5000, NULL),
			 NVSP_STATUS_BAD_RNDIS);
	assert_int_equal(nic_transfer(n, NVSP_CHANNEL_CONTROL, n->scratch, 11, NULL),
			 NVSP_STATUS_BAD_RNDIS);
	assert_int_equal(nic_transfer(n, NVSP_CHANNEL_CONTROL, n->scratch, 4000, NULL),
			 NVSP_STATUS_BAD_RNDIS);
	le32_store(at, 77);
	le32_store(at + 4, 12);
	assert_int_equal(nic_transfer(n, NVSP_CHANNEL_CONTROL, n->scratch, 12, NULL),
			 NVSP_STATUS_BAD_RNDIS);
	assert_int_equal(n->guest->faults, 0);
	nic_free(n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frame_in_a_send_section_goes_out_whole),
		cmocka_unit_test(frame_in_gpa_ranges_goes_out_whole),
		cmocka_unit_test(frame_with_its_head_in_a_section_and_data_in_ranges_goes_out),
		cmocka_unit_test(eight_packets_in_one_section_go_out),
		cmocka_unit_test(endless_packets_in_one_transfer_are_refused),
		cmocka_unit_test(vlan_tag_beside_the_frame_is_put_into_it),
		cmocka_unit_test(full_back_end_drops_the_frame_and_the_guest_goes_on),
		cmocka_unit_test(frame_longer_than_the_mtu_is_refused),
		cmocka_unit_test(data_before_rndis_is_initialized_is_refused),
		cmocka_unit_test(wild_section_numbers_and_sizes_are_refused),
		cmocka_unit_test(wild_packet_heads_are_refused),
		cmocka_unit_test(ranges_outside_of_memory_are_refused),
		cmocka_unit_test(received_frame_comes_as_a_packet_in_a_section),
		cmocka_unit_test(frames_are_filtered_as_the_guest_asked),
		cmocka_unit_test(all_sections_busy_holds_the_back_end_until_some_return),
		cmocka_unit_test(full_ring_holds_the_back_end_until_there_is_room),
		cmocka_unit_test(invented_completion_faults_the_channel),
		cmocka_unit_test(second_completion_faults_the_channel),
		cmocka_unit_test(completion_after_revocation_is_ignored),
		cmocka_unit_test(receive_buffer_torn_down_in_use_faults_the_channel),
		cmocka_unit_test(unanswered_control_replies_are_bounded),
		cmocka_unit_test(malformed_control_is_refused),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
