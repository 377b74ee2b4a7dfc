/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sub-channels and receive side scaling, with tables and keys that lie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/devices/net/nic_frames.h"

#define QUEUES 3u

struct rss_set {
	struct ndis_rss_parameters p;
	uint8_t rest[12]; /* Linux's structure is longer */
	uint32_t table[NDIS_RSS_TABLE_ENTRIES / 4];
	uint8_t key[NDIS_RSS_KEY_BYTES];
};

static struct rss_set rss_set(void)
{
	struct rss_set s = {
		.p = {.object = {NDIS_OBJECT_RSS_PARAMETERS, 2, 40},
		      .hash = NDIS_RSS_TOEPLITZ | NDIS_RSS_IP4 | NDIS_RSS_TCP_IP4,
		      .table_bytes = sizeof(s.table),
		      .table_offset = offsetof(struct rss_set, table),
		      .key_bytes = sizeof(s.key),
		      .key_offset = offsetof(struct rss_set, key)},
	};

	for (unsigned i = 0; i < NDIS_RSS_TABLE_ENTRIES / 4; i++)
		s.table[i] = i % QUEUES;
	for (unsigned i = 0; i < sizeof(s.key); i++)
		s.key[i] = (uint8_t)(i * 73 + 5);
	return s;
}

static uint32_t set(struct nic *n, const struct rss_set *s)
{
	return nic_oid(n, RNDIS_MSG_SET, RNDIS_OID_RSS_PARAMETERS, s, sizeof(*s), NULL, NULL);
}

static uint32_t allocate(struct nic *n, uint32_t operation, uint32_t count, uint32_t *ret_count)
{
	struct nvsp_sub_channel msg = {NVSP_MSG_SUB_CHANNEL, operation, count};
	struct vmguest_packet p;

	if (!nic_nvsp(n, &msg, sizeof(msg), &p))
		abort();
	*ret_count = le32_load(p.payload + 8);
	return le32_load(p.payload + 4);
}

/* Opens the sub-channels that were offered. */
static void open_subs(struct nic *n, struct vmguest_channel sub[QUEUES])
{
	uint32_t relid[QUEUES];

	for (unsigned i = 1; i < QUEUES; i++) {
		relid[i] = vmguest_find_offer(n->guest, &nic_guid, i - 1);
		assert_int_not_equal(relid[i], 0);
	}
	for (unsigned i = 1; i < QUEUES; i++)
		assert_true(vmguest_open(n->guest, relid[i], NIC_RING_PAGES, &sub[i]));
	sub[0] = n->ch;
}

static struct nic *started_with(unsigned features, struct vmguest_channel sub[QUEUES])
{
	struct nic *n = nic_new_with(features, (struct netvsp_config){.queues = QUEUES});
	struct vmguest_message m;
	struct vmguest_packet p;
	uint32_t count = 0;

	if (features)
		nic_long_rx(n);
	nic_up(n);
	while (vmguest_take(n->guest, &m)) {
	}
	assert_int_equal(allocate(n, NVSP_SUB_CHANNEL_ALLOCATE, 7, &count), NVSP_STATUS_SUCCESS);
	assert_int_equal(count, QUEUES - 1);
	open_subs(n, sub);
	/* Once all are open comes the table of who sends by which. */
	assert_true(vmguest_receive(&n->ch, &p));
	assert_int_equal(p.type, VMBUS_PACKET_INBAND);
	assert_int_equal(le32_load(p.payload), NVSP_MSG_SEND_TABLE);
	assert_int_equal(le32_load(p.payload + 4), NVSP_SEND_TABLE_ENTRIES);
	assert_int_equal(le32_load(p.payload + le32_load(p.payload + 8) + 5 * 4), 5 % QUEUES);
	return n;
}

static struct nic *started(struct vmguest_channel sub[QUEUES])
{
	return started_with(0, sub);
}

static void flow_frame(uint8_t *f, uint16_t port)
{
	nic_frame(f, 60);
	memset(f + 14, 0, 40);
	f[14] = 0x45;
	f[23] = 6;
	be32_store(f + 26, 0xc0000201);
	be32_store(f + 30, 0xc0000202);
	be16_store(f + 34, port);
	be16_store(f + 36, 80);
}

/* Which queues get something of 60 flows: a bit each. */
static unsigned spread(struct nic *n, struct vmguest_channel sub[QUEUES])
{
	struct nvsp_rndis_complete done = {NVSP_MSG_RNDIS_COMPLETE, NVSP_STATUS_SUCCESS};
	unsigned seen = 0, packets = 0;
	struct vmguest_packet p;
	uint8_t frame[60];

	for (uint16_t port = 1; port <= 60; port++) {
		flow_frame(frame, port);
		assert_int_equal(nic_receive(n, frame, sizeof(frame)), 0);
		for (unsigned i = 0; i < QUEUES; i++) {
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
	struct vmguest_channel sub[QUEUES];
	struct nic *n = started(sub);
	struct rss_set s = rss_set();

	(void)state;
	assert_int_equal(spread(n, sub), 1);
	assert_int_equal(set(n, &s), 0);
	assert_int_equal(spread(n, sub), 7);
	memset(s.table, 0, sizeof(s.table));
	assert_int_equal(set(n, &s), 0);
	assert_int_equal(spread(n, sub), 1);
	s.p.flags = NDIS_RSS_OFF;
	assert_int_equal(set(n, &s), 0);
	assert_int_equal(spread(n, sub), 1);
	assert_int_equal(n->guest->faults, 0);
	nic_free(n);
}

/* Its queue is known only once it has been read. */
static void placed_frame_goes_to_the_queue_of_its_flow(void **state)
{
	struct nvsp_rndis_complete done = {NVSP_MSG_RNDIS_COMPLETE, NVSP_STATUS_SUCCESS};
	static uint8_t frame[20000], got[20000];
	struct vmguest_channel sub[QUEUES];
	struct nic *n = started_with(NIC_OFFLOADS, sub);
	struct rss_set s = rss_set();
	struct vmguest_packet p;
	unsigned seen = 0, count;

	(void)state;
	assert_int_equal(nic_set_offloads(n, NDIS_CHECKSUM_BOTH, 0, NDIS_OFFLOAD_ON), 0);
	assert_int_equal(set(n, &s), 0);
	nic_tcp_frame(frame, sizeof(frame));
	for (uint16_t port = 1; port <= 60; port++) {
		unsigned queue = 0;

		flow_frame(frame, port);
		assert_int_equal(nic_receive(n, frame, 60), 0);
		while (!vmguest_receive(&sub[queue], &p))
			assert_true(++queue < QUEUES);
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
	struct vmguest_channel sub[QUEUES];
	struct nic *n = started(sub);
	struct rss_set good = rss_set(), s;

	(void)state;
	assert_int_equal(set(n, &good), 0);
#define WILD(change)                                 \
	do {                                         \
		s = good;                            \
		change;                              \
		assert_int_not_equal(set(n, &s), 0); \
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
	WILD(s.table[7] = QUEUES);
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
	struct vmguest_channel sub[QUEUES];
	struct nic *n = started(sub);
	struct rss_set s = rss_set();

	(void)state;
	s.p.flags = NDIS_RSS_TABLE_UNCHANGED | NDIS_RSS_KEY_UNCHANGED;
	assert_int_not_equal(set(n, &s), 0);
	assert_int_equal(spread(n, sub), 1);
	nic_free(n);
}

static void sub_channels_are_given_once_and_not_without_a_reason(void **state)
{
	struct vmguest_channel sub[QUEUES];
	struct nic *n = started(sub);
	uint32_t count;

	(void)state;
	assert_int_equal(allocate(n, NVSP_SUB_CHANNEL_ALLOCATE, 1, &count), NVSP_STATUS_FAILURE);
	assert_int_equal(count, 0);
	assert_int_equal(allocate(n, 0, 1, &count), NVSP_STATUS_FAILURE);
	assert_int_equal(n->guest->faults, 0);
	nic_free(n);
}

static void broken_sub_channel_leaves_the_nic_alive(void **state)
{
	struct vmguest_channel sub[QUEUES];
	struct nic *n = started(sub);
	struct rss_set s = rss_set();

	(void)state;
	assert_int_equal(set(n, &s), 0);
	vmguest_complete(&sub[1], 0x123456789, "12345678", 8);
	assert_int_equal(n->guest->faults, 1);
	/* What it would get goes to the first. */
	assert_int_equal(spread(n, sub), 5);
	nic_free(n);
}

static void frames_go_out_by_every_queue(void **state)
{
	struct nvsp_rndis msg = {NVSP_MSG_RNDIS, NVSP_CHANNEL_DATA, NVSP_NO_SECTION, 0};
	struct vmguest_channel sub[QUEUES];
	struct nic *n = started(sub);
	struct vmguest_packet p;
	uint32_t len = nic_packet(vmguest_at(n->guest, n->scratch), 100);

	(void)state;
	for (unsigned i = 0; i < QUEUES; i++) {
		vmguest_send_gpa(&sub[i], 77, n->scratch, len, &msg, sizeof(msg));
		assert_true(vmguest_receive(&sub[i], &p));
		assert_int_equal(p.type, VMBUS_PACKET_COMPLETION);
		assert_int_equal(p.transaction, 77);
	}
	assert_int_equal(n->sent, QUEUES);
	nic_free(n);
}

static void closing_the_primary_takes_the_sub_channels_back(void **state)
{
	struct vmguest_channel sub[QUEUES];
	struct nic *n = started(sub);
	struct vmguest_message m;

	(void)state;
	while (vmguest_take(n->guest, &m)) {
	}
	vmguest_close(&n->ch);
	for (unsigned i = 1; i < QUEUES; i++) {
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
