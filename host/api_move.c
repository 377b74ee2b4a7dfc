/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Routes of VMs that go to another host or place, and of those that come. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "host/api.h"
#include "host/clustered.h"
#include "host/incoming.h"
#include "host/migrate.h"
#include "host/moves.h"
#include "host/offer.h"
#include "host/relocate.h"
#include "host/steer.h"
#include "lib/fields.h"

#define BANDWIDTH_MAX (UINT64_C(1) << 40)
#define DOWNTIME_MAX_MS 10000u

/* ---- going ---- */

static int take_peer(json_t *body, struct peer *peer, struct failure *f)
{
	const char *host = json_string_value(json_object_get(body, "host"));
	const char *fingerprint = json_string_value(json_object_get(body, "fingerprint"));
	const char *token = json_string_value(json_object_get(body, "token"));
	int r = peer_decode_name(host ? host : "", peer, f);

	if (r == 0 && !peer_decode_fingerprint(fingerprint ? fingerprint : "", peer->fingerprint))
		r = fail(f, -EINVAL,
			 "'fingerprint' is not the 64 digits of SHA-256 of the certificate of %s",
			 peer->name);
	if (r == 0 && (!token || !peer_token_allowed(token)))
		r = fail(f, -EINVAL, "'token' is none by which %s lets anybody in", peer->name);
	if (r == 0)
		snprintf(peer->token, sizeof(peer->token), "%s", token);
	return r;
}

static int take_wish(json_t *body, struct migrate_wish *w, struct failure *f)
{
	static const char *const compress[] = {"never", "auto"};
	const json_t *postcopy = json_object_get(body, "postcopy");
	uint64_t downtime_ms = 0;
	unsigned how = 0;
	int r = field_number(body, "bandwidth", 1, BANDWIDTH_MAX, &w->bandwidth, f);

	if (r == 0)
		r = field_number(body, "downtime_ms", 1, DOWNTIME_MAX_MS, &downtime_ms, f);
	if (r == 0)
		r = field_number(body, "connections", 1, OFFER_CONNECTIONS_MAX, &w->connections, f);
	if (r == 0)
		r = field_word(body, "compress", "the request", compress, ARRAY_LEN(compress), &how,
			       f);
	if (r < 0)
		return r;
	w->downtime_us = downtime_ms * 1000;
	w->compress = how > 0;
	w->quick = json_is_true(json_object_get(body, "quick"));
	w->storage = json_is_true(json_object_get(body, "storage"));
	if (postcopy)
		w->postcopy = json_is_true(postcopy) ? POSTCOPY_YES : POSTCOPY_NO;
	if (w->quick && w->postcopy == POSTCOPY_YES)
		return fail(f, -EINVAL,
			    "'quick' and 'postcopy' exclude each other: by the first all memory "
			    "goes before the guest does, by the second some of it behind");
	if (w->storage && w->postcopy == POSTCOPY_YES)
		return fail(f, -EINVAL,
			    "'storage' and 'postcopy' exclude each other: disks go before the "
			    "guest does");
	return 0;
}

/* A VM of the cluster goes by its engine, to the member of that name. */
static int go(struct vm *vm, json_t *body, struct migrate_wish *w, struct job **ret_job,
	      struct failure *f)
{
	const char *node = json_string_value(json_object_get(body, "node"));
	int r;

	if (vm->clustered && w->storage)
		return fail(f, -EINVAL,
			    "the VM '%s' is of the cluster, whose hosts reach its disks: it goes "
			    "without them",
			    vm->name);
	if (vm->clustered && node)
		return steer_start(vm, node, w, ret_job, f);
	if (node)
		return fail(f, -EINVAL,
			    "'node' is for VMs of the cluster, and the VM '%s' is of none",
			    vm->name);
	r = clustered_refuse(vm, "move", f);
	if (r == 0)
		r = take_peer(body, &w->peer, f);
	return r < 0 ? r : migrate_start(vm, w, ret_job, f);
}

void api_migrate_vm(struct http_request *r, void *owner)
{
	static const struct field fields[] = {
		{"host", JSON_STRING},       {"fingerprint", JSON_STRING},  {"token", JSON_STRING},
		{"bandwidth", JSON_INTEGER}, {"downtime_ms", JSON_INTEGER}, {"quick", JSON_TRUE},
		{"postcopy", JSON_TRUE},     {"connections", JSON_INTEGER}, {"node", JSON_STRING},
		{"storage", JSON_TRUE},      {"compress", JSON_STRING}};
	struct vm *vm = api_vm(owner, r);
	struct migrate_wish wish = {.connections = 1};
	struct failure f;
	struct job *job;
	int code;

	if (!vm || !api_body(r, fields, ARRAY_LEN(fields)))
		return;
	code = take_wish(r->body, &wish, &f);
	if (code == 0)
		code = go(vm, r->body, &wish, &job, &f);
	explicit_bzero(&wish, sizeof(wish));
	if (code < 0)
		api_fail(r, code, &f);
	else
		api_accept(r, job);
}

void api_move_storage(struct http_request *r, void *owner)
{
	static const struct field fields[] = {{"folder", JSON_STRING}};
	struct vm *vm = api_vm(owner, r);
	const char *folder;
	struct failure f;
	struct job *job;
	int code = 0;

	if (!vm || !api_body(r, fields, ARRAY_LEN(fields)))
		return;
	folder = json_string_value(json_object_get(r->body, "folder"));
	if (!folder || folder[0] != '/' || strlen(folder) >= PATH_MAX)
		code = fail(&f, -EINVAL, "'folder' is no absolute path");
	if (code == 0)
		code = relocate_start(vm, folder, &job, &f);
	if (code < 0)
		api_fail(r, code, &f);
	else
		api_accept(r, job);
}

/* ---- coming ---- */

static void on_made(void *ctx, struct vm *vm, int code, json_t *reasons, const struct failure *f)
{
	struct http_request *r = ctx;
	struct failure ignored;
	char location[96], uuid[GUID_TEXT_LEN];
	const char *pass;
	unsigned connections;

	if (code < 0) {
		http_fail_for(r, http_status_of(code), f, code == -EEXIST ? reasons : NULL);
		return;
	}
	if (http_gone(r) && vm->incoming)
		(void)incoming_undo(vm, NULL, NULL, &ignored);
	connections = incoming_connections(vm, &pass);
	guid_format(&vm->host->uuid, uuid);
	snprintf(location, sizeof(location), "/v1/vms/%s", vm->name);
	http_reply(r,
		   &(struct http_reply){.status = 201,
					.body = json_pack("{s:s, s:s, s:i, s:s}", "name", vm->name,
							  "host_uuid", uuid, "connections",
							  (int)connections, "pass", pass),
					.location = location});
}

void api_take_vm(struct http_request *r, void *owner)
{
	struct api *api = owner;
	struct failure f;
	int code;

	http_later(r);
	code = incoming_start(api->host, r->body, on_made, r, &f);
	if (code < 0)
		api_fail(r, code, &f);
}

/* The connection becomes the worker's; the VM may have gone meanwhile. */
struct stream {
	struct host *host;
	char name[VM_NAME_MAX + 1];
};

static void on_upgraded(void *ctx, int fd, const void *early, size_t len)
{
	struct stream *s = ctx;
	struct vm *vm = host_find(s->host, s->name);
	struct failure f;

	(void)early;
	free(s);
	if (fd < 0)
		return;
	/* The destination speaks first. */
	if (!vm || len || fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK) < 0)
		close(fd);
	else
		(void)incoming_stream(vm, fd, &f);
}

void api_stream_vm(struct http_request *r, void *owner)
{
	struct vm *vm = api_vm(owner, r);
	struct stream *s;
	struct failure f;
	int code;

	if (!vm)
		return;
	code = incoming_may_stream(vm, &f);
	s = code == 0 ? calloc(1, sizeof(*s)) : NULL;
	if (code == 0 && !s)
		code = fail(&f, -ENOMEM, "cannot take the VM '%s': out of memory", vm->name);
	if (code < 0) {
		api_fail(r, code, &f);
		return;
	}
	s->host = vm->host;
	snprintf(s->name, sizeof(s->name), "%s", vm->name);
	http_upgrade(r, on_upgraded, s);
}

static void on_undone(void *ctx, const char *sentence)
{
	api_conclude(ctx, sentence, 409);
}

/* Whether one that is not here was undone: the source asks until it hears. */
struct confession {
	struct pool_work work;
	struct http_request *request;
	struct host *host;
	char uuid[GUID_TEXT_LEN];
	bool known;
	int result;
	struct failure f;
};

static void confess(struct pool_work *w)
{
	struct confession *c = CONTAINER_OF(w, struct confession, work);

	c->result = move_confess(c->host->state, c->uuid, c->known, &c->f);
}

static void on_confessed(struct pool_work *w)
{
	struct confession *c = CONTAINER_OF(w, struct confession, work);
	unsigned status = 500;

	if (c->result == 0 && host_find_uuid(c->host, c->uuid)) {
		fail(&c->f, -EEXIST, "the VM of the UUID %s has come, and is this host's", c->uuid);
		status = 410;
	} else if (c->result == 0) {
		fail(&c->f, -ENOENT, "there is no VM of the UUID %s here, and none was undone",
		     c->uuid);
		status = 404;
	}
	api_conclude(c->request, c->result == 1 ? NULL : c->f.text, status);
	free(c);
}

static void look_for_undone(struct host *h, struct http_request *r, const char *uuid)
{
	struct confession *c = calloc(1, sizeof(*c));
	struct failure f;

	if (!c) {
		api_fail(r, fail(&f, -ENOMEM, "cannot look for the VM: out of memory"), &f);
		return;
	}
	c->work = (struct pool_work){.work = confess, .done = on_confessed};
	c->request = r;
	c->host = h;
	snprintf(c->uuid, sizeof(c->uuid), "%s", uuid);
	c->known = http_query(r, "known") != NULL;
	http_later(r);
	pool_submit(h->pool, &c->work);
}

/* With its UUID the source asks what became of one that brings its disks: NULL when that is
 * answered, or will be. */
static struct vm *find_undoable(struct api *api, struct http_request *r)
{
	const char *asked = http_query(r, "uuid");
	char uuid[GUID_TEXT_LEN];
	struct failure f;
	struct guid g;
	struct vm *vm;

	if (!asked)
		return api_vm(api, r);
	if (guid_parse(asked, &g) < 0) {
		api_fail(r, fail(&f, -EINVAL, "'uuid' is no UUID"), &f);
		return NULL;
	}
	guid_format(&g, uuid);
	vm = host_find_uuid(api->host, uuid);
	if (vm && vm->incoming)
		return vm;
	look_for_undone(api->host, r, uuid);
	return NULL;
}

void api_undo_vm(struct http_request *r, void *owner)
{
	struct vm *vm = find_undoable(owner, r);
	struct failure f;
	int code;

	if (!vm)
		return;
	http_later(r);
	code = incoming_undo(vm, on_undone, r, &f);
	if (code < 0)
		api_fail(r, code, &f);
}
