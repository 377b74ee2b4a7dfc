/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The API of another host. TLS is spoken by a program of its own, `oya-tls`, which gives us the
 * plain bytes: so that commands for this host do not load GnuTLS, and streams stay descriptors.
 *
 * Trust: nothing is sent to a host, above all no token, before its certificate has been found to be
 * the one that the user trusts.
 */
#ifndef OYA_CLI_REMOTE_H
#define OYA_CLI_REMOTE_H

#include <sys/types.h>

#include "cli/hosts.h"
#include "lib/fail.h"

/* Sees to it that the host is trusted: asks the person at the terminal when it is new. */
int remote_trust(struct peer *host, struct failure *f);

/* Connects, and asks the person at the terminal when the host is new. 0 with a stream socket and
 * the process behind it, for peer_close(); or -errno and the sentence. */
int remote_connect(struct peer *host, int *ret_fd, pid_t *ret_helper, struct failure *f);

/* Only looks at its certificate. */
int remote_look(const struct peer *host, char ret_fingerprint[PEER_FINGERPRINT_LEN + 1],
		struct failure *f);

/* Shows the fingerprint at the terminal, and keeps it when the answer is yes. 0; -EPERM and the
 * sentence when it is not, or when nobody is there to ask. */
int remote_ask_trust(struct peer *host, const char *fingerprint, struct failure *f);

#endif
