/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Headers, hash and checksum of a frame (flow.h). */
#include "devices/net/flow.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/bytes.h"

#define ETHERTYPE_IP4 0x0800u
#define ETHERTYPE_IP6 0x86ddu
#define IP4_HEADER 20u
#define IP6_HEADER 40u
#define PORTS 4u
#define IP4_FRAGMENT 0x3fffu /* offset, and more to come */

static void decode_ip4(const uint8_t *frame, size_t len, struct flow *f)
{
	const uint8_t *ip = frame + f->network;
	size_t header;

	if (len < f->network + IP4_HEADER || ip[0] >> 4 != 4)
		return;
	header = (ip[0] & 15u) * 4u;
	if (header < IP4_HEADER)
		return;
	f->ip = 4;
	if ((be16_load(ip + 6) & IP4_FRAGMENT) || (ip[9] != FLOW_TCP && ip[9] != FLOW_UDP) ||
	    len < f->network + header + PORTS)
		return;
	f->protocol = ip[9];
	f->transport = (uint16_t)(f->network + header);
}

/* A frame with extension headers is IP of no protocol. */
static void decode_ip6(const uint8_t *frame, size_t len, struct flow *f)
{
	const uint8_t *ip = frame + f->network;

	if (len < f->network + IP6_HEADER || ip[0] >> 4 != 6)
		return;
	f->ip = 6;
	if ((ip[6] != FLOW_TCP && ip[6] != FLOW_UDP) || len < f->network + IP6_HEADER + PORTS)
		return;
	f->protocol = ip[6];
	f->transport = (uint16_t)(f->network + IP6_HEADER);
}

struct flow flow_decode(const uint8_t *frame, size_t len)
{
	struct flow f = {.network = ETHERNET_HEADER};
	uint16_t type;

	if (len < ETHERNET_HEADER + ETHERNET_TAG)
		return f;
	type = be16_load(frame + ETHERNET_ADDRESSES);
	if (type == ETHERTYPE_VLAN) {
		f.network += ETHERNET_TAG;
		type = be16_load(frame + ETHERNET_ADDRESSES + ETHERNET_TAG);
	}
	if (type == ETHERTYPE_IP4)
		decode_ip4(frame, len, &f);
	else if (type == ETHERTYPE_IP6)
		decode_ip6(frame, len, &f);
	return f;
}

/* For each bit that is set in data: the 32 bits of the key that begin at its place. */
static uint32_t toeplitz(const uint8_t *data, size_t len, const uint8_t *key)
{
	uint64_t window = (uint64_t)be32_load(key) << 8 | key[4];
	uint32_t hash = 0;

	for (size_t i = 0; i < len; i++) {
		for (unsigned bit = 0; bit < 8; bit++) {
			if (data[i] & 0x80u >> bit)
				hash ^= (uint32_t)(window >> (8 - bit));
		}
		window = (window << 8 | key[(i + 5) % NDIS_RSS_KEY_BYTES]) & 0xffffffffffu;
	}
	return hash;
}

uint32_t flow_hash(const uint8_t *frame, const struct flow *flow,
		   const uint8_t key[NDIS_RSS_KEY_BYTES], uint32_t types)
{
	bool v4 = flow->ip == 4;
	uint32_t addresses = v4 ? NDIS_RSS_IP4 : NDIS_RSS_IP6;
	uint32_t ports = v4 ? NDIS_RSS_TCP_IP4 : NDIS_RSS_TCP_IP6;
	size_t at = flow->network + (v4 ? 12u : 8u), len = v4 ? 8 : 32;
	uint8_t input[32 + PORTS];

	if (!flow->ip || !(types & (addresses | ports)))
		return 0;
	memcpy(input, frame + at, len);
	if (flow->protocol == FLOW_TCP && (types & ports)) {
		memcpy(input + len, frame + flow->transport, PORTS);
		len += PORTS;
	} else if (!(types & addresses)) {
		return 0;
	}
	return toeplitz(input, len, key);
}

uint64_t flow_sum(const uint8_t *data, size_t len, uint64_t sum)
{
	uint64_t native = 0;

	/* Words of the machine's order in 32-bit pieces: the sum of the swapped is the swapped
	 * sum. A frame has too few of them to overflow. */
	for (; len >= 4; data += 4, len -= 4) {
		uint32_t word;

		memcpy(&word, data, sizeof(word));
		native += word;
	}
	if (len) {
		uint32_t word = 0;

		memcpy(&word, data, len);
		native += word;
	}
	while (native >> 16)
		native = (native & 0xffff) + (native >> 16);
	return sum + (uint16_t)__builtin_bswap16((uint16_t)native);
}

uint16_t flow_fold(uint64_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

int flow_complete_checksum(uint8_t *frame, size_t len, size_t start, size_t offset)
{
	uint16_t sum;

	if (start >= len || offset > len - start || len - start - offset < 2)
		return -ERANGE;
	sum = flow_fold(flow_sum(frame + start, len - start, 0));
	/* 0 says "no checksum" in UDP; its other form is right in TCP as well. */
	be16_store(frame + start + offset, sum ? sum : 0xffff);
	return 0;
}
