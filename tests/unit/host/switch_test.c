/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The pure parts of the switches: configurations, names, rules, trials. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#undef fail /* lib/fail.h has one of its own */

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "host/switch.h"
#include "host/switch_priv.h"
#include "tests/lib/failheap.h"

static void give_up(const char *why)
{
	print_message("# %s\n", why);
	assert_true(false);
}

static int decode_switch(const char *text, struct switch_config *c, struct failure *f)
{
	json_t *obj = json_loads(text, 0, NULL);
	int r;

	assert_non_null(obj);
	*f = (struct failure){0};
	r = switch_config_decode(obj, c, f);
	json_decref(obj);
	return r;
}

static int decode_port(const char *text, struct port_config *c, struct failure *f)
{
	json_t *obj = json_loads(text, 0, NULL);
	int r;

	assert_non_null(obj);
	*f = (struct failure){0};
	r = port_config_decode(obj, c, f);
	json_decref(obj);
	return r;
}

static struct switch_config a_switch(const char *text)
{
	struct switch_config c;
	struct failure f = {""};

	if (decode_switch(text, &c, &f) < 0)
		give_up(f.text);
	return c;
}

static struct port_config a_port(const char *text)
{
	struct port_config c;
	struct failure f = {""};

	if (decode_port(text, &c, &f) < 0)
		give_up(f.text);
	return c;
}

static void switch_of_each_kind_is_read(void **state)
{
	struct switch_config c =
		a_switch("{\"name\":\"lan\",\"kind\":\"external\",\"nic\":\"eth0\"}");

	(void)state;
	assert_int_equal(c.kind, SWITCH_EXTERNAL);
	assert_string_equal(c.nic, "eth0");
	assert_true(c.host);
	c = a_switch(
		"{\"name\":\"i\",\"kind\":\"internal\",\"address\":\"10.1.2.3/24\",\"mtu\":9000}");
	assert_int_equal(c.address, 0x0a010203);
	assert_int_equal(c.prefix, 24);
	assert_int_equal(c.mtu, 9000);
	c = a_switch("{\"name\":\"p\",\"kind\":\"private\"}");
	assert_int_equal(c.address, 0);
	c = a_switch("{\"name\":\"n\",\"kind\":\"nat\",\"address\":\"10.1.2.1/24\"}");
	assert_true(c.dhcp);
	assert_int_equal(c.dhcp_first, 0x0a010202);
	assert_int_equal(c.dhcp_last, 0x0a0102fe);
	c = a_switch("{\"name\":\"n\",\"kind\":\"nat\",\"address\":\"10.1.2.2/30\"}");
	assert_int_equal(c.dhcp_first, 0x0a010201);
	assert_int_equal(c.dhcp_last, 0x0a010201);
	c = a_switch(
		"{\"name\":\"n\",\"kind\":\"nat\",\"address\":\"10.1.2.1/24\",\"dhcp\":false}");
	assert_false(c.dhcp);
}

static void switch_that_makes_no_sense_is_refused_with_a_sentence(void **state)
{
	static const char *const bad[] = {
		"[]",
		"{}",
		"{\"name\":\"a b\",\"kind\":\"private\"}",
		"{\"name\":\"\",\"kind\":\"private\"}",
		"{\"name\":\"a23456789012345678901234567890123\",\"kind\":\"private\"}",
		"{\"name\":\"a\"}",
		"{\"name\":\"a\",\"kind\":\"public\"}",
		"{\"name\":\"a\",\"kind\":\"private\",\"color\":1}",
		"{\"name\":\"a\",\"kind\":\"private\",\"mtu\":\"x\"}",
		"{\"name\":\"a\",\"kind\":\"private\",\"mtu\":100}",
		"{\"name\":\"a\",\"kind\":\"private\",\"mtu\":-1}",
		"{\"name\":\"a\",\"kind\":\"private\",\"nic\":\"eth0\"}",
		"{\"name\":\"a\",\"kind\":\"private\",\"host\":true}",
		"{\"name\":\"a\",\"kind\":\"private\",\"address\":\"10.0.0.1/24\"}",
		"{\"name\":\"a\",\"kind\":\"private\",\"dhcp\":true}",
		"{\"name\":\"a\",\"kind\":\"external\"}",
		"{\"name\":\"a\",\"kind\":\"external\",\"nic\":\"a-name-too-long-for-it\"}",
		"{\"name\":\"a\",\"kind\":\"external\",\"nic\":\"eth\\\"0\"}",
		"{\"name\":\"a\",\"kind\":\"external\",\"nic\":\"..\"}",
		"{\"name\":\"a\",\"kind\":\"external\",\"nic\":\"oya-a\"}",
		"{\"name\":\"a\",\"kind\":\"nat\"}",
		"{\"name\":\"a\",\"kind\":\"nat\",\"address\":\"10.0.0.1\"}",
		"{\"name\":\"a\",\"kind\":\"nat\",\"address\":\"10.0.0.1/31\"}",
		"{\"name\":\"a\",\"kind\":\"nat\",\"address\":\"10.0.0.1/240\"}",
		"{\"name\":\"a\",\"kind\":\"nat\",\"address\":\"10.0.0.0/24\"}",
		"{\"name\":\"a\",\"kind\":\"nat\",\"address\":\"10.0.0.255/24\"}",
		"{\"name\":\"a\",\"kind\":\"nat\",\"address\":\"224.0.0.1/24\"}",
		"{\"name\":\"a\",\"kind\":\"nat\",\"address\":\"127.0.0.1/8\"}",
		"{\"name\":\"a\",\"kind\":\"nat\",\"address\":\"10.0.0.1/24\",\"dhcp\":7}",
		"{\"name\":\"a\",\"kind\":\"nat\",\"address\":\"10.0.0.1/24\",\"dhcp\":{\"first\":\"10.0.1.5\"}}",
		"{\"name\":\"a\",\"kind\":\"nat\",\"address\":\"10.0.0.1/24\",\"dhcp\":{\"last\":\"10.0.0.1\"}}",
		"{\"name\":\"a\",\"kind\":\"nat\",\"address\":\"10.0.0.1/24\",\"dhcp\":{\"lease_s\":1}}",
	};
	struct switch_config c;
	struct failure f = {""};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		if (decode_switch(bad[i], &c, &f) != -EINVAL || !f.text[0])
			give_up(bad[i]);
	}
}

static void port_is_read_with_what_is_usual_where_nothing_is_said(void **state)
{
	struct port_config c =
		a_port("{\"id\":\"a1\",\"switch\":\"lan\",\"mac\":\"00:15:5d:01:02:0A\"}");

	(void)state;
	assert_true(c.spoof_guard);
	assert_false(c.dhcp_guard);
	assert_int_equal(c.mac[5], 10);
	assert_int_equal(c.vlan_mode, PORT_VLAN_NONE);
	c = a_port("{\"id\":\"a1\"}");
	assert_false(c.spoof_guard);
	assert_string_equal(c.switch_name, "");
	c = a_port("{\"id\":\"a1\",\"vlan\":4094,\"send_kbit\":64}");
	assert_int_equal(c.vlan_mode, PORT_VLAN_ACCESS);
	assert_int_equal(c.vlan, 4094);
	c = a_port("{\"id\":\"a1\",\"trunk\":{\"allowed\":\"1-3,64,4094\",\"native\":9}}");
	assert_int_equal(c.vlan_mode, PORT_VLAN_TRUNK);
	assert_int_equal(c.vlan, 9);
	assert_true(c.trunk[0] == 0xe && c.trunk[1] == 1 && c.trunk[63] == UINT64_C(1) << 62);
}

static void port_that_makes_no_sense_is_refused_with_a_sentence(void **state)
{
	static const char *const bad[] = {
		"[7]",
		"{}",
		"{\"id\":\"\"}",
		"{\"id\":\"A\"}",
		"{\"id\":\"a23456789012\"}",
		"{\"id\":\"a\",\"switch\":\"\"}",
		"{\"id\":\"a\",\"owner\":-1}",
		"{\"id\":\"a\",\"owner\":4294967295}",
		"{\"id\":\"a\",\"mac\":\"01:15:5d:00:00:01\"}",
		"{\"id\":\"a\",\"mac\":\"00:00:00:00:00:00\"}",
		"{\"id\":\"a\",\"mac\":\"00:15:5d:00:00:1\"}",
		"{\"id\":\"a\",\"mac\":\"00:15:5d:00:00:011\"}",
		"{\"id\":\"a\",\"spoof_guard\":true}",
		"{\"id\":\"a\",\"vlan\":0}",
		"{\"id\":\"a\",\"vlan\":4095}",
		"{\"id\":\"a\",\"vlan\":5,\"trunk\":{\"allowed\":\"1\"}}",
		"{\"id\":\"a\",\"trunk\":{}}",
		"{\"id\":\"a\",\"trunk\":{\"allowed\":\"\"}}",
		"{\"id\":\"a\",\"trunk\":{\"allowed\":\"0\"}}",
		"{\"id\":\"a\",\"trunk\":{\"allowed\":\"5-4\"}}",
		"{\"id\":\"a\",\"trunk\":{\"allowed\":\"1-4095\"}}",
		"{\"id\":\"a\",\"trunk\":{\"allowed\":\"1,\"}}",
		"{\"id\":\"a\",\"trunk\":{\"allowed\":\"1\",\"other\":2}}",
		"{\"id\":\"a\",\"send_kbit\":1}",
		"{\"id\":\"a\",\"receive_kbit\":99999999999}",
		"{\"id\":\"a\",\"extra\":null}",
	};
	struct port_config c;
	struct failure f = {""};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		if (decode_port(bad[i], &c, &f) != -EINVAL || !f.text[0])
			give_up(bad[i]);
	}
}

static void what_was_encoded_decodes_to_the_same(void **state)
{
	static const char *const switches[] = {
		"{\"name\":\"a\",\"kind\":\"external\",\"nic\":\"eth0.7\",\"host\":false}",
		"{\"name\":\"a\",\"kind\":\"internal\"}",
		"{\"name\":\"a\",\"kind\":\"nat\",\"address\":\"10.0.0.9/8\",\"dhcp\":{\"lease_s\":120},\"mtu\":1500}",
		"{\"name\":\"a\",\"kind\":\"nat\",\"address\":\"10.0.0.9/8\",\"dhcp\":{\"last\":\"10.9.0.0\"}}",
		"{\"name\":\"a\",\"kind\":\"nat\",\"address\":\"10.0.0.9/8\",\"dhcp\":false}",
	};
	static const char *const ports[] = {
		"{\"id\":\"a\"}",
		"{\"id\":\"a\",\"mac\":\"00:15:5d:00:00:01\",\"spoof_guard\":false,\"vlan\":3,\"isolated\":true}",
		"{\"id\":\"a\",\"owner\":7,\"trunk\":{\"allowed\":\"1-4094\"},\"send_kbit\":100}",
		"{\"id\":\"a\",\"receive_kbit\":100000000,\"mtu\":1400,\"dhcp_guard\":true}",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(switches); i++) {
		struct switch_config c = a_switch(switches[i]), again;
		json_t *obj = switch_config_encode(&c);
		struct failure f = {""};

		assert_non_null(obj);
		assert_int_equal(switch_config_decode(obj, &again, &f), 0);
		json_decref(obj);
		assert_memory_equal(&c, &again, sizeof(c));
	}
	for (size_t i = 0; i < ARRAY_LEN(ports); i++) {
		struct port_config c = a_port(ports[i]), again;
		json_t *obj = port_config_encode(&c);
		struct failure f = {""};

		assert_non_null(obj);
		assert_int_equal(port_config_decode(obj, &again, &f), 0);
		json_decref(obj);
		assert_memory_equal(&c, &again, sizeof(c));
	}
}

static void interfaces_have_names_that_fit_and_differ(void **state)
{
	char a[IFNAMSIZ], b[IFNAMSIZ], id[PORT_ID_MAX + 1], other[PORT_ID_MAX + 1];
	struct guid vm = {{1, 2, 3}};

	(void)state;
	switch_ifname("lan", a);
	assert_string_equal(a, "oya-lan");
	switch_ifname("eleven-long", a);
	assert_string_equal(a, "oya-eleven-long");
	switch_ifname("a-long-name-of-a-switch", a);
	switch_ifname("a-long-name-of-a-switcg", b);
	assert_int_equal(strlen(a), IFNAMSIZ - 1);
	assert_memory_equal(a, "oya-a-lo.", 9);
	assert_string_not_equal(a, b);
	port_id_of(&vm, 0, id);
	assert_int_equal(strlen(id), PORT_ID_MAX);
	port_id_of(&vm, 0, other);
	assert_string_equal(id, other);
	port_id_of(&vm, 1, other);
	assert_string_not_equal(id, other);
	port_ifname(id, a);
	assert_int_equal(strlen(a), IFNAMSIZ - 1);
}

static void switches_that_do_not_go_together_are_refused(void **state)
{
	struct switch_config pair[2] = {
		a_switch("{\"name\":\"a\",\"kind\":\"external\",\"nic\":\"eth0\"}"),
		a_switch("{\"name\":\"a\",\"kind\":\"private\"}")};
	struct port_config ports[2] = {a_port("{\"id\":\"a\",\"switch\":\"a\"}"),
				       a_port("{\"id\":\"a\"}")};
	struct failure f = {""};

	(void)state;
	assert_int_equal(switch_configs_check(pair, 2, NULL, 0, &f), -EEXIST);
	pair[1] = a_switch("{\"name\":\"b\",\"kind\":\"external\",\"nic\":\"eth0\"}");
	assert_int_equal(switch_configs_check(pair, 2, NULL, 0, &f), -EBUSY);
	pair[0] = a_switch("{\"name\":\"a\",\"kind\":\"nat\",\"address\":\"10.0.0.1/16\"}");
	pair[1] = a_switch("{\"name\":\"b\",\"kind\":\"internal\",\"address\":\"10.0.7.1/24\"}");
	assert_int_equal(switch_configs_check(pair, 2, NULL, 0, &f), -EADDRINUSE);
	pair[1] = a_switch("{\"name\":\"b\",\"kind\":\"internal\",\"address\":\"10.1.7.1/24\"}");
	assert_int_equal(switch_configs_check(pair, 2, ports, 1, &f), 0);
	assert_int_equal(switch_configs_check(pair, 2, ports, 2, &f), -EEXIST);
	assert_int_equal(switch_configs_check(pair + 1, 1, ports, 1, &f), -ENOENT);
}

static void rules_hold_each_port_once_in_each_set_that_it_belongs_to(void **state)
{
	static const char opened[1][IFNAMSIZ] = {"eth7"};
	struct switch_config switches[] = {
		a_switch("{\"name\":\"p\",\"kind\":\"private\"}"),
		a_switch("{\"name\":\"n\",\"kind\":\"nat\",\"address\":\"10.9.0.1/24\"}")};
	struct port_config ports[] = {
		a_port("{\"id\":\"one\",\"switch\":\"p\",\"mac\":\"00:15:5d:00:00:01\"}"),
		a_port("{\"id\":\"two\",\"switch\":\"n\",\"dhcp_guard\":true,\"send_kbit\":8000}")};
	struct rules rules = {switches, 2, ports, 2, opened, 1};
	char *text = rules_text(&rules);

	(void)state;
	assert_non_null(text);
	assert_non_null(strstr(
		text, "set ours {\n\t\ttype ifname\n\t\telements = { \"oyatone\", \"oyattwo\" }"));
	assert_non_null(strstr(text, "elements = { \"oyatone\" . 00:15:5d:00:00:01 }"));
	assert_non_null(strstr(
		text, "set dhcp_guarded {\n\t\ttype ifname\n\t\telements = { \"oyattwo\" }"));
	assert_non_null(
		strstr(text, "set alone {\n\t\ttype ifname\n\t\telements = { \"oyatone\" }"));
	assert_non_null(strstr(text, "rate over 1000000 bytes/second"));
	assert_non_null(strstr(text, "\"oyattwo\" : \"send_two\""));
	assert_non_null(strstr(text, "oifname != \"oya-n\" ip saddr 10.9.0.0/24 masquerade"));
	assert_non_null(strstr(text, "set opened {\n\t\ttype ifname\n\t\telements = { \"eth7\" }"));
	free(text);
	rules = (struct rules){0};
	text = rules_text(&rules);
	assert_non_null(text);
	assert_null(strstr(text, "table bridge oya {"));
	free(text);
}

static void trial_is_kept_by_an_answer_and_where_asked_for_a_word(void **state)
{
	struct switch_trial t;

	(void)state;
	switch_trial_begin(&t, 1000, 500, false);
	assert_int_equal(switch_trial_step(&t, 1499, false, false), TRIAL_WAITING);
	assert_int_equal(switch_trial_step(&t, 1500, false, false), TRIAL_FAILED);
	assert_int_equal(switch_trial_step(&t, 1501, true, true), TRIAL_FAILED);
	switch_trial_begin(&t, 1000, 500, false);
	assert_int_equal(switch_trial_step(&t, 1500, true, false), TRIAL_KEPT);
	switch_trial_begin(&t, 1000, 500, true);
	assert_int_equal(switch_trial_step(&t, 1100, true, false), TRIAL_WAITING);
	assert_int_equal(switch_trial_step(&t, 1200, false, true), TRIAL_KEPT);
	assert_int_equal(switch_trial_step(&t, 9000, false, false), TRIAL_KEPT);
	switch_trial_begin(&t, 1000, 500, true);
	assert_int_equal(switch_trial_step(&t, 1500, true, false), TRIAL_FAILED);
	switch_trial_begin(&t, 1000, UINT64_MAX, true);
	assert_int_equal(switch_trial_step(&t, UINT64_MAX - 1, true, false), TRIAL_WAITING);
}

static void service_that_ends_at_once_is_waited_for_longer_each_time(void **state)
{
	(void)state;
	assert_int_equal(dhcp_wait_ms(0), 0);
	assert_int_equal(dhcp_wait_ms(1), 1000);
	assert_int_equal(dhcp_wait_ms(3), 4000);
	assert_int_equal(dhcp_wait_ms(7), 60000);
	assert_int_equal(dhcp_wait_ms(UINT32_MAX), 60000);
}

static void service_serves_its_switch_alone(void **state)
{
	struct switch_config c =
		a_switch("{\"name\":\"n\",\"kind\":\"nat\",\"address\":\"10.9.0.1/24\"}");
	char *text = dhcp_text(&c, "/state");

	(void)state;
	assert_non_null(text);
	assert_non_null(strstr(text, "interface=oya-n\n"));
	assert_non_null(strstr(text, "bind-dynamic\n"));
	assert_non_null(strstr(text, "dhcp-leasefile=/state/oya-n.leases\n"));
	assert_non_null(strstr(text, "dhcp-range=10.9.0.2,10.9.0.254,255.255.255.0,43200s\n"));
	free(text);
}

static int new_and_free(void *ctx)
{
	struct switches_options options = {.run_dir = "/nowhere", .state_dir = "/nowhere"};
	struct switches *s = NULL;
	struct failure f = {""};
	int r = switches_new(&options, &s, &f);

	(void)ctx;
	if (r == 0)
		switches_free(s);
	return r;
}

static void nothing_is_left_when_the_heap_fails(void **state)
{
	(void)state;
	assert_true(failheap_sweep(new_and_free, NULL) >= 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(switch_of_each_kind_is_read),
		cmocka_unit_test(switch_that_makes_no_sense_is_refused_with_a_sentence),
		cmocka_unit_test(port_is_read_with_what_is_usual_where_nothing_is_said),
		cmocka_unit_test(port_that_makes_no_sense_is_refused_with_a_sentence),
		cmocka_unit_test(what_was_encoded_decodes_to_the_same),
		cmocka_unit_test(interfaces_have_names_that_fit_and_differ),
		cmocka_unit_test(switches_that_do_not_go_together_are_refused),
		cmocka_unit_test(rules_hold_each_port_once_in_each_set_that_it_belongs_to),
		cmocka_unit_test(trial_is_kept_by_an_answer_and_where_asked_for_a_word),
		cmocka_unit_test(service_that_ends_at_once_is_waited_for_longer_each_time),
		cmocka_unit_test(service_serves_its_switch_alone),
		cmocka_unit_test(nothing_is_left_when_the_heap_fails),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
