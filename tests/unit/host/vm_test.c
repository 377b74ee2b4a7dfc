/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a VM makes of what its worker tells, by a socket in the worker's place.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#undef fail /* lib/fail.h has one of its own */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "host/host.h"
#include "host/vm.h"

#define UUID "6ba7b810-9dad-11d1-80b4-00c04fd430c8"

struct set {
	struct host host;
	struct vm *vm;
	char run[64];
	struct sockaddr_un control;
	int listener, worker;
};

static void make_listener(struct set *s)
{
	char folder[128];

	strcpy(s->run, "/tmp/oya-vm-test-XXXXXX");
	assert_non_null(mkdtemp(s->run));
	snprintf(folder, sizeof(folder), "%s/vm", s->run);
	assert_int_equal(mkdir(folder, 0700), 0);
	snprintf(folder, sizeof(folder), "%s/vm/" UUID, s->run);
	assert_int_equal(mkdir(folder, 0700), 0);
	s->control.sun_family = AF_UNIX;
	snprintf(s->control.sun_path, sizeof(s->control.sun_path), "%s/vm/" UUID "/control",
		 s->run);
	s->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(s->listener, (struct sockaddr *)&s->control, sizeof(s->control)), 0);
	assert_int_equal(listen(s->listener, 4), 0);
}

static int set_up(void **state)
{
	static const char text[] = "{\"version\": 1, \"uuid\": \"" UUID "\"}";
	struct set *s = calloc(1, sizeof(*s));
	struct settings *settings;
	struct failure f;

	assert_non_null(s);
	make_listener(s);
	assert_true(sd_event_new(&s->host.event) >= 0);
	list_init(&s->host.vms);
	list_init(&s->host.jobs);
	s->host.run = s->run;
	assert_int_equal(settings_decode(text, sizeof(text) - 1, &settings, &f), 0);
	s->vm = vm_new(&s->host, "web", "/folder", settings);
	assert_non_null(s->vm);
	host_add(&s->host, s->vm);
	s->vm->life = VM_STARTING;
	vm_worker_connect(s->vm);
	s->worker = accept(s->listener, NULL, NULL);
	assert_true(s->worker >= 0);
	*state = s;
	return 0;
}

static int tear_down(void **state)
{
	struct set *s = *state;
	char folder[128];

	host_remove(&s->host, s->vm);
	close(s->worker);
	close(s->listener);
	sd_event_unref(s->host.event);
	unlink(s->control.sun_path);
	snprintf(folder, sizeof(folder), "%s/vm/" UUID, s->run);
	rmdir(folder);
	snprintf(folder, sizeof(folder), "%s/vm", s->run);
	rmdir(folder);
	rmdir(s->run);
	free(s);
	return 0;
}

static void tell(struct set *s, const char *line)
{
	assert_int_equal(write(s->worker, line, strlen(line)), strlen(line));
	while (sd_event_run(s->host.event, 0) > 0)
		;
}

static void assert_short(const struct set *s, const char *heartbeat, const char *address)
{
	json_t *shown = vm_show_short(s->vm);
	const json_t *beat = json_object_get(shown, "heartbeat");
	const json_t *at = json_object_get(shown, "address");

	if (heartbeat)
		assert_string_equal(json_string_value(beat), heartbeat);
	else
		assert_true(json_is_null(beat));
	if (address)
		assert_string_equal(json_string_value(at), address);
	else
		assert_true(json_is_null(at));
	json_decref(shown);
}

static void words_of_the_worker_are_shown(void **state)
{
	struct set *s = *state;

	assert_short(s, NULL, NULL);
	tell(s, "{\"ok\":true,\"result\":{\"state\":\"running\",\"integration\":{\"heartbeat\":"
		"{\"state\":\"ok\"}}}}\n");
	assert_int_equal(s->vm->life, VM_RUNNING);
	tell(s, "{\"ok\":true,\"result\":{\"NetworkAddressIPv4\":\"192.0.2.1\"}}\n");
	assert_short(s, "ok", "192.0.2.1");
	tell(s, "{\"event\":\"status\",\"result\":{\"state\":\"paused\"}}\n");
	assert_int_equal(s->vm->life, VM_PAUSED);
	assert_short(s, NULL, "192.0.2.1");
}

static void what_is_no_text_is_not_shown_as_one(void **state)
{
	struct set *s = *state;

	tell(s, "{\"ok\":true,\"result\":{\"state\":\"running\",\"integration\":{\"heartbeat\":"
		"{\"state\":{\"ok\":1}}}}}\n");
	tell(s, "{\"ok\":true,\"result\":{\"OSName\":\"x\",\"NetworkAddressIPv4\":[5]}}\n");
	assert_int_equal(s->vm->life, VM_RUNNING);
	assert_null(s->vm->guest);
	assert_short(s, NULL, NULL);
	tell(s, "{\"event\":\"status\",\"result\":{\"state\":7,\"integration\":[]}}\n");
	assert_int_equal(s->vm->life, VM_RUNNING);
	assert_short(s, NULL, NULL);
}

static void facts_beyond_the_limit_are_not_taken(void **state)
{
	struct set *s = *state;
	char line[8192];
	int len = snprintf(line, sizeof(line), "{\"ok\":true,\"result\":{");

	tell(s, "{\"ok\":true,\"result\":{\"state\":\"running\"}}\n");
	for (unsigned i = 0; i < 129; i++)
		len += snprintf(line + len, sizeof(line) - (size_t)len, "%s\"k%u\":\"v\"",
				i ? "," : "", i);
	snprintf(line + len, sizeof(line) - (size_t)len, "}}\n");
	tell(s, line);
	assert_null(s->vm->guest);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(words_of_the_worker_are_shown),
		TEST(what_is_no_text_is_not_shown_as_one),
		TEST(facts_beyond_the_limit_are_not_taken),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
