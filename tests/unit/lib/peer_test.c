/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Other hosts: how they are written, and what oya-tls says of them. */
#include "lib/peer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"

#define DIGITS "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void a_host_is_an_address_with_a_port_or_without(void **state)
{
	static const struct {
		const char *where, *address, *port, *name;
	} good[] = {
		{"server", "server", "7443", "server:7443"},
		{"server:1", "server", "1", "server:1"},
		{"192.0.2.1:65535", "192.0.2.1", "65535", "192.0.2.1:65535"},
		{"2001:db8::1", "2001:db8::1", "7443", "[2001:db8::1]:7443"},
		{"[2001:db8::1]:8", "2001:db8::1", "8", "[2001:db8::1]:8"},
		{"[fe80::1%eth0]", "fe80::1%eth0", "7443", "[fe80::1%eth0]:7443"},
	};
	static const char *const bad[] = {"",     ":1",   "a:",   "a:0",     "a:65536", "a:1x",
					  "[a",   "[]:1", "[a]1", "[a]:",    "a b",     "a/b",
					  "-a:1", "a:-1", "a\n",  "a:001000"};
	struct peer e;
	struct failure f;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		assert_int_equal(peer_decode_name(good[i].where, &e, &f), 0);
		assert_string_equal(e.address, good[i].address);
		assert_string_equal(e.port, good[i].port);
		assert_string_equal(e.name, good[i].name);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		if (peer_decode_name(bad[i], &e, &f) != -EINVAL)
			fail_msg("'%s' is taken", bad[i]);
	}
}

static void a_fingerprint_is_64_digits_however_they_are_written(void **state)
{
	char text[PEER_FINGERPRINT_LEN + 1];

	(void)state;
	assert_true(peer_decode_fingerprint(DIGITS, text));
	assert_string_equal(text, DIGITS);
	assert_true(
		peer_decode_fingerprint("SHA256:01:23:45:67:89:AB:CD:EF:01:23:45:67:89:AB:CD:EF:"
					"01:23:45:67:89:AB:CD:EF:01:23:45:67:89:AB:CD:EF",
					text));
	assert_string_equal(text, DIGITS);
	assert_false(peer_decode_fingerprint("", text));
	assert_false(peer_decode_fingerprint(DIGITS "0", text));
	assert_false(peer_decode_fingerprint("g" DIGITS, text));
	assert_false(peer_decode_fingerprint(&(DIGITS)[1], text));
}

static void a_token_is_one_word_of_ascii(void **state)
{
	static const char *const bad[] = {"", "a b", "a\r\nX: y", "a\t", "\303\244", "a\x7f"};
	char text[PEER_TOKEN_MAX + 2] = "";

	(void)state;
	assert_true(peer_token_allowed("oya_" DIGITS));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(peer_token_allowed(bad[i]));
	memset(text, 'a', PEER_TOKEN_MAX);
	assert_true(peer_token_allowed(text));
	text[PEER_TOKEN_MAX] = 'a';
	assert_false(peer_token_allowed(text));
}

static void what_oya_tls_says_becomes_a_sentence(void **state)
{
	static const struct {
		const char *words, *part;
		int code;
	} bad[] = {
		{"changed " DIGITS, "is another one: SHA256 " DIGITS, -EPERM},
		{"failed Connection refused", "cannot connect to server:7443: Connection refused",
		 -EIO},
		{"", "without a word", -EIO},
		{"goodness", "without a word", -EIO},
		{"new " DIGITS, "without a word", -EIO},
	};
	char text[PEER_FINGERPRINT_LEN + 1];
	struct failure f;
	struct peer peer;

	(void)state;
	assert_int_equal(peer_decode_name("server", &peer, &f), 0);
	assert_int_equal(peer_decode_words(&peer, "good", &f), 0);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(peer_decode_words(&peer, bad[i].words, &f), bad[i].code);
		assert_non_null(strstr(f.text, bad[i].part));
	}
	assert_true(peer_decode_new("new " DIGITS, text));
	assert_string_equal(text, DIGITS);
	assert_false(peer_decode_new("new 12", text));
	assert_false(peer_decode_new("changed " DIGITS, text));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_host_is_an_address_with_a_port_or_without),
		cmocka_unit_test(a_fingerprint_is_64_digits_however_they_are_written),
		cmocka_unit_test(a_token_is_one_word_of_ascii),
		cmocka_unit_test(what_oya_tls_says_becomes_a_sentence),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
