/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The NIC's start, end and control messages, as a guest sees them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/failheap.h"
#include "tests/unit/devices/net/nic_fixture.h"

static void init_takes_each_version_that_linux_tries(void **state)
{
	static const uint32_t versions[] = {0x60001, 0x60000, 0x50000, 0x40000, 0x30002, 0x2};

	(void)state;
	for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
		struct nvsp_init msg = {.type = NVSP_MSG_INIT,
					.min_version = versions[i],
					.max_version = versions[i]};
		struct vmguest_packet p;
		struct nic *n = nic_new();

		assert_true(nic_nvsp(n, &msg, sizeof(msg), &p));
		/* Linux takes no shorter completion than this one. */
		assert_true(p.len >= NVSP_MESSAGE_BYTES_V1);
		assert_int_equal(le32_load(p.payload), NVSP_MSG_INIT_COMPLETE);
		assert_int_equal(le32_load(p.payload + 4), versions[i]);
		assert_int_equal(le32_load(p.payload + 12), NVSP_STATUS_SUCCESS);
		nic_free(n);
	}
}

static void init_refuses_other_versions_and_goes_on(void **state)
{
	struct nic *n = nic_new();

	(void)state;
	assert_int_equal(nic_version(n, 0x70000, 0x70000), NVSP_STATUS_VERSION_TOO_NEW);
	assert_int_equal(nic_version(n, 0, 1), NVSP_STATUS_VERSION_TOO_OLD);
	assert_int_equal(nic_version(n, 0x45000, 0x45000), NVSP_STATUS_VERSION_UNSUPPORTED);
	assert_int_equal(nic_version(n, 0x60000, 2), NVSP_STATUS_VERSION_UNSUPPORTED);
	assert_int_equal(nic_version(n, 2, 0x60000), NVSP_STATUS_SUCCESS);
	assert_int_equal(nic_version(n, 2, 0x60000), NVSP_STATUS_FAILURE);
	nic_free(n);
}

static void init_of_a_running_nic_is_refused_and_it_runs_on(void **state)
{
	struct nic *n = nic_new();
	struct vmguest_packet p;
	uint8_t frame[64];

	(void)state;
	nic_up(n);
	assert_int_equal(nic_version(n, NVSP_VERSION_6_1, NVSP_VERSION_6_1), NVSP_STATUS_FAILURE);
	nic_frame(frame, sizeof(frame));
	assert_int_equal(nic_receive(n, frame, sizeof(frame)), 0);
	assert_true(vmguest_receive(&n->ch, &p));
	assert_int_equal(p.type, VMBUS_PACKET_TRANSFER_PAGES);
	nic_free(n);
}

static void buffers_are_refused_before_a_version(void **state)
{
	struct nic *n = nic_new();

	(void)state;
	assert_int_equal(nic_give_rx(n, n->rx_gpadl), NVSP_STATUS_FAILURE);
	assert_int_equal(nic_give_tx(n, n->tx_gpadl), NVSP_STATUS_FAILURE);
	assert_int_equal(n->guest->faults, 0);
	nic_free(n);
}

static void receive_buffer_is_one_part_of_equal_sections(void **state)
{
	struct nvsp_buffer msg = {.type = NVSP_MSG_RECEIVE_BUFFER, .id = NVSP_RECEIVE_BUFFER_ID};
	struct nvsp_receive_buffer_complete c;
	struct vmguest_packet p;
	struct nic *n = nic_new();

	(void)state;
	nic_version(n, NVSP_VERSION_6_1, NVSP_VERSION_6_1);
	msg.gpadl = n->rx_gpadl;
	assert_true(nic_nvsp(n, &msg, sizeof(msg), &p));
	memcpy(&c, p.payload, sizeof(c));
	assert_int_equal(c.status, NVSP_STATUS_SUCCESS);
	assert_int_equal(c.part_count, 1);
	assert_int_equal(c.offset, 0);
	assert_int_equal(c.section_bytes, 1728);
	assert_int_equal(c.section_count, NIC_RX_SECTIONS);
	/* A second one has to wait for the revocation of the first. */
	assert_int_equal(nic_give_rx(n, n->rx_gpadl), NVSP_STATUS_FAILURE);
	nic_free(n);
}

static void wild_and_small_buffers_are_refused(void **state)
{
	struct nic *n = nic_new();
	uint32_t small = vmguest_gpadl(n->guest, n->relid, n->scratch, 4096);

	(void)state;
	nic_version(n, NVSP_VERSION_6_1, NVSP_VERSION_6_1);
	assert_int_equal(nic_give_rx(n, 0xdeadbeef), NVSP_STATUS_FAILURE);
	assert_int_equal(nic_give_rx(n, small), NVSP_STATUS_FAILURE);
	assert_int_equal(nic_give_tx(n, 0xdeadbeef), NVSP_STATUS_FAILURE);
	assert_int_equal(nic_give_tx(n, small), NVSP_STATUS_FAILURE);
	assert_int_equal(n->guest->faults, 0);
	nic_free(n);
}

static void whole_start_of_linux_succeeds(void **state)
{
	struct ndis_object ask = {NDIS_OBJECT_OFFLOAD, 3, NDIS_OFFLOAD_BYTES_V3};
	uint8_t offload[NDIS_OFFLOAD_BYTES_V3] = {0}, info[RNDIS_REPLY_MAX];
	struct ndis_offload_parameters set = {.object = {NDIS_OBJECT_DEFAULT, 3, sizeof(set)},
					      .ip4_checksum = NDIS_OFFLOAD_OFF};
	uint32_t len = 0;
	struct nic *n = nic_new();

	(void)state;
	nic_up(n);
	assert_int_equal(
		nic_oid(n, RNDIS_MSG_QUERY, RNDIS_OID_MAXIMUM_FRAME_SIZE, NULL, 0, info, &len), 0);
	assert_int_equal(len, 4);
	assert_int_equal(le32_load(info), 1500);
	assert_int_equal(
		nic_oid(n, RNDIS_MSG_QUERY, RNDIS_OID_PERMANENT_ADDRESS, NULL, 0, info, &len), 0);
	assert_int_equal(len, 6);
	assert_memory_equal(info, nic_mac, 6);
	memcpy(offload, &ask, sizeof(ask));
	assert_int_equal(nic_oid(n, RNDIS_MSG_QUERY, RNDIS_OID_OFFLOAD_HARDWARE, offload,
				 sizeof(offload), info, &len),
			 0);
	assert_int_equal(len, sizeof(offload));
	assert_memory_equal(info, offload, sizeof(offload));
	assert_int_equal(nic_oid(n, RNDIS_MSG_SET, RNDIS_OID_OFFLOAD_PARAMETERS, &set, sizeof(set),
				 NULL, NULL),
			 0);
	assert_int_equal(
		nic_oid(n, RNDIS_MSG_QUERY, RNDIS_OID_MEDIA_CONNECT_STATUS, NULL, 0, info, &len),
		0);
	assert_int_equal(le32_load(info), 0);
	assert_int_equal(nic_oid(n, RNDIS_MSG_QUERY, RNDIS_OID_LINK_SPEED, NULL, 0, info, &len), 0);
	assert_int_equal(le32_load(info), 100000000);
	assert_int_equal(
		nic_oid(n, RNDIS_MSG_QUERY, RNDIS_OID_RSS_CAPABILITIES, NULL, 0, info, &len),
		RNDIS_STATUS_NOT_SUPPORTED);
	assert_int_equal(len, 0);
	assert_int_equal(n->guest->faults, 0);
	nic_free(n);
}

static void sub_channels_beyond_the_queues_are_refused_with_an_answer(void **state)
{
	struct nvsp_sub_channel msg = {.type = NVSP_MSG_SUB_CHANNEL, .operation = 1, .count = 3};
	struct vmguest_packet p;
	struct nic *n = nic_new();

	(void)state;
	nic_up(n);
	assert_true(nic_nvsp(n, &msg, sizeof(msg), &p));
	assert_int_equal(le32_load(p.payload), NVSP_MSG_SUB_CHANNEL);
	assert_int_equal(le32_load(p.payload + 4), NVSP_STATUS_FAILURE);
	assert_int_equal(le32_load(p.payload + 8), 0);
	nic_free(n);
}

static void every_message_that_asks_for_an_answer_gets_one(void **state)
{
	struct nic *n = nic_new();

	(void)state;
	nic_up(n);
	for (uint32_t type = 0; type < 200; type++) {
		uint8_t msg[40] = {0};
		struct vmguest_packet p;

		le32_store(msg, type);
		assert_true(nic_nvsp(n, msg, sizeof(msg), &p));
	}
	assert_int_equal(n->guest->faults, 0);
	nic_free(n);
}

static void message_without_a_type_faults_the_channel(void **state)
{
	struct nic *n = nic_new();

	(void)state;
	vmguest_send_inband(&n->ch, 1, NULL, 0);
	assert_int_equal(n->guest->faults, 1);
	nic_free(n);
}

static void packet_of_an_odd_type_faults_the_channel(void **state)
{
	struct nic *n = nic_new();
	uint8_t msg[40] = {0};

	(void)state;
	vmguest_send(&n->ch, VMBUS_PACKET_TRANSFER_PAGES, 1, 1, NULL, 0, msg, sizeof(msg));
	assert_int_equal(n->guest->faults, 1);
	nic_free(n);
}

static void closed_channel_opens_again_from_the_beginning(void **state)
{
	struct nic *n = nic_new();

	(void)state;
	nic_up(n);
	for (int i = 0; i < 3; i++) {
		vmguest_close(&n->ch);
		assert_true(vmguest_open(n->guest, n->relid, NIC_RING_PAGES, &n->ch));
		nic_up(n);
	}
	assert_int_equal(n->guest->faults, 0);
	nic_free(n);
}

static void revoked_buffers_are_given_anew(void **state)
{
	struct nvsp_buffer rx = {.type = NVSP_MSG_REVOKE_RECEIVE_BUFFER,
				 .gpadl = NVSP_RECEIVE_BUFFER_ID};
	struct nvsp_buffer tx = {.type = NVSP_MSG_REVOKE_SEND_BUFFER};
	struct nic *n = nic_new();
	uint8_t frame[64];

	(void)state;
	nic_up(n);
	nic_tell(n, &rx, sizeof(rx));
	nic_tell(n, &tx, sizeof(tx));
	nic_frame(frame, sizeof(frame));
	assert_int_equal(nic_receive(n, frame, sizeof(frame)), 0);
	assert_int_equal(netvsp_get_stats(n->dev)->received_dropped, 1);
	assert_int_equal(nic_give_rx(n, n->rx_gpadl), NVSP_STATUS_SUCCESS);
	assert_int_equal(nic_give_tx(n, n->tx_gpadl), NVSP_STATUS_SUCCESS);
	assert_int_equal(nic_receive(n, frame, sizeof(frame)), 0);
	assert_int_equal(netvsp_get_stats(n->dev)->received_frames, 1);
	nic_free(n);
}

static void link_change_is_told_to_a_running_driver(void **state)
{
	uint8_t msg[RNDIS_REPLY_MAX];
	struct vmguest_packet p;
	struct nic *n = nic_new();

	(void)state;
	nic_up(n);
	netvsp_set_link(n->dev, false);
	netvsp_set_link(n->dev, false);
	assert_true(vmguest_receive(&n->ch, &p));
	assert_int_equal(nic_section(n, &p, msg, sizeof(msg)), 20);
	assert_int_equal(le32_load(p.payload + 4), NVSP_CHANNEL_CONTROL);
	assert_int_equal(le32_load(msg), RNDIS_MSG_INDICATE_STATUS);
	assert_int_equal(le32_load(msg + 8), RNDIS_STATUS_MEDIA_DISCONNECT);
	nic_complete(n, p.transaction);
	assert_false(vmguest_receive(&n->ch, &p));
	netvsp_set_link(n->dev, true);
	assert_true(vmguest_receive(&n->ch, &p));
	nic_section(n, &p, msg, sizeof(msg));
	assert_int_equal(le32_load(msg + 8), RNDIS_STATUS_MEDIA_CONNECT);
	nic_free(n);
}

static void control_before_a_receive_buffer_is_refused(void **state)
{
	struct rndis_initialize msg = {.header = {RNDIS_MSG_INITIALIZE, sizeof(msg)}};
	struct nic *n = nic_new();

	(void)state;
	nic_version(n, NVSP_VERSION_5, NVSP_VERSION_5);
	memcpy(vmguest_at(n->guest, n->scratch), &msg, sizeof(msg));
	assert_int_equal(nic_transfer(n, NVSP_CHANNEL_CONTROL, n->scratch, sizeof(msg), NULL),
			 NVSP_STATUS_FAILURE);
	nic_free(n);
}

static void halt_is_completed_without_a_reply(void **state)
{
	uint32_t msg[3] = {RNDIS_MSG_HALT, sizeof(msg), 99};
	struct vmguest_packet p = {0};
	struct nic *n = nic_new();
	uint8_t frame[64];

	(void)state;
	nic_up(n);
	memcpy(vmguest_at(n->guest, n->scratch), msg, sizeof(msg));
	assert_int_equal(nic_transfer(n, NVSP_CHANNEL_CONTROL, n->scratch, sizeof(msg), &p),
			 NVSP_STATUS_SUCCESS);
	assert_int_equal(p.type, 0);
	nic_frame(frame, sizeof(frame));
	assert_int_equal(nic_receive(n, frame, sizeof(frame)), 0);
	assert_int_equal(netvsp_get_stats(n->dev)->received_dropped, 1);
	nic_free(n);
}

static void nic_without_a_guest_can_be_freed(void **state)
{
	struct vmguest *g = vmguest_new(1 << 20, 0);
	struct nic *n = calloc(1, sizeof(*n));
	struct netvsp_config config = {.mtu = 9000};
	uint8_t frame[64] = {0};

	(void)state;
	assert_non_null(n);
	n->port = (struct netport){.ops = &nic_port_ops, .ctx = n};
	config.mtu = NETVSP_MTU_MAX + 1;
	assert_null(netvsp_new(g->bus, &config, &n->port));
	config.mtu = 9000;
	n->dev = netvsp_new(g->bus, &config, &n->port);
	assert_non_null(n->dev);
	assert_true(n->want);
	assert_int_equal(nic_receive(n, frame, sizeof(frame)), 0);
	netvsp_free(n->dev);
	assert_null(n->port.sink.receive);
	netvsp_free(NULL);
	vmguest_free(g);
	free(n);
}

static int make_and_free(void *ctx)
{
	struct nic *n = ctx;
	struct netvsp_config config = {0};

	n->dev = netvsp_new(n->guest->bus, &config, &n->port);
	if (!n->dev) {
		assert_null(n->port.sink.receive);
		return -ENOMEM;
	}
	netvsp_free(n->dev);
	return 0;
}

static void failing_heap_makes_no_nic_and_leaks_nothing(void **state)
{
	static struct nic n;

	(void)state;
	n.guest = vmguest_new(1 << 20, 0);
	n.port = (struct netport){.ops = &nic_port_ops, .ctx = &n};
	assert_true(failheap_sweep(make_and_free, &n) >= 4);
	vmguest_free(n.guest);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(init_takes_each_version_that_linux_tries),
		cmocka_unit_test(init_refuses_other_versions_and_goes_on),
		cmocka_unit_test(init_of_a_running_nic_is_refused_and_it_runs_on),
		cmocka_unit_test(buffers_are_refused_before_a_version),
		cmocka_unit_test(receive_buffer_is_one_part_of_equal_sections),
		cmocka_unit_test(wild_and_small_buffers_are_refused),
		cmocka_unit_test(whole_start_of_linux_succeeds),
		cmocka_unit_test(sub_channels_beyond_the_queues_are_refused_with_an_answer),
		cmocka_unit_test(every_message_that_asks_for_an_answer_gets_one),
		cmocka_unit_test(message_without_a_type_faults_the_channel),
		cmocka_unit_test(packet_of_an_odd_type_faults_the_channel),
		cmocka_unit_test(closed_channel_opens_again_from_the_beginning),
		cmocka_unit_test(revoked_buffers_are_given_anew),
		cmocka_unit_test(link_change_is_told_to_a_running_driver),
		cmocka_unit_test(control_before_a_receive_buffer_is_refused),
		cmocka_unit_test(halt_is_completed_without_a_reply),
		cmocka_unit_test(nic_without_a_guest_can_be_freed),
		cmocka_unit_test(failing_heap_makes_no_nic_and_leaks_nothing),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
