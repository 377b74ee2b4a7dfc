/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sub-channels and receive side scaling, with tables and keys that lie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/devices/net/nic_queues.h"

static struct nic *started(struct vmguest_channel sub[NIC_QUEUES])
{
	return nic_started_queues(0, sub);
}

/* Which queues get something of 60 flows: a bit each. */
static unsigned spread(struct nic *n, struct vmguest_channel sub[NIC_QUEUES])
{
	struct nvsp_rndis_complete done = {NVSP_MSG_RNDIS_COMPLETE, NVSP_STATUS_SUCCESS};
	unsigned seen = 0, packets = 0;
	struct vmguest_packet p;
	uint8_t frame[60];

	for (uint16_t port = 1; port <= 60; port++) {
		nic_flow_frame(frame, port);
		assert_int_equal(nic_receive(n, frame, sizeof(frame)), 0);
		for (unsigned i = 0; i < NIC_QUEUES; i++) {
			while (vmguest_receive(&sub[i], &p)) {
				assert_int_equal(p.type, VMBUS_PACKET_TRANSFER_PAGES);
				vmguest_complete(&sub[i], p.transaction, &done, sizeof(done));
				seen |= 1u << i;
				packets++;
			}
		}
	}
	assert_int_equal(packets, 60);
	return seen;
}

static void flows_are_spread_over_the_queues_by_the_guests_table(void **state)
{
	struct vmguest_channel sub[NIC_QUEUES];
	struct nic *n = started(sub);
	struct nic_rss s = nic_rss();

	(void)state;
	assert_int_equal(spread(n, sub), 1);
	assert_int_equal(nic_set_rss(n, &s), 0);
	assert_int_equal(spread(n, sub), 7);
	memset(s.table, 0, sizeof(s.table));
	assert_int_equal(nic_set_rss(n, &s), 0);
	assert_int_equal(spread(n, sub), 1);
	s.p.flags = NDIS_RSS_OFF;
	assert_int_equal(nic_set_rss(n, &s), 0);
	assert_int_equal(spread(n, sub), 1);
	assert_int_equal(n->guest->faults, 0);
	nic_free(n);
}

/* Its queue is known only once it has been read. */
static void placed_frame_goes_to_the_queue_of_its_flow(void **state)
{
	struct nvsp_rndis_complete done = {NVSP_MSG_RNDIS_COMPLETE, NVSP_STATUS_SUCCESS};
	static uint8_t frame[20000], got[20000];
	struct vmguest_channel sub[NIC_QUEUES];
	struct nic *n = nic_started_queues(NIC_OFFLOADS, sub);
	struct nic_rss s = nic_rss();
	struct vmguest_packet p;
	unsigned seen = 0, count;

	(void)state;
	assert_int_equal(nic_set_offloads(n, NDIS_CHECKSUM_BOTH, 0, NDIS_OFFLOAD_ON), 0);
	assert_int_equal(nic_set_rss(n, &s), 0);
	nic_tcp_frame(frame, sizeof(frame));
	for (uint16_t port = 1; port <= 60; port++) {
		unsigned queue = 0;

		nic_flow_frame(frame, port);
		assert_int_equal(nic_receive(n, frame, 60), 0);
		while (!vmguest_receive(&sub[queue], &p))
			assert_true(++queue < NIC_QUEUES);
		vmguest_complete(&sub[queue], p.transaction, &done, sizeof(done));
		assert_true(nic_place(n, frame, sizeof(frame), &nic_long_facts));
		assert_true(vmguest_receive(&sub[queue], &p));
		assert_int_equal(nic_parts(n, &p, got, &count), sizeof(frame));
		assert_memory_equal(got, frame, sizeof(frame));
		vmguest_complete(&sub[queue], p.transaction, &done, sizeof(done));
		seen |= 1u << queue;
	}
	assert_int_equal(seen, 7);
	assert_int_equal(n->guest->faults, 0);
	nic_free(n);
}

static void tables_and_keys_that_lie_are_refused_and_change_nothing(void **state)
{
	struct vmguest_channel sub[NIC_QUEUES];
	struct nic *n = started(sub);
	struct nic_rss good = nic_rss(), s;

	(void)state;
	assert_int_equal(nic_set_rss(n, &good), 0);
#define WILD(change)                                         \
	do {                                                 \
		s = good;                                    \
		change;                                      \
		assert_int_not_equal(nic_set_rss(n, &s), 0); \
	} while (0)
	WILD(s.p.table_bytes = 0);
	WILD(s.p.table_bytes = 3);
	WILD(s.p.table_bytes = 12);
	WILD(s.p.table_bytes = 0xffff);
	WILD(s.p.table_offset = sizeof(s) - 4);
	WILD(s.p.table_offset = 0xffffffff);
	WILD(s.p.table_offset = 0xfffffff0);
	WILD(s.p.key_bytes = 0);
	WILD(s.p.key_bytes = 41);
	WILD(s.p.key_offset = 0xfffffff8);
	WILD(s.p.key_offset = sizeof(s) - 39);
	WILD(s.table[7] = NIC_QUEUES);
	WILD(s.table[7] = 0xffffffff);
	WILD(s.p.hash = 0);
	WILD(s.p.object.type = 0);
	assert_int_not_equal(
		nic_oid(n, RNDIS_MSG_SET, RNDIS_OID_RSS_PARAMETERS, &good, 27, NULL, NULL), 0);
	assert_int_equal(spread(n, sub), 7);
	assert_int_equal(n->guest->faults, 0);
	nic_free(n);
}

static void unchanged_table_that_was_never_given_is_refused(void **state)
{
	struct vmguest_channel sub[NIC_QUEUES];
	struct nic *n = started(sub);
	struct nic_rss s = nic_rss();

	(void)state;
	s.p.flags = NDIS_RSS_TABLE_UNCHANGED | NDIS_RSS_KEY_UNCHANGED;
	assert_int_not_equal(nic_set_rss(n, &s), 0);
	assert_int_equal(spread(n, sub), 1);
	nic_free(n);
}

static void sub_channels_are_given_once_and_not_without_a_reason(void **state)
{
	struct vmguest_channel sub[NIC_QUEUES];
	struct nic *n = started(sub);
	uint32_t count;

	(void)state;
	assert_int_equal(nic_allocate(n, NVSP_SUB_CHANNEL_ALLOCATE, 1, &count),
			 NVSP_STATUS_FAILURE);
	assert_int_equal(count, 0);
	assert_int_equal(nic_allocate(n, 0, 1, &count), NVSP_STATUS_FAILURE);
	assert_int_equal(n->guest->faults, 0);
	nic_free(n);
}

static void broken_sub_channel_leaves_the_nic_alive(void **state)
{
	struct vmguest_channel sub[NIC_QUEUES];
	struct nic *n = started(sub);
	struct nic_rss s = nic_rss();

	(void)state;
	assert_int_equal(nic_set_rss(n, &s), 0);
	vmguest_complete(&sub[1], 0x123456789, "12345678", 8);
	assert_int_equal(n->guest->faults, 1);
	/* What it would get goes to the first. */
	assert_int_equal(spread(n, sub), 5);
	nic_free(n);
}

static void frames_go_out_by_every_queue(void **state)
{
	struct nvsp_rndis msg = {NVSP_MSG_RNDIS, NVSP_CHANNEL_DATA, NVSP_NO_SECTION, 0};
	struct vmguest_channel sub[NIC_QUEUES];
	struct nic *n = started(sub);
	struct vmguest_packet p;
	uint32_t len = nic_packet(vmguest_at(n->guest, n->scratch), 100);

	(void)state;
	for (unsigned i = 0; i < NIC_QUEUES; i++) {
		vmguest_send_gpa(&sub[i], 77, n->scratch, len, &msg, sizeof(msg));
		assert_true(vmguest_receive(&sub[i], &p));
		assert_int_equal(p.type, VMBUS_PACKET_COMPLETION);
		assert_int_equal(p.transaction, 77);
	}
	assert_int_equal(n->sent, NIC_QUEUES);
	nic_free(n);
}

static void closing_the_primary_takes_the_sub_channels_back(void **state)
{
	struct vmguest_channel sub[NIC_QUEUES];
	struct nic *n = started(sub);
	struct vmguest_message m;

	(void)state;
	while (vmguest_take(n->guest, &m)) {
	}
	vmguest_close(&n->ch);
	for (unsigned i = 1; i < NIC_QUEUES; i++) {
		struct vmbus_msg_relid released = {.header.type = VMBUS_MSG_RELID_RELEASED,
						   .relid = sub[i].relid};
		struct vmbus_channel_info info;
		uint32_t relid = sub[i].relid;

		assert_int_equal(vmbus_channel_info(n->guest->bus, &relid, &info), 0);
		assert_int_equal(relid, sub[i].relid);
		assert_string_equal(info.state, "rescinded");
		vmguest_message(n->guest, 4, &released, sizeof(released));
		relid = sub[i].relid;
		if (vmbus_channel_info(n->guest->bus, &relid, &info) == 0)
			assert_int_not_equal(relid, sub[i].relid);
	}
	assert_true(vmguest_open(n->guest, n->relid, NIC_RING_PAGES, &n->ch));
	nic_up(n);
	assert_int_equal(n->guest->faults, 0);
	nic_free(n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(flows_are_spread_over_the_queues_by_the_guests_table),
		cmocka_unit_test(placed_frame_goes_to_the_queue_of_its_flow),
		cmocka_unit_test(tables_and_keys_that_lie_are_refused_and_change_nothing),
		cmocka_unit_test(unchanged_table_that_was_never_given_is_refused),
		cmocka_unit_test(sub_channels_are_given_once_and_not_without_a_reason),
		cmocka_unit_test(broken_sub_channel_leaves_the_nic_alive),
		cmocka_unit_test(frames_go_out_by_every_queue),
		cmocka_unit_test(closing_the_primary_takes_the_sub_channels_back),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
