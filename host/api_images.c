/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Routes of the store of images, and of what is taken over from other systems. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "host/api.h"
#include "host/image_store.h"
#include "host/intake.h"
#include "host/jobs.h"
#include "host/settings.h"
#include "lib/fields.h"

/* One look at, or change of, the store; in the pool. */
struct visit {
	struct pool_work work;
	struct host *host;
	struct http_request *r;
	char name[VM_NAME_MAX + 2]; /* to be removed; one too long stays so */
	json_t *list;
	int code;
	struct failure f;
};

static void visit(struct api *api, struct http_request *r, const char *name,
		  void (*work)(struct pool_work *w), void (*done)(struct pool_work *w))
{
	struct visit *v = calloc(1, sizeof(*v));
	struct failure f;

	if (!v) {
		fail(&f, -ENOMEM, "cannot look at the images: out of memory");
		http_fail(r, 503, &f);
		return;
	}
	v->work = (struct pool_work){.work = work, .done = done};
	v->host = api->host;
	v->r = r;
	snprintf(v->name, sizeof(v->name), "%s", name);
	http_later(r);
	pool_submit(api->host->pool, &v->work);
}

static void list(struct pool_work *w)
{
	struct visit *v = CONTAINER_OF(w, struct visit, work);

	v->code = images_list(v->host->state, &v->list, &v->f);
}

static void on_listed(struct pool_work *w)
{
	struct visit *v = CONTAINER_OF(w, struct visit, work);

	if (v->code < 0)
		api_fail(v->r, v->code, &v->f);
	else
		http_reply(v->r,
			   &(struct http_reply){.status = 200,
						.body = json_pack("{s:o}", "images", v->list)});
	free(v);
}

void api_list_images(struct http_request *r, void *owner)
{
	visit(owner, r, "", list, on_listed);
}

static void remove_one(struct pool_work *w)
{
	struct visit *v = CONTAINER_OF(w, struct visit, work);

	v->code = image_remove(v->host->state, v->name, &v->f);
}

static void on_removed(struct pool_work *w)
{
	struct visit *v = CONTAINER_OF(w, struct visit, work);

	if (v->code < 0)
		api_fail(v->r, v->code, &v->f);
	else
		http_reply(v->r, &(struct http_reply){.status = 204});
	free(v);
}

void api_remove_image(struct http_request *r, void *owner)
{
	visit(owner, r, http_param(r, "image"), remove_one, on_removed);
}

static void on_begun(void *ctx, struct job *job, int code, const struct failure *f)
{
	if (job)
		api_accept(ctx, job);
	else
		api_fail(ctx, code, f);
}

void api_take_in(struct api *api, struct http_request *r, const struct intake_wish *w)
{
	struct failure f;
	int code;

	http_later(r);
	code = intake_start(api->host, w, on_begun, r, &f);
	if (code < 0)
		api_fail(r, code, &f);
}

void api_create_image(struct http_request *r, void *owner)
{
	static const struct field fields[] = {{"name", JSON_STRING}, {"file", JSON_STRING}};
	struct intake_wish wish = {.kind = INTAKE_IMAGE};
	struct failure f;

	if (!api_body(r, fields, ARRAY_LEN(fields)))
		return;
	wish.name = json_string_value(json_object_get(r->body, "name"));
	wish.file = json_string_value(json_object_get(r->body, "file"));
	if (wish.name && wish.file) {
		api_take_in(owner, r, &wish);
		return;
	}
	fail(&f, -EINVAL, "an image needs a 'name', and the 'file' that it is made from");
	http_fail(r, 400, &f);
}

void api_import_vm(struct http_request *r, void *owner)
{
	static const struct field fields[] = {{"name", JSON_STRING}, {"file", JSON_STRING}};
	struct intake_wish wish = {.kind = INTAKE_IMPORT};
	struct failure f;

	if (!api_body(r, fields, ARRAY_LEN(fields)))
		return;
	wish.name = json_string_value(json_object_get(r->body, "name"));
	wish.file = json_string_value(json_object_get(r->body, "file"));
	if (wish.file) {
		api_take_in(owner, r, &wish);
		return;
	}
	fail(&f, -EINVAL, "the request has no string 'file' that is to be imported");
	http_fail(r, 400, &f);
}
