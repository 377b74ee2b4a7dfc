/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/tls_keys.h"

#include <errno.h>
#include <gnutls/crypto.h>
#include <gnutls/x509.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/util.h"
#include "host/store.h"

#define DAY_S 86400

/* GnuTLS's failure as a sentence. */
static int failed(struct failure *f, const char *what, int code)
{
	return fail(f, -EIO, "cannot %s: %s", what, gnutls_strerror(code));
}

/* ---- made ---- */

static int write_pem(const char *folder, const char *name, gnutls_datum_t *pem, struct failure *f)
{
	int r = store_write(folder, name, (const char *)pem->data, pem->size, f);

	gnutls_memset(pem->data, 0, pem->size);
	gnutls_free(pem->data);
	return r;
}

static int make_key(const char *folder, struct failure *f)
{
	gnutls_x509_privkey_t key;
	gnutls_datum_t pem;
	int r = gnutls_x509_privkey_init(&key);

	if (r < 0)
		return failed(f, "make a key", r);
	r = gnutls_x509_privkey_generate(key, GNUTLS_PK_ECDSA,
					 GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0);
	if (r == 0)
		r = gnutls_x509_privkey_export2(key, GNUTLS_X509_FMT_PEM, &pem);
	gnutls_x509_privkey_deinit(key);
	return r < 0 ? failed(f, "make a key", r) : write_pem(folder, TLS_KEY_FILE, &pem, f);
}

/* Who it is for. Clients remember its fingerprint, so that its end can be far away. */
static int fill(gnutls_x509_crt_t crt, gnutls_x509_privkey_t key)
{
	char name[HOST_NAME_MAX + 1] = "localhost";
	uint8_t serial[16];
	time_t now = time(NULL);
	int r;

	(void)gethostname(name, sizeof(name) - 1);
	if ((r = gnutls_rnd(GNUTLS_RND_NONCE, serial, sizeof(serial))) < 0)
		return r;
	serial[0] &= 0x7f; /* it is a positive number */
	serial[0] |= 0x40;
	if ((r = gnutls_x509_crt_set_version(crt, 3)) < 0 ||
	    (r = gnutls_x509_crt_set_serial(crt, serial, sizeof(serial))) < 0 ||
	    (r = gnutls_x509_crt_set_activation_time(crt, now - DAY_S)) < 0 ||
	    (r = gnutls_x509_crt_set_expiration_time(crt, now + TLS_DAYS * DAY_S)) < 0 ||
	    (r = gnutls_x509_crt_set_key(crt, key)) < 0 ||
	    (r = gnutls_x509_crt_set_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, name,
					       (unsigned)min_u64(strlen(name), 64))) < 0 ||
	    (r = gnutls_x509_crt_set_subject_alt_name(
		     crt, GNUTLS_SAN_DNSNAME, name, (unsigned)strlen(name), GNUTLS_FSAN_SET)) < 0 ||
	    (r = gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_DNSNAME, "localhost", 9,
						      GNUTLS_FSAN_APPEND)) < 0 ||
	    (r = gnutls_x509_crt_set_basic_constraints(crt, 0, -1)) < 0 ||
	    (r = gnutls_x509_crt_set_key_usage(crt, GNUTLS_KEY_DIGITAL_SIGNATURE)) < 0)
		return r;
	r = gnutls_x509_crt_set_key_purpose_oid(crt, GNUTLS_KP_TLS_WWW_SERVER, 0);
	return r < 0 ? r : gnutls_x509_crt_set_key_purpose_oid(crt, GNUTLS_KP_TLS_WWW_CLIENT, 0);
}

static int make_certificate(const char *folder, const gnutls_datum_t *key_pem, struct failure *f)
{
	gnutls_x509_privkey_t key = NULL;
	gnutls_x509_crt_t crt = NULL;
	gnutls_datum_t pem;
	int r;

	if ((r = gnutls_x509_privkey_init(&key)) == 0 &&
	    (r = gnutls_x509_privkey_import(key, key_pem, GNUTLS_X509_FMT_PEM)) == 0 &&
	    (r = gnutls_x509_crt_init(&crt)) == 0 && (r = fill(crt, key)) == 0 &&
	    (r = gnutls_x509_crt_sign2(crt, crt, key, GNUTLS_DIG_SHA256, 0)) == 0)
		r = gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &pem);
	gnutls_x509_crt_deinit(crt);
	gnutls_x509_privkey_deinit(key);
	if (r < 0)
		return failed(f, "make a certificate for the key " TLS_KEY_FILE, r);
	return write_pem(folder, TLS_CERTIFICATE_FILE, &pem, f);
}

/* ---- read ---- */

/* 0, -ENOENT when it is not there, or another -errno and the sentence. */
static int read_pem(const char *folder, const char *name, gnutls_datum_t *ret_pem,
		    struct failure *f)
{
	char path[PATH_MAX], *text;
	size_t len;
	int r;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	r = store_read(path, TLS_FILE_BYTES_MAX, &text, &len, f);
	if (r == 0)
		*ret_pem = (gnutls_datum_t){(unsigned char *)text, (unsigned)len};
	return r;
}

static void pem_done(gnutls_datum_t *pem)
{
	if (pem->data)
		gnutls_memset(pem->data, 0, pem->size);
	free(pem->data);
}

/* Both of them. A key alone gets a certificate, also when one was about to be made at a power cut;
 * a certificate alone is of no use. */
static int read_pair(const char *folder, gnutls_datum_t *key, gnutls_datum_t *certificate,
		     struct failure *f)
{
	int r_key = read_pem(folder, TLS_KEY_FILE, key, f), r;

	if (r_key < 0 && r_key != -ENOENT)
		return r_key;
	r = read_pem(folder, TLS_CERTIFICATE_FILE, certificate, f);
	if (r < 0 && r != -ENOENT)
		return r;
	if (r == 0 && r_key < 0)
		return fail(f, -ENOENT,
			    "cannot listen: %s has " TLS_CERTIFICATE_FILE " but no " TLS_KEY_FILE
			    "; put its key there, or remove it and another is made",
			    folder);
	if (r_key < 0) {
		r_key = make_key(folder, f);
		if (r_key == 0)
			r_key = read_pem(folder, TLS_KEY_FILE, key, f);
	}
	if (r < 0 && r_key == 0) {
		r = make_certificate(folder, key, f);
		if (r == 0)
			r = read_pem(folder, TLS_CERTIFICATE_FILE, certificate, f);
	}
	return r_key < 0 ? r_key : r;
}

static int take_fingerprint(struct tls_keys *k, struct failure *f)
{
	gnutls_x509_crt_t *list = NULL;
	gnutls_datum_t der;
	unsigned count = 0;
	bool good = false;
	int r = gnutls_certificate_get_x509_crt(k->credentials, 0, &list, &count);

	if (r < 0)
		return failed(f, "use " TLS_CERTIFICATE_FILE, r);
	if (count && gnutls_x509_crt_export2(list[0], GNUTLS_X509_FMT_DER, &der) == 0) {
		good = tls_fingerprint(&der, k->fingerprint);
		gnutls_free(der.data);
	}
	for (unsigned i = 0; i < count; i++)
		gnutls_x509_crt_deinit(list[i]);
	gnutls_free(list);
	return good ? 0 : fail(f, -EIO, "cannot use " TLS_CERTIFICATE_FILE ": it has none");
}

static int take_pair(const char *folder, struct tls_keys *k, struct failure *f)
{
	gnutls_datum_t key = {0}, certificate = {0};
	int r = read_pair(folder, &key, &certificate, f), code;

	if (r == 0) {
		code = gnutls_certificate_set_x509_key_mem(k->credentials, &certificate, &key,
							   GNUTLS_X509_FMT_PEM);
		if (code < 0)
			r = fail(f, -EINVAL,
				 "cannot use " TLS_KEY_FILE " with " TLS_CERTIFICATE_FILE
				 " of %s: %s",
				 folder, gnutls_strerror(code));
	}
	pem_done(&key);
	pem_done(&certificate);
	return r < 0 ? r : take_fingerprint(k, f);
}

static int take_ca(const char *folder, struct tls_keys *k, struct failure *f)
{
	gnutls_datum_t ca = {0};
	int r = read_pem(folder, TLS_CA_FILE, &ca, f), count;

	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return r;
	count = gnutls_certificate_set_x509_trust_mem(k->credentials, &ca, GNUTLS_X509_FMT_PEM);
	pem_done(&ca);
	if (count <= 0)
		return fail(f, -EINVAL, "cannot use %s/" TLS_CA_FILE ": %s", folder,
			    count < 0 ? gnutls_strerror(count) : "it holds no certificate");
	k->has_ca = true;
	return 0;
}

int tls_keys_load(const char *folder, struct tls_keys *ret_keys, struct failure *f)
{
	struct tls_keys k = {.has_ca = false};
	int r = gnutls_certificate_allocate_credentials(&k.credentials);

	if (r < 0)
		return failed(f, "listen", r);
	r = take_pair(folder, &k, f);
	if (r == 0)
		r = take_ca(folder, &k, f);
	if (r < 0) {
		tls_keys_done(&k);
		return r;
	}
	*ret_keys = k;
	return 0;
}

void tls_keys_done(struct tls_keys *k)
{
	gnutls_certificate_free_credentials(k->credentials);
	k->credentials = NULL;
}
