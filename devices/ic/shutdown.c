/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Role, trust, threads: see shutdown.h. */
#include "devices/ic/shutdown.h"

#include <errno.h>
#include <stdlib.h>

#include "base/util.h"
#include "devices/ic/utf16.h"

struct shutdown {
	struct ic ic;
	const struct shutdown_host *host; /* NULL while the device is being freed */
	void *ctx;
	bool pending;
	uint64_t requests;
};

static const uint32_t versions[] = {
	IC_VERSION(1, 0),
	IC_VERSION(3, 0),
	IC_VERSION(3, 1),
	IC_VERSION(3, 2),
};

static const struct ic_service service = {
	.device = IC_DEVICE("shutdown"),
	.type = IC_SHUTDOWN_TYPE,
	.instance = IC_SHUTDOWN_INSTANCE,
	.request_type = IC_SHUTDOWN,
	.versions = versions,
	.version_count = ARRAY_LEN(versions),
};

static void finish(struct shutdown *sd, int result, uint32_t status)
{
	if (!sd->pending)
		return;
	sd->pending = false;
	if (sd->host)
		sd->host->answered(sd->ctx, result, status);
}

static void on_ready(void *owner)
{
	struct shutdown *sd = owner;

	sd->requests = 0;
}

static int on_answer(void *owner, const struct ic_message *msg)
{
	uint32_t status = msg->header.status;

	finish(owner, status == IC_STATUS_OK ? 0 : -ECANCELED, status);
	return 0;
}

static void on_closed(void *owner)
{
	finish(owner, -ECONNRESET, 0);
}

static const struct ic_ops ops = {
	.ready = on_ready,
	.answer = on_answer,
	.closed = on_closed,
};

/* Flags of a request and the first version that knows them. */
static uint32_t kind_flags(enum shutdown_kind kind, uint32_t *ret_version)
{
	switch (kind) {
	case SHUTDOWN_REBOOT:
		*ret_version = IC_VERSION(3, 1);
		return IC_SHUTDOWN_REBOOT;
	case SHUTDOWN_HIBERNATE:
		*ret_version = IC_VERSION(3, 2);
		return IC_SHUTDOWN_HIBERNATE;
	case SHUTDOWN_OFF:
	default:
		*ret_version = 0;
		return 0;
	}
}

int shutdown_request(struct shutdown *sd, enum shutdown_kind kind, const char *reason, bool force)
{
	struct ic_shutdown body = {.reason = IC_SHUTDOWN_REASON_PLANNED};
	uint32_t needed;
	int r;

	if (ic_state(&sd->ic) != IC_IDLE && ic_state(&sd->ic) != IC_WAITING)
		return -ENOTCONN;
	body.flags = kind_flags(kind, &needed) | (force ? IC_SHUTDOWN_FORCE : 0);
	if (ic_message_version(&sd->ic) < needed)
		return -EOPNOTSUPP;
	utf16_from_utf8(reason ? reason : "", body.text, sizeof(body.text));
	r = ic_request(&sd->ic, &body, sizeof(body));
	if (r == 0) {
		sd->pending = true;
		sd->requests++;
	}
	return r;
}

int shutdown_new(const struct ic_env *env, const struct shutdown_host *host, void *ctx,
		 struct shutdown **ret_shutdown)
{
	struct shutdown *sd = calloc(1, sizeof(*sd));
	int r;

	if (!sd)
		return -ENOMEM;
	sd->host = host;
	sd->ctx = ctx;
	r = ic_init(&sd->ic, env->bus, &service, &ops, sd);
	if (r < 0) {
		shutdown_free(sd);
		return r;
	}
	*ret_shutdown = sd;
	return 0;
}

void shutdown_free(struct shutdown *sd)
{
	if (!sd)
		return;
	sd->host = NULL; /* the owner is done with it */
	ic_done(&sd->ic);
	free(sd);
}

void shutdown_state(const struct shutdown *sd, struct shutdown_state *ret_state)
{
	*ret_state = (struct shutdown_state){
		.label = ic_state_label(&sd->ic),
		.version = ic_message_version(&sd->ic),
		.requests = sd->requests,
	};
}

void shutdown_record(struct shutdown *sd, struct record *r)
{
	struct ic_fields ic = ic_fields(&sd->ic, r);
	bool pending = sd->pending;

	record_bool(r, "pending", &pending);
	if (pending != (ic.state == IC_WAITING))
		record_refuse(r, "the request that waits does not fit its channel");
	if (record_end(r) < 0 || !r->reads)
		return;
	ic_apply(&sd->ic, &ic);
	sd->pending = pending;
}
