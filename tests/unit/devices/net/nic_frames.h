/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Frames with offloads, and what the guest gets of them; beside nic_fixture.h. */
#ifndef OYA_TESTS_NIC_FRAMES_H
#define OYA_TESTS_NIC_FRAMES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "devices/net/flow.h"
#include "tests/unit/devices/net/nic_fixture.h"

#define NIC_OFFLOADS (NETPORT_CHECKSUM | NETPORT_TCP4 | NETPORT_TCP6)
#define NIC_TCP_AT 34u
#define NIC_TCP_HEADERS 54u

static inline uint32_t nic_set_offloads(struct nic *n, uint8_t checksum, uint8_t large,
					uint8_t coalesce)
{
	struct ndis_offload_parameters p = {
		.object = {NDIS_OBJECT_DEFAULT, 3, sizeof(p)},
		.ip4_checksum = NDIS_OFFLOAD_OFF,
		.tcp4_checksum = checksum,
		.udp4_checksum = checksum,
		.tcp6_checksum = checksum,
		.udp6_checksum = checksum,
		.large_send_v2_ip4 = large,
		.large_send_v2_ip6 = large,
		.coalesce_ip4 = coalesce,
		.coalesce_ip6 = coalesce,
	};

	return nic_oid(n, RNDIS_MSG_SET, RNDIS_OID_OFFLOAD_PARAMETERS, &p, sizeof(p), NULL, NULL);
}

static inline struct nic *nic_started(struct netvsp_config config)
{
	struct nic *n = nic_new_with(NIC_OFFLOADS, config);

	nic_up(n);
	if (nic_set_offloads(n, NDIS_CHECKSUM_BOTH, NDIS_OFFLOAD_ON, NDIS_OFFLOAD_ON) != 0)
		abort();
	return n;
}

/* A TCP segment over IPv4 as a driver leaves it that has the host cut it. */
static inline void nic_tcp_frame(uint8_t *f, size_t len)
{
	nic_frame(f, len);
	memcpy(f + 6, nic_mac, 6);
	memset(f + 14, 0, 40);
	f[14] = 0x45;
	f[22] = 64;
	f[23] = FLOW_TCP;
	be32_store(f + 26, 0xc0000201);
	be32_store(f + 30, 0xc0000202);
	be16_store(f + 34, 1000);
	be16_store(f + 36, 80);
	f[46] = 0x50;
}

/* The value of a note in an RNDIS message that the NIC sent; false when it has none. */
static inline bool nic_note(const uint8_t *msg, uint32_t type, uint32_t *ret_value)
{
	struct rndis_packet head;
	uint32_t at;

	memcpy(&head, msg, sizeof(head));
	for (at = 8 + head.info_offset; head.info_len && at < 8 + head.info_offset + head.info_len;
	     at += le32_load(msg + at)) {
		if (le32_load(msg + at + 4) != type)
			continue;
		*ret_value = le32_load(msg + at + le32_load(msg + at + 8));
		return true;
	}
	return false;
}

/* The whole frame of a packet with any number of parts; its length. */
static inline size_t nic_parts(struct nic *n, const struct vmguest_packet *p, uint8_t *frame,
			       unsigned *ret_count)
{
	uint32_t count = le32_load(p->head + 4);
	size_t len = 0;

	assert_int_equal(p->type, VMBUS_PACKET_TRANSFER_PAGES);
	for (uint32_t i = 0; i < count; i++) {
		const uint8_t *msg = vmguest_at(n->guest, n->rx + le32_load(p->head + 12 + i * 8));
		uint32_t flags = 0;
		struct rndis_packet head;

		memcpy(&head, msg, sizeof(head));
		assert_int_equal(head.header.len, le32_load(p->head + 8 + i * 8));
		assert_int_equal(head.header.len, 8 + head.data_offset + head.data_len);
		if (count > 1) {
			assert_true(nic_note(msg, RNDIS_INFO_PART, &flags));
			assert_int_equal(flags, 1 | (1 | (i == 0) << 1 | (i + 1 == count) << 2)
								<< 8);
		}
		memcpy(frame + len, msg + 8 + head.data_offset, head.data_len);
		len += head.data_len;
	}
	*ret_count = count;
	return len;
}

static const struct netport_facts nic_long_facts = {
	.checksum_missing = true,
	.segments = NETPORT_TCP4,
	.segment_bytes = 1448,
	.checksum_start = NIC_TCP_AT,
	.checksum_offset = 16,
};

#define NIC_LONG_RX_BYTES (32u * 4096)
#define NIC_LONG_SECTION 8192u
#define NIC_LONG_SECTIONS (NIC_LONG_RX_BYTES / NIC_LONG_SECTION)

/* A receive buffer in which a frame of any length has its place, in lieu of the fixture's. */
static inline void nic_long_rx(struct nic *n)
{
	n->rx = vmguest_alloc(n->guest, NIC_LONG_RX_BYTES);
	n->rx_gpadl = vmguest_gpadl(n->guest, n->relid, n->rx, NIC_LONG_RX_BYTES);
}

/* Bytes of a frame to the pieces that room() gave. */
static inline void nic_scatter(const struct iovec *iov, unsigned count, const uint8_t *from,
			       size_t len)
{
	for (unsigned i = 0; len; i++) {
		size_t n = len < iov[i].iov_len ? len : iov[i].iov_len;

		if (i == count)
			abort();
		memcpy(iov[i].iov_base, from, n);
		from += n;
		len -= n;
	}
}

/* One frame from a back end that reads it to its place where it may; whether it might. */
static inline bool nic_place(struct nic *n, const uint8_t *frame, size_t len,
			     const struct netport_facts *facts)
{
	const struct netport_sink *sink = &n->port.sink;
	struct iovec iov[NETPORT_ROOM_MAX];
	size_t begin = 0, held;
	unsigned count = sink->room(sink->owner, iov, &begin);
	uint8_t *copy;

	if (!count)
		return false;
	held = len < begin ? len : begin;
	copy = malloc(held ? held : 1);
	if (!copy)
		abort();
	memcpy(copy, frame, held);
	nic_scatter(iov, count, frame + held, len - held);
	if (held < len)
		sink->receive_placed(sink->owner, copy, len, facts);
	else if (sink->receive(sink->owner, copy, len, facts) < 0)
		abort();
	free(copy);
	sink->flush(sink->owner);
	return true;
}

#endif
