/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ocf:oya:vm: a VM as a resource of the cluster (docs/design/cluster.md).
 *
 * Invariants:
 *  1. "not running" is said only when no worker of the VM lives on this host, or one alone that
 *     waits for a VM which runs elsewhere;
 *  2. a VM whose worker lives is running, whether or not oyad is there to ask: it may be between
 *     two versions of itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/guid.h"
#include "base/util.h"
#include "cluster/resource/ocf.h"
#include "cluster/resource/vm.h"
#include "lib/ask.h"

#define PATIENCE_S 5u /* with an oyad that is asked how a VM is */
#define TARGET_MAX 256u

static const char metadata[] = {
#include "vm.hex"
	'\0'};

/* ---- parameters ---- */

static bool is_path(const char *text)
{
	return text[0] == '/' && strlen(text) < PATH_MAX && !strstr(text, "/../");
}

static int take_parameters(struct resource *r, struct failure *f)
{
	const char *uuid = ocf_parameter("uuid");
	char target[TARGET_MAX];
	struct guid guid;

	r->name = ocf_parameter("name");
	r->folder = ocf_parameter("folder");
	if (!r->name || !ask_encode_name(r->name, target, sizeof(target)))
		return fail(f, -EINVAL, "the parameter 'name' is not the name of a VM");
	if (!uuid || guid_parse(uuid, &guid) < 0)
		return fail(f, -EINVAL, "the parameter 'uuid' is not the UUID of the VM '%s'",
			    r->name);
	guid_format(&guid, r->uuid);
	if (!r->folder || !is_path(r->folder))
		return fail(f, -EINVAL,
			    "the parameter 'folder' is not the path of the folder of "
			    "the VM '%s'",
			    r->name);
	return 0;
}

static enum ocf validate(void)
{
	struct resource r;
	struct failure f;

	return take_parameters(&r, &f) < 0 || vm_guest_check(&f) < 0
		       ? ocf_fail(OCF_ERR_CONFIGURED, &f)
		       : OCF_SUCCESS;
}

static void put_target(const char *before, const struct resource *r, const char *after,
		       char target[TARGET_MAX])
{
	char name[TARGET_MAX / 2];

	(void)ask_encode_name(r->name, name, sizeof(name)); /* has been looked at */
	snprintf(target, TARGET_MAX, "%s%s%s", before, name, after);
}

/* ---- the worker ---- */

void vm_run_path(const struct resource *r, const char *file, char path[PATH_MAX])
{
	const char *named = getenv("OYA_RUN");

	snprintf(path, PATH_MAX, "%s/vm/%s/%s", named && *named ? named : "/run/oya", r->uuid,
		 file);
}

/* It holds the lock of its file as long as it lives (docs/design/host.md). */
static bool worker_lives(const struct resource *r)
{
	char path[PATH_MAX];
	bool lives;
	int fd;

	vm_run_path(r, "end", path);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	lives = flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK;
	close(fd);
	return lives;
}

/* ---- monitor ---- */

/* By what oyad tells of the VM. One of the name with another UUID is another VM. */
static enum ocf judge(const struct resource *r, const json_t *vm)
{
	static const char *const none[] = {"off", "saved", "waiting", "incoming"};
	const char *uuid = json_string_value(json_object_get(vm, "uuid"));
	const char *state = json_string_value(json_object_get(vm, "state"));

	if (!uuid || strcmp(uuid, r->uuid) != 0 || !state)
		return OCF_NOT_RUNNING;
	for (size_t i = 0; i < ARRAY_LEN(none); i++) {
		if (strcmp(state, none[i]) == 0)
			return OCF_NOT_RUNNING;
	}
	return strcmp(state, "running") == 0 ? vm_guest_judge(r, vm) : OCF_SUCCESS;
}

/* What the worker's lock tells, where oyad does not answer. */
static enum ocf judge_worker(const struct resource *r, const struct failure *why)
{
	bool lives = worker_lives(r);

	fprintf(stderr, "%s; the worker of the VM '%s' %s\n", why->text, r->name,
		lives ? "lives" : "does not live");
	return lives ? OCF_SUCCESS : OCF_NOT_RUNNING;
}

static enum ocf monitor(void)
{
	char target[TARGET_MAX];
	struct resource r;
	unsigned status;
	struct failure f;
	json_t *vm = NULL;
	enum ocf said;
	int code;

	if (take_parameters(&r, &f) < 0)
		return ocf_fail(OCF_ERR_CONFIGURED, &f);
	put_target("/v1/vms/", &r, "", target);
	code = ocf_call(
		&(struct ocf_call){.method = "GET", .target = target, .patience_s = PATIENCE_S},
		&status, &vm, &f);
	if (code == 0 && status == 200)
		said = judge(&r, vm);
	else if (code == 0 && status == 404)
		said = OCF_NOT_RUNNING;
	else
		said = judge_worker(&r, &f);
	json_decref(vm);
	return said;
}

/* ---- start and stop ---- */

/* Answered when it is done. An oyad that is not there may be coming: the engine's timeout is the
 * end of the wait, but for a VM that is to stop and has no worker. */
static enum ocf act(const char *what, bool stops)
{
	char target[TARGET_MAX];
	struct resource r;
	unsigned status;
	struct failure f;
	json_t *answer;
	int code;

	if (take_parameters(&r, &f) < 0)
		return ocf_fail(OCF_ERR_CONFIGURED, &f);
	put_target("/v1/clustered/", &r, what, target);
	for (;;) {
		json_t *body =
			json_pack("{s:s, s:s*}", "uuid", r.uuid, "folder", stops ? NULL : r.folder);

		code = ocf_call(
			&(struct ocf_call){.method = "POST", .target = target, .body = body},
			&status, &answer, &f);
		if (!ocf_absent(code))
			break;
		if (stops && !worker_lives(&r))
			return OCF_SUCCESS;
		ocf_pause();
	}
	if (code < 0)
		return ocf_fail(OCF_ERR_GENERIC, &f);
	json_decref(answer);
	return status < 300 ? OCF_SUCCESS : ocf_fail(OCF_ERR_GENERIC, &f);
}

static enum ocf start(void)
{
	return act("/start", false);
}

static enum ocf stop(void)
{
	return act("/stop", true);
}

/* ---- moved while it runs ---- */

/* What has become of the move; an oyad that came back does not know the job, but the VM. */
static enum ocf await(const struct resource *r, const char *job)
{
	const char *state, *problem;
	struct failure f = {""};
	json_t *answer = NULL;
	unsigned status;
	enum ocf said;
	int code;

	for (;;) {
		code = ocf_call(&(struct ocf_call){.method = "GET", .target = job}, &status,
				&answer, &f);
		if (code < 0 && !ocf_absent(code))
			return ocf_fail(OCF_ERR_GENERIC, &f);
		state = code < 0 ? "running" : json_string_value(json_object_get(answer, "state"));
		if (!state || strcmp(state, "running") != 0)
			break;
		json_decref(answer);
		answer = NULL;
		ocf_pause();
	}
	problem = json_string_value(json_object_get(answer, "problem"));
	if (problem && strcmp(state, "failed") == 0)
		fail(&f, -EIO, "%s", problem);
	said = strcmp(state ? state : "", "done") == 0 ? OCF_SUCCESS
	       : status == 404 && !worker_lives(r) ? OCF_SUCCESS
						   : ocf_fail(OCF_ERR_GENERIC, &f);
	json_decref(answer);
	return said;
}

static enum ocf migrate_to(void)
{
	const char *node = ocf_parameter("CRM_meta_migrate_target");
	char target[TARGET_MAX];
	struct resource r;
	unsigned status;
	struct failure f;
	json_t *answer;
	int code;

	if (take_parameters(&r, &f) < 0)
		return ocf_fail(OCF_ERR_CONFIGURED, &f);
	put_target("/v1/clustered/", &r, "/migrate", target);
	code = ocf_call(&(struct ocf_call){.method = "POST",
					   .target = target,
					   .body = json_pack("{s:s, s:s}", "uuid", r.uuid, "node",
							     node ? node : "")},
			&status, &answer, &f);
	if (code < 0 || status >= 300) {
		if (code == 0)
			json_decref(answer);
		return ocf_fail(OCF_ERR_GENERIC, &f);
	}
	snprintf(target, sizeof(target), "/v1/jobs/%" JSON_INTEGER_FORMAT,
		 json_integer_value(json_object_get(answer, "id")));
	json_decref(answer);
	return await(&r, target);
}

static const struct ocf_action actions[] = {
	{"start", start},          {"stop", stop}, {"monitor", monitor}, {"migrate_to", migrate_to},
	{"migrate_from", monitor}, /* it has come already, or not at all */
	{"validate-all", validate}};

const struct ocf_agent ocf_vm = {
	.name = "vm", .metadata = metadata, .actions = actions, .count = ARRAY_LEN(actions)};
