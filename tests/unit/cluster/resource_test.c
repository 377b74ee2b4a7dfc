/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The agent ocf:oya:vm: its parameters, what it asks of oyad, and what it makes of the answers. */
#include "cluster/resource/ocf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#undef fail /* lib/fail.h has one of its own */
#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "tests/lib/failheap.h"
#include "tests/lib/fakeapi.h"

#define UUID "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
#define VM_IS(state, heartbeat)                                                                   \
	FAKEAPI_JSON("200 OK",                                                                    \
		     "{\"uuid\": \"" UUID "\", \"state\": \"" state                               \
		     "\", \"status\": {\"integration\": {\"heartbeat\": {\"state\": \"" heartbeat \
		     "\"}}}}")

static struct fakeapi server;

static enum ocf act(const char *action)
{
	static const struct ocf_agent *const agents[] = {&ocf_vm};
	char name[] = "/usr/lib/ocf/resource.d/oya/vm", *argv[] = {name, (char *)(uintptr_t)action};

	return ocf_main(agents, 1, 2, argv);
}

static int set_up(void **state)
{
	(void)state;
	setenv("OCF_RESKEY_name", "web", 1);
	setenv("OCF_RESKEY_uuid", UUID, 1);
	setenv("OCF_RESKEY_folder", "/shared/web", 1);
	setenv("OYA_RUN", "/nowhere", 1);
	unsetenv("OCF_CHECK_LEVEL");
	unsetenv("OCF_RESKEY_probe");
	unsetenv("OCF_RESKEY_probe_failures");
	return 0;
}

/* The action, with one answer of oyad. */
static enum ocf act_by(const char *action, const char *request, const char *answer)
{
	const struct fakeapi_answer answers[] = {{request, answer, false}};
	enum ocf said;

	fakeapi_start(&server, answers, 1);
	setenv("OYA_SOCKET", server.path, 1);
	said = act(action);
	assert_true(fakeapi_stop(&server));
	return said;
}

static enum ocf monitor(const char *answer)
{
	return act_by("monitor", "GET /v1/vms/web ", answer);
}

static void parameters_that_are_none_are_refused(void **state)
{
	static const struct {
		const char *name, *value;
	} wrong[] = {
		{"OCF_RESKEY_name", ""},           {"OCF_RESKEY_uuid", ""},
		{"OCF_RESKEY_uuid", "6ba7b810"},   {"OCF_RESKEY_folder", ""},
		{"OCF_RESKEY_folder", "relative"}, {"OCF_RESKEY_folder", "/shared/../web"},
	};
	static const char *const all[] = {"start", "stop", "monitor", "validate-all"};

	assert_int_equal(act("validate-all"), OCF_SUCCESS);
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		setenv(wrong[i].name, wrong[i].value, 1);
		for (size_t n = 0; n < ARRAY_LEN(all); n++)
			assert_int_equal(act(all[n]), OCF_ERR_CONFIGURED);
		set_up(state);
	}
}

static void what_it_cannot_do_is_said(void **state)
{
	(void)state;
	assert_int_equal(act("promote"), OCF_ERR_UNIMPLEMENTED);
	assert_non_null(strstr(ocf_vm.metadata, "<resource-agent name=\"vm\""));
	assert_int_equal(ocf_main((const struct ocf_agent *const[]){&ocf_vm}, 1, 1,
				  (char *[]){(char *)(uintptr_t) "vm"}),
			 OCF_ERR_ARGS);
}

static void a_state_is_told_as_the_engine_knows_it(void **state)
{
	static const struct {
		const char *answer;
		enum ocf said;
	} cases[] = {
		{VM_IS("running", "ok"), OCF_SUCCESS},
		{VM_IS("running", "lost-contact"), OCF_SUCCESS},
		{VM_IS("paused", "lost-contact"), OCF_SUCCESS},
		{VM_IS("starting", "no-contact"), OCF_SUCCESS},
		{VM_IS("stopping", "ok"), OCF_SUCCESS},
		{VM_IS("off", "ok"), OCF_NOT_RUNNING},
		{VM_IS("saved", "ok"), OCF_NOT_RUNNING},
		{VM_IS("waiting", "ok"), OCF_NOT_RUNNING},
		{VM_IS("incoming", "ok"), OCF_NOT_RUNNING},
		{FAKEAPI_JSON("200 OK", "{\"uuid\": \"another\", \"state\": \"running\"}"),
		 OCF_NOT_RUNNING},
		{FAKEAPI_JSON("200 OK", "{\"state\": \"running\"}"), OCF_NOT_RUNNING},
		{FAKEAPI_PROBLEM("404 Not Found", "there is no VM 'web'"), OCF_NOT_RUNNING},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(monitor(cases[i].answer), cases[i].said);
}

static void a_guest_is_asked_for_at_the_deeper_level(void **state)
{
	(void)state;
	setenv("OCF_CHECK_LEVEL", "10", 1);
	assert_int_equal(monitor(VM_IS("running", "ok")), OCF_SUCCESS);
	assert_int_equal(monitor(VM_IS("running", "no-contact")), OCF_SUCCESS);
	assert_int_equal(monitor(VM_IS("running", "lost-contact")), OCF_ERR_GENERIC);
	assert_int_equal(monitor(VM_IS("paused", "lost-contact")), OCF_SUCCESS);
}

static void make_folder(char path[128], const char *root, const char *below)
{
	snprintf(path, 128, "%s%s", root, below);
	assert_int_equal(mkdir(path, 0700), 0);
}

static void without_oyad_the_lock_of_the_worker_tells(void **state)
{
	char root[] = "/tmp/oya-resource-test-XXXXXX", vm[128], folder[128], path[160];
	int fd;

	(void)state;
	assert_non_null(mkdtemp(root));
	setenv("OYA_RUN", root, 1);
	setenv("OYA_SOCKET", "/nowhere/api", 1);
	assert_int_equal(act("monitor"), OCF_NOT_RUNNING);
	assert_int_equal(act("stop"), OCF_SUCCESS);
	make_folder(vm, root, "/vm");
	make_folder(folder, root, "/vm/" UUID);
	snprintf(path, sizeof(path), "%s/end", folder);
	fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(act("monitor"), OCF_NOT_RUNNING);
	assert_int_equal(flock(fd, LOCK_EX), 0);
	assert_int_equal(act("monitor"), OCF_SUCCESS);
	/* One that answers nonsense is as good as none. */
	assert_int_equal(monitor("SSH-2.0\r\n\r\n"), OCF_SUCCESS);
	assert_int_equal(monitor(FAKEAPI_JSON("200 OK", "{")), OCF_SUCCESS);
	assert_int_equal(monitor(FAKEAPI_PROBLEM("503 Busy", "later")), OCF_SUCCESS);
	close(fd);
	assert_int_equal(monitor(FAKEAPI_PROBLEM("503 Busy", "later")), OCF_NOT_RUNNING);
	unlink(path);
	rmdir(folder);
	rmdir(vm);
	rmdir(root);
}

/* A port of this host, which takes connections. */
static int open_port(char url[64])
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
	assert_int_equal(listen(fd, 8), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
	snprintf(url, 64, "tcp://127.0.0.1:%u", ntohs(address.sin_port));
	return fd;
}

#define RESET_IS(resets)                                                           \
	FAKEAPI_JSON("200 OK", "{\"uuid\": \"" UUID "\", \"state\": \"running\", " \
			       "\"status\": {\"resets\": " resets "}}")

static void a_probe_counts_once_the_guest_has_answered_since_its_start(void **state)
{
	char root[] = "/tmp/oya-resource-test-XXXXXX", vm[128], folder[128], path[160], url[64];
	int port;

	(void)state;
	assert_non_null(mkdtemp(root));
	setenv("OYA_RUN", root, 1);
	make_folder(vm, root, "/vm");
	make_folder(folder, root, "/vm/" UUID);
	port = open_port(url);
	setenv("OCF_RESKEY_probe", url, 1);
	setenv("OCF_RESKEY_probe_failures", "2", 1);
	assert_int_equal(act("validate-all"), OCF_SUCCESS);
	setenv("OCF_CHECK_LEVEL", "20", 1);
	assert_int_equal(monitor(RESET_IS("0")), OCF_SUCCESS);
	close(port);
	assert_int_equal(monitor(RESET_IS("0")), OCF_SUCCESS); /* once */
	setenv("OCF_CHECK_LEVEL", "10", 1);
	assert_int_equal(monitor(RESET_IS("0")), OCF_SUCCESS); /* asks no probe */
	setenv("OCF_CHECK_LEVEL", "20", 1);
	assert_int_equal(monitor(RESET_IS("0")), OCF_ERR_GENERIC);
	/* A guest that boots anew has not answered yet. */
	for (int i = 0; i < 3; i++)
		assert_int_equal(monitor(RESET_IS("1")), OCF_SUCCESS);
	/* What is no note, and no probe, stops nothing. */
	snprintf(path, sizeof(path), "%s/probe", folder);
	assert_int_equal(truncate(path, 3), 0);
	assert_int_equal(monitor(RESET_IS("1")), OCF_SUCCESS);
	setenv("OCF_RESKEY_probe", "ftp://127.0.0.1:21", 1);
	assert_int_equal(monitor(RESET_IS("1")), OCF_SUCCESS);
	assert_int_equal(act("validate-all"), OCF_ERR_CONFIGURED);
	unlink(path);
	rmdir(folder);
	rmdir(vm);
	rmdir(root);
}

static void start_and_stop_are_asked_of_oyad(void **state)
{
	(void)state;
	assert_int_equal(
		act_by("start", "POST /v1/clustered/web/start ", "HTTP/1.0 204 No Content\r\n\r\n"),
		OCF_SUCCESS);
	assert_non_null(
		strstr(server.seen[0], "{\"uuid\":\"" UUID "\",\"folder\":\"/shared/web\"}"));
	assert_int_equal(act_by("start", "POST /v1/clustered/web/start ",
				FAKEAPI_PROBLEM("409 Conflict", "n2 holds its lease")),
			 OCF_ERR_GENERIC);
	assert_int_equal(
		act_by("stop", "POST /v1/clustered/web/stop ", "HTTP/1.0 204 No Content\r\n\r\n"),
		OCF_SUCCESS);
	assert_non_null(strstr(server.seen[0], "{\"uuid\":\"" UUID "\"}"));
	assert_int_equal(act_by("stop", "POST /v1/clustered/web/stop ",
				FAKEAPI_PROBLEM("409 Conflict", "it does not end")),
			 OCF_ERR_GENERIC);
}

/* By what the job comes to. */
static enum ocf migrate_by(const char *first, const char *last)
{
	const struct fakeapi_answer answers[] = {
		{"POST /v1/clustered/web/migrate ", FAKEAPI_JSON("202 Accepted", "{\"id\": 7}"),
		 false},
		{"GET /v1/jobs/7 ", first, false},
		{"GET /v1/jobs/7 ", last, false},
	};
	enum ocf said;

	setenv("OCF_RESKEY_CRM_meta_migrate_target", "n2", 1);
	fakeapi_start(&server, answers, last ? 3 : 2);
	setenv("OYA_SOCKET", server.path, 1);
	said = act("migrate_to");
	assert_true(fakeapi_stop(&server));
	return said;
}

static void a_move_is_followed_to_its_end(void **state)
{
	static const char runs[] = FAKEAPI_JSON("200 OK", "{\"state\": \"running\"}");

	(void)state;
	assert_int_equal(migrate_by(runs, FAKEAPI_JSON("200 OK", "{\"state\": \"done\"}")),
			 OCF_SUCCESS);
	assert_non_null(strstr(server.seen[0], "{\"uuid\":\"" UUID "\",\"node\":\"n2\"}"));
	assert_int_equal(
		migrate_by(FAKEAPI_JSON("200 OK", "{\"state\": \"failed\", \"problem\": \"why\"}"),
			   NULL),
		OCF_ERR_GENERIC);
	/* An oyad that came back knows it no more: the VM has gone, as no worker lives. */
	assert_int_equal(migrate_by(runs, FAKEAPI_PROBLEM("404 Not Found", "no job")), OCF_SUCCESS);
	assert_int_equal(migrate_by(FAKEAPI_PROBLEM("500 Fault", "broken"), NULL), OCF_ERR_GENERIC);
	assert_int_equal(act_by("migrate_to", "POST /v1/clustered/web/migrate ",
				FAKEAPI_PROBLEM("409 Conflict", "it is off")),
			 OCF_ERR_GENERIC);
	assert_int_equal(act_by("migrate_from", "GET /v1/vms/web ", VM_IS("running", "ok")),
			 OCF_SUCCESS);
	assert_int_equal(act_by("migrate_from", "GET /v1/vms/web ", VM_IS("incoming", "ok")),
			 OCF_NOT_RUNNING);
}

static void a_name_is_one_part_of_a_path(void **state)
{
	(void)state;
	setenv("OCF_RESKEY_name", "a/b", 1);
	assert_int_equal(act_by("stop", "POST /v1/clustered/a%2Fb/stop ",
				FAKEAPI_PROBLEM("404 Not Found", "there is none")),
			 OCF_ERR_GENERIC);
}

static int call_once(void *ctx)
{
	const struct fakeapi_answer answers[] = {
		{"GET /v1/x ", FAKEAPI_JSON("200 OK", "{}"), false}};
	json_t *answer = NULL;
	struct failure f;
	unsigned status;
	int r;

	(void)ctx;
	fakeapi_start(&server, answers, 1);
	setenv("OYA_SOCKET", server.path, 1);
	r = ocf_call(&(struct ocf_call){.method = "GET", .target = "/v1/x"}, &status, &answer, &f);
	json_decref(answer);
	(void)fakeapi_stop(&server);
	return r;
}

static void a_call_survives_a_failing_heap(void **state)
{
	(void)state;
	assert_true(failheap_sweep(call_once, NULL) > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(parameters_that_are_none_are_refused, set_up),
		cmocka_unit_test_setup(what_it_cannot_do_is_said, set_up),
		cmocka_unit_test_setup(a_state_is_told_as_the_engine_knows_it, set_up),
		cmocka_unit_test_setup(a_guest_is_asked_for_at_the_deeper_level, set_up),
		cmocka_unit_test_setup(without_oyad_the_lock_of_the_worker_tells, set_up),
		cmocka_unit_test_setup(a_probe_counts_once_the_guest_has_answered_since_its_start,
				       set_up),
		cmocka_unit_test_setup(start_and_stop_are_asked_of_oyad, set_up),
		cmocka_unit_test_setup(a_move_is_followed_to_its_end, set_up),
		cmocka_unit_test_setup(a_name_is_one_part_of_a_path, set_up),
		cmocka_unit_test_setup(a_call_survives_a_failing_heap, set_up),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
