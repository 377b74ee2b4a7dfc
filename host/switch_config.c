/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Configurations of switches and ports: JSON to checked structures and back, and names.
 *
 * Trust: the JSON is a client's or a file's and hostile; what was decoded is within the limits of
 * switch.h, and its texts hold only characters that are harmless in names of files, of interfaces
 * and in rules.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "host/switch.h"
#include "host/switch_priv.h"

#define OR_INVALID(f, ...) fail(f, -EINVAL, "cannot use the configuration of a " __VA_ARGS__)
#define MTU_MIN 576u
#define MTU_MAX 65521u
#define KBIT_MIN 64u
#define KBIT_MAX 100000000u /* 100 Gbit: what the kernel can count in bytes and ns */
#define LEASE_MIN_S 120u
#define LEASE_MAX_S (30u * 86400)
#define LEASE_DEFAULT_S (12u * 3600)

static const char name_letters[] =
	"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
static const char id_letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";
static const char *const kinds[] = {
	[SWITCH_EXTERNAL] = "external",
	[SWITCH_INTERNAL] = "internal",
	[SWITCH_PRIVATE] = "private",
	[SWITCH_NAT] = "nat",
};

struct key {
	const char *name;
	json_type type;
};

const char *switch_kind_text(enum switch_kind kind)
{
	return kinds[kind];
}

static int check_keys(json_t *obj, const char *what, const struct key *keys, size_t count,
		      struct failure *f)
{
	const char *name;
	json_t *value;

	if (!json_is_object(obj))
		return OR_INVALID(f, "%s: it is not an object", what);
	json_object_foreach(obj, name, value)
	{
		size_t i = 0;

		while (i < count && strcmp(keys[i].name, name) != 0)
			i++;
		if (i == count)
			return OR_INVALID(f, "%s: it has no setting '%.64s'", what, name);
		if (json_typeof(value) != keys[i].type &&
		    !(json_is_boolean(value) && keys[i].type == JSON_TRUE))
			return OR_INVALID(f, "%s: '%s' has the wrong type", what, name);
	}
	return 0;
}

static int take_number(json_t *obj, const char *what, const char *name, uint64_t min, uint64_t max,
		       uint64_t *ret, struct failure *f)
{
	json_t *value = json_object_get(obj, name);
	json_int_t n = json_integer_value(value);

	if (!value)
		return 0;
	if (n < 0 || (uint64_t)n < min || (uint64_t)n > max)
		return OR_INVALID(f, "%s: '%s' is %lld, allowed are %llu to %llu", what, name,
				  (long long)n, (unsigned long long)min, (unsigned long long)max);
	*ret = (uint64_t)n;
	return 0;
}

static void take_bool(json_t *obj, const char *name, bool *ret)
{
	json_t *value = json_object_get(obj, name);

	if (value)
		*ret = json_is_true(value);
}

static bool all_of(const char *text, size_t max, const char *letters)
{
	size_t len = strlen(text);

	return len > 0 && len <= max && strspn(text, letters) == len;
}

static int take_switch_name(json_t *obj, const char *what, const char *key,
			    char ret[SWITCH_NAME_MAX + 1], struct failure *f)
{
	const char *text = json_string_value(json_object_get(obj, key));

	if (!text || !all_of(text, SWITCH_NAME_MAX, name_letters))
		return OR_INVALID(f,
				  "%s: its '%s' is '%.40s'; a switch's name has 1 to %u letters, "
				  "digits, '-' and '_'",
				  what, key, text ? text : "", SWITCH_NAME_MAX);
	memcpy(ret, text, strlen(text) + 1);
	return 0;
}

/* Interfaces of the host have names that others gave: all but what would be harmful in rules. */
static int take_nic(json_t *obj, struct switch_config *c, struct failure *f)
{
	static const char also[] = ".:@";
	const char *text = json_string_value(json_object_get(obj, "nic"));
	char letters[sizeof(name_letters) + sizeof(also)];

	snprintf(letters, sizeof(letters), "%s%s", name_letters, also);
	if (c->kind != SWITCH_EXTERNAL)
		return text ? OR_INVALID(f, "switch: '%s' has a 'nic', but only external ones do",
					 c->name)
			    : 0;
	if (!text || !all_of(text, IFNAMSIZ - 1, letters) || strcmp(text, ".") == 0 ||
	    strcmp(text, "..") == 0)
		return OR_INVALID(f,
				  "switch: '%s' is external and needs a 'nic', the name of an "
				  "interface of the host such as eth0; it is '%.40s'",
				  c->name, text ? text : "");
	if (strncmp(text, OUR_PREFIX, strlen(OUR_PREFIX)) == 0)
		return OR_INVALID(f,
				  "switch: the 'nic' of '%s' is '%s', which by its name is an "
				  "interface of a switch",
				  c->name, text);
	memcpy(c->nic, text, strlen(text) + 1);
	return 0;
}

static int parse_ip(const char *text, uint32_t *ret)
{
	struct in_addr a;

	if (inet_pton(AF_INET, text, &a) != 1)
		return -EINVAL;
	*ret = ntohl(a.s_addr);
	return 0;
}

static uint32_t network_of(const struct switch_config *c)
{
	return c->address & mask_of(c->prefix);
}

/* An address of one host within the network. */
static bool is_host(uint32_t a, const struct switch_config *c)
{
	uint32_t mask = mask_of(c->prefix);

	return (a & mask) == network_of(c) && (a & ~mask) != 0 && (a & ~mask) != ~mask;
}

static int take_address(json_t *obj, struct switch_config *c, struct failure *f)
{
	const char *text = json_string_value(json_object_get(obj, "address"));
	char ip[INET_ADDRSTRLEN] = "", end;
	const char *slash;

	if (c->kind != SWITCH_NAT && c->kind != SWITCH_INTERNAL)
		return text ? OR_INVALID(f,
					 "switch: '%s' has an 'address', but only internal and nat "
					 "ones do",
					 c->name)
			    : 0;
	if (!text && c->kind == SWITCH_INTERNAL)
		return 0;
	slash = text ? strchr(text, '/') : NULL;
	if (slash && (size_t)(slash - text) < sizeof(ip))
		memcpy(ip, text, (size_t)(slash - text));
	if (!slash || slash[1] < '0' || slash[1] > '9' || parse_ip(ip, &c->address) < 0 ||
	    sscanf(slash + 1, "%2u%c", &c->prefix, &end) != 1 || c->prefix < 8 || c->prefix > 30 ||
	    !is_host(c->address, c) || c->address >> 28 >= 14 || c->address >> 24 == 127)
		return OR_INVALID(f,
				  "switch: the 'address' of '%s' is '%.40s'; it must be one of a "
				  "host with 8 to 30 bits of network, such as 10.118.0.1/24",
				  c->name, text ? text : "");
	return 0;
}

/* Without a choice of the caller's: all of the network but the host's address and what is below. */
static void default_range(struct switch_config *c)
{
	uint32_t last = network_of(c) | ~mask_of(c->prefix);

	c->dhcp_first = c->address + 1;
	c->dhcp_last = last - 1;
	if (c->dhcp_first > c->dhcp_last) {
		c->dhcp_first = network_of(c) + 1;
		c->dhcp_last = c->address - 1;
	}
}

static int take_dhcp(json_t *obj, struct switch_config *c, struct failure *f)
{
	static const struct key keys[] = {
		{"first", JSON_STRING}, {"last", JSON_STRING}, {"lease_s", JSON_INTEGER}};
	json_t *value = json_object_get(obj, "dhcp");
	const char *first = json_string_value(json_object_get(value, "first"));
	const char *last = json_string_value(json_object_get(value, "last"));
	uint64_t lease_s = LEASE_DEFAULT_S;
	int r;

	if (value && c->kind != SWITCH_NAT)
		return OR_INVALID(f, "switch: '%s' has 'dhcp', but only nat ones do", c->name);
	if (c->kind != SWITCH_NAT || (value && !json_is_object(value) && !json_is_true(value))) {
		if (value && !json_is_false(value))
			return OR_INVALID(f, "switch: 'dhcp' of '%s' has the wrong type", c->name);
		return 0;
	}
	r = json_is_object(value) ? check_keys(value, "switch's DHCP", keys, ARRAY_LEN(keys), f)
				  : 0;
	if (r == 0)
		r = take_number(value, "switch", "lease_s", LEASE_MIN_S, LEASE_MAX_S, &lease_s, f);
	if (r < 0)
		return r;
	default_range(c);
	if ((first && parse_ip(first, &c->dhcp_first) < 0) ||
	    (last && parse_ip(last, &c->dhcp_last) < 0) || !is_host(c->dhcp_first, c) ||
	    !is_host(c->dhcp_last, c) || c->dhcp_first > c->dhcp_last)
		return OR_INVALID(f,
				  "switch: 'first' and 'last' of the 'dhcp' of '%s' are not two "
				  "addresses of its network, the lower one first",
				  c->name);
	c->dhcp = true;
	c->lease_s = (unsigned)lease_s;
	return 0;
}

static int take_kind(json_t *obj, struct switch_config *c, struct failure *f)
{
	const char *text = json_string_value(json_object_get(obj, "kind"));
	unsigned i = 0;

	while (i < ARRAY_LEN(kinds) && (!text || strcmp(text, kinds[i]) != 0))
		i++;
	if (i == ARRAY_LEN(kinds))
		return OR_INVALID(f,
				  "switch: the 'kind' of '%s' is '%.32s', allowed are external, "
				  "internal, private and nat",
				  c->name, text ? text : "");
	c->kind = (enum switch_kind)i;
	c->host = c->kind == SWITCH_EXTERNAL;
	if (json_object_get(obj, "host") && c->kind != SWITCH_EXTERNAL)
		return OR_INVALID(f, "switch: '%s' has 'host', but only external ones do", c->name);
	take_bool(obj, "host", &c->host);
	return 0;
}

int switch_config_decode(struct json_t *obj, struct switch_config *ret, struct failure *f)
{
	static const struct key keys[] = {
		{"name", JSON_STRING}, {"kind", JSON_STRING},    {"nic", JSON_STRING},
		{"host", JSON_TRUE},   {"address", JSON_STRING}, {"mtu", JSON_INTEGER},
	};
	struct switch_config c;
	json_t *plain = json_is_object(obj) ? json_copy(obj) : NULL;
	uint64_t mtu = 0;
	int r;

	memset(&c, 0, sizeof(c)); /* gaps too: two of them can be compared */
	if (json_is_object(obj) && !plain)
		return fail(f, -ENOMEM, "cannot read the configuration of a switch: out of memory");
	if (plain)
		json_object_del(plain, "dhcp"); /* of two types: looked at by itself */
	r = check_keys(plain, "switch", keys, ARRAY_LEN(keys), f);
	json_decref(plain);
	if (r == 0)
		r = take_switch_name(obj, "switch", "name", c.name, f);
	if (r == 0)
		r = take_kind(obj, &c, f);
	if (r == 0)
		r = take_nic(obj, &c, f);
	if (r == 0)
		r = take_address(obj, &c, f);
	if (r == 0)
		r = take_dhcp(obj, &c, f);
	if (r == 0)
		r = take_number(obj, "switch", "mtu", MTU_MIN, MTU_MAX, &mtu, f);
	if (r < 0)
		return r;
	c.mtu = (unsigned)mtu;
	*ret = c;
	return 0;
}

static int take_vlan(const char **text, unsigned *ret)
{
	unsigned n = 0;

	if (**text < '0' || **text > '9')
		return -EINVAL;
	for (; **text >= '0' && **text <= '9'; (*text)++) {
		n = n * 10 + (unsigned)(**text - '0');
		if (n > VLAN_MAX)
			return -EINVAL;
	}
	*ret = n;
	return n ? 0 : -EINVAL;
}

/* A list such as 10-20,30. */
static int take_vlans(const char *text, struct port_config *c)
{
	for (;;) {
		unsigned first, last;

		if (take_vlan(&text, &first) < 0)
			return -EINVAL;
		last = first;
		if (*text == '-') {
			text++;
			if (take_vlan(&text, &last) < 0 || last < first)
				return -EINVAL;
		}
		for (unsigned n = first; n <= last; n++)
			c->trunk[n / 64] |= UINT64_C(1) << n % 64;
		if (*text == '\0')
			return 0;
		if (*text++ != ',')
			return -EINVAL;
	}
}

static int take_vlan_mode(json_t *obj, struct port_config *c, struct failure *f)
{
	static const struct key keys[] = {{"allowed", JSON_STRING}, {"native", JSON_INTEGER}};
	json_t *trunk = json_object_get(obj, "trunk");
	const char *allowed = json_string_value(json_object_get(trunk, "allowed"));
	uint64_t vlan = 0;
	int r;

	if (json_object_get(obj, "vlan")) {
		c->vlan_mode = PORT_VLAN_ACCESS;
		r = take_number(obj, "port", "vlan", 1, VLAN_MAX, &vlan, f);
		c->vlan = (uint16_t)vlan;
		if (r == 0 && trunk)
			return OR_INVALID(f, "port: '%s' has both 'vlan' and 'trunk'", c->id);
		return r;
	}
	if (!trunk)
		return 0;
	c->vlan_mode = PORT_VLAN_TRUNK;
	r = check_keys(trunk, "port's trunk", keys, ARRAY_LEN(keys), f);
	if (r == 0)
		r = take_number(trunk, "port", "native", 1, VLAN_MAX, &vlan, f);
	if (r < 0)
		return r;
	c->vlan = (uint16_t)vlan;
	if (!allowed || take_vlans(allowed, c) < 0)
		return OR_INVALID(f,
				  "port: 'allowed' of the trunk of '%s' is '%.40s'; it is a list "
				  "of VLANs from 1 to %u such as 10-20,30",
				  c->id, allowed ? allowed : "", VLAN_MAX);
	return 0;
}

static int take_mac(json_t *obj, struct port_config *c, struct failure *f)
{
	const char *text = json_string_value(json_object_get(obj, "mac"));
	unsigned b[6];
	char end;

	if (!text && c->spoof_guard && json_object_get(obj, "spoof_guard"))
		return OR_INVALID(f, "port: '%s' has a 'spoof_guard' and no 'mac' to hold it to",
				  c->id);
	if (!text) {
		c->spoof_guard = false;
		return 0;
	}
	if (strlen(text) != 17 || strspn(text, "0123456789abcdefABCDEF:") != 17 ||
	    sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%c", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5],
		   &end) != 6 ||
	    b[0] & 1 || !(b[0] | b[1] | b[2] | b[3] | b[4] | b[5]))
		return OR_INVALID(f,
				  "port: the 'mac' of '%s' is '%.32s', which is no address of a "
				  "station such as 00:15:5d:00:00:01",
				  c->id, text);
	for (int i = 0; i < 6; i++)
		c->mac[i] = (uint8_t)b[i];
	return 0;
}

static int take_limits(json_t *obj, struct port_config *c, struct failure *f)
{
	int r = take_number(obj, "port", "send_kbit", KBIT_MIN, KBIT_MAX, &c->send_kbit, f);

	if (r == 0)
		r = take_number(obj, "port", "receive_kbit", KBIT_MIN, KBIT_MAX, &c->receive_kbit,
				f);
	return r;
}

int port_config_decode(struct json_t *obj, struct port_config *ret, struct failure *f)
{
	static const struct key keys[] = {
		{"id", JSON_STRING},
		{"switch", JSON_STRING},
		{"owner", JSON_INTEGER},
		{"mac", JSON_STRING},
		{"spoof_guard", JSON_TRUE},
		{"dhcp_guard", JSON_TRUE},
		{"isolated", JSON_TRUE},
		{"vlan", JSON_INTEGER},
		{"trunk", JSON_OBJECT},
		{"send_kbit", JSON_INTEGER},
		{"receive_kbit", JSON_INTEGER},
		{"mtu", JSON_INTEGER},
	};
	struct port_config c;
	int r = check_keys(obj, "port", keys, ARRAY_LEN(keys), f);
	const char *id = json_string_value(json_object_get(obj, "id"));
	uint64_t mtu = 0, owner = 0;

	memset(&c, 0, sizeof(c)); /* gaps too */
	c.spoof_guard = true;
	if (r < 0)
		return r;
	if (!id || !all_of(id, PORT_ID_MAX, id_letters))
		return OR_INVALID(f,
				  "port: its 'id' is '%.32s', which are not 1 to %u small letters "
				  "and digits",
				  id ? id : "", PORT_ID_MAX);
	memcpy(c.id, id, strlen(id) + 1);
	if (json_object_get(obj, "switch"))
		r = take_switch_name(obj, "port", "switch", c.switch_name, f);
	if (r == 0)
		r = take_number(obj, "port", "owner", 0, UINT32_MAX - 1, &owner, f);
	if (r == 0)
		r = take_number(obj, "port", "mtu", MTU_MIN, MTU_MAX, &mtu, f);
	take_bool(obj, "spoof_guard", &c.spoof_guard);
	take_bool(obj, "dhcp_guard", &c.dhcp_guard);
	take_bool(obj, "isolated", &c.isolated);
	if (r == 0)
		r = take_mac(obj, &c, f);
	if (r == 0)
		r = take_vlan_mode(obj, &c, f);
	if (r == 0)
		r = take_limits(obj, &c, f);
	if (r < 0)
		return r;
	c.owner = (uint32_t)owner;
	c.mtu = (unsigned)mtu;
	*ret = c;
	return 0;
}
