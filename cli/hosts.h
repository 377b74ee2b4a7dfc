/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Other hosts that the user knows: `hosts.json` of his configuration (docs/format/access.md), with
 * the fingerprint of each one's certificate and perhaps a token.
 *
 * Trust: the file is the user's; it is decoded with limits all the same.
 */
#ifndef OYA_CLI_HOSTS_H
#define OYA_CLI_HOSTS_H

#include "lib/fail.h"
#include "lib/peer.h"

#define HOSTS_BYTES_MAX (1u << 20)

/* What the file has of it; a token of the environment's OYA_TOKEN comes first. */
int hosts_find(const char *where, struct peer *ret_entry, struct failure *f);

/* The same of a host that a command names besides: the environment's token is not for it. */
int hosts_find_other(const char *where, struct peer *ret_entry, struct failure *f);

/* The names that the file has, one after the other; nothing when it cannot be used. */
void hosts_each(void (*each)(void *ctx, const char *name), void *ctx);

/* Writes the fingerprint of an entry into the file. */
int hosts_pin(const struct peer *entry, const char *fingerprint, struct failure *f);

#endif
