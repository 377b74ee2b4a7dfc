/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Routes of saved states. */
#include <errno.h>

#include "host/api.h"
#include "host/save.h"

void api_save_vm(struct http_request *r, void *owner)
{
	struct vm *vm = api_vm(owner, r);
	struct failure f;
	struct job *job;
	int code;

	if (!vm)
		return;
	code = save_start(vm, &job, &f);
	if (code < 0)
		api_fail(r, code, &f);
	else
		api_accept(r, job);
}

static void on_discarded(void *ctx, const char *sentence)
{
	api_conclude(ctx, sentence, 500);
}

void api_discard_state(struct http_request *r, void *owner)
{
	struct vm *vm = api_vm(owner, r);
	struct failure f;
	int code;

	if (!vm)
		return;
	http_later(r);
	code = save_discard(vm, on_discarded, r, &f);
	if (code < 0)
		api_fail(r, code, &f);
}
