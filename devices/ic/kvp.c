/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Role, trust, threads, invariant: see kvp.h.
 *
 * A walk asks each pool for index 0, 1, ... until the guest has no more. Readers see a table for
 * each pool, the walk fills one more, and the end of a pool exchanges the two.
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

/* A pair to set, or with no value to delete. */
struct kvp_change {
	enum ic_kvp_pool pool;
	char *key, *value;
};

enum walk_state {
	KVP_OFF, /* no channel */
	KVP_RESTING,
	KVP_WALKING,
	KVP_CHANGING, /* the request that is under way is the first change */
};

struct kvp {
	struct ic ic;
	struct ic_env env;
	struct timer timer;
	unsigned walk; /* enum walk_state */
	bool anew;     /* what was walked is not here: begin it again */
	unsigned step; /* of the walk: a place in walk_order */
	uint32_t index;
	struct kvp_table table[IC_KVP_POOLS + 1];
	struct kvp_table *shown[IC_KVP_POOLS], *filling;
	struct kvp_change change[KVP_CHANGES_MAX]; /* the oldest first */
	unsigned changes;
	uint64_t changes_made, changes_failed;
	uint64_t walks;
	uint64_t refreshed_ns;
	char key[KVP_KEY_TEXT_MAX], value[KVP_VALUE_TEXT_MAX];
};

static const enum ic_kvp_pool walk_order[] = {
	IC_KVP_POOL_AUTO,
	IC_KVP_POOL_EXTERNAL,
	IC_KVP_POOL_GUEST,
	IC_KVP_POOL_PARAMETERS,
};

static const char *const labels[] = {
	[KVP_OFF] = "off",
	[KVP_RESTING] = "resting",
	[KVP_WALKING] = "walking",
	[KVP_CHANGING] = "changing",
};

static const uint32_t next[] = {
	[KVP_OFF] = STATE_BIT(KVP_RESTING),
	[KVP_RESTING] = STATE_BIT(KVP_WALKING) | STATE_BIT(KVP_CHANGING) | STATE_BIT(KVP_OFF),
	[KVP_WALKING] = STATE_BIT(KVP_CHANGING) | STATE_BIT(KVP_RESTING) | STATE_BIT(KVP_OFF),
	[KVP_CHANGING] = STATE_BIT(KVP_WALKING) | STATE_BIT(KVP_RESTING) | STATE_BIT(KVP_OFF),
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

/* Ends what is under way, for better or worse; a walk begins after a while. */
static void rest(struct kvp *kvp)
{
	if (state_move(&states, &kvp->walk, KVP_RESTING) == 0)
		timerq_arm(kvp->env.timers, &kvp->timer, ic_now_ns(&kvp->env) + KVP_PERIOD_NS);
}

static void ask(struct kvp *kvp)
{
	struct ic_kvp_enumerate body = {
		.operation = IC_KVP_ENUMERATE,
		.pool = (uint8_t)walk_order[kvp->step],
		.index = kvp->index,
	};

	/* A full ring cannot be with one request at a time; if it is, the guest is to blame. */
	if (ic_request(&kvp->ic, &body, sizeof(body)) < 0)
		rest(kvp);
}

static void ask_pool(struct kvp *kvp)
{
	table_clear(kvp->filling);
	kvp->index = 0;
	ask(kvp);
}

static void begin_walk(struct kvp *kvp)
{
	if (state_move(&states, &kvp->walk, KVP_WALKING) < 0)
		return;
	kvp->anew = false;
	kvp->step = 0;
	ask_pool(kvp);
}

static uint32_t put_text(const char *text, uint8_t *dst, size_t room)
{
	return (uint32_t)utf16_from_utf8(text, dst, room);
}

/* Sends the oldest change. */
static void send_change(struct kvp *kvp)
{
	const struct kvp_change *c = &kvp->change[0];
	struct ic_kvp_set set = {
		.operation = IC_KVP_SET,
		.pool = (uint8_t)c->pool,
		.value_type = IC_KVP_STRING,
	};
	struct ic_kvp_delete del = {.operation = IC_KVP_DELETE, .pool = (uint8_t)c->pool};
	int r;

	if (c->value) {
		set.key_bytes = put_text(c->key, set.key, sizeof(set.key));
		set.value_bytes = put_text(c->value, set.value, sizeof(set.value));
		r = ic_request(&kvp->ic, &set, sizeof(set));
	} else {
		del.key_bytes = put_text(c->key, del.key, sizeof(del.key));
		r = ic_request(&kvp->ic, &del, sizeof(del));
	}
	if (r < 0)
		rest(kvp);
}

static void begin_changes(struct kvp *kvp)
{
	timerq_disarm(&kvp->timer);
	if (state_move(&states, &kvp->walk, KVP_CHANGING) == 0)
		send_change(kvp);
}

static void drop_change(struct kvp *kvp)
{
	free(kvp->change[0].key);
	free(kvp->change[0].value);
	kvp->changes--;
	memmove(&kvp->change[0], &kvp->change[1], kvp->changes * sizeof(kvp->change[0]));
}

/* The timer, while nothing is under way. */
static void begin(void *owner)
{
	struct kvp *kvp = owner;

	if (kvp->changes)
		begin_changes(kvp);
	else
		begin_walk(kvp);
}

static void on_ready(void *owner)
{
	struct kvp *kvp = owner;

	kvp->walks = 0;
	if (state_move(&states, &kvp->walk, KVP_RESTING) == 0)
		timerq_arm(kvp->env.timers, &kvp->timer, ic_now_ns(&kvp->env) + KVP_FIRST_NS);
}

/* A pool was walked to its end: the next one, or a rest. */
static void end_pool(struct kvp *kvp)
{
	struct kvp_table **shown = &kvp->shown[walk_order[kvp->step]];
	struct kvp_table *filled = kvp->filling;

	kvp->filling = *shown;
	*shown = filled;
	if (++kvp->step < ARRAY_LEN(walk_order)) {
		ask_pool(kvp);
		return;
	}
	kvp->walks++;
	kvp->refreshed_ns = ic_now_ns(&kvp->env);
	rest(kvp);
}

static int walk_answer(struct kvp *kvp, const struct ic_message *msg)
{
	int r;

	if (msg->header.status == IC_STATUS_NO_MORE_ITEMS) {
		end_pool(kvp);
		return 0;
	}
	if (msg->header.status != IC_STATUS_OK) { /* the daemon went away or was too slow */
		rest(kvp);
		return 0;
	}
	r = kvp_decode(msg->body, msg->header.body_bytes, kvp->key, kvp->value);
	if (r == -EPROTO)
		return r;
	if (r == 0)
		table_add(kvp->filling, kvp->key, kvp->value);
	/* A guest may count on for ever. */
	if (kvp->filling->truncated || ++kvp->index > 2 * KVP_ENTRIES_MAX)
		end_pool(kvp);
	else
		ask(kvp);
	return 0;
}

static int on_answer(void *owner, const struct ic_message *msg)
{
	struct kvp *kvp = owner;

	if (kvp->walk == KVP_CHANGING) {
		if (msg->header.status == IC_STATUS_OK)
			kvp->changes_made++;
		else
			kvp->changes_failed++;
		drop_change(kvp);
		if (kvp->changes)
			send_change(kvp);
		else
			begin_walk(kvp);
		return 0;
	}
	if (kvp->anew && !kvp->changes) {
		kvp->anew = false;
		kvp->step = 0;
		ask_pool(kvp);
		return 0;
	}
	if (!kvp->changes)
		return walk_answer(kvp, msg);
	begin_changes(kvp); /* the walk that follows begins anew */
	return 0;
}

/* The next guest on this channel may be another system: what the last one told is void. */
static void on_closed(void *owner)
{
	struct kvp *kvp = owner;

	timerq_disarm(&kvp->timer);
	for (unsigned i = 0; i < ARRAY_LEN(kvp->table); i++)
		table_clear(&kvp->table[i]);
	for (; kvp->changes; kvp->changes_failed++)
		drop_change(kvp);
	state_move(&states, &kvp->walk, KVP_OFF);
}

static const struct ic_ops ops = {
	.ready = on_ready,
	.answer = on_answer,
	.closed = on_closed,
};

/* Whether the text and its NUL fit as UTF-16 and, as guests of Linux keep them, as UTF-8. */
static bool fits(const char *text, uint32_t room)
{
	uint32_t units = 1;
	size_t len = strlen(text);

	for (const char *c = text; *c; c++) {
		unsigned char byte = (unsigned char)*c;

		units += (byte & 0xc0) != 0x80; /* a character begins */
		units += byte >= 0xf0;          /* that takes two */
	}
	return len < room && units <= room / 2;
}

int kvp_change(struct kvp *kvp, enum ic_kvp_pool pool, const char *key, const char *value)
{
	struct kvp_change c = {.pool = pool};

	if (pool == IC_KVP_POOL_AUTO || (unsigned)pool >= IC_KVP_POOLS)
		return -EPERM;
	if (!*key || !fits(key, IC_KVP_KEY_BYTES) || (value && !fits(value, IC_KVP_VALUE_BYTES)))
		return -EMSGSIZE;
	if (kvp->walk == KVP_OFF)
		return -ENOTCONN;
	if (kvp->changes == KVP_CHANGES_MAX)
		return -ENOSPC;
	c.key = strdup(key);
	c.value = value ? strdup(value) : NULL;
	if (!c.key || (value && !c.value)) {
		free(c.key);
		free(c.value);
		return -ENOMEM;
	}
	kvp->change[kvp->changes++] = c;
	if (kvp->walk == KVP_RESTING)
		begin_changes(kvp);
	return 0;
}

int kvp_entry(const struct kvp *kvp, enum ic_kvp_pool pool, unsigned nth, const char **ret_key,
	      const char **ret_value)
{
	const struct kvp_table *t = kvp->shown[pool];

	if (nth >= t->count)
		return -ENOENT;
	*ret_key = t->text + t->entry[nth].key;
	*ret_value = t->text + t->entry[nth].value;
	return 0;
}

const char *kvp_get(const struct kvp *kvp, enum ic_kvp_pool pool, const char *key)
{
	const char *k, *v;

	for (unsigned i = 0; kvp_entry(kvp, pool, i, &k, &v) == 0; i++) {
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
	for (unsigned i = 0; i < IC_KVP_POOLS; i++)
		kvp->shown[i] = &kvp->table[i];
	kvp->filling = &kvp->table[IC_KVP_POOLS];
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
	while (kvp->changes)
		drop_change(kvp);
	free(kvp);
}

void kvp_state(const struct kvp *kvp, struct kvp_state *ret_state)
{
	const struct kvp_table *t = kvp->shown[IC_KVP_POOL_AUTO];

	*ret_state = (struct kvp_state){
		.label = state_label(&states, kvp->walk),
		.channel = ic_state_label(&kvp->ic),
		.version = ic_message_version(&kvp->ic),
		.entries = t->count,
		.truncated = t->truncated,
		.walks = kvp->walks,
		.refreshed_ns = kvp->refreshed_ns,
		.changes_waiting = kvp->changes,
		.changes_made = kvp->changes_made,
		.changes_failed = kvp->changes_failed,
	};
}

/* ---- saved states ---- */

/* `text` takes what is read. */
static void text_field(struct record *r, const char *name, char **text, char *scratch, size_t room)
{
	size_t len = *text ? strlen(*text) : 0;

	if (*text)
		memcpy(scratch, *text, len);
	record_some_bytes(r, name, scratch, &len, room - 1);
	if (!r->reads || !record_ok(r))
		return;
	scratch[len] = '\0';
	if (strlen(scratch) != len || !fits(scratch, (uint32_t)room)) {
		record_refuse(r, "the %s of a change is none", name);
		return;
	}
	*text = strdup(scratch);
	if (!*text)
		record_refuse(r, "there is no memory for the %s of a change", name);
}

static void change_fields(struct kvp *kvp, struct kvp_change *c, struct record *r)
{
	unsigned pool = c->pool;
	bool sets = c->value != NULL;

	record_limited(r, "pool", &pool, IC_KVP_POOLS - 1);
	c->pool = (enum ic_kvp_pool)pool;
	text_field(r, "key", &c->key, kvp->key, IC_KVP_KEY_BYTES);
	record_bool(r, "sets", &sets);
	if (sets && record_ok(r))
		text_field(r, "value", &c->value, kvp->value, IC_KVP_VALUE_BYTES);
	if (record_ok(r) && (pool == IC_KVP_POOL_AUTO || !*c->key))
		record_refuse(r, "a change is of a pair that nobody may change");
}

static void changes_fields(struct kvp *kvp, struct record *r)
{
	unsigned count = kvp->changes;

	if (r->reads && count)
		record_refuse(r, "the service is in use already");
	record_limited(r, "changes", &count, KVP_CHANGES_MAX);
	for (unsigned i = 0; i < count && record_ok(r); i++) {
		if (r->reads)
			kvp->change[kvp->changes++] = (struct kvp_change){0};
		change_fields(kvp, &kvp->change[i], r);
	}
}

static bool walk_fits(unsigned walk, unsigned changes, const struct ic_fields *ic)
{
	switch (walk) {
	case KVP_OFF:
		return !ic_agreed(ic) && !changes;
	case KVP_RESTING:
		return ic->state == IC_IDLE;
	case KVP_CHANGING:
		return ic->state == IC_WAITING && changes;
	default:
		return ic->state == IC_WAITING;
	}
}

void kvp_record(struct kvp *kvp, struct record *r)
{
	struct ic_fields ic = ic_fields(&kvp->ic, r);
	unsigned walk = kvp->walk, was = kvp->changes;

	record_limited(r, "walk", &walk, KVP_CHANGING);
	changes_fields(kvp, r);
	if (!walk_fits(walk, kvp->changes, &ic))
		record_refuse(r, "its walk does not fit its channel");
	if (record_end(r) < 0) {
		while (kvp->changes > was)
			drop_change(kvp);
		return;
	}
	if (!r->reads)
		return;
	ic_apply(&kvp->ic, &ic);
	kvp->walk = walk;
	kvp->anew = walk == KVP_WALKING;
	if (walk == KVP_RESTING)
		timerq_arm(kvp->env.timers, &kvp->timer, ic_now_ns(&kvp->env));
}
