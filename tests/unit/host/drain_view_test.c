/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the engine says and would do of VMs while a host is drained. */
#include "host/drain_view.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#undef fail /* lib/fail.h has one of its own */
#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "tests/lib/failheap.h"

#define VM(name, role, more, places)                                                             \
	"<resource id=\"vm-" name "\" resource_agent=\"ocf:oya:vm\" role=\"" role "\" active=\"" \
	"true\" " more ">" places "</resource>"
#define AT(host) "<node name=\"" host "\" id=\"1\"/>"
#define RESULT(nodes, resources, actions)                                                 \
	"<pacemaker-result><cluster_status><nodes>" nodes "</nodes><resources>" resources \
	"</resources></cluster_status><actions>" actions "</actions><status code=\"0\"/>" \
	"</pacemaker-result>"
#define N1(online, standby) "<node name=\"n1\" online=\"" online "\" standby=\"" standby "\"/>"

static json_t *decode(const char *text)
{
	struct failure f;
	json_t *view;

	assert_int_equal(drain_view_decode(text, strlen(text), "n1", &view, &f), 0);
	return view;
}

static const char *text_of(const json_t *view, const char *vm, const char *name)
{
	return json_string_value(
		json_object_get(drain_find(json_object_get(view, "vms"), vm), name));
}

static bool is(const json_t *object, const char *name)
{
	return json_is_true(json_object_get(object, name));
}

static void each_vm_has_its_place_and_the_way_that_the_engine_would_go(void **state)
{
	json_t *view = decode(RESULT(
		N1("true", "false") "<node name=\"n2\" online=\"false\" standby=\"true\"/>",
		VM("web", "Started", "", AT("n1")) VM("db", "Started", "", AT("n1"))
			VM("only", "Started", "", AT("n1")) VM("far", "Started", "", AT("n2"))
				VM("mad", "Started", "failed=\"true\"", AT("n1")),
		"<rsc_action action=\"migrate\" resource=\"vm-web\" source=\"n1\" dest=\"n2\"/>"
		"<rsc_action action=\"move\" resource=\"vm-db\" source=\"n1\" dest=\"n3\"/>"
		"<rsc_action action=\"stop\" resource=\"vm-only\" node=\"n1\"/>"
		"<rsc_action action=\"recover\" resource=\"vm-mad\" node=\"n1\"/>"));

	(void)state;
	assert_true(is(view, "online") && !is(view, "standby"));
	assert_int_equal(json_array_size(json_object_get(view, "vms")), 5);
	assert_string_equal(text_of(view, "web", "host"), "n1");
	assert_string_equal(text_of(view, "web", "way"), "live");
	assert_string_equal(text_of(view, "web", "to"), "n2");
	assert_string_equal(text_of(view, "db", "way"), "stopped");
	assert_string_equal(text_of(view, "db", "to"), "n3");
	assert_string_equal(text_of(view, "only", "way"), "nowhere");
	assert_null(text_of(view, "only", "to"));
	assert_string_equal(text_of(view, "far", "host"), "n2");
	assert_null(text_of(view, "far", "way"));
	assert_string_equal(text_of(view, "mad", "to"), "n1");
	json_decref(view);
}

static void a_vm_on_its_way_is_on_the_host_that_it_leaves_and_moves(void **state)
{
	json_t *view = decode(RESULT(
		N1("true", "true"),
		VM("web", "Migrating", "", AT("n2") AT("n1"))
			VM("db", "Started", "pending=\"Starting\"", AT("n1") AT("n2"))
				VM("still", "Started", "", AT("n2")) VM("off", "Stopped", "", ""),
		""));
	json_t *vms = json_object_get(view, "vms");

	(void)state;
	assert_true(is(view, "standby"));
	assert_string_equal(text_of(view, "web", "host"), "n1");
	assert_true(is(drain_find(vms, "web"), "moving") && is(drain_find(vms, "db"), "moving"));
	assert_string_equal(text_of(view, "db", "host"), "n1");
	assert_false(is(drain_find(vms, "still"), "moving"));
	assert_null(text_of(view, "off", "host"));
	assert_false(is(drain_find(vms, "off"), "moving"));
	json_decref(view);
}

static void what_is_no_vm_is_left_out(void **state)
{
	json_t *view = decode(RESULT(
		"",
		"<resource id=\"power\" resource_agent=\"stonith:fence_power\"/>"
		"<resource id=\"vm-like\" resource_agent=\"ocf:pacemaker:Dummy\"/>"
		"<resource id=\"vm-a b\" resource_agent=\"ocf:oya:vm\"/>"
		"<resource resource_agent=\"ocf:oya:vm\"/>" VM("web", "Started", "", AT("n2"))
			VM("web", "Started", "", AT("n1")),
		"<rsc_action action=\"stop\" resource=\"power\"/>"
		"<rsc_action resource=\"vm-web\"/><rsc_action action=\"stop\"/>"));

	(void)state;
	assert_int_equal(json_array_size(json_object_get(view, "vms")), 1);
	assert_null(text_of(view, "web", "way"));
	assert_false(is(view, "online"));
	json_decref(view);
}

#define FAILURE(key, task, node, reason)                                              \
	"<failure op_key=\"" key "\" node=\"" node "\" task=\"" task "\" call=\"7\" " \
	"exitstatus=\"error\" exitreason=\"" reason "\"/>"

static const char failures[] =
	"<pacemaker-result><failures>" FAILURE("vm-web_migrate_to_0", "migrate_to", "n1", "no room")
		FAILURE("vm-my_start_vm_start_0", "start", "n2", "")
			FAILURE("power_start_0", "start", "n2", "")
				FAILURE("vm-db_promote_0", "promote", "n2", "")
					FAILURE("vm-db", "stop", "n2",
						"") "<failure/></failures></pacemaker-result>";

static const char *problem(const json_t *list, size_t i)
{
	return json_string_value(json_object_get(json_array_get(list, i), "problem"));
}

static void failures_are_sentences_with_the_agents_reason(void **state)
{
	struct failure f;
	json_t *list;

	(void)state;
	assert_int_equal(drain_failures_decode(failures, sizeof(failures) - 1, &list, &f), 0);
	assert_int_equal(json_array_size(list), 2);
	assert_string_equal(problem(list, 0), "the VM 'web' could not go live from n1: no room");
	assert_string_equal(problem(list, 1), "the VM 'my_start_vm' has not started on n2: error");
	json_decref(list);
}

static void what_is_no_answer_is_refused(void **state)
{
	static const char *const wrong[] = {"", "<a>", "<!DOCTYPE a><a/>", "{}"};
	struct failure f;
	json_t *got;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		size_t len = strlen(wrong[i]);

		assert_int_equal(drain_view_decode(wrong[i], len, "n1", &got, &f), -EINVAL);
		assert_int_equal(drain_failures_decode(wrong[i], len, &got, &f), -EINVAL);
	}
}

static int both(void *ctx)
{
	static const char text[] =
		RESULT(N1("true", "true"), VM("web", "Started", "", AT("n1")), "");
	json_t *view = NULL, *list = NULL;
	struct failure f;
	int r = drain_view_decode(text, sizeof(text) - 1, "n1", &view, &f);

	(void)ctx;
	if (r == 0)
		r = drain_failures_decode(failures, sizeof(failures) - 1, &list, &f);
	json_decref(view);
	json_decref(list);
	return r;
}

static void decoding_survives_a_failing_heap(void **state)
{
	(void)state;
	assert_true(failheap_sweep(both, NULL) > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_vm_has_its_place_and_the_way_that_the_engine_would_go),
		cmocka_unit_test(a_vm_on_its_way_is_on_the_host_that_it_leaves_and_moves),
		cmocka_unit_test(what_is_no_vm_is_left_out),
		cmocka_unit_test(failures_are_sentences_with_the_agents_reason),
		cmocka_unit_test(what_is_no_answer_is_refused),
		cmocka_unit_test(decoding_survives_a_failing_heap),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
