/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The RNDIS core by itself: every message and object, and requests that lie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "devices/net/rndis.h"

static const struct netvsp_stats stats = {.sent_frames = 7, .received_frames = 9};

static struct rndis_device device(void)
{
	struct rndis_device dev = {
		.mac = {0, 1, 2, 3, 4, 5},
		.mtu = 1500,
		.link_mbps = 1000,
		.link_up = true,
		.queues = 4,
		.stats = &stats,
	};

	rndis_device_reset(&dev);
	return dev;
}

/* Sends words as one message; the reply's length, or -errno. */
static int control(struct rndis_device *dev, const uint32_t *words, size_t count,
		   uint32_t reply[RNDIS_REPLY_MAX / 4])
{
	size_t len = 0;
	int r = rndis_control(dev, words, count * 4, (uint8_t *)reply, &len);

	if (r < 0)
		return r;
	assert_true(len <= RNDIS_REPLY_MAX);
	if (len)
		assert_int_equal(reply[1], len);
	return (int)len;
}

static void initialize(struct rndis_device *dev)
{
	uint32_t msg[] = {RNDIS_MSG_INITIALIZE, 24, 1, 1, 0, 0x4000};
	uint32_t reply[RNDIS_REPLY_MAX / 4];

	assert_int_equal(control(dev, msg, 6, reply), 52);
	assert_int_equal(reply[0], 0x80000002);
	assert_int_equal(reply[2], 1);
	assert_int_equal(reply[3], RNDIS_STATUS_SUCCESS);
	assert_int_equal(reply[8], RNDIS_PACKETS_MAX);
	assert_int_equal(reply[10], 3);
}

static void each_object_of_the_list_can_be_asked_for(void **state)
{
	uint32_t msg[] = {RNDIS_MSG_QUERY, 28, 5, RNDIS_OID_SUPPORTED_LIST, 0, 20, 0};
	uint32_t list[RNDIS_REPLY_MAX / 4], reply[RNDIS_REPLY_MAX / 4];
	struct rndis_device dev = device();
	uint32_t count;

	(void)state;
	initialize(&dev);
	assert_true(control(&dev, msg, 7, list) > 24);
	assert_int_equal(list[3], RNDIS_STATUS_SUCCESS);
	count = list[4] / 4;
	assert_true(count > 30);
	for (uint32_t i = 0; i < count; i++) {
		msg[3] = list[6 + i];
		assert_true(control(&dev, msg, 7, reply) >= 24);
		assert_int_equal(reply[2], 5);
		/* One that can only be set. */
		if (msg[3] == RNDIS_OID_OFFLOAD_PARAMETERS || msg[3] == RNDIS_OID_RSS_PARAMETERS)
			continue;
		assert_int_equal(reply[3], RNDIS_STATUS_SUCCESS);
		assert_int_equal(reply[5], 16);
	}
}

static void requests_before_initialize_fail_but_are_answered(void **state)
{
	static const uint32_t types[] = {RNDIS_MSG_QUERY, RNDIS_MSG_SET};
	uint32_t msg[] = {0, 32, 5, RNDIS_OID_PACKET_FILTER, 4, 20, 0, 1};
	uint32_t reply[RNDIS_REPLY_MAX / 4];
	struct rndis_device dev = device();

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		msg[0] = types[i];
		assert_true(control(&dev, msg, 8, reply) >= 16);
		assert_int_equal(reply[0], types[i] | RNDIS_COMPLETION);
		assert_int_equal(reply[2], 5);
		assert_int_equal(reply[3], RNDIS_STATUS_FAILURE);
	}
	assert_int_equal(dev.filter, 0);
}

static void wild_information_is_answered_with_an_error(void **state)
{
	static const uint32_t wild[][2] = {
		{5, 20}, {4, 21}, {0xFFFFFFFF, 20}, {4, 0xFFFFFFFF}, {0xFFFFFFF0, 16}};
	uint32_t msg[] = {RNDIS_MSG_SET, 32, 5, RNDIS_OID_PACKET_FILTER, 0, 0, 0, 0xFF};
	uint32_t reply[RNDIS_REPLY_MAX / 4];
	struct rndis_device dev = device();

	(void)state;
	initialize(&dev);
	for (size_t i = 0; i < sizeof(wild) / sizeof(wild[0]); i++) {
		msg[4] = wild[i][0];
		msg[5] = wild[i][1];
		assert_int_equal(control(&dev, msg, 8, reply), 16);
		assert_int_equal(reply[3], RNDIS_STATUS_INVALID_LENGTH);
		assert_int_equal(dev.filter, 0);
	}
	msg[1] = 27;
	assert_int_equal(control(&dev, msg, 8, reply), 16);
	assert_int_equal(reply[3], RNDIS_STATUS_INVALID_LENGTH);
	msg[0] = RNDIS_MSG_QUERY;
	assert_int_equal(control(&dev, msg, 8, reply), 24);
	assert_int_equal(reply[5], 0); /* what Linux takes for a failure */
}

static void message_that_cannot_be_answered_is_refused(void **state)
{
	static const uint32_t bad[][3] = {{RNDIS_MSG_QUERY, 11, 0},
					  {RNDIS_MSG_QUERY, 13, 0},
					  {RNDIS_MSG_QUERY, 0, 0},
					  {RNDIS_MSG_PACKET, 12, 0},
					  {0x80000004, 12, 0},
					  {0, 12, 0},
					  {RNDIS_MSG_INDICATE_STATUS, 12, 0}};
	uint32_t reply[RNDIS_REPLY_MAX / 4];
	struct rndis_device dev = device();
	size_t len;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(control(&dev, bad[i], 3, reply), -EPROTO);
	assert_int_equal(rndis_control(&dev, bad[0], 11, (uint8_t *)reply, &len), -EPROTO);
	assert_int_equal(rndis_control(&dev, bad[0], 0, (uint8_t *)reply, &len), -EPROTO);
}

static void filter_moves_the_state_and_reset_clears_it(void **state)
{
	uint32_t msg[] = {RNDIS_MSG_SET, 32, 5, RNDIS_OID_PACKET_FILTER, 4, 20, 0, 9};
	uint32_t reset[] = {RNDIS_MSG_RESET, 12, 0},
		 init[] = {RNDIS_MSG_INITIALIZE, 24, 1, 1, 0, 0};
	uint32_t reply[RNDIS_REPLY_MAX / 4];
	struct rndis_device dev = device();

	(void)state;
	initialize(&dev);
	assert_int_equal(control(&dev, msg, 8, reply), 16);
	assert_int_equal(dev.state, RNDIS_OPERATIONAL);
	assert_int_equal(control(&dev, init, 6, reply), 52);
	assert_int_equal(reply[3], RNDIS_STATUS_FAILURE);
	assert_int_equal(control(&dev, reset, 3, reply), 16);
	assert_int_equal(reply[0], 0x80000006);
	assert_int_equal(reply[2], RNDIS_STATUS_SUCCESS);
	assert_int_equal(reply[3], 1);
	assert_int_equal(dev.state, RNDIS_INITIALIZED);
	control(&dev, msg, 8, reply);
	msg[7] = 0;
	control(&dev, msg, 8, reply);
	assert_int_equal(dev.state, RNDIS_INITIALIZED);
}

static void offloads_that_do_not_exist_cannot_be_switched_on(void **state)
{
	struct {
		uint32_t words[7];
		struct ndis_offload_parameters p;
	} msg = {.words = {RNDIS_MSG_SET, sizeof(msg), 5, RNDIS_OID_OFFLOAD_PARAMETERS,
			   sizeof(msg.p), 20, 0},
		 .p = {.object = {NDIS_OBJECT_DEFAULT, 3, sizeof(msg.p)}, .ip4_checksum = 1}};
	uint32_t reply[RNDIS_REPLY_MAX / 4];
	struct rndis_device dev = device();

	(void)state;
	initialize(&dev);
	control(&dev, (uint32_t *)&msg, sizeof(msg) / 4, reply);
	assert_int_equal(reply[3], RNDIS_STATUS_SUCCESS);
	msg.p.coalesce_ip6 = 2;
	control(&dev, (uint32_t *)&msg, sizeof(msg) / 4, reply);
	assert_int_equal(reply[3], RNDIS_STATUS_NOT_SUPPORTED);
	/* The 22 bytes of drivers that speak NVSP 4 end before it. */
	msg.words[4] = 22;
	control(&dev, (uint32_t *)&msg, sizeof(msg) / 4, reply);
	assert_int_equal(reply[3], RNDIS_STATUS_SUCCESS);
}

static void offload_query_echoes_the_size_that_was_asked_for(void **state)
{
	uint32_t msg[7 + 64] = {RNDIS_MSG_QUERY, 28 + 156, 5, RNDIS_OID_OFFLOAD_HARDWARE, 156, 20};
	uint32_t reply[RNDIS_REPLY_MAX / 4];
	struct rndis_device dev = device();

	(void)state;
	initialize(&dev);
	msg[7] = 0xA7 | 3 << 8 | 156u << 16;
	assert_int_equal(control(&dev, msg, 7 + 39, reply), 24 + 156);
	assert_int_equal(reply[6], msg[7]);
	for (int i = 0; i < 38; i++)
		assert_int_equal(reply[7 + i], 0);
	msg[7] = 0xA7 | 3 << 8 | 0xFFFFu << 16;
	assert_int_equal(control(&dev, msg, 7 + 39, reply), 24);
	assert_int_equal(reply[3], RNDIS_STATUS_INVALID_LENGTH);
	msg[7] = 0xA7 | 1 << 8 | 4u << 16;
	control(&dev, msg, 7 + 39, reply);
	assert_int_equal(reply[3], RNDIS_STATUS_INVALID_LENGTH);
	msg[7] = 0x80 | 1 << 8 | 156u << 16;
	control(&dev, msg, 7 + 39, reply);
	assert_int_equal(reply[3], RNDIS_STATUS_INVALID_DATA);
}

static void packet_information_is_decoded_and_bounded(void **state)
{
	struct rndis_frame_info out;
	uint32_t info[] = {
		16, 77,    12, 1, 16, RNDIS_INFO_CHECKSUM, 12, 0xABCD, 16, RNDIS_INFO_LARGE_SEND,
		12, 0x1234};
	uint32_t bad[][3] = {{11, 6, 0}, {12, 6, 13}, {13, 6, 12},
			     {0, 6, 12}, {12, 6, 11}, {0xFFFFFFFF, 6, 12}};
	uint32_t many[33 * 3];

	(void)state;
	assert_int_equal(rndis_info_decode(info, sizeof(info), &out), 0);
	assert_false(out.has_vlan);
	assert_true(out.has_checksum);
	assert_int_equal(out.checksum, 0xABCD);
	assert_int_equal(out.large_send, 0x1234);
	assert_int_equal(rndis_info_decode(info, sizeof(info) - 1, &out), -EPROTO);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(rndis_info_decode(bad[i], sizeof(bad[i]), &out), -EPROTO);
	for (size_t i = 0; i < 33; i++)
		memcpy(&many[i * 3], (uint32_t[]){12, 6, 12}, 12);
	assert_int_equal(rndis_info_decode(many, 32 * 12, &out), 0);
	assert_false(out.has_vlan);
	assert_int_equal(rndis_info_decode(many, 33 * 12, &out), -EPROTO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_object_of_the_list_can_be_asked_for),
		cmocka_unit_test(requests_before_initialize_fail_but_are_answered),
		cmocka_unit_test(wild_information_is_answered_with_an_error),
		cmocka_unit_test(message_that_cannot_be_answered_is_refused),
		cmocka_unit_test(filter_moves_the_state_and_reset_clears_it),
		cmocka_unit_test(offloads_that_do_not_exist_cannot_be_switched_on),
		cmocka_unit_test(offload_query_echoes_the_size_that_was_asked_for),
		cmocka_unit_test(packet_information_is_decoded_and_bounded),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
