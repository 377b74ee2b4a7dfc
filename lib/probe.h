/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whether a service of a guest answers: a TCP port that takes connections, or a page by HTTP whose
 * status is 200 to 399. Redirections are not followed, and of an answer its first line is read.
 *
 * Trust: the address is an administrator's; what answers is hostile: it is bounded in bytes, and by
 * one limit in time for all of it.
 */
#ifndef OYA_LIB_PROBE_H
#define OYA_LIB_PROBE_H

#include <netinet/in.h>
#include <stdbool.h>

#include "lib/fail.h"

#define PROBE_TEXT_MAX 255u

struct probe {
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} address;
	char host[PROBE_TEXT_MAX + 1]; /* "ADDRESS:PORT", as it was written */
	char path[PROBE_TEXT_MAX + 1]; /* "": by TCP alone */
};

/* "tcp://ADDRESS:PORT" or "http://ADDRESS:PORT[/PATH]"; an address is one of digits, as no name is
 * looked up; of IPv6 within brackets. Pure. 0, or -EINVAL and the sentence. */
int probe_decode(const char *text, struct probe *ret_probe, struct failure *f);

/* 0: it answers; else -errno and why not. */
int probe_run(const struct probe *p, unsigned limit_ms, struct failure *f);

#endif
