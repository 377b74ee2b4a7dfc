/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What switches live through, in network namespaces of the test's own: a NIC is taken over under
 * a TCP connection and given back, the daemon comes again under traffic, leftovers go, and what
 * fails leaves nothing behind.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#undef fail /* lib/fail.h has one of its own */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "host/switch.h"
#include "host/switch_priv.h"
#include "tests/lib/netns.h"

#define ARRIVES_MS 2000
#define TRIAL_MS 300
#define HERE 0xc0000202    /* 192.0.2.2 */
#define ALSO 0xc0000203    /* in the same network */
#define GATEWAY 0xc0000201 /* 192.0.2.1 */
#define BEHIND 0x0a636300  /* a network behind the gateway */
#define PORT 4444

static char dir[] = "/tmp/oya-switch-test-XXXXXX";
static struct switches *s;
static struct failure f;
static int host = -1, outside = -1, client = -1, server = -1;

static void good(int r)
{
	if (r < 0)
		print_message("# %s\n", f.text);
	assert_true(r >= 0);
}

static struct switches *open_switches(void)
{
	struct switches_options options = {.run_dir = dir, .state_dir = dir};
	struct switches *new = NULL;

	good(switches_new(&options, &new, &f));
	return new;
}

/* A host with eth0 to a gateway outside, and with eth1, which has an equal default route. */
static int set_up(void **state)
{
	struct rules none = {0};

	(void)state;
	host = netns_new();
	outside = host < 0 ? -1 : netns_new();
	if (outside < 0 || access("/dev/net/tun", R_OK | W_OK) != 0)
		return 0;
	netns_enter(host);
	if (rules_apply(&none, &f) < 0) {
		print_message("# %s\n", f.text);
		return 0;
	}
	netns_pair("eth0", outside, "wan0");
	netns_pair("eth1", outside, "wan1");
	netns_enter(outside);
	netns_address("wan0", GATEWAY, 24);
	netns_enter(host);
	netns_address("eth1", 0xc6336402, 24);
	netns_gateway("eth1", 0xc6336401);
	netns_address("eth0", HERE, 24);
	netns_add_address("eth0", ALSO, 24, 600);
	netns_add_address6("eth0");
	netns_gateway("eth0", GATEWAY);
	netns_route(BEHIND, 24, GATEWAY, "eth0");
	s = open_switches();
	return 0;
}

static int tear_down(void **state)
{
	struct switches_report report;

	(void)state;
	if (s)
		good(switches_reconcile(s, NULL, 0, NULL, 0, &report, &f));
	switches_free(s);
	s = NULL;
	close(client);
	close(server);
	close(host);
	close(outside);
	client = server = host = outside = -1;
	return 0;
}

static void need_host(void)
{
	if (!s) {
		print_message("# skipped: no network namespace with nftables may be made here\n");
		skip();
	}
}

static struct switch_config external(const char *nic)
{
	struct switch_config c = {.name = "lan", .kind = SWITCH_EXTERNAL, .host = true};

	snprintf(c.nic, sizeof(c.nic), "%s", nic);
	return c;
}

static void limit_wait(int sock)
{
	struct timeval wait = {.tv_sec = 5};

	assert_int_equal(setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)), 0);
	assert_int_equal(setsockopt(sock, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait)), 0);
}

/* A connection from outside to the host, as of somebody who works on it. */
static void connect_from_outside(void)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(PORT)};
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(listener, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(listener, 1), 0);
	netns_enter(outside);
	client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	netns_enter(host);
	limit_wait(client);
	at.sin_addr.s_addr = htonl(HERE);
	assert_int_equal(connect(client, (struct sockaddr *)&at, sizeof(at)), 0);
	server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(server >= 0);
	limit_wait(server);
	close(listener);
}

static void assert_connection_works(void)
{
	static char value;
	char got = 0;

	value++;
	assert_int_equal(send(client, &value, 1, 0), 1);
	assert_int_equal(recv(server, &got, 1, 0), 1);
	assert_int_equal(got, value);
	assert_int_equal(send(server, &value, 1, 0), 1);
	assert_int_equal(recv(client, &got, 1, 0), 1);
}

/* All that the host had on one interface is on the other, and nothing of it on the first. */
static void assert_moved(const char *from, const char *to)
{
	assert_true(netns_has_address(to, HERE) && netns_has_address(to, ALSO));
	assert_false(netns_has_address(from, HERE) || netns_has_address(from, ALSO));
	assert_true(netns_has_address6(to));
	assert_false(netns_has_address6(from));
	assert_true(netns_has_route(0, 0, to) && netns_has_route(BEHIND, 24, to));
	assert_false(netns_has_route(0, 0, from) || netns_has_route(BEHIND, 24, from));
	assert_true(netns_has_route(0, 0, "eth1")); /* another NIC's */
}

/* Steps of a trial as the daemon makes them, until it has ended. */
static enum trial_state run_trial(bool confirmed)
{
	struct timespec pause = {.tv_nsec = 20000000};
	struct switch_trial t;

	switch_trial_begin(&t, netns_now_ms(), confirmed ? 10000 : TRIAL_MS, true);
	while (t.state == TRIAL_WAITING) {
		int answers = switches_probe(s, "lan", &f);

		good(answers);
		if (switch_trial_step(&t, netns_now_ms(), answers == 1, confirmed) == TRIAL_WAITING)
			nanosleep(&pause, NULL);
	}
	return t.state;
}

static void take_over_keeps_a_connection_and_gives_everything_back(void **state)
{
	struct switch_config c = external("eth0");
	unsigned leases = 0;

	(void)state;
	need_host();
	connect_from_outside();
	assert_connection_works();
	good(switches_add(s, &c, &f));
	assert_connection_works();
	assert_moved("eth0", "oya-lan");
	assert_int_equal(run_trial(true), TRIAL_KEPT);
	good(switches_keep(s, "lan", &leases, &f));
	assert_int_equal(leases, 1);
	assert_connection_works();
	good(switches_remove(s, "lan", &f));
	assert_int_equal(netns_index("oya-lan"), 0);
	assert_moved("oya-lan", "eth0");
	assert_connection_works();
}

static void trial_fails_when_the_gateway_is_silent_or_nobody_confirms(void **state)
{
	struct switch_config c = external("eth0");

	(void)state;
	need_host();
	connect_from_outside();
	netns_enter(outside);
	netns_address("wan0", 0, 0);
	netns_enter(host);
	good(switches_add(s, &c, &f));
	assert_int_equal(run_trial(false), TRIAL_FAILED);
	assert_int_equal(switches_probe(s, "lan", &f), 0);
	good(switches_remove(s, "lan", &f));
	assert_moved("oya-lan", "eth0");
	netns_enter(outside);
	netns_address("wan0", GATEWAY, 24);
	netns_enter(host);
	assert_connection_works();
	good(switches_add(s, &c, &f));
	assert_int_equal(run_trial(false), TRIAL_FAILED); /* it answers, and nobody confirms */
	assert_int_equal(switches_probe(s, "lan", &f), 1);
	good(switches_remove(s, "lan", &f));
	assert_connection_works();
}

static void vm_on_an_external_switch_reaches_outside_and_the_host(void **state)
{
	struct switch_config c = external("eth0");
	struct port_config p = {.id = "a", .switch_name = "lan"};
	struct netns_vm a;
	uint8_t mac[6];

	(void)state;
	need_host();
	good(switches_add(s, &c, &f));
	good(switches_add_port(s, &p, &f));
	a = netns_vm("oyata", 'a');
	netns_wait_port("eth0");
	assert_true(netns_arp(&a, 0xc0000209, GATEWAY, ARRIVES_MS, mac));
	assert_true(netns_arp(&a, 0xc0000209, HERE, ARRIVES_MS, mac));
	netns_vm_done(&a);
}

/* The VLAN of the next frame of ours that arrives outside; -1: none does. */
static int vlan_outside(int sock)
{
	union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(sizeof(struct tpacket_auxdata))];
	} control;
	char frame[2048];
	struct iovec iov = {frame, sizeof(frame)};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control};
	struct tpacket_auxdata aux;
	struct cmsghdr *c;

	do {
		m.msg_controllen = sizeof(control);
		if (recvmsg(sock, &m, 0) <= 0)
			return -1;
	} while (frame[12] != (char)(NETNS_MARK >> 8) || frame[13] != (char)(NETNS_MARK & 0xff));
	c = CMSG_FIRSTHDR(&m);
	assert_non_null(c);
	memcpy(&aux, CMSG_DATA(c), sizeof(aux));
	return aux.tp_status & TP_STATUS_VLAN_VALID ? aux.tp_vlan_tci & 0xfff : 0;
}

/* A socket outside for all frames: those for one ethertype have lost their tag. */
static int listen_outside(void)
{
	struct sockaddr_ll at = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
	int sock, on = 1;

	netns_enter(outside);
	sock = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL));
	at.sll_ifindex = (int)netns_index("wan0");
	netns_enter(host);
	assert_true(sock >= 0);
	limit_wait(sock);
	assert_int_equal(bind(sock, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(setsockopt(sock, SOL_PACKET, PACKET_AUXDATA, &on, sizeof(on)), 0);
	return sock;
}

static void vlan_of_a_port_is_a_tag_on_the_nic(void **state)
{
	struct switch_config c = external("eth0");
	struct port_config p = {.id = "a", .switch_name = "lan"};
	struct netns_vm a;
	int sock;

	(void)state;
	need_host();
	good(switches_add(s, &c, &f));
	if (!switches_have_vlans(s)) {
		print_message("# skipped: this kernel's bridges have no VLAN filtering\n");
		skip();
	}
	good(switches_add_port(s, &p, &f));
	a = netns_vm("oyata", 'a');
	netns_wait_port("eth0");
	sock = listen_outside();
	netns_send(&a, 0, 1);
	assert_int_equal(vlan_outside(sock), 0);
	p.vlan_mode = PORT_VLAN_ACCESS;
	p.vlan = 100;
	good(switches_change_port(s, &p, &f));
	netns_send(&a, 0, 2);
	assert_int_equal(vlan_outside(sock), 100);
	p.vlan_mode = PORT_VLAN_TRUNK;
	p.vlan = 7;
	p.trunk[3] = 0xff; /* 192 to 199 */
	good(switches_change_port(s, &p, &f));
	netns_send(&a, 100, 3);
	netns_send(&a, 199, 4);
	assert_int_equal(vlan_outside(sock), 199);
	netns_send(&a, 0, 5);
	assert_int_equal(vlan_outside(sock), 7);
	close(sock);
	netns_vm_done(&a);
}

static void take_over_that_was_not_kept_is_taken_back_by_the_next_daemon(void **state)
{
	struct switch_config c = external("eth0");
	struct switches_report report;

	(void)state;
	need_host();
	connect_from_outside();
	good(switches_add(s, &c, &f));
	switches_free(s); /* it dies before anybody confirmed, so nothing was written down */
	s = open_switches();
	good(switches_reconcile(s, NULL, 0, NULL, 0, &report, &f));
	assert_int_equal(report.removed, 1);
	assert_moved("oya-lan", "eth0");
	assert_connection_works();
}

static void address_that_comes_back_on_the_nic_moves_at_the_next_reconciliation(void **state)
{
	struct switch_config c = external("eth0");
	struct switches_report report;

	(void)state;
	need_host();
	connect_from_outside();
	good(switches_add(s, &c, &f));
	netns_add_address("eth0", ALSO, 24, 600); /* by a service that renews a lease */
	good(switches_reconcile(s, &c, 1, NULL, 0, &report, &f));
	assert_moved("eth0", "oya-lan");
	assert_connection_works();
}

static void reconciliation_loses_no_frame_and_touches_nothing_that_is_right(void **state)
{
	struct switch_config c[2] = {{.name = "one", .kind = SWITCH_PRIVATE}, external("eth0")};
	struct port_config p[3] = {{.id = "a", .switch_name = "one", .spoof_guard = true},
				   {.id = "b", .switch_name = "one", .receive_kbit = 1000000},
				   {.id = "c", .switch_name = "lan", .send_kbit = 1000000}};
	struct switches_report report;
	unsigned bridge, tap;
	struct netns_vm a, b;

	(void)state;
	need_host();
	memcpy(p[0].mac, (uint8_t[6]){0x00, 0x15, 0x5d, 0, 0, 'a'}, 6);
	good(switches_reconcile(s, c, 2, p, 3, &report, &f));
	assert_int_equal(report.made, 5);
	assert_int_equal(report.failed, 0);
	bridge = netns_index("oya-one");
	tap = netns_index("oyata");
	a = netns_vm("oyata", 'a');
	b = netns_vm("oyatb", 'b');
	for (unsigned i = 0; i < 20; i++) {
		netns_send(&a, 0, (uint8_t)i);
		netns_send(&a, 0, (uint8_t)(i + 100));
		switches_free(s);
		s = open_switches();
		good(switches_reconcile(s, c, 2, p, 3, &report, &f));
		assert_int_equal(report.made + report.removed + report.failed, 0);
		assert_int_equal(netns_receive(&b, ARRIVES_MS, NULL), i);
		assert_int_equal(netns_receive(&b, ARRIVES_MS, NULL), i + 100);
	}
	assert_int_equal(netns_index("oya-one"), bridge);
	assert_int_equal(netns_index("oyata"), tap);
	assert_true(netns_has_address("oya-lan", HERE));
	netns_vm_done(&a);
	netns_vm_done(&b);
}

static void leftovers_go_and_the_rest_stays(void **state)
{
	struct switch_config c[2] = {{.name = "one", .kind = SWITCH_PRIVATE},
				     {.name = "two", .kind = SWITCH_PRIVATE}};
	struct port_config p[2] = {{.id = "a", .switch_name = "one"},
				   {.id = "b", .switch_name = "two"}};
	struct switches_report report;

	(void)state;
	need_host();
	good(switches_reconcile(s, c, 2, p, 2, &report, &f));
	switches_free(s);
	s = open_switches();
	good(switches_reconcile(s, c, 1, p, 1, &report, &f));
	assert_int_equal(report.removed, 2);
	assert_int_not_equal(netns_index("oya-one"), 0);
	assert_int_not_equal(netns_index("oyata"), 0);
	assert_int_equal(netns_index("oya-two"), 0);
	assert_int_equal(netns_index("oyatb"), 0);
	assert_int_not_equal(netns_index("eth0"), 0);
	/* What is not there any more is made again. */
	good(port_take_down(s, "a", &f));
	good(switch_take_down(s, "oya-one", &f));
	good(switches_reconcile(s, c, 1, p, 1, &report, &f));
	assert_int_equal(report.made, 2);
}

static void object_that_fails_does_not_keep_others_from_being_made(void **state)
{
	struct switch_config c[2] = {external("eth9"), {.name = "one", .kind = SWITCH_PRIVATE}};
	struct port_config p[2] = {{.id = "a", .switch_name = "lan"},
				   {.id = "b", .switch_name = "one"}};
	struct switches_report report;

	(void)state;
	need_host();
	assert_int_equal(switches_reconcile(s, c, 2, p, 2, &report, &f), -EIO);
	assert_int_equal(report.failed, 2);
	assert_int_equal(report.made, 2);
	assert_non_null(strstr(f.text, "'eth9'"));
	assert_int_equal(netns_index("oya-lan"), 0);
	assert_int_equal(netns_index("oyata"), 0);
}

static void switch_that_cannot_be_made_leaves_nothing(void **state)
{
	struct switch_config c = external("eth9"), nat = {.name = "n", .kind = SWITCH_NAT};
	struct port_config p = {.id = "a", .switch_name = "lan"};
	unsigned prefix = 0;
	uint32_t address = 0;

	(void)state;
	need_host();
	assert_int_equal(switches_add(s, &c, &f), -ENODEV);
	c = external("eth0");
	c.mtu = 9000;
	assert_int_equal(switches_add(s, &c, &f), -EINVAL);
	c.mtu = 0;
	c.host = false;
	assert_int_equal(switches_add(s, &c, &f), -EBUSY);
	c = external("lo"); /* the kernel makes it no port */
	assert_true(switches_add(s, &c, &f) < 0);
	assert_int_equal(netns_index("oya-lan"), 0);
	assert_true(netns_has_address("eth0", HERE));
	assert_true(netns_has_address("lo", 0x7f000001));
	assert_int_equal(switches_add_port(s, &p, &f), -ENOENT);
	/* A network that the host has a route to, and one that it has none to. */
	nat.address = BEHIND | 1;
	nat.prefix = 24;
	assert_int_equal(switches_add(s, &nat, &f), -EADDRINUSE);
	assert_int_equal(netns_index("oya-n"), 0);
	netns_route(0x0a760000, 24, GATEWAY, "eth0");
	good(switches_pick_network(s, &address, &prefix, &f));
	assert_int_equal(address, 0x0a760101);
	assert_int_equal(prefix, 24);
	/* The service cannot be started. */
	nat.address = address;
	nat.dhcp = true;
	nat.dhcp_first = nat.dhcp_last = address + 1;
	nat.lease_s = 600;
	free((char *)(uintptr_t)s->options.dnsmasq);
	s->options.dnsmasq = strdup("/bin/false");
	assert_int_equal(switches_add(s, &nat, &f), -EIO);
	free((char *)(uintptr_t)s->options.dnsmasq);
	s->options.dnsmasq = strdup("/nowhere/dnsmasq");
	assert_int_equal(switches_add(s, &nat, &f), -ENOENT);
	assert_non_null(strstr(f.text, "dnsmasq-base"));
	assert_int_equal(netns_index("oya-n"), 0);
	assert_int_equal(s->item_count + s->port_count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		T(take_over_keeps_a_connection_and_gives_everything_back),
		T(trial_fails_when_the_gateway_is_silent_or_nobody_confirms),
		T(vm_on_an_external_switch_reaches_outside_and_the_host),
		T(vlan_of_a_port_is_a_tag_on_the_nic),
		T(take_over_that_was_not_kept_is_taken_back_by_the_next_daemon),
		T(address_that_comes_back_on_the_nic_moves_at_the_next_reconciliation),
		T(reconciliation_loses_no_frame_and_touches_nothing_that_is_right),
		T(leftovers_go_and_the_rest_stays),
		T(object_that_fails_does_not_keep_others_from_being_made),
		T(switch_that_cannot_be_made_leaves_nothing),
#undef T
	};
	int failed;

	cmocka_set_message_output(CM_OUTPUT_TAP);
	alarm(100); /* whatever hangs */
	if (!mkdtemp(dir))
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	netns_remove_dir(dir);
	return failed;
}
