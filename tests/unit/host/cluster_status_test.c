/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The state of a cluster, of what the engine's programs print. */
#include "host/cluster_alarms.h"
#include "host/cluster_status.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

static const char xml[] =
	"<pacemaker-result><summary>"
	"<current_dc present=\"true\" name=\"h2\" with_quorum=\"true\"/>"
	"<cluster_options stonith-enabled=\"true\"/></summary>"
	"<nodes><node name=\"h1\" online=\"false\" standby=\"false\" unclean=\"true\"/>"
	"<node name=\"h2\" online=\"true\" standby=\"true\" unclean=\"false\"/>"
	"<node name=\"stranger\" online=\"true\"/></nodes><resources>"
	"<group id=\"group-web\"><resource id=\"vm-web\" resource_agent=\"ocf:oya:vm\" "
	"role=\"Started\" failed=\"false\"><node name=\"h2\"/></resource></group>"
	"<resource id=\"vm-db\" resource_agent=\"ocf:oya:vm\" role=\"Stopped\" failed=\"true\"/>"
	"%s</resources></pacemaker-result>";

static struct members two(void)
{
	struct members m = {.name = "lab", .number = 2, .count = 2};

	for (unsigned i = 0; i < 2; i++) {
		snprintf(m.member[i].name, sizeof(m.member[i].name), "h%u", i + 1);
		snprintf(m.member[i].link[0], sizeof(m.member[i].link[0]), "10.0.0.%u", i + 1);
		m.member[i].id = i + 1;
		m.member[i].links = 1;
	}
	return m;
}

static json_t *take(const char *fence_device)
{
	struct members m = two();
	json_t *status = cluster_status_new(&m);
	struct failure f;
	char text[2048];

	snprintf(text, sizeof(text), xml, fence_device);
	assert_int_equal(cluster_status_take_engine(status, &m, text, strlen(text), &f), 0);
	return status;
}

static bool is(const json_t *object, const char *name)
{
	return json_is_true(json_object_get(object, name));
}

static void hosts_and_resources_are_those_of_the_engine(void **state)
{
	json_t *s = take(""), *hosts = json_object_get(s, "members");
	json_t *resources = json_object_get(s, "resources");

	(void)state;
	assert_true(is(s, "quorum"));
	assert_string_equal(json_string_value(json_object_get(s, "coordinator")), "h2");
	assert_int_equal(json_array_size(hosts), 2);
	assert_true(is(json_array_get(hosts, 0), "unclean"));
	assert_false(is(json_array_get(hosts, 0), "online"));
	assert_true(is(json_array_get(hosts, 1), "online") &&
		    is(json_array_get(hosts, 1), "standby"));
	assert_int_equal(json_array_size(resources), 2);
	assert_string_equal(
		json_string_value(json_object_get(json_array_get(resources, 0), "host")), "h2");
	assert_true(json_is_null(json_object_get(json_array_get(resources, 1), "host")));
	assert_true(is(json_array_get(resources, 1), "failed"));
	assert_non_null(strstr(json_string_value(json_object_get(s, "quorum_reason")),
			       "1 of 2 hosts are online, 1 is needed"));
	json_decref(s);
}

static void fencing_needs_a_device_too(void **state)
{
	json_t *s = take("");

	(void)state;
	assert_false(is(s, "fencing"));
	json_decref(s);
	s = take("<resource id=\"power\" resource_agent=\"stonith:fence_x\" role=\"Started\"/>");
	assert_true(is(s, "fencing"));
	assert_int_equal(json_array_size(json_object_get(s, "resources")), 2);
	json_decref(s);
}

static void a_device_that_has_failed_fences_nobody(void **state)
{
	json_t *s = take("<resource id=\"power\" resource_agent=\"stonith:fence_x\" "
			 "role=\"Stopped\" failed=\"true\"/>");

	(void)state;
	assert_false(is(s, "fencing"));
	json_decref(s);
}

static void in_maintenance_nobody_is_started_elsewhere(void **state)
{
	static const char text[] =
		"<pacemaker-result><summary><cluster_options stonith-enabled=\"true\" "
		"maintenance-mode=\"true\"/></summary><resources><resource id=\"power\" "
		"resource_agent=\"stonith:fence_x\" role=\"Started\"/></resources>"
		"</pacemaker-result>";
	struct members m = two();
	json_t *s = cluster_status_new(&m);
	struct failure f;

	(void)state;
	assert_int_equal(cluster_status_take_engine(s, &m, text, strlen(text), &f), 0);
	assert_false(is(s, "fencing"));
	json_decref(s);
}

static void an_engine_that_says_nothing_has_nobody_online(void **state)
{
	struct members m = two();
	json_t *s = cluster_status_new(&m);
	struct failure f;

	(void)state;
	assert_int_equal(cluster_status_take_engine(s, &m, "", 0, &f), 0);
	assert_false(is(s, "quorum") || is(s, "fencing"));
	assert_true(cluster_status_take_engine(s, &m, "<a>", 3, &f) < 0);
	json_decref(s);
}

static void links_are_cut_or_not(void **state)
{
	struct members m = two();
	json_t *s = cluster_status_new(&m), *hosts = json_object_get(s, "members"), *link;

	(void)state;
	cluster_status_take_links(s, "Local node ID 1, transport knet\nnodeid: 2 reachable\n"
				     "   LINK: 0 udp (a->b) enabled connected mtu: 1397\n"
				     "   LINK: 7 udp (a->b) enabled disconnected mtu: 1397\n"
				     "nodeid: 9 reachable\n   LINK: 0 disconnected");
	link = json_array_get(json_object_get(json_array_get(hosts, 1), "links"), 0);
	assert_true(is(link, "connected"));
	cluster_status_take_links(s, "nodeid: 2\n LINK: 0 udp enabled disconnected\n");
	assert_true(json_is_false(json_object_get(link, "connected")));
	link = json_array_get(json_object_get(json_array_get(hosts, 0), "links"), 0);
	assert_true(json_is_null(json_object_get(link, "connected")));
	json_decref(s);
}

/* The alarm of a kind; NULL: there is none. */
static const char *alarm_of(const json_t *status, const char *kind)
{
	static char text[512];
	json_t *alarms = cluster_alarms(status), *one;
	const char *found = NULL;
	size_t i;

	assert_non_null(alarms);
	json_array_foreach(alarms, i, one)
	{
		if (strcmp(json_string_value(json_object_get(one, "kind")), kind) != 0)
			continue;
		snprintf(text, sizeof(text), "%s", json_string_value(json_object_get(one, "text")));
		found = text;
	}
	json_decref(alarms);
	return found;
}

static void what_is_wrong_is_an_alarm(void **state)
{
	json_t *s = take("<resource id=\"vm-mail\" resource_agent=\"ocf:oya:vm\" role=\"Stopped\" "
			 "blocked=\"true\"/><resource id=\"vm-old\" resource_agent=\"ocf:oya:vm\" "
			 "role=\"Stopped\" target_role=\"Stopped\"/>");

	(void)state;
	assert_non_null(alarm_of(s, "no-fencing"));
	assert_null(alarm_of(s, "no-quorum"));
	assert_non_null(strstr(alarm_of(s, "host-silent"), "h1 is silent"));
	assert_null(alarm_of(s, "host-offline"));
	assert_non_null(strstr(alarm_of(s, "resource-failed"), "vm-db"));
	assert_non_null(strstr(alarm_of(s, "resource-blocked"), "vm-mail"));
	assert_null(alarm_of(s, "resource-stopped"));
	json_decref(s);
}

static void fencing_that_has_failed_and_why_a_start_did_are_told(void **state)
{
	static const char told[] =
		"<pacemaker-result><summary><current_dc present=\"true\" name=\"h2\" "
		"with_quorum=\"true\"/><cluster_options stonith-enabled=\"true\"/></summary>"
		"<nodes><node name=\"h1\" online=\"false\" unclean=\"true\"/></nodes><resources>"
		"<resource id=\"vm-a_b\" resource_agent=\"ocf:oya:vm\" role=\"Stopped\"/>"
		"<resource id=\"power\" resource_agent=\"stonith:x\" failed=\"true\"/></resources>"
		"<failures><failure op_key=\"vm-a_b_start_0\" exitreason=\"no disk\"/></failures>"
		"<fence_history><fence_event target=\"h1\" status=\"pending\"/>"
		"<fence_event target=\"h1\" status=\"failed\" exit-reason=\"stuck\"/>"
		"<fence_event target=\"h1\" status=\"success\"/></fence_history></pacemaker-result>";
	struct members m = two();
	json_t *s = cluster_status_new(&m);
	struct failure f;

	(void)state;
	assert_int_equal(cluster_status_take_engine(s, &m, told, strlen(told), &f), 0);
	assert_non_null(strstr(alarm_of(s, "resource-stopped"), "vm-a_b runs nowhere"));
	assert_non_null(strstr(alarm_of(s, "resource-stopped"), "no disk"));
	/* The last of its kind is the host's; the device's comes before it. */
	assert_non_null(strstr(alarm_of(s, "fencing-failed"), "h1 could not be fenced: stuck"));
	assert_string_equal(json_string_value(json_object_get(s, "fence_device_failed")), "power");
	assert_null(alarm_of(s, "no-fencing"));
	json_decref(s);
}

static void a_witness_votes_or_is_lost(void **state)
{
#define TABLE(flags, last)                                                                    \
	"Quorate: Yes\n    Nodeid      Votes    Qdevice Name\n         1          1   " flags \
	" h1 (local)\n         2          1    A,V,NMW h2\n" last
	struct members m = two();
	json_t *s = cluster_status_new(&m);

	(void)state;
	cluster_status_take_witness(s,
				    TABLE("A,V,NMW", "         0          1            Qdevice\n"));
	assert_string_equal(json_string_value(json_object_get(s, "witness_vote")), "votes");
	assert_null(alarm_of(s, "witness-lost"));
	cluster_status_take_witness(
		s, TABLE("A,NV,NMW", "         0          1            Qdevice\n"));
	assert_non_null(alarm_of(s, "witness-lost"));
	cluster_status_take_witness(s,
				    "         1          1 h1 (local)\n         2          1 h2\n");
	assert_true(json_is_null(json_object_get(s, "witness_vote")));
	json_decref(s);
#undef TABLE
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hosts_and_resources_are_those_of_the_engine),
		cmocka_unit_test(fencing_needs_a_device_too),
		cmocka_unit_test(a_device_that_has_failed_fences_nobody),
		cmocka_unit_test(in_maintenance_nobody_is_started_elsewhere),
		cmocka_unit_test(an_engine_that_says_nothing_has_nobody_online),
		cmocka_unit_test(links_are_cut_or_not),
		cmocka_unit_test(what_is_wrong_is_an_alarm),
		cmocka_unit_test(fencing_that_has_failed_and_why_a_start_did_are_told),
		cmocka_unit_test(a_witness_votes_or_is_lost),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
