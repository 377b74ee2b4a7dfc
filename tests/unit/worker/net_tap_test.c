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
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "worker/net_tap.h"

#define MARK 0x88b5 /* ethertype for experiments: nobody else sends it */

struct side {
	struct net_tap *tap;
	unsigned frames, marked;
	int receive_result;
	uint8_t last;
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

static int packet_socket(void)
{
	struct sockaddr_ll a = {.sll_family = AF_PACKET,
				.sll_protocol = htons(MARK),
				.sll_ifindex = (int)if_nametoindex("oya-test0")};
	int s = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(MARK));

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
	sock = packet_socket();
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
		cmocka_unit_test(wrong_names_and_interfaces_are_told),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
