/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Routes of VMs. */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/util.h"
#include "host/api.h"
#include "host/clustered.h"
#include "host/edit.h"
#include "host/images.h"
#include "host/incoming.h"
#include "host/intake.h"
#include "host/jobs.h"
#include "host/relay.h"
#include "host/usage.h"
#include "host/vm.h"
#include "lib/fields.h"

#define ETAG_BYTES 32

static void put_etag(const struct vm *vm, char etag[ETAG_BYTES])
{
	snprintf(etag, ETAG_BYTES, "\"%" PRIu64 "\"", vm->version);
}

void api_reply_vm(struct http_request *r, const struct vm *vm, unsigned status)
{
	char etag[ETAG_BYTES], location[96];

	put_etag(vm, etag);
	snprintf(location, sizeof(location), "/v1/vms/%s", vm->name);
	http_reply(r, &(struct http_reply){.status = status,
					   .body = vm_show(vm),
					   .etag = etag,
					   .location = status == 201 ? location : NULL});
}

void api_get_vm(struct http_request *r, void *owner)
{
	struct vm *vm = api_vm(owner, r);

	if (vm)
		api_reply_vm(r, vm, 200);
}

/* ---- made, changed, removed ---- */

static void on_created(void *ctx, struct vm *vm, int code, const struct failure *f)
{
	if (code < 0)
		api_fail(ctx, code, f);
	else
		api_reply_vm(ctx, vm, 201);
}

/* At once; or as a job, when it needs images from elsewhere. */
static int create(struct api *api, struct http_request *r, const char *name, const json_t *settings,
		  struct failure *f)
{
	if (images_are_brought(settings)) {
		api_take_in(api, r,
			    &(struct intake_wish){
				    .kind = INTAKE_VM, .name = name, .settings = settings});
		return 0;
	}
	if (intake_makes(api->host, name))
		return fail(f, -EEXIST, "a VM '%s' is being made already", name);
	http_later(r);
	return edit_create(api->host, name, settings, NULL, on_created, r, f);
}

void api_create_vm(struct http_request *r, void *owner)
{
	struct api *api = owner;
	const char *name = json_string_value(json_object_get(r->body, "name"));
	json_t *settings = json_copy(r->body);
	struct failure f;
	int code;

	if (!name) {
		code = fail(&f, -EINVAL, "the request has no string 'name' for the VM");
	} else {
		char copy[VM_NAME_MAX + 2];

		snprintf(copy, sizeof(copy), "%s", name);
		(void)json_object_del(settings, "name");
		code = create(api, r, copy, settings, &f);
	}
	json_decref(settings);
	if (code < 0)
		api_fail(r, code, &f);
}

static void on_changed(void *ctx, struct vm *vm, int code, const struct failure *f)
{
	if (code < 0)
		api_fail(ctx, code, f);
	else
		api_reply_vm(ctx, vm, 200);
}

bool api_is_current(struct http_request *r, const struct vm *vm)
{
	char etag[ETAG_BYTES];
	struct failure f;

	put_etag(vm, etag);
	if (!r->if_match || http_etag_listed(r->if_match, etag))
		return true;
	fail(&f, -ESTALE,
	     "the VM '%s' has been changed since: it is at %s; read it again and decide anew",
	     vm->name, etag);
	http_fail(r, 412, &f);
	return false;
}

void api_change_vm(struct http_request *r, void *owner)
{
	struct vm *vm = api_vm(owner, r);
	struct failure f;
	int code;

	if (!vm || !api_is_current(r, vm))
		return;
	http_later(r);
	code = edit_change(vm, r->body, on_changed, r, &f);
	if (code < 0)
		api_fail(r, code, &f);
}

static void on_removed(void *ctx, struct vm *vm, int code, const struct failure *f)
{
	(void)vm;
	if (code < 0)
		api_fail(ctx, code, f);
	else
		http_reply(ctx, &(struct http_reply){.status = 204});
}

static void on_taken_back(void *ctx, const char *sentence)
{
	api_conclude(ctx, sentence, 409);
}

void api_remove_vm(struct http_request *r, void *owner)
{
	const char *disks = http_query(r, "disks");
	struct vm *vm = api_vm(owner, r);
	struct failure f;
	int code;

	if (!vm || !api_is_current(r, vm))
		return;
	if (disks && strcmp(disks, "keep") != 0 && strcmp(disks, "delete") != 0) {
		fail(&f, -EINVAL, "'disks' is '%.32s', allowed are keep and delete", disks);
		http_fail(r, 400, &f);
		return;
	}
	http_later(r);
	if (vm->incoming) { /* what is on the disk is the other host's */
		code = incoming_undo(vm, on_taken_back, r, &f);
		if (code < 0)
			api_fail(r, code, &f);
		return;
	}
	code = edit_remove(vm, disks && strcmp(disks, "delete") == 0, on_removed, r, &f);
	if (code < 0)
		api_fail(r, code, &f);
}

/* ---- started and stopped ---- */

struct wait {
	struct host *host;
	struct job *job;
};

static void on_end(void *ctx, const char *sentence)
{
	struct wait *w = ctx;

	job_end(w->host, w->job, sentence);
	free(w);
}

/* A job that ends when the VM is as wanted. It has begun already. */
static void follow(struct http_request *r, struct vm *vm, const char *what, enum vm_life goal)
{
	struct wait *w = calloc(1, sizeof(*w));
	struct job *job = w ? job_new(vm->host, what, vm->name) : NULL;
	struct failure f;

	if (!job) {
		free(w);
		fail(&f, -ENOMEM, "it is under way, but there is no room for a job to follow it");
		http_fail(r, 503, &f);
		return;
	}
	*w = (struct wait){vm->host, job};
	api_accept(r, job);
	if (vm_wait(vm, goal, on_end, w) < 0)
		on_end(w, "out of memory");
}

void api_start_vm(struct http_request *r, void *owner)
{
	struct vm *vm = api_vm(owner, r);
	struct failure f;
	int code;

	if (!vm)
		return;
	code = clustered_refuse(vm, "start", &f);
	if (code == 0)
		code = vm_start(vm, &f);
	if (code < 0)
		api_fail(r, code, &f);
	else
		follow(r, vm, "start", VM_RUNNING);
}

/* What was asked of a VM, which may have gone when the answer comes. */
struct question {
	struct api *api;
	struct http_request *r;
	char name[VM_NAME_MAX + 1];
};

/* NULL: no memory, answered by 503. */
static struct question *question_of(struct api *api, struct http_request *r, const struct vm *vm,
				    const char *what)
{
	struct question *q = calloc(1, sizeof(*q));
	struct failure f;

	if (!q) {
		fail(&f, -ENOMEM, "cannot %s the VM '%s': out of memory", what, vm->name);
		http_fail(r, 503, &f);
		return NULL;
	}
	q->api = api;
	q->r = r;
	snprintf(q->name, sizeof(q->name), "%s", vm->name);
	return q;
}

/* The guest has been asked, or it cannot be: then the job fails at once. */
static void on_asked_to_stop(void *ctx, json_t *result, const char *sentence)
{
	struct question *s = ctx;
	struct vm *vm = host_find(s->api->host, s->name);
	struct failure f;

	(void)result;
	if (sentence || !vm) {
		fail(&f, -EBUSY, "%s", sentence ? sentence : "the VM is no longer here");
		http_fail(s->r, 409, &f);
	} else {
		follow(s->r, vm, "stop", VM_OFF);
	}
	free(s);
}

static void shut_down(struct api *api, struct http_request *r, struct vm *vm, const char *reason)
{
	struct question *s = question_of(api, r, vm, "stop");
	struct failure f;
	int code;

	if (!s)
		return;
	http_later(r);
	code = vm_shutdown(vm, false, reason, on_asked_to_stop, s, &f);
	if (code < 0) {
		free(s);
		api_fail(r, code, &f);
	}
}

void api_stop_vm(struct http_request *r, void *owner)
{
	static const struct field fields[] = {{"off", JSON_TRUE}, {"reason", JSON_STRING}};
	const char *reason;
	struct vm *vm = api_vm(owner, r);
	struct failure f;
	int code;

	if (!vm || !api_body(r, fields, ARRAY_LEN(fields)))
		return;
	reason = json_string_value(json_object_get(r->body, "reason"));
	if (!json_is_true(json_object_get(r->body, "off"))) {
		shut_down(owner, r, vm, reason ? reason : "");
		return;
	}
	code = vm_off(vm, &f);
	if (code < 0)
		api_fail(r, code, &f);
	else
		follow(r, vm, "stop", VM_OFF);
}

/* ---- asked of the worker ---- */

static void on_answer(void *ctx, json_t *result, const char *sentence)
{
	struct failure f;

	if (!sentence) {
		http_reply(ctx, &(struct http_reply){.status = result ? 200 : 204,
						     .body = json_incref(result)});
		return;
	}
	fail(&f, -EBUSY, "%s", sentence);
	http_fail(ctx, 409, &f);
}

static void ask(struct http_request *r, struct vm *vm, const char *verb, const char *what)
{
	struct failure f;
	int code;

	http_later(r);
	code = vm_ask(vm, what, json_pack("{s:s}", "verb", verb), -1, on_answer, r, &f);
	if (code < 0)
		api_fail(r, code, &f);
}

/* The last part of the path is the worker's verb. */
void api_ask_vm(struct http_request *r, void *owner)
{
	struct vm *vm = api_vm(owner, r);
	const char *verb = strrchr(r->route->pattern, '/') + 1;

	if (vm)
		ask(r, vm, verb, strcmp(verb, "nmi") == 0 ? "send an NMI to" : verb);
}

/* To what the worker counts comes what it costs the host. */
static void on_statistics(void *ctx, json_t *result, const char *sentence)
{
	struct question *q = ctx;
	const struct vm *vm = host_find(q->api->host, q->name);
	struct usage usage;

	if (!sentence && vm && vm->pidfd >= 0 && usage_read(vm->pidfd, &usage) == 0)
		json_object_set_new(result, "worker",
				    json_pack("{s:I, s:I}", "cpu_usec", (json_int_t)usage.cpu_us,
					      "resident_bytes", (json_int_t)usage.resident_bytes));
	on_answer(q->r, result, sentence);
	free(q);
}

void api_vm_statistics(struct http_request *r, void *owner)
{
	struct vm *vm = api_vm(owner, r);
	struct question *q = vm ? question_of(owner, r, vm, "read the statistics of") : NULL;
	struct failure f;
	int code;

	if (!q)
		return;
	http_later(r);
	code = vm_ask(vm, "read the statistics of", json_pack("{s:s}", "verb", "statistics"), -1,
		      on_statistics, q, &f);
	if (code < 0) {
		free(q);
		api_fail(r, code, &f);
	}
}

/* ---- the console ---- */

struct console {
	struct list link;
	struct api *api;
	uint64_t who;
	char vm[VM_NAME_MAX + 1];
	int worker; /* behind its answer comes the guest's serial line */
	struct relay *relay;
};

static void on_console_end(void *ctx)
{
	struct console *c = ctx;

	list_remove(&c->link);
	free(c);
}

static void on_upgraded(void *ctx, int fd, const void *early, size_t len)
{
	struct console *c = ctx;

	if (fd >= 0 && relay_start(c->api->host->event, fd, c->worker, early, len, on_console_end,
				   c, &c->relay) == 0) {
		list_append(&c->api->consoles, &c->link);
		return;
	}
	if (fd < 0)
		close(c->worker);
	free(c);
}

void api_end_consoles(struct api *api)
{
	for (struct list *at = api->consoles.next, *next; at != &api->consoles; at = next) {
		struct console *c = CONTAINER_OF(at, struct console, link);

		next = at->next;
		if (!gate_sees(api->gate, c->who, c->vm))
			relay_stop(c->relay);
	}
}

/* A connection of its own to the worker, which becomes the console with its first request. */
static int open_console(const struct vm *vm)
{
	static const char request[] = "{\"verb\":\"console\"}\n";
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%s/control", vm->run);
	fd = link_connect(path);
	if (fd >= 0 && send(fd, request, sizeof(request) - 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
		close(fd);
		return -EIO;
	}
	return fd;
}

void api_vm_console(struct http_request *r, void *owner)
{
	struct vm *vm = api_vm(owner, r);
	struct console *c = vm ? calloc(1, sizeof(*c)) : NULL;
	struct failure f;

	if (!vm)
		return;
	if (c)
		c->worker = open_console(vm);
	if (!c || c->worker < 0) {
		fail(&f, -EBUSY, "the console of the VM '%s' cannot be reached: it is %s", vm->name,
		     vm_life_label(vm));
		http_fail(r, 409, &f);
		free(c);
		return;
	}
	c->api = owner;
	c->who = r->identity.who;
	snprintf(c->vm, sizeof(c->vm), "%s", vm->name);
	http_upgrade(r, on_upgraded, c);
}
