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

#include "host/host.h"
#include "host/http.h"

struct events;

struct api {
	struct host *host;
	struct events *events;
};

extern const struct http_route api_routes[];
extern const size_t api_route_count;

/* The VM that the path names; NULL: the request has been answered by 404. */
struct vm *api_vm(struct api *api, struct http_request *r);

/* Answers by the status of a negative errno and its sentence. */
void api_fail(struct http_request *r, int code, const struct failure *f);

/* Members of the body that a route takes: all known, of the right types. False: answered by 400. */
struct field;
bool api_body(struct http_request *r, const struct field *fields, size_t count);

/* Answers 202 with a job and its address. */
struct job;
void api_accept(struct http_request *r, const struct job *job);

/* Handlers; `owner` is a struct api. */
void api_host(struct http_request *r, void *owner);
void api_events(struct http_request *r, void *owner);
void api_description(struct http_request *r, void *owner);
void api_metrics(struct http_request *r, void *owner);
void api_list_jobs(struct http_request *r, void *owner);
void api_get_job(struct http_request *r, void *owner);
void api_list_vms(struct http_request *r, void *owner);
void api_create_vm(struct http_request *r, void *owner);
void api_get_vm(struct http_request *r, void *owner);
void api_change_vm(struct http_request *r, void *owner);
void api_remove_vm(struct http_request *r, void *owner);
void api_start_vm(struct http_request *r, void *owner);
void api_stop_vm(struct http_request *r, void *owner);
void api_ask_vm(struct http_request *r, void *owner);
void api_vm_statistics(struct http_request *r, void *owner);
void api_vm_console(struct http_request *r, void *owner);

#endif
