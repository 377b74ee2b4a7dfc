/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The tap back end, in a network namespace of its own where one may be made. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "worker/net_tap.h"

#define MARK 0x88b5 /* ethertype for experiments: nobody else sends it */
#define LONG 40000
#define BEGIN 1518 /* of a long frame */

struct side {
	struct net_tap *tap;
	unsigned frames, marked;
	int receive_result;
	uint8_t last;
	bool no_room;
	unsigned whole, placed; /* long frames */
	uint8_t room[2][NETPORT_FRAME_MAX];
};

static void on_poll_changed(void *ctx)
{
	(void)ctx;
}

static int on_frame(void *owner, void *frame, size_t len, const struct netport_facts *facts)
{
	struct side *s = owner;
	const uint8_t *f = frame;

	(void)facts;
	if (len < 15 || f[12] != MARK >> 8 || f[13] != (MARK & 0xff))
		return 0; /* the kernel's own */
	if (s->receive_result < 0) {
		struct netport *port = net_tap_port(s->tap);

		port->ops->want(port->ctx, false);
		return s->receive_result;
	}
	s->marked++;
	s->last = f[14];
	return 0;
}

/* Bytes of a long frame, of TCP over IPv4. */
static void long_frame(uint8_t f[LONG])
{
	for (unsigned i = 0; i < LONG; i++)
		f[i] = (uint8_t)(i * 7 + i / 251);
	memset(f, 0xff, 6);
	memset(f + 14, 0, 40);
	f[12] = 0x08;
	f[13] = 0;
	f[14] = 0x45;
	f[16] = (LONG - 14) >> 8;
	f[17] = (LONG - 14) & 0xff;
	f[22] = 64;
	f[23] = 6;
	f[46] = 0x50;
}

static int on_long_frame(void *owner, void *frame, size_t len, const struct netport_facts *facts)
{
	static uint8_t expected[LONG];
	struct side *s = owner;

	if (len != LONG || facts->segments != NETPORT_TCP4)
		return 0; /* the kernel's own */
	long_frame(expected);
	assert_memory_equal(frame, expected, LONG);
	s->whole++;
	return 0;
}

static unsigned on_room(void *owner, struct iovec iov[NETPORT_ROOM_MAX], size_t *ret_head)
{
	struct side *s = owner;

	if (s->no_room)
		return 0;
	memset(s->room, 0, sizeof(s->room));
	iov[0] = (struct iovec){.iov_base = s->room[0], .iov_len = 3000};
	iov[1] = (struct iovec){.iov_base = s->room[1], .iov_len = sizeof(s->room[1])};
	*ret_head = BEGIN;
	return 2;
}

static void on_placed(void *owner, void *head, size_t len, const struct netport_facts *facts)
{
	static uint8_t expected[LONG];
	struct side *s = owner;

	assert_int_equal(len, LONG);
	assert_int_equal(facts->segments, NETPORT_TCP4);
	assert_true(facts->checksum_missing);
	long_frame(expected);
	assert_memory_equal(head, expected, BEGIN);
	assert_memory_equal(s->room[0], expected + BEGIN, 3000);
	assert_memory_equal(s->room[1], expected + BEGIN + 3000, LONG - BEGIN - 3000);
	s->placed++;
}

static bool own_namespace(void)
{
	return unshare(CLONE_NEWNET) == 0 || unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0;
}

static void side_open(struct side *s)
{
	struct net_tap_config config = {
		.ifname = "oya-test0", .poll_changed = on_poll_changed, .ctx = s};
	char err[256] = "";

	if (net_tap_open(&config, &s->tap, err, sizeof(err)) < 0) {
		print_message("# skipped: %s\n", err);
		skip();
	}
	net_tap_port(s->tap)->sink = (struct netport_sink){.receive = on_frame, .owner = s};
	net_tap_port(s->tap)->ops->want(net_tap_port(s->tap)->ctx, true);
}

static int packet_socket(uint16_t protocol)
{
	struct sockaddr_ll a = {.sll_family = AF_PACKET,
				.sll_protocol = htons(protocol),
				.sll_ifindex = (int)if_nametoindex("oya-test0")};
	int s = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(protocol));

	assert_true(s >= 0);
	assert_int_equal(bind(s, (struct sockaddr *)&a, sizeof(a)), 0);
	return s;
}

static void host_send(int s, uint8_t value)
{
	uint8_t frame[60] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

	frame[12] = MARK >> 8;
	frame[13] = MARK & 0xff;
	frame[14] = value;
	assert_int_equal(send(s, frame, sizeof(frame), 0), sizeof(frame));
}

static void read_until(struct side *s, unsigned marked)
{
	for (int i = 0; i < 20 && s->marked < marked && net_tap_wants_read(s->tap); i++) {
		struct pollfd p = {.fd = net_tap_fd(s->tap), .events = POLLIN};

		if (poll(&p, 1, 1000) <= 0)
			return;
		net_tap_readable(s->tap);
	}
}

static void frames_pass_both_ways_and_wait_while_not_wanted(void **state)
{
	static const struct netport_facts none;
	struct side s = {0};
	struct netport *port;
	uint8_t out[60] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, in[100];
	struct iovec iov[2] = {{out, 20}, {out + 20, 40}};
	int sock;

	(void)state;
	if (!own_namespace()) {
		print_message("# skipped: a network namespace may not be made here\n");
		skip();
	}
	side_open(&s);
	port = net_tap_port(s.tap);
	sock = packet_socket(MARK);
	out[12] = MARK >> 8;
	out[13] = MARK & 0xff;
	out[30] = 42;
	assert_int_equal(port->ops->send(port->ctx, iov, 2, sizeof(out), &none), 0);
	assert_int_equal(recv(sock, in, sizeof(in), 0), sizeof(out));
	assert_memory_equal(in, out, sizeof(out));

	host_send(sock, 1);
	read_until(&s, 1);
	assert_int_equal(s.last, 1);
	s.receive_result = -EAGAIN;
	host_send(sock, 2);
	host_send(sock, 3);
	read_until(&s, 2);
	assert_int_equal(s.marked, 1);
	assert_false(net_tap_wants_read(s.tap));
	s.receive_result = 0;
	port->ops->want(port->ctx, true);
	assert_int_equal(s.last, 2);
	read_until(&s, 3);
	assert_int_equal(s.last, 3);
	close(sock);
	net_tap_close(s.tap);
}

static void send_long(int sock, struct side *s)
{
	static struct {
		struct virtio_net_hdr header;
		uint8_t frame[LONG];
	} __attribute__((packed)) out;
	unsigned before = s->whole + s->placed;

	out.header = (struct virtio_net_hdr){
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
		.hdr_len = 54,
		.gso_size = 1448,
		.csum_start = 34,
		.csum_offset = 16,
	};
	long_frame(out.frame);
	assert_int_equal(send(sock, &out, sizeof(out), 0), sizeof(out));
	for (int i = 0; i < 20 && s->whole + s->placed == before; i++) {
		struct pollfd p = {.fd = net_tap_fd(s->tap), .events = POLLIN};

		assert_true(poll(&p, 1, 1000) > 0);
		net_tap_readable(s->tap);
	}
}

static void long_frame_after_a_long_one_goes_to_its_place(void **state)
{
	static struct side s;
	struct netport *port;
	int sock, on = 1;

	(void)state;
	if (!own_namespace()) {
		print_message("# skipped: a network namespace may not be made here\n");
		skip();
	}
	side_open(&s);
	port = net_tap_port(s.tap);
	if (!port->features) {
		print_message("# skipped: the kernel's taps have no long frames\n");
		skip();
	}
	port->sink = (struct netport_sink){.receive = on_long_frame,
					   .room = on_room,
					   .receive_placed = on_placed,
					   .owner = &s};
	port->ops->accept(port->ctx, NETPORT_CHECKSUM | NETPORT_TCP4);
	sock = packet_socket(0x0800);
	assert_int_equal(setsockopt(sock, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)), 0);
	send_long(sock, &s);
	assert_int_equal(s.whole, 1);
	send_long(sock, &s);
	assert_int_equal(s.placed, 1);
	s.no_room = true;
	send_long(sock, &s);
	assert_int_equal(s.whole, 2);
	s.no_room = false;
	send_long(sock, &s);
	assert_int_equal(s.placed, 2);
	close(sock);
	net_tap_close(s.tap);
}

static void wrong_names_and_interfaces_are_told(void **state)
{
	static const char *const names[] = {"", "a-name-too-long-for-it", "a/b", "tap%d"};
	struct net_tap_config config = {.poll_changed = on_poll_changed};
	struct net_tap *tap;
	char err[256];

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		config.ifname = names[i];
		assert_int_equal(net_tap_open(&config, &tap, err, sizeof(err)), -EINVAL);
	}
	config.ifname = "lo";
	assert_true(net_tap_open(&config, &tap, err, sizeof(err)) < 0);
	print_message("# %s\n", err);
	assert_non_null(strstr(err, "'lo'"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_pass_both_ways_and_wait_while_not_wanted),
		cmocka_unit_test(long_frame_after_a_long_one_goes_to_its_place),
		cmocka_unit_test(wrong_names_and_interfaces_are_told),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
