/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "lib/tls.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define ROUNDS_MAX 16 /* in one call, so that one connection does not hold up others */

int tls_session_new(unsigned flags, gnutls_certificate_credentials_t credentials, int outer,
		    gnutls_session_t *ret_session)
{
	gnutls_session_t session;

	if (gnutls_init(&session, flags | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL) < 0)
		return -ENOMEM;
	if (gnutls_priority_set_direct(session, TLS_PRIORITY, NULL) < 0 ||
	    gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, credentials) < 0) {
		gnutls_deinit(session);
		return -ENOMEM;
	}
	gnutls_transport_set_int(session, outer);
	*ret_session = session;
	return 0;
}

static int broken_by(struct tls_pump *p, int code)
{
	p->alert = code;
	return -EPROTO;
}

static int shake_hands(struct tls_pump *p)
{
	uint8_t byte;
	int r;

	if (recv(p->inner, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0)
		return 0; /* nobody wants it any more */
	do
		r = gnutls_handshake(p->session);
	while (r < 0 && r != GNUTLS_E_AGAIN && !gnutls_error_is_fatal(r));
	if (r == 0) {
		p->shaken = true;
		return 2;
	}
	if (r != GNUTLS_E_AGAIN) {
		(void)gnutls_alert_send_appropriate(p->session, r);
		return broken_by(p, r);
	}
	p->outer_events = gnutls_record_get_direction(p->session) ? POLLOUT : POLLIN;
	p->inner_events = POLLRDHUP;
	return 1;
}

static bool is_later(ssize_t r)
{
	return r == GNUTLS_E_AGAIN || r == GNUTLS_E_INTERRUPTED;
}

/* 1: something went on; 0: nothing; -errno. */
static int pump_in(struct tls_pump *p)
{
	ssize_t n;

	if (!p->in.len && !p->outer_ended) {
		n = gnutls_record_recv(p->session, p->in.bytes, sizeof(p->in.bytes));
		if (n < 0 && (is_later(n) || !gnutls_error_is_fatal((int)n)))
			return 0;
		if (n < 0 && n != GNUTLS_E_PREMATURE_TERMINATION)
			return broken_by(p, (int)n);
		p->outer_ended = n <= 0;
		p->in.at = 0;
		p->in.len = n > 0 ? (size_t)n : 0;
		if (p->outer_ended)
			shutdown(p->inner, SHUT_WR);
		return 1;
	}
	if (!p->in.len)
		return 0;
	n = send(p->inner, p->in.bytes + p->in.at, p->in.len, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	p->in.at += (size_t)n;
	p->in.len -= (size_t)n;
	return 1;
}

static int pump_out(struct tls_pump *p)
{
	ssize_t n;

	if (!p->out.len && !p->inner_ended) {
		n = recv(p->inner, p->out.bytes, sizeof(p->out.bytes), MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return 0;
		p->inner_ended = n <= 0;
		p->out.at = 0;
		p->out.len = n > 0 ? (size_t)n : 0;
		return 1;
	}
	if (!p->out.len)
		return 0;
	n = gnutls_record_send(p->session, p->out.bytes + p->out.at, p->out.len);
	if (n < 0)
		return is_later(n) ? 0 : broken_by(p, (int)n);
	p->out.at += (size_t)n;
	p->out.len -= (size_t)n;
	p->sent += (uint64_t)n;
	return 1;
}

static void want(struct tls_pump *p)
{
	bool reads = !p->in.len && !p->outer_ended && !p->inner_ended;

	p->outer_events = (reads ? POLLIN : 0u) | (p->out.len ? POLLOUT : 0u);
	p->inner_events = 0;
	/* What has ended would be told again and again. */
	if (!p->inner_ended)
		p->inner_events = (p->out.len ? 0u : POLLIN) | (p->in.len ? POLLOUT : 0u);
}

/* A socket that is closed with bytes in it tells the peer so at once, which then loses what it has
 * not read yet. */
static int linger(struct tls_pump *p)
{
	for (int round = 0; round < ROUNDS_MAX; round++) {
		ssize_t n = recv(p->outer, p->in.bytes, sizeof(p->in.bytes), MSG_DONTWAIT);

		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
			return 0;
		if (n < 0)
			break;
	}
	p->outer_events = POLLIN;
	p->inner_events = 0;
	return 1;
}

static int take_leave(struct tls_pump *p)
{
	(void)gnutls_bye(p->session, GNUTLS_SHUT_WR);
	if (shutdown(p->outer, SHUT_WR) < 0)
		return 0;
	p->lingers = true;
	return linger(p);
}

int tls_pump(struct tls_pump *p, bool broken)
{
	if (broken)
		return -ECONNRESET;
	if (!p->shaken)
		return shake_hands(p);
	if (p->lingers)
		return linger(p);
	for (int round = 0; round < ROUNDS_MAX; round++) {
		/* One that has said all that it had to takes nothing any more. */
		int in = p->inner_ended ? 0 : pump_in(p);
		int out = in == -EPIPE || in == -ECONNRESET ? 0 : pump_out(p);

		if (p->inner_ended && !p->out.len)
			return take_leave(p);
		if (in == -EPIPE || in == -ECONNRESET) {
			p->in.len = 0;
			in = 1;
			p->outer_ended = true;
		}
		if (in < 0 || out < 0)
			return in < 0 ? in : out;
		if (!in && !out)
			break;
	}
	want(p);
	return 1;
}

bool tls_decode_pass(const char line[TLS_PASS_LINE_LEN], char ret_pass[TLS_PASS_LEN + 1])
{
	static const char word[] = TLS_PASS_WORD;

	if (memcmp(line, word, sizeof(word) - 1) != 0 || line[TLS_PASS_LINE_LEN - 1] != '\n')
		return false;
	memcpy(ret_pass, line + sizeof(word) - 1, TLS_PASS_LEN);
	ret_pass[TLS_PASS_LEN] = '\0';
	return true;
}

bool tls_fingerprint(const gnutls_datum_t *certificate, char ret_text[TLS_FINGERPRINT_LEN + 1])
{
	uint8_t hash[TLS_FINGERPRINT_LEN / 2];
	size_t len = sizeof(hash);

	if (gnutls_fingerprint(GNUTLS_DIG_SHA256, certificate, hash, &len) < 0 ||
	    len != sizeof(hash))
		return false;
	for (size_t i = 0; i < len; i++)
		sprintf(ret_text + 2 * i, "%02x", hash[i]);
	return true;
}

bool tls_peer_fingerprint(gnutls_session_t session, char ret_text[TLS_FINGERPRINT_LEN + 1])
{
	unsigned count = 0;
	const gnutls_datum_t *list = gnutls_certificate_get_peers(session, &count);

	return list && count && tls_fingerprint(list, ret_text);
}
