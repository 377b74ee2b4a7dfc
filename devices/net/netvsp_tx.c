/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From the guest: RNDIS transfers. A transfer is the bytes of a section of the send buffer, if
 * one is named, followed by those of the GPA ranges; it holds one control message, or data
 * packets one behind the other.
 *
 * Trust: the bytes lie in guest memory and change at any moment. The head and the per-packet
 * information of a packet are copied once and decoded from the copy, and so are the headers of
 * the frame that we look at: those go to the back end from the copy. The rest of the frame is
 * handed on as pieces of guest memory, since nothing is decided by its value.
 * Errors: a status to the guest; a transfer that is broken in the middle has its first packets
 * sent.
 */
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/util.h"
#include "devices/net/internal.h"

#define TCP_HEADER 20u
#define TCP_CHECKSUM_OFFSET 16u
#define UDP_HEADER 8u
#define UDP_CHECKSUM_OFFSET 6u
#define IP4_HEADER 20u
#define IP6_HEADER 40u

struct transfer {
	struct iovec iov[NETVSP_IOV_MAX];
	unsigned count;
	uint64_t len;
};

/* Appends the pieces of [offset, offset + len) to out; the number of pieces, or -ERANGE. */
static int transfer_slice(const struct transfer *t, uint64_t offset, uint64_t len,
			  struct iovec out[NETVSP_IOV_MAX])
{
	int n = 0;

	if (!range_within(offset, len, t->len))
		return -ERANGE;
	for (unsigned i = 0; i < t->count && len; i++) {
		const struct iovec *piece = &t->iov[i];
		uint64_t take;

		if (offset >= piece->iov_len) {
			offset -= piece->iov_len;
			continue;
		}
		take = min_u64(len, piece->iov_len - offset);
		out[n++] = (struct iovec){
			.iov_base = (uint8_t *)piece->iov_base + offset,
			.iov_len = take,
		};
		len -= take;
		offset = 0;
	}
	return n;
}

/* Copies [offset, offset + len) out of guest memory; 0 or -ERANGE. */
static int transfer_copy(const struct transfer *t, uint64_t offset, void *dst, uint64_t len)
{
	struct iovec piece[NETVSP_IOV_MAX];
	uint8_t *to = dst;
	int n = transfer_slice(t, offset, len, piece);

	for (int i = 0; i < n; i++) {
		memcpy(to, piece[i].iov_base, piece[i].iov_len);
		to += piece[i].iov_len;
	}
	return n < 0 ? n : 0;
}

static int transfer_gather(struct netvsp *nic, const struct vmbus_packet *packet,
			   const struct nvsp_rndis *msg, struct transfer *t)
{
	uint64_t bytes = 0;
	unsigned count = 0;
	int r;

	t->count = 0;
	t->len = 0;
	if (msg->section != NVSP_NO_SECTION) {
		if (msg->section >= nic->tx_sections ||
		    msg->section_bytes > NETVSP_SEND_SECTION_BYTES)
			return -ERANGE;
		if (msg->section_bytes) {
			r = vmbus_gpadl_iov(nic->queue[0].ch, nic->tx_gpadl,
					    (uint64_t)msg->section * NETVSP_SEND_SECTION_BYTES,
					    msg->section_bytes, t->iov, NETVSP_IOV_MAX, &count);
			if (r < 0)
				return r;
		}
		t->count = count;
		t->len = msg->section_bytes;
	}
	r = vmbus_packet_iov(nic->bus, packet, t->iov + t->count, NETVSP_IOV_MAX - t->count,
			     RNDIS_TRANSFER_MAX - t->len, &count, &bytes);
	if (r < 0)
		return r;
	t->count += count;
	t->len += bytes;
	return 0;
}

/* A frame on its way out: its first bytes are `head`, changed as need be. */
struct outgoing {
	uint32_t len;      /* of the frame in guest memory */
	uint32_t copied;   /* of it, which head stands for */
	uint32_t head_len; /* with a tag, if there is one */
	struct netport_facts facts;
	uint8_t head[NETVSP_HEAD_MAX + ETHERNET_TAG];
};

/* What drivers leave open in the headers of a frame that is to be cut, since each segment gets
 * its own: lengths and IP checksum, and the pseudo header's sum lacks the length. */
static int fix_large_head(struct outgoing *o, uint32_t transport, bool v6)
{
	uint8_t *ip = o->head + ETHERNET_HEADER, *tcp = o->head + transport;
	uint32_t ip_len = o->len - ETHERNET_HEADER, tcp_len = o->len - transport;
	uint8_t tail[4] = {0, FLOW_TCP};
	uint64_t sum;

	if (transport < ETHERNET_HEADER + (v6 ? IP6_HEADER : IP4_HEADER) ||
	    ip[0] >> 4 != (v6 ? 6 : 4))
		return -EPROTO;
	be16_store(tail + 2, (uint16_t)tcp_len);
	if (v6) {
		be16_store(ip + 4, (uint16_t)(ip_len - IP6_HEADER));
		sum = flow_sum(ip + 8, 32, 0);
	} else {
		if ((ip[0] & 15u) * 4u != transport - ETHERNET_HEADER)
			return -EPROTO;
		be16_store(ip + 2, (uint16_t)ip_len);
		be16_store(ip + 10, 0);
		be16_store(ip + 10, flow_fold(flow_sum(ip, transport - ETHERNET_HEADER, 0)));
		sum = flow_sum(ip + 12, 8, 0);
	}
	be16_store(tcp + TCP_CHECKSUM_OFFSET, (uint16_t)~flow_fold(flow_sum(tail, 4, sum)));
	return 0;
}

/* How much of a frame has to be looked at: with its TCP header when it is to be cut. */
static uint32_t head_wanted(const struct outgoing *o, const struct rndis_frame_info *info)
{
	uint32_t transport = info->large_send >> RNDIS_LARGE_SEND_OFFSET_SHIFT & RNDIS_OFFSET_MASK;

	return info->has_large_send ? min_u32(o->len, transport + TCP_HEADER) : ETHERNET_HEADER;
}

static int take_large_send(const struct netvsp *nic, uint32_t info, struct outgoing *o)
{
	uint32_t transport = info >> RNDIS_LARGE_SEND_OFFSET_SHIFT & RNDIS_OFFSET_MASK;
	uint32_t mss = info & RNDIS_LARGE_SEND_MSS_MASK, header;
	bool v6 = (info & RNDIS_LARGE_SEND_IP6) != 0;
	unsigned segments = v6 ? NETPORT_TCP6 : NETPORT_TCP4;

	if (!(nic->rndis.features & segments) || !(info & RNDIS_LARGE_SEND_V2) || !mss ||
	    mss > nic->config.mtu || o->copied < transport + TCP_HEADER)
		return -EPROTO;
	header = transport + (o->head[transport + 12] >> 4) * 4u;
	if (header < transport + TCP_HEADER || header >= o->len ||
	    fix_large_head(o, transport, v6) < 0)
		return -EPROTO;
	o->facts = (struct netport_facts){
		.checksum_missing = true,
		.segments = (uint8_t)segments,
		.segment_bytes = (uint16_t)mss,
		.header_len = (uint16_t)header,
		.checksum_start = (uint16_t)transport,
		.checksum_offset = TCP_CHECKSUM_OFFSET,
	};
	/* A frame that fits into one segment is none to be cut. */
	if (o->len - header <= mss)
		o->facts.segments = 0;
	return 0;
}

static int take_checksum(const struct netvsp *nic, uint32_t info, struct outgoing *o)
{
	uint32_t start = info >> RNDIS_SEND_CHECKSUM_OFFSET_SHIFT & RNDIS_OFFSET_MASK;
	bool tcp = (info & RNDIS_SEND_CHECKSUM_TCP) != 0;

	if (!(info & (RNDIS_SEND_CHECKSUM_TCP | RNDIS_SEND_CHECKSUM_UDP)))
		return 0;
	if (!(nic->rndis.features & NETPORT_CHECKSUM) || start < ETHERNET_HEADER ||
	    !range_within(start, tcp ? TCP_HEADER : UDP_HEADER, o->len))
		return -EPROTO;
	o->facts.checksum_missing = true;
	o->facts.checksum_start = (uint16_t)start;
	o->facts.checksum_offset = tcp ? TCP_CHECKSUM_OFFSET : UDP_CHECKSUM_OFFSET;
	return 0;
}

/* Puts the tag of `info` behind the addresses. Linux sends it beside the frame. */
static void insert_tag(const struct rndis_frame_info *info, struct outgoing *o)
{
	uint8_t *at = o->head + ETHERNET_ADDRESSES;

	memmove(at + ETHERNET_TAG, at, o->head_len - ETHERNET_ADDRESSES);
	be16_store(at, ETHERTYPE_VLAN);
	be16_store(at + 2, info->vlan_tci);
	o->head_len += ETHERNET_TAG;
	if (o->facts.checksum_missing)
		o->facts.checksum_start += ETHERNET_TAG;
	if (o->facts.header_len)
		o->facts.header_len += ETHERNET_TAG;
}

/* Copies the head of the frame at `offset` and applies the per-packet information; an NVSP
 * status. */
static uint32_t outgoing_prepare(struct netvsp *nic, const struct transfer *t, uint64_t offset,
				 const struct rndis_frame_info *info, struct outgoing *o)
{
	uint32_t longest = nic->frame_max - (info->has_vlan ? ETHERNET_TAG : 0);

	if (info->has_large_send)
		longest = NETPORT_FRAME_MAX - ETHERNET_TAG - 1;
	if (o->len < ETHERNET_HEADER || o->len > longest)
		return NVSP_STATUS_FAILURE;
	o->copied = o->head_len = head_wanted(o, info);
	if (o->copied > NETVSP_HEAD_MAX)
		return NVSP_STATUS_FAILURE;
	if (transfer_copy(t, offset, o->head, o->copied) < 0)
		return NVSP_STATUS_BAD_RNDIS;
	if (info->has_large_send && take_large_send(nic, info->large_send, o) < 0)
		return NVSP_STATUS_FAILURE;
	if (!info->has_large_send && info->has_checksum &&
	    take_checksum(nic, info->checksum, o) < 0)
		return NVSP_STATUS_FAILURE;
	if (info->has_vlan)
		insert_tag(info, o);
	return NVSP_STATUS_SUCCESS;
}

static bool may_send(struct netvsp *nic, const uint8_t *head)
{
	if (!nic->config.spoof_guard ||
	    memcmp(head + sizeof(nic->config.mac), nic->config.mac, sizeof(nic->config.mac)) == 0)
		return true;
	nic->stats.sent_spoofed++;
	return false;
}

/* Sends the frame at [offset, offset + len) of the transfer; an NVSP status. */
static uint32_t send_frame(struct netvsp *nic, const struct transfer *t, uint64_t offset,
			   uint32_t len, const struct rndis_frame_info *info)
{
	struct iovec iov[NETVSP_IOV_MAX + 1];
	struct outgoing o = {.len = len};
	uint32_t status = outgoing_prepare(nic, t, offset, info, &o);
	int count;

	if (status != NVSP_STATUS_SUCCESS) {
		nic->stats.sent_refused += status == NVSP_STATUS_FAILURE;
		return status;
	}
	iov[0] = (struct iovec){.iov_base = o.head, .iov_len = o.head_len};
	count = transfer_slice(t, offset + o.copied, len - o.copied, iov + 1);
	if (count < 0)
		return NVSP_STATUS_BAD_RNDIS;
	if (!may_send(nic, o.head))
		return NVSP_STATUS_SUCCESS;
	len += o.head_len - o.copied;
	if (!nic->rndis.link_up ||
	    nic->port->ops->send(nic->port->ctx, iov, (unsigned)count + 1, len, &o.facts) < 0) {
		nic->stats.sent_dropped++;
		return NVSP_STATUS_SUCCESS;
	}
	nic->sent = true;
	nic->stats.sent_frames++;
	nic->stats.sent_bytes += len;
	return NVSP_STATUS_SUCCESS;
}

/* Sends the packet at `at`; an NVSP status, and *ret_len of the message. */
static uint32_t send_packet(struct netvsp *nic, const struct transfer *t, uint64_t at,
			    uint32_t *ret_len)
{
	uint8_t info_bytes[RNDIS_INFO_MAX];
	struct rndis_frame_info info = {0};
	struct rndis_packet_view view;
	struct rndis_packet head;

	if (transfer_copy(t, at, &head, sizeof(head)) < 0 ||
	    rndis_packet_decode(&head, t->len - at, &view) < 0)
		return NVSP_STATUS_BAD_RNDIS;
	if (view.info_len &&
	    (transfer_copy(t, at + view.info_offset, info_bytes, view.info_len) < 0 ||
	     rndis_info_decode(info_bytes, view.info_len, &info) < 0))
		return NVSP_STATUS_BAD_RNDIS;
	*ret_len = view.len;
	return send_frame(nic, t, at + view.data_offset, view.data_len, &info);
}

static uint32_t transfer_data(struct netvsp *nic, const struct transfer *t)
{
	uint32_t status = NVSP_STATUS_SUCCESS;
	uint64_t at = 0;

	if (nic->rndis.state == RNDIS_UNINITIALIZED) {
		nic->stats.sent_refused++;
		return NVSP_STATUS_FAILURE;
	}
	if (!t->len)
		return NVSP_STATUS_BAD_RNDIS;
	/* Fewer bytes than a header are padding. */
	for (unsigned n = 0; t->len - at >= sizeof(struct rndis_header); n++) {
		uint32_t len = 0, s;

		if (n == NETVSP_TRANSFER_PACKETS_MAX)
			return NVSP_STATUS_BAD_RNDIS;
		s = send_packet(nic, t, at, &len);
		if (s == NVSP_STATUS_BAD_RNDIS) {
			nic->stats.sent_refused++;
			return s;
		}
		if (s != NVSP_STATUS_SUCCESS)
			status = s;
		at += len;
	}
	return status;
}

static uint32_t transfer_control(struct netvsp *nic, const struct transfer *t)
{
	struct netvsp_reply *reply;
	size_t reply_len = 0;

	/* Nothing to answer by before the guest has given a receive buffer. */
	if (nic->state != NETVSP_RUNNING)
		return NVSP_STATUS_FAILURE;
	if (t->len > sizeof(nic->control) || transfer_copy(t, 0, nic->control, t->len) < 0)
		return NVSP_STATUS_BAD_RNDIS;
	reply = netvsp_reply_slot(nic);
	if (!reply)
		return NVSP_STATUS_BUSY;
	if (rndis_control(&nic->rndis, nic->control, t->len, reply->bytes, &reply_len) < 0)
		return NVSP_STATUS_BAD_RNDIS;
	if (reply_len)
		netvsp_reply_queue(nic, reply_len);
	return NVSP_STATUS_SUCCESS;
}

uint32_t netvsp_tx_transfer(struct netvsp *nic, const struct vmbus_packet *packet,
			    const struct nvsp_rndis *msg)
{
	struct transfer t;

	if (nic->state < NETVSP_AGREED)
		return NVSP_STATUS_FAILURE;
	if (transfer_gather(nic, packet, msg, &t) < 0) {
		nic->stats.sent_refused++;
		return NVSP_STATUS_BAD_RNDIS;
	}
	switch (msg->channel) {
	case NVSP_CHANNEL_DATA:
		return transfer_data(nic, &t);
	case NVSP_CHANNEL_CONTROL:
		return transfer_control(nic, &t);
	default:
		return NVSP_STATUS_BAD_RNDIS;
	}
}
