/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Offloads both ways, VLAN tags, and the guard of addresses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/devices/net/nic_frames.h"

/* Sends a frame with one piece of per-packet information. */
static uint32_t send_with(struct nic *n, uint32_t type, uint32_t value, uint32_t frame_len)
{
	uint8_t *at = vmguest_at(n->guest, n->scratch);
	struct rndis_packet_info info = {16, type, 12};
	struct rndis_packet head = rndis_packet_head(frame_len);

	head.info_offset = head.data_offset;
	head.info_len = 16;
	head.data_offset += 16;
	head.header.len += 16;
	memcpy(at, &head, sizeof(head));
	memcpy(at + sizeof(head), &info, sizeof(info));
	le32_store(at + sizeof(head) + 12, value);
	nic_tcp_frame(at + sizeof(head) + 16, frame_len);
	return nic_transfer(n, NVSP_CHANNEL_DATA, n->scratch, head.header.len, NULL);
}

static uint32_t large(uint32_t mss, uint32_t offset)
{
	return mss | offset << RNDIS_LARGE_SEND_OFFSET_SHIFT | RNDIS_LARGE_SEND_V2;
}

static void checksum_that_the_guest_leaves_out_is_left_to_the_back_end(void **state)
{
	struct nic *n = nic_started((struct netvsp_config){0});

	(void)state;
	assert_int_equal(
		send_with(n, RNDIS_INFO_CHECKSUM,
			  RNDIS_SEND_CHECKSUM_IP4 | RNDIS_SEND_CHECKSUM_TCP | NIC_TCP_AT << 16,
			  100),
		NVSP_STATUS_SUCCESS);
	assert_int_equal(n->sent_len, 100);
	assert_true(n->facts.checksum_missing);
	assert_int_equal(n->facts.checksum_start, NIC_TCP_AT);
	assert_int_equal(n->facts.checksum_offset, 16);
	assert_int_equal(n->facts.segments, 0);
	assert_int_equal(
		send_with(n, RNDIS_INFO_CHECKSUM, RNDIS_SEND_CHECKSUM_UDP | NIC_TCP_AT << 16, 100),
		NVSP_STATUS_SUCCESS);
	assert_int_equal(n->facts.checksum_offset, 6);
	nic_free(n);
}

static void checksum_outside_of_the_frame_is_refused(void **state)
{
	static const uint32_t starts[] = {0, 13, 81, 100, 1023};
	struct nic *n = nic_started((struct netvsp_config){0});

	(void)state;
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(send_with(n, RNDIS_INFO_CHECKSUM,
					   RNDIS_SEND_CHECKSUM_TCP | starts[i] << 16, 100),
				 NVSP_STATUS_FAILURE);
	assert_int_equal(n->sent, 0);
	assert_int_equal(netvsp_get_stats(n->dev)->sent_refused, 5);
	assert_int_equal(n->guest->faults, 0);
	nic_free(n);
}

static void long_frame_goes_out_with_whole_headers_to_be_cut(void **state)
{
	struct nic *n = nic_started((struct netvsp_config){0});
	const uint32_t len = 20000;
	uint8_t pseudo[12] = {0};

	(void)state;
	assert_int_equal(send_with(n, RNDIS_INFO_LARGE_SEND, large(1448, NIC_TCP_AT), len),
			 NVSP_STATUS_SUCCESS);
	assert_int_equal(n->sent_len, len);
	assert_int_equal(n->facts.segments, NETPORT_TCP4);
	assert_int_equal(n->facts.segment_bytes, 1448);
	assert_int_equal(n->facts.header_len, NIC_TCP_HEADERS);
	assert_int_equal(n->facts.checksum_start, NIC_TCP_AT);
	assert_int_equal(be16_load(n->frame + 16), len - 14);
	assert_int_equal(flow_fold(flow_sum(n->frame + 14, 20, 0)), 0);
	memcpy(pseudo, n->frame + 26, 8);
	pseudo[9] = FLOW_TCP;
	be16_store(pseudo + 10, (uint16_t)(len - NIC_TCP_AT));
	assert_int_equal(be16_load(n->frame + NIC_TCP_AT + 16),
			 (uint16_t)~flow_fold(flow_sum(pseudo, 12, 0)));
	assert_int_equal(n->frame[len - 1], (uint8_t)(len - 1));
	nic_free(n);
}

static void wild_large_sends_are_refused(void **state)
{
	static const uint32_t wild[] = {
		RNDIS_LARGE_SEND_V2 | NIC_TCP_AT << 20,         /* no size */
		RNDIS_LARGE_SEND_V2 | 1501u | NIC_TCP_AT << 20, /* above the MTU */
		1448u | NIC_TCP_AT << 20,                       /* version 1 */
		RNDIS_LARGE_SEND_V2 | 1448u,                    /* no header */
		RNDIS_LARGE_SEND_V2 | 1448u | 1023u << 20,      /* deep in the data */
		RNDIS_LARGE_SEND_V2 | 1448u | 38u << 20,        /* not behind IP */
		RNDIS_LARGE_SEND_V2 | RNDIS_LARGE_SEND_IP6 | 1448u | 54u << 20, /* it is IPv4 */
	};
	struct nic *n = nic_started((struct netvsp_config){0});

	(void)state;
	for (size_t i = 0; i < sizeof(wild) / sizeof(wild[0]); i++)
		assert_int_equal(send_with(n, RNDIS_INFO_LARGE_SEND, wild[i], 9000),
				 NVSP_STATUS_FAILURE);
	assert_int_equal(n->sent, 0);
	assert_int_equal(n->guest->faults, 0);
	nic_free(n);
}

static void offloads_that_the_back_end_lacks_are_refused(void **state)
{
	struct nic *n = nic_new();

	(void)state;
	nic_up(n);
	assert_int_equal(nic_set_offloads(n, NDIS_CHECKSUM_BOTH, 0, 0), RNDIS_STATUS_NOT_SUPPORTED);
	assert_int_equal(nic_set_offloads(n, 0, NDIS_OFFLOAD_ON, 0), RNDIS_STATUS_NOT_SUPPORTED);
	assert_int_equal(nic_set_offloads(n, 0, 0, NDIS_OFFLOAD_ON), RNDIS_STATUS_NOT_SUPPORTED);
	assert_int_equal(send_with(n, RNDIS_INFO_LARGE_SEND, large(1448, NIC_TCP_AT), 9000),
			 NVSP_STATUS_FAILURE);
	assert_int_equal(
		send_with(n, RNDIS_INFO_CHECKSUM, RNDIS_SEND_CHECKSUM_TCP | NIC_TCP_AT << 16, 100),
		NVSP_STATUS_FAILURE);
	assert_int_equal(n->sent, 0);
	nic_free(n);
}

static void back_end_is_told_what_the_guest_takes(void **state)
{
	struct nic *n = nic_new_with(NIC_OFFLOADS, (struct netvsp_config){0});

	(void)state;
	nic_up(n);
	assert_int_equal(n->accepted, 0);
	assert_int_equal(nic_set_offloads(n, NDIS_CHECKSUM_BOTH, NDIS_OFFLOAD_ON, NDIS_OFFLOAD_ON),
			 0);
	assert_int_equal(n->accepted, NIC_OFFLOADS);
	assert_int_equal(nic_set_offloads(n, 0, 0, NDIS_OFFLOAD_OFF), 0);
	assert_int_equal(n->accepted, NETPORT_CHECKSUM);
	assert_int_equal(nic_set_offloads(n, NDIS_OFFLOAD_OFF, 0, 0), 0);
	assert_int_equal(n->accepted, 0);
	assert_int_equal(nic_set_offloads(n, NDIS_CHECKSUM_BOTH, 0, NDIS_OFFLOAD_ON), 0);
	assert_int_equal(n->accepted, NIC_OFFLOADS);
	vmguest_close(&n->ch);
	assert_int_equal(n->accepted, 0);
	nic_free(n);
}

static void long_received_frame_comes_in_parts_that_are_freed_together(void **state)
{
	static uint8_t frame[20000], got[24000];
	struct nic *n = nic_started((struct netvsp_config){0});
	struct vmguest_packet p;
	uint32_t value = 0;
	unsigned count;

	(void)state;
	nic_tcp_frame(frame, sizeof(frame));
	for (int i = 0; i < 20; i++) {
		assert_int_equal(nic_receive_facts(n, frame, sizeof(frame), &nic_long_facts), 0);
		assert_true(vmguest_receive(&n->ch, &p));
		assert_int_equal(nic_parts(n, &p, got, &count), sizeof(frame));
		assert_int_equal(count, 3);
		assert_memory_equal(got, frame, sizeof(frame));
		assert_true(nic_note(vmguest_at(n->guest, n->rx + le32_load(p.head + 12)),
				     RNDIS_INFO_CHECKSUM, &value));
		assert_int_equal(value,
				 RNDIS_RECEIVE_CHECKSUM_TCP | RNDIS_RECEIVE_CHECKSUM_TCP_INVALID);
		assert_false(vmguest_receive(&n->ch, &p));
		nic_complete(n, p.transaction);
	}
	assert_int_equal(n->guest->faults, 0);
	/* Two take six of the eight sections; a third has to wait. */
	assert_int_equal(nic_receive_facts(n, frame, sizeof(frame), &nic_long_facts), 0);
	assert_int_equal(nic_receive_facts(n, frame, sizeof(frame), &nic_long_facts), 0);
	assert_int_equal(nic_receive_facts(n, frame, sizeof(frame), &nic_long_facts), -EAGAIN);
	assert_false(n->want);
	nic_free(n);
}

static void completion_of_a_later_part_faults_the_channel(void **state)
{
	static uint8_t frame[20000];
	struct nic *n = nic_started((struct netvsp_config){0});
	struct vmguest_packet p;

	(void)state;
	nic_tcp_frame(frame, sizeof(frame));
	assert_int_equal(nic_receive_facts(n, frame, sizeof(frame), &nic_long_facts), 0);
	assert_true(vmguest_receive(&n->ch, &p));
	nic_complete(n, (p.transaction & ~UINT64_C(0xffffffff)) | (le32_load(p.head + 20) / 8192));
	assert_int_equal(n->guest->faults, 1);
	nic_free(n);
}

static void long_frame_is_dropped_while_the_guest_does_not_coalesce(void **state)
{
	static uint8_t frame[20000];
	struct nic *n = nic_started((struct netvsp_config){0});
	struct vmguest_packet p;

	(void)state;
	nic_tcp_frame(frame, sizeof(frame));
	assert_int_equal(nic_set_offloads(n, 0, 0, NDIS_OFFLOAD_OFF), 0);
	assert_int_equal(nic_receive_facts(n, frame, sizeof(frame), &nic_long_facts), 0);
	assert_false(vmguest_receive(&n->ch, &p));
	assert_int_equal(netvsp_get_stats(n->dev)->received_dropped, 1);
	nic_free(n);
}

static void missing_checksum_of_a_short_frame_is_completed(void **state)
{
	struct netport_facts facts = {
		.checksum_missing = true, .checksum_start = NIC_TCP_AT, .checksum_offset = 16};
	struct nic *n = nic_started((struct netvsp_config){0});
	uint8_t frame[101], got[2000];
	struct vmguest_packet p;
	uint32_t value = 0;
	unsigned count;

	(void)state;
	nic_tcp_frame(frame, sizeof(frame));
	assert_int_equal(nic_receive_facts(n, frame, sizeof(frame), &facts), 0);
	assert_true(vmguest_receive(&n->ch, &p));
	assert_int_equal(nic_parts(n, &p, got, &count), sizeof(frame));
	assert_true(nic_note(vmguest_at(n->guest, n->rx + le32_load(p.head + 12)),
			     RNDIS_INFO_CHECKSUM, &value));
	assert_int_equal(value, RNDIS_RECEIVE_CHECKSUM_TCP);
	assert_int_equal(flow_fold(flow_sum(got + NIC_TCP_AT, sizeof(frame) - NIC_TCP_AT, 0)), 0);
	/* Facts that lie are no reason to touch anything else. */
	facts.checksum_start = 65000;
	nic_complete(n, p.transaction);
	assert_int_equal(nic_receive_facts(n, frame, sizeof(frame), &facts), 0);
	assert_true(vmguest_receive(&n->ch, &p));
	nic_parts(n, &p, got, &count);
	assert_memory_equal(got, frame, sizeof(frame));
	nic_free(n);
}

static void tag_of_a_received_frame_goes_beside_it(void **state)
{
	struct nic *n = nic_started((struct netvsp_config){0});
	uint8_t frame[101], tagged[105], got[2000];
	struct vmguest_packet p;
	uint32_t value = 0;
	unsigned count;

	(void)state;
	nic_tcp_frame(frame, sizeof(frame));
	memcpy(tagged, frame, 12);
	be16_store(tagged + 12, 0x8100);
	be16_store(tagged + 14, 0xa005); /* priority 5, VLAN 5 */
	memcpy(tagged + 16, frame + 12, sizeof(frame) - 12);
	assert_int_equal(nic_receive(n, tagged, sizeof(tagged)), 0);
	assert_true(vmguest_receive(&n->ch, &p));
	assert_int_equal(nic_parts(n, &p, got, &count), sizeof(frame));
	assert_memory_equal(got, frame, sizeof(frame));
	assert_true(nic_note(vmguest_at(n->guest, n->rx + le32_load(p.head + 12)), RNDIS_INFO_VLAN,
			     &value));
	assert_int_equal(value, 5 | 5 << 4);
	nic_free(n);
}

static void frames_with_anothers_address_are_dropped_and_counted(void **state)
{
	struct nic *n = nic_started((struct netvsp_config){.spoof_guard = true});
	uint8_t *at = vmguest_at(n->guest, n->scratch);
	uint32_t len = nic_packet(at, 100);

	(void)state;
	assert_int_equal(nic_transfer(n, NVSP_CHANNEL_DATA, n->scratch, len, NULL),
			 NVSP_STATUS_SUCCESS);
	assert_int_equal(n->sent, 0);
	assert_int_equal(netvsp_get_stats(n->dev)->sent_spoofed, 1);
	memcpy(at + sizeof(struct rndis_packet) + 6, nic_mac, 6);
	assert_int_equal(nic_transfer(n, NVSP_CHANNEL_DATA, n->scratch, len, NULL),
			 NVSP_STATUS_SUCCESS);
	assert_int_equal(n->sent, 1);
	nic_free(n);
}

static void jumbo_frames_pass_where_the_mtu_lets_them(void **state)
{
	static uint8_t frame[9014], got[9100];
	struct nic *n = nic_new_with(0, (struct netvsp_config){.mtu = 9000});
	struct vmguest_packet p;
	unsigned count;

	(void)state;
	/* Sections are longer: the buffer of the fixture has just enough. */
	nic_version(n, NVSP_VERSION_6_1, NVSP_VERSION_6_1);
	assert_int_equal(nic_give_rx(n, n->rx_gpadl), NVSP_STATUS_FAILURE);
	nic_free(n);
	n = nic_new_with(0, (struct netvsp_config){.mtu = 7000});
	nic_up(n);
	nic_frame(frame, 7014);
	assert_int_equal(nic_receive(n, frame, 7014), 0);
	assert_true(vmguest_receive(&n->ch, &p));
	assert_int_equal(nic_parts(n, &p, got, &count), 7014);
	assert_memory_equal(got, frame, 7014);
	assert_int_equal(nic_receive(n, frame, 7019), 0);
	assert_false(vmguest_receive(&n->ch, &p));
	nic_free(n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(checksum_that_the_guest_leaves_out_is_left_to_the_back_end),
		cmocka_unit_test(checksum_outside_of_the_frame_is_refused),
		cmocka_unit_test(long_frame_goes_out_with_whole_headers_to_be_cut),
		cmocka_unit_test(wild_large_sends_are_refused),
		cmocka_unit_test(offloads_that_the_back_end_lacks_are_refused),
		cmocka_unit_test(back_end_is_told_what_the_guest_takes),
		cmocka_unit_test(long_received_frame_comes_in_parts_that_are_freed_together),
		cmocka_unit_test(completion_of_a_later_part_faults_the_channel),
		cmocka_unit_test(long_frame_is_dropped_while_the_guest_does_not_coalesce),
		cmocka_unit_test(missing_checksum_of_a_short_frame_is_completed),
		cmocka_unit_test(tag_of_a_received_frame_goes_beside_it),
		cmocka_unit_test(frames_with_anothers_address_are_dropped_and_counted),
		cmocka_unit_test(jumbo_frames_pass_where_the_mtu_lets_them),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
