/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/gate.h"

#include <errno.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/util.h"
#include "host/store.h"
#include "lib/log.h"

#define NAMES_ROOM 16384u /* of a line of passwd or group */

/* Wrong tokens of a peer, or of several that share the place. */
struct failures {
	uint64_t begun_us; /* monotonic */
	unsigned count;
};

struct gate {
	struct pool *pool;
	struct pool_lane lane;
	const char *folder;
	struct access *access;
	const struct members *members; /* or NULL */
	void (*changed)(void *ctx);
	void *ctx;
	struct failures failures[GATE_PEERS_MAX];
	struct log_limit log;
};

static const char digits[] = "0123456789abcdef";

static int64_t now_s(void)
{
	return time(NULL);
}

static uint64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* ---- the file ---- */

/* Looks up users and groups, which may ask the network. */
static void resolve(struct access *a)
{
	char *names = malloc(NAMES_ROOM);

	for (unsigned i = 0; names && i < a->grants; i++) {
		struct access_grant *g = &a->grant[i];
		struct passwd user, *found_user = NULL;
		struct group group, *found_group = NULL;

		if (g->kind == ACCESS_USER &&
		    getpwnam_r(g->name, &user, names, NAMES_ROOM, &found_user) == 0 && found_user)
			g->id = user.pw_uid;
		if (g->kind == ACCESS_GROUP &&
		    getgrnam_r(g->name, &group, names, NAMES_ROOM, &found_group) == 0 &&
		    found_group)
			g->id = group.gr_gid;
		g->known = found_user || found_group;
		if (g->kind != ACCESS_CERTIFICATE && !g->known)
			log_line(LOG_LEVEL_WARNING,
				 ACCESS_FILE " names '%s', which this host does not know", g->name);
	}
	free(names);
}

static int read_access(const char *folder, struct access **ret_access, struct failure *f)
{
	struct failure why;
	char path[PATH_MAX], *text;
	size_t len;
	int r;

	snprintf(path, sizeof(path), "%s/" ACCESS_FILE, folder);
	r = store_read(path, ACCESS_BYTES_MAX, &text, &len, f);
	if (r == -ENOENT)
		return access_new(ret_access, f);
	if (r < 0)
		return r;
	r = access_decode(text, len, ret_access, &why);
	free(text);
	if (r < 0)
		return fail(f, r, "%s: %s", path, why.text);
	return 0;
}

int gate_new(struct pool *pool, const char *folder, void (*changed)(void *ctx), void *ctx,
	     struct gate **ret_gate, struct failure *f)
{
	struct gate *g = calloc(1, sizeof(*g));
	int r;

	if (!g)
		return fail(f, -ENOMEM, "cannot start: out of memory");
	*g = (struct gate){
		.pool = pool,
		.folder = folder,
		.changed = changed,
		.ctx = ctx,
		.log = {.period_ns = 10000000000, .burst = 10},
	};
	r = read_access(folder, &g->access, f);
	if (r < 0) {
		log_line(
			LOG_LEVEL_ERROR,
			"%s; until it is right, and SIGHUP tells so, nobody but root and the group "
			"oya has access",
			f->text);
		r = access_new(&g->access, f);
	}
	if (r < 0) {
		free(g);
		return r;
	}
	resolve(g->access);
	*ret_gate = g;
	return 0;
}

void gate_free(struct gate *g)
{
	if (!g)
		return;
	access_free(g->access);
	free(g);
}

/* ---- who comes ---- */

const struct access *gate_access(const struct gate *g)
{
	return g->access;
}

static struct failures *failures_of(struct gate *g, const struct http_caller *caller)
{
	uint64_t key = (caller->peer ^ (caller->remote ? UINT64_C(1) << 63 : 0)) *
		       UINT64_C(0x9e3779b97f4a7c15);
	struct failures *place = &g->failures[key >> 32 & (GATE_PEERS_MAX - 1)];
	uint64_t now = now_us();

	if (now - place->begun_us > GATE_PERIOD_US)
		*place = (struct failures){.begun_us = now};
	return place;
}

static enum http_role count_failure(struct gate *g, const struct http_caller *caller)
{
	struct failures *place = failures_of(g, caller);
	char text[HTTP_CALLER_TEXT_MAX];
	unsigned suppressed;

	if (place->count >= GATE_FAILURES_MAX)
		return HTTP_HELD_BACK;
	place->count++;
	if (log_limit_pass(&g->log, now_us() * 1000, &suppressed))
		log_line(LOG_LEVEL_WARNING,
			 "a client (%s) was refused: its token is unknown or has expired",
			 http_caller_text(caller, text));
	return HTTP_UNKNOWN;
}

/* What is behind "Bearer "; NULL: the value is another scheme's. */
static const char *bearer(const char *authorization)
{
	static const char scheme[] = "Bearer ";

	if (strncasecmp(authorization, scheme, strlen(scheme)) != 0)
		return NULL;
	return authorization + strlen(scheme);
}

static const struct access_rights *rights_of_token(const struct gate *g, const char *authorization)
{
	const char *text = bearer(authorization);
	const struct access_token *t = NULL;
	uint8_t hash[ACCESS_HASH_BYTES];

	if (text && access_hash(text, hash))
		t = access_find(g->access, hash, now_s());
	return t ? &t->rights : NULL;
}

/* ---- members of the cluster ---- */

void gate_set_members(struct gate *g, const struct members *members)
{
	g->members = members;
	g->changed(g->ctx);
}

/* What names a member as long as its certificate is the same. */
static uint64_t who_of_member(const struct member *m)
{
	uint64_t who = 0;

	for (unsigned i = 0; i < 16; i++)
		who = who << 4 | (uint64_t)(strchr(digits, m->peer.fingerprint[i]) - digits);
	return who ? who : 1;
}

static bool is_member(const struct gate *g, uint64_t who)
{
	for (unsigned i = 0; g->members && i < g->members->count; i++) {
		if (who_of_member(&g->members->member[i]) == who)
			return true;
	}
	return false;
}

static const struct member *member_of(const struct gate *g, const struct http_caller *caller)
{
	return g->members && caller->remote
		       ? members_find_fingerprint(g->members, caller->fingerprint)
		       : NULL;
}

static enum http_role let_in_member(const struct member *m, struct http_identity *ret_identity)
{
	ret_identity->who = who_of_member(m);
	snprintf(ret_identity->member, sizeof(ret_identity->member), "%s", m->name);
	return HTTP_ADMINISTRATOR;
}

enum http_role gate_role(struct gate *g, const struct http_caller *caller,
			 const char *authorization, struct http_identity *ret_identity)
{
	const struct access_rights *rights = NULL;
	const struct member *member = authorization ? NULL : member_of(g, caller);

	if (member)
		return let_in_member(member, ret_identity);
	if (authorization) {
		rights = rights_of_token(g, authorization);
		if (!rights)
			return count_failure(g, caller);
	} else if (caller->remote) {
		if (caller->certificate[0])
			rights = access_of_certificate(g->access, caller->certificate);
	} else if (caller->uid == 0 || caller->in_group) {
		return HTTP_ADMINISTRATOR;
	} else {
		rights = access_of_user(g->access, caller);
	}
	if (!rights)
		return caller->remote ? HTTP_UNKNOWN : HTTP_STRANGER;
	*ret_identity = (struct http_identity){.who = rights->who, .limited = rights->vms};
	return rights->role;
}

bool gate_knows(const struct gate *g, uint64_t who)
{
	return !who || is_member(g, who) || access_rights(g->access, who, now_s());
}

bool gate_sees(const struct gate *g, uint64_t who, const char *vm)
{
	const struct access_rights *rights = who ? access_rights(g->access, who, now_s()) : NULL;

	return !who || is_member(g, who) || (rights && access_covers(rights, vm));
}

bool gate_sees_all(const struct gate *g, uint64_t who)
{
	const struct access_rights *rights = who ? access_rights(g->access, who, now_s()) : NULL;

	return !who || is_member(g, who) || (rights && !rights->vms);
}

/* ---- changes ---- */

enum what { ADD, REMOVE, RELOAD };

struct change {
	struct pool_work work;
	struct gate *gate;
	enum what what;
	struct access_order order;
	char name[ACCESS_NAME_MAX + 1];
	char token[ACCESS_TOKEN_LEN + 1]; /* ADD: "" until it is made */
	json_t *vms;
	struct access *access; /* afterwards */
	int r;
	struct failure f;
	gate_done_fn *done;
	void *ctx;
};

static int make_token(struct change *c)
{
	uint8_t secret[32];

	if (gnutls_rnd(GNUTLS_RND_KEY, secret, sizeof(secret)) < 0)
		return fail(&c->f, -EIO, "cannot make a token: there are no random numbers");
	access_write_token(secret, c->token);
	gnutls_memset(secret, 0, sizeof(secret));
	return access_hash(c->token, c->order.hash) ? 0 : -EIO;
}

static int write_access(struct change *c, const struct access *access)
{
	char *text = access_encode(access);
	int r = text ? store_write(c->gate->folder, ACCESS_FILE, text, strlen(text), &c->f)
		     : fail(&c->f, -ENOMEM, "cannot write " ACCESS_FILE ": out of memory");

	free(text);
	return r;
}

/* On a thread of the pool. */
static void work(struct pool_work *w)
{
	struct change *c = CONTAINER_OF(w, struct change, work);
	struct access *old;

	c->r = read_access(c->gate->folder, &old, &c->f);
	if (c->r == 0 && c->what == RELOAD) {
		c->access = old;
	} else if (c->r == 0) {
		c->r = c->what == ADD ? make_token(c) : 0;
		if (c->r == 0)
			c->r = c->what == ADD
				       ? access_add(old, &c->order, &c->access, &c->f)
				       : access_remove(old, c->name, now_s(), &c->access, &c->f);
		access_free(old);
		if (c->r == 0)
			c->r = write_access(c, c->access);
	}
	if (c->r == 0)
		resolve(c->access);
}

static void change_free(struct change *c)
{
	access_free(c->access);
	json_decref(c->vms);
	gnutls_memset(c->token, 0, sizeof(c->token));
	free(c);
}

static void done(struct pool_work *w)
{
	struct change *c = CONTAINER_OF(w, struct change, work);
	struct gate *g = c->gate;

	if (c->r == 0) {
		struct access *old = g->access;

		g->access = c->access;
		c->access = old;
		g->changed(g->ctx);
	}
	c->done(c->ctx, g, c->r, c->name, c->r == 0 && c->token[0] ? c->token : NULL, &c->f);
	change_free(c);
}

static struct change *change_new(struct gate *g, enum what what, const char *name, gate_done_fn *fn,
				 void *ctx)
{
	struct change *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->work = (struct pool_work){.work = work, .done = done, .lane = &g->lane};
	c->gate = g;
	c->what = what;
	snprintf(c->name, sizeof(c->name), "%s", name);
	c->done = fn;
	c->ctx = ctx;
	return c;
}

int gate_add_token(struct gate *g, const struct access_order *order, gate_done_fn *fn, void *ctx)
{
	struct change *c = change_new(g, ADD, order->name, fn, ctx);

	if (!c)
		return -ENOMEM;
	c->order = *order;
	c->order.name = c->name;
	if (order->vms) {
		c->order.vms = c->vms = json_deep_copy(order->vms);
		if (!c->vms) {
			change_free(c);
			return -ENOMEM;
		}
	}
	pool_submit(g->pool, &c->work);
	return 0;
}

int gate_remove_token(struct gate *g, const char *name, gate_done_fn *fn, void *ctx)
{
	struct change *c = change_new(g, REMOVE, name, fn, ctx);

	if (!c)
		return -ENOMEM;
	pool_submit(g->pool, &c->work);
	return 0;
}

int gate_reload(struct gate *g, gate_done_fn *fn, void *ctx)
{
	struct change *c = change_new(g, RELOAD, "", fn, ctx);

	if (!c)
		return -ENOMEM;
	pool_submit(g->pool, &c->work);
	return 0;
}
