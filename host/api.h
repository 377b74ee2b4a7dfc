/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The API: a row for each route (docs/api/openapi.json), and what each does. Functions decode what
 * a client wants, call one verb of the rooms below, and answer.
 *
 * Trust: clients are hostile; http.c has checked the form, these check the sense.
 * Threads: the loop's.
 */
#ifndef OYA_HOST_API_H
#define OYA_HOST_API_H

#include "base/list.h"
#include "host/gate.h"
#include "host/host.h"
#include "host/http.h"

struct events;

struct api {
	struct host *host;
	struct events *events;
	struct gate *gate;
	struct list consoles;    /* that are open */
	const char *certificate; /* the fingerprint of ours; or NULL */
};

extern const struct http_route api_routes[];
extern const size_t api_route_count;

/* Whether the caller may see what is about that VM, or (NULL or "") about the host. */
bool api_sees(const struct api *api, const struct http_request *r, const char *vm);

/* The VM that the path names; NULL: the request has been answered by 404, as it is too for one
 * that the caller may not see. */
struct vm *api_vm(struct api *api, struct http_request *r);

/* Answers with all of a VM. */
void api_reply_vm(struct http_request *r, const struct vm *vm, unsigned status);

/* Whether the caller knows its newest settings, where it says what it knows; false: answered by
 * 412. */
bool api_is_current(struct http_request *r, const struct vm *vm);

/* Answers by the status of a negative errno and its sentence. */
void api_fail(struct http_request *r, int code, const struct failure *f);

/* Members of the body that a route takes: all known, of the right types. False: answered by 400. */
struct field;
bool api_body(struct http_request *r, const struct field *fields, size_t count);

/* `name` of the query, true or false; false: answered by 400. */
bool api_flag(struct http_request *r, const char *name, bool *ret_value);

/* `limit` of the query; false: answered by 400. */
bool api_limit(struct http_request *r, unsigned *ret_limit);

/* Answers with a page of a list, which is taken, and the name behind which the next one begins. */
void api_reply_list(struct http_request *r, const char *name, json_t *list, json_t *next);

/* Answers 204; with a sentence, the status and it. */
void api_conclude(struct http_request *r, const char *sentence, unsigned status);

/* Answers 202 with a job and its address. */
struct job;
void api_accept(struct http_request *r, const struct job *job);

/* Begins it, and answers 202 with its job. */
struct intake_wish;
void api_take_in(struct api *api, struct http_request *r, const struct intake_wish *w);

/* Handlers; `owner` is a struct api. */
void api_host(struct http_request *r, void *owner);
void api_processor(struct http_request *r, void *owner);
void api_stop_vms(struct http_request *r, void *owner);
void api_events(struct http_request *r, void *owner);
void api_description(struct http_request *r, void *owner);
void api_metrics(struct http_request *r, void *owner);
void api_list_jobs(struct http_request *r, void *owner);
void api_get_job(struct http_request *r, void *owner);
void api_list_switches(struct http_request *r, void *owner);
void api_create_switch(struct http_request *r, void *owner);
void api_get_switch(struct http_request *r, void *owner);
void api_remove_switch(struct http_request *r, void *owner);
void api_confirm_switch(struct http_request *r, void *owner);
void api_list_vms(struct http_request *r, void *owner);
void api_create_vm(struct http_request *r, void *owner);
void api_get_vm(struct http_request *r, void *owner);
void api_change_vm(struct http_request *r, void *owner);
void api_remove_vm(struct http_request *r, void *owner);
void api_list_disks(struct http_request *r, void *owner);
void api_list_nics(struct http_request *r, void *owner);
void api_add_disk(struct http_request *r, void *owner);
void api_remove_disk(struct http_request *r, void *owner);
void api_add_nic(struct http_request *r, void *owner);
void api_remove_nic(struct http_request *r, void *owner);
void api_start_vm(struct http_request *r, void *owner);
void api_stop_vm(struct http_request *r, void *owner);
void api_save_vm(struct http_request *r, void *owner);
void api_discard_state(struct http_request *r, void *owner);
void api_start_clustered(struct http_request *r, void *owner);
void api_migrate_clustered(struct http_request *r, void *owner);
void api_register_vm(struct http_request *r, void *owner);
void api_unregister_vm(struct http_request *r, void *owner);
void api_show_registration(struct http_request *r, void *owner);
void api_stop_clustered(struct http_request *r, void *owner);
void api_migrate_vm(struct http_request *r, void *owner);
void api_move_storage(struct http_request *r, void *owner);
void api_take_vm(struct http_request *r, void *owner);
void api_stream_vm(struct http_request *r, void *owner);
void api_undo_vm(struct http_request *r, void *owner);
void api_ask_vm(struct http_request *r, void *owner);
void api_vm_statistics(struct http_request *r, void *owner);
void api_vm_console(struct http_request *r, void *owner);
void api_resize_disk(struct http_request *r, void *owner);
void api_cancel_job(struct http_request *r, void *owner);
void api_list_images(struct http_request *r, void *owner);
void api_create_image(struct http_request *r, void *owner);
void api_remove_image(struct http_request *r, void *owner);
void api_import_vm(struct http_request *r, void *owner);
void api_list_tokens(struct http_request *r, void *owner);
void api_create_token(struct http_request *r, void *owner);
void api_delete_token(struct http_request *r, void *owner);

void api_get_cluster(struct http_request *r, void *owner);
void api_get_survival(struct http_request *r, void *owner);
void api_plan_balance(struct http_request *r, void *owner);
void api_balance(struct http_request *r, void *owner);
void api_start_in_cluster(struct http_request *r, void *owner);
void api_stop_in_cluster(struct http_request *r, void *owner);
void api_create_cluster(struct http_request *r, void *owner);
void api_destroy_cluster(struct http_request *r, void *owner);
void api_set_witness(struct http_request *r, void *owner);
void api_drop_witness(struct http_request *r, void *owner);
void api_join_cluster(struct http_request *r, void *owner);
void api_list_members(struct http_request *r, void *owner);
void api_cluster_log(struct http_request *r, void *owner);
void api_cluster_records(struct http_request *r, void *owner);
void api_add_member(struct http_request *r, void *owner);
void api_take_members(struct http_request *r, void *owner);
void api_remove_member(struct http_request *r, void *owner);
void api_get_drain(struct http_request *r, void *owner);
void api_drain_member(struct http_request *r, void *owner);
void api_resume_member(struct http_request *r, void *owner);
void api_create_cluster_token(struct http_request *r, void *owner);
void api_add_fencing(struct http_request *r, void *owner);
void api_remove_fencing(struct http_request *r, void *owner);
void api_test_fencing(struct http_request *r, void *owner);
void api_take_keys(struct http_request *r, void *owner);
void api_take_trial(struct http_request *r, void *owner);

/* What is open of callers who may not see it any more ends. */
void api_look_again(struct api *api);
void api_end_consoles(struct api *api);

#endif
