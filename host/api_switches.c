/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Routes of switches. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "host/api.h"
#include "host/jobs.h"
#include "host/network.h"
#include "lib/fields.h"

#define TRIAL_S 30u
#define TRIAL_MAX_S 600u

static void not_there(struct http_request *r)
{
	struct failure f;

	fail(&f, -ENOENT, "there is no switch '%.64s'; 'oya switch list' names them",
	     http_param(r, "switch"));
	http_fail(r, 404, &f);
}

void api_list_switches(struct http_request *r, void *owner)
{
	struct api *api = owner;
	const char *after = http_query(r, "after"), *last = NULL;
	json_t *all = network_list(api->host->network), *list = json_array(), *one;
	unsigned limit;
	bool more = false;
	size_t i;

	if (!api_limit(r, &limit)) {
		json_decref(all);
		json_decref(list);
		return;
	}
	json_array_foreach(all, i, one)
	{
		const char *name = json_string_value(json_object_get(one, "name"));

		if (after && strcmp(name, after) <= 0)
			continue;
		more = json_array_size(list) == limit;
		if (more)
			break;
		json_array_append(list, one);
		last = name;
	}
	api_reply_list(r, "switches", list, more ? json_string(last) : json_null());
	json_decref(all);
}

void api_get_switch(struct http_request *r, void *owner)
{
	struct api *api = owner;
	json_t *body = network_show(api->host->network, http_param(r, "switch"));

	if (body)
		http_reply(r, &(struct http_reply){.status = 200, .body = body});
	else
		not_there(r);
}

/* An external switch is a job, as long as its trial; another one is there at once. */
struct making {
	struct api *api;
	struct http_request *r; /* NULL: answered */
	struct job *job;        /* NULL: none */
	char name[SWITCH_NAME_MAX + 1];
};

static void on_made(void *ctx, int code, const struct failure *f)
{
	struct making *m = ctx;
	char location[64];

	snprintf(location, sizeof(location), "/v1/switches/%s", m->name);
	if (m->job)
		job_end(m->api->host, m->job, code < 0 ? f->text : NULL);
	else if (code < 0)
		api_fail(m->r, code, f);
	else
		http_reply(m->r, &(struct http_reply){
					 .status = 201,
					 .body = network_show(m->api->host->network, m->name),
					 .location = location});
	free(m);
}

static int take_trial(json_t *body, struct network_trial_wish *wish, struct failure *f)
{
	static const struct field fields[] = {{"confirm", JSON_TRUE}, {"wait_s", JSON_INTEGER}};
	json_t *trial = json_object_get(body, "trial");
	uint64_t wait = TRIAL_S;
	int r;

	if (!trial) {
		*wish = (struct network_trial_wish){.wait_s = TRIAL_S};
		return 0;
	}
	r = json_is_object(trial) ? fields_check(trial, "'trial'", fields, ARRAY_LEN(fields), f)
				  : fail(f, -EINVAL, "'trial' of the request is not an object");
	if (r == 0)
		r = field_number(trial, "wait_s", 1, TRIAL_MAX_S, &wait, f);
	field_bool(trial, "confirm", &wish->confirm);
	wish->wait_s = (unsigned)wait;
	return r;
}

static void make(struct api *api, struct http_request *r, const struct switch_config *config,
		 const struct network_trial_wish *wish)
{
	struct making *m = calloc(1, sizeof(*m));
	struct failure f;
	int code;

	if (m && config->kind == SWITCH_EXTERNAL)
		m->job = job_new(api->host, "make-switch", "");
	if (!m || (config->kind == SWITCH_EXTERNAL && !m->job)) {
		free(m);
		fail(&f, -ENOMEM, "cannot make the switch '%s': out of memory", config->name);
		http_fail(r, 503, &f);
		return;
	}
	m->api = api;
	m->r = r;
	memcpy(m->name, config->name, sizeof(m->name));
	if (!m->job)
		http_later(r);
	code = network_add(api->host->network, config, wish, on_made, m, &f);
	if (code == 0) {
		if (m->job)
			api_accept(r, m->job);
		return;
	}
	if (m->job)
		job_end(api->host, m->job, f.text);
	free(m);
	api_fail(r, code, &f);
}

void api_create_switch(struct http_request *r, void *owner)
{
	struct network_trial_wish wish = {0};
	json_t *wanted = json_copy(r->body);
	struct switch_config config;
	struct failure f;
	int code = take_trial(wanted, &wish, &f);

	(void)json_object_del(wanted, "trial");
	if (code == 0)
		code = switch_config_decode(wanted, &config, &f);
	json_decref(wanted);
	if (code < 0)
		api_fail(r, code, &f);
	else
		make(owner, r, &config, &wish);
}

static void on_removed(void *ctx, int code, const struct failure *f)
{
	if (code < 0)
		api_fail(ctx, code, f);
	else
		http_reply(ctx, &(struct http_reply){.status = 204});
}

void api_remove_switch(struct http_request *r, void *owner)
{
	struct api *api = owner;
	struct failure f;
	int code;

	http_later(r);
	code = network_remove(api->host->network, http_param(r, "switch"), on_removed, r, &f);
	if (code < 0)
		api_fail(r, code, &f);
}

void api_confirm_switch(struct http_request *r, void *owner)
{
	struct api *api = owner;
	struct failure f;
	int code = network_confirm(api->host->network, http_param(r, "switch"), &f);

	if (code < 0)
		api_fail(r, code, &f);
	else
		http_reply(r, &(struct http_reply){.status = 204});
}
