/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two pumps, a client's and a server's, back to back on one thread. Our header comes first: fail()
 * is a macro of cmocka.h.
 */
#include "lib/tls.h"

#include <errno.h>
#include <gnutls/x509.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define TURNS_MAX 100000
#define MUCH (1u << 20)

struct end {
	struct tls_pump pump;
	gnutls_certificate_credentials_t credentials;
	int plain, r;
	bool shaken;
};

struct pair {
	struct end client, server;
};

static void certify(gnutls_certificate_credentials_t credentials)
{
	gnutls_x509_privkey_t key;
	gnutls_x509_crt_t crt;

	assert_int_equal(gnutls_x509_privkey_init(&key), 0);
	assert_int_equal(
		gnutls_x509_privkey_generate(key, GNUTLS_PK_ECDSA,
					     GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0),
		0);
	assert_int_equal(gnutls_x509_crt_init(&crt), 0);
	assert_int_equal(gnutls_x509_crt_set_version(crt, 3), 0);
	assert_int_equal(gnutls_x509_crt_set_serial(crt, "\1", 1), 0);
	assert_int_equal(gnutls_x509_crt_set_activation_time(crt, time(NULL) - 60), 0);
	assert_int_equal(gnutls_x509_crt_set_expiration_time(crt, time(NULL) + 60), 0);
	assert_int_equal(gnutls_x509_crt_set_key(crt, key), 0);
	assert_int_equal(gnutls_x509_crt_sign2(crt, crt, key, GNUTLS_DIG_SHA256, 0), 0);
	assert_int_equal(gnutls_certificate_set_x509_key(credentials, &crt, 1, key), 0);
	gnutls_x509_crt_deinit(crt);
	gnutls_x509_privkey_deinit(key);
}

static void make_end(struct end *e, unsigned flags, int outer)
{
	int inner[2];

	e->r = 1;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, inner), 0);
	assert_int_equal(gnutls_certificate_allocate_credentials(&e->credentials), 0);
	if (flags & GNUTLS_SERVER)
		certify(e->credentials);
	assert_int_equal(tls_session_new(flags, e->credentials, outer, &e->pump.session), 0);
	e->pump.outer = outer;
	e->pump.inner = inner[0];
	e->plain = inner[1];
}

/* What was not yet closed. */
static void drop(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void end_done(struct end *e)
{
	gnutls_deinit(e->pump.session);
	gnutls_certificate_free_credentials(e->credentials);
	drop(&e->pump.outer);
	drop(&e->pump.inner);
	drop(&e->plain);
}

static int set_up(void **state)
{
	struct pair *p = calloc(1, sizeof(*p));
	int outer[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, outer), 0);
	make_end(&p->client, GNUTLS_CLIENT, outer[0]);
	make_end(&p->server, GNUTLS_SERVER, outer[1]);
	*state = p;
	return 0;
}

static int tear_down(void **state)
{
	struct pair *p = *state;

	end_done(&p->client);
	end_done(&p->server);
	free(p);
	return 0;
}

/* One that has ended closes its sockets, as its owner would. */
static void step(struct end *e)
{
	if (e->r <= 0)
		return;
	e->r = tls_pump(&e->pump, false);
	e->shaken = e->shaken || e->r == 2;
	if (e->r <= 0) {
		drop(&e->pump.outer);
		drop(&e->pump.inner);
	}
}

static void turn(struct pair *p, unsigned turns)
{
	while (turns--) {
		step(&p->client);
		step(&p->server);
	}
}

static void shake_hands(struct pair *p)
{
	for (int i = 0; i < TURNS_MAX && !(p->client.shaken && p->server.shaken); i++)
		turn(p, 1);
	assert_true(p->client.shaken && p->server.shaken);
}

static void bytes_go_both_ways_by_tls_1_3(void **state)
{
	struct pair *p = *state;
	char text[8] = "";

	assert_int_equal(send(p->client.plain, "before", 6, 0), 6);
	shake_hands(p);
	assert_int_equal(gnutls_protocol_get_version(p->server.pump.session), GNUTLS_TLS1_3);
	turn(p, 4);
	assert_int_equal(recv(p->server.plain, text, sizeof(text), 0), 6);
	assert_memory_equal(text, "before", 6);
	assert_int_equal(send(p->server.plain, "back", 4, 0), 4);
	turn(p, 4);
	assert_int_equal(recv(p->client.plain, text, sizeof(text), 0), 4);
	assert_memory_equal(text, "back", 4);
}

static void a_pass_is_a_word_and_36_bytes_and_a_feed(void **state)
{
	char line[TLS_PASS_LINE_LEN + 1] = TLS_PASS_WORD "6ba7b810-9dad-11d1-80b4-00c04fd430c8\n";
	char pass[TLS_PASS_LEN + 1] = "";

	(void)state;
	assert_true(tls_decode_pass(line, pass));
	assert_string_equal(pass, "6ba7b810-9dad-11d1-80b4-00c04fd430c8");
	line[0] = 'O';
	assert_false(tls_decode_pass(line, pass));
	line[0] = 'o';
	line[TLS_PASS_LINE_LEN - 1] = ' ';
	assert_false(tls_decode_pass(line, pass));
}

/* More than buffers hold, to one that reads it late. */
static void nothing_is_lost_when_one_side_is_slow(void **state)
{
	struct pair *p = *state;
	uint8_t *out = malloc(MUCH), *in = malloc(MUCH);
	size_t sent = 0, got = 0;

	for (size_t i = 0; i < MUCH; i++)
		out[i] = (uint8_t)(i * 7 + i / 251);
	shake_hands(p);
	for (int i = 0; i < TURNS_MAX && got < MUCH; i++) {
		ssize_t n = sent < MUCH ? send(p->server.plain, out + sent, MUCH - sent, 0) : 0;

		sent += n > 0 ? (size_t)n : 0;
		turn(p, 1);
		n = i < 50 ? 0 : recv(p->client.plain, in + got, 1 + (size_t)i % 5000, 0);
		got += n > 0 ? (size_t)n : 0;
	}
	assert_int_equal(got, MUCH);
	assert_memory_equal(in, out, MUCH);
	assert_true(p->server.pump.sent == MUCH);
	free(in);
	free(out);
}

static void the_end_of_one_side_follows_what_it_has_said(void **state)
{
	struct pair *p = *state;
	char text[8];

	shake_hands(p);
	assert_int_equal(send(p->server.plain, "bye", 3, 0), 3);
	drop(&p->server.plain);
	turn(p, 8);
	assert_int_equal(recv(p->client.plain, text, sizeof(text), 0), 3);
	assert_int_equal(recv(p->client.plain, text, sizeof(text), 0), 0);
	/* What the other one still says is read and finds nobody. */
	assert_true(p->server.pump.lingers);
	assert_int_equal(send(p->client.plain, "what?", 5, 0), 5);
	turn(p, 8);
	drop(&p->client.plain);
	turn(p, 8);
	assert_int_equal(p->client.r, 0);
	assert_int_equal(p->server.r, 0);
}

static void nothing_goes_in_before_the_handshake(void **state)
{
	struct pair *p = *state;
	char text[8];

	assert_int_equal(send(p->client.pump.outer, "GET / HTTP/1.1\r\n\r\n", 18, 0), 18);
	p->client.r = 0; /* it does not go on */
	turn(p, 8);
	assert_int_equal(p->server.r, -EPROTO);
	assert_true(p->server.pump.alert < 0);
	assert_int_equal(recv(p->server.plain, text, sizeof(text), 0), 0);
}

static void a_handshake_ends_with_who_wanted_it(void **state)
{
	struct pair *p = *state;

	turn(p, 1);
	assert_false(p->server.shaken);
	drop(&p->server.plain);
	turn(p, 4);
	assert_int_equal(p->server.r, 0);
}

static void tls_1_2_is_refused(void **state)
{
	struct pair *p = *state;

	assert_int_equal(gnutls_priority_set_direct(p->client.pump.session,
						    "NORMAL:-VERS-ALL:+VERS-TLS1.2", NULL),
			 0);
	turn(p, 8);
	assert_int_equal(p->server.r, -EPROTO);
	assert_int_equal(p->client.r, -EPROTO);
	assert_false(p->server.shaken || p->client.shaken);
}

static void a_broken_connection_ends_at_once(void **state)
{
	struct pair *p = *state;

	shake_hands(p);
	assert_int_equal(tls_pump(&p->server.pump, true), -ECONNRESET);
}

static void both_know_the_same_fingerprint(void **state)
{
	struct pair *p = *state;
	char text[TLS_FINGERPRINT_LEN + 1], none[TLS_FINGERPRINT_LEN + 1];

	shake_hands(p);
	assert_true(tls_peer_fingerprint(p->client.pump.session, text));
	assert_int_equal(strspn(text, "0123456789abcdef"), TLS_FINGERPRINT_LEN);
	assert_false(tls_peer_fingerprint(p->server.pump.session, none));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_pass_is_a_word_and_36_bytes_and_a_feed),
		TEST(bytes_go_both_ways_by_tls_1_3),
		TEST(nothing_is_lost_when_one_side_is_slow),
		TEST(the_end_of_one_side_follows_what_it_has_said),
		TEST(nothing_goes_in_before_the_handshake),
		TEST(a_handshake_ends_with_who_wanted_it),
		TEST(tls_1_2_is_refused),
		TEST(a_broken_connection_ends_at_once),
		TEST(both_know_the_same_fingerprint),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
