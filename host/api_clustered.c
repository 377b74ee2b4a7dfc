/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Routes of VMs of the cluster, for the agent of its engine; and by which VMs become its, and do
 * not any more. They are answered when it is done. */
#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "host/api.h"
#include "host/clustered.h"
#include "host/register.h"
#include "lib/fields.h"

static void on_done(void *ctx, const char *sentence)
{
	api_conclude(ctx, sentence, 409);
}

static int take_uuid(const struct http_request *r, struct guid *ret_uuid, struct failure *f)
{
	const char *uuid = json_string_value(json_object_get(r->body, "uuid"));

	return uuid && guid_parse(uuid, ret_uuid) == 0
		       ? 0
		       : fail(f, -EINVAL, "'uuid' is not the UUID of the VM '%.80s'",
			      http_param(r, "vm"));
}

void api_start_clustered(struct http_request *r, void *owner)
{
	static const struct field fields[] = {{"uuid", JSON_STRING}, {"folder", JSON_STRING}};
	struct api *api = owner;
	const char *folder;
	struct failure f;
	struct guid uuid;
	int code;

	if (!api_body(r, fields, ARRAY_LEN(fields)))
		return;
	folder = json_string_value(json_object_get(r->body, "folder"));
	http_later(r);
	code = take_uuid(r, &uuid, &f);
	if (code == 0)
		code = clustered_start(api->host, http_param(r, "vm"), &uuid, folder ? folder : "",
				       on_done, r, &f);
	if (code < 0)
		api_fail(r, code, &f);
}

void api_stop_clustered(struct http_request *r, void *owner)
{
	static const struct field fields[] = {{"uuid", JSON_STRING}};
	struct api *api = owner;
	struct failure f;
	struct guid uuid;
	int code;

	if (!api_body(r, fields, ARRAY_LEN(fields)))
		return;
	http_later(r);
	code = take_uuid(r, &uuid, &f);
	if (code == 0)
		code = clustered_stop(api->host, http_param(r, "vm"), &uuid, on_done, r, &f);
	if (code < 0)
		api_fail(r, code, &f);
}

void api_migrate_clustered(struct http_request *r, void *owner)
{
	static const struct field fields[] = {{"uuid", JSON_STRING}, {"node", JSON_STRING}};
	struct api *api = owner;
	const char *node;
	struct failure f;
	struct guid uuid;
	struct job *job;
	int code;

	if (!api_body(r, fields, ARRAY_LEN(fields)))
		return;
	node = json_string_value(json_object_get(r->body, "node"));
	code = take_uuid(r, &uuid, &f);
	if (code == 0)
		code = clustered_migrate(api->host, http_param(r, "vm"), &uuid, node ? node : "",
					 &job, &f);
	if (code < 0)
		api_fail(r, code, &f);
	else
		api_accept(r, job);
}

void api_register_vm(struct http_request *r, void *owner)
{
	struct vm *vm = api_vm(owner, r);
	struct resource_wish wish;
	struct failure f;
	bool force;
	int code;

	if (!vm || !api_flag(r, "force", &force))
		return;
	http_later(r);
	code = resource_decode(r->body, &wish, &f);
	if (code == 0)
		code = register_vm(vm, &wish, force, on_done, r, &f);
	if (code < 0)
		api_fail(r, code, &f);
}

static void on_shown(void *ctx, json_t *shown, const char *sentence)
{
	if (sentence)
		api_conclude(ctx, sentence, 409);
	else
		http_reply(ctx, &(struct http_reply){.status = 200, .body = shown});
}

void api_show_registration(struct http_request *r, void *owner)
{
	struct vm *vm = api_vm(owner, r);
	struct failure f;
	int code;

	if (!vm)
		return;
	http_later(r);
	code = register_show(vm, on_shown, r, &f);
	if (code < 0)
		api_fail(r, code, &f);
}

void api_unregister_vm(struct http_request *r, void *owner)
{
	struct vm *vm = api_vm(owner, r);
	struct failure f;
	int code;

	if (!vm)
		return;
	http_later(r);
	code = register_undo(vm, on_done, r, &f);
	if (code < 0)
		api_fail(r, code, &f);
}
