/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Headers, hash and checksum: the published vectors, and frames that lie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "devices/net/flow.h"

/* The key and the results of Microsoft's "Verifying the RSS hash calculation". */
static const uint8_t key[NDIS_RSS_KEY_BYTES] = {
	0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3,
	0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3,
	0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa};

#define ALL_TYPES (NDIS_RSS_IP4 | NDIS_RSS_TCP_IP4 | NDIS_RSS_IP6 | NDIS_RSS_TCP_IP6)

static size_t ip4_frame(uint8_t *f, uint8_t protocol, uint32_t from, uint32_t to,
			uint16_t from_port, uint16_t to_port)
{
	memset(f, 0, 54);
	be16_store(f + 12, 0x0800);
	f[14] = 0x45;
	f[23] = protocol;
	be32_store(f + 26, from);
	be32_store(f + 30, to);
	be16_store(f + 34, from_port);
	be16_store(f + 36, to_port);
	return 54;
}

static void hash_is_that_of_the_published_vectors(void **state)
{
	static const struct {
		uint32_t from, to, with_ports, alone;
		uint16_t from_port, to_port;
	} vectors[] = {
		{0x420995bb, 0xa18e6450, 0x51ccc178, 0x323e8fc2, 2794, 1766},
		{0xc75c6f02, 0x41458c53, 0xc626b0ea, 0xd718262a, 14230, 4739},
		{0x1813c65f, 0x0c16cfb8, 0x5c2b394a, 0xd2d0a5de, 12898, 38024},
	};
	uint8_t f[64];

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		size_t len = ip4_frame(f, FLOW_TCP, vectors[i].from, vectors[i].to,
				       vectors[i].from_port, vectors[i].to_port);
		struct flow flow = flow_decode(f, len);

		assert_int_equal(flow.ip, 4);
		assert_int_equal(flow.transport, 34);
		assert_int_equal(flow_hash(f, &flow, key, ALL_TYPES), vectors[i].with_ports);
		assert_int_equal(flow_hash(f, &flow, key, NDIS_RSS_IP4), vectors[i].alone);
		assert_int_equal(flow_hash(f, &flow, key, NDIS_RSS_IP6), 0);
	}
}

static void hash_of_ip6_is_that_of_the_published_vector(void **state)
{
	static const uint8_t from[16] = {0x3f, 0xfe, 0x25, 0x01, 0x02, 0x00, 0x1f, 0xff,
					 0,    0,    0,    0,    0,    0,    0,    7};
	static const uint8_t to[16] = {0x3f, 0xfe, 0x25, 0x01, 0x02, 0x00, 0, 3,
				       0,    0,    0,    0,    0,    0,    0, 1};
	uint8_t f[80] = {0};
	struct flow flow;

	(void)state;
	be16_store(f + 12, 0x86dd);
	f[14] = 0x60;
	f[20] = FLOW_TCP;
	memcpy(f + 22, from, 16);
	memcpy(f + 38, to, 16);
	be16_store(f + 54, 2794);
	be16_store(f + 56, 1766);
	flow = flow_decode(f, sizeof(f));
	assert_int_equal(flow.ip, 6);
	assert_int_equal(flow_hash(f, &flow, key, ALL_TYPES), 0x40207d3d);
	assert_int_equal(flow_hash(f, &flow, key, NDIS_RSS_IP6), 0x2cc18cd5);
}

static void tag_is_passed_over_and_fragments_have_no_ports(void **state)
{
	uint8_t f[64], tagged[68];
	struct flow flow;

	(void)state;
	ip4_frame(f, FLOW_UDP, 1, 2, 3, 4);
	memcpy(tagged, f, 12);
	be32_store(tagged + 12, 0x81000005);
	memcpy(tagged + 16, f + 12, 42);
	flow = flow_decode(tagged, 58);
	assert_int_equal(flow.network, 18);
	assert_int_equal(flow.transport, 38);
	assert_int_equal(flow.protocol, FLOW_UDP);
	be16_store(f + 20, 0x2000);
	flow = flow_decode(f, 54);
	assert_int_equal(flow.ip, 4);
	assert_int_equal(flow.transport, 0);
	assert_int_equal(flow.protocol, 0);
}

static void frames_cut_anywhere_are_read_within_their_end(void **state)
{
	uint8_t f[64];

	(void)state;
	ip4_frame(f, FLOW_TCP, 1, 2, 3, 4);
	f[14] = 0x4f; /* options up to the end of the frame and beyond */
	for (size_t len = 0; len <= 54; len++) {
		uint8_t *cut = malloc(len ? len : 1);
		struct flow flow;

		assert_non_null(cut);
		memcpy(cut, f, len);
		flow = flow_decode(cut, len);
		assert_int_equal(flow.transport, 0);
		(void)flow_hash(cut, &flow, key, ALL_TYPES);
		free(cut);
	}
	f[14] = 0x41; /* shorter than a header can be */
	assert_int_equal(flow_decode(f, 54).ip, 0);
}

/* The plain definition, byte by byte. */
static uint16_t slow_sum(const uint8_t *data, size_t len)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < len; i++)
		sum += (uint32_t)(i % 2 ? data[i] : data[i] << 8);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static void checksum_is_completed_for_every_length(void **state)
{
	const uint16_t pseudo = 0x1234;
	uint8_t f[80], total[sizeof(f) + 2];

	(void)state;
	for (size_t len = 40; len < sizeof(f); len++) {
		for (size_t i = 0; i < len; i++)
			f[i] = (uint8_t)(i * 37 + len);
		be16_store(f + 36, pseudo);
		assert_int_equal(flow_complete_checksum(f, len, 20, 16), 0);
		/* With the pseudo header's sum before it, all of it sums up to ones. */
		be16_store(total, pseudo);
		memcpy(total + 2, f + 20, len - 20);
		assert_int_equal(slow_sum(total, len - 18), 0xffff);
	}
}

static void checksum_outside_of_the_frame_is_refused(void **state)
{
	uint8_t f[40] = {0};

	(void)state;
	assert_int_equal(flow_complete_checksum(f, 40, 40, 0), -ERANGE);
	assert_int_equal(flow_complete_checksum(f, 40, 20, 19), -ERANGE);
	assert_int_equal(flow_complete_checksum(f, 40, 20, 65535), -ERANGE);
	assert_int_equal(flow_complete_checksum(f, 40, 65535, 0), -ERANGE);
	assert_int_equal(flow_complete_checksum(f, 40, 20, 18), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hash_is_that_of_the_published_vectors),
		cmocka_unit_test(hash_of_ip6_is_that_of_the_published_vector),
		cmocka_unit_test(tag_is_passed_over_and_fragments_have_no_ports),
		cmocka_unit_test(frames_cut_anywhere_are_read_within_their_end),
		cmocka_unit_test(checksum_is_completed_for_every_length),
		cmocka_unit_test(checksum_outside_of_the_frame_is_refused),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
