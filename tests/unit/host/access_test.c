/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#undef fail /* lib/fail.h has one of its own */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "host/access.h"
#include "tests/lib/failheap.h"

#define HASH_A "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define HASH_B "ff112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define TOKEN(name, hash, rest)                                         \
	"{\"name\":\"" name "\",\"role\":\"reader\",\"sha256\":\"" hash \
	"\",\"created\":100,\"expires\":200" rest "}"
#define FILE_OF(tokens, grants) "{\"version\":1,\"tokens\":[" tokens "],\"grants\":[" grants "]}"

static struct access *decode(const char *text)
{
	struct access *a = NULL;
	struct failure f;

	if (access_decode(text, strlen(text), &a, &f) < 0)
		print_error("%s\n", f.text);
	assert_non_null(a);
	return a;
}

static void assert_refused(const char *text, const char *part)
{
	struct access *a = NULL;
	struct failure f = {.text = ""};

	assert_int_equal(access_decode(text, strlen(text), &a, &f), -EINVAL);
	assert_null(a);
	if (strstr(f.text, part))
		return;
	print_error("'%s' is missing in: %s\n", part, f.text);
	_fail(__FILE__, __LINE__);
}

static void a_file_gives_tokens_and_grants(void **state)
{
	struct access *a = decode(
		FILE_OF(TOKEN("ci", HASH_A, ",\"vms\":[\"web\",\"db\"]"),
			"{\"user\":\"anna\",\"role\":\"operator\"},"
			"{\"group\":\"ops\",\"role\":\"administrator\"},"
			"{\"certificate\":\"Anna B\",\"role\":\"reader\",\"vms\":[\"web\"]}"));

	(void)state;
	assert_int_equal(a->tokens, 1);
	assert_int_equal(a->grants, 3);
	assert_int_equal(a->token[0].rights.role, HTTP_READER);
	assert_true(access_covers(&a->token[0].rights, "db"));
	assert_false(access_covers(&a->token[0].rights, "web2"));
	assert_true(access_covers(&a->grant[0].rights, "anything"));
	assert_ptr_equal(access_of_certificate(a, "Anna B"), &a->grant[2].rights);
	assert_null(access_of_certificate(a, "anna"));
	assert_null(access_of_certificate(a, ""));
	access_free(a);
}

static void what_is_not_as_described_is_refused(void **state)
{
	static const struct {
		const char *text, *part;
	} cases[] = {
		{"", "is not JSON"},
		{"[]", "is not an object"},
		{"{}", "'version' is not 1"},
		{"{\"version\":2}", "'version' is not 1"},
		{"{\"version\":1,\"token\":[]}", "has no setting 'token'"},
		{"{\"version\":1,\"version\":1}", "duplicate"},
		{"{\"version\":1,\"tokens\":{}}", "wrong type"},
		{FILE_OF("1", ""), "a token is not an object"},
		{FILE_OF("{}", ""), "is no name of a token"},
		{FILE_OF(TOKEN("-a", HASH_A, ""), ""), "is no name of a token"},
		{FILE_OF(TOKEN("a/b", HASH_A, ""), ""), "is no name of a token"},
		{FILE_OF(TOKEN("a", "00", ""), ""), "not 64 hexadecimal digits"},
		{FILE_OF(TOKEN("a", HASH_A "00", ""), ""), "not 64 hexadecimal digits"},
		{FILE_OF(TOKEN("a", HASH_A, ",\"vms\":[]"), ""), "'vms' has 0 names"},
		{FILE_OF(TOKEN("a", HASH_A, ",\"vms\":[1]"), ""), "no name of a VM"},
		{FILE_OF(TOKEN("a", HASH_A, ",\"vms\":[\"../x\"]"), ""), "no name of a VM"},
		{FILE_OF(TOKEN("a", HASH_A, ",\"vms\":\"a\""), ""), "wrong type"},
		{FILE_OF(TOKEN("a", HASH_A, ""), TOKEN("a", HASH_A, "")), "has no setting"},
		{FILE_OF(TOKEN("a", HASH_A, "") "," TOKEN("a", HASH_B, ""), ""), "twice"},
		{FILE_OF(TOKEN("a", HASH_A, "") "," TOKEN("b", HASH_A, ""), ""), "twice"},
		{FILE_OF("", "{\"user\":\"a\"}"), "'role' is ''"},
		{FILE_OF("", "{\"user\":\"a\",\"role\":\"root\"}"), "'role' is 'root'"},
		{FILE_OF("", "{\"role\":\"reader\"}"), "names one of"},
		{FILE_OF("", "{\"user\":\"a\",\"group\":\"b\",\"role\":\"reader\"}"),
		 "names one of"},
		{FILE_OF("", "{\"user\":\"\",\"role\":\"reader\"}"), "no text of 1 to 64"},
		{FILE_OF("", "{\"user\":\"a\\nb\",\"role\":\"reader\"}"), "no text of 1 to 64"},
		{FILE_OF("", "{\"user\":\"a\\u0000b\",\"role\":\"reader\"}"), "not JSON"},
		{FILE_OF("", "{\"user\":\"a\",\"role\":\"administrator\",\"vms\":[\"a\"]}"),
		 "an administrator is for all VMs"},
		{FILE_OF("{\"name\":\"a\",\"role\":\"reader\",\"sha256\":\"" HASH_A
			 "\",\"created\":1,\"expires\":-1}",
			 ""),
		 "'expires' of a token"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_refused(cases[i].text, cases[i].part);
}

static void there_are_at_most_so_many(void **state)
{
	json_t *root = json_pack("{s:i, s:[]}", "version", 1, "grants");
	json_t *list = json_object_get(root, "grants");
	char *text;

	(void)state;
	for (unsigned i = 0; i <= ACCESS_GRANTS_MAX; i++)
		json_array_append_new(list, json_pack("{s:s, s:s}", "user", "a", "role", "reader"));
	text = json_dumps(root, 0);
	assert_refused(text, "257 grants, at most 256");
	free(text);
	json_decref(root);
}

static void a_token_is_found_by_its_hash_until_it_expires(void **state)
{
	struct access *a = decode(FILE_OF(TOKEN("a", HASH_A, "") "," TOKEN("b", HASH_B, ""), ""));
	uint8_t hash[ACCESS_HASH_BYTES];

	(void)state;
	memcpy(hash, a->token[1].hash, sizeof(hash));
	assert_ptr_equal(access_find(a, hash, 199), &a->token[1]);
	assert_null(access_find(a, hash, 200));
	assert_ptr_equal(access_rights(a, a->token[1].rights.who, 199), &a->token[1].rights);
	assert_null(access_rights(a, a->token[1].rights.who, 200));
	hash[31] ^= 1;
	assert_null(access_find(a, hash, 199));
	assert_null(access_rights(a, 5, 199));
	access_free(a);
}

static void a_users_first_grant_counts_and_names_that_are_unknown_do_not(void **state)
{
	struct access *a = decode(FILE_OF("", "{\"user\":\"x\",\"role\":\"operator\"},"
					      "{\"group\":\"g\",\"role\":\"reader\"},"
					      "{\"user\":\"y\",\"role\":\"administrator\"}"));
	gid_t groups[] = {7, 8};
	struct http_caller caller = {.uid = 5, .gid = 6, .groups = groups, .group_count = 2};

	(void)state;
	a->grant[0].id = a->grant[2].id = 5;
	a->grant[1].id = 8;
	assert_false(access_names_users(a));
	assert_null(access_of_user(a, &caller));
	a->grant[1].known = a->grant[2].known = true;
	assert_true(access_names_users(a));
	assert_ptr_equal(access_of_user(a, &caller), &a->grant[1].rights);
	caller.group_count = 1;
	assert_ptr_equal(access_of_user(a, &caller), &a->grant[2].rights);
	a->grant[1].id = 6;
	assert_ptr_equal(access_of_user(a, &caller), &a->grant[1].rights);
	access_free(a);
}

static void an_order_has_a_name_a_role_and_an_end(void **state)
{
	json_t *body = json_pack("{s:s, s:s, s:[s], s:i}", "name", "ci", "role", "operator", "vms",
				 "web", "days", 2);
	struct access_order order;
	struct failure f;

	(void)state;
	assert_int_equal(access_order_decode(body, 1000, &order, &f), 0);
	assert_string_equal(order.name, "ci");
	assert_int_equal(order.role, HTTP_OPERATOR);
	assert_int_equal(order.expires_s, 1000 + 2 * 86400);
	json_object_set_new(body, "days", json_integer(0));
	assert_int_equal(access_order_decode(body, 1000, &order, &f), -EINVAL);
	json_object_set_new(body, "days", json_integer(ACCESS_DAYS_MAX + 1));
	assert_int_equal(access_order_decode(body, 1000, &order, &f), -EINVAL);
	json_object_del(body, "days");
	assert_int_equal(access_order_decode(body, 1000, &order, &f), 0);
	assert_int_equal(order.expires_s, 1000 + 90 * 86400);
	json_object_set_new(body, "role", json_string("administrator"));
	assert_int_equal(access_order_decode(body, 1000, &order, &f), -EINVAL);
	json_object_del(body, "name");
	assert_int_equal(access_order_decode(body, 1000, &order, &f), -EINVAL);
	json_decref(body);
}

static void tokens_are_added_and_removed_and_others_stay(void **state)
{
	struct access *a = decode(FILE_OF(TOKEN("a", HASH_A, "") "," TOKEN("old", HASH_B, ""),
					  "{\"user\":\"x\",\"role\":\"reader\"}"));
	struct access_order order = {.name = "old",
				     .role = HTTP_READER,
				     .created_s = 150,
				     .expires_s = 300,
				     .hash = {1}};
	struct access *b, *c;
	struct failure f;

	(void)state;
	assert_int_equal(access_add(a, &order, &b, &f), -EEXIST);
	order.name = "new";
	assert_int_equal(access_add(a, &order, &b, &f), 0);
	assert_int_equal(b->tokens, 3);
	assert_int_equal(b->grants, 1);
	assert_int_equal(access_remove(b, "none", 150, &c, &f), -ENOENT);
	/* At 250 the first two have expired: they go with the change. */
	assert_int_equal(access_remove(b, "a", 250, &c, &f), 0);
	assert_int_equal(c->tokens, 1);
	assert_string_equal(c->token[0].name, "new");
	access_free(c);
	order.name = "old";
	order.created_s = 250;
	order.hash[0] = 2;
	assert_int_equal(access_add(b, &order, &c, &f), 0);
	assert_int_equal(c->tokens, 2);
	access_free(c);
	access_free(b);
	access_free(a);
}

static void what_was_encoded_is_decoded_to_the_same(void **state)
{
	struct access *a = decode(FILE_OF(TOKEN("a", HASH_A, ",\"vms\":[\"web\"]"),
					  "{\"user\":\"x\",\"role\":\"reader\"}"));
	char *text = access_encode(a);
	struct access *b = decode(text);

	(void)state;
	assert_true(json_equal(a->root, b->root));
	assert_true(a->token[0].rights.who == b->token[0].rights.who);
	assert_true(a->grant[0].rights.who == b->grant[0].rights.who);
	free(text);
	access_free(a);
	access_free(b);
}

static void a_tokens_text_is_a_prefix_and_64_digits(void **state)
{
	static const uint8_t secret[32] = {1, 0xab};
	uint8_t hash[ACCESS_HASH_BYTES], other[ACCESS_HASH_BYTES];
	char token[ACCESS_TOKEN_LEN + 1];

	(void)state;
	access_write_token(secret, token);
	assert_int_equal(strlen(token), ACCESS_TOKEN_LEN);
	assert_memory_equal(token, "oya_01ab00", 10);
	assert_true(access_hash(token, hash));
	token[67] = '1';
	assert_true(access_hash(token, other));
	assert_memory_not_equal(hash, other, sizeof(hash));
	token[67] = 'A';
	assert_false(access_hash(token, other));
	token[67] = '\0';
	assert_false(access_hash(token, other));
	assert_false(access_hash("", other));
	assert_false(access_hash("oya_", other));
}

static int use_all(void *ctx)
{
	static const char text[] = FILE_OF(TOKEN("a", HASH_A, ",\"vms\":[\"web\"]"),
					   "{\"user\":\"x\",\"role\":\"reader\"}");
	struct access_order order = {
		.name = "b", .role = HTTP_READER, .created_s = 150, .expires_s = 300};
	struct access *a = NULL, *b = NULL;
	struct failure f;
	int r = access_decode(text, sizeof(text) - 1, &a, &f);

	(void)ctx;
	if (r == 0)
		r = access_add(a, &order, &b, &f);
	access_free(a);
	access_free(b);
	return r;
}

static void no_memory_is_a_failure_that_leaves_nothing(void **state)
{
	(void)state;
	assert_true(failheap_sweep(use_all, NULL) >= 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_gives_tokens_and_grants),
		cmocka_unit_test(what_is_not_as_described_is_refused),
		cmocka_unit_test(there_are_at_most_so_many),
		cmocka_unit_test(a_token_is_found_by_its_hash_until_it_expires),
		cmocka_unit_test(a_users_first_grant_counts_and_names_that_are_unknown_do_not),
		cmocka_unit_test(an_order_has_a_name_a_role_and_an_end),
		cmocka_unit_test(tokens_are_added_and_removed_and_others_stay),
		cmocka_unit_test(what_was_encoded_is_decoded_to_the_same),
		cmocka_unit_test(a_tokens_text_is_a_prefix_and_64_digits),
		cmocka_unit_test(no_memory_is_a_failure_that_leaves_nothing),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
