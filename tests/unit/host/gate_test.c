/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The gate with a folder and a pool of its own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#undef fail /* lib/fail.h has one of its own */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "host/gate.h"
#include "host/store.h"

struct set {
	char folder[32];
	struct pool *pool;
	struct gate *gate;
	unsigned changes, answers;
	int code;
	char token[ACCESS_TOKEN_LEN + 1], sentence[FAIL_TEXT_MAX];
};

static void on_changed(void *ctx)
{
	((struct set *)ctx)->changes++;
}

static void on_done(void *ctx, const struct gate *g, int code, const char *name, const char *token,
		    const struct failure *f)
{
	struct set *s = ctx;

	(void)g;
	(void)name;
	s->answers++;
	s->code = code;
	snprintf(s->token, sizeof(s->token), "%s", token ? token : "");
	snprintf(s->sentence, sizeof(s->sentence), "%s", code < 0 ? f->text : "");
}

static void put_file(struct set *s, const char *text)
{
	struct failure f;

	assert_int_equal(store_write(s->folder, ACCESS_FILE, text, strlen(text), &f), 0);
}

static void open_gate(struct set *s)
{
	struct failure f;

	assert_int_equal(gate_new(s->pool, s->folder, on_changed, s, &s->gate, &f), 0);
}

static int set_up(void **state)
{
	struct set *s = calloc(1, sizeof(*s));

	strcpy(s->folder, "/tmp/oya-gate-XXXXXX");
	assert_non_null(mkdtemp(s->folder));
	assert_int_equal(pool_new(1, &s->pool), 0);
	*state = s;
	return 0;
}

static int tear_down(void **state)
{
	struct set *s = *state;
	struct failure f;

	pool_free(s->pool);
	gate_free(s->gate);
	store_remove_folder(s->folder, &f);
	free(s);
	return 0;
}

static void wait_for_answer(struct set *s)
{
	unsigned before = s->answers;
	struct pollfd p = {.fd = pool_fd(s->pool), .events = POLLIN};

	while (s->answers == before) {
		assert_true(poll(&p, 1, 10000) > 0);
		pool_collect(s->pool);
	}
}

/* Asks for a token, and waits for it. */
static void add(struct set *s, const char *name, enum http_role role, const char *vm)
{
	json_t *vms = vm ? json_pack("[s]", vm) : NULL;
	struct access_order order = {.name = name,
				     .role = role,
				     .vms = vms,
				     .created_s = time(NULL),
				     .expires_s = time(NULL) + 60};

	assert_int_equal(gate_add_token(s->gate, &order, on_done, s), 0);
	json_decref(vms);
	wait_for_answer(s);
}

static enum http_role ask(struct set *s, const struct http_caller *caller, const char *token,
			  uint64_t *ret_who)
{
	struct http_identity id = {0};
	enum http_role role;
	char line[128];

	snprintf(line, sizeof(line), "Bearer %s", token ? token : "");
	role = gate_role(s->gate, caller, token ? line : NULL, &id);
	assert_true(!id.limited || !gate_sees_all(s->gate, id.who));
	*ret_who = id.who;
	return role;
}

static void without_a_file_the_kernels_word_alone_counts(void **state)
{
	struct set *s = *state;
	struct http_caller root = {.uid = 0}, other = {.uid = 5},
			   remote = {.remote = true, .address = "192.0.2.1"};
	uint64_t who;

	open_gate(s);
	assert_int_equal(ask(s, &root, NULL, &who), HTTP_ADMINISTRATOR);
	assert_int_equal(who, 0);
	assert_int_equal(ask(s, &other, NULL, &who), HTTP_STRANGER);
	other.in_group = true;
	assert_int_equal(ask(s, &other, NULL, &who), HTTP_ADMINISTRATOR);
	assert_int_equal(ask(s, &remote, NULL, &who), HTTP_UNKNOWN);
	assert_true(gate_sees_all(s->gate, 0) && gate_sees(s->gate, 0, "a"));
}

static void a_token_gives_its_role_and_its_vms_until_it_is_deleted(void **state)
{
	struct set *s = *state;
	struct http_caller remote = {.remote = true, .address = "192.0.2.1"};
	char token[ACCESS_TOKEN_LEN + 1];
	struct stat st;
	char path[64];
	uint64_t who;

	open_gate(s);
	add(s, "ops", HTTP_OPERATOR, "web");
	assert_int_equal(s->code, 0);
	assert_int_equal(s->changes, 1);
	strcpy(token, s->token);
	snprintf(path, sizeof(path), "%s/" ACCESS_FILE, s->folder);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(ask(s, &remote, token, &who), HTTP_OPERATOR);
	assert_true(who && gate_knows(s->gate, who));
	assert_true(gate_sees(s->gate, who, "web"));
	assert_false(gate_sees(s->gate, who, "db"));
	assert_false(gate_sees_all(s->gate, who));
	add(s, "ops", HTTP_READER, NULL);
	assert_int_equal(s->code, -EEXIST);
	assert_string_equal(s->token, "");
	assert_int_equal(gate_remove_token(s->gate, "ops", on_done, s), 0);
	wait_for_answer(s);
	assert_int_equal(s->code, 0);
	assert_int_equal(ask(s, &remote, token, &who), HTTP_UNKNOWN);
}

static void the_files_text_holds_no_token(void **state)
{
	struct set *s = *state;
	char path[64], *text;
	struct failure f;
	size_t len;

	open_gate(s);
	add(s, "a", HTTP_READER, NULL);
	snprintf(path, sizeof(path), "%s/" ACCESS_FILE, s->folder);
	assert_int_equal(store_read(path, 65536, &text, &len, &f), 0);
	assert_null(strstr(text, s->token + strlen(ACCESS_TOKEN_PREFIX)));
	free(text);
}

static void a_wrong_token_is_refused_even_of_root(void **state)
{
	struct set *s = *state;
	struct http_caller root = {.uid = 0};
	struct http_identity id = {0};
	uint64_t who = 0;

	open_gate(s);
	assert_int_equal(ask(s, &root, "oya_x", &who), HTTP_UNKNOWN);
	assert_int_equal(gate_role(s->gate, &root, "Basic YTpi", &id), HTTP_UNKNOWN);
	assert_int_equal(gate_role(s->gate, &root, "", &id), HTTP_UNKNOWN);
}

static void wrong_tokens_are_held_back_and_right_ones_are_not(void **state)
{
	struct set *s = *state;
	struct http_caller remote = {.remote = true, .address = "192.0.2.1", .peer = 1},
			   other = {.remote = true, .address = "192.0.2.1", .peer = 2};
	uint64_t who;

	open_gate(s);
	add(s, "a", HTTP_READER, NULL);
	for (unsigned i = 0; i < GATE_FAILURES_MAX; i++)
		assert_int_equal(ask(s, &remote, "oya_x", &who), HTTP_UNKNOWN);
	assert_int_equal(ask(s, &remote, "oya_x", &who), HTTP_HELD_BACK);
	assert_int_equal(ask(s, &other, "oya_x", &who), HTTP_UNKNOWN);
	assert_int_equal(ask(s, &remote, s->token, &who), HTTP_READER);
}

static void what_an_administrator_writes_meanwhile_is_taken_over(void **state)
{
	struct set *s = *state;
	struct http_caller remote = {.remote = true, .certificate = "anna"};
	uint64_t who;

	open_gate(s);
	put_file(s, "{\"version\":1,\"grants\":[{\"certificate\":\"anna\",\"role\":\"reader\"}]}");
	assert_int_equal(ask(s, &remote, NULL, &who), HTTP_UNKNOWN);
	add(s, "a", HTTP_READER, NULL);
	assert_int_equal(ask(s, &remote, NULL, &who), HTTP_READER);
	put_file(s, "{\"version\":1}");
	assert_int_equal(gate_reload(s->gate, on_done, s), 0);
	wait_for_answer(s);
	assert_int_equal(ask(s, &remote, NULL, &who), HTTP_UNKNOWN);
	assert_false(gate_knows(s->gate, 99));
}

static void a_file_that_is_wrong_gives_nobody_access_and_is_not_written_over(void **state)
{
	struct set *s = *state;
	struct http_caller root = {.uid = 0};
	uint64_t who;

	put_file(s, "{\"version\":1,");
	open_gate(s);
	assert_int_equal(ask(s, &root, NULL, &who), HTTP_ADMINISTRATOR);
	add(s, "a", HTTP_READER, NULL);
	assert_int_equal(s->code, -EINVAL);
	assert_non_null(strstr(s->sentence, "not JSON"));
	assert_int_equal(s->changes, 0);
}

static void users_of_the_system_are_found_by_name(void **state)
{
	struct set *s = *state;
	struct http_caller nobody = {.uid = 65534, .gid = 65534};
	uint64_t who;

	put_file(s, "{\"version\":1,\"grants\":[{\"user\":\"nobody\",\"role\":\"operator\","
		    "\"vms\":[\"web\"]},{\"user\":\"no such user\",\"role\":\"reader\"}]}");
	open_gate(s);
	assert_int_equal(ask(s, &nobody, NULL, &who), HTTP_OPERATOR);
	assert_true(gate_sees(s->gate, who, "web") && !gate_sees(s->gate, who, "db"));
}

static void a_member_of_the_cluster_is_an_administrator_by_its_certificate(void **state)
{
	struct set *s = *state;
	struct members list = {.count = 1};
	struct http_caller remote = {.remote = true, .address = "192.0.2.1"}, local = {.uid = 5};
	uint64_t who;

	open_gate(s);
	strcpy(list.member[0].name, "h2");
	memset(list.member[0].peer.fingerprint, 'a', 64);
	memset(remote.fingerprint, 'a', 64);
	memset(local.fingerprint, 'a', 64);
	assert_int_equal(ask(s, &remote, NULL, &who), HTTP_UNKNOWN);
	gate_set_members(s->gate, &list);
	assert_int_equal(s->changes, 1);
	assert_int_equal(ask(s, &remote, NULL, &who), HTTP_ADMINISTRATOR);
	assert_true(who && gate_knows(s->gate, who) && gate_sees_all(s->gate, who));
	assert_true(gate_sees(s->gate, who, "web"));
	/* A token counts before it, and the kernel's word is another thing. */
	assert_int_equal(ask(s, &remote, "oya_1", &who), HTTP_UNKNOWN);
	assert_int_equal(ask(s, &local, NULL, &who), HTTP_STRANGER);
	remote.fingerprint[3] = 'b';
	assert_int_equal(ask(s, &remote, NULL, &who), HTTP_UNKNOWN);
	remote.fingerprint[0] = '\0';
	assert_int_equal(ask(s, &remote, NULL, &who), HTTP_UNKNOWN);
	memset(remote.fingerprint, 'a', 64);
	assert_int_equal(ask(s, &remote, NULL, &who), HTTP_ADMINISTRATOR);
	gate_set_members(s->gate, NULL);
	assert_false(gate_knows(s->gate, who) || gate_sees_all(s->gate, who));
	assert_int_equal(ask(s, &remote, NULL, &who), HTTP_UNKNOWN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(without_a_file_the_kernels_word_alone_counts,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_token_gives_its_role_and_its_vms_until_it_is_deleted, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_files_text_holds_no_token, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_wrong_token_is_refused_even_of_root, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(wrong_tokens_are_held_back_and_right_ones_are_not,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			what_an_administrator_writes_meanwhile_is_taken_over, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_file_that_is_wrong_gives_nobody_access_and_is_not_written_over, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(users_of_the_system_are_found_by_name, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(
			a_member_of_the_cluster_is_an_administrator_by_its_certificate, set_up,
			tear_down),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
