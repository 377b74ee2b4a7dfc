/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/lib/netns.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/veth.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "host/rtnl.h"
#include "host/switch_priv.h"

#define ARP_AGAIN_MS 50 /* a host whose link has just come up may not answer the first time */

static void must(bool good, const char *what)
{
	if (good)
		return;
	printf("# %s: %s\n", what, strerror(errno));
	fflush(stdout);
	abort();
}

/* A socket of the namespace that one is in. */
static struct rtnl open_rtnl(void)
{
	struct rtnl n;

	must(rtnl_open(&n) == 0, "netlink");
	return n;
}

static void carry_out(struct rtnl_message *m, const char *what)
{
	struct rtnl n = open_rtnl();
	int r = rtnl_call(&n, m);

	if (r < 0)
		errno = -r;
	must(r == 0, what);
	rtnl_close(&n);
}

static struct link get(const char *ifname)
{
	struct rtnl n = open_rtnl();
	struct link l;

	must(link_get(&n, ifname, &l) == 0, ifname);
	rtnl_close(&n);
	return l;
}

int netns_new(void)
{
	int ns;

	if (unshare(CLONE_NEWNET) < 0)
		return -1;
	ns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	must(ns >= 0, "/proc/self/ns/net");
	netns_up("lo");
	return ns;
}

void netns_enter(int ns)
{
	must(setns(ns, CLONE_NEWNET) == 0, "setns");
}

void netns_pair(const char *here, int ns, const char *there)
{
	struct ifinfomsg info = {0};
	int own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	struct rtnl_message m;
	size_t link, data, peer;

	must(own >= 0, "/proc/self/ns/net");
	rtnl_begin(&m, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &info, sizeof(info));
	rtnl_put_text(&m, IFLA_IFNAME, here);
	link = rtnl_nest(&m, IFLA_LINKINFO);
	rtnl_put_text(&m, IFLA_INFO_KIND, "veth");
	data = rtnl_nest(&m, IFLA_INFO_DATA);
	/* The other end's header is what an attribute of that size holds; its attributes follow. */
	peer = rtnl_nest(&m, VETH_INFO_PEER);
	rtnl_put_header(&m, &info, sizeof(info));
	rtnl_put_text(&m, IFLA_IFNAME, there);
	rtnl_put_u32(&m, IFLA_NET_NS_FD, (uint32_t)ns);
	rtnl_nest_end(&m, peer);
	rtnl_nest_end(&m, data);
	rtnl_nest_end(&m, link);
	carry_out(&m, "a pair of NICs");
	netns_up(here);
	netns_enter(ns);
	netns_up(there);
	netns_enter(own);
	close(own);
}

void netns_address(const char *ifname, uint32_t address, unsigned prefix)
{
	struct rtnl n = open_rtnl();

	must(link_set_address(&n, get(ifname).index, address, prefix) == 0, "an address");
	rtnl_close(&n);
}

void netns_route(uint32_t network, unsigned prefix, uint32_t gateway, const char *ifname)
{
	struct rtmsg head = {
		.rtm_family = AF_INET,
		.rtm_dst_len = (uint8_t)prefix,
		.rtm_table = RT_TABLE_MAIN,
		.rtm_protocol = RTPROT_STATIC,
		.rtm_type = RTN_UNICAST,
	};
	uint32_t dst = htonl(network), via = htonl(gateway);
	struct rtnl_message m;

	rtnl_begin(&m, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_APPEND, &head, sizeof(head));
	if (prefix)
		rtnl_put(&m, RTA_DST, &dst, sizeof(dst));
	rtnl_put(&m, RTA_GATEWAY, &via, sizeof(via));
	rtnl_put_u32(&m, RTA_OIF, (uint32_t)get(ifname).index);
	carry_out(&m, "a route");
}

void netns_gateway(const char *ifname, uint32_t gateway)
{
	netns_route(0, 0, gateway, ifname);
}

static void set_flags(const char *ifname, unsigned flags)
{
	struct ifinfomsg info = {
		.ifi_index = get(ifname).index, .ifi_flags = flags, .ifi_change = IFF_UP};
	struct rtnl_message m;

	rtnl_begin(&m, RTM_NEWLINK, 0, &info, sizeof(info));
	carry_out(&m, "flags of an interface");
}

void netns_up(const char *ifname)
{
	set_flags(ifname, IFF_UP);
}

void netns_down(const char *ifname)
{
	set_flags(ifname, 0);
}

unsigned netns_index(const char *ifname)
{
	return if_nametoindex(ifname);
}

void netns_add_address(const char *ifname, uint32_t address, unsigned prefix, uint32_t lease_s)
{
	struct ifaddrmsg head = {
		.ifa_family = AF_INET,
		.ifa_prefixlen = (uint8_t)prefix,
		.ifa_index = netns_index(ifname),
	};
	struct ifa_cacheinfo times = {.ifa_valid = lease_s, .ifa_prefered = lease_s};
	uint32_t wire = htonl(address);
	struct rtnl_message m;

	rtnl_begin(&m, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, &head, sizeof(head));
	rtnl_put(&m, IFA_LOCAL, &wire, sizeof(wire));
	rtnl_put(&m, IFA_ADDRESS, &wire, sizeof(wire));
	rtnl_put(&m, IFA_CACHEINFO, &times, sizeof(times));
	carry_out(&m, "an address");
}

static const uint8_t address6[16] = {0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2};

void netns_add_address6(const char *ifname)
{
	struct ifaddrmsg head = {
		.ifa_family = AF_INET6, .ifa_prefixlen = 64, .ifa_index = netns_index(ifname)};
	struct rtnl_message m;

	rtnl_begin(&m, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, &head, sizeof(head));
	rtnl_put(&m, IFA_LOCAL, address6, sizeof(address6));
	carry_out(&m, "an address of IPv6");
}

/* Whether one of the addresses or routes of an answer has the attribute, and is the interface's. */
static bool has_address(int family, const char *ifname, uint16_t type, const void *value,
			size_t len)
{
	struct ifaddrmsg head = {.ifa_family = (uint8_t)family, .ifa_index = netns_index(ifname)};
	struct rtnl n = open_rtnl();
	const struct nlmsghdr *h = NULL;
	struct rtnl_answer answer;
	struct rtnl_message m;
	bool found = false;

	if (!head.ifa_index) {
		rtnl_close(&n);
		return false;
	}
	rtnl_begin(&m, RTM_GETADDR, NLM_F_DUMP, &head, sizeof(head));
	must(rtnl_ask(&n, &m, &answer) == 0, "addresses");
	while ((h = rtnl_next(&answer, h))) {
		const struct rtattr *a = rtnl_find(h, sizeof(head), type, len);

		found |= a && memcmp(RTA_DATA(a), value, len) == 0;
	}
	rtnl_answer_done(&answer);
	rtnl_close(&n);
	return found;
}

bool netns_has_address(const char *ifname, uint32_t address)
{
	uint32_t wire = htonl(address);

	return has_address(AF_INET, ifname, IFA_LOCAL, &wire, sizeof(wire));
}

bool netns_has_address6(const char *ifname)
{
	return has_address(AF_INET6, ifname, IFA_ADDRESS, address6, sizeof(address6));
}

bool netns_has_route(uint32_t network, unsigned prefix, const char *ifname)
{
	struct rtmsg head = {.rtm_family = AF_INET};
	struct rtnl n = open_rtnl();
	const struct nlmsghdr *h = NULL;
	struct rtnl_answer answer;
	struct rtnl_message m;
	bool found = false;

	rtnl_begin(&m, RTM_GETROUTE, NLM_F_DUMP, &head, sizeof(head));
	must(rtnl_ask(&n, &m, &answer) == 0, "routes");
	while ((h = rtnl_next(&answer, h))) {
		const struct rtmsg *route = NLMSG_DATA(h);
		const struct rtattr *dst = rtnl_find(h, sizeof(head), RTA_DST, 4);
		const struct rtattr *oif = rtnl_find(h, sizeof(head), RTA_OIF, 4);

		found |= route->rtm_dst_len == prefix && oif &&
			 rtnl_u32(oif) == netns_index(ifname) &&
			 (dst ? ntohl(rtnl_u32(dst)) : 0) == network;
	}
	rtnl_answer_done(&answer);
	rtnl_close(&n);
	return found;
}

/* The state of a bridge's port; -1: it is none. */
static int port_state(const char *ifname)
{
	struct ifinfomsg info = {.ifi_index = (int)netns_index(ifname)};
	struct rtnl n = open_rtnl();
	const struct rtattr *a;
	const struct nlmsghdr *h;
	struct rtnl_answer answer;
	struct rtnl_message m;
	int state = -1;

	rtnl_begin(&m, RTM_GETLINK, 0, &info, sizeof(info));
	must(rtnl_ask(&n, &m, &answer) == 0, ifname);
	h = rtnl_next(&answer, NULL);
	a = h ? rtnl_find(h, sizeof(info), IFLA_LINKINFO, 0) : NULL;
	a = rtnl_find_within(a, IFLA_INFO_SLAVE_DATA, 0);
	a = rtnl_find_within(a, IFLA_BRPORT_STATE, 1);
	if (a)
		state = *(const uint8_t *)RTA_DATA(a);
	rtnl_answer_done(&answer);
	rtnl_close(&n);
	return state;
}

void netns_wait_port(const char *ifname)
{
	struct timespec pause = {.tv_nsec = 5000000};

	for (int i = 0; i < 1000; i++) {
		int state = port_state(ifname);

		if (state == BR_STATE_FORWARDING || state < 0)
			return;
		nanosleep(&pause, NULL);
	}
	must(false, "a port that forwards");
}

struct netns_vm netns_vm(const char *tap, uint8_t number)
{
	struct netns_vm vm = {.mac = {0x00, 0x15, 0x5d, 0, 0, number}};
	struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};

	vm.fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	must(vm.fd >= 0, "/dev/net/tun");
	snprintf(request.ifr_name, IFNAMSIZ, "%s", tap);
	must(netns_index(tap) != 0, tap);
	must(ioctl(vm.fd, TUNSETIFF, &request) == 0, tap);
	netns_wait_port(tap);
	return vm;
}

void netns_vm_done(struct netns_vm *vm)
{
	close(vm->fd);
}

void netns_send_frame(const struct netns_vm *vm, const uint8_t *frame, size_t len)
{
	must(write(vm->fd, frame, len) == (ssize_t)len, "a frame");
}

static void put16(uint8_t *at, unsigned value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static void put32(uint8_t *at, uint32_t value)
{
	put16(at, value >> 16);
	put16(at + 2, value & 0xffff);
}

static const uint8_t to_all[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

void netns_send_from(const struct netns_vm *vm, const uint8_t to[6], const uint8_t from[6],
		     uint8_t value)
{
	uint8_t frame[60] = {0};

	memcpy(frame, to, 6);
	memcpy(frame + 6, from, 6);
	put16(frame + 12, NETNS_MARK);
	frame[14] = value;
	netns_send_frame(vm, frame, sizeof(frame));
}

void netns_send(const struct netns_vm *vm, uint16_t vlan, uint8_t value)
{
	uint8_t frame[64] = {0};

	if (!vlan) {
		netns_send_from(vm, to_all, vm->mac, value);
		return;
	}
	memcpy(frame, to_all, 6);
	memcpy(frame + 6, vm->mac, 6);
	put16(frame + 12, 0x8100);
	put16(frame + 14, vlan);
	put16(frame + 16, NETNS_MARK);
	frame[18] = value;
	netns_send_frame(vm, frame, sizeof(frame));
}

uint64_t netns_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

size_t netns_receive_frame(const struct netns_vm *vm, int wait_ms, uint8_t frame[2048],
			   bool (*is)(const uint8_t *frame, size_t len))
{
	uint64_t end = netns_now_ms() + (uint64_t)wait_ms;

	for (;;) {
		struct pollfd p = {.fd = vm->fd, .events = POLLIN};
		uint64_t now = netns_now_ms();
		ssize_t len = read(vm->fd, frame, 2048);

		if (len > 14 && is(frame, (size_t)len))
			return (size_t)len;
		if (len > 0)
			continue;
		if (now >= end)
			return 0;
		(void)poll(&p, 1, (int)(end - now));
	}
}

static bool is_marked(const uint8_t *f, size_t len)
{
	size_t at = f[12] == 0x81 && f[13] == 0 ? 16 : 12;

	return len > at + 2 && f[at] == NETNS_MARK >> 8 && f[at + 1] == (NETNS_MARK & 0xff);
}

int netns_receive(const struct netns_vm *vm, int wait_ms, uint16_t *ret_vlan)
{
	uint8_t f[2048];
	bool tagged;

	if (!netns_receive_frame(vm, wait_ms, f, is_marked))
		return -1;
	tagged = f[12] == 0x81;
	if (ret_vlan)
		*ret_vlan = (uint16_t)(tagged ? (f[14] & 0xf) << 8 | f[15] : 0);
	return tagged ? f[18] : f[14];
}

static uint16_t checksum(const uint8_t *at, size_t len)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < len; i += 2)
		sum += (uint32_t)(at[i] << 8 | at[i + 1]);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

size_t netns_udp(uint8_t frame[2048], const uint8_t to[6], const uint8_t from[6], uint32_t src,
		 uint32_t dst, uint16_t sport, uint16_t dport, const void *data, size_t len)
{
	uint8_t *ip = frame + 14, *udp = ip + 20;

	memset(frame, 0, 60);
	memcpy(frame, to, 6);
	memcpy(frame + 6, from, 6);
	put16(frame + 12, 0x0800);
	ip[0] = 0x45;
	put16(ip + 2, (unsigned)(28 + len));
	ip[8] = 64;
	ip[9] = IPPROTO_UDP;
	put32(ip + 12, src);
	put32(ip + 16, dst);
	put16(ip + 10, checksum(ip, 20));
	put16(udp, sport);
	put16(udp + 2, dport);
	put16(udp + 4, (unsigned)(8 + len)); /* no checksum: 0 */
	memcpy(udp + 8, data, len);
	return 42 + len < 60 ? 60 : 42 + len;
}

static bool is_arp_answer(const uint8_t *f, size_t len)
{
	return len >= 42 && f[12] == 0x08 && f[13] == 0x06 && f[21] == 2;
}

bool netns_arp(const struct netns_vm *vm, uint32_t own, uint32_t asked, int wait_ms,
	       uint8_t ret_mac[6])
{
	uint8_t f[60] = {0};

	memcpy(f, to_all, 6);
	memcpy(f + 6, vm->mac, 6);
	put16(f + 12, 0x0806);
	put16(f + 14, 1);
	put16(f + 16, 0x0800);
	f[18] = 6;
	f[19] = 4;
	f[21] = 1;
	memcpy(f + 22, vm->mac, 6);
	put32(f + 28, own);
	put32(f + 38, asked);
	for (int waited = 0; waited < wait_ms; waited += ARP_AGAIN_MS) {
		uint8_t answer[2048];

		netns_send_frame(vm, f, sizeof(f));
		if (!netns_receive_frame(vm, ARP_AGAIN_MS, answer, is_arp_answer))
			continue;
		memcpy(ret_mac, answer + 22, 6);
		return true;
	}
	return false;
}

void netns_remove_dir(const char *path)
{
	DIR *files = opendir(path);
	struct dirent *entry;

	while (files && (entry = readdir(files)))
		(void)unlinkat(dirfd(files), entry->d_name, 0);
	if (files)
		closedir(files);
	(void)rmdir(path);
}
