/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Role, trust, threads: see heartbeat.h. */
#include "devices/ic/heartbeat.h"

#include <errno.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/state.h"
#include "base/util.h"

struct heartbeat {
	struct ic ic;
	struct ic_env env;
	void (*changed)(void *ctx, enum heartbeat_health health);
	void *ctx;
	struct timer timer;
	unsigned health; /* enum heartbeat_health */
	uint64_t sequence;
	uint64_t answers;
	uint64_t last_answer_ns;
	uint32_t application_state;
};

static const char *const labels[] = {
	[HEARTBEAT_NO_CONTACT] = "no-contact",
	[HEARTBEAT_OK] = "ok",
	[HEARTBEAT_LOST] = "lost-contact",
};

static const uint32_t next[] = {
	[HEARTBEAT_NO_CONTACT] = STATE_BIT(HEARTBEAT_OK) | STATE_BIT(HEARTBEAT_LOST),
	[HEARTBEAT_OK] = STATE_BIT(HEARTBEAT_LOST) | STATE_BIT(HEARTBEAT_NO_CONTACT),
	[HEARTBEAT_LOST] = STATE_BIT(HEARTBEAT_OK) | STATE_BIT(HEARTBEAT_NO_CONTACT),
};

static const struct state_table states = {
	.name = "heartbeat",
	.count = ARRAY_LEN(labels),
	.labels = labels,
	.next = next,
};

static const uint32_t versions[] = {IC_VERSION(1, 0), IC_VERSION(3, 0)};

static const struct ic_service service = {
	.device = IC_DEVICE("heartbeat"),
	.type = IC_HEARTBEAT_TYPE,
	.instance = IC_HEARTBEAT_INSTANCE,
	.request_type = IC_HEARTBEAT,
	.versions = versions,
	.version_count = ARRAY_LEN(versions),
};

static void set_health(struct heartbeat *hb, enum heartbeat_health health)
{
	if (state_move(&states, &hb->health, health) == 0 && hb->changed)
		hb->changed(hb->ctx, health);
}

/* Sends the next question unless the last one still waits; a miss is no error by itself. */
static void beat(void *owner)
{
	struct heartbeat *hb = owner;
	uint64_t now = ic_now_ns(&hb->env);
	struct ic_heartbeat body = {.sequence = hb->sequence + 1};

	/* A timer that is a whole period late tells that the VM stood still, not the guest. */
	if (now - hb->timer.due_ns >= HEARTBEAT_PERIOD_NS)
		hb->last_answer_ns = now;
	if (now - hb->last_answer_ns >= HEARTBEAT_LOST_NS)
		set_health(hb, HEARTBEAT_LOST);
	timerq_arm(hb->env.timers, &hb->timer, now + HEARTBEAT_PERIOD_NS);
	if (ic_request(&hb->ic, &body, sizeof(body)) == 0)
		hb->sequence++;
}

static void on_ready(void *owner)
{
	struct heartbeat *hb = owner;

	hb->answers = 0;
	hb->application_state = 0;
	hb->last_answer_ns = ic_now_ns(&hb->env);
	beat(hb);
}

static int on_answer(void *owner, const struct ic_message *msg)
{
	struct heartbeat *hb = owner;

	if (msg->header.body_bytes < offsetof(struct ic_heartbeat, reserved))
		return -EPROTO;
	/* A driver that does not know the message sends it back unchanged, with an error. */
	if (msg->header.status != IC_STATUS_OK || le64_load(msg->body) != hb->sequence + 1)
		return 0;
	hb->sequence++;
	hb->answers++;
	hb->last_answer_ns = ic_now_ns(&hb->env);
	hb->application_state =
		le32_load(msg->body + offsetof(struct ic_heartbeat, application_state));
	set_health(hb, HEARTBEAT_OK);
	return 0;
}

static void on_closed(void *owner)
{
	struct heartbeat *hb = owner;

	timerq_disarm(&hb->timer);
	set_health(hb, HEARTBEAT_NO_CONTACT);
}

static const struct ic_ops ops = {
	.ready = on_ready,
	.answer = on_answer,
	.closed = on_closed,
};

int heartbeat_new(const struct ic_env *env,
		  void (*changed)(void *ctx, enum heartbeat_health health), void *ctx,
		  struct heartbeat **ret_heartbeat)
{
	struct heartbeat *hb = calloc(1, sizeof(*hb));
	int r;

	if (!hb)
		return -ENOMEM;
	hb->env = *env;
	hb->changed = changed;
	hb->ctx = ctx;
	hb->timer.fire = beat;
	hb->timer.owner = hb;
	r = ic_init(&hb->ic, env->bus, &service, &ops, hb);
	if (r < 0) {
		heartbeat_free(hb);
		return r;
	}
	*ret_heartbeat = hb;
	return 0;
}

void heartbeat_free(struct heartbeat *hb)
{
	if (!hb)
		return;
	hb->changed = NULL; /* the owner is done with it */
	ic_done(&hb->ic);
	timerq_disarm(&hb->timer);
	free(hb);
}

void heartbeat_state(const struct heartbeat *hb, struct heartbeat_state *ret_state)
{
	*ret_state = (struct heartbeat_state){
		.health = (enum heartbeat_health)hb->health,
		.label = state_label(&states, hb->health),
		.version = ic_message_version(&hb->ic),
		.answers = hb->answers,
		.last_answer_ns = hb->last_answer_ns,
		.application_state = hb->application_state,
	};
}

/* Not where it stands on the host's clock, which another host does not share. */
static uint64_t silent_ns(const struct heartbeat *hb, const struct ic_fields *ic)
{
	return ic_agreed(ic) ? min_u64(ic_now_ns(&hb->env) - hb->last_answer_ns, HEARTBEAT_LOST_NS)
			     : 0;
}

void heartbeat_record(struct heartbeat *hb, struct record *r)
{
	struct ic_fields ic = ic_fields(&hb->ic, r);
	uint64_t now = ic_now_ns(&hb->env), left = timerq_left(&hb->timer, now);
	uint64_t silent = silent_ns(hb, &ic), sequence = hb->sequence;
	uint32_t application = hb->application_state;
	unsigned health = hb->health;

	record_limited(r, "health", &health, HEARTBEAT_LOST);
	record_u64(r, "sequence", &sequence);
	record_u32(r, "application", &application);
	record_u64(r, "silent_ns", &silent);
	record_u64(r, "timer_left_ns", &left);
	if (ic_agreed(&ic) ? left > HEARTBEAT_PERIOD_NS || silent > HEARTBEAT_LOST_NS
			   : left != TIMERQ_NEVER || silent || health != HEARTBEAT_NO_CONTACT)
		record_refuse(r, "its beat does not fit its channel");
	if (record_end(r) < 0 || !r->reads)
		return;
	ic_apply(&hb->ic, &ic);
	hb->sequence = sequence;
	hb->application_state = application;
	hb->last_answer_ns = now - silent; /* wraps where the clock is younger: it is subtracted */
	timerq_arm_left(hb->env.timers, &hb->timer, now, left);
	if (health != HEARTBEAT_NO_CONTACT)
		set_health(hb, (enum heartbeat_health)health);
}
