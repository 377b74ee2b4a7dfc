/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Routes of tokens, and what is open of callers whose rights have changed. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "host/api.h"
#include "host/events.h"
#include "host/settings.h"

void api_look_again(struct api *api)
{
	events_look_again(api->events);
	api_end_consoles(api);
}

/* All of them on one page: there are at most 256. */
void api_list_tokens(struct http_request *r, void *owner)
{
	const struct api *api = owner;
	const struct access *access = gate_access(api->gate);
	json_t *list = json_array();

	for (unsigned i = 0; i < access->tokens; i++)
		json_array_append_new(list, access_show_token(&access->token[i]));
	http_reply(r,
		   &(struct http_reply){.status = 200,
					.body = json_pack("{s:o, s:n}", "tokens", list, "next")});
}

static void on_added(void *ctx, const struct gate *g, int code, const char *name, const char *token,
		     const struct failure *f)
{
	struct http_request *r = ctx;
	const struct access *access = gate_access(g);
	char location[96];
	json_t *body = NULL;

	if (code < 0) {
		api_fail(r, code, f);
		return;
	}
	for (unsigned i = 0; i < access->tokens; i++) {
		if (strcmp(access->token[i].name, name) == 0)
			body = access_show_token(&access->token[i]);
	}
	json_object_set_new(body, "token", json_string(token));
	snprintf(location, sizeof(location), "/v1/tokens/%s", name);
	http_reply(r, &(struct http_reply){.status = 201, .body = body, .location = location});
}

void api_create_token(struct http_request *r, void *owner)
{
	struct api *api = owner;
	struct access_order order;
	struct failure f;
	int code = access_order_decode(r->body, time(NULL), &order, &f);

	if (code == 0) {
		http_later(r);
		code = gate_add_token(api->gate, &order, on_added, r);
		if (code < 0)
			fail(&f, code, "cannot make a token: out of memory");
	}
	if (code < 0)
		api_fail(r, code, &f);
}

static void on_removed(void *ctx, const struct gate *g, int code, const char *name,
		       const char *token, const struct failure *f)
{
	(void)g;
	(void)name;
	(void)token;
	if (code < 0)
		api_fail(ctx, code, f);
	else
		http_reply(ctx, &(struct http_reply){.status = 204});
}

void api_delete_token(struct http_request *r, void *owner)
{
	struct api *api = owner;
	const char *name = http_param(r, "token");
	struct failure f;
	int code;

	if (!vm_name_allowed(name)) {
		code = fail(&f, -ENOENT, "there is no token '%.80s'", name);
	} else {
		http_later(r);
		code = gate_remove_token(api->gate, name, on_removed, r);
		if (code < 0)
			fail(&f, code, "cannot delete the token '%s': out of memory", name);
	}
	if (code < 0)
		api_fail(r, code, &f);
}
