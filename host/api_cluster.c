/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Routes of the cluster: set up, joined, left, its fencing; and what its members want of each
 * other. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/util.h"
#include "host/api.h"
#include "host/cluster.h"
#include "host/drain.h"
#include "host/settings.h"
#include "lib/fields.h"

/* NULL: answered, this host does not listen. */
static struct cluster *cluster_of(const struct api *api, struct http_request *r)
{
	struct failure f;

	if (api->host->cluster)
		return api->host->cluster;
	fail(&f, -ENOENT,
	     "this host is in no cluster, and can be in none: its oyad has to listen "
	     "for other hosts, by --listen (oyad(8))");
	http_fail(r, r->method == HTTP_POST ? 409 : 404, &f);
	return NULL;
}

static void conclude(struct http_request *r, int code, const struct job *job,
		     const struct failure *f)
{
	if (code < 0)
		api_fail(r, code, f);
	else
		api_accept(r, job);
}

/* ---- an administrator's ---- */

static int take_links(json_t *body, struct cluster_wish *w, struct failure *f)
{
	json_t *list = json_object_get(body, "links"), *one;
	size_t i;

	if (json_array_size(list) > MEMBERS_LINKS_MAX)
		return fail(f, -EINVAL, "'links' has %zu addresses, allowed are at most %u",
			    json_array_size(list), MEMBERS_LINKS_MAX);
	json_array_foreach(list, i, one)
	{
		const char *text = json_string_value(one);

		if (!text || !members_address(text, w->link[w->links++]))
			return fail(f, -EINVAL, "'%.80s' of 'links' is no IP address",
				    text ? text : "");
	}
	return 0;
}

void api_create_cluster(struct http_request *r, void *owner)
{
	static const struct field fields[] = {{"name", JSON_STRING}, {"links", JSON_ARRAY}};
	struct cluster *c = cluster_of(owner, r);
	struct cluster_wish w = {.links = 0};
	struct job *job = NULL;
	struct failure f;
	int code;

	if (!c || !api_body(r, fields, ARRAY_LEN(fields)))
		return;
	w.name = json_string_value(json_object_get(r->body, "name"));
	code = w.name && vm_name_allowed(w.name)
		       ? take_links(r->body, &w, &f)
		       : fail(&f, -EINVAL, "'%.80s' is no name of a cluster", w.name ? w.name : "");
	if (code == 0)
		code = cluster_create(c, &w, &job, &f);
	conclude(r, code, job, &f);
}

void api_join_cluster(struct http_request *r, void *owner)
{
	static const struct field fields[] = {{"token", JSON_STRING}, {"links", JSON_ARRAY}};
	struct cluster *c = cluster_of(owner, r);
	struct cluster_wish w = {.links = 0};
	struct job *job = NULL;
	struct failure f;
	int code;

	if (!c || !api_body(r, fields, ARRAY_LEN(fields)))
		return;
	w.token = json_string_value(json_object_get(r->body, "token"));
	code = w.token ? take_links(r->body, &w, &f) : fail(&f, -EINVAL, "'token' is not there");
	if (code == 0)
		code = cluster_join(c, &w, &job, &f);
	conclude(r, code, job, &f);
}

/* What becomes of a member is a job; `word` of the query has it done another way. */
typedef int member_fn(struct cluster *c, const char *name, bool word, struct job **ret_job,
		      struct failure *f);

static void change_member(struct http_request *r, void *owner, const char *word, member_fn *change)
{
	struct cluster *c = cluster_of(owner, r);
	struct job *job = NULL;
	struct failure f;
	bool given;
	int code;

	if (!c || !api_flag(r, word, &given))
		return;
	code = change(c, http_param(r, "host"), given, &job, &f);
	conclude(r, code, job, &f);
}

void api_remove_member(struct http_request *r, void *owner)
{
	change_member(r, owner, "force", cluster_remove);
}

void api_drain_member(struct http_request *r, void *owner)
{
	change_member(r, owner, "force", drain_start);
}

void api_resume_member(struct http_request *r, void *owner)
{
	change_member(r, owner, "failback", drain_resume);
}

void api_destroy_cluster(struct http_request *r, void *owner)
{
	struct cluster *c = cluster_of(owner, r);
	struct job *job = NULL;
	struct failure f;
	bool force;
	int code;

	if (!c || !api_flag(r, "force", &force))
		return;
	code = cluster_destroy(c, force, &job, &f);
	conclude(r, code, job, &f);
}

void api_set_witness(struct http_request *r, void *owner)
{
	static const struct field fields[] = {{"kind", JSON_STRING}, {"path", JSON_STRING}};
	struct cluster *c = cluster_of(owner, r);
	const char *kind, *path;
	struct job *job = NULL;
	struct failure f;
	int code;

	if (!c || !api_body(r, fields, ARRAY_LEN(fields)))
		return;
	kind = json_string_value(json_object_get(r->body, "kind"));
	path = json_string_value(json_object_get(r->body, "path"));
	code = kind && path && *path ? cluster_set_witness(c, kind, path, &job, &f)
				     : fail(&f, -EINVAL, "'kind' or 'path' is not there");
	conclude(r, code, job, &f);
}

void api_drop_witness(struct http_request *r, void *owner)
{
	struct cluster *c = cluster_of(owner, r);
	struct job *job = NULL;
	struct failure f;
	int code;

	if (!c)
		return;
	code = cluster_set_witness(c, NULL, NULL, &job, &f);
	conclude(r, code, job, &f);
}

/* ---- answered later ---- */

static void on_answer(void *ctx, int code, json_t *answer, const struct failure *f)
{
	struct http_request *r = ctx;

	if (code < 0)
		api_fail(r, code, f);
	else
		http_reply(r, &(struct http_reply){.status = answer ? 200 : 204, .body = answer});
}

/* ---- a host that is drained ---- */

void api_get_drain(struct http_request *r, void *owner)
{
	struct cluster *c = cluster_of(owner, r);
	struct failure f;
	int code;

	if (!c)
		return;
	http_later(r);
	code = drain_plan(c, http_param(r, "host"), on_answer, r, &f);
	if (code < 0)
		api_fail(r, code, &f);
}

/* ---- its state ---- */

void api_get_cluster(struct http_request *r, void *owner)
{
	struct cluster *c = cluster_of(owner, r);
	struct failure f;
	int code;

	if (!c)
		return;
	http_later(r);
	code = cluster_status(c, on_answer, r, &f);
	if (code < 0)
		api_fail(r, code, &f);
}

void api_list_members(struct http_request *r, void *owner)
{
	struct cluster *c = cluster_of(owner, r);
	const struct members *m = cluster_members(c);
	struct failure f;

	if (!c)
		return;
	if (m) {
		http_reply(r, &(struct http_reply){.status = 200, .body = members_to_json(m)});
		return;
	}
	fail(&f, -ENOENT, "this host is in no cluster");
	http_fail(r, 404, &f);
}

/* ---- tokens ---- */

struct asker {
	struct http_request *r;
	struct cluster *c;
	int64_t expires_s;
};

static void on_token(void *ctx, const struct gate *g, int code, const char *name, const char *token,
		     const struct failure *f)
{
	struct asker *a = ctx;
	char *word = code < 0 ? NULL : cluster_write_token(a->c, token);

	(void)g;
	(void)name;
	if (code < 0)
		api_fail(a->r, code, f);
	else
		http_reply(a->r, &(struct http_reply){.status = 201,
						      .body = json_pack("{s:s*, s:I}", "token",
									word, "expires",
									(json_int_t)a->expires_s)});
	if (word)
		explicit_bzero(word, strlen(word));
	free(word);
	free(a);
}

void api_create_cluster_token(struct http_request *r, void *owner)
{
	struct api *api = owner;
	struct cluster *c = cluster_of(api, r);
	struct access_order order = {.role = HTTP_JOINER, .created_s = time(NULL)};
	struct asker *a;
	struct timespec now;
	char name[48];
	struct failure f;

	if (!c)
		return;
	a = cluster_members(c) ? calloc(1, sizeof(*a)) : NULL;
	if (!a) {
		fail(&f, -ENOENT, "this host is in no cluster: 'oya cluster create' makes one");
		http_fail(r, 409, &f);
		return;
	}
	clock_gettime(CLOCK_REALTIME, &now);
	snprintf(name, sizeof(name), "join-%lld-%09ld", (long long)now.tv_sec, now.tv_nsec);
	order.name = name;
	order.expires_s = order.created_s + CLUSTER_TOKEN_S;
	*a = (struct asker){.r = r, .c = c, .expires_s = order.expires_s};
	http_later(r);
	if (gate_add_token(api->gate, &order, on_token, a) < 0) {
		free(a);
		fail(&f, -ENOMEM, "cannot make a token: out of memory");
		api_fail(r, -ENOMEM, &f);
	}
}

/* ---- hosts among themselves ---- */

/* The name of the token of who joins; NULL: it has another role. */
static const char *token_of(const struct api *api, const struct http_request *r)
{
	const struct access *access = gate_access(api->gate);

	for (unsigned i = 0; i < access->tokens; i++) {
		if (r->role == HTTP_JOINER && access->token[i].rights.who == r->identity.who)
			return access->token[i].name;
	}
	return NULL;
}

void api_add_member(struct http_request *r, void *owner)
{
	static const struct field fields[] = {{"facts", JSON_OBJECT}, {"enter", JSON_TRUE}};
	static const struct field known[] = {{"member", JSON_OBJECT},
					     {"oya", JSON_STRING},
					     {"corosync", JSON_STRING},
					     {"pacemaker", JSON_STRING},
					     {"vms", JSON_ARRAY}};
	struct cluster *c = cluster_of(owner, r);
	json_t *facts = json_object_get(r->body, "facts");
	const char *token = token_of(owner, r), *fingerprint;
	struct failure f;
	int code;

	if (!c || !api_body(r, fields, ARRAY_LEN(fields)))
		return;
	fingerprint =
		json_string_value(json_object_get(json_object_get(facts, "member"), "fingerprint"));
	code = fields_check(facts, "'facts'", known, ARRAY_LEN(known), &f);
	if (code == 0 && (!token || !fingerprint || !*fingerprint ||
			  strcmp(fingerprint, r->caller.fingerprint) != 0)) {
		fail(&f, -EPERM,
		     "a host joins by a token of 'oya cluster token', and by its own "
		     "certificate, which it has to show");
		http_fail(r, 403, &f);
		return;
	}
	if (code == 0) {
		http_later(r);
		code = cluster_admit(c, facts, json_is_true(json_object_get(r->body, "enter")),
				     token, on_answer, r, &f);
	}
	if (code < 0)
		api_fail(r, code, &f);
}

void api_take_members(struct http_request *r, void *owner)
{
	struct cluster *c = cluster_of(owner, r);
	struct members m;
	struct failure f;
	int code;

	if (!c)
		return;
	code = members_of_json(r->body, &m, &f);
	if (code == 0 && !r->identity.member[0]) {
		fail(&f, -EPERM, "members alone tell each other who is in the cluster");
		http_fail(r, 403, &f);
		return;
	}
	if (code == 0) {
		http_later(r);
		code = cluster_take(c, &m, on_answer, r, &f);
	}
	if (code < 0)
		api_fail(r, code, &f);
}

/* ---- fencing ---- */

void api_add_fencing(struct http_request *r, void *owner)
{
	static const struct field fields[] = {{"devices", JSON_ARRAY}};
	struct cluster *c = cluster_of(owner, r);
	struct job *job = NULL;
	struct failure f;
	int code;

	if (!c || !api_body(r, fields, ARRAY_LEN(fields)))
		return;
	code = cluster_add_fencing(c, json_object_get(r->body, "devices"), &job, &f);
	conclude(r, code, job, &f);
}

void api_remove_fencing(struct http_request *r, void *owner)
{
	struct cluster *c = cluster_of(owner, r);
	struct job *job = NULL;
	struct failure f;
	int code;

	if (!c)
		return;
	code = cluster_remove_fencing(c, http_param(r, "rung"), &job, &f);
	conclude(r, code, job, &f);
}

void api_test_fencing(struct http_request *r, void *owner)
{
	static const struct field fields[] = {{"power", JSON_TRUE}};
	struct cluster *c = cluster_of(owner, r);
	struct job *job = NULL;
	struct failure f;
	int code;

	if (!c || !api_body(r, fields, ARRAY_LEN(fields)))
		return;
	code = cluster_test_fencing(c, http_param(r, "host"),
				    json_is_true(json_object_get(r->body, "power")), &job, &f);
	conclude(r, code, job, &f);
}

/* Whether a member asks; false: answered by 403. */
static bool is_member(struct http_request *r)
{
	struct failure f;

	if (r->identity.member[0])
		return true;
	fail(&f, -EPERM, "members alone tell each other where they are let in");
	http_fail(r, 403, &f);
	return false;
}

void api_take_keys(struct http_request *r, void *owner)
{
	static const struct field fields[] = {{"devices", JSON_ARRAY}};
	struct cluster *c = cluster_of(owner, r);
	struct failure f;
	int code;

	if (!c || !api_body(r, fields, ARRAY_LEN(fields)) || !is_member(r))
		return;
	http_later(r);
	code = cluster_take_keys(c, json_object_get(r->body, "devices"), on_answer, r, &f);
	if (code < 0)
		api_fail(r, code, &f);
}

void api_take_trial(struct http_request *r, void *owner)
{
	static const struct field fields[] = {{"devices", JSON_ARRAY}, {"ends", JSON_TRUE}};
	struct cluster *c = cluster_of(owner, r);
	struct failure f;
	int code;

	if (!c || !api_body(r, fields, ARRAY_LEN(fields)) || !is_member(r))
		return;
	http_later(r);
	code = cluster_take_trial(c, json_object_get(r->body, "devices"),
				  json_is_true(json_object_get(r->body, "ends")), on_answer, r, &f);
	if (code < 0)
		api_fail(r, code, &f);
}
