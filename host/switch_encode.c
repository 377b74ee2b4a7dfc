/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Configurations of switches and ports as JSON, their names, and what they must be together. */
#include <arpa/inet.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "host/switch.h"
#include "host/switch_priv.h"

#define TRUNK_TEXT_MAX 24576u /* every second VLAN, each with its comma, are less */
#define DIGEST_LETTERS 6u

/* Adds a member; *error once something failed. */
static void put(json_t *obj, const char *name, json_t *value, bool *error)
{
	if (json_object_set_new(obj, name, value) < 0)
		*error = true;
}

static json_t *finish(json_t *obj, bool error)
{
	if (!error)
		return obj;
	json_decref(obj);
	return NULL;
}

void ip_text(uint32_t a, char ret[INET_ADDRSTRLEN])
{
	struct in_addr in = {.s_addr = htonl(a)};

	inet_ntop(AF_INET, &in, ret, INET_ADDRSTRLEN);
}

static json_t *encode_dhcp(const struct switch_config *c)
{
	char first[INET_ADDRSTRLEN], last[INET_ADDRSTRLEN];

	if (!c->dhcp)
		return json_false();
	ip_text(c->dhcp_first, first);
	ip_text(c->dhcp_last, last);
	return json_pack("{s:s, s:s, s:I}", "first", first, "last", last, "lease_s",
			 (json_int_t)c->lease_s);
}

struct json_t *switch_config_encode(const struct switch_config *c)
{
	json_t *obj = json_object();
	char ip[INET_ADDRSTRLEN];
	bool error = !obj;

	put(obj, "name", json_string(c->name), &error);
	put(obj, "kind", json_string(switch_kind_text(c->kind)), &error);
	if (c->kind == SWITCH_EXTERNAL) {
		put(obj, "nic", json_string(c->nic), &error);
		put(obj, "host", json_boolean(c->host), &error);
	}
	if (c->address) {
		ip_text(c->address, ip);
		put(obj, "address", json_sprintf("%s/%u", ip, c->prefix), &error);
	}
	if (c->kind == SWITCH_NAT)
		put(obj, "dhcp", encode_dhcp(c), &error);
	if (c->mtu)
		put(obj, "mtu", json_integer(c->mtu), &error);
	return finish(obj, error);
}

static bool trunk_has(const struct port_config *c, unsigned vlan)
{
	return vlan <= VLAN_MAX && (c->trunk[vlan / 64] >> vlan % 64 & 1);
}

static json_t *encode_trunk(const struct port_config *c)
{
	char text[TRUNK_TEXT_MAX];
	bool error = false;
	json_t *obj;
	size_t len = 0;

	text[0] = '\0';
	for (unsigned first = 1; first <= VLAN_MAX; first++) {
		unsigned last = first;

		if (!trunk_has(c, first))
			continue;
		while (trunk_has(c, last + 1))
			last++;
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%u", len ? "," : "",
					first);
		if (last > first)
			len += (size_t)snprintf(text + len, sizeof(text) - len, "-%u", last);
		first = last;
	}
	obj = json_pack("{s:s}", "allowed", text);
	if (obj && c->vlan)
		put(obj, "native", json_integer(c->vlan), &error);
	return finish(obj, error);
}

struct json_t *port_config_encode(const struct port_config *c)
{
	static const uint8_t none[6];
	const uint8_t *m = c->mac;
	json_t *obj = json_object();
	bool error = !obj;

	put(obj, "id", json_string(c->id), &error);
	if (c->switch_name[0])
		put(obj, "switch", json_string(c->switch_name), &error);
	put(obj, "owner", json_integer(c->owner), &error);
	if (memcmp(m, none, sizeof(none)) != 0) {
		put(obj, "mac",
		    json_sprintf("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4],
				 m[5]),
		    &error);
		put(obj, "spoof_guard", json_boolean(c->spoof_guard), &error);
	}
	put(obj, "dhcp_guard", json_boolean(c->dhcp_guard), &error);
	put(obj, "isolated", json_boolean(c->isolated), &error);
	if (c->vlan_mode == PORT_VLAN_ACCESS)
		put(obj, "vlan", json_integer(c->vlan), &error);
	if (c->vlan_mode == PORT_VLAN_TRUNK)
		put(obj, "trunk", encode_trunk(c), &error);
	if (c->send_kbit)
		put(obj, "send_kbit", json_integer((json_int_t)c->send_kbit), &error);
	if (c->receive_kbit)
		put(obj, "receive_kbit", json_integer((json_int_t)c->receive_kbit), &error);
	if (c->mtu)
		put(obj, "mtu", json_integer(c->mtu), &error);
	return finish(obj, error);
}

static uint64_t digest(uint64_t h, const void *data, size_t len)
{
	const uint8_t *b = data;

	for (size_t i = 0; i < len; i++)
		h = (h ^ b[i]) * UINT64_C(0x100000001b3); /* FNV-1a */
	return h;
}

/* What FNV leaves is mixed, so that each letter depends on all of it. */
static void letters(uint64_t h, char *ret, size_t count)
{
	static const char alphabet[33] = "0123456789abcdefghjkmnpqrstvwxyz";

	h = (h ^ h >> 32) * UINT64_C(0xd6e8feb86659fd93);
	h = (h ^ h >> 32) * UINT64_C(0xd6e8feb86659fd93);
	h ^= h >> 32;
	for (size_t i = 0; i < count; i++, h >>= 5)
		ret[i] = alphabet[h & 31];
	ret[count] = '\0';
}

void switch_ifname(const char *name, char ret[IFNAMSIZ])
{
	char tail[DIGEST_LETTERS + 1];

	if (strlen(name) <= IFNAMSIZ - sizeof(BRIDGE_PREFIX)) {
		snprintf(ret, IFNAMSIZ, "%s%s", BRIDGE_PREFIX, name);
		return;
	}
	/* The dot, which no switch's name has, keeps these apart from names that fit. */
	letters(digest(FNV_BEGIN, name, strlen(name)), tail, DIGEST_LETTERS);
	snprintf(ret, IFNAMSIZ, "%s%.4s.%s", BRIDGE_PREFIX, name, tail);
}

void port_ifname(const char *id, char ret[IFNAMSIZ])
{
	snprintf(ret, IFNAMSIZ, "%s%.*s", TAP_PREFIX, (int)PORT_ID_MAX, id);
}

void port_id_of(const struct guid *vm, unsigned nic, char ret[PORT_ID_MAX + 1])
{
	uint8_t index[4] = {(uint8_t)nic, (uint8_t)(nic >> 8), (uint8_t)(nic >> 16),
			    (uint8_t)(nic >> 24)};

	letters(digest(digest(FNV_BEGIN, vm, sizeof(*vm)), index, sizeof(index)), ret, PORT_ID_MAX);
}

void switch_mac(const char *name, uint8_t ret[6])
{
	uint64_t h = digest(FNV_BEGIN, name, strlen(name));

	h ^= h >> 32;
	ret[0] = 0x02; /* administered locally, of a station */
	for (int i = 1; i < 6; i++, h >>= 8)
		ret[i] = (uint8_t)h;
}

static int check_pair(const struct switch_config *a, const struct switch_config *b,
		      struct failure *f)
{
	char name_a[IFNAMSIZ], name_b[IFNAMSIZ];
	unsigned prefix = a->prefix < b->prefix ? a->prefix : b->prefix;

	if (strcmp(a->name, b->name) == 0)
		return fail(f, -EEXIST, "cannot use two switches of the name '%s'", a->name);
	switch_ifname(a->name, name_a);
	switch_ifname(b->name, name_b);
	if (strcmp(name_a, name_b) == 0)
		return fail(f, -EEXIST,
			    "cannot use the switches '%s' and '%s' together: their interfaces "
			    "would both be '%s'; rename one",
			    a->name, b->name, name_a);
	if (a->nic[0] && strcmp(a->nic, b->nic) == 0)
		return fail(f, -EBUSY,
			    "cannot use the NIC '%s' for the switches '%s' and '%s': one NIC, one "
			    "switch; use VLANs to keep VMs apart",
			    a->nic, a->name, b->name);
	if (a->address && b->address && ((a->address ^ b->address) >> (32 - prefix)) == 0)
		return fail(f, -EADDRINUSE,
			    "cannot use the switches '%s' and '%s' together: their networks "
			    "overlap; change the 'address' of one",
			    a->name, b->name);
	return 0;
}

int switch_configs_check(const struct switch_config *switches, size_t switch_count,
			 const struct port_config *ports, size_t port_count, struct failure *f)
{
	if (switch_count > SWITCHES_MAX || port_count > PORTS_MAX)
		return fail(f, -E2BIG,
			    "cannot use %zu switches and %zu ports: at most %u and %u are possible",
			    switch_count, port_count, SWITCHES_MAX, PORTS_MAX);
	for (size_t i = 0; i < switch_count; i++)
		for (size_t k = 0; k < i; k++) {
			int r = check_pair(&switches[k], &switches[i], f);

			if (r < 0)
				return r;
		}
	for (size_t i = 0; i < port_count; i++) {
		size_t n = 0;

		for (size_t k = 0; k < i; k++)
			if (strcmp(ports[k].id, ports[i].id) == 0)
				return fail(f, -EEXIST, "cannot use two ports of the id '%s'",
					    ports[i].id);
		while (n < switch_count && strcmp(switches[n].name, ports[i].switch_name) != 0)
			n++;
		if (ports[i].switch_name[0] && n == switch_count)
			return fail(f, -ENOENT,
				    "cannot plug the port '%s' into the switch '%s': there is no "
				    "such switch",
				    ports[i].id, ports[i].switch_name);
	}
	return 0;
}

void switch_trial_begin(struct switch_trial *t, uint64_t now_ms, uint64_t wait_ms, bool confirm)
{
	*t = (struct switch_trial){
		.state = TRIAL_WAITING,
		.deadline_ms = now_ms > UINT64_MAX - wait_ms ? UINT64_MAX : now_ms + wait_ms,
		.confirm = confirm,
	};
}

enum trial_state switch_trial_step(struct switch_trial *t, uint64_t now_ms, bool answers,
				   bool confirmed)
{
	if (t->state != TRIAL_WAITING)
		return t->state;
	t->answered |= answers;
	t->confirmed |= confirmed;
	if (t->answered && (t->confirmed || !t->confirm))
		t->state = TRIAL_KEPT;
	else if (now_ms >= t->deadline_ms)
		t->state = TRIAL_FAILED;
	return t->state;
}
