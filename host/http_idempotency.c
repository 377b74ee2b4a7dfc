/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Idempotency keys: a POST that comes again with its key is not done again, its client gets the
 * first one's answer. Its client may have gone before that answer was there; that is what keys
 * are for.
 *
 * A key is its user's, and belongs to one request: path, query and JSON of the body. It is kept
 * from before the handler is called. An answer of 500 and above sets it free, so that the client
 * can try again.
 *
 * Invariants:
 * 1. An exchange has a key (x->key) exactly while its answer is awaited (key->x).
 * 2. Keys and their bytes are bounded; only those that are answered make room.
 */
#include <stdlib.h>
#include <string.h>

#include "host/http_impl.h"

struct http_key {
	struct list link; /* in http.keys, the oldest first */
	struct http *h;
	struct http_exchange *x; /* the first request; NULL: it has been answered */
	uint64_t began_us;
	uid_t uid;
	uint64_t who; /* of its identity */
	size_t bytes;
	struct http_kept answer;
	char *name, *request;
};

static void forget(struct http_key *k)
{
	if (k->x)
		k->x->key = NULL;
	k->h->key_count--;
	k->h->key_bytes -= k->bytes;
	list_remove(&k->link);
	free(k->answer.text);
	free(k->answer.etag);
	free(k->answer.location);
	free(k->name);
	free(k->request);
	free(k);
}

void http_keys_free(struct http *h)
{
	while (!list_empty(&h->keys))
		forget(CONTAINER_OF(h->keys.next, struct http_key, link));
}

static void forget_old(struct http *h)
{
	uint64_t now = http_now_us(h);
	struct list *at = h->keys.next;

	while (at != &h->keys) {
		struct http_key *k = CONTAINER_OF(at, struct http_key, link);

		at = at->next;
		if (now - k->began_us < h->config.keys_ms * 1000)
			break;
		if (!k->x)
			forget(k);
	}
}

/* Room for so many keys and bytes more, without `but`; false: those that are awaited take it. */
static bool make_room(struct http *h, const struct http_key *but, unsigned count, size_t bytes)
{
	struct list *at = h->keys.next;

	while (h->key_count + count > h->config.keys_max ||
	       h->key_bytes + bytes > h->config.keys_bytes_max) {
		struct http_key *k;

		if (at == &h->keys)
			return false;
		k = CONTAINER_OF(at, struct http_key, link);
		at = at->next;
		if (!k->x && k != but)
			forget(k);
	}
	return true;
}

/* What tells the request from another, whatever the order of its members; NULL: no memory. */
static char *request_text(const struct http_request *r)
{
	json_t *query = json_array(), *all;
	char *text;

	for (unsigned i = 0; i < r->queries; i++) {
		json_array_append_new(query, json_string(r->query[i].name));
		json_array_append_new(query, json_string(r->query[i].value));
	}
	all = json_pack("[s, o, O?]", r->path, query, r->body);
	text = json_dumps(all, JSON_COMPACT | JSON_SORT_KEYS);
	json_decref(all);
	return text;
}

static struct http_key *find(struct http *h, const struct http_request *r, const char *name)
{
	for (struct list *at = h->keys.next; at != &h->keys; at = at->next) {
		struct http_key *k = CONTAINER_OF(at, struct http_key, link);

		if (k->uid == r->caller.uid && k->who == r->identity.who &&
		    strcmp(k->name, name) == 0)
			return k;
	}
	return NULL;
}

static void refuse(struct http_exchange *x, unsigned status, const char *sentence)
{
	struct failure f;

	fail(&f, 0, "%s", sentence);
	http_refuse(x, status, NULL, &f);
}

static void answer_again(struct http_exchange *x, const struct http_key *k, const char *request)
{
	if (strcmp(k->request, request) != 0)
		refuse(x, 422,
		       "this Idempotency-Key was sent with another request; give each its own");
	else if (k->x)
		refuse(x, 409,
		       "the first request with this Idempotency-Key is still under way; ask again "
		       "later");
	else
		http_reply_kept(x, &k->answer);
}

/* Takes request, also when it fails. */
static bool remember(struct http_exchange *x, char *request)
{
	struct http *h = x->h;
	struct http_key *k = calloc(1, sizeof(*k));
	char *name = strdup(x->r.idempotency_key);
	size_t bytes = sizeof(*k) + strlen(x->r.idempotency_key) + strlen(request);

	if (!k || !name || !make_room(h, NULL, 1, bytes)) {
		free(k);
		free(name);
		free(request);
		return false;
	}
	*k = (struct http_key){
		.h = h,
		.x = x,
		.began_us = http_now_us(h),
		.uid = x->r.caller.uid,
		.who = x->r.identity.who,
		.bytes = bytes,
		.name = name,
		.request = request,
	};
	x->key = k;
	list_append(&h->keys, &k->link);
	h->key_count++;
	h->key_bytes += bytes;
	return true;
}

bool http_key_begin(struct http_exchange *x)
{
	const char *name = x->r.idempotency_key;
	struct http_key *k;
	char *request;

	if (!name || x->r.method != HTTP_POST)
		return false;
	if (!name[0]) {
		refuse(x, 400, "the header Idempotency-Key is empty");
		return true;
	}
	if (x->r.route->flags & HTTP_SECRET) {
		refuse(x, 400, "an answer with a secret is not kept: send no Idempotency-Key");
		return true;
	}
	request = request_text(&x->r);
	if (!request) {
		refuse(x, 503, "out of memory");
		return true;
	}
	forget_old(x->h);
	k = find(x->h, &x->r, name);
	if (k) {
		answer_again(x, k, request);
		free(request);
		return true;
	}
	if (remember(x, request))
		return false;
	refuse(x, 503, "there is no room for another request with an Idempotency-Key; try again");
	return true;
}

static size_t len_of(const char *text)
{
	return text ? strlen(text) : 0;
}

static bool copy(const char *text, char **ret)
{
	*ret = text ? strdup(text) : NULL;
	return *ret || !text;
}

void http_key_keep(struct http_exchange *x, unsigned status, const char *type, const json_t *body,
		   const struct http_reply *reply)
{
	struct http_key *k = x->key;
	struct http_kept *a = k ? &k->answer : NULL;
	size_t bytes;

	if (!k || status >= 500)
		return;
	a->status = status;
	a->type = type;
	a->text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	if ((body && !a->text) || !copy(reply ? reply->etag : NULL, &a->etag) ||
	    !copy(reply ? reply->location : NULL, &a->location))
		return;
	bytes = len_of(a->text) + len_of(a->etag) + len_of(a->location);
	if (!make_room(k->h, k, 0, bytes))
		return;
	k->bytes += bytes;
	k->h->key_bytes += bytes;
	k->x = NULL;
	x->key = NULL;
}

void http_key_end(struct http_exchange *x)
{
	if (x->key)
		forget(x->key);
}
