/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Switches and their ports in the kernel, in network namespaces of the test's own: frames between
 * VMs, which are open taps here; guards, VLANs, limits; NAT to a namespace outside.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#undef fail /* lib/fail.h has one of its own */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/switch.h"
#include "host/switch_priv.h"
#include "tests/lib/netns.h"

#define ARRIVES_MS 2000
#define SILENT_MS 80

static char dir[] = "/tmp/oya-switch-test-XXXXXX";
static struct switches *s;
static struct failure f;

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

/* A host of its own for each test. */
static int set_up(void **state)
{
	int ns = netns_new();
	struct rules none = {0};

	(void)state;
	if (ns < 0 || access("/dev/net/tun", R_OK | W_OK) != 0) {
		print_message("# skipped: this needs root and /dev/net/tun\n");
		return 0;
	}
	close(ns);
	if (rules_apply(&none, &f) == 0)
		s = open_switches();
	else
		print_message("# %s\n", f.text);
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
	return 0;
}

static void need_host(void)
{
	if (!s) {
		print_message("# skipped: no network namespace with nftables may be made here\n");
		skip();
	}
}

static struct switch_config a_switch(const char *name, enum switch_kind kind)
{
	struct switch_config c = {.kind = kind};

	snprintf(c.name, sizeof(c.name), "%s", name);
	return c;
}

static void add_switch(const char *name, enum switch_kind kind)
{
	struct switch_config c = a_switch(name, kind);

	good(switches_add(s, &c, &f));
}

static struct port_config a_port(const char *id, const char *on)
{
	struct port_config c = {.mac = {0x00, 0x15, 0x5d, 0, 0, (uint8_t)id[0]}};

	snprintf(c.id, sizeof(c.id), "%s", id);
	snprintf(c.switch_name, sizeof(c.switch_name), "%s", on);
	return c;
}

/* Makes the port and opens it. */
static struct netns_vm add_vm(const struct port_config *c)
{
	char tap[IFNAMSIZ];

	good(switches_add_port(s, c, &f));
	port_ifname(c->id, tap);
	return netns_vm(tap, (uint8_t)c->id[0]);
}

static struct netns_vm plain_vm(const char *id, const char *on)
{
	struct port_config c = a_port(id, on);

	return add_vm(&c);
}

/* What is sent by one arrives at the other, and nothing of what was sent before it. */
static void assert_passes(const struct netns_vm *from, const struct netns_vm *to, uint8_t value)
{
	netns_send(from, 0, value);
	assert_int_equal(netns_receive(to, ARRIVES_MS, NULL), value);
}

static void frames_pass_between_ports_of_a_switch_and_no_further(void **state)
{
	struct netns_vm a, b, c;

	(void)state;
	need_host();
	add_switch("one", SWITCH_PRIVATE);
	add_switch("two", SWITCH_PRIVATE);
	a = plain_vm("a", "one");
	b = plain_vm("b", "one");
	c = plain_vm("c", "two");
	assert_passes(&a, &b, 1);
	assert_passes(&b, &a, 2);
	assert_int_equal(netns_receive(&c, SILENT_MS, NULL), -1);
	netns_vm_done(&a);
	netns_vm_done(&b);
	netns_vm_done(&c);
}

static void host_is_reached_on_an_internal_switch_and_not_on_a_private_one(void **state)
{
	struct switch_config c = a_switch("in", SWITCH_INTERNAL);
	struct netns_vm inside, alone;
	uint8_t mac[6];

	(void)state;
	need_host();
	c.address = 0x0a4d0001;
	c.prefix = 24;
	good(switches_add(s, &c, &f));
	add_switch("alone", SWITCH_PRIVATE);
	inside = plain_vm("a", "in");
	alone = plain_vm("b", "alone");
	assert_true(netns_arp(&inside, 0x0a4d0002, 0x0a4d0001, ARRIVES_MS, mac));
	assert_false(netns_arp(&alone, 0x0a4d0002, 0x0a4d0001, SILENT_MS, mac));
	netns_vm_done(&inside);
	netns_vm_done(&alone);
}

static void port_moves_is_unplugged_and_removed_while_it_is_open(void **state)
{
	struct port_config c = a_port("a", "one");
	struct netns_vm a, b;

	(void)state;
	need_host();
	add_switch("one", SWITCH_PRIVATE);
	add_switch("two", SWITCH_PRIVATE);
	a = add_vm(&c);
	b = plain_vm("b", "two");
	netns_send(&a, 0, 1);
	assert_int_equal(netns_receive(&b, SILENT_MS, NULL), -1);
	snprintf(c.switch_name, sizeof(c.switch_name), "two");
	good(switches_change_port(s, &c, &f));
	assert_passes(&a, &b, 2);
	assert_int_equal(switches_remove(s, "two", &f), -EBUSY);
	c.switch_name[0] = '\0';
	good(switches_change_port(s, &c, &f));
	netns_send(&b, 0, 3);
	assert_int_equal(netns_receive(&a, SILENT_MS, NULL), -1);
	good(switches_remove_port(s, "a", &f));
	assert_int_equal(netns_index("oyata"), 0);
	assert_int_equal(switches_remove_port(s, "a", &f), -ENOENT);
	netns_vm_done(&a);
	netns_vm_done(&b);
}

static void need_vlans(void)
{
	if (!switches_have_vlans(s)) {
		print_message("# skipped: this kernel's bridges have no VLAN filtering\n");
		skip();
	}
}

static void vlans_keep_ports_apart_and_trunks_carry_what_is_allowed(void **state)
{
	struct port_config c = a_port("a", "one");
	struct netns_vm a, b, t, other;
	uint16_t vlan = 0;

	(void)state;
	need_host();
	add_switch("one", SWITCH_PRIVATE);
	need_vlans();
	c.vlan_mode = PORT_VLAN_ACCESS;
	c.vlan = 10;
	a = add_vm(&c);
	c.id[0] = 'b';
	b = add_vm(&c);
	c.id[0] = 'o';
	c.vlan = 11;
	other = add_vm(&c);
	c = a_port("t", "one");
	c.vlan_mode = PORT_VLAN_TRUNK;
	c.trunk[0] = UINT64_C(1) << 10;
	t = add_vm(&c);
	assert_passes(&a, &b, 1);
	assert_int_equal(netns_receive(&t, ARRIVES_MS, &vlan), 1);
	assert_int_equal(vlan, 10);
	netns_send(&other, 0, 2);
	assert_int_equal(netns_receive(&a, SILENT_MS, NULL), -1);
	assert_int_equal(netns_receive(&t, SILENT_MS, NULL), -1);
	netns_send(&t, 11, 3);
	netns_send(&t, 0, 4);
	netns_send(&t, 10, 5);
	assert_int_equal(netns_receive(&a, ARRIVES_MS, &vlan), 5);
	assert_int_equal(vlan, 0);
	/* Others while it runs: 11 comes, 10 goes, what has no tag is of 11. */
	c.trunk[0] = UINT64_C(1) << 12;
	c.vlan = 11;
	good(switches_change_port(s, &c, &f));
	netns_send(&t, 10, 6);
	netns_send(&t, 0, 7);
	assert_int_equal(netns_receive(&other, ARRIVES_MS, NULL), 7);
	assert_int_equal(netns_receive(&b, ARRIVES_MS, NULL), 5);
	assert_int_equal(netns_receive(&b, SILENT_MS, NULL), -1);
	netns_vm_done(&a);
	netns_vm_done(&b);
	netns_vm_done(&t);
	netns_vm_done(&other);
}

static void vlan_is_refused_where_the_kernel_has_none(void **state)
{
	struct port_config c = a_port("a", "one");

	(void)state;
	need_host();
	add_switch("one", SWITCH_PRIVATE);
	if (switches_have_vlans(s))
		return;
	c.vlan_mode = PORT_VLAN_ACCESS;
	c.vlan = 10;
	assert_int_equal(switches_add_port(s, &c, &f), -EOPNOTSUPP);
	assert_non_null(strstr(f.text, "VLAN"));
	assert_int_equal(netns_index("oyata"), 0);
	assert_int_equal(switches_remove_port(s, "a", &f), -ENOENT);
}

static void spoof_guard_drops_what_has_another_sender(void **state)
{
	static const uint8_t all[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	static const uint8_t stp[6] = {0x01, 0x80, 0xc2, 0, 0, 0};
	static const uint8_t lldp[6] = {0x01, 0x80, 0xc2, 0, 0, 0x0e};
	struct port_config c = a_port("a", "one");
	struct netns_vm a, b;

	(void)state;
	need_host();
	add_switch("one", SWITCH_PRIVATE);
	c.spoof_guard = true;
	a = add_vm(&c);
	b = plain_vm("b", "one");
	netns_send_from(&a, all, b.mac, 1);
	netns_send_from(&a, stp, a.mac, 2);
	/* That one goes another way through the bridge: b's place must not be learnt by it. */
	netns_send_from(&a, lldp, b.mac, 3);
	assert_passes(&a, &b, 4);
	netns_send_from(&a, b.mac, a.mac, 5);
	assert_int_equal(netns_receive(&b, ARRIVES_MS, NULL), 5);
	/* Without it everything goes, but for what is between switches. */
	c.spoof_guard = false;
	good(switches_change_port(s, &c, &f));
	netns_send_from(&a, stp, a.mac, 6);
	netns_send_from(&a, all, (const uint8_t[6]){2, 2, 2, 2, 2, 2}, 7);
	assert_int_equal(netns_receive(&b, ARRIVES_MS, NULL), 7);
	netns_vm_done(&a);
	netns_vm_done(&b);
}

/* What only a router or a DHCP server sends: UDP from port 67, and a router's advertisement. */
static void send_as_server(const struct netns_vm *vm, bool tagged)
{
	static const uint8_t all[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	uint8_t frame[2048], icmp[70] = {0x33, 0x33, 0, 0, 0, 1};
	size_t len = netns_udp(frame, all, vm->mac, 0x0a000001, 0xffffffff, 67, 68, "offer", 5);

	memcpy(icmp + 6, vm->mac, 6);
	icmp[12] = 0x86;
	icmp[13] = 0xdd;
	icmp[14] = 0x60;
	icmp[19] = 16;
	icmp[20] = IPPROTO_ICMPV6;
	icmp[21] = 255;
	icmp[22] = 0xfe;
	icmp[23] = 0x80;
	icmp[38] = 0xff;
	icmp[39] = 0x02;
	icmp[53] = 1;
	icmp[54] = 134;
	netns_send_frame(vm, icmp, sizeof(icmp));
	if (!tagged) {
		netns_send_frame(vm, frame, len);
		return;
	}
	memmove(frame + 16, frame + 12, len - 12);
	memcpy(frame + 12, (const uint8_t[4]){0x81, 0, 0, 7}, 4);
	netns_send_frame(vm, frame, len + 4);
}

static bool is_of_server_or_marked(const uint8_t *frame, size_t len)
{
	size_t at = frame[12] == 0x81 ? 16 : 12;

	return (frame[at] == 0x08 && frame[at + 1] == 0 && len >= 47) ||
	       (frame[at] == 0x86 && frame[at + 1] == 0xdd && frame[54] == 134) ||
	       frame[at] == NETNS_MARK >> 8;
}

static void dhcp_guard_drops_what_servers_and_routers_send(void **state)
{
	struct port_config c = a_port("a", "one");
	struct netns_vm a, b;
	uint8_t frame[2048];

	(void)state;
	need_host();
	add_switch("one", SWITCH_PRIVATE);
	c.dhcp_guard = true;
	a = add_vm(&c);
	b = plain_vm("b", "one");
	send_as_server(&a, false);
	send_as_server(&a, true);
	netns_send(&a, 0, 1);
	assert_true(netns_receive_frame(&b, ARRIVES_MS, frame, is_of_server_or_marked) > 0);
	assert_int_equal(frame[12], NETNS_MARK >> 8);
	send_as_server(&b, false);
	assert_true(netns_receive_frame(&a, ARRIVES_MS, frame, is_of_server_or_marked) > 0);
	assert_int_equal(frame[54], 134);
	assert_true(netns_receive_frame(&a, ARRIVES_MS, frame, is_of_server_or_marked) > 0);
	assert_int_equal(frame[35], 67);
	netns_vm_done(&a);
	netns_vm_done(&b);
}

static void isolated_ports_reach_all_but_each_other(void **state)
{
	struct port_config c = a_port("a", "one");
	struct netns_vm a, b, server;

	(void)state;
	need_host();
	add_switch("one", SWITCH_PRIVATE);
	c.isolated = true;
	a = add_vm(&c);
	c.id[0] = 'b';
	b = add_vm(&c);
	server = plain_vm("s", "one");
	assert_passes(&a, &server, 1);
	assert_int_equal(netns_receive(&b, SILENT_MS, NULL), -1);
	assert_passes(&server, &b, 2);
	netns_vm_done(&a);
	netns_vm_done(&b);
	netns_vm_done(&server);
}

/* Of 600 frames of 1400 bytes that are sent at once, how many arrive at once. */
static unsigned arrive_of_many(const struct netns_vm *from, const struct netns_vm *to)
{
	uint8_t frame[2048];
	unsigned count = 0;

	for (unsigned i = 0; i < 600; i++) {
		memset(frame, 0, sizeof(frame));
		memset(frame, 0xff, 6);
		memcpy(frame + 6, from->mac, 6);
		frame[12] = NETNS_MARK >> 8;
		frame[13] = NETNS_MARK & 0xff;
		netns_send_frame(from, frame, 1400);
		if (i % 100 == 99) /* the tap holds 500 */
			while (netns_receive(to, 0, NULL) >= 0)
				count++;
	}
	while (netns_receive(to, SILENT_MS, NULL) >= 0)
		count++;
	return count;
}

static void limits_hold_what_a_vm_sends_and_receives(void **state)
{
	struct port_config sends = a_port("a", "one"), receives = a_port("b", "one");
	struct netns_vm a, b;
	unsigned count;
	int r;

	(void)state;
	need_host();
	add_switch("one", SWITCH_PRIVATE);
	a = add_vm(&sends);
	b = add_vm(&receives);
	assert_int_equal(arrive_of_many(&a, &b), 600);
	sends.send_kbit = 64;
	good(switches_change_port(s, &sends, &f));
	count = arrive_of_many(&a, &b);
	print_message("# limited to send: %u of 600 at once\n", count);
	assert_in_range(count, 50, 130);
	sends.send_kbit = 0;
	good(switches_change_port(s, &sends, &f));
	receives.receive_kbit = 64;
	r = switches_change_port(s, &receives, &f);
	if (r == -EOPNOTSUPP) {
		assert_non_null(strstr(f.text, "CONFIG_NET_SCH_TBF"));
	} else {
		good(r);
		count = arrive_of_many(&a, &b);
		print_message("# limited to receive: %u of 600 at once\n", count);
		assert_in_range(count, 40, 130);
		receives.receive_kbit = 0;
		good(switches_change_port(s, &receives, &f));
	}
	assert_true(arrive_of_many(&a, &b) >= 600); /* with those that had waited */
	netns_vm_done(&a);
	netns_vm_done(&b);
}

/* A NIC eth0 of the host with a gateway in a namespace outside, in which one is then. */
static int make_outside(int *ret_host)
{
	int outside;

	*ret_host = netns_new();
	outside = netns_new();
	netns_enter(*ret_host);
	netns_pair("eth0", outside, "wan0");
	netns_address("eth0", 0xc0000202, 24);
	netns_enter(outside);
	netns_address("wan0", 0xc0000201, 24);
	netns_enter(*ret_host);
	netns_gateway("eth0", 0xc0000201);
	return outside;
}

/* A NAT switch on a host with an outside; the switches are those of this host then. */
static void nat_host(int *ret_host, int *ret_outside, bool dhcp)
{
	struct switch_config c = a_switch("nat", SWITCH_NAT);

	switches_free(s);
	*ret_outside = make_outside(ret_host);
	s = open_switches();
	c.address = 0x0a760001;
	c.prefix = 24;
	c.dhcp = dhcp;
	c.dhcp_first = 0x0a76000a;
	c.dhcp_last = 0x0a760014;
	c.lease_s = 600;
	good(switches_add(s, &c, &f));
}

static int udp_socket(uint16_t port)
{
	struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct timeval wait = {.tv_sec = ARRIVES_MS / 1000};
	int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_true(sock >= 0);
	assert_int_equal(setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)), 0);
	assert_int_equal(bind(sock, (struct sockaddr *)&any, sizeof(any)), 0);
	return sock;
}

static bool is_udp(const uint8_t *frame, size_t len)
{
	return len >= 42 && frame[12] == 0x08 && frame[13] == 0 && frame[23] == IPPROTO_UDP;
}

static void nat_reaches_outside_and_lets_in_only_what_a_vm_began(void **state)
{
	int host, outside, sock, on = 0;
	struct sockaddr_in from = {0}, to = {.sin_family = AF_INET, .sin_port = htons(7777)};
	socklen_t from_len = sizeof(from);
	uint8_t frame[2048], gateway[6], text[16];
	struct netns_vm a;
	size_t len;

	(void)state;
	need_host();
	nat_host(&host, &outside, false);
	a = plain_vm("a", "nat");
	assert_true(netns_arp(&a, 0x0a760002, 0x0a760001, ARRIVES_MS, gateway));
	netns_enter(outside);
	sock = udp_socket(7777);
	/* The outside knows no way to the VM but the host, which does not forward for others. */
	netns_route(0x0a760000, 24, 0xc0000202, "wan0");
	len = netns_udp(frame, gateway, a.mac, 0x0a760002, 0xc0000201, 7777, 7777, "there", 5);
	netns_send_frame(&a, frame, len);
	assert_int_equal(recvfrom(sock, text, sizeof(text), 0, (struct sockaddr *)&from, &from_len),
			 5);
	assert_int_equal(ntohl(from.sin_addr.s_addr), 0xc0000202);
	assert_int_equal(sendto(sock, "back", 4, 0, (struct sockaddr *)&from, from_len), 4);
	assert_true(netns_receive_frame(&a, ARRIVES_MS, frame, is_udp) > 0);
	assert_memory_equal(frame + 42, "back", 4);
	to.sin_addr.s_addr = htonl(0x0a760002);
	to.sin_port = htons(9);
	assert_int_equal(sendto(sock, "evil", 4, 0, (struct sockaddr *)&to, sizeof(to)), 4);
	/* A foreign sender does not leave either. */
	len = netns_udp(frame, gateway, a.mac, 0x0a990002, 0xc0000201, 7777, 7777, "spoof", 5);
	netns_send_frame(&a, frame, len);
	assert_int_equal(netns_receive_frame(&a, SILENT_MS, frame, is_udp), 0);
	assert_int_equal(recv(sock, text, sizeof(text), MSG_DONTWAIT), -1);
	netns_enter(host);
	assert_int_equal(setting_read("ipv4", "all", "forwarding", &on), 0);
	assert_int_equal(on, 0);
	assert_int_equal(setting_read("ipv4", "eth0", "forwarding", &on), 0);
	assert_int_equal(on, 1);
	good(switches_remove_port(s, "a", &f));
	good(switches_remove(s, "nat", &f));
	assert_int_equal(setting_read("ipv4", "eth0", "forwarding", &on), 0);
	assert_int_equal(on, 0);
	netns_vm_done(&a);
	close(sock);
	close(host);
	close(outside);
}

static bool is_offer(const uint8_t *frame, size_t len)
{
	return is_udp(frame, len) && len > 282 && frame[34] == 0 && frame[35] == 67;
}

/* Whether somebody offers an address; *ret: which. */
/* As clients do, it asks again: a service that has just begun may not listen yet. */
static bool discover(const struct netns_vm *vm, uint32_t *ret)
{
	static const uint8_t all[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	static const uint8_t end[] = {0x63, 0x82, 0x53, 0x63, 53, 1, 1, 255};
	uint8_t frame[2048], bootp[300] = {1, 1, 6, 0, 1, 2, 3, 4};
	bool offered = false;
	size_t len;

	bootp[10] = 0x80; /* answer to all */
	memcpy(bootp + 28, vm->mac, 6);
	memcpy(bootp + 236, end, sizeof(end));
	for (unsigned tries = 0; !offered && tries < 4; tries++) {
		len = netns_udp(frame, all, vm->mac, 0, 0xffffffff, 68, 67, bootp, sizeof(bootp));
		netns_send_frame(vm, frame, len);
		offered = netns_receive_frame(vm, ARRIVES_MS, frame, is_offer);
	}
	if (!offered)
		return false;
	*ret = (uint32_t)frame[58] << 24 | (uint32_t)frame[59] << 16 | (uint32_t)frame[60] << 8 |
	       frame[61];
	return true;
}

static long pid_of_service(void)
{
	char path[64], text[16] = "";
	FILE *in;

	snprintf(path, sizeof(path), "%s/oya-nat.pid", dir);
	in = fopen(path, "re");
	assert_non_null(in);
	assert_non_null(fgets(text, sizeof(text), in));
	fclose(in);
	return atol(text);
}

static void addresses_are_offered_and_the_service_is_found_again_or_restarted(void **state)
{
	struct switch_config c;
	struct switches_report report;
	struct pollfd ended = {.events = POLLIN};
	uint64_t wait_ms = 0;
	struct netns_vm a;
	int host, outside;
	uint32_t address = 0;
	long pid;

	(void)state;
	need_host();
	if (access(DNSMASQ, X_OK) != 0) {
		print_message("# skipped: %s is not there\n", DNSMASQ);
		skip();
	}
	nat_host(&host, &outside, true);
	a = plain_vm("a", "nat");
	assert_true(discover(&a, &address));
	assert_in_range(address, 0x0a76000a, 0x0a760014);
	/* The daemon comes again. */
	pid = pid_of_service();
	c = switches_find(s, "nat")->config;
	switches_free(s);
	s = open_switches();
	good(switches_reconcile(s, &c, 1, NULL, 0, &report, &f));
	assert_int_equal(pid_of_service(), pid);
	assert_int_equal(report.made, 0);
	assert_int_equal(report.removed, 1); /* the port, which nobody wants any more */
	netns_vm_done(&a);
	/* It ends too early: after a wait it comes again. */
	ended.fd = switches_dhcp_fd(s, "nat");
	assert_int_equal(kill((pid_t)pid, SIGKILL), 0);
	assert_int_equal(poll(&ended, 1, ARRIVES_MS), 1);
	good(switches_dhcp_ended(s, "nat", netns_now_ms(), &wait_ms, &f));
	assert_int_equal(wait_ms, 1000);
	assert_int_equal(switches_dhcp_fd(s, "nat"), -1);
	good(switches_dhcp_ended(s, "nat", netns_now_ms(), &wait_ms, &f));
	assert_int_equal(wait_ms, 0);
	assert_int_not_equal(pid_of_service(), pid);
	a = plain_vm("a", "nat");
	assert_true(discover(&a, &address));
	/* Another configuration of the same switch. */
	pid = pid_of_service();
	c.dhcp_first = c.dhcp_last = 0x0a760032;
	good(switches_reconcile(s, &c, 1, s->port, s->port_count, &report, &f));
	assert_int_not_equal(pid_of_service(), pid);
	good(switches_reconcile(s, NULL, 0, NULL, 0, &report, &f));
	assert_int_equal(kill((pid_t)pid, 0), -1);
	netns_vm_done(&a);
	close(host);
	close(outside);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		T(frames_pass_between_ports_of_a_switch_and_no_further),
		T(host_is_reached_on_an_internal_switch_and_not_on_a_private_one),
		T(port_moves_is_unplugged_and_removed_while_it_is_open),
		T(vlans_keep_ports_apart_and_trunks_carry_what_is_allowed),
		T(vlan_is_refused_where_the_kernel_has_none),
		T(spoof_guard_drops_what_has_another_sender),
		T(dhcp_guard_drops_what_servers_and_routers_send),
		T(isolated_ports_reach_all_but_each_other),
		T(limits_hold_what_a_vm_sends_and_receives),
		T(nat_reaches_outside_and_lets_in_only_what_a_vm_began),
		T(addresses_are_offered_and_the_service_is_found_again_or_restarted),
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
