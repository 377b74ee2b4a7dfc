/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Role, trust, threads, invariant: see kvp.h.
 *
 * A walk asks for index 0, 1, ... until the guest has no more. Two tables: readers see one, the
 * walk fills the other, and its end exchanges them.
 */
#include "devices/ic/kvp.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"
#include "base/state.h"
#include "base/util.h"

struct kvp_table {
	unsigned count;
	bool truncated;
	uint32_t used; /* of text */
	struct {
		uint32_t key, value; /* offsets within text, NUL-terminated there */
	} entry[KVP_ENTRIES_MAX];
	char text[KVP_TEXT_BYTES];
};

enum walk_state {
	KVP_OFF, /* no channel */
	KVP_RESTING,
	KVP_WALKING,
};

struct kvp {
	struct ic ic;
	struct ic_env env;
	struct timer timer;
	unsigned walk; /* enum walk_state */
	uint32_t index;
	struct kvp_table table[2];
	unsigned shown; /* which one readers see */
	uint64_t walks;
	uint64_t refreshed_ns;
	char key[KVP_KEY_TEXT_MAX], value[KVP_VALUE_TEXT_MAX];
};

static const char *const labels[] = {
	[KVP_OFF] = "off",
	[KVP_RESTING] = "resting",
	[KVP_WALKING] = "walking",
};

static const uint32_t next[] = {
	[KVP_OFF] = STATE_BIT(KVP_RESTING),
	[KVP_RESTING] = STATE_BIT(KVP_WALKING) | STATE_BIT(KVP_OFF),
	[KVP_WALKING] = STATE_BIT(KVP_RESTING) | STATE_BIT(KVP_OFF),
};

static const struct state_table states = {
	.name = "key-value pairs",
	.count = ARRAY_LEN(labels),
	.labels = labels,
	.next = next,
};

static const uint32_t versions[] = {IC_VERSION(3, 0), IC_VERSION(4, 0)};

static const struct ic_service service = {
	.device = IC_DEVICE("kvp"),
	.type = IC_KVP_TYPE,
	.instance = IC_KVP_INSTANCE,
	.request_type = IC_KVP,
	.versions = versions,
	.version_count = ARRAY_LEN(versions),
};

static int decode_value(uint32_t type, const uint8_t *bytes, uint32_t len, char *ret_value)
{
	switch (type) {
	case IC_KVP_STRING:
		return utf8_from_utf16(bytes, len, ret_value, KVP_VALUE_TEXT_MAX) < 0 ? -EPROTO : 0;
	case IC_KVP_U32:
		if (len < 4)
			return -EPROTO;
		snprintf(ret_value, KVP_VALUE_TEXT_MAX, "%" PRIu32, le32_load(bytes));
		return 0;
	case IC_KVP_U64:
		if (len < 8)
			return -EPROTO;
		snprintf(ret_value, KVP_VALUE_TEXT_MAX, "%" PRIu64, le64_load(bytes));
		return 0;
	default:
		return -ENOTSUP;
	}
}

int kvp_decode(const uint8_t *body, size_t len, char *ret_key, char *ret_value)
{
	struct cursor c = cursor_of(body, len);
	uint32_t type, key_bytes, value_bytes;
	const uint8_t *key, *value;

	cursor_take(&c, offsetof(struct ic_kvp_enumerate, value_type));
	type = cursor_u32(&c);
	key_bytes = cursor_u32(&c);
	value_bytes = cursor_u32(&c);
	key = cursor_take(&c, IC_KVP_KEY_BYTES);
	if (!cursor_ok(&c) || key_bytes > IC_KVP_KEY_BYTES || value_bytes > IC_KVP_VALUE_BYTES)
		return -EPROTO;
	value = cursor_take(&c, value_bytes);
	if (!value || (key_bytes & 1))
		return -EPROTO;
	if (utf8_from_utf16(key, key_bytes, ret_key, KVP_KEY_TEXT_MAX) < 0)
		return -EPROTO;
	return decode_value(type, value, value_bytes, ret_value);
}

static bool text_add(struct kvp_table *t, const char *text, uint32_t *ret_offset)
{
	size_t len = strlen(text) + 1;

	if (len > sizeof(t->text) - t->used)
		return false;
	memcpy(t->text + t->used, text, len);
	*ret_offset = t->used;
	t->used += (uint32_t)len;
	return true;
}

static void table_add(struct kvp_table *t, const char *key, const char *value)
{
	uint32_t key_at, value_at;

	if (t->count == KVP_ENTRIES_MAX || !text_add(t, key, &key_at) ||
	    !text_add(t, value, &value_at)) {
		t->truncated = true;
		return;
	}
	t->entry[t->count].key = key_at;
	t->entry[t->count].value = value_at;
	t->count++;
}

static void table_clear(struct kvp_table *t)
{
	t->count = 0;
	t->used = 0;
	t->truncated = false;
}

static struct kvp_table *filling(struct kvp *kvp)
{
	return &kvp->table[!kvp->shown];
}

/* Ends a walk, for better or worse; the next begins after a while. */
static void rest(struct kvp *kvp, bool complete)
{
	uint64_t now = ic_now_ns(&kvp->env);

	if (state_move(&states, &kvp->walk, KVP_RESTING) < 0)
		return;
	if (complete) {
		kvp->shown = !kvp->shown;
		kvp->walks++;
		kvp->refreshed_ns = now;
	}
	timerq_arm(kvp->env.timers, &kvp->timer, now + KVP_PERIOD_NS);
}

static void ask(struct kvp *kvp)
{
	struct ic_kvp_enumerate body = {
		.operation = IC_KVP_ENUMERATE,
		.pool = IC_KVP_POOL_AUTO,
		.index = kvp->index,
	};

	/* A full ring cannot be with one request at a time; if it is, the guest is to blame. */
	if (ic_request(&kvp->ic, &body, sizeof(body)) < 0)
		rest(kvp, false);
}

static void begin(void *owner)
{
	struct kvp *kvp = owner;

	if (state_move(&states, &kvp->walk, KVP_WALKING) < 0)
		return;
	table_clear(filling(kvp));
	kvp->index = 0;
	ask(kvp);
}

static void on_ready(void *owner)
{
	struct kvp *kvp = owner;

	kvp->walks = 0;
	if (state_move(&states, &kvp->walk, KVP_RESTING) == 0)
		timerq_arm(kvp->env.timers, &kvp->timer, ic_now_ns(&kvp->env) + KVP_FIRST_NS);
}

static int on_answer(void *owner, const struct ic_message *msg)
{
	struct kvp *kvp = owner;
	int r;

	if (msg->header.status != IC_STATUS_OK) {
		/* Other errors: the daemon went away or was too slow. */
		rest(kvp, msg->header.status == IC_STATUS_NO_MORE_ITEMS);
		return 0;
	}
	r = kvp_decode(msg->body, msg->header.body_bytes, kvp->key, kvp->value);
	if (r == -EPROTO)
		return r;
	if (r == 0)
		table_add(filling(kvp), kvp->key, kvp->value);
	/* A guest may count on for ever. */
	if (filling(kvp)->truncated || ++kvp->index > 2 * KVP_ENTRIES_MAX)
		rest(kvp, true);
	else
		ask(kvp);
	return 0;
}

/* The next guest on this channel may be another system: what the last one told is void. */
static void on_closed(void *owner)
{
	struct kvp *kvp = owner;

	timerq_disarm(&kvp->timer);
	table_clear(&kvp->table[0]);
	table_clear(&kvp->table[1]);
	state_move(&states, &kvp->walk, KVP_OFF);
}

static const struct ic_ops ops = {
	.ready = on_ready,
	.answer = on_answer,
	.closed = on_closed,
};

int kvp_entry(const struct kvp *kvp, unsigned nth, const char **ret_key, const char **ret_value)
{
	const struct kvp_table *t = &kvp->table[kvp->shown];

	if (nth >= t->count)
		return -ENOENT;
	*ret_key = t->text + t->entry[nth].key;
	*ret_value = t->text + t->entry[nth].value;
	return 0;
}

const char *kvp_get(const struct kvp *kvp, const char *key)
{
	const char *k, *v;

	for (unsigned i = 0; kvp_entry(kvp, i, &k, &v) == 0; i++) {
		if (strcmp(k, key) == 0)
			return v;
	}
	return NULL;
}

int kvp_new(const struct ic_env *env, struct kvp **ret_kvp)
{
	struct kvp *kvp = calloc(1, sizeof(*kvp));
	int r;

	if (!kvp)
		return -ENOMEM;
	kvp->env = *env;
	kvp->timer.fire = begin;
	kvp->timer.owner = kvp;
	r = ic_init(&kvp->ic, env->bus, &service, &ops, kvp);
	if (r < 0) {
		kvp_free(kvp);
		return r;
	}
	*ret_kvp = kvp;
	return 0;
}

void kvp_free(struct kvp *kvp)
{
	if (!kvp)
		return;
	ic_done(&kvp->ic);
	timerq_disarm(&kvp->timer);
	free(kvp);
}

void kvp_state(const struct kvp *kvp, struct kvp_state *ret_state)
{
	const struct kvp_table *t = &kvp->table[kvp->shown];

	*ret_state = (struct kvp_state){
		.label = state_label(&states, kvp->walk),
		.channel = ic_state_label(&kvp->ic),
		.version = ic_message_version(&kvp->ic),
		.entries = t->count,
		.truncated = t->truncated,
		.walks = kvp->walks,
		.refreshed_ns = kvp->refreshed_ns,
	};
}
