/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Take-over of a NIC: the host's addresses and routes move from it to the bridge, and back.
 *
 * Nothing is remembered between the two ways: what the host has is on the bridge then, all of it
 * copied attribute by attribute, and moving it from there to the NIC is the same function. So a
 * daemon that died half-way can go on from what it finds.
 *
 * Invariant: each address and each route is added at the new place before it goes from the old
 * one. Connections keep their local address, and find another way to it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/util.h"
#include "host/switch_priv.h"

#define FOREVER UINT32_MAX
#define TICKS_PER_S 100u /* of the times in struct rta_cacheinfo */
#define GATEWAYS_MAX 8u

#define ADDRESS_FLAGS_KEPT                                                              \
	(IFA_F_NODAD | IFA_F_HOMEADDRESS | IFA_F_MANAGETEMPADDR | IFA_F_NOPREFIXROUTE | \
	 IFA_F_MCAUTOJOIN)

static uint32_t address_flags(const struct nlmsghdr *h)
{
	const struct ifaddrmsg *head = NLMSG_DATA(h);
	const struct rtattr *a = rtnl_find(h, sizeof(*head), IFA_FLAGS, 4);

	return a ? rtnl_u32(a) : head->ifa_flags;
}

/* Asks for the addresses of an interface, of both families. */
static int ask_addresses(struct rtnl *n, int family, int index, struct rtnl_answer *ret)
{
	struct ifaddrmsg head = {.ifa_family = (uint8_t)family, .ifa_index = (uint32_t)index};
	struct rtnl_message m;

	rtnl_begin(&m, RTM_GETADDR, NLM_F_DUMP, &head, sizeof(head));
	return rtnl_ask(n, &m, ret);
}

static bool is_address(const struct nlmsghdr *h, int index)
{
	const struct ifaddrmsg *head = NLMSG_DATA(h);

	/* Temporary ones of IPv6 are made anew from those that they come from. */
	return h->nlmsg_type == RTM_NEWADDR && h->nlmsg_len >= NLMSG_LENGTH(sizeof(*head)) &&
	       head->ifa_index == (uint32_t)index &&
	       !(head->ifa_family == AF_INET6 && (address_flags(h) & IFA_F_TEMPORARY));
}

/* The same address for another interface; `forever`: it does not end. */
static int give_address(struct rtnl *n, const struct nlmsghdr *h, int to, bool forever)
{
	struct ifaddrmsg head = *(const struct ifaddrmsg *)NLMSG_DATA(h);
	const uint8_t *attributes = (const uint8_t *)h + NLMSG_SPACE(sizeof(head));
	size_t len = h->nlmsg_len - NLMSG_SPACE(sizeof(head));
	const struct rtattr *a = NULL;
	uint32_t flags = address_flags(h) & ADDRESS_FLAGS_KEPT;
	struct rtnl_message m;

	if (head.ifa_family == AF_INET6)
		flags |= IFA_F_NODAD; /* it was ours all the time */
	head.ifa_index = (uint32_t)to;
	head.ifa_flags = (uint8_t)flags;
	rtnl_begin(&m, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, &head, sizeof(head));
	while ((a = rtnl_attribute(attributes, len, a))) {
		struct ifa_cacheinfo times;

		if (a->rta_type == IFA_LABEL || a->rta_type == IFA_FLAGS)
			continue; /* a label begins with the interface's name */
		if (a->rta_type == IFA_CACHEINFO && RTA_PAYLOAD(a) == sizeof(times)) {
			memcpy(&times, RTA_DATA(a), sizeof(times));
			if (forever)
				times.ifa_valid = times.ifa_prefered = FOREVER;
			rtnl_put(&m, IFA_CACHEINFO, &times, sizeof(times));
			continue;
		}
		rtnl_put(&m, a->rta_type, RTA_DATA(a), RTA_PAYLOAD(a));
	}
	rtnl_put_u32(&m, IFA_FLAGS, flags);
	return rtnl_call(n, &m);
}

static int give_addresses(struct rtnl *n, const struct rtnl_answer *list, int from, int to)
{
	const struct nlmsghdr *h = NULL;
	int r = 0;

	while (r == 0 && (h = rtnl_next(list, h)))
		if (is_address(h, from))
			r = give_address(n, h, to, false);
	return r;
}

static int drop_addresses(struct rtnl *n, const struct rtnl_answer *list, int from)
{
	const struct nlmsghdr *h = NULL;
	int r = 0;

	while (r == 0 && (h = rtnl_next(list, h))) {
		const struct ifaddrmsg *head = NLMSG_DATA(h);
		static const uint16_t kept[] = {IFA_LOCAL, IFA_ADDRESS};
		struct rtnl_message m;

		/* Those of the link belong to the interface. */
		if (!is_address(h, from) ||
		    (head->ifa_family == AF_INET6 && head->ifa_scope == RT_SCOPE_LINK))
			continue;
		rtnl_begin(&m, RTM_DELADDR, 0, head, sizeof(*head));
		for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
			const struct rtattr *a = rtnl_find(h, sizeof(*head), kept[i], 4);

			if (a)
				rtnl_put(&m, kept[i], RTA_DATA(a), RTA_PAYLOAD(a));
		}
		r = rtnl_call(n, &m);
		if (r == -EADDRNOTAVAIL) /* it went with the first of its network */
			r = 0;
	}
	return r;
}

static int ask_routes(struct rtnl *n, int family, int index, struct rtnl_answer *ret)
{
	struct rtmsg head = {.rtm_family = (uint8_t)family};
	struct rtnl_message m;

	rtnl_begin(&m, RTM_GETROUTE, NLM_F_DUMP, &head, sizeof(head));
	if (index)
		rtnl_put_u32(&m, RTA_OIF, (uint32_t)index);
	return rtnl_ask(n, &m, ret);
}

/* Routes that somebody set; those that come with an address come with it there too. */
static bool is_route(const struct nlmsghdr *h)
{
	const struct rtmsg *head = NLMSG_DATA(h);

	return h->nlmsg_type == RTM_NEWROUTE && h->nlmsg_len >= NLMSG_LENGTH(sizeof(*head)) &&
	       head->rtm_type == RTN_UNICAST && head->rtm_protocol != RTPROT_KERNEL &&
	       head->rtm_table != RT_TABLE_LOCAL && !(head->rtm_flags & RTM_F_CLONED);
}

/* Whether an interface is among the ways of a route; *ret_many: there are several ways. */
static bool goes_by(const struct nlmsghdr *h, int index, bool *ret_many)
{
	const struct rtattr *a =
		rtnl_find(h, sizeof(struct rtmsg), RTA_MULTIPATH, sizeof(struct rtnexthop));
	size_t len = a ? RTA_PAYLOAD(a) : 0;
	const uint8_t *at = a ? RTA_DATA(a) : NULL;

	*ret_many = a != NULL;
	if (!a) {
		a = rtnl_find(h, sizeof(struct rtmsg), RTA_OIF, 4);
		return a && (int)rtnl_u32(a) == index;
	}
	while (len >= sizeof(struct rtnexthop)) {
		struct rtnexthop hop;
		size_t step;

		memcpy(&hop, at, sizeof(hop));
		step = align_up(hop.rtnh_len, RTNH_ALIGNTO);
		if (hop.rtnh_ifindex == index)
			return true;
		if (hop.rtnh_len < sizeof(hop) || step > len)
			break;
		at += step;
		len -= step;
	}
	return false;
}

/* Ways of a route, with `from` replaced by `to`. */
static void put_ways(struct rtnl_message *m, const struct rtattr *a, int from, int to)
{
	uint8_t ways[2048];
	size_t len = RTA_PAYLOAD(a), at = 0;

	if (len > sizeof(ways)) {
		m->full = true;
		return;
	}
	memcpy(ways, RTA_DATA(a), len);
	while (len - at >= sizeof(struct rtnexthop)) {
		struct rtnexthop hop;
		size_t step;

		memcpy(&hop, ways + at, sizeof(hop));
		step = align_up(hop.rtnh_len, RTNH_ALIGNTO);
		if (hop.rtnh_ifindex == from)
			hop.rtnh_ifindex = to;
		hop.rtnh_flags &= RTNH_F_ONLINK;
		memcpy(ways + at, &hop, sizeof(hop));
		if (hop.rtnh_len < sizeof(hop) || step > len - at)
			break;
		at += step;
	}
	rtnl_put(m, RTA_MULTIPATH, ways, len);
}

/* One that came by an advertisement goes on to end when it would have. */
static void put_expiry(struct rtnl_message *m, const struct rtattr *a)
{
	struct rta_cacheinfo times;
	int32_t left;

	if (RTA_PAYLOAD(a) < sizeof(times))
		return;
	memcpy(&times, RTA_DATA(a), sizeof(times));
	left = (int32_t)times.rta_expires;
	if (left > 0)
		rtnl_put_u32(m, RTA_EXPIRES, (uint32_t)left / TICKS_PER_S + 1);
}

/* A message of type RTM_NEWROUTE or RTM_DELROUTE for the route, by `to` in place of `from`. */
static void begin_route(struct rtnl_message *m, const struct nlmsghdr *h, uint16_t type,
			uint16_t flags, int from, int to)
{
	struct rtmsg head = *(const struct rtmsg *)NLMSG_DATA(h);
	const uint8_t *attributes = (const uint8_t *)h + NLMSG_SPACE(sizeof(head));
	size_t len = h->nlmsg_len - NLMSG_SPACE(sizeof(head));
	const struct rtattr *a = NULL;

	head.rtm_flags &= RTNH_F_ONLINK;
	rtnl_begin(m, type, flags, &head, sizeof(head));
	while ((a = rtnl_attribute(attributes, len, a)))
		switch (a->rta_type & NLA_TYPE_MASK) {
		case RTA_OIF:
			rtnl_put_u32(m, RTA_OIF,
				     (int)rtnl_u32(a) == from ? (uint32_t)to : rtnl_u32(a));
			break;
		case RTA_MULTIPATH:
			put_ways(m, a, from, to);
			break;
		case RTA_CACHEINFO:
			put_expiry(m, a);
			break;
		case RTA_NH_ID: /* the way itself is told too */
			break;
		default:
			rtnl_put(m, a->rta_type, RTA_DATA(a), RTA_PAYLOAD(a));
			break;
		}
}

/* A route of one way is added behind the old one, which goes then: where another NIC has an equal
 * route, replacing would hit that. One of several ways is replaced as a whole. */
static int move_routes(struct rtnl *n, const struct rtnl_answer *list, int from, int to)
{
	const struct nlmsghdr *h = NULL;
	int r = 0;

	while (r == 0 && (h = rtnl_next(list, h))) {
		struct rtnl_message m;
		bool many;

		if (!is_route(h) || !goes_by(h, from, &many))
			continue;
		begin_route(&m, h, RTM_NEWROUTE,
			    (uint16_t)(NLM_F_CREATE | (many ? NLM_F_REPLACE : NLM_F_APPEND)), from,
			    to);
		r = rtnl_call(n, &m);
		if (r == -EEXIST)
			r = 0;
		if (r < 0 || many)
			continue;
		begin_route(&m, h, RTM_DELROUTE, 0, from, from);
		r = rtnl_call(n, &m);
		if (r == -ESRCH)
			r = 0;
	}
	return r;
}

static int move_family(struct rtnl *n, int family, int from, int to)
{
	struct rtnl_answer addresses = {0}, routes = {0};
	int r = ask_addresses(n, family, from, &addresses);

	if (r == 0)
		r = ask_routes(n, family, from, &routes);
	if (r == 0)
		r = give_addresses(n, &addresses, from, to);
	if (r == 0)
		r = move_routes(n, &routes, from, to);
	if (r == 0)
		r = drop_addresses(n, &addresses, from);
	rtnl_answer_done(&addresses);
	rtnl_answer_done(&routes);
	return r;
}

int takeover_move(struct rtnl *n, int from, int to)
{
	int r = move_family(n, AF_INET, from, to);
	int r6 = move_family(n, AF_INET6, from, to);

	/* A kernel, or an interface, without IPv6 has nothing to move. */
	if (r6 == -EAFNOSUPPORT || r6 == -EOPNOTSUPP || r6 == -ENODEV)
		r6 = 0;
	return r < 0 ? r : r6;
}

int takeover_has_addresses(struct rtnl *n, int index, bool *ret)
{
	static const int families[] = {AF_INET, AF_INET6};

	*ret = false;
	for (size_t i = 0; i < ARRAY_LEN(families); i++) {
		struct rtnl_answer list = {0};
		const struct nlmsghdr *h = NULL;
		int r = ask_addresses(n, families[i], index, &list);

		if (r < 0 && i == 0)
			return r;
		while (r == 0 && (h = rtnl_next(&list, h))) {
			const struct ifaddrmsg *head = NLMSG_DATA(h);

			if (is_address(h, index) && head->ifa_scope != RT_SCOPE_LINK)
				*ret = true;
		}
		rtnl_answer_done(&list);
	}
	return 0;
}

int takeover_keep_leases(struct rtnl *n, int bridge, unsigned *ret_count)
{
	struct rtnl_answer list = {0};
	const struct nlmsghdr *h = NULL;
	unsigned count = 0;
	int r = ask_addresses(n, AF_INET, bridge, &list);

	while (r == 0 && (h = rtnl_next(&list, h)))
		if (is_address(h, bridge) && !(address_flags(h) & IFA_F_PERMANENT)) {
			r = give_address(n, h, bridge, true);
			count++;
		}
	rtnl_answer_done(&list);
	if (r == 0)
		*ret_count = count;
	return r;
}

/* Has the kernel ask for a neighbour, and tells whether it has answered. */
static int ask_neighbour(struct rtnl *n, int index, int family, const void *address, size_t len)
{
	struct ndmsg head = {
		.ndm_family = (uint8_t)family,
		.ndm_ifindex = index,
		.ndm_flags = NTF_USE,
	};
	struct rtnl_message m;
	struct rtnl_answer answer;
	const struct nlmsghdr *h;
	int r;

	rtnl_begin(&m, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, &head, sizeof(head));
	rtnl_put(&m, NDA_DST, address, len);
	r = rtnl_call(n, &m);
	if (r < 0)
		return r;
	head.ndm_flags = 0;
	rtnl_begin(&m, RTM_GETNEIGH, 0, &head, sizeof(head));
	rtnl_put(&m, NDA_DST, address, len);
	r = rtnl_ask(n, &m, &answer);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	h = rtnl_next(&answer, NULL);
	if (h && h->nlmsg_len >= NLMSG_LENGTH(sizeof(head))) {
		memcpy(&head, NLMSG_DATA(h), sizeof(head));
		r = (head.ndm_state & (NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE |
				       NUD_PERMANENT | NUD_NOARP)) != 0;
	}
	rtnl_answer_done(&answer);
	return r;
}

static bool is_default(const struct nlmsghdr *h)
{
	const struct rtmsg *head = NLMSG_DATA(h);

	return h->nlmsg_type == RTM_NEWROUTE && h->nlmsg_len >= NLMSG_LENGTH(sizeof(*head)) &&
	       head->rtm_dst_len == 0 && head->rtm_type == RTN_UNICAST;
}

static int probe_family(struct rtnl *n, int family, int bridge, unsigned *gateways)
{
	size_t len = family == AF_INET ? 4 : 16;
	struct rtnl_answer list = {0};
	const struct nlmsghdr *h = NULL;
	int r = ask_routes(n, family, bridge, &list);

	if (r < 0)
		return r == -EAFNOSUPPORT || r == -EOPNOTSUPP ? 0 : r;
	while (r == 0 && *gateways < GATEWAYS_MAX && (h = rtnl_next(&list, h))) {
		const struct rtattr *a = rtnl_find(h, sizeof(struct rtmsg), RTA_GATEWAY, len);

		if (!is_default(h) || !a || RTA_PAYLOAD(a) != len)
			continue;
		(*gateways)++;
		r = ask_neighbour(n, bridge, family, RTA_DATA(a), len);
	}
	rtnl_answer_done(&list);
	return r;
}

int takeover_probe(struct rtnl *n, int bridge, bool carrier)
{
	unsigned gateways = 0;
	int r = probe_family(n, AF_INET, bridge, &gateways);

	if (r == 0)
		r = probe_family(n, AF_INET6, bridge, &gateways);
	return r == 0 && gateways == 0 ? carrier : r;
}

int routes_overlap(struct rtnl *n, uint32_t network, unsigned prefix, int except, bool *ret)
{
	struct rtnl_answer list = {0};
	const struct nlmsghdr *h = NULL;
	int r = ask_routes(n, AF_INET, 0, &list);

	if (r < 0)
		return r;
	*ret = false;
	while ((h = rtnl_next(&list, h))) {
		const struct rtmsg *head = NLMSG_DATA(h);
		const struct rtattr *dst = rtnl_find(h, sizeof(*head), RTA_DST, 4);
		const struct rtattr *oif = rtnl_find(h, sizeof(*head), RTA_OIF, 4);
		unsigned common;

		if (h->nlmsg_type != RTM_NEWROUTE || !dst || head->rtm_type == RTN_MULTICAST ||
		    head->rtm_dst_len == 0 || head->rtm_dst_len > 32 ||
		    (except && oif && (int)rtnl_u32(oif) == except))
			continue;
		common = head->rtm_dst_len < prefix ? head->rtm_dst_len : prefix;
		if (((ntohl(rtnl_u32(dst)) ^ network) & mask_of(common)) == 0)
			*ret = true;
	}
	rtnl_answer_done(&list);
	return 0;
}

int routes_uplinks(struct rtnl *n, char (*ret)[IFNAMSIZ], size_t max, size_t *ret_count)
{
	struct rtnl_answer list = {0};
	const struct nlmsghdr *h = NULL;
	size_t count = 0;
	int r = ask_routes(n, AF_INET, 0, &list);

	if (r < 0)
		return r;
	while (count < max && (h = rtnl_next(&list, h))) {
		const struct rtattr *oif = rtnl_find(h, sizeof(struct rtmsg), RTA_OIF, 4);
		bool known = false;

		if (!is_default(h) || !oif || !if_indextoname(rtnl_u32(oif), ret[count]))
			continue;
		for (size_t i = 0; i < count; i++)
			known |= strcmp(ret[i], ret[count]) == 0;
		count += !known;
	}
	rtnl_answer_done(&list);
	*ret_count = count;
	return 0;
}

static void setting_path(const char *family, const char *ifname, const char *key,
			 char ret[SWITCH_PATH_MAX])
{
	snprintf(ret, SWITCH_PATH_MAX, "/proc/sys/net/%s/conf/%s/%s", family, ifname, key);
}

int setting_read(const char *family, const char *ifname, const char *key, int *ret)
{
	char path[SWITCH_PATH_MAX], text[16] = "";
	ssize_t len;
	int fd;

	setting_path(family, ifname, key, path);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	len = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (len <= 0)
		return -EIO;
	*ret = atoi(text);
	return 0;
}

int setting_write(const char *family, const char *ifname, const char *key, int value)
{
	char path[SWITCH_PATH_MAX], text[16];
	int len = snprintf(text, sizeof(text), "%d\n", value);
	int fd, r = 0;

	setting_path(family, ifname, key, path);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (write(fd, text, (size_t)len) != len)
		r = -errno;
	close(fd);
	return r;
}

void takeover_copy_settings(const char *from, const char *to)
{
	static const struct {
		const char *family, *key;
	} settings[] = {
		{"ipv4", "forwarding"},   {"ipv4", "rp_filter"},    {"ipv4", "arp_ignore"},
		{"ipv4", "arp_announce"}, {"ipv6", "disable_ipv6"}, {"ipv6", "accept_ra"},
		{"ipv6", "autoconf"},     {"ipv6", "use_tempaddr"},
	};

	for (size_t i = 0; i < ARRAY_LEN(settings); i++) {
		int value;

		if (setting_read(settings[i].family, from, settings[i].key, &value) == 0)
			(void)setting_write(settings[i].family, to, settings[i].key, value);
	}
}
