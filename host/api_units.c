/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Routes of a VM's disks and NICs, which come and go while it runs. */
#include <errno.h>
#include <stdio.h>

#include "host/api.h"
#include "host/hotplug.h"
#include "host/vm.h"

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

void api_add_disk(struct http_request *r, void *owner)
{
	struct vm *vm = api_vm(owner, r);
	struct failure f;
	int code;

	if (!vm || !api_is_current(r, vm))
		return;
	http_later(r);
	code = hotplug_add_disk(vm, r->body, on_changed, r, &f);
	if (code < 0)
		api_fail(r, code, &f);
}

/* "CONTROLLER:LUN". */
static bool parse_place(const char *text, struct disk_place *ret)
{
	char end;

	return text[0] >= '0' && text[0] <= '9' &&
	       sscanf(text, "%2u:%2u%c", &ret->controller, &ret->lun, &end) == 2;
}

void api_remove_disk(struct http_request *r, void *owner)
{
	struct vm *vm = api_vm(owner, r);
	struct disk_place place;
	struct failure f;
	int code;

	if (!vm || !api_is_current(r, vm))
		return;
	http_later(r);
	if (!parse_place(http_param(r, "disk"), &place))
		code = fail(&f, -EINVAL,
			    "'%.32s' is no place of a disk: the numbers of its controller and its "
			    "LUN with a colon between them, such as 0:2",
			    http_param(r, "disk"));
	else
		code = hotplug_remove_disk(vm, place, on_changed, r, &f);
	if (code < 0)
		api_fail(r, code, &f);
}

void api_add_nic(struct http_request *r, void *owner)
{
	struct vm *vm = api_vm(owner, r);
	struct failure f;
	int code;

	if (!vm || !api_is_current(r, vm))
		return;
	http_later(r);
	code = hotplug_add_nic(vm, r->body, on_changed, r, &f);
	if (code < 0)
		api_fail(r, code, &f);
}

void api_remove_nic(struct http_request *r, void *owner)
{
	struct vm *vm = api_vm(owner, r);
	struct failure f;
	int code;

	if (!vm || !api_is_current(r, vm))
		return;
	http_later(r);
	code = hotplug_remove_nic(vm, http_param(r, "nic"), on_changed, r, &f);
	if (code < 0)
		api_fail(r, code, &f);
}
