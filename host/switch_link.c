/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Interfaces of the switches: bridges, taps, their VLANs, addresses and limits, by route netlink.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_bridge.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/pkt_sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/util.h"
#include "host/switch_priv.h"

#define BURST_MIN_BYTES (96u << 10) /* a frame with offloads and some more */
#define BURSTS_PER_SECOND 100u
#define QUEUE_PER_SECOND 20u /* what may wait: 50 ms */
#define QUEUE_MIN_BYTES (256u << 10)

/* Copies a text attribute, cut to fit. */
static void copy_text(const struct rtattr *a, char *ret, size_t ret_len)
{
	size_t len = a ? strnlen(RTA_DATA(a), RTA_PAYLOAD(a)) : 0;

	if (len >= ret_len)
		len = ret_len - 1;
	if (len)
		memcpy(ret, RTA_DATA(a), len);
	ret[len] = '\0';
}

static void parse_kind(const struct rtattr *info, struct link *l)
{
	const struct rtattr *data, *a;

	copy_text(rtnl_find_within(info, IFLA_INFO_KIND, 1), l->kind, sizeof(l->kind));
	data = rtnl_find_within(info, IFLA_INFO_DATA, 0);
	if (strcmp(l->kind, "bridge") == 0) {
		a = rtnl_find_within(data, IFLA_BR_VLAN_FILTERING, 1);
		l->vlan_filtering = a ? *(const uint8_t *)RTA_DATA(a) : -1;
	} else if (strcmp(l->kind, "tun") == 0) {
		a = rtnl_find_within(data, IFLA_TUN_OWNER, 4);
		l->owner = a ? rtnl_u32(a) : UINT32_MAX;
	}
	data = rtnl_find_within(info, IFLA_INFO_SLAVE_DATA, 0);
	a = rtnl_find_within(data, IFLA_BRPORT_ISOLATED, 1);
	l->isolated = a && *(const uint8_t *)RTA_DATA(a);
}

static int parse_link(const struct nlmsghdr *h, struct link *ret)
{
	const struct ifinfomsg *info = NLMSG_DATA(h);
	const struct rtattr *a;

	if (h->nlmsg_type != RTM_NEWLINK || h->nlmsg_len < NLMSG_LENGTH(sizeof(*info)))
		return -EBADMSG;
	*ret = (struct link){
		.index = info->ifi_index,
		.up = (info->ifi_flags & IFF_UP) != 0,
		.vlan_filtering = -1,
		.owner = UINT32_MAX,
	};
	copy_text(rtnl_find(h, sizeof(*info), IFLA_IFNAME, 1), ret->name, sizeof(ret->name));
	copy_text(rtnl_find(h, sizeof(*info), IFLA_QDISC, 1), ret->qdisc, sizeof(ret->qdisc));
	a = rtnl_find(h, sizeof(*info), IFLA_MASTER, 4);
	ret->master = a ? (int)rtnl_u32(a) : 0;
	a = rtnl_find(h, sizeof(*info), IFLA_MTU, 4);
	ret->mtu = a ? rtnl_u32(a) : 0;
	a = rtnl_find(h, sizeof(*info), IFLA_CARRIER, 1);
	ret->carrier = a && *(const uint8_t *)RTA_DATA(a);
	a = rtnl_find(h, sizeof(*info), IFLA_ADDRESS, 6);
	if (a && RTA_PAYLOAD(a) == 6)
		memcpy(ret->mac, RTA_DATA(a), 6);
	a = rtnl_find(h, sizeof(*info), IFLA_LINKINFO, 0);
	if (a)
		parse_kind(a, ret);
	return 0;
}

/* A message about one interface. */
static void begin_link(struct rtnl_message *m, uint16_t type, uint16_t flags, int index)
{
	struct ifinfomsg info = {.ifi_family = AF_UNSPEC, .ifi_index = index};

	rtnl_begin(m, type, flags, &info, sizeof(info));
}

int link_get(struct rtnl *n, const char *name, struct link *ret)
{
	struct rtnl_message m;
	struct rtnl_answer a;
	const struct nlmsghdr *h;
	int r;

	begin_link(&m, RTM_GETLINK, 0, 0);
	rtnl_put_text(&m, IFLA_IFNAME, name);
	rtnl_put_u32(&m, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
	r = rtnl_ask(n, &m, &a);
	if (r < 0)
		return r;
	h = rtnl_next(&a, NULL);
	r = h ? parse_link(h, ret) : -EBADMSG;
	rtnl_answer_done(&a);
	return r;
}

static bool is_ours(const struct link *l)
{
	return strncmp(l->name, BRIDGE_PREFIX, strlen(BRIDGE_PREFIX)) == 0 ||
	       strncmp(l->name, TAP_PREFIX, strlen(TAP_PREFIX)) == 0;
}

int link_list(struct rtnl *n, int master, struct link **ret, size_t *ret_count)
{
	const struct nlmsghdr *h = NULL;
	struct link *list = NULL;
	struct rtnl_message m;
	struct rtnl_answer a;
	size_t count = 0, all = 0;
	int r;

	begin_link(&m, RTM_GETLINK, NLM_F_DUMP, 0);
	rtnl_put_u32(&m, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
	r = rtnl_ask(n, &m, &a);
	if (r < 0)
		return r;
	while ((h = rtnl_next(&a, h)))
		all++;
	list = calloc(all + 1, sizeof(*list));
	if (!list) {
		rtnl_answer_done(&a);
		return -ENOMEM;
	}
	while ((h = rtnl_next(&a, h)))
		if (parse_link(h, &list[count]) == 0 &&
		    (master ? list[count].master == master : is_ours(&list[count])))
			count++;
	rtnl_answer_done(&a);
	*ret = list;
	*ret_count = count;
	return 0;
}

/* Frames go at once: without a spanning tree nothing has to be waited for. All multicast goes
 * everywhere: a table of who wants what would be wrong for a VM that has just moved here. A frame
 * without a tag, of a port that has no VLAN yet, is dropped. Nothing is learnt from frames to a
 * group of the link, such as LLDP's: they pass no rules. */
static int make_bridge(struct rtnl *n, const char *name, const uint8_t mac[6], unsigned mtu,
		       bool vlans)
{
	const struct br_boolopt_multi options = {
		.optval = 1u << BR_BOOLOPT_NO_LL_LEARN,
		.optmask = 1u << BR_BOOLOPT_NO_LL_LEARN,
	};
	struct rtnl_message m;
	size_t info, data;

	begin_link(&m, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, 0);
	rtnl_put_text(&m, IFLA_IFNAME, name);
	rtnl_put(&m, IFLA_ADDRESS, mac, 6);
	if (mtu)
		rtnl_put_u32(&m, IFLA_MTU, mtu);
	info = rtnl_nest(&m, IFLA_LINKINFO);
	rtnl_put_text(&m, IFLA_INFO_KIND, "bridge");
	data = rtnl_nest(&m, IFLA_INFO_DATA);
	rtnl_put_u32(&m, IFLA_BR_FORWARD_DELAY, 0);
	rtnl_put_u32(&m, IFLA_BR_STP_STATE, 0);
	rtnl_put_u8(&m, IFLA_BR_MCAST_SNOOPING, 0);
	rtnl_put(&m, IFLA_BR_MULTI_BOOLOPT, &options, sizeof(options));
	if (vlans) {
		rtnl_put_u16(&m, IFLA_BR_VLAN_DEFAULT_PVID, 0);
		rtnl_put_u8(&m, IFLA_BR_VLAN_FILTERING, 1);
	}
	rtnl_nest_end(&m, data);
	rtnl_nest_end(&m, info);
	return rtnl_call(n, &m);
}

int link_make_bridge(struct rtnl *n, const char *name, const uint8_t mac[6], unsigned mtu)
{
	int r = make_bridge(n, name, mac, mtu, true);

	return r == -EOPNOTSUPP ? make_bridge(n, name, mac, mtu, false) : r;
}

int link_delete(struct rtnl *n, int index)
{
	struct rtnl_message m;

	begin_link(&m, RTM_DELLINK, 0, index);
	return rtnl_call(n, &m);
}

int link_set_up(struct rtnl *n, int index)
{
	struct ifinfomsg info = {.ifi_index = index, .ifi_flags = IFF_UP, .ifi_change = IFF_UP};
	struct rtnl_message m;

	rtnl_begin(&m, RTM_NEWLINK, 0, &info, sizeof(info));
	return rtnl_call(n, &m);
}

static int set_u32(struct rtnl *n, int index, uint16_t type, uint32_t value)
{
	struct rtnl_message m;

	begin_link(&m, RTM_NEWLINK, 0, index);
	rtnl_put_u32(&m, type, value);
	return rtnl_call(n, &m);
}

int link_set_mtu(struct rtnl *n, int index, unsigned mtu)
{
	return set_u32(n, index, IFLA_MTU, mtu);
}

int link_set_master(struct rtnl *n, int index, int master)
{
	return set_u32(n, index, IFLA_MASTER, (uint32_t)master);
}

int link_set_alias(struct rtnl *n, int index, const char *text)
{
	struct rtnl_message m;

	begin_link(&m, RTM_NEWLINK, 0, index);
	rtnl_put(&m, IFLA_IFALIAS, text, strlen(text));
	return rtnl_call(n, &m);
}

int link_set_isolated(struct rtnl *n, int index, bool on)
{
	struct ifinfomsg info = {.ifi_family = AF_BRIDGE, .ifi_index = index};
	struct rtnl_message m;
	size_t nest;

	rtnl_begin(&m, RTM_SETLINK, 0, &info, sizeof(info));
	nest = rtnl_nest(&m, IFLA_PROTINFO | NLA_F_NESTED);
	rtnl_put_u8(&m, IFLA_BRPORT_ISOLATED, on);
	rtnl_nest_end(&m, nest);
	return rtnl_call(n, &m);
}

int link_mute_ipv6(struct rtnl *n, int index)
{
	struct rtnl_message m;
	size_t spec, inet6;

	begin_link(&m, RTM_NEWLINK, 0, index);
	spec = rtnl_nest(&m, IFLA_AF_SPEC);
	inet6 = rtnl_nest(&m, AF_INET6);
	rtnl_put_u8(&m, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
	rtnl_nest_end(&m, inet6);
	rtnl_nest_end(&m, spec);
	return rtnl_call(n, &m);
}

int link_make_tap(const char *name, uint32_t owner)
{
	struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK), r = 0;

	if (fd < 0)
		return -errno;
	memcpy(request.ifr_name, name, strlen(name));
	/* It goes with the descriptor until it is persistent, which comes last. */
	if (ioctl(fd, TUNSETIFF, &request) < 0 ||
	    ioctl(fd, TUNSETOWNER, (unsigned long)owner) < 0 || ioctl(fd, TUNSETPERSIST, 1UL) < 0)
		r = -errno;
	close(fd);
	return r;
}

static bool bit(const uint64_t map[64], unsigned n)
{
	return map[n / 64] >> n % 64 & 1;
}

static void set_bit(uint64_t map[64], unsigned n)
{
	map[n / 64] |= UINT64_C(1) << n % 64;
}

static void take_vlan_entry(const struct rtattr *entry, struct vlan_set *v)
{
	const struct rtattr *a =
		rtnl_find_within(entry, BRIDGE_VLANDB_ENTRY_INFO, sizeof(struct bridge_vlan_info));
	struct bridge_vlan_info info;
	uint16_t last;

	if (!a)
		return;
	memcpy(&info, RTA_DATA(a), sizeof(info));
	last = info.vid;
	a = rtnl_find_within(entry, BRIDGE_VLANDB_ENTRY_RANGE, sizeof(last));
	if (a)
		memcpy(&last, RTA_DATA(a), sizeof(last));
	for (unsigned vid = info.vid; vid <= last && vid <= VLAN_MAX; vid++) {
		set_bit(v->member, vid);
		if (info.flags & BRIDGE_VLAN_INFO_UNTAGGED)
			set_bit(v->untagged, vid);
		if (info.flags & BRIDGE_VLAN_INFO_PVID)
			v->pvid = (uint16_t)vid;
	}
}

static int read_vlans(struct rtnl *n, int index, struct vlan_set *ret)
{
	struct br_vlan_msg head = {.family = AF_BRIDGE, .ifindex = (uint32_t)index};
	const struct nlmsghdr *h = NULL;
	struct rtnl_message m;
	struct rtnl_answer answer;
	int r;

	rtnl_begin(&m, RTM_GETVLAN, NLM_F_DUMP, &head, sizeof(head));
	r = rtnl_ask(n, &m, &answer);
	if (r < 0)
		return r;
	*ret = (struct vlan_set){0};
	while ((h = rtnl_next(&answer, h))) {
		size_t skip = NLMSG_SPACE(sizeof(head));
		const struct rtattr *a = NULL;

		while (h->nlmsg_len > skip &&
		       (a = rtnl_attribute((const uint8_t *)h + skip, h->nlmsg_len - skip, a)))
			if ((a->rta_type & NLA_TYPE_MASK) == BRIDGE_VLANDB_ENTRY)
				take_vlan_entry(a, ret);
	}
	rtnl_answer_done(&answer);
	return 0;
}

/* Adds or removes the VLANs first to last, which all have the same flags. */
static int change_vlans(struct rtnl *n, int index, bool self, uint16_t type, unsigned first,
			unsigned last, unsigned flags)
{
	struct ifinfomsg info = {.ifi_family = AF_BRIDGE, .ifi_index = index};
	struct bridge_vlan_info v = {.vid = (uint16_t)first, .flags = (uint16_t)flags};
	struct rtnl_message m;
	size_t nest;

	rtnl_begin(&m, type, 0, &info, sizeof(info));
	nest = rtnl_nest(&m, IFLA_AF_SPEC);
	if (self)
		rtnl_put_u16(&m, IFLA_BRIDGE_FLAGS, BRIDGE_FLAGS_SELF);
	if (last > first) {
		v.flags |= BRIDGE_VLAN_INFO_RANGE_BEGIN;
		rtnl_put(&m, IFLA_BRIDGE_VLAN_INFO, &v, sizeof(v));
		v = (struct bridge_vlan_info){
			.vid = (uint16_t)last,
			.flags = (uint16_t)(flags | BRIDGE_VLAN_INFO_RANGE_END),
		};
	}
	rtnl_put(&m, IFLA_BRIDGE_VLAN_INFO, &v, sizeof(v));
	rtnl_nest_end(&m, nest);
	return rtnl_call(n, &m);
}

static unsigned flags_of(const struct vlan_set *v, unsigned vid)
{
	return (bit(v->untagged, vid) ? (unsigned)BRIDGE_VLAN_INFO_UNTAGGED : 0) |
	       (v->pvid == vid ? (unsigned)BRIDGE_VLAN_INFO_PVID : 0);
}

/* Whether a step has something to do for the VLAN: those that are missing or different are added,
 * then those that are too much are removed. */
static bool concerns(const struct vlan_set *now, const struct vlan_set *wanted, bool adding,
		     unsigned vid)
{
	if (vid > VLAN_MAX)
		return false;
	if (!adding)
		return bit(now->member, vid) && !bit(wanted->member, vid);
	return bit(wanted->member, vid) &&
	       (!bit(now->member, vid) || flags_of(now, vid) != flags_of(wanted, vid));
}

int link_set_vlans(struct rtnl *n, int index, bool self, const struct vlan_set *wanted)
{
	struct vlan_set now;
	int r = read_vlans(n, index, &now);

	for (int adding = 1; adding >= 0 && r == 0; adding--)
		for (unsigned first = 1; first <= VLAN_MAX && r == 0; first++) {
			unsigned flags = adding ? flags_of(wanted, first) : 0, last = first;

			if (!concerns(&now, wanted, adding, first))
				continue;
			while (concerns(&now, wanted, adding, last + 1) &&
			       !(flags & BRIDGE_VLAN_INFO_PVID) &&
			       (!adding || flags_of(wanted, last + 1) == flags))
				last++;
			r = change_vlans(n, index, self, adding ? RTM_SETLINK : RTM_DELLINK, first,
					 last, flags);
			first = last;
		}
	return r;
}

static int remove_rate(struct rtnl *n, int index)
{
	struct tcmsg head = {.tcm_ifindex = index, .tcm_parent = TC_H_ROOT};
	struct rtnl_message m;

	rtnl_begin(&m, RTM_DELQDISC, 0, &head, sizeof(head));
	return rtnl_call(n, &m);
}

int link_set_rate(struct rtnl *n, const struct link *link, uint64_t kbit)
{
	struct tcmsg head = {
		.tcm_ifindex = link->index, .tcm_parent = TC_H_ROOT, .tcm_handle = 1 << 16};
	uint64_t rate = kbit * 125, queue = rate / QUEUE_PER_SECOND;
	uint32_t burst = (uint32_t)min_u64(rate / BURSTS_PER_SECOND, UINT32_MAX);
	struct tc_tbf_qopt options = {.rate.linklayer = TC_LINKLAYER_ETHERNET};
	struct rtnl_message m;
	size_t nest;
	int r;

	if (!kbit)
		return strcmp(link->qdisc, "tbf") == 0 ? remove_rate(n, link->index) : 0;
	if (burst < BURST_MIN_BYTES)
		burst = BURST_MIN_BYTES;
	if (queue < QUEUE_MIN_BYTES)
		queue = QUEUE_MIN_BYTES;
	options.limit = (uint32_t)min_u64(queue + burst, UINT32_MAX);
	options.rate.rate = (uint32_t)min_u64(rate, UINT32_MAX);
	rtnl_begin(&m, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE, &head, sizeof(head));
	rtnl_put_text(&m, TCA_KIND, "tbf");
	nest = rtnl_nest(&m, TCA_OPTIONS);
	rtnl_put(&m, TCA_TBF_PARMS, &options, sizeof(options));
	rtnl_put_u32(&m, TCA_TBF_BURST, burst);
	if (rate > UINT32_MAX)
		rtnl_put(&m, TCA_TBF_RATE64, &rate, sizeof(rate));
	rtnl_nest_end(&m, nest);
	r = rtnl_call(n, &m);
	return r == -ENOENT ? -EOPNOTSUPP : r;
}

static int change_address(struct rtnl *n, uint16_t type, int index, uint32_t address,
			  unsigned prefix)
{
	struct ifaddrmsg head = {
		.ifa_family = AF_INET,
		.ifa_prefixlen = (uint8_t)prefix,
		.ifa_index = (uint32_t)index,
	};
	uint32_t wire = htonl(address), broadcast = htonl(address | ~mask_of(prefix));
	struct rtnl_message m;

	rtnl_begin(&m, type, type == RTM_NEWADDR ? NLM_F_CREATE | NLM_F_REPLACE : 0, &head,
		   sizeof(head));
	rtnl_put(&m, IFA_LOCAL, &wire, sizeof(wire));
	rtnl_put(&m, IFA_ADDRESS, &wire, sizeof(wire));
	if (type == RTM_NEWADDR)
		rtnl_put(&m, IFA_BROADCAST, &broadcast, sizeof(broadcast));
	return rtnl_call(n, &m);
}

int link_set_address(struct rtnl *n, int index, uint32_t address, unsigned prefix)
{
	struct ifaddrmsg head = {.ifa_family = AF_INET, .ifa_index = (uint32_t)index};
	const struct nlmsghdr *h = NULL;
	struct rtnl_message m;
	struct rtnl_answer answer;
	bool there = false;
	int r;

	rtnl_begin(&m, RTM_GETADDR, NLM_F_DUMP, &head, sizeof(head));
	r = rtnl_ask(n, &m, &answer);
	if (r < 0)
		return r;
	while (r == 0 && (h = rtnl_next(&answer, h))) {
		const struct ifaddrmsg *now = NLMSG_DATA(h);
		const struct rtattr *a = rtnl_find(h, sizeof(*now), IFA_LOCAL, 4);

		if (!a || now->ifa_index != (uint32_t)index)
			continue;
		if (address && ntohl(rtnl_u32(a)) == address && now->ifa_prefixlen == prefix)
			there = true;
		else
			r = change_address(n, RTM_DELADDR, index, ntohl(rtnl_u32(a)),
					   now->ifa_prefixlen);
		if (r == -EADDRNOTAVAIL) /* went with another */
			r = 0;
	}
	rtnl_answer_done(&answer);
	if (r == 0 && address && !there)
		r = change_address(n, RTM_NEWADDR, index, address, prefix);
	return r;
}
