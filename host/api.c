/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/api.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/util.h"
#include "host/cluster.h"
#include "host/ending.h"
#include "host/events.h"
#include "host/jobs.h"
#include "host/metrics.h"
#include "host/vm.h"
#include "lib/fields.h"

#define LIMIT_DEFAULT 100u
#define LIMIT_MAX 1000u

const struct http_route api_routes[] = {
	{HTTP_GET, "/v1/host", HTTP_READER, HTTP_SCOPED, NULL, NULL, api_host},
	{HTTP_GET, "/v1/host/processor", HTTP_READER, 0, NULL, NULL, api_processor},
	{HTTP_POST, "/v1/host/stop-vms", HTTP_ADMINISTRATOR, 0, NULL, NULL, api_stop_vms},
	{HTTP_GET, "/v1/events", HTTP_READER, HTTP_SCOPED | HTTP_STREAMS, NULL, NULL, api_events},
	{HTTP_GET, "/v1/openapi.json", HTTP_READER, HTTP_SCOPED, NULL, NULL, api_description},
	{HTTP_GET, "/metrics", HTTP_READER, HTTP_TEXT, NULL, NULL, api_metrics},
	{HTTP_GET, "/v1/jobs", HTTP_READER, HTTP_SCOPED, "limit after", NULL, api_list_jobs},
	{HTTP_GET, "/v1/jobs/{job}", HTTP_READER, HTTP_SCOPED, NULL, NULL, api_get_job},
	{HTTP_DELETE, "/v1/jobs/{job}", HTTP_ADMINISTRATOR, 0, NULL, NULL, api_cancel_job},
	{HTTP_GET, "/v1/images", HTTP_READER, 0, NULL, NULL, api_list_images},
	{HTTP_POST, "/v1/images", HTTP_ADMINISTRATOR, HTTP_NEEDS_BODY, NULL, NULL,
	 api_create_image},
	{HTTP_DELETE, "/v1/images/{image}", HTTP_ADMINISTRATOR, 0, NULL, NULL, api_remove_image},
	{HTTP_POST, "/v1/import", HTTP_ADMINISTRATOR, HTTP_NEEDS_BODY, NULL, NULL, api_import_vm},
	{HTTP_GET, "/v1/switches", HTTP_READER, 0, "limit after", NULL, api_list_switches},
	{HTTP_POST, "/v1/switches", HTTP_ADMINISTRATOR, HTTP_NEEDS_BODY, NULL, NULL,
	 api_create_switch},
	{HTTP_GET, "/v1/switches/{switch}", HTTP_READER, 0, NULL, NULL, api_get_switch},
	{HTTP_DELETE, "/v1/switches/{switch}", HTTP_ADMINISTRATOR, 0, NULL, NULL,
	 api_remove_switch},
	{HTTP_POST, "/v1/switches/{switch}/confirm", HTTP_ADMINISTRATOR, 0, NULL, NULL,
	 api_confirm_switch},
	{HTTP_GET, "/v1/vms", HTTP_READER, HTTP_SCOPED, "limit after", NULL, api_list_vms},
	{HTTP_POST, "/v1/vms", HTTP_ADMINISTRATOR, HTTP_NEEDS_BODY, NULL, NULL, api_create_vm},
	{HTTP_GET, "/v1/vms/{vm}", HTTP_READER, HTTP_SCOPED, NULL, NULL, api_get_vm},
	{HTTP_PATCH, "/v1/vms/{vm}", HTTP_ADMINISTRATOR, HTTP_NEEDS_BODY, NULL, NULL,
	 api_change_vm},
	{HTTP_DELETE, "/v1/vms/{vm}", HTTP_ADMINISTRATOR, 0, "disks", NULL, api_remove_vm},
	{HTTP_GET, "/v1/vms/{vm}/disks", HTTP_READER, HTTP_SCOPED, NULL, NULL, api_list_disks},
	{HTTP_GET, "/v1/vms/{vm}/nics", HTTP_READER, HTTP_SCOPED, NULL, NULL, api_list_nics},
	{HTTP_POST, "/v1/vms/{vm}/disks", HTTP_ADMINISTRATOR, HTTP_NEEDS_BODY, NULL, NULL,
	 api_add_disk},
	{HTTP_DELETE, "/v1/vms/{vm}/disks/{disk}", HTTP_ADMINISTRATOR, 0, NULL, NULL,
	 api_remove_disk},
	{HTTP_POST, "/v1/vms/{vm}/disks/{disk}/resize", HTTP_ADMINISTRATOR, HTTP_NEEDS_BODY, NULL,
	 NULL, api_resize_disk},
	{HTTP_POST, "/v1/vms/{vm}/nics", HTTP_ADMINISTRATOR, HTTP_NEEDS_BODY, NULL, NULL,
	 api_add_nic},
	{HTTP_DELETE, "/v1/vms/{vm}/nics/{nic}", HTTP_ADMINISTRATOR, 0, NULL, NULL, api_remove_nic},
	{HTTP_POST, "/v1/vms/{vm}/start", HTTP_OPERATOR, HTTP_SCOPED, NULL, NULL, api_start_vm},
	{HTTP_POST, "/v1/vms/{vm}/stop", HTTP_OPERATOR, HTTP_SCOPED | HTTP_TAKES_BODY, NULL, NULL,
	 api_stop_vm},
	{HTTP_POST, "/v1/vms/{vm}/save", HTTP_OPERATOR, HTTP_SCOPED, NULL, NULL, api_save_vm},
	{HTTP_DELETE, "/v1/vms/{vm}/state", HTTP_OPERATOR, HTTP_SCOPED, NULL, NULL,
	 api_discard_state},
	{HTTP_POST, "/v1/vms/{vm}/migrate", HTTP_ADMINISTRATOR, HTTP_NEEDS_BODY | HTTP_SECRET, NULL,
	 NULL, api_migrate_vm},
	{HTTP_GET, "/v1/vms/{vm}/cluster", HTTP_READER, 0, NULL, NULL, api_show_registration},
	{HTTP_POST, "/v1/vms/{vm}/cluster", HTTP_ADMINISTRATOR, HTTP_NEEDS_BODY, "force", NULL,
	 api_register_vm},
	{HTTP_DELETE, "/v1/vms/{vm}/cluster", HTTP_ADMINISTRATOR, 0, NULL, NULL, api_unregister_vm},
	{HTTP_POST, "/v1/clustered/{vm}/start", HTTP_ADMINISTRATOR, HTTP_NEEDS_BODY, NULL, NULL,
	 api_start_clustered},
	{HTTP_POST, "/v1/clustered/{vm}/migrate", HTTP_ADMINISTRATOR, HTTP_NEEDS_BODY, NULL, NULL,
	 api_migrate_clustered},
	{HTTP_POST, "/v1/clustered/{vm}/stop", HTTP_ADMINISTRATOR, HTTP_NEEDS_BODY, NULL, NULL,
	 api_stop_clustered},
	{HTTP_POST, "/v1/vms/{vm}/move-storage", HTTP_ADMINISTRATOR, HTTP_NEEDS_BODY, NULL, NULL,
	 api_move_storage},
	{HTTP_POST, "/v1/incoming", HTTP_ADMINISTRATOR, HTTP_NEEDS_BODY | HTTP_SECRET, NULL, NULL,
	 api_take_vm},
	{HTTP_DELETE, "/v1/incoming/{vm}", HTTP_ADMINISTRATOR, 0, "uuid known", NULL, api_undo_vm},
	{HTTP_POST, "/v1/incoming/{vm}/stream", HTTP_ADMINISTRATOR, HTTP_UPGRADES, NULL,
	 "oya-migration", api_stream_vm},
	{HTTP_POST, "/v1/vms/{vm}/pause", HTTP_OPERATOR, HTTP_SCOPED, NULL, NULL, api_ask_vm},
	{HTTP_POST, "/v1/vms/{vm}/resume", HTTP_OPERATOR, HTTP_SCOPED, NULL, NULL, api_ask_vm},
	{HTTP_POST, "/v1/vms/{vm}/reset", HTTP_OPERATOR, HTTP_SCOPED, NULL, NULL, api_ask_vm},
	{HTTP_POST, "/v1/vms/{vm}/reboot", HTTP_OPERATOR, HTTP_SCOPED, NULL, NULL, api_ask_vm},
	{HTTP_POST, "/v1/vms/{vm}/nmi", HTTP_OPERATOR, HTTP_SCOPED, NULL, NULL, api_ask_vm},
	{HTTP_GET, "/v1/vms/{vm}/statistics", HTTP_READER, HTTP_SCOPED, NULL, NULL,
	 api_vm_statistics},
	{HTTP_GET, "/v1/vms/{vm}/console", HTTP_OPERATOR, HTTP_SCOPED | HTTP_UPGRADES, NULL,
	 "oya-console", api_vm_console},
	{HTTP_GET, "/v1/cluster", HTTP_READER, 0, NULL, NULL, api_get_cluster},
	{HTTP_POST, "/v1/cluster", HTTP_ADMINISTRATOR, HTTP_NEEDS_BODY, NULL, NULL,
	 api_create_cluster},
	{HTTP_DELETE, "/v1/cluster", HTTP_ADMINISTRATOR, 0, "force", NULL, api_destroy_cluster},
	{HTTP_GET, "/v1/cluster/survival", HTTP_READER, 0, NULL, NULL, api_get_survival},
	{HTTP_GET, "/v1/cluster/balance", HTTP_READER, 0, NULL, NULL, api_plan_balance},
	{HTTP_POST, "/v1/cluster/balance", HTTP_ADMINISTRATOR, 0, NULL, NULL, api_balance},
	{HTTP_POST, "/v1/cluster/vms/{vm}/start", HTTP_OPERATOR, 0, "force", NULL,
	 api_start_in_cluster},
	{HTTP_POST, "/v1/cluster/vms/{vm}/stop", HTTP_OPERATOR, 0, NULL, NULL, api_stop_in_cluster},
	{HTTP_POST, "/v1/cluster/join", HTTP_ADMINISTRATOR, HTTP_NEEDS_BODY | HTTP_SECRET, NULL,
	 NULL, api_join_cluster},
	{HTTP_POST, "/v1/cluster/tokens", HTTP_ADMINISTRATOR, HTTP_SECRET, NULL, NULL,
	 api_create_cluster_token},
	{HTTP_PUT, "/v1/cluster/witness", HTTP_ADMINISTRATOR, HTTP_NEEDS_BODY, NULL, NULL,
	 api_set_witness},
	{HTTP_DELETE, "/v1/cluster/witness", HTTP_ADMINISTRATOR, 0, NULL, NULL, api_drop_witness},
	{HTTP_GET, "/v1/cluster/members", HTTP_READER, 0, NULL, NULL, api_list_members},
	{HTTP_GET, "/v1/cluster/log", HTTP_READER, 0, "since", NULL, api_cluster_log},
	{HTTP_GET, "/v1/cluster/records", HTTP_READER, 0, "since", NULL, api_cluster_records},
	{HTTP_PUT, "/v1/cluster/members", HTTP_ADMINISTRATOR, HTTP_NEEDS_BODY, NULL, NULL,
	 api_take_members},
	{HTTP_POST, "/v1/cluster/members", HTTP_JOINER, HTTP_NEEDS_BODY | HTTP_SECRET, NULL, NULL,
	 api_add_member},
	{HTTP_DELETE, "/v1/cluster/members/{host}", HTTP_ADMINISTRATOR, 0, "force", NULL,
	 api_remove_member},
	{HTTP_POST, "/v1/cluster/members/{host}/test-fencing", HTTP_ADMINISTRATOR, HTTP_NEEDS_BODY,
	 NULL, NULL, api_test_fencing},
	{HTTP_POST, "/v1/cluster/fencing", HTTP_ADMINISTRATOR, HTTP_NEEDS_BODY, NULL, NULL,
	 api_add_fencing},
	{HTTP_DELETE, "/v1/cluster/fencing/{rung}", HTTP_ADMINISTRATOR, 0, NULL, NULL,
	 api_remove_fencing},
	{HTTP_PUT, "/v1/cluster/keys", HTTP_ADMINISTRATOR, HTTP_NEEDS_BODY, NULL, NULL,
	 api_take_keys},
	{HTTP_POST, "/v1/cluster/trial", HTTP_ADMINISTRATOR, HTTP_NEEDS_BODY, NULL, NULL,
	 api_take_trial},
	{HTTP_GET, "/v1/cluster/members/{host}/drain", HTTP_READER, 0, NULL, NULL, api_get_drain},
	{HTTP_POST, "/v1/cluster/members/{host}/drain", HTTP_ADMINISTRATOR, 0, "force", NULL,
	 api_drain_member},
	{HTTP_DELETE, "/v1/cluster/members/{host}/drain", HTTP_ADMINISTRATOR, 0, "failback", NULL,
	 api_resume_member},
	{HTTP_GET, "/v1/tokens", HTTP_ADMINISTRATOR, 0, "limit after", NULL, api_list_tokens},
	{HTTP_POST, "/v1/tokens", HTTP_ADMINISTRATOR, HTTP_NEEDS_BODY | HTTP_SECRET, NULL, NULL,
	 api_create_token},
	{HTTP_DELETE, "/v1/tokens/{token}", HTTP_ADMINISTRATOR, 0, NULL, NULL, api_delete_token},
};
const size_t api_route_count = ARRAY_LEN(api_routes);

void api_fail(struct http_request *r, int code, const struct failure *f)
{
	http_fail(r, http_status_of(code), f);
}

bool api_sees(const struct api *api, const struct http_request *r, const char *vm)
{
	return vm && *vm ? gate_sees(api->gate, r->identity.who, vm)
			 : gate_sees_all(api->gate, r->identity.who);
}

struct vm *api_vm(struct api *api, struct http_request *r)
{
	const char *name = http_param(r, "vm");
	struct vm *vm = host_find(api->host, name);
	struct failure f;

	if (vm && !vm->making && api_sees(api, r, name))
		return vm;
	fail(&f, -ENOENT, "there is no VM '%.80s'", name);
	http_fail(r, 404, &f);
	return NULL;
}

bool api_body(struct http_request *r, const struct field *fields, size_t count)
{
	struct failure f;

	if (!r->body || fields_check(r->body, "the request", fields, count, &f) == 0)
		return true;
	http_fail(r, 400, &f);
	return false;
}

void api_conclude(struct http_request *r, const char *sentence, unsigned status)
{
	struct failure f;

	if (!sentence) {
		http_reply(r, &(struct http_reply){.status = 204});
		return;
	}
	fail(&f, -EIO, "%s", sentence);
	http_fail(r, status, &f);
}

void api_accept(struct http_request *r, const struct job *job)
{
	char location[64];

	snprintf(location, sizeof(location), "/v1/jobs/%" PRIu64, job->id);
	http_reply(r, &(struct http_reply){
			      .status = 202, .body = job_show(job), .location = location});
}

bool api_limit(struct http_request *r, unsigned *ret_limit)
{
	const char *text = http_query(r, "limit");
	struct failure f;
	char *end;
	unsigned long n = text ? strtoul(text, &end, 10) : LIMIT_DEFAULT;

	if (!text || (text[0] >= '1' && text[0] <= '9' && !*end && n <= LIMIT_MAX)) {
		*ret_limit = (unsigned)n;
		return true;
	}
	fail(&f, -EINVAL, "'limit' is '%.32s', allowed are 1 to %u", text, LIMIT_MAX);
	http_fail(r, 400, &f);
	return false;
}

bool api_flag(struct http_request *r, const char *name, bool *ret_value)
{
	const char *text = http_query(r, name);
	struct failure f;

	*ret_value = text && strcmp(text, "true") == 0;
	if (!text || *ret_value || strcmp(text, "false") == 0)
		return true;
	fail(&f, -EINVAL, "'%s' is '%.32s', allowed are true and false", name, text);
	http_fail(r, 400, &f);
	return false;
}

void api_reply_list(struct http_request *r, const char *name, json_t *list, json_t *next)
{
	http_reply(r,
		   &(struct http_reply){.status = 200,
					.body = json_pack("{s:o, s:o}", name, list, "next", next)});
}

void api_list_vms(struct http_request *r, void *owner)
{
	struct api *api = owner;
	const char *after = http_query(r, "after"), *last = NULL;
	json_t *list = json_array();
	unsigned limit, n = 0;
	bool more = false;

	if (!api_limit(r, &limit)) {
		json_decref(list);
		return;
	}
	for (struct list *at = api->host->vms.next; at != &api->host->vms; at = at->next) {
		struct vm *vm = CONTAINER_OF(at, struct vm, link);

		if (vm->making || (after && strcmp(vm->name, after) <= 0) ||
		    !api_sees(api, r, vm->name))
			continue;
		more = n == limit;
		if (more)
			break;
		json_array_append_new(list, vm_show_short(vm));
		last = vm->name;
		n++;
	}
	api_reply_list(r, "vms", list, more ? json_string(last) : json_null());
}

void api_list_jobs(struct http_request *r, void *owner)
{
	struct api *api = owner;
	const char *text = http_query(r, "after");
	uint64_t after = text ? strtoull(text, NULL, 10) : 0, last = 0;
	json_t *list = json_array();
	unsigned limit, n = 0;
	bool more = false;

	if (!api_limit(r, &limit)) {
		json_decref(list);
		return;
	}
	for (struct list *at = api->host->jobs.next; at != &api->host->jobs; at = at->next) {
		struct job *job = CONTAINER_OF(at, struct job, link);

		if (job->id <= after || !api_sees(api, r, job->vm))
			continue;
		more = n == limit;
		if (more)
			break;
		json_array_append_new(list, job_show(job));
		last = job->id;
		n++;
	}
	api_reply_list(r, "jobs", list, more ? json_sprintf("%" PRIu64, last) : json_null());
}

/* The job that the path names; NULL: answered by 404. */
static struct job *job_of(struct api *api, struct http_request *r)
{
	const char *text = http_param(r, "job");
	struct job *job = job_find(api->host, strtoull(text, NULL, 10));
	struct failure f;

	if (job && api_sees(api, r, job->vm))
		return job;
	fail(&f, -ENOENT, "there is no job '%.32s' any more, or there never was", text);
	http_fail(r, 404, &f);
	return NULL;
}

void api_get_job(struct http_request *r, void *owner)
{
	struct job *job = job_of(owner, r);

	if (job)
		http_reply(r, &(struct http_reply){.status = 200, .body = job_show(job)});
}

void api_cancel_job(struct http_request *r, void *owner)
{
	struct job *job = job_of(owner, r);
	struct failure f;

	if (!job)
		return;
	if (job->cancel) {
		job->cancel(job->ctx);
		http_reply(r, &(struct http_reply){.status = 204});
		return;
	}
	fail(&f, -EBUSY, "the job %" PRIu64 " cannot be cancelled%s", job->id,
	     job->state == JOB_RUNNING ? "" : ": it has ended");
	http_fail(r, 409, &f);
}

static unsigned count_vms(const struct api *api, const struct http_request *r)
{
	unsigned count = 0;

	for (struct list *at = api->host->vms.next; at != &api->host->vms; at = at->next)
		count += api_sees(api, r, CONTAINER_OF(at, struct vm, link)->name);
	return count;
}

void api_host(struct http_request *r, void *owner)
{
	struct api *api = owner;
	char uuid[GUID_TEXT_LEN];
	struct utsname name;

	uname(&name);
	guid_format(&api->host->uuid, uuid);
	http_reply(r, &(struct http_reply){
			      .status = 200,
			      .body = json_pack(
				      "{s:s, s:s, s:s, s:s, s:i, s:i, s:I, s:s*}", "name",
				      name.nodename, "uuid", uuid, "version", OYA_VERSION, "kernel",
				      name.release, "vms", (int)count_vms(api, r), "cpus",
				      (int)sysconf(_SC_NPROCESSORS_ONLN), "memory_bytes",
				      (json_int_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE),
				      "certificate", api->certificate)});
}

void api_stop_vms(struct http_request *r, void *owner)
{
	struct api *api = owner;
	struct job *job;
	struct failure f;
	int code = ending_start(api->host, &job, &f);

	if (code < 0)
		api_fail(r, code, &f);
	else
		api_accept(r, job);
}

void api_events(struct http_request *r, void *owner)
{
	struct api *api = owner;

	events_listen(api->events, r);
}

void api_metrics(struct http_request *r, void *owner)
{
	struct api *api = owner;
	struct http_load load;
	uint64_t now_us = 0;
	struct failure f;
	size_t len;
	char *text;

	http_load(r, &load);
	sd_event_now(api->host->event, CLOCK_MONOTONIC, &now_us);
	cluster_look_again(api->host->cluster, now_us);
	text = metrics_text(api->host, &load, now_us, &len);
	if (text) {
		http_reply_text(r, "text/plain; version=0.0.4", text, len);
		free(text);
	} else {
		fail(&f, -ENOMEM, "cannot tell the metrics: out of memory");
		http_fail(r, 503, &f);
	}
}
