/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The list of a cluster's members, and what Corosync is told of it. */
#include "host/members.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "tests/lib/failheap.h"

#define UUID(n) "6ba7b810-9dad-11d1-80b4-00c04fd430c" n
#define DIGITS(n) n n n n n n n n n n n n n n n n n n n n n n n n n n n n n n n n
#define MEMBER(n, more)                                                   \
	"{\"name\":\"h" n                                                 \
	"\",\"host\":\"" UUID(n) "\",\"id\":" n ",\"links\":[\"10.0.0." n \
				 "\"],\"api\":\"10.0.0." n                \
				 ":7443\",\"fingerprint\":\"" DIGITS("a" n) "\"" more "}"
#define LIST(members)                                       \
	"{\"version\":1,\"name\":\"lab\",\"uuid\":\"" UUID( \
		"0") "\",\"number\":3,\"members\":[" members "]}"

static struct members decode(const char *text)
{
	struct members m;
	struct failure f = {""};

	if (members_decode(text, strlen(text), &m, &f) < 0)
		fail_msg("%s", f.text);
	return m;
}

static void refused(const char *text, const char *sentence)
{
	struct members m;
	struct failure f;

	assert_int_equal(members_decode(text, strlen(text), &m, &f), -EINVAL);
	if (!strstr(f.text, sentence))
		fail_msg("'%s' has no '%s'", f.text, sentence);
}

static void a_list_comes_back_from_its_encoding(void **state)
{
	struct members m = decode(LIST(MEMBER("1", "") "," MEMBER("2", ""))), again;
	json_t *root = members_to_json(&m);
	struct guid host;
	struct failure f;

	(void)state;
	assert_int_equal(members_of_json(root, &again, &f), 0);
	json_decref(root);
	assert_true(again.count == 2 && again.number == 3 && again.member[1].id == 2);
	assert_string_equal(again.name, "lab");
	assert_string_equal(again.member[1].link[0], "10.0.0.2");
	assert_string_equal(again.member[1].peer.name, "10.0.0.2:7443");
	assert_int_equal(guid_parse(UUID("2"), &host), 0);
	assert_ptr_equal(members_find_host(&m, &host), &m.member[1]);
	assert_ptr_equal(members_find(&m, "h1"), &m.member[0]);
	assert_ptr_equal(members_find_fingerprint(&m, DIGITS("a1")), &m.member[0]);
	assert_null(members_find_fingerprint(&m, ""));
	assert_null(members_find(&m, "h3"));
}

static void what_is_no_list_is_refused(void **state)
{
	(void)state;
	refused("", "not JSON");
	refused("[]", "the file");
	refused(LIST(""), "0 members");
	refused(LIST(MEMBER("1", ",\"more\":1")), "more");
	refused("{\"version\":2,\"name\":\"lab\"}", "version");
	refused(LIST("{\"name\":\"../x\"}"), "no name");
	refused(LIST("{\"name\":\"a\",\"host\":\"b\"}"), "no UUID");
	refused(LIST("{\"name\":\"a\",\"host\":\"" UUID("1") "\",\"links\":[\"h1\"]}"),
		"no IP address");
	refused(LIST("{\"name\":\"a\",\"host\":\"" UUID("1") "\",\"links\":[\"::1\"],"
							     "\"api\":\"a:7443\"}"),
		"64 digits");
	refused(LIST("{\"name\":\"a\",\"host\":\"" UUID("1") "\",\"links\":[]}"), "0 links");
}

static void two_members_share_nothing(void **state)
{
	(void)state;
	refused(LIST(MEMBER("1", "") "," MEMBER("1", "")), "the same name");
	refused(LIST(MEMBER("1", "") ",{\"name\":\"h2\",\"host\":\"" UUID(
			"1") "\",\"id\":2,\"links\":[\"10.0.0.2\"],\"api\":\"10.0.0.2:7443\","
			     "\"fingerprint\":\"" DIGITS("a2") "\"}"),
		"the same UUID");
	refused(LIST(MEMBER("1", "") ",{\"name\":\"h2\",\"host\":\"" UUID(
			"2") "\",\"id\":2,\"links\":[\"10.0.0.1\"],\"api\":\"10.0.0.2:7443\","
			     "\"fingerprint\":\"" DIGITS("a2") "\"}"),
		"the same address of a link");
	refused(LIST(MEMBER("1", "") ",{\"name\":\"h2\",\"host\":\"" UUID(
			"2") "\",\"id\":2,\"links\":[\"10.0.0.2\",\"10.0.1.2\"],"
			     "\"api\":\"10.0.0.2:7443\",\"fingerprint\":\"" DIGITS("a2") "\"}"),
		"all hosts have as many");
}

static struct member another(unsigned n)
{
	struct member m = {.links = 1};
	struct failure f;
	char text[32];

	snprintf(m.name, sizeof(m.name), "n%u", n);
	m.host.b[0] = (uint8_t)(n + 1);
	snprintf(m.link[0], sizeof(m.link[0]), "10.1.0.%u", n);
	snprintf(text, sizeof(text), "10.1.0.%u", n);
	assert_int_equal(peer_decode_name(text, &m.peer, &f), 0);
	memset(m.peer.fingerprint, 'b', 64);
	m.peer.fingerprint[0] = (char)('0' + n % 10);
	m.peer.fingerprint[1] = (char)('0' + n / 10);
	return m;
}

static void members_come_and_go_with_the_number(void **state)
{
	struct members m = decode(LIST(MEMBER("1", "") "," MEMBER("2", ""))), full;
	struct member more = another(1);
	struct failure f;

	(void)state;
	assert_int_equal(members_remove(&m, "h1", &m, &f), 0);
	assert_true(m.count == 1 && m.number == 4);
	assert_int_equal(members_remove(&m, "h1", &m, &f), -ENOENT);
	assert_int_equal(members_add(&m, &more, &m, &f), 0);
	/* The id of one that has gone is taken again. */
	assert_true(m.count == 2 && m.number == 5 && m.member[1].id == 1);
	assert_int_equal(members_add(&m, &more, &m, &f), -EINVAL);
	assert_int_equal(m.number, 5);
	full = m;
	for (unsigned n = 2; full.count < MEMBERS_MAX; n++) {
		more = another(n);
		assert_int_equal(members_add(&full, &more, &full, &f), 0);
	}
	more = another(50);
	assert_int_equal(members_add(&full, &more, &full, &f), -ENOSPC);
}

static void corosync_is_told_of_every_node_and_link(void **state)
{
	struct members m = decode(LIST(MEMBER("1", "") "," MEMBER("2", "")));
	char *text = members_corosync(&m);
	struct failure f;

	(void)state;
	assert_non_null(text);
	assert_int_equal(strncmp(text, "# Written by oyad", 17), 0);
	assert_non_null(strstr(text, "two_node: 1"));
	assert_non_null(strstr(text, "crypto_cipher: aes256"));
	assert_non_null(strstr(text, "token: 1000"));
	assert_non_null(strstr(text, "name: h2\n\t\tnodeid: 2\n\t\tring0_addr: 10.0.0.2"));
	assert_null(strstr(text, "linknumber: 1"));
	free(text);
	for (unsigned n = 3; n < 4; n++) {
		struct member more = another(n);

		assert_int_equal(members_add(&m, &more, &m, &f), 0);
	}
	text = members_corosync(&m);
	assert_null(strstr(text, "two_node"));
	free(text);
}

static void a_witness_votes_where_there_is_no_odd_host(void **state)
{
	struct members m = decode(LIST(MEMBER("1", "") "," MEMBER("2", ""))), again;
	struct member more = another(3);
	struct failure f;
	json_t *root;
	char *text;

	(void)state;
	assert_int_equal(members_set_witness(&m, "dev/sdb", &again, &f), -EINVAL);
	assert_int_equal(members_set_witness(&m, "/dev/sd b", &again, &f), -EINVAL);
	assert_int_equal(members_set_witness(&m, "/dev/{b", &again, &f), -EINVAL);
	assert_int_equal(members_set_witness(&m, "/dev/sdb", &m, &f), 0);
	assert_int_equal(m.number, 4);
	root = members_to_json(&m);
	assert_int_equal(json_integer_value(json_object_get(root, "version")), 2);
	assert_int_equal(members_of_json(root, &again, &f), 0);
	assert_string_equal(again.witness, "/dev/sdb");
	json_object_set_new(root, "version", json_integer(1));
	assert_int_equal(members_of_json(root, &again, &f), -EINVAL);
	json_decref(root);
	text = members_corosync(&m);
	assert_non_null(strstr(text, "path: /dev/sdb\n"));
	assert_null(strstr(text, "two_node"));
	free(text);
	assert_int_equal(members_add(&m, &more, &m, &f), 0);
	assert_false(members_witness_votes(&m));
	text = members_corosync(&m);
	assert_null(strstr(text, "device {"));
	free(text);
	assert_int_equal(members_remove(&m, "h1", &m, &f), 0);
	assert_int_equal(members_set_witness(&m, "", &m, &f), 0);
	text = members_corosync(&m);
	assert_non_null(strstr(text, "two_node: 1"));
	free(text);
}

static int decode_and_encode(void *ctx)
{
	struct members m;
	struct failure f;
	char *text;
	int r = members_decode(ctx, strlen(ctx), &m, &f);

	if (r < 0)
		return r;
	text = members_corosync(&m);
	free(text);
	return text ? 0 : -ENOMEM;
}

static void no_memory_is_told_and_leaves_nothing(void **state)
{
	(void)state;
	failheap_sweep(decode_and_encode, (char *)(uintptr_t)LIST(MEMBER("1", "")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_list_comes_back_from_its_encoding),
		cmocka_unit_test(what_is_no_list_is_refused),
		cmocka_unit_test(two_members_share_nothing),
		cmocka_unit_test(members_come_and_go_with_the_number),
		cmocka_unit_test(corosync_is_told_of_every_node_and_link),
		cmocka_unit_test(a_witness_votes_where_there_is_no_odd_host),
		cmocka_unit_test(no_memory_is_told_and_leaves_nothing),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
