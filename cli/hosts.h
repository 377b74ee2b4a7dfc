/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Other hosts that the user knows: `hosts.json` of his configuration (docs/format/access.md), with
 * the fingerprint of each one's certificate and perhaps a token.
 *
 * Trust: the file is the user's; it is decoded with limits all the same.
 */
#ifndef OYA_CLI_HOSTS_H
#define OYA_CLI_HOSTS_H

#include <stdbool.h>

#include "lib/fail.h"

#define HOSTS_PORT "7443"
#define HOSTS_NAME_MAX 255u
#define HOSTS_FINGERPRINT_LEN 64u
#define HOSTS_TOKEN_MAX 255u
#define HOSTS_BYTES_MAX (1u << 20)

struct host_entry {
	char name[HOSTS_NAME_MAX + 16]; /* "server:7443", by which the file has it */
	char address[HOSTS_NAME_MAX + 1];
	char port[6];
	char fingerprint[HOSTS_FINGERPRINT_LEN + 1]; /* "": it is not known yet */
	char token[HOSTS_TOKEN_MAX + 1];             /* "": none */
};

/* Takes ADDRESS, ADDRESS:PORT or [ADDRESS]:PORT apart. 0, or -EINVAL and the sentence. */
int hosts_decode_name(const char *where, struct host_entry *ret_entry, struct failure *f);

/* What the file has of it; a token of the environment's OYA_TOKEN comes first. */
int hosts_find(const char *where, struct host_entry *ret_entry, struct failure *f);

/* Writes the fingerprint of an entry into the file. */
int hosts_pin(const struct host_entry *entry, const char *fingerprint, struct failure *f);

/* A fingerprint as people and other programs write it, in our form; false when it is none. */
bool hosts_decode_fingerprint(const char *text, char ret_text[HOSTS_FINGERPRINT_LEN + 1]);

#endif
