/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest with one NIC, a back end that records, and the steps of a network driver; for the
 * tests and fuzzers of devices/net.
 */
#ifndef OYA_TESTS_NIC_FIXTURE_H
#define OYA_TESTS_NIC_FIXTURE_H

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "abi/netvsc.h"
#include "abi/rndis.h"
#include "base/bytes.h"
#include "devices/net/netvsp.h"
#include "tests/lib/vmguest.h"

#define NIC_RAM (1u << 20)
#define NIC_RX_BYTES (16u * 4096)
#define NIC_TX_BYTES (16u * 4096)
#define NIC_RX_SECTIONS (NIC_RX_BYTES / 1728)
#define NIC_TX_SECTION 6144u
#define NIC_RING_PAGES 8u

static const struct guid nic_guid = GUID_INIT(0xf8615163, 0xdf3e, 0x46c5, 0x913f, 0xf2d2f965ed0e);
static const uint8_t nic_mac[6] = {0x00, 0x15, 0x5d, 0x01, 0x02, 0x03};

struct nic {
	struct vmguest *guest;
	struct vmguest_channel ch;
	uint32_t relid;
	struct netport port;
	struct netvsp *dev;
	uint64_t scratch, rx, tx; /* GPAs */
	uint32_t rx_gpadl, tx_gpadl;
	uint64_t transaction;
	uint32_t request;
	/* The back end. */
	bool want;
	unsigned want_calls, sent;
	int send_result;
	size_t sent_len;
	struct netport_facts facts; /* of the frame that was sent last */
	unsigned accepted;
	uint8_t frame[NETPORT_FRAME_MAX];
	bool kept; /* gives kept_frame again at want(true) */
	uint8_t kept_frame[64];
};

static inline int nic_send(void *ctx, const struct iovec *iov, unsigned count, size_t len,
			   const struct netport_facts *facts)
{
	struct nic *n = ctx;
	size_t at = 0;

	if (len > sizeof(n->frame))
		abort();
	for (unsigned i = 0; i < count; i++) {
		memcpy(n->frame + at, iov[i].iov_base, iov[i].iov_len);
		at += iov[i].iov_len;
	}
	if (at != len)
		abort();
	n->sent_len = len;
	n->facts = *facts;
	n->sent++;
	return n->send_result;
}

static inline void nic_want(void *ctx, bool on)
{
	struct nic *n = ctx;

	n->want = on;
	n->want_calls++;
	if (on && n->kept) {
		n->kept = false;
		if (n->port.sink.receive(n->port.sink.owner, n->kept_frame, 64, NULL) == -EAGAIN)
			n->kept = true;
		n->port.sink.flush(n->port.sink.owner);
	}
}

static inline void nic_accept(void *ctx, unsigned features)
{
	struct nic *n = ctx;

	n->accepted = features;
}

static const struct netport_ops nic_port_ops = {
	.send = nic_send, .want = nic_want, .accept = nic_accept};

/* The channel is opened, buffers are registered but not yet given. */
static inline void nic_open(struct nic *n)
{
	if (!vmguest_open(n->guest, n->relid, NIC_RING_PAGES, &n->ch))
		abort();
	n->scratch = vmguest_alloc(n->guest, 64u * 4096);
	n->rx = vmguest_alloc(n->guest, NIC_RX_BYTES);
	n->tx = vmguest_alloc(n->guest, NIC_TX_BYTES);
	n->rx_gpadl = vmguest_gpadl(n->guest, n->relid, n->rx, NIC_RX_BYTES);
	n->tx_gpadl = vmguest_gpadl(n->guest, n->relid, n->tx, NIC_TX_BYTES);
	n->transaction = 0x1000;
}

/* The guest finds the NIC, and opens its channel. */
static inline void nic_connect(struct nic *n)
{
	vmguest_connect(n->guest);
	n->relid = vmguest_find_offer(n->guest, &nic_guid, 0);
	nic_open(n);
}

/* A guest that is not connected. The back end has `features`; what `config` leaves at 0 is filled
 * in. */
static inline struct nic *nic_new_unused(unsigned features, struct netvsp_config config)
{
	struct nic *n = calloc(1, sizeof(*n));

	if (!n)
		abort();
	config.instance =
		(struct guid)GUID_INIT(0x12345678, 0x1234, 0x1234, 0x1234, 0x00155d010203);
	memcpy(config.mac, nic_mac, sizeof(nic_mac));
	n->guest = vmguest_new(NIC_RAM, 0);
	n->port = (struct netport){.ops = &nic_port_ops, .ctx = n, .features = features};
	n->dev = netvsp_new(n->guest->bus, &config, &n->port);
	if (!n->dev)
		abort();
	return n;
}

/* The same with a connected guest. */
static inline struct nic *nic_new_with(unsigned features, struct netvsp_config config)
{
	struct nic *n = nic_new_unused(features, config);

	nic_connect(n);
	return n;
}

static inline struct nic *nic_new(void)
{
	return nic_new_with(0, (struct netvsp_config){0});
}

static inline void nic_free(struct nic *n)
{
	netvsp_free(n->dev);
	vmguest_free(n->guest);
	free(n);
}

/* Sends an NVSP message of 40 bytes, as Linux does; false when it is not answered. */
static inline bool nic_nvsp(struct nic *n, const void *msg, size_t len, struct vmguest_packet *ret)
{
	uint8_t bytes[NVSP_MESSAGE_BYTES_V6_1] = {0};
	uint64_t transaction = ++n->transaction;

	memcpy(bytes, msg, len);
	vmguest_send_inband(&n->ch, transaction, bytes, sizeof(bytes));
	return vmguest_receive(&n->ch, ret) && ret->type == VMBUS_PACKET_COMPLETION &&
	       ret->transaction == transaction;
}

/* The status of an INIT. */
static inline uint32_t nic_version(struct nic *n, uint32_t min, uint32_t max)
{
	struct nvsp_init msg = {.type = NVSP_MSG_INIT, .min_version = min, .max_version = max};
	struct vmguest_packet p;

	if (!nic_nvsp(n, &msg, sizeof(msg), &p) || le32_load(p.payload) != NVSP_MSG_INIT_COMPLETE)
		abort();
	return le32_load(p.payload + 12);
}

static inline uint32_t nic_give_rx(struct nic *n, uint32_t gpadl)
{
	struct nvsp_buffer msg = {
		.type = NVSP_MSG_RECEIVE_BUFFER, .gpadl = gpadl, .id = NVSP_RECEIVE_BUFFER_ID};
	struct vmguest_packet p;

	if (!nic_nvsp(n, &msg, sizeof(msg), &p) ||
	    le32_load(p.payload) != NVSP_MSG_RECEIVE_BUFFER_COMPLETE)
		abort();
	return le32_load(p.payload + 4);
}

static inline uint32_t nic_give_tx(struct nic *n, uint32_t gpadl)
{
	struct nvsp_buffer msg = {.type = NVSP_MSG_SEND_BUFFER, .gpadl = gpadl};
	struct vmguest_packet p;

	if (!nic_nvsp(n, &msg, sizeof(msg), &p) ||
	    le32_load(p.payload) != NVSP_MSG_SEND_BUFFER_COMPLETE)
		abort();
	return le32_load(p.payload + 4);
}

/* A message that is not answered: the channel must not fault. */
static inline void nic_tell(struct nic *n, const void *msg, size_t len)
{
	uint8_t bytes[NVSP_MESSAGE_BYTES_V6_1] = {0};

	memcpy(bytes, msg, len);
	vmguest_send(&n->ch, VMBUS_PACKET_INBAND, 0, 7, NULL, 0, bytes, sizeof(bytes));
}

/* What the NIC put into a section: copies it out; its length. */
static inline uint32_t nic_section(struct nic *n, const struct vmguest_packet *p, void *dst,
				   uint32_t max)
{
	uint32_t count = le32_load(p->head + 8), offset = le32_load(p->head + 12);

	if (p->type != VMBUS_PACKET_TRANSFER_PAGES ||
	    le16_load(p->head) != NVSP_RECEIVE_BUFFER_ID || le32_load(p->head + 4) != 1 ||
	    le32_load(p->payload) != NVSP_MSG_RNDIS || offset > NIC_RX_BYTES ||
	    count > NIC_RX_BYTES - offset || count > max)
		abort();
	memcpy(dst, vmguest_at(n->guest, n->rx + offset), count);
	return count;
}

static inline void nic_complete(struct nic *n, uint64_t transaction)
{
	struct nvsp_rndis_complete msg = {.type = NVSP_MSG_RNDIS_COMPLETE,
					  .status = NVSP_STATUS_SUCCESS};

	vmguest_complete(&n->ch, transaction, &msg, sizeof(msg));
}

/* Sends len bytes at `gpa` as an RNDIS transfer; the NVSP status of its completion, 0 for none.
 * What else comes meanwhile goes to *ret_other, if it is one packet. */
static inline uint32_t nic_transfer(struct nic *n, uint32_t channel, uint64_t gpa, uint32_t len,
				    struct vmguest_packet *ret_other)
{
	struct nvsp_rndis msg = {
		.type = NVSP_MSG_RNDIS, .channel = channel, .section = NVSP_NO_SECTION};
	uint8_t bytes[NVSP_MESSAGE_BYTES_V6_1] = {0};
	uint64_t transaction = ++n->transaction;
	struct vmguest_packet p;
	uint32_t status = 0;

	memcpy(bytes, &msg, sizeof(msg));
	vmguest_send_gpa(&n->ch, transaction, gpa, len, bytes, sizeof(bytes));
	while (vmguest_receive(&n->ch, &p)) {
		if (p.type == VMBUS_PACKET_COMPLETION) {
			if (p.transaction != transaction ||
			    le32_load(p.payload) != NVSP_MSG_RNDIS_COMPLETE)
				abort();
			status = le32_load(p.payload + 4);
		} else if (ret_other) {
			*ret_other = p;
		}
	}
	return status;
}

/* One RNDIS request and its reply, whose section is completed; the reply's length. */
static inline uint32_t nic_rndis(struct nic *n, const void *msg, uint32_t len,
				 uint8_t reply[RNDIS_REPLY_MAX])
{
	struct vmguest_packet p = {0};
	uint32_t reply_len;

	memcpy(vmguest_at(n->guest, n->scratch), msg, len);
	if (nic_transfer(n, NVSP_CHANNEL_CONTROL, n->scratch, len, &p) != NVSP_STATUS_SUCCESS ||
	    p.type != VMBUS_PACKET_TRANSFER_PAGES)
		abort();
	memset(reply, 0, RNDIS_REPLY_MAX);
	reply_len = nic_section(n, &p, reply, RNDIS_REPLY_MAX);
	nic_complete(n, p.transaction);
	return reply_len;
}

static inline uint32_t nic_rndis_init(struct nic *n)
{
	struct rndis_initialize msg = {
		.header = {.type = RNDIS_MSG_INITIALIZE, .len = sizeof(msg)},
		.request_id = ++n->request,
		.major = 1,
		.max_transfer_bytes = 0x4000,
	};
	uint8_t reply[RNDIS_REPLY_MAX];

	if (nic_rndis(n, &msg, sizeof(msg), reply) != sizeof(struct rndis_initialize_complete))
		abort();
	return le32_load(reply + 12);
}

/* A query or set with info; the status, and the reply's information. */
static inline uint32_t nic_oid(struct nic *n, uint32_t type, uint32_t oid, const void *info,
			       uint32_t info_len, uint8_t *ret_info, uint32_t *ret_len)
{
	uint8_t bytes[512] = {0}, reply[RNDIS_REPLY_MAX];
	struct rndis_oid_request msg = {
		.header = {.type = type, .len = (uint32_t)sizeof(msg) + info_len},
		.request_id = ++n->request,
		.oid = oid,
		.info_len = info_len,
		.info_offset = sizeof(msg) - sizeof(struct rndis_header),
	};
	uint32_t status;

	memcpy(bytes, &msg, sizeof(msg));
	if (info_len)
		memcpy(bytes + sizeof(msg), info, info_len);
	nic_rndis(n, bytes, msg.header.len, reply);
	if (le32_load(reply) != (type | RNDIS_COMPLETION) || le32_load(reply + 8) != n->request)
		abort();
	status = le32_load(reply + 12);
	if (type == RNDIS_MSG_QUERY && ret_len) {
		*ret_len = le32_load(reply + 16);
		memcpy(ret_info, reply + 8 + le32_load(reply + 20), *ret_len);
	}
	return status;
}

static inline uint32_t nic_filter(struct nic *n, uint32_t filter)
{
	return nic_oid(n, RNDIS_MSG_SET, RNDIS_OID_PACKET_FILTER, &filter, sizeof(filter), NULL,
		       NULL);
}

#define NIC_FILTER (RNDIS_FILTER_DIRECTED | RNDIS_FILTER_BROADCAST | RNDIS_FILTER_ALL_MULTICAST)

/* All of a driver's start, in Linux's order. */
static inline void nic_up(struct nic *n)
{
	struct nvsp_ndis_config config = {
		.type = NVSP_MSG_NDIS_CONFIG, .mtu = 1514, .capabilities = 0x88};
	uint32_t ndis[3] = {NVSP_MSG_NDIS_VERSION, 6, 0x1e};

	if (nic_version(n, NVSP_VERSION_6_1, NVSP_VERSION_6_1) != NVSP_STATUS_SUCCESS)
		abort();
	nic_tell(n, &config, sizeof(config));
	nic_tell(n, ndis, sizeof(ndis));
	if (nic_give_rx(n, n->rx_gpadl) != NVSP_STATUS_SUCCESS ||
	    nic_give_tx(n, n->tx_gpadl) != NVSP_STATUS_SUCCESS ||
	    nic_rndis_init(n) != RNDIS_STATUS_SUCCESS ||
	    nic_filter(n, NIC_FILTER) != RNDIS_STATUS_SUCCESS)
		abort();
}

/* A frame of len bytes for the NIC, at dst. */
static inline void nic_frame(uint8_t *dst, size_t len)
{
	memcpy(dst, nic_mac, 6);
	memset(dst + 6, 0x02, 6);
	be16_store(dst + 12, 0x0800);
	for (size_t i = 14; i < len; i++)
		dst[i] = (uint8_t)i;
}

/* One frame from the network, and the end of its batch. */
static inline int nic_receive_facts(struct nic *n, const void *frame, size_t len,
				    const struct netport_facts *facts)
{
	uint8_t *copy = malloc(len ? len : 1);
	int r;

	if (!copy)
		abort();
	if (len)
		memcpy(copy, frame, len);
	r = n->port.sink.receive(n->port.sink.owner, copy, len, facts);
	free(copy);
	if (n->port.sink.flush)
		n->port.sink.flush(n->port.sink.owner);
	return r;
}

static inline int nic_receive(struct nic *n, const void *frame, size_t len)
{
	return nic_receive_facts(n, frame, len, NULL);
}

/* Puts a data packet with a frame of frame_len bytes to dst; the message's length. */
static inline uint32_t nic_packet(uint8_t *dst, uint32_t frame_len)
{
	struct rndis_packet head = rndis_packet_head(frame_len);

	memcpy(dst, &head, sizeof(head));
	nic_frame(dst + sizeof(head), frame_len);
	return head.header.len;
}

#endif
