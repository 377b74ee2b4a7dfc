/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Routes of a VM's disks and NICs, which come and go while it runs. */
#include <errno.h>
#include <stdio.h>

#include "base/util.h"
#include "host/api.h"
#include "host/hotplug.h"
#include "host/images.h"
#include "host/intake.h"
#include "host/resize.h"
#include "host/vm.h"
#include "lib/fields.h"

/* All of them answer with the VM as it is then. */
static void on_changed(void *ctx, struct vm *vm, int code, const struct failure *f)
{
	if (code < 0)
		api_fail(ctx, code, f);
	else
		api_reply_vm(ctx, vm, 200);
}

void api_list_disks(struct http_request *r, void *owner)
{
	struct vm *vm = api_vm(owner, r);

	if (vm)
		http_reply(r, &(struct http_reply){
				      .status = 200,
				      .body = json_pack("{s:o}", "disks",
							settings_show_disks(vm->settings))});
}

void api_list_nics(struct http_request *r, void *owner)
{
	struct vm *vm = api_vm(owner, r);
	json_t *nics = vm ? json_object_get(vm->settings->root, "nics") : NULL;

	if (vm)
		http_reply(r, &(struct http_reply){
				      .status = 200,
				      .body = json_pack("{s:o}", "nics",
							nics ? json_incref(nics) : json_array())});
}

/* The VM that is changed, whose answer comes later; NULL: answered. */
static struct vm *begin(struct http_request *r, void *owner)
{
	struct vm *vm = api_vm(owner, r);

	if (!vm || !api_is_current(r, vm))
		return NULL;
	http_later(r);
	return vm;
}

static void end(struct http_request *r, int code, const struct failure *f)
{
	if (code < 0)
		api_fail(r, code, f);
}

void api_add_disk(struct http_request *r, void *owner)
{
	struct vm *vm = api_vm(owner, r);
	struct failure f;

	if (!vm || !api_is_current(r, vm))
		return;
	if (json_object_get(r->body, "from")) {
		api_take_in(owner, r,
			    &(struct intake_wish){
				    .kind = INTAKE_DISK, .name = vm->name, .settings = r->body});
		return;
	}
	http_later(r);
	end(r, hotplug_add_disk(vm, r->body, NULL, on_changed, r, &f), &f);
}

/* "CONTROLLER:LUN". */
static int parse_place(const char *text, struct disk_place *ret, struct failure *f)
{
	char end;

	if (text[0] >= '0' && text[0] <= '9' &&
	    sscanf(text, "%2u:%2u%c", &ret->controller, &ret->lun, &end) == 2)
		return 0;
	return fail(f, -EINVAL,
		    "'%.32s' is no place of a disk: the numbers of its controller and its LUN with "
		    "a colon between them, such as 0:2",
		    text);
}

void api_remove_disk(struct http_request *r, void *owner)
{
	struct vm *vm = begin(r, owner);
	struct disk_place place;
	struct failure f;
	int code;

	if (!vm)
		return;
	code = parse_place(http_param(r, "disk"), &place, &f);
	end(r, code < 0 ? code : hotplug_remove_disk(vm, place, on_changed, r, &f), &f);
}

void api_resize_disk(struct http_request *r, void *owner)
{
	static const struct field fields[] = {{"size_mib", JSON_INTEGER}};
	struct vm *vm = api_vm(owner, r);
	struct disk_place place;
	struct failure f;
	uint64_t mib = 0;
	int code;

	if (!vm || !api_is_current(r, vm) || !api_body(r, fields, ARRAY_LEN(fields)))
		return;
	code = parse_place(http_param(r, "disk"), &place, &f);
	if (code == 0)
		code = field_number(r->body, "size_mib", 1, IMAGE_MIB_MAX, &mib, &f);
	if (code == 0 && !mib)
		code = fail(&f, -EINVAL, "the request has no number 'size_mib'");
	if (code == 0) {
		http_later(r);
		code = resize_disk(vm, place, mib, on_changed, r, &f);
	}
	end(r, code, &f);
}

void api_add_nic(struct http_request *r, void *owner)
{
	struct vm *vm = begin(r, owner);
	struct failure f;

	if (vm)
		end(r, hotplug_add_nic(vm, r->body, on_changed, r, &f), &f);
}

void api_remove_nic(struct http_request *r, void *owner)
{
	struct vm *vm = begin(r, owner);
	struct failure f;

	if (vm)
		end(r, hotplug_remove_nic(vm, http_param(r, "nic"), on_changed, r, &f), &f);
}
