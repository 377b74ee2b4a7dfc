/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The host's key and certificate for TLS, and the CA of its clients, in its state folder:
 * an administrator's, or a key of ECDSA on P-256 and a certificate signed by itself that are made
 * when they are first needed.
 *
 * Threads: any; it reads and writes files.
 */
#ifndef OYA_HOST_TLS_KEYS_H
#define OYA_HOST_TLS_KEYS_H

#include <gnutls/gnutls.h>
#include <stdbool.h>

#include "lib/fail.h"
#include "lib/tls.h"

#define TLS_CA_FILE "tls-ca.pem" /* of clients */
#define TLS_FILE_BYTES_MAX (256u << 10)
#define TLS_DAYS 3650

struct tls_keys {
	gnutls_certificate_credentials_t credentials;
	bool has_ca;
	char fingerprint[TLS_FINGERPRINT_LEN + 1];
};

/* 0, or -errno and the sentence. */
int tls_keys_load(const char *folder, struct tls_keys *ret_keys, struct failure *f);
void tls_keys_done(struct tls_keys *k);

#endif
