/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The passt back end: its framing against a socket of our own, and the real passt where it is
 * installed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bytes.h"
#include "worker/net_passt.h"

struct link {
	struct net_passt *passt;
	int peer;
	unsigned poll_changes, ended, frames;
	char sentence[512];
	int receive_result;
	size_t len;
	uint8_t frame[NETPORT_FRAME_MAX];
};

static void on_poll_changed(void *ctx)
{
	struct link *l = ctx;

	l->poll_changes++;
}

static void on_ended(void *ctx, const char *sentence)
{
	struct link *l = ctx;

	l->ended++;
	snprintf(l->sentence, sizeof(l->sentence), "%s", sentence);
}

static int on_frame(void *owner, void *frame, size_t len, const struct netport_facts *facts)
{
	struct link *l = owner;

	(void)facts;
	if (l->receive_result == -EAGAIN) {
		struct netport *port = net_passt_port(l->passt);

		port->ops->want(port->ctx, false);
		return -EAGAIN;
	}
	l->frames++;
	l->len = len;
	memcpy(l->frame, frame, len);
	return 0;
}

static void link_ready(struct link *l)
{
	struct netport *port = net_passt_port(l->passt);

	port->sink = (struct netport_sink){.receive = on_frame, .owner = l};
	port->ops->want(port->ctx, true);
}

static struct link *link_attach(void)
{
	struct link *l = calloc(1, sizeof(*l));
	struct net_passt_config config = {
		.poll_changed = on_poll_changed, .ended = on_ended, .ctx = l};
	int pair[2];

	assert_non_null(l);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	l->peer = pair[1];
	assert_int_equal(net_passt_attach(&config, pair[0], &l->passt), 0);
	assert_false(net_passt_wants_read(l->passt));
	link_ready(l);
	assert_true(net_passt_wants_read(l->passt));
	return l;
}

static void link_free(struct link *l)
{
	net_passt_close(l->passt);
	if (l->peer >= 0)
		close(l->peer);
	free(l);
}

static void peer_write(struct link *l, const void *bytes, size_t len)
{
	assert_int_equal(write(l->peer, bytes, len), (ssize_t)len);
	net_passt_readable(l->passt);
}

static int link_send(struct link *l, void *frame, size_t len)
{
	struct iovec iov[2] = {{frame, 5}, {(uint8_t *)frame + 5, len - 5}};
	struct netport *port = net_passt_port(l->passt);
	static const struct netport_facts none;

	return port->ops->send(port->ctx, iov, 2, len, &none);
}

static void frames_split_at_every_byte_arrive_whole(void **state)
{
	struct link *l = link_attach();
	uint8_t wire[2 * (4 + 60)];

	(void)state;
	for (size_t i = 0; i < sizeof(wire); i++)
		wire[i] = (uint8_t)i;
	be32_store(wire, 60);
	be32_store(wire + 64, 60);
	for (size_t cut = 1; cut < sizeof(wire); cut++) {
		l->frames = 0;
		peer_write(l, wire, cut);
		assert_int_equal(l->frames, cut >= 64);
		peer_write(l, wire + cut, sizeof(wire) - cut);
		assert_int_equal(l->frames, 2);
		assert_int_equal(l->len, 60);
		assert_memory_equal(l->frame, wire + 68, 60);
	}
	link_free(l);
}

static void longest_frame_arrives_and_a_longer_one_ends_the_link(void **state)
{
	struct link *l = link_attach();
	uint8_t *wire = calloc(1, 4 + NETPORT_FRAME_MAX);

	(void)state;
	assert_non_null(wire);
	be32_store(wire, NETPORT_FRAME_MAX);
	for (size_t at = 0; at < 4 + NETPORT_FRAME_MAX; at += 13110)
		peer_write(l, wire + at,
			   4 + NETPORT_FRAME_MAX - at < 13110 ? 4 + NETPORT_FRAME_MAX - at : 13110);
	for (int i = 0; i < 8 && !l->frames; i++)
		net_passt_readable(l->passt);
	assert_int_equal(l->frames, 1);
	assert_int_equal(l->len, NETPORT_FRAME_MAX);
	be32_store(wire, NETPORT_FRAME_MAX + 1);
	peer_write(l, wire, 4);
	assert_int_equal(l->ended, 1);
	assert_non_null(strstr(l->sentence, "impossible length"));
	assert_false(net_passt_wants_read(l->passt));
	assert_int_equal(link_send(l, wire, 60), -EPIPE);
	net_passt_readable(l->passt);
	net_passt_writable(l->passt);
	assert_int_equal(l->ended, 1);
	free(wire);
	link_free(l);
}

static void end_of_the_peer_is_noticed_once(void **state)
{
	struct link *l = link_attach();

	(void)state;
	close(l->peer);
	l->peer = -1;
	net_passt_readable(l->passt);
	net_passt_readable(l->passt);
	assert_int_equal(l->ended, 1);
	assert_string_equal(l->sentence, "passt ended");
	link_free(l);
}

static void refused_frame_is_kept_until_the_nic_wants_it(void **state)
{
	struct link *l = link_attach();
	struct netport *port = net_passt_port(l->passt);
	uint8_t wire[4 + 60] = {0};

	(void)state;
	be32_store(wire, 60);
	wire[4] = 1;
	l->receive_result = -EAGAIN;
	peer_write(l, wire, sizeof(wire));
	assert_int_equal(l->frames, 0);
	assert_false(net_passt_wants_read(l->passt));
	/* Reading has stopped: this one stays in the socket. */
	wire[4] = 2;
	peer_write(l, wire, sizeof(wire));
	l->receive_result = 0;
	port->ops->want(port->ctx, true);
	assert_int_equal(l->frames, 1);
	assert_int_equal(l->frame[0], 1);
	assert_true(net_passt_wants_read(l->passt));
	net_passt_readable(l->passt);
	assert_int_equal(l->frames, 2);
	assert_int_equal(l->frame[0], 2);
	link_free(l);
}

static void full_socket_drops_frames_but_tears_none(void **state)
{
	struct link *l = link_attach();
	uint8_t frame[1500], wire[1504];
	unsigned sent = 0, dropped = 0, got = 0;
	size_t have = 0;

	(void)state;
	for (unsigned i = 0; i < 2000; i++) {
		memset(frame, (int)i, sizeof(frame));
		if (link_send(l, frame, sizeof(frame)) == 0)
			sent++;
		else
			dropped++;
	}
	assert_true(dropped > 0);
	shutdown(net_passt_fd(l->passt), SHUT_RD);
	for (;;) {
		ssize_t n = recv(l->peer, wire + have, sizeof(wire) - have, MSG_DONTWAIT);

		if (n <= 0) {
			if (!net_passt_wants_write(l->passt))
				break;
			net_passt_writable(l->passt);
			continue;
		}
		have += (size_t)n;
		if (have < sizeof(wire))
			continue;
		assert_int_equal(be32_load(wire), 1500);
		assert_int_equal(wire[4], wire[1503]);
		got++;
		have = 0;
	}
	assert_int_equal(have, 0);
	assert_int_equal(got, sent);
	link_free(l);
}

static void forwards_become_options_of_passt(void **state)
{
	static const char *const good[][2] = {
		{"tcp:8080:80", "8080:80"},
		{"tcp:127.0.0.1:8080:80", "127.0.0.1/8080:80"},
		{"udp:[::1]:53:5353", "::1/53:5353"},
		{"tcp:1:65535", "1:65535"},
	};
	static const char *const bad[] = {
		"",
		"tcp:",
		"tcp:80",
		"sctp:1:2",
		"tcp:0:1",
		"tcp:1:65536",
		"tcp:1:2:3",
		"tcp:1.2.3:1:2",
		"tcp:[::1:2:3",
		"tcp:[::1]2:3",
		"tcp:1:",
		"tcp:1,2:3",
		"tcp:-1:3",
		"tcp:::1:2:3",
		"tcp:[1.2.3.4]:1:2",
		"tcp:1:2 ",
		"tcp:1.2.3.4/5:1:2",
		"udp:~1:2",
		"tcp:123456:1234",
		"tcp",
	};
	char spec[80];
	bool udp;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(net_passt_forward_spec(good[i][0], spec, sizeof(spec), &udp), 0);
		assert_string_equal(spec, good[i][1]);
		assert_int_equal(udp, good[i][0][0] == 'u');
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(net_passt_forward_spec(bad[i], spec, sizeof(spec), &udp), -EINVAL);
}

static struct net_passt_config real_config(struct link *l)
{
	return (struct net_passt_config){
		.poll_changed = on_poll_changed, .ended = on_ended, .ctx = l};
}

static void missing_program_is_told_with_what_to_install(void **state)
{
	struct link l = {0};
	struct net_passt_config config = real_config(&l);
	char err[256];

	(void)state;
	config.program = "no-such-passt";
	assert_true(net_passt_open(&config, &l.passt, err, sizeof(err)) < 0);
	assert_non_null(strstr(err, "install the package 'passt'"));
}

static void wrong_forward_is_told_before_anything_starts(void **state)
{
	const char *const forwards[] = {"tcp:80"};
	struct link l = {0};
	struct net_passt_config config = real_config(&l);
	char err[256];

	(void)state;
	config.forwards = forwards;
	config.forward_count = 1;
	assert_int_equal(net_passt_open(&config, &l.passt, err, sizeof(err)), -EINVAL);
	assert_non_null(strstr(err, "cannot forward 'tcp:80'"));
}

/* The real passt, or NULL when the test has to be skipped. */
static struct link *real_passt(const char *const *forwards, unsigned count)
{
	struct link *l = calloc(1, sizeof(*l));
	struct net_passt_config config = real_config(l);
	char err[256] = "";

	assert_non_null(l);
	l->peer = -1;
	config.forwards = forwards;
	config.forward_count = count;
	memcpy(config.mac, "\x52\x54\x00\x12\x34\x56", 6);
	if (net_passt_open(&config, &l->passt, err, sizeof(err)) < 0) {
		print_message("# skipped: %s\n", err);
		free(l);
		return NULL;
	}
	link_ready(l);
	return l;
}

/* Reads until a frame comes for which `is` holds; false after two seconds. */
static bool await_frame(struct link *l, bool (*is)(const struct link *l))
{
	for (int i = 0; i < 200 && !l->ended; i++) {
		struct pollfd p = {.fd = net_passt_fd(l->passt), .events = POLLIN};
		unsigned before = l->frames;

		if (poll(&p, 1, 2000) <= 0)
			return false;
		net_passt_readable(l->passt);
		/* Only the last frame of a batch is looked at: passt sends few. */
		if (l->frames != before && is(l))
			return true;
	}
	return false;
}

static uint16_t ip_checksum(const uint8_t *header)
{
	uint32_t sum = 0;

	for (int i = 0; i < 20; i += 2)
		sum += be16_load(header + i);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

#define DISCOVER_BYTES (14 + 20 + 8 + 300)

static void make_discover(uint8_t f[DISCOVER_BYTES])
{
	uint8_t *ip = f + 14, *udp = ip + 20, *dhcp = udp + 8;

	memset(f, 0, DISCOVER_BYTES);
	memset(f, 0xff, 6);
	memcpy(f + 6, "\x52\x54\x00\x12\x34\x56", 6);
	be16_store(f + 12, 0x0800);
	ip[0] = 0x45;
	be16_store(ip + 2, 328);
	ip[8] = 64;
	ip[9] = 17;
	memset(ip + 16, 0xff, 4);
	be16_store(ip + 10, ip_checksum(ip));
	be16_store(udp, 68);
	be16_store(udp + 2, 67);
	be16_store(udp + 4, 308);
	dhcp[0] = dhcp[1] = 1;
	dhcp[2] = 6;
	be32_store(dhcp + 4, 0x1234);
	memcpy(dhcp + 28, f + 6, 6);
	memcpy(dhcp + 236, "\x63\x82\x53\x63\x35\x01\x01\xff", 8);
}

/* Is DHCP option 53 there, with the value for an offer? */
static bool options_offer(const uint8_t *at, const uint8_t *end)
{
	while (end - at >= 3 && *at != 255) {
		if (at[0] == 53)
			return at[1] == 1 && at[2] == 2;
		at += 2 + at[1];
	}
	return false;
}

static bool is_offer(const struct link *l)
{
	const uint8_t *dhcp = l->frame + 42;

	return l->len > 42 + 243 && be16_load(l->frame + 34) == 67 && dhcp[0] == 2 &&
	       be32_load(dhcp + 4) == 0x1234 && memcmp(dhcp + 236, "\x63\x82\x53\x63", 4) == 0 &&
	       options_offer(dhcp + 240, l->frame + l->len);
}

static void real_passt_answers_a_dhcp_discover_with_an_offer(void **state)
{
	uint8_t discover[DISCOVER_BYTES];
	struct link *l = real_passt(NULL, 0);
	int pid;

	(void)state;
	if (!l)
		skip();
	pid = net_passt_pid(l->passt);
	assert_true(pid > 0);
	make_discover(discover);
	assert_int_equal(link_send(l, discover, sizeof(discover)), 0);
	assert_true(await_frame(l, is_offer));
	assert_int_equal(l->ended, 0);
	link_free(l);
	assert_int_equal(kill(pid, 0), -1);
}

static bool is_syn(const struct link *l)
{
	return l->len >= 54 && be16_load(l->frame + 12) == 0x0800 && l->frame[23] == 6 &&
	       be16_load(l->frame + 36) == 80 && (l->frame[47] & 0x12) == 0x02;
}

/* A port of the loopback that nobody listens on now; 0 when there is none. */
static uint16_t free_port(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t len = sizeof(a);
	int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (s < 0 || bind(s, (struct sockaddr *)&a, sizeof(a)) < 0 ||
	    getsockname(s, (struct sockaddr *)&a, &len) < 0)
		a.sin_port = 0;
	close(s);
	return ntohs(a.sin_port);
}

static void forwarded_port_leads_into_the_guest(void **state)
{
	char forward[64];
	const char *const forwards[] = {forward};
	uint8_t discover[DISCOVER_BYTES];
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	struct link *l;
	int s;

	(void)state;
	a.sin_port = htons(free_port());
	snprintf(forward, sizeof(forward), "tcp:127.0.0.1:%u:80", ntohs(a.sin_port));
	l = real_passt(forwards, 1);
	if (!l)
		skip();
	make_discover(discover);
	assert_int_equal(link_send(l, discover, sizeof(discover)), 0);
	assert_true(await_frame(l, is_offer));
	s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_true(s >= 0);
	connect(s, (struct sockaddr *)&a, sizeof(a));
	assert_true(await_frame(l, is_syn));
	close(s);
	link_free(l);
}

static void reason_of_a_failed_start_is_told(void **state)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t len = sizeof(a);
	char forward[64], err[256];
	const char *const forwards[] = {forward};
	struct link *probe = real_passt(NULL, 0), l = {0};
	struct net_passt_config config = real_config(&l);
	int s;

	(void)state;
	if (!probe)
		skip();
	link_free(probe);
	s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(s, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(s, 1), 0);
	assert_int_equal(getsockname(s, (struct sockaddr *)&a, &len), 0);
	snprintf(forward, sizeof(forward), "tcp:127.0.0.1:%u:80", ntohs(a.sin_port));
	config.forwards = forwards;
	config.forward_count = 1;
	assert_true(net_passt_open(&config, &l.passt, err, sizeof(err)) < 0);
	print_message("# %s\n", err);
	assert_non_null(strstr(err, "cannot start the user-mode network"));
	assert_non_null(strstr(err, "bind"));
	close(s);
}

static void killed_passt_is_noticed(void **state)
{
	struct link *l = real_passt(NULL, 0);
	struct pollfd p;

	(void)state;
	if (!l)
		skip();
	kill(net_passt_pid(l->passt), SIGKILL);
	p = (struct pollfd){.fd = net_passt_fd(l->passt), .events = POLLIN};
	while (!l->ended && poll(&p, 1, 2000) > 0)
		net_passt_readable(l->passt);
	assert_int_equal(l->ended, 1);
	assert_int_equal(net_passt_pid(l->passt), 0);
	print_message("# %s\n", l->sentence);
	link_free(l);
}

/* A worker is killed: passt must not stay behind. */
static void passt_ends_with_a_killed_worker(void **state)
{
	int report[2], passt_pid = 0, watch[2];
	struct pollfd p;
	pid_t worker;
	char byte;

	(void)state;
	assert_int_equal(pipe2(report, O_CLOEXEC), 0);
	/* passt gets its stderr from us; what it keeps open of this pipe is nothing. */
	assert_int_equal(pipe2(watch, O_CLOEXEC), 0);
	worker = fork();
	assert_true(worker >= 0);
	if (worker == 0) {
		struct link *l = real_passt(NULL, 0);
		int pid = l ? net_passt_pid(l->passt) : 0;

		if (write(report[1], &pid, sizeof(pid)) == sizeof(pid))
			pause();
		_exit(0);
	}
	close(report[1]);
	close(watch[1]);
	assert_int_equal(read(report[0], &passt_pid, sizeof(passt_pid)), sizeof(passt_pid));
	kill(worker, SIGKILL);
	assert_int_equal(waitpid(worker, NULL, 0), worker);
	p = (struct pollfd){.fd = watch[0], .events = POLLIN};
	assert_int_equal(poll(&p, 1, 2000), 1);
	assert_int_equal(read(watch[0], &byte, 1), 0);
	close(watch[0]);
	close(report[0]);
	if (!passt_pid)
		skip();
	/* Its parent is init now, which reaps it in its own time. */
	for (int i = 0; i < 100; i++) {
		char path[40], line[256] = "";
		FILE *f;

		snprintf(path, sizeof(path), "/proc/%d/stat", passt_pid);
		f = fopen(path, "re");
		if (!f || !fgets(line, sizeof(line), f) || strstr(line, ") Z")) {
			if (f)
				fclose(f);
			return;
		}
		fclose(f);
		poll(NULL, 0, 20);
	}
	fail_msg("passt %d has outlived the worker", passt_pid);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_split_at_every_byte_arrive_whole),
		cmocka_unit_test(longest_frame_arrives_and_a_longer_one_ends_the_link),
		cmocka_unit_test(end_of_the_peer_is_noticed_once),
		cmocka_unit_test(refused_frame_is_kept_until_the_nic_wants_it),
		cmocka_unit_test(full_socket_drops_frames_but_tears_none),
		cmocka_unit_test(forwards_become_options_of_passt),
		cmocka_unit_test(missing_program_is_told_with_what_to_install),
		cmocka_unit_test(wrong_forward_is_told_before_anything_starts),
		cmocka_unit_test(real_passt_answers_a_dhcp_discover_with_an_offer),
		cmocka_unit_test(forwarded_port_leads_into_the_guest),
		cmocka_unit_test(reason_of_a_failed_start_is_told),
		cmocka_unit_test(killed_passt_is_noticed),
		cmocka_unit_test(passt_ends_with_a_killed_worker),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
