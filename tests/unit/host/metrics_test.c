/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#undef fail /* lib/fail.h has one of its own */
#include <stdlib.h>
#include <string.h>

#include "host/host.h"
#include "host/http.h"
#include "host/metrics.h"
#include "host/vm.h"

#define ID "\"version\": 1, \"uuid\": \"6ba7b810-9dad-11d1-80b4-00c04fd430c8\""

static const struct http_load load = {.connections = 3, .streams = 2};

static int set_up(void **state)
{
	struct host *h = calloc(1, sizeof(*h));

	assert_non_null(h);
	h->run = "/run/of/the/test";
	list_init(&h->vms);
	list_init(&h->jobs);
	*state = h;
	return 0;
}

static int tear_down(void **state)
{
	struct host *h = *state;

	while (!list_empty(&h->vms))
		host_remove(h, CONTAINER_OF(h->vms.next, struct vm, link));
	free(h);
	return 0;
}

static struct vm *add(struct host *h, const char *name, const char *settings)
{
	struct settings *s;
	struct failure f;
	struct vm *vm;

	assert_int_equal(settings_decode(settings, strlen(settings), &s, &f), 0);
	vm = vm_new(h, name, "/folder", s);
	assert_non_null(vm);
	host_add(h, vm);
	return vm;
}

static void tell(struct vm *vm, const char *status)
{
	json_decref(vm->status);
	vm->status = json_loads(status, 0, NULL);
	assert_non_null(vm->status);
}

/* Whether the line is there; the text ends with one. */
static bool has(const struct host *h, const char *line)
{
	size_t len, of_line = strlen(line);
	char *text = metrics_text(h, &load, 100 * UINT64_C(1000000), &len);
	bool found = false;

	assert_non_null(text);
	assert_int_equal(strlen(text), len);
	assert_int_equal(text[len - 1], '\n');
	for (const char *at = text; !found && (at = strstr(at, line)); at += of_line)
		found = (at == text || at[-1] == '\n') && at[of_line] == '\n';
	free(text);
	return found;
}

static bool has_sample(const struct host *h, const char *begin)
{
	size_t len;
	char *text = metrics_text(h, &load, 0, &len);
	bool found = text && strstr(text, begin);

	free(text);
	return found;
}

static void host_without_vms_has_its_own_metrics(void **state)
{
	struct host *h = *state;

	h->jobs_running = 4;
	h->job_last = 9;
	assert_true(has(h, "oya_build_info{version=\"" OYA_VERSION "\"} 1"));
	assert_true(has(h, "# TYPE oya_vms gauge"));
	assert_true(has(h, "oya_vms{state=\"waiting\"} 0"));
	assert_true(has(h, "oya_jobs_running 4"));
	assert_true(has(h, "# TYPE oya_jobs_started_total counter"));
	assert_true(has(h, "oya_jobs_started_total 9"));
	assert_true(has(h, "oya_http_connections 3"));
	assert_true(has(h, "oya_http_event_streams 2"));
	assert_false(has_sample(h, "{vm="));
}

static void vm_that_is_off_has_its_settings(void **state)
{
	struct host *h = *state;

	add(h, "web", "{" ID ", \"cpus\": 2, \"memory_mib\": 64}");
	assert_true(has(h, "oya_vms{state=\"off\"} 1"));
	assert_true(has(h, "oya_vm_info{vm=\"web\",uuid=\"6ba7b810-9dad-11d1-80b4-00c04fd430c8\"} "
			   "1"));
	assert_true(has(h, "oya_vm_state{vm=\"web\",state=\"off\"} 1"));
	assert_true(has(h, "oya_vm_state{vm=\"web\",state=\"running\"} 0"));
	assert_true(has(h, "oya_vm_cpus{vm=\"web\"} 2"));
	assert_true(has(h, "oya_vm_memory_bytes{vm=\"web\"} 67108864"));
	assert_true(has(h, "oya_vm_crash_restarts_total{vm=\"web\"} 0"));
	assert_false(has_sample(h, "oya_vm_uptime_seconds{"));
	assert_false(has_sample(h, "oya_vm_heartbeat_ok{"));
}

static void vm_that_runs_has_what_its_worker_told(void **state)
{
	struct host *h = *state;
	struct vm *vm = add(h, "web", "{" ID "}");

	vm->life = VM_RUNNING;
	vm->started_us = 40 * UINT64_C(1000000) + 1;
	vm->restarts = 2;
	tell(vm, "{\"resets\": 1, \"crashes\": 3, \"cpus\": 1, \"memory_bytes\": 1073741824, "
		 "\"integration\": {\"heartbeat\": {\"state\": \"ok\", \"answers\": 12}, \"kvp\": "
		 "{\"entries\": 5, \"changes_failed\": 6}}}");
	assert_true(has(h, "oya_vms{state=\"running\"} 1"));
	assert_true(has(h, "oya_vm_uptime_seconds{vm=\"web\"} 59"));
	assert_true(has(h, "oya_vm_crash_restarts_total{vm=\"web\"} 2"));
	assert_true(has(h, "oya_vm_cpus{vm=\"web\"} 1"));
	assert_true(has(h, "oya_vm_memory_bytes{vm=\"web\"} 1073741824"));
	assert_true(has(h, "oya_vm_resets_total{vm=\"web\"} 1"));
	assert_true(has(h, "oya_vm_guest_crashes_total{vm=\"web\"} 3"));
	assert_true(has(h, "oya_vm_heartbeat_ok{vm=\"web\"} 1"));
	assert_true(has(h, "oya_vm_heartbeat_answers_total{vm=\"web\"} 12"));
	assert_true(has(h, "oya_vm_kvp_entries{vm=\"web\"} 5"));
	assert_true(has(h, "oya_vm_kvp_changes_failed_total{vm=\"web\"} 6"));
	assert_false(has_sample(h, "oya_vm_keystrokes_total{"));
}

static void lies_of_a_worker_are_left_out(void **state)
{
	struct host *h = *state;
	struct vm *vm = add(h, "web", "{" ID "}");

	tell(vm, "{\"resets\": -1, \"crashes\": \"7\\n\", \"cpus\": 1.5, \"memory_bytes\": null, "
		 "\"integration\": [{\"heartbeat\": 1}]}");
	assert_false(has_sample(h, "oya_vm_resets_total{"));
	assert_false(has_sample(h, "oya_vm_guest_crashes_total{"));
	assert_false(has_sample(h, "oya_vm_cpus{"));
	assert_false(has_sample(h, "oya_vm_memory_bytes{"));
	assert_false(has_sample(h, "oya_vm_heartbeat_ok{"));
	tell(vm, "{\"integration\": {\"heartbeat\": {\"state\": \"\\\"} 9\"}, \"kvp\": 5}}");
	assert_true(has(h, "oya_vm_heartbeat_ok{vm=\"web\"} 0"));
	assert_false(has_sample(h, "oya_vm_kvp_entries{"));
}

static void vm_that_is_being_made_is_not_seen(void **state)
{
	struct host *h = *state;

	add(h, "a", "{" ID "}")->making = true;
	assert_true(has(h, "oya_vms{state=\"off\"} 0"));
	assert_false(has_sample(h, "vm=\"a\""));
	add(h, "b", "{" ID "}");
	assert_true(has(h, "oya_vms{state=\"off\"} 1"));
	assert_true(has_sample(h, "vm=\"b\""));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(host_without_vms_has_its_own_metrics),  TEST(vm_that_is_off_has_its_settings),
		TEST(vm_that_runs_has_what_its_worker_told), TEST(lies_of_a_worker_are_left_out),
		TEST(vm_that_is_being_made_is_not_seen),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
