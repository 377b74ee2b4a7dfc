/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The side of TLS of the API: each connection becomes a Unix socket on which its bytes are plain,
 * so that the HTTP layer has one kind of connections only.
 *
 * (libmicrohttpd speaks TLS too. But one of its connections that has become a stream does not tell
 * that its client has gone, and its descriptor cannot be handed on: docs/design/host.md.)
 *
 * One that begins with a pass (lib/tls.h) is handed on, with its Unix socket, to who carries it.
 *
 * Trust: clients are hostile. Handshakes and what a client does not read have a deadline; the
 * number of sessions has a limit. A certificate that is shown has to be of the CA, where there is
 * one, or it counts for its fingerprint alone, where that is asked for.
 *
 * Threads: the loop's; nothing waits but tls_server_new(), which reads and writes files.
 */
#ifndef OYA_HOST_TLS_H
#define OYA_HOST_TLS_H

#include <stdbool.h>
#include <systemd/sd-event.h>

#include "host/http.h"
#include "lib/fail.h"

#define TLS_SESSIONS_MAX (HTTP_CONNECTIONS_MAX + 64u)
#define TLS_HANDSHAKE_US 10000000u
#define TLS_STALL_US 30000000u /* for a client to read what is there for it */
#define TLS_LINGER_US 2000000u /* for it to hear that all has been said */

struct tls_server;
struct tls_session;

/* With the key and the certificate of the folder, made if neither is there (host/tls_keys.h). 0,
 * or -errno and the sentence. */
int tls_server_new(sd_event *loop, const char *folder, struct tls_server **ret_server,
		   struct failure *f);
/* Ends all sessions, which are to be released before. NULL is fine. */
void tls_server_free(struct tls_server *s);
/* Of its certificate, as lib/tls.h writes it. */
const char *tls_server_fingerprint(const struct tls_server *s);

/* Whether clients from now on are known by the fingerprints of their certificates, too. */
void tls_server_ask(struct tls_server *s, bool asks);
/* Has somebody carry a connection's TLS, of which nothing has been read yet; both sockets stay the
 * caller's, who closes them. False: the pass is none, and the connection ends. */
typedef bool tls_carry_fn(void *ctx, const char *pass, int outer, int inner);
void tls_server_set_carrier(struct tls_server *s, tls_carry_fn *carry, void *ctx);

/* Takes a connection, also when it fails; it ends when either side does. 0 with the plain side,
 * non-blocking, which is the caller's, and *ret_session, to be released; or -errno. */
int tls_open(struct tls_server *s, int fd, int *ret_inner, struct tls_session **ret_session);
/* The common name in the certificate of the client, which was verified; "" before, or without. */
const char *tls_session_name(const struct tls_session *t);
/* Of the client's certificate, whose key it has proven to have; "" before, or without, or where
 * tls_server_ask() has not told that it matters. */
const char *tls_session_fingerprint(const struct tls_session *t);
/* It goes on until it ends. NULL is fine. */
void tls_session_release(struct tls_session *t);

#endif
