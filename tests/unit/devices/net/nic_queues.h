/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A NIC with sub-channels and receive side scaling; beside nic_frames.h. */
#ifndef OYA_TESTS_NIC_QUEUES_H
#define OYA_TESTS_NIC_QUEUES_H

#include "tests/unit/devices/net/nic_frames.h"

#define NIC_QUEUES 3u

struct nic_rss {
	struct ndis_rss_parameters p;
	uint8_t rest[12]; /* Linux's structure is longer */
	uint32_t table[NDIS_RSS_TABLE_ENTRIES / 4];
	uint8_t key[NDIS_RSS_KEY_BYTES];
};

static inline struct nic_rss nic_rss(void)
{
	struct nic_rss s = {
		.p = {.object = {NDIS_OBJECT_RSS_PARAMETERS, 2, 40},
		      .hash = NDIS_RSS_TOEPLITZ | NDIS_RSS_IP4 | NDIS_RSS_TCP_IP4,
		      .table_bytes = sizeof(s.table),
		      .table_offset = offsetof(struct nic_rss, table),
		      .key_bytes = sizeof(s.key),
		      .key_offset = offsetof(struct nic_rss, key)},
	};

	for (unsigned i = 0; i < NDIS_RSS_TABLE_ENTRIES / 4; i++)
		s.table[i] = i % NIC_QUEUES;
	for (unsigned i = 0; i < sizeof(s.key); i++)
		s.key[i] = (uint8_t)(i * 73 + 5);
	return s;
}

static inline uint32_t nic_set_rss(struct nic *n, const struct nic_rss *s)
{
	return nic_oid(n, RNDIS_MSG_SET, RNDIS_OID_RSS_PARAMETERS, s, sizeof(*s), NULL, NULL);
}

static inline uint32_t nic_allocate(struct nic *n, uint32_t operation, uint32_t count,
				    uint32_t *ret_count)
{
	struct nvsp_sub_channel msg = {NVSP_MSG_SUB_CHANNEL, operation, count};
	struct vmguest_packet p;

	if (!nic_nvsp(n, &msg, sizeof(msg), &p))
		abort();
	*ret_count = le32_load(p.payload + 8);
	return le32_load(p.payload + 4);
}

/* Opens the sub-channels that were offered. */
static inline void nic_open_subs(struct nic *n, struct vmguest_channel sub[NIC_QUEUES])
{
	uint32_t relid[NIC_QUEUES];

	for (unsigned i = 1; i < NIC_QUEUES; i++) {
		relid[i] = vmguest_find_offer(n->guest, &nic_guid, i - 1);
		assert_int_not_equal(relid[i], 0);
	}
	for (unsigned i = 1; i < NIC_QUEUES; i++)
		assert_true(vmguest_open(n->guest, relid[i], NIC_RING_PAGES, &sub[i]));
	sub[0] = n->ch;
}

static inline struct nic *nic_started_queues(unsigned features,
					     struct vmguest_channel sub[NIC_QUEUES])
{
	struct nic *n = nic_new_with(features, (struct netvsp_config){.queues = NIC_QUEUES});
	struct vmguest_message m;
	struct vmguest_packet p;
	uint32_t count = 0;

	if (features)
		nic_long_rx(n);
	nic_up(n);
	while (vmguest_take(n->guest, &m)) {
	}
	assert_int_equal(nic_allocate(n, NVSP_SUB_CHANNEL_ALLOCATE, 7, &count),
			 NVSP_STATUS_SUCCESS);
	assert_int_equal(count, NIC_QUEUES - 1);
	nic_open_subs(n, sub);
	/* Once all are open comes the table of who sends by which. */
	assert_true(vmguest_receive(&n->ch, &p));
	assert_int_equal(p.type, VMBUS_PACKET_INBAND);
	assert_int_equal(le32_load(p.payload), NVSP_MSG_SEND_TABLE);
	assert_int_equal(le32_load(p.payload + 4), NVSP_SEND_TABLE_ENTRIES);
	assert_int_equal(le32_load(p.payload + le32_load(p.payload + 8) + 5 * 4), 5 % NIC_QUEUES);
	return n;
}

static inline void nic_flow_frame(uint8_t *f, uint16_t port)
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

#endif
