/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Another host of whose API somebody is a client: how it is written, and the program that leads
 * there, `oya-tls`, which speaks TLS and gives us the plain bytes. So neither `oya` nor `oyad` has
 * GnuTLS for it, and streams stay descriptors.
 *
 * Trust: nothing is sent to a host, above all no token, before its certificate has been found to be
 * the one of the fingerprint; `oya-tls` sees to it.
 */
#ifndef OYA_LIB_PEER_H
#define OYA_LIB_PEER_H

#include <stdbool.h>
#include <sys/types.h>

#include "lib/fail.h"

#define PEER_PORT "7443"
#define PEER_NAME_MAX 255u
#define PEER_FINGERPRINT_LEN 64u
#define PEER_TOKEN_MAX 255u
#define PEER_WORDS_MAX 1024u /* the line of oya-tls */

struct peer {
	char name[PEER_NAME_MAX + 16]; /* "server:7443" */
	char address[PEER_NAME_MAX + 1];
	char port[6];
	char fingerprint[PEER_FINGERPRINT_LEN + 1]; /* "": it is not known yet */
	char token[PEER_TOKEN_MAX + 1];             /* "": none */
};

/* Takes ADDRESS, ADDRESS:PORT or [ADDRESS]:PORT apart. 0, or -EINVAL and the sentence. */
int peer_decode_name(const char *where, struct peer *ret_peer, struct failure *f);

/* A fingerprint as people and other programs write it, in our form; false when it is none. */
bool peer_decode_fingerprint(const char *text, char ret_text[PEER_FINGERPRINT_LEN + 1]);

/* Whether a text can be a token: not too long, and nothing that ends a header. */
bool peer_token_allowed(const char *text);

/* Starts oya-tls; its plain side is the socket `plain`, its words go to `words`. 0, or -errno and
 * the sentence. Who called sees to its end. */
int peer_start(const char *helper, const struct peer *peer, int plain, int words, pid_t *ret_pid,
	       struct failure *f);

/* Ends it, and the plain side. */
void peer_close(int plain, pid_t pid);

/* What its line says, without the line feed: 0: it is the host, the connection stands; else -errno
 * and the sentence. */
int peer_decode_words(const struct peer *peer, const char *words, struct failure *f);

/* The fingerprint of a host that was asked for without one; false: it says something else. */
bool peer_decode_new(const char *words, char ret_text[PEER_FINGERPRINT_LEN + 1]);

#endif
