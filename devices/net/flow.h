/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a frame says of itself: where its IP and TCP or UDP headers are, the hash that chooses a
 * queue, and the checksum that a sender left to us.
 *
 * Called by netvsp_rx.c on frames of the back end.
 * Trust: frames are hostile bytes of the network or of other guests; nothing outside of
 * [frame, frame + len) is touched. Pure.
 * Spec: Toeplitz hash of NDIS receive side scaling; RFC 1071.
 */
#ifndef OYA_DEVICES_NET_FLOW_H
#define OYA_DEVICES_NET_FLOW_H

#include <stddef.h>
#include <stdint.h>

#include "abi/rndis.h"

#define ETHERNET_HEADER 14u
#define ETHERNET_TAG 4u
#define ETHERNET_ADDRESSES 12u
#define ETHERTYPE_VLAN 0x8100u

#define FLOW_TCP 6u
#define FLOW_UDP 17u

struct flow {
	uint16_t network;   /* offset of the IP header */
	uint16_t transport; /* of the TCP or UDP header; 0: there is none to be seen */
	uint8_t ip;         /* 4, 6, or 0: not IP */
	uint8_t protocol;   /* FLOW_TCP, FLOW_UDP, or 0 */
};

/* Looks at a frame, of which one VLAN tag is passed over. */
struct flow flow_decode(const uint8_t *frame, size_t len);

/* The hash by the types of NDIS_RSS_...; 0 when no type fits. The flow is this frame's. */
uint32_t flow_hash(const uint8_t *frame, const struct flow *flow,
		   const uint8_t key[NDIS_RSS_KEY_BYTES], uint32_t types);

/* Sums [start, len) and puts the checksum to start + offset; 0, or -ERANGE. */
int flow_complete_checksum(uint8_t *frame, size_t len, size_t start, size_t offset);

/* The sum of the big-endian words of [data, data + len), added to `sum`, and its complement. */
uint64_t flow_sum(const uint8_t *data, size_t len, uint64_t sum);
uint16_t flow_fold(uint64_t sum);

#endif
