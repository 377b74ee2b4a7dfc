/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Shutdown: asks the guest to power off, restart or hibernate by itself.
 *
 * Role: owned by the worker. The guest's answer tells whether it will; that it did shows when it
 * writes the sleep or the reset port.
 *
 * Trust, threads: see ic.h.
 */
#ifndef OYA_DEVICES_IC_SHUTDOWN_H
#define OYA_DEVICES_IC_SHUTDOWN_H

#include <stdbool.h>
#include <stdint.h>

#include "devices/ic/ic.h"

enum shutdown_kind {
	SHUTDOWN_OFF,
	SHUTDOWN_REBOOT,    /* guests of version 3.1 and newer */
	SHUTDOWN_HIBERNATE, /* 3.2 */
};

struct shutdown;

struct shutdown_state {
	const char *label; /* of the channel's state: "idle" means that requests are taken */
	uint32_t version;  /* IC_VERSION; 0 before it is agreed on */
	uint64_t requests; /* sent since the channel was opened */
};

struct shutdown_host {
	/* The end of a request: result 0 when the guest will do it; -ECANCELED when it refused,
	 * with its status; -ECONNRESET when the channel closed first. */
	void (*answered)(void *ctx, int result, uint32_t status);
};

/* host is kept by reference; NULL when nobody wants to know. 0, -ENOMEM or -ENOSPC. */
int shutdown_new(const struct ic_env *env, const struct shutdown_host *host, void *ctx,
		 struct shutdown **ret_shutdown);
void shutdown_free(struct shutdown *sd);

/* Sends a request. reason: UTF-8, cut at about 1000 characters, or NULL; force: without asking
 * programs and users. 0: answered() will be called once, but not by shutdown_free(). -ENOTCONN: no
 * driver in the guest; -EBUSY: a request waits for its answer; -EOPNOTSUPP: the guest is too old
 * for this kind; -EAGAIN: the guest does not read its ring; -EPROTO: the channel is dead. */
int shutdown_request(struct shutdown *sd, enum shutdown_kind kind, const char *reason, bool force);

void shutdown_state(const struct shutdown *sd, struct shutdown_state *ret_state);

/* In a saved state; read into one whose channel no guest has opened. A request that waited for its
 * answer still does: answered() tells of it. */
void shutdown_record(struct shutdown *shutdown, struct record *r);

#endif
