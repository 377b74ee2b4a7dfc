/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From the guest: RNDIS transfers. A transfer is the bytes of a section of the send buffer, if
 * one is named, followed by those of the GPA ranges; it holds one control message, or data
 * packets one behind the other.
 *
 * Trust: the bytes lie in guest memory and change at any moment. The head and the per-packet
 * information of a packet are copied once and decoded from the copy; the frame itself is handed
 * on as pieces of guest memory, since nothing is decided by its value.
 * Errors: a status to the guest; a transfer that is broken in the middle has its first packets
 * sent.
 */
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/util.h"
#include "devices/net/internal.h"

#define ETHERNET_ADDRESSES 12u
#define VLAN_ETHERTYPE 0x8100u

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

/* Sends the frame at [offset, offset + len) of the transfer; an NVSP status. */
static uint32_t send_frame(struct netvsp *nic, const struct transfer *t, uint64_t offset,
			   uint32_t len, const struct rndis_frame_info *info)
{
	struct iovec iov[2 * NETVSP_IOV_MAX + 1];
	uint32_t longest = nic->frame_max - (info->has_vlan ? ETHERNET_TAG : 0);
	uint8_t tag[ETHERNET_TAG];
	uint32_t at = 0;
	int count = 0, r;

	if (len < ETHERNET_HEADER || len > longest) {
		nic->stats.sent_refused++;
		return NVSP_STATUS_FAILURE;
	}
	if (info->has_vlan) {
		/* Linux sends the tag beside the frame, whether we offer that or not. */
		be16_store(tag, VLAN_ETHERTYPE);
		be16_store(tag + 2, info->vlan_tci);
		count = transfer_slice(t, offset, ETHERNET_ADDRESSES, iov);
		if (count < 0)
			return NVSP_STATUS_BAD_RNDIS;
		iov[count++] = (struct iovec){.iov_base = tag, .iov_len = sizeof(tag)};
		at = ETHERNET_ADDRESSES;
	}
	r = transfer_slice(t, offset + at, len - at, iov + count);
	if (r < 0)
		return NVSP_STATUS_BAD_RNDIS;
	count += r;
	len += info->has_vlan ? ETHERNET_TAG : 0;
	if (!nic->rndis.link_up ||
	    nic->port->ops->send(nic->port->ctx, iov, (unsigned)count, len) < 0) {
		nic->stats.sent_dropped++;
		return NVSP_STATUS_SUCCESS;
	}
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
