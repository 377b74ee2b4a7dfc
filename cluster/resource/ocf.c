/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cluster/resource/ocf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>

#include "lib/wire.h"

#define API_SOCKET "/run/oya/api"
#define ANSWER_MAX (4u << 20)
#define PAUSE_NS 100000000

const char *ocf_parameter(const char *name)
{
	char variable[64];
	const char *value;

	snprintf(variable, sizeof(variable), "OCF_RESKEY_%s", name);
	value = getenv(variable);
	return value && *value ? value : NULL;
}

enum ocf ocf_fail(enum ocf status, const struct failure *f)
{
	/* By this prefix the engine knows the sentence. */
	fprintf(stderr, "ocf-exit-reason:%s\n", f->text);
	return status;
}

/* ---- calls ---- */

bool ocf_absent(int r)
{
	return r == -ENOENT || r == -ECONNREFUSED || r == -ECONNRESET;
}

void ocf_pause(void)
{
	nanosleep(&(struct timespec){.tv_nsec = PAUSE_NS}, NULL);
}

/* NULL when there is none. */
static int read_answer(struct wire *w, const struct ask_head *head, json_t **ret_answer)
{
	char *text;
	size_t len;
	int r = wire_read_body(w, head, ANSWER_MAX, &text, &len);

	if (r < 0)
		return r;
	*ret_answer = len ? json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL) : NULL;
	free(text);
	return len && !*ret_answer ? -EBADMSG : 0;
}

static int exchange(const char *socket, const struct ask *ask, unsigned patience_s,
		    unsigned *ret_status, json_t **ret_answer)
{
	const struct timeval patience = {.tv_sec = patience_s};
	struct ask_head head;
	struct wire w;
	int r = wire_open(&w, socket, ask);

	if (r < 0)
		return r;
	if (setsockopt(w.fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0)
		r = -errno;
	if (r == 0)
		r = wire_read_head(&w, &head);
	if (r == 0)
		r = read_answer(&w, &head, ret_answer);
	wire_close(&w);
	*ret_status = r == 0 ? head.status : 0;
	return r;
}

int ocf_call(const struct ocf_call *call, unsigned *ret_status, json_t **ret_answer,
	     struct failure *f)
{
	const char *named = getenv("OYA_SOCKET"), *socket = named && *named ? named : API_SOCKET;
	struct ask ask = {.method = call->method,
			  .target = call->target,
			  .accept = "application/json",
			  .type = "application/json"};
	char *text = call->body ? json_dumps(call->body, JSON_COMPACT) : NULL;
	const char *detail;
	int r = call->body && !text ? -ENOMEM : 0;

	json_decref(call->body);
	ask.body = text;
	if (r == 0)
		r = exchange(socket, &ask, call->patience_s, ret_status, ret_answer);
	free(text);
	if (r < 0)
		return fail(f, r, "the host service oyad does not answer on %s: %s", socket,
			    strerror(-r));
	detail = json_string_value(json_object_get(*ret_answer, "detail"));
	if (*ret_status >= 400)
		fail(f, -EIO, "%s", detail ? detail : "the host service refuses and says no more");
	return 0;
}

/* ---- the command line ---- */

static const char *name_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static enum ocf run(const struct ocf_agent *agent, const char *action)
{
	struct failure f;

	if (strcmp(action, "meta-data") == 0) {
		fputs(agent->metadata, stdout);
		return fflush(stdout) == 0 ? OCF_SUCCESS : OCF_ERR_GENERIC;
	}
	for (size_t i = 0; i < agent->count; i++) {
		if (strcmp(action, agent->actions[i].name) == 0)
			return agent->actions[i].run();
	}
	fail(&f, -ENOTSUP, "the agent ocf:oya:%s has no action '%.40s'", agent->name, action);
	return ocf_fail(OCF_ERR_UNIMPLEMENTED, &f);
}

enum ocf ocf_main(const struct ocf_agent *const *agents, size_t count, int argc, char **argv)
{
	const char *name = argc ? name_of(argv[0]) : "";

	for (size_t i = 0; i < count; i++) {
		if (strcmp(agents[i]->name, name) == 0 && argc == 2)
			return run(agents[i], argv[1]);
	}
	fprintf(stderr,
		"usage: AGENT ACTION, by a link to this program of the agent's name:");
	for (size_t i = 0; i < count; i++)
		fprintf(stderr, " %s", agents[i]->name);
	fprintf(stderr, "\n");
	return OCF_ERR_ARGS;
}
