/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One connection of TLS 1.3, by GnuTLS, between its socket (outer) and a socket on which the same
 * bytes are plain (inner): both ways, until either ends.
 *
 * Trust: what comes from outside is hostile; GnuTLS decodes it. Nothing goes in before the
 * handshake has succeeded.
 *
 * Threads: one. Nothing waits: the caller watches both sockets for the events that are wanted, and
 * calls tls_pump() when there is one.
 */
#ifndef OYA_LIB_TLS_H
#define OYA_LIB_TLS_H

#include <gnutls/gnutls.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TLS_PRIORITY "NORMAL:-VERS-ALL:+VERS-TLS1.3"
#define TLS_RECORD_MAX 16384u
#define TLS_FINGERPRINT_LEN 64u /* SHA-256 of a certificate, in hexadecimal */
/* Of a folder. */
#define TLS_KEY_FILE "tls-key.pem"
#define TLS_CERTIFICATE_FILE "tls-cert.pem" /* perhaps with those of its CAs behind it */

/*
 * A connection whose TLS a process of its own is to carry on the server's side begins, before TLS
 * and in the clear, with this word, a pass that the server gave out, and a line feed. (TLS begins
 * with another byte.) The pass opens no more than that process.
 */
#define TLS_PASS_WORD "oya-pass "
#define TLS_PASS_LEN 36u /* a UUID as its text */
#define TLS_PASS_LINE_LEN (sizeof(TLS_PASS_WORD) - 1 + TLS_PASS_LEN + 1)

struct tls_pump_side {
	size_t at, len;
	uint8_t bytes[TLS_RECORD_MAX];
};

struct tls_pump {
	gnutls_session_t session; /* the caller's; nothing of it is in use on other threads */
	int outer, inner;         /* the caller's, non-blocking */
	bool shaken;              /* the handshake has succeeded */
	bool outer_ended, inner_ended;
	bool lingers; /* all is said: what the peer still sends is read, so that it hears the end */
	uint32_t outer_events, inner_events; /* wanted, as of poll(); 0: none, not even errors */
	uint64_t sent;                       /* bytes that have gone out */
	int alert;                           /* GnuTLS's code of what failed; 0 */
	struct tls_pump_side in, out;
};

/* A session that is connected to the outer socket. 0, or -ENOMEM. */
int tls_session_new(unsigned flags, gnutls_certificate_credentials_t credentials, int outer,
		    gnutls_session_t *ret_session);

/* Goes as far as it can; `broken`: an error of the outer socket was told. 1: it goes on, and the
 * events are set; 2: the handshake has just succeeded, nothing has gone in yet, call it again;
 * 0: it has ended; -errno: it failed, -EPROTO where `alert` tells more. */
int tls_pump(struct tls_pump *p, bool broken);

/* Such a line as a whole; what the pass is worth is for the caller. False: it is none. Pure. */
bool tls_decode_pass(const char line[TLS_PASS_LINE_LEN], char ret_pass[TLS_PASS_LEN + 1]);

/* The digits of the session's peer's certificate, or of another one. False: there is none. */
bool tls_fingerprint(const gnutls_datum_t *certificate, char ret_text[TLS_FINGERPRINT_LEN + 1]);
bool tls_peer_fingerprint(gnutls_session_t session, char ret_text[TLS_FINGERPRINT_LEN + 1]);

#endif
