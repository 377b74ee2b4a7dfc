/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rules of nftables: what guards ports, keeps switches apart and translates addresses.
 *
 * Everything is one text that replaces both tables in one transaction. Ports are members of sets,
 * so a frame meets a handful of rules however many VMs there are.
 *
 * Frames to group addresses of the link (01:80:c2:00:00:0x) pass the hook `input` in place of
 * `prerouting`, or none at all; the bridge learns nothing from them (switch_link.c).
 *
 * Invariant: names in the text have been through switch_config_decode() or port_config_decode(),
 * or are names of interfaces as the kernel has them, within quotes.
 */
#include <errno.h>
#include <nftables/libnftables.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/switch_priv.h"

#define BURST_MIN_BYTES (128u << 10) /* a few frames with offloads, of 64 KiB each */
#define BURST_PER_SECOND 10u

typedef bool (*member_of)(const struct rules *r, const struct port_config *p);

static const struct switch_config *switch_of(const struct rules *r, const struct port_config *p)
{
	for (size_t i = 0; i < r->switch_count; i++)
		if (strcmp(r->switches[i].name, p->switch_name) == 0)
			return &r->switches[i];
	return NULL;
}

/* The host has no part in it. */
static bool is_closed(const struct switch_config *c)
{
	return c->kind == SWITCH_PRIVATE || (c->kind == SWITCH_EXTERNAL && !c->host);
}

static bool any_port(const struct rules *r, const struct port_config *p)
{
	(void)r;
	(void)p;
	return true;
}

static bool has_spoof_guard(const struct rules *r, const struct port_config *p)
{
	(void)r;
	return p->spoof_guard;
}

static bool has_dhcp_guard(const struct rules *r, const struct port_config *p)
{
	(void)r;
	return p->dhcp_guard;
}

static bool is_alone(const struct rules *r, const struct port_config *p)
{
	const struct switch_config *c = switch_of(r, p);

	return c && is_closed(c);
}

/* A set's members follow each other; without any there is no list, which may not be empty. */
struct list {
	FILE *out;
	bool any;
};

static FILE *member(struct list *l)
{
	fputs(l->any ? ", " : "\t\telements = { ", l->out);
	l->any = true;
	return l->out;
}

static struct list set_begin(FILE *out, const char *name, const char *type)
{
	fprintf(out, "\tset %s {\n\t\ttype %s\n", name, type);
	return (struct list){.out = out};
}

static void set_end(struct list *l)
{
	fputs(l->any ? " }\n\t}\n" : "\t}\n", l->out);
}

static void put_ports(FILE *out, const char *name, const struct rules *r, member_of is_member,
		      bool nics_alone)
{
	struct list l = set_begin(out, name, "ifname");

	for (size_t i = 0; i < r->port_count; i++) {
		char ifname[IFNAMSIZ];

		port_ifname(r->ports[i].id, ifname);
		if (is_member(r, &r->ports[i]))
			fprintf(member(&l), "\"%s\"", ifname);
	}
	for (size_t i = 0; nics_alone && i < r->switch_count; i++)
		if (r->switches[i].nic[0] && is_closed(&r->switches[i]))
			fprintf(member(&l), "\"%s\"", r->switches[i].nic);
	set_end(&l);
}

static void put_macs(FILE *out, const struct rules *r)
{
	struct list l = set_begin(out, "macs", "ifname . ether_addr");

	for (size_t i = 0; i < r->port_count; i++) {
		const uint8_t *m = r->ports[i].mac;
		char ifname[IFNAMSIZ];

		port_ifname(r->ports[i].id, ifname);
		if (r->ports[i].spoof_guard)
			fprintf(member(&l), "\"%s\" . %02x:%02x:%02x:%02x:%02x:%02x", ifname, m[0],
				m[1], m[2], m[3], m[4], m[5]);
	}
	set_end(&l);
}

/* What a VM may send: the kernel's own bucket for each port. */
static void put_limits(FILE *out, const struct rules *r)
{
	struct list l = {.out = out};

	for (size_t i = 0; i < r->port_count; i++) {
		uint64_t rate = r->ports[i].send_kbit * 125, burst = rate / BURST_PER_SECOND;

		if (burst < BURST_MIN_BYTES)
			burst = BURST_MIN_BYTES;
		if (rate)
			fprintf(out,
				"\tlimit send_%s {\n\t\trate over %llu bytes/second burst %llu "
				"bytes\n\t}\n",
				r->ports[i].id, (unsigned long long)rate,
				(unsigned long long)burst);
	}
	fputs("\tmap send_limits {\n\t\ttype ifname : limit\n", out);
	for (size_t i = 0; i < r->port_count; i++) {
		char ifname[IFNAMSIZ];

		port_ifname(r->ports[i].id, ifname);
		if (r->ports[i].send_kbit)
			fprintf(member(&l), "\"%s\" : \"send_%s\"", ifname, r->ports[i].id);
	}
	set_end(&l);
}

static void put_bridge_table(FILE *out, const struct rules *r)
{
	fputs("table bridge oya {\n", out);
	put_ports(out, "ours", r, any_port, false);
	put_ports(out, "spoof_guarded", r, has_spoof_guard, false);
	put_macs(out, r);
	put_ports(out, "dhcp_guarded", r, has_dhcp_guard, false);
	put_ports(out, "alone", r, is_alone, true);
	put_limits(out, r);
	/* Spanning tree and its like are between switches: a VM could cut the host off by it. A
	 * guarded VM sends no tag within a tag, behind which the rest would not be seen. */
	fputs("\tchain servers {\n"
	      "\t\tmeta protocol { vlan, 0x88a8, 0x9100 } drop\n"
	      "\t\tmeta protocol ip udp sport 67 drop\n"
	      "\t\tmeta protocol ip icmp type { redirect, router-advertisement } drop\n"
	      "\t\tmeta protocol ip6 udp sport 547 drop\n"
	      "\t\tmeta protocol ip6 icmpv6 type { nd-router-advert, nd-redirect } drop\n"
	      "\t}\n"
	      "\tchain guard {\n"
	      "\t\tether daddr & ff:ff:ff:ff:ff:f0 == 01:80:c2:00:00:00 drop\n"
	      "\t\tether daddr 01:00:0c:cc:cc:cd drop\n"
	      "\t\tiifname @spoof_guarded iifname . ether saddr != @macs drop\n"
	      "\t\tiifname @dhcp_guarded jump servers\n"
	      "\t}\n"
	      "\tchain prerouting {\n"
	      "\t\ttype filter hook prerouting priority -300; policy accept;\n"
	      "\t\tiifname @ours jump guard\n"
	      "\t\tlimit name iifname map @send_limits drop\n"
	      "\t}\n"
	      "\tchain input {\n"
	      "\t\ttype filter hook input priority -200; policy accept;\n"
	      "\t\tiifname @ours jump guard\n"
	      "\t\tiifname @alone drop\n"
	      "\t}\n"
	      "\tchain output {\n"
	      "\t\ttype filter hook output priority -200; policy accept;\n"
	      "\t\toifname @alone drop\n"
	      "\t}\n"
	      "}\n",
	      out);
}

static void put_bridge_sets(FILE *out, const struct rules *r)
{
	struct list same = set_begin(out, "same", "ifname . ifname"), closed, nat, opened;
	char ifname[IFNAMSIZ];

	for (size_t i = 0; i < r->switch_count; i++) {
		switch_ifname(r->switches[i].name, ifname);
		fprintf(member(&same), "\"%s\" . \"%s\"", ifname, ifname);
	}
	set_end(&same);
	closed = set_begin(out, "closed", "ifname");
	for (size_t i = 0; i < r->switch_count; i++) {
		switch_ifname(r->switches[i].name, ifname);
		if (is_closed(&r->switches[i]) || r->switches[i].kind == SWITCH_INTERNAL)
			fprintf(member(&closed), "\"%s\"", ifname);
	}
	set_end(&closed);
	nat = set_begin(out, "nat", "ifname");
	for (size_t i = 0; i < r->switch_count; i++) {
		switch_ifname(r->switches[i].name, ifname);
		if (r->switches[i].kind == SWITCH_NAT)
			fprintf(member(&nat), "\"%s\"", ifname);
	}
	set_end(&nat);
	opened = set_begin(out, "opened", "ifname");
	for (size_t i = 0; i < r->opened_count; i++)
		fprintf(member(&opened), "\"%s\"", r->opened[i]);
	set_end(&opened);
}

/* Of each NAT switch: nothing leaves it with a foreign sender; what leaves it gets ours. */
static void put_nat(FILE *out, const struct rules *r, bool forward)
{
	for (size_t i = 0; i < r->switch_count; i++) {
		const struct switch_config *c = &r->switches[i];
		char ifname[IFNAMSIZ], network[INET_ADDRSTRLEN];

		if (c->kind != SWITCH_NAT)
			continue;
		switch_ifname(c->name, ifname);
		ip_text(c->address & mask_of(c->prefix), network);
		if (forward)
			fprintf(out, "\t\tiifname \"%s\" ip saddr != %s/%u drop\n", ifname, network,
				c->prefix);
		else
			fprintf(out, "\t\toifname != \"%s\" ip saddr %s/%u masquerade\n", ifname,
				network, c->prefix);
	}
}

static void put_inet_table(FILE *out, const struct rules *r)
{
	fputs("table inet oya {\n", out);
	put_bridge_sets(out, r);
	fputs("\tchain forward {\n"
	      "\t\ttype filter hook forward priority 0; policy accept;\n"
	      "\t\tiifname . oifname @same accept\n"
	      "\t\tiifname @closed drop\n"
	      "\t\toifname @closed drop\n"
	      "\t\toifname @nat ct state established,related accept\n"
	      "\t\toifname @nat drop\n"
	      "\t\tiifname @nat meta nfproto ipv6 drop\n",
	      out);
	put_nat(out, r, true);
	fputs("\t\tiifname @nat accept\n"
	      "\t\tiifname @opened ct state established,related accept\n"
	      "\t\tiifname @opened drop\n"
	      "\t}\n"
	      "\tchain postrouting {\n"
	      "\t\ttype nat hook postrouting priority 100; policy accept;\n",
	      out);
	put_nat(out, r, false);
	fputs("\t}\n}\n", out);
}

char *rules_text(const struct rules *r)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	bool bad;

	if (!out)
		return NULL;
	/* A table can be deleted for sure only when it was added before. */
	fputs("add table bridge oya\ndelete table bridge oya\n"
	      "add table inet oya\ndelete table inet oya\n",
	      out);
	if (r->port_count || r->switch_count) {
		put_bridge_table(out, r);
		put_inet_table(out, r);
	}
	bad = ferror(out) != 0;
	if (fclose(out) != 0 || bad) {
		free(text);
		return NULL;
	}
	return text;
}

/* The first line of what nftables complains of. */
static void first_line(const char *text, char *ret, size_t ret_len)
{
	size_t len = text ? strcspn(text, "\n") : 0;

	snprintf(ret, ret_len, "%.*s", (int)(len < ret_len ? len : ret_len - 1), text ? text : "");
}

int rules_apply(const struct rules *r, struct failure *f)
{
	char *text = rules_text(r);
	struct nft_ctx *nft = nft_ctx_new(NFT_CTX_DEFAULT);
	char why[200];
	int code = 0;

	if (!text || !nft) {
		code = fail(f, -ENOMEM, "cannot set the rules of the switches: out of memory");
	} else if (nft_ctx_buffer_error(nft) != 0 || nft_ctx_buffer_output(nft) != 0) {
		code = fail(f, -ENOMEM, "cannot set the rules of the switches: out of memory");
	} else if (nft_run_cmd_from_buffer(nft, text) != 0) {
		first_line(nft_ctx_get_error_buffer(nft), why, sizeof(why));
		code = fail(f, -EIO,
			    "cannot set the rules of the switches in nftables: %s; oyad needs "
			    "the right to change the network and a kernel with nf_tables for "
			    "bridges",
			    why);
	}
	if (nft)
		nft_ctx_free(nft);
	free(text);
	return code;
}
