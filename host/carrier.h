/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Connections whose TLS is carried by a process of their own, oya-tls, in place of the loop: those
 * by which VMs come. Each goes on until either of its ends does, also without the daemon.
 *
 * Trust: it decodes what the network sends, without rights of root; what comes out on its plain
 * side is as hostile as what has gone in.
 *
 * Threads: the loop's; nothing waits.
 */
#ifndef OYA_HOST_CARRIER_H
#define OYA_HOST_CARRIER_H

#include <systemd/sd-event.h>

#include "lib/fail.h"

struct carrier_wish {
	const char *helper; /* path of oya-tls */
	const char *folder; /* of the host's key and certificate (host/tls_keys.h) */
	int outer, inner;   /* the connection; the socket of its plain bytes. Both stay open here */
};

/* 0, or -errno and the sentence. */
int carrier_start(sd_event *event, const struct carrier_wish *wish, struct failure *f);

#endif
