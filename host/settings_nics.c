/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * NICs of a VM. One of the type "switch" is a port of a virtual switch for the host, and a tap for
 * the worker; its port is named by the VM's UUID and the NIC's address, so that it stays the same
 * when other NICs come and go.
 */
#include "host/settings_parts.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/util.h"
#include "host/switch.h"
#include "lib/fields.h"
#include "lib/random.h"

#define NICS_MAX 256u /* the worker knows their number better */

/* Of a NIC on a switch: what is the port's, in the words of switch_config.c. */
static const char *const of_port[] = {
	"switch", "mac",   "spoof_guard", "dhcp_guard",   "isolated",
	"vlan",   "trunk", "send_kbit",   "receive_kbit", "mtu",
};
/* What is the worker's. */
static const char *const of_worker[] = {"mac", "mtu", "queues"};

static bool is_on_switch(const json_t *nic)
{
	const char *type = json_string_value(json_object_get(nic, "type"));

	return type && strcmp(type, "switch") == 0;
}

static bool is_one_of(const char *name, const char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(names[i], name) == 0)
			return true;
	}
	return false;
}

/* NULL: all of its settings are known. */
static const char *unknown_of(const json_t *nic)
{
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)nic, name, value)
	{
		if (strcmp(name, "type") != 0 && !is_one_of(name, of_port, ARRAY_LEN(of_port)) &&
		    !is_one_of(name, of_worker, ARRAY_LEN(of_worker)))
			return name;
	}
	return NULL;
}

/* These members of a NIC, in an object of their own. */
static int pick(json_t *to, const json_t *nic, const char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		json_t *value = json_object_get(nic, names[i]);

		if (value && json_object_set(to, names[i], value) < 0)
			return -ENOMEM;
	}
	return to ? 0 : -ENOMEM;
}

/* The port's, always the same for a VM and an address. Two addresses of one VM that agree in their
 * numbers are refused with the two ports. */
static void id_of(const struct settings *s, const json_t *nic, char ret[PORT_ID_MAX + 1])
{
	unsigned b[6] = {0};

	(void)sscanf(json_string_value(json_object_get(nic, "mac")), "%2x:%2x:%2x:%2x:%2x:%2x",
		     &b[0], &b[1], &b[2], &b[3], &b[4], &b[5]);
	port_id_of(&s->uuid, (b[0] << 8 | b[1]) ^ (b[2] << 24 | b[3] << 16 | b[4] << 8 | b[5]),
		   ret);
}

static int decode_port(const struct settings *s, const json_t *nic, struct port_config *ret,
		       struct failure *f)
{
	const char *unknown = unknown_of(nic);
	char id[PORT_ID_MAX + 1];
	json_t *port;
	int r;

	if (unknown)
		return OR_INVALID(f, "a NIC on a switch has no setting '%.64s'", unknown);
	if (!json_object_get(nic, "switch"))
		return OR_INVALID(f, "a NIC of the type 'switch' names no 'switch'");
	if (!json_is_string(json_object_get(nic, "mac")))
		return OR_INVALID(f, "a NIC of the type 'switch' has no 'mac'");
	id_of(s, nic, id);
	port = json_pack("{s:s}", "id", id);
	if (pick(port, nic, of_port, ARRAY_LEN(of_port)) < 0)
		r = fail(f, -ENOMEM, "cannot read the VM's configuration: out of memory");
	else
		r = port_config_decode(port, ret, f);
	json_decref(port);
	return r;
}

int settings_ports(const struct settings *s, struct port_config **ret_ports, size_t *ret_count,
		   struct failure *f)
{
	json_t *list = json_object_get(s->root, "nics"), *nic;
	struct port_config *ports = calloc(json_array_size(list) + 1, sizeof(*ports));
	size_t i, count = 0;
	int r = 0;

	if (!ports)
		return fail(f, -ENOMEM, "cannot read the VM's configuration: out of memory");
	json_array_foreach(list, i, nic)
	{
		if (r < 0 || !is_on_switch(nic))
			continue;
		r = decode_port(s, nic, &ports[count], f);
		for (size_t k = 0; r == 0 && k < count; k++) {
			if (strcmp(ports[k].id, ports[count].id) == 0)
				r = OR_INVALID(f, "two NICs have the 'mac' %s",
					       json_string_value(json_object_get(nic, "mac")));
		}
		count++;
	}
	if (r < 0) {
		free(ports);
		return r;
	}
	*ret_ports = ports;
	*ret_count = count;
	return 0;
}

bool settings_use_switch(const struct settings *s, const char *name)
{
	json_t *nic;
	size_t i;

	json_array_foreach(json_object_get(s->root, "nics"), i, nic)
	{
		const char *of = json_string_value(json_object_get(nic, "switch"));

		if (is_on_switch(nic) && of && strcmp(of, name) == 0)
			return true;
	}
	return false;
}

int nics_check(const struct settings *s, struct failure *f)
{
	json_t *list = json_object_get(s->root, "nics"), *nic;
	struct port_config *ports = NULL;
	size_t i, count;
	int r;

	if (json_array_size(list) > NICS_MAX)
		return OR_INVALID(f, "%zu NICs, at most %u are possible", json_array_size(list),
				  NICS_MAX);
	json_array_foreach(list, i, nic)
	{
		if (!json_is_object(nic))
			return OR_INVALID(f, "a NIC is not an object");
	}
	r = settings_ports(s, &ports, &count, f);
	free(ports);
	return r;
}

/* A NIC keeps its address for good. */
static int give_address(json_t *nic)
{
	uint8_t m[6];
	json_t *text;

	if (!json_is_object(nic) || json_object_get(nic, "mac"))
		return 0;
	if (random_mac(m) < 0)
		return -EIO;
	text = json_sprintf("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5]);
	return json_object_set_new(nic, "mac", text) < 0 ? -ENOMEM : 0;
}

int nics_give_addresses(json_t *root)
{
	json_t *nic;
	size_t i;
	int r = 0;

	json_array_foreach(json_object_get(root, "nics"), i, nic)
	{
		if (r == 0)
			r = give_address(nic);
	}
	return r;
}

/* The place of the NIC with an address; -1: there is none. */
static int find_nic(const struct settings *s, const char *mac)
{
	json_t *nic;
	size_t i;

	json_array_foreach(json_object_get(s->root, "nics"), i, nic)
	{
		const char *text = json_string_value(json_object_get(nic, "mac"));

		if (text && strcasecmp(text, mac) == 0)
			return (int)i;
	}
	return -1;
}

int settings_add_nic(const struct settings *s, const json_t *nic, struct settings **ret_settings,
		     json_t **ret_nic, struct failure *f)
{
	json_t *list = json_deep_copy(json_object_get(s->root, "nics"));
	json_t *added = json_deep_copy(nic);
	int r;

	list = list ? list : json_array();
	if (give_address(added) < 0 || json_array_append(list, added) < 0) {
		json_decref(list);
		json_decref(added);
		return fail(f, -ENOMEM, "cannot add a NIC: out of memory");
	}
	r = settings_with_list(s, "nics", list, ret_settings, f);
	if (r == 0)
		*ret_nic = added;
	else
		json_decref(added);
	return r;
}

int settings_remove_nic(const struct settings *s, const char *mac, struct settings **ret_settings,
			json_t **ret_nic, struct failure *f)
{
	json_t *list = json_deep_copy(json_object_get(s->root, "nics"));
	int at = find_nic(s, mac), r;

	if (at < 0) {
		json_decref(list);
		return fail(f, -ENOENT, "the VM has no NIC with the address '%.32s'", mac);
	}
	*ret_nic = json_incref(json_array_get(list, (size_t)at));
	(void)json_array_remove(list, (size_t)at);
	r = settings_with_list(s, "nics", list, ret_settings, f);
	if (r < 0)
		json_decref(*ret_nic);
	return r;
}

int settings_port(const struct settings *s, const json_t *nic, struct port_config **ret_port,
		  struct failure *f)
{
	struct port_config *port;
	int r;

	*ret_port = NULL;
	if (!is_on_switch(nic))
		return 0;
	port = calloc(1, sizeof(*port));
	if (!port)
		return fail(f, -ENOMEM, "cannot add a NIC: out of memory");
	r = decode_port(s, nic, port, f);
	if (r < 0)
		free(port);
	else
		*ret_port = port;
	return r;
}

static json_t *tap_of(const struct settings *s, const json_t *nic)
{
	char id[PORT_ID_MAX + 1], ifname[IFNAMSIZ];
	json_t *tap;

	id_of(s, nic, id);
	port_ifname(id, ifname);
	tap = json_pack("{s:s, s:s}", "type", "tap", "ifname", ifname);
	if (tap && pick(tap, nic, of_worker, ARRAY_LEN(of_worker)) < 0) {
		json_decref(tap);
		return NULL;
	}
	return tap;
}

json_t *settings_nic_for_worker(const struct settings *s, const json_t *nic)
{
	return is_on_switch(nic) ? tap_of(s, nic) : json_copy((json_t *)(uintptr_t)nic);
}

json_t *nics_for_worker(const struct settings *s)
{
	json_t *list = json_array(), *nic;
	size_t i;

	json_array_foreach(json_object_get(s->root, "nics"), i, nic)
	{
		if (json_array_append_new(list, settings_nic_for_worker(s, nic)) < 0) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}
