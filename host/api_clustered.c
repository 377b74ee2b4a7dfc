/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Routes of VMs of the cluster, for the agent of its engine. They are answered when it is done. */
#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "host/api.h"
#include "host/clustered.h"
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
