/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Configurations of switches and ports: the input is JSON, an object of one or the other. Checked:
 * what is accepted keeps the limits that the rest relies on and comes back from its encoding;
 * its texts are harmless in rules; what is refused comes with a sentence.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "host/switch.h"
#include "host/switch_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool condition)
{
	if (!condition)
		abort();
}

static void check_text(const char *text, size_t max)
{
	must(strlen(text) <= max && !strpbrk(text, "\"'\\/ \n\t{};"));
}

static void check_switch(json_t *obj)
{
	static const struct rules none;
	struct switch_config c, again;
	struct rules rules = none;
	struct failure f = {.text = ""};
	json_t *encoded;
	char *text;

	if (switch_config_decode(obj, &c, &f) < 0) {
		must(f.text[0]);
		return;
	}
	check_text(c.name, SWITCH_NAME_MAX);
	check_text(c.nic, IFNAMSIZ - 1);
	must(c.name[0] && (c.kind == SWITCH_EXTERNAL) == (c.nic[0] != '\0'));
	must(c.kind != SWITCH_NAT || (c.address && c.prefix >= 8 && c.prefix <= 30));
	must(!c.dhcp || (c.kind == SWITCH_NAT && c.dhcp_first <= c.dhcp_last &&
			 ((c.dhcp_first ^ c.address) & mask_of(c.prefix)) == 0 &&
			 ((c.dhcp_last ^ c.address) & mask_of(c.prefix)) == 0));
	encoded = switch_config_encode(&c);
	must(encoded && switch_config_decode(encoded, &again, &f) == 0);
	must(memcmp(&c, &again, sizeof(c)) == 0);
	json_decref(encoded);
	rules.switches = &c;
	rules.switch_count = 1;
	text = rules_text(&rules);
	must(text != NULL);
	free(text);
}

static void check_port(json_t *obj)
{
	static const uint8_t no_mac[6];
	struct port_config c, again;
	struct failure f = {.text = ""};
	json_t *encoded;

	if (port_config_decode(obj, &c, &f) < 0) {
		must(f.text[0]);
		return;
	}
	check_text(c.id, PORT_ID_MAX);
	check_text(c.switch_name, SWITCH_NAME_MAX);
	must(c.id[0] && c.vlan <= VLAN_MAX && !(c.mac[0] & 1));
	must(!(c.trunk[0] & 1) && !(c.trunk[63] >> 63));
	must(!c.spoof_guard || memcmp(c.mac, no_mac, 6) != 0);
	must(c.vlan_mode != PORT_VLAN_ACCESS || c.vlan);
	encoded = port_config_encode(&c);
	must(encoded && port_config_decode(encoded, &again, &f) == 0);
	must(memcmp(&c, &again, sizeof(c)) == 0);
	json_decref(encoded);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	json_t *obj = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL);

	if (!obj)
		return 0;
	check_switch(obj);
	check_port(obj);
	json_decref(obj);
	return 0;
}
