/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Role, trust, threads: see timesync.h.
 *
 * Invariant: while `sync` is set, no sample goes out before an order did.
 */
#include "devices/ic/timesync.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/util.h"

struct timesync {
	struct ic ic;
	struct ic_env env;
	const struct timesync_host *host;
	void *ctx;
	struct timer timer;
	bool sync; /* an order is due */
	uint64_t syncs, samples;
};

static const uint32_t versions[] = {IC_VERSION(1, 0), IC_VERSION(3, 0), IC_VERSION(4, 0)};

static const struct ic_service service = {
	.device = IC_DEVICE("timesync"),
	.type = IC_TIMESYNC_TYPE,
	.instance = IC_TIMESYNC_INSTANCE,
	.request_type = IC_TIMESYNC,
	.versions = versions,
	.version_count = ARRAY_LEN(versions),
};

static int send_time(struct timesync *ts)
{
	uint8_t flags = ts->sync ? IC_TIMESYNC_SYNC : IC_TIMESYNC_SAMPLE;
	uint64_t reference = ts->host->reference_100ns(ts->ctx);
	uint64_t wall = ts->env.clock->wall_ns(ts->env.clock_ctx) / 100 + IC_TIMESYNC_EPOCH;

	if (ic_message_version(&ts->ic) >= IC_VERSION(4, 0)) {
		struct ic_timesync_v4 body = {
			.host_time = wall,
			.reference_time = reference,
			.flags = flags,
		};

		return ic_request(&ts->ic, &body, sizeof(body));
	} else {
		struct ic_timesync body = {.host_time = wall, .flags = flags};

		return ic_request(&ts->ic, &body, sizeof(body));
	}
}

/* Sends unless the guest has not answered the last message: then it gets no more for now. Called
 * by the timer, and ahead of it for an order that is due. */
static void tick(void *owner)
{
	struct timesync *ts = owner;

	timerq_disarm(&ts->timer);
	timerq_arm(ts->env.timers, &ts->timer, ic_now_ns(&ts->env) + TIMESYNC_PERIOD_NS);
	if (send_time(ts) < 0)
		return;
	if (ts->sync)
		ts->syncs++;
	else
		ts->samples++;
	ts->sync = false;
}

static void on_ready(void *owner)
{
	struct timesync *ts = owner;

	ts->syncs = ts->samples = 0;
	ts->sync = true;
	tick(ts);
}

static int on_answer(void *owner, const struct ic_message *msg)
{
	struct timesync *ts = owner;

	(void)msg;
	if (ts->sync)
		tick(ts);
	return 0;
}

static void on_closed(void *owner)
{
	struct timesync *ts = owner;

	timerq_disarm(&ts->timer);
}

static const struct ic_ops ops = {
	.ready = on_ready,
	.answer = on_answer,
	.closed = on_closed,
};

void timesync_sync(struct timesync *ts)
{
	ts->sync = true;
	if (ic_state(&ts->ic) == IC_IDLE)
		tick(ts);
}

int timesync_new(const struct ic_env *env, const struct timesync_host *host, void *ctx,
		 struct timesync **ret_timesync)
{
	struct timesync *ts = calloc(1, sizeof(*ts));
	int r;

	if (!ts)
		return -ENOMEM;
	ts->env = *env;
	ts->host = host;
	ts->ctx = ctx;
	ts->timer.fire = tick;
	ts->timer.owner = ts;
	r = ic_init(&ts->ic, env->bus, &service, &ops, ts);
	if (r < 0) {
		timesync_free(ts);
		return r;
	}
	*ret_timesync = ts;
	return 0;
}

void timesync_free(struct timesync *ts)
{
	if (!ts)
		return;
	ic_done(&ts->ic);
	timerq_disarm(&ts->timer);
	free(ts);
}

void timesync_state(const struct timesync *ts, struct timesync_state *ret_state)
{
	*ret_state = (struct timesync_state){
		.label = ic_state_label(&ts->ic),
		.version = ic_message_version(&ts->ic),
		.syncs = ts->syncs,
		.samples = ts->samples,
	};
}

/* The guest's clock stood still, so an order is due: at once, or behind the answer that it owes. An
 * order that waited and what the timer had left are of no use then. */
void timesync_record(struct timesync *ts, struct record *r)
{
	struct ic_fields ic = ic_fields(&ts->ic, r);

	if (record_end(r) < 0 || !r->reads)
		return;
	ic_apply(&ts->ic, &ic);
	ts->sync = true;
	if (ic_agreed(&ic))
		timerq_arm(ts->env.timers, &ts->timer, ic_now_ns(&ts->env));
}
